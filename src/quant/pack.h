/*
 * pack.h -- codes of 2, 4 and 8 bits in the orders of simd/kernels.def.
 *
 * What it is not: part of the room's contract; encoders and decoders share it.
 *
 * A group is 16 bytes and holds 8 / bits times 16 elements: those with the same
 * place within their byte are 16 neighbours. So everything goes by 16, at one
 * shift for all of them, in 64-bit lanes: no bit crosses into the next byte, or
 * the mask removes it. `bits` is a constant after inlining.
 */
#ifndef VECPG_PACK_H
#define VECPG_PACK_H

#include <string.h>

#include "base/port.h"

typedef uint64_t VqBytes16 __attribute__((vector_size(16)));

/* Bytes of n elements, n a multiple of 16. */
VP_INLINE size_t
vq_packed_bytes(int bits, int n)
{
	int			group = 16 * 8 / bits;

	return (size_t) (n + group - 1) / group * 16;
}

/* Stores elements d .. d + 15; in ascending order, as a group's first ones clear the rest. */
VP_INLINE void
vq_pack16(int bits, uint8_t *codes, int d, const uint8_t *u)
{
	int			group = 16 * 8 / bits;
	int			shift = d % group / 16 * bits;
	uint8_t    *to = codes + d / group * 16;
	VqBytes16	v;
	VqBytes16	old = {0, 0};

	memcpy(&v, u, sizeof(v));
	if (shift > 0)
		memcpy(&old, to, sizeof(old));
	v = old | v << shift;
	memcpy(to, &v, sizeof(v));
}

/* Elements d .. d + 15. */
VP_INLINE void
vq_unpack16(int bits, const uint8_t *codes, int d, uint8_t *u)
{
	int			group = 16 * 8 / bits;
	int			shift = d % group / 16 * bits;
	VqBytes16	v;

	memcpy(&v, codes + d / group * 16, sizeof(v));
	v = v >> shift & UINT64_C(0x0101010101010101) * ((1u << bits) - 1);
	memcpy(u, &v, sizeof(v));
}

#endif							/* VECPG_PACK_H */
