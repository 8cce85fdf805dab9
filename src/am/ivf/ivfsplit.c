/*
 * ivfsplit.c -- splits a list that has grown past its limit, in the inserting backend.
 *
 * What it is not: a merge (lists that empty keep their centroid and cost a
 * directory entry) or a change of partitions (fixed until REINDEX).
 *
 * The rule of every move (postgres-style "copy, make visible, remove"):
 *
 *   1. copy      the list's slots are read under share locks, 2-means on the
 *                decoded rows gives two centroids, and both new lists are
 *                written to pages that nothing points to yet
 *   2. visible   with the directory page and all of the list's pages locked,
 *                and nothing changed since 1, one WAL record puts the two new
 *                entries in the place of the old one and counts the epoch
 *   3. remove    the old blocks are marked moved; they stay readable for scans
 *                that hold the old directory, and are free behind the horizon
 *
 * So an entry may be met twice but never zero times: scans that see the epoch
 * change remember tids (ivfprobe.c). A crash between 2 and 3 leaves blocks of a
 * list that no entry names: vacuum marks them.
 *
 * Splits and VACUUM exclude one another by the heavyweight lock on the
 * metapage: a tid moved from a page that VACUUM has not seen to one that it
 * has would survive it. A split takes the lock only if it is free, and is put
 * off otherwise: a long list costs time, not answers.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "am/ivf/ivf.h"
#include "simd/simd.h"

/* Blocks of slots per list that a build aims at (52 rows), and the factor an
 * insert lets it grow by before it splits. */
#define SPLIT_ROWS 128

/* Pages locked at once; far below the server's limit of 200. */
#define MAX_PAGES 64

#define KMEANS_ITERS 8

/* The list was changed while it was copied: a later insert tries again. */
#define MAX_TRIES 3

typedef struct SplitRow
{
	IvfTid		tid;
	BlockNumber ref_blkno;
	uint16		ref_idx;
	float		add;
	uint8	   *bits;			/* its scan-plane code, without refine rows */
	float		e2;				/* squared length its decoded vector misses */
	float	   *x;				/* [dim] */
} SplitRow;

typedef struct Split
{
	Relation	index;
	Relation	heap;
	IvfModel   *m;
	IvfRoute   *route;
	IndexInfo  *info;
	SplitRow   *rows;
	int			n;
	int			cap;
	BlockNumber pages[MAX_PAGES];	/* of the old list, in chain order, once each */
	int			npages;
	int		   *side;			/* [n] 0 or 1 */
	float	   *c[2];			/* centroids as decoded */
	char	   *entry[2];
	BlockNumber head[2];
	uint16		head_idx[2];
} Split;

static bool copy_list(Split *s);
static void copy_block(Split *s, IvfBlock block);
static void decode_row(Split *s, SplitRow *row);
static bool decode_refine(Split *s, SplitRow *row);
static bool fetch_heap_vector(Split *s, const IvfTid *tid, float *x);
static bool two_means(Split *s);
static void encode_centroid(Split *s, int side, const float *mean);
static void write_new_list(Split *s, int side);
static bool flip(Split *s);
static bool unchanged(Split *s, Buffer *bufs);
static void mark_moved(Split *s, Buffer *bufs, FullTransactionId now);
static void forget_new_list(Split *s, int side);

int64
ivf_split_limit(const IvfMetaData *meta)
{
	IvfCurve const *c = &meta->curve[0];
	double		built = c->lists > 0 && meta->rows_built > 0 ? meta->rows_built / c->lists : 0;

	/* A user who asked for few lists meant long ones. */
	return (int64) Max(SPLIT_ROWS, 4 * built);
}

void
ivf_split(Relation index, Relation heap, IvfModel *m, IvfRoute *route, IndexInfo *info)
{
	MemoryContext cxt;
	MemoryContext old;
	int			tries;

	if (!ConditionalLockPage(index, IVF_META_BLKNO, ExclusiveLock))
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf split", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		Split		s = {index, heap, m, route, info};

		if (!ivf_route_find(index, m, route) || !copy_list(&s) || !two_means(&s))
			break;
		write_new_list(&s, 0);
		write_new_list(&s, 1);
		if (flip(&s))
			break;
		forget_new_list(&s, 0);
		forget_new_list(&s, 1);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	UnlockPage(index, IVF_META_BLKNO, ExclusiveLock);
}

