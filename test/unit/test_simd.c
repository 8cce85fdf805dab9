/*
 * test_simd.c -- every kernel of kernels.def, at every level that runs here,
 * against plain definitions.
 *
 * What it is not: a benchmark (bench_kernels.c).
 *
 * kernels.def drives the list: a kernel without a test_<name> below does not
 * link. Inputs end exactly before an inaccessible page, so one byte read too
 * far is a crash, and start at odd addresses. Outputs carry canaries.
 *
 * Tolerances. Exact: integer kernels, conversions, Hadamard, flips, the block
 * estimate. Sums: the rounding bound of the order in which a level adds, times
 * the sum of the absolute terms (SUM_TOL, TILE_TOL).
 */
#include "simd/levels.h"

#include "guard.h"
#include "unit.h"

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

/* ---- dispatch, and the list of all kernels ---- */

static void
check_dispatch(void)
{
	int			level;

	CHECK(vk->level == VK_SCALAR, "the table is scalar before vk_init");
	vk_init();
	CHECK(vk->level == vk_best_level(), "vk_init takes the best level");
	for (level = VK_SCALAR; level <= VK_AVX512; level++)
	{
		const VkTable *t = vk_table((VkLevel) level);

		CHECK((t != NULL) == vk_has_level((VkLevel) level), "level %d", level);
		CHECK(vk_set_level((VkLevel) level) == (t != NULL), "level %d", level);
		CHECK(t == NULL || (vk == t && t->level == (VkLevel) level), "level %d", level);
	}
	CHECK(!vk_has_level((VkLevel) 99) && !vk_set_level((VkLevel) 99), "no level 99");
	CHECK(vk_has_level(VK_SCALAR), "scalar runs everywhere");
}

static void
check_level(const VkTable *t)
{
	static const struct
	{
		const char *name;
		void		(*test) (const VkTable *t);
	}			tests[] = {
#define VK(ret, name, args) {#name, test_##name},
#include "simd/kernels.def"
#undef VK
	};
	size_t		i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
	{
		unsigned long failed = unit_failed;

		tests[i].test(t);
		if (unit_failed > failed)
			printf("%s %s: %lu failed\n", t->name, tests[i].name, unit_failed - failed);
	}
	printf("level %s: %zu kernels\n", t->name, sizeof(tests) / sizeof(tests[0]));
}

int
main(void)
{
	int			level;

	guards_init();
	check_dispatch();
	printf("cpu: %s\n", vk_cpu_features());
	for (level = VK_SCALAR; level <= VK_AVX512; level++)
	{
		if (vk_has_level((VkLevel) level))
			check_level(vk_table((VkLevel) level));
	}
#if defined(__x86_64__)
	/* the table in use has VNNI kernels where possible; this one has not */
	if (vk_has_level(VK_AVX512))
	{
		VkTable		plain = vk_level_avx512;

		plain.name = "avx512 without vnni";
		check_level(&plain);
	}
#endif
	return unit_done();
}
