/*
 * t_tile.h -- template: one register-blocked matrix product C = A B^T.
 *
 * What it is not: a general matrix multiply. There is no alpha or beta, no
 * transposed input, no threads, no allocation.
 *
 * Usage. Each include gives one static function TILE_FN; before it define
 *	TILE_FN, TILE_PACK, TILE_MICRO, TILE_ROWS	names of the functions made
 *	TILE_A, TILE_B, TILE_C	element types; TILE_DOT the pair kernel
 *	TILE_KW			elements of k in one 32-bit word (1 float, 2 int16, 4 bytes)
 *	TILE_MR, TILE_NV	rows and vectors of a register block
 *	TILE_KC			words of k per block, a multiple of TP_WIDTH
 *	TILE_V, TILE_VW	accumulator, its 32-bit results; TILE_X a vector of words
 *	TILE_ZERO() TILE_LOAD(p) TILE_BCAST(p) TILE_FMA(x, b, acc)
 *	TILE_STORE(c, v), TILE_SUM(c, v) = v + the vector at c
 *	TILE_WIDENS		1 if rows of A must be copied to become words, else 0
 *	TILE_COPY_A(from, elements, to)	copies part of a row, zeros to the word's end
 *	TILE_WORDS_B(p)	TP_WIDTH words of B as a TP vector
 *	TILE_MIN_ROWS	with fewer rows the pair kernel is faster
 * and once per level TP, TP_WIDTH, tp_zero, tp_transpose_store. All TILE_
 * macros are undefined at the end.
 *
 * Idea (Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", TOMS 2008, reduced to what k <= 1,536 needs): a panel of B,
 * TILE_NR columns by TILE_KC words, is transposed into a 16 KB stack buffer,
 * which stays in the L1 cache while all rows of A pass over it. A is not
 * packed: the micro-kernel broadcasts single words of TILE_MR rows, which are
 * TILE_MR sequential streams.
 */
#define TILE_NR (TILE_NV * TILE_VW)

/* The panel: word w of column c at panel[w * TILE_NR + c], padded with zeros. */
static void
TILE_PACK(const TILE_B *b, size_t ldb, size_t cols, size_t k, uint32_t *panel)
{
	const size_t full = TP_WIDTH * TILE_KW;
	size_t		c0;
	size_t		e;
	size_t		i;

	for (c0 = 0; c0 < TILE_NR; c0 += TP_WIDTH)
	{
		for (e = 0; e < k; e += full)
		{
			TP			rows[TP_WIDTH];

			for (i = 0; i < TP_WIDTH; i++)
			{
				const TILE_B *p = b + (c0 + i) * ldb + e;

				if (c0 + i >= cols)
					rows[i] = tp_zero();
				else if (e + full <= k)
					rows[i] = TILE_WORDS_B(p);
				else
				{
					TILE_B		last[TP_WIDTH * TILE_KW] = {0};

					memcpy(last, p, (k - e) * sizeof(TILE_B));
					rows[i] = TILE_WORDS_B(last);
				}
			}
			tp_transpose_store(rows, panel + e / TILE_KW * TILE_NR + c0, TILE_NR);
		}
	}
}

/* mr (a constant) rows of A, astride bytes apart, against one panel. */
VP_INLINE void
TILE_MICRO(const int mr, const char *a, size_t astride, const uint32_t *panel, size_t words,
		   TILE_C *c, size_t ldc, size_t cols, bool sum)
{
	TILE_V		acc[TILE_MR][TILE_NV];
	TILE_C		edge[TILE_NR];
	size_t		w;
	size_t		j;
	int			r;
	int			v;

#pragma GCC unroll 16
	for (r = 0; r < mr; r++)
	{
#pragma GCC unroll 4
		for (v = 0; v < TILE_NV; v++)
			acc[r][v] = TILE_ZERO();
	}
	for (w = 0; w < words; w++)
	{
		TILE_X		bw[TILE_NV];

#pragma GCC unroll 4
		for (v = 0; v < TILE_NV; v++)
			bw[v] = TILE_LOAD(panel + w * TILE_NR + v * TILE_VW);
#pragma GCC unroll 16
		for (r = 0; r < mr; r++)
		{
			TILE_X		x = TILE_BCAST(a + r * astride + 4 * w);

#pragma GCC unroll 4
			for (v = 0; v < TILE_NV; v++)
				acc[r][v] = TILE_FMA(x, bw[v], acc[r][v]);
		}
	}
#pragma GCC unroll 16
	for (r = 0; r < mr; r++)
	{
		TILE_C	   *to = c + r * ldc;

		if (cols == TILE_NR)
		{
#pragma GCC unroll 4
			for (v = 0; v < TILE_NV; v++)
				TILE_STORE(to + v * TILE_VW,
						   sum ? TILE_SUM(to + v * TILE_VW, acc[r][v]) : acc[r][v]);
			continue;
		}
#pragma GCC unroll 4
		for (v = 0; v < TILE_NV; v++)
			TILE_STORE(edge + v * TILE_VW, acc[r][v]);
		for (j = 0; j < cols; j++)
			to[j] = sum ? to[j] + edge[j] : edge[j];
	}
}

