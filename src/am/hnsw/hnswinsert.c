/*
 * hnswinsert.c -- aminsert: a row joins the record of its vector, or makes one.
 *
 * What it is not: the choice of edges (hnswnear.c), the edges back (hnswback.c),
 * or room for records (hnswplace.c).
 *
 * First everything is looked for, layer by layer from above; then the records are
 * written from below, each with its edges in one WAL record, and each followed by
 * the edges back to it. A row whose vector the graph has already only adds its
 * tid there: an UPDATE of other columns builds no edge.
 *
 * All of it happens under a share lock of the metapage's heavyweight lock: VACUUM
 * waits for it once, so that no insert that chose a record when it was alive
 * links to it after VACUUM has begun to take it out (hnswvacuum.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "am/hnsw/hnswlink.h"

/* The graph may change under our feet, but not for ever. */
#define MAX_RETRIES 1000

typedef struct HnswInsert
{
	Relation	index;
	Relation	heap;
	MemoryContext cxt;
	HnswModel  *m;
	HnswMetaData meta;
	const Vector *raw;
	VsTid		tid;
	bool		first;			/* this row has set what an empty build left open */
	uint8	   *code;
	uint64		hash;
	HnswLinks	links;
	HnswChoice	choice[VG_MAX_LEVEL + 1];
} HnswInsert;

static ViClass prepare(HnswInsert *in);
static bool insert_coded(HnswInsert *in);
static bool set_first(HnswInsert *in);
static bool become_entry(HnswInsert *in);
static bool search_layers(HnswInsert *in, int level, bool *alone);
static bool join_equal(HnswInsert *in);
static void write_records(HnswInsert *in, int level);
static char *make_record(HnswInsert *in, int layer, uint32 down, uint32 base,
						 const HnswChoice *choice);
static void raise_entry(HnswInsert *in, uint32 number, int level);

bool
hnswinsert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
		   Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	MemoryContext cxt;
	MemoryContext old;
	HnswInsert *in;
	int			tries;

	if (isnull[0])
	{
		vi_tids_insert(index, heap, VS_HNSW_META, hnsw_tid_heads, VI_TIDS_NULL, tid);
		return false;
	}
	cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	in = palloc0(sizeof(HnswInsert));
	in->index = index;
	in->heap = heap;
	in->cxt = cxt;
	in->raw = DatumGetVector(values[0]);
	vs_tid_set(&in->tid, tid);
	LockPage(index, HNSW_META_BLKNO, ShareLock);
	for (tries = 0; tries < MAX_RETRIES; tries++)
	{
		ViClass		class;

		CHECK_FOR_INTERRUPTS();
		in->m = hnsw_model_get(index, &in->meta, cxt);
		vt_check_expected_dim(in->m->dims, in->raw->dim);
		class = prepare(in);
		if (class != VI_FINITE)
		{
			vi_tids_insert(index, heap, VS_HNSW_META, hnsw_tid_heads, vi_tids_sort(class), tid);
			break;
		}
		if (insert_coded(in))
			break;
	}
	UnlockPage(index, HNSW_META_BLKNO, ShareLock);
	if (tries == MAX_RETRIES)
		elog(ERROR, "index \"%s\": graph keeps changing under an insert",
			 RelationGetRelationName(index));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return false;
}

/* The row's code and hash, by the model in force. */
static ViClass
prepare(HnswInsert *in)
{
	HnswModel  *m = in->m;
	float	   *scratch = palloc(sizeof(float) * Max(m->dims, 2 * m->dim));
	float	   *x = palloc(sizeof(float) * m->dim);
	double		norm;
	ViClass		class = hnsw_prepare(m, in->raw->x, scratch, x, &norm);

	if (class == VI_FINITE)
	{
		in->hash = hnsw_hash(m->dims, in->raw->x);
		in->code = palloc0(m->codec->bytes(m->dim));
		m->codec->encode(x, m->zero, m->dim, m->params, scratch, in->code);
	}
	return class;
}

/* False: the graph has changed, start again. */
static bool
insert_coded(HnswInsert *in)
{
	int			level;
	bool		alone;

	if (in->meta.entry == HNSW_NONE && in->meta.rows_built == 0 && !in->first)
		return set_first(in);
	hnsw_links_begin(&in->links, in->index, in->heap, in->m, in->code, in->cxt);
	if (in->meta.entry == HNSW_NONE)
		return become_entry(in);
	/* A vector one layer above the entry is as good there as one far above. */
	level = Min(vg_level(pg_prng_uint64(&pg_global_prng_state), in->m->m),
				Min(in->meta.entry_level + 1, VG_MAX_LEVEL));
	if (!search_layers(in, level, &alone))
		return false;
	if (join_equal(in))
		return true;
	if (alone)
		return become_entry(in);
	write_records(in, level);
	return true;
}

/* ---- no record to link to ---- */

