/*
 * hnswscan.h -- the state of one hnsw scan.
 *
 * What it is not: visible outside am/hnsw.
 */
#ifndef VECPG_HNSWSCAN_H
#define VECPG_HNSWSCAN_H

#include "am/hnsw/hnsw.h"
#include "index/scan.h"

/* What a scan remembers of a base record it has met. */
typedef struct HnswItem
{
	uint64		hash;
	uint32		number;			/* HNSW_NONE: a row without code */
	uint32		count;			/* rows */
	VsTid		tid;			/* the row, if it is one */
} HnswItem;

typedef enum HnswMode
{
	HNSW_ORDERED,
	HNSW_ENUMERATE				/* no order, NULL or NaN query: one value for all */
} HnswMode;

typedef struct HnswScanData
{
	ViScan		base;			/* first: the LIMIT hook writes here */
	IndexScanDesc scan;
	MemoryContext cxt;			/* this scan; reset at rescan */
	HnswModel  *m;
	HnswMetaData meta;
	bool		started;
	bool		done;
	HnswMode	mode;
	bool		all_null;		/* enumerate: value NULL, else NaN */
	bool		wild;			/* query may overflow: bounds are infinite */

	float	   *raw;			/* the query as given */
	HnswQuery	q;
	HnswReader	r;
	ViInterval	interval;
	double		reach2;			/* square of the longest shifted row: inner product only */
	ViOrder		order;
	ViRowFetch	fetch;

	int64		quota;			/* rows this step answers for */
	int64		ef;				/* of this step */
	bool		walking;		/* the walk can go on */

	HnswItem   *items;
	size_t		nitems;
	size_t		items_cap;
	ViOrderRow *met;			/* of this step, by item */
	size_t		nmet;
	size_t		met_cap;

	/* rows of the record being given out */
	ItemPointerData *tids;
	size_t		ntids;
	size_t		next_tid;
	double		value;

	BlockNumber swept;			/* next page of the pass over all; invalid: done */
	size_t		next_item;		/* enumerate */
	ViUncoded	uncoded;
	ViCounters	count;
} HnswScanData;
typedef HnswScanData *HnswScan;

/*
 * Reads records that the walk has not, of up to `most` pages from s->swept on
 * (hnswsweep.c).
 */
extern void hnsw_sweep(HnswScan s, BlockNumber most);

/* Takes up a base record (under its page's lock); bound NULL: it may be anywhere. */
extern void hnsw_scan_meet(HnswScan s, uint32 number, HnswNode node, const VqBound *bound);

#endif							/* VECPG_HNSWSCAN_H */
