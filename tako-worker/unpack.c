/*
 * unpack.c: tako-worker in its third role: unpacks what an installer's
 * container left into the folder of a new layer, and reads its list of
 * packages. Both are hostile. There are regular files and folders in a layer
 * and nothing else, so no name can lead anywhere but down; the folder is all
 * that this process can write to.
 *
 * By hand rather than with libarchive, which would bring a dozen libraries
 * into the worker of each job: the installer is ours and writes plain ustar,
 * with a name that does not fit in an entry before its file's, as GNU tar does.
 */
#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>

#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "tako-worker.h"
#include "util.h"

#define BLOCK	  512
#define MAX_NAME  1024
#define MAX_DEPTH 32
#define MAX_FILES 200000 /* and folders */
#define PACKAGES  1000

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12];
	char checksum[8], type, link[100], magic[6], version[2];
	char user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a header is a block");

static int dir = -1;
static uint64_t max_bytes;

void
unpack_begin(int fd, uint64_t max)
{
	struct sandbox sb = { .promises = PROMISES_UNPACK,
		.nofile = 32,
		.fsize = max,
		.artifact_fd = fd,
		.refused = MSG_T_UNPACK_REFUSED };

	dir = fd;
	max_bytes = max;
	umask(022);
	/* Not to be taken for a job's. */
	prctl(PR_SET_NAME, "tako-unpack", 0, 0, 0);
	sandbox_enter(&sb);
}

/* ---- names and numbers ----------------------------------------------------
 */

/* Octal digits, then NULs or spaces; -1: it is no number. */
static int64_t
number(const char *s, size_t len)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < len && s[i] >= '0' && s[i] <= '7'; i++)
		n = n * 8 + (s[i] - '0');
	if (i == 0 || i > 11)
		return (-1);
	for (; i < len; i++)
		if (s[i] != '\0' && s[i] != ' ')
			return (-1);
	return (n);
}

static int
checksum_right(const struct ustar *h)
{
	const uint8_t *p = (const uint8_t *)h;
	size_t i, at = offsetof(struct ustar, checksum);
	int64_t sum = 0;

	for (i = 0; i < BLOCK; i++)
		sum += i >= at && i < at + sizeof(h->checksum) ? ' ' : p[i];
	return (number(h->checksum, sizeof(h->checksum)) == sum);
}

/* Down from the folder, in plain parts. */
static int
name_right(const char *s)
{
	int depth = 0;
	size_t n;

	for (;;) {
		n = strcspn(s, "/");
		if (n == 0 || n > 255 || (n == 1 && s[0] == '.') ||
		    (n == 2 && s[0] == '.' && s[1] == '.') ||
		    ++depth > MAX_DEPTH)
			return (0);
		if (s[n] == '\0')
			return (1);
		s += n + 1;
	}
}

/* Its own, unless a long one came before it. */
static int
entry_name(const struct ustar *h, char name[MAX_NAME + 1])
{
	size_t n;

	if (name[0] == '\0')
		snprintf(
		    name, MAX_NAME + 1, "%.*s", (int)sizeof(h->name), h->name);
	if ((n = strlen(name)) == 0)
		return (-1);
	if (h->type == '5' && name[n - 1] == '/')
		name[n - 1] = '\0';
	return (utf8_valid(name, strlen(name)) && name_right(name) ? 0 : -1);
}

/* ---- entries --------------------------------------------------------------
 */

