/*
 * hnswrows.c -- rows of equal vectors: adding one, removing dead ones.
 *
 * What it is not: the search for the record of a vector, or the reading of its
 * rows by scans (hnswread.c).
 *
 * A record has one row inline; further ones are in chunks that hang from it, the
 * newest first. All of it changes under the lock of the record's page, and the
 * record's count with it, in one WAL record. A chunk that loses its last row
 * leaves the chain at once, so every chunk of a chain has rows; VACUUM moves the
 * rows of a chunk to the one before where they fit. A page of chunks that are all
 * free becomes a free page.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "am/hnsw/hnswlink.h"
#include "index/chain.h"

#define PAGE_OF(chunk) ((BlockNumber) ((chunk) / HNSW_CHUNKS_PER_PAGE))
#define SLOT_OF(chunk) ((int) ((chunk) % HNSW_CHUNKS_PER_PAGE))

/* Where VACUUM stands in a chain. */
typedef struct Chain
{
	Relation	index;
	const HnswLayout *l;
	Buffer		buf;			/* the record's page */
	int			slot;
	Buffer		prevbuf;		/* of the chunk before; invalid: there is none */
	int			prev;
	Buffer		chunkbuf;		/* may be the same */
	int			chunk;
} Chain;

static bool same_vector(const HnswModel *m, const HnswMet *record, HnswNode node);
static bool add_to_chunk(Relation index, Buffer buf, const HnswLayout *l, int slot,
						 const VsTid *tid);
static void add_chunk(Relation index, Relation heap, HnswModel *m, Buffer buf, int slot,
					  const HnswMet *record, const VsTid *tid);
static Buffer find_chunk(Relation index, Relation heap, HnswModel *m, uint32 head, int *chunk,
						 bool *fresh);
static int	free_chunk(Page page);
static bool vacuum_chunk(Chain *at, const bool *gone, int ngone);

/* ---- adding ---- */

bool
hnsw_add_row(Relation index, Relation heap, HnswModel *m, const HnswMet *record,
			 const VsTid *tid)
{
	const HnswLayout *l = &m->layout[0];
	int			slot = HNSW_SLOT(l, record->number);
	Buffer		buf;
	Page		page = vs_read_hinted(index, &m->hints, HNSW_BLKNO(l, record->number), l->kind,
									  BUFFER_LOCK_EXCLUSIVE, &buf);
	HnswNode	node = HNSW_NODE(page, l, slot);

	if (!same_vector(m, record, node))
	{
		UnlockReleaseBuffer(buf);
		return false;
	}
	if (vs_tid_empty(&node->tid))
	{
		VsChange	change;

		vs_change_begin(&change, index);
		node = HNSW_NODE(vs_change_page(&change, buf, false), l, slot);
		node->tid = *tid;
		node->count++;
		vs_change_commit(&change);
	}
	else if (!add_to_chunk(index, buf, l, slot, tid))
		add_chunk(index, heap, m, buf, slot, record, tid);
	UnlockReleaseBuffer(buf);
	return true;
}

/* The search saw it alive and with this code; its slot may have changed hands since. */
static bool
same_vector(const HnswModel *m, const HnswMet *record, HnswNode node)
{
	/* The part of the code on the first page: the hash has 64 bits. */
	Size		bytes = Min(m->codec->bytes(m->dim), VS_USABLE - offsetof(HnswNodeData, code));

	return node->state == HNSW_LIVE && node->v.hash == record->hash &&
		memcmp(node->code, record->code, bytes) == 0;
}

/* Into the newest chunk; false if there is none or it is full. */
static bool
add_to_chunk(Relation index, Buffer buf, const HnswLayout *l, int slot, const VsTid *tid)
{
	HnswNode	node = HNSW_NODE(BufferGetPage(buf), l, slot);
	uint32		head = node->u.rows;
	uint32		number = HNSW_NUMBER(l, BufferGetBlockNumber(buf), slot);
	Buffer		rowsbuf;
	HnswChunk	c;
	bool		fits;

	if (head == HNSW_NONE)
		return false;
	c = HNSW_CHUNK(vs_read(index, PAGE_OF(head), VS_HNSW_ROWS, BUFFER_LOCK_EXCLUSIVE, &rowsbuf),
				   SLOT_OF(head));
	if (c->node != number || c->n == 0)
		vi_broken_link(index, PAGE_OF(head));
	fits = c->n < HNSW_CHUNK_ROWS;
	if (fits)
	{
		VsChange	change;

		vs_change_begin(&change, index);
		c = HNSW_CHUNK(vs_change_page(&change, rowsbuf, false), SLOT_OF(head));
		c->tid[c->n++] = *tid;
		HNSW_NODE(vs_change_page(&change, buf, false), l, slot)->count++;
		vs_change_commit(&change);
	}
	UnlockReleaseBuffer(rowsbuf);
	return fits;
}

