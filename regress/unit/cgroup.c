/*
 * cgroup.c of takod: hierarchies as a host with v1, with v2 and with both
 * shows them (folders of plain files), and the real v2 hierarchy if this host
 * has one.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "takod/cgroup.h"
#include "util.h"

static char top[64];

static void
file_make(const char *path, const char *text)
{
	char full[256], *slash;
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	for (slash = full + 1; (slash = strchr(slash, '/')) != NULL;
	     *slash++ = '/') {
		*slash = '\0';
		mkdir(full, 0755);
	}
	assert_non_null(f = fopen(full, "w"));
	fputs(text, f);
	fclose(f);
}

static struct cgroups *
open_with(const char *lines)
{
	struct cgroups *cg;
	char path[128], detail[256] = "";

	file_make("mountinfo", lines);
	snprintf(path, sizeof(path), "%s/mountinfo", top);
	cg = cgroups_open(path, detail, sizeof(detail));
	if (cg == NULL)
		assert_string_not_equal(detail, "");
	return (cg);
}

/* A line of mountinfo for top/name. */
static char *
mount_line(const char *name, const char *type, const char *options)
{
	return (xasprintf("31 25 0:28 / %s/%s rw,nosuid shared:9 - %s none "
			  "rw,%s\n",
	    top, name, type, options));
}

static int
setup(void **state)
{
	(void)state;
	strlcpy(top, "/tmp/takod-unit-XXXXXX", sizeof(top));
	return (mkdtemp(top) == NULL ? -1 : 0);
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return (system(command));
}

static void
test_none(void **state)
{
	(void)state;
	assert_null(open_with(""));
	assert_null(open_with("31 25 0:28 / /proc rw - proc proc rw\n"));
	assert_null(open_with("cut short - cgroup\nno separator at all\n\n"));
}

