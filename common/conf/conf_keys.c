/*
 * conf_keys.c: API keys that stand in files of their own, one a file, named as
 * the file: as a systemd credential, or as whoever rotates them writes them.
 * Used by takod (the parent) and takoctl.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "conf_int.h"
#include "util.h"

#define KEY_FILE_MAX 4096 /* bytes */

/* Who is not takod may look at a configuration whose keys are not his. */
static void
wrong_file(struct conf_loading *ld, const char *path, const char *wrong)
{
	int other = errno == EACCES && geteuid() != 0;

	conf_error_add(other ? ld->warnings : ld->errors, NULL, 0, 0,
	    "api_key_files", "%s: %s", path, wrong);
}

/* dir: an open folder, or AT_FDCWD with a whole path as name. */
static void
take_file(struct conf_loading *ld, int dir, const char *name, const char *path)
{
	const char *base = strrchr(name, '/');
	char *key, *label, *end;
	const char *wrong;
	size_t len;

	errno = 0;
	if ((key = read_file(dir, name, KEY_FILE_MAX, &len)) == NULL) {
		wrong_file(ld, path, strerror(errno));
		return;
	}
	/* The line's end is the editor's. */
	if ((end = memchr(key, '\n', len)) != NULL && end + 1 == key + len)
		*end = '\0';
	label = xstrdup(base != NULL ? base + 1 : name);
	errno = 0;
	wrong = strlen(key) + 1 < len ? "must be a text" : conf_check_key(&key);
	if (wrong == NULL && (wrong = conf_check_name(&label)) != NULL)
		wrong = "must be called by the key's name: 1 to 64 letters, "
			"digits, - and _";
	if (wrong != NULL) {
		wrong_file(ld, path, wrong);
		freezero(key, len);
		free(label);
		return;
	}
	conf_keys_add_file(ld->conf, key, label);
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

/* Every file of a folder, but those that begin with a dot. */
static void
take_folder(struct conf_loading *ld, const char *path)
{
	struct conf_list names = { NULL, 0 };
	struct dirent *e;
	struct stat st;
	char *full;
	size_t i;
	DIR *d;

	if ((d = opendir(path)) == NULL) {
		wrong_file(ld, path, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL && names.n < CONF_MAX_ITEMS)
		if (e->d_name[0] != '.' &&
		    fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
		    S_ISREG(st.st_mode))
			conf_list_add(&names, xstrdup(e->d_name));
	if (names.n > 0)
		qsort(names.items, names.n, sizeof(*names.items), by_name);
	for (i = 0; i < names.n; i++) {
		full = xasprintf("%s/%s", path, names.items[i]);
		take_file(ld, dirfd(d), names.items[i], full);
		free(full);
		free(names.items[i]);
	}
	free(names.items);
	closedir(d);
}

void
conf_keys_read(struct conf_loading *ld)
{
	const struct conf_list *list = &ld->conf->api_key_files;
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	struct stat st;
	char *path;
	size_t i;

	for (i = 0; i < list->n; i++) {
		if (list->items[i][0] == '/')
			path = xstrdup(list->items[i]);
		else if (folder == NULL) {
			errno = 0;
			wrong_file(ld, list->items[i],
			    "must be a whole path: systemd passed no "
			    "credentials");
			continue;
		} else
			path = xasprintf("%s/%s", folder, list->items[i]);
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			take_folder(ld, path);
		else
			take_file(ld, AT_FDCWD, path, path);
		free(path);
	}
}
