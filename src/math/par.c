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
 *   server is, the spinning takes the core another worker needs. So a region
 *   that wants nearly all CPUs gets one thread more than there are, which has
 *   nothing to do. A tree of 60,000 rows, 2 threads of 2 cores, 6 busy processes
 *   beside: .6 to .8 s instead of 1.4 to 3.2. Idle machines pay for the sleeping:
 *   .14 to .20 s instead of .13, and 5 % with 300,000 rows.
 * - It ends the process if a thread cannot be created (limits on tasks or on
 *   memory). So before a team grows, as many threads are created by hand, all
 *   alive at once, and joined; if that fails, the caller works alone. What is
 *   left is the moment between the two. libgomp ends the threads that a smaller
 *   region does not need, so the size of a team follows from nthreads and not
 *   from the work, and what counts as there is what the latest region had.
 *
 * An ordinary backend never starts a region of more than one thread, and a
 * process that inherited a team by fork does not use it: fork copies the record
 * of the threads, not the threads, and a region started on it crashes.
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

#ifdef _OPENMP
typedef struct Probe
{
	pthread_t	thread;
	pthread_mutex_t *gate;		/* held until all of them exist */
} Probe;

/* The threads that libgomp keeps: those of the latest region. */
static struct
{
	pid_t		owner;			/* the process that made them */
	int			threads;		/* with the caller; 0 before the first region */
} pool;
#endif

static void work(Region *region, int number);
#ifdef _OPENMP
static bool team_can_start(int threads);
static bool can_create(int threads);
static void *run_probe(void *arg);
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
	int			team = VP_MIN(nthreads, THREADS_MAX);

	if (team > 1 && n > region.grain)
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
				if (omp_get_thread_num() == 0)
					pool.threads = omp_get_num_threads();
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
/* Whether a team of so many starts without libgomp failing to create one. */
static bool
team_can_start(int threads)
{
	if (pool.threads > 0 && pool.owner != getpid())
		return false;
	pool.owner = getpid();
	return threads <= pool.threads || can_create(threads - VP_MAX(1, pool.threads));
}

/*
 * Whether so many threads can live at once beside those there are. They wait
 * for the last of them: one that ends at once makes room for the next.
 */
static bool
can_create(int threads)
{
	Probe		probes[THREADS_MAX];
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	int			n;

	pthread_mutex_lock(&gate);
	for (n = 0; n < threads; n++)
	{
		probes[n].gate = &gate;
		if (pthread_create(&probes[n].thread, NULL, run_probe, &probes[n]) != 0)
			break;
	}
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < n; i++)
		pthread_join(probes[i].thread, NULL);
	return n == threads;
}

static void *
run_probe(void *arg)
{
	Probe	   *probe = arg;

	pthread_mutex_lock(probe->gate);
	pthread_mutex_unlock(probe->gate);
	return NULL;
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
