/*
 * verify_hnsw.c -- reads all pages of an hnsw index and keeps what links need.
 *
 * What it is not: the following of links (verify_hnswgraph.c), or the
 * comparison of codes (verify_hnswcode.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"

#include "inspect/verify_hnsw.h"

static bool look_at_all(Verify *v);
static bool check_meta(Verify *v);
static const char *meta_problem(Verify *v);
static bool curves_sound(const HnswMetaData *meta);
static bool read_model(Verify *v);
static void look_at_page(Verify *v, BlockNumber blkno, Page page);
static void look_at_records(Verify *v, int layer, BlockNumber blkno, Page page);
static void look_at_record(Verify *v, int layer, BlockNumber blkno, int slot, HnswNode node,
						   VerifyNode *seen);
static bool code_readable(Verify *v, HnswNode node);
static void look_at_rows(Verify *v, BlockNumber blkno, Page page);
static void add_row(Verify *v, const VsTid *tid, BlockNumber blkno, int item, uint32 number);

const VerifyMethod verify_hnsw = {
	.pages = look_at_all,
	.codes = verify_hnsw_edges,
	.code = verify_hnsw_code,
	.lock_meta = false
};

static bool
look_at_all(Verify *v)
{
	VerifyHnsw *h = palloc0(sizeof(VerifyHnsw));

	v->state = h;
	h->top = -1;
	verify_begin(v);
	if (!check_meta(v) || !read_model(v))
		return false;
	verify_pages(v, look_at_page);
	verify_tids(v, &h->meta.tids);
	verify_hnsw_graph(v);
	return true;
}

/* ---- metapage and model ---- */

static bool
check_meta(Verify *v)
{
	VerifyHnsw *h = v->state;
	PGAlignedBlock copy;
	const char *problem = verify_meta(v, VS_HNSW_META, &copy);

	if (problem == NULL)
	{
		memcpy(&h->meta, HnswPageMeta(copy.data), sizeof(HnswMetaData));
		v->oc = vi_opclass(v->index);
		problem = meta_problem(v);
	}
	if (problem)
		verify_report(v->found, HNSW_META_BLKNO, -1, "%s", problem);
	v->dims = h->meta.dims;
	return problem == NULL;
}

/* Codes and layout follow from operator class, dimensions and options, so they are derived again. */
static const char *
meta_problem(Verify *v)
{
	VerifyHnsw *h = v->state;
	HnswMeta	meta = &h->meta;
	HnswModel	m = {0};
	int			dims = vi_index_dims(v->index);

	if (meta->magic != HNSW_MAGIC)
		return "metapage has another magic number";
	if (meta->format != HNSW_FORMAT)
		return "metapage has another format";
	if (meta->opclass != v->oc->id)
		return "metapage names another operator class";
	if (meta->dims < 1 || meta->dims > VECTOR_MAX_DIM || (dims > 0 && meta->dims != (uint32) dims))
		return "metapage has wrong dimensions";
	if (meta->m < 2 || meta->m > 100 || meta->ef_construction < 1)
		return "metapage has impossible numbers of edges";
	hnsw_model_choose(&m, v->oc, meta->dims, meta->m, meta->ef_construction,
					  meta->codec == VQ_RABITQ6 ? 6 : meta->codec == VQ_RABITQ8 ? 8 : 0);
	if (meta->dim != (uint32) m.dim || meta->edim != (uint32) m.edim)
		return "metapage has wrong dimensions of codes";
	if (meta->codec != m.codec->id || meta->edge_bits != m.edge_bits)
		return "metapage names another codec";
	if (!(meta->unit > 0) || !isfinite(meta->unit) || !(meta->max_norm >= 0) ||
		!isfinite(meta->max_norm) || !isfinite(meta->params[0]) || !isfinite(meta->params[1]))
		return "metapage has lengths that are no numbers";
	if (meta->entry_level > VG_MAX_LEVEL)
		return "metapage has an entry on an impossible layer";
	if (!curves_sound(meta))
		return "metapage has a damaged recall curve";
	return NULL;
}

static bool
curves_sound(const HnswMetaData *meta)
{
	int			c;
	uint32		i;

	for (c = 0; c < HNSW_CURVES; c++)
	{
		const HnswCurve *curve = &meta->curve[c];

		if (curve->points > HNSW_CURVE_POINTS)
			return false;
		for (i = 0; i < curve->points; i++)
		{
			const HnswCurvePoint *p = &curve->point[i];

			if ((i > 0 && p->ef <= curve->point[i - 1].ef) ||
				!(p->recall >= 0 && p->recall <= 1) || !(p->error >= 0))
				return false;
		}
	}
	return true;
}

