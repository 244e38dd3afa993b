/*
 * conf_load.c: finds the file, has it read, overridden and checked, and
 * collects what is wrong. Used by takod (the parent, at start and reload)
 * and takoctl.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_int.h"
#include "log.h"
#include "util.h"

/* ---- errors ---------------------------------------------------------------
 */

/* Keeps the errors of a file in the order of its lines. */
static void
error_place(struct conf_errors *errors)
{
	struct conf_error last;
	size_t i;

	last = errors->items[errors->n - 1];
	for (i = errors->n - 1; i > 0; i--) {
		if (last.line == 0 || errors->items[i - 1].line == 0 ||
		    errors->items[i - 1].line < last.line ||
		    (errors->items[i - 1].line == last.line &&
			errors->items[i - 1].column <= last.column))
			break;
		errors->items[i] = errors->items[i - 1];
	}
	errors->items[i] = last;
}

void
conf_error_add(struct conf_errors *errors, const char *file, unsigned line,
    unsigned column, const char *key, const char *fmt, ...)
{
	struct conf_error *grown, *e;
	char text[512];
	va_list ap;
	size_t i;

	if (errors->n > CONF_MAX_ERRORS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* What aliases bring in at several places is said once. */
	for (i = 0; line > 0 && i < errors->n; i++)
		if (errors->items[i].line == line &&
		    errors->items[i].column == column &&
		    strcmp(errors->items[i].text, text) == 0)
			return;
	if (errors->n == CONF_MAX_ERRORS) {
		snprintf(text, sizeof(text), "and more, not shown");
		line = column = 0;
		key = NULL;
	}
	grown = reallocarray(errors->items, errors->n + 1, sizeof(*grown));
	if (grown == NULL)
		fatal(NULL);
	errors->items = grown;
	e = &errors->items[errors->n++];
	e->file = file != NULL ? xstrdup(file) : NULL;
	e->line = line;
	e->column = column;
	e->key = key != NULL && *key != '\0' ? xstrdup(key) : NULL;
	e->text = xstrdup(text);
	error_place(errors);
}

void
conf_errors_free(struct conf_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->n; i++) {
		free(errors->items[i].file);
		free(errors->items[i].key);
		free(errors->items[i].text);
	}
	free(errors->items);
	memset(errors, 0, sizeof(*errors));
}

void
conf_error_print(FILE *f, const struct conf_error *e)
{
	if (e->file != NULL && e->line > 0)
		fprintf(f, "%s:%u:%u: ", e->file, e->line, e->column);
	else if (e->file != NULL)
		fprintf(f, "%s: ", e->file);
	if (e->key != NULL)
		fprintf(f, "%s: ", e->key);
	fprintf(f, "%s\n", e->text);
}

/* ---- the file -------------------------------------------------------------
 */

#define FIRST_ROOM 4096

/* The user's home; NULL: none is known. */
static const char *
home(void)
{
	const struct passwd *pw;
	const char *dir = getenv("HOME");

	if (dir != NULL && *dir != '\0')
		return (dir);
	pw = getpwuid(getuid());
	return (pw != NULL ? pw->pw_dir : NULL);
}

char *
conf_find(int *named)
{
	static const char *const places[] = { "tako_vm.yaml",
		"config/tako_vm.yaml", NULL, "/etc/tako_vm/config.yaml" };
	struct stat st;
	const char *variable;
	char *path;
	size_t i;

	variable = getenv("TAKO_VM_CONFIG");
	*named = variable != NULL && *variable != '\0';
	if (*named)
		return (xstrdup(variable));
	for (i = 0; i < nitems(places); i++) {
		if (places[i] != NULL)
			path = xstrdup(places[i]);
		else if (home() != NULL)
			path = xasprintf("%s/.tako_vm/config.yaml", home());
		else
			continue;
		/* What cannot be looked at is not skipped: it may be meant. */
		if (stat(path, &st) == 0 ||
		    (errno != ENOENT && errno != ENOTDIR))
			return (path);
		free(path);
	}
	return (NULL);
}

/* Twice as much room; what is left behind may be secret, and is wiped. */
static char *
grow(char *data, size_t *room)
{
	size_t more = *room == 0 ? FIRST_ROOM : *room * 2;

	data = recallocarray(data, *room, more, 1);
	if (data == NULL)
		fatal(NULL);
	*room = more;
	return (data);
}

