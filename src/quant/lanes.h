/*
 * lanes.h -- four floats at a time, in portable C, for the encoders.
 *
 * What it is not: a kernel. Kernels are per CPU level and live in simd/; the
 * encoders run once per row and need only not to be slow. Without
 * -ffast-math a compiler may neither reorder float sums nor turn comparisons
 * into masks, so the loops say what they want: GCC and Clang compile these
 * vectors to the baseline's registers on every platform.
 */
#ifndef VECPG_LANES_H
#define VECPG_LANES_H

#include <string.h>

#include "base/port.h"

#define V4_STEP 16				/* floats a loop turn takes: four vectors */

typedef float V4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));

VP_INLINE V4
v4_load(const float *p)
{
	V4			v;

	memcpy(&v, p, sizeof(v));
	return v;
}

VP_INLINE void
v4_store(float *p, V4 v)
{
	memcpy(p, &v, sizeof(v));
}

VP_INLINE V4
v4_set(float x)
{
	return (V4) {x, x, x, x};
}

/* a where the mask is set, else b */
VP_INLINE V4
v4_select(I4 mask, V4 a, V4 b)
{
	return (V4) ((mask & (I4) a) | (~mask & (I4) b));
}

VP_INLINE V4
v4_abs(V4 v)
{
	return (V4) ((I4) v & INT32_MAX);
}

VP_INLINE V4
v4_min(V4 a, V4 b)
{
	for (int j = 0; j < 4; j++)
		a[j] = a[j] < b[j] ? a[j] : b[j];
	return a;
}

VP_INLINE V4
v4_max(V4 a, V4 b)
{
	for (int j = 0; j < 4; j++)
		a[j] = a[j] > b[j] ? a[j] : b[j];
	return a;
}

/* v cut to 0 .. high, by masks: of v4_min and v4_max GCC may make scalar code. */
VP_INLINE V4
v4_cut(V4 v, V4 high)
{
	v = v4_select(v < high, v, high);
	return (V4) ((I4) v & (v > (V4) {0}));
}

/* Truncates: numbers outside int32 are undefined. */
VP_INLINE I4
v4_int(V4 v)
{
	return __builtin_convertvector(v, I4);
}

VP_INLINE V4
v4_float(I4 v)
{
	return __builtin_convertvector(v, V4);
}

VP_INLINE I4
i4_max(I4 a, I4 b)
{
	I4			more = a > b;

	return (a & more) | (b & ~more);
}

VP_INLINE double
v4_sum(V4 v)
{
	return ((double) v[0] + v[1]) + ((double) v[2] + v[3]);
}

/* Sums in float64 of four lanes each; D2, as wider vectors would live in memory. */
typedef double D2 __attribute__((vector_size(16)));
typedef struct D4
{
	D2			low;
	D2			high;
} D4;

VP_INLINE D4
d4_add_product(D4 sum, V4 a, V4 b)
{
	sum.low += (D2) {a[0], a[1]} * (D2) {b[0], b[1]};
	sum.high += (D2) {a[2], a[3]} * (D2) {b[2], b[3]};
	return sum;
}

VP_INLINE double
d4_sum(D4 v)
{
	return (v.low[0] + v.low[1]) + (v.high[0] + v.high[1]);
}

/* The largest |r|; infinity or NaN if there is one, as bits compare so. */
VP_INLINE float
v4_largest(const float *r, int dim)
{
	I4			most = {0};
	I4			next = {0};
	int32_t		bits;
	float		result;

	for (int d = 0; d < dim; d += 8)
	{
		most = i4_max(most, (I4) v4_load(r + d) & INT32_MAX);
		next = i4_max(next, (I4) v4_load(r + d + 4) & INT32_MAX);
	}
	most = i4_max(most, next);
	bits = VP_MAX(VP_MAX(most[0], most[1]), VP_MAX(most[2], most[3]));
	memcpy(&result, &bits, sizeof(result));
	return result;
}

#endif							/* VECPG_LANES_H */
