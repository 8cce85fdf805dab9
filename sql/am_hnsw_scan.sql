-- am/hnsw: scans: LIMIT, order, filters, settings, and rows with odd values

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE s (id int, v vector(24), kind int);
INSERT INTO s SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN (SELECT array_agg(0) FROM generate_series(1, 24))::vector ELSE made(24, i, 30, 0.6) END, i % 100
	FROM generate_series(1, 4000) i;
ANALYZE s;
CREATE FUNCTION index_as(opclass text, options text DEFAULT 'bits = 0') RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS s_v;
		EXECUTE format('CREATE INDEX s_v ON s USING hnsw (v %s) WITH (%s)', opclass, options);
	END
$$;

-- the exact answer of the broadest walk: LIMITs, none; NULL and zero vectors come last where they have no distance
CREATE FUNCTION all_limits(o graph_opclasses, z graph_codes) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		lim int;
		verdict text;
	BEGIN
		PERFORM index_as(o.opclass, z.options);
		FOREACH lim IN ARRAY ARRAY[1, 10, 100, 1000, NULL] LOOP
			verdict := exact_verdict('s', o.op, queries(24, 2, 30), lim);
			IF verdict <> 'ok' THEN
				RETURN NEXT concat_ws(' ', o.op, z.code, 'limit', lim, verdict);
			END IF;
			-- with no setting: in order as long as one step answers, and never too few rows
			verdict := verdict('s', o.op, queries(24, 4, 30), lim, 0.9, 'true', lim IS NOT NULL);
			IF verdict <> 'ok' THEN
				RETURN NEXT concat_ws(' ', o.op, z.code, 'limit', lim, 'default', verdict);
			END IF;
		END LOOP;
	END
$$;
SELECT all_limits(o, z) FROM graph_opclasses o, graph_codes z WHERE z.nr = 1 OR o.nr = 2;

-- the graph alone, at the breadth that is asked for: more of it finds more, and reads more; LIMIT may be larger
SELECT index_as('vector_l2_ops');
CREATE FUNCTION walked(ef int, lim int) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('hnsw.ef_search', ef::text, true);
		RETURN verdict('s', '<->', queries(24, 20, 30), lim, CASE WHEN ef < 20 THEN 0.8 WHEN ef < 100 THEN 0.95 ELSE 0.99 END);
	END
$$;
SELECT walked(10, 10), walked(40, 10), walked(200, 10), walked(200, 100), walked(10, 100), walked(1, 10);
SET enable_seqscan = off;
SET hnsw.ef_search = 10;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT expanded AS met_10, steps FROM vecpg_last_scan() \gset
SET hnsw.ef_search = 200;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT expanded > :met_10 AS more_is_met, steps FROM vecpg_last_scan();
RESET hnsw.ef_search;

-- LIMIT as a parameter, generic plans, OFFSET, WITH TIES
SET hnsw.ef_search = 100000;
SET vecpg.epsilon = 10;
PREPARE nearest(vector, int8, int8) AS SELECT id FROM s ORDER BY v <-> $1 LIMIT $2 OFFSET $3;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE nearest(NULL, 5, 0);
CREATE TEMP TABLE answers AS SELECT (by_table('s', '<->', made(24, 7), NULL)).ids;
CREATE TEMP TABLE got (id int);
CREATE FUNCTION same_rows(n int, skip int) RETURNS boolean LANGUAGE sql AS $$
	SELECT (SELECT array_agg(v <-> made(24, 7)) FROM s JOIN got USING (id)) IS NOT NULL AND
		(SELECT array_agg(d ORDER BY d) FROM (SELECT v <-> made(24, 7) AS d FROM s JOIN got USING (id)) a) =
		(SELECT array_agg(d ORDER BY d) FROM (SELECT v <-> made(24, 7) AS d FROM s WHERE id IN (SELECT unnest(ids[skip + 1:skip + n]) FROM answers)) b) $$;
INSERT INTO got SELECT unnest(array_agg(id)) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 12) x;
SELECT same_rows(12, 0);
TRUNCATE got;
INSERT INTO got SELECT id FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 12 OFFSET 30) x;
SELECT same_rows(12, 30);
CREATE FUNCTION limited(n int8, skip int8) RETURNS SETOF int LANGUAGE plpgsql AS $$
	BEGIN RETURN QUERY SELECT s.id FROM s ORDER BY v <-> made(24, 7) LIMIT n OFFSET skip; END $$;
TRUNCATE got;
INSERT INTO got SELECT limited(20, 3);
SELECT emitted BETWEEN 23 AND 25 AS as_many_as_asked_for FROM vecpg_last_scan();
SELECT same_rows(20, 3);
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) FETCH FIRST 5 ROWS WITH TIES) x;
RESET plan_cache_mode;

