/*
 * hnswwrite.c -- the pages of a new index: records, rows of equal vectors, meta.
 *
 * What it is not: changes to an index that exists (hnswinsert.c).
 *
 * Records are placed in the order of a walk down the graph's own hierarchy:
 * below each row of a layer come the rows whose nearest neighbour of that layer
 * it is. So neighbours lie on nearby pages, and an insert's back-links touch
 * few of them. The numbers of all records follow from the order, so pages are
 * made independently of one another, in threads, some hundred at a time.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

#include "am/hnsw/hnswbuild.h"
#include "math/par.h"

/* Pages made at a time: 4 MB, some 20 ms of work. */
#define SLICE_PAGES 512

typedef struct Writer
{
	HnswBuild  *b;
	uint32	   *order;			/* rows in the order of placement */
	uint32	   *rank;			/* the inverse */
	uint32	   *upper_row;		/* row of each upper record, in the order of graph.upper */
	size_t		nupper;
	BlockNumber first[2];		/* of base and of upper records */
	BlockNumber first_rows;		/* of chunks */
	size_t		nchunks;
	/* a slice */
	int			layout;			/* 0 base, 1 upper */
	size_t		from;			/* first page of the slice, counted from first[] */
	char	   *pages;			/* [SLICE_PAGES * BLCKSZ] */
	char	   *scratch;		/* per thread */
	Size		scratch_size;
} Writer;

static void place(Writer *w);
static void place_layer(Writer *w, int layer, uint32 *order, size_t *n);
static uint32 parent_of(const VgGraph *g, uint32 i, int layer);
static void number_upper(Writer *w);
static void write_mean(HnswBuild *b);
static void write_records(Writer *w, int layout, size_t count);
static void make_pages(void *arg, int thread, size_t from, size_t to);
static void make_record(Writer *w, size_t at, char *scratch, HnswNode node);
static uint32 number_of(const Writer *w, uint32 row, int layer);
static void split_record(Writer *w, size_t at, const char *record, char *page);
static void count_chunks(Writer *w);
static void write_chunks(Writer *w);
static void write_meta(HnswBuild *b, Writer *w);

void
hnsw_write(HnswBuild *b)
{
	Writer		w = {b};
	size_t		n = b->rows.n;
	int			wide = Max(b->m->dim, b->m->dims);

	if (b->heap != NULL)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_WRITE);
	vi_tids_build_end(&b->tids, b->bulk, &b->meta.tids);
	write_mean(b);
	place(&w);
	number_upper(&w);
	count_chunks(&w);
	w.first[1] = vs_bulk_next(b->bulk);
	w.first[0] = w.first[1] + (w.nupper + b->m->layout[1].per_page - 1) / b->m->layout[1].per_page *
		b->m->layout[1].npages;
	w.first_rows = w.first[0] + (n + b->m->layout[0].per_page - 1) / b->m->layout[0].per_page *
		b->m->layout[0].npages;
	w.pages = b->env.alloc(b->env.arg, (Size) SLICE_PAGES * BLCKSZ);
	/* two vectors, two for the codec, a code, a record of several pages */
	w.scratch_size = VP_ROUND_UP(sizeof(float) * 4 * wide + wide + 64 + b->m->layout[0].size,
								 VP_ALIGN);
	w.scratch = b->env.alloc(b->env.arg, w.scratch_size * b->env.nthreads);
	write_records(&w, 1, w.nupper);
	write_records(&w, 0, n);
	write_chunks(&w);
	write_meta(b, &w);
	if (b->heap != NULL)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_SYNC);
	vs_bulk_end(b->bulk);
}

/* ---- placement ---- */

