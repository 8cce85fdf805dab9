/*
 * ivfrefine.c -- from candidates to rows whose place in the order is known.
 *
 * What it is not: the reading of lists (ivfprobe.c) or emission (ivfscan.c).
 *
 * Optimal multi-step nearest neighbours (Seidl and Kriegel, SIGMOD 1998): take
 * candidates in the order of their lower estimates, replace each by a better
 * one (refine code, then heap row where the code is coarse), stop when the
 * next lower estimate exceeds the quota-th smallest upper value found.
 *
 * IVF_BY_BOUND: refine codes of 6 bits and more place most rows for good; the
 * heap row is read (ivfscan.c) only where two intervals overlap.
 * IVF_BY_RERANK: coarser codes would leave hundreds of rows in doubt, so heap
 * rows are read, under the scan's own snapshot, in the order of
 * est - eps * error until the quota is certain.
 *
 * The executor could recheck bounds in its reorder queue instead. Measured on
 * mnist, that takes 12 heap rows with their vectors detoasted where this takes
 * 5, since its queue needs the certain bound and one row more to be released.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <float.h>
#include <math.h>

#include "executor/instrument.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "am/ivf/ivfscan.h"
#include "pg/options.h"
#include "simd/simd.h"

static void select_candidates(IvfScan s, double limit);
static void refine_selected(IvfScan s);
static bool refine_one(IvfScan s, uint32 cand);
static bool read_refine(IvfScan s, uint32 cand, VqBound *bound, int *part);
static void to_value(IvfScan s, const VqBound *b, int part, IvfRow *row);
static void topk_reset(IvfScan s);
static void topk_add(IvfScan s, double hi);
static double low_value(IvfScan s, float low);
static float quota_threshold(IvfScan s);

/*
 * One step: on return every row that can be among the quota nearest of what
 * has been read is in rows and in the ready heap, unless its scan-plane
 * estimate was off by more than eps standard deviations.
 */
void
ivf_refine_step(IvfScan s)
{
	instr_time	t;
	float		limit;
	float		before = -INFINITY;

	IVF_TRACE_BEGIN(t);
	topk_reset(s);
	limit = quota_threshold(s);
	for (;;)
	{
		select_candidates(s, limit);
		refine_selected(s);
		/*
		 * Rows that turned out dead, or farther than estimated, leave the quota
		 * open beyond what was selected.
		 */
		if (limit == INFINITY || low_value(s, limit) >= s->kth)
			break;
		limit = s->kth == INFINITY ? INFINITY : (float) (vi_unvalue(s->m->oc, s->kth) * (1 + 1e-6));
		/* Near zero, or under a negative inner product, rounding stands still. */
		if (!(limit > before))
			limit = INFINITY;
		before = limit;
	}
	IVF_TRACE_END(t, s->count.refine_us);
}

/* Best first, until the next lower estimate exceeds the quota-th upper value. */
static void
refine_selected(IvfScan s)
{
	for (;;)
	{
		double		next = s->nchosen > 0 ? low_value(s, s->chosen[0].key) : INFINITY;

		if (s->nmid > 0 && (double) s->mid[0].key <= next)
		{
			if ((double) s->mid[0].key > s->kth)
				return;
			ivf_rerank_row(s, vp_heap_pop(s->mid, &s->nmid).item);
			continue;
		}
		/* What is left stays a candidate for the next step. */
		if (s->nchosen == 0 || next > s->kth)
			return;
		refine_one(s, vp_heap_pop(s->chosen, &s->nchosen).item);
	}
}

/* Candidates whose lower estimate is within the limit, as a heap. */
static void
select_candidates(IvfScan s, double limit)
{
	IvfCandidates *c = &s->cand;
	size_t		i;
	size_t		n = 0;

	s->chosen = ivf_scan_grow(s, s->chosen, &s->chosen_cap, Max(c->n, 1), sizeof(VpHeapItem));
	for (i = 0; i < c->n; i++)
	{
		/* +inf is an empty slot or a row already taken. */
		s->chosen[n].key = c->low[i];
		s->chosen[n].item = i;
		n += c->low[i] <= limit && c->low[i] < INFINITY;
	}
	s->nchosen = n;
	vp_heap_build(s->chosen, n);
	if (s->cold && s->m->codec)
	{
		size_t		ahead = Min(n, (size_t) s->quota + 8);

		for (i = 0; i < Min(ahead, 64); i++)
			PrefetchBuffer(s->scan->indexRelation, MAIN_FORKNUM,
						   c->ref_blkno[s->chosen[i].item]);
	}
}

