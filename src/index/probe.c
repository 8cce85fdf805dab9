/*
 * probe.c -- a few prepared rows from random places of a table, for a build.
 *
 * What it is not: a uniform sample: a few rows of each of a few blocks.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/probe.h"

/* Blocks that the rows come from; a small table is read from end to end. */
#define PLACES 64

typedef struct Probe
{
	const VecOpclass *oc;
	int			dims;
	float	   *rows;			/* [VI_PROBE_ROWS * dims] */
	Size		n;
	Size		place;			/* rows taken at this place */
	MemoryContext tmp;			/* reset per row */
} Probe;

static void take_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
					 bool alive, void *state);

Size
vi_probe_rows(Relation heap, Relation index, IndexInfo *info, const VecOpclass *oc,
			  int dims, uint64 *random, float *rows)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(heap);
	Probe		probe = {oc, dims, rows};
	int			place;

	probe.tmp = AllocSetContextCreate(CurrentMemoryContext, "vecpg probe", ALLOCSET_DEFAULT_SIZES);
	for (place = 0; place < PLACES && blocks > 0; place++)
	{
		BlockNumber at = blocks <= PLACES ? place : (BlockNumber) (vp_rand(random) % blocks);

		if (at >= blocks)
			break;
		probe.place = 0;
		table_index_build_range_scan(heap, index, info, false, false, false,
									 at, 1, take_row, &probe, NULL);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(probe.tmp);
	return probe.n;
}

static void
take_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		 bool alive, void *state)
{
	Probe	   *probe = state;
	MemoryContext old;
	Vector	   *v;
	double		norm;

	if (isnull[0] || probe->n == VI_PROBE_ROWS || probe->place == VI_PROBE_ROWS / PLACES)
		return;
	old = MemoryContextSwitchTo(probe->tmp);
	v = DatumGetVector(values[0]);
	vt_check_expected_dim(probe->dims, v->dim);
	if (vi_prepare(probe->oc, probe->dims, v->x, probe->rows + probe->n * probe->dims,
				   &norm) == VI_FINITE)
	{
		probe->n++;
		probe->place++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(probe->tmp);
}
