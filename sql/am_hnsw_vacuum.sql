-- am/hnsw: VACUUM: what was deleted is gone, what is left is found, space is used again

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE v (id int, v vector(32));
ALTER TABLE v SET (autovacuum_enabled = off);
CREATE FUNCTION fill(n int, round int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO v SELECT i + round * 100000, made(32, i + round * 100000, 20, 0.6) FROM generate_series(1, n) i $$;
CREATE FUNCTION found(op text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN concat_ws(' ', (SELECT count(*) FROM vecpg_check('v_v', true)), 'problems', exact_verdict('v', op, queries(32, 2, 20), 10),
			exact_verdict('v', op, queries(32, 1, 20), NULL), verdict('v', op, queries(32, 20, 20), 10, 0.95));
	END
$$;
-- what VACUUM has freed is used by transactions that begin after the next one
CREATE TABLE next_one (x int);

-- delete everything and fill again: the index keeps its size
SELECT fill(2000, 0);
CREATE INDEX v_v ON v USING hnsw (v vector_l2_ops);
SELECT pg_relation_size('v_v') AS built \gset
DELETE FROM v;
SELECT found('<->');
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
SELECT fill(2000, 1);
SELECT found('<->');
DELETE FROM v;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT fill(2000, 2);
DELETE FROM v;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT fill(2000, 3);
SELECT pg_relation_size('v_v') <= 1.1 * :built AS stable;
SELECT found('<->');

-- a part at a time
DELETE FROM v WHERE id % 2 = 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
DELETE FROM v WHERE id / 20 % 2 = 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
SELECT fill(1000, 4);
SELECT found('<->');
DELETE FROM v WHERE id / 100000 = 3;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
SELECT fill(1000, 5);
DELETE FROM v WHERE id / 20 % 10 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
SELECT fill(1800, 6);
SELECT pg_relation_size('v_v') <= 1.1 * :built AS stable;
SELECT found('<->');

-- every operator class: half of the rows in pieces, and all but a few
CREATE FUNCTION halved(o graph_opclasses, options text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		TRUNCATE v;
		DROP INDEX v_v;
		PERFORM fill(1000, 0);
		EXECUTE format('CREATE INDEX v_v ON v USING hnsw (v %s) WITH (%s)', o.opclass, options);
		PERFORM fill(500, 1);
		DELETE FROM v WHERE id / 7 % 2 = 0;
	END
$$;
SELECT halved(o, 'm = 8') FROM graph_opclasses o WHERE nr = 1;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
DELETE FROM v WHERE id / 20 % 25 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<->');
SELECT halved(o, 'm = 8') FROM graph_opclasses o WHERE nr = 2;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<#>');
DELETE FROM v WHERE id / 20 % 25 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<#>');
SELECT halved(o, 'm = 8, bits = 6') FROM graph_opclasses o WHERE nr = 3;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<=>');
DELETE FROM v WHERE id / 20 % 25 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<=>');
SELECT halved(o, 'm = 8') FROM graph_opclasses o WHERE nr = 4;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<+>');
DELETE FROM v WHERE id / 20 % 25 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT found('<+>');

-- records of several pages
CREATE TABLE wide (id int, v vector(3072));
INSERT INTO wide SELECT i, made(3072, i, 7) FROM generate_series(1, 60) i;
CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops) WITH (m = 4);
INSERT INTO wide SELECT i, made(3072, i, 7) FROM generate_series(61, 100) i;
SELECT pg_relation_size('wide_v') AS wide \gset
DELETE FROM wide WHERE id % 3 > 0;
VACUUM wide;
INSERT INTO next_one VALUES (1);
SELECT * FROM vecpg_check('wide_v', true);
SELECT exact_verdict('wide', '<->', queries(3072, 1, 7), NULL), verdict('wide', '<->', queries(3072, 5, 7), 5, 0.95);
INSERT INTO wide SELECT i, made(3072, i, 7) FROM generate_series(101, 160) i;
SELECT * FROM vecpg_check('wide_v', true);
SELECT exact_verdict('wide', '<->', queries(3072, 1, 7), NULL), verdict('wide', '<->', queries(3072, 5, 7), 5, 0.95);
SELECT pg_relation_size('wide_v') <= 1.1 * :wide AS stable;

-- rows of equal vectors
CREATE TABLE d (id int, v vector(3));
CREATE INDEX d_v ON d USING hnsw (v vector_l2_ops);
INSERT INTO d SELECT i, '[1,2,3]' FROM generate_series(1, 5000) i;
INSERT INTO d SELECT i, made(3, i % 200) FROM generate_series(5001, 9000) i;
SELECT pg_relation_size('d_v') AS equal \gset
DELETE FROM d WHERE id % 10 > 0;
VACUUM d;
INSERT INTO next_one VALUES (1);
SELECT * FROM vecpg_check('d_v', true);
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 20), exact_verdict('d', '<->', '{"[1,2,3]"}', NULL);
INSERT INTO d SELECT i, '[1,2,3]' FROM generate_series(10001, 14500) i;
INSERT INTO d SELECT i, made(3, i % 200) FROM generate_series(15001, 18600) i;
SELECT pg_relation_size('d_v') <= 1.1 * :equal AS stable;
SELECT * FROM vecpg_check('d_v', true);
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 20), exact_verdict('d', '<->', '{"[1,2,3]"}', NULL);
DELETE FROM d WHERE v = '[1,2,3]';
VACUUM d;
INSERT INTO next_one VALUES (1);
SELECT * FROM vecpg_check('d_v', true);
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 20), exact_verdict('d', '<->', '{"[1,2,3]"}', NULL);
DELETE FROM d;
VACUUM d;
INSERT INTO next_one VALUES (1);
SELECT * FROM vecpg_check('d_v', true);
INSERT INTO d SELECT i, made(3, i) FROM generate_series(1, 500) i;
SELECT exact_verdict('d', '<->', queries(3, 2), 20), verdict('d', '<->', queries(3, 10), 10, 0.95);
SELECT * FROM vecpg_check('d_v', true);

