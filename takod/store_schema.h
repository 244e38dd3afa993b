/*
 * store_schema.h: the tables, in the dialects of both stores, by numbered
 * migrations; and the columns of a job in the one order that both drivers use.
 *
 * Times are integers of microseconds since the epoch: exact, the same in both
 * stores, and compared without a time zone. Names of states and errors are
 * text, so that a dump can be read and the enums may move. What a job wrote is
 * bytes. The heavy parts have tables of their own: a change of state or a list
 * never touches them.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#define SCHEMA_VERSION 10

/* migrations[n] brings version n to n + 1. */
extern const char *const schema_sqlite[SCHEMA_VERSION];
extern const char *const schema_pg[SCHEMA_VERSION];

/*
 * A running job that its holder gives up, or that nobody holds: what becomes of
 * it, and the SET of the UPDATE that does so. now and later (of two times) are
 * as the dialect has them.
 *
 * owner says who holds a running job: <node>#<life>.<claim>: a takod's name, a
 * random number of its present life, and one of the claim. Its hold counts
 * until lease_until.
 */
#define JOB_RELEASED                                                           \
	"CASE jobs.cancel_requested WHEN 1 THEN 'cancelled' ELSE 'queued' END"
#define JOB_ABANDONED                                                          \
	"CASE WHEN jobs.cancel_requested = 1 THEN 'cancelled'"                 \
	" WHEN jobs.code_started = 0 THEN 'queued' ELSE 'failed' END"
#define JOB_FATE_SET(fate, now, later)                                         \
	"status = " fate ", owner = NULL, lease_until = NULL,"                 \
	" started_at = CASE " fate                                             \
	" WHEN 'queued' THEN 0 ELSE jobs.started_at END,"                      \
	" ended_at = CASE " fate " WHEN 'queued' THEN 0"                       \
	" ELSE " later "(" now ", jobs.started_at) END,"                       \
	" error = CASE " fate " WHEN 'queued' THEN NULL"                       \
	" WHEN 'cancelled' THEN 'cancelled' ELSE 'interrupted' END,"           \
	" error_message = CASE " fate " WHEN 'queued' THEN ''"                 \
	" WHEN 'cancelled' THEN 'Execution was cancelled'"                     \
	" ELSE 'takod was ended while the job ran' END,"                       \
	" error_phase = CASE WHEN " fate " = 'queued' THEN NULL"               \
	" WHEN jobs.code_started = 0 THEN 'startup' ELSE 'execution' END,"     \
	" phase_at_exit = CASE WHEN " fate " = 'queued' THEN NULL"             \
	" WHEN jobs.code_started = 0 THEN 'startup' ELSE 'execution' END"

/* The columns of table jobs that make up struct job, in order. */
#define JOB_COLUMNS                                                            \
	"id, job_type, idempotency_key, fingerprint, correlation_id, "         \
	"client, parent_id, relationship, code_hash, input_hash, "             \
	"code_len, input_len, timeout, startup_timeout, created_at, "          \
	"status, fence, attempt, not_before, code_started, started_at, "       \
	"ended_at, exit_code, error, error_phase, error_message, "             \
	"startup_ms, dependencies_ms, execution_ms, total_ms, "                \
	"phase_at_exit, runtime, out_truncated, err_truncated, "               \
	"max_rss_kb, cpu_ms, wall_ms, oom_kills, job_ref, tenant"

enum job_column {
	C_ID,
	C_JOB_TYPE,
	C_IDEMPOTENCY_KEY,
	C_FINGERPRINT,
	C_CORRELATION_ID,
	C_CLIENT,
	C_PARENT_ID,
	C_RELATIONSHIP,
	C_CODE_HASH,
	C_INPUT_HASH,
	C_CODE_LEN,
	C_INPUT_LEN,
	C_TIMEOUT,
	C_STARTUP_TIMEOUT,
	C_CREATED_AT,
	C_STATUS,
	C_FENCE,
	C_ATTEMPT,
	C_NOT_BEFORE,
	C_CODE_STARTED,
	C_STARTED_AT,
	C_ENDED_AT,
	C_EXIT_CODE,
	C_ERROR,
	C_ERROR_PHASE,
	C_ERROR_MESSAGE,
	C_STARTUP_MS,
	C_DEPENDENCIES_MS,
	C_EXECUTION_MS,
	C_TOTAL_MS,
	C_PHASE_AT_EXIT,
	C_RUNTIME,
	C_OUT_TRUNCATED,
	C_ERR_TRUNCATED,
	C_MAX_RSS_KB,
	C_CPU_MS,
	C_WALL_MS,
	C_OOM_KILLS,
	C_JOB_REF,
	C_TENANT,
	C_MAX
};

