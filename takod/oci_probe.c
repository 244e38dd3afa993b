/*
 * oci_probe.c: does the runtime really run a container, and which kernel does
 * a job see in it? Runs in takod. What it reads is what a program of ours
 * printed, from a container that no job has been in: at most a line, escaped.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_arm.h"
#include "log.h"
#include "oci_engine.h"
#include "util.h"
#include "versions.h"

#define PROBE_MEMORY (256 << 20)
#define PROBE_TMPFS  (1 << 20)

struct oci_probe {
	struct engine *e;
	struct engine_probe result;
	engine_probe_cb cb;
	void *arg;
	int version_fd;
	struct oci_run *version_run;
	struct container *c;
	int making;
	int fd;
	struct event *ev;    /* the container's words */
	struct event *timer; /* a failure to tell, or the deadline */
	char text[256];
	size_t len;
	int64_t deadline;
};

static void
probe_free(struct oci_probe *p)
{
	p->e->probe = NULL;
	if (p->version_run != NULL)
		oci_run_drop(p->version_run);
	if (p->ev != NULL)
		event_free(p->ev);
	event_free(p->timer);
	close_fd(&p->version_fd);
	close_fd(&p->fd);
	free(p);
}

static void
probe_dropped(enum engine_error error, const char *detail, void *arg)
{
	(void)error;
	(void)detail;
	(void)arg;
}

void
oci_probe_drop(struct engine *e)
{
	struct oci_probe *p = e->probe;

	if (p == NULL)
		return;
	if (p->making)
		engine_oci.create_cancel(e, probe_dropped, p);
	if (p->c != NULL)
		oci_remove(e, p->c, probe_dropped, NULL);
	probe_free(p);
}

static void
probe_tell(struct oci_probe *p)
{
	struct engine_probe result = p->result;
	engine_probe_cb cb = p->cb;
	void *arg = p->arg;

	if (result.error == ENGINE_OK) {
		snprintf(p->e->about, sizeof(p->e->about), "OCI, %s; %s",
		    result.version, result.kernel);
		if (strcmp(p->e->version, result.version) != 0)
			versions_warn(
			    runtime_name(result.runtime), result.version);
		strlcpy(p->e->version, result.version, sizeof(p->e->version));
	}
	probe_free(p);
	cb(&result, arg);
}

static void
probe_removed(enum engine_error error, const char *detail, void *arg)
{
	(void)error;
	(void)detail;
	probe_tell(arg);
}

/* Ends it with what result says, once nothing of it is left. */
static void
probe_end(struct oci_probe *p)
{
	struct timeval now = { 0, 0 };

	if (p->ev != NULL)
		event_del(p->ev);
	if (p->c != NULL)
		oci_remove(p->e, p->c, probe_removed, p);
	else
		event_arm(p->timer, &now);
	p->c = NULL;
}

static void __attribute__((format(printf, 3, 4)))
probe_failed(struct oci_probe *p, enum engine_error error, const char *fmt, ...)
{
	va_list ap;

	p->result.error = error;
	va_start(ap, fmt);
	vsnprintf(p->result.detail, sizeof(p->result.detail), fmt, ap);
	va_end(ap);
	probe_end(p);
}

/* gVisor proves itself: its kernel is not the one that takod sees. */
static void
probe_judge(struct oci_probe *p)
{
	char host[sizeof(p->text)] = "";
	FILE *f;

	p->text[p->len] = '\0';
	p->text[strcspn(p->text, "\n")] = '\0';
	if (strncmp(p->text, "Linux version ", 14) != 0) {
		probe_failed(p, ENGINE_CONFIG,
		    "%s runs a container, but python3 does not work in it",
		    runtime_name(p->result.runtime));
		return;
	}
	if ((f = fopen("/proc/version", "re")) != NULL) {
		if (fgets(host, sizeof(host), f) == NULL)
			host[0] = '\0';
		fclose(f);
		host[strcspn(host, "\n")] = '\0';
	}
	if (p->result.runtime == RUNTIME_RUNSC && strcmp(host, p->text) == 0) {
		probe_failed(p, ENGINE_CONFIG,
		    "what runs as runsc is no gVisor: a job sees the host's "
		    "kernel");
		return;
	}
	log_escape(p->result.kernel, sizeof(p->result.kernel), p->text,
	    strnlen(p->text, sizeof(p->result.kernel) - 1));
	p->result.error = ENGINE_OK;
	probe_end(p);
}

static void
probe_readable(evutil_socket_t fd, short what, void *arg)
{
	struct oci_probe *p = arg;
	ssize_t n;

	(void)what;
	n = read(fd, p->text + p->len, sizeof(p->text) - 1 - p->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->len += (size_t)n;
		if (memchr(p->text, '\n', p->len) == NULL &&
		    p->len < sizeof(p->text) - 1)
			return;
	}
	event_del(p->timer);
	probe_judge(p);
}

static void
probe_exited(struct container *c, void *arg)
{
	/* What it said comes by the stream, and that ends too. */
	(void)c;
	(void)arg;
}

