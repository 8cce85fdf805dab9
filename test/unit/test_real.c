/*
 * test_real.c -- scan plane, codecs and tree on real rows, where there are any.
 *
 * What it is not: dependent on them. VECPG_UNIT_REAL names a raw file (int32
 * rows, int32 dims, then float32 values); without it rows are made, with the
 * low intrinsic dimension and the uneven clusters of real ones.
 *
 * The rows take the way of the ivf index: mean shift, rotation, lists about
 * leaves of the tree, 1-bit codes about each row's list centre.
 */
#include "math/kmeans.h"
#include "math/rotate.h"

#include "quant_data.h"

#define MAX_ROWS 4000
#define QUERIES 20
#define KDIM_MAX 256

static float *rows;				/* n x dim, rotated */
static int	n;
static int	dims;
static int	dim;

/* ---- rows ---- */

static float *
read_file(const char *path)
{
	FILE	   *file = fopen(path, "rb");
	int32_t		head[2];
	float	   *raw;

	if (file == NULL || fread(head, sizeof(head), 1, file) != 1 ||
		head[0] < 100 || head[1] < 1 || head[1] > 16000)
	{
		printf("%s: not a file of vectors\n", path);
		exit(2);
	}
	n = VP_MIN(head[0], MAX_ROWS);
	dims = head[1];
	raw = malloc((size_t) n * (size_t) dims * sizeof(float));
	if (fread(raw, (size_t) dims * sizeof(float), (size_t) n, file) != (size_t) n)
	{
		printf("%s: too short\n", path);
		exit(2);
	}
	fclose(file);
	return raw;
}

/* 24 hidden dimensions, 40 groups of falling size, a little noise. */
static float *
make_rows(void)
{
	enum
	{
		HIDDEN = 24, GROUPS = 40
	};
	static float basis[HIDDEN][384];
	static float group[GROUPS][HIDDEN];
	float	   *raw;

	n = MAX_ROWS;
	dims = 384;
	raw = malloc((size_t) n * (size_t) dims * sizeof(float));
	for (int h = 0; h < HIDDEN; h++)
	{
		for (int d = 0; d < dims; d++)
			basis[h][d] = (float) normal();
		for (int g = 0; g < GROUPS; g++)
			group[g][h] = (float) (2 * normal());
	}
	for (int i = 0; i < n; i++)
	{
		unsigned	g = unit_below(1 + unit_below(GROUPS));
		float	   *row = raw + (size_t) i * (size_t) dims;

		for (int d = 0; d < dims; d++)
			row[d] = (float) (0.3 * normal());
		for (int h = 0; h < HIDDEN; h++)
		{
			double		along = group[g][h] + normal();

			for (int d = 0; d < dims; d++)
				row[d] += (float) (along * basis[h][d]);
		}
	}
	return raw;
}

/* Shifts by the mean and rotates. */
static void
load(void)
{
	const char *path = getenv("VECPG_UNIT_REAL");
	float	   *raw = path && *path ? read_file(path) : make_rows();
	float	   *mean;
	uint8_t    *signs;
	VmRotation	rot;

	printf("%s: %d rows, %d dims\n", path && *path ? path : "made data", n, dims);
	dim = vm_rotated_dim(dims);
	rows = malloc((size_t) n * (size_t) dim * sizeof(float));
	mean = calloc((size_t) dims, sizeof(float));
	signs = malloc(vm_rotation_bytes(dims));
	for (int i = 0; i < n; i++)
		for (int d = 0; d < dims; d++)
			mean[d] += raw[(size_t) i * (size_t) dims + (size_t) d] / (float) n;
	vm_rotation_init(&rot, dims, 11, signs);
	for (int i = 0; i < n; i++)
		vm_rotate(&rot, raw + (size_t) i * (size_t) dims, mean, rows + (size_t) i * (size_t) dim);
	free(raw);
	free(mean);
	free(signs);
}

static float *
row_of(int i)
{
	return rows + (size_t) i * (size_t) dim;
}

/* ---- lists ---- */

#define MAX_BLOCKS 256

static void *blocks[MAX_BLOCKS];	/* live as long as the program */
static int	nblocks;

static void *
test_alloc(void *arg, size_t bytes)
{
	void	   *p;

	(void) arg;
	if (nblocks == MAX_BLOCKS || posix_memalign(&p, VP_ALIGN, bytes + 1) != 0)
		exit(2);
	blocks[nblocks++] = p;
	return p;
}

static void
test_poll(void *arg)
{
	(void) arg;
}

