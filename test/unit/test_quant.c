/*
 * test_quant.c -- the scan plane and the refine codecs on made data.
 *
 * What it is not: a measure of recall. Bounds of refine codecs must hold for
 * every row, whatever its numbers are; those of the scan plane as often as
 * three standard deviations promise. test_real.c repeats both on real rows.
 */
#include "quant_data.h"

#define MAX_DIM 1536

static float x[VQ_BLOCK * MAX_DIM];
static float c[MAX_DIM];
static float y[MAX_DIM];

/* ---- the scan plane ---- */

/* Normal residuals have mean error 0, standard deviation 1, .13 % beyond 3. */
static void
check_stats(const BitStats *s, double max_std, double beyond, const char *what)
{
	double		mean = s->sum / (double) s->n;
	double		std = sqrt(s->sum2 / (double) s->n);

	CHECK(fabs(mean) < 5.0 / sqrt((double) s->n) + 0.02, "%s: mean error %.3f", what, mean);
	CHECK(std < max_std && std > 0.3, "%s: standard deviation %.3f", what, std);
	CHECK((double) s->below <= beyond * (double) s->n + 2, "%s: %lu of %lu below the bound", what,
		  s->below, s->n);
}

static void
normal_rows(int dim, double offset)
{
	for (int d = 0; d < dim; d++)
	{
		c[d] = (float) (normal() + offset);
		y[d] = (float) (normal() + offset);
		for (int r = 0; r < VQ_BLOCK; r++)
			x[r * dim + d] = (float) (c[d] + normal());
	}
}

/* Rows in tight groups, of lengths from .01 to 10, as lists hold them. */
static void
clustered_rows(int dim)
{
	normal_rows(dim, 0);
	for (int r = 0; r < VQ_BLOCK; r++)
	{
		double		length = pow(10, 1.5 * unit_uniform() - 0.5);

		for (int d = 0; d < dim; d++)
		{
			int			leader = r / 8 * 8;
			double		own = r == leader ? x[r * dim + d] - c[d]
				: (x[leader * dim + d] - c[d]) + 0.3 * normal();

			x[r * dim + d] = (float) (c[d] + length * own);
		}
	}
}

static void
check_plane(void)
{
	static const int dims[][2] = {{768, 768}, {768, 256}, {128, 128}, {64, 64}, {32, 32}, {1536, 1024}};

	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
	{
		for (int m = VQ_L2; m <= VQ_IP; m++)
		{
			BitStats	plain = {0, 0, 0, 0};
			BitStats	groups = {0, 0, 0, 0};
			char		what[64];

			for (int t = 0; t < 60; t++)
			{
				normal_rows(dims[i][0], 0);
				bit_block(x, c, y, dims[i][0], dims[i][1], (VqMetric) m, &plain);
				clustered_rows(dims[i][0]);
				bit_block(x, c, y, dims[i][0], dims[i][1], (VqMetric) m, &groups);
			}
			snprintf(what, sizeof(what), "normal %d/%d metric %d", dims[i][0], dims[i][1], m);
			check_stats(&plain, 1.08, 0.004, what);
			snprintf(what, sizeof(what), "groups %d/%d metric %d", dims[i][0], dims[i][1], m);
			/* the errors of a group's rows are one error: rarer, but together */
			check_stats(&groups, 1.2, 0.015, what);
		}
	}
}

static void
check_corner_factors(void)
{
	float		scratch[MAX_DIM];
	uint8_t		code[MAX_DIM / 8];
	VqBitFactors f;

	for (int m = VQ_L2; m <= VQ_IP; m++)
	{
		normal_rows(64, 0);
		memcpy(x, c, 64 * sizeof(float));
		vq_bit_encode(x, c, 64, 64, (VqMetric) m, scratch, code, &f);
		CHECK(f.add == 0 && f.scale == 0 && f.err == 0, "x = c: %g %g %g", f.add, f.scale, f.err);

		/* all of the residual beyond the coded dimensions */
		x[40] += 2;
		vq_bit_encode(x, c, 64, 32, (VqMetric) m, scratch, code, &f);
		CHECK_NEAR(f.add, m == VQ_L2 ? exact_l2(x, c, 64) : 0, 1e-5);
		CHECK(f.scale == 0 && f.err * sqrt(63) >= 2 - 1e-4, "uncoded: %g %g", f.scale, f.err);

		x[3] = NAN;
		vq_bit_encode(x, c, 64, 64, (VqMetric) m, scratch, code, &f);
		CHECK(f.add == 0 && f.scale == 0 && f.err > FLT_MAX, "NaN: %g %g", f.add, f.err);
		x[3] = -INFINITY;
		vq_bit_encode(x, c, 64, 64, (VqMetric) m, scratch, code, &f);
		CHECK(f.add == 0 && f.scale == 0 && f.err > FLT_MAX, "infinity: %g %g", f.add, f.err);
	}
	CHECK_NEAR(vq_bit_eps(3, 768), 3, 0);
	CHECK_NEAR(vq_bit_eps(30, 101), 10, 1e-6);
	CHECK_NEAR(vq_bit_eps(3, 17), 4, 1e-6);
	CHECK_NEAR(vq_bit_eps(3, 1), 1, 0);
}

