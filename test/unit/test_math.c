/*
 * test_math.c -- rotation, threads, k-means and the two-level tree.
 *
 * What it is not: a benchmark, or a judge of clustering quality beyond what
 * callers rely on: no empty leaf, balance, determinism, right distances.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* RLIMIT_NPROC */
#endif

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "math/kmeans.h"
#include "math/par.h"
#include "math/rotate.h"
#include "simd/simd.h"

#include "unit.h"

/* ---- memory ---- */

#define MAX_BLOCKS 4096

static void *blocks[MAX_BLOCKS];
static int	nblocks;
static unsigned long polls;

static void *
test_alloc(void *arg, size_t bytes)
{
	void	   *p;

	(void) arg;
	if (nblocks == MAX_BLOCKS || posix_memalign(&p, VP_ALIGN, bytes + 1) != 0)
	{
		printf("out of memory\n");
		exit(2);
	}
	memset(p, 0xA5, bytes);
	blocks[nblocks++] = p;
	return p;
}

static void
test_poll(void *arg)
{
	(void) arg;
	polls++;
}

static void
free_all(void)
{
	while (nblocks > 0)
		free(blocks[--nblocks]);
}

static VmEnv
env_of(int nthreads)
{
	VmEnv		env = {test_alloc, test_poll, NULL, nthreads, 42};

	return env;
}

/* ---- rotation ---- */

