/*
 * ivfpage.h -- everything that ivf has on disk. This header is the format.
 *
 * What it is not: structures in memory (ivf.h).
 *
 * Page map:  0 metapage | refine pages | list pages | directory | model | ...
 * then, as the index grows, any kind anywhere. All pages carry store/vpage.h's
 * opaque; pages are found by links, never by their place.
 *
 * Names: a *list* is the rows of one leaf centroid, a chain of *blocks*; a
 * *block* is 32 slots of the scan plane; a *partition* is the leaves of one top
 * centroid, a chain of directory pages; a *refine row* is a row's finer code.
 */
#ifndef VECPG_IVFPAGE_H
#define VECPG_IVFPAGE_H

#include "access/transam.h"
#include "storage/block.h"
#include "storage/itemptr.h"

#include "index/tids.h"
#include "quant/quant.h"
#include "store/vpage.h"

#define IVF_META_BLKNO 0
#define IVF_MAGIC 0x49564650	/* "IVFP" */
#define IVF_FORMAT 1

/*
 * ---- recall curve: effort against measured recall (ivfcalibrate.c) ----
 *
 * Effort has two sides: lists read, and directory entries looked at to find
 * them (partitions are opened until they hold open times as many lists as are
 * to be read). A point measures all factors for one number of lists.
 */
#define IVF_CURVE_POINTS 24
#define IVF_CURVES 2			/* for k = 10 and k = 100 */
#define IVF_OPEN_FACTORS 5

typedef struct IvfCurvePoint
{
	uint32		probes;
	float		recall[IVF_OPEN_FACTORS];	/* mean over the held-out rows */
	float		error[IVF_OPEN_FACTORS];	/* standard error of that mean */
} IvfCurvePoint;

typedef struct IvfCurve
{
	uint32		k;
	uint32		queries;		/* held-out rows; 0: not measured */
	uint32		lists;			/* lists of the index when it was measured */
	uint32		points;
	IvfCurvePoint point[IVF_CURVE_POINTS];	/* ascending probes */
} IvfCurve;

/* ---- metapage ---- */

typedef struct IvfMetaData
{
	uint32		magic;
	uint32		format;
	uint64		build_id;		/* random: tells cached models of one build */
	uint64		seed;			/* of the rotation */
	uint32		dims;			/* of the column; 0: no vector seen yet */
	uint32		dim;			/* rotated, multiple of 16 */
	uint32		sdim;			/* dimensions of the scan plane */
	uint16		opclass;		/* VecOpclass.id */
	uint16		codec;			/* VqCodec id of refine rows, VQ_NONE for bits = 1 */
	uint16		dir_codec;		/* VqCodec id of leaf centroids */
	uint16		unused;
	float		params[2];		/* of the codec */
	uint32		nparts;			/* partitions; fixed at build */
	uint32		nlists;			/* leaf lists now */
	uint32		next_list;		/* list numbers given so far + 1 */
	uint32		split_epoch;	/* counts splits: scans compare it */
	BlockNumber model_blkno;	/* first of model_pages consecutive pages */
	uint32		model_pages;
	uint32		swept_epoch;	/* split_epoch whose moved blocks are all free */
	double		rows_built;		/* rows with a code when built */
	int64		build_time;		/* TimestampTz */
	ViTidHeads	tids;			/* rows without code */
	IvfCurve	curve[IVF_CURVES];
} IvfMetaData;
typedef IvfMetaData *IvfMeta;

#define IvfPageMeta(page) ((IvfMeta) PageGetContents(page))

StaticAssertDecl(sizeof(IvfMetaData) <= VS_USABLE, "the metapage holds IvfMetaData");

/*
 * ---- model pages: a tape of bytes over consecutive pages ----
 *
 *   float32 mean[dims]             shift before the rotation
 *   uint32  part_head[nparts]      first directory page of each partition
 *   float16 part[nparts * dim]     top centroids, rotated
 */
#define IVF_MODEL_PAGE_BYTES VS_USABLE

/* ---- directory pages: owner = partition ---- */

typedef struct IvfDirPageData
{
	uint32		count;			/* entries used */
	uint32		unused;
} IvfDirPageData;
typedef IvfDirPageData *IvfDirPage;

typedef struct IvfDirEntryData
{
	uint32		list;			/* list number, > 0 */
	BlockNumber head_blkno;		/* first block, or InvalidBlockNumber */
	uint16		head_idx;
	uint16		unused;
	uint32		rows;			/* at build or split; each new block adds its slots */
	uint8		code[FLEXIBLE_ARRAY_MEMBER];	/* of dir_codec, about the top centroid */
} IvfDirEntryData;
typedef IvfDirEntryData *IvfDirEntry;

