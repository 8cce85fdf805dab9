-- types: distances, arithmetic and other functions of vector

\pset format unaligned
\pset tuples_only on

-- the result of a query as text, or its SQLSTATE, message and detail
CREATE FUNCTION pg_temp.attempt(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	message text;
	detail text;
BEGIN
	EXECUTE query INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''));
END
$$;
-- one line per expression: itself and its value
CREATE FUNCTION pg_temp.show(expressions text[]) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT concat_ws(' = ', e, coalesce(pg_temp.attempt('SELECT ' || e), 'NULL')) FROM unnest(expressions) e $$;

-- distances; operators give the same as functions
SELECT * FROM pg_temp.show(ARRAY[
	$$ l2_distance('[0,0]', '[3,4]') $$, $$ l2_distance('[0,0]', '[0,1]') $$, $$ '[0,0]'::vector <-> '[3,4]' $$,
	$$ '[1]'::vector <-> '[1]' $$, $$ l2_distance('[3e38]', '[-3e38]') $$, $$ l2_distance('[1e-30]', '[2e-30]') $$,
	$$ inner_product('[1,2]', '[3,4]') $$, $$ '[1,2]'::vector <#> '[3,4]' $$, $$ inner_product('[1]', '[-2]') $$,
	$$ '[1]'::vector <#> '[-2]' $$, $$ inner_product('[3e38]', '[3e38]') $$, $$ '[3e38]'::vector <#> '[3e38]' $$,
	$$ inner_product('[3e38,3e38]', '[3e38,-3e38]') IN ('NaN', 'Infinity', '-Infinity') $$,
	$$ cosine_distance('[1,2]', '[2,4]') $$, $$ '[1,2]'::vector <=> '[2,4]' $$, $$ cosine_distance('[1,1]', '[1,1]') $$,
	$$ cosine_distance('[1,0]', '[0,2]') $$, $$ cosine_distance('[1,1]', '[-1,-1]') $$, $$ cosine_distance('[1]', '[-3]') $$,
	$$ cosine_distance('[1,1]', '[1.1,1.1]') $$, $$ cosine_distance('[1,1]', '[-1.1,-1.1]') $$,
	$$ cosine_distance('[1,2]', '[0,0]') $$, $$ cosine_distance('[0,0]', '[1,2]') $$, $$ cosine_distance('[0,0]', '[0,0]') $$,
	$$ cosine_distance('[3e38]', '[3e38]') $$, $$ cosine_distance('[3e38]', '[1]') $$, $$ cosine_distance('[1]', '[-3e38]') $$,
	$$ cosine_distance('[1e-30]', '[1e-30]') $$, $$ cosine_distance('[1e18]', '[-1e-18]') $$,
	$$ l1_distance('[0,0]', '[3,4]') $$, $$ l1_distance('[0,0]', '[0,-1]') $$, $$ '[0,0]'::vector <+> '[3,4]' $$,
	$$ l1_distance('[3e38]', '[-3e38]') $$, $$ l1_distance('[3e38,3e38]', '[0,0]') $$]);

-- support of indexes
SELECT * FROM pg_temp.show(ARRAY[
	$$ vector_l2_squared_distance('[0,0]', '[3,4]') $$, $$ vector_l2_squared_distance('[3e38]', '[0]') $$,
	$$ vector_negative_inner_product('[1,2]', '[3,4]') $$,
	$$ vector_spherical_distance('[1,0]', '[1,0]') $$, $$ vector_spherical_distance('[1,0]', '[0,1]') $$,
	$$ vector_spherical_distance('[1,0]', '[-1,0]') $$, $$ vector_spherical_distance('[2,0]', '[2,0]') $$,
	$$ vector_spherical_distance('[2,0]', '[-2,0]') $$]);

-- dimensions must agree
SELECT * FROM pg_temp.show(ARRAY(SELECT format('%s(%L::vector, %L::vector)', f, '[1,2]', '[3]') FROM unnest(ARRAY[
	'l2_distance', 'inner_product', 'cosine_distance', 'l1_distance', 'vector_l2_squared_distance',
	'vector_negative_inner_product', 'vector_spherical_distance', 'vector_add', 'vector_sub', 'vector_mul']) f));
SELECT * FROM pg_temp.show(ARRAY[$$ '[1]'::vector <-> '[1,2]' $$, $$ '[1]'::vector <#> '[1,2]' $$,
	$$ '[1]'::vector <=> '[1,2]' $$, $$ '[1]'::vector <+> '[1,2]' $$]);

