/*
 * store_pg.c: jobs in PostgreSQL; several takods may share one database. Runs
 * in the parent's loop; pg_conn.c keeps the connection and says when a
 * statement is to be tried again.
 *
 * Each call is one statement, so one round trip and one transaction. Where two
 * takods may meet, a row's lock decides: the loser's statement changes nothing
 * and, where it has seen what is no longer so, is sent once more. Times that
 * are compared among takods are by the database's clock.
 *
 * When the connection breaks, a claim may have been done that nobody was told
 * of. So a claimed row's owner carries a number of its own claim: the next
 * session first puts back what such claims took.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "pg_find.h"
#include "pg_statements.h"
#include "store.h"
#include "util.h"

#define MAX_OWNER 160

/* ---- a call under way -------------------------------------------------------
 */

struct op {
	struct pg_request req; /* first: each is the other's address */
	struct store *s;
	union {
		store_job_cb job;
		store_cb plain;
		store_counts_cb counts;
		store_ids_cb ids;
		void (*position)(enum store_result, int64_t, void *);
	} cb;
	void *arg;
	/* what the parameters point to */
	char id[MAX_JOB_ID + 1];
	char owner[MAX_OWNER];
	struct job *in; /* a copy that shares the blobs */
	struct blob *artifacts;
	int64_t max_queue;
	int want;
};

/* A claim whose outcome is not known, until it is put back. */
struct orphan {
	TAILQ_ENTRY(orphan) entry;
	char owner[MAX_OWNER];
};

struct store {
	struct pg_conn *conn;
	struct pg_find *find;	  /* a connection for lists and searches */
	int conn_up, find_up, up; /* up: what was told last */
	char owner[MAX_OWNER - 20];
	uint64_t claims; /* the number of the next claim, from a random one */
	TAILQ_HEAD(, orphan) orphans;
	store_state_cb state_cb;
	store_wakeup_cb wakeup_cb;
	void *arg;
};

static struct op *
op_new(struct store *s, enum pg_call statement,
    int (*answer)(struct pg_request *, enum store_result, PGresult *),
    void *arg)
{
	/* A call must be answered: without 3 KB there is no going on. */
	struct op *op = xcalloc(1, sizeof(*op));

	op->req.statement = statement;
	op->req.answer = answer;
	op->s = s;
	op->arg = arg;
	return (op);
}

static void
op_send(struct op *op)
{
	pg_send(op->s->conn, &op->req);
}

static void
op_free(struct op *op)
{
	job_free(op->in);
	blob_unref(op->artifacts);
	free(op);
}

static struct op *
op_of(struct pg_request *r)
{
	return ((struct op *)(void *)r);
}

static void
op_number_claim(struct op *op)
{
	snprintf(op->owner, sizeof(op->owner), "%s#%016llx", op->s->owner,
	    (unsigned long long)op->s->claims++);
}

static void
remember(struct store *s, const char *owner)
{
	struct orphan *o = xcalloc(1, sizeof(*o));

	strlcpy(o->owner, owner, sizeof(o->owner));
	TAILQ_INSERT_TAIL(&s->orphans, o, entry);
}

/* Answers with a job, which is given away, where the result goes with one. */
static int
op_done_job(struct op *op, enum store_result result, struct job *job)
{
	/* A claim of its own number, done or not: nobody learns of it now. */
	if (result == STORE_AWAY && op->req.unknown && op->owner[0] != '\0')
		remember(op->s, op->owner);
	if (result == STORE_AWAY || result == STORE_FAILED ||
	    result == STORE_NOT_FOUND) {
		job_free(job);
		job = NULL;
	}
	op->cb.job(result, job, op->arg);
	op_free(op);
	return (0);
}

/* ---- reading ----------------------------------------------------------------
 */

static int64_t
get_int(const PGresult *res, int row, int col)
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

static void
get_text(const PGresult *res, int row, int col, char *dst, size_t len)
{
	strlcpy(dst, PQgetvalue(res, row, col), len);
}

static void
get_digest(const PGresult *res, int row, int col, uint8_t dst[TAKO_SHA256])
{
	if (PQgetlength(res, row, col) == TAKO_SHA256)
		memcpy(dst, PQgetvalue(res, row, col), TAKO_SHA256);
}

