/*
 * unpack.c: what an installer's container may leave, and what becomes of it:
 * each archive is unpacked by a process of its own, below its filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "msg.h"
#include "tako-worker/tako-worker.h"
#include "util.h"

#define BLOCK 512
#define MAX   (1 << 20)

static char top[] = "/tmp/unpack-XXXXXX";

/* An entry of an archive, in place; size is what its header says. */
static char *
put(char *p, const char *name, char type, size_t size, const char *magic)
{
	unsigned sum = 0;
	size_t i;

	memset(p, 0, BLOCK);
	strncpy(p, name, 100);
	snprintf(p + 100, 8, "%07o", 0644);
	snprintf(p + 124, 12, "%011zo", size);
	p[156] = type;
	memcpy(p + 257, magic, 6);
	memset(p + 148, ' ', 8);
	for (i = 0; i < BLOCK; i++)
		sum += (unsigned char)p[i];
	snprintf(p + 148, 8, "%06o", sum);
	p += BLOCK;
	memset(p, 'x', (size + BLOCK - 1) / BLOCK * BLOCK);
	return (p + (size + BLOCK - 1) / BLOCK * BLOCK);
}

/* The name of the entry behind it. */
static char *
put_long(char *p, const char *name)
{
	char *end = put(p, "././@LongLink", 'L', strlen(name), "ustar");

	memset(p + BLOCK, 0, (size_t)(end - p) - BLOCK);
	memcpy(p + BLOCK, name, strlen(name));
	return (end);
}

