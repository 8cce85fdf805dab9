/*
 * bench_kernels.c -- nanoseconds of every kernel at every level, at 768
 * dimensions, and the tiles' share of the core's peak.
 *
 * What it is not: a test. Nothing is checked, and the figures mean something
 * only on a quiet machine: the best of several short runs is printed.
 *
 * An "op" is a multiplication or an addition that the definition needs (a
 * 768-d dot product has 1,536), so Gop/s compares levels, not kernels.
 */
#include <math.h>
#include <time.h>

#include "simd/fp16.h"
#include "simd/levels.h"

#include "unit.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef UNIT_FLAGS
#define UNIT_FLAGS "unknown"
#endif

#define DIM 768
#define HADAMARD 512			/* the larger of a 768-d rotation's two */
#define MANY 32
/* Short runs of this thread's CPU time: some of them see no neighbour at all. */
#define RUNS 40
#define RUN_NS 3e5
#define ARENA ((size_t) 16 << 20)

/* What a kernel call works on; a, b: inputs, c: outputs. */
typedef struct Work
{
	char	   *a;
	char	   *b;
	char	   *c;
	size_t		m;
	size_t		n;
	size_t		k;
} Work;

typedef void (*Call) (const VkTable *t, const Work *w);

static volatile double sink;

static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* Best time of one call. */
static double
measure(Call call, const VkTable *t, const Work *w)
{
	double		best = INFINITY;
	int			run;

	call(t, w);
	for (run = 0; run < RUNS; run++)
	{
		double		start = now_ns();
		double		spent;
		long		calls = 0;
		long		batch = 1;

		do
		{
			long		i;

			for (i = 0; i < batch; i++)
				call(t, w);
			calls += batch;
			batch *= 2;
			spent = now_ns() - start;
		} while (spent < RUN_NS);
		best = fmin(best, spent / calls);
	}
	return best;
}

/* ---- one call of each kernel ---- */

#define F(p) ((float *) (p))
#define H(p) ((uint16_t *) (p))
#define U(p) ((uint8_t *) (p))
#define S(p) ((int8_t *) (p))

#define CALL(name, body) \
	static void call_##name(const VkTable *t, const Work *w) { body; }

CALL(l2sq_f32, sink = t->l2sq_f32(F(w->a), F(w->b), DIM))
CALL(dot_f32, sink = t->dot_f32(F(w->a), F(w->b), DIM))
CALL(l1_f32, sink = t->l1_f32(F(w->a), F(w->b), DIM))
CALL(cos_f32, t->cos_f32(F(w->a), F(w->b), DIM, F(w->c)))
CALL(l2sq_f16, sink = t->l2sq_f16(H(w->a), H(w->b), DIM))
CALL(dot_f16, sink = t->dot_f16(H(w->a), H(w->b), DIM))
CALL(l1_f16, sink = t->l1_f16(H(w->a), H(w->b), DIM))
CALL(cos_f16, t->cos_f16(H(w->a), H(w->b), DIM, F(w->c)))
CALL(norm2_f32, sink = t->norm2_f32(F(w->a), DIM))
CALL(l2sq_f32_many, t->l2sq_f32_many(F(w->a), w->b, 4 * DIM, DIM, MANY, F(w->c)))
CALL(dot_f32_many, t->dot_f32_many(F(w->a), w->b, 4 * DIM, DIM, MANY, F(w->c)))
CALL(l1_f32_many, t->l1_f32_many(F(w->a), w->b, 4 * DIM, DIM, MANY, F(w->c)))
CALL(dot_u8s8, sink = t->dot_u8s8(U(w->a), S(w->b), DIM))
CALL(dot_u4s8, sink = t->dot_u4s8(U(w->a), S(w->b), DIM))
CALL(dot_u8f32, sink = t->dot_u8f32(U(w->a), F(w->b), DIM))
CALL(dot_u4f32, sink = t->dot_u4f32(U(w->a), F(w->b), DIM))
CALL(dot_u2f32, sink = t->dot_u2f32(U(w->a), F(w->b), DIM))
CALL(dots_u1s8, t->dots_u1s8(U(w->a), DIM / 8 + 8, MANY, S(w->b), DIM, (int32_t *) w->c))
CALL(dots_u2s8, t->dots_u2s8(U(w->a), DIM / 4 + 8, MANY, S(w->b), DIM, (int32_t *) w->c))
CALL(l1_u8u8, sink = t->l1_u8u8(U(w->a), U(w->b), DIM))
CALL(l1_u8f32, sink = t->l1_u8f32(U(w->a), F(w->b), -1.0f, 0.01f, DIM))
CALL(fastscan_32, t->fastscan_32(U(w->a), U(w->b), DIM / 4, (uint32_t *) w->c))
CALL(bit_estimate_32, t->bit_estimate_32((uint32_t *) w->a, 1, 2, F(w->b), H(w->b + 128),
										 H(w->b + 192), 3, 4, F(w->c), F(w->c + 128)))
