/*
 * vector.c -- what every function of the type vector needs: access, checks.
 *
 * What it is not: any SQL function. Those are in vector_io.c (text, binary,
 * typmod), vector_cast.c (arrays), vector_dist.c (distances), vector_ops.c
 * (arithmetic and the like), vector_cmp.c (order and hash), vector_agg.c.
 *
 * The errors raised here carry the texts and SQLSTATEs that clients of the
 * type already match on; they are pinned by sql/types_vector_*.sql.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "types/vector.h"

static pg_noinline void dim_error(int dim);
static pg_noinline void element_error(float value);

Vector *
vt_datum_get_vector(Datum datum)
{
	Vector	   *vec = (Vector *) PG_DETOAST_DATUM(datum);

	(void) vt_stored_dim(vec, VARSIZE(vec));
	return vec;
}

int
vt_stored_dim(const Vector *head, Size size)
{
	/* Size first: a datum shorter than the header has no dim to read. */
	if (unlikely(size < VECTOR_SIZE(1) || head->dim < 1 ||
				 head->dim > VECTOR_MAX_DIM || size != VECTOR_SIZE(head->dim)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored vector is malformed"),
				 errdetail("Its size of %zu bytes is not that of a vector of the dimensions it states.",
						   size)));
	return head->dim;
}

Vector *
vt_vector_new(int dim)
{
	Size		size = VECTOR_SIZE(dim);
	Vector	   *vec;

	Assert(dim >= 1 && dim <= VECTOR_MAX_DIM);
	vec = palloc0(size);
	SET_VARSIZE(vec, size);
	vec->dim = dim;
	return vec;
}

void
vt_check_dim(int dim)
{
	if (unlikely(dim < 1 || dim > VECTOR_MAX_DIM))
		dim_error(dim);
}

static void
dim_error(int dim)
{
	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must have at least 1 dimension")));
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("vector cannot have more than %d dimensions", VECTOR_MAX_DIM)));
}

void
vt_check_same_dim(const Vector *a, const Vector *b)
{
	if (unlikely(a->dim != b->dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d", a->dim, b->dim)));
}

void
vt_check_expected_dim(int32 typmod, int dim)
{
	if (unlikely(typmod != -1 && typmod != dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

void
vt_check_elements(int dim, const float *x)
{
	for (int i = 0; i < dim; i++)
	{
		if (unlikely(!isfinite(x[i])))
			element_error(x[i]);
	}
}

static void
element_error(float value)
{
	if (isnan(value))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in vector")));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("infinite value not allowed in vector")));
}
