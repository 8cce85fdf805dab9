/*
 * t_float.h -- template: the float kernels of one level, over its vectors.
 *
 * What it is not: a header to include twice, or outside a k_*.c.
 *
 * Usage. The level file defines, before the include:
 *	VF, VD, VF_WIDTH	float vector, its double counterpart, floats in VF
 *	v_zero v_set1 v_add v_sub v_mul v_fma (a * b + acc) v_abs v_sum
 *	v_load v_store, v_load_half v_store_half, v_load_u8, v_load_u32 and, for
 *	the last 1 .. VF_WIDTH - 1 elements, each of them but v_load_u32 with
 *	_tail; missing elements load as 0
 *	v_store_s8, v_store_s8_tail	round to nearest even, already in -127 .. 127
 *	v_number_or_zero	NaN becomes 0
 *	v_clamp(x, lo, hi)
 *	v_where_inf(t, yes, no)	yes where t is +infinity
 *	v_signs(bits)	-0.0 where a bit is set, else +0.0; v_xor v_and
 *	v_sign_bits(x)	the sign bits, lane 0 lowest
 *	v_hadamard(x)	all butterflies inside one vector, nearest first
 *	v_unpack_u4(p, lo, hi)	a group of 4-bit codes as floats
 *	v_unpack_u2(p, part, x)	bit pairs `part` of a group of 2-bit codes, 16 floats
 *	v_clear64(acc), v_sum64(acc) of four VD accumulators; v_square64(x, acc)
 *	adds x^2 to the first two
 * It gives static functions k_* for kernels.def, and undefines VF_WIDTH.
 *
 * Idea: `op` and `half` are constants after inlining, so one loop serves four
 * metrics and two element types. Four accumulators hide the latency of FMA;
 * with two loads per FMA more would not be faster.
 */

enum
{
	OP_L2SQ,
	OP_DOT,
	OP_L1
};

#define VF_UNROLL 4
#define MANY_ROWS 4				/* rows that share one load of the query */

VP_INLINE VF
load(const void *p, size_t i, bool half)
{
	if (half)
		return v_load_half((const uint16_t *) p + i);
	return v_load((const float *) p + i);
}

VP_INLINE VF
load_tail(const void *p, size_t i, size_t n, bool half)
{
	if (half)
		return v_load_half_tail((const uint16_t *) p + i, n - i);
	return v_load_tail((const float *) p + i, n - i);
}

VP_INLINE VF
step(int op, VF acc, VF x, VF y)
{
	VF			d;

	if (op == OP_DOT)
		return v_fma(x, y, acc);
	d = v_sub(x, y);
	return op == OP_L2SQ ? v_fma(d, d, acc) : v_add(acc, v_abs(d));
}

VP_INLINE float
pair(int op, bool half, const void *a, const void *b, size_t n)
{
	VF			acc[VF_UNROLL];
	size_t		i = 0;
	int			u;

	for (u = 0; u < VF_UNROLL; u++)
		acc[u] = v_zero();
	for (; i + VF_UNROLL * VF_WIDTH <= n; i += VF_UNROLL * VF_WIDTH)
	{
		for (u = 0; u < VF_UNROLL; u++)
			acc[u] = step(op, acc[u], load(a, i + u * VF_WIDTH, half),
						  load(b, i + u * VF_WIDTH, half));
	}
	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		acc[0] = step(op, acc[0], load(a, i, half), load(b, i, half));
	if (i < n)
		acc[1] = step(op, acc[1], load_tail(a, i, n, half), load_tail(b, i, n, half));
	return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
}

static float
k_l2sq_f32(const float *a, const float *b, size_t n)
{
	return pair(OP_L2SQ, false, a, b, n);
}

static float
k_dot_f32(const float *a, const float *b, size_t n)
{
	return pair(OP_DOT, false, a, b, n);
}

static float
k_l1_f32(const float *a, const float *b, size_t n)
{
	return pair(OP_L1, false, a, b, n);
}

