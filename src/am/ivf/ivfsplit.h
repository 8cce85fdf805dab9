/*
 * ivfsplit.h -- the state of one split, shared by its two files.
 *
 * What it is not: visible outside am/ivf.
 *
 *   ivfsplit.c      walks, centroids, new lists, the directory
 *   ivfsplitrow.c   the vectors of the rows
 */
#ifndef VECPG_IVFSPLIT_H
#define VECPG_IVFSPLIT_H

#include "utils/hsearch.h"

#include "am/ivf/ivf.h"
#include "index/rowfetch.h"

/* Pages locked at once; far below the server's limit of 200. */
#define MAX_PAGES 64

typedef struct SplitRow
{
	VsTid		tid;			/* first: hash key */
	BlockNumber ref_blkno;
	uint16		ref_idx;
	int			side;			/* 0 or 1 */
	bool		present;		/* seen under the locks */
	float		shift;			/* of the squared distance to x: what x misses */
	float		var;			/* of the estimate of <y, row> per unit y */
	float	   *x;				/* [dim] decoded */
} SplitRow;

typedef struct SplitSeen
{
	VsTid		tid;
	int			row;
} SplitSeen;

/* A walk down the list's chain, up to a bound. */
typedef struct SplitWalk
{
	int			rows;
	int			npages;
	BlockNumber pages[MAX_PAGES];	/* in chain order, once each */
	Buffer		bufs[MAX_PAGES];	/* locked, in the second walk */
	uint32		blocks[MAX_PAGES];	/* bit per block walked */
	BlockNumber rest_blkno;		/* where the walk ended: the chain goes on */
	uint16		rest_idx;
} SplitWalk;

typedef struct Split
{
	Relation	index;
	Relation	heap;
	IvfModel   *m;
	IvfRoute   *route;
	SplitRow   *rows;
	int			n;
	int			cap;
	int			max_rows;
	HTAB	   *seen;			/* tid -> row */
	bool		locked;			/* second walk */
	SplitWalk	walk;
	float	   *c[2];			/* centroids as decoded */
	IvfDirEntry entry[2];

	ViRowFetch	fetch;			/* heap rows, for indexes without refine codes */
} Split;

/* Decodes all rows as well as can be had. No lock may be held. */
extern void ivf_split_decode(Split *s);

/* Decodes a row from its slot in a block. */
extern void ivf_split_decode_bits(Split *s, IvfBlock block, int slot, SplitRow *row);

/* The same from its refine code, if that is there; locks its page for reading. */
extern void ivf_split_decode_refine(Split *s, SplitRow *row);

#endif							/* VECPG_IVFSPLIT_H */
