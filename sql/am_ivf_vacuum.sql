-- am/ivf: VACUUM: what was deleted is gone, what is left is found, space is used again

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

-- delete everything and fill again, five times: the index keeps its size
CREATE FUNCTION fill(n int, round int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO v SELECT i + round * 100000, made(32, i + round * 100000, 20, 0.6) FROM generate_series(1, n) i $$;
CREATE PROCEDURE built(opclass text, options text) LANGUAGE plpgsql AS $$
	BEGIN
		TRUNCATE v;
		DROP INDEX IF EXISTS v_v;
		PERFORM fill(3000, 0);
		EXECUTE format('CREATE INDEX v_v ON v USING ivf (v %s) WITH (%s)', opclass, options);
	END
$$;

CALL built('vector_l2_ops', 'bits = 8');
SELECT pg_relation_size('v_v') AS built \gset
DELETE FROM v;
VACUUM v;
SELECT * FROM vecpg_check('v_v', true);
SELECT exact_verdict('v', '<->', queries(32, 2, 20), 10);
SELECT fill(3000, 1);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 2);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 9);
SELECT pg_relation_size('v_v') AS filled \gset
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 3);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 4);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 5);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable, pg_relation_size('v_v') <= 3 * :built AS not_much_more_than_built;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

-- a half at a time
DELETE FROM v WHERE id / 20 % 2 = 0;
VACUUM v;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT fill(1500, 6);
DELETE FROM v WHERE id / 100000 = 5;
VACUUM v;
SELECT fill(1500, 7);
DELETE FROM v WHERE id / 100000 = 6;
VACUUM v;
SELECT fill(1500, 8);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

CALL built('vector_l2_ops', 'bits = 1');
SELECT pg_relation_size('v_v') AS built \gset
DELETE FROM v;
VACUUM v;
SELECT * FROM vecpg_check('v_v', true);
SELECT exact_verdict('v', '<->', queries(32, 2, 20), 10);
SELECT fill(3000, 1);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 2);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 9);
SELECT pg_relation_size('v_v') AS filled \gset
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 3);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 4);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 5);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable, pg_relation_size('v_v') <= 3 * :built AS not_much_more_than_built;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

-- a half at a time
DELETE FROM v WHERE id / 20 % 2 = 0;
VACUUM v;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT fill(1500, 6);
DELETE FROM v WHERE id / 100000 = 5;
VACUUM v;
SELECT fill(1500, 7);
DELETE FROM v WHERE id / 100000 = 6;
VACUUM v;
SELECT fill(1500, 8);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

CALL built('vector_l2_ops', 'quantizer = flat');
SELECT pg_relation_size('v_v') AS built \gset
DELETE FROM v;
VACUUM v;
SELECT * FROM vecpg_check('v_v', true);
SELECT exact_verdict('v', '<->', queries(32, 2, 20), 10);
SELECT fill(3000, 1);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 2);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 9);
SELECT pg_relation_size('v_v') AS filled \gset
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 3);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 4);
DELETE FROM v;
VACUUM v;
SELECT fill(3000, 5);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable, pg_relation_size('v_v') <= 3 * :built AS not_much_more_than_built;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

-- a half at a time
DELETE FROM v WHERE id / 20 % 2 = 0;
VACUUM v;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT fill(1500, 6);
DELETE FROM v WHERE id / 100000 = 5;
VACUUM v;
SELECT fill(1500, 7);
DELETE FROM v WHERE id / 100000 = 6;
VACUUM v;
SELECT fill(1500, 8);
SELECT pg_relation_size('v_v') <= 1.2 * :filled AS stable;
SELECT exact_verdict('v', '<->', queries(32, 3, 20), 10), exact_verdict('v', '<->', queries(32, 1, 20), NULL), verdict('v', '<->', queries(32, 20, 20), 10, 0.9);
SELECT * FROM vecpg_check('v_v', true);

-- rows without a code
TRUNCATE v;
INSERT INTO v SELECT i, NULL FROM generate_series(1, 5000) i;
INSERT INTO v SELECT i, (SELECT array_agg(3e37) FROM generate_series(1, 32))::vector FROM generate_series(5001, 5100) i;
DELETE FROM v WHERE id % 10 > 0;
VACUUM v;
SELECT * FROM vecpg_check('v_v', true);
SELECT exact_verdict('v', '<->', queries(32, 1, 20), NULL);
INSERT INTO v SELECT i, NULL FROM generate_series(6001, 9000) i;
SELECT exact_verdict('v', '<->', queries(32, 1, 20), NULL);
DELETE FROM v;
VACUUM v;
SELECT exact_verdict('v', '<->', queries(32, 1, 20), NULL);
SELECT * FROM vecpg_check('v_v', true);

-- splits leave room behind, though nothing was ever deleted
CREATE TABLE only_inserts (id int, v vector(32));
CREATE INDEX only_inserts_v ON only_inserts USING ivf (v vector_l2_ops);
SET client_min_messages = error;
DO $$ BEGIN FOR i IN 1..3000 LOOP INSERT INTO only_inserts VALUES (i, made(32, i, 20, 0.6)); END LOOP; END $$;
VACUUM only_inserts;
VACUUM only_inserts;
SELECT (details->>'splits')::int > 20 AS splits FROM vecpg_index_info('only_inserts_v');
SELECT pg_relation_size('only_inserts_v') AS grown \gset
SELECT * FROM vecpg_check('only_inserts_v', true);
SELECT exact_verdict('only_inserts', '<->', queries(32, 3, 20), 10);
REINDEX INDEX only_inserts_v;
SELECT :grown <= 3 * pg_relation_size('only_inserts_v') AS not_much_larger_than_rebuilt;

-- a table vacuumed in several passes, in parallel, and with the index left out
DELETE FROM only_inserts WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP off) only_inserts;
SELECT exact_verdict('only_inserts', '<->', queries(32, 3, 20), 10);
CREATE INDEX ON only_inserts USING ivf (v vector_cosine_ops) WITH (bits = 4);
CREATE INDEX ON only_inserts (id);
SET min_parallel_index_scan_size = 0;
DELETE FROM only_inserts WHERE id % 3 = 1;
VACUUM (PARALLEL 2) only_inserts;
SELECT exact_verdict('only_inserts', '<->', queries(32, 3, 20), 10), exact_verdict('only_inserts', '<=>', queries(32, 3, 20), 10);
SELECT count(*) FROM vecpg_check('only_inserts_v', true);
VACUUM FULL only_inserts;
SELECT exact_verdict('only_inserts', '<->', queries(32, 3, 20), 10), exact_verdict('only_inserts', '<=>', queries(32, 3, 20), 10);
ANALYZE only_inserts;
SELECT reltuples = 1000 FROM pg_class WHERE relname = 'only_inserts_v';

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
