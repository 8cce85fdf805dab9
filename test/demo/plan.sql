-- The plan of a nearest-neighbour query, once what it reads is in memory.

\pset footer off
PREPARE nearest AS
	SELECT name
	FROM packages
	ORDER BY embedding <=> (SELECT embedding FROM packages WHERE name = 'postgresql')
	LIMIT 10;

\o /dev/null
EXECUTE nearest;
\o
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) EXECUTE nearest;
