/*
 * tree.c -- the two-level tree: training, and assignment of rows to leaves.
 *
 * What it is not: the k-means itself (cluster.c).
 *
 * Idea. The tops are trained on a sample and every row goes to its nearest
 * top; then each top's rows are clustered on their own. A top's run is small
 * (sqrt K centroids), so runs go to threads whole, a step of each at a time:
 * between two parallel regions the caller's interrupt check runs.
 *
 * Balance. A list that holds many rows costs every query that probes it, so
 * leaves with more than twice the average are split while that keeps the tree
 * within LEAF_EXCESS. Runs start with fewer centroids than wanted (LEAF_START)
 * to leave room for splits.
 */
#include "math/cluster.h"

#include <string.h>

#include "simd/simd.h"

#define TOP_SAMPLE 256			/* rows per top that train the tops */
#define TOP_LIMIT 3				/* times the average: larger tops are split */
#define TOP_EXCESS 2.0			/* most tops, relative to what was asked */
#define LEAF_LIMIT 2
#define LEAF_START 0.9
#define LEAF_EXCESS 1.15
#define SETTLE 3				/* Lloyd steps after the split */

#define ASSIGN_ROWS 1024		/* rows that share one grouping by top */

typedef struct Leaves
{
	VmRun	   *run;			/* of every top */
	int		   *want;			/* leaves of every top */
	size_t		limit;			/* rows of a leaf that is split */
	int			iters;
	int			step;			/* 0 .. iters + 1, see leaves_body */
	int			first;			/* top of item 0 */
	const VmCrew *crew;
} Leaves;

typedef struct AssignWork
{
	const VmTree *tree;
	const VmRows *rows;
	const VmCrew *crew;
	const int32_t *top_bias;
	const int32_t *leaf_bias;
	int			open;
	int			want;
	uint32_t   *leaves;
} AssignWork;

/* A thread's scratch of an assignment: ASSIGN_ROWS rows at a time. */
typedef struct AssignScratch
{
	int64_t    *key;			/* rows x want: (score, leaf), ascending */
	uint32_t   *opened;			/* rows x open: tops of each row */
	uint32_t   *order;			/* rows x open: rows grouped by top */
	uint32_t   *start;			/* ntop + 1 */
} AssignScratch;

static void train_tops(const VmEnv *env, const VmCrew *crew, const VmRows *rows, int ntop,
					   int iters, VmRun *all);
static void spread_rows(const VmCrew *crew, VmRun *all);
static void plan_leaves(const VmEnv *env, const VmRun *all, int nlists, Leaves *leaves);
static void train_leaves(const VmCrew *crew, Leaves *leaves, int ntop);
static void leaves_body(void *arg, int thread, size_t from, size_t to);
static void leaves_step(const Leaves *leaves, VmRun *run, int want, const VmCrew *crew);
static void collect(const VmEnv *env, const VmRun *all, const Leaves *leaves, VmTree *tree,
					uint32_t *assign);
static int32_t *biases(const VmEnv *env, const int8_t *cent, int n, int kdim);
static size_t scratch_keys(const AssignWork *work);
static size_t scratch_bytes(const AssignWork *work);
static AssignScratch scratch_of(const AssignWork *work, int thread);
static void assign_body(void *arg, int thread, size_t from, size_t to);
static void assign_some(const AssignWork *work, int thread, size_t from, int count);
static void open_tops(const AssignWork *work, int thread, size_t from, int count,
					  AssignScratch *s);
static void group_by_top(const AssignWork *work, int count, AssignScratch *s);
static void scan_top(const AssignWork *work, int thread, size_t from, int top,
					 AssignScratch *s);
static void offer(int64_t *key, int want, const int32_t *bias, const int32_t *tile, int n,
				  int first);
static void insert_key(int64_t *key, int want, int64_t value);
static int64_t key_of(int32_t score, int id);
static void *get(const VmEnv *env, size_t count, size_t size);

/* ---- training ---- */

