/*
 * hnswcut.c -- VACUUM: edges to dead records, and records left with too few.
 *
 * What it is not: what makes a record dead (hnswvacuum.c).
 *
 * An edge to a dead record is replaced by one to the dead record's own nearest
 * neighbour: so a way that led to the dead leads to where it was. (The idea is
 * FreshDiskANN's, Singh et al., arXiv 2105.09613, section 4.2, without the
 * pruning of all that the dead knew.) If too few edges would be left, a search
 * from the record itself, through the dead as well, finds new neighbours, and
 * these link back. Edges to living records always stay: some lead far away,
 * where no search from here would come.
 *
 * Edges lead one way. A record whose every edge is fine may still have lost the
 * last one that led to it; so the pass notes to which records edges lead, and
 * those that none leads to are linked again.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "commands/vacuum.h"
#include "utils/memutils.h"

#include "am/hnsw/hnswvacuum.h"

/* Changes of one page's lists. */
typedef struct Rewrite
{
	Relation	index;
	const HnswLayout *l;
	Buffer		buf;
	int			slot;
	HnswNode	node;			/* a copy of the record as the changes leave it */
	VsChange	change;
	bool		open;
} Rewrite;

static void cut_page(HnswVacuum *v, int side, BlockNumber blkno, Buffer buf);
static bool has_dead_edge(HnswVacuum *v, const HnswLayout *l, HnswNode node);
static void relink(HnswVacuum *v, int side);
static void mend(HnswVacuum *v, int layer, uint32 number);
static void stand_ins(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old,
					  HnswChoice *choice);
static HnswMet *stand_in(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old,
						 uint32 dead, const HnswChoice *choice);
static void find_neighbours(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old);
static void mend_list(HnswVacuum *v, HnswLinks *k, int layer, uint32 number,
					  const HnswChoice *choice);
static void note_edges(HnswVacuum *v, int layer, const HnswLayout *l, HnswNode node);
static bool has_edge(const HnswLayout *l, HnswNode node, uint32 to);
static bool is_chosen(const HnswChoice *choice, uint32 number);
static uint32 edge_to(const HnswLayout *l, HnswNode node, int i);
static void rewrite_begin(Rewrite *w, Buffer buf, int slot, HnswNode node);
static void set_edge(Rewrite *w, int i, const uint8 *edge);
static void drop_edge(Rewrite *w, int i);
static void edit(Rewrite *w, int i, const uint8 *edge, int nedges);
static void rewrite_end(Rewrite *w);

void
hnsw_cut_edges(HnswVacuum *v)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(v->index);
	BlockNumber blkno;

	/* Pages added from now on hold records of inserts that know who is dead. */
	for (blkno = HNSW_META_BLKNO + 1; blkno < blocks; blkno++)
	{
		Buffer		buf;
		int			kind;

		hnsw_vacuum_page(v, blkno, &kind, &buf);
		if (kind == VS_HNSW_BASE || kind == VS_HNSW_UPPER)
			cut_page(v, kind == VS_HNSW_UPPER, blkno, buf);
		else
			UnlockReleaseBuffer(buf);
	}
	relink(v, 1);
	relink(v, 0);
}

/* Releases the page. side: 1 for upper layers. */
static void
cut_page(HnswVacuum *v, int side, BlockNumber blkno, Buffer buf)
{
	const HnswLayout *l = &v->m->layout[side];
	bool	   *dead_edge = MemoryContextAllocZero(v->cxt, l->per_page);
	uint8	   *level = MemoryContextAllocZero(v->cxt, l->per_page);
	int			slot;

	for (slot = 0; slot < l->per_page && BufferIsValid(buf); slot++)
	{
		HnswNode	node = HNSW_NODE(BufferGetPage(buf), l, slot);
		uint32		number = HNSW_NUMBER(l, blkno, slot);

		if (node->state != HNSW_LIVE || node->nedges > l->slots)
			continue;
		level[slot] = node->level;
		hnsw_bit_set(&v->live[side], number);
		if (l->npages > 1)
		{
			/* Its only record; to be read with the pages that it goes on with. */
			UnlockReleaseBuffer(buf);
			node = hnsw_read(v->index, v->m, level[slot], number, BUFFER_LOCK_SHARE, v->wide, &buf);
			if (node == NULL)
			{
				buf = InvalidBuffer;
				break;
			}
		}
		dead_edge[slot] = has_dead_edge(v, l, node);
		if (!dead_edge[slot])
			note_edges(v, level[slot], l, node);
	}
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
	for (slot = 0; slot < l->per_page; slot++)
		if (dead_edge[slot])
			mend(v, level[slot], HNSW_NUMBER(l, blkno, slot));
	pfree(dead_edge);
	pfree(level);
}

