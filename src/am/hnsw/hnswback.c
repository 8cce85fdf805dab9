/*
 * hnswback.c -- edges back to a record, from those it has edges to.
 *
 * What it is not: the choice of the record's own edges (hnswnear.c).
 *
 * A record v that has room gets the edge to u. A full one keeps to HNSW's rule
 * one edge at a time: if some w nearer to v is also nearer to u than v is, v needs
 * no edge to u; else u takes the place of the farthest w that u makes superfluous
 * in the same way, or else of the farthest w. All of it is decided from v's page:
 * the codes of its edges tell the distances of each w to v and, about, to u.
 *
 * Pages are changed in ascending order, several in one WAL record. A page whose
 * record needs no edge is only looked at.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/hsearch.h"

#include "am/hnsw/hnswlink.h"
#include "simd/simd.h"

/* Records' pages in one change: all that generic WAL takes. */
#define PAGES_A_CHANGE 4

typedef struct Back
{
	HnswLinks  *k;
	const HnswLayout *l;
	int			layer;
	uint32		number;			/* u */
	const HnswMet *nearest;		/* always gets an edge */
	HTAB	   *codes;			/* edges without codes: own codes of records, by number */

	/* the change under way */
	VsChange	change;
	bool		open;
	HnswEdit	edit;
	Buffer		buf[PAGES_A_CHANGE];
	int			nbuf;
} Back;

typedef struct KnownCode
{
	uint32		number;			/* hash key */
	const uint8 *code;			/* NULL: the record is gone */
} KnownCode;

/* Of each edge of v, to some w: squared distances, lifts included (L1: distances). */
typedef struct Rivals
{
	float		to_v[VQ_EDGE_MOST];
	float		to_u[VQ_EDGE_MOST];
} Rivals;

static int	by_number(const void *a, const void *b);
static HnswNode open_record(Back *b, const HnswMet *v);
static void link_record(Back *b, const HnswMet *v, HnswNode node);
static void close_change(Back *b);
static int	edge_to_set(Back *b, const HnswMet *v, HnswNode node);
static int	edge_to_replace(const Rivals *r, int n, float dist, bool must);
static void compare(Back *b, const HnswMet *v, HnswNode node, Rivals *r);
static void compare_lifted(Back *b, const HnswMet *v, HnswNode node, Rivals *r);
static void compare_by_codes(Back *b, const HnswMet *v, HnswNode node, Rivals *r);
static void compare_plain(Back *b, const HnswMet *v, HnswNode node, Rivals *r);
static void learn_codes(Back *b, const HnswChoice *choice);
static void begin_codes(Back *b);
static void learn_neighbours(Back *b, HnswNode node);
static void learn_code(Back *b, uint32 number);

void
hnsw_link_back(HnswLinks *k, int layer, uint32 number, const HnswChoice *choice)
{
	Back		b = {k, HNSW_LAYOUT(k->m, layer), layer, number};
	HnswMet   **order;
	int			i;

	if (choice->n == 0)
		return;
	b.nearest = choice->to[0];
	if (k->m->edge_bits == 0)
		learn_codes(&b, choice);
	order = MemoryContextAlloc(k->cxt, sizeof(HnswMet *) * choice->n);
	memcpy(order, choice->to, sizeof(HnswMet *) * choice->n);
	qsort(order, choice->n, sizeof(HnswMet *), by_number);
	for (i = 0; i < choice->n; i++)
	{
		HnswNode	node = open_record(&b, order[i]);

		if (node != NULL && node->state == HNSW_LIVE)
			link_record(&b, order[i], node);
	}
	close_change(&b);
}