static double
dot(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static float *
random_floats(int n)
{
	float	   *p = test_alloc(NULL, (size_t) n * sizeof(float));

	for (int i = 0; i < n; i++)
		p[i] = unit_uniform();
	return p;
}

static void
check_rotation(int dims)
{
	VmRotation	rot;
	VmRotation	again;
	int			dim = vm_rotated_dim(dims);
	uint8_t    *signs = test_alloc(NULL, vm_rotation_bytes(dims));
	uint8_t    *signs2 = test_alloc(NULL, vm_rotation_bytes(dims));
	float	   *a = random_floats(dims);
	float	   *b = random_floats(dims);
	float	   *pa = random_floats(dim);
	float	   *pb = random_floats(dim);
	float	   *scratch = random_floats(dim);
	float	   *back = random_floats(dims);
	double		size;
	double		off = 0;

	vm_rotation_init(&rot, dims, 7, signs);
	vm_rotation_init(&again, dims, 7, signs2);
	CHECK(memcmp(signs, signs2, vm_rotation_bytes(dims)) == 0, "dims %d: seed", dims);
	vm_rotate(&rot, a, NULL, pa);
	vm_rotate(&rot, b, NULL, pb);
	size = sqrt(dot(a, a, dims) * dot(b, b, dims));
	CHECK_NEAR(dot(pa, pa, dim) / dot(a, a, dims), 1.0, 1e-6);
	CHECK_NEAR(dot(pa, pb, dim) / size, dot(a, b, dims) / size, 1e-6);
	vm_unrotate(&rot, pa, back, scratch);
	for (int i = 0; i < dims; i++)
		off += pow((double) back[i] - a[i], 2);
	CHECK(sqrt(off / dot(a, a, dims)) < 1e-6, "dims %d: inverse off by %g", dims, sqrt(off));

	/* a shift is a subtraction before: P (a - b) = P a - P b */
	vm_rotate(&rot, a, b, scratch);
	off = 0;
	for (int i = 0; i < dim; i++)
		off += pow((double) scratch[i] - ((double) pa[i] - pb[i]), 2);
	CHECK(sqrt(off / size) < 1e-6, "dims %d: shift off by %g", dims, sqrt(off));
	free_all();
}

/* A single coordinate must be spread: this is what the codes rely on. */
static void
check_spread(int dims)
{
	VmRotation	rot;
	int			dim = vm_rotated_dim(dims);
	uint8_t    *signs = test_alloc(NULL, vm_rotation_bytes(dims));
	float	   *in = random_floats(dims);
	float	   *out = random_floats(dim);
	double		fourth = 0;

	vm_rotation_init(&rot, dims, 3, signs);
	memset(in, 0, (size_t) dims * sizeof(float));
	in[dims / 3] = 1.0f;
	vm_rotate(&rot, in, NULL, out);
	for (int i = 0; i < dim; i++)
		fourth += pow(out[i], 4);
	CHECK(fourth * dim < 12, "dims %d: kurtosis %g (3 is normal, dim is not spread)", dims,
		  fourth * dim);
	free_all();
}

static void
check_rotations(void)
{
	static const int dims[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 200, 384,
	512, 513, 768, 784, 1000, 1024, 1040, 1536, 2000, 3072, 4096, 8192, 12000, 15999, 16000};
	VmRotation	rot;
	uint8_t		signs[64];
	float		in[16];
	float		out[16];

	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
		check_rotation(dims[i]);
	for (int d = 100; d <= 2000; d += 268)
		check_spread(d);

	/* lengths whose squares float32 cannot hold */
	vm_rotation_init(&rot, 16, 1, signs);
	for (int i = 0; i < 16; i++)
		in[i] = 1e30f;
	vm_rotate(&rot, in, NULL, out);
	CHECK_NEAR(sqrt(dot(out, out, 16)) / 4e30, 1.0, 1e-5);
	for (int i = 0; i < 16; i++)
		in[i] = 1e-30f;
	vm_rotate(&rot, in, NULL, out);
	CHECK_NEAR(sqrt(dot(out, out, 16)) / 4e-30, 1.0, 1e-5);
}

/* ---- threads ---- */

typedef struct Touched
{
	uint8_t    *count;			/* of every item */
	int			threads;		/* numbers must be below this */
	bool		bad;
} Touched;

static void
touch(void *arg, int thread, size_t from, size_t to)
{
	Touched    *t = arg;

	if (thread < 0 || thread >= t->threads || from >= to)
		t->bad = true;
	for (; from < to; from++)
		t->count[from]++;
}

static void
check_par(void)
{
	static const size_t sizes[] = {0, 1, 2, 7, 64, 1000, 4097};
	static const size_t grains[] = {0, 1, 3, 64, 5000};

	CHECK(vm_par_cores() >= 1, "%d cores", vm_par_cores());
	for (int threads = -1; threads <= 5; threads++)
	{
		for (size_t s = 0; s < 7; s++)
		{
			for (size_t g = 0; g < 5; g++)
			{
				uint8_t		count[4097] = {0};
				Touched		t = {count, VP_MAX(threads, 1), false};
				bool		once = true;

				vm_par_for(threads, sizes[s], grains[g], touch, &t);
				for (size_t i = 0; i < 4097; i++)
					once = once && count[i] == (i < sizes[s]);
				CHECK(once && !t.bad, "%d threads, %zu items, grain %zu", threads, sizes[s], grains[g]);
			}
		}
	}
}

#define NOT_TESTED 77			/* exit status of a child whose limit has no effect */

/* Every item once, under 8 threads; a child cannot report through CHECK. */
static bool
eight_threads_work(void)
{
	uint8_t		count[1000] = {0};
	Touched		t = {count, 8, false};
	bool		once = true;

	vm_par_for(8, 1000, 10, touch, &t);
	for (int i = 0; i < 1000; i++)
		once = once && count[i] == 1;
	return once && !t.bad;
}

/* Runs eight_threads_work in a child under `limit`; a hang ends by the alarm. */
static void
check_child(const char *what, int resource, rlim_t limit)
{
	struct rlimit most = {limit, limit};
	int			status = -1;
	pid_t		child = fork();

	if (child == 0)
	{
		alarm(30);
		if (limit != RLIM_INFINITY)
		{
			/* The superuser may have more tasks than the limit; any other user not. */
			if (geteuid() == 0 && setuid(54321) != 0)
				_exit(NOT_TESTED);
			if (setrlimit(resource, &most) != 0)
				_exit(3);
		}
		_exit(eight_threads_work() ? 0 : 1);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TESTED)
		printf("%s: not tested, no other user to become\n", what);
	else
		CHECK(status == 0, "%s, limit %llu: status %x", what,
			  (unsigned long long) limit, (unsigned) status);
}

/* libgomp ends a process that gets no thread; these must end with 0. */
static void
check_no_threads(void)
{
	for (rlim_t tasks = 1; tasks <= 9; tasks++)
		check_child("few tasks", RLIMIT_NPROC, tasks);
#ifndef __SANITIZE_ADDRESS__
	/* Less than the stack of a thread (the address sanitizer maps terabytes). */
	check_child("no memory", RLIMIT_AS, 1 << 20);
#endif
}

/* Workers only: without OpenMP there are none, and the caller's mask is its own. */
static void
look_at_mask(void *arg, int thread, size_t from, size_t to)
{
	sigset_t	mask;

	(void) from;
	(void) to;
	if (thread == 0)
		return;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGUSR1))
		*(bool *) arg = true;
}

