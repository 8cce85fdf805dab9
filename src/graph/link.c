/*
 * link.c -- lists of edges during a build: filled once, then kept up edge by edge.
 *
 * What it is not: the rule by which edges are chosen (select.c).
 *
 * A new edge rarely asks for the whole selection again. What was kept before it
 * in the list stays kept; it is itself kept or not after a few distances; and if
 * it is not, nothing after it changes. So every edge remembers, in the sign of
 * its distance, whether it was kept, and a list costs some ten distances a new
 * edge instead of several hundred.
 */
#include "graph/inner.h"

#include <math.h>
#include <string.h>

/* An edge that was lost to the new one, as a query. */
typedef struct Lost
{
	uint32_t	id;
	VgQuery		query;
} Lost;

static size_t codes_room(int dim);
static float pair_distance(void *arg, uint32_t a, uint32_t b);
static float between(VgLinker *l, uint32_t a, uint32_t b);
static bool keeps(VgLinker *l, const VgList *list, int before, uint32_t id, float dist);
static int	position(const VgList *list, int count, uint32_t id, float dist);
static bool has_place(const VgList *list, int count, int at, bool kept);
static bool keeps_edge(const VgList *list, int before, uint32_t id);
static void revise(VgLinker *l, VgList *list, int at, int count);
static float lost_distance(VgLinker *l, Lost *last, uint32_t lost, uint32_t id);
static void copy_edges(VgList *to, int to_at, const VgList *from, int from_at, int n);
static int	list_count(const VgList *list);
static int	last_filler(const VgList *list, int count);

/* ---- memory ---- */

size_t
vg_linker_bytes(int m, int dim, int ef)
{
	return VP_ROUND_UP((size_t) ef * sizeof(VgCandidate), VP_ALIGN) +
		3 * VP_ROUND_UP((2 * (size_t) m + 1) * sizeof(int), VP_ALIGN) +
		2 * codes_room(dim) + VP_ROUND_UP((size_t) ef, VP_ALIGN);
}

void
vg_linker_init(VgLinker *l, const VgRows *rows, int m, int ef, void *memory)
{
	char	   *p = memory;
	size_t		slot = VP_ROUND_UP((2 * (size_t) m + 1) * sizeof(int), VP_ALIGN);

	memset(l, 0, sizeof(*l));
	l->rows = rows;
	l->prepared = VG_NONE;
	l->cand = (VgCandidate *) (void *) p;
	p += VP_ROUND_UP((size_t) ef * sizeof(VgCandidate), VP_ALIGN);
	l->chosen = (int *) (void *) p;
	p += slot;
	l->ids = (uint32_t *) (void *) p;
	p += slot;
	l->dists = (float *) (void *) p;
	p += slot;
	l->s = (int8_t *) p;
	p += 2 * codes_room(rows->dim);
	l->kept = (uint8_t *) p;
}

/* Of a row's signed codes. There are two: of `prepared`, and behind it of a lost edge. */
static size_t
codes_room(int dim)
{
	return VP_ROUND_UP((size_t) dim, VP_ALIGN);
}

/* ---- a whole list ---- */

void
vg_list_fill(VgLinker *l, VgList *list, const VgKey *cand, int n)
{
	int			count;

	for (int i = 0; i < n; i++)
	{
		l->cand[i].id = vg_key_id(cand[i]);
		l->cand[i].dist = vg_key_dist(cand[i]);
	}
	count = vg_select(l->cand, n, list->most, pair_distance, l, l->kept, l->chosen);
	for (int i = 0; i < count; i++)
	{
		const VgCandidate *c = &l->cand[l->chosen[i]];

		list->ids[i] = c->id;
		list->dists[i] = l->kept[l->chosen[i]] ? c->dist : -c->dist;
	}
	for (int i = count; i < list->most; i++)
		list->ids[i] = VG_NONE;
}

static float
pair_distance(void *arg, uint32_t a, uint32_t b)
{
	VgLinker   *l = arg;

	return between(l, l->cand[a].id, l->cand[b].id);
}

/* Calls with the same `a` one after the other prepare it once. */
static float
between(VgLinker *l, uint32_t a, uint32_t b)
{
	if (l->prepared != a)
	{
		vg_query(l->rows, vg_row(l->rows, a), l->s, &l->query);
		l->prepared = a;
	}
	return vg_near(l->rows, &l->query, vg_row(l->rows, b));
}

/* ---- one edge more ---- */

bool
vg_list_judge(const VgRows *rows, const VgQuery *q, const VgList *list, uint32_t id, float dist,
			  uint32_t *pruner)
{
	int			count = list_count(list);
	int			at = position(list, count, id, dist);

	*pruner = VG_NONE;
	for (int i = 0; i < at; i++)
		if (!signbit(list->dists[i]) &&
			vg_stands_against(vg_near(rows, q, vg_row(rows, list->ids[i])), dist))
		{
			*pruner = list->ids[i];
			break;
		}
	return has_place(list, count, at, *pruner == VG_NONE);
}