static int
read_full(int fd, void *buf, size_t len)
{
	char *p = buf;
	ssize_t n;

	while (len > 0) {
		if ((n = read(fd, p, len)) == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (-1);
		p += n;
		len -= (size_t)n;
	}
	return (0);
}

/* NULL, or what is wrong. */
static const char *
take_file(int tar, const char *name, mode_t mode, uint64_t size)
{
	static char buf[128 * BLOCK];
	const char *why = NULL;
	size_t n, padded;
	int fd;

	fd = openat(dir, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd == -1)
		return (errno == ENOSPC ? "no space is left on the disk"
					: "a file cannot be made");
	while (size > 0 && why == NULL) {
		n = size < sizeof(buf) ? size : sizeof(buf);
		padded = (n + BLOCK - 1) / BLOCK * BLOCK;
		if (read_full(tar, buf, padded) == -1)
			why = "the archive ends too early";
		else if (write_all(fd, buf, n) == -1)
			why = errno == ENOSPC ? "no space is left on the disk"
					      : "a file cannot be written";
		size -= n;
	}
	close_fd(&fd);
	return (why);
}

/* The header of an entry, or the end of all; NULL, or what is wrong. */
static const char *
take_header(int tar, struct ustar *h, int64_t *size, int *is_end)
{
	static const struct ustar end;

	if (read_full(tar, h, sizeof(*h)) == -1)
		return ("the archive ends too early");
	if ((*is_end = memcmp(h, &end, sizeof(*h)) == 0))
		return (NULL);
	if (memcmp(h->magic, "ustar", 6) != 0 || !checksum_right(h) ||
	    (*size = number(h->size, sizeof(h->size))) == -1 ||
	    (h->type == '5' && *size != 0) || h->prefix[0] != '\0')
		return ("the archive is damaged");
	return (NULL);
}

/* The name of the entry that follows. */
static const char *
take_name(int tar, char name[MAX_NAME + 1], int64_t size)
{
	char buf[MAX_NAME];

	if (size > MAX_NAME)
		return ("a file has a name that no package needs");
	if (read_full(tar, buf, ((size_t)size + BLOCK - 1) / BLOCK * BLOCK) ==
	    -1)
		return ("the archive ends too early");
	memcpy(name, buf, (size_t)size);
	name[size] = '\0';
	return (NULL);
}

/* 1: there may be another one; 0: the end; -1 with *why. */
static int
entry(int tar, uint64_t *files, uint64_t *bytes, const char **why)
{
	char name[MAX_NAME + 1] = "";
	struct ustar h;
	int64_t size;
	int is_end;

	*why = take_header(tar, &h, &size, &is_end);
	if (*why == NULL && !is_end && h.type == 'L' &&
	    (*why = take_name(tar, name, size)) == NULL &&
	    (*why = take_header(tar, &h, &size, &is_end)) == NULL && is_end)
		*why = "the archive is damaged";
	if (*why != NULL)
		return (-1);
	if (is_end)
		return (0);
	if (h.type != '0' && h.type != '5')
		*why = "there is something else in it than files and folders";
	else if (entry_name(&h, name) == -1)
		*why = "a file has a name that no package needs";
	else if (++*files > MAX_FILES || (*bytes += (uint64_t)size) > max_bytes)
		*why = "there is more in it than may be";
	else if (h.type == '0')
		*why = take_file(tar, name,
		    number(h.mode, sizeof(h.mode)) & 0100 ? 0755 : 0644,
		    (uint64_t)size);
	else if (mkdirat(dir, name, 0755) == -1)
		*why = errno == ENOSPC ? "no space is left on the disk"
				       : "a folder cannot be made";
	return (*why == NULL ? 1 : -1);
}

void
unpack_tar(int tar, struct msg_unpack_done *m)
{
	const char *why;
	int r;

	memset(m, 0, sizeof(*m));
	while ((r = entry(tar, &m->files, &m->bytes, &why)) == 1)
		;
	if (r == 0 && syncfs(dir) == -1)
		why = "it cannot be written to the disk";
	if (why != NULL)
		strlcpy(m->why, why, sizeof(m->why));
	close_fd(&tar);
}

/* ---- the list of packages --------------------------------------------------
 */

/* The next word of a line, of such characters alone; -1: it is none. */
static int
word(const char **p, char *dst, size_t size, char end)
{
	size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+!");

	if (n == 0 || n >= size || (*p)[n] != end)
		return (-1);
	memcpy(dst, *p, n);
	dst[n] = '\0';
	*p += n + 1;
	return (0);
}

int
unpack_lock(int fd, size_t len, unpack_package_cb cb)
{
	struct msg_unpack_package m;
	char *text = xcalloc(1, len + 1);
	const char *p = text;
	int n, r = read_full(fd, text, len);

	for (n = 0; r == 0 && *p != '\0'; n++) {
		memset(&m, 0, sizeof(m));
		if (n == PACKAGES ||
		    word(&p, m.name, sizeof(m.name), ' ') == -1 ||
		    word(&p, m.version, sizeof(m.version), ' ') == -1 ||
		    word(&p, m.sha256, sizeof(m.sha256), '\n') == -1)
			r = -1;
		else {
			if (strspn(m.sha256, "0123456789abcdef") != 64)
				m.sha256[0] = '\0';
			cb(&m);
		}
	}
	free(text);
	close_fd(&fd);
	return (r);
}
