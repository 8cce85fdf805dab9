/*
 * edge.c -- codes of graph edges: encode, and estimate a node's edges at once.
 *
 * What it is not: the walk over a graph, or a bound. An edge only steers; what
 * a search returns comes from the nodes' own codes.
 *
 * Idea (edge.h has the formulas). A build encodes some 32 edges for each row,
 * so one bit takes a single pass over x and c, a kernel that gives the same
 * bits at every CPU level. Whatever a is, the estimate is off by
 * <r - a s, y - c>; so a is rounded to the float16 that is stored before add is
 * derived from it, and its rounding multiplies <s,y - c>, not <s,y>, which is
 * large where the node is far from the origin.
 */
#include "quant/edge.h"

#include <float.h>
#include <math.h>

#include "quant/lanes.h"
#include "quant/pack.h"
#include "simd/fp16.h"
#include "simd/simd.h"

#define HALF_MAX 65504.0		/* the largest float16 */

/* With |r|^2 in this range float32 sums of squares lose nothing that matters. */
#define SAFE_SMALL 1e-26
#define SAFE_LARGE 1e34

/* Steps in standard deviations of r: the best for normal data (Max 1960). */
#define STEP2 0.9957f
#define STEP4 0.335f

/* cos(r, s) of normal data: 1 bit sqrt(2 / pi); the others as measured. */
#define COS1 0.7979
#define COS2 0.9390
#define COS4 0.9945
#define COS8 1.0

typedef struct Moments
{
	double		rr;				/* |r|^2, all dimensions */
	double		rc;				/* <r,c>, all dimensions */
	double		sr;				/* <s,r> */
	double		sc;				/* <s,c> */
	double		ss;				/* |s|^2 */
} Moments;

static void measure(int bits, const float *x, const float *c, int dim, int edim, uint8_t *code,
					Moments *m);
static void signs(const float *x, const float *c, int edim, uint8_t *code, Moments *m);
static float scale_of(int bits, const float *x, const float *c, int edim);
VP_INLINE void levels(int bits, const float *x, const float *c, int edim, uint8_t *code,
				   Moments *m);
static float rescaled(const float *x, const float *c, int dim, float *copies);
static void put_factors(const Moments *m, int dim, VqMetric metric, double unit, uint8_t *edge);
static uint16_t to_half(double value);
static double code_length2(int bits, int edim, const uint8_t *code);

size_t
vq_edge_bytes(int bits, int edim)
{
	return VQ_EDGE_HEAD + (bits == 1 ? (size_t) edim / 8 : vq_packed_bytes(bits, edim));
}

int
vq_edge_bits(int dim)
{
	return dim <= 16 ? 8 : dim <= 96 ? 4 : dim <= 384 ? 2 : 1;
}

void
vq_edge_encode(int bits, const float *x, const float *c, int dim, int edim, VqMetric metric,
			   float unit, float *scratch, uint8_t *edge)
{
	double		scaled_unit = unit;
	Moments		m;

	measure(bits, x, c, dim, edim, edge + VQ_EDGE_HEAD, &m);
	if (!(m.rr > SAFE_SMALL && m.rr < SAFE_LARGE))
	{
		/* factors are per unit, so x, c and unit may be scaled together */
		scaled_unit *= rescaled(x, c, dim, scratch);
		measure(bits, scratch, scratch + dim, dim, edim, edge + VQ_EDGE_HEAD, &m);
	}
	put_factors(&m, dim, metric, scaled_unit, edge);
}

/*
 * a |s| cos(r, s) = |r|, and the cosine is nearly the same for all edges. Of
 * the 1-bit code |s| is known; elsewhere the code tells it.
 */
float
vq_edge_length2(int bits, int edim, int dim, VqMetric metric, float unit, const uint8_t *edge)
{
	double		typical = bits == 1 ? COS1 : bits == 2 ? COS2 : bits == 4 ? COS4 : COS8;
	double		cos2 = typical * typical * edim / dim;
	double		a = -vk_half_to_float(vk_get_u16(edge, 1)) * (double) unit;

	if (metric == VQ_L2)
		a *= 0.5;
	return (float) (a * a * code_length2(bits, edim, edge + VQ_EDGE_HEAD) * cos2);
}

