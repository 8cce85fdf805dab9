/*
 * hnswbuild.c -- CREATE INDEX: the order of phases, heap rows to coded rows.
 *
 * What it is not: the graph (graph/build.c) or the pages (hnswwrite.c).
 *
 * 1. A few rows from random places give the mean (the shift before the
 *    rotation) and, for L1, the scale.
 * 2. One pass over the heap codes every row with 8 bits a dimension, in memory;
 *    rows with equal vectors become one. Batches are coded in threads.
 * 3. The graph is built over these codes, in threads (graph/build.c).
 * 4. Recall against ef is measured, records are made from codes, and pages
 *    are written and logged once.
 *
 * The graph needs every row at random. What exceeds maintenance_work_mem is not
 * private memory but a mapped temporary file (index/build.h).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/tableam.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "am/hnsw/hnswbuild.h"
#include "index/probe.h"
#include "math/par.h"
#include "simd/simd.h"

/* Any fixed number will do: equal tables give equal indexes. */
#define BUILD_SEED 0x76656370

/* Fewer do not tell the range of the rows to come. */
#define FEW_ROWS 32

/* Dimensions on which the build first compares a row, where it has twice as many. */
#define HEAD_DIMS 256

/* Equal vectors by hash. */
typedef struct HashEntry
{
	uint64		hash;
	uint32		row;
	char		status;
} HashEntry;

#define SH_PREFIX hnsw_rows
#define SH_ELEMENT_TYPE HashEntry
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static HnswBuild *begin_build(Relation heap, Relation index, IndexInfo *info);
static void learn(HnswBuild *b);
static void begin_load(HnswBuild *b, ForkNumber fork);
static double expected_rows(HnswBuild *b);
static void load_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
						  bool alive, void *state);
static void flush_batch(HnswBuild *b);
static void code_rows(void *arg, int thread, size_t from, size_t to);
static void code_row(HnswBuild *b, size_t i, const float *x, uint8 *code);
static void keep_row(HnswBuild *b, int i);
static void make_room(HnswBuild *b);
static void end_load(HnswBuild *b);
static void report_progress(void *arg, size_t done);
static void build_graph(HnswBuild *b);

char *
hnswbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HNSW_PHASE_LOAD:
			return "loading tuples";
		case HNSW_PHASE_GRAPH:
			return "building graph";
		case HNSW_PHASE_CALIBRATE:
			return "measuring recall";
		case HNSW_PHASE_WRITE:
			return "writing records";
		case HNSW_PHASE_SYNC:
			return "flushing to disk";
		default:
			return NULL;
	}
}

IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *info)
{
	HnswBuild  *b = begin_build(heap, index, info);
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	learn(b);
	begin_load(b, MAIN_FORKNUM);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_LOAD);
	result->heap_tuples = table_index_build_scan(heap, index, info, true, true, load_callback, b,
												 NULL);
	flush_batch(b);
	end_load(b);
	build_graph(b);
	hnsw_write(b);
	result->index_tuples = b->index_tuples;
	MemoryContextDelete(b->cxt);
	return result;
}

/* The init fork of an unlogged index: an index without rows. */
void
hnswbuildempty(Relation index)
{
	HnswBuild  *b = begin_build(NULL, index, NULL);

	learn(b);
	begin_load(b, INIT_FORKNUM);
	end_load(b);
	build_graph(b);
	hnsw_write(b);
	MemoryContextDelete(b->cxt);
}

static HnswBuild *
begin_build(Relation heap, Relation index, IndexInfo *info)
{
	const VecOpclass *oc = vi_opclass(index);
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw build",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	HnswBuild  *b = palloc0(sizeof(HnswBuild));

	b->cxt = cxt;
	b->tmp = AllocSetContextCreate(cxt, "hnsw build rows", ALLOCSET_DEFAULT_SIZES);
	b->heap = heap;
	b->index = index;
	b->info = info;
	b->opts = vecpg_hnsw_options(index);
	if (b->opts->ef_construction < 2 * b->opts->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));
	b->seed = vp_seed(BUILD_SEED);
	b->budget.cxt = cxt;
	b->budget.left = (Size) maintenance_work_mem * 1024;
	vi_env_budget(&b->env, &b->budget, b->seed);
	b->m = palloc0(sizeof(HnswModel));
	hnsw_model_choose(b->m, oc, vi_check_dims(index, oc, "hnsw"), b->opts->m,
					  b->opts->ef_construction, b->opts->bits);
	vm_rotation_init(&b->m->rot, b->m->dims, b->seed, palloc(vm_rotation_bytes(b->m->dims)));
	MemoryContextSwitchTo(old);
	return b;
}