/* ---- 1. copy ---- */

/* False if the list is too short by now, or too long to be locked at once. */
static bool
copy_list(Split *s)
{
	BlockNumber blkno = s->route->head_blkno;
	int			idx = s->route->head_idx;
	IvfWalk		walk = {0};
	int			r;

	while (blkno != InvalidBlockNumber)
	{
		BlockNumber here = blkno;
		Buffer		buf;
		Page		page;
		int			i;

		CHECK_FOR_INTERRUPTS();
		page = vs_read(s->index, blkno, VS_IVF_LIST, BUFFER_LOCK_SHARE, &buf);
		for (i = 0; i < s->npages && s->pages[i] != here; i++)
			;
		if (i == MAX_PAGES)
		{
			UnlockReleaseBuffer(buf);
			return false;
		}
		if (i == s->npages)
			s->pages[s->npages++] = here;
		do
		{
			IvfBlock	block = IVF_BLOCK(page, s->m->sdim, idx);

			if (idx >= s->m->blocks_per_page || block->list != s->route->list || (block->flags & IVF_BLOCK_MOVED))
			{
				UnlockReleaseBuffer(buf);
				return false;
			}
			ivf_walk(s->index, &walk, here, idx);
			copy_block(s, block);
			blkno = block->next_blkno;
			idx = block->next_idx;
		} while (blkno == here);
		UnlockReleaseBuffer(buf);
	}
	for (r = 0; r < s->n; r++)
	{
		CHECK_FOR_INTERRUPTS();
		decode_row(s, &s->rows[r]);
	}
	return s->n > SPLIT_ROWS / 2;
}

static void
copy_block(Split *s, IvfBlock block)
{
	int			i;

	for (i = 0; i < VQ_BLOCK; i++)
	{
		SplitRow   *row;

		if (ivf_tid_empty(&block->tid[i]))
			continue;
		if (s->n == s->cap)
		{
			s->cap = Max(s->cap * 2, 256);
			s->rows = s->rows ? repalloc(s->rows, sizeof(SplitRow) * s->cap) :
				palloc(sizeof(SplitRow) * s->cap);
		}
		row = &s->rows[s->n++];
		row->tid = block->tid[i];
		row->ref_blkno = block->ref_blkno[i];
		row->ref_idx = block->ref_idx[i];
		row->add = block->add[i];
		row->bits = NULL;
		if (s->m->codec == NULL)
		{
			row->bits = palloc(s->m->sdim / 8);
			vq_block_get(block->codes, s->m->sdim, i, row->bits);
		}
	}
}

/*
 * The rotated vector of a row: from its refine code, else from the heap, else
 * (the heap row is gone, the entry waits for vacuum) from the 1-bit code.
 * No lock is held: the heap row may have to be computed by an expression.
 */
static void
decode_row(Split *s, SplitRow *row)
{
	IvfModel   *m = s->m;
	float		c2;
	int			d;

	row->x = palloc(sizeof(float) * m->dim);
	row->e2 = 0;
	if (m->codec && decode_refine(s, row))
		return;
	if (fetch_heap_vector(s, &row->tid, row->x))
		return;
	/* Of length |r| = sqrt(add) up to the centroid's share, along the code. */
	c2 = isfinite(row->add) && row->add > 0 ? sqrtf(row->add / m->sdim) : 0;
	for (d = 0; d < m->dim; d++)
		row->x[d] = s->route->c[d] +
			(row->bits && d < m->sdim ? ((row->bits[d / 8] >> (d % 8)) & 1 ? c2 : -c2) : 0);
	row->e2 = c2 * c2 * m->sdim;
}

