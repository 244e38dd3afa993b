/*
 * job.c: what clients ask of jobs: submit, look, cancel. Runs in the parent.
 * tako-api has checked each request, and the parent checks again what it acts
 * on: tako-api is not its authority. A job is acknowledged only after its row
 * is committed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "failpoint.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* ---- submit
 * ------------------------------------------------------------------ */

struct submit {
	TAILQ_ENTRY(submit) entry;
	uint64_t req;
	int sync;
	int gone; /* the client went away meanwhile */
	struct job *job;
	struct slot *slot; /* reserved: the job goes in as running */
	int64_t held_until;
	answer_cb answer; /* who wants a rerun; NULL: req does */
	void *arg;
};
static TAILQ_HEAD(, submit) submits = TAILQ_HEAD_INITIALIZER(submits);

static void
submit_free(struct submit *sb)
{
	TAILQ_REMOVE(&submits, sb, entry);
	job_free(sb->job);
	free(sb);
}

/*
 * What makes two submits the same: SHA-256 of canonical JSON, as api.md says,
 * so that a key given to 0.3 would meet the same payload here.
 */
static int
fingerprint(struct job *job, uint64_t timeout, uint64_t startup_timeout)
{
	char code[2 * TAKO_SHA256 + 1], input[2 * TAKO_SHA256 + 1];
	json_t *o, *reqs;
	char *text;

	reqs = json_loadb((const char *)blob_data(job->requirements),
	    blob_len(job->requirements), 0, NULL);
	if (reqs == NULL)
		reqs = json_array();
	o = json_pack("{s:s, s:s, s:s, s:o}", "code_hash",
	    hex_encode(code, job->code_hash, TAKO_SHA256), "input_hash",
	    hex_encode(input, job->input_hash, TAKO_SHA256), "job_type",
	    job->job_type, "requirements", reqs);
	if (o == NULL)
		return (-1);
	json_object_set_new(o, "timeout",
	    timeout != 0 ? json_integer((json_int_t)timeout) : json_null());
	json_object_set_new(o, "startup_timeout",
	    startup_timeout != 0 ? json_integer((json_int_t)startup_timeout)
				 : json_null());
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	if (text == NULL)
		return (-1);
	sha256(job->fingerprint, text, strlen(text));
	free(text);
	return (0);
}

/* What the parent checks itself. NULL, or what to mend. */
static const char *
submit_check(const struct msg_req_submit *m)
{
	const struct conf *cf = env.conf;

	if (m->code_len > cf->max_code_bytes)
		return ("code is above max_code_bytes");
	if (m->input_len > cf->max_input_bytes)
		return ("input_data is above max_input_bytes");
	if (m->timeout > (uint64_t)cf->max_timeout)
		return ("timeout is above max_timeout");
	if (m->startup_timeout > (uint64_t)cf->max_startup_timeout)
		return ("startup_timeout is above max_startup_timeout");
	return (NULL);
}

/*
 * What follows from a job's payload, the type that was asked for (NULL: none,
 * or an unknown one, which is the run's matter) and the timeouts (0: none was
 * asked for). -1: no memory.
 */
static int
submit_complete(struct job *job, const struct conf_job_type *jt, int timeout,
    int startup_timeout)
{
	strlcpy(job->job_ref, job->job_type, sizeof(job->job_ref));
	job->code_len = blob_len(job->code);
	job->input_len = blob_len(job->input);
	sha256(job->code_hash, blob_data(job->code), job->code_len);
	sha256(job->input_hash, blob_data(job->input), job->input_len);
	if (fingerprint(job, (uint64_t)timeout, (uint64_t)startup_timeout) ==
	    -1)
		return (-1);
	job->timeout = timeout != 0 ? timeout
		       : jt != NULL ? jt->timeout
				    : env.conf->default_timeout;
	job->startup_timeout = startup_timeout != 0 ? startup_timeout
			       : jt != NULL	    ? jt->startup_timeout
					    : env.conf->default_startup_timeout;
	job->status = JOB_QUEUED;
	return (0);
}

