/*
 * hnswvacuum.c -- ambulkdelete and amvacuumcleanup: the passes over the index.
 *
 * What it is not: the edges of records (hnswcut.c), chains of rows (hnswrows.c),
 * or rows without code (index/tids.c).
 *
 *   1  Over all pages: dead rows leave their records. A record without rows
 *      becomes DEAD, and so does its vector on the upper layers: walks go
 *      through it still, nobody gives it out or links to it anew.
 *   2  Inserts that may have chosen such a record when it was alive are waited
 *      for: once, by the heavyweight lock that they hold in share mode.
 *   3  The entry moves if it is dead; edges to dead records are removed, and
 *      lists that become short are repaired.
 *   4  Nothing leads to dead records any more: they are FREED, with a stamp.
 *
 * What is dead is a bit per slot, so memory is small and bounded. Each step is a
 * WAL record that leaves a valid graph; a VACUUM that is cut short leaves DEAD
 * records, which the next one finds. Upper records are freed before their base
 * records, so that none ever points to a slot that was used again.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "commands/vacuum.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

#include "am/hnsw/hnswvacuum.h"

static void sweep(HnswVacuum *v);
static void remove_rows(HnswVacuum *v);
static void vacuum_base_page(HnswVacuum *v, Buffer buf);
static bool row_gone(HnswVacuum *v, HnswNode node);
static void free_rows_pages(HnswVacuum *v);
static void mark_upper(HnswVacuum *v);
static void mark_upper_page(HnswVacuum *v, Buffer buf);
static void wait_for_inserts(HnswVacuum *v);
static void move_entry(HnswVacuum *v);
static uint32 any_living(HnswVacuum *v);
static void free_dead(HnswVacuum *v, int layer);

IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *state)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum",
											  ALLOCSET_DEFAULT_SIZES);
	HnswVacuum	v = {info};
	MemoryContext old;
	int			i;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	old = MemoryContextSwitchTo(cxt);
	v.stats = stats;
	v.callback = callback;
	v.state = state;
	v.index = info->index;
	v.heap = vecpg_vacuum_heap(info);
	v.cxt = cxt;
	v.record_cxt = AllocSetContextCreate(cxt, "hnsw repair", ALLOCSET_DEFAULT_SIZES);
	for (i = 0; i < 2; i++)
		v.dead[i].cxt = v.live[i].cxt = v.linked[i].cxt = cxt;
	v.upper_pages.cxt = v.rows_pages.cxt = cxt;
	v.m = hnsw_model_get(v.index, &v.meta, cxt);
	v.wide = palloc(v.m->layout[0].size);
	sweep(&v);
	stats->num_index_tuples = v.rows;
	stats->estimated_count = false;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return stats;
}

IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		/* Nothing was deleted: every heap row has its entry. */
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = info->estimated_count;
	}
	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}

static void
sweep(HnswVacuum *v)
{
	remove_rows(v);
	free_rows_pages(v);
	hnsw_meta_read(v->index, &v->meta);
	vi_tids_vacuum_unlink(v->index, &v->meta.tids);
	if (!v->dead[0].any)
		return;
	mark_upper(v);
	wait_for_inserts(v);
	move_entry(v);
	hnsw_cut_edges(v);
	free_dead(v, 1);
	free_dead(v, 0);
}

/* ---- bits ---- */

