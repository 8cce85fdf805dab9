/*
 * ivfcalibrate.c -- measures recall against the number of lists read, at build.
 *
 * What it is not: the use of the curve (ivfeffort.c).
 *
 * Some sampled rows act as queries. While all rows pass by in batches, an
 * integer tile gives their distances to the queries, and each query keeps its
 * 100 nearest together with their leaves: exact truth on 8-bit codes for the
 * price of one small matrix product. At the end the lists are ranked for each
 * query as a scan ranks them, and the rank of a neighbour's list says at how
 * many probes it is found. The query itself is left out by its tid.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "am/ivf/ivfbuild.h"
#include "math/par.h"
#include "simd/simd.h"

#define NEIGHBOURS 100

/* A tile of queries and rows: with its int32 sums it stays in a core's L2 cache. */
#define TILE_QUERIES 64
#define TILE_ROWS 256

/* Queries between two looks at interrupts. */
#define QUERIES_AT_ONCE 64

typedef struct Ranked
{
	float		dist;
	uint32		leaf;
} Ranked;

/* What the threads that measure share. */
typedef struct Curves
{
	IvfBuild   *b;
	int			first;			/* query of this region */
	int			points;
	const int  *ks;				/* [IVF_CURVES] */
	uint32		grid[IVF_CURVE_POINTS];
	float	   *recall[IVF_CURVES];	/* [points * factors * nq] */
	char	   *scratch;
	Size		scratch_bytes;	/* of one thread */
} Curves;

static void make_query(IvfBuild *b, int8 *x, int q);
static void score_queries(void *arg, int thread, size_t from, size_t to);
static void score_tile_row(IvfBuild *b, int q, int32 *sums, int r, int n);
static void keep_neighbour(IvfCalibration *cal, int q, int32 dist, uint32 leaf);
static void measure_queries(void *arg, int thread, size_t from, size_t to);
static void measure_query(Curves *curves, int q, const uint32 *rank);
static void rank_lists(IvfBuild *b, int q, float *y, Ranked *parts, Ranked *ranked, uint32 *rank);
static int	compare_ranked(const void *a, const void *b);
static void curve_point(IvfBuild *b, IvfCurvePoint *point, int f, const float *recall);

/* Keeps the tail of the sample, which training does not read. */
void
ivf_calibrate_take(IvfBuild *b)
{
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	Size		from;

	cal->nq = (int) Min(b->nsample, IVF_CALIBRATION_QUERIES);
	if (cal->nq == 0)
		return;
	from = b->nsample - cal->nq;
	cal->x8 = ivf_build_alloc(b, (Size) cal->nq * dim);
	cal->tid = ivf_build_alloc(b, sizeof(ItemPointerData) * cal->nq);
	memcpy(cal->x8, b->sample + from * dim, (Size) cal->nq * dim);
	memcpy(cal->tid, b->sample_tid + from, sizeof(ItemPointerData) * cal->nq);
}

void
ivf_calibrate_begin(IvfBuild *b)
{
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	int			q;

	cal->k = NEIGHBOURS;
	if (cal->nq == 0)
		return;
	cal->x8_offset = ivf_build_alloc(b, (Size) cal->nq * dim);
	cal->dist = ivf_build_alloc(b, sizeof(int32) * cal->nq * cal->k);
	cal->leaf = ivf_build_alloc(b, sizeof(uint32) * cal->nq * cal->k);
	cal->n = ivf_build_alloc(b, sizeof(int) * cal->nq);
	cal->tile = ivf_build_alloc(b, sizeof(int32) * TILE_QUERIES * TILE_ROWS * b->env.nthreads);
	cal->row_bias = ivf_build_alloc(b, sizeof(int32) * b->batch);
	memset(cal->n, 0, sizeof(int) * cal->nq);
	for (q = 0; q < cal->nq; q++)
		make_query(b, cal->x8 + (Size) q * dim, q);
}

/*
 * The row as a query. Inner products are of the vectors themselves, so there
 * the mean comes back; any scale will do, since only the order is used.
 */
