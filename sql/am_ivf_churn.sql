-- am/ivf: when every row has been replaced, recall is that of a fresh build

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE c (id int, v vector(48));
ALTER TABLE c SET (autovacuum_enabled = off);
CREATE PROCEDURE built(opclass text, options text, n int) LANGUAGE plpgsql AS $$
	BEGIN
		TRUNCATE c;
		DROP INDEX IF EXISTS c_v;
		INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(1, n) i;
		EXECUTE format('CREATE INDEX c_v ON c USING ivf (v %s) WITH (%s)', opclass, options);
	END
$$;
-- A tenth of the rows at a time leaves and comes back as others of the same sort.
CREATE FUNCTION replace_rows(part int) RETURNS void LANGUAGE sql AS $$
	DELETE FROM c WHERE id < 100000 AND id / 60 % 10 = part;
	INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(100000, 104000) i WHERE i / 60 % 10 = part;
$$;

CALL built('vector_l2_ops', 'bits=8', 4000);
SELECT replace_rows(0);
VACUUM c;
SELECT replace_rows(1);
VACUUM c;
SELECT replace_rows(2);
VACUUM c;
SELECT replace_rows(3);
VACUUM c;
SELECT replace_rows(4);
VACUUM c;
SELECT replace_rows(5);
VACUUM c;
SELECT replace_rows(6);
VACUUM c;
SELECT replace_rows(7);
VACUUM c;
SELECT replace_rows(8);
VACUUM c;
SELECT replace_rows(9);
VACUUM c;
SELECT mean_recall('c', '<->', queries(48, 100, 60), 10) AS churned \gset
SELECT exact_verdict('c', '<->', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true);
REINDEX INDEX c_v;
SELECT mean_recall('c', '<->', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new;

CALL built('vector_cosine_ops', 'bits=1', 4000);
SELECT replace_rows(0);
VACUUM c;
SELECT replace_rows(1);
VACUUM c;
SELECT replace_rows(2);
VACUUM c;
SELECT replace_rows(3);
VACUUM c;
SELECT replace_rows(4);
VACUUM c;
SELECT replace_rows(5);
VACUUM c;
SELECT replace_rows(6);
VACUUM c;
SELECT replace_rows(7);
VACUUM c;
SELECT replace_rows(8);
VACUUM c;
SELECT replace_rows(9);
VACUUM c;
SELECT mean_recall('c', '<=>', queries(48, 100, 60), 10) AS churned \gset
SELECT exact_verdict('c', '<=>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true);
REINDEX INDEX c_v;
SELECT mean_recall('c', '<=>', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new;

CALL built('vector_ip_ops', 'quantizer=flat', 4000);
SELECT replace_rows(0);
VACUUM c;
SELECT replace_rows(1);
VACUUM c;
SELECT replace_rows(2);
VACUUM c;
SELECT replace_rows(3);
VACUUM c;
SELECT replace_rows(4);
VACUUM c;
SELECT replace_rows(5);
VACUUM c;
SELECT replace_rows(6);
VACUUM c;
SELECT replace_rows(7);
VACUUM c;
SELECT replace_rows(8);
VACUUM c;
SELECT replace_rows(9);
VACUUM c;
SELECT mean_recall('c', '<#>', queries(48, 100, 60), 10) AS churned \gset
SELECT exact_verdict('c', '<#>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true);
REINDEX INDEX c_v;
SELECT mean_recall('c', '<#>', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new;

-- other rows than those the centroids were made from
TRUNCATE c;
INSERT INTO c SELECT i, made(48, i, 5, 0.3) FROM generate_series(1, 1000) i;
REINDEX INDEX c_v;
INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(100000, 104000) i;
DELETE FROM c WHERE id < 100000;
VACUUM c;
SELECT mean_recall('c', '<#>', queries(48, 100, 60), 10) >= 0.9 AS fair;
SELECT exact_verdict('c', '<#>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true);

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