void
vm_tree_train(const VmEnv *env, const VmRows *rows, int ntop, int nlists,
			  int iters, VmTree *tree, uint32_t *assign)
{
	VmCrew		crew;
	VmRun		all = {.rows = rows, .n = rows->n, .random = vp_seed(env->seed)};
	Leaves		leaves = {.iters = VP_MAX(iters, 1)};

	vm_crew_init(&crew, env, rows->kdim, 0);
	nlists = (int) VP_MIN((size_t) VP_MAX(nlists, 1), rows->n);
	ntop = VP_MAX(VP_MIN(ntop, nlists), rows->n > 0);
	all.cap = (int) VP_MIN((size_t) (ntop * TOP_EXCESS), rows->n);
	vm_run_alloc(&all, env);
	train_tops(env, &crew, rows, ntop, leaves.iters, &all);
	spread_rows(&crew, &all);
	plan_leaves(env, &all, nlists, &leaves);
	train_leaves(&crew, &leaves, all.k);
	collect(env, &all, &leaves, tree, assign);
}

/* Leaves the tops' centroids in `all`, which has not been assigned yet. */
static void
train_tops(const VmEnv *env, const VmCrew *crew, const VmRows *rows, int ntop,
		   int iters, VmRun *all)
{
	VmRun		run = {.rows = rows, .cap = all->cap, .random = all->random};
	size_t		limit;
	uint32_t   *ids;
	int			want = 1;

	run.n = VP_MIN(rows->n, (size_t) ntop * TOP_SAMPLE);
	limit = TOP_LIMIT * run.n / (size_t) VP_MAX(ntop, 1) + 1;
	ids = get(env, run.n, sizeof(uint32_t));
	for (size_t i = 0; i < run.n; i++)
		ids[i] = (uint32_t) ((i * rows->n + vp_rand(&run.random) % rows->n) / run.n);
	run.ids = ids;
	vm_run_alloc(&run, env);
	vm_run_seed(&run, crew, 1);
	for (int i = 0; i < iters; i += want == ntop)
	{
		vm_run_assign(&run, crew);
		vm_run_group(&run);
		vm_run_move(&run, crew);
		want = VP_MIN(want * 2, ntop);
		if (i < iters - 1)
			vm_run_split(&run, want, want == ntop ? run.cap : 0, limit);
	}
	all->k = run.k;
	memcpy(all->cent, run.cent, (size_t) run.k * (size_t) rows->kdim);
	memcpy(all->bias, run.bias, (size_t) run.k * sizeof(int32_t));
}

/* Every row to its nearest top; tops without rows go. */
static void
spread_rows(const VmCrew *crew, VmRun *all)
{
	vm_run_finish(all, crew);
	vm_run_group(all);
}

/*
 * Divides nlists by the tops' rows (rounding the running sum, so that it comes
 * out exactly) and cuts common arrays into the runs.
 */
static void
plan_leaves(const VmEnv *env, const VmRun *all, int nlists, Leaves *leaves)
{
	int			ntop = all->k;
	VmRun		whole = {.rows = all->rows, .n = all->n};
	int			given = 0;
	size_t		cap = 0;

	leaves->run = get(env, (size_t) ntop, sizeof(VmRun));
	leaves->want = get(env, (size_t) ntop, sizeof(int));
	leaves->limit = nlists > 0 ? LEAF_LIMIT * all->n / (size_t) nlists : 0;
	for (int t = 0; t < ntop; t++)
	{
		VmRun	   *run = &leaves->run[t];
		int			upto = (int) ((double) nlists * all->start[t + 1] / (double) all->n + 0.5);

		*run = (VmRun) {.rows = all->rows, .ids = all->order + all->start[t]};
		run->n = all->start[t + 1] - all->start[t];
		run->random = vp_seed(env->seed + (uint64_t) t + 1);
		leaves->want[t] = (int) VP_MIN((size_t) VP_MAX(upto - given, 1), run->n);
		run->cap = (int) VP_MIN((size_t) (leaves->want[t] * LEAF_EXCESS) + 1, run->n);
		given = upto;
		cap += (size_t) run->cap + 1;	/* one more: `start` has cap + 1 */
	}
	whole.cap = (int) cap;
	vm_run_alloc(&whole, env);
	for (int t = 0; t < ntop; t++)
	{
		VmRun	   *run = &leaves->run[t];

		run->cent = whole.cent;
		run->bias = whole.bias;
		run->start = whole.start;
		run->size = whole.size;
		run->assign = whole.assign + all->start[t];
		run->order = whole.order + all->start[t];
		whole.cent += (size_t) run->cap * (size_t) all->rows->kdim;
		whole.bias += run->cap;
		whole.start += run->cap + 1;
		whole.size += run->cap;
	}
}

