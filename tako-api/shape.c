/*
 * shape.c: the objects that stand in answers, member by member, in the order in
 * which they are written. Runs in tako-api; constant data alone.
 */
#include "shape.h"
#include "tako.h"

#define MEMBERS(...)                                                           \
	(const struct shape_member[])                                          \
	{                                                                      \
		__VA_ARGS__,                                                   \
		{                                                              \
			NULL, NULL, NULL                                       \
		}                                                              \
	}

const struct shape_word shape_words[] = { { "any", "" },
	{ "boolean", "\"type\":\"boolean\"" },
	{ "count", "\"type\":\"integer\",\"minimum\":0" },
	{ "digest", "\"type\":\"string\",\"pattern\":\"^[0-9a-f]{64}$\"" },
	{ "integer", "\"type\":\"integer\"" },
	{ "number", "\"type\":\"number\",\"minimum\":0" },
	{ "object", "\"type\":\"object\"" },
	{ "string", "\"type\":\"string\"" },
	{ "time", "\"type\":\"string\",\"format\":\"date-time\"" },
	/* Part of a place: where an error is. */
	{ "step", "\"type\":[\"string\",\"integer\"]" }, { NULL, NULL } };

/* ---- names -------------------------------------------------------------- */

static const char *
status_at(int i)
{
	return (job_status_name((enum job_status)i));
}

/* As render_status() has it: what waits is pending there. */
static const char *
state_at(int i)
{
	return (i == JOB_QUEUED ? "pending" : status_at(i));
}

static const char *
error_at(int i)
{
	return (job_error_name((enum job_error)i));
}

static const char *
phase_at(int i)
{
	return (job_phase_name((enum job_phase)i));
}

static const char *
relationship_at(int i)
{
	return (relationship_name((enum relationship)i));
}

static const char *
runtime_at(int i)
{
	return (runtime_name((enum runtime)i));
}

static const char *
health_at(int i)
{
	static const char *const names[] = { "healthy", "degraded" };

	return (names[i]);
}

static const char *
breaker_at(int i)
{
	static const char *const names[] = { "closed", "open", "half_open" };

	return (names[i]);
}

const struct shape_names shape_names[] = { { "Status", "How far a job is.",
					       status_at, 0, JOB_STATUS_MAX },
	{ "State", "The same, as the state of a job has it.", state_at, 0,
	    JOB_STATUS_MAX },
	{ "ErrorType", "Why a job did not succeed.", error_at, JERR_NONE + 1,
	    JERR_MAX },
	{ "Phase", "Where a job was.", phase_at, PHASE_NONE + 1, PHASE_MAX },
	{ "Relationship", "What a job is to its parent.", relationship_at,
	    REL_NONE + 1, REL_MAX },
	{ "Runtime", "What its container was run by.", runtime_at,
	    RUNTIME_NONE + 1, RUNTIME_MAX },
	{ "HealthStatus", "Whether all works.", health_at, 0, 2 },
	{ "BreakerState", "Whether the engine is asked for containers.",
	    breaker_at, 0, 3 },
	{ NULL, NULL, NULL, 0, 0 } };

/* ---- records ------------------------------------------------------------ */

