/*
 * inspect.h -- what the inspectors share: the index they look at, findings.
 *
 * What it is not: part of scanning or changing an index; nothing below this
 * room calls it.
 *
 *   open.c            from a regclass to an open vecpg index; the access methods
 *   info.c            vecpg_index_info()
 *   insp_ivf.c          what is ivf's of it
 *   insp_hnsw.c         what is hnsw's of it
 *   verify.c          vecpg_check(): rights, locks, the second look
 *   verify_pages.c      all pages, metapage, chains of rows without code
 *   verify_rows.c       tids, the table's rows
 *   verify_ivf.c        ivf: directory, lists
 *   verify_ivfcode.c    ivf: refine rows
 *   verify_hnsw*.c      hnsw (verify_hnsw.h)
 *   recall.c          vecpg_recall()
 *   lastscan.c        vecpg_last_scan()
 */
#ifndef VECPG_INSPECT_H
#define VECPG_INSPECT_H

#include "access/amapi.h"
#include "access/transam.h"
#include "lib/stringinfo.h"
#include "utils/snapshot.h"

#include "pg/compat.h"

#include "index/tids.h"
#include "index/vindex.h"
#include "store/vpage.h"

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

/* ---- access methods (open.c) ---- */

struct InspInfo;
struct VerifyMethod;

typedef struct InspMethod
{
	ambuild_function build;		/* tells the access method */
	void		(*info) (struct InspInfo *info);	/* see info */
	const struct VerifyMethod *verify;
} InspMethod;

/* Of an index that insp_open() has opened. */
extern const InspMethod *insp_method(Relation index);

/* ---- vecpg_index_info (info.c) ---- */

/*
 * The row being filled: columns that nobody sets are NULL. An access method
 * calls insp_pages(), sets `rows` and its own columns; info.c does the others.
 */
typedef struct InspInfo
{
	Relation	index;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	int64		pages[VS_KIND_END];	/* by kind; a new page is a free one */
	int64		uncoded[VI_TIDS_SORTS];
	int64		rows;			/* with a code */
	StringInfoData details;		/* insp_detail() */
} InspInfo;

/* Sets a column of vecpg_index_info (inspect.sql). */
extern void insp_set(InspInfo *info, const char *column, Datum value);

/* "quantizer" and "bits"; codec NULL: one bit a dimension. */
extern void insp_set_codec(InspInfo *info, const VqCodec *codec);

/*
 * Adds a member to "details", which has what only one access method has. The
 * text must be JSON.
 */
extern void insp_detail(InspInfo *info, const char *name, const char *fmt,...)
			pg_attribute_printf(3, 4);

/* Effort (lists or ef) against the recall of the 10 and 100 nearest, as measured at build. */
#define INSP_CURVE_POINTS 24

typedef struct InspCurve
{
	int			queries;		/* 0: not measured */
	int			points;
	uint32		effort[INSP_CURVE_POINTS];
	float		recall_10[INSP_CURVE_POINTS];
	float		recall_100[INSP_CURVE_POINTS];
} InspCurve;

/* The LIMIT that "effort" is told for. */
#define INSP_LIMIT 10

/* "target_recall", "effort" and the columns about calibration. */
extern void insp_set_effort(InspInfo *info, double target, int64 effort, const InspCurve *curve);

/* Counts pages and rows without code; look sees each page of another kind, under its lock. */
extern void insp_pages(InspInfo *info, void (*look) (void *arg, Page page), void *arg);

extern void insp_ivf_info(InspInfo *info);
extern void insp_hnsw_info(InspInfo *info);

/* ---- findings of a check ---- */

typedef struct VerifyFinding
{
	int64		block;			/* -1: none */
	int			item;			/* -1: none */
	char	   *problem;
} VerifyFinding;

typedef struct VerifyFindings
{
	MemoryContext cxt;			/* owns the list and its texts */
	VerifyFinding *list;
	int			n;
	int			cap;
	bool		cut;			/* there were more than are listed */
} VerifyFindings;

/* Adds a finding. */
extern void verify_report(VerifyFindings *f, int64 block, int item, const char *fmt,...)
			pg_attribute_printf(4, 5);

/* ---- what a look at all pages leaves behind ---- */

/* Where a row is: among those with a code (VI_TIDS_SORTS as sort), or without. */
#define VERIFY_CODED VI_TIDS_SORTS

