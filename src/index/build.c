/*
 * build.c -- what builds of every access method have in common.
 *
 * What it is not: the order of a build, or its pages.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <sys/mman.h>

#include "access/parallel.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "index/build.h"
#include "math/par.h"
#include "pg/options.h"

static void *map_temporary(MemoryContext cxt, Size bytes);

int
vi_build_threads(void)
{
	int			threads = vecpg_build_threads > 0 ? vecpg_build_threads :
		max_parallel_maintenance_workers + 1;

	if (IsParallelWorker() || vecpg_is_autovacuum())
		return 1;
	return Max(1, Min(threads, vm_par_cores()));
}

/*
 * Large arrays are read at random: with pages of 2 MB most of the address
 * lookups that miss the processor's cache for them go away.
 */
#define HUGE_PAGE ((Size) 2 * 1024 * 1024)

static void *
env_alloc(void *arg, size_t bytes)
{
	char	   *p = MemoryContextAllocHuge((MemoryContext) arg, bytes + VP_ALIGN);

	if (bytes >= 8 * HUGE_PAGE)
	{
		char	   *from = (char *) VP_ROUND_UP((uintptr_t) p, HUGE_PAGE);

		/* Advice only: a kernel that cannot is as slow as before. */
		(void) madvise(from, (bytes - (from - p)) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
	}
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

/* ---- memory beyond the budget ---- */

/* Smaller pieces are always private memory. */
#define LARGE ((Size) 1024 * 1024)

static void *
budget_alloc(void *arg, size_t bytes)
{
	ViBudget   *budget = arg;

	if (bytes >= LARGE && bytes > budget->left)
		return map_temporary(budget->cxt, bytes);
	budget->left -= Min(bytes, budget->left);
	return env_alloc(budget->cxt, bytes);
}

static void
budget_poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

void
vi_env_budget(VmEnv *env, ViBudget *budget, uint64 seed)
{
	vi_env(env, budget->cxt, seed);
	env->alloc = budget_alloc;
	env->poll = budget_poll;
	env->arg = budget;
}

typedef struct Mapping
{
	MemoryContextCallback callback;
	void	   *at;
	Size		bytes;
} Mapping;

static void
unmap(void *arg)
{
	Mapping    *m = arg;

	munmap(m->at, m->bytes);
}

/*
 * The file is filled before it is mapped, so that a full disk is an error here
 * and not a signal later, and has no name any more when it is used.
 */
static void *
map_temporary(MemoryContext cxt, Size bytes)
{
	Mapping    *m = MemoryContextAllocZero(cxt, sizeof(Mapping));
	char	   *zeros = palloc0(LARGE);
	File		file;
	Size		done;

	PrepareTempTablespaces();
	file = OpenTemporaryFile(false);
	for (done = 0; done < bytes; done += LARGE)
	{
		Size		n = Min(bytes - done, LARGE);

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		if (FileWrite(file, zeros, n, done, WAIT_EVENT_BUFFILE_WRITE) != (int) n)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write temporary file of index build: %m"),
					 errhint("Free disk space, or raise maintenance_work_mem.")));
		}
	}
	m->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, FileGetRawDesc(file), 0);
	if (m->at == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map temporary file of index build: %m")));
	m->bytes = bytes;
	m->callback.func = unmap;
	m->callback.arg = m;
	MemoryContextRegisterResetCallback(cxt, &m->callback);
	FileClose(file);
	pfree(zeros);
	return m->at;
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
