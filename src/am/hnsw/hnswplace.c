/*
 * hnswplace.c -- room for records, and changes of one, of several pages too.
 *
 * What it is not: what is in a record, or chunks of rows (hnswrows.c).
 *
 * The free space map serves several kinds of pages, and one entry says a number
 * of bytes, not a kind. Gaps of the base layer, by far the most, are recorded as
 * the most room: who asks for that much finds nothing else. The map's search
 * would find nothing else for upper records and chunks either, so these look for
 * their own number, block by block, a few at a time. Each backend also remembers
 * the page of each kind that it used last (HnswModel.used): records share pages.
 *
 * Pages that go on with a record stay with its first page for ever. They are
 * linked one by one to a page that holds no record yet, so that a crash leaves
 * a free slot with too few of them, and the next record there adds the rest.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "am/hnsw/hnswlink.h"
#include "index/chain.h"

static bool take_used(Relation index, Relation heap, HnswModel *m, int layer, HnswPlace *p);
static bool take_known(Relation index, Relation heap, HnswModel *m, int layer, HnswPlace *p);
static int	free_slot(Relation heap, const HnswLayout *l, Page page, bool *young);
static void write_rest(Relation index, Relation heap, HnswPlace *p, const char *record);
static void put_bytes(HnswEdit *e, Size at, const void *bytes, Size n);
static Page rest_page(HnswEdit *e, int nr);
static Buffer held_rest(const HnswEdit *e, BlockNumber blkno);

/* ---- a slot ---- */

void
hnsw_place_find(Relation index, Relation heap, HnswModel *m, int layer, const char *record,
				HnswPlace *p)
{
	p->l = HNSW_LAYOUT(m, layer);
	if (!take_used(index, heap, m, layer, p) && !take_known(index, heap, m, layer, p))
	{
		p->buf = vs_new_page(index, heap);
		p->slot = 0;
		p->fresh = true;
	}
	m->used[layer > 0] = BufferGetBlockNumber(p->buf);
	if (p->l->npages > 1)
		write_rest(index, heap, p, record);
}

/* The page that this backend used last, if nobody is at it. */
static bool
take_used(Relation index, Relation heap, HnswModel *m, int layer, HnswPlace *p)
{
	bool		young = false;

	p->buf = vs_try_page(index, m->used[layer > 0], p->l->kind);
	if (!BufferIsValid(p->buf))
		return false;
	p->slot = free_slot(heap, p->l, BufferGetPage(p->buf), &young);
	p->fresh = false;
	if (p->slot >= 0)
		return true;
	UnlockReleaseBuffer(p->buf);
	return false;
}

/* A page that the map knows. */
static bool
take_known(Relation index, Relation heap, HnswModel *m, int layer, HnswPlace *p)
{
	int			tries;

	p->fresh = false;
	for (tries = 0; tries < HNSW_SPACE_TRIES; tries++)
	{
		bool		young = false;

		p->buf = hnsw_find_space(index, m, layer > 0);
		if (!BufferIsValid(p->buf))
			return false;
		p->slot = free_slot(heap, p->l, BufferGetPage(p->buf), &young);
		if (p->slot >= 0)
			return true;
		/* Full: struck off the map. What is only too young comes of age by itself. */
		if (!young)
			vs_record_space(index, BufferGetBlockNumber(p->buf), 0);
		UnlockReleaseBuffer(p->buf);
	}
	return false;
}

/* A slot that a record may take, or -1; *young: there is one that is freed but not yet free. */
static int
free_slot(Relation heap, const HnswLayout *l, Page page, bool *young)
{
	int			slot;

	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node = HNSW_NODE(page, l, slot);

		if (node->state == HNSW_EMPTY)
			return slot;
		if (node->state != HNSW_FREED)
			continue;
		if (vs_behind_horizon(heap, node->v.freed))
			return slot;
		*young = true;
	}
	return -1;
}

uint32
hnsw_place_put(VsChange *change, HnswPlace *p, const char *record)
{
	Page		page = vs_change_page(change, p->buf, false);
	Size		bytes = Min(p->l->size, VS_USABLE);

	if (p->fresh)
		vs_page_init_unused(page, p->l->kind, 0);
	/* A page is logged as far as it is used: half of a new one with one record of two. */
	vs_page_use(page, (p->slot + 1) * bytes);
	memcpy(HNSW_NODE(page, p->l, p->slot), record, bytes);
	return HNSW_NUMBER(p->l, BufferGetBlockNumber(p->buf), p->slot);
}

void
hnsw_place_release(Relation index, HnswModel *m, HnswPlace *p)
{
	BlockNumber blkno = BufferGetBlockNumber(p->buf);
	bool		young = false;
	bool		room = free_slot(NULL, p->l, BufferGetPage(p->buf), &young) >= 0 || young;

	UnlockReleaseBuffer(p->buf);
	/* Others may have the rest of a new page; a full one is on nobody's mind. */
	if (p->fresh ? room : !room)
		hnsw_record_space(index, p->l->kind, blkno, room);
}

Size
hnsw_space_of(VsKind kind)
{
	switch (kind)
	{
		case VS_HNSW_BASE:
			return 4096;
		case VS_HNSW_UPPER:
			return 1024;
		default:
			return 64;
	}
}

Buffer
hnsw_find_space(Relation index, HnswModel *m, int side)
{
	static const VsKind kinds[] = {VS_HNSW_BASE, VS_HNSW_UPPER, VS_HNSW_ROWS};
	VsKind		kind = kinds[side];

	return kind == VS_HNSW_BASE ? vs_find_space(index, kind, hnsw_space_of(kind)) :
		vs_find_exact(index, kind, hnsw_space_of(kind), &m->look_at[side]);
}

