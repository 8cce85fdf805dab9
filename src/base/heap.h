/*
 * heap.h -- a binary min-heap of (float key, 32-bit item).
 *
 * What it is not: an owner of memory; the caller provides the array. For the
 * k smallest of a stream, keep keys negated in a heap of size k.
 */
#ifndef VECPG_HEAP_H
#define VECPG_HEAP_H

#include "base/port.h"

typedef struct VpHeapItem
{
	float		key;
	uint32_t	item;
} VpHeapItem;

VP_INLINE void
vp_heap_down(VpHeapItem *h, size_t n, size_t i)
{
	VpHeapItem	moving = h[i];

	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && h[child + 1].key < h[child].key)
			child++;
		if (!(h[child].key < moving.key))
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = moving;
}

VP_INLINE void
vp_heap_build(VpHeapItem *h, size_t n)
{
	size_t		i;

	for (i = n / 2; i-- > 0;)
		vp_heap_down(h, n, i);
}

/* The caller made room for n + 1. */
VP_INLINE void
vp_heap_push(VpHeapItem *h, size_t *n, float key, uint32_t item)
{
	size_t		i = (*n)++;

	while (i > 0 && key < h[(i - 1) / 2].key)
	{
		h[i] = h[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h[i].key = key;
	h[i].item = item;
}

VP_INLINE VpHeapItem
vp_heap_pop(VpHeapItem *h, size_t *n)
{
	VpHeapItem	top = h[0];

	h[0] = h[--(*n)];
	if (*n > 1)
		vp_heap_down(h, *n, 0);
	return top;
}

#endif							/* VECPG_HEAP_H */
