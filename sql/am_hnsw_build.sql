-- am/hnsw: CREATE INDEX over every operator class, code, width and kind of table

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'hnsw') ORDER BY 1;

-- every combination: a narrow walk gives an answer in order, the broadest one the exact one
CREATE FUNCTION all_builds(dims int, nrows int, codes int[] DEFAULT '{1,2,3}', OUT bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		o graph_opclasses;
		z graph_codes;
		q vector[] := queries(dims, 2, 5);
		lim int;
	BEGIN
		EXECUTE format('CREATE TABLE t (id int, v vector(%s))', dims);
		INSERT INTO t SELECT i, made(dims, i, 5, 1.0) FROM generate_series(1, nrows) i;
		FOR o IN SELECT * FROM graph_opclasses LOOP
			FOR z IN SELECT * FROM graph_codes WHERE nr = ANY (codes) LOOP
				EXECUTE format('CREATE INDEX t_v ON t USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
				FOREACH lim IN ARRAY ARRAY[1, 10, NULL] LOOP
					bad := concat_ws(' ', dims, o.op, z.code, 'limit', lim, exact_verdict('t', o.op, q, lim));
					IF bad !~ ' ok$' THEN RETURN NEXT; END IF;
				END LOOP;
				bad := concat_ws(' ', dims, o.op, z.code, 'default', verdict('t', o.op, q, 10, 0.9));
				IF bad !~ ' ok$' THEN RETURN NEXT; END IF;
				-- directions of one dimension are two: many rows are equal in all but length, and no graph parts them well
				bad := concat_ws(' ', dims, o.op, z.code, 'check', (SELECT c::text || ' bad' FROM vecpg_check('t_v', true) c LIMIT 1), 'ok');
				IF bad ~ 'bad' AND NOT (dims = 1 AND o.op = '<=>') THEN RETURN NEXT; END IF;
				DROP INDEX t_v;
			END LOOP;
		END LOOP;
		DROP TABLE t;
	END
$$;
SELECT all_builds(1, 400);
SELECT all_builds(2, 400);
SELECT all_builds(3, 400);
SELECT all_builds(15, 400);
SELECT all_builds(16, 400);
SELECT all_builds(17, 400);
SELECT all_builds(100, 400);
SELECT all_builds(768, 200);
SELECT all_builds(1536, 150);
SELECT all_builds(1537, 100);
SELECT all_builds(2000, 100);
SELECT all_builds(3072, 80, '{1,3}');
SELECT all_builds(8000, 50, '{1}');
SELECT all_builds(16000, 30, '{1}');

-- few edges and many: a record on a part of a page, and on several
CREATE FUNCTION all_degrees(dims int, nrows int, m int, efc int, OUT bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		o graph_opclasses;
	BEGIN
		EXECUTE format('CREATE TABLE t (id int, v vector(%s))', dims);
		INSERT INTO t SELECT i, made(dims, i, 5, 1.0) FROM generate_series(1, nrows) i;
		FOR o IN SELECT * FROM graph_opclasses LOOP
			EXECUTE format('CREATE INDEX t_v ON t USING hnsw (v %s) WITH (m = %s, ef_construction = %s)', o.opclass, m, efc);
			bad := concat_ws(' ', dims, o.op, m, exact_verdict('t', o.op, queries(dims, 2, 5), 10), exact_verdict('t', o.op, queries(dims, 1, 5), NULL),
				verdict('t', o.op, queries(dims, 4, 5), 10, CASE WHEN m < 4 THEN 0.3 ELSE 0.9 END), (SELECT c::text FROM vecpg_check('t_v', true) c LIMIT 1));
			IF bad !~ ' ok ok ok$' THEN RETURN NEXT; END IF;
			DROP INDEX t_v;
		END LOOP;
		DROP TABLE t;
	END
$$;
SELECT all_degrees(8, 600, 2, 4);
SELECT all_degrees(8, 600, 100, 200);
SELECT all_degrees(768, 150, 2, 4);
SELECT all_degrees(768, 150, 100, 200);
SELECT all_degrees(3072, 40, 100, 200);

-- recall of the walk itself on clustered rows, with no option set
CREATE TABLE c (id int, v vector(64));
INSERT INTO c SELECT i, made(64, i, 40, 0.5) FROM generate_series(1, 5000) i;
CREATE FUNCTION default_recall(o graph_opclasses, z graph_codes) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS c_v;
		EXECUTE format('CREATE INDEX c_v ON c USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
		RETURN verdict('c', o.op, queries(64, 20, 40), 10, 0.95);
	END
$$;
SELECT o.op, z.code, default_recall(o, z) FROM graph_opclasses o, graph_codes z ORDER BY o.nr, z.nr;

-- in little memory, and with any number of threads
CREATE FUNCTION built_with(memory text, threads int) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('maintenance_work_mem', memory, true), set_config('vecpg.build_threads', threads::text, true);
		RETURN default_recall(o, z) FROM graph_opclasses o, graph_codes z WHERE o.nr = 1 AND z.nr = 1;
	END
$$;
SELECT built_with('1MB', 1), built_with('1MB', 2), built_with('2MB', 1), built_with('1GB', 1), built_with('1GB', 4);
SELECT * FROM vecpg_check('c_v', true) LIMIT 5;

-- tables with little in them
CREATE FUNCTION small_table(rows_sql text, OUT bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		o graph_opclasses;
		z graph_codes;
	BEGIN
		CREATE TABLE t (id int, v vector(3));
		EXECUTE 'INSERT INTO t ' || rows_sql;
		FOR o IN SELECT * FROM graph_opclasses LOOP
			FOR z IN SELECT * FROM graph_codes LOOP
				EXECUTE format('CREATE INDEX t_v ON t USING hnsw (v %s) WITH (%s)', o.opclass, z.options);
				bad := concat_ws(' ', o.op, z.code, exact_verdict('t', o.op, '{"[1,2,3]","[0,0,0]","[-7,0,1]"}', 10),
					exact_verdict('t', o.op, '{"[1,2,3]","[0,0,0]","[-7,0,1]"}', NULL));
				IF bad !~ ' ok ok$' THEN RETURN NEXT; END IF;
				-- and rows that come later
				INSERT INTO t SELECT 100000 + i, ARRAY[i, -i, i % 3]::vector FROM generate_series(1, 40) i;
				bad := concat_ws(' ', o.op, z.code, 'inserted', exact_verdict('t', o.op, '{"[1,2,3]","[0,0,0]","[-7,0,1]"}', 10),
					exact_verdict('t', o.op, '{"[1,2,3]","[0,0,0]","[-7,0,1]"}', NULL));
				IF bad !~ ' ok ok$' THEN RETURN NEXT; END IF;
				bad := concat_ws(' ', o.op, z.code, (SELECT c::text || ' bad' FROM vecpg_check('t_v', true) c LIMIT 1));
				IF bad ~ 'bad' THEN RETURN NEXT; END IF;
				DELETE FROM t WHERE id > 100000;
				DROP INDEX t_v;
			END LOOP;
		END LOOP;
		DROP TABLE t;
	END
$$;
SELECT small_table('SELECT 1, NULL::vector WHERE false');
SELECT small_table($$SELECT 1, '[1,2,3]'::vector$$);
SELECT small_table($$SELECT i, ARRAY[i, 0, 0]::vector FROM generate_series(1, 2) i$$);
SELECT small_table('SELECT i, NULL::vector FROM generate_series(1, 2500) i');
SELECT small_table($$SELECT i, '[0,0,0]'::vector FROM generate_series(1, 2500) i$$);
SELECT small_table($$SELECT i, '[1,2,3]'::vector FROM generate_series(1, 1000) i$$);
SELECT small_table($$SELECT i, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '[0,0,0]'::vector ELSE ARRAY[i, i % 7, -i]::vector END FROM generate_series(1, 500) i$$);

-- one vector in very many rows, and a thousand in a hundred each
CREATE TABLE d (id int, v vector(4));
INSERT INTO d SELECT i, '[1,2,3,4]' FROM generate_series(1, 100000) i;
CREATE INDEX d_v ON d USING hnsw (v vector_l2_ops);
SELECT verdict('d', '<->', '{"[1,2,3,4]","[0,0,0,0]"}', 500), exact_verdict('d', '<->', '{"[1,2,3,4]"}', 500);
SELECT * FROM vecpg_check('d_v', true) LIMIT 5;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM d ORDER BY v <-> '[1,1,1,1]') s;
TRUNCATE d;
DROP INDEX d_v;
INSERT INTO d SELECT i, made(4, i % 1000) FROM generate_series(1, 100000) i;
CREATE INDEX d_v ON d USING hnsw (v vector_l2_ops);
SELECT verdict('d', '<->', queries(4, 5), 500, 0.95), verdict('d', '<->', queries(4, 5), 10, 0.95), exact_verdict('d', '<->', queries(4, 2), 500);
SELECT pg_relation_size('d_v') < 100000 * 30 AS equal_rows_share_a_node;
SELECT * FROM vecpg_check('d_v', true) LIMIT 5;
DROP TABLE d;

-- unlogged, temporary, partitioned
CREATE UNLOGGED TABLE u (id int, v vector(8));
INSERT INTO u SELECT i, made(8, i) FROM generate_series(1, 500) i;
CREATE INDEX ON u USING hnsw (v vector_l2_ops);
INSERT INTO u SELECT i, made(8, i) FROM generate_series(501, 1000) i;
SELECT exact_verdict('u', '<->', queries(8, 3), 20), verdict('u', '<->', queries(8, 3), 20, 0.9);
ALTER TABLE u SET LOGGED;
SELECT exact_verdict('u', '<->', queries(8, 3), 20), verdict('u', '<->', queries(8, 3), 20, 0.9);
ALTER TABLE u SET UNLOGGED;
SELECT exact_verdict('u', '<->', queries(8, 3), 20), verdict('u', '<->', queries(8, 3), 20, 0.9);

CREATE TEMP TABLE tmp (id int, v vector(8)) ON COMMIT DELETE ROWS;
CREATE INDEX ON tmp USING hnsw (v vector_l2_ops);
BEGIN;
INSERT INTO tmp SELECT i, made(8, i) FROM generate_series(1, 1000) i;
SELECT exact_verdict('tmp', '<->', queries(8, 3), 20);
COMMIT;
BEGIN;
SELECT exact_verdict('tmp', '<->', queries(8, 3), 20);
INSERT INTO tmp SELECT i, made(8, i) FROM generate_series(2001, 2500) i;
SELECT exact_verdict('tmp', '<->', queries(8, 3), 20);
ROLLBACK;
CREATE TEMP TABLE keep (id int, v vector(8));
INSERT INTO keep SELECT i, made(8, i) FROM generate_series(1, 1000) i;
CREATE INDEX ON keep USING hnsw (v vector_l2_ops);
DELETE FROM keep WHERE id % 2 = 0;
VACUUM keep;
INSERT INTO keep SELECT i, made(8, i) FROM generate_series(1001, 2000) i;
SELECT exact_verdict('keep', '<->', queries(8, 3), 20), verdict('keep', '<->', queries(8, 3), 20, 0.9);

CREATE TABLE p (id int, v vector(8)) PARTITION BY RANGE (id);
CREATE INDEX ON p USING hnsw (v vector_l2_ops);
SELECT format('CREATE TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', i, i * 50, i * 50 + 50) FROM generate_series(0, 19) i \gexec
INSERT INTO p SELECT i, made(8, i) FROM generate_series(0, 999) i;
SELECT exact_verdict('p', '<->', queries(8, 3), 20), exact_verdict('p', '<->', queries(8, 1), NULL), exact_verdict('p', '<->', queries(8, 3), 20, 'id < 60');

-- expression and partial indexes
CREATE TABLE e (id int, v vector, kind int);
INSERT INTO e SELECT i, made(3, i), i % 3 FROM generate_series(1, 900) i;
CREATE INDEX e_v ON e USING hnsw ((v::vector(3)) vector_l2_ops) WITH (bits = 6);
EXPLAIN (COSTS OFF) SELECT id FROM e ORDER BY v::vector(3) <-> '[0.1,0.2,0.3]' LIMIT 5;
SET enable_seqscan = off;
SELECT array_agg(id) = (SELECT ids FROM by_table('e', '<->', '[0.1,0.2,0.3]', 5)) FROM (SELECT id FROM e ORDER BY v::vector(3) <-> '[0.1,0.2,0.3]' LIMIT 5) s;
RESET enable_seqscan;
SELECT error_of($$INSERT INTO e VALUES (1, '[1,2]', 1)$$);
DROP INDEX e_v;
SELECT error_of('CREATE INDEX ON e USING hnsw (v vector_l2_ops)');
SELECT error_of('CREATE INDEX ON e USING hnsw ((v::vector(2)) vector_l2_ops)');
ALTER TABLE e ALTER v TYPE vector(3);
CREATE INDEX e_1 ON e USING hnsw (v vector_l2_ops) WHERE kind = 1;
SELECT exact_verdict('e', '<->', queries(3, 3), 10, 'kind = 1'), exact_verdict('e', '<->', queries(3, 3), NULL, 'kind = 1');
UPDATE e SET kind = 1 WHERE kind = 2;
SELECT exact_verdict('e', '<->', queries(3, 3), NULL, 'kind = 1');

-- while others may write
CREATE INDEX CONCURRENTLY e_c ON e USING hnsw (v vector_ip_ops);
SELECT exact_verdict('e', '<#>', queries(3, 3), 10);
REINDEX INDEX CONCURRENTLY e_c;
SELECT exact_verdict('e', '<#>', queries(3, 3), NULL);
REINDEX TABLE CONCURRENTLY e;
SELECT exact_verdict('e', '<->', queries(3, 3), 10, 'kind = 1'), exact_verdict('e', '<#>', queries(3, 3), 10);
TRUNCATE e;
SELECT exact_verdict('e', '<#>', queries(3, 3), 10);
INSERT INTO e SELECT i, made(3, i), 1 FROM generate_series(1, 500) i;
SELECT exact_verdict('e', '<->', queries(3, 3), 10, 'kind = 1'), exact_verdict('e', '<#>', queries(3, 3), 10);
BEGIN;
CREATE TABLE same (id int, v vector(3));
CREATE INDEX ON same USING hnsw (v vector_l2_ops);
INSERT INTO same SELECT i, made(3, i) FROM generate_series(1, 300) i;
SELECT exact_verdict('same', '<->', queries(3, 2), 10);
TRUNCATE same;
INSERT INTO same SELECT i, made(3, i) FROM generate_series(301, 600) i;
SELECT exact_verdict('same', '<->', queries(3, 2), 10), exact_verdict('same', '<->', queries(3, 2), NULL);
COMMIT;

-- columns that cannot be indexed
CREATE TABLE bad (id int, v vector(3), n int, a real[], t text);
SELECT error_of('CREATE INDEX ON bad USING hnsw (v)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (n)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (a vector_l2_ops)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (t vector_l2_ops)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (v vector_l2_ops, v vector_l2_ops)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (v vector_l2_ops) INCLUDE (n)');
SELECT error_of('CREATE UNIQUE INDEX ON bad USING hnsw (v vector_l2_ops)');
SELECT error_of('CREATE INDEX ON bad USING hnsw (v vector_l2_ops DESC)');
SELECT split_part(error_of('ALTER TABLE bad ADD EXCLUDE USING hnsw (v vector_l2_ops WITH =)'), ' ', 1);
CREATE INDEX bad_v ON bad USING hnsw (v vector_l2_ops);
SELECT error_of('CLUSTER bad USING bad_v');

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
