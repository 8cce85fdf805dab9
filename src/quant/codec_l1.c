/*
 * codec_l1.c -- a byte a dimension for the L1 distance, with a bound.
 *
 * What it is not: a code of rotated rows. A rotation keeps lengths and angles,
 * not sums of |y - x|; so rows come as they are, and no centre is used.
 *
 * Idea: x^ = offset + step u, one step for the index. |y - x|_1 is within
 * |x - x^|_1 of |y - x^|_1 (triangle inequality); that sum is stored.
 *
 * The range is the best for the mean |x - x^|: a value within it is off by
 * step / 4 = range / 1,020 on average. Moving one end inwards by d lowers that
 * by d / 1,020 and costs d for each value beyond the end; so it pays as long as
 * fewer than one in 1,020 are cut, at either end.
 *
 * Row: float32 |x - x^|_1 and |x - x^|_2, then dim codes. params: {offset, step}.
 */
#include "quant/codec.h"

#include <string.h>

#define TOP 255.0f

/* One value in this many lies beyond either end: 4 * TOP, see above. */
#define CUT_SHARE 1020

/* Values of the sample that are looked at: more would not move the range. */
#define FIT_VALUES 200000

typedef struct L1Factors
{
	float		e1;				/* sum |x - x^|, rounded up; infinity: no bound */
	float		e2;				/* |x - x^|, rounded up */
} L1Factors;

static size_t l1_bytes(int dim);
static void l1_train(const float *rows, size_t n, int dim, float *params);
static void l1_encode(const float *x, const float *c, int dim, const float *params,
					  float *scratch, uint8_t *code);
static float l1_decode(const uint8_t *code, const float *c, int dim, const float *params,
					   float *x);
static float l1_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
					  VqMetric metric);
static void l1_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
					 VqMetric metric, VqBound *out);
static float end_of_range(const float *rows, size_t count, size_t stride, float sign);
static int64_t order_of(float value);
static float value_of(int64_t order);

const VqCodec vq_codec_l1 = {
	.name = "l1",
	.id = VQ_L1CODE,
	.bits = 8,
	.tight = true,
	.bytes = l1_bytes,
	.train = l1_train,
	.encode = l1_encode,
	.decode = l1_decode,
	.value = l1_value,
	.bound = l1_bound,
};

static size_t
l1_bytes(int dim)
{
	return sizeof(L1Factors) + (size_t) dim;
}

static void
l1_train(const float *rows, size_t n, int dim, float *params)
{
	size_t		count = n * (size_t) dim;
	size_t		stride = count / FIT_VALUES | 1;	/* odd: visits all dimensions */
	double		high = end_of_range(rows, count, stride, 1.0f);
	double		low = -(double) end_of_range(rows, count, stride, -1.0f);

	if (low > high)
	{
		/* no sample: a guess, as rows that are cut lose precision only */
		low = -1.0;
		high = 1.0;
	}
	params[0] = (float) low;
	params[1] = (float) VP_MAX((high - low) / TOP, (double) FLT_MIN);
}

/*
 * The least value that at most one in CUT_SHARE of sign * the sample exceeds,
 * by bisection over the floats; -infinity if nothing is finite.
 */
static float
end_of_range(const float *rows, size_t count, size_t stride, float sign)
{
	int64_t		below = order_of(-INFINITY);
	int64_t		end = order_of(FLT_MAX);
	size_t		looked_at = (count + stride - 1) / stride;

	while (below < end)
	{
		int64_t		middle = below + (end - below) / 2;
		float		limit = value_of(middle);
		size_t		beyond = 0;

		for (size_t i = 0; i < count; i += stride)
			beyond += sign * rows[i] > limit && fabsf(rows[i]) <= FLT_MAX;
		if (beyond <= looked_at / CUT_SHARE)
			end = middle;
		else
			below = middle + 1;
	}
	return value_of(end);
}

/* Floats and these integers have the same order. */
static int64_t
order_of(float value)
{
	int32_t		bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits >= 0 ? bits : -(int64_t) (bits & INT32_MAX);
}

static float
value_of(int64_t order)
{
	int32_t		bits = (int32_t) (order >= 0 ? order : -order);
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return order >= 0 ? value : -value;
}

static void
l1_encode(const float *x, const float *c, int dim, const float *params,
		  float *scratch, uint8_t *code)
{
	uint8_t    *u = code + sizeof(L1Factors);
	float		mul = 1.0f / params[1];
	double		sum = 0.0;
	double		sum2 = 0.0;
	double		size = 0.0;
	L1Factors	f;

	(void) c;
	(void) scratch;
	for (int d = 0; d < dim; d++)
	{
		float		v = (x[d] - params[0]) * mul + 0.5f;

		/* a NaN fails the first comparison and gets a code like any other */
		u[d] = v > 0.0f ? (uint8_t) VP_MIN(v, TOP) : 0;
	}
	for (int d = 0; d < dim; d++)
	{
		double		w = (double) params[0] + (double) params[1] * u[d];
		double		e = x[d] - w;

		sum += fabs(e);
		sum2 += e * e;
		size += fabs(w);
	}
	/* what float64 loses: in w, in each sum */
	size = (dim + 4) * DBL_EPSILON * (size + sum);
	f.e1 = sum < INFINITY ? vq_round_up(sum + size) : INFINITY;
	f.e2 = sum < INFINITY ? vq_round_up(sqrt(sum2) + size) : INFINITY;
	memcpy(code, &f, sizeof(f));
}

static float
l1_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	L1Factors	f;
	double		norm2 = 0.0;

	(void) c;
	memcpy(&f, code, sizeof(f));
	for (int d = 0; d < dim; d++)
	{
		x[d] = (float) ((double) params[0] + (double) params[1] * code[sizeof(f) + d]);
		norm2 += (double) x[d] * x[d];
	}
	return vq_round_up(f.e2 + 2.0 * VQ_UNIT * sqrt(norm2) + dim * VQ_TINY);
}

static float
l1_value(const VqPoint *p, const uint8_t *code, int dim, const float *params, VqMetric metric)
{
	(void) metric;
	return vk->l1_u8f32(code + sizeof(L1Factors), p->y, params[0], params[1], (size_t) dim);
}

/*
 * Besides e1 it holds what the kernel rounded: x^ twice, each difference and
 * the sum. And as the distance to a row is itself a float32 sum, its rounding.
 */
static void
l1_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
		 VqMetric metric, VqBound *out)
{
	double		slack = vq_sum_slack(dim);
	double		est = l1_value(p, code, dim, params, metric);
	double		decoded = 2.0 * VQ_UNIT * (fabs(params[0]) + 2.0 * TOP * fabs(params[1]));
	double		radius;
	L1Factors	f;

	memcpy(&f, code, sizeof(f));
	radius = f.e1 + slack * est + dim * (decoded + VQ_TINY);
	radius += slack * (est + 2.0 * radius);
	vq_put_bound(out, est, VP_MAX(0.0, est - radius), est + radius);
}
