/*
 * ivfmodel.c -- the part of an index that its build fixes, cached per backend.
 *
 * What it is not: anything that inserts change (lists, directory entries).
 *
 * Mean, rotation and top centroids never change between builds, so a backend
 * reads them once. The cache key is the storage's identity plus the build's
 * random number: REINDEX and TRUNCATE change the first, and the second guards
 * against a storage number that came round again. rd_amcache would not do: it
 * may vanish at any catalog access while a scan still uses the model.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "utils/memutils.h"

#include "am/ivf/ivf.h"
#include "pg/options.h"
#include "simd/simd.h"

/* Models kept when unused: enough for the partitions of a table. */
#define CACHE_SIZE 64

static IvfModel *cache[CACHE_SIZE];

static IvfModel *load_model(Relation index, const IvfMetaData *meta);
static void read_tape(Relation index, const IvfMetaData *meta, char *out, Size bytes);
static void cache_put(IvfModel *m);
static void release_callback(void *arg);
static void check_meta(Relation index, const IvfMetaData *meta);

void
ivf_meta_read(Relation index, IvfMetaData *meta)
{
	Buffer		buf;
	Page		page = vs_read(index, IVF_META_BLKNO, VS_IVF_META, BUFFER_LOCK_SHARE, &buf);

	memcpy(meta, IvfPageMeta(page), sizeof(IvfMetaData));
	UnlockReleaseBuffer(buf);
	check_meta(index, meta);
}

ViTidHeads *
ivf_tid_heads(Page meta)
{
	return &IvfPageMeta(meta)->tids;
}

/* What later code takes on trust is checked here, once per read. */
static void
check_meta(Relation index, const IvfMetaData *meta)
{
	bool		curves = true;
	int			c;

	if (meta->magic != IVF_MAGIC || meta->format != IVF_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format %u, this vecpg reads format %u",
						RelationGetRelationName(index), meta->format, IVF_FORMAT),
				 errhint("Please REINDEX it.")));
	for (c = 0; c < IVF_CURVES; c++)
		curves = curves && meta->curve[c].points <= IVF_CURVE_POINTS;
	if (!curves || meta->dims < 1 || meta->dims > VECTOR_MAX_DIM ||
		meta->dim != (uint32) vm_rotated_dim(meta->dims) ||
		meta->sdim < VM_PAD || meta->sdim % VM_PAD != 0 || meta->sdim > meta->dim || meta->sdim > IVF_SDIM_ONE ||
		meta->nparts < 1 || meta->nparts > PG_UINT16_MAX ||
		(meta->codec != VQ_NONE && vq_codec(meta->codec) == NULL) ||
		vq_codec(meta->dir_codec) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("metapage of index \"%s\" is damaged", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
}

IvfModel *
ivf_model_get(Relation index, IvfMetaData *meta)
{
	IvfModel   *m;
	int			i;

	ivf_meta_read(index, meta);
	for (i = 0; i < CACHE_SIZE; i++)
	{
		m = cache[i];
		if (m != NULL && m->build_id == meta->build_id &&
			vecpg_relfile_equal(m->file, vecpg_relfile(index)))
		{
			m->refs++;
			return m;
		}
	}
	m = load_model(index, meta);
	cache_put(m);
	m->refs++;
	return m;
}

void
ivf_model_release(IvfModel *m)
{
	Assert(m->refs > 0);
	m->refs--;
	if (m->refs == 0 && !m->cached)
		MemoryContextDelete(m->cxt);
}

static void
release_callback(void *arg)
{
	ivf_model_release((IvfModel *) arg);
}

void
ivf_model_release_with(IvfModel *m, MemoryContext cxt)
{
	MemoryContextCallback *cb = MemoryContextAlloc(cxt, sizeof(MemoryContextCallback));

	cb->func = release_callback;
	cb->arg = m;
	MemoryContextRegisterResetCallback(cxt, cb);
}

/* Takes a free slot, or that of an unused model; else the model lives as long as it is used. */
static void
cache_put(IvfModel *m)
{
	int			i;

	for (i = 0; i < CACHE_SIZE; i++)
		if (cache[i] == NULL)
			break;
	if (i == CACHE_SIZE)
	{
		static int	hand = 0;
		int			tries;

		for (tries = 0; tries < CACHE_SIZE; tries++)
		{
			i = hand++ % CACHE_SIZE;
			if (cache[i]->refs == 0)
				break;
		}
		if (tries == CACHE_SIZE)
			return;
		MemoryContextDelete(cache[i]->cxt);
	}
	cache[i] = m;
	m->cached = true;
}

static IvfModel *
load_model(Relation index, const IvfMetaData *meta)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "ivf model",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	IvfModel   *m = palloc0(sizeof(IvfModel));
	uint16	   *half;
	char	   *tape;
	Size		heads;

	m->cxt = cxt;
	m->file = vecpg_relfile(index);
	m->build_id = meta->build_id;
	m->oc = vi_opclass(index);
	if (m->oc->id != meta->opclass)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" was built with another operator class",
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	m->codec = vq_codec(meta->codec);
	m->dir_codec = vq_codec(meta->dir_codec);
	memcpy(m->params, meta->params, sizeof(m->params));
	m->dims = meta->dims;
	m->dim = meta->dim;
	m->sdim = meta->sdim;
	m->nparts = meta->nparts;
	ivf_model_sizes(m);
	vm_rotation_init(&m->rot, m->dims, meta->seed, palloc(vm_rotation_bytes(m->dims)));

	heads = sizeof(BlockNumber) * m->nparts;
	tape = MemoryContextAllocHuge(cxt, ivf_model_bytes(m));
	read_tape(index, meta, tape, ivf_model_bytes(m));
	m->mean = palloc(sizeof(float) * m->dims);
	memcpy(m->mean, tape, sizeof(float) * m->dims);
	m->mean_norm = sqrt(vk->norm2_f32(m->mean, m->dims));
	m->part_head = palloc(heads);
	memcpy(m->part_head, tape + sizeof(float) * m->dims, heads);
	m->part = MemoryContextAllocHuge(cxt, sizeof(float) * (Size) m->nparts * m->dim);
	half = (uint16 *) (tape + sizeof(float) * m->dims + heads);
	vk->f16_to_f32(half, m->part, (Size) m->nparts * m->dim);
	pfree(tape);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, CacheMemoryContext);
	return m;
}

