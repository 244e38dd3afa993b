/*
 * reply.c: answers to tako-api, and the record as takoctl gets it too. Runs in
 * the parent. What a job wrote goes out as it came in: counted bytes in one
 * sealed memfd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "log.h"
#include "takod.h"
#include "util.h"

/* When it is worth another try, in s; 0: nothing is known of that. */
static unsigned
retry_after(enum rep error)
{
	switch (error) {
	case REP_UNAVAILABLE:
	case REP_STARTING:
		return (1);
	case REP_QUEUE_FULL:
		return (queue_retry_after(1));
	case REP_FILLED:
		/* It waits for its turn: all that take turns go once. */
		return (queue_retry_after(env.tenants_waiting));
	case REP_SPENT:
		return (tenant_window_left());
	default:
		return (0);
	}
}

/* Who asked, or NULL: it is gone, whoever is there now. */
static struct child *
asker(uint64_t req)
{
	struct child *api = proc_api();

	return (api != NULL && (uint64_t)api->pid == req >> 32 ? api : NULL);
}

int
reply_wanted(uint64_t req)
{
	return (asker(req) != NULL);
}

void
reply_send(uint64_t req, uint32_t type, const void *m, int fd)
{
	struct child *api = asker(req);

	if (api != NULL)
		proc_send(api, type, (uint32_t)req, m, fd);
}

void
reply_error(
    uint64_t req, enum rep error, const char *job_id, const char *detail)
{
	struct msg_rep_error m;

	memset(&m, 0, sizeof(m));
	m.error = error;
	m.retry_after = retry_after(error);
	strlcpy(m.job_id, job_id == NULL ? "" : job_id, sizeof(m.job_id));
	strlcpy(m.detail, detail, sizeof(m.detail));
	reply_send(req, MSG_T_REP_ERROR, &m, -1);
}

static void
record_fill(struct msg_rep_record *m, const struct job *job)
{
	memset(m, 0, sizeof(*m));
	strlcpy(m->job_id, job->id, sizeof(m->job_id));
	m->status = job->status;
	strlcpy(m->job_type, job->job_type, sizeof(m->job_type));
	/* As 0.3 names every version, also one that was asked for. */
	snprintf(m->job_version, sizeof(m->job_version), "%s@latest",
	    job->job_ref[0] != '\0' ? job->job_ref : job->job_type);
	m->created_at = job->created_at;
	m->started_at = job->started_at;
	m->ended_at = job->ended_at;
	m->exit_code = job->exit_code;
	m->error = job->error;
	m->error_phase = job->error_phase;
	strlcpy(m->error_message, job->error_message, sizeof(m->error_message));
	m->startup_ms = job->startup_ms;
	m->dependencies_ms = job->dependencies_ms;
	m->execution_ms = job->execution_ms;
	m->total_ms = job->total_ms;
	m->phase_at_exit = job->phase_at_exit;
	m->runtime = job->runtime;
	m->stdout_truncated = job->out_truncated != 0;
	m->stderr_truncated = job->err_truncated != 0;
	m->max_rss_kb = job->max_rss_kb;
	m->cpu_ms = job->cpu_ms;
	m->wall_ms = job->wall_ms;
	memcpy(m->code_hash, job->code_hash, sizeof(m->code_hash));
	memcpy(m->input_hash, job->input_hash, sizeof(m->input_hash));
	m->code_len = job->code_len;
	m->input_len = job->input_len;
	strlcpy(m->parent_id, job->parent_id, sizeof(m->parent_id));
	m->relationship = job->relationship;
	strlcpy(m->idempotency_key, job->idempotency_key,
	    sizeof(m->idempotency_key));
	strlcpy(
	    m->correlation_id, job->correlation_id, sizeof(m->correlation_id));
	strlcpy(m->key_name, tenant_key_name(job->tenant), sizeof(m->key_name));
	m->attempt = (uint64_t)job->attempt;
	m->timeout = (uint64_t)job->timeout;
	m->startup_timeout = (uint64_t)job->startup_timeout;
	memcpy(m->fingerprint, job->fingerprint, sizeof(m->fingerprint));
	strlcpy(m->client, job->client, sizeof(m->client));
	strlcpy(m->tenant, job->tenant, sizeof(m->tenant));
	m->oom_kills = job->oom_kills;
}