-- cursors, forward and back
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM s ORDER BY v <-> made(24, 7);
FETCH 3 FROM c;
MOVE 100 IN c;
MOVE BACKWARD 100 IN c;
FETCH BACKWARD 2 FROM c;
MOVE ALL IN c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
MOVE ABSOLUTE 1 IN c;
FETCH RELATIVE 2 FROM c;
COMMIT;

-- a rescan for each outer row
EXPLAIN (COSTS OFF) SELECT q, id FROM generate_series(1, 5) q, LATERAL (SELECT id FROM s ORDER BY v <-> made(24, q) LIMIT 3) n;
SELECT bool_and(ids = (by_table('s', '<->', made(24, q), 3)).ids) FROM
	(SELECT q, array_agg(id ORDER BY d) AS ids FROM generate_series(1, 20) q, LATERAL (SELECT id, v <-> made(24, q) AS d FROM s ORDER BY v <-> made(24, q) LIMIT 3) n GROUP BY q) x;
RESET hnsw.ef_search;
RESET vecpg.epsilon;
SELECT count(*), count(DISTINCT (q, id)) FROM (SELECT q, id FROM generate_series(1, 200) q, LATERAL (SELECT id FROM s ORDER BY v <-> made(24, q) LIMIT 3) n) x;

-- queries that are NULL, zero, or of other dimensions
SELECT count(*), count(v), count(DISTINCT id) FROM (SELECT id, v FROM s ORDER BY v <-> (SELECT NULL::vector)) x;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> (SELECT NULL::vector) LIMIT 7) x;
SELECT error_of($$SELECT id FROM s ORDER BY v <-> '[1,2]' LIMIT 1$$);
SELECT error_of($$SELECT id FROM s ORDER BY v <=> '[1,2]' LIMIT 1$$);
SELECT index_as('vector_cosine_ops');
SELECT exact_verdict('s', '<=>', ARRAY[(SELECT array_agg(0) FROM generate_series(1, 24))::vector], NULL);
SELECT count(*), count(v), sum((v IS NULL)::int) FROM (SELECT v FROM s ORDER BY v <=> (SELECT array_agg(0) FROM generate_series(1, 24))::vector LIMIT 3930) x;
SELECT array_agg(DISTINCT v IS NULL), count(*) FROM (SELECT v FROM s ORDER BY v <=> made(24, 7) OFFSET 3920) x;
SELECT count(*), count(nullif(v <=> made(24, 7), 'NaN')) FROM (SELECT v FROM s ORDER BY v <=> made(24, 7) OFFSET 3840 LIMIT 80) x;

-- filters that need many steps: never fewer rows than exist, with and without order among steps
SELECT index_as('vector_l2_ops');
SELECT verdict('s', '<->', queries(24, 3, 30), 10, 0.5, 'kind = 17', false), verdict('s', '<->', queries(24, 3, 30), 100, 0.9, 'kind = 17', false),
	verdict('s', '<->', queries(24, 3, 30), 10, 1, 'id = 1234'), verdict('s', '<->', queries(24, 3, 30), 10, 1, 'id < 0'),
	verdict('s', '<->', queries(24, 3, 30), 10, 1, 'v IS NULL');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7)) x;
SELECT steps > 1 AS more_steps, emitted FROM vecpg_last_scan();

-- settings
SET hnsw.iterative_scan = off;
SELECT count(*) < 10 FROM (SELECT id FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT steps FROM vecpg_last_scan();
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 200) x;
SET hnsw.iterative_scan = strict_order;
SELECT in_order(array_agg(d)), count(*) <= 40 FROM (SELECT v <-> made(24, 7) AS d FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7)) x;
SELECT bool_and(in_order((by_index('s', '<->', made(24, q), NULL)).d)) FROM generate_series(1, 10) q;
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 100;
SELECT count(*) BETWEEN 1 AND 3000 AS some FROM (SELECT id FROM s ORDER BY v <-> made(24, 7)) x;
RESET hnsw.max_scan_tuples;
-- little memory: the rest comes by one pass over the codes
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7)) x;
SELECT verdict('s', '<->', queries(24, 3, 30), 10, 0.95), verdict('s', '<->', queries(24, 3, 30), 500, 0.95);
SET hnsw.scan_mem_multiplier = 10;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7)) x;
RESET hnsw.scan_mem_multiplier;
RESET work_mem;
-- the target recall chooses the breadth, unless that is set
SET vecpg.target_recall = 0.5;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT expanded AS met_50 FROM vecpg_last_scan() \gset
SET vecpg.target_recall = 1;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT expanded >= :met_50 AS no_fewer_for_more_recall FROM vecpg_last_scan();
SET hnsw.ef_search = 10;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT expanded < :met_50 AS the_setting_wins FROM vecpg_last_scan();
RESET hnsw.ef_search;
RESET vecpg.target_recall;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT steps = 1 AS one_step, emitted = 10 AS ten, pages > 0 AND expanded >= 40 AND candidates > expanded AS counted, reranked <= 30 AS few_heap_rows, late = 0 AS in_order
	FROM vecpg_last_scan();

