/*
 * ivfwrite.c -- the pages of a new index: refine rows, blocks, directory, model, meta.
 *
 * What it is not: changes to an index that exists (ivfinsert.c, ivfvacuum.c).
 *
 * Refine rows are written as they come, in heap order. Scan-plane codes are
 * spooled, since blocks hold the rows of one list: in memory while the budget
 * lasts, then in one temporary file per range of leaves, each of which is small
 * enough to be read back whole and grouped.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "am/ivf/ivfbuild.h"

#define CHUNK_BYTES ((Size) 1024 * 1024)

/* Ranges of leaves when spilling: each is read back whole, so 1/64 of all. */
#define SPILL_FILES 64

static void spool_spill(IvfBuild *b);
static void spool_write(IvfSpool *s, const char *row);
static void spool_to_lists(IvfBuild *b);
static void write_lists(IvfBuild *b, char **rows, Size n, uint32 from, uint32 to);
static void write_list(IvfBuild *b, uint32 leaf, char **rows, Size n);
static void flush_remainder(IvfBuild *b);
static void write_directory(IvfBuild *b);
static void write_model(IvfBuild *b, IvfMeta meta);
static void write_meta(IvfBuild *b, IvfMeta meta);

/* In a page that has no number yet: the next block is on the same page. */
#define IVF_SAME_PAGE (InvalidBlockNumber - 1)

/* ---- refine rows and uncoded rows ---- */

static void
flush_refine(IvfBuild *b)
{
	if (b->refine_used > 0)
		vs_bulk_append(b->bulk, b->refine_page.data);
	b->refine_used = 0;
}

/* A row larger than a page: a chain of pages of its own. */
static void
write_wide_refine(IvfBuild *b, const char *row, BlockNumber *blkno)
{
	Size		left = b->m->refine_size;

	*blkno = vs_bulk_next(b->bulk);
	while (left > 0)
	{
		Size		n = Min(left, VS_USABLE);

		vs_page_init(b->refine_page.data, VS_IVF_REFINE, 0);
		memcpy(PageGetContents(b->refine_page.data), row, n);
		if (left < b->m->refine_size)
			vs_opaque(b->refine_page.data)->flags |= IVF_REFINE_REST;
		row += n;
		left -= n;
		if (left > 0)
			vs_opaque(b->refine_page.data)->next = vs_bulk_next(b->bulk) + 1;
		vs_bulk_append(b->bulk, b->refine_page.data);
	}
}

void
ivf_write_refine(IvfBuild *b, const uint8 *code, const VsTid *tid, uint16 part,
				 BlockNumber *blkno, uint16 *idx)
{
	IvfModel   *m = b->m;
	IvfRefine	slot;

	*idx = 0;
	if (m->refine_size > VS_USABLE)
	{
		slot = palloc(m->refine_size);
		slot->tid = *tid;
		slot->part = part;
		memcpy(slot->code, code, m->codec->bytes(m->dim));
		write_wide_refine(b, (char *) slot, blkno);
		pfree(slot);
		return;
	}
	if (b->refine_used == 0)
		vs_page_init(b->refine_page.data, VS_IVF_REFINE, 0);
	slot = IVF_REFINE(b->refine_page.data, m->refine_size, b->refine_used);
	slot->tid = *tid;
	slot->part = part;
	memcpy(slot->code, code, m->codec->bytes(m->dim));
	*blkno = vs_bulk_next(b->bulk);
	*idx = b->refine_used++;
	if (b->refine_used == m->refine_per_page)
		flush_refine(b);
}

void
ivf_write_tid(IvfBuild *b, int sort, ItemPointer tid)
{
	/* A refine row's block is known before its page is written. */
	if (vi_tids_build_full(&b->tids, sort))
		flush_refine(b);
	vi_tids_build_add(&b->tids, b->bulk, sort, tid);
}

/* ---- spool ---- */

void
ivf_spool_begin(IvfBuild *b, Size budget)
{
	IvfSpool   *s = &b->spool;

	s->rowsize = MAXALIGN(sizeof(IvfSpoolRow) + b->m->sdim / 8);
	s->budget = Max(budget, CHUNK_BYTES);
	s->nleaf = b->tree.nleaf;
	s->chunk_rows = Max(CHUNK_BYTES / s->rowsize, 1);
	s->cxt = AllocSetContextCreate(b->cxt, "ivf spool", ALLOCSET_DEFAULT_SIZES);
	s->chunks = palloc0(sizeof(char *) * (s->budget / CHUNK_BYTES + 2));
}

