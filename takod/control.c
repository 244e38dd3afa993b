/*
 * control.c: takoctl's side of the daemon. Runs in the parent, and is where
 * the parent parses another program's bytes: the socket is 0660, its owner is
 * root, the peer's uid comes from the kernel, a frame is at most 4 KiB of the
 * catalogue's types, the first one must be CTL_HELLO, clients are bounded. A
 * fault closes that client's connection and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define CONTROL_CLIENTS 32
#define CONTROL_IDLE_S	60

struct client {
	TAILQ_ENTRY(client) entry;
	uint64_t serial; /* callbacks name it by this, not by address */
	uid_t uid;
	int greeted;
	struct imsgev *iev;
	struct event *idle;
};
static TAILQ_HEAD(, client) clients = TAILQ_HEAD_INITIALIZER(clients);

static int control_fd = -1;
static char control_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static struct event *control_ev, *control_again;
static uint64_t serials;
static unsigned n_clients;

static void
client_free(struct client *c)
{
	import_gone(c->serial);
	TAILQ_REMOVE(&clients, c, entry);
	n_clients--;
	event_free(c->idle);
	imsgev_free(c->iev);
	free(c);
}

static struct client *
client_find(uint64_t id)
{
	struct client *c;

	TAILQ_FOREACH (c, &clients, entry)
		if (c->serial == id)
			return (c);
	return (NULL);
}

static int
client_send(struct client *c, uint32_t type, const void *m)
{
	return (imsgev_compose(c->iev, type, 0, m, -1));
}

static void
client_end(struct client *c, enum rep error, const char *detail)
{
	struct msg_ctl_end m;

	memset(&m, 0, sizeof(m));
	m.error = error;
	strlcpy(m.detail, detail, sizeof(m.detail));
	client_send(c, MSG_T_CTL_END, &m);
}

/* ---- answers
 * -------------------------------------------------------------------- */

static void
answer_status(struct client *c)
{
	struct msg_rep_stats stats;
	struct msg_ctl_daemon m;
	size_t i;

	reply_stats_fill(&stats);
	client_send(c, MSG_T_REP_STATS, &stats);
	memset(&m, 0, sizeof(m));
	m.pid = (uint64_t)getpid();
	strlcpy(m.version, TAKO_VERSION, sizeof(m.version));
	strlcpy(m.instance, env.instance, sizeof(m.instance));
	if (env.conf->path != NULL)
		strlcpy(m.config, env.conf->path, sizeof(m.config));
	strlcpy(m.data_dir, env.conf->data_dir, sizeof(m.data_dir));
	for (i = 0; i < listen_count(); i++) {
		if (i > 0)
			strlcat(m.listen, " ", sizeof(m.listen));
		strlcat(m.listen, listen_at(i)->name, sizeof(m.listen));
	}
	m.uptime_ms = (uint64_t)(time_mono_us() - env.started) / 1000;
	m.draining = env.draining != 0;
	m.log_level = log_get_level();
	m.jobs_done = env.jobs_done;
	m.violations = env.violations;
	m.respawns = env.respawns;
	client_send(c, MSG_T_CTL_DAEMON, &m);
	client_end(c, REP_NONE, "");
}

static const char *
child_state_name(enum child_state s)
{
	switch (s) {
	case CHILD_STARTING:
		return ("starting");
	case CHILD_SERVING:
		return ("serving");
	case CHILD_IDLE:
		return ("booting");
	case CHILD_READY:
		return ("ready");
	case CHILD_RUNNING:
		return ("running");
	case CHILD_COLLECTING:
		return ("collecting");
	case CHILD_DONE:
		return ("done");
	}
	return ("?");
}

static void
answer_workers(struct client *c)
{
	struct msg_ctl_child m;
	struct child *ch;
	struct slot *s;

	TAILQ_FOREACH (ch, &children, entry) {
		memset(&m, 0, sizeof(m));
		strlcpy(m.name, ch->name, sizeof(m.name));
		m.pid = (uint64_t)ch->pid;
		m.uid = ch->uid;
		m.slot = -1;
		m.age_ms = (uint64_t)(time_mono_us() - ch->started) / 1000;
		strlcpy(m.state,
		    ch->why != NULL ? "ending" : child_state_name(ch->state),
		    sizeof(m.state));
		if (ch->kind == FROM_WORKER) {
			s = ch->arg;
			m.slot = s->index;
			strlcpy(m.container, s->name, sizeof(m.container));
			strlcpy(m.job_type, s->job_type, sizeof(m.job_type));
			if (s->run != NULL)
				strlcpy(m.job_id, s->run->job->id,
				    sizeof(m.job_id));
		}
		client_send(c, MSG_T_CTL_CHILD, &m);
	}
	client_end(c, REP_NONE, "");
}

