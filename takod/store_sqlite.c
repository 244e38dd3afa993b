/*
 * store_sqlite.c: jobs in an SQLite file, the embedded default. Runs in the
 * parent's loop. The journal is a WAL and synchronous is FULL: what was
 * answered STORE_OK survives a power cut.
 *
 * Calls are put into a queue and done in the loop's next turn, all that came
 * meanwhile in one transaction: each is answered after its COMMIT, and several
 * share one. A commit takes a fraction of a millisecond (regress/tools/
 * store_bench prints what it takes here), which is why it needs no process of
 * its own. One takod has the file to itself: it is locked for as long as it is
 * open.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/queue.h>

#include "log.h"
#include "store.h"
#include "store_schema.h"
#include "util.h"

/* Calls that one transaction takes at most: bounds a turn of the loop. */
#define BATCH_MAX 64
/* After a fault of the disk, the file is tried again so often. */
#define RETRY_S 1
/* Pages in the WAL after which they are copied back, and how soon. */
#define CHECKPOINT_PAGES   2000
#define CHECKPOINT_IDLE_MS 200

enum kind {
	JOB_CB,
	JOBS_CB,
	PLAIN_CB,
	COUNTS_CB,
	POSITION_CB
};

struct store_op {
	TAILQ_ENTRY(store_op) entry;
	enum store_result (*exec)(struct store *, struct store_op *);
	int writes;
	enum kind kind;
	union {
		store_job_cb job;
		store_jobs_cb jobs;
		store_cb plain;
		store_counts_cb counts;
		void (*position)(enum store_result, int64_t, void *);
	} cb;
	void *arg;
	/* arguments */
	char id[MAX_JOB_ID + 1];
	char job_type[MAX_JOB_TYPE + 1];
	int64_t n1, n2;
	int flag;
	struct job *in; /* a copy that shares the blobs */
	/* results */
	enum store_result result;
	struct job *job;
	struct job **jobs;
	size_t n_jobs;
	struct store_counts counts;
	int64_t position;
};

enum statement {
	S_BEGIN,
	S_COMMIT,
	S_ROLLBACK,
	S_INSERT,
	S_INSERT_PAYLOAD,
	S_BY_ID,
	S_BY_KEY,
	S_QUEUED,
	S_CLAIM_FIND,
	S_CLAIM,
	S_START,
	S_RELEASE,
	S_FINISH,
	S_FINISH_OUTPUT,
	S_CANCEL,
	S_PAYLOAD,
	S_OUTPUT,
	S_POSITION,
	S_LIST,
	S_RUNNING,
	S_RECOVER_QUEUED,
	S_RECOVER_FAILED,
	S_MAX
};

static const char *const statements[S_MAX] = { [S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
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
	[S_FINISH] = "UPDATE jobs SET status = ?3, ended_at = ?4,"
		     " exit_code = ?5, error = ?6, error_phase = ?7,"
		     " error_message = ?8, startup_ms = ?9,"
		     " dependencies_ms = ?10, execution_ms = ?11,"
		     " total_ms = ?12, phase_at_exit = ?13, runtime = ?14,"
		     " out_truncated = ?15, err_truncated = ?16,"
		     " max_rss_kb = ?17, cpu_ms = ?18, wall_ms = ?19,"
		     " oom_kills = ?20, owner = NULL"
		     " WHERE id = ?1 AND fence = ?2 AND status = 'running'",
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
	[S_LIST] = "SELECT " JOB_COLUMNS " FROM jobs"
		   " WHERE (?1 IS NULL OR status = ?1)"
		   " AND (?2 IS NULL OR job_type = ?2)"
		   " ORDER BY seq DESC LIMIT ?3 OFFSET ?4",
	[S_RECOVER_QUEUED] = "UPDATE jobs SET status = 'queued', owner = NULL,"
			     " started_at = 0"
			     " WHERE status = 'running' AND owner = ?1"
			     " AND code_started = 0",
	[S_RECOVER_FAILED] =
	    "UPDATE jobs SET status = 'failed', ended_at = max(?2, started_at),"
	    " error = 'interrupted', error_phase = 'execution',"
	    " phase_at_exit = 'execution', owner = NULL,"
	    " error_message = 'takod was ended while the job ran'"
	    " WHERE status = 'running' AND owner = ?1 AND code_started = 1" };

struct store {
	struct event_base *base;
	sqlite3 *db;
	sqlite3_stmt *stmts[S_MAX];
	char owner[65];
	store_state_cb state_cb;
	void *arg;
	struct event *turn, *retry, *idle;
	int up, told; /* told: the first state was reported */
	int wal_pages;
	TAILQ_HEAD(, store_op) queue;
};

/* ---- binding and reading
 * ------------------------------------------------------ */

static sqlite3_stmt *
stmt(struct store *s, enum statement which)
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

/* Runs a statement that gives no row. SQLITE_DONE, or the error. */
static int
run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return (rc);
}

