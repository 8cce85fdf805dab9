/*
 * vector.h -- the SQL type `vector` as C sees it: layout, access, distances.
 *
 * What it is not: the SQL interface (vector.sql), nor a place for kernels
 * (simd/simd.h); the distances here only turn a kernel's value into the value
 * of the SQL operator, and are what an index must use for its rechecks.
 *
 * Include postgres.h and pg/compat.h first.
 */
#ifndef VECPG_VECTOR_H
#define VECPG_VECTOR_H

#include "fmgr.h"

/* The largest dim whose datum stays a few heap pages; int16 allows no more than twice this. */
#define VECTOR_MAX_DIM 16000

/*
 * The datum, detoasted. Heap and wire format are contracts: tables and clients
 * written for other implementations of the type read the same bytes.
 */
typedef struct Vector
{
	int32		vl_len_;		/* varlena header, use SET_VARSIZE */
	int16		dim;			/* 1..VECTOR_MAX_DIM */
	int16		unused;			/* 0 */
	float		x[FLEXIBLE_ARRAY_MEMBER];	/* finite */
} Vector;

StaticAssertDecl(offsetof(Vector, x) == 8, "heap format of vector");

/* Bytes of the datum of `dim` elements. */
#define VECTOR_SIZE(dim) (offsetof(Vector, x) + sizeof(float) * (Size) (dim))

/*
 * Detoasts and checks that size and dim agree and dim is in range: bytes that
 * came from disk are never believed. May return the datum itself or a palloc'd
 * copy (PG_FREE_IF_COPY knows which). Elements are not checked.
 */
extern Vector *vt_datum_get_vector(Datum datum);

/*
 * The dim of a stored vector of `size` bytes, or an error if the two do not
 * agree. Of head only the header needs to be in memory.
 */
extern int	vt_stored_dim(const Vector *head, Size size);

#define DatumGetVector(d) vt_datum_get_vector(d)
#define PG_GETARG_VECTOR_P(n) DatumGetVector(PG_GETARG_DATUM(n))
#define PG_RETURN_VECTOR_P(v) PG_RETURN_POINTER(v)

/* A palloc'd vector of zeros. The caller has checked `dim`. */
extern Vector *vt_vector_new(int dim);

/* Raise the type's own errors: dim outside 1..VECTOR_MAX_DIM; dims that differ. */
extern void vt_check_dim(int dim);
extern void vt_check_same_dim(const Vector *a, const Vector *b);

/* Raises unless typmod is -1 (any) or equal to dim. */
extern void vt_check_expected_dim(int32 typmod, int dim);

/* Raises for NaN and for infinite values. */
extern void vt_check_elements(int dim, const float *x);

/*
 * The values of the operators <-> <#> <=> <+>, bit for bit at the CPU level in
 * use; all are symmetric in a and b to the last bit. Kernels accumulate in
 * float32, so large elements overflow:
 *
 * vt_l2		sqrt of the squared distance; may be +inf
 * vt_ip_neg	minus the inner product; may be infinite or NaN
 * vt_cosine	1 - similarity, similarity clamped to [-1, 1]; NaN if a squared
 *				norm is 0 or infinite as a float32 (elements below about 1e-23
 *				or above 1e19), so an index must ask this function, not the
 *				norm in float64, whether a row's distance is NaN
 * vt_l1		sum of absolute differences; may be +inf
 */
extern double vt_l2(int dim, const float *a, const float *b);
extern double vt_ip_neg(int dim, const float *a, const float *b);
extern double vt_cosine(int dim, const float *a, const float *b);
extern double vt_l1(int dim, const float *a, const float *b);

/* The euclidean norm, accumulated in float64: finite for every vector. */
extern double vt_norm(int dim, const float *a);

/* Values first, then length: -1, 0 or 1. -0 equals 0. */
extern int	vt_compare(const Vector *a, const Vector *b);

#endif							/* VECPG_VECTOR_H */
