/*
 * rowfetch.c -- the indexed vector of a heap row, for scans and maintenance.
 *
 * What it is not: a scan of the heap, or a decision which rows to read.
 *
 * The table is opened with the first row, since most scans and splits need
 * none; detoasted vectors live in the per-tuple memory of an executor state.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "executor/executor.h"
#include "utils/memutils.h"

#include "index/rowfetch.h"

static void
begin(ViRowFetch *f)
{
	MemoryContext old = MemoryContextSwitchTo(f->cxt);

	f->info = BuildIndexInfo(f->index);
	f->fetch = table_index_fetch_begin(f->heap);
	f->slot = table_slot_create(f->heap, NULL);
	f->estate = CreateExecutorState();
	MemoryContextSwitchTo(old);
}

bool
vi_row_fetch(ViRowFetch *f, ItemPointer tid, Snapshot snapshot, Vector **v)
{
	ItemPointerData at = *tid;	/* moves along a HOT chain */
	bool		again = false;
	bool		dead = false;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	ExprContext *econtext;
	MemoryContext old;

	if (f->estate == NULL)
		begin(f);
	if (!table_index_fetch_tuple(f->fetch, &at, snapshot, f->slot, &again, &dead))
		return false;
	econtext = GetPerTupleExprContext(f->estate);
	econtext->ecxt_scantuple = f->slot;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	FormIndexDatum(f->info, f->slot, f->estate, values, isnull);
	*v = isnull[0] ? NULL : DatumGetVector(values[0]);
	MemoryContextSwitchTo(old);
	return true;
}

void
vi_row_release(ViRowFetch *f)
{
	ResetExprContext(GetPerTupleExprContext(f->estate));
	ExecClearTuple(f->slot);
}

void
vi_row_end(ViRowFetch *f)
{
	if (f->estate == NULL)
		return;
	ExecDropSingleTupleTableSlot(f->slot);
	table_index_fetch_end(f->fetch);
	FreeExecutorState(f->estate);
	f->estate = NULL;
}