static int
get_enum(const PGresult *res, int row, int col, int (*byname)(const char *))
{
	int v = -1;

	if (!PQgetisnull(res, row, col))
		v = byname(PQgetvalue(res, row, col));
	return (v == -1 ? 0 : v);
}

/* -1: no memory. NULL stays NULL. */
static int
get_blob(const PGresult *res, int row, int col, struct blob **b)
{
	if (PQgetisnull(res, row, col))
		return (0);
	*b = blob_copy(
	    PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col));
	return (*b == NULL ? -1 : 0);
}

static struct job *
get_job(const PGresult *res, int row)
{
	struct job *j;

	if ((j = job_new()) == NULL)
		return (NULL);
#define TEXT(col, field) get_text(res, row, col, j->field, sizeof(j->field))
#define INT(col, field)	 j->field = (__typeof__(j->field))get_int(res, row, col)
#define ENUM(col, field, byname)                                               \
	j->field = (__typeof__(j->field))get_enum(res, row, col, byname)
	TEXT(C_ID, id);
	TEXT(C_JOB_TYPE, job_type);
	TEXT(C_IDEMPOTENCY_KEY, idempotency_key);
	get_digest(res, row, C_FINGERPRINT, j->fingerprint);
	TEXT(C_CORRELATION_ID, correlation_id);
	TEXT(C_CLIENT, client);
	TEXT(C_PARENT_ID, parent_id);
	ENUM(C_RELATIONSHIP, relationship, relationship_byname);
	get_digest(res, row, C_CODE_HASH, j->code_hash);
	get_digest(res, row, C_INPUT_HASH, j->input_hash);
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
#undef TEXT
#undef INT
#undef ENUM
	return (j);
}

/* -1: not there, which cannot be, or no memory. */
static int
get_payload(const PGresult *res, struct job *j)
{
	if (get_blob(res, 0, GET_CODE, &j->code) == -1 ||
	    get_blob(res, 0, GET_INPUT, &j->input) == -1 ||
	    get_blob(res, 0, GET_REQUIREMENTS, &j->requirements) == -1)
		return (-1);
	return (j->code == NULL || j->input == NULL ? -1 : 0);
}

static int
get_output(const PGresult *res, struct job *j)
{
	if (get_blob(res, 0, GET_STDOUT, &j->out) == -1 ||
	    get_blob(res, 0, GET_STDERR, &j->err) == -1 ||
	    get_blob(res, 0, GET_OUTPUT, &j->output) == -1 ||
	    get_blob(res, 0, GET_EXTRAS, &j->extras) == -1)
		return (-1);
	return (artifacts_unpack(PQgetvalue(res, 0, GET_ARTIFACTS),
	    (size_t)PQgetlength(res, 0, GET_ARTIFACTS), &j->artifacts,
	    &j->n_artifacts));
}

/* ---- the calls --------------------------------------------------------------
 */

static void
bind_bytes(struct op *op, const struct blob *b)
{
	pg_bytes(&op->req, blob_data(b), blob_len(b));
}

/* What is not there is NULL. */
static void
bind_blob(struct op *op, const struct blob *b)
{
	if (b == NULL)
		pg_text(&op->req, NULL);
	else
		bind_bytes(op, b);
}

/* The row of several that has the id: else the one that has the key. */
static int
submitted_row(const PGresult *res, const char *id)
{
	int row;

	for (row = PQntuples(res) - 1; row > 0; row--)
		if (strcmp(PQgetvalue(res, row, C_ID), id) == 0)
			break;
	return (row);
}

static int
submitted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct job *j;
	int row;

	if (result != STORE_OK)
		return (op_done_job(op, result, NULL));
	row = submitted_row(res, op->in->id);
	if (PQgetisnull(res, row, C_ID)) {
		/* Full; or somebody's insert was faster, and is seen now. */
		if (get_int(res, row, SUBMIT_WAITING) < op->max_queue)
			return (PG_AGAIN);
		return (op_done_job(op, STORE_FULL, NULL));
	}
	if ((j = get_job(res, row)) == NULL)
		return (op_done_job(op, STORE_FAILED, NULL));
	if (strcmp(j->id, op->in->id) != 0)
		result = memcmp(j->fingerprint, op->in->fingerprint,
			     TAKO_SHA256) == 0
			     ? STORE_EXISTS
			     : STORE_CONFLICT;
	return (op_done_job(op, result, j));
}