CALL(tile_f32, t->tile_f32(F(w->a), w->k, w->m, F(w->b), w->k, w->n, w->k, F(w->c), w->n))
CALL(tile_u8s8, t->tile_u8s8(U(w->a), w->k, w->m, S(w->b), w->k, w->n, w->k,
							 (int32_t *) w->c, w->n))
CALL(hadamard_f32, t->hadamard_f32(F(w->c), HADAMARD))
CALL(flip_f32, t->flip_f32(F(w->c), U(w->a), DIM))
CALL(signs_f32, t->signs_f32(F(w->a), F(w->b), DIM, U(w->c), F(w->c + 4096)))
CALL(f32_to_f16, t->f32_to_f16(F(w->a), H(w->c), DIM))
CALL(f16_to_f32, t->f16_to_f32(H(w->a), F(w->c), DIM))
CALL(f32_to_s8, t->f32_to_s8(F(w->a), 127, S(w->c), DIM))

/* Ops of one call; 0 for the tiles, which have their own table. */
static const struct
{
	const char *name;
	double		ops;
}			kernel_ops[] =
{
	{"cos_f32", 6 * DIM}, {"cos_f16", 6 * DIM}, {"l2sq_f32", 3 * DIM}, {"l2sq_f16", 3 * DIM},
	{"l1_f32", 3 * DIM}, {"l1_f16", 3 * DIM}, {"l2sq_f32_many", 3.0 * DIM * MANY},
	{"dot_f32_many", 2.0 * DIM * MANY}, {"l1_f32_many", 3.0 * DIM * MANY},
	{"dots_u1s8", DIM * MANY}, {"dots_u2s8", 2.0 * DIM * MANY},
	{"l1_u8u8", 3 * DIM}, {"l1_u8f32", 5 * DIM},
	{"fastscan_32", DIM / 4 * 32}, {"bit_estimate_32", 6 * 32}, {"hadamard_f32", 9 * HADAMARD},
	{"flip_f32", DIM}, {"signs_f32", 8 * DIM}, {"f32_to_f16", DIM}, {"f16_to_f32", DIM}, {"f32_to_s8", 2 * DIM},
	{"tile_f32", 0}, {"tile_u8s8", 0},
};

static double
ops_of(const char *name)
{
	size_t		i;

	for (i = 0; i < sizeof(kernel_ops) / sizeof(kernel_ops[0]); i++)
	{
		if (strcmp(kernel_ops[i].name, name) == 0)
			return kernel_ops[i].ops;
	}
	return 2 * DIM;				/* a dot product */
}

/* Inputs in the kernel's element type: bytes for codes, else floats or halves. */
static void
fill(Work *w, const char *name)
{
	bool		bytes = strstr(name, "u8") || strstr(name, "u4") || strstr(name, "u2") ||
		strstr(name, "u1") || strstr(name, "fastscan");
	bool		half = strstr(name, "f16") && strcmp(name, "f32_to_f16") != 0;
	size_t		i;

	for (i = 0; i < ARENA / 4; i++)
	{
		vk_put_f32(w->a, i, unit_uniform());
		vk_put_f32(w->b, i, unit_uniform());
		vk_put_f32(w->c, i, 0);
	}
	for (i = 0; half && i < ARENA / 2; i++)
	{
		vk_put_u16(w->a, i, vk_float_to_half(unit_uniform()));
		vk_put_u16(w->b, i, vk_float_to_half(unit_uniform()));
	}
	for (i = 0; bytes && i < ARENA; i++)
	{
		w->a[i] = (char) unit_below(256);
		if (!strstr(name, "f32"))
			w->b[i] = (char) unit_below(256);
	}
}

/* ---- the core's peak: registers only, CHAINS independent accumulators ---- */

#define CHAINS 12
#define PEAK_STEPS 50000

#if defined(__x86_64__)

/* ops per nanosecond of a loop of CHAINS instructions with `ops` each */
#define PEAK(name, isa, vec, zero, step, ops) \
	__attribute__((target(isa), noinline)) static double \
	peak_##name(void) \
	{ \
		vec			acc[CHAINS]; \
		vec			x = zero; \
		double		best = INFINITY; \
		int			run; \
		\
		for (run = 0; run < RUNS; run++) \
		{ \
			double		start = now_ns(); \
			long		i; \
			int			c; \
			\
			for (c = 0; c < CHAINS; c++) \
				acc[c] = zero; \
			for (i = 0; i < PEAK_STEPS; i++) \
			{ \
				_Pragma("GCC unroll 12") \
				for (c = 0; c < CHAINS; c++) \
				{ \
					/* x is a new value each time, so nothing is hoisted */ \
					__asm__ volatile ("" : "+v" (x)); \
					acc[c] = step; \
				} \
			} \
			best = fmin(best, now_ns() - start); \
			for (c = 0; c < CHAINS; c++) \
				__asm__ volatile ("" : : "v" (acc[c])); \
		} \
		return (double) PEAK_STEPS * CHAINS * (ops) / best; \
	}

