/*
 * mod.c -- the module's entry: starts each room in order, nothing else.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "fmgr.h"

#include "index/limit.h"
#include "pg/options.h"
#include "planner/planner.h"
#include "simd/simd.h"

extern VECPG_EXPORT const Pg_magic_struct *Pg_magic_func(void);
PG_MODULE_MAGIC;

extern VECPG_EXPORT void _PG_init(void);

void
_PG_init(void)
{
	vk_init();
	vecpg_options_init();
	vi_limit_init();
	vp_planner_init();
}