/* The columns that make up struct dead_letter, in order. */
#define LETTER_COLUMNS "letter, " LETTER_COPIED
/* All but its number: what is copied from the row of its job. */
#define LETTER_COPIED                                                          \
	"job_id, job_type, error, error_message, retry_count, created_at, "    \
	"client, correlation_id, parent_id, keyed, code_hash, input_hash, "    \
	"code_len, input_len, timeout, startup_timeout"
#define LETTER_OF_JOB                                                          \
	"id, job_type, error, error_message, attempt - 1, ended_at, client, "  \
	"correlation_id, parent_id, "                                          \
	"CASE idempotency_key WHEN '' THEN 0 ELSE 1 END, code_hash, "          \
	"input_hash, code_len, input_len, timeout, startup_timeout"

enum letter_column {
	L_ID,
	L_JOB_ID,
	L_JOB_TYPE,
	L_ERROR,
	L_ERROR_MESSAGE,
	L_RETRY_COUNT,
	L_CREATED_AT,
	L_CLIENT,
	L_CORRELATION_ID,
	L_PARENT_ID,
	L_KEYED,
	L_CODE_HASH,
	L_INPUT_HASH,
	L_CODE_LEN,
	L_INPUT_LEN,
	L_TIMEOUT,
	L_STARTUP_TIMEOUT,
	L_MAX
};

/* An attempt as attempts_parse takes it. */
#define ATTEMPT_COLUMNS "attempt, started_at, ended_at, error, place, message"

/*
 * An idempotency key is one of its API key's; all who show none share theirs,
 * as in Tako VM 0.3. What the unique index has.
 */
#define TENANT_SCOPE(t)                                                        \
	"(CASE substr(" t ", 1, 4) WHEN 'key:' THEN " t " ELSE '' END)"

/* What the configuration says of a tenant. */
#define TENANT_POLICY                                                          \
	"name, weight, priority, max_queued, max_running, max_jobs,"           \
	" max_cpu_ms, window_us"

/*
 * Of a row of tenants: is the window that its use was counted in the one of a
 * time (us, read once: it may be a clock)?
 */
#define TENANT_WINDOW(now)                                                     \
	"(used_since + window_us > " now " AND used_since % window_us = 0)"
/* Is its budget used up, has it as many waiting, or running, as it may? */
#define TENANT_SPENT(now)                                                      \
	"CASE WHEN ((max_jobs > 0 AND used_jobs >= max_jobs)"                  \
	" OR (max_cpu_ms > 0 AND used_cpu_ms >= max_cpu_ms))"                  \
	" AND " TENANT_WINDOW(now) " THEN 1 ELSE 0 END"
#define TENANT_FILLED                                                          \
	"CASE WHEN max_queued > 0 AND waiting >= max_queued"                   \
	" THEN 1 ELSE 0 END"
#define TENANT_BUSY                                                            \
	"CASE WHEN max_running > 0 AND running >= max_running"                 \
	" THEN 1 ELSE 0 END"

/* How many jobs wait, at the price of how many tenants have some. */
#define JOBS_WAITING                                                           \
	"(SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) FROM tenants"       \
	" WHERE has_waiting = 1)"

/*
 * The place of the waiting job id: how many claims until it is taken, if no
 * other job comes or goes. A tenant of a higher priority goes first with all
 * that it has. Of one of the same priority, as many go first as it has turns
 * whose pass is below that of this job's turn; who has no turn now, having as
 * many running as it may, is left out.
 */
/* clang-format off */
#define TENANT_POSITION(id)                                                    \
	"WITH me AS (SELECT tenant, seq FROM jobs WHERE id = " id              \
	" AND status = 'queued'),"                                             \
	" own AS (SELECT name, priority, pass, 1000000 / weight AS stride,"    \
	" (SELECT count(*) FROM jobs WHERE tenant = me.tenant"                 \
	" AND status = 'queued' AND jobs.seq <= me.seq) AS k"                  \
	" FROM me JOIN tenants ON name = me.tenant),"                          \
	" rival AS (SELECT t.waiting, t.priority - own.priority AS above,"     \
	" own.pass + (own.k - 1) * own.stride - t.pass AS lead,"               \
	" 1000000 / t.weight AS stride, t.name < own.name AS first"            \
	" FROM own JOIN tenants t ON t.ready = 1 AND t.name <> own.name"       \
	" AND t.priority >= own.priority),"                                    \
	" ahead AS (SELECT waiting, CASE WHEN above > 0 THEN waiting"          \
	" WHEN lead < 0 THEN 0 WHEN lead % stride > 0 OR first"                \
	" THEN lead / stride + 1 ELSE lead / stride END AS turns FROM rival)"  \
	" SELECT CAST(coalesce((SELECT k FROM own), 0) +"                      \
	" coalesce((SELECT sum(CASE WHEN turns < waiting THEN turns"           \
	" ELSE waiting END) FROM ahead), 0) AS BIGINT)"
/* clang-format on */

#endif
