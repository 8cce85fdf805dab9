-- am/ivf: options of an index, their bounds and messages

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

SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (lists = 0)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (lists = 1000001)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (lists = 99999999999999999999)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (lists = many)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (lists = 12.5)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (bits = 0)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (bits = 2)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (bits = 9)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (quantizer = pq)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (target_recall = 0.4)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (target_recall = 1.01)');
SELECT error_of('CREATE INDEX ON o USING ivf (v) WITH (fillfactor = 50)');

-- lists
CREATE INDEX o_v ON o USING ivf (v);
SELECT details->'lists' AS lists, quantizer, bits, target_recall, dims, opclass, rows FROM vecpg_index_info('o_v');
DROP INDEX o_v;
CREATE INDEX o_v ON o USING ivf (v) WITH (lists = auto);
SELECT details->'lists' AS lists FROM vecpg_index_info('o_v');
DROP INDEX o_v;
CREATE INDEX o_v ON o USING ivf (v) WITH (lists = 1);
SELECT details->'lists' AS lists FROM vecpg_index_info('o_v');
SELECT exact_verdict('o', '<->', queries(16, 3, 10), 10), verdict('o', '<->', queries(16, 3, 10), 10, 0.9);
DROP INDEX o_v;
CREATE INDEX o_v ON o USING ivf (v) WITH (lists = 7);
SELECT details->'lists' AS lists FROM vecpg_index_info('o_v');
SELECT exact_verdict('o', '<->', queries(16, 3, 10), 10), verdict('o', '<->', queries(16, 10, 10), 10, 0.9);
DROP INDEX o_v;
CREATE INDEX o_v ON o USING ivf (v) WITH (lists = 2000);
SELECT details->'lists' AS lists FROM vecpg_index_info('o_v');
SELECT exact_verdict('o', '<->', queries(16, 3, 10), 10), verdict('o', '<->', queries(16, 10, 10), 10, 0.8);
DROP INDEX o_v;

-- quantizer and bits: what the index then has; bits go with rabitq only
CREATE FUNCTION what(options text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		result text;
	BEGIN
		DROP INDEX IF EXISTS o_v;
		EXECUTE 'CREATE INDEX o_v ON o USING ivf (v) ' || options;
		SELECT concat_ws(' ', quantizer, bits, target_recall) INTO result FROM vecpg_index_info('o_v');
		RETURN result;
	END
$$;
SELECT what(''), what('WITH (bits = 1)'), what('WITH (bits = 4)'), what('WITH (quantizer = rabitq, bits = 8)'), what('WITH (quantizer = sq8)'), what('WITH (quantizer = flat)');

-- changed later: target_recall holds at once, the rest from the next REINDEX
SELECT what('WITH (target_recall = 0.6)');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM o ORDER BY v <-> made(16, 7) LIMIT 10) s;
SELECT lists AS lists_60 FROM vecpg_last_scan() \gset
ALTER INDEX o_v SET (target_recall = 1.0, bits = 4);
SELECT count(*) FROM (SELECT id FROM o ORDER BY v <-> made(16, 7) LIMIT 10) s;
SELECT lists > :lists_60 AS more_lists FROM vecpg_last_scan();
SELECT bits FROM vecpg_index_info('o_v');
SELECT exact_verdict('o', '<->', queries(16, 3, 10), 10);
REINDEX INDEX o_v;
SELECT bits FROM vecpg_index_info('o_v');
ALTER INDEX o_v RESET (target_recall);
SELECT target_recall FROM vecpg_index_info('o_v');
SELECT error_of('ALTER INDEX o_v SET (bits = 3)');
SELECT reloptions FROM pg_class WHERE relname = 'o_v';

\set VERBOSITY terse
DROP SCHEMA knn CASCADE;