void
ivf_spool_put(IvfBuild *b, const char *row)
{
	IvfSpool   *s = &b->spool;

	s->rows++;
	if (s->files != NULL)
	{
		spool_write(s, row);
		return;
	}
	if (s->nchunks == 0 || s->last_rows == s->chunk_rows)
	{
		if ((Size) (s->nchunks + 1) * CHUNK_BYTES > s->budget)
		{
			spool_spill(b);
			spool_write(s, row);
			return;
		}
		s->chunks[s->nchunks++] = MemoryContextAlloc(s->cxt, s->chunk_rows * s->rowsize);
		s->last_rows = 0;
	}
	memcpy(s->chunks[s->nchunks - 1] + s->last_rows++ * s->rowsize, row, s->rowsize);
}

/* Rows are counted here: the size of a file leaves out what is in its buffer. */
static void
spool_write(IvfSpool *s, const char *row)
{
	int			file = (uint64) ((const IvfSpoolRow *) row)->leaf * s->nfiles / s->nleaf;

	BufFileWrite(s->files[file], (void *) row, s->rowsize);
	s->file_rows[file]++;
}

static void
spool_spill(IvfBuild *b)
{
	IvfSpool   *s = &b->spool;
	int			i;
	Size		r;

	s->nfiles = Min(SPILL_FILES, s->nleaf);
	s->files = palloc(sizeof(BufFile *) * s->nfiles);
	s->file_rows = palloc0(sizeof(Size) * s->nfiles);
	for (i = 0; i < s->nfiles; i++)
		s->files[i] = BufFileCreateTemp(false);
	for (i = 0; i < s->nchunks; i++)
	{
		Size		n = i == s->nchunks - 1 ? s->last_rows : s->chunk_rows;

		CHECK_FOR_INTERRUPTS();
		for (r = 0; r < n; r++)
		{
			char	   *row = s->chunks[i] + r * s->rowsize;

			spool_write(s, row);
		}
	}
	MemoryContextReset(s->cxt);
	s->nchunks = 0;
}

/* ---- lists ---- */

void
ivf_write_rest(IvfBuild *b)
{
	IvfMetaData meta;

	memset(&meta, 0, sizeof(meta));
	flush_refine(b);
	spool_to_lists(b);
	vi_tids_build_end(&b->tids, b->bulk, &meta.tids);
	write_directory(b);
	write_model(b, &meta);
	ivf_calibrate_end(b, &meta);
	write_meta(b, &meta);
	if (b->heap != NULL)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVF_PHASE_SYNC);
	vs_bulk_end(b->bulk);
}

/* Brings the rows of each leaf together, a file or everything at a time. */
static void
spool_to_lists(IvfBuild *b)
{
	IvfSpool   *s = &b->spool;
	char	  **rows;
	Size		n = 0;
	int			i;
	Size		r;

	if (s->files == NULL)
	{
		rows = MemoryContextAllocHuge(b->cxt, sizeof(char *) * Max(s->rows, 1));
		for (i = 0; i < s->nchunks; i++)
			for (r = 0; r < (i == s->nchunks - 1 ? s->last_rows : s->chunk_rows); r++)
				rows[n++] = s->chunks[i] + r * s->rowsize;
		write_lists(b, rows, n, 0, s->nleaf);
		return;
	}
	for (i = 0; i < s->nfiles; i++)
	{
		/* Leaves with leaf * nfiles / nleaf == i. */
		uint32		from = ((uint64) i * s->nleaf + s->nfiles - 1) / s->nfiles;
		uint32		to = ((uint64) (i + 1) * s->nleaf + s->nfiles - 1) / s->nfiles;
		Size		bytes = s->file_rows[i] * s->rowsize;
		char	   *space = MemoryContextAllocHuge(s->cxt, Max(bytes, 1));

		n = s->file_rows[i];
		rows = MemoryContextAllocHuge(s->cxt, sizeof(char *) * Max(n, 1));
		if (BufFileSeek(s->files[i], 0, 0, SEEK_SET) != 0 ||
			BufFileRead(s->files[i], space, bytes) != bytes)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read temporary file of index build: %m")));
		for (r = 0; r < n; r++)
			rows[r] = space + r * s->rowsize;
		write_lists(b, rows, n, from, to);
		BufFileClose(s->files[i]);
		MemoryContextReset(s->cxt);
	}
}

