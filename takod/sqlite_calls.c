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

/* The oldest job of a tenant that may be taken now (?1). */
#define DUE                                                                    \
	"(SELECT id FROM jobs INDEXED BY jobs_waiting"                         \
	" WHERE jobs.tenant = tenants.name AND status = 'queued'"              \
	" AND not_before <= ?1 ORDER BY seq LIMIT 1)"
/* The texts of a job, and what stands before them. */
#define TEXTS(head, from)                                                      \
	"SELECT " head INDEX_COLUMNS(                                          \
	    "length") " FROM " from                                            \
		      " LEFT JOIN payloads ON payloads.id = jobs.id"           \
		      " LEFT JOIN outputs ON outputs.id = jobs.id"

/* Held by this life (?3) of a takod, by any life of it (?2). */
#define OF_THIS_LIFE  "substr(owner, 1, length(?3) + 1) = ?3 || '.'"
#define OF_THIS_NODE  "substr(owner, 1, length(?2) + 1) = ?2 || '#'"
#define SET_RELEASED  JOB_FATE_SET(JOB_RELEASED, "?4", "max")
#define SET_ABANDONED JOB_FATE_SET(JOB_ABANDONED, "?1", "max")
#define ABANDONED                                                              \
	"status = 'running' AND ((" OF_THIS_NODE " AND NOT " OF_THIS_LIFE ")"  \
	" OR (?1 <= ?4 AND coalesce(lease_until, 0) < ?1))"
#define POLICY_FIELD(f) "json_extract(value, '$." f "')"
/* clang-format off */
#define POLICY_FIELDS                                                          \
	POLICY_FIELD("name") ", " POLICY_FIELD("weight") ", "                  \
	POLICY_FIELD("priority") ", " POLICY_FIELD("max_queued") ", "          \
	POLICY_FIELD("max_running") ", " POLICY_FIELD("max_jobs") ", "         \
	POLICY_FIELD("max_cpu_ms") ", " POLICY_FIELD("window_us")
#define POLICY_NAMES "(SELECT " POLICY_FIELD("name") " FROM json_each(?1))"