static void
add_chunk(Relation index, Relation heap, HnswModel *m, Buffer buf, int slot,
		  const HnswMet *record, const VsTid *tid)
{
	HnswNode	node = HNSW_NODE(BufferGetPage(buf), &m->layout[0], slot);
	int			at;
	bool		fresh;
	Buffer		rowsbuf = find_chunk(index, heap, m, node->u.rows, &at, &fresh);
	BlockNumber blkno = BufferGetBlockNumber(rowsbuf);
	VsChange	change;
	Page		page;
	HnswChunk	c;
	bool		full;

	vs_change_begin(&change, index);
	page = vs_change_page(&change, rowsbuf, fresh);
	if (fresh)
		vs_page_init(page, VS_HNSW_ROWS, 0);
	c = HNSW_CHUNK(page, at);
	memset(c, 0, sizeof(HnswChunkData));
	c->node = record->number;
	c->next = node->u.rows;
	c->n = 1;
	c->tid[0] = *tid;
	full = free_chunk(page) < 0;
	node = HNSW_NODE(vs_change_page(&change, buf, false), &m->layout[0], slot);
	node->u.rows = blkno * HNSW_CHUNKS_PER_PAGE + at;
	node->count++;
	vs_change_commit(&change);
	UnlockReleaseBuffer(rowsbuf);
	if (fresh || full)
		hnsw_record_space(index, VS_HNSW_ROWS, blkno, !full);
}

/* A free chunk: beside the chain's newest one, where this backend was last, or anywhere. */
static Buffer
find_chunk(Relation index, Relation heap, HnswModel *m, uint32 head, int *chunk, bool *fresh)
{
	BlockNumber beside = head == HNSW_NONE ? HNSW_META_BLKNO : PAGE_OF(head);
	Buffer		buf = InvalidBuffer;
	int			tries;

	*fresh = false;
	for (tries = 0; tries < 2 + HNSW_SPACE_TRIES; tries++)
	{
		if (tries < 2)
			buf = vs_try_page(index, tries == 0 ? beside : m->used[HNSW_USED_ROWS], VS_HNSW_ROWS);
		else if (!BufferIsValid(buf = hnsw_find_space(index, m, HNSW_USED_ROWS)))
			break;
		if (!BufferIsValid(buf))
			continue;
		*chunk = free_chunk(BufferGetPage(buf));
		if (*chunk >= 0)
			break;
		hnsw_record_space(index, VS_HNSW_ROWS, BufferGetBlockNumber(buf), false);
		UnlockReleaseBuffer(buf);
		buf = InvalidBuffer;
	}
	if (!BufferIsValid(buf))
	{
		buf = vs_new_page(index, heap);
		*chunk = 0;
		*fresh = true;
	}
	m->used[HNSW_USED_ROWS] = BufferGetBlockNumber(buf);
	return buf;
}

static int
free_chunk(Page page)
{
	uint32		i;

	for (i = 0; i < HNSW_CHUNKS_PER_PAGE; i++)
		if (HNSW_CHUNK(page, i)->node == HNSW_NONE)
			return (int) i;
	return -1;
}

/* ---- vacuum ---- */

bool
hnsw_row_dead(const VsTid *tid, IndexBulkDeleteCallback callback, void *state)
{
	ItemPointerData at;

	vs_tid_get(tid, &at);
	return callback(&at, state);
}

