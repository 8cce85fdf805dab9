/*
 * test_graph.c -- building graphs in memory, on made rows.
 *
 * What it is not: a test of searches through an accessor (test_graph_search.c),
 * or a measure of time.
 *
 * Recall is compared with brute force and with a plain HNSW that takes rows one
 * by one (graph_data.h): what batches and lists kept up edge by edge may cost.
 */
#include "graph_data.h"

#include <time.h>

#include "graph/inner.h"

#define K 10
#define M 16
#define EFC 64
#define N 3000

static const VgBuildOptions plain_options = {M, EFC, NULL, NULL, 0, NULL};

typedef struct Case
{
	DataShape	shape;
	double		recall40;		/* at least, at ef 40 */
	const char *name;
} Case;

/* Uniform rows of 128 dimensions have no near ones: a hard case for any graph. */
static const Case cases[] = {
	{{16, DATA_UNIFORM, VG_L2, 0, false}, .99, "uniform 16"},
	{{32, DATA_UNIFORM, VG_L2, 0, false}, .92, "uniform 32"},
	{{128, DATA_UNIFORM, VG_L2, 0, false}, .75, "uniform 128"},
	{{16, DATA_CLUSTERED, VG_L2, 0, false}, .99, "clustered 16"},
	{{32, DATA_CLUSTERED, VG_L2, 0, false}, .99, "clustered 32"},
	{{128, DATA_CLUSTERED, VG_L2, 0, false}, .97, "clustered 128"},
	{{128, DATA_CLUSTERED, VG_L2, 64, false}, .97, "clustered 128, 64 first"},
	{{128, DATA_UNIFORM, VG_L2, 64, false}, .75, "uniform 128, 64 first"},
	{{32, DATA_CLUSTERED, VG_L2, 0, true}, .9, "clustered 32, inner product"},
	{{32, DATA_UNIFORM, VG_L1, 0, false}, .92, "uniform 32 L1"},
	{{32, DATA_CLUSTERED, VG_L1, 0, false}, .98, "clustered 32 L1"},
};

/* ---- what every graph must be ---- */

static int
most_of(const VgGraph *g, int layer)
{
	return layer == 0 ? 2 * g->m : g->m;
}

/* One list: real rows of the layer, none twice, ascending, then VG_NONE. */
static bool
list_is_sound(const VgGraph *g, const VgRows *rows, uint32_t row, int layer)
{
	const uint32_t *edges = vg_edges(g, row, layer);
	int			most = most_of(g, layer);
	float		before = -1;
	Prepared	p;
	int			n = 0;

	prepare(&p, rows, vg_row(rows, row));
	for (; n < most && edges[n] != VG_NONE; n++)
	{
		float		dist;

		if (edges[n] >= g->n || edges[n] == row || g->level[edges[n]] < layer)
			return false;
		dist = prepared_distance(&p, edges[n]);
		if (dist < before || (dist == before && edges[n] <= edges[n - 1]))
			return false;
		before = dist;
	}
	for (; n < most; n++)
		if (edges[n] != VG_NONE)
			return false;
	return true;
}

static void
check_sound(const VgGraph *g, const VgRows *rows, const char *name)
{
	size_t		broken = 0;
	int			top = 0;

	for (uint32_t i = 0; i < g->n; i++)
	{
		top = VP_MAX(top, g->level[i]);
		for (int layer = 0; layer <= g->level[i]; layer++)
			broken += !list_is_sound(g, rows, i, layer);
	}
	CHECK(broken == 0, "%s: %zu lists are broken", name, broken);
	CHECK(g->top == top && g->level[g->entry] == top, "%s: the entry is not on top", name);
}

/* Rows that edges of the base layer lead to from the entry. */
static size_t
reachable(const VgGraph *g)
{
	uint8_t    *met = calloc(g->n, 1);
	uint32_t   *queue = malloc(sizeof(uint32_t) * g->n);
	size_t		n = 1;

	queue[0] = g->entry;
	met[g->entry] = 1;
	for (size_t i = 0; i < n; i++)
	{
		const uint32_t *edges = vg_edges(g, queue[i], 0);

		for (int e = 0; e < 2 * g->m && edges[e] != VG_NONE; e++)
			if (!met[edges[e]])
			{
				met[edges[e]] = 1;
				queue[n++] = edges[e];
			}
	}
	free(met);
	free(queue);
	return n;
}

