/*
 * dispatch.c -- finds out what the CPU can do and points `vk` at a table.
 *
 * What it is not: kernels. Those lie in one k_*.c per level.
 *
 * Idea: a level counts only if the CPU has every instruction set of it *and*
 * the operating system saves its registers (XGETBV); a hypervisor may show the
 * first without the second. The avx512 table is a copy made here, so that the
 * integer kernels can be exchanged for VNNI ones on CPUs that have them.
 */
#include <string.h>

#include "simd/levels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* XCR0 bits: XMM and YMM; opmask, upper ZMM halves, ZMM 16-31. */
#define XCR0_AVX 0x06
#define XCR0_AVX512 0xe6
#endif

#define NLEVELS (VK_AVX512 + 1)

typedef struct Cpu
{
	bool		known;
	const VkTable *tables[NLEVELS];
	char		features[128];
} Cpu;

static void probe(void);
static void feature(bool found, const char *name);

static Cpu cpu;
const VkTable *vk = &vk_level_scalar;

void
vk_init(void)
{
	vk = vk_table(vk_best_level());
}

VkLevel
vk_best_level(void)
{
	int			level;

	for (level = NLEVELS - 1; level > VK_SCALAR; level--)
	{
		if (vk_has_level((VkLevel) level))
			break;
	}
	return (VkLevel) level;
}

bool
vk_has_level(VkLevel level)
{
	return vk_table(level) != NULL;
}

const VkTable *
vk_table(VkLevel level)
{
	probe();
	if ((int) level < 0 || (int) level >= NLEVELS)
		return NULL;
	return cpu.tables[level];
}

bool
vk_set_level(VkLevel level)
{
	const VkTable *table = vk_table(level);

	if (table == NULL)
		return false;
	vk = table;
	return true;
}

const char *
vk_cpu_features(void)
{
	probe();
	return cpu.features;
}

#if defined(__x86_64__)

/* XCR0, or 0 if the operating system does not use XSAVE at all. */
static uint32_t
enabled_state(uint32_t leaf1_ecx)
{
	uint32_t	lo;
	uint32_t	hi;

	if (!(leaf1_ecx & bit_OSXSAVE))
		return 0;
	__asm__ volatile ("xgetbv" : "=a" (lo), "=d" (hi) : "c" (0));
	return lo;
}

static void
probe_levels(void)
{
	static VkTable avx512;
	uint32_t	eax;
	uint32_t	ebx = 0;
	uint32_t	ecx = 0;
	uint32_t	edx;
	uint32_t	ecx1 = 0;
	uint32_t	state;
	bool		ymm;
	bool		zmm;
	bool		avx2;
	bool		bw;
	bool		vnni;

	if (!__get_cpuid(1, &eax, &ebx, &ecx1, &edx))
		return;
	state = enabled_state(ecx1);
	ymm = (state & XCR0_AVX) == XCR0_AVX;
	zmm = (state & XCR0_AVX512) == XCR0_AVX512;
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		ebx = ecx = 0;

	avx2 = ymm && (ebx & bit_AVX2) && (ecx1 & bit_FMA) && (ecx1 & bit_F16C);
	bw = avx2 && zmm && (ebx & bit_AVX512F) && (ebx & bit_AVX512BW) &&
		(ebx & bit_AVX512DQ) && (ebx & bit_AVX512VL);
	vnni = bw && (ecx & bit_AVX512VNNI);

	if (avx2)
		cpu.tables[VK_AVX2] = &vk_level_avx2;
	if (bw)
	{
		avx512 = vk_level_avx512;
		if (vnni)
			vk_avx512_use_vnni(&avx512);
		cpu.tables[VK_AVX512] = &avx512;
	}

	feature(ymm && (ebx & bit_AVX2), "avx2");
	feature(ymm && (ecx1 & bit_FMA), "fma");
	feature(ymm && (ecx1 & bit_F16C), "f16c");
	feature(zmm && (ebx & bit_AVX512F), "avx512f");
	feature(zmm && (ebx & bit_AVX512BW), "avx512bw");
	feature(zmm && (ebx & bit_AVX512DQ), "avx512dq");
	feature(zmm && (ebx & bit_AVX512VL), "avx512vl");
	feature(vnni, "avx512vnni");
}

#elif defined(__aarch64__)

static void
probe_levels(void)
{
	/* Advanced SIMD with half conversions is part of ARMv8-A. */
	cpu.tables[VK_NEON] = &vk_level_neon;
	feature(true, "neon");
}

#else

static void
probe_levels(void)
{
}

#endif

/* Fills `cpu` once; first called while the process has one thread. */
static void
probe(void)
{
	if (cpu.known)
		return;
	cpu.tables[VK_SCALAR] = &vk_level_scalar;
	probe_levels();
	cpu.known = true;
}

static void
feature(bool found, const char *name)
{
	size_t		used = strlen(cpu.features);
	size_t		len = strlen(name);

	if (!found || used + len + 2 > sizeof(cpu.features))
		return;
	if (used > 0)
		cpu.features[used++] = ' ';
	memcpy(cpu.features + used, name, len + 1);
}
