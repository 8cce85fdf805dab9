/*
 * verify_ivf.c -- reads all pages of an ivf index and follows all of its links.
 *
 * What it is not: the comparison of rows with one another or with the table
 * (verify_rows.c).
 *
 * Metapage, model and directory are read by their links; then every page is
 * read once, in order, and what links need is kept (12 bytes a block, 24 a
 * page). Chains are followed in that memory: each block can be reached once,
 * so a walk ends on a cycle, and no page is read twice. Nothing on a page is
 * used before it has been compared with what it can be.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "inspect/inspect.h"
#include "math/rotate.h"

/*
 * Transactions that wrote nothing are forgotten by a crash, and a standby may
 * not have heard of them: stamps can be that far ahead of the next xid.
 */
#define XID_SLACK 1000000

typedef struct VerifyList
{
	uint32		list;			/* key */
	BlockNumber dir_blkno;
	int			dir_idx;
	BlockNumber head_blkno;
	uint16		head_idx;
} VerifyList;

static bool check_meta(Verify *v);
static bool check_curves(Verify *v);
static bool read_model(Verify *v);
static void check_model(Verify *v, const char *tape);
static void read_directory(Verify *v);
static void check_entry(Verify *v, BlockNumber blkno, int idx, IvfDirEntry e);
static void make_room(Verify *v);
static void read_pages(Verify *v);
static void look_at_page(Verify *v, BlockNumber blkno);
static void look_at_list_page(Verify *v, BlockNumber blkno, Page page);
static void look_at_slots(Verify *v, BlockNumber blkno, int idx, IvfBlock block);
static void look_at_refine_page(Verify *v, BlockNumber blkno, Page page);
static void look_at_tids_page(Verify *v, BlockNumber blkno, Page page);
static void follow_lists(Verify *v);
static void follow_list(Verify *v, const VerifyList *l);
static void follow_tids(Verify *v);
static void find_unreached(Verify *v);
static void add_row(Verify *v, const VerifyRow *row);
static void *grow(void *array, Size *cap, Size need, Size size);

