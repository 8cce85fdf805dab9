/*
 * plan.c -- what is settled before the first row goes in: layers, order, batches.
 *
 * What it is not: dependent on the rows. Everything follows from the seed.
 */
#include "graph/inner.h"

#include <math.h>

#define BATCH_SHARE 32			/* of the rows inserted, that may go in unseen by each other */
#define BATCH_MAX 32768			/* so many that neighbours are in it, to be inserted together */

int
vg_level(uint64_t random, int m)
{
	double		uniform = ((double) (random >> 11) + 1) * 0x1p-53;	/* in (0, 1] */
	double		level = floor(-log(uniform) / log(2 * m));

	return level < VG_MAX_LEVEL ? (int) level : VG_MAX_LEVEL;
}

size_t
vg_plan_levels(uint64_t *random, size_t n, int m, uint8_t *level)
{
	size_t		sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		level[i] = (uint8_t) vg_level(vp_rand(random), m);
		sum += level[i];
	}
	return sum;
}

void
vg_plan_order(uint64_t *random, size_t n, const uint8_t *level, uint32_t *order)
{
	size_t		first = 0;

	for (size_t i = 0; i < n; i++)
	{
		size_t		j = vp_rand(random) % (i + 1);

		order[i] = order[j];
		order[j] = (uint32_t) i;
	}
	for (size_t i = 1; i < n; i++)
		if (level[order[i]] > level[order[first]])
			first = i;
	if (n > 0)
	{
		uint32_t	row = order[first];

		order[first] = order[0];
		order[0] = row;
	}
}

size_t
vg_plan_batch(size_t inserted, size_t n)
{
	size_t		batch = VP_MIN(inserted / BATCH_SHARE, BATCH_MAX);

	return VP_MIN(VP_MAX(batch, 1), n - inserted);
}

/*
 * The sum of n levels has the mean n / (2 m - 1) and the variance
 * 2 n m / (2 m - 1)^2; six deviations and a whole highest row.
 */
size_t
vg_plan_upper(size_t n, int m)
{
	double		rest = 2 * m - 1;

	return (size_t) ((double) n / rest + 6 * sqrt(2.0 * (double) n * m) / rest) + VG_MAX_LEVEL;
}
