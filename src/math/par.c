/*
 * par.c -- parallel loops on threads, and how many cores they may use.
 *
 * What it is not: a pool. Threads live for one region: creating one costs 20
 * to 90 us, a region lasts about 25 ms, and between regions the server's process
 * has one thread, as it expects.
 *
 * Why not OpenMP: libgomp's workers spin for milliseconds before and after a
 * region. On a busy machine, which a database server is, the spinning takes
 * the core that the other worker needs (k-means of 60,000 rows on 2 threads of
 * 2 cores with 6 busy processes beside: 3.2 to 16 s, against .54 s without
 * spinning). Spinning can only be turned off in the environment, before the
 * server starts. And libgomp ends the process if it cannot create a thread;
 * here the region runs with fewer.
 *
 * Signals: a thread inherits the mask of its creator. All signals are blocked
 * while the threads are created, so that the server's handlers never run in
 * one; the caller's own mask is restored before it takes its share of work.
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

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_PATH_MAX 1024	/* longer paths are not looked at */
#define AFFINITY_CPUS_MAX (1 << 16) /* the kernel's own limit is 8,192 */

#define THREADS_MAX 256			/* of a region */

typedef struct Region
{
	VmParBody	body;
	void	   *arg;
	size_t		n;
	size_t		grain;
	size_t		next;			/* first item nobody has taken; atomic */
} Region;

typedef struct Worker
{
	Region	   *region;
	int			number;
	pthread_t	thread;
} Worker;

static void *worker_main(void *arg);
static void work(Region *region, int number);
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
	Region		region = {body, arg, n, VP_MAX(grain, 1), 0};
	Worker		workers[THREADS_MAX];
	size_t		chunks = n / region.grain + (n % region.grain != 0);
	size_t		most = (size_t) VP_MAX(1, VP_MIN(nthreads, THREADS_MAX));
	int			want = (int) VP_MIN(most, chunks);
	int			started = 1;	/* the caller is number 0 */
	sigset_t	all;
	sigset_t	saved;

	if (want > 1)
	{
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &saved);
		for (; started < want; started++)
		{
			Worker	   *worker = &workers[started];

			worker->region = &region;
			worker->number = started;
			if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
				break;			/* out of threads: slower, not wrong */
		}
		pthread_sigmask(SIG_SETMASK, &saved, NULL);
	}
	work(&region, 0);
	while (--started > 0)
		pthread_join(workers[started].thread, NULL);
}

static void *
worker_main(void *arg)
{
	Worker	   *worker = arg;

	work(worker->region, worker->number);
	return NULL;
}

/* Takes chunks until there are none. Joining orders the memory. */
static void
work(Region *region, int number)
{
	for (;;)
	{
		size_t		from = __atomic_fetch_add(&region->next, region->grain, __ATOMIC_RELAXED);

		if (from >= region->n)
			return;
		region->body(region->arg, number, from,
					 from + VP_MIN(region->grain, region->n - from));
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