static const char *const statements[S_MAX] = { [S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_SAVEPOINT] = "SAVEPOINT call",
	[S_UNDO] = "ROLLBACK TO call",
	[S_KEEP] = "RELEASE call",
	[S_PROBE] = "UPDATE meta SET probe = probe + 1",
	[S_INSERT] =
	    "INSERT INTO jobs (" JOB_COLUMNS ", owner, lease_until) VALUES ("
	    "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
	    "?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,"
	    "?29,?30,?31,?32,?33,?34,?35,?36,?37,?38,?39,?40,?41,?42)",
	[S_INSERT_PAYLOAD] = "INSERT INTO payloads VALUES (?1, ?2, ?3, ?4)",
	[S_BY_ID] = "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1",
	[S_BY_KEY] =
	    "SELECT " JOB_COLUMNS " FROM jobs WHERE idempotency_key = ?1"
	    " AND idempotency_key <> ''"
	    " AND " TENANT_SCOPE("tenant") " = " TENANT_SCOPE("?2"),
	[S_QUEUED] = "SELECT " JOBS_WAITING,
	[S_RUNNING] = "SELECT count(*) FROM jobs WHERE status = 'running'",
	[S_QUOTA] = "SELECT " TENANT_SPENT("?2") ", " TENANT_BUSY
		    ", " TENANT_FILLED " FROM tenants WHERE name = ?1",
	[S_CLAIM_TURN] = "SELECT " DUE " AS due, priority"
			 " FROM tenants INDEXED BY tenants_turn"
			 " WHERE ready = 1 AND due IS NOT NULL"
			 " ORDER BY priority DESC, pass, name LIMIT 1",
	[S_CLAIM_AGED] = "SELECT " DUE " AS due, since"
			 " FROM tenants INDEXED BY tenants_since"
			 " WHERE ready = 1 AND priority = ?2 AND since <= ?3"
			 " AND due IS NOT NULL ORDER BY since LIMIT 1",
	[S_CLAIM] = "UPDATE jobs SET status = 'running', fence = fence + 1,"
		    " attempt = attempt + 1, code_started = ?2,"
		    " started_at = ?3, owner = ?4, lease_until = ?5"
		    " WHERE id = ?1 AND status = 'queued'",
	[S_START] = "UPDATE jobs SET code_started = 1"
		    " WHERE id = ?1 AND fence = ?2 AND status = 'running'",
	[S_NOTE] = "INSERT INTO attempts (id, " ATTEMPT_COLUMNS ")"
		   " SELECT id, attempt, started_at, max(?3, started_at), ?4,"
		   " ?5, ?6 FROM jobs WHERE id = ?1 AND fence = ?2"
		   " ON CONFLICT DO NOTHING",
	[S_RELEASE] = "UPDATE jobs SET not_before = ?3, " SET_RELEASED
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
		     " oom_kills = ?20, job_type = ?21, owner = NULL,"
		     " lease_until = NULL"
		     " WHERE id = ?1 AND fence = ?2 AND (status = 'running'"
		     " OR (status = ?3 AND ended_at = max(?4, started_at)))",
	[S_LETTER] = "INSERT INTO dead_letters (" LETTER_COPIED ")"
		     " SELECT " LETTER_OF_JOB " FROM jobs"
		     " WHERE id = ?1 AND fence = ?2 ON CONFLICT DO NOTHING",
	[S_ATTEMPTS] = "SELECT json_group_array(json_array(" ATTEMPT_COLUMNS
		       ")) FROM (SELECT " ATTEMPT_COLUMNS " FROM attempts"
		       " WHERE id = ?1 ORDER BY attempt) HAVING count(*) > 0",
	[S_FINISH_OUTPUT] =
	    "INSERT OR REPLACE INTO outputs (id, stdout, stderr, output,"
	    " extras, artifacts, artifact_store)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, nullif(?7, ''))",
	[S_CANCEL] = "UPDATE jobs SET status = 'cancelled', ended_at = ?2,"
		     " error = 'cancelled', error_phase = 'startup',"
		     " error_message = 'Execution was cancelled'"
		     " WHERE id = ?1 AND status = 'queued'",
	[S_CANCEL_ASK] = "UPDATE jobs SET cancel_requested = 1"
			 " WHERE id = ?1 AND status = 'running'",
	[S_PAYLOAD] = "SELECT code, input, requirements FROM payloads"
		      " WHERE id = ?1",
	[S_POSITION] = TENANT_POSITION("?1"),
	[S_OUTPUT] = "SELECT artifacts, artifact_store, stdout, stderr,"
		     " output, extras FROM outputs WHERE id = ?1",
	[S_ARTIFACTS] = "SELECT artifacts, artifact_store FROM outputs"
			" WHERE id = ?1",
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
		     "?29,?30,?31,?32,?33,?34,?35,?36,?37,?38,?39,?40)",
	[S_HOLD] = "UPDATE jobs SET lease_until = ?2 WHERE id = ?1"
		   " AND status = 'running' AND " OF_THIS_LIFE
		   " RETURNING fence, cancel_requested",
	/* Of a former life of this node, or of nobody any more: noted, then. */
	[S_ABANDONED_NOTE] =
	    "INSERT INTO attempts (id, " ATTEMPT_COLUMNS ")"
	    " SELECT id, attempt, started_at, max(?1, started_at),"
	    " 'interrupted', 'node', CASE code_started"
	    " WHEN 0 THEN 'takod was ended before the code began'"
	    " ELSE 'takod was ended while the job ran' END FROM jobs"
	    " WHERE " ABANDONED " AND cancel_requested = 0"
	    " ON CONFLICT DO NOTHING",
	[S_ABANDONED] = "UPDATE jobs SET " SET_ABANDONED " WHERE " ABANDONED
			" RETURNING id, fence, status",
	[S_NODE] = "INSERT OR REPLACE INTO nodes (name, instance, version,"
		   " started_at, seen_at, lease_until, running, max_workers,"
		   " draining) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[S_NODES_OLD] = "DELETE FROM nodes WHERE name <> ?1"
			" AND seen_at < ?2",
	[S_NODES_ALIVE] = "SELECT count(*), coalesce(sum(running), 0),"
			  " coalesce(sum(max_workers), 0) FROM nodes"
			  " WHERE lease_until >= ?1",
	[S_NODES] = "SELECT name, instance, version, started_at, seen_at,"
		    " running, max_workers, draining, lease_until"
		    " FROM nodes ORDER BY name",
	[S_ENDED] = "SELECT 1 FROM jobs WHERE id = ?1"
		    " AND status IN ('queued', 'running')",
	[S_EXPIRED] = "SELECT id, (SELECT artifact_store FROM outputs"
		      " WHERE outputs.id = jobs.id)"
		      " FROM jobs WHERE ended_at > 0 AND ended_at < ?1"
		      " AND status NOT IN ('queued', 'running')"
		      " ORDER BY ended_at LIMIT 1",
	/* The rows of the other tables go with it. */
	[S_EXPIRE] = "DELETE FROM jobs WHERE id = ?1",
	/* Two plans would be wanted for two filters: there are not so many. */
	[S_LETTERS] = "SELECT " LETTER_COLUMNS " FROM dead_letters"
		      " WHERE (?1 = '' OR error = ?1)"
		      " AND (?2 = 0 OR letter = ?2)"
		      " ORDER BY letter DESC LIMIT ?3 OFFSET ?4",
	[S_LETTER_COUNTS] = "SELECT error, count(*) FROM dead_letters"
			    " GROUP BY error",
	[S_LETTER_REMOVE] = "DELETE FROM dead_letters WHERE letter = ?1",
	[S_LETTERS_EXPIRE] =
	    "DELETE FROM dead_letters WHERE letter IN (SELECT letter"
	    " FROM dead_letters WHERE created_at < ?1"
	    " ORDER BY created_at LIMIT ?2)",
	[S_WAITING] = "SELECT count(*) FROM tenants WHERE has_waiting = 1",
	[S_POLICY_NAMED] =
	    "INSERT INTO tenants (" TENANT_POLICY ") SELECT " POLICY_FIELDS
	    " FROM json_each(?1) WHERE true ON CONFLICT (name) DO UPDATE SET"
	    " weight = excluded.weight, priority = excluded.priority,"
	    " max_queued = excluded.max_queued,"
	    " max_running = excluded.max_running,"
	    " max_jobs = excluded.max_jobs, max_cpu_ms = excluded.max_cpu_ms,"
	    " window_us = excluded.window_us",
	[S_POLICY_REST] =
	    "UPDATE tenants SET weight = d.weight, priority = d.priority,"
	    " max_queued = d.max_queued, max_running = d.max_running,"
	    " max_jobs = d.max_jobs, max_cpu_ms = d.max_cpu_ms,"
	    " window_us = d.window_us FROM tenants AS d WHERE d.name = '*'"
	    " AND tenants.name NOT IN " POLICY_NAMES,
	[S_POLICY_GONE] =
	    "DELETE FROM tenants WHERE waiting = 0 AND running = 0"
	    " AND used_since <= ?2 - window_us AND name NOT IN " POLICY_NAMES,
	[S_TENANTS] = "SELECT " TENANT_POLICY ", waiting, running,"
		      " " TENANT_WINDOW("?2") ", used_jobs,"
		      " used_cpu_ms FROM tenants WHERE name <> '*'"
		      " ORDER BY waiting DESC, running DESC, name LIMIT ?1",
	/* While a claim's job runs, its end may still name the place. */
	[S_ARTIFACT_KNOWN] =
	    "SELECT 1 FROM jobs LEFT JOIN outputs ON outputs.id = jobs.id"
	    " WHERE jobs.id = ?1 AND (?2 = 0 OR fence = ?2)"
	    " AND (status IN ('queued', 'running') OR (length(artifacts) > 0"
	    " AND coalesce(artifact_store, 'local') = ?3))",
	[S_CHUNK_PUT] = "INSERT OR REPLACE INTO artifact_chunks (id, fence,"
			" number, chunk, written_at, data)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[S_CHUNK_GET] = "SELECT data FROM artifact_chunks WHERE id = ?1"
			" AND fence = ?2 AND number = ?3 AND chunk = ?4",
	[S_CHUNK_REMOVE] = "DELETE FROM artifact_chunks WHERE rowid IN"
			   " (SELECT rowid FROM artifact_chunks"
			   " WHERE id = ?1 AND (?2 = 0 OR fence = ?2)"
			   " LIMIT 4)",
	[S_CHUNK_PLACES] = "SELECT id, fence, written_at FROM artifact_chunks"
			   " WHERE (id, fence) > (?1, ?2)"
			   " ORDER BY id, fence, number, chunk LIMIT 1" };