static void
check_signals(void)
{
	bool		open = false;
	sigset_t	mask;

	vm_par_for(3, 10000, 1, look_at_mask, &open);
	CHECK(!open, "signals reach a worker");
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CHECK(!sigismember(&mask, SIGTERM), "signals stay blocked after a region");
}

/* ---- k-means ---- */

static int
clamp8(double x)
{
	return (int) VP_MAX(-127, VP_MIN(127, rint(x)));
}

/* `centres` clusters of rows; spread is the standard deviation in a cluster. */
static VmRows
made_rows(size_t n, int kdim, int centres, double spread)
{
	size_t		stride = (size_t) kdim + 16;
	int8_t	   *rows = test_alloc(NULL, n * stride);
	float	   *centre = random_floats(centres * kdim);
	VmRows		result = {rows, n, stride, kdim};

	for (size_t i = 0; i < n; i++)
	{
		const float *c = centre + unit_below((unsigned) centres) * (unsigned) kdim;

		for (int d = 0; d < kdim; d++)
			rows[i * stride + d] = (int8_t) clamp8(60 * c[d] + spread *
												   (unit_uniform() + unit_uniform() + unit_uniform()));
	}
	return result;
}

static int64_t
distance(const VmRows *rows, size_t i, const int8_t *cent)
{
	int64_t		sum = 0;

	for (int d = 0; d < rows->kdim; d++)
		sum += (int64_t) pow(rows->rows[i * rows->stride + d] - cent[d], 2);
	return sum;
}

/* Every row is at a nearest centroid, every centroid has rows. */
static double
check_kmeans_of(const VmRows *rows, int k, int threads, const char *what)
{
	VmEnv		env = env_of(threads);
	int8_t	   *cent = test_alloc(NULL, (size_t) k * rows->kdim);
	uint32_t   *assign = test_alloc(NULL, rows->n * sizeof(uint32_t));
	uint32_t   *size = test_alloc(NULL, (size_t) k * sizeof(uint32_t));
	int			found = -1;
	bool		ok = true;
	double		sum = 0;

	memset(size, 0, (size_t) k * sizeof(uint32_t));
	vm_kmeans(&env, rows, k, 8, cent, assign, &found);
	CHECK(found >= (rows->n > 0) && found <= k, "%s: %d centroids", what, found);
	for (size_t i = 0; i < rows->n; i++)
	{
		int64_t		mine;

		if (!CHECK(assign[i] < (uint32_t) found, "%s: row %zu at %u", what, i, assign[i]))
			return 0;
		mine = distance(rows, i, cent + assign[i] * (size_t) rows->kdim);
		for (int j = 0; j < found && i % 7 == 0; j++)
			ok = ok && mine <= distance(rows, i, cent + (size_t) j * rows->kdim);
		size[assign[i]]++;
		sum += (double) mine;
	}
	CHECK(ok, "%s: every row at its nearest centroid", what);
	for (int j = 0; j < found; j++)
		CHECK(size[j] > 0, "%s: centroid %d of %d is empty", what, j, found);
	return rows->n > 0 ? sum / (double) rows->n : 0;
}

static int
kmeans_count(const VmRows *rows, int k)
{
	VmEnv		env = env_of(1);
	int8_t	   *cent = test_alloc(NULL, (size_t) VP_MAX(k, 1) * rows->kdim);
	int			found = -1;

	vm_kmeans(&env, rows, k, 6, cent, NULL, &found);
	return found;
}