static float
k_l2sq_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return pair(OP_L2SQ, true, a, b, n);
}

static float
k_dot_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return pair(OP_DOT, true, a, b, n);
}

static float
k_l1_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return pair(OP_L1, true, a, b, n);
}

/* acc: <a,b>, <a,a>, <b,b> */
VP_INLINE void
cos_step(VF *acc, VF x, VF y)
{
	acc[0] = v_fma(x, y, acc[0]);
	acc[1] = v_fma(x, x, acc[1]);
	acc[2] = v_fma(y, y, acc[2]);
}

VP_INLINE void
cos_any(bool half, const void *a, const void *b, size_t n, float *out)
{
	VF			even[3];
	VF			odd[3];
	size_t		i = 0;
	int			u;

	for (u = 0; u < 3; u++)
		even[u] = odd[u] = v_zero();
	for (; i + 2 * VF_WIDTH <= n; i += 2 * VF_WIDTH)
	{
		cos_step(even, load(a, i, half), load(b, i, half));
		cos_step(odd, load(a, i + VF_WIDTH, half), load(b, i + VF_WIDTH, half));
	}
	if (i + VF_WIDTH <= n)
	{
		cos_step(even, load(a, i, half), load(b, i, half));
		i += VF_WIDTH;
	}
	if (i < n)
		cos_step(odd, load_tail(a, i, n, half), load_tail(b, i, n, half));
	for (u = 0; u < 3; u++)
		vk_put_f32(out, u, v_sum(v_add(even[u], odd[u])));
}

static void
k_cos_f32(const float *a, const float *b, size_t n, float *out)
{
	cos_any(false, a, b, n, out);
}

static void
k_cos_f16(const uint16_t *a, const uint16_t *b, size_t n, float *out)
{
	cos_any(true, a, b, n, out);
}

static double
k_norm2_f32(const float *a, size_t n)
{
	VD			acc[4];
	size_t		i = 0;

	v_clear64(acc);
	for (; i + 2 * VF_WIDTH <= n; i += 2 * VF_WIDTH)
	{
		v_square64(v_load(a + i), acc);
		v_square64(v_load(a + i + VF_WIDTH), acc + 2);
	}
	if (i + VF_WIDTH <= n)
	{
		v_square64(v_load(a + i), acc);
		i += VF_WIDTH;
	}
	if (i < n)
		v_square64(v_load_tail(a + i, n - i), acc + 2);
	return v_sum64(acc);
}

/* MANY_ROWS rows at once: the query is loaded once for all of them. */
VP_INLINE void
many_block(int op, const float *q, const char *base, size_t stride, size_t n, float *out)
{
	VF			even[MANY_ROWS];
	VF			odd[MANY_ROWS];
	VF			x;
	size_t		i = 0;
	int			r;

	for (r = 0; r < MANY_ROWS; r++)
		even[r] = odd[r] = v_zero();
	for (; i + 2 * VF_WIDTH <= n; i += 2 * VF_WIDTH)
	{
		x = v_load(q + i);
		for (r = 0; r < MANY_ROWS; r++)
			even[r] = step(op, even[r], x, load(base + r * stride, i, false));
		x = v_load(q + i + VF_WIDTH);
		for (r = 0; r < MANY_ROWS; r++)
			odd[r] = step(op, odd[r], x, load(base + r * stride, i + VF_WIDTH, false));
	}
	if (i + VF_WIDTH <= n)
	{
		x = v_load(q + i);
		for (r = 0; r < MANY_ROWS; r++)
			even[r] = step(op, even[r], x, load(base + r * stride, i, false));
		i += VF_WIDTH;
	}
	if (i < n)
	{
		x = v_load_tail(q + i, n - i);
		for (r = 0; r < MANY_ROWS; r++)
			odd[r] = step(op, odd[r], x, load_tail(base + r * stride, i, n, false));
	}
	for (r = 0; r < MANY_ROWS; r++)
		vk_put_f32(out, r, v_sum(v_add(even[r], odd[r])));
}

