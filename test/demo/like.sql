-- The nearest packages to :'name', and the time of the query when the index is in memory.

\pset footer off
PREPARE nearest(text) AS
	SELECT name, section, round((embedding <=> (SELECT embedding FROM packages WHERE name = $1))::numeric, 3) AS distance,
		   split_part(description, '. ', 1) AS description
	FROM packages
	ORDER BY embedding <=> (SELECT embedding FROM packages WHERE name = $1)
	LIMIT 6;

\o /dev/null
EXECUTE nearest(:'name');
\o
\timing on
EXECUTE nearest(:'name');
