/*
 * leaks.c: linked into the programs of `make leaks`, which have LeakSanitizer:
 * it looks for leaks in children, which end by _exit(2) or are killed after
 * their last word. It needs /proc and a process of its own for that, so there
 * children are in no namespaces and no sandbox.
 */
#include <unistd.h>
#include <sys/prctl.h>

#include <sanitizer/lsan_interface.h>

#include "imsgev.h"
#include "sandbox.h"

void __real__exit(int) __attribute__((noreturn));
void __wrap__exit(int) __attribute__((noreturn));
int __real_imsgev_compose(
    struct imsgev *, uint32_t, uint32_t, const void *, int);
int __wrap_imsgev_compose(
    struct imsgev *, uint32_t, uint32_t, const void *, int);
pid_t __wrap_sandbox_spawn(uid_t, gid_t, int, void (*)(void *), void *);
void __wrap_sandbox_enter(const struct sandbox *);

/* It says what it finds on stderr. */
static void
look(void)
{
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	(void)__lsan_do_recoverable_leak_check();
}

/* A child of the parent's that could not be executed has its memory. */
void
__wrap__exit(int status)
{
	if (status == 0)
		look();
	__real__exit(status);
}

int
__wrap_imsgev_compose(
    struct imsgev *iev, uint32_t type, uint32_t id, const void *m, int fd)
{
	/*
	 * Behind its last word a worker is killed at once, and tako-api when
	 * takod ends: that one looks while it serves.
	 */
	if (type == MSG_T_JOB_DONE || type == MSG_T_REQ_STATS)
		look();
	return (__real_imsgev_compose(iev, type, id, m, fd));
}

pid_t
__wrap_sandbox_spawn(
    uid_t uid, gid_t gid, int alone, void (*child)(void *), void *arg)
{
	pid_t pid;

	(void)uid;
	(void)gid;
	(void)alone;
	sandbox_void = 0;
	if ((pid = fork()) == 0)
		child(arg);
	return (pid);
}

void
__wrap_sandbox_enter(const struct sandbox *sb)
{
	(void)sb;
}
