/*
 * compat.h -- differences between PostgreSQL 15, 16, 17 and 18, in one place.
 *
 * The only file that mentions PG_VERSION_NUM (make lint checks it). Include it
 * right after postgres.h.
 */
#ifndef VECPG_COMPAT_H
#define VECPG_COMPAT_H

#include "access/amapi.h"
#include "access/relscan.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "postmaster/autovacuum.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"

#if PG_VERSION_NUM < 150000
#error "vecpg needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#include "storage/relfilelocator.h"
#endif

/*
 * The module is compiled with hidden visibility, and before 16 neither
 * PGDLLEXPORT nor PG_FUNCTION_INFO_V1 undoes it: a declaration that comes
 * first does, on all versions. VECPG_FUNCTION opens the definition of an
 * SQL-callable function.
 */
#define VECPG_EXPORT __attribute__((visibility("default")))
#define VECPG_FUNCTION(name) \
	extern VECPG_EXPORT Datum name(PG_FUNCTION_ARGS); \
	extern VECPG_EXPORT const Pg_finfo_record *CppConcat(pg_finfo_, name) (void); \
	PG_FUNCTION_INFO_V1(name)

/* Identity of a relation's storage: changes with REINDEX and TRUNCATE. */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator VecRelFile;
#define vecpg_relfile(rel) ((rel)->rd_locator)
#define vecpg_relfile_equal(a, b) RelFileLocatorEquals(a, b)
#else
typedef RelFileNode VecRelFile;
#define vecpg_relfile(rel) ((rel)->rd_node)
#define vecpg_relfile_equal(a, b) RelFileNodeEquals(a, b)
#endif

/* Memory of a setting's extra: freed by the server with its own allocator's free. */
#if PG_VERSION_NUM >= 160000
#define vecpg_guc_malloc(size) guc_malloc(LOG, size)
#else
#define vecpg_guc_malloc(size) malloc(size)
#endif

/*
 * Pins a page where it was last seen; false if it is elsewhere by now. From 16 on
 * such a pin does not count as use, so that the clock sweep would throw out the
 * hottest pages: one read in VECPG_RECENT_READS should take the normal way.
 */
#if PG_VERSION_NUM >= 160000
#define VECPG_RECENT_READS 16
#define vecpg_read_recent(rel, blkno, buf) \
	ReadRecentBuffer((rel)->rd_locator, MAIN_FORKNUM, blkno, buf)
#else
#define VECPG_RECENT_READS 65536
#define vecpg_read_recent(rel, blkno, buf) \
	ReadRecentBuffer((rel)->rd_node, MAIN_FORKNUM, blkno, buf)
#endif

/* One new block at the end of the fork, exclusively locked. */
static inline Buffer
vecpg_extend_locked(Relation rel)
{
#if PG_VERSION_NUM >= 160000
	return ExtendBufferedRel(BMR_REL(rel), MAIN_FORKNUM, NULL, EB_LOCK_FIRST);
#else
	Buffer		buf;
	bool		needlock = !RELATION_IS_LOCAL(rel);

	if (needlock)
		LockRelationForExtension(rel, ExclusiveLock);
	buf = ReadBuffer(rel, P_NEW);
	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	if (needlock)
		UnlockRelationForExtension(rel, ExclusiveLock);
	return buf;
#endif
}

/* Whether the server brings its own bulk writer (storage/bulk_write.h). */
#if PG_VERSION_NUM >= 170000
#define VECPG_HAVE_BULK_WRITE 1
#else
#define VECPG_HAVE_BULK_WRITE 0
#endif

/* vacuum_delay_point took an argument in 18. */
static inline void
vecpg_vacuum_delay(void)
{
#if PG_VERSION_NUM >= 180000
	vacuum_delay_point(false);
#else
	vacuum_delay_point();
#endif
}

/* The heap of an index under VACUUM: known to the AM from 16 on. */
#if PG_VERSION_NUM >= 160000
#define vecpg_vacuum_heap(info) ((info)->heaprel)
#else
#define vecpg_vacuum_heap(info) ((Relation) NULL)
#endif

/* 18 counts index searches for EXPLAIN ANALYZE. */
static inline void
vecpg_count_search(IndexScanDesc scan)
{
#if PG_VERSION_NUM >= 180000
	if (scan->instrument)
		scan->instrument->nsearches++;
#endif
}

/* 18 compares what is switched off by count, before cost: more than a sequential scan. */
static inline void
vecpg_disable_path(Path *path)
{
#if PG_VERSION_NUM >= 180000
	path->disabled_nodes = 2;
#endif
}

/* Begins the scan of an index scan node as the executor does. */
#if PG_VERSION_NUM >= 180000
#define vecpg_index_beginscan(iss) \
	index_beginscan((iss)->ss.ss_currentRelation, (iss)->iss_RelationDesc, \
					(iss)->ss.ps.state->es_snapshot, &(iss)->iss_Instrument, \
					(iss)->iss_NumScanKeys, (iss)->iss_NumOrderByKeys)
#else
#define vecpg_index_beginscan(iss) \
	index_beginscan((iss)->ss.ss_currentRelation, (iss)->iss_RelationDesc, \
					(iss)->ss.ps.state->es_snapshot, \
					(iss)->iss_NumScanKeys, (iss)->iss_NumOrderByKeys)
#endif

/* Whether the current user owns a table (or is superuser). */
#if PG_VERSION_NUM >= 160000
#define vecpg_owns_table(relid) object_ownercheck(RelationRelationId, relid, GetUserId())
#else
#define vecpg_owns_table(relid) pg_class_ownercheck(relid, GetUserId())
#endif

/* Before code of the table's owner runs for somebody else. */
#if PG_VERSION_NUM >= 170000
#define vecpg_restrict_search_path() RestrictSearchPath()
#else
#define vecpg_restrict_search_path() ((void) 0)
#endif

/* Begins an ordered scan that belongs to no plan. */
#if PG_VERSION_NUM >= 180000
#define vecpg_begin_ordered_scan(heap, index, snapshot) \
	index_beginscan(heap, index, snapshot, NULL, 0, 1)
#else
#define vecpg_begin_ordered_scan(heap, index, snapshot) \
	index_beginscan(heap, index, snapshot, 0, 1)
#endif

#if PG_VERSION_NUM >= 170000
#define vecpg_is_autovacuum() AmAutoVacuumWorkerProcess()
#else
#define vecpg_is_autovacuum() IsAutoVacuumWorkerProcess()
#endif

/* Fields of IndexAmRoutine that came after 15. */
static inline void
vecpg_am_extra(IndexAmRoutine *am)
{
#if PG_VERSION_NUM >= 160000
	am->amsummarizing = false;
#endif
#if PG_VERSION_NUM >= 170000
	am->amcanbuildparallel = false;
	am->aminsertcleanup = NULL;
#endif
#if PG_VERSION_NUM >= 180000
	am->amcanhash = false;
	am->amconsistentequality = false;
	am->amconsistentordering = false;
	am->amgettreeheight = NULL;
	am->amtranslatestrategy = NULL;
	am->amtranslatecmptype = NULL;
#endif
}

#endif							/* VECPG_COMPAT_H */