static void
make_query(IvfBuild *b, int8 *x, int q)
{
	IvfCalibration *cal = &b->cal;
	IvfModel   *m = b->m;
	int			d;

	if (m->oc->metric == VQ_IP)
	{
		float	   *y = b->scratch;
		float		most = 0;

		vm_rotate(&m->rot, m->mean, NULL, y);
		for (d = 0; d < m->dim; d++)
		{
			y[d] += x[d] / b->mul;
			most = Max(most, fabsf(y[d]));
		}
		vk->f32_to_s8(y, most > 0 ? 127 / most : 1, x, m->dim);
	}
	/* The tile kernel takes one unsigned side. */
	for (d = 0; d < m->dim; d++)
		cal->x8_offset[(Size) q * m->dim + d] = (uint8) (x[d] + 128);
}

/*
 * The squared distance but for the query's norm (L2), or minus the inner
 * product, is row_bias - (2 or 1) * sum, where sum is a tile's dot with the
 * query's bytes + 128. Threads, for rows of the batch.
 */
void
ivf_calibrate_bias(IvfBuild *b, size_t from, size_t to)
{
	int			dim = b->m->dim;
	bool		ip = b->m->oc->metric == VQ_IP;
	size_t		i;

	for (i = from; b->cal.nq > 0 && i < to; i++)
	{
		const int8 *x = b->x8 + i * dim;
		int32		norm = 0;
		int32		sum = 0;
		int			d;

		for (d = 0; d < dim; d++)
		{
			norm += (int32) x[d] * x[d];
			sum += x[d];
		}
		b->cal.row_bias[i] = ip ? 128 * sum : norm + 256 * sum;
	}
}

/* Distances of the batch's rows to all queries; threads over the queries. */
void
ivf_calibrate_rows(IvfBuild *b)
{
	if (b->cal.nq > 0)
		vm_par_for(b->env.nthreads, (b->cal.nq + TILE_QUERIES - 1) / TILE_QUERIES, 1,
				   score_queries, b);
}

static void
score_queries(void *arg, int thread, size_t from, size_t to)
{
	IvfBuild   *b = arg;
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	int32	   *tile = cal->tile + (Size) thread * TILE_QUERIES * TILE_ROWS;
	size_t		t;
	int			r;
	int			q;

	for (t = from; t < to; t++)
		for (r = 0; r < b->nbatch; r += TILE_ROWS)
		{
			int			q0 = (int) t * TILE_QUERIES;
			int			nq = Min(TILE_QUERIES, cal->nq - q0);
			int			nr = Min(TILE_ROWS, b->nbatch - r);

			vk->tile_u8s8(cal->x8_offset + (Size) q0 * dim, dim, nq,
						  b->x8 + (Size) r * dim, dim, nr, dim, tile, TILE_ROWS);
			for (q = 0; q < nq; q++)
				score_tile_row(b, q0 + q, tile + q * TILE_ROWS, r, nr);
		}
}

/* One query against rows r .. r + n of the batch. */
static void
score_tile_row(IvfBuild *b, int q, int32 *sums, int r, int n)
{
	IvfCalibration *cal = &b->cal;
	int			mul = b->m->oc->metric == VQ_IP ? 1 : 2;
	const int32 *bias = cal->row_bias + r;
	int32		worst = cal->n[q] < cal->k ? PG_INT32_MAX : cal->dist[(Size) q * cal->k];
	int			i;

	for (i = 0; i < n; i++)
		sums[i] = bias[i] - mul * sums[i];
	for (i = 0; i < n; i++)
	{
		if (sums[i] >= worst || b->class[r + i] != VI_FINITE ||
			ItemPointerEquals(&b->tid[r + i], &cal->tid[q]))
			continue;
		keep_neighbour(cal, q, sums[i],
					   ((IvfSpoolRow *) (b->coded + b->spool.rowsize * (r + i)))->leaf);
		worst = cal->n[q] < cal->k ? PG_INT32_MAX : cal->dist[(Size) q * cal->k];
	}
}

