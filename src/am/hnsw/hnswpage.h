/*
 * hnswpage.h -- everything that hnsw has on disk. This header is the format.
 *
 * What it is not: structures in memory (hnsw.h).
 *
 * Page map of a build:  0 metapage | model | upper layers | base layer | rows,
 * tids; then, as the index grows, any kind anywhere. All pages carry
 * store/vpage.h's opaque.
 *
 * Names: a *record* is a vector on one layer: header, own code, edges. A vector
 * of level L has L + 1 records, linked downwards. A record's number is
 * block * per_page + slot, so a number names its place without any map; numbers
 * of the base layer and of upper layers are different number spaces. Records
 * larger than a page have the number of their first block and go on along the
 * opaque's chain, as if the usable bytes of those pages lay end to end.
 */
#ifndef VECPG_HNSWPAGE_H
#define VECPG_HNSWPAGE_H

#include "access/transam.h"
#include "storage/block.h"

#include "index/tids.h"
#include "quant/edge.h"
#include "store/vpage.h"

#define HNSW_META_BLKNO 0
#define HNSW_MAGIC 0x48565650	/* "HVVP" */
#define HNSW_FORMAT 1

/* No record: block 0 is the metapage, so that 0 is no number. */
#define HNSW_NONE 0

/* ---- recall curve: ef against recall measured at build (hnswcalibrate.c) ---- */

#define HNSW_CURVE_POINTS 16
#define HNSW_CURVES 2			/* for k = 10 and k = 100 */

typedef struct HnswCurvePoint
{
	uint32		ef;
	float		recall;			/* mean over the held-out rows */
	float		error;			/* standard error of that mean */
} HnswCurvePoint;

typedef struct HnswCurve
{
	uint32		k;
	uint32		queries;		/* held-out rows; 0: not measured */
	uint32		points;
	HnswCurvePoint point[HNSW_CURVE_POINTS];	/* ascending ef */
} HnswCurve;

/* ---- metapage ---- */

typedef struct HnswMetaData
{
	uint32		magic;
	uint32		format;
	uint64		build_id;		/* random: tells cached models of one build */
	uint64		seed;			/* of the rotation */
	uint32		dims;			/* of the column */
	uint32		dim;			/* rotated (L1: padded), multiple of 16 */
	uint32		edim;			/* dimensions of the edge codes */
	uint16		opclass;		/* VecOpclass.id */
	uint16		codec;			/* VqCodec id of own codes */
	uint16		edge_bits;		/* 0: edges are numbers only (L1) */
	uint16		m;
	uint16		ef_construction;
	uint16		entry_level;
	uint32		entry;			/* record at entry_level; HNSW_NONE: no vector yet */
	float		params[2];		/* of the codec */
	float		unit;			/* of edge factors (quant/edge.h), > 0 */
	float		max_norm;		/* longest row at build, for inner product (README) */
	BlockNumber model_blkno;	/* first of model_pages consecutive pages: float mean[dims] */
	uint32		model_pages;
	double		rows_built;		/* rows with a code when built */
	int64		build_time;		/* TimestampTz */
	ViTidHeads	tids;
	HnswCurve	curve[HNSW_CURVES];
} HnswMetaData;
typedef HnswMetaData *HnswMeta;

#define HnswPageMeta(page) ((HnswMeta) PageGetContents(page))

StaticAssertDecl(sizeof(HnswMetaData) <= VS_USABLE, "the metapage holds HnswMetaData");

/* ---- records: pages of kind VS_HNSW_BASE and VS_HNSW_UPPER ---- */

/*
 * A slot is EMPTY (never used), LIVE, DEAD (all its rows are gone; VACUUM is
 * taking it out of the graph, scans walk through it but give out nothing) or
 * FREED (no live record has an edge to it; may be used again behind the xid
 * horizon of `freed`).
 */
#define HNSW_EMPTY 0
#define HNSW_LIVE 1
#define HNSW_DEAD 2
#define HNSW_FREED 3

typedef struct HnswNodeData
{
	uint8		state;
	uint8		level;			/* layer of this record */
	uint16		nedges;			/* edges in use, in no order, first ones first */
	uint32		down;			/* upper layers: the vector's record one layer below */
	union
	{
		uint32		base;		/* upper layers: the vector's base record */
		uint32		rows;		/* base: first chunk of further rows, or HNSW_NONE */
	}			u;
	uint32		count;			/* base: rows, the inline one included */
	union
	{
		uint64		hash;		/* of the raw vector: equal vectors share a record */
		FullTransactionId freed;	/* FREED: when */
	}			v;
	VsTid		tid;			/* base: one row; empty if it is gone while others live */
	uint16		unused;
	uint8		code[FLEXIBLE_ARRAY_MEMBER];	/* own code, then edges */
} HnswNodeData;
typedef HnswNodeData *HnswNode;

StaticAssertDecl(offsetof(HnswNodeData, code) == 32, "HnswNodeData header");

/*
 * An edge: record number (same layer), then the neighbour's code seen from here
 * (quant/edge.h), unless edge_bits is 0. Numbers are not aligned: memcpy.
 */
#define HNSW_EDGE_CODE sizeof(uint32)

/* ---- further rows of a vector: pages of kind VS_HNSW_ROWS ---- */

/*
 * Chunks of a record's chain, number = block * HNSW_CHUNKS_PER_PAGE + slot. Read
 * and changed only under the lock of the record's page (shared / exclusive).
 */
#define HNSW_CHUNK_ROWS 10

typedef struct HnswChunkData
{
	uint32		node;			/* whose rows; HNSW_NONE: free */
	uint32		next;			/* chunk or HNSW_NONE */
	uint16		n;				/* first n of tid are used */
	uint16		unused;
	VsTid		tid[HNSW_CHUNK_ROWS];
} HnswChunkData;
typedef HnswChunkData *HnswChunk;

StaticAssertDecl(sizeof(HnswChunkData) == 72, "HnswChunkData");

#define HNSW_CHUNKS_PER_PAGE ((uint32) (VS_USABLE / sizeof(HnswChunkData)))
#define HNSW_CHUNK(page, i) (((HnswChunk) PageGetContents(page)) + (i))

#endif							/* VECPG_HNSWPAGE_H */
