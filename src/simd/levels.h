/*
 * levels.h -- what the level files offer to dispatch.c, and to nobody else.
 *
 * Each k_*.c is compiled for its own CPU and holds one const table. Nothing in
 * such a file may run before dispatch.c has found the CPU capable.
 */
#ifndef VECPG_SIMD_LEVELS_H
#define VECPG_SIMD_LEVELS_H

#include "simd/simd.h"

extern const VkTable vk_level_scalar;
#if defined(__x86_64__)
extern const VkTable vk_level_avx2;
extern const VkTable vk_level_avx512;

/* Replaces the integer dots of an avx512 table by their VNNI versions. */
void		vk_avx512_use_vnni(VkTable *table);
#endif
#if defined(__aarch64__)
extern const VkTable vk_level_neon;
#endif

#endif							/* VECPG_SIMD_LEVELS_H */
