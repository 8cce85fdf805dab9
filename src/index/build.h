/*
 * build.h -- what builds of every access method have in common.
 *
 * What it is not: the order of a build, or its pages.
 */
#ifndef VECPG_BUILD_H
#define VECPG_BUILD_H

#include "index/vindex.h"
#include "math/kmeans.h"

/* Threads of a build: one where the server already runs one process per core. */
extern int	vi_build_threads(void);

/*
 * Environment of the pure rooms: 64-aligned memory of any size from cxt, polls
 * for interrupts, vi_build_threads() threads.
 */
extern void vi_env(VmEnv *env, MemoryContext cxt, uint64 seed);

/*
 * The same within a budget: large memory beyond it is a temporary file, mapped.
 * It is the operating system's page cache then, which gives way to others'
 * needs, and it lives as long as cxt.
 */
typedef struct ViBudget
{
	MemoryContext cxt;
	Size		left;			/* bytes */
} ViBudget;

extern void vi_env_budget(VmEnv *env, ViBudget *budget, uint64 seed);

/* Dimensions of the indexed column; raises if it has none, or too many for am. */
extern int	vi_check_dims(Relation index, const VecOpclass *oc, const char *am);

#endif							/* VECPG_BUILD_H */