/* clang-format on */

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
	get_text(st, C_JOB_REF, j->job_ref, sizeof(j->job_ref));
	get_text(st, C_TENANT, j->tenant, sizeof(j->tenant));
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
get_output(struct store *s, enum statement which, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);
	int rc, ok = 1;

	bind_text(st, 1, j->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(st, 0);
		ok = artifacts_unpack(p, (size_t)sqlite3_column_bytes(st, 0),
			 &j->artifacts, &j->n_artifacts) == 0;
		get_text(st, 1, j->artifact_store, sizeof(j->artifact_store));
	}
	if (rc == SQLITE_ROW && which == S_OUTPUT) {
		j->out = get_blob(st, 2);
		j->err = get_blob(st, 3);
		j->output = get_blob(st, 4);
		j->extras = get_blob(st, 5);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok ? STORE_OK : STORE_FAILED);
}

static enum store_result
get_attempts(struct store *s, struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_ATTEMPTS);
	int rc, ok = 1;

	bind_text(st, 1, j->id);
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

/* ---- the calls, in their transaction
 * --------------------------------------------- */

/* SQLite would take any bytes for a text; PostgreSQL does not. */
static int
texts_valid(const struct job *j)
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
static void
bind_asked(sqlite3_stmt *st, const struct job *j)
{
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
}

