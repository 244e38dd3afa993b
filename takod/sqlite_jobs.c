/*
 * sqlite_jobs.c: a job in the SQLite file from its claim to its end, and its
 * record until that expires. Runs in the parent's loop, within a transaction
 * that store_sqlite.c opens and commits; a call that fails is undone by it.
 */
#include <string.h>

#include "sqlite_store.h"
#include "store_schema.h"
#include "util.h"

/*
 * Old rows are removed for so long in one call: a large one takes longer than
 * many small ones.
 */
#define EXPIRE_US 2000

/* A job's id, and a number, by one of the statements that find who is next. */
static enum store_result
find_next(
    struct store *s, sqlite3_stmt *st, char id[MAX_JOB_ID + 1], int64_t *number)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW) {
		sqlite_get_text(st, 0, id, MAX_JOB_ID + 1);
		*number = sqlite3_column_int64(st, 1);
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_OK);
	return (rc == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_fault(s, rc));
}

/* The job whose turn it is. */
static enum store_result
claim_find(struct store *s, int64_t now, char id[MAX_JOB_ID + 1])
{
	char aged[MAX_JOB_ID + 1];
	enum store_result r;
	sqlite3_stmt *st;
	int64_t highest, since, oldest = INT64_MAX;
	int priority;

	st = sqlite_stmt(s, S_CLAIM_TURN);
	sqlite3_bind_int64(st, 1, now);
	if ((r = find_next(s, st, id, &highest)) != STORE_OK)
		return (r);
	if (++s->claims % STORE_AGED_CLAIM != 0)
		return (STORE_OK);
	for (priority = 0; priority < highest; priority++) {
		st = sqlite_stmt(s, S_CLAIM_AGED);
		sqlite3_bind_int64(st, 1, now);
		sqlite3_bind_int(st, 2, priority);
		sqlite3_bind_int64(st, 3, now - s->age_us);
		r = find_next(s, st, aged, &since);
		if (r != STORE_OK && r != STORE_NOT_FOUND)
			return (r);
		if (r == STORE_OK && since < oldest) {
			oldest = since;
			strlcpy(id, aged, MAX_JOB_ID + 1);
		}
	}
	return (STORE_OK);
}

enum store_result
call_claim(struct store *s, struct store_op *op)
{
	enum store_result r;
	sqlite3_stmt *st;
	char id[MAX_JOB_ID + 1];
	int64_t now = time_wall_us();
	int rc;

	if ((r = claim_find(s, now, id)) != STORE_OK)
		return (r);
	st = sqlite_stmt(s, S_CLAIM);
	sqlite_put_text(st, 1, id);
	sqlite3_bind_int(st, 2, op->flag);
	sqlite3_bind_int64(st, 3, now);
	sqlite_put_text(st, 4, s->owner);
	sqlite3_bind_int64(st, 5, now + s->lease_us);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = sqlite_by_id(s, id, &op->job)) != STORE_OK ||
	    (r = sqlite_get_attempts(s, op->job)) != STORE_OK)
		return (r);
	return (sqlite_get_payload(s, op->job));
}

enum store_result
call_start(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_START);

	sqlite_put_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, op->n1);
	return (sqlite_guarded(s, st));
}

