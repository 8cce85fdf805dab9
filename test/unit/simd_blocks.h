/*
 * simd_blocks.h -- test cases of the kernels that write blocks: FastScan, the
 * estimate, tiles, rotation, conversions. Part of test_simd.c.
 *
 * What it is not: an interface; it holds one test_<kernel> per kernel.
 *
 * All but the float tile must give exactly the scalar level's result, or that
 * of a definition written here a second time.
 */
#ifndef VECPG_UNIT_SIMD_BLOCKS_H
#define VECPG_UNIT_SIMD_BLOCKS_H

#include "simd/levels.h"

#include "guard.h"
#include "simd_sums.h"

/* The layout is written here a second time, from the words of kernels.def. */
static void
test_fastscan_32(const VkTable *t)
{
	static const uint8_t perm[16] = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
	size_t		groups;
	int			r;
	int			j;

	for (groups = 0; groups <= 4000; groups += groups < 40 || groups % 256 > 254 ? 1 : 43)
	{
		uint8_t    *block = guarded(0, groups * 16, groups % 5);
		uint8_t    *lut = guarded(1, groups * 16, groups % 3);
		uint32_t   *out = guarded(2, 32 * sizeof(uint32_t), groups % 4);
		uint32_t	want[32] = {0};
		size_t		g;

		fill_bytes(lut, groups * 16, (int) groups, 255);
		for (g = 0; g < groups; g++)
		{
			uint8_t		nibble[32];

			for (r = 0; r < 32; r++)
			{
				nibble[r] = (uint8_t) unit_below(16);
				want[r] += lut[16 * g + nibble[r]];
			}
			for (j = 0; j < 16; j++)
				block[16 * g + j] = (uint8_t) (nibble[perm[j]] | nibble[16 + perm[j]] << 4);
		}
		t->fastscan_32(block, lut, groups, out);
		CHECK(memcmp(out, want, sizeof(want)) == 0, "%s fastscan_32 groups=%zu", t->name, groups);
		CHECK(canary_ok(2, sizeof(want), groups % 4), "%s fastscan_32 writes outside", t->name);
	}
}

/* Equal bits, or both NaN: the payload of a computed NaN is not promised. */
static bool
same_floats(const float *a, const float *b, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		x = vk_get_f32(a, i);
		float		y = vk_get_f32(b, i);

		if (memcmp(&x, &y, sizeof(x)) != 0 && !(x != x && y != y))
			return false;
	}
	return true;
}

static void
test_bit_estimate_32(const VkTable *t)
{
	int			round;
	int			r;

	for (round = 0; round < 200; round++)
	{
		size_t		shift = (size_t) round % 4;
		uint32_t   *sum = guarded(0, 32 * sizeof(uint32_t), shift);
		float	   *add = guarded(1, 32 * sizeof(float), shift);
		uint16_t   *scale = guarded(2, 32 * sizeof(uint16_t), shift);
		uint16_t   *err = guarded(3, 32 * sizeof(uint16_t), shift);
		float	   *est = guarded(4, 32 * sizeof(float), shift);
		float	   *low = guarded(5, 32 * sizeof(float), shift);
		float		gerr = round % 3 ? 3.0f : 0.0f;
		float		est0[32];
		float		low0[32];

		fill_f32(add, 32, FILL_NORMAL);
		fill_f16(scale, 32, FILL_NORMAL);
		fill_f16(err, 32, FILL_NORMAL);
		for (r = 0; r < 32; r++)
		{
			vk_put_u32(sum, r, unit_below(1u << (round % 31)));
			if (unit_below(4) == 0)
				vk_put_f32(add, r, INFINITY);
			if (unit_below(4) == 0)
				vk_put_u16(err, r, VK_HALF_INF);
			if (unit_below(4) == 0)
				vk_put_u16(scale, r, 0);
		}
		t->bit_estimate_32(sum, -1.5f, 0.37f, add, scale, err, 7.25f, gerr, est, low);
		vk_level_scalar.bit_estimate_32(sum, -1.5f, 0.37f, add, scale, err, 7.25f, gerr, est0, low0);
		CHECK(same_floats(est, est0, 32) && same_floats(low, low0, 32),
			  "%s bit_estimate_32 differs from scalar", t->name);
		for (r = 0; r < 32; r++)
		{
			float		e = vk_get_f32(est, r);
			float		l = vk_get_f32(low, r);

			if (vk_get_f32(add, r) == INFINITY)
				CHECK(e == INFINITY && l == INFINITY, "%s dead row %d: %g %g", t->name, r, e, l);
			else if (vk_get_u16(err, r) == VK_HALF_INF)
				CHECK(l == -INFINITY && e - e == 0, "%s unbounded row %d: %g %g", t->name, r, e, l);
			else
				CHECK(gerr > 0 ? e - l == e - l : e == l, "%s row %d: %g %g", t->name, r, e, l);
		}
		CHECK(canary_ok(4, 128, shift) && canary_ok(5, 128, shift),
			  "%s bit_estimate_32 writes outside", t->name);
	}
}