/*
 * All of the file, len bytes in *room; NULL with an error. Pipes are read
 * too, devices not.
 */
static char *
slurp(struct conf_loading *ld, size_t *len, size_t *room)
{
	const char *path = ld->conf->path, *wrong = NULL;
	struct stat st;
	char *data;
	ssize_t n = 0;
	int fd;

	*len = *room = 0;
	data = grow(NULL, room);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1 ||
	    fstat(fd, &st) == -1)
		wrong = strerror(errno);
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		wrong = "is not a file";
	while (wrong == NULL && *len <= CONF_MAX_FILE) {
		if (*len == *room)
			data = grow(data, room);
		n = read(fd, data + *len, *room - *len);
		if (n == 0)
			break;
		if (n > 0)
			*len += (size_t)n;
		else if (errno != EINTR)
			wrong = strerror(errno);
	}
	close_fd(&fd);
	if (wrong == NULL && *len > CONF_MAX_FILE)
		wrong = "is larger than 1 MiB";
	if (wrong == NULL)
		return (data);
	conf_error_add(ld->errors, path, 0, 0, NULL, "%s", wrong);
	freezero(data, *room);
	return (NULL);
}

/* -1: the file could not be understood as a whole. */
static int
read_document(struct conf_loading *ld)
{
	char *data;
	size_t len, room;
	int r;

	if ((data = slurp(ld, &len, &room)) == NULL)
		return (-1);
	if ((r = conf_doc_read(ld, data, len)) == 0)
		conf_set_document(ld);
	freezero(data, room);
	return (r);
}

/* ---- the whole ------------------------------------------------------------
 */

/* Paths made absolute, and the defaults that depend on the surroundings. */
static void
resolve(struct conf_loading *ld)
{
	struct conf *conf = ld->conf;
	const char *xdg = getenv("XDG_DATA_HOME"), *base;
	char *cwd, *path;

	if (conf->data_dir == NULL && xdg != NULL && *xdg != '\0')
		conf->data_dir = xasprintf("%s/tako_vm", xdg);
	else if (conf->data_dir == NULL) {
		base = home();
		conf->data_dir =
		    xasprintf("%s/.tako_vm", base != NULL ? base : "");
	}
	if (conf->data_dir[0] != '/') {
		cwd = getcwd(NULL, 0);
		path =
		    xasprintf("%s/%s", cwd != NULL ? cwd : "", conf->data_dir);
		free(cwd);
		free(conf->data_dir);
		conf->data_dir = path;
	}
	if (conf->database_url == NULL) {
		conf->database_url_default = 1;
		conf->database_url =
		    xasprintf("sqlite:///%s/takod.db", conf->data_dir);
	}
}

static struct conf *
conf_new(const char *path)
{
	struct conf *conf;

	conf = xcalloc(1, sizeof(*conf));
	conf->path = path != NULL ? xstrdup(path) : NULL;
	conf->origins = xcalloc(conf_key_count(), sizeof(*conf->origins));
	conf_set_defaults(conf_keys, conf);
	return (conf);
}

struct conf *
conf_load(
    const char *path, struct conf_errors *errors, struct conf_errors *warnings)
{
	struct conf_loading ld = { .errors = errors, .warnings = warnings };
	char *found = NULL;
	int named, r = 0;

	memset(errors, 0, sizeof(*errors));
	memset(warnings, 0, sizeof(*warnings));
	if (path == NULL)
		path = found = conf_find(&named);
	ld.conf = conf_new(path);
	free(found);
	if (ld.conf->path != NULL)
		r = read_document(&ld);
	conf_env_read(&ld);
	resolve(&ld);
	conf_keys_read(&ld);
	if (r == 0)
		conf_check(&ld);
	conf_doc_free(&ld.doc);
	if (errors->n > 0) {
		conf_free(ld.conf);
		return (NULL);
	}
	conf_set_builtin(ld.conf);
	return (ld.conf);
}

void
conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	conf_set_free(conf_keys, conf);
	free(conf->origins);
	free(conf->path);
	free(conf);
}

const struct conf_job_type *
conf_job_type(const struct conf *conf, const char *name)
{
	size_t i, len = strcspn(name, "@");

	for (i = 0; i < conf->n_job_types; i++)
		if (strlen(conf->job_types[i].name) == len &&
		    strncmp(conf->job_types[i].name, name, len) == 0)
			return (&conf->job_types[i]);
	return (NULL);
}