-- NULL gives NULL
SELECT '[1]'::vector <-> NULL IS NULL, NULL::vector <#> '[1]' IS NULL, NULL::vector <=> NULL IS NULL, '[1]'::vector <+> NULL IS NULL,
	'[1]'::vector + NULL IS NULL, vector_norm(NULL) IS NULL, binary_quantize(NULL::vector) IS NULL, vector_dims(NULL::vector) IS NULL;

-- norm, normalize
SELECT * FROM pg_temp.show(ARRAY[
	$$ vector_norm('[3,4]') $$, $$ vector_norm('[0,1]') $$, $$ vector_norm('[0]') $$, $$ vector_norm('[-3e37,-4e37]')::real $$,
	$$ vector_norm('[3e38]')::real $$, $$ vector_norm('[1e-45]')::real $$,
	$$ l2_normalize('[3,4]') $$, $$ l2_normalize('[3,0]') $$, $$ l2_normalize('[0,0.1]') $$, $$ l2_normalize('[0,0]') $$,
	$$ l2_normalize('[-2]') $$, $$ l2_normalize('[3e38]') $$, $$ l2_normalize('[3e38,1e-37]') $$, $$ l2_normalize('[1e-45]') $$,
	$$ l2_normalize('[-0]') $$]);

-- arithmetic
SELECT * FROM pg_temp.show(ARRAY[
	$$ '[1,2,3]'::vector + '[4,5,6]' $$, $$ '[3e38]'::vector + '[3e38]' $$, $$ '[-3e38]'::vector + '[-3e38]' $$,
	$$ '[3e38]'::vector + '[-3e38]' $$, $$ '[1e-45]'::vector + '[-1e-45]' $$,
	$$ '[1,2,3]'::vector - '[4,5,6]' $$, $$ '[-3e38]'::vector - '[3e38]' $$, $$ '[1]'::vector - '[1]' $$,
	$$ '[1,2,3]'::vector * '[4,5,6]' $$, $$ '[1e37]'::vector * '[1e37]' $$, $$ '[-1e37]'::vector * '[1e37]' $$,
	$$ '[1e-37]'::vector * '[1e-37]' $$, $$ '[0]'::vector * '[1e-37]' $$, $$ '[-1]'::vector * '[0]' $$,
	$$ '[1e37,1e-37]'::vector * '[1e37,1e-37]' $$, $$ '[1e-23]'::vector * '[1e-22]' $$,
	$$ '[1,2,3]'::vector || '[4,5]' $$, $$ '[1]'::vector || '[2]' || '[3]' $$,
	$$ vector_dims(array_fill(0, ARRAY[8000])::vector || array_fill(0, ARRAY[8000])::vector) $$,
	$$ vector_dims(array_fill(0, ARRAY[16000])::vector || '[1]') $$]);

-- subvector
SELECT * FROM pg_temp.show(ARRAY(SELECT format('subvector(%L::vector, %s, %s)', '[1,2,3,4,5]', start, count) FROM (VALUES
	(1, 3), (3, 2), (5, 1), (1, 5), (1, 100), (4, 100), (-1, 3), (-1, 2), (0, 1), (0, 2), (-5, 100), (6, 1), (5, 0), (3, -1),
	(2147483647, 10), (1, 2147483647), (3, 2147483647), (2147483647, 2147483647), (-2147483644, 2147483647), (-2147483645, 2147483647),
	(-2147483648, 2147483647), (-2147483648, -2147483648), (2147483647, -2147483648)) AS v (start, count)));

-- binary_quantize
SELECT * FROM pg_temp.show(ARRAY[
	$$ binary_quantize('[1,0,-1]'::vector) $$, $$ binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector) $$,
	$$ binary_quantize('[-0]'::vector) $$, $$ binary_quantize('[1e-45]'::vector) $$, $$ binary_quantize('[1,1,1,1,1,1,1,1]'::vector) $$,
	$$ length(binary_quantize(array_fill(1, ARRAY[15999])::vector)) $$,
	$$ bit_count(binary_quantize(array_fill(1, ARRAY[15999])::vector)) $$,
	$$ octet_length(binary_quantize(array_fill(1, ARRAY[15999])::vector)) $$,
	$$ binary_quantize('[1,-1,1]'::vector)::bit(3) = B'101' $$]);

-- vector_dims
SELECT * FROM pg_temp.show(ARRAY[$$ vector_dims('[1]'::vector) $$, $$ vector_dims('[1,2,3]'::vector) $$]);