static bool
has_dead_edge(HnswVacuum *v, const HnswLayout *l, HnswNode node)
{
	int			i;

	for (i = 0; i < node->nedges; i++)
		if (hnsw_bit(&v->dead[node->level > 0], edge_to(l, node, i)))
			return true;
	return false;
}

/* Records that live, and to which no edge leads. */
static void
relink(HnswVacuum *v, int side)
{
	uint32		number;

	for (number = 0; hnsw_bit_next(&v->live[side], number, &number); number++)
	{
		Buffer		buf;
		const HnswLayout *l = &v->m->layout[side];
		Page		page;
		HnswNode	node;
		int			level;

		if (hnsw_bit(&v->linked[side], number))
			continue;
		page = vs_read(v->index, HNSW_BLKNO(l, number), l->kind, BUFFER_LOCK_SHARE, &buf);
		node = HNSW_NODE(page, l, HNSW_SLOT(l, number));
		level = node->state == HNSW_LIVE ? node->level : -1;
		UnlockReleaseBuffer(buf);
		if (level >= 0)
			mend(v, level, number);
	}
}

/* ---- one record ---- */

/* Replaces dead edges; looks for new neighbours if too few are left, or nothing leads here. */
static void
mend(HnswVacuum *v, int layer, uint32 number)
{
	const HnswLayout *l = HNSW_LAYOUT(v->m, layer);
	MemoryContext old_cxt = MemoryContextSwitchTo(v->record_cxt);
	HnswNode	old = palloc(l->size);
	HnswLinks	k;
	HnswChoice	choice = {0};
	HnswNode	node;
	Buffer		buf;
	int			left;
	int			i;

	vecpg_vacuum_delay();
	node = hnsw_read(v->index, v->m, layer, number, BUFFER_LOCK_SHARE, (char *) old, &buf);
	if (node != NULL && node != old)
		memcpy(old, node, l->size);
	if (node != NULL)
		UnlockReleaseBuffer(buf);
	if (node != NULL && old->state == HNSW_LIVE)
	{
		hnsw_links_begin(&k, v->index, v->heap, v->m, old->code, v->record_cxt);
		stand_ins(v, &k, layer, number, old, &choice);
		for (left = choice.n, i = 0; i < old->nedges; i++)
			left += !hnsw_bit(&v->dead[layer > 0], edge_to(l, old, i));
		if (choice.n > 0 && left >= l->slots / 2)
			mend_list(v, &k, layer, number, &choice);
		else
		{
			find_neighbours(v, &k, layer, number, old);
			hnsw_links_choose(&k, layer, number, &choice);
			mend_list(v, &k, layer, number, &choice);
			hnsw_link_back(&k, layer, number, &choice);
			if (choice.n > 0)
				hnsw_bit_set(&v->linked[layer > 0], number);
		}
	}
	MemoryContextSwitchTo(old_cxt);
	MemoryContextReset(v->record_cxt);
}

/* For each dead neighbour one of its living ones, as far as there are any. */
static void
stand_ins(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old, HnswChoice *choice)
{
	const HnswLayout *l = HNSW_LAYOUT(v->m, layer);
	int			i;

	choice->n = 0;
	choice->to = palloc(sizeof(HnswMet *) * l->slots);
	for (i = 0; i < old->nedges; i++)
	{
		uint32		to = edge_to(l, old, i);
		HnswMet    *met;

		if (!hnsw_bit(&v->dead[layer > 0], to))
			continue;
		met = stand_in(v, k, layer, number, old, to, choice);
		if (met != NULL)
			choice->to[choice->n++] = met;
	}
}

/*
 * The dead record's nearest living neighbour that is not linked yet. Nearest to
 * the dead, not to us: that would turn a way to a far cluster back to our own.
 */
static HnswMet *
stand_in(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old, uint32 dead,
		 const HnswChoice *choice)
{
	const HnswLayout *l = HNSW_LAYOUT(v->m, layer);
	HnswNode	node = palloc(l->size);
	HnswMet    *gone = hnsw_links_read(k, layer, dead, node);
	HnswMet    *met = NULL;
	float		length[VQ_EDGE_MOST];
	int			best = -1;
	int			i;

	if (gone == NULL)
		return NULL;
	hnsw_edge_lengths(k, layer, gone, node, length);
	for (i = 0; i < node->nedges; i++)
	{
		uint32		to = edge_to(l, node, i);

		if ((best < 0 || length[i] < length[best]) && to != number &&
			!hnsw_bit(&v->dead[layer > 0], to) && !has_edge(l, old, to) && !is_chosen(choice, to))
			best = i;
	}
	if (best >= 0)
		met = hnsw_links_read(k, layer, edge_to(l, node, best), node);
	return met != NULL && node->state == HNSW_LIVE ? met : NULL;
}

static bool
is_chosen(const HnswChoice *choice, uint32 number)
{
	int			i;

	for (i = 0; i < choice->n; i++)
		if (choice->to[i]->number == number)
			return true;
	return false;
}

