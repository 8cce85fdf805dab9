-- types: exact nearest neighbours, without an index

\pset format unaligned
\pset tuples_only on

-- the result of a query as text, or its SQLSTATE, message and detail
CREATE FUNCTION pg_temp.attempt(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	message text;
	detail text;
BEGIN
	EXECUTE query INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''));
END
$$;

CREATE TABLE types_knn (id int PRIMARY KEY, v vector(3));
ALTER TABLE types_knn SET (parallel_workers = 2);
INSERT INTO types_knn SELECT i, ARRAY[i % 31, i % 37, i % 41]::vector FROM generate_series(1, 20000) i;
INSERT INTO types_knn VALUES (0, '[0,0,0]'), (-1, NULL), (-2, '[3e38,3e38,3e38]');
ANALYZE types_knn;

-- sequential
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT id FROM types_knn ORDER BY v <-> '[5,5,5]', id LIMIT 5;
SELECT id, v, v <-> '[5,5,5]' FROM types_knn ORDER BY v <-> '[5,5,5]', id LIMIT 5;
SELECT id, v, v <#> '[5,5,-5]' FROM types_knn WHERE id > 0 ORDER BY v <#> '[5,5,-5]', id LIMIT 5;
SELECT id, v, round((v <=> '[5,5,5]')::numeric, 6) FROM types_knn WHERE id > 0 ORDER BY (v <=> '[5,5,5]')::real, id LIMIT 5;
SELECT id, v, v <+> '[5,5,5]' FROM types_knn ORDER BY v <+> '[5,5,5]', id LIMIT 5;
CREATE TEMP TABLE answers AS
	SELECT '<->' AS op, array_agg(id ORDER BY v <-> '[7,8,9]', id) AS ids FROM types_knn
	UNION ALL SELECT '<#>', array_agg(id ORDER BY v <#> '[7,8,9]', id) FROM types_knn
	UNION ALL SELECT '<=>', array_agg(id ORDER BY v <=> '[7,8,9]', id) FROM types_knn
	UNION ALL SELECT '<+>', array_agg(id ORDER BY v <+> '[7,8,9]', id) FROM types_knn;
-- at the end: infinite distances, NaN (zero or overflowing vector, cosine), NULL
SELECT op, ids[20001:] FROM answers ORDER BY op COLLATE "C";
SELECT id, v <-> '[0,0,0]', v <=> '[1,1,1]', v <#> '[1e38,1e38,1e38]' FROM types_knn WHERE id <= 0 ORDER BY id;
-- a NULL query
SELECT count(*), count(v <-> NULL) FROM (SELECT v FROM types_knn ORDER BY v <-> NULL LIMIT 3) s;
SELECT pg_temp.attempt($$SELECT id FROM types_knn ORDER BY v <-> '[1,2]' LIMIT 1$$);
SELECT count(*) FROM types_knn WHERE v <-> '[5,5,5]' < 3;

-- parallel: the same answers
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT id FROM types_knn ORDER BY v <-> '[7,8,9]', id LIMIT 5;
SELECT id, v, v <-> '[5,5,5]' FROM types_knn ORDER BY v <-> '[5,5,5]', id LIMIT 5;
SELECT op, p.ids = answers.ids[:1000] FROM answers JOIN (
	SELECT '<->' AS op, array_agg(id) AS ids FROM (SELECT id FROM types_knn ORDER BY v <-> '[7,8,9]', id LIMIT 1000) s
	UNION ALL SELECT '<#>', array_agg(id) FROM (SELECT id FROM types_knn ORDER BY v <#> '[7,8,9]', id LIMIT 1000) s
	UNION ALL SELECT '<=>', array_agg(id) FROM (SELECT id FROM types_knn ORDER BY v <=> '[7,8,9]', id LIMIT 1000) s
	UNION ALL SELECT '<+>', array_agg(id) FROM (SELECT id FROM types_knn ORDER BY v <+> '[7,8,9]', id LIMIT 1000) s) AS p USING (op)
	ORDER BY op COLLATE "C";
EXPLAIN (COSTS OFF) SELECT count(*) FROM types_knn WHERE v <-> '[5,5,5]' < 3;
SELECT count(*) FROM types_knn WHERE v <-> '[5,5,5]' < 3;
RESET ALL;

-- what makes the planner scan large tables in parallel without these settings
SELECT proname, procost FROM pg_proc WHERE proname IN ('l2_distance', 'vector_cmp', 'vector_dims') AND proargtypes[0] = 'vector'::regtype ORDER BY proname;
DROP TABLE types_knn;

-- 1 dimension, 16000 dimensions
CREATE TEMP TABLE one (id int, v vector(1));
INSERT INTO one SELECT i, ARRAY[i * i % 101]::vector FROM generate_series(1, 100) i;
SELECT array_agg(id) FROM (SELECT id FROM one ORDER BY v <-> '[50]', id LIMIT 6) s;
SELECT array_agg(id) FROM (SELECT id FROM one ORDER BY v <#> '[-1]', id LIMIT 6) s;
CREATE TEMP TABLE most (id int, v vector(16000));
INSERT INTO most SELECT i, (SELECT array_agg((j * i) % 17) FROM generate_series(1, 16000) j)::vector FROM generate_series(1, 40) i;
SELECT array_agg(id) FROM (SELECT id FROM most ORDER BY v <-> (SELECT v FROM most WHERE id = 5), id LIMIT 3) s;
SELECT array_agg(id) FROM (SELECT id FROM most ORDER BY v <+> (SELECT v FROM most WHERE id = 5), id LIMIT 3) s;
SELECT a.id, b.id FROM most a, LATERAL (SELECT id FROM most b WHERE b.id <> a.id ORDER BY a.v <-> b.v, b.id LIMIT 1) b ORDER BY a.id LIMIT 3;
