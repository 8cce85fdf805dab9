/*
 * vpage.h -- pages of every vector index: header, checks, changes under WAL.
 *
 * What it is not: the layout inside a page (each access method's xpage.h).
 *
 * Every page ends with VsOpaque: kind, format version, an owner and a chain
 * link. A page is read through vs_read(), which checks all of it, and changed
 * only between vs_change_begin() and vs_change_commit(): one generic WAL
 * record of at most 4 pages, atomic for readers on a standby as well.
 */
#ifndef VECPG_VPAGE_H
#define VECPG_VPAGE_H

#include "access/generic_xlog.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

/* Kinds of pages, all access methods: number, format version, name. */
typedef enum VsKind
{
#define VS_PAGE_KIND(id, num, version, name) id = num,
#include "store/pagekinds.h"
#undef VS_PAGE_KIND
	VS_KIND_END
} VsKind;

/* Last two bytes of the page, so that other tools can tell whose page it is. */
#define VS_PAGE_ID 0xFF9E

typedef struct VsOpaqueData
{
	BlockNumber next;			/* chain link, or InvalidBlockNumber */
	uint32		owner;			/* access method's: partition, list, ... */
	uint8		kind;			/* VsKind */
	uint8		version;		/* of the kind's layout */
	uint16		flags;
	uint16		unused;
	uint16		page_id;
} VsOpaqueData;
typedef VsOpaqueData *VsOpaque;

StaticAssertDecl(sizeof(VsOpaqueData) == 16, "VsOpaqueData is 16 bytes on disk");

#define vs_opaque(page) ((VsOpaque) PageGetSpecialPointer(page))

/* Room for an access method's data: everything between header and special. */
#define VS_USABLE (BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - MAXALIGN(sizeof(VsOpaqueData)))

/* A page freed at `xid` may be reused when no snapshot can still point to it. */
typedef struct VsFreeData
{
	FullTransactionId xid;
} VsFreeData;

/* ---- heap tuple addresses on pages: alignment 2, any bytes can be looked at ---- */

typedef struct VsTid
{
	uint16		blk_hi;
	uint16		blk_lo;
	uint16		offset;			/* 0: empty */
} VsTid;

StaticAssertDecl(sizeof(VsTid) == 6, "VsTid is 6 bytes on disk");

static inline void
vs_tid_set(VsTid *to, ItemPointer tid)
{
	BlockNumber blkno = ItemPointerGetBlockNumber(tid);

	to->blk_hi = (uint16) (blkno >> 16);
	to->blk_lo = (uint16) blkno;
	to->offset = ItemPointerGetOffsetNumber(tid);
}

static inline void
vs_tid_get(const VsTid *from, ItemPointer tid)
{
	ItemPointerSet(tid, ((BlockNumber) from->blk_hi << 16) | from->blk_lo, from->offset);
}

static inline bool
vs_tid_equal(const VsTid *a, const VsTid *b)
{
	return a->offset == b->offset && a->blk_lo == b->blk_lo && a->blk_hi == b->blk_hi;
}

static inline bool
vs_tid_empty(const VsTid *tid)
{
	return tid->offset == 0;
}

/*
 * Pins and locks a page and checks that it is of `kind`; a page of another
 * kind or a damaged one is ERRCODE_INDEX_CORRUPTED. *buf is pinned and locked
 * in `mode` on return.
 */
extern Page vs_read(Relation rel, BlockNumber blkno, VsKind kind, int mode, Buffer *buf);

/*
 * The same for pages that may have been freed meanwhile: returns NULL (buffer
 * released) if the page is of another kind. strategy may be NULL.
 */
extern Page vs_read_if(Relation rel, BlockNumber blkno, VsKind kind, int mode,
					   BufferAccessStrategy strategy, Buffer *buf);

/* The kind of a page, or 0 for a new page; damaged pages raise an error. */
extern int	vs_kind(Relation rel, Buffer buf);

/* Whether the page's last bytes are ours (used by checks; raises nothing). */
extern bool vs_page_ok(Page page, const char **problem);

extern const char *vs_kind_name(int kind);

/* Sets up an empty page in memory; all of it is logged (no hole). */
extern void vs_page_init(Page page, VsKind kind, uint32 owner);

/*
 * For pages that fill up from their start: at first nothing after the header is
 * in use, then the first `bytes` of the contents. What lies beyond is zero, and
 * is not logged. Never lowers.
 */
extern void vs_page_init_unused(Page page, VsKind kind, uint32 owner);
extern void vs_page_use(Page page, Size bytes);

/* ---- changes ---- */

typedef struct VsChange
{
	Relation	rel;
	GenericXLogState *xlog;
} VsChange;

extern void vs_change_begin(VsChange *change, Relation rel);

/* A private copy to modify; buf is exclusively locked. init: starts zeroed. */
extern Page vs_change_page(VsChange *change, Buffer buf, bool init);

/* Applies and logs; buffers stay locked, the caller releases them. */
extern void vs_change_commit(VsChange *change);

/* ---- space ---- */

/*
 * An exclusively locked page to be initialised by the caller in its change:
 * one freed behind the xid horizon if the free space map knows any, else a new
 * one at the end. heap: NULL where unknown (then the oldest horizon holds).
 */
extern Buffer vs_new_page(Relation rel, Relation heap);

/*
 * A page with at least `bytes` free of kind `kind` that vs_record_space()
 * reported, exclusively locked, or InvalidBuffer. The caller checks that there
 * is room still (the map is a hint).
 */
extern Buffer vs_find_space(Relation rel, VsKind kind, Size bytes);
extern void vs_record_space(Relation rel, BlockNumber blkno, Size bytes);

/*
 * A page that was recorded with just this much, exclusively locked, or
 * InvalidBuffer: for a kind with few gaps where another kind has many, among
 * which the map's own search would find nothing else. Goes on from *at, block by
 * block, and gives up soon.
 */
extern Buffer vs_find_exact(Relation rel, VsKind kind, Size bytes, BlockNumber *at);

/* vs_record_space() unless the map has it so already. */
extern void vs_note_space(Relation rel, BlockNumber blkno, Size bytes);

/* A page, exclusively locked, if it is there, of this kind, and nobody has it locked. */
extern Buffer vs_try_page(Relation rel, BlockNumber blkno, VsKind kind);

/* Whether no snapshot can still see what was freed at xid; heap as in vs_new_page(). */
extern bool vs_behind_horizon(Relation heap, FullTransactionId xid);

/* Marks a page (of a change) free; record it with vs_record_free after commit. */
extern void vs_page_free(Page page);
extern void vs_record_free(Relation rel, BlockNumber blkno);

/* ---- bulk writing of a new index (bulk.c) ---- */

typedef struct VsBulk VsBulk;

extern VsBulk *vs_bulk_begin(Relation rel, ForkNumber fork);

/* Appends a copy of page and returns its block number. */
extern BlockNumber vs_bulk_append(VsBulk *bulk, Page page);

/* The number that the next vs_bulk_append will return. */
extern BlockNumber vs_bulk_next(VsBulk *bulk);

/*
 * Keeps a block number for a page that can be made only later (a metapage), to
 * be filled once, before the end.
 */
extern BlockNumber vs_bulk_reserve(VsBulk *bulk);
extern void vs_bulk_fill(VsBulk *bulk, BlockNumber blkno, Page page);

/* Flushes, logs, makes durable. */
extern void vs_bulk_end(VsBulk *bulk);

#endif							/* VECPG_VPAGE_H */