static void
place(Writer *w)
{
	HnswBuild  *b = w->b;
	size_t		n = b->rows.n;
	size_t		i;
	size_t		count = 0;
	int			layer;

	w->order = b->env.alloc(b->env.arg, sizeof(uint32) * (n + 1));
	w->rank = b->env.alloc(b->env.arg, sizeof(uint32) * (n + 1));
	for (i = 0; i < n; i++)
		if (b->graph.level[i] == b->graph.top)
			w->order[count++] = i;
	for (layer = b->graph.top - 1; layer >= 0 && n > 0; layer--)
	{
		CHECK_FOR_INTERRUPTS();
		place_layer(w, layer, w->order, &count);
	}
	for (i = 0; i < n; i++)
		w->rank[w->order[i]] = i;
}

/* From the order of the layer above to that of this one: a counting sort by parent. */
static void
place_layer(Writer *w, int layer, uint32 *order, size_t *n)
{
	HnswBuild  *b = w->b;
	VgGraph    *g = &b->graph;
	size_t		above = *n;
	uint32	   *start = MemoryContextAllocHuge(b->cxt, sizeof(uint32) * (above + 2));
	uint32	   *parent = MemoryContextAllocHuge(b->cxt, sizeof(uint32) * (b->rows.n + 1));
	size_t		i;

	memset(start, 0, sizeof(uint32) * (above + 2));
	for (i = 0; i < above; i++)
		w->rank[order[i]] = i;
	*n = 0;
	for (i = 0; i < b->rows.n; i++)
	{
		if (g->level[i] < layer)
			continue;
		parent[i] = w->rank[parent_of(g, i, layer)];
		start[parent[i] + 1]++;
		(*n)++;
	}
	for (i = 1; i <= above; i++)
		start[i] += start[i - 1];
	for (i = 0; i < b->rows.n; i++)
		if (g->level[i] >= layer)
			order[start[parent[i]]++] = i;
	pfree(start);
	pfree(parent);
}

/* The nearest row of a higher level that a row knows on this layer: itself, or a neighbour. */
static uint32
parent_of(const VgGraph *g, uint32 i, int layer)
{
	const uint32 *edges = vg_edges(g, i, layer);
	int			most = layer == 0 ? 2 * g->m : g->m;
	int			e;

	if (g->level[i] > layer)
		return i;
	for (e = 0; e < most && edges[e] != VG_NONE; e++)
		if (g->level[edges[e]] > layer)
			return edges[e];
	return g->entry;
}

/* Which row an upper record is of. */
static void
number_upper(Writer *w)
{
	HnswBuild  *b = w->b;
	size_t		i;
	int			l;

	for (i = 0; i < b->rows.n; i++)
		w->nupper += b->graph.level[i];
	w->upper_row = b->env.alloc(b->env.arg, sizeof(uint32) * (w->nupper + 1));
	for (i = 0; i < b->rows.n; i++)
		for (l = 0; l < b->graph.level[i]; l++)
			w->upper_row[b->graph.upper_at[i] + l] = i;
}

static uint32
number_of(const Writer *w, uint32 row, int layer)
{
	const HnswLayout *l = HNSW_LAYOUT(w->b->m, layer);
	size_t		at = layer == 0 ? w->rank[row] : w->b->graph.upper_at[row] + layer - 1;

	return HNSW_NUMBER(l, w->first[layer > 0] + at / l->per_page * l->npages, at % l->per_page);
}

/* ---- pages ---- */

static void
write_mean(HnswBuild *b)
{
	Size		bytes = sizeof(float) * b->m->dims;
	Size		done = 0;
	PGAlignedBlock page;

	b->meta.model_blkno = vs_bulk_next(b->bulk);
	while (done < bytes)
	{
		Size		n = Min(bytes - done, VS_USABLE);

		vs_page_init(page.data, VS_HNSW_MODEL, 0);
		memcpy(PageGetContents(page.data), (char *) b->m->mean + done, n);
		vs_bulk_append(b->bulk, page.data);
		b->meta.model_pages++;
		done += n;
	}
}

