-- knn.sql -- helpers of the index tests: made vectors, and an index's answer beside the table's own.
--
-- Not a test. A regress test reads it with ECHO off, a TAP test from ../sql; both then have schema knn
-- first in their search path. Tables have columns id int and v vector.
--
-- Nothing here may print what depends on the CPU: answers are compared, and the verdict is printed.

CREATE SCHEMA knn;
SET search_path = knn, public;

-- A vector of numbers in (-1, 1), always the same for a seed; with clusters, near centre seed % clusters.
CREATE FUNCTION made(dims int, seed int, clusters int DEFAULT 0, spread float8 DEFAULT 0.2) RETURNS vector
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $$
		SELECT array_agg((CASE WHEN clusters > 0
			THEN (hashint8extended(j, seed % greatest(clusters, 1) + 1000003) + spread * hashint8extended(j, seed)) / 2 ^ 63
			ELSE hashint8extended(j, seed) / 2 ^ 63 END)::real ORDER BY j)::vector
		FROM generate_series(1, dims) j
	$$;

-- Some of them.
CREATE FUNCTION queries(dims int, n int, clusters int DEFAULT 0) RETURNS vector[]
	LANGUAGE sql IMMUTABLE
	AS $$ SELECT array_agg(made(dims, 900000 + i, clusters)) FROM generate_series(1, n) i $$;

CREATE TYPE answer AS (n bigint, ids int[], d float8[]);

CREATE FUNCTION question(tab text, op text, lim int, cond text) RETURNS text
	LANGUAGE sql IMMUTABLE
	AS $$
		SELECT format('SELECT count(*), array_agg(id), array_agg(d) FROM (SELECT id, v %s $1 AS d FROM %s WHERE %s ORDER BY v %s $1 %s) s',
			op, tab, cond, op, 'LIMIT ' || lim)
	$$;

-- No JIT here and below: it would compile every query for the one time that it runs.
CREATE FUNCTION by_table(tab text, op text, q vector, lim int, cond text DEFAULT 'true') RETURNS answer
	LANGUAGE plpgsql SET jit = off SET enable_indexscan = off SET enable_bitmapscan = off
	AS $$
		DECLARE
			result answer;
		BEGIN
			EXECUTE question(tab, op, lim, cond) INTO result USING q;
			RETURN result;
		END
	$$;

CREATE FUNCTION by_index(tab text, op text, q vector, lim int, cond text DEFAULT 'true') RETURNS answer
	LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off
	AS $$
		DECLARE
			result answer;
			line text;
			used boolean := false;
		BEGIN
			FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || question(tab, op, lim, cond) USING q LOOP
				used := used OR (line LIKE '%Order By: (%' AND position(op IN line) > 0);
			END LOOP;
			IF NOT used THEN
				RAISE EXCEPTION 'the plan of % % does not use the index', tab, op;
			END IF;
			EXECUTE question(tab, op, lim, cond) INTO result USING q;
			RETURN result;
		END
	$$;

CREATE FUNCTION plan_has(query text, node text) RETURNS boolean
	LANGUAGE plpgsql
	AS $$
		DECLARE
			line text;
		BEGIN
			FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
				IF position(node IN line) > 0 THEN
					RETURN true;
				END IF;
			END LOOP;
			RETURN false;
		END
	$$;

