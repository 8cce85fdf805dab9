/*
 * ivfvacuum.c -- ambulkdelete and amvacuumcleanup.
 *
 * What it is not: a reorganisation; lists are split by inserts (ivfsplit.c)
 * and partitions are fixed until REINDEX.
 *
 * One sequential pass over all pages, whatever their kind: slots of dead rows
 * are emptied in blocks, refine pages and pages of rows without code. Slots
 * are reused in place by later inserts; refine pages with gaps go to the free
 * space map. A refine slot may be reused before the pass has met the list
 * entry that points to it: the tid in the slot tells scans apart.
 *
 * Then blocks that became empty are taken out of their lists' chains, under
 * the locks of the two pages concerned, and marked moved: scans on their way
 * find them as they were, and they are free behind the xid horizon. Pages of
 * which every block is free, and empty refine pages, become free pages.
 *
 * Splits leave moved blocks behind where nothing was ever deleted, so a VACUUM
 * that has no dead rows makes the pass too if there were splits.
 *
 * The heavyweight lock on the metapage keeps splits away (see ivfsplit.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/genam.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "am/ivf/ivf.h"
#include "index/chain.h"

typedef struct IvfVacuum
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *state;
	Relation	index;
	Relation	heap;			/* may be NULL */
	IvfModel   *m;
	IvfMetaData meta;
	uint8	   *named;			/* bit per list number: in the directory */
	uint8	   *emptied;		/* bit per list number: has an empty block */
	uint32		numbers;		/* list numbers below this are in the maps */
	double		live;

	/* wide rows: pages that go on with a row, and pages that a link leads to */
	uint8	   *rest;			/* bit per block; NULL: rows fit a page */
	uint8	   *linked;
	BlockNumber mapped;			/* blocks below this are in the maps */
	TransactionId oldest;		/* older transactions had ended when we began */

	bool		waiting;		/* some moved block is not behind the horizon */
} IvfVacuum;

static void advise_reindex(Relation index);
static void sweep(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				  IndexBulkDeleteCallback callback, void *state);
static void note_sweep(IvfVacuum *v);
static bool is_dead(IvfVacuum *v, const VsTid *tid);
static void find_named(IvfVacuum *v);
static void vacuum_page(IvfVacuum *v, BlockNumber blkno);
static void vacuum_list_page(IvfVacuum *v, Buffer buf);
static void vacuum_refine_page(IvfVacuum *v, Buffer buf);
static void free_lost_rests(IvfVacuum *v);
static void unlink_empty_blocks(IvfVacuum *v);
static void unlink_in_list(IvfVacuum *v, BlockNumber dir_blkno, int dir_idx);
static bool block_empty(IvfBlock block);

#define BIT_SET(map, i) ((map)[(i) / 8] |= 1 << ((i) % 8))
#define BIT_TEST(map, i) ((map)[(i) / 8] & (1 << ((i) % 8)))

/* Where one directory for all lists begins to cost more than a scan's lists. */
#define OUTGROWN_LISTS 1000
#define OUTGROWN_TIMES 8

IndexBulkDeleteResult *
ivfbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			  IndexBulkDeleteCallback callback, void *state)
{
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	sweep(info, stats, callback, state);
	return stats;
}

IndexBulkDeleteResult *
ivfvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		IvfMetaData meta;

		stats = palloc0(sizeof(IndexBulkDeleteResult));
		ivf_meta_read(info->index, &meta);
		if (meta.swept_epoch != meta.split_epoch)
			sweep(info, stats, NULL, NULL);
		/* Nothing was deleted: every heap row has its entry. */
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = info->estimated_count;
	}
	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	advise_reindex(info->index);
	return stats;
}

/*
 * Partitions do not grow with the lists: an index built on few rows, or none,
 * ends up with thousands of lists in a place or two, and every scan and insert
 * looks at them all.
 */
static void
advise_reindex(Relation index)
{
	IvfMetaData meta;

	ivf_meta_read(index, &meta);
	if (meta.nlists < OUTGROWN_LISTS || meta.nlists < OUTGROWN_TIMES * meta.curve[0].lists)
		return;
	ereport(vecpg_is_autovacuum() ? LOG : NOTICE,
			(errmsg("index \"%s\" has outgrown its build", RelationGetRelationName(index)),
			 errdetail("It was built with %u lists and has %u now.", meta.curve[0].lists, meta.nlists),
			 errhint("REINDEX INDEX CONCURRENTLY makes it faster.")));
}

