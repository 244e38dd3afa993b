/*
 * doctor.c: tako-vm doctor: would a takod start here, and run jobs? It tries
 * each thing that takod needs, and changes nothing that stays. Runs as the
 * caller, who should be root.
 *
 * Each check is a child process with a deadline. It is asked to end by SIGTERM
 * and then has time to take away what it made; the same when doctor itself is
 * ended, by whatever signal.
 */
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "doctor.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

#define CLEAN_UP_S 25 /* for a check that is to end */
#define QUICK_S	   10
/* Connecting, questions, and looking through an SQLite file. */
#define DATABASE_S 45
/* Some containers, each within the engine's own limits. */
#define ENGINE_S 240

static void
doctor_database(struct doctor *d)
{
	if (strncmp(d->conf->database_url, SQLITE_SCHEME,
		strlen(SQLITE_SCHEME)) == 0)
		doctor_sqlite(d);
	else
		doctor_pg(d);
}

static const struct check {
	const char *name; /* of the finding, if there is no other */
	void (*run)(struct doctor *);
	int seconds;
	int conf; /* it needs a valid configuration */
	int root;
} checks[] = {
	{ "privileges", doctor_rights, QUICK_S, 0, 0 },
	{ "kernel", doctor_kernel, QUICK_S, 0, 1 },
	{ "cgroups", doctor_cgroups, QUICK_S, 0, 1 },
	{ "clock", doctor_clock, QUICK_S, 0, 0 },
	{ "limits", doctor_limits, QUICK_S, 1, 0 },
	{ "users", doctor_users, QUICK_S, 1, 0 },
	{ "data_dir", doctor_folders, QUICK_S, 1, 1 },
	{ "control_socket", doctor_control, QUICK_S, 1, 0 },
	{ "port", doctor_port, QUICK_S, 1, 0 },
	{ "database", doctor_database, DATABASE_S, 1, 1 },
	{ "engine", doctor_engine, ENGINE_S, 1, 1 },
};

static const char *const words[] = { "ok", "info", "warn", "FAIL" };
static const char *const json_words[] = { "ok", "info", "warn", "fail" };
static volatile sig_atomic_t ended; /* the signal that ends doctor */

static void
on_signal(int sig)
{
	ended = sig;
}

/* ---- findings ----------------------------------------------------------- */

void
doctor_found(struct doctor *d, enum found status, const char *check,
    const char *mend, const char *fmt, ...)
{
	char text[sizeof(((struct finding *)NULL)->text)];
	struct finding *f;
	va_list ap;

	if (d->findings->n == DOCTOR_FINDINGS)
		return;
	f = &d->findings->items[d->findings->n];
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->status = status;
	strlcpy(f->check, check, sizeof(f->check));
	log_escape(f->text, sizeof(f->text), text, strlen(text));
	if (mend != NULL)
		log_escape(f->mend, sizeof(f->mend), mend, strlen(mend));
	/* The last step: a check that is killed leaves no half of one. */
	d->findings->n++;
}

static void
show(const struct finding *f)
{
	printf("%-4s  %-15s %s%s%s\n", words[f->status], f->check, f->text,
	    f->mend[0] != '\0' ? "; " : "", f->mend);
	fflush(stdout);
}

static void
show_json(const struct doctor *d, int ok)
{
	json_t *rows = json_array(), *doc;
	const struct finding *f;
	unsigned i;

	for (i = 0; i < d->findings->n; i++) {
		f = &d->findings->items[i];
		json_array_append_new(
		    rows, json_pack("{s:s s:s s:s s:s?}", "check", f->check,
			      "status", json_words[f->status], "text", f->text,
			      "mend", f->mend[0] != '\0' ? f->mend : NULL));
	}
	doc = json_pack("{s:b s:s s:s? s:o}", "ok", ok, "version", TAKO_VERSION,
	    "configuration", d->conf != NULL ? d->conf->path : NULL, "checks",
	    rows);
	if (doc == NULL)
		fatal(NULL);
	json_dumpf(doc, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(doc);
}

/* ---- one check ---------------------------------------------------------- */

int
doctor_apart(int (*fn)(void))
{
	int status;
	pid_t pid;

	if ((pid = fork()) == -1)
		return (errno);
	if (pid == 0)
		_exit(fn());
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return (errno);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED);
}

static pid_t
check_start(struct doctor *d, const struct check *c)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	if ((pid = fork()) != 0)
		return (pid);
	/* A terminal's ^C is for all; who cleans up is told by SIGTERM. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 || getppid() != parent)
		_exit(1);
	c->run(d);
	_exit(0);
}

/* Waits for its end; 0 when it came within the time, or before a signal. */
static int
check_wait(int pidfd, int seconds, int heed)
{
	int64_t until = time_mono_us() + seconds * INT64_C(1000000), left;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	while ((left = until - time_mono_us()) > 0 && !(heed && ended))
		if (poll(&p, 1, (int)(left / 1000) + 1) == 1)
			return (0);
	return (-1);
}

