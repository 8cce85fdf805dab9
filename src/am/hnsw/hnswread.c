/*
 * hnswread.c -- records: reading them, and walking a layer of the graph.
 *
 * What it is not: the order of a search (graph/search.c), or what a scan or an
 * insert does with what it meets.
 *
 * A hop is one page: the record holds the codes of its neighbours. Where edges
 * have no codes (edge_bits 0), the neighbours' records are read and scored by
 * their own codes; what the queue then holds is no estimate but the distance.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "am/hnsw/hnsw.h"
#include "index/chain.h"
#include "simd/simd.h"

/* Of a record to be read next: header, own code and the first edges; the
 * processor's own prefetcher follows a stream once it runs. */
#define PREFETCH_BYTES 4096

/*
 * Breadth on the last layer before the one that is wanted. Where data is in
 * clumps and old rows are replaced by new ones, edges between clumps are few, and
 * a walk of breadth 1 ends in the wrong one: recall .95 instead of .998 in 32
 * dimensions after all rows were replaced.
 */
#define DESCEND_EF 4

static void read_rest(Relation index, const HnswLayout *l, Page page, char *wide);
static void walk_prefetch(void *arg, uint32_t number);
static int	walk_expand(void *arg, uint32_t number, float *own, uint32_t *ids, float *ests);
static int	score_neighbours(HnswReader *r, int n, uint32_t *ids, float *ests);
static bool score(HnswReader *r, uint32 number, float *value);
static void *walk_alloc(void *arg, size_t bytes);
static size_t chain_rows(Relation index, uint32 number, HnswNode node, ItemPointerData *tids,
						 size_t n, size_t most);

void
hnsw_query(const HnswModel *m, const float *y, MemoryContext cxt, HnswQuery *q)
{
	int			d;

	q->y = y;
	q->point.y = y;
	q->point.ysum = 0;
	for (d = 0; d < m->dim; d++)
		q->point.ysum += y[d];
	q->point.ynorm2 = vk->dot_f32(y, y, m->dim);
	q->point.dist2 = q->point.ynorm2;
	q->point.dot = 0;
	if (m->edge_bits > 0)
		vq_edge_query(&q->edge, m->edge_bits, m->edim, m->unit, y,
					  MemoryContextAlloc(cxt, m->edim));
}

HnswNode
hnsw_read(Relation index, HnswModel *m, int layer, uint32 number, int mode, char *wide,
		  Buffer *buf)
{
	const HnswLayout *l = HNSW_LAYOUT(m, layer);
	Page		page = vs_read_hinted(index, &m->hints, HNSW_BLKNO(l, number), l->kind, mode, buf);
	HnswNode	node = HNSW_NODE(page, l, HNSW_SLOT(l, number));

	if ((node->state != HNSW_LIVE && node->state != HNSW_DEAD) || node->level != layer)
	{
		UnlockReleaseBuffer(*buf);
		return NULL;
	}
	if (node->nedges > l->slots)
	{
		UnlockReleaseBuffer(*buf);
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a record of %u edges in block %u, at most %d are possible",
						RelationGetRelationName(index), node->nedges, HNSW_BLKNO(l, number), l->slots),
				 errhint("Please REINDEX it.")));
	}
	if (l->npages > 1)
	{
		memcpy(wide, node, VS_USABLE);
		read_rest(index, l, page, wide);
		return (HnswNode) wide;
	}
	return node;
}

/* A record of several pages: the head's lock covers the pages it goes on with. */
static void
read_rest(Relation index, const HnswLayout *l, Page page, char *wide)
{
	BlockNumber next = vs_opaque(page)->next;
	Size		done = VS_USABLE;

	while (done < l->size)
	{
		Size		n = Min(l->size - done, VS_USABLE);
		Buffer		buf;

		if (next == InvalidBlockNumber)
			vi_broken_link(index, next);
		page = vs_read(index, next, VS_HNSW_REST, BUFFER_LOCK_SHARE, &buf);
		memcpy(wide + done, PageGetContents(page), n);
		next = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
		done += n;
	}
}

/* ---- walking ---- */

void
hnsw_walk_begin(HnswReader *r, int layer)
{
	const HnswLayout *l = HNSW_LAYOUT(r->m, layer);
	VgAccess	access = {walk_expand, walk_prefetch, walk_alloc, r, l->slots, r->m->edge_bits == 0};

	r->layer = layer;
	r->best = INFINITY;
	r->down = HNSW_NONE;
	if (l->npages > 1 && r->wide == NULL)
		r->wide = MemoryContextAlloc(r->cxt, r->m->layout[0].size);
	if (r->m->edge_bits == 0 && r->ids == NULL)
		r->ids = MemoryContextAlloc(r->cxt, sizeof(uint32) * r->m->layout[0].slots);
	vg_search_begin(&r->search, &access);
}

uint32
hnsw_descend(HnswReader *r, uint32 number, int from, int to)
{
	void		(*visit) (void *, uint32, HnswNode, const VqBound *) = r->visit;
	int			layer;

	r->visit = NULL;
	for (layer = from; layer > to && number != HNSW_NONE; layer--)
	{
		hnsw_walk_begin(r, layer);
		vg_search_push(&r->search, number, 0);
		vg_search_run(&r->search, layer == to + 1 ? DESCEND_EF : 1);
		number = r->down;
	}
	r->visit = visit;
	return number;
}

static void *
walk_alloc(void *arg, size_t bytes)
{
	return MemoryContextAllocHuge(((HnswReader *) arg)->cxt, bytes);
}

