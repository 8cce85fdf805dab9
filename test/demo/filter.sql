-- A filter beside the order: the scan goes on until LIMIT is satisfied.

\pset footer off
SELECT name, section, round((embedding <=> (SELECT embedding FROM packages WHERE name = 'nginx'))::numeric, 3) AS distance,
	   split_part(description, '. ', 1) AS description
FROM packages
WHERE section = 'httpd'
ORDER BY embedding <=> (SELECT embedding FROM packages WHERE name = 'nginx')
LIMIT 6;