VP_INLINE void
many(int op, const float *q, const void *base, size_t stride, size_t n, size_t count,
	 float *out)
{
	const char *rows = base;
	size_t		i = 0;

	for (; i + MANY_ROWS <= count; i += MANY_ROWS)
		many_block(op, q, rows + i * stride, stride, n, out + i);
	for (; i < count; i++)
		vk_put_f32(out, i, pair(op, false, q, rows + i * stride, n));
}

static void
k_l2sq_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
				float *out)
{
	many(OP_L2SQ, q, base, stride, n, count, out);
}

static void
k_dot_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
			   float *out)
{
	many(OP_DOT, q, base, stride, n, count, out);
}

static void
k_l1_f32_many(const float *q, const void *base, size_t stride, size_t n, size_t count,
			  float *out)
{
	many(OP_L1, q, base, stride, n, count, out);
}

static float
k_dot_u8f32(const uint8_t *u, const float *y, size_t n)
{
	VF			acc[VF_UNROLL];
	size_t		i = 0;
	int			a;

	for (a = 0; a < VF_UNROLL; a++)
		acc[a] = v_zero();
	for (; i + VF_UNROLL * VF_WIDTH <= n; i += VF_UNROLL * VF_WIDTH)
	{
		for (a = 0; a < VF_UNROLL; a++)
			acc[a] = v_fma(v_load_u8(u + i + a * VF_WIDTH), v_load(y + i + a * VF_WIDTH), acc[a]);
	}
	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		acc[0] = v_fma(v_load_u8(u + i), v_load(y + i), acc[0]);
	if (i < n)
		acc[1] = v_fma(v_load_u8_tail(u + i, n - i), v_load_tail(y + i, n - i), acc[1]);
	return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
}

static float
k_dot_u4f32(const uint8_t *u, const float *y, size_t n)
{
	VF			low[16 / VF_WIDTH];
	VF			high[16 / VF_WIDTH];
	VF			acc[4];
	size_t		i;
	int			v;

	for (v = 0; v < 4; v++)
		acc[v] = v_zero();
	for (i = 0; i + 16 <= n; i += 32)
	{
		v_unpack_u4(u + i / 2, low, high);
		for (v = 0; v < 16 / VF_WIDTH; v++)
			acc[v % 2] = v_fma(low[v], v_load(y + i + v * VF_WIDTH), acc[v % 2]);
		if (i + 32 > n)
			break;
		for (v = 0; v < 16 / VF_WIDTH; v++)
			acc[2 + v % 2] = v_fma(high[v], v_load(y + i + 16 + v * VF_WIDTH), acc[2 + v % 2]);
	}
	return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
}

static float
k_dot_u2f32(const uint8_t *u, const float *y, size_t n)
{
	VF			x[16 / VF_WIDTH];
	VF			acc[4];
	size_t		i;
	int			part;
	int			v;

	for (v = 0; v < 4; v++)
		acc[v] = v_zero();
	for (i = 0; i < n; i += 64)
	{
#pragma GCC unroll 4
		for (part = 0; part < 4; part++)
		{
			if (i + 16 * part >= n)
				break;
			v_unpack_u2(u + i / 4, part, x);
			for (v = 0; v < 16 / VF_WIDTH; v++)
				acc[(part + v) % 4] = v_fma(x[v], v_load(y + i + 16 * part + v * VF_WIDTH),
											acc[(part + v) % 4]);
		}
	}
	return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
}

VP_INLINE VF
l1_u8_step(VF acc, VF u, VF y, VF offset, VF step)
{
	return v_add(acc, v_abs(v_sub(y, v_add(offset, v_mul(step, u)))));
}

