/*
 * pagekinds.h -- every kind of page once: VS_PAGE_KIND(id, number, version, name).
 *
 * Included with different VS_PAGE_KIND (no include guard on purpose). Numbers
 * are on disk and never reused.
 */
VS_PAGE_KIND(VS_FREE, 1, 1, "free")
VS_PAGE_KIND(VS_IVF_META, 16, 1, "ivf metapage")
VS_PAGE_KIND(VS_IVF_MODEL, 17, 1, "ivf model")
VS_PAGE_KIND(VS_IVF_DIR, 18, 1, "ivf directory")
VS_PAGE_KIND(VS_IVF_LIST, 19, 1, "ivf list")
VS_PAGE_KIND(VS_IVF_REFINE, 20, 1, "ivf refine")
VS_PAGE_KIND(VS_TIDS, 21, 1, "rows without code")
VS_PAGE_KIND(VS_HNSW_META, 32, 1, "hnsw metapage")
VS_PAGE_KIND(VS_HNSW_MODEL, 33, 1, "hnsw model")
VS_PAGE_KIND(VS_HNSW_BASE, 34, 1, "hnsw base layer")
VS_PAGE_KIND(VS_HNSW_UPPER, 35, 1, "hnsw upper layer")
VS_PAGE_KIND(VS_HNSW_REST, 36, 1, "hnsw rest of a record")
VS_PAGE_KIND(VS_HNSW_ROWS, 37, 1, "hnsw rows of equal vectors")
