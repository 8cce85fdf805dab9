-- inspect: what an index is, did and is worth

CREATE FUNCTION vecpg_last_scan(
	OUT steps bigint, OUT lists bigint, OUT pages bigint, OUT candidates bigint, OUT refined bigint,
	OUT reranked bigint, OUT emitted bigint, OUT rechecks bigint, OUT late bigint,
	OUT prepare_us bigint, OUT centroids_us bigint, OUT lists_us bigint, OUT refine_us bigint,
	OUT rerank_us bigint)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecpg_last_scan() IS
	'counters of the last vecpg index scan of this session: widening steps, lists and pages read, rows estimated, refine codes read, heap rows read by the scan, rows given to the executor, of these rechecked, rows found late; times in microseconds under vecpg.trace; NULL before the first scan';
