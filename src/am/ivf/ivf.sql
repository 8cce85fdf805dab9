-- am/ivf: the access method and its operator classes

CREATE FUNCTION ivfhandler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON FUNCTION ivfhandler(internal) IS 'internal: handler of access method ivf';

CREATE ACCESS METHOD ivf TYPE INDEX HANDLER ivfhandler;
COMMENT ON ACCESS METHOD ivf IS
	'inverted lists of quantized vectors: fast to build, small, for approximate nearest neighbours by ORDER BY column <operator> query LIMIT n';

CREATE OPERATOR CLASS vector_l2_ops
	DEFAULT FOR TYPE vector USING ivf AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vecpg_vector_l2_support(internal);
COMMENT ON OPERATOR CLASS vector_l2_ops USING ivf IS 'Euclidean distance, ORDER BY column <-> query';

CREATE OPERATOR CLASS vector_ip_ops
	FOR TYPE vector USING ivf AS
	OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vecpg_vector_ip_support(internal);
COMMENT ON OPERATOR CLASS vector_ip_ops USING ivf IS 'negative inner product, ORDER BY column <#> query';

CREATE OPERATOR CLASS vector_cosine_ops
	FOR TYPE vector USING ivf AS
	OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vecpg_vector_cosine_support(internal);
COMMENT ON OPERATOR CLASS vector_cosine_ops USING ivf IS 'cosine distance, ORDER BY column <=> query';
