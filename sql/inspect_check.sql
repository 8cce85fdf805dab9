-- inspect: vecpg_check finds nothing wrong, whatever has been done to the table

\pset format unaligned
\pset tuples_only on

-- reproducible vectors, the same on every machine
CREATE FUNCTION pg_temp.vec(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(((i::bigint * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, dims) d $$;

-- the findings of all indexes of the table, or "sound"
CREATE FUNCTION pg_temp.verdict(name text DEFAULT 'inspect_check') RETURNS SETOF text LANGUAGE sql AS $$
	WITH found AS (
		SELECT c.relname || ' ' || coalesce(f.block::text, '-') || ' ' || coalesce(f.item::text, '-') || ' ' || f.problem AS line
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, vecpg_check(c.oid, true) f
		WHERE i.indrelid = to_regclass(name))
	SELECT line FROM (SELECT line FROM found UNION ALL SELECT 'sound' WHERE NOT EXISTS (SELECT FROM found)) all_lines
	ORDER BY line COLLATE "C" LIMIT 20
$$;

CREATE TABLE inspect_check (id int, note text, v vector(20)) WITH (autovacuum_enabled = off);
INSERT INTO inspect_check SELECT i, 'built', pg_temp.vec(i, 20) FROM generate_series(1, 3000) i;
INSERT INTO inspect_check SELECT -i, 'null', NULL FROM generate_series(1, 5) i;
INSERT INTO inspect_check SELECT -10 - i, 'zero', array_fill(0, ARRAY[20])::vector FROM generate_series(1, 5) i;
INSERT INTO inspect_check VALUES (-20, 'long', array_fill(1e16::real, ARRAY[20])::vector);
CREATE INDEX check_l2 ON inspect_check USING ivf (v);
CREATE INDEX check_l2_short ON inspect_check USING ivf (v) WITH (bits = 1, lists = 3);
CREATE INDEX check_l2_sq8 ON inspect_check USING ivf (v) WITH (quantizer = sq8);
CREATE INDEX check_ip ON inspect_check USING ivf (v vector_ip_ops) WITH (bits = 4);
CREATE INDEX check_cosine ON inspect_check USING ivf (v vector_cosine_ops) WITH (quantizer = flat);
CREATE INDEX check_partial ON inspect_check USING ivf (v) WHERE id % 2 = 0;
CREATE INDEX check_expression ON inspect_check USING ivf ((v::real[]::vector(20)));
SELECT pg_temp.verdict();

-- each step alone, then all of them
DELETE FROM inspect_check WHERE id % 4 = 1;
SELECT pg_temp.verdict();
VACUUM inspect_check;
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT i, 'new', pg_temp.vec(i, 20) FROM generate_series(3001, 4000) i;
INSERT INTO inspect_check SELECT -100 - i, 'null', NULL FROM generate_series(1, 5) i;
INSERT INTO inspect_check SELECT -200 - i, 'zero', array_fill(0, ARRAY[20])::vector FROM generate_series(1, 5) i;
SELECT pg_temp.verdict();
-- HOT and other updates: an index row is that of the chain's root
UPDATE inspect_check SET note = 'hot' WHERE id % 3 = 0;
UPDATE inspect_check SET note = 'hot again' WHERE id % 9 = 0;
UPDATE inspect_check SET v = pg_temp.vec(id + 1, 20) WHERE id % 10 = 0;
UPDATE inspect_check SET v = NULL WHERE id % 100 = 7;
SELECT pg_temp.verdict();
-- rows close to one another: their list is split
INSERT INTO inspect_check SELECT 10000 + i, 'near', (ARRAY[i::real / 1000] || array_fill(500::real, ARRAY[19]))::vector
	FROM generate_series(1, 1500) i;
SELECT count(*) FILTER (WHERE ((vecpg_index_info(indexrelid)).details->>'splits')::int > 0) >= 4 AS split
	FROM pg_index WHERE indrelid = 'inspect_check'::regclass;
SELECT pg_temp.verdict();
-- all alike: no split can part them
INSERT INTO inspect_check SELECT 20000 + i, 'same', pg_temp.vec(1, 20) FROM generate_series(1, 500) i;
SELECT pg_temp.verdict();
-- undone
BEGIN;
INSERT INTO inspect_check SELECT 30000 + i, 'undone', pg_temp.vec(i, 20) FROM generate_series(1, 500) i;
SELECT pg_temp.verdict();
ROLLBACK;
SELECT pg_temp.verdict();
DELETE FROM inspect_check WHERE id > 3000;
VACUUM inspect_check;
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT i, 'reused', pg_temp.vec(i, 20) FROM generate_series(3001, 6000) i;
SELECT pg_temp.verdict();
DELETE FROM inspect_check;
VACUUM inspect_check;
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT i, 'again', pg_temp.vec(i, 20) FROM generate_series(1, 100) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_check;

-- built empty; unlogged; rows of several pages; one dimension
CREATE TABLE inspect_check (v vector(1));
CREATE INDEX check_empty ON inspect_check USING ivf (v);
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT ARRAY[i]::vector FROM generate_series(1, 300) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_check;
CREATE UNLOGGED TABLE inspect_check (id int, v vector(12000));
INSERT INTO inspect_check SELECT i, pg_temp.vec(i, 12000) FROM generate_series(1, 6) i;
CREATE INDEX check_wide ON inspect_check USING ivf (v);
CREATE INDEX check_wide_ip ON inspect_check USING ivf (v vector_ip_ops) WITH (quantizer = flat);
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT i, pg_temp.vec(i, 12000) FROM generate_series(7, 10) i;
DELETE FROM inspect_check WHERE id % 2 = 0;
SELECT pg_temp.verdict();
VACUUM inspect_check;
SELECT pg_temp.verdict();
INSERT INTO inspect_check SELECT i, pg_temp.vec(i, 12000) FROM generate_series(11, 14) i;
SELECT pg_temp.verdict();
DROP TABLE inspect_check;

-- a row that the index does not have
CREATE TABLE inspect_check (id int, v vector(4));
INSERT INTO inspect_check SELECT i, pg_temp.vec(i, 4) FROM generate_series(1, 200) i;
CREATE INDEX check_lacking ON inspect_check USING ivf (v);
UPDATE pg_index SET indisready = false WHERE indexrelid = 'check_lacking'::regclass;
INSERT INTO inspect_check VALUES (201, pg_temp.vec(201, 4)), (202, NULL);
UPDATE pg_index SET indisready = true WHERE indexrelid = 'check_lacking'::regclass;
SELECT * FROM vecpg_check('check_lacking');
SELECT * FROM vecpg_check('check_lacking', heapallindexed => true);
REINDEX INDEX check_lacking;
SELECT * FROM vecpg_check('check_lacking', true);

-- what is no vecpg index, and who may ask
CREATE INDEX check_btree ON inspect_check (id);
SELECT * FROM vecpg_check('check_btree');
SELECT * FROM vecpg_check('inspect_check');
SELECT * FROM vecpg_check(0);
SELECT * FROM vecpg_check(NULL);
CREATE TABLE inspect_parts (v vector(4)) PARTITION BY LIST ((v IS NULL));
CREATE INDEX check_parts ON inspect_parts USING ivf (v);
SELECT * FROM vecpg_check('check_parts');
CREATE ROLE regress_inspect_owner;
CREATE ROLE regress_inspect_other;
ALTER TABLE inspect_check OWNER TO regress_inspect_owner;
SET ROLE regress_inspect_owner;
SELECT * FROM vecpg_check('check_lacking');
RESET ROLE;
GRANT EXECUTE ON FUNCTION vecpg_check(regclass, boolean) TO regress_inspect_owner, regress_inspect_other;
GRANT SELECT ON inspect_check TO regress_inspect_other;
SET ROLE regress_inspect_owner;
SELECT * FROM vecpg_check('check_lacking', true);
SET ROLE regress_inspect_other;
SELECT * FROM vecpg_check('check_lacking', true);
RESET ROLE;
REVOKE EXECUTE ON FUNCTION vecpg_check(regclass, boolean) FROM regress_inspect_owner, regress_inspect_other;
DROP TABLE inspect_check, inspect_parts;
DROP ROLE regress_inspect_owner, regress_inspect_other;