/* STORE_ for a code of SQLite that is no success. */
static enum store_result
failure(struct store *s, int rc)
{
	log_warnx("sqlite: %s", sqlite3_errmsg(s->db));
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
		return (failure(s, rc));
	return (*job == NULL ? STORE_FAILED : STORE_OK);
}

static enum store_result
by_id(struct store *s, const char *id, struct job **job)
{
	sqlite3_stmt *st = stmt(s, S_BY_ID);

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
	return (rc == SQLITE_ROW ? STORE_OK : failure(s, rc));
}

static enum store_result
get_payload(struct store *s, struct job *j)
{
	sqlite3_stmt *st = stmt(s, S_PAYLOAD);
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
		return (rc == SQLITE_DONE ? STORE_FAILED : failure(s, rc));
	return (j->code == NULL || j->input == NULL ? STORE_FAILED : STORE_OK);
}

static enum store_result
get_output(struct store *s, struct job *j)
{
	sqlite3_stmt *st = stmt(s, S_OUTPUT);
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
		return (failure(s, rc));
	return (ok ? STORE_OK : STORE_FAILED);
}

/* ---- the calls, in their transaction
 * --------------------------------------------- */

static int
insert_row(struct store *s, const struct job *j, int start)
{
	sqlite3_stmt *st = stmt(s, S_INSERT);
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
	return (run(st));
}

static enum store_result
op_submit(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	sqlite3_stmt *st;
	int64_t queued;
	int rc;

	/* A call that is repeated because its outcome was not known. */
	if ((r = by_id(s, j->id, &op->job)) != STORE_NOT_FOUND)
		return (r);
	if (j->idempotency_key[0] != '\0') {
		st = stmt(s, S_BY_KEY);
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
	if ((r = number(s, stmt(s, S_QUEUED), &queued)) != STORE_OK)
		return (r);
	if (queued > 0)
		op->flag = 0; /* nobody overtakes */
	if (!op->flag && queued >= op->n1)
		return (STORE_FULL);
	if ((rc = insert_row(s, j, op->flag)) != SQLITE_DONE)
		return (failure(s, rc));
	st = stmt(s, S_INSERT_PAYLOAD);
	bind_text(st, 1, j->id);
	bind_bytes(st, 2, blob_data(j->code), blob_len(j->code));
	bind_bytes(st, 3, blob_data(j->input), blob_len(j->input));
	bind_bytes(
	    st, 4, blob_data(j->requirements), blob_len(j->requirements));
	if ((rc = run(st)) != SQLITE_DONE)
		return (failure(s, rc));
	return (by_id(s, j->id, &op->job));
}

static enum store_result
op_claim(struct store *s, struct store_op *op)
{
	enum store_result r;
	sqlite3_stmt *st;
	char id[MAX_JOB_ID + 1];
	int64_t now = time_wall_us();
	int rc;

	st = stmt(s, S_CLAIM_FIND);
	sqlite3_bind_int64(st, 1, now);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		get_text(st, 0, id, sizeof(id));
	sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return (rc == SQLITE_DONE ? STORE_NOT_FOUND : failure(s, rc));
	st = stmt(s, S_CLAIM);
	bind_text(st, 1, id);
	sqlite3_bind_int(st, 2, op->flag);
	sqlite3_bind_int64(st, 3, now);
	bind_text(st, 4, s->owner);
	if ((rc = run(st)) != SQLITE_DONE)
		return (failure(s, rc));
	if ((r = by_id(s, id, &op->job)) != STORE_OK)
		return (r);
	return (get_payload(s, op->job));
}

/* OK when the guard held, STALE when it did not. */
static enum store_result
guarded(struct store *s, sqlite3_stmt *st)
{
	int rc = run(st);

	if (rc != SQLITE_DONE)
		return (failure(s, rc));
	return (sqlite3_changes(s->db) == 1 ? STORE_OK : STORE_STALE);
}

static enum store_result
op_start(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = stmt(s, S_START);

	bind_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, op->n1);
	return (guarded(s, st));
}

