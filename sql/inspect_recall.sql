-- inspect: vecpg_recall

\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.vec(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(((i::bigint * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, dims) d $$;

CREATE TABLE inspect_recall (id int, v vector(16)) WITH (autovacuum_enabled = off);
INSERT INTO inspect_recall SELECT i, pg_temp.vec(i, 16) FROM generate_series(1, 2000) i;
INSERT INTO inspect_recall SELECT -i, NULL FROM generate_series(1, 3) i;
INSERT INTO inspect_recall SELECT -i, array_fill(0, ARRAY[16])::vector FROM generate_series(1, 3) i;
-- ties
INSERT INTO inspect_recall SELECT 5000 + i, pg_temp.vec(7, 16) FROM generate_series(1, 40) i;
CREATE INDEX recall_l2 ON inspect_recall USING ivf (v);
CREATE INDEX recall_ip ON inspect_recall USING ivf (v vector_ip_ops) WITH (bits = 4);
CREATE INDEX recall_cosine ON inspect_recall USING ivf (v vector_cosine_ops) WITH (bits = 1);
CREATE INDEX recall_flat ON inspect_recall USING ivf (v) WITH (quantizer = flat) WHERE id % 2 = 0;
CREATE INDEX recall_expression ON inspect_recall USING ivf ((v::real[]::vector(16)) vector_cosine_ops) WITH (quantizer = sq8);
CREATE VIEW all_recall AS
	SELECT i::regclass::text AS index, r.* FROM unnest('{recall_l2,recall_ip,recall_cosine,recall_flat,recall_expression}'::regclass[]) i,
		vecpg_recall(i, 50) r;

-- every list: nothing is missed but what the 1-bit code passes over
SET ivf.probes = 1000000;
SELECT index, recall >= 0.97 AS recall, queries, visited > 1 AS visited, pages > 1 AS pages, order_errors, bound_errors FROM all_recall;
-- the default target, up to chance
RESET ivf.probes;
SELECT index, recall >= 0.8 AS recall, queries, order_errors, bound_errors FROM all_recall;
-- one list: less is found, and less is read
SET ivf.probes = 1;
SET ivf.iterative_scan = off;
SELECT index, recall < 0.99 AS less, visited FROM all_recall WHERE index IN ('recall_l2', 'recall_flat');
RESET ivf.probes;
RESET ivf.iterative_scan;

-- rows that came, went and moved
DELETE FROM inspect_recall WHERE id % 3 = 0;
INSERT INTO inspect_recall SELECT i, pg_temp.vec(i, 16) FROM generate_series(2001, 3000) i;
VACUUM inspect_recall;
INSERT INTO inspect_recall SELECT i, pg_temp.vec(i, 16) FROM generate_series(3001, 4000) i;
SET ivf.probes = 1000000;
SELECT index, recall >= 0.97 AS recall, queries FROM all_recall;
-- other k and samples
SELECT recall >= 0.97 AS recall, queries FROM vecpg_recall('recall_l2', 20, 1);
SELECT recall >= 0.97 AS recall, queries FROM vecpg_recall('recall_l2', 20, 100);
SELECT recall >= 0.97 AS recall, queries FROM vecpg_recall('recall_flat', sample => 10000, k => 3);
RESET ivf.probes;
SELECT vecpg_recall('recall_l2', 0);
SELECT vecpg_recall('recall_l2', 10001);
SELECT vecpg_recall('recall_l2', 10, 0);
SELECT vecpg_recall('recall_l2', 10, 1001);

-- no rows to ask with
CREATE TABLE inspect_recall_empty (v vector(3));
CREATE INDEX recall_empty ON inspect_recall_empty USING ivf (v vector_cosine_ops);
SELECT * FROM vecpg_recall('recall_empty');
INSERT INTO inspect_recall_empty VALUES (NULL), ('[0,0,0]');
SELECT * FROM vecpg_recall('recall_empty');
INSERT INTO inspect_recall_empty VALUES ('[1,2,3]');
SELECT recall, queries FROM vecpg_recall('recall_empty');

-- what is no usable vecpg index, and who may ask
CREATE INDEX recall_btree ON inspect_recall (id);
SELECT * FROM vecpg_recall('recall_btree');
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'recall_empty'::regclass;
SELECT * FROM vecpg_recall('recall_empty');
CREATE ROLE regress_inspect_recall;
SET ROLE regress_inspect_recall;
SELECT recall IS NOT NULL FROM vecpg_recall('recall_l2', 5);
RESET ROLE;
GRANT SELECT ON inspect_recall TO regress_inspect_recall;
SET ROLE regress_inspect_recall;
SELECT recall IS NOT NULL FROM vecpg_recall('recall_l2', 5);
RESET ROLE;
ALTER TABLE inspect_recall ENABLE ROW LEVEL SECURITY;
SET ROLE regress_inspect_recall;
SELECT recall IS NOT NULL FROM vecpg_recall('recall_l2', 5);
RESET ROLE;
SELECT recall IS NOT NULL FROM vecpg_recall('recall_l2', 5);
DROP VIEW all_recall;
DROP TABLE inspect_recall, inspect_recall_empty;
DROP ROLE regress_inspect_recall;