static uint64_t
mix(uint64_t hash, const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ words[i]) * UINT64_C(1099511628211);
	return hash;
}

/* Of all edges and levels. */
static uint64_t
graph_hash(const VgGraph *g)
{
	uint64_t	hash = mix(UINT64_C(14695981039346656037), &g->entry, 1);

	for (uint32_t i = 0; i < g->n; i++)
		for (int layer = 0; layer <= g->level[i]; layer++)
			hash = mix(hash, vg_edges(g, i, layer), (size_t) most_of(g, layer));
	return hash;
}

/* ---- recall ---- */

static void
check_case(const Case *c)
{
	static const int efs[] = {10, 40, 100};
	Data		d;
	Arena		arena;
	Arena		plain_arena;
	VgGraph		g;
	VgGraph		plain;
	/* Heads lose rows at the edge of the pool, most where none are near. */
	double		may_lose = c->shape.head > 0 ? .012 : .005;

	data_make(&d, N, 1000, &c->shape);
	data_truth(&d, K);
	build(&arena, &d.rows, &plain_options, 2, &g);
	plain_build(&plain_arena, &d.rows, &g, EFC, &plain);
	check_sound(&g, &d.rows, c->name);
	/* By inner product some rows are no other row's best, and no edge leads to them. */
	CHECK(reachable(&g) * 1000 >= g.n * (c->shape.lifted ? 900 : 999),
		  "%s: %zu of %zu are reachable", c->name, reachable(&g), g.n);
	CHECK(arena.polls > 0, "%s: nobody looked for interrupts", c->name);
	printf("%s:", c->name);
	for (int i = 0; i < 3; i++)
	{
		double		ours = recall(&d, &g, efs[i]);
		double		theirs = recall(&d, &plain, efs[i]);

		printf(" ef %d: %.4f (%.4f)", efs[i], ours, theirs);
		CHECK(ours >= theirs - may_lose, "%s: recall %.4f at ef %d, rows one by one %.4f", c->name,
			  ours, efs[i], theirs);
		CHECK(efs[i] != 40 || ours >= c->recall40, "%s: recall %.4f at ef 40", c->name, ours);
	}
	printf("\n");
	arena_free(&arena);
	arena_free(&plain_arena);
	data_free(&d);
}

/* ---- one graph, whoever builds it ---- */

static void
check_same_graph(VgSpace space)
{
	Data		d;
	Arena		arena;
	VgGraph		g;
	uint64_t	hash;

	data_make(&d, N, 0, &(DataShape) {48, DATA_CLUSTERED, space, space == VG_L2 ? 32 : 0, false});
	build(&arena, &d.rows, &plain_options, 1, &g);
	hash = graph_hash(&g);
	CHECK(arena.bytes <= vg_build_bytes(d.rows.n, d.rows.dim, &plain_options, 1),
		  "%zu bytes, more than was told", arena.bytes);
	arena_free(&arena);
	for (int threads = 2; threads <= 3; threads++)
	{
		build(&arena, &d.rows, &plain_options, threads, &g);
		CHECK(graph_hash(&g) == hash, "another graph with %d threads", threads);
		arena_free(&arena);
	}
	for (int level = VK_SCALAR; level <= VK_AVX512; level++)
		if (vk_set_level((VkLevel) level))
		{
			build(&arena, &d.rows, &plain_options, 2, &g);
			CHECK(graph_hash(&g) == hash, "another graph with %s kernels", vk->name);
			arena_free(&arena);
		}
	vk_init();
	data_free(&d);
}

/* ---- few rows, equal rows ---- */