static float
k_l1_u8f32(const uint8_t *u, const float *y, float offset, float step, size_t n)
{
	VF			acc[VF_UNROLL];
	VF			o = v_set1(offset);
	VF			s = v_set1(step);
	float		last = 0;
	size_t		i = 0;
	int			a;

	for (a = 0; a < VF_UNROLL; a++)
		acc[a] = v_zero();
	for (; i + VF_UNROLL * VF_WIDTH <= n; i += VF_UNROLL * VF_WIDTH)
	{
		for (a = 0; a < VF_UNROLL; a++)
			acc[a] = l1_u8_step(acc[a], v_load_u8(u + i + a * VF_WIDTH),
								v_load(y + i + a * VF_WIDTH), o, s);
	}
	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		acc[0] = l1_u8_step(acc[0], v_load_u8(u + i), v_load(y + i), o, s);
	/* one by one: a missing element would not add 0, but |offset| */
	for (; i < n; i++)
		last += __builtin_fabsf(vk_get_f32(y, i) - (offset + step * (float) u[i]));
	return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3]))) + last;
}

/* Same operations in the same order as the scalar level: same bits. */
static void
k_bit_estimate_32(const uint32_t *sum, float base, float delta, const float *add,
				  const uint16_t *scale, const uint16_t *err, float gadd, float gerr,
				  float *est, float *low)
{
	VF			inf = v_set1(__builtin_inff());
	VF			minus_inf = v_set1(-__builtin_inff());
	int			r;

	for (r = 0; r < 32; r += VF_WIDTH)
	{
		VF			s = v_add(v_set1(base), v_mul(v_set1(delta), v_load_u32(sum + r)));
		VF			a = v_load(add + r);
		VF			e = v_load_half(err + r);
		VF			x = v_add(v_add(v_set1(gadd), a), v_mul(v_load_half(scale + r), s));
		VF			y = v_sub(x, v_mul(v_set1(gerr), e));

		y = v_where_inf(e, minus_inf, y);
		v_store(est + r, v_where_inf(a, inf, x));
		v_store(low + r, v_where_inf(a, inf, y));
	}
}

/*
 * `stages` (1, 2 or 3) stages in one pass over memory: half, 2 * half, ... with
 * 2^stages vectors in registers. The pass that comes first also does the
 * stages inside each vector. The sums are those of one stage after the other.
 */
VP_INLINE void
butterflies(float *x, size_t half, const int stages, bool first)
{
	VF			v[8];
	int			count = 1 << stages;
	int			i;
	int			s;

#pragma GCC unroll 8
	for (i = 0; i < count; i++)
	{
		v[i] = v_load(x + i * half);
		if (first)
			v[i] = v_hadamard(v[i]);
	}
#pragma GCC unroll 3
	for (s = 1; s < count; s *= 2)
	{
#pragma GCC unroll 8
		for (i = 0; i < count; i++)
		{
			VF			p = v[i];

			if (i & s)
				continue;
			v[i] = v_add(p, v[i + s]);
			v[i + s] = v_sub(p, v[i + s]);
		}
	}
#pragma GCC unroll 8
	for (i = 0; i < count; i++)
		v_store(x + i * half, v[i]);
}

/* One pass: `stages` stages over all of x. */
VP_INLINE void
hadamard_pass(float *x, size_t n, size_t half, const int stages, bool first)
{
	size_t		i;
	size_t		j;

	for (i = 0; i < n; i += half << stages)
	{
		for (j = i; j < i + half; j += VF_WIDTH)
			butterflies(x + j, half, stages, first);
	}
}

/* Three stages a pass, so that 512 points are read and written only twice. */
static void
k_hadamard_f32(float *x, size_t n)
{
	size_t		half = VF_WIDTH;

	if (n >= 8 * VF_WIDTH)
	{
		hadamard_pass(x, n, half, 3, true);
		half *= 8;
	}
	else
		hadamard_pass(x, n, half, 0, true);
	for (; 8 * half <= n; half *= 8)
		hadamard_pass(x, n, half, 3, false);
	if (4 * half <= n)
		hadamard_pass(x, n, half, 2, false);
	else if (2 * half <= n)
		hadamard_pass(x, n, half, 1, false);
}

