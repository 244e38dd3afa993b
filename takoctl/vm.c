/*
 * vm.c: tako-vm, the commands that work on the configuration and need no
 * daemon: validate, config, version; the others are in vm_daemon.c. Output and
 * exit codes are those of Tako VM 0.3 where it has them; --json is for
 * programs. Runs as the caller.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "takoctl.h"
#include "util.h"

#define EXIT_USAGE 2

struct options {
	const char *config; /* -c; NULL: search */
	int json;
	unsigned print; /* CONF_PRINT_... */
	const char *host, *port, *url;
};

static int vm_start(const struct options *, int, char **);
static int vm_health(const struct options *, int, char **);
static int vm_validate(const struct options *, int, char **);
static int vm_config(const struct options *, int, char **);
static int vm_prepare(const struct options *, int, char **);
static int vm_examine(const struct options *, int, char **);
static int vm_version(const struct options *, int, char **);
static int vm_completion(const struct options *, int, char **);

static const struct vm_command {
	const char *name, *args, *help;
	int max; /* operands */
	int (*run)(const struct options *, int, char **);
} vm_commands[] = {
	{ "server", "[--host address] [--port port]", "start takod", 0,
	    vm_start },
	{ "status", "[--url url] [--json]", "ask a running takod", 0,
	    vm_health },
	{ "validate", "[file] [--json]", "check a configuration file", 1,
	    vm_validate },
	{ "config", "[--json] [--show-defaults] [--show-secrets]",
	    "show the configuration in effect", 0, vm_config },
	{ "setup", "[--json]", "make the executor image, and run a job", 0,
	    vm_prepare },
	{ "doctor", "[--json]", "would takod start and run jobs here?", 0,
	    vm_examine },
	{ "version", "", "show the version", 0, vm_version },
	{ "completion", "bash | zsh", "write a completion script", 1,
	    vm_completion },
	{ NULL, NULL, NULL, 0, NULL },
};

static void
usage(FILE *f)
{
	const struct vm_command *c;

	fprintf(f, "usage: tako-vm [-c file] command ...\n\n");
	for (c = vm_commands; c->name != NULL; c++)
		fprintf(f, "  %-10s %-31s %s\n", c->name, c->args, c->help);
}

static void
json_string(const char *s)
{
	if (s == NULL)
		fputs("null", stdout);
	else
		conf_print_string(stdout, s);
}

static void
json_errors(const char *name, const struct conf_errors *errors)
{
	const struct conf_error *e;
	size_t i;

	printf("  \"%s\": [", name);
	for (i = 0; i < errors->n; i++) {
		e = &errors->items[i];
		printf("%s\n    {\"file\": ", i > 0 ? "," : "");
		json_string(e->file);
		if (e->line > 0)
			printf(", \"line\": %u, \"column\": %u", e->line,
			    e->column);
		else
			printf(", \"line\": null, \"column\": null");
		printf(", \"key\": ");
		json_string(e->key);
		printf(", \"message\": ");
		json_string(e->text);
		putchar('}');
	}
	printf(errors->n > 0 ? "\n  ]" : "]");
}

static void
json_summary(const struct conf *conf)
{
	const char *lead = "";
	size_t i;

	printf(",\n  \"summary\": {\"mode\": \"%s\", \"max_workers\": %d, "
	       "\"max_timeout\": %d, \"job_types\": [",
	    conf->production_mode ? "production" : "development",
	    conf->max_workers, conf->max_timeout);
	for (i = 0; i < conf->n_job_types; i++) {
		if (conf->job_types[i].builtin)
			continue;
		fputs(lead, stdout);
		json_string(conf->job_types[i].name);
		lead = ", ";
	}
	printf("]}");
}

static void
validate_json(const char *file, const struct conf *conf,
    const struct conf_errors *errors, const struct conf_errors *warnings)
{
	printf("{\n  \"valid\": %s,\n  \"file\": ",
	    conf != NULL ? "true" : "false");
	json_string(file);
	printf(",\n");
	json_errors("errors", errors);
	printf(",\n");
	json_errors("warnings", warnings);
	if (conf != NULL)
		json_summary(conf);
	printf("\n}\n");
}

static void
list_errors(const char *title, const struct conf_errors *errors)
{
	size_t i;

	if (errors->n == 0)
		return;
	printf("\n%s\n", title);
	for (i = 0; i < errors->n; i++) {
		fputs("  - ", stdout);
		conf_error_print(stdout, &errors->items[i]);
	}
}