static enum store_result
op_release(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = stmt(s, S_RELEASE);

	bind_text(st, 1, op->id);
	sqlite3_bind_int64(st, 2, op->n1);
	sqlite3_bind_int64(st, 3, op->n2);
	return (guarded(s, st));
}

static enum store_result
op_finish(struct store *s, struct store_op *op)
{
	const struct job *j = op->in;
	enum store_result r;
	struct blob *list;
	sqlite3_stmt *st;
	int rc;

	st = stmt(s, S_FINISH);
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
	if ((list = artifacts_pack(j->artifacts, j->n_artifacts)) == NULL)
		return (STORE_AWAY);
	st = stmt(s, S_FINISH_OUTPUT);
	bind_text(st, 1, j->id);
	bind_blob(st, 2, j->out);
	bind_blob(st, 3, j->err);
	bind_blob(st, 4, j->output);
	bind_blob(st, 5, j->extras);
	bind_blob(st, 6, list);
	rc = run(st);
	sqlite3_clear_bindings(st);
	blob_unref(list);
	return (rc == SQLITE_DONE ? STORE_OK : failure(s, rc));
}

static enum store_result
op_cancel(struct store *s, struct store_op *op)
{
	enum store_result guard, r;
	sqlite3_stmt *st;

	st = stmt(s, S_CANCEL);
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

static enum store_result
op_get(struct store *s, struct store_op *op)
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

static enum store_result
op_position(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = stmt(s, S_POSITION);

	bind_text(st, 1, op->id);
	return (number(s, st, &op->position));
}

static enum store_result
op_list(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = stmt(s, S_LIST);
	struct job **more;
	int rc;

	bind_text(st, 1,
	    op->flag < 0 ? NULL : job_status_name((enum job_status)op->flag));
	bind_text(st, 2, op->job_type[0] == '\0' ? NULL : op->job_type);
	sqlite3_bind_int64(st, 3, op->n1);
	sqlite3_bind_int64(st, 4, op->n2);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		more =
		    reallocarray(op->jobs, op->n_jobs + 1, sizeof(*op->jobs));
		if (more == NULL)
			break;
		op->jobs = more;
		if ((op->jobs[op->n_jobs] = get_job(st)) == NULL)
			break;
		op->n_jobs++;
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_DONE ? STORE_OK : failure(s, rc));
}

static enum store_result
op_counts(struct store *s, struct store_op *op)
{
	enum store_result r;

	r = number(s, stmt(s, S_QUEUED), &op->counts.queued);
	if (r == STORE_OK)
		r = number(s, stmt(s, S_RUNNING), &op->counts.running);
	return (r);
}

static enum store_result
op_recover(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st;
	int rc;

	st = stmt(s, S_RECOVER_QUEUED);
	bind_text(st, 1, s->owner);
	if ((rc = run(st)) != SQLITE_DONE)
		return (failure(s, rc));
	op->counts.queued = sqlite3_changes(s->db);
	st = stmt(s, S_RECOVER_FAILED);
	bind_text(st, 1, s->owner);
	sqlite3_bind_int64(st, 2, time_wall_us());
	if ((rc = run(st)) != SQLITE_DONE)
		return (failure(s, rc));
	op->counts.running = sqlite3_changes(s->db);
	return (STORE_OK);
}

/* ---- the queue
 * ------------------------------------------------------------------- */