/* Counting sort of row pointers by leaf, then a list per leaf [from, to). */
static void
write_lists(IvfBuild *b, char **rows, Size n, uint32 from, uint32 to)
{
	Size	   *start = MemoryContextAllocHuge(b->spool.cxt, sizeof(Size) * (to - from + 2));
	char	  **sorted = MemoryContextAllocHuge(b->spool.cxt, sizeof(char *) * Max(n, 1));
	uint32		leaf;
	Size		r;

	memset(start, 0, sizeof(Size) * (to - from + 2));
	for (r = 0; r < n; r++)
		start[((IvfSpoolRow *) rows[r])->leaf - from + 2]++;
	for (leaf = 2; leaf < to - from + 2; leaf++)
		start[leaf] += start[leaf - 1];
	for (r = 0; r < n; r++)
		sorted[start[((IvfSpoolRow *) rows[r])->leaf - from + 1]++] = rows[r];
	for (leaf = from; leaf < to; leaf++)
	{
		CHECK_FOR_INTERRUPTS();
		write_list(b, leaf, sorted + start[leaf - from], start[leaf - from + 1] - start[leaf - from]);
	}
	flush_remainder(b);
}

static void
fill_block(IvfBuild *b, IvfBlock block, uint32 leaf, char **rows, Size n)
{
	Size		i;

	ivf_block_init(b->m, block, leaf + 1);
	for (i = 0; i < n; i++)
	{
		IvfSpoolRow *row = (IvfSpoolRow *) rows[i];

		ivf_block_set(b->m, block, i, &row->f, (uint8 *) (row + 1), &row->tid,
					  row->ref_blkno, row->ref_idx);
	}
}

/*
 * A list takes whole pages for as many blocks as fill them; what remains goes
 * to a page that several lists share. That remainder is the list's head, since
 * it is where new rows go, and the chain leads from it to the full pages.
 */
static void
write_list(IvfBuild *b, uint32 leaf, char **rows, Size n)
{
	IvfModel   *m = b->m;
	IvfDirEntry e = (IvfDirEntry) (b->entries + m->entry_size * leaf);
	int			blocks = (n + VQ_BLOCK - 1) / VQ_BLOCK;
	int			whole = blocks / m->blocks_per_page * m->blocks_per_page;
	int			rest = blocks - whole;
	BlockNumber next_blkno = InvalidBlockNumber;
	Size		done = 0;
	int			i;

	e->rows = n;
	/* Whole pages first: a link can only lead to a block that has a number. */
	while (whole > 0)
	{
		BlockNumber blkno = vs_bulk_next(b->bulk);

		vs_page_init(b->list_page.data, VS_IVF_LIST, 0);
		for (i = 0; i < m->blocks_per_page; i++)
		{
			IvfBlock	block = IVF_BLOCK(b->list_page.data, m->sdim, i);
			Size		k = Min(n - done, VQ_BLOCK);

			fill_block(b, block, leaf, rows + done, k);
			done += k;
			block->next_blkno = i + 1 < m->blocks_per_page ? blkno : next_blkno;
			block->next_idx = i + 1 < m->blocks_per_page ? i + 1 : 0;
		}
		vs_bulk_append(b->bulk, b->list_page.data);
		next_blkno = blkno;
		whole -= m->blocks_per_page;
	}
	if (rest == 0)
	{
		e->head_blkno = next_blkno;
		e->head_idx = 0;
		return;
	}
	if (b->rest_used + rest > m->blocks_per_page)
		flush_remainder(b);
	if (b->rest_used == 0)
		vs_page_init(b->rest_page.data, VS_IVF_LIST, 0);
	/* head_blkno is known when the page is written. */
	b->rest_entry[b->rest_entries++] = e;
	e->head_idx = b->rest_used;
	for (i = 0; i < rest; i++)
	{
		IvfBlock	block = IVF_BLOCK(b->rest_page.data, m->sdim, b->rest_used);
		Size		k = Min(n - done, VQ_BLOCK);

		fill_block(b, block, leaf, rows + done, k);
		done += k;
		b->rest_used++;
		block->next_blkno = i + 1 < rest ? IVF_SAME_PAGE : next_blkno;
		block->next_idx = i + 1 < rest ? b->rest_used : 0;
	}
}

