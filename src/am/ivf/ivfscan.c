/*
 * ivfscan.c -- an ordered scan: steps, and the order in which rows come out.
 *
 * What it is not: the reading of lists (ivfprobe.c) or of codes (ivfrefine.c).
 *
 * A scan works in steps. A step answers for `quota` rows (LIMIT + OFFSET at
 * first) by reading `probes` lists; if more rows are asked for, the next step
 * doubles both, keeping all that was found. Within a step the order is exact.
 * A row found by a later step that is nearer than one already given out is
 * given out at once and counted as late (relaxed_order), or dropped and
 * counted (strict_order); `off` ends the scan with its first step.
 *
 * Within a step the order is index/order.c's; rows without code come where a
 * sequential scan puts them (index/scan.h).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/relscan.h"
#include "utils/memutils.h"

#include "am/ivf/ivfscan.h"
#include "pg/options.h"
#include "simd/simd.h"

/* Steps grow by this factor. */
#define STEP_GROWTH 2

/* The square of a query's length must not vanish in float32: errors are in its unit. */
#define TINY_NORM 1e-18

/* Quotas are bounded only so that their arrays stay addressable. */
#define MAX_QUOTA ((int64) 1 << 30)

static void begin_query(IvfScan s);
static void set_query(IvfScan s, const Vector *v);
static void first_step(IvfScan s);
static bool next_step(IvfScan s);
static void add_wild(IvfScan s);
static void probe_step(IvfScan s);
static int64 rows_met(IvfScan s);
static void choose_effort(IvfScan s);
static bool emit_ready(IvfScan s);
static bool emit_enumerated(IvfScan s);
static bool emit_uncoded(IvfScan s);
static void publish(IvfScan s);

IndexScanDesc
ivfbeginscan(Relation index, int nkeys, int norderbys)
{
	IvfScan		s = palloc0(sizeof(IvfScanData));

	s->scan = vi_scan_begin(index, nkeys, norderbys, &s->base);
	s->cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf scan", ALLOCSET_DEFAULT_SIZES);
	return s->scan;
}

void
ivfrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	IvfScan		s = scan->opaque;
	ViScan		base = s->base;
	MemoryContext cxt = s->cxt;

	vi_scan_keys(scan, keys, orderbys);
	vi_row_end(&s->fetch);
	publish(s);
	MemoryContextReset(cxt);	/* releases the model as well */
	memset(s, 0, sizeof(IvfScanData));
	s->base = base;
	s->scan = scan;
	s->cxt = cxt;
}

void
ivfendscan(IndexScanDesc scan)
{
	IvfScan		s = scan->opaque;

	vi_row_end(&s->fetch);
	publish(s);
	MemoryContextDelete(s->cxt);
	pfree(s);
	scan->opaque = NULL;
}

