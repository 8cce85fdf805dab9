/*
 * k_avx512.c -- the kernels for AVX-512 F, BW, DQ and VL.
 *
 * What it is not: the place of VNNI (k_avx512vnni.c), which fewer CPUs have.
 * Float kernels come from t_float.h and t_tile.h; here are the primitives and
 * the integer kernels. Tails are masked loads and stores: a masked lane is
 * never touched, so no read passes the end of an array.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "simd/fp16.h"
#include "simd/levels.h"
#include "simd/x86_dots512.h"
#include "simd/x86_transpose.h"

#define VK(ret, name, args) static ret k_##name args;
#include "simd/kernels.def"
#undef VK

const VkTable vk_level_avx512 =
{
#define VK(ret, name, args) .name = k_##name,
#include "simd/kernels.def"
#undef VK
	.name = "avx512",
	.level = VK_AVX512
};

/* ---- primitives of t_float.h ---- */

typedef __m512 VF;
typedef __m512d VD;

#define VF_WIDTH 16

#define v_zero() _mm512_setzero_ps()
#define v_set1(x) _mm512_set1_ps(x)
#define v_add(a, b) _mm512_add_ps(a, b)
#define v_sub(a, b) _mm512_sub_ps(a, b)
#define v_mul(a, b) _mm512_mul_ps(a, b)
#define v_fma(a, b, acc) _mm512_fmadd_ps(a, b, acc)
#define v_xor(a, b) _mm512_xor_ps(a, b)
#define v_and(a, b) _mm512_and_ps(a, b)
#define v_sign_bits(a) ((unsigned) _mm512_movepi32_mask(_mm512_castps_si512(a)))
#define v_abs(a) _mm512_abs_ps(a)
#define v_sum(a) _mm512_reduce_add_ps(a)
#define v_load(p) _mm512_loadu_ps(p)
#define v_store(p, v) _mm512_storeu_ps(p, v)

/* The first n of 16 lanes. */
VP_INLINE __mmask16
first16(size_t n)
{
	return (__mmask16) ((1u << n) - 1);
}

/* The first n of 64 bytes, n < 64. */
VP_INLINE __mmask64
first64(size_t n)
{
	return ((__mmask64) 1 << n) - 1;
}

VP_INLINE VF
v_load_tail(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps(first16(n), p);
}

VP_INLINE void
v_store_tail(float *p, VF v, size_t n)
{
	_mm512_mask_storeu_ps(p, first16(n), v);
}

VP_INLINE VF
v_load_half(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

VP_INLINE VF
v_load_half_tail(const uint16_t *p, size_t n)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first16(n), p));
}

VP_INLINE void
v_store_half(uint16_t *p, VF v)
{
	_mm256_storeu_si256((__m256i *) p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

VP_INLINE void
v_store_half_tail(uint16_t *p, VF v, size_t n)
{
	_mm256_mask_storeu_epi16(p, first16(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

VP_INLINE VF
v_load_u8(const uint8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p)));
}

VP_INLINE VF
v_load_u8_tail(const uint8_t *p, size_t n)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first16(n), p)));
}

VP_INLINE VF
v_load_u32(const uint32_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}

VP_INLINE VF
v_number_or_zero(VF x)
{
	return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x);
}

VP_INLINE VF
v_clamp(VF x, VF lo, VF hi)
{
	return _mm512_min_ps(_mm512_max_ps(x, lo), hi);
}

VP_INLINE VF
v_where_inf(VF test, VF yes, VF no)
{
	return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(test, v_set1(__builtin_inff()),
													 _CMP_EQ_OQ), yes);
}

