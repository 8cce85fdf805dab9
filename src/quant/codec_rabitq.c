/*
 * codec_rabitq.c -- RaBitQ codes of 8, 6 and 4 bits a dimension, with a bound.
 *
 * What it is not: the 1-bit scan plane (bitplane.c), whose bound only holds
 * with high probability. This one always holds.
 *
 * Idea. The code u of r = x - c is r k + mid, rounded, with mid = (2^B - 1) / 2
 * and a scale k of the row's own, so s = u - mid points nearly where r does.
 * Reconstructing by least squares, r = t s + e with t = <r,s> / <s,s>, leaves a
 * residual e orthogonal to s. Of e only the length is stored: the distance to
 * y is known exactly along s, and across it lies between the two distances at
 * which y's own part and e point the same and the opposite way.
 *
 * Row: four float32 factors, then the codes (8 bits: a byte each; 4 bits: the
 * order of simd dot_u4f32; 6 bits: the low 4 in that order, then the high 2 in
 * that of dot_u2f32).
 *
 * The 6-bit code is the upper part of the row's 8-bit code, with factors of its
 * own. A graph is built on 8-bit codes in memory; its 6-bit codes are then
 * written without a second look at the rows.
 */
#include "quant/codec.h"

#include "quant/lanes.h"
#include "quant/pack.h"

typedef struct RabitqFactors
{
	float		xs;				/* t |s|: r's signed length along s */
	float		inv;			/* 1 / |s|, 0 if r = 0 */
	float		cs;				/* <c,s> / |s| */
	float		e;				/* |e|, rounded up; infinity: no bound */
} RabitqFactors;

/*
 * Steps worth trying, in standard deviations of r's coordinates. Those of a
 * rotated vector are nearly normal; Max (1960) gives .335 for 16 levels and
 * .031 for 256. At 4 bits the best step varies with the row. The paper sweeps
 * all critical scales; a grid of 200 steps gains .00004 in cos^2 on average, .0007 at most (400 rows).
 */
static const float steps8[] = {0.031f};
static const float steps4[] = {0.26f, 0.285f, 0.305f, 0.32f, 0.335f, 0.35f, 0.37f, 0.395f, 0.43f};

#define NSTEPS(table) ((int) (sizeof(table) / sizeof(table[0])))

