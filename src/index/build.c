/*
 * build.c -- what builds of every access method have in common.
 *
 * What it is not: the order of a build, or its pages.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/build.h"
#include "math/par.h"
#include "pg/options.h"

int
vi_build_threads(void)
{
	int			threads = vecpg_build_threads > 0 ? vecpg_build_threads :
		max_parallel_maintenance_workers + 1;

	if (IsParallelWorker() || vecpg_is_autovacuum())
		return 1;
	return Max(1, Min(threads, vm_par_cores()));
}

static void *
env_alloc(void *arg, size_t bytes)
{
	char	   *p = MemoryContextAllocHuge((MemoryContext) arg, bytes + VP_ALIGN);

	return (void *) VP_ROUND_UP((uintptr_t) p, VP_ALIGN);
}

static void
env_poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

void
vi_env(VmEnv *env, MemoryContext cxt, uint64 seed)
{
	env->alloc = env_alloc;
	env->poll = env_poll;
	env->arg = cxt;
	env->nthreads = vi_build_threads();
	env->seed = seed;
}

int
vi_check_dims(Relation index, const VecOpclass *oc, const char *am)
{
	int			dims = vi_index_dims(index);

	if (dims == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errhint("Declare them, as in vector(768), or index an expression such as (embedding::vector(768)).")));
	if (dims > oc->max_dims)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for %s index", oc->max_dims, am)));
	return dims;
}
