/*
 * limit.h -- tells index scans how many rows the plan above can ask for.
 */
#ifndef VECPG_LIMIT_H
#define VECPG_LIMIT_H

/* Installs the executor hook; called once by _PG_init. */
extern void vi_limit_init(void);

#endif							/* VECPG_LIMIT_H */
