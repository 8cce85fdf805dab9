-- Recall@10 of the index: how many of the true ten nearest it finds, over 200 packages as queries.

\pset footer off
CREATE TEMPORARY TABLE queries AS
	SELECT id, embedding FROM packages WHERE id % 29 = 0 ORDER BY id LIMIT 200;
ANALYZE queries;

-- One question for each query; the settings decide how it is answered.
CREATE FUNCTION pg_temp.nearest_ten() RETURNS TABLE (query integer, neighbour integer)
LANGUAGE sql AS $$
	SELECT q.id, n.id
	FROM queries q
	CROSS JOIN LATERAL (SELECT p.id FROM packages p ORDER BY p.embedding <=> q.embedding LIMIT 10) n
$$;

SET enable_indexscan = off;
SELECT clock_timestamp() AS started \gset
CREATE TEMPORARY TABLE exact AS SELECT * FROM pg_temp.nearest_ten();
SELECT extract(epoch FROM clock_timestamp() - :'started'::timestamptz) * 1000 / 200 AS exact_ms \gset

RESET enable_indexscan;
SET enable_seqscan = off;
SELECT clock_timestamp() AS started \gset
CREATE TEMPORARY TABLE found AS SELECT * FROM pg_temp.nearest_ten();
SELECT extract(epoch FROM clock_timestamp() - :'started'::timestamptz) * 1000 / 200 AS found_ms \gset

SELECT round(count(f.neighbour)::numeric / count(*), 4) AS "recall@10",
	   round(:found_ms, 2) AS "ms per query, index",
	   round(:exact_ms, 2) AS "ms per query, every row"
FROM exact e
LEFT JOIN found f USING (query, neighbour);
