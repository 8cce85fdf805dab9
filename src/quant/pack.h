/*
 * pack.h -- codes of 2, 4 and 8 bits in the orders of simd/kernels.def.
 *
 * What it is not: part of the room's contract; encoders and decoders share it.
 *
 * A group is 16 bytes and holds 8 / bits times 16 elements: those with the same
 * place within their byte are 16 neighbours. So everything goes by 16, at
 * one shift for all of them, and the loops vectorise. `bits` is a constant
 * after inlining.
 */
#ifndef VECPG_PACK_H
#define VECPG_PACK_H

#include "base/port.h"

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

	for (int i = 0; i < 16; i++)
		to[i] = (uint8_t) ((shift > 0 ? to[i] : 0) | u[i] << shift);
}

/* Elements d .. d + 15. */
VP_INLINE void
vq_unpack16(int bits, const uint8_t *codes, int d, uint8_t *u)
{
	int			group = 16 * 8 / bits;
	int			shift = d % group / 16 * bits;
	const uint8_t *from = codes + d / group * 16;

	for (int i = 0; i < 16; i++)
		u[i] = (uint8_t) (from[i] >> shift & ((1 << bits) - 1));
}

#endif							/* VECPG_PACK_H */