static void
op_answer(struct store_op *op)
{
	struct job *job = op->job;
	size_t i;

	if (op->result == STORE_AWAY || op->result == STORE_FAILED) {
		job_free(job);
		job = NULL;
		for (i = 0; i < op->n_jobs; i++)
			job_free(op->jobs[i]);
		free(op->jobs);
		op->jobs = NULL;
		op->n_jobs = 0;
	} else if (op->result == STORE_NOT_FOUND) {
		job_free(job);
		job = NULL;
	}
	switch (op->kind) {
	case JOB_CB:
		op->cb.job(op->result, job, op->arg);
		break;
	case JOBS_CB:
		op->cb.jobs(op->result, op->jobs, op->n_jobs, op->arg);
		break;
	case PLAIN_CB:
		op->cb.plain(op->result, op->arg);
		break;
	case COUNTS_CB:
		op->cb.counts(op->result, &op->counts, op->arg);
		break;
	case POSITION_CB:
		op->cb.position(op->result, op->position, op->arg);
		break;
	}
	job_free(op->in);
	free(op);
}

static void
set_up(struct store *s, int up, const char *detail)
{
	struct timeval tv = { RETRY_S, 0 };

	if (!up)
		event_add(s->retry, &tv);
	if (s->told && up == s->up)
		return;
	s->told = 1;
	s->up = up;
	s->state_cb(up, detail, s->arg);
}

TAILQ_HEAD(op_list, store_op);

/* Every call of the batch in one transaction. -1: nothing of it is written. */
static int
batch_exec(struct store *s, struct op_list *batch)
{
	struct store_op *op;
	int writes = 0, rc;

	TAILQ_FOREACH (op, batch, entry)
		writes |= op->writes;
	if (writes && (rc = run(stmt(s, S_BEGIN))) != SQLITE_DONE) {
		failure(s, rc);
		return (-1);
	}
	TAILQ_FOREACH (op, batch, entry) {
		op->result = op->exec(s, op);
		/* A fault of the disk ends the transaction by itself. */
		if (writes && (op->result == STORE_AWAY ||
				  sqlite3_get_autocommit(s->db))) {
			if (!sqlite3_get_autocommit(s->db))
				run(stmt(s, S_ROLLBACK));
			return (-1);
		}
	}
	if (writes && (rc = run(stmt(s, S_COMMIT))) != SQLITE_DONE) {
		failure(s, rc);
		if (!sqlite3_get_autocommit(s->db))
			run(stmt(s, S_ROLLBACK));
		return (-1);
	}
	return (0);
}

static void
turn(int fd, short events, void *arg)
{
	static const struct timeval idle = { 0, CHECKPOINT_IDLE_MS * 1000 };
	struct store *s = arg;
	struct op_list batch = TAILQ_HEAD_INITIALIZER(batch);
	struct store_op *op;
	int n;

	(void)fd;
	(void)events;
	for (n = 0; n < BATCH_MAX && (op = TAILQ_FIRST(&s->queue)) != NULL;
	     n++) {
		TAILQ_REMOVE(&s->queue, op, entry);
		TAILQ_INSERT_TAIL(&batch, op, entry);
	}
	if (batch_exec(s, &batch) == -1) {
		TAILQ_FOREACH (op, &batch, entry)
			op->result = STORE_AWAY;
		set_up(s, 0, sqlite3_errmsg(s->db));
	}
	if (!TAILQ_EMPTY(&s->queue))
		event_active(s->turn, 0, 0);
	while ((op = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, op, entry);
		op_answer(op);
	}
	/* From when it grew too long, not put off by what goes on coming. */
	if (s->wal_pages > CHECKPOINT_PAGES &&
	    !event_pending(s->idle, EV_TIMEOUT, NULL))
		event_add(s->idle, &idle);
}

/* Copies the WAL back, a moment after it grew too long. */
static void
checkpoint(int fd, short events, void *arg)
{
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
		NULL, NULL) == SQLITE_OK)
		s->wal_pages = 0;
}

static int
wal_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct store *)arg)->wal_pages = pages;
	return (SQLITE_OK);
}

/* Is the disk back? A transaction that changes nothing durable says so. */
static void
retry(int fd, short events, void *arg)
{
	static const struct timeval tv = { RETRY_S, 0 };
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (run(stmt(s, S_BEGIN)) == SQLITE_DONE &&
	    sqlite3_exec(s->db, "UPDATE meta SET probe = probe + 1", NULL, NULL,
		NULL) == SQLITE_OK &&
	    run(stmt(s, S_COMMIT)) == SQLITE_DONE) {
		set_up(s, 1, "");
		return;
	}
	if (!sqlite3_get_autocommit(s->db))
		run(stmt(s, S_ROLLBACK));
	event_add(s->retry, &tv);
}