bool
verify_ivf(Verify *v)
{
	HASHCTL		ctl = {0};

	v->npages = RelationGetNumberOfBlocks(v->index);
	v->last_xid = FullTransactionIdFromU64(U64FromFullTransactionId(ReadNextFullTransactionId()) +
										   XID_SLACK);
	if (!check_meta(v) || !read_model(v))
		return false;
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(VerifyList);
	ctl.hcxt = CurrentMemoryContext;
	v->lists = hash_create("ivf lists", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	make_room(v);
	read_directory(v);
	read_pages(v);
	follow_lists(v);
	follow_tids(v);
	find_unreached(v);
	return true;
}

/* ---- pages ---- */

/* The header alone; NULL if it is sound. */
static const char *
header_problem(Page page)
{
	PageHeader	header = (PageHeader) page;
	const char *problem;

	if (!vs_page_ok(page, &problem))
		return problem;
	if (header->pd_lower != header->pd_upper || header->pd_upper != header->pd_special)
		return "page header is damaged";
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

static bool
check_meta(Verify *v)
{
	const VecOpclass *oc = vi_opclass(v->index);
	IvfMeta		meta = &v->meta;
	PGAlignedBlock copy;
	const char *problem = NULL;
	int			dims = vi_index_dims(v->index);

	if (v->npages == 0)
	{
		verify_report(v->found, IVF_META_BLKNO, -1, "the index has no metapage");
		return false;
	}
	copy_page(v, IVF_META_BLKNO, &copy);
	if (PageIsNew(copy.data))
		problem = "page is empty";
	else
		problem = header_problem(copy.data);
	if (problem == NULL && vs_opaque(copy.data)->kind != VS_IVF_META)
		problem = "page is no ivf metapage";
	if (problem == NULL)
	{
		memcpy(meta, IvfPageMeta(copy.data), sizeof(IvfMetaData));
		if (meta->magic != IVF_MAGIC)
			problem = "metapage has another magic number";
		else if (meta->format != IVF_FORMAT)
			problem = "metapage has another format";
		else if (meta->opclass != oc->id)
			problem = "metapage names another operator class";
		else if (meta->dims < 1 || meta->dims > VECTOR_MAX_DIM ||
				 (dims > 0 && meta->dims != (uint32) dims) ||
				 meta->dim != (uint32) vm_rotated_dim(meta->dims))
			problem = "metapage has wrong dimensions";
		else if (meta->sdim < VM_PAD || meta->sdim % VM_PAD != 0 || meta->sdim > meta->dim ||
				 meta->sdim > IVF_SDIM_ONE)
			problem = "metapage has wrong dimensions of the scan plane";
		else if ((meta->codec != VQ_NONE && vq_codec(meta->codec) == NULL) ||
				 vq_codec(meta->dir_codec) == NULL)
			problem = "metapage names an unknown codec";
		else if (meta->nparts < 1 || meta->nparts > PG_UINT16_MAX || meta->nlists < 1 ||
				 meta->next_list <= meta->nlists)
			problem = "metapage has impossible numbers of lists";
		else if (!check_curves(v))
			problem = "metapage has a damaged recall curve";
	}
	if (problem)
	{
		verify_report(v->found, IVF_META_BLKNO, -1, "%s", problem);
		return false;
	}
	v->m.oc = oc;
	v->m.codec = vq_codec(meta->codec);
	v->m.dir_codec = vq_codec(meta->dir_codec);
	v->m.dims = meta->dims;
	v->m.dim = meta->dim;
	v->m.sdim = meta->sdim;
	v->m.nparts = meta->nparts;
	ivf_model_sizes(&v->m);
	return true;
}

static bool
check_curves(Verify *v)
{
	int			c;
	uint32		i;

	for (c = 0; c < IVF_CURVES; c++)
	{
		const IvfCurve *curve = &v->meta.curve[c];

		if (curve->points > IVF_CURVE_POINTS)
			return false;
		for (i = 0; i < curve->points; i++)
		{
			const IvfCurvePoint *p = &curve->point[i];
			int			f;

			if (i > 0 && p->probes <= curve->point[i - 1].probes)
				return false;
			for (f = 0; f < IVF_OPEN_FACTORS; f++)
				if (!(p->recall[f] >= 0 && p->recall[f] <= 1) || !(p->error[f] >= 0))
					return false;
		}
	}
	return true;
}

/* The tape, read from its pages and not from the backend's cache. */
static bool
read_model(Verify *v)
{
	Size		bytes = ivf_model_bytes(&v->m);
	uint32		needed = (bytes + IVF_MODEL_PAGE_BYTES - 1) / IVF_MODEL_PAGE_BYTES;
	uint32		sound = 0;
	char	   *tape;
	uint32		i;

	if (v->meta.model_pages != needed ||
		(uint64) v->meta.model_blkno + needed > (uint64) v->npages)
	{
		verify_report(v->found, IVF_META_BLKNO, -1, "model has %u pages from block %u on instead of %u",
					  v->meta.model_pages, v->meta.model_blkno, needed);
		return false;
	}
	tape = MemoryContextAllocHuge(CurrentMemoryContext, (Size) needed * IVF_MODEL_PAGE_BYTES);
	for (i = 0; i < needed; i++)
	{
		PGAlignedBlock copy;

		if (verify_read(v, v->meta.model_blkno + i, &copy) &&
			vs_opaque(copy.data)->kind == VS_IVF_MODEL)
		{
			memcpy(tape + (Size) i * IVF_MODEL_PAGE_BYTES, PageGetContents(copy.data),
				   IVF_MODEL_PAGE_BYTES);
			sound++;
		}
		else
			verify_report(v->found, v->meta.model_blkno + i, -1, "page is no model page");
	}
	if (sound == needed)
		check_model(v, tape);
	pfree(tape);
	return sound == needed;
}

static void
check_model(Verify *v, const char *tape)
{
	const float *mean = (const float *) tape;
	const uint16 *half;
	Size		i;

	for (i = 0; i < (Size) v->m.dims; i++)
		if (!isfinite(mean[i]))
		{
			verify_report(v->found, v->meta.model_blkno, -1, "the mean is not finite");
			break;
		}
	v->part_head = palloc(sizeof(BlockNumber) * v->m.nparts);
	memcpy(v->part_head, tape + sizeof(float) * v->m.dims, sizeof(BlockNumber) * v->m.nparts);
	half = (const uint16 *) (tape + sizeof(float) * v->m.dims + sizeof(BlockNumber) * v->m.nparts);
	for (i = 0; i < (Size) v->m.nparts * v->m.dim; i++)
		if ((half[i] & 0x7C00) == 0x7C00)
		{
			verify_report(v->found, v->meta.model_blkno, -1, "centroid of partition %d is not finite",
						  (int) (i / v->m.dim));
			break;
		}
}

/* ---- directory ---- */

static void
read_directory(Verify *v)
{
	uint32		entries = 0;
	int			part;

	for (part = 0; part < v->m.nparts; part++)
	{
		BlockNumber blkno = v->part_head[part];
		BlockNumber from = v->meta.model_blkno;

		while (blkno != InvalidBlockNumber)
		{
			PGAlignedBlock copy;
			IvfDirPage	dir;
			uint32		i;

			if (blkno >= v->npages)
			{
				verify_report(v->found, from, -1,
							  "directory of partition %d leads to block %u, past the end of the index",
							  part, blkno);
				break;
			}
			if (v->pages[blkno].reached)
			{
				verify_report(v->found, blkno, -1, "directory page is reached twice, again from partition %d",
							  part);
				break;
			}
			v->pages[blkno].reached = true;
			if (!verify_read(v, blkno, &copy) || vs_opaque(copy.data)->kind != VS_IVF_DIR ||
				vs_opaque(copy.data)->owner != (uint32) part)
			{
				verify_report(v->found, blkno, -1, "page is no directory page of partition %d", part);
				break;
			}
			dir = IvfPageDir(copy.data);
			if (dir->count > (uint32) v->m.entries_per_page)
				verify_report(v->found, blkno, -1, "directory page has %u entries, more than the %d that fit",
							  dir->count, v->m.entries_per_page);
			for (i = 0; i < Min(dir->count, (uint32) v->m.entries_per_page); i++, entries++)
				check_entry(v, blkno, i, IVF_DIR_ENTRY(copy.data, v->m.entry_size, i));
			from = blkno;
			blkno = vs_opaque(copy.data)->next;
		}
	}
	if (entries != v->meta.nlists)
		verify_report(v->found, IVF_META_BLKNO, -1, "directory has %u lists, metapage counts %u",
					  entries, v->meta.nlists);
}

static void
check_entry(Verify *v, BlockNumber blkno, int idx, IvfDirEntry e)
{
	VerifyList *l;
	bool		found;

	if (e->list == 0 || e->list >= v->meta.next_list)
	{
		verify_report(v->found, blkno, idx, "entry has list number %u, none below %u", e->list,
					  v->meta.next_list);
		return;
	}
	l = hash_search(v->lists, &e->list, HASH_ENTER, &found);
	if (found)
	{
		verify_report(v->found, blkno, idx, "list %u has an entry already, in block %u", e->list,
					  l->dir_blkno);
		return;
	}
	l->dir_blkno = blkno;
	l->dir_idx = idx;
	l->head_blkno = e->head_blkno;
	l->head_idx = e->head_idx;
}

/* ---- all pages ---- */

static void
make_room(Verify *v)
{
	Size		had = sizeof(VerifyPage) * (Size) v->pages_cap;
	Size		bytes = sizeof(VerifyPage) * (Size) v->npages;

	if (v->npages <= v->pages_cap)
		return;
	v->pages = v->pages ? repalloc_huge(v->pages, bytes) :
		MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	memset((char *) v->pages + had, 0, bytes - had);
	v->pages_cap = v->npages;
}

static void
read_pages(Verify *v)
{
	BlockNumber blkno = IVF_META_BLKNO + 1;

	/* Inserts may extend the index while it is read. */
	for (; blkno < v->npages; v->npages = RelationGetNumberOfBlocks(v->index))
	{
		make_room(v);
		for (; blkno < v->npages; blkno++)
			look_at_page(v, blkno);
	}
	v->npages = blkno;
}

static void
look_at_page(Verify *v, BlockNumber blkno)
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
	switch (p->kind)
	{
		case VS_IVF_LIST:
			look_at_list_page(v, blkno, copy.data);
			break;
		case VS_IVF_REFINE:
			look_at_refine_page(v, blkno, copy.data);
			break;
		case VS_TIDS:
			look_at_tids_page(v, blkno, copy.data);
			break;
		case VS_IVF_DIR:
			break;				/* read by its links */
		case VS_IVF_MODEL:
			if (blkno < v->meta.model_blkno || blkno - v->meta.model_blkno >= v->meta.model_pages)
				verify_report(v->found, blkno, -1, "model page is not among the model's pages");
			break;
		case VS_FREE:
			if (FullTransactionIdFollows(((VsFreeData *) PageGetContents(copy.data))->xid, v->last_xid))
				verify_report(v->found, blkno, -1, "page was freed by a transaction of the future");
			break;
		default:
			verify_report(v->found, blkno, -1, "page of kind \"%s\" has no place here",
						  vs_kind_name(p->kind));
	}
}

static void
look_at_list_page(Verify *v, BlockNumber blkno, Page page)
{
	VerifyBlock *seen = palloc0(sizeof(VerifyBlock) * v->m.blocks_per_page);
	int			i;

	v->pages[blkno].blocks = seen;
	for (i = 0; i < v->m.blocks_per_page; i++)
	{
		IvfBlock	block = IVF_BLOCK(page, v->m.sdim, i);
		int			item = i * VQ_BLOCK;

		seen[i].list = block->list;
		seen[i].next_blkno = block->next_blkno;
		seen[i].next_idx = block->next_idx;
		seen[i].moved = (block->flags & IVF_BLOCK_MOVED) != 0;
		if (block->list == 0)
			continue;
		if (block->flags & ~(IVF_BLOCK_MOVED | IVF_BLOCK_MOVING))
			verify_report(v->found, blkno, item, "block has unknown flags 0x%04x", block->flags);
		if (block->list >= v->meta.next_list)
		{
			verify_report(v->found, blkno, item, "block has list number %u, none below %u",
						  block->list, v->meta.next_list);
			continue;
		}
		if (seen[i].moved)
		{
			if (FullTransactionIdFollows(block->moved_at, v->last_xid))
				verify_report(v->found, blkno, item, "block was moved by a transaction of the future");
		}
		else if (hash_search(v->lists, &block->list, HASH_FIND, NULL) != NULL)
			look_at_slots(v, blkno, i, block);
	}
}

static bool
half_is_finite(uint16 half)
{
	return (half & 0x7C00) != 0x7C00;
}

/* A block of a list that the directory names. */
static void
look_at_slots(Verify *v, BlockNumber blkno, int idx, IvfBlock block)
{
	int			i;

	if (block->used > VQ_BLOCK)
		verify_report(v->found, blkno, idx * VQ_BLOCK, "block has %u slots in use of %d", block->used,
					  VQ_BLOCK);
	for (i = 0; i < VQ_BLOCK; i++)
	{
		int			item = idx * VQ_BLOCK + i;
		VerifyRow	row;

		if (vs_tid_empty(&block->tid[i]))
		{
			if (block->add[i] != INFINITY)
				verify_report(v->found, blkno, item, "empty slot can pass for a row");
			continue;
		}
		if (!isfinite(block->add[i]) || !half_is_finite(block->scale[i]) ||
			/* +infinity is allowed: a row that is always refined */
			block->err[i] > 0x7C00)
			verify_report(v->found, blkno, item, "factors of the code are not numbers");
		if (i >= block->used)
			verify_report(v->found, blkno, item, "row in a slot beyond those in use");
		row.tid = block->tid[i];
		row.ref_blkno = block->ref_blkno[i];
		row.ref_idx = block->ref_idx[i];
		row.blkno = blkno;
		row.item = item;
		row.sort = VERIFY_CODED;
		add_row(v, &row);
	}
}

static void
look_at_refine_page(Verify *v, BlockNumber blkno, Page page)
{
	int			i;

	if (v->m.codec == NULL)
	{
		verify_report(v->found, blkno, -1, "refine page in an index without refine rows");
		return;
	}
	if (vs_opaque(page)->flags & IVF_REFINE_REST)
	{
		if (v->m.refine_size <= VS_USABLE)
			verify_report(v->found, blkno, -1, "refine rows of this index do not go on on another page");
		return;
	}
	for (i = 0; i < v->m.refine_per_page; i++)
	{
		IvfRefine	ref = IVF_REFINE(page, v->m.refine_size, i);
		VerifyRefine *seen;

		if (vs_tid_empty(&ref->tid))
			continue;
		v->refine = grow(v->refine, &v->refine_cap, v->nrefine + 1, sizeof(VerifyRefine));
		seen = &v->refine[v->nrefine++];
		seen->blkno = blkno;
		seen->idx = i;
		seen->part = ref->part;
		seen->tid = ref->tid;
	}
}

static void
look_at_tids_page(Verify *v, BlockNumber blkno, Page page)
{
	ViTidsPage tids = ViPageTids(page);
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
		add_row(v, &row);
	}
}

