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
	/* the access method's, set after vi_order_begin() */
	/* Gives row the operator's value (vi_exact_value); false: no visible row.
	 * Adds no entry. */
	bool		(*exact) (void *arg, ViOrderRow *row);
	void	   *arg;
	ViCounters *count;
	bool		strict;			/* rows found late are dropped, not given out */
	bool		by_bound;		/* hi counts although not exact */
	bool		exhausted;		/* no further step: everything goes out */

	MemoryContext cxt;			/* owns the arrays */
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

/* A new quota; rows known so far are counted again. None is needed for vi_order_keep(). */
extern void vi_order_quota(ViOrder *o, int64 quota);

/*
 * Adds an entry, without (returns its number) or with pushing it to the ready
 * heap. Its upper value counts if it is exact, or under by_bound.
 */
extern uint32 vi_order_keep(ViOrder *o, const ViOrderRow *row);
extern void vi_order_ready(ViOrder *o, uint32 row);
extern void vi_order_add(ViOrder *o, const ViOrderRow *row);

/* Asks for the exact value of a kept entry and makes it ready; drops it if no row is visible. */
extern void vi_order_settle(ViOrder *o, uint32 row);

/*
 * The next entry of this step, in order; NULL when the step has no more. Valid
 * until the next call; its value is lo, or NaN.
 */
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
 * computes; *lo and *hi keep what they had, (-inf, inf), where that may overflow.
 */
typedef struct ViInterval
{
	const VecOpclass *oc;
	int			dim;			/* rotated */
	double		magnitude;		/* |q| + |mean|, for rounding slack */
	double		mean_dot;		/* <q, mean>: inner product only */
	double		mean_norm;
	double		share;			/* of the certain interval that is used */
} ViInterval;

/*
 * Standard deviations within which an interval holds that rows may leave by
 * without their heap row: two in a billion lie outside, and all that can happen
 * then is that two rows whose distances are nearly equal change places.
 */
#define VI_BOUND_EPS 6.0

/*
 * A code's error has a direction that the random rotation makes independent of
 * the query's, so that eps / sqrt(dims - 1) of the certain interval are eps
 * standard deviations.
 */
extern double vi_interval_share(double eps, int dims);

/*
 * dist2 = |y - c|^2 of the centre that the code is about. Slack for the
 * rotation's and the operator's own float32 rounding is added on both sides.
 */
extern void vi_interval(const ViInterval *iv, const VqBound *b, double dist2,
						double *lo, double *hi);

#endif							/* VECPG_ORDER_H */
