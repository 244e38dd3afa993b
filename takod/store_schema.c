/*
 * store_schema.c: the migrations of both stores, side by side. A migration
 * that has been released is never changed: add another.
 */
#include "store_schema.h"

#define JOBS(BIG, BYTES, SERIAL)                                               \
	"CREATE TABLE jobs ("                                                  \
	" seq " SERIAL ","                                                     \
	" id TEXT NOT NULL UNIQUE,"                                            \
	" job_type TEXT NOT NULL,"                                             \
	" idempotency_key TEXT NOT NULL,"                                      \
	" fingerprint " BYTES " NOT NULL,"                                     \
	" correlation_id TEXT NOT NULL,"                                       \
	" client TEXT NOT NULL,"                                               \
	" parent_id TEXT NOT NULL,"                                            \
	" relationship TEXT,"                                                  \
	" code_hash " BYTES " NOT NULL,"                                       \
	" input_hash " BYTES " NOT NULL,"                                      \
	" code_len " BIG " NOT NULL,"                                          \
	" input_len " BIG " NOT NULL,"                                         \
	" timeout INTEGER NOT NULL,"                                           \
	" startup_timeout INTEGER NOT NULL,"                                   \
	" created_at " BIG " NOT NULL,"                                        \
	" status TEXT NOT NULL,"                                               \
	" owner TEXT,"                                                         \
	" lease_until " BIG ","                                                \
	" fence " BIG " NOT NULL,"                                             \
	" attempt INTEGER NOT NULL,"                                           \
	" not_before " BIG " NOT NULL,"                                        \
	" code_started INTEGER NOT NULL,"                                      \
	" started_at " BIG " NOT NULL,"                                        \
	" ended_at " BIG " NOT NULL,"                                          \
	" exit_code INTEGER NOT NULL,"                                         \
	" error TEXT,"                                                         \
	" error_phase TEXT,"                                                   \
	" error_message TEXT NOT NULL,"                                        \
	" startup_ms " BIG " NOT NULL,"                                        \
	" dependencies_ms " BIG " NOT NULL,"                                   \
	" execution_ms " BIG " NOT NULL,"                                      \
	" total_ms " BIG " NOT NULL,"                                          \
	" phase_at_exit TEXT,"                                                 \
	" runtime TEXT,"                                                       \
	" out_truncated INTEGER NOT NULL,"                                     \
	" err_truncated INTEGER NOT NULL,"                                     \
	" max_rss_kb " BIG " NOT NULL,"                                        \
	" cpu_ms " BIG " NOT NULL,"                                            \
	" wall_ms " BIG " NOT NULL,"                                           \
	" oom_kills " BIG " NOT NULL);"                                        \
	"CREATE UNIQUE INDEX jobs_idempotency ON jobs (idempotency_key)"       \
	" WHERE idempotency_key <> '';"                                        \
	"CREATE INDEX jobs_waiting ON jobs (seq) WHERE status = 'queued';"     \
	"CREATE INDEX jobs_running ON jobs (owner)"                            \
	" WHERE status = 'running';"                                           \
	"CREATE INDEX jobs_type ON jobs (job_type, seq);"                      \
	"CREATE INDEX jobs_status ON jobs (status, seq);"                      \
	"CREATE TABLE payloads ("                                              \
	" id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,"         \
	" code " BYTES " NOT NULL,"                                            \
	" input " BYTES " NOT NULL,"                                           \
	" requirements " BYTES " NOT NULL);"                                   \
	"CREATE TABLE outputs ("                                               \
	" id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,"         \
	" stdout " BYTES ","                                                   \
	" stderr " BYTES ","                                                   \
	" output " BYTES ","                                                   \
	" extras " BYTES ","                                                   \
	" artifacts " BYTES ");"

/* For the search for old records, which have ended. */
#define JOBS_ENDED                                                             \
	"CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;"

/*
 * Who shares the store, and requests that running jobs end. A job that an older
 * takod runs has no lease: it counts as run out.
 */
#define NODES(BIG)                                                             \
	"ALTER TABLE jobs ADD COLUMN cancel_requested"                         \
	" INTEGER NOT NULL DEFAULT 0;"                                         \
	"CREATE TABLE nodes ("                                                 \
	" name TEXT PRIMARY KEY,"                                              \
	" instance TEXT NOT NULL,"                                             \
	" version TEXT NOT NULL,"                                              \
	" started_at " BIG " NOT NULL,"                                        \
	" seen_at " BIG " NOT NULL,"                                           \
	" lease_until " BIG " NOT NULL,"                                       \
	" running INTEGER NOT NULL,"                                           \
	" max_workers INTEGER NOT NULL,"                                       \
	" draining INTEGER NOT NULL);"

const char *const schema_sqlite[SCHEMA_VERSION] = {
	JOBS("INTEGER", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT"),
	JOBS_ENDED, NODES("INTEGER")
};

const char *const schema_pg[SCHEMA_VERSION] = {
	JOBS("BIGINT", "BYTEA",
	    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	JOBS_ENDED, NODES("BIGINT")
};
