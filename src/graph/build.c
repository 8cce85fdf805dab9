/*
 * build.c -- builds a graph in memory, in batches.
 *
 * What it is not: the choice of edges (select.c, link.c) or the search (walk.c).
 *
 * A batch has three steps. (1) Each of its rows searches the graph as the batch
 * found it and fills its own lists, which nobody else reads yet. (2) For every
 * edge its reverse is noted, and thrown into a bucket by its target. (3) Buckets
 * are sorted and their edges added to the targets' lists; a list belongs to one
 * bucket. So nothing is locked, and the graph does not depend on threads.
 *
 * Rows of a batch do not see each other. As batches are a small share of the
 * graph (plan.c), few of a row's neighbours are missed, and measured recall is
 * that of insertion one by one (README).
 *
 * The row of the highest level goes in first, and so stays the entry.
 */
#include "graph/inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "math/par.h"

#define SLICE_NS 25000000		/* of a parallel region; 100 ms is the limit */
#define BUCKETS 256
#define SPOT_LAYERS 3

/* An edge to be added to the target's list. */
typedef struct BackEdge
{
	uint32_t	target;
	uint32_t	layer;
	float		dist;
	uint32_t	source;
	uint32_t	pruner;			/* as vg_list_judge says */
} BackEdge;

/* Where a row of the batch belongs: the rows nearest to it on layers 3, 2, 1. */
typedef struct Spot
{
	uint32_t	above[SPOT_LAYERS];
	uint32_t	row;
} Spot;

typedef struct Build
{
	const VmEnv *env;
	const VgRows *rows;
	const VgBuildOptions *o;
	VgGraph    *g;
	float	   *base_dists;		/* beside g->base and g->upper */
	float	   *upper_dists;
	uint32_t   *order;			/* of insertion */
	size_t		inserted;
	size_t		batch;			/* order[inserted ...] being inserted */
	VgWalk	   *walks;			/* one a thread */
	VgLinker   *linkers;
	Spot	   *spots;			/* [batch] */
	BackEdge   *found;			/* of the batch's rows, each with room for all its edges */
	size_t	   *found_at;		/* [batch + 1] a row's part of `found` */
	uint32_t   *nfound;			/* [batch] */
	BackEdge   *back;			/* the same by bucket */
	size_t		start[BUCKETS + 1]; /* a bucket's part of `back` */
	size_t		from;			/* first item of the slice under way */
	size_t		slice;			/* items of the next one */
} Build;

static size_t next_batch(const Build *b, size_t inserted);
static void alloc_graph(Build *b);
static void alloc_threads(Build *b);
static void parallel(Build *b, size_t n, VmParBody body, bool rows);
static void spot_body(void *arg, int thread, size_t from, size_t to);
static void sort_batch(Build *b);
static int	compare_spot(const void *a, const void *b);
static void place_batch(Build *b);
static void insert_body(void *arg, int thread, size_t from, size_t to);
static void insert_row(Build *b, VgWalk *w, VgLinker *l, size_t i);
static void judge_back_edges(Build *b, const VgWalk *w, size_t i, int layer,
							 const VgList *list);
static void collect_back_edges(Build *b);
static void link_body(void *arg, int thread, size_t from, size_t to);
static int	compare_back(const void *a, const void *b);
static VgList list_of(const Build *b, uint32_t row, int layer);
static size_t bucket_of(uint32_t target);
static size_t most_back_edges(const Build *b);
static void *get(const Build *b, size_t count, size_t size);
static uint64_t clock_ns(void);

void
vg_build(const VmEnv *env, const VgRows *rows, const VgBuildOptions *o, VgGraph *g)
{
	Build		b = {.env = env, .rows = rows, .o = o, .g = g};

	memset(g, 0, sizeof(*g));
	g->n = rows->n;
	g->m = o->m;
	g->entry = VG_NONE;
	if (rows->n == 0)
		return;
	alloc_graph(&b);
	alloc_threads(&b);
	g->entry = b.order[0];
	g->top = g->level[g->entry];
	b.inserted = 1;
	while (b.inserted < rows->n)
	{
		if (o->paused && rows->n - b.inserted == o->pause)
			o->paused(o->arg, g, b.order + b.inserted, o->pause);
		b.batch = next_batch(&b, b.inserted);
		parallel(&b, b.batch, spot_body, false);
		sort_batch(&b);
		place_batch(&b);
		parallel(&b, b.batch, insert_body, true);
		collect_back_edges(&b);
		parallel(&b, BUCKETS, link_body, false);
		b.inserted += b.batch;
	}
	if (o->progress)
		o->progress(o->arg, b.inserted);
}