/* All records of one layout, a slice of pages at a time. */
static void
write_records(Writer *w, int layout, size_t count)
{
	HnswBuild  *b = w->b;
	const HnswLayout *l = &b->m->layout[layout];
	size_t		pages = (count + l->per_page - 1) / l->per_page * l->npages;
	size_t		slice = SLICE_PAGES / l->npages * l->npages;

	w->layout = layout;
	for (w->from = 0; w->from < pages; w->from += slice)
	{
		size_t		n = Min(slice, pages - w->from);
		size_t		i;

		vm_par_for(b->env.nthreads, n / l->npages, 4, make_pages, w);
		CHECK_FOR_INTERRUPTS();
		for (i = 0; i < n; i++)
			vs_bulk_append(b->bulk, w->pages + i * BLCKSZ);
	}
}

/* Heads [from, to) of the slice; pure code on memory prepared above: runs in threads. */
static void
make_pages(void *arg, int thread, size_t from, size_t to)
{
	Writer	   *w = arg;
	const HnswLayout *l = &w->b->m->layout[w->layout];
	size_t		count = w->layout == 0 ? w->b->rows.n : w->nupper;
	char	   *scratch = w->scratch + w->scratch_size * thread;
	size_t		i;
	int			slot;

	for (i = from; i < to; i++)
	{
		char	   *page = w->pages + i * l->npages * BLCKSZ;
		size_t		at = (w->from / l->npages + i) * l->per_page;

		vs_page_init(page, l->kind, 0);
		if (l->npages > 1)
		{
			char	   *record = scratch + w->scratch_size - w->b->m->layout[0].size;

			memset(record, 0, l->size);
			make_record(w, at, scratch, (HnswNode) record);
			split_record(w, at, record, page);
			continue;
		}
		for (slot = 0; slot < l->per_page && at + slot < count; slot++)
			make_record(w, at + slot, scratch, HNSW_NODE(page, l, slot));
	}
}

/* The record at a place of its layout's order. */
static void
make_record(Writer *w, size_t at, char *scratch, HnswNode node)
{
	HnswBuild  *b = w->b;
	HnswModel  *m = b->m;
	const HnswLayout *l = &m->layout[w->layout];
	int			wide = Max(m->dim, m->dims);
	float	   *own = (float *) scratch;
	float	   *other = own + wide;
	float	   *temp = other + wide;
	uint8	   *code = (uint8 *) (temp + 2 * wide);
	uint32		row = w->layout == 0 ? w->order[at] : w->upper_row[at];
	const HnswBuildRow *side = &b->side[row];
	int			layer = w->layout == 0 ? 0 : (int) (at - b->graph.upper_at[row]) + 1;
	const uint32 *edges = vg_edges(&b->graph, row, layer);
	int			e;

	node->state = HNSW_LIVE;
	node->level = layer;
	node->v.hash = side->hash;
	if (layer == 0)
	{
		node->count = side->count;
		node->tid = side->tid;
		node->u.rows = side->more == 0 ? HNSW_NONE :
			(w->first_rows + side->chunk / HNSW_CHUNKS_PER_PAGE) * HNSW_CHUNKS_PER_PAGE +
			side->chunk % HNSW_CHUNKS_PER_PAGE;
	}
	else
	{
		node->down = number_of(w, row, layer - 1);
		node->u.base = number_of(w, row, 0);
	}
	hnsw_build_code(b, row, code, node->code);
	if (m->edge_bits > 0)
		hnsw_build_decode(b, row, own);
	for (e = 0; e < l->slots && edges[e] != VG_NONE; e++)
	{
		uint8	   *edge = HNSW_EDGE(l, node, e);
		uint32		number = number_of(w, edges[e], layer);

		memcpy(edge, &number, sizeof(number));
		if (m->edge_bits == 0)
			continue;
		hnsw_build_decode(b, edges[e], other);
		vq_edge_encode(m->edge_bits, other, own, m->dim, m->edim, m->oc->metric, m->unit, temp,
					   edge + HNSW_EDGE_CODE);
	}
	node->nedges = e;
}

