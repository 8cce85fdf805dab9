-- inspect: what an index is, did and is worth

CREATE FUNCTION vecpg_last_scan(
	OUT steps bigint, OUT lists bigint, OUT expanded bigint, OUT pages bigint,
	OUT candidates bigint, OUT refined bigint, OUT reranked bigint, OUT emitted bigint,
	OUT late bigint,
	OUT prepare_us bigint, OUT centroids_us bigint, OUT lists_us bigint, OUT refine_us bigint,
	OUT rerank_us bigint)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecpg_last_scan() IS
	'counters of the last vecpg index scan of this session: widening steps; lists read (ivf) and graph records expanded (hnsw); index pages read; estimates computed, of rows (ivf) or edges (hnsw); finer codes of rows scored; heap rows read by the scan; rows given to the executor; rows found late; times in microseconds under vecpg.trace; NULL before the first scan';

CREATE FUNCTION vecpg_check(
	index regclass, heapallindexed boolean DEFAULT false,
	OUT block bigint, OUT item int, OUT problem text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION vecpg_check(regclass, boolean) FROM PUBLIC;
COMMENT ON FUNCTION vecpg_check(regclass, boolean) IS
	'problems of a vecpg index, one per row with the place on disk (item = slot on the page); no row: the index is sound. heapallindexed: also reads the table and looks up the entry and the code of every row. For the table''s owner; reads and writes go on, VACUUM of an ivf index waits. Reads all pages, those of hnsw three times or more; memory: about 36 bytes a row for ivf, 70 bytes and 4 an edge for hnsw, and maintenance_work_mem';

CREATE FUNCTION vecpg_index_info(
	index regclass,
	OUT access_method text, OUT opclass text, OUT format int, OUT dims int, OUT quantizer text,
	OUT bits int, OUT rows bigint, OUT rows_without_vector bigint, OUT rows_nan bigint,
	OUT rows_extreme bigint, OUT model_pages bigint, OUT uncoded_pages bigint,
	OUT free_pages bigint, OUT built timestamptz, OUT target_recall float8, OUT effort bigint,
	OUT calibration_queries int, OUT calibration_effort int[],
	OUT calibration_recall_10 real[], OUT calibration_recall_100 real[], OUT details json)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vecpg_index_info(regclass) IS
	'what a vecpg index holds: its codes; rows in all, of these without vector, with NaN distances, too long or too short for a code; pages of the model, of rows without code, and free; the target recall in force and the effort (lists for ivf, ef for hnsw) it makes a scan with LIMIT 10 spend; the recall measured at build against effort, for the 10 and the 100 nearest. details: what only this access method has; ivf: lists, partitions, splits since the build, share of empty slots, rows of the shortest, median and longest list, pages by kind; hnsw: m, ef_construction, bits of an edge''s code, live records of each layer, edges of the base layer, rows sharing a record, dead and free records, pages by kind. Needs SELECT on the table; reads all pages of the index';

CREATE FUNCTION vecpg_recall(
	index regclass, sample int DEFAULT 100, k int DEFAULT 10,
	OUT recall float8, OUT queries int, OUT visited float8, OUT pages float8,
	OUT order_errors bigint, OUT bound_errors bigint)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecpg_recall(regclass, int, int) IS
	'measured recall of a vecpg index under the settings in force: sample random rows of the table are queries, and the k rows that the index gives are compared by distance with the k nearest of all rows; visited: mean lists read (ivf) or graph records expanded (hnsw); pages: mean index pages read; order_errors: rows given out after a farther one, bound_errors: rows nearer than the bound they came with. Needs SELECT on the table; reads it twice';