static void
check_run(struct doctor *d, const struct check *c)
{
	unsigned before = d->findings->n;
	pid_t pid = check_start(d, c);
	int fd, status = 0, late;

	if (pid == -1 || (fd = pidfd_open(pid, 0)) == -1)
		fatal("a process for a check");
	if ((late = check_wait(fd, c->seconds, 1)) == -1) {
		kill(pid, SIGTERM);
		if (check_wait(fd, CLEAN_UP_S, 0) == -1)
			kill(pid, SIGKILL);
	}
	/* What sits in the kernel for good is left there. */
	if (check_wait(fd, QUICK_S, 0) == 0)
		waitpid(pid, &status, 0);
	close_fd(&fd);
	if (late && !ended)
		doctor_found(d, FOUND_FAIL, c->name,
		    "see what it waits for, such as a disk, a network or a "
		    "daemon that hangs",
		    "no answer within %d s", c->seconds);
	else if (status != 0 && !ended)
		doctor_found(d, FOUND_FAIL, c->name,
		    "report it with what was printed",
		    "the check itself broke off (status %#x)", status);
	else if (d->findings->n == before && !ended)
		doctor_found(d, FOUND_OK, c->name, NULL, "nothing to say");
}

static int
is_root(void)
{
	return (geteuid() == 0);
}

static int
applies(struct doctor *d, const struct check *c)
{
	if (c->conf && d->conf == NULL)
		return (0);
	if (c->root && !is_root()) {
		doctor_found(
		    d, FOUND_INFO, c->name, NULL, "not tried: only root can");
		return (0);
	}
	return (1);
}

/* ---- all of them -------------------------------------------------------- */

/* In the words that takod has for it. */
static void
configuration_found(struct doctor *d, enum found status,
    const struct conf_error *e, const char *mend)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		fatal(NULL);
	conf_error_print(f, e);
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	doctor_found(d, status, "configuration", mend, "%s", text);
	free(text);
}

/* NULL when it is not valid. */
static struct conf *
configuration(struct doctor *d, const char *path)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	char detail[128];
	size_t i;

	conf = conf_load(path, &errors, &warnings);
	for (i = 0; i < errors.n; i++)
		configuration_found(d, FOUND_FAIL, &errors.items[i],
		    "tako-vm validate shows all that is wrong");
	if (conf != NULL)
		doctor_found(d, FOUND_OK, "configuration", NULL, "%s is valid",
		    conf->path != NULL ? conf->path : "no file: the defaults");
	for (i = 0; i < warnings.n && conf != NULL; i++)
		configuration_found(d, FOUND_WARN, &warnings.items[i], NULL);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	/* What users are missing is said by their own check. */
	if (conf != NULL)
		(void)ids_choose(conf, &d->ids, detail, sizeof(detail));
	return (conf);
}

static int
all_well(const struct doctor *d)
{
	unsigned i;

	for (i = 0; i < d->findings->n; i++)
		if (d->findings->items[i].status == FOUND_FAIL)
			return (0);
	return (1);
}

static void
watch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int
vm_doctor(const char *config, int json)
{
	struct doctor d = { 0 };
	struct conf *conf;
	unsigned shown = 0;
	size_t i;
	int ok;

	d.findings = mmap(NULL, sizeof(*d.findings), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d.findings == MAP_FAILED)
		fatal(NULL);
	log_set_level(LOG_LEVEL_CRITICAL); /* findings say it all */
	watch_signals();
	d.conf = conf = configuration(&d, config);
	if (conf != NULL)
		d.daemon = doctor_daemon(d.conf);
	for (i = 0; i <= nitems(checks) && !ended; i++) {
		for (; shown < d.findings->n && !json; shown++)
			show(&d.findings->items[shown]);
		if (i < nitems(checks) && applies(&d, &checks[i]))
			check_run(&d, &checks[i]);
	}
	ok = all_well(&d) && !ended;
	if (ended)
		fprintf(stderr, "tako-vm doctor: ended by a signal\n");
	else if (json)
		show_json(&d, ok);
	else
		printf(ok ? "takod would start and run jobs here.\n"
			  : "takod would not start, or not run jobs, here: "
			    "mend what says FAIL.\n");
	munmap(d.findings, sizeof(*d.findings));
	conf_free(conf);
	return (ok ? 0 : 1);
}