static bool
decode_refine(Split *s, SplitRow *row)
{
	IvfModel   *m = s->m;
	IvfRefine	ref = palloc(m->refine_size);
	BlockNumber blkno = row->ref_blkno;
	Size		done = 0;
	float		e;

	while (done < m->refine_size)
	{
		Size		n = Min(m->refine_size - done, VS_USABLE);
		Size		at = m->refine_size <= VS_USABLE ? m->refine_size * row->ref_idx : 0;
		Buffer		buf;
		Page		page = vs_read_if(s->index, blkno, VS_IVF_REFINE, BUFFER_LOCK_SHARE, NULL, &buf);

		if (page == NULL)
			break;
		if (at + n > VS_USABLE)
		{
			UnlockReleaseBuffer(buf);
			break;
		}
		memcpy((char *) ref + done, PageGetContents(page) + at, n);
		done += n;
		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
	}
	if (done < m->refine_size || !ivf_tid_equal(&ref->tid, &row->tid) || ref->part >= m->nparts)
	{
		pfree(ref);
		return false;
	}
	e = m->codec->decode(ref->code, m->part + (Size) ref->part * m->dim, m->dim, m->params, row->x);
	row->e2 = e * e;
	pfree(ref);
	return true;
}

/* Any version of the row has the same vector: index columns forbid HOT. */
static bool
fetch_heap_vector(Split *s, const IvfTid *tid, float *x)
{
	IndexFetchTableData *fetch = table_index_fetch_begin(s->heap);
	TupleTableSlot *slot = table_slot_create(s->heap, NULL);
	ItemPointerData at;
	bool		again = false;
	bool		dead = false;
	bool		found;

	ivf_tid_get(tid, &at);
	found = table_index_fetch_tuple(fetch, &at, SnapshotAny, slot, &again, &dead);
	if (found)
	{
		EState	   *estate = CreateExecutorState();
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		IndexInfo  *info = BuildIndexInfo(s->index);

		GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
		FormIndexDatum(info, slot, estate, values, isnull);
		found = !isnull[0];
		if (found)
		{
			Vector	   *v = DatumGetVector(values[0]);

			found = v->dim == s->m->dims &&
				ivf_rotate(s->m, v->x, palloc(sizeof(float) * s->m->dims), x) == VI_FINITE;
		}
		FreeExecutorState(estate);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_index_fetch_end(fetch);
	return found;
}

/* False if the rows cannot be told apart (then the list just stays long). */
static bool
two_means(Split *s)
{
	IvfModel   *m = s->m;
	float	   *mean[2];
	int			iter;
	int			i;
	int			d;

	s->side = palloc0(sizeof(int) * s->n);
	mean[0] = palloc(sizeof(float) * m->dim);
	mean[1] = palloc(sizeof(float) * m->dim);
	/* Seeds: a row, and the row farthest from it. */
	memcpy(mean[0], s->rows[s->n / 2].x, sizeof(float) * m->dim);
	{
		float		far = -1;
		int			at = 0;

		for (i = 0; i < s->n; i++)
		{
			float		dist = vk->l2sq_f32(s->rows[i].x, mean[0], m->dim);

			if (dist > far)
			{
				far = dist;
				at = i;
			}
		}
		if (!(far > 0))
			return false;
		memcpy(mean[1], s->rows[at].x, sizeof(float) * m->dim);
	}
	for (iter = 0; iter < KMEANS_ITERS; iter++)
	{
		int			n[2] = {0, 0};

		for (i = 0; i < s->n; i++)
		{
			s->side[i] = vk->l2sq_f32(s->rows[i].x, mean[1], m->dim) <
				vk->l2sq_f32(s->rows[i].x, mean[0], m->dim);
			n[s->side[i]]++;
		}
		/* No side smaller than an eighth: a split must shorten the list. */
		if (n[0] < s->n / 8 || n[1] < s->n / 8)
		{
			for (i = 0; i < s->n; i++)
				s->side[i] = i % 2;
			n[0] = (s->n + 1) / 2;
			n[1] = s->n / 2;
		}
		memset(mean[0], 0, sizeof(float) * m->dim);
		memset(mean[1], 0, sizeof(float) * m->dim);
		for (i = 0; i < s->n; i++)
			for (d = 0; d < m->dim; d++)
				mean[s->side[i]][d] += s->rows[i].x[d] / n[s->side[i]];
	}
	encode_centroid(s, 0, mean[0]);
	encode_centroid(s, 1, mean[1]);
	return true;
}

static void
encode_centroid(Split *s, int side, const float *mean)
{
	IvfModel   *m = s->m;
	const float *top = m->part + (Size) s->route->part * m->dim;
	IvfDirEntry e;

	s->entry[side] = palloc0(m->entry_size);
	s->c[side] = palloc(sizeof(float) * m->dim);
	e = (IvfDirEntry) s->entry[side];
	m->dir_codec->encode(mean, top, m->dim, NULL, palloc(sizeof(float) * 3 * m->dim), e->code);
	m->dir_codec->decode(e->code, top, m->dim, NULL, s->c[side]);
}

/* Blocks of one new list, page by page; list numbers are given in flip(). */
static void
write_new_list(Split *s, int side)
{
	IvfModel   *m = s->m;
	float	   *scratch = palloc(sizeof(float) * 3 * m->dim);
	IvfRowCode	code;
	BlockNumber next = InvalidBlockNumber;
	IvfDirEntry e = (IvfDirEntry) s->entry[side];
	Buffer		metabuf;
	Page		page;
	VsChange	change;
	int		   *mine;
	int			n = 0;
	int			i;

	/* A number of its own, so that a crash never gives it twice. */
	page = vs_read(s->index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_EXCLUSIVE, &metabuf);
	e->list = IvfPageMeta(page)->next_list;
	vs_change_begin(&change, s->index);
	IvfPageMeta(vs_change_page(&change, metabuf, false))->next_list++;
	vs_change_commit(&change);
	UnlockReleaseBuffer(metabuf);

	code.bits = palloc(m->sdim / 8);
	code.refine = NULL;
	mine = palloc(sizeof(int) * s->n);
	for (i = 0; i < s->n; i++)
		if (s->side[i] == side)
			mine[n++] = i;
	for (i = 0; i < n;)
	{
		Buffer		buf = vs_new_page(s->index, s->heap);
		int			used;

		vs_change_begin(&change, s->index);
		page = vs_change_page(&change, buf, true);
		vs_page_init(page, VS_IVF_LIST, 0);
		for (used = 0; used < m->blocks_per_page && i < n; used++)
		{
			IvfBlock	block = IVF_BLOCK(page, m->sdim, used);
			int			slot;

			ivf_block_init(m, block, e->list);
			block->next_blkno = used == 0 ? next : BufferGetBlockNumber(buf);
			block->next_idx = used == 0 ? s->head_idx[side] : used - 1;
			for (slot = 0; slot < VQ_BLOCK && i < n; slot++, i++)
			{
				SplitRow   *row = &s->rows[mine[i]];

				vq_bit_encode(row->x, s->c[side], m->dim, m->sdim, m->oc->metric, scratch,
							  code.bits, &code.f);
				if (m->oc->metric == VQ_L2)
					code.f.add += row->e2;
				code.f.err = sqrtf(code.f.err * code.f.err + row->e2 / Max(m->dim - 1, 1));
				ivf_block_set(m, block, slot, &code.f, code.bits, &row->tid,
							  row->ref_blkno, row->ref_idx);
			}
		}
		vs_change_commit(&change);
		/* The last block has the empty slots, so it is the head. */
		next = BufferGetBlockNumber(buf);
		s->head_idx[side] = used - 1;
		UnlockReleaseBuffer(buf);
	}
	e->rows = n;
	s->head[side] = e->head_blkno = next;
	e->head_idx = s->head_idx[side];
}

/* ---- 2. make visible, 3. remove ---- */

/* False if an insert got in between; nothing has changed then. */
static bool
flip(Split *s)
{
	IvfModel   *m = s->m;
	Buffer		metabuf;
	Buffer		dirbuf;
	Buffer		newbuf = InvalidBuffer;
	Buffer		bufs[MAX_PAGES];
	IvfDirEntry e;
	VsChange	change;
	Page		page;
	Page		dir;
	bool		ok;
	int			i;

	page = vs_read(s->index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_EXCLUSIVE, &metabuf);
	dir = vs_read(s->index, s->route->dir_blkno, VS_IVF_DIR, BUFFER_LOCK_EXCLUSIVE, &dirbuf);
	e = IVF_DIR_ENTRY(dir, m->entry_size, s->route->dir_idx);
	for (i = 0; i < s->npages; i++)
		vs_read(s->index, s->pages[i], VS_IVF_LIST, BUFFER_LOCK_EXCLUSIVE, &bufs[i]);
	ok = e->list == s->route->list && e->head_blkno == s->route->head_blkno &&
		e->head_idx == s->route->head_idx && unchanged(s, bufs);
	if (ok)
	{
		uint32		count = IvfPageDir(dir)->count;
		FullTransactionId now = ReadNextFullTransactionId();

		if (count >= (uint32) m->entries_per_page)
			newbuf = vs_new_page(s->index, s->heap);
		vs_change_begin(&change, s->index);
		page = vs_change_page(&change, metabuf, false);
		IvfPageMeta(page)->nlists++;
		IvfPageMeta(page)->split_epoch++;
		dir = vs_change_page(&change, dirbuf, false);
		memcpy(IVF_DIR_ENTRY(dir, m->entry_size, s->route->dir_idx), s->entry[0], m->entry_size);
		if (BufferIsValid(newbuf))
		{
			page = vs_change_page(&change, newbuf, true);
			vs_page_init(page, VS_IVF_DIR, s->route->part);
			vs_opaque(page)->next = vs_opaque(dir)->next;
			vs_opaque(dir)->next = BufferGetBlockNumber(newbuf);
			memcpy(IVF_DIR_ENTRY(page, m->entry_size, 0), s->entry[1], m->entry_size);
			IvfPageDir(page)->count = 1;
		}
		else
		{
			memcpy(IVF_DIR_ENTRY(dir, m->entry_size, count), s->entry[1], m->entry_size);
			IvfPageDir(dir)->count++;
		}
		vs_change_commit(&change);
		if (BufferIsValid(newbuf))
			UnlockReleaseBuffer(newbuf);
		mark_moved(s, bufs, now);
	}
	for (i = 0; i < s->npages; i++)
		UnlockReleaseBuffer(bufs[i]);
	UnlockReleaseBuffer(dirbuf);
	UnlockReleaseBuffer(metabuf);
	return ok;
}

/* Whether the locked pages still hold exactly the rows that were copied. */
static bool
unchanged(Split *s, Buffer *bufs)
{
	BlockNumber blkno = s->route->head_blkno;
	int			idx = s->route->head_idx;
	IvfWalk		walk = {0};
	int			n = 0;

	while (blkno != InvalidBlockNumber)
	{
		IvfBlock	block;
		int			p;
		int			i;

		for (p = 0; p < s->npages && s->pages[p] != blkno; p++)
			;
		if (p == s->npages || idx >= s->m->blocks_per_page)
			return false;
		ivf_walk(s->index, &walk, blkno, idx);
		block = IVF_BLOCK(BufferGetPage(bufs[p]), s->m->sdim, idx);
		if (block->list != s->route->list)
			return false;
		for (i = 0; i < VQ_BLOCK; i++)
		{
			if (ivf_tid_empty(&block->tid[i]))
				continue;
			if (n == s->n || !ivf_tid_equal(&block->tid[i], &s->rows[n].tid))
				return false;
			n++;
		}
		blkno = block->next_blkno;
		idx = block->next_idx;
	}
	return n == s->n;
}

/* All blocks of the old list, under the exclusive locks of flip(). */
static void
mark_moved(Split *s, Buffer *bufs, FullTransactionId now)
{
	int			p;
	int			i;

	for (p = 0; p < s->npages; p++)
	{
		VsChange	change;
		Page		page;

		vs_change_begin(&change, s->index);
		page = vs_change_page(&change, bufs[p], false);
		for (i = 0; i < s->m->blocks_per_page; i++)
		{
			IvfBlock	block = IVF_BLOCK(page, s->m->sdim, i);

			if (block->list != s->route->list)
				continue;
			block->flags |= IVF_BLOCK_MOVED;
			block->moved_at = now;
		}
		vs_change_commit(&change);
	}
}

/* Pages of a new list that did not become visible: free again at once. */
static void
forget_new_list(Split *s, int side)
{
	BlockNumber blkno = s->head[side];

	while (blkno != InvalidBlockNumber)
	{
		Buffer		buf;
		Page		page = vs_read(s->index, blkno, VS_IVF_LIST, BUFFER_LOCK_EXCLUSIVE, &buf);
		BlockNumber next = IVF_BLOCK(page, s->m->sdim, 0)->next_blkno;
		VsChange	change;

		vs_change_begin(&change, s->index);
		vs_page_free(vs_change_page(&change, buf, true));
		vs_change_commit(&change);
		UnlockReleaseBuffer(buf);
		vs_record_free(s->index, blkno);
		blkno = next;
	}
}
