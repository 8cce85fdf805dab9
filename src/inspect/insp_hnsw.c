/*
 * insp_hnsw.c -- vecpg_index_info(): what is hnsw's of it.
 *
 * What it is not: a check (verify_hnsw.c), or the columns of every access
 * method (info.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "am/hnsw/hnsw.h"
#include "inspect/inspect.h"

StaticAssertDecl(HNSW_CURVE_POINTS <= INSP_CURVE_POINTS, "a curve of hnsw fits");

typedef struct Info
{
	HnswModel  *m;
	HnswMetaData meta;
	int64		rows;
	int64		shared;			/* rows in records of several */
	int64		layer[VG_MAX_LEVEL + 1];	/* live records */
	int64		dead;
	int64		freed;
	int64		edges;			/* of live base records */
	int			edges_min;
} Info;

static void count_page(void *arg, Page page);
static void count_record(Info *info, HnswNode node);
static void set_effort(InspInfo *out, Info *info);
static void set_details(InspInfo *out, Info *info);

void
insp_hnsw_info(InspInfo *out)
{
	Info	   *info = palloc0(sizeof(Info));

	info->m = hnsw_model_get(out->index, &info->meta, CurrentMemoryContext);
	insp_pages(out, count_page, info);

	out->rows = info->rows;
	insp_set(out, "format", Int32GetDatum(info->meta.format));
	insp_set(out, "dims", Int32GetDatum(info->meta.dims));
	insp_set_codec(out, info->m->codec);
	insp_set(out, "model_pages", Int64GetDatum(out->pages[VS_HNSW_MODEL]));
	insp_set(out, "built", TimestampTzGetDatum(info->meta.build_time));
	set_effort(out, info);
	set_details(out, info);
}

/* ---- pages ---- */

static void
count_page(void *arg, Page page)
{
	Info	   *info = arg;
	int			kind = vs_opaque(page)->kind;
	const HnswLayout *l = HNSW_LAYOUT(info->m, kind == VS_HNSW_UPPER);
	int			i;

	if (kind != (int) l->kind)
		return;
	for (i = 0; i < l->per_page; i++)
		count_record(info, HNSW_NODE(page, l, i));
}

/* Of a damaged record only what can do no harm is used. */
static void
count_record(Info *info, HnswNode node)
{
	switch (node->state)
	{
		case HNSW_LIVE:
			info->layer[Min(node->level, VG_MAX_LEVEL)]++;
			if (node->level > 0)
				break;
			info->rows += node->count;
			if (node->count > 1)
				info->shared += node->count;
			if (info->layer[0] == 1 || node->nedges < info->edges_min)
				info->edges_min = node->nedges;
			info->edges += node->nedges;
			break;
		case HNSW_DEAD:
			info->dead++;
			break;
		case HNSW_FREED:
			info->freed++;
			break;
		default:
			break;
	}
}

/* ---- the record ---- */

static void
set_effort(InspInfo *out, Info *info)
{
	const HnswCurve *c10 = &info->meta.curve[0];
	const HnswCurve *c100 = &info->meta.curve[1];
	double		target = hnsw_target_recall(out->index);
	InspCurve	curve;
	int			i;

	curve.queries = c10->queries;
	curve.points = Min(c10->points, HNSW_CURVE_POINTS);
	for (i = 0; i < curve.points; i++)
	{
		curve.effort[i] = c10->point[i].ef;
		curve.recall_10[i] = c10->point[i].recall;
		curve.recall_100[i] = c100->point[i].recall;
	}
	insp_set_effort(out, target, hnsw_ef(&info->meta, target, INSP_LIMIT), &curve);
}

static void
set_details(InspInfo *out, Info *info)
{
	HnswMeta	meta = &info->meta;
	const HnswLayout *l = &info->m->layout[0];
	StringInfoData layers;
	int			i;

	initStringInfo(&layers);
	for (i = 0; i <= meta->entry_level; i++)
		appendStringInfo(&layers, "%s" INT64_FORMAT, i == 0 ? "" : ", ", info->layer[i]);
	insp_detail(out, "m", "%u", meta->m);
	insp_detail(out, "ef_construction", "%u", meta->ef_construction);
	insp_detail(out, "edge_bits", "%u", meta->edge_bits);
	insp_detail(out, "records_by_layer", "[%s]", layers.data);
	if (info->layer[0] > 0)
	{
		insp_detail(out, "edges_mean", "%.1f", (double) info->edges / info->layer[0]);
		insp_detail(out, "edges_min", "%d", info->edges_min);
	}
	insp_detail(out, "rows_sharing_a_record", INT64_FORMAT, info->shared);
	insp_detail(out, "dead_records", INT64_FORMAT, info->dead);
	insp_detail(out, "free_records", INT64_FORMAT, info->freed);
	if (l->npages == 1)
		insp_detail(out, "records_per_page", "%d", l->per_page);
	else
		insp_detail(out, "pages_per_record", "%d", l->npages);
	insp_detail(out, "base_pages", INT64_FORMAT, out->pages[VS_HNSW_BASE]);
	insp_detail(out, "upper_pages", INT64_FORMAT, out->pages[VS_HNSW_UPPER]);
	insp_detail(out, "rest_pages", INT64_FORMAT, out->pages[VS_HNSW_REST]);
	insp_detail(out, "row_pages", INT64_FORMAT, out->pages[VS_HNSW_ROWS]);
}
