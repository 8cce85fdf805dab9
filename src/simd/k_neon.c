/*
 * k_neon.c -- the kernels for Advanced SIMD of ARMv8-A, baseline on aarch64.
 *
 * What it is not: a user of the dot-product or I8MM extensions; the integer
 * kernels multiply to 16 or 32 bits, which every aarch64 CPU can.
 *
 * Float kernels come from t_float.h and t_tile.h; here are the primitives and
 * the integer kernels.
 */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "simd/fp16.h"
#include "simd/levels.h"

#define VK(ret, name, args) static ret k_##name args;
#include "simd/kernels.def"
#undef VK

const VkTable vk_level_neon =
{
#define VK(ret, name, args) .name = k_##name,
#include "simd/kernels.def"
#undef VK
	.name = "neon",
	.level = VK_NEON
};

/* ---- primitives of t_float.h ---- */

typedef float32x4_t VF;
typedef float64x2_t VD;

#define VF_WIDTH 4

#define v_zero() vdupq_n_f32(0)
#define v_set1(x) vdupq_n_f32(x)
#define v_add(a, b) vaddq_f32(a, b)
#define v_sub(a, b) vsubq_f32(a, b)
#define v_mul(a, b) vmulq_f32(a, b)
#define v_fma(a, b, acc) vfmaq_f32(acc, a, b)
#define v_abs(a) vabsq_f32(a)
#define v_sum(a) vaddvq_f32(a)
#define v_load(p) vld1q_f32(p)
#define v_store(p, v) vst1q_f32(p, v)

VP_INLINE VF
v_xor(VF a, VF b)
{
	return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

VP_INLINE VF
v_and(VF a, VF b)
{
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

VP_INLINE unsigned
v_sign_bits(VF a)
{
	static const int32_t up[4] = {0, 1, 2, 3};

	return vaddvq_u32(vshlq_u32(vshrq_n_u32(vreinterpretq_u32_f32(a), 31), vld1q_s32(up)));
}

VP_INLINE VF
v_load_tail(const float *p, size_t n)
{
	float		last[4] = {0};

	memcpy(last, p, n * sizeof(*p));
	return v_load(last);
}

VP_INLINE void
v_store_tail(float *p, VF v, size_t n)
{
	float		last[4];

	v_store(last, v);
	memcpy(p, last, n * sizeof(*p));
}

VP_INLINE VF
v_load_half(const uint16_t *p)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

VP_INLINE VF
v_load_half_tail(const uint16_t *p, size_t n)
{
	uint16_t	last[4] = {0};

	memcpy(last, p, n * sizeof(*p));
	return v_load_half(last);
}

VP_INLINE void
v_store_half(uint16_t *p, VF v)
{
	vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

VP_INLINE void
v_store_half_tail(uint16_t *p, VF v, size_t n)
{
	uint16_t	last[4];

	v_store_half(last, v);
	memcpy(p, last, n * sizeof(*p));
}

/* Four bytes as 16-bit lanes. */
VP_INLINE uint16x4_t
widen4(uint32_t bytes)
{
	return vget_low_u16(vmovl_u8(vcreate_u8(bytes)));
}

VP_INLINE VF
v_load_u8(const uint8_t *p)
{
	return vcvtq_f32_u32(vmovl_u16(widen4(vk_get_u32(p, 0))));
}

VP_INLINE VF
v_load_u8_tail(const uint8_t *p, size_t n)
{
	uint32_t	last = 0;

	memcpy(&last, p, n);
	return v_load_u8((const uint8_t *) &last);
}

VP_INLINE VF
v_load_u32(const uint32_t *p)
{
	return vcvtq_f32_u32(vld1q_u32(p));
}

VP_INLINE VF
v_number_or_zero(VF x)
{
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vceqq_f32(x, x)));
}

VP_INLINE VF
v_clamp(VF x, VF lo, VF hi)
{
	return vminq_f32(vmaxq_f32(x, lo), hi);
}

VP_INLINE VF
v_where_inf(VF test, VF yes, VF no)
{
	return vbslq_f32(vceqq_f32(test, v_set1(__builtin_inff())), yes, no);
}

VP_INLINE void
v_store_s8_tail(int8_t *p, VF v, size_t n)
{
	int16x4_t	words = vqmovn_s32(vcvtnq_s32_f32(v));
	int8_t		last[8];

	vst1_s8(last, vqmovn_s16(vcombine_s16(words, words)));
	memcpy(p, last, n);
}

VP_INLINE void
v_store_s8(int8_t *p, VF v)
{
	v_store_s8_tail(p, v, 4);
}

VP_INLINE VF
v_signs(unsigned bits)
{
	static const int32_t up[4] = {31, 30, 29, 28};
	uint32x4_t	x = vshlq_u32(vdupq_n_u32(bits), vld1q_s32(up));

	return vreinterpretq_f32_u32(vandq_u32(x, vdupq_n_u32(0x80000000)));
}

VP_INLINE VF
v_hadamard(VF x)
{
	/* partner + (first of a butterfly ? x : -x) */
	x = v_add(vrev64q_f32(x), v_xor(x, v_signs(0xa)));
	return v_add(vextq_f32(x, x, 2), v_xor(x, v_signs(0xc)));
}

/* 16 bytes to 16 floats. */
VP_INLINE void
bytes_to_floats(uint8x16_t x, VF *to)
{
	uint16x8_t	lo = vmovl_u8(vget_low_u8(x));
	uint16x8_t	hi = vmovl_high_u8(x);

	to[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(lo)));
	to[1] = vcvtq_f32_u32(vmovl_high_u16(lo));
	to[2] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(hi)));
	to[3] = vcvtq_f32_u32(vmovl_high_u16(hi));
}

