/*
 * ivfsplitrow.c -- the vectors of a list's rows, for its split.
 *
 * What it is not: the split (ivfsplit.c).
 *
 * A row is decoded from its refine code. An index without refine codes has the
 * heap row, if that is sure to stay, else the scan-plane code. Each way leaves
 * something out, and the new code has to own up to it: `shift` corrects the
 * squared distance for the length of what is missing, `var` widens the error.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "am/ivf/ivfsplit.h"
#include "simd/simd.h"

static void fetch_heap_vector(Split *s, SplitRow *row);

void
ivf_split_decode(Split *s)
{
	int			i;

	for (i = 0; i < s->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (s->m->codec)
			ivf_split_decode_refine(s, &s->rows[i]);
		else
			fetch_heap_vector(s, &s->rows[i]);
	}
	vi_row_end(&s->fetch);
}

/*
 * From the scan-plane code alone: x = c + a s, whose product with a query is
 * unbiased. Its squared distance is off by |r|^2 - a^2 |s|^2 on average.
 */
void
ivf_split_decode_bits(Split *s, IvfBlock block, int slot, SplitRow *row)
{
	IvfModel   *m = s->m;
	uint8	   *bits = palloc(m->sdim / 8);
	uint16		half[2];
	float		pair[2];
	float		a;
	float		sc = 0;
	int			d;

	half[0] = block->scale[slot];
	half[1] = block->err[slot];
	vk->f16_to_f32(half, pair, 2);
	a = m->oc->metric == VQ_L2 ? -pair[0] / 2 : -pair[0];
	vq_block_get(block->codes, m->sdim, slot, bits);
	memcpy(row->x, s->route->c, sizeof(float) * m->dim);
	for (d = 0; d < m->sdim; d++)
	{
		float		half_step = (bits[d / 8] >> (d % 8)) & 1 ? 0.5f : -0.5f;

		sc += half_step * s->route->c[d];
		row->x[d] += a * half_step;
	}
	row->shift = block->add[slot] - 2 * a * sc - a * a * 0.25f * m->sdim;
	row->var = pair[1] * pair[1];
	pfree(bits);
}

void
ivf_split_decode_refine(Split *s, SplitRow *row)
{
	IvfModel   *m = s->m;
	IvfRefine	ref = palloc(m->refine_size);
	BlockNumber blkno = row->ref_blkno;
	Size		at = m->refine_size <= VS_USABLE ? m->refine_size * row->ref_idx : 0;
	Size		done = 0;
	bool		ok;

	while (done < m->refine_size)
	{
		Size		n = Min(m->refine_size - done, VS_USABLE);
		Buffer		buf;
		Page		page = at + n > VS_USABLE || blkno == InvalidBlockNumber ? NULL :
			vs_read_if(s->index, blkno, VS_IVF_REFINE, BUFFER_LOCK_SHARE, NULL, &buf);

		if (page == NULL)
			break;
		memcpy((char *) ref + done, PageGetContents(page) + at, n);
		done += n;
		blkno = vs_opaque(page)->next;
		UnlockReleaseBuffer(buf);
	}
	ok = done == m->refine_size && vs_tid_equal(&ref->tid, &row->tid) && ref->part < m->nparts;
	if (ok)
	{
		float		e = m->codec->decode(ref->code, m->part + (Size) ref->part * m->dim, m->dim,
										 m->params, row->x);

		row->shift = e * e;
		row->var = e * e / Max(m->dim - 1, 1);
	}
	pfree(ref);
}

/*
 * Leaves the row as it is unless it is sure to stay: the toasted vector of one
 * that is dead, or of a transaction that may abort, can vanish at any time.
 * Any live version has the same vector, as index columns forbid HOT.
 */
static void
fetch_heap_vector(Split *s, SplitRow *row)
{
	ItemPointerData at;
	Vector	   *v;

	vs_tid_get(&row->tid, &at);
	if (!vi_row_fetch(&s->fetch, &at, SnapshotSelf, &v))
		return;
	if (v != NULL && v->dim == s->m->dims)
	{
		float	   *x = palloc(sizeof(float) * s->m->dim);
		float	   *scratch = palloc(sizeof(float) * s->m->dims);

		if (ivf_rotate(s->m, v->x, scratch, x) == VI_FINITE)
		{
			memcpy(row->x, x, sizeof(float) * s->m->dim);
			row->shift = row->var = 0;
		}
		pfree(x);
		pfree(scratch);
	}
	vi_row_release(&s->fetch);
}
