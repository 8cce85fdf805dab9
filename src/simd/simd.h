/*
 * simd.h -- the one table of kernels, filled for the CPU level in use.
 *
 * What it is not: a place for algorithms. A kernel knows no metric names, no
 * codes' factors beyond its arguments, no memory but its pointers.
 *
 * The table is chosen once per process by vk_init() and may be lowered by
 * vk_set_level(); callers go through `vk->name(...)`.
 */
#ifndef VECPG_SIMD_H
#define VECPG_SIMD_H

#include "base/port.h"

typedef enum VkLevel
{
	VK_SCALAR,
	VK_NEON,
	VK_AVX2,					/* AVX2 + FMA + F16C */
	VK_AVX512					/* F, BW, DQ, VL; VNNI used where present */
} VkLevel;

typedef struct VkTable
{
#define VK(ret, name, args) ret (*name) args;
#include "simd/kernels.def"
#undef VK
	const char *name;			/* "scalar", "neon", "avx2", "avx512" */
	VkLevel		level;
} VkTable;

/* The table in use; scalar until vk_init(). */
extern const VkTable *vk;

/* Chooses the highest level the CPU (and the operating system) supports. */
void		vk_init(void);

/* The highest level this process may use. */
VkLevel		vk_best_level(void);

/* Whether `level` can run here. */
bool		vk_has_level(VkLevel level);

/* The table of one level, NULL if it cannot run here (unit tests). */
const VkTable *vk_table(VkLevel level);

/* Lowers (or restores) the level; false if it cannot run here. */
bool		vk_set_level(VkLevel level);

/* CPU features found, as "avx2 fma f16c avx512f ...", for vecpg_cpu(). */
const char *vk_cpu_features(void);

#endif							/* VECPG_SIMD_H */