static void
pg_submit(struct store *s, const struct job *job, int start, int64_t max_queue,
    store_job_cb cb, void *arg)
{
	struct op *op = op_new(s, S_SUBMIT, submitted, arg);
	struct pg_request *r = &op->req;
	const struct job *j;

	op->cb.job = cb;
	op->max_queue = max_queue;
	j = op->in = job_lend(job);
	if (start)
		op_number_claim(op);
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
	pg_int(r, j->not_before);
	pg_int(r, start != 0);
	pg_int(r, max_queue);
	pg_text(r, op->owner);
	bind_bytes(op, j->code);
	bind_bytes(op, j->input);
	bind_bytes(op, j->requirements);
	op_send(op);
}

static int
claimed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (op_done_job(op, STORE_NOT_FOUND, NULL));
	if ((j = get_job(res, 0)) == NULL || get_payload(res, j) == -1)
		result = STORE_FAILED;
	return (op_done_job(op, result, j));
}

static void
pg_claim(struct store *s, int code_started, store_job_cb cb, void *arg)
{
	struct op *op = op_new(s, S_CLAIM, claimed, arg);

	op->cb.job = cb;
	op_number_claim(op);
	pg_int(&op->req, code_started != 0);
	pg_text(&op->req, op->owner);
	op_send(op);
}

/* OK when the guard held, STALE when it did not. */
static int
guarded(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "1") != 0)
		result = STORE_STALE;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

static void
pg_start(struct store *s, const char *id, int64_t fence, store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_START, guarded, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, fence);
	op_send(op);
}

static void
pg_release(struct store *s, const char *id, int64_t fence, int64_t not_before,
    store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_RELEASE, guarded, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, fence);
	pg_int(&op->req, not_before);
	op_send(op);
}

static void
pg_finish(struct store *s, const struct job *job, store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_FINISH, guarded, arg);
	struct pg_request *r = &op->req;
	const struct job *j;

	op->cb.plain = cb;
	j = op->in = job_lend(job);
	if ((op->artifacts = artifacts_pack(j->artifacts, j->n_artifacts)) ==
	    NULL)
		fatal(NULL);
	pg_text(r, j->id);
	pg_int(r, j->fence);
	pg_text(r, job_status_name(j->status));
	pg_int(r, j->ended_at);
	pg_int(r, j->exit_code);
	pg_text(r, job_error_name(j->error));
	pg_text(r, job_phase_name(j->error_phase));
	pg_text(r, j->error_message);
	pg_int(r, j->startup_ms);
	pg_int(r, j->dependencies_ms);
	pg_int(r, j->execution_ms);
	pg_int(r, j->total_ms);
	pg_text(r, job_phase_name(j->phase_at_exit));
	pg_text(r, runtime_name(j->runtime));
	pg_int(r, j->out_truncated);
	pg_int(r, j->err_truncated);
	pg_int(r, j->max_rss_kb);
	pg_int(r, j->cpu_ms);
	pg_int(r, j->wall_ms);
	pg_int(r, j->oom_kills);
	bind_blob(op, j->out);
	bind_blob(op, j->err);
	bind_blob(op, j->output);
	bind_blob(op, j->extras);
	bind_blob(op, op->artifacts);
	op_send(op);
}

static int
cancelled(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (op_done_job(op, STORE_NOT_FOUND, NULL));
	if ((j = get_job(res, 0)) == NULL)
		return (op_done_job(op, STORE_FAILED, NULL));
	if (get_int(res, 0, CANCEL_DONE) == 0) {
		if (j->status == JOB_QUEUED) {
			/* It was claimed just now: see what it is since. */
			job_free(j);
			return (PG_AGAIN);
		}
		result = job_status_terminal(j->status) ? STORE_NOT_FOUND
							: STORE_STALE;
	}
	return (op_done_job(op, result, j));
}

static void
pg_cancel(struct store *s, const char *id, store_job_cb cb, void *arg)
{
	struct op *op = op_new(s, S_CANCEL, cancelled, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	op_send(op);
}

static int
got(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct job *j;

	if (result != STORE_OK)
		return (op_done_job(op, result, NULL));
	if (PQntuples(res) == 0)
		return (op_done_job(op, STORE_NOT_FOUND, NULL));
	if ((j = get_job(res, 0)) == NULL ||
	    ((op->want & WANT_PAYLOAD) && get_payload(res, j) == -1) ||
	    ((op->want & WANT_OUTPUT) && get_output(res, j) == -1))
		result = STORE_FAILED;
	return (op_done_job(op, result, j));
}

static void
pg_get(struct store *s, const char *id, int want, store_job_cb cb, void *arg)
{
	struct op *op = op_new(s, S_GET, got, arg);

	op->cb.job = cb;
	op->want = want;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, want & WANT_PAYLOAD);
	pg_int(&op->req, want & WANT_OUTPUT);
	op_send(op);
}

