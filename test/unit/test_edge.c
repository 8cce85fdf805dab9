/*
 * test_edge.c -- codes of graph edges: estimates, factors, corner cases.
 *
 * What it is not: a measure of recall, or of time.
 *
 * An estimate's error is measured in units of |r| |y - c|, where edge.h
 * promises a standard deviation of .04 at the bits it chooses.
 */
#include "quant/edge.h"

#include "quant_data.h"

#define MAX_DIM 2048
#define EDGES 32
#define GAP 4					/* bytes between edges, as a page has its own there */

static float x[EDGES * MAX_DIM];
static float c[MAX_DIM];
static float y[MAX_DIM];
static float scratch[2 * MAX_DIM];
static uint8_t edges[EDGES * (MAX_DIM + 64)];
static int8_t y8[VQ_EDGE_DIMS];
static float est[EDGES];

typedef struct Errors
{
	double		mean;
	double		std;
	double		len_mean;		/* of vq_edge_length2 / |r|^2 */
	double		len_std;
} Errors;

static size_t
stride_of(int bits, int edim)
{
	return vq_edge_bytes(bits, edim) + GAP;
}

/* Node, query and neighbours; residuals of lengths from .1 to 3 times `size`. */
static void
make_rows(int dim, double size)
{
	for (int d = 0; d < dim; d++)
	{
		c[d] = (float) (size * normal());
		y[d] = (float) (c[d] + size * normal());
	}
	for (int i = 0; i < EDGES; i++)
	{
		double		length = size * pow(10, 0.75 * unit_uniform() - 0.25);

		for (int d = 0; d < dim; d++)
			x[i * dim + d] = (float) (c[d] + length * normal());
	}
}

static void
encode_all(int bits, int dim, int edim, VqMetric metric, float unit)
{
	for (int i = 0; i < EDGES; i++)
		vq_edge_encode(bits, x + i * dim, c, dim, edim, metric, unit, scratch,
					   edges + i * stride_of(bits, edim));
}

static void
estimate_all(int bits, int dim, int edim, VqMetric metric, float unit, int count)
{
	VqEdgeQuery q;
	double		own = exact_value(y, c, dim, metric);

	vq_edge_query(&q, bits, edim, unit, y, y8);
	vq_edge_estimate(&q, edges, stride_of(bits, edim), count, (float) own, est);
}

static Errors
errors_of(int bits, int dim, int edim, VqMetric metric, double size, int rounds)
{
	float		unit = (float) (size * sqrt(2.0 * dim));
	double		n = (double) rounds * EDGES;
	Errors		e = {0, 0, 0, 0};

	for (int t = 0; t < rounds; t++)
	{
		double		v;

		make_rows(dim, size);
		encode_all(bits, dim, edim, metric, unit);
		estimate_all(bits, dim, edim, metric, unit, EDGES);
		v = sqrt(exact_l2(y, c, dim));
		for (int i = 0; i < EDGES; i++)
		{
			double		r2 = exact_l2(x + i * dim, c, dim);
			double		truth = exact_value(y, x + i * dim, dim, metric);
			double		off = (est[i] - truth) / (sqrt(r2) * v * (metric == VQ_L2 ? 2 : 1));
			double		length = vq_edge_length2(bits, edim, dim, metric, unit,
												 edges + i * stride_of(bits, edim)) / r2;

			e.mean += off / n;
			e.std += off * off / n;
			e.len_mean += length / n;
			e.len_std += (length - 1) * (length - 1) / n;
		}
	}
	e.std = sqrt(e.std);
	e.len_std = sqrt(e.len_std);
	return e;
}

/*
 * Measured: standard deviation of the estimate's error in |r| |y - c| (its mean
 * is 0 within .001, L2 and IP are alike), and of the length's square.
 *
 *	dims   bits  estimate  length^2
 *	  16   8     .0021     .0004
 *	  32   4     .0176     .005
 *	  96   4     .0108     .004
 *	 112   2     .0346     .018
 *	 384   2     .0191     .011
 *	 400   1     .0378     .027
 *	 768   1     .0272     .019
 *	1536   1     .0194     .013
 *	2048   1     .0231     .023	(the first 1536)
 */
