/*
 * bitplane.c -- the 1-bit scan plane: encode, blocks of 32, query table.
 *
 * What it is not: the scan itself (simd fastscan_32) or a page layout.
 *
 * Idea (README has the formulas): the code of r = x - c is its signs,
 * s = +-1/2, and <r, v> is estimated by a <s, v> with one factor a per row,
 * a = |r|^2 / <s,r>. Whatever a is, the estimate is off by <r - a s, v>, at
 * most |r - a s| |v| and with the standard deviation |r - a s| |v| /
 * sqrt(dim - 1) over random rotations. So a is rounded to what the stored
 * float16 holds first, and everything else follows from the rounded one:
 * factors out of float16's range cost precision, never truth.
 */
#include "quant/quant.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/lanes.h"
#include "simd/simd.h"

#define GROUP 4					/* dimensions of one FastScan nibble */
#define LUT_SIZE 16				/* entries of a group's table */
#define LUT_MAX 255.0f

/* err is stored as float16, by rounding to nearest: raise it by one unit */
#define HALF_UNIT (1.0 / 1024.0)
#define HALF_TINY 0x1p-24		/* smallest float16 above zero */
#define HALF_MAX 65504.0

/* Sums of squares of floats in this range neither overflow nor lose bits. */
#define SAFE_SMALL 1e-15f
#define SAFE_LARGE 1e15f

typedef struct Moments
{
	double		rr;				/* |r|^2 */
	double		sr;				/* <s,r> */
	double		sc;				/* <s,c> */
} Moments;

static void signs_to_code(const float *r, int sdim, uint8_t *code);
static void moments(const float *r, const float *c, int dim, int sdim, Moments *m);
static void moments_wide(const float *r, const float *c, int dim, int sdim, Moments *m);
static double to_half(double value);
static float widest_group(const float *y, int sdim, double *base);
static void four_tables(const float *y, float mul, uint8_t *lut);

void
vq_bit_encode(const float *x, const float *c, int dim, int sdim, VqMetric metric,
			  float *scratch, uint8_t *code, VqBitFactors *f)
{
	double		unit = metric == VQ_L2 ? 2.0 : 1.0;
	double		a = 0.0;
	double		add = 0.0;
	double		miss2;
	float		max;
	Moments		m;

	for (int d = 0; d < dim; d++)
		scratch[d] = x[d] - c[d];
	signs_to_code(scratch, sdim, code);
	f->add = f->scale = f->err = 0.0f;
	max = v4_largest(scratch, dim);
	if (max == 0.0f)
		return;
	if (max > SAFE_SMALL && max < SAFE_LARGE)
		moments(scratch, c, dim, sdim, &m);
	else
		moments_wide(scratch, c, dim, sdim, &m);

	/* with cos^2 below 1 / dim the unbiased factor is worse than none at all */
	if (m.sr * m.sr * 4.0 * dim > m.rr * sdim)
		a = to_half(VP_MIN(unit * m.rr / m.sr, HALF_MAX)) / unit;
	if (metric == VQ_L2)
		add = m.rr + 2.0 * a * m.sc;
	miss2 = m.rr - 2.0 * a * m.sr + a * a * 0.25 * sdim;
	if (!(fabs(add) <= FLT_MAX && miss2 < INFINITY))
	{
		/* no finite bound is right: an infinite error keeps the row in play */
		f->err = INFINITY;
		return;
	}
	f->add = (float) add;
	f->scale = (float) (-unit * a);
	f->err = (float) (sqrt(VP_MAX(miss2, 0.0) / VP_MAX(dim - 1, 1)) *
					  (1.0 + HALF_UNIT) + HALF_TINY);
}

