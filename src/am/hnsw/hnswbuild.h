/*
 * hnswbuild.h -- the state of CREATE INDEX, shared by its files.
 *
 * What it is not: visible outside am/hnsw.
 *
 *   hnswbuild.c      the order of phases; heap rows to coded rows in memory
 *   hnswcalibrate.c  recall against ef
 *   hnswwrite.c      from the graph in memory to pages
 */
#ifndef VECPG_HNSWBUILD_H
#define VECPG_HNSWBUILD_H

#include "am/hnsw/hnsw.h"
#include "index/build.h"
#include "pg/options.h"

/* Rows coded at a time, in threads. */
#define HNSW_BATCH 1024

/* What is not needed while the graph is built: beside the coded row. */
typedef struct HnswBuildRow
{
	uint64		hash;
	VsTid		tid;
	uint16		unused;
	uint32		more;			/* further rows: index + 1 into dups */
	uint32		count;			/* rows, this one included */
	uint32		chunk;			/* first chunk, counted from 0, when written */
	float		factors[4];		/* of the 6-bit code */
} HnswBuildRow;

typedef struct HnswDup
{
	VsTid		tid;
	uint16		unused;
	uint32		next;			/* index + 1 */
} HnswDup;

struct hnsw_rows_hash;

typedef struct HnswBuild
{
	MemoryContext cxt;
	MemoryContext tmp;			/* reset per row */
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	HnswOptions *opts;
	HnswModel  *m;
	HnswMetaData meta;
	ViBudget	budget;			/* maintenance_work_mem */
	VmEnv		env;
	uint64		seed;

	/* a batch of heap rows */
	int			nbatch;
	float	   *raw;			/* [HNSW_BATCH * dims] */
	ItemPointerData *tid;
	uint8	   *class;			/* ViClass */
	float	   *norm;
	float	   *norm2;			/* of the shifted row */
	HnswBuildRow *coded;
	char	   *codes;			/* [HNSW_BATCH * rows.stride] as VgRow */
	char	   *scratch;		/* per thread */
	Size		scratch_size;

	/* all rows */
	MemoryContext rows_cxt;		/* of rows.rows and side */
	VgRows		rows;
	Size		rows_cap;
	HnswBuildRow *side;			/* [rows_cap] */
	struct hnsw_rows_hash *by_hash;
	HnswDup    *dups;
	size_t		ndups;
	size_t		dups_cap;
	double		norm2_sum;
	VgGraph		graph;

	ViTidsBuild tids;
	struct VsBulk *bulk;
	double		index_tuples;
} HnswBuild;

/* Bytes of a row's code behind VgRow's head: 8-bit codes, then the codec's factors. */
#define HNSW_ROW_FACTORS(b, row) ((float *) ((row)->u + (b)->m->dim))

/* Own code of a row, as it goes to disk, to out[codec->bytes(dim)]; scratch: dim + 16 bytes. */
extern void hnsw_build_code(const HnswBuild *b, uint32 i, uint8 *scratch, uint8 *out);

/* Its reconstruction, as codec->decode gives it, to x[dim]. */
extern void hnsw_build_decode(const HnswBuild *b, uint32 i, float *x);

/* Rows to be held out of the build for hnsw_calibrate(); 0: too few rows. */
extern size_t hnsw_calibration_rows(size_t rows);

/* Measures the curves of the metapage: VgBuildOptions.paused, arg is the build. */
extern void hnsw_calibrate(void *arg, const VgGraph *g, const uint32_t *rest, size_t n);

/* Writes everything and ends the bulk. */
extern void hnsw_write(HnswBuild *b);

#endif							/* VECPG_HNSWBUILD_H */
