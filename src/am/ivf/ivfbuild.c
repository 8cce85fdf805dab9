/*
 * ivfbuild.c -- CREATE INDEX: the order of phases, the heap scans, the batches.
 *
 * What it is not: training (ivftrain.c), page writing (ivfwrite.c) or the
 * measurement of recall (ivfcalibrate.c).
 *
 *   1 sample   a pass over the heap keeps a random sample as int8 (ivftrain.c)
 *   2 train    two-level k-means on the sample
 *   3 assign   a second pass codes every row in batches: threads rotate, find
 *              the leaf and encode; the main thread then appends the refine
 *              code to its page at once and the scan-plane code to a spool
 *   4 write    the spool, grouped by leaf, becomes blocks; directory, model
 *              and metapage follow
 *
 * Memory: the sample takes at most two fifths of maintenance_work_mem and goes
 * after training; the spool takes up to half, then temporary files. Refine codes, the bulk of an
 * index, are never held. Nothing is kept in shared memory.
 *
 * Threads touch only b->raw .. b->refined; all server calls are in the main
 * thread between parallel regions.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/tableam.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "am/ivf/ivfbuild.h"
#include "index/build.h"
#include "math/par.h"
#include "simd/simd.h"

/* Of rotation, sample and k-means: fixed, so that the same rows give the same index. */
#define BUILD_SEED 42

static void begin_build(IvfBuild *b, Relation heap, Relation index, IndexInfo *info);
static void begin_assign(IvfBuild *b, ForkNumber fork);
static void assign_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
							bool alive, void *state);
static void flush_batch(IvfBuild *b);
static void rotate_rows(void *arg, int thread, size_t from, size_t to);
static void encode_rows(void *arg, int thread, size_t from, size_t to);
static uint32 nearest_leaf(IvfBuild *b, size_t row);
static void put_uncoded(IvfBuild *b, int sort, ItemPointer tid);

char *
ivfbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case IVF_PHASE_SAMPLE:
			return "sampling rows";
		case IVF_PHASE_TRAIN:
			return "performing k-means";
		case IVF_PHASE_ASSIGN:
			return "assigning rows to lists";
		case IVF_PHASE_WRITE:
			return "writing lists";
		case IVF_PHASE_SYNC:
			return "flushing to disk";
		default:
			return NULL;
	}
}

IndexBuildResult *
ivfbuild(Relation heap, Relation index, IndexInfo *info)
{
	IvfBuild   *b = palloc0(sizeof(IvfBuild));
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	begin_build(b, heap, index, info);
	ivf_train(b);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVF_PHASE_ASSIGN);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) b->seen);
	begin_assign(b, MAIN_FORKNUM);
	b->heap_tuples = table_index_build_scan(heap, index, info, true, true, assign_callback, b, NULL);
	flush_batch(b);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVF_PHASE_WRITE);
	ivf_write_rest(b);

	result->heap_tuples = b->heap_tuples;
	result->index_tuples = b->index_tuples;
	MemoryContextDelete(b->cxt);
	return result;
}

/* The init fork of an unlogged index: an index without rows. */
void
ivfbuildempty(Relation index)
{
	IvfBuild   *b = palloc0(sizeof(IvfBuild));

	begin_build(b, NULL, index, NULL);
	ivf_train(b);
	begin_assign(b, INIT_FORKNUM);
	ivf_write_rest(b);
	MemoryContextDelete(b->cxt);
}

static void
begin_build(IvfBuild *b, Relation heap, Relation index, IndexInfo *info)
{
	const VecOpclass *oc = vi_opclass(index);
	MemoryContext old;

	b->cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf build", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(b->cxt);
	b->tmp = AllocSetContextCreate(b->cxt, "ivf build rows", ALLOCSET_DEFAULT_SIZES);
	b->heap = heap;
	b->index = index;
	b->info = info;
	b->opts = vecpg_ivf_options(index);
	b->memory = (Size) maintenance_work_mem * 1024;
	b->seed = vp_seed(BUILD_SEED);
	b->rand = b->seed;
	vi_env(&b->env, b->cxt, b->seed);
	b->m = palloc0(sizeof(IvfModel));
	b->m->cxt = b->cxt;
	ivf_model_choose(b->m, oc, vi_check_dims(index, oc, "ivf"), b->opts->quantizer, b->opts->bits);
	vm_rotation_init(&b->m->rot, b->m->dims, b->seed, palloc(vm_rotation_bytes(b->m->dims)));
	MemoryContextSwitchTo(old);
}

