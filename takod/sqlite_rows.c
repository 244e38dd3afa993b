/*
 * sqlite_rows.c: a job from a row of the SQLite file, and a job's fields as
 * parameters. Runs in the parent's loop, within a transaction that
 * store_sqlite.c opens and commits.
 */
#include <string.h>

#include "log.h"
#include "sqlite_store.h"
#include "store_schema.h"
#include "util.h"

void
sqlite_put_text(sqlite3_stmt *st, int i, const char *text)
{
	if (text == NULL)
		sqlite3_bind_null(st, i);
	else
		sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

void
sqlite_put_bytes(sqlite3_stmt *st, int i, const void *p, size_t len)
{
	sqlite3_bind_blob64(st, i, p, len, SQLITE_STATIC);
}

void
sqlite_put_blob(sqlite3_stmt *st, int i, const struct blob *b)
{
	if (b == NULL)
		sqlite3_bind_null(st, i);
	else
		sqlite_put_bytes(st, i, blob_data(b), blob_len(b));
}

int
sqlite_run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return (rc);
}

enum store_result
sqlite_fault(struct store *s, int rc)
{
	strlcpy(s->fault, sqlite3_errmsg(s->db), sizeof(s->fault));
	/* Which call of SQLite's failed, and what the system said to it. */
	log_warnx("sqlite: %s (%d, errno %d)", s->fault,
	    sqlite3_extended_errcode(s->db), sqlite3_system_errno(s->db));
	switch (rc & 0xff) {
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return (STORE_FAILED);
	}
	return (STORE_AWAY);
}

enum store_result
sqlite_number(struct store *s, sqlite3_stmt *st, int64_t *n)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		*n = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return (rc == SQLITE_ROW ? STORE_OK : sqlite_fault(s, rc));
}

