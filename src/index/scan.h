/*
 * scan.h -- what ordered scans of every access method do in the same way.
 *
 * What it is not: the search; which rows come out, and when.
 *
 * We never leave an order to the executor: a value that goes out is either the
 * operator's or a bound that no other row's interval meets, and
 * xs_recheckorderby is false.
 */
#ifndef VECPG_SCAN_H
#define VECPG_SCAN_H

#include "access/relscan.h"
#include "nodes/pathnodes.h"
#include "portability/instr_time.h"

#include "index/tids.h"
#include "index/vindex.h"

/* For ambeginscan: room for the values of the order; opaque is the scan state. */
extern IndexScanDesc vi_scan_begin(Relation index, int nkeys, int norderbys, ViScan *opaque);

/* For amrescan. */
extern void vi_scan_keys(IndexScanDesc scan, ScanKey keys, ScanKey orderbys);

/* With the first row asked for: refuses other than MVCC snapshots, counts the scan. */
extern void vi_scan_start(IndexScanDesc scan, const char *am);

/* The row that amgettuple returns; counts it. */
extern void vi_scan_emit(IndexScanDesc scan, const VsTid *tid, double value, bool isnull,
						 ViCounters *count);

/*
 * ---- rows without code ----
 *
 * They come where a sequential scan puts them, NaN after all numbers and NULL
 * last, so that using the index never changes which rows exist. Wild rows are
 * ordered with the others (VI_TIDS_NAN is then the first sort here), or come
 * first where there is no order.
 */
typedef struct ViUncoded
{
	int			sort;			/* to be read next, VI_TIDS_*; -1: no more */
	int			at_hand;		/* sort of tids */
	ItemPointerData *tids;
	size_t		n;
	size_t		next;
} ViUncoded;

/*
 * Gives out the next row at hand; false if there is none, and then, unless sort
 * is -1, vi_uncoded_read() gets those of the next sort. all_null: every value is.
 */
extern bool vi_uncoded_emit(ViUncoded *u, IndexScanDesc scan, bool all_null, ViCounters *count);
extern void vi_uncoded_read(ViUncoded *u, Relation index, const ViTidHeads *heads,
							MemoryContext cxt, ViCounters *count);

/*
 * Makes a path without an order dearer than a sequential scan that is switched
 * off: the table itself answers better, and count(*), which needs no column,
 * must not become an index-only scan, which we cannot serve.
 */
extern void vi_refuse_unordered(IndexPath *path, Cost *startup, Cost *total);

/* ---- a clock that runs under vecpg.trace only (pg/options.h) ---- */

#define VI_TRACE_BEGIN(t) do { if (vecpg_trace) INSTR_TIME_SET_CURRENT(t); } while (0)
#define VI_TRACE_END(t, counter) \
	do { \
		if (vecpg_trace) \
		{ \
			instr_time	now_; \
			INSTR_TIME_SET_CURRENT(now_); \
			INSTR_TIME_SUBTRACT(now_, t); \
			(counter) += INSTR_TIME_GET_MICROSEC(now_); \
		} \
	} while (0)

#endif							/* VECPG_SCAN_H */