void
hnsw_bit_set(HnswBits *bits, uint32 i)
{
	if (i >= bits->n)
	{
		uint64		n = Max(2 * bits->n, (uint64) i + 1);
		Size		bytes = (Size) (n / 8 + 1);
		uint8	   *map = MemoryContextAllocExtended(bits->cxt, bytes,
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

		if (bits->map != NULL)
		{
			memcpy(map, bits->map, bits->n / 8 + 1);
			pfree(bits->map);
		}
		bits->map = map;
		bits->n = n;
	}
	bits->map[i / 8] |= 1 << (i % 8);
	bits->any = true;
}

bool
hnsw_bit_next(const HnswBits *bits, uint32 from, uint32 *i)
{
	uint64		at;

	for (at = from; at < bits->n; at++)
		if (bits->map[at / 8] == 0)
			at |= 7;			/* the loop goes on to the next byte */
		else if (hnsw_bit(bits, (uint32) at))
		{
			*i = (uint32) at;
			return true;
		}
	return false;
}

/* ---- 1: dead rows ---- */

Page
hnsw_vacuum_page(HnswVacuum *v, BlockNumber blkno, int *kind, Buffer *buf)
{
	vecpg_vacuum_delay();
	*buf = ReadBufferExtended(v->index, MAIN_FORKNUM, blkno, RBM_NORMAL, v->info->strategy);
	LockBuffer(*buf, BUFFER_LOCK_EXCLUSIVE);
	*kind = vs_kind(v->index, *buf);
	return BufferGetPage(*buf);
}

static void
remove_rows(HnswVacuum *v)
{
	BlockNumber blkno;
	BlockNumber blocks;
	Buffer		buf;
	int			kind;

	v->stats->pages_free = 0;
	/* Inserts may add pages while we go; their rows are young, but CREATE
	 * INDEX CONCURRENTLY wants to see every tid. */
	for (blkno = HNSW_META_BLKNO + 1; blkno < (blocks = RelationGetNumberOfBlocks(v->index));)
		for (; blkno < blocks; blkno++)
		{
			hnsw_vacuum_page(v, blkno, &kind, &buf);
			switch (kind)
			{
				case VS_HNSW_BASE:
					vacuum_base_page(v, buf);
					continue;
				case VS_TIDS:
					vi_tids_vacuum_page(v->index, buf, v->callback, v->state, v->stats, &v->rows);
					continue;
				case VS_HNSW_UPPER:
					hnsw_bit_set(&v->upper_pages, blkno);
					break;
				case VS_HNSW_ROWS:
					hnsw_bit_set(&v->rows_pages, blkno);
					break;
				case VS_FREE:
				case 0:
					/* A new page is one whose insert failed after extending. */
					vs_record_free(v->index, blkno);
					v->stats->pages_free++;
					break;
			}
			UnlockReleaseBuffer(buf);
		}
}

/* Removes dead rows of the page's records; releases it. */
static void
vacuum_base_page(HnswVacuum *v, Buffer buf)
{
	const HnswLayout *l = &v->m->layout[0];
	Page		page = BufferGetPage(buf);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	bool	   *inline_gone = MemoryContextAllocZero(v->cxt, l->per_page);
	bool	   *die = MemoryContextAllocZero(v->cxt, l->per_page);
	bool		gap = false;
	VsChange	change;
	bool		open = false;
	int			slot;

	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node = HNSW_NODE(page, l, slot);

		if (node->state == HNSW_EMPTY || node->state == HNSW_FREED)
			gap = true;
		if (node->state == HNSW_DEAD)
			hnsw_bit_set(&v->dead[0], HNSW_NUMBER(l, blkno, slot));
		if (node->state != HNSW_LIVE)
			continue;
		if (node->u.rows != HNSW_NONE)
			hnsw_vacuum_chain(v->index, buf, l, slot, v->callback, v->state, v->stats);
		inline_gone[slot] = row_gone(v, node);
		die[slot] = node->u.rows == HNSW_NONE && (inline_gone[slot] || vs_tid_empty(&node->tid));
		if (die[slot])
			hnsw_bit_set(&v->dead[0], HNSW_NUMBER(l, blkno, slot));
		else
			v->rows += node->count - inline_gone[slot];
	}
	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node;

		if (!inline_gone[slot] && !die[slot])
			continue;
		if (!open)
			vs_change_begin(&change, v->index);
		open = true;
		node = HNSW_NODE(vs_change_page(&change, buf, false), l, slot);
		memset(&node->tid, 0, sizeof(VsTid));
		node->count = die[slot] ? 0 : node->count - 1;
		if (die[slot])
			node->state = HNSW_DEAD;
	}
	if (open)
		vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
	vs_note_space(v->index, blkno, gap ? hnsw_space_of(l->kind) : 0);
	pfree(inline_gone);
	pfree(die);
}

/* Whether the inline row is there and dead. */
static bool
row_gone(HnswVacuum *v, HnswNode node)
{
	if (vs_tid_empty(&node->tid) || !hnsw_row_dead(&node->tid, v->callback, v->state))
		return false;
	v->stats->tuples_removed++;
	return true;
}

/* Pages of chunks: only now have all chains let go of theirs. */
static void
free_rows_pages(HnswVacuum *v)
{
	BlockNumber blkno;

	for (blkno = 0; hnsw_bit_next(&v->rows_pages, blkno, &blkno); blkno++)
	{
		Buffer		buf;
		int			kind;

		hnsw_vacuum_page(v, blkno, &kind, &buf);
		if (kind == VS_HNSW_ROWS)
			hnsw_vacuum_rows_page(v->index, buf, v->stats);
		else
			UnlockReleaseBuffer(buf);
	}
}

/* ---- 1, upper layers: records whose vector is dead ---- */

static void
mark_upper(HnswVacuum *v)
{
	BlockNumber blkno;

	for (blkno = 0; hnsw_bit_next(&v->upper_pages, blkno, &blkno); blkno++)
	{
		Buffer		buf;
		int			kind;

		hnsw_vacuum_page(v, blkno, &kind, &buf);
		if (kind == VS_HNSW_UPPER)
			mark_upper_page(v, buf);
		else
			UnlockReleaseBuffer(buf);
	}
}

