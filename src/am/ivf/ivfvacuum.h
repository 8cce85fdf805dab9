/*
 * ivfvacuum.h -- the state of one VACUUM pass, shared by its two files.
 *
 * What it is not: visible outside am/ivf.
 *
 *   ivfvacuum.c       the pass, list pages, refine pages
 *   ivfvacuumtids.c   pages of rows without code
 */
#ifndef VECPG_IVFVACUUM_H
#define VECPG_IVFVACUUM_H

#include "access/genam.h"

#include "am/ivf/ivf.h"

typedef struct IvfVacuum
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *state;
	Relation	index;
	Relation	heap;			/* may be NULL */
	IvfModel   *m;
	IvfMetaData meta;
	uint8	   *named;			/* bit per list number: in the directory */
	uint8	   *emptied;		/* bit per list number: has an empty block */
	uint32		numbers;		/* list numbers below this are in the maps */
	double		live;

	/* wide rows: pages that go on with a row, and pages that a link leads to */
	uint8	   *rest;			/* bit per block; NULL: rows fit a page */
	uint8	   *linked;
	BlockNumber mapped;			/* blocks below this are in the maps */
	TransactionId oldest;		/* older transactions had ended when we began */

	bool		waiting;		/* some moved block is not behind the horizon */
} IvfVacuum;

/* Whether VACUUM removes the row. */
extern bool ivf_vacuum_dead(IvfVacuum *v, const VsTid *tid);

/* ivfvacuumtids.c; the first releases buf, which is exclusively locked */
extern void ivf_vacuum_tids_page(IvfVacuum *v, Buffer buf);
extern void ivf_vacuum_unlink_tids(IvfVacuum *v);

#endif							/* VECPG_IVFVACUUM_H */