/* A few tops at a time, so that their rows stay in the caches from step to step. */
static void
train_leaves(const VmCrew *crew, Leaves *leaves, int ntop)
{
	int			group = 4 * crew->nthreads;

	leaves->crew = crew;
	for (leaves->first = 0; leaves->first < ntop; leaves->first += group)
	{
		size_t		count = (size_t) VP_MIN(group, ntop - leaves->first);

		for (leaves->step = 0; leaves->step <= leaves->iters + 1; leaves->step++)
			vm_crew_for(crew, count, 1, leaves_body, leaves);
	}
}

/* Step 0 seeds, iters steps of Lloyd follow, the last one finishes. */
static void
leaves_body(void *arg, int thread, size_t from, size_t to)
{
	Leaves	   *leaves = arg;
	VmCrew		crew = vm_crew_of_thread(leaves->crew, thread);

	for (; from < to; from++)
	{
		VmRun	   *run = &leaves->run[leaves->first + (int) from];
		int			want = leaves->want[leaves->first + (int) from];

		if (leaves->step == 0)
			vm_run_seed(run, &crew, VP_MAX((int) (want * LEAF_START), 1));
		else if (leaves->step <= leaves->iters)
			leaves_step(leaves, run, want, &crew);
		else
			vm_run_finish(run, &crew);
	}
}

static void
leaves_step(const Leaves *leaves, VmRun *run, int want, const VmCrew *crew)
{
	int			left = leaves->iters - leaves->step;

	vm_run_assign(run, crew);
	vm_run_group(run);
	vm_run_move(run, crew);
	if (left > SETTLE)
		vm_run_split(run, VP_MAX((int) (want * LEAF_START), 1), 0, leaves->limit);
	else if (left > 0)
		vm_run_split(run, want, run->cap, leaves->limit);
}

static void
collect(const VmEnv *env, const VmRun *all, const Leaves *leaves, VmTree *tree,
		uint32_t *assign)
{
	size_t		kdim = (size_t) all->rows->kdim;

	tree->kdim = (int) kdim;
	tree->ntop = all->k;
	tree->top = all->cent;
	tree->top_bias = all->bias;
	tree->leaf_start = get(env, (size_t) all->k + 1, sizeof(int));
	tree->leaf_start[0] = 0;
	for (int t = 0; t < all->k; t++)
		tree->leaf_start[t + 1] = tree->leaf_start[t] + leaves->run[t].k;
	tree->nleaf = tree->leaf_start[all->k];
	tree->leaf = get(env, (size_t) tree->nleaf, kdim);
	for (int t = 0; t < all->k; t++)
	{
		const VmRun *run = &leaves->run[t];
		uint32_t	first = (uint32_t) tree->leaf_start[t];

		memcpy(tree->leaf + first * kdim, run->cent, (size_t) run->k * kdim);
		for (size_t i = 0; i < run->n; i++)
			assign[run->ids[i]] = first + run->assign[i];
	}
	tree->leaf_bias = biases(env, tree->leaf, tree->nleaf, tree->kdim);
}

static int32_t *
biases(const VmEnv *env, const int8_t *cent, int n, int kdim)
{
	int32_t    *bias = get(env, (size_t) n, sizeof(int32_t));

	for (int j = 0; j < n; j++)
		bias[j] = vm_bias(cent + (size_t) j * (size_t) kdim, kdim);
	return bias;
}

/* ---- assignment ---- */