static void
check_errors(void)
{
	static const struct
	{
		int			dim;
		int			edim;
		double		std;
		double		len_std;
	}			cases[] = {
		{16, 16, 0.003, 0.002}, {32, 32, 0.021, 0.008}, {96, 96, 0.013, 0.008},
		{112, 112, 0.04, 0.025}, {384, 384, 0.022, 0.016}, {400, 400, 0.043, 0.035},
		{768, 768, 0.031, 0.025}, {1536, 1536, 0.022, 0.018}, {2048, 1536, 0.027, 0.03},
	};
	/* squares of distances must be float32 numbers for any use of them */
	static const double sizes[] = {1, 4e-16, 2e15, 1e-3, 1e4};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int			dim = cases[i].dim;
		int			bits = vq_edge_bits(dim);

		for (int m = VQ_L2; m <= VQ_IP; m++)
		{
			for (int k = 0; k < 5; k++)
			{
				double		size = sizes[k];
				Errors		e = errors_of(bits, dim, cases[i].edim, (VqMetric) m, size, k ? 10 : 60);

				if (k == 0)
					printf("%d dims, %d bits, metric %d: mean %.4f std %.4f, length^2 %.4f %.4f\n",
						   dim, bits, m, e.mean, e.std, e.len_mean, e.len_std);
				CHECK(fabs(e.mean) < (k ? 0.012 : 0.005) && e.std < cases[i].std,
					  "%d dims, %d bits, metric %d, size %g: mean %.4f std %.4f", dim, bits, m, size,
					  e.mean, e.std);
				CHECK(fabs(e.len_mean - 1) < 0.02 && e.len_std < cases[i].len_std,
					  "%d dims, %d bits, metric %d, size %g: length^2 %.4f %.4f", dim, bits, m, size,
					  e.len_mean, e.len_std);
			}
		}
	}
}

/* Every width at every kind of dim, and any count, gives what edge.h says. */
static void
check_formula(void)
{
	for (int bits = 1; bits <= 8; bits *= 2)
	{
		for (int dim = 16; dim <= 208; dim += 16)
		{
			int			edim = dim > 160 ? 160 : dim;
			int			count = (int) unit_below(EDGES + 1);
			size_t		stride = stride_of(bits, edim);
			float		unit = (float) sqrt(2.0 * dim);
			VqEdgeQuery q;

			make_rows(dim, 1);
			encode_all(bits, dim, edim, VQ_L2, unit);
			for (int i = 0; i < EDGES; i++)
				est[i] = -1;
			estimate_all(bits, dim, edim, VQ_L2, unit, count);
			vq_edge_query(&q, bits, edim, unit, y, y8);
			for (int i = 0; i < count; i++)
			{
				const uint8_t *code = edges + i * stride + VQ_EDGE_HEAD;
				double		want = exact_l2(y, c, dim);
				double		s_y = 0;
				float		f[2];

				vk->f16_to_f32((const uint16_t *) (edges + i * stride), f, 2);
				for (int d = 0; d < edim; d++)
				{
					int			group = 16 * 8 / bits;
					int			u = bits == 1 ? code[d / 8] >> d % 8 & 1
						: code[d / group * 16 + d % 16] >> d % group / 16 * bits & ((1 << bits) - 1);

					s_y += (u - 0.5 * ((1 << bits) - 1)) * y8[d] * (q.mul / unit);
				}
				want += f[0] * unit * unit + f[1] * unit * s_y;
				CHECK_NEAR(est[i], want, 1e-4 * dim);
			}
			for (int i = count; i < EDGES; i++)
				CHECK(est[i] == -1, "%d edges: writes the %dth", count, i);
		}
	}
}

