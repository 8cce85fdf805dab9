/*
 * ivftrain.c -- from a sample of the heap to the tree of centroids.
 *
 * What it is not: the assignment of all rows (ivfbuild.c).
 *
 * 1. A few random block ranges give the mean (the shift before the rotation)
 *    and the scale of int8. Neither has to be exact: the shift only has to
 *    take away a common offset, partition centroids do the rest.
 * 2. A pass over the heap keeps a uniform sample (reservoir, Vitter 1985) as
 *    rotated int8 rows; only rows that enter the reservoir are detoasted.
 * 3. The tree is trained on it (math/kmeans.h). The centroid of a leaf is the
 *    mean of its sample rows on all dimensions, coded about its partition's
 *    centroid; what is used ever after is the decoded code, in the build and
 *    in every search alike.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/tableam.h"
#include "commands/progress.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "am/ivf/ivfbuild.h"
#include "index/probe.h"
#include "simd/simd.h"

/* Sample rows per list that training asks for (FAISS warns below 39 for flat
 * k-means; measured here, 20 and 40 give the same recall at equal probes). */
#define ROWS_PER_LIST 20

/* Rows per list at lists = auto: three quarters of the slots of a page. */
#define AUTO_ROWS_PER_LIST 52

/*
 * Partitions, in square roots of the lists: 1 would make the two levels equal,
 * but a scan wants to look at few directory entries. Measured on a million made
 * rows, 19,000 lists: 125 partitions need 9,400 entries and 196 lists for
 * recall .99, since a large partition is a blunt place to look.
 */
#define TOPS 4

/* int8 covers this many standard deviations of a coordinate. */
#define INT8_SIGMAS 4.5f

static void mean_and_scale(IvfBuild *b);
static void sample_rows(IvfBuild *b);
static void sample_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
							bool alive, void *state);
static int	choose_lists(IvfBuild *b);
static void train_tree(IvfBuild *b, int nlists);
static void keep_tree(IvfBuild *b);
static void one_leaf_tree(IvfBuild *b);
static void add_rows(IvfBuild *b, const uint32 *ids, int n, int32 *sum);
static void make_centroids(IvfBuild *b);

void
ivf_train(IvfBuild *b)
{
	IvfModel   *m = b->m;
	int			nlists;

	b->sample_cxt = AllocSetContextCreate(b->cxt, "ivf sample", ALLOCSET_DEFAULT_SIZES);
	m->mean = ivf_build_alloc(b, sizeof(float) * m->dims);
	memset(m->mean, 0, sizeof(float) * m->dims);
	b->mul = 1;
	if (b->heap != NULL)
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVF_PHASE_SAMPLE);
		mean_and_scale(b);
		sample_rows(b);
	}
	if (b->nsample == 0 && m->codec != NULL && m->codec->train != NULL)
	{
		/* A codec that has learnt no scale could say nothing of any later row. */
		m->codec = vq_codec(VQ_RABITQ8);
		ivf_model_sizes(m);
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVF_PHASE_TRAIN);
	nlists = choose_lists(b);
	if (b->nsample == 0)
		one_leaf_tree(b);
	else
		train_tree(b, nlists);
	make_centroids(b);
	ivf_calibrate_take(b);
	MemoryContextDelete(b->sample_cxt);
}

/* ---- mean and scale ---- */

static void
mean_and_scale(IvfBuild *b)
{
	IvfModel   *m = b->m;
	float	   *rows = MemoryContextAlloc(b->sample_cxt, sizeof(float) * VI_PROBE_ROWS * m->dims);
	float	   *x = ivf_build_alloc(b, sizeof(float) * m->dim);
	double		square = 0;
	Size		n;
	Size		i;
	int			d;

	n = vi_probe_rows(b->heap, b->index, b->info, m->oc, m->dims, &b->rand, rows);
	if (n == 0)
		return;
	for (i = 0; i < n; i++)
		for (d = 0; d < m->dims; d++)
			m->mean[d] += rows[i * m->dims + d] / n;
	m->mean_norm = sqrt(vk->norm2_f32(m->mean, m->dims));
	for (i = 0; i < n; i++)
	{
		vm_rotate(&m->rot, rows + i * m->dims, m->mean, x);
		square += vk->norm2_f32(x, m->dim) / m->dims;
	}
	square /= n;
	if (square > 0)
		b->mul = 127.0f / (INT8_SIGMAS * (float) sqrt(square));
	/* Equal rows, or so near to it that no scale can be had. */
	if (!isfinite(b->mul) || b->mul <= 0)
		b->mul = 1;
}

