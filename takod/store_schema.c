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
 * job_ref: the job type as it was asked for, where job_type changes at the end
 * to what the job ran as; "" in rows of before. A dead letter stays when its
 * job's record is gone, so it has copies.
 */
#define FAULTS(BIG, BYTES, SERIAL)                                             \
	"ALTER TABLE jobs ADD COLUMN job_ref TEXT NOT NULL DEFAULT '';"        \
	"CREATE TABLE attempts ("                                              \
	" id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"            \
	" attempt INTEGER NOT NULL,"                                           \
	" started_at " BIG " NOT NULL,"                                        \
	" ended_at " BIG " NOT NULL,"                                          \
	" error TEXT NOT NULL,"                                                \
	" place TEXT NOT NULL,"                                                \
	" message TEXT NOT NULL,"                                              \
	" PRIMARY KEY (id, attempt));"                                         \
	"CREATE TABLE dead_letters ("                                          \
	" letter " SERIAL ","                                                  \
	" job_id TEXT NOT NULL UNIQUE,"                                        \
	" job_type TEXT NOT NULL,"                                             \
	" error TEXT NOT NULL,"                                                \
	" error_message TEXT NOT NULL,"                                        \
	" retry_count INTEGER NOT NULL,"                                       \
	" created_at " BIG " NOT NULL,"                                        \
	" client TEXT NOT NULL,"                                               \
	" correlation_id TEXT NOT NULL,"                                       \
	" parent_id TEXT NOT NULL,"                                            \
	" keyed INTEGER NOT NULL,"                                             \
	" code_hash " BYTES " NOT NULL,"                                       \
	" input_hash " BYTES " NOT NULL,"                                      \
	" code_len " BIG " NOT NULL,"                                          \
	" input_len " BIG " NOT NULL,"                                         \
	" timeout INTEGER NOT NULL,"                                           \
	" startup_timeout INTEGER NOT NULL);"                                  \
	"CREATE INDEX dead_letters_age ON dead_letters (created_at);"          \
	"CREATE INDEX dead_letters_error ON dead_letters (error, letter);"

/*
 * Who takes turns. A row for each tenant that has jobs waiting or running, or
 * a budget that it began to use, and one, "*", for what holds for those whom
 * the configuration does not name.
 *
 *	ready	it has a job waiting and may have another one running
 *	pass	its virtual time: grows by 1000000 / weight with each job that
 *		begins. The next turn is the one of the least. Who becomes
 *		ready joins at the least of its priority, or at one turn more
 *		if it was served just now: neither idleness nor a queue that
 *		was worked off is paid back
 *	since	when it became ready, or was served last (us)
 *
 * The counts are kept by triggers of jobs, so that no statement can forget
 * them, whichever moves a job.
 */