static struct job *
submit_job(
    const struct msg_req_submit *m, const char *tenant, struct blob *payload)
{
	const struct conf_job_type *jt = NULL;
	struct job *job;
	char uuid[37];

	/* Who names none gets the defaults, not those of the type `default`. */
	if (m->job_type[0] != '\0')
		jt = queue_job_type(m->job_type);
	if ((job = job_new()) == NULL)
		return (NULL);
	uuid4(uuid);
	snprintf(job->id, sizeof(job->id), "%s%s", m->sync ? "api-" : "", uuid);
	strlcpy(job->job_type, m->job_type[0] != '\0' ? m->job_type : "default",
	    sizeof(job->job_type));
	strlcpy(job->idempotency_key, m->idempotency_key,
	    sizeof(job->idempotency_key));
	strlcpy(job->correlation_id, m->correlation_id,
	    sizeof(job->correlation_id));
	strlcpy(job->client, m->client, sizeof(job->client));
	strlcpy(job->tenant, tenant, sizeof(job->tenant));
	job->code = blob_slice(payload, 0, m->code_len);
	job->input = blob_slice(payload, m->code_len, m->input_len);
	job->requirements = blob_slice(
	    payload, m->code_len + m->input_len, m->requirements_len);
	if (job->code == NULL || job->input == NULL ||
	    job->requirements == NULL) {
		job_free(job);
		return (NULL);
	}
	if (submit_complete(
		job, jt, (int)m->timeout, (int)m->startup_timeout) == -1) {
		job_free(job);
		return (NULL);
	}
	return (job);
}

static void
waiting_cancelled(enum store_result result, struct job *job, void *arg)
{
	(void)result;
	(void)arg;
	if (result == STORE_OK) {
		if (env.queued > 0)
			env.queued--;
		wait_job_ended(job);
	}
	job_free(job);
}

void
job_cancel_waiting(const char *id)
{
	env.store_ops->cancel(env.store, id, waiting_cancelled, NULL);
}

/* Nobody else can name it. */
void
job_unwanted(const char *job_id)
{
	run_cancel(job_id);
	job_cancel_waiting(job_id);
}

static void
submit_refuse(struct submit *sb, enum rep error, const char *detail)
{
	if (sb->answer != NULL)
		sb->answer(error, detail, NULL, sb->arg);
	else
		reply_error(sb->req, error, NULL, detail);
}

/* A rerun is committed. */
static void
submit_answer(struct submit *sb, const struct job *row)
{
	json_t *o = json_pack("{s:s, s:s}", "job_id", row->id, "status",
	    job_status_name(JOB_QUEUED));

	sb->answer(o == NULL ? REP_INTERNAL : REP_NONE, "", o, sb->arg);
	json_decref(o);
}

static void
submitted(enum store_result result, struct job *row, void *arg)
{
	struct submit *sb = arg;
	struct job *job = sb->job;
	int keep = job->idempotency_key[0] != '\0';
	int begun = 0;

	log_set_correlation(job->correlation_id);
	switch (result) {
	case STORE_OK:
		FAILPOINT("takod.submitted");
		log_info("job %s: accepted (%s, %s)", row->id,
		    job_status_name(row->status), job->job_type);
		if (row->status == JOB_RUNNING && sb->slot != NULL) {
			job->status = row->status;
			job->fence = row->fence;
			job->attempt = row->attempt;
			job->created_at = row->created_at;
			job->started_at = row->started_at;
			job->code_started = 1;
			begun = 1;
		} else
			queue_came();
		/* FALLTHROUGH */
	case STORE_EXISTS:
		if (sb->answer != NULL) {
			submit_answer(sb, row);
			break;
		}
		if (!reply_wanted(sb->req))
			break;
		/* A new job answers `queued`, wherever it is by now. */
		if (!sb->sync)
			reply_submit(sb->req, row,
			    result == STORE_OK ? JOB_QUEUED : row->status);
		else if (sb->gone) {
			if (result == STORE_OK && !keep)
				/* As the client would have it: below. */
				sb->gone = 2;
		} else if (job_status_terminal(row->status)) {
			struct msg_req_get get = { .view = VIEW_RECORD };

			strlcpy(get.job_id, row->id, sizeof(get.job_id));
			job_get(sb->req, &get);
		} else
			wait_add(sb->req, row->id, VIEW_RECORD, 0,
			    result == STORE_OK, keep);
		break;
	case STORE_CONFLICT:
		reply_error(sb->req, REP_CONFLICT, row->id, "");
		break;
	case STORE_FULL:
		submit_refuse(sb, REP_QUEUE_FULL, "");
		break;
	case STORE_FILLED:
		submit_refuse(sb, REP_FILLED, "");
		break;
	case STORE_SPENT:
		submit_refuse(sb, REP_SPENT, "");
		break;
	case STORE_AWAY:
	default:
		submit_refuse(
		    sb, REP_UNAVAILABLE, "The database is not available");
		break;
	}
	if (begun) {
		struct slot *slot = sb->slot;

		sb->job = NULL;
		if (slot->worker == NULL || slot->dead) {
			/* It died under our hand; the code never started. */
			pool_give_back(slot);
			slot = NULL;
		}
		run_begin(job, slot, 1, sb->held_until);
	} else if (sb->slot != NULL)
		pool_give_back(sb->slot);
	if (sb->gone == 2)
		job_unwanted(row->id);
	log_set_correlation(NULL);
	job_free(row);
	submit_free(sb);
	queue_kick();
}