static int
insert_row(struct store *s, const struct job *j, int start)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_INSERT);
	int64_t now = time_wall_us();
	int i;

	bind_asked(st, j);
	sqlite3_bind_int64(
	    st, C_CREATED_AT + 1, j->created_at != 0 ? j->created_at : now);
	bind_text(st, C_STATUS + 1, start ? "running" : "queued");
	sqlite3_bind_int(st, C_FENCE + 1, start);
	sqlite3_bind_int(st, C_ATTEMPT + 1, start);
	sqlite3_bind_int64(st, C_NOT_BEFORE + 1, j->not_before);
	sqlite3_bind_int(st, C_CODE_STARTED + 1, start);
	sqlite3_bind_int64(st, C_STARTED_AT + 1, start ? now : 0);
	sqlite3_bind_int(st, C_ENDED_AT + 1, 0);
	for (i = C_EXIT_CODE; i <= C_OOM_KILLS; i++)
		sqlite3_bind_int(st, i + 1, -1);
	bind_text(st, C_JOB_REF + 1, j->job_type);
	bind_text(st, C_ERROR + 1, NULL);
	bind_text(st, C_ERROR_PHASE + 1, NULL);
	bind_text(st, C_ERROR_MESSAGE + 1, "");
	bind_text(st, C_PHASE_AT_EXIT + 1, NULL);
	bind_text(st, C_RUNTIME + 1, NULL);
	sqlite3_bind_int(st, C_OUT_TRUNCATED + 1, 0);
	sqlite3_bind_int(st, C_ERR_TRUNCATED + 1, 0);
	bind_text(st, C_TENANT + 1, j->tenant);
	bind_text(st, C_MAX + 1, start ? s->owner : NULL);
	if (start)
		sqlite3_bind_int64(st, C_MAX + 2, now + s->lease_us);
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

/* May its tenant have another one? Clears op->flag where it may not run now. */
static enum store_result
quota(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_QUOTA);
	enum store_result r = STORE_OK;
	int rc;

	bind_text(st, 1, op->in->tenant);
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
		bind_text(st, 2, j->tenant);
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
	if ((r = quota(s, op)) != STORE_OK)
		return (r);
	if (!op->flag && queued >= op->n1)
		return (STORE_FULL);
	if ((rc = insert_row(s, j, op->flag)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = put_payload(s, j)) != STORE_OK)
		return (r);
	return (by_id(s, j->id, &op->job));
}

