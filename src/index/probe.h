/*
 * probe.h -- a few prepared rows from random places of a table, for a build.
 *
 * What it is not: a uniform sample: it gives a mean and a scale, which need not
 * be exact.
 */
#ifndef VECPG_PROBE_H
#define VECPG_PROBE_H

#include "nodes/execnodes.h"

#include "index/vindex.h"

#define VI_PROBE_ROWS 1024

/*
 * Reads up to VI_PROBE_ROWS finite rows, prepared (vi_prepare), into
 * rows[VI_PROBE_ROWS * dims]; returns their number. random: state of vp_rand.
 */
extern Size vi_probe_rows(Relation heap, Relation index, IndexInfo *info, const VecOpclass *oc,
						  int dims, uint64 *random, float *rows);

#endif							/* VECPG_PROBE_H */
