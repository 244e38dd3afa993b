/*
 * failpoint.c: see failpoint.h. Empty in every build but the one for tests of
 * faults; there it runs in takod, tako-api and tako-worker.
 */
#include "failpoint.h"

#ifdef FAILPOINTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#define POINTS 16

enum action {
	ACTION_NONE, /* only counted */
	ACTION_KILL,
	ACTION_STOP,
	ACTION_EXIT,
	ACTION_ABORT
};

/* The file, as regress/lib/failpoints.py packs it. */
struct failpoints {
	struct {
		char name[48];
		int32_t action; /* at that hit and the later ones */
		int32_t after;	/* hits that it lets pass */
		int32_t hits;
		int32_t unused;
	} points[POINTS];
	char program[16]; /* whose allocations fail */
	int32_t malloc_after;
	int32_t malloc_fails; /* so many of them, one behind the other */
	int32_t malloc_failed;
	int32_t unused;
	int64_t clock_us;
};

static volatile struct failpoints *fp;

static void __attribute__((constructor)) failpoint_map(void)
{
	char path[4096];
	ssize_t n;
	char *slash;
	void *p;
	int fd;

	n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	if (n == -1)
		return;
	path[n] = '\0';
	if ((slash = strrchr(path, '/')) == NULL)
		return;
	strcpy(slash + 1, "failpoints");
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	p = mmap(NULL, sizeof(*fp), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	fp = p;
}

void
failpoint_hit(const char *name)
{
	int i;

	for (i = 0; fp != NULL && i < POINTS; i++) {
		if (strcmp((const char *)(uintptr_t)fp->points[i].name, name) !=
		    0)
			continue;
		if (__atomic_add_fetch(&fp->points[i].hits, 1,
			__ATOMIC_SEQ_CST) <= fp->points[i].after)
			continue;
		switch (fp->points[i].action) {
		case ACTION_KILL:
			/* A child's sandbox refuses the signal. */
			if (getuid() == 0)
				kill(getpid(), SIGKILL);
			__builtin_trap();
		case ACTION_STOP:
			kill(getpid(), SIGSTOP);
			break;
		case ACTION_EXIT:
			_exit(1);
		case ACTION_ABORT:
			abort();
		}
	}
}

int64_t
failpoint_clock(void)
{
	return (fp != NULL ? fp->clock_us : 0);
}

/* ---- allocations ------------------------------------------------------------
 * These take the place of libc's for the program and all its libraries.
 */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static int
allocation_fails(void)
{
	if (fp == NULL || fp->malloc_fails == 0 ||
	    strcmp((const char *)(uintptr_t)fp->program,
		program_invocation_short_name) != 0)
		return (0);
	if (__atomic_sub_fetch(&fp->malloc_after, 1, __ATOMIC_SEQ_CST) >= 0)
		return (0);
	__atomic_sub_fetch(&fp->malloc_fails, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&fp->malloc_failed, 1, __ATOMIC_SEQ_CST);
	errno = ENOMEM;
	return (1);
}

void *
malloc(size_t size)
{
	return (allocation_fails() ? NULL : __libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
	return (allocation_fails() ? NULL : __libc_calloc(n, size));
}

void *
realloc(void *p, size_t size)
{
	return (allocation_fails() ? NULL : __libc_realloc(p, size));
}
#endif
