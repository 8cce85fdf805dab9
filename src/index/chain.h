/*
 * chain.h -- walks along links between pages, none of which is believed.
 *
 * What it is not: knowledge of what the pages hold.
 */
#ifndef VECPG_CHAIN_H
#define VECPG_CHAIN_H

#include "storage/block.h"
#include "utils/rel.h"

/*
 * Position in a chain. Links of a damaged index can lead back: a position is
 * remembered at each power of two (Brent), so that a ring is met again within
 * three times its length, without memory.
 */
typedef struct ViWalk
{
	uint64		n;
	BlockNumber blkno;
	int			idx;
} ViWalk;

/* Counts a step to a place (idx 0 in chains of pages); raises on a ring. */
extern void vi_walk(Relation index, ViWalk *walk, BlockNumber blkno, int idx);

/* Raises: a link leads to what it cannot lead to. */
extern void vi_broken_link(Relation index, BlockNumber blkno) __attribute__((noreturn));

/*
 * Raises: a scan's link led to a page that is something else now. On the
 * primary the xid horizon forbids it while the scan's snapshot lives; a standby
 * has no such horizon unless hot_standby_feedback is on.
 */
extern void vi_stale_link(Relation index, BlockNumber blkno) __attribute__((noreturn));

#endif							/* VECPG_CHAIN_H */
