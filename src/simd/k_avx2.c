/*
 * k_avx2.c -- the kernels for AVX2, FMA and F16C.
 *
 * What it is not: run before dispatch.c has seen all three. Float kernels come
 * from t_float.h and t_tile.h; here are the vector primitives and the integer
 * kernels, whose best instructions differ per level.
 *
 * VPMADDUBSW would saturate on u8 x s8 (255 * 127 * 2 > 32,767), so such dots
 * widen to 16 bits and use VPMADDWD, which is exact.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "simd/fp16.h"
#include "simd/levels.h"
#include "simd/x86_transpose.h"

#define VK(ret, name, args) static ret k_##name args;
#include "simd/kernels.def"
#undef VK

const VkTable vk_level_avx2 =
{
#define VK(ret, name, args) .name = k_##name,
#include "simd/kernels.def"
#undef VK
	.name = "avx2",
	.level = VK_AVX2
};

/* ---- primitives of t_float.h ---- */

typedef __m256 VF;
typedef __m256d VD;

#define VF_WIDTH 8

#define v_zero() _mm256_setzero_ps()
#define v_set1(x) _mm256_set1_ps(x)
#define v_add(a, b) _mm256_add_ps(a, b)
#define v_sub(a, b) _mm256_sub_ps(a, b)
#define v_mul(a, b) _mm256_mul_ps(a, b)
#define v_fma(a, b, acc) _mm256_fmadd_ps(a, b, acc)
#define v_xor(a, b) _mm256_xor_ps(a, b)
#define v_and(a, b) _mm256_and_ps(a, b)
#define v_sign_bits(a) ((unsigned) _mm256_movemask_ps(a))
#define v_abs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define v_load(p) _mm256_loadu_ps((const float *) (p))
#define v_store(p, v) _mm256_storeu_ps((float *) (p), v)

/* All ones in the first n of 8 lanes. */
VP_INLINE __m256i
first_lanes(size_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int) n),
							  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VP_INLINE float
v_sum(VF v)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

VP_INLINE VF
v_load_tail(const float *p, size_t n)
{
	return _mm256_maskload_ps(p, first_lanes(n));
}

VP_INLINE void
v_store_tail(float *p, VF v, size_t n)
{
	_mm256_maskstore_ps(p, first_lanes(n), v);
}

VP_INLINE VF
v_load_half(const uint16_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
}

VP_INLINE VF
v_load_half_tail(const uint16_t *p, size_t n)
{
	uint16_t	last[8] = {0};

	memcpy(last, p, n * sizeof(*p));
	return v_load_half(last);
}

VP_INLINE void
v_store_half(uint16_t *p, VF v)
{
	_mm_storeu_si128((__m128i *) p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

VP_INLINE void
v_store_half_tail(uint16_t *p, VF v, size_t n)
{
	uint16_t	last[8];

	v_store_half(last, v);
	memcpy(p, last, n * sizeof(*p));
}

VP_INLINE VF
v_load_u8(const uint8_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) p)));
}

VP_INLINE VF
v_load_u8_tail(const uint8_t *p, size_t n)
{
	uint8_t		last[8] = {0};

	memcpy(last, p, n);
	return v_load_u8(last);
}

VP_INLINE VF
v_load_u32(const uint32_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *) p));
}

VP_INLINE VF
v_number_or_zero(VF x)
{
	return _mm256_and_ps(x, _mm256_cmp_ps(x, x, _CMP_ORD_Q));
}

VP_INLINE VF
v_clamp(VF x, VF lo, VF hi)
{
	return _mm256_min_ps(_mm256_max_ps(x, lo), hi);
}

VP_INLINE VF
v_where_inf(VF test, VF yes, VF no)
{
	return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(test, v_set1(__builtin_inff()), _CMP_EQ_OQ));
}

VP_INLINE void
v_store_s8(int8_t *p, VF v)
{
	__m256i		x = _mm256_cvtps_epi32(v);
	__m128i		words = _mm_packs_epi32(_mm256_castsi256_si128(x),
										_mm256_extracti128_si256(x, 1));

	_mm_storel_epi64((__m128i *) p, _mm_packs_epi16(words, words));
}

VP_INLINE void
v_store_s8_tail(int8_t *p, VF v, size_t n)
{
	int8_t		last[8];

	v_store_s8(last, v);
	memcpy(p, last, n);
}

