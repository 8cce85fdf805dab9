/*
 * search.c -- best-first search of a graph through an accessor, resumable.
 *
 * What it is not: the reading of nodes (the access method's expand), or the
 * search of a graph in memory during a build (build.c).
 *
 * Edges carry estimates, nodes their own better distance. ef bounds W, the best
 * *expanded* nodes by own distance; the queue of unexpanded nodes is ordered by
 * estimate and not cut by ef. SymphonyQG lets ef bound the pool of estimates
 * instead, which loses recall at equal ef where estimates are coarse: a true
 * neighbour whose estimate is off is pushed out by others before anyone has
 * looked at it.
 *
 * A node may be met from several neighbours, each with its own estimate; it is
 * queued again when a better one comes, and the older entry is skipped when it
 * is popped. What is met beyond W's worst goes to `far`, unsorted, and so does,
 * while W is not full, the farther part of a queue much longer than W: it is
 * looked at again before the search ends.
 *
 * A node is expanded one turn after it was taken from the queue: in between its
 * memory is fetched while the one before it is expanded. What that one brings
 * comes a turn late, which costs few more expansions than the waiting did.
 */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

#define FIRST_SEEN 2048			/* slots; some 1,000 nodes are met at ef 40 */
#define FIRST_ITEMS 256
#define LAG_EF 4				/* a narrow search should not look one node ahead */
#define QUEUE_SPARE 64			/* beyond 2 ef, the farther half of the queue waits */

static void expand(VgSearch *s, uint32_t node, size_t ef);
static void offer(VgSearch *s, uint32_t node, float est, float worst);
static void enqueue(VgSearch *s, uint32_t node, float est);
static float w_worst(const VgSearch *s, size_t ef);
static void w_add(VgSearch *s, size_t ef, float dist, uint32_t at);
static void w_refill(VgSearch *s, size_t ef);
static void near_from_far(VgSearch *s, float limit);
static void put_off(VgSearch *s);
static float mean_key(const VpHeapItem *items, size_t n);
static VgSeen *seen_slot(const VgSearch *s, uint32_t node);
static void seen_grow(VgSearch *s);
static void push(VgSearch *s, VpHeapItem **items, size_t *n, size_t *cap);

void
vg_search_begin(VgSearch *s, const VgAccess *access)
{
	memset(s, 0, sizeof(*s));
	s->access = *access;
	s->limit = INFINITY;
	s->ids = access->alloc(access->arg, sizeof(uint32_t) * (size_t) access->most);
	s->ests = access->alloc(access->arg, sizeof(float) * (size_t) access->most);
	seen_grow(s);
}

void
vg_search_push(VgSearch *s, uint32_t node, float est)
{
	offer(s, node, est, INFINITY);
}

bool
vg_search_run(VgSearch *s, size_t ef)
{
	VpHeapItem	lagging = {0, VG_NONE};

	w_refill(s, ef);
	near_from_far(s, w_worst(s, ef));
	for (;;)
	{
		float		worst = w_worst(s, ef);
		VpHeapItem	next;
		VgSeen	   *slot;

		if (s->nqueue == 0 || s->queue[0].key > worst)
		{
			if (lagging.item != VG_NONE)
			{
				expand(s, lagging.item, ef);
				lagging.item = VG_NONE;
				continue;
			}
			if (s->nqueue == 0 && s->nfar == 0)
				return false;
			/* What was put off with a smaller limit may be wanted by now. */
			if (s->limit < worst)
				near_from_far(s, worst == INFINITY ? mean_key(s->far, s->nfar) : worst);
			else if (s->nqueue == 0 && worst == INFINITY)
				near_from_far(s, INFINITY);
			else
				return true;
			continue;
		}
		next = vp_heap_pop(s->queue, &s->nqueue);
		slot = seen_slot(s, next.item);
		if (slot->est != next.key)
			continue;			/* expanded, or queued again with a better estimate */
		slot->est = -INFINITY;
		if (ef <= LAG_EF)
		{
			expand(s, next.item, ef);
			continue;
		}
		if (s->access.prefetch)
			s->access.prefetch(s->access.arg, next.item);
		if (lagging.item != VG_NONE)
			expand(s, lagging.item, ef);
		lagging = next;
		if (s->nqueue > 2 * ef + QUEUE_SPARE)
			put_off(s);
	}
}

bool
vg_is_met(const VgSearch *s, uint32_t node)
{
	return seen_slot(s, node)->node == node;
}

bool
vg_is_expanded(const VgSearch *s, uint32_t node)
{
	const VgSeen *slot = seen_slot(s, node);

	return slot->node == node && slot->est == -INFINITY;
}

/* Reads a node into W and offers its neighbours. */
static void
expand(VgSearch *s, uint32_t node, size_t ef)
{
	float		own;
	float		worst;
	int			n = s->access.expand(s->access.arg, node, &own, s->ids, s->ests);

	if (n < 0)
		return;
	if (own != own)
		own = INFINITY;			/* a damaged code must not spoil W's heap */
	if (s->nexpanded == s->expanded_cap)
	{
		size_t		cap = VP_MAX(FIRST_ITEMS, 2 * s->expanded_cap);
		VgExpanded *more = s->access.alloc(s->access.arg, sizeof(VgExpanded) * cap);

		if (s->nexpanded > 0)
			memcpy(more, s->expanded, sizeof(VgExpanded) * s->nexpanded);
		s->expanded = more;
		s->expanded_cap = cap;
	}
	s->expanded[s->nexpanded].dist = own;
	s->expanded[s->nexpanded].node = node;
	w_add(s, ef, own, (uint32_t) s->nexpanded++);
	worst = VP_MIN(w_worst(s, ef), s->limit);
	for (int i = 0; i < n; i++)
		offer(s, s->ids[i], s->ests[i], worst);
}