/* ---- chains ---- */

static void
follow_lists(Verify *v)
{
	HASH_SEQ_STATUS status;
	VerifyList *l;

	hash_seq_init(&status, v->lists);
	while ((l = hash_seq_search(&status)) != NULL)
		follow_list(v, l);
}

static void
follow_list(Verify *v, const VerifyList *l)
{
	BlockNumber blkno = l->head_blkno;
	int			idx = l->head_idx;
	BlockNumber from = l->dir_blkno;
	int			item = l->dir_idx;

	while (blkno != InvalidBlockNumber)
	{
		VerifyBlock *b;

		CHECK_FOR_INTERRUPTS();
		if (blkno >= v->npages || idx >= v->m.blocks_per_page)
		{
			verify_report(v->found, from, item, "list %u leads to block %u, part %d, which does not exist",
						  l->list, blkno, idx);
			return;
		}
		if (v->pages[blkno].damaged)
			return;				/* reported, and nothing beyond can be known */
		if (v->pages[blkno].kind != VS_IVF_LIST)
		{
			verify_report(v->found, from, item, "list %u leads to block %u, which is no list page",
						  l->list, blkno);
			return;
		}
		b = &v->pages[blkno].blocks[idx];
		if (b->list != l->list || b->moved)
		{
			verify_report(v->found, from, item, "list %u leads to block %u, part %d, of %s %u", l->list,
						  blkno, idx, b->moved ? "what was list" : "list", b->list);
			return;
		}
		if (b->reached)
		{
			verify_report(v->found, from, item, "list %u comes to block %u, part %d, twice", l->list,
						  blkno, idx);
			return;
		}
		b->reached = true;
		from = blkno;
		item = idx * VQ_BLOCK;
		blkno = b->next_blkno;
		idx = b->next_idx;
	}
}