/* ---- takod's own object of a whole record -------------------------------- */

static json_t *
time_or_null(int64_t us)
{
	char buf[40];

	return (us == 0 ? json_null()
			: json_string(time_iso(buf, sizeof(buf), us)));
}

static json_t *
attempt_json(int number, int64_t started_at, int64_t ended_at, const char *type,
    const char *place, const char *message)
{
	return (json_pack("{s:i, s:o, s:o, s:s?, s:s?, s:s?}", "attempt",
	    number, "started_at", time_or_null(started_at), "ended_at",
	    time_or_null(ended_at), "error_type", type, "where", place,
	    "message", message));
}

/* Those that failed by a fault that was not the job's, then the present one. */
static json_t *
attempts_json(const struct job *job)
{
	const struct attempt *a;
	json_t *list = json_array();
	int i;

	for (i = 0; i < job->n_attempts; i++) {
		a = &job->attempts[i];
		json_array_append_new(
		    list, attempt_json(a->number, a->started_at, a->ended_at,
			      job_error_name(a->error), a->place, a->message));
	}
	if (job->started_at != 0 && attempt_present(job) == NULL)
		json_array_append_new(list,
		    attempt_json(job->attempt, job->started_at, job->ended_at,
			job_error_name(job->error), NULL,
			job->error == JERR_NONE ? NULL : job->error_message));
	return (list);
}

/* What is stored of it, and what is known by other columns. NULL: no memory. */
static struct blob *
extras_full(const struct job *job)
{
	struct blob *b = NULL;
	json_t *o = NULL;
	char *text;

	if (blob_len(job->extras) > 0)
		o = json_loadb((const char *)blob_data(job->extras),
		    blob_len(job->extras), 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		o = json_object();
	}
	/* What was imported has them already. */
	if (json_object_get(o, "attempts") == NULL)
		json_object_set_new(o, "attempts", attempts_json(job));
	if ((text = json_dumps(o, JSON_COMPACT)) != NULL)
		b = blob_take(text, strlen(text));
	json_decref(o);
	return (b);
}

int
reply_record_to(struct imsgev *iev, uint32_t req, const struct job *job,
    enum view view, int timed_out, int64_t queue_position)
{
	struct msg_rep_record m;
	struct blob *parts[8] = { NULL }, *all = NULL;
	int fd = -1, ret;
	size_t i, len = 0;

	record_fill(&m, job);
	m.timed_out = timed_out != 0;
	m.queue_position = (uint64_t)queue_position;
	if (view != VIEW_STATUS) {
		parts[0] = job->out;
		parts[1] = job->err;
		parts[2] = job->output;
		parts[3] = artifacts_pack(job->artifacts, job->n_artifacts);
		/* Nobody else is shown it. */
		if (view == VIEW_FULL || view == VIEW_PAYLOAD)
			parts[4] = extras_full(job);
		m.stdout_len = blob_len(parts[0]);
		m.stderr_len = blob_len(parts[1]);
		m.output_len = blob_len(parts[2]);
		m.artifacts_len = blob_len(parts[3]);
		m.extras_len = blob_len(parts[4]);
		if (view == VIEW_PAYLOAD && job->code != NULL) {
			parts[5] = job->code;
			parts[6] = job->input;
			parts[7] = job->requirements;
			m.payload = 1;
			m.requirements_len = blob_len(job->requirements);
		}
		for (i = 0; i < nitems(parts); i++)
			len += blob_len(parts[i]);
		if (len > 0) {
			all = blob_concat(parts, nitems(parts));
			if (all == NULL || (fd = blob_fd(all)) == -1) {
				log_warn("job %s: no memory for its record",
				    job->id);
				blob_unref(all);
				blob_unref(parts[3]);
				blob_unref(parts[4]);
				return (-1);
			}
		}
	}
	ret = imsgev_compose(iev, MSG_T_REP_RECORD, req, &m, fd);
	blob_unref(all);
	blob_unref(parts[3]);
	blob_unref(parts[4]);
	return (ret);
}

void
reply_record(uint64_t req, const struct job *job, enum view view, int timed_out,
    int64_t queue_position)
{
	struct child *api = asker(req);

	if (api == NULL || api->iev == NULL)
		return;
	if (reply_record_to(api->iev, (uint32_t)req, job, view, timed_out,
		queue_position) == -1)
		reply_error(req, REP_INTERNAL, job->id, "");
}

