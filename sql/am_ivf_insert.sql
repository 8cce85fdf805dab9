-- am/ivf: inserts, splits, updates, deletes, vacuum; what grows comes back

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

-- an index built empty grows by inserts, list by list
CREATE TABLE g (id int, v vector(8));
CREATE FUNCTION grown(o opclasses, z quantizers) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		lists bigint;
		bad bigint;
	BEGIN
		TRUNCATE g;
		DROP INDEX IF EXISTS g_v;
		EXECUTE format('CREATE INDEX g_v ON g USING ivf (v %s) WITH (%s)', o.opclass, z.options);
		INSERT INTO g SELECT i, made(8, i) FROM generate_series(1, 3000) i;
		SELECT i.details->'lists' INTO lists FROM vecpg_index_info('g_v') i;
		SELECT count(*) INTO bad FROM vecpg_check('g_v', true);
		RETURN concat_ws(' ', CASE WHEN lists BETWEEN 24 AND 100 THEN 'split' ELSE lists || ' lists' END, bad, 'problems',
			exact_verdict('g', o.op, queries(8, 3), 10), exact_verdict('g', o.op, queries(8, 1), NULL), verdict('g', o.op, queries(8, 20), 10, 0.9));
	END
$$;
SELECT o.op, z.quantizer, grown(o, z) FROM opclasses o, quantizers z ORDER BY o.nr, z.nr;

-- wide rows: a code longer than a page, a directory page for a single entry
CREATE TABLE wide (id int, v vector(9000));
CREATE INDEX wide_v ON wide USING ivf (v vector_l2_ops);
CREATE INDEX wide_f ON wide USING ivf (v vector_ip_ops) WITH (quantizer = flat);
INSERT INTO wide SELECT i, made(9000, i, 7) FROM generate_series(1, 300) i;
DELETE FROM wide WHERE id % 3 = 0;
VACUUM wide;
INSERT INTO wide SELECT i, made(9000, i, 7) FROM generate_series(301, 400) i;
SELECT exact_verdict('wide', '<->', queries(9000, 1, 7), 5), exact_verdict('wide', '<#>', queries(9000, 1, 7), 5), exact_verdict('wide', '<->', queries(9000, 1, 7), NULL);
SELECT * FROM vecpg_check('wide_v', true);
SELECT * FROM vecpg_check('wide_f', true);
SELECT (details->>'splits')::int > 0 FROM vecpg_index_info('wide_v');
CREATE TABLE widest (id int, v vector(16000));
CREATE INDEX widest_v ON widest USING ivf (v vector_cosine_ops) WITH (bits = 4);
INSERT INTO widest SELECT i, made(16000, i, 3) FROM generate_series(1, 200) i;
SELECT exact_verdict('widest', '<=>', queries(16000, 1, 3), 5);
SELECT * FROM vecpg_check('widest_v', true);
SELECT (details->>'splits')::int > 0 FROM vecpg_index_info('widest_v');
DROP TABLE wide, widest;

-- equal rows cannot be told apart: the list just gets long
CREATE TABLE d (id int, v vector(3));
CREATE INDEX d_v ON d USING ivf (v vector_l2_ops);
INSERT INTO d SELECT i, '[1,2,3]' FROM generate_series(1, 10000) i;
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 10), exact_verdict('d', '<->', '{"[1,2,3]"}', NULL);
INSERT INTO d SELECT i, made(3, i) FROM generate_series(10001, 12000) i;
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 10), verdict('d', '<->', queries(3, 10), 10, 0.9);
SELECT * FROM vecpg_check('d_v', true);
DELETE FROM d WHERE id % 100 > 0;
VACUUM d;
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 150);
SELECT * FROM vecpg_check('d_v', true);

-- updates, also from and to NULL and zero
CREATE TABLE u (id int PRIMARY KEY, v vector(8), note text);
CREATE INDEX u_v ON u USING ivf (v vector_cosine_ops);
INSERT INTO u SELECT i, made(8, i) FROM generate_series(1, 1000) i;
UPDATE u SET v = made(8, id + 5000) WHERE id % 3 = 0;
UPDATE u SET note = 'same vector' WHERE id % 5 = 0;
UPDATE u SET v = NULL WHERE id % 7 = 0;
UPDATE u SET v = '[0,0,0,0,0,0,0,0]' WHERE id % 11 = 0;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
UPDATE u SET v = made(8, id) WHERE id % 7 = 0 OR id % 11 = 0;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
SELECT * FROM vecpg_check('u_v', true);
VACUUM u;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
SELECT * FROM vecpg_check('u_v', true);
BEGIN;
DELETE FROM u;
INSERT INTO u SELECT i, made(8, i) FROM generate_series(2001, 3000) i;
SELECT exact_verdict('u', '<=>', queries(8, 2), 20);
ROLLBACK;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
VACUUM u;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
SELECT * FROM vecpg_check('u_v', true);

-- rows that do not fit
CREATE TABLE f (id int, v vector);
CREATE INDEX f_v ON f USING ivf ((v::vector(4)) vector_l2_ops);
SELECT error_of($$INSERT INTO f VALUES (1, '[1,2,3]')$$);
INSERT INTO f VALUES (1, '[1,2,3,4]');
SELECT count(*) FROM f;

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