/*
 * With sqrt(dim - 1) deviations the bound is certain, for values near those of
 * float16 and beyond them as well.
 */
static void
check_certain(void)
{
	static const double sizes[] = {1, 1e-3, 1e-7, 1e-20, 1e3, 1e6, 1e9, 1e18};
	int			dim = 48;

	for (int t = 0; t < 400; t++)
	{
		double		size = sizes[t % 8];
		float		scratch[48];
		uint8_t		code[6];
		VqMetric	metric = t / 8 % 2 ? VQ_IP : VQ_L2;
		VqBitFactors f;
		uint16_t	half[2];
		float		back[2];
		double		s_y = 0;
		double		v;
		double		est;
		double		truth;

		normal_rows(dim, 0);
		for (int d = 0; d < dim; d++)
		{
			x[d] = (float) (size * x[d] * (t % 3 ? 1 : pow(10, normal())));
			c[d] *= (float) size;
			y[d] *= (float) size;
		}
		vq_bit_encode(x, c, dim, t % 5 ? 48 : 32, metric, scratch, code, &f);
		vk->f32_to_f16(&f.scale, &half[0], 1);
		vk->f32_to_f16(&f.err, &half[1], 1);
		vk->f16_to_f32(half, back, 2);
		CHECK(back[0] == f.scale, "scale %g is no float16", f.scale);
		for (int d = 0; d < (t % 5 ? 48 : 32); d++)
			s_y += (code[d / 8] >> d % 8 & 1 ? 0.5 : -0.5) * y[d];
		v = sqrt(metric == VQ_L2 ? exact_l2(y, c, dim) : exact_dot(y, y, dim));
		est = f.add + (metric == VQ_L2 ? v * v : -exact_dot(y, c, dim)) + f.scale * s_y;
		truth = exact_value(y, x, dim, metric);
		CHECK(fabs(truth - est) <= (metric == VQ_L2 ? 2 : 1) * sqrt(dim - 1) * v * back[1] *
			  (1 + 1e-6) + 1e-5 * (fabs(truth) + fabs(est)), "size %g: %g estimated %g", size,
			  truth, est);
	}
}

static void
check_blocks(void)
{
	for (int sdim = 16; sdim <= 272; sdim += 16)
	{
		uint8_t    *block = calloc(1, vq_block_bytes(sdim));
		uint8_t		code[VQ_BLOCK][34];
		uint8_t		back[34];
		uint8_t		lut[4 * 272];
		uint32_t	sum[VQ_BLOCK];

		/* in any order, and over what was there */
		for (int i = 0; i < 3 * VQ_BLOCK; i++)
		{
			int			slot = i * 7 % VQ_BLOCK;

			for (int b = 0; b < sdim / 8; b++)
				code[slot][b] = (uint8_t) unit_below(256);
			vq_block_put(block, sdim, slot, code[slot]);
		}
		for (int i = 0; i < 4 * sdim; i++)
			lut[i] = (uint8_t) unit_below(256);
		vk->fastscan_32(block, lut, (size_t) sdim / 4, sum);
		for (int slot = 0; slot < VQ_BLOCK; slot++)
		{
			uint32_t	want = 0;

			vq_block_get(block, sdim, slot, back);
			CHECK(memcmp(back, code[slot], (size_t) sdim / 8) == 0, "slot %d of %d dims", slot, sdim);
			for (int g = 0; g < sdim / 4; g++)
				want += lut[16 * g + (code[slot][g / 2] >> g % 2 * 4 & 15)];
			CHECK_EQ(sum[slot], want);
		}
		free(block);
	}
}

