/*
 * ivfsplit.c -- splits a list that has grown past its limit, in the inserting backend.
 *
 * What it is not: a merge (lists that empty keep their centroid and cost a
 * directory entry) or a change of partitions (fixed until REINDEX).
 *
 * The rule of every move ("copy, make visible, remove"):
 *
 *   1. prepare   without locks, the list's rows are read and decoded, and
 *                2-means gives two centroids
 *   2. copy      with the directory page and the list's pages locked, the rows
 *                that are there now (those of 1 and the few that inserts added
 *                since) are written to new pages that nothing points to yet
 *   3. visible   one WAL record puts the new entries in the place of the old
 *                one and counts the epoch
 *   4. remove    the old blocks are marked moved; they stay readable for scans
 *                that hold the old directory, and are free behind the horizon
 *
 * So a split never has to be given up because of inserts: under steady load
 * from several clients a list would grow for ever. What takes long (decoding,
 * heap rows, clustering) happens in 1; inserts into this one list wait for 2-4.
 *
 * An entry may be met twice but never zero times: scans that see the epoch
 * change remember tids (ivfprobe.c), and a new entry never goes to a directory
 * page that a scan reads before that of the old one. A crash between 3 and 4
 * leaves blocks of a list that no entry names: vacuum marks them.
 *
 * A list that got long while splits were impossible (a long VACUUM) is not
 * locked as a whole: the first pages of its chain are split off, and the old
 * entry keeps the rest. As its number stays in the directory, the blocks that
 * leave are marked as moving to the new list first, in records of their own:
 * after a crash they are garbage if that list is named, else still in place.
 *
 * Splits and VACUUM exclude one another by the heavyweight lock on the
 * metapage: a tid moved from a page that VACUUM has not seen to one that it
 * has would survive it. A split takes the lock only if it is free, and is put
 * off otherwise: a long list costs time, not answers.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "am/ivf/ivfsplit.h"
#include "simd/simd.h"

/* Rows of a list that an insert may not exceed: twice what a build aims at. */
#define SPLIT_ROWS 128

/* Decoded rows held; a list within the limit always fits. */
#define MAX_ROW_BYTES ((Size) 16 * 1024 * 1024)

#define KMEANS_ITERS 8

/* The page that new blocks go to. */
typedef struct SplitWriter
{
	int			walked;			/* pages of the walk looked at for free blocks */
	bool		fresh;			/* a page of our own */
	Buffer		buf;
	Page		page;			/* private copy in the open change, or NULL */
	VsChange	change;
} SplitWriter;

static bool walk_list(Split *s, BlockNumber blkno, int idx);
static void take_block(Split *s, IvfBlock block);
static void add_row(Split *s, IvfBlock block, int slot);
static bool two_means(Split *s);
static int	nearer_side(Split *s, float *const *mean, const float *x);
static void encode_centroid(Split *s, int side, const float *mean);
static void put_off(Split *s);
static void number_lists(Split *s);
static void move_rows(Split *s);
static void write_lists(Split *s);
static IvfBlock new_block(Split *s, SplitWriter *w, IvfDirEntry e);
static void close_page(SplitWriter *w);
static BlockNumber room_in_directory(Split *s, int entries);
static void flip(Split *s, Buffer dirbuf, BlockNumber room);
static void stamp_blocks(Split *s, uint16 flag, FullTransactionId stamp);

int64
ivf_split_limit(const IvfMetaData *meta)
{
	IvfCurve const *c = &meta->curve[0];
	double		built = c->lists > 0 && meta->rows_built > 0 ? meta->rows_built / c->lists : 0;

	/* A user who asked for few lists meant long ones. */
	return (int64) Max(SPLIT_ROWS, 4 * built);
}

