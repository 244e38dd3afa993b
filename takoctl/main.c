/*
 * takoctl: asks a running takod, and builds images without one. Called as
 * tako-vm it has the commands that work on the configuration (vm.c).
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "image.h"
#include "json_memory.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

#define FILTERS                                                                \
	"[-l limit] [-q query] [-t status] [--job-type name]"                  \
	" [--error-type type] [--exit-code code] [--since time]"               \
	" [--until time] [--parent id] [--key key] [--after place]"

const struct command commands[] = {
	{ "status", "", "the daemon, its engine, store and queue",
	    MSG_T_CTL_STATUS, 0, 0, NULL },
	{ "workers", "", "its children and their slots", MSG_T_CTL_WORKERS, 0,
	    0, NULL },
	{ "nodes", "", "the takods that share its database", MSG_T_CTL_NODES, 0,
	    0, NULL },
	{ "tenants", "[-l limit]", "API keys and addresses, and their share",
	    MSG_T_CTL_TENANTS, 0, 0, NULL },
	{ "executions", FILTERS, "records, the newest first", MSG_T_CTL_LIST, 0,
	    0, find_run },
	{ "jobs", FILTERS, "the same", MSG_T_CTL_LIST, 0, 0, find_run },
	{ "show", "id", "one job's record", MSG_T_CTL_JOB, 1, 1, NULL },
	{ "job", "id", "the same", MSG_T_CTL_JOB, 1, 1, NULL },
	{ "logs", "[--stdout] [--stderr] id", "what a job printed",
	    MSG_T_CTL_JOB, 1, 1, find_logs },
	{ "diff", "id id", "in what two records differ", MSG_T_CTL_JOB, 2, 2,
	    find_diff },
	{ "artifacts", "list | get id [name] [-o file]",
	    "files that a job left", MSG_T_CTL_ARTIFACT, 2, 5, NULL },
	{ "export", "[-o file] " FILTERS, "write records and artifacts",
	    MSG_T_CTL_LIST, 0, 0, export_run },
	{ "import", "file", "take over what export wrote", MSG_T_CTL_IMPORT, 1,
	    1, import_run },
	{ "cancel", "id", "end a waiting or running job", MSG_T_CTL_CANCEL, 1,
	    1, NULL },
	{ "rerun", "[-t type] [-T timeout] id",
	    "run a job once more that has ended", MSG_T_CTL_RERUN, 1, 1, NULL },
	{ "retry", "[-t type] [-T timeout] id", "the same as rerun",
	    MSG_T_CTL_RERUN, 1, 1, NULL },
	{ "dlq", "list [-l limit] [-t error] | show id | remove id | retry id",
	    "dead letters: jobs ended by faults not theirs", MSG_T_CTL_LETTERS,
	    0, 8, NULL },
	{ "drain", "", "take no new jobs; running ones go on", MSG_T_CTL_DRAIN,
	    0, 0, NULL },
	{ "resume", "", "take jobs again", MSG_T_CTL_RESUME, 0, 0, NULL },
	{ "stop", "[-n]", "drain, then end; -n: end now", MSG_T_CTL_STOP, 0, 0,
	    NULL },
	{ "verbose", "debug | info | warning | error | critical",
	    "log level of all its processes", MSG_T_CTL_VERBOSE, 1, 1, NULL },
	{ "reload", "[--dry-run]", "take the configuration anew",
	    MSG_T_CTL_RELOAD, 0, 0, NULL },
	{ "build", "type", "install the packages of a job type",
	    MSG_T_CTL_BUILD, 1, 1, NULL },
	{ "layers", "[--remove] [key]",
	    "installed packages, and what is in them", MSG_T_CTL_LAYERS, 0, 1,
	    NULL },
	{ "image", "build | list | remove name",
	    "the image that jobs run in; needs no daemon", MSG_NONE, 1, 8,
	    NULL },
	{ "completion", "bash | zsh", "write a completion script", MSG_NONE, 1,
	    1, NULL },
	{ NULL, NULL, NULL, MSG_NONE, 0, 0, NULL }
};

const struct command dlq_commands[] = { { "dlq list", "[-l limit] [-t error]",
					    NULL, MSG_T_CTL_LETTERS, 0, 0,
					    NULL },
	{ "dlq show", "id", NULL, MSG_T_CTL_LETTERS, 1, 1, NULL },
	{ "dlq remove", "id", NULL, MSG_T_CTL_LETTER_REMOVE, 1, 1, NULL },
	{ "dlq retry", "id", NULL, MSG_T_CTL_LETTER_RETRY, 1, 1, NULL },
	{ NULL, NULL, NULL, MSG_NONE, 0, 0, NULL } };

/* Moves on to the command behind dlq; NULL: there is none of that name. */
static const struct command *
dlq_command(int *argc, char ***argv)
{
	const struct command *c;

	if (*argc < 2 || (*argv)[1][0] == '-')
		return (dlq_commands);
	for (c = dlq_commands; c->name != NULL; c++)
		if (strcmp(c->name + strlen("dlq "), (*argv)[1]) == 0) {
			--*argc;
			++*argv;
			return (c);
		}
	return (NULL);
}

