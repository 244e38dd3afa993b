/*
 * data_dir.c: makes the data directory. Used by takod, and by takoctl, which
 * may build an image before takod is first started.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "data_dir.h"
#include "util.h"

int
data_dir_make(const char *path)
{
	char *copy = xstrdup(path), *p;
	int error = 0;

	for (p = copy + 1; *p != '\0' && error == 0; p++)
		if (*p == '/') {
			*p = '\0';
			if (make_dir(AT_FDCWD, copy, 0755) == -1)
				error = errno;
			*p = '/';
		}
	free(copy);
	if (error == 0 && make_dir(AT_FDCWD, path, 0700) == -1)
		error = errno;
	errno = error;
	return (error == 0 ? 0 : -1);
}