/* ---- what a few rows tell ---- */

static void
learn(HnswBuild *b)
{
	HnswModel  *m = b->m;
	MemoryContext old = MemoryContextSwitchTo(b->cxt);
	uint64		random = b->seed;
	float	   *rows;
	Size		n = 0;
	Size		i;
	int			d;

	m->mean = palloc0(sizeof(float) * m->dims);
	if (b->heap != NULL)
	{
		rows = MemoryContextAllocHuge(b->cxt, sizeof(float) * VI_PROBE_ROWS * m->dims);
		n = vi_probe_rows(b->heap, b->index, b->info, m->oc, m->dims, &random, rows);
		if (n > 0 && m->codec->train && n < FEW_ROWS)
			hnsw_few_rows(m->params, n * m->dims, rows);
		else if (n > 0 && m->codec->train)
			m->codec->train(rows, n, m->dims, m->params);
		if (m->oc->metric != VQ_L1)
			for (i = 0; i < n; i++)
				for (d = 0; d < m->dims; d++)
					m->mean[d] += rows[i * m->dims + d] / n;
		pfree(rows);
	}
	if (n == 0 && m->codec->train)
		m->params[1] = 1;		/* until the first row comes (hnsw_first_row) */
	hnsw_model_mean(m);
	MemoryContextSwitchTo(old);
}

/* ---- load: heap rows in batches ---- */

static void
begin_load(HnswBuild *b, ForkNumber fork)
{
	HnswModel  *m = b->m;
	int			wide = Max(m->dim, m->dims);
	MemoryContext old = MemoryContextSwitchTo(b->cxt);

	b->rows.dim = m->dim;
	b->rows.space = m->oc->metric == VQ_L1 ? VG_L1 : VG_L2;
	b->rows.step = m->params[1];
	b->rows.head = m->oc->metric != VQ_L1 && m->dim >= 2 * HEAD_DIMS ? HEAD_DIMS : 0;
	b->rows.stride = VP_ROUND_UP(sizeof(VgRow) + m->dim + 4 * sizeof(float), VP_ALIGN);
	b->raw = b->env.alloc(b->env.arg, sizeof(float) * HNSW_BATCH * m->dims);
	b->tid = palloc(sizeof(ItemPointerData) * HNSW_BATCH);
	b->class = palloc(HNSW_BATCH);
	b->norm = palloc(sizeof(float) * HNSW_BATCH);
	b->norm2 = palloc(sizeof(float) * HNSW_BATCH);
	b->coded = palloc0(sizeof(HnswBuildRow) * HNSW_BATCH);
	b->codes = b->env.alloc(b->env.arg, b->rows.stride * HNSW_BATCH);
	/* prepared, rotated, two for the codec, a code */
	b->scratch_size = VP_ROUND_UP(sizeof(float) * 4 * wide + m->codec->bytes(m->dim) + wide + 64,
								  VP_ALIGN);
	b->scratch = b->env.alloc(b->env.arg, b->scratch_size * b->env.nthreads);
	b->by_hash = hnsw_rows_create(b->cxt, 1024, NULL);
	b->bulk = vs_bulk_begin(b->index, fork);
	/* The metapage comes last: only then are the places of all else known. */
	vs_bulk_reserve(b->bulk);
	vi_tids_build_begin(&b->tids);
	MemoryContextSwitchTo(old);
}

static void
load_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			  bool alive, void *state)
{
	HnswBuild  *b = state;
	MemoryContext old;
	Vector	   *v;

	if (isnull[0])
	{
		vi_tids_build_add(&b->tids, b->bulk, VI_TIDS_NULL, tid);
		b->index_tuples++;
		return;
	}
	old = MemoryContextSwitchTo(b->tmp);
	v = DatumGetVector(values[0]);
	vt_check_expected_dim(b->m->dims, v->dim);
	memcpy(b->raw + (Size) b->nbatch * b->m->dims, v->x, sizeof(float) * b->m->dims);
	b->tid[b->nbatch++] = *tid;
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->tmp);
	if (b->nbatch == HNSW_BATCH)
		flush_batch(b);
}

