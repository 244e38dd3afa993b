/*
 * pg_jobs.c: a job in PostgreSQL from its claim to its end, and its record
 * until that expires. Runs in the parent's loop. Where two takods may meet, a
 * row's lock and fence decide: whoever was slower is told STORE_STALE.
 */
#include <stdlib.h>
#include <string.h>

#include "pg_store.h"
#include "util.h"

#define CLAIM_TRIES 4

static int
claimed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (pg_op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (pg_op_done_job(op, STORE_NOT_FOUND, NULL));
	if (PQgetisnull(res, 0, C_ID)) {
		/* Another takod was faster, again and again: it has work. */
		if (r->tries < CLAIM_TRIES)
			return (PG_AGAIN);
		return (pg_op_done_job(op, STORE_NOT_FOUND, NULL));
	}
	if ((j = pg_get_job(res, 0)) == NULL || pg_get_payload(res, j) == -1 ||
	    pg_get_attempts(res, CLAIM_ATTEMPTS, j) == -1)
		result = STORE_FAILED;
	return (pg_op_done_job(op, result, j));
}

void
pg_claim(struct store *s, int code_started, store_job_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_CLAIM, claimed, arg);

	op->cb.job = cb;
	pg_op_number_claim(op);
	pg_int(&op->req, code_started != 0);
	pg_text(&op->req, op->owner);
	pg_int(&op->req, s->claims % STORE_AGED_CLAIM == 0);
	pg_int(&op->req, s->age_us);
	pg_op_send(op);
}

/* OK when the guard held, STALE when it did not. */
int
pg_guarded(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "1") != 0)
		result = STORE_STALE;
	if (result == STORE_OK && r->statement == S_FINISH)
		pg_wake_others(op->s, 'e', op->in->id);
	else if (result == STORE_OK && r->statement == S_RELEASE)
		pg_wake_others(op->s, 'q', "");
	return (pg_op_done(op, result));
}

void
pg_start(struct store *s, const char *id, int64_t fence, store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_START, pg_guarded, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, fence);
	pg_op_send(op);
}

void
pg_release(struct store *s, const struct job *job, int64_t delay_us,
    store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_RELEASE, pg_guarded, arg);
	struct pg_request *r = &op->req;
	const struct attempt *a;

	op->cb.plain = cb;
	op->in = job_lend(job);
	a = attempt_present(op->in);
	pg_text(r, op->in->id);
	pg_int(r, op->in->fence);
	pg_int(r, delay_us);
	pg_int(r, a != NULL ? a->ended_at : 0);
	pg_text(r, a != NULL ? job_error_name(a->error) : NULL);
	pg_text(r, a != NULL ? a->place : "");
	pg_text(r, a != NULL ? a->message : "");
	pg_op_send(op);
}

/* How it ended, which finish and import write alike. */
static void
bind_outcome(struct pg_request *r, const struct job *j)
{
	pg_int(r, j->ended_at);
	pg_int(r, j->exit_code);
	pg_text(r, job_error_name(j->error));
	pg_text(r, job_phase_name(j->error_phase));
	pg_text(r, j->error_message);
	pg_int(r, j->startup_ms);
	pg_int(r, j->dependencies_ms);
	pg_int(r, j->execution_ms);
	pg_int(r, j->total_ms);
	pg_text(r, job_phase_name(j->phase_at_exit));
	pg_text(r, runtime_name(j->runtime));
	pg_int(r, j->out_truncated);
	pg_int(r, j->err_truncated);
	pg_int(r, j->max_rss_kb);
	pg_int(r, j->cpu_ms);
	pg_int(r, j->wall_ms);
	pg_int(r, j->oom_kills);
}

/* What is kept of it. */
static void
bind_kept(struct op *op)
{
	const struct job *j = op->in;

	pg_bind_blob(op, j->out);
	pg_bind_blob(op, j->err);
	pg_bind_blob(op, j->output);
	pg_bind_blob(op, j->extras);
	pg_bind_blob(op, op->artifacts);
}

void
pg_finish(struct store *s, const struct job *job, store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_FINISH, pg_guarded, arg);
	struct pg_request *r = &op->req;
	const struct attempt *a;
	const struct job *j;

	op->cb.plain = cb;
	j = op->in = job_lend(job);
	op->artifacts = artifacts_pack(j->artifacts, j->n_artifacts);
	if (op->artifacts == NULL) {
		pg_op_refuse(op);
		return;
	}
	pg_text(r, j->id);
	pg_int(r, j->fence);
	pg_text(r, job_status_name(j->status));
	bind_outcome(r, j);
	bind_kept(op);
	pg_text(r, j->job_type);
	a = attempt_present(j);
	pg_text(r, a != NULL ? a->place : "");
	pg_text(r, a != NULL ? a->message : "");
	pg_text(r, j->artifact_store);
	pg_op_send(op);
}

