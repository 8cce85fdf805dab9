/*
 * options.h -- settings and index options, generated from options.def.
 *
 * What it is not: policy. How many lists "auto" means is the access method's
 * business.
 */
#ifndef VECPG_OPTIONS_H
#define VECPG_OPTIONS_H

#include "utils/rel.h"

typedef enum VecpgSimd
{
	VECPG_SIMD_AUTO,
	VECPG_SIMD_SCALAR,
	VECPG_SIMD_NEON,
	VECPG_SIMD_AVX2,
	VECPG_SIMD_AVX512
} VecpgSimd;

typedef enum VecpgIterative
{
	VECPG_SCAN_OFF,
	VECPG_SCAN_RELAXED,
	VECPG_SCAN_STRICT
} VecpgIterative;

typedef enum VecpgQuantizer
{
	VECPG_QUANTIZER_RABITQ,
	VECPG_QUANTIZER_SQ8,
	VECPG_QUANTIZER_FLAT
} VecpgQuantizer;

#define GUC_INT(var, name, def, min, max, help) extern int var;
#define GUC_REAL(var, name, def, min, max, help) extern double var;
#define GUC_BOOL(var, name, def, help) extern bool var;
#define GUC_ENUM(var, name, def, values, help) extern int var;
#include "pg/options.def"

/* Parsed reloptions of one access method each, as stored in rd_options. */
typedef struct IvfOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly) */
#define OF_ivf(field) field
#define OF_hnsw(field)
#define REL_INT(am, field, name, def, min, max, help) OF_##am(int field;)
#define REL_REAL(am, field, name, def, min, max, help) OF_##am(double field;)
#define REL_ENUM(am, field, name, def, values, help) OF_##am(int field;)
#define REL_STRING(am, field, name, def, check, help) OF_##am(int field;)	/* offset */
#include "pg/options.def"
#undef OF_ivf
#undef OF_hnsw
} IvfOptions;

typedef struct HnswOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly) */
#define OF_ivf(field)
#define OF_hnsw(field) field
#define REL_INT(am, field, name, def, min, max, help) OF_##am(int field;)
#define REL_REAL(am, field, name, def, min, max, help) OF_##am(double field;)
#include "pg/options.def"
#undef OF_ivf
#undef OF_hnsw
} HnswOptions;

/* Whether hnsw.ef_search was set by somebody, and is not just its default. */
extern bool hnsw_ef_search_is_set;

/* Registers settings and reloptions; called once by _PG_init. */
extern void vecpg_options_init(void);

/* amoptions. */
extern bytea *vecpg_ivf_reloptions(Datum reloptions, bool validate);

extern bytea *vecpg_hnsw_reloptions(Datum reloptions, bool validate);

/* Options of an index, defaults filled in; palloc'd. */
extern IvfOptions *vecpg_ivf_options(Relation index);
extern HnswOptions *vecpg_hnsw_options(Relation index);

/* The option lists: 0 for auto. */
extern int	vecpg_ivf_lists(const IvfOptions *opts);

#define IVF_MAX_LISTS 1000000

#endif							/* VECPG_OPTIONS_H */
