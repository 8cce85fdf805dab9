/*
 * graph.h -- proximity graphs: building in memory, choosing edges, searching.
 *
 * What it is not: pages. A graph on disk is searched through VgAccess, which
 * its access method fills; a graph in memory is a VgGraph.
 *
 * Source: HNSW, Malkov and Yashunin, PAMI 2020 (arXiv 1603.09320), sections 4.1
 * to 4.3; batches by prefix doubling: ParlayANN, Dobson et al., 2024 (arXiv
 * 2305.04359); edges that carry codes: SymphonyQG, Gou et al., SIGMOD 2025
 * (arXiv 2411.12229). Departures: README.
 */
#ifndef VECPG_GRAPH_H
#define VECPG_GRAPH_H

#include "base/heap.h"
#include "base/port.h"
#include "math/kmeans.h"		/* VmEnv */

#define VG_NONE UINT32_MAX

/* Layers above the base one: enough for 2^32 rows at the smallest m. */
#define VG_MAX_LEVEL 31

/* ---- rows in memory (rows.c) ---- */

/*
 * Rows of a build, coded with 8 bits a dimension. VG_L2: squared distances of
 * reconstructions t (u - 127.5), plus the rows' lifts, which turn inner products
 * into distances. VG_L1: sum |u_i - u_j| times a common step.
 */
typedef enum VgSpace
{
	VG_L2,
	VG_L1
} VgSpace;

typedef struct VgRow
{
	float		t;				/* reconstruction = t (u - 127.5); VG_L1: unused */
	float		norm2;			/* its squared length; VG_L1: unused */
	float		lift;			/* >= 0, added to its distances; 0 unless inner product */
	int32_t		sum;			/* of all u */
	float		head_norm2;		/* of the reconstruction's first VgRows.head dimensions */
	int32_t		head_sum;		/* of their u */
	uint8_t		u[];			/* dim codes */
} VgRow;

typedef struct VgRows
{
	const char *rows;			/* n rows, 16-aligned */
	size_t		n;
	size_t		stride;			/* bytes between rows */
	int			dim;			/* multiple of 16 */
	VgSpace		space;
	float		step;			/* VG_L1 */
	/*
	 * VG_L2 of rotated rows: a row is first compared on so many dimensions, a
	 * multiple of 16, and dropped if it is far. 0: always on all.
	 */
	int			head;
} VgRows;

VP_INLINE const VgRow *
vg_row(const VgRows *rows, uint32_t i)
{
	return (const VgRow *) (rows->rows + rows->stride * i);
}

/* Fills the sums of a row whose codes and factors are set. */
void		vg_row_sums(const VgRows *rows, VgRow *row);

/* A row as a query: signed codes and sums prepared once. */
typedef struct VgQuery
{
	const VgRow *row;
	int8_t	   *s;				/* [dim] u - 128; caller's memory; VG_L1: unused */
	int32_t		ssum;			/* of s */
	int32_t		head_ssum;		/* of its first VgRows.head */
} VgQuery;

void		vg_query(const VgRows *rows, const VgRow *row, int8_t *s, VgQuery *q);

/* Distance of the query to row i. */
float		vg_distance(const VgRows *rows, const VgQuery *q, uint32_t i);

/* ---- choosing edges (select.c) ---- */

typedef struct VgCandidate
{
	float		dist;			/* to the node whose edges are chosen */
	uint32_t	id;
} VgCandidate;

/* Distance between two candidates, by their index in the array. */
typedef float (*VgPairDistance) (void *arg, uint32_t a, uint32_t b);

/*
 * HNSW's heuristic (paper, algorithm 4, keepPrunedConnections): cand, ascending
 * by (dist, id), n of them. Keeps a candidate if no kept one is nearer to it
 * than the node is, or equal to it; then fills up to `most` with the nearest of the others.
 * Writes indexes into cand, ascending by distance, to out; returns how many.
 * kept[n]: whether a candidate was kept, and not only filled up with.
 */
int			vg_select(const VgCandidate *cand, int n, int most, VgPairDistance pair, void *arg,
					  uint8_t *kept, int *out);

/* ---- building (build.c) ---- */

typedef struct VgGraph
{
	size_t		n;
	int			m;				/* edges of upper layers; 2 m on the base layer */
	uint8_t    *level;			/* [n] highest layer of a row */
	uint32_t   *base;			/* [n * 2m] ascending by distance, then VG_NONE */
	uint32_t   *upper_at;		/* [n] start in `upper`, in units of m; rows of level 0: any */
	uint32_t   *upper;			/* layers 1 .. level of each row, m each */
	uint32_t	entry;			/* VG_NONE: empty */
	int			top;			/* level of the entry */
} VgGraph;

VP_INLINE uint32_t *
vg_edges(const VgGraph *g, uint32_t i, int layer)
{
	return layer == 0 ? g->base + (size_t) i * 2 * g->m :
		g->upper + ((size_t) g->upper_at[i] + layer - 1) * g->m;
}

