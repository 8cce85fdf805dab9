-- am/hnsw: inserts, equal vectors, updates, wide rows; a graph grown row by row finds what a built one does

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

-- an index built empty grows by inserts, and one built on rows goes on growing
CREATE TABLE g (id int, v vector(3));
CREATE FUNCTION grown(dims int, built int, n int, o graph_opclasses, options text DEFAULT 'm = 16') RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		bad bigint;
	BEGIN
		DROP TABLE g;
		EXECUTE format('CREATE TABLE g (id int, v vector(%s))', dims);
		INSERT INTO g SELECT i, made(dims, i, 30, 0.5) FROM generate_series(1, built) i;
		EXECUTE format('CREATE INDEX g_v ON g USING hnsw (v %s) WITH (%s)', o.opclass, options);
		INSERT INTO g SELECT i, made(dims, i, 30, 0.5) FROM generate_series(built + 1, n) i;
		SELECT count(*) INTO bad FROM vecpg_check('g_v', true);
		RETURN concat_ws(' ', bad, 'problems', exact_verdict('g', o.op, queries(dims, 2, 30), 10),
			verdict('g', o.op, queries(dims, 10, 30), 10, 0.95), exact_verdict('g', o.op, queries(dims, 1, 30), NULL));
	END
$$;
SELECT o.op, b.built, grown(3, b.built, 1000, o) FROM graph_opclasses o, (VALUES (0), (1), (700)) b(built) ORDER BY o.nr, b.built;
SELECT o.op, b.built, grown(128, b.built, 400, o) FROM graph_opclasses o, (VALUES (0), (300)) b(built) ORDER BY o.nr, b.built;
-- records of one page, of two, of several
SELECT o.op, grown(1600, 0, 60, o) FROM graph_opclasses o ORDER BY o.nr;
SELECT o.op, grown(3072, 20, 60, o) FROM graph_opclasses o ORDER BY o.nr;
SELECT o.op, grown(900, 20, 150, o, 'm = 48, ef_construction = 100') FROM graph_opclasses o ORDER BY o.nr;
-- few edges, so that most of a record's neighbours do not link back
SELECT o.op, o.nr, grown(16, 0, 1000, o, 'm = 4, ef_construction = 40') FROM graph_opclasses o ORDER BY o.nr;

-- equal vectors share a record, and their rows a chain of chunks
CREATE TABLE d (id int, v vector(3));
CREATE INDEX d_v ON d USING hnsw (v vector_l2_ops);
INSERT INTO d SELECT i, '[1,2,3]' FROM generate_series(1, 10000) i;
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 10), exact_verdict('d', '<->', '{"[1,2,3]"}', NULL);
SELECT pg_relation_size('d_v') < 30 * 8192 AS small;
INSERT INTO d SELECT i, made(3, i) FROM generate_series(10001, 11000) i;
SELECT exact_verdict('d', '<->', '{"[1,2,3]","[0,0,0]"}', 10), verdict('d', '<->', queries(3, 10), 10, 0.95);
SELECT * FROM vecpg_check('d_v', true);
TRUNCATE d;
INSERT INTO d SELECT i, made(3, i % 1000) FROM generate_series(1, 10000) i;
CREATE INDEX d_c ON d USING hnsw (v vector_cosine_ops);
INSERT INTO d SELECT i, made(3, i % 1000) FROM generate_series(10001, 20000) i;
SELECT exact_verdict('d', '<->', queries(3, 2), 50), verdict('d', '<->', queries(3, 10), 50, 0.95);
SELECT exact_verdict('d', '<=>', queries(3, 2), 50), verdict('d', '<=>', queries(3, 10), 50, 0.95);
SELECT * FROM vecpg_check('d_v', true);
SELECT * FROM vecpg_check('d_c', true);
SELECT pg_relation_size('d_v') AS with_equal \gset
TRUNCATE d;
INSERT INTO d SELECT i, made(3, i) FROM generate_series(1, 1000) i;
SELECT :with_equal < 3 * pg_relation_size('d_v') AS shared;

-- updates, also from and to NULL and zero
CREATE TABLE u (id int PRIMARY KEY, v vector(8), note text);
CREATE INDEX u_v ON u USING hnsw (v vector_cosine_ops);
INSERT INTO u SELECT i, made(8, i) FROM generate_series(1, 1000) i;
SELECT pg_relation_size('u_v') AS before \gset
UPDATE u SET note = 'same vector';
UPDATE u SET note = 'again' WHERE id % 3 = 0;
SELECT pg_relation_size('u_v') < 1.5 * :before AS same_records;
UPDATE u SET v = made(8, id + 5000) WHERE id % 3 = 0;
UPDATE u SET v = NULL WHERE id % 7 = 0;
UPDATE u SET v = '[0,0,0,0,0,0,0,0]' WHERE id % 11 = 0;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
UPDATE u SET v = made(8, id) WHERE id % 7 = 0 OR id % 11 = 0;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), verdict('u', '<=>', queries(8, 10), 10, 0.95);
SELECT * FROM vecpg_check('u_v', true);
VACUUM u;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), exact_verdict('u', '<=>', queries(8, 2), NULL);
SELECT * FROM vecpg_check('u_v', true);
BEGIN;
DELETE FROM u;
INSERT INTO u SELECT i, made(8, i) FROM generate_series(2001, 3000) i;
SELECT exact_verdict('u', '<=>', queries(8, 2), 20);
ROLLBACK;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), verdict('u', '<=>', queries(8, 10), 10, 0.95);
VACUUM u;
SELECT exact_verdict('u', '<=>', queries(8, 5), 20), verdict('u', '<=>', queries(8, 10), 10, 0.95);
SELECT * FROM vecpg_check('u_v', true);

-- rows that do not fit, and rows without code
CREATE TABLE f (id int, v vector);
CREATE INDEX f_v ON f USING hnsw ((v::vector(4)) vector_l2_ops);
SELECT error_of($$INSERT INTO f VALUES (1, '[1,2,3]')$$);
INSERT INTO f VALUES (1, '[1,2,3,4]'), (2, NULL), (3, '[3e38,3e38,0,0]'), (4, '[0,0,0,0]'), (5, '[-0,0,0,0]');
SELECT count(*) FROM f;
SELECT * FROM vecpg_check('f_v', true);

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
