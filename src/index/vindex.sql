-- index: descriptors of the operator classes (support function 1)

CREATE FUNCTION vecpg_vector_l2_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_vector_l2_support(internal) IS 'internal: descriptor of vector_l2_ops';

CREATE FUNCTION vecpg_vector_ip_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_vector_ip_support(internal) IS 'internal: descriptor of vector_ip_ops';

CREATE FUNCTION vecpg_vector_cosine_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_vector_cosine_support(internal) IS 'internal: descriptor of vector_cosine_ops';

CREATE FUNCTION vecpg_vector_l1_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_vector_l1_support(internal) IS 'internal: descriptor of vector_l1_ops';