/* base + delta * table sums is <s,y> within half a step per group. */
static void
check_query(void)
{
	uint8_t		lut[4 * MAX_DIM];
	VqBitQuery	q;

	for (int t = 0; t < 200; t++)
	{
		int			dim = 16 * (1 + (int) unit_below(96));
		double		truth = 0;
		double		sum = 0;

		for (int d = 0; d < dim; d++)
			y[d] = (float) (normal() * (t % 2 ? 1 : pow(10, normal())) + t % 3);
		vq_bit_query(&q, y, dim, lut);
		for (int g = 0; g < dim / 4; g++)
		{
			unsigned	bits = unit_below(16);

			for (int d = 0; d < 4; d++)
				truth += (bits >> d & 1 ? 0.5 : -0.5) * y[4 * g + d];
			sum += lut[16 * g + bits];
		}
		CHECK_NEAR(q.base + q.delta * sum, truth, 0.5 * dim / 4 * q.delta * 1.01 + 1e-6);
	}
	memset(y, 0, sizeof(y));
	vq_bit_query(&q, y, 64, lut);
	CHECK(q.base == 0 && q.delta == 0 && lut[255] == 0, "zero query: %g %g", q.base, q.delta);
	y[5] = NAN;
	vq_bit_query(&q, y, 64, lut);
	CHECK(q.base == 0 && q.delta == 0, "NaN query: %g %g", q.base, q.delta);
}

/* ---- refine codecs ---- */

static void
check_table(void)
{
	static const char *const names[] = {"rabitq8", "rabitq4", "sq8", "flat", "rabitq6", "l1"};

	for (int id = VQ_RABITQ8; id <= VQ_L1CODE; id++)
	{
		const VqCodec *codec = vq_codec(id);

		CHECK(codec && codec->id == id && vq_codec_by_name(names[id - 1]) == codec, "codec %d", id);
		for (int dim = 16; dim < 200; dim += 16)
			CHECK(codec->bytes(dim) % 4 == 0 &&
				  codec->bytes(dim) * 8 >= (size_t) (dim * codec->bits), "%s: bytes", codec->name);
	}
	CHECK(vq_codec(VQ_NONE) == NULL && vq_codec(99) == NULL, "unknown ids");
	CHECK(vq_codec_by_name("none") == NULL, "unknown name");
}

/* cos^2 between residual and code on normal rows: what the README promises. */
static void
check_precision(void)
{
	static const double least[] = {0, 0.9998, 0.988, 0.999, 0.9999999, 0.9985};
	static const double worst[] = {0, 0.9997, 0.975, 0.998, 0.9999999, 0.998};
	float		params[2] = {0, 0};

	for (int id = VQ_RABITQ8; id <= VQ_RABITQ6; id++)
	{
		const VqCodec *codec = vq_codec(id);
		double		mean = 0;
		double		min = 1;

		memset(c, 0, sizeof(c));
		for (int d = 0; d < VQ_BLOCK * 768; d++)
			x[d] = (float) normal();
		if (codec->train)
			codec->train(x, VQ_BLOCK, 768, params);
		for (int t = 0; t < 10 * VQ_BLOCK; t++)
		{
			double		cos2;

			for (int d = 0; d < 768; d++)
			{
				x[d] = (float) normal();
				y[d] = (float) normal();
			}
			cos2 = 1 - pow(check_codec(codec, x, c, y, 768, params, "normal"), 2);
			mean += cos2 / (10 * VQ_BLOCK);
			min = VP_MIN(min, cos2);
		}
		printf("%s: cos^2 mean %.6f, least %.6f\n", codec->name, mean, min);
		CHECK(mean >= least[id], "%s: mean cos^2 %.6f", codec->name, mean);
		CHECK(min >= worst[id], "%s: least cos^2 %.6f", codec->name, min);
	}
}

/* One row of a kind that breaks bounds: kinds repeat every NKINDS. */
#define NKINDS 14

static const char *
awkward_row(int kind, int dim)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
	static const double sizes[] = {1, 1e-20, 1e18, 1e-38, 1e37, 1e19};
	double		size = kind < 6 ? sizes[kind] : 1;
	double		offset = kind == 6 ? 1e4 : 0;

	for (int d = 0; d < dim; d++)
	{
		c[d] = (float) (offset + size * normal());
		x[d] = (float) (c[d] + size * normal());
		y[d] = (float) (offset + size * normal());
		if (kind == 7)
			x[d] = (float) (c[d] + normal() * exp(6 * normal()));	/* a few huge */
		else if (kind == 8)
			x[d] = c[d];
		else if (kind == 9)
			y[d] = x[d];
		else if (kind == 10)
			y[d] = x[d] + (float) (1e-4 * normal());
		else if (kind == 11)
			x[d] = c[d] + (float) (1e-20 * normal());
		else if (kind == 12)
		{
			c[d] = 0;
			x[d] = (float) rint(2 * normal());
			y[d] = (float) rint(2 * normal());
		}
	}
	if (kind == 8 && unit_below(2))
		x[unit_below((unsigned) dim)] += 1;
	if (kind == 13)
		(unit_below(2) ? x : y)[unit_below((unsigned) dim)] = bad[unit_below(4)];
	return kind == 13 ? "not finite" : kind == 9 ? "y = x" : kind == 8 ? "x = c" :
		kind == 7 ? "heavy tails" : kind == 6 ? "offset" : "sizes";
}