void
vm_tree_assign(const VmEnv *env, const VmTree *tree, const VmRows *rows,
			   int open, int want, uint32_t *leaves)
{
	VmCrew		crew;
	AssignWork	work = {tree, rows, &crew, tree->top_bias, tree->leaf_bias, open, want, leaves};
	size_t		share = rows->n / (size_t) VP_MAX(env->nthreads, 1) + 1;

	work.open = VP_MIN(open, tree->ntop);
	if (work.top_bias == NULL)
		work.top_bias = biases(env, tree->top, tree->ntop, tree->kdim);
	if (work.leaf_bias == NULL)
		work.leaf_bias = biases(env, tree->leaf, tree->nleaf, tree->kdim);
	vm_crew_init(&crew, env, tree->kdim, scratch_bytes(&work));
	vm_crew_for(&crew, rows->n, VP_MIN(share, (size_t) ASSIGN_ROWS), assign_body, &work);
}

/* The keys serve the tops of one tile first, then the leaves of all rows. */
static size_t
scratch_keys(const AssignWork *work)
{
	return (size_t) VP_MAX(ASSIGN_ROWS * work->want, VM_TILE_ROWS * work->open);
}

static size_t
scratch_bytes(const AssignWork *work)
{
	return scratch_keys(work) * sizeof(int64_t) +
		(size_t) ASSIGN_ROWS * (size_t) work->open * 2 * sizeof(uint32_t) +
		((size_t) work->tree->ntop + 1) * sizeof(uint32_t);
}

static AssignScratch
scratch_of(const AssignWork *work, int thread)
{
	size_t		pairs = (size_t) ASSIGN_ROWS * (size_t) work->open;
	AssignScratch s;

	s.key = (int64_t *) (void *) vm_crew_extra(work->crew, thread);
	s.opened = (uint32_t *) (void *) (s.key + scratch_keys(work));
	s.order = s.opened + pairs;
	s.start = s.order + pairs;
	return s;
}

static void
assign_body(void *arg, int thread, size_t from, size_t to)
{
	AssignWork *work = arg;

	for (; from < to; from += ASSIGN_ROWS)
		assign_some(work, thread, from, (int) VP_MIN((size_t) ASSIGN_ROWS, to - from));
}

/*
 * The rows of one group all look for their tops first; then top by top, the
 * rows that opened it meet its leaves in tiles.
 */
static void
assign_some(const AssignWork *work, int thread, size_t from, int count)
{
	AssignScratch s = scratch_of(work, thread);
	size_t		nkeys = (size_t) count * (size_t) work->want;
	uint32_t   *out = work->leaves + from * (size_t) work->want;

	open_tops(work, thread, from, count, &s);
	group_by_top(work, count, &s);
	for (size_t i = 0; i < nkeys; i++)
		s.key[i] = INT64_MAX;
	for (int top = 0; top < work->tree->ntop; top++)
		scan_top(work, thread, from, top, &s);
	/* the key without any leaf has all low bits set: UINT32_MAX */
	for (size_t i = 0; i < nkeys; i++)
		out[i] = (uint32_t) s.key[i];
}

static void
open_tops(const AssignWork *work, int thread, size_t from, int count, AssignScratch *s)
{
	const VmTree *tree = work->tree;
	size_t		kdim = (size_t) tree->kdim;
	uint8_t    *packed = vm_crew_rows(work->crew, thread);
	int32_t    *tile = vm_crew_tile(work->crew, thread);

	for (int i = 0; i < count; i += VM_TILE_ROWS)
	{
		int			m = VP_MIN(VM_TILE_ROWS, count - i);
		int64_t    *key = s->key;

		vm_pack(work->rows, NULL, from + (size_t) i, (size_t) m, packed);
		for (int j = 0; j < m * work->open; j++)
			key[j] = INT64_MAX;
		for (int c = 0; c < tree->ntop; c += VM_TILE_COLS)
		{
			int			cols = VP_MIN(VM_TILE_COLS, tree->ntop - c);

			vk->tile_u8s8(packed, kdim, (size_t) m, tree->top + c * kdim, kdim,
						  (size_t) cols, kdim, tile, VM_TILE_COLS);
			for (int j = 0; j < m; j++)
				offer(key + j * work->open, work->open, work->top_bias + c,
					  tile + j * VM_TILE_COLS, cols, c);
		}
		for (int j = 0; j < m * work->open; j++)
			s->opened[i * work->open + j] = (uint32_t) key[j];
	}
}