-- all lengths, so that no kernel's remainder is left out: against float8
CREATE TEMP TABLE pairs AS
	SELECT n, a, b, a::vector AS va, b::vector AS vb FROM unnest(ARRAY(SELECT generate_series(1, 140)) || ARRAY[767, 768, 1536, 16000]) n,
		LATERAL (SELECT array_agg((i * 37 % 101 - 50) / 64.0::real ORDER BY i) AS a, array_agg(((i + n) * 53 % 97 - 48) / 32.0::real ORDER BY i) AS b
				 FROM generate_series(1, n) i) AS l;
CREATE TEMP TABLE truth AS
	SELECT n, va, vb, t.* FROM pairs, LATERAL (
		SELECT sqrt(sum((x - y) ^ 2)) AS l2, sum(x * y) AS ip, sum(abs(x - y)) AS l1,
			   1 - sum(x * y) / sqrt(sum(x * x) * sum(y * y)) AS cosine, sqrt(sum(x * x)) AS norm
		FROM unnest(a::float8[], b::float8[]) AS u (x, y)) AS t;
SELECT count(*),
	count(*) FILTER (WHERE abs((va <-> vb) - l2) > 1e-4 * l2) AS l2,
	count(*) FILTER (WHERE abs(vector_l2_squared_distance(va, vb) - l2 ^ 2) > 1e-4 * l2 ^ 2) AS l2sq,
	count(*) FILTER (WHERE abs((va <#> vb) + ip) > 1e-4 * n) AS ip,
	count(*) FILTER (WHERE abs((va <+> vb) - l1) > 1e-4 * l1) AS l1,
	count(*) FILTER (WHERE abs((va <=> vb) - cosine) > 1e-4) AS cosine,
	count(*) FILTER (WHERE abs(vector_norm(va) - norm) > 1e-12 * norm) AS norm,
	count(*) FILTER (WHERE abs(vector_norm(l2_normalize(va)) - 1) > 1e-6) AS normalized
	FROM truth WHERE norm > 0;
-- the same to the last bit in either order, and 0 from a vector to itself
SELECT count(*) FILTER (WHERE (va <-> vb) <> (vb <-> va) OR (va <#> vb) <> (vb <#> va) OR (va <+> vb) <> (vb <+> va)
		OR (va <=> vb) <> (vb <=> va)) AS asymmetric,
	count(*) FILTER (WHERE (va <-> va) <> 0 OR (va <+> va) <> 0 OR abs(va <=> va) > 1e-6) AS not_zero,
	count(*) FILTER (WHERE (va <#> vb) <> - inner_product(va, vb) OR (va <-> vb) <> sqrt(vector_l2_squared_distance(va, vb))) AS not_same
	FROM truth WHERE norm > 0;
SELECT count(*) FILTER (WHERE (va + vb) - vb <> va), count(*) FILTER (WHERE subvector(va || vb, n + 1, n) <> vb),
	count(*) FILTER (WHERE va * va <> (SELECT array_agg(x * x ORDER BY o) FROM unnest(va::real[]) WITH ORDINALITY AS u (x, o))::vector)
	FROM truth WHERE n <= 8000;

-- operators: commutator, negator, estimators
\pset tuples_only off
SELECT o.oprname, o.oprresult::regtype, o.oprcode, c.oprname AS commutator, n.oprname AS negator, o.oprrest, o.oprjoin,
	o.oprcanhash, o.oprcanmerge, obj_description(o.oid, 'pg_operator') IS NOT NULL AS described
	FROM pg_operator o LEFT JOIN pg_operator c ON c.oid = o.oprcom LEFT JOIN pg_operator n ON n.oid = o.oprnegate
	WHERE o.oprleft = 'vector'::regtype AND o.oprright = 'vector'::regtype ORDER BY o.oprname COLLATE "C";
-- functions: none that is not immutable, strict, parallel safe and described
SELECT p.oid::regprocedure, provolatile, proisstrict, proparallel, obj_description(p.oid, 'pg_proc') IS NOT NULL AS described
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE proname ~ '^(vector|array_to_vector|hash_vector|(l1|l2|cosine)_distance|inner_product|l2_normalize|binary_quantize|subvector|avg|sum)'
		AND (provolatile <> 'i' OR proparallel <> 's' OR NOT (proisstrict OR prokind = 'a') OR obj_description(p.oid, 'pg_proc') IS NULL);