void
hnsw_vacuum_chain(Relation index, Buffer buf, const HnswLayout *l, int slot,
				  IndexBulkDeleteCallback callback, void *state, IndexBulkDeleteResult *stats)
{
	Chain		at = {index, l, buf, slot, InvalidBuffer};
	uint32		number = HNSW_NUMBER(l, BufferGetBlockNumber(buf), slot);
	uint32		next = HNSW_NODE(BufferGetPage(buf), l, slot)->u.rows;
	ViWalk		walk = {0};

	while (next != HNSW_NONE)
	{
		bool		same = BufferIsValid(at.prevbuf) &&
			BufferGetBlockNumber(at.prevbuf) == PAGE_OF(next);
		bool		gone[HNSW_CHUNK_ROWS];
		int			ngone = 0;
		HnswChunk	c;
		int			i;

		vi_walk(index, &walk, PAGE_OF(next), SLOT_OF(next));
		/* It would be locked twice. */
		if (PAGE_OF(next) == BufferGetBlockNumber(buf))
			vi_broken_link(index, PAGE_OF(next));
		at.chunk = SLOT_OF(next);
		at.chunkbuf = at.prevbuf;
		if (!same)
			vs_read(index, PAGE_OF(next), VS_HNSW_ROWS, BUFFER_LOCK_EXCLUSIVE, &at.chunkbuf);
		c = HNSW_CHUNK(BufferGetPage(at.chunkbuf), at.chunk);
		if (c->node != number || c->n == 0 || c->n > HNSW_CHUNK_ROWS)
			vi_broken_link(index, PAGE_OF(next));
		next = c->next;
		for (i = 0; i < c->n; i++)
			ngone += gone[i] = hnsw_row_dead(&c->tid[i], callback, state);
		stats->tuples_removed += ngone;
		if (vacuum_chunk(&at, gone, ngone))
		{
			if (!same)
				UnlockReleaseBuffer(at.chunkbuf);
			continue;
		}
		if (BufferIsValid(at.prevbuf) && !same)
			UnlockReleaseBuffer(at.prevbuf);
		at.prevbuf = at.chunkbuf;
		at.prev = at.chunk;
	}
	if (BufferIsValid(at.prevbuf))
		UnlockReleaseBuffer(at.prevbuf);
}

/*
 * Removes rows of one chunk. What is left moves to the chunk before if that has
 * room for all of it; true: the chunk is empty and has left the chain.
 */
static bool
vacuum_chunk(Chain *at, const bool *gone, int ngone)
{
	HnswChunk	c = HNSW_CHUNK(BufferGetPage(at->chunkbuf), at->chunk);
	HnswChunk	before = NULL;
	bool		leaves = ngone == c->n;
	HnswChunk	to;
	VsChange	change;
	VsTid		stay[HNSW_CHUNK_ROWS];
	int			n = 0;
	int			i;

	if (BufferIsValid(at->prevbuf))
	{
		before = HNSW_CHUNK(BufferGetPage(at->prevbuf), at->prev);
		leaves = leaves || before->n + c->n - ngone <= HNSW_CHUNK_ROWS;
	}
	if (ngone == 0 && !leaves)
		return false;
	for (i = 0; i < c->n; i++)
		if (!gone[i])
			stay[n++] = c->tid[i];

	vs_change_begin(&change, at->index);
	HNSW_NODE(vs_change_page(&change, at->buf, false), at->l, at->slot)->count -= ngone;
	c = HNSW_CHUNK(vs_change_page(&change, at->chunkbuf, false), at->chunk);
	to = c;
	if (leaves && before == NULL)
		HNSW_NODE(vs_change_page(&change, at->buf, false), at->l, at->slot)->u.rows = c->next;
	else if (leaves)
	{
		to = HNSW_CHUNK(vs_change_page(&change, at->prevbuf, false), at->prev);
		to->next = c->next;
	}
	if (leaves)
		memset(c, 0, sizeof(HnswChunkData));
	else
		c->n = 0;
	if (n > 0)
		memcpy(&to->tid[to->n], stay, n * sizeof(VsTid));
	to->n += n;
	vs_change_commit(&change);
	return leaves;
}

void
hnsw_vacuum_rows_page(Relation index, Buffer buf, IndexBulkDeleteResult *stats)
{
	Page		page = BufferGetPage(buf);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	bool		used = false;
	bool		gap = false;
	uint32		i;

	for (i = 0; i < HNSW_CHUNKS_PER_PAGE; i++)
		if (HNSW_CHUNK(page, i)->node == HNSW_NONE)
			gap = true;
		else
			used = true;
	if (!used)
	{
		VsChange	change;

		vs_change_begin(&change, index);
		vs_page_free(vs_change_page(&change, buf, false));
		vs_change_commit(&change);
		stats->pages_newly_deleted++;
	}
	UnlockReleaseBuffer(buf);
	if (!used)
		vs_record_free(index, blkno);
	else
		vs_note_space(index, blkno, gap ? hnsw_space_of(VS_HNSW_ROWS) : 0);
}