/*
 * The quota-th smallest upper estimate; rows already taken count as nearest.
 * A heap of the quota smallest, greatest (most negative key) on top.
 */
static float
quota_threshold(IvfScan s)
{
	IvfCandidates *c = &s->cand;
	size_t		quota = (size_t) Min(s->quota, (int64) c->n);
	size_t		n = 0;
	size_t		i;
	float		limit = INFINITY;

	if (c->n == quota || quota == 0)
		return INFINITY;
	s->chosen = ivf_scan_grow(s, s->chosen, &s->chosen_cap, c->n, sizeof(VpHeapItem));
	for (i = 0; i < c->n; i++)
	{
		float		upper;

		if (c->est[i] == INFINITY)
			continue;
		upper = c->low[i] == INFINITY ? -INFINITY : 2 * c->est[i] - c->low[i];
		if (isnan(upper))
			continue;			/* estimate unknown: it bounds nothing */
		if (n < quota)
			vp_heap_push(s->chosen, &n, -upper, i);
		else if (upper < limit)
		{
			s->chosen[0].key = -upper;
			vp_heap_down(s->chosen, n, 0);
		}
		if (n == quota)
			limit = -s->chosen[0].key;
	}
	return n < quota ? INFINITY : limit;
}

/* ---- the quota smallest upper values of rows ---- */

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

static void
topk_add(IvfScan s, double hi)
{
	size_t		i;

	if (s->ntopk < (size_t) s->quota)
	{
		i = s->ntopk++;
		while (i > 0 && s->topk[(i - 1) / 2] < hi)
		{
			s->topk[i] = s->topk[(i - 1) / 2];
			i = (i - 1) / 2;
		}
		s->topk[i] = hi;
	}
	else if (hi < s->topk[0])
	{
		s->topk[0] = hi;
		topk_down(s->topk, s->ntopk, 0);
	}
	if (s->ntopk == (size_t) s->quota)
		s->kth = s->topk[0];
}

/* For a new quota: from all rows known so far. */
static void
topk_reset(IvfScan s)
{
	size_t		i;

	if (s->topk)
		pfree(s->topk);
	s->topk = MemoryContextAllocHuge(s->cxt, sizeof(double) * s->quota);
	s->ntopk = 0;
	s->kth = INFINITY;
	for (i = 0; i < s->nrows; i++)
		if (s->mode == IVF_BY_BOUND || s->rows[i].exact)
			topk_add(s, s->rows[i].hi);
}

/* ---- rows ---- */

void
ivf_add_row(IvfScan s, const VsTid *tid, const IvfRow *value)
{
	IvfRow	   *row;

	s->rows = ivf_scan_grow(s, s->rows, &s->rows_cap, s->nrows + 1, sizeof(IvfRow));
	row = &s->rows[s->nrows++];
	*row = *value;
	row->tid = *tid;
}

