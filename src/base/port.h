/*
 * port.h -- the few portable definitions that the pure rooms share.
 *
 * What it is not: a wrapper around the server. Nothing below the line of
 * src/README (base, simd, math, quant, graph) may include postgres.h; this
 * header therefore brings its own integers, alignment and branch hints.
 */
#ifndef VECPG_PORT_H
#define VECPG_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX < UINT64_MAX
#error "vecpg needs a 64-bit platform: sizes of vectors times rows overflow 32 bits"
#endif

#define VP_INLINE static inline __attribute__((always_inline, unused))
#define VP_ALIGNED(n) __attribute__((aligned(n)))
#define VP_RESTRICT __restrict__
#define VP_LIKELY(x) __builtin_expect(!!(x), 1)
#define VP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* One cache line, and the widest vector register: what kernels like. */
#define VP_ALIGN 64

#define VP_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VP_MAX(a, b) ((a) > (b) ? (a) : (b))
#define VP_ROUND_UP(x, to) ((((x) + (to) - 1) / (to)) * (to))

/* xorshift64*: deterministic, seedable, good enough for sampling and signs. */
VP_INLINE uint64_t
vp_rand(uint64_t *state)
{
	uint64_t	x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* Spreads a small seed over 64 bits (splitmix64); never returns 0. */
VP_INLINE uint64_t
vp_seed(uint64_t seed)
{
	uint64_t	z = seed + UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return z ? z : 1;
}

#endif							/* VECPG_PORT_H */