static const char *
store_word(enum store_result result)
{
	return (result == STORE_NOT_FOUND ? "No such job, or nothing to do"
					  : "The database is not available");
}

static const char *
node_state(const struct store_node *n)
{
	/* One that stops drains before. */
	if (n->alive)
		return (n->draining ? "draining" : "up");
	return (n->draining ? "stopped" : "lost");
}

static void
nodes_found(enum store_result result, const struct store_node *nodes, size_t n,
    void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);
	struct msg_ctl_node m;
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < n; i++) {
		memset(&m, 0, sizeof(m));
		strlcpy(m.name, nodes[i].name, sizeof(m.name));
		strlcpy(m.instance, nodes[i].instance, sizeof(m.instance));
		strlcpy(m.version, nodes[i].version, sizeof(m.version));
		strlcpy(m.state, node_state(&nodes[i]), sizeof(m.state));
		m.self = strcmp(nodes[i].name, env.node) == 0;
		m.started_at = nodes[i].started_at;
		m.seen_at = nodes[i].seen_at;
		if (nodes[i].silent_us > 0)
			m.silent_ms = (uint64_t)nodes[i].silent_us / 1000;
		m.running = (uint64_t)nodes[i].running;
		m.max_workers = (uint64_t)nodes[i].max_workers;
		client_send(c, MSG_T_CTL_NODE, &m);
	}
	client_end(c, result == STORE_OK ? REP_NONE : REP_UNAVAILABLE,
	    result == STORE_OK ? "" : store_word(result));
}

static void *
serial_arg(const struct client *c)
{
	return ((void *)(uintptr_t)c->serial);
}

struct imsgev *
control_channel(uint64_t client)
{
	struct client *c = client_find(client);

	return (c == NULL ? NULL : c->iev);
}

void
control_end(uint64_t client, enum rep error, const char *detail)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct client *c = client_find(client);

	if (c == NULL)
		return;
	event_arm(c->idle, &idle);
	client_end(c, error, detail);
}

static void
answer_folder(struct client *c)
{
	int fd = import_folder(c->serial, c->uid);
	struct msg_ctl_folder m;

	memset(&m, 0, sizeof(m));
	if (fd == -1)
		client_end(c, REP_UNAVAILABLE, "No folder can be made");
	else if (imsgev_compose(c->iev, MSG_T_CTL_FOLDER, 0, &m, fd) == -1)
		client_end(c, REP_UNAVAILABLE, "takod has no memory for it");
	else
		client_end(c, REP_NONE, "");
	close_fd(&fd);
}

static void
tenants_listed(
    enum store_result result, const struct tenant *list, size_t n, void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);
	struct msg_ctl_tenant m;
	const struct tenant *t;

	if (c == NULL)
		return;
	for (t = list; t < list + n; t++) {
		memset(&m, 0, sizeof(m));
		strlcpy(m.name, t->policy.name, sizeof(m.name));
		m.weight = (uint64_t)t->policy.weight;
		m.priority = (uint64_t)t->policy.priority;
		m.max_queued = (uint64_t)t->policy.max_queued;
		m.max_running = (uint64_t)t->policy.max_running;
		m.jobs_per_window = (uint64_t)t->policy.max_jobs;
		m.cpu_seconds_per_window =
		    (uint64_t)t->policy.max_cpu_ms / 1000;
		m.waiting = (uint64_t)t->waiting;
		m.running = (uint64_t)t->running;
		m.used_jobs = (uint64_t)t->used_jobs;
		m.used_cpu_ms = (uint64_t)t->used_cpu_ms;
		client_send(c, MSG_T_CTL_TENANT, &m);
	}
	client_end(c, result == STORE_OK ? REP_NONE : REP_UNAVAILABLE,
	    result == STORE_OK ? "" : store_word(result));
}

