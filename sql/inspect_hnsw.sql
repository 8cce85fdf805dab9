-- inspect: the functions on hnsw indexes

\pset format unaligned
\pset tuples_only on

-- reproducible vectors, the same on every machine; those of i and i + 1009 are equal
CREATE FUNCTION pg_temp.vec(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(((i::bigint * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, dims) d $$;

-- the findings of all indexes of the table, or "sound"
CREATE FUNCTION pg_temp.verdict(name text DEFAULT 'inspect_hnsw') RETURNS SETOF text LANGUAGE sql AS $$
	WITH found AS (
		SELECT c.relname || ' ' || coalesce(f.block::text, '-') || ' ' || coalesce(f.item::text, '-') || ' ' || f.problem AS line
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, vecpg_check(c.oid, true) f
		WHERE i.indrelid = to_regclass(name))
	SELECT line FROM (SELECT line FROM found UNION ALL SELECT 'sound' WHERE NOT EXISTS (SELECT FROM found)) all_lines
	ORDER BY line COLLATE "C" LIMIT 20
$$;

CREATE TABLE inspect_hnsw (id int, note text, v vector(20)) WITH (autovacuum_enabled = off);
INSERT INTO inspect_hnsw SELECT i, 'built', pg_temp.vec(i, 20) FROM generate_series(1, 1000) i;
INSERT INTO inspect_hnsw SELECT -i, 'null', NULL FROM generate_series(1, 5) i;
INSERT INTO inspect_hnsw SELECT -10 - i, 'zero', array_fill(0, ARRAY[20])::vector FROM generate_series(1, 5) i;
INSERT INTO inspect_hnsw VALUES (-20, 'long', array_fill(1e16::real, ARRAY[20])::vector);
INSERT INTO inspect_hnsw SELECT -1000 - i, 'same', pg_temp.vec(1, 20) FROM generate_series(1, 50) i;
CREATE INDEX check_l2 ON inspect_hnsw USING hnsw (v vector_l2_ops);
CREATE INDEX check_ip ON inspect_hnsw USING hnsw (v vector_ip_ops) WITH (bits = 6);
CREATE INDEX check_cosine ON inspect_hnsw USING hnsw (v vector_cosine_ops) WITH (m = 8, target_recall = 0.9);
CREATE INDEX check_l1 ON inspect_hnsw USING hnsw (v vector_l1_ops) WITH (m = 10, ef_construction = 40);
CREATE INDEX check_partial ON inspect_hnsw USING hnsw (v vector_l2_ops) WHERE id % 2 = 0;
CREATE INDEX check_expression ON inspect_hnsw USING hnsw ((v::real[]::vector(20)) vector_l2_ops);
SELECT pg_temp.verdict();

-- what they hold
CREATE VIEW all_info AS
	SELECT i AS index, info.*, d.*
	FROM unnest('{check_l2,check_ip,check_cosine,check_l1}'::regclass[]) i, vecpg_index_info(i) info,
		json_to_record(info.details) d(m int, ef_construction int, edge_bits int, records_by_layer bigint[], edges_mean float8,
			edges_min int, rows_sharing_a_record int, dead_records int, free_records int, records_per_page int,
			base_pages bigint, upper_pages bigint, rest_pages bigint, row_pages bigint);
SELECT index, access_method, opclass, format, dims, quantizer, bits, rows, rows_without_vector, rows_nan, rows_extreme,
		target_recall, m, ef_construction, edge_bits, rows_sharing_a_record, dead_records, free_records
	FROM all_info;
SELECT index, records_by_layer[1] AS records,
		records_by_layer[2] BETWEEN 1 AND records_by_layer[1] / 2 AS upper, edges_min BETWEEN 1 AND edges_mean AS least,
		edges_mean BETWEEN m AND 2 * m AS mean, base_pages BETWEEN records_by_layer[1] / records_per_page AND records_by_layer[1] AS base_pages,
		base_pages + upper_pages + rest_pages + row_pages + model_pages + uncoded_pages + free_pages + 1
			= pg_relation_size(index) / 8192 AS all_pages,
		built BETWEEN now() - interval '1 hour' AND clock_timestamp() AS built
	FROM all_info;
SELECT index, calibration_queries > 0 AS queries, cardinality(calibration_effort) = cardinality(calibration_recall_10) AS points,
		calibration_recall_10[cardinality(calibration_effort)] > 0.9 AS most, effort > 0 AS effort
	FROM all_info;
SELECT string_agg(key, ' ') FROM vecpg_index_info('check_l2'), json_object_keys(details) key;

-- each step alone, then all of them
DELETE FROM inspect_hnsw WHERE id % 4 = 1;
SELECT pg_temp.verdict();
VACUUM inspect_hnsw;
SELECT pg_temp.verdict();
SELECT index, rows, free_records > 0 AS free_records, dead_records FROM all_info WHERE index::text <> 'check_cosine';
INSERT INTO inspect_hnsw SELECT i, 'new', pg_temp.vec(i, 20) FROM generate_series(1001, 1400) i;
INSERT INTO inspect_hnsw SELECT 2000 + i, 'other', (ARRAY[i] || array_fill(7, ARRAY[19]))::real[] FROM generate_series(1, 300) i;
INSERT INTO inspect_hnsw SELECT -100 - i, 'null', NULL FROM generate_series(1, 5) i;
INSERT INTO inspect_hnsw SELECT 20000 + i, 'same', pg_temp.vec(1, 20) FROM generate_series(1, 100) i;
SELECT pg_temp.verdict();
-- HOT and other updates: an index row is that of the chain's root
UPDATE inspect_hnsw SET note = 'hot' WHERE id % 3 = 0;
UPDATE inspect_hnsw SET v = pg_temp.vec(id + 1, 20) WHERE id % 10 = 0;
UPDATE inspect_hnsw SET v = NULL WHERE id % 100 = 7;
SELECT pg_temp.verdict();
BEGIN;
INSERT INTO inspect_hnsw SELECT 30000 + i, 'undone', pg_temp.vec(i, 20) FROM generate_series(1, 200) i;
SELECT pg_temp.verdict();
ROLLBACK;
SELECT pg_temp.verdict();
DELETE FROM inspect_hnsw WHERE id > 1000;
VACUUM inspect_hnsw;
SELECT pg_temp.verdict();
INSERT INTO inspect_hnsw SELECT i, 'reused', pg_temp.vec(i, 20) FROM generate_series(3001, 3500) i;
-- codes of edges are checked in parts where memory is short
SET maintenance_work_mem = '1MB';
SELECT pg_temp.verdict();
RESET maintenance_work_mem;
DELETE FROM inspect_hnsw;
VACUUM inspect_hnsw;
SELECT pg_temp.verdict();
SELECT index, rows, records_by_layer, edges_mean FROM all_info;
INSERT INTO inspect_hnsw SELECT i, 'again', pg_temp.vec(i, 20) FROM generate_series(1, 100) i;
SELECT pg_temp.verdict();

-- recall, counters
INSERT INTO inspect_hnsw SELECT i, 'again', pg_temp.vec(i, 20) FROM generate_series(101, 900) i;
SELECT i, recall > 0.9 AS recall, queries, visited BETWEEN 10 AND 900 AS visited, pages > 1 AS pages, order_errors, bound_errors
	FROM unnest('{check_l2,check_ip,check_cosine,check_l1,check_partial,check_expression}'::regclass[]) i, vecpg_recall(i, 20) r;
SELECT scans.lists, scans.expanded >= 10 AS expanded, scans.candidates > scans.expanded AS candidates, scans.emitted > 0 AS emitted
	FROM vecpg_last_scan() scans;
DROP VIEW all_info;
DROP TABLE inspect_hnsw;

-- built empty; one dimension; unlogged; records of several pages
CREATE TABLE inspect_hnsw (v vector(1));
CREATE INDEX check_empty ON inspect_hnsw USING hnsw (v vector_l2_ops);
CREATE INDEX check_empty_l1 ON inspect_hnsw USING hnsw (v vector_l1_ops);
SELECT pg_temp.verdict();
SELECT rows, built IS NOT NULL AS built, details->'records_by_layer' AS layers, details->'edges_mean' AS edges
	FROM vecpg_index_info('check_empty');
SELECT * FROM vecpg_recall('check_empty');
INSERT INTO inspect_hnsw SELECT ARRAY[1 + i / 300.0]::vector FROM generate_series(1, 300) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_hnsw;
CREATE UNLOGGED TABLE inspect_hnsw (id int, v vector(3000));
INSERT INTO inspect_hnsw SELECT i, pg_temp.vec(i, 3000) FROM generate_series(1, 60) i;
CREATE INDEX check_wide ON inspect_hnsw USING hnsw (v vector_l2_ops);
CREATE INDEX check_wide_ip ON inspect_hnsw USING hnsw (v vector_ip_ops);
CREATE INDEX check_wide_l1 ON inspect_hnsw USING hnsw (v vector_l1_ops) WITH (m = 100, ef_construction = 200);
SELECT pg_temp.verdict();
SELECT details->'pages_per_record', details->'base_pages', details->'rest_pages' FROM vecpg_index_info('check_wide');
INSERT INTO inspect_hnsw SELECT i, pg_temp.vec(i, 3000) FROM generate_series(61, 80) i;
DELETE FROM inspect_hnsw WHERE id % 2 = 0;
VACUUM inspect_hnsw;
SELECT pg_temp.verdict();
INSERT INTO inspect_hnsw SELECT i, pg_temp.vec(i, 3000) FROM generate_series(81, 100) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_hnsw;
CREATE TABLE inspect_hnsw (id int, v vector(16000));
CREATE INDEX check_widest ON inspect_hnsw USING hnsw (v vector_l1_ops);
CREATE INDEX check_widest_cosine ON inspect_hnsw USING hnsw (v vector_cosine_ops);
INSERT INTO inspect_hnsw SELECT i, pg_temp.vec(i, 16000) FROM generate_series(1, 12) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_hnsw;

-- a row that the index does not have
CREATE TABLE inspect_hnsw (id int, v vector(4));
INSERT INTO inspect_hnsw SELECT i, pg_temp.vec(i, 4) FROM generate_series(1, 200) i;
CREATE INDEX check_lacking ON inspect_hnsw USING hnsw (v vector_l2_ops);
UPDATE pg_index SET indisready = false WHERE indexrelid = 'check_lacking'::regclass;
INSERT INTO inspect_hnsw VALUES (201, pg_temp.vec(201, 4)), (202, NULL);
UPDATE pg_index SET indisready = true WHERE indexrelid = 'check_lacking'::regclass;
SELECT * FROM vecpg_check('check_lacking');
SELECT * FROM vecpg_check('check_lacking', heapallindexed => true);
REINDEX INDEX check_lacking;
SELECT * FROM vecpg_check('check_lacking', true);
DROP TABLE inspect_hnsw;
