/*
 * conf_read.c: many configurations by one process, for tests that compare
 * takod's reading of them with another. A line of standard input names a file
 * and the variables it is read under,
 *
 *	{"path": "x.yaml", "env": {"TAKO_VM_DATA_DIR": "/x"}}
 *
 * and is answered by a line: every error, and the values as `tako-vm config
 * --json --show-secrets` has them, or null.
 */
#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "log.h"

/* The values on one line: a line's end in a text is escaped. */
static void
print_values(const struct conf *conf)
{
	char *text = NULL, *p;
	size_t len;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL ||
	    conf_print(f, conf, CONF_PRINT_JSON | CONF_PRINT_SECRETS) == -1 ||
	    fclose(f) != 0)
		err(1, NULL);
	for (p = text; (p = strchr(p, '\n')) != NULL;)
		*p = ' ';
	fputs(text, stdout);
	free(text);
}

static void
answer(const char *path)
{
	struct conf_errors errors, warnings;
	const struct conf_error *e;
	struct conf *conf;
	size_t i;

	conf = conf_load(path, &errors, &warnings);
	fputs("{\"errors\": [", stdout);
	for (i = 0; i < errors.n; i++) {
		e = &errors.items[i];
		printf("%s[%u, %u, ", i > 0 ? ", " : "", e->line, e->column);
		conf_print_string(stdout, e->key != NULL ? e->key : "");
		fputs(", ", stdout);
		conf_print_string(stdout, e->text);
		putchar(']');
	}
	fputs("], \"values\": ", stdout);
	if (conf != NULL)
		print_values(conf);
	else
		fputs("null", stdout);
	puts("}");
	fflush(stdout);
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
}

int
main(void)
{
	json_t *request, *env, *value;
	const char *path, *name;
	json_error_t error;

	log_init("conf_read", LOG_LEVEL_ERROR, 0);
	for (;;) {
		request = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, &error);
		if (request == NULL)
			break;
		if (json_unpack(request, "{s:s, s:o}", "path", &path, "env",
			&env) == -1)
			errx(1, "a request must have path and env");
		json_object_foreach (env, name, value)
			setenv(name, json_string_value(value), 1);
		answer(path);
		json_object_foreach (env, name, value)
			unsetenv(name);
		json_decref(request);
	}
	return (feof(stdin) ? 0 : 1);
}
