/*
 * scratch.c: a folder for what tako-vm tries out. Runs as root; nobody else
 * can enter it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "takod/oci_engine.h"
#include "util.h"

char *
scratch_make(const char *name)
{
	const char *below = getenv("TMPDIR");
	char *path;

	if (below == NULL || below[0] != '/')
		below = "/tmp";
	path = xasprintf("%s/%s-XXXXXX", below, name);
	if (mkdtemp(path) != NULL)
		return (path);
	free(path);
	return (NULL);
}

int
scratch_remove(char *path)
{
	char *slash = strrchr(path, '/');
	int dir, ret = -1;

	*slash = '\0';
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir != -1)
		ret = oci_tree_remove(dir, slash + 1);
	close_fd(&dir);
	free(path);
	return (ret);
}