/* ---- tiles ---- */

typedef struct Shape
{
	size_t		m;
	size_t		n;
	size_t		k;
} Shape;

/* Edges of all register blocks, panels and k blocks, then two real shapes. */
static Shape
nth_shape(int i)
{
	static const size_t ms[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 17, 23};
	static const size_t ns[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 65, 3};
	static const size_t ks[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 31, 64, 127, 128, 129, 130, 255, 256,
	257, 511, 512, 513, 514, 515, 516, 767, 768, 1025};
	Shape		s;

	s.m = ms[i % 14];
	s.n = ns[i % 11];
	s.k = ks[i % 27];
	if (i == 0)
		s = (Shape) {64, 125, 256};
	if (i == 1)
		s = (Shape) {16, 10, 3072};
	return s;
}

#define NSHAPES 1000

static void
test_tile_f32(const VkTable *t)
{
	int			shape;
	size_t		i;
	size_t		j;

	for (shape = 0; shape < NSHAPES; shape++)
	{
		Shape		s = nth_shape(shape);
		size_t		lda = s.k + shape % 3;
		size_t		ldb = s.k + shape % 2 * 3;
		size_t		ldc = s.n + shape % 2;
		size_t		bytes = ((s.m - 1) * ldc + s.n) * sizeof(float);
		float	   *a = guarded(0, ((s.m - 1) * lda + s.k) * sizeof(float), shape % 4);
		float	   *b = guarded(1, ((s.n - 1) * ldb + s.k) * sizeof(float), shape % 5);
		float	   *c = guarded(2, bytes, 0);
		bool		ok = true;

		fill_f32(a, (s.m - 1) * lda + s.k, FILL_NORMAL);
		fill_f32(b, (s.n - 1) * ldb + s.k, shape % 4 ? FILL_NORMAL : FILL_SPECIAL);
		t->tile_f32(a, lda, s.m, b, ldb, s.n, s.k, c, ldc);
		for (i = 0; i < s.m; i++)
		{
			for (j = 0; j < s.n; j++)
			{
				double		abs;
				double		want = reference(DOT, false, a + i * lda, b + j * ldb, s.k, &abs);

				ok = ok && unit_near(c[i * ldc + j], want, TILE_TOL(t, s.k) * ULP * abs);
			}
		}
		CHECK(ok, "%s tile_f32 m=%zu n=%zu k=%zu", t->name, s.m, s.n, s.k);
		CHECK(canary_ok(2, bytes, 0), "%s tile_f32 writes outside", t->name);
	}
}

static void
test_tile_u8s8(const VkTable *t)
{
	int			shape;
	size_t		i;
	size_t		j;

	for (shape = 0; shape < NSHAPES; shape++)
	{
		Shape		s = nth_shape(shape);
		size_t		lda = s.k + shape % 3;
		size_t		ldb = s.k + shape % 2 * 3;
		size_t		ldc = s.n + shape % 2;
		size_t		bytes = ((s.m - 1) * ldc + s.n) * sizeof(int32_t);
		uint8_t    *a = guarded(0, (s.m - 1) * lda + s.k, shape % 4);
		int8_t	   *b = guarded(1, (s.n - 1) * ldb + s.k, shape % 5);
		int32_t    *c = guarded(2, bytes, 0);
		bool		ok = true;

		fill_bytes(a, (s.m - 1) * lda + s.k, shape, 255);
		fill_bytes(b, (s.n - 1) * ldb + s.k, shape, 128);
		t->tile_u8s8(a, lda, s.m, b, ldb, s.n, s.k, c, ldc);
		for (i = 0; i < s.m; i++)
		{
			for (j = 0; j < s.n; j++)
				ok = ok && c[i * ldc + j] ==
					vk_level_scalar.dot_u8s8(a + i * lda, b + j * ldb, s.k);
		}
		CHECK(ok, "%s tile_u8s8 m=%zu n=%zu k=%zu", t->name, s.m, s.n, s.k);
		CHECK(canary_ok(2, bytes, 0), "%s tile_u8s8 writes outside", t->name);
	}
}

/* ---- rotation and conversions ---- */

