/*
 * x86_transpose.h -- 8 x 8 words, for the packing of t_tile.h on both x86
 * levels (AVX-512 gains nothing from a wider one: packing is a few per cent).
 *
 * What it is not: usable outside a file compiled for AVX2.
 */
#ifndef VECPG_SIMD_X86_TRANSPOSE_H
#define VECPG_SIMD_X86_TRANSPOSE_H

#include <immintrin.h>

#include "base/port.h"

#define TP __m256i
#define TP_WIDTH 8

VP_INLINE TP
tp_zero(void)
{
	return _mm256_setzero_si256();
}

VP_INLINE TP
tp_load(const void *p)
{
	return _mm256_loadu_si256(p);
}

/* Word i of rows[c] goes to to[i * stride + c]. */
VP_INLINE void
tp_transpose_store(const TP *rows, uint32_t *to, size_t stride)
{
	TP			pairs[8];
	TP			quads[8];
	int			i;

	for (i = 0; i < 4; i++)
	{
		pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
		pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
	}
	/* quads[4h + w]: words w and 4 + w of rows 4h .. 4h + 3 */
	for (i = 0; i < 2; i++)
	{
		quads[4 * i] = _mm256_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
		quads[4 * i + 1] = _mm256_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
		quads[4 * i + 2] = _mm256_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
		quads[4 * i + 3] = _mm256_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
	}
	for (i = 0; i < 4; i++)
	{
		_mm256_storeu_si256((TP *) (to + i * stride),
							_mm256_permute2x128_si256(quads[i], quads[4 + i], 0x20));
		_mm256_storeu_si256((TP *) (to + (4 + i) * stride),
							_mm256_permute2x128_si256(quads[i], quads[4 + i], 0x31));
	}
}

#endif							/* VECPG_SIMD_X86_TRANSPOSE_H */
