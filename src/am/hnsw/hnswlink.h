/*
 * hnswlink.h -- what inserts and VACUUM share: neighbours, edges, places, rows.
 *
 * What it is not: visible outside am/hnsw, or used by scans and builds.
 *
 *   hnswnear.c    the records near a vector, and which of them become its edges
 *   hnswback.c    edges back to a record, from those it has edges to
 *   hnswplace.c   room for records, and changes of one, of several pages too
 *   hnswrows.c    rows of equal vectors: adding one, removing dead ones
 */
#ifndef VECPG_HNSWLINK_H
#define VECPG_HNSWLINK_H

#include "access/genam.h"

#include "am/hnsw/hnsw.h"

/* ---- records near a vector (hnswnear.c) ---- */

/* A record met by a search, copied while its page was locked. */
typedef struct HnswMet
{
	uint32		number;
	uint32		down;			/* upper layers: its record one layer below */
	uint64		hash;
	float		value;			/* the search's own, then replaced by ... */
	float		dist;			/* distance to the vector, both decoded, lifts included */
	float		lift;
	const uint8 *code;
	float	   *x;				/* [dim] decoded; NULL: not yet */
} HnswMet;

/* A vector that gets edges, and what the last search found near it. */
typedef struct HnswLinks
{
	Relation	index;
	Relation	heap;			/* may be NULL */
	HnswModel  *m;
	MemoryContext cxt;			/* of all memory below */

	const uint8 *code;			/* the vector's own code, */
	float	   *x;				/* decoded, */
	float		lift;			/* and its lift */
	HnswQuery	q;				/* x as a query */
	float	   *scratch;		/* [2 * dim] */
	uint8	   *edge;			/* room for one edge */

	HnswReader	reader;
	ViCounters	count;			/* nobody reads it */
	HnswMet    *met;			/* live records, in the order met */
	size_t		nmet;
	size_t		met_cap;

	HnswMet   **near;			/* the nearest ef of them, ascending */
	int			nnear;
} HnswLinks;

/* Edges chosen for one layer, ascending by distance. */
typedef struct HnswChoice
{
	int			n;
	HnswMet   **to;
} HnswChoice;

/* All but the search: code stays the caller's and must live as long. */
extern void hnsw_links_begin(HnswLinks *k, Relation index, Relation heap, HnswModel *m,
							 const uint8 *code, MemoryContext cxt);

/*
 * Searches a layer from the records `starts`; afterwards near[0 .. nnear) are the
 * ef nearest live records, and what was met and chosen before stays valid.
 */
extern void hnsw_links_find(HnswLinks *k, int layer, const uint32 *starts, int nstarts, int ef);

/*
 * A record, living or dead, copied to node (l->size bytes) and decoded; NULL if it
 * is no more.
 */
extern HnswMet *hnsw_links_read(HnswLinks *k, int layer, uint32 number, HnswNode node);

/* Whether hnsw_links_find() did not meet even one live record. */
#define hnsw_links_alone(k) ((k)->nnear == 0)

/* Chooses edges among near (without `self`) and copies them to choice. */
extern void hnsw_links_choose(HnswLinks *k, int layer, uint32 self, HnswChoice *choice);

/*
 * The record on layer `to` of the vector of record `number` on layer `from`, dead
 * or alive; HNSW_NONE if it is no more.
 */
extern uint32 hnsw_straight_down(HnswLinks *k, uint32 number, int from, int to);

/* A decoded row as a query of records: inner product wants it without the shift. */
extern const float *hnsw_as_query(const HnswModel *m, const float *x, MemoryContext cxt);

/* Distance in which the graph is built: two decoded vectors with their lifts. */
extern float hnsw_distance(const HnswModel *m, const float *a, float lift_a, const float *b,
						   float lift_b);

/* Writes the edge that a record decoded to `from` has to record `number` decoded to `to`. */
extern void hnsw_make_edge(HnswLinks *k, const float *from, uint32 number, const float *to,
						   uint8 *edge);

/* ---- edges back (hnswback.c) ---- */

