/*
 * ivfeffort.c -- from a recall target to the number of lists to read.
 *
 * What it is not: the measurement (ivfcalibrate.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "am/ivf/ivf.h"
#include "pg/options.h"

/* One-sided 95 % confidence. */
#define CONFIDENCE 1.645

/*
 * What the curve does not see: neighbours whose list is read but which the
 * scan-plane estimate passes over at vecpg.epsilon = 2 (measured: .001 to .003),
 * and what rows of the table as queries are easier than other ones (measured
 * on bge and made rows at .99: about .003).
 */
#define SCAN_LOSS 0.006

const int	ivf_open_factors[IVF_OPEN_FACTORS] = {8, 16, 32, 64, 128};

static int64 unmeasured_probes(int lists, double target, int64 rows);
static double probes_for(const IvfCurve *c10, const IvfCurve *c100, int f, double target,
						 int64 rows);
static double curve_probes(const IvfCurve *curve, int f, double target);

double
ivf_target_recall(Relation index)
{
	if (vecpg_target_recall > 0)
		return vecpg_target_recall;
	return vecpg_ivf_options(index)->target_recall;
}

int
ivf_probe_grid(int lists, uint32 *grid)
{
	int			n = 0;
	double		p = 1;

	while (n < IVF_CURVE_POINTS - 1 && (int) p < lists)
	{
		if (n == 0 || (uint32) p != grid[n - 1])
			grid[n++] = (uint32) p;
		p = p < 8 ? p + 1 : p * 1.4;
	}
	grid[n++] = lists;
	return n;
}

/* Prices in microseconds, measured: a list is a page and two blocks of codes. */
#define LIST_PRICE 1.4
#define ENTRY_PRICE 0.055

IvfEffort
ivf_effort(const IvfMetaData *meta, double target, int64 rows)
{
	int			lists = Max(meta->nlists, 1);
	const IvfCurve *c10 = &meta->curve[0];
	const IvfCurve *c100 = &meta->curve[1];
	IvfEffort	best = {lists, IVF_OPEN_DEFAULT};
	double		least = INFINITY;
	int			f;

	if (c10->queries == 0)
		best.probes = unmeasured_probes(lists, target, rows);
	else
		for (f = 0; f < IVF_OPEN_FACTORS; f++)
		{
			double		probes = probes_for(c10, c100, f, target, rows);
			double		price;

			/* The index has been split since: the same share of its lists. */
			if (meta->nlists > c10->lists)
				probes *= (double) meta->nlists / c10->lists;
			price = probes * LIST_PRICE + Min(probes * ivf_open_factors[f], lists) * ENTRY_PRICE;
			if (price < least)
			{
				least = price;
				best.probes = (int64) ceil(probes);
				best.open = ivf_open_factors[f];
			}
		}
	/* No fewer lists than hold the rows asked for, were they full. */
	best.probes = Max(best.probes, rows / (2 * VQ_BLOCK));
	best.probes = Max(1, Min(best.probes, lists));
	return best;
}

/* An index that was empty when it was built: a share that falls as it grows. */
static int64
unmeasured_probes(int lists, double target, int64 rows)
{
	double		probes = 8 + 4 * sqrt((double) lists);

	if (target > 0.95)
		probes *= 2;
	if (rows > 10)
		probes *= pow(rows / 10.0, 0.3);
	return (int64) ceil(probes);
}

/* Between the curves of 10 and 100 rows, and beyond. */
static double
probes_for(const IvfCurve *c10, const IvfCurve *c100, int f, double target, int64 rows)
{
	double		p10 = curve_probes(c10, f, target);
	double		p100 = c100->queries ? curve_probes(c100, f, target) : p10 * 1.6;

	p100 = Max(p100, p10);
	if (rows <= 10 || isinf(p10))
		return p10;
	if (rows <= 100)
		return isinf(p100) ? p100 : p10 * pow(p100 / p10, log10(rows / 10.0));
	return p100 * sqrt(rows / 100.0);
}

/*
 * The least measured effort whose lower confidence limit reaches the target,
 * or infinity if this factor never does.
 */
static double
curve_probes(const IvfCurve *curve, int f, double target)
{
	double		before = 0;
	double		before_recall = 0;
	uint32		i;

	target = Min(target + SCAN_LOSS, 0.9999);
	for (i = 0; i < Min(curve->points, IVF_CURVE_POINTS); i++)
	{
		const IvfCurvePoint *p = &curve->point[i];
		double		sure = p->recall[f] - CONFIDENCE * p->error[f];

		if (sure >= target)
		{
			/* Between two grid points, recall is near linear in log(probes). */
			if (i == 0 || sure <= before_recall)
				return p->probes;
			return before * pow(p->probes / before,
								(target - before_recall) / (sure - before_recall));
		}
		before = p->probes;
		before_recall = sure;
	}
	return INFINITY;
}
