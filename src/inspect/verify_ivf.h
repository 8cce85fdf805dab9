/*
 * verify_ivf.h -- the state of a look at an ivf index, shared by its two files.
 *
 * What it is not: visible to the checks of other access methods.
 */
#ifndef VECPG_VERIFY_IVF_H
#define VECPG_VERIFY_IVF_H

#include "utils/hsearch.h"

#include "am/ivf/ivf.h"
#include "inspect/inspect.h"

/* A refine slot in use. */
typedef struct VerifyRefine
{
	BlockNumber blkno;
	uint16		idx;
	uint16		part;
	VsTid		tid;
} VerifyRefine;

typedef struct VerifyIvf
{
	IvfMetaData meta;
	IvfModel	m;				/* sizes and descriptors only */
	IvfModel   *codes;			/* all of it, once codes are compared with vectors */
	BlockNumber *part_head;
	HTAB	   *lists;			/* directory entries by list number */
	VerifyRefine *refine;		/* ascending by place */
	Size		nrefine;
	Size		refine_cap;
} VerifyIvf;

/* verify_ivfcode.c */
extern void verify_ivf_codes(Verify *v);
extern void verify_ivf_code(Verify *v, const VerifyRow *row, const float *raw);

#endif							/* VECPG_VERIFY_IVF_H */