VP_INLINE void
v_unpack_u4(const uint8_t *p, VF *low, VF *high)
{
	uint8x16_t	x = vld1q_u8(p);

	bytes_to_floats(vandq_u8(x, vdupq_n_u8(15)), low);
	bytes_to_floats(vshrq_n_u8(x, 4), high);
}

VP_INLINE void
v_unpack_u2(const uint8_t *p, int part, VF *x)
{
	uint8x16_t	u = vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t) (-2 * part)));

	bytes_to_floats(vandq_u8(u, vdupq_n_u8(3)), x);
}

VP_INLINE void
v_clear64(VD *acc)
{
	acc[0] = acc[1] = acc[2] = acc[3] = vdupq_n_f64(0);
}

VP_INLINE void
v_square64(VF x, VD *acc)
{
	VD			lo = vcvt_f64_f32(vget_low_f32(x));
	VD			hi = vcvt_high_f64_f32(x);

	acc[0] = vfmaq_f64(acc[0], lo, lo);
	acc[1] = vfmaq_f64(acc[1], hi, hi);
}

VP_INLINE double
v_sum64(const VD *acc)
{
	return vaddvq_f64(vaddq_f64(vaddq_f64(acc[0], acc[1]), vaddq_f64(acc[2], acc[3])));
}

#include "simd/t_float.h"

/* ---- integer dots ---- */

/* 16 products; two accumulators, because VMLAL has a latency of its own. */
VP_INLINE void
dot16(int32x4_t *acc, uint8x16_t u, int8x16_t s)
{
	int16x8_t	u0 = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(u)));
	int16x8_t	u1 = vreinterpretq_s16_u16(vmovl_high_u8(u));
	int16x8_t	s0 = vmovl_s8(vget_low_s8(s));
	int16x8_t	s1 = vmovl_high_s8(s);

	acc[0] = vmlal_s16(acc[0], vget_low_s16(u0), vget_low_s16(s0));
	acc[1] = vmlal_high_s16(acc[1], u0, s0);
	acc[2] = vmlal_s16(acc[2], vget_low_s16(u1), vget_low_s16(s1));
	acc[3] = vmlal_high_s16(acc[3], u1, s1);
}

