-- types: casts between vector and arrays

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

-- arrays to vector
SELECT expression, pg_temp.attempt(format('SELECT (%s)::vector', expression)) FROM (VALUES
	('ARRAY[1,2,3]'), ('ARRAY[1.0,2.0,3.0]'), ('ARRAY[1,2,3]::float4[]'), ('ARRAY[1,2,3]::float8[]'), ('ARRAY[1,2,3]::numeric[]'),
	('ARRAY[2147483647,-2147483648,16777217]'), ('ARRAY[0.1,-0.0]::float8[]'), ('ARRAY[''-0'',''1e-45'']::float4[]'),
	('''[5:7]={1,2,3}''::int[]'), ('ARRAY[16777217,0.1,123456789.123456789]::numeric[]'),
	('''{1e-46}''::float8[]'), ('''{1e-300}''::float8[]'), ('''{3.4028235e38}''::float8[]'),
	('array_remove(ARRAY[1,NULL,2],NULL)')) AS v (expression);
SELECT expression, pg_temp.attempt(format('SELECT (%s)::vector', expression)) FROM (VALUES
	('''{NULL}''::real[]'), ('''{1,NULL}''::int[]'), ('''{NULL,1}''::float8[]'), ('''{NULL}''::numeric[]'),
	('''{NaN}''::real[]'), ('''{NaN}''::float8[]'), ('''{NaN}''::numeric[]'),
	('''{Infinity}''::real[]'), ('''{-Infinity}''::real[]'), ('''{1,-Infinity}''::float8[]'), ('''{Infinity}''::numeric[]'),
	('''{3.5e38}''::float8[]'), ('''{-1e300}''::float8[]'), ('''{1e40}''::numeric[]'),
	('''{}''::real[]'), ('''{}''::int[]'), ('''{}''::float8[]'), ('''{}''::numeric[]'),
	('''{{1}}''::real[]'), ('''{{1,2},{3,4}}''::int[]'), ('''{{{1}}}''::float8[]'), ('''{{NULL}}''::numeric[]'),
	('ARRAY[1,2]::smallint[]'), ('ARRAY[1,2]::bigint[]'), ('ARRAY[''1'']'),
	('array_fill(0, ARRAY[16001])'), ('array_fill(0::float4, ARRAY[16001])'), ('array_fill(0::float8, ARRAY[16001])'),
	('array_fill(0::numeric, ARRAY[16001])'), ('array_fill(NULL::int, ARRAY[16001])')) AS v (expression);
SELECT vector_dims(array_fill(0, ARRAY[16000])::vector), vector_dims(array_fill(0::real, ARRAY[16000])::vector),
	vector_dims(array_fill(0::float8, ARRAY[16000])::vector), vector_dims(array_fill(0::numeric, ARRAY[16000])::vector),
	vector_dims(array_fill(0, ARRAY[1])::vector);

-- typmods
SELECT expression, pg_temp.attempt('SELECT ' || expression) FROM (VALUES
	('ARRAY[1,2,3]::vector(3)'), ('ARRAY[1,2,3]::vector(2)'), ('ARRAY[1,2,3]::real[]::vector(4)'),
	('ARRAY[1,2,3]::float8[]::vector(2)'), ('ARRAY[1,2,3]::numeric[]::vector(2)'), ('''{}''::real[]::vector(3)'),
	('ARRAY[''NaN'',1]::real[]::vector(1)'), ('ARRAY[1,2,3]::vector(16001)'),
	('''[1,2,3]''::vector::vector(3)'), ('''[1,2,3]''::vector::vector(2)'), ('''[1,2,3]''::vector(3)::vector'),
	('''[1,2]''::vector(3)'), ('vector(''[1,2]''::vector, 2, false)'), ('vector(''[1,2]''::vector, -1, true)'),
	('vector(''[1,2]''::vector, 0, true)'), ('vector(NULL::vector, 3, true)')) AS v (expression);

-- vector to array
SELECT '[1,2.5,-0]'::vector::real[], array_ndims('[1,2]'::vector::real[]), array_lower('[1,2]'::vector::real[], 1),
	array_length('[1,2]'::vector::real[], 1), pg_typeof('[1]'::vector::real[]);
SELECT array_agg(i)::vector::real[] = array_agg(i)::real[] FROM generate_series(1, 16000) i;
SELECT ('[1,2,3]'::vector::real[])[2], (SELECT sum(x) FROM unnest('[1,2,3]'::vector::real[]) x);
SELECT NULL::vector::real[] IS NULL, NULL::real[]::vector IS NULL, NULL::int[]::vector IS NULL;

-- assignment casts on INSERT, UPDATE and in functions
CREATE TEMP TABLE assigned (v vector(2), a real[]);
INSERT INTO assigned VALUES (ARRAY[1,2], '[3,4]'::vector), (ARRAY[1,2]::float8[], NULL), (ARRAY[1.5,2.5], '[1]'::vector);
UPDATE assigned SET a = v WHERE a IS NULL;
SELECT * FROM assigned;
SELECT pg_temp.attempt('INSERT INTO assigned VALUES (ARRAY[1,2,3])');
SELECT pg_temp.attempt('UPDATE assigned SET v = ARRAY[1]::real[]');
CREATE FUNCTION pg_temp.two(vector(2)) RETURNS int LANGUAGE sql AS 'SELECT vector_dims($1)';
SELECT pg_temp.two('[1,2,3]');
-- no implicit cast from arrays: comparisons of arrays stay those of arrays
SELECT ARRAY[1,2,3] = ARRAY[1,2,3], ARRAY[1,2] < ARRAY[1,3]::int[], ARRAY[1.5] = ARRAY[1.5];
SELECT pg_temp.attempt('SELECT l2_distance(ARRAY[1,2], ARRAY[3,4])');
SELECT '[1,2]' <-> '[1,3]'::vector, '[1,2]'::vector <-> '[1,2]', avg(v) FROM assigned;
-- the cast to an array is implicit: functions of real[] take a vector
CREATE FUNCTION pg_temp.second(real[]) RETURNS real LANGUAGE sql AS 'SELECT $1[2]';
SELECT pg_temp.second('[1,2]'::vector);

-- the C function refuses arrays of other types, and trusts no declaration
BEGIN;
DO $$
BEGIN
	EXECUTE format('CREATE FUNCTION array_to_vector(anyarray, integer, boolean) RETURNS vector AS %L, %L LANGUAGE C STRICT',
		(SELECT probin FROM pg_proc WHERE proname = 'vector_in'), 'array_to_vector');
END
$$;
SELECT pg_temp.attempt(format('SELECT array_to_vector(%s, -1, false)', a)) FROM (VALUES
	('ARRAY[''a'']::text[]'), ('ARRAY[1]::bigint[]'), ('ARRAY[1]::bool[]'), ('ARRAY[NULL]::text[]'), ('''{}''::text[]')) AS v (a);
ROLLBACK;

-- every cast and its context
SELECT castsource::regtype, casttarget::regtype, castcontext, castfunc::regprocedure FROM pg_cast
	WHERE (castsource = 'vector'::regtype OR casttarget = 'vector'::regtype)
		AND castsource IN ('vector'::regtype, 'int[]'::regtype, 'real[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype)
		AND casttarget IN ('vector'::regtype, 'real[]'::regtype)
	ORDER BY castsource::regtype::text, casttarget::regtype::text;
