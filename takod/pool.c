/*
 * pool.c: slots. A slot is a worker process and a container, made together,
 * for one job; it is made ahead of need while the configuration keeps a warm
 * pool, else when a job waits for it, and is gone after its job. Runs in the
 * parent.
 *
 *	FREE -> STARTING	worker spawned, engine asked for a container
 *	STARTING -> READY	tako-init's interpreter waits for its code
 *	READY -> RUNNING	a job was handed over
 *	any -> ENDING -> FREE	killed, and all that was made is removed
 *
 * A slot's index picks the ids of its worker and of its container on the host,
 * so it is not free before both are proven gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dirent.h>
#include <sys/stat.h>

#include "event_arm.h"
#include "failpoint.h"
#include "log.h"
#include "python.h"
#include "takod.h"
#include "util.h"

/* How long a slot that no job waits for may take to be ready. */
#define START_LIMIT_S 60
/* A worker's sandbox is on so soon after it was told its job. */
#define SETUP_LIMIT_MS 10000
/* A job that begins has the processors so long before another slot is made. */
#define SOON_MS 25

struct slot slots[MAX_SLOTS];

static uint64_t serial;
static unsigned wanted; /* slots that should wait */
static struct event *fill_soon;

static void slot_settle(struct slot *);
static void slot_hand_stream(struct slot *);
static void slot_prove(struct slot *);

static unsigned
count(enum slot_state state)
{
	unsigned i, n = 0;

	for (i = 0; i < MAX_SLOTS; i++)
		n += slots[i].state == state;
	return (n);
}

void
pool_counts(unsigned *ready, unsigned *starting, unsigned *wanted_slots)
{
	*wanted_slots = wanted;
	*ready = count(SLOT_READY);
	*starting = count(SLOT_STARTING);
}

int
pool_empty(void)
{
	return (count(SLOT_FREE) == MAX_SLOTS);
}

/* ---- the folder that a job's artifacts arrive in ---------------------------
 */

static int
spool_path(const struct slot *s, char *path, size_t len)
{
	return (snprintf(path, len, "spool/%s", s->name));
}