/* A job's id, and a number, by one of the statements that find who is next. */
static enum store_result
find_next(
    struct store *s, sqlite3_stmt *st, char id[MAX_JOB_ID + 1], int64_t *number)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW) {
		get_text(st, 0, id, MAX_JOB_ID + 1);
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
	bind_text(st, 1, id);
	sqlite3_bind_int(st, 2, op->flag);
	sqlite3_bind_int64(st, 3, now);
	bind_text(st, 4, s->owner);
	sqlite3_bind_int64(st, 5, now + s->lease_us);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	if ((r = by_id(s, id, &op->job)) != STORE_OK ||
	    (r = get_attempts(s, op->job)) != STORE_OK)
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
	bind_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	sqlite3_bind_int64(st, 3, a->ended_at);
	bind_text(st, 4, job_error_name(a->error));
	bind_text(st, 5, a->place);
	bind_text(st, 6, a->message);
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
	bind_text(st, 1, j->id);
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
	bind_text(st, 1, j->id);
	sqlite3_bind_int64(st, 2, j->fence);
	sqlite3_bind_int64(st, 3, now + op->n1);
	sqlite3_bind_int64(st, 4, now);
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
	bind_text(st, 7, j->artifact_store);
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
	bind_text(st, 21, j->job_type);
	if ((r = guarded(s, st)) != STORE_OK ||
	    (r = put_letter(s, j)) != STORE_OK)
		return (r);
	return (put_output(s, j));
}