void
hnsw_record_space(Relation index, VsKind kind, BlockNumber blkno, bool gap)
{
	vs_record_space(index, blkno, gap ? hnsw_space_of(kind) : 0);
}

/* ---- pages after the first ---- */

/* Fills the pages after the first, which is locked and holds no record; adds missing ones. */
static void
write_rest(Relation index, Relation heap, HnswPlace *p, const char *record)
{
	const HnswLayout *l = p->l;
	BlockNumber head = BufferGetBlockNumber(p->buf);
	Buffer		prev = p->buf;
	VsChange	change;
	int			nr;

	if (p->fresh)
	{
		vs_change_begin(&change, index);
		vs_page_init(vs_change_page(&change, p->buf, true), l->kind, 0);
		vs_change_commit(&change);
		p->fresh = false;
	}
	for (nr = 1; nr < l->npages; nr++)
	{
		BlockNumber next = vs_opaque(BufferGetPage(prev))->next;
		bool		fresh = next == InvalidBlockNumber;
		Size		at = (Size) nr * VS_USABLE;
		Buffer		buf;
		Page		page;

		if (fresh)
			buf = vs_new_page(index, heap);
		else
			vs_read(index, next, VS_HNSW_REST, BUFFER_LOCK_EXCLUSIVE, &buf);
		vs_change_begin(&change, index);
		page = vs_change_page(&change, buf, fresh);
		if (fresh)
		{
			vs_page_init(page, VS_HNSW_REST, head);
			vs_opaque(vs_change_page(&change, prev, false))->next = BufferGetBlockNumber(buf);
		}
		memcpy(PageGetContents(page), record + at, Min(VS_USABLE, l->size - at));
		vs_change_commit(&change);
		if (prev != p->buf)
			UnlockReleaseBuffer(prev);
		prev = buf;
	}
	if (prev != p->buf)
		UnlockReleaseBuffer(prev);
}

/* ---- changes of a record ---- */

void
hnsw_edit_begin(HnswEdit *e, Relation index, const HnswLayout *l, VsChange *change, Buffer head,
				int slot)
{
	e->index = index;
	e->l = l;
	e->change = change;
	e->head = head;
	e->slot = slot;
	e->nrest = 0;
}

HnswNode
hnsw_edit_head(HnswEdit *e)
{
	return HNSW_NODE(vs_change_page(e->change, e->head, false), e->l, e->slot);
}

void
hnsw_edit_edge(HnswEdit *e, int i, const uint8 *edge)
{
	Size		at = e->l->edges_at + (Size) i * e->l->edge_size;

	Assert(i < e->l->slots);
	if (e->l->npages > 1)
		put_bytes(e, at, edge, e->l->edge_size);
	else
		memcpy((uint8 *) hnsw_edit_head(e) + at, edge, e->l->edge_size);
}

/* Bytes may begin on one page and end on the next. */
static void
put_bytes(HnswEdit *e, Size at, const void *bytes, Size n)
{
	while (n > 0)
	{
		int			nr = (int) (at / VS_USABLE);
		Size		in_page = at % VS_USABLE;
		Size		part = Min(n, VS_USABLE - in_page);
		Page		page = nr == 0 ? vs_change_page(e->change, e->head, false) : rest_page(e, nr);

		memcpy((char *) PageGetContents(page) + in_page, bytes, part);
		bytes = (const char *) bytes + part;
		at += part;
		n -= part;
	}
}

/* Page nr of the record in the change, locked until hnsw_edit_end(). */
static Page
rest_page(HnswEdit *e, int nr)
{
	BlockNumber blkno = vs_opaque(BufferGetPage(e->head))->next;
	Buffer		buf;
	int			i;

	for (i = 1; i < nr; i++)
	{
		if (blkno == InvalidBlockNumber)
			vi_broken_link(e->index, blkno);
		buf = held_rest(e, blkno);
		if (BufferIsValid(buf))
		{
			blkno = vs_opaque(BufferGetPage(buf))->next;
			continue;
		}
		/* Links of a record are final: the head's lock is enough to follow them. */
		vs_read(e->index, blkno, VS_HNSW_REST, BUFFER_LOCK_SHARE, &buf);
		blkno = vs_opaque(BufferGetPage(buf))->next;
		UnlockReleaseBuffer(buf);
	}
	buf = held_rest(e, blkno);
	if (BufferIsValid(buf))
		return vs_change_page(e->change, buf, false);
	if (blkno == InvalidBlockNumber || e->nrest == lengthof(e->rest))
		vi_broken_link(e->index, blkno);
	vs_read(e->index, blkno, VS_HNSW_REST, BUFFER_LOCK_EXCLUSIVE, &buf);
	e->rest[e->nrest++] = buf;
	return vs_change_page(e->change, buf, false);
}

/* The page if this edit has locked it already, which must not be done twice. */
static Buffer
held_rest(const HnswEdit *e, BlockNumber blkno)
{
	int			i;

	for (i = 0; i < e->nrest; i++)
		if (BufferGetBlockNumber(e->rest[i]) == blkno)
			return e->rest[i];
	return InvalidBuffer;
}

void
hnsw_edit_end(HnswEdit *e)
{
	while (e->nrest > 0)
		UnlockReleaseBuffer(e->rest[--e->nrest]);
}
