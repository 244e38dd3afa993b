/*
 * spawn.h: a child that borrows the memory of its parent, as vfork(2) has it.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes of a stack on which a line can be logged; as processors align it. */
#define SPAWN_STACK 32768
#define SPAWN_ALIGN __attribute__((aligned(16)))

/*
 * flags: of clone(2), CLONE_VM, CLONE_VFORK, CLONE_NEW...; group: folder of a
 * v2 control group to be born in, -1 for none; stack: so many bytes, and what
 * the child spawns itself has its own within them; child: never returns.
 */
struct spawn {
	int flags, group;
	char *stack;
	size_t size;
	void (*child)(void *);
	void *arg;
};

/*
 * The child's number, or -1 with errno. What it is given stays as it is until
 * the child has executed a program or ended: with CLONE_VFORK that is before
 * this returns. With CLONE_VM it shares all memory until then, errno too: it
 * calls what is safe in a signal handler, and changes nothing that its parent
 * reads later; without CLONE_VFORK it does not set its oom_score_adj, which the
 * kernel gives to all who share it. A kernel that knows no control groups here
 * has the child born in its parent's.
 */
pid_t spawn(const struct spawn *);

#endif
