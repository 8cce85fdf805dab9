/*
 * guard.h -- inputs for kernel tests: memory that ends at an inaccessible page,
 * and fills with the values that break kernels.
 *
 * What it is not: a replacement for the sanitizers; it finds over-reads in
 * release builds and in vector code, at any alignment.
 */
#ifndef VECPG_UNIT_GUARD_H
#define VECPG_UNIT_GUARD_H

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "simd/fp16.h"

#include "unit.h"

/* ---- guarded memory ---- */

#define GUARD_BYTES ((size_t) 1 << 20)
#define NGUARDS 6
#define CANARY 0xa5
#define CANARY_BYTES 64

static char *guard_last[NGUARDS];	/* one past the last accessible byte */

static void
guards_init(void)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	int			i;

	for (i = 0; i < NGUARDS; i++)
	{
		char	   *p = mmap(NULL, GUARD_BYTES + page, PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || mprotect(p + GUARD_BYTES, page, PROT_NONE) != 0)
		{
			printf("no guarded memory\n");
			exit(2);
		}
		guard_last[i] = p + GUARD_BYTES;
	}
}

/* `bytes` bytes that end at the guard page (shift 0) or `shift` before it. */
static void *
guarded(int slot, size_t bytes, size_t shift)
{
	char	   *p = guard_last[slot] - shift - bytes;

	memset(p - CANARY_BYTES, CANARY, CANARY_BYTES);
	memset(guard_last[slot] - shift, CANARY, shift);
	return p;
}

/* Nothing around an output was written. */
static bool
canary_ok(int slot, size_t bytes, size_t shift)
{
	const unsigned char *end = (unsigned char *) guard_last[slot];
	size_t		i;

	for (i = 0; i < shift; i++)
	{
		if (end[-1 - (ptrdiff_t) i] != CANARY)
			return false;
	}
	for (i = 1; i <= CANARY_BYTES; i++)
	{
		if (end[-(ptrdiff_t) (shift + bytes + i)] != CANARY)
			return false;
	}
	return true;
}

typedef enum Fill
{
	FILL_NORMAL,
	FILL_SPECIAL,				/* some infinities and NaNs */
	FILL_KINDS
} Fill;

static float
special(void)
{
	static const float values[] = {INFINITY, -INFINITY, NAN, 0.0f, -0.0f};

	return values[unit_below(5)];
}

static void
fill_f32(float *p, size_t n, Fill kind)
{
	size_t		i;

	for (i = 0; i < n; i++)
		vk_put_f32(p, i, kind == FILL_SPECIAL && unit_below(64) == 0 ? special() : unit_uniform());
}

static void
fill_f16(uint16_t *p, size_t n, Fill kind)
{
	size_t		i;

	for (i = 0; i < n; i++)
		vk_put_u16(p, i, vk_float_to_half(kind == FILL_SPECIAL && unit_below(64) == 0
										  ? special() : unit_uniform()));
}

/* Every third fill is all extremes, where saturating instructions would err. */
static void
fill_bytes(void *p, size_t n, int kind, uint8_t extreme)
{
	size_t		i;

	for (i = 0; i < n; i++)
		((uint8_t *) p)[i] = kind % 3 == 0 ? extreme : (uint8_t) unit_below(256);
}

#endif							/* VECPG_UNIT_GUARD_H */
