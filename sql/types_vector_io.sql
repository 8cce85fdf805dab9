-- types: vector as text, its typmod, and what is stored

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
CREATE FUNCTION pg_temp.read(input text, typename text DEFAULT 'vector') RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.attempt(format('SELECT CAST(%L AS %s)', input, typename)) $$;

-- accepted
SELECT pg_temp.read(input) FROM (VALUES
	('[1,2,3]'), ('[-1,-2,-3]'), ('[+1,2.,.5]'), ('[1.,2.,3.]'), ('[1e3,1E-3,1.5e+2]'),
	(' [ 1,  2 ,    3  ] '), (E'\t[\r1\n,\x0b2\f]\n'), ('[1.23456]'), ('[007,0.50,-0]'),
	('[0x10,1e0]'), ('[1.5e38,-1.5e38]'), ('[1.5e+38]'), ('[3.4028235e38]'), ('[3.4028235e+38,1e-38]'),
	('[1e-45,1.17549435e-38]'), ('[1e-46,1]'), ('[-1e-46,1]'), ('[1.5e-38]'), ('[1e-400]'),
	('[0.1,0.2,0.30000001192092896]'), ('[16777216,16777217,16777219]'),
	('[0.000000000000000000000000000000000000000000001]'),
	('[123456789012345678901234567890]'),
	('[340282346638528859811704183484516925440]')) AS v (input);

-- not accepted
SELECT coalesce(pg_temp.read(input), 'accepted') FROM (VALUES
	(''), (' '), ('['), ('[ '), ('[]'), ('[ ]'), ('[,]'), ('[1,]'), ('[1a]'), ('[hello,1]'), ('[1,2,3'), ('[1,2,'),
	('[1,,3]'), ('[, 1]'), ('1,2,3'), ('[1,2,3]9'), ('[1,2,3] ]'), ('[[1,2],[3]]'), ('{1,2}'), ('(1,2)'),
	('[1 2]'), ('[1;2]'), ('[.]'), ('[-]'), ('[+]'), ('[e5]'), ('[1e]'), ('[1e+]'), ('[--1]'), ('[1.2.3]'),
	('[0x]'), ('[10x]'), ('[1'), ('[1e'), ('[-'), ('[.'), ('[4'), ('[4,')) AS v (input);
SELECT pg_temp.read(input) FROM (VALUES
	('[NaN,1]'), ('[nan]'), ('[-NaN]'), ('[Infinity,1]'), ('[-Infinity,1]'), ('[inf]'),
	('[4e38,1]'), ('[-4e38,1]'), ('[1,3.4028236e38]'), ('[1e400]'), ('[1e99999999999]'),
	('[1000000000000000000000000000000000000000]'), ('[9999999999999999999e22]')) AS v (input);

-- not a space: only ASCII spaces count, in every locale
SELECT left(pg_temp.read(U&'[1,\00A02]'), 5);

-- typmod
SELECT typename, pg_temp.read('[1,2,3]', typename) FROM (VALUES
	('vector(3)'), ('vector(2)'), ('vector(4)'), ('vector(0)'), ('vector(-1)'), ('vector(1)'), ('vector(16000)'),
	('vector(16001)'), ('vector(3,2)'), ('vector()'), ('vector(a)'), ('vector(2147483648)')) AS v (typename);
CREATE TEMP TABLE typmods (any_dim vector, three vector(3), most vector(16000));
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'typmods'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_temp.attempt($$INSERT INTO typmods (three) VALUES ('[1,2]')$$);
SELECT pg_temp.attempt($$INSERT INTO typmods (three) SELECT any_dim FROM (VALUES ('[1,2]'::vector)) v (any_dim)$$);
INSERT INTO typmods (any_dim) VALUES ('[1]'), ('[1,2]'), (NULL);

-- number of dimensions
SELECT dims, vector_dims(v), pg_column_size(v) = 4 * dims + 8, v::text = t
	FROM (VALUES (1), (2), (15999), (16000)) AS d (dims),
		LATERAL (SELECT '[' || string_agg((i % 997)::text, ',' ORDER BY i) || ']' FROM generate_series(1, dims) i) AS l (t),
		LATERAL (SELECT t::vector) AS m (v);
SELECT pg_temp.read('[' || repeat('1,', 15999) || '1]') = '[' || repeat('1,', 15999) || '1]';
SELECT pg_temp.read('[' || repeat('1,', 16000) || '1]');
SELECT pg_temp.read('[' || repeat('1,', 100000) || '1]');
SELECT left(pg_temp.read('[' || repeat('1,', 15999) || 'x]'), 50);
SELECT left(pg_temp.read('[1]' || repeat(',', 100000)), 50);

