/*
 * verify_ivfcode.c -- ivf's refine rows, compared with the rows and with the table.
 *
 * What it is not: the reading of their pages (verify_ivf.c).
 *
 * Rows and refine slots come as two arrays: sorted by refine pointer, the rows
 * are merged with the slots.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "inspect/verify_ivf.h"
#include "simd/simd.h"

/*
 * Rounding of rotation and sums when a code is compared with its vector, in
 * units of the lengths involved; another CPU level rounds otherwise.
 */
#define CODE_SLACK 1e-4

static void match_refine(Verify *v);
static void match_one(Verify *v, const VerifyRow *row, Size *at, const VerifyRow *before);
static void check_wide(Verify *v);
static int	by_refine(const void *a, const void *b);
static bool read_code(Verify *v, const VerifyRow *row, IvfRefine ref);

void
verify_ivf_codes(Verify *v)
{
	VerifyIvf  *ivf = v->state;

	if (ivf->m.codec == NULL)
		return;
	match_refine(v);
	if (ivf->m.refine_size > VS_USABLE)
		check_wide(v);
}

/* ---- refine pointers ---- */

static void
match_refine(Verify *v)
{
	const VerifyRow *before = NULL;
	Size		at = 0;
	Size		i;

	if (v->nrows > 1)
		qsort(v->rows, v->nrows, sizeof(VerifyRow), by_refine);
	for (i = 0; i < v->nrows; i++)
	{
		if (v->rows[i].sort != VERIFY_CODED)
			continue;
		CHECK_FOR_INTERRUPTS();
		match_one(v, &v->rows[i], &at, before);
		before = &v->rows[i];
	}
}

/* *at: the first slot that is not before the pointer, for ascending pointers. */
static void
match_one(Verify *v, const VerifyRow *row, Size *at, const VerifyRow *before)
{
	VerifyIvf  *ivf = v->state;
	const VerifyRefine *slot = NULL;

	if (before && before->ref_blkno == row->ref_blkno && before->ref_idx == row->ref_idx)
	{
		if (verify_row_exists(v, row) && verify_row_exists(v, before))
			verify_report(v->found, row->blkno, row->item,
						  "row shares the code in block %u, slot %u with that of block %u, slot %u",
						  row->ref_blkno, row->ref_idx, before->blkno, before->item);
		return;
	}
	while (*at < ivf->nrefine && (ivf->refine[*at].blkno < row->ref_blkno ||
								(ivf->refine[*at].blkno == row->ref_blkno &&
								 ivf->refine[*at].idx < row->ref_idx)))
		(*at)++;
	if (*at < ivf->nrefine && ivf->refine[*at].blkno == row->ref_blkno &&
		ivf->refine[*at].idx == row->ref_idx)
		slot = &ivf->refine[*at];
	if (slot == NULL)
	{
		if ((row->ref_blkno >= v->npages || !v->pages[row->ref_blkno].damaged) && verify_row_exists(v, row))
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " has its code in block %u, slot %u, where there is none",
						  TID_ARGS(&row->tid), row->ref_blkno, row->ref_idx);
	}
	else if (!vs_tid_equal(&slot->tid, &row->tid))
	{
		if (verify_row_exists(v, row))
			verify_report(v->found, row->blkno, row->item,
						  "row " TID_FORMAT " has its code in block %u, slot %u, where that of " TID_FORMAT " is",
						  TID_ARGS(&row->tid), row->ref_blkno, row->ref_idx, TID_ARGS(&slot->tid));
	}
	else if (slot->part >= ivf->m.nparts)
		verify_report(v->found, slot->blkno, slot->idx, "code is about partition %u of %d", slot->part,
					  ivf->m.nparts);
}

