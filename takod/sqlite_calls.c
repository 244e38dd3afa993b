/*
 * sqlite_calls.c: what each call does in the SQLite file. Runs in the parent's
 * loop, within a transaction that store_sqlite.c opens and commits; a call
 * that fails is undone by it.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sqlite_calls.h"
#include "store_list.h"
#include "store_schema.h"
#include "util.h"

/* The texts of a job, and what stands before them. */
#define TEXTS(head, from)                                                      \
	"SELECT " head INDEX_COLUMNS(                                          \
	    "length") " FROM " from                                            \
		      " LEFT JOIN payloads ON payloads.id = jobs.id"           \
		      " LEFT JOIN outputs ON outputs.id = jobs.id"

static const char *const statements[S_MAX] = { [S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_SAVEPOINT] = "SAVEPOINT call",
	[S_UNDO] = "ROLLBACK TO call",
	[S_KEEP] = "RELEASE call",
	[S_PROBE] = "UPDATE meta SET probe = probe + 1",
	[S_INSERT] = "INSERT INTO jobs (" JOB_COLUMNS ", owner) VALUES ("
		     "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
		     "?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,"
		     "?29,?30,?31,?32,?33,?34,?35,?36,?37,?38,?39)",
	[S_INSERT_PAYLOAD] = "INSERT INTO payloads VALUES (?1, ?2, ?3, ?4)",
	[S_BY_ID] = "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1",
	[S_BY_KEY] =
	    "SELECT " JOB_COLUMNS " FROM jobs WHERE idempotency_key = ?1"
	    " AND idempotency_key <> ''",
	[S_QUEUED] = "SELECT count(*) FROM jobs WHERE status = 'queued'",
	[S_RUNNING] = "SELECT count(*) FROM jobs WHERE status = 'running'",
	[S_CLAIM_FIND] = "SELECT id FROM jobs WHERE status = 'queued'"
			 " AND not_before <= ?1 ORDER BY seq LIMIT 1",
	[S_CLAIM] = "UPDATE jobs SET status = 'running', fence = fence + 1,"
		    " attempt = attempt + 1, code_started = ?2,"
		    " started_at = ?3, owner = ?4"
		    " WHERE id = ?1 AND status = 'queued'",
	[S_START] = "UPDATE jobs SET code_started = 1"
		    " WHERE id = ?1 AND fence = ?2 AND status = 'running'",
	[S_RELEASE] = "UPDATE jobs SET status = 'queued', owner = NULL,"
		      " not_before = ?3, started_at = 0"
		      " WHERE id = ?1 AND fence = ?2 AND status = 'running'"
		      " AND code_started = 0",
	[S_FINISH] = "UPDATE jobs SET status = ?3,"
		     " ended_at = max(?4, started_at),"
		     " exit_code = ?5, error = ?6, error_phase = ?7,"
		     " error_message = ?8, startup_ms = ?9,"
		     " dependencies_ms = ?10, execution_ms = ?11,"
		     " total_ms = ?12, phase_at_exit = ?13, runtime = ?14,"
		     " out_truncated = ?15, err_truncated = ?16,"
		     " max_rss_kb = ?17, cpu_ms = ?18, wall_ms = ?19,"
		     " oom_kills = ?20, owner = NULL"
		     " WHERE id = ?1 AND fence = ?2 AND (status = 'running'"
		     " OR (status = ?3 AND ended_at = max(?4, started_at)))",
	[S_FINISH_OUTPUT] = "INSERT OR REPLACE INTO outputs VALUES"
			    " (?1, ?2, ?3, ?4, ?5, ?6)",
	[S_CANCEL] = "UPDATE jobs SET status = 'cancelled', ended_at = ?2,"
		     " error = 'cancelled', error_phase = 'startup',"
		     " error_message = 'Execution was cancelled'"
		     " WHERE id = ?1 AND status = 'queued'",
	[S_PAYLOAD] = "SELECT code, input, requirements FROM payloads"
		      " WHERE id = ?1",
	[S_OUTPUT] = "SELECT stdout, stderr, output, extras, artifacts"
		     " FROM outputs WHERE id = ?1",
	[S_POSITION] = "SELECT count(*) FROM jobs WHERE status = 'queued'"
		       " AND seq <= (SELECT seq FROM jobs WHERE id = ?1"
		       " AND status = 'queued')",
	[S_UNINDEXED] = "SELECT count(*) FROM unindexed",
	[S_TO_INDEX] = TEXTS("jobs.seq, place, ",
	    "(SELECT seq FROM unindexed ORDER BY seq LIMIT 1) AS u"
	    " JOIN jobs ON jobs.seq = u.seq"),
	[S_TO_FORGET] = TEXTS(
	    "jobs.seq, place, ", "jobs") " WHERE jobs.id = ?1 AND seq NOT IN "
					 "(SELECT seq FROM unindexed)",
	[S_INDEX] = "INSERT INTO search (rowid, words) VALUES (?1, ?2)",
	[S_INDEXED] = "DELETE FROM unindexed WHERE seq = ?1",
	[S_FORGET] = "INSERT INTO search (search, rowid, words)"
		     " VALUES ('delete', ?1, ?2)",
	[S_IMPORT] = "INSERT INTO jobs (" JOB_COLUMNS ") VALUES ("
		     "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
		     "?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,"
		     "?29,?30,?31,?32,?33,?34,?35,?36,?37,?38)",
	[S_RECOVER_QUEUED] = "UPDATE jobs SET status = 'queued', owner = NULL,"
			     " started_at = 0"
			     " WHERE status = 'running' AND owner = ?1"
			     " AND code_started = 0",
	[S_RECOVER_FAILED] =
	    "UPDATE jobs SET status = 'failed', ended_at = max(?2, started_at),"
	    " error = 'interrupted', error_phase = 'execution',"
	    " phase_at_exit = 'execution', owner = NULL,"
	    " error_message = 'takod was ended while the job ran'"
	    " WHERE status = 'running' AND owner = ?1 AND code_started = 1",
	[S_EXPIRED] = "SELECT id FROM jobs WHERE ended_at > 0 AND ended_at < ?1"
		      " AND status NOT IN ('queued', 'running')"
		      " ORDER BY ended_at LIMIT 1",
	/* The rows of the other tables go with it. */
	[S_EXPIRE] = "DELETE FROM jobs WHERE id = ?1" };