VP_INLINE VF
v_signs(unsigned bits)
{
	__m256i		up = _mm256_sllv_epi32(_mm256_set1_epi32((int) bits),
									   _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24));

	return _mm256_and_ps(_mm256_castsi256_ps(up), v_set1(-0.0f));
}

VP_INLINE VF
v_hadamard(VF x)
{
	const VF	odd2 = _mm256_setr_ps(0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f);
	const VF	odd4 = _mm256_setr_ps(0, 0, -0.0f, -0.0f, 0, 0, -0.0f, -0.0f);
	const VF	odd8 = _mm256_setr_ps(0, 0, 0, 0, -0.0f, -0.0f, -0.0f, -0.0f);

	/* partner + (lower half ? x : -x) */
	x = v_add(_mm256_permute_ps(x, 0xb1), v_xor(x, odd2));
	x = v_add(_mm256_permute_ps(x, 0x4e), v_xor(x, odd4));
	return v_add(_mm256_permute2f128_ps(x, x, 1), v_xor(x, odd8));
}

VP_INLINE void
v_unpack_u4(const uint8_t *p, VF *low, VF *high)
{
	__m128i		mask = _mm_set1_epi8(15);
	__m128i		x = _mm_loadu_si128((const __m128i *) p);
	__m128i		lo = _mm_and_si128(x, mask);
	__m128i		hi = _mm_and_si128(_mm_srli_epi16(x, 4), mask);

	low[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(lo));
	low[1] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(lo, 8)));
	high[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(hi));
	high[1] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(hi, 8)));
}

VP_INLINE void
v_unpack_u2(const uint8_t *p, int part, VF *x)
{
	__m128i		u = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128((const __m128i *) p), 2 * part),
								  _mm_set1_epi8(3));

	x[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(u));
	x[1] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(u, 8)));
}

VP_INLINE void
v_clear64(VD *acc)
{
	acc[0] = acc[1] = acc[2] = acc[3] = _mm256_setzero_pd();
}

VP_INLINE void
v_square64(VF x, VD *acc)
{
	VD			lo = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
	VD			hi = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));

	acc[0] = _mm256_fmadd_pd(lo, lo, acc[0]);
	acc[1] = _mm256_fmadd_pd(hi, hi, acc[1]);
}

VP_INLINE double
v_sum64(const VD *acc)
{
	VD			v = _mm256_add_pd(_mm256_add_pd(acc[0], acc[1]), _mm256_add_pd(acc[2], acc[3]));
	__m128d		x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

	return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}

#include "simd/t_float.h"

/* ---- integer dots ---- */

VP_INLINE int32_t
sum_i32(__m256i v)
{
	__m128i		x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

/* 16 products, summed in pairs and added to acc. */
VP_INLINE __m256i
dot16(__m256i acc, const uint8_t *u, const int8_t *s)
{
	__m256i		x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) u));
	__m256i		y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) s));

	return _mm256_add_epi32(acc, _mm256_madd_epi16(x, y));
}

static int32_t
k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m256i		acc[4];
	uint8_t		last_u[16] = {0};
	int8_t		last_s[16] = {0};
	size_t		i = 0;
	int			a;

	for (a = 0; a < 4; a++)
		acc[a] = _mm256_setzero_si256();
	for (; i + 64 <= n; i += 64)
	{
		for (a = 0; a < 4; a++)
			acc[a] = dot16(acc[a], u + i + 16 * a, s + i + 16 * a);
	}
	for (; i + 16 <= n; i += 16)
		acc[0] = dot16(acc[0], u + i, s + i);
	if (i < n)
	{
		memcpy(last_u, u + i, n - i);
		memcpy(last_s, s + i, n - i);
		acc[1] = dot16(acc[1], last_u, last_s);
	}
	return sum_i32(_mm256_add_epi32(_mm256_add_epi32(acc[0], acc[1]),
									_mm256_add_epi32(acc[2], acc[3])));
}

/*
 * Two groups, 64 elements. 15 * 128 * 2 fits 16 bits four times over, so the
 * two halves are added before they are widened.
 */
