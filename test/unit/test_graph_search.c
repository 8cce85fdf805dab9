/*
 * test_graph_search.c -- searches through an accessor, of a graph that a build
 * made in memory.
 *
 * What it is not: a test of pages, which an access method has.
 *
 * The accessor checks what the contract promises it (no node is read twice) and
 * can estimate with errors, lose nodes and give NaN. After each run the two
 * rules of a search are checked: W is the best of what was expanded, and nothing
 * that was estimated below W's worst is left.
 */
#include "graph_data.h"

#define N 3000
#define NQ 40
#define DIM 32
#define M 16
#define K 10
#define ALL (N + 1)				/* an ef that W never reaches */

/* How a graph is read; every so many: 0 is none. */
typedef struct Manner
{
	const char *name;
	double		error;			/* of estimates, relative, at most */
	bool		exact;			/* VgAccess.exact: nodes met before are left out */
	unsigned	gone;			/* every so many nodes are no more */
	unsigned	nan_est;		/* every so many edges' estimates are NaN */
	unsigned	nan_own;		/* every so many nodes' distances are NaN */
} Manner;

static const Manner manners[] = {
	{"exact", 0, true, 0, 0, 0},
	{"no errors", 0, false, 0, 0, 0},
	{"errors", .3, false, 0, 0, 0},
	{"large errors", 2, false, 0, 0, 0},
	{"nodes gone", .3, false, 7, 0, 0},
	{"NaN estimates", .3, false, 0, 5, 0},
	{"NaN distances", .3, false, 0, 0, 11},
	{"all at once", .3, false, 13, 9, 17},
	{"exact, nodes gone", 0, true, 7, 0, 11},
};

#define MANNERS (sizeof(manners) / sizeof(manners[0]))

/* One search of one query. */
typedef struct Reader
{
	Manner		manner;
	VgSearch	s;
	Arena		arena;
	float	   *dist;			/* [N] of the rows to the query */
	float	   *est;			/* [N] the best estimate given */
	uint8_t    *read;			/* [N] whether asked for */
	size_t		wrong;
} Reader;

static Data data;
static VgGraph graph;

/* ---- the accessor ---- */

static bool
every(unsigned so_many, uint32_t what)
{
	return so_many > 0 && (what * UINT32_C(2654435761) >> 8) % so_many == 0;
}

/* The error depends on both ends of the edge: a node has as many estimates as neighbours. */
static float
estimate(const Reader *r, uint32_t from, uint32_t to)
{
	uint64_t	random = vp_seed((uint64_t) from << 32 | to);
	double		error = r->manner.error * ((double) (vp_rand(&random) >> 40) * 0x1p-23 - 1);

	return every(r->manner.nan_est, from * 31 + to) ? NAN : (float) (r->dist[to] * (1 + error));
}

static int
read_node(void *arg, uint32_t node, float *own, uint32_t *ids, float *ests)
{
	Reader	   *r = arg;
	const uint32_t *edges = vg_edges(&graph, node, 0);
	int			n = 0;

	r->wrong += r->read[node]++ > 0 || !vg_is_met(&r->s, node) || !vg_is_expanded(&r->s, node);
	if (every(r->manner.gone, node) && node != graph.entry)
		return -1;
	*own = every(r->manner.nan_own, node) ? NAN : r->dist[node];
	for (int e = 0; e < 2 * M && edges[e] != VG_NONE; e++)
	{
		float		est = estimate(r, node, edges[e]);

		if (r->manner.exact && vg_is_met(&r->s, edges[e]))
			continue;
		if (est < r->est[edges[e]])
			r->est[edges[e]] = est;
		ids[n] = edges[e];
		ests[n++] = est;
	}
	return n;
}

static void
prefetch_node(void *arg, uint32_t node)
{
	Reader	   *r = arg;

	r->wrong += r->read[node] > 0;
}

static void *
reader_alloc(void *arg, size_t bytes)
{
	return arena_alloc(&((Reader *) arg)->arena, bytes);
}

static void
open_reader(Reader *r, const Manner *manner, size_t query)
{
	VgAccess	access = {read_node, prefetch_node, reader_alloc, r, 2 * M, manner->exact};
	Prepared	p;

	memset(r, 0, sizeof(*r));
	r->manner = *manner;
	r->dist = reader_alloc(r, sizeof(float) * N);
	r->est = reader_alloc(r, sizeof(float) * N);
	r->read = reader_alloc(r, N);
	memset(r->read, 0, N);
	prepare(&p, &data.rows, data_query(&data, query));
	for (uint32_t row = 0; row < N; row++)
	{
		r->dist[row] = prepared_distance(&p, row);
		r->est[row] = INFINITY;
	}
	vg_search_begin(&r->s, &access);
	vg_search_push(&r->s, graph.entry, r->dist[graph.entry]);
}

static void
close_reader(Reader *r)
{
	CHECK(r->wrong == 0, "%s: %zu nodes read twice or out of turn", r->manner.name, r->wrong);
	arena_free(&r->arena);
}