static void
flush_batch(HnswBuild *b)
{
	int			i;

	if (b->nbatch == 0)
		return;
	vm_par_for(b->env.nthreads, b->nbatch, 32, code_rows, b);
	CHECK_FOR_INTERRUPTS();
	for (i = 0; i < b->nbatch; i++)
	{
		if (b->class[i] == VI_FINITE)
			keep_row(b, i);
		else
			vi_tids_build_add(&b->tids, b->bulk, vi_tids_sort(b->class[i]), &b->tid[i]);
		b->index_tuples++;
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) b->index_tuples);
	b->nbatch = 0;
}

/* Pure code on memory prepared above: runs in threads. */
static void
code_rows(void *arg, int thread, size_t from, size_t to)
{
	HnswBuild  *b = arg;
	HnswModel  *m = b->m;
	int			wide = Max(m->dim, m->dims);
	float	   *scratch = (float *) (b->scratch + b->scratch_size * thread);
	float	   *x = scratch + wide;
	uint8	   *code = (uint8 *) (scratch + 4 * wide);
	size_t		i;

	for (i = from; i < to; i++)
	{
		const float *raw = b->raw + i * m->dims;
		VgRow	   *row = (VgRow *) (b->codes + b->rows.stride * i);
		double		norm;

		b->class[i] = hnsw_prepare(m, raw, scratch, x, &norm);
		if (b->class[i] != VI_FINITE)
			continue;
		b->coded[i].hash = hnsw_hash(m->dims, raw);
		b->norm[i] = (float) norm;
		b->norm2[i] = vk->dot_f32(x, x, m->dim);
		row->lift = 0;
		code_row(b, i, x, code);
	}
}

/* code: memory for one own code and the codec's scratch before it. */
static void
code_row(HnswBuild *b, size_t i, const float *x, uint8 *code)
{
	HnswModel  *m = b->m;
	VgRow	   *row = (VgRow *) (b->codes + b->rows.stride * i);
	const VqCodec *codec = m->oc->metric == VQ_L1 ? m->codec : vq_codec(VQ_RABITQ8);
	float	   *factors = HNSW_ROW_FACTORS(b, row);
	float	   *scratch = (float *) code - 2 * Max(m->dim, m->dims);
	Size		head = codec->bytes(m->dim) - m->dim;

	codec->encode(x, m->zero, m->dim, m->params, scratch, code);
	memcpy(factors, code, head);
	memcpy(row->u, code + head, m->dim);
	row->t = row->norm2 = 0;
	if (b->rows.space == VG_L1)
	{
		vg_row_sums(&b->rows, row);
		return;
	}
	/* factors: length along the code's direction, 1 / |s| */
	row->t = factors[0] * factors[1];
	row->norm2 = factors[0] * factors[0];
	vg_row_sums(&b->rows, row);
	if (m->codec->id == VQ_RABITQ6)
		vq_rabitq6_factors(code, x, m->zero, m->dim, b->coded[i].factors);
}

/* Takes a coded row into memory, or adds it to the rows of an equal vector. */
static void
keep_row(HnswBuild *b, int i)
{
	HnswBuildRow *side;
	HashEntry  *entry;
	bool		found;

	entry = hnsw_rows_insert(b->by_hash, b->coded[i].hash, &found);
	if (found)
	{
		HnswDup    *dup;

		b->dups = vi_grow(b->cxt, b->dups, &b->dups_cap, b->ndups + 1, sizeof(HnswDup));
		dup = &b->dups[b->ndups++];
		side = &b->side[entry->row];
		vs_tid_set(&dup->tid, &b->tid[i]);
		dup->next = side->more;
		side->more = b->ndups;
		side->count++;
		return;
	}
	make_room(b);
	entry->row = b->rows.n;
	memcpy((char *) b->rows.rows + b->rows.stride * b->rows.n, b->codes + b->rows.stride * i,
		   b->rows.stride);
	((VgRow *) vg_row(&b->rows, b->rows.n))->lift = b->norm[i];	/* until end_load */
	side = &b->side[b->rows.n++];
	*side = b->coded[i];
	vs_tid_set(&side->tid, &b->tid[i]);
	side->more = 0;
	side->count = 1;
	b->norm2_sum += b->norm2[i];
	b->m->max_norm = Max(b->m->max_norm, b->norm[i]);
}

