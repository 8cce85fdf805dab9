/*
 * cluster.c -- the steps of a k-means: seed, assign, group, move, split.
 *
 * What it is not: the order of these steps (kmeans.c, tree.c).
 *
 * Idea: Lloyd's algorithm on int8 rows. Assignment is integer tiles. Moving
 * needs no sums per thread: rows are first grouped by centroid with a counting
 * sort, and then every centroid sums its own rows. The same grouping feeds the
 * split of clusters that are too large.
 *
 * Seeding: Arthur and Vassilvitskii, "k-means++", SODA 2007, on a sample of
 * SEED_ROWS rows per centroid and in batches, as Bahmani et al., "Scalable
 * k-means++", VLDB 2012: a batch grows with the number of seeds, so that there
 * are some 8 ln k rounds of tiles instead of k rounds of single columns.
 */
#include "math/cluster.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simd/simd.h"

#define SEED_ROWS 4				/* sampled rows per centroid to choose from */
#define SEED_BATCH 8			/* a batch adds 1/8 of the seeds so far */
#define SEED_BATCH_MAX 256

#define SLICE_NS 25000000		/* of a parallel region; 100 ms is the limit */
#define MOVE_GRAIN 8			/* centroids of one item */
#define SPLIT_PART 8			/* of the way to a row that a half moves */
#define SHORT_SUMS 256			/* int8 rows that int16 sums hold */

typedef struct Slice
{
	VmParBody	body;
	void	   *arg;
	size_t		offset;
} Slice;

typedef struct StepWork
{
	VmRun	   *run;
	const VmCrew *crew;
} StepWork;

typedef struct SeedWork
{
	VmRun	   *run;
	const VmCrew *crew;
	size_t		count;			/* sampled rows: positions in run->order */
	int			from;			/* seeds not yet compared with: from .. to - 1 */
	int			to;
} SeedWork;

static uint64_t clock_ns(void);
static void slice_body(void *arg, int thread, size_t from, size_t to);
static void *get(const VmEnv *env, size_t count, size_t size);
static uint32_t row_id(const VmRun *run, size_t position);
static const int8_t *row_at(const VmRun *run, size_t position);
static void set_centroid(VmRun *run, int j, const int8_t *value);
static size_t sample_rows(VmRun *run, int want);
static int	draw(SeedWork *work, int batch, uint32_t *picked);
static int	compare_u64(const void *a, const void *b);
static void seed_body(void *arg, int thread, size_t from, size_t to);
static int32_t norm2(const int8_t *row, int kdim);
static void assign_body(void *arg, int thread, size_t from, size_t to);
static void nearest(const VmRun *run, const uint8_t *packed, int count, int from, int to,
					int32_t *tile, int32_t *score, uint32_t *which);
static void nearest_of_row(const int32_t *bias, const int32_t *tile, int n, int first,
						   int32_t *score, uint32_t *which);
static void move_body(void *arg, int thread, size_t from, size_t to);
static void move_centroid(VmRun *run, int j, int16_t *few, int64_t *many);
static int	split_largest(VmRun *run, int into);
static bool split_cluster(VmRun *run, int j, int into);

/* ---- crews ---- */

/* Slot: packed rows, a tile, the sums of move_centroid (10 bytes a dimension). */
void
vm_crew_init(VmCrew *crew, const VmEnv *env, int kdim, size_t extra)
{
	crew->env = env;
	crew->nthreads = VP_MAX(env->nthreads, 1);
	crew->kdim = kdim;
	crew->slot = (size_t) VM_TILE_ROWS * kdim +
		VP_MAX(VM_TILE_ROWS * VM_TILE_COLS * sizeof(int32_t), (size_t) kdim * 16) +
		VP_ROUND_UP(extra, VP_ALIGN);
	crew->scratch = env->alloc(env->arg, crew->slot * (size_t) crew->nthreads);
}

VmCrew
vm_crew_of_thread(const VmCrew *crew, int thread)
{
	VmCrew		one = *crew;

	one.env = NULL;
	one.nthreads = 1;
	one.scratch += (size_t) thread * crew->slot;
	return one;
}

uint8_t *
vm_crew_rows(const VmCrew *crew, int thread)
{
	return (uint8_t *) crew->scratch + (size_t) thread * crew->slot;
}

