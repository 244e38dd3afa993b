/*
 * spawn.c: starts children without a copy of the tables of the parent's
 * memory. Runs in takod, which has 250 mappings: fork(2) and the faults that
 * follow cost it 2 ms for each child, and a job needs some.
 *
 * posix_spawn(3) has no control groups before glibc 2.39, and no place for
 * what a child does between; clone(3) has no flag of more than 32 bits. So
 * the kernel's clone3 is called, and as a child cannot return to a frame that
 * is its parent's too, in a few lines of assembly.
 */
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "spawn.h"

static int
run(void *arg)
{
	const struct spawn *s = arg;

	s->child(s->arg);
	_exit(127);
}

#ifdef SANDBOX_NULL
/* The sanitizers know no stack but the program's: the child has a copy. */
#define BORROWED (CLONE_VM | CLONE_VFORK)

static long
clone_into(struct clone_args *args, const struct spawn *s)
{
	long pid;

	args->flags &= ~(__u64)BORROWED;
	args->stack = args->stack_size = 0;
	if ((pid = syscall(SYS_clone3, args, sizeof(*args))) == 0)
		run((void *)(uintptr_t)s);
	return (pid == -1 ? -errno : pid);
}

static pid_t
clone_plain(const struct spawn *s)
{
	int flags = (s->flags & ~BORROWED) | SIGCHLD;
	pid_t pid;

	if ((pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0)) == 0)
		run((void *)(uintptr_t)s);
	return (pid);
}

#else

/* As the system call: the child's number, or minus an error's. */
static long
clone_into(struct clone_args *args, const struct spawn *s)
{
#if defined(__x86_64__)
	register int (*start)(void *) __asm__("r12") = run;
	register const struct spawn *arg __asm__("r13") = s;
	long pid = SYS_clone3;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n"
			 "1:"
			 : "+a"(pid)
			 : "D"(args), "S"(sizeof(*args)), "r"(start), "r"(arg)
			 : "rcx", "r11", "cc", "memory");
	return (pid);
#elif defined(__aarch64__)
	register int (*start)(void *) __asm__("x19") = run;
	register const struct spawn *arg __asm__("x20") = s;
	register long number __asm__("x8") = SYS_clone3;
	register long size __asm__("x1") = sizeof(*args);
	register long pid __asm__("x0") = (long)args;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x20\n\t"
			 "blr x19\n"
			 "1:"
			 : "+r"(pid)
			 : "r"(size), "r"(number), "r"(start), "r"(arg)
			 : "cc", "memory");
	return (pid);
#else
#error "no clone3 for this processor"
#endif
}

static pid_t
clone_plain(const struct spawn *s)
{
	return (clone(
	    run, s->stack + s->size, s->flags | SIGCHLD, (void *)(uintptr_t)s));
}
#endif

static pid_t
start(const struct spawn *s)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
		.flags = (__u64)s->flags | CLONE_INTO_CGROUP,
		.cgroup = (__u64)s->group,
		.stack = (uintptr_t)s->stack,
		.stack_size = s->size };
	long pid;

	if (s->group == -1)
		return (clone_plain(s));
	pid = clone_into(&args, s);
	if (pid > 0)
		return ((pid_t)pid);
	if (pid == -EAGAIN || pid == -ENOMEM) {
		errno = (int)-pid;
		return (-1);
	}
	/* Before Linux 5.7, or not where this group is. */
	return (clone_plain(s));
}

pid_t
spawn(const struct spawn *s)
{
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	pid_t pid = start(s);

	/* New ids of a child set that anew for the memory that it shares. */
	if (pid != -1 && (s->flags & CLONE_VFORK) != 0)
		(void)prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
	return (pid);
}