typedef struct VgBuildOptions
{
	int			m;
	int			ef_construction;
	/* called in the main thread between slices with the rows inserted so far; may be NULL */
	void		(*progress) (void *arg, size_t done);
	/*
	 * Called once in the main thread, before the last `pause` rows (numbers
	 * rest[0 .. pause - 1]) go in: the graph is whole without them, and they
	 * are not in it. May be NULL.
	 */
	void		(*paused) (void *arg, const VgGraph *g, const uint32_t *rest, size_t pause);
	size_t		pause;			/* less than the number of rows */
	void	   *arg;
} VgBuildOptions;

/* Bytes that vg_build allocates for n rows, besides the rows. */
size_t		vg_build_bytes(size_t n, int dim, const VgBuildOptions *o, int nthreads);

/*
 * The layer of a row: floor(-ln(uniform) / ln(2m)), from a random 64-bit
 * number; at most VG_MAX_LEVEL. The paper has ln(m); the base layer's degree
 * is 2m, and with half as many rows above it a search takes two hops fewer and
 * finds the same (mnist).
 */
int			vg_level(uint64_t random, int m);

/*
 * Builds the graph of all rows. Deterministic for given rows, options and
 * env->seed at any number of threads. Memory through env->alloc only, none in
 * threads; env->poll at least every 100 ms or so.
 */
void		vg_build(const VmEnv *env, const VgRows *rows, const VgBuildOptions *o, VgGraph *g);

/*
 * Searches a graph in memory: the `ef` nearest rows found, ascending by
 * (dist, id), to out[ef]; returns how many. scratch: vg_search_bytes, 64-aligned.
 */
size_t		vg_search_bytes(const VgGraph *g, int dim, int ef);
int			vg_graph_search(const VgGraph *g, const VgRows *rows, const VgRow *query, int ef,
							void *scratch, VgCandidate *out);

/* ---- searching through an accessor (search.c) ---- */

typedef struct VgSearch VgSearch;

/*
 * How a search reads a graph that is not in memory. Callbacks may longjmp:
 * all memory of a search comes from `alloc`, which frees it with its arena.
 */
typedef struct VgAccess
{
	/*
	 * Reads a node: own distance to *own, its neighbours to ids and estimates
	 * of their distances to ests (room for `most` each); returns their number,
	 * or -1 if the node is no more. If `exact`, those of vg_is_met() may be
	 * left out.
	 */
	int			(*expand) (void *arg, uint32_t node, float *own, uint32_t *ids, float *ests);
	/* The node is likely to be expanded next. */
	void		(*prefetch) (void *arg, uint32_t node);
	void	   *(*alloc) (void *arg, size_t bytes);
	void	   *arg;
	int			most;			/* neighbours a node can have */
	bool		exact;			/* estimates are own distances */
} VgAccess;

typedef struct VgExpanded
{
	float		dist;			/* own distance */
	uint32_t	node;
} VgExpanded;

typedef struct VgSeen
{
	uint32_t	node;			/* VG_NONE: empty */
	float		est;			/* best estimate pushed; -infinity: expanded */
} VgSeen;

/*
 * A search is a queue of unexpanded nodes by estimate and W, the ef best
 * expanded nodes by own distance. It stops when W is full and the best
 * estimate exceeds W's worst; it can go on with a larger ef, having dropped
 * nothing.
 */
struct VgSearch
{
	VgAccess	access;
	VpHeapItem *queue;			/* unexpanded, nearest first */
	size_t		nqueue;
	size_t		queue_cap;
	float		limit;			/* what is met beyond goes to `far` */
	VpHeapItem *far;			/* unexpanded, not wanted when met */
	size_t		nfar;
	size_t		far_cap;
	VpHeapItem *w;				/* max-heap (negated keys) of the ef best */
	size_t		nw;
	size_t		w_cap;
	VgExpanded *expanded;		/* all, in the order of expansion */
	size_t		nexpanded;
	size_t		expanded_cap;
	VgSeen	   *seen;			/* open addressing, a power of two */
	size_t		nseen;
	size_t		seen_cap;
	uint32_t   *ids;			/* of the node being expanded */
	float	   *ests;
};

void		vg_search_begin(VgSearch *s, const VgAccess *access);

/* Offers a node, an entry point for instance. */
void		vg_search_push(VgSearch *s, uint32_t node, float est);

/*
 * Expands until W holds ef nodes and no estimate is below its worst, or the
 * queue is empty (then false: everything reachable has been expanded). New
 * nodes are expanded[nexpanded before ...].
 */
bool		vg_search_run(VgSearch *s, size_t ef);

/* Whether a node has been met (exact estimates only) or expanded. */
bool		vg_is_met(const VgSearch *s, uint32_t node);

/* Whether a node has been expanded. */
bool		vg_is_expanded(const VgSearch *s, uint32_t node);

#endif							/* VECPG_GRAPH_H */
