/*
 * order.h -- from rows with intervals to rows in exact order.
 *
 * What it is not: the search that finds the rows, or the reading of codes.
 *
 * Optimal multi-step nearest neighbours (Seidl and Kriegel, SIGMOD 1998): an
 * access method adds entries whose value is known to lie in [lo, hi]; they come
 * out by ascending value, and the exact value (a heap row) is asked for only
 * where intervals overlap. A step answers for `quota` rows; what lies beyond the
 * quota-th smallest upper value waits for the next step.
 *
 * An entry stands for one row, or for `count` rows known to have equal vectors.
 */
#ifndef VECPG_ORDER_H
#define VECPG_ORDER_H

#include "index/rowfetch.h"
#include "index/vindex.h"

typedef struct ViOrderRow
{
	double		lo;
	double		hi;
	uint32		item;			/* the access method's: which row */
	uint32		count;			/* rows it stands for */
	bool		exact;			/* lo = hi = the operator's value */
	bool		nan;			/* the value is NaN, lo = hi = infinity */
} ViOrderRow;

typedef struct ViReady
{
	double		lo;
	uint32		row;
} ViReady;

typedef struct ViOrder
{
	MemoryContext cxt;			/* owns the arrays */
	/* Gives row the operator's value (vi_exact_value); false: no visible row. */
	bool		(*exact) (void *arg, ViOrderRow *row);
	void	   *arg;
	ViCounters *count;
	bool		strict;			/* rows found late are dropped, not given out */
	bool		by_bound;		/* hi counts although not exact */
	bool		exhausted;		/* no further step: everything goes out */
	int64		quota;
	double		kth;			/* quota-th smallest upper value; infinity if fewer */
	double		last;			/* greatest lower value given out */
	ViOrderRow *rows;
	size_t		nrows;
	size_t		rows_cap;
	ViReady    *ready;			/* min-heap by lo */
	size_t		nready;
	size_t		ready_cap;
	double	   *topk;			/* max-heap of the quota smallest hi */
	size_t		ntopk;
} ViOrder;

extern void vi_order_begin(ViOrder *o, MemoryContext cxt);

/* A new quota; rows known so far are counted again. */
extern void vi_order_quota(ViOrder *o, int64 quota);

/* Adds an entry, without (returns its number) or with pushing it to the ready heap. */
extern uint32 vi_order_keep(ViOrder *o, const ViOrderRow *row);
extern void vi_order_ready(ViOrder *o, uint32 row);
extern void vi_order_add(ViOrder *o, const ViOrderRow *row);

/* Asks for the exact value of a kept entry and makes it ready; drops it if no row is visible. */
extern void vi_order_settle(ViOrder *o, uint32 row);

/* The next entry of this step, in order; NULL when the step has no more. */
extern const ViOrderRow *vi_order_next(ViOrder *o);

/*
 * Fills row with the operator's value for a heap row visible to the snapshot
 * (NaN for a row without vector); false if none is visible.
 */
extern bool vi_exact_value(ViRowFetch *f, const VecOpclass *oc, int dims, const float *query,
						   ItemPointer tid, Snapshot snapshot, ViOrderRow *row);

/* Memory that grows by doubling in a context. */
extern void *vi_grow(MemoryContext cxt, void *array, size_t *cap, size_t need, Size size);

/*
 * ---- intervals ----
 *
 * A bound of the rotated space becomes an interval of what the operator
 * computes; it is left as it is, (-inf, inf), where that may overflow.
 */
typedef struct ViInterval
{
	const VecOpclass *oc;
	int			dim;			/* rotated */
	double		magnitude;		/* |q| + |mean|, for rounding slack */
	double		mean_dot;		/* <q, mean>: inner product only */
	double		mean_norm;
	double		share;			/* of the certain interval that is used: 6 / sqrt(dims - 1) */
} ViInterval;

/* dist2 = |y - c|^2 of the centre that the code is about. */
extern void vi_interval(const ViInterval *iv, const VqBound *b, double dist2,
						double *lo, double *hi);

#endif							/* VECPG_ORDER_H */
