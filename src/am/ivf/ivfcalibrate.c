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

/* Queries of one tile, so that a thread's int32 tile stays in its L2 cache. */
#define TILE_QUERIES 16

typedef struct Ranked
{
	float		dist;
	uint32		leaf;
} Ranked;

static void make_query(IvfBuild *b, const int8 *row, int q);
static void score_queries(void *arg, int thread, size_t from, size_t to);
static void keep_neighbour(IvfCalibration *cal, int q, float dist, uint32 leaf);
static void rank_lists(IvfBuild *b, int q, Ranked *parts, Ranked *ranked, uint32 *opened);
static int	compare_ranked(const void *a, const void *b);
static void curve_point(IvfBuild *b, IvfCurvePoint *point, int f, const float *recall);

void
ivf_calibrate_begin(IvfBuild *b)
{
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	int			q;

	cal->nq = (int) Min(b->nsample, IVF_CALIBRATION_QUERIES);
	cal->k = NEIGHBOURS;
	if (cal->nq == 0)
		return;
	cal->x8 = ivf_build_alloc(b, (Size) cal->nq * dim);
	cal->norm = ivf_build_alloc(b, sizeof(int32) * cal->nq);
	cal->tid = ivf_build_alloc(b, sizeof(ItemPointerData) * cal->nq);
	cal->dist = ivf_build_alloc(b, sizeof(float) * cal->nq * cal->k);
	cal->leaf = ivf_build_alloc(b, sizeof(uint32) * cal->nq * cal->k);
	cal->n = ivf_build_alloc(b, sizeof(int) * cal->nq);
	cal->tile = ivf_build_alloc(b, sizeof(int32) * TILE_QUERIES * b->batch * b->env.nthreads);
	cal->x8_offset = ivf_build_alloc(b, (Size) b->batch * dim);
	cal->row_norm = ivf_build_alloc(b, sizeof(int32) * b->batch);
	memset(cal->n, 0, sizeof(int) * cal->nq);
	for (q = 0; q < cal->nq; q++)
	{
		/* The tail of the sample: training reads its head. */
		Size		s = b->nsample - 1 - q;

		cal->tid[q] = b->sample_tid[s];
		make_query(b, b->sample + s * dim, q);
	}
}

/*
 * The row as a query. Inner products are of the vectors themselves, so there
 * the mean comes back; any scale will do, since only the order is used.
 */
static void
make_query(IvfBuild *b, const int8 *row, int q)
{
	IvfCalibration *cal = &b->cal;
	IvfModel   *m = b->m;
	int8	   *x = cal->x8 + (Size) q * m->dim;
	int			d;

	if (m->oc->metric == VQ_IP)
	{
		float	   *y = b->scratch;
		float		most = 0;

		vm_rotate(&m->rot, m->mean, NULL, y);
		for (d = 0; d < m->dim; d++)
		{
			y[d] += row[d] / b->mul;
			most = Max(most, fabsf(y[d]));
		}
		vk->f32_to_s8(y, most > 0 ? 127 / most : 1, x, m->dim);
	}
	else
		memcpy(x, row, m->dim);
	cal->norm[q] = 0;
	for (d = 0; d < m->dim; d++)
		cal->norm[q] += (int32) x[d] * x[d];
}

/* Distances of the batch's rows to all queries; threads over the queries. */
void
ivf_calibrate_rows(IvfBuild *b)
{
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	Size		i;

	if (cal->nq == 0)
		return;
	/* The tile kernel takes one unsigned side: rows + 128. */
	for (i = 0; i < (Size) b->nbatch * dim; i++)
		cal->x8_offset[i] = (uint8) (b->x8[i] + 128);
	for (i = 0; i < (Size) b->nbatch; i++)
	{
		const int8 *x = b->x8 + i * dim;
		int32		norm = 0;
		int			d;

		for (d = 0; d < dim; d++)
			norm += (int32) x[d] * x[d];
		cal->row_norm[i] = norm;
	}
	vm_par_for(b->env.nthreads, (cal->nq + TILE_QUERIES - 1) / TILE_QUERIES, 1, score_queries, b);
}

