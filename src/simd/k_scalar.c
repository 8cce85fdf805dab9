/*
 * k_scalar.c -- every kernel in plain C: the level of last resort and the
 * oracle of the unit test.
 *
 * What it is not: fast. It is compiled without auto-vectorisation, so that
 * `vecpg.simd = scalar` shows what a CPU without vectors would do.
 *
 * Elements are read with memcpy because no pointer of kernels.def need be
 * aligned, not even to its own type.
 */
#include <math.h>

#include "simd/fp16.h"
#include "simd/levels.h"

#define VK(ret, name, args) static ret k_##name args;
#include "simd/kernels.def"
#undef VK

const VkTable vk_level_scalar =
{
#define VK(ret, name, args) .name = k_##name,
#include "simd/kernels.def"
#undef VK
	.name = "scalar",
	.level = VK_SCALAR
};

static float
k_l2sq_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		d = vk_get_f32(a, i) - vk_get_f32(b, i);

		sum += d * d;
	}
	return sum;
}

static float
k_dot_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += vk_get_f32(a, i) * vk_get_f32(b, i);
	return sum;
}

static float
k_l1_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += fabsf(vk_get_f32(a, i) - vk_get_f32(b, i));
	return sum;
}

static void
k_cos_f32(const float *a, const float *b, size_t n, float *out)
{
	float		ab = 0;
	float		aa = 0;
	float		bb = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		x = vk_get_f32(a, i);
		float		y = vk_get_f32(b, i);

		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	vk_put_f32(out, 0, ab);
	vk_put_f32(out, 1, aa);
	vk_put_f32(out, 2, bb);
}

static float
get_half(const uint16_t *a, size_t i)
{
	return vk_half_to_float(vk_get_u16(a, i));
}

static float
k_l2sq_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		d = get_half(a, i) - get_half(b, i);

		sum += d * d;
	}
	return sum;
}

static float
k_dot_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += get_half(a, i) * get_half(b, i);
	return sum;
}

static float
k_l1_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += fabsf(get_half(a, i) - get_half(b, i));
	return sum;
}

static void
k_cos_f16(const uint16_t *a, const uint16_t *b, size_t n, float *out)
{
	float		ab = 0;
	float		aa = 0;
	float		bb = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		x = get_half(a, i);
		float		y = get_half(b, i);

		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	vk_put_f32(out, 0, ab);
	vk_put_f32(out, 1, aa);
	vk_put_f32(out, 2, bb);
}

static double
k_norm2_f32(const float *a, size_t n)
{
	double		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		double		x = vk_get_f32(a, i);

		sum += x * x;
	}
	return sum;
}

static const float *
row_at(const void *base, size_t stride, size_t i)
{
	return (const float *) ((const char *) base + i * stride);
}

static void
k_l2sq_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
				float *out)
{
	size_t		i;

	for (i = 0; i < count; i++)
		vk_put_f32(out, i, k_l2sq_f32(q, row_at(base, stride, i), n));
}

static void
k_dot_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
			   float *out)
{
	size_t		i;

	for (i = 0; i < count; i++)
		vk_put_f32(out, i, k_dot_f32(q, row_at(base, stride, i), n));
}

static void
k_l1_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
			  float *out)
{
	size_t		i;

	for (i = 0; i < count; i++)
		vk_put_f32(out, i, k_l1_f32(q, row_at(base, stride, i), n));
}

static int32_t
k_dot_u8s8(const uint8_t *u, const int8_t *s, size_t n)
{
	int32_t		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += (int32_t) u[i] * s[i];
	return sum;
}

/* Element i of a 4-bit code, in the order of kernels.def. */
static int
get_u4(const uint8_t *u, size_t i)
{
	int			byte = u[i / 32 * 16 + i % 16];

	return i % 32 < 16 ? byte & 15 : byte >> 4;
}

static int32_t
k_dot_u4s8(const uint8_t *u, const int8_t *s, size_t n)
{
	int32_t		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += get_u4(u, i) * s[i];
	return sum;
}

static float
k_dot_u8f32(const uint8_t *u, const float *y, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += (float) u[i] * vk_get_f32(y, i);
	return sum;
}

static float
k_dot_u4f32(const uint8_t *u, const float *y, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += (float) get_u4(u, i) * vk_get_f32(y, i);
	return sum;
}

/* Element i of a 2-bit code, in the order of kernels.def. */
static int
get_u2(const uint8_t *u, size_t i)
{
	return u[i / 64 * 16 + i % 16] >> i % 64 / 16 * 2 & 3;
}

static float
k_dot_u2f32(const uint8_t *u, const float *y, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += (float) get_u2(u, i) * vk_get_f32(y, i);
	return sum;
}

static void
k_dots_u1s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	size_t		i;
	size_t		d;

	for (i = 0; i < count; i++)
	{
		const uint8_t *u = codes + i * stride;
		int32_t		sum = 0;

		for (d = 0; d < n; d++)
			sum += (u[d / 8] >> d % 8 & 1) * s[d];
		vk_put_u32(out, i, (uint32_t) sum);
	}
}

static void
k_dots_u2s8(const uint8_t *codes, size_t stride, size_t count, const int8_t *s, size_t n,
			int32_t *out)
{
	size_t		i;
	size_t		d;

	for (i = 0; i < count; i++)
	{
		int32_t		sum = 0;

		for (d = 0; d < n; d++)
			sum += get_u2(codes + i * stride, d) * s[d];
		vk_put_u32(out, i, (uint32_t) sum);
	}
}

