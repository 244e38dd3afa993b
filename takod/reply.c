/*
 * reply.c: answers to tako-api, and the record as takoctl gets it too. Runs in
 * the parent. What a job wrote goes out as it came in: counted bytes in one
 * sealed memfd.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "takod.h"
#include "util.h"

void
reply_error(
    uint32_t req, enum rep error, const char *job_id, const char *detail)
{
	struct msg_rep_error m;
	struct child *api = proc_api();

	if (api == NULL)
		return;
	memset(&m, 0, sizeof(m));
	m.error = error;
	if (error == REP_QUEUE_FULL || error == REP_UNAVAILABLE ||
	    error == REP_STARTING)
		m.retry_after = 1;
	strlcpy(m.job_id, job_id == NULL ? "" : job_id, sizeof(m.job_id));
	strlcpy(m.detail, detail, sizeof(m.detail));
	proc_send(api, MSG_T_REP_ERROR, req, &m, -1);
}

static void
record_fill(struct msg_rep_record *m, const struct job *job)
{
	memset(m, 0, sizeof(*m));
	strlcpy(m->job_id, job->id, sizeof(m->job_id));
	m->status = job->status;
	strlcpy(m->job_type, job->job_type, sizeof(m->job_type));
	/* 0.3 names every version so, unless the asker named one. */
	snprintf(m->job_version, sizeof(m->job_version), "%s%s", job->job_type,
	    strchr(job->job_type, '@') != NULL ? "" : "@latest");
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
	m->attempt = (uint64_t)job->attempt;
	m->timeout = (uint64_t)job->timeout;
	m->startup_timeout = (uint64_t)job->startup_timeout;
	memcpy(m->fingerprint, job->fingerprint, sizeof(m->fingerprint));
	strlcpy(m->client, job->client, sizeof(m->client));
	m->oom_kills = job->oom_kills;
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
		parts[4] = job->extras;
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
				return (-1);
			}
		}
	}
	ret = imsgev_compose(iev, MSG_T_REP_RECORD, req, &m, fd);
	blob_unref(all);
	blob_unref(parts[3]);
	return (ret);
}

void
reply_record(struct child *api, uint32_t req, const struct job *job,
    enum view view, int timed_out, int64_t queue_position)
{
	if (api == NULL || api->iev == NULL)
		return;
	if (reply_record_to(
		api->iev, req, job, view, timed_out, queue_position) == -1)
		reply_error(req, REP_INTERNAL, job->id, "");
}

void
reply_submit(uint32_t req, const struct job *job, enum job_status status)
{
	struct msg_rep_submit m;
	struct child *api = proc_api();

	if (api == NULL)
		return;
	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, job->id, sizeof(m.job_id));
	m.status = status;
	proc_send(api, MSG_T_REP_SUBMIT, req, &m, -1);
}

void
reply_stats_fill(struct msg_rep_stats *m)
{
	unsigned ready, starting;

	memset(m, 0, sizeof(*m));
	pool_counts(&ready, &starting);
	m->ready = env.ready != 0;
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
	m->running = run_count();
	m->max_workers = (uint64_t)env.conf->max_workers;
	m->max_queue = (uint64_t)env.conf->max_queue_size;
	m->slots_ready = ready;
	m->slots_starting = starting;
	m->warm_pool_size = (uint64_t)env.conf->warm_pool_size;
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
