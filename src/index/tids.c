/*
 * tids.c -- rows that have no code, in chains of tids; every access method.
 *
 * What it is not: codes, or an order among such rows.
 *
 * A row goes to the head page of one of its sort's chains, chosen by backend.
 * VACUUM moves up what lives on a page and unlinks pages that became empty; a
 * head stays, so that only an insert ever changes the metapage.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "commands/vacuum.h"
#include "miscadmin.h"

#include "index/chain.h"
#include "index/order.h"
#include "index/tids.h"

#define META_BLKNO 0

int
vi_tids_sort(ViClass class)
{
	Assert(class != VI_FINITE);
	return class == VI_NAN ? VI_TIDS_NAN : VI_TIDS_WILD;
}

/* ---- insert ---- */

static void
put_tid(Page page, ItemPointer tid)
{
	ViTidsPage	tids = ViPageTids(page);

	vs_tid_set(&tids->tid[tids->count++], tid);
}

/* Into the head page; false if it is full, or no head any more. */
static bool
insert_in_head(Relation index, BlockNumber head, int sort, ItemPointer tid)
{
	Buffer		buf;
	Page		page = vs_read_if(index, head, VS_TIDS, BUFFER_LOCK_EXCLUSIVE, NULL, &buf);
	bool		fits;

	if (page == NULL)
		return false;
	fits = vs_opaque(page)->owner == (uint32) sort && ViPageTids(page)->count < VI_TIDS_PER_PAGE;
	if (fits)
	{
		VsChange	change;

		vs_change_begin(&change, index);
		put_tid(vs_change_page(&change, buf, false), tid);
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	return fits;
}

void
vi_tids_insert(Relation index, Relation heap, VsKind meta_kind, ViTidHeadsOf heads,
			   int sort, ItemPointer tid)
{
	int			chain = MyProcPid % VI_TIDS_CHAINS;
	BlockNumber head;
	Buffer		metabuf;
	Buffer		buf;
	Page		page;
	VsChange	change;

	page = vs_read(index, META_BLKNO, meta_kind, BUFFER_LOCK_SHARE, &metabuf);
	head = heads(page)->head[sort][chain];
	UnlockReleaseBuffer(metabuf);
	if (head != InvalidBlockNumber && insert_in_head(index, head, sort, tid))
		return;

	/* Meanwhile another backend may have put a new head: two heads do no harm. */
	page = vs_read(index, META_BLKNO, meta_kind, BUFFER_LOCK_EXCLUSIVE, &metabuf);
	head = heads(page)->head[sort][chain];
	buf = vs_new_page(index, heap);
	vs_change_begin(&change, index);
	page = vs_change_page(&change, buf, true);
	vs_page_init(page, VS_TIDS, sort);
	vs_opaque(page)->next = head;
	put_tid(page, tid);
	heads(vs_change_page(&change, metabuf, false))->head[sort][chain] = BufferGetBlockNumber(buf);
	vs_change_commit(&change);
	UnlockReleaseBuffer(buf);
	UnlockReleaseBuffer(metabuf);
}

/* ---- scan ---- */

ItemPointerData *
vi_tids_read(Relation index, const ViTidHeads *heads, int sort,
			 MemoryContext cxt, size_t *n, int64 *pages)
{
	ItemPointerData *all = NULL;
	size_t		cap = 0;
	int			chain;

	*n = 0;
	for (chain = 0; chain < VI_TIDS_CHAINS; chain++)
	{
		BlockNumber blkno = heads->head[sort][chain];
		ViWalk		walk = {0};

		while (blkno != InvalidBlockNumber)
		{
			Buffer		buf;
			Page		page;
			ViTidsPage	tids;
			uint32		i;

			CHECK_FOR_INTERRUPTS();
			vi_walk(index, &walk, blkno, 0);
			page = vs_read_if(index, blkno, VS_TIDS, BUFFER_LOCK_SHARE, NULL, &buf);
			if (page == NULL)
			{
				/* Emptied and freed since we read the link; the chain goes on. */
				page = vs_read_if(index, blkno, VS_FREE, BUFFER_LOCK_SHARE, NULL, &buf);
				if (page == NULL)
					vi_stale_link(index, blkno);
				blkno = vs_opaque(page)->next;
				UnlockReleaseBuffer(buf);
				continue;
			}
			if (vs_opaque(page)->owner != (uint32) sort)
			{
				UnlockReleaseBuffer(buf);
				vi_stale_link(index, blkno);
			}
			tids = ViPageTids(page);
			(*pages)++;
			all = vi_grow(cxt, all, &cap, *n + VI_TIDS_PER_PAGE, sizeof(ItemPointerData));
			for (i = 0; i < Min(tids->count, VI_TIDS_PER_PAGE); i++)
				if (!vs_tid_empty(&tids->tid[i]))
					vs_tid_get(&tids->tid[i], &all[(*n)++]);
			blkno = vs_opaque(page)->next;
			UnlockReleaseBuffer(buf);
		}
	}
	return all;
}

/* ---- build ---- */

void
vi_tids_build_begin(ViTidsBuild *b)
{
	int			sort;

	for (sort = 0; sort < VI_TIDS_SORTS; sort++)
	{
		b->head[sort] = InvalidBlockNumber;
		vs_page_init(b->page[sort].data, VS_TIDS, sort);
	}
}

bool
vi_tids_build_full(const ViTidsBuild *b, int sort)
{
	return ViPageTids((Page) b->page[sort].data)->count == VI_TIDS_PER_PAGE;
}

void
vi_tids_build_add(ViTidsBuild *b, VsBulk *bulk, int sort, ItemPointer tid)
{
	Page		page = b->page[sort].data;

	if (vi_tids_build_full(b, sort))
	{
		b->head[sort] = vs_bulk_append(bulk, page);
		vs_page_init(page, VS_TIDS, sort);
		vs_opaque(page)->next = b->head[sort];
	}
	put_tid(page, tid);
}

void
vi_tids_build_end(ViTidsBuild *b, VsBulk *bulk, ViTidHeads *heads)
{
	int			sort;
	int			chain;

	for (sort = 0; sort < VI_TIDS_SORTS; sort++)
	{
		Page		page = b->page[sort].data;

		for (chain = 0; chain < VI_TIDS_CHAINS; chain++)
			heads->head[sort][chain] = InvalidBlockNumber;
		if (ViPageTids(page)->count > 0)
			heads->head[sort][0] = vs_bulk_append(bulk, page);
	}
}

/* ---- vacuum ---- */

static bool
is_dead(const VsTid *tid, IndexBulkDeleteCallback callback, void *state)
{
	ItemPointerData at;

	if (callback == NULL)
		return false;
	vs_tid_get(tid, &at);
	return callback(&at, state);
}

/* Order means nothing here: what lives moves up. */
void
vi_tids_vacuum_page(Relation index, Buffer buf, IndexBulkDeleteCallback callback,
					void *state, IndexBulkDeleteResult *stats, double *live)
{
	ViTidsPage	tids = ViPageTids(BufferGetPage(buf));
	uint32		n = Min(tids->count, VI_TIDS_PER_PAGE);
	bool	   *gone = palloc0(sizeof(bool) * (n + 1));
	uint32		ngone = 0;
	uint32		i;

	for (i = 0; i < n; i++)
	{
		gone[i] = is_dead(&tids->tid[i], callback, state);
		ngone += gone[i];
	}
	*live += n - ngone;
	stats->tuples_removed += ngone;
	if (ngone > 0)
	{
		VsChange	change;
		uint32		to = 0;

		vs_change_begin(&change, index);
		tids = ViPageTids(vs_change_page(&change, buf, false));
		for (i = 0; i < n; i++)
			if (!gone[i])
				tids->tid[to++] = tids->tid[i];
		tids->count = to;
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	pfree(gone);
}

/* Takes the page after blkno out of the chain if it is empty; the next to look at. */
static BlockNumber
unlink_next(Relation index, BlockNumber blkno, ViWalk *walk)
{
	Buffer		buf;
	Buffer		nextbuf;
	Page		page = vs_read(index, blkno, VS_TIDS, BUFFER_LOCK_EXCLUSIVE, &buf);
	BlockNumber next = vs_opaque(page)->next;
	VsChange	change;

	/* It would be locked twice. */
	if (next == blkno)
		vi_broken_link(index, next);
	if (next == InvalidBlockNumber)
	{
		UnlockReleaseBuffer(buf);
		return next;
	}
	page = vs_read(index, next, VS_TIDS, BUFFER_LOCK_EXCLUSIVE, &nextbuf);
	if (ViPageTids(page)->count > 0)
	{
		UnlockReleaseBuffer(nextbuf);
		UnlockReleaseBuffer(buf);
		vi_walk(index, walk, next, 0);
		return next;
	}
	vs_change_begin(&change, index);
	vs_opaque(vs_change_page(&change, buf, false))->next = vs_opaque(page)->next;
	vs_page_free(vs_change_page(&change, nextbuf, false));
	vs_change_commit(&change);
	UnlockReleaseBuffer(nextbuf);
	UnlockReleaseBuffer(buf);
	vs_record_free(index, next);
	return blkno;
}

void
vi_tids_vacuum_unlink(Relation index, const ViTidHeads *heads)
{
	int			sort;
	int			chain;

	for (sort = 0; sort < VI_TIDS_SORTS; sort++)
		for (chain = 0; chain < VI_TIDS_CHAINS; chain++)
		{
			BlockNumber blkno = heads->head[sort][chain];
			ViWalk		walk = {0};

			while (blkno != InvalidBlockNumber)
			{
				vecpg_vacuum_delay();
				blkno = unlink_next(index, blkno, &walk);
			}
		}
}
