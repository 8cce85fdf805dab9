/*
 * hnswscan.c -- an ordered scan: steps, and which rows come out.
 *
 * What it is not: the walk (graph/search.c over hnswread.c), the order of rows
 * (index/order.c), or the reading of what the walk has left out (hnswsweep.c).
 *
 * A scan works in steps. A step answers for `quota` rows (LIMIT + OFFSET at
 * first) by a walk of breadth ef; if more rows are asked for, the next step
 * doubles both and goes on where the walk stopped. Within a step the order is
 * exact. A row found by a later step that is nearer than one already given out
 * is given out at once and counted as late (relaxed_order), or dropped and
 * counted (strict_order); `off` ends the scan with its first step.
 *
 * A walk that has become as dear as reading all codes in a row, or that needs
 * more memory than it may have, or that has nowhere to go, gives way to just
 * that: one pass over the base layer, after which every row is known.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "am/hnsw/hnswscan.h"
#include "pg/options.h"
#include "simd/simd.h"

/* Steps grow by this factor. */
#define STEP_GROWTH 2

/*
 * A record met by the walk costs some 20 times one that is read in a row, and
 * a walk of breadth ef meets about 1.5 ef of them.
 */
#define SWEEP_SHARE 16

/* The square of a query's length must not vanish in float32: errors are in its unit. */
#define TINY_NORM 1e-18

/* Pages read at a time where rows have no order. */
#define ENUMERATE_PAGES 16

/* Quotas are bounded only so that their arrays stay addressable. */
#define MAX_QUOTA ((int64) 1 << 30)

static void begin_query(HnswScan s);
static void set_query(HnswScan s, const Vector *v);
static void first_step(HnswScan s);
static void begin_step(HnswScan s);
static void add_wild(HnswScan s);
static void walk(HnswScan s);
static bool next_step(HnswScan s);
static bool walk_is_dear(HnswScan s);
static bool visited_enough(HnswScan s);
static void visit(void *arg, uint32 number, HnswNode node, const VqBound *bound);
static void add_met(HnswScan s);
static bool exact_value(void *arg, ViOrderRow *row);
static bool emit_pending(HnswScan s);
static bool emit_ready(HnswScan s);
static bool emit_enumerated(HnswScan s);
static bool emit_uncoded(HnswScan s);
static void emit_item(HnswScan s, const HnswItem *item, double value);
static void publish(HnswScan s);

IndexScanDesc
hnswbeginscan(Relation index, int nkeys, int norderbys)
{
	HnswScan	s = palloc0(sizeof(HnswScanData));

	s->cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
	s->scan = vi_scan_begin(index, nkeys, norderbys, &s->base);
	return s->scan;
}

void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan	s = (HnswScan) scan->opaque;
	ViScan		base = s->base;
	MemoryContext cxt = s->cxt;

	vi_scan_keys(scan, keys, orderbys);
	vi_row_end(&s->fetch);
	publish(s);
	MemoryContextReset(cxt);	/* releases the model as well */
	memset(s, 0, sizeof(HnswScanData));
	s->base = base;
	s->scan = scan;
	s->cxt = cxt;
}

void
hnswendscan(IndexScanDesc scan)
{
	HnswScan	s = (HnswScan) scan->opaque;

	vi_row_end(&s->fetch);
	publish(s);
	MemoryContextDelete(s->cxt);
	pfree(s);
	scan->opaque = NULL;
}

bool
hnswgettuple(IndexScanDesc scan, ScanDirection dir)
{
	HnswScan	s = (HnswScan) scan->opaque;

	Assert(ScanDirectionIsForward(dir));
	scan->xs_recheck = false;
	if (!s->started)
	{
		vi_scan_start(scan, "hnsw");
		begin_query(s);
		first_step(s);
		s->started = true;
		publish(s);
	}
	while (!s->done)
	{
		if (emit_pending(s))
			return true;
		if (s->mode == HNSW_ENUMERATE ? emit_enumerated(s) : emit_ready(s))
			continue;
		if (next_step(s))
			continue;
		if (emit_uncoded(s))
			return true;
		s->done = true;
	}
	publish(s);
	return false;
}