/* A heap of the k nearest, farthest at the root. */
static void
keep_neighbour(IvfCalibration *cal, int q, int32 dist, uint32 leaf)
{
	int32	   *heap = cal->dist + (Size) q * cal->k;
	uint32	   *leaves = cal->leaf + (Size) q * cal->k;
	int			i;

	if (cal->n[q] < cal->k)
	{
		i = cal->n[q]++;
		while (i > 0 && heap[(i - 1) / 2] < dist)
		{
			heap[i] = heap[(i - 1) / 2];
			leaves[i] = leaves[(i - 1) / 2];
			i = (i - 1) / 2;
		}
	}
	else
	{
		i = 0;
		for (;;)
		{
			int			child = 2 * i + 1;

			if (child + 1 < cal->k && heap[child + 1] > heap[child])
				child++;
			if (child >= cal->k || heap[child] <= dist)
				break;
			heap[i] = heap[child];
			leaves[i] = leaves[child];
			i = child;
		}
	}
	heap[i] = dist;
	leaves[i] = leaf;
}

/* ---- the curve ---- */

void
ivf_calibrate_end(IvfBuild *b, IvfMeta meta)
{
	IvfCalibration *cal = &b->cal;
	static const int ks[IVF_CURVES] = {10, NEIGHBOURS};
	Curves		curves = {b};
	int			c;
	int			p;
	int			f;
	int			q;

	curves.points = ivf_probe_grid(b->tree.nleaf, curves.grid);
	curves.ks = ks;
	for (c = 0; c < IVF_CURVES; c++)
	{
		meta->curve[c].k = ks[c];
		meta->curve[c].lists = b->tree.nleaf;
		meta->curve[c].queries = cal->nq;
		meta->curve[c].points = cal->nq > 0 ? curves.points : 0;
		curves.recall[c] = ivf_build_alloc(b, sizeof(float) * IVF_OPEN_FACTORS *
										   curves.points * Max(cal->nq, 1));
	}
	if (cal->nq == 0)
		return;
	curves.scratch_bytes = sizeof(Ranked) * (b->m->nparts + b->tree.nleaf) +
		sizeof(uint32) * 2 * b->tree.nleaf + sizeof(float) * b->m->dim;
	curves.scratch = ivf_build_alloc(b, curves.scratch_bytes * b->env.nthreads);
	for (q = 0; q < cal->nq; q += QUERIES_AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		curves.first = q;
		vm_par_for(b->env.nthreads, Min(QUERIES_AT_ONCE, cal->nq - q), 1, measure_queries, &curves);
	}
	for (c = 0; c < IVF_CURVES; c++)
		for (p = 0; p < curves.points; p++)
		{
			meta->curve[c].point[p].probes = curves.grid[p];
			for (f = 0; f < IVF_OPEN_FACTORS; f++)
				curve_point(b, &meta->curve[c].point[p], f,
							curves.recall[c] + (Size) (p * IVF_OPEN_FACTORS + f) * cal->nq);
		}
}

/* Recall of some queries at every effort; threads. */
static void
measure_queries(void *arg, int thread, size_t from, size_t to)
{
	Curves	   *curves = arg;
	IvfBuild   *b = curves->b;
	char	   *scratch = curves->scratch + curves->scratch_bytes * thread;
	Ranked	   *parts = (Ranked *) scratch;
	Ranked	   *ranked = parts + b->m->nparts;
	uint32	   *rank = (uint32 *) (ranked + b->tree.nleaf);
	float	   *y = (float *) (rank + 2 * b->tree.nleaf);

	for (; from < to; from++)
	{
		int			q = curves->first + (int) from;

		rank_lists(b, q, y, parts, ranked, rank);
		measure_query(curves, q, rank);
	}
}