void
ivf_ready_push(IvfScan s, uint32 row)
{
	IvfReady   *h;
	/* NaN, which has an infinite lo, comes after infinite values. */
	double		lo = s->rows[row].nan ? INFINITY : Min(s->rows[row].lo, DBL_MAX);
	size_t		i;

	s->ready = ivf_scan_grow(s, s->ready, &s->ready_cap, s->nready + 1, sizeof(IvfReady));
	h = s->ready;
	i = s->nready++;
	while (i > 0 && lo < h[(i - 1) / 2].lo)
	{
		h[i] = h[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h[i].lo = lo;
	h[i].row = row;
}

uint32
ivf_ready_pop(IvfScan s)
{
	IvfReady   *h = s->ready;
	uint32		row = h[0].row;
	IvfReady	moving = h[--s->nready];
	size_t		i = 0;

	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= s->nready)
			break;
		if (child + 1 < s->nready && h[child + 1].lo < h[child].lo)
			child++;
		if (!(h[child].lo < moving.lo))
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = moving;
	return row;
}

/* ---- refine codes ---- */

/*
 * Replaces a candidate by a row with a better bound. False if the row is gone
 * (its code slot belongs to another row now).
 */
static bool
refine_one(IvfScan s, uint32 cand)
{
	IvfCandidates *c = &s->cand;
	IvfRow		row = {-INFINITY, INFINITY};
	VqBound		bound;
	int			part;

	CHECK_FOR_INTERRUPTS();
	if (s->m->codec)
	{
		if (!read_refine(s, cand, &bound, &part))
		{
			c->low[cand] = c->est[cand] = INFINITY;
			return false;
		}
		if (!s->wild)
			to_value(s, &bound, part, &row);
	}
	else
		row.lo = low_value(s, c->low[cand]);
	c->low[cand] = INFINITY;
	ivf_add_row(s, &c->tid[cand], &row);
	if (s->mode == IVF_BY_BOUND)
	{
		topk_add(s, row.hi);
		ivf_ready_push(s, s->nrows - 1);
	}
	else
	{
		/* Rounded down: a float key must not pass a double value. */
		float		key = nextafterf((float) row.lo, -INFINITY);

		s->mid = ivf_scan_grow(s, s->mid, &s->mid_cap, s->nmid + 1, sizeof(VpHeapItem));
		vp_heap_push(s->mid, &s->nmid, key, s->nrows - 1);
	}
	return true;
}

static bool
read_refine(IvfScan s, uint32 cand, VqBound *bound, int *part)
{
	IvfModel   *m = s->m;
	IvfCandidates *c = &s->cand;
	Relation	index = s->scan->indexRelation;
	int64		misses = pgBufferUsage.shared_blks_read;
	Buffer		buf;
	Page		page = vs_read_if(index, c->ref_blkno[cand], VS_IVF_REFINE,
								  BUFFER_LOCK_SHARE, NULL, &buf);
	IvfRefine	row;
	VqPoint		p;

	s->count.pages++;
	s->count.refined++;
	if (page == NULL)
		return false;
	if (c->ref_idx[cand] >= m->refine_per_page)
	{
		UnlockReleaseBuffer(buf);
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a pointer to slot %u of block %u, past its end",
						RelationGetRelationName(index), c->ref_idx[cand], c->ref_blkno[cand]),
				 errhint("Please REINDEX it.")));
	}
	row = IVF_REFINE(page, m->refine_size, c->ref_idx[cand]);
	if (!vs_tid_equal(&row->tid, &c->tid[cand]) || row->part >= m->nparts)
	{
		UnlockReleaseBuffer(buf);
		return false;
	}
	if (m->refine_size > VS_USABLE)
	{
		Size		done = 0;

		/* A row of several pages: put it together in private memory. */
		if (s->wide == NULL)
			s->wide = MemoryContextAlloc(s->cxt, m->refine_size);
		for (;;)
		{
			Size		n = Min(m->refine_size - done, VS_USABLE);
			BlockNumber next = vs_opaque(page)->next;

			memcpy(s->wide + done, PageGetContents(page), n);
			done += n;
			UnlockReleaseBuffer(buf);
			if (done == m->refine_size)
				break;
			page = next == InvalidBlockNumber ? NULL :
				vs_read_if(index, next, VS_IVF_REFINE, BUFFER_LOCK_SHARE, NULL, &buf);
			s->count.pages++;
			if (page == NULL)
				return false;
		}
		row = (IvfRefine) s->wide;
		buf = InvalidBuffer;
	}
	*part = row->part;
	p.y = s->y;
	p.ysum = s->ysum;
	p.ynorm2 = s->ynorm2;
	p.dist2 = s->part_dist2[row->part];
	p.dot = s->part_dot[row->part];
	m->codec->bound(&p, row->code, m->dim, m->params, m->oc->metric, bound);
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
	if (pgBufferUsage.shared_blks_read != misses)
		s->cold = true;
	return true;
}

