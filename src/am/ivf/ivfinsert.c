/*
 * ivfinsert.c -- aminsert: one row into its list, or into the rows without code.
 *
 * What it is not: the choice of the list (ivfroute.c) or its split (ivfsplit.c),
 * or the pages of rows without code (index/tids.c).
 *
 * A row changes two pages in one WAL record: a slot of its list's block and a
 * slot of a refine page. Only when the list has no empty slot does a new block
 * come before its head, and the directory entry changes with it. No list is
 * read: the head block has the empty slots, and only the next few blocks are
 * looked at for slots that vacuum emptied.
 *
 * Lock order: directory pages in chain order, list pages in chain order, refine
 * page, new page, metapage. Several list pages are locked only by splits and
 * VACUUM, which exclude one another.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "am/ivf/ivf.h"
#include "index/chain.h"
#include "simd/simd.h"

/* Blocks looked at for an empty slot before a new one is taken. */
#define WALK_BLOCKS 6

/* A split under our feet sends the row to its new list; it cannot go on for long. */
#define MAX_RETRIES 1000

typedef struct IvfInsert
{
	Relation	index;
	Relation	heap;
	IvfModel   *m;
	IvfMetaData meta;
	VsTid		tid;
	float	   *x;
	IvfRoute	route;
	IvfRowCode	code;
	int64		rows;			/* of the list, about; 0: no new block was needed */
} IvfInsert;

/* Where the refine code goes. */
typedef struct RefineSlot
{
	Buffer		buf;			/* exclusively locked, or invalid: no code */
	int			idx;
	bool		fresh;			/* page to be initialised */
	BlockNumber rest;			/* a wide row's second page */
} RefineSlot;

static void insert_coded(IvfInsert *in);
static bool insert_in_chain(IvfInsert *in);
static bool insert_in_new_block(IvfInsert *in);
static void put_row(IvfInsert *in, VsChange *change, IvfBlock block, int slot, RefineSlot *ref);
static void find_refine_slot(IvfInsert *in, RefineSlot *ref);
static void write_wide_rest(IvfInsert *in, RefineSlot *ref);
static void release_refine(IvfInsert *in, RefineSlot *ref);
static int	empty_slot(IvfBlock block);

bool
ivfinsert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
		  Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf insert",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	IvfInsert	in = {0};
	IvfModel   *m;

	in.index = index;
	in.heap = heap;
	in.m = m = ivf_model_get(index, &in.meta);
	ivf_model_release_with(m, cxt);
	vs_tid_set(&in.tid, tid);
	if (isnull[0])
		vi_tids_insert(index, heap, VS_IVF_META, ivf_tid_heads, VI_TIDS_NULL, tid);
	else
	{
		Vector	   *v = DatumGetVector(values[0]);
		float	   *scratch = palloc(sizeof(float) * m->dims);
		ViClass		class;

		vt_check_expected_dim(m->dims, v->dim);
		in.x = palloc(sizeof(float) * m->dim);
		class = ivf_rotate(m, v->x, scratch, in.x);
		if (class == VI_FINITE)
			insert_coded(&in);
		else
			vi_tids_insert(index, heap, VS_IVF_META, ivf_tid_heads, vi_tids_sort(class), tid);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return false;
}

static void
insert_coded(IvfInsert *in)
{
	IvfModel   *m = in->m;
	float	   *scratch = palloc(sizeof(float) * 3 * m->dim);
	int			tries;

	in->route.c = palloc(sizeof(float) * m->dim);
	in->code.bits = palloc(m->sdim / 8);
	in->code.refine = m->codec ? palloc(m->codec->bytes(m->dim)) : NULL;
	for (tries = 0; tries < MAX_RETRIES; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		ivf_route(in->index, m, in->x, &in->route);
		ivf_encode_row(m, in->route.part, in->route.c, in->x, scratch, &in->code);
		in->rows = 0;
		if (insert_in_chain(in) || insert_in_new_block(in))
		{
			if (in->rows > ivf_split_limit(&in->meta))
				ivf_split(in->index, in->heap, m, &in->route);
			return;
		}
	}
	elog(ERROR, "index \"%s\": list of a new row keeps moving", RelationGetRelationName(in->index));
}

