/*
 * pg_statements.c: the SQL of the PostgreSQL store. Each statement is a whole
 * call: one round trip and one transaction. All that moves a job is guarded by
 * its id, its state and its fence.
 */
#include "pg_statements.h"

#define NOW_US "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
/* The rows of $1, whichever of its claims they are from. */
#define OWNED "left(owner, length($1) + 1) = $1 || '#'"

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
	    " fresh AS (INSERT INTO jobs (" JOB_COLUMNS ", owner)"
	    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	    " $14, $15, CASE go WHEN 1 THEN 'running' ELSE 'queued' END,"
	    " go, go, $16, go, CASE go WHEN 1 THEN " NOW_US " ELSE 0 END,"
	    " 0, -1, NULL, NULL, '', -1, -1, -1, -1, NULL, NULL, 0, 0,"
	    " -1, -1, -1, -1, CASE go WHEN 1 THEN $19 END"
	    " FROM how WHERE go = 1 OR n < $18"
	    " ON CONFLICT DO NOTHING RETURNING " JOB_COLUMNS "),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT id, $20, $21, $22 FROM fresh)"
	    " SELECT found.*, n FROM waiting LEFT JOIN ("
	    "SELECT " JOB_COLUMNS ", 1 AS is_fresh, CASE status"
	    " WHEN 'queued' THEN pg_notify('takod_jobs', '')::text END"
	    " FROM fresh UNION ALL"
	    " SELECT " JOB_COLUMNS ", 0, NULL FROM known) AS found ON true" },
	[S_CLAIM] = { "it",
	    "WITH due (due_id) AS (SELECT id FROM jobs"
	    " WHERE status = 'queued' AND not_before <= " NOW_US
	    " ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED),"
	    " job AS (UPDATE jobs SET status = 'running', fence = fence + 1,"
	    " attempt = attempt + 1, code_started = $1,"
	    " started_at = " NOW_US ", owner = $2"
	    " FROM due WHERE id = due_id RETURNING " JOB_COLUMNS ")"
	    " SELECT job.*, code, input, requirements"
	    " FROM job LEFT JOIN payloads ON payloads.id = job.id" },
	[S_START] = { "ti",
	    "UPDATE jobs SET code_started = 1"
	    " WHERE id = $1 AND fence = $2 AND status = 'running'" },
	[S_RELEASE] = { "tii",
	    "UPDATE jobs SET status = 'queued', owner = NULL,"
	    " not_before = $3, started_at = 0"
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
	    " oom_kills = $20, owner = NULL"
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
	    " WHERE id = $1 AND status = 'queued' RETURNING " JOB_COLUMNS ")"
	    " SELECT " JOB_COLUMNS ", 1 FROM job UNION ALL"
	    " SELECT " JOB_COLUMNS ", 0 FROM jobs WHERE id = $1"
	    " AND NOT EXISTS (SELECT 1 FROM job)" },
	[S_GET] = { "tii",
	    "SELECT job.*, code, input, requirements,"
	    " stdout, stderr, output, extras, artifacts"
	    " FROM (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1) AS job"
	    " LEFT JOIN payloads ON payloads.id = job.id AND $2 <> 0"
	    " LEFT JOIN outputs ON outputs.id = job.id AND $3 <> 0" },
	[S_POSITION] = { "t",
	    "SELECT count(*) FROM jobs WHERE status = 'queued' AND seq <="
	    " (SELECT seq FROM jobs WHERE id = $1 AND status = 'queued')" },
	/* No row: the id is known, or ($3) its key is another job's. */
	[S_IMPORT] = { "tttbttttbbiiiiitiiiiiiitttiiiittiiiiiibbbbbbbb",
	    "WITH fresh AS (INSERT INTO jobs (" JOB_COLUMNS ")"
	    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	    " $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,"
	    " $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37,"
	    " $38) ON CONFLICT DO NOTHING RETURNING id),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT id, $39, $40, $41 FROM fresh),"
	    " output AS (INSERT INTO outputs (id, stdout, stderr, output,"
	    " extras, artifacts)"
	    " SELECT id, $42, $43, $44, $45, $46 FROM fresh)"
	    " SELECT (SELECT count(*) FROM fresh),"
	    " (SELECT count(*) FROM jobs WHERE id = $1)" },
	[S_COUNTS] = { "",
	    "SELECT (SELECT count(*) FROM jobs WHERE status = 'queued'),"
	    " (SELECT count(*) FROM jobs WHERE status = 'running')" },
	[S_RECOVER] = { "t",
	    "WITH again AS (UPDATE jobs SET status = 'queued', owner = NULL,"
	    " started_at = 0 WHERE status = 'running' AND code_started = 0"
	    " AND " OWNED " RETURNING 1),"
	    " failed AS (UPDATE jobs SET status = 'failed',"
	    " ended_at = greatest(" NOW_US ", started_at),"
	    " error = 'interrupted', error_phase = 'execution',"
	    " phase_at_exit = 'execution', owner = NULL,"
	    " error_message = 'takod was ended while the job ran'"
	    " WHERE status = 'running' AND code_started = 1"
	    " AND " OWNED " RETURNING 1)"
	    " SELECT (SELECT count(*) FROM again),"
	    " (SELECT count(*) FROM failed)" },
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
	[S_UNDO] = { "t", "UPDATE jobs SET status = 'queued', owner = NULL,"
			  " started_at = 0, code_started = 0"
			  " WHERE owner = $1 AND status = 'running'" },
};