static int32_t
k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n)
{
	int32x4_t	acc[4];
	uint8_t		last_u[16] = {0};
	int8_t		last_s[16] = {0};
	size_t		i;

	acc[0] = acc[1] = acc[2] = acc[3] = vdupq_n_s32(0);
	for (i = 0; i + 16 <= n; i += 16)
		dot16(acc, vld1q_u8(u + i), vld1q_s8(s + i));
	if (i < n)
	{
		memcpy(last_u, u + i, n - i);
		memcpy(last_s, s + i, n - i);
		dot16(acc, vld1q_u8(last_u), vld1q_s8(last_s));
	}
	return vaddvq_s32(vaddq_s32(vaddq_s32(acc[0], acc[1]), vaddq_s32(acc[2], acc[3])));
}

/* 16 products with a nibble: 2 * 15 * 128 fits 16 bits. */
VP_INLINE int32x4_t
dot_nibbles(int32x4_t acc, uint8x16_t nibbles, int8x16_t s)
{
	int8x16_t	u = vreinterpretq_s8_u8(nibbles);
	int16x8_t	x = vmull_s8(vget_low_s8(u), vget_low_s8(s));

	return vpadalq_s16(acc, vmlal_high_s8(x, u, s));
}

static int32_t
k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n)
{
	int32x4_t	low = vdupq_n_s32(0);
	int32x4_t	high = vdupq_n_s32(0);
	size_t		i;

	for (i = 0; i + 16 <= n; i += 32)
	{
		uint8x16_t	x = vld1q_u8(u + i / 2);

		low = dot_nibbles(low, vandq_u8(x, vdupq_n_u8(15)), vld1q_s8(s + i));
		if (i + 32 <= n)
			high = dot_nibbles(high, vshrq_n_u8(x, 4), vld1q_s8(s + i + 16));
	}
	return vaddvq_s32(vaddq_s32(low, high));
}

/* ---- one vector against many codes ---- */

#define ROWS 4					/* codes that share one load of the vector */

/* The addresses of ROWS codes; those beyond the last one repeat it. */
VP_INLINE void
row_addresses(const uint8_t *codes, size_t stride, size_t first, size_t count,
			  const uint8_t **rows)
{
	size_t		r;

	for (r = 0; r < ROWS; r++)
		rows[r] = codes + VP_MIN(first + r, count - 1) * stride;
}

VP_INLINE void
store_sums(int32_t *out, size_t count, const int32x4_t *acc)
{
	size_t		r;

	for (r = 0; r < VP_MIN(count, ROWS); r++)
		vk_put_u32(out, r, (uint32_t) vaddvq_s32(acc[r]));
}

static void
k_dots_u1s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	const uint8x16_t own = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
	const uint8_t *rows[ROWS];
	size_t		i;

	for (i = 0; i < count; i += ROWS)
	{
		int32x4_t	acc[ROWS];
		size_t		d;
		int			r;

		row_addresses(codes, stride, i, count, rows);
		for (r = 0; r < ROWS; r++)
			acc[r] = vdupq_n_s32(0);
		for (d = 0; d < n; d += 16)
		{
			int8x16_t	x = vld1q_s8(s + d);

			for (r = 0; r < ROWS; r++)
			{
				const uint8_t *u = rows[r] + d / 8;
				uint8x16_t	set = vtstq_u8(vcombine_u8(vdup_n_u8(u[0]), vdup_n_u8(u[1])), own);

				acc[r] = vpadalq_s16(acc[r], vpaddlq_s8(vandq_s8(x, vreinterpretq_s8_u8(set))));
			}
		}
		store_sums(out + i, count - i, acc);
	}
}

static void
k_dots_u2s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	const uint8_t *rows[ROWS];
	size_t		i;

	for (i = 0; i < count; i += ROWS)
	{
		int32x4_t	acc[ROWS];
		size_t		d;
		int			r;

		row_addresses(codes, stride, i, count, rows);
		for (r = 0; r < ROWS; r++)
			acc[r] = vdupq_n_s32(0);
		for (d = 0; d < n; d += 16)
		{
			int8x16_t	x = vld1q_s8(s + d);
			int8x16_t	right = vdupq_n_s8((int8_t) -(d % 64 / 8));

			for (r = 0; r < ROWS; r++)
			{
				uint8x16_t	u = vshlq_u8(vld1q_u8(rows[r] + d / 64 * 16), right);

				acc[r] = dot_nibbles(acc[r], vandq_u8(u, vdupq_n_u8(3)), x);
			}
		}
		store_sums(out + i, count - i, acc);
	}
}

