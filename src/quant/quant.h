/*
 * quant.h -- codes of rotated vectors: the 1-bit scan plane and the refine codecs.
 *
 * What it is not: pages or queries' lifetime. All vectors here are in the
 * rotated, centred space of math/rotate.h (dim a multiple of 16); distances
 * are squared L2 there, or the negative inner product <y, x - centre> as said.
 *
 * Source: RaBitQ, Gao and Long, SIGMOD 2024 (arXiv 2405.12497), and its
 * extension to B bits (arXiv 2409.09913). Departures: the centre is folded
 * into the stored factors, so one table per query serves every list; the
 * refine codes reconstruct by least squares, which leaves a residual
 * orthogonal to the code and so a deterministic bound (README).
 */
#ifndef VECPG_QUANT_H
#define VECPG_QUANT_H

#include "base/port.h"

typedef enum VqMetric
{
	VQ_L2,						/* squared Euclidean */
	VQ_IP,						/* minus inner product */
	VQ_L1						/* sum of |y - x|, of unrotated rows; codec l1 only */
} VqMetric;

/* ---- the 1-bit scan plane (bitplane.c) ---- */

#define VQ_BLOCK 32				/* rows of a FastScan block */

/* Bytes of the codes of one block: the first sdim dimensions, multiple of 16. */
VP_INLINE size_t
vq_block_bytes(int sdim)
{
	return (size_t) sdim * VQ_BLOCK / 8;
}

typedef struct VqBitFactors
{
	float		add;
	float		scale;
	float		err;			/* one standard deviation, per unit |y - c| (L2)
								 * or |y| (IP), halved for L2: see README */
} VqBitFactors;

/*
 * Codes r = x - c with one bit for each of the first sdim dimensions (the rest
 * counts as error). code: sdim / 8 bytes, bit d of byte d / 8. scratch: dim
 * floats. L2: add = |r|^2 + 2 a <s,c>, scale = -2 a, with a = |r|^2 / <s,r>;
 * IP: add = 0, scale = -a. r = 0: add = 0 (L2 and IP), scale 0, err 0.
 * err = |r| sqrt(1/cos^2(r,s) - 1) / sqrt(dim - 1): the standard deviation of
 * the estimate of <r, v> for a unit v (RaBitQ Theorem 3.2).
 * scale is a float16 already, and add and err belong to that one; err carries
 * what its own rounding to float16 may lose. Rows for which nothing finite is
 * right (NaN, infinity, |r|^2 > 3e38) get add = scale = 0, err = infinity.
 */
void		vq_bit_encode(const float *x, const float *c, int dim, int sdim, VqMetric metric,
						  float *scratch, uint8_t *code, VqBitFactors *f);

/* Writes / reads the code of row `slot` of a block (simd/kernels.def layout). */
void		vq_block_put(uint8_t *block, int sdim, int slot, const uint8_t *code);
void		vq_block_get(const uint8_t *block, int sdim, int slot, uint8_t *code);

/* The query's table: <s, y> over sdim ~ base + delta * sum of table bytes. */
typedef struct VqBitQuery
{
	int			sdim;
	float		base;
	float		delta;
	uint8_t    *lut;			/* 4 * sdim bytes, 64-aligned, caller's */
} VqBitQuery;

void		vq_bit_query(VqBitQuery *q, const float *y, int sdim, uint8_t *lut);

/*
 * Number of standard deviations to subtract so that the bound holds: eps, but
 * never more than the deterministic sqrt(dim - 1), and just that in few dims.
 */
float		vq_bit_eps(float eps, int dim);

/* est and low for 32 rows; gerr = 2 eps |y-c| (L2) or eps |y| (IP). */
void		vq_block_estimate(const VqBitQuery *q, const uint8_t *codes, const float *add,
							  const uint16_t *scale, const uint16_t *err,
							  float gadd, float gerr, float *est, float *low);

/* ---- refine codecs (codec_*.c): one row, one code ---- */

/*
 * A value and an interval that certainly holds it, up to float rounding.
 * est is the least-squares value (exact for the reconstruction: for L2 it is
 * |y - x^|^2 + |e|^2), steer the unbiased one within the interval: the error of
 * est is not independent of the query, that of steer is (README).
 */
typedef struct VqBound
{
	float		est;
	float		steer;
	float		lo;
	float		hi;
} VqBound;

/*
 * What a bound needs to know of the query and of the row's centre: float32
 * sums of the kernels. dist2 must be a sum of squared differences (not
 * |y|^2 - 2 <y,c> + |c|^2, which cancels), and is needed for VQ_IP as well,
 * where it bounds |c| and so the rounding of dot.
 */
typedef struct VqPoint
{
	const float *y;				/* rotated query */
	float		ysum;			/* sum of y over dim */
	float		ynorm2;			/* |y|^2 */
	float		dist2;			/* |y - c|^2 */
	float		dot;			/* <y, c> */
} VqPoint;

typedef struct VqCodec VqCodec;
struct VqCodec
{
	const char *name;			/* "rabitq8", "rabitq6", "rabitq4", "sq8", "flat", "l1" */
	int			id;				/* stored in the metapage, never reused */
	int			bits;			/* per dimension: 32 for flat */
	bool		tight;			/* bounds are good enough to emit by bound */
	/* bytes of a code with its factors, multiple of 4 */
	size_t		(*bytes) (int dim);
	/* params[2] of the index from a sample (sq8: offset, step); or NULL */
	void		(*train) (const float *rows, size_t n, int dim, float *params);
	/* scratch: 2 * dim floats */
	void		(*encode) (const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
	/* x[dim] = reconstruction; returns |e|, the length of what is missing */
	float		(*decode) (const uint8_t *code, const float *c, int dim, const float *params,
						   float *x);
	/* the value for the decoded vector: |y - x^|^2 or -<y, x^>; half a bound's price */
	float		(*value) (const VqPoint *p, const uint8_t *code, int dim, const float *params,
						  VqMetric metric);
	/* bound of |y - x|^2 (VQ_L2) or of -<y, x> (VQ_IP) */
	void		(*bound) (const VqPoint *p, const uint8_t *code, int dim, const float *params,
						  VqMetric metric, VqBound *out);
};

/* By id or name; NULL if unknown. VQ_NONE is "no refine code". */
#define VQ_NONE 0
#define VQ_RABITQ8 1
#define VQ_RABITQ4 2
#define VQ_SQ8 3
#define VQ_FLAT 4
#define VQ_RABITQ6 5
#define VQ_L1CODE 6
const VqCodec *vq_codec(int id);
const VqCodec *vq_codec_by_name(const char *name);

/*
 * rabitq6 is nested in rabitq8: u6 = u8 >> 2. With the factors, taken while the
 * row x is at hand, an 8-bit code can be narrowed later without it:
 * encode6(x) is byte for byte narrow(encode8(x), factors(encode8(x), x)).
 * code8 begins with its own factors, as encode wrote it.
 */
void		vq_rabitq6_factors(const uint8_t *code8, const float *x, const float *c, int dim,
							   float factors[4]);
void		vq_rabitq6_narrow(const uint8_t *code8, const float factors[4], int dim,
							  uint8_t *code6);

#endif							/* VECPG_QUANT_H */