/* clang-format off */
#define TENANTS(BIG)                                                           \
	"ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';"         \
	"DROP INDEX jobs_idempotency;"                                         \
	"CREATE UNIQUE INDEX jobs_idempotency ON jobs ("                       \
	TENANT_SCOPE("tenant") ", idempotency_key)"                            \
	" WHERE idempotency_key <> '';"                                        \
	"DROP INDEX jobs_waiting;"                                             \
	"CREATE INDEX jobs_waiting ON jobs (tenant, seq)"                      \
	" WHERE status = 'queued';"                                            \
	"CREATE TABLE tenants ("                                               \
	" name TEXT NOT NULL PRIMARY KEY,"                                     \
	" weight INTEGER NOT NULL,"                                            \
	" priority INTEGER NOT NULL,"                                          \
	" max_queued " BIG " NOT NULL,"                                        \
	" max_running " BIG " NOT NULL,"                                       \
	" max_jobs " BIG " NOT NULL,"                                          \
	" max_cpu_ms " BIG " NOT NULL,"                                        \
	" window_us " BIG " NOT NULL,"                                         \
	" waiting " BIG " NOT NULL DEFAULT 0,"                                 \
	" running " BIG " NOT NULL DEFAULT 0,"                                 \
	" ready INTEGER NOT NULL DEFAULT 0,"                                   \
	" pass " BIG " NOT NULL DEFAULT 0,"                                    \
	" since " BIG " NOT NULL DEFAULT 0,"                                   \
	" used_since " BIG " NOT NULL DEFAULT 0,"                              \
	" used_jobs " BIG " NOT NULL DEFAULT 0,"                               \
	" used_cpu_ms " BIG " NOT NULL DEFAULT 0);"                            \
	"CREATE INDEX tenants_turn ON tenants (priority DESC, pass, name)"     \
	" WHERE ready = 1;"                                                    \
	"CREATE INDEX tenants_since ON tenants (priority, since)"              \
	" WHERE ready = 1;"                                                    \
	"INSERT INTO tenants (" TENANT_POLICY ")"                              \
	" VALUES ('*', 1, 0, 0, 0, 0, 0, 3600000000);"                         \
	"UPDATE jobs SET tenant = 'addr:' || client"                           \
	" WHERE status IN ('queued', 'running');"                              \
	"INSERT INTO tenants (" TENANT_POLICY ", waiting, running, ready)"     \
	" SELECT tenant, 1, 0, 0, 0, 0, 0, 3600000000,"                        \
	" sum(CASE status WHEN 'queued' THEN 1 ELSE 0 END),"                   \
	" sum(CASE status WHEN 'running' THEN 1 ELSE 0 END),"                  \
	" max(CASE status WHEN 'queued' THEN 1 ELSE 0 END)"                    \
	" FROM jobs WHERE status IN ('queued', 'running') GROUP BY tenant;"

/* A job has come, moved or gone: what its tenant has more of, and served. */
#define TENANT_MOVE(who, now, waits, runs, served, jobs, cpu)                  \
	"UPDATE tenants SET waiting = waiting + " waits ","                    \
	" running = running + " runs ","                                       \
	" pass = pass + " served " * (1000000 / weight),"                      \
	" since = CASE WHEN " served " > 0 THEN " now " ELSE since END,"       \
	" used_jobs = " jobs " + CASE WHEN"                                    \
	" used_since = " now " - " now " % window_us"                          \
	" THEN used_jobs ELSE 0 END,"                                          \
	" used_cpu_ms = " cpu " + CASE WHEN"                                   \
	" used_since = " now " - " now " % window_us"                          \
	" THEN used_cpu_ms ELSE 0 END,"                                        \
	" used_since = " now " - " now " % window_us"                          \
	" WHERE name = " who ";"

/* One of whom nothing was known. */
#define TENANT_NEW(who)                                                        \
	"INSERT INTO tenants (" TENANT_POLICY ")"                              \
	" SELECT " who ", weight, priority, max_queued, max_running,"          \
	" max_jobs, max_cpu_ms, window_us FROM tenants WHERE name = '*'"

#define TENANT_READY                                                           \
	"CASE WHEN NEW.waiting > 0 AND (NEW.max_running = 0"                   \
	" OR NEW.running < NEW.max_running) THEN 1 ELSE 0 END"
/* The least pass of those it comes to, or leaves. */
#define TENANT_LEAST                                                           \
	"(SELECT pass FROM tenants WHERE ready = 1"                            \
	" AND priority = NEW.priority AND name <> NEW.name"                    \
	" ORDER BY pass LIMIT 1)"

/* ---- in SQLite's words --------------------------------------------------- */

#define LITE_NOW                                                               \
	"CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
#define LITE_IS(row, state) "(" row ".status = '" state "')"
#define LITE_MORE(state)    "(" LITE_IS("NEW", state) " - " LITE_IS("OLD", state) ")"
#define LITE_SERVED                                                            \
	"(" LITE_IS("OLD", "queued") " * " LITE_IS("NEW", "running") " - "     \
	LITE_IS("OLD", "running") " * " LITE_IS("NEW", "queued") ")"
#define LITE_CPU                                                               \
	"(CASE WHEN NEW.status IN ('queued', 'running') THEN 0"                \
	" WHEN NEW.cpu_ms >= 0 THEN NEW.cpu_ms"                                \
	" ELSE max(NEW.execution_ms, 0) END)"

