/*
 * verify_ivf.c -- what ivf's pages hold, and where their links lead.
 *
 * What it is not: the reading of pages (verify_pages.c), refine rows
 * (verify_ivfcode.c), or the comparison of rows with one another or with the
 * table (verify_rows.c).
 *
 * Metapage, model and directory are read by their links; then every page is
 * read once, in order, and what links need is kept (12 bytes a block). Lists
 * are followed in that memory.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "inspect/verify_ivf.h"
#include "math/rotate.h"

typedef struct VerifyBlock
{
	uint32		list;			/* 0: free */
	BlockNumber next_blkno;
	uint16		next_idx;
	bool		moved;
	bool		reached;
} VerifyBlock;

typedef struct VerifyList
{
	uint32		list;			/* key */
	BlockNumber dir_blkno;
	int			dir_idx;
	BlockNumber head_blkno;
	uint16		head_idx;
} VerifyList;

static bool look(Verify *v);
static bool check_meta(Verify *v);
static bool check_curves(Verify *v);
static bool read_model(Verify *v);
static void check_model(Verify *v, const char *tape);
static void read_directory(Verify *v);
static void check_entry(Verify *v, BlockNumber blkno, int idx, IvfDirEntry e);
static void look_at_page(Verify *v, BlockNumber blkno, Page page);
static void look_at_list_page(Verify *v, BlockNumber blkno, Page page);
static void look_at_slots(Verify *v, BlockNumber blkno, int idx, IvfBlock block);
static void look_at_refine_page(Verify *v, BlockNumber blkno, Page page);
static void follow_lists(Verify *v);
static void follow_list(Verify *v, const VerifyList *l);
static void find_unreached(Verify *v);

const VerifyMethod verify_ivf = {
	.pages = look,
	.codes = verify_ivf_codes,
	.code = verify_ivf_code,
	.lock_meta = true
};

/* Blocks of a list page: [blocks_per_page]. */
static VerifyBlock *
blocks_of(Verify *v, BlockNumber blkno)
{
	return v->pages[blkno].parts;
}

