/*
 * rowfetch.h -- the indexed vector of a heap row, for scans and maintenance.
 *
 * What it is not: a scan of the heap, or a decision which rows to read.
 */
#ifndef VECPG_ROWFETCH_H
#define VECPG_ROWFETCH_H

#include "access/tableam.h"
#include "nodes/execnodes.h"

#include "types/vector.h"

typedef struct ViRowFetch
{
	Relation	index;
	Relation	heap;
	MemoryContext cxt;			/* owns what follows; lives as long as it is used */
	IndexInfo  *info;
	EState	   *estate;			/* NULL: nothing read yet */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
} ViRowFetch;

/*
 * Whether a version of the row is visible to the snapshot. *v is then its
 * vector, computed if the index is on an expression, or NULL; it is valid until
 * vi_row_release(), which must follow. No buffer lock may be held.
 */
extern bool vi_row_fetch(ViRowFetch *f, ItemPointer tid, Snapshot snapshot, Vector **v);
extern void vi_row_release(ViRowFetch *f);

/* Ends it all; may be called if nothing was ever read. */
extern void vi_row_end(ViRowFetch *f);

#endif							/* VECPG_ROWFETCH_H */