static struct store_op *
op_new(struct store *s, enum kind kind, int writes,
    enum store_result (*exec)(struct store *, struct store_op *), void *arg)
{
	struct store_op *op;

	/* A call must be answered: without 500 bytes there is no going on. */
	op = xcalloc(1, sizeof(*op));
	op->kind = kind;
	op->writes = writes;
	op->exec = exec;
	op->arg = arg;
	TAILQ_INSERT_TAIL(&s->queue, op, entry);
	event_active(s->turn, 0, 0);
	return (op);
}

static void
sqlite_submit(struct store *s, const struct job *j, int start,
    int64_t max_queue, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, op_submit, arg);

	op->cb.job = cb;
	op->in = job_lend(j);
	op->flag = start != 0;
	op->n1 = max_queue;
}

static void
sqlite_claim(struct store *s, int code_started, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, op_claim, arg);

	op->cb.job = cb;
	op->flag = code_started != 0;
}

static void
sqlite_start(
    struct store *s, const char *id, int64_t fence, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, op_start, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	op->n1 = fence;
}

static void
sqlite_release(struct store *s, const char *id, int64_t fence,
    int64_t not_before, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, op_release, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	op->n1 = fence;
	op->n2 = not_before;
}

static void
sqlite_finish(struct store *s, const struct job *j, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, op_finish, arg);

	op->cb.plain = cb;
	op->in = job_lend(j);
}

static void
sqlite_cancel(struct store *s, const char *id, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, op_cancel, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
}

static void
sqlite_get(
    struct store *s, const char *id, int want, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 0, op_get, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
	op->flag = want;
}

static void
sqlite_queue_position(struct store *s, const char *id,
    void (*cb)(enum store_result, int64_t, void *), void *arg)
{
	struct store_op *op = op_new(s, POSITION_CB, 0, op_position, arg);

	op->cb.position = cb;
	strlcpy(op->id, id, sizeof(op->id));
}

static void
sqlite_list(struct store *s, int status, const char *job_type, int64_t limit,
    int64_t offset, store_jobs_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOBS_CB, 0, op_list, arg);

	op->cb.jobs = cb;
	op->flag = status;
	if (job_type != NULL)
		strlcpy(op->job_type, job_type, sizeof(op->job_type));
	op->n1 = limit;
	op->n2 = offset;
}

static void
sqlite_counts(struct store *s, store_counts_cb cb, void *arg)
{
	op_new(s, COUNTS_CB, 0, op_counts, arg)->cb.counts = cb;
}

static void
sqlite_recover(struct store *s, store_counts_cb cb, void *arg)
{
	op_new(s, COUNTS_CB, 1, op_recover, arg)->cb.counts = cb;
}

/* ---- open and close
 * ---------------------------------------------------------------- */

static int
exec(struct store *s, const char *sql, char *detail, size_t len)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return (0);
	snprintf(detail, len, "%s%s", sqlite3_errmsg(s->db),
	    sqlite3_errcode(s->db) == SQLITE_BUSY
		? " (another takod has the file open)"
		: "");
	return (-1);
}

