/*
 * reuse.c -- where new data finds room: freed pages and pages with gaps.
 *
 * What it is not: a decision when a page becomes free (vacuum, splits).
 *
 * The free space map is neither crash-safe nor an atomic claim, so it is only
 * a hint: a page is taken only if its own (WAL-logged) kind says so under an
 * exclusive lock. A free page carries the xid at which it was freed and is
 * taken only when no snapshot can still hold a pointer to it.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/transam.h"
#include "storage/freespace.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "store/vpage.h"

/* Hints tried before the index is simply extended: bounds a burst of misses. */
#define MAX_TRIES 8

/* Of the free space map: a byte per page, 256 steps. */
#define FSM_STEP (BLCKSZ / 256)

/* Blocks that vs_find_exact() looks up in the map: some 50 us. */
#define MAX_LOOKS 256

static bool recorded(Relation rel, BlockNumber blkno, Size bytes);

static bool
page_reusable(Relation heap, Page page)
{
	VsFreeData *stamp;

	if (PageIsNew(page))
		return true;
	if (vs_opaque(page)->kind != VS_FREE)
		return false;
	stamp = (VsFreeData *) PageGetContents(page);
	return vs_behind_horizon(heap, stamp->xid);
}

bool
vs_behind_horizon(Relation heap, FullTransactionId xid)
{
	return GlobalVisCheckRemovableFullXid(heap, xid);
}

Buffer
vs_new_page(Relation rel, Relation heap)
{
	int			tries;

	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		BlockNumber blkno = GetPageWithFreeSpace(rel, BLCKSZ - 64);
		Buffer		buf;

		if (blkno == InvalidBlockNumber)
			break;
		if (blkno >= RelationGetNumberOfBlocks(rel))
		{
			RecordPageWithFreeSpace(rel, blkno, 0);
			continue;
		}
		buf = ReadBuffer(rel, blkno);
		if (ConditionalLockBuffer(buf))
		{
			int			kind = vs_kind(rel, buf);

			if (kind == 0 || (kind == VS_FREE && page_reusable(heap, BufferGetPage(buf))))
			{
				RecordPageWithFreeSpace(rel, blkno, 0);
				return buf;
			}
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		}
		/* Not free, or freed too lately: the next VACUUM records it again. */
		RecordPageWithFreeSpace(rel, blkno, 0);
		ReleaseBuffer(buf);
	}
	for (;;)
	{
		Buffer		buf = vecpg_extend_locked(rel);

		/*
		 * Before 16 the new page is not locked from its first moment: VACUUM
		 * may have seen it empty and told another backend, which took it.
		 */
		if (PageIsNew(BufferGetPage(buf)))
			return buf;
		UnlockReleaseBuffer(buf);
	}
}

Buffer
vs_find_space(Relation rel, VsKind kind, Size bytes)
{
	int			tries;

	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		BlockNumber blkno = GetPageWithFreeSpace(rel, bytes);
		Buffer		buf;

		if (blkno == InvalidBlockNumber || blkno >= RelationGetNumberOfBlocks(rel))
			return InvalidBuffer;
		buf = ReadBuffer(rel, blkno);
		if (ConditionalLockBuffer(buf))
		{
			int			found = vs_kind(rel, buf);

			if (found == (int) kind)
				return buf;
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			if (found == VS_FREE || found == 0)
			{
				/* An entirely free page: vs_new_page() will find it. */
				ReleaseBuffer(buf);
				return InvalidBuffer;
			}
			RecordPageWithFreeSpace(rel, blkno, 0);
		}
		ReleaseBuffer(buf);
	}
	return InvalidBuffer;
}

Buffer
vs_find_exact(Relation rel, VsKind kind, Size bytes, BlockNumber *at)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BlockNumber looks;

	for (looks = 0; looks < Min(blocks, MAX_LOOKS); looks++)
	{
		BlockNumber blkno = *at < blocks ? *at : 0;
		Buffer		buf;

		*at = blkno + 1;
		if (!recorded(rel, blkno, bytes))
			continue;
		buf = vs_try_page(rel, blkno, kind);
		if (BufferIsValid(buf))
			return buf;
	}
	return InvalidBuffer;
}

Buffer
vs_try_page(Relation rel, BlockNumber blkno, VsKind kind)
{
	Buffer		buf;

	if (blkno >= RelationGetNumberOfBlocks(rel))
		return InvalidBuffer;
	buf = ReadBuffer(rel, blkno);
	if (ConditionalLockBuffer(buf))
	{
		if (vs_kind(rel, buf) == (int) kind)
			return buf;
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buf);
	return InvalidBuffer;
}

/*
 * The map counts in steps, down when told of space and up when asked for it: a
 * page with room for exactly one row would never be found.
 */
void
vs_record_space(Relation rel, BlockNumber blkno, Size bytes)
{
	RecordPageWithFreeSpace(rel, blkno, bytes > 0 ? Min(bytes + FSM_STEP - 1, BLCKSZ - 1) : 0);
}

void
vs_note_space(Relation rel, BlockNumber blkno, Size bytes)
{
	if (!recorded(rel, blkno, bytes))
		vs_record_space(rel, blkno, bytes);
}

/* Whether the map has just this for a page. */
static bool
recorded(Relation rel, BlockNumber blkno, Size bytes)
{
	return GetRecordedFreeSpace(rel, blkno) / FSM_STEP == (bytes + FSM_STEP - 1) / FSM_STEP;
}

void
vs_page_free(Page page)
{
	VsFreeData *stamp;
	BlockNumber next = vs_opaque(page)->next;

	vs_page_init(page, VS_FREE, 0);
	/* A reader that came here by an old link may go on along the chain. */
	vs_opaque(page)->next = next;
	stamp = (VsFreeData *) PageGetContents(page);
	stamp->xid = ReadNextFullTransactionId();
}

void
vs_record_free(Relation rel, BlockNumber blkno)
{
	RecordPageWithFreeSpace(rel, blkno, BLCKSZ - 1);
}
