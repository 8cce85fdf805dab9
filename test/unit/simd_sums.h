/*
 * simd_sums.h -- test cases of the kernels that return a sum: pairs, one to
 * many, and dots of codes. Part of test_simd.c.
 *
 * What it is not: an interface; it holds one test_<kernel> per kernel.
 *
 * The reference is computed in float64; a float32 kernel may differ by the
 * rounding bound of its own order of additions.
 */
#ifndef VECPG_UNIT_SIMD_SUMS_H
#define VECPG_UNIT_SIMD_SUMS_H

#include "simd/levels.h"

#include "guard.h"

#define ULP 0x1p-24				/* half an ulp of 1 in float32 */

/* Levels add at least 8 lanes side by side; scalar adds one after another. */
#define SUM_TOL(t, n) (((t)->level == VK_SCALAR ? (n) : (n) / 8.0) + 32)
/* A tile adds in order within a block of at most 256, then over the blocks. */
#define TILE_TOL(t, k) ((t)->level == VK_SCALAR ? (k) + 32.0 : VP_MIN(k, 256) + (k) / 128.0 + 32)

/* ---- dimensions ---- */

static const size_t big_dims[] = {255, 256, 257, 768, 1536, 3072, 16000};

#define SMALL_DIMS 131			/* 0 .. 130 */
#define NDIMS (SMALL_DIMS + sizeof(big_dims) / sizeof(big_dims[0]))

static size_t
nth_dim(size_t i)
{
	return i < SMALL_DIMS ? i : big_dims[i - SMALL_DIMS];
}

/* Odd addresses for most dims, element-aligned ones for the rest. */
static size_t
nth_shift(size_t i)
{
	return i % 4 == 0 ? 0 : i % 7;
}

/* ---- pairs ---- */

typedef enum Op
{
	L2SQ,
	DOT,
	L1
} Op;

static double
term(Op op, double x, double y)
{
	if (op == DOT)
		return x * y;
	return op == L2SQ ? (x - y) * (x - y) : fabs(x - y);
}

/* The exact value and, in *abs, the sum of absolute terms. */
static double
reference(Op op, bool half, const void *a, const void *b, size_t n, double *abs)
{
	double		sum = 0;
	size_t		i;

	*abs = 0;
	for (i = 0; i < n; i++)
	{
		double		x = half ? vk_half_to_float(vk_get_u16(a, i)) : vk_get_f32(a, i);
		double		y = half ? vk_half_to_float(vk_get_u16(b, i)) : vk_get_f32(b, i);
		double		v = term(op, x, y);

		sum += v;
		*abs += fabs(v);
	}
	return sum;
}

typedef float (*PairF32) (const float *a, const float *b, size_t n);
typedef float (*PairF16) (const uint16_t *a, const uint16_t *b, size_t n);

static void
check_sum(const VkTable *t, const char *name, size_t n, double got, double want, double abs)
{
	CHECK(unit_near(got, want, SUM_TOL(t, n) * ULP * abs), "%s %s n=%zu: %.9g, not %.9g",
		  t->name, name, n, got, want);
}

static void
check_pair(const VkTable *t, const char *name, Op op, PairF32 f32, PairF16 f16)
{
	size_t		size = f16 ? sizeof(uint16_t) : sizeof(float);
	size_t		d;
	int			kind;

	for (d = 0; d < NDIMS; d++)
	{
		for (kind = 0; kind < FILL_KINDS; kind++)
		{
			size_t		n = nth_dim(d);
			void	   *a = guarded(0, n * size, nth_shift(d));
			void	   *b = guarded(1, n * size, nth_shift(d + 3));
			double		abs;
			double		want;

			if (f16)
			{
				fill_f16(a, n, kind);
				fill_f16(b, n, kind);
			}
			else
			{
				fill_f32(a, n, kind);
				fill_f32(b, n, kind);
			}
			want = reference(op, f16 != NULL, a, b, n, &abs);
			check_sum(t, name, n, f16 ? f16(a, b, n) : f32(a, b, n), want, abs);
		}
	}
}

