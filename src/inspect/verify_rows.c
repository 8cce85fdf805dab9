/*
 * verify_rows.c -- rows of an index compared with one another and with the table.
 *
 * What it is not: the reading of pages (verify_ivf.c).
 *
 * Rows and refine slots come as two arrays. Sorted by refine pointer, the rows
 * are merged with the slots; sorted by tid, equal neighbours are duplicates and
 * the table's rows are looked up by bisection.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "inspect/inspect.h"
#include "simd/simd.h"

/*
 * Rounding of rotation and sums when a code is compared with its vector, in
 * units of the lengths involved; another CPU level rounds otherwise.
 */
#define CODE_SLACK 1e-4

typedef struct HeapCheck
{
	Verify	   *v;
	IvfModel   *m;				/* NULL: codes are not looked at */
	MemoryContext tmp;			/* reset per row */
} HeapCheck;

static void match_refine(Verify *v);
static void match_one(Verify *v, const VerifyRow *row, Size *at, const VerifyRow *before);
static bool row_exists(Verify *v, const VerifyRow *row);
static void check_wide(Verify *v);
static void check_tids(Verify *v);
static int	by_refine(const void *a, const void *b);
static int	by_tid(const void *a, const void *b);
static int	compare_tids(const VsTid *a, const VsTid *b);
static void check_heap_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
						   bool alive, void *state);
static void check_code(HeapCheck *c, const VerifyRow *row, const float *raw);
static bool read_code(HeapCheck *c, const VerifyRow *row, IvfRefine ref);

/* Unsigned numbers of a tid, for messages: VsTid may hold anything. */
#define TID_FORMAT "(%u,%u)"
#define TID_ARGS(t) ((uint32) (t)->blk_hi << 16 | (t)->blk_lo), (uint32) (t)->offset

void
verify_rows(Verify *v)
{
	if (v->m.codec)
	{
		match_refine(v);
		if (v->m.refine_size > VS_USABLE)
			check_wide(v);
	}
	check_tids(v);
}

/* ---- refine pointers ---- */

static void
match_refine(Verify *v)
{
	const VerifyRow *before = NULL;
	Size		at = 0;
	Size		i;

	if (v->nrows > 1)
		qsort(v->rows, v->nrows, sizeof(VerifyRow), by_refine);
	for (i = 0; i < v->nrows; i++)
	{
		if (v->rows[i].sort != VERIFY_CODED)
			continue;
		CHECK_FOR_INTERRUPTS();
		match_one(v, &v->rows[i], &at, before);
		before = &v->rows[i];
	}
}

/* *at: the first slot that is not before the pointer, for ascending pointers. */
static void
match_one(Verify *v, const VerifyRow *row, Size *at, const VerifyRow *before)
{
	const VerifyRefine *slot = NULL;

	if (before && before->ref_blkno == row->ref_blkno && before->ref_idx == row->ref_idx)
	{
		if (row_exists(v, row) && row_exists(v, before))
			verify_report(v->found, row->blkno, row->item,
						  "row shares the code in block %u, slot %u with that of block %u, slot %u",
						  row->ref_blkno, row->ref_idx, before->blkno, before->item);
		return;
	}
	while (*at < v->nrefine && (v->refine[*at].blkno < row->ref_blkno ||
								(v->refine[*at].blkno == row->ref_blkno &&
								 v->refine[*at].idx < row->ref_idx)))
		(*at)++;
	if (*at < v->nrefine && v->refine[*at].blkno == row->ref_blkno &&
		v->refine[*at].idx == row->ref_idx)
		slot = &v->refine[*at];
	if (slot == NULL)
	{
		if ((row->ref_blkno >= v->npages || !v->pages[row->ref_blkno].damaged) && row_exists(v, row))
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " has its code in block %u, slot %u, where there is none",
						  TID_ARGS(&row->tid), row->ref_blkno, row->ref_idx);
	}
	else if (!vs_tid_equal(&slot->tid, &row->tid))
	{
		if (row_exists(v, row))
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " has its code in block %u, slot %u, where that of " TID_FORMAT " is",
						  TID_ARGS(&row->tid), row->ref_blkno, row->ref_idx, TID_ARGS(&slot->tid));
	}
	else if (slot->part >= v->m.nparts)
		verify_report(v->found, slot->blkno, slot->idx, "code is about partition %u of %d", slot->part,
					  v->m.nparts);
}

/*
 * Whether the table has anything at a row's tid. VACUUM clears codes and list
 * entries in the order of their pages: one that was cancelled, or cut short by
 * a crash, leaves entries of removed rows whose codes are gone.
 */
static bool
row_exists(Verify *v, const VerifyRow *row)
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

