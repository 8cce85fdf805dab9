/*
 * vindex.h -- what every vector access method shares: opclass, query, scan base.
 *
 * What it is not: anything about lists or graphs.
 *
 * An opclass is a const descriptor that its support function 1 returns. Access
 * methods see only the descriptor: a new metric or type is a row in opclass.c.
 */
#ifndef VECPG_VINDEX_H
#define VECPG_VINDEX_H

#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "quant/quant.h"
#include "types/vector.h"

/* Support function of every vector opclass: returns its VecOpclass. */
#define VI_SUPPORT_PROC 1
/* Strategy of the ordering operator. */
#define VI_ORDER_STRATEGY 1

typedef struct VecOpclass
{
	int			id;				/* in the metapage, never reused */
	const char *name;
	VqMetric	metric;			/* of the rotated space */
	bool		normalise;		/* rows and query are made unit length first */
	int			max_dims;
	/* the operator's own value, to the bit */
	double		(*distance) (int dims, const float *a, const float *b);
} VecOpclass;

extern const VecOpclass *vi_opclass(Relation index);

/* amvalidate of every vector access method. */
extern bool vi_validate(Oid opclassoid);

/* Dimensions of the indexed column or expression; 0 if it has none. */
extern int	vi_index_dims(Relation index);

/*
 * A length whose square is within float32 with room for sums: rows or queries
 * beyond it ("wild") have no code, since any bound of theirs could overflow.
 */
#define VI_WILD_NORM 1e15
#define VI_TINY_NORM 1e-30

/* How a row or query stands to the metric. */
typedef enum ViClass
{
	VI_FINITE,
	VI_NAN,						/* every distance is NaN: zero under cosine */
	VI_WILD						/* distances may overflow or underflow */
} ViClass;

/*
 * Prepares raw[dims] for coding: copies it to out, unit length if the opclass
 * says so. *norm receives the raw length.
 */
extern ViClass vi_prepare(const VecOpclass *oc, int dims, const float *raw, float *out,
						  double *norm);

/*
 * Turns a squared distance or negative inner product of the prepared space
 * into the operator's value, and bounds of it into bounds.
 */
extern double vi_value(const VecOpclass *oc, double value);

/* The inverse, for values of at least 0 where the operator's are. */
extern double vi_unvalue(const VecOpclass *oc, double value);

/* ---- counters of a scan, shown by vecpg_last_scan() ---- */

typedef struct ViCounters
{
	int64		scans;
	int64		steps;			/* widening steps, the first included */
	int64		lists;			/* ivf: lists read */
	int64		expanded;		/* hnsw: graph records whose edges were followed, all layers */
	int64		pages;			/* index pages read */
	int64		candidates;		/* estimates computed: of rows (ivf), of edges (hnsw) */
	int64		refined;		/* refine codes read (ivf), own codes scored (hnsw) */
	int64		reranked;		/* heap rows read by the access method */
	int64		emitted;		/* rows given to the executor */
	int64		late;			/* emitted after a farther row, or dropped under strict_order */
	int64		prepare_us;		/* times, measured under vecpg.trace */
	int64		centroids_us;
	int64		lists_us;
	int64		refine_us;
	int64		rerank_us;
} ViCounters;

/* Of the last finished or running scan of this backend. */
extern ViCounters vi_last_scan;

/*
 * The first member of every access method's scan state: the executor's hook
 * (limit.c) writes the number of rows the plan above can ask for.
 */
typedef struct ViScan
{
	int64		limit;			/* LIMIT + OFFSET, or -1 if unknown */
} ViScan;

/* amgettuple of an access method whose scans start with ViScan. */
extern void vi_register_scan(void *amgettuple);

/* Whether an index is of one of these access methods. */
extern bool vi_is_ours(Oid index);

#endif							/* VECPG_VINDEX_H */