VP_INLINE __m256i
dot_u4_64(__m256i acc, const uint8_t *u, const int8_t *s)
{
	__m256i		mask = _mm256_set1_epi8(15);
	__m256i		x = _mm256_loadu_si256((const __m256i *) u);
	__m256i		g0 = _mm256_loadu_si256((const __m256i *) s);
	__m256i		g1 = _mm256_loadu_si256((const __m256i *) (s + 32));
	__m256i		lo = _mm256_maddubs_epi16(_mm256_and_si256(x, mask),
										  _mm256_permute2x128_si256(g0, g1, 0x20));
	__m256i		hi = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(x, 4), mask),
										  _mm256_permute2x128_si256(g0, g1, 0x31));

	return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_add_epi16(lo, hi),
												   _mm256_set1_epi16(1)));
}

static int32_t
k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n)
{
	__m256i		acc[2];
	uint8_t		last_u[32] = {0};
	int8_t		last_s[64] = {0};
	size_t		i = 0;

	acc[0] = acc[1] = _mm256_setzero_si256();
	for (; i + 128 <= n; i += 128)
	{
		acc[0] = dot_u4_64(acc[0], u + i / 2, s + i);
		acc[1] = dot_u4_64(acc[1], u + i / 2 + 32, s + i + 64);
	}
	if (i + 64 <= n)
	{
		acc[0] = dot_u4_64(acc[0], u + i / 2, s + i);
		i += 64;
	}
	if (i < n)
	{
		memcpy(last_u, u + i / 2, (n - i + 31) / 32 * 16);
		memcpy(last_s, s + i, n - i);
		acc[1] = dot_u4_64(acc[1], last_u, last_s);
	}
	return sum_i32(_mm256_add_epi32(acc[0], acc[1]));
}

/* ---- one vector against many codes ---- */

#define ROWS 8					/* codes that share one load of the vector */

/* The sums of 8 vectors of 32-bit lanes. */
VP_INLINE __m256i
sums_of_8(const __m256i *v)
{
	__m256i		low = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
	__m256i		high = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]),
										 _mm256_hadd_epi32(v[6], v[7]));

	return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
							_mm256_permute2x128_si256(low, high, 0x31));
}

/* The addresses of ROWS codes; those beyond the last one repeat it. */
VP_INLINE void
row_addresses(const uint8_t *codes, size_t stride, size_t first, size_t count,
			  const uint8_t **rows)
{
	size_t		r;

	for (r = 0; r < ROWS; r++)
		rows[r] = codes + VP_MIN(first + r, count - 1) * stride;
}

/*
 * Adds to acc, in pairs, s where one of 32 code bits is set. A byte is spread
 * over the lanes of its bits; a set one becomes 1, the factor of VPMADDUBSW.
 */
VP_INLINE __m256i
add_selected(__m256i acc, uint32_t bits, __m256i s)
{
	const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
											  0x0303030303030303);
	const __m256i own = _mm256_set1_epi64x((int64_t) UINT64_C(0x8040201008040201));
	__m256i		x = _mm256_shuffle_epi8(_mm256_set1_epi32((int) bits), spread);

	x = _mm256_min_epu8(_mm256_and_si256(x, own), _mm256_set1_epi8(1));
	return _mm256_add_epi16(acc, _mm256_maddubs_epi16(x, s));
}

/* 32-bit sums of ROWS codes, from 16-bit ones spilled before they can overflow. */
VP_INLINE __m256i
selected_sums(const uint8_t *const *rows, const int8_t *s, size_t n)
{
	__m256i		total[ROWS];
	size_t		i = 0;
	int			r;

	for (r = 0; r < ROWS; r++)
		total[r] = _mm256_setzero_si256();
	while (i < n)
	{
		/* a pair of s adds 256 at most: 126 steps and the tail are 32,512 */
		size_t		stop = VP_MIN(n, i + 126 * 32);
		__m256i		acc[ROWS];

		for (r = 0; r < ROWS; r++)
			acc[r] = _mm256_setzero_si256();
		for (; i + 32 <= stop; i += 32)
		{
			__m256i		x = _mm256_loadu_si256((const __m256i *) (s + i));

#pragma GCC unroll 8
			for (r = 0; r < ROWS; r++)
				acc[r] = add_selected(acc[r], vk_get_u32(rows[r] + i / 8, 0), x);
		}
		if (i + 16 == n)
		{
			__m256i		x = _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *) (s + i)));

			for (r = 0; r < ROWS; r++)
				acc[r] = add_selected(acc[r], vk_get_u16(rows[r] + i / 8, 0), x);
			i = n;
		}
		for (r = 0; r < ROWS; r++)
			total[r] = _mm256_add_epi32(total[r], _mm256_madd_epi16(acc[r],
																	_mm256_set1_epi16(1)));
	}
	return sums_of_8(total);
}

