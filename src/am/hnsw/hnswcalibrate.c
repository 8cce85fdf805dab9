/*
 * hnswcalibrate.c -- recall against ef, measured while the index is built.
 *
 * What it is not: the choice of ef for a scan (hnsweffort.c).
 *
 * The last rows of the build are held out: before they go in, they are queries.
 * Their nearest among the rows that are in are found by comparing with all of
 * them. Then each query walks the graph as a scan will: by the own codes and the
 * edge codes that are going to be written, made here as they are needed. A walk
 * can be resumed, so one walk a query gives the whole curve. A row counts as
 * found if its record is expanded: what a scan has met it puts in exact order.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "base/heap.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "am/hnsw/hnswbuild.h"
#include "math/par.h"

/* A walk to the largest ef can cost 20 ms, as edge codes are made on the way. */
#define QUERIES 128
/* Fewer rows need no curve: the default ef does. */
#define LEAST_ROWS 2000
#define FEW 10
#define MANY 100

/* Rows compared with all queries in one parallel region: some 30 ms. */
#define SLICE_ROWS 4096

static const uint32 grid[HNSW_CURVE_POINTS] = {
	10, 16, 24, 32, 40, 52, 64, 80, 100, 130, 170, 240, 340, 480, 700, 1000
};

/* Nothing is gained beyond. */
#define ENOUGH 0.998f
#define NEARLY_ALL 0.99f

typedef struct Calibration
{
	MemoryContext cxt;			/* of everything here */
	HnswBuild  *b;
	const VgGraph *g;
	size_t		n;				/* queries */
	VgRow	  **query;			/* [n] */
	VgQuery    *prepared;		/* [n] */
	VpHeapItem *near;			/* [threads * n * MANY] the nearest, farthest first */
	size_t	   *nnear;			/* [threads * n] */
	size_t		slice;			/* first row of the slice */
	uint32	   *truth;			/* [n * MANY] the nearest rows, ascending */
	/* walks */
	MemoryContext walk_cxt;		/* of one query's */
	float	   *own;			/* [dim] decoded record being expanded, */
	float	   *other;			/* and its neighbour */
	float	   *temp;			/* [2 * dim] */
	uint8	   *code;			/* own code */
	uint8	   *bytes;			/* scratch of hnsw_build_code */
	uint8	   *edges;			/* codes of one record's edges */
	float	   *recall[HNSW_CURVES];	/* [HNSW_CURVE_POINTS * n] */
} Calibration;

/* A query's walk. */
typedef struct Walk
{
	Calibration *c;
	HnswQuery	q;
	VgSearch	search;
} Walk;

static void begin(Calibration *c, HnswBuild *b, const VgGraph *g, const uint32_t *rest, size_t n);
static void find_truth(Calibration *c);
static void compare_rows(void *arg, int thread, size_t from, size_t to);
static void merge_truth(Calibration *c, size_t q);
static void walk_query(Calibration *c, size_t q);
static void begin_walk(Walk *w, size_t q);
static void query_of_row(Calibration *c, const VgRow *row, float *y);
static int	expand(void *arg, uint32_t row, float *own, uint32_t *ids, float *ests);
static void *walk_alloc(void *arg, size_t bytes);
static float share_found(const Walk *w, size_t q, int k);
static bool add_point(const Calibration *c, HnswCurve *curve, uint32 ef, const float *recall);

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
	MemoryContext old;
	bool		more = true;
	size_t		q;
	int			i;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_CALIBRATE);
	memset(&c, 0, sizeof(c));
	c.cxt = AllocSetContextCreate(b->cxt, "hnsw calibration", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(c.cxt);
	begin(&c, b, g, rest, n);
	find_truth(&c);
	for (q = 0; q < n; q++)
		walk_query(&c, q);
	for (i = 0; i < HNSW_CURVE_POINTS && more; i++)
	{
		more = add_point(&c, &b->meta.curve[0], grid[i], c.recall[0] + i * n);
		if (grid[i] >= MANY)
			more = add_point(&c, &b->meta.curve[1], grid[i], c.recall[1] + i * n) || more;
		else
			more = true;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(c.cxt);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_GRAPH);
}

