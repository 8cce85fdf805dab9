/*
 * options.c -- registers settings and index options from options.def.
 *
 * What it is not: a second list of them. Every loop below expands the rows.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "access/reloptions.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "pg/options.h"
#include "simd/simd.h"

static const struct config_enum_entry vecpg_simd_values[] = {
	{"auto", VECPG_SIMD_AUTO, false},
	{"scalar", VECPG_SIMD_SCALAR, false},
	{"neon", VECPG_SIMD_NEON, false},
	{"avx2", VECPG_SIMD_AVX2, false},
	{"avx512", VECPG_SIMD_AVX512, false},
	{NULL, 0, false}
};

static const struct config_enum_entry vecpg_iterative_values[] = {
	{"off", VECPG_SCAN_OFF, false},
	{"relaxed_order", VECPG_SCAN_RELAXED, false},
	{"strict_order", VECPG_SCAN_STRICT, false},
	{NULL, 0, false}
};

static relopt_enum_elt_def vecpg_quantizer_values[] = {
	{"rabitq", VECPG_QUANTIZER_RABITQ},
	{"sq8", VECPG_QUANTIZER_SQ8},
	{"flat", VECPG_QUANTIZER_FLAT},
	{(const char *) NULL, 0}
};

#define GUC_INT(var, name, def, min, max, help) int var = def;
#define GUC_REAL(var, name, def, min, max, help) double var = def;
#define GUC_BOOL(var, name, def, help) bool var = def;
#define GUC_ENUM(var, name, def, values, help) int var = def;
#include "pg/options.def"

static relopt_kind ivf_relopt_kind;
static relopt_kind hnsw_relopt_kind;

bool		hnsw_ef_search_is_set;

static VkLevel level_of_setting(int simd);
static bool check_simd(int *newval, void **extra, GucSource source);
static void assign_simd(int newval, void *extra);
static bool check_ef_search(int *newval, void **extra, GucSource source);
static void assign_ef_search(int newval, void *extra);
static void ivf_check_lists(const char *value);
static void bad_bits(int bits, const char *valid) __attribute__((noreturn));
static void define_settings(void);
static void define_reloptions(void);

void
vecpg_options_init(void)
{
	define_settings();
	define_reloptions();
	MarkGUCPrefixReserved("vecpg");
	MarkGUCPrefixReserved("ivf");
	MarkGUCPrefixReserved("hnsw");
}

/* The server itself refuses a name that another library has defined. */
static void
define_settings(void)
{
#define GUC_INT(var, name, def, min, max, help) \
	DefineCustomIntVariable(name, help, NULL, &var, def, min, max, PGC_USERSET, 0, \
							&var == &hnsw_ef_search ? check_ef_search : NULL, \
							&var == &hnsw_ef_search ? assign_ef_search : NULL, NULL);
#define GUC_REAL(var, name, def, min, max, help) \
	DefineCustomRealVariable(name, help, NULL, &var, def, min, max, PGC_USERSET, 0, NULL, NULL, NULL);
#define GUC_BOOL(var, name, def, help) \
	DefineCustomBoolVariable(name, help, NULL, &var, def, PGC_USERSET, 0, NULL, NULL, NULL);
#define GUC_ENUM(var, name, def, values, help) \
	DefineCustomEnumVariable(name, help, NULL, &var, def, values, PGC_USERSET, 0, \
							 (void *) &var == (void *) &vecpg_simd ? check_simd : NULL, \
							 (void *) &var == (void *) &vecpg_simd ? assign_simd : NULL, NULL);
#include "pg/options.def"
}

static void
define_reloptions(void)
{
	ivf_relopt_kind = add_reloption_kind();
	hnsw_relopt_kind = add_reloption_kind();
#define REL_INT(am, field, name, def, min, max, help) \
	add_int_reloption(am##_relopt_kind, name, help, def, min, max, AccessExclusiveLock);
#define REL_REAL(am, field, name, def, min, max, help) \
	add_real_reloption(am##_relopt_kind, name, help, def, min, max, AccessExclusiveLock);
#define REL_ENUM(am, field, name, def, values, help) \
	add_enum_reloption(am##_relopt_kind, name, help, values, def, \
					   gettext_noop("Valid values are \"rabitq\", \"sq8\" and \"flat\"."), AccessExclusiveLock);
#define REL_STRING(am, field, name, def, check, help) \
	add_string_reloption(am##_relopt_kind, name, help, def, check, AccessExclusiveLock);
#include "pg/options.def"
}

static VkLevel
level_of_setting(int simd)
{
	switch (simd)
	{
		case VECPG_SIMD_SCALAR:
			return VK_SCALAR;
		case VECPG_SIMD_NEON:
			return VK_NEON;
		case VECPG_SIMD_AVX2:
			return VK_AVX2;
		case VECPG_SIMD_AVX512:
			return VK_AVX512;
		default:
			return vk_best_level();
	}
}

static bool
check_simd(int *newval, void **extra, GucSource source)
{
	if (*newval != VECPG_SIMD_AUTO && !vk_has_level(level_of_setting(*newval)))
	{
		GUC_check_errmsg("this CPU does not support the level asked for by \"vecpg.simd\"");
		GUC_check_errhint("Use auto, or a level that vecpg_cpu() names.");
		return false;
	}
	return true;
}

static void
assign_simd(int newval, void *extra)
{
	vk_set_level(level_of_setting(newval));
}

/*
 * Which of setting and target recall wins depends on whether anybody has set
 * it. Only the check hook learns the source; `extra` carries it through RESET
 * and the end of transactions.
 */
static bool
check_ef_search(int *newval, void **extra, GucSource source)
{
	bool	   *is_set = vecpg_guc_malloc(sizeof(bool));

	if (is_set == NULL)
		return false;
	*is_set = source > PGC_S_DEFAULT;
	*extra = is_set;
	return true;
}

static void
assign_ef_search(int newval, void *extra)
{
	hnsw_ef_search_is_set = *(bool *) extra;
}

/* "auto" or a whole number; the message is core's for an integer option. */
static void
ivf_check_lists(const char *value)
{
	char	   *end;
	long		lists;

	if (value == NULL || pg_strcasecmp(value, "auto") == 0)
		return;
	errno = 0;
	lists = strtol(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for integer option \"%s\": %s", "lists", value),
				 errhint("Give a whole number, or auto.")));
	if (lists < 1 || lists > IVF_MAX_LISTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value %s out of bounds for option \"%s\"", value, "lists"),
				 errdetail("Valid values are between \"%d\" and \"%d\".", 1, IVF_MAX_LISTS)));
}