static int
positioned(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	op->cb.position(
	    result, result == STORE_OK ? get_int(res, 0, 0) : 0, op->arg);
	op_free(op);
	return (0);
}

static void
pg_queue_position(struct store *s, const char *id,
    void (*cb)(enum store_result, int64_t, void *), void *arg)
{
	struct op *op = op_new(s, S_POSITION, positioned, arg);

	op->cb.position = cb;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	op_send(op);
}

static void
pg_list(
    struct store *s, const struct store_filter *f, store_page_cb cb, void *arg)
{
	pg_find_list(s->find, f, cb, arg);
}

static void
pg_index(struct store *s, int max, store_counts_cb cb, void *arg)
{
	pg_find_index(s->find, max, cb, arg);
}

static int
imported(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && get_int(res, 0, 0) == 0)
		result = get_int(res, 0, 1) > 0 ? STORE_EXISTS : STORE_CONFLICT;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

static void
pg_import(struct store *s, const struct job *job, store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_IMPORT, imported, arg);
	struct pg_request *r = &op->req;
	const struct job *j;

	op->cb.plain = cb;
	j = op->in = job_lend(job);
	if ((op->artifacts = artifacts_pack(j->artifacts, j->n_artifacts)) ==
	    NULL)
		fatal(NULL);
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
	pg_text(r, job_status_name(j->status));
	pg_int(r, j->fence);
	pg_int(r, j->attempt);
	pg_int(r, j->not_before);
	pg_int(r, j->code_started);
	pg_int(r, j->started_at);
	pg_int(r, j->ended_at);
	pg_int(r, j->exit_code);
	pg_text(r, job_error_name(j->error));
	pg_text(r, job_phase_name(j->error_phase));
	pg_text(r, j->error_message);
	pg_int(r, j->startup_ms);
	pg_int(r, j->dependencies_ms);
	pg_int(r, j->execution_ms);
	pg_int(r, j->total_ms);
	pg_text(r, job_phase_name(j->phase_at_exit));
	pg_text(r, runtime_name(j->runtime));
	pg_int(r, j->out_truncated);
	pg_int(r, j->err_truncated);
	pg_int(r, j->max_rss_kb);
	pg_int(r, j->cpu_ms);
	pg_int(r, j->wall_ms);
	pg_int(r, j->oom_kills);
	bind_bytes(op, j->code);
	bind_bytes(op, j->input);
	bind_bytes(op, j->requirements);
	bind_blob(op, j->out);
	bind_blob(op, j->err);
	bind_blob(op, j->output);
	bind_blob(op, j->extras);
	bind_blob(op, op->artifacts);
	op_send(op);
}

static int
counted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct store_counts counts = { 0, 0 };

	if (result == STORE_OK) {
		counts.queued = get_int(res, 0, 0);
		counts.running = get_int(res, 0, 1);
	}
	op->cb.counts(result, &counts, op->arg);
	op_free(op);
	return (0);
}

static void
pg_counts(struct store *s, store_counts_cb cb, void *arg)
{
	struct op *op = op_new(s, S_COUNTS, counted, arg);

	op->cb.counts = cb;
	op_send(op);
}

static void
pg_recover(struct store *s, store_counts_cb cb, void *arg)
{
	struct op *op = op_new(s, S_RECOVER, counted, arg);

	op->cb.counts = cb;
	pg_text(&op->req, s->owner);
	op_send(op);
}

static int
expired(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	store_id *ids = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		ids = xcalloc((size_t)n, sizeof(*ids));
	for (i = 0; i < n; i++)
		get_text(res, i, 0, ids[i], sizeof(ids[i]));
	op->cb.ids(result, ids, (size_t)n, op->arg);
	free(ids);
	op_free(op);
	return (0);
}