static void
check_few(void)
{
	for (size_t n = 0; n <= 40; n = n < 3 ? n + 1 : 40)
	{
		VgBuildOptions o = plain_options;
		VgCandidate out[64];
		void	   *scratch;
		Data		d;
		Arena		arena;
		VgGraph		g;
		int			found;

		data_make(&d, n, 1, &(DataShape) {16, DATA_UNIFORM, VG_L2, 0, false});
		build(&arena, &d.rows, &o, 2, &g);
		scratch = aligned(vg_search_bytes(&g, 16, 64));
		found = vg_graph_search(&g, &d.rows, data_query(&d, 0), 64, scratch, out);
		CHECK_EQ(g.n, n);
		CHECK_EQ(found, n);
		CHECK((g.entry == VG_NONE) == (n == 0), "entry of %zu rows", n);
		if (n == 2)
			CHECK(vg_edges(&g, 0, 0)[0] == 1 && vg_edges(&g, 1, 0)[0] == 0 &&
				  vg_edges(&g, 0, 0)[1] == VG_NONE, "two rows are each other's edge");
		for (int i = 1; i < found; i++)
			CHECK(out[i - 1].dist < out[i].dist ||
				  (out[i - 1].dist == out[i].dist && out[i - 1].id < out[i].id), "ascending");
		if (n > 0)
			check_sound(&g, &d.rows, "few rows");
		free(scratch);
		arena_free(&arena);
		data_free(&d);
		if (n == 40)
			break;
	}
}

/* Seconds that a build of `n` rows takes, `equal` of them one and the same. */
static double
time_build(size_t n, size_t equal, size_t *reached)
{
	Data		d;
	Arena		arena;
	VgGraph		g;
	clock_t		start;
	double		seconds;

	data_make(&d, n, 0, &(DataShape) {32, DATA_CLUSTERED, VG_L2, 0, false});
	for (size_t i = 1; i < equal; i++)
		memcpy(data_row(&d, i), data_row(&d, 0), d.rows.stride);
	start = clock();
	build(&arena, &d.rows, &plain_options, 1, &g);
	seconds = (double) (clock() - start) / CLOCKS_PER_SEC;
	check_sound(&g, &d.rows, "equal rows");
	*reached = reachable(&g);
	arena_free(&arena);
	data_free(&d);
	return seconds;
}

/*
 * No search may walk through all rows that are equally near, and no list may be
 * chosen from them anew for each. Rows that differ must still be found.
 */
static void
check_equal(void)
{
	size_t		reached;
	double		made = time_build(20000, 1, &reached);
	double		equal = time_build(20000, 20000, &reached);

	CHECK(equal < 3 * made, "20,000 equal rows take %.2f s, different ones %.2f s", equal, made);
	time_build(4000, 2000, &reached);
	CHECK(reached * 1000 >= 2000 * 999, "%zu of 4000 reachable, half of them equal", reached);
}

/* ---- the pause ---- */

typedef struct Pause
{
	int			calls;
	size_t		last;			/* that progress told */
	size_t		rest;
	size_t		wrong;
} Pause;

/* The rest has no edges, and none lead to it. */
static void
on_pause(void *arg, const VgGraph *g, const uint32_t *rest, size_t pause)
{
	Pause	   *p = arg;
	uint8_t    *out = calloc(g->n, 1);

	p->calls++;
	p->rest = pause;
	for (size_t i = 0; i < pause; i++)
	{
		p->wrong += rest[i] >= g->n || out[rest[i]] || rest[i] == g->entry;
		out[rest[i]] = 1;
	}
	for (uint32_t i = 0; i < g->n; i++)
		for (int layer = 0; layer <= g->level[i]; layer++)
		{
			const uint32_t *edges = vg_edges(g, i, layer);

			p->wrong += (edges[0] == VG_NONE) != out[i] && layer == 0;
			for (int e = 0; e < most_of(g, layer) && edges[e] != VG_NONE; e++)
				p->wrong += out[i] || out[edges[e]];
		}
	free(out);
}

static void
on_progress(void *arg, size_t done)
{
	Pause	   *p = arg;

	p->wrong += done < p->last;
	p->last = done;
}