-- rows without a code
TRUNCATE v;
INSERT INTO v SELECT i, NULL FROM generate_series(1, 3000) i;
INSERT INTO v SELECT i, (SELECT array_agg(3e37) FROM generate_series(1, 32))::vector FROM generate_series(5001, 5100) i;
DELETE FROM v WHERE id % 10 > 0;
VACUUM v;
INSERT INTO next_one VALUES (1);
SELECT * FROM vecpg_check('v_v', true);
SELECT exact_verdict('v', '<+>', queries(32, 1, 20), NULL);
INSERT INTO v SELECT i, NULL FROM generate_series(6001, 7000) i;
DELETE FROM v;
VACUUM v;
SELECT exact_verdict('v', '<+>', queries(32, 1, 20), NULL);
SELECT * FROM vecpg_check('v_v', true);

-- a table vacuumed in parallel, with the index left out, and rewritten
TRUNCATE v;
SELECT fill(1000, 0);
CREATE INDEX v_c ON v USING hnsw (v vector_cosine_ops);
CREATE INDEX v_id ON v (id);
DELETE FROM v WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP off) v;
SELECT found('<+>');
SET min_parallel_index_scan_size = 0;
DELETE FROM v WHERE id % 3 = 1;
VACUUM (PARALLEL 2) v;
SELECT found('<+>'), exact_verdict('v', '<=>', queries(32, 3, 20), 10);
SELECT * FROM vecpg_check('v_c', true);
VACUUM FULL v;
SELECT found('<+>'), exact_verdict('v', '<=>', queries(32, 3, 20), 10);
ANALYZE v;
SELECT reltuples = 333 FROM pg_class WHERE relname = 'v_v';

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