#define TENANTS_SQLITE                                                         \
	TENANTS("INTEGER")                                                     \
	"CREATE TRIGGER tenants_ready"                                         \
	" AFTER UPDATE OF waiting, running, max_running, priority ON tenants"  \
	" WHEN NEW.ready <> " TENANT_READY                                     \
	" OR NEW.priority <> OLD.priority BEGIN"                               \
	" UPDATE tenants SET ready = " TENANT_READY ", since = " LITE_NOW ","  \
	" pass = coalesce(min(max(NEW.pass, " TENANT_LEAST "),"                \
	" " TENANT_LEAST " + 1000000 / NEW.weight), NEW.pass)"                 \
	" WHERE name = NEW.name; END;"                                         \
	"CREATE TRIGGER jobs_come AFTER INSERT ON jobs"                        \
	" WHEN NEW.status IN ('queued', 'running') BEGIN "                     \
	TENANT_NEW("NEW.tenant") " AND NOT EXISTS"                             \
	" (SELECT 1 FROM tenants WHERE name = NEW.tenant); "                   \
	TENANT_MOVE("NEW.tenant", LITE_NOW, LITE_IS("NEW", "queued"),          \
	    LITE_IS("NEW", "running"), LITE_IS("NEW", "running"), "1", "0")    \
	" END;"                                                                \
	"CREATE TRIGGER jobs_move AFTER UPDATE OF status ON jobs"              \
	" WHEN NEW.status <> OLD.status BEGIN "                                \
	TENANT_MOVE("NEW.tenant", LITE_NOW, LITE_MORE("queued"),               \
	    LITE_MORE("running"), LITE_SERVED, "0", LITE_CPU)                  \
	" END;"                                                                \
	"CREATE TRIGGER jobs_go AFTER DELETE ON jobs"                          \
	" WHEN OLD.status IN ('queued', 'running') BEGIN "                     \
	TENANT_MOVE("OLD.tenant", LITE_NOW, "-" LITE_IS("OLD", "queued"),      \
	    "-" LITE_IS("OLD", "running"), "0", "0", "0")                      \
	" END;"

/* ---- and in PostgreSQL's ------------------------------------------------- */

#define PG_NOW "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
#define PG_IS(row, state) "(" row ".status = '" state "')::int"