static uint32_t
k_l1_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint32_t	sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += (uint32_t) (a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
	return sum;
}

static float
k_l1_u8f32(const uint8_t *u, const float *y, float offset, float step, size_t n)
{
	float		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += fabsf(vk_get_f32(y, i) - (offset + step * (float) u[i]));
	return sum;
}

static void
k_fastscan_32(const uint8_t *block, const uint8_t *lut, size_t groups, uint32_t *out)
{
	uint32_t	sum[32] = {0};
	size_t		g;
	int			j;

	for (g = 0; g < groups; g++)
	{
		for (j = 0; j < 16; j++)
		{
			/* perm of kernels.def: even bytes hold rows 0-7, odd ones 8-15 */
			int			row = j / 2 + j % 2 * 8;
			int			byte = block[16 * g + j];

			sum[row] += lut[16 * g + (byte & 15)];
			sum[16 + row] += lut[16 * g + (byte >> 4)];
		}
	}
	memcpy(out, sum, sizeof(sum));
}

static void
k_bit_estimate_32(const uint32_t *sum, float base, float delta, const float *add,
				  const uint16_t *scale, const uint16_t *err, float gadd, float gerr,
				  float *est, float *low)
{
	int			r;

	for (r = 0; r < 32; r++)
	{
		float		s = base + delta * (float) vk_get_u32(sum, r);
		float		a = vk_get_f32(add, r);
		float		e = get_half(err, r);
		float		x = gadd + a + get_half(scale, r) * s;
		float		y = x - gerr * e;

		if (e == INFINITY)
			y = -INFINITY;
		if (a == INFINITY)
			x = y = INFINITY;
		vk_put_f32(est, r, x);
		vk_put_f32(low, r, y);
	}
}

static void
k_tile_f32(const float *a, size_t lda, size_t m, const float *b, size_t ldb, size_t n,
		   size_t k, float *c, size_t ldc)
{
	size_t		i;
	size_t		j;

	for (i = 0; i < m; i++)
	{
		for (j = 0; j < n; j++)
			vk_put_f32(c, i * ldc + j, k_dot_f32(row_at(a, lda * sizeof(float), i),
												 row_at(b, ldb * sizeof(float), j), k));
	}
}

static void
k_tile_u8s8(const uint8_t *a, size_t lda, size_t m, const int8_t *b, size_t ldb, size_t n,
			size_t k, int32_t *c, size_t ldc)
{
	size_t		i;
	size_t		j;

	for (i = 0; i < m; i++)
	{
		for (j = 0; j < n; j++)
			vk_put_u32(c, i * ldc + j, (uint32_t) k_dot_u8s8(a + i * lda, b + j * ldb, k));
	}
}

static void
k_hadamard_f32(float *x, size_t n)
{
	size_t		half;
	size_t		i;
	size_t		j;

	for (half = 1; half < n; half *= 2)
	{
		for (i = 0; i < n; i += 2 * half)
		{
			for (j = i; j < i + half; j++)
			{
				float		p = vk_get_f32(x, j);
				float		q = vk_get_f32(x, j + half);

				vk_put_f32(x, j, p + q);
				vk_put_f32(x, j + half, p - q);
			}
		}
	}
}

static void
k_flip_f32(float *x, const uint8_t *signs, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
	{
		uint32_t	sign = (uint32_t) (signs[i / 8] >> i % 8 & 1) << 31;

		vk_put_u32(x, i, vk_get_u32(x, i) ^ sign);
	}
}

static void
k_signs_f32(const float *x, const float *c, size_t n, uint8_t *code, float *sums)
{
	float		lanes[4][16] = {{0}};
	size_t		d;
	int			half;
	int			i;

	memset(code, 0, n / 8);
	for (d = 0; d < n; d++)
	{
		float		centre = vk_get_f32(c, d);
		float		r = vk_get_f32(x, d) - centre;
		bool		plus = !signbit(r);

		code[d / 8] |= (uint8_t) (plus << d % 8);
		lanes[0][d % 16] += r * r;
		lanes[1][d % 16] += fabsf(r);
		lanes[2][d % 16] += plus ? centre : -centre;
		lanes[3][d % 16] += r * centre;
	}
	for (i = 0; i < 4; i++)
	{
		for (half = 8; half > 0; half /= 2)
		{
			for (d = 0; d < (size_t) half; d++)
				lanes[i][d] += lanes[i][d + half];
		}
		vk_put_f32(sums, i, lanes[i][0]);
	}
}

static void
k_f32_to_f16(const float *in, uint16_t *out, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
		vk_put_u16(out, i, vk_float_to_half(vk_get_f32(in, i)));
}

static void
k_f16_to_f32(const uint16_t *in, float *out, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
		vk_put_f32(out, i, get_half(in, i));
}

static void
k_f32_to_s8(const float *in, float mul, int8_t *out, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
	{
		float		x = vk_get_f32(in, i) * mul;

		/* not fmaxf: NaN becomes 0, and only then is the clamp defined */
		x = x == x ? x : 0.0f;
		x = x < -127.0f ? -127.0f : x;
		x = x > 127.0f ? 127.0f : x;
		out[i] = (int8_t) lrintf(x);
	}
}
