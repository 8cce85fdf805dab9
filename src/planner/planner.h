/*
 * planner.h -- what vecpg adds to the planner.
 */
#ifndef VECPG_PLANNER_H
#define VECPG_PLANNER_H

/* Installs the hooks; called once by _PG_init. */
extern void vp_planner_init(void);

#endif							/* VECPG_PLANNER_H */