static void
test_l2sq_f32(const VkTable *t)
{
	check_pair(t, "l2sq_f32", L2SQ, t->l2sq_f32, NULL);
}

static void
test_dot_f32(const VkTable *t)
{
	check_pair(t, "dot_f32", DOT, t->dot_f32, NULL);
}

static void
test_l1_f32(const VkTable *t)
{
	check_pair(t, "l1_f32", L1, t->l1_f32, NULL);
}

static void
test_l2sq_f16(const VkTable *t)
{
	check_pair(t, "l2sq_f16", L2SQ, NULL, t->l2sq_f16);
}

static void
test_dot_f16(const VkTable *t)
{
	check_pair(t, "dot_f16", DOT, NULL, t->dot_f16);
}

static void
test_l1_f16(const VkTable *t)
{
	check_pair(t, "l1_f16", L1, NULL, t->l1_f16);
}

static void
check_cos(const VkTable *t, bool half)
{
	size_t		size = half ? sizeof(uint16_t) : sizeof(float);
	size_t		d;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d);
		void	   *v[2];
		float		out[3];
		int			i;

		for (i = 0; i < 2; i++)
		{
			v[i] = guarded(i, n * size, nth_shift(d + i));
			if (half)
				fill_f16(v[i], n, d % 5 == 0 ? FILL_SPECIAL : FILL_NORMAL);
			else
				fill_f32(v[i], n, d % 5 == 0 ? FILL_SPECIAL : FILL_NORMAL);
		}
		if (half)
			t->cos_f16(v[0], v[1], n, out);
		else
			t->cos_f32(v[0], v[1], n, out);
		for (i = 0; i < 3; i++)
		{
			double		abs;
			double		want = reference(DOT, half, v[i == 2], v[i != 1], n, &abs);

			check_sum(t, half ? "cos_f16" : "cos_f32", n, out[i], want, abs);
		}
	}
}

static void
test_cos_f32(const VkTable *t)
{
	check_cos(t, false);
}

static void
test_cos_f16(const VkTable *t)
{
	check_cos(t, true);
}

static void
test_norm2_f32(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d);
		float	   *a = guarded(0, n * sizeof(float), nth_shift(d));
		double		want = 0;

		fill_f32(a, n, FILL_NORMAL);
		for (i = 0; d % 2 && i < n; i++)
			vk_put_f32(a, i, vk_get_f32(a, i) * 3e38f);
		for (i = 0; i < n; i++)
			want += (double) vk_get_f32(a, i) * vk_get_f32(a, i);
		CHECK(unit_near(t->norm2_f32(a, n), want, want * (n + 4) * 0x1p-53),
			  "%s norm2_f32 n=%zu", t->name, n);
	}
}

/* ---- one to many ---- */

typedef void (*ManyF32) (const float *q, const void *base, size_t stride, size_t n,
						 size_t count, float *out);

static void
check_many(const VkTable *t, const char *name, Op op, ManyF32 many)
{
	size_t		d;
	size_t		r;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d);
		size_t		count = n > 4000 ? 5 : d % 11;
		size_t		stride = n * sizeof(float) + d % 3 * 5;
		size_t		bytes = count ? (count - 1) * stride + n * sizeof(float) : 0;
		size_t		shift = nth_shift(d);
		float	   *q = guarded(0, n * sizeof(float), shift);
		char	   *rows = guarded(1, bytes, shift);
		float	   *out = guarded(2, count * sizeof(float), shift);

		fill_f32(q, n, FILL_NORMAL);
		for (r = 0; r < count; r++)
			fill_f32((float *) (rows + r * stride), n, d % 4 == 1 ? FILL_SPECIAL : FILL_NORMAL);
		many(q, rows, stride, n, count, out);
		for (r = 0; r < count; r++)
		{
			double		abs;
			double		want = reference(op, false, q, rows + r * stride, n, &abs);

			check_sum(t, name, n, vk_get_f32(out, r), want, abs);
		}
		CHECK(canary_ok(2, count * sizeof(float), shift), "%s %s writes outside", t->name, name);
	}
}

