/*
 * rotate.c -- the random rotation: signs, fast Hadamard, mixing of the halves.
 *
 * What it is not: the choice of the seed or the owner of the sign bytes.
 *
 * Idea: a Hadamard transform needs a power of two. For other dims the largest
 * power of two, size > dim / 2, is transformed at the front in even rounds and
 * at the back in odd ones; the rotation of the two halves by 45 degrees then
 * carries what the transform did not reach into the next round. Every step is
 * orthogonal, so the inverse runs the same steps backwards.
 *
 * The transform is not normalised. Its factor 1/sqrt(size) rides on passes
 * that exist anyway (the mixing, or the first copy), and never gathers beyond
 * a factor of dim, so that values up to 1e30 pass without overflow.
 */
#include "math/rotate.h"

#include <math.h>
#include <string.h>

#include "simd/simd.h"

#define ROUNDS 4

static size_t largest_power(size_t dim);
static void mix_after(float *x, size_t dim, size_t size, bool front);
static void mix_before(float *x, size_t dim, size_t size, bool front);
static void mix_scaled_in(float *VP_RESTRICT a, float *VP_RESTRICT b, size_t n,
						  float sa, float sb);
static void mix_scaled_out(float *VP_RESTRICT a, float *VP_RESTRICT b, size_t n,
						   float sa, float sb);
static void scale_all(float *x, size_t n, float factor);

size_t
vm_rotation_bytes(int dims)
{
	return (size_t) vm_rotated_dim(dims) / 8 * ROUNDS;
}

void
vm_rotation_init(VmRotation *rot, int dims, uint64_t seed, uint8_t *signs)
{
	size_t		bytes = vm_rotation_bytes(dims);
	uint64_t	state = vp_seed(seed);
	uint64_t	bits = 0;

	/* byte by byte, so that the order of a machine's bytes does not matter */
	for (size_t i = 0; i < bytes; i++)
	{
		if (i % 8 == 0)
			bits = vp_rand(&state);
		signs[i] = (uint8_t) (bits >> (i % 8 * 8));
	}
	rot->dims = dims;
	rot->dim = vm_rotated_dim(dims);
	rot->signs = signs;
}

void
vm_rotate(const VmRotation *rot, const float *in, const float *shift, float *out)
{
	size_t		dims = (size_t) rot->dims;
	size_t		dim = (size_t) rot->dim;
	size_t		size = largest_power(dim);

	if (shift != NULL)
		for (size_t i = 0; i < dims; i++)
			out[i] = in[i] - shift[i];
	else
		memcpy(out, in, dims * sizeof(float));
	memset(out + dims, 0, (dim - dims) * sizeof(float));

	for (int round = 0; round < ROUNDS; round++)
	{
		bool		front = round % 2 == 0;

		vk->flip_f32(out, rot->signs + (size_t) round * dim / 8, dim);
		vk->hadamard_f32(front ? out : out + dim - size, size);
		if (size < dim)
			mix_after(out, dim, size, front);
		else if (round % 2 == 1)
			scale_all(out, dim, 1.0f / (float) size);	/* two rounds at once, exact */
	}
}

void
vm_unrotate(const VmRotation *rot, const float *in, float *out, float *scratch)
{
	size_t		dim = (size_t) rot->dim;
	size_t		size = largest_power(dim);

	memcpy(scratch, in, dim * sizeof(float));
	for (int round = ROUNDS - 1; round >= 0; round--)
	{
		bool		front = round % 2 == 0;

		if (size < dim)
			mix_before(scratch, dim, size, front);
		vk->hadamard_f32(front ? scratch : scratch + dim - size, size);
		if (size == dim && round % 2 == 0)
			scale_all(scratch, dim, 1.0f / (float) size);
		vk->flip_f32(scratch, rot->signs + (size_t) round * dim / 8, dim);
	}
	memcpy(out, scratch, (size_t) rot->dims * sizeof(float));
}

static size_t
largest_power(size_t dim)
{
	size_t		size = VM_PAD;

	while (size * 2 <= dim)
		size *= 2;
	return size;
}

/*
 * After a transform of `size` coordinates at the front or back: normalise
 * those, and rotate (x[i], x[dim/2 + i]) by 45 degrees. As size > dim / 2, one
 * half was transformed as a whole and the other only next to it.
 */
static void
mix_after(float *x, size_t dim, size_t size, bool front)
{
	size_t		half = dim / 2;
	size_t		both = size - half; /* pairs with both ends transformed */
	float		plain = sqrtf(0.5f);
	float		done = (float) sqrt(0.5 / (double) size);
	float	   *y = x + half;

	if (front)
	{
		mix_scaled_in(x, y, both, done, done);
		mix_scaled_in(x + both, y + both, half - both, done, plain);
	}
	else
	{
		mix_scaled_in(x, y, half - both, plain, done);
		mix_scaled_in(x + half - both, y + half - both, both, done, done);
	}
}

/* The inverse: mixes first, then normalises what is transformed next. */
static void
mix_before(float *x, size_t dim, size_t size, bool front)
{
	size_t		half = dim / 2;
	size_t		both = size - half;
	float		plain = sqrtf(0.5f);
	float		scale = (float) sqrt(0.5 / (double) size);
	float	   *y = x + half;

	if (front)
	{
		mix_scaled_out(x, y, both, scale, scale);
		mix_scaled_out(x + both, y + both, half - both, scale, plain);
	}
	else
	{
		mix_scaled_out(x, y, half - both, plain, scale);
		mix_scaled_out(x + half - both, y + half - both, both, scale, scale);
	}
}

static void
mix_scaled_in(float *VP_RESTRICT a, float *VP_RESTRICT b, size_t n, float sa, float sb)
{
	for (size_t i = 0; i < n; i++)
	{
		float		p = a[i] * sa;
		float		q = b[i] * sb;

		a[i] = p + q;
		b[i] = p - q;
	}
}

static void
mix_scaled_out(float *VP_RESTRICT a, float *VP_RESTRICT b, size_t n, float sa, float sb)
{
	for (size_t i = 0; i < n; i++)
	{
		float		p = a[i];
		float		q = b[i];

		a[i] = (p + q) * sa;
		b[i] = (p - q) * sb;
	}
}

static void
scale_all(float *x, size_t n, float factor)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= factor;
}
