/*
 * graph_data.h -- made rows, brute force and a plain HNSW for the graph tests.
 *
 * What it is not: a contract; only test_graph.c and test_graph_search.c include
 * it. Nothing here is fast, or shares code with the room: what it is compared
 * with must be right for another reason.
 */
#ifndef VECPG_UNIT_GRAPH_DATA_H
#define VECPG_UNIT_GRAPH_DATA_H

#include <math.h>

#include "graph/graph.h"
#include "simd/simd.h"

#include "unit.h"

typedef enum DataKind
{
	DATA_UNIFORM,
	DATA_CLUSTERED				/* some 40 centres */
} DataKind;

typedef struct DataShape
{
	int			dim;
	DataKind	kind;
	VgSpace		space;
	int			head;			/* VgRows.head */
	bool		lifted;			/* for inner products */
} DataShape;

/* `n` rows and, behind them, `nq` queries of the same distribution. */
typedef struct Data
{
	VgRows		rows;
	char	   *memory;
	size_t		nq;
	VgCandidate *truth;			/* [nq * k] */
	int			k;
} Data;

VP_INLINE void *
aligned(size_t bytes)
{
	void	   *p;

	if (posix_memalign(&p, VP_ALIGN, VP_MAX(bytes, 1)) != 0)
		abort();
	return p;
}

