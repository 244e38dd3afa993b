/*
 * engine_docker.c: containers by the Docker Engine API. Runs in takod, on its
 * loop; being allowed to ask this API is being root, so only takod is.
 *
 * A container's life is a chain of calls, each answer starting the next one:
 *	create, attach, start, inspect (its process) -> create_cb
 *	the process is gone (pidfd, else the engine's word) -> exit_cb
 *	delete -> done_cb
 * Calls that are not used at all: archive, exec, copy, logs.
 *
 * The engine may be killed, hang, or answer that it failed and yet have done
 * it. So whatever has a doubtful end is looked for afterwards by its label,
 * at the next pings; a container that this life does not know is removed.
 */
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "docker_engine.h"
#include "docker_spec.h"
#include "event_arm.h"
#include "log.h"
#include "proof.h"
#include "python.h"
#include "seccomp_job.h"
#include "util.h"

#define RETRY_US      100000  /* a removal that is under way already */
#define AGAIN_US      1000000 /* one that failed */
#define SWEEPS	      10      /* that find nothing, until doubt ends */
#define SWEEP_DETAIL  256
#define BUILD_COMMAND "takoctl image build"
#define KILLED	      137 /* the exit code of who was killed */

struct sweep {
	struct ask ask;
	int pending; /* removals, and the list itself */
	int found;
	enum engine_error error;
	char detail[SWEEP_DETAIL];
	engine_done_cb cb;
	void *arg;
};

static void remove_try(struct container *);
static void remove_start(struct container *);
static void sweep_part(struct sweep *, enum engine_error, const char *detail);
static void watch_wait(struct container *);

/* ---- containers --------------------------------------------------------- */

static void
later_event(evutil_socket_t fd, short events, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)events;
	if (c->state == CONTAINER_REMOVING)
		remove_try(c);
	else if (c->state == CONTAINER_MAKING)
		docker_make_failed(c, c->error,
		    c->error == ENGINE_CONFIG ? c->detail : strerror(ENOMEM),
		    0);
	else
		watch_wait(c);
}

static void
container_later(struct container *c, int us)
{
	struct timeval tv = { us / 1000000, us % 1000000 };

	event_arm(c->later, &tv);
}

static struct container *
container_new(struct engine *e, const char *name)
{
	struct container *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (NULL);
	c->e = e;
	c->fd = c->pidfd = -1;
	c->facts.oom_kills = c->facts.memory_peak = c->facts.cpu_us = -1;
	c->later = event_new(e->base, -1, 0, later_event, c);
	if (c->later == NULL ||
	    strlcpy(c->name, name, sizeof(c->name)) >= sizeof(c->name)) {
		if (c->later != NULL)
			event_free(c->later);
		free(c);
		return (NULL);
	}
	TAILQ_INSERT_TAIL(&e->containers, c, entry);
	return (c);
}

/* Whatever is under way for it ends without a callback. */
static void
container_quiet(struct container *c)
{
	docker_api_cancel(c->call);
	docker_api_cancel(c->kill_call);
	docker_attach_cancel(c->attach);
	network_ask_drop(c->ask);
	network_slot_quiet(c->net);
	c->ask = NULL;
	c->call = c->kill_call = NULL;
	c->attach = NULL;
	close_fd(&c->fd);
	if (c->exited != NULL)
		event_free(c->exited);
	c->exited = NULL;
	close_fd(&c->pidfd);
	event_del(c->later);
}

static void
container_free(struct container *c)
{
	TAILQ_REMOVE(&c->e->containers, c, entry);
	container_quiet(c);
	docker_network_free(c);
	json_decref(c->body);
	event_free(c->later);
	free(c);
}

static struct container *
container_find(struct engine *e, const char *name, const char *id)
{
	struct container *c;

	TAILQ_FOREACH (c, &e->containers, entry)
		if (strcmp(c->name, name) == 0 || strcmp(c->id, id) == 0)
			return (c);
	return (NULL);
}

/* Starts a call about one container: path holds one %s for its id or name. */
static struct docker_call *
container_call(struct container *c, const char *method, const char *before,
    const char *after, int64_t deadline, docker_call_cb cb)
{
	char path[512];

	snprintf(path, sizeof(path), "/containers/%s%s%s", before,
	    c->id[0] != '\0' ? c->id : c->name, after);
	return (
	    docker_api_call(c->e->api, method, path, NULL, deadline, cb, c));
}

