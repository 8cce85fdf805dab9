/*
 * opclass.c -- the descriptors of all opclasses, and their validation.
 *
 * What it is not: a switch on types. An access method reads the descriptor's
 * fields; the fourth metric is a fourth row.
 */
#include "postgres.h"

#include "pg/compat.h"

#include <math.h>

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "index/vindex.h"
#include "simd/simd.h"

static const VecOpclass opclasses[] = {
	{1, "vector_l2_ops", VQ_L2, false, VECTOR_MAX_DIM, vt_l2},
	{2, "vector_ip_ops", VQ_IP, false, VECTOR_MAX_DIM, vt_ip_neg},
	{3, "vector_cosine_ops", VQ_L2, true, VECTOR_MAX_DIM, vt_cosine},
	{4, "vector_l1_ops", VQ_L1, false, VECTOR_MAX_DIM, vt_l1},
};

VECPG_FUNCTION(vecpg_vector_l2_support);
Datum
vecpg_vector_l2_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&opclasses[0]);
}

VECPG_FUNCTION(vecpg_vector_ip_support);
Datum
vecpg_vector_ip_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&opclasses[1]);
}

VECPG_FUNCTION(vecpg_vector_cosine_support);
Datum
vecpg_vector_cosine_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&opclasses[2]);
}

VECPG_FUNCTION(vecpg_vector_l1_support);
Datum
vecpg_vector_l1_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&opclasses[3]);
}

const VecOpclass *
vi_opclass(Relation index)
{
	FmgrInfo   *support = index_getprocinfo(index, 1, VI_SUPPORT_PROC);
	const VecOpclass *oc = (const VecOpclass *) DatumGetPointer(FunctionCall1(support, PointerGetDatum(NULL)));

	/* A support function is any SQL function: trust only our own rows. */
	if (oc < opclasses || oc >= opclasses + lengthof(opclasses))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class of index \"%s\" has no vecpg descriptor",
						RelationGetRelationName(index))));
	return oc;
}

int
vi_index_dims(Relation index)
{
	int32		typmod = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	return typmod > 0 ? typmod : 0;
}

ViClass
vi_prepare(const VecOpclass *oc, int dims, const float *raw, float *out, double *norm)
{
	double		len = sqrt(vk->norm2_f32(raw, dims));
	float		mul;
	int			i;

	*norm = len;
	memcpy(out, raw, sizeof(float) * dims);
	if (!oc->normalise)
	{
		/* Denormal queries would lose their bits in tables and codes. */
		return len > VI_WILD_NORM || (len > 0 && len < VI_TINY_NORM) ? VI_WILD : VI_FINITE;
	}
	if (len == 0)
		return VI_NAN;
	/* The operator decides, in its own float32 arithmetic: NaN with some rows. */
	if (isnan(oc->distance(dims, raw, raw)))
		return VI_WILD;
	mul = (float) (1.0 / len);
	for (i = 0; i < dims; i++)
		out[i] = raw[i] * mul;
	return VI_FINITE;
}

double
vi_unvalue(const VecOpclass *oc, double value)
{
	if (oc->metric != VQ_L2)
		return value;
	if (oc->normalise)
		return value * 2;
	return value * value;
}

double
vi_value(const VecOpclass *oc, double value)
{
	if (oc->metric == VQ_IP)
		return value;
	value = Max(value, 0);		/* a lower bound may have gone below */
	if (oc->metric == VQ_L1)
		return value;
	if (oc->normalise)
		return value / 2;		/* |a - b|^2 = 2 - 2 <a,b> for unit vectors */
	return sqrt(value);
}

/*
 * An opclass is valid if it orders by its one operator and its support
 * function 1 has the signature of a descriptor.
 */
bool
vi_validate(Oid opclassoid)
{
	HeapTuple	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclassoid));
	Form_pg_opclass classform;
	CatCList   *procs;
	CatCList   *opers;
	bool		result = true;
	bool		has_support = false;
	int			i;

	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclassoid);
	classform = (Form_pg_opclass) GETSTRUCT(classtup);
	procs = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(classform->opcfamily));
	opers = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(classform->opcfamily));

	for (i = 0; i < procs->n_members; i++)
	{
		Form_pg_amproc form = (Form_pg_amproc) GETSTRUCT(&procs->members[i]->tuple);

		if (form->amprocnum != VI_SUPPORT_PROC ||
			!check_amproc_signature(form->amproc, INTERNALOID, true, 1, 1, INTERNALOID))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family %u contains function %s with an invalid number or signature",
							classform->opcfamily, format_procedure(form->amproc))));
			result = false;
		}
		else if (form->amproclefttype == classform->opcintype)
			has_support = true;
	}
	for (i = 0; i < opers->n_members; i++)
	{
		Form_pg_amop form = (Form_pg_amop) GETSTRUCT(&opers->members[i]->tuple);

		if (form->amopstrategy != VI_ORDER_STRATEGY || form->amoppurpose != AMOP_ORDER ||
			!check_amop_signature(form->amopopr, FLOAT8OID, form->amoplefttype, form->amoprighttype))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family %u contains operator %s that is no ordering by float8",
							classform->opcfamily, format_operator(form->amopopr))));
			result = false;
		}
	}
	if (!has_support)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" lacks support function %d",
						NameStr(classform->opcname), VI_SUPPORT_PROC)));
		result = false;
	}
	ReleaseCatCacheList(procs);
	ReleaseCatCacheList(opers);
	ReleaseSysCache(classtup);
	return result;
}
