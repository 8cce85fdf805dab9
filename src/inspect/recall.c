/*
 * recall.c -- vecpg_recall(): what an index finds of what is nearest.
 *
 * What it is not: the measurement at build (am/ivf/ivfcalibrate.c), which sees
 * lists only. This one runs the access method to the end, on today's rows.
 *
 * Rows of the table are the queries. Two passes over the table, under one
 * snapshot: the first samples them, the second computes every row's distance
 * to all of them and keeps the k nearest. The index is scanned directly, not
 * through a plan, so that it is this index that answers and its predicate and
 * expression need no text. A row counts as found by its distance, so ties are
 * no misses.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "inspect/inspect.h"

#define MAX_SAMPLE 10000
#define MAX_K 1000

typedef struct Recall
{
	Relation	index;
	Relation	heap;
	Snapshot	snapshot;
	const VecOpclass *oc;
	int			dims;
	int			k;

	/* rows as the index sees them */
	IndexInfo  *info;
	EState	   *estate;
	ExprState  *predicate;
	TupleTableSlot *slot;

	/* queries */
	int			want;
	int			nq;
	double		seen;			/* rows with a vector, first pass */
	float	   *q;				/* [want * dims] */
	double	   *near;			/* [want * k] the k least distances, greatest on top */
	int		   *nnear;

	/* results */
	double		recall;
	double		visited;		/* lists or records */
	double		pages;
	int64		order_errors;
	int64		bound_errors;
} Recall;

typedef void (*RowFunction) (Recall *r, Datum vector);

static void begin(Recall *r, MemoryContext cxt);
static void scan_table(Recall *r, RowFunction take);
static bool row_vector(Recall *r, TupleTableSlot *slot, Datum *vector);
static void sample_row(Recall *r, Datum vector);
static void compare_row(Recall *r, Datum vector);
static void search(Recall *r, int query);
static int	scan_index(Recall *r, IndexScanDesc scan, const float *q, double *found);
static double sortable(double value);
static Datum result(Recall *r, FunctionCallInfo fcinfo);

VECPG_FUNCTION(vecpg_recall);
Datum
vecpg_recall(PG_FUNCTION_ARGS)
{
	Recall		r = {0};
	InspOwner	caller;
	int			q;

	r.want = PG_GETARG_INT32(1);
	r.k = PG_GETARG_INT32(2);
	if (r.want < 1 || r.want > MAX_SAMPLE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample must be between 1 and %d", MAX_SAMPLE)));
	if (r.k < 1 || r.k > MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be between 1 and %d", MAX_K)));
	r.index = insp_open(PG_GETARG_OID(0), &r.heap);
	insp_require_select(r.heap);
	/* Distances of rows that a policy hides are nobody's business. */
	if (check_enable_rls(RelationGetRelid(r.heap), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("vecpg_recall reads all rows, but row-level security restricts you on table \"%s\"",
						RelationGetRelationName(r.heap))));
	r.snapshot = RegisterSnapshot(GetActiveSnapshot());
	insp_require_usable(r.index, r.snapshot);

	insp_become_owner(r.heap, &caller);
	begin(&r, CurrentMemoryContext);
	scan_table(&r, sample_row);
	scan_table(&r, compare_row);
	for (q = 0; q < r.nq; q++)
		search(&r, q);
	ExecDropSingleTupleTableSlot(r.slot);
	FreeExecutorState(r.estate);
	insp_leave_owner(&caller);

	UnregisterSnapshot(r.snapshot);
	insp_close(r.index, r.heap);
	return result(&r, fcinfo);
}

static void
begin(Recall *r, MemoryContext cxt)
{
	r->oc = vi_opclass(r->index);
	r->dims = vi_index_dims(r->index);
	r->info = BuildIndexInfo(r->index);
	r->estate = CreateExecutorState();
	r->predicate = ExecPrepareQual(r->info->ii_Predicate, r->estate);
	r->slot = table_slot_create(r->heap, NULL);
	r->q = MemoryContextAllocHuge(cxt, sizeof(float) * r->want * (Size) r->dims);
	r->near = MemoryContextAllocHuge(cxt, sizeof(double) * r->want * (Size) r->k);
	r->nnear = palloc0(sizeof(int) * r->want);
}

/* ---- the table ---- */

static void
scan_table(Recall *r, RowFunction take)
{
	TableScanDesc scan = table_beginscan(r->heap, r->snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, r->slot))
	{
		Datum		vector;

		CHECK_FOR_INTERRUPTS();
		if (row_vector(r, r->slot, &vector))
		{
			MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(r->estate));

			take(r, vector);
			MemoryContextSwitchTo(old);
		}
		ResetPerTupleExprContext(r->estate);
	}
	table_endscan(scan);
	ExecClearTuple(r->slot);
}

/* What the index has of a row, in per-tuple memory; false if not indexed or NULL. */
static bool
row_vector(Recall *r, TupleTableSlot *slot, Datum *vector)
{
	ExprContext *econtext = GetPerTupleExprContext(r->estate);
	MemoryContext old;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	econtext->ecxt_scantuple = slot;
	if (!ExecQual(r->predicate, econtext))
		return false;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	FormIndexDatum(r->info, slot, r->estate, values, isnull);
	MemoryContextSwitchTo(old);
	*vector = values[0];
	return !isnull[0];
}