/* ---- making one --------------------------------------------------------- */

void
docker_make_failed(
    struct container *c, enum engine_error error, const char *detail, int made)
{
	engine_create_cb cb = c->create_cb;

	c->error = error;
	strlcpy(c->detail, detail, sizeof(c->detail));
	if (!made) {
		docker_remove_end(c, ENGINE_OK, "");
		return;
	}
	/* It may be made yet, after a removal that found nothing. */
	if (error == ENGINE_AWAY || error == ENGINE_DEADLINE)
		c->e->sweeps_due = SWEEPS;
	if (cb == NULL || (error != ENGINE_AWAY && error != ENGINE_DEADLINE)) {
		remove_start(c);
		return;
	}
	/* An engine that hangs would let the removal hang as well. */
	c->create_cb = NULL;
	remove_start(c);
	cb(NULL, -1, 0, error, detail, c->arg);
}

static void
make_no_memory(struct container *c)
{
	docker_make_failed(c, ENGINE_TRANSIENT, strerror(ENOMEM), 1);
}

static void
exit_tell(struct container *c)
{
	engine_done_cb cb = c->inquired;

	if (c->state != CONTAINER_ENDED) {
		c->state = CONTAINER_ENDED;
		c->exit_cb(c, c->arg);
	} else if (cb != NULL) {
		c->inquired = NULL;
		cb(ENGINE_OK, "", c->inquired_arg);
	}
}

/*
 * Whether somebody else ended it. The kernel keeps a job's SIGKILL from the
 * first process of its own container; under gVisor that is the kernel's word
 * no more, and the job's own doing looks the same.
 */
static int
exit_outside(const struct container *c, const json_t *state)
{
	const char *status =
	    json_string_value(json_object_get(state, "Status"));
	json_int_t code =
	    json_integer_value(json_object_get(state, "ExitCode"));

	if (status != NULL && strcmp(status, "removing") == 0)
		return (1);
	return (code == KILLED && c->runtime != RUNTIME_RUNSC && !c->killed &&
		c->facts.oom_kills <= 0);
}

static void
exit_facts(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;
	json_t *state = json_object_get(a->json, "State");

	c->call = NULL;
	if (a->error == ENGINE_OK && json_is_object(state)) {
		/* The engine tells whether, not how often. */
		if (c->facts.oom_kills == -1)
			c->facts.oom_kills =
			    json_is_true(json_object_get(state, "OOMKilled"));
		c->outside |= exit_outside(c, state);
	} else if (a->status == 404)
		c->outside = 1;
	exit_tell(c);
}

static void
exit_waited(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;

	c->call = NULL;
	/* Gone altogether (404) is an end too; without a word, ask again. */
	if (a->error != ENGINE_OK && a->status != 404) {
		if (c->state == CONTAINER_ENDED)
			exit_tell(c);
		else
			container_later(c, RETRY_US);
		return;
	}
	c->call = container_call(c, "GET", "", "/json",
	    docker_deadline(ENGINE_CALL_TIMEOUT, 0), exit_facts);
	if (c->call == NULL)
		exit_tell(c);
}

/*
 * Asks the engine to say when it ended: no deadline, a job may take long; but
 * where it has ended, the engine is only to take note of it.
 */
static void
watch_wait(struct container *c)
{
	int64_t deadline = c->state == CONTAINER_ENDED
			       ? docker_deadline(ENGINE_CALL_TIMEOUT, 0)
			       : 0;

	c->call = container_call(c, "POST", "", "/wait?condition=not-running",
	    deadline, exit_waited);
	if (c->call == NULL)
		container_later(c, RETRY_US);
}

static void
docker_inquire(
    struct engine *e, struct container *c, engine_done_cb cb, void *arg)
{
	(void)e;
	c->inquired = cb;
	c->inquired_arg = arg;
	watch_wait(c);
}

static void
exit_seen(evutil_socket_t fd, short events, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)events;
	if (docker_facts_read(c->e->cgroups, c->group, &c->facts) == -1) {
		watch_wait(c);
		return;
	}
	c->state = CONTAINER_ENDED;
	c->exit_cb(c, c->arg);
}

/*
 * Watches its first process directly where that can be seen: at once, and
 * whatever becomes of the engine. The id in the name of its control group
 * proves that the number is not another process' by now.
 */