void *
ivf_build_alloc(IvfBuild *b, Size bytes)
{
	return b->env.alloc(b->env.arg, bytes);
}

/* ---- assign: rows in batches ---- */

static void
begin_assign(IvfBuild *b, ForkNumber fork)
{
	IvfModel   *m = b->m;
	Size		rowsize = MAXALIGN(sizeof(IvfSpoolRow) + m->sdim / 8);
	Size		wide = Max(m->dim, m->dims);
	Size		batch = Max(b->memory / 8 / (sizeof(float) * 3 * wide), 64);

	b->batch = (int) Min(batch, IVF_BATCH);
	b->raw = ivf_build_alloc(b, sizeof(float) * b->batch * m->dims);
	b->x = ivf_build_alloc(b, sizeof(float) * b->batch * m->dim);
	b->x8 = ivf_build_alloc(b, (Size) b->batch * m->dim);
	b->tid = ivf_build_alloc(b, sizeof(ItemPointerData) * b->batch);
	b->class = ivf_build_alloc(b, b->batch);
	b->shortlist = ivf_build_alloc(b, sizeof(uint32) * b->batch * IVF_SHORTLIST);
	b->coded = ivf_build_alloc(b, rowsize * b->batch);
	b->refined = m->codec ? ivf_build_alloc(b, m->codec->bytes(m->dim) * b->batch) : NULL;
	b->scratch = ivf_build_alloc(b, sizeof(float) * 5 * wide * b->env.nthreads);
	b->nbatch = 0;
	b->bulk = vs_bulk_begin(b->index, fork);
	/* The metapage comes last: only then are the places of all else known. */
	vs_bulk_reserve(b->bulk);
	vi_tids_build_begin(&b->tids);
	ivf_spool_begin(b, b->memory / 2);
	ivf_calibrate_begin(b);
}

static void
assign_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
				bool alive, void *state)
{
	IvfBuild   *b = state;
	MemoryContext old;
	Vector	   *v;

	if (isnull[0])
	{
		put_uncoded(b, VI_TIDS_NULL, tid);
		return;
	}
	old = MemoryContextSwitchTo(b->tmp);
	v = DatumGetVector(values[0]);
	vt_check_expected_dim(b->m->dims, v->dim);
	memcpy(b->raw + (Size) b->nbatch * b->m->dims, v->x, sizeof(float) * b->m->dims);
	b->tid[b->nbatch++] = *tid;
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->tmp);
	if (b->nbatch == b->batch)
		flush_batch(b);
}

static void
flush_batch(IvfBuild *b)
{
	IvfModel   *m = b->m;
	VmRows		rows = {b->x8, b->nbatch, m->dim, Min(m->dim, IVF_TRAIN_DIMS)};
	Size		code_bytes = m->codec ? m->codec->bytes(m->dim) : 0;
	VmEnv		env = b->env;
	int			i;

	if (b->nbatch == 0)
		return;
	vm_par_for(b->env.nthreads, b->nbatch, 64, rotate_rows, b);
	CHECK_FOR_INTERRUPTS();
	env.arg = b->tmp;
	vm_tree_assign(&env, &b->tree, &rows, IVF_ASSIGN_OPEN, IVF_SHORTLIST, b->shortlist);
	MemoryContextReset(b->tmp);
	vm_par_for(b->env.nthreads, b->nbatch, 32, encode_rows, b);
	CHECK_FOR_INTERRUPTS();
	ivf_calibrate_rows(b);

	for (i = 0; i < b->nbatch; i++)
	{
		IvfSpoolRow *row = (IvfSpoolRow *) (b->coded + b->spool.rowsize * i);

		if (b->class[i] != VI_FINITE)
		{
			put_uncoded(b, vi_tids_sort(b->class[i]), &b->tid[i]);
			continue;
		}
		vs_tid_set(&row->tid, &b->tid[i]);
		if (m->codec)
			ivf_write_refine(b, b->refined + code_bytes * i, &row->tid,
							 b->leaf_part[row->leaf], &row->ref_blkno, &row->ref_idx);
		ivf_spool_put(b, (char *) row);
		b->index_tuples++;
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) b->index_tuples);
	b->nbatch = 0;
}