static void
walk_prefetch(void *arg, uint32_t number)
{
	HnswReader *r = arg;
	const HnswLayout *l = HNSW_LAYOUT(r->m, r->layer);
	Size		from = MAXALIGN(SizeOfPageHeaderData) + HNSW_SLOT(l, number) * l->size;

	vs_prefetch_hinted(&r->m->hints, HNSW_BLKNO(l, number), from,
					   Min(from + Min(l->size, PREFETCH_BYTES), BLCKSZ));
}

static int
walk_expand(void *arg, uint32_t number, float *own, uint32_t *ids, float *ests)
{
	HnswReader *r = arg;
	HnswModel  *m = r->m;
	const HnswLayout *l = HNSW_LAYOUT(m, r->layer);
	HnswNode	node;
	VqBound		bound;
	Buffer		buf;
	int			n;
	int			i;

	CHECK_FOR_INTERRUPTS();
	r->count->pages += l->npages;
	node = hnsw_read(r->index, m, r->layer, number, BUFFER_LOCK_SHARE, r->wide, &buf);
	if (node == NULL)
		return -1;
	r->count->expanded++;
	m->codec->bound(&r->q->point, node->code, m->dim, m->params, m->oc->metric, &bound);
	*own = bound.steer;
	n = node->nedges;
	for (i = 0; i < n; i++)
		memcpy(&ids[i], HNSW_EDGE(l, node, i), sizeof(uint32));
	if (m->edge_bits > 0 && n > 0)
		vq_edge_estimate(&r->q->edge, HNSW_EDGE(l, node, 0) + HNSW_EDGE_CODE, l->edge_size, n,
						 *own, ests);
	if (node->state == HNSW_DEAD)
		*own = INFINITY;		/* led on from here, but takes no place in W */
	else
	{
		if (r->visit)
			r->visit(r->arg, number, node, &bound);
		if (*own < r->best || r->down == HNSW_NONE)
		{
			r->best = *own;
			r->down = node->down;
		}
	}
	UnlockReleaseBuffer(buf);
	r->count->candidates += n;
	return m->edge_bits > 0 ? n : score_neighbours(r, n, ids, ests);
}

/* Edges without codes: keeps the neighbours not met yet, with their distances. */
static int
score_neighbours(HnswReader *r, int n, uint32_t *ids, float *ests)
{
	int			kept = 0;
	int			i;

	memcpy(r->ids, ids, sizeof(uint32) * n);
	for (i = 0; i < n; i++)
	{
		if (i + 1 < n)
			walk_prefetch(r, r->ids[i + 1]);
		if (vg_is_met(&r->search, r->ids[i]))
			continue;
		if (!score(r, r->ids[i], &ests[kept]))
			continue;
		ids[kept++] = r->ids[i];
	}
	return kept;
}

static bool
score(HnswReader *r, uint32 number, float *value)
{
	HnswModel  *m = r->m;
	Buffer		buf;
	HnswNode	node = hnsw_read(r->index, m, r->layer, number, BUFFER_LOCK_SHARE, r->wide, &buf);

	r->count->pages += HNSW_LAYOUT(m, r->layer)->npages;
	if (node == NULL)
		return false;
	r->count->refined++;
	*value = m->codec->value(&r->q->point, node->code, m->dim, m->params, m->oc->metric);
	UnlockReleaseBuffer(buf);
	return true;
}

/* ---- rows of a record ---- */

size_t
hnsw_read_rows(Relation index, HnswModel *m, uint32 number, uint64 hash, MemoryContext cxt,
			   ItemPointerData **tids)
{
	const HnswLayout *l = HNSW_LAYOUT(m, 0);
	Buffer		buf;
	Page		page = vs_read_hinted(index, &m->hints, HNSW_BLKNO(l, number), l->kind,
									  BUFFER_LOCK_SHARE, &buf);
	HnswNode	node = HNSW_NODE(page, l, HNSW_SLOT(l, number));
	size_t		n = 0;

	/* Another record took the slot, or VACUUM found no row alive. */
	if (node->state == HNSW_LIVE && node->v.hash == hash)
	{
		/* One row needs no count to be believed. */
		*tids = MemoryContextAllocHuge(cxt, sizeof(ItemPointerData) *
									   (node->u.rows == HNSW_NONE ? 1 : (Size) node->count + 1));
		if (!vs_tid_empty(&node->tid))
			vs_tid_get(&node->tid, &(*tids)[n++]);
		if (node->u.rows != HNSW_NONE)
			n = chain_rows(index, number, node, *tids, n, (size_t) node->count + 1);
	}
	UnlockReleaseBuffer(buf);
	return n;
}

static size_t
chain_rows(Relation index, uint32 number, HnswNode node, ItemPointerData *tids, size_t n,
		   size_t most)
{
	uint32		chunk = node->u.rows;

	while (chunk != HNSW_NONE)
	{
		BlockNumber blkno = chunk / HNSW_CHUNKS_PER_PAGE;
		Buffer		buf;
		Page		page = vs_read(index, blkno, VS_HNSW_ROWS, BUFFER_LOCK_SHARE, &buf);

		/* Chunks of a chain often lie side by side. */
		while (chunk != HNSW_NONE && chunk / HNSW_CHUNKS_PER_PAGE == blkno)
		{
			HnswChunk	c = HNSW_CHUNK(page, chunk % HNSW_CHUNKS_PER_PAGE);
			int			i;

			/* More rows than the record counts: a ring, or a foreign chunk. */
			if (c->node != number || c->n == 0 || c->n > HNSW_CHUNK_ROWS || c->n > most - n || c->next == chunk)
				vi_broken_link(index, blkno);
			for (i = 0; i < c->n; i++)
				vs_tid_get(&c->tid[i], &tids[n++]);
			chunk = c->next;
		}
		UnlockReleaseBuffer(buf);
	}
	return n;
}