/* Slots that submits under way hold: they count as running jobs. */
static unsigned
reserved(void)
{
	struct submit *sb;
	unsigned n = 0;

	TAILQ_FOREACH (sb, &submits, entry)
		n += sb->slot != NULL;
	return (n);
}

/* Whether jobs are taken at all now; REP_NONE, or why not. */
static enum rep
submit_closed(const char **detail)
{
	if (!env.ready) {
		*detail = "takod is starting";
		return (REP_STARTING);
	}
	*detail = NULL;
	if (env.draining || env.stopping)
		*detail = "takod is draining and takes no new jobs";
	else if (!env.store_up)
		*detail = "The database is not available";
	return (*detail == NULL ? REP_NONE : REP_UNAVAILABLE);
}

/* A type, or a job of before a reload, may ask for more than is allowed. */
static int
submit_too_long(const struct job *job, char *detail, size_t len)
{
	if (job->timeout <= env.conf->max_timeout)
		return (0);
	snprintf(detail, len,
	    "effective timeout must be less than or equal to the configured "
	    "max_timeout (%d seconds)",
	    env.conf->max_timeout);
	return (1);
}

static void
submit_go(struct submit *sb)
{
	struct slot_kind kind;
	char detail[256];

	TAILQ_INSERT_TAIL(&submits, sb, entry);
	/*
	 * With a slot ready and nobody waiting, the row goes in as running:
	 * one commit less before the code runs.
	 */
	if (env.queued == 0 && engine_state_usable() &&
	    run_count() + reserved() < (unsigned)env.conf->max_workers &&
	    queue_refusal(sb->job, &kind, detail, sizeof(detail)) ==
		JERR_NONE &&
	    kind.found != LAYER_MISSING)
		sb->slot = pool_take(&kind);
	sb->held_until = lease_until(time_boot_us());
	env.store_ops->submit(env.store, sb->job, sb->slot != NULL,
	    env.conf->max_queue_size, submitted, sb);
}

void
job_submit(uint64_t req, const struct msg_req_submit *m, struct blob *payload)
{
	struct submit *sb = NULL;
	const char *why;
	char detail[256], tenant[MAX_TENANT + 1];
	enum rep closed;

	if ((closed = submit_closed(&why)) != REP_NONE)
		reply_error(req, closed, NULL, why);
	else if ((why = submit_check(m)) != NULL)
		reply_error(req, REP_INVALID, NULL, why);
	else if (admit_tenant(m->key, m->client, tenant) == -1)
		reply_error(req, REP_DENIED, NULL, "");
	else if ((sb = calloc(1, sizeof(*sb))) == NULL ||
		 (sb->job = submit_job(m, tenant, payload)) == NULL) {
		free(sb);
		sb = NULL;
		reply_error(req, REP_UNAVAILABLE, NULL, "Out of memory");
	} else if (submit_too_long(sb->job, detail, sizeof(detail))) {
		reply_error(req, REP_INVALID, NULL, detail);
		job_free(sb->job);
		free(sb);
		sb = NULL;
	}
	blob_unref(payload);
	if (sb == NULL)
		return;
	sb->req = req;
	sb->sync = (int)m->sync;
	submit_go(sb);
}

