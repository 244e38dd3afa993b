/*
 * sandbox.h: what a child gives up. The same functions for every child; which
 * system calls each keeps is a list of promise groups in its main file.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Promise groups of system calls: sandbox.c says what each holds and why. */
enum promise {
	PROMISE_STDIO = 1 << 0,	  /* read, write, poll, memory, clock, exit */
	PROMISE_RECVFD = 1 << 1,  /* recvmsg, sendmsg on what is open */
	PROMISE_MEMFD = 1 << 2,	  /* memfd_create, seals, mmap of them */
	PROMISE_ACCEPT = 1 << 3,  /* accept4, getpeername, setsockopt */
	PROMISE_ARTIFACT = 1 << 4 /* openat relative to one dir, fsync */
};

struct sandbox {
	unsigned promises;
	rlim_t nofile;	 /* RLIMIT_NOFILE */
	rlim_t fsize;	 /* RLIMIT_FSIZE: 0 lets nothing be written */
	rlim_t as;	 /* RLIMIT_AS; 0: unchanged */
	int artifact_fd; /* for PROMISE_ARTIFACT: the one directory */
};

/*
 * Called by a child once it has its descriptors, before it reads a byte that
 * came from outside: rlimits, dumpable 0, no_new_privs, Landlock (all file
 * and network access refused), seccomp. Ends the process when a part cannot
 * be had (Landlock below the floor is logged). In the sanitizer build the
 * system call filter is left out (SANDBOX_NULL), all else holds.
 */
void sandbox_enter(const struct sandbox *);

/*
 * First thing in a child's main: checks that it was started as a child of
 * takod (descriptor MSG_FD is a SOCK_SEQPACKET socket, no other descriptor
 * but 0-2), unprivileged (uid not 0, no capability). Ends it otherwise.
 */
void sandbox_check_start(const char *name);

/*
 * In the forked child, before exec (parent's side: takod/proc.c): gives up
 * ids and capabilities for good. -1 with errno.
 */
int sandbox_drop_ids(uid_t, gid_t);

#endif
