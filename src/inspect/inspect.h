/*
 * inspect.h -- what the inspectors share: the index they look at, findings.
 *
 * What it is not: part of scanning or changing an index; nothing below this
 * room calls it.
 *
 *   open.c         from a regclass to an open vecpg index
 *   insp_ivf.c     vecpg_index_info()
 *   verify.c       vecpg_check(): rights, locks, the second look
 *   verify_ivf.c     pages, directory, chains
 *   verify_rows.c    tids, refine pointers, the table's rows
 *   recall.c       vecpg_recall()
 *   lastscan.c     vecpg_last_scan()
 */
#ifndef VECPG_INSPECT_H
#define VECPG_INSPECT_H

#include "am/ivf/ivf.h"

/*
 * Opens and locks (AccessShareLock) a vecpg index and its table; raises if the
 * relation is no such index, or a temporary one of another session. No rights
 * are checked. Closed by insp_close(), which keeps the locks.
 */
extern Relation insp_open(Oid indexoid, Relation *heap);
extern void insp_close(Relation index, Relation heap);

/* Raises unless the current user may read the table. */
extern void insp_require_select(Relation heap);

/*
 * Expressions of an index may call functions of the table's owner. Between
 * the two calls they run with the owner's rights, not with the caller's.
 */
typedef struct InspOwner
{
	Oid			user;
	int			sec_context;
	int			guc_level;
} InspOwner;

extern void insp_become_owner(Relation heap, InspOwner *saved);
extern void insp_leave_owner(const InspOwner *saved);

/* Raises if rows visible to the snapshot may be missing from a young index. */
extern void insp_require_usable(Relation index, Snapshot snapshot);

/* ---- findings of a check ---- */

typedef struct VerifyFinding
{
	int64		block;			/* -1: none */
	int			item;			/* -1: none */
	char	   *problem;
} VerifyFinding;

typedef struct VerifyFindings
{
	VerifyFinding *list;
	int			n;
	int			cap;
	bool		cut;			/* there were more than are listed */
} VerifyFindings;

/* Adds a finding; the text is copied to the current memory context. */
extern void verify_report(VerifyFindings *f, int64 block, int item, const char *fmt,...)
			pg_attribute_printf(4, 5);

/* ---- what a look at all pages leaves behind (verify_ivf.c) ---- */

/* Where a row is: in a slot of a block (VI_TIDS_SORTS as sort), or without code. */
#define VERIFY_CODED VI_TIDS_SORTS

typedef struct VerifyRow
{
	VsTid		tid;
	uint16		ref_idx;
	BlockNumber ref_blkno;
	BlockNumber blkno;			/* of the list page or page of tids */
	uint16		item;
	uint16		sort;			/* VI_TIDS_*, or VERIFY_CODED */
} VerifyRow;

/* A refine slot in use. */
typedef struct VerifyRefine
{
	BlockNumber blkno;
	uint16		idx;
	uint16		part;
	VsTid		tid;
} VerifyRefine;

typedef struct VerifyBlock
{
	uint32		list;			/* 0: free */
	BlockNumber next_blkno;
	uint16		next_idx;
	bool		moved;
	bool		reached;
} VerifyBlock;

typedef struct VerifyPage
{
	uint8		kind;			/* VsKind; 0: new, or too damaged to tell */
	bool		damaged;
	bool		reached;
	uint16		flags;
	BlockNumber next;
	VerifyBlock *blocks;		/* of a list page: [blocks_per_page] */
} VerifyPage;

typedef struct Verify
{
	Relation	index;
	Relation	heap;
	VerifyFindings *found;
	IvfMetaData meta;
	IvfModel	m;				/* sizes and descriptors only */
	BlockNumber *part_head;
	HTAB	   *lists;			/* directory entries by list number */
	VerifyPage *pages;
	BlockNumber npages;
	BlockNumber pages_cap;
	FullTransactionId last_xid;	/* no stamp is younger */
	VerifyRow  *rows;
	Size		nrows;
	Size		rows_cap;
	VerifyRefine *refine;		/* ascending by place */
	Size		nrefine;
	Size		refine_cap;
} Verify;

/*
 * Reads the whole index; false if its metapage or model is too damaged to go
 * on. Needs the share lock on the metapage (verify.c). Memory: about 36 bytes
 * a row in the current context.
 */
extern bool verify_ivf(Verify *v);

/* A private copy of a page, or false (reported) if its header is damaged. */
extern bool verify_read(Verify *v, BlockNumber blkno, PGAlignedBlock *copy);

/* Tids valid, once each, within the table; refine pointers. Sorts rows by tid. */
extern void verify_rows(Verify *v);

/* Every table row visible to the snapshot has its entry, and a code that fits it. */
extern void verify_heap(Verify *v, Snapshot snapshot);

#endif							/* VECPG_INSPECT_H */