/* Codes of several pages: each chain has the right length and is one row's. */
static void
check_wide(Verify *v)
{
	VerifyIvf  *ivf = v->state;
	int			pages = (ivf->m.refine_size + VS_USABLE - 1) / VS_USABLE;
	Size		i;

	for (i = 0; i < ivf->nrefine; i++)
	{
		BlockNumber blkno = ivf->refine[i].blkno;
		int			n;

		CHECK_FOR_INTERRUPTS();
		for (n = 1; n < pages; n++)
		{
			blkno = v->pages[blkno].next;
			if (blkno >= v->npages || v->pages[blkno].kind != VS_IVF_REFINE ||
				!(v->pages[blkno].flags & IVF_REFINE_REST) || v->pages[blkno].reached)
			{
				if (blkno >= v->npages || !v->pages[blkno].damaged)
					verify_report(v->found, ivf->refine[i].blkno, ivf->refine[i].idx,
								  "code lacks its page %d of %d", n + 1, pages);
				break;
			}
			v->pages[blkno].reached = true;
		}
	}
}

static int
by_refine(const void *a, const void *b)
{
	const VerifyRow *x = a;
	const VerifyRow *y = b;

	if (x->ref_blkno != y->ref_blkno)
		return x->ref_blkno < y->ref_blkno ? -1 : 1;
	if (x->ref_idx != y->ref_idx)
		return (int) x->ref_idx - (int) y->ref_idx;
	if (x->blkno != y->blkno)
		return x->blkno < y->blkno ? -1 : 1;
	return (int) x->item - (int) y->item;
}

/* ---- codes and vectors ---- */

/*
 * The refine code says how far off it is: what it decodes to must be no
 * farther from the row's vector, or the bounds that scans compute are wrong.
 */
void
verify_ivf_code(Verify *v, const VerifyRow *row, const float *raw)
{
	VerifyIvf  *ivf = v->state;
	IvfModel   *m;
	float	   *x;
	float	   *decoded;
	IvfRefine	ref;
	bool		wrong = false;

	if (ivf->m.codec == NULL)
		return;
	if (ivf->codes == NULL)
	{
		IvfMetaData meta;

		ivf->codes = ivf_model_get(v->index, &meta);
		ivf_model_release_with(ivf->codes, v->cxt);
	}
	m = ivf->codes;
	x = palloc(sizeof(float) * m->dim);
	decoded = palloc(sizeof(float) * m->dim);
	ref = palloc(m->refine_size);

	if (ivf_rotate(m, raw, palloc(sizeof(float) * m->dims), x) == VI_FINITE && read_code(v, row, ref))
	{
		const float *centre = m->part + (Size) ref->part * m->dim;
		double		error = m->codec->decode(ref->code, centre, m->dim, m->params, decoded);
		double		off = sqrt(vk->l2sq_f32(x, decoded, m->dim));
		double		slack = sqrt(vk->norm2_f32(x, m->dim)) + m->mean_norm +
			sqrt(vk->norm2_f32(centre, m->dim));

		/* Not a number is wrong as well. */
		wrong = !(off <= error * (1 + CODE_SLACK) + slack * CODE_SLACK);
	}
	if (wrong)
		verify_report(v->found, row->ref_blkno, row->ref_idx,
					  "code of row " TID_FORMAT " does not fit its vector", TID_ARGS(&row->tid));
}

/* False if the slot changed hands meanwhile, or is reported already. */
static bool
read_code(Verify *v, const VerifyRow *row, IvfRefine ref)
{
	IvfModel   *m = ((VerifyIvf *) v->state)->codes;
	Size		size = m->refine_size;
	BlockNumber blkno = row->ref_blkno;
	Size		done = 0;
	PGAlignedBlock copy;

	if (row->ref_idx >= m->refine_per_page)
		return false;
	while (done < size)
	{
		Size		n = Min(size - done, VS_USABLE);
		Size		at = size <= VS_USABLE ? size * row->ref_idx : 0;

		if (blkno >= v->npages || !verify_read(v, blkno, &copy) ||
			vs_opaque(copy.data)->kind != VS_IVF_REFINE)
			return false;
		memcpy((char *) ref + done, PageGetContents(copy.data) + at, n);
		done += n;
		blkno = vs_opaque(copy.data)->next;
	}
	return vs_tid_equal(&ref->tid, &row->tid) && ref->part < m->nparts;
}