static size_t rabitq8_bytes(int dim);
static size_t rabitq6_bytes(int dim);
static size_t rabitq4_bytes(int dim);
static void rabitq8_encode(const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
static void rabitq6_encode(const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
static void rabitq4_encode(const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
static float rabitq8_decode(const uint8_t *code, const float *c, int dim,
							const float *params, float *x);
static float rabitq6_decode(const uint8_t *code, const float *c, int dim,
							const float *params, float *x);
static float rabitq4_decode(const uint8_t *code, const float *c, int dim,
							const float *params, float *x);
static float rabitq8_value(const VqPoint *p, const uint8_t *code, int dim,
						   const float *params, VqMetric metric);
static float rabitq6_value(const VqPoint *p, const uint8_t *code, int dim,
						   const float *params, VqMetric metric);
static float rabitq4_value(const VqPoint *p, const uint8_t *code, int dim,
						   const float *params, VqMetric metric);
static float value(const VqPoint *p, const RabitqFactors *f, float us, float top,
				   VqMetric metric);
static void rabitq8_bound(const VqPoint *p, const uint8_t *code, int dim,
						  const float *params, VqMetric metric, VqBound *out);
static void rabitq6_bound(const VqPoint *p, const uint8_t *code, int dim,
						  const float *params, VqMetric metric, VqBound *out);
static void rabitq4_bound(const VqPoint *p, const uint8_t *code, int dim,
						  const float *params, VqMetric metric, VqBound *out);
static void encode(const float *x, const float *c, int dim, float top, float *scratch,
				   RabitqFactors *f, uint8_t *u);
static float best_scale(const float *r, int dim, float max, float top);
static double cos2_of_scale(const float *r, int dim, float scale, float unit, float top);
static void quantize(const float *r, const float *c, int dim, float scale, float top,
					 uint8_t *u, RabitqFactors *f);
static void factors(double rr, double rs, double ss, double cs, int dim, RabitqFactors *f);
static double dot_6(const uint8_t *code, const float *y, int dim);
static float decode(const RabitqFactors *f, const float *c, int dim, float top, float *x);
static void bound(const VqPoint *p, const RabitqFactors *f, double us, int dim, float top,
				  VqMetric metric, VqBound *out);

const VqCodec vq_codec_rabitq8 = {
	.name = "rabitq8",
	.id = VQ_RABITQ8,
	.bits = 8,
	.tight = true,
	.bytes = rabitq8_bytes,
	.encode = rabitq8_encode,
	.decode = rabitq8_decode,
	.value = rabitq8_value,
	.bound = rabitq8_bound,
};

const VqCodec vq_codec_rabitq6 = {
	.name = "rabitq6",
	.id = VQ_RABITQ6,
	.bits = 6,
	.tight = true,
	.bytes = rabitq6_bytes,
	.encode = rabitq6_encode,
	.decode = rabitq6_decode,
	.value = rabitq6_value,
	.bound = rabitq6_bound,
};

const VqCodec vq_codec_rabitq4 = {
	.name = "rabitq4",
	.id = VQ_RABITQ4,
	.bits = 4,
	.tight = false,
	.bytes = rabitq4_bytes,
	.encode = rabitq4_encode,
	.decode = rabitq4_decode,
	.value = rabitq4_value,
	.bound = rabitq4_bound,
};

#define TOP8 255.0f				/* the largest code */
#define TOP6 63.0f
#define TOP4 15.0f

/* ---- what the widths do differently ---- */

static size_t
rabitq8_bytes(int dim)
{
	return sizeof(RabitqFactors) + (size_t) dim;
}

static size_t
rabitq6_bytes(int dim)
{
	return sizeof(RabitqFactors) + vq_packed_bytes(4, dim) + vq_packed_bytes(2, dim);
}

static size_t
rabitq4_bytes(int dim)
{
	return sizeof(RabitqFactors) + vq_packed_bytes(4, dim);
}

static void
rabitq8_encode(const float *x, const float *c, int dim, const float *params,
			   float *scratch, uint8_t *code)
{
	RabitqFactors f;

	(void) params;
	encode(x, c, dim, TOP8, scratch, &f, code + sizeof(f));
	memcpy(code, &f, sizeof(f));
}

static void
rabitq6_encode(const float *x, const float *c, int dim, const float *params,
			   float *scratch, uint8_t *code)
{
	uint8_t    *code8 = (uint8_t *) (scratch + dim);	/* 16 dimensions or more: it fits */
	float		f[4];

	rabitq8_encode(x, c, dim, params, scratch, code8);
	vq_rabitq6_factors(code8, x, c, dim, f);
	vq_rabitq6_narrow(code8, f, dim, code);
}

void
vq_rabitq6_factors(const uint8_t *code8, const float *x, const float *c, int dim,
				   float result[4])
{
	const uint8_t *u = code8 + sizeof(RabitqFactors);
	RabitqFactors f = {0, 0, 0, 0};
	D4			rr = {{0}, {0}};
	D4			rs = {{0}, {0}};
	D4			ss = {{0}, {0}};
	D4			cs = {{0}, {0}};
	double		norm2;

	for (int d = 0; d < dim; d += 4)
	{
		V4			centre = v4_load(c + d);
		I4			code = {u[d] >> 2, u[d + 1] >> 2, u[d + 2] >> 2, u[d + 3] >> 2};
		V4			r = v4_load(x + d) - centre;
		V4			s = v4_float(code) - 0.5f * TOP6;

		rr = d4_add_product(rr, r, r);
		rs = d4_add_product(rs, r, s);
		ss = d4_add_product(ss, s, s);
		cs = d4_add_product(cs, s, centre);
	}
	norm2 = d4_sum(rr);
	if (norm2 > 0.0 && norm2 < INFINITY)
		factors(norm2, d4_sum(rs), d4_sum(ss), d4_sum(cs), dim, &f);
	else if (norm2 != 0.0)
		f.e = INFINITY;
	memcpy(result, &f, sizeof(f));
}

void
vq_rabitq6_narrow(const uint8_t *code8, const float f[4], int dim, uint8_t *code6)
{
	const uint8_t *from = code8 + sizeof(RabitqFactors);
	uint8_t    *low = code6 + sizeof(RabitqFactors);
	uint8_t    *high = low + vq_packed_bytes(4, dim);

	memcpy(code6, f, sizeof(RabitqFactors));
	for (int d = 0; d < dim; d += 16)
	{
		uint8_t		u[2][16];

		for (int i = 0; i < 16; i++)
		{
			u[0][i] = from[d + i] >> 2 & 15;
			u[1][i] = from[d + i] >> 6;
		}
		vq_pack16(4, low, d, u[0]);
		vq_pack16(2, high, d, u[1]);
	}
}

static void
rabitq4_encode(const float *x, const float *c, int dim, const float *params,
			   float *scratch, uint8_t *code)
{
	RabitqFactors f;
	uint8_t    *u = (uint8_t *) (scratch + dim);

	(void) params;
	encode(x, c, dim, TOP4, scratch, &f, u);
	memcpy(code, &f, sizeof(f));
	for (int d = 0; d < dim; d += 16)
		vq_pack16(4, code + sizeof(f), d, u + d);
}

static float
rabitq8_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	for (int d = 0; d < dim; d++)
		x[d] = code[sizeof(f) + d];
	return decode(&f, c, dim, TOP8, x);
}

static float
rabitq6_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	const uint8_t *low = code + sizeof(RabitqFactors);
	const uint8_t *high = low + vq_packed_bytes(4, dim);
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	for (int d = 0; d < dim; d += 16)
	{
		uint8_t		u[2][16];

		vq_unpack16(4, low, d, u[0]);
		vq_unpack16(2, high, d, u[1]);
		for (int i = 0; i < 16; i++)
			x[d + i] = (float) (u[0][i] | u[1][i] << 4);
	}
	return decode(&f, c, dim, TOP6, x);
}

static float
rabitq4_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	for (int d = 0; d < dim; d += 16)
	{
		uint8_t		u[16];

		vq_unpack16(4, code + sizeof(f), d, u);
		for (int i = 0; i < 16; i++)
			x[d + i] = u[i];
	}
	return decode(&f, c, dim, TOP4, x);
}