typedef struct VerifyRow
{
	VsTid		tid;
	uint16		ref_idx;		/* its code, if that is elsewhere */
	BlockNumber ref_blkno;
	BlockNumber blkno;			/* of the page that has the tid */
	uint16		item;
	uint16		sort;			/* VI_TIDS_*, or VERIFY_CODED */
} VerifyRow;

typedef struct VerifyPage
{
	uint8		kind;			/* VsKind; 0: new, or too damaged to tell */
	bool		damaged;
	bool		reached;
	uint16		flags;
	BlockNumber next;
	void	   *parts;			/* what the access method keeps of the page */
} VerifyPage;

typedef struct Verify
{
	Relation	index;
	Relation	heap;
	MemoryContext cxt;			/* of this look */
	VerifyFindings *found;
	const struct VerifyMethod *method;
	void	   *state;			/* the access method's */

	/* set by the access method */
	const VecOpclass *oc;
	int			dims;

	VerifyPage *pages;
	BlockNumber npages;
	BlockNumber pages_cap;
	FullTransactionId last_xid; /* no stamp is younger */
	VerifyRow  *rows;
	Size		nrows;
	Size		rows_cap;
} Verify;

/* What an access method does in a check. */
typedef struct VerifyMethod
{
	/*
	 * Reads the whole index, in v->cxt: verify_begin(), oc, dims, links, then
	 * verify_pages() and verify_tids(). False if its metapage or model is too
	 * damaged to go on.
	 */
	bool		(*pages) (Verify *v);
	/* Compares rows with codes that are elsewhere; may sort rows. NULL: none are. */
	void		(*codes) (Verify *v);
	/*
	 * Whether the code of a row fits its vector; called if nothing was found,
	 * in memory that goes with the row.
	 */
	void		(*code) (Verify *v, const VerifyRow *row, const float *raw);
	/* Whether the share lock on the metapage is held meanwhile (verify.c says what for). */
	bool		lock_meta;
} VerifyMethod;

extern const VerifyMethod verify_ivf;
extern const VerifyMethod verify_hnsw;

/* ---- pages (verify_pages.c) ---- */

/* Sets what Verify has of all pages; before anything else. */
extern void verify_begin(Verify *v);

/* A copy of the metapage; what is wrong with it, or NULL. */
extern const char *verify_meta(Verify *v, VsKind kind, PGAlignedBlock *copy);

/*
 * The bytes of a model, on `pages` consecutive pages of a kind, palloc'd with
 * the last page's rest; NULL if they are not all there (reported).
 */
extern char *verify_model(Verify *v, VsKind kind, BlockNumber from, uint32 pages, Size bytes);

/*
 * Reads all pages after the metapage once. look sees a copy of each whose
 * header is sound, but free ones and rows without code.
 */
extern void verify_pages(Verify *v, void (*look) (Verify *v, BlockNumber blkno, Page page));

/* Follows the chains of rows without code; after verify_pages(). */
extern void verify_tids(Verify *v, const ViTidHeads *heads);

/* A private copy of a page; false if it is new or its header damaged. */
extern bool verify_read(Verify *v, BlockNumber blkno, PGAlignedBlock *copy);

extern void verify_add_row(Verify *v, const VerifyRow *row);

/* Memory that grows by doubling in v->cxt. */
extern void *verify_grow(Verify *v, void *array, Size *cap, Size need, Size size);

/* ---- rows (verify_rows.c) ---- */

/* Tids valid, once each, within the table. Sorts rows by tid. */
extern void verify_rows(Verify *v);

/* Every table row visible to the snapshot has its entry, and a code that fits it. */
extern void verify_heap(Verify *v, Snapshot snapshot);

/*
 * Whether the table has anything at a row's tid, or the tid itself is wrong. A
 * VACUUM that was cut short can leave entries of removed rows without codes.
 */
extern bool verify_row_exists(Verify *v, const VerifyRow *row);

/* Unsigned numbers of a tid, for messages: VsTid may hold anything. */
#define TID_FORMAT "(%u,%u)"
#define TID_ARGS(t) ((uint32) (t)->blk_hi << 16 | (t)->blk_lo), (uint32) (t)->offset

#endif							/* VECPG_INSPECT_H */
