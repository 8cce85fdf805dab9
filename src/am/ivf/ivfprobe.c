/*
 * ivfprobe.c -- from the query to candidates: partitions, lists, blocks.
 *
 * What it is not: the decision how many lists (ivfscan.c) or the ranking of
 * candidates (ivfrefine.c).
 *
 * Partition centroids are in the backend's model; directory pages of the
 * nearest partitions give the leaf centroids; list pages give 32 estimates at
 * a time. Of a block everything a candidate needs later is copied out while
 * its page is locked, so nothing is ever read twice and no pin is kept.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "executor/instrument.h"
#include "miscadmin.h"

#include "am/ivf/ivfscan.h"
#include "index/chain.h"
#include "pg/options.h"
#include "simd/simd.h"

/* List pages asked for ahead when they do not come from cache. */
#define PREFETCH_PAGES 32

static void open_partition(IvfScan s, int part);
static void read_list(IvfScan s, const IvfListRef *ref);
static void take_block(IvfScan s, const IvfListRef *ref, IvfBlock block);
static void drop_seen_twice(IvfScan s);

void
ivf_probe_begin(IvfScan s)
{
	IvfModel   *m = s->m;
	int			i;

	s->parts = MemoryContextAlloc(s->cxt, sizeof(VpHeapItem) * m->nparts);
	s->part_dist2 = MemoryContextAlloc(s->cxt, sizeof(float) * m->nparts);
	s->part_dot = MemoryContextAlloc(s->cxt, sizeof(float) * m->nparts);
	s->nparts = m->nparts;
	if (s->y == NULL)
	{
		for (i = 0; i < m->nparts; i++)
		{
			s->parts[i].key = 0;
			s->parts[i].item = i;
		}
		return;
	}
	vk->l2sq_f32_many(s->y, m->part, sizeof(float) * m->dim, m->dim, m->nparts, s->part_dist2);
	if (m->oc->metric == VQ_IP)
		vk->dot_f32_many(s->y, m->part, sizeof(float) * m->dim, m->dim, m->nparts, s->part_dot);
	for (i = 0; i < m->nparts; i++)
	{
		if (m->oc->metric != VQ_IP)
			s->part_dot[i] = 0;
		s->parts[i].key = m->oc->metric == VQ_IP ? -s->part_dot[i] : s->part_dist2[i];
		s->parts[i].item = i;
	}
	vp_heap_build(s->parts, s->nparts);
}

/* Reads lists, nearest first, until `lists` have been read or none is left. */
void
ivf_probe_until(IvfScan s, int64 lists)
{
	int64		want = lists * s->open;
	instr_time	t;
	size_t		ahead;

	VI_TRACE_BEGIN(t);
	while (s->nparts > 0 && (s->opened < IVF_OPEN_MIN || (int64) s->nlists < want))
	{
		VpHeapItem	part = vp_heap_pop(s->parts, &s->nparts);

		open_partition(s, part.item);
		s->opened++;
	}
	vp_heap_build(s->queue, s->nqueue);
	VI_TRACE_END(t, s->count.centroids_us);

	VI_TRACE_BEGIN(t);
	if (s->cold)
	{
		/* A heap's array begins with its smallest items, roughly in order. */
		for (ahead = 0; ahead < Min(s->nqueue, (size_t) Min(lists - s->read, PREFETCH_PAGES)); ahead++)
		{
			BlockNumber blkno = s->lists[s->queue[ahead].item].head_blkno;

			if (blkno != InvalidBlockNumber)
				PrefetchBuffer(s->scan->indexRelation, MAIN_FORKNUM, blkno);
		}
	}
	while (s->nqueue > 0 && s->read < lists)
	{
		VpHeapItem	next = vp_heap_pop(s->queue, &s->nqueue);

		CHECK_FOR_INTERRUPTS();
		read_list(s, &s->lists[next.item]);
		s->read++;
		s->count.lists++;
	}
	drop_seen_twice(s);
	VI_TRACE_END(t, s->count.lists_us);
}

bool
ivf_probe_done(IvfScan s)
{
	return s->nparts == 0 && s->nqueue == 0;
}

/* ---- directory ---- */

/* Appends the lists of a partition to lists and queue (not yet a heap). */
static void
open_partition(IvfScan s, int part)
{
	IvfModel   *m = s->m;
	Relation	index = s->scan->indexRelation;
	BlockNumber blkno = m->part_head[part];
	ViWalk		walk = {0};
	VqPoint		p;

	p.y = s->y;
	p.ysum = s->ysum;
	p.ynorm2 = s->ynorm2;
	p.dist2 = s->part_dist2[part];
	p.dot = s->part_dot[part];
	while (blkno != InvalidBlockNumber)
	{
		Buffer		buf;
		Page		page = vs_read(index, blkno, VS_IVF_DIR, BUFFER_LOCK_SHARE, &buf);
		uint32		n = Min(IvfPageDir(page)->count, (uint32) m->entries_per_page);
		size_t		cap = s->lists_cap;
		uint32		i;

		vi_walk(index, &walk, blkno, 0);
		s->count.pages++;
		s->lists = vi_grow(s->cxt, s->lists, &cap, s->nlists + n, sizeof(IvfListRef));
		s->queue = vi_grow(s->cxt, s->queue, &s->lists_cap, s->nlists + n, sizeof(VpHeapItem));
		for (i = 0; i < n; i++)
		{
			IvfDirEntry e = IVF_DIR_ENTRY(page, m->entry_size, i);
			IvfListRef *ref = &s->lists[s->nlists];
			float		dist2 = 0;

			if (s->y != NULL)
				dist2 = m->dir_codec->value(&p, e->code, m->dim, NULL, m->oc->metric);
			ref->list = e->list;
			ref->head_blkno = e->head_blkno;
			ref->head_idx = e->head_idx;
			ref->dist2 = dist2;
			s->queue[s->nqueue].key = dist2;
			s->queue[s->nqueue++].item = s->nlists++;
		}
		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
	}
}