static void
summary(const struct conf *conf)
{
	size_t i, n = 0;

	for (i = 0; i < conf->n_job_types; i++)
		n += !conf->job_types[i].builtin;
	printf("\nSummary:\n  Mode: %s\n  Workers: %d\n  Max timeout: %ds\n"
	       "  Job types defined: %zu\n",
	    conf->production_mode ? "production" : "development",
	    conf->max_workers, conf->max_timeout, n);
	for (i = 0; i < conf->n_job_types; i++)
		if (!conf->job_types[i].builtin)
			printf("    - %s\n", conf->job_types[i].name);
}

static int
no_file(const struct options *o)
{
	if (o->json)
		printf("{\n  \"valid\": false,\n  \"file\": null,\n"
		       "  \"errors\": [\n    {\"file\": null, \"line\": null, "
		       "\"column\": null, \"key\": null, \"message\": "
		       "\"no configuration file found\"}\n  ],\n"
		       "  \"warnings\": []\n}\n");
	else
		printf("No configuration file found.\n"
		       "Create tako_vm.yaml or specify a file with --config "
		       "or as argument.\n");
	return (1);
}

static int
vm_validate(const struct options *o, int argc, char **argv)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	const char *file;
	char *found = NULL;
	int named, ret;

	file = argc > 0 ? argv[0] : o->config;
	if (file == NULL)
		file = found = conf_find(&named);
	if (file == NULL)
		return (no_file(o));
	conf = conf_load(file, &errors, &warnings);
	if (o->json)
		validate_json(file, conf, &errors, &warnings);
	else {
		printf("Validating: %s\n", file);
		if (conf != NULL) {
			printf("Configuration is valid!\n");
			summary(conf);
		} else
			list_errors("Validation FAILED:", &errors);
		list_errors("Warnings:", &warnings);
	}
	ret = conf != NULL ? 0 : 1;
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	free(found);
	return (ret);
}

static int
vm_config(const struct options *o, int argc, char **argv)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	size_t i;
	int ret = 1;

	(void)argc;
	(void)argv;
	conf = conf_load(o->config, &errors, &warnings);
	for (i = 0; i < errors.n; i++) {
		fputs("Configuration error: ", stderr);
		conf_error_print(stderr, &errors.items[i]);
	}
	for (i = 0; i < warnings.n && conf != NULL; i++) {
		fputs("Warning: ", stderr);
		conf_error_print(stderr, &warnings.items[i]);
	}
	if (conf != NULL && conf_print(stdout, conf, o->print) == 0)
		ret = 0;
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (ret);
}

static int
vm_start(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (vm_server(o->config, o->host, o->port));
}

static int
vm_health(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (vm_status(o->config, o->url, o->json));
}

static int
vm_prepare(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (vm_setup(o->config, o->json));
}

static int
vm_examine(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (vm_doctor(o->config, o->json));
}

static int
vm_version(const struct options *o, int argc, char **argv)
{
	(void)o;
	(void)argc;
	(void)argv;
	printf("tako-vm %s\n", TAKO_VERSION);
	return (0);
}

static int
vm_completion(const struct options *o, int argc, char **argv)
{
	struct complete_item items[nitems(vm_commands)];
	size_t i;

	(void)o;
	for (i = 0; i < nitems(items); i++) {
		items[i].name = vm_commands[i].name;
		items[i].args = vm_commands[i].args;
		items[i].help = vm_commands[i].help;
	}
	if (complete_print("tako-vm", argc > 0 ? argv[0] : NULL, items) == 0)
		return (0);
	usage(stderr);
	return (EXIT_USAGE);
}

int
vm_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "show-defaults", no_argument, NULL, 'd' },
		{ "show-secrets", no_argument, NULL, 's' },
		{ "host", required_argument, NULL, 'H' },
		{ "port", required_argument, NULL, 'p' },
		{ "url", required_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct vm_command *c;
	struct options o = { 0 };
	int ch;

	while ((ch = getopt_long(argc, argv, "c:h", longs, NULL)) != -1)
		switch (ch) {
		case 'c':
			o.config = optarg;
			break;
		case 'j':
			o.json = 1;
			o.print |= CONF_PRINT_JSON;
			break;
		case 'd':
			o.print |= CONF_PRINT_DEFAULTS;
			break;
		case 's':
			o.print |= CONF_PRINT_SECRETS;
			break;
		case 'H':
			o.host = optarg;
			break;
		case 'p':
			o.port = optarg;
			break;
		case 'u':
			o.url = optarg;
			break;
		case 'h':
			usage(stdout);
			return (0);
		default:
			usage(stderr);
			return (EXIT_USAGE);
		}
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		usage(stdout);
		return (1);
	}
	for (c = vm_commands; c->name != NULL; c++)
		if (strcmp(c->name, argv[0]) == 0 && argc - 1 <= c->max)
			return (c->run(&o, argc - 1, argv + 1));
	usage(stderr);
	return (EXIT_USAGE);
}
