/*
 * verify_hnswcode.c -- codes of an hnsw index: of edges, and of rows.
 *
 * What it is not: where edges lead (verify_hnswgraph.c).
 *
 * An edge's code follows from two own codes, so it is computed again. The own
 * codes that edges lead to are held in memory a part at a time, as many as
 * maintenance_work_mem has room for, and all records that have edges into the
 * part are read: with room for all own codes, each page is read twice.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "inspect/verify_hnsw.h"
#include "simd/simd.h"

/*
 * Rounding of rotation and sums when a code is compared with its vector, in
 * units of the lengths involved; another CPU level rounds otherwise.
 */
#define CODE_SLACK 1e-4

/* Own codes of the records of blocks [from, to) that hold a layer's records. */
typedef struct Part
{
	int			layer;
	BlockNumber from;
	BlockNumber to;
	Size		code_size;
	uint32	   *first;			/* [to - from] the block's first record in codes */
	char	   *codes;
	Size		ncodes;
} Part;

static void check_layer(Verify *v, int layer, Size room);
static void read_part(Verify *v, Part *part, Size room);
static bool leads_into(Verify *v, const Part *part, BlockNumber blkno);
static void check_page(Verify *v, const Part *part, BlockNumber blkno);
static void check_record(Verify *v, const Part *part, BlockNumber blkno, int slot, HnswNode node);
static const uint8 *part_code(Verify *v, const Part *part, uint32 number);
static bool near_itself(const HnswModel *m, const float *x, HnswNode node);

void
verify_hnsw_edges(Verify *v)
{
	VerifyHnsw *h = v->state;
	Size		room = (Size) maintenance_work_mem * 1024;

	if (h->m->edge_bits == 0)
		return;
	check_layer(v, 0, room);
	check_layer(v, 1, room);
}

/* ---- codes of edges ---- */

static void
check_layer(Verify *v, int layer, Size room)
{
	VerifyHnsw *h = v->state;
	MemoryContext cxt = AllocSetContextCreate(v->cxt, "vecpg check codes", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Part		part = {layer, 0, HNSW_META_BLKNO + 1};
	BlockNumber blkno;

	part.code_size = h->m->codec->bytes(h->m->dim);
	while (part.to < v->npages)
	{
		part.from = part.to;
		read_part(v, &part, room);
		for (blkno = HNSW_META_BLKNO + 1; blkno < v->npages; blkno++)
			if (leads_into(v, &part, blkno))
				check_page(v, &part, blkno);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* Sets to, and reads the codes up to there. */
static void
read_part(Verify *v, Part *part, Size room)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, part->layer);
	Size		page_size = part->code_size * l->per_page;
	BlockNumber blkno;
	Size		pages = 0;

	for (blkno = part->from; blkno < v->npages && (pages == 0 || (pages + 1) * page_size <= room); blkno++)
		pages += v->pages[blkno].kind == l->kind;
	part->to = blkno;
	part->ncodes = 0;
	part->first = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * (part->to - part->from));
	part->codes = MemoryContextAllocHuge(CurrentMemoryContext, page_size * pages + 1);
	for (blkno = part->from; blkno < part->to; blkno++)
	{
		PGAlignedBlock copy;
		int			slot;
		int			missing;

		part->first[blkno - part->from] = part->ncodes;
		if (v->pages[blkno].kind != l->kind)
			continue;
		if (!verify_read(v, blkno, &copy))
			memset(copy.data, 0, BLCKSZ);
		for (slot = 0; slot < l->per_page; slot++, part->ncodes++)
		{
			HnswNode	node = verify_hnsw_record(v, part->layer, copy.data, slot, &missing);

			if (node)
				memcpy(part->codes + part->ncodes * part->code_size, node->code, part->code_size);
		}
	}
}

/* NULL if the record is not of this part, or no record (reported). */
static const uint8 *
part_code(Verify *v, const Part *part, uint32 number)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, part->layer);
	BlockNumber blkno = HNSW_BLKNO(l, number);
	bool		damaged;
	const VerifyNode *n;

	if (blkno < part->from || blkno >= part->to)
		return NULL;
	n = verify_hnsw_node(v, part->layer, number, &damaged);
	if (n == NULL || !VERIFY_IN_GRAPH(n))
		return NULL;
	return (uint8 *) part->codes +
		((Size) part->first[blkno - part->from] + HNSW_SLOT(l, number)) * part->code_size;
}

