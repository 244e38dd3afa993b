/*
 * sqlite_statements.c: what the calls ask the SQLite file, prepared once. Runs
 * in the parent's loop.
 */
#include "sqlite_store.h"
#include "store_list.h"
#include "store_schema.h"

/* The oldest job of a tenant that may be taken now (?1). */
#define DUE                                                                    \
	"(SELECT id FROM jobs INDEXED BY jobs_waiting"                         \
	" WHERE jobs.tenant = tenants.name AND status = 'queued'"              \
	" AND not_before <= ?1 ORDER BY seq LIMIT 1)"
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
	[S_UNINDEXED] = "SELECT count(*) FROM (SELECT 1 FROM unindexed"
			" LIMIT " STORE_UNINDEXED ")",
	[S_TO_INDEX] = "SELECT jobs.seq, jobs.id, " INDEX_COLUMNS("length")
		       " FROM (SELECT seq FROM unindexed ORDER BY seq LIMIT ?1)"
		       " AS u JOIN jobs ON jobs.seq = u.seq"
		       " LEFT JOIN payloads ON payloads.id = jobs.id"
		       " LEFT JOIN outputs ON outputs.id = jobs.id",
	[S_INDEXED] = "DELETE FROM unindexed WHERE seq = ?1",
	[S_WORDS] = "INSERT INTO words (seq, words) VALUES (?1, ?2)",
	[S_INDEX] = "INSERT INTO search (rowid, words)"
		    " SELECT place, ?2 FROM jobs WHERE seq = ?1",
	[S_FORGET] = "INSERT INTO search (search, rowid, words)"
		     " SELECT 'delete', place, words FROM jobs"
		     " JOIN words ON words.seq = jobs.seq WHERE id = ?1",
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
