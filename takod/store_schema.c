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
 * What lists and searches go by. place: newest first, one number, with room
 * for 1024 jobs of a microsecond. A list has an index for each filter that
 * may leave few of many; an exit code above 1 is rare. Jobs that have ended
 * and whose words cannot be searched for yet are in unindexed, whoever ended
 * them: a trigger sees to that.
 */
#define PLACES(INT, STORED)                                                    \
	"ALTER TABLE jobs ADD COLUMN place BIGINT GENERATED ALWAYS AS"         \
	" (created_at * 1024 + (seq & 1023)) " STORED ";"                      \
	"DROP INDEX jobs_type; DROP INDEX jobs_status;"                        \
	"CREATE INDEX jobs_place ON jobs (place);"                             \
	"CREATE INDEX jobs_status ON jobs (status, place);"                    \
	"CREATE INDEX jobs_type ON jobs (job_type, place);"                    \
	"CREATE INDEX jobs_error ON jobs (error, place)"                       \
	" WHERE error IS NOT NULL;"                                            \
	"CREATE INDEX jobs_exit ON jobs (exit_code, place)"                    \
	" WHERE exit_code > 1;"                                                \
	"CREATE INDEX jobs_parent ON jobs (parent_id, place)"                  \
	" WHERE parent_id <> '';"                                              \
	"CREATE TABLE unindexed ("                                             \
	" seq " INT " PRIMARY KEY"                                             \
	" REFERENCES jobs (seq) ON DELETE CASCADE);"                           \
	"INSERT INTO unindexed SELECT seq FROM jobs WHERE ended_at > 0;"

/* Both hold words as common/words.h has them, and no text a second time. */
#define WORDS_SQLITE                                                           \
	"CREATE TRIGGER jobs_ended_update AFTER UPDATE OF ended_at ON jobs"    \
	" WHEN NEW.ended_at > 0 AND OLD.ended_at = 0 BEGIN"                    \
	" INSERT OR IGNORE INTO unindexed VALUES (NEW.seq); END;"              \
	"CREATE TRIGGER jobs_ended_insert AFTER INSERT ON jobs"                \
	" WHEN NEW.ended_at > 0 BEGIN"                                         \
	" INSERT OR IGNORE INTO unindexed VALUES (NEW.seq); END;"              \
	"CREATE VIRTUAL TABLE search USING fts5(words, content='',"            \
	" columnsize=0, tokenize=\"ascii tokenchars '_'\");"
#define WORDS_PG                                                               \
	"CREATE FUNCTION jobs_unindexed() RETURNS trigger"                     \
	" LANGUAGE plpgsql AS $$ BEGIN"                                        \
	" INSERT INTO unindexed VALUES (NEW.seq) ON CONFLICT DO NOTHING;"      \
	" RETURN NULL; END $$;"                                                \
	"CREATE TRIGGER jobs_ended_update AFTER UPDATE OF ended_at ON jobs"    \
	" FOR EACH ROW WHEN (NEW.ended_at > 0 AND OLD.ended_at = 0)"           \
	" EXECUTE FUNCTION jobs_unindexed();"                                  \
	"CREATE TRIGGER jobs_ended_insert AFTER INSERT ON jobs"                \
	" FOR EACH ROW WHEN (NEW.ended_at > 0)"                                \
	" EXECUTE FUNCTION jobs_unindexed();"                                  \
	"CREATE TABLE search ("                                                \
	" seq BIGINT PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,"     \
	" place BIGINT NOT NULL,"                                              \
	" words TSVECTOR NOT NULL);"                                           \
	"CREATE INDEX search_place ON search (place);"                         \
	"CREATE INDEX search_words ON search USING gin (words)"                \
	" WITH (fastupdate = off);"

const char *const schema_sqlite[SCHEMA_VERSION] = {
	JOBS("INTEGER", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT"),
	JOBS_ENDED, PLACES("INTEGER", "VIRTUAL") WORDS_SQLITE
};

const char *const schema_pg[SCHEMA_VERSION] = {
	JOBS("BIGINT", "BYTEA",
	    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	JOBS_ENDED, PLACES("BIGINT", "STORED") WORDS_PG
};
