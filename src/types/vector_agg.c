/*
 * vector_agg.c -- the state of avg(vector).
 *
 * What it is not: sum(vector), which is vector_add over vectors.
 *
 * The state is float8[]: the number of rows, then one sum per dimension;
 * {0} before the first row, when the dimensions are not known yet. An array
 * and not `internal`, so that parallel plans pass it on without functions of
 * ours. SQL users can call these functions with any array, hence the checks.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "types/vector.h"
#include "utils/array.h"
#include "utils/float.h"

static ArrayType *get_state(FunctionCallInfo fcinfo, int arg, bool writable, const char *caller);
static ArrayType *new_state(int dim);

static inline int
state_dim(ArrayType *state)
{
	return ARR_DIMS(state)[0] - 1;
}

static inline float8 *
state_values(ArrayType *state)
{
	return (float8 *) ARR_DATA_PTR(state);
}

VECPG_FUNCTION(vector_accum);
Datum
vector_accum(PG_FUNCTION_ARGS)
{
	ArrayType  *state = get_state(fcinfo, 0, true, "vector_accum");
	Vector	   *vec = PG_GETARG_VECTOR_P(1);
	float8	   *values;

	if (state_dim(state) == 0)
	{
		float8		rows = state_values(state)[0];

		state = new_state(vec->dim);
		state_values(state)[0] = rows;
	}
	else
		vt_check_expected_dim(state_dim(state), vec->dim);

	values = state_values(state);
	values[0] += 1;
	for (int i = 0, imax = vec->dim; i < imax; i++)
		values[i + 1] += (float8) vec->x[i];
	for (int i = 0, imax = vec->dim; i < imax; i++)
	{
		if (unlikely(isinf(values[i + 1])))
			float_overflow_error();
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

VECPG_FUNCTION(vector_combine);
Datum
vector_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *state = get_state(fcinfo, 0, true, "vector_combine");
	ArrayType  *other = get_state(fcinfo, 1, false, "vector_combine");
	float8	   *values = state_values(state);
	float8	   *add = state_values(other);

	/* A worker that saw no row does not know the dimensions. */
	if (add[0] == 0)
		PG_RETURN_ARRAYTYPE_P(state);
	if (values[0] == 0)
		PG_RETURN_ARRAYTYPE_P(other);

	vt_check_expected_dim(state_dim(state), state_dim(other));
	for (int i = 0, imax = state_dim(state); i <= imax; i++)
		values[i] += add[i];
	for (int i = 0, imax = state_dim(state); i <= imax; i++)
	{
		if (unlikely(isinf(values[i])))
			float_overflow_error();
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

VECPG_FUNCTION(vector_avg);
Datum
vector_avg(PG_FUNCTION_ARGS)
{
	ArrayType  *state = get_state(fcinfo, 0, false, "vector_avg");
	float8	   *values = state_values(state);
	Vector	   *result;

	/* As SQL has it; before the dimensions are looked at, which {0} lacks. */
	if (values[0] == 0)
		PG_RETURN_NULL();

	vt_check_dim(state_dim(state));
	result = vt_vector_new(state_dim(state));
	for (int i = 0, imax = result->dim; i < imax; i++)
		result->x[i] = (float) (values[i + 1] / values[0]);
	vt_check_elements(result->dim, result->x);
	PG_RETURN_VECTOR_P(result);
}

/*
 * Argument `arg` as a checked state. If writable it may be changed: the one
 * that an aggregate keeps is handed out itself, as core's float8_accum does,
 * which saves copying it for each row; any other is copied.
 */
static ArrayType *
get_state(FunctionCallInfo fcinfo, int arg, bool writable, const char *caller)
{
	ArrayType  *state;

	if (writable && !AggCheckCallContext(fcinfo, NULL))
		state = PG_GETARG_ARRAYTYPE_P_COPY(arg);
	else
		state = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 || ARR_HASNULL(state) ||
		ARR_ELEMTYPE(state) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);
	return state;
}

/* A state of zeros. */
static ArrayType *
new_state(int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (dim + 1) * sizeof(float8);
	ArrayType  *state = palloc0(size);

	SET_VARSIZE(state, size);
	state->ndim = 1;
	state->dataoffset = 0;		/* no nulls */
	state->elemtype = FLOAT8OID;
	ARR_DIMS(state)[0] = dim + 1;
	ARR_LBOUND(state)[0] = 1;
	return state;
}
