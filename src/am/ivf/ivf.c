/*
 * ivf.c -- the handler of access method ivf, its cost estimate and options.
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

#include "am/ivf/ivf.h"
#include "index/scan.h"
#include "pg/options.h"

static bytea *ivfoptions(Datum reloptions, bool validate);

VECPG_FUNCTION(ivfhandler);
Datum
ivfhandler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = 0;
	am->amsupport = VI_SUPPORT_PROC;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;

	am->ambuild = ivfbuild;
	am->ambuildempty = ivfbuildempty;
	am->aminsert = ivfinsert;
	am->ambulkdelete = ivfbulkdelete;
	am->amvacuumcleanup = ivfvacuumcleanup;
	am->amcanreturn = NULL;
	am->amcostestimate = ivfcostestimate;
	am->amoptions = ivfoptions;
	am->amproperty = NULL;
	am->ambuildphasename = ivfbuildphasename;
	am->amvalidate = vi_validate;
	am->amadjustmembers = NULL;
	am->ambeginscan = ivfbeginscan;
	am->amrescan = ivfrescan;
	am->amgettuple = ivfgettuple;
	am->amgetbitmap = NULL;
	am->amendscan = ivfendscan;
	am->ammarkpos = NULL;
	am->amrestrpos = NULL;
	am->amestimateparallelscan = NULL;
	am->aminitparallelscan = NULL;
	am->amparallelrescan = NULL;
	vecpg_am_extra(am);

	vi_register_scan((void *) ivfgettuple);
	PG_RETURN_POINTER(am);
}

static bytea *
ivfoptions(Datum reloptions, bool validate)
{
	return vecpg_ivf_reloptions(reloptions, validate);
}

/* CPU of one candidate's estimate, in units of cpu_operator_cost: 32 of them
 * cost about as much as 30 simple operators (83 ns a block, measured). */
#define CANDIDATE_COST 1.0

/* A directory entry: a whole centroid is read. */
#define CENTROID_COST 4.0

/*
 * Cost of the first step, from the effort the scan itself would choose: lists
 * and directory pages read, candidates scored, rows refined. Reading on to the
 * last row costs the rest of the index in proportion.
 */
void
ivfcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				Cost *startup, Cost *total, Selectivity *selectivity,
				double *correlation, double *pages)
{
	GenericCosts costs = {0};
	Relation	index;
	IvfMetaData meta;
	double		lists;
	double		rows;
	IvfEffort	effort;
	double		probes;
	double		wanted;
	double		rows_per_list;
	double		visited;
	double		page_cost;
	double		spc_random;

	index = index_open(path->indexinfo->indexoid, NoLock);
	ivf_meta_read(index, &meta);
	wanted = root->limit_tuples > 0 ? root->limit_tuples : IVF_DEFAULT_LIMIT;
	wanted = Min(wanted, Max(path->indexinfo->tuples, 1));
	effort = ivf_effort(&meta, ivf_target_recall(index), (int64) wanted);
	probes = ivf_probes > 0 ? Min(ivf_probes, (double) meta.nlists) : effort.probes;
	index_close(index, NoLock);

	get_tablespace_page_costs(path->indexinfo->reltablespace, &spc_random, NULL);
	rows = Max(path->indexinfo->tuples, 1);
	lists = Max(meta.nlists, 1);
	rows_per_list = rows / lists;
	visited = Min(lists, probes * effort.open);

	/* Every page of the plan's whole output; the ratio then gives the start. */
	costs.numIndexTuples = rows;
	genericcostestimate(root, path, loop_count, &costs);

	/* List pages, directory pages at ~20 entries, a refine page per row. */
	page_cost = probes * 1.2 + visited / 20 + wanted * 2;
	/* Most are in cache where indexes are used at all. */
	page_cost *= spc_random * 0.1;
	*startup = page_cost +
		cpu_operator_cost * (CANDIDATE_COST * probes * rows_per_list + CENTROID_COST * visited) +
		cpu_index_tuple_cost * wanted;
	*total = Max(costs.indexTotalCost, *startup * 1.01);
	*selectivity = costs.indexSelectivity;
	*correlation = 0;
	*pages = costs.numIndexPages;

	if (path->indexorderbys == NIL)
		vi_refuse_unordered(path, startup, total);
}
