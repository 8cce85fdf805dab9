/*
 * codec_flat.c -- the row itself as float32: nothing is lost but rounding.
 *
 * What it is not: free of a bound. The kernels' float32 sums are off by a few
 * units in the last place, and the interval says so.
 */
#include "quant/codec.h"

#include <string.h>

static size_t flat_bytes(int dim);
static void flat_encode(const float *x, const float *c, int dim, const float *params,
						float *scratch, uint8_t *code);
static float flat_decode(const uint8_t *code, const float *c, int dim, const float *params,
						 float *x);
static float flat_value(const VqPoint *p, const uint8_t *code, int dim,
						const float *params, VqMetric metric);
static void flat_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
					   VqMetric metric, VqBound *out);

const VqCodec vq_codec_flat = {
	.name = "flat",
	.id = VQ_FLAT,
	.bits = 32,
	.tight = true,
	.bytes = flat_bytes,
	.encode = flat_encode,
	.decode = flat_decode,
	.value = flat_value,
	.bound = flat_bound,
};

static size_t
flat_bytes(int dim)
{
	return (size_t) dim * sizeof(float);
}

static void
flat_encode(const float *x, const float *c, int dim, const float *params,
			float *scratch, uint8_t *code)
{
	(void) c;
	(void) params;
	(void) scratch;
	memcpy(code, x, (size_t) dim * sizeof(float));
}

static float
flat_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	(void) c;
	(void) params;
	memcpy(x, code, (size_t) dim * sizeof(float));
	return 0.0f;
}

static float
flat_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
		   VqMetric metric)
{
	const float *x = (const float *) (const void *) code;

	(void) params;
	return metric == VQ_IP ? -vk->dot_f32(p->y, x, (size_t) dim) :
		vk->l2sq_f32(p->y, x, (size_t) dim);
}

static void
flat_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
		   VqMetric metric, VqBound *out)
{
	const float *x = (const float *) (const void *) code;
	double		slack = vq_sum_slack(dim);
	double		tiny = dim * VQ_TINY;
	double		est;
	double		radius;

	(void) params;
	if (metric == VQ_L2)
	{
		est = vk->l2sq_f32(p->y, x, (size_t) dim);
		radius = est * slack + tiny;
	}
	else
	{
		float		sums[3];	/* <y,x>, |y|^2, |x|^2 */

		vk->cos_f32(p->y, x, (size_t) dim, sums);
		est = -sums[0];
		radius = slack * sqrt(sums[1] * (1.0 + slack) + tiny) *
			sqrt(sums[2] * (1.0 + slack) + tiny) + tiny;
	}
	vq_put_bound(out, est, est - radius, est + radius);
}