/* Whether any edge of the page's live records does. */
static bool
leads_into(Verify *v, const Part *part, BlockNumber blkno)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, part->layer);
	const VerifyNode *n = v->pages[blkno].parts;
	int			slot;
	int			i;

	if (v->pages[blkno].kind != l->kind)
		return false;
	for (slot = 0; slot < l->per_page; slot++)
		for (i = 0; n[slot].state == HNSW_LIVE && i < n[slot].nedges; i++)
			if (part_code(v, part, n[slot].edges[i]) != NULL)
				return true;
	return false;
}

static void
check_page(Verify *v, const Part *part, BlockNumber blkno)
{
	VerifyHnsw *h = v->state;
	const HnswLayout *l = HNSW_LAYOUT(h->m, part->layer);
	PGAlignedBlock copy;
	int			slot;
	int			missing;

	if (!verify_read(v, blkno, &copy))
		return;
	for (slot = 0; slot < l->per_page; slot++)
	{
		HnswNode	node = HNSW_NODE(copy.data, l, slot);

		if (node->state == HNSW_LIVE && node->nedges <= l->slots &&
			(node = verify_hnsw_record(v, part->layer, copy.data, slot, &missing)) != NULL)
			check_record(v, part, blkno, slot, node);
	}
}

/* The edges are those of the page now: what is written meanwhile is sound, too. */
static void
check_record(Verify *v, const Part *part, BlockNumber blkno, int slot, HnswNode node)
{
	VerifyHnsw *h = v->state;
	HnswModel  *m = h->m;
	const HnswLayout *l = HNSW_LAYOUT(m, part->layer);
	uint8	   *again = palloc(l->edge_size);
	int			i;

	m->codec->decode(node->code, m->zero, m->dim, m->params, h->c);
	for (i = 0; i < node->nedges; i++)
	{
		const uint8 *edge = HNSW_EDGE(l, node, i);
		const uint8 *code;
		uint32		to;

		memcpy(&to, edge, sizeof(to));
		code = part_code(v, part, to);
		if (code == NULL)
			continue;
		m->codec->decode(code, m->zero, m->dim, m->params, h->x);
		vq_edge_encode(m->edge_bits, h->x, h->c, m->dim, m->edim, m->oc->metric, m->unit, h->scratch,
					   again);
		if (memcmp(again, edge + HNSW_EDGE_CODE, l->edge_size - HNSW_EDGE_CODE) != 0)
			verify_report(v->found, blkno, slot, "code of edge %d does not fit record %u", i, to);
	}
	pfree(again);
}

/* ---- codes of rows ---- */

/*
 * The own code says how far off it is: what it decodes to must be no farther
 * from the row's vector, or the bounds that scans compute are wrong.
 */
void
verify_hnsw_code(Verify *v, const VerifyRow *row, const float *raw)
{
	VerifyHnsw *h = v->state;
	HnswModel  *m = h->m;
	PGAlignedBlock copy;
	HnswNode	node;
	double		norm;
	double		error;
	double		off;
	double		slack;
	int			missing;

	if (row->ref_blkno >= v->npages || !verify_read(v, row->ref_blkno, &copy) ||
		vs_opaque(copy.data)->kind != VS_HNSW_BASE)
		return;
	node = verify_hnsw_record(v, 0, copy.data, row->ref_idx, &missing);
	if (node == NULL || node->state != HNSW_LIVE)
		return;
	if (node->v.hash != hnsw_hash(m->dims, raw))
	{
		verify_report(v->found, row->ref_blkno, row->ref_idx,
					  "row " TID_FORMAT " has another vector than its record", TID_ARGS(&row->tid));
		return;
	}
	if (hnsw_prepare(m, raw, h->scratch, h->c, &norm) != VI_FINITE)
		return;
	error = m->codec->decode(node->code, m->zero, m->dim, m->params, h->x);
	/* The error is a Euclidean length whatever the metric. */
	off = sqrt(vk->l2sq_f32(h->c, h->x, m->dim));
	slack = sqrt(vk->norm2_f32(h->c, m->dim)) + m->mean_norm;
	/* Not a number is wrong as well. */
	if (!(off <= error * (1 + CODE_SLACK) + slack * CODE_SLACK) || !near_itself(m, h->c, node))
		verify_report(v->found, row->ref_blkno, row->ref_idx,
					  "code of row " TID_FORMAT " does not fit its vector", TID_ARGS(&row->tid));
}

/* The bounds of an l1 code rest on another error: it must allow the row x to be at distance 0. */
static bool
near_itself(const HnswModel *m, const float *x, HnswNode node)
{
	HnswQuery	q;
	VqBound		bound;

	if (m->oc->metric != VQ_L1)
		return true;
	hnsw_query(m, x, CurrentMemoryContext, &q);
	m->codec->bound(&q.point, node->code, m->dim, m->params, m->oc->metric, &bound);
	return bound.lo <= 0;
}