static void
rotate_rows(void *arg, int thread, size_t from, size_t to)
{
	IvfBuild   *b = arg;
	IvfModel   *m = b->m;
	float	   *scratch = b->scratch + (Size) thread * 5 * Max(m->dim, m->dims);
	size_t		i;

	for (i = from; i < to; i++)
	{
		float	   *x = b->x + i * m->dim;

		b->class[i] = ivf_rotate(m, b->raw + i * m->dims, scratch, x);
		if (b->class[i] != VI_FINITE)
			memset(x, 0, sizeof(float) * m->dim);
		vk->f32_to_s8(x, b->mul, b->x8 + i * m->dim, m->dim);
	}
	ivf_calibrate_bias(b, from, to);
}

static void
encode_rows(void *arg, int thread, size_t from, size_t to)
{
	IvfBuild   *b = arg;
	IvfModel   *m = b->m;
	Size		code_bytes = m->codec ? m->codec->bytes(m->dim) : 0;
	float	   *c = b->scratch + (Size) thread * 5 * Max(m->dim, m->dims);
	float	   *scratch = c + m->dim;
	size_t		i;

	for (i = from; i < to; i++)
	{
		IvfSpoolRow *row = (IvfSpoolRow *) (b->coded + b->spool.rowsize * i);
		IvfRowCode	code;

		if (b->class[i] != VI_FINITE)
			continue;
		row->leaf = nearest_leaf(b, i);
		row->ref_blkno = InvalidBlockNumber;
		row->ref_idx = 0;
		code.bits = (uint8 *) (row + 1);
		code.refine = m->codec ? b->refined + code_bytes * i : NULL;
		ivf_build_centroid(b, row->leaf, c);
		ivf_encode_row(m, b->leaf_part[row->leaf], c, b->x + i * m->dim, scratch, &code);
		row->f = code.f;
	}
}

/* Of the shortlist, the leaf whose decoded centroid is nearest on all dimensions. */
static uint32
nearest_leaf(IvfBuild *b, size_t row)
{
	IvfModel   *m = b->m;
	const float *x = b->x + row * m->dim;
	const uint32 *list = b->shortlist + row * IVF_SHORTLIST;
	VqPoint		p;
	uint32		best = 0;
	float		least = INFINITY;
	int			part = -1;
	int			i;

	p.y = x;
	p.ysum = 0;
	for (i = 0; i < m->dim; i++)
		p.ysum += x[i];
	p.ynorm2 = vk->dot_f32(x, x, m->dim);
	for (i = 0; i < IVF_SHORTLIST && list[i] != UINT32_MAX; i++)
	{
		IvfDirEntry e = (IvfDirEntry) (b->entries + m->entry_size * list[i]);
		float		d2;

		if (part != b->leaf_part[list[i]])
		{
			part = b->leaf_part[list[i]];
			p.dist2 = vk->l2sq_f32(x, m->part + (Size) part * m->dim, m->dim);
			p.dot = 0;
		}
		d2 = m->dir_codec->value(&p, e->code, m->dim, NULL, VQ_L2);
		if (d2 < least)
		{
			least = d2;
			best = list[i];
		}
	}
	return best;
}

static void
put_uncoded(IvfBuild *b, int sort, ItemPointer tid)
{
	ivf_write_tid(b, sort, tid);
	b->index_tuples++;
}