/* ---- the sample ---- */

static void
sample_rows(IvfBuild *b)
{
	IvfModel   *m = b->m;
	BlockNumber pages;
	double		tuples;
	double		allvisible;
	int			lists = vecpg_ivf_lists(b->opts);
	double		want;
	Size		row = m->dim + sizeof(ItemPointerData) + sizeof(uint32);
	Size		i;

	estimate_rel_size(b->heap, NULL, &pages, &tuples, &allvisible);
	if (lists == 0)
		lists = (int) Min(tuples / AUTO_ROWS_PER_LIST + 1, IVF_MAX_LISTS);
	want = (double) lists * ROWS_PER_LIST;
	/* The estimate is coarse; a few rows too many cost little. */
	want = Max(want * 1.2, 4096);
	b->sample_cap = (Size) Min(want, (double) (b->memory * 2 / 5 / row));
	b->sample_cap = Max(b->sample_cap, 256);
	b->sample = MemoryContextAllocHuge(b->sample_cxt, b->sample_cap * m->dim);
	b->sample_tid = MemoryContextAllocHuge(b->sample_cxt, b->sample_cap * sizeof(ItemPointerData));
	b->raw = MemoryContextAlloc(b->sample_cxt, sizeof(float) * 2 * Max(m->dim, m->dims));
	table_index_build_scan(b->heap, b->index, b->info, true, false, sample_callback, b, NULL);

	/* A reservoir's early slots favour early rows: any prefix must be fair. */
	for (i = b->nsample; i > 1; i--)
	{
		Size		j = vp_rand(&b->rand) % i;
		int8	   *x = b->sample + (i - 1) * m->dim;
		int8	   *y = b->sample + j * m->dim;
		ItemPointerData t = b->sample_tid[i - 1];
		int			d;

		for (d = 0; d < m->dim; d++)
		{
			int8		swap = x[d];

			x[d] = y[d];
			y[d] = swap;
		}
		b->sample_tid[i - 1] = b->sample_tid[j];
		b->sample_tid[j] = t;
	}
}

static void
sample_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
				bool alive, void *state)
{
	IvfBuild   *b = state;
	IvfModel   *m = b->m;
	MemoryContext old;
	Vector	   *v;
	Size		slot;

	if (isnull[0])
		return;
	b->seen++;
	if (b->nsample < b->sample_cap)
		slot = b->nsample;
	else
	{
		slot = (Size) (vp_rand(&b->rand) % (uint64) b->seen);
		if (slot >= b->sample_cap)
			return;
	}
	old = MemoryContextSwitchTo(b->tmp);
	v = DatumGetVector(values[0]);
	vt_check_expected_dim(m->dims, v->dim);
	if (ivf_rotate(m, v->x, b->raw + m->dim, b->raw) == VI_FINITE)
	{
		vk->f32_to_s8(b->raw, b->mul, b->sample + slot * m->dim, m->dim);
		b->sample_tid[slot] = *tid;
		if (slot == b->nsample)
			b->nsample++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->tmp);
}

/* ---- the tree ---- */

static int
choose_lists(IvfBuild *b)
{
	int			lists = vecpg_ivf_lists(b->opts);

	if (lists == 0)
		lists = (int) Min(b->seen / AUTO_ROWS_PER_LIST, IVF_MAX_LISTS);
	else if (b->seen > 0 && b->seen < lists)
		ereport(NOTICE,
				(errmsg("ivf index created with fewer rows than lists"),
				 errdetail("The table has %.0f rows, the index asks for %d lists.", b->seen, lists),
				 errhint("Leave out \"lists\" to let the index choose, and REINDEX when the table has grown.")));
	return Max(lists, 1);
}