static void
test_hadamard_f32(const VkTable *t)
{
	size_t		n;
	size_t		i;

	for (n = 16; n <= 16384; n *= 2)
	{
		float	   *x = guarded(0, n * sizeof(float), n % 7);
		float	   *y = guarded(1, n * sizeof(float), 0);
		bool		inverse = true;

		fill_f32(x, n, FILL_NORMAL);
		memcpy(y, x, n * sizeof(float));
		t->hadamard_f32(x, n);
		vk_level_scalar.hadamard_f32(y, n);
		CHECK(same_floats(x, y, n), "%s hadamard_f32 n=%zu", t->name, n);
		CHECK(canary_ok(0, n * sizeof(float), n % 7), "%s hadamard_f32 writes outside", t->name);

		/* H H = n I */
		memcpy(y, x, n * sizeof(float));
		t->hadamard_f32(x, n);
		t->hadamard_f32(x, n);
		for (i = 0; i < n; i++)
			inverse = inverse &&
				fabs(vk_get_f32(x, i) / n - vk_get_f32(y, i)) <= 1e-5 * sqrt((double) n);
		CHECK(inverse, "%s hadamard_f32 twice, n=%zu", t->name, n);
	}
}

static void
test_flip_f32(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d);
		size_t		shift = nth_shift(d);
		float	   *x = guarded(0, n * sizeof(float), shift);
		float	   *want = guarded(1, n * sizeof(float), 0);
		uint8_t    *signs = guarded(2, (n + 7) / 8, 0);

		fill_f32(x, n, FILL_SPECIAL);
		fill_bytes(signs, (n + 7) / 8, 1, 0);
		for (i = 0; i < n; i++)
			vk_put_u32(want, i, vk_get_u32(x, i) ^
					   (uint32_t) (signs[i / 8] >> i % 8 & 1) << 31);
		t->flip_f32(x, signs, n);
		CHECK(memcmp(x, want, n * sizeof(float)) == 0, "%s flip_f32 n=%zu", t->name, n);
		CHECK(canary_ok(0, n * sizeof(float), shift), "%s flip_f32 writes outside", t->name);
	}
}

static void
test_signs_f32(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < 2 * NDIMS; d++)
	{
		size_t		n = nth_dim(d % NDIMS) / 16 * 16;
		size_t		shift = nth_shift(d);
		float	   *x = guarded(0, n * sizeof(float), shift);
		float	   *c = guarded(1, n * sizeof(float), nth_shift(d + 1));
		uint8_t    *code = guarded(2, n / 8, shift);
		float		sums[4];
		uint8_t		want_code[2000];
		float		want[4];
		double		plus = 0;

		fill_f32(x, n, d % 7 == 0 ? FILL_SPECIAL : FILL_NORMAL);
		fill_f32(c, n, FILL_NORMAL);
		for (i = 0; i < n; i += 5)	/* r = 0 */
			vk_put_f32(c, i, vk_get_f32(x, i));
		t->signs_f32(x, c, n, code, sums);
		vk_level_scalar.signs_f32(x, c, n, want_code, want);
		CHECK(memcmp(code, want_code, n / 8) == 0 && same_floats(sums, want, 4),
			  "%s signs_f32 n=%zu differs from scalar", t->name, n);
		CHECK(canary_ok(2, n / 8, shift), "%s signs_f32 writes outside", t->name);
		if (d % 7 == 0)
			continue;
		for (i = 0; i < n; i++)
		{
			bool		set = code[i / 8] >> i % 8 & 1;
			float		r = vk_get_f32(x, i) - vk_get_f32(c, i);

			CHECK(set == (r >= 0), "%s signs_f32 n=%zu bit %zu", t->name, n, i);
			plus += set ? vk_get_f32(c, i) : -vk_get_f32(c, i);
		}
		CHECK_NEAR(sums[2], plus, 1e-6 * (double) (n + 16));
	}
}

/* A half by its definition, independent of fp16.h; NaN is left out. */
static double
half_value(unsigned h)
{
	int			exponent = h >> 10 & 31;
	double		fraction = h & 1023;
	double		v = exponent == 31 ? INFINITY
		: exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);

	return h & 0x8000 ? -v : v;
}

static bool
half_is_nan(unsigned h)
{
	return (h & 0x7fff) > VK_HALF_INF;
}

static void
test_f16_to_f32(const VkTable *t)
{
	uint16_t   *in = guarded(0, 65536 * sizeof(uint16_t), 1);
	float	   *out = guarded(1, 65536 * sizeof(float), 3);
	unsigned	h;
	size_t		n;

	for (h = 0; h < 65536; h++)
		vk_put_u16(in, h, (uint16_t) h);
	t->f16_to_f32(in, out, 65536);
	for (h = 0; h < 65536; h++)
	{
		float		x = vk_get_f32(out, h);
		uint32_t	quiet = (h & 0x8000) << 16 | 0x7fc00000 | (h & 0x3ff) << 13;

		CHECK(half_is_nan(h) ? vk_get_u32(out, h) == quiet
			  : x == half_value(h) && !signbit(x) == (h < 0x8000),
			  "%s f16_to_f32 %04x", t->name, h);
	}
	for (n = 0; n <= 130; n++)
	{
		uint16_t   *half = guarded(0, n * sizeof(uint16_t), n % 3);
		float	   *to = guarded(1, n * sizeof(float), n % 5);

		fill_f16(half, n, FILL_NORMAL);
		t->f16_to_f32(half, to, n);
		CHECK(n == 0 || vk_get_f32(to, n - 1) == half_value(vk_get_u16(half, n - 1)),
			  "%s f16_to_f32 n=%zu", t->name, n);
		CHECK(canary_ok(1, n * sizeof(float), n % 5), "%s f16_to_f32 writes outside", t->name);
	}
}

