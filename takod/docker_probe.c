/*
 * docker_probe.c: does the engine really run a container under a runtime, and
 * whose kernel does it see there? Runs in takod. The container is made just
 * like a job's, but for its command: a fixed one, that prints one line. No
 * job has anything to do with that line.
 */
#include <sys/utsname.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "docker_engine.h"
#include "log.h"
#include "util.h"
#include "versions.h"

#define PROBE_MEMORY (UINT64_C(128) << 20)
#define PROBE_TMPFS  (UINT64_C(1) << 20)
#define PROBE_PIDS   64
#define MUX_HEAD     8

struct probe {
	struct ask ask;
	struct engine_probe result;
	struct docker_call *call;
	struct container *c;
	int fd;
	struct event *ev;
	int64_t deadline;
	int making;
	uint8_t buf[1024]; /* of the stream */
	size_t len;
	engine_probe_cb cb;
	void *arg;
};

static const char *const probe_command[4] = { "python3", "-I", "-c",
	"print(open('/proc/version').read())" };

static void probe_read(evutil_socket_t, short, void *);

static void
probe_free(struct ask *ask)
{
	struct probe *p = (struct probe *)ask;

	if (p->ev != NULL)
		event_free(p->ev);
	close_fd(&p->fd);
	free(p);
}

static void
probe_end(struct probe *p)
{
	struct engine_probe result = p->result;
	struct engine *e = p->ask.e;
	engine_probe_cb cb = p->cb;
	void *arg = p->arg;

	if (result.error == ENGINE_OK) {
		snprintf(e->about, sizeof(e->about), "%s, runtime %s",
		    result.version, runtime_name(result.runtime));
		if (strcmp(e->version, result.version) != 0)
			versions_warn("Docker Engine", result.version);
		strlcpy(e->version, result.version, sizeof(e->version));
	}
	docker_ask_end(&p->ask);
	cb(&result, arg);
}

static void
probe_removed(enum engine_error error, const char *detail, void *arg)
{
	struct probe *p = arg;

	if (error != ENGINE_OK)
		log_warnx("probe container: %s", detail);
	probe_end(p);
}

/* The result stands: the container goes, then the result is told. */
static void
probe_finish(struct probe *p)
{
	struct container *c = p->c;

	if (p->ev != NULL)
		event_free(p->ev);
	p->ev = NULL;
	close_fd(&p->fd);
	p->c = NULL;
	if (c == NULL)
		probe_end(p);
	else
		docker_remove(p->ask.e, c, probe_removed, p);
}

static void __attribute__((format(printf, 3, 4)))
probe_fail(struct probe *p, enum engine_error error, const char *fmt, ...)
{
	va_list ap;

	p->result.error = error;
	va_start(ap, fmt);
	vsnprintf(p->result.detail, sizeof(p->result.detail), fmt, ap);
	va_end(ap);
	probe_finish(p);
}

/* The payload of the first frame of stdout, once its line is whole. */
static int
probe_line(struct probe *p, char *line, size_t len)
{
	const uint8_t *text = p->buf + MUX_HEAD;
	const uint8_t *end;

	if (p->len <= MUX_HEAD || p->buf[0] != 1)
		return (-1);
	if ((end = memchr(text, '\n', p->len - MUX_HEAD)) == NULL)
		return (-1);
	log_escape(line, len, text, (size_t)(end - text));
	return (0);
}

static void
probe_judge(struct probe *p)
{
	struct utsname uts;
	char ours[300];

	p->result.error = ENGINE_OK;
	snprintf(ours, sizeof(ours), "Linux version %s ",
	    uname(&uts) == 0 ? uts.release : "");
	/* gVisor is a kernel of its own: it does not have this one's name. */
	if (p->result.runtime == RUNTIME_RUNSC &&
	    strncmp(p->result.kernel, ours, strlen(ours)) == 0)
		probe_fail(p, ENGINE_CONFIG,
		    "the Docker Engine's runtime \"runsc\" is not gVisor: a "
		    "job sees this host's kernel");
	else if (strncmp(p->result.kernel, "Linux version ", 14) != 0)
		probe_fail(
		    p, ENGINE_CONFIG, "the container did not show its kernel");
	else
		probe_finish(p);
}

static void
probe_wait(struct probe *p)
{
	int64_t left = p->deadline - time_mono_us();
	struct timeval tv;

	left = left < 1 ? 1 : left;
	tv.tv_sec = left / 1000000;
	tv.tv_usec = left % 1000000;
	if (event_add(p->ev, &tv) == -1)
		probe_fail(p, ENGINE_TRANSIENT, "%s", strerror(errno));
}