#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl"

PEAK(avx2_f32, "avx2,fma", __m256, _mm256_setzero_ps(), _mm256_fmadd_ps(x, x, acc[c]), 16)
PEAK(avx2_s8, "avx2,fma", __m256i, _mm256_setzero_si256(),
	 _mm256_add_epi32(acc[c], _mm256_madd_epi16(x, x)), 32)
PEAK(avx512_f32, AVX512, __m512, _mm512_setzero_ps(), _mm512_fmadd_ps(x, x, acc[c]), 32)
PEAK(avx512_s8, AVX512, __m512i, _mm512_setzero_si512(),
	 _mm512_add_epi32(acc[c], _mm512_madd_epi16(x, x)), 64)
PEAK(vnni_s8, AVX512 ",avx512vnni", __m512i, _mm512_setzero_si512(),
	 _mm512_dpbusd_epi32(acc[c], x, x), 128)

#undef PEAK
#undef AVX512
#endif

/* Peak Gop/s of a level for float32 and for u8 x s8; 0 if not measured here. */
static double
peak(const VkTable *t, bool ints)
{
#if defined(__x86_64__)
	if (t->level == VK_AVX2)
		return ints ? peak_avx2_s8() : peak_avx2_f32();
	if (t->level == VK_AVX512 && !ints)
		return peak_avx512_f32();
	if (t->level == VK_AVX512)
		return t->tile_u8s8 == vk_level_avx512.tile_u8s8 ? peak_avx512_s8() : peak_vnni_s8();
#else
	(void) t;
	(void) ints;
#endif
	return 0;
}

/* ---- the report ---- */

static void
bench_kernel(const VkTable *const *tables, int ntables, const char *name, Call call, Work *w)
{
	double		ops = ops_of(name);
	int			i;

	if (ops == 0)
		return;
	fill(w, name);
	printf("%-16s", name);
	for (i = 0; i < ntables; i++)
	{
		double		ns = measure(call, tables[i], w);

		printf(" %9.1f %6.1f", ns, ops / ns);
	}
	printf("\n");
}

static void
bench_tiles(const VkTable *t, Work *w)
{
	static const size_t shapes[][3] = {{4096, 125, 256}, {64, 1000, 768}, {512, 512, 512}};
	int			ints;
	size_t		i;

	if (t->level == VK_SCALAR)
		return;
	for (ints = 0; ints < 2; ints++)
	{
		double		top = peak(t, ints);

		fill(w, ints ? "tile_u8s8" : "tile_f32");
		for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		{
			double		gops;

			w->m = shapes[i][0];
			w->n = shapes[i][1];
			w->k = shapes[i][2];
			gops = 2.0 * w->m * w->n * w->k / measure(ints ? call_tile_u8s8 : call_tile_f32, t, w);
			printf("%-18s %-9s m=%-4zu n=%-4zu k=%-4zu %7.1f Gop/s", t->name,
				   ints ? "tile_u8s8" : "tile_f32", w->m, w->n, w->k, gops);
			if (top > 0)
				printf(", %3.0f %% of %.1f", 100 * gops / top, top);
			printf("\n");
		}
	}
}

int
main(void)
{
	const VkTable *tables[VK_AVX512 + 2];
	int			ntables = 0;
	int			level;
	VkTable		plain;
	Work		w;

	(void) plain;
	if (posix_memalign((void **) &w.a, VP_ALIGN, ARENA) ||
		posix_memalign((void **) &w.b, VP_ALIGN, ARENA) ||
		posix_memalign((void **) &w.c, VP_ALIGN, ARENA))
		return 2;
	for (level = VK_SCALAR; level <= VK_AVX512; level++)
	{
		if (vk_has_level((VkLevel) level))
			tables[ntables++] = vk_table((VkLevel) level);
	}
#if defined(__x86_64__)
	if (vk_has_level(VK_AVX512))
	{
		plain = vk_level_avx512;
		plain.name = "avx512 no vnni";
		tables[ntables++] = &plain;
	}
#endif
	printf("cpu: %s\nflags: %s\n", vk_cpu_features(), UNIT_FLAGS);
	printf("ns and Gop/s of a call at %d dimensions (%d rows for _many, 32 for blocks,\n"
		   "%d points for hadamard)\n%-16s", DIM, MANY, HADAMARD, "");
	for (level = 0; level < ntables; level++)
		printf(" %16s", tables[level]->name);
	printf("\n");
#define VK(ret, name, args) bench_kernel(tables, ntables, #name, call_##name, &w);
#include "simd/kernels.def"
#undef VK
	for (level = 0; level < ntables; level++)
		bench_tiles(tables[level], &w);
	return 0;
}
