/*
 * ivfbuild.h -- the state of one index build, shared by its four files.
 *
 * What it is not: visible outside am/ivf.
 *
 *   ivfbuild.c      the order of phases, heap scans, batches
 *   ivftrain.c      sample -> mean, scale, tree of centroids
 *   ivfwrite.c      spool of scan-plane codes, pages
 *   ivfcalibrate.c  recall against lists read
 */
#ifndef VECPG_IVFBUILD_H
#define VECPG_IVFBUILD_H

#include "am/ivf/ivf.h"
#include "math/kmeans.h"
#include "pg/options.h"
#include "storage/buffile.h"

/* Most rows coded between two looks at interrupts: ~20 ms of work for 2 threads. */
#define IVF_BATCH 2048

/* Leaves a row's full-length distance is computed to. */
#define IVF_SHORTLIST 6

/* Top centroids opened for a row. */
#define IVF_ASSIGN_OPEN 20

/* Training reads this many leading rotated dimensions. */
#define IVF_TRAIN_DIMS 256

/* Held-out queries: the standard error of recall .95 at k = 10 is then ~.005. */
#define IVF_CALIBRATION_QUERIES 512

/* One row of the spool, followed by sdim / 8 bytes of code. */
typedef struct IvfSpoolRow
{
	uint32		leaf;
	BlockNumber ref_blkno;
	uint16		ref_idx;
	VsTid		tid;
	VqBitFactors f;
} IvfSpoolRow;

typedef struct IvfSpool
{
	MemoryContext cxt;
	Size		rowsize;
	Size		budget;			/* bytes kept in memory */
	int			nleaf;
	uint64		rows;
	/* in memory: chunks of whole rows */
	char	  **chunks;
	int			nchunks;
	Size		chunk_rows;
	Size		last_rows;		/* in the last chunk */
	/* past the budget: one temporary file per range of leaves */
	BufFile   **files;
	Size	   *file_rows;
	int			nfiles;
} IvfSpool;

/* Held-out rows and their true neighbours, gathered while rows are coded. */
typedef struct IvfCalibration
{
	int			nq;
	int			k;				/* neighbours kept: up to 100 */
	int8	   *x8;				/* [nq * dim] rotated, as the rows' int8 */
	uint8	   *x8_offset;		/* [nq * dim] the same + 128 */
	int32	   *row_bias;		/* [batch] what makes a tile's sum a distance */
	ItemPointerData *tid;		/* self, to be left out */
	/* per query a heap of k (distance, leaf), farthest first */
	int32	   *dist;
	uint32	   *leaf;
	int		   *n;
	int32	   *tile;			/* [threads] scratch */
} IvfCalibration;

typedef struct IvfBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	IvfOptions *opts;
	IvfModel   *m;
	MemoryContext cxt;
	MemoryContext tmp;			/* reset per row batch or phase */
	VmEnv		env;
	Size		memory;			/* maintenance_work_mem in bytes */
	uint64		rand;
	uint64		seed;

	/* sample, gone after training */
	MemoryContext sample_cxt;
	int8	   *sample;			/* [nsample * dim] rotated, scaled */
	ItemPointerData *sample_tid;
	Size		nsample;
	Size		ntrain;			/* of these, rows that train the tree */
	Size		sample_cap;
	double		seen;			/* rows with a code, first pass */
	float		mul;			/* float -> int8 */

	/* tree */
	VmTree		tree;
	uint32	   *sample_leaf;
	char	   *entries;		/* [nleaf * entry_size] directory entries */
	int		   *leaf_part;		/* [nleaf] */

	/* batch */
	int			batch;			/* rows it holds */
	int			nbatch;
	float	   *raw;			/* [batch * dims] */
	float	   *x;				/* [batch * dim] */
	int8	   *x8;
	ItemPointerData *tid;
	uint8	   *class;			/* ViClass */
	uint32	   *shortlist;		/* [batch * IVF_SHORTLIST] */
	char	   *coded;			/* [batch * spool rowsize] */
	uint8	   *refined;		/* [batch * codec bytes] */
	float	   *scratch;		/* [threads * 5 * max(dim, dims)] */

	/* output */
	VsBulk	   *bulk;
	PGAlignedBlock refine_page;
	int			refine_used;
	PGAlignedBlock list_page;	/* scratch for whole pages */
	PGAlignedBlock rest_page;	/* blocks of several lists */
	int			rest_used;
	IvfDirEntry rest_entry[BLCKSZ / sizeof(IvfBlockData)];
	int			rest_entries;
	IvfSpool	spool;
	IvfCalibration cal;
	ViTidsBuild tids;			/* rows without code */

	double		heap_tuples;
	double		index_tuples;
} IvfBuild;

/* 64-byte aligned memory in b->cxt, any size. */
extern void *ivf_build_alloc(IvfBuild *b, Size bytes);

/* ivftrain.c: fills m->mean, mul, sample, then tree, entries, m->part. */
extern void ivf_train(IvfBuild *b);

/* Decodes the centroid of a leaf into c[dim]. */
extern void ivf_build_centroid(const IvfBuild *b, uint32 leaf, float *c);

/* ivfwrite.c */
extern void ivf_spool_begin(IvfBuild *b, Size budget);
extern void ivf_spool_put(IvfBuild *b, const char *row);
extern void ivf_write_refine(IvfBuild *b, const uint8 *code, const VsTid *tid, uint16 part,
							 BlockNumber *blkno, uint16 *idx);
extern void ivf_write_tid(IvfBuild *b, int sort, ItemPointer tid);
extern void ivf_write_rest(IvfBuild *b);

/* ivfcalibrate.c */
extern void ivf_calibrate_take(IvfBuild *b);
extern void ivf_calibrate_begin(IvfBuild *b);
extern void ivf_calibrate_bias(IvfBuild *b, size_t from, size_t to);
extern void ivf_calibrate_rows(IvfBuild *b);
extern void ivf_calibrate_end(IvfBuild *b, IvfMeta meta);

#endif							/* VECPG_IVFBUILD_H */
