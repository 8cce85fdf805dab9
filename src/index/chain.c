/*
 * chain.c -- walks along links between pages, none of which is believed.
 *
 * What it is not: knowledge of what the pages hold.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/xlog.h"

#include "index/chain.h"

void
vi_walk(Relation index, ViWalk *walk, BlockNumber blkno, int idx)
{
	if (walk->n > 0 && blkno == walk->blkno && idx == walk->idx)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a chain that leads back to block %u",
						RelationGetRelationName(index), blkno),
				 errhint("Please REINDEX it.")));
	walk->n++;
	if ((walk->n & (walk->n - 1)) == 0)
	{
		walk->blkno = blkno;
		walk->idx = idx;
	}
}

void
vi_broken_link(Relation index, BlockNumber blkno)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has a broken link to block %u",
					RelationGetRelationName(index), blkno),
			 errhint("Please REINDEX it.")));
}

void
vi_stale_link(Relation index, BlockNumber blkno)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" was reorganised while it was scanned",
						RelationGetRelationName(index)),
				 errhint("Repeat the query, or set hot_standby_feedback on this standby.")));
	vi_broken_link(index, blkno);
}
