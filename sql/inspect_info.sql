-- inspect: vecpg_index_info

\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.vec(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(((i::bigint * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, dims) d $$;

CREATE TABLE inspect_info (id int, v vector(24)) WITH (autovacuum_enabled = off);
INSERT INTO inspect_info SELECT i, pg_temp.vec(i, 24) FROM generate_series(1, 2000) i;
INSERT INTO inspect_info SELECT -i, NULL FROM generate_series(1, 3) i;
INSERT INTO inspect_info SELECT -i, array_fill(0, ARRAY[24])::vector FROM generate_series(1, 2) i;
INSERT INTO inspect_info VALUES (-9, array_fill(1e16::real, ARRAY[24])::vector);
CREATE INDEX info_l2 ON inspect_info USING ivf (v) WITH (lists = 10);
CREATE INDEX info_ip ON inspect_info USING ivf (v vector_ip_ops) WITH (bits = 4, target_recall = 0.8);
CREATE INDEX info_cosine ON inspect_info USING ivf (v vector_cosine_ops) WITH (bits = 1);
CREATE INDEX info_sq8 ON inspect_info USING ivf (v) WITH (quantizer = sq8);
CREATE INDEX info_flat ON inspect_info USING ivf (v) WITH (quantizer = flat);

CREATE VIEW all_info AS
	SELECT i AS index, info.*, d.*
	FROM unnest('{info_l2,info_ip,info_cosine,info_sq8,info_flat}'::regclass[]) i, vecpg_index_info(i) info,
		json_to_record(info.details) d(lists int, partitions int, splits int, empty_slots float8, list_rows_min int,
			list_rows_median int, list_rows_max int, list_pages bigint, refine_pages bigint, directory_pages bigint);

SELECT index, access_method, opclass, format, dims, quantizer, bits, rows, rows_without_vector, rows_nan, rows_extreme, splits,
		target_recall
	FROM all_info;
-- the parts and the whole
SELECT index, lists BETWEEN 1 AND 100 AS lists, partitions BETWEEN 1 AND lists AS partitions,
		list_rows_min <= list_rows_median AND list_rows_median <= list_rows_max AS lengths,
		list_rows_max * lists >= rows - 10 AS longest, empty_slots BETWEEN 0 AND 0.9 AS share,
		list_pages > 0 AS list_pages, refine_pages > 0 AS refine_pages, directory_pages >= partitions AS directory_pages,
		model_pages > 0 AS model_pages, uncoded_pages > 0 AS uncoded_pages, free_pages AS free,
		list_pages + refine_pages + directory_pages + model_pages + uncoded_pages + free_pages + 1
			= pg_relation_size(index) / 8192 AS all_pages,
		built BETWEEN now() - interval '1 hour' AND clock_timestamp() AS built
	FROM all_info;
SELECT details->'lists' FROM vecpg_index_info('info_l2');
SELECT string_agg(key, ' ') FROM vecpg_index_info('info_l2'), json_object_keys(details) key;
-- calibration
SELECT index, calibration_queries > 0 AS queries,
		cardinality(calibration_effort) = cardinality(calibration_recall_10)
			AND cardinality(calibration_effort) = cardinality(calibration_recall_100) AS cardinality,
		calibration_effort[1] AS first, calibration_effort[cardinality(calibration_effort)] = lists AS last,
		calibration_recall_10[cardinality(calibration_effort)] AS recall_of_all, effort BETWEEN 1 AND lists AS effort
	FROM all_info;
-- a higher target needs no fewer lists; ivf.probes decides
SELECT effort AS low FROM vecpg_index_info('info_sq8') \gset
SET vecpg.target_recall = 0.999;
SELECT target_recall, effort >= :low FROM vecpg_index_info('info_sq8');
SET ivf.probes = 3;
SELECT effort FROM vecpg_index_info('info_sq8');
RESET ivf.probes;
RESET vecpg.target_recall;

-- what happens later
DELETE FROM inspect_info WHERE id <= 1000;
SELECT rows FROM vecpg_index_info('info_l2');
VACUUM inspect_info;
SELECT rows, rows_without_vector, rows_extreme FROM vecpg_index_info('info_l2');
INSERT INTO inspect_info SELECT 5000 + i, (ARRAY[i::real / 1000] || array_fill(500::real, ARRAY[23]))::vector
	FROM generate_series(1, 1500) i;
SELECT index, rows, splits > 0 AS split FROM all_info WHERE index::text IN ('info_ip', 'info_sq8');
TRUNCATE inspect_info;
SELECT rows, lists, list_rows_max, empty_slots, calibration_queries, calibration_effort, calibration_recall_10
	FROM all_info WHERE index::text = 'info_l2';

-- what is no vecpg index, and who may ask
CREATE INDEX info_btree ON inspect_info (id);
SELECT rows FROM vecpg_index_info('info_btree');
SELECT rows FROM vecpg_index_info('inspect_info');
CREATE ROLE regress_inspect_info;
SET ROLE regress_inspect_info;
SELECT rows FROM vecpg_index_info('info_l2');
RESET ROLE;
GRANT SELECT ON inspect_info TO regress_inspect_info;
SET ROLE regress_inspect_info;
SELECT rows FROM vecpg_index_info('info_l2');
RESET ROLE;
DROP VIEW all_info;
DROP TABLE inspect_info;
DROP ROLE regress_inspect_info;