/* What vecpg_last_scan() shows: totals of the scan so far. */
static void
publish(HnswScan s)
{
	if (s->started)
	{
		s->count.scans = 1;
		vi_last_scan = s->count;
	}
}

/* ---- query ---- */

static void
begin_query(HnswScan s)
{
	IndexScanDesc scan = s->scan;
	instr_time	t;

	VI_TRACE_BEGIN(t);
	s->m = hnsw_model_get(scan->indexRelation, &s->meta, s->cxt);
	vi_order_begin(&s->order, s->cxt);
	s->order.exact = exact_value;
	s->order.arg = s;
	s->order.count = &s->count;
	s->order.by_bound = true;
	s->fetch.index = scan->indexRelation;
	s->fetch.heap = scan->heapRelation;
	s->fetch.cxt = s->cxt;
	s->r.index = scan->indexRelation;
	s->r.m = s->m;
	s->r.q = &s->q;
	s->r.cxt = s->cxt;
	s->r.visit = visit;
	s->r.arg = s;
	s->r.count = &s->count;
	if (scan->numberOfOrderBys == 0)
		s->mode = HNSW_ENUMERATE;
	else if (scan->orderByData[0].sk_flags & SK_ISNULL)
	{
		s->mode = HNSW_ENUMERATE;
		s->all_null = true;
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(s->cxt);

		set_query(s, DatumGetVector(scan->orderByData[0].sk_argument));
		MemoryContextSwitchTo(old);
	}
	VI_TRACE_END(t, s->count.prepare_us);
}