static void
check_kmeans(void)
{
	VmRows		rows = made_rows(3000, 48, 30, 5);
	VmRows		none = {rows.rows, 0, rows.stride, 48};
	VmRows		one = {rows.rows, 1, rows.stride, 48};
	VmRows		few = {rows.rows, 5, rows.stride, 48};
	int8_t	   *same = test_alloc(NULL, 1000 * 16);
	VmRows		equal = {same, 1000, 16, 16};
	double		inside;

	inside = check_kmeans_of(&rows, 60, 1, "clusters");
	CHECK(inside < 48 * 5 * 5 * 1.5, "60 centroids over 30 clusters leave %g", inside);
	check_kmeans_of(&few, 20, 1, "more centroids than rows");
	check_kmeans_of(&one, 3, 2, "one row");
	CHECK_EQ(kmeans_count(&one, 3), 1);
	CHECK_EQ(kmeans_count(&none, 3), 0);
	CHECK_EQ(kmeans_count(&few, 0), 1);

	memset(same, 9, 1000 * 16);
	CHECK_EQ(kmeans_count(&equal, 10), 1);
	for (int i = 0; i < 3; i++)
		same[i * 333 * 16] = (int8_t) (i * 40);
	check_kmeans_of(&equal, 10, 1, "four different rows");
	memset(same, 9, 1000 * 16);
	for (int i = 0; i < 1000; i++)
		same[i * 16] = (int8_t) (i % 2 ? 127 : -128);
	check_kmeans_of(&equal, 4, 1, "two different rows, extremes");
	CHECK_EQ(kmeans_count(&equal, 4), 2);
	free_all();
}

/* ---- the tree ---- */

/*
 * Trains, checks what every caller relies on, and returns a hash of all of it.
 * even: at most 2 % of the leaves may hold more than twice the average.
 */
static uint64_t
check_tree(const VmRows *rows, int ntop, int nlists, int threads, bool even, const char *what)
{
	VmEnv		env = env_of(threads);
	VmTree		tree;
	uint32_t   *assign = test_alloc(NULL, rows->n * sizeof(uint32_t));
	size_t		average = rows->n / (size_t) VP_MAX(nlists, 1);
	uint32_t   *size;
	uint64_t	hash = 1;
	size_t		large = 0;

	vm_tree_train(&env, rows, ntop, nlists, 8, &tree, assign);
	size = test_alloc(NULL, ((size_t) tree.nleaf + 1) * sizeof(uint32_t));
	memset(size, 0, ((size_t) tree.nleaf + 1) * sizeof(uint32_t));
	CHECK(tree.nleaf <= nlists * 1.15 + tree.ntop, "%s: %d leaves", what, tree.nleaf);
	CHECK_EQ(tree.leaf_start[tree.ntop], tree.nleaf);
	for (int t = 0; t < tree.ntop; t++)
		CHECK(tree.leaf_start[t] < tree.leaf_start[t + 1], "%s: top %d has no leaf", what, t);
	for (size_t i = 0; i < rows->n; i++)
	{
		if (CHECK(assign[i] < (uint32_t) tree.nleaf, "%s: row %zu", what, i))
			size[assign[i]]++;
		hash = hash * 31 + assign[i];
	}
	for (int j = 0; j < tree.nleaf; j++)
	{
		CHECK(size[j] > 0, "%s: leaf %d is empty", what, j);
		large += size[j] > 2 * average + 1;
	}
	CHECK(large * 50 <= (size_t) tree.nleaf || !even, "%s: %zu of %d leaves large", what,
		  large, tree.nleaf);
	for (int i = 0; i < tree.nleaf * tree.kdim; i++)
		hash = hash * 31 + (uint8_t) tree.leaf[i];
	return hash;
}