/* As much as came with it: see CTL_JOB. */
static void
job_found(enum store_result result, struct job *job, void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);

	if (c != NULL) {
		if (result == STORE_OK)
			reply_record_to(c->iev, 0, job, VIEW_PAYLOAD, 0, 0);
		client_end(c,
		    result == STORE_OK		? REP_NONE
		    : result == STORE_NOT_FOUND ? REP_NOT_FOUND
						: REP_UNAVAILABLE,
		    result == STORE_OK ? "" : store_word(result));
	}
	job_free(job);
}

static void
artifact_found_for(
    enum rep error, const struct msg_rep_artifact *m, int fd, uint64_t serial)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct client *c = client_find(serial);

	if (c == NULL)
		return;
	event_arm(c->idle, &idle);
	if (error == REP_NONE)
		imsgev_compose(c->iev, MSG_T_REP_ARTIFACT, 0, m, fd);
	client_end(c, error,
	    error == REP_NONE	       ? ""
	    : error == REP_NOT_FOUND   ? "No such job"
	    : error == REP_NO_ARTIFACT ? "The job has no such artifact"
	    : error == REP_UNAVAILABLE ? "The artifact cannot be read just now"
				       : "The artifact is damaged");
}

static void
answer_artifact(struct client *c, const struct msg_ctl_artifact *m)
{
	struct artifact_ask ask;

	memset(&ask, 0, sizeof(ask));
	strlcpy(ask.job_id, m->job_id, sizeof(ask.job_id));
	memcpy(ask.name, m->name.data, ask.name_len = m->name.len);
	memcpy(ask.other, m->other.data, ask.other_len = m->other.len);
	ask.body = 1;
	/* It may have to be fetched: that is not the client's time. */
	event_del(c->idle);
	artifact_ask(&ask, artifact_found_for, c->serial);
}

static void
job_cancelled(enum store_result result, struct job *job, void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);

	if (result == STORE_OK) {
		if (env.queued > 0)
			env.queued--;
		wait_job_ended(job);
	} else if (result == STORE_STALE)
		run_cancel(job->id);
	if (c != NULL)
		client_end(c,
		    result == STORE_OK || result == STORE_STALE ? REP_NONE
		    : result == STORE_NOT_FOUND			? REP_NOT_FOUND
						: REP_UNAVAILABLE,
		    result == STORE_OK || result == STORE_STALE
			? ""
			: store_word(result));
	job_free(job);
}

/* An answer_cb for a client: its serial is what it is given. */
static void
client_answer(enum rep error, const char *detail, json_t *answer, void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);

	if (c == NULL)
		return;
	if (error == REP_NONE && reply_json_to(c->iev, 0, answer) == -1) {
		error = REP_INTERNAL;
		detail = "Out of memory";
	}
	if (error == REP_NOT_ENDED)
		detail = "The job has not ended";
	else if (error == REP_QUEUE_FULL)
		detail = "The queue is full";
	client_end(c, error, detail);
}

/* The same, which may come after a while without a word of the client's. */
static void
client_answer_late(
    enum rep error, const char *detail, json_t *answer, void *arg)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct client *c = client_find((uint64_t)(uintptr_t)arg);

	if (c != NULL)
		event_arm(c->idle, &idle);
	client_answer(error, detail, answer, arg);
}

/* Done, without an answer. */
static void
client_done(enum rep error, const char *detail, json_t *answer, void *arg)
{
	(void)answer;
	control_end((uint64_t)(uintptr_t)arg, error, detail);
}

static void
client_line(const char *text, void *arg)
{
	struct client *c = client_find((uint64_t)(uintptr_t)arg);
	struct msg_ctl_line m;

	if (c == NULL)
		return;
	strlcpy(m.text, text, sizeof(m.text));
	client_send(c, MSG_T_CTL_LINE, &m);
}

static void
answer_build(struct client *c, const char *name)
{
	if (!env.ready) {
		client_end(c, REP_STARTING, "takod is starting");
		return;
	}
	event_del(c->idle);
	job_types_build(name, client_line, client_answer_late, serial_arg(c));
}

static void
answer_rerun(struct client *c, const struct msg_ctl_rerun *m)
{
	struct rerun r;

	memset(&r, 0, sizeof(r));
	strlcpy(r.job_id, m->job_id, sizeof(r.job_id));
	r.relationship = REL_RERUN;
	r.timeout = (int)m->timeout;
	strlcpy(r.job_type, m->job_type, sizeof(r.job_type));
	uuid4(r.correlation_id);
	snprintf(
	    r.client, sizeof(r.client), "takoctl, uid %u", (unsigned)c->uid);
	job_rerun(&r, NULL, client_answer, serial_arg(c));
}

