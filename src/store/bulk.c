/*
 * bulk.c -- writes the pages of a new index past the buffer cache, logs them once.
 *
 * What it is not: a way to change an index that others can see.
 *
 * From PostgreSQL 17 the server's own bulk writer does the work; before it,
 * pages are gathered in batches that are logged with log_newpages(), written
 * by smgr and synced at the end, as core's B-tree build does.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/smgr.h"

#include "store/vpage.h"

#if VECPG_HAVE_BULK_WRITE

#include "storage/bulk_write.h"

struct VsBulk
{
	BulkWriteState *state;
	BlockNumber next;
};

VsBulk *
vs_bulk_begin(Relation rel, ForkNumber fork)
{
	VsBulk	   *bulk = palloc0(sizeof(VsBulk));

	bulk->state = smgr_bulk_start_rel(rel, fork);
	return bulk;
}

BlockNumber
vs_bulk_append(VsBulk *bulk, Page page)
{
	BulkWriteBuffer buf = smgr_bulk_get_buf(bulk->state);

	memcpy(buf, page, BLCKSZ);
	smgr_bulk_write(bulk->state, bulk->next, buf, true);
	return bulk->next++;
}

/* The writer sorts what is pending by block: no block may be there twice. */
BlockNumber
vs_bulk_reserve(VsBulk *bulk)
{
	return bulk->next++;
}

void
vs_bulk_fill(VsBulk *bulk, BlockNumber blkno, Page page)
{
	BulkWriteBuffer buf = smgr_bulk_get_buf(bulk->state);

	memcpy(buf, page, BLCKSZ);
	smgr_bulk_write(bulk->state, blkno, buf, true);
}

void
vs_bulk_end(VsBulk *bulk)
{
	smgr_bulk_finish(bulk->state);
	pfree(bulk);
}

#else							/* before 17 */

/* Pages a WAL record of full images may hold (XLR_MAX_BLOCK_ID + 1). */
#define BULK_PAGES 32

struct VsBulk
{
	Relation	rel;
	ForkNumber	fork;
	bool		logged;
	BlockNumber next;			/* the next block to append */
	int			npending;
	BlockNumber blknos[BULK_PAGES];
	Page		pages[BULK_PAGES];
	char	   *space;
};

static void flush_pending(VsBulk *bulk);

VsBulk *
vs_bulk_begin(Relation rel, ForkNumber fork)
{
	VsBulk	   *bulk = palloc0(sizeof(VsBulk));
	int			i;

	bulk->rel = rel;
	bulk->fork = fork;
	/* The init fork of an unlogged index is what recovery starts from. */
	bulk->logged = RelationNeedsWAL(rel) || fork == INIT_FORKNUM;
	bulk->space = palloc((Size) BULK_PAGES * BLCKSZ);
	for (i = 0; i < BULK_PAGES; i++)
		bulk->pages[i] = bulk->space + (Size) i * BLCKSZ;
	return bulk;
}

BlockNumber
vs_bulk_append(VsBulk *bulk, Page page)
{
	if (bulk->npending == BULK_PAGES)
		flush_pending(bulk);
	memcpy(bulk->pages[bulk->npending], page, BLCKSZ);
	bulk->blknos[bulk->npending++] = bulk->next;
	return bulk->next++;
}

/* An empty page until then, so that pages are written in their order. */
BlockNumber
vs_bulk_reserve(VsBulk *bulk)
{
	PGAlignedBlock empty;

	vs_page_init(empty.data, VS_FREE, 0);
	return vs_bulk_append(bulk, empty.data);
}

void
vs_bulk_fill(VsBulk *bulk, BlockNumber blkno, Page page)
{
	PGAlignedBlock copy;

	flush_pending(bulk);
	memcpy(copy.data, page, BLCKSZ);
	if (bulk->logged)
		log_newpage(&vecpg_relfile(bulk->rel), bulk->fork, blkno, copy.data, true);
	PageSetChecksumInplace(copy.data, blkno);
	smgrwrite(RelationGetSmgr(bulk->rel), bulk->fork, blkno, copy.data, true);
}

void
vs_bulk_end(VsBulk *bulk)
{
	flush_pending(bulk);
	/* Not in the buffer cache, so no checkpoint would write and sync them. */
	if (bulk->logged)
		smgrimmedsync(RelationGetSmgr(bulk->rel), bulk->fork);
	pfree(bulk->space);
	pfree(bulk);
}

static void
flush_pending(VsBulk *bulk)
{
	SMgrRelation smgr;
	int			i;

	CHECK_FOR_INTERRUPTS();
	if (bulk->npending == 0)
		return;
	if (bulk->logged)
		log_newpages(&vecpg_relfile(bulk->rel), bulk->fork, bulk->npending,
					 bulk->blknos, bulk->pages, true);
	smgr = RelationGetSmgr(bulk->rel);
	for (i = 0; i < bulk->npending; i++)
	{
		PageSetChecksumInplace(bulk->pages[i], bulk->blknos[i]);
		smgrextend(smgr, bulk->fork, bulk->blknos[i], bulk->pages[i], true);
	}
	bulk->npending = 0;
}

#endif

BlockNumber
vs_bulk_next(VsBulk *bulk)
{
	return bulk->next;
}
