/*
 * pg_statements.c: the SQL of the PostgreSQL store. Each statement is a whole
 * call: one round trip and one transaction. All that moves a job is guarded by
 * its id, its state and its fence.
 */
#include "pg_statements.h"

#define NOW_US "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
/* Held by this life ($2) of a takod, by any life of it ($3). */
#define OF_THIS_LIFE  "left(owner, length($2) + 1) = $2 || '.'"
#define OF_THIS_NODE  "left(owner, length($3) + 1) = $3 || '#'"
#define SET_RELEASED  JOB_FATE_SET(JOB_RELEASED, NOW_US, "greatest")
#define SET_ABANDONED JOB_FATE_SET(JOB_ABANDONED, NOW_US, "greatest")
/* Until when a job is held that is claimed, or held on to, now. */
#define LEASE "(" NOW_US " + current_setting('takod.lease_us')::bigint)"
#define LIST(where)                                                            \
	"SELECT " JOB_COLUMNS " FROM jobs" where                               \
	" ORDER BY seq DESC LIMIT $1 OFFSET $2"

const struct pg_statement pg_statements[S_MAX] = {
	/*
	 * The rows known already, by id or by key, or else the new one. None
	 * of both: the queue is full, or another session inserted the key
	 * meanwhile and this statement does not see it yet.
	 * Bounded counts: nobody counts further than the queue may be long.
	 */
	[S_SUBMIT] = { "tttbttttbbiiiiiiiitbbb",
	    "WITH known AS (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1"
	    " UNION ALL SELECT " JOB_COLUMNS " FROM jobs"
	    " WHERE idempotency_key = $3 AND idempotency_key <> ''"
	    " AND id <> $1),"
	    " waiting AS (SELECT count(*) AS n FROM (SELECT 1 FROM jobs"
	    " WHERE status = 'queued' LIMIT greatest($18, 1)) AS q),"
	    " how AS (SELECT n, ($17 = 1 AND n = 0)::int AS go FROM waiting"
	    " WHERE NOT EXISTS (SELECT 1 FROM known)),"
	    " fresh AS (INSERT INTO jobs (" JOB_COLUMNS ", owner, lease_until)"
	    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	    " $14, CASE $15 WHEN 0 THEN " NOW_US
	    " ELSE $15 END, CASE go WHEN 1 THEN 'running' ELSE 'queued' END,"
	    " go, go, $16, go, CASE go WHEN 1 THEN " NOW_US " ELSE 0 END,"
	    " 0, -1, NULL, NULL, '', -1, -1, -1, -1, NULL, NULL, 0, 0,"
	    " -1, -1, -1, -1, CASE go WHEN 1 THEN $19 END,"
	    " CASE go WHEN 1 THEN " LEASE " END"
	    " FROM how WHERE go = 1 OR n < $18"
	    " ON CONFLICT DO NOTHING RETURNING " JOB_COLUMNS "),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT id, $20, $21, $22 FROM fresh)"
	    " SELECT found.*, n FROM waiting LEFT JOIN ("
	    "SELECT " JOB_COLUMNS ", 1 AS is_fresh FROM fresh UNION ALL"
	    " SELECT " JOB_COLUMNS ", 0 FROM known) AS found ON true" },
	[S_CLAIM] = { "it",
	    "WITH due (due_id) AS (SELECT id FROM jobs"
	    " WHERE status = 'queued' AND not_before <= " NOW_US
	    " ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED),"
	    " job AS (UPDATE jobs SET status = 'running', fence = fence + 1,"
	    " attempt = attempt + 1, code_started = $1,"
	    " started_at = " NOW_US ", owner = $2, lease_until = " LEASE
	    " FROM due WHERE id = due_id RETURNING " JOB_COLUMNS ")"
	    " SELECT job.*, code, input, requirements"
	    " FROM job LEFT JOIN payloads ON payloads.id = job.id" },
	[S_START] = { "ti",
	    "UPDATE jobs SET code_started = 1"
	    " WHERE id = $1 AND fence = $2 AND status = 'running'" },
	[S_RELEASE] = { "tii",
	    "UPDATE jobs SET not_before ="
	    " CASE $3 WHEN 0 THEN 0 ELSE " NOW_US " + $3 END, " SET_RELEASED
	    " WHERE id = $1 AND fence = $2 AND status = 'running'"
	    " AND code_started = 0" },
	/*
	 * Written a second time by who wrote it, it is written: the first
	 * answer may have been lost. Never ended before it started, however
	 * far this host's clock is behind the database's.
	 */
	[S_FINISH] = { "titiitttiiiittiiiiiibbbbb",
	    "WITH ended AS (UPDATE jobs SET status = $3,"
	    " ended_at = greatest($4, started_at),"
	    " exit_code = $5, error = $6, error_phase = $7,"
	    " error_message = $8, startup_ms = $9, dependencies_ms = $10,"
	    " execution_ms = $11, total_ms = $12, phase_at_exit = $13,"
	    " runtime = $14, out_truncated = $15, err_truncated = $16,"
	    " max_rss_kb = $17, cpu_ms = $18, wall_ms = $19,"
	    " oom_kills = $20, owner = NULL, lease_until = NULL"
	    " WHERE id = $1 AND fence = $2 AND (status = 'running'"
	    " OR (status = $3 AND ended_at = greatest($4, started_at)))"
	    " RETURNING id)"
	    " INSERT INTO outputs (id, stdout, stderr, output, extras,"
	    " artifacts) SELECT id, $21, $22, $23, $24, $25 FROM ended"
	    " ON CONFLICT (id) DO UPDATE SET stdout = excluded.stdout,"
	    " stderr = excluded.stderr, output = excluded.output,"
	    " extras = excluded.extras, artifacts = excluded.artifacts" },
	[S_CANCEL] = { "t",
	    "WITH job AS (UPDATE jobs SET status = 'cancelled',"
	    " ended_at = " NOW_US ", error = 'cancelled',"
	    " error_phase = 'startup',"
	    " error_message = 'Execution was cancelled'"
	    " WHERE id = $1 AND status = 'queued' RETURNING " JOB_COLUMNS "),"
	    " asked AS (UPDATE jobs SET cancel_requested = 1"
	    " WHERE id = $1 AND status = 'running' RETURNING " JOB_COLUMNS ")"
	    " SELECT " JOB_COLUMNS ", 1 FROM job UNION ALL"
	    " SELECT " JOB_COLUMNS ", 2 FROM asked UNION ALL"
	    " SELECT " JOB_COLUMNS ", 0 FROM jobs WHERE id = $1"
	    " AND NOT EXISTS (SELECT 1 FROM job)"
	    " AND NOT EXISTS (SELECT 1 FROM asked)" },
	[S_GET] = { "tii",
	    "SELECT job.*, code, input, requirements,"
	    " stdout, stderr, output, extras, artifacts"
	    " FROM (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1) AS job"
	    " LEFT JOIN payloads ON payloads.id = job.id AND $2 <> 0"
	    " LEFT JOIN outputs ON outputs.id = job.id AND $3 <> 0" },
	[S_POSITION] = { "t",
	    "SELECT count(*) FROM jobs WHERE status = 'queued' AND seq <="
	    " (SELECT seq FROM jobs WHERE id = $1 AND status = 'queued')" },
	[S_LIST] = { "ii", LIST("") },
	[S_LIST_STATUS] = { "iit", LIST(" WHERE status = $3") },
	[S_LIST_TYPE] = { "iit", LIST(" WHERE job_type = $3") },
	[S_LIST_BOTH] = { "iitt",
	    LIST(" WHERE status = $3 AND job_type = $4") },
	[S_COUNTS] = { "",
	    "SELECT (SELECT count(*) FROM jobs WHERE status = 'queued'),"
	    " (SELECT count(*) FROM jobs WHERE status = 'running')" },
	/*
	 * $1: what is held, $2: <node>#<life>, $3: <node>. What is held is
	 * left alone by the second half, whose rows are taken by one of
	 * several takods: the others skip them.
	 */
	[S_BEAT] = { "tttttiiiii",
	    "WITH held AS (UPDATE jobs SET lease_until = " LEASE
	    " WHERE id = ANY ($1::text[]) AND status = 'running'"
	    " AND " OF_THIS_LIFE " RETURNING id, fence, cancel_requested),"
	    " abandoned (old_id) AS (SELECT id FROM jobs"
	    " WHERE status = 'running' AND id <> ALL ($1::text[])"
	    " AND ((" OF_THIS_NODE " AND NOT " OF_THIS_LIFE ")"
	    " OR (" NOW_US " <= $10"
	    " AND coalesce(lease_until, 0) < " NOW_US "))"
	    " FOR UPDATE SKIP LOCKED),"
	    " taken AS (UPDATE jobs SET " SET_ABANDONED
	    " FROM abandoned WHERE id = old_id RETURNING id, fence, status),"
	    " node AS (INSERT INTO nodes (name, instance, version, started_at,"
	    " seen_at, lease_until, running, max_workers, draining)"
	    " VALUES ($3, $4, $5, " NOW_US " - $6, " NOW_US ", " LEASE
	    ", $7, $8, $9) ON CONFLICT (name) DO UPDATE SET"
	    " instance = excluded.instance, version = excluded.version,"
	    " started_at = excluded.started_at, seen_at = excluded.seen_at,"
	    " lease_until = excluded.lease_until,"
	    " running = excluded.running, max_workers = excluded.max_workers,"
	    " draining = excluded.draining),"
	    /* Not seen for a week: forgotten. */
	    " old AS (DELETE FROM nodes WHERE name <> $3"
	    " AND seen_at < " NOW_US " - 604800000000)"
	    " SELECT id, fence, 'running', cancel_requested::bigint, 0::bigint"
	    " FROM held UNION ALL"
	    " SELECT id, fence, status, 0, 0 FROM taken UNION ALL"
	    " SELECT '', count(*), '', coalesce(sum(running), 0)::bigint,"
	    " coalesce(sum(max_workers), 0)::bigint FROM nodes"
	    " WHERE name <> $3 AND lease_until >= " NOW_US " UNION ALL"
	    " SELECT '', (SELECT count(*) FROM jobs WHERE status = 'queued')"
	    " + (SELECT count(*) FROM taken WHERE status = 'queued'),"
	    " 'queued', " NOW_US ", 0" },
	[S_ENDED] = { "t",
	    "SELECT asked FROM unnest($1::text[]) AS asked WHERE NOT EXISTS"
	    " (SELECT 1 FROM jobs WHERE id = asked"
	    " AND status IN ('queued', 'running'))" },
	[S_NODES] = { "",
	    "SELECT name, instance, version, started_at, seen_at,"
	    " " NOW_US " - seen_at, running, max_workers, draining,"
	    " (lease_until >= " NOW_US ")::int FROM nodes ORDER BY name" },
	[S_NOTIFY] = { "t", "SELECT pg_notify('takod_jobs', $1)" },
	/*
	 * The clock is read once, or the index would not be used for it. What
	 * another takod is removing is left to it.
	 */
	[S_EXPIRE] = { "ii",
	    "WITH old (old_id) AS (SELECT id FROM jobs WHERE ended_at > 0"
	    " AND ended_at < (SELECT " NOW_US " - $1)"
	    " AND status NOT IN ('queued', 'running')"
	    " ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
	    " DELETE FROM jobs USING old WHERE id = old_id RETURNING id" },
	/* Nobody was told of it, so nothing of it has run. */
	[S_UNDO] = { "t", "UPDATE jobs SET code_started = 0, " SET_RELEASED
			  " WHERE owner = $1 AND status = 'running'" },
};
