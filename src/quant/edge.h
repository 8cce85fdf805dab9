/*
 * edge.h -- codes of graph edges: a neighbour, seen from its node.
 *
 * What it is not: the list of edges (am/hnsw pages), or a code of a row.
 *
 * An edge codes r = x - c, the neighbour seen from its node's decoded own code
 * c, with 1, 2, 4 or 8 bits for each of the first edim rotated dimensions.
 * With s = u - (2^bits - 1) / 2 and a = |r|^2 / <s,r>, the estimate of <r, y - c> is
 * a <s, y - c>, so that
 *   L2:  |y - x|^2  ~ |y - c|^2 + add + scale <s,y>, add = |r|^2 + 2 a <s,c>, scale = -2 a
 *   IP:  -<y, x>    ~ -<y, c>   + add + scale <s,y>, add = a <s,c> - <r,c>,  scale = -a
 * and a query's part is one int8 vector for all nodes. Source: RaBitQ (quant.h)
 * with the node as centre, as SymphonyQG (arXiv 2411.12229, section 3) does.
 *
 * On disk: float16 add / unit^2, float16 scale / unit, codes. unit is a length
 * typical of the index (its rows' root mean square), so that float16 has room.
 */
#ifndef VECPG_EDGE_H
#define VECPG_EDGE_H

#include "quant/quant.h"

#define VQ_EDGE_HEAD 4			/* the two factors */

/* Bytes of an edge's factors and codes, even; bits 1, 2, 4 or 8. */
size_t		vq_edge_bytes(int bits, int edim);

/*
 * Bits at which the estimate's standard deviation stays within .04 |r| |y - c|:
 * 8 to 16 dimensions, 4 to 96, 2 to 384, 1 above.
 */
int			vq_edge_bits(int dim);

/* Dimensions coded: all, but at most VQ_EDGE_DIMS (rotated, so any prefix is fair). */
#define VQ_EDGE_DIMS 1536

/*
 * Codes x seen from c (both [dim], rotated). Dimensions from edim on count as
 * error. scratch: 2 * dim floats. x = c gives scale 0. Factors that float16
 * cannot hold are clamped. No NaN or infinity may come in.
 */
void		vq_edge_encode(int bits, const float *x, const float *c, int dim, int edim,
						   VqMetric metric, float unit, float *scratch, uint8_t *edge);

/* About |r|^2, from the factors alone (a |s| cos; 2 % off at 768 dimensions). */
float		vq_edge_length2(int bits, int edim, int dim, VqMetric metric, float unit,
							const uint8_t *edge);

/* A query against any number of nodes. */
typedef struct VqEdgeQuery
{
	int			bits;
	int			edim;
	float		add_unit;		/* unit^2 */
	float		mul;			/* <s,y> = mul (dot - mid_sum), times unit */
	float		mid_sum;
	int8_t	   *y8;				/* [edim], caller's */
} VqEdgeQuery;

void		vq_edge_query(VqEdgeQuery *q, int bits, int edim, float unit, const float *y,
						  int8_t *y8);

/*
 * est[i] = own + add_i + scale_i <s_i,y> for `count` edges whose factors begin
 * at edges + i * stride; count is at most VQ_EDGE_MOST.
 */
#define VQ_EDGE_MOST 256
void		vq_edge_estimate(const VqEdgeQuery *q, const uint8_t *edges, size_t stride, int count,
							 float own, float *est);

#endif							/* VECPG_EDGE_H */