/* As much as fits, cut between characters. */
static void
text_put(char *dst, size_t size, const char *src)
{
	strlcpy(dst, src != NULL ? src : "", size);
	dst[utf8_span(dst, strlen(dst))] = '\0';
}

static void
answer_reload(struct client *c, int dry)
{
	struct msg_ctl_problem p;
	struct msg_ctl_change m;
	struct reload r;
	const struct conf_error *e;
	size_t i;

	reload_run(&r, dry);
	for (i = 0; i < r.errors.n; i++) {
		e = &r.errors.items[i];
		memset(&p, 0, sizeof(p));
		text_put(p.file, sizeof(p.file), e->file);
		p.line = e->line;
		p.column = e->column;
		text_put(p.key, sizeof(p.key), e->key);
		text_put(p.text, sizeof(p.text), e->text);
		client_send(c, MSG_T_CTL_PROBLEM, &p);
	}
	for (i = 0; i < r.n_changes; i++) {
		memset(&m, 0, sizeof(m));
		text_put(m.key, sizeof(m.key), r.changes[i].key);
		text_put(m.before, sizeof(m.before), r.changes[i].before);
		text_put(m.after, sizeof(m.after), r.changes[i].after);
		m.restart = r.changes[i].restart != 0;
		client_send(c, MSG_T_CTL_CHANGE, &m);
	}
	client_end(c, r.detail[0] != '\0' ? REP_INVALID : REP_NONE, r.detail);
	reload_free(&r);
}

/* ---- requests
 * -------------------------------------------------------------------- */

#define READ(name, m)                                                          \
	do {                                                                   \
		if (msg_##name##_read(f, &(m), &why) == -1) {                  \
			imsgev_violation(iev, why);                            \
			return (-1);                                           \
		}                                                              \
	} while (0)

static int
client_import(struct client *c, const struct msg_frame *f, int fd)
{
	struct imsgev *iev = c->iev;
	struct msg_ctl_import m;
	struct blob *sections;
	const char *why;

	if (msg_ctl_import_read(f, &m, &why) == -1) {
		close_fd(&fd);
		imsgev_violation(iev, why);
		return (-1);
	}
	/* The lengths are bounded by the catalogue: no overflow. */
	sections = blob_from_memfd(fd,
	    m.stdout_len + m.stderr_len + m.output_len + m.artifacts_len +
		m.extras_len + m.code_len + m.input_len + m.requirements_len);
	if (sections == NULL) {
		imsgev_violation(iev, "no sealed memfd of its lengths");
		return (-1);
	}
	log_info("control: import of %s by uid %u", m.job_id, (unsigned)c->uid);
	/* To keep its artifacts may take long: not the client's time. */
	event_del(c->idle);
	import_record(c->serial, &m, sections);
	return (0);
}

