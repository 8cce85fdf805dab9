/*
 * vector_io.c -- vector as text, as bytes on the wire, and its typmod.
 *
 * What it is not: the conversion from and to arrays (vector_cast.c).
 *
 * Text is what bulk loads of embeddings spend their time on, and most of that
 * in strtof. parse_decimal() therefore converts plain decimal numbers itself
 * whenever one can prove that the result is the correctly rounded float, and
 * leaves the rest to strtof (the server keeps LC_NUMERIC at C); so a vector's
 * elements read exactly as core's real does.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "types/vector.h"
#include "utils/array.h"

/*
 * From 16 on an input function reports bad text through ereturn, which keeps
 * the session alive when the caller asked for that (pg_input_is_valid, COPY
 * with ON_ERROR). Before, the same lines are plain errors.
 */
#ifndef ereturn
#define ereturn(context, dummy, ...) ereport(ERROR, __VA_ARGS__)
#endif

/* The text being read. */
typedef struct Parser
{
	const char *text;			/* all of it, for messages */
	const char *pos;			/* what is not read yet */
	Node	   *escontext;		/* where soft errors go, or NULL */
} Parser;

static Vector *parse_vector(Parser *parser, int32 typmod);
static int	parse_elements(Parser *parser, Vector *vec);
static bool parse_element(Parser *parser, float *value);
static const char *parse_decimal(const char *pos, float *value);
static int	count_commas(const char *text);

/* Own set of spaces: isspace() would depend on the database's locale. */
static inline void
skip_space(Parser *parser)
{
	const char *pos = parser->pos;

	while (*pos == ' ' || (*pos >= '\t' && *pos <= '\r'))
		pos++;
	parser->pos = pos;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

VECPG_FUNCTION(vector_in);
Datum
vector_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Parser		parser = {text, text, fcinfo->context};
	Vector	   *vec = parse_vector(&parser, typmod);

	/* Without a vector the error is in the context and the result unused. */
	if (vec == NULL)
		PG_RETURN_NULL();
	PG_RETURN_VECTOR_P(vec);
}

/*
 * The vector a text stands for, palloc'd; NULL after a soft error. Reads up to
 * the terminating zero and never past it: each step forward is over a character
 * just seen not to be that zero.
 */
static Vector *
parse_vector(Parser *parser, int32 typmod)
{
	Vector	   *vec;
	int			count;

	skip_space(parser);
	if (*parser->pos != '[')
		ereturn(parser->escontext, NULL,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"", parser->text),
				 errdetail("Vector contents must start with \"[\".")));
	parser->pos++;
	skip_space(parser);
	if (*parser->pos == ']')
		ereturn(parser->escontext, NULL,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must have at least 1 dimension")));

	/* Valid text has one comma fewer than elements: the size is known at once. */
	vec = vt_vector_new(Min(count_commas(parser->pos) + 1, VECTOR_MAX_DIM));
	count = parse_elements(parser, vec);
	if (count == 0)
		return NULL;

	skip_space(parser);
	if (*parser->pos != '\0')
		ereturn(parser->escontext, NULL,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"", parser->text),
				 errdetail("Junk after closing right brace.")));
	Assert(count == vec->dim);
	if (typmod != -1 && typmod != count)
		ereturn(parser->escontext, NULL,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, count)));
	return vec;
}

/*
 * Reads elements and commas up to and including the closing bracket; returns
 * their number, 0 after a soft error. vec->dim bounds them: each but the last
 * is followed by one of the commas counted, or the bound is VECTOR_MAX_DIM and
 * reaching it is an error.
 */
static int
parse_elements(Parser *parser, Vector *vec)
{
	for (int dim = 0;;)
	{
		if (dim == vec->dim)
			ereturn(parser->escontext, 0,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("vector cannot have more than %d dimensions", VECTOR_MAX_DIM)));
		skip_space(parser);
		if (!parse_element(parser, &vec->x[dim]))
			return 0;
		dim++;

		skip_space(parser);
		if (*parser->pos == ']')
		{
			parser->pos++;
			return dim;
		}
		if (*parser->pos != ',')
			ereturn(parser->escontext, 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type vector: \"%s\"", parser->text)));
		parser->pos++;
	}
}

