/*
 * kmeans.c -- flat k-means: Lloyd's loop over the steps of cluster.c.
 *
 * What it is not: the two-level tree (tree.c), which runs the same steps on
 * many small sets at once.
 */
#include "math/cluster.h"

#include <string.h>

void
vm_kmeans(const VmEnv *env, const VmRows *rows, int k, int iters,
		  int8_t *centroids, uint32_t *assign, int *k_out)
{
	VmCrew		crew;
	VmRun		run = {.rows = rows, .n = rows->n, .random = vp_seed(env->seed)};

	*k_out = 0;
	if (rows->n == 0)
		return;
	run.cap = (int) VP_MIN((size_t) VP_MAX(k, 1), rows->n);
	vm_crew_init(&crew, env, rows->kdim, 0);
	vm_run_alloc(&run, env);
	vm_run_seed(&run, &crew, run.cap);
	for (int i = 0; i < iters; i++)
	{
		vm_run_assign(&run, &crew);
		vm_run_group(&run);
		vm_run_move(&run, &crew);
		vm_run_split(&run, run.cap, run.cap, rows->n);
	}
	vm_run_finish(&run, &crew);
	memcpy(centroids, run.cent, (size_t) run.k * (size_t) rows->kdim);
	if (assign != NULL)
		memcpy(assign, run.assign, rows->n * sizeof(assign[0]));
	*k_out = run.k;
}
