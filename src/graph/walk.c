/*
 * walk.c -- searches a layer of a graph in memory.
 *
 * What it is not: a search of pages (search.c), which has estimates on its edges
 * and no distance for nothing.
 *
 * Source: HNSW (graph.h), algorithm 2. Nearly all time is rows that are in no
 * cache, so the rows of an expanded node's neighbours are asked for before the
 * first of them is compared. W and the candidates are one ascending pool: what
 * falls out of it could no longer be expanded either.
 *
 * The set of visited rows is small enough to stay in the nearest caches, and may
 * forget: a row met twice costs a distance and is then found in the pool, or is
 * no better than what it was pushed out for.
 */
#include "graph/inner.h"

#include <math.h>
#include <string.h>

#define LINE 64
#define ROWS_AHEAD 4			/* asked for before one is compared */
#define HEADS_AHEAD 12
#define HEAD_SLACK 2.8f			/* standard deviations */
#define VISITED_MIN 256			/* slots; enough for a greedy descent */
#define VISITED_MAX 65536		/* 256 kB: beyond it, looking a row up costs as much as the row */
#define VISITED_PROBES 8		/* then the first of them is forgotten */

static void expand(VgWalk *w, uint32_t node, int layer, int ef, int *next);
static size_t visited_cap(int m, int ef);
static bool visit(VgWalk *w, uint32_t id);
static int	drop_far(VgWalk *w, int n);
static void ask_for(const VgRows *rows, uint32_t id, int from, int to);
static int	pool_add(VgWalk *w, int ef, VgKey key);

size_t
vg_walk_bytes(int m, int dim, int ef)
{
	return VP_ROUND_UP(((size_t) ef + 1) * sizeof(VgKey), VP_ALIGN) +
		VP_ROUND_UP((size_t) ef + 1, VP_ALIGN) +
		visited_cap(m, ef) * sizeof(uint32_t) +
		2 * VP_ROUND_UP(2 * (size_t) m * sizeof(uint32_t), VP_ALIGN) +
		VP_ROUND_UP((size_t) dim, VP_ALIGN);
}

void
vg_walk_init(VgWalk *w, const VgGraph *g, const VgRows *rows, int ef, void *memory)
{
	char	   *p = memory;

	memset(w, 0, sizeof(*w));
	w->g = g;
	w->rows = rows;
	w->pool = (VgKey *) (void *) p;
	p += VP_ROUND_UP(((size_t) ef + 1) * sizeof(VgKey), VP_ALIGN);
	w->visited = (uint32_t *) (void *) p;
	p += visited_cap(g->m, ef) * sizeof(uint32_t);
	w->fresh = (uint32_t *) (void *) p;
	p += VP_ROUND_UP(2 * (size_t) g->m * sizeof(uint32_t), VP_ALIGN);
	w->dots = (int32_t *) (void *) p;
	p += VP_ROUND_UP(2 * (size_t) g->m * sizeof(int32_t), VP_ALIGN);
	w->s = (int8_t *) p;
	p += VP_ROUND_UP((size_t) rows->dim, VP_ALIGN);
	w->open = (uint8_t *) p;
}

void
vg_walk_begin(VgWalk *w, const VgRow *query, uint32_t start)
{
	vg_query(w->rows, query, w->s, &w->query);
	w->pool[0] = vg_key(vg_distance(w->rows, &w->query, start), start);
	w->npool = 1;
}

void
vg_walk_layer(VgWalk *w, int layer, int ef)
{
	int			next = 0;		/* no row before it in the pool is open */

	w->visited_cap = visited_cap(w->g->m, ef);
	memset(w->visited, 0xff, w->visited_cap * sizeof(uint32_t));
	for (int i = 0; i < w->npool; i++)
	{
		w->open[i] = 1;
		visit(w, vg_key_id(w->pool[i]));
	}
	for (;;)
	{
		while (next < w->npool && !w->open[next])
			next++;
		if (next == w->npool)
			break;
		w->open[next] = 0;
		expand(w, vg_key_id(w->pool[next]), layer, ef, &next);
	}
}

static void
expand(VgWalk *w, uint32_t node, int layer, int ef, int *next)
{
	const uint32_t *edges = vg_edges(w->g, node, layer);
	int			most = layer == 0 ? 2 * w->g->m : w->g->m;
	int			head = w->npool == ef ? w->rows->head : 0;
	int			n = 0;

	for (int i = 0; i < most && edges[i] != VG_NONE; i++)
		if (visit(w, edges[i]))
			w->fresh[n++] = edges[i];
	if (head > 0)
		n = drop_far(w, n);
	for (int i = 0; i < n && i < ROWS_AHEAD; i++)
		ask_for(w->rows, w->fresh[i], head, w->rows->dim);
	for (int i = 0; i < n; i++)
	{
		const VgRow *row = vg_row(w->rows, w->fresh[i]);
		float		dist;

		if (i + ROWS_AHEAD < n)
			ask_for(w->rows, w->fresh[i + ROWS_AHEAD], head, w->rows->dim);
		dist = head > 0 ? vg_near_rest(w->rows, &w->query, row, w->dots[i]) :
			vg_near(w->rows, &w->query, row);
		if (w->npool < ef || dist < vg_key_dist(w->pool[w->npool - 1]))
		{
			int			at = pool_add(w, ef, vg_key(dist, w->fresh[i]));

			*next = VP_MIN(*next, at);
		}
	}
}

