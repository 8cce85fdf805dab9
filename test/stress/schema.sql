-- schema.sql -- tables and random work of the stress scripts; read after ../sql/knn.sql.

SET search_path = knn, public;
CREATE SEQUENCE ids;

-- Clustered rows, and of each hundred a few that are NULL, zero, equal, or too large for a code.
CREATE FUNCTION vector_of(seed int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE seed % 100
		WHEN 1 THEN NULL WHEN 2 THEN NULL
		WHEN 3 THEN '[0,0,0,0,0,0,0,0,0,0,0,0]'
		WHEN 4 THEN '[1e30,1,1,1,1,1,1,1,1,1,1,-1e30]'
		WHEN 5 THEN '[1,2,3,4,5,6,7,8,9,10,11,12]' WHEN 6 THEN '[1,2,3,4,5,6,7,8,9,10,11,12]'
		ELSE made(12, seed, 15, 0.7) END
$$;

CREATE FUNCTION insert_some(t text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('INSERT INTO %I SELECT i, vector_of(i) FROM (SELECT nextval(''ids'')::int AS i FROM generate_series(1, %s)) s', t, n);
	END
$$;
CREATE FUNCTION update_some(t text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('UPDATE %I SET v = vector_of((random() * 1e6)::int) WHERE id IN
			(SELECT id FROM %I WHERE id %% 7 = (random() * 6)::int ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)', t, t, n);
	END
$$;
-- The oldest rows go, or any, or all of one kind.
CREATE FUNCTION delete_some(t text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('DELETE FROM %I WHERE id IN (SELECT id FROM %I WHERE %s ORDER BY %s LIMIT %s FOR UPDATE SKIP LOCKED)', t, t,
			CASE (random() * 3)::int WHEN 0 THEN 'id % 15 = 3' ELSE 'true' END, CASE (random() * 2)::int WHEN 0 THEN 'random()' ELSE 'id' END, n);
	END
$$;

CREATE FUNCTION random_query(t text) RETURNS vector LANGUAGE plpgsql AS $$
	DECLARE
		q vector;
	BEGIN
		IF random() < 0.5 THEN
			RETURN made(12, (random() * 1e6)::int, 15, 0.7);
		END IF;
		EXECUTE format('SELECT v FROM %I WHERE v IS NOT NULL ORDER BY random() LIMIT 1', t) INTO q;
		RETURN coalesce(q, '[1,1,1,1,1,1,1,1,1,1,1,1]');
	END
$$;
CREATE FUNCTION operator_of(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE name WHEN 'l2' THEN '<->' WHEN 'ip' THEN '<#>' WHEN 'l1' THEN '<+>' ELSE '<=>' END $$;

-- 'ok', or what differs: everything read; or no setting, when no row may be missing or come twice. To be called
-- under REPEATABLE READ.
CREATE FUNCTION check_once(t text, name text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		q vector := random_query(t);
		lim int := (ARRAY[1, 10, 50, NULL]) [1 + (random() * 3)::int];
		verdict text;
	BEGIN
		IF random() < 0.6 THEN
			verdict := exact_verdict(t, operator_of(name), ARRAY[q], lim);
		ELSE
			verdict := verdict(t, operator_of(name), ARRAY[q], lim, 0, 'true', false);
		END IF;
		RETURN CASE verdict WHEN 'ok' THEN 'ok' ELSE format('%s_%s limit %s query %s: %s', t, name, lim, q, verdict) END;
	END
$$;
CREATE FUNCTION check_all(t text, name text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		lim int;
		verdict text;
	BEGIN
		FOREACH lim IN ARRAY ARRAY[1, 20, NULL] LOOP
			verdict := exact_verdict(t, operator_of(name), ARRAY[random_query(t), random_query(t), '[0,0,0,0,0,0,0,0,0,0,0,0]'], lim);
			IF verdict <> 'ok' THEN
				RETURN format('limit %s: %s', lim, verdict);
			END IF;
		END LOOP;
		RETURN 'ok';
	END
$$;

-- A VACUUM that wants to truncate waits five seconds for its lock, and others wait for it.
CREATE TABLE a (id int PRIMARY KEY, v vector(12)) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
CREATE TABLE b (LIKE a INCLUDING INDEXES) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
CREATE TABLE g (LIKE a INCLUDING INDEXES) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
CREATE TABLE h (LIKE a INCLUDING INDEXES) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
CREATE INDEX a_l2 ON a USING ivf (v vector_l2_ops);
CREATE INDEX a_ip ON a USING ivf (v vector_ip_ops) WITH (bits = 4);
CREATE INDEX a_cosine ON a USING ivf (v vector_cosine_ops) WITH (bits = 1);
CREATE INDEX g_l2 ON g USING hnsw (v vector_l2_ops);
CREATE INDEX g_ip ON g USING hnsw (v vector_ip_ops) WITH (bits = 6);
CREATE INDEX g_cosine ON g USING hnsw (v vector_cosine_ops) WITH (m = 4, ef_construction = 16);
SELECT insert_some('a', 500), insert_some('b', 500), insert_some('g', 500), insert_some('h', 500);
CREATE INDEX b_l2 ON b USING ivf (v vector_l2_ops) WITH (quantizer = sq8, lists = 20);
CREATE INDEX b_ip ON b USING ivf (v vector_ip_ops) WITH (quantizer = flat);
CREATE INDEX b_cosine ON b USING ivf (v vector_cosine_ops);
CREATE INDEX h_l2 ON h USING hnsw (v vector_l2_ops) WITH (m = 6, ef_construction = 20);
CREATE INDEX h_l1 ON h USING hnsw (v vector_l1_ops);
CREATE INDEX h_cosine ON h USING hnsw (v vector_cosine_ops) WITH (bits = 8);
