/*
 * ivf.h -- structures and verbs of ivf in memory.
 *
 * What it is not: the disk format (ivfpage.h) or the user's options
 * (pg/options.def).
 */
#ifndef VECPG_IVF_H
#define VECPG_IVF_H

#include "access/amapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "pg/compat.h"

#include "am/ivf/ivfpage.h"
#include "index/vindex.h"
#include "math/rotate.h"
#include "quant/quant.h"

/* ---- the model: what a build fixes, cached per backend (ivfmodel.c) ---- */

typedef struct IvfModel
{
	MemoryContext cxt;			/* owns everything below */
	int			refs;			/* scans and inserts using it now */
	bool		cached;			/* else it goes with its last user */
	VecRelFile	file;			/* cache key with build_id */
	uint64		build_id;

	const VecOpclass *oc;
	const VqCodec *codec;		/* of refine rows; NULL: none (bits = 1) */
	const VqCodec *dir_codec;
	float		params[2];
	int			dims;
	int			dim;
	int			sdim;
	VmRotation	rot;
	float	   *mean;			/* [dims] */
	float		mean_norm;
	int			nparts;
	BlockNumber *part_head;		/* [nparts] */
	float	   *part;			/* [nparts * dim] top centroids */

	/* derived: sizes of things on pages */
	Size		block_size;
	int			blocks_per_page;
	Size		refine_size;	/* 0 without refine rows */
	int			refine_per_page;
	Size		entry_size;
	int			entries_per_page;
} IvfModel;

/* Fills the derived sizes from oc, codec, dims. */
extern void ivf_model_sizes(IvfModel *m);

/*
 * The model of an index, counted as used until ivf_model_release(); meta gets
 * a copy of the metapage, checked. Errors if the metapage is foreign.
 */
extern IvfModel *ivf_model_get(Relation index, IvfMetaData *meta);
extern void ivf_model_release(IvfModel *m);

/* Releases the model when cxt is reset or deleted (errors included). */
extern void ivf_model_release_with(IvfModel *m, MemoryContext cxt);

/* A copy of the metapage, checked. */
extern void ivf_meta_read(Relation index, IvfMetaData *meta);

/* The heads of the rows without code, for index/tids.h. */
extern ViTidHeads *ivf_tid_heads(Page meta);

/* The model's bytes as they are written to the tape. */
extern Size ivf_model_bytes(const IvfModel *m);
extern void ivf_model_serialize(const IvfModel *m, char *out);

/* Prepares and rotates a raw vector into x[dim]; scratch[dims]. */
extern ViClass ivf_rotate(const IvfModel *m, const float *raw, float *scratch, float *x);

/* Chooses codecs and scan dimensions from the options. */
extern void ivf_model_choose(IvfModel *m, const VecOpclass *oc, int dims, int quantizer, int bits);

/* ---- a code of one row, ready for a block and a refine slot ---- */

typedef struct IvfRowCode
{
	VqBitFactors f;
	uint8	   *bits;			/* sdim / 8 bytes */
	uint8	   *refine;			/* codec bytes, or NULL */
} IvfRowCode;

/*
 * Codes rotated x: the scan plane about leaf centroid c, the refine code about
 * its partition's centroid. scratch: 3 * dim floats. Pure, for threads too.
 */
extern void ivf_encode_row(const IvfModel *m, int part, const float *c, const float *x,
						   float *scratch, IvfRowCode *out);

/* Puts a scan-plane code into slot i of a block; factors to float16. */
extern void ivf_block_set(const IvfModel *m, IvfBlock block, int i, const VqBitFactors *f,
						  const uint8 *bits, const VsTid *tid, BlockNumber ref_blkno, uint16 ref_idx);

/* Empties slot i. */
extern void ivf_block_clear(IvfBlock block, int i);

/* An empty block of a list. */
extern void ivf_block_init(const IvfModel *m, IvfBlock block, uint32 list);

/* ---- routing (ivfroute.c) ---- */

/* Partitions whose lists a new row is compared with. */
#define IVF_ROUTE_OPEN 12

/* A list and where its directory entry was when it was read. */
typedef struct IvfRoute
{
	int			part;
	uint32		list;
	BlockNumber dir_blkno;
	int			dir_idx;
	BlockNumber head_blkno;
	uint16		head_idx;
	float	   *c;				/* [dim] its centroid, caller's */
} IvfRoute;

/* The nearest list to rotated x; route->c is filled. */
extern void ivf_route(Relation index, const IvfModel *m, const float *x, IvfRoute *route);

/* Finds a list's entry again in its partition; false if it is gone (split). */
extern bool ivf_route_find(Relation index, const IvfModel *m, IvfRoute *route);

/*
 * A block that belongs to nobody and may be used now (free, or moved behind
 * the horizon) on a locked list page; -1 if there is none.
 */
extern int	ivf_free_block(const IvfModel *m, Relation heap, Page page);

/*
 * A list page with a free block, exclusively locked: the page of the list's
 * head, which keeps a list together, or of a neighbour in the directory page
 * (locked by the caller), else a new one (*fresh: to be initialised).
 */
extern Buffer ivf_block_page(Relation index, Relation heap, const IvfModel *m, Page dir,
							 int dir_idx, int *idx, bool *fresh);

/* ---- splits (ivfsplit.c) ---- */

/* Rows a list may hold before an insert splits it. */
extern int64 ivf_split_limit(const IvfMetaData *meta);

/* Splits a list in two if nothing else reorganises the index just now. */
extern void ivf_split(Relation index, Relation heap, IvfModel *m, IvfRoute *route);

/* ---- effort (ivfeffort.c) ---- */

/* Directory entries looked at per list read: what curves are measured for. */
extern const int ivf_open_factors[IVF_OPEN_FACTORS];

/* The factor where nothing was measured, or the user gave the probes. */
#define IVF_OPEN_DEFAULT 32

/* Fewest partitions opened. */
#define IVF_OPEN_MIN 4

typedef struct IvfEffort
{
	int64		probes;			/* lists to read */
	int			open;			/* times as many directory entries to look at */
} IvfEffort;

/* The cheapest effort at which `rows` rows come with the wanted recall. */
extern IvfEffort ivf_effort(const IvfMetaData *meta, double target, int64 rows);

/* Probes at which curves are measured, ascending, at most IVF_CURVE_POINTS. */
extern int	ivf_probe_grid(int lists, uint32 *grid);

/* Rows expected when no LIMIT is known. */
#define IVF_DEFAULT_LIMIT 40

/* Target recall in force for an index: the setting, else its option. */
extern double ivf_target_recall(Relation index);

/* ---- build ---- */

/* Phases for pg_stat_progress_create_index, from 2 (1 is core's). */
enum
{
	IVF_PHASE_SAMPLE = 2,
	IVF_PHASE_TRAIN,
	IVF_PHASE_ASSIGN,
	IVF_PHASE_WRITE,
	IVF_PHASE_SYNC
};

extern char *ivfbuildphasename(int64 phase);
extern IndexBuildResult *ivfbuild(Relation heap, Relation index, IndexInfo *info);
extern void ivfbuildempty(Relation index);

/* ---- the rest of the access method ---- */

extern bool ivfinsert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
					  Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *ivfbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *ivfvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern IndexScanDesc ivfbeginscan(Relation index, int nkeys, int norderbys);
extern void ivfrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool ivfgettuple(IndexScanDesc scan, ScanDirection dir);
extern void ivfendscan(IndexScanDesc scan);
extern void ivfcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							Cost *startup, Cost *total, Selectivity *selectivity,
							double *correlation, double *pages);

#endif							/* VECPG_IVF_H */