static void
check_pause(void)
{
	static const size_t rests[] = {1, 100, 1500, 1990};

	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++)
	{
		Pause		p = {0, 0, 0, 0};
		VgBuildOptions o = {M, EFC, on_progress, on_pause, rests[i], &p};
		Data		d;
		Arena		arena;
		VgGraph		g;

		data_make(&d, 2000, 200, &(DataShape) {16, DATA_CLUSTERED, VG_L2, 0, false});
		data_truth(&d, K);
		build(&arena, &d.rows, &o, 2, &g);
		CHECK_EQ(p.calls, 1);
		CHECK_EQ(p.rest, rests[i]);
		CHECK_EQ(p.wrong, 0);
		CHECK_EQ(p.last, 2000);
		check_sound(&g, &d.rows, "with a pause");
		CHECK(recall(&d, &g, 40) > .98, "recall after a pause of %zu", rests[i]);
		CHECK(arena.bytes <= vg_build_bytes(2000, 16, &o, 2), "more bytes than were told");
		arena_free(&arena);
		data_free(&d);
	}
}

/* ---- single pieces ---- */

static void
check_distances(void)
{
	for (int space = VG_L2; space <= VG_L1; space++)
	{
		Data		d;
		Prepared	p;

		data_make(&d, 50, 10, &(DataShape) {48, DATA_CLUSTERED, (VgSpace) space, 0, space == VG_L2});
		for (uint32_t a = 0; a < 60; a++)
		{
			prepare(&p, &d.rows, data_row(&d, a));
			for (uint32_t b = 0; b < 60; b++)
			{
				double		truth = data_distance(&d.rows, data_row(&d, a), data_row(&d, b));
				float		got = prepared_distance(&p, b);
				Prepared	back;

				CHECK_NEAR(got, truth, 1e-5 * (1 + truth + 2 * data_row(&d, a)->norm2));
				prepare(&back, &d.rows, data_row(&d, b));
				CHECK(prepared_distance(&back, a) == got, "distances are symmetric");
			}
		}
		data_free(&d);
	}
}

static float
table_pair(void *arg, uint32_t a, uint32_t b)
{
	return ((const float *) arg)[a * 64 + b];
}

/* The heuristic, said once more: keep what no kept one is nearer or equal to; then fill up. */
static void
naive_select(const VgCandidate *cand, int n, int most, const float *table, bool *chosen, bool *kept)
{
	int			count = 0;

	for (int c = 0; c < n; c++)
	{
		kept[c] = count < most;
		for (int i = 0; i < c; i++)
			if (kept[i] && (table[c * 64 + i] < cand[c].dist || table[c * 64 + i] == 0))
				kept[c] = false;
		chosen[c] = kept[c];
		count += kept[c];
	}
	for (int c = 0; c < n && count < most; c++)
		if (!chosen[c])
		{
			chosen[c] = true;
			count++;
		}
}

static void
check_select(void)
{
	for (int t = 0; t < 3000; t++)
	{
		int			n = t < 5 ? t : 1 + (int) unit_below(64);
		int			most = 1 + (int) unit_below(34);
		float		x[64][3];
		static float table[64 * 64];
		VgCandidate cand[64];
		bool		chosen[64];
		bool		kept[64];
		uint8_t		got_kept[64];
		int			out[64];
		int			count;
		int			at = 0;

		/* coarse coordinates: many distances are equal */
		for (int i = 0; i < n; i++)
			for (int k = 0; k < 3; k++)
				x[i][k] = (float) (int) unit_below(t % 2 ? 7 : 100000) - (t % 2 ? 3 : 50000);
		for (int i = 0, sorted = 0; i < n; i++)
			sorted_add(cand, &sorted, n, x[i][0] * x[i][0] + x[i][1] * x[i][1] +
					   x[i][2] * x[i][2], (uint32_t) i);
		for (int a = 0; a < n; a++)
			for (int b = 0; b < n; b++)
			{
				const float *p = x[cand[a].id];
				const float *q = x[cand[b].id];

				table[a * 64 + b] = (p[0] - q[0]) * (p[0] - q[0]) +
					(p[1] - q[1]) * (p[1] - q[1]) + (p[2] - q[2]) * (p[2] - q[2]);
			}
		count = vg_select(cand, n, most, table_pair, table, got_kept, out);
		naive_select(cand, n, most, table, chosen, kept);
		for (int c = 0; c < n; c++)
		{
			CHECK((got_kept[c] != 0) == kept[c], "select %d: candidate %d of %d", t, c, n);
			if (chosen[c])
				CHECK(at < count && out[at++] == c, "select %d: chosen %d of %d", t, c, n);
		}
		CHECK_EQ(count, at);
	}
}

