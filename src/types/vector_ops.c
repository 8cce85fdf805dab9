/*
 * vector_ops.c -- functions that make a vector (or a bit string) of vectors.
 *
 * What it is not: distances (vector_dist.c), order (vector_cmp.c).
 *
 * Arithmetic runs in two plain loops, result then check, so that the compiler
 * can use the machine's vectors in both.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/detoast.h"
#include "types/vector.h"
#include "utils/float.h"
#include "utils/varbit.h"

static void check_overflow(const Vector *result);

/*
 * Also the transition and the combine function of sum(vector), which are
 * called once per row on a state that belongs to the aggregate: such a state
 * is added to in place. A state that had to be detoasted lives in a shorter
 * lived context and is not.
 */
VECPG_FUNCTION(vector_add);
Datum
vector_add(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	vt_check_same_dim(a, b);
	if (AggCheckCallContext(fcinfo, NULL) &&
		(Pointer) a == DatumGetPointer(PG_GETARG_DATUM(0)))
		result = a;
	else
		result = vt_vector_new(a->dim);
	for (int i = 0, imax = a->dim; i < imax; i++)
		result->x[i] = a->x[i] + b->x[i];
	check_overflow(result);
	PG_RETURN_VECTOR_P(result);
}

VECPG_FUNCTION(vector_sub);
Datum
vector_sub(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	vt_check_same_dim(a, b);
	result = vt_vector_new(a->dim);
	for (int i = 0, imax = a->dim; i < imax; i++)
		result->x[i] = a->x[i] - b->x[i];
	check_overflow(result);
	PG_RETURN_VECTOR_P(result);
}

VECPG_FUNCTION(vector_mul);
Datum
vector_mul(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	vt_check_same_dim(a, b);
	result = vt_vector_new(a->dim);
	for (int i = 0, imax = a->dim; i < imax; i++)
		result->x[i] = a->x[i] * b->x[i];
	check_overflow(result);
	for (int i = 0, imax = a->dim; i < imax; i++)
	{
		if (unlikely(result->x[i] == 0 && a->x[i] != 0 && b->x[i] != 0))
			float_underflow_error();
	}
	PG_RETURN_VECTOR_P(result);
}

/* Operands are finite, so a result that is not has overflowed. */
static void
check_overflow(const Vector *result)
{
	for (int i = 0, imax = result->dim; i < imax; i++)
	{
		if (unlikely(!isfinite(result->x[i])))
			float_overflow_error();
	}
}

VECPG_FUNCTION(vector_concat);
Datum
vector_concat(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	int			dim = a->dim + b->dim;
	Vector	   *result;

	vt_check_dim(dim);
	result = vt_vector_new(dim);
	memcpy(result->x, a->x, a->dim * sizeof(float));
	memcpy(result->x + a->dim, b->x, b->dim * sizeof(float));
	PG_RETURN_VECTOR_P(result);
}

/*
 * Elements start .. start + count - 1, counted from 1, as far as they exist
 * (as substring does, except that an empty result is an error). 64-bit sums:
 * start and count may be any integers.
 */
VECPG_FUNCTION(subvector);
Datum
subvector(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	int64		start = PG_GETARG_INT32(1);
	int64		count = PG_GETARG_INT32(2);
	int64		first = Max(start, 1);
	int64		end = Min(start + count, (int64) vec->dim + 1);
	int			dim = (int) Max(end - first, 0);
	Vector	   *result;

	vt_check_dim(dim);
	result = vt_vector_new(dim);
	memcpy(result->x, vec->x + first - 1, dim * sizeof(float));
	PG_RETURN_VECTOR_P(result);
}

/* A zero vector has no direction and stays zero. */
VECPG_FUNCTION(l2_normalize);
Datum
l2_normalize(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	Vector	   *result = vt_vector_new(vec->dim);
	double		norm = vt_norm(vec->dim, vec->x);

	for (int i = 0, imax = vec->dim; norm > 0 && i < imax; i++)
		result->x[i] = (float) (vec->x[i] / norm);
	PG_RETURN_VECTOR_P(result);
}

/* Bit i is element i > 0; the first bit is the highest of the first byte. */
VECPG_FUNCTION(binary_quantize);
Datum
binary_quantize(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	Size		size = VARBITTOTALLEN(vec->dim);
	VarBit	   *result = palloc0(size);
	bits8	   *bytes = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = vec->dim;
	for (int i = 0, imax = vec->dim; i < imax; i++)
		bytes[i / BITS_PER_BYTE] |= (vec->x[i] > 0) << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);
	PG_RETURN_VARBIT_P(result);
}

/*
 * Fetches the first chunk of a toasted vector only, so that it is cheap enough
 * for constraints and filters; the whole size is known without the rest.
 */
VECPG_FUNCTION(vector_dims);
Datum
vector_dims(PG_FUNCTION_ARGS)
{
	Datum		datum = PG_GETARG_DATUM(0);
	Vector	   *head = (Vector *) PG_DETOAST_DATUM_SLICE(datum, 0, VECTOR_SIZE(0) - VARHDRSZ);

	PG_RETURN_INT32(vt_stored_dim(head, toast_raw_datum_size(datum)));
}