int
pool_spool_fd(const struct slot *s)
{
	char path[128];

	spool_path(s, path, sizeof(path));
	return (openat(env.data_fd, path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* The worker may create there and do nothing else: mode 0300. */
static int
spool_make(const struct slot *s, uid_t uid, gid_t gid)
{
	char path[128];
	int fd;

	spool_path(s, path, sizeof(path));
	if (mkdirat(env.data_fd, path, 0700) == -1 ||
	    (fd = pool_spool_fd(s)) == -1)
		return (-1);
	if (fchown(fd, uid, gid) == -1 || fchmod(fd, 0300) == -1)
		close_fd(&fd);
	return (fd);
}

/* In it are numbers that a worker created, no folders. */
void
pool_folder_remove(const char *path)
{
	struct dirent *e;
	int fd;
	DIR *d;

	fd = openat(
	    env.data_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close_fd(&fd);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	if (unlinkat(env.data_fd, path, AT_REMOVEDIR) == -1 && errno != ENOENT)
		log_warn("cannot remove %s", path);
}

static void
spool_remove(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "spool/%s", name);
	pool_folder_remove(path);
}

static void
fill_due(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	pool_fill();
}

void
pool_init(void)
{
	struct dirent *e;
	unsigned i;
	int fd;
	DIR *d;

	for (i = 0; i < MAX_SLOTS; i++) {
		slots[i].index = (int)i;
		slots[i].stream = -1;
	}
	if ((fill_soon = evtimer_new(env.base, fill_due, NULL)) == NULL)
		fatal(NULL);
	/* Names must not meet those of a former life. */
	serial = (uint64_t)time_wall_us() / 1000;
	if (make_dir(env.data_fd, "spool", 0711) == -1)
		fatal("data_dir");
	fd = openat(env.data_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || (d = fdopendir(fd)) == NULL)
		fatal("data_dir: spool");
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			spool_remove(e->d_name);
	closedir(d);
}

/* ---- making one ------------------------------------------------------------
 */

static void
slot_failed(struct slot *s, enum engine_error error, const char *place,
    const char *detail)
{
	struct run *run = s->run;

	s->run = NULL;
	pool_end(s, detail);
	if (run != NULL)
		run_slot_failed(run, error, place, detail);
}

int
pool_preload_failed(struct slot *s, const char *why)
{
	struct slot_kind kind = { .type =
				      conf_job_type(env.conf, s->job_type) };
	struct container_facts facts = { .oom_kills = -1 };
	struct run *run = s->run;

	if (s->state != SLOT_STARTING || s->preload == NULL ||
	    s->container == NULL)
		return (0);
	env.engine_ops->facts(env.engine, s->container, &facts);
	if (facts.oom_kills > 0)
		why = "it takes more than memory_limit";
	warm_preload_failed(s, why);
	strlcpy(kind.layer, s->layer, sizeof(kind.layer));
	s->run = NULL;
	pool_end(s, why);
	if (run != NULL && kind.type != NULL)
		run_slot(run, &kind);
	else if (run != NULL)
		run_slot_failed(run, ENGINE_TRANSIENT, "slot", why);
	else
		queue_kick();
	return (1);
}

static void
slot_late(int fd, short events, void *arg)
{
	struct slot *s = arg;

	(void)fd;
	(void)events;
	if (s->state != SLOT_STARTING ||
	    pool_preload_failed(s, "it takes too long"))
		return;
	engine_state_failed(ENGINE_DEADLINE, "a slot was not ready in time");
	slot_failed(
	    s, ENGINE_DEADLINE, "sandbox", "the sandbox was not ready in time");
}

static void
worker_gone(struct child *c, void *arg)
{
	struct slot *s = arg;
	enum slot_state was = s->state;

	(void)c;
	s->worker = NULL;
	if (was == SLOT_STARTING)
		slot_failed(s, ENGINE_TRANSIENT, "worker", "its worker ended");
	else if (was == SLOT_READY)
		pool_end(s, "its worker ended");
	else if (was == SLOT_RUNNING && s->run != NULL)
		run_worker_gone(s->run, "its worker ended");
	else
		slot_settle(s);
}

static void
container_exited(struct container *ct, void *arg)
{
	struct slot *s = arg;

	(void)ct;
	s->dead = 1;
	switch (s->state) {
	case SLOT_STARTING:
		if (pool_preload_failed(s, "it ended"))
			break;
		engine_state_failed(
		    ENGINE_TRANSIENT, "a sandbox ended before it was ready");
		slot_failed(s, ENGINE_TRANSIENT, "sandbox",
		    "the sandbox ended before it was ready");
		break;
	case SLOT_READY:
		pool_end(s, "its sandbox ended while it waited");
		break;
	case SLOT_RUNNING:
		if (s->run != NULL)
			run_slot_dead(s->run);
		break;
	case SLOT_FREE:
	case SLOT_ENDING:
		break;
	}
}

static void
slot_hurry(struct slot *s)
{
	if (!s->ahead || s->container == NULL)
		return;
	s->ahead = 0;
	if (env.engine_ops->hurry != NULL)
		env.engine_ops->hurry(env.engine, s->container);
}

static void
container_created(struct container *ct, int fd, int mux,
    enum engine_error error, const char *detail, void *arg)
{
	struct slot *s = arg;

	s->creating = 0;
	if (error == ENGINE_NO_IMAGE || error == ENGINE_CONFIG)
		/* This kind cannot be made; the engine is well. */
		warm_config_failed(s, detail);
	else if (error != ENGINE_OK)
		engine_state_failed(error, detail);
	if (error != ENGINE_OK) {
		if (s->state == SLOT_STARTING)
			slot_failed(s, error, "slot", detail);
		else
			slot_settle(s);
		return;
	}
	s->container = ct;
	s->stream = fd;
	s->mux = mux;
	if (s->state != SLOT_STARTING) {
		close_fd(&s->stream);
		slot_settle(s);
		return;
	}
	if (s->run != NULL)
		slot_hurry(s);
	FAILPOINT("takod.created");
	slot_hand_stream(s);
}

/*
 * What is known of this container in particular, and of its engine and runtime
 * since they were probed. Read once tako-init has spoken: before that, the
 * container's first process may be the runtime's yet.
 */
static void
slot_prove(struct slot *s)
{
	s->proof = env.engine_ops->proof(env.engine, s->container);
	if (s->proof == NULL && (s->proof = json_object()) == NULL)
		return;
	json_object_set_new(s->proof, "kernel", json_string(env.probe.kernel));
}

/* The worker gets its caps, the artifact folder and the container's stream. */
static void
slot_hand_stream(struct slot *s)
{
	const struct conf *cf = env.conf;
	struct msg_worker_setup m;
	struct msg_worker_stream st;
	int dir, r;

	dir = spool_make(s, s->worker->uid,
	    env.worker_uid != 0 ? env.worker_gid : s->worker->uid);
	if (dir == -1) {
		log_warn("spool folder of %s", s->name);
		slot_failed(s, ENGINE_TRANSIENT, "node", "no spool folder");
		return;
	}
	s->max_stdout = cf->max_stdout_bytes;
	s->max_stderr = cf->max_stderr_bytes;
	s->max_artifact = cf->max_artifact_bytes;
	s->max_artifacts_total = cf->max_total_artifacts_bytes;
	memset(&m, 0, sizeof(m));
	if (s->run != NULL && s->run->build != NULL) {
		s->max_artifact = LAYER_MAX_TAR;
		s->max_artifacts_total = 2 * LAYER_MAX_TAR;
		m.live = 1;
	}
	m.token = s->token;
	m.mux = s->mux != 0;
	m.max_stdout = s->max_stdout;
	m.max_stderr = s->max_stderr;
	m.max_result = s->max_artifact;
	m.max_artifact = s->max_artifact;
	m.max_artifacts_total = s->max_artifacts_total;
	m.max_artifacts = MAX_ARTIFACTS;
	memset(&st, 0, sizeof(st));
	st.token = s->token;
	r = proc_send(s->worker, MSG_T_WORKER_SETUP, 0, &m, dir);
	if (r == 0)
		r = proc_send(
		    s->worker, MSG_T_WORKER_STREAM, 0, &st, s->stream);
	close_fd(&dir);
	/* From here on the stream is the worker's alone. */
	close_fd(&s->stream);
	if (r == -1)
		slot_failed(s, ENGINE_TRANSIENT, "worker",
		    "its worker takes no frames");
	else
		proc_deadline(s->worker, SETUP_LIMIT_MS);
}

static void
slot_preload(
    struct slot *s, const struct conf_list *modules, char *names, size_t len)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < modules->n; i++) {
		if (i > 0)
			strlcat(names, ",", len);
		strlcat(names, modules->items[i], len);
		json_array_append_new(list, json_string(modules->items[i]));
	}
	s->preload = json_pack("{s:o, s:[]}", "modules", list, "failed");
}

/* us from now */
static void
slot_deadline(struct slot *s, int64_t us)
{
	struct timeval tv = { us / 1000000, us % 1000000 };

	event_arm(s->deadline, &tv);
}

static struct slot *
slot_start(const struct slot_kind *kind, int64_t deadline, struct run *run)
{
	const struct conf_job_type *jt = kind->type;
	const struct conf *cf = env.conf;
	struct container_spec spec;
	struct slot *s = NULL;
	char app[PATH_MAX], layer[PATH_MAX], image[PYTHON_IMAGE];
	char preload[CONF_MAX_PRELOAD * (CONF_MAX_MODULE + 1) + 1] = "";
	uid_t uid;
	gid_t gid;
	int i;

	for (i = 0; i < MAX_SLOTS && s == NULL; i++)
		if (slots[i].state == SLOT_FREE)
			s = &slots[i];
	if (s == NULL)
		return (NULL);
	s->dead = s->creating = s->removing = 0;
	s->layer[0] = '\0';
	s->container = NULL;
	s->serial = ++serial;
	snprintf(s->name, sizeof(s->name), "takod-%s-%llu", env.instance,
	    (unsigned long long)s->serial);
	strlcpy(s->job_type, jt->name, sizeof(s->job_type));
	arc4random_buf(&s->token, sizeof(s->token));
	s->token |= 1; /* never 0 */
	s->began = time_mono_us();
	s->run = run;
	uid = env.worker_uid != 0 ? env.worker_uid
				  : ID_WORKER(env.uid_base, s->index);
	gid = env.worker_uid != 0 ? env.worker_gid : uid;
	s->worker = proc_spawn(FROM_WORKER, uid, gid, worker_gone, s);
	if (s->worker == NULL) {
		s->run = NULL;
		return (NULL);
	}
	/* It hears nothing until the container is there. */
	proc_deadline(s->worker, 0);
	s->state = SLOT_STARTING;
	if (s->deadline == NULL &&
	    (s->deadline = evtimer_new(env.base, slot_late, s)) == NULL) {
		s->run = NULL;
		pool_end(s, "no memory");
		return (NULL);
	}
	if (deadline == 0)
		deadline = s->began + START_LIMIT_S * 1000000LL;
	memset(&spec, 0, sizeof(spec));
	if ((run == NULL || run->build == NULL) && warm_preload(kind)) {
		/* So that there is time for a slot without. */
		deadline = s->began + (run != NULL ? run->job->startup_timeout
						   : jt->startup_timeout) *
					  500000LL;
		slot_preload(s, &jt->preload, preload, sizeof(preload));
		spec.preload = preload;
	}
	slot_deadline(s, deadline - s->began);
	spec.name = s->name;
	spec.image = layer_image(jt, image);
	spec.runtime = env.runtime;
	spec.slot = s->index;
	spec.ahead = s->ahead = run == NULL;
	spec.memory = jt->memory_limit;
	spec.cpus = jt->cpu_limit;
	spec.pids = cf->container_limits.pids_limit;
	spec.limits = &cf->container_limits;
	spec.environment = &jt->environment;
	if (jt->shared_code.n > 0) {
		s->shared = shared_code_hold();
		shared_code_path(s->shared, jt->name, app, sizeof(app));
		spec.app = app;
	}
	if (kind->layer[0] != '\0') {
		strlcpy(s->layer, kind->layer, sizeof(s->layer));
		s->held = layer_hold(s->layer, layer, sizeof(layer));
		spec.layer = layer;
	}
	/* A page and its directory entry beside the one file. */
	spec.code_size = cf->max_code_bytes + 65536;
	spec.input_size = cf->max_input_bytes + 65536;
	/* What is kept at the most, and one file more that is not. */
	spec.output_size =
	    cf->max_total_artifacts_bytes + cf->max_artifact_bytes;
	if (jt->network_enabled)
		spec.network.kind =
		    jt->allowed_hosts.n > 0 ? NETWORK_HOSTS : NETWORK_PUBLIC;
	spec.network.hosts = &jt->allowed_hosts;
	s->network = jt->network_enabled;
	spec.gpu = jt->gpu.enabled ? &jt->gpu : NULL;
	spec.seccomp = cf->enable_seccomp;
	spec.caps = cf->enable_cap_restrictions;
	spec.userns = cf->enable_userns;
	if (run != NULL && run->build != NULL)
		layer_build_spec(&spec, run->job->code, run->job->input);
	s->creating = 1;
	env.engine_ops->create(env.engine, &spec, deadline, container_created,
	    container_exited, s);
	FAILPOINT("takod.creating");
	return (s);
}

void
pool_worker_ready(struct slot *s, uint32_t unloaded)
{
	event_del(s->deadline);
	engine_state_worked();
	if (s->state != SLOT_STARTING)
		return;
	slot_hurry(s);
	slot_prove(s);
	warm_made(s);
	if (s->preload != NULL)
		warm_preloaded(s, unloaded);
	/* One that a run waits for is taken: its end is the run's to hear. */
	s->state = s->run != NULL ? SLOT_RUNNING : SLOT_READY;
	log_debug("%s: ready after %lld ms", s->name,
	    (long long)(time_mono_us() - s->began) / 1000);
	if (s->run != NULL)
		run_slot_ready(s->run);
	else
		queue_kick();
	pool_fill();
}

/* ---- giving them out
 * --------------------------------------------------------- */

static int
is_kind(const struct slot *s, const struct slot_kind *kind)
{
	return (strcmp(s->job_type, kind->type->name) == 0 &&
		strcmp(s->layer, kind->layer) == 0);
}

struct slot *
pool_take(const struct slot_kind *kind)
{
	struct slot *s, *oldest = NULL;
	int i;

	for (i = 0; i < MAX_SLOTS; i++) {
		s = &slots[i];
		if (s->state == SLOT_READY && s->run == NULL && !s->dead &&
		    s->worker->why == NULL && is_kind(s, kind) &&
		    (oldest == NULL || s->serial < oldest->serial))
			oldest = s;
	}
	if (oldest != NULL)
		oldest->state = SLOT_RUNNING;
	return (oldest);
}

void
pool_give_back(struct slot *s)
{
	if (s->state != SLOT_RUNNING)
		return;
	if (s->dead || s->worker == NULL)
		pool_end(s, "it ended while it was reserved");
	else
		s->state = SLOT_READY;
}

struct slot *
pool_assign(const struct slot_kind *kind, struct run *run)
{
	struct slot *s;
	int64_t deadline;
	int i;

	if (run->build == NULL && (s = pool_take(kind)) != NULL) {
		s->run = run;
		return (s);
	}
	for (i = 0; i < MAX_SLOTS && run->build == NULL; i++) {
		s = &slots[i];
		if (s->state == SLOT_STARTING && s->run == NULL &&
		    is_kind(s, kind) &&
		    (s->preload == NULL || warm_preload(kind))) {
			s->run = run;
			slot_hurry(s);
			if (s->preload != NULL)
				slot_deadline(
				    s, run->job->startup_timeout * 500000LL);
			return (s);
		}
	}
	/* The run's own timer ends it first: that is the startup timeout. */
	deadline = run->claimed + (run->job->startup_timeout + 1) * 1000000LL;
	return (slot_start(kind, deadline, run));
}

/* Slots of a kind that no job has yet. */
static int
unassigned(const struct slot_kind *kind)
{
	int i, n = 0;

	for (i = 0; i < MAX_SLOTS; i++)
		if ((slots[i].state == SLOT_READY ||
			slots[i].state == SLOT_STARTING) &&
		    slots[i].run == NULL && is_kind(&slots[i], kind))
			n++;
	return (n);
}

/*
 * Is there room to make another slot that nobody waits for? While jobs find
 * one ready a processor is left to them.
 */
static int
may_make(const struct slot_kind *kind)
{
	static long processors;
	long making = 0, most;
	int i, ready = 0;

	if (processors == 0)
		processors = sysconf(_SC_NPROCESSORS_ONLN);
	for (i = 0; i < MAX_SLOTS; i++) {
		making += slots[i].state == SLOT_STARTING;
		ready |=
		    slots[i].state == SLOT_READY && is_kind(&slots[i], kind);
	}
	if (!engine_state_usable())
		return (0);
	most = ready && processors > 1 ? processors - 1 : processors;
	/* A half-open breaker is tried by one at a time. */
	return (making < (env.breaker.state == BREAKER_HALF_OPEN ? 1 : most));
}

void
pool_fill_kind(const struct slot_kind *kind, int want, int make)
{
	int i, have = unassigned(kind);

	if (queue_type_refused(kind->type, NULL, 0))
		make = 0;
	for (; make && have < want && may_make(kind); have++)
		if (slot_start(kind, 0, NULL) == NULL)
			return;
	/* One more is left, lest it be made anew at once. */
	for (i = 0; i < MAX_SLOTS && have > (want == 0 ? 0 : want + 1); i++)
		if (slots[i].state == SLOT_READY && slots[i].run == NULL &&
		    is_kind(&slots[i], kind)) {
			pool_end(&slots[i], "nobody asks for it");
			have--;
		}
}

void
pool_fill(void)
{
	if (!env.stopping && env.ready)
		wanted = warm_fill();
}

void
pool_fill_soon(void)
{
	static const struct timeval soon = { 0, SOON_MS * 1000 };

	if (!evtimer_pending(fill_soon, NULL))
		event_arm(fill_soon, &soon);
}

/* ---- taking one down
 * ---------------------------------------------------------- */

static void
removed(enum engine_error error, const char *detail, void *arg)
{
	struct slot *s = arg;

	(void)error;
	(void)detail;
	s->container = NULL;
	s->removing = 0;
	slot_settle(s);
}

/*
 * Goes on with an ending slot: the container is removed while the worker is
 * being reaped, and the slot is free when neither is left.
 */
static void
slot_settle(struct slot *s)
{
	if (s->state != SLOT_ENDING)
		return;
	if (s->container != NULL && !s->removing) {
		s->removing = 1;
		env.engine_ops->remove(env.engine, s->container, removed, s);
	}
	if (s->worker != NULL || s->creating || s->removing)
		return;
	spool_remove(s->name);
	shared_code_release(s->shared);
	s->shared = NULL;
	if (s->held != NULL)
		layer_release(s->held);
	s->held = NULL;
	s->layer[0] = '\0';
	json_decref(s->proof);
	s->proof = NULL;
	json_decref(s->preload);
	s->preload = NULL;
	log_debug("%s: gone", s->name);
	FAILPOINT("takod.removed");
	s->state = SLOT_FREE;
	takod_check_stopped();
}

void
pool_kill(struct slot *s)
{
	if (s->container != NULL && !s->dead && s->state != SLOT_ENDING)
		env.engine_ops->kill(env.engine, s->container);
}

void
pool_end(struct slot *s, const char *why)
{
	if (s->state == SLOT_ENDING || s->state == SLOT_FREE)
		return;
	s->state = SLOT_ENDING;
	log_debug("%s: ends%s%s", s->name, why != NULL ? ": " : "",
	    why != NULL ? why : "");
	if (s->deadline != NULL)
		event_del(s->deadline);
	close_fd(&s->stream);
	if (s->creating) {
		s->creating = 0;
		s->removing = 1;
		env.engine_ops->create_cancel(env.engine, removed, s);
	}
	if (s->worker != NULL)
		proc_kill(s->worker, "its slot ends");
	slot_settle(s);
}

void
pool_retire(void)
{
	int i;

	for (i = 0; i < MAX_SLOTS; i++)
		if (slots[i].run == NULL &&
		    (slots[i].state == SLOT_READY ||
			slots[i].state == SLOT_STARTING))
			pool_end(&slots[i], "the configuration has changed");
}

int
pool_uses_layer(const char *key)
{
	const struct slot *s;

	for (s = slots; s < slots + MAX_SLOTS; s++)
		if (s->state != SLOT_FREE && s->state != SLOT_ENDING &&
		    (s->run != NULL || s->state == SLOT_RUNNING) &&
		    strcmp(s->layer, key) == 0)
			return (1);
	return (0);
}

int
pool_retire_layer(const char *key)
{
	struct slot *s;

	if (pool_uses_layer(key))
		return (-1);
	for (s = slots; s < slots + MAX_SLOTS; s++)
		if (strcmp(s->layer, key) == 0)
			pool_end(s, "its packages are removed");
	return (0);
}
