/*
 * inner.h -- what the files of this room share with each other.
 *
 * What it is not: part of the room's contract (graph.h is).
 */
#ifndef VECPG_GRAPH_INNER_H
#define VECPG_GRAPH_INNER_H

#include "graph/graph.h"
#include "simd/simd.h"

/* ---- distances ---- */

/*
 * vg_distance, where the call would cost. Float operations in one fixed order,
 * on exact integers: the same bits at every CPU level, and d(i,j) = d(j,i).
 */
VP_INLINE float
vg_near_of(const VgRows *rows, const VgQuery *q, const VgRow *row, int32_t u8s8)
{
	int64_t		four;			/* four times <u_i - 127.5, u_q - 127.5> */
	float		dot;
	float		dist;

	four = 4 * (int64_t) u8s8 + 2 * (int64_t) row->sum -
		510 * (int64_t) q->ssum - 255 * (int64_t) rows->dim;
	dot = (float) four * 0.25f * (row->t * q->row->t);
	/* sums of two first: they are the same from either side */
	dist = row->norm2 + q->row->norm2 - 2 * dot + (row->lift + q->row->lift);
	return dist > 0 ? dist : 0;
}

VP_INLINE float
vg_near(const VgRows *rows, const VgQuery *q, const VgRow *row)
{
	if (rows->space == VG_L1)
		return rows->step * (float) vk->l1_u8u8(row->u, q->row->u, (size_t) rows->dim);
	return vg_near_of(rows, q, row, vk->dot_u8s8(row->u, q->s, (size_t) rows->dim));
}

/*
 * vg_near in two parts: the dot of the head first, with the distance that the
 * head alone lets expect; then the rest.
 */
VP_INLINE float
vg_near_head(const VgRows *rows, const VgQuery *q, const VgRow *row, int32_t *dot)
{
	int			head = rows->head;
	int64_t		four;
	float		dist;

	*dot = vk->dot_u8s8(row->u, q->s, (size_t) head);
	four = 4 * (int64_t) *dot + 2 * (int64_t) row->head_sum - 510 * (int64_t) q->head_ssum -
		255 * (int64_t) head;
	dist = row->head_norm2 + q->row->head_norm2 - (float) four * 0.5f * (row->t * q->row->t);
	return dist * ((float) rows->dim / (float) head) + row->lift + q->row->lift;
}

VP_INLINE float
vg_near_rest(const VgRows *rows, const VgQuery *q, const VgRow *row, int32_t dot)
{
	int			head = rows->head;

	dot += vk->dot_u8s8(row->u + head, q->s + head, (size_t) (rows->dim - head));
	return vg_near_of(rows, q, row, dot);
}

/* ---- searching a layer in memory (walk.c) ---- */

/* A pool entry: the bits of the distance, which is >= 0, above the id. */
typedef uint64_t VgKey;

VP_INLINE VgKey
vg_key(float dist, uint32_t id)
{
	union
	{
		float		f;
		uint32_t	bits;
	}			d = {dist};

	return (VgKey) d.bits << 32 | id;
}

VP_INLINE uint32_t
vg_key_id(VgKey key)
{
	return (uint32_t) key;
}

VP_INLINE float
vg_key_dist(VgKey key)
{
	union
	{
		uint32_t	bits;
		float		f;
	}			d = {(uint32_t) (key >> 32)};

	return d.f;
}

/* The state of one search; one a thread. Memory: vg_walk_bytes. */
typedef struct VgWalk
{
	const VgGraph *g;
	const VgRows *rows;
	VgQuery		query;
	int8_t	   *s;				/* [dim] the query's signed codes */
	VgKey	   *pool;			/* [ef + 1] ascending */
	uint8_t    *open;			/* [ef + 1] not yet expanded */
	int			npool;
	uint32_t   *visited;		/* open addressing */
	size_t		visited_cap;	/* a power of two */
	uint32_t   *fresh;			/* [2m] neighbours met for the first time */
	int32_t    *dots;			/* [2m] of their heads */
} VgWalk;

size_t		vg_walk_bytes(int m, int dim, int ef);
void		vg_walk_init(VgWalk *w, const VgGraph *g, const VgRows *rows, int ef, void *memory);

/*
 * Starts with a query at a row, the graph's entry for instance; then layers are
 * searched from above.
 */
void		vg_walk_begin(VgWalk *w, const VgRow *query, uint32_t start);

/* Replaces the pool by the `ef` nearest rows that its rows lead to on a layer. */
void		vg_walk_layer(VgWalk *w, int layer, int ef);

/* ---- which edges are kept (select.c) ---- */

/*
 * Whether a kept edge stands against a candidate at `dist` from the node, being
 * `between` from it: if it is nearer to it than the node is, or equal to it. Many
 * rows of one code would otherwise keep each other only, and no way would lead
 * out of them.
 */
VP_INLINE bool
vg_stands_against(float between, float dist)
{
	return between < dist || between == 0;
}

/* ---- lists of edges (link.c) ---- */

/*
 * One node's edges on one layer while the graph is built. The list is at every
 * moment what vg_select makes of it: a distance is negative, -0 too, if its
 * edge was only filled up with.
 */
typedef struct VgList
{
	uint32_t   *ids;			/* ascending by (distance, id), then VG_NONE */
	float	   *dists;
	int			most;
} VgList;

/* What a thread needs to change lists. Memory: vg_linker_bytes. */
typedef struct VgLinker
{
	const VgRows *rows;
	VgCandidate *cand;			/* [ef] for a whole list */
	uint8_t    *kept;			/* [ef] */
	int		   *chosen;			/* [2m] */
	uint32_t   *ids;			/* [2m + 1] a list with the edge that is one too many */
	float	   *dists;
	int8_t	   *s;				/* [dim] of the row `prepared` */
	VgQuery		query;
	uint32_t	prepared;
} VgLinker;

size_t		vg_linker_bytes(int m, int dim, int ef);
void		vg_linker_init(VgLinker *l, const VgRows *rows, int m, int ef, void *memory);

/* Fills an empty list from candidates, ascending by (dist, id). */
void		vg_list_fill(VgLinker *l, VgList *list, const VgKey *cand, int n);

/*
 * What adding an edge to row `id`, the query, would come to, without doing so:
 * whether it would change the list, and which kept edge would stand against
 * keeping it (VG_NONE: none).
 */
bool		vg_list_judge(const VgRows *rows, const VgQuery *q, const VgList *list, uint32_t id,
						  float dist, uint32_t *pruner);

/*
 * Adds an edge that was judged before the list `changed`; returns whether the
 * list is another now.
 */
bool		vg_list_add(VgLinker *l, VgList *list, uint32_t id, float dist, uint32_t pruner,
						bool changed);

/* ---- what is known before the first row goes in (plan.c) ---- */

/* Layers of all rows, by the seed; returns the sum of them. */
size_t		vg_plan_levels(uint64_t *random, size_t n, int m, uint8_t *level);

/* The order of insertion: random, but the first row of the highest level first. */
void		vg_plan_order(uint64_t *random, size_t n, const uint8_t *level, uint32_t *order);

/* Rows to insert at once after `inserted` others. */
size_t		vg_plan_batch(size_t inserted, size_t n);

/* Bytes that hold the upper layers' edges of n rows, but once in 10^9 seeds. */
size_t		vg_plan_upper(size_t n, int m);

#endif							/* VECPG_GRAPH_INNER_H */