bytea *
vecpg_ivf_reloptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
#define OF_ivf(...) __VA_ARGS__
#define OF_hnsw(...)
#define REL_INT(am, field, name, def, min, max, help) \
		OF_##am({name, RELOPT_TYPE_INT, offsetof(IvfOptions, field)},)
#define REL_REAL(am, field, name, def, min, max, help) \
		OF_##am({name, RELOPT_TYPE_REAL, offsetof(IvfOptions, field)},)
#define REL_ENUM(am, field, name, def, values, help) \
		OF_##am({name, RELOPT_TYPE_ENUM, offsetof(IvfOptions, field)},)
#define REL_STRING(am, field, name, def, check, help) \
		OF_##am({name, RELOPT_TYPE_STRING, offsetof(IvfOptions, field)},)
#include "pg/options.def"
#undef OF_ivf
#undef OF_hnsw
	};
	IvfOptions *opts;

	opts = (IvfOptions *) build_reloptions(reloptions, validate, ivf_relopt_kind,
										   sizeof(IvfOptions), tab, lengthof(tab));
	if (validate && opts != NULL && opts->bits != 1 && opts->bits != 4 && opts->bits != 8)
		bad_bits(opts->bits, "Valid values are \"1\", \"4\" and \"8\".");
	return (bytea *) opts;
}

bytea *
vecpg_hnsw_reloptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
#define OF_ivf(...)
#define OF_hnsw(...) __VA_ARGS__
#define REL_INT(am, field, name, def, min, max, help) \
		OF_##am({name, RELOPT_TYPE_INT, offsetof(HnswOptions, field)},)
#define REL_REAL(am, field, name, def, min, max, help) \
		OF_##am({name, RELOPT_TYPE_REAL, offsetof(HnswOptions, field)},)
#include "pg/options.def"
#undef OF_ivf
#undef OF_hnsw
	};
	HnswOptions *opts;

	opts = (HnswOptions *) build_reloptions(reloptions, validate, hnsw_relopt_kind,
											sizeof(HnswOptions), tab, lengthof(tab));
	if (validate && opts != NULL && opts->bits != 0 && opts->bits != 6 && opts->bits != 8)
		bad_bits(opts->bits, "Valid values are \"0\", \"6\" and \"8\".");
	return (bytea *) opts;
}

static void
bad_bits(int bits, const char *valid)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value %d out of bounds for option \"%s\"", bits, "bits"),
			 errdetail("%s", valid)));
}

IvfOptions *
vecpg_ivf_options(Relation index)
{
	if (index->rd_options != NULL)
		return (IvfOptions *) index->rd_options;
	return (IvfOptions *) vecpg_ivf_reloptions((Datum) 0, false);
}

HnswOptions *
vecpg_hnsw_options(Relation index)
{
	if (index->rd_options != NULL)
		return (HnswOptions *) index->rd_options;
	return (HnswOptions *) vecpg_hnsw_reloptions((Datum) 0, false);
}

int
vecpg_ivf_lists(const IvfOptions *opts)
{
	const char *value = GET_STRING_RELOPTION(opts, lists);

	if (value == NULL || pg_strcasecmp(value, "auto") == 0)
		return 0;
	return (int) strtol(value, NULL, 10);
}

/* ---- vecpg_options(): the settings and index options as rows ---- */

static void
put_option(ReturnSetInfo *rsinfo, const char *scope, const char *name, const char *help)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	values[0] = CStringGetTextDatum(scope);
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(help);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

VECPG_FUNCTION(vecpg_options);
Datum
vecpg_options(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
#define GUC_INT(var, name, def, min, max, help) put_option(rsinfo, "setting", name, help);
#define GUC_REAL(var, name, def, min, max, help) put_option(rsinfo, "setting", name, help);
#define GUC_BOOL(var, name, def, help) put_option(rsinfo, "setting", name, help);
#define GUC_ENUM(var, name, def, values, help) put_option(rsinfo, "setting", name, help);
#define REL_INT(am, field, name, def, min, max, help) put_option(rsinfo, #am, name, help);
#define REL_REAL(am, field, name, def, min, max, help) put_option(rsinfo, #am, name, help);
#define REL_ENUM(am, field, name, def, values, help) put_option(rsinfo, #am, name, help);
#define REL_STRING(am, field, name, def, check, help) put_option(rsinfo, #am, name, help);
#include "pg/options.def"
	return (Datum) 0;
}

/* The kernels' level in use and what the CPU has. */
VECPG_FUNCTION(vecpg_cpu);
Datum
vecpg_cpu(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s (cpu: %s)", vk->name, vk_cpu_features())));
}