/* ---- once more
 * ------------------------------------------------------------------ */

struct again {
	struct rerun r;
	struct blob *code; /* a fork's */
	answer_cb answer;
	void *arg;
};

static void
again_end(struct again *a, enum rep error, const char *detail)
{
	a->answer(error, detail, NULL, a->arg);
	blob_unref(a->code);
	free(a);
}

/* NULL: no memory. */
static struct job *
again_job(const struct again *a, const struct job *parent)
{
	struct job *job;

	if ((job = job_new()) == NULL)
		return (NULL);
	uuid4(job->id);
	strlcpy(job->job_type,
	    a->r.job_type[0] != '\0' ? a->r.job_type : parent->job_type,
	    sizeof(job->job_type));
	strlcpy(job->correlation_id, a->r.correlation_id,
	    sizeof(job->correlation_id));
	strlcpy(job->client, a->r.client, sizeof(job->client));
	strlcpy(job->tenant,
	    a->r.tenant[0] != '\0' ? a->r.tenant : parent->tenant,
	    sizeof(job->tenant));
	strlcpy(job->parent_id, parent->id, sizeof(job->parent_id));
	job->relationship = a->r.relationship;
	job->code = blob_ref(a->code != NULL ? a->code : parent->code);
	job->input = blob_ref(parent->input);
	job->requirements = blob_ref(parent->requirements);
	if (submit_complete(job, NULL,
		a->r.timeout != 0 ? a->r.timeout : parent->timeout,
		parent->startup_timeout) == -1) {
		job_free(job);
		return (NULL);
	}
	return (job);
}

static void
again_found(enum store_result result, struct job *parent, void *arg)
{
	struct again *a = arg;
	struct submit *sb = NULL;
	const char *why;
	char detail[256];
	enum rep closed;

	if (result == STORE_NOT_FOUND)
		again_end(a, REP_NOT_FOUND, "No such job");
	else if (result != STORE_OK)
		again_end(a, REP_UNAVAILABLE, "The database is not available");
	else if (a->r.relationship == REL_RERUN &&
		 !job_status_terminal(parent->status))
		again_end(a, REP_NOT_ENDED, "The job has not ended");
	else if ((closed = submit_closed(&why)) != REP_NONE)
		again_end(a, closed, why);
	else if ((sb = calloc(1, sizeof(*sb))) == NULL ||
		 (sb->job = again_job(a, parent)) == NULL) {
		free(sb);
		again_end(a, REP_UNAVAILABLE, "Out of memory");
	} else if (submit_too_long(sb->job, detail, sizeof(detail))) {
		job_free(sb->job);
		free(sb);
		again_end(a, REP_INVALID, detail);
	} else {
		log_debug("job %s: %s of %s", sb->job->id,
		    relationship_name(a->r.relationship), parent->id);
		sb->answer = a->answer;
		sb->arg = a->arg;
		blob_unref(a->code);
		free(a);
		submit_go(sb);
	}
	job_free(parent);
}

void
job_rerun(const struct rerun *r, struct blob *code, answer_cb answer, void *arg)
{
	struct again *a = NULL;
	enum rep closed;
	const char *why;

	if (!job_id_valid(r->job_id))
		answer(REP_NOT_FOUND, "No such job", NULL, arg);
	else if ((closed = submit_closed(&why)) != REP_NONE)
		answer(closed, why, NULL, arg);
	else if (r->timeout > env.conf->max_timeout ||
		 blob_len(code) > env.conf->max_code_bytes)
		answer(REP_INVALID, "timeout or code is above its limit", NULL,
		    arg);
	else if ((a = calloc(1, sizeof(*a))) == NULL)
		answer(REP_UNAVAILABLE, "Out of memory", NULL, arg);
	if (a == NULL) {
		blob_unref(code);
		return;
	}
	a->r = *r;
	a->code = code;
	a->answer = answer;
	a->arg = arg;
	env.store_ops->get(
	    env.store, a->r.job_id, WANT_PAYLOAD, again_found, a);
}

/* ---- look
 * ---------------------------------------------------------------------- */

struct look {
	uint64_t req;
	enum view view;
	int64_t wait_ms;
	struct job *job; /* waits for its place in the queue */
};

