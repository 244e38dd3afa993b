/*
 * sandbox.h: what a child gives up. The same functions for every child; which
 * system calls each keeps is a set of promise groups (promises.c).
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Promise groups of system calls: promises.c has each call and its reason. */
enum promise {
	PROMISE_STDIO = 1 << 0,	   /* what is open, memory, clock, the end */
	PROMISE_RECVFD = 1 << 1,   /* descriptors over the channel */
	PROMISE_MEMFD = 1 << 2,	   /* memfds, and their seals */
	PROMISE_ACCEPT = 1 << 3,   /* clients of the listeners */
	PROMISE_ARTIFACT = 1 << 4, /* new files in the one folder */
	PROMISE_UNPACK = 1 << 5	   /* and new folders */
};
#define PROMISES_API                                                           \
	(PROMISE_STDIO | PROMISE_RECVFD | PROMISE_MEMFD | PROMISE_ACCEPT)
#define PROMISES_WORDS (PROMISE_STDIO | PROMISE_RECVFD | PROMISE_MEMFD)
#define PROMISES_WORKER                                                        \
	(PROMISE_STDIO | PROMISE_RECVFD | PROMISE_MEMFD | PROMISE_ARTIFACT)

#define PROMISES_UNPACK                                                        \
	(PROMISE_STDIO | PROMISE_RECVFD | PROMISE_ARTIFACT | PROMISE_UNPACK)

struct sandbox {
	unsigned promises;
	rlim_t nofile;	  /* RLIMIT_NOFILE */
	rlim_t fsize;	  /* RLIMIT_FSIZE; 0: unchanged */
	rlim_t as;	  /* RLIMIT_AS; 0: unchanged */
	int artifact_fd;  /* for PROMISE_ARTIFACT: the one directory */
	uint32_t refused; /* the message that tells of a call refused */
};

/*
 * First thing in a child's main: checks that it was started as a child of
 * takod (descriptor MSG_FD is a SOCK_SEQPACKET socket, no other descriptor
 * but 0-2), unprivileged (uid not 0, no capability but over namespaces of its
 * own), and moves it into an empty root, with no network, in namespaces of
 * its own. Ends it otherwise; a namespace that cannot be had is logged.
 */
void sandbox_check_start(const char *name);

/*
 * Called by a child once it has its descriptors, before it reads a byte that
 * came from outside: rlimits, dumpable 0, no_new_privs, Landlock (all file
 * and network access refused), seccomp. Ends the process when a part cannot
 * be had (no Landlock at all is logged). In the sanitizer build the
 * system call filter is left out (SANDBOX_NULL), all else holds.
 */
void sandbox_enter(const struct sandbox *);

/*
 * By the parent: calls child(arg), which does not return but executes a
 * program, in the first process of a pid namespace, below a user namespace in
 * which it alone has that id, in an empty network, which is its own (alone) or
 * that of all who are not; without sandbox_void where the kernel grants none.
 * Until then it borrows the parent's memory (spawn.h). -1 with errno.
 */
pid_t sandbox_spawn(uid_t, gid_t, int alone, void (*child)(void *), void *arg);
/* Writes uid_map or gid_map of a process's user namespace. -1 with errno. */
int sandbox_map_ids(pid_t, const char *file, const char *map);
/* Whether children got namespaces so far; why not: errno of sandbox_spawn. */
extern int sandbox_void;

/*
 * In the child, before exec (parent's side: takod/proc.c): gives up
 * ids and capabilities for good; but in a namespace of its own those that
 * sandbox_check_start needs there. -1 with errno.
 */
int sandbox_drop_ids(uid_t, gid_t);

/* landlock.c: the ABI used of those that the kernel has. */
#define LANDLOCK_NEWEST 6
/* No rule above this ABI is used; LANDLOCK_NEWEST but in tests. */
extern int landlock_most;
/*
 * Refuses all but new files in dir (-1: not even that), and folders there if
 * tree. The ABI used.
 */
int landlock_enter(int dir, int tree);
int landlock_abi(void); /* that would be used; 0: there is none */

/* promises.c */
typedef void *scmp_filter_ctx;
/* Before libseccomp begins: the end is here, or none for want of memory. */
void filter_memory(void);
/* Loads it and sets it free. */
void filter_load(scmp_filter_ctx);
/* The filter, not loaded yet; the caller releases it. */
scmp_filter_ctx promises_filter(const struct sandbox *);
/* Loads it, with the handler that tells of what it refused. */
void promises_enter(const struct sandbox *);

#endif