/* VF_WIDTH sign bits from element i on; never reads a byte without a sign. */
VP_INLINE unsigned
sign_bits(const uint8_t *signs, size_t i, size_t n)
{
	unsigned	bits = signs[i / 8] >> i % 8;

	if (VF_WIDTH > 8 && i + 8 < n)
		bits |= (unsigned) signs[i / 8 + 1] << 8;
	return bits;
}

static void
k_flip_f32(float *x, const uint8_t *signs, size_t n)
{
	size_t		i = 0;

	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		v_store(x + i, v_xor(v_load(x + i), v_signs(sign_bits(signs, i, n))));
	if (i < n)
		v_store_tail(x + i, v_xor(v_load_tail(x + i, n - i),
								  v_signs(sign_bits(signs, i, n))), n - i);
}

/* Same operations in the same order as the scalar level: same bits. */
static void
k_signs_f32(const float *x, const float *c, size_t n, uint8_t *code, float *sums)
{
	VF			acc[4][16 / VF_WIDTH];
	float		lanes[16];
	size_t		d;
	int			half;
	int			i;
	int			v;

	for (i = 0; i < 4; i++)
	{
		for (v = 0; v < 16 / VF_WIDTH; v++)
			acc[i][v] = v_zero();
	}
	for (d = 0; d < n; d += 16)
	{
		unsigned	minus = 0;

#pragma GCC unroll 4
		for (v = 0; v < 16 / VF_WIDTH; v++)
		{
			VF			centre = v_load(c + d + v * VF_WIDTH);
			VF			r = v_sub(v_load(x + d + v * VF_WIDTH), centre);

			minus |= v_sign_bits(r) << v * VF_WIDTH;
			acc[0][v] = v_add(acc[0][v], v_mul(r, r));
			acc[1][v] = v_add(acc[1][v], v_abs(r));
			acc[2][v] = v_add(acc[2][v], v_xor(centre, v_and(r, v_set1(-0.0f))));
			acc[3][v] = v_add(acc[3][v], v_mul(r, centre));
		}
		vk_put_u16(code, d / 16, (uint16_t) ~minus);
	}
	for (i = 0; i < 4; i++)
	{
		for (v = 0; v < 16 / VF_WIDTH; v++)
			v_store(lanes + v * VF_WIDTH, acc[i][v]);
		for (half = 8; half > 0; half /= 2)
		{
			for (v = 0; v < half; v++)
				lanes[v] += lanes[v + half];
		}
		vk_put_f32(sums, i, lanes[0]);
	}
}

static void
k_f32_to_f16(const float *in, uint16_t *out, size_t n)
{
	size_t		i = 0;

	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		v_store_half(out + i, v_load(in + i));
	if (i < n)
		v_store_half_tail(out + i, v_load_tail(in + i, n - i), n - i);
}

static void
k_f16_to_f32(const uint16_t *in, float *out, size_t n)
{
	size_t		i = 0;

	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		v_store(out + i, v_load_half(in + i));
	if (i < n)
		v_store_tail(out + i, v_load_half_tail(in + i, n - i), n - i);
}

VP_INLINE VF
scale_s8(VF x, float mul)
{
	return v_clamp(v_number_or_zero(v_mul(x, v_set1(mul))), v_set1(-127), v_set1(127));
}

static void
k_f32_to_s8(const float *in, float mul, int8_t *out, size_t n)
{
	size_t		i = 0;

	for (; i + VF_WIDTH <= n; i += VF_WIDTH)
		v_store_s8(out + i, scale_s8(v_load(in + i), mul));
	if (i < n)
		v_store_s8_tail(out + i, scale_s8(v_load_tail(in + i, n - i), mul), n - i);
}

#undef VF_WIDTH
#undef VF_UNROLL
#undef MANY_ROWS
