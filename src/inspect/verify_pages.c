/*
 * verify_pages.c -- all pages of an index, its metapage, its rows without code.
 *
 * What it is not: the pages and links of one access method (verify_NAME.c).
 *
 * Every page is read once, in order, and what links need is kept (24 bytes a
 * page). Chains are followed in that memory: each page can be reached once, so
 * a walk ends on a cycle, and no page is read twice. Nothing on a page is used
 * before it has been compared with what it can be.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "inspect/inspect.h"

#define META_BLKNO 0

/*
 * Transactions that wrote nothing are forgotten by a crash, and a standby may
 * not have heard of them: stamps can be that far ahead of the next xid.
 */
#define XID_SLACK 1000000

typedef void (*LookFunction) (Verify *v, BlockNumber blkno, Page page);

static const char *header_problem(Page page);
static void copy_page(Verify *v, BlockNumber blkno, PGAlignedBlock *copy);
static void make_room(Verify *v);
static void look_at_page(Verify *v, BlockNumber blkno, LookFunction look);
static void look_at_tids(Verify *v, BlockNumber blkno, Page page);
static void follow_tids(Verify *v, BlockNumber head);

void
verify_begin(Verify *v)
{
	v->npages = RelationGetNumberOfBlocks(v->index);
	v->last_xid = FullTransactionIdFromU64(U64FromFullTransactionId(ReadNextFullTransactionId()) +
										   XID_SLACK);
	make_room(v);
}

static void
make_room(Verify *v)
{
	Size		had = sizeof(VerifyPage) * (Size) v->pages_cap;
	Size		bytes = sizeof(VerifyPage) * (Size) v->npages;

	if (v->npages <= v->pages_cap)
		return;
	v->pages = v->pages ? repalloc_huge(v->pages, bytes) : MemoryContextAllocHuge(v->cxt, bytes);
	memset((char *) v->pages + had, 0, bytes - had);
	v->pages_cap = v->npages;
}

/* ---- one page ---- */

/* The header, and what it says to be unused; NULL if it is sound. */
static const char *
header_problem(Page page)
{
	PageHeader	header = (PageHeader) page;
	const char *problem;
	int			at;

	if (!vs_page_ok(page, &problem))
		return problem;
	if (header->pd_lower < MAXALIGN(SizeOfPageHeaderData) || header->pd_lower > header->pd_upper ||
		header->pd_upper != header->pd_special)
		return "page header is damaged";
	/* What is not in use is not logged either, and zero after replay. */
	for (at = header->pd_lower; at < header->pd_upper; at++)
		if (((char *) page)[at] != 0)
			return "page has bytes where none are in use";
	return NULL;
}