/* For one row more. Memory that is never touched costs nothing. */
static void
make_room(HnswBuild *b)
{
	VmEnv		env = b->env;
	ViBudget	next;
	Size		cap;
	char	   *rows;
	HnswBuildRow *side;

	if (b->rows.n < b->rows_cap)
		return;
	cap = b->rows_cap == 0 ? (Size) (expected_rows(b) * 1.05) + 1024 : b->rows_cap * 3 / 2;
	if (cap >= VG_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("hnsw index cannot have more than %u rows", VG_NONE - 1)));
	next.cxt = AllocSetContextCreate(b->cxt, "hnsw build coded rows", ALLOCSET_DEFAULT_SIZES);
	next.left = (Size) maintenance_work_mem * 1024;
	env.arg = &next;
	rows = env.alloc(env.arg, b->rows.stride * cap);
	side = env.alloc(env.arg, sizeof(HnswBuildRow) * cap);
	if (b->rows.n > 0)
	{
		memcpy(rows, b->rows.rows, b->rows.stride * b->rows.n);
		memcpy(side, b->side, sizeof(HnswBuildRow) * b->rows.n);
		MemoryContextDelete(b->rows_cxt);
	}
	b->rows_cxt = next.cxt;
	b->budget.left = next.left;
	b->rows.rows = rows;
	b->side = side;
	b->rows_cap = cap;
}

static double
expected_rows(HnswBuild *b)
{
	BlockNumber pages;
	double		tuples;
	double		allvisible;

	estimate_rel_size(b->heap, NULL, &pages, &tuples, &allvisible);
	return Min(tuples, (double) VG_NONE / 2);
}

/* What depends on all rows: the unit of edge factors, inner product's lifts. */
static void
end_load(HnswBuild *b)
{
	HnswModel  *m = b->m;
	uint32		i;

	m->unit = b->norm2_sum > 0 ? (float) sqrt(b->norm2_sum / b->rows.n) : 1;
	if (!(m->unit > 1e-18f))
		m->unit = 1;
	for (i = 0; i < b->rows.n; i++)
	{
		VgRow	   *row = (VgRow *) vg_row(&b->rows, i);
		double		rest = (double) m->max_norm * m->max_norm - (double) row->lift * row->lift;

		row->lift = m->oc->metric == VQ_IP && rest > 0 ? (float) rest : 0;
	}
	hnsw_rows_destroy(b->by_hash);
	b->by_hash = NULL;
}

/* ---- the graph ---- */

static void
report_progress(void *arg, size_t done)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
}

static void
build_graph(HnswBuild *b)
{
	VgBuildOptions o = {
		.m = b->m->m,
		.ef_construction = b->m->ef_construction,
		.progress = report_progress,
		.paused = hnsw_calibrate,
		.pause = hnsw_calibration_rows(b->rows.n),
		.arg = b
	};

	if (b->heap != NULL)
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_GRAPH);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) b->rows.n);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
	}
	if (o.pause == 0)
		o.paused = NULL;
	vg_build(&b->env, &b->rows, &o, &b->graph);
}

/* ---- codes as they go to disk ---- */

void
hnsw_build_code(const HnswBuild *b, uint32 i, uint8 *scratch, uint8 *out)
{
	const HnswModel *m = b->m;
	const VgRow *row = vg_row(&b->rows, i);
	Size		head;

	if (m->codec->id == VQ_RABITQ6)
	{
		head = 4 * sizeof(float);
		memcpy(scratch, HNSW_ROW_FACTORS(b, row), head);
		memcpy(scratch + head, row->u, m->dim);
		vq_rabitq6_narrow(scratch, b->side[i].factors, m->dim, out);
		return;
	}
	head = m->codec->bytes(m->dim) - m->dim;
	memcpy(out, HNSW_ROW_FACTORS(b, row), head);
	memcpy(out + head, row->u, m->dim);
}

void
hnsw_build_decode(const HnswBuild *b, uint32 i, float *x)
{
	const HnswModel *m = b->m;
	const VgRow *row = vg_row(&b->rows, i);
	const float *f = m->codec->id == VQ_RABITQ6 ? b->side[i].factors : HNSW_ROW_FACTORS(b, row);
	float		t = f[0] * f[1];
	int			d;

	if (m->codec->id == VQ_RABITQ6)
		for (d = 0; d < m->dim; d++)
			x[d] = t * ((float) (row->u[d] >> 2) - 31.5f);
	else
		for (d = 0; d < m->dim; d++)
			x[d] = t * ((float) row->u[d] - 127.5f);
}