/*
 * Old rows are removed for so long in one call: a large one takes longer than
 * many small ones.
 */
#define EXPIRE_US 2000

/* ---- binding and reading
 * ------------------------------------------------------ */

int
sqlite_prepare(struct store *s)
{
	int i, rc = SQLITE_OK;

	for (i = 0; i < S_MAX && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(s->db, statements[i], -1,
		    SQLITE_PREPARE_PERSISTENT, &s->stmts[i], NULL);
	return (rc);
}

sqlite3_stmt *
sqlite_stmt(struct store *s, enum statement which)
{
	sqlite3_stmt *st = s->stmts[which];

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return (st);
}

static void
bind_text(sqlite3_stmt *st, int i, const char *text)
{
	if (text == NULL)
		sqlite3_bind_null(st, i);
	else
		sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static void
bind_bytes(sqlite3_stmt *st, int i, const void *p, size_t len)
{
	sqlite3_bind_blob64(st, i, p, len, SQLITE_STATIC);
}

static void
bind_blob(sqlite3_stmt *st, int i, const struct blob *b)
{
	if (b == NULL)
		sqlite3_bind_null(st, i);
	else
		bind_bytes(st, i, blob_data(b), blob_len(b));
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
	log_warnx("sqlite: %s", s->fault);
	switch (rc & 0xff) {
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return (STORE_FAILED);
	}
	return (STORE_AWAY);
}

static void
get_text(sqlite3_stmt *st, int col, char *dst, size_t len)
{
	const char *text = (const char *)sqlite3_column_text(st, col);

	strlcpy(dst, text == NULL ? "" : text, len);
}

static void
get_digest(sqlite3_stmt *st, int col, uint8_t dst[TAKO_SHA256])
{
	if (sqlite3_column_bytes(st, col) == TAKO_SHA256)
		memcpy(dst, sqlite3_column_blob(st, col), TAKO_SHA256);
}

static int
get_enum(sqlite3_stmt *st, int col, int (*byname)(const char *))
{
	int v = byname((const char *)sqlite3_column_text(st, col));

	return (v == -1 ? 0 : v);
}

static struct blob *
get_blob(sqlite3_stmt *st, int col)
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
	get_text(st, C_ID, j->id, sizeof(j->id));
	get_text(st, C_JOB_TYPE, j->job_type, sizeof(j->job_type));
	get_text(st, C_IDEMPOTENCY_KEY, j->idempotency_key,
	    sizeof(j->idempotency_key));
	get_digest(st, C_FINGERPRINT, j->fingerprint);
	get_text(
	    st, C_CORRELATION_ID, j->correlation_id, sizeof(j->correlation_id));
	get_text(st, C_CLIENT, j->client, sizeof(j->client));
	get_text(st, C_PARENT_ID, j->parent_id, sizeof(j->parent_id));
	j->relationship = (enum relationship)get_enum(
	    st, C_RELATIONSHIP, relationship_byname);
	get_digest(st, C_CODE_HASH, j->code_hash);
	get_digest(st, C_INPUT_HASH, j->input_hash);
	j->code_len = (uint64_t)sqlite3_column_int64(st, C_CODE_LEN);
	j->input_len = (uint64_t)sqlite3_column_int64(st, C_INPUT_LEN);
	j->timeout = sqlite3_column_int(st, C_TIMEOUT);
	j->startup_timeout = sqlite3_column_int(st, C_STARTUP_TIMEOUT);
	j->created_at = sqlite3_column_int64(st, C_CREATED_AT);
	j->status = (enum job_status)get_enum(st, C_STATUS, job_status_byname);
	j->fence = sqlite3_column_int64(st, C_FENCE);
	j->attempt = sqlite3_column_int(st, C_ATTEMPT);
	j->not_before = sqlite3_column_int64(st, C_NOT_BEFORE);
	j->code_started = sqlite3_column_int(st, C_CODE_STARTED);
	j->started_at = sqlite3_column_int64(st, C_STARTED_AT);
	j->ended_at = sqlite3_column_int64(st, C_ENDED_AT);
	j->exit_code = sqlite3_column_int(st, C_EXIT_CODE);
	j->error = (enum job_error)get_enum(st, C_ERROR, job_error_byname);
	j->error_phase =
	    (enum job_phase)get_enum(st, C_ERROR_PHASE, job_phase_byname);
	get_text(
	    st, C_ERROR_MESSAGE, j->error_message, sizeof(j->error_message));
	j->startup_ms = sqlite3_column_int64(st, C_STARTUP_MS);
	j->dependencies_ms = sqlite3_column_int64(st, C_DEPENDENCIES_MS);
	j->execution_ms = sqlite3_column_int64(st, C_EXECUTION_MS);
	j->total_ms = sqlite3_column_int64(st, C_TOTAL_MS);
	j->phase_at_exit =
	    (enum job_phase)get_enum(st, C_PHASE_AT_EXIT, job_phase_byname);
	j->runtime = (enum runtime)get_enum(st, C_RUNTIME, runtime_byname);
	j->out_truncated = sqlite3_column_int(st, C_OUT_TRUNCATED);
	j->err_truncated = sqlite3_column_int(st, C_ERR_TRUNCATED);
	j->max_rss_kb = sqlite3_column_int64(st, C_MAX_RSS_KB);
	j->cpu_ms = sqlite3_column_int64(st, C_CPU_MS);
	j->wall_ms = sqlite3_column_int64(st, C_WALL_MS);
	j->oom_kills = sqlite3_column_int64(st, C_OOM_KILLS);
	return (j);
}

/* One job by a statement that is bound already. */
static enum store_result
select_job(struct store *s, sqlite3_stmt *st, struct job **job)
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

static enum store_result
by_id(struct store *s, const char *id, struct job **job)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_BY_ID);

	bind_text(st, 1, id);
	return (select_job(s, st, job));
}

