/*
 * vpage.c -- reading, checking and changing pages.
 *
 * What it is not: bulk writing (bulk.c) or reuse (reuse.c).
 */
#include "postgres.h"

#include "pg/compat.h"

#include "store/vpage.h"

static const struct
{
	int			version;
	const char *name;
}			kinds[VS_KIND_END] = {
#define VS_PAGE_KIND(id, num, version, name) [num] = {version, name},
#include "store/pagekinds.h"
#undef VS_PAGE_KIND
};

const char *
vs_kind_name(int kind)
{
	if (kind <= 0 || kind >= VS_KIND_END || kinds[kind].name == NULL)
		return "unknown";
	return kinds[kind].name;
}

bool
vs_page_ok(Page page, const char **problem)
{
	VsOpaque	opaque;

	if (PageGetPageSize(page) != BLCKSZ ||
		((PageHeader) page)->pd_special != BLCKSZ - MAXALIGN(sizeof(VsOpaqueData)))
	{
		*problem = "page header is damaged";
		return false;
	}
	opaque = vs_opaque(page);
	if (opaque->page_id != VS_PAGE_ID)
	{
		*problem = "page does not belong to a vecpg index";
		return false;
	}
	if (opaque->kind >= VS_KIND_END || kinds[opaque->kind].name == NULL)
	{
		*problem = "page kind is unknown";
		return false;
	}
	if (opaque->version != kinds[opaque->kind].version)
	{
		*problem = "page has another format version";
		return false;
	}
	return true;
}

static void
report_damage(Relation rel, BlockNumber blkno, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged or of another format at block %u",
					RelationGetRelationName(rel), blkno),
			 errdetail("The %s.", problem),
			 errhint("Please REINDEX it.")));
}

int
vs_kind(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	const char *problem;

	if (PageIsNew(page))
		return 0;
	if (!vs_page_ok(page, &problem))
		report_damage(rel, BufferGetBlockNumber(buf), problem);
	return vs_opaque(page)->kind;
}

Page
vs_read(Relation rel, BlockNumber blkno, VsKind kind, int mode, Buffer *buf)
{
	Page		page = vs_read_if(rel, blkno, kind, mode, NULL, buf);

	if (page == NULL)
		report_damage(rel, blkno, psprintf("page is not of the expected kind \"%s\"",
										   vs_kind_name(kind)));
	return page;
}

Page
vs_read_if(Relation rel, BlockNumber blkno, VsKind kind, int mode,
		   BufferAccessStrategy strategy, Buffer *buf)
{
	*buf = ReadBufferExtended(rel, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);
	LockBuffer(*buf, mode);
	if (vs_kind(rel, *buf) != (int) kind)
	{
		UnlockReleaseBuffer(*buf);
		*buf = InvalidBuffer;
		return NULL;
	}
	return BufferGetPage(*buf);
}

void
vs_page_init(Page page, VsKind kind, uint32 owner)
{
	VsOpaque	opaque;

	PageInit(page, BLCKSZ, sizeof(VsOpaqueData));
	/* Whatever lies between pd_lower and pd_upper would be lost at replay. */
	((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
	opaque = vs_opaque(page);
	opaque->next = InvalidBlockNumber;
	opaque->owner = owner;
	opaque->kind = kind;
	opaque->version = kinds[kind].version;
	opaque->page_id = VS_PAGE_ID;
}

void
vs_page_init_unused(Page page, VsKind kind, uint32 owner)
{
	vs_page_init(page, kind, owner);
	((PageHeader) page)->pd_lower = MAXALIGN(SizeOfPageHeaderData);
}

void
vs_page_use(Page page, Size bytes)
{
	PageHeader	header = (PageHeader) page;
	Size		lower = MAXALIGN(SizeOfPageHeaderData) + bytes;

	Assert(bytes <= VS_USABLE);
	if (header->pd_lower < lower)
		header->pd_lower = lower;
}

void
vs_change_begin(VsChange *change, Relation rel)
{
	change->rel = rel;
	change->xlog = GenericXLogStart(rel);
}

Page
vs_change_page(VsChange *change, Buffer buf, bool init)
{
	return GenericXLogRegisterBuffer(change->xlog, buf, init ? GENERIC_XLOG_FULL_IMAGE : 0);
}

void
vs_change_commit(VsChange *change)
{
	GenericXLogFinish(change->xlog);
	change->xlog = NULL;
}
