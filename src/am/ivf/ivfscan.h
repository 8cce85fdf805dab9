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
#include "portability/instr_time.h"
#include "utils/hsearch.h"

#include "am/ivf/ivf.h"
#include "index/rowfetch.h"


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

/*
 * A row with an interval of its value, in the operator's own unit: [lo, hi]
 * holds it but for once in a billion (IVF_BY_BOUND).
 */
typedef struct IvfRow
{
	double		lo;
	double		hi;
	VsTid		tid;
	bool		exact;			/* lo = hi = the operator's value */
	bool		nan;			/* the value is NaN, lo = hi = infinity */
} IvfRow;

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
	float		mean_dot;		/* <q, mean>: inner product only */
	float		magnitude;		/* |q| + |mean|, for rounding slack */
	VqBitQuery	bit;
	float		eps;
	float		refine_eps;		/* share of the certain interval that is used */

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
	bool		exhausted;		/* every list read, every candidate taken */
	double		kth;			/* quota-th smallest upper value */
	double		last;			/* greatest lower value emitted */

	IvfCandidates cand;
	VpHeapItem *chosen;			/* candidates of this step by low */
	size_t		nchosen;
	size_t		chosen_cap;

	IvfRow	   *rows;			/* refined or reranked */
	size_t		nrows;
	size_t		rows_cap;
	VpHeapItem *mid;			/* refined, waiting for the heap row (rerank) */
	size_t		nmid;
	size_t		mid_cap;
	struct IvfReady *ready;		/* heap of rows by lo */
	size_t		nready;
	size_t		ready_cap;
	double	   *topk;			/* max-heap of the quota smallest hi */
	size_t		ntopk;

	uint8	   *wide;			/* a refine row of several pages, copied */

	/* rows without code */
	int			sort;			/* next of IVF_TIDS_*, in emission order; -1: none */
	int			uncoded;		/* sort of the tids at hand */
	size_t		nwild;			/* rows that had no code from the start */
	ItemPointerData *tids;
	size_t		ntids;
	size_t		next_tid;
	size_t		next_cand;		/* enumerate */

	/* splits while we scan */
	HTAB	   *seen;			/* NULL: no split since the scan began */
	size_t		nseen;

	ViRowFetch	fetch;			/* heap rows for rerank */

	bool		cold;			/* pages had to be read: prefetch */
	ViCounters	count;
} IvfScanData;
typedef IvfScanData *IvfScan;

typedef struct IvfReady
{
	double		lo;
	uint32		row;
} IvfReady;

/* Memory that grows by doubling in the scan's context. */
extern void *ivf_scan_grow(IvfScan s, void *array, size_t *cap, size_t need, Size size);

/* ivfprobe.c */
extern void ivf_probe_begin(IvfScan s);
extern void ivf_probe_until(IvfScan s, int64 lists);
extern bool ivf_probe_done(IvfScan s);
extern void ivf_probe_tids(IvfScan s, int sort);

/* ivfrefine.c */
extern void ivf_refine_begin(IvfScan s);
extern void ivf_refine_step(IvfScan s);
extern void ivf_ready_push(IvfScan s, uint32 row);
extern uint32 ivf_ready_pop(IvfScan s);
extern void ivf_add_row(IvfScan s, const VsTid *tid, const IvfRow *value);
extern bool ivf_rerank(IvfScan s, const VsTid *tid, IvfRow *row);
extern void ivf_rerank_row(IvfScan s, uint32 row);

/* Starts / stops a clock that runs under vecpg.trace only. */
#define IVF_TRACE_BEGIN(t) do { if (vecpg_trace) INSTR_TIME_SET_CURRENT(t); } while (0)
#define IVF_TRACE_END(t, counter) \
	do { \
		if (vecpg_trace) \
		{ \
			instr_time	now_; \
			INSTR_TIME_SET_CURRENT(now_); \
			INSTR_TIME_SUBTRACT(now_, t); \
			(counter) += INSTR_TIME_GET_MICROSEC(now_); \
		} \
	} while (0)

#endif							/* VECPG_IVFSCAN_H */