/* Codes of several pages: each chain has the right length and is one row's. */
static void
check_wide(Verify *v)
{
	int			pages = (v->m.refine_size + VS_USABLE - 1) / VS_USABLE;
	Size		i;

	for (i = 0; i < v->nrefine; i++)
	{
		BlockNumber blkno = v->refine[i].blkno;
		int			n;

		CHECK_FOR_INTERRUPTS();
		for (n = 1; n < pages; n++)
		{
			blkno = v->pages[blkno].next;
			if (blkno >= v->npages || v->pages[blkno].kind != VS_IVF_REFINE ||
				!(v->pages[blkno].flags & IVF_REFINE_REST) || v->pages[blkno].reached)
			{
				if (blkno >= v->npages || !v->pages[blkno].damaged)
					verify_report(v->found, v->refine[i].blkno, v->refine[i].idx,
								  "code lacks its page %d of %d", n + 1, pages);
				break;
			}
			v->pages[blkno].reached = true;
		}
	}
}

/* ---- tids ---- */

static void
check_tids(Verify *v)
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
by_refine(const void *a, const void *b)
{
	const VerifyRow *x = a;
	const VerifyRow *y = b;

	if (x->ref_blkno != y->ref_blkno)
		return x->ref_blkno < y->ref_blkno ? -1 : 1;
	if (x->ref_idx != y->ref_idx)
		return (int) x->ref_idx - (int) y->ref_idx;
	return by_place(x, y);
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
	IvfMetaData meta;

	c.tmp = AllocSetContextCreate(CurrentMemoryContext, "vecpg check row", ALLOCSET_DEFAULT_SIZES);
	/* Codes need the model, which is loaded only if it is sound. */
	if (v->found->n == 0 && v->m.codec)
	{
		c.m = ivf_model_get(v->index, &meta);
		ivf_model_release_with(c.m, CurrentMemoryContext);
	}
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
		if (vec->dim == v->m.dims)
			switch (vi_prepare(v->m.oc, vec->dim, vec->x, palloc(sizeof(float) * vec->dim), &norm))
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
	if (vec && vec->dim != v->m.dims)
		verify_report(v->found, row->blkno, row->item, "row " TID_FORMAT " has %d dimensions, the index %d",
					  TID_ARGS(&row->tid), vec->dim, v->m.dims);
	else if (row->sort != sort)
		verify_report(v->found, row->blkno, row->item,
					  "row " TID_FORMAT " %s is among the rows %s", TID_ARGS(&row->tid), names[sort],
					  names[row->sort]);
	else if (sort == VERIFY_CODED && c->m)
		check_code(c, row, vec->x);
	MemoryContextReset(c->tmp);
}

/*
 * The refine code says how far off it is: what it decodes to must be no
 * farther from the row's vector, or the bounds that scans compute are wrong.
 */
static void
check_code(HeapCheck *c, const VerifyRow *row, const float *raw)
{
	IvfModel   *m = c->m;
	MemoryContext old = MemoryContextSwitchTo(c->tmp);
	float	   *x = palloc(sizeof(float) * m->dim);
	float	   *decoded = palloc(sizeof(float) * m->dim);
	IvfRefine	ref = palloc(m->refine_size);
	bool		wrong = false;

	if (ivf_rotate(m, raw, palloc(sizeof(float) * m->dims), x) == VI_FINITE && read_code(c, row, ref))
	{
		const float *centre = m->part + (Size) ref->part * m->dim;
		double		error = m->codec->decode(ref->code, centre, m->dim, m->params, decoded);
		double		off = sqrt(vk->l2sq_f32(x, decoded, m->dim));
		double		slack = sqrt(vk->norm2_f32(x, m->dim)) + m->mean_norm +
			sqrt(vk->norm2_f32(centre, m->dim));

		/* Not a number is wrong as well. */
		wrong = !(off <= error * (1 + CODE_SLACK) + slack * CODE_SLACK);
	}
	MemoryContextSwitchTo(old);
	if (wrong)
		verify_report(c->v->found, row->ref_blkno, row->ref_idx,
					  "code of row " TID_FORMAT " does not fit its vector", TID_ARGS(&row->tid));
}

/* False if the slot changed hands meanwhile, or is reported already. */
static bool
read_code(HeapCheck *c, const VerifyRow *row, IvfRefine ref)
{
	Size		size = c->m->refine_size;
	BlockNumber blkno = row->ref_blkno;
	Size		done = 0;
	PGAlignedBlock copy;

	if (row->ref_idx >= c->m->refine_per_page)
		return false;
	while (done < size)
	{
		Size		n = Min(size - done, VS_USABLE);
		Size		at = size <= VS_USABLE ? size * row->ref_idx : 0;

		if (blkno >= c->v->npages || !verify_read(c->v, blkno, &copy) ||
			vs_opaque(copy.data)->kind != VS_IVF_REFINE)
			return false;
		memcpy((char *) ref + done, PageGetContents(copy.data) + at, n);
		done += n;
		blkno = vs_opaque(copy.data)->next;
	}
	return vs_tid_equal(&ref->tid, &row->tid) && ref->part < c->m->nparts;
}
