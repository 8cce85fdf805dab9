/*
 * vector_dist.c -- distances between vectors, and the norm.
 *
 * What it is not: the arithmetic itself, which is in the kernels (simd/), nor
 * the approximate distances of an index.
 *
 * Each metric is a C function on floats, which indexes call for their
 * rechecks, and an SQL function on top that checks the dimensions. So the two
 * cannot differ in a bit.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "simd/simd.h"
#include "types/vector.h"
#include "utils/float.h"

double
vt_l2(int dim, const float *a, const float *b)
{
	return sqrt((double) vk->l2sq_f32(a, b, dim));
}

double
vt_ip_neg(int dim, const float *a, const float *b)
{
	return -(double) vk->dot_f32(a, b, dim);
}

double
vt_cosine(int dim, const float *a, const float *b)
{
	float		out[3];
	double		similarity;

	vk->cos_f32(a, b, dim, out);

	/* A norm that over- or underflowed says nothing about the angle. */
	if (unlikely(!(out[1] > 0 && out[2] > 0) || isinf(out[1]) || isinf(out[2])))
		return get_float8_nan();

	/* One square root of the product, taken in float64 where it cannot overflow. */
	similarity = (double) out[0] / sqrt((double) out[1] * (double) out[2]);
	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	return 1 - similarity;
}

double
vt_l1(int dim, const float *a, const float *b)
{
	return (double) vk->l1_f32(a, b, dim);
}

double
vt_norm(int dim, const float *a)
{
	return sqrt(vk->norm2_f32(a, dim));
}

typedef double (*Distance) (int dim, const float *a, const float *b);

/* The value of one metric for the two arguments of an SQL function. */
static inline Datum
distance(FunctionCallInfo fcinfo, Distance metric)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);

	vt_check_same_dim(a, b);
	PG_RETURN_FLOAT8(metric(a->dim, a->x, b->x));
}

VECPG_FUNCTION(l2_distance);
Datum
l2_distance(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, vt_l2);
}

VECPG_FUNCTION(vector_negative_inner_product);
Datum
vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, vt_ip_neg);
}

VECPG_FUNCTION(cosine_distance);
Datum
cosine_distance(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, vt_cosine);
}

VECPG_FUNCTION(l1_distance);
Datum
l1_distance(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, vt_l1);
}

static double
inner(int dim, const float *a, const float *b)
{
	return (double) vk->dot_f32(a, b, dim);
}

VECPG_FUNCTION(inner_product);
Datum
inner_product(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, inner);
}

static double
l2_squared(int dim, const float *a, const float *b)
{
	return (double) vk->l2sq_f32(a, b, dim);
}

VECPG_FUNCTION(vector_l2_squared_distance);
Datum
vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, l2_squared);
}

/* The angle between unit vectors as a share of the half circle: 0..1. */
static double
spherical(int dim, const float *a, const float *b)
{
	double		cosine = (double) vk->dot_f32(a, b, dim);

	if (cosine > 1)
		cosine = 1;
	else if (cosine < -1)
		cosine = -1;
	return acos(cosine) / M_PI;
}

VECPG_FUNCTION(vector_spherical_distance);
Datum
vector_spherical_distance(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, spherical);
}

VECPG_FUNCTION(vector_norm);
Datum
vector_norm(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);

	PG_RETURN_FLOAT8(vt_norm(vec->dim, vec->x));
}