/* The pass over all pages; callback NULL: no row is dead. */
static void
sweep(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
	  IndexBulkDeleteCallback callback, void *state)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	IvfVacuum	v = {info};
	BlockNumber blkno;
	BlockNumber blocks;

	v.stats = stats;
	v.callback = callback;
	v.state = state;
	v.index = info->index;
	v.heap = vecpg_vacuum_heap(info);

	LockPage(v.index, IVF_META_BLKNO, ExclusiveLock);
	v.m = ivf_model_get(v.index, &v.meta);
	ivf_model_release_with(v.m, cxt);
	find_named(&v);
	if (v.m->refine_size > VS_USABLE)
	{
		v.oldest = GetOldestNonRemovableTransactionId(v.heap);
		v.mapped = RelationGetNumberOfBlocks(v.index);
		v.rest = MemoryContextAllocHuge(cxt, v.mapped / 8 + 1);
		v.linked = MemoryContextAllocHuge(cxt, v.mapped / 8 + 1);
		memset(v.rest, 0, v.mapped / 8 + 1);
		memset(v.linked, 0, v.mapped / 8 + 1);
	}
	stats->pages_free = 0;
	/* Inserts may add pages while we go; their rows are young, but CREATE
	 * INDEX CONCURRENTLY wants to see every tid. */
	for (blkno = IVF_META_BLKNO + 1; blkno < (blocks = RelationGetNumberOfBlocks(v.index));)
		for (; blkno < blocks; blkno++)
		{
			vecpg_vacuum_delay();
			vacuum_page(&v, blkno);
		}
	free_lost_rests(&v);
	unlink_empty_blocks(&v);
	ivf_meta_read(v.index, &v.meta);
	vi_tids_vacuum_unlink(v.index, &v.meta.tids);
	if (!v.waiting)
		note_sweep(&v);
	UnlockPage(v.index, IVF_META_BLKNO, ExclusiveLock);

	stats->num_index_tuples = v.live;
	stats->estimated_count = false;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* No moved block is left: until the next split there is nothing to sweep. */
static void
note_sweep(IvfVacuum *v)
{
	Buffer		buf;
	VsChange	change;

	if (v->meta.swept_epoch == v->meta.split_epoch)
		return;
	vs_read(v->index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_EXCLUSIVE, &buf);
	vs_change_begin(&change, v->index);
	IvfPageMeta(vs_change_page(&change, buf, false))->swept_epoch = v->meta.split_epoch;
	vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
}

