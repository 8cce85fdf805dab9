/*
 * verify_rows.c -- rows of an index compared with one another and with the table.
 *
 * What it is not: the reading of pages (verify_pages.c), or of codes
 * (verify_NAME.c).
 *
 * Rows come as an array. Sorted by tid, equal neighbours are duplicates and the
 * table's rows are looked up by bisection.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "inspect/inspect.h"

typedef struct HeapCheck
{
	Verify	   *v;
	bool		codes;			/* are compared with vectors */
	MemoryContext tmp;			/* reset per row */
} HeapCheck;

static int	by_tid(const void *a, const void *b);
static int	compare_tids(const VsTid *a, const VsTid *b);
static void check_heap_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
						   bool alive, void *state);

/* ---- tids ---- */

void
verify_rows(Verify *v)
{
	BlockNumber heap_blocks = RelationGetNumberOfBlocks(v->heap);
	Size		i;

	if (v->nrows > 1)
		qsort(v->rows, v->nrows, sizeof(VerifyRow), by_tid);
	for (i = 0; i < v->nrows; i++)
	{
		const VerifyRow *row = &v->rows[i];
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		vs_tid_get(&row->tid, &tid);
		if (!ItemPointerIsValid(&tid) || ItemPointerGetBlockNumberNoCheck(&tid) >= heap_blocks)
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " lies beyond the table's %u blocks",
						  TID_ARGS(&row->tid), heap_blocks);
		else if (i > 0 && vs_tid_equal(&row->tid, &v->rows[i - 1].tid))
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " is in the index twice, also in block %u, slot %u",
						  TID_ARGS(&row->tid), v->rows[i - 1].blkno, v->rows[i - 1].item);
	}
}

static int
by_place(const VerifyRow *x, const VerifyRow *y)
{
	if (x->blkno != y->blkno)
		return x->blkno < y->blkno ? -1 : 1;
	return (int) x->item - (int) y->item;
}

static int
by_tid(const void *a, const void *b)
{
	int			order = compare_tids(&((const VerifyRow *) a)->tid, &((const VerifyRow *) b)->tid);

	return order != 0 ? order : by_place(a, b);
}

static int
compare_tids(const VsTid *a, const VsTid *b)
{
	if (a->blk_hi != b->blk_hi)
		return (int) a->blk_hi - (int) b->blk_hi;
	if (a->blk_lo != b->blk_lo)
		return (int) a->blk_lo - (int) b->blk_lo;
	return (int) a->offset - (int) b->offset;
}

/* ---- the table ---- */

/*
 * Whether the table has anything at a row's tid. VACUUM clears codes and list
 * entries in the order of their pages: one that was cancelled, or cut short by
 * a crash, leaves entries of removed rows whose codes are gone.
 */
bool
verify_row_exists(Verify *v, const VerifyRow *row)
{
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	ItemPointerData tid;
	bool		again = false;
	bool		dead = false;
	bool		found;

	vs_tid_get(&row->tid, &tid);
	/* What is wrong with the tid itself is reported elsewhere. */
	if (!ItemPointerIsValid(&tid) ||
		ItemPointerGetBlockNumberNoCheck(&tid) >= RelationGetNumberOfBlocks(v->heap))
		return true;
	fetch = table_index_fetch_begin(v->heap);
	slot = table_slot_create(v->heap, NULL);
	found = table_index_fetch_tuple(fetch, &tid, SnapshotAny, slot, &again, &dead);
	ExecDropSingleTupleTableSlot(slot);
	table_index_fetch_end(fetch);
	return found;
}

/*
 * The scan of an index build gives the tid that an index entry would have (the
 * root of a HOT chain) and respects the predicate. It runs expressions, so it
 * runs as the table's owner.
 */
void
verify_heap(Verify *v, Snapshot snapshot)
{
	HeapCheck	c = {v};
	InspOwner	caller;
	IndexInfo  *info;
	TableScanDesc scan;

	c.tmp = AllocSetContextCreate(CurrentMemoryContext, "vecpg check row", ALLOCSET_DEFAULT_SIZES);
	/* They need the model, which is loaded only if it is sound. */
	c.codes = v->found->n == 0;
	insp_become_owner(v->heap, &caller);
	info = BuildIndexInfo(v->index);
	/* As a concurrent build: rows that others change are not waited for. */
	info->ii_Concurrent = true;
	info->ii_Unique = false;
	info->ii_ExclusionOps = NULL;
	info->ii_ExclusionProcs = NULL;
	info->ii_ExclusionStrats = NULL;
	scan = table_beginscan_strat(v->heap, snapshot, 0, NULL, true, true);
	table_index_build_scan(v->heap, v->index, info, true, false, check_heap_row, &c, scan);
	insp_leave_owner(&caller);
}

static void
check_heap_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			   bool alive, void *state)
{
	static const char *const names[] = {
		[VI_TIDS_NULL] = "without a vector", [VI_TIDS_NAN] = "whose distances are NaN",
		[VI_TIDS_WILD] = "too long or too short for a code", [VERIFY_CODED] = "with a code"
	};
	HeapCheck  *c = state;
	Verify	   *v = c->v;
	const VerifyRow *row;
	VerifyRow	key;
	Size		low = 0;
	Size		high = v->nrows;
	MemoryContext old;
	Vector	   *vec = NULL;
	uint16		sort = VI_TIDS_NULL;

	/* The first of equal ones: duplicates have been reported. */
	vs_tid_set(&key.tid, tid);
	while (low < high)
	{
		Size		mid = low + (high - low) / 2;

		if (compare_tids(&v->rows[mid].tid, &key.tid) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == v->nrows || !vs_tid_equal(&v->rows[low].tid, &key.tid))
	{
		verify_report(v->found, -1, -1, "row " TID_FORMAT " of the table is not in the index",
					  TID_ARGS(&key.tid));
		return;
	}
	row = &v->rows[low];

	old = MemoryContextSwitchTo(c->tmp);
	if (!isnull[0])
	{
		double		norm;

		vec = DatumGetVector(values[0]);
		if (vec->dim == v->dims)
			switch (vi_prepare(v->oc, vec->dim, vec->x, palloc(sizeof(float) * vec->dim), &norm))
			{
				case VI_FINITE:
					sort = VERIFY_CODED;
					break;
				case VI_NAN:
					sort = VI_TIDS_NAN;
					break;
				case VI_WILD:
					sort = VI_TIDS_WILD;
					break;
			}
	}
	MemoryContextSwitchTo(old);
	if (vec && vec->dim != v->dims)
		verify_report(v->found, row->blkno, row->item, "row " TID_FORMAT " has %d dimensions, the index %d",
					  TID_ARGS(&row->tid), vec->dim, v->dims);
	else if (row->sort != sort)
		verify_report(v->found, row->blkno, row->item,
					  "row " TID_FORMAT " %s is among the rows %s", TID_ARGS(&row->tid), names[sort],
					  names[row->sort]);
	else if (sort == VERIFY_CODED && c->codes)
	{
		old = MemoryContextSwitchTo(c->tmp);
		v->method->code(v, row, vec->x);
		MemoryContextSwitchTo(old);
	}
	MemoryContextReset(c->tmp);
}
