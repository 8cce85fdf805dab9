/*
 * insp_ivf.c -- vecpg_index_info(): what an ivf index holds.
 *
 * What it is not: a check; a damaged index is an error here (verify.c says
 * where). Reads every page of the index once.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/genam.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "inspect/inspect.h"
#include "pg/options.h"

/* The LIMIT that "probes" is told for. */
#define INFO_LIMIT 10

/* Rows and slots of a list, met before or after its directory entry. */
typedef struct ListCount
{
	uint32		list;			/* key */
	bool		named;			/* in the directory */
	uint32		rows;
	uint32		slots;
} ListCount;

typedef struct Info
{
	Relation	index;
	IvfModel   *m;
	IvfMetaData meta;
	HTAB	   *lists;
	int64		pages[VS_KIND_END];
	int64		uncoded[VI_TIDS_SORTS];
	/* over named lists */
	int64		rows;
	int64		slots;
	uint32	   *lengths;		/* ascending */
	int			nlists;
} Info;

static void read_pages(Info *info);
static void count_page(Info *info, Page page);
static void count_list_page(Info *info, Page page);
static ListCount *list_count(Info *info, uint32 list);
static void add_up(Info *info);
static int	compare_lengths(const void *a, const void *b);
static int	fill(Info *info, Datum *values, bool *nulls);
static char *opclass_name(Relation index);
static Datum curve_array(const IvfCurve *curve, int open, bool probes);