static enum store_result
number(struct store *s, sqlite3_stmt *st, int64_t *n)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		*n = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return (rc == SQLITE_ROW ? STORE_OK : sqlite_fault(s, rc));
}

static enum store_result
get_payload(struct store *s, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_PAYLOAD);
	int rc;

	bind_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		j->code = get_blob(st, 0);
		j->input = get_blob(st, 1);
		j->requirements = get_blob(st, 2);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return (rc == SQLITE_DONE ? STORE_FAILED : sqlite_fault(s, rc));
	return (j->code == NULL || j->input == NULL ? STORE_FAILED : STORE_OK);
}

static enum store_result
get_output(struct store *s, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_OUTPUT);
	int rc, ok = 1;

	bind_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		j->out = get_blob(st, 0);
		j->err = get_blob(st, 1);
		j->output = get_blob(st, 2);
		j->extras = get_blob(st, 3);
		const void *p = sqlite3_column_blob(st, 4);
		ok = artifacts_unpack(p, (size_t)sqlite3_column_bytes(st, 4),
			 &j->artifacts, &j->n_artifacts) == 0;
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok ? STORE_OK : STORE_FAILED);
}

/* ---- the calls, in their transaction
 * --------------------------------------------- */

/* SQLite would take any bytes for a text; PostgreSQL does not. */
static int
texts_valid(const struct job *j)
{
	const char *const texts[] = { j->id, j->job_type, j->idempotency_key,
		j->correlation_id, j->client, j->parent_id, j->error_message };
	size_t i;

	for (i = 0; i < nitems(texts); i++)
		if (!utf8_valid(texts[i], strlen(texts[i])))
			return (0);
	return (1);
}