void
ivf_split(Relation index, Relation heap, IvfModel *m, IvfRoute *route)
{
	MemoryContext cxt;
	MemoryContext old;
	Split		s = {index, heap, m, route, .fetch = {index, heap}};
	HASHCTL		ctl = {0};

	if (!ConditionalLockPage(index, IVF_META_BLKNO, ExclusiveLock))
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf split", ALLOCSET_DEFAULT_SIZES);
	s.fetch.cxt = cxt;
	old = MemoryContextSwitchTo(cxt);
	ctl.keysize = sizeof(VsTid);
	ctl.entrysize = sizeof(SplitSeen);
	ctl.hcxt = cxt;
	s.seen = hash_create("ivf split", 512, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	s.max_rows = Max(2 * SPLIT_ROWS, MAX_ROW_BYTES / (sizeof(float) * m->dim));

	if (ivf_route_find(index, m, route) &&
		walk_list(&s, route->head_blkno, route->head_idx) &&
		s.n > SPLIT_ROWS / 2)
	{
		ivf_split_decode(&s);
		if (two_means(&s))
		{
			number_lists(&s);
			move_rows(&s);
		}
		else
			put_off(&s);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	UnlockPage(index, IVF_META_BLKNO, ExclusiveLock);
}

/* ---- 1. and 2.: the rows of the list ---- */

/*
 * Walks the chain from a block to its end or to the bound, and takes its rows.
 * The second walk (s->locked) keeps the pages exclusively locked. False if the
 * chain is not this list's any more, which only the first walk can meet.
 */
static bool
walk_list(Split *s, BlockNumber blkno, int idx)
{
	IvfModel   *m = s->m;
	SplitWalk  *w = &s->walk;

	w->rows = w->npages = 0;
	w->rest_blkno = InvalidBlockNumber;
	w->rest_idx = 0;
	while (blkno != InvalidBlockNumber)
	{
		BlockNumber here = blkno;
		Buffer		buf;
		Page		page;
		bool		ok = true;
		int			p;

		CHECK_FOR_INTERRUPTS();
		for (p = 0; p < w->npages && w->pages[p] != here; p++)
			;
		if (p == w->npages)
		{
			/* At least two pages: one of them may hold a single block. */
			if (p == MAX_PAGES || (p >= 2 && w->rows >= s->max_rows))
			{
				w->rest_blkno = blkno;
				w->rest_idx = idx;
				return true;
			}
			if (here == s->route->dir_blkno)
				return false;	/* it would be locked twice */
			page = vs_read_if(s->index, here, VS_IVF_LIST,
							  s->locked ? BUFFER_LOCK_EXCLUSIVE : BUFFER_LOCK_SHARE, NULL, &buf);
			if (page == NULL)
				return false;
			w->pages[p] = here;
			w->bufs[p] = buf;
			w->blocks[p] = 0;
			w->npages++;
		}
		else if (s->locked)
			buf = w->bufs[p];
		else
			vs_read(s->index, here, VS_IVF_LIST, BUFFER_LOCK_SHARE, &buf);
		page = BufferGetPage(buf);
		do
		{
			IvfBlock	block = IVF_BLOCK(page, m->sdim, idx);

			if (idx >= m->blocks_per_page || block->list != s->route->list ||
				(block->flags & IVF_BLOCK_MOVED) || (w->blocks[p] & ((uint32) 1 << idx)))
			{
				ok = false;
				break;
			}
			w->blocks[p] |= (uint32) 1 << idx;
			take_block(s, block);
			blkno = block->next_blkno;
			idx = block->next_idx;
		} while (blkno == here);
		if (!s->locked)
			UnlockReleaseBuffer(buf);
		if (!ok)
			return false;
	}
	return true;
}

static void
take_block(Split *s, IvfBlock block)
{
	int			i;

	for (i = 0; i < VQ_BLOCK; i++)
	{
		SplitSeen  *seen;
		bool		found;

		if (vs_tid_empty(&block->tid[i]))
			continue;
		s->walk.rows++;
		seen = hash_search(s->seen, &block->tid[i], HASH_ENTER, &found);
		if (!found)
		{
			seen->row = s->n;
			add_row(s, block, i);
		}
		s->rows[seen->row].present = s->locked;
	}
}

/*
 * A row, not decoded in the first walk (its page is locked, and the heap row
 * may have to be computed by an expression), decoded from its codes in the
 * second.
 */
static void
add_row(Split *s, IvfBlock block, int slot)
{
	SplitRow   *row;

	if (s->n == s->cap)
	{
		s->cap = Max(s->cap * 2, 256);
		s->rows = s->rows ? repalloc_huge(s->rows, sizeof(SplitRow) * s->cap) :
			palloc(sizeof(SplitRow) * s->cap);
	}
	row = &s->rows[s->n++];
	row->tid = block->tid[slot];
	row->ref_blkno = block->ref_blkno[slot];
	row->ref_idx = block->ref_idx[slot];
	row->side = -1;
	row->x = palloc(sizeof(float) * s->m->dim);
	ivf_split_decode_bits(s, block, slot, row);
	if (s->locked)
	{
		if (s->m->codec)
			ivf_split_decode_refine(s, row);
		row->side = nearer_side(s, s->c, row->x);
	}
}

/* ---- 1.: two centroids ---- */

/* False if the rows cannot be told apart (then the list just stays long). */
static bool
two_means(Split *s)
{
	IvfModel   *m = s->m;
	float	   *mean[2];
	float		far = -1;
	int			at = 0;
	int			iter;
	int			i;
	int			d;

	mean[0] = palloc(sizeof(float) * m->dim);
	mean[1] = palloc(sizeof(float) * m->dim);
	/* Seeds: a row, and the row farthest from it. */
	memcpy(mean[0], s->rows[s->n / 2].x, sizeof(float) * m->dim);
	for (i = 0; i < s->n; i++)
	{
		float		dist = vk->l2sq_f32(s->rows[i].x, mean[0], m->dim);

		if (dist > far)
		{
			far = dist;
			at = i;
		}
	}
	if (!(far > 0))
		return false;
	memcpy(mean[1], s->rows[at].x, sizeof(float) * m->dim);
	for (iter = 0; iter < KMEANS_ITERS; iter++)
	{
		int			n[2] = {0, 0};

		CHECK_FOR_INTERRUPTS();
		for (i = 0; i < s->n; i++)
		{
			s->rows[i].side = nearer_side(s, mean, s->rows[i].x);
			n[s->rows[i].side]++;
		}
		/* No side smaller than an eighth: a split must shorten the list. */
		if (n[0] < s->n / 8 || n[1] < s->n / 8)
		{
			for (i = 0; i < s->n; i++)
				s->rows[i].side = i % 2;
			n[0] = (s->n + 1) / 2;
			n[1] = s->n / 2;
		}
		memset(mean[0], 0, sizeof(float) * m->dim);
		memset(mean[1], 0, sizeof(float) * m->dim);
		for (i = 0; i < s->n; i++)
			for (d = 0; d < m->dim; d++)
				mean[s->rows[i].side][d] += s->rows[i].x[d] / n[s->rows[i].side];
	}
	encode_centroid(s, 0, mean[0]);
	encode_centroid(s, 1, mean[1]);
	return true;
}

static int
nearer_side(Split *s, float *const *mean, const float *x)
{
	return vk->l2sq_f32(x, mean[1], s->m->dim) < vk->l2sq_f32(x, mean[0], s->m->dim);
}

static void
encode_centroid(Split *s, int side, const float *mean)
{
	IvfModel   *m = s->m;
	const float *top = m->part + (Size) s->route->part * m->dim;

	s->entry[side] = palloc0(m->entry_size);
	s->entry[side]->head_blkno = InvalidBlockNumber;
	s->c[side] = palloc(sizeof(float) * m->dim);
	m->dir_codec->encode(mean, top, m->dim, NULL, palloc(sizeof(float) * 3 * m->dim),
						 s->entry[side]->code);
	m->dir_codec->decode(s->entry[side]->code, top, m->dim, NULL, s->c[side]);
}

/* Equal rows: counts from here, so that not every new block tries again. */
static void
put_off(Split *s)
{
	Buffer		buf;
	VsChange	change;
	Page		page;

	vs_read(s->index, s->route->dir_blkno, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &buf);
	vs_change_begin(&change, s->index);
	page = vs_change_page(&change, buf, false);
	IVF_DIR_ENTRY(page, s->m->entry_size, s->route->dir_idx)->rows = 0;
	vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
}

/* Numbers of their own, in a record of its own: no crash gives them twice. */
static void
number_lists(Split *s)
{
	Buffer		buf;
	VsChange	change;
	IvfMeta		meta;

	vs_read(s->index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_EXCLUSIVE, &buf);
	vs_change_begin(&change, s->index);
	meta = IvfPageMeta(vs_change_page(&change, buf, false));
	s->entry[0]->list = meta->next_list++;
	s->entry[1]->list = meta->next_list++;
	vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
}

/* ---- 2. copy, 3. make visible, 4. remove ---- */

static void
move_rows(Split *s)
{
	IvfRoute   *route = s->route;
	Buffer		dirbuf;
	BlockNumber room = room_in_directory(s, s->walk.rest_blkno == InvalidBlockNumber ? 1 : 2);
	Page		dir = vs_read(s->index, route->dir_blkno, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &dirbuf);
	IvfDirEntry e = IVF_DIR_ENTRY(dir, s->m->entry_size, route->dir_idx);
	bool		cut = s->walk.rest_blkno != InvalidBlockNumber;
	int			i;

	/* Inserts may have put new heads before the list, nothing else. */
	s->locked = true;
	if (e->list != route->list || !walk_list(s, e->head_blkno, e->head_idx))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a broken link in list %u",
						RelationGetRelationName(s->index), route->list),
				 errhint("Please REINDEX it.")));
	/* It was within the bound before and is beyond now: next time. */
	if (cut == (s->walk.rest_blkno != InvalidBlockNumber))
	{
		write_lists(s);
		if (cut)
			stamp_blocks(s, IVF_BLOCK_MOVING, FullTransactionIdFromU64(s->entry[0]->list));
		flip(s, dirbuf, room);
	}
	for (i = 0; i < s->walk.npages; i++)
		UnlockReleaseBuffer(s->walk.bufs[i]);
	UnlockReleaseBuffer(dirbuf);
}