static int
by_number(const void *a, const void *b)
{
	const HnswMet *x = *(HnswMet *const *) a;
	const HnswMet *y = *(HnswMet *const *) b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The record, its page locked as part of the change under way; NULL if it is no more. */
static HnswNode
open_record(Back *b, const HnswMet *v)
{
	HnswLinks  *k = b->k;
	BlockNumber blkno = HNSW_BLKNO(b->l, v->number);
	HnswNode	node;
	Page		page;

	if (b->l->npages > 1)
	{
		close_change(b);
		node = hnsw_read(k->index, k->m, b->layer, v->number, BUFFER_LOCK_EXCLUSIVE,
						 k->reader.wide, &b->buf[0]);
		b->nbuf = node != NULL;
		return node;
	}
	if (b->nbuf == 0 || BufferGetBlockNumber(b->buf[b->nbuf - 1]) != blkno)
	{
		if (b->nbuf == PAGES_A_CHANGE)
			close_change(b);
		vs_read_hinted(k->index, &k->m->hints, blkno, b->l->kind, BUFFER_LOCK_EXCLUSIVE,
					   &b->buf[b->nbuf]);
		b->nbuf++;
	}
	page = BufferGetPage(b->buf[b->nbuf - 1]);
	node = HNSW_NODE(page, b->l, HNSW_SLOT(b->l, v->number));
	return node->level == b->layer && node->nedges <= b->l->slots ? node : NULL;
}

/* Commits what there is and lets all pages go. */
static void
close_change(Back *b)
{
	if (b->open)
	{
		vs_change_commit(&b->change);
		hnsw_edit_end(&b->edit);
		b->open = false;
	}
	while (b->nbuf > 0)
		UnlockReleaseBuffer(b->buf[--b->nbuf]);
	CHECK_FOR_INTERRUPTS();
}

static void
link_record(Back *b, const HnswMet *v, HnswNode node)
{
	HnswLinks  *k = b->k;
	int			at = edge_to_set(b, v, node);

	if (at < 0)
		return;
	if (!b->open)
		vs_change_begin(&b->change, k->index);
	b->open = true;
	hnsw_make_edge(k, v->x, b->number, k->x, k->edge);
	hnsw_edit_begin(&b->edit, k->index, b->l, &b->change, b->buf[b->nbuf - 1],
					HNSW_SLOT(b->l, v->number));
	if (at == node->nedges)
		hnsw_edit_head(&b->edit)->nedges = at + 1;
	hnsw_edit_edge(&b->edit, at, k->edge);
}

/* ---- the rule ---- */

/* Which of v's edges becomes the one to u: the first free one, or one to replace; -1: none. */
static int
edge_to_set(Back *b, const HnswMet *v, HnswNode node)
{
	Rivals		r;
	int			i;

	for (i = 0; i < node->nedges; i++)
		if (memcmp(HNSW_EDGE(b->l, node, i), &b->number, sizeof(uint32)) == 0)
			return -1;
	if (node->nedges < b->l->slots)
		return node->nedges;
	compare(b, v, node, &r);
	return edge_to_replace(&r, node->nedges, v->dist, v == b->nearest);
}

/* dist: of u and v; must: some edge has to go. */
static int
edge_to_replace(const Rivals *r, int n, float dist, bool must)
{
	int			farthest = 0;
	int			superfluous = -1;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (r->to_v[i] > r->to_v[farthest])
			farthest = i;
		if (r->to_v[i] < dist)
		{
			if (r->to_u[i] < dist && !must)
				return -1;
		}
		else if (r->to_u[i] < r->to_v[i] &&
				 (superfluous < 0 || r->to_v[i] > r->to_v[superfluous]))
			superfluous = i;
	}
	if (superfluous >= 0)
		return superfluous;
	return must || r->to_v[farthest] > dist ? farthest : -1;
}

/* ---- where the edges of a record lead ---- */

void
hnsw_edge_lengths(HnswLinks *k, int layer, const HnswMet *record, HnswNode node, float *length)
{
	Back		b = {k, HNSW_LAYOUT(k->m, layer), layer};
	Rivals		r;

	if (k->m->edge_bits == 0)
	{
		begin_codes(&b);
		learn_neighbours(&b, node);
	}
	compare(&b, record, node, &r);
	memcpy(length, r.to_v, sizeof(float) * node->nedges);
}

static void
compare(Back *b, const HnswMet *v, HnswNode node, Rivals *r)
{
	if (b->k->m->edge_bits == 0)
		compare_by_codes(b, v, node, r);
	else if (b->k->m->oc->metric == VQ_IP)
		compare_lifted(b, v, node, r);
	else
		compare_plain(b, v, node, r);
}

static void
compare_plain(Back *b, const HnswMet *v, HnswNode node, Rivals *r)
{
	HnswModel  *m = b->k->m;
	const uint8 *edges = HNSW_EDGE(b->l, node, 0) + HNSW_EDGE_CODE;
	int			i;

	vq_edge_estimate(&b->k->q.edge, edges, b->l->edge_size, node->nedges, v->dist, r->to_u);
	for (i = 0; i < node->nedges; i++)
		r->to_v[i] = vq_edge_length2(m->edge_bits, m->edim, m->dim, m->oc->metric, m->unit,
									 edges + i * b->l->edge_size);
}