static void
read_tape(Relation index, const IvfMetaData *meta, char *out, Size bytes)
{
	BlockNumber blkno = meta->model_blkno;

	if (meta->model_pages < (bytes + IVF_MODEL_PAGE_BYTES - 1) / IVF_MODEL_PAGE_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("model of index \"%s\" is incomplete", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	while (bytes > 0)
	{
		Size		n = Min(bytes, IVF_MODEL_PAGE_BYTES);
		Buffer		buf;
		Page		page = vs_read(index, blkno++, VS_IVF_MODEL, BUFFER_LOCK_SHARE, &buf);

		memcpy(out, PageGetContents(page), n);
		UnlockReleaseBuffer(buf);
		out += n;
		bytes -= n;
	}
}

Size
ivf_model_bytes(const IvfModel *m)
{
	return sizeof(float) * m->dims + sizeof(BlockNumber) * m->nparts +
		sizeof(uint16) * (Size) m->nparts * m->dim;
}

void
ivf_model_serialize(const IvfModel *m, char *out)
{
	memcpy(out, m->mean, sizeof(float) * m->dims);
	out += sizeof(float) * m->dims;
	memcpy(out, m->part_head, sizeof(BlockNumber) * m->nparts);
	out += sizeof(BlockNumber) * m->nparts;
	vk->f32_to_f16(m->part, (uint16 *) out, (Size) m->nparts * m->dim);
}

void
ivf_model_choose(IvfModel *m, const VecOpclass *oc, int dims, int quantizer, int bits)
{
	m->oc = oc;
	m->dims = dims;
	m->dim = vm_rotated_dim(dims);
	switch (quantizer)
	{
		case VECPG_QUANTIZER_SQ8:
			m->codec = vq_codec(VQ_SQ8);
			break;
		case VECPG_QUANTIZER_FLAT:
			m->codec = vq_codec(VQ_FLAT);
			break;
		default:
			m->codec = bits == 8 ? vq_codec(VQ_RABITQ8) :
				bits == 4 ? vq_codec(VQ_RABITQ4) : NULL;
	}
	/*
	 * Beyond 848 dimensions a second block would not fit the page, and a
	 * candidate that the shorter code lets through costs one refine row; with
	 * no refine rows it costs a heap row, so there the code is longer.
	 */
	m->sdim = Min(m->dim, m->codec ? IVF_SDIM_TWO : IVF_SDIM_ONE);
	/* Centroids: precise enough to rank lists, about 400 bytes. */
	m->dir_codec = vq_codec(m->dim <= 512 ? VQ_RABITQ8 : VQ_RABITQ4);
	ivf_model_sizes(m);
}

void
ivf_model_sizes(IvfModel *m)
{
	m->block_size = IVF_BLOCK_SIZE(m->sdim);
	m->blocks_per_page = IVF_BLOCKS_PER_PAGE(m->sdim);
	m->refine_size = m->codec ? IVF_REFINE_SIZE(m->codec->bytes(m->dim)) : 0;
	m->refine_per_page = m->codec ? IVF_REFINE_PER_PAGE(m->refine_size) : 0;
	m->entry_size = MAXALIGN(offsetof(IvfDirEntryData, code) + m->dir_codec->bytes(m->dim));
	m->entries_per_page = (VS_USABLE - sizeof(IvfDirPageData)) / m->entry_size;
	Assert(m->entries_per_page >= 1);
}

ViClass
ivf_rotate(const IvfModel *m, const float *raw, float *scratch, float *x)
{
	double		norm;
	ViClass		class = vi_prepare(m->oc, m->dims, raw, scratch, &norm);

	if (class == VI_FINITE)
		vm_rotate(&m->rot, scratch, m->mean, x);
	return class;
}

void
ivf_encode_row(const IvfModel *m, int part, const float *c, const float *x,
			   float *scratch, IvfRowCode *out)
{
	vq_bit_encode(x, c, m->dim, m->sdim, m->oc->metric, scratch, out->bits, &out->f);
	if (m->codec)
		m->codec->encode(x, m->part + (Size) part * m->dim, m->dim, m->params, scratch, out->refine);
}

/*
 * A factor that float16 cannot hold makes the row one that is always refined:
 * err = +infinity gives it the lower estimate -infinity.
 */
void
ivf_block_set(const IvfModel *m, IvfBlock block, int i, const VqBitFactors *f,
			  const uint8 *bits, const VsTid *tid, BlockNumber ref_blkno, uint16 ref_idx)
{
	float		pair[2];
	uint16		half[2];

	pair[0] = f->scale;
	/* Rounding to nearest must not lower the error. */
	pair[1] = f->err * (1.0f + 1.0f / 1024);
	vk->f32_to_f16(pair, half, 2);
	block->add[i] = f->add;
	if (!isfinite(f->add) || fabsf(f->scale) > 65000.0f || !(f->err <= 65000.0f))
	{
		block->add[i] = 0;
		half[0] = 0;
		half[1] = 0x7C00;		/* +infinity */
	}
	block->scale[i] = half[0];
	block->err[i] = half[1];
	block->ref_blkno[i] = ref_blkno;
	block->ref_idx[i] = ref_idx;
	block->tid[i] = *tid;
	vq_block_put(block->codes, m->sdim, i, bits);
	block->used = Max(block->used, i + 1);
}

void
ivf_block_clear(IvfBlock block, int i)
{
	block->add[i] = INFINITY;
	memset(&block->tid[i], 0, sizeof(VsTid));
}

void
ivf_block_init(const IvfModel *m, IvfBlock block, uint32 list)
{
	int			i;

	memset(block, 0, m->block_size);
	block->list = list;
	block->next_blkno = InvalidBlockNumber;
	for (i = 0; i < VQ_BLOCK; i++)
		ivf_block_clear(block, i);
}
