/*
 * verify.c -- vecpg_check(): rights, locks, and the second look.
 *
 * What it is not: the tests themselves (verify_NAME.c).
 *
 * Only what is wrong is reported. What VACUUM takes away is not: blocks of
 * lists that the directory does not name (a split that a crash cut short),
 * refine slots and rest pages without an entry, free and new pages.
 *
 * Locks: AccessShareLock on table and index, so reads and writes go on, and no
 * page's lock for longer than it is copied. Pages are read one after another
 * while inserts go on, so a first look can see one half of an insert. Therefore
 * whatever it finds is reported only if a second look finds the same; the first
 * look suffices for a sound index. Texts of findings that concurrent writes can
 * cause name what changes with each write, so that two accidents do not look
 * alike.
 *
 * ivf moves rows from page to page: a share lock on the metapage, as heavyweight
 * lock, makes VACUUM wait and puts splits off. hnsw moves nothing, and inserts
 * would wait behind a VACUUM that waits for that lock; so there VACUUM goes on too,
 * and what it leaves when it is interrupted is sound anyway. On a standby,
 * where replay respects no lock of ours, the second look stands in for them.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/genam.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "inspect/inspect.h"

/* One damaged link can make every row a finding. */
#define MAX_FINDINGS 10000

/* Of every access method. */
#define META_BLKNO 0

static void look(Relation index, Relation heap, bool heapallindexed, VerifyFindings *found);
static void keep_common(VerifyFindings *first, VerifyFindings *second);
static int	compare_findings(const void *a, const void *b);
static void return_findings(ReturnSetInfo *rsinfo, const VerifyFindings *found);

VECPG_FUNCTION(vecpg_check);
Datum
vecpg_check(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = insp_open(PG_GETARG_OID(0), &heap);
	bool		heapallindexed = PG_GETARG_BOOL(1);
	bool		lock_meta = insp_method(index)->verify->lock_meta;
	VerifyFindings first = {CurrentMemoryContext};
	VerifyFindings second = {CurrentMemoryContext};

	if (!vecpg_owns_table(RelationGetRelid(heap)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(heap));
	if (RecoveryInProgress() && index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("unlogged index \"%s\" cannot be checked during recovery",
						RelationGetRelationName(index))));

	InitMaterializedSRF(fcinfo, 0);
	if (lock_meta)
		LockPage(index, META_BLKNO, ShareLock);
	look(index, heap, heapallindexed, &first);
	if (first.n > 0)
	{
		look(index, heap, heapallindexed, &second);
		keep_common(&first, &second);
	}
	if (lock_meta)
		UnlockPage(index, META_BLKNO, ShareLock);
	return_findings((ReturnSetInfo *) fcinfo->resultinfo, &first);
	insp_close(index, heap);
	return (Datum) 0;
}

/* All tests once. */
static void
look(Relation index, Relation heap, bool heapallindexed, VerifyFindings *found)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "vecpg check",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	VerifyFindings mine = {cxt};
	Verify	   *v = palloc0(sizeof(Verify));
	Snapshot	snapshot = NULL;
	int			i;

	v->index = index;
	v->heap = heap;
	v->cxt = cxt;
	v->method = insp_method(index)->verify;
	v->found = &mine;
	/* Taken before the index is read: what it sees is in the index by then. */
	if (heapallindexed)
	{
		snapshot = RegisterSnapshot(GetTransactionSnapshot());
		insp_require_usable(index, snapshot);
	}
	if (v->method->pages(v))
	{
		if (v->method->codes)
			v->method->codes(v);
		verify_rows(v);
		if (heapallindexed)
			verify_heap(v, snapshot);
	}
	if (snapshot)
		UnregisterSnapshot(snapshot);

	MemoryContextSwitchTo(old);
	for (i = 0; i < mine.n; i++)
		verify_report(found, mine.list[i].block, mine.list[i].item, "%s", mine.list[i].problem);
	found->cut = mine.cut;
	MemoryContextDelete(cxt);
}

void
verify_report(VerifyFindings *f, int64 block, int item, const char *fmt,...)
{
	VerifyFinding *finding;
	MemoryContext old;
	StringInfoData text;
	int			needed;

	if (f->n == MAX_FINDINGS)
	{
		f->cut = true;
		return;
	}
	/* Often called in memory that goes with a row. */
	old = MemoryContextSwitchTo(f->cxt);
	if (f->n == f->cap)
	{
		f->cap = Max(f->cap * 2, 16);
		f->list = f->list ? repalloc(f->list, sizeof(VerifyFinding) * f->cap) :
			palloc(sizeof(VerifyFinding) * f->cap);
	}
	initStringInfo(&text);
	for (;;)
	{
		va_list		args;

		va_start(args, fmt);
		needed = appendStringInfoVA(&text, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	finding = &f->list[f->n++];
	finding->block = block;
	finding->item = item;
	finding->problem = text.data;
	MemoryContextSwitchTo(old);
}

/* Leaves in first, sorted, what second has as well. */
static void
keep_common(VerifyFindings *first, VerifyFindings *second)
{
	int			kept = 0;
	int			i;
	int			j = 0;

	if (first->n > 0)
		qsort(first->list, first->n, sizeof(VerifyFinding), compare_findings);
	if (second->n > 0)
		qsort(second->list, second->n, sizeof(VerifyFinding), compare_findings);
	for (i = 0; i < first->n; i++)
	{
		while (j < second->n && compare_findings(&second->list[j], &first->list[i]) < 0)
			j++;
		if (j < second->n && compare_findings(&second->list[j], &first->list[i]) == 0)
			first->list[kept++] = first->list[i];
	}
	first->n = kept;
	first->cut = first->cut && second->cut;
}

static int
compare_findings(const void *a, const void *b)
{
	const VerifyFinding *x = a;
	const VerifyFinding *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	if (x->item != y->item)
		return x->item < y->item ? -1 : 1;
	return strcmp(x->problem, y->problem);
}

static void
return_findings(ReturnSetInfo *rsinfo, const VerifyFindings *found)
{
	int			i;

	for (i = 0; i < found->n + (found->cut ? 1 : 0); i++)
	{
		bool		last = i == found->n;
		const VerifyFinding *f = last ? NULL : &found->list[i];
		Datum		values[3] = {0};
		bool		nulls[3] = {true, true, false};

		if (!last)
		{
			nulls[0] = f->block < 0;
			nulls[1] = f->item < 0;
			values[0] = Int64GetDatum(f->block);
			values[1] = Int32GetDatum(f->item);
		}
		values[2] = CStringGetTextDatum(last ? "there are more problems than are listed" : f->problem);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}