-- Numbers ascending, then NaN, then NULL.
CREATE FUNCTION in_order(d float8[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	AS $$
		SELECT coalesce(bool_and(x >= before AND (is_null OR NOT null_before)), true)
		FROM (SELECT coalesce(x, 'NaN') AS x, lag(coalesce(x, 'NaN'), 1, '-Infinity') OVER w AS before,
				x IS NULL AS is_null, lag(x IS NULL, 1, false) OVER w AS null_before
			FROM unnest(d) WITH ORDINALITY AS u(x, o) WINDOW w AS (ORDER BY o)) s
	$$;

-- Of the table's answer, the share whose distance the index's answer has too.
CREATE FUNCTION recall(exact answer, found answer) RETURNS float8
	LANGUAGE sql IMMUTABLE
	AS $$
		SELECT CASE WHEN exact.n = 0 THEN 1 ELSE
			(SELECT count(*) FROM unnest(found.d) x WHERE coalesce(x, 'NaN') <= coalesce(exact.d[exact.n], 'NaN'))::float8 / exact.n END
	$$;

-- 'ok', or what is wrong: number of rows always, order unless told otherwise, recall over all queries at least `want`;
-- 1 asks for the very distances of the table's answer. A LIMIT of NULL is none.
CREATE FUNCTION verdict(tab text, op text, queries vector[], lim int, want float8 DEFAULT 1, cond text DEFAULT 'true',
		ordered boolean DEFAULT true) RETURNS text
	LANGUAGE plpgsql
	AS $$
		DECLARE
			q vector;
			exact answer;
			found answer;
			total float8 := 0;
		BEGIN
			FOREACH q IN ARRAY queries LOOP
				exact := by_table(tab, op, q, lim, cond);
				found := by_index(tab, op, q, lim, cond);
				IF found.n <> exact.n THEN
					RETURN format('%s rows instead of %s', found.n, exact.n);
				ELSIF (SELECT count(DISTINCT id) FROM unnest(found.ids) id) <> found.n THEN
					RETURN 'a row twice';
				ELSIF ordered AND NOT in_order(found.d) THEN
					RETURN 'not in order';
				ELSIF want = 1 AND exact.d::text IS DISTINCT FROM found.d::text THEN
					RETURN 'other rows';
				END IF;
				total := total + recall(exact, found);
			END LOOP;
			IF total / cardinality(queries) < want THEN
				RETURN format('recall %s', round((total / cardinality(queries))::numeric, 3));
			END IF;
			RETURN 'ok';
		END
	$$;

-- The mean of it over some queries.
CREATE FUNCTION mean_recall(tab text, op text, queries vector[], lim int) RETURNS float8
	LANGUAGE sql
	AS $$ SELECT avg(recall(by_table(tab, op, q, lim), by_index(tab, op, q, lim))) FROM unnest(queries) q $$;

-- Reads every list and every node and trusts no estimate: what is left is the order of certain bounds.
CREATE FUNCTION exact_verdict(tab text, op text, queries vector[], lim int, cond text DEFAULT 'true') RETURNS text
	LANGUAGE sql SET ivf.probes = 1000000 SET hnsw.ef_search = 100000 SET vecpg.epsilon = 10
	AS $$ SELECT verdict(tab, op, queries, lim, 1, cond) $$;

-- Operator classes with their operators, and the codes with the options that choose them.
CREATE VIEW opclasses AS
	SELECT * FROM (VALUES (1, 'vector_l2_ops', '<->'), (2, 'vector_ip_ops', '<#>'), (3, 'vector_cosine_ops', '<=>')) AS v(nr, opclass, op);
CREATE VIEW quantizers AS
	SELECT * FROM (VALUES (1, 'rabitq 8', 'bits = 8'), (2, 'rabitq 4', 'bits = 4'), (3, 'rabitq 1', 'bits = 1'),
		(4, 'sq8', 'quantizer = sq8'), (5, 'flat', 'quantizer = flat')) AS v(nr, quantizer, options);
CREATE VIEW graph_opclasses AS
	SELECT * FROM opclasses UNION ALL VALUES (4, 'vector_l1_ops', '<+>');
CREATE VIEW graph_codes AS
	SELECT * FROM (VALUES (1, 'default', 'bits = 0'), (2, 'bits 6', 'bits = 6'), (3, 'bits 8', 'bits = 8')) AS v(nr, code, options);

-- The error of a statement: its SQLSTATE, message, detail and hint; NULL if it has none.
CREATE FUNCTION error_of(statement text) RETURNS text
	LANGUAGE plpgsql
	AS $$
		DECLARE
			message text;
			detail text;
			hint text;
		BEGIN
			EXECUTE statement;
			RETURN NULL;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
		END
	$$;
