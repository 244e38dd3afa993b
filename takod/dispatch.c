/*
 * dispatch.c: what children may say to the parent, and when. One table: a type
 * that has no row, comes in a state its row does not name, or comes again
 * although it may come once, ends the child (sshd's monitor does the same).
 * The channel has checked head, sender, sequence and descriptor before; each
 * handler reads the fields by the catalogue and knows its own bounds.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "takod.h"
#include "util.h"

#define ONCE 1u

struct rule {
	unsigned states; /* enum child_state bits that permit it */
	unsigned flags;
	const char *(*handle)(struct child *, const struct msg_frame *,
	    int fd); /* NULL, or what is wrong; fd is its own */
};

/* A read that ends the handler with the reason when it fails. */
#define READ(name, m)                                                          \
	do {                                                                   \
		const char *why_;                                              \
		if (msg_##name##_read(f, &(m), &why_) == -1) {                 \
			close_fd(&fd);                                         \
			return (why_);                                         \
		}                                                              \
	} while (0)

static const char *
api_setup_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_setup_done m;

	READ(setup_done, m);
	if (m.pid != (uint64_t)c->pid)
		return ("not its own pid");
	c->state = CHILD_SERVING;
	proc_deadline(c, 0);
	return (NULL);
}

static const char *
api_req_admit(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_admit m;
	struct msg_rep_admit rep;

	READ(req_admit, m);
	admit_request(&m, &rep);
	explicit_bzero(m.key, sizeof(m.key));
	proc_send(c, MSG_T_REP_ADMIT, f->hdr.id, &rep, -1);
	return (NULL);
}

static const char *
api_req_submit(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_submit m;
	uint64_t req = reply_number(c, f->hdr.id);
	struct blob *payload;

	READ(req_submit, m);
	/* The lengths are bounded by the catalogue: no overflow. */
	payload =
	    blob_from_memfd(fd, m.code_len + m.input_len + m.requirements_len);
	if (payload == NULL && errno == EPROTO)
		return ("payload is no sealed memfd of its length");
	if (payload == NULL) {
		/* No memory or descriptor: takod's own want. */
		reply_error(req, REP_UNAVAILABLE, NULL,
		    "takod has no room for it just now");
		return (NULL);
	}
	job_submit(req, &m, payload);
	explicit_bzero(m.key, sizeof(m.key));
	return (NULL);
}

static const char *
api_req_get(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_get m;

	READ(req_get, m);
	job_get(reply_number(c, f->hdr.id), &m);
	return (NULL);
}

static const char *
api_req_list(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_list m;

	READ(req_list, m);
	find_list(reply_number(c, f->hdr.id), 0, &m);
	return (NULL);
}

static const char *
api_req_cancel(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_cancel m;

	READ(req_cancel, m);
	job_cancel(reply_number(c, f->hdr.id), &m);
	return (NULL);
}

static void
artifact_found_for(
    enum rep error, const struct msg_rep_artifact *m, int fd, uint64_t req)
{
	if (error != REP_NONE)
		reply_error(req, error, NULL,
		    error == REP_UNAVAILABLE
			? "The artifact cannot be read just now"
			: "");
	else
		reply_send(req, MSG_T_REP_ARTIFACT, m, fd);
}