static int
insert_row(struct store *s, const struct job *j, int start)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_INSERT);
	int i;

	bind_text(st, C_ID + 1, j->id);
	bind_text(st, C_JOB_TYPE + 1, j->job_type);
	bind_text(st, C_IDEMPOTENCY_KEY + 1, j->idempotency_key);
	bind_bytes(st, C_FINGERPRINT + 1, j->fingerprint, TAKO_SHA256);
	bind_text(st, C_CORRELATION_ID + 1, j->correlation_id);
	bind_text(st, C_CLIENT + 1, j->client);
	bind_text(st, C_PARENT_ID + 1, j->parent_id);
	bind_text(st, C_RELATIONSHIP + 1, relationship_name(j->relationship));
	bind_bytes(st, C_CODE_HASH + 1, j->code_hash, TAKO_SHA256);
	bind_bytes(st, C_INPUT_HASH + 1, j->input_hash, TAKO_SHA256);
	sqlite3_bind_int64(st, C_CODE_LEN + 1, (int64_t)j->code_len);
	sqlite3_bind_int64(st, C_INPUT_LEN + 1, (int64_t)j->input_len);
	sqlite3_bind_int(st, C_TIMEOUT + 1, j->timeout);
	sqlite3_bind_int(st, C_STARTUP_TIMEOUT + 1, j->startup_timeout);
	sqlite3_bind_int64(st, C_CREATED_AT + 1, j->created_at);
	bind_text(st, C_STATUS + 1, start ? "running" : "queued");
	sqlite3_bind_int(st, C_FENCE + 1, start);
	sqlite3_bind_int(st, C_ATTEMPT + 1, start);
	sqlite3_bind_int64(st, C_NOT_BEFORE + 1, j->not_before);
	sqlite3_bind_int(st, C_CODE_STARTED + 1, start);
	sqlite3_bind_int64(st, C_STARTED_AT + 1, start ? time_wall_us() : 0);
	sqlite3_bind_int(st, C_ENDED_AT + 1, 0);
	for (i = C_EXIT_CODE; i < C_MAX; i++)
		sqlite3_bind_int(st, i + 1, -1);
	bind_text(st, C_ERROR + 1, NULL);
	bind_text(st, C_ERROR_PHASE + 1, NULL);
	bind_text(st, C_ERROR_MESSAGE + 1, "");
	bind_text(st, C_PHASE_AT_EXIT + 1, NULL);
	bind_text(st, C_RUNTIME + 1, NULL);
	sqlite3_bind_int(st, C_OUT_TRUNCATED + 1, 0);
	sqlite3_bind_int(st, C_ERR_TRUNCATED + 1, 0);
	bind_text(st, C_MAX + 1, start ? s->owner : NULL);
	return (sqlite_run(st));
}

