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
 * heap row is read (index/order.c) only where two intervals overlap.
 * IVF_BY_RERANK: coarser codes would leave hundreds of rows in doubt, so heap
 * rows are read, under the scan's own snapshot, in the order of
 * est - eps * error until the quota is certain.
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
static bool exact_value(void *arg, ViOrderRow *row);
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

	VI_TRACE_BEGIN(t);
	vi_order_quota(&s->order, s->quota);
	limit = quota_threshold(s);
	for (;;)
	{
		select_candidates(s, limit);
		refine_selected(s);
		/*
		 * Rows that turned out dead, or farther than estimated, leave the quota
		 * open beyond what was selected.
		 */
		if (limit == INFINITY || low_value(s, limit) >= s->order.kth)
			break;
		limit = s->order.kth == INFINITY ? INFINITY : (float) (vi_unvalue(s->m->oc, s->order.kth) * (1 + 1e-6));
		/* Near zero, or under a negative inner product, rounding stands still. */
		if (!(limit > before))
			limit = INFINITY;
		before = limit;
	}
	VI_TRACE_END(t, s->count.refine_us);
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
			if ((double) s->mid[0].key > s->order.kth)
				return;
			vi_order_settle(&s->order, vp_heap_pop(s->mid, &s->nmid).item);
			continue;
		}
		/* What is left stays a candidate for the next step. */
		if (s->nchosen == 0 || next > s->order.kth)
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

	s->chosen = vi_grow(s->cxt, s->chosen, &s->chosen_cap, Max(c->n, 1), sizeof(VpHeapItem));
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
	s->chosen = vi_grow(s->cxt, s->chosen, &s->chosen_cap, c->n, sizeof(VpHeapItem));
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

/* ---- refine codes ---- */

/*
 * Replaces a candidate by a row with a better bound. False if the row is gone
 * (its code slot belongs to another row now).
 */
static bool
refine_one(IvfScan s, uint32 cand)
{
	IvfCandidates *c = &s->cand;
	ViOrderRow	row = {-INFINITY, INFINITY};
	VqBound		bound;
	int			part;
	uint32		at;

	CHECK_FOR_INTERRUPTS();
	if (s->m->codec)
	{
		if (!read_refine(s, cand, &bound, &part))
		{
			c->low[cand] = c->est[cand] = INFINITY;
			return false;
		}
		if (!s->wild)
			vi_interval(&s->interval, &bound, s->part_dist2[part], &row.lo, &row.hi);
	}
	else
		row.lo = low_value(s, c->low[cand]);
	c->low[cand] = INFINITY;
	at = ivf_keep_row(s, &c->tid[cand], &row);
	if (s->mode == IVF_BY_BOUND)
		vi_order_ready(&s->order, at);
	else
	{
		/* Rounded down: a float key must not pass a double value. */
		float		key = nextafterf((float) row.lo, -INFINITY);

		s->mid = vi_grow(s->cxt, s->mid, &s->mid_cap, s->nmid + 1, sizeof(VpHeapItem));
		vp_heap_push(s->mid, &s->nmid, key, at);
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

/* ---- heap rows ---- */

void
ivf_refine_begin(IvfScan s)
{
	s->fetch.index = s->scan->indexRelation;
	s->fetch.heap = s->scan->heapRelation;
	s->fetch.cxt = s->cxt;
	s->interval.oc = s->m->oc;
	s->interval.dim = s->m->dim;
	s->interval.mean_norm = s->m->mean_norm;
	s->interval.share = vi_interval_share(s->mode == IVF_BY_BOUND ? VI_BOUND_EPS : vecpg_epsilon,
										  s->m->dims);
	s->order.exact = exact_value;
	s->order.arg = s;
	s->order.count = &s->count;
	s->order.by_bound = s->mode == IVF_BY_BOUND;
}

uint32
ivf_keep_row(IvfScan s, const VsTid *tid, ViOrderRow *row)
{
	size_t		n = s->order.nrows;

	s->row_tid = vi_grow(s->cxt, s->row_tid, &s->row_tid_cap, n + 1, sizeof(VsTid));
	s->row_tid[n] = *tid;
	row->item = n;
	row->count = 1;
	return vi_order_keep(&s->order, row);
}

static bool
exact_value(void *arg, ViOrderRow *row)
{
	IvfScan		s = arg;
	ItemPointerData tid;

	s->count.reranked++;
	vs_tid_get(&s->row_tid[row->item], &tid);
	return vi_exact_value(&s->fetch, s->m->oc, s->m->dims, s->raw, &tid, s->scan->xs_snapshot, row);
}
