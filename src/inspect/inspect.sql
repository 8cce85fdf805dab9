-- inspect: what an index is, did and is worth

CREATE FUNCTION vecpg_last_scan(
	OUT steps bigint, OUT lists bigint, OUT pages bigint, OUT candidates bigint, OUT refined bigint,
	OUT reranked bigint, OUT emitted bigint, OUT late bigint,
	OUT prepare_us bigint, OUT centroids_us bigint, OUT lists_us bigint, OUT refine_us bigint,
	OUT rerank_us bigint)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecpg_last_scan() IS
	'counters of the last vecpg index scan of this session: widening steps, lists and pages read, rows estimated, refine codes read, heap rows read by the scan, rows given to the executor, rows found late; times in microseconds under vecpg.trace; NULL before the first scan';

CREATE FUNCTION vecpg_check(
	index regclass, heapallindexed boolean DEFAULT false,
	OUT block bigint, OUT item int, OUT problem text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION vecpg_check(regclass, boolean) FROM PUBLIC;
COMMENT ON FUNCTION vecpg_check(regclass, boolean) IS
	'problems of a vecpg index, one per row with the place on disk (item = slot on the page); no row: the index is sound. heapallindexed: also reads the table and looks up the entry and the code of every row. For the table''s owner; reads and writes go on, VACUUM of the index waits. Reads all pages and takes about 36 bytes of memory a row';

CREATE FUNCTION vecpg_index_info(
	index regclass,
	OUT access_method text, OUT opclass text, OUT format int, OUT dims int, OUT quantizer text,
	OUT bits int, OUT lists bigint, OUT partitions int, OUT rows bigint,
	OUT rows_without_vector bigint, OUT rows_nan bigint, OUT rows_extreme bigint,
	OUT empty_slots float8, OUT list_rows_min int, OUT list_rows_median int, OUT list_rows_max int,
	OUT list_pages bigint, OUT refine_pages bigint, OUT directory_pages bigint,
	OUT model_pages bigint, OUT uncoded_pages bigint, OUT free_pages bigint,
	OUT splits bigint, OUT built timestamptz, OUT target_recall float8, OUT probes int,
	OUT calibration_queries int, OUT calibration_probes int[],
	OUT calibration_recall_10 real[], OUT calibration_recall_100 real[])
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_index_info(regclass) IS
	'what a vecpg index holds: its codes, lists and partitions; rows in all, of these without vector, with NaN distances, too long or too short for a code; share of empty slots; rows of the shortest, median and longest list; pages by kind; splits since the build; the target recall in force and the lists it makes a scan with LIMIT 10 read; the recall measured at build against lists read, for the 10 and the 100 nearest. Needs SELECT on the table; reads all pages of the index';

CREATE FUNCTION vecpg_recall(
	index regclass, sample int DEFAULT 100, k int DEFAULT 10,
	OUT recall float8, OUT queries int, OUT lists float8, OUT pages float8,
	OUT order_errors bigint, OUT bound_errors bigint)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecpg_recall(regclass, int, int) IS
	'measured recall of a vecpg index under the settings in force: sample random rows of the table are queries, and the k rows that the index gives are compared by distance with the k nearest of all rows; mean lists and index pages read; order_errors: rows given out after a farther one, bound_errors: rows nearer than the bound they came with. Needs SELECT on the table; reads it twice';
