/*
 * json_memory.c: jansson leaves out what it has no memory for, a filter of
 * system calls from a container as well as a digit, and its reader may then run
 * past its buffer. So there is no such thing. Runs in takod, tako-api and
 * takoctl.
 */
#include <stdlib.h>

#include <jansson.h>

#include "json_memory.h"
#include "log.h"

static void *
malloc_or_end(size_t size)
{
	void *p = malloc(size);

	if (p == NULL)
		fatal(NULL);
	return (p);
}

void
json_memory_init(void)
{
	json_set_alloc_funcs(malloc_or_end, free);
}