/* A counting sort of the (row, top) pairs by top. */
static void
group_by_top(const AssignWork *work, int count, AssignScratch *s)
{
	int			ntop = work->tree->ntop;
	int			pairs = count * work->open;
	uint32_t	sum = 0;

	memset(s->start, 0, ((size_t) ntop + 1) * sizeof(uint32_t));
	for (int i = 0; i < pairs; i++)
		s->start[s->opened[i]]++;
	for (int t = 0; t < ntop; t++)
	{
		uint32_t	n = s->start[t];

		s->start[t] = sum;
		sum += n;
	}
	for (int i = 0; i < pairs; i++)
		s->order[s->start[s->opened[i]]++] = (uint32_t) (i / work->open);
	/* every start has moved to its end, which is the next one's start */
	memmove(s->start + 1, s->start, (size_t) ntop * sizeof(uint32_t));
	s->start[0] = 0;
}

static void
scan_top(const AssignWork *work, int thread, size_t from, int top, AssignScratch *s)
{
	const VmTree *tree = work->tree;
	size_t		kdim = (size_t) tree->kdim;
	int			first = tree->leaf_start[top];
	int			end = tree->leaf_start[top + 1];
	uint8_t    *packed = vm_crew_rows(work->crew, thread);
	int32_t    *tile = vm_crew_tile(work->crew, thread);
	uint32_t	ids[VM_TILE_ROWS];

	for (uint32_t i = s->start[top]; i < s->start[top + 1]; i += VM_TILE_ROWS)
	{
		int			m = (int) VP_MIN((uint32_t) VM_TILE_ROWS, s->start[top + 1] - i);

		for (int j = 0; j < m; j++)
			ids[j] = (uint32_t) from + s->order[i + (uint32_t) j];
		vm_pack(work->rows, ids, 0, (size_t) m, packed);
		for (int c = first; c < end; c += VM_TILE_COLS)
		{
			int			cols = VP_MIN(VM_TILE_COLS, end - c);

			vk->tile_u8s8(packed, kdim, (size_t) m, tree->leaf + (size_t) c * kdim, kdim,
						  (size_t) cols, kdim, tile, VM_TILE_COLS);
			for (int j = 0; j < m; j++)
				offer(s->key + s->order[i + (uint32_t) j] * (size_t) work->want, work->want,
					  work->leaf_bias + c, tile + j * VM_TILE_COLS, cols, c);
		}
	}
}

/*
 * Keeps the `want` smallest keys of a row. A step's scores are compared with
 * the worst kept at vector speed; equal scores are ordered by id, so that the
 * order in which tops come does not matter.
 */
static void
offer(int64_t *key, int want, const int32_t *bias, const int32_t *tile, int n, int first)
{
	int			j = 0;

	for (; j + VM_SCORE_STEP <= n; j += VM_SCORE_STEP)
	{
		int32_t		worst = (int32_t) (key[want - 1] >> 32);
		uint32_t	within = vm_scores_within(bias + j, tile + j, worst);

		for (; within != 0; within &= within - 1)
		{
			int			i = j + __builtin_ctz(within);

			insert_key(key, want, key_of(bias[i] - 2 * tile[i], first + i));
		}
	}
	for (; j < n; j++)
	{
		int64_t		value = key_of(bias[j] - 2 * tile[j], first + j);

		if (value < key[want - 1])
			insert_key(key, want, value);
	}
}

/* Passes the value through the sorted keys without a branch to mispredict. */
static void
insert_key(int64_t *key, int want, int64_t value)
{
	for (int at = 0; at < want; at++)
	{
		int64_t		kept = key[at];
		bool		less = value < kept;

		key[at] = less ? value : kept;
		value = less ? kept : value;
	}
}

static int64_t
key_of(int32_t score, int id)
{
	return (int64_t) score * ((int64_t) 1 << 32) + id;
}

static void *
get(const VmEnv *env, size_t count, size_t size)
{
	return env->alloc(env->arg, count * size);
}