/* The nearest half of a number; of two equally near ones the even. */
static unsigned
nearest_half(float x)
{
	unsigned	sign = signbit(x) ? 0x8000 : 0;
	double		mag = fabs((double) x);
	unsigned	below = 0;
	unsigned	bit;
	double		to_below;
	double		to_above;

	/* the largest half <= mag, by bits: positive halves are ordered as integers */
	for (bit = 0x4000; bit > 0; bit /= 2)
	{
		if (below + bit < VK_HALF_INF && half_value(below + bit) <= mag)
			below += bit;
	}
	to_below = mag - half_value(below);
	to_above = (below + 1 == VK_HALF_INF ? 65536.0 : half_value(below + 1)) - mag;
	if (to_above < to_below || (to_above == to_below && below % 2 == 1))
		below++;
	return sign | below;
}

static void
test_f32_to_f16(const VkTable *t)
{
	size_t		n;
	unsigned	h;
	size_t		i;

	/* around each half: itself, the halfway points, their neighbours */
	for (h = 0; h < 65536; h++)
	{
		float		x[5];
		uint16_t	out[5];

		if (half_is_nan(h) || h % 0x8000 == VK_HALF_INF)
			continue;
		x[0] = (float) half_value(h);
		x[1] = (float) ((fabs(half_value(h)) +
						 (h % 0x8000 == 0x7bff ? 65536.0 : half_value((h + 1) % 0x8000))) / 2);
		x[1] = copysignf(x[1], x[0]);
		x[2] = nextafterf(x[1], INFINITY);
		x[3] = nextafterf(x[1], -INFINITY);
		x[4] = nextafterf(x[0], 0.0f);
		t->f32_to_f16(x, out, 5);
		for (i = 0; i < 5; i++)
			CHECK(out[i] == nearest_half(x[i]), "%s f32_to_f16 %a", t->name, x[i]);
	}
	/* random bit patterns, NaNs too, as the software conversion */
	for (n = 0; n <= 2000; n++)
	{
		float	   *in = guarded(0, n * sizeof(float), n % 3);
		uint16_t   *out = guarded(1, n * sizeof(uint16_t), n % 5);
		bool		same = true;

		for (i = 0; i < n; i++)
			vk_put_u32(in, i, (uint32_t) (vp_rand(&unit_seed) >> 32));
		t->f32_to_f16(in, out, n);
		for (i = 0; i < n; i++)
		{
			float		x = vk_get_f32(in, i);

			same = same && vk_get_u16(out, i) == vk_float_to_half(x) &&
				(x != x || vk_get_u16(out, i) == nearest_half(x));
		}
		CHECK(same, "%s f32_to_f16 n=%zu", t->name, n);
		CHECK(canary_ok(1, n * sizeof(uint16_t), n % 5), "%s f32_to_f16 writes outside", t->name);
		n += n < 130 ? 0 : 110;
	}
}

static void
test_f32_to_s8(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d);
		float		mul = d % 2 ? 2.0f : 300.0f;
		size_t		shift = nth_shift(d);
		float	   *in = guarded(0, n * sizeof(float), shift);
		int8_t	   *out = guarded(1, n, shift);
		bool		ok = true;

		fill_f32(in, n, d % 3 ? FILL_NORMAL : FILL_SPECIAL);
		for (i = 0; mul == 2.0f && i < n; i++)	/* halves: ties to even */
			vk_put_f32(in, i, (float) (int) unit_below(600) / 4 - 75);
		t->f32_to_s8(in, mul, out, n);
		for (i = 0; i < n; i++)
		{
			float		x = vk_get_f32(in, i) * mul;
			double		want = x != x ? 0 : nearbyint(fmin(fmax(x, -127), 127));

			ok = ok && out[i] == want;
		}
		CHECK(ok, "%s f32_to_s8 n=%zu", t->name, n);
		CHECK(canary_ok(1, n, shift), "%s f32_to_s8 writes outside", t->name);
	}
}

#endif							/* VECPG_UNIT_SIMD_BLOCKS_H */