/* Rows of the batch after `inserted` rows; one begins where the pause is. */
static size_t
next_batch(const Build *b, size_t inserted)
{
	size_t		rest = b->g->n - inserted;
	size_t		batch = vg_plan_batch(inserted, b->g->n);

	return rest > b->o->pause ? VP_MIN(batch, rest - b->o->pause) : batch;
}

/* ---- memory ---- */

size_t
vg_build_bytes(size_t n, int dim, const VgBuildOptions *o, int nthreads)
{
	size_t		m = (size_t) o->m;
	size_t		edges = n * 2 * m + vg_plan_upper(n, o->m) * m;
	size_t		batch = vg_plan_batch(n, 2 * n + 1);
	size_t		back = 2 * (batch * 2 * m + vg_plan_upper(batch, o->m) * m);
	size_t		thread = sizeof(VgWalk) + sizeof(VgLinker) +
		vg_walk_bytes(o->m, dim, o->ef_construction) +
		vg_linker_bytes(o->m, dim, o->ef_construction);

	return edges * (sizeof(uint32_t) + sizeof(float)) +
		n * (2 * sizeof(uint32_t) + sizeof(uint8_t)) +
		back * sizeof(BackEdge) + batch * (2 * sizeof(size_t) + sizeof(Spot)) +
		thread * (size_t) VP_MAX(nthreads, 1);
}

static void *
get(const Build *b, size_t count, size_t size)
{
	return b->env->alloc(b->env->arg, count * size);
}

static void
alloc_graph(Build *b)
{
	VgGraph    *g = b->g;
	size_t		m = (size_t) g->m;
	uint64_t	random = vp_seed(b->env->seed);
	size_t		upper;
	uint32_t	at = 0;

	g->level = get(b, g->n, sizeof(uint8_t));
	g->upper_at = get(b, g->n, sizeof(uint32_t));
	b->order = get(b, g->n, sizeof(uint32_t));
	upper = vg_plan_levels(&random, g->n, g->m, g->level) * m;
	vg_plan_order(&random, g->n, g->level, b->order);
	for (size_t i = 0; i < g->n; i++)
	{
		g->upper_at[i] = at;
		at += g->level[i];
	}
	g->base = get(b, g->n * 2 * m, sizeof(uint32_t));
	b->base_dists = get(b, g->n * 2 * m, sizeof(float));
	g->upper = get(b, upper, sizeof(uint32_t));
	b->upper_dists = get(b, upper, sizeof(float));
	memset(g->base, 0xff, g->n * 2 * m * sizeof(uint32_t));
	memset(g->upper, 0xff, upper * sizeof(uint32_t));
	upper = most_back_edges(b);
	b->found = get(b, upper, sizeof(BackEdge));
	b->back = get(b, upper, sizeof(BackEdge));
	b->spots = get(b, vg_plan_batch(g->n, 2 * g->n + 1), sizeof(Spot));
	b->found_at = get(b, vg_plan_batch(g->n, 2 * g->n + 1), sizeof(size_t));
	b->nfound = get(b, vg_plan_batch(g->n, 2 * g->n + 1), sizeof(uint32_t));
}

/* Edges of the largest batch, which is one of the last, if all lists are full. */
static size_t
most_back_edges(const Build *b)
{
	size_t		most = 0;
	size_t		batch;

	for (size_t done = 1; done < b->g->n; done += batch)
	{
		size_t		edges;

		batch = next_batch(b, done);
		edges = batch * 2;
		for (size_t i = done; i < done + batch; i++)
			edges += b->g->level[b->order[i]];
		most = VP_MAX(most, edges * (size_t) b->g->m);
	}
	return most;
}