static enum store_result
put_payload(struct store *s, const struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_INSERT_PAYLOAD);
	int rc;

	bind_text(st, 1, j->id);
	bind_bytes(st, 2, blob_data(j->code), blob_len(j->code));
	bind_bytes(st, 3, blob_data(j->input), blob_len(j->input));
	bind_bytes(
	    st, 4, blob_data(j->requirements), blob_len(j->requirements));
	rc = sqlite_run(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_submit(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	sqlite3_stmt *st;
	int64_t queued;
	int rc;

	if (!texts_valid(j))
		return (STORE_FAILED);
	/* A call that is repeated because its outcome was not known. */
	if ((r = by_id(s, j->id, &op->job)) != STORE_NOT_FOUND)
		return (r);
	if (j->idempotency_key[0] != '\0') {
		st = sqlite_stmt(s, S_BY_KEY);
		bind_text(st, 1, j->idempotency_key);
		r = select_job(s, st, &op->job);
		if (r == STORE_OK)
			return (memcmp(op->job->fingerprint, j->fingerprint,
				    TAKO_SHA256) == 0
				    ? STORE_EXISTS
				    : STORE_CONFLICT);
		if (r != STORE_NOT_FOUND)
			return (r);
	}
	if ((r = number(s, sqlite_stmt(s, S_QUEUED), &queued)) != STORE_OK)
		return (r);
	if (queued > 0)
		op->flag = 0; /* nobody overtakes */
	if (!op->flag && queued >= op->n1)
		return (STORE_FULL);
	if ((rc = insert_row(s, j, op->flag)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = put_payload(s, j)) != STORE_OK)
		return (r);
	return (by_id(s, j->id, &op->job));
}

enum store_result
call_claim(struct store *s, struct store_op *op)
{
	enum store_result r;
	sqlite3_stmt *st;
	char id[MAX_JOB_ID + 1];
	int64_t now = time_wall_us();
	int rc;

	st = sqlite_stmt(s, S_CLAIM_FIND);
	sqlite3_bind_int64(st, 1, now);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		get_text(st, 0, id, sizeof(id));
	sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return (
		    rc == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_fault(s, rc));
	st = sqlite_stmt(s, S_CLAIM);
	bind_text(st, 1, id);
	sqlite3_bind_int(st, 2, op->flag);
	sqlite3_bind_int64(st, 3, now);
	bind_text(st, 4, s->owner);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = by_id(s, id, &op->job)) != STORE_OK)
		return (r);
	return (get_payload(s, op->job));
}

/* OK when the guard held, STALE when it did not. */
static enum store_result
guarded(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite_run(st);

	if (rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (sqlite3_changes(s->db) == 1 ? STORE_OK : STORE_STALE);
}

enum store_result
call_start(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_START);

	bind_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, op->n1);
	return (guarded(s, st));
}

enum store_result
call_release(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_RELEASE);

	bind_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, op->n1);
	sqlite3_bind_int64(st, 3, op->n2);
	return (guarded(s, st));
}