/* Standard normal, by Box and Muller. */
VP_INLINE double
normal(void)
{
	double		u = ((double) (vp_rand(&unit_seed) >> 11) + 1.0) * 0x1p-53;
	double		v = (double) (vp_rand(&unit_seed) >> 11) * 0x1p-53;

	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

VP_INLINE VgRow *
data_row(const Data *d, size_t i)
{
	return (VgRow *) (void *) (d->memory + d->rows.stride * i);
}

VP_INLINE const VgRow *
data_query(const Data *d, size_t i)
{
	return data_row(d, d->rows.n + i);
}

/* Codes one row: 8 bits over its own largest coordinate, or over [-4, 4) under VG_L1. */
VP_INLINE void
data_code(const VgRows *rows, const float *x, VgRow *row)
{
	float		largest = 1e-6f;
	float		t;
	double		norm2 = 0;

	for (int d = 0; d < rows->dim; d++)
		largest = fmaxf(largest, fabsf(x[d]));
	t = rows->space == VG_L1 ? rows->step : largest / 127.4f;
	for (int d = 0; d < rows->dim; d++)
	{
		float		u = rintf(x[d] / t + 127.5f);

		row->u[d] = (uint8_t) fminf(fmaxf(u, 0), 255);
		norm2 += (row->u[d] - 127.5) * (row->u[d] - 127.5);
	}
	row->t = t;
	row->norm2 = (float) (norm2 * t * t);
	row->lift = 0;
	vg_row_sums(rows, row);
}

/* Distance of two rows by its definition. */
VP_INLINE double
data_distance(const VgRows *rows, const VgRow *a, const VgRow *b)
{
	double		sum = 0;

	for (int d = 0; d < rows->dim; d++)
	{
		double		diff = rows->space == VG_L1 ? (double) a->u[d] - b->u[d] :
			(a->u[d] - 127.5) * a->t - (b->u[d] - 127.5) * b->t;

		sum += rows->space == VG_L1 ? fabs(diff) * rows->step : diff * diff;
	}
	return rows->space == VG_L1 ? sum : sum + a->lift + b->lift;
}

/* One row's distances to all rows of the data, prepared once. */
typedef struct Prepared
{
	const VgRows *rows;
	VgQuery		q;
	int8_t		s[256];
} Prepared;

VP_INLINE void
prepare(Prepared *p, const VgRows *rows, const VgRow *row)
{
	p->rows = rows;
	vg_query(rows, row, p->s, &p->q);
}

VP_INLINE float
prepared_distance(const Prepared *p, uint32_t i)
{
	return vg_distance(p->rows, &p->q, i);
}

/* Puts a candidate into a list of at most `most`, ascending by (dist, id); its place or -1. */
VP_INLINE int
sorted_add(VgCandidate *list, int *n, int most, float dist, uint32_t id)
{
	int			at = *n;

	while (at > 0 &&
		   (dist < list[at - 1].dist || (dist == list[at - 1].dist && id < list[at - 1].id)))
		at--;
	if (at == most)
		return -1;
	*n = VP_MIN(*n + 1, most);
	memmove(list + at + 1, list + at, sizeof(*list) * (size_t) (*n - 1 - at));
	list[at].dist = dist;
	list[at].id = id;
	return at;
}

/* The k nearest rows of each query by brute force. */
VP_INLINE void
data_truth(Data *d, int k)
{
	d->k = k;
	d->truth = malloc(sizeof(VgCandidate) * d->nq * (size_t) k);
	for (size_t i = 0; i < d->nq; i++)
	{
		Prepared	p;
		int			n = 0;

		prepare(&p, &d->rows, data_query(d, i));
		for (uint32_t r = 0; r < d->rows.n; r++)
			sorted_add(d->truth + i * (size_t) k, &n, k, prepared_distance(&p, r), r);
	}
}

/* Lifts rows so that distances from a query order them by inner product. */
VP_INLINE void
data_lift(Data *d)
{
	float		longest = 0;

	for (size_t i = 0; i < d->rows.n; i++)
		longest = fmaxf(longest, data_row(d, i)->norm2);
	for (size_t i = 0; i < d->rows.n; i++)
		data_row(d, i)->lift = longest - data_row(d, i)->norm2;
}

VP_INLINE void
data_make(Data *d, size_t n, size_t nq, const DataShape *shape)
{
	float		centres[40][256];
	float		x[256];

	memset(d, 0, sizeof(*d));
	d->rows.n = n;
	d->rows.dim = shape->dim;
	d->rows.head = shape->head;
	d->rows.space = shape->space;
	d->rows.step = shape->space == VG_L1 ? 8.0f / 256 : 0;
	d->rows.stride = VP_ROUND_UP(sizeof(VgRow) + (size_t) shape->dim, 16);
	d->nq = nq;
	d->memory = aligned((n + nq + 1) * d->rows.stride);
	memset(d->memory, 0, (n + nq + 1) * d->rows.stride);
	d->rows.rows = d->memory;
	for (int c = 0; c < 40; c++)
		for (int i = 0; i < shape->dim; i++)
			centres[c][i] = (float) normal();
	for (size_t r = 0; r < n + nq; r++)
	{
		const float *centre = centres[unit_below(40)];

		for (int i = 0; i < shape->dim; i++)
			x[i] = shape->kind == DATA_UNIFORM ? unit_uniform() :
				centre[i] + 0.4f * (float) normal();
		data_code(&d->rows, x, data_row(d, r));
	}
	if (shape->lifted)
		data_lift(d);
}

VP_INLINE void
data_free(Data *d)
{
	free(d->memory);
	free(d->truth);
}

/* ---- building ---- */

/* What an environment hands out, counted; freed at once. */
typedef struct Arena
{
	void	   *blocks[256];
	int			nblocks;
	size_t		bytes;
	size_t		polls;
} Arena;

static void *
arena_alloc(void *arg, size_t bytes)
{
	Arena	   *a = arg;
	void	   *p = aligned(bytes);

	if (a->nblocks == 256)
		abort();
	memset(p, 0x5a, bytes);		/* nobody may count on zeros */
	a->blocks[a->nblocks++] = p;
	a->bytes += bytes;
	return p;
}

static void
arena_poll(void *arg)
{
	((Arena *) arg)->polls++;
}

VP_INLINE void
arena_free(Arena *a)
{
	while (a->nblocks > 0)
		free(a->blocks[--a->nblocks]);
}

VP_INLINE void
build(Arena *a, const VgRows *rows, const VgBuildOptions *o, int nthreads, VgGraph *g)
{
	VmEnv		env = {arena_alloc, arena_poll, a, nthreads, 7};

	memset(a, 0, sizeof(*a));
	vg_build(&env, rows, o, g);
}

/* Share of the true k nearest (or as near) that a search of a graph finds. */
VP_INLINE double
recall(const Data *d, const VgGraph *g, int ef)
{
	void	   *scratch = aligned(vg_search_bytes(g, d->rows.dim, ef));
	VgCandidate *out = malloc(sizeof(VgCandidate) * (size_t) ef);
	size_t		hits = 0;

	for (size_t i = 0; i < d->nq; i++)
	{
		float		farthest = d->truth[(i + 1) * (size_t) d->k - 1].dist;
		int			n = vg_graph_search(g, &d->rows, data_query(d, i), ef, scratch, out);

		for (int j = 0; j < n && j < d->k; j++)
			hits += out[j].dist <= farthest;
	}
	free(scratch);
	free(out);
	return (double) hits / ((double) d->nq * d->k);
}

/* ---- a plain HNSW: rows one by one, whole selections, as the paper has it ---- */

typedef struct Plain
{
	const VgRows *rows;
	VgGraph    *g;
	int			efc;
	uint8_t    *visited;		/* [n] */
	VgCandidate *cand;			/* [efc] candidates of the selection under way */
	Prepared	a;				/* of the last pair */
	uint32_t	a_id;
} Plain;

static float
plain_pair(void *arg, uint32_t a, uint32_t b)
{
	Plain	   *h = arg;

	if (h->a_id != h->cand[a].id)
		prepare(&h->a, h->rows, vg_row(h->rows, h->cand[a].id));
	h->a_id = h->cand[a].id;
	return prepared_distance(&h->a, h->cand[b].id);
}

/* Algorithm 2; w holds n entry points and gets the ef nearest; returns how many. */
VP_INLINE int
plain_layer(Plain *h, const Prepared *p, VgCandidate *w, int n, int ef, int layer)
{
	int			most = layer == 0 ? 2 * h->g->m : h->g->m;
	VgCandidate *open = malloc(sizeof(VgCandidate) * h->rows->n);
	int			nopen = 0;

	memset(h->visited, 0, h->rows->n);
	for (int i = 0; i < n; i++)
	{
		h->visited[w[i].id] = 1;
		sorted_add(open, &nopen, (int) h->rows->n, w[i].dist, w[i].id);
	}
	while (nopen > 0 && !(n == ef && open[0].dist > w[n - 1].dist))
	{
		const uint32_t *edges = vg_edges(h->g, open[0].id, layer);

		memmove(open, open + 1, sizeof(*open) * (size_t) --nopen);
		for (int e = 0; e < most && edges[e] != VG_NONE; e++)
		{
			float		dist;

			if (h->visited[edges[e]])
				continue;
			h->visited[edges[e]] = 1;
			dist = prepared_distance(p, edges[e]);
			if (sorted_add(w, &n, ef, dist, edges[e]) >= 0)
				sorted_add(open, &nopen, (int) h->rows->n, dist, edges[e]);
		}
	}
	free(open);
	return n;
}

/* Replaces a list by the selection from h->cand. */
VP_INLINE void
plain_choose(Plain *h, uint32_t *edges, int n, int most)
{
	uint8_t		kept[1024];
	int			out[256];
	int			count = vg_select(h->cand, n, most, plain_pair, h, kept, out);

	for (int e = 0; e < most; e++)
		edges[e] = e < count ? h->cand[out[e]].id : VG_NONE;
}

VP_INLINE void
plain_insert(Plain *h, uint32_t row)
{
	VgGraph    *g = h->g;
	VgCandidate w[1024];
	Prepared	p;
	int			n = 1;

	prepare(&p, h->rows, vg_row(h->rows, row));
	w[0].id = g->entry;
	w[0].dist = prepared_distance(&p, g->entry);
	for (int layer = g->top; layer >= 0; layer--)
	{
		int			most = layer == 0 ? 2 * g->m : g->m;
		uint32_t   *own = vg_edges(g, row, layer);

		n = plain_layer(h, &p, w, n, layer > g->level[row] ? 1 : h->efc, layer);
		if (layer > g->level[row])
			continue;
		memcpy(h->cand, w, sizeof(*w) * (size_t) n);
		plain_choose(h, own, n, most);
		for (int e = 0; e < most && own[e] != VG_NONE; e++)
		{
			uint32_t   *other = vg_edges(g, own[e], layer);
			Prepared	q;
			int			count = 0;

			prepare(&q, h->rows, vg_row(h->rows, own[e]));
			sorted_add(h->cand, &count, most + 1, prepared_distance(&q, row), row);
			for (int i = 0; i < most && other[i] != VG_NONE; i++)
				sorted_add(h->cand, &count, most + 1, prepared_distance(&q, other[i]), other[i]);
			plain_choose(h, other, count, most);
		}
	}
	if (g->level[row] > g->top)
	{
		g->top = g->level[row];
		g->entry = row;
	}
}

/* Levels are those of `like`, so that chance has little part in a comparison. */
VP_INLINE void
plain_build(Arena *a, const VgRows *rows, const VgGraph *like, int efc, VgGraph *g)
{
	Plain		h = {.rows = rows, .g = g, .efc = efc, .a_id = VG_NONE};
	size_t		upper = 0;

	memset(a, 0, sizeof(*a));
	*g = *like;
	for (size_t i = 0; i < rows->n; i++)
		upper += g->level[i];
	g->base = arena_alloc(a, rows->n * 2 * (size_t) g->m * sizeof(uint32_t));
	g->upper = arena_alloc(a, (upper + 1) * (size_t) g->m * sizeof(uint32_t));
	memset(g->base, 0xff, rows->n * 2 * (size_t) g->m * sizeof(uint32_t));
	memset(g->upper, 0xff, (upper + 1) * (size_t) g->m * sizeof(uint32_t));
	h.visited = arena_alloc(a, rows->n);
	h.cand = arena_alloc(a, sizeof(VgCandidate) * 1024);
	g->entry = 0;
	g->top = g->level[0];
	for (uint32_t i = 1; i < rows->n; i++)
		plain_insert(&h, i);
}

#endif							/* VECPG_UNIT_GRAPH_DATA_H */