void
vq_block_put(uint8_t *block, int sdim, int slot, const uint8_t *code)
{
	int			row = slot % 16;
	uint8_t    *byte = block + (row < 8 ? 2 * row : 2 * (row - 8) + 1);
	int			shift = slot < 16 ? 0 : 4;
	uint8_t		keep = (uint8_t) (0xF0 >> shift);

	for (int i = 0; i < sdim / 8; i++)
	{
		byte[0] = (uint8_t) ((byte[0] & keep) | (code[i] & 15) << shift);
		byte[16] = (uint8_t) ((byte[16] & keep) | code[i] >> 4 << shift);
		byte += 32;
	}
}

void
vq_block_get(const uint8_t *block, int sdim, int slot, uint8_t *code)
{
	int			row = slot % 16;
	const uint8_t *byte = block + (row < 8 ? 2 * row : 2 * (row - 8) + 1);
	int			shift = slot < 16 ? 0 : 4;

	for (int i = 0; i < sdim / 8; i++)
	{
		code[i] = (uint8_t) ((byte[0] >> shift & 15) | (byte[16] >> shift & 15) << 4);
		byte += 32;
	}
}

/*
 * A group's sum over the set bits of c, less its least value, is the sum over
 * the dimensions where the bit agrees with y's sign of |y|: never negative,
 * and at most the sum of |y|. One delta for all groups keeps the scan's sum an
 * integer; the widest group sets it.
 */
void
vq_bit_query(VqBitQuery *q, const float *y, int sdim, uint8_t *lut)
{
	double		base;
	float		widest = widest_group(y, sdim, &base);
	float		mul = LUT_MAX / widest;

	q->sdim = sdim;
	q->lut = lut;
	q->base = q->delta = 0.0f;
	if (!(mul > 0.0f && mul <= FLT_MAX))
	{
		/* y is 0 or next to it, or not finite, which is the caller's affair */
		memset(lut, 0, (size_t) sdim * LUT_SIZE / GROUP);
		return;
	}
	for (int d = 0; d < sdim; d += V4_STEP)
		four_tables(y + d, mul, lut + d * (LUT_SIZE / GROUP));
	q->base = (float) base;
	q->delta = widest / LUT_MAX;
}

/* Up to 26 dimensions the certain bound is taken whatever eps says. */
#define VQ_CERTAIN_EPS 5.0f

float
vq_bit_eps(float eps, int dim)
{
	float		certain = sqrtf((float) VP_MAX(dim - 1, 1));

	/* In few dimensions errors are not normal, and certainty is cheap. */
	return certain <= VQ_CERTAIN_EPS ? certain : VP_MIN(eps, certain);
}

void
vq_block_estimate(const VqBitQuery *q, const uint8_t *codes, const float *add,
				  const uint16_t *scale, const uint16_t *err,
				  float gadd, float gerr, float *est, float *low)
{
	uint32_t	sum[VQ_BLOCK];

	vk->fastscan_32(codes, q->lut, (size_t) q->sdim / GROUP, sum);
	vk->bit_estimate_32(sum, q->base, q->delta, add, scale, err, gadd, gerr, est, low);
}

static void
signs_to_code(const float *r, int sdim, uint8_t *code)
{
	const I4	first = {1, 2, 4, 8};
	const V4	zero = {0};

	for (int d = 0; d < sdim; d += V4_STEP)
	{
		I4			bits = (v4_load(r + d) > zero) & first;

		bits |= (v4_load(r + d + 4) > zero) & (first << 4);
		bits |= (v4_load(r + d + 8) > zero) & (first << 8);
		bits |= (v4_load(r + d + 12) > zero) & (first << 12);
		bits[0] |= bits[1] | bits[2] | bits[3];
		code[d / 8] = (uint8_t) bits[0];
		code[d / 8 + 1] = (uint8_t) (bits[0] >> 8);
	}
}

