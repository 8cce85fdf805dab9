/*
 * limit.c -- finds LIMIT + OFFSET above an index scan by walking the plan.
 *
 * What it is not: a change to the plan. The access method API does not pass
 * LIMIT down, yet a scan's first step must be sized for it: too small means a
 * second step, too large means work for nothing.
 *
 * Idea: after ExecutorStart the hook walks the plan state from the top, carries
 * the bound of each Limit node through nodes that pass rows one to one, begins
 * our scans and writes it into them.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/genam.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"

#include "index/limit.h"
#include "index/vindex.h"

#define UNKNOWN (-1)

/* There are as many as access methods. */
#define MAX_AMS 8

static void *our_ams[MAX_AMS];
static int	n_ams;
static ExecutorStart_hook_type previous_hook;

ViCounters	vi_last_scan;

static void limit_executor_start(QueryDesc *query, int eflags);
static bool relation_is_ours(Relation index);
static bool push_bound(PlanState *ps, void *bound);
static bool push_bound_unknown(PlanState *ps, void *unused);
static int64 limit_of(LimitState *ls);
static int64 known_int8(Node *expr, EState *estate);

void
vi_limit_init(void)
{
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = limit_executor_start;
}

void
vi_register_scan(void *amgettuple)
{
	int			i;

	for (i = 0; i < n_ams; i++)
		if (our_ams[i] == amgettuple)
			return;
	if (n_ams < MAX_AMS)
		our_ams[n_ams++] = amgettuple;
}

static bool
relation_is_ours(Relation index)
{
	int			i;

	for (i = 0; i < n_ams; i++)
		if ((void *) index->rd_indam->amgettuple == our_ams[i])
			return true;
	return false;
}

bool
vi_is_ours(Oid index)
{
	Relation	rel;
	bool		result;

	if (n_ams == 0)
		return false;
	rel = index_open(index, NoLock);
	result = relation_is_ours(rel);
	index_close(rel, NoLock);
	return result;
}

static void
limit_executor_start(QueryDesc *query, int eflags)
{
	if (previous_hook)
		previous_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (n_ams > 0 && query->planstate != NULL && (eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
	{
		int64		bound = UNKNOWN;

		push_bound(query->planstate, &bound);
	}
}

/*
 * The executor begins an index scan with its first row, and then says nothing
 * of the plan: so ours is begun here, as it would be there, and marked.
 */
static void
set_scan_bound(IndexScanState *iss, int64 bound)
{
	if (bound == UNKNOWN || iss->iss_RelationDesc == NULL || iss->iss_ScanDesc != NULL ||
		iss->ss.ps.plan->parallel_aware || !relation_is_ours(iss->iss_RelationDesc))
		return;
	iss->iss_ScanDesc = vecpg_index_beginscan(iss);
	((ViScan *) iss->iss_ScanDesc->opaque)->limit = bound;
	/* Run-time keys are not known yet: the executor rescans when they are. */
	if (iss->iss_NumRuntimeKeys == 0)
		index_rescan(iss->iss_ScanDesc, iss->iss_ScanKeys, iss->iss_NumScanKeys,
					 iss->iss_OrderByKeys, iss->iss_NumOrderByKeys);
}

/* bound: int64, the most rows the parent can ask this node for. */
static bool
push_bound(PlanState *ps, void *bound)
{
	int64		own = *(int64 *) bound;

	switch (nodeTag(ps))
	{
		case T_IndexScanState:
			set_scan_bound((IndexScanState *) ps, own);
			break;
		case T_LimitState:
			{
				int64		limit = limit_of((LimitState *) ps);

				if (limit != UNKNOWN && (own == UNKNOWN || limit < own))
					own = limit;
				return planstate_tree_walker(ps, push_bound, &own);
			}
		case T_ResultState:
		case T_ProjectSetState:
		case T_SubqueryScanState:
		case T_IncrementalSortState:
		case T_LockRowsState:
		case T_AppendState:
		case T_MergeAppendState:
		case T_GatherState:
		case T_GatherMergeState:
		case T_NestLoopState:
		case T_UniqueState:
			return planstate_tree_walker(ps, push_bound, &own);
		default:
			break;
	}
	/* A node that reads all of its input, or reads it in its own order. */
	return planstate_tree_walker(ps, push_bound_unknown, NULL);
}

static bool
push_bound_unknown(PlanState *ps, void *unused)
{
	int64		bound = UNKNOWN;

	return push_bound(ps, &bound);
}

static int64
limit_of(LimitState *ls)
{
	Limit	   *plan = (Limit *) ls->ps.plan;
	int64		count = known_int8(plan->limitCount, ls->ps.state);
	int64		offset = plan->limitOffset ? known_int8(plan->limitOffset, ls->ps.state) : 0;

	if (count == UNKNOWN || offset == UNKNOWN || count < 0 || offset < 0 ||
		count > PG_INT32_MAX || offset > PG_INT32_MAX)
		return UNKNOWN;
	return count + offset;
}

/* The value of a constant or of a query parameter; UNKNOWN for the rest. */
static int64
known_int8(Node *expr, EState *estate)
{
	if (expr == NULL)
		return UNKNOWN;
	if (IsA(expr, Const))
	{
		Const	   *c = (Const *) expr;

		return c->constisnull ? UNKNOWN : DatumGetInt64(c->constvalue);
	}
	if (IsA(expr, Param) && ((Param *) expr)->paramkind == PARAM_EXTERN &&
		((Param *) expr)->paramtype == INT8OID)
	{
		ParamListInfo params = estate->es_param_list_info;
		int			id = ((Param *) expr)->paramid;
		ParamExternData space;
		ParamExternData *value;

		if (params == NULL || id < 1 || id > params->numParams)
			return UNKNOWN;
		value = params->paramFetch ? params->paramFetch(params, id, false, &space)
			: &params->params[id - 1];
		if (value->ptype != INT8OID || value->isnull)
			return UNKNOWN;
		return DatumGetInt64(value->value);
	}
	return UNKNOWN;
}