/*
 * Both lists, block after block, each page in a record of its own. The last
 * block of a list has the empty slots, so it is the head.
 */
static void
write_lists(Split *s)
{
	IvfModel   *m = s->m;
	float	   *scratch = palloc(sizeof(float) * 3 * m->dim);
	uint8	   *bits = palloc(m->sdim / 8);
	SplitWriter w = {0};
	int			side;

	for (side = 0; side < 2; side++)
	{
		IvfDirEntry e = s->entry[side];
		IvfBlock	block = NULL;
		int			slot = VQ_BLOCK;
		int			i;

		for (i = 0; i < s->n; i++)
		{
			SplitRow   *row = &s->rows[i];
			VqBitFactors f;

			if (!row->present || row->side != side)
				continue;
			if (slot == VQ_BLOCK)
			{
				block = new_block(s, &w, e);
				slot = 0;
			}
			vq_bit_encode(row->x, s->c[side], m->dim, m->sdim, m->oc->metric, scratch, bits, &f);
			if (m->oc->metric == VQ_L2)
				f.add += row->shift;
			f.err = sqrtf(f.err * f.err + row->var);
			ivf_block_set(m, block, slot++, &f, bits, &row->tid, row->ref_blkno, row->ref_idx);
			e->rows++;
		}
	}
	close_page(&w);
}

