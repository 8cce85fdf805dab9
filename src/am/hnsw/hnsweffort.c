/*
 * hnsweffort.c -- how broad a walk must be for the wanted recall.
 *
 * What it is not: the measurement (hnswcalibrate.c).
 *
 * hnsw.ef_search wins where somebody has set it. Else the target recall and the
 * curves that the build measured give the breadth, and it is never less than
 * what hnsw.ef_search is by default, so that an index whose data has changed
 * since is no worse than one without a curve.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "am/hnsw/hnsw.h"
#include "pg/options.h"

/* One-sided 95 % confidence, in standard errors. */
#define CONFIDENCE 1.645

static int64 least_ef(const HnswCurve *curve, double target);

int64
hnsw_ef(const HnswMetaData *meta, double target, int64 rows)
{
	const HnswCurve *few = &meta->curve[0];
	const HnswCurve *many = &meta->curve[1];
	int64		ef;

	if (hnsw_ef_search_is_set)
		return hnsw_ef_search;
	ef = least_ef(few, target);
	if (rows > few->k && many->k > few->k)
	{
		int64		most = Max(least_ef(many, target), ef);

		if (rows >= many->k)
			ef = (int64) (most * ((double) rows / many->k));
		else
			ef += (most - ef) * (rows - few->k) / (many->k - few->k);
	}
	return Max(ef, hnsw_ef_search);
}

/* The least ef that reaches the target with confidence; the largest if none does. */
static int64
least_ef(const HnswCurve *curve, double target)
{
	uint32		i;

	if (curve->queries == 0 || curve->points == 0)
		return 0;
	for (i = 0; i + 1 < curve->points; i++)
		if (curve->point[i].recall - CONFIDENCE * curve->point[i].error >= target)
			break;
	return curve->point[i].ef;
}

double
hnsw_target_recall(Relation index)
{
	return vecpg_target_recall > 0 ? vecpg_target_recall : vecpg_hnsw_options(index)->target_recall;
}
