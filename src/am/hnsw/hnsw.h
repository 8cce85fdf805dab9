/*
 * hnsw.h -- structures and verbs of hnsw in memory.
 *
 * What it is not: the disk format (hnswpage.h) or the user's options
 * (pg/options.def).
 */
#ifndef VECPG_HNSW_H
#define VECPG_HNSW_H

#include "access/amapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "pg/compat.h"

#include "am/hnsw/hnswpage.h"
#include "graph/graph.h"
#include "index/order.h"
#include "index/vindex.h"
#include "math/rotate.h"
#include "quant/edge.h"
#include "quant/quant.h"
#include "store/hint.h"

/* ---- the model: what a build fixes, cached per backend (hnswmodel.c) ---- */

/* Where things are in a record: layouts[0] base layer, layouts[1] upper ones. */
typedef struct HnswLayout
{
	VsKind		kind;
	int			slots;			/* most edges */
	Size		edges_at;		/* from the record's start */
	Size		edge_size;
	Size		size;			/* of a record */
	int			per_page;		/* records on a page; 1 if it needs several */
	int			npages;			/* pages of a record */
} HnswLayout;

typedef struct HnswModel
{
	MemoryContext cxt;			/* owns everything below */
	int			refs;			/* scans and inserts using it now */
	bool		cached;			/* else it goes with its last user */
	VecRelFile	file;			/* cache key with build_id */
	uint64		build_id;

	const VecOpclass *oc;
	const VqCodec *codec;		/* of own codes */
	float		params[2];
	int			dims;
	int			dim;
	int			edim;
	int			edge_bits;		/* 0: no edge codes */
	int			m;
	int			ef_construction;
	float		unit;
	float		max_norm;
	VmRotation	rot;
	float	   *mean;			/* [dims] shift before the rotation; zeros for L1 */
	float	   *mean_rot;		/* [dim] the same, rotated */
	double		mean_norm;
	float	   *zero;			/* [dim] the centre of own codes */
	HnswLayout	layout[2];
	VsHints		hints;			/* where pages were in the buffer pool */
	BlockNumber used[3];		/* pages this backend last found room on: base, upper, rows */
	BlockNumber look_at[3];		/* where it looks for others next */
} HnswModel;

/* layout of a layer */
#define HNSW_LAYOUT(model, layer) (&(model)->layout[(layer) > 0])

/* Record number and place. */
#define HNSW_BLKNO(l, number) ((BlockNumber) ((number) / (l)->per_page))
#define HNSW_SLOT(l, number) ((int) ((number) % (l)->per_page))
#define HNSW_NUMBER(l, blkno, slot) ((uint32) (blkno) * (l)->per_page + (slot))
#define HNSW_NODE(page, l, slot) ((HnswNode) (PageGetContents(page) + (Size) (slot) * (l)->size))

/* Edges of a record in memory. */
#define HNSW_EDGE(l, node, i) ((uint8 *) (node) + (l)->edges_at + (Size) (i) * (l)->edge_size)

/* Chooses codes and layouts from opclass, dims, options. bits: 0 (what packs best), 6 or 8. */
extern void hnsw_model_choose(HnswModel *m, const VecOpclass *oc, int dims, int m_edges,
							  int ef_construction, int bits);

/*
 * An index built on an empty table has learnt no lengths: sets unit and params
 * of a metapage from the first row, and a new build_id, so that every backend
 * loads its model again. To be written before any record is made.
 */
extern void hnsw_first_row(HnswMetaData *meta, const HnswModel *m, const float *raw);

/* Parameters of the L1 codec from n numbers, too few to tell the range of what will come. */
extern void hnsw_few_rows(float *params, Size n, const float *x);

/* For HnswMetaData.build_id. */
extern uint64 hnsw_random_id(void);

/* Fills what follows from mean (zero, mean_rot, mean_norm), in the current context. */
extern void hnsw_model_mean(HnswModel *m);

/*
 * The model of an index, counted as used until cxt is reset or deleted (errors
 * included); meta gets a copy of the metapage, checked. Errors if it is foreign.
 */
extern HnswModel *hnsw_model_get(Relation index, HnswMetaData *meta, MemoryContext cxt);

/* A copy of the metapage, checked. */
extern void hnsw_meta_read(Relation index, HnswMetaData *meta);

/* For index/tids.h. */
extern ViTidHeads *hnsw_tid_heads(Page meta);

/*
 * A raw vector as rows are coded: prepared, shifted by the mean and rotated (L1:
 * padded), to x[dim]. scratch[dims]. *norm: its raw length.
 */