void
vq_edge_query(VqEdgeQuery *q, int bits, int edim, float unit, const float *y, int8_t *y8)
{
	float		max = v4_largest(y, edim);
	float		per = 127.0f / max;
	int32_t		sum = 0;

	q->bits = bits;
	q->edim = edim;
	q->add_unit = unit * unit;
	q->y8 = y8;
	q->mul = q->mid_sum = 0.0f;
	if (!(per > 0.0f && per <= FLT_MAX))
	{
		/* y is 0 or next to it, or not finite, which is the caller's affair */
		memset(y8, 0, (size_t) edim);
		return;
	}
	vk->f32_to_s8(y, per, y8, (size_t) edim);
	for (int d = 0; d < edim; d++)
		sum += y8[d];
	q->mul = max / 127.0f * unit;
	q->mid_sum = 0.5f * (float) ((1 << bits) - 1) * (float) sum;
}

void
vq_edge_estimate(const VqEdgeQuery *q, const uint8_t *edges, size_t stride, int count,
				 float own, float *est)
{
	const uint8_t *codes = edges + VQ_EDGE_HEAD;
	size_t		n = (size_t) q->edim;
	int32_t		dots[VQ_EDGE_MOST];
	uint16_t	halves[2 * VQ_EDGE_MOST];
	float		factors[2 * VQ_EDGE_MOST];

	if (q->bits == 1)
		vk->dots_u1s8(codes, stride, (size_t) count, q->y8, n, dots);
	else if (q->bits == 2)
		vk->dots_u2s8(codes, stride, (size_t) count, q->y8, n, dots);
	else
		for (int i = 0; i < count; i++)
			dots[i] = q->bits == 4 ? vk->dot_u4s8(codes + i * stride, q->y8, n)
				: vk->dot_u8s8(codes + i * stride, q->y8, n);

	for (int i = 0; i < count; i++)
		memcpy(halves + 2 * i, edges + i * stride, VQ_EDGE_HEAD);
	vk->f16_to_f32(halves, factors, 2 * (size_t) count);
	for (int i = 0; i < count; i++)
		est[i] = own + factors[2 * i] * q->add_unit +
			factors[2 * i + 1] * (q->mul * ((float) dots[i] - q->mid_sum));
}

/* Writes the code, and the sums that the factors need. */
static void
measure(int bits, const float *x, const float *c, int dim, int edim, uint8_t *code, Moments *m)
{
	V4			rr = {0};
	V4			rc = {0};

	if (bits == 1)
		signs(x, c, edim, code, m);
	else if (bits == 2)
		levels(2, x, c, edim, code, m);
	else if (bits == 4)
		levels(4, x, c, edim, code, m);
	else
		levels(8, x, c, edim, code, m);
	for (int d = edim; d < dim; d += 4)
	{
		V4			centre = v4_load(c + d);
		V4			r = v4_load(x + d) - centre;

		rr += r * r;
		rc += r * centre;
	}
	m->rr += v4_sum(rr);
	m->rc += v4_sum(rc);
}

/* One bit: s = +-1/2. */
static void
signs(const float *x, const float *c, int edim, uint8_t *code, Moments *m)
{
	float		sums[4];

	vk->signs_f32(x, c, (size_t) edim, code, sums);
	m->rr = sums[0];
	m->sr = 0.5 * sums[1];
	m->sc = 0.5 * sums[2];
	m->rc = sums[3];
	m->ss = 0.25 * edim;
}

/*
 * Codes per unit of r. 2 and 4 bits cut what lies beyond their outer levels;
 * the few dimensions that have 8 bits are not cut.
 */
static float
scale_of(int bits, const float *x, const float *c, int edim)
{
	V4			sum = {0};
	I4			max = {0};
	float		width;

	for (int d = 0; d < edim; d += 4)
	{
		V4			r = v4_load(x + d) - v4_load(c + d);

		sum += r * r;
		max = i4_max(max, (I4) r & INT32_MAX);
	}
	if (bits == 8)
	{
		V4			most = (V4) max;

		width = VP_MAX(VP_MAX(most[0], most[1]), VP_MAX(most[2], most[3])) / 127.5f;
	}
	else
		width = (bits == 2 ? STEP2 : STEP4) * (float) sqrt(v4_sum(sum) / edim);
	return width > FLT_MIN ? 1.0f / width : 0.0f;
}