static void
alloc_threads(Build *b)
{
	size_t		threads = (size_t) VP_MAX(b->env->nthreads, 1);
	int			ef = b->o->ef_construction;

	b->walks = get(b, threads, sizeof(VgWalk));
	b->linkers = get(b, threads, sizeof(VgLinker));
	for (size_t t = 0; t < threads; t++)
	{
		vg_walk_init(&b->walks[t], b->g, b->rows, ef,
					 get(b, vg_walk_bytes(b->g->m, b->rows->dim, ef), 1));
		vg_linker_init(&b->linkers[t], b->rows, b->g->m, ef,
					   get(b, vg_linker_bytes(b->g->m, b->rows->dim, ef), 1));
	}
}

/* ---- parallel loops ---- */

/*
 * A loop in slices that last about SLICE_NS, with the interrupt check between
 * them. Time decides only where the checks are, never the result.
 */
static void
parallel(Build *b, size_t n, VmParBody body, bool rows)
{
	size_t		least = (size_t) VP_MAX(b->env->nthreads, 1);
	size_t		count;

	for (b->from = 0; b->from < n; b->from += count)
	{
		uint64_t	start = clock_ns();
		uint64_t	took;

		b->slice = VP_MAX(b->slice, least);
		count = VP_MIN(b->slice, n - b->from);
		vm_par_for(b->env->nthreads, count, 1, body, b);
		took = clock_ns() - start;
		if (took > 2 * SLICE_NS)
			b->slice /= 2;
		else if (took < SLICE_NS / 2 && count == b->slice)
			b->slice *= 2;
		b->env->poll(b->env->arg);
		if (rows && b->o->progress)
			b->o->progress(b->o->arg, b->inserted + b->from + count);
	}
}

static uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* ---- the order within a batch ---- */

static void
spot_body(void *arg, int thread, size_t from, size_t to)
{
	Build	   *b = arg;
	VgWalk	   *w = &b->walks[thread];

	for (size_t i = b->from + from; i < b->from + to; i++)
	{
		Spot	   *spot = &b->spots[i];

		spot->row = b->order[b->inserted + i];
		for (int k = 0; k < SPOT_LAYERS; k++)
			spot->above[k] = b->g->entry;
		vg_walk_begin(w, vg_row(b->rows, spot->row), b->g->entry);
		for (int layer = b->g->top; layer > 0; layer--)
		{
			vg_walk_layer(w, layer, 1);
			if (layer <= SPOT_LAYERS)
				spot->above[SPOT_LAYERS - layer] = vg_key_id(w->pool[0]);
		}
	}
}

/*
 * Rows of one place go in one after the other: their searches read the same
 * rows, which the caches still hold. The graph does not depend on it.
 */
static void
sort_batch(Build *b)
{
	qsort(b->spots, b->batch, sizeof(Spot), compare_spot);
	for (size_t i = 0; i < b->batch; i++)
		b->order[b->inserted + i] = b->spots[i].row;
}

