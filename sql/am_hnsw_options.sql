-- am/hnsw: options of an index, their bounds and messages

\set ECHO none
\getenv srcdir PG_ABS_SRCDIR
\set helpers :srcdir '/test/sql/knn.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE o (id int, v vector(16));
INSERT INTO o SELECT i, made(16, i, 10, 0.7) FROM generate_series(1, 2000) i;

SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (m = 1)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (m = 101)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (m = many)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (ef_construction = 3)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (ef_construction = 1001)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (m = 33)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (bits = 1)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (bits = 7)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (bits = 9)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (target_recall = 0.4)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (target_recall = 1.01)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (lists = 5)');
SELECT error_of('CREATE INDEX ON o USING hnsw (v vector_l2_ops) WITH (fillfactor = 50)');

-- what is allowed at its bounds
CREATE FUNCTION works(options text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		DROP INDEX IF EXISTS o_v;
		EXECUTE 'CREATE INDEX o_v ON o USING hnsw (v vector_l2_ops) WITH (' || options || ')';
		RETURN concat_ws(' ', exact_verdict('o', '<->', queries(16, 3, 10), 10), verdict('o', '<->', queries(16, 10, 10), 10, 0.5),
			(SELECT count(*) FROM vecpg_check('o_v', true)));
	END
$$;
SELECT works('m = 2'), works('m = 2, ef_construction = 4'), works('m = 32'), works('m = 100, ef_construction = 200'), works('m = 16, ef_construction = 32');
SELECT works('ef_construction = 1000'), works('bits = 6'), works('bits = 8'), works('bits = 0'), works('target_recall = 0.5'), works('target_recall = 1');

-- changed later: target_recall holds at once, the rest from the next REINDEX
SELECT works('m = 4, ef_construction = 8, target_recall = 0.5');
SELECT pg_relation_size('o_v') AS few_edges \gset
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM o ORDER BY v <-> made(16, 7) LIMIT 10) s;
SELECT pages AS pages_50 FROM vecpg_last_scan() \gset
ALTER INDEX o_v SET (target_recall = 1.0, m = 32);
SELECT count(*) FROM (SELECT id FROM o ORDER BY v <-> made(16, 7) LIMIT 10) s;
SELECT pages >= :pages_50 AS no_fewer FROM vecpg_last_scan();
SELECT pg_relation_size('o_v') = :few_edges AS the_same;
SELECT error_of('REINDEX INDEX o_v');
ALTER INDEX o_v RESET (ef_construction);
REINDEX INDEX o_v;
SELECT pg_relation_size('o_v') > :few_edges AS larger;
SELECT exact_verdict('o', '<->', queries(16, 3, 10), 10);
ALTER INDEX o_v RESET (target_recall);
SELECT error_of('ALTER INDEX o_v SET (bits = 10)'), error_of('ALTER INDEX o_v SET (m = 0)');
SELECT reloptions FROM pg_class WHERE relname = 'o_v';

-- settings
SELECT error_of('SET hnsw.ef_search = 0'), error_of('SET hnsw.ef_search = 100001'), error_of('SET hnsw.iterative_scan = maybe'),
	error_of('SET hnsw.max_scan_tuples = -1'), error_of('SET hnsw.scan_mem_multiplier = 0.5'), error_of('SET hnsw.no_such_setting = 1');
SELECT name, setting, boot_val, min_val, max_val, enumvals FROM pg_settings WHERE name LIKE 'hnsw.%' ORDER BY 1;

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
