/*
 * hnsw.c -- the handler of access method hnsw, its cost estimate and options.
 *
 * What it is not: any of the work (README says which file does what).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/genam.h"
#include "commands/vacuum.h"
#include "optimizer/optimizer.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

#include "am/hnsw/hnsw.h"
#include "index/scan.h"
#include "pg/options.h"

static bytea *hnswoptions(Datum reloptions, bool validate);

VECPG_FUNCTION(hnswhandler);
Datum
hnswhandler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amsupport = VI_SUPPORT_PROC;
	am->amcanorderbyop = true;
	am->amoptionalkey = true;
	am->amusemaintenanceworkmem = false;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;

	am->ambuild = hnswbuild;
	am->ambuildempty = hnswbuildempty;
	am->aminsert = hnswinsert;
	am->ambulkdelete = hnswbulkdelete;
	am->amvacuumcleanup = hnswvacuumcleanup;
	am->amcostestimate = hnswcostestimate;
	am->amoptions = hnswoptions;
	am->ambuildphasename = hnswbuildphasename;
	am->amvalidate = vi_validate;
	am->ambeginscan = hnswbeginscan;
	am->amrescan = hnswrescan;
	am->amgettuple = hnswgettuple;
	am->amendscan = hnswendscan;
	vecpg_am_extra(am);

	vi_register_scan((void *) hnswgettuple);
	PG_RETURN_POINTER(am);
}

static bytea *
hnswoptions(Datum reloptions, bool validate)
{
	return vecpg_hnsw_reloptions(reloptions, validate);
}

/* CPU of an edge's estimate (10 ns) and of a record's own bound, in cpu_operator_cost. */
#define EDGE_COST 0.5
#define RECORD_COST 4.0

/* Records met per unit of ef, those that lead nowhere included (measured 1.3 to 1.7). */
#define HOPS_PER_EF 1.5

/*
 * Cost of the first step, from the ef the scan itself would choose: one page
 * and 2 m estimates per record met. Reading on to the last row costs the rest
 * of the index in proportion.
 */
void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	GenericCosts costs = {0};
	Relation	index;
	HnswMetaData meta;
	double		rows = Max(path->indexinfo->tuples, 1);
	double		wanted;
	double		hops;
	double		spc_random;

	index = index_open(path->indexinfo->indexoid, NoLock);
	hnsw_meta_read(index, &meta);
	wanted = root->limit_tuples > 0 ? root->limit_tuples : HNSW_DEFAULT_LIMIT;
	wanted = Min(wanted, rows);
	hops = hnsw_ef(&meta, hnsw_target_recall(index), (int64) wanted);
	index_close(index, NoLock);

	hops = Min(Max(hops, wanted) * HOPS_PER_EF + 4 * meta.entry_level, rows);
	get_tablespace_page_costs(path->indexinfo->reltablespace, &spc_random, NULL);

	/* Every page of the plan's whole output; the ratio then gives the start. */
	costs.numIndexTuples = rows;
	genericcostestimate(root, path, loop_count, &costs);

	/* Most pages are in cache where indexes are used at all. */
	*startup = hops * spc_random * 0.1 +
		cpu_operator_cost * hops * (RECORD_COST + EDGE_COST * 2 * meta.m) +
		cpu_index_tuple_cost * wanted;
	*total = Max(costs.indexTotalCost, *startup * 1.01);
	*selectivity = costs.indexSelectivity;
	*correlation = 0;
	*pages = costs.numIndexPages;

	if (path->indexorderbys == NIL)
		vi_refuse_unordered(path, startup, total);
}