/* Trains lists of some 40 rows; centre: the mean of each list's rows. */
static int
make_lists(uint32_t *assign, float **centre)
{
	VmEnv		env = {test_alloc, test_poll, NULL, 2, 5};
	int			kdim = VP_MIN(dim, KDIM_MAX);
	int8_t	   *small = test_alloc(NULL, (size_t) n * (size_t) kdim);
	VmRows		in = {small, (size_t) n, (size_t) kdim, kdim};
	VmTree		tree;
	uint32_t   *first = test_alloc(NULL, (size_t) n * 8 * sizeof(uint32_t));
	double		sum2 = 0;
	int			same = 0;
	float	   *size;

	for (int i = 0; i < n; i++)
		sum2 += exact_dot(row_of(i), row_of(i), dim);
	for (int i = 0; i < n; i++)
		vk->f32_to_s8(row_of(i), (float) (30 / sqrt(sum2 / n / dim)), small + i * kdim, (size_t) kdim);
	vm_tree_train(&env, &in, 10, n / 40, 8, &tree, assign);
	vm_tree_assign(&env, &tree, &in, 8, 8, first);
	for (int i = 0; i < n; i++)
		same += first[i * 8] == assign[i];
	CHECK(same > n * 0.7, "%d of %d rows are assigned where they were trained", same, n);
	CHECK(tree.nleaf <= n / 40 * 1.15 + tree.ntop, "%d lists", tree.nleaf);

	*centre = test_alloc(NULL, (size_t) tree.nleaf * (size_t) dim * sizeof(float));
	memset(*centre, 0, (size_t) tree.nleaf * (size_t) dim * sizeof(float));
	size = calloc((size_t) tree.nleaf, sizeof(float));
	for (int i = 0; i < n; i++)
		size[assign[i]]++;
	for (int i = 0; i < n; i++)
		for (int d = 0; d < dim; d++)
			(*centre)[(size_t) assign[i] * (size_t) dim + (size_t) d] += row_of(i)[d] / size[assign[i]];
	free(size);
	return tree.nleaf;
}

/* ---- codes ---- */

/* Every list's first rows in a block, repeated to 32, for a few queries. */
static void
check_plane(const uint32_t *assign, const float *centre, int nlists)
{
	float	   *block = malloc(VQ_BLOCK * (size_t) dim * sizeof(float));

	for (int m = VQ_L2; m <= VQ_IP; m++)
	{
		BitStats	s = {0, 0, 0, 0};
		double		mean;

		for (int list = 0; list < nlists; list++)
		{
			int			filled = 0;

			for (int i = 0; i < n && filled < VQ_BLOCK; i++)
				if (assign[i] == (uint32_t) list)
					memcpy(block + (size_t) filled++ * (size_t) dim, row_of(i),
						   (size_t) dim * sizeof(float));
			if (filled < 4)
				continue;
			for (int i = filled; i < VQ_BLOCK; i++)
				memcpy(block + (size_t) i * (size_t) dim, block + (size_t) (i % filled) * (size_t) dim,
					   (size_t) dim * sizeof(float));
			for (int q = 0; q < QUERIES; q++)
				bit_block(block, centre + (size_t) list * (size_t) dim, row_of(q * (n / QUERIES)), dim,
						  dim, (VqMetric) m, &s);
		}
		mean = s.sum / (double) s.n;
		printf("metric %d: mean error %.3f, deviation %.3f, beyond 3: %.3f %%\n", m, mean,
			   sqrt(s.sum2 / (double) s.n), 100.0 * (double) s.below / (double) s.n);
		CHECK(fabs(mean) < 0.1, "metric %d: mean error %.3f", m, mean);
		CHECK(s.sum2 / (double) s.n < 1.5, "metric %d: variance %.3f", m, s.sum2 / (double) s.n);
		CHECK((double) s.below < 0.01 * (double) s.n, "metric %d: %lu of %lu below", m, s.below, s.n);
	}
	free(block);
}

static void
check_codecs(const uint32_t *assign, const float *centre)
{
	static const double most[] = {0, 0.02, 0.16, 0.2, 0.001, 0.05};

	for (int id = VQ_RABITQ8; id <= VQ_RABITQ6; id++)
	{
		const VqCodec *codec = vq_codec(id);
		float		params[2] = {0, 0};
		double		lost = 0;
		int			count = 0;

		if (codec->train)
		{
			int			sample = VP_MIN(n, 500);
			float	   *r = malloc((size_t) sample * (size_t) dim * sizeof(float));

			for (int i = 0; i < sample; i++)
				for (int d = 0; d < dim; d++)
					r[(size_t) i * (size_t) dim + (size_t) d] = row_of(i)[d] -
						centre[(size_t) assign[i] * (size_t) dim + (size_t) d];
			codec->train(r, (size_t) sample, dim, params);
			free(r);
		}
		for (int i = 0; i < n; i += 3)
		{
			const float *c = centre + (size_t) assign[i] * (size_t) dim;
			double		share = check_codec(codec, row_of(i), c, row_of((i + 1) % n), dim, params, "real");

			/* rows alone in their list equal its centre up to rounding */
			if (exact_l2(row_of(i), c, dim) < 1e-9 * exact_dot(row_of(i), row_of(i), dim))
				continue;
			lost += share;
			count++;
		}
		printf("%s: mean |e| / |r| %.5f\n", codec->name, lost / count);
		CHECK(lost / count < most[id], "%s: mean |e| / |r| %.5f", codec->name, lost / count);
	}
}

int
main(void)
{
	uint32_t   *assign;
	float	   *centre;
	int			nlists;

	vk_init();
	load();
	assign = test_alloc(NULL, (size_t) n * sizeof(uint32_t));
	nlists = make_lists(assign, &centre);
	check_plane(assign, centre, nlists);
	check_codecs(assign, centre);
	while (nblocks > 0)
		free(blocks[--nblocks]);
	free(rows);
	return unit_done();
}
