-- types: order and equality of vector, and btree

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

-- operators, vector_cmp and the row comparison of arrays agree
SELECT a, b, a::vector < b::vector, a::vector <= b::vector, a::vector = b::vector, a::vector <> b::vector,
	a::vector >= b::vector, a::vector > b::vector, vector_cmp(a::vector, b::vector)
	FROM (VALUES ('[1,2,3]', '[1,2,3]'), ('[1,2,3]', '[1,2]'), ('[1,2]', '[1,2,3]'), ('[1,2]', '[1,2,-1]'), ('[0]', '[-0]'),
		('[1,2,3]', '[1,2,4]'), ('[1,2,4]', '[1,2,3]'), ('[2]', '[1,9,9]'), ('[1,9,9]', '[2]'), ('[-1]', '[1]'),
		('[1e-45]', '[0]'), ('[-1e-45]', '[-0]'), ('[3.4028235e38]', '[3.4028233e38]')) AS v (a, b);
SELECT count(*) FILTER (WHERE vector_cmp(a, b) <> - vector_cmp(b, a)),
	count(*) FILTER (WHERE (a < b) <> (a::real[] < b::real[]) OR (a = b) <> (a::real[] = b::real[]) OR (a >= b) <> (a::real[] >= b::real[]))
	FROM (SELECT (ARRAY[i % 3 - 1, i % 2, i % 5])[1:1 + i % 3]::vector FROM generate_series(1, 60) i) AS x (a),
		(SELECT (ARRAY[i % 3 - 1, i % 2, i % 5])[1:1 + i % 3]::vector FROM generate_series(1, 60) i) AS y (b);
SELECT '[1]'::vector = NULL IS NULL, NULL::vector < '[1]' IS NULL, vector_cmp(NULL, '[1]') IS NULL,
	'[1]'::vector IS DISTINCT FROM NULL, '[1]'::vector IS DISTINCT FROM '[1]';
SELECT '[1]'::vector BETWEEN '[0]' AND '[2]', '[1]'::vector IN ('[2]', '[1]'), '[1]'::vector NOT IN ('[2]', '[3]');

-- sort, DISTINCT, GROUP BY, set operations
CREATE TABLE types_btree (id serial, v vector);
INSERT INTO types_btree (v) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL), ('[1,2]'), ('[0,0,0]'), ('[-0,0,-0]'), ('[1,2,3,4]'), ('[-5]');
SELECT v FROM types_btree ORDER BY v, id;
SELECT v FROM types_btree ORDER BY v DESC, id;
SELECT v FROM types_btree ORDER BY v NULLS FIRST, id LIMIT 2;
SET enable_hashagg = off;
SELECT v, count(*) FROM types_btree WHERE v <> '[0,0,0]' OR v IS NULL GROUP BY v ORDER BY v;
SELECT count(DISTINCT v) FROM types_btree;
SELECT v FROM types_btree WHERE id > 1 EXCEPT SELECT v FROM types_btree WHERE id IN (1, 4) ORDER BY v;
RESET enable_hashagg;

-- index
CREATE INDEX types_btree_v ON types_btree (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM types_btree WHERE v = '[1,2,3]';
SELECT id, v FROM types_btree WHERE v = '[1,2,3]';
SELECT id, v FROM types_btree WHERE v = '[0,-0,0]' ORDER BY id;
EXPLAIN (COSTS OFF) SELECT v FROM types_btree ORDER BY v LIMIT 3;
SELECT v = '[0,0,0]' FROM types_btree ORDER BY v LIMIT 4;
SELECT v FROM types_btree WHERE v > '[1,1,1]' AND v <= '[1,2,3]' ORDER BY v;
SELECT v FROM types_btree WHERE v IN ('[1,2]', '[-5]', '[7]') ORDER BY v;
SELECT v FROM types_btree WHERE v IS NULL;
SELECT v FROM types_btree WHERE v > '[1,1,1]' ORDER BY v DESC;
EXPLAIN (COSTS OFF) SELECT v FROM types_btree WHERE v >= '[1,2]' ORDER BY v DESC;
RESET enable_bitmapscan;
RESET enable_seqscan;
INSERT INTO types_btree (v) SELECT ARRAY[i % 101, i % 7]::vector FROM generate_series(1, 5000) i;
REINDEX INDEX types_btree_v;
SET enable_seqscan = off;
SELECT count(*) FROM types_btree WHERE v >= '[50]' AND v < '[51]';
RESET enable_seqscan;
SELECT count(*) FROM types_btree WHERE v >= '[50]' AND v < '[51]';

-- unique
CREATE TABLE types_unique (v vector(2) PRIMARY KEY);
INSERT INTO types_unique VALUES ('[0,1]'), ('[1,0]');
SELECT pg_temp.attempt($$INSERT INTO types_unique VALUES ('[-0,1]')$$);
INSERT INTO types_unique VALUES ('[0,1]'), ('[2,2]') ON CONFLICT DO NOTHING;
SELECT count(*) FROM types_unique;
DROP TABLE types_unique;

-- rows of a btree are limited by the server
SELECT left(pg_temp.attempt('INSERT INTO types_btree (v) VALUES (array_fill(0.5, ARRAY[3000])::vector)'), 5);
SELECT pg_temp.attempt('INSERT INTO types_btree (v) VALUES (array_fill(0.5, ARRAY[600])::vector) RETURNING vector_dims(v)');

-- wide vectors sort without an index
CREATE TEMP TABLE wide AS SELECT i, (SELECT array_agg((i * 7919 + j / 15999 * i) % 3) FROM generate_series(1, 16000) j)::vector AS v FROM generate_series(1, 12) i;
SELECT array_agg(i) FROM (SELECT i FROM wide ORDER BY v, i) s;
SELECT count(DISTINCT v) FROM wide;

-- merge join
SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide a JOIN wide b ON a.v = b.v;
SELECT count(*) FROM wide a JOIN wide b ON a.v = b.v;
RESET ALL;

-- statistics
ANALYZE types_btree;
SELECT n_distinct <> 0, histogram_bounds IS NOT NULL FROM pg_stats WHERE tablename = 'types_btree' AND attname = 'v';
DROP TABLE types_btree;