/*
 * Gives each record of a choice an edge to record `number`, the vector's own on
 * this layer, where the rule (README) wants one. The nearest one always gets it.
 */
extern void hnsw_link_back(HnswLinks *k, int layer, uint32 number, const HnswChoice *choice);

/* About the lengths of the edges of a record; node: its copy. */
extern void hnsw_edge_lengths(HnswLinks *k, int layer, const HnswMet *record, HnswNode node,
							  float *length);

/* ---- places for records, and changes of them (hnswplace.c) ---- */

/* A free slot, its page exclusively locked. */
typedef struct HnswPlace
{
	const HnswLayout *l;
	Buffer		buf;
	int			slot;
	bool		fresh;			/* the page is yet to be initialised */
} HnswPlace;

/*
 * Finds or makes one. Pages after the first of a record that needs them are there
 * on return, and hold their part of `record` (l->size bytes) already.
 */
extern void hnsw_place_find(Relation index, Relation heap, HnswModel *m, int layer,
							const char *record, HnswPlace *p);

/* Puts the record in an open change; returns its number. */
extern uint32 hnsw_place_put(VsChange *change, HnswPlace *p, const char *record);

/* After the change: unlocks, and tells the map what room is left. */
extern void hnsw_place_release(Relation index, HnswModel *m, HnswPlace *p);

/* Index in HnswModel.used of the page of chunks. */
#define HNSW_USED_ROWS 2

/* Looks at pages that the free space map offers, before a new one is taken. */
#define HNSW_SPACE_TRIES 4

/*
 * A page of one kind that the map knows to have a gap, exclusively locked, or
 * InvalidBuffer. side: index in HnswModel.used.
 */
extern Buffer hnsw_find_space(Relation index, HnswModel *m, int side);

/* Bytes that the map is told of a page of this kind with a gap. */
extern Size hnsw_space_of(VsKind kind);

/* Tells the map whether a page has a gap. */
extern void hnsw_record_space(Relation index, VsKind kind, BlockNumber blkno, bool gap);

/* A record open for change; its first page is locked by the caller. */
#define HNSW_EDIT_PAGES 3		/* head, and an edge across the end of a page */

typedef struct HnswEdit
{
	Relation	index;
	const HnswLayout *l;
	VsChange   *change;
	Buffer		head;
	int			slot;
	Buffer		rest[HNSW_EDIT_PAGES - 1];	/* held until hnsw_edit_end() */
	int			nrest;
} HnswEdit;

extern void hnsw_edit_begin(HnswEdit *e, Relation index, const HnswLayout *l, VsChange *change,
							Buffer head, int slot);

/* Sets one edge; of a record of several pages one edge an edit. */
extern void hnsw_edit_edge(HnswEdit *e, int i, const uint8 *edge);

/* The record's header, to be changed. */
extern HnswNode hnsw_edit_head(HnswEdit *e);

/* After the change is committed. */
extern void hnsw_edit_end(HnswEdit *e);

/* ---- rows of a record (hnswrows.c) ---- */

/*
 * Adds a row to a base record that still has this hash and code; false if it has
 * not. No buffer lock may be held.
 */
extern bool hnsw_add_row(Relation index, Relation heap, HnswModel *m, const HnswMet *record,
						 const VsTid *tid);

/*
 * Removes dead rows of a base record's chain, each chunk in a change of its own;
 * the record's page is exclusively locked. The inline row is the caller's.
 */
extern void hnsw_vacuum_chain(Relation index, Buffer buf, const HnswLayout *l, int slot,
							  IndexBulkDeleteCallback callback, void *state,
							  IndexBulkDeleteResult *stats);

/* Whether VACUUM removes a row. */
extern bool hnsw_row_dead(const VsTid *tid, IndexBulkDeleteCallback callback, void *state);

/* A page of chunks under VACUUM, exclusively locked; released. Frees it if it is empty. */
extern void hnsw_vacuum_rows_page(Relation index, Buffer buf, IndexBulkDeleteResult *stats);

#endif							/* VECPG_HNSWLINK_H */
