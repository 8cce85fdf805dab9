-- am/ivf: scans: LIMIT, order, filters, settings, and rows with odd values

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
CREATE FUNCTION index_as(o opclasses, z quantizers) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS s_v;
		EXECUTE format('CREATE INDEX s_v ON s USING ivf (v %s) WITH (%s)', o.opclass, z.options);
	END
$$;

-- the exact answer with every list read: LIMITs, OFFSET, none; NULL and zero vectors come last
CREATE FUNCTION all_limits(o opclasses, z quantizers) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		lim int;
		verdict text;
	BEGIN
		PERFORM index_as(o, z);
		FOREACH lim IN ARRAY ARRAY[1, 10, 100, 1000, NULL] LOOP
			verdict := exact_verdict('s', o.op, queries(24, 2, 30), lim);
			IF verdict <> 'ok' THEN
				RETURN NEXT concat_ws(' ', o.op, z.quantizer, 'limit', lim, verdict);
			END IF;
			-- with no setting: in order as long as one step answers, and never too few rows
			verdict := verdict('s', o.op, queries(24, 4, 30), lim, 0.8, 'true', lim IS NOT NULL);
			IF verdict <> 'ok' THEN
				RETURN NEXT concat_ws(' ', o.op, z.quantizer, 'limit', lim, 'default', verdict);
			END IF;
		END LOOP;
	END
$$;
SELECT all_limits(o, z) FROM opclasses o, quantizers z;

-- LIMIT as a parameter, generic plans, OFFSET, WITH TIES
SELECT index_as(o, z) FROM opclasses o, quantizers z WHERE o.nr = 1 AND z.nr = 1;
SET enable_seqscan = off;
SET ivf.probes = 1000000;
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
SELECT count(*) FROM s;
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

-- queries that are NULL, zero, or of other dimensions
SELECT count(*), count(v), count(DISTINCT id) FROM (SELECT id, v FROM s ORDER BY v <-> (SELECT NULL::vector)) x;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> (SELECT NULL::vector) LIMIT 7) x;
SELECT error_of($$SELECT id FROM s ORDER BY v <-> '[1,2]' LIMIT 1$$);
SELECT error_of($$SELECT id FROM s ORDER BY v <=> '[1,2]' LIMIT 1$$);
SELECT index_as(o, z) FROM opclasses o, quantizers z WHERE o.nr = 3 AND z.nr = 1;
SELECT exact_verdict('s', '<=>', ARRAY[(SELECT array_agg(0) FROM generate_series(1, 24))::vector], NULL);
SELECT count(*), count(v), sum((v IS NULL)::int) FROM (SELECT v FROM s ORDER BY v <=> (SELECT array_agg(0) FROM generate_series(1, 24))::vector LIMIT 3930) x;
SELECT array_agg(DISTINCT v IS NULL), count(*) FROM (SELECT v FROM s ORDER BY v <=> made(24, 7) OFFSET 3920) x;
SELECT count(*), count(nullif(v <=> made(24, 7), 'NaN')) FROM (SELECT v FROM s ORDER BY v <=> made(24, 7) OFFSET 3840 LIMIT 80) x;
RESET ivf.probes;
RESET vecpg.epsilon;

-- filters that need many steps: never fewer rows than exist
SELECT index_as(o, z) FROM opclasses o, quantizers z WHERE o.nr = 1 AND z.nr = 1;
SELECT op, quantizer, verdict('s', '<->', queries(24, 3, 30), 10, 0.3, 'kind = 17', false), verdict('s', '<->', queries(24, 3, 30), 100, 0.9, 'kind = 17', false),
	verdict('s', '<->', queries(24, 3, 30), 10, 1, 'id = 1234'), verdict('s', '<->', queries(24, 3, 30), 10, 1, 'id < 0'),
	verdict('s', '<->', queries(24, 3, 30), 10, 1, 'v IS NULL')
	FROM opclasses o, quantizers z WHERE o.nr = 1 AND z.nr = 1;
SELECT count(*) FROM (SELECT id FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7)) x;
SELECT steps > 1 AS more_steps, emitted FROM vecpg_last_scan();

-- settings
SET ivf.iterative_scan = off;
SELECT count(*) < 10 FROM (SELECT id FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT steps FROM vecpg_last_scan();
SET ivf.iterative_scan = strict_order;
SELECT in_order(array_agg(d)), count(*) <= 40 FROM (SELECT v <-> made(24, 7) AS d FROM s WHERE kind = 17 ORDER BY v <-> made(24, 7)) x;
SET ivf.iterative_scan = relaxed_order;
SET ivf.probes = 3;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT lists, steps FROM vecpg_last_scan();
SET ivf.max_probes = 5;
SELECT count(*) < 4000 FROM (SELECT id FROM s ORDER BY v <-> made(24, 7)) x;
SELECT lists FROM vecpg_last_scan();
SET ivf.probes = 100;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 1) x;
SELECT lists FROM vecpg_last_scan();
RESET ivf.probes;
RESET ivf.max_probes;
SET vecpg.target_recall = 0.5;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT lists AS lists_50 FROM vecpg_last_scan() \gset
SET vecpg.target_recall = 1;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT lists > :lists_50 AS more_lists_for_more_recall FROM vecpg_last_scan();
RESET vecpg.target_recall;
SELECT count(*) FROM (SELECT id FROM s ORDER BY v <-> made(24, 7) LIMIT 10) x;
SELECT steps = 1 AS one_step, emitted = 10 AS ten, lists > 0 AND pages >= lists AND candidates >= refined AND refined >= 10 AS counted, reranked <= 50 AS few_heap_rows, late = 0 AS in_order
	FROM vecpg_last_scan();