static bool
read_model(Verify *v)
{
	VerifyHnsw *h = v->state;
	HnswMetaData meta;
	float	   *mean = (float *) verify_model(v, VS_HNSW_MODEL, h->meta.model_blkno,
											  h->meta.model_pages, sizeof(float) * h->meta.dims);
	uint32		i;

	if (mean == NULL)
		return false;
	for (i = 0; i < h->meta.dims; i++)
		if (!isfinite(mean[i]))
		{
			verify_report(v->found, h->meta.model_blkno, -1, "the mean is not finite");
			return false;
		}
	/* What is sound on disk can be loaded. */
	h->m = hnsw_model_get(v->index, &meta, v->cxt);
	h->wide = palloc(Max(h->m->layout[0].size, h->m->layout[1].size));
	h->x = palloc(sizeof(float) * h->m->dim);
	h->c = palloc(sizeof(float) * h->m->dim);
	h->scratch = palloc(sizeof(float) * 2 * h->m->dim);
	return true;
}

/* ---- all pages ---- */

static void
look_at_page(Verify *v, BlockNumber blkno, Page page)
{
	VerifyHnsw *h = v->state;

	switch (vs_opaque(page)->kind)
	{
		case VS_HNSW_BASE:
			look_at_records(v, 0, blkno, page);
			break;
		case VS_HNSW_UPPER:
			look_at_records(v, 1, blkno, page);
			break;
		case VS_HNSW_ROWS:
			look_at_rows(v, blkno, page);
			break;
		case VS_HNSW_REST:
			break;				/* read by its links */
		case VS_HNSW_MODEL:
			if (blkno < h->meta.model_blkno || blkno - h->meta.model_blkno >= h->meta.model_pages)
				verify_report(v->found, blkno, -1, "model page is not among the model's pages");
			break;
		default:
			verify_report(v->found, blkno, -1, "page of kind \"%s\" has no place here",
						  vs_kind_name(vs_opaque(page)->kind));
	}
}

static void
look_at_records(Verify *v, int layer, BlockNumber blkno, Page page)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, layer);
	VerifyNode *seen = MemoryContextAllocZero(v->cxt, sizeof(VerifyNode) * l->per_page);
	int			slot;

	v->pages[blkno].parts = seen;
	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node = HNSW_NODE(page, l, slot);
		int			missing;

		switch (node->state)
		{
			case HNSW_EMPTY:
				continue;
			case HNSW_FREED:
				seen[slot].state = HNSW_FREED;
				if (FullTransactionIdFollows(node->v.freed, v->last_xid))
					verify_report(v->found, blkno, slot, "record was freed by a transaction of the future");
				continue;
			case HNSW_LIVE:
			case HNSW_DEAD:
				break;
			default:
				verify_report(v->found, blkno, slot, "record has unknown state %u", node->state);
				continue;
		}
		node = verify_hnsw_record(v, layer, page, slot, &missing);
		if (node == NULL)
		{
			verify_report(v->found, blkno, slot, "record lacks its page %d of %d", missing, l->npages);
			continue;
		}
		look_at_record(v, layer, blkno, slot, node, &seen[slot]);
	}
}

HnswNode
verify_hnsw_record(Verify *v, int layer, Page page, int slot, int *missing)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, layer);
	BlockNumber next = vs_opaque(page)->next;
	int			n;

	if (l->npages == 1)
		return HNSW_NODE(page, l, slot);
	memcpy(h->wide, HNSW_NODE(page, l, 0), VS_USABLE);
	for (n = 1; n < l->npages; n++)
	{
		PGAlignedBlock copy;

		if (next >= v->npages || !verify_read(v, next, &copy) ||
			vs_opaque(copy.data)->kind != VS_HNSW_REST)
		{
			*missing = n + 1;
			return NULL;
		}
		memcpy(h->wide + (Size) n * VS_USABLE, PageGetContents(copy.data),
			   Min(l->size - (Size) n * VS_USABLE, VS_USABLE));
		next = vs_opaque(copy.data)->next;
	}
	return (HnswNode) h->wide;
}

