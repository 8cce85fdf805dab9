/*
 * rows.c -- 8-bit rows of a build: a row as a query, and distances.
 *
 * What it is not: the coder of rows (the access method knows its metric).
 *
 * With s = u - 127.5 a squared distance is |x_i|^2 + |x_j|^2 - 2 t_i t_j
 * <s_i, s_j>, and <s_i, s_j> follows from one integer dot of unsigned with
 * signed codes v = u - 128 and from sums that are known beforehand:
 *
 *     <s_i, s_j> = <u_i, v_j> + sum(u_i) / 2 - 127.5 sum(v_j) - 127.5 dim / 2
 */
#include "graph/inner.h"

void
vg_row_sums(const VgRows *rows, VgRow *row)
{
	int64_t		four = 0;		/* four times |u - 127.5|^2 of the head */

	row->sum = row->head_sum = 0;
	for (int d = 0; d < rows->dim; d++)
	{
		row->sum += row->u[d];
		if (d == rows->head - 1)
			row->head_sum = row->sum;
		if (d < rows->head)
			four += (2 * row->u[d] - 255) * (2 * row->u[d] - 255);
	}
	row->head_norm2 = (float) four * 0.25f * (row->t * row->t);
}

void
vg_query(const VgRows *rows, const VgRow *row, int8_t *s, VgQuery *q)
{
	const uint8_t *VP_RESTRICT u = row->u;
	int8_t	   *VP_RESTRICT signed_u = s;
	int			dim = rows->dim;	/* bytes may alias anything: read once */

	q->row = row;
	q->s = s;
	q->ssum = q->head_ssum = 0;
	if (rows->space == VG_L1)
		return;
	for (int d = 0; d < dim; d++)
		signed_u[d] = (int8_t) (u[d] ^ 0x80);
	q->ssum = row->sum - 128 * dim;
	q->head_ssum = row->head_sum - 128 * rows->head;
}

float
vg_distance(const VgRows *rows, const VgQuery *q, uint32_t i)
{
	return vg_near(rows, q, vg_row(rows, i));
}