VP_INLINE void
v_store_s8(int8_t *p, VF v)
{
	_mm_storeu_si128((__m128i *) p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

VP_INLINE void
v_store_s8_tail(int8_t *p, VF v, size_t n)
{
	_mm512_mask_cvtepi32_storeu_epi8(p, first16(n), _mm512_cvtps_epi32(v));
}

VP_INLINE VF
v_signs(unsigned bits)
{
	return _mm512_maskz_mov_ps((__mmask16) bits, v_set1(-0.0f));
}

/* -0.0 in the lanes of the mask, which hold the second of a butterfly. */
VP_INLINE VF
minus(__mmask16 second)
{
	return _mm512_maskz_mov_ps(second, v_set1(-0.0f));
}

VP_INLINE VF
v_hadamard(VF x)
{
	/* partner + (first ? x : -x): one addition a stage, the flip is cheaper */
	x = v_add(_mm512_permute_ps(x, 0xb1), v_xor(x, minus(0xaaaa)));
	x = v_add(_mm512_permute_ps(x, 0x4e), v_xor(x, minus(0xcccc)));
	x = v_add(_mm512_shuffle_f32x4(x, x, 0xb1), v_xor(x, minus(0xf0f0)));
	return v_add(_mm512_shuffle_f32x4(x, x, 0x4e), v_xor(x, minus(0xff00)));
}

VP_INLINE void
v_unpack_u4(const uint8_t *p, VF *low, VF *high)
{
	__m512i		x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p));

	*low = _mm512_cvtepi32_ps(_mm512_and_si512(x, _mm512_set1_epi32(15)));
	*high = _mm512_cvtepi32_ps(_mm512_srli_epi32(x, 4));
}

VP_INLINE void
v_unpack_u2(const uint8_t *p, int part, VF *x)
{
	__m512i		u = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p));

	*x = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(u, 2 * part),
											 _mm512_set1_epi32(3)));
}

VP_INLINE void
v_clear64(VD *acc)
{
	acc[0] = acc[1] = acc[2] = acc[3] = _mm512_setzero_pd();
}

VP_INLINE void
v_square64(VF x, VD *acc)
{
	VD			lo = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
	VD			hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));

	acc[0] = _mm512_fmadd_pd(lo, lo, acc[0]);
	acc[1] = _mm512_fmadd_pd(hi, hi, acc[1]);
}

VP_INLINE double
v_sum64(const VD *acc)
{
	return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(acc[0], acc[1]),
											  _mm512_add_pd(acc[2], acc[3])));
}

#include "simd/t_float.h"

/* ---- integer dots without VNNI ---- */

/* 32 products, summed in pairs and added to acc. */
VP_INLINE __m512i
dot32(__m512i acc, __m256i u, __m256i s)
{
	return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_cvtepu8_epi16(u),
												   _mm512_cvtepi8_epi16(s)));
}

static int32_t
k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m512i		acc[4];
	size_t		i = 0;
	int			a;

	for (a = 0; a < 4; a++)
		acc[a] = _mm512_setzero_si512();
	for (; i + 128 <= n; i += 128)
	{
		for (a = 0; a < 4; a++)
			acc[a] = dot32(acc[a], tp_load(u + i + 32 * a), tp_load(s + i + 32 * a));
	}
	for (; i + 32 <= n; i += 32)
		acc[0] = dot32(acc[0], tp_load(u + i), tp_load(s + i));
	if (i < n)
	{
		__mmask32	mask = (__mmask32) first64(n - i);

		acc[1] = dot32(acc[1], _mm256_maskz_loadu_epi8(mask, u + i),
					   _mm256_maskz_loadu_epi8(mask, s + i));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]),
													_mm512_add_epi32(acc[2], acc[3])));
}

/*
 * Four groups, 128 elements: s0 holds groups 0 and 1, s1 groups 2 and 3.
 * 15 * 128 * 2 fits 16 bits four times, so low and high halves are added first.
 */
VP_INLINE __m512i
dot_u4_128(__m512i acc, __m512i x, __m512i s0, __m512i s1)
{
	__m512i		mask = _mm512_set1_epi8(15);
	__m512i		lo = _mm512_maddubs_epi16(_mm512_and_si512(x, mask),
										  _mm512_shuffle_i64x2(s0, s1, 0x88));
	__m512i		hi = _mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(x, 4), mask),
										  _mm512_shuffle_i64x2(s0, s1, 0xdd));

	return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_add_epi16(lo, hi),
												   _mm512_set1_epi16(1)));
}

