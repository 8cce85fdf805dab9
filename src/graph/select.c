/*
 * select.c -- which of the rows found near a node become its edges.
 *
 * What it is not: the keeping of lists that already exist (link.c).
 *
 * Source: HNSW (graph.h), algorithm 4, with keepPrunedConnections. A candidate
 * is kept if it is nearer to the node than to every kept one before it: an edge
 * should lead where no other edge of the node leads. Equal distances keep, equal
 * rows do not.
 */
#include "graph/inner.h"

static bool keeps(const VgCandidate *cand, const int *out, int nkept, int c, VgPairDistance pair,
				  void *arg);

int
vg_select(const VgCandidate *cand, int n, int most, VgPairDistance pair, void *arg,
		  uint8_t *kept, int *out)
{
	int			nkept = 0;
	int			room;
	int			count = 0;

	for (int c = 0; c < n; c++)
	{
		kept[c] = nkept < most && keeps(cand, out, nkept, c, pair, arg);
		if (kept[c])
			out[nkept++] = c;
	}
	room = most - nkept;
	for (int c = 0; c < n && count < most; c++)
		if (kept[c] || room-- > 0)
			out[count++] = c;
	return count;
}

static bool
keeps(const VgCandidate *cand, const int *out, int nkept, int c, VgPairDistance pair, void *arg)
{
	for (int i = 0; i < nkept; i++)
		if (vg_stands_against(pair(arg, (uint32_t) c, (uint32_t) out[i]), cand[c].dist))
			return false;
	return true;
}
