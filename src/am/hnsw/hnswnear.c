/*
 * hnswnear.c -- the records near a vector, and which of them become its edges.
 *
 * What it is not: the search (graph/search.c), the rule of choice (graph/select.c),
 * or the writing of edges.
 *
 * A search copies the own code of every live record that it expands, so that
 * all that follows needs no page. Whoever gets edges is represented by its
 * decoded own code, as are the candidates: every edge is then a function of two
 * codes, and a distance of 0 means equal codes.
 *
 * Inner product: the distance in which the graph is built is an inner product
 * but for a constant (README), so the walk's own values order what it meets.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "am/hnsw/hnswlink.h"
#include "simd/simd.h"

static void visit(void *arg, uint32 number, HnswNode node, const VqBound *bound);
static void decode(HnswLinks *k, HnswMet *met);
static void rank(HnswLinks *k, int ef);
static int	by_value(const void *a, const void *b);
static int	by_dist(const void *a, const void *b);
static float pair_distance(void *arg, uint32_t a, uint32_t b);

void
hnsw_links_begin(HnswLinks *k, Relation index, Relation heap, HnswModel *m, const uint8 *code,
				 MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	memset(k, 0, sizeof(HnswLinks));
	k->index = index;
	k->heap = heap;
	k->m = m;
	k->cxt = cxt;
	k->code = code;
	k->x = palloc(sizeof(float) * m->dim);
	k->scratch = palloc(sizeof(float) * 2 * m->dim);
	k->edge = palloc(m->layout[0].edge_size);
	m->codec->decode(code, m->zero, m->dim, m->params, k->x);
	k->lift = hnsw_lift(m, k->x);
	hnsw_query(m, hnsw_as_query(m, k->x, cxt), cxt, &k->q);
	k->reader.index = index;
	k->reader.m = m;
	k->reader.q = &k->q;
	k->reader.cxt = cxt;
	k->reader.visit = visit;
	k->reader.arg = k;
	k->reader.count = &k->count;
	if (m->layout[0].npages > 1)
		k->reader.wide = palloc(m->layout[0].size);
	MemoryContextSwitchTo(old);
}

/* ---- searching ---- */

void
hnsw_links_find(HnswLinks *k, int layer, const uint32 *starts, int nstarts, int ef)
{
	MemoryContext old = MemoryContextSwitchTo(k->cxt);
	int			i;

	/* What an earlier search has met stays where it is. */
	k->met = NULL;
	k->nmet = k->met_cap = 0;
	hnsw_walk_begin(&k->reader, layer);
	for (i = 0; i < nstarts; i++)
		vg_search_push(&k->reader.search, starts[i], 0);
	vg_search_run(&k->reader.search, ef);
	rank(k, ef);
	MemoryContextSwitchTo(old);
}

static void
visit(void *arg, uint32 number, HnswNode node, const VqBound *bound)
{
	HnswLinks  *k = arg;
	Size		bytes = k->m->codec->bytes(k->m->dim);
	uint8	   *code = MemoryContextAlloc(k->cxt, bytes);
	HnswMet    *met;

	memcpy(code, node->code, bytes);
	k->met = vi_grow(k->cxt, k->met, &k->met_cap, k->nmet + 1, sizeof(HnswMet));
	met = &k->met[k->nmet++];
	met->number = number;
	met->down = node->down;
	met->hash = node->v.hash;
	met->value = bound->steer;
	met->code = code;
	met->x = NULL;
}

static void
decode(HnswLinks *k, HnswMet *met)
{
	HnswModel  *m = k->m;

	if (met->x != NULL)
		return;
	met->x = MemoryContextAlloc(k->cxt, sizeof(float) * m->dim);
	m->codec->decode(met->code, m->zero, m->dim, m->params, met->x);
	met->lift = hnsw_lift(m, met->x);
	met->dist = hnsw_distance(m, k->x, k->lift, met->x, met->lift);
}

/* near = the ef nearest of what was met, by the distance of decoded codes. */
static void
rank(HnswLinks *k, int ef)
{
	HnswMet   **all = palloc(sizeof(HnswMet *) * (k->nmet + 1));
	size_t		i;

	for (i = 0; i < k->nmet; i++)
		all[i] = &k->met[i];
	qsort(all, k->nmet, sizeof(HnswMet *), by_value);
	k->near = all;
	k->nnear = (int) Min(k->nmet, (size_t) ef);
	for (i = 0; i < (size_t) k->nnear; i++)
		decode(k, all[i]);
	qsort(all, k->nnear, sizeof(HnswMet *), by_dist);
}