/* Up to TILE_MR rows; odd counts go in steps of 4, 2 and 1. */
static void
TILE_ROWS(const char *a, size_t astride, size_t rows, const uint32_t *panel, size_t words,
		  TILE_C *c, size_t ldc, size_t cols, bool sum)
{
	if (rows == TILE_MR)
	{
		TILE_MICRO(TILE_MR, a, astride, panel, words, c, ldc, cols, sum);
		return;
	}
	if (rows & 4)
	{
		TILE_MICRO(4, a, astride, panel, words, c, ldc, cols, sum);
		a += 4 * astride;
		c += 4 * ldc;
	}
	if (rows & 2)
	{
		TILE_MICRO(2, a, astride, panel, words, c, ldc, cols, sum);
		a += 2 * astride;
		c += 2 * ldc;
	}
	if (rows & 1)
		TILE_MICRO(1, a, astride, panel, words, c, ldc, cols, sum);
}

static void
TILE_FN(const TILE_A *a, size_t lda, size_t m, const TILE_B *b, size_t ldb, size_t n,
		size_t k, TILE_C *c, size_t ldc)
{
	uint32_t	panel[TILE_KC * TILE_NR] VP_ALIGNED(VP_ALIGN);
	uint32_t	wide[TILE_MR][TILE_KC] VP_ALIGNED(VP_ALIGN);
	size_t		i;
	size_t		j;
	size_t		e;
	size_t		r;

	if (m < TILE_MIN_ROWS || k == 0)
	{
		/* too few rows to pay for the packing */
		for (i = 0; i < m; i++)
		{
			for (j = 0; j < n; j++)
				c[i * ldc + j] = TILE_DOT(a + i * lda, b + j * ldb, k);
		}
		return;
	}
	for (j = 0; j < n; j += TILE_NR)
	{
		size_t		cols = VP_MIN(n - j, (size_t) TILE_NR);

		for (e = 0; e < k; e += TILE_KC * TILE_KW)
		{
			size_t		ke = VP_MIN(k - e, (size_t) TILE_KC * TILE_KW);
			size_t		words = (ke + TILE_KW - 1) / TILE_KW;

			/* the last word of a row would be read past its end */
			bool		copy = TILE_WIDENS || ke % TILE_KW != 0;

			TILE_PACK(b + j * ldb + e, ldb, cols, ke, panel);
			for (i = 0; i < m; i += TILE_MR)
			{
				const TILE_A *rows = a + i * lda + e;
				size_t		count = VP_MIN(m - i, (size_t) TILE_MR);

				for (r = 0; copy && r < count; r++)
					TILE_COPY_A(rows + r * lda, ke, wide[r]);
				TILE_ROWS(copy ? (const char *) wide : (const char *) rows,
						  copy ? sizeof(wide[0]) : lda * sizeof(TILE_A), count,
						  panel, words, c + i * ldc + j, ldc, cols, e > 0);
			}
		}
	}
}

#undef TILE_FN
#undef TILE_PACK
#undef TILE_MICRO
#undef TILE_ROWS
#undef TILE_A
#undef TILE_B
#undef TILE_C
#undef TILE_DOT
#undef TILE_KW
#undef TILE_MR
#undef TILE_NV
#undef TILE_NR
#undef TILE_KC
#undef TILE_V
#undef TILE_X
#undef TILE_VW
#undef TILE_ZERO
#undef TILE_LOAD
#undef TILE_BCAST
#undef TILE_FMA
#undef TILE_STORE
#undef TILE_SUM
#undef TILE_WIDENS
#undef TILE_COPY_A
#undef TILE_WORDS_B
#undef TILE_MIN_ROWS