static void
check_awkward(int rounds)
{
	for (int t = 0; t < rounds; t++)
	{
		int			dim = 16 * (1 + (int) unit_below(8));
		const char *what;

		if (t % 50 == 0)
			dim = t % 100 ? 768 : 1536;
		what = awkward_row((int) unit_below(NKINDS), dim);
		for (int id = VQ_RABITQ8; id <= VQ_RABITQ6; id++)
		{
			float		params[2] = {0, 0};

			if (vq_codec(id)->train)
			{
				float		residual[MAX_DIM];

				for (int d = 0; d < dim; d++)
					residual[d] = x[d] - c[d];
				vq_codec(id)->train(residual, 1, dim, params);
				if (t % 4 == 0)
					params[0] *= 0.2f, params[1] *= 0.2f;	/* rows that are cut */
			}
			check_codec(vq_codec(id), x, c, y, dim, params, what);
		}
	}
}

/* A 6-bit code is its row's 8-bit code, narrowed: whatever the row is. */
static void
check_nested(void)
{
	const VqCodec *six = vq_codec(VQ_RABITQ6);
	uint8_t		code8[16 + MAX_DIM];
	uint8_t		code6[16 + MAX_DIM];
	uint8_t		narrowed[16 + MAX_DIM];
	float		scratch[2 * MAX_DIM];

	for (int t = 0; t < 600; t++)
	{
		int			dim = 16 * (1 + (int) unit_below(t % 20 ? 12 : 96));
		float		factors[4];
		const char *what = awkward_row(t % NKINDS, dim);

		six->encode(x, c, dim, NULL, scratch, code6);
		vq_codec(VQ_RABITQ8)->encode(x, c, dim, NULL, scratch, code8);
		vq_rabitq6_factors(code8, x, c, dim, factors);
		memset(narrowed, 0xff, sizeof(narrowed));
		vq_rabitq6_narrow(code8, factors, dim, narrowed);
		CHECK(memcmp(code6, narrowed, six->bytes(dim)) == 0, "%s: not nested at %d dims", what, dim);
		for (int d = 0; d < dim; d++)
		{
			int			low = code6[16 + d / 32 * 16 + d % 16] >> d % 32 / 16 * 4 & 15;
			int			high = code6[16 + (dim + 31) / 32 * 16 + d / 64 * 16 + d % 16] >>
				d % 64 / 16 * 2 & 3;

			CHECK(low + 16 * high == code8[16 + d] >> 2, "%s: dimension %d of %d", what, d, dim);
		}
	}
}

/* The L1 code of x: its bound holds the true sum and what any kernel makes of it. */
static void
check_l1_row(int dim, const float *params, const char *what)
{
	const VqCodec *codec = vq_codec(VQ_L1CODE);
	uint8_t		code[8 + MAX_DIM];
	float		back[MAX_DIM];
	VqPoint		p = {y, 0, 0, 0, 0};
	VqBound		b;
	double		truth = 0;
	double		decoded = 0;
	float		e;
	float		sum;

	codec->encode(x, NULL, dim, params, NULL, code);
	codec->bound(&p, code, dim, params, VQ_L1, &b);
	e = codec->decode(code, NULL, dim, params, back);
	for (int d = 0; d < dim; d++)
	{
		truth += fabs((double) y[d] - x[d]);
		decoded += fabs((double) y[d] - back[d]);
	}
	sum = vk->l1_f32(y, x, (size_t) dim);
	CHECK(b.lo <= b.est && b.est <= b.hi && b.est - b.est == 0 && b.steer == b.est,
		  "l1 %s dim %d: %g in [%g, %g]", what, dim, b.est, b.lo, b.hi);
	CHECK(!(truth < b.lo || truth > b.hi || sum < b.lo || sum > b.hi) &&
		  (truth - truth == 0 || b.hi > FLT_MAX),
		  "l1 %s dim %d: %.9g (%.9g) not in [%.9g, %.9g]", what, dim, truth, sum, b.lo, b.hi);
	CHECK(!(sqrt(exact_l2(back, x, dim)) > e), "l1 %s dim %d: decoded %g away, |e| %g", what, dim,
		  sqrt(exact_l2(back, x, dim)), e);
	if (b.hi <= FLT_MAX)
		CHECK_NEAR(codec->value(&p, code, dim, params, VQ_L1), decoded,
				   (dim + 64) * 0x1p-23 * (decoded + dim * (fabs(params[0]) + 255 * params[1])));
}

