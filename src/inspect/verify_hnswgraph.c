/*
 * verify_hnswgraph.c -- follows the links of an hnsw index, in memory.
 *
 * What it is not: the reading of pages (verify_hnsw.c).
 *
 * Only live records are held to the rules: of those that VACUUM is taking out
 * (it may have been interrupted), scans use what they find and skip the rest, and
 * so edges and links of a dead record may lead to what is something else by now.
 * Edges to dead records are sound; edges to freed ones are not.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "miscadmin.h"

#include "inspect/verify_hnsw.h"

/*
 * Neither the heuristic that chooses edges nor inserts guarantee that a record
 * can be reached from the entry; one that cannot is found by sweeping only.
 * Measured: none among 3,000 rows of even density, up to 11 % after rows were
 * added that the own codes hardly tell apart, with no loss of recall. A graph
 * in pieces is another matter; more than both are reported.
 */
#define UNREACHED_FEW 10
#define UNREACHED_SHARE 0.25

typedef struct Walk
{
	uint64	   *stack;			/* layer > 0 << 32 | number */
	Size		n;
	Size		cap;
} Walk;

static void check_rest_pages(Verify *v);
static void for_all(Verify *v, void (*check) (Verify *v, int layer, uint32 number, VerifyNode *n));
static void check_record(Verify *v, int layer, uint32 number, VerifyNode *n);
static void check_edges(Verify *v, int layer, uint32 number, const VerifyNode *n);
static void check_down(Verify *v, uint32 number, const VerifyNode *n);
static void check_rows(Verify *v, uint32 number, VerifyNode *n);
static void find_lost_chunks(Verify *v);
static bool check_entry(Verify *v);
static void check_reached(Verify *v);
static void reach(Verify *v, Walk *walk, int layer, uint32 number);

void
verify_hnsw_graph(Verify *v)
{
	check_rest_pages(v);
	for_all(v, check_record);
	find_lost_chunks(v);
	if (check_entry(v))
		check_reached(v);
}

/*
 * Pages that go on with a record are one record's. A record that lacks some is
 * reported where it is read; a slot without record may, and what no first page
 * leads to is free.
 */
static void
check_rest_pages(Verify *v)
{
	VerifyHnsw *h = v->state;
	BlockNumber head;
	int			nr;

	for (head = HNSW_META_BLKNO + 1; head < v->npages; head++)
	{
		int			kind = v->pages[head].kind;
		const HnswLayout *l = HNSW_LAYOUT(h->m, kind == VS_HNSW_UPPER);
		BlockNumber blkno = v->pages[head].next;

		CHECK_FOR_INTERRUPTS();
		if (kind != (int) l->kind)
			continue;
		for (nr = 2; blkno < v->npages && v->pages[blkno].kind == VS_HNSW_REST; nr++)
		{
			if (nr > l->npages)
				verify_report(v->found, head, 0, "record goes on after its %d pages", l->npages);
			else if (v->pages[blkno].reached)
				verify_report(v->found, head, 0, "page %d of the record, block %u, is another's", nr, blkno);
			else
			{
				v->pages[blkno].reached = true;
				blkno = v->pages[blkno].next;
				continue;
			}
			break;
		}
	}
}

static void
for_all(Verify *v, void (*check) (Verify *v, int layer, uint32 number, VerifyNode *n))
{
	VerifyHnsw *h = v->state;
	BlockNumber blkno;
	int			slot;

	for (blkno = HNSW_META_BLKNO + 1; blkno < v->npages; blkno++)
	{
		int			kind = v->pages[blkno].kind;
		int			layer = kind == VS_HNSW_UPPER;
		const HnswLayout *l = HNSW_LAYOUT(h->m, layer);
		VerifyNode *n = v->pages[blkno].parts;

		CHECK_FOR_INTERRUPTS();
		if (kind != (int) l->kind)
			continue;
		for (slot = 0; slot < l->per_page; slot++)
			if (VERIFY_IN_GRAPH(&n[slot]))
				check(v, layer, HNSW_NUMBER(l, blkno, slot), &n[slot]);
	}
}

/* Block and slot of a record, for a finding. */
#define PLACE(h, layer, number) \
	HNSW_BLKNO(HNSW_LAYOUT((h)->m, layer), number), HNSW_SLOT(HNSW_LAYOUT((h)->m, layer), number)

