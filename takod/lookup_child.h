/*
 * lookup_child.h: the child that asks a name server (network_lookup.c,
 * pg_resolve.c).
 */
#ifndef LOOKUP_CHILD_H
#define LOOKUP_CHILD_H

#include <sys/types.h>

#define LOOKUP_FD 3 /* where its answer goes; it has no other descriptor */

/*
 * In the forked child: nobody's rights, no core, no file, and its end with
 * parent's. fd becomes LOOKUP_FD, which is returned; ends the child where it
 * cannot be.
 */
int lookup_child(pid_t parent, int fd);

#endif
