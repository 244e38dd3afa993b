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

#define SCHEMA_VERSION 3

/* migrations[n] brings version n to n + 1. */
extern const char *const schema_sqlite[SCHEMA_VERSION];
extern const char *const schema_pg[SCHEMA_VERSION];

/* The columns of table jobs that make up struct job, in order. */
#define JOB_COLUMNS                                                            \
	"id, job_type, idempotency_key, fingerprint, correlation_id, "         \
	"client, parent_id, relationship, code_hash, input_hash, "             \
	"code_len, input_len, timeout, startup_timeout, created_at, "          \
	"status, fence, attempt, not_before, code_started, started_at, "       \
	"ended_at, exit_code, error, error_phase, error_message, "             \
	"startup_ms, dependencies_ms, execution_ms, total_ms, "                \
	"phase_at_exit, runtime, out_truncated, err_truncated, "               \
	"max_rss_kb, cpu_ms, wall_ms, oom_kills"

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
	C_MAX
};

#endif
