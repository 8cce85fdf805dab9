/*
 * hnswmodel.c -- the part of an index that its build fixes, cached per backend.
 *
 * What it is not: anything that inserts change (records, entry).
 *
 * The cache key is the storage's identity plus the build's random number: REINDEX
 * and TRUNCATE change the first, and the second guards against a storage number
 * that came round again. rd_amcache would not do: it may vanish at any catalog
 * access while a scan still uses the model.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "am/hnsw/hnsw.h"
#include "simd/simd.h"

/*
 * Own codes have 8 bits a dimension if a page then holds as many records as with
 * 6. For that the edge codes may leave out an eighth of the dimensions: 4 % of
 * them make room for 8 bits at 768 dimensions, cost nothing that can be measured
 * in recall, and halve the heap rows that a scan must read to know the order.
 */
#define EDGE_SHARE(dim) ((dim) - (dim) / 8)

/* Models kept when unused: enough for the partitions of a table. */
#define CACHE_SIZE 64

static HnswModel *cache[CACHE_SIZE];

static HnswModel *load_model(Relation index, const HnswMetaData *meta);
static void read_mean(Relation index, const HnswMetaData *meta, float *mean);
static void cache_put(HnswModel *m);
static void release_with(HnswModel *m, MemoryContext cxt);
static void release_callback(void *arg);
static bool edges_possible(const HnswMetaData *meta);
static void check_meta(Relation index, const HnswMetaData *meta);
static void choose_codes(HnswModel *m, int bits);
static void set_layout(HnswModel *m, int layer);

void
hnsw_meta_read(Relation index, HnswMetaData *meta)
{
	Buffer		buf;
	Page		page = vs_read(index, HNSW_META_BLKNO, VS_HNSW_META, BUFFER_LOCK_SHARE, &buf);

	memcpy(meta, HnswPageMeta(page), sizeof(HnswMetaData));
	UnlockReleaseBuffer(buf);
	check_meta(index, meta);
}

/* Whether a build can have chosen the metapage's edge codes. */
static bool
edges_possible(const HnswMetaData *meta)
{
	uint32		most = Min(meta->dim, VQ_EDGE_DIMS);

	if (meta->edge_bits == 0)
		return meta->edim == 0;
	return meta->edge_bits == vq_edge_bits(meta->dim) && meta->edim % VM_PAD == 0 &&
		meta->edim <= most && meta->edim >= EDGE_SHARE(most);
}