static void
moments(const float *r, const float *c, int dim, int sdim, Moments *m)
{
	V4			rr[2] = {{0}};
	V4			sr[2] = {{0}};
	V4			sc[2] = {{0}};
	const V4	zero = {0};
	int			d = 0;

	for (; d < sdim; d += 8)
	{
		for (int j = 0; j < 2; j++)
		{
			V4			v = v4_load(r + d + 4 * j);
			V4			centre = v4_load(c + d + 4 * j);

			rr[j] += v * v;
			sr[j] += v4_abs(v);
			sc[j] += v4_select(v > zero, centre, -centre);
		}
	}
	for (; d < dim; d += 4)
		rr[0] += v4_load(r + d) * v4_load(r + d);
	m->rr = v4_sum(rr[0] + rr[1]);
	m->sr = 0.5 * v4_sum(sr[0] + sr[1]);
	m->sc = 0.5 * v4_sum(sc[0] + sc[1]);
}

/* The same in float64, for lengths whose squares float32 cannot hold. */
static void
moments_wide(const float *r, const float *c, int dim, int sdim, Moments *m)
{
	m->rr = m->sr = m->sc = 0.0;
	for (int d = 0; d < dim; d++)
	{
		double		v = r[d];

		m->rr += v * v;
		if (d < sdim)
		{
			m->sr += 0.5 * fabs(v);
			m->sc += v > 0.0 ? 0.5 * c[d] : -0.5 * c[d];
		}
	}
}

/* What a float16 keeps of a value. */
static double
to_half(double value)
{
	float		wide = (float) value;
	uint16_t	half;

	vk->f32_to_f16(&wide, &half, 1);
	vk->f16_to_f32(&half, &wide, 1);
	return wide;
}

/*
 * The largest sum of |y| in a group of four, not finite if any y is not, and
 * the part of <s,y> that no code changes: the sum of all negative y less half
 * of the sum of all, which is minus half of the sum of |y|.
 */
static float
widest_group(const float *y, int sdim, double *base)
{
	V4			sizes = {0};
	I4			widest = {0};
	int32_t		bits;
	float		result;

	for (int d = 0; d < sdim; d += V4_STEP)
	{
		V4			size[4];
		V4			group;

		for (int j = 0; j < 4; j++)
		{
			size[j] = v4_abs(v4_load(y + d + 4 * j));
			sizes += size[j];
		}
		/* adding the four vectors' columns would mix groups: transpose */
		for (int j = 0; j < 4; j++)
			group[j] = (size[j][0] + size[j][1]) + (size[j][2] + size[j][3]);
		widest = i4_max(widest, (I4) group);
	}
	bits = VP_MAX(VP_MAX(widest[0], widest[1]), VP_MAX(widest[2], widest[3]));
	memcpy(&result, &bits, sizeof(result));
	*base = -0.5 * v4_sum(sizes);
	return result;
}

/*
 * The tables of four groups: 16 entries are the sums of two 4-entry tables of
 * a pair of dimensions each.
 */
static void
four_tables(const float *y, float mul, uint8_t *lut)
{
	float		set[V4_STEP];	/* what a set bit adds, less the minimum */
	float		clear[V4_STEP];
	float		sum[4 * LUT_SIZE];

	for (int d = 0; d < V4_STEP; d += 4)
	{
		V4			v = v4_load(y + d) * mul;
		V4			above = v4_max(v, v4_set(0.0f));

		v4_store(set + d, above);
		v4_store(clear + d, above - v);
	}
	for (int g = 0; g < 4; g++)
	{
		const float *s = set + 4 * g;
		const float *c = clear + 4 * g;
		V4			low = {c[0] + c[1], s[0] + c[1], c[0] + s[1], s[0] + s[1]};
		V4			high = {c[2] + c[3], s[2] + c[3], c[2] + s[3], s[2] + s[3]};

		high += 0.5f;			/* rounds: what follows truncates */
		for (int h = 0; h < 4; h++)
			v4_store(sum + LUT_SIZE * g + 4 * h, low + high[h]);
	}
	for (int i = 0; i < 4 * LUT_SIZE; i++)
		lut[i] = (uint8_t) (int32_t) sum[i];
}