static const char *
api_req_artifact(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_artifact m;
	struct artifact_ask ask;

	READ(req_artifact, m);
	memset(&ask, 0, sizeof(ask));
	strlcpy(ask.job_id, m.job_id, sizeof(ask.job_id));
	memcpy(ask.name, m.name.data, ask.name_len = m.name.len);
	memcpy(ask.other, m.other.data, ask.other_len = m.other.len);
	ask.body = (int)m.body;
	artifact_ask(&ask, artifact_found_for, reply_number(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_rerun(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_rerun m;
	struct blob *code = NULL;
	struct rerun r;
	int denied;

	READ(req_rerun, m);
	if ((m.relationship == REL_FORK) != (m.code_len > 0) ||
	    (m.code_len > 0) != (fd != -1)) {
		close_fd(&fd);
		return ("a fork has code, a rerun has none");
	}
	if (fd != -1 && (code = blob_from_memfd(fd, m.code_len)) == NULL)
		return ("code is no sealed memfd of its length");
	memset(&r, 0, sizeof(r));
	strlcpy(r.job_id, m.job_id, sizeof(r.job_id));
	r.relationship = (enum relationship)m.relationship;
	r.timeout = (int)m.timeout;
	strlcpy(r.job_type, m.job_type, sizeof(r.job_type));
	strlcpy(r.correlation_id, m.correlation_id, sizeof(r.correlation_id));
	strlcpy(r.client, m.client, sizeof(r.client));
	denied = admit_tenant(m.key, m.client, r.tenant) == -1;
	explicit_bzero(m.key, sizeof(m.key));
	if (denied) {
		blob_unref(code);
		reply_error(reply_number(c, f->hdr.id), REP_DENIED, NULL, "");
	} else
		job_rerun(&r, code, reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_job_types(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_job_types m;

	READ(req_job_types, m);
	job_types_show(m.name, reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_build(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_build m;

	READ(req_build, m);
	if (m.look)
		job_types_build_show(
		    m.name, reply_answer, reply_asker(c, f->hdr.id));
	else
		job_types_build(
		    m.name, NULL, reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_letters(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_letters m;

	READ(req_letters, m);
	letters_list(m.error_type, 0, (int64_t)m.limit, (int64_t)m.offset,
	    reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_letter_stats(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_letter_stats m;

	READ(req_letter_stats, m);
	letters_stats(reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_letter_remove(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_letter_remove m;

	READ(req_letter_remove, m);
	letters_remove((int64_t)m.id, reply_answer, reply_asker(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_gone(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_gone m;

	READ(req_gone, m);
	job_gone(reply_number(c, f->hdr.id));
	find_gone(reply_number(c, f->hdr.id));
	return (NULL);
}

static const char *
api_req_stats(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_req_stats m;
	struct msg_rep_stats rep;

	READ(req_stats, m);
	reply_stats_fill(&rep);
	proc_send(c, MSG_T_REP_STATS, f->hdr.id, &rep, -1);
	return (NULL);
}

static const char *
api_pong(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_api_pong m;

	READ(api_pong, m);
	if (c->asked == 0)
		return ("was not asked");
	c->asked = 0;
	return (NULL);
}

/* What the handlers of both children say of a call that was refused. */
static const char *
refused(uint64_t call)
{
	static char why[96];
	char *name =
	    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)call);

	snprintf(why, sizeof(why), "system call %u (%s)", (unsigned)call,
	    name != NULL ? name : "unknown");
	free(name);
	return (why);
}

static const char *
api_refused(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_api_refused m;

	(void)c;
	READ(api_refused, m);
	return (refused(m.call));
}

/* ---- workers: each message carries the token of its one job -------------- */

#define TOKEN(c, m)                                                            \
	do {                                                                   \
		if ((m).token != ((struct slot *)(c)->arg)->token) {           \
			close_fd(&fd);                                         \
			return ("token of another job");                       \
		}                                                              \
	} while (0)

static const char *
worker_setup_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_worker_setup_done m;

	READ(worker_setup_done, m);
	if (m.pid != (uint64_t)c->pid)
		return ("not its own pid");
	c->state = CHILD_IDLE;
	proc_deadline(c, 0); /* the slot's own deadline holds */
	return (NULL);
}

static const char *
worker_pong(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_worker_pong m;

	READ(worker_pong, m);
	if (c->asked == 0)
		return ("was not asked");
	c->asked = 0;
	return (NULL);
}

static const char *
worker_refused(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_worker_refused m;

	(void)c;
	READ(worker_refused, m);
	return (refused(m.call));
}

static const char *
worker_ready(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_worker_ready m;

	READ(worker_ready, m);
	TOKEN(c, m);
	c->state = CHILD_READY;
	pool_worker_ready(c->arg, (uint32_t)m.unloaded);
	return (NULL);
}

static const char *
worker_phase(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_job_phase m;
	struct slot *s = c->arg;

	READ(job_phase, m);
	TOKEN(c, m);
	if (m.phase == PHASE_COMPLETED)
		c->state = CHILD_COLLECTING;
	else if (m.phase != PHASE_EXECUTION || c->executed)
		return ("phase does not go forward");
	c->executed = 1;
	if (s->run != NULL)
		run_phase(s->run, (enum job_phase)m.phase);
	return (NULL);
}

static const char *
worker_output(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_job_output m;
	struct slot *s = c->arg;
	struct blob *b;

	READ(job_output, m);
	TOKEN(c, m);
	b = blob_from_memfd(fd, m.len);
	if (b == NULL && errno == EPROTO)
		return ("output is no sealed memfd of its length");
	if (b == NULL) {
		if (s->run != NULL)
			s->run->incomplete = 1;
	} else if (s->run == NULL)
		blob_unref(b);
	else if (run_output(s->run, &m, b) == -1)
		return ("output twice, or above its cap");
	return (NULL);
}

static const char *
worker_line(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_job_line m;
	struct slot *s = c->arg;

	READ(job_line, m);
	TOKEN(c, m);
	if (s->run == NULL || s->run->build == NULL)
		return ("nobody asked for lines");
	layer_line(s->run->build, m.text);
	return (NULL);
}

static const char *
worker_artifact(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_job_artifact m;
	struct slot *s = c->arg;

	READ(job_artifact, m);
	TOKEN(c, m);
	if (s->run != NULL && run_artifact(s->run, &m) == -1)
		return ("artifact out of order, or above its cap");
	return (NULL);
}

static const char *
worker_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_job_done m;
	struct slot *s = c->arg;

	READ(job_done, m);
	TOKEN(c, m);
	c->state = CHILD_DONE;
	proc_deadline(c, 0);
	if (pool_preload_failed(s, "it ended"))
		return (NULL);
	if (s->run != NULL)
		run_done(s->run, &m);
	else
		pool_end(s, "its sandbox ended before a job came");
	return (NULL);
}

/* ---- words --------------------------------------------------------------- */

static const char *
words_setup_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_words_setup_done m;

	READ(words_setup_done, m);
	if (m.pid != (uint64_t)c->pid)
		return ("not its own pid");
	c->state = CHILD_SERVING;
	proc_deadline(c, 0);
	index_child_ready(c);
	return (NULL);
}

static const char *
words_pong(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_words_pong m;

	READ(words_pong, m);
	if (c->asked == 0)
		return ("was not asked");
	c->asked = 0;
	return (NULL);
}

static const char *
words_refused(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_words_refused m;

	(void)c;
	READ(words_refused, m);
	return (refused(m.call));
}

static const char *
words_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_words_done m;

	READ(words_done, m);
	return (index_words(c, &m, fd));
}

/* ---- layers -------------------------------------------------------------- */

static const char *
unpack_setup_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_unpack_setup_done m;

	READ(unpack_setup_done, m);
	if (m.pid != (uint64_t)c->pid)
		return ("not its own pid");
	c->state = CHILD_SERVING;
	layer_unpack_ready(c);
	return (NULL);
}

static const char *
unpack_refused(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_unpack_refused m;

	(void)c;
	READ(unpack_refused, m);
	return (refused(m.call));
}

static const char *
unpack_package(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_unpack_package m;

	READ(unpack_package, m);
	return (layer_unpack_package(c, &m));
}

static const char *
unpack_done(struct child *c, const struct msg_frame *f, int fd)
{
	struct msg_unpack_done m;

	READ(unpack_done, m);
	c->state = CHILD_DONE;
	layer_unpack_done(c, &m);
	return (NULL);
}

/* Its sandbox may refuse a child something at any time. */
#define CHILD_ANY (~0u)
/* What a worker may say of a job: from the hand-over to its last word. */
#define AT_WORK (CHILD_RUNNING | CHILD_COLLECTING)

static const struct rule rules[MSG_T_MAX] = {
	[MSG_T_SETUP_DONE] = { CHILD_STARTING, ONCE, api_setup_done },
	[MSG_T_REQ_ADMIT] = { CHILD_SERVING, 0, api_req_admit },
	[MSG_T_REQ_SUBMIT] = { CHILD_SERVING, 0, api_req_submit },
	[MSG_T_REQ_GET] = { CHILD_SERVING, 0, api_req_get },
	[MSG_T_REQ_LIST] = { CHILD_SERVING, 0, api_req_list },
	[MSG_T_REQ_CANCEL] = { CHILD_SERVING, 0, api_req_cancel },
	[MSG_T_REQ_RERUN] = { CHILD_SERVING, 0, api_req_rerun },
	[MSG_T_REQ_JOB_TYPES] = { CHILD_SERVING, 0, api_req_job_types },
	[MSG_T_REQ_BUILD] = { CHILD_SERVING, 0, api_req_build },
	[MSG_T_REQ_LETTERS] = { CHILD_SERVING, 0, api_req_letters },
	[MSG_T_REQ_LETTER_STATS] = { CHILD_SERVING, 0, api_req_letter_stats },
	[MSG_T_REQ_LETTER_REMOVE] = { CHILD_SERVING, 0, api_req_letter_remove },
	[MSG_T_REQ_ARTIFACT] = { CHILD_SERVING, 0, api_req_artifact },
	[MSG_T_REQ_GONE] = { CHILD_SERVING, 0, api_req_gone },
	[MSG_T_REQ_STATS] = { CHILD_SERVING, 0, api_req_stats },
	[MSG_T_API_PONG] = { CHILD_SERVING, 0, api_pong },
	[MSG_T_WORKER_PONG] = { CHILD_IDLE | CHILD_READY | AT_WORK | CHILD_DONE,
	    0, worker_pong },
	[MSG_T_API_REFUSED] = { CHILD_ANY, 0, api_refused },
	[MSG_T_WORKER_REFUSED] = { CHILD_ANY, 0, worker_refused },
	[MSG_T_WORKER_SETUP_DONE] = { CHILD_STARTING, ONCE, worker_setup_done },
	[MSG_T_WORKER_READY] = { CHILD_IDLE, ONCE, worker_ready },
	[MSG_T_JOB_PHASE] = { CHILD_RUNNING, 0, worker_phase },
	/* A sandbox can die at any time: the last words may come early. */
	[MSG_T_JOB_OUTPUT] = { CHILD_IDLE | CHILD_READY | AT_WORK, 0,
	    worker_output },
	[MSG_T_JOB_LINE] = { AT_WORK, 0, worker_line },
	[MSG_T_JOB_ARTIFACT] = { CHILD_COLLECTING, 0, worker_artifact },
	[MSG_T_JOB_DONE] = { CHILD_IDLE | CHILD_READY | AT_WORK, ONCE,
	    worker_done },
	[MSG_T_WORDS_SETUP_DONE] = { CHILD_STARTING, ONCE, words_setup_done },
	[MSG_T_WORDS_REFUSED] = { CHILD_ANY, 0, words_refused },
	[MSG_T_WORDS_PONG] = { CHILD_SERVING, 0, words_pong },
	[MSG_T_WORDS_DONE] = { CHILD_SERVING, 0, words_done },
	[MSG_T_UNPACK_SETUP_DONE] = { CHILD_STARTING, ONCE, unpack_setup_done },
	[MSG_T_UNPACK_REFUSED] = { CHILD_ANY, 0, unpack_refused },
	[MSG_T_UNPACK_PACKAGE] = { CHILD_SERVING, 0, unpack_package },
	[MSG_T_UNPACK_DONE] = { CHILD_SERVING, ONCE, unpack_done },
};

int
dispatch_child(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	struct child *c = arg;
	const struct rule *r = &rules[f->hdr.type];
	const char *why;

	(void)iev;
	if (c->why != NULL) {
		/* It is being killed: what it still said counts no more. */
		close_fd(&fd);
		return (0);
	}
	if (r->handle == NULL || (r->states & c->state) == 0)
		why = "not permitted in this state";
	else if ((r->flags & ONCE) != 0 && c->seen[f->hdr.type])
		why = "came twice";
	else {
		c->seen[f->hdr.type] = 1;
		if ((why = r->handle(c, f, fd)) == NULL) {
			proc_heed(c);
			return (0);
		}
		fd = -1; /* the handler's */
	}
	close_fd(&fd);
	proc_violation(c, msg_name(f->hdr.type), why);
	return (0);
}