static void
watch_start(struct container *c, pid_t pid)
{
	c->pid = pid;
	if (pid > 0 && (c->pidfd = pidfd_open(pid, 0)) != -1 &&
	    docker_group(pid, c->id, c->group, sizeof(c->group)) == 0 &&
	    (c->exited = event_new(
		 c->e->base, c->pidfd, EV_READ, exit_seen, c)) != NULL &&
	    event_add(c->exited, NULL) == 0)
		return;
	close_fd(&c->pidfd);
	watch_wait(c);
}

/* What the engine says of it that its record is to prove. */
static void
note_inspected(struct container *c, const json_t *all)
{
	static const char option[] = "seccomp=";
	const json_t *host = json_object_get(all, "HostConfig"), *item;
	const char *image, *runtime, *s;
	size_t i;

	image = json_string_value(json_object_get(all, "Image"));
	log_escape(c->image, sizeof(c->image), image != NULL ? image : "",
	    image != NULL ? strlen(image) : 0);
	runtime = json_string_value(json_object_get(host, "Runtime"));
	c->runtime = runtime != NULL && runtime_byname(runtime) != -1
			 ? (enum runtime)runtime_byname(runtime)
			 : RUNTIME_NONE;
	json_array_foreach (json_object_get(host, "SecurityOpt"), i, item) {
		s = json_string_value(item);
		if (s != NULL && strncmp(s, option, sizeof(option) - 1) == 0 &&
		    s[sizeof(option) - 1] == '{')
			proof_digest(c->profile, s + sizeof(option) - 1);
	}
}

static void
make_inspected(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;
	json_t *pid;
	engine_create_cb cb = c->create_cb;
	int fd = c->fd;

	c->call = NULL;
	pid = json_object_get(json_object_get(a->json, "State"), "Pid");
	if (a->error != ENGINE_OK || !json_is_integer(pid)) {
		docker_make_failed(c,
		    a->error != ENGINE_OK ? a->error : ENGINE_AWAY,
		    a->detail[0] != '\0' ? a->detail
					 : "Docker Engine: no State.Pid",
		    1);
		return;
	}
	c->fd = -1;
	c->state = CONTAINER_UP;
	note_inspected(c, a->json);
	watch_start(c, (pid_t)json_integer_value(pid));
	c->create_cb = NULL;
	cb(c, fd, 1, ENGINE_OK, "", c->arg);
}

static void
make_started(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;

	c->call = NULL;
	if (a->error != ENGINE_OK) {
		docker_make_failed(c, a->error, a->detail, 1);
		return;
	}
	c->call = container_call(c, "GET", "", "/json",
	    docker_deadline(ENGINE_CALL_TIMEOUT, c->deadline), make_inspected);
	if (c->call == NULL)
		make_no_memory(c);
}

static void
make_attached(int fd, enum engine_error error, const char *detail, void *arg)
{
	struct container *c = arg;

	c->attach = NULL;
	c->fd = fd;
	if (error != ENGINE_OK) {
		docker_make_failed(c, error, detail, 1);
		return;
	}
	c->call = container_call(c, "POST", "", "/start",
	    docker_deadline(ENGINE_CALL_TIMEOUT, c->deadline), make_started);
	if (c->call == NULL)
		make_no_memory(c);
}

static void
make_created(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;
	const char *id;

	c->call = NULL;
	if (a->status == 404) {
		docker_make_failed(c, ENGINE_NO_IMAGE,
		    "the image is not in the Docker Engine: run "
		    "\"" BUILD_COMMAND "\", for another python_version "
		    "(" PYTHON_MADE ") with --python X.Y; \"takoctl image "
		    "list\" has what is there",
		    0);
		return;
	}
	/* A client's error made nothing; but 409 is ours of another time. */
	if (a->error != ENGINE_OK) {
		docker_make_failed(c, a->error, a->detail,
		    a->status == 409 || a->status < 400 || a->status >= 500);
		return;
	}
	id = json_string_value(json_object_get(a->json, "Id"));
	if (!docker_id_valid(id)) {
		docker_make_failed(
		    c, ENGINE_AWAY, "Docker Engine: no Id of a container", 1);
		return;
	}
	strlcpy(c->id, id, sizeof(c->id));
	if (c->create_cb == NULL) {
		remove_start(c);
		return;
	}
	if (c->holds) {
		make_attached(-1, ENGINE_OK, "", c);
		return;
	}
	c->attach = docker_attach_start(c->e->base,
	    docker_api_socket(c->e->api), docker_api_version(c->e->api), c->id,
	    docker_deadline(ENGINE_CALL_TIMEOUT, c->deadline), make_attached,
	    c);
	if (c->attach == NULL)
		make_no_memory(c);
}