/* ---- blocks ---- */

static void
read_list(IvfScan s, const IvfListRef *ref)
{
	Relation	index = s->scan->indexRelation;
	BlockNumber blkno = ref->head_blkno;
	int			idx = ref->head_idx;
	int64		misses = pgBufferUsage.shared_blks_read;
	ViWalk		walk = {0};

	while (blkno != InvalidBlockNumber)
	{
		BlockNumber here = blkno;
		Buffer		buf;
		Page		page = vs_read_if(index, blkno, VS_IVF_LIST, BUFFER_LOCK_SHARE, NULL, &buf);

		s->count.pages++;
		if (page == NULL)
			vi_stale_link(index, here);
		do
		{
			IvfBlock	block = IVF_BLOCK(page, s->m->sdim, idx);

			if (idx >= s->m->blocks_per_page || block->list != ref->list)
			{
				UnlockReleaseBuffer(buf);
				vi_stale_link(index, here);
			}
			vi_walk(index, &walk, here, idx);
			take_block(s, ref, block);
			blkno = block->next_blkno;
			idx = block->next_idx;
		} while (blkno == here);
		UnlockReleaseBuffer(buf);
	}
	if (pgBufferUsage.shared_blks_read != misses)
		s->cold = true;
}

static void
grow_candidates(IvfScan s)
{
	IvfCandidates *c = &s->cand;
	size_t		need = c->n + VQ_BLOCK;
	size_t		cap;

	if (need <= c->cap)
		return;
	cap = c->cap;
	c->est = vi_grow(s->cxt, c->est, &cap, need, sizeof(float));
	cap = c->cap;
	c->tid = vi_grow(s->cxt, c->tid, &cap, need, sizeof(VsTid));
	cap = c->cap;
	c->ref_blkno = vi_grow(s->cxt, c->ref_blkno, &cap, need, sizeof(BlockNumber));
	cap = c->cap;
	c->ref_idx = vi_grow(s->cxt, c->ref_idx, &cap, need, sizeof(uint16));
	c->low = vi_grow(s->cxt, c->low, &c->cap, need, sizeof(float));
}

static void
take_block(IvfScan s, const IvfListRef *ref, IvfBlock block)
{
	IvfCandidates *c = &s->cand;
	int			i;

	grow_candidates(s);
	if (s->mode == IVF_ENUMERATE || s->wild)
	{
		for (i = 0; i < VQ_BLOCK; i++)
			c->low[c->n + i] = c->est[c->n + i] =
				vs_tid_empty(&block->tid[i]) ? INFINITY : -INFINITY;
	}
	else
	{
		float		gadd = ref->dist2;
		float		gerr = s->eps;

		if (s->m->oc->metric == VQ_IP)
		{
			gadd -= s->interval.mean_dot;
			gerr *= sqrtf(s->ynorm2);
		}
		else
			gerr *= 2 * sqrtf(ref->dist2);
		vq_block_estimate(&s->bit, block->codes, block->add, block->scale, block->err,
						  gadd, gerr, c->est + c->n, c->low + c->n);
	}
	memcpy(c->tid + c->n, block->tid, sizeof(block->tid));
	memcpy(c->ref_blkno + c->n, block->ref_blkno, sizeof(block->ref_blkno));
	memcpy(c->ref_idx + c->n, block->ref_idx, sizeof(block->ref_idx));
	c->n += VQ_BLOCK;
	s->count.candidates += Min(block->used, VQ_BLOCK);
}

/*
 * Entries move by copy, make visible, remove: while a split is under way, or
 * when we read one half of the directory before and one after it, a row can be
 * met twice. Only then tids are remembered.
 */
static void
drop_seen_twice(IvfScan s)
{
	IvfCandidates *c = &s->cand;
	size_t		i;

	if (s->seen == NULL)
	{
		IvfMetaData now;
		HASHCTL		ctl = {0};

		ivf_meta_read(s->scan->indexRelation, &now);
		s->count.pages++;
		if (now.split_epoch == s->meta.split_epoch)
			return;
		ctl.keysize = sizeof(VsTid);
		ctl.entrysize = sizeof(VsTid);
		ctl.hcxt = s->cxt;
		s->seen = hash_create("ivf rows seen", Max(c->n, 256), &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	for (i = s->nseen; i < c->n; i++)
	{
		bool		found;

		if (vs_tid_empty(&c->tid[i]))
			continue;
		hash_search(s->seen, &c->tid[i], HASH_ENTER, &found);
		if (found)
			c->low[i] = c->est[i] = INFINITY;
	}
	s->nseen = c->n;
}