static const Vector *
checked_vector(Recall *r, Datum vector)
{
	Vector	   *v = DatumGetVector(vector);

	vt_check_expected_dim(r->dims, v->dim);
	return v;
}

/* A uniform sample of rows that can be queries: the others have no nearest. */
static void
sample_row(Recall *r, Datum vector)
{
	const Vector *v;
	double		norm;
	Size		at;

	r->seen++;
	at = r->nq;
	if (r->nq == r->want)
	{
		at = (Size) (pg_prng_double(&pg_global_prng_state) * r->seen);
		if (at >= (Size) r->want)
			return;
	}
	v = checked_vector(r, vector);
	if (vi_prepare(r->oc, r->dims, v->x, palloc(sizeof(float) * r->dims), &norm) != VI_FINITE)
		return;
	memcpy(r->q + at * r->dims, v->x, sizeof(float) * r->dims);
	if (at == (Size) r->nq)
		r->nq++;
}

/* Into the heaps of the k least distances. */
static void
compare_row(Recall *r, Datum vector)
{
	const Vector *v = checked_vector(r, vector);
	int			q;

	for (q = 0; q < r->nq; q++)
	{
		double		d = r->oc->distance(r->dims, v->x, r->q + (Size) q * r->dims);
		double	   *h = r->near + (Size) q * r->k;
		int			n = r->nnear[q];
		int			i;

		if (isnan(d) || (n == r->k && d >= h[0]))
			continue;
		if (n < r->k)
		{
			i = r->nnear[q]++;
			for (; i > 0 && h[(i - 1) / 2] < d; i = (i - 1) / 2)
				h[i] = h[(i - 1) / 2];
		}
		else
		{
			int			child;

			for (i = 0; (child = 2 * i + 1) < n; i = child)
			{
				if (child + 1 < n && h[child + 1] > h[child])
					child++;
				if (h[child] <= d)
					break;
				h[i] = h[child];
			}
		}
		h[i] = d;
	}
}

/* ---- the index ---- */

static void
search(Recall *r, int query)
{
	const float *q = r->q + (Size) query * r->dims;
	double	   *found = palloc(sizeof(double) * r->k);
	Vector	   *v = vt_vector_new(r->dims);
	IndexScanDesc scan;
	ScanKeyData key;
	double		kth;
	double		most = -INFINITY;
	int			hits = 0;
	int			n;
	int			i;

	memcpy(v->x, q, sizeof(float) * r->dims);
	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, VI_ORDER_STRATEGY, InvalidOid, InvalidOid,
						   InvalidOid, PointerGetDatum(v));
	scan = vecpg_begin_ordered_scan(r->heap, r->index, r->snapshot);
	index_rescan(scan, NULL, 0, &key, 1);
	/* What limit.c does for a plan. */
	((ViScan *) scan->opaque)->limit = r->k;
	n = scan_index(r, scan, q, found);
	index_endscan(scan);
	r->visited += vi_last_scan.lists + vi_last_scan.expanded;
	r->pages += vi_last_scan.pages;

	/* The query itself is in the table, so there is a nearest row. */
	kth = r->near[(Size) query * r->k];
	for (i = 0; i < n; i++)
	{
		hits += found[i] <= kth;
		r->order_errors += found[i] < most;
		most = Max(most, found[i]);
	}
	r->recall += (double) Min(hits, r->nnear[query]) / r->nnear[query];
	pfree(found);
	pfree(v);
}

/* Distances of the first k rows, in the order they come in. */
static int
scan_index(Recall *r, IndexScanDesc scan, const float *q, double *found)
{
	int			n = 0;

	/* Rows without a vector come last and have no distance. */
	while (n < r->k && index_getnext_slot(scan, ForwardScanDirection, r->slot) &&
		   !scan->xs_orderbynulls[0])
	{
		double		bound = sortable(DatumGetFloat8(scan->xs_orderbyvals[0]));
		Datum		vector;

		CHECK_FOR_INTERRUPTS();
		found[n] = INFINITY;
		if (row_vector(r, r->slot, &vector))
		{
			MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(r->estate));

			found[n] = sortable(r->oc->distance(r->dims, checked_vector(r, vector)->x, q));
			MemoryContextSwitchTo(old);
		}
		ResetPerTupleExprContext(r->estate);
		r->bound_errors += found[n] < bound;
		n++;
	}
	ExecClearTuple(r->slot);
	return n;
}

/* NaN comes after all numbers. */
static double
sortable(double value)
{
	return isnan(value) ? INFINITY : value;
}

static Datum
result(Recall *r, FunctionCallInfo fcinfo)
{
	Datum		values[6];
	bool		nulls[6] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	nulls[0] = nulls[2] = nulls[3] = r->nq == 0;
	values[0] = Float8GetDatum(r->recall / Max(r->nq, 1));
	values[1] = Int32GetDatum(r->nq);
	values[2] = Float8GetDatum(r->visited / Max(r->nq, 1));
	values[3] = Float8GetDatum(r->pages / Max(r->nq, 1));
	values[4] = Int64GetDatum(r->order_errors);
	values[5] = Int64GetDatum(r->bound_errors);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