bool
ivfgettuple(IndexScanDesc scan, ScanDirection dir)
{
	IvfScan		s = scan->opaque;

	Assert(ScanDirectionIsForward(dir));
	scan->xs_recheck = false;
	if (!s->started)
	{
		vi_scan_start(scan, "ivf");
		begin_query(s);
		first_step(s);
		s->started = true;
		publish(s);
	}
	while (!s->done)
	{
		if (s->mode == IVF_ENUMERATE ? emit_enumerated(s) : emit_ready(s))
			return true;
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
publish(IvfScan s)
{
	if (s->started)
	{
		s->count.scans = 1;
		vi_last_scan = s->count;
	}
}

/* ---- query ---- */

static void
begin_query(IvfScan s)
{
	IndexScanDesc scan = s->scan;
	instr_time	t;

	VI_TRACE_BEGIN(t);
	s->m = ivf_model_get(scan->indexRelation, &s->meta);
	ivf_model_release_with(s->m, s->cxt);
	vi_order_begin(&s->order, s->cxt);
	if (scan->numberOfOrderBys == 0)
		s->mode = IVF_ENUMERATE;
	else if (scan->orderByData[0].sk_flags & SK_ISNULL)
	{
		s->mode = IVF_ENUMERATE;
		s->all_null = true;
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(s->cxt);

		set_query(s, DatumGetVector(scan->orderByData[0].sk_argument));
		MemoryContextSwitchTo(old);
	}
	VI_TRACE_END(t, s->count.prepare_us);
	VI_TRACE_BEGIN(t);
	ivf_probe_begin(s);
	VI_TRACE_END(t, s->count.centroids_us);
}

static void
set_query(IvfScan s, const Vector *v)
{
	IvfModel   *m = s->m;
	float	   *prepared;
	double		norm;
	ViClass		class;
	char	   *lut;
	int			i;

	if (v->dim != m->dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d", m->dims, v->dim)));
	s->raw = palloc(sizeof(float) * m->dims);
	memcpy(s->raw, v->x, sizeof(float) * m->dims);
	prepared = palloc(sizeof(float) * m->dims);
	class = vi_prepare(m->oc, m->dims, s->raw, prepared, &norm);
	if (class == VI_NAN)
	{
		s->mode = IVF_ENUMERATE;
		return;
	}
	s->wild = class == VI_WILD || (m->oc->metric == VQ_IP && norm > 0 && norm < TINY_NORM);
	s->mode = m->codec && m->codec->tight ? IVF_BY_BOUND : IVF_BY_RERANK;
	s->y = palloc0(sizeof(float) * m->dim);
	if (!s->wild)
	{
		bool		ip = m->oc->metric == VQ_IP;

		vm_rotate(&m->rot, prepared, ip ? NULL : m->mean, s->y);
		if (ip)
			s->interval.mean_dot = vk->dot_f32(s->raw, m->mean, m->dims);
		s->interval.magnitude = (m->oc->normalise ? 1 : norm) + m->mean_norm;
	}
	for (i = 0; i < m->dim; i++)
		s->ysum += s->y[i];
	s->ynorm2 = vk->dot_f32(s->y, s->y, m->dim);
	lut = palloc((Size) 4 * m->sdim + VP_ALIGN);
	vq_bit_query(&s->bit, s->y, m->sdim, (uint8 *) VP_ROUND_UP((uintptr_t) lut, VP_ALIGN));
	s->eps = vq_bit_eps(vecpg_epsilon, m->dim);
	ivf_refine_begin(s);
}

/* ---- steps ---- */

static void
first_step(IvfScan s)
{
	int64		limit = s->base.limit > 0 ? s->base.limit : IVF_DEFAULT_LIMIT;

	if (s->mode == IVF_ENUMERATE)
	{
		s->probes = s->open = 1;
		s->uncoded.sort = VI_TIDS_WILD;
		ivf_probe_until(s, s->probes);
		s->count.steps++;
		return;
	}
	s->quota = Min(limit, MAX_QUOTA);
	choose_effort(s);
	if (ivf_max_probes > 0)
		s->probes = Min(s->probes, ivf_max_probes);
	/* Codes say nothing about such a query: every heap row is read. */
	if (s->wild)
	{
		s->probes = PG_INT32_MAX;
		s->quota = MAX_QUOTA;
	}

	add_wild(s);
	s->uncoded.sort = VI_TIDS_NAN;
	probe_step(s);
	ivf_refine_step(s);
	s->count.steps++;
}

/* Rows whose distances may overflow can be anywhere in the order. */
static void
add_wild(IvfScan s)
{
	IvfMetaData now;
	ItemPointerData *tids;
	size_t		n;
	size_t		i;

	ivf_meta_read(s->scan->indexRelation, &now);
	tids = vi_tids_read(s->scan->indexRelation, &now.tids, VI_TIDS_WILD, s->cxt, &n,
						&s->count.pages);
	for (i = 0; i < n; i++)
	{
		ViOrderRow	row = {-INFINITY, INFINITY};
		VsTid		tid;
		uint32		at;

		vs_tid_set(&tid, &tids[i]);
		at = ivf_keep_row(s, &tid, &row);
		if (s->mode == IVF_BY_BOUND)
			vi_order_ready(&s->order, at);
		else
			vi_order_settle(&s->order, at);
	}
	s->nwild = n;
	if (tids)
		pfree(tids);
}

/*
 * Reads the step's lists and, where they hold fewer rows than it answers for,
 * further ones: a second step would be out of order with the first.
 */
static void
probe_step(IvfScan s)
{
	ivf_probe_until(s, s->probes);
	while (ivf_probes == 0 && s->count.candidates < s->quota && !ivf_probe_done(s) &&
		   (ivf_max_probes == 0 || s->read < ivf_max_probes))
		ivf_probe_until(s, ++s->probes);
	s->quota = Min(s->quota, rows_met(s));
}

/* For the quota; never less than before. */
static void
choose_effort(IvfScan s)
{
	IvfEffort	effort = {ivf_probes, IVF_OPEN_DEFAULT};

	if (ivf_probes == 0)
		effort = ivf_effort(&s->meta, ivf_target_recall(s->scan->indexRelation), s->quota);
	s->probes = Max(s->probes, effort.probes);
	s->open = Max(s->open, effort.open);
}

/* No quota need be larger: slots read, filled or not, and rows without code. */
static int64
rows_met(IvfScan s)
{
	return Max((int64) (s->cand.n + s->nwild), 1);
}

/*
 * Prepares more rows; false if there are none (or no more are wanted), and
 * then all rows found have been given out.
 */
static bool
next_step(IvfScan s)
{
	if (s->mode == IVF_ENUMERATE)
	{
		if (ivf_probe_done(s) && s->next_cand >= s->cand.n)
			return false;
		ivf_probe_until(s, ++s->probes);
		return s->next_cand < s->cand.n || !ivf_probe_done(s);
	}
	if (s->order.exhausted)
		return false;
	if (ivf_iterative_scan == VECPG_SCAN_OFF)
	{
		/* What the first step has found is still in order. */
		s->order.exhausted = true;
		s->uncoded.sort = -1;
		return s->order.nready > 0;
	}
	if (ivf_probe_done(s) || (ivf_max_probes > 0 && s->read >= ivf_max_probes))
	{
		if (s->quota >= rows_met(s))
		{
			s->order.exhausted = true;
			if (!ivf_probe_done(s))
				s->uncoded.sort = -1;	/* max_probes: not the whole table */
			return s->order.nready > 0;
		}
		s->quota = Min(s->quota * STEP_GROWTH * STEP_GROWTH, rows_met(s));
	}
	else
	{
		s->quota = Min(s->quota * STEP_GROWTH, MAX_QUOTA);
		s->probes *= STEP_GROWTH;
		if (ivf_probes == 0)
			choose_effort(s);
		if (ivf_max_probes > 0)
			s->probes = Min(s->probes, ivf_max_probes);
		probe_step(s);
	}
	ivf_refine_step(s);
	s->count.steps++;
	return true;
}

/* ---- emission ---- */

/* The next row of this step, in order; false when the step has no more. */
static bool
emit_ready(IvfScan s)
{
	const ViOrderRow *row;

	s->order.strict = ivf_iterative_scan == VECPG_SCAN_STRICT;
	row = vi_order_next(&s->order);
	if (row == NULL)
		return false;
	vi_scan_emit(s->scan, &s->row_tid[row->item], row->nan ? NAN : row->lo, false, &s->count);
	return true;
}

/* Every coded row with the same value, in no order. */
static bool
emit_enumerated(IvfScan s)
{
	while (s->next_cand < s->cand.n)
	{
		size_t		i = s->next_cand++;

		if (s->cand.low[i] == INFINITY)
			continue;
		vi_scan_emit(s->scan, &s->cand.tid[i], NAN, s->all_null, &s->count);
		return true;
	}
	return false;
}

/* Rows that are in no list: wild ones (enumerating), then NaN, then NULL. */
static bool
emit_uncoded(IvfScan s)
{
	while (!vi_uncoded_emit(&s->uncoded, s->scan, s->all_null, &s->count))
	{
		IvfMetaData now;

		if (s->uncoded.sort < 0)
			return false;
		ivf_meta_read(s->scan->indexRelation, &now);
		vi_uncoded_read(&s->uncoded, s->scan->indexRelation, &now.tids, s->cxt, &s->count);
	}
	return true;
}