static int
gpu_nodes(const struct conf_gpu *gpu, enum runtime runtime,
    struct gpu_nodes *found, char *detail, size_t len)
{
	return (gpu->vendor == GPU_NVIDIA
		    ? gpu_toolkit(runtime, detail, len)
		    : gpu_find(gpu, runtime, found, detail, len));
}

static int
docker_gpu(struct engine *e, const struct conf_gpu *gpu, enum runtime runtime,
    char *detail, size_t len)
{
	struct gpu_nodes found;

	(void)e;
	return (gpu_nodes(gpu, runtime, &found, detail, len));
}

/* Begins one, which is told from the loop; the rest is its caller's. */
static struct container *
make_begin(struct engine *e, const char *name, int64_t deadline_us,
    engine_create_cb cb, engine_exit_cb exit_cb, void *arg)
{
	struct container *c;

	if ((c = container_new(e, name)) == NULL)
		fatal(NULL);
	c->create_cb = cb;
	c->exit_cb = exit_cb;
	c->arg = arg;
	c->deadline = deadline_us;
	c->error = ENGINE_TRANSIENT;
	return (c);
}

void
docker_post(struct container *c)
{
	char path[256];

	snprintf(path, sizeof(path), "/containers/create?name=%s", c->name);
	if (c->body != NULL)
		c->call = docker_api_call(c->e->api, "POST", path, c->body,
		    docker_deadline(ENGINE_CALL_TIMEOUT, c->deadline),
		    make_created, c);
	c->body = NULL;
	if (c->call == NULL)
		container_later(c, RETRY_US);
}

/*
 * A user namespace of the engine's has some 65,536 ids: one thousand of those,
 * by chance no other takod's.
 */
static uid_t
ids_in_containers(const struct engine *e)
{
	uid_t block = e->uid_base / IDS_PER_TAKOD;

	return (e->remapped ? (1 + block % 62) * IDS_PER_TAKOD : e->uid_base);
}

void
docker_make(struct engine *e, const struct container_spec *spec,
    const char *const probe[4], int64_t deadline_us, engine_create_cb cb,
    engine_exit_cb exit_cb, void *arg)
{
	struct docker_spec d = { .spec = spec,
		.instance = e->instance,
		.uid_base = ids_in_containers(e),
		.init = e->init,
		.seccomp = e->seccomp,
		.loopback = e->runtime_loopback };
	struct docker_network_paths paths;
	struct gpu_nodes gpu;
	struct container *c;

	if (spec->gpu != NULL && spec->gpu->vendor == GPU_AMD)
		d.gpu = &gpu;
	if (probe != NULL)
		memcpy(d.probe, probe, sizeof(d.probe));
	c = make_begin(e, spec->name, deadline_us, cb, exit_cb, arg);
	c->of_probe = probe != NULL;
	if (spec->gpu != NULL && gpu_nodes(spec->gpu, spec->runtime, &gpu,
				     c->detail, sizeof(c->detail)) == -1) {
		c->error = ENGINE_CONFIG;
		container_later(c, RETRY_US);
		return;
	}
	if (spec->network.kind != NETWORK_NONE) {
		docker_network_make(c, spec, &paths);
		d.network = paths.holder;
		d.hosts = paths.hosts;
		d.resolv = paths.resolv;
	}
	c->body = docker_spec_json(&d);
	if (d.network == NULL)
		docker_post(c);
}

struct container *
docker_hold(struct engine *e, const struct container_spec *spec,
    int64_t deadline_us, engine_create_cb cb, engine_exit_cb exit_cb, void *arg)
{
	struct docker_spec d = { .spec = spec,
		.instance = e->instance,
		.uid_base = ids_in_containers(e),
		.init = e->init,
		.seccomp = e->seccomp,
		.holder = 1 };
	struct container *c;

	c = make_begin(e, spec->name, deadline_us, cb, exit_cb, arg);
	c->holds = 1;
	c->body = docker_spec_json(&d);
	docker_post(c);
	return (c);
}

