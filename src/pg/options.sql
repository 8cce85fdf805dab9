-- pg: settings and the CPU

CREATE FUNCTION vecpg_options(OUT scope text, OUT name text, OUT help text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_options() IS
	'every setting (scope "setting") and index option (scope = access method) of vecpg with one sentence of help';

CREATE FUNCTION vecpg_cpu() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_cpu() IS
	'level of the distance kernels in use (see vecpg.simd) and the features of the CPU';