static void
measure_query(Curves *curves, int q, const uint32 *rank)
{
	IvfBuild   *b = curves->b;
	IvfCalibration *cal = &b->cal;
	Ranked		near[NEIGHBOURS];
	int			i;
	int			c;
	int			p;
	int			f;

	for (i = 0; i < cal->n[q]; i++)
	{
		near[i].dist = cal->dist[(Size) q * cal->k + i];
		near[i].leaf = cal->leaf[(Size) q * cal->k + i];
	}
	qsort(near, cal->n[q], sizeof(Ranked), compare_ranked);
	for (c = 0; c < IVF_CURVES; c++)
		for (p = 0; p < curves->points; p++)
			for (f = 0; f < IVF_OPEN_FACTORS; f++)
			{
				uint64		opened = (uint64) curves->grid[p] * ivf_open_factors[f];
				int			n = Min(curves->ks[c], cal->n[q]);
				int			hits = 0;

				for (i = 0; i < n; i++)
					hits += rank[near[i].leaf] < curves->grid[p] &&
						rank[b->tree.nleaf + near[i].leaf] < opened;
				curves->recall[c][(p * IVF_OPEN_FACTORS + f) * cal->nq + q] =
					n > 0 ? (float) hits / n : 1;
			}
}

/*
 * rank[leaf]: place of a leaf in the order of distance to query q;
 * rank[nleaf + leaf]: leaves in the partitions before its own, which is what
 * decides whether a scan opens that partition (0 for those always opened).
 */
static void
rank_lists(IvfBuild *b, int q, float *y, Ranked *parts, Ranked *ranked, uint32 *rank)
{
	IvfModel   *m = b->m;
	int			nleaf = b->tree.nleaf;
	VqPoint		p;
	uint32		before = 0;
	int			i;
	int			d;

	for (d = 0; d < m->dim; d++)
		y[d] = b->cal.x8[(Size) q * m->dim + d] / b->mul;
	p.y = y;
	p.ysum = 0;
	for (d = 0; d < m->dim; d++)
		p.ysum += y[d];
	p.ynorm2 = vk->dot_f32(y, y, m->dim);
	for (i = 0; i < m->nparts; i++)
	{
		const float *c = m->part + (Size) i * m->dim;

		parts[i].dist = m->oc->metric == VQ_IP ? -vk->dot_f32(y, c, m->dim) :
			vk->l2sq_f32(y, c, m->dim);
		parts[i].leaf = i;
	}
	qsort(parts, m->nparts, sizeof(Ranked), compare_ranked);
	for (i = 0; i < m->nparts; i++)
	{
		int			part = parts[i].leaf;
		const float *c = m->part + (Size) part * m->dim;
		int			leaf;

		p.dist2 = vk->l2sq_f32(y, c, m->dim);
		p.dot = vk->dot_f32(y, c, m->dim);
		for (leaf = b->tree.leaf_start[part]; leaf < b->tree.leaf_start[part + 1]; leaf++)
		{
			IvfDirEntry e = (IvfDirEntry) (b->entries + m->entry_size * leaf);

			ranked[leaf].dist = m->dir_codec->value(&p, e->code, m->dim, NULL, m->oc->metric);
			ranked[leaf].leaf = leaf;
			rank[nleaf + leaf] = i < IVF_OPEN_MIN ? 0 : before;
		}
		before += b->tree.leaf_start[part + 1] - b->tree.leaf_start[part];
	}
	qsort(ranked, nleaf, sizeof(Ranked), compare_ranked);
	for (i = 0; i < nleaf; i++)
		rank[ranked[i].leaf] = i;
}

static int
compare_ranked(const void *a, const void *b)
{
	float		x = ((const Ranked *) a)->dist;
	float		y = ((const Ranked *) b)->dist;

	return x < y ? -1 : x > y;
}

static void
curve_point(IvfBuild *b, IvfCurvePoint *point, int f, const float *recall)
{
	int			n = b->cal.nq;
	double		sum = 0;
	double		square = 0;
	double		mean;
	int			q;

	for (q = 0; q < n; q++)
	{
		sum += recall[q];
		square += (double) recall[q] * recall[q];
	}
	mean = sum / n;
	point->recall[f] = mean;
	point->error[f] = n > 1 ? sqrt(Max(0, square / n - mean * mean) / (n - 1)) : 0;
}