static int
import_row(struct store *s, const struct job *j)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_IMPORT);

	bind_asked(st, j);
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
	bind_text(st, C_JOB_REF + 1, j->job_ref);
	bind_text(st, C_TENANT + 1, j->tenant);
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
		bind_text(st, 2, j->tenant);
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
	if (guard == STORE_STALE) {
		st = sqlite_stmt(s, S_CANCEL_ASK);
		bind_text(st, 1, op->id);
		r = guarded(s, st);
		if (r != STORE_OK)
			return (r == STORE_STALE ? STORE_NOT_FOUND : r);
	}
	if ((r = by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	return (guard);
}

enum store_result
call_get(struct store *s, struct store_op *op)
{
	enum store_result r;

	if ((r = by_id(s, op->id, &op->job)) != STORE_OK)
		return (r);
	if ((op->flag & (WANT_OUTPUT | WANT_ARTIFACTS)) &&
	    (r = get_output(s, op->flag & WANT_OUTPUT ? S_OUTPUT : S_ARTIFACTS,
		 op->job)) != STORE_OK)
		return (r);
	if ((op->flag & WANT_OUTPUT) &&
	    (r = get_attempts(s, op->job)) != STORE_OK)
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
	if (r == STORE_OK)
		r = number(s, sqlite_stmt(s, S_WAITING), &op->counts.tenants);
	return (r);
}

/* Rows of takods that were not seen for so long are forgotten. */
#define NODES_OLD_US (7 * 86400 * INT64_C(1000000))

static int
lease_add(struct store_op *op, const char *id, int64_t fence,
    enum job_status status, int cancel)
{
	struct store_lease *l;

	l = reallocarray(op->leases, op->beat.n_jobs + 1, sizeof(*l));
	if (l == NULL)
		return (-1);
	op->leases = l;
	op->beat.jobs = l;
	l += op->beat.n_jobs++;
	strlcpy(l->id, id, sizeof(l->id));
	l->fence = fence;
	l->status = status;
	l->cancel = cancel;
	return (0);
}

static enum store_result
beat_hold(struct store *s, struct store_op *op, int64_t now)
{
	sqlite3_stmt *st;
	size_t i;
	int rc, ok;

	for (i = 0; i < op->n_ids; i++) {
		st = sqlite_stmt(s, S_HOLD);
		bind_text(st, 1, op->ids[i]);
		sqlite3_bind_int64(st, 2, now + s->lease_us);
		bind_text(st, 3, s->life);
		ok = 0;
		while ((rc = sqlite3_step(st)) == SQLITE_ROW)
			ok = lease_add(op, op->ids[i],
			    sqlite3_column_int64(st, 0), JOB_RUNNING,
			    sqlite3_column_int(st, 1));
		sqlite3_reset(st);
		if (rc != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		if (ok == -1)
			return (STORE_FAILED);
	}
	return (STORE_OK);
}

static sqlite3_stmt *
abandoned_stmt(struct store *s, enum statement which, const struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);

	sqlite3_bind_int64(st, 1, op->beat.now);
	bind_text(st, 2, s->node);
	bind_text(st, 3, s->life);
	sqlite3_bind_int64(st, 4, op->pulse.reap_until);
	return (st);
}

/* What is held was extended before: it is not among these. */
static enum store_result
beat_abandoned(struct store *s, struct store_op *op)
{
	const struct store_lease *l;
	char id[MAX_JOB_ID + 1];
	sqlite3_stmt *st;
	size_t i, first = op->beat.n_jobs;
	int rc, ok = 0;

	if ((rc = sqlite_run(abandoned_stmt(s, S_ABANDONED_NOTE, op))) !=
	    SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = abandoned_stmt(s, S_ABANDONED, op);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		get_text(st, 0, id, sizeof(id));
		ok |= lease_add(op, id, sqlite3_column_int64(st, 1),
		    (enum job_status)get_enum(st, 2, job_status_byname), 0);
	}
	sqlite3_reset(st);
	for (i = first; i < op->beat.n_jobs && rc == SQLITE_DONE; i++) {
		l = &op->leases[i];
		if (l->status != JOB_FAILED)
			continue;
		st = sqlite_stmt(s, S_LETTER);
		bind_text(st, 1, l->id);
		sqlite3_bind_int64(st, 2, l->fence);
		rc = sqlite_run(st);
	}
	if (rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok == -1 ? STORE_FAILED : STORE_OK);
}

static enum store_result
beat_node(struct store *s, struct store_op *op, int64_t now)
{
	const struct store_pulse *p = &op->pulse;
	sqlite3_stmt *st = sqlite_stmt(s, S_NODE);
	int rc;

	bind_text(st, 1, s->node);
	bind_text(st, 2, s->instance);
	bind_text(st, 3, TAKO_VERSION);
	sqlite3_bind_int64(st, 4, now - p->uptime_us);
	sqlite3_bind_int64(st, 5, now);
	sqlite3_bind_int64(st, 6, now + s->lease_us);
	sqlite3_bind_int(st, 7, p->running);
	sqlite3_bind_int(st, 8, p->max_workers);
	sqlite3_bind_int(st, 9, p->draining);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = sqlite_stmt(s, S_NODES_OLD);
	bind_text(st, 1, s->node);
	sqlite3_bind_int64(st, 2, now - NODES_OLD_US);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = sqlite_stmt(s, S_NODES_ALIVE);
	sqlite3_bind_int64(st, 1, now);
	if ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		op->beat.nodes = sqlite3_column_int64(st, 0);
		op->beat.running = sqlite3_column_int64(st, 1);
		op->beat.max_workers = sqlite3_column_int64(st, 2);
	}
	sqlite3_reset(st);
	return (rc == SQLITE_ROW ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_beat(struct store *s, struct store_op *op)
{
	int64_t now = time_wall_us();
	enum store_result r;

	op->beat.n_jobs = 0;
	op->beat.now = now;
	if ((r = beat_hold(s, op, now)) != STORE_OK ||
	    (r = beat_abandoned(s, op)) != STORE_OK ||
	    (r = beat_node(s, op, now)) != STORE_OK)
		return (r);
	return (number(s, sqlite_stmt(s, S_QUEUED), &op->beat.queued));
}

enum store_result
call_ended(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st;
	size_t i, n = 0;
	int rc;

	for (i = 0; i < op->n_ids; i++) {
		st = sqlite_stmt(s, S_ENDED);
		bind_text(st, 1, op->ids[i]);
		rc = sqlite3_step(st);
		sqlite3_reset(st);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		if (rc == SQLITE_DONE)
			memmove(op->ids[n++], op->ids[i], sizeof(*op->ids));
	}
	op->n_ids = n;
	return (STORE_OK);
}

enum store_result
call_nodes(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_NODES);
	int64_t now = time_wall_us();
	struct store_node *n;
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		n = reallocarray(op->nodes, op->n_nodes + 1, sizeof(*n));
		if (n == NULL)
			break;
		op->nodes = n;
		n += op->n_nodes++;
		get_text(st, 0, n->name, sizeof(n->name));
		get_text(st, 1, n->instance, sizeof(n->instance));
		get_text(st, 2, n->version, sizeof(n->version));
		n->started_at = sqlite3_column_int64(st, 3);
		n->seen_at = sqlite3_column_int64(st, 4);
		n->silent_us = now - n->seen_at;
		n->running = sqlite3_column_int(st, 5);
		n->max_workers = sqlite3_column_int(st, 6);
		n->draining = sqlite3_column_int(st, 7);
		n->alive = sqlite3_column_int64(st, 8) >= now;
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
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
			get_text(st, 0, e->id, sizeof(e->id));
			get_text(st, 1, e->artifact_store,
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
		bind_text(st, 1, e->id);
		if ((rc = sqlite_run(st)) != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		op->n_gone++;
	}
	return (STORE_OK);
}

/* ---- artifacts --------------------------------------------------------------
 */

/* An answer of one row or none. */
static enum store_result
is_there(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_OK);
	return (rc == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_fault(s, rc));
}

enum store_result
call_artifact_known(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_ARTIFACT_KNOWN);

	bind_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	bind_text(st, 3, op->artifact_store);
	return (is_there(s, st));
}