void
reply_submit(uint64_t req, const struct job *job, enum job_status status)
{
	struct msg_rep_submit m;

	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, job->id, sizeof(m.job_id));
	m.status = status;
	reply_send(req, MSG_T_REP_SUBMIT, &m, -1);
}

int
reply_json_to(struct imsgev *iev, uint32_t req, const json_t *answer)
{
	struct msg_rep_json m;
	struct blob *b = NULL;
	char *text;
	int fd, ret = -1;

	if ((text = json_dumps(answer, JSON_COMPACT)) != NULL)
		b = blob_take(text, strlen(text));
	memset(&m, 0, sizeof(m));
	m.len = blob_len(b);
	if (b != NULL && (fd = blob_fd(b)) != -1)
		ret = imsgev_compose(iev, MSG_T_REP_JSON, req, &m, fd);
	blob_unref(b);
	return (ret);
}

void
reply_answer(enum rep error, const char *detail, json_t *answer, void *arg)
{
	uint64_t req = (uintptr_t)arg;
	struct child *api = asker(req);

	if (api == NULL || api->iev == NULL)
		return;
	if (error != REP_NONE)
		reply_error(req, error, NULL, detail);
	else if (reply_json_to(api->iev, (uint32_t)req, answer) == -1)
		reply_error(req, REP_INTERNAL, NULL, "");
}

uint64_t
reply_number(const struct child *api, uint32_t id)
{
	return ((uint64_t)api->pid << 32 | id);
}

void *
reply_asker(const struct child *api, uint32_t id)
{
	_Static_assert(sizeof(void *) == 8, "a pid and a number");
	return ((void *)(uintptr_t)reply_number(api, id));
}

/* A health check hears what was so at most so long ago. */
#define STATS_FRESH_MS 100

void
reply_stats_fill(struct msg_rep_stats *m)
{
	unsigned ready, starting, wanted;

	memset(m, 0, sizeof(*m));
	pool_counts(&ready, &starting, &wanted);
	m->ready = env.ready != 0;
	m->fresh_ms = STATS_FRESH_MS;
	m->engine_up = env.engine_up != 0;
	m->store_up = env.store_up != 0;
	m->gvisor = env.gvisor != 0;
	m->fallback = env.fallback != 0;
	m->production_mode = env.conf->production_mode != 0;
	m->breaker = env.breaker.state;
	m->failures = env.breaker.failures;
	m->successes = env.breaker.successes;
	m->last_failure = env.breaker.last_failure;
	m->pending = (uint64_t)(env.queued < 0 ? 0 : env.queued);
	m->tenants_waiting =
	    (uint64_t)(env.queued <= 0 ? 0 : env.tenants_waiting);
	m->running = run_count();
	m->max_workers = (uint64_t)env.conf->max_workers;
	m->max_queue = (uint64_t)env.conf->max_queue_size;
	m->slots_ready = ready;
	m->slots_starting = starting;
	m->slots_wanted = wanted;
	m->warm_pool_size = env.conf->warm_pool_size < 0
				? WARM_DEFAULT
				: (uint64_t)env.conf->warm_pool_size;
	m->jobs_warm = env.jobs_warm;
	m->jobs_cold = env.jobs_cold;
	m->nodes = (uint64_t)env.nodes;
	m->nodes_running = (uint64_t)env.nodes_running;
	m->nodes_workers = (uint64_t)env.nodes_workers;
	strlcpy(m->node, env.node, sizeof(m->node));
	strlcpy(m->engine, env.engine_ops == NULL ? "" : env.engine_ops->name,
	    sizeof(m->engine));
	strlcpy(m->store, env.store_ops == NULL ? "" : env.store_ops->name,
	    sizeof(m->store));
	if (env.runtime != RUNTIME_NONE)
		strlcpy(
		    m->runtime, runtime_name(env.runtime), sizeof(m->runtime));
	strlcpy(m->detail,
	    env.draining     ? "Draining: no new jobs are taken"
	    : !env.store_up  ? "Waiting for the database"
	    : !env.engine_up ? "Waiting for the container engine"
	    : env.fallback   ? "gVisor is not available: jobs run under runc"
	    : !env.ready     ? "Starting"
			     : "",
	    sizeof(m->detail));
}