static void
k_dots_u1s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	const uint8_t *rows[ROWS];
	size_t		i;

	for (i = 0; i < count; i += ROWS)
	{
		row_addresses(codes, stride, i, count, rows);
		_mm256_maskstore_epi32(out + i, first_lanes(count - i), selected_sums(rows, s, n));
	}
}

/*
 * A group of 64: bit pairs 0 and 1 in the two lanes of one vector, 2 and 3 in
 * another. 2 * 2 * 3 * 128 fits 16 bits.
 */
VP_INLINE __m256i
dot_u2_64(__m256i acc, const uint8_t *u, __m256i s0, __m256i s1)
{
	const __m256i odd = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
	__m256i		mask = _mm256_set1_epi8(3);
	__m256i		x = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) u));
	__m256i		y;

	x = _mm256_srlv_epi32(x, odd);
	y = _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
	x = _mm256_maddubs_epi16(_mm256_and_si256(x, mask), s0);
	y = _mm256_maddubs_epi16(y, s1);
	return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_add_epi16(x, y), _mm256_set1_epi16(1)));
}

static void
k_dots_u2s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	const uint8_t *rows[ROWS];
	int8_t		last[64] = {0};
	size_t		whole = n / 64 * 64;
	size_t		i;

	memcpy(last, s + whole, n - whole);
	for (i = 0; i < count; i += ROWS)
	{
		__m256i		acc[ROWS];
		size_t		d;
		int			r;

		row_addresses(codes, stride, i, count, rows);
		for (r = 0; r < ROWS; r++)
			acc[r] = _mm256_setzero_si256();
		for (d = 0; d < n; d += 64)
		{
			const int8_t *from = d < whole ? s + d : last;
			__m256i		s0 = _mm256_loadu_si256((const __m256i *) from);
			__m256i		s1 = _mm256_loadu_si256((const __m256i *) (from + 32));

			for (r = 0; r < ROWS; r++)
				acc[r] = dot_u2_64(acc[r], rows[r] + d / 4, s0, s1);
		}
		_mm256_maskstore_epi32(out + i, first_lanes(count - i), sums_of_8(acc));
	}
}

#undef ROWS

/* ---- L1 of bytes ---- */

static uint32_t
k_l1_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m256i		acc[2];
	uint8_t		last_a[32] = {0};
	uint8_t		last_b[32] = {0};
	size_t		i = 0;

	acc[0] = acc[1] = _mm256_setzero_si256();
	for (; i + 64 <= n; i += 64)
	{
		acc[0] = _mm256_add_epi32(acc[0], _mm256_sad_epu8(tp_load(a + i), tp_load(b + i)));
		acc[1] = _mm256_add_epi32(acc[1], _mm256_sad_epu8(tp_load(a + i + 32), tp_load(b + i + 32)));
	}
	if (i + 32 <= n)
	{
		acc[0] = _mm256_add_epi32(acc[0], _mm256_sad_epu8(tp_load(a + i), tp_load(b + i)));
		i += 32;
	}
	if (i < n)
	{
		memcpy(last_a, a + i, n - i);
		memcpy(last_b, b + i, n - i);
		acc[1] = _mm256_add_epi32(acc[1], _mm256_sad_epu8(tp_load(last_a), tp_load(last_b)));
	}
	return (uint32_t) sum_i32(_mm256_add_epi32(acc[0], acc[1]));
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
	__m256i		both;
	__m256i		odd;
} Sums16;

/* Adds one 16-byte group per 128-bit lane. */
VP_INLINE void
scan_step(Sums16 *low, Sums16 *high, __m256i codes, __m256i lut)
{
	__m256i		mask = _mm256_set1_epi8(15);
	__m256i		x = _mm256_shuffle_epi8(lut, _mm256_and_si256(codes, mask));
	__m256i		y = _mm256_shuffle_epi8(lut, _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask));

	low->both = _mm256_add_epi16(low->both, x);
	low->odd = _mm256_add_epi16(low->odd, _mm256_srli_epi16(x, 8));
	high->both = _mm256_add_epi16(high->both, y);
	high->odd = _mm256_add_epi16(high->odd, _mm256_srli_epi16(y, 8));
}