static int
client_frame(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct client *c = arg;
	struct msg_ctl_hello hello;
	struct msg_ctl_list list;
	struct msg_req_list asked;
	struct msg_ctl_tenants tenants;
	struct msg_ctl_job job;
	struct msg_ctl_artifact artifact;
	struct msg_ctl_cancel cancel;
	struct msg_ctl_rerun rerun;
	struct msg_ctl_letters letters;
	struct msg_ctl_letter_remove remove;
	struct msg_ctl_letter_retry retry;
	struct msg_ctl_stop stop;
	struct msg_ctl_verbose verbose;
	struct msg_ctl_reload reload;
	struct msg_ctl_build build;
	struct msg_ctl_layers layers;
	struct msg_ctl_layer_remove layer;
	const char *why;

	event_arm(c->idle, &idle);
	if (f->hdr.type == MSG_T_CTL_IMPORT && c->greeted)
		return (client_import(c, f, fd));
	close_fd(&fd);
	if (!c->greeted) {
		if (f->hdr.type != MSG_T_CTL_HELLO) {
			imsgev_violation(iev, "no greeting");
			return (-1);
		}
		READ(ctl_hello, hello);
		if (strcmp(hello.version, TAKO_VERSION) != 0) {
			client_end(c, REP_DENIED,
			    "takoctl is of another version than takod");
			return (0);
		}
		c->greeted = 1;
		return (0);
	}
	/* Commands are few: the acting uid is written down for all of them. */
	if (f->hdr.type != MSG_T_CTL_STATUS &&
	    f->hdr.type != MSG_T_CTL_WORKERS &&
	    f->hdr.type != MSG_T_CTL_NODES && f->hdr.type != MSG_T_CTL_LIST &&
	    f->hdr.type != MSG_T_CTL_JOB && f->hdr.type != MSG_T_CTL_ARTIFACT &&
	    f->hdr.type != MSG_T_CTL_LETTERS &&
	    f->hdr.type != MSG_T_CTL_LAYERS && f->hdr.type != MSG_T_CTL_TENANTS)
		log_info("control: %s by uid %u", msg_name(f->hdr.type),
		    (unsigned)c->uid);
	switch (f->hdr.type) {
	case MSG_T_CTL_STATUS:
		answer_status(c);
		return (0);
	case MSG_T_CTL_WORKERS:
		answer_workers(c);
		return (0);
	case MSG_T_CTL_NODES:
		env.store_ops->nodes(env.store, nodes_found, serial_arg(c));
		return (0);
	case MSG_T_CTL_LIST:
		READ(ctl_list, list);
		/* Both have the same fields. */
		_Static_assert(sizeof(list) == sizeof(asked), "one list");
		memcpy(&asked, &list, sizeof(asked));
		find_list(0, c->serial, &asked);
		return (0);
	case MSG_T_CTL_FILES:
		answer_folder(c);
		return (0);
	case MSG_T_CTL_TENANTS:
		READ(ctl_tenants, tenants);
		env.store_ops->tenants(env.store, (int)tenants.limit,
		    tenants_listed, serial_arg(c));
		return (0);
	case MSG_T_CTL_JOB:
		READ(ctl_job, job);
		env.store_ops->get(env.store, job.job_id,
		    job.view == VIEW_PAYLOAD ? WANT_OUTPUT | WANT_PAYLOAD
					     : WANT_OUTPUT,
		    job_found, serial_arg(c));
		return (0);
	case MSG_T_CTL_ARTIFACT:
		READ(ctl_artifact, artifact);
		answer_artifact(c, &artifact);
		return (0);
	case MSG_T_CTL_CANCEL:
		READ(ctl_cancel, cancel);
		env.store_ops->cancel(
		    env.store, cancel.job_id, job_cancelled, serial_arg(c));
		return (0);
	case MSG_T_CTL_RERUN:
		READ(ctl_rerun, rerun);
		answer_rerun(c, &rerun);
		return (0);
	case MSG_T_CTL_LETTERS:
		READ(ctl_letters, letters);
		letters_list(letters.error_type, (int64_t)letters.id,
		    (int64_t)letters.limit, 0, client_answer, serial_arg(c));
		return (0);
	case MSG_T_CTL_LETTER_REMOVE:
		READ(ctl_letter_remove, remove);
		letters_remove(
		    (int64_t)remove.id, client_answer, serial_arg(c));
		return (0);
	case MSG_T_CTL_LETTER_RETRY:
		READ(ctl_letter_retry, retry);
		letters_retry((int64_t)retry.id, client_answer, serial_arg(c));
		return (0);
	case MSG_T_CTL_BUILD:
		READ(ctl_build, build);
		answer_build(c, build.name);
		return (0);
	case MSG_T_CTL_LAYERS:
		READ(ctl_layers, layers);
		layers_list(layers.key, client_answer, serial_arg(c));
		return (0);
	case MSG_T_CTL_LAYER_REMOVE:
		READ(ctl_layer_remove, layer);
		layers_remove(layer.key, client_done, serial_arg(c));
		return (0);
	case MSG_T_CTL_DRAIN:
		env.draining = 1;
		lease_beat();
		client_end(c, REP_NONE, "");
		return (0);
	case MSG_T_CTL_RESUME:
		if (env.stopping)
			client_end(c, REP_UNAVAILABLE, "takod is stopping");
		else {
			env.draining = 0;
			lease_beat();
			client_end(c, REP_NONE, "");
			queue_kick();
		}
		return (0);
	case MSG_T_CTL_STOP:
		READ(ctl_stop, stop);
		client_end(c, REP_NONE, "");
		takod_stop((int)stop.now);
		return (0);
	case MSG_T_CTL_VERBOSE:
		READ(ctl_verbose, verbose);
		proc_log_level((enum log_level)verbose.level);
		client_end(c, REP_NONE, "");
		return (0);
	case MSG_T_CTL_RELOAD:
		READ(ctl_reload, reload);
		answer_reload(c, (int)reload.dry);
		return (0);
	}
	imsgev_violation(iev, "not a request");
	return (-1);
}