/* What later code takes on trust is checked here, once per read. */
static void
check_meta(Relation index, const HnswMetaData *meta)
{
	bool		curves = true;
	int			c;

	if (meta->magic != HNSW_MAGIC || meta->format != HNSW_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format %u, this vecpg reads format %u",
						RelationGetRelationName(index), meta->format, HNSW_FORMAT),
				 errhint("Please REINDEX it.")));
	for (c = 0; c < HNSW_CURVES; c++)
		curves = curves && meta->curve[c].points <= HNSW_CURVE_POINTS;
	if (!curves || meta->dims < 1 || meta->dims > VECTOR_MAX_DIM ||
		meta->dim != (uint32) vm_rotated_dim(meta->dims) ||
		!edges_possible(meta) ||
		meta->m < 2 || meta->m > 100 || meta->ef_construction < 1 ||
		meta->entry_level > VG_MAX_LEVEL || !(meta->unit > 0 && meta->unit < INFINITY) ||
		vq_codec(meta->codec) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("metapage of index \"%s\" is damaged", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
}

ViTidHeads *
hnsw_tid_heads(Page meta)
{
	return &HnswPageMeta(meta)->tids;
}

HnswModel *
hnsw_model_get(Relation index, HnswMetaData *meta, MemoryContext cxt)
{
	HnswModel  *m;
	int			i;

	hnsw_meta_read(index, meta);
	for (i = 0; i < CACHE_SIZE; i++)
	{
		m = cache[i];
		if (m != NULL && m->build_id == meta->build_id &&
			vecpg_relfile_equal(m->file, vecpg_relfile(index)))
		{
			release_with(m, cxt);
			return m;
		}
	}
	m = load_model(index, meta);
	cache_put(m);
	release_with(m, cxt);
	return m;
}

/* Counts a use that ends when cxt is reset or deleted. */
static void
release_with(HnswModel *m, MemoryContext cxt)
{
	MemoryContextCallback *cb = MemoryContextAlloc(cxt, sizeof(MemoryContextCallback));

	cb->func = release_callback;
	cb->arg = m;
	MemoryContextRegisterResetCallback(cxt, cb);
	m->refs++;
}

static void
release_callback(void *arg)
{
	HnswModel  *m = arg;

	Assert(m->refs > 0);
	m->refs--;
	if (m->refs == 0 && !m->cached)
		MemoryContextDelete(m->cxt);
}

/* Takes a free slot, or that of an unused model; else the model lives as long as it is used. */
static void
cache_put(HnswModel *m)
{
	static int	hand = 0;
	int			i;
	int			tries;

	for (i = 0; i < CACHE_SIZE; i++)
		if (cache[i] == NULL)
			break;
	for (tries = 0; i == CACHE_SIZE && tries < CACHE_SIZE; tries++)
	{
		int			at = hand++ % CACHE_SIZE;

		if (cache[at]->refs > 0)
			continue;
		MemoryContextDelete(cache[at]->cxt);
		i = at;
	}
	if (i == CACHE_SIZE)
		return;
	cache[i] = m;
	m->cached = true;
}

static HnswModel *
load_model(Relation index, const HnswMetaData *meta)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw model",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	HnswModel  *m = palloc0(sizeof(HnswModel));
	const VecOpclass *oc = vi_opclass(index);

	m->cxt = cxt;
	m->file = vecpg_relfile(index);
	m->build_id = meta->build_id;
	if (oc->id != meta->opclass)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" was built with another operator class",
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	hnsw_model_choose(m, oc, meta->dims, meta->m, meta->ef_construction, 0);
	m->codec = vq_codec(meta->codec);
	m->edim = meta->edim;
	m->edge_bits = meta->edge_bits;
	set_layout(m, 0);
	set_layout(m, 1);
	memcpy(m->params, meta->params, sizeof(m->params));
	m->unit = meta->unit;
	m->max_norm = meta->max_norm;
	vm_rotation_init(&m->rot, m->dims, meta->seed, palloc(vm_rotation_bytes(m->dims)));
	m->mean = palloc(sizeof(float) * m->dims);
	read_mean(index, meta, m->mean);
	hnsw_model_mean(m);
	m->hints.cxt = cxt;
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, CacheMemoryContext);
	return m;
}

