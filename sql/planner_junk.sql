-- A hidden distance that nobody reads is not computed; where it is read, it stays.
SELECT vecpg_cpu() IS NOT NULL AS loaded;
CREATE TABLE pj (id int, v vector(3));
INSERT INTO pj SELECT i, ARRAY[i % 17, i % 13, i % 7]::vector(3) FROM generate_series(1, 500) i;
CREATE INDEX pj_v ON pj USING ivf (v vector_l2_ops);
SET enable_seqscan = off;
-- gone
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM pj ORDER BY v <-> '[1,2,3]' LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM (SELECT id FROM pj ORDER BY v <-> '[1,2,3]' LIMIT 3) x;
-- kept: selected, compared by ties, locked
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, v <-> '[1,2,3]' AS d FROM pj ORDER BY d LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM pj ORDER BY v <-> '[1,2,3]' FETCH FIRST 3 ROWS WITH TIES;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM pj ORDER BY v <-> '[1,2,3]' LIMIT 3 FOR UPDATE;
-- the answers are the same
PREPARE near(vector) AS SELECT id FROM pj ORDER BY v <-> $1 LIMIT 40;
CREATE TEMP TABLE by_index AS EXECUTE near('[4,5,6]');
SELECT count(*), bool_and(d <= worst) AS nearest
	FROM (SELECT v <-> '[4,5,6]' AS d FROM pj JOIN by_index USING (id)) a,
		 (SELECT max(d) AS worst FROM (SELECT v <-> '[4,5,6]' AS d FROM pj ORDER BY v <-> '[4,5,6]' LIMIT 40) b) w;
DROP TABLE pj;
