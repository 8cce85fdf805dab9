/*
 * ivfvacuumtids.c -- VACUUM of the pages of rows without code.
 *
 * What it is not: the pass over all pages (ivfvacuum.c), which calls this.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "commands/vacuum.h"

#include "am/ivf/ivfvacuum.h"

/* Order means nothing here: what lives moves up. */
void
ivf_vacuum_tids_page(IvfVacuum *v, Buffer buf)
{
	IvfTidsPage tids = IvfPageTids(BufferGetPage(buf));
	uint32		n = Min(tids->count, IVF_TIDS_PER_PAGE);
	uint8	   *gone = palloc0(n + 1);
	uint32		ngone = 0;
	uint32		i;

	for (i = 0; i < n; i++)
	{
		gone[i] = ivf_vacuum_dead(v, &tids->tid[i]);
		ngone += gone[i];
	}
	v->live += n - ngone;
	v->stats->tuples_removed += ngone;
	if (ngone > 0)
	{
		VsChange	change;
		uint32		to = 0;

		vs_change_begin(&change, v->index);
		tids = IvfPageTids(vs_change_page(&change, buf, false));
		for (i = 0; i < n; i++)
			if (!gone[i])
				tids->tid[to++] = tids->tid[i];
		tids->count = to;
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(buf);
	pfree(gone);
}

/* Pages of rows without code that became empty, except the heads. */
void
ivf_vacuum_unlink_tids(IvfVacuum *v)
{
	int			sort;
	int			chain;

	ivf_meta_read(v->index, &v->meta);
	for (sort = 0; sort < IVF_TIDS_SORTS; sort++)
		for (chain = 0; chain < IVF_TIDS_CHAINS; chain++)
		{
			BlockNumber blkno = v->meta.tids_head[sort][chain];
			IvfWalk		walk = {0};

			while (blkno != InvalidBlockNumber)
			{
				Buffer		buf;
				Buffer		nextbuf;
				Page		page;
				BlockNumber next;
				VsChange	change;

				vecpg_vacuum_delay();
				page = vs_read(v->index, blkno, VS_IVF_TIDS, BUFFER_LOCK_EXCLUSIVE, &buf);
				next = vs_opaque(page)->next;
				if (next == blkno)
					ivf_broken_link(v->index, next);
				if (next == InvalidBlockNumber)
				{
					UnlockReleaseBuffer(buf);
					break;
				}
				page = vs_read(v->index, next, VS_IVF_TIDS, BUFFER_LOCK_EXCLUSIVE, &nextbuf);
				if (IvfPageTids(page)->count > 0)
				{
					UnlockReleaseBuffer(nextbuf);
					UnlockReleaseBuffer(buf);
					ivf_walk(v->index, &walk, next, 0);
					blkno = next;
					continue;
				}
				vs_change_begin(&change, v->index);
				vs_opaque(vs_change_page(&change, buf, false))->next = vs_opaque(page)->next;
				vs_page_free(vs_change_page(&change, nextbuf, false));
				vs_change_commit(&change);
				UnlockReleaseBuffer(nextbuf);
				UnlockReleaseBuffer(buf);
				vs_record_free(v->index, next);
			}
		}
}