static void
follow_tids(Verify *v)
{
	int			sort;
	int			chain;

	for (sort = 0; sort < VI_TIDS_SORTS; sort++)
		for (chain = 0; chain < VI_TIDS_CHAINS; chain++)
		{
			BlockNumber blkno = v->meta.tids.head[sort][chain];
			BlockNumber from = IVF_META_BLKNO;

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
					break;
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
}

/* What a list or chain owns and no walk came to: its rows cannot be found. */
static void
find_unreached(Verify *v)
{
	BlockNumber blkno;
	int			i;

	for (blkno = IVF_META_BLKNO + 1; blkno < v->npages; blkno++)
	{
		const VerifyPage *p = &v->pages[blkno];

		CHECK_FOR_INTERRUPTS();
		if ((p->kind == VS_IVF_DIR || p->kind == VS_TIDS) && !p->reached)
			verify_report(v->found, blkno, -1, "page of kind \"%s\" is in no chain", vs_kind_name(p->kind));
		if (p->kind != VS_IVF_LIST)
			continue;
		for (i = 0; i < v->m.blocks_per_page; i++)
		{
			const VerifyBlock *b = &p->blocks[i];

			if (b->list != 0 && !b->moved && !b->reached &&
				hash_search(v->lists, &b->list, HASH_FIND, NULL) != NULL)
				verify_report(v->found, blkno, i * VQ_BLOCK, "block of list %u is not in its chain",
							  b->list);
		}
	}
}

/* ---- memory ---- */

static void
add_row(Verify *v, const VerifyRow *row)
{
	v->rows = grow(v->rows, &v->rows_cap, v->nrows + 1, sizeof(VerifyRow));
	v->rows[v->nrows++] = *row;
}

static void *
grow(void *array, Size *cap, Size need, Size size)
{
	if (need <= *cap)
		return array;
	*cap = Max(need, Max(*cap * 2, 1024));
	if (array == NULL)
		return MemoryContextAllocHuge(CurrentMemoryContext, *cap * size);
	return repalloc_huge(array, *cap * size);
}