static void
check_record(Verify *v, int layer, uint32 number, VerifyNode *n)
{
	if (n->state == HNSW_LIVE)
		check_edges(v, layer, number, n);
	if (layer > 0 && n->state == HNSW_LIVE)
		check_down(v, number, n);
	if (layer == 0)
		check_rows(v, number, n);
}

static void
check_edges(Verify *v, int layer, uint32 number, const VerifyNode *n)
{
	VerifyHnsw *h = v->state;
	int			i;
	int			j;

	for (i = 0; i < n->nedges; i++)
	{
		uint32		to = n->edges[i];
		bool		damaged;
		const VerifyNode *other = verify_hnsw_node(v, layer, to, &damaged);

		if (damaged)
			continue;
		if (to == number)
			verify_report(v->found, PLACE(h, layer, number), "edge %d leads to its own record", i);
		else if (other == NULL)
			verify_report(v->found, PLACE(h, layer, number), "edge %d leads to record %u, where there can be none",
						  i, to);
		else if (!VERIFY_IN_GRAPH(other))
			verify_report(v->found, PLACE(h, layer, number), "edge %d leads to record %u, which is %s",
						  i, to, other->state == HNSW_FREED ? "freed" : "empty");
		else if (other->level != n->level)
			verify_report(v->found, PLACE(h, layer, number), "edge %d leads from layer %u to layer %u",
						  i, n->level, other->level);
		for (j = 0; j < i; j++)
			if (n->edges[j] == to)
			{
				verify_report(v->found, PLACE(h, layer, number), "edges %d and %d lead to the same record %u",
							  j, i, to);
				break;
			}
	}
}

/* Of a live upper record: the vector's records below it. */
static void
check_down(Verify *v, uint32 number, const VerifyNode *n)
{
	VerifyHnsw *h = v->state;
	bool		damaged;
	const VerifyNode *down = verify_hnsw_node(v, n->level - 1, n->down, &damaged);
	const VerifyNode *base;
	bool		base_damaged;

	if (!damaged && (down == NULL || !VERIFY_IN_GRAPH(down) || down->level != n->level - 1 ||
					 down->code != n->code))
		verify_report(v->found, PLACE(h, 1, number), "link down leads to record %u, which is not the vector's",
					  n->down);
	base = verify_hnsw_node(v, 0, n->link, &base_damaged);
	if (!base_damaged && (base == NULL || !VERIFY_IN_GRAPH(base) || base->code != n->code))
		verify_report(v->found, PLACE(h, 1, number), "base record %u is not the vector's", n->link);
}

/* The chain of chunks of a base record. */
static void
check_rows(Verify *v, uint32 number, VerifyNode *n)
{
	VerifyHnsw *h = v->state;
	uint32		chunk = n->link;
	bool		sound = true;

	while (chunk != HNSW_NONE && sound)
	{
		BlockNumber blkno = chunk / HNSW_CHUNKS_PER_PAGE;
		VerifyChunk *c;

		CHECK_FOR_INTERRUPTS();
		if (blkno < v->npages && v->pages[blkno].damaged)
			return;				/* reported, and nothing beyond can be known */
		if (blkno >= v->npages || v->pages[blkno].kind != VS_HNSW_ROWS)
		{
			verify_report(v->found, PLACE(h, 0, number), "chain of rows leads to block %u, which has none",
						  blkno);
			return;
		}
		c = (VerifyChunk *) v->pages[blkno].parts + chunk % HNSW_CHUNKS_PER_PAGE;
		sound = c->node == number && !c->reached;
		if (c->node != number)
			verify_report(v->found, PLACE(h, 0, number), "chain of rows leads to chunk %u, of record %u",
						  chunk, c->node);
		else if (c->reached)
			verify_report(v->found, PLACE(h, 0, number), "chain of rows comes to chunk %u twice", chunk);
		else
			n->rows += c->n;
		c->reached = true;
		chunk = c->next;
	}
	if (sound && n->state == HNSW_LIVE && n->rows != n->count)
		verify_report(v->found, PLACE(h, 0, number), "record has %u rows, but counts %u", n->rows,
					  n->count);
}