#define TENANTS_PG                                                             \
	TENANTS("BIGINT")                                                      \
	"ALTER TABLE tenants SET (fillfactor = 50);"                           \
	"CREATE FUNCTION tenant_ready() RETURNS trigger"                       \
	" LANGUAGE plpgsql SET search_path FROM CURRENT AS $$"                 \
	" DECLARE least_pass BIGINT := " TENANT_LEAST ";"                      \
	" BEGIN"                                                               \
	" NEW.ready := " TENANT_READY ";"                                      \
	" NEW.since := " PG_NOW ";"                                            \
	" NEW.pass := least(greatest(NEW.pass, least_pass),"                   \
	" least_pass + 1000000 / NEW.weight);"                                 \
	" RETURN NEW; END $$;"                                                 \
	"CREATE TRIGGER tenants_ready BEFORE UPDATE ON tenants"                \
	" FOR EACH ROW WHEN (NEW.ready <> " TENANT_READY                       \
	" OR NEW.priority <> OLD.priority)"                                    \
	" EXECUTE FUNCTION tenant_ready();"                                    \
	"CREATE FUNCTION job_moved() RETURNS trigger"                          \
	" LANGUAGE plpgsql SET search_path FROM CURRENT AS $$"                 \
	" DECLARE"                                                             \
	" moment BIGINT := " PG_NOW ";"                                            \
	" who TEXT; waits INT := 0; runs INT := 0; served INT := 0;"           \
	" fresh INT := 0; cpu BIGINT := 0;"                                    \
	" BEGIN"                                                               \
	" IF TG_OP <> 'INSERT' THEN"                                           \
	" who := OLD.tenant;"                                                  \
	" waits := -" PG_IS("OLD", "queued") ";"                               \
	" runs := -" PG_IS("OLD", "running") ";"                               \
	" END IF;"                                                             \
	" IF TG_OP <> 'DELETE' THEN"                                           \
	" who := NEW.tenant;"                                                  \
	" served := CASE WHEN NEW.status = 'running' THEN 1 + runs"            \
	" WHEN NEW.status = 'queued' THEN runs ELSE 0 END;"                    \
	" waits := waits + " PG_IS("NEW", "queued") ";"                        \
	" runs := runs + " PG_IS("NEW", "running") ";"                         \
	" IF TG_OP = 'INSERT' THEN fresh := 1;"                                \
	" ELSIF NEW.status NOT IN ('queued', 'running') THEN"                  \
	" cpu := CASE WHEN NEW.cpu_ms >= 0 THEN NEW.cpu_ms"                    \
	" ELSE greatest(NEW.execution_ms, 0) END;"                             \
	" END IF; END IF;"                                                     \
	" FOR i IN 1..2 LOOP "                                                 \
	TENANT_MOVE("who", "moment", "waits", "runs", "served", "fresh", "cpu")    \
	" EXIT WHEN FOUND; "                                                   \
	TENANT_NEW("who") " ON CONFLICT DO NOTHING;"                           \
	" END LOOP;"                                                           \
	" RETURN NULL; END $$;"                                                \
	"CREATE TRIGGER jobs_come AFTER INSERT ON jobs FOR EACH ROW"           \
	" WHEN (NEW.status IN ('queued', 'running'))"                          \
	" EXECUTE FUNCTION job_moved();"                                       \
	"CREATE TRIGGER jobs_move AFTER UPDATE OF status ON jobs FOR EACH ROW" \
	" WHEN (NEW.status <> OLD.status)"                                     \
	" EXECUTE FUNCTION job_moved();"                                       \
	"CREATE TRIGGER jobs_go AFTER DELETE ON jobs FOR EACH ROW"             \
	" WHEN (OLD.status IN ('queued', 'running'))"                          \
	" EXECUTE FUNCTION job_moved();"
/* clang-format on */

/*
 * Where the artifacts of a record lie, and those that lie here. The pieces
 * refer to no job: with a job's row would go all of them at one stroke.
 */
#define ARTIFACTS(BIG, BYTES)                                                  \
	"ALTER TABLE outputs ADD COLUMN artifact_store TEXT;"                  \
	"CREATE TABLE artifact_chunks ("                                       \
	" id TEXT NOT NULL,"                                                   \
	" fence " BIG " NOT NULL,"                                             \
	" number INTEGER NOT NULL,"                                            \
	" chunk INTEGER NOT NULL,"                                             \
	" written_at " BIG " NOT NULL,"                                        \
	" data " BYTES " NOT NULL,"                                            \
	" PRIMARY KEY (id, fence, number, chunk));"

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
	" LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"           \
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

/*
 * Whose jobs wait, found without a look at the others. A column of its own, for
 * it changes seldom: an index that names the count would be written to with
 * each job, and PostgreSQL's tenants_turn with it.
 */
#define WAITS(KIND)                                                            \
	"ALTER TABLE tenants ADD COLUMN has_waiting INTEGER"                   \
	" GENERATED ALWAYS AS (CASE WHEN waiting > 0 THEN 1 ELSE 0 END)"       \
	" " KIND ";"                                                           \
	"CREATE INDEX tenants_waits ON tenants (name) WHERE has_waiting = 1;"

