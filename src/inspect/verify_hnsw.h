/*
 * verify_hnsw.h -- the state of a look at an hnsw index, shared by its files.
 *
 * What it is not: visible to the checks of other access methods.
 *
 *   verify_hnsw.c        metapage, model, every page
 *   verify_hnswgraph.c   edges, links down, chains of rows, the entry, reachability
 *   verify_hnswcode.c    codes of edges and of rows
 */
#ifndef VECPG_VERIFY_HNSW_H
#define VECPG_VERIFY_HNSW_H

#include "am/hnsw/hnsw.h"
#include "inspect/inspect.h"

/*
 * A record: the parts of a base or upper page are [per_page] of them. Memory:
 * 48 bytes a record and 4 an edge.
 */
typedef struct VerifyNode
{
	uint8		state;
	uint8		level;
	bool		reached;
	uint16		nedges;			/* of edges, never more than fit */
	uint32		down;
	uint32		link;			/* upper: base record; base: first chunk */
	uint32		count;
	uint32		rows;			/* found so far */
	uint64		code;			/* a hash of the own code */
	uint32	   *edges;
} VerifyNode;

/* A chunk of rows: [HNSW_CHUNKS_PER_PAGE]. */
typedef struct VerifyChunk
{
	uint32		node;
	uint32		next;
	uint16		n;
	bool		reached;
} VerifyChunk;

/* Verify.state */
typedef struct VerifyHnsw
{
	HnswMetaData meta;
	HnswModel  *m;
	char	   *wide;			/* room for a record of several pages */
	float	   *x;				/* [dim] decoded codes, and scratch */
	float	   *c;
	float	   *scratch;		/* [2 * dim] */
	int			top;			/* highest level of a live record; -1: none */
} VerifyHnsw;

/* Whether a record can be met by a scan. */
#define VERIFY_IN_GRAPH(n) ((n)->state == HNSW_LIVE || (n)->state == HNSW_DEAD)

/*
 * The record with this number on the layer, in any state; NULL if the number
 * leads to no page of records. *damaged: to a page that is damaged (reported).
 */
extern VerifyNode *verify_hnsw_node(Verify *v, int layer, uint32 number, bool *damaged);

/*
 * A record on a copy of its page: there, or in h->wide with what other pages
 * hold. NULL if that is not all there; *missing: the page's number in the record.
 */
extern HnswNode verify_hnsw_record(Verify *v, int layer, Page page, int slot, int *missing);

/* verify_hnswgraph.c */
extern void verify_hnsw_graph(Verify *v);

/* verify_hnswcode.c */
extern void verify_hnsw_edges(Verify *v);
extern void verify_hnsw_code(Verify *v, const VerifyRow *row, const float *raw);

#endif							/* VECPG_VERIFY_HNSW_H */
