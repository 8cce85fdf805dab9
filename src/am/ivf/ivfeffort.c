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
 * scan-plane estimate passes over at vecpg.epsilon = 3 (measured: below .002).
 */
#define SCAN_LOSS 0.002

static double curve_probes(const IvfCurve *curve, double target);

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

int
ivf_effort(const IvfMetaData *meta, double target, int64 rows)
{
	int			lists = Max(meta->nlists, 1);
	const IvfCurve *c10 = &meta->curve[0];
	const IvfCurve *c100 = &meta->curve[1];
	double		probes;

	if (c10->queries == 0)
	{
		/* Never measured: an index that was empty at its build. */
		probes = 8 + 4 * sqrt((double) lists);
		if (target > 0.95)
			probes *= 2;
		if (rows > 10)
			probes *= pow(rows / 10.0, 0.3);
	}
	else
	{
		double		p10 = curve_probes(c10, target);
		double		p100 = c100->queries ? curve_probes(c100, target) : p10 * 1.6;

		p100 = Max(p100, p10);
		if (rows <= 10)
			probes = p10;
		else if (rows <= 100)
			probes = p10 * pow(p100 / p10, log10(rows / 10.0));
		else
			probes = p100 * sqrt(rows / 100.0);
		/* The index has been split since: the same share of its lists. */
		if (meta->nlists > c10->lists)
			probes *= (double) meta->nlists / c10->lists;
	}
	/* No fewer lists than hold the rows asked for, were they full. */
	probes = Max(probes, (double) rows / (2 * VQ_BLOCK));
	return (int) Max(1, Min(ceil(probes), lists));
}

/* The least measured effort whose lower confidence limit reaches the target. */
static double
curve_probes(const IvfCurve *curve, double target)
{
	double		before = 0;
	double		before_recall = 0;
	uint32		i;

	target = Min(target + SCAN_LOSS, 0.9999);
	for (i = 0; i < curve->points; i++)
	{
		const IvfCurvePoint *p = &curve->point[i];
		double		sure = p->recall - CONFIDENCE * p->error;

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
	return curve->points > 0 ? curve->point[curve->points - 1].probes : 1;
}