static int
cancelled(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (pg_op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (pg_op_done_job(op, STORE_NOT_FOUND, NULL));
	if ((j = pg_get_job(res, 0)) == NULL)
		return (pg_op_done_job(op, STORE_FAILED, NULL));
	switch ((enum cancel_done)pg_get_int(res, 0, CANCEL_DONE)) {
	case CANCEL_ENDED:
		pg_wake_others(op->s, 'e', j->id);
		break;
	case CANCEL_ASKED:
		pg_wake_others(op->s, 'c', j->id);
		result = STORE_STALE;
		break;
	case CANCEL_NOTHING:
		if (!job_status_terminal(j->status)) {
			/* It has moved just now: see what it is since. */
			job_free(j);
			return (PG_AGAIN);
		}
		result = STORE_NOT_FOUND;
		break;
	}
	return (pg_op_done_job(op, result, j));
}

void
pg_cancel(struct store *s, const char *id, store_job_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_CANCEL, cancelled, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_op_send(op);
}

static int
got(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (pg_op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (pg_op_done_job(op, STORE_NOT_FOUND, NULL));
	if ((j = pg_get_job(res, 0)) == NULL ||
	    ((op->want & WANT_PAYLOAD) && pg_get_payload(res, j) == -1) ||
	    ((op->want & (WANT_OUTPUT | WANT_ARTIFACTS)) &&
		pg_get_output(res, j) == -1))
		result = STORE_FAILED;
	return (pg_op_done_job(op, result, j));
}

void
pg_get(struct store *s, const char *id, int want, store_job_cb cb, void *arg)
{
	int artifacts = want == WANT_ARTIFACTS;
	struct op *op =
	    pg_op_new(s, artifacts ? S_GET_ARTIFACTS : S_GET, got, arg);

	op->cb.job = cb;
	op->want = want;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	if (!artifacts) {
		pg_int(&op->req, want & WANT_PAYLOAD);
		pg_int(&op->req, want & (WANT_OUTPUT | WANT_ARTIFACTS));
	}
	pg_op_send(op);
}

static int
positioned(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	op->cb.position(
	    result, result == STORE_OK ? pg_get_int(res, 0, 0) : 0, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_queue_position(struct store *s, const char *id,
    void (*cb)(enum store_result, int64_t, void *), void *arg)
{
	struct op *op = pg_op_new(s, S_POSITION, positioned, arg);

	op->cb.position = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_op_send(op);
}

static int
imported(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	if (result == STORE_OK && pg_get_int(res, 0, 0) == 0) {
		result =
		    pg_get_int(res, 0, 1) > 0 ? STORE_EXISTS : STORE_CONFLICT;
		/* Or somebody's insert was faster, and is seen now. */
		if (result == STORE_CONFLICT && r->tries < 2)
			return (PG_AGAIN);
	}
	return (pg_op_done(op, result));
}

void
pg_import(struct store *s, const struct job *job, store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_IMPORT, imported, arg);
	struct pg_request *r = &op->req;
	const struct job *j;

	op->cb.plain = cb;
	j = op->in = job_lend(job);
	op->artifacts = artifacts_pack(j->artifacts, j->n_artifacts);
	if (op->artifacts == NULL) {
		pg_op_refuse(op);
		return;
	}
	pg_bind_asked(r, j);
	pg_text(r, job_status_name(j->status));
	pg_int(r, j->fence);
	pg_int(r, j->attempt);
	pg_int(r, j->not_before);
	pg_int(r, j->code_started);
	pg_int(r, j->started_at);
	bind_outcome(r, j);
	pg_text(r, j->job_ref);
	pg_text(r, j->tenant);
	pg_bind_bytes(op, j->code);
	pg_bind_bytes(op, j->input);
	pg_bind_bytes(op, j->requirements);
	bind_kept(op);
	pg_text(r, j->artifact_store);
	pg_op_send(op);
}

static int
expired(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct store_expired *gone = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		gone = xcalloc((size_t)n, sizeof(*gone));
	for (i = 0; i < n; i++) {
		pg_get_text(res, i, 0, gone[i].id, sizeof(gone[i].id));
		pg_get_text(res, i, 1, gone[i].artifact_store,
		    sizeof(gone[i].artifact_store));
	}
	op->cb.expired(result, gone, (size_t)n, op->arg);
	free(gone);
	pg_op_free(op);
	return (0);
}

void
pg_expire(
    struct store *s, int64_t age_us, int max, store_expired_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_EXPIRE, expired, arg);

	op->cb.expired = cb;
	pg_int(&op->req, age_us);
	pg_int(&op->req, max);
	pg_op_send(op);
}
