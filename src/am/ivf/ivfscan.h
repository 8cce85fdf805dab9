/*
 * ivfscan.h -- the state of one ivf scan, shared by its three files.
 *
 * What it is not: visible outside am/ivf.
 *
 *   ivfscan.c    the access method's verbs, steps, the order of emission
 *   ivfprobe.c   partitions, lists, blocks: from the query to candidates
 *   ivfrefine.c  from candidates to bounds (refine rows) or exact values (heap)
 */
#ifndef VECPG_IVFSCAN_H
#define VECPG_IVFSCAN_H

#include "base/heap.h"
#include "utils/hsearch.h"

#include "am/ivf/ivf.h"
#include "index/order.h"
#include "index/rowfetch.h"
#include "index/scan.h"

/* A list whose centroid has been compared with the query. */
typedef struct IvfListRef
{
	uint32		list;
	BlockNumber head_blkno;
	uint16		head_idx;
	float		dist2;			/* |y - c|^2, or -<y, c> under inner product */
} IvfListRef;

/* What has been read from the lists' blocks: parallel arrays, 32 a block. */
typedef struct IvfCandidates
{
	size_t		n;
	size_t		cap;
	float	   *low;			/* +inf: empty slot, or taken already */
	float	   *est;
	VsTid	   *tid;
	BlockNumber *ref_blkno;
	uint16	   *ref_idx;
} IvfCandidates;

typedef enum IvfMode
{
	IVF_BY_BOUND,				/* heap rows are read where intervals overlap */
	IVF_BY_RERANK,				/* heap rows are read in the order of estimates */
	IVF_ENUMERATE				/* no order, NULL or NaN query: one value for all */
} IvfMode;

typedef struct IvfScanData
{
	ViScan		base;			/* first: the LIMIT hook writes here */
	IndexScanDesc scan;
	MemoryContext cxt;			/* this scan; reset at rescan */
	IvfModel   *m;
	IvfMetaData meta;
	bool		started;
	bool		done;
	IvfMode		mode;
	bool		all_null;		/* enumerate: value NULL, else NaN */
	bool		wild;			/* query may overflow: bounds are infinite */

	/* query */
	float	   *raw;			/* as given */
	float	   *y;				/* rotated */
	float		ysum;
	float		ynorm2;
	ViInterval	interval;		/* also <q, mean> */
	VqBitQuery	bit;
	float		eps;

	/* partitions and lists */
	VpHeapItem *parts;			/* unopened, nearest first */
	size_t		nparts;
	int			opened;			/* partitions */
	float	   *part_dist2;
	float	   *part_dot;
	IvfListRef *lists;
	size_t		nlists;
	size_t		lists_cap;
	VpHeapItem *queue;			/* unread lists, nearest first */
	size_t		nqueue;

	/* steps */
	int64		quota;			/* rows this step answers for */
	int64		probes;			/* lists read when the step is done */
	int			open;			/* directory entries looked at per list read */
	int64		read;			/* lists read so far */

	IvfCandidates cand;
	VpHeapItem *chosen;			/* candidates of this step by low */
	size_t		nchosen;
	size_t		chosen_cap;

	ViOrder		order;			/* rows refined or reranked */
	VsTid	   *row_tid;		/* [order.nrows] */
	size_t		row_tid_cap;
	VpHeapItem *mid;			/* refined, waiting for the heap row (rerank) */
	size_t		nmid;
	size_t		mid_cap;

	uint8	   *wide;			/* a refine row of several pages, copied */

	/* rows without code */
	ViUncoded	uncoded;
	size_t		nwild;			/* that are ordered among the others */

	size_t		next_cand;		/* enumerate */

	/* splits while we scan */
	HTAB	   *seen;			/* NULL: no split since the scan began */
	size_t		nseen;

	ViRowFetch	fetch;			/* heap rows for rerank */

	bool		cold;			/* pages had to be read: prefetch */
	ViCounters	count;
} IvfScanData;
typedef IvfScanData *IvfScan;

/* ivfprobe.c */
extern void ivf_probe_begin(IvfScan s);
extern void ivf_probe_until(IvfScan s, int64 lists);
extern bool ivf_probe_done(IvfScan s);

/* ivfrefine.c */
extern void ivf_refine_begin(IvfScan s);
extern void ivf_refine_step(IvfScan s);

/* Keeps a row with its interval in the order; its number there. */
extern uint32 ivf_keep_row(IvfScan s, const VsTid *tid, ViOrderRow *row);
#endif							/* VECPG_IVFSCAN_H */
