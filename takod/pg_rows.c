/*
 * pg_rows.c: a job from a row of PostgreSQL's answer, and a job's fields as
 * parameters. Runs in the parent's loop. A row is what a statement of
 * pg_statements.c gives.
 */
#include <endian.h>
#include <string.h>

#include "pg_store.h"
#include "util.h"

int64_t
pg_get_int(const PGresult *res, int row, int col)
{
	const char *p = PQgetvalue(res, row, col);
	uint64_t v8;
	uint32_t v4;

	if (PQgetlength(res, row, col) == 8) {
		memcpy(&v8, p, sizeof(v8));
		return ((int64_t)be64toh(v8));
	}
	if (PQgetlength(res, row, col) == 4) {
		memcpy(&v4, p, sizeof(v4));
		return ((int32_t)be32toh(v4));
	}
	return (0);
}

void
pg_get_text(const PGresult *res, int row, int col, char *dst, size_t len)
{
	strlcpy(dst, PQgetvalue(res, row, col), len);
}

void
pg_get_digest(const PGresult *res, int row, int col, uint8_t dst[TAKO_SHA256])
{
	if (PQgetlength(res, row, col) == TAKO_SHA256)
		memcpy(dst, PQgetvalue(res, row, col), TAKO_SHA256);
}

int
pg_get_enum(const PGresult *res, int row, int col, int (*byname)(const char *))
{
	int v = -1;

	if (!PQgetisnull(res, row, col))
		v = byname(PQgetvalue(res, row, col));
	return (v == -1 ? 0 : v);
}

/* -1: no memory. NULL stays NULL. */
int
pg_get_blob(const PGresult *res, int row, int col, struct blob **b)
{
	if (PQgetisnull(res, row, col))
		return (0);
	*b = blob_copy(
	    PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col));
	return (*b == NULL ? -1 : 0);
}

struct job *
pg_get_job(const PGresult *res, int row)
{
	struct job *j;

	if ((j = job_new()) == NULL)
		return (NULL);
#define TEXT(col, field) pg_get_text(res, row, col, j->field, sizeof(j->field))
#define INT(col, field)                                                        \
	j->field = (__typeof__(j->field))pg_get_int(res, row, col)
#define ENUM(col, field, byname)                                               \
	j->field = (__typeof__(j->field))pg_get_enum(res, row, col, byname)
	TEXT(C_ID, id);
	TEXT(C_JOB_TYPE, job_type);
	TEXT(C_IDEMPOTENCY_KEY, idempotency_key);
	pg_get_digest(res, row, C_FINGERPRINT, j->fingerprint);
	TEXT(C_CORRELATION_ID, correlation_id);
	TEXT(C_CLIENT, client);
	TEXT(C_PARENT_ID, parent_id);
	ENUM(C_RELATIONSHIP, relationship, relationship_byname);
	pg_get_digest(res, row, C_CODE_HASH, j->code_hash);
	pg_get_digest(res, row, C_INPUT_HASH, j->input_hash);
	INT(C_CODE_LEN, code_len);
	INT(C_INPUT_LEN, input_len);
	INT(C_TIMEOUT, timeout);
	INT(C_STARTUP_TIMEOUT, startup_timeout);
	INT(C_CREATED_AT, created_at);
	ENUM(C_STATUS, status, job_status_byname);
	INT(C_FENCE, fence);
	INT(C_ATTEMPT, attempt);
	INT(C_NOT_BEFORE, not_before);
	INT(C_CODE_STARTED, code_started);
	INT(C_STARTED_AT, started_at);
	INT(C_ENDED_AT, ended_at);
	INT(C_EXIT_CODE, exit_code);
	ENUM(C_ERROR, error, job_error_byname);
	ENUM(C_ERROR_PHASE, error_phase, job_phase_byname);
	TEXT(C_ERROR_MESSAGE, error_message);
	INT(C_STARTUP_MS, startup_ms);
	INT(C_DEPENDENCIES_MS, dependencies_ms);
	INT(C_EXECUTION_MS, execution_ms);
	INT(C_TOTAL_MS, total_ms);
	ENUM(C_PHASE_AT_EXIT, phase_at_exit, job_phase_byname);
	ENUM(C_RUNTIME, runtime, runtime_byname);
	INT(C_OUT_TRUNCATED, out_truncated);
	INT(C_ERR_TRUNCATED, err_truncated);
	INT(C_MAX_RSS_KB, max_rss_kb);
	INT(C_CPU_MS, cpu_ms);
	INT(C_WALL_MS, wall_ms);
	INT(C_OOM_KILLS, oom_kills);
	TEXT(C_JOB_REF, job_ref);
	TEXT(C_TENANT, tenant);
#undef TEXT
#undef INT
#undef ENUM
	return (j);
}