static int
compare_spot(const void *a, const void *b)
{
	const Spot *x = a;
	const Spot *y = b;

	for (int k = 0; k < SPOT_LAYERS; k++)
		if (x->above[k] != y->above[k])
			return x->above[k] < y->above[k] ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* ---- a batch's own lists ---- */

/* Room for the reverse edges that each row of the batch may ask for. */
static void
place_batch(Build *b)
{
	size_t		at = 0;

	for (size_t i = 0; i < b->batch; i++)
	{
		b->found_at[i] = at;
		at += ((size_t) b->g->level[b->order[b->inserted + i]] + 2) * (size_t) b->g->m;
	}
}

static void
insert_body(void *arg, int thread, size_t from, size_t to)
{
	Build	   *b = arg;

	for (size_t i = b->from + from; i < b->from + to; i++)
		insert_row(b, &b->walks[thread], &b->linkers[thread], i);
}

static void
insert_row(Build *b, VgWalk *w, VgLinker *l, size_t i)
{
	uint32_t	row = b->order[b->inserted + i];
	int			level = b->g->level[row];

	b->nfound[i] = 0;
	/* Most rows have no edges above: the way down has been gone already. */
	if (level == 0)
		vg_walk_begin(w, vg_row(b->rows, row), b->spots[i].above[SPOT_LAYERS - 1]);
	else
		vg_walk_begin(w, vg_row(b->rows, row), b->g->entry);
	for (int layer = level == 0 ? 0 : b->g->top; layer >= 0; layer--)
	{
		vg_walk_layer(w, layer, layer > level ? 1 : b->o->ef_construction);
		if (layer <= level)
		{
			VgList		list = list_of(b, row, layer);

			vg_list_fill(l, &list, w->pool, w->npool);
			judge_back_edges(b, w, i, layer, &list);
		}
	}
}

/*
 * Done here and not when they are added, as the rows that matter have just been
 * compared and lie in a cache. An edge that would change nothing ends here.
 */
static void
judge_back_edges(Build *b, const VgWalk *w, size_t i, int layer, const VgList *list)
{
	BackEdge   *found = b->found + b->found_at[i];

	for (int e = 0; e < list->most && list->ids[e] != VG_NONE; e++)
	{
		VgList		target = list_of(b, list->ids[e], layer);
		BackEdge	edge = {list->ids[e], (uint32_t) layer, fabsf(list->dists[e]),
			b->order[b->inserted + i], VG_NONE};

		if (vg_list_judge(b->rows, &w->query, &target, edge.source, edge.dist, &edge.pruner))
			found[b->nfound[i]++] = edge;
	}
}

static VgList
list_of(const Build *b, uint32_t row, int layer)
{
	VgGraph    *g = b->g;
	VgList		list;

	list.ids = vg_edges(g, row, layer);
	list.dists = layer == 0 ? b->base_dists + (list.ids - g->base) :
		b->upper_dists + (list.ids - g->upper);
	list.most = layer == 0 ? 2 * g->m : g->m;
	return list;
}

/* ---- reverse edges ---- */

/* Sorts what was found by bucket: first how many to each, then where. */
static void
collect_back_edges(Build *b)
{
	size_t		next[BUCKETS];
	size_t		sum = 0;

	memset(next, 0, sizeof(next));
	for (size_t i = 0; i < b->batch; i++)
		for (uint32_t e = 0; e < b->nfound[i]; e++)
			next[bucket_of(b->found[b->found_at[i] + e].target)]++;
	for (int i = 0; i < BUCKETS; i++)
	{
		b->start[i] = sum;
		sum += next[i];
		next[i] = b->start[i];
	}
	b->start[BUCKETS] = sum;
	for (size_t i = 0; i < b->batch; i++)
		for (uint32_t e = 0; e < b->nfound[i]; e++)
		{
			const BackEdge *edge = &b->found[b->found_at[i] + e];

			b->back[next[bucket_of(edge->target)]++] = *edge;
		}
}

/* Ids that lie together in memory, and may come from one load, are spread. */
static size_t
bucket_of(uint32_t target)
{
	return (target * UINT32_C(0x9E3779B1)) >> 16 & (BUCKETS - 1);
}

static void
link_body(void *arg, int thread, size_t from, size_t to)
{
	Build	   *b = arg;

	for (size_t i = b->from + from; i < b->from + to; i++)
	{
		BackEdge   *bucket = b->back + b->start[i];
		size_t		n = b->start[i + 1] - b->start[i];
		bool		changed = false;

		qsort(bucket, n, sizeof(BackEdge), compare_back);
		for (size_t e = 0; e < n; e++)
		{
			const BackEdge *edge = &bucket[e];
			VgList		list = list_of(b, edge->target, (int) edge->layer);

			if (e == 0 || edge->target != edge[-1].target || edge->layer != edge[-1].layer)
				changed = false;
			changed |= vg_list_add(&b->linkers[thread], &list, edge->source, edge->dist,
								   edge->pruner, changed);
		}
	}
}

static int
compare_back(const void *a, const void *b)
{
	const BackEdge *x = a;
	const BackEdge *y = b;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	if (x->dist != y->dist)
		return x->dist < y->dist ? -1 : 1;
	return (x->source > y->source) - (x->source < y->source);
}