/*
 * Beyond W's worst a node is only noted: most are never wanted, and the table
 * of what has been met stays small. Exact estimates cost a page each, so then
 * it is remembered.
 */
static void
offer(VgSearch *s, uint32_t node, float est, float worst)
{
	if (est <= worst)
	{
		enqueue(s, node, est);
		return;
	}
	if (est != est)
		est = INFINITY;			/* a damaged edge must not spoil the heap */
	if (s->access.exact)
	{
		VgSeen	   *slot = seen_slot(s, node);

		if (slot->node == node)
			return;
		slot->node = node;
		slot->est = INFINITY;
		if (2 * ++s->nseen > s->seen_cap)
			seen_grow(s);
	}
	push(s, &s->far, &s->nfar, &s->far_cap);
	s->far[s->nfar].key = est;
	s->far[s->nfar++].item = node;
}

static void
enqueue(VgSearch *s, uint32_t node, float est)
{
	VgSeen	   *slot = seen_slot(s, node);

	if (slot->node != node)
	{
		slot->node = node;
		s->nseen++;
	}
	else if (!(est < slot->est))
		return;					/* an expanded node's est is -infinity */
	slot->est = est;
	push(s, &s->queue, &s->nqueue, &s->queue_cap);
	vp_heap_push(s->queue, &s->nqueue, est, node);
	if (2 * s->nseen > s->seen_cap)
		seen_grow(s);
}

/* Room for one item more. */
static void
push(VgSearch *s, VpHeapItem **items, size_t *n, size_t *cap)
{
	VpHeapItem *more;

	if (*n < *cap)
		return;
	*cap = VP_MAX(FIRST_ITEMS, 2 * *cap);
	more = s->access.alloc(s->access.arg, sizeof(VpHeapItem) * *cap);
	if (*n > 0)
		memcpy(more, *items, sizeof(VpHeapItem) * *n);
	*items = more;
}

/* ---- W ---- */

/* Infinite while W has room. */
static float
w_worst(const VgSearch *s, size_t ef)
{
	return s->nw < ef ? INFINITY : -s->w[0].key;
}

static void
w_add(VgSearch *s, size_t ef, float dist, uint32_t at)
{
	if (s->nw < ef)
	{
		push(s, &s->w, &s->nw, &s->w_cap);
		vp_heap_push(s->w, &s->nw, -dist, at);
	}
	else if (dist < -s->w[0].key)
	{
		s->w[0].key = -dist;
		s->w[0].item = at;
		vp_heap_down(s->w, s->nw, 0);
	}
}

/* For another ef: from all that was expanded. */
static void
w_refill(VgSearch *s, size_t ef)
{
	s->nw = 0;
	for (size_t i = 0; i < s->nexpanded; i++)
		w_add(s, ef, s->expanded[i].dist, (uint32_t) i);
}

/* Queues what is within the limit, which holds for what is met from now on. */
static void
near_from_far(VgSearch *s, float limit)
{
	size_t		kept = 0;

	s->limit = limit;
	for (size_t i = 0; i < s->nfar; i++)
	{
		VpHeapItem	item = s->far[i];

		if (item.key <= limit)
			enqueue(s, item.item, item.key);
		else
			s->far[kept++] = item;
	}
	s->nfar = kept;
}

/* The farther half of a long queue waits in `far`, and so does what is met beyond. */
static void
put_off(VgSearch *s)
{
	float		limit = mean_key(s->queue, s->nqueue);
	size_t		n = s->nqueue;
	size_t		kept = 0;

	for (size_t i = 0; i < n; i++)
	{
		VpHeapItem	item = s->queue[i];

		if (item.key <= limit)
		{
			s->queue[kept++] = item;
			continue;
		}
		/* To be queued again, it must not look as if it were. */
		if (seen_slot(s, item.item)->est != item.key)
			continue;
		seen_slot(s, item.item)->est = INFINITY;
		push(s, &s->far, &s->nfar, &s->far_cap);
		s->far[s->nfar++] = item;
	}
	s->nqueue = kept;
	vp_heap_build(s->queue, kept);
	s->limit = VP_MIN(s->limit, limit);
}

/* Of the finite ones. */
static float
mean_key(const VpHeapItem *items, size_t n)
{
	double		sum = 0;
	size_t		count = 0;

	for (size_t i = 0; i < n; i++)
		if (items[i].key < INFINITY)
		{
			sum += items[i].key;
			count++;
		}
	return count == 0 ? INFINITY : nextafterf((float) (sum / (double) count), INFINITY);
}

/* ---- what has been met ---- */

/* The node's slot, or the empty one where it belongs. */
static VgSeen *
seen_slot(const VgSearch *s, uint32_t node)
{
	size_t		mask = s->seen_cap - 1;
	size_t		i = (node * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & mask;

	while (s->seen[i].node != node && s->seen[i].node != VG_NONE)
		i = (i + 1) & mask;
	return &s->seen[i];
}

static void
seen_grow(VgSearch *s)
{
	VgSeen	   *old = s->seen;
	size_t		n = s->seen_cap;

	s->seen_cap = n == 0 ? FIRST_SEEN : 2 * n;
	s->seen = s->access.alloc(s->access.arg, sizeof(VgSeen) * s->seen_cap);
	for (size_t i = 0; i < s->seen_cap; i++)
		s->seen[i].node = VG_NONE;
	for (size_t i = 0; i < n; i++)
		if (old[i].node != VG_NONE)
			*seen_slot(s, old[i].node) = old[i];
}
