/*
 * hint.c -- remembered buffers: a page found without the buffer hash table.
 *
 * What it is not: a cache of pages; see hint.h.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "pgstat.h"
#include "utils/memutils.h"

#include "base/port.h"
#include "store/hint.h"

static void grow(VsHints *hints, Relation rel, BlockNumber blkno);

Page
vs_read_hinted(Relation rel, VsHints *hints, BlockNumber blkno, VsKind kind,
			   int mode, Buffer *buf)
{
	static unsigned reads = 0;	/* of this backend */
	Page		page;

	if (blkno < hints->n && hints->buf[blkno] != InvalidBuffer && ++reads % VECPG_RECENT_READS != 0 &&
		vecpg_read_recent(rel, blkno, hints->buf[blkno]))
	{
		*buf = hints->buf[blkno];
		pgstat_count_buffer_read(rel);
		pgstat_count_buffer_hit(rel);
		LockBuffer(*buf, mode);
		return BufferGetPage(*buf);
	}
	if (blkno >= hints->n)
		grow(hints, rel, blkno);
	page = vs_read(rel, blkno, kind, mode, buf);
	hints->buf[blkno] = *buf;
	return page;
}

void
vs_prefetch_hinted(const VsHints *hints, BlockNumber blkno, Size from, Size to)
{
	const char *page;

	if (blkno >= hints->n || hints->buf[blkno] == InvalidBuffer)
		return;
	/* No pin: the address stays valid whatever the buffer holds by now. */
	page = (const char *) BufferGetBlock(hints->buf[blkno]);
	for (; from < to; from += VP_ALIGN)
		__builtin_prefetch(page + from);
}

/* Room for all blocks there are; blkno must be one of them. */
static void
grow(VsHints *hints, Relation rel, BlockNumber blkno)
{
	BlockNumber n = RelationGetNumberOfBlocks(rel);

	if (blkno >= n)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a link to block %u, past its end",
						RelationGetRelationName(rel), blkno),
				 errhint("Please REINDEX it.")));
	if (n > hints->cap)
	{
		/* With room for more: an insert may add a page each time. */
		Size		cap = (Size) n + n / 8 + 64;
		Buffer	   *more = MemoryContextAllocExtended(hints->cxt, sizeof(Buffer) * cap,
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

		if (hints->buf != NULL)
		{
			memcpy(more, hints->buf, sizeof(Buffer) * hints->n);
			pfree(hints->buf);
		}
		hints->buf = more;
		hints->cap = cap;
	}
	hints->n = n;
}
