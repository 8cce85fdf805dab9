/*
 * insp_ivf.c -- vecpg_index_info(): what is ivf's of it.
 *
 * What it is not: a check (verify_ivf.c), or the columns of every access
 * method (info.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "am/ivf/ivf.h"
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
	IvfModel   *m;
	IvfMetaData meta;
	HTAB	   *lists;
	/* over named lists */
	int64		rows;
	int64		slots;
	uint32	   *lengths;		/* ascending */
	int			nlists;
} Info;

static void count_page(void *arg, Page page);
static void count_list_page(Info *info, Page page);
static ListCount *list_count(Info *info, uint32 list);
static void add_up(Info *info);
static int	compare_lengths(const void *a, const void *b);
static void set_lists(InspInfo *out, Info *info);
static void set_effort(InspInfo *out, Info *info);
static Datum curve_array(const IvfCurve *curve, int open, bool probes);

void
insp_ivf_info(InspInfo *out)
{
	Info	   *info = palloc0(sizeof(Info));
	const VqCodec *codec;
	HASHCTL		ctl = {0};

	info->m = ivf_model_get(out->index, &info->meta);
	ivf_model_release_with(info->m, CurrentMemoryContext);
	codec = info->m->codec;
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(ListCount);
	ctl.hcxt = CurrentMemoryContext;
	info->lists = hash_create("ivf lists", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	insp_pages(out, count_page, info);
	add_up(info);

	out->rows = info->rows;
	insp_set(out, "format", Int32GetDatum(info->meta.format));
	insp_set(out, "dims", Int32GetDatum(info->meta.dims));
	insp_set(out, "quantizer",
			 CStringGetTextDatum(codec == NULL || codec->id == VQ_RABITQ8 || codec->id == VQ_RABITQ4 ?
								 "rabitq" : codec->name));
	insp_set(out, "bits", Int32GetDatum(codec ? codec->bits : 1));
	insp_set(out, "list_pages", Int64GetDatum(out->pages[VS_IVF_LIST]));
	insp_set(out, "refine_pages", Int64GetDatum(out->pages[VS_IVF_REFINE]));
	insp_set(out, "directory_pages", Int64GetDatum(out->pages[VS_IVF_DIR]));
	insp_set(out, "model_pages", Int64GetDatum(out->pages[VS_IVF_MODEL]));
	insp_set(out, "splits", Int64GetDatum(info->meta.split_epoch));
	insp_set(out, "built", TimestampTzGetDatum(info->meta.build_time));
	set_lists(out, info);
	set_effort(out, info);
}

/* ---- pages ---- */

static void
count_page(void *arg, Page page)
{
	Info	   *info = arg;
	IvfModel   *m = info->m;
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

static void
set_lists(InspInfo *out, Info *info)
{
	static const char *const length[] = {"list_rows_min", "list_rows_median", "list_rows_max"};
	int			i;

	insp_set(out, "lists", Int64GetDatum(info->nlists));
	insp_set(out, "partitions", Int32GetDatum(info->meta.nparts));
	if (info->slots > 0)
		insp_set(out, "empty_slots", Float8GetDatum(1 - (double) info->rows / info->slots));
	for (i = 0; i < 3 && info->nlists > 0; i++)
		insp_set(out, length[i], Int32GetDatum(info->lengths[i * (info->nlists - 1) / 2]));
}

static void
set_effort(InspInfo *out, Info *info)
{
	IvfMeta		meta = &info->meta;
	const IvfCurve *c10 = &meta->curve[0];
	const IvfCurve *c100 = &meta->curve[1];
	double		target = ivf_target_recall(out->index);
	IvfEffort	effort = ivf_effort(meta, target, INFO_LIMIT);

	insp_set(out, "target_recall", Float8GetDatum(target));
	insp_set(out, "probes", Int32GetDatum(ivf_probes > 0 ? Min((uint32) ivf_probes, meta->nlists) :
										  (uint32) effort.probes));
	insp_set(out, "calibration_queries", Int32GetDatum(c10->queries));
	if (c10->queries == 0)
		return;
	insp_set(out, "calibration_probes", curve_array(c10, effort.open, true));
	insp_set(out, "calibration_recall_10", curve_array(c10, effort.open, false));
	insp_set(out, "calibration_recall_100", curve_array(c100, effort.open, false));
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
