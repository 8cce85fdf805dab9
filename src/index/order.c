/*
 * order.c -- from rows with intervals to rows in exact order.
 *
 * What it is not: the search that finds the rows, or the reading of codes.
 *
 * Entries are kept in an array; a min-heap holds those that may go out, by
 * their lower values, and a max-heap the quota smallest upper values. An entry
 * leaves as it is if its interval meets no other's: its place is known, and
 * its heap row is not read by us. Else the heap row gives the exact value, and
 * it is looked at again.
 *
 * The executor could recheck bounds in its reorder queue instead. Measured on
 * mnist, that takes 12 heap rows with their vectors detoasted where this takes
 * 5, since its queue needs the certain bound and one row more to be released.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <float.h>
#include <math.h>

#include "utils/memutils.h"

#include "index/order.h"
#include "index/scan.h"
#include "pg/options.h"

static uint32 ready_pop(ViOrder *o);
static void topk_add(ViOrder *o, const ViOrderRow *row);

void *
vi_grow(MemoryContext cxt, void *array, size_t *cap, size_t need, Size size)
{
	if (need <= *cap)
		return array;
	*cap = Max(need, Max(*cap * 2, 64));
	if (array == NULL)
		return MemoryContextAllocHuge(cxt, *cap * size);
	return repalloc_huge(array, *cap * size);
}

void
vi_order_begin(ViOrder *o, MemoryContext cxt)
{
	memset(o, 0, sizeof(ViOrder));
	o->cxt = cxt;
	o->kth = INFINITY;
	o->last = -INFINITY;
}

void
vi_order_quota(ViOrder *o, int64 quota)
{
	size_t		i;

	if (o->topk)
		pfree(o->topk);
	o->topk = MemoryContextAllocHuge(o->cxt, sizeof(double) * quota);
	o->quota = quota;
	o->ntopk = 0;
	o->kth = INFINITY;
	for (i = 0; i < o->nrows; i++)
		if (o->by_bound || o->rows[i].exact)
			topk_add(o, &o->rows[i]);
}

uint32
vi_order_keep(ViOrder *o, const ViOrderRow *row)
{
	o->rows = vi_grow(o->cxt, o->rows, &o->rows_cap, o->nrows + 1, sizeof(ViOrderRow));
	o->rows[o->nrows] = *row;
	if (o->by_bound || row->exact)
		topk_add(o, row);
	return o->nrows++;
}

void
vi_order_add(ViOrder *o, const ViOrderRow *row)
{
	vi_order_ready(o, vi_order_keep(o, row));
}

void
vi_order_settle(ViOrder *o, uint32 row)
{
	instr_time	t;

	VI_TRACE_BEGIN(t);
	if (o->exact(o->arg, &o->rows[row]))
	{
		/* Under by_bound its upper value is counted already. */
		if (!o->by_bound)
			topk_add(o, &o->rows[row]);
		vi_order_ready(o, row);
	}
	VI_TRACE_END(t, o->count->rerank_us);
}

const ViOrderRow *
vi_order_next(ViOrder *o)
{
	while (o->nready > 0)
	{
		uint32		at;
		ViOrderRow *row;

		/* The step answers for no row beyond its quota. */
		if (!o->exhausted && o->ready[0].lo > o->kth)
			return NULL;
		at = ready_pop(o);
		row = &o->rows[at];
		/* Strict: a value known only as an interval may lie before one given out by its own. */
		if (!row->exact &&
			((o->nready > 0 && o->ready[0].lo < row->hi) || (!o->exhausted && row->hi > o->kth) ||
			 (o->strict && row->lo < o->last)))
		{
			vi_order_settle(o, at);
			continue;
		}
		if (row->hi < o->last)
		{
			o->count->late += row->count;
			if (o->strict)
				continue;
		}
		o->last = Max(o->last, o->strict ? row->hi : row->lo);
		return row;
	}
	return NULL;
}