static void
docker_create(struct engine *e, const struct container_spec *spec,
    int64_t deadline_us, engine_create_cb cb, engine_exit_cb exit_cb, void *arg)
{
	docker_make(e, spec, NULL, deadline_us, cb, exit_cb, arg);
}

/*
 * While the engine is just making it, a removal that finds nothing proves
 * nothing: only its answer (or that none comes in time) ends the doubt.
 */
void
docker_create_cancel(struct engine *e, engine_done_cb cb, void *arg)
{
	struct container *c;

	TAILQ_FOREACH (c, &e->containers, entry)
		if (c->create_cb != NULL && c->arg == arg)
			break;
	if (c == NULL)
		return;
	c->create_cb = NULL;
	c->done_cb = cb;
	c->done_arg = arg;
	if (c->state != CONTAINER_MAKING)
		return;
	if (c->id[0] != '\0')
		remove_start(c);
	else if (c->body != NULL)
		docker_remove_end(c, ENGINE_OK, "");
}

/* ---- ending one --------------------------------------------------------- */

static void
kill_done(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;

	(void)a; /* whether it ended is seen by its end */
	c->kill_call = NULL;
}

/* Past the engine if possible: a job's time is up also while that hangs. */
static void
docker_kill(struct engine *e, struct container *c)
{
	int first;

	if (c->state != CONTAINER_UP || c->kill_call != NULL)
		return;
	first = !c->killed;
	c->killed = 1;
	if (first && c->group[0] != '\0' && cgroup_frozen(e->cgroups, c->group))
		c->outside = 1;
	/* A second time the engine is asked: it may have been paused. */
	if (first && c->pidfd != -1 &&
	    pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0) == 0)
		return;
	c->kill_call = container_call(c, "POST", "", "/kill?signal=KILL",
	    docker_deadline(ENGINE_CALL_TIMEOUT, 0), kill_done);
}

static int
docker_facts(
    struct engine *e, struct container *c, struct container_facts *facts)
{
	(void)e;
	if (c->state == CONTAINER_UP)
		docker_facts_read(c->e->cgroups, c->group, &c->facts);
	*facts = c->facts;
	facts->outside = c->outside;
	return (facts->oom_kills == -1 ? -1 : 0);
}

static json_t *
docker_proof(struct engine *e, struct container *c)
{
	json_t *o = NULL;

	/* Without pidfd the engine may be elsewhere: its numbers say nothing.
	 */
	if (c->state == CONTAINER_UP && c->pidfd != -1)
		o = proof_read(c->pid, c->runtime == RUNTIME_RUNSC, e->cgroups,
		    c->group, c->profile[0] != '\0' ? c->profile : NULL);
	if (o == NULL && (o = json_object()) == NULL)
		return (NULL);
	json_object_set_new(o, "image",
	    c->image[0] == '\0' ? json_null() : json_string(c->image));
	json_object_set_new(o, "runtime",
	    c->runtime == RUNTIME_NONE ? json_null()
				       : json_string(runtime_name(c->runtime)));
	/* The engine does not say which version of a runtime it has. */
	json_object_set_new(o, "runtime_version", json_null());
	json_object_set_new(o, "engine_version",
	    e->version[0] == '\0' ? json_null() : json_string(e->version));
	return (o);
}

/*
 * An engine that was killed within a start may know of no process of a
 * container that it starts no more, and remove that: its processes go on. They
 * are ours by the container's id, which is in the name of their control group.
 */
static void
remove_orphans(struct container *c)
{
	struct engine *e = c->e;
	unsigned n;

	if (e->cgroups == NULL || c->id[0] == '\0')
		return;
	if (c->group[0] == '\0' && ((c->sweep == NULL && e->sweeps_due == 0) ||
				       cgroup_find(e->cgroups, c->id, c->group,
					   sizeof(c->group)) == -1))
		return;
	if ((n = cgroup_kill(e->cgroups, c->group)) > 0)
		log_warnx("container %.12s: the engine removed it, and left %u "
			  "processes: killed",
		    c->id, n);
}

void
docker_remove_end(
    struct container *c, enum engine_error error, const char *detail)
{
	engine_create_cb create_cb = c->create_cb;
	engine_done_cb cb = c->done_cb;
	void *create_arg = c->arg, *arg = c->done_arg;
	enum engine_error why = c->error;
	struct sweep *sweep = c->sweep;
	char why_text[sizeof(c->detail)];