/*
 * Of n fresh rows, keeps those that may be near by their heads; returns how many.
 * After a random rotation the head's part of a squared distance is off its share
 * by sqrt(2 / head) of it: with HEAD_SLACK, one true neighbour in 400 is lost at
 * the very edge of the pool.
 */
static int
drop_far(VgWalk *w, int n)
{
	float		limit = vg_key_dist(w->pool[w->npool - 1]) *
		(1.0f + HEAD_SLACK * sqrtf(2.0f / (float) w->rows->head));
	int			kept = 0;

	for (int i = 0; i < n && i < HEADS_AHEAD; i++)
		ask_for(w->rows, w->fresh[i], 0, w->rows->head);
	for (int i = 0; i < n; i++)
	{
		uint32_t	id = w->fresh[i];
		int32_t		dot;

		if (i + HEADS_AHEAD < n)
			ask_for(w->rows, w->fresh[i + HEADS_AHEAD], 0, w->rows->head);
		if (vg_near_head(w->rows, &w->query, vg_row(w->rows, id), &dot) <= limit)
		{
			w->fresh[kept] = id;
			w->dots[kept++] = dot;
		}
	}
	return kept;
}

/* Dimensions [from, to) of a row are going to be read; from 0 with what is before them. */
static void
ask_for(const VgRows *rows, uint32_t id, int from, int to)
{
	const char *row = (const char *) vg_row(rows, id);
	size_t		at = from == 0 ? 0 : offsetof(VgRow, u) + (size_t) from;
	size_t		end = offsetof(VgRow, u) + (size_t) to;

	for (; at < end; at += LINE)
		__builtin_prefetch(row + at);
	__builtin_prefetch(row + end - 1);
}

/* Slots for a search: some ef rows are expanded, with 2m neighbours, half of them new. */
static size_t
visited_cap(int m, int ef)
{
	size_t		want = (size_t) ef * 2 * (size_t) m;
	size_t		cap = VISITED_MIN;

	while (cap < want && cap < VISITED_MAX)
		cap *= 2;
	return cap;
}

/* Whether the row has not been met, as far as remembered; it is now. */
static bool
visit(VgWalk *w, uint32_t id)
{
	size_t		mask = w->visited_cap - 1;
	size_t		home = (id * UINT32_C(0x9E3779B1)) >> 12 & mask;

	for (size_t i = 0; i < VISITED_PROBES; i++)
	{
		uint32_t   *slot = &w->visited[(home + i) & mask];

		if (*slot == id)
			return false;
		if (*slot == VG_NONE)
		{
			*slot = id;
			return true;
		}
	}
	w->visited[home] = id;
	return true;
}

/* Adds a row unless it is there; returns where it lies, or npool. */
static int
pool_add(VgWalk *w, int ef, VgKey key)
{
	int			at = 0;
	int			len = w->npool;

	while (len > 0)
	{
		int			half = len / 2;

		if (w->pool[at + half] < key)
		{
			at += half + 1;
			len -= half + 1;
		}
		else
			len = half;
	}
	if (at < w->npool && w->pool[at] == key)
		return w->npool;
	memmove(w->pool + at + 1, w->pool + at, (size_t) (w->npool - at) * sizeof(VgKey));
	memmove(w->open + at + 1, w->open + at, (size_t) (w->npool - at));
	w->pool[at] = key;
	w->open[at] = 1;
	w->npool = VP_MIN(w->npool + 1, ef);
	return at;
}

/* ---- a whole search ---- */

size_t
vg_search_bytes(const VgGraph *g, int dim, int ef)
{
	return vg_walk_bytes(g->m, dim, ef);
}

int
vg_graph_search(const VgGraph *g, const VgRows *rows, const VgRow *query, int ef,
				void *scratch, VgCandidate *out)
{
	VgWalk		w;

	if (g->entry == VG_NONE)
		return 0;
	vg_walk_init(&w, g, rows, ef, scratch);
	vg_walk_begin(&w, query, g->entry);
	for (int layer = g->top; layer > 0; layer--)
		vg_walk_layer(&w, layer, 1);
	vg_walk_layer(&w, 0, ef);
	for (int i = 0; i < w.npool; i++)
	{
		out[i].dist = vg_key_dist(w.pool[i]);
		out[i].id = vg_key_id(w.pool[i]);
	}
	return w.npool;
}