static void
read_mean(Relation index, const HnswMetaData *meta, float *mean)
{
	char	   *out = (char *) mean;
	Size		bytes = sizeof(float) * meta->dims;
	BlockNumber blkno = meta->model_blkno;

	if (meta->model_pages < (bytes + VS_USABLE - 1) / VS_USABLE)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("model of index \"%s\" is incomplete", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	while (bytes > 0)
	{
		Size		n = Min(bytes, VS_USABLE);
		Buffer		buf;
		Page		page = vs_read(index, blkno++, VS_HNSW_MODEL, BUFFER_LOCK_SHARE, &buf);

		memcpy(out, PageGetContents(page), n);
		UnlockReleaseBuffer(buf);
		out += n;
		bytes -= n;
	}
}

void
hnsw_model_mean(HnswModel *m)
{
	m->zero = palloc0(sizeof(float) * m->dim);
	m->mean_rot = palloc0(sizeof(float) * m->dim);
	m->mean_norm = sqrt(vk->norm2_f32(m->mean, m->dims));
	if (m->oc->metric != VQ_L1)
		vm_rotate(&m->rot, m->mean, NULL, m->mean_rot);
}

/* L1 codes of an index that has seen few rows cover this many times their range about 0. */
#define FEW_RANGE 4

void
hnsw_few_rows(float *params, Size n, const float *x)
{
	float		most = 0;
	Size		i;

	for (i = 0; i < n; i++)
		most = Max(most, fabsf(x[i]));
	params[0] = -FEW_RANGE * (most > 0 ? most : 1);
	params[1] = -2 * params[0] / 255;
}

void
hnsw_first_row(HnswMetaData *meta, const HnswModel *m, const float *raw)
{
	double		norm = sqrt(vk->norm2_f32(raw, m->dims));

	meta->unit = m->oc->normalise || norm == 0 ? 1 : (float) norm;
	meta->max_norm = (float) norm;
	hnsw_few_rows(meta->params, m->dims, raw);
	meta->build_id = hnsw_random_id();
}

uint64
hnsw_random_id(void)
{
	uint64		id;

	if (!pg_strong_random(&id, sizeof(id)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	return id;
}

/* ---- codes and sizes ---- */

void
hnsw_model_choose(HnswModel *m, const VecOpclass *oc, int dims, int m_edges,
				  int ef_construction, int bits)
{
	m->oc = oc;
	m->dims = dims;
	m->dim = vm_rotated_dim(dims);
	m->m = m_edges;
	m->ef_construction = ef_construction;
	if (oc->metric == VQ_L1)
	{
		m->codec = vq_codec(VQ_L1CODE);
		m->edge_bits = m->edim = 0;
	}
	else
		choose_codes(m, bits);
	set_layout(m, 0);
	set_layout(m, 1);
}

static void
choose_codes(HnswModel *m, int bits)
{
	int			most = Min(m->dim, VQ_EDGE_DIMS);
	int			per_page;

	m->edge_bits = vq_edge_bits(m->dim);
	m->edim = most;
	m->codec = vq_codec(VQ_RABITQ6);
	set_layout(m, 0);
	if (bits == 6)
		return;
	per_page = m->layout[0].per_page;
	m->codec = vq_codec(VQ_RABITQ8);
	for (; m->edim >= EDGE_SHARE(most) && m->edim > 0; m->edim -= VM_PAD)
	{
		set_layout(m, 0);
		if (m->layout[0].per_page >= per_page && m->layout[0].npages == 1)
			return;
	}
	m->edim = most;
	if (bits == 0 && per_page > 1)
		m->codec = vq_codec(VQ_RABITQ6);
}

static void
set_layout(HnswModel *m, int layer)
{
	HnswLayout *l = &m->layout[layer];

	l->kind = layer == 0 ? VS_HNSW_BASE : VS_HNSW_UPPER;
	l->slots = layer == 0 ? 2 * m->m : m->m;
	l->edges_at = offsetof(HnswNodeData, code) + m->codec->bytes(m->dim);
	l->edge_size = HNSW_EDGE_CODE + (m->edge_bits > 0 ? vq_edge_bytes(m->edge_bits, m->edim) : 0);
	l->size = MAXALIGN(l->edges_at + l->slots * l->edge_size);
	l->per_page = Max(VS_USABLE / l->size, 1);
	l->npages = (l->size + VS_USABLE - 1) / VS_USABLE;
}

/* ---- vectors ---- */

ViClass
hnsw_prepare(const HnswModel *m, const float *raw, float *scratch, float *x, double *norm)
{
	ViClass		class = vi_prepare(m->oc, m->dims, raw, scratch, norm);
	int			d;

	if (class != VI_FINITE)
		return class;
	if (m->oc->metric != VQ_L1)
	{
		vm_rotate(&m->rot, scratch, m->mean, x);
		return class;
	}
	memcpy(x, scratch, sizeof(float) * m->dims);
	/* The value that the codec reproduces exactly: padding adds nothing. */
	for (d = m->dims; d < m->dim; d++)
		x[d] = m->params[0];
	return class;
}

uint64
hnsw_hash(int dims, const float *raw)
{
	uint64		hash = 0;
	float		part[64];
	int			i;
	int			j;

	for (i = 0; i < dims; i += lengthof(part))
	{
		int			n = Min(dims - i, (int) lengthof(part));

		for (j = 0; j < n; j++)
			part[j] = raw[i + j] + 0.0f;	/* -0 becomes 0 */
		hash = hash_combine64(hash, DatumGetUInt64(hash_any_extended((unsigned char *) part,
																	 n * sizeof(float), 0)));
	}
	return hash != 0 ? hash : 1;
}

float
hnsw_lift(const HnswModel *m, const float *x)
{
	if (m->oc->metric != VQ_IP)
		return 0;
	return (double) m->max_norm * m->max_norm - vk->dot_f32(x, x, m->dim) -
		2 * vk->dot_f32(x, m->mean_rot, m->dim) - m->mean_norm * m->mean_norm;
}