extern ViClass hnsw_prepare(const HnswModel *m, const float *raw, float *scratch, float *x,
							double *norm);

/* Tells equal vectors: a hash of the raw values, -0 as 0. Never 0. */
extern uint64 hnsw_hash(int dims, const float *raw);

/*
 * What a decoded row x[dim] adds to its squared distances in the graph of inner
 * product: max_norm^2 - |row|^2. Then |a - b|^2 + lift_a + lift_b is
 * 2 (max_norm^2 - <a,b>). 0 for other metrics.
 */
extern float hnsw_lift(const HnswModel *m, const float *x);

/* ---- reading records (hnswread.c) ---- */

/* A query against records of any layer. */
typedef struct HnswQuery
{
	const float *y;				/* [dim] rotated; L1: padded */
	VqPoint		point;			/* against centre zero */
	VqEdgeQuery edge;
} HnswQuery;

/*
 * y[dim] as rows are (hnsw_prepare), except under inner product, where it is
 * rotated without the shift. cxt: for the int8 query.
 */
extern void hnsw_query(const HnswModel *m, const float *y, MemoryContext cxt, HnswQuery *q);

/*
 * Reads a record: its page is pinned and locked in `mode` on return, and *node
 * points into it, or to `wide` (a copy, l->size bytes) if it spans pages. NULL
 * (nothing held) if the slot holds no LIVE or DEAD record of this layer: numbers
 * may be stale, and slots are used again. A number that leads outside the index or to another kind of page raises
 * ERRCODE_INDEX_CORRUPTED.
 */
extern HnswNode hnsw_read(Relation index, HnswModel *m, int layer, uint32 number, int mode,
						  char *wide, Buffer *buf);

/*
 * A walk through one layer: the accessor's argument. visit() is called for each
 * expanded record under its page's share lock with its bound, and must not
 * read pages; it may copy what it needs.
 */
typedef struct HnswReader
{
	Relation	index;
	HnswModel  *m;
	const HnswQuery *q;
	int			layer;
	MemoryContext cxt;			/* of the search's memory */
	void		(*visit) (void *arg, uint32 number, HnswNode node, const VqBound *bound);
	void	   *arg;
	ViCounters *count;
	VgSearch	search;
	char	   *wide;			/* for records of several pages */
	uint32	   *ids;			/* for edges without codes */
	float		best;			/* of the walk: least own distance, */
	uint32		down;			/* and that record's place one layer below */
} HnswReader;

/* Prepares a walk of a layer; index, m, q, cxt, visit, arg, count are set. */
extern void hnsw_walk_begin(HnswReader *r, int layer);

/*
 * Goes down greedily from `number` on layer `from` to layer `to` (from > to) and
 * returns the record number on `to`, HNSW_NONE if the graph has changed under
 * the walk so that none is left. Uses r->search; r->visit is not called.
 */
extern uint32 hnsw_descend(HnswReader *r, uint32 number, int from, int to);

/*
 * All rows of a base record with this hash, palloc'd in cxt; 0 if the record is
 * no longer there (then its rows are dead).
 */
extern size_t hnsw_read_rows(Relation index, HnswModel *m, uint32 number, uint64 hash,
							 MemoryContext cxt, ItemPointerData **tids);

/* ---- effort (hnsweffort.c) ---- */

/* Rows expected when no LIMIT is known. */
#define HNSW_DEFAULT_LIMIT 40

/* ef of a scan's first step for `rows` rows: setting, or curve and target recall. */
extern int64 hnsw_ef(const HnswMetaData *meta, double target, int64 rows);

/* Target recall in force for an index: the setting, else its option. */
extern double hnsw_target_recall(Relation index);

/* ---- build ---- */

/* Phases for pg_stat_progress_create_index, from 2 (1 is core's). */
enum
{
	HNSW_PHASE_LOAD = 2,
	HNSW_PHASE_GRAPH,
	HNSW_PHASE_CALIBRATE,
	HNSW_PHASE_WRITE,
	HNSW_PHASE_SYNC
};

extern char *hnswbuildphasename(int64 phase);
extern IndexBuildResult *hnswbuild(Relation heap, Relation index, IndexInfo *info);
extern void hnswbuildempty(Relation index);

/* ---- the rest of the access method ---- */

extern bool hnswinsert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
					   Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern IndexScanDesc hnswbeginscan(Relation index, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection dir);
extern void hnswendscan(IndexScanDesc scan);
extern void hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup, Cost *total, Selectivity *selectivity,
							 double *correlation, double *pages);

#endif							/* VECPG_HNSW_H */