/* Brings the file to SCHEMA_VERSION, each step in a transaction of its own. */
static int
migrate(struct store *s, char *detail, size_t len)
{
	sqlite3_stmt *st;
	char sql[80];
	int version = -1;

	if (exec(s,
		"CREATE TABLE IF NOT EXISTS meta (version INTEGER NOT NULL,"
		" probe INTEGER NOT NULL);"
		"INSERT INTO meta SELECT 0, 0 WHERE NOT EXISTS"
		" (SELECT 1 FROM meta)",
		detail, len) == -1)
		return (-1);
	if (sqlite3_prepare_v2(s->db, "SELECT version FROM meta", -1, &st,
		NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	if (version < 0 || version > SCHEMA_VERSION) {
		snprintf(detail, len,
		    "the schema has version %d, this takod knows %d: it was "
		    "written by a newer takod",
		    version, SCHEMA_VERSION);
		return (-1);
	}
	for (; version < SCHEMA_VERSION; version++) {
		snprintf(sql, sizeof(sql), "UPDATE meta SET version = %d",
		    version + 1);
		if (exec(s, "BEGIN EXCLUSIVE", detail, len) == -1 ||
		    exec(s, schema_sqlite[version], detail, len) == -1 ||
		    exec(s, sql, detail, len) == -1 ||
		    exec(s, "COMMIT", detail, len) == -1)
			return (-1);
	}
	return (0);
}

static void
opened(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	set_up(arg, 1, "");
}

static void
sqlite_close(struct store *s)
{
	struct store_op *op;
	int i;

	while ((op = TAILQ_FIRST(&s->queue)) != NULL) {
		TAILQ_REMOVE(&s->queue, op, entry);
		op->result = STORE_AWAY;
		op_answer(op);
	}
	for (i = 0; i < S_MAX; i++)
		sqlite3_finalize(s->stmts[i]);
	if (s->db != NULL && sqlite3_close(s->db) != SQLITE_OK)
		log_warnx("sqlite: not closed cleanly");
	if (s->turn != NULL)
		event_free(s->turn);
	if (s->retry != NULL)
		event_free(s->retry);
	if (s->idle != NULL)
		event_free(s->idle);
	free(s);
}

static struct store *
sqlite_open(struct event_base *base, const char *url, const char *owner,
    store_state_cb state_cb, store_wakeup_cb wakeup_cb, void *arg, char *detail,
    size_t len)
{
	static const struct timeval at_once = { 0, 0 };
	struct store *s;
	const char *path = url;
	int i;

	(void)wakeup_cb; /* nobody else writes here */
	/* sqlite:///relative, sqlite:////absolute */
	if (strncmp(path, "sqlite:///", 10) != 0 || path[10] == '\0') {
		snprintf(detail, len,
		    "must be sqlite:///relative or sqlite:////absolute");
		return (NULL);
	}
	path += 10;
	s = xcalloc(1, sizeof(*s));
	TAILQ_INIT(&s->queue);
	s->base = base;
	s->state_cb = state_cb;
	s->arg = arg;
	strlcpy(s->owner, owner, sizeof(s->owner));
	s->turn = event_new(base, -1, 0, turn, s);
	s->retry = evtimer_new(base, retry, s);
	s->idle = evtimer_new(base, checkpoint, s);
	if (s->turn == NULL || s->retry == NULL || s->idle == NULL)
		fatal(NULL);
	if (sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		NULL) != SQLITE_OK) {
		snprintf(detail, len, "%s", sqlite3_errmsg(s->db));
		goto fail;
	}
	/* Exclusive before WAL: the index stays in memory, out of a file. */
	if (exec(s,
		"PRAGMA locking_mode = EXCLUSIVE;"
		"PRAGMA journal_mode = WAL;"
		"PRAGMA synchronous = FULL;"
		"PRAGMA foreign_keys = ON;"
		"PRAGMA trusted_schema = OFF;",
		detail, len) == -1 ||
	    migrate(s, detail, len) == -1)
		goto fail;
	/* A checkpoint in a commit is what would hold the loop longest. */
	sqlite3_wal_autocheckpoint(s->db, 0);
	sqlite3_wal_hook(s->db, wal_grew, s);
	for (i = 0; i < S_MAX; i++)
		if (sqlite3_prepare_v3(s->db, statements[i], -1,
			SQLITE_PREPARE_PERSISTENT, &s->stmts[i],
			NULL) != SQLITE_OK) {
			snprintf(detail, len, "%s", sqlite3_errmsg(s->db));
			goto fail;
		}
	if (event_base_once(base, -1, EV_TIMEOUT, opened, s, &at_once) == -1)
		fatal(NULL);
	return (s);
fail:
	sqlite_close(s);
	return (NULL);
}

const struct store_ops store_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.submit = sqlite_submit,
	.claim = sqlite_claim,
	.start = sqlite_start,
	.release = sqlite_release,
	.finish = sqlite_finish,
	.cancel = sqlite_cancel,
	.get = sqlite_get,
	.queue_position = sqlite_queue_position,
	.list = sqlite_list,
	.counts = sqlite_counts,
	.recover = sqlite_recover,
};