int32_t *
vm_crew_tile(const VmCrew *crew, int thread)
{
	return (int32_t *) (void *) (vm_crew_rows(crew, thread) + VM_TILE_ROWS * crew->kdim);
}

char *
vm_crew_extra(const VmCrew *crew, int thread)
{
	return (char *) vm_crew_tile(crew, thread) +
		VP_MAX(VM_TILE_ROWS * VM_TILE_COLS * sizeof(int32_t), (size_t) crew->kdim * 16);
}

/*
 * The first slice is one item a thread; then slices double until one takes
 * SLICE_NS. Time decides only where the checks are, never the result.
 */
void
vm_crew_for(const VmCrew *crew, size_t n, size_t grain, VmParBody body, void *arg)
{
	size_t		least = grain * (size_t) crew->nthreads;
	size_t		slice = least;
	size_t		count;

	if (crew->env == NULL)
	{
		body(arg, 0, 0, n);
		return;
	}
	for (size_t done = 0; done < n; done += count)
	{
		Slice		part = {body, arg, done};
		uint64_t	start = clock_ns();
		uint64_t	took;

		count = VP_MIN(slice, n - done);
		vm_par_for(crew->nthreads, count, grain, slice_body, &part);
		took = clock_ns() - start;
		if (took < SLICE_NS / 2)
			slice *= 2;
		else if (took > SLICE_NS * 2)
			slice = VP_MAX(slice / 2, least);
		crew->env->poll(crew->env->arg);
	}
}

static uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static void
slice_body(void *arg, int thread, size_t from, size_t to)
{
	Slice	   *part = arg;

	part->body(part->arg, thread, part->offset + from, part->offset + to);
}

/* ---- runs ---- */

void
vm_run_alloc(VmRun *run, const VmEnv *env)
{
	size_t		cap = (size_t) run->cap;

	run->cent = get(env, cap * (size_t) run->rows->kdim, sizeof(int8_t));
	run->bias = get(env, cap, sizeof(int32_t));
	run->start = get(env, cap + 1, sizeof(uint32_t));
	run->size = get(env, cap, sizeof(uint32_t));
	run->assign = get(env, run->n, sizeof(uint32_t));
	run->order = get(env, run->n, sizeof(uint32_t));
}

static void *
get(const VmEnv *env, size_t count, size_t size)
{
	return env->alloc(env->arg, count * size);
}

static uint32_t
row_id(const VmRun *run, size_t position)
{
	return run->ids ? run->ids[position] : (uint32_t) position;
}

static const int8_t *
row_at(const VmRun *run, size_t position)
{
	return run->rows->rows + row_id(run, position) * run->rows->stride;
}

static void
set_centroid(VmRun *run, int j, const int8_t *value)
{
	int			kdim = run->rows->kdim;

	memmove(run->cent + (size_t) j * kdim, value, (size_t) kdim);
	run->bias[j] = vm_bias(value, kdim);
}

int32_t
vm_bias(const int8_t *cent, int kdim)
{
	int32_t		sum = 0;

	for (int d = 0; d < kdim; d++)
		sum += cent[d] * (cent[d] + 256);
	return sum;
}

void
vm_pack(const VmRows *rows, const uint32_t *ids, size_t from, size_t count, uint8_t *out)
{
	size_t		kdim = (size_t) rows->kdim;

	for (size_t i = 0; i < count; i++)
	{
		const int8_t *row = rows->rows + (ids ? ids[i] : from + i) * rows->stride;

		for (size_t d = 0; d < kdim; d++)
			out[d] = (uint8_t) row[d] ^ 0x80;
		out += kdim;
	}
}

/* ---- seeding ---- */

void
vm_run_seed(VmRun *run, const VmCrew *crew, int want)
{
	SeedWork	work = {run, crew, 0, 0, 0};
	uint32_t	picked[SEED_BATCH_MAX];

	run->k = 0;
	if (run->n == 0)
		return;
	want = (int) VP_MIN((size_t) VP_MIN(want, run->cap), run->n);
	work.count = sample_rows(run, want);
	set_centroid(run, 0, row_at(run, run->order[vp_rand(&run->random) % work.count]));
	run->k = 1;
	while (run->k < want)
	{
		int			batch = VP_MIN(VP_MAX(run->k / SEED_BATCH, 1), SEED_BATCH_MAX);

		work.to = run->k;
		vm_crew_for(crew, work.count, VM_TILE_ROWS, seed_body, &work);
		work.from = work.to;
		batch = draw(&work, VP_MIN(batch, want - run->k), picked);
		if (batch == 0)
			break;				/* every sampled row equals a seed */
		for (int i = 0; i < batch; i++)
			set_centroid(run, run->k++, row_at(run, picked[i]));
	}
}