bool
vg_list_add(VgLinker *l, VgList *list, uint32_t id, float dist, uint32_t pruner, bool changed)
{
	VgList		wide = {l->ids, l->dists, list->most + 1};
	int			count = list_count(list);
	int			at = position(list, count, id, dist);
	int			drop;
	bool		kept;

	if (pruner != VG_NONE && keeps_edge(list, at, pruner))
		kept = false;
	else
		kept = (pruner == VG_NONE && !changed) || keeps(l, list, at, id, dist);
	if (!has_place(list, count, at, kept))
		return false;
	copy_edges(&wide, 0, list, 0, at);
	wide.ids[at] = id;
	wide.dists[at] = kept ? dist : -dist;
	copy_edges(&wide, at + 1, list, at, count - at);
	count++;
	if (kept)
		revise(l, &wide, at, count);
	drop = count;
	if (count > list->most)
	{
		count--;
		drop = last_filler(&wide, count + 1);
		if (drop < 0)
			drop = count;
	}
	copy_edges(list, 0, &wide, 0, drop);
	if (drop < count)
		copy_edges(list, drop, &wide, drop + 1, count - drop);
	return true;
}

/* Where a new edge belongs. */
static int
position(const VgList *list, int count, uint32_t id, float dist)
{
	int			at = count;

	while (at > 0 && vg_key(dist, id) < vg_key(fabsf(list->dists[at - 1]), list->ids[at - 1]))
		at--;
	return at;
}

/* Whether an edge that comes in at `at` would not be the one to go. */
static bool
has_place(const VgList *list, int count, int at, bool kept)
{
	if (count < list->most)
		return true;
	return kept ? at < count || last_filler(list, count) >= 0 : last_filler(list, count) >= at;
}

/* Whether a row is a kept edge among the first `before`. */
static bool
keeps_edge(const VgList *list, int before, uint32_t id)
{
	for (int i = 0; i < before; i++)
		if (list->ids[i] == id)
			return !signbit(list->dists[i]);
	return false;
}

/* Whether no kept edge of the first `before` is nearer to the row than the node is. */
static bool
keeps(VgLinker *l, const VgList *list, int before, uint32_t id, float dist)
{
	for (int i = 0; i < before; i++)
		if (!signbit(list->dists[i]) && vg_stands_against(between(l, id, list->ids[i]), dist))
			return false;
	return true;
}

/*
 * The selection anew behind a kept edge that has come in at `at`. A kept edge
 * stays unless the new one, or one that was brought back, stands against it. One
 * that was not kept stays out unless an edge that stood against it is lost. So
 * most edges are compared with the new one only, or with a lost one.
 */
static void
revise(VgLinker *l, VgList *list, int at, int count)
{
	int		   *lost = l->chosen;
	int			nlost = 0;
	bool		brought_back = false;
	Lost		last = {VG_NONE, {NULL, NULL, 0, 0}};

	for (int i = at + 1; i < count; i++)
	{
		uint32_t	id = list->ids[i];
		float		dist = fabsf(list->dists[i]);

		if (signbit(list->dists[i]))
		{
			bool		freed = false;

			for (int k = 0; k < nlost && !freed; k++)
				freed = vg_stands_against(lost_distance(l, &last, list->ids[lost[k]], id), dist);
			if (!freed || !keeps(l, list, i, id, dist))
				continue;
			list->dists[i] = dist;
			brought_back = true;
		}
		else if (vg_stands_against(between(l, list->ids[at], id), dist) ||
				 (brought_back && !keeps(l, list, i, id, dist)))
		{
			list->dists[i] = -dist;
			lost[nlost++] = i;
		}
	}
}

/* As between(), but leaves the new edge prepared. */
static float
lost_distance(VgLinker *l, Lost *last, uint32_t lost, uint32_t id)
{
	if (last->id != lost)
	{
		vg_query(l->rows, vg_row(l->rows, lost), l->s + codes_room(l->rows->dim), &last->query);
		last->id = lost;
	}
	return vg_near(l->rows, &last->query, vg_row(l->rows, id));
}

static void
copy_edges(VgList *to, int to_at, const VgList *from, int from_at, int n)
{
	memcpy(to->ids + to_at, from->ids + from_at, (size_t) n * sizeof(uint32_t));
	memcpy(to->dists + to_at, from->dists + from_at, (size_t) n * sizeof(float));
}

static int
list_count(const VgList *list)
{
	int			n = list->most;

	while (n > 0 && list->ids[n - 1] == VG_NONE)
		n--;
	return n;
}

/* The farthest edge that was not kept; -1 if there is none. */
static int
last_filler(const VgList *list, int count)
{
	int			i = count - 1;

	while (i >= 0 && !signbit(list->dists[i]))
		i--;
	return i;
}