static enum store_result
put_output(struct store *s, const struct job *j)
{
	struct blob *list;
	sqlite3_stmt *st;
	int rc;

	if ((list = artifacts_pack(j->artifacts, j->n_artifacts)) == NULL)
		return (STORE_AWAY);
	st = sqlite_stmt(s, S_FINISH_OUTPUT);
	bind_text(st, 1, j->id);
	bind_blob(st, 2, j->out);
	bind_blob(st, 3, j->err);
	bind_blob(st, 4, j->output);
	bind_blob(st, 5, j->extras);
	bind_blob(st, 6, list);
	rc = sqlite_run(st);
	sqlite3_clear_bindings(st);
	blob_unref(list);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_finish(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	sqlite3_stmt *st;

	if (!texts_valid(j))
		return (STORE_FAILED);
	/*
	 * Written a second time by who wrote it, it is written: as in
	 * PostgreSQL, where the first answer may be lost.
	 */
	st = sqlite_stmt(s, S_FINISH);
	bind_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	bind_text(st, 3, job_status_name(j->status));
	sqlite3_bind_int64(st, 4, j->ended_at);
	sqlite3_bind_int(st, 5, j->exit_code);
	bind_text(st, 6, job_error_name(j->error));
	bind_text(st, 7, job_phase_name(j->error_phase));
	bind_text(st, 8, j->error_message);
	sqlite3_bind_int64(st, 9, j->startup_ms);
	sqlite3_bind_int64(st, 10, j->dependencies_ms);
	sqlite3_bind_int64(st, 11, j->execution_ms);
	sqlite3_bind_int64(st, 12, j->total_ms);
	bind_text(st, 13, job_phase_name(j->phase_at_exit));
	bind_text(st, 14, runtime_name(j->runtime));
	sqlite3_bind_int(st, 15, j->out_truncated);
	sqlite3_bind_int(st, 16, j->err_truncated);
	sqlite3_bind_int64(st, 17, j->max_rss_kb);
	sqlite3_bind_int64(st, 18, j->cpu_ms);
	sqlite3_bind_int64(st, 19, j->wall_ms);
	sqlite3_bind_int64(st, 20, j->oom_kills);
	if ((r = guarded(s, st)) != STORE_OK)
		return (r);
	return (put_output(s, j));
}

static int
import_row(struct store *s, const struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_IMPORT);

	bind_text(st, C_ID + 1, j->id);
	bind_text(st, C_JOB_TYPE + 1, j->job_type);
	bind_text(st, C_IDEMPOTENCY_KEY + 1, j->idempotency_key);
	bind_bytes(st, C_FINGERPRINT + 1, j->fingerprint, TAKO_SHA256);
	bind_text(st, C_CORRELATION_ID + 1, j->correlation_id);
	bind_text(st, C_CLIENT + 1, j->client);
	bind_text(st, C_PARENT_ID + 1, j->parent_id);
	bind_text(st, C_RELATIONSHIP + 1, relationship_name(j->relationship));
	bind_bytes(st, C_CODE_HASH + 1, j->code_hash, TAKO_SHA256);
	bind_bytes(st, C_INPUT_HASH + 1, j->input_hash, TAKO_SHA256);
	sqlite3_bind_int64(st, C_CODE_LEN + 1, (int64_t)j->code_len);
	sqlite3_bind_int64(st, C_INPUT_LEN + 1, (int64_t)j->input_len);
	sqlite3_bind_int(st, C_TIMEOUT + 1, j->timeout);
	sqlite3_bind_int(st, C_STARTUP_TIMEOUT + 1, j->startup_timeout);
	sqlite3_bind_int64(st, C_CREATED_AT + 1, j->created_at);
	bind_text(st, C_STATUS + 1, job_status_name(j->status));
	sqlite3_bind_int64(st, C_FENCE + 1, j->fence);
	sqlite3_bind_int(st, C_ATTEMPT + 1, j->attempt);
	sqlite3_bind_int64(st, C_NOT_BEFORE + 1, j->not_before);
	sqlite3_bind_int(st, C_CODE_STARTED + 1, j->code_started);
	sqlite3_bind_int64(st, C_STARTED_AT + 1, j->started_at);
	sqlite3_bind_int64(st, C_ENDED_AT + 1, j->ended_at);
	sqlite3_bind_int(st, C_EXIT_CODE + 1, j->exit_code);
	bind_text(st, C_ERROR + 1, job_error_name(j->error));
	bind_text(st, C_ERROR_PHASE + 1, job_phase_name(j->error_phase));
	bind_text(st, C_ERROR_MESSAGE + 1, j->error_message);
	sqlite3_bind_int64(st, C_STARTUP_MS + 1, j->startup_ms);
	sqlite3_bind_int64(st, C_DEPENDENCIES_MS + 1, j->dependencies_ms);
	sqlite3_bind_int64(st, C_EXECUTION_MS + 1, j->execution_ms);
	sqlite3_bind_int64(st, C_TOTAL_MS + 1, j->total_ms);
	bind_text(st, C_PHASE_AT_EXIT + 1, job_phase_name(j->phase_at_exit));
	bind_text(st, C_RUNTIME + 1, runtime_name(j->runtime));
	sqlite3_bind_int(st, C_OUT_TRUNCATED + 1, j->out_truncated);
	sqlite3_bind_int(st, C_ERR_TRUNCATED + 1, j->err_truncated);
	sqlite3_bind_int64(st, C_MAX_RSS_KB + 1, j->max_rss_kb);
	sqlite3_bind_int64(st, C_CPU_MS + 1, j->cpu_ms);
	sqlite3_bind_int64(st, C_WALL_MS + 1, j->wall_ms);
	sqlite3_bind_int64(st, C_OOM_KILLS + 1, j->oom_kills);
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

	if (!texts_valid(j) || !job_status_terminal(j->status) ||
	    j->ended_at <= 0)
		return (STORE_FAILED);
	r = by_id(s, j->id, &known);
	if (r == STORE_NOT_FOUND && j->idempotency_key[0] != '\0') {
		st = sqlite_stmt(s, S_BY_KEY);
		bind_text(st, 1, j->idempotency_key);
		if ((r = select_job(s, st, &known)) == STORE_OK)
			r = STORE_CONFLICT;
	} else if (r == STORE_OK)
		r = STORE_EXISTS;
	job_free(known);
	if (r != STORE_NOT_FOUND)
		return (r);
	if ((rc = import_row(s, j)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = put_payload(s, j)) != STORE_OK)
		return (r);
	return (put_output(s, j));
}