#undef ROWS

/* ---- L1 of bytes ---- */

static uint32_t
k_l1_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint32x4_t	acc = vdupq_n_u32(0);
	uint32_t	last = 0;
	size_t		i;

	for (i = 0; i + 16 <= n; i += 16)
		acc = vpadalq_u16(acc, vpaddlq_u8(vabdq_u8(vld1q_u8(a + i), vld1q_u8(b + i))));
	for (; i < n; i++)
		last += (uint32_t) (a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
	return vaddvq_u32(acc) + last;
}

/* ---- FastScan ---- */

/*
 * Sums of 16 rows in 16-bit lanes. A table value is added together with its
 * right neighbour shifted by 8 (`both`), and the neighbour alone (`odd`); the
 * even rows are the difference, right modulo 2^16.
 */
typedef struct Sums16
{
	uint16x8_t	both;
	uint16x8_t	odd;
} Sums16;

VP_INLINE void
scan_step(Sums16 *sums, uint8x16_t lut, uint8x16_t nibbles)
{
	uint16x8_t	x = vreinterpretq_u16_u8(vqtbl1q_u8(lut, nibbles));

	sums->both = vaddq_u16(sums->both, x);
	sums->odd = vsraq_n_u16(sums->odd, x, 8);
}

VP_INLINE void
widen_add(uint32x4_t *total, uint16x8_t sums)
{
	total[0] = vaddw_u16(total[0], vget_low_u16(sums));
	total[1] = vaddw_high_u16(total[1], sums);
}

/* Adds the sums to total[4], rows 0-7 and 8-15, and clears them. */
VP_INLINE void
spill(Sums16 *sums, uint32x4_t *total)
{
	widen_add(total, vsubq_u16(sums->both, vshlq_n_u16(sums->odd, 8)));
	widen_add(total + 2, sums->odd);
	sums->both = sums->odd = vdupq_n_u16(0);
}

static void
k_fastscan_32(const uint8_t *block, const uint8_t *lut, size_t groups, uint32_t *out)
{
	uint32x4_t	total[8];
	Sums16		low;
	Sums16		high;
	size_t		g = 0;
	int			i;

	low.both = low.odd = high.both = high.odd = vdupq_n_u16(0);
	for (i = 0; i < 8; i++)
		total[i] = vdupq_n_u32(0);
	while (g < groups)
	{
		/* 256 * 255 fits 16 bits */
		size_t		stop = VP_MIN(groups, g + 256);

		for (; g < stop; g++)
		{
			uint8x16_t	codes = vld1q_u8(block + 16 * g);
			uint8x16_t	table = vld1q_u8(lut + 16 * g);

			scan_step(&low, table, vandq_u8(codes, vdupq_n_u8(15)));
			scan_step(&high, table, vshrq_n_u8(codes, 4));
		}
		spill(&low, total);
		spill(&high, total + 4);
	}
	for (i = 0; i < 8; i++)
		vst1q_u32(out + 4 * i, total[i]);
}

/* ---- tiles ---- */

#define TP uint32x4_t
#define TP_WIDTH 4

VP_INLINE TP
tp_zero(void)
{
	return vdupq_n_u32(0);
}