/* From the record and all its neighbours; from the entry too, if that leads to few. */
static void
find_neighbours(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, HnswNode old)
{
	const HnswLayout *l = HNSW_LAYOUT(v->m, layer);
	uint32	   *starts = palloc(sizeof(uint32) * (l->slots + 2));
	int			n = 0;
	int			i;

	starts[n++] = number;
	for (i = 0; i < old->nedges; i++)
		starts[n++] = edge_to(l, old, i);
	hnsw_links_find(k, layer, starts, n, v->m->ef_construction);
	if (k->nnear > l->slots / 2 || v->meta.entry == HNSW_NONE || v->meta.entry_level < layer)
		return;
	starts[n] = hnsw_descend(&k->reader, v->meta.entry, v->meta.entry_level, layer);
	if (starts[n] != HNSW_NONE)
		hnsw_links_find(k, layer, starts, n + 1, v->m->ef_construction);
}

/*
 * Dead edges give way to what was chosen, in its order, and what is left of that
 * fills the list up. Others may have added edges meanwhile.
 */
static void
mend_list(HnswVacuum *v, HnswLinks *k, int layer, uint32 number, const HnswChoice *choice)
{
	const HnswLayout *l = HNSW_LAYOUT(v->m, layer);
	const HnswBits *dead = &v->dead[layer > 0];
	Rewrite		w = {v->index, l};
	int			next = 0;
	HnswNode	node;
	Buffer		buf;
	int			i;

	node = hnsw_read(v->index, v->m, layer, number, BUFFER_LOCK_EXCLUSIVE, v->wide, &buf);
	if (node == NULL)
		return;
	w.node = (HnswNode) v->wide;
	rewrite_begin(&w, buf, HNSW_SLOT(l, number), node);
	for (i = 0; i <= w.node->nedges && i < l->slots; i++)
	{
		if (i < w.node->nedges && !hnsw_bit(dead, edge_to(l, w.node, i)))
			continue;
		while (next < choice->n && has_edge(l, w.node, choice->to[next]->number))
			next++;
		if (next < choice->n)
		{
			hnsw_make_edge(k, k->x, choice->to[next]->number, choice->to[next]->x, k->edge);
			set_edge(&w, i, k->edge);
		}
		else if (i < w.node->nedges)
			drop_edge(&w, i--);
	}
	rewrite_end(&w);
	note_edges(v, layer, l, w.node);
	UnlockReleaseBuffer(buf);
}

static void
note_edges(HnswVacuum *v, int layer, const HnswLayout *l, HnswNode node)
{
	int			i;

	for (i = 0; i < node->nedges; i++)
		hnsw_bit_set(&v->linked[layer > 0], edge_to(l, node, i));
}

static bool
has_edge(const HnswLayout *l, HnswNode node, uint32 to)
{
	int			i;

	for (i = 0; i < node->nedges; i++)
		if (edge_to(l, node, i) == to)
			return true;
	return false;
}

static uint32
edge_to(const HnswLayout *l, HnswNode node, int i)
{
	uint32		to;

	memcpy(&to, HNSW_EDGE(l, node, i), sizeof(uint32));
	return to;
}

/* ---- changing lists: all of a page in one change, or a wide record edge by edge ---- */

static void
rewrite_begin(Rewrite *w, Buffer buf, int slot, HnswNode node)
{
	w->buf = buf;
	w->slot = slot;
	if (w->node != node)
		memcpy(w->node, node, w->l->size);
}

/* Sets edge i, which may be the one after the last. */
static void
set_edge(Rewrite *w, int i, const uint8 *edge)
{
	int			nedges = Max(w->node->nedges, i + 1);

	edit(w, i, edge, nedges);
}

static void
drop_edge(Rewrite *w, int i)
{
	int			last = w->node->nedges - 1;

	edit(w, i, i < last ? HNSW_EDGE(w->l, w->node, last) : NULL, last);
}

/* Sets edge i (NULL: none) and the number of edges, in the copy as well. */
static void
edit(Rewrite *w, int i, const uint8 *edge, int nedges)
{
	HnswEdit	e;

	if (!w->open)
		vs_change_begin(&w->change, w->index);
	w->open = true;
	hnsw_edit_begin(&e, w->index, w->l, &w->change, w->buf, w->slot);
	if (edge != NULL)
	{
		hnsw_edit_edge(&e, i, edge);
		memmove(HNSW_EDGE(w->l, w->node, i), edge, w->l->edge_size);
	}
	hnsw_edit_head(&e)->nedges = w->node->nedges = nedges;
	if (w->l->npages > 1)
		rewrite_end(w);
	hnsw_edit_end(&e);
}

static void
rewrite_end(Rewrite *w)
{
	if (w->open)
		vs_change_commit(&w->change);
	w->open = false;
}