/*
 * A new head for a list: on a page of the walk that has a free block, so that
 * splits leave no holes, or on a new page that both lists share.
 */
static IvfBlock
new_block(Split *s, SplitWriter *w, IvfDirEntry e)
{
	IvfModel   *m = s->m;
	IvfBlock	block;
	int			idx;

	while (w->page == NULL || (idx = ivf_free_block(m, s->heap, w->page)) < 0)
	{
		close_page(w);
		if (w->walked < s->walk.npages)
		{
			w->buf = s->walk.bufs[w->walked++];
			if (ivf_free_block(m, s->heap, BufferGetPage(w->buf)) < 0)
				continue;
			vs_change_begin(&w->change, s->index);
			w->page = vs_change_page(&w->change, w->buf, false);
		}
		else
		{
			w->buf = vs_new_page(s->index, s->heap);
			w->fresh = true;
			vs_change_begin(&w->change, s->index);
			w->page = vs_change_page(&w->change, w->buf, true);
			vs_page_init(w->page, VS_IVF_LIST, 0);
		}
	}
	block = IVF_BLOCK(w->page, m->sdim, idx);
	ivf_block_init(m, block, e->list);
	block->next_blkno = e->head_blkno;
	block->next_idx = e->head_idx;
	e->head_blkno = BufferGetBlockNumber(w->buf);
	e->head_idx = idx;
	return block;
}

static void
close_page(SplitWriter *w)
{
	if (w->page == NULL)
		return;
	vs_change_commit(&w->change);
	if (w->fresh)
		UnlockReleaseBuffer(w->buf);
	w->page = NULL;
}