enum store_result
call_cancel(struct store *s, struct store_op *op)
{
	enum store_result guard, r;
	sqlite3_stmt *st;

	st = sqlite_stmt(s, S_CANCEL);
	bind_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, time_wall_us());
	if ((guard = guarded(s, st)) != STORE_OK && guard != STORE_STALE)
		return (guard);
	if ((r = by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	if (guard == STORE_STALE && job_status_terminal(op->job->status))
		return (STORE_NOT_FOUND);
	return (guard);
}

enum store_result
call_get(struct store *s, struct store_op *op)
{
	enum store_result r;

	if ((r = by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	if ((op->flag & WANT_OUTPUT) &&
	    (r = get_output(s, op->job)) != STORE_OK)
		return (r);
	if (op->flag & WANT_PAYLOAD)
		r = get_payload(s, op->job);
	return (r);
}

enum store_result
call_position(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_POSITION);

	bind_text(st, 1, op->id);
	return (number(s, st, &op->position));
}

enum store_result
call_counts(struct store *s, struct store_op *op)
{
	enum store_result r;

	r = number(s, sqlite_stmt(s, S_QUEUED), &op->counts.queued);
	if (r == STORE_OK)
		r = number(s, sqlite_stmt(s, S_RUNNING), &op->counts.running);
	return (r);
}

enum store_result
call_recover(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st;
	int rc;

	st = sqlite_stmt(s, S_RECOVER_QUEUED);
	bind_text(st, 1, s->owner);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	op->counts.queued = sqlite3_changes(s->db);
	st = sqlite_stmt(s, S_RECOVER_FAILED);
	bind_text(st, 1, s->owner);
	sqlite3_bind_int64(st, 2, time_wall_us());
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	op->counts.running = sqlite3_changes(s->db);
	return (STORE_OK);
}

/* One by one, so that the time of each counts. */
enum store_result
call_expire(struct store *s, struct store_op *op)
{
	int64_t until = time_mono_us() + EXPIRE_US;
	int64_t before = time_wall_us() - op->n1;
	enum store_result r;
	sqlite3_stmt *st;
	int rc;

	op->n_ids = 0;
	while ((int)op->n_ids < op->flag && time_mono_us() < until) {
		st = sqlite_stmt(s, S_EXPIRED);
		sqlite3_bind_int64(st, 1, before);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			get_text(st, 0, op->ids[op->n_ids], sizeof(*op->ids));
		sqlite3_reset(st);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW)
			return (sqlite_fault(s, rc));
		r = sqlite_forget(s, op->ids[op->n_ids]);
		if (r != STORE_OK)
			return (r);
		st = sqlite_stmt(s, S_EXPIRE);
		bind_text(st, 1, op->ids[op->n_ids]);
		if ((rc = sqlite_run(st)) != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		op->n_ids++;
	}
	return (STORE_OK);
}