static void
train_tree(IvfBuild *b, int nlists)
{
	IvfModel   *m = b->m;
	Size		useful = (Size) nlists * ROWS_PER_LIST;
	VmRows		rows = {b->sample, b->nsample, m->dim, Min(m->dim, IVF_TRAIN_DIMS)};
	int			ntop = Max(1, (int) Min(TOPS * sqrt((double) nlists), nlists / 8.0));
	VmEnv		env = b->env;

	ntop = Min(ntop, PG_UINT16_MAX);
	/* Queries that took part in the training would find their lists too easily. */
	if (b->nsample >= 4 * IVF_CALIBRATION_QUERIES)
		rows.n -= IVF_CALIBRATION_QUERIES;
	rows.n = Min(rows.n, Max(useful, 256));
	b->ntrain = rows.n;
	b->sample_leaf = MemoryContextAllocHuge(b->sample_cxt, sizeof(uint32) * rows.n);
	/* The trainer's scratch goes when the tree has been copied out of it. */
	env.arg = AllocSetContextCreate(b->cxt, "ivf k-means", ALLOCSET_DEFAULT_SIZES);
	vm_tree_train(&env, &rows, ntop, nlists, 8, &b->tree, b->sample_leaf);
	keep_tree(b);
	MemoryContextDelete(env.arg);
}

static void *
keep(IvfBuild *b, const void *from, Size bytes)
{
	void	   *to = ivf_build_alloc(b, bytes);

	memcpy(to, from, bytes);
	return to;
}

static void
keep_tree(IvfBuild *b)
{
	VmTree	   *t = &b->tree;

	t->top = keep(b, t->top, (Size) t->ntop * t->kdim);
	t->leaf = keep(b, t->leaf, (Size) t->nleaf * t->kdim);
	t->top_bias = keep(b, t->top_bias, sizeof(int32) * t->ntop);
	t->leaf_bias = keep(b, t->leaf_bias, sizeof(int32) * t->nleaf);
	t->leaf_start = keep(b, t->leaf_start, sizeof(int) * (t->ntop + 1));
}

/* An index without rows: one list about the origin. */
static void
one_leaf_tree(IvfBuild *b)
{
	VmTree	   *t = &b->tree;

	t->kdim = Min(b->m->dim, IVF_TRAIN_DIMS);
	t->ntop = t->nleaf = 1;
	t->top = ivf_build_alloc(b, t->kdim);
	t->leaf = ivf_build_alloc(b, t->kdim);
	memset(t->top, 0, t->kdim);
	memset(t->leaf, 0, t->kdim);
	t->leaf_start = ivf_build_alloc(b, sizeof(int) * 2);
	t->leaf_start[0] = 0;
	t->leaf_start[1] = 1;
}

/* Sum of some sample rows; at most 2^23 of them, or int32 could overflow. */
static void
add_rows(IvfBuild *b, const uint32 *ids, int n, int32 *sum)
{
	int			dim = b->m->dim;
	int			k;
	int			d;

	memset(sum, 0, sizeof(int32) * dim);
	for (k = 0; k < n; k++)
	{
		const int8 *row = b->sample + (Size) ids[k] * dim;

		for (d = 0; d < dim; d++)
			sum[d] += row[d];
	}
}

/*
 * Means on all dimensions, from the int8 sample. The partition's centroid is
 * rounded to float16 first, as the model tape will give it back.
 */