/* The k best of all that was expanded, ascending; returns how many. */
static int
best(const Reader *r, int k, VgCandidate *out)
{
	int			n = 0;

	for (size_t i = 0; i < r->s.nexpanded; i++)
		if (r->s.expanded[i].dist < INFINITY)
			sorted_add(out, &n, k, r->s.expanded[i].dist, r->s.expanded[i].node);
	return n;
}

/* ---- the two rules ---- */

static void
check_rules(const Reader *r, size_t ef, bool more)
{
	static VgCandidate sorted[ALL];
	int			n = best(r, ALL, sorted);
	float		worst = (size_t) n < ef ? INFINITY : sorted[ef - 1].dist;
	size_t		outside = 0;
	size_t		left = 0;

	CHECK_EQ(r->s.nw, VP_MIN(ef, r->s.nexpanded));
	for (size_t i = 0; i < r->s.nw; i++)
	{
		float		dist = r->s.expanded[r->s.w[i].item].dist;

		outside += -r->s.w[i].key != dist || (dist > worst && dist < INFINITY);
	}
	for (uint32_t row = 0; row < N; row++)
		left += r->est[row] < worst && r->read[row] == 0;
	CHECK(outside == 0, "%s, ef %zu: %zu of W are not among the best", r->manner.name, ef, outside);
	CHECK(left == 0, "%s, ef %zu: %zu nodes below W's worst are left", r->manner.name, ef, left);
	CHECK(more || (r->s.nqueue == 0 && r->s.nfar == 0), "%s, ef %zu: there is more",
		  r->manner.name, ef);
}

/* ---- all of a graph ---- */

/* Rows that the entry leads to if the nodes gone do not lead on. */
static size_t
reachable(const Manner *manner, uint8_t *met)
{
	static uint32_t queue[N];
	size_t		n = 1;
	size_t		living = 0;

	memset(met, 0, N);
	queue[0] = graph.entry;
	met[graph.entry] = 1;
	for (size_t i = 0; i < n; i++)
	{
		const uint32_t *edges = vg_edges(&graph, queue[i], 0);

		if (every(manner->gone, queue[i]) && queue[i] != graph.entry)
			continue;
		met[queue[i]] = 2;
		living++;
		for (int e = 0; e < 2 * M && edges[e] != VG_NONE; e++)
			if (!met[edges[e]])
			{
				met[edges[e]] = 1;
				queue[n++] = edges[e];
			}
	}
	return living;
}

/* Everything reachable is expanded, whatever estimates say, and W is brute force's. */
static void
check_all(const Manner *manner)
{
	static uint8_t met[N];
	size_t		living = reachable(manner, met);

	for (size_t q = 0; q < NQ; q += 10)
	{
		Reader		r;
		VgCandidate got[K];
		VgCandidate want[K];
		int			n = 0;

		open_reader(&r, manner, q);
		CHECK(!vg_search_run(&r.s, ALL), "%s: all is not the end", manner->name);
		CHECK_EQ(r.s.nexpanded, living);
		check_rules(&r, ALL, false);
		for (uint32_t row = 0; row < N; row++)
			if (met[row] == 2 && !every(manner->nan_own, row))
				sorted_add(want, &n, K, r.dist[row], row);
		CHECK_EQ(best(&r, K, got), n);
		for (int i = 0; i < n; i++)
			CHECK(got[i].id == want[i].id && got[i].dist == want[i].dist,
				  "%s, query %zu: number %d is row %u, not %u", manner->name, q, i, got[i].id,
				  want[i].id);
		CHECK(!vg_search_run(&r.s, ALL) && r.s.nexpanded == living, "%s: nothing is read again",
			  manner->name);
		close_reader(&r);
	}
}

/* ---- searches that end early, and go on ---- */

static int
common(const VgCandidate *a, int na, const VgCandidate *b, int nb)
{
	int			count = 0;

	for (int i = 0; i < na; i++)
		for (int j = 0; j < nb; j++)
			count += a[i].id == b[j].id;
	return count;
}

/*
 * A search that goes on with a larger ef has dropped nothing: both rules hold as
 * for a fresh one, what was expanded stays, and W is the same but for the rare
 * row to which only one of two orders of expansion led.
 */