/* Of a scan-plane estimate, in the operator's unit. */
static double
low_value(IvfScan s, float low)
{
	return low == -INFINITY ? -INFINITY : vi_value(s->m->oc, low);
}

/*
 * A bound of the rotated space becomes an interval of what the operator
 * computes. Slack for the rotation's and the operator's own float32 rounding
 * is added on both sides. The code's error e has a direction that the random
 * rotation makes independent of the query's, so that the part of the certain
 * interval used is refine_eps = eps / sqrt(dim - 1) of it: eps standard
 * deviations.
 */
static void
to_value(IvfScan s, const VqBound *b, int part, IvfRow *row)
{
	IvfModel   *m = s->m;
	double		ulps = (m->dim / 8.0 + 32) / 16777216.0;
	double		est = b->steer;
	double		below = b->steer - b->lo;
	double		above = b->hi - b->steer;
	double		half = (b->hi - b->lo) / 2 * s->refine_eps;
	double		slack;

	if (m->oc->metric == VQ_IP)
	{
		double		x = m->mean_norm + sqrt(Max(s->part_dist2[part], 0)) + s->magnitude;

		est -= s->mean_dot;
		slack = ulps * s->magnitude * (x + fabs(b->est) / Max(s->magnitude, 1e-30));
	}
	else
	{
		double		x = s->magnitude + sqrt(Max(b->hi, 0));

		slack = ulps * (s->magnitude * s->magnitude + x * x);
	}
	if (!(est - below - slack >= -FLT_MAX) || !(est + above + slack <= FLT_MAX))
		return;					/* keeps (-inf, +inf) */
	row->lo = vi_value(m->oc, est - Min(half, below) - slack);
	row->hi = vi_value(m->oc, est + Min(half, above) + slack);
}

/* ---- heap rows ---- */

/*
 * Standard deviations within which a bound mode's interval holds: two in a
 * billion lie outside, and all that can happen then is that two rows whose
 * distances are nearly equal change places.
 */
#define BOUND_EPS 6.0f

void
ivf_refine_begin(IvfScan s)
{
	float		eps = s->mode == IVF_BY_BOUND ? BOUND_EPS : vecpg_epsilon;

	s->fetch.index = s->scan->indexRelation;
	s->fetch.heap = s->scan->heapRelation;
	s->fetch.cxt = s->cxt;
	/* Small dims: never more than the certain interval. */
	s->refine_eps = Min(1, eps / sqrt(Max(s->m->dims - 1, 1)));
}

/*
 * Gives row the operator's value for a heap row visible to the scan; false if
 * none is.
 */
bool
ivf_rerank(IvfScan s, const VsTid *tid, IvfRow *row)
{
	ItemPointerData at;
	double		value = NAN;
	Vector	   *v;

	s->count.reranked++;
	vs_tid_get(tid, &at);
	if (!vi_row_fetch(&s->fetch, &at, s->scan->xs_snapshot, &v))
		return false;
	if (v != NULL)
	{
		vt_check_expected_dim(s->m->dims, v->dim);
		value = s->m->oc->distance(s->m->dims, v->x, s->raw);
	}
	vi_row_release(&s->fetch);
	row->exact = true;
	row->nan = isnan(value);
	row->lo = row->hi = row->nan ? INFINITY : value;
	return true;
}

/* Its interval becomes the operator's value; a row not visible goes. */
void
ivf_rerank_row(IvfScan s, uint32 row)
{
	instr_time	t;

	IVF_TRACE_BEGIN(t);
	if (ivf_rerank(s, &s->rows[row].tid, &s->rows[row]))
	{
		/* Under IVF_BY_BOUND its upper value is counted already. */
		if (s->mode == IVF_BY_RERANK)
			topk_add(s, s->rows[row].hi);
		ivf_ready_push(s, row);
	}
	IVF_TRACE_END(t, s->count.rerank_us);
}