/*
 * A directory page with room for some more entries: that of the old entry or
 * one that scans read later. Only splits add entries, so what is found stays.
 */
static BlockNumber
room_in_directory(Split *s, int entries)
{
	BlockNumber blkno = s->route->dir_blkno;

	while (blkno != InvalidBlockNumber)
	{
		BlockNumber here = blkno;
		Buffer		buf;
		Page		page = vs_read(s->index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
		bool		found = IvfPageDir(page)->count + entries <= (uint32) s->m->entries_per_page;

		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
		if (found)
			return here;
	}
	return InvalidBlockNumber;
}

/*
 * The record that makes the new lists visible: metapage, directory page of the
 * old entry, and the page (or, where a page holds one entry, two pages) that
 * the additional entries go to.
 */
static void
flip(Split *s, Buffer dirbuf, BlockNumber room)
{
	IvfModel   *m = s->m;
	BlockNumber dir_blkno = BufferGetBlockNumber(dirbuf);
	bool		cut = s->walk.rest_blkno != InvalidBlockNumber;
	int			done = cut ? 0 : 1; /* entries that have their place */
	Buffer		metabuf;
	Buffer		bufs[2] = {InvalidBuffer, InvalidBuffer};
	VsChange	change;
	Page		dir;
	Page		page;
	IvfDirEntry e;
	FullTransactionId now;
	int			i;

	/* Whoever holds a metapage lock waits for no other page of these. */
	if (room == InvalidBlockNumber)
	{
		for (i = 0; i < (2 - done + m->entries_per_page - 1) / m->entries_per_page; i++)
			bufs[i] = vs_new_page(s->index, s->heap);
	}
	else if (room != dir_blkno)
		vs_read(s->index, room, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &bufs[0]);
	vs_read(s->index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_EXCLUSIVE, &metabuf);
	now = ReadNextFullTransactionId();

	vs_change_begin(&change, s->index);
	page = vs_change_page(&change, metabuf, false);
	IvfPageMeta(page)->nlists += 2 - done;
	IvfPageMeta(page)->split_epoch++;
	dir = vs_change_page(&change, dirbuf, false);
	e = IVF_DIR_ENTRY(dir, m->entry_size, s->route->dir_idx);
	if (cut)
	{
		e->head_blkno = s->walk.rest_blkno;
		e->head_idx = s->walk.rest_idx;
		e->rows -= Min(e->rows, (uint32) s->walk.rows);
	}
	else
		memcpy(e, s->entry[0], m->entry_size);
	page = dir;
	for (i = 0; done < 2; i++)
	{
		if (BufferIsValid(bufs[i]))
			page = vs_change_page(&change, bufs[i], room == InvalidBlockNumber);
		if (room == InvalidBlockNumber)
		{
			vs_page_init(page, VS_IVF_DIR, s->route->part);
			vs_opaque(page)->next = vs_opaque(dir)->next;
			vs_opaque(dir)->next = BufferGetBlockNumber(bufs[i]);
		}
		while (done < 2 && IvfPageDir(page)->count < (uint32) m->entries_per_page)
			memcpy(IVF_DIR_ENTRY(page, m->entry_size, IvfPageDir(page)->count++),
				   s->entry[done++], m->entry_size);
	}
	vs_change_commit(&change);
	UnlockReleaseBuffer(metabuf);
	for (i = 0; i < 2; i++)
		if (BufferIsValid(bufs[i]))
			UnlockReleaseBuffer(bufs[i]);
	stamp_blocks(s, IVF_BLOCK_MOVED, now);
}

/* Marks the blocks that were walked, under the locks of the walk. */
static void
stamp_blocks(Split *s, uint16 flag, FullTransactionId stamp)
{
	SplitWalk  *w = &s->walk;
	int			p;
	int			i;

	for (p = 0; p < w->npages; p++)
	{
		VsChange	change;
		Page		page;

		vs_change_begin(&change, s->index);
		page = vs_change_page(&change, w->bufs[p], false);
		for (i = 0; i < s->m->blocks_per_page; i++)
		{
			if (!(w->blocks[p] & ((uint32) 1 << i)))
				continue;
			IVF_BLOCK(page, s->m->sdim, i)->flags = flag;
			IVF_BLOCK(page, s->m->sdim, i)->moved_at = stamp;
		}
		vs_change_commit(&change);
	}
}
