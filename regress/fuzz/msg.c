/*
 * msg.c: fuzz target of the frame reader: the first four bytes choose the
 * type (msg_type.h), the rest is the array. What is read must pack again to the
 * same value.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static union {
#define X(TYPE, name, sender, fd) struct msg_##name name;
		MSG_CATALOGUE(X)
#undef X
	} m, again;
	static struct msg_frame f, g;
	const char *why;
	uint32_t type;

	if (len < 4 || len - 4 > sizeof(f.body))
		return (0);
	memcpy(&type, data, 4);
	type = msg_type_of(type);
	memset(&m, 0, sizeof(m));
	memset(&again, 0, sizeof(again));
	f.hdr.type = type;
	f.hdr.len = (uint32_t)(sizeof(f.hdr) + len - 4);
	memcpy(f.body, data + 4, len - 4);
	if (msg_read(&f, type, &m, &why) == -1)
		return (0);
	if (msg_pack(&g, type, 0, &m) == -1 ||
	    msg_read(&g, type, &again, &why) == -1 ||
	    memcmp(&m, &again, sizeof(m)) != 0)
		abort();
	return (0);
}