static void
copy_page(Verify *v, BlockNumber blkno, PGAlignedBlock *copy)
{
	Buffer		buf;

	CHECK_FOR_INTERRUPTS();
	buf = ReadBufferExtended(v->index, MAIN_FORKNUM, blkno, RBM_NORMAL, NULL);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(copy->data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
}

bool
verify_read(Verify *v, BlockNumber blkno, PGAlignedBlock *copy)
{
	copy_page(v, blkno, copy);
	return !PageIsNew(copy->data) && header_problem(copy->data) == NULL;
}

/* ---- metapage and model ---- */

const char *
verify_meta(Verify *v, VsKind kind, PGAlignedBlock *copy)
{
	const char *problem;

	if (v->npages == 0)
		return "the index has no metapage";
	copy_page(v, META_BLKNO, copy);
	if (PageIsNew(copy->data))
		return "page is empty";
	problem = header_problem(copy->data);
	if (problem == NULL && vs_opaque(copy->data)->kind != kind)
		problem = psprintf("page is no %s", vs_kind_name(kind));
	return problem;
}

char *
verify_model(Verify *v, VsKind kind, BlockNumber from, uint32 pages, Size bytes)
{
	uint32		needed = (bytes + VS_USABLE - 1) / VS_USABLE;
	uint32		sound = 0;
	char	   *model;
	uint32		i;

	if (pages != needed || (uint64) from + needed > (uint64) v->npages)
	{
		verify_report(v->found, META_BLKNO, -1, "model has %u pages from block %u on instead of %u",
					  pages, from, needed);
		return NULL;
	}
	model = MemoryContextAllocHuge(v->cxt, (Size) needed * VS_USABLE);
	for (i = 0; i < needed; i++)
	{
		PGAlignedBlock copy;

		if (verify_read(v, from + i, &copy) && vs_opaque(copy.data)->kind == kind)
		{
			memcpy(model + (Size) i * VS_USABLE, PageGetContents(copy.data), VS_USABLE);
			sound++;
		}
		else
			verify_report(v->found, from + i, -1, "page is no model page");
	}
	return sound == needed ? model : NULL;
}

/* ---- all pages ---- */

void
verify_pages(Verify *v, LookFunction look)
{
	BlockNumber blkno = META_BLKNO + 1;

	/* Inserts may extend the index while it is read. */
	for (; blkno < v->npages; v->npages = RelationGetNumberOfBlocks(v->index))
	{
		make_room(v);
		for (; blkno < v->npages; blkno++)
			look_at_page(v, blkno, look);
	}
	v->npages = blkno;
}

static void
look_at_page(Verify *v, BlockNumber blkno, LookFunction look)
{
	VerifyPage *p = &v->pages[blkno];
	PGAlignedBlock copy;
	const char *problem;

	copy_page(v, blkno, &copy);
	if (PageIsNew(copy.data))
		return;					/* an insert failed after extending */
	problem = header_problem(copy.data);
	if (problem)
	{
		p->damaged = true;
		verify_report(v->found, blkno, -1, "%s", problem);
		return;
	}
	p->kind = vs_opaque(copy.data)->kind;
	p->flags = vs_opaque(copy.data)->flags;
	p->next = vs_opaque(copy.data)->next;
	if (p->kind == VS_TIDS)
		look_at_tids(v, blkno, copy.data);
	else if (p->kind != VS_FREE)
		look(v, blkno, copy.data);
	else if (FullTransactionIdFollows(((VsFreeData *) PageGetContents(copy.data))->xid, v->last_xid))
		verify_report(v->found, blkno, -1, "page was freed by a transaction of the future");
}

/* ---- rows without code ---- */

static void
look_at_tids(Verify *v, BlockNumber blkno, Page page)
{
	ViTidsPage	tids = ViPageTids(page);
	uint32		sort = vs_opaque(page)->owner;
	uint32		i;

	if (sort >= VI_TIDS_SORTS)
	{
		verify_report(v->found, blkno, -1, "page of rows without code is of unknown sort %u", sort);
		return;
	}
	if (tids->count > VI_TIDS_PER_PAGE)
		verify_report(v->found, blkno, -1, "page has %u rows without code, more than the %u that fit",
					  tids->count, VI_TIDS_PER_PAGE);
	for (i = 0; i < Min(tids->count, VI_TIDS_PER_PAGE); i++)
	{
		VerifyRow	row = {0};

		row.tid = tids->tid[i];
		row.ref_blkno = InvalidBlockNumber;
		row.blkno = blkno;
		row.item = i;
		row.sort = sort;
		verify_add_row(v, &row);
	}
}

void
verify_tids(Verify *v, const ViTidHeads *heads)
{
	BlockNumber blkno;
	int			sort;
	int			chain;

	for (sort = 0; sort < VI_TIDS_SORTS; sort++)
		for (chain = 0; chain < VI_TIDS_CHAINS; chain++)
			follow_tids(v, heads->head[sort][chain]);
	for (blkno = META_BLKNO + 1; blkno < v->npages; blkno++)
		if (v->pages[blkno].kind == VS_TIDS && !v->pages[blkno].reached)
			verify_report(v->found, blkno, -1, "page of kind \"%s\" is in no chain",
						  vs_kind_name(VS_TIDS));
}

static void
follow_tids(Verify *v, BlockNumber head)
{
	BlockNumber blkno = head;
	BlockNumber from = META_BLKNO;

	while (blkno != InvalidBlockNumber)
	{
		CHECK_FOR_INTERRUPTS();
		if (blkno >= v->npages)
		{
			verify_report(v->found, from, -1,
						  "chain of rows without code leads to block %u, past the end of the index",
						  blkno);
			break;
		}
		if (v->pages[blkno].damaged)
			break;				/* reported, and nothing beyond can be known */
		if (v->pages[blkno].kind != VS_TIDS)
		{
			verify_report(v->found, from, -1,
						  "chain of rows without code leads to block %u of kind \"%s\"",
						  blkno, vs_kind_name(v->pages[blkno].kind));
			break;
		}
		if (v->pages[blkno].reached)
		{
			verify_report(v->found, from, -1, "chain of rows without code comes to block %u twice",
						  blkno);
			break;
		}
		v->pages[blkno].reached = true;
		from = blkno;
		blkno = v->pages[blkno].next;
	}
}

/* ---- memory ---- */

void
verify_add_row(Verify *v, const VerifyRow *row)
{
	v->rows = verify_grow(v, v->rows, &v->rows_cap, v->nrows + 1, sizeof(VerifyRow));
	v->rows[v->nrows++] = *row;
}

void *
verify_grow(Verify *v, void *array, Size *cap, Size need, Size size)
{
	if (need <= *cap)
		return array;
	*cap = Max(need, Max(*cap * 2, 1024));
	if (array == NULL)
		return MemoryContextAllocHuge(v->cxt, *cap * size);
	return repalloc_huge(array, *cap * size);
}
