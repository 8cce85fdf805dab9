/*
 * codec.h -- what the refine codecs share: their rows, and interval rounding.
 *
 * What it is not: part of the room's contract; only codec*.c include it.
 *
 * A bound is computed in float64 from float32 sums whose errors are known, so
 * every codec works with intervals [lo, hi] and widens them at two places:
 * where a float32 sum comes in (vq_sum_slack), and where the result is rounded
 * to float32 (vq_put_bound).
 */
#ifndef VECPG_CODEC_H
#define VECPG_CODEC_H

#include <float.h>
#include <math.h>

#include "quant/quant.h"
#include "simd/simd.h"

extern const VqCodec vq_codec_rabitq8;
extern const VqCodec vq_codec_rabitq6;
extern const VqCodec vq_codec_rabitq4;
extern const VqCodec vq_codec_sq8;
extern const VqCodec vq_codec_flat;
extern const VqCodec vq_codec_l1;

#define VQ_UNIT 0x1p-24			/* half a unit in the last place of 1.0f */
#define VQ_TINY 0x1p-149		/* the smallest float32 */

/*
 * A kernel's float32 sum of dim products is off by at most this times the sum
 * of the products' sizes: the scalar level adds one after the other, the
 * others in at least eight lanes; 16 covers the merging and what was rounded
 * before and after. In addition every product may be off by VQ_TINY where
 * float32 underflows.
 */
VP_INLINE double
vq_sum_slack(int dim)
{
	return ((vk->level == VK_SCALAR ? dim : dim / 8) + 16) * VQ_UNIT;
}

VP_INLINE double
vq_square(double x)
{
	return x * x;
}

/* A float32 not below x >= 0, for lengths stored with a code. */
VP_INLINE float
vq_round_up(double x)
{
	return (float) (x * (1.0 + 4.0 * VQ_UNIT) + VQ_TINY);
}

VP_INLINE void
vq_put_unbounded(VqBound *out)
{
	out->est = out->steer = 0.0f;
	out->lo = -INFINITY;
	out->hi = INFINITY;
}

/*
 * Rounds [lo, hi] outwards to float32. Whatever is not a number makes the
 * bound say nothing instead of something wrong.
 */
VP_INLINE void
vq_put_bound(VqBound *out, double est, double lo, double hi)
{
	if (!(lo <= hi && hi < INFINITY && lo > -INFINITY && fabs(est) < INFINITY))
	{
		vq_put_unbounded(out);
		return;
	}
	lo -= fabs(lo) * 4.0 * VQ_UNIT + VQ_TINY;
	hi += fabs(hi) * 4.0 * VQ_UNIT + VQ_TINY;
	out->lo = lo > FLT_MAX ? FLT_MAX : (float) lo;
	out->hi = hi < -FLT_MAX ? -FLT_MAX : (float) hi;
	est = VP_MAX(lo, VP_MIN(est, hi));
	out->est = out->steer = (float) VP_MAX(-FLT_MAX, VP_MIN(est, FLT_MAX));
}

/* Replaces steer by an unbiased value, kept within the interval. */
VP_INLINE void
vq_put_steer(VqBound *out, double steer)
{
	if (out->lo > -INFINITY && steer == steer)
		out->steer = (float) VP_MAX(out->lo, VP_MIN(steer, out->hi));
}

/* The range of |v|^2 where only v's part along a unit vector is known too. */
VP_INLINE void
vq_rest_of(double norm2, double slack2, double along, double slack, double *least,
		   double *most)
{
	double		inner = VP_MAX(0.0, fabs(along) - slack);
	double		outer = fabs(along) + slack;

	*least = sqrt(VP_MAX(0.0, norm2 - slack2 - outer * outer));
	*most = sqrt(VP_MAX(0.0, norm2 + slack2 - inner * inner));
}

/* The least (a - b)^2 with a in [a0, a1] and b in [b0, b1]. */
VP_INLINE double
vq_least_gap2(double a0, double a1, double b0, double b1)
{
	return vq_square(VP_MAX(0.0, VP_MAX(a0 - b1, b0 - a1)));
}

#endif							/* VECPG_CODEC_H */