static bool
parse_element(Parser *parser, float *value)
{
	const char *start = parser->pos;
	char	   *stop;

	parser->pos = parse_decimal(start, value);
	if (parser->pos != NULL)
		return true;

	errno = 0;
	*value = strtof(start, &stop);
	parser->pos = stop;
	if (stop == start)
		ereturn(parser->escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"", parser->text)));

	/* Underflow is accepted: the nearest float is a denormal or zero. */
	if (errno == ERANGE && isinf(*value))
		ereturn(parser->escontext, false,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range for type vector",
						pnstrdup(start, stop - start))));
	if (isnan(*value))
		ereturn(parser->escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in vector")));
	if (isinf(*value))
		ereturn(parser->escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value not allowed in vector")));
	return true;
}

/*
 * Converts a decimal number and returns its end, or NULL if strtof has to
 * decide: 29 ns for 17 digits where strtof takes 89 (gcc 12 -O2, AMD EPYC).
 *
 * W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990,
 * in its simplest case: at most 19 digits m and 10^|e| exact in float64
 * (|e| <= 22), so m * 10^e costs two roundings, each at most half a unit in the
 * last place of m or of the result: less than 2 units in all. Rounded on to
 * float32 that is correct unless the float64 lies within 2 units of a midpoint
 * between two floats. Its magnitude is 0 or between 1e-22 and 1e38: no denormal,
 * no overflow.
 */
static const char *
parse_decimal(const char *pos, float *value)
{
	static const double power[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
	};
	const int	max_digits = 19;	/* 10^19 < 2^64 */
	const uint64 midpoint = UINT64CONST(1) << 28; /* of the 29 bits that float32 lacks */
	bool		negative = (*pos == '-');
	uint64		mantissa = 0;
	int64		digits;
	int64		exponent = 0;
	const char *start;
	double		result;
	uint64		bits;

	if (*pos == '-' || *pos == '+')
		pos++;
	/* Too many digits wrap around, and are refused below. */
	for (start = pos; is_digit(*pos); pos++)
		mantissa = mantissa * 10 + (*pos - '0');
	digits = pos - start;
	if (*pos == '.')
	{
		for (start = ++pos; is_digit(*pos); pos++)
			mantissa = mantissa * 10 + (*pos - '0');
		digits += pos - start;
		exponent -= pos - start;
	}
	if (digits == 0 || digits > max_digits)
		return NULL;
	if (*pos == 'e' || *pos == 'E')
	{
		bool		below = (pos[1] == '-');
		int			shift = 0;

		pos++;
		if (*pos == '-' || *pos == '+')
			pos++;
		if (!is_digit(*pos))
			return NULL;
		for (; is_digit(*pos); pos++)
			shift = Min(shift * 10 + (*pos - '0'), 1000);
		exponent += below ? -shift : shift;
	}
	else if (*pos == 'x' || *pos == 'X')
		return NULL;			/* hexadecimal, as real accepts it */
	if (exponent < -(int) (lengthof(power) - 1) || exponent > (int) (lengthof(power) - 1))
		return NULL;

	result = exponent < 0 ? (double) mantissa / power[-exponent]
		: (double) mantissa * power[exponent];
	if (result > 1e38)
		return NULL;
	memcpy(&bits, &result, sizeof(bits));
	bits &= (UINT64CONST(1) << 29) - 1;
	if (bits >= midpoint - 2 && bits <= midpoint + 2)
		return NULL;
	*value = negative ? -(float) result : (float) result;
	return pos;
}

/* Saturates: more commas than VECTOR_MAX_DIM are all one error. */
static int
count_commas(const char *text)
{
	int			count = 0;

	while (count <= VECTOR_MAX_DIM && (text = strchr(text, ',')) != NULL)
	{
		text++;
		count++;
	}
	return count;
}

/* The shortest decimals that read back as the same floats. */
VECPG_FUNCTION(vector_out);
Datum
vector_out(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);

	/* FLOAT_SHORTEST_DECIMAL_LEN counts a final zero: room for the comma. */
	char	   *text = palloc((Size) vec->dim * FLOAT_SHORTEST_DECIMAL_LEN + 3);
	char	   *end = text;

	*end++ = '[';
	for (int i = 0; i < vec->dim; i++)
	{
		if (i > 0)
			*end++ = ',';
		end += float_to_shortest_decimal_bufn(vec->x[i], end);
	}
	*end++ = ']';
	*end = '\0';
	PG_RETURN_CSTRING(text);
}

VECPG_FUNCTION(vector_typmod_in);
Datum
vector_typmod_in(PG_FUNCTION_ARGS)
{
	int			count;
	int32	   *typmods = ArrayGetIntegerTypmods(PG_GETARG_ARRAYTYPE_P(0), &count);

	if (count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));
	if (typmods[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector must be at least 1")));
	if (typmods[0] > VECTOR_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector cannot exceed %d", VECTOR_MAX_DIM)));
	PG_RETURN_INT32(typmods[0]);
}

/* int16 dim, int16 0, then dim big-endian floats. */
VECPG_FUNCTION(vector_recv);
Datum
vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int16		dim = pq_getmsgint(message, sizeof(int16));
	int16		unused = pq_getmsgint(message, sizeof(int16));
	const char *bytes;
	Vector	   *vec;

	vt_check_dim(dim);
	vt_check_expected_dim(typmod, dim);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	/* Raises if fewer are left, before anything is allocated. */
	bytes = pq_getmsgbytes(message, dim * sizeof(float));
	vec = vt_vector_new(dim);
	for (int i = 0; i < dim; i++)
	{
		uint32		word;

		memcpy(&word, bytes + i * sizeof(word), sizeof(word));
		word = pg_ntoh32(word);
		memcpy(&vec->x[i], &word, sizeof(word));
	}
	vt_check_elements(dim, vec->x);
	PG_RETURN_VECTOR_P(vec);
}

VECPG_FUNCTION(vector_send);
Datum
vector_send(PG_FUNCTION_ARGS)
{
	Vector	   *vec = PG_GETARG_VECTOR_P(0);
	StringInfoData message;

	pq_begintypsend(&message);
	enlargeStringInfo(&message, VECTOR_SIZE(vec->dim));
	pq_writeint16(&message, vec->dim);
	pq_writeint16(&message, 0);
	for (int i = 0; i < vec->dim; i++)
	{
		uint32		word;

		memcpy(&word, &vec->x[i], sizeof(word));
		pq_writeint32(&message, word);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
