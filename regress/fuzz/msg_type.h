/*
 * msg_type.h: how an input of a fuzz target names a message, so that a corpus
 * stays what it is when the catalogue grows: by a hash of the name; what is no
 * name's is taken for some type.
 */
#ifndef MSG_TYPE_H
#define MSG_TYPE_H

#include "msg.h"

/* FNV-1a, folded to 16 bits. */
static inline uint32_t
msg_type_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return ((h ^ h >> 16) & 0xffff);
}

static inline uint32_t
msg_type_of(uint32_t word)
{
	uint32_t type;

	for (type = MSG_NONE + 1; type < MSG_T_MAX; type++)
		if (msg_type_hash(msg_name(type)) == (word & 0xffff))
			return (type);
	return (word % (MSG_T_MAX - 1) + 1);
}

#endif