static int
file_of(const void *data, size_t len)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	assert_int_equal(write_all(fd, data, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return (fd);
}

/* By a process of its own, into a new folder. */
static struct msg_unpack_done
unpack(const char *data, size_t len, char folder[64])
{
	struct msg_unpack_done m;
	int pipes[2], dir, tar = file_of(data, len), status;
	pid_t pid;

	snprintf(folder, 64, "%s/XXXXXX", top);
	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	assert_int_equal(pipe(pipes), 0);
	if ((pid = fork()) == 0) {
		unpack_begin(dir, MAX);
		unpack_tar(tar, &m);
		_exit(write(pipes[1], &m, sizeof(m)) != sizeof(m));
	}
	close(pipes[1]);
	close(tar);
	close(dir);
	if (read(pipes[0], &m, sizeof(m)) != sizeof(m))
		fail_msg("it ended");
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return (m);
}

static void
test_files(void **state)
{
	static char data[32 * BLOCK];
	char folder[64], path[512], name[300], *p = data;
	struct msg_unpack_done m;
	struct stat st;

	(void)state;
	p = put(p, "pkg", '5', 0, "ustar");
	p = put(p, "pkg/sub/", '5', 0, "ustar");
	p = put(p, "pkg/sub/a.py", '0', 700, "ustar");
	p = put(p, "empty", '0', 0, "ustar");
	/* No part of 255 bytes fits in an entry. */
	snprintf(name, sizeof(name), "pkg/sub/%0255d", 1);
	p = put(put_long(p, name), "long", '0', 5, "ustar");
	m = unpack(data, (size_t)(p - data) + 2 * BLOCK, folder);
	assert_string_equal(m.why, "");
	assert_int_equal(m.files, 5);
	assert_int_equal(m.bytes, 705);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5);
	snprintf(path, sizeof(path), "%s/pkg/sub/a.py", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 700);
	assert_int_equal(st.st_mode & 07777, 0644);
	snprintf(path, sizeof(path), "%s/pkg/sub", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

/* Each is refused, and nothing of it is made. */
static const struct {
	const char *name;
	char type;
	size_t size, cut;
	const char *magic, *why;
} hostile[] = {
	{ "../up", '0', 1, 0, "ustar", "name" },
	{ "/etc/up", '0', 1, 0, "ustar", "name" },
	{ "a/../../up", '0', 1, 0, "ustar", "name" },
	{ "./up", '0', 1, 0, "ustar", "name" },
	{ "a//up", '0', 1, 0, "ustar", "name" },
	{ "..", '5', 0, 0, "ustar", "name" },
	{ "", '0', 1, 0, "ustar", "name" },
	{ "bad\xff", '0', 1, 0, "ustar", "name" },
	{ "no/folder", '0', 1, 0, "ustar", "cannot be made" },
	{ "link", '2', 0, 0, "ustar", "something else" },
	{ "hard", '1', 0, 0, "ustar", "something else" },
	{ "device", '3', 0, 0, "ustar", "something else" },
	{ "long", 'L', 10, 0, "ustar", "damaged" },
	{ "long", 'L', 2000, 0, "ustar", "name" },
	{ "long", 'L', 600, 1, "ustar", "too early" },
	{ "pax", 'x', 10, 0, "ustar", "something else" },
	{ "folder", '5', 10, 0, "ustar", "damaged" },
	{ "magic", '0', 1, 0, "other", "damaged" },
	{ "cut", '0', 2000, 1, "ustar", "too early" },
	{ "large", '0', MAX + 1, 0, "ustar", "more in it" },
};

static void
test_hostile(void **state)
{
	static char data[MAX + 16 * BLOCK];
	char folder[64], *p;
	struct msg_unpack_done m;
	size_t i, len;

	(void)state;
	for (i = 0; i < nitems(hostile); i++) {
		memset(data, 0, sizeof(data));
		p = put(data, hostile[i].name, hostile[i].type, hostile[i].size,
		    hostile[i].magic);
		len = (size_t)(p - data);
		m = unpack(data, hostile[i].cut ? len - BLOCK : len + 2 * BLOCK,
		    folder);
		if (strstr(m.why, hostile[i].why) == NULL)
			fail_msg("%s: %s", hostile[i].name, m.why);
	}
	/* A long name of a long name, and one that leads out. */
	memset(data, 0, sizeof(data));
	p = put_long(data, "pkg");
	p = put_long(p, "pkg");
	m = unpack(data, (size_t)(p - data) + 2 * BLOCK, folder);
	assert_non_null(strstr(m.why, "something else"));
	memset(data, 0, sizeof(data));
	p = put(put_long(data, "pkg/../../up"), "plain", '0', 1, "ustar");
	m = unpack(data, (size_t)(p - data) + 2 * BLOCK, folder);
	assert_non_null(strstr(m.why, "name"));
	/* A checksum that is not its header's. */
	p = put(data, "plain", '0', 1, "ustar");
	data[0] = 'q';
	m = unpack(data, (size_t)(p - data) + 2 * BLOCK, folder);
	assert_non_null(strstr(m.why, "damaged"));
	/* A file that is there already. */
	p = put(data, "twice", '0', 1, "ustar");
	p = put(p, "twice", '0', 1, "ustar");
	m = unpack(data, (size_t)(p - data) + 2 * BLOCK, folder);
	assert_non_null(strstr(m.why, "cannot be made"));
	/* No end. */
	m = unpack("", 0, folder);
	assert_non_null(strstr(m.why, "too early"));
}

static unsigned packages;

static void
package(const struct msg_unpack_package *m)
{
	packages++;
	assert_string_equal(m->name, "numpy");
	assert_string_equal(m->version, "2.4.6+x");
	assert_string_equal(m->sha256, "");
}

static void
test_lock(void **state)
{
	static const char good[] = "numpy 2.4.6+x -\n";
	static const char *const bad[] = { "numpy 2.4.6\n", "numpy  2 -\n",
		"nu\"mpy 2 -\n", "numpy 2 - -\n", "numpy 2 -", "\n" };
	size_t i;

	(void)state;
	assert_int_equal(
	    unpack_lock(file_of(good, strlen(good)), strlen(good), package), 0);
	assert_int_equal(packages, 1);
	for (i = 0; i < nitems(bad); i++)
		if (unpack_lock(file_of(bad[i], strlen(bad[i])), strlen(bad[i]),
			package) == 0)
			fail_msg("taken: %s", bad[i]);
	/* Shorter than was said. */
	assert_int_equal(unpack_lock(file_of("", 0), 10, package), -1);
}

static int
clean(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return (system(command));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_lock),
	};

	if (mkdtemp(top) == NULL)
		return (1);
	return (cmocka_run_group_tests_name("unpack", tests, NULL, clean));
}
