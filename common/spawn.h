/*
 * spawn.h: a child that borrows the memory of its parent, as vfork(2) has it.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes of a stack; aligned as the processors ask for. */
#define SPAWN_STACK 32768
#define SPAWN_ALIGN __attribute__((aligned(16)))

struct spawn {
	int flags; /* of clone(2): CLONE_VM, CLONE_VFORK, CLONE_NEW... */
	int group; /* folder of a v2 control group to be born in; -1: none */
	char
	    *stack; /* SPAWN_STACK bytes, the child's for as long as it lives */
	void (*child)(void *); /* never returns */
	void *arg;
};

/*
 * The child's number, or -1 with errno. With CLONE_VM the child shares all
 * memory until it executes a program, errno too: it calls what is safe in a
 * signal handler, and changes nothing that its parent reads later. A kernel
 * that does not know control groups here has the child born in its parent's.
 */
pid_t spawn(const struct spawn *);

#endif
