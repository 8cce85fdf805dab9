/*
 * k_avx512vnni.c -- the integer dots of the avx512 level with VPDPBUSD.
 *
 * What it is not: a level. dispatch.c asks for these functions only if the
 * CPU has VNNI; the rest of the table stays that of k_avx512.c.
 *
 * VPDPBUSD adds four u8 x s8 products to a 32-bit lane without saturation.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "simd/fp16.h"
#include "simd/levels.h"
#include "simd/x86_dots512.h"
#include "simd/x86_transpose.h"

static int32_t k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n);
static int32_t k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n);
static void k_dots_u1s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s,
						size_t n, int32_t *out);
static void k_dots_u2s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s,
						size_t n, int32_t *out);
static void k_tile_u8s8(const uint8_t *a, size_t lda, size_t m, const int8_t *b, size_t ldb,
						size_t n, size_t k, int32_t *c, size_t ldc);

void
vk_avx512_use_vnni(VkTable *table)
{
	table->dot_u8s8 = k_dot_u8s8;
	table->dot_u4s8 = k_dot_u4s8;
	table->dots_u1s8 = k_dots_u1s8;
	table->dots_u2s8 = k_dots_u2s8;
	table->tile_u8s8 = k_tile_u8s8;
}

/* The first n of 64 bytes. */
VP_INLINE __mmask64
first64(size_t n)
{
	return n < 64 ? ((__mmask64) 1 << n) - 1 : ~(__mmask64) 0;
}

static int32_t
k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m512i		acc[4];
	size_t		i = 0;
	int			a;

	for (a = 0; a < 4; a++)
		acc[a] = _mm512_setzero_si512();
	for (; i + 256 <= n; i += 256)
	{
		for (a = 0; a < 4; a++)
			acc[a] = _mm512_dpbusd_epi32(acc[a], _mm512_loadu_si512(u + i + 64 * a),
										 _mm512_loadu_si512(s + i + 64 * a));
	}
	for (; i + 64 <= n; i += 64)
		acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_loadu_si512(u + i),
									 _mm512_loadu_si512(s + i));
	if (i < n)
	{
		__mmask64	mask = first64(n - i);

		acc[1] = _mm512_dpbusd_epi32(acc[1], _mm512_maskz_loadu_epi8(mask, u + i),
									 _mm512_maskz_loadu_epi8(mask, s + i));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]),
													_mm512_add_epi32(acc[2], acc[3])));
}

/* Four groups, 128 elements: s0 holds groups 0 and 1, s1 groups 2 and 3. */
VP_INLINE void
dot_u4_128(__m512i *acc, __m512i x, __m512i s0, __m512i s1)
{
	__m512i		mask = _mm512_set1_epi8(15);

	acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_and_si512(x, mask),
								 _mm512_shuffle_i64x2(s0, s1, 0x88));
	acc[1] = _mm512_dpbusd_epi32(acc[1], _mm512_and_si512(_mm512_srli_epi16(x, 4), mask),
								 _mm512_shuffle_i64x2(s0, s1, 0xdd));
}

static int32_t
k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m512i		acc[2];
	size_t		i = 0;

	acc[0] = acc[1] = _mm512_setzero_si512();
	for (; i + 128 <= n; i += 128)
		dot_u4_128(acc, _mm512_loadu_si512(u + i / 2), _mm512_loadu_si512(s + i),
				   _mm512_loadu_si512(s + i + 64));
	if (i < n)
	{
		size_t		rest = n - i;
		__mmask64	codes = first64((rest + 31) / 32 * 16);
		__mmask64	second = rest < 64 ? 0 : first64(rest - 64);

		dot_u4_128(acc, _mm512_maskz_loadu_epi8(codes, u + i / 2),
				   _mm512_maskz_loadu_epi8(first64(rest), s + i),
				   _mm512_maskz_loadu_epi8(second, s + i + 64));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc[0], acc[1]));
}

VP_INLINE __m512i
add_bytes(__m512i acc, __m512i u, __m512i s)
{
	return _mm512_dpbusd_epi32(acc, u, s);
}

VP_INLINE __m512i
add_selected(__m512i acc, __mmask64 bits, __m512i s)
{
	return _mm512_dpbusd_epi32(acc, _mm512_maskz_mov_epi8(bits, _mm512_set1_epi8(1)), s);
}

static void
k_dots_u1s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	dots_many(add_selected, NULL, codes, stride, count, s, n, out);
}

static void
k_dots_u2s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	dots_many(NULL, add_bytes, codes, stride, count, s, n, out);
}

/* Part of a row, with zeros up to the end of its last word. */
static void
copy_u8(const uint8_t *from, size_t n, uint32_t *to)
{
	to[(n - 1) / 4] = 0;
	memcpy(to, from, n);
}

#define TILE_FN k_tile_u8s8
#define TILE_PACK pack_s8
#define TILE_MICRO micro_u8s8
#define TILE_ROWS rows_u8s8
#define TILE_A uint8_t
#define TILE_B int8_t
#define TILE_C int32_t
#define TILE_DOT k_dot_u8s8
#define TILE_KW 4
#define TILE_MR 8
#define TILE_NV 2
#define TILE_KC 128
#define TILE_V __m512i
#define TILE_X __m512i
#define TILE_VW 16
#define TILE_ZERO() _mm512_setzero_si512()
#define TILE_LOAD(p) _mm512_load_si512(p)
#define TILE_BCAST(p) _mm512_set1_epi32((int) vk_get_u32(p, 0))
#define TILE_FMA(x, b, acc) _mm512_dpbusd_epi32(acc, x, b)
#define TILE_STORE(c, v) _mm512_storeu_si512(c, v)
#define TILE_SUM(c, v) _mm512_add_epi32(_mm512_loadu_si512(c), v)
#define TILE_WIDENS 0
#define TILE_COPY_A(from, n, to) copy_u8(from, n, to)
#define TILE_WORDS_B(p) tp_load(p)
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

#endif							/* __x86_64__ */