static void
test_l2sq_f32_many(const VkTable *t)
{
	check_many(t, "l2sq_f32_many", L2SQ, t->l2sq_f32_many);
}

static void
test_dot_f32_many(const VkTable *t)
{
	check_many(t, "dot_f32_many", DOT, t->dot_f32_many);
}

static void
test_l1_f32_many(const VkTable *t)
{
	check_many(t, "l1_f32_many", L1, t->l1_f32_many);
}

/* ---- codes ---- */

static int
code_u4(const uint8_t *u, size_t i)
{
	return u[i / 32 * 16 + i % 16] >> i % 32 / 16 * 4 & 15;
}

static int
code_u2(const uint8_t *u, size_t i)
{
	return u[i / 64 * 16 + i % 16] >> i % 64 / 16 * 2 & 3;
}

static int
code_u1(const uint8_t *u, size_t i)
{
	return u[i / 8] >> i % 8 & 1;
}

/* Integer and float dots of 8-bit (width 8) or 4-bit codes. */
static void
check_codes(const VkTable *t, int width, bool floats)
{
	size_t		d;
	size_t		i;
	int			kind;

	for (d = 0; d < NDIMS; d++)
	{
		for (kind = 0; kind < 4; kind++)
		{
			/* 16,384 is the longest exact dot */
			size_t		n = d + 1 == NDIMS && kind == 0 ? 16384 : nth_dim(d);
			size_t		bytes = width == 8 ? n : (n + 31) / 32 * 16;
			uint8_t    *u = guarded(0, bytes, nth_shift(d));
			int8_t	   *s = guarded(1, n, nth_shift(d + 1));
			float	   *y = guarded(2, n * sizeof(float), nth_shift(d + 2));
			int32_t		isum = 0;
			double		fsum = 0;
			double		abs = 0;

			if (width == 4 && n % 16 != 0)
				continue;
			fill_bytes(u, bytes, kind, 255);
			fill_bytes(s, n, kind, kind ? 127 : 128);
			fill_f32(y, n, FILL_NORMAL);
			for (i = 0; i < n; i++)
			{
				int			c = width == 8 ? u[i] : code_u4(u, i);

				isum += c * s[i];
				fsum += (double) c * vk_get_f32(y, i);
				abs += fabs((double) c * vk_get_f32(y, i));
			}
			if (floats)
				check_sum(t, width == 8 ? "dot_u8f32" : "dot_u4f32", n,
						  width == 8 ? t->dot_u8f32(u, y, n) : t->dot_u4f32(u, y, n), fsum, abs);
			else
				CHECK((width == 8 ? t->dot_u8s8(u, s, n) : t->dot_u4s8(u, s, n)) == isum,
					  "%s dot_u%ds8 n=%zu", t->name, width, n);
		}
	}
}

static void
test_dot_u8s8(const VkTable *t)
{
	check_codes(t, 8, false);
}

static void
test_dot_u4s8(const VkTable *t)
{
	check_codes(t, 4, false);
}

static void
test_dot_u8f32(const VkTable *t)
{
	check_codes(t, 8, true);
}

static void
test_dot_u4f32(const VkTable *t)
{
	check_codes(t, 4, true);
}

static void
test_dot_u2f32(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < NDIMS; d++)
	{
		size_t		n = nth_dim(d) / 16 * 16;
		size_t		bytes = (n + 63) / 64 * 16;
		uint8_t    *u = guarded(0, bytes, nth_shift(d));
		float	   *y = guarded(1, n * sizeof(float), nth_shift(d + 1));
		double		sum = 0;
		double		abs = 0;

		fill_bytes(u, bytes, (int) d, 255);
		fill_f32(y, n, FILL_NORMAL);
		for (i = 0; i < n; i++)
		{
			sum += (double) code_u2(u, i) * vk_get_f32(y, i);
			abs += fabs((double) code_u2(u, i) * vk_get_f32(y, i));
		}
		check_sum(t, "dot_u2f32", n, t->dot_u2f32(u, y, n), sum, abs);
	}
}

/* ---- one vector against many codes ---- */

