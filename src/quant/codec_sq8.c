/*
 * codec_sq8.c -- scalar quantisation: a byte a dimension, one step an index.
 *
 * What it is not: adapted to the row. Rows much shorter or longer than the
 * sample lose precision, which their stored |e| tells; rabitq8 does not.
 *
 * Idea: x^ = c + w with w = offset + step u. The error e = x - x^ has any
 * direction, so the bound is the triangle inequality (L2) or Cauchy-Schwarz
 * (IP). With |w|^2 and <c,w> stored, |y - x^|^2 takes one dot of the code.
 *
 * Row: three float32 factors, then dim codes. params: {offset, step}.
 */
#include "quant/codec.h"

#include <string.h>

#define TOP 255.0f

/* Ranges tried: the sample's largest value times these. */
#define SHRINK 0.85f
#define SHRINKS 16

/* Values the range is fitted to: more would not move it. */
#define FIT_VALUES 200000

typedef struct Sq8Factors
{
	float		ww;				/* |w|^2 */
	float		cw;				/* <c,w> */
	float		e;				/* |e|, rounded up; infinity: no bound */
} Sq8Factors;

static size_t sq8_bytes(int dim);
static void sq8_train(const float *rows, size_t n, int dim, float *params);
static void sq8_encode(const float *x, const float *c, int dim, const float *params,
					   float *scratch, uint8_t *code);
static float sq8_decode(const uint8_t *code, const float *c, int dim, const float *params,
						float *x);
static float sq8_value(const VqPoint *p, const uint8_t *code, int dim,
					   const float *params, VqMetric metric);
static void sq8_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
					  VqMetric metric, VqBound *out);
static double loss_of_range(const float *rows, size_t count, size_t stride, double range);

const VqCodec vq_codec_sq8 = {
	.name = "sq8",
	.id = VQ_SQ8,
	.bits = 8,
	.tight = true,
	.bytes = sq8_bytes,
	.train = sq8_train,
	.encode = sq8_encode,
	.decode = sq8_decode,
	.value = sq8_value,
	.bound = sq8_bound,
};

static size_t
sq8_bytes(int dim)
{
	return sizeof(Sq8Factors) + (size_t) dim;
}

/* The symmetric range with the least squared error on residuals x - c. */
static void
sq8_train(const float *rows, size_t n, int dim, float *params)
{
	size_t		count = n * (size_t) dim;
	size_t		stride = count / FIT_VALUES | 1;	/* odd: visits all dimensions */
	double		best = 0.0;
	double		best_loss = INFINITY;
	double		range = 0.0;

	for (size_t i = 0; i < count; i += stride)
		if (fabsf(rows[i]) > range && fabsf(rows[i]) <= FLT_MAX)
			range = fabsf(rows[i]);
	for (int i = 0; i < SHRINKS && range > 0.0; i++)
	{
		double		loss = loss_of_range(rows, count, stride, range);

		if (loss < best_loss)
		{
			best_loss = loss;
			best = range;
		}
		range *= SHRINK;
	}
	/* no sample, or all zeros: any step will do */
	best = VP_MAX(best, (double) FLT_MIN * TOP);
	params[1] = (float) (best * 2.0 / TOP);
	params[0] = -0.5f * TOP * params[1];
}

static double
loss_of_range(const float *rows, size_t count, size_t stride, double range)
{
	double		step = range * 2.0 / TOP;
	double		loss = 0.0;

	for (size_t i = 0; i < count; i += stride)
	{
		double		v = fabs((double) rows[i]);
		double		over = v - range;

		if (over > 0.0 && v <= FLT_MAX)
			loss += over * over;
		else if (over <= 0.0)
			loss += step * step / 12.0;
	}
	return loss;
}

