/*
 * event_arm.c: event_add(3) or the end. Runs in every process with a loop.
 */
#include <stddef.h>

#include "event_arm.h"
#include "log.h"

void
event_arm(struct event *ev, const struct timeval *tv)
{
	if (event_add(ev, tv) == -1)
		fatal("event_add");
}