static void
check_corners(void)
{
	for (int bits = 1; bits <= 8; bits *= 2)
	{
		for (int m = VQ_L2; m <= VQ_IP; m++)
		{
			double		own;
			uint16_t	f[2];

			/* the node itself: nothing to add */
			make_rows(64, 1);
			own = exact_value(y, c, 64, (VqMetric) m);
			memcpy(x, c, 64 * sizeof(float));
			encode_all(bits, 64, 64, (VqMetric) m, 8);
			estimate_all(bits, 64, 64, (VqMetric) m, 8, 1);
			memcpy(f, edges, sizeof(f));
			CHECK((f[0] & 0x7fff) == 0 && (f[1] & 0x7fff) == 0, "x = c: %04x %04x", f[0], f[1]);
			CHECK(est[0] == (float) own, "x = c: %g, not %g", est[0], own);
			CHECK(vq_edge_length2(bits, 64, 64, (VqMetric) m, 8, edges) == 0, "x = c: a length");

			/* a query of zeros */
			memset(y, 0, sizeof(y));
			estimate_all(bits, 64, 64, (VqMetric) m, 8, EDGES);
			for (int i = 0; i < EDGES; i++)
				CHECK(est[i] - est[i] == 0, "zero query: %g", est[i]);

			/* factors beyond float16, huge and all zero nodes: cut, but numbers */
			make_rows(64, 1e3);
			encode_all(bits, 64, 64, (VqMetric) m, 1e-4f);
			for (int i = 0; i < EDGES; i++)
			{
				memcpy(f, edges + i * stride_of(bits, 64), sizeof(f));
				CHECK((f[0] & 0x7fff) <= 0x7bff && (f[1] & 0x7fff) <= 0x7bff, "cut: %04x %04x",
					  f[0], f[1]);
			}
			memset(c, 0, sizeof(c));
			x[7] = 3e38f;
			x[64 + 9] = 1e-44f;
			encode_all(bits, 64, 64, (VqMetric) m, 0);
			for (int i = 0; i < EDGES; i++)
			{
				memcpy(f, edges + i * stride_of(bits, 64), sizeof(f));
				CHECK((f[0] & 0x7fff) <= 0x7bff && (f[1] & 0x7fff) <= 0x7bff, "no unit: %04x %04x",
					  f[0], f[1]);
			}
		}
	}

	/* all of the residual where nothing is coded: no estimate, but its length */
	make_rows(64, 1);
	memcpy(x, c, 64 * sizeof(float));
	x[40] += 2;
	encode_all(1, 64, 32, VQ_L2, 8);
	estimate_all(1, 64, 32, VQ_L2, 8, 1);
	CHECK_NEAR(est[0], exact_l2(y, c, 64) + 4, 0.01);
}

/* An index does not depend on the CPU that built it. */
static void
check_levels(void)
{
	static uint8_t first[sizeof(edges)];

	for (int t = 0; t < 60; t++)
	{
		int			bits = 1 << t % 4;
		int			dim = 16 * (1 + (int) unit_below(48));
		int			edim = t % 3 ? dim : dim / 32 * 16 + 16;
		size_t		bytes = stride_of(bits, edim) * EDGES;

		make_rows(dim, t % 5 ? 1 : 1e-20);
		memset(edges, 0, sizeof(edges));
		vk_set_level(VK_SCALAR);
		encode_all(bits, dim, edim, t % 2 ? VQ_L2 : VQ_IP, 20);
		memcpy(first, edges, bytes);
		for (int level = VK_NEON; level <= VK_AVX512; level++)
		{
			if (!vk_set_level((VkLevel) level))
				continue;
			encode_all(bits, dim, edim, t % 2 ? VQ_L2 : VQ_IP, 20);
			CHECK(memcmp(first, edges, bytes) == 0, "%d bits, %d dims: level %d differs", bits, dim,
				  level);
		}
	}
	vk_init();
}

static void
check_sizes(void)
{
	for (int bits = 1; bits <= 8; bits *= 2)
	{
		for (int dim = 16; dim <= VQ_EDGE_DIMS; dim += 16)
			CHECK(vq_edge_bytes(bits, dim) % 2 == 0 &&
				  vq_edge_bytes(bits, dim) * 8 >= (size_t) (8 * VQ_EDGE_HEAD + bits * dim),
				  "%d bits, %d dims", bits, dim);
	}
	CHECK_EQ(vq_edge_bytes(1, 768), 100);
	CHECK(vq_edge_bits(16) == 8 && vq_edge_bits(32) == 4 && vq_edge_bits(96) == 4 &&
		  vq_edge_bits(112) == 2 && vq_edge_bits(384) == 2 && vq_edge_bits(400) == 1, "bits");
}

int
main(void)
{
	vk_init();
	check_sizes();
	check_errors();
	check_formula();
	check_corners();
	check_levels();
	return unit_done();
}