/* With all tops open, the answer is the exact one, nearest first. */
static void
check_assign(const VmRows *rows, int open, int want, int threads, bool biases)
{
	VmEnv		env = env_of(threads);
	VmTree		tree;
	uint32_t   *assign = test_alloc(NULL, rows->n * sizeof(uint32_t));
	uint32_t   *leaves = test_alloc(NULL, rows->n * (size_t) want * sizeof(uint32_t));
	bool		ok = true;

	vm_tree_train(&env, rows, 7, 60, 6, &tree, assign);
	if (!biases)
		tree.top_bias = tree.leaf_bias = NULL;
	vm_tree_assign(&env, &tree, rows, open, want, leaves);
	for (size_t i = 0; i < rows->n; i++)
	{
		const uint32_t *mine = leaves + i * (size_t) want;
		int64_t		last = -1;
		int			count = 0;

		for (int w = 0; w < want; w++)
		{
			int64_t		d;

			if (mine[w] == UINT32_MAX)
				continue;
			CHECK(mine[w] < (uint32_t) tree.nleaf && count == w, "leaf %u at %d", mine[w], w);
			count++;
			d = distance(rows, i, tree.leaf + mine[w] * (size_t) tree.kdim);
			ok = ok && d >= last;
			last = d;
		}
		if (open < tree.ntop)
			continue;
		CHECK_EQ(count, VP_MIN(want, tree.nleaf));
		for (int j = 0; j < tree.nleaf && i % 5 == 0; j++)
		{
			int64_t		d = distance(rows, i, tree.leaf + (size_t) j * tree.kdim);
			bool		in = false;

			for (int w = 0; w < count; w++)
				in = in || mine[w] == (uint32_t) j;
			ok = ok && (in || d >= last);
		}
	}
	CHECK(ok, "open %d want %d: nearest leaves in order", open, want);
	free_all();
}

static void
check_trees(void)
{
	VmRows		rows = made_rows(6000, 64, 200, 9);
	VmRows		none = {rows.rows, 0, rows.stride, 64};
	VmRows		one = {rows.rows, 1, rows.stride, 64};
	VmRows		few = {rows.rows, 20, rows.stride, 64};
	int8_t	   *same = test_alloc(NULL, 2000 * 16);
	VmRows		equal = {same, 2000, 16, 16};
	VmEnv		env = env_of(2);
	VmTree		tree;
	uint64_t	hash = check_tree(&rows, 17, 300, 1, true, "one thread");

	CHECK(check_tree(&rows, 17, 300, 2, true, "two threads") == hash, "1 and 2 threads differ");
	CHECK(check_tree(&rows, 17, 300, 3, true, "three threads") == hash, "1 and 3 threads differ");
	vk_set_level(VK_SCALAR);
	CHECK(check_tree(&rows, 17, 300, 2, true, "scalar") == hash, "the scalar level differs");
	vk_set_level(vk_best_level());
	check_tree(&rows, 40, 40, 2, false, "as many tops as leaves");
	check_tree(&rows, 1, 100, 1, true, "one top");
	check_tree(&few, 10, 50, 2, false, "more lists than rows");
	check_tree(&one, 3, 9, 2, false, "one row");

	vm_tree_train(&env, &none, 3, 9, 8, &tree, NULL);
	CHECK(tree.ntop == 0 && tree.nleaf == 0, "no rows: %d tops", tree.ntop);
	memset(same, 5, 2000 * 16);
	check_tree(&equal, 10, 50, 2, false, "equal rows");
	for (int i = 0; i < 1000; i++)
		for (int d = 0; d < 16; d++)
			same[i * 32 + d] = (int8_t) unit_below(255);
	check_tree(&equal, 10, 50, 1, false, "half of the rows equal");
	free_all();

	rows = made_rows(2500, 32, 50, 8);
	check_assign(&rows, 100, 8, 2, true);
	rows = made_rows(2500, 32, 50, 8);
	check_assign(&rows, 100, 100, 1, false);
	rows = made_rows(1500, 32, 50, 8);
	check_assign(&rows, 2, 8, 3, true);
	rows = made_rows(1500, 32, 50, 8);
	check_assign(&rows, 40, 1, 1, true);
	CHECK(polls > 0, "the interrupt check ran %lu times", polls);
}

int
main(void)
{
	vk_init();
	check_rotations();
	vk_set_level(VK_SCALAR);
	check_rotation(768);
	vk_set_level(vk_best_level());
	check_no_threads();
	check_par();
	check_signals();
	check_child("inherited team", RLIMIT_NPROC, RLIM_INFINITY);
	check_kmeans();
	check_trees();
	return unit_done();
}