static void
mark_upper_page(HnswVacuum *v, Buffer buf)
{
	const HnswLayout *l = &v->m->layout[1];
	Page		page = BufferGetPage(buf);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	VsChange	change;
	bool		open = false;
	bool		gap = false;
	int			slot;

	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node = HNSW_NODE(page, l, slot);
		uint32		number = HNSW_NUMBER(l, blkno, slot);

		if (node->state == HNSW_EMPTY || node->state == HNSW_FREED)
		{
			gap = true;
			continue;
		}
		if (node->state == HNSW_LIVE && !hnsw_bit(&v->dead[0], node->u.base))
		{
			if (node->level > v->high_level)
			{
				v->high = number;
				v->high_level = node->level;
			}
			continue;
		}
		hnsw_bit_set(&v->dead[1], number);
		if (node->state == HNSW_DEAD)
			continue;
		if (!open)
			vs_change_begin(&change, v->index);
		open = true;
		HNSW_NODE(vs_change_page(&change, buf, false), l, slot)->state = HNSW_DEAD;
	}
	if (open)
		vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
	vs_note_space(v->index, blkno, gap ? hnsw_space_of(l->kind) : 0);
}

/* ---- 2 ---- */

static void
wait_for_inserts(HnswVacuum *v)
{
	LockPage(v->index, HNSW_META_BLKNO, ExclusiveLock);
	UnlockPage(v->index, HNSW_META_BLKNO, ExclusiveLock);
}

/* ---- 3: the entry ---- */

/*
 * If the entry is dead, another record takes its place, or none if nothing lives.
 * An insert that found nothing alive may have become the entry meanwhile.
 */
static void
move_entry(HnswVacuum *v)
{
	uint32		entry;
	int			level;
	uint32		other;
	Buffer		buf;
	Page		page;

	hnsw_meta_read(v->index, &v->meta);
	entry = v->meta.entry;
	level = v->meta.entry_level;
	if (entry == HNSW_NONE || !hnsw_bit(&v->dead[level > 0], entry))
		return;
	other = v->high_level > 0 ? v->high : any_living(v);
	page = vs_read(v->index, HNSW_META_BLKNO, VS_HNSW_META, BUFFER_LOCK_EXCLUSIVE, &buf);
	if (HnswPageMeta(page)->entry == entry && HnswPageMeta(page)->entry_level == level)
	{
		VsChange	change;
		HnswMeta	meta;

		vs_change_begin(&change, v->index);
		meta = HnswPageMeta(vs_change_page(&change, buf, false));
		meta->entry = other;
		meta->entry_level = other == HNSW_NONE ? 0 : v->high_level;
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	hnsw_meta_read(v->index, &v->meta);
}

/*
 * A living record of the base layer. Looked for now, not in the first pass: an
 * insert may have linked to a record that died later, and be the only one alive.
 */
static uint32
any_living(HnswVacuum *v)
{
	const HnswLayout *l = &v->m->layout[0];
	BlockNumber blkno;

	for (blkno = HNSW_META_BLKNO + 1; blkno < RelationGetNumberOfBlocks(v->index); blkno++)
	{
		Buffer		buf;
		int			kind;
		Page		page = hnsw_vacuum_page(v, blkno, &kind, &buf);
		int			slot;

		for (slot = 0; kind == VS_HNSW_BASE && slot < l->per_page; slot++)
			if (HNSW_NODE(page, l, slot)->state == HNSW_LIVE)
			{
				UnlockReleaseBuffer(buf);
				return HNSW_NUMBER(l, blkno, slot);
			}
		UnlockReleaseBuffer(buf);
	}
	return HNSW_NONE;
}

/* ---- 4 ---- */

static void
free_dead(HnswVacuum *v, int layer)
{
	const HnswLayout *l = &v->m->layout[layer];
	const HnswBits *dead = &v->dead[layer];
	uint32		number;

	for (number = 0; hnsw_bit_next(dead, number, &number);)
	{
		BlockNumber blkno = HNSW_BLKNO(l, number);
		VsChange	change;
		Buffer		buf;
		Page		page;
		int			kind;
		int			slot;

		hnsw_vacuum_page(v, blkno, &kind, &buf);
		if (kind != (int) l->kind)
			elog(ERROR, "index \"%s\": block %u is not of kind \"%s\" any more",
				 RelationGetRelationName(v->index), blkno, vs_kind_name(l->kind));
		vs_change_begin(&change, v->index);
		page = vs_change_page(&change, buf, false);
		for (slot = 0; slot < l->per_page; slot++)
		{
			HnswNode	node = HNSW_NODE(page, l, slot);

			if (node->state != HNSW_DEAD || !hnsw_bit(dead, HNSW_NUMBER(l, blkno, slot)))
				continue;
			node->state = HNSW_FREED;
			node->v.freed = ReadNextFullTransactionId();
		}
		vs_change_commit(&change);
		UnlockReleaseBuffer(buf);
		hnsw_record_space(v->index, l->kind, blkno, true);
		number = HNSW_NUMBER(l, blkno + 1, 0);
	}
}
