/*
 * tids.h -- rows that have no code, in chains of tids; every access method.
 *
 * What it is not: codes, or an order among such rows.
 *
 * Rows without a vector, rows whose every distance is NaN, rows whose distances
 * may overflow (vindex.h). Several chains of each sort, so that inserting
 * backends seldom meet. Chains grow at the head: the head page takes new tids,
 * a full one gets a new head before it.
 */
#ifndef VECPG_TIDS_H
#define VECPG_TIDS_H

#include "access/genam.h"

#include "index/vindex.h"
#include "store/vpage.h"

#define VI_TIDS_NULL 0
#define VI_TIDS_NAN 1
#define VI_TIDS_WILD 2
#define VI_TIDS_SORTS 3
#define VI_TIDS_CHAINS 4

/* The heads, part of an access method's metapage. */
typedef struct ViTidHeads
{
	BlockNumber head[VI_TIDS_SORTS][VI_TIDS_CHAINS];
} ViTidHeads;

/* ---- pages of kind VS_TIDS: owner = sort ---- */

typedef struct ViTidsPageData
{
	uint32		count;
	uint32		unused;
	VsTid		tid[FLEXIBLE_ARRAY_MEMBER];
} ViTidsPageData;
typedef ViTidsPageData *ViTidsPage;

#define ViPageTids(page) ((ViTidsPage) PageGetContents(page))
#define VI_TIDS_PER_PAGE \
	((uint32) ((VS_USABLE - offsetof(ViTidsPageData, tid)) / sizeof(VsTid)))

/* The sort of a class that has no code (not VI_FINITE). */
extern int	vi_tids_sort(ViClass class);

/*
 * Adds a row. `heads` returns the metapage's heads inside its page (meta_kind
 * at block 0); no buffer lock may be held.
 */
typedef ViTidHeads *(*ViTidHeadsOf) (Page meta);
extern void vi_tids_insert(Relation index, Relation heap, VsKind meta_kind, ViTidHeadsOf heads,
						   int sort, ItemPointer tid);

/* All rows of a sort, palloc'd in cxt; pages read are added to *pages. */
extern ItemPointerData *vi_tids_read(Relation index, const ViTidHeads *heads, int sort,
									 MemoryContext cxt, size_t *n, int64 *pages);

/* ---- build: one page in memory per sort ---- */

typedef struct ViTidsBuild
{
	BlockNumber head[VI_TIDS_SORTS];
	PGAlignedBlock page[VI_TIDS_SORTS];
} ViTidsBuild;

extern void vi_tids_build_begin(ViTidsBuild *b);

/*
 * Whether the next row of the sort appends a page. Who has a page in hand whose
 * number, the next one, is already known to others appends that one first.
 */
extern bool vi_tids_build_full(const ViTidsBuild *b, int sort);
extern void vi_tids_build_add(ViTidsBuild *b, VsBulk *bulk, int sort, ItemPointer tid);
extern void vi_tids_build_end(ViTidsBuild *b, VsBulk *bulk, ViTidHeads *heads);

/* ---- vacuum ---- */

/*
 * Removes dead rows of one page, exclusively locked; releases it. Adds the
 * living to *live and the removed to stats. callback NULL: no row is dead.
 */
extern void vi_tids_vacuum_page(Relation index, Buffer buf, IndexBulkDeleteCallback callback,
								void *state, IndexBulkDeleteResult *stats, double *live);

/* Frees pages that became empty, except the heads; heads: read just now. */
extern void vi_tids_vacuum_unlink(Relation index, const ViTidHeads *heads);

#endif							/* VECPG_TIDS_H */