int
pg_get_attempts(const PGresult *res, int col, struct job *j)
{
	return (attempts_parse(
	    j, PQgetvalue(res, 0, col), (size_t)PQgetlength(res, 0, col)));
}

/* -1: not there, which cannot be, or no memory. */
int
pg_get_payload(const PGresult *res, struct job *j)
{
	if (pg_get_blob(res, 0, GET_CODE, &j->code) == -1 ||
	    pg_get_blob(res, 0, GET_INPUT, &j->input) == -1 ||
	    pg_get_blob(res, 0, GET_REQUIREMENTS, &j->requirements) == -1)
		return (-1);
	return (j->code == NULL || j->input == NULL ? -1 : 0);
}

int
pg_get_output(const PGresult *res, struct job *j)
{
	if (pg_get_blob(res, 0, GET_STDOUT, &j->out) == -1 ||
	    pg_get_blob(res, 0, GET_STDERR, &j->err) == -1 ||
	    pg_get_blob(res, 0, GET_OUTPUT, &j->output) == -1 ||
	    pg_get_blob(res, 0, GET_EXTRAS, &j->extras) == -1)
		return (-1);
	if (!PQgetisnull(res, 0, GET_ARTIFACT_STORE))
		pg_get_text(res, 0, GET_ARTIFACT_STORE, j->artifact_store,
		    sizeof(j->artifact_store));
	if (artifacts_unpack(PQgetvalue(res, 0, GET_ARTIFACTS),
		(size_t)PQgetlength(res, 0, GET_ARTIFACTS), &j->artifacts,
		&j->n_artifacts) == -1)
		return (-1);
	return (pg_get_attempts(res, GET_ATTEMPTS, j));
}

void
pg_bind_bytes(struct op *op, const struct blob *b)
{
	pg_bytes(&op->req, blob_data(b), blob_len(b));
}

/* What is not there is NULL. */
void
pg_bind_blob(struct op *op, const struct blob *b)
{
	if (b == NULL)
		pg_text(&op->req, NULL);
	else
		pg_bind_bytes(op, b);
}

/* What was asked, with which submit and import begin alike. */
void
pg_bind_asked(struct pg_request *r, const struct job *j)
{
	pg_text(r, j->id);
	pg_text(r, j->job_type);
	pg_text(r, j->idempotency_key);
	pg_bytes(r, j->fingerprint, TAKO_SHA256);
	pg_text(r, j->correlation_id);
	pg_text(r, j->client);
	pg_text(r, j->parent_id);
	pg_text(r, relationship_name(j->relationship));
	pg_bytes(r, j->code_hash, TAKO_SHA256);
	pg_bytes(r, j->input_hash, TAKO_SHA256);
	pg_int(r, (int64_t)j->code_len);
	pg_int(r, (int64_t)j->input_len);
	pg_int(r, j->timeout);
	pg_int(r, j->startup_timeout);
	pg_int(r, j->created_at);
}

/* As an array of texts: ids have no character that would need quoting. */
void
pg_bind_ids(struct op *op, const store_id *ids, size_t n)
{
	size_t i, size = n * (MAX_JOB_ID + 1) + 3;

	op->text = xmalloc(size);
	strlcpy(op->text, "{", size);
	for (i = 0; i < n; i++) {
		if (i > 0)
			strlcat(op->text, ",", size);
		strlcat(op->text, ids[i], size);
	}
	strlcat(op->text, "}", size);
	pg_text(&op->req, op->text);
}
