/*
 * unit.h -- checks for the pure rooms: count, report, go on.
 *
 * What it is not: a framework. A program calls CHECK(...) and ends with
 * `return unit_done();`, whose last line is exactly "N passed, N failed".
 * test/unit/Makefile builds each test_*.c into one program.
 */
#ifndef VECPG_UNIT_H
#define VECPG_UNIT_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/port.h"

/* A broken kernel fails thousands of times; the first few tell enough. */
#define UNIT_MAX_REPORTS 20

static unsigned long unit_passed;
static unsigned long unit_failed;

/* Counts one check; prints the message of a failed one. */
__attribute__((format(printf, 4, 5), unused)) static bool
unit_check(bool ok, const char *file, int line, const char *fmt, ...)
{
	va_list		args;

	if (ok)
	{
		unit_passed++;
		return true;
	}
	if (unit_failed++ < UNIT_MAX_REPORTS)
	{
		printf("%s:%d: ", file, line);
		va_start(args, fmt);
		vprintf(fmt, args);
		va_end(args);
		printf("\n");
	}
	return false;
}

/* CHECK(condition, "printf-like message", ...); its value is the condition. */
#define CHECK(cond, ...) unit_check((cond), __FILE__, __LINE__, __VA_ARGS__)

/* Integers of any width. */
#define CHECK_EQ(got, want) \
	CHECK((long long) (got) == (long long) (want), "%s is %lld, not %lld", #got, \
		  (long long) (got), (long long) (want))

/* |got - want| <= tol; equal infinities and two NaNs are near each other. */
#define CHECK_NEAR(got, want, tol) \
	CHECK(unit_near((got), (want), (tol)), "%s is %.9g, not %.9g (tolerance %.3g)", #got, \
		  (double) (got), (double) (want), (double) (tol))

VP_INLINE bool
unit_near(double got, double want, double tol)
{
	if (got != got || want != want)
		return got != got && want != want;
	return got == want || (got - want <= tol && want - got <= tol);
}

/* Prints the totals; the exit status of main(). */
__attribute__((unused)) static int
unit_done(void)
{
	printf("%lu passed, %lu failed\n", unit_passed, unit_failed);
	return unit_failed > 0;
}

/* Deterministic data: one stream per program. */
static uint64_t unit_seed = 0x9E3779B97F4A7C15;

/* Uniform in [-1, 1). */
VP_INLINE float
unit_uniform(void)
{
	return (float) (vp_rand(&unit_seed) >> 40) * 0x1p-23f - 1.0f;
}

/* Uniform in [0, n). */
VP_INLINE unsigned
unit_below(unsigned n)
{
	return (unsigned) ((vp_rand(&unit_seed) >> 32) * n >> 32);
}

#endif							/* VECPG_UNIT_H */