/* OK when the guard held, STALE when it did not. */
enum store_result
sqlite_guarded(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite_run(st);

	if (rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (sqlite3_changes(s->db) == 1 ? STORE_OK : STORE_STALE);
}

void
sqlite_get_text(sqlite3_stmt *st, int col, char *dst, size_t len)
{
	const char *text = (const char *)sqlite3_column_text(st, col);

	strlcpy(dst, text == NULL ? "" : text, len);
}

void
sqlite_get_digest(sqlite3_stmt *st, int col, uint8_t dst[TAKO_SHA256])
{
	if (sqlite3_column_bytes(st, col) == TAKO_SHA256)
		memcpy(dst, sqlite3_column_blob(st, col), TAKO_SHA256);
}

int
sqlite_get_enum(sqlite3_stmt *st, int col, int (*byname)(const char *))
{
	int v = byname((const char *)sqlite3_column_text(st, col));

	return (v == -1 ? 0 : v);
}

struct blob *
sqlite_get_blob(sqlite3_stmt *st, int col)
{
	if (sqlite3_column_type(st, col) == SQLITE_NULL)
		return (NULL);
	/* The bytes first, then their count: SQLite's own order. */
	const void *p = sqlite3_column_blob(st, col);

	return (blob_copy(p, (size_t)sqlite3_column_bytes(st, col)));
}

static struct job *
get_job(sqlite3_stmt *st)
{
	struct job *j;

	if ((j = job_new()) == NULL)
		return (NULL);
	sqlite_get_text(st, C_ID, j->id, sizeof(j->id));
	sqlite_get_text(st, C_JOB_TYPE, j->job_type, sizeof(j->job_type));
	sqlite_get_text(st, C_IDEMPOTENCY_KEY, j->idempotency_key,
	    sizeof(j->idempotency_key));
	sqlite_get_digest(st, C_FINGERPRINT, j->fingerprint);
	sqlite_get_text(
	    st, C_CORRELATION_ID, j->correlation_id, sizeof(j->correlation_id));
	sqlite_get_text(st, C_CLIENT, j->client, sizeof(j->client));
	sqlite_get_text(st, C_PARENT_ID, j->parent_id, sizeof(j->parent_id));
	j->relationship = (enum relationship)sqlite_get_enum(
	    st, C_RELATIONSHIP, relationship_byname);
	sqlite_get_digest(st, C_CODE_HASH, j->code_hash);
	sqlite_get_digest(st, C_INPUT_HASH, j->input_hash);
	j->code_len = (uint64_t)sqlite3_column_int64(st, C_CODE_LEN);
	j->input_len = (uint64_t)sqlite3_column_int64(st, C_INPUT_LEN);
	j->timeout = sqlite3_column_int(st, C_TIMEOUT);
	j->startup_timeout = sqlite3_column_int(st, C_STARTUP_TIMEOUT);
	j->created_at = sqlite3_column_int64(st, C_CREATED_AT);
	j->status =
	    (enum job_status)sqlite_get_enum(st, C_STATUS, job_status_byname);
	j->fence = sqlite3_column_int64(st, C_FENCE);
	j->attempt = sqlite3_column_int(st, C_ATTEMPT);
	j->not_before = sqlite3_column_int64(st, C_NOT_BEFORE);
	j->code_started = sqlite3_column_int(st, C_CODE_STARTED);
	j->started_at = sqlite3_column_int64(st, C_STARTED_AT);
	j->ended_at = sqlite3_column_int64(st, C_ENDED_AT);
	j->exit_code = sqlite3_column_int(st, C_EXIT_CODE);
	j->error =
	    (enum job_error)sqlite_get_enum(st, C_ERROR, job_error_byname);
	j->error_phase = (enum job_phase)sqlite_get_enum(
	    st, C_ERROR_PHASE, job_phase_byname);
	sqlite_get_text(
	    st, C_ERROR_MESSAGE, j->error_message, sizeof(j->error_message));
	j->startup_ms = sqlite3_column_int64(st, C_STARTUP_MS);
	j->dependencies_ms = sqlite3_column_int64(st, C_DEPENDENCIES_MS);
	j->execution_ms = sqlite3_column_int64(st, C_EXECUTION_MS);
	j->total_ms = sqlite3_column_int64(st, C_TOTAL_MS);
	j->phase_at_exit = (enum job_phase)sqlite_get_enum(
	    st, C_PHASE_AT_EXIT, job_phase_byname);
	j->runtime =
	    (enum runtime)sqlite_get_enum(st, C_RUNTIME, runtime_byname);
	j->out_truncated = sqlite3_column_int(st, C_OUT_TRUNCATED);
	j->err_truncated = sqlite3_column_int(st, C_ERR_TRUNCATED);
	j->max_rss_kb = sqlite3_column_int64(st, C_MAX_RSS_KB);
	j->cpu_ms = sqlite3_column_int64(st, C_CPU_MS);
	j->wall_ms = sqlite3_column_int64(st, C_WALL_MS);
	j->oom_kills = sqlite3_column_int64(st, C_OOM_KILLS);
	sqlite_get_text(st, C_JOB_REF, j->job_ref, sizeof(j->job_ref));
	sqlite_get_text(st, C_TENANT, j->tenant, sizeof(j->tenant));
	return (j);
}

/* One job by a statement that is bound already. */
enum store_result
sqlite_select_job(struct store *s, sqlite3_stmt *st, struct job **job)
{
	int rc = sqlite3_step(st);

	*job = NULL;
	if (rc == SQLITE_ROW)
		*job = get_job(st);
	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return (STORE_NOT_FOUND);
	if (rc != SQLITE_ROW)
		return (sqlite_fault(s, rc));
	return (*job == NULL ? STORE_FAILED : STORE_OK);
}

enum store_result
sqlite_by_id(struct store *s, const char *id, struct job **job)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_BY_ID);

	sqlite_put_text(st, 1, id);
	return (sqlite_select_job(s, st, job));
}