/* Inner product: M^2 less it, twice, is the distance (hnsw_lift), for u as for v. */
static void
compare_lifted(Back *b, const HnswMet *v, HnswNode node, Rivals *r)
{
	HnswLinks  *k = b->k;
	HnswModel  *m = k->m;
	const uint8 *edges = HNSW_EDGE(b->l, node, 0) + HNSW_EDGE_CODE;
	Size		step = b->l->edge_size;
	const float *u_query = k->q.y;
	const float *v_query = hnsw_as_query(m, v->x, k->cxt);
	double		square = (double) m->max_norm * m->max_norm;
	float		u_rest = square - vk->dot_f32(u_query, m->mean_rot, m->dim);
	float		v_rest = square - vk->dot_f32(v_query, m->mean_rot, m->dim);
	VqEdgeQuery q;
	int			i;

	vq_edge_query(&q, m->edge_bits, m->edim, m->unit, v_query, (int8_t *) k->scratch);
	vq_edge_estimate(&q, edges, step, node->nedges, -vk->dot_f32(v_query, v->x, m->dim), r->to_v);
	vq_edge_estimate(&k->q.edge, edges, step, node->nedges, -vk->dot_f32(u_query, v->x, m->dim),
					 r->to_u);
	for (i = 0; i < node->nedges; i++)
	{
		r->to_v[i] = 2 * (r->to_v[i] + v_rest);
		r->to_u[i] = 2 * (r->to_u[i] + u_rest);
	}
}

/* ---- edges without codes: the neighbours' own codes ---- */

static void
compare_by_codes(Back *b, const HnswMet *v, HnswNode node, Rivals *r)
{
	HnswModel  *m = b->k->m;
	HnswQuery	q;
	int			i;

	hnsw_query(m, v->x, b->k->cxt, &q);
	for (i = 0; i < node->nedges; i++)
	{
		uint32		number;
		KnownCode  *known;

		memcpy(&number, HNSW_EDGE(b->l, node, i), sizeof(uint32));
		known = hash_search(b->codes, &number, HASH_FIND, NULL);
		if (known == NULL)
		{
			/* Linked a moment ago: leave it alone. */
			r->to_v[i] = 0;
			r->to_u[i] = INFINITY;
		}
		else if (known->code == NULL)
		{
			/* Nobody misses an edge that leads nowhere. */
			r->to_v[i] = INFINITY;
			r->to_u[i] = 0;
		}
		else
		{
			r->to_v[i] = m->codec->value(&q.point, known->code, m->dim, m->params, m->oc->metric);
			r->to_u[i] = m->codec->value(&b->k->q.point, known->code, m->dim, m->params,
										 m->oc->metric);
		}
	}
}

/* Reads, before any page is locked, the codes that full lists will be judged by. */
static void
learn_codes(Back *b, const HnswChoice *choice)
{
	HnswLinks  *k = b->k;
	HnswNode	copy = MemoryContextAlloc(k->cxt, b->l->size);
	size_t		j;
	int			i;

	begin_codes(b);
	/* Numbers of the base and of upper layers are different ones. */
	for (j = 0; j < k->nmet && k->reader.layer == b->layer; j++)
	{
		KnownCode  *known = hash_search(b->codes, &k->met[j].number, HASH_ENTER, NULL);

		known->code = k->met[j].code;
	}
	for (i = 0; i < choice->n; i++)
	{
		Buffer		buf;
		HnswNode	node = hnsw_read(k->index, k->m, b->layer, choice->to[i]->number,
									 BUFFER_LOCK_SHARE, (char *) copy, &buf);

		if (node == NULL)
			continue;
		if (node != copy)
			memcpy(copy, node, b->l->size);
		UnlockReleaseBuffer(buf);
		if (copy->nedges == b->l->slots)
			learn_neighbours(b, copy);
	}
}

static void
begin_codes(Back *b)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(uint32);
	info.entrysize = sizeof(KnownCode);
	info.hcxt = b->k->cxt;
	b->codes = hash_create("codes of hnsw records", 256, &info,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
learn_neighbours(Back *b, HnswNode node)
{
	int			i;

	for (i = 0; i < node->nedges; i++)
	{
		uint32		number;

		memcpy(&number, HNSW_EDGE(b->l, node, i), sizeof(uint32));
		learn_code(b, number);
	}
}

static void
learn_code(Back *b, uint32 number)
{
	HnswLinks  *k = b->k;
	Size		bytes = k->m->codec->bytes(k->m->dim);
	bool		found;
	KnownCode  *known = hash_search(b->codes, &number, HASH_ENTER, &found);
	HnswNode	node;
	Buffer		buf;

	if (found)
		return;
	known->code = NULL;
	CHECK_FOR_INTERRUPTS();
	node = hnsw_read(k->index, k->m, b->layer, number, BUFFER_LOCK_SHARE, k->reader.wide, &buf);
	if (node == NULL)
		return;
	if (node->state == HNSW_LIVE)
	{
		uint8	   *code = MemoryContextAlloc(k->cxt, bytes);

		memcpy(code, node->code, bytes);
		known->code = code;
	}
	UnlockReleaseBuffer(buf);
}