static void
begin(Calibration *c, HnswBuild *b, const VgGraph *g, const uint32_t *rest, size_t n)
{
	int			threads = b->env.nthreads;
	HnswModel  *m = b->m;
	size_t		i;

	c->b = b;
	c->g = g;
	c->n = n;
	c->query = palloc(sizeof(VgRow *) * n);
	c->prepared = palloc(sizeof(VgQuery) * n);
	for (i = 0; i < n; i++)
	{
		c->query[i] = palloc(b->rows.stride);
		memcpy(c->query[i], vg_row(&b->rows, rest[i]), b->rows.stride);
		vg_query(&b->rows, c->query[i], palloc(b->rows.dim), &c->prepared[i]);
	}
	c->near = palloc(sizeof(VpHeapItem) * threads * n * MANY);
	c->nnear = palloc0(sizeof(size_t) * threads * n);
	c->truth = palloc(sizeof(uint32) * n * MANY);
	c->recall[0] = palloc(sizeof(float) * n * HNSW_CURVE_POINTS);
	c->recall[1] = palloc(sizeof(float) * n * HNSW_CURVE_POINTS);
	c->walk_cxt = AllocSetContextCreate(c->cxt, "hnsw calibration walk", ALLOCSET_DEFAULT_SIZES);
	c->own = palloc(sizeof(float) * m->dim);
	c->other = palloc(sizeof(float) * m->dim);
	c->temp = palloc(sizeof(float) * 2 * m->dim);
	c->code = palloc(m->codec->bytes(m->dim));
	c->bytes = palloc(m->dim + 4 * sizeof(float));
	c->edges = palloc(m->layout[0].edge_size * m->layout[0].slots);
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
				heap[0].item = i;
				vp_heap_down(heap, MANY, 0);
			}
		}
	}
}

static int
compare_item(const void *a, const void *b)
{
	const VpHeapItem *x = a;
	const VpHeapItem *y = b;

	return (x->key < y->key) - (x->key > y->key);
}

/* Of the threads' nearest, the nearest; keys are negated distances. */
static void
merge_truth(Calibration *c, size_t q)
{
	int			threads = c->b->env.nthreads;
	VpHeapItem *all = palloc(sizeof(VpHeapItem) * threads * MANY);
	size_t		n = 0;
	size_t		i;
	int			t;

	for (t = 0; t < threads; t++)
		for (i = 0; i < c->nnear[(size_t) t * c->n + q]; i++)
			all[n++] = c->near[((size_t) t * c->n + q) * MANY + i];
	qsort(all, n, sizeof(VpHeapItem), compare_item);
	for (i = 0; i < MANY; i++)
		c->truth[q * MANY + i] = i < n ? all[i].item : VG_NONE;
	pfree(all);
}

/* ---- walks ---- */

/*
 * One query's recall at every ef. Once nearly everything is found the walk is
 * over: it would cost more than all before to find the rest.
 */
static void
walk_query(Calibration *c, size_t q)
{
	Walk		w = {c};
	float		few = 0;
	float		many = 0;
	int			i;

	begin_walk(&w, q);
	for (i = 0; i < HNSW_CURVE_POINTS; i++)
	{
		if (few < 1 || many < NEARLY_ALL)
		{
			vg_search_run(&w.search, grid[i]);
			few = share_found(&w, q, FEW);
			many = share_found(&w, q, MANY);
		}
		c->recall[0][i * c->n + q] = few;
		c->recall[1][i * c->n + q] = many;
	}
	MemoryContextReset(c->walk_cxt);
}

