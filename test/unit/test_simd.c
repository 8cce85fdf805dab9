/*
 * test_simd.c -- every kernel of kernels.def, at every level that runs here,
 * against plain definitions.
 *
 * What it is not: a benchmark (bench_kernels.c), or the cases themselves: they
 * are in simd_sums.h and simd_blocks.h, which only this program includes.
 *
 * kernels.def drives the list: a kernel without a test_<name> does not compile.
 * Inputs end exactly before an inaccessible page, so one byte read too
 * far is a crash, and start at odd addresses. Outputs carry canaries.
 *
 * Tolerances. Exact: integer kernels, conversions, Hadamard, flips, the block
 * estimate. Sums: the rounding bound of the order in which a level adds, times
 * the sum of the absolute terms (SUM_TOL, TILE_TOL).
 */
#include "simd/levels.h"

#include "guard.h"
#include "simd_sums.h"
#include "simd_blocks.h"
#include "unit.h"

/* ---- dispatch, and the list of all kernels ---- */

static void
check_dispatch(void)
{
	int			level;

	CHECK(vk->level == VK_SCALAR, "the table is scalar before vk_init");
	vk_init();
	CHECK(vk->level == vk_best_level(), "vk_init takes the best level");
	for (level = VK_SCALAR; level <= VK_AVX512; level++)
	{
		const VkTable *t = vk_table((VkLevel) level);

		CHECK((t != NULL) == vk_has_level((VkLevel) level), "level %d", level);
		CHECK(vk_set_level((VkLevel) level) == (t != NULL), "level %d", level);
		CHECK(t == NULL || (vk == t && t->level == (VkLevel) level), "level %d", level);
	}
	CHECK(!vk_has_level((VkLevel) 99) && !vk_set_level((VkLevel) 99), "no level 99");
	CHECK(vk_has_level(VK_SCALAR), "scalar runs everywhere");
}

static void
check_level(const VkTable *t)
{
	static const struct
	{
		const char *name;
		void		(*test) (const VkTable *t);
	}			tests[] = {
#define VK(ret, name, args) {#name, test_##name},
#include "simd/kernels.def"
#undef VK
	};
	size_t		i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
	{
		unsigned long failed = unit_failed;

		tests[i].test(t);
		if (unit_failed > failed)
			printf("%s %s: %lu failed\n", t->name, tests[i].name, unit_failed - failed);
	}
	printf("level %s: %zu kernels\n", t->name, sizeof(tests) / sizeof(tests[0]));
}

int
main(void)
{
	int			level;

	guards_init();
	check_dispatch();
	printf("cpu: %s\n", vk_cpu_features());
	for (level = VK_SCALAR; level <= VK_AVX512; level++)
	{
		if (vk_has_level((VkLevel) level))
			check_level(vk_table((VkLevel) level));
	}
#if defined(__x86_64__)
	/* the table in use has VNNI kernels where possible; this one has not */
	if (vk_has_level(VK_AVX512))
	{
		VkTable		plain = vk_level_avx512;

		plain.name = "avx512 without vnni";
		check_level(&plain);
	}
#endif
	return unit_done();
}