/* 8 rows: the two lanes hold the same rows of different groups. */
VP_INLINE __m256i
widen_add(__m256i total, __m256i sums)
{
	total = _mm256_add_epi32(total, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sums)));
	return _mm256_add_epi32(total, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sums, 1)));
}

/* Adds the sums to total[2], rows 0-7 and 8-15, and clears them. */
VP_INLINE void
spill(Sums16 *sums, __m256i *total)
{
	__m256i		even = _mm256_sub_epi16(sums->both, _mm256_slli_epi16(sums->odd, 8));

	total[0] = widen_add(total[0], even);
	total[1] = widen_add(total[1], sums->odd);
	sums->both = sums->odd = _mm256_setzero_si256();
}

static void
k_fastscan_32(const uint8_t *block, const uint8_t *lut, size_t groups, uint32_t *out)
{
	__m256i		total[4];
	Sums16		low;
	Sums16		high;
	size_t		g = 0;
	int			i;

	low.both = low.odd = high.both = high.odd = _mm256_setzero_si256();
	for (i = 0; i < 4; i++)
		total[i] = _mm256_setzero_si256();
	while (g + 2 <= groups)
	{
		/* 256 steps, and one for an odd last group: 257 * 255 = 65,535 */
		size_t		stop = VP_MIN(groups, g + 512);

#pragma GCC unroll 4
		for (; g + 2 <= stop; g += 2)
			scan_step(&low, &high, _mm256_loadu_si256((const __m256i *) (block + 16 * g)),
					  _mm256_loadu_si256((const __m256i *) (lut + 16 * g)));
		if (g + 2 <= groups)
		{
			spill(&low, total);
			spill(&high, total + 2);
		}
	}
	if (g < groups)
		scan_step(&low, &high,
				  _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *) (block + 16 * g))),
				  _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *) (lut + 16 * g))));
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
#define TILE_MR 6
#define TILE_NV 2
#define TILE_KC 256
#define TILE_V __m256
#define TILE_X __m256
#define TILE_VW 8
#define TILE_ZERO() _mm256_setzero_ps()
#define TILE_LOAD(p) _mm256_load_ps((const float *) (p))
#define TILE_BCAST(p) _mm256_broadcast_ss((const float *) (p))
#define TILE_FMA(x, b, acc) _mm256_fmadd_ps(x, b, acc)
#define TILE_STORE(c, v) _mm256_storeu_ps(c, v)
#define TILE_SUM(c, v) _mm256_add_ps(_mm256_loadu_ps(c), v)
#define TILE_WIDENS 0
#define TILE_COPY_A(from, n, to) memcpy(to, from, (n) * sizeof(float))
#define TILE_WORDS_B(p) tp_load(p)
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

/* Bytes become 16-bit words, zeros after the end if n is odd. */
static void
widen_u8(const uint8_t *from, size_t n, uint32_t *to)
{
	uint8_t		last[16] = {0};
	size_t		i;

	for (i = 0; i + 16 <= n; i += 16)
		_mm256_storeu_si256((__m256i *) (to + i / 2),
							_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) (from + i))));
	if (i < n)
	{
		memcpy(last, from + i, n - i);
		_mm256_storeu_si256((__m256i *) (to + i / 2),
							_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) last)));
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
#define TILE_MR 6
#define TILE_NV 2
#define TILE_KC 256
#define TILE_V __m256i
#define TILE_X __m256i
#define TILE_VW 8
#define TILE_ZERO() _mm256_setzero_si256()
#define TILE_LOAD(p) _mm256_load_si256((const __m256i *) (p))
#define TILE_BCAST(p) _mm256_set1_epi32((int) vk_get_u32(p, 0))
#define TILE_FMA(x, b, acc) _mm256_add_epi32(acc, _mm256_madd_epi16(x, b))
#define TILE_STORE(c, v) _mm256_storeu_si256((__m256i *) (c), v)
#define TILE_SUM(c, v) _mm256_add_epi32(_mm256_loadu_si256((const __m256i *) (c)), v)
#define TILE_WIDENS 1
#define TILE_COPY_A(from, n, to) widen_u8(from, n, to)
#define TILE_WORDS_B(p) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (p)))
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

#endif							/* __x86_64__ */