/* Lays a record over its pages. */
static void
split_record(Writer *w, size_t at, const char *record, char *page)
{
	const HnswLayout *l = &w->b->m->layout[w->layout];
	BlockNumber head = w->first[w->layout] + at * l->npages;
	int			p;

	for (p = 0; p < l->npages; p++)
	{
		char	   *to = page + (Size) p * BLCKSZ;
		Size		done = (Size) p * VS_USABLE;

		if (p > 0)
			vs_page_init(to, VS_HNSW_REST, 0);
		memcpy(PageGetContents(to), record + done, Min(l->size - done, VS_USABLE));
		if (p + 1 < l->npages)
			vs_opaque(to)->next = head + p + 1;
	}
}

/* ---- rows of equal vectors ---- */

static void
count_chunks(Writer *w)
{
	HnswBuild  *b = w->b;
	size_t		i;

	for (i = 0; i < b->rows.n; i++)
	{
		HnswBuildRow *side = &b->side[w->order[i]];

		side->chunk = w->nchunks;
		w->nchunks += (side->count - 1 + HNSW_CHUNK_ROWS - 1) / HNSW_CHUNK_ROWS;
	}
}

static void
write_chunks(Writer *w)
{
	HnswBuild  *b = w->b;
	PGAlignedBlock page;
	size_t		done = 0;
	size_t		i;

	for (i = 0; i < b->rows.n; i++)
	{
		HnswBuildRow *side = &b->side[w->order[i]];
		uint32		more = side->more;

		while (more != 0)
		{
			uint32		slot = done % HNSW_CHUNKS_PER_PAGE;
			HnswChunk	chunk = HNSW_CHUNK(page.data, slot);

			if (slot == 0)
				vs_page_init(page.data, VS_HNSW_ROWS, 0);
			chunk->node = number_of(w, w->order[i], 0);
			for (chunk->n = 0; chunk->n < HNSW_CHUNK_ROWS && more != 0; chunk->n++)
			{
				chunk->tid[chunk->n] = b->dups[more - 1].tid;
				more = b->dups[more - 1].next;
			}
			done++;
			chunk->next = more == 0 ? HNSW_NONE :
				(w->first_rows + done / HNSW_CHUNKS_PER_PAGE) * HNSW_CHUNKS_PER_PAGE +
				done % HNSW_CHUNKS_PER_PAGE;
			if (done % HNSW_CHUNKS_PER_PAGE == 0 || done == w->nchunks)
			{
				CHECK_FOR_INTERRUPTS();
				vs_bulk_append(b->bulk, page.data);
			}
		}
	}
}

static void
write_meta(HnswBuild *b, Writer *w)
{
	HnswModel  *m = b->m;
	HnswMeta	meta = &b->meta;
	PGAlignedBlock page;

	meta->magic = HNSW_MAGIC;
	meta->format = HNSW_FORMAT;
	meta->build_id = hnsw_random_id();
	meta->seed = b->seed;
	meta->dims = m->dims;
	meta->dim = m->dim;
	meta->edim = m->edim;
	meta->opclass = m->oc->id;
	meta->codec = m->codec->id;
	meta->edge_bits = m->edge_bits;
	meta->m = m->m;
	meta->ef_construction = m->ef_construction;
	meta->entry = HNSW_NONE;
	if (b->rows.n > 0)
	{
		meta->entry_level = b->graph.top;
		meta->entry = number_of(w, b->graph.entry, b->graph.top);
	}
	memcpy(meta->params, m->params, sizeof(meta->params));
	meta->unit = m->unit;
	meta->max_norm = m->max_norm;
	meta->rows_built = b->rows.n;
	meta->build_time = GetCurrentTimestamp();
	vs_page_init(page.data, VS_HNSW_META, 0);
	memcpy(HnswPageMeta(page.data), meta, sizeof(HnswMetaData));
	vs_bulk_fill(b->bulk, HNSW_META_BLKNO, page.data);
}
