/*
 * par.h -- the only way to run threads: a parallel loop over OpenMP.
 *
 * What it is not: a way to call the server from a thread. Bodies run in pure
 * code on memory the caller prepared; no palloc, no ereport, no buffer access.
 * Signals are blocked while it runs, so the server's handlers run only in the
 * main thread and between regions. The caller slices its work (<= 100 ms a
 * region) and polls for interrupts between regions.
 */
#ifndef VECPG_PAR_H
#define VECPG_PAR_H

#include "base/port.h"

/* Works on items [from, to); `thread` is 0 .. nthreads - 1 (scratch slots). */
typedef void (*VmParBody) (void *arg, int thread, size_t from, size_t to);

/* Cores usable by this process: min(online, affinity, cgroup CPU quota). */
int			vm_par_cores(void);

/*
 * Runs body over [0, n) in chunks of `grain`, dynamically scheduled on at most
 * nthreads threads, the caller among them, or in the caller alone if the system
 * gives no threads. nthreads <= 1 starts none.
 */
void		vm_par_for(int nthreads, size_t n, size_t grain, VmParBody body, void *arg);

#endif							/* VECPG_PAR_H */