/* Into an empty slot of the list's first blocks; false if there is none. */
static bool
insert_in_chain(IvfInsert *in)
{
	IvfModel   *m = in->m;
	BlockNumber blkno = in->route.head_blkno;
	int			idx = in->route.head_idx;
	int			walked;

	for (walked = 0; walked < WALK_BLOCKS && blkno != InvalidBlockNumber; walked++)
	{
		Buffer		buf;
		Page		page = vs_read_if(in->index, blkno, VS_IVF_LIST, BUFFER_LOCK_EXCLUSIVE, NULL, &buf);
		IvfBlock	block;
		int			slot;

		if (page == NULL)
			return false;
		block = IVF_BLOCK(page, m->sdim, idx);
		if (idx >= m->blocks_per_page || block->list != in->route.list ||
			(block->flags & IVF_BLOCK_MOVED))
		{
			UnlockReleaseBuffer(buf);
			return false;
		}
		slot = empty_slot(block);
		if (slot >= 0)
		{
			RefineSlot	ref;
			VsChange	change;

			find_refine_slot(in, &ref);
			vs_change_begin(&change, in->index);
			page = vs_change_page(&change, buf, false);
			put_row(in, &change, IVF_BLOCK(page, m->sdim, idx), slot, &ref);
			vs_change_commit(&change);
			release_refine(in, &ref);
			UnlockReleaseBuffer(buf);
			return true;
		}
		blkno = block->next_blkno;
		idx = block->next_idx;
		UnlockReleaseBuffer(buf);
	}
	return false;
}

/* A new block before the head of the list; false if the list has changed. */
static bool
insert_in_new_block(IvfInsert *in)
{
	IvfModel   *m = in->m;
	Buffer		dirbuf;
	Buffer		buf;
	Page		page;
	IvfDirEntry e;
	IvfBlock	block;
	RefineSlot	ref;
	VsChange	change;
	int			idx;
	bool		fresh;

	page = vs_read(in->index, in->route.dir_blkno, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &dirbuf);
	e = IVF_DIR_ENTRY(page, m->entry_size, in->route.dir_idx);
	if (in->route.dir_idx >= (int) IvfPageDir(page)->count || e->list != in->route.list ||
		e->head_blkno != in->route.head_blkno || e->head_idx != in->route.head_idx)
	{
		UnlockReleaseBuffer(dirbuf);
		return false;
	}
	/* It would be locked twice. */
	if (in->route.head_blkno == in->route.dir_blkno)
		vi_broken_link(in->index, in->route.head_blkno);
	buf = ivf_block_page(in->index, in->heap, m, page, in->route.dir_idx, &idx, &fresh);
	find_refine_slot(in, &ref);

	vs_change_begin(&change, in->index);
	page = vs_change_page(&change, buf, fresh);
	if (fresh)
		vs_page_init(page, VS_IVF_LIST, 0);
	block = IVF_BLOCK(page, m->sdim, idx);
	ivf_block_init(m, block, in->route.list);
	block->next_blkno = in->route.head_blkno;
	block->next_idx = in->route.head_idx;
	put_row(in, &change, block, 0, &ref);
	page = vs_change_page(&change, dirbuf, false);
	e = IVF_DIR_ENTRY(page, m->entry_size, in->route.dir_idx);
	e->head_blkno = BufferGetBlockNumber(buf);
	e->head_idx = idx;
	in->rows = e->rows += VQ_BLOCK;
	vs_change_commit(&change);

	release_refine(in, &ref);
	UnlockReleaseBuffer(buf);
	UnlockReleaseBuffer(dirbuf);
	return true;
}

static int
empty_slot(IvfBlock block)
{
	int			i;

	for (i = 0; i < VQ_BLOCK; i++)
		if (vs_tid_empty(&block->tid[i]))
			return i;
	return -1;
}

/* Both halves of the row, in the open change. */
static void
put_row(IvfInsert *in, VsChange *change, IvfBlock block, int slot, RefineSlot *ref)
{
	IvfModel   *m = in->m;
	BlockNumber ref_blkno = InvalidBlockNumber;

	if (BufferIsValid(ref->buf))
	{
		Page		page = vs_change_page(change, ref->buf, ref->fresh);
		IvfRefine	row;
		Size		first = Min(m->refine_size, VS_USABLE) - offsetof(IvfRefineData, code);

		if (ref->fresh)
			vs_page_init(page, VS_IVF_REFINE, 0);
		row = IVF_REFINE(page, m->refine_size, ref->idx);
		row->tid = in->tid;
		row->part = in->route.part;
		memcpy(row->code, in->code.refine, Min(first, m->codec->bytes(m->dim)));
		vs_opaque(page)->next = ref->rest;
		ref_blkno = BufferGetBlockNumber(ref->buf);
	}
	ivf_block_set(m, block, slot, &in->code.f, in->code.bits, &in->tid, ref_blkno, ref->idx);
}

