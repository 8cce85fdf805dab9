/*
 * ivfroute.c -- finds the list of a new row, and room for new blocks.
 *
 * What it is not: a search (ivfprobe.c keeps many lists, this keeps one).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "am/ivf/ivf.h"
#include "base/heap.h"
#include "index/chain.h"
#include "simd/simd.h"

/* Lists whose head's page is looked at for a free block, its own included. */
#define NEIGHBOURS 6

static void scan_partition(Relation index, const IvfModel *m, const VqPoint *p, int part,
						   IvfRoute *route, float *best, uint8 *code);

void
ivf_route(Relation index, const IvfModel *m, const float *x, IvfRoute *route)
{
	VpHeapItem *parts = palloc(sizeof(VpHeapItem) * m->nparts);
	float	   *dist2 = palloc(sizeof(float) * m->nparts);
	uint8	   *code = palloc(m->dir_codec->bytes(m->dim));
	size_t		n = m->nparts;
	float		best = INFINITY;
	VqPoint		p;
	int			i;

	vk->l2sq_f32_many(x, m->part, sizeof(float) * m->dim, m->dim, m->nparts, dist2);
	for (i = 0; i < m->nparts; i++)
	{
		parts[i].key = dist2[i];
		parts[i].item = i;
	}
	vp_heap_build(parts, n);
	p.y = x;
	p.ysum = 0;
	for (i = 0; i < m->dim; i++)
		p.ysum += x[i];
	p.ynorm2 = vk->dot_f32(x, x, m->dim);
	p.dot = 0;
	route->list = 0;
	for (i = 0; i < IVF_ROUTE_OPEN && n > 0; i++)
	{
		VpHeapItem	part = vp_heap_pop(parts, &n);

		p.dist2 = dist2[part.item];
		scan_partition(index, m, &p, part.item, route, &best, code);
	}
	if (route->list == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has no lists", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	m->dir_codec->decode(code, m->part + (Size) route->part * m->dim, m->dim, NULL, route->c);
	pfree(parts);
	pfree(dist2);
	pfree(code);
}

static void
scan_partition(Relation index, const IvfModel *m, const VqPoint *p, int part,
			   IvfRoute *route, float *best, uint8 *code)
{
	BlockNumber blkno = m->part_head[part];
	ViWalk		walk = {0};

	while (blkno != InvalidBlockNumber)
	{
		Buffer		buf;
		Page		page = vs_read(index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
		int			n = Min(IvfPageDir(page)->count, (uint32) m->entries_per_page);
		int			i;

		vi_walk(index, &walk, blkno, 0);
		for (i = 0; i < n; i++)
		{
			IvfDirEntry e = IVF_DIR_ENTRY(page, m->entry_size, i);
			float		dist2 = m->dir_codec->value(p, e->code, m->dim, NULL, VQ_L2);

			/* Also the first of all, if every distance overflows. */
			if (dist2 < *best || route->list == 0)
			{
				*best = dist2;
				route->part = part;
				route->list = e->list;
				route->dir_blkno = blkno;
				route->dir_idx = i;
				route->head_blkno = e->head_blkno;
				route->head_idx = e->head_idx;
				memcpy(code, e->code, m->dir_codec->bytes(m->dim));
			}
		}
		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
	}
}

bool
ivf_route_find(Relation index, const IvfModel *m, IvfRoute *route)
{
	BlockNumber blkno = m->part_head[route->part];
	ViWalk		walk = {0};

	while (blkno != InvalidBlockNumber)
	{
		Buffer		buf;
		Page		page = vs_read(index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
		int			n = Min(IvfPageDir(page)->count, (uint32) m->entries_per_page);
		int			i;

		vi_walk(index, &walk, blkno, 0);
		for (i = 0; i < n; i++)
		{
			IvfDirEntry e = IVF_DIR_ENTRY(page, m->entry_size, i);

			if (e->list != route->list)
				continue;
			route->dir_blkno = blkno;
			route->dir_idx = i;
			route->head_blkno = e->head_blkno;
			route->head_idx = e->head_idx;
			UnlockReleaseBuffer(buf);
			return true;
		}
		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
	}
	return false;
}

int
ivf_free_block(const IvfModel *m, Relation heap, Page page)
{
	int			i;

	for (i = 0; i < m->blocks_per_page; i++)
	{
		IvfBlock	block = IVF_BLOCK(page, m->sdim, i);

		if (block->list == 0)
			return i;
		if ((block->flags & IVF_BLOCK_MOVED) &&
			GlobalVisCheckRemovableFullXid(heap, block->moved_at))
			return i;
	}
	return -1;
}

Buffer
ivf_block_page(Relation index, Relation heap, const IvfModel *m, Page dir, int dir_idx,
			   int *idx, bool *fresh)
{
	int			count = Min(IvfPageDir(dir)->count, (uint32) m->entries_per_page);
	BlockNumber before = InvalidBlockNumber;
	int			i;

	*fresh = false;
	for (i = 0; i < Min(count, NEIGHBOURS); i++)
	{
		IvfDirEntry e = IVF_DIR_ENTRY(dir, m->entry_size, (dir_idx + i) % count);
		Buffer		buf;

		if (e->head_blkno == InvalidBlockNumber || e->head_blkno == before)
			continue;
		before = e->head_blkno;
		buf = ReadBuffer(index, e->head_blkno);
		/* Its own page is worth waiting for; the directory page is locked. */
		if (i == 0)
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		if (i == 0 || ConditionalLockBuffer(buf))
		{
			if (vs_kind(index, buf) == VS_IVF_LIST &&
				(*idx = ivf_free_block(m, heap, BufferGetPage(buf))) >= 0)
				return buf;
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buf);
	}
	*fresh = true;
	*idx = 0;
	return vs_new_page(index, heap);
}
