/*
 * hnswsweep.c -- one pass over the base layer: what the walk has not met.
 *
 * What it is not: part of most scans (hnswscan.c says when).
 *
 * Pages come in the order of the file through a small ring of buffers, and each
 * record costs one bound. It is also how a query without an order, or one
 * about which codes say nothing, gets every row.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "miscadmin.h"

#include "am/hnsw/hnswscan.h"
#include "pg/options.h"

static void sweep_record(HnswScan s, uint32 number, HnswNode node);

void
hnsw_sweep(HnswScan s, BlockNumber most)
{
	Relation	index = s->scan->indexRelation;
	HnswModel  *m = s->m;
	const HnswLayout *l = &m->layout[0];
	BufferAccessStrategy ring = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber end = RelationGetNumberOfBlocks(index);
	BlockNumber blkno = Max(s->swept, HNSW_META_BLKNO + 1);
	int			slot;
	instr_time	t;

	VI_TRACE_BEGIN(t);
	if (l->npages > 1 && s->r.wide == NULL)
		s->r.wide = MemoryContextAlloc(s->cxt, l->size);
	for (; blkno < end && most > 0; blkno++, most--)
	{
		Buffer		buf;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		page = vs_read_if(index, blkno, l->kind, BUFFER_LOCK_SHARE, ring, &buf);
		s->count.pages++;
		if (page == NULL)
			continue;
		if (l->npages > 1)
		{
			HnswNode	node;

			UnlockReleaseBuffer(buf);
			node = hnsw_read(index, m, 0, blkno, BUFFER_LOCK_SHARE, s->r.wide, &buf);
			if (node == NULL)
				continue;
			sweep_record(s, blkno, node);
		}
		else
			for (slot = 0; slot < l->per_page; slot++)
				sweep_record(s, HNSW_NUMBER(l, blkno, slot), HNSW_NODE(page, l, slot));
		UnlockReleaseBuffer(buf);
	}
	s->swept = blkno < end ? blkno : InvalidBlockNumber;
	FreeAccessStrategy(ring);
	VI_TRACE_END(t, s->count.lists_us);
}

static void
sweep_record(HnswScan s, uint32 number, HnswNode node)
{
	HnswModel  *m = s->m;
	VqBound		bound;

	if (node->state != HNSW_LIVE ||
		(s->r.search.seen != NULL && vg_is_expanded(&s->r.search, number)))
		return;
	if (s->mode == HNSW_ENUMERATE || s->wild)
	{
		hnsw_scan_meet(s, number, node, NULL);
		return;
	}
	m->codec->bound(&s->q.point, node->code, m->dim, m->params, m->oc->metric, &bound);
	s->count.refined++;
	hnsw_scan_meet(s, number, node, &bound);
}