bool
vi_exact_value(ViRowFetch *f, const VecOpclass *oc, int dims, const float *query,
			   ItemPointer tid, Snapshot snapshot, ViOrderRow *row)
{
	double		value = NAN;
	Vector	   *v;

	if (!vi_row_fetch(f, tid, snapshot, &v))
		return false;
	if (v != NULL)
	{
		vt_check_expected_dim(dims, v->dim);
		value = oc->distance(dims, v->x, query);
	}
	vi_row_release(f);
	row->exact = true;
	row->nan = isnan(value);
	row->lo = row->hi = row->nan ? INFINITY : value;
	return true;
}

/* ---- entries that may go out, by lower value ---- */

void
vi_order_ready(ViOrder *o, uint32 row)
{
	ViReady    *h;
	/* NaN, which has an infinite lo, comes after infinite values. */
	double		lo = o->rows[row].nan ? INFINITY : Min(o->rows[row].lo, DBL_MAX);
	size_t		i;

	o->ready = vi_grow(o->cxt, o->ready, &o->ready_cap, o->nready + 1, sizeof(ViReady));
	h = o->ready;
	i = o->nready++;
	while (i > 0 && lo < h[(i - 1) / 2].lo)
	{
		h[i] = h[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h[i].lo = lo;
	h[i].row = row;
}

static uint32
ready_pop(ViOrder *o)
{
	ViReady    *h = o->ready;
	uint32		row = h[0].row;
	ViReady		moving = h[--o->nready];
	size_t		i = 0;

	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= o->nready)
			break;
		if (child + 1 < o->nready && h[child + 1].lo < h[child].lo)
			child++;
		if (!(h[child].lo < moving.lo))
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = moving;
	return row;
}

/* ---- the quota smallest upper values, greatest on top ---- */

static void
topk_down(double *h, size_t n, size_t i)
{
	double		moving = h[i];

	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && h[child + 1] > h[child])
			child++;
		if (h[child] <= moving)
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = moving;
}

/* Counts an entry's upper value, for each row it stands for. */
static void
topk_add(ViOrder *o, const ViOrderRow *row)
{
	double		hi = row->hi;
	uint32		n;

	for (n = row->count; n > 0; n--)
	{
		size_t		i;

		if (o->ntopk == (size_t) o->quota)
		{
			/* A quota of 0: none has been set, and it counts all rows then. */
			if (o->quota == 0 || hi >= o->topk[0])
				return;
			o->topk[0] = hi;
			topk_down(o->topk, o->ntopk, 0);
		}
		else
		{
			i = o->ntopk++;
			while (i > 0 && o->topk[(i - 1) / 2] < hi)
			{
				o->topk[i] = o->topk[(i - 1) / 2];
				i = (i - 1) / 2;
			}
			o->topk[i] = hi;
		}
		if (o->ntopk == (size_t) o->quota)
			o->kth = o->topk[0];
	}
}

/* ---- intervals ---- */

double
vi_interval_share(double eps, int dims)
{
	/* Small dims: never more than the certain interval. */
	return Min(1, eps / sqrt(Max(dims - 1, 1)));
}

void
vi_interval(const ViInterval *iv, const VqBound *b, double dist2, double *lo, double *hi)
{
	double		ulps = (iv->dim / 8.0 + 32) / 16777216.0;
	double		est = b->steer;
	double		below = b->steer - b->lo;
	double		above = b->hi - b->steer;
	double		half = (b->hi - b->lo) / 2 * iv->share;
	double		slack;

	if (iv->oc->metric == VQ_L1)
		slack = 0;				/* nothing was rotated, and the codec knows the operator's rounding */
	else if (iv->oc->metric == VQ_IP)
	{
		double		x = iv->mean_norm + sqrt(Max(dist2, 0)) + iv->magnitude;

		est -= iv->mean_dot;
		slack = ulps * iv->magnitude * (x + fabs(b->est) / Max(iv->magnitude, 1e-30));
	}
	else
	{
		double		x = iv->magnitude + sqrt(Max(b->hi, 0));

		slack = ulps * (iv->magnitude * iv->magnitude + x * x);
	}
	if (!(est - below - slack >= -FLT_MAX) || !(est + above + slack <= FLT_MAX))
		return;
	*lo = vi_value(iv->oc, est - Min(half, below) - slack);
	*hi = vi_value(iv->oc, est + Min(half, above) + slack);
}
