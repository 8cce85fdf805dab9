/*
 * cluster.h -- the k-means machine behind kmeans.c and tree.c.
 *
 * What it is not: part of the room's contract (kmeans.h is).
 *
 * A VmRun is one k-means under way, cut into steps short enough to be one item
 * of a parallel loop (the small runs of a tree) or to be parallel inside (one
 * large run). A VmCrew says which: it carries the threads, their scratch and
 * the interrupt check. A crew made inside a parallel loop has one thread and
 * no check.
 *
 * Results do not depend on the number of threads: every row is assigned on its
 * own, and sums are integers.
 */
#ifndef VECPG_CLUSTER_H
#define VECPG_CLUSTER_H

#include <string.h>

#include "math/kmeans.h"
#include "math/par.h"

/* A tile: as many rows and centroids as fit the nearest caches together. */
#define VM_TILE_ROWS 64
#define VM_TILE_COLS 128

typedef struct VmCrew
{
	const VmEnv *env;			/* NULL inside a parallel loop: no check */
	int			nthreads;
	char	   *scratch;		/* nthreads slots */
	size_t		slot;			/* bytes of one */
	int			kdim;
} VmCrew;

typedef struct VmRun
{
	const VmRows *rows;
	const uint32_t *ids;		/* the run's rows; NULL: all, in order */
	size_t		n;
	int			k;				/* centroids now */
	int			cap;			/* room for centroids */
	int8_t	   *cent;			/* cap x kdim */
	int32_t    *bias;			/* cap: vm_bias of each */
	uint32_t   *assign;			/* n: centroid of each row */
	uint32_t   *order;			/* n: row positions grouped by centroid */
	uint32_t   *start;			/* cap + 1: a centroid's part of order */
	uint32_t   *size;			/* cap: rows, as far as splits may use them */
	uint64_t	random;
} VmRun;

/* A crew whose scratch holds `extra` bytes a thread beside the tiles. */
void		vm_crew_init(VmCrew *crew, const VmEnv *env, int kdim, size_t extra);

/* The crew of one thread, for a run inside a parallel loop. */
VmCrew		vm_crew_of_thread(const VmCrew *crew, int thread);

/* A parallel loop in slices of some 25 ms, with the check between them. */
void		vm_crew_for(const VmCrew *crew, size_t n, size_t grain, VmParBody body, void *arg);

/* Allocates the arrays of a run whose rows, n and cap are set. */
void		vm_run_alloc(VmRun *run, const VmEnv *env);

/* Chooses up to `want` first centroids; k becomes their number. */
void		vm_run_seed(VmRun *run, const VmCrew *crew, int want);

/* Lloyd's step: assign, group, move the centroids to the means. */
void		vm_run_assign(VmRun *run, const VmCrew *crew);
void		vm_run_group(VmRun *run);
void		vm_run_move(VmRun *run, const VmCrew *crew);

/*
 * Grows to `want` centroids by splitting the largest clusters, then up to
 * `most` while one has more than `limit` rows. Also refills empty ones. Uses
 * the grouping; the next step makes the split take effect.
 */
void		vm_run_split(VmRun *run, int want, int most, size_t limit);

/* Final assignment, and removal of centroids without rows. */
void		vm_run_finish(VmRun *run, const VmCrew *crew);

/*
 * <row, c> comes from a tile of unsigned rows (row + 128), so it is
 * tile - 128 sum(c). |row - c|^2 - |row|^2 = vm_bias(c) - 2 tile, in int32
 * even for 16,000 dimensions.
 */
int32_t		vm_bias(const int8_t *cent, int kdim);

/* Copies `count` rows as unsigned bytes, packed: those of ids, or from on. */
void		vm_pack(const VmRows *rows, const uint32_t *ids, size_t from, size_t count,
					uint8_t *out);

/* A thread's parts of the scratch: packed rows, a tile, and the caller's. */
uint8_t    *vm_crew_rows(const VmCrew *crew, int thread);
int32_t    *vm_crew_tile(const VmCrew *crew, int thread);
char	   *vm_crew_extra(const VmCrew *crew, int thread);

#define VM_SCORE_STEP 16

/* Four scores at a time, in portable C: the compiler finds the registers. */
typedef int32_t VmScores __attribute__((vector_size(16)));

/* bias[j] - 2 tile[j] of four */
VP_INLINE VmScores
vm_scores(const int32_t *bias, const int32_t *tile)
{
	VmScores	b;
	VmScores	t;

	memcpy(&b, bias, sizeof(b));
	memcpy(&t, tile, sizeof(t));
	return b - (t + t);
}

/* The smallest of VM_SCORE_STEP scores. */
VP_INLINE int32_t
vm_least_score(const int32_t *bias, const int32_t *tile)
{
	VmScores	least = vm_scores(bias, tile);
	int32_t		x;
	int32_t		y;

	for (int j = 4; j < VM_SCORE_STEP; j += 4)
	{
		VmScores	next = vm_scores(bias + j, tile + j);
		VmScores	less = next < least;

		least = (next & less) | (least & ~less);
	}
	x = VP_MIN(least[0], least[1]);
	y = VP_MIN(least[2], least[3]);
	return VP_MIN(x, y);
}

/* Bit j: score j of VM_SCORE_STEP is at most `limit`. */
VP_INLINE uint32_t
vm_scores_within(const int32_t *bias, const int32_t *tile, int32_t limit)
{
	const VmScores limits = {limit, limit, limit, limit};
	const VmScores first = {1, 2, 4, 8};
	VmScores	bits = {0};

	for (int j = 0; j < VM_SCORE_STEP; j += 4)
		bits |= (vm_scores(bias + j, tile + j) <= limits) & (first << j);
	return (uint32_t) ((bits[0] | bits[1]) | (bits[2] | bits[3]));
}

#endif							/* VECPG_CLUSTER_H */
