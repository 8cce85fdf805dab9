-- types: hash of vector: joins, aggregates, indexes, partitions

\pset format unaligned
\pset tuples_only on

-- equal vectors have equal hashes, and the two functions agree for seed 0
CREATE TABLE types_hash (id int, v vector);
INSERT INTO types_hash SELECT i, array_agg(CASE WHEN j * i % 4 = 0 THEN (CASE WHEN i % 2 = 0 THEN '-0' ELSE '0' END)::real ELSE i / 10 + j % 5 END ORDER BY j)::vector
	FROM generate_series(1, 300) i, LATERAL generate_series(1, 1 + i % 5) j GROUP BY i;
INSERT INTO types_hash SELECT 1000 + n, array_fill(0.5, ARRAY[n])::vector FROM unnest(ARRAY[63, 64, 65, 127, 128, 129, 16000]) n;
INSERT INTO types_hash SELECT id + 10000, v FROM types_hash;
SELECT count(*) FILTER (WHERE a.v = b.v) > 600,
	count(*) FILTER (WHERE a.v = b.v AND (hash_vector(a.v) <> hash_vector(b.v) OR hash_vector_extended(a.v, 0) <> hash_vector_extended(b.v, 0)
		OR hash_vector_extended(a.v, 42) <> hash_vector_extended(b.v, 42))) AS broken,
	count(*) FILTER (WHERE a.v <> b.v AND hash_vector(a.v) = hash_vector(b.v)) AS collisions
	FROM types_hash a, types_hash b;
SELECT count(*) FROM types_hash WHERE hash_vector(v) <> hash_vector_extended(v, 0)::bit(32)::int;
SELECT count(*) FROM types_hash WHERE hash_vector_extended(v, 0) = hash_vector_extended(v, 1);
SELECT hash_vector('[0]') = hash_vector('[-0]'), hash_vector('[0]') <> hash_vector('[0,0]'), hash_vector('[1,2]') <> hash_vector('[2,1]'),
	hash_vector_extended('[0,1]', 7) = hash_vector_extended('[-0,1]', 7), hash_vector(NULL) IS NULL;
SELECT hash_vector(array_fill(0, ARRAY[64])::vector) <> hash_vector(array_fill(0, ARRAY[128])::vector);

-- hash aggregate, hash join
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT v, count(*) FROM types_hash GROUP BY v;
SELECT count(*), sum(c), bool_and(c >= 2) FROM (SELECT v, count(*) AS c FROM types_hash GROUP BY v) s;
RESET enable_sort;
SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM types_hash a JOIN types_hash b ON a.v = b.v;
CREATE TEMP TABLE joins AS SELECT count(*) FROM types_hash a JOIN types_hash b ON a.v = b.v;
SELECT count(*) FROM types_hash a WHERE NOT EXISTS (SELECT FROM types_hash b WHERE b.v = a.v AND b.id <> a.id);
RESET enable_nestloop;
SET enable_hashjoin = off;
SELECT (SELECT count(*) FROM types_hash a JOIN types_hash b ON a.v = b.v) = joins.count FROM joins;
RESET ALL;
SELECT count(*) FROM (SELECT v FROM types_hash INTERSECT SELECT v FROM types_hash) s, (SELECT count(DISTINCT v) AS n FROM types_hash) t GROUP BY n HAVING count(*) <> n;

-- hash index
CREATE INDEX types_hash_v ON types_hash USING hash (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM types_hash WHERE v = '[-0,1]';
INSERT INTO types_hash VALUES (20001, '[0,7]'), (20002, '[-0,7]'), (20003, '[0,7,0]');
SELECT id FROM types_hash WHERE v = '[-0,7]' ORDER BY id;
SELECT id FROM types_hash WHERE v = array_fill(0.5, ARRAY[16000])::vector ORDER BY id;
RESET ALL;
DROP TABLE types_hash;

-- hash partitions
CREATE TABLE types_parts (id int, v vector) PARTITION BY HASH (v);
CREATE TABLE types_parts_0 PARTITION OF types_parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE types_parts_1 PARTITION OF types_parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE types_parts_2 PARTITION OF types_parts FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO types_parts SELECT i, ARRAY[i % 50, i % 7]::vector FROM generate_series(1, 1000) i;
INSERT INTO types_parts VALUES (2001, '[0,99]'), (2002, '[-0,99]'), (2003, NULL);
SELECT count(DISTINCT tableoid), min(tableoid::regclass::text) <> max(tableoid::regclass::text) FROM types_parts;
SELECT count(DISTINCT tableoid), count(*) FROM types_parts WHERE v = '[0,99]';
SELECT id FROM types_parts WHERE v = '[-0,99]' ORDER BY id;
-- one of three is read
CREATE FUNCTION pg_temp.scans(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n bigint := 0;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		n := n + (line LIKE '%Scan on types_parts%')::int;
	END LOOP;
	RETURN n;
END
$$;
SELECT pg_temp.scans('SELECT * FROM types_parts'), pg_temp.scans($$SELECT * FROM types_parts WHERE v = '[1,2]'$$);
SELECT (SELECT count(*) FROM types_parts WHERE v = ARRAY[i % 50, i % 7]::vector) > 0 AS found, count(*) FROM generate_series(1, 1000) i GROUP BY found;
DROP TABLE types_parts;

-- operator classes
SELECT amname, opcname, opcdefault FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE opcintype = 'vector'::regtype AND amname IN ('btree', 'hash') ORDER BY 1;
SELECT amname, amvalidate FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod, LATERAL (SELECT amvalidate(c.oid)) AS v
	WHERE opcintype = 'vector'::regtype AND amname IN ('btree', 'hash') ORDER BY 1;
