/*
 * quant_data.h -- rows, exact values and codes for test_quant.c and test_real.c.
 *
 * What it is not: a contract; only those two programs include it.
 */
#ifndef VECPG_UNIT_QUANT_DATA_H
#define VECPG_UNIT_QUANT_DATA_H

#include <float.h>
#include <math.h>

#include "quant/quant.h"
#include "simd/simd.h"

#include "unit.h"

/* Standard normal, by Box and Muller. */
VP_INLINE double
normal(void)
{
	double		u = ((double) (vp_rand(&unit_seed) >> 11) + 1.0) * 0x1p-53;
	double		v = (double) (vp_rand(&unit_seed) >> 11) * 0x1p-53;

	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

VP_INLINE double
exact_l2(const float *y, const float *x, int dim)
{
	double		sum = 0;

	for (int d = 0; d < dim; d++)
		sum += ((double) y[d] - x[d]) * ((double) y[d] - x[d]);
	return sum;
}

VP_INLINE double
exact_dot(const float *y, const float *x, int dim)
{
	double		sum = 0;

	for (int d = 0; d < dim; d++)
		sum += (double) y[d] * x[d];
	return sum;
}

VP_INLINE double
exact_value(const float *y, const float *x, int dim, VqMetric metric)
{
	return metric == VQ_L2 ? exact_l2(y, x, dim) : -exact_dot(y, x, dim);
}

/* As an access method fills it, with the kernels' rounding. */
VP_INLINE VqPoint
point_of(const float *y, const float *c, int dim)
{
	VqPoint		p = {y, 0, 0, 0, 0};

	for (int d = 0; d < dim; d++)
		p.ysum += y[d];
	p.ynorm2 = vk->dot_f32(y, y, (size_t) dim);
	p.dist2 = vk->l2sq_f32(y, c, (size_t) dim);
	p.dot = vk->dot_f32(y, c, (size_t) dim);
	return p;
}

/* Errors of the scan plane in its own standard deviations. */
typedef struct BitStats
{
	double		sum;
	double		sum2;
	unsigned long n;
	unsigned long below;		/* true value below the low estimate */
} BitStats;

#define BIT_EPS 3.0f

/* One block of 32 rows (x: 32 x dim) about centre c, for query y. */
__attribute__((unused)) static void
bit_block(const float *x, const float *c, const float *y, int dim, int sdim, VqMetric metric,
		  BitStats *stats)
{
	float	   *scratch = malloc((size_t) dim * sizeof(float));
	uint8_t    *code = malloc((size_t) sdim / 8);
	uint8_t    *block = calloc(1, vq_block_bytes(sdim));
	uint8_t    *lut = malloc((size_t) sdim * 4);
	float		add[VQ_BLOCK];
	uint16_t	scale[VQ_BLOCK];
	uint16_t	err[VQ_BLOCK];
	float		est[VQ_BLOCK];
	float		low[VQ_BLOCK];
	double		v2 = exact_l2(y, c, dim);
	double		gadd = metric == VQ_L2 ? v2 : -exact_dot(y, c, dim);
	double		gerr = BIT_EPS * (metric == VQ_L2 ? 2 * sqrt(v2) : sqrt(exact_dot(y, y, dim)));
	VqBitQuery	query;

	for (int r = 0; r < VQ_BLOCK; r++)
	{
		VqBitFactors f;

		vq_bit_encode(x + r * dim, c, dim, sdim, metric, scratch, code, &f);
		vq_block_put(block, sdim, r, code);
		add[r] = f.add;
		vk->f32_to_f16(&f.scale, &scale[r], 1);
		vk->f32_to_f16(&f.err, &err[r], 1);
	}
	vq_bit_query(&query, y, sdim, lut);
	vq_block_estimate(&query, block, add, scale, err, (float) gadd, (float) gerr, est, low);
	for (int r = 0; r < VQ_BLOCK; r++)
	{
		double		truth = exact_value(y, x + r * dim, dim, metric);
		double		deviation = (est[r] - low[r]) / BIT_EPS;
		double		z = deviation > 0 ? (est[r] - truth) / deviation : 0;

		stats->sum += z;
		stats->sum2 += z * z;
		stats->n++;
		stats->below += truth < low[r] - 1e-5 * fabs(truth);
	}
	free(scratch);
	free(code);
	free(block);
	free(lut);
}

/*
 * Encodes x and checks bound and decode against the exact values. Returns
 * |e| / |x - c|, the share of the residual that the code lost.
 */
__attribute__((unused)) static double
check_codec(const VqCodec *codec, const float *x, const float *c, const float *y, int dim,
			const float *params, const char *what)
{
	float	   *scratch = malloc((size_t) dim * 2 * sizeof(float));
	float	   *back = malloc((size_t) dim * sizeof(float));
	uint8_t    *code = malloc(codec->bytes(dim));
	VqPoint		p = point_of(y, c, dim);
	double		lost;
	float		e;

	codec->encode(x, c, dim, params, scratch, code);
	for (int m = VQ_L2; m <= VQ_IP; m++)
	{
		double		truth = exact_value(y, x, dim, (VqMetric) m);
		VqBound		b;

		codec->bound(&p, code, dim, params, (VqMetric) m, &b);
		/* written so that NaN fails */
		CHECK(b.lo <= b.est && b.est <= b.hi && b.est - b.est == 0,
			  "%s %s dim %d: %g in [%g, %g]", codec->name, what, dim, b.est, b.lo, b.hi);
		CHECK(!(truth < b.lo || truth > b.hi) && (truth - truth == 0 || b.hi > FLT_MAX),
			  "%s %s dim %d metric %d: %.9g not in [%.9g, %.9g]", codec->name, what, dim, m,
			  truth, b.lo, b.hi);
	}
	e = codec->decode(code, c, dim, params, back);
	lost = sqrt(exact_l2(back, x, dim));
	CHECK(!(lost > e), "%s %s dim %d: decoded %g away, |e| %g", codec->name, what, dim, lost, e);
	lost = e / sqrt(exact_l2(x, c, dim));
	free(scratch);
	free(back);
	free(code);
	return lost;
}

#endif							/* VECPG_UNIT_QUANT_DATA_H */