static void
look_at_record(Verify *v, int layer, BlockNumber blkno, int slot, HnswNode node, VerifyNode *seen)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, layer);
	int			i;

	if (layer == 0 ? node->level != 0 : node->level < 1 || node->level > VG_MAX_LEVEL)
	{
		verify_report(v->found, blkno, slot, "record of layer %u is on a page of kind \"%s\"",
					  node->level, vs_kind_name(l->kind));
		return;
	}
	if (node->nedges > l->slots)
		verify_report(v->found, blkno, slot, "record has %u edges, more than the %d that fit",
					  node->nedges, l->slots);
	if (!code_readable(v, node))
		verify_report(v->found, blkno, slot, "own code of the record is not a vector");
	seen->state = node->state;
	seen->level = node->level;
	seen->nedges = Min(node->nedges, l->slots);
	seen->down = node->down;
	seen->link = layer == 0 ? node->u.rows : node->u.base;
	seen->count = node->count;
	seen->code = hash_bytes_extended(node->code, h->m->codec->bytes(h->m->dim), 0);
	seen->edges = MemoryContextAlloc(v->cxt, sizeof(uint32) * (seen->nedges + 1));
	for (i = 0; i < seen->nedges; i++)
		memcpy(&seen->edges[i], HNSW_EDGE(l, node, i), sizeof(uint32));
	if (node->state == HNSW_DEAD && layer == 0 &&
		(node->count > 0 || node->u.rows != HNSW_NONE || !vs_tid_empty(&node->tid)))
		verify_report(v->found, blkno, slot, "record is dead, but has rows");
	if (node->state != HNSW_LIVE)
		return;
	h->top = Max(h->top, node->level);
	if (layer == 0 && !vs_tid_empty(&node->tid))
	{
		add_row(v, &node->tid, blkno, slot, HNSW_NUMBER(l, blkno, slot));
		seen->rows++;
	}
}

static bool
code_readable(Verify *v, HnswNode node)
{
	VerifyHnsw *h = v->state;
	HnswModel  *m = h->m;
	float		error = m->codec->decode(node->code, m->zero, m->dim, m->params, h->x);
	int			d;

	for (d = 0; d < m->dim; d++)
		if (!isfinite(h->x[d]))
			return false;
	/* An error of infinity is allowed: a code without a bound. */
	return error >= 0;
}

static void
look_at_rows(Verify *v, BlockNumber blkno, Page page)
{
	VerifyChunk *seen = MemoryContextAllocZero(v->cxt, sizeof(VerifyChunk) * HNSW_CHUNKS_PER_PAGE);
	uint32		slot;
	int			i;

	v->pages[blkno].parts = seen;
	for (slot = 0; slot < HNSW_CHUNKS_PER_PAGE; slot++)
	{
		HnswChunk	chunk = HNSW_CHUNK(page, slot);

		seen[slot].node = chunk->node;
		seen[slot].next = chunk->next;
		seen[slot].n = Min(chunk->n, HNSW_CHUNK_ROWS);
		if (chunk->node == HNSW_NONE)
			continue;
		if (chunk->n < 1 || chunk->n > HNSW_CHUNK_ROWS)
			verify_report(v->found, blkno, slot * HNSW_CHUNK_ROWS, "%u rows in a place for 1 to %d",
						  chunk->n, HNSW_CHUNK_ROWS);
		for (i = 0; i < seen[slot].n; i++)
			add_row(v, &chunk->tid[i], blkno, slot * HNSW_CHUNK_ROWS + i, chunk->node);
	}
}

/* A row of the base record `number`. */
static void
add_row(Verify *v, const VsTid *tid, BlockNumber blkno, int item, uint32 number)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = &h->m->layout[0];
	VerifyRow	row;

	row.tid = *tid;
	row.ref_blkno = HNSW_BLKNO(l, number);
	row.ref_idx = HNSW_SLOT(l, number);
	row.blkno = blkno;
	row.item = item;
	row.sort = VERIFY_CODED;
	verify_add_row(v, &row);
}

VerifyNode *
verify_hnsw_node(Verify *v, int layer, uint32 number, bool *damaged)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, layer);
	BlockNumber blkno = HNSW_BLKNO(l, number);

	*damaged = blkno < v->npages && v->pages[blkno].damaged;
	if (blkno >= v->npages || v->pages[blkno].kind != l->kind)
		return NULL;
	return (VerifyNode *) v->pages[blkno].parts + HNSW_SLOT(l, number);
}
