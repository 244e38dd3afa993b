/*
 * failpoint.c: see failpoint.h. Empty in every build but the one for tests of
 * faults; there it runs in takod, tako-api and tako-worker.
 */
#include "failpoint.h"

#ifdef FAILPOINTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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
	char io_path[48]; /* files with this in their path cannot be written */
	int32_t io_errno; /* why; 0: they can */
	int32_t io_failed;
	int64_t clock_us;
};

static volatile struct failpoints *fp;
static int child; /* whose sandbox lets it ask for no id, and send no signal */

static void __attribute__((constructor)) failpoint_map(void)
{
	char path[4096];
	ssize_t n;
	char *slash;
	void *p;
	int fd;

	child = getuid() != 0;
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
			if (!child)
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
 * These take the place of libc's, or the sanitizer's, for the program and all
 * its libraries.
 */

#ifdef __SANITIZE_ADDRESS__
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif
void *REAL(malloc)(size_t);
void *REAL(calloc)(size_t, size_t);
void *REAL(realloc)(void *, size_t);

static int at_hand;

void
failpoint_at_hand(int on)
{
	at_hand = on;
}

static int
allocation_fails(void)
{
	if (fp == NULL || at_hand || fp->malloc_fails == 0 ||
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
	return (allocation_fails() ? NULL : REAL(malloc)(size));
}

void *
calloc(size_t n, size_t size)
{
	return (allocation_fails() ? NULL : REAL(calloc)(n, size));
}

void *
realloc(void *p, size_t size)
{
	return (allocation_fails() ? NULL : REAL(realloc)(p, size));
}

/* ---- files ------------------------------------------------------------------
 * These take the place of libc's likewise. A path is that of the descriptor,
 * as the kernel shows it, with the name behind it; a process without /proc (a
 * worker) has no files but those of its spool folder.
 */

static int
io_fails(int fd, const char *name)
{
	char path[4096] = "", link[32];
	struct stat st;
	ssize_t n;

	if (fp == NULL || fp->io_errno == 0)
		return (0);
	if (fd >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		if (n != -1)
			path[n] = '\0';
		else if (name != NULL ||
			 (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
			     st.st_nlink > 0)) /* no memfd */
			strcpy(path, "/spool/");
	}
	if (name != NULL) {
		n = (ssize_t)strlen(path);
		snprintf(path + n, sizeof(path) - (size_t)n, "/%s", name);
	}
	if (strstr(path, (const char *)(uintptr_t)fp->io_path) == NULL)
		return (0);
	__atomic_add_fetch(&fp->io_failed, 1, __ATOMIC_SEQ_CST);
	errno = fp->io_errno;
	return (1);
}

#define IO(type, call, number, fd, name, params, ...)                          \
	type call params;                                                      \
	type call params                                                       \
	{                                                                      \
		if (io_fails(fd, name))                                        \
			return (-1);                                           \
		return ((type)syscall(number, __VA_ARGS__));                   \
	}

IO(ssize_t, write, SYS_write, fd, NULL, (int fd, const void *p, size_t n), fd,
    p, n)
IO(ssize_t, pwrite64, SYS_pwrite64, fd, NULL,
    (int fd, const void *p, size_t n, off64_t at), fd, p, n, at)
IO(int, fsync, SYS_fsync, fd, NULL, (int fd), fd)
IO(int, fdatasync, SYS_fdatasync, fd, NULL, (int fd), fd)
IO(int, ftruncate64, SYS_ftruncate, fd, NULL, (int fd, off64_t n), fd, n)
IO(int, mkdirat, SYS_mkdirat, fd, name, (int fd, const char *name, mode_t m),
    fd, name, m)
IO(int, renameat, SYS_renameat, to_fd, to,
    (int fd, const char *name, int to_fd, const char *to), fd, name, to_fd, to)

static int
io_open(int fd, const char *name, int flags, va_list ap)
{
	mode_t mode = 0;

	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && io_fails(fd, name))
		return (-1);
	return ((int)syscall(SYS_openat, fd, name, flags, mode));
}

int
openat(int fd, const char *name, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	fd = io_open(fd, name, flags, ap);
	va_end(ap);
	return (fd);
}

int
open64(const char *name, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = io_open(AT_FDCWD, name, flags, ap);
	va_end(ap);
	return (fd);
}
#endif