SET ivf.probes = 0;
SELECT error_of('SET ivf.probes = -1'), error_of('SET ivf.iterative_scan = maybe'), error_of('SET vecpg.target_recall = 1.1'), error_of('SET vecpg.epsilon = -1');

-- rows deleted but not vacuumed are no answers, and hide none
CREATE TABLE gone (id int, v vector(24));
INSERT INTO gone SELECT i, made(24, i, 30, 0.6) FROM generate_series(1, 3000) i;
CREATE FUNCTION dead_rows(o opclasses, z quantizers) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS gone_v;
		EXECUTE format('CREATE INDEX gone_v ON gone USING ivf (v %s) WITH (%s)', o.opclass, z.options);
		DELETE FROM gone WHERE id IN (SELECT unnest((by_table('gone', o.op, q, 60)).ids) FROM unnest(queries(24, 3, 30)) q);
		RETURN concat_ws(' ', exact_verdict('gone', o.op, queries(24, 3, 30), 10), verdict('gone', o.op, queries(24, 3, 30), 10, 0.7, 'true', false));
	END
$$;
SELECT o.op, z.quantizer, dead_rows(o, z) FROM opclasses o, quantizers z ORDER BY o.nr, z.nr;

-- values so large that sums overflow, so small that they vanish, and lengths that differ much
CREATE TABLE w (id int, v vector(3));
INSERT INTO w SELECT i, ARRAY[i % 17, i % 13, i % 7]::vector FROM generate_series(1, 300) i;
INSERT INTO w VALUES (1001, '[1e19,1e19,1]'), (1002, '[1e30,-1e30,1e30]'), (1003, '[3e38,3e38,3e38]'), (1004, '[-3e38,3e38,1]'), (1005, NULL),
	(1006, '[0,0,0]'), (1007, '[1e-23,1e-23,1e-23]'), (1008, '[1e-30,0,0]'), (1009, '[1e20,1,1]'), (1010, '[1e-40,1e-40,0]');
CREATE FUNCTION wild_rows(o opclasses, z quantizers, OUT bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		q vector;
		lim int;
	BEGIN
		DROP INDEX IF EXISTS w_v;
		EXECUTE format('CREATE INDEX w_v ON w USING ivf (v %s) WITH (%s)', o.opclass, z.options);
		FOREACH q IN ARRAY ARRAY['[1,2,3]', '[1e19,0,0]', '[3e38,-3e38,0]', '[1e30,1e30,1e30]', '[1e-23,1e-23,1e-23]', '[1e-40,0,0]', '[0,0,0]']::vector[] LOOP
			FOREACH lim IN ARRAY ARRAY[NULL, 5, 305] LOOP
				bad := concat_ws(' ', o.op, z.quantizer, q, 'limit', lim, exact_verdict('w', o.op, ARRAY[q], lim));
				IF bad !~ ' ok$' THEN RETURN NEXT; END IF;
			END LOOP;
		END LOOP;
	END
$$;
SELECT wild_rows(o, z) FROM opclasses o, quantizers z;
CREATE TABLE n (id int, v vector(8));
INSERT INTO n SELECT i, (SELECT array_agg(x * 10 ^ (i % 9 - 4)) FROM unnest(made(8, i)::real[]) x)::vector FROM generate_series(1, 2000) i;
CREATE FUNCTION norms(o opclasses, z quantizers) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS n_v;
		EXECUTE format('CREATE INDEX n_v ON n USING ivf (v %s) WITH (%s)', o.opclass, z.options);
		RETURN concat_ws(' ', exact_verdict('n', o.op, queries(8, 5), 10), exact_verdict('n', o.op, queries(8, 1), NULL), verdict('n', o.op, queries(8, 5), 10, 0.6));
	END
$$;
SELECT o.op, z.quantizer, norms(o, z) FROM opclasses o, quantizers z ORDER BY o.nr, z.nr;

-- without an order the index is of no use, but must be right
CREATE TABLE part (id int, v vector(3));
INSERT INTO part SELECT i, CASE WHEN i % 3 > 0 THEN made(3, i) END FROM generate_series(1, 300) i;
CREATE INDEX ON part USING ivf (v vector_l2_ops) WHERE id > 100;
SELECT count(*), count(v) FROM part WHERE id > 100;
SELECT plan_has('SELECT count(*) FROM part WHERE id > 100', 'Seq Scan'), plan_has('SELECT v FROM s', 'Seq Scan');

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
