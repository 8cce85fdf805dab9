/*
 * open.c -- from a regclass to an open vecpg index, and whose rights count.
 *
 * What it is not: any inspection. A new access method is a row in methods[].
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/defrem.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "am/hnsw/hnsw.h"
#include "am/ivf/ivf.h"
#include "inspect/inspect.h"

static const InspMethod methods[] = {
	{ivfbuild, insp_ivf_info, &verify_ivf},
	{hnswbuild, insp_hnsw_info, &verify_hnsw},
};

static const InspMethod *find_method(Relation index);

Relation
insp_open(Oid indexoid, Relation *heap)
{
	char		relkind = get_rel_relkind(indexoid);
	Relation	index;

	if (relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned index", get_rel_name(indexoid)),
				 errhint("Name the indexes of its partitions.")));
	if (relkind != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 relkind == '\0' ?
				 errmsg("relation with OID %u does not exist", indexoid) :
				 errmsg("\"%s\" is not an index", get_rel_name(indexoid))));
	/* The table first, as everybody does who locks both. */
	*heap = table_open(IndexGetRelation(indexoid, false), AccessShareLock);
	index = index_open(indexoid, AccessShareLock);
	if (find_method(index) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a vecpg index", RelationGetRelationName(index)),
				 errdetail("Its access method is \"%s\".", get_am_name(index->rd_rel->relam))));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));
	return index;
}

/* NULL if it is none of ours. */
static const InspMethod *
find_method(Relation index)
{
	int			i;

	for (i = 0; i < (int) lengthof(methods); i++)
		if (index->rd_indam->ambuild == methods[i].build)
			return &methods[i];
	return NULL;
}

const InspMethod *
insp_method(Relation index)
{
	const InspMethod *method = find_method(index);

	Assert(method != NULL);
	return method;
}

void
insp_close(Relation index, Relation heap)
{
	index_close(index, NoLock);
	table_close(heap, NoLock);
}

void
insp_require_select(Relation heap)
{
	AclResult	acl = pg_class_aclcheck(RelationGetRelid(heap), GetUserId(), ACL_SELECT);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, RelationGetRelationName(heap));
}

void
insp_become_owner(Relation heap, InspOwner *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	SetUserIdAndSecContext(heap->rd_rel->relowner,
						   saved->sec_context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	vecpg_restrict_search_path();
}

/* On errors the transaction's end does the same. */
void
insp_leave_owner(const InspOwner *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->sec_context);
}

void
insp_require_usable(Relation index, Snapshot snapshot)
{
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(index)),
				 errhint("Drop it, or REINDEX it.")));
	/* As the planner's test of indcheckxmin: broken HOT chains. */
	if (IsolationUsesXactSnapshot() && index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" is too young for this transaction's snapshot",
						RelationGetRelationName(index))));
}
