/*
 * codec_rabitq.c -- RaBitQ codes of 8 and 4 bits a dimension, with a bound.
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
 * order of simd dot_u4f32).
 */
#include "quant/codec.h"

#include "quant/lanes.h"

typedef double D4 __attribute__((vector_size(32)));

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
static size_t rabitq4_bytes(int dim);
static void rabitq8_encode(const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
static void rabitq4_encode(const float *x, const float *c, int dim, const float *params,
						   float *scratch, uint8_t *code);
static float rabitq8_decode(const uint8_t *code, const float *c, int dim,
							const float *params, float *x);
static float rabitq4_decode(const uint8_t *code, const float *c, int dim,
							const float *params, float *x);
static float rabitq8_value(const VqPoint *p, const uint8_t *code, int dim,
						   const float *params, VqMetric metric);
static float rabitq4_value(const VqPoint *p, const uint8_t *code, int dim,
						   const float *params, VqMetric metric);
static float value(const VqPoint *p, const RabitqFactors *f, float us, float top,
				   VqMetric metric);
static void rabitq8_bound(const VqPoint *p, const uint8_t *code, int dim,
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
static void pack4(const uint8_t *u, int dim, uint8_t *codes);
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
#define TOP4 15.0f

/* ---- what the two widths do differently ---- */

static size_t
rabitq8_bytes(int dim)
{
	return sizeof(RabitqFactors) + (size_t) dim;
}

static size_t
rabitq4_bytes(int dim)
{
	return sizeof(RabitqFactors) + (size_t) (dim + 31) / 32 * 16;
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
rabitq4_encode(const float *x, const float *c, int dim, const float *params,
			   float *scratch, uint8_t *code)
{
	RabitqFactors f;
	uint8_t    *u = (uint8_t *) (scratch + dim);

	(void) params;
	encode(x, c, dim, TOP4, scratch, &f, u);
	memcpy(code, &f, sizeof(f));
	pack4(u, dim, code + sizeof(f));
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
rabitq4_decode(const uint8_t *code, const float *c, int dim, const float *params, float *x)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	/* 16 at a time, all low or all high nibbles, so that the loop vectorises. */
	for (int d = 0; d < dim; d += 16)
	{
		const uint8_t *u = code + sizeof(f) + d / 32 * 16;
		int			shift = d % 32 < 16 ? 0 : 4;

		for (int i = 0; i < 16; i++)
			x[d + i] = u[i] >> shift & 15;
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
rabitq4_value(const VqPoint *p, const uint8_t *code, int dim, const float *params,
			  VqMetric metric)
{
	RabitqFactors f;

	(void) params;
	memcpy(&f, code, sizeof(f));
	return value(p, &f, vk->dot_u4f32(code + sizeof(f), p->y, (size_t) dim), TOP4, metric);
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
	const V4	low = {0};
	D4			rr = {0};
	D4			rs = {0};
	D4			ss = {0};
	D4			cs = {0};
	int32_t		wide[V4_STEP];

	for (int d = 0; d < dim; d += V4_STEP)
	{
		for (int j = 0; j < V4_STEP; j += 4)
		{
			V4			v = v4_load(r + d + j);
			I4			code = v4_int(v4_max(v4_min(v * scale + half, high), low));
			D4			vd = __builtin_convertvector(v, D4);
			D4			sd = __builtin_convertvector(code, D4) - 0.5 * top;

			rr += vd * vd;
			rs += vd * sd;
			ss += sd * sd;
			cs += sd * __builtin_convertvector(v4_load(c + d + j), D4);
			memcpy(wide + j, &code, sizeof(code));
		}
		for (int j = 0; j < V4_STEP; j++)
			u[d + j] = (uint8_t) wide[j];
	}
	factors((rr[0] + rr[1]) + (rr[2] + rr[3]), (rs[0] + rs[1]) + (rs[2] + rs[3]),
			(ss[0] + ss[1]) + (ss[2] + ss[3]), (cs[0] + cs[1]) + (cs[2] + cs[3]), dim, f);
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

/* Byte j of a group of 32: element j in its low, element 16 + j in its high half. */
static void
pack4(const uint8_t *u, int dim, uint8_t *codes)
{
	for (int d = 0; d < dim; d += 32)
	{
		bool		both = d + 16 < dim;

		for (int j = 0; j < 16; j++)
			codes[d / 2 + j] = (uint8_t) (u[d + j] | (both ? u[d + 16 + j] << 4 : 0));
	}
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
	double		norm2 = 0.0;

	for (int d = 0; d < dim; d++)
	{
		x[d] = c[d] + t * (x[d] - 0.5f * top);
		norm2 += (double) x[d] * x[d];
	}
	return vq_round_up(f->e + 4.0 * VQ_UNIT * (fabs(f->xs) + sqrt(norm2)) + dim * VQ_TINY);
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