static float
rabitq8_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	return value(p, &f, vk->dot_u8f32(code + sizeof(f), p->y, (size_t) dim), TOP8, metric);
}

static float
rabitq6_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	return value(p, &f, (float) dot_6(code, p->y, dim), TOP6, metric);
}

static float
rabitq4_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	return value(p, &f, vk->dot_u4f32(code + sizeof(f), p->y, (size_t) dim), TOP4, metric);
}

/* <u,y> of a 6-bit code: two float32 sums, added without rounding. */
static double
dot_6(const uint8_t *code, const float *y, int dim)
{
	const uint8_t *low = code + sizeof(RabitqFactors);
	const uint8_t *high = low + vq_packed_bytes(4, dim);

	return (double) vk->dot_u4f32(low, y, (size_t) dim) +
		16.0 * (double) vk->dot_u2f32(high, y, (size_t) dim);
}

/* us = <u, y>; x^ = c + xs s / |s|. */
static float
value(const VqPoint *p, const RabitqFactors *f, float us, float top, VqMetric metric)
{
	float		along = (us - 0.5f * top * p->ysum) * f->inv;

	if (metric == VQ_IP)
		return -(p->dot + along * f->xs);
	along -= f->cs;
	return VP_MAX(0.0f, p->dist2 + f->xs * (f->xs - 2.0f * along));
}

static void
rabitq8_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric, VqBound *out)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	bound(p, &f, vk->dot_u8f32(code + sizeof(f), p->y, (size_t) dim), dim, TOP8, metric, out);
}

static void
rabitq6_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric, VqBound *out)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	bound(p, &f, dot_6(code, p->y, dim), dim, TOP6, metric, out);
}

static void
rabitq4_bound(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric, VqBound *out)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	bound(p, &f, vk->dot_u4f32(code + sizeof(f), p->y, (size_t) dim), dim, TOP4, metric, out);
}

/* ---- encoding ---- */