-- elements read as core reads real: digits of all lengths, exponents, and
-- values at and around the middle between two floats
CREATE TEMP TABLE decimals AS
	SELECT format('%s%s.%s%s', CASE WHEN i % 2 = 0 THEN '-' END, (i * 7919::bigint) % (10 ^ (i % 8))::bigint,
				  left((('x' || substr(md5(i::text), 1, 15))::bit(60)::bigint)::text, i % 19),
				  CASE WHEN i % 3 = 0 THEN 'e' || i % 51 - 30 END) AS t
	FROM generate_series(1, 20000) i
	UNION ALL
	SELECT (16777216 + i + d)::text FROM generate_series(1, 1000) i, (VALUES (0.5), (0.49999999), (0.50000001)) v (d)
	UNION ALL
	SELECT (1 + i * 0.00000011920928955078125 + 0.000000059604644775390625 + d)::text
	FROM generate_series(0, 500) i, (VALUES (0), (1e-19), (-1e-19), (1e-12), (-1e-12)) v (d);
SELECT count(*) > 25000, count(*) FILTER (WHERE (('[' || t || ']')::vector::real[])[1] IS DISTINCT FROM t::real) FROM decimals;

-- output reads back as the same vector
SELECT count(*) FROM decimals, LATERAL (SELECT ('[' || t || ',' || t || ']')::vector) AS l (v)
	WHERE vector_send(v::text::vector) <> vector_send(v);

-- large values come back from TOAST, compressed or not; dims read without the rest
CREATE TEMP TABLE stored (id int, v vector);
INSERT INTO stored SELECT 1, array_agg(i % 2) FROM generate_series(1, 16000) i;
ALTER TABLE stored ALTER v SET STORAGE extended;
INSERT INTO stored SELECT 2, array_agg(i % 2) FROM generate_series(1, 16000) i;
ALTER TABLE stored ALTER v SET STORAGE plain;
INSERT INTO stored SELECT 3, array_agg(i % 2) FROM generate_series(1, 1000) i;
SELECT id, vector_dims(v), round(vector_norm(v * v) ^ 2), pg_column_size(v) BETWEEN 64000 AND 64100 FROM stored ORDER BY id;

-- soft errors, where the server has them (16 and newer)
DO $$
DECLARE
	valid boolean;
	input text;
BEGIN
	IF current_setting('server_version_num')::int < 160000 THEN
		RETURN;
	END IF;
	FOREACH input IN ARRAY ARRAY['', '[', '[]', '[1,]', '[1]x', '[nan]', '[inf]', '[4e38]', '[x]', '[1,2,3]',
		'[' || repeat('1,', 16000) || '1]']
	LOOP
		EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING input, 'vector(2)';
		IF valid THEN
			RAISE 'accepted: %', left(input, 20);
		END IF;
	END LOOP;
	EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING '[1,2]', 'vector(2)';
	IF NOT valid THEN
		RAISE 'refused';
	END IF;
END
$$;

-- the type's properties are a contract of the heap format
SELECT typlen, typbyval, typalign, typstorage, typcategory, typdelim FROM pg_type WHERE oid = 'vector'::regtype;

-- bytes that no function of the type wrote: refused, whatever their dim says.
-- The bytes read the same in either byte order: 0x0101 is 257.
BEGIN;
CREATE CAST (bytea AS vector) WITHOUT FUNCTION;
SELECT bytes, length, pg_temp.attempt(format('SELECT decode(%L || repeat(%L, %s), %L)::vector', bytes, '00', length, 'hex'))
	FROM (VALUES ('', 0), ('01', 0), ('0101', 0), ('01010000', 0), ('01010000', 4), ('01010000', 1027), ('01010000', 1029),
		('01010000', 64000), ('00000000', 0), ('00000000', 4), ('ffff0000', 4), ('ffff0000', 0), ('7f7f0000', 130556),
		('7f7f0000', 4)) AS v (bytes, length);
SELECT vector_dims(v), v = v, v <-> v, v + v = v FROM (SELECT decode('01010000' || repeat('00', 1028), 'hex')::vector) AS s (v);
SELECT pg_temp.attempt($$SELECT vector_dims(decode('0101000000', 'hex')::vector)$$);
SELECT pg_temp.attempt($$SELECT vector_dims(''::bytea::vector)$$);
-- elements that are not finite do no harm
SELECT v <-> v, v <=> v, v <#> v, v <+> v, v = v, vector_norm(v), pg_temp.attempt('SELECT vector_avg(vector_accum(''{0}'', '
	|| quote_literal(v::text) || '))') FROM (SELECT decode('01010000' || repeat('ff', 1028), 'hex')::vector) AS s (v);
ROLLBACK;
