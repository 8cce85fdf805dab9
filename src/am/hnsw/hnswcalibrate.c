/*
 * hnswcalibrate.c -- recall against ef, measured while the index is built.
 *
 * What it is not: the choice of ef for a scan (hnsweffort.c).
 *
 * The last rows of the build are held out: before they go in, they are queries.
 * Their nearest among the rows that are in are found by comparing with all of
 * them, and again by the graph at several ef. Distances are those of codes on
 * both sides, so what is measured is the graph. A scan's own walk, by estimates
 * of edges, finds no less at the same ef (graph/README), so the curve is on
 * the safe side.
 *
 * Under inner product the queries have no third coordinate: then the order of
 * distances is that of inner products (README).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "base/heap.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"

#include "am/hnsw/hnswbuild.h"
#include "math/par.h"

#define QUERIES 256
/* Fewer rows need no curve: the default ef does. */
#define LEAST_ROWS 2000
#define FEW 10
#define MANY 100

/* Rows compared with all queries in one parallel region: some 30 ms. */
#define SLICE_ROWS 4096

static const uint32 grid[HNSW_CURVE_POINTS] = {
	10, 16, 24, 32, 40, 52, 64, 80, 100, 128, 160, 200, 280, 400, 600, 1000
};

/* Nothing is gained beyond. */
#define ENOUGH 0.998f

typedef struct Calibration
{
	HnswBuild  *b;
	const VgGraph *g;
	size_t		n;				/* queries */
	VgRow	  **query;			/* [n] */
	VgQuery    *prepared;		/* [n] */
	VpHeapItem *near;			/* [threads * n * MANY] the nearest, farthest first */
	size_t	   *nnear;			/* [threads * n] */
	float	   *truth;			/* [n * MANY] their distances, ascending */
	size_t		slice;			/* first row of the slice */
	/* one ef */
	int			ef;
	char	   *scratch;		/* per thread */
	Size		scratch_size;
	VgCandidate *found;			/* [threads * largest ef] */
	float	   *recall[HNSW_CURVES];	/* [n] */
} Calibration;

static void begin(Calibration *c, HnswBuild *b, const VgGraph *g, const uint32_t *rest, size_t n);
static void find_truth(Calibration *c);
static void compare_rows(void *arg, int thread, size_t from, size_t to);
static void merge_truth(Calibration *c, size_t q);
static void search_queries(void *arg, int thread, size_t from, size_t to);
static float share_found(const Calibration *c, size_t q, const VgCandidate *found, int nfound, int k);
static bool add_point(const Calibration *c, HnswCurve *curve, const float *recall);

size_t
hnsw_calibration_rows(size_t rows)
{
	return rows < LEAST_ROWS ? 0 : Min(QUERIES, rows / 16);
}

void
hnsw_calibrate(void *arg, const VgGraph *g, const uint32_t *rest, size_t n)
{
	HnswBuild  *b = arg;
	Calibration c;
	bool		more = true;
	int			i;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_CALIBRATE);
	begin(&c, b, g, rest, n);
	find_truth(&c);
	for (i = 0; i < HNSW_CURVE_POINTS && more; i++)
	{
		c.ef = grid[i];
		for (c.slice = 0; c.slice < n; c.slice += 32)
		{
			vm_par_for(b->env.nthreads, Min(32, n - c.slice), 1, search_queries, &c);
			CHECK_FOR_INTERRUPTS();
		}
		more = add_point(&c, &b->meta.curve[0], c.recall[0]);
		if (c.ef >= MANY)
			more = add_point(&c, &b->meta.curve[1], c.recall[1]) || more;
		else
			more = true;
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_GRAPH);
}

static void
begin(Calibration *c, HnswBuild *b, const VgGraph *g, const uint32_t *rest, size_t n)
{
	int			threads = b->env.nthreads;
	int			most = grid[HNSW_CURVE_POINTS - 1];
	size_t		i;

	memset(c, 0, sizeof(*c));
	c->b = b;
	c->g = g;
	c->n = n;
	c->query = palloc(sizeof(VgRow *) * n);
	c->prepared = palloc(sizeof(VgQuery) * n);
	for (i = 0; i < n; i++)
	{
		c->query[i] = palloc(b->rows.stride);
		memcpy(c->query[i], vg_row(&b->rows, rest[i]), b->rows.stride);
		c->query[i]->z = 0;
		vg_query(&b->rows, c->query[i], palloc(b->rows.dim), &c->prepared[i]);
	}
	c->near = palloc(sizeof(VpHeapItem) * threads * n * MANY);
	c->nnear = palloc0(sizeof(size_t) * threads * n);
	c->truth = palloc(sizeof(float) * n * MANY);
	c->scratch_size = VP_ROUND_UP(vg_search_bytes(g, b->rows.dim, most), VP_ALIGN);
	c->scratch = b->env.alloc(b->env.arg, c->scratch_size * threads);
	c->found = palloc(sizeof(VgCandidate) * threads * most);
	c->recall[0] = palloc(sizeof(float) * n);
	c->recall[1] = palloc(sizeof(float) * n);
	b->meta.curve[0].k = FEW;
	b->meta.curve[1].k = MANY;
	b->meta.curve[0].queries = b->meta.curve[1].queries = n;
}