/* From where the upper layers lead to, as a scan begins. */
static void
begin_walk(Walk *w, size_t q)
{
	Calibration *c = w->c;
	HnswBuild  *b = c->b;
	HnswModel  *m = b->m;
	MemoryContext old = MemoryContextSwitchTo(c->walk_cxt);
	VgAccess	access = {expand, NULL, walk_alloc, w, m->layout[0].slots, m->edge_bits == 0};
	float	   *y = palloc(sizeof(float) * m->dim);
	char	   *scratch = palloc(vg_search_bytes(c->g, m->dim, 1) + VP_ALIGN);
	VgCandidate entry;

	query_of_row(c, c->query[q], y);
	hnsw_query(m, y, c->walk_cxt, &w->q);
	vg_search_begin(&w->search, &access);
	if (vg_graph_search(c->g, &b->rows, c->query[q], 1,
						(void *) VP_ROUND_UP((uintptr_t) scratch, VP_ALIGN), &entry) == 1)
		vg_search_push(&w->search, entry.id, 0);
	MemoryContextSwitchTo(old);
}

/* The row as hnsw_query() wants it; under inner product without the shift. */
static void
query_of_row(Calibration *c, const VgRow *row, float *y)
{
	HnswModel  *m = c->b->m;
	int			d;

	for (d = 0; d < m->dim; d++)
		if (m->oc->metric == VQ_L1)
			y[d] = m->params[0] + m->params[1] * row->u[d];
		else
			y[d] = row->t * (row->u[d] - 127.5f) + (m->oc->metric == VQ_IP ? m->mean_rot[d] : 0);
}

/* The record that is going to be written for the row. */
static int
expand(void *arg, uint32_t row, float *own, uint32_t *ids, float *ests)
{
	Walk	   *w = arg;
	Calibration *c = w->c;
	HnswBuild  *b = c->b;
	HnswModel  *m = b->m;
	const HnswLayout *l = &m->layout[0];
	const uint32 *edges = vg_edges(c->g, row, 0);
	int			n;

	CHECK_FOR_INTERRUPTS();
	hnsw_build_code(b, row, c->bytes, c->code);
	*own = m->codec->value(&w->q.point, c->code, m->dim, m->params, m->oc->metric);
	if (m->edge_bits > 0)
		hnsw_build_decode(b, row, c->own);
	for (n = 0; n < l->slots && edges[n] != VG_NONE; n++)
	{
		ids[n] = edges[n];
		if (m->edge_bits == 0)
		{
			hnsw_build_code(b, ids[n], c->bytes, c->code);
			ests[n] = m->codec->value(&w->q.point, c->code, m->dim, m->params, m->oc->metric);
			continue;
		}
		hnsw_build_decode(b, ids[n], c->other);
		vq_edge_encode(m->edge_bits, c->other, c->own, m->dim, m->edim, m->oc->metric, m->unit,
					   c->temp, c->edges + n * l->edge_size + HNSW_EDGE_CODE);
	}
	if (m->edge_bits > 0 && n > 0)
		vq_edge_estimate(&w->q.edge, c->edges + HNSW_EDGE_CODE, l->edge_size, n, *own, ests);
	return n;
}

static void *
walk_alloc(void *arg, size_t bytes)
{
	return MemoryContextAllocHuge(((Walk *) arg)->c->walk_cxt, bytes);
}

static float
share_found(const Walk *w, size_t q, int k)
{
	const uint32 *truth = w->c->truth + q * MANY;
	int			hits = 0;
	int			i;

	for (i = 0; i < k; i++)
		hits += truth[i] != VG_NONE && vg_is_expanded(&w->search, truth[i]);
	return (float) hits / k;
}

/* Adds the mean at this ef; false if no larger one is of interest. */
static bool
add_point(const Calibration *c, HnswCurve *curve, uint32 ef, const float *recall)
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
	p->ef = ef;
	p->recall = mean;
	p->error = sqrt(Max(square / c->n - mean * mean, 0) / c->n);
	curve->points++;
	return mean < ENOUGH;
}