static void
look_positioned(enum store_result result, int64_t position, void *arg)
{
	struct look *l = arg;

	reply_record(
	    l->req, l->job, l->view, 0, result == STORE_OK ? position : 0);
	job_free(l->job);
	free(l);
}

static void
looked(enum store_result result, struct job *job, void *arg)
{
	struct look *l = arg;

	if (result != STORE_OK)
		reply_error(l->req,
		    result == STORE_NOT_FOUND ? REP_NOT_FOUND : REP_UNAVAILABLE,
		    NULL,
		    result == STORE_NOT_FOUND
			? ""
			: "The database is not available");
	else if (l->wait_ms > 0 && !job_status_terminal(job->status))
		wait_add(l->req, job->id, l->view, l->wait_ms, 0, 0);
	else if (l->view == VIEW_STATUS && job->status == JOB_QUEUED) {
		l->job = job;
		env.store_ops->queue_position(
		    env.store, job->id, look_positioned, l);
		return;
	} else
		reply_record(l->req, job, l->view, 0, 0);
	job_free(job);
	free(l);
}

void
job_get(uint64_t req, const struct msg_req_get *m)
{
	struct look *l;

	if (!job_id_valid(m->job_id)) {
		reply_error(req, REP_NOT_FOUND, NULL, "");
		return;
	}
	if (!env.store_up) {
		reply_error(req, env.ready ? REP_UNAVAILABLE : REP_STARTING,
		    NULL, "The database is not available");
		return;
	}
	if ((l = calloc(1, sizeof(*l))) == NULL) {
		reply_error(req, REP_UNAVAILABLE, NULL, "Out of memory");
		return;
	}
	l->req = req;
	l->view = (enum view)m->view;
	l->wait_ms = (int64_t)m->wait_ms;
	env.store_ops->get(env.store, m->job_id,
	    m->view == VIEW_STATUS    ? WANT_STATUS
	    : m->view == VIEW_PAYLOAD ? WANT_OUTPUT | WANT_PAYLOAD
				      : WANT_OUTPUT,
	    looked, l);
}

/* ---- cancel
 * -------------------------------------------------------------------- */

struct cancel {
	uint64_t req;
};

static void
cancelled(enum store_result result, struct job *job, void *arg)
{
	struct cancel *c = arg;
	struct msg_rep_cancel m;

	memset(&m, 0, sizeof(m));
	if (result == STORE_OK || result == STORE_STALE) {
		if (result == STORE_OK) {
			log_info("job %s: cancelled while it waited", job->id);
			if (env.queued > 0)
				env.queued--;
			wait_job_ended(job);
		} else /* where it runs elsewhere, that takod is asked */
			run_cancel(job->id);
		strlcpy(m.job_id, job->id, sizeof(m.job_id));
		reply_send(c->req, MSG_T_REP_CANCEL, &m, -1);
	} else
		reply_error(c->req,
		    result == STORE_NOT_FOUND ? REP_NOT_FOUND : REP_UNAVAILABLE,
		    NULL, "");
	job_free(job);
	free(c);
}

void
job_cancel(uint64_t req, const struct msg_req_cancel *m)
{
	struct cancel *c;

	if (!job_id_valid(m->job_id)) {
		reply_error(req, REP_NOT_FOUND, NULL, "");
		return;
	}
	if (!env.store_up || (c = malloc(sizeof(*c))) == NULL) {
		reply_error(req, env.ready ? REP_UNAVAILABLE : REP_STARTING,
		    NULL, "The database is not available");
		return;
	}
	c->req = req;
	env.store_ops->cancel(env.store, m->job_id, cancelled, c);
}

/* ---- whoever asked is gone
 * ------------------------------------------------------ */

void
job_gone(uint64_t req)
{
	struct submit *sb;
	const char *id;
	int cancel = 0;

	TAILQ_FOREACH (sb, &submits, entry)
		if (sb->req == req)
			sb->gone = 1;
	id = wait_gone(req, &cancel);
	if (id != NULL && cancel)
		job_unwanted(id);
}

/* Its clients lost their connections, not their jobs: those go on. */
void
job_api_died(void)
{
	wait_drop_all();
	find_gone(0);
}
