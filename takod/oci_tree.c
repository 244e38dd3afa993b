/*
 * oci_tree.c: a bundle's folder on the disk. Runs in takod. Only takod and the
 * runtime write there; a job has no way to it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci_engine.h"
#include "util.h"

#define MAX_DEPTH 48 /* shared_code's, and the folders above */
#define LOG_TAIL  4096

static int
tree_remove(int parent, const char *name, int depth)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return (0);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
		return (0);
	if (depth == 0)
		return (-1);
	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return (-1);
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return (-1);
	}
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			(void)tree_remove(dirfd(dir), d->d_name, depth - 1);
	closedir(dir);
	return (unlinkat(parent, name, AT_REMOVEDIR));
}

int
oci_tree_remove(int parent, const char *name)
{
	return (tree_remove(parent, name, MAX_DEPTH));
}

void
oci_log_tail(const char *dir, char *buf, size_t len)
{
	char path[PATH_MAX], text[LOG_TAIL + 1], *p;
	ssize_t n;
	off_t end;
	int fd;

	buf[0] = '\0';
	if ((size_t)snprintf(path, sizeof(path), "%s/log", dir) >= sizeof(path))
		return;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return;
	end = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, LOG_TAIL, end > LOG_TAIL ? end - LOG_TAIL : 0);
	close(fd);
	if (n <= 0)
		return;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	p = strrchr(text, '\n');
	strlcpy(buf, p != NULL ? p + 1 : text, len);
}