/*
 * A list kept up edge by edge is at every moment what vg_select makes of its
 * edges and the new one; edges come singly and, judged beforehand, several at once.
 */
static void
check_lists(void)
{
	enum
	{
		ROWS = 400,
		MOST = 8
	};
	Data		d;
	VgLinker	l;
	void	   *memory;
	uint32_t	ids[MOST];
	float		dists[MOST];
	VgList		list = {ids, dists, MOST};

	data_make(&d, ROWS, 0, &(DataShape) {16, DATA_UNIFORM, VG_L2, 0, false});
	memory = aligned(vg_linker_bytes(MOST, 16, EFC));
	vg_linker_init(&l, &d.rows, MOST, EFC, memory);
	for (uint32_t node = 0; node < 20; node++)
	{
		Plain		h = {.rows = &d.rows, .a_id = VG_NONE};
		VgCandidate cand[MOST + 1];
		Prepared	p;
		uint32_t	pruners[4];
		int			n = 0;

		prepare(&p, &d.rows, data_row(&d, node));
		vg_list_fill(&l, &list, NULL, 0);
		h.cand = cand;
		for (uint32_t id = 20; id < ROWS; id++)
		{
			uint32_t	group = id % 4;
			uint8_t		kept[MOST + 1];
			int			out[MOST + 1];
			int			count;
			bool		same = true;

			for (uint32_t i = 0; group == 0 && i < 4; i++)
			{
				Prepared	q;

				prepare(&q, &d.rows, data_row(&d, id + i));
				if (!vg_list_judge(&d.rows, &q.q, &list, id + i, prepared_distance(&p, id + i),
								   &pruners[i]))
					pruners[i] = VG_NONE - 1;
			}
			if (pruners[group] != VG_NONE - 1)
			{
				vg_list_add(&l, &list, id, prepared_distance(&p, id), pruners[group], group > 0);
				sorted_add(cand, &n, MOST + 1, prepared_distance(&p, id), id);
			}
			count = vg_select(cand, n, MOST, plain_pair, &h, kept, out);
			for (int e = 0; e < MOST; e++)
				same &= e < count ? ids[e] == cand[out[e]].id &&
					!signbit(dists[e]) == (kept[out[e]] != 0) : ids[e] == VG_NONE;
			CHECK(same, "the list of row %u after %u edges", node, id - 19);
			/* What was chosen is what the next selection starts from. */
			for (int e = 0; e < count; e++)
				cand[e] = cand[out[e]];
			n = count;
		}
	}
	free(memory);
	data_free(&d);
}

static void
check_levels(void)
{
	size_t		above[3] = {0, 0, 0};

	for (int i = 0; i < 100000; i++)
		for (int layer = 0; layer < 3; layer++)
			above[layer] += vg_level(vp_rand(&unit_seed), M) > layer;
	CHECK_NEAR(above[0], 100000.0 / 32, 300);
	CHECK_NEAR(above[1], 100000.0 / 1024, 50);
	CHECK_NEAR(above[2], 100000.0 / 32768, 12);
	CHECK(vg_level(0, 2) <= VG_MAX_LEVEL && vg_level(UINT64_MAX, M) == 0, "levels have bounds");
}

int
main(void)
{
	vk_init();
	check_distances();
	check_select();
	check_lists();
	check_levels();
	check_few();
	check_equal();
	check_pause();
	check_same_graph(VG_L2);
	check_same_graph(VG_L1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_case(&cases[i]);
	return unit_done();
}