static int32_t
k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m512i		acc = _mm512_setzero_si512();
	size_t		i = 0;

	for (; i + 128 <= n; i += 128)
		acc = dot_u4_128(acc, _mm512_loadu_si512(u + i / 2), _mm512_loadu_si512(s + i),
						 _mm512_loadu_si512(s + i + 64));
	if (i < n)
	{
		size_t		rest = n - i;
		__mmask64	mask0 = rest < 64 ? first64(rest) : ~(__mmask64) 0;
		__mmask64	mask1 = rest < 64 ? 0 : first64(rest - 64);
		__mmask64	codes = (rest + 31) / 32 < 4 ? first64((rest + 31) / 32 * 16) : ~(__mmask64) 0;

		acc = dot_u4_128(acc, _mm512_maskz_loadu_epi8(codes, u + i / 2),
						 _mm512_maskz_loadu_epi8(mask0, s + i),
						 _mm512_maskz_loadu_epi8(mask1, s + i + 64));
	}
	return _mm512_reduce_add_epi32(acc);
}

/* ---- one vector against many codes, without VNNI ---- */

VP_INLINE __m512i
add_bytes(__m512i acc, __m512i u, __m512i s)
{
	return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s),
												   _mm512_set1_epi16(1)));
}

VP_INLINE __m512i
add_selected(__m512i acc, __mmask64 bits, __m512i s)
{
	return add_bytes(acc, _mm512_set1_epi8(1), _mm512_maskz_mov_epi8(bits, s));
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

/* ---- L1 of bytes ---- */

static uint32_t
k_l1_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m512i		acc[2];
	size_t		i = 0;

	acc[0] = acc[1] = _mm512_setzero_si512();
	for (; i + 128 <= n; i += 128)
	{
		acc[0] = _mm512_add_epi32(acc[0], _mm512_sad_epu8(_mm512_loadu_si512(a + i),
														  _mm512_loadu_si512(b + i)));
		acc[1] = _mm512_add_epi32(acc[1], _mm512_sad_epu8(_mm512_loadu_si512(a + i + 64),
														  _mm512_loadu_si512(b + i + 64)));
	}
	for (; i < n; i += 64)
	{
		__mmask64	mask = n - i < 64 ? first64(n - i) : ~(__mmask64) 0;

		acc[0] = _mm512_add_epi32(acc[0], _mm512_sad_epu8(_mm512_maskz_loadu_epi8(mask, a + i),
														  _mm512_maskz_loadu_epi8(mask, b + i)));
	}
	return (uint32_t) _mm512_reduce_add_epi32(_mm512_add_epi32(acc[0], acc[1]));
}

/* ---- FastScan ---- */

/*
 * Sums of 16 rows in 16-bit lanes. A table value is added together with its
 * right neighbour shifted by 8 (`both`), and the neighbour alone (`odd`); the
 * even rows are the difference, right modulo 2^16. So a step costs two
 * additions and one shift instead of two masks and two additions.
 */
typedef struct Sums16
{
	__m512i		both;
	__m512i		odd;
} Sums16;

/* Adds one 16-byte group per 128-bit lane. */
VP_INLINE void
scan_step(Sums16 *low, Sums16 *high, __m512i codes, __m512i lut)
{
	__m512i		mask = _mm512_set1_epi8(15);
	__m512i		x = _mm512_shuffle_epi8(lut, _mm512_and_si512(codes, mask));
	__m512i		y = _mm512_shuffle_epi8(lut, _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask));

	low->both = _mm512_add_epi16(low->both, x);
	low->odd = _mm512_add_epi16(low->odd, _mm512_srli_epi16(x, 8));
	high->both = _mm512_add_epi16(high->both, y);
	high->odd = _mm512_add_epi16(high->odd, _mm512_srli_epi16(y, 8));
}

/* 8 rows: the four lanes hold the same rows of different groups. */
VP_INLINE __m256i
widen_add(__m256i total, __m512i sums)
{
	__m512i		x = _mm512_add_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(sums)),
									 _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(sums, 1)));

	return _mm256_add_epi32(total, _mm256_add_epi32(_mm512_castsi512_si256(x),
													_mm512_extracti64x4_epi64(x, 1)));
}

/* Adds the sums to total[2], rows 0-7 and 8-15, and clears them. */
VP_INLINE void
spill(Sums16 *sums, __m256i *total)
{
	__m512i		even = _mm512_sub_epi16(sums->both, _mm512_slli_epi16(sums->odd, 8));

	total[0] = widen_add(total[0], even);
	total[1] = widen_add(total[1], sums->odd);
	sums->both = sums->odd = _mm512_setzero_si512();
}

