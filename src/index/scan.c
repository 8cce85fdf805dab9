/*
 * scan.c -- what ordered scans of every access method do in the same way.
 *
 * What it is not: the search; which rows come out, and when.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/genam.h"
#include "pgstat.h"
#include "utils/snapmgr.h"

#include "index/scan.h"

IndexScanDesc
vi_scan_begin(Relation index, int nkeys, int norderbys, ViScan *opaque)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);

	opaque->limit = -1;
	scan->opaque = opaque;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
		memset(scan->xs_orderbynulls, true, sizeof(bool) * norderbys);
	}
	return scan;
}

void
vi_scan_keys(IndexScanDesc scan, ScanKey keys, ScanKey orderbys)
{
	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, sizeof(ScanKeyData) * scan->numberOfKeys);
	if (orderbys && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, sizeof(ScanKeyData) * scan->numberOfOrderBys);
}

void
vi_scan_start(IndexScanDesc scan, const char *am)
{
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("non-MVCC snapshots are not supported with %s", am)));
	pgstat_count_index_scan(scan->indexRelation);
	vecpg_count_search(scan);
}

void
vi_scan_emit(IndexScanDesc scan, const VsTid *tid, double value, bool isnull, ViCounters *count)
{
	vs_tid_get(tid, &scan->xs_heaptid);
	scan->xs_recheckorderby = false;
	if (scan->numberOfOrderBys > 0)
	{
		scan->xs_orderbyvals[0] = Float8GetDatum(value);
		scan->xs_orderbynulls[0] = isnull;
	}
	count->emitted++;
}

/* ---- rows without code ---- */

bool
vi_uncoded_emit(ViUncoded *u, IndexScanDesc scan, bool all_null, ViCounters *count)
{
	VsTid		tid;

	if (u->next == u->n)
		return false;
	vs_tid_set(&tid, &u->tids[u->next++]);
	vi_scan_emit(scan, &tid, NAN, all_null || u->at_hand == VI_TIDS_NULL, count);
	return true;
}

void
vi_uncoded_read(ViUncoded *u, Relation index, const ViTidHeads *heads,
				MemoryContext cxt, ViCounters *count)
{
	static const int after[VI_TIDS_SORTS] = {
		[VI_TIDS_WILD] = VI_TIDS_NAN, [VI_TIDS_NAN] = VI_TIDS_NULL, [VI_TIDS_NULL] = -1
	};

	u->tids = vi_tids_read(index, heads, u->sort, cxt, &u->n, &count->pages);
	u->next = 0;
	u->at_hand = u->sort;
	u->sort = after[u->sort];
}

/* ---- planning ---- */

/* Far above disable_cost, which the server adds to what is switched off. */
#define NO_ORDER_COST 1.0e15

void
vi_refuse_unordered(IndexPath *path, Cost *startup, Cost *total)
{
	*startup += NO_ORDER_COST;
	*total += NO_ORDER_COST;
	vecpg_disable_path(&path->path);
}
