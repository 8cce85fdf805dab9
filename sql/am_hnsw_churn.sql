-- am/hnsw: when every row has been replaced, recall is that of a fresh build

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

-- a tenth of the rows leaves at a time and comes back as others of the same sort
CREATE TABLE c (id int, v vector(48));
ALTER TABLE c SET (autovacuum_enabled = off);
CREATE PROCEDURE replace_rows(part int) LANGUAGE sql AS $$
	DELETE FROM c WHERE id < 100000 AND id / 60 % 10 = part;
	INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(100000, 103000) i WHERE i / 60 % 10 = part;
$$;
CREATE PROCEDURE built(opclass text) LANGUAGE plpgsql AS $$
	BEGIN
		TRUNCATE c;
		DROP INDEX IF EXISTS c_v;
		INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(1, 3000) i;
		EXECUTE format('CREATE INDEX c_v ON c USING hnsw (v %s)', opclass);
	END
$$;

CALL built('vector_l2_ops');
SELECT format('CALL replace_rows(%s)', part), 'VACUUM c' FROM generate_series(0, 9) part \gexec
SELECT mean_recall('c', '<->', queries(48, 100, 60), 10) AS churned, pg_relation_size('c_v') AS size \gset
SELECT exact_verdict('c', '<->', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true) LIMIT 5;
REINDEX INDEX c_v;
SELECT mean_recall('c', '<->', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new, :size <= 2 * pg_relation_size('c_v') AS not_much_larger;

CALL built('vector_ip_ops');
SELECT format('CALL replace_rows(%s)', part), 'VACUUM c' FROM generate_series(0, 9) part \gexec
SELECT mean_recall('c', '<#>', queries(48, 100, 60), 10) AS churned, pg_relation_size('c_v') AS size \gset
SELECT exact_verdict('c', '<#>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true) LIMIT 5;
REINDEX INDEX c_v;
SELECT mean_recall('c', '<#>', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new, :size <= 2 * pg_relation_size('c_v') AS not_much_larger;

CALL built('vector_l1_ops');
SELECT format('CALL replace_rows(%s)', part), 'VACUUM c' FROM generate_series(0, 9) part \gexec
SELECT mean_recall('c', '<+>', queries(48, 100, 60), 10) AS churned, pg_relation_size('c_v') AS size \gset
SELECT exact_verdict('c', '<+>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true) LIMIT 5;
REINDEX INDEX c_v;
SELECT mean_recall('c', '<+>', queries(48, 100, 60), 10) AS rebuilt \gset
SELECT :churned >= 0.95 AND :rebuilt >= 0.95 AS well, :churned >= :rebuilt - 0.01 AS as_well_as_new, :size <= 2 * pg_relation_size('c_v') AS not_much_larger;

-- other rows than those the index was built from
TRUNCATE c;
INSERT INTO c SELECT i, made(48, i, 5, 0.3) FROM generate_series(1, 1000) i;
REINDEX INDEX c_v;
INSERT INTO c SELECT i, made(48, i, 60, 0.7) FROM generate_series(100000, 103000) i;
DELETE FROM c WHERE id < 100000;
VACUUM c;
SELECT mean_recall('c', '<+>', queries(48, 100, 60), 10) >= 0.9 AS fair;
SELECT exact_verdict('c', '<+>', queries(48, 3, 60), 10);
SELECT * FROM vecpg_check('c_v', true) LIMIT 5;

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