static void
encode(const float *x, const float *c, int dim, float top, float *scratch,
	   RabitqFactors *f, uint8_t *u)
{
	float		max;

	for (int d = 0; d < dim; d++)
		scratch[d] = x[d] - c[d];
	max = v4_largest(scratch, dim);
	f->xs = f->inv = f->cs = f->e = 0.0f;
	if (max > 0.0f && max <= FLT_MAX)
	{
		quantize(scratch, c, dim, best_scale(scratch, dim, max, top), top, u, f);
		return;
	}
	memset(u, (int) top / 2, (size_t) dim);
	if (max != 0.0f)
		f->e = INFINITY;
}

/*
 * Codes per unit of r: the best of the step table and of "no code is cut".
 * cos^2 has one peak over the steps, so the search climbs from the middle.
 */
static float
best_scale(const float *r, int dim, float max, float top)
{
	const float *steps = top == TOP8 ? steps8 : steps4;
	int			nsteps = top == TOP8 ? NSTEPS(steps8) : NSTEPS(steps4);
	int			at = nsteps / 2;
	float		unit = VP_MIN(1.0f / max, FLT_MAX); /* r * unit is within 1 */
	float		whole = 0.5f * top;
	float		sigma;
	float		best;
	double		cos2;
	V4			sum = {0};

	for (int d = 0; d < dim; d += 4)
	{
		V4			v = v4_load(r + d) * unit;

		sum += v * v;
	}
	sigma = (float) sqrt(v4_sum(sum) / dim);
	best = 1.0f / (steps[at] * sigma);
	cos2 = cos2_of_scale(r, dim, best, unit, top);
	for (int way = -1; way <= 1; way += 2)
	{
		for (int i = at + way; i >= 0 && i < nsteps; i += way)
		{
			float		scale = 1.0f / (steps[i] * sigma);
			double		next = cos2_of_scale(r, dim, scale, unit, top);

			if (!(next > cos2))
				break;
			cos2 = next;
			best = scale;
			at = nsteps;		/* found uphill: the other way is down */
		}
	}
	/* a scale that uses fewer codes than there are is never better */
	if (best <= whole || cos2_of_scale(r, dim, whole, unit, top) > cos2)
		best = whole;
	return VP_MIN(best * unit, FLT_MAX);
}

/* cos^2(r, s) times |r unit|^2, which is the same for all scales. */
static double
cos2_of_scale(const float *r, int dim, float scale, float unit, float top)
{
	float		mul = scale * unit;
	V4			rs = {0};
	V4			ss = {0};
	V4			half = v4_set(0.5f * top + 0.5f);
	V4			high = v4_set(top);
	V4			mid = v4_set(0.5f * top);
	const V4	low = {0};

	for (int d = 0; d < dim; d += 4)
	{
		V4			v = v4_load(r + d) * mul;
		V4			s = v4_float(v4_int(v4_max(v4_min(v + half, high), low))) - mid;

		rs += v * s;
		ss += s * s;
	}
	return vq_square(v4_sum(rs) / scale) / v4_sum(ss);
}

/*
 * Writes the codes and the factors. Sums are float64: |e|^2 is a difference of
 * squares. What its rounding and that of r = x - c lost is added to |e|.
 */
static void
quantize(const float *r, const float *c, int dim, float scale, float top, uint8_t *u,
		 RabitqFactors *f)
{
	V4			half = v4_set(0.5f * top + 0.5f);
	V4			high = v4_set(top);
	V4			mid = v4_set(0.5f * top);
	const V4	low = {0};
	D4			rr = {{0}, {0}};
	D4			rs = {{0}, {0}};
	D4			ss = {{0}, {0}};
	D4			cs = {{0}, {0}};
	int32_t		wide[V4_STEP];

	for (int d = 0; d < dim; d += V4_STEP)
	{
		for (int j = 0; j < V4_STEP; j += 4)
		{
			V4			v = v4_load(r + d + j);
			I4			code = v4_int(v4_max(v4_min(v * scale + half, high), low));
			V4			s = v4_float(code) - mid;

			rr = d4_add_product(rr, v, v);
			rs = d4_add_product(rs, v, s);
			ss = d4_add_product(ss, s, s);
			cs = d4_add_product(cs, s, v4_load(c + d + j));
			memcpy(wide + j, &code, sizeof(code));
		}
		for (int j = 0; j < V4_STEP; j++)
			u[d + j] = (uint8_t) wide[j];
	}
	factors(d4_sum(rr), d4_sum(rs), d4_sum(ss), d4_sum(cs), dim, f);
}

