-- types: vector in the binary protocol
--
-- The file of a binary COPY holds what a column's send function gave. bytea
-- gives its bytes as they are, so a COPY of bytea writes any message for
-- vector_recv, and reads what vector_send sent. The file lies in the server's
-- own directory because client and server may be different users.

\pset format unaligned
\pset tuples_only on

SELECT current_setting('data_directory') || '/vecpg_types_vector_copy.bin' AS filename \gset
SET types_test.filename = :'filename';

-- round trip, with bytes and with text between
CREATE TEMP TABLE sent (id int, v vector);
INSERT INTO sent VALUES (1, '[0]'), (2, '[-0]'), (3, '[1,2]'), (4, NULL),
	(5, '[1e-45,-1e-45,1.1754944e-38,3.4028235e38,-3.4028235e38]'),
	(6, (SELECT array_agg(1.0 / i) FROM generate_series(1, 16000) i));
CREATE TEMP TABLE received (LIKE sent);
COPY sent TO :'filename' (FORMAT binary);
COPY received FROM :'filename' (FORMAT binary);
SELECT count(*) FROM sent s, received r WHERE s.id = r.id AND vector_send(s.v) IS NOT DISTINCT FROM vector_send(r.v);
SELECT id, CASE WHEN id < 6 THEN v::text ELSE vector_dims(v)::text END FROM received ORDER BY id;
CREATE TEMP TABLE bytes (id int, b bytea);
COPY bytes FROM :'filename' (FORMAT binary);
SELECT id, CASE WHEN id < 6 THEN b::text ELSE length(b) || ' bytes ' || substr(b, 1, 8)::text END FROM bytes ORDER BY id;

TRUNCATE received;
COPY sent TO :'filename';
COPY received FROM :'filename';
SELECT count(*) FROM sent s, received r WHERE s.id = r.id AND vector_send(s.v) IS NOT DISTINCT FROM vector_send(r.v);

-- typmods hold for binary input
CREATE TEMP TABLE three (id int, v vector(3));
COPY (SELECT 1, '[1,2,3]'::vector) TO :'filename' (FORMAT binary);
COPY three FROM :'filename' (FORMAT binary);
SELECT v FROM three;

-- messages made by hand
CREATE FUNCTION pg_temp.receive(message bytea, typename text DEFAULT 'vector') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	filename text := current_setting('types_test.filename');
	result text;
BEGIN
	EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', message, filename);
	EXECUTE format('CREATE TEMP TABLE message (v %s)', typename);
	EXECUTE format('COPY message FROM %L (FORMAT binary)', filename);
	SELECT v INTO result FROM message;
	DROP TABLE message;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM);
END
$$;
SELECT message, pg_temp.receive(decode(replace(message, ' ', ''), 'hex')) FROM (VALUES
	('0002 0000 3f800000 40000000'),
	('0001 0000 80000000'),
	('0001 0000 00000001'),
	('0001 0000 7f7fffff'),
	(''),
	('00'),
	('0002'),
	('0002 00'),
	('0002 0000'),
	('0002 0000 3f800000'),
	('0002 0000 3f800000 400000'),
	('0002 0000 3f800000 40000000 00'),
	('0002 0000 3f800000 40000000 40400000'),
	('0001 0000 3f800000 40000000'),
	('0000 0000'),
	('0000 0000 3f800000'),
	('ffff 0000 3f800000'),
	('8000 0000 3f800000'),
	('3e80 0000 3f800000'),
	('3e81 0000 3f800000'),
	('7fff 0000 3f800000'),
	('0001 0001 3f800000'),
	('0001 ffff 3f800000'),
	('0001 8000 3f800000'),
	('0000 0001'),
	('0001 0000 7fc00000'),
	('0001 0000 7f800001'),
	('0001 0000 ffc00000'),
	('0001 0000 7f800000'),
	('0001 0000 ff800000'),
	('0002 0000 3f800000 7fc00000')) AS v (message);
SELECT typename, message, pg_temp.receive(decode(replace(message, ' ', ''), 'hex'), typename) FROM (VALUES
	('vector(2)', '0002 0000 3f800000 40000000'),
	('vector(3)', '0002 0000 3f800000 40000000'),
	('vector(1)', '0002 0000 3f800000'),
	('vector(1)', '0000 0000')) AS v (typename, message);
-- 16001 dimensions, all there
SELECT pg_temp.receive(decode('3e810000' || repeat('00000000', 16001), 'hex'));

-- remove the file
SELECT format('cat > /dev/null && rm -f "%s"', :'filename') AS remove \gset
COPY (SELECT) TO PROGRAM :'remove';