/* Which list numbers the directory names: the rest is left over from crashes. */
static void
find_named(IvfVacuum *v)
{
	int			part;

	v->numbers = v->meta.next_list;
	v->named = palloc0(v->numbers / 8 + 1);
	v->emptied = palloc0(v->numbers / 8 + 1);
	for (part = 0; part < v->m->nparts; part++)
	{
		BlockNumber blkno = v->m->part_head[part];
		ViWalk		walk = {0};

		while (blkno != InvalidBlockNumber)
		{
			Buffer		buf;
			Page		page = vs_read(v->index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
			uint32		i;

			vi_walk(v->index, &walk, blkno, 0);
			for (i = 0; i < Min(IvfPageDir(page)->count, (uint32) v->m->entries_per_page); i++)
			{
				uint32		list = IVF_DIR_ENTRY(page, v->m->entry_size, i)->list;

				if (list < v->numbers)
					BIT_SET(v->named, list);
			}
			blkno = vs_opaque(page)->next;
			UnlockReleaseBuffer(buf);
		}
	}
}

/* Whether VACUUM removes the row. */
static bool
is_dead(IvfVacuum *v, const VsTid *tid)
{
	ItemPointerData at;

	if (v->callback == NULL)
		return false;
	vs_tid_get(tid, &at);
	return v->callback(&at, v->state);
}

static void
vacuum_page(IvfVacuum *v, BlockNumber blkno)
{
	Buffer		buf = ReadBufferExtended(v->index, MAIN_FORKNUM, blkno, RBM_NORMAL,
										 v->info->strategy);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	switch (vs_kind(v->index, buf))
	{
		case VS_IVF_LIST:
			vacuum_list_page(v, buf);
			break;
		case VS_IVF_REFINE:
			vacuum_refine_page(v, buf);
			break;
		case VS_TIDS:
			vi_tids_vacuum_page(v->index, buf, v->callback, v->state, v->stats, &v->live);
			break;
		case VS_FREE:
		case 0:
			/* A new page is one whose insert failed after extending. */
			UnlockReleaseBuffer(buf);
			vs_record_free(v->index, blkno);
			v->stats->pages_free++;
			break;
		default:
			UnlockReleaseBuffer(buf);
			break;
	}
}

static bool
block_empty(IvfBlock block)
{
	int			i;

	for (i = 0; i < VQ_BLOCK; i++)
		if (!vs_tid_empty(&block->tid[i]))
			return false;
	return true;
}

/* Whether a split that a crash cut short has copied the block's rows. */
static bool
left_behind(IvfVacuum *v, IvfBlock block)
{
	if (block->list < v->numbers && !BIT_TEST(v->named, block->list))
		return true;
	if (block->flags & IVF_BLOCK_MOVING)
	{
		uint64		to = U64FromFullTransactionId(block->moved_at);

		return to < v->numbers && BIT_TEST(v->named, to);
	}
	return false;
}

/* Marks a block as taken out, in the page copy of an open change. */
static void
take_out(IvfVacuum *v, IvfBlock block)
{
	block->flags = IVF_BLOCK_MOVED;
	block->moved_at = ReadNextFullTransactionId();
	v->waiting = true;
}

static void
vacuum_list_page(IvfVacuum *v, Buffer buf)
{
	IvfModel   *m = v->m;
	Page		page = BufferGetPage(buf);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	uint32	   *gone = palloc0(sizeof(uint32) * m->blocks_per_page);	/* dead slots */
	bool	   *freed = palloc0(sizeof(bool) * m->blocks_per_page);
	bool	   *orphan = palloc0(sizeof(bool) * m->blocks_per_page);
	bool	   *stay = palloc0(sizeof(bool) * m->blocks_per_page);
	bool		change_page = false;
	int			nfree = 0;
	int			i;
	int			j;

	for (i = 0; i < m->blocks_per_page; i++)
	{
		IvfBlock	block = IVF_BLOCK(page, m->sdim, i);

		if (block->list == 0)
		{
			nfree++;
			continue;
		}
		if (block->flags & IVF_BLOCK_MOVED)
		{
			freed[i] = GlobalVisCheckRemovableFullXid(v->heap, block->moved_at);
			nfree += freed[i];
			change_page |= freed[i];
			v->waiting |= !freed[i];
			continue;
		}
		if (left_behind(v, block))
		{
			orphan[i] = change_page = v->waiting = true;
			continue;
		}
		stay[i] = (block->flags & IVF_BLOCK_MOVING) != 0;
		change_page |= stay[i];
		for (j = 0; j < VQ_BLOCK; j++)
		{
			if (vs_tid_empty(&block->tid[j]))
				continue;
			if (is_dead(v, &block->tid[j]))
				gone[i] |= (uint32) 1 << j;
			else
				v->live++;
		}
		change_page |= gone[i] != 0;
	}
	if (change_page)
	{
		VsChange	change;

		vs_change_begin(&change, v->index);
		page = vs_change_page(&change, buf, false);
		for (i = 0; i < m->blocks_per_page; i++)
		{
			IvfBlock	block = IVF_BLOCK(page, m->sdim, i);

			if (freed[i])
				memset(block, 0, offsetof(IvfBlockData, codes));
			if (orphan[i])
				take_out(v, block);
			if (stay[i])
				block->flags = 0;
			for (j = 0; j < VQ_BLOCK; j++)
				if (gone[i] & ((uint32) 1 << j))
				{
					ivf_block_clear(block, j);
					v->stats->tuples_removed++;
				}
			if (gone[i] && block_empty(block) && block->list < v->numbers)
				BIT_SET(v->emptied, block->list);
		}
		if (nfree == m->blocks_per_page)
			vs_page_free(page);
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	if (nfree == m->blocks_per_page && change_page)
	{
		vs_record_free(v->index, blkno);
		v->stats->pages_newly_deleted++;
	}
	pfree(gone);
	pfree(freed);
	pfree(orphan);
	pfree(stay);
}

/* A wide row (several pages) is freed page by page, each in its own record. */
static void
free_wide_rest(IvfVacuum *v, BlockNumber blkno)
{
	while (blkno != InvalidBlockNumber)
	{
		Buffer		buf;
		Page		page = vs_read_if(v->index, blkno, VS_IVF_REFINE, BUFFER_LOCK_EXCLUSIVE,
									  v->info->strategy, &buf);
		VsChange	change;
		BlockNumber here = blkno;

		if (page == NULL)
			return;
		if (!(vs_opaque(page)->flags & IVF_REFINE_REST))
		{
			/* Never a row's first page, whatever a damaged link says. */
			UnlockReleaseBuffer(buf);
			return;
		}
		blkno = vs_opaque(page)->next;
		vs_change_begin(&change, v->index);
		vs_page_free(vs_change_page(&change, buf, true));
		vs_change_commit(&change);
		UnlockReleaseBuffer(buf);
		vs_record_free(v->index, here);
	}
}

static void
vacuum_refine_page(IvfVacuum *v, Buffer buf)
{
	IvfModel   *m = v->m;
	Page		page = BufferGetPage(buf);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	BlockNumber rest = vs_opaque(page)->next;
	uint8	   *gone;
	int			ngone = 0;
	int			nfree = 0;
	int			i;

	if (m->refine_per_page == 0 || (vs_opaque(page)->flags & IVF_REFINE_REST))
	{
		if (v->rest && blkno < v->mapped)
			BIT_SET(v->rest, blkno);
		if (v->rest && rest < v->mapped)
			BIT_SET(v->linked, rest);
		UnlockReleaseBuffer(buf);
		return;
	}
	if (v->rest && rest < v->mapped)
		BIT_SET(v->linked, rest);
	gone = palloc0(m->refine_per_page);
	for (i = 0; i < m->refine_per_page; i++)
	{
		IvfRefine	row = IVF_REFINE(page, m->refine_size, i);

		if (vs_tid_empty(&row->tid))
			nfree++;
		else if (is_dead(v, &row->tid))
		{
			gone[i] = 1;
			ngone++;
			nfree++;
		}
	}
	if (ngone > 0)
	{
		VsChange	change;

		vs_change_begin(&change, v->index);
		page = vs_change_page(&change, buf, false);
		for (i = 0; i < m->refine_per_page; i++)
			if (gone[i])
				memset(&IVF_REFINE(page, m->refine_size, i)->tid, 0, sizeof(VsTid));
		if (nfree == m->refine_per_page)
			vs_page_free(page);
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	if (m->refine_size > VS_USABLE && ngone > 0)
		free_wide_rest(v, rest);
	if (nfree == m->refine_per_page && ngone > 0)
		vs_record_free(v->index, blkno);
	else if (nfree > 0)
		vs_record_space(v->index, blkno, nfree * m->refine_size);
	pfree(gone);
}

/*
 * Pages that go on with a row to which no page leads: their insert failed or a
 * crash cut it short, before the first page of the row was written. The owner
 * is the transaction that wrote them; while that runs, the link may come yet.
 */
static void
free_lost_rests(IvfVacuum *v)
{
	BlockNumber blkno;

	for (blkno = 0; blkno < v->mapped; blkno++)
	{
		Buffer		buf;
		Page		page;

		if (!BIT_TEST(v->rest, blkno) || BIT_TEST(v->linked, blkno))
			continue;
		vecpg_vacuum_delay();
		page = vs_read_if(v->index, blkno, VS_IVF_REFINE, BUFFER_LOCK_EXCLUSIVE,
						  v->info->strategy, &buf);
		if (page == NULL)
			continue;
		if (!(vs_opaque(page)->flags & IVF_REFINE_REST) ||
			!TransactionIdPrecedes(vs_opaque(page)->owner, v->oldest))
		{
			UnlockReleaseBuffer(buf);
			continue;
		}
		/* With all that only it leads to. */
		UnlockReleaseBuffer(buf);
		free_wide_rest(v, blkno);
	}
}

/* ---- empty blocks leave their chains ---- */

static void
unlink_empty_blocks(IvfVacuum *v)
{
	int			part;

	for (part = 0; part < v->m->nparts; part++)
	{
		BlockNumber blkno = v->m->part_head[part];
		ViWalk		walk = {0};

		while (blkno != InvalidBlockNumber)
		{
			Buffer		buf;
			Page		page = vs_read(v->index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
			int			n = Min(IvfPageDir(page)->count, (uint32) v->m->entries_per_page);
			bool	   *emptied = palloc0(sizeof(bool) * (n + 1));
			BlockNumber here = blkno;
			int			i;

			vi_walk(v->index, &walk, blkno, 0);
			for (i = 0; i < n; i++)
			{
				uint32		list = IVF_DIR_ENTRY(page, v->m->entry_size, i)->list;

				emptied[i] = list < v->numbers && BIT_TEST(v->emptied, list);
			}
			blkno = vs_opaque(page)->next;
			UnlockReleaseBuffer(buf);
			for (i = 0; i < n; i++)
				if (emptied[i])
				{
					vecpg_vacuum_delay();
					unlink_in_list(v, here, i);
				}
			pfree(emptied);
		}
	}
}

/*
 * Walks a chain and takes out every empty block. The page of the link before
 * it (directory page or list page) stays locked until the link is final; the
 * directory page keeps inserts from putting a new head meanwhile.
 */
static void
unlink_in_list(IvfVacuum *v, BlockNumber dir_blkno, int dir_idx)
{
	IvfModel   *m = v->m;
	Buffer		dirbuf;
	Page		dir = vs_read(v->index, dir_blkno, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &dirbuf);
	IvfDirEntry e = IVF_DIR_ENTRY(dir, m->entry_size, dir_idx);
	Buffer		prevbuf = InvalidBuffer;	/* page of the block before */
	int			previdx = 0;
	BlockNumber blkno = e->head_blkno;
	int			idx = e->head_idx;
	uint32		list = e->list;
	ViWalk		walk = {0};

	while (blkno != InvalidBlockNumber)
	{
		bool		same = BufferIsValid(prevbuf) && BufferGetBlockNumber(prevbuf) == blkno;
		Buffer		buf = prevbuf;
		IvfBlock	block;
		int			here = idx;

		/* Before it is locked twice: the directory page is locked already. */
		if (blkno == dir_blkno || idx >= m->blocks_per_page)
			vi_broken_link(v->index, blkno);
		vi_walk(v->index, &walk, blkno, idx);
		if (!same)
			vs_read(v->index, blkno, VS_IVF_LIST, BUFFER_LOCK_EXCLUSIVE, &buf);
		block = IVF_BLOCK(BufferGetPage(buf), m->sdim, idx);
		if (block->list != list || (block->flags & IVF_BLOCK_MOVED))
			vi_broken_link(v->index, blkno);
		blkno = block->next_blkno;
		idx = block->next_idx;
		if (block_empty(block))
		{
			VsChange	change;
			Page		page;
			Page		prev;

			vs_change_begin(&change, v->index);
			page = vs_change_page(&change, buf, false);
			take_out(v, IVF_BLOCK(page, m->sdim, here));
			dir = vs_change_page(&change, dirbuf, false);
			e = IVF_DIR_ENTRY(dir, m->entry_size, dir_idx);
			e->rows -= Min(e->rows, VQ_BLOCK);
			if (BufferIsValid(prevbuf))
			{
				prev = same ? page : vs_change_page(&change, prevbuf, false);
				IVF_BLOCK(prev, m->sdim, previdx)->next_blkno = blkno;
				IVF_BLOCK(prev, m->sdim, previdx)->next_idx = idx;
			}
			else
			{
				e->head_blkno = blkno;
				e->head_idx = idx;
			}
			vs_change_commit(&change);
			if (!same)
				UnlockReleaseBuffer(buf);
			continue;
		}
		if (BufferIsValid(prevbuf) && !same)
			UnlockReleaseBuffer(prevbuf);
		prevbuf = buf;
		previdx = here;
	}
	if (BufferIsValid(prevbuf))
		UnlockReleaseBuffer(prevbuf);
	UnlockReleaseBuffer(dirbuf);
}