StaticAssertDecl(offsetof(IvfDirEntryData, code) == 16, "IvfDirEntryData header");

#define IvfPageDir(page) ((IvfDirPage) PageGetContents(page))
#define IVF_DIR_ENTRY(page, size, i) \
	((IvfDirEntry) (PageGetContents(page) + sizeof(IvfDirPageData) + (Size) (i) * (size)))

/*
 * ---- list pages: blocks of 32 slots, side by side ----
 *
 * A page holds as many blocks as fit; each belongs to one list, or to none. A
 * slot is empty when its tid is invalid, and then its add is +infinity, so that
 * the estimate kernel drops it without a test. A moved block (its rows were
 * copied to other lists by a split at xid moved_at) stays readable for scans
 * that hold the old directory, and is free behind the xid horizon.
 */
#define IVF_BLOCK_MOVED 0x0001	/* moved_at: transaction horizon */
#define IVF_BLOCK_MOVING 0x0002	/* moved_at: list it goes to; moved if that is named */

typedef struct IvfBlockData
{
	uint32		list;			/* 0: free */
	BlockNumber next_blkno;		/* next block of the list */
	uint16		next_idx;
	uint16		used;			/* slots ever filled: the rest is empty */
	uint16		flags;
	uint16		unused;
	FullTransactionId moved_at;
	float		add[VQ_BLOCK];
	uint16		scale[VQ_BLOCK];	/* float16 */
	uint16		err[VQ_BLOCK];	/* float16, rounded up */
	BlockNumber ref_blkno[VQ_BLOCK];	/* refine row */
	uint16		ref_idx[VQ_BLOCK];
	VsTid		tid[VQ_BLOCK];
	uint8		codes[FLEXIBLE_ARRAY_MEMBER];	/* vq_block_bytes(sdim) */
} IvfBlockData;
typedef IvfBlockData *IvfBlock;

StaticAssertDecl(offsetof(IvfBlockData, codes) == 664,
				 "IvfBlockData header");

#define IVF_BLOCK_SIZE(sdim) (offsetof(IvfBlockData, codes) + vq_block_bytes(sdim))
#define IVF_BLOCKS_PER_PAGE(sdim) ((int) (VS_USABLE / IVF_BLOCK_SIZE(sdim)))
#define IVF_BLOCK(page, sdim, i) \
	((IvfBlock) (PageGetContents(page) + (Size) (i) * IVF_BLOCK_SIZE(sdim)))

/* Two blocks a page, or one for indexes without refine rows. */
#define IVF_SDIM_TWO 848
#define IVF_SDIM_ONE 1872

StaticAssertDecl(2 * (offsetof(IvfBlockData, codes) + IVF_SDIM_TWO * VQ_BLOCK / 8) <= VS_USABLE,
				 "two blocks of IVF_SDIM_TWO fit a page");
StaticAssertDecl(offsetof(IvfBlockData, codes) + IVF_SDIM_ONE * VQ_BLOCK / 8 <= VS_USABLE,
				 "a block of IVF_SDIM_ONE fits a page");

/*
 * ---- refine pages: fixed slots of one row each ----
 *
 * A row larger than a page starts on a page of its own and goes on along the
 * opaque's chain. tid tells whose code this is: a scan that comes by an old
 * pointer and finds another tid skips the row (it is dead to that scan).
 */
typedef struct IvfRefineData
{
	VsTid		tid;
	uint16		part;			/* partition whose centroid the code is about */
	uint8		code[FLEXIBLE_ARRAY_MEMBER];
} IvfRefineData;
typedef IvfRefineData *IvfRefine;

StaticAssertDecl(offsetof(IvfRefineData, code) == 8, "IvfRefineData header");

/*
 * Flag of the opaque: the page goes on with a row that began on another. Its
 * owner is the xid that wrote it, 0 if a build did.
 */
#define IVF_REFINE_REST 0x0001

#define IVF_REFINE_SIZE(codebytes) (offsetof(IvfRefineData, code) + (codebytes))
#define IVF_REFINE_PER_PAGE(rowsize) \
	((int) ((rowsize) <= VS_USABLE ? VS_USABLE / (rowsize) : 1))
#define IVF_REFINE(page, rowsize, i) ((IvfRefine) (PageGetContents(page) + (Size) (i) * (rowsize)))

#endif							/* VECPG_IVFPAGE_H */
