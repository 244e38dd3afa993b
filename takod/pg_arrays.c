/*
 * pg_arrays.c: the parameters of several requests as one request's: each is an
 * array of theirs, in PostgreSQL's binary format. Runs in the parent's loop.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "pg_conn.h"
#include "util.h"

#define HEADER (5 * sizeof(uint32_t))

static uint8_t *
put32(uint8_t *p, uint32_t value)
{
	value = htonl(value);
	memcpy(p, &value, sizeof(value));
	return (p + sizeof(value));
}

/* Parameter i of each: one dimension, whose first element has number 1. */
static uint8_t *
put_array(uint8_t *p, uint32_t type, struct pg_request *const *of, int n, int i)
{
	int k;

	p = put32(p, 1);
	p = put32(p, 1); /* there may be NULLs */
	p = put32(p, type);
	p = put32(p, (uint32_t)n);
	p = put32(p, 1);
	for (k = 0; k < n; k++) {
		if (of[k]->values[i] == NULL) {
			p = put32(p, (uint32_t)-1);
			continue;
		}
		p = put32(p, (uint32_t)of[k]->lengths[i]);
		memcpy(p, of[k]->values[i], (size_t)of[k]->lengths[i]);
		p += of[k]->lengths[i];
	}
	return (p);
}

void *
pg_arrays(struct pg_request *r, const char *types, struct pg_request *const *of,
    int n)
{
	size_t len = 0;
	uint8_t *all, *p, *array;
	int i, k;

	for (k = 0; k < n; k++)
		len += of[k]->bytes;
	len += strlen(types) * (HEADER + sizeof(uint32_t) * (size_t)n);
	all = p = xmalloc(len);
	for (i = 0; types[i] != '\0'; i++) {
		array = p;
		p = put_array(p, pg_type(types[i]), of, n, i);
		pg_bytes(r, array, (size_t)(p - array));
	}
	return (all);
}