static void
score_queries(void *arg, int thread, size_t from, size_t to)
{
	IvfBuild   *b = arg;
	IvfCalibration *cal = &b->cal;
	int			dim = b->m->dim;
	int32	   *tile = cal->tile + (Size) thread * TILE_QUERIES * b->batch;
	size_t		t;

	for (t = from; t < to; t++)
	{
		int			q0 = (int) t * TILE_QUERIES;
		int			nq = Min(TILE_QUERIES, cal->nq - q0);
		int			i;
		int			j;

		vk->tile_u8s8(cal->x8_offset, dim, b->nbatch, cal->x8 + (Size) q0 * dim, dim, nq, dim,
					  tile, TILE_QUERIES);
		for (j = 0; j < nq; j++)
		{
			int			q = q0 + j;
			int32		offset = 0;
			float		worst;
			int			d;

			for (d = 0; d < dim; d++)
				offset += cal->x8[(Size) q * dim + d];
			offset *= 128;
			for (i = 0; i < b->nbatch; i++)
			{
				int32		dot = tile[i * TILE_QUERIES + j] - offset;
				float		dist = b->m->oc->metric == VQ_IP ? -(float) dot :
					(float) (cal->norm[q] + cal->row_norm[i] - 2 * dot);

				worst = cal->n[q] < cal->k ? INFINITY : cal->dist[(Size) q * cal->k];
				if (dist >= worst || b->class[i] != VI_FINITE ||
					ItemPointerEquals(&b->tid[i], &cal->tid[q]))
					continue;
				keep_neighbour(cal, q, dist,
							   ((IvfSpoolRow *) (b->coded + b->spool.rowsize * i))->leaf);
			}
		}
	}
}

/* A heap of the k nearest, farthest at the root. */
static void
keep_neighbour(IvfCalibration *cal, int q, float dist, uint32 leaf)
{
	float	   *heap = cal->dist + (Size) q * cal->k;
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
	int			nleaf = b->tree.nleaf;
	static const int ks[IVF_CURVES] = {10, NEIGHBOURS};
	uint32		grid[IVF_CURVE_POINTS];
	int			points = ivf_probe_grid(nleaf, grid);
	Ranked	   *parts;
	Ranked	   *ranked;
	uint32	   *rank;
	float	   *recall[IVF_CURVES];
	int			c;
	int			q;
	int			p;
	int			f;

	for (c = 0; c < IVF_CURVES; c++)
	{
		meta->curve[c].k = ks[c];
		meta->curve[c].lists = nleaf;
	}
	if (cal->nq == 0)
		return;
	parts = ivf_build_alloc(b, sizeof(Ranked) * b->m->nparts);
	ranked = ivf_build_alloc(b, sizeof(Ranked) * nleaf);
	rank = ivf_build_alloc(b, sizeof(uint32) * 2 * nleaf);
	for (c = 0; c < IVF_CURVES; c++)
	{
		recall[c] = ivf_build_alloc(b, sizeof(float) * IVF_OPEN_FACTORS * points * cal->nq);
		meta->curve[c].points = points;
		meta->curve[c].queries = cal->nq;
	}
	for (q = 0; q < cal->nq; q++)
	{
		CHECK_FOR_INTERRUPTS();
		rank_lists(b, q, parts, ranked, rank);
		for (c = 0; c < IVF_CURVES; c++)
		{
			/* Nearest ks[c] of the kept ones: sort by distance. */
			int			n = Min(ks[c], cal->n[q]);
			Ranked		near[NEIGHBOURS];
			int			i;

			for (i = 0; i < cal->n[q]; i++)
			{
				near[i].dist = cal->dist[(Size) q * cal->k + i];
				near[i].leaf = cal->leaf[(Size) q * cal->k + i];
			}
			qsort(near, cal->n[q], sizeof(Ranked), compare_ranked);
			for (p = 0; p < points; p++)
				for (f = 0; f < IVF_OPEN_FACTORS; f++)
				{
					uint64		opened = (uint64) grid[p] * ivf_open_factors[f];
					int			hits = 0;

					for (i = 0; i < n; i++)
						hits += rank[near[i].leaf] < grid[p] && rank[nleaf + near[i].leaf] < opened;
					recall[c][(p * IVF_OPEN_FACTORS + f) * cal->nq + q] = n > 0 ? (float) hits / n : 1;
				}
		}
	}
	for (c = 0; c < IVF_CURVES; c++)
		for (p = 0; p < points; p++)
		{
			meta->curve[c].point[p].probes = grid[p];
			for (f = 0; f < IVF_OPEN_FACTORS; f++)
				curve_point(b, &meta->curve[c].point[p], f,
							recall[c] + (Size) (p * IVF_OPEN_FACTORS + f) * cal->nq);
		}
}

/*
 * rank[leaf]: place of a leaf in the order of distance to query q;
 * rank[nleaf + leaf]: leaves in the partitions before its own, which is what
 * decides whether a scan opens that partition (0 for those always opened).
 */
static void
rank_lists(IvfBuild *b, int q, Ranked *parts, Ranked *ranked, uint32 *rank)
{
	IvfModel   *m = b->m;
	int			nleaf = b->tree.nleaf;
	float	   *y = b->scratch;
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
