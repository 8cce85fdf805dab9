-- types: avg and sum of vector

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

SELECT avg(v), sum(v), count(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector]) v;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM unnest(ARRAY[NULL, NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1]'::vector, '[2]']) v;
SELECT vector_dims(avg(v)), avg(v) = array_fill(1.5, ARRAY[16000])::vector, sum(v) = array_fill(3, ARRAY[16000])::vector
	FROM (VALUES (array_fill(1, ARRAY[16000])::vector), (array_fill(2, ARRAY[16000])::vector)) AS t (v);

-- mixed dimensions
SELECT pg_temp.attempt($$SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$);
SELECT pg_temp.attempt($$SELECT avg(v) FROM unnest(ARRAY['[3]'::vector, '[1,2]']) v$$);
SELECT pg_temp.attempt($$SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$);

-- avg is summed in float8, sum in float4
SELECT pg_temp.attempt($$SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v$$);
SELECT pg_temp.attempt($$SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v$$);
SELECT pg_temp.attempt($$SELECT sum(v) FROM unnest(ARRAY['[-3e38]'::vector, '[-3e38]']) v$$);
SELECT avg(v), sum(v) FROM unnest(ARRAY['[16777216]'::vector, '[1]', '[1]', '[1]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1e-45]'::vector, '[0]']) v;

-- inputs are left as they are though states are changed in place
CREATE TABLE types_agg (id int, g int, v vector);
ALTER TABLE types_agg SET (parallel_workers = 2);
INSERT INTO types_agg SELECT i, i % 7, CASE WHEN i % 10 = 0 THEN NULL ELSE ARRAY[i % 4, i % 3, -1]::vector END FROM generate_series(1, 10000) i;
CREATE TEMP TABLE before AS SELECT id, v::text FROM types_agg;
SELECT count(*), avg(v), sum(v), sum(v) - sum(v), sum(v + v), sum(DISTINCT v) FROM types_agg;
SELECT g, count(v), sum(v), avg(v) = ARRAY[avg((v::real[])[1]), avg((v::real[])[2]), -1]::vector FROM types_agg GROUP BY g ORDER BY g;
SELECT g, sum(v) FROM types_agg WHERE id <= 20 GROUP BY GROUPING SETS ((g), ()) ORDER BY g;
SELECT sum(v) FILTER (WHERE id < 5), avg(v) FILTER (WHERE id < 5), sum(v) FILTER (WHERE false) FROM types_agg;
SELECT id, sum(v) OVER w, avg(v) OVER w, sum(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
	FROM types_agg WHERE id <= 12 WINDOW w AS (ORDER BY id) ORDER BY id;
SELECT id, sum(v) OVER (), sum(v) OVER (PARTITION BY g ORDER BY id) FROM types_agg WHERE id <= 9 ORDER BY id;
SELECT count(*) FROM before b JOIN types_agg a USING (id) WHERE a.v::text IS DISTINCT FROM b.v;

-- the first state of sum may come from TOAST
CREATE TEMP TABLE wide AS SELECT array_fill(i, ARRAY[4000])::vector AS v FROM generate_series(1, 5) i;
SELECT sum(v) = array_fill(15, ARRAY[4000])::vector, avg(v) = array_fill(3, ARRAY[4000])::vector FROM wide;
SELECT count(DISTINCT vector_send(v)), min(vector_norm(v)) = vector_norm(array_fill(1, ARRAY[4000])::vector) FROM wide;

-- parallel plans
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM types_agg;
SELECT avg(v), sum(v) FROM types_agg;
SELECT g, sum(v) FROM types_agg GROUP BY g ORDER BY g;
-- without rows in some or all workers
SELECT avg(v), sum(v) FROM types_agg WHERE id = 4567;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM types_agg WHERE id < 0;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM types_agg WHERE id = 10;
SET parallel_leader_participation = off;
SELECT avg(v), sum(v) FROM types_agg;
SELECT avg(v), sum(v) FROM types_agg WHERE id = 4567;
RESET parallel_leader_participation;
-- mixed dimensions, whichever process meets them
INSERT INTO types_agg SELECT i, 0, '[1,2]' FROM generate_series(1, 5000) i;
SELECT left(pg_temp.attempt('SELECT avg(v) FROM types_agg'), 5), left(pg_temp.attempt('SELECT sum(v) FROM types_agg'), 5);
RESET ALL;
DROP TABLE types_agg;

-- states
SELECT expression, pg_temp.attempt('SELECT ' || expression) FROM (VALUES
	('vector_accum(''{0}'', ''[1,2]'')'), ('vector_accum(''{1,2,3}'', ''[4,5]'')'), ('vector_accum(''{5}'', ''[4,5]'')'),
	('vector_accum(''{2,1.7e308}'', ''[3e38]'')'), ('vector_accum(''{2,Infinity}'', ''[1]'')'), ('vector_accum(''{1,2,3}'', ''[4]'')'),
	('vector_combine(''{0}'', ''{0}'')'), ('vector_combine(''{0}'', ''{2,3}'')'), ('vector_combine(''{2,3}'', ''{0}'')'),
	('vector_combine(''{1,2,3}'', ''{4,5,6}'')'), ('vector_combine(''{1,2,3}'', ''{4,5}'')'), ('vector_combine(''{1,2}'', ''{4}'')'),
	('vector_combine(''{1,1.7e308}'', ''{1,1.7e308}'')'), ('vector_combine(''{0,1}'', ''{0,1,2}'')'),
	('vector_avg(''{0}'')'), ('vector_avg(''{0,1,2}'')'), ('vector_avg(''{2,3,5}'')'), ('vector_avg(''{1}'')'),
	('vector_avg(''{2,1e300}'')'), ('vector_avg(''{2,NaN}'')'), ('vector_avg(''{NaN,1}'')'), ('vector_avg(''{-1,1}'')'),
	('vector_avg(array_fill(1::float8, ARRAY[16002]))'), ('vector_avg(NULL)')) AS v (expression);
SELECT f, a, pg_temp.attempt(format('SELECT ' || f, a)) FROM
	(VALUES ('vector_accum(%s, ''[1]'')'), ('vector_combine(%s, ''{0}'')'), ('vector_combine(''{0}'', %s)'), ('vector_avg(%s)')) AS f (f),
	(VALUES ('''{}'''), ('''{{0}}'''), ('''{{1,2},{3,4}}'''), ('''{NULL}'''), ('''{1,NULL}''')) AS a (a);
-- the state given is not changed
CREATE TEMP TABLE states (s float8[]);
INSERT INTO states VALUES ('{1,2}');
SELECT s, vector_accum(s, '[5]'), vector_combine(s, s), s FROM states;