static void
test_v2(void **state)
{
	char *line = mount_line("two", "cgroup2", "nsdelegate");
	struct container_facts f;
	struct cgroups *cg;

	(void)state;
	file_make("two/takod-x/a/memory.events",
	    "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
	file_make("two/takod-x/a/memory.peak", "123456\n");
	file_make("two/takod-x/a/cpu.stat",
	    "usage_usec 777\nuser_usec 500\nsystem_usec 277\n");
	assert_non_null(cg = open_with(line));
	assert_int_equal(cgroups_swap(cg), 1);
	cgroup_facts(cg, "/takod-x/a", &f);
	assert_int_equal(f.oom_kills, 2);
	assert_int_equal(f.memory_peak, 123456);
	assert_int_equal(f.cpu_us, 777);
	/* Before Linux 5.19 there is no peak. */
	file_make("two/takod-x/b/memory.events", "oom 0\n");
	cgroup_facts(cg, "/takod-x/b", &f);
	assert_int_equal(f.oom_kills, -1);
	assert_int_equal(f.memory_peak, -1);
	assert_int_equal(f.cpu_us, -1);
	cgroups_free(cg);
	free(line);
}

static void
test_hybrid(void **state)
{
	char *memory = mount_line("memory", "cgroup", "memory");
	char *cpu = mount_line("cpu", "cgroup", "cpu,cpuacct");
	char *unified = mount_line("unified", "cgroup2", "nsdelegate");
	char *all = xasprintf("%s%s%s", memory, unified, cpu);
	struct container_facts f;
	struct cgroups *cg;

	(void)state;
	file_make("memory/takod-x/a/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	file_make("memory/takod-x/a/memory.max_usage_in_bytes", "4096\n");
	file_make("cpu/takod-x/a/cpuacct.usage", "5000999\n");
	/* The process may not be in the v2 group: its figure does not count. */
	file_make("unified/takod-x/a/cpu.stat", "usage_usec 0\n");
	assert_non_null(cg = open_with(all));
	assert_int_equal(cgroups_swap(cg), 0);
	cgroup_facts(cg, "/takod-x/a", &f);
	assert_int_equal(f.oom_kills, 4);
	assert_int_equal(f.memory_peak, 4096);
	assert_int_equal(f.cpu_us, 5000);
	cgroups_free(cg);
	file_make("memory/memory.memsw.limit_in_bytes", "1\n");
	assert_non_null(cg = open_with(all));
	assert_int_equal(cgroups_swap(cg), 1);
	cgroup_facts(cg, "/takod-x/gone", &f);
	assert_int_equal(f.oom_kills, -1);
	cgroups_free(cg);
	free(memory);
	free(cpu);
	free(unified);
	free(all);
}

static void
test_paused(void **state)
{
	char *freezer = mount_line("freezer", "cgroup", "freezer");
	char *unified = mount_line("unified", "cgroup2", "nsdelegate");
	char *all = xasprintf("%s%s", freezer, unified), path[256];
	struct cgroups *cg;

	(void)state;
	file_make("freezer/top/one-abc.scope/freezer.state", "FROZEN\n");
	file_make("freezer/top/two/freezer.state", "THAWED\n");
	file_make("unified/three/cgroup.freeze", "1\n");
	file_make("unified/four/cgroup.freeze", "0\n");
	assert_non_null(cg = open_with(all));
	assert_int_equal(cgroup_frozen(cg, "/top/one-abc.scope"), 1);
	assert_int_equal(cgroup_frozen(cg, "/top/two"), 0);
	assert_int_equal(cgroup_frozen(cg, "/three"), 1);
	assert_int_equal(cgroup_frozen(cg, "/four"), 0);
	assert_int_equal(cgroup_frozen(cg, "/gone"), 0);
	/* By a part of a name, wherever it is. */
	assert_int_equal(cgroup_find(cg, "abc", path, sizeof(path)), 0);
	assert_string_equal(path, "/top/one-abc.scope");
	assert_int_equal(cgroup_find(cg, "four", path, sizeof(path)), 0);
	assert_string_equal(path, "/four");
	assert_int_equal(cgroup_find(cg, "none", path, sizeof(path)), -1);
	assert_int_equal(cgroup_find(cg, "one-abc.scope", path, 12), -1);
	/* What is killed while it is paused has to go on. */
	assert_int_equal(cgroup_kill(cg, "/top/one-abc.scope"), 0);
	assert_int_equal(cgroup_frozen(cg, "/top/one-abc.scope"), 0);
	cgroups_free(cg);
	free(freezer);
	free(unified);
	free(all);
}

static void
count(const char *name, void *arg)
{
	if (strcmp(name, "a") == 0 || strcmp(name, "b") == 0)
		(*(int *)arg)++;
}

static void
test_children(void **state)
{
	char *line = mount_line("two", "cgroup2", "x");
	struct cgroups *cg;
	int n = 0;

	(void)state;
	file_make("two/takod-x/a/x", "");
	file_make("two/takod-x/b/x", "");
	file_make("two/takod-x/file", "");
	assert_non_null(cg = open_with(line));
	cgroup_children(cg, "/takod-x", count, &n);
	assert_int_equal(n, 2);
	cgroup_children(cg, "/takod-y", count, &n);
	assert_int_equal(n, 2);
	cgroups_free(cg);
	free(line);
}

/* A list in which are 0, 1 and nonsense: nobody is killed for it. */
static void
test_kill_nobody(void **state)
{
	char *line = mount_line("one", "cgroup", "pids");
	struct cgroups *cg;

	(void)state;
	file_make("one/takod-x/a/cgroup.procs", "0\n1\n-1\nx\n");
	assert_non_null(cg = open_with(line));
	assert_int_equal(cgroup_kill(cg, "/takod-x/a"), 4);
	assert_int_equal(cgroup_kill(cg, "/takod-x/none"), 0);
	cgroups_free(cg);
	free(line);
}

/* In the host's own hierarchies: a process is killed, the group goes. */
static void
test_real(void **state)
{
	struct cgroups *cg;
	char group[64], path[96], detail[256], pid[16];
	int dir, fd, status;
	pid_t child;

	(void)state;
	assert_non_null(cg = cgroups_open(NULL, detail, sizeof(detail)));
	snprintf(group, sizeof(group), "/takod-unit%d", getpid());
	snprintf(path, sizeof(path), "%s/a", group);
	dir = cgroup_make(cg, path);
	if (geteuid() != 0 || dir == -1) {
		cgroups_free(cg);
		skip();
	}
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(pid, sizeof(pid), "%d", child);
	assert_int_not_equal(fd = openat(dir, "cgroup.procs", O_WRONLY), -1);
	assert_int_equal(write(fd, pid, strlen(pid)), strlen(pid));
	close(fd);
	close(dir);
	assert_true(cgroup_has(path, child));
	assert_false(cgroup_has(group, child));
	assert_int_equal(cgroup_remove(cg, group), -1);
	assert_int_equal(errno, EBUSY);
	assert_true(cgroup_kill(cg, path) <= 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (cgroup_remove(cg, group) == -1)
		assert_int_equal(errno, EBUSY);
	assert_int_equal(cgroup_kill(cg, path), 0);
	cgroups_free(cg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_v2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hybrid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_children, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_kill_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real, setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
