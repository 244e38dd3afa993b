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
/* Failed attempts of the job in whose row it stands; NULL: there are none. */
#define ATTEMPTS                                                               \
	"(SELECT json_agg(json_build_array(" ATTEMPT_COLUMNS ")"               \
	" ORDER BY attempt)::text FROM attempts AS a WHERE a.id = job.id)"
/* Keeps a failed attempt: the other columns follow, then where from. */
#define NOTE                                                                   \
	"INSERT INTO attempts (id, " ATTEMPT_COLUMNS ") SELECT id, attempt,"   \
	" started_at, "
/* A dead letter of a row: where from follows. */
#define LETTER                                                                 \
	"INSERT INTO dead_letters (" LETTER_COPIED ") SELECT " LETTER_OF_JOB
/*
 * The oldest job of who that may be taken. Written as a range, and in the order
 * of the index, so that this one is used: another one that has the order of
 * seq alone looks cheap while nearly all that waits is one tenant's.
 */
#define DUE_OF(who)                                                            \
	"SELECT id FROM jobs WHERE tenant >= " who " AND tenant <= " who       \
	" AND status = 'queued' AND not_before <= (SELECT now FROM clock)"     \
	" ORDER BY tenant, seq LIMIT 1"

/* clang-format off */
const struct pg_statement pg_statements[S_MAX] = {
	/*
	 * The rows known already, by id or by key, or else the new one. None
	 * of both: the queue is full, or another session inserted the key
	 * meanwhile and this statement does not see it yet.
	 * A tenant's limits are those of its row as it is once it is locked;
	 * who has none is not waited for. refused: 1 filled, 2 spent.
	 */
	[S_SUBMIT] = { "tttbttttbbiiiiiiiitbbbt",
	    "WITH known AS (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1"
	    " UNION ALL SELECT " JOB_COLUMNS " FROM jobs"
	    " WHERE idempotency_key = $3 AND idempotency_key <> ''"
	    " AND " TENANT_SCOPE("tenant") " = " TENANT_SCOPE("$23")
	    " AND id <> $1),"
	    " waiting AS (SELECT " JOBS_WAITING " AS n),"
	    " quota AS (SELECT " TENANT_SPENT(NOW_US) " AS spent,"
	    " " TENANT_BUSY " AS busy, " TENANT_FILLED " AS filled"
	    " FROM tenants WHERE name = $23 AND (max_queued > 0"
	    " OR max_running > 0 OR max_jobs > 0 OR max_cpu_ms > 0)"
	    " FOR UPDATE),"
	    " how AS (SELECT n, go, CASE WHEN spent = 1 THEN 2"
	    " WHEN go = 0 AND filled = 1 THEN 1 ELSE 0 END AS refused"
	    " FROM (SELECT n, spent, filled,"
	    " ($17 = 1 AND n = 0 AND coalesce(busy, 0) = 0)::int AS go"
	    " FROM waiting LEFT JOIN quota ON true) AS w"
	    " WHERE NOT EXISTS (SELECT 1 FROM known)),"
	    " fresh AS (INSERT INTO jobs (" JOB_COLUMNS ", owner,"
	    " lease_until)"
	    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	    " $14, CASE $15 WHEN 0 THEN " NOW_US " ELSE $15 END,"
	    " CASE go WHEN 1 THEN 'running' ELSE 'queued' END,"
	    " go, go, $16, go, CASE go WHEN 1 THEN " NOW_US " ELSE 0 END,"
	    " 0, -1, NULL, NULL, '', -1, -1, -1, -1, NULL, NULL, 0, 0,"
	    " -1, -1, -1, -1, $2, $23, CASE go WHEN 1 THEN $19 END,"
	    " CASE go WHEN 1 THEN " LEASE " END"
	    " FROM how WHERE refused = 0 AND (go = 1 OR n < $18)"
	    " ON CONFLICT DO NOTHING RETURNING " JOB_COLUMNS "),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT id, $20, $21, $22 FROM fresh)"
	    " SELECT found.*, n, (SELECT refused FROM how)"
	    " FROM waiting LEFT JOIN ("
	    "SELECT " JOB_COLUMNS ", 1 AS is_fresh FROM fresh UNION ALL"
	    " SELECT " JOB_COLUMNS ", 0 FROM known) AS found ON true" },
	/*
	 * The parameters of as many S_SUBMITs, and as many rows or fewer: those
	 * of which nothing has to be known but that the queue has room for all.
	 * Who has no row yet will have the limits that others have. In the
	 * tenants' order, so that two of these never wait for each other.
	 */
	[S_SUBMIT_MANY] = { "TTTBTTTTBBIIIIIIIITBBBT",
	    "WITH given AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4,"
	    " $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
	    " $19, $20, $21, $22, $23) WITH ORDINALITY AS g (g_id, type, key,"
	    " fingerprint, correlation_id, client, parent_id, relationship,"
	    " code_hash, input_hash, code_len, input_len, timeout,"
	    " startup_timeout, created_at, not_before, go, max_queue, owner,"
	    " code, input, requirements, tenant, number)),"
	    " fresh AS (INSERT INTO jobs (" JOB_COLUMNS ")"
	    " SELECT g_id, type, key, fingerprint, correlation_id, client,"
	    " parent_id, relationship, code_hash, input_hash, code_len,"
	    " input_len, timeout, startup_timeout,"
	    " CASE created_at WHEN 0 THEN " NOW_US " ELSE created_at END,"
	    " 'queued', 0, 0, not_before, 0, 0,"
	    " 0, -1, NULL, NULL, '', -1, -1, -1, -1, NULL, NULL, 0, 0,"
	    " -1, -1, -1, -1, type, tenant FROM given"
	    " WHERE " JOBS_WAITING " + (SELECT count(*) FROM given)"
	    " <= (SELECT min(max_queue) FROM given)"
	    " AND EXISTS (SELECT 1 FROM tenants WHERE name = given.tenant"
	    " AND max_queued = 0 AND max_running = 0 AND max_jobs = 0"
	    " AND max_cpu_ms = 0) ORDER BY tenant, number"
	    " RETURNING id, created_at),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT g_id, code, input, requirements"
	    " FROM fresh JOIN given ON g_id = id)"
	    " SELECT id, created_at FROM fresh" },
	/*
	 * Whose turn it is, then a job of theirs: the row of the tenant is
	 * locked first, so that it is still ready. A row of nulls: what was
	 * found has gone to another session meanwhile. $3 in a SELECT of its
	 * own: a plan for a certain value of it would look cheaper than the one
	 * for all, and each claim would make one, which takes longer than it.
	 */
	[S_CLAIM] = { "itii",
	    "WITH clock AS MATERIALIZED (SELECT " NOW_US " AS now),"
	    " top AS (SELECT name, priority FROM tenants WHERE ready = 1"
	    " AND (" DUE_OF("tenants.name") ") IS NOT NULL"
	    " ORDER BY priority DESC, pass, name LIMIT 1),"
	    " aged AS (SELECT low.name"
	    " FROM top, generate_series(0, top.priority - 1) AS lower,"
	    " LATERAL (SELECT name, since FROM tenants WHERE ready = 1"
	    " AND priority = lower AND since <= (SELECT now FROM clock) - $4"
	    " AND (" DUE_OF("tenants.name") ") IS NOT NULL"
	    " ORDER BY since LIMIT 1) AS low"
	    " WHERE (SELECT $3) = 1 ORDER BY low.since LIMIT 1),"
	    " turn AS (SELECT name FROM tenants WHERE ready = 1 AND name ="
	    " coalesce((SELECT name FROM aged), (SELECT name FROM top))"
	    " FOR UPDATE),"
	    " due (due_id) AS (" DUE_OF("(SELECT name FROM turn)")
	    " FOR UPDATE SKIP LOCKED),"
	    " job AS (UPDATE jobs SET status = 'running', fence = fence + 1,"
	    " attempt = attempt + 1, code_started = $1,"
	    " started_at = " NOW_US ", owner = $2, lease_until = " LEASE
	    " FROM due WHERE id = due_id RETURNING " JOB_COLUMNS ")"
	    " SELECT job.*, code, input, requirements, " ATTEMPTS
	    " FROM top LEFT JOIN job ON true"
	    " LEFT JOIN payloads ON payloads.id = job.id" },
	[S_START] = { "ti",
	    "UPDATE jobs SET code_started = 1"
	    " WHERE id = $1 AND fence = $2 AND status = 'running'" },
	[S_RELEASE] = { "tiiittt",
	    "WITH was AS (SELECT id AS was_id, id, attempt, started_at"
	    " FROM jobs WHERE id = $1 AND fence = $2"
	    " AND status = 'running' AND code_started = 0 FOR UPDATE),"
	    " noted AS (" NOTE "greatest($4, started_at), $5, $6, $7"
	    " FROM was WHERE $6 <> '' ON CONFLICT DO NOTHING)"
	    " UPDATE jobs SET not_before = " NOW_US " + $3, " SET_RELEASED
	    " FROM was WHERE jobs.id = was_id" },
	/*
	 * Written a second time by who wrote it, it is written: the first
	 * answer may have been lost. Never ended before it started, however
	 * far this host's clock is behind the database's.
	 */
	[S_FINISH] = { "titiitttiiiittiiiiiibbbbbtttt",
	    "WITH ended AS (UPDATE jobs SET status = $3,"
	    " ended_at = greatest($4, started_at),"
	    " exit_code = $5, error = $6, error_phase = $7,"
	    " error_message = $8, startup_ms = $9, dependencies_ms = $10,"
	    " execution_ms = $11, total_ms = $12, phase_at_exit = $13,"
	    " runtime = $14, out_truncated = $15, err_truncated = $16,"
	    " max_rss_kb = $17, cpu_ms = $18, wall_ms = $19,"
	    " oom_kills = $20, job_type = $26, owner = NULL,"
	    " lease_until = NULL"
	    " WHERE id = $1 AND fence = $2 AND (status = 'running'"
	    " OR (status = $3 AND ended_at = greatest($4, started_at)))"
	    " RETURNING *),"
	    " noted AS (" NOTE "ended_at, error, $27, $28"
	    " FROM ended WHERE $27 <> '' ON CONFLICT DO NOTHING),"
	    " letter AS (" LETTER " FROM ended WHERE $27 <> ''"
	    " ON CONFLICT DO NOTHING)"
	    " INSERT INTO outputs (id, stdout, stderr, output, extras,"
	    " artifacts, artifact_store)"
	    " SELECT id, $21, $22, $23, $24, $25, nullif($29, '') FROM ended"
	    " ON CONFLICT (id) DO UPDATE SET stdout = excluded.stdout,"
	    " stderr = excluded.stderr, output = excluded.output,"
	    " extras = excluded.extras, artifacts = excluded.artifacts,"
	    " artifact_store = excluded.artifact_store" },
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
	    " stdout, stderr, output, extras, artifacts, artifact_store,"
	    " CASE WHEN $3 <> 0 THEN " ATTEMPTS " END"
	    " FROM (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1) AS job"
	    " LEFT JOIN payloads ON payloads.id = job.id AND $2 <> 0"
	    " LEFT JOIN outputs ON outputs.id = job.id AND $3 <> 0" },
	[S_POSITION] = { "t", TENANT_POSITION("$1") },
	/* No row: the id is known, or ($3) its key is another job's. */
	[S_IMPORT] = { "tttbttttbbiiiiitiiiiiiitttiiiittiiiiiittbbbbbbbbt",
	    "WITH fresh AS (INSERT INTO jobs (" JOB_COLUMNS ")"
	    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	    " $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,"
	    " $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37,"
	    " $38, $39, $40) ON CONFLICT DO NOTHING RETURNING id),"
	    " payload AS (INSERT INTO payloads"
	    " SELECT id, $41, $42, $43 FROM fresh),"
	    " output AS (INSERT INTO outputs (id, stdout, stderr, output,"
	    " extras, artifacts, artifact_store)"
	    " SELECT id, $44, $45, $46, $47, $48, nullif($49, '')"
	    " FROM fresh)"
	    " SELECT (SELECT count(*) FROM fresh),"
	    " (SELECT count(*) FROM jobs WHERE id = $1)" },
	[S_COUNTS] = { "",
	    "SELECT " JOBS_WAITING ","
	    " (SELECT count(*) FROM jobs WHERE status = 'running'),"
	    " (SELECT count(*) FROM tenants WHERE has_waiting = 1)" },
	/*
	 * $1: what is held, $2: <node>#<life>, $3: <node>. What is held is
	 * left alone by the second half, whose rows are taken by one of
	 * several takods: the others skip them.
	 */
	[S_BEAT] = { "tttttiiiii",
	    "WITH held AS (UPDATE jobs SET lease_until = " LEASE
	    " WHERE id = ANY ($1::text[]) AND status = 'running'"
	    " AND " OF_THIS_LIFE " RETURNING id, fence, cancel_requested),"
	    " was AS (SELECT id AS was_id, id, attempt, started_at,"
	    " code_started, cancel_requested FROM jobs"
	    " WHERE status = 'running' AND id <> ALL ($1::text[])"
	    " AND ((" OF_THIS_NODE " AND NOT " OF_THIS_LIFE ")"
	    " OR (" NOW_US " <= $10"
	    " AND coalesce(lease_until, 0) < " NOW_US "))"
	    " FOR UPDATE SKIP LOCKED),"
	    " taken AS (UPDATE jobs SET " SET_ABANDONED
	    " FROM was WHERE jobs.id = was_id RETURNING jobs.*),"
	    " noted AS (" NOTE "greatest(" NOW_US ", started_at),"
	    " 'interrupted', 'node', 'takod was ended before the code began'"
	    " FROM was WHERE code_started = 0 AND cancel_requested = 0"
	    " ON CONFLICT DO NOTHING),"
	    " late AS (" NOTE "ended_at, error, 'node', error_message"
	    " FROM taken WHERE status = 'failed' ON CONFLICT DO NOTHING),"
	    " letter AS (" LETTER " FROM taken WHERE status = 'failed'"
	    " ON CONFLICT DO NOTHING),"
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
	    " SELECT '', " JOBS_WAITING
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
	 * The oldest by the index, and only then which of them are old enough:
	 * with the age in it, a planner that knows little of the table would
	 * rather sort all that are, once more in each call. What another takod
	 * is removing is left to it.
	 */
	[S_EXPIRE] = { "ii",
	    "WITH oldest AS MATERIALIZED (SELECT id AS old_id, ended_at AS age"
	    " FROM jobs WHERE ended_at > 0"
	    " AND status NOT IN ('queued', 'running')"
	    " ORDER BY ended_at LIMIT $2),"
	    " old AS (SELECT id AS gone_id FROM oldest JOIN jobs"
	    " ON id = old_id WHERE age < (SELECT " NOW_US " - $1)"
	    " FOR UPDATE OF jobs SKIP LOCKED)"
	    " DELETE FROM jobs USING old WHERE id = gone_id"
	    " RETURNING id, (SELECT artifact_store FROM outputs"
	    " WHERE outputs.id = jobs.id)" },
	/* Two plans would be wanted for two filters: there are not so many. */
	[S_LETTERS] = { "tiii",
	    "SELECT " LETTER_COLUMNS " FROM dead_letters"
	    " WHERE ($1 = '' OR error = $1) AND ($2 = 0 OR letter = $2)"
	    " ORDER BY letter DESC LIMIT $3 OFFSET $4" },
	[S_LETTER_COUNTS] = { "",
	    "SELECT error, count(*) FROM dead_letters GROUP BY error" },
	[S_LETTER_REMOVE] = { "i",
	    "DELETE FROM dead_letters WHERE letter = $1" },
	[S_LETTERS_EXPIRE] = { "ii",
	    "WITH oldest AS MATERIALIZED (SELECT letter AS old, created_at"
	    " AS age FROM dead_letters ORDER BY created_at LIMIT $2)"
	    " DELETE FROM dead_letters WHERE letter IN (SELECT letter"
	    " FROM oldest JOIN dead_letters ON letter = old"
	    " WHERE age < (SELECT " NOW_US " - $1)"
	    " FOR UPDATE OF dead_letters SKIP LOCKED)" },
	/* What one statement changes the next one of it does not see yet. */
	[S_SET_TENANTS] = { "t",
	    "WITH p AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb)"
	    " AS p (name text, weight int, priority int, max_queued bigint,"
	    " max_running bigint, max_jobs bigint, max_cpu_ms bigint,"
	    " window_us bigint)),"
	    " named AS (INSERT INTO tenants (" TENANT_POLICY ")"
	    " SELECT " TENANT_POLICY " FROM p ON CONFLICT (name) DO UPDATE SET"
	    " weight = excluded.weight, priority = excluded.priority,"
	    " max_queued = excluded.max_queued,"
	    " max_running = excluded.max_running,"
	    " max_jobs = excluded.max_jobs, max_cpu_ms = excluded.max_cpu_ms,"
	    " window_us = excluded.window_us),"
	    " others AS (SELECT name AS other, waiting = 0 AND running = 0"
	    " AND used_since <= " NOW_US " - window_us AS idle FROM tenants"
	    " WHERE name NOT IN (SELECT name FROM p)),"
	    " rest AS (UPDATE tenants SET weight = p.weight,"
	    " priority = p.priority, max_queued = p.max_queued,"
	    " max_running = p.max_running, max_jobs = p.max_jobs,"
	    " max_cpu_ms = p.max_cpu_ms, window_us = p.window_us"
	    " FROM p, others WHERE p.name = '*' AND tenants.name = other"
	    " AND NOT idle),"
	    " gone AS (DELETE FROM tenants USING others WHERE name = other"
	    " AND idle AND waiting = 0 AND running = 0)"
	    " SELECT count(*) FROM p" },
	[S_TENANTS] = { "i",
	    "SELECT " TENANT_POLICY ", waiting, running,"
	    " CASE WHEN " TENANT_WINDOW(NOW_US) " THEN used_jobs ELSE 0 END,"
	    " CASE WHEN " TENANT_WINDOW(NOW_US) " THEN used_cpu_ms ELSE 0 END"
	    " FROM tenants WHERE name <> '*'"
	    " ORDER BY waiting DESC, running DESC, name LIMIT $1" },
	[S_GET_ARTIFACTS] = { "t",
	    "SELECT job.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
	    " artifacts, artifact_store, NULL"
	    " FROM (SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1) AS job"
	    " LEFT JOIN outputs ON outputs.id = job.id" },
	/* While a claim's job runs, its end may still name the place. */
	[S_ARTIFACT_KNOWN] = { "tit",
	    "SELECT 1 FROM jobs LEFT JOIN outputs ON outputs.id = jobs.id"
	    " WHERE jobs.id = $1 AND ($2 = 0 OR fence = $2)"
	    " AND (status IN ('queued', 'running')"
	    " OR (octet_length(artifacts) > 0"
	    " AND coalesce(artifact_store, 'local') = $3))" },
	[S_CHUNK_PUT] = { "tiiib",
	    "INSERT INTO artifact_chunks (id, fence, number, chunk,"
	    " written_at, data)"
	    " VALUES ($1, $2, $3, $4, " NOW_US ", $5)"
	    " ON CONFLICT (id, fence, number, chunk) DO UPDATE"
	    " SET data = excluded.data, written_at = excluded.written_at" },
	[S_CHUNK_GET] = { "tiii",
	    "SELECT data FROM artifact_chunks WHERE id = $1"
	    " AND fence = $2 AND number = $3 AND chunk = $4" },
	[S_CHUNK_REMOVE] = { "ti",
	    "DELETE FROM artifact_chunks WHERE ctid = ANY (ARRAY("
	    "SELECT ctid FROM artifact_chunks"
	    " WHERE id = $1 AND ($2 = 0 OR fence = $2) LIMIT 64))" },
	/* From place to place by the index, however much lies in one. */
	[S_CHUNK_PLACES] = { "tii",
	    "WITH RECURSIVE place AS ("
	    "(SELECT id, fence, written_at FROM artifact_chunks"
	    " WHERE (id, fence) > ($1, $2)"
	    " ORDER BY id, fence, number, chunk LIMIT 1)"
	    " UNION ALL SELECT next.* FROM place, LATERAL ("
	    "SELECT c.id, c.fence, c.written_at FROM artifact_chunks AS c"
	    " WHERE (c.id, c.fence) > (place.id, place.fence)"
	    " ORDER BY c.id, c.fence, c.number, c.chunk LIMIT 1) AS next)"
	    " SELECT id, fence, written_at FROM place LIMIT $3" },
	/* Nobody was told of it, so nothing of it has run. */
	[S_UNDO] = { "t", "UPDATE jobs SET code_started = 0, " SET_RELEASED
			  " WHERE owner = $1 AND status = 'running'" },
};
/* clang-format on */
