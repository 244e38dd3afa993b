/*
 * collect.c: sends the files of /output to the worker. Runs in PID 1 of a
 * container after every other process in it was killed and reaped, so nothing
 * changes under it; but what lies there is hostile: each entry is opened
 * without following a link or waiting for a FIFO, judged by that descriptor,
 * and read from it alone. Only the top level is looked at, so a deep tree
 * costs nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "tako-init.h"

#define OUTPUT "/output"
#define RESULT "result.json"

static const struct stream_limits *limits;
static uint64_t total;
static uint32_t count;

static void
skip(const char *name, enum stream_skip why)
{
	uint8_t reason = (uint8_t)why;

	wire_send(STREAM_SKIPPED, &reason, 1, name, strlen(name));
}

/* Opens a regular file, also one that the job made unreadable for itself. */
static int
open_regular(int dir, const char *name)
{
	const int flags =
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd;

	if ((fd = openat(dir, name, flags)) != -1 || errno != EACCES)
		return (fd);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode) || fchmodat(dir, name, 0400, 0) == -1)
		return (-1);
	return (openat(dir, name, flags));
}

static void
send_file(int fd, const char *name, uint64_t size)
{
	uint64_t left = size;
	uint8_t whole;
	long n;

	wire_send(STREAM_FILE_BEGIN, &size, sizeof(size), name, strlen(name));
	while (left > 0) {
		wire_wait_room();
		n = wire_send_from(STREAM_FILE_DATA, fd,
		    left < STREAM_MAX ? (size_t)left : STREAM_MAX);
		if (n <= 0)
			break;
		left -= (uint64_t)n;
		wire_flush();
	}
	whole = left == 0;
	wire_send(STREAM_FILE_END, &whole, 1, NULL, 0);
	count++;
	total += size - left;
}

static void
send_entry(int dir, const char *name, uint64_t max)
{
	enum stream_skip why;
	struct stat st;
	uint64_t size;
	int fd;

	if ((fd = open_regular(dir, name)) == -1 || fstat(fd, &st) == -1) {
		/* A link, a socket, a device without a driver, or worse. */
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
		    S_ISREG(st.st_mode))
			why = SKIP_IO;
		else
			why = SKIP_NOT_REGULAR;
		skip(name, why);
		if (fd != -1)
			close(fd);
		return;
	}
	size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode))
		skip(name, SKIP_NOT_REGULAR);
	else if (size > max)
		skip(name, SKIP_TOO_LARGE);
	else if (count >= limits->max_artifacts)
		skip(name, SKIP_COUNT);
	else if (size > limits->max_total - total)
		skip(name, SKIP_TOTAL);
	else
		send_file(fd, name, size);
	close(fd);
}

void
collect(const struct stream_limits *l)
{
	struct dirent *e;
	struct stat st;
	int dir;
	DIR *d;

	limits = l;
	/* The job may have shut itself out; the folder is its own. */
	chmod(OUTPUT, 0700);
	dir = open(OUTPUT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir == -1 || (d = fdopendir(dir)) == NULL)
		return;
	/* The result goes first: no number of other files crowds it out. */
	if (fstatat(dir, RESULT, &st, AT_SYMLINK_NOFOLLOW) == 0)
		send_entry(dir, RESULT, limits->max_result);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0 ||
		    strcmp(e->d_name, RESULT) == 0)
			continue;
		if (e->d_name[0] == '.')
			skip(e->d_name, SKIP_HIDDEN);
		else
			send_entry(dir, e->d_name, limits->max_artifact);
	}
	closedir(d);
}
