/*
 * codec.c -- the refine codecs by id and by name.
 *
 * What it is not: a place for any of them; a codec is one file and a row here.
 */
#include "quant/codec.h"

#include <string.h>

static const VqCodec *const codecs[] = {
	&vq_codec_rabitq8,
	&vq_codec_rabitq6,
	&vq_codec_rabitq4,
	&vq_codec_sq8,
	&vq_codec_flat,
	&vq_codec_l1,
};

#define NCODECS (sizeof(codecs) / sizeof(codecs[0]))

const VqCodec *
vq_codec(int id)
{
	for (size_t i = 0; i < NCODECS; i++)
		if (codecs[i]->id == id)
			return codecs[i];
	return NULL;
}

const VqCodec *
vq_codec_by_name(const char *name)
{
	for (size_t i = 0; i < NCODECS; i++)
		if (strcmp(codecs[i]->name, name) == 0)
			return codecs[i];
	return NULL;
}
