/*
 * lastscan.c -- vecpg_last_scan(): the counters of this backend's last scan.
 *
 * What it is not: a cumulative statistic; pg_stat_user_indexes counts scans.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "funcapi.h"

#include "index/vindex.h"

VECPG_FUNCTION(vecpg_last_scan);
Datum
vecpg_last_scan(PG_FUNCTION_ARGS)
{
	const ViCounters *c = &vi_last_scan;
	const int64 all[] = {
		c->steps, c->lists, c->expanded, c->pages, c->candidates, c->refined, c->reranked, c->emitted,
		c->late, c->prepare_us, c->centroids_us, c->lists_us, c->refine_us, c->rerank_us
	};
	Datum		values[lengthof(all)];
	bool		nulls[lengthof(all)] = {false};
	TupleDesc	desc;
	int			i;

	if (c->scans == 0)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (i = 0; i < (int) lengthof(all); i++)
		values[i] = Int64GetDatum(all[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