static void
factors(double rr, double rs, double ss, double cs, int dim, RabitqFactors *f)
{
	double		length = sqrt(ss);
	double		miss2 = VP_MAX(0.0, rr - rs * rs / ss) + rr * dim * DBL_EPSILON;

	f->inv = (float) (1.0 / length);
	f->xs = (float) (rs / length);
	f->cs = (float) (cs / length);
	f->e = vq_round_up(sqrt(miss2) + 2.0 * VQ_UNIT * sqrt(rr));
}

/* ---- decoding and bounds ---- */

/*
 * x holds the codes and receives c + t s. The return value also covers the
 * rounding of x, so that |x - true row| is never longer.
 */
static float
decode(const RabitqFactors *f, const float *c, int dim, float top, float *x)
{
	float		t = f->xs * f->inv;
	D4			norm2 = {{0}, {0}};

	for (int d = 0; d < dim; d += 4)
	{
		V4			v = v4_load(c + d) + t * (v4_load(x + d) - 0.5f * top);

		v4_store(x + d, v);
		norm2 = d4_add_product(norm2, v, v);
	}
	return vq_round_up(f->e + 4.0 * VQ_UNIT * (fabs(f->xs) + sqrt(d4_sum(norm2))) +
					   dim * VQ_TINY);
}

/*
 * us = <u,y> as the kernel gave it. With v the part of y (IP) or y - c (L2)
 * that matters and q its length along s, v's rest lies in [least, most].
 * L2: (q - xs)^2 + (rest -+ |e|)^2. IP: q xs -+ rest |e|.
 */
static void
bound(const VqPoint *p, const RabitqFactors *f, double us, int dim, float top,
	  VqMetric metric, VqBound *out)
{
	double		slack = vq_sum_slack(dim);
	double		tiny = dim * VQ_TINY;
	double		ynorm = sqrt(p->ynorm2 * (1.0 + slack) + tiny);
	double		mid = 0.5 * top;
	double		along = (us - mid * p->ysum) * f->inv;
	double		off;			/* how far `along` may be off */
	double		e_off = (sqrt(dim * DBL_EPSILON) + 8.0 * VQ_UNIT) * (fabs(f->xs) + f->e) + VQ_TINY;
	double		xs_off = 2.0 * VQ_UNIT * fabs(f->xs) + VQ_TINY;
	double		least;
	double		most;

	/*
	 * |u| <= |s| + mid sqrt(dim), and the sum of y has mid sqrt(dim) |y|. The
	 * stored e is an upper limit (factors), e - e_off the lower one.
	 */
	off = slack * ynorm * (1.0 + 2.0 * mid * sqrt(dim) * f->inv) + tiny * (1.0 + top * f->inv);
	if (metric == VQ_L2)
	{
		double		gap;

		along -= f->cs;
		off += 2.0 * VQ_UNIT * fabs(f->cs) + VQ_TINY;
		gap = fabs(along - f->xs);
		vq_rest_of(p->dist2, p->dist2 * slack + tiny, along, off, &least, &most);
		off += xs_off;
		vq_put_bound(out,
					 gap * gap + VP_MAX(0.0, p->dist2 - along * along) + vq_square(f->e),
					 vq_square(VP_MAX(0.0, gap - off)) +
					 vq_least_gap2(least, most, f->e - e_off, f->e),
					 vq_square(gap + off) + vq_square(most + f->e));
		/* <y - c, r> ~ along |r|^2 / xs (Theorem 3.2) in place of along xs. */
		if (f->xs > 0.0f)
			vq_put_steer(out, (double) out->est - 2.0 * along * vq_square(f->e) / f->xs);
	}
	else
	{
		double		est = p->dot + along * f->xs;
		double		cnorm = ynorm + sqrt(p->dist2 * (1.0 + slack) + tiny);
		double		radius;

		vq_rest_of(p->ynorm2, p->ynorm2 * slack + tiny, along, off, &least, &most);
		radius = most * f->e + off * fabs(f->xs) + (fabs(along) + off) * xs_off;
		radius += slack * ynorm * cnorm + tiny;
		vq_put_bound(out, -est, -est - radius, -est + radius);
		if (f->xs > 0.0f)
			vq_put_steer(out, -est - along * vq_square(f->e) / f->xs);
	}
}