/* Word i of rows[c] goes to to[i * stride + c]. */
VP_INLINE void
tp_transpose_store(const TP *rows, uint32_t *to, size_t stride)
{
	uint64x2_t	a = vreinterpretq_u64_u32(vtrn1q_u32(rows[0], rows[1]));
	uint64x2_t	b = vreinterpretq_u64_u32(vtrn2q_u32(rows[0], rows[1]));
	uint64x2_t	c = vreinterpretq_u64_u32(vtrn1q_u32(rows[2], rows[3]));
	uint64x2_t	d = vreinterpretq_u64_u32(vtrn2q_u32(rows[2], rows[3]));

	vst1q_u32(to, vreinterpretq_u32_u64(vtrn1q_u64(a, c)));
	vst1q_u32(to + stride, vreinterpretq_u32_u64(vtrn1q_u64(b, d)));
	vst1q_u32(to + 2 * stride, vreinterpretq_u32_u64(vtrn2q_u64(a, c)));
	vst1q_u32(to + 3 * stride, vreinterpretq_u32_u64(vtrn2q_u64(b, d)));
}

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
#define TILE_KC 256
#define TILE_V float32x4_t
#define TILE_X float32x4_t
#define TILE_VW 4
#define TILE_ZERO() vdupq_n_f32(0)
#define TILE_LOAD(p) vreinterpretq_f32_u32(vld1q_u32(p))
#define TILE_BCAST(p) vdupq_n_f32(vk_get_f32(p, 0))
#define TILE_FMA(x, b, acc) vfmaq_f32(acc, x, b)
#define TILE_STORE(c, v) vst1q_f32(c, v)
#define TILE_SUM(c, v) vaddq_f32(vld1q_f32(c), v)
#define TILE_WIDENS 0
#define TILE_COPY_A(from, n, to) memcpy(to, from, (n) * sizeof(float))
#define TILE_WORDS_B(p) vreinterpretq_u32_f32(vld1q_f32(p))
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

/*
 * A word is two 16-bit elements. VMLAL keeps their products apart, so an
 * accumulator of 4 columns has 8 lanes; the pairs are added at the end.
 */
typedef struct Pairs
{
	int32x4_t	low;
	int32x4_t	high;
} Pairs;

VP_INLINE Pairs
pairs_zero(void)
{
	Pairs		p;

	p.low = p.high = vdupq_n_s32(0);
	return p;
}

VP_INLINE Pairs
pairs_fma(int16x8_t x, int16x8_t b, Pairs acc)
{
	acc.low = vmlal_s16(acc.low, vget_low_s16(x), vget_low_s16(b));
	acc.high = vmlal_high_s16(acc.high, x, b);
	return acc;
}

VP_INLINE void
pairs_store(int32_t *c, Pairs p)
{
	vst1q_s32(c, vpaddq_s32(p.low, p.high));
}

/* Adds 4 results of an earlier block, one to each pair. */
VP_INLINE Pairs
pairs_sum(const int32_t *c, Pairs p)
{
	int32x4_t	old = vld1q_s32(c);

	p.low = vaddq_s32(p.low, vzip1q_s32(old, vdupq_n_s32(0)));
	p.high = vaddq_s32(p.high, vzip2q_s32(old, vdupq_n_s32(0)));
	return p;
}

/* Bytes become 16-bit words, zeros after the end if n is odd. */
static void
widen_u8(const uint8_t *from, size_t n, uint32_t *to)
{
	uint8_t		last[8] = {0};
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
		vst1q_u32(to + i / 2, vreinterpretq_u32_u16(vmovl_u8(vld1_u8(from + i))));
	if (i < n)
	{
		memcpy(last, from + i, n - i);
		vst1q_u32(to + i / 2, vreinterpretq_u32_u16(vmovl_u8(vld1_u8(last))));
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
#define TILE_MR 4
#define TILE_NV 2
#define TILE_KC 256
#define TILE_V Pairs
#define TILE_X int16x8_t
#define TILE_VW 4
#define TILE_ZERO() pairs_zero()
#define TILE_LOAD(p) vreinterpretq_s16_u32(vld1q_u32(p))
#define TILE_BCAST(p) vreinterpretq_s16_u32(vdupq_n_u32(vk_get_u32(p, 0)))
#define TILE_FMA(x, b, acc) pairs_fma(x, b, acc)
#define TILE_STORE(c, v) pairs_store(c, v)
#define TILE_SUM(c, v) pairs_sum(c, v)
#define TILE_WIDENS 1
#define TILE_COPY_A(from, n, to) widen_u8(from, n, to)
#define TILE_WORDS_B(p) vreinterpretq_u32_s16(vmovl_s8(vld1_s8(p)))
#define TILE_MIN_ROWS 4
#include "simd/t_tile.h"

#endif							/* __aarch64__ */