static sqlite3_stmt *
chunk_stmt(struct store *s, enum statement which, const struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);

	bind_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	sqlite3_bind_int64(st, 3, op->n1);
	sqlite3_bind_int64(st, 4, op->n2);
	return (st);
}

enum store_result
call_chunk_put(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = chunk_stmt(s, S_CHUNK_PUT, op);
	int rc;

	sqlite3_bind_int64(st, 5, time_wall_us());
	bind_bytes(st, 6, blob_data(op->blob), blob_len(op->blob));
	rc = sqlite_run(st);
	sqlite3_clear_bindings(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_chunk_get(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = chunk_stmt(s, S_CHUNK_GET, op);
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		op->blob = get_blob(st, 0);
	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return (STORE_NOT_FOUND);
	if (rc != SQLITE_ROW)
		return (sqlite_fault(s, rc));
	return (op->blob == NULL ? STORE_FAILED : STORE_OK);
}

enum store_result
call_chunk_remove(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_CHUNK_REMOVE);
	int rc;

	bind_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (sqlite3_changes(s->db) > 0 ? STORE_OK : STORE_NOT_FOUND);
}

enum store_result
call_chunk_places(struct store *s, struct store_op *op)
{
	struct artifact_place *at = &op->place;
	struct artifact_found *f;
	sqlite3_stmt *st;
	int rc;

	for (op->n_found = 0; op->n_found < STORE_PLACES; op->n_found++) {
		f = &op->found[op->n_found];
		st = sqlite_stmt(s, S_CHUNK_PLACES);
		bind_text(st, 1, at->job_id);
		sqlite3_bind_int64(st, 2, at->fence);
		if ((rc = sqlite3_step(st)) == SQLITE_ROW) {
			get_text(
			    st, 0, f->place.job_id, sizeof(f->place.job_id));
			f->place.fence = sqlite3_column_int64(st, 1);
			f->written = sqlite3_column_int64(st, 2);
			at = &f->place;
		}
		sqlite3_reset(st);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW)
			return (sqlite_fault(s, rc));
	}
	return (STORE_OK);
}

/* ---- dead letters -------------------------------------------------------- */

