/*
 * kmeans.h -- two-level k-means on 8-bit rows, and assignment to its leaves.
 *
 * What it is not: a reader of tables (the caller samples) or an owner of
 * memory (the caller passes an allocator; everything lives until its arena
 * goes, on error too).
 *
 * Idea: N rows want K = N / 50 lists. Flat k-means is O(N K); two levels of
 * about sqrt(K) each are O(N sqrt K). Rows are int8 (rotated, centred, one
 * scale for all dimensions), distances are integer tiles (simd tile_u8s8), and
 * training reads only the first `kdim` rotated dimensions: after a random
 * rotation any prefix is a random projection (Johnson-Lindenstrauss).
 */
#ifndef VECPG_KMEANS_H
#define VECPG_KMEANS_H

#include "base/port.h"

typedef struct VmEnv
{
	void	   *(*alloc) (void *arg, size_t bytes); /* 64-aligned, never NULL */
	void		(*poll) (void *arg);	/* between slices, main thread only; may
										 * longjmp */
	void	   *arg;
	int			nthreads;
	uint64_t	seed;
} VmEnv;

typedef struct VmRows
{
	const int8_t *rows;			/* n x stride */
	size_t		n;
	size_t		stride;			/* bytes between rows, >= kdim */
	int			kdim;			/* leading dimensions used, multiple of 16 */
} VmRows;

/*
 * Flat k-means. k <= n is not needed: with fewer distinct rows than k the
 * surplus centroids are removed, so the result is *k_out <= k, >= 1 for n >= 1.
 * centroids: k x kdim int8 (rounded means), assign[n] optional.
 * Lloyd with k-means++-like sampled seeding; an empty cluster takes over half
 * of the largest one (perturbed), so none stays empty. iters 6-10 are plenty.
 */
void		vm_kmeans(const VmEnv *env, const VmRows *rows, int k, int iters,
					  int8_t *centroids, uint32_t *assign, int *k_out);

/* The two-level tree: leaf j of top t is number leaf_start[t] + j. */
typedef struct VmTree
{
	int			kdim;
	int			ntop;
	int			nleaf;
	int8_t	   *top;			/* ntop x kdim */
	int8_t	   *leaf;			/* nleaf x kdim */
	int		   *leaf_start;		/* ntop + 1 */
	int32_t    *top_bias;		/* filled by training; a tree from elsewhere */
	int32_t    *leaf_bias;		/* may have NULL: then every call computes them */
} VmTree;

/*
 * Trains a tree with about `nlists` leaves (exactly, unless rows are too few
 * or too equal) and about `ntop` tops. Every leaf is non-empty on the sample.
 * The number of leaves of a top follows its share of the rows. assign[n]
 * receives the leaf of every training row.
 */
void		vm_tree_train(const VmEnv *env, const VmRows *rows, int ntop, int nlists,
						  int iters, VmTree *tree, uint32_t *assign);

/*
 * The `want` nearest leaves of each row among the leaves of its `open` nearest
 * tops, nearest first, by distances on kdim dimensions; missing ones are
 * UINT32_MAX. leaves: n x want. Threads; env->poll between slices.
 * Called for batches of a few thousand rows: grouped by top, so that the work
 * is tiles and not pairs.
 */
void		vm_tree_assign(const VmEnv *env, const VmTree *tree, const VmRows *rows,
						   int open, int want, uint32_t *leaves);

#endif							/* VECPG_KMEANS_H */