/* 2, 4 or 8 bits: s = u - mid, u = r scale + mid rounded and cut. */
VP_INLINE void
levels(int bits, const float *x, const float *c, int edim, uint8_t *code, Moments *m)
{
	float		scale = scale_of(bits, x, c, edim);
	float		top = (float) ((1 << bits) - 1);
	V4			high = v4_set(top);
	V4			half = v4_set(0.5f * top + 0.5f);
	V4			mid = v4_set(0.5f * top);
	V4			rr = {0};
	V4			rc = {0};
	V4			sr = {0};
	V4			sc = {0};
	V4			ss = {0};

	for (int d = 0; d < edim; d += 16)
	{
		uint8_t		u[16];
		int32_t		wide[16];

		for (int j = 0; j < 16; j += 4)
		{
			V4			centre = v4_load(c + d + j);
			V4			r = v4_load(x + d + j) - centre;
			I4			level = v4_int(v4_cut(r * scale + half, high));
			V4			s = v4_float(level) - mid;

			rr += r * r;
			rc += r * centre;
			sr += r * s;
			sc += s * centre;
			ss += s * s;
			memcpy(wide + j, &level, sizeof(level));
		}
		for (int j = 0; j < 16; j++)
			u[j] = (uint8_t) wide[j];
		vq_pack16(bits, code, d, u);
	}
	m->rr = v4_sum(rr);
	m->rc = v4_sum(rc);
	m->sr = v4_sum(sr);
	m->sc = v4_sum(sc);
	m->ss = v4_sum(ss);
}

/*
 * Copies of x and c that are within 1, for sizes whose squares float32 cannot
 * hold; returns the factor, a power of two. Zeros stay as they are.
 */
static float
rescaled(const float *x, const float *c, int dim, float *copies)
{
	float		max = VP_MAX(v4_largest(x, dim), v4_largest(c, dim));
	float		by = 1.0f;
	int			exponent;

	if (max > 0.0f && max <= FLT_MAX)
	{
		frexpf(max, &exponent);
		by = ldexpf(1.0f, VP_MIN(-exponent, FLT_MAX_EXP - 1));
	}
	for (int d = 0; d < dim; d++)
	{
		copies[d] = x[d] * by;
		copies[dim + d] = c[d] * by;
	}
	return by;
}

static void
put_factors(const Moments *m, int dim, VqMetric metric, double unit, uint8_t *edge)
{
	double		times = metric == VQ_IP ? 1.0 : 2.0;
	double		a = 0.0;
	double		add;
	uint16_t	half;

	/* with cos^2 below 1 / dim the unbiased factor is worse than none at all */
	if (m->sr > 0.0 && m->sr * m->sr * dim > m->rr * m->ss)
		a = m->rr / m->sr;
	half = to_half(-times * a / unit);
	vk_put_u16(edge, 1, half);
	a = -vk_half_to_float(half) * unit / times;
	add = metric == VQ_IP ? a * m->sc - m->rc : m->rr + 2.0 * a * m->sc;
	vk_put_u16(edge, 0, to_half(add / unit / unit));
}

/* The nearest float16, cut to its range; 0 for what is no number. */
static uint16_t
to_half(double value)
{
	if (!(value == value))
		return 0;
	return vk_float_to_half((float) VP_MAX(-HALF_MAX, VP_MIN(value, HALF_MAX)));
}

static double
code_length2(int bits, int edim, const uint8_t *code)
{
	int			top = (1 << bits) - 1;
	int64_t		sum = 0;
	uint8_t		u[16];

	if (bits == 1)
		return 0.25 * edim;
	/* in halves, so that s is an integer */
	for (int d = 0; d < edim; d += 16)
	{
		vq_unpack16(bits, code, d, u);
		for (int j = 0; j < 16; j++)
			sum += (2 * u[j] - top) * (2 * u[j] - top);
	}
	return 0.25 * (double) sum;
}