/* An index built empty has learnt no lengths: the first row sets them. */
static bool
set_first(HnswInsert *in)
{
	Buffer		buf;
	Page		page = vs_read(in->index, HNSW_META_BLKNO, VS_HNSW_META, BUFFER_LOCK_EXCLUSIVE, &buf);

	if (HnswPageMeta(page)->build_id == in->meta.build_id &&
		HnswPageMeta(page)->entry == HNSW_NONE)
	{
		VsChange	change;

		vs_change_begin(&change, in->index);
		page = vs_change_page(&change, buf, false);
		hnsw_first_row(HnswPageMeta(page), in->m, in->raw->x);
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	in->first = true;
	return false;
}

/*
 * Makes the row the entry, without edges, unless the entry is another one than
 * that from which no living record was found.
 */
static bool
become_entry(HnswInsert *in)
{
	HnswChoice	none = {0};
	char	   *record = make_record(in, 0, HNSW_NONE, HNSW_NONE, &none);
	HnswPlace	place;
	Buffer		buf;
	Page		page;
	HnswMeta	meta;
	VsChange	change;

	page = vs_read(in->index, HNSW_META_BLKNO, VS_HNSW_META, BUFFER_LOCK_EXCLUSIVE, &buf);
	if (HnswPageMeta(page)->build_id != in->meta.build_id ||
		HnswPageMeta(page)->entry != in->meta.entry ||
		HnswPageMeta(page)->entry_level != in->meta.entry_level)
	{
		UnlockReleaseBuffer(buf);
		return false;
	}
	hnsw_place_find(in->index, in->heap, in->m, 0, record, &place);
	vs_change_begin(&change, in->index);
	meta = HnswPageMeta(vs_change_page(&change, buf, false));
	meta->entry = hnsw_place_put(&change, &place, record);
	meta->entry_level = 0;
	vs_change_commit(&change);
	hnsw_place_release(in->index, in->m, &place);
	UnlockReleaseBuffer(buf);
	return true;
}

/* ---- looking ---- */

/*
 * Chooses edges for layers level .. 0. *alone: no living record was met on the
 * base layer. False if a record on the way has gone.
 */
static bool
search_layers(HnswInsert *in, int level, bool *alone)
{
	HnswLinks  *k = &in->links;
	int			top = in->meta.entry_level;
	uint32		start = in->meta.entry;
	int			layer;

	for (layer = top + 1; layer <= level; layer++)
		in->choice[layer].n = 0;
	if (level < top)
	{
		start = hnsw_descend(&k->reader, start, top, level);
		/* Only dead records on the way: VACUUM is about to choose another entry. */
		if (start == HNSW_NONE)
			start = hnsw_straight_down(k, in->meta.entry, top, level);
	}
	for (layer = Min(level, top); layer >= 0 && start != HNSW_NONE; layer--)
	{
		hnsw_links_find(k, layer, &start, 1, in->m->ef_construction);
		hnsw_links_choose(k, layer, HNSW_NONE, &in->choice[layer]);
		if (layer > 0)
			start = hnsw_links_alone(k) ? hnsw_straight_down(k, start, layer, layer - 1) :
				k->near[0]->down;
	}
	*alone = hnsw_links_alone(k);
	return layer < 0;
}

/* Adds the row to the record of an equal vector, if the search has met one. */
static bool
join_equal(HnswInsert *in)
{
	HnswLinks  *k = &in->links;
	Size		bytes = in->m->codec->bytes(in->m->dim);
	size_t		i;

	for (i = 0; i < k->nmet; i++)
		if (k->met[i].hash == in->hash && memcmp(k->met[i].code, in->code, bytes) == 0 &&
			hnsw_add_row(in->index, in->heap, in->m, &k->met[i], &in->tid))
			return true;
	return false;
}

/* ---- writing ---- */

static void
write_records(HnswInsert *in, int level)
{
	uint32		base = HNSW_NONE;
	uint32		number = HNSW_NONE;
	int			layer;

	for (layer = 0; layer <= level; layer++)
	{
		char	   *record = make_record(in, layer, number, base, &in->choice[layer]);
		HnswPlace	place;
		VsChange	change;

		CHECK_FOR_INTERRUPTS();
		hnsw_place_find(in->index, in->heap, in->m, layer, record, &place);
		vs_change_begin(&change, in->index);
		number = hnsw_place_put(&change, &place, record);
		vs_change_commit(&change);
		hnsw_place_release(in->index, in->m, &place);
		if (layer == 0)
			base = number;
		hnsw_link_back(&in->links, layer, number, &in->choice[layer]);
	}
	if (level > in->meta.entry_level)
		raise_entry(in, number, level);
}

/* down, base: places of the vector's other records. */
static char *
make_record(HnswInsert *in, int layer, uint32 down, uint32 base, const HnswChoice *choice)
{
	HnswModel  *m = in->m;
	const HnswLayout *l = HNSW_LAYOUT(m, layer);
	char	   *record = palloc0(l->size);
	HnswNode	node = (HnswNode) record;
	int			i;

	node->state = HNSW_LIVE;
	node->level = layer;
	node->nedges = choice->n;
	node->down = down;
	node->v.hash = in->hash;
	if (layer == 0)
	{
		node->u.rows = HNSW_NONE;
		node->count = 1;
		node->tid = in->tid;
	}
	else
		node->u.base = base;
	memcpy(node->code, in->code, m->codec->bytes(m->dim));
	for (i = 0; i < choice->n; i++)
		hnsw_make_edge(&in->links, in->links.x, choice->to[i]->number, choice->to[i]->x,
					   HNSW_EDGE(l, node, i));
	return record;
}

/* The record becomes the entry if it still is higher. */
static void
raise_entry(HnswInsert *in, uint32 number, int level)
{
	Buffer		buf;
	Page		page = vs_read(in->index, HNSW_META_BLKNO, VS_HNSW_META, BUFFER_LOCK_EXCLUSIVE, &buf);

	if (HnswPageMeta(page)->entry_level < level)
	{
		VsChange	change;
		HnswMeta	meta;

		vs_change_begin(&change, in->index);
		meta = HnswPageMeta(vs_change_page(&change, buf, false));
		meta->entry = number;
		meta->entry_level = level;
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
}
