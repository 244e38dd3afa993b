/*
 * sqlite_submit.c: a job is put into the SQLite file. Runs in the parent's
 * loop, within a transaction that store_sqlite.c opens and commits; a call that
 * fails is undone by it.
 */
#include <string.h>

#include "sqlite_store.h"
#include "store_schema.h"
#include "util.h"

/* Where it begins, which the row and the answer have. */
static int
insert_row(struct store *s, struct job *j, int start)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_INSERT);
	int64_t now = time_wall_us();
	int i;

	strlcpy(j->job_ref, j->job_type, sizeof(j->job_ref));
	if (j->created_at == 0)
		j->created_at = now;
	j->status = start ? JOB_RUNNING : JOB_QUEUED;
	j->fence = j->attempt = j->code_started = start;
	j->started_at = start ? now : 0;
	sqlite_bind_asked(st, j);
	sqlite3_bind_int64(st, C_CREATED_AT + 1, j->created_at);
	sqlite_put_text(st, C_STATUS + 1, job_status_name(j->status));
	sqlite3_bind_int64(st, C_FENCE + 1, j->fence);
	sqlite3_bind_int(st, C_ATTEMPT + 1, j->attempt);
	sqlite3_bind_int64(st, C_NOT_BEFORE + 1, j->not_before);
	sqlite3_bind_int(st, C_CODE_STARTED + 1, j->code_started);
	sqlite3_bind_int64(st, C_STARTED_AT + 1, j->started_at);
	sqlite3_bind_int(st, C_ENDED_AT + 1, 0);
	for (i = C_EXIT_CODE; i <= C_OOM_KILLS; i++)
		sqlite3_bind_int(st, i + 1, -1);
	sqlite_put_text(st, C_JOB_REF + 1, j->job_ref);
	sqlite_put_text(st, C_ERROR + 1, NULL);
	sqlite_put_text(st, C_ERROR_PHASE + 1, NULL);
	sqlite_put_text(st, C_ERROR_MESSAGE + 1, "");
	sqlite_put_text(st, C_PHASE_AT_EXIT + 1, NULL);
	sqlite_put_text(st, C_RUNTIME + 1, NULL);
	sqlite3_bind_int(st, C_OUT_TRUNCATED + 1, 0);
	sqlite3_bind_int(st, C_ERR_TRUNCATED + 1, 0);
	sqlite_put_text(st, C_TENANT + 1, j->tenant);
	sqlite_put_text(st, C_MAX + 1, start ? s->owner : NULL);
	if (start)
		sqlite3_bind_int64(st, C_MAX + 2, now + s->lease_us);
	return (sqlite_run(st));
}

/* May its tenant have another one? Clears op->flag where it may not run now. */
static enum store_result
quota(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_QUOTA);
	enum store_result r = STORE_OK;
	int rc;

	sqlite_put_text(st, 1, op->in->tenant);
	sqlite3_bind_int64(st, 2, time_wall_us());
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		if (sqlite3_column_int(st, 1))
			op->flag = 0;
		if (sqlite3_column_int(st, 0))
			r = STORE_SPENT;
		else if (!op->flag && sqlite3_column_int(st, 2))
			r = STORE_FILLED;
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (r);
}

enum store_result
call_submit(struct store *s, struct store_op *op)
{
	struct job *j = op->in;
	enum store_result r;
	sqlite3_stmt *st;
	int64_t queued;
	int rc;

	if (!sqlite_texts_valid(j))
		return (STORE_FAILED);
	/* A call that is repeated because its outcome was not known. */
	if ((r = sqlite_by_id(s, j->id, &op->job)) != STORE_NOT_FOUND)
		return (r);
	if (j->idempotency_key[0] != '\0') {
		st = sqlite_stmt(s, S_BY_KEY);
		sqlite_put_text(st, 1, j->idempotency_key);
		sqlite_put_text(st, 2, j->tenant);
		r = sqlite_select_job(s, st, &op->job);
		if (r == STORE_OK)
			return (memcmp(op->job->fingerprint, j->fingerprint,
				    TAKO_SHA256) == 0
				    ? STORE_EXISTS
				    : STORE_CONFLICT);
		if (r != STORE_NOT_FOUND)
			return (r);
	}
	if ((r = sqlite_number(s, sqlite_stmt(s, S_QUEUED), &queued)) !=
	    STORE_OK)
		return (r);
	if (queued > 0)
		op->flag = 0; /* nobody overtakes */
	if ((r = quota(s, op)) != STORE_OK)
		return (r);
	if (!op->flag && queued >= op->n1)
		return (STORE_FULL);
	if ((rc = insert_row(s, j, op->flag)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = sqlite_put_payload(s, j)) != STORE_OK)
		return (r);
	op->job = j;
	op->in = NULL;
	job_drop_payload(j);
	return (STORE_OK);
}
