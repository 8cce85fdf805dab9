/*
 * hnswvacuum.h -- the state of one VACUUM pass, shared by its files.
 *
 * What it is not: visible outside am/hnsw.
 *
 *   hnswvacuum.c    the passes: dead rows, the entry, free slots
 *   hnswcut.c       edges to dead records, and records left with too few
 */
#ifndef VECPG_HNSWVACUUM_H
#define VECPG_HNSWVACUUM_H

#include "am/hnsw/hnswlink.h"

/* A bit per number (of a record, of a block); grows as bits are set. */
typedef struct HnswBits
{
	MemoryContext cxt;
	uint8	   *map;
	uint64		n;				/* bits there is room for */
	bool		any;
} HnswBits;

extern void hnsw_bit_set(HnswBits *bits, uint32 i);

static inline bool
hnsw_bit(const HnswBits *bits, uint32 i)
{
	return i < bits->n && (bits->map[i / 8] & (1 << (i % 8)));
}

/* The first number of at least `from` whose bit is set; false: there is none. */
extern bool hnsw_bit_next(const HnswBits *bits, uint32 from, uint32 *i);

typedef struct HnswVacuum
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *state;
	Relation	index;
	Relation	heap;			/* may be NULL */
	HnswModel  *m;
	HnswMetaData meta;
	MemoryContext cxt;			/* of the pass */
	MemoryContext record_cxt;	/* of one repair */

	/* [0] base layer, [1] upper layers */
	HnswBits	dead[2];
	HnswBits	live[2];		/* seen alive while edges were cut, and */
	HnswBits	linked[2];		/* of these, the ones to which an edge leads */
	HnswBits	upper_pages;
	HnswBits	rows_pages;
	uint32		high;			/* a living record of the highest layer, or HNSW_NONE */
	int			high_level;
	double		rows;			/* that stay */
	char	   *wide;			/* room for a record */
} HnswVacuum;

/* A page of any kind, exclusively locked; *kind as vs_kind() has it. */
extern Page hnsw_vacuum_page(HnswVacuum *v, BlockNumber blkno, int *kind, Buffer *buf);

/* Removes all edges to dead records and repairs lists that become short. */
extern void hnsw_cut_edges(HnswVacuum *v);

#endif							/* VECPG_HNSWVACUUM_H */
