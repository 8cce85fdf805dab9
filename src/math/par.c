/*
 * par.c -- parallel loops over OpenMP, and how many cores they may use.
 *
 * What it is not: a thread pool of our own, or a scheduler. The OpenMP runtime
 * keeps its workers asleep between regions; this file is the only one that is
 * compiled with OpenMP, and it works without it too (everything then runs in
 * the caller).
 *
 * Idea: a worker thread inherits the signal mask of the thread that creates
 * it. Blocking every signal while a region starts therefore keeps the server's
 * handlers, which touch process-wide state, out of the workers for good; the
 * caller's own mask comes back when the region ends. A signal that arrives in
 * between stays pending, at most for one slice of work.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* sched_getaffinity, CPU_COUNT_S */
#endif

#include "math/par.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_PATH_MAX 1024	/* longer paths are not looked at */
#define AFFINITY_CPUS_MAX (1 << 16) /* the kernel's own limit is 8,192 */

static int	affinity_cores(int cores);
static int	cgroup_cores(int cores);
static int	quota_up_the_tree(const char *mount, const char *path, bool v1, int cores);
static int	quota_of_v1(const char *dir, int cores);
static int	quota_of_v2(const char *dir, int cores);
static int	cores_of_quota(long long quota, long long period, int cores);
static bool read_line(const char *dir, const char *file, char *line, size_t size);
static bool names_cpu(const char *controllers);

int
vm_par_cores(void)
{
	long		online = sysconf(_SC_NPROCESSORS_ONLN);
	int			cores = online < 1 ? 1 : (int) VP_MIN(online, AFFINITY_CPUS_MAX);

	cores = affinity_cores(cores);
	return cgroup_cores(cores);
}

void
vm_par_for(int nthreads, size_t n, size_t grain, VmParBody body, void *arg)
{
	size_t		chunks;

	if (n == 0)
		return;
	if (grain == 0)
		grain = 1;
	chunks = (n - 1) / grain + 1;
#ifdef _OPENMP
	if (nthreads > 1 && chunks > 1)
	{
		int			team = (int) VP_MIN((size_t) nthreads, chunks);
		sigset_t	all;
		sigset_t	saved;

		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, &saved);
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
		for (size_t chunk = 0; chunk < chunks; chunk++)
		{
			size_t		from = chunk * grain;

			body(arg, omp_get_thread_num(), from, from + VP_MIN(grain, n - from));
		}
		pthread_sigmask(SIG_SETMASK, &saved, NULL);
		return;
	}
#else
	(void) nthreads;
#endif
	for (size_t chunk = 0; chunk < chunks; chunk++)
	{
		size_t		from = chunk * grain;

		body(arg, 0, from, from + VP_MIN(grain, n - from));
	}
}

/* Cores in the affinity mask (taskset, cpusets), at most `cores`. */
static int
affinity_cores(int cores)
{
#ifdef __linux__
	/* the call fails while the mask is smaller than the kernel's */
	for (int cpus = 1024; cpus <= AFFINITY_CPUS_MAX; cpus *= 4)
	{
		size_t		bytes = CPU_ALLOC_SIZE(cpus);
		cpu_set_t  *set = CPU_ALLOC(cpus);
		int			count = 0;

		if (set == NULL)
			break;
		if (sched_getaffinity(0, bytes, set) == 0)
			count = CPU_COUNT_S(bytes, set);
		CPU_FREE(set);
		if (count > 0)
			return VP_MIN(cores, count);
	}
#endif
	return cores;
}

/*
 * At most as many cores as the CPU quota of our control group and of every
 * group above it allows. A container often sees its own group as the root, so
 * a path that does not exist is no error: the walk goes on to its parents.
 */
static int
cgroup_cores(int cores)
{
	char		line[CGROUP_PATH_MAX];
	FILE	   *groups = fopen("/proc/self/cgroup", "r");

	if (groups == NULL)
		return cores;
	while (fgets(line, sizeof(line), groups) != NULL)
	{
		/* "0::/path" for version 2, "4:cpu,cpuacct:/path" for version 1 */
		char	   *controllers = strchr(line, ':');
		char	   *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (path == NULL)
			continue;
		*path++ = '\0';
		controllers++;
		path[strcspn(path, "\n")] = '\0';
		if (*controllers == '\0')
			cores = quota_up_the_tree(CGROUP_ROOT, path, false, cores);
		else if (names_cpu(controllers))
			cores = quota_up_the_tree(CGROUP_ROOT "/cpu", path, true, cores);
	}
	fclose(groups);
	return cores;
}

static int
quota_up_the_tree(const char *mount, const char *path, bool v1, int cores)
{
	char		dir[CGROUP_PATH_MAX * 2];
	size_t		root = strlen(mount);
	int			len = snprintf(dir, sizeof(dir), "%s%s", mount, path);

	if (len < 0 || (size_t) len >= sizeof(dir))
		return cores;
	for (;;)
	{
		char	   *slash;

		cores = v1 ? quota_of_v1(dir, cores) : quota_of_v2(dir, cores);
		slash = strrchr(dir, '/');
		if (slash == NULL || (size_t) (slash - dir) < root)
			return cores;
		*slash = '\0';
	}
}

static int
quota_of_v1(const char *dir, int cores)
{
	char		quota[64];
	char		period[64];

	if (!read_line(dir, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
		!read_line(dir, "cpu.cfs_period_us", period, sizeof(period)))
		return cores;
	return cores_of_quota(atoll(quota), atoll(period), cores);
}

static int
quota_of_v2(const char *dir, int cores)
{
	char		line[64];
	long long	quota;
	long long	period;

	/* "max 100000" has no number in front and means no limit */
	if (!read_line(dir, "cpu.max", line, sizeof(line)) ||
		sscanf(line, "%lld %lld", &quota, &period) != 2)
		return cores;
	return cores_of_quota(quota, period, cores);
}

/* Rounds up: 1.5 cores run two threads, which is faster than one. */
static int
cores_of_quota(long long quota, long long period, int cores)
{
	long long	allowed;

	if (quota <= 0 || period <= 0)
		return cores;
	allowed = (quota - 1) / period + 1;
	return (int) VP_MIN(allowed, (long long) cores);
}

static bool
read_line(const char *dir, const char *file, char *line, size_t size)
{
	char		path[CGROUP_PATH_MAX * 2 + 64];
	FILE	   *f;
	bool		ok;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	ok = fgets(line, (int) size, f) != NULL;
	fclose(f);
	return ok;
}

/* Whether "cpu" is in a comma-separated list ("cpuset" is another one). */
static bool
names_cpu(const char *controllers)
{
	while (*controllers)
	{
		size_t		len = strcspn(controllers, ",");

		if (len == 3 && strncmp(controllers, "cpu", 3) == 0)
			return true;
		controllers += len;
		if (*controllers == ',')
			controllers++;
	}
	return false;
}