-- rows deleted but not vacuumed are no answers, and hide none
CREATE TABLE gone (id int, v vector(24));
INSERT INTO gone SELECT i, made(24, i, 30, 0.6) FROM generate_series(1, 3000) i;
CREATE FUNCTION dead_rows(o graph_opclasses, z graph_codes) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS gone_v;
		EXECUTE format('CREATE INDEX gone_v ON gone USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
		DELETE FROM gone WHERE id IN (SELECT unnest((by_table('gone', o.op, q, 60)).ids) FROM unnest(queries(24, 3, 30)) q);
		RETURN concat_ws(' ', exact_verdict('gone', o.op, queries(24, 3, 30), 10), verdict('gone', o.op, queries(24, 3, 30), 10, 0.7, 'true', false));
	END
$$;
SELECT o.op, z.code, dead_rows(o, z) FROM graph_opclasses o, graph_codes z WHERE z.nr = 1 ORDER BY o.nr, z.nr;

-- values so large that sums overflow, so small that they vanish, and lengths that differ much
CREATE TABLE w (id int, v vector(3));
INSERT INTO w SELECT i, ARRAY[i % 17, i % 13, i % 7]::vector FROM generate_series(1, 300) i;
INSERT INTO w VALUES (1001, '[1e19,1e19,1]'), (1002, '[1e30,-1e30,1e30]'), (1003, '[3e38,3e38,3e38]'), (1004, '[-3e38,3e38,1]'), (1005, NULL),
	(1006, '[0,0,0]'), (1007, '[1e-23,1e-23,1e-23]'), (1008, '[1e-30,0,0]'), (1009, '[1e20,1,1]'), (1010, '[1e-40,1e-40,0]');
CREATE FUNCTION wild_rows(o graph_opclasses, z graph_codes, OUT bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		q vector;
		lim int;
	BEGIN
		DROP INDEX IF EXISTS w_v;
		EXECUTE format('CREATE INDEX w_v ON w USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
		FOREACH q IN ARRAY ARRAY['[1,2,3]', '[1e19,0,0]', '[3e38,-3e38,0]', '[1e30,1e30,1e30]', '[1e-23,1e-23,1e-23]', '[1e-40,0,0]', '[0,0,0]']::vector[] LOOP
			FOREACH lim IN ARRAY ARRAY[NULL, 5, 305] LOOP
				bad := concat_ws(' ', o.op, z.code, q, 'limit', lim, exact_verdict('w', o.op, ARRAY[q], lim));
				IF bad !~ ' ok$' THEN RETURN NEXT; END IF;
			END LOOP;
		END LOOP;
		bad := concat_ws(' ', o.op, z.code, (SELECT c::text || ' bad' FROM vecpg_check('w_v', true) c LIMIT 1));
		IF bad ~ 'bad' THEN RETURN NEXT; END IF;
	END
$$;
SELECT wild_rows(o, z) FROM graph_opclasses o, graph_codes z;
CREATE TABLE n (id int, v vector(8));
INSERT INTO n SELECT i, (SELECT array_agg(x * 10 ^ (i % 9 - 4)) FROM unnest(made(8, i)::real[]) x)::vector FROM generate_series(1, 2000) i;
CREATE FUNCTION norms(o graph_opclasses, z graph_codes) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS n_v;
		EXECUTE format('CREATE INDEX n_v ON n USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
		RETURN concat_ws(' ', exact_verdict('n', o.op, queries(8, 5), 10), exact_verdict('n', o.op, queries(8, 1), NULL), verdict('n', o.op, queries(8, 5), 10, 0.6));
	END
$$;
SELECT o.op, z.code, norms(o, z) FROM graph_opclasses o, graph_codes z WHERE z.nr = 1 OR o.nr = 2 ORDER BY o.nr, z.nr;

-- without an order the index is of no use, but must be right
CREATE TABLE part (id int, v vector(3));
INSERT INTO part SELECT i, CASE WHEN i % 3 > 0 THEN made(3, i) END FROM generate_series(1, 300) i;
CREATE INDEX ON part USING hnsw (v vector_l2_ops) WHERE id > 100;
SELECT count(*), count(v) FROM part WHERE id > 100;
SELECT plan_has('SELECT count(*) FROM part WHERE id > 100', 'Seq Scan'), plan_has('SELECT v FROM s', 'Seq Scan');
-- the planner takes it of its own accord
RESET enable_seqscan;
ANALYZE s;
SELECT plan_has('SELECT id FROM s ORDER BY v <-> (SELECT v FROM s WHERE id = 7) LIMIT 10', 'Index Scan using s_v');

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