static void
probe_read(evutil_socket_t fd, short events, void *arg)
{
	struct probe *p = arg;
	ssize_t n;

	if (events & EV_TIMEOUT) {
		probe_fail(p, ENGINE_DEADLINE,
		    "a container was started, but did not run in time");
		return;
	}
	n = read(fd, p->buf + p->len, sizeof(p->buf) - p->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		probe_wait(p);
		return;
	}
	if (n > 0)
		p->len += (size_t)n;
	if (probe_line(p, p->result.kernel, sizeof(p->result.kernel)) == 0)
		probe_judge(p);
	else if (n <= 0 || p->len == sizeof(p->buf))
		probe_fail(p, ENGINE_CONFIG,
		    "a container under %s ended without running python3: is "
		    "it in the image, and does the runtime work?",
		    runtime_name(p->result.runtime));
	else
		probe_wait(p);
}

static void
probe_exited(struct container *c, void *arg)
{
	(void)c; /* the stream ends with it */
	(void)arg;
}

static void
probe_created(struct container *c, int fd, int mux, enum engine_error error,
    const char *detail, void *arg)
{
	struct probe *p = arg;

	(void)mux;
	p->c = c;
	p->fd = fd;
	if (error != ENGINE_OK) {
		probe_fail(p, error, "%s", detail);
		return;
	}
	p->ev = event_new(p->ask.e->base, fd, EV_READ, probe_read, p);
	if (p->ev == NULL)
		probe_fail(p, ENGINE_TRANSIENT, "%s", strerror(ENOMEM));
	else
		probe_wait(p);
}

static void
probe_make(struct probe *p)
{
	struct engine *e = p->ask.e;
	char name[128];
	struct container_spec spec = {
		.name = name,
		.image = e->conf->docker_image,
		.runtime = p->result.runtime,
		.memory = PROBE_MEMORY,
		.cpus = 1,
		.pids = PROBE_PIDS,
		.limits = &e->conf->container_limits,
		.code_size = PROBE_TMPFS,
		.input_size = PROBE_TMPFS,
		.output_size = PROBE_TMPFS,
		.seccomp = e->conf->enable_seccomp,
		.caps = e->conf->enable_cap_restrictions,
	};

	snprintf(name, sizeof(name), "takod-%s-probe%d-%u", e->instance,
	    getpid(), ++e->probes);
	docker_make(e, &spec, probe_command, p->deadline, probe_created,
	    probe_exited, p);
}

/* Of the engine's "SecurityOptions", as "name=userns". */
static int
is_remapped(const json_t *options)
{
	size_t i;
	json_t *item;

	json_array_foreach (options, i, item)
		if (json_string_value(item) != NULL &&
		    strcmp(json_string_value(item), "name=userns") == 0)
			return (1);
	return (0);
}

/* The engine's list of runtimes says sooner and clearer what is missing. */
static void
probe_informed(const struct docker_answer *a, void *arg)
{
	struct probe *p = arg;
	const char *name = runtime_name(p->result.runtime), *version;

	if (a->error != ENGINE_OK) {
		probe_fail(p, a->error, "%s", a->detail);
		return;
	}
	p->ask.e->remapped =
	    is_remapped(json_object_get(a->json, "SecurityOptions"));
	docker_network_runtime(
	    p->ask.e, p->result.runtime, json_object_get(a->json, "Runtimes"));
	version = json_string_value(json_object_get(a->json, "ServerVersion"));
	snprintf(p->result.version, sizeof(p->result.version),
	    "Docker Engine %.24s, API %s", version != NULL ? version : "?",
	    docker_api_version(p->ask.e->api));
	if (json_object_get(json_object_get(a->json, "Runtimes"), name) == NULL)
		probe_fail(p, ENGINE_CONFIG,
		    "the Docker Engine has no runtime \"%s\": add it under "
		    "\"runtimes\" in its daemon.json, then reload it",
		    name);
	else
		probe_make(p);
}

void
docker_probe(
    struct engine *e, enum runtime runtime, engine_probe_cb cb, void *arg)
{
	struct probe *p;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		fatal(NULL);
	p->fd = -1;
	p->cb = cb;
	p->arg = arg;
	p->result.runtime = runtime;
	p->deadline = docker_deadline(ENGINE_CALL_TIMEOUT, 0);
	docker_ask_add(e, &p->ask, probe_free);
	if (docker_api_call(e->api, "GET", "/info", NULL, p->deadline,
		probe_informed, p) == NULL)
		fatal(NULL);
}