/* ---- refine slots ---- */

static int
empty_refine(const IvfModel *m, Page page)
{
	int			i;

	for (i = 0; i < m->refine_per_page; i++)
		if (vs_tid_empty(&IVF_REFINE(page, m->refine_size, i)->tid))
			return i;
	return -1;
}

/* The page this backend used last, one the map knows, or a new one. */
static void
find_refine_slot(IvfInsert *in, RefineSlot *ref)
{
	IvfModel   *m = in->m;
	BlockNumber target = RelationGetTargetBlock(in->index);

	ref->buf = InvalidBuffer;
	ref->idx = 0;
	ref->fresh = false;
	ref->rest = InvalidBlockNumber;
	if (m->codec == NULL)
		return;
	if (m->refine_size > VS_USABLE)
	{
		write_wide_rest(in, ref);
		ref->buf = vs_new_page(in->index, in->heap);
		ref->fresh = true;
		return;
	}
	if (target != InvalidBlockNumber && target < RelationGetNumberOfBlocks(in->index))
	{
		ref->buf = ReadBuffer(in->index, target);
		if (ConditionalLockBuffer(ref->buf))
		{
			if (vs_kind(in->index, ref->buf) == VS_IVF_REFINE &&
				(ref->idx = empty_refine(m, BufferGetPage(ref->buf))) >= 0)
				return;
			LockBuffer(ref->buf, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(ref->buf);
	}
	/* The map is a hint: a page that filled up since is struck off it. */
	while (BufferIsValid(ref->buf = vs_find_space(in->index, VS_IVF_REFINE, m->refine_size)))
	{
		ref->idx = empty_refine(m, BufferGetPage(ref->buf));
		if (ref->idx >= 0)
		{
			RelationSetTargetBlock(in->index, BufferGetBlockNumber(ref->buf));
			return;
		}
		vs_record_space(in->index, BufferGetBlockNumber(ref->buf), 0);
		UnlockReleaseBuffer(ref->buf);
	}
	ref->buf = vs_new_page(in->index, in->heap);
	ref->idx = 0;
	ref->fresh = true;
	RelationSetTargetBlock(in->index, BufferGetBlockNumber(ref->buf));
}

/*
 * The pages after the first of a wide row, last one first, each in its own
 * record; nothing points to them until the first page is written. A crash in
 * between leaves them to vacuum, which knows them by the flag and the writer's xid.
 */
static void
write_wide_rest(IvfInsert *in, RefineSlot *ref)
{
	IvfModel   *m = in->m;
	int			pages = (m->refine_size + VS_USABLE - 1) / VS_USABLE;
	int			i;

	for (i = pages - 1; i >= 1; i--)
	{
		Size		at = (Size) i * VS_USABLE;
		Buffer		buf = vs_new_page(in->index, in->heap);
		VsChange	change;
		Page		page;

		vs_change_begin(&change, in->index);
		page = vs_change_page(&change, buf, true);
		vs_page_init(page, VS_IVF_REFINE, GetCurrentTransactionId());
		vs_opaque(page)->flags |= IVF_REFINE_REST;
		vs_opaque(page)->next = ref->rest;
		memcpy(PageGetContents(page), in->code.refine + at - offsetof(IvfRefineData, code),
			   Min(VS_USABLE, m->refine_size - at));
		vs_change_commit(&change);
		ref->rest = BufferGetBlockNumber(buf);
		UnlockReleaseBuffer(buf);
	}
}

static void
release_refine(IvfInsert *in, RefineSlot *ref)
{
	if (!BufferIsValid(ref->buf))
		return;
	if (ref->idx == in->m->refine_per_page - 1)
		vs_record_space(in->index, BufferGetBlockNumber(ref->buf), 0);
	UnlockReleaseBuffer(ref->buf);
}