/* clang-format off */
/* One statement may bring many jobs: each tenant is counted once. */
#define COME_PG                                                                \
	"DROP TRIGGER jobs_come ON jobs;"                                      \
	"CREATE FUNCTION jobs_came() RETURNS trigger"                          \
	" LANGUAGE plpgsql SET search_path FROM CURRENT AS $$"                 \
	" DECLARE moment BIGINT := " PG_NOW "; job RECORD;"                    \
	" BEGIN"                                                               \
	" FOR job IN SELECT tenant, count(*) AS fresh,"                        \
	" count(*) FILTER (WHERE status = 'queued') AS waits,"                 \
	" count(*) FILTER (WHERE status = 'running') AS runs"                  \
	" FROM came WHERE status IN ('queued', 'running')"                     \
	" GROUP BY tenant ORDER BY tenant LOOP"                                \
	" FOR i IN 1..2 LOOP "                                                 \
	TENANT_MOVE("job.tenant", "moment", "job.waits", "job.runs",           \
	    "job.runs", "job.fresh", "0")                                      \
	" EXIT WHEN FOUND; "                                                   \
	TENANT_NEW("job.tenant") " ON CONFLICT DO NOTHING;"                    \
	" END LOOP; END LOOP;"                                                 \
	" RETURN NULL; END $$;"                                                \
	"CREATE TRIGGER jobs_come AFTER INSERT ON jobs"                        \
	" REFERENCING NEW TABLE AS came FOR EACH STATEMENT"                    \
	" EXECUTE FUNCTION jobs_came();"
/* clang-format on */

/*
 * The words themselves, which SQLite has to be told again to forget them: no
 * text is taken apart for that. All that is there is indexed anew.
 */
#define STORED_SQLITE                                                          \
	"CREATE TABLE words ("                                                 \
	" seq INTEGER PRIMARY KEY"                                             \
	" REFERENCES jobs (seq) ON DELETE CASCADE,"                            \
	" words TEXT NOT NULL);"                                               \
	"INSERT INTO search (search) VALUES ('delete-all');"                   \
	"INSERT OR IGNORE INTO unindexed"                                      \
	" SELECT seq FROM jobs WHERE ended_at > 0;"
/* Rows come and go there with each job: dead ones stand before the next. */
#define STORED_PG                                                              \
	"ALTER TABLE unindexed SET (autovacuum_vacuum_scale_factor = 0,"       \
	" autovacuum_vacuum_threshold = 5000);"

/*
 * What goes with a job's row. A key that refers to it would have each row that
 * is put beside it looked up again; both are written by the statement that
 * writes, or has locked, the job's. SQLite has its keys still: they cost a
 * hundredth of a submit there.
 */
#define BESIDE_PG                                                              \
	"ALTER TABLE payloads DROP CONSTRAINT payloads_id_fkey;"               \
	"ALTER TABLE outputs DROP CONSTRAINT outputs_id_fkey;"                 \
	"CREATE FUNCTION job_gone() RETURNS trigger"                           \
	" LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"           \
	" DELETE FROM payloads WHERE id = OLD.id;"                             \
	" DELETE FROM outputs WHERE id = OLD.id;"                              \
	" RETURN NULL; END $$;"                                                \
	"CREATE TRIGGER jobs_gone AFTER DELETE ON jobs FOR EACH ROW"           \
	" EXECUTE FUNCTION job_gone();"

const char *const schema_sqlite[SCHEMA_VERSION] = {
	JOBS("INTEGER", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT"),
	JOBS_ENDED,
	FAULTS("INTEGER", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT"),
	TENANTS_SQLITE,
	ARTIFACTS("INTEGER", "BLOB"),
	NODES("INTEGER"),
	PLACES("INTEGER", "VIRTUAL") WORDS_SQLITE,
	WAITS("VIRTUAL"),
	STORED_SQLITE,
	"",
};

const char *const schema_pg[SCHEMA_VERSION] = {
	JOBS("BIGINT", "BYTEA",
	    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	JOBS_ENDED,
	FAULTS("BIGINT", "BYTEA",
	    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	TENANTS_PG,
	/* Not compressed: artifacts mostly are already. */
	ARTIFACTS("BIGINT", "BYTEA") "ALTER TABLE artifact_chunks"
				     " ALTER COLUMN data"
				     " SET STORAGE EXTERNAL;",
	NODES("BIGINT"),
	PLACES("BIGINT", "STORED") WORDS_PG,
	WAITS("STORED") COME_PG,
	STORED_PG,
	BESIDE_PG,
};
