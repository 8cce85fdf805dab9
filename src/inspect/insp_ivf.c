/*
 * insp_ivf.c -- vecpg_index_info(): what is ivf's of it.
 *
 * What it is not: a check (verify_ivf.c), or the columns of every access
 * method (info.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "am/ivf/ivf.h"
#include "inspect/inspect.h"
#include "pg/options.h"

StaticAssertDecl(IVF_CURVE_POINTS <= INSP_CURVE_POINTS, "a curve of ivf fits");

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
static void set_details(InspInfo *out, Info *info);
static void set_effort(InspInfo *out, Info *info);

void
insp_ivf_info(InspInfo *out)
{
	Info	   *info = palloc0(sizeof(Info));
	HASHCTL		ctl = {0};

	info->m = ivf_model_get(out->index, &info->meta);
	ivf_model_release_with(info->m, CurrentMemoryContext);
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(ListCount);
	ctl.hcxt = CurrentMemoryContext;
	info->lists = hash_create("ivf lists", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	insp_pages(out, count_page, info);
	add_up(info);

	out->rows = info->rows;
	insp_set(out, "format", Int32GetDatum(info->meta.format));
	insp_set(out, "dims", Int32GetDatum(info->meta.dims));
	insp_set_codec(out, info->m->codec);
	insp_set(out, "model_pages", Int64GetDatum(out->pages[VS_IVF_MODEL]));
	insp_set(out, "built", TimestampTzGetDatum(info->meta.build_time));
	set_effort(out, info);
	set_details(out, info);
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
set_details(InspInfo *out, Info *info)
{
	static const char *const length[] = {"list_rows_min", "list_rows_median", "list_rows_max"};
	int			i;

	insp_detail(out, "lists", "%d", info->nlists);
	insp_detail(out, "partitions", "%u", info->meta.nparts);
	insp_detail(out, "splits", "%u", info->meta.split_epoch);
	if (info->slots > 0)
		insp_detail(out, "empty_slots", "%.3f", 1 - (double) info->rows / info->slots);
	for (i = 0; i < 3 && info->nlists > 0; i++)
		insp_detail(out, length[i], "%u", info->lengths[i * (info->nlists - 1) / 2]);
	insp_detail(out, "list_pages", INT64_FORMAT, out->pages[VS_IVF_LIST]);
	insp_detail(out, "refine_pages", INT64_FORMAT, out->pages[VS_IVF_REFINE]);
	insp_detail(out, "directory_pages", INT64_FORMAT, out->pages[VS_IVF_DIR]);
}

static void
set_effort(InspInfo *out, Info *info)
{
	IvfMeta		meta = &info->meta;
	const IvfCurve *c10 = &meta->curve[0];
	const IvfCurve *c100 = &meta->curve[1];
	double		target = ivf_target_recall(out->index);
	IvfEffort	effort = ivf_effort(meta, target, INSP_LIMIT);
	InspCurve	curve;
	int			f = 0;
	int			i;

	/* The recall at the share of the directory that a scan would look at now. */
	while (f < IVF_OPEN_FACTORS - 1 && ivf_open_factors[f] < effort.open)
		f++;
	curve.queries = c10->queries;
	curve.points = Min(c10->points, IVF_CURVE_POINTS);
	for (i = 0; i < curve.points; i++)
	{
		curve.effort[i] = c10->point[i].probes;
		curve.recall_10[i] = c10->point[i].recall[f];
		curve.recall_100[i] = c100->point[i].recall[f];
	}
	insp_set_effort(out, target, ivf_probes > 0 ? Min(ivf_probes, meta->nlists) : effort.probes, &curve);
}