/* How the present attempt failed, where it did. */
static enum store_result
note_attempt(struct store *s, const struct job *j)
{
	const struct attempt *a = attempt_present(j);
	sqlite3_stmt *st;
	int rc;

	if (a == NULL)
		return (STORE_OK);
	st = sqlite_stmt(s, S_NOTE);
	sqlite_put_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	sqlite3_bind_int64(st, 3, a->ended_at);
	sqlite_put_text(st, 4, job_error_name(a->error));
	sqlite_put_text(st, 5, a->place);
	sqlite_put_text(st, 6, a->message);
	rc = sqlite_run(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

/* A dead letter for one that failed so for good. */
static enum store_result
put_letter(struct store *s, const struct job *j)
{
	enum store_result r;
	sqlite3_stmt *st;
	int rc;

	if (attempt_present(j) == NULL)
		return (STORE_OK);
	if ((r = note_attempt(s, j)) != STORE_OK)
		return (r);
	st = sqlite_stmt(s, S_LETTER);
	sqlite_put_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	rc = sqlite_run(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_release(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	int64_t now = time_wall_us();
	sqlite3_stmt *st;

	if ((r = note_attempt(s, j)) != STORE_OK)
		return (r);
	st = sqlite_stmt(s, S_RELEASE);
	sqlite_put_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	sqlite3_bind_int64(st, 3, now + op->n1);
	sqlite3_bind_int64(st, 4, now);
	return (sqlite_guarded(s, st));
}

static enum store_result
put_output(struct store *s, const struct job *j)
{
	struct blob *list;
	sqlite3_stmt *st;
	int rc;

	if ((list = artifacts_pack(j->artifacts, j->n_artifacts)) == NULL)
		return (STORE_FAILED);
	st = sqlite_stmt(s, S_FINISH_OUTPUT);
	sqlite_put_text(st, 1, j->id);
	sqlite_put_blob(st, 2, j->out);
	sqlite_put_blob(st, 3, j->err);
	sqlite_put_blob(st, 4, j->output);
	sqlite_put_blob(st, 5, j->extras);
	sqlite_put_blob(st, 6, list);
	sqlite_put_text(st, 7, j->artifact_store);
	rc = sqlite_run(st);
	sqlite3_clear_bindings(st);
	blob_unref(list);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

/*
 * How it ended, which finish and import write alike: from a parameter on, in
 * the order of the columns.
 */
static void
bind_outcome(sqlite3_stmt *st, int at, const struct job *j)
{
	sqlite3_bind_int64(st, at++, j->ended_at);
	sqlite3_bind_int(st, at++, j->exit_code);
	sqlite_put_text(st, at++, job_error_name(j->error));
	sqlite_put_text(st, at++, job_phase_name(j->error_phase));
	sqlite_put_text(st, at++, j->error_message);
	sqlite3_bind_int64(st, at++, j->startup_ms);
	sqlite3_bind_int64(st, at++, j->dependencies_ms);
	sqlite3_bind_int64(st, at++, j->execution_ms);
	sqlite3_bind_int64(st, at++, j->total_ms);
	sqlite_put_text(st, at++, job_phase_name(j->phase_at_exit));
	sqlite_put_text(st, at++, runtime_name(j->runtime));
	sqlite3_bind_int(st, at++, j->out_truncated);
	sqlite3_bind_int(st, at++, j->err_truncated);
	sqlite3_bind_int64(st, at++, j->max_rss_kb);
	sqlite3_bind_int64(st, at++, j->cpu_ms);
	sqlite3_bind_int64(st, at++, j->wall_ms);
	sqlite3_bind_int64(st, at++, j->oom_kills);
}

enum store_result
call_finish(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	sqlite3_stmt *st;

	if (!sqlite_texts_valid(j))
		return (STORE_FAILED);
	/*
	 * Written a second time by who wrote it, it is written: as in
	 * PostgreSQL, where the first answer may be lost.
	 */
	st = sqlite_stmt(s, S_FINISH);
	sqlite_put_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	sqlite_put_text(st, 3, job_status_name(j->status));
	bind_outcome(st, 4, j);
	sqlite_put_text(st, 21, j->job_type);
	if ((r = sqlite_guarded(s, st)) != STORE_OK ||
	    (r = put_letter(s, j)) != STORE_OK)
		return (r);
	return (put_output(s, j));
}

static int
import_row(struct store *s, const struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_IMPORT);

	sqlite_bind_asked(st, j);
	sqlite3_bind_int64(st, C_CREATED_AT + 1, j->created_at);
	sqlite_put_text(st, C_STATUS + 1, job_status_name(j->status));
	sqlite3_bind_int64(st, C_FENCE + 1, j->fence);
	sqlite3_bind_int(st, C_ATTEMPT + 1, j->attempt);
	sqlite3_bind_int64(st, C_NOT_BEFORE + 1, j->not_before);
	sqlite3_bind_int(st, C_CODE_STARTED + 1, j->code_started);
	sqlite3_bind_int64(st, C_STARTED_AT + 1, j->started_at);
	bind_outcome(st, C_ENDED_AT + 1, j);
	sqlite_put_text(st, C_JOB_REF + 1, j->job_ref);
	sqlite_put_text(st, C_TENANT + 1, j->tenant);
	return (sqlite_run(st));
}

enum store_result
call_import(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	struct job *known = NULL;
	enum store_result r;
	sqlite3_stmt *st;
	int rc;

	if (!sqlite_texts_valid(j) || !job_status_terminal(j->status) ||
	    j->ended_at <= 0)
		return (STORE_FAILED);
	r = sqlite_by_id(s, j->id, &known);
	if (r == STORE_NOT_FOUND && j->idempotency_key[0] != '\0') {
		st = sqlite_stmt(s, S_BY_KEY);
		sqlite_put_text(st, 1, j->idempotency_key);
		sqlite_put_text(st, 2, j->tenant);
		if ((r = sqlite_select_job(s, st, &known)) == STORE_OK)
			r = STORE_CONFLICT;
	} else if (r == STORE_OK)
		r = STORE_EXISTS;
	job_free(known);
	if (r != STORE_NOT_FOUND)
		return (r);
	if ((rc = import_row(s, j)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = sqlite_put_payload(s, j)) != STORE_OK)
		return (r);
	return (put_output(s, j));
}

enum store_result
call_cancel(struct store *s, struct store_op *op)
{
	enum store_result guard, r;
	sqlite3_stmt *st;

	st = sqlite_stmt(s, S_CANCEL);
	sqlite_put_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, time_wall_us());
	if ((guard = sqlite_guarded(s, st)) != STORE_OK && guard != STORE_STALE)
		return (guard);
	if (guard == STORE_STALE) {
		st = sqlite_stmt(s, S_CANCEL_ASK);
		sqlite_put_text(st, 1, op->id);
		r = sqlite_guarded(s, st);
		if (r != STORE_OK)
			return (r == STORE_STALE ? STORE_NOT_FOUND : r);
	}
	if ((r = sqlite_by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	return (guard);
}

enum store_result
call_get(struct store *s, struct store_op *op)
{
	enum store_result r;

	if ((r = sqlite_by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	if ((op->flag & (WANT_OUTPUT | WANT_ARTIFACTS)) &&
	    (r = sqlite_get_output(s,
		 op->flag & WANT_OUTPUT ? S_OUTPUT : S_ARTIFACTS, op->job)) !=
		STORE_OK)
		return (r);
	if ((op->flag & WANT_OUTPUT) &&
	    (r = sqlite_get_attempts(s, op->job)) != STORE_OK)
		return (r);
	if (op->flag & WANT_PAYLOAD)
		r = sqlite_get_payload(s, op->job);
	return (r);
}

enum store_result
call_position(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_POSITION);

	sqlite_put_text(st, 1, op->id);
	return (sqlite_number(s, st, &op->position));
}

/* One by one, so that the time of each counts. */
enum store_result
call_expire(struct store *s, struct store_op *op)
{
	int64_t until = time_mono_us() + EXPIRE_US;
	int64_t before = time_wall_us() - op->n1;
	enum store_result r;
	sqlite3_stmt *st;
	struct store_expired *e;
	int rc;

	op->n_gone = 0;
	while ((int)op->n_gone < op->flag && time_mono_us() < until) {
		e = &op->gone[op->n_gone];
		st = sqlite_stmt(s, S_EXPIRED);
		sqlite3_bind_int64(st, 1, before);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW) {
			sqlite_get_text(st, 0, e->id, sizeof(e->id));
			sqlite_get_text(st, 1, e->artifact_store,
			    sizeof(e->artifact_store));
		}
		sqlite3_reset(st);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW)
			return (sqlite_fault(s, rc));
		r = sqlite_forget(s, e->id);
		if (r != STORE_OK)
			return (r);
		st = sqlite_stmt(s, S_EXPIRE);
		sqlite_put_text(st, 1, e->id);
		if ((rc = sqlite_run(st)) != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		op->n_gone++;
	}
	return (STORE_OK);
}