static void
get_letter(sqlite3_stmt *st, struct dead_letter *l)
{
	memset(l, 0, sizeof(*l));
	l->id = sqlite3_column_int64(st, L_ID);
	get_text(st, L_JOB_ID, l->job_id, sizeof(l->job_id));
	get_text(st, L_JOB_TYPE, l->job_type, sizeof(l->job_type));
	l->error = (enum job_error)get_enum(st, L_ERROR, job_error_byname);
	get_text(
	    st, L_ERROR_MESSAGE, l->error_message, sizeof(l->error_message));
	l->retry_count = sqlite3_column_int(st, L_RETRY_COUNT);
	l->created_at = sqlite3_column_int64(st, L_CREATED_AT);
	get_text(st, L_CLIENT, l->client, sizeof(l->client));
	get_text(
	    st, L_CORRELATION_ID, l->correlation_id, sizeof(l->correlation_id));
	get_text(st, L_PARENT_ID, l->parent_id, sizeof(l->parent_id));
	l->keyed = sqlite3_column_int(st, L_KEYED);
	get_digest(st, L_CODE_HASH, l->code_hash);
	get_digest(st, L_INPUT_HASH, l->input_hash);
	l->code_len = sqlite3_column_int64(st, L_CODE_LEN);
	l->input_len = sqlite3_column_int64(st, L_INPUT_LEN);
	l->timeout = sqlite3_column_int(st, L_TIMEOUT);
	l->startup_timeout = sqlite3_column_int(st, L_STARTUP_TIMEOUT);
}

enum store_result
call_letters(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTERS);
	struct dead_letter *more;
	int rc;

	bind_text(st, 1, op->error);
	sqlite3_bind_int64(st, 2, op->position);
	sqlite3_bind_int64(st, 3, op->n1);
	sqlite3_bind_int64(st, 4, op->n2);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		more = reallocarray(
		    op->letters, op->n_letters + 1, sizeof(*op->letters));
		if (more == NULL)
			break;
		op->letters = more;
		get_letter(st, &op->letters[op->n_letters++]);
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_letter_counts(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTER_COUNTS);
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		op->errors[get_enum(st, 0, job_error_byname)] +=
		    sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_letter_remove(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTER_REMOVE);
	enum store_result r;

	sqlite3_bind_int64(st, 1, op->n1);
	r = guarded(s, st);
	return (r == STORE_STALE ? STORE_NOT_FOUND : r);
}

enum store_result
call_letters_expire(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTERS_EXPIRE);
	int rc;

	sqlite3_bind_int64(st, 1, time_wall_us() - op->n1);
	sqlite3_bind_int64(st, 2, op->n2);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	op->position = sqlite3_changes(s->db);
	return (STORE_OK);
}

/* ---- tenants ------------------------------------------------------------- */

enum store_result
call_set_tenants(struct store *s, struct store_op *op)
{
	static const enum statement all[] = { S_POLICY_NAMED, S_POLICY_REST,
		S_POLICY_GONE };
	sqlite3_stmt *st;
	size_t i;
	int rc;

	for (i = 0; i < nitems(all); i++) {
		st = sqlite_stmt(s, all[i]);
		bind_text(st, 1, op->text);
		if (all[i] == S_POLICY_GONE)
			sqlite3_bind_int64(st, 2, time_wall_us());
		if ((rc = sqlite_run(st)) != SQLITE_DONE)
			return (sqlite_fault(s, rc));
	}
	s->age_us = op->n1;
	return (STORE_OK);
}

enum store_result
call_tenants(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_TENANTS);
	struct tenant *t = op->tenants;
	int rc;

	sqlite3_bind_int(st, 1, op->flag);
	sqlite3_bind_int64(st, 2, time_wall_us());
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		get_text(st, 0, t->policy.name, sizeof(t->policy.name));
		t->policy.weight = sqlite3_column_int(st, 1);
		t->policy.priority = sqlite3_column_int(st, 2);
		t->policy.max_queued = sqlite3_column_int64(st, 3);
		t->policy.max_running = sqlite3_column_int64(st, 4);
		t->policy.max_jobs = sqlite3_column_int64(st, 5);
		t->policy.max_cpu_ms = sqlite3_column_int64(st, 6);
		t->waiting = sqlite3_column_int64(st, 8);
		t->running = sqlite3_column_int64(st, 9);
		if (sqlite3_column_int(st, 10)) {
			t->used_jobs = sqlite3_column_int64(st, 11);
			t->used_cpu_ms = sqlite3_column_int64(st, 12);
		}
		t++;
	}
	sqlite3_reset(st);
	op->n_tenants = (size_t)(t - op->tenants);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}