VECPG_FUNCTION(vecpg_index_info);
Datum
vecpg_index_info(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = insp_open(PG_GETARG_OID(0), &heap);
	Info	   *info = palloc0(sizeof(Info));
	HASHCTL		ctl = {0};
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	insp_require_select(heap);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	info->index = index;
	info->m = ivf_model_get(index, &info->meta);
	ivf_model_release_with(info->m, CurrentMemoryContext);
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(ListCount);
	ctl.hcxt = CurrentMemoryContext;
	info->lists = hash_create("ivf lists", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	read_pages(info);
	add_up(info);

	values = palloc0(sizeof(Datum) * desc->natts);
	nulls = palloc0(sizeof(bool) * desc->natts);
	n = fill(info, values, nulls);
	if (n != desc->natts)
		elog(ERROR, "vecpg_index_info has %d columns, its declaration %d", n, desc->natts);
	insp_close(index, heap);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- pages ---- */

static void
read_pages(Info *info)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber blocks = RelationGetNumberOfBlocks(info->index);
	BlockNumber blkno;

	for (blkno = 0; blkno < blocks; blkno++)
	{
		Buffer		buf;
		int			kind;

		CHECK_FOR_INTERRUPTS();
		buf = ReadBufferExtended(info->index, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		kind = vs_kind(info->index, buf);
		/* A new page is a free one. */
		info->pages[kind == 0 ? VS_FREE : kind]++;
		if (kind != 0)
			count_page(info, BufferGetPage(buf));
		UnlockReleaseBuffer(buf);
	}
	FreeAccessStrategy(strategy);
}

static void
count_page(Info *info, Page page)
{
	IvfModel   *m = info->m;
	uint32		sort = vs_opaque(page)->owner;
	uint32		i;

	switch (vs_opaque(page)->kind)
	{
		case VS_IVF_DIR:
			for (i = 0; i < Min(IvfPageDir(page)->count, (uint32) m->entries_per_page); i++)
				list_count(info, IVF_DIR_ENTRY(page, m->entry_size, i)->list)->named = true;
			break;
		case VS_IVF_LIST:
			count_list_page(info, page);
			break;
		case VS_TIDS:
			if (sort < VI_TIDS_SORTS)
				info->uncoded[sort] += Min(ViPageTids(page)->count, VI_TIDS_PER_PAGE);
			break;
		default:
			break;
	}
}

static void
count_list_page(Info *info, Page page)
{
	IvfModel   *m = info->m;
	int			i;
	int			j;

	for (i = 0; i < m->blocks_per_page; i++)
	{
		IvfBlock	block = IVF_BLOCK(page, m->sdim, i);
		ListCount  *count;

		if (block->list == 0 || (block->flags & IVF_BLOCK_MOVED))
			continue;
		count = list_count(info, block->list);
		count->slots += VQ_BLOCK;
		for (j = 0; j < VQ_BLOCK; j++)
			count->rows += !vs_tid_empty(&block->tid[j]);
	}
}

static ListCount *
list_count(Info *info, uint32 list)
{
	bool		found;
	ListCount  *count = hash_search(info->lists, &list, HASH_ENTER, &found);

	if (!found)
	{
		count->named = false;
		count->rows = count->slots = 0;
	}
	return count;
}

static void
add_up(Info *info)
{
	HASH_SEQ_STATUS status;
	ListCount  *count;

	info->lengths = MemoryContextAllocHuge(CurrentMemoryContext,
										   sizeof(uint32) * (hash_get_num_entries(info->lists) + 1));
	hash_seq_init(&status, info->lists);
	while ((count = hash_seq_search(&status)) != NULL)
	{
		if (!count->named)
			continue;
		info->lengths[info->nlists++] = count->rows;
		info->rows += count->rows;
		info->slots += count->slots;
	}
	qsort(info->lengths, info->nlists, sizeof(uint32), compare_lengths);
}

static int
compare_lengths(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

/* ---- the record ---- */

/* In the order of inspect.sql; returns the number of columns. */
static int
fill(Info *info, Datum *values, bool *nulls)
{
	IvfMeta		meta = &info->meta;
	const VqCodec *codec = info->m->codec;
	const IvfCurve *c10 = &meta->curve[0];
	const IvfCurve *c100 = &meta->curve[1];
	double		target = ivf_target_recall(info->index);
	IvfEffort	effort = ivf_effort(meta, target, INFO_LIMIT);
	int64		uncoded = 0;
	int			n = 0;
	int			i;

	for (i = 0; i < VI_TIDS_SORTS; i++)
		uncoded += info->uncoded[i];

	values[n++] = CStringGetTextDatum(get_am_name(info->index->rd_rel->relam));
	values[n++] = CStringGetTextDatum(opclass_name(info->index));
	values[n++] = Int32GetDatum(meta->format);
	values[n++] = Int32GetDatum(meta->dims);
	values[n++] = CStringGetTextDatum(codec == NULL || codec->id == VQ_RABITQ8 || codec->id == VQ_RABITQ4 ?
									  "rabitq" : codec->name);
	values[n++] = Int32GetDatum(codec ? codec->bits : 1);
	values[n++] = Int64GetDatum(info->nlists);
	values[n++] = Int32GetDatum(meta->nparts);
	values[n++] = Int64GetDatum(info->rows + uncoded);
	values[n++] = Int64GetDatum(info->uncoded[VI_TIDS_NULL]);
	values[n++] = Int64GetDatum(info->uncoded[VI_TIDS_NAN]);
	values[n++] = Int64GetDatum(info->uncoded[VI_TIDS_WILD]);
	nulls[n] = info->slots == 0;
	values[n++] = Float8GetDatum(info->slots == 0 ? 0 : 1 - (double) info->rows / info->slots);
	for (i = 0; i < 3; i++)
	{
		nulls[n] = info->nlists == 0;
		values[n++] = Int32GetDatum(info->nlists == 0 ? 0 : info->lengths[i * (info->nlists - 1) / 2]);
	}
	values[n++] = Int64GetDatum(info->pages[VS_IVF_LIST]);
	values[n++] = Int64GetDatum(info->pages[VS_IVF_REFINE]);
	values[n++] = Int64GetDatum(info->pages[VS_IVF_DIR]);
	values[n++] = Int64GetDatum(info->pages[VS_IVF_MODEL]);
	values[n++] = Int64GetDatum(info->pages[VS_TIDS]);
	values[n++] = Int64GetDatum(info->pages[VS_FREE]);
	values[n++] = Int64GetDatum(meta->split_epoch);
	values[n++] = TimestampTzGetDatum(meta->build_time);
	values[n++] = Float8GetDatum(target);
	values[n++] = Int32GetDatum(ivf_probes > 0 ? Min((uint32) ivf_probes, meta->nlists) :
								(uint32) effort.probes);
	values[n++] = Int32GetDatum(c10->queries);
	nulls[n] = nulls[n + 1] = nulls[n + 2] = c10->queries == 0;
	values[n++] = curve_array(c10, effort.open, true);
	values[n++] = curve_array(c10, effort.open, false);
	values[n++] = curve_array(c100, effort.open, false);
	return n;
}

static char *
opclass_name(Relation index)
{
	Oid			opclass = get_index_column_opclass(RelationGetRelid(index), 1);
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	name = pstrdup(NameStr(((Form_pg_opclass) GETSTRUCT(tuple))->opcname));
	ReleaseSysCache(tuple);
	return name;
}

static Datum
curve_array(const IvfCurve *curve, int open, bool probes)
{
	int			n = Min(curve->points, IVF_CURVE_POINTS);
	Datum		elems[IVF_CURVE_POINTS];
	int			f = 0;
	int			i;

	/* The recall at the share of the directory that a scan would look at now. */
	while (f < IVF_OPEN_FACTORS - 1 && ivf_open_factors[f] < open)
		f++;
	for (i = 0; i < n; i++)
		elems[i] = probes ? Int32GetDatum(curve->point[i].probes) : Float4GetDatum(curve->point[i].recall[f]);
	return PointerGetDatum(construct_array(elems, n, probes ? INT4OID : FLOAT4OID, 4, true, TYPALIGN_INT));
}
