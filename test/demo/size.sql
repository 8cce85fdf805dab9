-- Sizes of the demo's table and index.

\pset footer off
SELECT pg_size_pretty(pg_total_relation_size('packages') - pg_indexes_size('packages')) AS "table",
	   pg_size_pretty(pg_relation_size('packages_embedding_idx')) AS "vector index",
	   round(100.0 * pg_relation_size('packages_embedding_idx') /
			 (pg_total_relation_size('packages') - pg_indexes_size('packages'))) || ' %' AS "index / table";