static const struct shape_member execute_result[] = {
	{ "success", "boolean", NULL },
	{ "output", "any", "The job's /output/result.json, or null." },
	{ "execution_time", "number", "Seconds." },
	{ "stdout", "string", NULL },
	{ "stderr", "string", NULL },
	{ "exit_code", "integer?", "-1: nothing ran; 128 and more: a signal." },
	{ "error", "string?", "What went wrong." },
	{ "job_type", "string", NULL },
	{ "execution_id", "string", NULL },
	{ "runtime", "Runtime?", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member record[] = {
	{ "execution_id", "string", NULL },
	{ "status", "Status", NULL },
	{ "job_type", "string", NULL },
	{ "job_version", "string", NULL },
	{ "created_at", "time", NULL },
	{ "started_at", "time?", NULL },
	{ "ended_at", "time?", NULL },
	{ "duration_ms", "count?", NULL },
	{ "exit_code", "integer?", "-1: nothing ran; 128 and more: a signal." },
	{ "stdout", "string", NULL },
	{ "stderr", "string", NULL },
	{ "output", "any", "The job's /output/result.json, or null." },
	{ "error", "RecordError?", NULL },
	{ "timing", "Timing?", NULL },
	{ "runtime", "Runtime?", NULL },
	/* With view=full. */
	{ "job_ref?", "string", "With view=full, as all below." },
	{ "artifacts?", "[]Artifact", "Files that the job left." },
	{ "input_artifacts?", "[]Artifact", "Its code and its input." },
	{ "resource_usage?", "ResourceUsage?", NULL },
	{ "code_hash?", "digest", NULL },
	{ "input_hash?", "digest", NULL },
	{ "parent_execution_id?", "string?", NULL },
	{ "relationship?", "Relationship?", NULL },
	{ "stdout_truncated?", "boolean", NULL },
	{ "stderr_truncated?", "boolean", NULL },
	{ "idempotency_key?", "string?", NULL },
	{ "takod?", "RecordMore", NULL },
	{ NULL, NULL, NULL },
};

/* render.c's own, then what judge.c and takod's reply.c put there. */
static const struct shape_member record_more[] = {
	{ "correlation_id", "string?", NULL },
	{ "key", "string?", "The name of the API key." },
	{ "timeout", "count", "Seconds that held." },
	{ "startup_timeout", "count", NULL },
	{ "attempt", "count", NULL },
	{ "attempts?", "[]Attempt", NULL },
	{ "engine?", "string", NULL },
	{ "result?", "string", "What became of /output/result.json." },
	{ "artifacts_skipped?", "count", NULL },
	{ "artifacts?", "count", NULL },
	{ "artifacts_lost?", "boolean", NULL },
	{ "output_incomplete?", "boolean", NULL },
	{ "proof?", "object?", "How the job was shut in." },
	{ "network?", "object?", "What the job's network refused." },
	{ "preload?", "object?", "Modules that were imported ahead." },
	{ "oom_kills?", "count", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member job_type[] = {
	{ "name", "string", NULL },
	{ "requirements", "[]string", NULL },
	{ "python_version", "string", NULL },
	{ "memory_limit", "string", "Such as 512m." },
	{ "cpu_limit", "number", NULL },
	{ "timeout", "count", NULL },
	{ "session_enabled", "boolean", NULL },
	{ "gpu_enabled", "boolean", NULL },
	{ "gpu_vendor", "string?", NULL },
	{ "image_exists", "boolean", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member diff[] = {
	{ "a", "string", NULL },
	{ "b", "string", NULL },
	{ "code", "TextDiff", NULL },
	{ "input", "TextDiff", NULL },
	{ "output", "TextDiff", NULL },
	{ "stdout", "TextDiff", NULL },
	{ "stderr", "TextDiff", NULL },
	{ "outcome", "{}ValueDiff", "A member for each that differs." },
	{ "timing", "{}ValueDiff", "The same of times and memory." },
	{ "identical", "boolean", "But for times and memory." },
	{ NULL, NULL, NULL },
};

static const struct shape_member text_diff[] = {
	{ "identical", "boolean", NULL },
	{ "diff", "string?", "A unified diff." },
	{ "added", "count", "Lines." },
	{ "removed", "count", "Lines." },
	{ "too_different", "boolean", "More than is worth showing." },
	{ "bytes_a", "count", NULL },
	{ "bytes_b", "count", NULL },
	{ NULL, NULL, NULL },
};

/* ---- the daemon --------------------------------------------------------- */

#define QUEUE                                                                  \
	{ "pending", "count", NULL }, { "running", "count", NULL },            \
	    { "max_workers", "count", NULL },                                  \
	{                                                                      \
		"max_queue_size", "count", NULL                                \
	}

static const struct shape_member health[] = {
	{ "status", "HealthStatus", NULL },
	{ "docker_available", "boolean", "The engine answers." },
	{ "gvisor_available", "boolean", NULL },
	{ "circuit_breaker", "Breaker", NULL },
	{ "version", "string", NULL },
	{ "production_mode", "boolean", NULL },
	{ "queue_stats", "Queue", NULL },
	{ "takod", "HealthMore", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member health_more[] = {
	{ "engine", "string", NULL },
	{ "store", "string", NULL },
	{ "store_available", "boolean", NULL },
	{ "runtime", "string?", NULL },
	{ "fallback", "boolean", "runc is used, for there is no gVisor." },
	{ NULL, NULL, NULL },
};

static const struct shape_member pool_more[] = {
	{ "slots_ready", "count", NULL },
	{ "slots_starting", "count", NULL },
	{ "slots_wanted", "count", "That should be ready." },
	{ "warm_pool_size", "count", "Of the default type, at least." },
	{ "jobs_warm", "count", "That found a slot ready." },
	{ "jobs_cold", "count", "That waited for their slot." },
	{ "tenants_waiting", "count", NULL },
	{ "node", "string", NULL },
	{ "nodes", "count", "Takods that share the store." },
	{ "nodes_running", "count", NULL },
	{ "nodes_max_workers", "count", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member letter[] = {
	{ "id", "count", NULL },
	{ "job_id", "string", NULL },
	{ "job_data", "LetterJob", NULL },
	{ "error_type", "ErrorType", NULL },
	{ "error_message", "string", NULL },
	{ "retry_count", "count", NULL },
	{ "created_at", "time", NULL },
	{ "client_ip", "string?", NULL },
	{ "correlation_id", "string?", NULL },
	{ NULL, NULL, NULL },
};

static const struct shape_member letter_job[] = {
	{ "job_type", "string", NULL },
	{ "code_hash", "digest", NULL },
	{ "input_hash", "digest", NULL },
	{ "code_size_bytes", "count", NULL },
	{ "input_size_bytes", "count", NULL },
	{ "has_idempotency_key", "boolean", NULL },
	{ "timeout", "count", NULL },
	{ "startup_timeout", "count", NULL },
	{ "parent_execution_id?", "string", NULL },
	{ NULL, NULL, NULL },
};

#define PAGE(items)                                                            \
	{ "items", "[]" items, NULL }, { "limit", "count", NULL },             \
	    { "offset", "count", NULL }, { "has_more", "boolean", NULL },      \
	{                                                                      \
		"count", "count", "Of this page."                              \
	}

const struct shape shapes[] = {
	{ "ExecuteResult", "How a job ended.", execute_result },
	{ "Submitted", "A job that is stored.",
	    MEMBERS(
		{ "job_id", "string", NULL }, { "status", "Status", NULL }) },
	{ "JobState", "How far a job is.",
	    MEMBERS({ "job_id", "string", NULL }, { "status", "State", NULL },
		{ "created_at", "time", NULL }, { "started_at", "time?", NULL },
		{ "duration_ms", "count?", NULL },
		{ "queue_position", "count?", "1: it is the next." }) },
	{ "Cancelled", "A job that was ended.",
	    MEMBERS(
		{ "status", "Status", NULL }, { "job_id", "string", NULL }) },
	{ "Record", "All of a job.", record },
	{ "RecordError", "Why it did not succeed.",
	    MEMBERS({ "type", "ErrorType", NULL },
		{ "message", "string", NULL }, { "phase", "Phase?", NULL }) },
	{ "Timing", "Where its time went.",
	    MEMBERS({ "startup_ms", "count?", NULL },
		{ "dep_install_ms", "count?", NULL },
		{ "execution_ms", "count?", NULL },
		{ "total_ms", "count?", NULL },
		{ "phase_at_exit", "Phase?", NULL }) },
	{ "Artifact", "A file.",
	    MEMBERS({ "name", "string", NULL }, { "size_bytes", "count", NULL },
		{ "sha256", "digest", NULL },
		{ "content_type", "string?", NULL }) },
	{ "ResourceUsage", "What it took.",
	    MEMBERS({ "max_rss_mb", "number?", NULL },
		{ "cpu_time_ms", "count?", NULL },
		{ "wall_time_ms", "count?", NULL }) },
	{ "RecordMore", "What takod adds; more may come.", record_more },
	{ "Attempt", "One of its attempts.",
	    MEMBERS({ "attempt", "count", NULL },
		{ "started_at", "time?", NULL }, { "ended_at", "time?", NULL },
		{ "error_type", "ErrorType?", NULL },
		{ "where", "string?", NULL }, { "message", "string?", NULL }) },
	{ "RecordPage", "Some records.",
	    MEMBERS(PAGE("Record"), { "takod", "PageMore", NULL }) },
	{ "PageMore", "What takod adds.",
	    MEMBERS({ "next", "string?", "For after; null at the end." },
		{ "unindexed?", "count",
		    "With q: ended jobs that a search does not see yet, "
		    "counted to 10000 at most." }) },
	{ "Diff", "In what two records differ.", diff },
	{ "TextDiff", "In what two texts differ.", text_diff },
	{ "ValueDiff", "Two values.",
	    MEMBERS({ "a", "any", NULL }, { "b", "any", NULL },
		{ "change?", "integer", NULL }) },
	{ "JobType", "What a job may be run as.", job_type },
	{ "Built", "An image of a job type.",
	    MEMBERS({ "status", "string", NULL },
		{ "job_type", "string", NULL }, { "version", "string", NULL },
		{ "digest", "string", NULL },
		{ "image_ref", "string", NULL }) },
	{ "Build", "A build of what a job type runs in.",
	    MEMBERS({ "job_type", "string", NULL },
		{ "status", "string",
		    "missing, queued, installing, unpacking, built or "
		    "failed." },
		{ "layer", "string?", "The key of its packages." },
		{ "started_at", "time?", NULL }, { "ended_at", "time?", NULL },
		{ "error", "string?", "Why it failed." },
		{ "lines", "[]string", "What the installer said last." }) },
	{ "LetterStats", "How many dead letters there are.",
	    MEMBERS({ "total", "count", NULL },
		{ "by_error_type", "{}count", NULL }) },
	{ "LetterPage", "Some dead letters.", MEMBERS(PAGE("Letter")) },
	{ "Letter", "A job that takod, and not its code, failed.", letter },
	{ "LetterJob", "What the job was.", letter_job },
	{ "Removed", "A dead letter that is gone.",
	    MEMBERS(
		{ "status", "string", NULL }, { "entry_id", "count", NULL }) },
	{ "Health", "How takod is.", health },
	{ "Starting", "It is not ready yet.",
	    MEMBERS(
		{ "status", "string", NULL }, { "detail", "string", NULL }) },
	{ "Breaker", "Whether the engine is asked for containers.",
	    MEMBERS({ "state", "BreakerState", NULL },
		{ "failure_count", "count", NULL },
		{ "success_count", "count", NULL },
		{ "last_failure", "number?", "Seconds since 1970." }) },
	{ "Queue", "What waits and what runs.", MEMBERS(QUEUE) },
	{ "HealthMore", "What takod adds.", health_more },
	{ "PoolStats", "The queue and the pool.",
	    MEMBERS(QUEUE, { "takod", "PoolMore", NULL }) },
	{ "PoolMore", "What takod adds.", pool_more },
	{ "Error", "What went wrong.",
	    MEMBERS({ "detail", "string", NULL },
		{ "correlation_id", "string", NULL }) },
	{ "Conflict", "The key is another job's.",
	    MEMBERS({ "detail", "string", NULL },
		{ "correlation_id", "string", NULL },
		{ "existing_job_id?", "string", NULL }) },
	{ "ValidationError", "All that is wrong at once.",
	    MEMBERS({ "detail", "[]Fault", NULL },
		{ "correlation_id", "string", NULL }) },
	{ "Fault", "One thing that is wrong.",
	    MEMBERS({ "type", "string", NULL },
		{ "loc", "[]step", "body, query or path, then where there." },
		{ "msg", "string", NULL },
		{ "input?", "object", "Empty: what was sent is not told." },
		{ "ctx?", "{}string", "With json_invalid: why." }) },
	{ NULL, NULL, NULL }
};