/* Rows that no record leads to cannot be found. */
static void
find_lost_chunks(Verify *v)
{
	BlockNumber blkno;
	uint32		i;

	for (blkno = HNSW_META_BLKNO + 1; blkno < v->npages; blkno++)
	{
		const VerifyChunk *c = v->pages[blkno].parts;

		CHECK_FOR_INTERRUPTS();
		if (v->pages[blkno].kind != VS_HNSW_ROWS)
			continue;
		for (i = 0; i < HNSW_CHUNKS_PER_PAGE; i++)
			if (c[i].node != HNSW_NONE && !c[i].reached)
				verify_report(v->found, blkno, i * HNSW_CHUNK_ROWS, "rows of record %u are not in its chain",
							  c[i].node);
	}
}

/* False if no walk can begin. */
static bool
check_entry(Verify *v)
{
	VerifyHnsw *h = v->state;
	HnswMeta	meta = &h->meta;
	const VerifyNode *entry;
	bool		damaged;

	if (meta->entry == HNSW_NONE)
	{
		if (h->top >= 0)
			verify_report(v->found, HNSW_META_BLKNO, -1, "the index has records, but no entry");
		return false;
	}
	entry = verify_hnsw_node(v, meta->entry_level, meta->entry, &damaged);
	if (entry == NULL || !VERIFY_IN_GRAPH(entry) || entry->level != meta->entry_level)
	{
		if (!damaged)
			verify_report(v->found, HNSW_META_BLKNO, -1, "the entry is record %u of layer %u, where there is none",
						  meta->entry, meta->entry_level);
		return false;
	}
	if (h->top > meta->entry_level)
		verify_report(v->found, HNSW_META_BLKNO, -1, "the entry is on layer %u, below a record of layer %d",
					  meta->entry_level, h->top);
	return true;
}

/* ---- reachability ---- */

/*
 * Along edges, and down from every record reached: at least what a scan can
 * come to. Dead records lead on.
 */
static void
check_reached(Verify *v)
{
	VerifyHnsw *h = v->state;
	Walk		walk = {0};
	uint32		live = 0;
	uint32		lost = 0;
	BlockNumber blkno;
	int			i;

	reach(v, &walk, h->meta.entry_level, h->meta.entry);
	while (walk.n > 0)
	{
		uint64		at = walk.stack[--walk.n];
		int			layer = (int) (at >> 32);
		bool		damaged;
		const VerifyNode *n = verify_hnsw_node(v, layer, (uint32) at, &damaged);

		for (i = 0; i < n->nedges; i++)
			reach(v, &walk, n->level, n->edges[i]);
		if (n->level > 0)
			reach(v, &walk, n->level - 1, n->down);
	}
	for (blkno = HNSW_META_BLKNO + 1; blkno < v->npages; blkno++)
	{
		const VerifyNode *n = v->pages[blkno].parts;

		if (v->pages[blkno].kind != VS_HNSW_BASE)
			continue;
		for (i = 0; i < h->m->layout[0].per_page; i++)
		{
			live += n[i].state == HNSW_LIVE;
			lost += n[i].state == HNSW_LIVE && !n[i].reached;
		}
	}
	/*
	 * Under inner product edges lead to long rows, and short ones that no query
	 * would want are in nobody's list. Rounded, so that two looks beside
	 * concurrent inserts agree.
	 */
	if (h->m->oc->metric != VQ_IP && lost > UNREACHED_FEW && lost > UNREACHED_SHARE * live)
		verify_report(v->found, HNSW_META_BLKNO, -1,
					  "about %.0f %% of the records cannot be reached from the entry",
					  100.0 * lost / live);
}

static void
reach(Verify *v, Walk *walk, int layer, uint32 number)
{
	bool		damaged;
	VerifyNode *n = verify_hnsw_node(v, layer, number, &damaged);

	CHECK_FOR_INTERRUPTS();
	if (n == NULL || !VERIFY_IN_GRAPH(n) || n->level != layer || n->reached)
		return;
	n->reached = true;
	walk->stack = verify_grow(v, walk->stack, &walk->cap, walk->n + 1, sizeof(uint64));
	walk->stack[walk->n++] = (uint64) (layer > 0) << 32 | number;
}