/* Ties by number, so that equal distances make no difference between runs. */
static int
by_value(const void *a, const void *b)
{
	const HnswMet *x = *(HnswMet *const *) a;
	const HnswMet *y = *(HnswMet *const *) b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int
by_dist(const void *a, const void *b)
{
	const HnswMet *x = *(HnswMet *const *) a;
	const HnswMet *y = *(HnswMet *const *) b;

	if (x->dist != y->dist)
		return x->dist < y->dist ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

HnswMet *
hnsw_links_read(HnswLinks *k, int layer, uint32 number, HnswNode node)
{
	HnswMet    *met;
	Buffer		buf;
	HnswNode	at = hnsw_read(k->index, k->m, layer, number, BUFFER_LOCK_SHARE, (char *) node, &buf);

	if (at == NULL)
		return NULL;
	if (at != node)
		memcpy(node, at, HNSW_LAYOUT(k->m, layer)->size);
	UnlockReleaseBuffer(buf);
	met = MemoryContextAllocZero(k->cxt, sizeof(HnswMet));
	met->number = number;
	met->down = node->down;
	met->hash = node->v.hash;
	met->code = node->code;
	decode(k, met);
	return met;
}

uint32
hnsw_straight_down(HnswLinks *k, uint32 number, int from, int to)
{
	HnswReader *r = &k->reader;
	int			layer;

	for (layer = from; layer > to; layer--)
	{
		Buffer		buf;
		HnswNode	node;

		node = hnsw_read(k->index, k->m, layer, number, BUFFER_LOCK_SHARE, r->wide, &buf);
		if (node == NULL)
			return HNSW_NONE;
		number = node->down;
		UnlockReleaseBuffer(buf);
	}
	return number;
}

/* ---- choosing ---- */

typedef struct Pairs
{
	const HnswModel *m;
	HnswMet   **cand;
} Pairs;

void
hnsw_links_choose(HnswLinks *k, int layer, uint32 self, HnswChoice *choice)
{
	int			most = HNSW_LAYOUT(k->m, layer)->slots;
	VgCandidate *cand = MemoryContextAlloc(k->cxt, sizeof(VgCandidate) * (k->nnear + 1));
	uint8	   *kept = MemoryContextAlloc(k->cxt, k->nnear + 1);
	int		   *out = MemoryContextAlloc(k->cxt, sizeof(int) * most);
	Pairs		pairs = {k->m};
	int			n = 0;
	int			i;

	pairs.cand = MemoryContextAlloc(k->cxt, sizeof(HnswMet *) * (k->nnear + 1));
	for (i = 0; i < k->nnear; i++)
	{
		if (k->near[i]->number == self)
			continue;
		pairs.cand[n] = k->near[i];
		cand[n].dist = k->near[i]->dist;
		cand[n].id = k->near[i]->number;
		n++;
	}
	choice->n = vg_select(cand, n, most, pair_distance, &pairs, kept, out);
	choice->to = MemoryContextAlloc(k->cxt, sizeof(HnswMet *) * most);
	for (i = 0; i < choice->n; i++)
		choice->to[i] = pairs.cand[out[i]];
}

static float
pair_distance(void *arg, uint32_t a, uint32_t b)
{
	Pairs	   *pairs = arg;
	const HnswMet *x = pairs->cand[a];
	const HnswMet *y = pairs->cand[b];

	return hnsw_distance(pairs->m, x->x, x->lift, y->x, y->lift);
}

float
hnsw_distance(const HnswModel *m, const float *a, float lift_a, const float *b, float lift_b)
{
	if (m->oc->metric == VQ_L1)
		return vk->l1_f32(a, b, m->dim);
	return vk->l2sq_f32(a, b, m->dim) + lift_a + lift_b;
}

const float *
hnsw_as_query(const HnswModel *m, const float *x, MemoryContext cxt)
{
	float	   *y;
	int			d;

	if (m->oc->metric != VQ_IP)
		return x;
	y = MemoryContextAlloc(cxt, sizeof(float) * m->dim);
	for (d = 0; d < m->dim; d++)
		y[d] = x[d] + m->mean_rot[d];
	return y;
}

void
hnsw_make_edge(HnswLinks *k, const float *from, uint32 number, const float *to, uint8 *edge)
{
	HnswModel  *m = k->m;

	memcpy(edge, &number, sizeof(uint32));
	if (m->edge_bits > 0)
		vq_edge_encode(m->edge_bits, to, from, m->dim, m->edim, m->oc->metric, m->unit,
					   k->scratch, edge + HNSW_EDGE_CODE);
}