static void
set_query(HnswScan s, const Vector *v)
{
	HnswModel  *m = s->m;
	bool		ip = m->oc->metric == VQ_IP;
	float	   *scratch;
	float	   *y;
	double		norm;
	ViClass		class;

	if (v->dim != m->dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d", m->dims, v->dim)));
	s->raw = palloc(sizeof(float) * m->dims);
	memcpy(s->raw, v->x, sizeof(float) * m->dims);
	scratch = palloc(sizeof(float) * m->dims);
	y = palloc0(sizeof(float) * m->dim);
	class = hnsw_prepare(m, s->raw, scratch, y, &norm);
	if (class == VI_NAN)
	{
		s->mode = HNSW_ENUMERATE;
		return;
	}
	s->wild = class == VI_WILD || (ip && norm > 0 && norm < TINY_NORM);
	if (s->wild)
		return;
	s->interval.oc = m->oc;
	s->interval.dim = m->dim;
	s->interval.mean_norm = m->mean_norm;
	s->interval.magnitude = (m->oc->normalise ? 1 : norm) + m->mean_norm;
	/* The error of an L1 code has no random direction. */
	s->interval.share = m->oc->metric == VQ_L1 ? 1 : vi_interval_share(VI_BOUND_EPS, m->dims);
	if (ip)
	{
		/* Rows are shifted by the mean, the query is not. */
		vm_rotate(&m->rot, s->raw, NULL, y);
		s->interval.mean_dot = vk->dot_f32(s->raw, m->mean, m->dims);
		s->reach2 = (m->max_norm + m->mean_norm) * (m->max_norm + m->mean_norm);
	}
	hnsw_query(m, y, s->cxt, &s->q);
}

/* ---- steps ---- */

static void
first_step(HnswScan s)
{
	int64		limit = s->base.limit > 0 ? s->base.limit : HNSW_DEFAULT_LIMIT;

	s->count.steps++;
	if (s->mode == HNSW_ENUMERATE)
	{
		s->uncoded.sort = VI_TIDS_WILD;
		return;
	}
	s->uncoded.sort = VI_TIDS_NAN;
	s->quota = Min(limit, MAX_QUOTA);
	s->ef = Max(hnsw_ef(&s->meta, hnsw_target_recall(s->scan->indexRelation), s->quota), s->quota);
	begin_step(s);
	add_wild(s);
	/* Codes say nothing about such a query: every heap row is read. */
	if (s->wild || walk_is_dear(s))
	{
		hnsw_sweep(s, InvalidBlockNumber);
		add_met(s);
		s->order.exhausted = true;
		return;
	}
	if (s->meta.entry != HNSW_NONE)
	{
		instr_time	t;
		uint32		entry;

		VI_TRACE_BEGIN(t);
		entry = hnsw_descend(&s->r, s->meta.entry, s->meta.entry_level, 0);
		VI_TRACE_END(t, s->count.centroids_us);
		hnsw_walk_begin(&s->r, 0);
		if (entry != HNSW_NONE)
			vg_search_push(&s->r.search, entry, 0);
	}
	else
		hnsw_walk_begin(&s->r, 0);
	walk(s);
}

/*
 * A step answers for all of W, not only for the rows that are wanted: some of
 * these may be dead, and the next step could find rows nearer than what it has
 * to go on with. It costs nothing, as heap rows are read when they are due.
 */
static void
begin_step(HnswScan s)
{
	vi_order_quota(&s->order, Min(Max(s->quota, s->ef), MAX_QUOTA));
}

/* Rows whose distances may overflow can be anywhere in the order. */
static void
add_wild(HnswScan s)
{
	ItemPointerData *tids;
	size_t		n;
	size_t		i;

	tids = vi_tids_read(s->scan->indexRelation, &s->meta.tids, VI_TIDS_WILD, s->cxt, &n,
						&s->count.pages);
	for (i = 0; i < n; i++)
	{
		ViOrderRow	row = {-INFINITY, INFINITY};
		HnswItem   *item;

		s->items = vi_grow(s->cxt, s->items, &s->items_cap, s->nitems + 1, sizeof(HnswItem));
		item = &s->items[s->nitems];
		memset(item, 0, sizeof(HnswItem));
		item->count = row.count = 1;
		row.item = s->nitems++;
		vs_tid_set(&item->tid, &tids[i]);
		vi_order_add(&s->order, &row);
	}
}

/* Walks until the step's breadth is reached. */
static void
walk(HnswScan s)
{
	instr_time	t;

	VI_TRACE_BEGIN(t);
	s->walking = vg_search_run(&s->r.search, s->ef);
	VI_TRACE_END(t, s->count.lists_us);
	add_met(s);
}

/*
 * Prepares more rows; false if there are none (or no more are wanted), and
 * then all rows found have been given out.
 */
static bool
next_step(HnswScan s)
{
	if (s->mode == HNSW_ENUMERATE)
	{
		if (s->swept == InvalidBlockNumber)
			return false;
		s->nitems = s->next_item = 0;
		hnsw_sweep(s, ENUMERATE_PAGES);
		return true;
	}
	if (s->order.exhausted)
		return false;
	if (hnsw_iterative_scan == VECPG_SCAN_OFF || visited_enough(s))
	{
		/* What has been found is still in order. */
		s->order.exhausted = true;
		s->uncoded.sort = -1;
		return s->order.nready > 0;
	}
	s->count.steps++;
	s->quota = Min(s->quota * STEP_GROWTH, MAX_QUOTA);
	s->ef = Max(s->ef * STEP_GROWTH, s->quota);
	if (!s->walking || walk_is_dear(s))
	{
		hnsw_sweep(s, InvalidBlockNumber);
		s->order.exhausted = true;
		add_met(s);
		return s->order.nready > 0;
	}
	begin_step(s);
	walk(s);
	return true;
}

static bool
walk_is_dear(HnswScan s)
{
	Size		limit = (Size) (work_mem * hnsw_scan_mem_multiplier * 1024);
	int64		records = (int64) RelationGetNumberOfBlocks(s->scan->indexRelation) *
		s->m->layout[0].per_page / s->m->layout[0].npages;

	return s->ef > HNSW_DEFAULT_LIMIT &&
		(s->ef > records / SWEEP_SHARE || MemoryContextMemAllocated(s->cxt, true) > limit);
}

static bool
visited_enough(HnswScan s)
{
	return hnsw_max_scan_tuples > 0 && s->nitems >= (size_t) hnsw_max_scan_tuples;
}

/* ---- records met ---- */

static void
visit(void *arg, uint32 number, HnswNode node, const VqBound *bound)
{
	hnsw_scan_meet((HnswScan) arg, number, node, bound);
}

void
hnsw_scan_meet(HnswScan s, uint32 number, HnswNode node, const VqBound *bound)
{
	HnswItem   *item;
	ViOrderRow *row;

	if (node->count == 0)
		return;
	s->items = vi_grow(s->cxt, s->items, &s->items_cap, s->nitems + 1, sizeof(HnswItem));
	item = &s->items[s->nitems++];
	item->hash = node->v.hash;
	item->number = number;
	item->count = node->count;
	item->tid = node->tid;
	if (s->mode == HNSW_ENUMERATE)
		return;
	s->met = vi_grow(s->cxt, s->met, &s->met_cap, s->nmet + 1, sizeof(ViOrderRow));
	row = &s->met[s->nmet++];
	row->lo = -INFINITY;
	row->hi = INFINITY;
	row->item = s->nitems - 1;
	row->count = node->count;
	row->exact = row->nan = false;
	if (bound)
		vi_interval(&s->interval, bound, s->reach2, &row->lo, &row->hi);
}

static void
add_met(HnswScan s)
{
	size_t		i;

	for (i = 0; i < s->nmet; i++)
		vi_order_add(&s->order, &s->met[i]);
	s->nmet = 0;
}

/* The rows of an item: equal vectors, so the first visible one gives the value of all. */
static bool
exact_value(void *arg, ViOrderRow *row)
{
	HnswScan	s = arg;
	HnswItem   *item = &s->items[row->item];
	ItemPointerData one;
	ItemPointerData *tids = &one;
	size_t		n = 1;
	size_t		i;
	bool		found = false;

	if (item->count == 1 && !vs_tid_empty(&item->tid))
		vs_tid_get(&item->tid, &one);
	else
		n = hnsw_read_rows(s->scan->indexRelation, s->m, item->number, item->hash, s->cxt, &tids);
	for (i = 0; i < n && !found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		s->count.reranked++;
		found = vi_exact_value(&s->fetch, s->m->oc, s->m->dims, s->raw, &tids[i],
							   s->scan->xs_snapshot, row);
	}
	return found;
}

/* ---- emission ---- */

/* The next row of the record at hand. */
static bool
emit_pending(HnswScan s)
{
	VsTid		tid;

	if (s->next_tid == s->ntids)
		return false;
	vs_tid_set(&tid, &s->tids[s->next_tid++]);
	vi_scan_emit(s->scan, &tid, s->value, s->all_null, &s->count);
	return true;
}

/* Takes the next record of this step, in order; false when the step has no more. */
static bool
emit_ready(HnswScan s)
{
	const ViOrderRow *row;

	s->order.strict = hnsw_iterative_scan == VECPG_SCAN_STRICT;
	row = vi_order_next(&s->order);
	if (row == NULL)
		return false;
	emit_item(s, &s->items[row->item], row->nan ? NAN : row->lo);
	return true;
}

/* Every record with the same value, in no order. */
static bool
emit_enumerated(HnswScan s)
{
	if (s->next_item == s->nitems)
		return false;
	emit_item(s, &s->items[s->next_item++], NAN);
	return true;
}

/* Makes the item's rows those to be given out. */
static void
emit_item(HnswScan s, const HnswItem *item, double value)
{
	s->value = value;
	s->next_tid = 0;
	if (item->count == 1 && !vs_tid_empty(&item->tid))
	{
		if (s->tids == NULL)
			s->tids = MemoryContextAlloc(s->cxt, sizeof(ItemPointerData));
		vs_tid_get(&item->tid, &s->tids[0]);
		s->ntids = 1;
		return;
	}
	if (s->tids != NULL)
		pfree(s->tids);
	s->tids = NULL;
	s->ntids = hnsw_read_rows(s->scan->indexRelation, s->m, item->number, item->hash, s->cxt,
							  &s->tids);
}

/* Rows that have no record: wild ones (enumerating), then NaN, then NULL. */
static bool
emit_uncoded(HnswScan s)
{
	while (!vi_uncoded_emit(&s->uncoded, s->scan, s->all_null, &s->count))
	{
		if (s->uncoded.sort < 0)
			return false;
		hnsw_meta_read(s->scan->indexRelation, &s->meta);
		vi_uncoded_read(&s->uncoded, s->scan->indexRelation, &s->meta.tids, s->cxt, &s->count);
	}
	return true;
}