static void
check_l1(int rounds)
{
	float		params[2];

	for (int t = 0; t < rounds; t++)
	{
		int			dim = t % 50 == 0 ? 768 : 1 + (int) unit_below(200);
		const char *what = awkward_row((int) unit_below(NKINDS), dim);

		vq_codec(VQ_L1CODE)->train(x, 1, dim, params);
		CHECK(params[1] > 0 && params[1] <= FLT_MAX, "l1 %s: step %g", what, params[1]);
		if (t % 4 == 0)
			params[1] *= 0.2f;	/* rows that are cut */
		check_l1_row(dim, params, what);
	}
}

static void
check_l1_training(void)
{
	const VqCodec *codec = vq_codec(VQ_L1CODE);
	float		params[2];
	double		e1 = 0;
	double		sum = 0;

	codec->train(NULL, 0, 64, params);
	CHECK(params[1] > 0, "no sample: step %g", params[1]);
	for (int d = 0; d < 64 * 64; d++)
		x[d] = 5;
	codec->train(x, 64, 64, params);
	CHECK(params[0] == 5 && params[1] > 0, "one value: %g %g", params[0], params[1]);

	/* lopsided values, two outliers: the range is that of the many */
	for (int d = 0; d < VQ_BLOCK * 1024; d++)
		x[d] = (float) (1 + fabs(normal()));
	x[100] = 1e6f;
	x[200] = NAN;
	x[300] = -1e30f;
	codec->train(x, VQ_BLOCK, 1024, params);
	CHECK(params[0] >= 0.99 && params[0] < 1.05 && params[0] + 255 * params[1] > 3.9 &&
		  params[0] + 255 * params[1] < 4.9, "l1: %g to %g", params[0], params[0] + 255 * params[1]);

	/* on normal rows the bound is about one per cent */
	for (int d = 0; d < VQ_BLOCK * 1024; d++)
		x[d] = (float) normal();
	codec->train(x, VQ_BLOCK, 1024, params);
	for (int t = 0; t < 200; t++)
	{
		uint8_t		code[8 + 64];
		float		f;

		for (int d = 0; d < 64; d++)
		{
			x[d] = (float) normal();
			y[d] = (float) normal();
		}
		check_l1_row(64, params, "normal");
		codec->encode(x, NULL, 64, params, NULL, code);
		memcpy(&f, code, sizeof(f));
		e1 += f;
		sum += vk->l1_f32(x, y, 64);
	}
	printf("l1: |x - x^| is %.4f of |x - y| on normal rows\n", e1 / sum);
	CHECK(e1 / sum < 0.008, "l1: %.4f", e1 / sum);
}

static void
check_training(void)
{
	float		params[2];
	const VqCodec *sq8 = vq_codec(VQ_SQ8);

	sq8->train(NULL, 0, 64, params);
	CHECK(params[1] > 0, "no sample: step %g", params[1]);
	memset(x, 0, sizeof(x));
	sq8->train(x, 8, 64, params);
	CHECK(params[1] > 0, "zeros: step %g", params[1]);
	for (int d = 0; d < 64 * 64; d++)
		x[d] = (float) normal();
	x[100] = 1e6f;
	x[200] = NAN;
	sq8->train(x, 64, 64, params);
	CHECK(params[1] > 0 && params[1] * 255 < 4e6, "an outlier: step %g", params[1]);
}

int
main(void)
{
	vk_init();
	check_blocks();
	check_query();
	check_plane();
	check_corner_factors();
	check_certain();
	check_table();
	check_precision();
	check_training();
	check_nested();
	check_l1_training();
	for (int level = VK_AVX512; level >= VK_SCALAR; level--)
	{
		/* the best level has most rounds, scalar as many as its time allows */
		if (!vk_set_level((VkLevel) level))
			continue;
		check_awkward(level == (int) vk_best_level() ? 20000 : 2000);
		check_l1(level == (int) vk_best_level() ? 10000 : 2000);
	}
	return unit_done();
}