static void
check_dots(const VkTable *t, int width)
{
	size_t		d;
	size_t		i;
	size_t		r;

	for (d = 0; d < 3 * NDIMS; d++)
	{
		/* 16,384 is the longest exact dot */
		size_t		n = d + 1 == NDIMS ? 16384 : nth_dim(d % NDIMS) / 16 * 16;
		size_t		count = d % 37 == 36 ? 256 : n > 4000 ? 3 : d % 37;
		size_t		bytes = width == 1 ? n / 8 : (n + 63) / 64 * 16;
		size_t		stride = bytes + d % 3 * 5;
		size_t		used = count ? (count - 1) * stride + bytes : 0;
		size_t		shift = nth_shift(d);
		uint8_t    *codes = guarded(0, used, shift);
		int8_t	   *s = guarded(1, n, nth_shift(d + 1));
		int32_t    *out = guarded(2, count * sizeof(int32_t), shift);
		bool		same = true;

		fill_bytes(codes, used, (int) d, 255);
		fill_bytes(s, n, (int) d / 2, d % 2 ? 127 : 128);
		if (width == 1)
			t->dots_u1s8(codes, stride, count, s, n, out);
		else
			t->dots_u2s8(codes, stride, count, s, n, out);
		for (r = 0; r < count; r++)
		{
			const uint8_t *u = codes + r * stride;
			int32_t		sum = 0;

			for (i = 0; i < n; i++)
				sum += (width == 1 ? code_u1(u, i) : code_u2(u, i)) * s[i];
			same = same && (int32_t) vk_get_u32(out, r) == sum;
		}
		CHECK(same, "%s dots_u%ds8 n=%zu count=%zu", t->name, width, n, count);
		CHECK(canary_ok(2, count * sizeof(int32_t), shift), "%s dots_u%ds8 writes outside",
			  t->name, width);
	}
}

static void
test_dots_u1s8(const VkTable *t)
{
	check_dots(t, 1);
}

static void
test_dots_u2s8(const VkTable *t)
{
	check_dots(t, 2);
}

/* ---- L1 of byte codes ---- */

static void
test_l1_u8u8(const VkTable *t)
{
	size_t		d;
	size_t		i;

	for (d = 0; d < 3 * NDIMS; d++)
	{
		size_t		n = nth_dim(d % NDIMS);
		uint8_t    *a = guarded(0, n, nth_shift(d));
		uint8_t    *b = guarded(1, n, nth_shift(d + 1));
		uint32_t	sum = 0;

		fill_bytes(a, n, (int) d, 255);
		fill_bytes(b, n, (int) d % 2, 0);
		for (i = 0; i < n; i++)
			sum += (uint32_t) abs(a[i] - b[i]);
		CHECK(t->l1_u8u8(a, b, n) == sum, "%s l1_u8u8 n=%zu", t->name, n);
	}
}

static void
test_l1_u8f32(const VkTable *t)
{
	static const float params[][2] = {{0, 1}, {-1.25f, 0.01f}, {3, 0}, {1e6f, -17}};
	size_t		d;
	size_t		i;

	for (d = 0; d < 4 * NDIMS; d++)
	{
		size_t		n = nth_dim(d % NDIMS);
		float		offset = params[d / NDIMS][0];
		float		step = params[d / NDIMS][1];
		uint8_t    *u = guarded(0, n, nth_shift(d));
		float	   *y = guarded(1, n * sizeof(float), nth_shift(d + 1));
		double		sum = 0;
		double		abs = 0;

		fill_bytes(u, n, (int) d, 255);
		fill_f32(y, n, d % 5 == 0 ? FILL_SPECIAL : FILL_NORMAL);
		for (i = 0; i < n; i++)
		{
			double		decoded = (double) offset + (double) step * u[i];

			sum += fabs(vk_get_f32(y, i) - decoded);
			abs += fabs((double) vk_get_f32(y, i)) + fabs((double) offset) + fabs((double) step * u[i]);
		}
		check_sum(t, "l1_u8f32", n, t->l1_u8f32(u, y, offset, step, n), sum, abs);
	}
}

#endif							/* VECPG_UNIT_SIMD_SUMS_H */