static void
flush_remainder(IvfBuild *b)
{
	BlockNumber blkno;
	int			i;

	if (b->rest_used == 0)
		return;
	blkno = vs_bulk_next(b->bulk);
	for (i = 0; i < b->rest_entries; i++)
		b->rest_entry[i]->head_blkno = blkno;
	for (i = 0; i < b->rest_used; i++)
	{
		IvfBlock	block = IVF_BLOCK(b->rest_page.data, b->m->sdim, i);

		if (block->next_blkno == IVF_SAME_PAGE)
			block->next_blkno = blkno;
	}
	vs_bulk_append(b->bulk, b->rest_page.data);
	b->rest_used = b->rest_entries = 0;
}

/* ---- directory, model, metapage ---- */

static void
write_directory(IvfBuild *b)
{
	IvfModel   *m = b->m;
	int			part;

	for (part = 0; part < m->nparts; part++)
	{
		int			leaf = b->tree.leaf_start[part];
		int			end = b->tree.leaf_start[part + 1];

		m->part_head[part] = vs_bulk_next(b->bulk);
		do
		{
			Page		page = b->list_page.data;
			IvfDirPage	dir;

			vs_page_init(page, VS_IVF_DIR, part);
			dir = IvfPageDir(page);
			while (leaf < end && dir->count < (uint32) m->entries_per_page)
			{
				memcpy(IVF_DIR_ENTRY(page, m->entry_size, dir->count),
					   b->entries + m->entry_size * leaf, m->entry_size);
				dir->count++;
				leaf++;
			}
			if (leaf < end)
				vs_opaque(page)->next = vs_bulk_next(b->bulk) + 1;
			vs_bulk_append(b->bulk, page);
		} while (leaf < end);
	}
}

static void
write_model(IvfBuild *b, IvfMeta meta)
{
	Size		bytes = ivf_model_bytes(b->m);
	char	   *tape = MemoryContextAllocHuge(b->cxt, bytes);
	Size		at;

	ivf_model_serialize(b->m, tape);
	meta->model_blkno = vs_bulk_next(b->bulk);
	for (at = 0; at < bytes; at += IVF_MODEL_PAGE_BYTES)
	{
		Page		page = b->list_page.data;

		vs_page_init(page, VS_IVF_MODEL, 0);
		memcpy(PageGetContents(page), tape + at, Min(bytes - at, IVF_MODEL_PAGE_BYTES));
		vs_bulk_append(b->bulk, page);
		meta->model_pages++;
	}
}

static void
write_meta(IvfBuild *b, IvfMeta meta)
{
	IvfModel   *m = b->m;
	Page		page = b->list_page.data;

	meta->magic = IVF_MAGIC;
	meta->format = IVF_FORMAT;
	if (!pg_strong_random(&meta->build_id, sizeof(meta->build_id)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number for index \"%s\"",
						RelationGetRelationName(b->index))));
	meta->seed = b->seed;
	meta->dims = m->dims;
	meta->dim = m->dim;
	meta->sdim = m->sdim;
	meta->opclass = m->oc->id;
	meta->codec = m->codec ? m->codec->id : VQ_NONE;
	meta->dir_codec = m->dir_codec->id;
	memcpy(meta->params, m->params, sizeof(meta->params));
	meta->nparts = m->nparts;
	meta->nlists = b->tree.nleaf;
	meta->next_list = b->tree.nleaf + 1;
	meta->rows_built = b->spool.rows;
	meta->build_time = GetCurrentTimestamp();
	vs_page_init(page, VS_IVF_META, 0);
	memcpy(IvfPageMeta(page), meta, sizeof(IvfMetaData));
	vs_bulk_fill(b->bulk, IVF_META_BLKNO, page);
}