static void
probe_created(struct container *c, int fd, int mux, enum engine_error error,
    const char *detail, void *arg)
{
	struct timeval left = { .tv_sec = ENGINE_CALL_TIMEOUT };
	struct oci_probe *p = arg;

	(void)mux;
	p->making = 0;
	if (c == NULL) {
		/* Tried at start: what fails here fails for every job. */
		probe_failed(p,
		    error == ENGINE_TRANSIENT ? ENGINE_CONFIG : error, "%s",
		    detail);
		return;
	}
	p->c = c;
	p->fd = fd;
	p->ev =
	    event_new(p->e->base, fd, EV_READ | EV_PERSIST, probe_readable, p);
	if (p->ev == NULL || event_add(p->ev, NULL) == -1)
		fatal(NULL);
	event_arm(p->timer, &left);
}

static void
probe_make(struct oci_probe *p)
{
	static const char *const argv[] = { "python3", "-I", "-S", "-c",
		"print(open('/proc/version').read())", NULL };
	char name[128];
	struct container_spec spec = { .name = name,
		.runtime = p->result.runtime,
		.slot = MAX_SLOTS,
		.memory = PROBE_MEMORY,
		.cpus = 1.0,
		.pids = p->e->conf->container_limits.pids_limit,
		.limits = &p->e->conf->container_limits,
		.code_size = PROBE_TMPFS,
		.input_size = PROBE_TMPFS,
		.output_size = PROBE_TMPFS,
		.seccomp = p->e->conf->enable_seccomp,
		.caps = p->e->conf->enable_cap_restrictions,
		.userns = p->e->conf->enable_userns };

	/* One of a former life may be there still. */
	snprintf(name, sizeof(name), "takod-%s-probe%lld", p->e->instance,
	    (long long)time_wall_us());
	p->making = 1;
	oci_make(p->e, &spec, argv,
	    time_mono_us() + ENGINE_CALL_TIMEOUT * 1000000LL, probe_created,
	    probe_exited, p);
}

/* "runc version 1.1.5" and "runsc version release-...": the first line. */
static void
probe_version(int status, void *arg)
{
	struct oci_probe *p = arg;
	char line[sizeof(p->result.version)];
	ssize_t n;

	p->version_run = NULL;
	n = read(p->version_fd, line, sizeof(line) - 1);
	if (status != 0 || n <= 0) {
		probe_failed(p, ENGINE_CONFIG, "%s --version does not work",
		    runtime_name(p->result.runtime));
		return;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	log_escape(
	    p->result.version, sizeof(p->result.version), line, strlen(line));
	probe_make(p);
}

static int
probe_start(struct oci_probe *p, char *program)
{
	static char flag[] = "--version";
	char *const argv[] = { program, flag, NULL };
	struct oci_run_how how = { .argv = argv,
		.runtime = p->result.runtime,
		.in = -1,
		.kept = -1,
		.group = -1 };
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == -1)
		return (-1);
	p->version_fd = pipes[0];
	how.out = pipes[1];
	p->version_run = oci_run_start(p->e->base, &how, probe_version, p);
	close(pipes[1]);
	return (p->version_run == NULL ? -1 : 0);
}

static void
probe_timer(evutil_socket_t fd, short what, void *arg)
{
	struct oci_probe *p = arg;

	(void)fd;
	(void)what;
	if (p->version_run != NULL) {
		oci_run_kill(p->version_run);
		return;
	}
	if (p->c == NULL && !p->making) {
		probe_tell(p);
		return;
	}
	probe_failed(p, ENGINE_DEADLINE,
	    "%s: the container said nothing in time",
	    runtime_name(p->result.runtime));
}

void
oci_probe(struct engine *e, enum runtime runtime, engine_probe_cb cb, void *arg)
{
	struct timeval limit = { .tv_sec = ENGINE_CALL_TIMEOUT };
	struct oci_probe *p = calloc(1, sizeof(*p));
	char program[PATH_MAX], rootfs[PATH_MAX], detail[512];
	enum engine_error error;

	if (p == NULL ||
	    (p->timer = evtimer_new(e->base, probe_timer, p)) == NULL)
		fatal(NULL);
	oci_probe_drop(e);
	e->probe = p;
	p->e = e;
	p->cb = cb;
	p->arg = arg;
	p->fd = p->version_fd = -1;
	p->result.runtime = runtime;
	if (oci_program(e, runtime, program, detail, sizeof(detail)) == -1) {
		probe_failed(p, ENGINE_CONFIG, "%s", detail);
		return;
	}
	error = oci_rootfs(e, NULL, rootfs, detail, sizeof(detail));
	if (error != ENGINE_OK) {
		probe_failed(p, error, "%s", detail);
		return;
	}
	if (probe_start(p, program) == -1)
		probe_failed(
		    p, ENGINE_TRANSIENT, "%s: %s", program, strerror(errno));
	else
		event_arm(p->timer, &limit);
}
