/*
 * fp16.h -- IEEE half precision in software, and unaligned element access.
 *
 * What it is not: a fast path. CPU levels convert in hardware; this is what
 * the scalar level, odd tails and the unit test use, and it gives the same
 * bits as the hardware (VCVTPS2PH, VCVTPH2PS, FCVT), NaN payloads included.
 *
 * Idea: a half is rescaled by exact powers of two, so the float unit rounds
 * subnormals for us; only NaN, infinity and the normal range need bits.
 */
#ifndef VECPG_SIMD_FP16_H
#define VECPG_SIMD_FP16_H

#include <string.h>

#include "base/port.h"

#define VK_HALF_INF 0x7c00
#define VK_HALF_QUIET 0x0200	/* the bit that makes a NaN quiet */

/* Elements at any address: a plain dereference would be undefined there. */
VP_INLINE float
vk_get_f32(const void *base, size_t i)
{
	float		x;

	memcpy(&x, (const char *) base + i * sizeof(x), sizeof(x));
	return x;
}

VP_INLINE void
vk_put_f32(void *base, size_t i, float x)
{
	memcpy((char *) base + i * sizeof(x), &x, sizeof(x));
}

VP_INLINE uint16_t
vk_get_u16(const void *base, size_t i)
{
	uint16_t	x;

	memcpy(&x, (const char *) base + i * sizeof(x), sizeof(x));
	return x;
}

VP_INLINE void
vk_put_u16(void *base, size_t i, uint16_t x)
{
	memcpy((char *) base + i * sizeof(x), &x, sizeof(x));
}

VP_INLINE uint32_t
vk_get_u32(const void *base, size_t i)
{
	uint32_t	x;

	memcpy(&x, (const char *) base + i * sizeof(x), sizeof(x));
	return x;
}

VP_INLINE void
vk_put_u32(void *base, size_t i, uint32_t x)
{
	memcpy((char *) base + i * sizeof(x), &x, sizeof(x));
}

/* Exact. A signalling NaN comes out quiet, as from the hardware. */
VP_INLINE float
vk_half_to_float(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	mag = h & 0x7fff;
	uint32_t	bits;

	if (mag >= VK_HALF_INF)
	{
		bits = 0x7f800000 | (mag & 0x3ff) << 13;
		if (mag > VK_HALF_INF)
			bits |= (uint32_t) VK_HALF_QUIET << 13;
	}
	else if (mag >= 0x0400)
		bits = (mag << 13) + ((127 - 15) << 23);
	else
	{
		/* subnormal: mag * 2^-24, exact in float32 */
		float		tiny = (float) mag * 0x1p-24f;

		memcpy(&bits, &tiny, sizeof(bits));
	}
	bits |= sign;
	return vk_get_f32(&bits, 0);
}

/* Round to nearest even; from 65,520 on the result is infinity. */
VP_INLINE uint16_t
vk_float_to_half(float x)
{
	uint32_t	bits = vk_get_u32(&x, 0);
	uint32_t	sign = bits >> 16 & 0x8000;
	uint32_t	mag = bits & 0x7fffffff;

	if (mag > 0x7f800000)
		return (uint16_t) (sign | VK_HALF_INF | VK_HALF_QUIET | (mag >> 13 & 0x3ff));
	if (mag >= 0x477ff000)		/* 65,520: halfway between the largest half and 2^16 */
		return (uint16_t) (sign | VK_HALF_INF);
	if (mag >= 0x38800000)		/* 2^-14, the smallest normal half */
	{
		mag += 0x0fff + (mag >> 13 & 1);
		return (uint16_t) (sign | ((mag >> 13) - ((127 - 15) << 10)));
	}
	else
	{
		/*
		 * Adding 0.5 makes the float unit round to multiples of 2^-24, the
		 * step of subnormal halves; the sum's low bits are then the result.
		 */
		float		shifted = vk_get_f32(&mag, 0) + 0.5f;

		return (uint16_t) (sign | (vk_get_u32(&shifted, 0) - 0x3f000000));
	}
}

#endif							/* VECPG_SIMD_FP16_H */