/* ---- the truth ---- */

static void
find_truth(Calibration *c)
{
	HnswBuild  *b = c->b;
	size_t		q;

	for (c->slice = 0; c->slice < b->rows.n; c->slice += SLICE_ROWS)
	{
		vm_par_for(b->env.nthreads, Min(SLICE_ROWS, b->rows.n - c->slice), 256, compare_rows, c);
		CHECK_FOR_INTERRUPTS();
	}
	for (q = 0; q < c->n; q++)
		merge_truth(c, q);
}

static void
compare_rows(void *arg, int thread, size_t from, size_t to)
{
	Calibration *c = arg;
	size_t		i;
	size_t		q;

	for (i = c->slice + from; i < c->slice + to; i++)
	{
		/* Held-out rows are not in the graph. */
		if (vg_edges(c->g, i, 0)[0] == VG_NONE)
			continue;
		for (q = 0; q < c->n; q++)
		{
			VpHeapItem *heap = c->near + ((size_t) thread * c->n + q) * MANY;
			size_t	   *n = &c->nnear[(size_t) thread * c->n + q];
			float		dist = vg_distance(&c->b->rows, &c->prepared[q], i);

			if (*n < MANY)
				vp_heap_push(heap, n, -dist, i);
			else if (dist < -heap[0].key)
			{
				heap[0].key = -dist;
				vp_heap_down(heap, MANY, 0);
			}
		}
	}
}

static int
compare_float(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

/* Of the threads' nearest, the nearest. */
static void
merge_truth(Calibration *c, size_t q)
{
	int			threads = c->b->env.nthreads;
	float	   *all = palloc(sizeof(float) * threads * MANY);
	size_t		n = 0;
	size_t		i;
	int			t;

	for (t = 0; t < threads; t++)
		for (i = 0; i < c->nnear[(size_t) t * c->n + q]; i++)
			all[n++] = -c->near[((size_t) t * c->n + q) * MANY + i].key;
	qsort(all, n, sizeof(float), compare_float);
	for (i = 0; i < MANY; i++)
		c->truth[q * MANY + i] = i < n ? all[i] : INFINITY;
	pfree(all);
}

/* ---- the graph ---- */

static void
search_queries(void *arg, int thread, size_t from, size_t to)
{
	Calibration *c = arg;
	VgCandidate *found = c->found + (size_t) thread * grid[HNSW_CURVE_POINTS - 1];
	size_t		q;

	for (q = c->slice + from; q < c->slice + to; q++)
	{
		int			n = vg_graph_search(c->g, &c->b->rows, c->query[q], c->ef,
										c->scratch + c->scratch_size * thread, found);

		c->recall[0][q] = share_found(c, q, found, n, FEW);
		c->recall[1][q] = share_found(c, q, found, n, MANY);
	}
}

static float
share_found(const Calibration *c, size_t q, const VgCandidate *found, int nfound, int k)
{
	float		limit = c->truth[q * MANY + k - 1];
	int			hits = 0;
	int			i;

	for (i = 0; i < Min(nfound, k); i++)
		hits += found[i].dist <= limit;
	return (float) hits / k;
}

/* Adds the mean at this ef; false if no larger one is of interest. */
static bool
add_point(const Calibration *c, HnswCurve *curve, const float *recall)
{
	HnswCurvePoint *p = &curve->point[curve->points];
	double		sum = 0;
	double		square = 0;
	double		mean;
	size_t		q;

	if (curve->points > 0 && p[-1].recall >= ENOUGH)
		return false;
	for (q = 0; q < c->n; q++)
	{
		sum += recall[q];
		square += (double) recall[q] * recall[q];
	}
	mean = sum / c->n;
	p->ef = c->ef;
	p->recall = mean;
	p->error = sqrt(Max(square / c->n - mean * mean, 0) / c->n);
	curve->points++;
	return mean < ENOUGH;
}
