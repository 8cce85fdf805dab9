/*
 * par.c -- parallel loops over OpenMP, and how many cores they may use.
 *
 * What it is not: a scheduler. This is the only file that is compiled with
 * OpenMP, and it works without it too (everything then runs in the caller).
 *
 * Three habits of libgomp shape it:
 *
 * - A worker inherits the signal mask of its creator. All signals are blocked
 *   while a region runs, so that the server's handlers never run in a worker;
 *   one that arrives stays pending for a slice of work, at most.
 * - Workers spin for milliseconds at a region's end, unless there are more of
 *   them than CPUs; then for microseconds. On a busy machine, which a database
 *   server is, the spinning takes the core another worker needs (k-means of
 *   60,000 rows, 2 threads of 2 cores, 6 busy processes beside: 3 to 16 s
 *   instead of .6). So a region that wants nearly all CPUs gets one thread more
 *   than there are, which has nothing to do.
 * - It ends the process if a thread cannot be created. So before a team grows,
 *   threads are created by hand and joined; if that fails, the caller works
 *   alone. What is left is the moment between the two.
 *
 * An ordinary backend never starts a region of more than one thread, and a
 * process that inherited a team by fork does not use it.
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
#include <sys/types.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

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

static void work(Region *region, int number);
#ifdef _OPENMP
static bool team_can_start(int threads);
static void *no_work(void *arg);
#endif
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
#ifdef _OPENMP
	size_t		chunks = n / region.grain + (n % region.grain != 0);
	int			team = (int) VP_MIN((size_t) VP_MAX(1, VP_MIN(nthreads, THREADS_MAX)), chunks);

	if (team > 1)
	{
		int			cpus = omp_get_num_procs();
		int			started = team + 1 >= cpus && team <= cpus ? cpus + 1 : team;
		sigset_t	all;
		sigset_t	saved;

		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &saved);
		if (team_can_start(started))
		{
#pragma omp parallel num_threads(started)
			{
				/* OpenMP may give fewer threads than asked for, never more. */
				if (omp_get_thread_num() < team)
					work(&region, omp_get_thread_num());
			}
		}
		pthread_sigmask(SIG_SETMASK, &saved, NULL);
	}
#else
	(void) nthreads;
#endif
	/* Whatever no thread has taken. */
	work(&region, 0);
}

#ifdef _OPENMP
/* Whether as many threads can run, tried once for each size in this process. */
static bool
team_can_start(int threads)
{
	static pid_t owner = 0;
	static int	proven = 1;
	pthread_t	probe[THREADS_MAX + 1];
	int			n = 0;

	if (owner != 0 && owner != getpid())
		return false;
	owner = getpid();
	if (threads <= proven)
		return true;
	while (n < threads - 1 && pthread_create(&probe[n], NULL, no_work, NULL) == 0)
		n++;
	for (int i = 0; i < n; i++)
		pthread_join(probe[i], NULL);
	if (n == threads - 1)
		proven = threads;
	return n == threads - 1;
}

static void *
no_work(void *arg)
{
	return arg;
}
#endif

/* Takes chunks until there are none. The region's end orders the memory. */
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