enum store_result
sqlite_get_payload(struct store *s, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_PAYLOAD);
	int rc;

	sqlite_put_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		j->code = sqlite_get_blob(st, 0);
		j->input = sqlite_get_blob(st, 1);
		j->requirements = sqlite_get_blob(st, 2);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return (rc == SQLITE_DONE ? STORE_FAILED : sqlite_fault(s, rc));
	return (j->code == NULL || j->input == NULL ? STORE_FAILED : STORE_OK);
}

enum store_result
sqlite_get_output(struct store *s, enum statement which, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);
	int rc, ok = 1;

	sqlite_put_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(st, 0);
		ok = artifacts_unpack(p, (size_t)sqlite3_column_bytes(st, 0),
			 &j->artifacts, &j->n_artifacts) == 0;
		sqlite_get_text(
		    st, 1, j->artifact_store, sizeof(j->artifact_store));
	}
	if (rc == SQLITE_ROW && which == S_OUTPUT) {
		j->out = sqlite_get_blob(st, 2);
		j->err = sqlite_get_blob(st, 3);
		j->output = sqlite_get_blob(st, 4);
		j->extras = sqlite_get_blob(st, 5);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok ? STORE_OK : STORE_FAILED);
}

enum store_result
sqlite_get_attempts(struct store *s, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_ATTEMPTS);
	int rc, ok = 1;

	sqlite_put_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *text = sqlite3_column_text(st, 0);
		ok = attempts_parse(
			 j, text, (size_t)sqlite3_column_bytes(st, 0)) == 0;
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok ? STORE_OK : STORE_FAILED);
}

/* SQLite would take any bytes for a text; PostgreSQL does not. */
int
sqlite_texts_valid(const struct job *j)
{
	const char *const texts[] = { j->id, j->job_type, j->idempotency_key,
		j->correlation_id, j->client, j->parent_id, j->error_message,
		j->job_ref, j->tenant };
	size_t i;

	for (i = 0; i < nitems(texts); i++)
		if (!utf8_valid(texts[i], strlen(texts[i])))
			return (0);
	return (1);
}

/* What was asked, which submit and import write alike. */
void
sqlite_bind_asked(sqlite3_stmt *st, const struct job *j)
{
	sqlite_put_text(st, C_ID + 1, j->id);
	sqlite_put_text(st, C_JOB_TYPE + 1, j->job_type);
	sqlite_put_text(st, C_IDEMPOTENCY_KEY + 1, j->idempotency_key);
	sqlite_put_bytes(st, C_FINGERPRINT + 1, j->fingerprint, TAKO_SHA256);
	sqlite_put_text(st, C_CORRELATION_ID + 1, j->correlation_id);
	sqlite_put_text(st, C_CLIENT + 1, j->client);
	sqlite_put_text(st, C_PARENT_ID + 1, j->parent_id);
	sqlite_put_text(
	    st, C_RELATIONSHIP + 1, relationship_name(j->relationship));
	sqlite_put_bytes(st, C_CODE_HASH + 1, j->code_hash, TAKO_SHA256);
	sqlite_put_bytes(st, C_INPUT_HASH + 1, j->input_hash, TAKO_SHA256);
	sqlite3_bind_int64(st, C_CODE_LEN + 1, (int64_t)j->code_len);
	sqlite3_bind_int64(st, C_INPUT_LEN + 1, (int64_t)j->input_len);
	sqlite3_bind_int(st, C_TIMEOUT + 1, j->timeout);
	sqlite3_bind_int(st, C_STARTUP_TIMEOUT + 1, j->startup_timeout);
}

enum store_result
sqlite_put_payload(struct store *s, const struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_INSERT_PAYLOAD);
	int rc;

	sqlite_put_text(st, 1, j->id);
	sqlite_put_bytes(st, 2, blob_data(j->code), blob_len(j->code));
	sqlite_put_bytes(st, 3, blob_data(j->input), blob_len(j->input));
	sqlite_put_bytes(
	    st, 4, blob_data(j->requirements), blob_len(j->requirements));
	rc = sqlite_run(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}