static void
client_ended(struct imsgev *iev, const char *why, void *arg)
{
	struct client *c = arg;

	(void)iev;
	if (why != NULL)
		log_warnx("control: client of uid %u closed: %s",
		    (unsigned)c->uid, why);
	client_free(c);
}

static void
client_idle(int fd, short events, void *arg)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct client *c = arg;

	(void)fd;
	(void)events;
	/* Whoever reads a long list has nothing to say meanwhile. */
	if (find_serves(c->serial))
		event_arm(c->idle, &idle);
	else
		client_free(c);
}

/* ---- the socket
 * -------------------------------------------------------------------- */

static void
control_resume(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	event_arm(control_ev, NULL);
}

static void
control_accept(int listener, short events, void *arg)
{
	static const struct timeval pause_for = { 1, 0 };
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct client *c;
	int fd;

	(void)events;
	(void)arg;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE) {
			/* No descriptor: no use in being woken for it. */
			event_del(control_ev);
			event_arm(control_again, &pause_for);
		}
		return;
	}
	if (n_clients >= CONTROL_CLIENTS ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1 ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		close_fd(&fd);
		return;
	}
	c->serial = ++serials;
	c->uid = cred.uid;
	c->idle = evtimer_new(env.base, client_idle, c);
	c->iev = imsgev_new(env.base, fd, FROM_CTL, MSG_CTL_REQUEST,
	    client_frame, client_ended, c);
	if (c->idle == NULL || c->iev == NULL) {
		if (c->idle != NULL)
			event_free(c->idle);
		imsgev_free(c->iev);
		free(c);
		return;
	}
	event_arm(c->idle, &idle);
	TAILQ_INSERT_TAIL(&clients, c, entry);
	n_clients++;
}

/* A socket that nobody listens on is a dead takod's: it may be replaced. */
static int
control_stale(const struct sockaddr_un *sun)
{
	int fd, ret;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return (0);
	ret = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1 &&
	      errno == ECONNREFUSED;
	close_fd(&fd);
	return (ret);
}

int
control_open(char *detail, size_t len)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct group *gr;
	struct stat st;
	char path[4096];

	if (env.conf->control_socket != NULL)
		strlcpy(path, env.conf->control_socket, sizeof(path));
	else
		snprintf(
		    path, sizeof(path), "%s/takod.sock", env.conf->data_dir);
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		snprintf(detail, len,
		    "control_socket: longer than %zu bytes; name a shorter "
		    "path",
		    sizeof(sun.sun_path) - 1);
		return (-1);
	}
	strlcpy(control_path, path, sizeof(control_path));
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode) || !control_stale(&sun)) {
			snprintf(detail, len,
			    "control_socket: %s is no socket that a former "
			    "takod left, or another takod listens on it",
			    path);
			control_path[0] = '\0';
			return (-1);
		}
		unlink(path);
	}
	control_fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control_fd == -1 ||
	    bind(control_fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    chmod(path, 0660) == -1 || listen(control_fd, 32) == -1)
		goto fail;
	if (env.conf->control_group != NULL) {
		if ((gr = getgrnam(env.conf->control_group)) == NULL) {
			snprintf(detail, len, "control_group: no such group");
			return (-1);
		}
		if (chown(path, 0, gr->gr_gid) == -1)
			goto fail;
	}
	control_ev = event_new(
	    env.base, control_fd, EV_READ | EV_PERSIST, control_accept, NULL);
	control_again = evtimer_new(env.base, control_resume, NULL);
	if (control_ev == NULL || control_again == NULL)
		goto fail;
	event_arm(control_ev, NULL);
	return (0);
fail:
	snprintf(detail, len, "control_socket: %s: %s", path, strerror(errno));
	return (-1);
}

void
control_close(void)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&clients)) != NULL)
		client_free(c);
	close_fd(&control_fd);
	if (control_path[0] != '\0')
		unlink(control_path);
}
