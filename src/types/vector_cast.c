/*
 * vector_cast.c -- casts between vector and arrays, and the typmod cast.
 *
 * What it is not: text and binary form (vector_io.c).
 *
 * An array type that casts to vector is one row of the table below; the SQL
 * overloads of array_to_vector share one C function.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "catalog/pg_type.h"
#include "types/vector.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

static void from_int4(ArrayType *array, int dim, float *x);
static void from_float4(ArrayType *array, int dim, float *x);
static void from_float8(ArrayType *array, int dim, float *x);
static void from_numeric(ArrayType *array, int dim, float *x);

/* Fills x from an array of `dim` elements, one-dimensional, none of them null. */
typedef struct ArraySource
{
	Oid			element;
	void		(*convert) (ArrayType *array, int dim, float *x);
} ArraySource;

static const ArraySource array_sources[] = {
	{INT4OID, from_int4},
	{FLOAT4OID, from_float4},
	{FLOAT8OID, from_float8},
	{NUMERICOID, from_numeric},
};

VECPG_FUNCTION(array_to_vector);
Datum
array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32		typmod = PG_GETARG_INT32(1);
	const ArraySource *source = NULL;
	Vector	   *vec;
	int			dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	for (int i = 0; i < lengthof(array_sources); i++)
	{
		if (array_sources[i].element == ARR_ELEMTYPE(array))
			source = &array_sources[i];
	}
	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("unsupported array type")));

	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	vt_check_dim(dim);
	vt_check_expected_dim(typmod, dim);

	vec = vt_vector_new(dim);
	source->convert(array, dim, vec->x);
	vt_check_elements(dim, vec->x);
	PG_RETURN_VECTOR_P(vec);
}

/* Fixed-width elements without nulls lie one after the other, aligned. */
static void
from_int4(ArrayType *array, int dim, float *x)
{
	const int32 *item = (const int32 *) ARR_DATA_PTR(array);

	for (int i = 0; i < dim; i++)
		x[i] = (float) item[i];
}

static void
from_float4(ArrayType *array, int dim, float *x)
{
	memcpy(x, ARR_DATA_PTR(array), dim * sizeof(float));
}

/* A value beyond the range of real becomes infinite, and so is refused. */
static void
from_float8(ArrayType *array, int dim, float *x)
{
	const float8 *item = (const float8 *) ARR_DATA_PTR(array);

	for (int i = 0; i < dim; i++)
		x[i] = (float) item[i];
}

static void
from_numeric(ArrayType *array, int dim, float *x)
{
	Datum	   *items;
	int			count;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &items, NULL, &count);
	Assert(count == dim);
	for (int i = 0; i < dim; i++)
		x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, items[i]));
	pfree(items);
}

VECPG_FUNCTION(vector_to_float4);
Datum
vector_to_float4(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	Size		size = ARR_OVERHEAD_NONULLS(1) + vec->dim * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;		/* no nulls */
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = vec->dim;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), vec->x, vec->dim * sizeof(float4));
	PG_RETURN_ARRAYTYPE_P(array);
}

/* The cast from vector to vector(n): checks, changes nothing. */
VECPG_FUNCTION(vector_enforce_typmod);
Datum
vector_enforce_typmod(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	int32		typmod = PG_GETARG_INT32(1);

	vt_check_expected_dim(typmod, vec->dim);
	PG_RETURN_VECTOR_P(vec);
}