static void
pg_expire(struct store *s, int64_t age_us, int max, store_ids_cb cb, void *arg)
{
	struct op *op = op_new(s, S_EXPIRE, expired, arg);

	op->cb.ids = cb;
	pg_int(&op->req, age_us);
	pg_int(&op->req, max);
	op_send(op);
}

/* ---- the session ------------------------------------------------------------
 */

static int
undone(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	(void)res;
	if (result == STORE_AWAY)
		remember(op->s, op->owner);
	op_free(op);
	return (0);
}

/* Puts back what lost claims took, before anybody asks for anything. */
static void
undo_orphans(struct store *s)
{
	struct orphan *o;
	struct op *op;

	while ((o = TAILQ_FIRST(&s->orphans)) != NULL) {
		TAILQ_REMOVE(&s->orphans, o, entry);
		op = op_new(s, S_UNDO, undone, NULL);
		strlcpy(op->owner, o->owner, sizeof(op->owner));
		pg_text(&op->req, op->owner);
		op_send(op);
		free(o);
	}
}

static void
up(void *arg)
{
	struct store *s = arg;

	undo_orphans(s);
	s->conn_up = 1;
	if (s->find_up)
		s->state_cb(s->up = 1, "", s->arg);
}

/* Jobs go on without lists; but nothing begins before both are there. */
static void
find_state(int is_up, void *arg)
{
	struct store *s = arg;

	s->find_up = is_up;
	if (is_up && s->conn_up && !s->up)
		s->state_cb(s->up = 1, "", s->arg);
}

static void
down(const char *detail, void *arg)
{
	struct store *s = arg;

	s->conn_up = s->up = 0;
	s->state_cb(0, detail, s->arg);
}

static void
notified(void *arg)
{
	struct store *s = arg;

	if (s->wakeup_cb != NULL)
		s->wakeup_cb(s->arg);
}

static const struct pg_hooks hooks = { up, down, notified };

static void
pg_close(struct store *s)
{
	struct orphan *o;

	/* What is left is found by recover, in takod's next life. */
	if (s->find != NULL)
		pg_find_close(s->find);
	if (s->conn != NULL)
		pg_conn_close(s->conn);
	while ((o = TAILQ_FIRST(&s->orphans)) != NULL) {
		TAILQ_REMOVE(&s->orphans, o, entry);
		free(o);
	}
	free(s);
}

static struct store *
pg_open(struct event_base *base, const char *url, const char *owner,
    store_state_cb state_cb, store_wakeup_cb wakeup_cb, void *arg, char *detail,
    size_t len)
{
	static const char psycopg[] = "postgresql+psycopg://";
	struct store *s;
	char host[65], *plain;

	s = xcalloc(1, sizeof(*s));
	TAILQ_INIT(&s->orphans);
	s->state_cb = state_cb;
	s->wakeup_cb = wakeup_cb;
	s->arg = arg;
	arc4random_buf(&s->claims, sizeof(s->claims));
	/* owner is a name on this host only; others use the database too. */
	if (gethostname(host, sizeof(host)) == -1)
		fatal("gethostname");
	host[sizeof(host) - 1] = '\0';
	snprintf(s->owner, sizeof(s->owner), "%.64s@%s", owner, host);
	plain = xasprintf("postgresql://%s",
	    strncmp(url, psycopg, sizeof(psycopg) - 1) == 0
		? url + sizeof(psycopg) - 1
		: url + (strncmp(url, "postgresql://", 13) == 0 ? 13 : 0));
	s->conn = pg_conn_open(base, plain, s->owner, pg_statements, S_MAX,
	    &hooks, s, detail, len);
	if (s->conn != NULL)
		s->find = pg_find_open(
		    base, plain, s->owner, find_state, s, detail, len);
	freezero(plain, strlen(plain));
	if (s->find == NULL) {
		pg_close(s);
		return (NULL);
	}
	return (s);
}

const struct store_ops store_pg = {
	.name = "postgresql",
	.open = pg_open,
	.close = pg_close,
	.submit = pg_submit,
	.claim = pg_claim,
	.start = pg_start,
	.release = pg_release,
	.finish = pg_finish,
	.cancel = pg_cancel,
	.get = pg_get,
	.queue_position = pg_queue_position,
	.list = pg_list,
	.index = pg_index,
	.import = pg_import,
	.counts = pg_counts,
	.recover = pg_recover,
	.expire = pg_expire,
};
