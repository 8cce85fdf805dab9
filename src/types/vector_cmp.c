/*
 * vector_cmp.c -- the order of vectors, and the hash that goes with equality.
 *
 * What it is not: distances.
 *
 * Order is that of arrays: the first element that differs decides, then the
 * length; vectors of different length compare without an error. -0 equals 0,
 * so it must hash as 0. Arguments are freed: btree and hash call these
 * functions in contexts that live as long as a sort or an index build.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "common/hashfn.h"
#include "types/vector.h"

static int	compare(FunctionCallInfo fcinfo);
static uint64 hash(FunctionCallInfo fcinfo, uint64 seed);

int
vt_compare(const Vector *a, const Vector *b)
{
	int			common = Min(a->dim, b->dim);

	for (int i = 0; i < common; i++)
	{
		if (a->x[i] < b->x[i])
			return -1;
		if (a->x[i] > b->x[i])
			return 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

static int
compare(FunctionCallInfo fcinfo)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	int			order = vt_compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return order;
}

VECPG_FUNCTION(vector_cmp);
Datum
vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

VECPG_FUNCTION(vector_lt);
Datum
vector_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

VECPG_FUNCTION(vector_le);
Datum
vector_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

VECPG_FUNCTION(vector_eq);
Datum
vector_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

VECPG_FUNCTION(vector_ne);
Datum
vector_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

VECPG_FUNCTION(vector_ge);
Datum
vector_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

VECPG_FUNCTION(vector_gt);
Datum
vector_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

/*
 * Elements are hashed in blocks, each seeded with the hash of the blocks
 * before it, because they have to be copied to turn -0 into 0.
 */
#define HASH_BLOCK 64

static uint64
hash(FunctionCallInfo fcinfo, uint64 seed)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);

	for (int done = 0; done < vec->dim; done += HASH_BLOCK)
	{
		float		block[HASH_BLOCK];
		int			count = Min(HASH_BLOCK, vec->dim - done);

		for (int i = 0; i < count; i++)
			block[i] = vec->x[done + i] + 0.0f; /* -0 + 0 = 0 */
		seed = hash_bytes_extended((const unsigned char *) block,
								   count * sizeof(float), seed);
	}
	PG_FREE_IF_COPY(vec, 0);
	return seed;
}

/* The server requires the low half of the extended hash with seed 0. */
VECPG_FUNCTION(hash_vector);
Datum
hash_vector(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32((uint32) hash(fcinfo, 0));
}

VECPG_FUNCTION(hash_vector_extended);
Datum
hash_vector_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(hash(fcinfo, (uint64) PG_GETARG_INT64(1)));
}