static void __attribute__((noreturn)) usage(void)
{
	const struct command *c;

	fprintf(stderr,
	    "usage: takoctl [-c file] [-s socket] [--json] command ...\n\n");
	for (c = commands; c->name != NULL; c++)
		fprintf(stderr, "  %-10s %-40s %s\n", c->name,
		    strlen(c->args) > 80 ? "[-l limit] [-q query] ..."
					 : c->args,
		    c->help);
	exit(EX_USAGE);
}

static int
completion(const char *shell)
{
	struct complete_item items[nitems(commands)];
	size_t i;

	for (i = 0; i < nitems(items); i++) {
		items[i].name = commands[i].name;
		items[i].args = commands[i].args;
		items[i].help = commands[i].help;
	}
	if (complete_print("takoctl", shell, items) == 0)
		return (EX_OK);
	usage();
}

static struct conf *
configuration(const char *path)
{
	struct conf_errors errors = { 0 }, warnings = { 0 };
	struct conf *cf;
	size_t i;

	cf = conf_load(path, &errors, &warnings);
	for (i = 0; i < errors.n; i++)
		conf_error_print(stderr, &errors.items[i]);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	if (cf == NULL)
		exit(EX_CONFIG);
	return (cf);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL,
						     'j' },
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *config = NULL, *path = NULL, *name;
	const struct command *c;
	char socket_path[4096];
	struct conf *cf = NULL;
	int ch, json = 0, i, ret;

	name =
	    strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	log_init(name, LOG_LEVEL_WARNING, 0);
	json_memory_init();
	if (strcmp(name, "tako-vm") == 0)
		return (vm_main(argc, argv));
	/* A leading + stops at the command: its flags are its own. */
	while ((ch = getopt_long(argc, argv, "+c:s:jh", options, NULL)) != -1)
		switch (ch) {
		case 'c':
			config = optarg;
			break;
		case 's':
			path = optarg;
			break;
		case 'j':
			json = 1;
			break;
		default:
			usage();
		}
	argc -= optind;
	argv += optind;
	if (argc == 0)
		usage();
	/* --json is understood behind the command too. */
	for (i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0) {
			json = 1;
			memmove(&argv[i], &argv[i + 1],
			    (size_t)(argc - i) * sizeof(*argv));
			argc--;
			i--;
		}
	for (c = commands; c->name != NULL; c++)
		if (strcmp(c->name, argv[0]) == 0)
			break;
	if (c->name == NULL) {
		fprintf(stderr, "takoctl: no such command\n");
		usage();
	}
	if (strcmp(c->name, "dlq") == 0 &&
	    (c = dlq_command(&argc, &argv)) == NULL) {
		fprintf(stderr, "usage: takoctl dlq list | show | remove | "
				"retry ...\n");
		return (EX_USAGE);
	}
	if (strcmp(c->name, "completion") == 0)
		return (completion(argc > 1 ? argv[1] : NULL));
	if (c->type == MSG_NONE || path == NULL)
		cf = configuration(config);
	if (c->type == MSG_NONE) {
		if (json)
			argv[argc++] = (char *)(uintptr_t) "--json";
		ret = image_main(argc, argv, cf);
		conf_free(cf);
		return (ret);
	}
	if (path == NULL) {
		ctl_path(cf, socket_path, sizeof(socket_path));
		path = socket_path;
	}
	ret = c->run != NULL ? c->run(path, c, argc, argv, json)
			     : ctl_run(path, c, argc, argv, json);
	conf_free(cf);
	return (ret);
}
