/*
 * event_arm.h: for events without which a process would wait for ever.
 */
#ifndef EVENT_ARM_H
#define EVENT_ARM_H

#include <event2/event.h>

/*
 * event_add(3), which may need memory: where there is none the process ends
 * and is started anew, instead of never hearing of what it waits for.
 */
void event_arm(struct event *, const struct timeval *);

#endif
