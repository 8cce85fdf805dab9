-- The plan of a nearest-neighbour query.

\pset footer off
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF)
SELECT name
FROM packages
ORDER BY embedding <=> (SELECT embedding FROM packages WHERE name = 'postgresql')
LIMIT 10;
