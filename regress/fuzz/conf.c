/*
 * conf.c: fuzz target of the configuration. Beyond not failing: what is
 * loaded is within its bounds, and what is printed of it loads again and is
 * then printed alike.
 */
#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
need(int truth)
{
	if (!truth)
		abort();
}

static struct conf *
load(const void *text, size_t len)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	char path[64];
	int fd;

	if ((fd = memfd_create("conf", MFD_CLOEXEC)) == -1)
		fatal("memfd_create");
	need(write_all(fd, text, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf = conf_load(path, &errors, &warnings);
	close(fd);
	need((conf != NULL) == (errors.n == 0));
	need(errors.n <= 101);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (conf);
}

static char *
print(const struct conf *conf, int json)
{
	char *text = NULL;
	size_t len;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		fatal("open_memstream");
	need(conf_print(f, conf, json, 0) == 0);
	fclose(f);
	return (text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t len)
{
	struct conf *conf, *again;
	char *first, *second;
	int json;

	setenv("HOME", "/nonexistent", 1);
	if ((conf = load(text, len)) == NULL)
		return (0);
	need(conf->max_workers >= 1 && conf->max_workers <= MAX_WORKERS);
	need(conf->default_timeout <= conf->max_timeout);
	need(conf->data_dir[0] == '/' && conf->database_url != NULL);
	need(conf_job_type(conf, "default") != NULL);
	for (json = 0; json < 2; json++) {
		first = print(conf, json);
		again = load(first, strlen(first));
		need(again != NULL);
		second = print(again, 1);
		free(first);
		first = print(conf, 1);
		need(strcmp(first, second) == 0);
		free(first);
		free(second);
		conf_free(again);
	}
	conf_free(conf);
	return (0);
}
