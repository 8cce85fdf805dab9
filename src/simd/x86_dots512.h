/*
 * x86_dots512.h -- one vector against many codes of 1 or 2 bits, for the
 * AVX-512 file with VNNI and the one without.
 *
 * What it is not: usable outside a file compiled for AVX-512 BW, DQ and VL. How
 * a level multiplies and adds is a step function, constant after inlining.
 *
 * Idea: 64 bytes of the vector are loaded once for eight codes. 64 bits of a
 * 1-bit code are a lane mask as they are. A group of 2-bit codes is copied to
 * the four 128-bit lanes and shifted by 0, 2, 4, 6: then its 64 elements
 * lie in order.
 */
#ifndef VECPG_SIMD_X86_DOTS512_H
#define VECPG_SIMD_X86_DOTS512_H

#include <immintrin.h>
#include <string.h>

#include "simd/fp16.h"

#define DOTS_ROWS 8

/* acc + s where a bit is set / acc + u s; 64 elements, in any 32-bit lanes */
typedef __m512i (*DotsBitStep) (__m512i acc, __mmask64 bits, __m512i s);
typedef __m512i (*DotsStep) (__m512i acc, __m512i u, __m512i s);

VP_INLINE __mmask64
dots_bits(const uint8_t *code)
{
	uint64_t	bits;

	memcpy(&bits, code, sizeof(bits));
	return bits;
}

/* The last 16, 32 or 48 bits of a code. */
VP_INLINE __mmask64
dots_last_bits(const uint8_t *code, size_t n)
{
	uint64_t	bits = 0;
	size_t		i;

	for (i = 0; i < n / 16; i++)
		bits |= (uint64_t) vk_get_u16(code, i) << 16 * i;
	return bits;
}

/* The sums of 8 vectors of 32-bit lanes. */
VP_INLINE __m256i
dots_sums(const __m512i *v)
{
	__m256i		half[8];
	__m256i		low;
	__m256i		high;
	int			r;

	for (r = 0; r < 8; r++)
		half[r] = _mm256_add_epi32(_mm512_castsi512_si256(v[r]),
								   _mm512_extracti64x4_epi64(v[r], 1));
	low = _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]),
							_mm256_hadd_epi32(half[2], half[3]));
	high = _mm256_hadd_epi32(_mm256_hadd_epi32(half[4], half[5]),
							 _mm256_hadd_epi32(half[6], half[7]));
	return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
							_mm256_permute2x128_si256(low, high, 0x31));
}

VP_INLINE void
dots_u1_rows(DotsBitStep step, const uint8_t *const *rows, const int8_t *s, size_t n,
			 __m512i *acc)
{
	size_t		d;
	int			r;

	for (d = 0; d + 64 <= n; d += 64)
	{
		__m512i		x = _mm512_loadu_si512(s + d);

#pragma GCC unroll 8
		for (r = 0; r < DOTS_ROWS; r++)
			acc[r] = step(acc[r], dots_bits(rows[r] + d / 8), x);
	}
	if (d < n)
	{
		__m512i		x = _mm512_maskz_loadu_epi8(((__mmask64) 1 << (n - d)) - 1, s + d);

		for (r = 0; r < DOTS_ROWS; r++)
			acc[r] = step(acc[r], dots_last_bits(rows[r] + d / 8, n - d), x);
	}
}

VP_INLINE void
dots_u2_rows(DotsStep step, const uint8_t *const *rows, const int8_t *s, size_t n, __m512i *acc)
{
	const __m512i shifts = _mm512_set_epi64(0x0006000600060006, 0x0006000600060006,
											0x0004000400040004, 0x0004000400040004,
											0x0002000200020002, 0x0002000200020002, 0, 0);
	const __m512i pair = _mm512_set1_epi8(3);
	size_t		d;
	int			r;

	for (d = 0; d < n; d += 64)
	{
		__mmask64	valid = n - d < 64 ? ((__mmask64) 1 << (n - d)) - 1 : ~(__mmask64) 0;
		__m512i		x = _mm512_maskz_loadu_epi8(valid, s + d);

#pragma GCC unroll 8
		for (r = 0; r < DOTS_ROWS; r++)
		{
			__m128i		group = _mm_loadu_si128((const __m128i *) (rows[r] + d / 4));
			__m512i		u = _mm512_srlv_epi16(_mm512_broadcast_i32x4(group), shifts);

			acc[r] = step(acc[r], _mm512_and_si512(u, pair), x);
		}
	}
}

/* One of `bit_step` and `step` is given. Rows beyond the last repeat it. */
VP_INLINE void
dots_many(DotsBitStep bit_step, DotsStep step, const uint8_t *codes, size_t stride,
		  size_t count, const int8_t *s, size_t n, int32_t *out)
{
	size_t		i;

	for (i = 0; i < count; i += DOTS_ROWS)
	{
		size_t		left = VP_MIN(count - i, DOTS_ROWS);
		const uint8_t *rows[DOTS_ROWS];
		__m512i		acc[DOTS_ROWS];
		size_t		r;

		for (r = 0; r < DOTS_ROWS; r++)
		{
			rows[r] = codes + (i + VP_MIN(r, left - 1)) * stride;
			acc[r] = _mm512_setzero_si512();
		}
		if (bit_step)
			dots_u1_rows(bit_step, rows, s, n, acc);
		else
			dots_u2_rows(step, rows, s, n, acc);
		_mm256_mask_storeu_epi32(out + i, (__mmask8) ((1u << left) - 1), dots_sums(acc));
	}
}

#endif							/* VECPG_SIMD_X86_DOTS512_H */
