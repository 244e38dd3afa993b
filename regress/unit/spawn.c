/*
 * spawn.c: children that borrow memory, and those that get a copy; in a
 * control group and not.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "takod/cgroup.h"
#include "spawn.h"
#include "util.h"

#define BORROWS (CLONE_VM | CLONE_VFORK)
#define GROUP	"/takod-spawn-test"

static volatile int written;

static void
write_and_end(void *arg)
{
	written = *(int *)arg;
	_exit(3);
}

static void
execute(void *arg)
{
	char *const argv[] = { arg, NULL };

	execv(arg, argv);
	_exit(127);
}

static void
look(void *arg)
{
	int out = *(int *)arg, fd = open("/proc/self/cgroup", O_RDONLY);
	char text[4096];
	ssize_t n = read(fd, text, sizeof(text));

	_exit(n > 0 && write(out, text, (size_t)n) == n ? 0 : 1);
}

static int
status_of(int flags, int group, void (*child)(void *), void *arg)
{
	char stack[SPAWN_STACK] SPAWN_ALIGN;
	const struct spawn s = { .flags = flags,
		.group = group,
		.stack = stack,
		.size = sizeof(stack),
		.child = child,
		.arg = arg };
	pid_t pid = spawn(&s);
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

static int
group_open(void)
{
	char detail[256];
	struct cgroups *cg = cgroups_open(NULL, detail, sizeof(detail));
	int fd;

	assert_non_null(cg);
	fd = cgroup_make(cg, GROUP);
	assert_int_not_equal(fd, -1);
	cgroups_free(cg);
	return (fd);
}

static void
group_close(int fd)
{
	char detail[256];
	struct cgroups *cg = cgroups_open(NULL, detail, sizeof(detail));

	close_fd(&fd);
	assert_non_null(cg);
	assert_int_equal(cgroup_unmake(cg, GROUP), 0);
	cgroups_free(cg);
}

static void
test_memory(void **state)
{
	int groups[] = { -1, group_open() }, value = 1;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(groups); i++) {
		value++;
		assert_int_equal(
		    status_of(0, groups[i], write_and_end, &value), 3);
		assert_int_not_equal(written, value);
		assert_int_equal(
		    status_of(BORROWS, groups[i], write_and_end, &value), 3);
#ifndef SANDBOX_NULL
		assert_int_equal(written, value);
#endif
	}
	group_close(groups[1]);
}

static void
test_exec(void **state)
{
	static char yes[] = "/bin/true", no[] = "/bin/false", none[] = "/no";
	int groups[] = { -1, group_open() }, i;

	(void)state;
	/* What the caller has in registers and on its stack stays. */
	for (i = 0; i < 100; i++) {
		assert_int_equal(
		    status_of(BORROWS, groups[i % 2], execute, yes), 0);
		assert_int_equal(
		    status_of(BORROWS, groups[i % 2], execute, no), 1);
		assert_int_equal(
		    status_of(BORROWS, groups[i % 2], execute, none), 127);
	}
	group_close(groups[1]);
}

static void
test_group(void **state)
{
	int group = group_open(), flags[] = { 0, BORROWS }, pipes[2];
	char text[4096];
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(flags); i++) {
		assert_int_equal(pipe(pipes), 0);
		assert_int_equal(
		    status_of(flags[i], group, look, &pipes[1]), 0);
		n = read(pipes[0], text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, "0::" GROUP "\n"));
		close(pipes[0]);
		close(pipes[1]);
	}
	group_close(group);
}

static void
become(void *arg)
{
	_exit(setresuid(*(uid_t *)arg, *(uid_t *)arg, *(uid_t *)arg) == -1);
}

/* New ids of a child say nothing of its parent. */
static void
test_ids(void **state)
{
	uid_t uid = 1999999000;
	int dumpable;

	(void)state;
	for (dumpable = 1; dumpable >= 0; dumpable--) {
		assert_int_equal(prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0), 0);
		assert_int_equal(status_of(BORROWS, -1, become, &uid), 0);
		assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), dumpable);
	}
}

/* What is no group: it is born in its parent's. */
static void
test_no_group(void **state)
{
	static char yes[] = "/bin/true";
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(status_of(BORROWS, fd, execute, yes), 0);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_no_group),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