static void
make_centroids(IvfBuild *b)
{
	IvfModel   *m = b->m;
	VmTree	   *t = &b->tree;
	int		   *count = ivf_build_alloc(b, sizeof(int) * (t->nleaf + 1));
	uint32	   *order = MemoryContextAllocHuge(b->sample_cxt, sizeof(uint32) * Max(b->ntrain, 1));
	int32	   *sum = ivf_build_alloc(b, sizeof(int32) * m->dim);
	float	   *mean = ivf_build_alloc(b, sizeof(float) * m->dim);
	float	   *scratch = ivf_build_alloc(b, sizeof(float) * 3 * m->dim);
	uint16	   *half = ivf_build_alloc(b, sizeof(uint16) * m->dim);
	Size		i;
	int			part;
	int			leaf;
	int			d;

	m->nparts = t->ntop;
	m->part = ivf_build_alloc(b, sizeof(float) * (Size) m->nparts * m->dim);
	m->part_head = ivf_build_alloc(b, sizeof(BlockNumber) * m->nparts);
	b->leaf_part = ivf_build_alloc(b, sizeof(int) * t->nleaf);
	b->entries = ivf_build_alloc(b, m->entry_size * t->nleaf);
	memset(b->entries, 0, m->entry_size * t->nleaf);
	memset(count, 0, sizeof(int) * (t->nleaf + 1));

	/* Sample rows in the order of their leaves: order[count[leaf] ..]. */
	for (i = 0; i < b->ntrain; i++)
		count[b->sample_leaf[i] + 1]++;
	for (leaf = 0; leaf < t->nleaf; leaf++)
		count[leaf + 1] += count[leaf];
	for (i = 0; i < b->ntrain; i++)
		order[count[b->sample_leaf[i]]++] = i;
	for (leaf = t->nleaf; leaf > 0; leaf--)
		count[leaf] = count[leaf - 1];
	count[0] = 0;

	for (part = 0; part < m->nparts; part++)
	{
		float	   *c = m->part + (Size) part * m->dim;
		int			from = count[t->leaf_start[part]];
		int			to = count[t->leaf_start[part + 1]];

		CHECK_FOR_INTERRUPTS();
		add_rows(b, order + from, to - from, sum);
		for (d = 0; d < m->dim; d++)
			c[d] = to > from ? (float) sum[d] / (to - from) / b->mul : 0;
		vk->f32_to_f16(c, half, m->dim);
		vk->f16_to_f32(half, c, m->dim);
		for (d = 0; d < m->dim; d++)
			if (!isfinite(c[d]))
				c[d] = 0;

		for (leaf = t->leaf_start[part]; leaf < t->leaf_start[part + 1]; leaf++)
		{
			IvfDirEntry e = (IvfDirEntry) (b->entries + m->entry_size * leaf);

			from = count[leaf];
			to = count[leaf + 1];
			add_rows(b, order + from, to - from, sum);
			for (d = 0; d < m->dim; d++)
				mean[d] = to > from ? (float) sum[d] / (to - from) / b->mul : c[d];
			b->leaf_part[leaf] = part;
			e->list = leaf + 1;
			e->head_blkno = InvalidBlockNumber;
			m->dir_codec->encode(mean, c, m->dim, NULL, scratch, e->code);
		}
	}
	if (m->codec && m->codec->train)
	{
		/* Residuals of a few sample rows about their partition's centroid. */
		Size		n = Min(b->ntrain, 2048);
		float	   *rows = MemoryContextAllocHuge(b->sample_cxt, sizeof(float) * Max(n, 1) * m->dim);

		for (i = 0; i < n; i++)
			for (d = 0; d < m->dim; d++)
				rows[i * m->dim + d] = b->sample[i * m->dim + d] / b->mul -
					m->part[(Size) b->leaf_part[b->sample_leaf[i]] * m->dim + d];
		m->codec->train(rows, n, m->dim, m->params);
	}
}

void
ivf_build_centroid(const IvfBuild *b, uint32 leaf, float *c)
{
	const IvfModel *m = b->m;
	const IvfDirEntryData *e = (const IvfDirEntryData *) (b->entries + m->entry_size * leaf);

	m->dir_codec->decode(e->code, m->part + (Size) b->leaf_part[leaf] * m->dim, m->dim, NULL, c);
}