	if (error != ENGINE_OK)
		c->e->sweeps_due = SWEEPS;
	else
		remove_orphans(c);
	if (c->holder != NULL) {
		container_quiet(c);
		c->state = CONTAINER_REMOVING;
		docker_network_end(c);
		return;
	}
	strlcpy(why_text, c->detail, sizeof(why_text));
	container_free(c);
	if (create_cb != NULL)
		create_cb(NULL, -1, 0, why, why_text, create_arg);
	if (sweep != NULL)
		sweep_part(sweep, error, detail);
	if (cb != NULL)
		cb(error, detail, arg);
}

static void
remove_done(const struct docker_answer *a, void *arg)
{
	struct container *c = arg;

	c->call = NULL;
	if (a->error == ENGINE_OK || a->status == 404)
		docker_remove_end(c, ENGINE_OK, "");
	else if (a->status == 409 && time_mono_us() < c->deadline)
		container_later(c, RETRY_US);
	else if (c->done_cb != NULL && !c->of_probe) {
		/* Its slot is not another's before this one is gone. */
		if (!c->stuck)
			log_error("container %s is not removed: %s; "
				  "its slot stays taken until it is",
			    c->name, a->detail);
		c->stuck = 1;
		c->deadline =
		    docker_deadline(ENGINE_CALL_TIMEOUT, 0) + AGAIN_US;
		container_later(c, AGAIN_US);
	} else
		docker_remove_end(c, a->error, a->detail);
}

static void
remove_try(struct container *c)
{
	c->call = container_call(
	    c, "DELETE", "", "?force=1&v=1", c->deadline, remove_done);
	if (c->call == NULL)
		container_later(c, RETRY_US);
}

static void
remove_start(struct container *c)
{
	container_quiet(c);
	c->state = CONTAINER_REMOVING;
	c->deadline = docker_deadline(ENGINE_CALL_TIMEOUT, 0);
	remove_try(c);
}

void
docker_remove(
    struct engine *e, struct container *c, engine_done_cb cb, void *arg)
{
	(void)e;
	c->done_cb = cb;
	c->done_arg = arg;
	remove_start(c);
}

/* ---- looking for what nobody knows -------------------------------------- */

/* One part of a sweep ended; the last one ends the sweep. */
static void
sweep_part(struct sweep *s, enum engine_error error, const char *detail)
{
	struct engine *e = s->ask.e;
	engine_done_cb cb = s->cb;
	void *arg = s->arg;
	char text[SWEEP_DETAIL];

	if (error != ENGINE_OK && s->error == ENGINE_OK) {
		s->error = error;
		strlcpy(s->detail, detail, sizeof(s->detail));
	}
	if (--s->pending > 0)
		return;
	error = s->error;
	strlcpy(text, s->detail, sizeof(text));
	if (error == ENGINE_OK && s->found == 0 && e->sweeps_due > 0)
		e->sweeps_due--;
	e->sweeping--;
	docker_ask_end(&s->ask);
	if (cb != NULL)
		cb(error, text, arg);
}

static void
sweep_one(struct sweep *s, const json_t *row)
{
	struct engine *e = s->ask.e;
	struct container *c;
	const char *id, *name, *label;
	json_t *labels = json_object_get(row, "Labels");

	id = json_string_value(json_object_get(row, "Id"));
	name = json_string_value(json_object_get(labels, LABEL_NAME));
	label = json_string_value(json_object_get(labels, LABEL_INSTANCE));
	if (!docker_id_valid(id) || label == NULL ||
	    strcmp(label, e->instance) != 0)
		return;
	if (container_find(e, name != NULL ? name : "", id) != NULL)
		return;
	s->found++;
	if ((c = container_new(e, id)) == NULL)
		return; /* the next one has it */
	log_info("removing container %.12s, left over", id);
	strlcpy(c->id, id, sizeof(c->id));
	c->sweep = s;
	s->pending++;
	remove_start(c);
}

static void
sweep_listed(const struct docker_answer *a, void *arg)
{
	struct sweep *s = arg;
	json_t *row;
	size_t i;

	if (a->error == ENGINE_OK && json_is_array(a->json)) {
		json_array_foreach (a->json, i, row)
			sweep_one(s, row);
		sweep_part(s, ENGINE_OK, "");
	} else
		sweep_part(s, a->error != ENGINE_OK ? a->error : ENGINE_AWAY,
		    a->error != ENGINE_OK ? a->detail
					  : "Docker Engine: no list");
}

