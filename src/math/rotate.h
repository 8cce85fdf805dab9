/*
 * rotate.h -- the random rotation of RaBitQ, as a fast Hadamard transform.
 *
 * Four rounds of {random signs; Hadamard on the first / last 2^k coordinates
 * in turn; 45-degree rotation of the two halves}, the middle step covering all
 * coordinates also where dim is no power of two. Orthogonal: norms and dots
 * are kept up to rounding. O(dim log dim).
 */
#ifndef VECPG_ROTATE_H
#define VECPG_ROTATE_H

#include "base/port.h"

/* Rotated vectors have this many floats: dims padded with zeros to 16s. */
#define VM_PAD 16
VP_INLINE int
vm_rotated_dim(int dims)
{
	return VP_ROUND_UP(dims, VM_PAD);
}

typedef struct VmRotation
{
	int			dims;			/* of the input */
	int			dim;			/* of the output, vm_rotated_dim(dims) */
	const uint8_t *signs;		/* 4 rounds of dim / 8 bytes */
} VmRotation;

/* Bytes of sign storage the caller provides. */
size_t		vm_rotation_bytes(int dims);

/* Fills `signs` (vm_rotation_bytes) from the seed; same seed, same rotation. */
void		vm_rotation_init(VmRotation *rot, int dims, uint64_t seed, uint8_t *signs);

/* out[dim] = P (in - shift); shift[dims] may be NULL; in and out differ. */
void		vm_rotate(const VmRotation *rot, const float *in, const float *shift, float *out);

/* out[dims] = P^T in; inverse of vm_rotate without shift; scratch[dim]. */
void		vm_unrotate(const VmRotation *rot, const float *in, float *out, float *scratch);

#endif							/* VECPG_ROTATE_H */