static void
check_going_on(const Manner *manner)
{
	static const int efs[] = {1, 3, 10, 20, 40, 80, 160, 640};
	long		same = 0;
	long		total = 0;

	for (size_t q = 0; q < NQ; q += 2)
	{
		Reader		r;

		open_reader(&r, manner, q);
		for (size_t i = 0; i < sizeof(efs) / sizeof(efs[0]); i++)
		{
			Reader		fresh;
			VgCandidate ours[640];
			VgCandidate theirs[640];
			static VgExpanded before[N];
			size_t		n = r.s.nexpanded;
			bool		more;

			if (n > 0)
				memcpy(before, r.s.expanded, sizeof(VgExpanded) * n);
			more = vg_search_run(&r.s, (size_t) efs[i]);
			check_rules(&r, (size_t) efs[i], more);
			CHECK(n == 0 || memcmp(before, r.s.expanded, sizeof(VgExpanded) * n) == 0,
				  "%s: what was expanded changed", manner->name);
			open_reader(&fresh, manner, q);
			more = vg_search_run(&fresh.s, (size_t) efs[i]);
			check_rules(&fresh, (size_t) efs[i], more);
			total += best(&fresh, efs[i], theirs);
			same += common(ours, best(&r, efs[i], ours), theirs, best(&fresh, efs[i], theirs));
			close_reader(&fresh);
		}
		close_reader(&r);
	}
	printf("%s: %ld of %ld the same after going on\n", manner->name, same, total);
	CHECK(same >= .99 * (double) total, "%s: %ld of %ld the same", manner->name, same, total);
}

/* Smaller steps end nowhere else: run() with an ef it had is no work. */
static void
check_again(void)
{
	Reader		r;
	size_t		n;

	open_reader(&r, &manners[0], 0);
	vg_search_run(&r.s, 50);
	n = r.s.nexpanded;
	vg_search_run(&r.s, 50);
	CHECK_EQ(r.s.nexpanded, n);
	vg_search_run(&r.s, 10);
	CHECK_EQ(r.s.nexpanded, n);
	CHECK_EQ(r.s.nw, 10);
	close_reader(&r);
}

/* ---- recall ---- */

/* Of estimates without errors: that of the search in memory, which sees distances too. */
static void
check_recall(void)
{
	static const int efs[] = {10, 40, 100};

	for (int i = 0; i < 3; i++)
	{
		double		memory = recall(&data, &graph, efs[i]);

		for (size_t m = 0; m < 4; m++)
		{
			long		hits = 0;

			for (size_t q = 0; q < NQ; q++)
			{
				Reader		r;
				VgCandidate got[K];
				int			n;

				open_reader(&r, &manners[m], q);
				vg_search_run(&r.s, (size_t) efs[i]);
				n = best(&r, K, got);
				hits += common(got, n, data.truth + q * K, K);
				close_reader(&r);
			}
			printf("%s, ef %d: recall %.4f, in memory %.4f\n", manners[m].name, efs[i],
				   (double) hits / (NQ * K), memory);
			CHECK(m > 1 || (double) hits / (NQ * K) >= memory - .01, "%s, ef %d: recall %.4f",
				  manners[m].name, efs[i], (double) hits / (NQ * K));
		}
	}
}

/* ---- corner cases ---- */

static void
check_corners(void)
{
	Manner		manner = manners[2];
	Reader		r;
	VgAccess	access;

	/* nothing was offered */
	open_reader(&r, &manner, 0);
	access = r.s.access;
	vg_search_begin(&r.s, &access);
	CHECK(!vg_search_run(&r.s, 10), "nothing is all there is");
	CHECK_EQ(r.s.nexpanded, 0);
	CHECK(!vg_is_met(&r.s, graph.entry) && !vg_is_expanded(&r.s, graph.entry), "nothing was met");

	/* several entries, one of them twice and with a worse estimate, one NaN; nobody prefetches */
	access.prefetch = NULL;
	vg_search_begin(&r.s, &access);
	vg_search_push(&r.s, 5, 1);
	vg_search_push(&r.s, 5, 2);
	vg_search_push(&r.s, 6, NAN);
	vg_search_push(&r.s, 7, INFINITY);
	CHECK(vg_is_met(&r.s, 5) && !vg_is_expanded(&r.s, 5), "an entry is met");
	vg_search_run(&r.s, ALL);
	CHECK(vg_is_expanded(&r.s, 5) && vg_is_expanded(&r.s, 6) && vg_is_expanded(&r.s, 7),
		  "every entry is expanded");
	CHECK(r.s.seen_cap > 4096 && r.s.expanded_cap >= N && r.s.w_cap >= N, "arrays grow");
	close_reader(&r);

	/* all nodes but the entry are gone */
	manner.gone = 1;
	open_reader(&r, &manner, 0);
	CHECK(!vg_search_run(&r.s, 10), "one node is all there is");
	CHECK_EQ(r.s.nexpanded, 1);
	close_reader(&r);
}

int
main(void)
{
	static const VgBuildOptions options = {M, 64, NULL, NULL, 0, NULL};
	Arena		arena;

	vk_init();
	data_make(&data, N, NQ, &(DataShape) {DIM, DATA_UNIFORM, VG_L2, 0, false});
	data_truth(&data, K);
	build(&arena, &data.rows, &options, 2, &graph);
	for (size_t i = 0; i < MANNERS; i++)
	{
		check_all(&manners[i]);
		check_going_on(&manners[i]);
	}
	check_again();
	check_recall();
	check_corners();
	arena_free(&arena);
	data_free(&data);
	return unit_done();
}