static bool
look(Verify *v)
{
	VerifyIvf  *ivf = palloc0(sizeof(VerifyIvf));
	HASHCTL		ctl = {0};

	v->state = ivf;
	verify_begin(v);
	if (!check_meta(v) || !read_model(v))
		return false;
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(VerifyList);
	ctl.hcxt = v->cxt;
	ivf->lists = hash_create("ivf lists", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	read_directory(v);
	verify_pages(v, look_at_page);
	follow_lists(v);
	verify_tids(v, &ivf->meta.tids);
	find_unreached(v);
	return true;
}

/* ---- metapage and model ---- */

static bool
check_meta(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	const VecOpclass *oc = vi_opclass(v->index);
	IvfMeta		meta = &ivf->meta;
	PGAlignedBlock copy;
	const char *problem;
	int			dims = vi_index_dims(v->index);

	problem = verify_meta(v, VS_IVF_META, &copy);
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
	v->oc = oc;
	v->dims = meta->dims;
	ivf->m.oc = oc;
	ivf->m.codec = vq_codec(meta->codec);
	ivf->m.dir_codec = vq_codec(meta->dir_codec);
	ivf->m.dims = meta->dims;
	ivf->m.dim = meta->dim;
	ivf->m.sdim = meta->sdim;
	ivf->m.nparts = meta->nparts;
	ivf_model_sizes(&ivf->m);
	return true;
}

static bool
check_curves(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	int			c;
	uint32		i;

	for (c = 0; c < IVF_CURVES; c++)
	{
		const IvfCurve *curve = &ivf->meta.curve[c];

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
	VerifyIvf  *ivf = v->state;
	char	   *tape = verify_model(v, VS_IVF_MODEL, ivf->meta.model_blkno, ivf->meta.model_pages,
									 ivf_model_bytes(&ivf->m));

	if (tape == NULL)
		return false;
	check_model(v, tape);
	pfree(tape);
	return true;
}

static void
check_model(Verify *v, const char *tape)
{
	VerifyIvf  *ivf = v->state;
	const float *mean = (const float *) tape;
	const uint16 *half;
	Size		i;

	for (i = 0; i < (Size) ivf->m.dims; i++)
		if (!isfinite(mean[i]))
		{
			verify_report(v->found, ivf->meta.model_blkno, -1, "the mean is not finite");
			break;
		}
	ivf->part_head = palloc(sizeof(BlockNumber) * ivf->m.nparts);
	memcpy(ivf->part_head, tape + sizeof(float) * ivf->m.dims, sizeof(BlockNumber) * ivf->m.nparts);
	half = (const uint16 *) (tape + sizeof(float) * ivf->m.dims + sizeof(BlockNumber) * ivf->m.nparts);
	for (i = 0; i < (Size) ivf->m.nparts * ivf->m.dim; i++)
		if ((half[i] & 0x7C00) == 0x7C00)
		{
			verify_report(v->found, ivf->meta.model_blkno, -1, "centroid of partition %d is not finite",
						  (int) (i / ivf->m.dim));
			break;
		}
}

/* ---- directory ---- */

static void
read_directory(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	uint32		entries = 0;
	int			part;

	for (part = 0; part < ivf->m.nparts; part++)
	{
		BlockNumber blkno = ivf->part_head[part];
		BlockNumber from = ivf->meta.model_blkno;

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
			if (dir->count > (uint32) ivf->m.entries_per_page)
				verify_report(v->found, blkno, -1, "directory page has %u entries, more than the %d that fit",
							  dir->count, ivf->m.entries_per_page);
			for (i = 0; i < Min(dir->count, (uint32) ivf->m.entries_per_page); i++, entries++)
				check_entry(v, blkno, i, IVF_DIR_ENTRY(copy.data, ivf->m.entry_size, i));
			from = blkno;
			blkno = vs_opaque(copy.data)->next;
		}
	}
	if (entries != ivf->meta.nlists)
		verify_report(v->found, IVF_META_BLKNO, -1, "directory has %u lists, metapage counts %u",
					  entries, ivf->meta.nlists);
}

static void
check_entry(Verify *v, BlockNumber blkno, int idx, IvfDirEntry e)
{
	VerifyIvf  *ivf = v->state;
	VerifyList *l;
	bool		found;

	if (e->list == 0 || e->list >= ivf->meta.next_list)
	{
		verify_report(v->found, blkno, idx, "entry has list number %u, none below %u", e->list,
					  ivf->meta.next_list);
		return;
	}
	l = hash_search(ivf->lists, &e->list, HASH_ENTER, &found);
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
look_at_page(Verify *v, BlockNumber blkno, Page page)
{
	VerifyIvf  *ivf = v->state;
	int			kind = vs_opaque(page)->kind;

	switch (kind)
	{
		case VS_IVF_LIST:
			look_at_list_page(v, blkno, page);
			break;
		case VS_IVF_REFINE:
			look_at_refine_page(v, blkno, page);
			break;
		case VS_IVF_DIR:
			break;				/* read by its links */
		case VS_IVF_MODEL:
			if (blkno < ivf->meta.model_blkno || blkno - ivf->meta.model_blkno >= ivf->meta.model_pages)
				verify_report(v->found, blkno, -1, "model page is not among the model's pages");
			break;
		default:
			verify_report(v->found, blkno, -1, "page of kind \"%s\" has no place here",
						  vs_kind_name(kind));
	}
}

static void
look_at_list_page(Verify *v, BlockNumber blkno, Page page)
{
	VerifyIvf  *ivf = v->state;
	VerifyBlock *seen = palloc0(sizeof(VerifyBlock) * ivf->m.blocks_per_page);
	int			i;

	v->pages[blkno].parts = seen;
	for (i = 0; i < ivf->m.blocks_per_page; i++)
	{
		IvfBlock	block = IVF_BLOCK(page, ivf->m.sdim, i);
		int			item = i * VQ_BLOCK;

		seen[i].list = block->list;
		seen[i].next_blkno = block->next_blkno;
		seen[i].next_idx = block->next_idx;
		seen[i].moved = (block->flags & IVF_BLOCK_MOVED) != 0;
		if (block->list == 0)
			continue;
		if (block->flags & ~(IVF_BLOCK_MOVED | IVF_BLOCK_MOVING))
			verify_report(v->found, blkno, item, "block has unknown flags 0x%04x", block->flags);
		if (block->list >= ivf->meta.next_list)
		{
			verify_report(v->found, blkno, item, "block has list number %u, none below %u",
						  block->list, ivf->meta.next_list);
			continue;
		}
		if (seen[i].moved)
		{
			if (FullTransactionIdFollows(block->moved_at, v->last_xid))
				verify_report(v->found, blkno, item, "block was moved by a transaction of the future");
		}
		else if (hash_search(ivf->lists, &block->list, HASH_FIND, NULL) != NULL)
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
		verify_add_row(v, &row);
	}
}

static void
look_at_refine_page(Verify *v, BlockNumber blkno, Page page)
{
	VerifyIvf  *ivf = v->state;
	int			i;

	if (ivf->m.codec == NULL)
	{
		verify_report(v->found, blkno, -1, "refine page in an index without refine rows");
		return;
	}
	if (vs_opaque(page)->flags & IVF_REFINE_REST)
	{
		if (ivf->m.refine_size <= VS_USABLE)
			verify_report(v->found, blkno, -1, "refine rows of this index do not go on on another page");
		return;
	}
	for (i = 0; i < ivf->m.refine_per_page; i++)
	{
		IvfRefine	ref = IVF_REFINE(page, ivf->m.refine_size, i);
		VerifyRefine *seen;

		if (vs_tid_empty(&ref->tid))
			continue;
		ivf->refine = verify_grow(v, ivf->refine, &ivf->refine_cap, ivf->nrefine + 1, sizeof(VerifyRefine));
		seen = &ivf->refine[ivf->nrefine++];
		seen->blkno = blkno;
		seen->idx = i;
		seen->part = ref->part;
		seen->tid = ref->tid;
	}
}

/* ---- chains ---- */

static void
follow_lists(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	HASH_SEQ_STATUS status;
	VerifyList *l;

	hash_seq_init(&status, ivf->lists);
	while ((l = hash_seq_search(&status)) != NULL)
		follow_list(v, l);
}

static void
follow_list(Verify *v, const VerifyList *l)
{
	VerifyIvf  *ivf = v->state;
	BlockNumber blkno = l->head_blkno;
	int			idx = l->head_idx;
	BlockNumber from = l->dir_blkno;
	int			item = l->dir_idx;

	while (blkno != InvalidBlockNumber)
	{
		VerifyBlock *b;

		CHECK_FOR_INTERRUPTS();
		if (blkno >= v->npages || idx >= ivf->m.blocks_per_page)
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
		b = &blocks_of(v, blkno)[idx];
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

/* What a list or chain owns and no walk came to: its rows cannot be found. */
static void
find_unreached(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	BlockNumber blkno;
	int			i;

	for (blkno = IVF_META_BLKNO + 1; blkno < v->npages; blkno++)
	{
		const VerifyPage *p = &v->pages[blkno];

		CHECK_FOR_INTERRUPTS();
		if (p->kind == VS_IVF_DIR && !p->reached)
			verify_report(v->found, blkno, -1, "page of kind \"%s\" is in no chain", vs_kind_name(p->kind));
		if (p->kind != VS_IVF_LIST)
			continue;
		for (i = 0; i < ivf->m.blocks_per_page; i++)
		{
			const VerifyBlock *b = &blocks_of(v, blkno)[i];

			if (b->list != 0 && !b->moved && !b->reached &&
				hash_search(ivf->lists, &b->list, HASH_FIND, NULL) != NULL)
				verify_report(v->found, blkno, i * VQ_BLOCK, "block of list %u is not in its chain",
							  b->list);
		}
	}
}