/*
 * One row from each of `count` equal parts of the run, as tables are often
 * stored in an order that means something. Before the first assignment,
 * run->order holds their positions and run->assign their distances.
 */
static size_t
sample_rows(VmRun *run, int want)
{
	size_t		count = VP_MIN(run->n, (size_t) want * SEED_ROWS);

	for (size_t i = 0; i < count; i++)
	{
		run->order[i] = (uint32_t) ((i * run->n + vp_rand(&run->random) % run->n) / count);
		run->assign[i] = UINT32_MAX;
	}
	return count;
}

/* Draws up to `batch` sampled rows, with probability as their distance. */
static int
draw(SeedWork *work, int batch, uint32_t *picked)
{
	const VmRun *run = work->run;
	uint64_t	target[SEED_BATCH_MAX];
	uint64_t	sum = 0;
	int			next = 0;
	int			found = 0;

	for (size_t i = 0; i < work->count; i++)
		sum += run->assign[i];
	if (sum == 0)
		return 0;
	for (int i = 0; i < batch; i++)
		target[i] = vp_rand(&work->run->random) % sum;
	qsort(target, (size_t) batch, sizeof(target[0]), compare_u64);
	sum = 0;
	for (size_t i = 0; i < work->count && next < batch; i++)
	{
		sum += run->assign[i];
		if (target[next] < sum)
			picked[found++] = run->order[i];
		while (next < batch && target[next] < sum)
			next++;
	}
	return found;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static void
seed_body(void *arg, int thread, size_t from, size_t to)
{
	SeedWork   *work = arg;
	VmRun	   *run = work->run;
	uint8_t    *packed = vm_crew_rows(work->crew, thread);
	int32_t    *tile = vm_crew_tile(work->crew, thread);
	uint32_t	ids[VM_TILE_ROWS];
	int32_t		score[VM_TILE_ROWS];
	uint32_t	which[VM_TILE_ROWS];

	for (; from < to; from += VM_TILE_ROWS)
	{
		int			count = (int) VP_MIN((size_t) VM_TILE_ROWS, to - from);

		for (int i = 0; i < count; i++)
			ids[i] = row_id(run, run->order[from + i]);
		vm_pack(run->rows, ids, 0, (size_t) count, packed);
		nearest(run, packed, count, work->from, work->to, tile, score, which);
		for (int i = 0; i < count; i++)
		{
			const int8_t *row = row_at(run, run->order[from + i]);
			uint32_t	dist = (uint32_t) (score[i] + norm2(row, run->rows->kdim));

			run->assign[from + i] = VP_MIN(run->assign[from + i], dist);
		}
	}
}

static int32_t
norm2(const int8_t *row, int kdim)
{
	int32_t		sum = 0;

	for (int d = 0; d < kdim; d++)
		sum += row[d] * row[d];
	return sum;
}

/* ---- assignment ---- */

void
vm_run_assign(VmRun *run, const VmCrew *crew)
{
	StepWork	work = {run, crew};

	vm_crew_for(crew, run->n, VM_TILE_ROWS, assign_body, &work);
}

static void
assign_body(void *arg, int thread, size_t from, size_t to)
{
	StepWork   *work = arg;
	VmRun	   *run = work->run;
	uint8_t    *packed = vm_crew_rows(work->crew, thread);
	int32_t    *tile = vm_crew_tile(work->crew, thread);
	int32_t		score[VM_TILE_ROWS];

	for (; from < to; from += VM_TILE_ROWS)
	{
		size_t		count = VP_MIN((size_t) VM_TILE_ROWS, to - from);

		vm_pack(run->rows, run->ids ? run->ids + from : NULL, from, count, packed);
		nearest(run, packed, (int) count, 0, run->k, tile, score, run->assign + from);
	}
}

/* The nearest of the centroids from .. to - 1 to each packed row. */
static void
nearest(const VmRun *run, const uint8_t *packed, int count, int from, int to,
		int32_t *tile, int32_t *score, uint32_t *which)
{
	size_t		kdim = (size_t) run->rows->kdim;

	for (int i = 0; i < count; i++)
	{
		score[i] = INT32_MAX;
		which[i] = 0;
	}
	for (; from < to; from += VM_TILE_COLS)
	{
		int			cols = VP_MIN(VM_TILE_COLS, to - from);

		vk->tile_u8s8(packed, kdim, (size_t) count, run->cent + from * kdim, kdim,
					  (size_t) cols, kdim, tile, VM_TILE_COLS);
		for (int i = 0; i < count; i++)
			nearest_of_row(run->bias + from, tile + i * VM_TILE_COLS, cols, from,
						   &score[i], &which[i]);
	}
}

/*
 * Looks for the minimum in steps that the compiler turns into vectors, and for
 * its place only in the step that has it. Equal scores: the first wins.
 */
static void
nearest_of_row(const int32_t *bias, const int32_t *tile, int n, int first,
			   int32_t *score, uint32_t *which)
{
	int32_t		best = *score;
	int			at = -1;
	int			j = 0;

	for (; j + VM_SCORE_STEP <= n; j += VM_SCORE_STEP)
	{
		int32_t		least = vm_least_score(bias + j, tile + j);

		if (least < best)
		{
			best = least;
			at = j;
		}
	}
	if (at >= 0)
		while (bias[at] - 2 * tile[at] != best)
			at++;
	for (; j < n; j++)
	{
		if (bias[j] - 2 * tile[j] < best)
		{
			best = bias[j] - 2 * tile[j];
			at = j;
		}
	}
	if (at >= 0)
	{
		*score = best;
		*which = (uint32_t) (first + at);
	}
}

/* A counting sort, stable, so that a centroid's rows stay in their order. */
void
vm_run_group(VmRun *run)
{
	memset(run->start, 0, ((size_t) run->k + 1) * sizeof(run->start[0]));
	for (size_t i = 0; i < run->n; i++)
		run->start[run->assign[i]]++;
	for (uint32_t j = 0, sum = 0; j <= (uint32_t) run->k; j++)
	{
		uint32_t	count = run->start[j];

		if (j < (uint32_t) run->k)
			run->size[j] = count;
		run->start[j] = sum;
		sum += count;
	}
	for (size_t i = 0; i < run->n; i++)
		run->order[run->start[run->assign[i]]++] = (uint32_t) i;
	for (int j = run->k; j > 0; j--)
		run->start[j] = run->start[j - 1];
	run->start[0] = 0;
}

/* ---- moving ---- */

void
vm_run_move(VmRun *run, const VmCrew *crew)
{
	StepWork	work = {run, crew};

	vm_crew_for(crew, (size_t) run->k, MOVE_GRAIN, move_body, &work);
}

static void
move_body(void *arg, int thread, size_t from, size_t to)
{
	StepWork   *work = arg;
	int64_t    *many = (int64_t *) (void *) vm_crew_tile(work->crew, thread);
	int16_t    *few = (int16_t *) (void *) (many + work->run->rows->kdim);

	for (; from < to; from++)
		move_centroid(work->run, (int) from, few, many);
}

/* Sums in int16 as long as they fit, then in int64. An empty one stays. */
static void
move_centroid(VmRun *run, int j, int16_t *few, int64_t *many)
{
	int			kdim = run->rows->kdim;
	int8_t	   *cent = run->cent + (size_t) j * kdim;
	uint32_t	from = run->start[j];
	uint32_t	to = run->start[j + 1];
	float		inverse = 1.0f / (float) (to - from);

	if (from == to)
		return;
	memset(many, 0, (size_t) kdim * sizeof(many[0]));
	while (from < to)
	{
		uint32_t	stop = from + VP_MIN(to - from, SHORT_SUMS);

		memset(few, 0, (size_t) kdim * sizeof(few[0]));
		for (; from < stop; from++)
		{
			const int8_t *row = row_at(run, run->order[from]);

			for (int d = 0; d < kdim; d++)
				few[d] = (int16_t) (few[d] + row[d]);
		}
		for (int d = 0; d < kdim; d++)
			many[d] += few[d];
	}
	/* 128.5: truncation then rounds to nearest */
	for (int d = 0; d < kdim; d++)
		cent[d] = (int8_t) ((int32_t) ((float) many[d] * inverse + 128.5f) - 128);
	run->bias[j] = vm_bias(cent, kdim);
}

/* ---- splitting ---- */

void
vm_run_split(VmRun *run, int want, int most, size_t limit)
{
	int			full = run->k;

	for (int j = 0; j < full; j++)
		if (run->start[j] == run->start[j + 1] && split_largest(run, j) < 0)
			return;
	want = VP_MIN(want, run->cap);
	most = VP_MIN(most, run->cap);
	while (run->k < most)
	{
		uint32_t	largest = 0;

		for (int j = 0; j < full; j++)
			largest = VP_MAX(largest, run->size[j]);
		if (run->k >= want && largest <= limit)
			break;
		if (split_largest(run, run->k) < 0)
			break;
		run->k++;
	}
}

/*
 * Splits the largest cluster that has two different rows; the second half's
 * centroid becomes number `into`. -1 if there is none. Sizes are updated by
 * guess: half of the rows each, and the new half, whose rows nobody knows yet,
 * is not split again in this step.
 */
static int
split_largest(VmRun *run, int into)
{
	run->size[into] = 0;
	for (;;)
	{
		int			best = 0;

		for (int j = 1; j < run->k; j++)
			if (run->size[j] > run->size[best])
				best = j;
		if (run->size[best] < 2)
			return -1;
		if (split_cluster(run, best, into))
		{
			run->size[best] /= 2;
			return best;
		}
		run->size[best] = 0;
	}
}

/*
 * With d the way from the centroid to a random row of the cluster, the halves
 * start at centroid +- d / 8: the plane between them passes through the old
 * centroid, and both are hardly farther than it was from rows they should
 * keep. (With d / 2 they lose them to third centroids. Where rows have more
 * clusters than there are centroids, one centroid near the mean of all
 * collects thousands of rows, and splits must be able to break it up.)
 * False if all rows equal the centroid.
 */
static bool
split_cluster(VmRun *run, int j, int into)
{
	int			kdim = run->rows->kdim;
	int8_t	   *old = run->cent + (size_t) j * kdim;
	int8_t	   *new = run->cent + (size_t) into * kdim;
	uint32_t	count = run->start[j + 1] - run->start[j];
	uint32_t	at = (uint32_t) (vp_rand(&run->random) % count);
	const int8_t *row = NULL;
	int			far = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		row = row_at(run, run->order[run->start[j] + (at + i) % count]);
		if (memcmp(row, old, (size_t) kdim) != 0)
			break;
		row = NULL;
	}
	if (row == NULL)
		return false;
	for (int d = 0; d < kdim; d++)
		far = VP_MAX(far, abs(row[d] - old[d]));
	for (int d = 0; d < kdim; d++)
	{
		int			way = row[d] - old[d];
		int			part = far < SPLIT_PART ? way : way / SPLIT_PART;

		/* so close that an eighth is nothing: one half starts at the row */
		new[d] = (int8_t) VP_MAX(-INT8_MAX, VP_MIN(old[d] + part, INT8_MAX));
		if (far >= SPLIT_PART)
			old[d] = (int8_t) VP_MAX(-INT8_MAX, VP_MIN(old[d] - part, INT8_MAX));
	}
	run->bias[j] = vm_bias(old, kdim);
	run->bias[into] = vm_bias(new, kdim);
	return true;
}

void
vm_run_finish(VmRun *run, const VmCrew *crew)
{
	int			kept = 0;

	vm_run_assign(run, crew);
	vm_run_group(run);
	for (int j = 0; j < run->k; j++)
	{
		if (run->start[j] == run->start[j + 1])
			continue;
		set_centroid(run, kept, run->cent + (size_t) j * run->rows->kdim);
		for (uint32_t i = run->start[j]; i < run->start[j + 1]; i++)
			run->assign[run->order[i]] = (uint32_t) kept;
		run->size[kept++] = run->start[j + 1] - run->start[j];
	}
	run->k = kept;
}
