/*
 * conf.c: fuzz target of the configuration. Beyond not failing: what is
 * loaded is within its bounds, and what is printed of it loads again, and is
 * the same where nothing was masked.
 */
#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "conf.h"
#include "log.h"
#include "util.h"

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
print(const struct conf *conf, unsigned flags)
{
	char *text = NULL;
	size_t len;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		fatal("open_memstream");
	need(conf_print(f, conf, flags) == 0);
	fclose(f);
	return (text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t len)
{
	struct conf *conf, *again;
	struct conf_change *changes;
	static const unsigned forms[] = { 0, CONF_PRINT_JSON,
		CONF_PRINT_SECRETS | CONF_PRINT_DEFAULTS,
		CONF_PRINT_SECRETS | CONF_PRINT_JSON };
	size_t i;
	char *printed;

	setenv("HOME", "/nonexistent", 1);
	if ((conf = load(text, len)) == NULL)
		return (0);
	need(conf->max_workers >= 1 && conf->max_workers <= MAX_WORKERS);
	need(conf->default_timeout <= conf->max_timeout);
	need(conf->data_dir[0] == '/' && conf->database_url != NULL);
	need(conf_job_type(conf, "default") != NULL);
	for (i = 0; i < nitems(forms); i++) {
		printed = print(conf, forms[i]);
		again = load(printed, strlen(printed));
		need(again != NULL);
		if (forms[i] & CONF_PRINT_SECRETS) {
			need(conf_changes(conf, again, &changes) == 0);
			conf_changes_free(changes, 0);
		}
		free(printed);
		conf_free(again);
	}
	conf_free(conf);
	return (0);
}