void
docker_sweep(struct engine *e, engine_done_cb cb, void *arg)
{
	struct sweep *s;
	char path[256];

	snprintf(path, sizeof(path),
	    "/containers/json?all=1&filters="
	    "%%7B%%22label%%22%%3A%%5B%%22" LABEL_INSTANCE "%%3D%s%%22%%5D%%7D",
	    e->instance);
	if ((s = calloc(1, sizeof(*s))) == NULL)
		fatal(NULL);
	s->pending = 1;
	s->cb = cb;
	s->arg = arg;
	e->sweeping++;
	docker_ask_add(e, &s->ask, docker_ask_free);
	if (docker_api_call(e->api, "GET", path, NULL,
		docker_deadline(ENGINE_CALL_TIMEOUT, 0), sweep_listed,
		s) == NULL)
		fatal(NULL);
}

static void
docker_reconcile(struct engine *e, engine_done_cb cb, void *arg)
{
	docker_network_reconcile(e);
	/* Due until one was answered, and found nothing. */
	if (e->sweeps_due == 0)
		e->sweeps_due = 1;
	docker_sweep(e, cb, arg);
}

/* ---- life --------------------------------------------------------------- */

static void
docker_close(struct engine *e)
{
	struct container *c;
	struct ask *ask;

	while ((c = TAILQ_FIRST(&e->containers)) != NULL)
		container_free(c);
	if (e->api != NULL)
		docker_api_close(e->api);
	while ((ask = TAILQ_FIRST(&e->asks)) != NULL)
		docker_ask_end(ask);
	network_close(e->net);
	if (e->cgroups != NULL)
		cgroups_free(e->cgroups);
	free(e->seccomp);
	free(e);
}

static const char *
docker_describe(struct engine *e)
{
	return (e->about);
}

/* The instance goes into a query and into names. */
static int
instance_valid(const char *instance)
{
	return (instance[0] != '\0' && strlen(instance) < 64 &&
		strspn(instance, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		    strlen(instance));
}

static struct engine *
docker_open(struct event_base *base, const struct conf *conf,
    const char *instance, uid_t uid_base, char *detail, size_t len)
{
	struct engine *e;
	char none[256];

	if ((e = calloc(1, sizeof(*e))) == NULL)
		fatal(NULL);
	TAILQ_INIT(&e->containers);
	TAILQ_INIT(&e->asks);
	e->base = base;
	e->conf = conf;
	e->uid_base = uid_base;
	strlcpy(e->instance, instance, sizeof(e->instance));
	snprintf(e->about, sizeof(e->about), "Docker Engine, not asked yet");
	/* Without them the engine's word has to do: it may be elsewhere. */
	e->cgroups = cgroups_open(NULL, none, sizeof(none));
	if (!instance_valid(instance))
		snprintf(detail, len, "not a name for containers: instance");
	else if (program_path(e->init, sizeof(e->init), "tako-init") == -1)
		snprintf(detail, len, "tako-init: %s", strerror(errno));
	else if (conf->enable_seccomp &&
		 (e->seccomp = seccomp_job_json(conf, detail, len)) == NULL)
		; /* detail is filled */
	else if ((e->api = docker_api_open(
		      base, conf->docker_host, detail, len)) != NULL) {
		e->net = network_open(base, conf, ID_NETWORK(uid_base));
		/* As shut.c has it: from now on that stays so. */
		if ((e->may_network = conf_may_network(conf)))
			(void)docker_no_network(e, 1);
		return (e);
	}
	docker_close(e);
	return (NULL);
}

const struct engine_ops engine_docker = {
	.name = "docker",
	.open = docker_open,
	.close = docker_close,
	.probe = docker_probe,
	.ping = docker_ping,
	.create = docker_create,
	.create_cancel = docker_create_cancel,
	.kill = docker_kill,
	.facts = docker_facts,
	.inquire = docker_inquire,
	.no_network = docker_no_network,
	.network = docker_network_facts,
	.gpu = docker_gpu,
	.proof = docker_proof,
	.remove = docker_remove,
	.reconcile = docker_reconcile,
	.image = docker_image,
	.describe = docker_describe,
};
