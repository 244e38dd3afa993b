/*
 * failpoint.h: named moments at which a test may end or stop a process, make
 * its next allocations or what it writes to some files fail, or shift its wall
 * clock. Only in the build that `make check` makes with FAILPOINTS for
 * regress/fault; in any other build nothing of it is left.
 *
 * What is to happen stands in the file `failpoints` beside the program, which
 * every process maps at its start, before its sandbox: a test can change it
 * while they run, and reads there what was hit (regress/lib/failpoints.py).
 */
#ifndef FAILPOINT_H
#define FAILPOINT_H

#ifdef FAILPOINTS
#include <stdint.h>

void failpoint_hit(const char *name);
int64_t failpoint_clock(void); /* us that the wall clock is ahead */
/* While it is on no allocation fails: the memory was there before. */
void failpoint_at_hand(int on);
#define FAILPOINT(name)	      failpoint_hit(name)
#define FAILPOINT_CLOCK()     failpoint_clock()
#define FAILPOINT_AT_HAND(on) failpoint_at_hand(on)
#else
#define FAILPOINT(name)	      ((void)0)
#define FAILPOINT_CLOCK()     0
#define FAILPOINT_AT_HAND(on) ((void)0)
#endif

#endif
