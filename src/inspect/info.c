/*
 * info.c -- vecpg_index_info(): what an index holds, whatever its access method.
 *
 * What it is not: a check; a damaged index is an error here (verify.c says
 * where). Reads every page of the index once.
 *
 * Columns are set by name. What only one access method has stands in the column
 * "details", so that a further one changes no column.
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
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "inspect/inspect.h"

static void count_tids(InspInfo *info, Page page);
static char *opclass_name(Relation index);

VECPG_FUNCTION(vecpg_index_info);
Datum
vecpg_index_info(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = insp_open(PG_GETARG_OID(0), &heap);
	InspInfo   *info = palloc0(sizeof(InspInfo));
	int64		uncoded = 0;
	int			i;

	insp_require_select(heap);
	if (get_call_result_type(fcinfo, NULL, &info->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	info->index = index;
	info->values = palloc0(sizeof(Datum) * info->desc->natts);
	info->nulls = palloc(sizeof(bool) * info->desc->natts);
	memset(info->nulls, true, sizeof(bool) * info->desc->natts);

	initStringInfo(&info->details);
	insp_method(index)->info(info);
	appendStringInfoChar(&info->details, '}');
	for (i = 0; i < VI_TIDS_SORTS; i++)
		uncoded += info->uncoded[i];
	insp_set(info, "access_method", CStringGetTextDatum(get_am_name(index->rd_rel->relam)));
	insp_set(info, "opclass", CStringGetTextDatum(opclass_name(index)));
	insp_set(info, "rows", Int64GetDatum(info->rows + uncoded));
	insp_set(info, "rows_without_vector", Int64GetDatum(info->uncoded[VI_TIDS_NULL]));
	insp_set(info, "rows_nan", Int64GetDatum(info->uncoded[VI_TIDS_NAN]));
	insp_set(info, "rows_extreme", Int64GetDatum(info->uncoded[VI_TIDS_WILD]));
	insp_set(info, "uncoded_pages", Int64GetDatum(info->pages[VS_TIDS]));
	insp_set(info, "free_pages", Int64GetDatum(info->pages[VS_FREE]));
	insp_set(info, "details", CStringGetTextDatum(info->details.data));
	insp_close(index, heap);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(info->desc), info->values,
													  info->nulls)));
}

void
insp_set(InspInfo *info, const char *column, Datum value)
{
	int			i;

	for (i = 0; i < info->desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(info->desc, i)->attname), column) == 0)
		{
			info->values[i] = value;
			info->nulls[i] = false;
			return;
		}
	elog(ERROR, "vecpg_index_info has no column \"%s\"", column);
}

void
insp_set_codec(InspInfo *info, const VqCodec *codec)
{
	static const char rabitq[] = "rabitq";
	const char *name = codec ? codec->name : rabitq;

	/* As the option names it: the width is told by bits. */
	if (strncmp(name, rabitq, strlen(rabitq)) == 0)
		name = rabitq;
	insp_set(info, "quantizer", CStringGetTextDatum(name));
	insp_set(info, "bits", Int32GetDatum(codec ? codec->bits : 1));
}

void
insp_set_effort(InspInfo *info, double target, int64 effort, const InspCurve *curve)
{
	Datum		elems[3][INSP_CURVE_POINTS];
	int			n = curve->points;
	int			i;

	insp_set(info, "target_recall", Float8GetDatum(target));
	insp_set(info, "effort", Int64GetDatum(effort));
	insp_set(info, "calibration_queries", Int32GetDatum(curve->queries));
	if (curve->queries == 0)
		return;
	for (i = 0; i < n; i++)
	{
		elems[0][i] = Int32GetDatum(curve->effort[i]);
		elems[1][i] = Float4GetDatum(curve->recall_10[i]);
		elems[2][i] = Float4GetDatum(curve->recall_100[i]);
	}
	insp_set(info, "calibration_effort",
			 PointerGetDatum(construct_array(elems[0], n, INT4OID, 4, true, TYPALIGN_INT)));
	insp_set(info, "calibration_recall_10",
			 PointerGetDatum(construct_array(elems[1], n, FLOAT4OID, 4, true, TYPALIGN_INT)));
	insp_set(info, "calibration_recall_100",
			 PointerGetDatum(construct_array(elems[2], n, FLOAT4OID, 4, true, TYPALIGN_INT)));
}

void
insp_detail(InspInfo *info, const char *name, const char *fmt,...)
{
	StringInfo	s = &info->details;

	/* A member a line: psql shows them so. */
	appendStringInfo(s, "%s\"%s\": ", s->len == 0 ? "{" : ",\n ", name);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(s, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(s, needed);
	}
}

void
insp_pages(InspInfo *info, void (*look) (void *arg, Page page), void *arg)
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
		info->pages[kind == 0 ? VS_FREE : kind]++;
		if (kind == VS_TIDS)
			count_tids(info, BufferGetPage(buf));
		else if (kind != 0)
			look(arg, BufferGetPage(buf));
		UnlockReleaseBuffer(buf);
	}
	FreeAccessStrategy(strategy);
}

static void
count_tids(InspInfo *info, Page page)
{
	uint32		sort = vs_opaque(page)->owner;

	if (sort < VI_TIDS_SORTS)
		info->uncoded[sort] += Min(ViPageTids(page)->count, VI_TIDS_PER_PAGE);
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
