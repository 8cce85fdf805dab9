/*
 * junk.c -- spares the executor distances that nobody reads.
 *
 * What it is not: a change of paths or costs.
 *
 * For `SELECT id ... ORDER BY embedding <-> q LIMIT 10` the plan computes the
 * distance of each row as a hidden column of the index scan, although the scan
 * already returns rows in order and Limit passes them on: ten vectors are
 * detoasted (6.5 us each, a third of a whole small query) for values that the
 * top of the plan throws away. Where a Limit stands directly on our ordered
 * index scan, the hidden column becomes NULL.
 *
 * Sound because a hidden (resjunk) column of a query level is seen by nobody
 * outside it, and inside only by Sort and the like, which are not there. LIMIT
 * WITH TIES compares it, so that is left alone. The plan is fresh from the
 * planner, hence ours to change; a query planned before the library was loaded
 * just keeps its column.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"

#include "index/vindex.h"
#include "planner/planner.h"

static planner_hook_type previous_hook;

static PlannedStmt *plan_query(Query *parse, const char *query_string, int options,
							   ParamListInfo params);
static void walk_plan(Plan *plan);
static void drop_hidden_distances(IndexScan *scan);

void
vp_planner_init(void)
{
	previous_hook = planner_hook;
	planner_hook = plan_query;
}

static PlannedStmt *
plan_query(Query *parse, const char *query_string, int options, ParamListInfo params)
{
	PlannedStmt *stmt = previous_hook ? previous_hook(parse, query_string, options, params) :
		standard_planner(parse, query_string, options, params);
	ListCell   *lc;

	walk_plan(stmt->planTree);
	foreach(lc, stmt->subplans)
		walk_plan(lfirst(lc));
	return stmt;
}

static void
walk_plan(Plan *plan)
{
	List	   *children = NIL;
	ListCell   *lc;

	if (plan == NULL)
		return;
	check_stack_depth();
	if (IsA(plan, Limit) && plan->lefttree != NULL && IsA(plan->lefttree, IndexScan) &&
		((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT)
		drop_hidden_distances((IndexScan *) plan->lefttree);
	switch (nodeTag(plan))
	{
		case T_Append:
			children = ((Append *) plan)->appendplans;
			break;
		case T_MergeAppend:
			children = ((MergeAppend *) plan)->mergeplans;
			break;
		case T_SubqueryScan:
			walk_plan(((SubqueryScan *) plan)->subplan);
			break;
		default:
			break;
	}
	foreach(lc, children)
		walk_plan(lfirst(lc));
	walk_plan(plan->lefttree);
	walk_plan(plan->righttree);
}

static void
drop_hidden_distances(IndexScan *scan)
{
	ListCell   *lc;

	if (scan->indexorderby == NIL || !vi_is_ours(scan->indexid))
		return;
	foreach(lc, scan->scan.plan.targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk && list_member(scan->indexorderbyorig, tle->expr))
			tle->expr = (Expr *) makeNullConst(exprType((Node *) tle->expr),
											   exprTypmod((Node *) tle->expr),
											   exprCollation((Node *) tle->expr));
	}
}