static void
k_fastscan_32(const uint8_t *block, const uint8_t *lut, size_t groups, uint32_t *out)
{
	__m256i		total[4];
	Sums16		low;
	Sums16		high;
	size_t		g = 0;
	int			i;

	low.both = low.odd = high.both = high.odd = _mm512_setzero_si512();
	for (i = 0; i < 4; i++)
		total[i] = _mm256_setzero_si256();
	while (g + 4 <= groups)
	{
		/* 256 steps, and one for the last 1-3 groups: 257 * 255 = 65,535 */
		size_t		stop = VP_MIN(groups, g + 1024);

#pragma GCC unroll 4
		for (; g + 4 <= stop; g += 4)
			scan_step(&low, &high, _mm512_loadu_si512(block + 16 * g),
					  _mm512_loadu_si512(lut + 16 * g));
		if (g + 4 <= groups)
		{
			spill(&low, total);
			spill(&high, total + 2);
		}
	}
	if (g < groups)
	{
		__mmask64	mask = first64(16 * (groups - g));

		scan_step(&low, &high, _mm512_maskz_loadu_epi8(mask, block + 16 * g),
				  _mm512_maskz_loadu_epi8(mask, lut + 16 * g));
	}
	spill(&low, total);
	spill(&high, total + 2);
	for (i = 0; i < 4; i++)
		_mm256_storeu_si256((__m256i *) (out + 8 * i), total[i]);
}

/* ---- tiles ---- */

#define TILE_FN k_tile_f32
#define TILE_PACK pack_f32
#define TILE_MICRO micro_f32
#define TILE_ROWS rows_f32
#define TILE_A float
#define TILE_B float
#define TILE_C float
#define TILE_DOT k_dot_f32
#define TILE_KW 1
#define TILE_MR 8
#define TILE_NV 2
#define TILE_KC 128
#define TILE_V __m512
#define TILE_X __m512
#define TILE_VW 16
#define TILE_ZERO() _mm512_setzero_ps()
#define TILE_LOAD(p) _mm512_load_ps(p)
#define TILE_BCAST(p) _mm512_set1_ps(vk_get_f32(p, 0))
#define TILE_FMA(x, b, acc) _mm512_fmadd_ps(x, b, acc)
#define TILE_STORE(c, v) _mm512_storeu_ps(c, v)
#define TILE_SUM(c, v) _mm512_add_ps(_mm512_loadu_ps(c), v)
#define TILE_WIDENS 0
#define TILE_COPY_A(from, n, to) memcpy(to, from, (n) * sizeof(float))
#define TILE_WORDS_B(p) tp_load(p)
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

/* Bytes become 16-bit words, zeros after the end if n is odd. */
static void
widen_u8(const uint8_t *from, size_t n, uint32_t *to)
{
	size_t		i;

	for (i = 0; i < n; i += 16)
	{
		__mmask16	mask = n - i < 16 ? first16(n - i) : 0xffff;

		_mm256_storeu_si256((__m256i *) (to + i / 2),
							_mm256_cvtepu8_epi16(_mm_maskz_loadu_epi8(mask, from + i)));
	}
}

#define TILE_FN k_tile_u8s8
#define TILE_PACK pack_s8
#define TILE_MICRO micro_u8s8
#define TILE_ROWS rows_u8s8
#define TILE_A uint8_t
#define TILE_B int8_t
#define TILE_C int32_t
#define TILE_DOT k_dot_u8s8
#define TILE_KW 2
#define TILE_MR 8
#define TILE_NV 2
#define TILE_KC 128
#define TILE_V __m512i
#define TILE_X __m512i
#define TILE_VW 16
#define TILE_ZERO() _mm512_setzero_si512()
#define TILE_LOAD(p) _mm512_load_si512(p)
#define TILE_BCAST(p) _mm512_set1_epi32((int) vk_get_u32(p, 0))
#define TILE_FMA(x, b, acc) _mm512_add_epi32(acc, _mm512_madd_epi16(x, b))
#define TILE_STORE(c, v) _mm512_storeu_si512(c, v)
#define TILE_SUM(c, v) _mm512_add_epi32(_mm512_loadu_si512(c), v)
#define TILE_WIDENS 1
#define TILE_COPY_A(from, n, to) widen_u8(from, n, to)
#define TILE_WORDS_B(p) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (p)))
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

#endif							/* __x86_64__ */