static void
sq8_encode(const float *x, const float *c, int dim, const float *params,
		   float *scratch, uint8_t *code)
{
	uint8_t    *u = code + sizeof(Sq8Factors);
	double		ww = 0.0;
	double		cw = 0.0;
	double		cc = 0.0;
	double		ee = 0.0;
	double		lost;
	float		mul = 1.0f / params[1];
	Sq8Factors	f;

	(void) scratch;
	for (int d = 0; d < dim; d++)
	{
		float		v = (x[d] - c[d] - params[0]) * mul + 0.5f;

		/* a NaN fails the first comparison and gets a code like any other */
		u[d] = v > 0.0f ? (uint8_t) VP_MIN(v, TOP) : 0;
	}
	for (int d = 0; d < dim; d++)
	{
		double		w = (double) params[0] + (double) params[1] * u[d];
		double		e = (double) x[d] - (double) c[d] - w;

		ww += w * w;
		cw += w * c[d];
		cc += (double) c[d] * c[d];
		ee += e * e;
	}
	f.ww = (float) ww;
	f.cw = (float) cw;
	/* what float64 loses where c is large next to e */
	lost = 4.0 * DBL_EPSILON * (sqrt(cc) + sqrt(ww) + sqrt(ee));
	f.e = ee < INFINITY ? vq_round_up(sqrt(ee) + lost) : INFINITY;
	memcpy(code, &f, sizeof(f));
}

static float
sq8_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	Sq8Factors	f;
	double		norm2 = 0.0;

	memcpy(&f, code, sizeof(f));
	for (int d = 0; d < dim; d++)
	{
		x[d] = (float) (c[d] + ((double) params[0] + (double) params[1] * code[sizeof(f) + d]));
		norm2 += (double) x[d] * x[d];
	}
	return vq_round_up(f.e + 2.0 * VQ_UNIT * sqrt(norm2) + dim * VQ_TINY);
}

static float
sq8_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
		  VqMetric metric)
{
	Sq8Factors	f;
	float		yw;

	memcpy(&f, code, sizeof(f));
	yw = params[0] * p->ysum + params[1] * vk->dot_u8f32(code + sizeof(f), p->y, (size_t) dim);
	if (metric == VQ_IP)
		return -(p->dot + yw);
	return VP_MAX(0.0f, p->dist2 - 2.0f * (yw - f.cw) + f.ww);
}

static void
sq8_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
		  VqMetric metric, VqBound *out)
{
	Sq8Factors	f;
	double		slack = vq_sum_slack(dim);
	double		tiny = dim * VQ_TINY;
	double		ynorm = sqrt(p->ynorm2 * (1.0 + slack) + tiny);
	double		yw;				/* <y,w> */
	double		off;			/* how far it may be off */

	memcpy(&f, code, sizeof(f));
	yw = params[0] * (double) p->ysum +
		params[1] * (double) vk->dot_u8f32(code + sizeof(f), p->y, (size_t) dim);
	/* |offset|, step u <= TOP step: both sums have sqrt(dim) |y| at most */
	off = slack * ynorm * sqrt(dim) * (fabs(params[0]) + TOP * params[1]) +
		tiny * (1.0 + TOP * params[1]);
	if (metric == VQ_L2)
	{
		double		est = p->dist2 - 2.0 * (yw - f.cw) + f.ww;
		double		length = ynorm + sqrt(p->dist2) + sqrt(f.ww) + f.e; /* > |c| too */
		double		e_off = 8.0 * (VQ_UNIT * f.e + DBL_EPSILON * length) + VQ_TINY;
		double		least;
		double		most;

		off = 2.0 * off + p->dist2 * slack +
			4.0 * VQ_UNIT * (f.ww + 2.0 * fabs(f.cw)) + 4.0 * tiny;
		least = sqrt(VP_MAX(0.0, est - off));
		most = sqrt(VP_MAX(0.0, est + off));
		vq_put_bound(out, est, vq_least_gap2(least, most, f.e - e_off, f.e),
					 vq_square(most + f.e));
	}
	else
	{
		double		est = -(p->dot + yw);
		double		cnorm = ynorm + sqrt(p->dist2 * (1.0 + slack) + tiny);
		double		radius = ynorm * f.e + off + slack * ynorm * cnorm + tiny;

		vq_put_bound(out, est, est - radius, est + radius);
	}
}
