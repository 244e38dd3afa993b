/*
 * store_pg.c: jobs in PostgreSQL; several takods may share one database. Runs
 * in the parent's loop; pg_conn.c keeps the connection and says when a
 * statement is to be tried again.
 *
 * Each call is one statement, so one round trip and one transaction; submits
 * that come while one is under way share theirs. Where two
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

#define MAX_OWNER (MAX_NODE + 1 + 16 + 1 + 16 + 1)
/* Words of a NOTIFY: it may have 8000 bytes. */
#define MAX_WAKE    4000
#define CLAIM_TRIES 4
/* Submits that share a statement. */
#define MANY	   64
#define MANY_BYTES ((size_t)4 << 20)

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
		store_beat_cb beat;
		store_nodes_cb nodes;
		store_letters_cb letters;
		store_errors_cb errors;
		store_number_cb position;
		store_tenants_cb tenants;
		store_expired_cb expired;
		store_blob_cb blob;
		store_places_cb places;
	} cb;
	void *arg;
	/* what the parameters point to */
	char id[MAX_JOB_ID + 1];
	char error[65]; /* a type */
	char owner[MAX_OWNER];
	struct job *in;		/* a copy that shares the blobs */
	struct blob *artifacts; /* or a piece of one */
	char artifact_store[MAX_ARTIFACT_STORE + 1];
	char *text;
	int64_t max_queue;
	int want;
	int running, max_workers; /* of a heartbeat */
};

/* A claim whose outcome is not known, until it is put back. */
struct orphan {
	TAILQ_ENTRY(orphan) entry;
	char owner[MAX_OWNER];
};

struct store {
	struct pg_conn *conn;
	char node[MAX_NODE + 1];
	char instance[17];
	char life[MAX_NODE + 18]; /* <node>#<a number of this life's> */
	uint64_t claims;	  /* the number of the next claim */
	struct pg_find *find;	  /* a connection for lists and searches */
	int conn_up, find_up, up; /* up: what was told last */
	/* For the other takods, which are told in the loop's next turn. */
	int others;
	char wake[MAX_WAKE];
	struct event *wake_ev;
	int64_t age_us; /* of a turn of a lower priority */
	TAILQ_HEAD(, orphan) orphans;
	/* Submits that wait while others are under way, in so many statements.
	 */
	TAILQ_HEAD(, pg_request) submits;
	unsigned submitting;
	struct event *submit_ev;
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

static void submit_gathered(struct store *);

/* After the submits that came before. */
static void
op_send(struct op *op)
{
	submit_gathered(op->s);
	pg_send(op->s->conn, &op->req);
}

static void
op_free(struct op *op)
{
	job_free(op->in);
	blob_unref(op->artifacts);
	free(op->text);
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
	snprintf(op->owner, sizeof(op->owner), "%s.%016llx", op->s->life,
	    (unsigned long long)op->s->claims++);
}

/* ---- wake-ups ---------------------------------------------------------------
 *
 * A NOTIFY apart from what it tells of: a transaction with one waits for all
 * others of the database that have one, up to the end of their commits. It has
 * words: q: rows wait; e<id>: a job ended; c<id>: one is to end. Several share
 * one, and where nobody else is there none is sent. Whoever hears none looks
 * by itself, a little later.
 */

static void
wake_others(struct store *s, char what, const char *id)
{
	char word[MAX_JOB_ID + 3];

	snprintf(word, sizeof(word), "%c%s ", what, id);
	if (s->others == 0 || (what == 'q' && strstr(s->wake, word) != NULL))
		return;
	strlcat(s->wake, word, sizeof(s->wake));
	event_active(s->wake_ev, 0, 0);
}

static int
woken(struct pg_request *r, enum store_result result, PGresult *res)
{
	(void)result;
	(void)res;
	op_free(op_of(r));
	return (0);
}

static void
wake_send(int fd, short events, void *arg)
{
	struct store *s = arg;
	struct op *op = op_new(s, S_NOTIFY, woken, NULL);

	(void)fd;
	(void)events;
	op->text = xstrdup(s->wake);
	s->wake[0] = '\0';
	pg_text(&op->req, op->text);
	op_send(op);
}

/* Words of another takod's; what is none of ours is passed over. */
static void
notified(const char *words, void *arg)
{
	struct store *s = arg;
	char copy[MAX_WAKE], *rest = copy, *w;

	if (s->wakeup_cb == NULL)
		return;
	strlcpy(copy, words, sizeof(copy));
	while ((w = strsep(&rest, " ")) != NULL) {
		if (strcmp(w, "q") == 0)
			s->wakeup_cb(WAKE_QUEUE, "", s->arg);
		else if (*w == 'e' && job_id_valid(w + 1))
			s->wakeup_cb(WAKE_ENDED, w + 1, s->arg);
		else if (*w == 'c' && job_id_valid(w + 1))
			s->wakeup_cb(WAKE_CANCEL, w + 1, s->arg);
	}
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
	TEXT(C_JOB_REF, job_ref);
	TEXT(C_TENANT, tenant);
#undef TEXT
#undef INT
#undef ENUM
	return (j);
}

static int
get_attempts(const PGresult *res, int col, struct job *j)
{
	return (attempts_parse(
	    j, PQgetvalue(res, 0, col), (size_t)PQgetlength(res, 0, col)));
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
	if (!PQgetisnull(res, 0, GET_ARTIFACT_STORE))
		get_text(res, 0, GET_ARTIFACT_STORE, j->artifact_store,
		    sizeof(j->artifact_store));
	if (artifacts_unpack(PQgetvalue(res, 0, GET_ARTIFACTS),
		(size_t)PQgetlength(res, 0, GET_ARTIFACTS), &j->artifacts,
		&j->n_artifacts) == -1)
		return (-1);
	return (get_attempts(res, GET_ATTEMPTS, j));
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

/* What was asked, with which submit and import begin alike. */
static void
bind_asked(struct pg_request *r, const struct job *j)
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

/* The row that has the id, or -1. */
static int
row_of(const PGresult *res, const char *id)
{
	int row;

	for (row = PQntuples(res) - 1; row >= 0; row--)
		if (strcmp(PQgetvalue(res, row, C_ID), id) == 0)
			break;
	return (row);
}

/* Answers with the job of a row, which may be another of the same key. */
static int
submitted_row(struct op *op, const PGresult *res, int row)
{
	enum store_result result = STORE_OK;
	struct job *j;

	if ((j = get_job(res, row)) == NULL)
		return (op_done_job(op, STORE_FAILED, NULL));
	if (j->status == JOB_QUEUED)
		wake_others(op->s, 'q', "");
	if (strcmp(j->id, op->in->id) != 0)
		result = memcmp(j->fingerprint, op->in->fingerprint,
			     TAKO_SHA256) == 0
			     ? STORE_EXISTS
			     : STORE_CONFLICT;
	return (op_done_job(op, result, j));
}

static int
submitted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	int row;

	if (result != STORE_OK)
		return (op_done_job(op, result, NULL));
	/* That of the id, else the one that has the key. */
	if ((row = row_of(res, op->in->id)) == -1)
		row = 0;
	if (PQgetisnull(res, row, C_ID)) {
		switch (get_int(res, row, SUBMIT_REFUSED)) {
		case 1:
			return (op_done_job(op, STORE_FILLED, NULL));
		case 2:
			return (op_done_job(op, STORE_SPENT, NULL));
		}
		/* Full; or somebody's insert was faster, and is seen now. */
		if (get_int(res, row, SUBMIT_WAITING) < op->max_queue)
			return (PG_AGAIN);
		return (op_done_job(op, STORE_FULL, NULL));
	}
	return (submitted_row(op, res, row));
}

/*
 * A commit costs the disk's time and the server's, however many rows it has. So
 * while one is under way the submits that come are gathered, until it is
 * answered or something else is sent. Those of which more has to be known go
 * alone: they are to begin at once, or have a key.
 */
struct many {
	struct pg_request req; /* first: each is the other's address */
	struct store *s;
	int n;
	struct pg_request *of[MANY];
	void *arrays;
};

static void
submit_next(struct store *s)
{
	s->submitting--;
	if (!TAILQ_EMPTY(&s->submits))
		event_active(s->submit_ev, 0, 0);
}

static int
submitted_one(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct store *s = op_of(r)->s;
	int again = submitted(r, result, res);

	if (!again)
		submit_next(s);
	return (again);
}

/* What has not been inserted goes alone, and is told why. */
static int
submitted_many(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct many *m = (struct many *)(void *)r;
	struct op *op;
	int i, row;

	for (i = 0; i < m->n; i++) {
		op = op_of(m->of[i]);
		row = result == STORE_OK ? row_of(res, op->in->id) : -1;
		if (result == STORE_AWAY) {
			op->req.unknown = r->unknown;
			op_done_job(op, result, NULL);
		} else if (row == -1)
			op_send(op);
		else
			submitted_row(op, res, row);
	}
	submit_next(m->s);
	free(m->arrays);
	free(m);
	return (0);
}

static void
submit_some(struct store *s)
{
	struct pg_request *r;
	struct many *m;
	size_t bytes = 0;

	s->submitting++;
	m = xcalloc(1, sizeof(*m));
	while ((r = TAILQ_FIRST(&s->submits)) != NULL && m->n < MANY &&
	       (m->n == 0 || bytes + r->bytes <= MANY_BYTES)) {
		TAILQ_REMOVE(&s->submits, r, entry);
		bytes += r->bytes;
		m->of[m->n++] = r;
	}
	if (m->n == 1) {
		m->of[0]->answer = submitted_one;
		pg_send(s->conn, m->of[0]);
		free(m);
		return;
	}
	m->s = s;
	m->req.statement = S_SUBMIT_MANY;
	m->req.answer = submitted_many;
	m->arrays =
	    pg_arrays(&m->req, pg_statements[S_SUBMIT].types, m->of, m->n);
	pg_send(s->conn, &m->req);
}

static void
submit_gathered(struct store *s)
{
	while (!TAILQ_EMPTY(&s->submits))
		submit_some(s);
}

static void
submit_turn(int fd, short events, void *arg)
{
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (s->submitting == 0 && !TAILQ_EMPTY(&s->submits))
		submit_some(s);
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
	bind_asked(r, j);
	pg_int(r, j->not_before);
	pg_int(r, start != 0);
	pg_int(r, max_queue);
	pg_text(r, op->owner);
	bind_bytes(op, j->code);
	bind_bytes(op, j->input);
	bind_bytes(op, j->requirements);
	pg_text(r, j->tenant);
	if (start || j->idempotency_key[0] != '\0') {
		op_send(op);
		return;
	}
	TAILQ_INSERT_TAIL(&s->submits, r, entry);
	event_active(s->submit_ev, 0, 0);
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
	if (PQgetisnull(res, 0, C_ID)) {
		/* Another takod was faster, again and again: it has work. */
		if (r->tries < CLAIM_TRIES)
			return (PG_AGAIN);
		return (op_done_job(op, STORE_NOT_FOUND, NULL));
	}
	if ((j = get_job(res, 0)) == NULL || get_payload(res, j) == -1 ||
	    get_attempts(res, CLAIM_ATTEMPTS, j) == -1)
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
	pg_int(&op->req, s->claims % STORE_AGED_CLAIM == 0);
	pg_int(&op->req, s->age_us);
	op_send(op);
}

/* OK when the guard held, STALE when it did not. */
static int
guarded(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "1") != 0)
		result = STORE_STALE;
	if (result == STORE_OK && r->statement == S_FINISH)
		wake_others(op->s, 'e', op->in->id);
	else if (result == STORE_OK && r->statement == S_RELEASE)
		wake_others(op->s, 'q', "");
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
pg_release(struct store *s, const struct job *job, int64_t delay_us,
    store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_RELEASE, guarded, arg);
	struct pg_request *r = &op->req;
	const struct attempt *a;

	op->cb.plain = cb;
	op->in = job_lend(job);
	a = attempt_present(op->in);
	pg_text(r, op->in->id);
	pg_int(r, op->in->fence);
	pg_int(r, delay_us);
	pg_int(r, a != NULL ? a->ended_at : 0);
	pg_text(r, a != NULL ? job_error_name(a->error) : NULL);
	pg_text(r, a != NULL ? a->place : "");
	pg_text(r, a != NULL ? a->message : "");
	op_send(op);
}

static void
pg_finish(struct store *s, const struct job *job, store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_FINISH, guarded, arg);
	struct pg_request *r = &op->req;
	const struct attempt *a;
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
	pg_text(r, j->job_type);
	a = attempt_present(j);
	pg_text(r, a != NULL ? a->place : "");
	pg_text(r, a != NULL ? a->message : "");
	pg_text(r, j->artifact_store);
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
	switch ((enum cancel_done)get_int(res, 0, CANCEL_DONE)) {
	case CANCEL_ENDED:
		wake_others(op->s, 'e', j->id);
		break;
	case CANCEL_ASKED:
		wake_others(op->s, 'c', j->id);
		result = STORE_STALE;
		break;
	case CANCEL_NOTHING:
		if (!job_status_terminal(j->status)) {
			/* It has moved just now: see what it is since. */
			job_free(j);
			return (PG_AGAIN);
		}
		result = STORE_NOT_FOUND;
		break;
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
	    ((op->want & (WANT_OUTPUT | WANT_ARTIFACTS)) &&
		get_output(res, j) == -1))
		result = STORE_FAILED;
	return (op_done_job(op, result, j));
}

static void
pg_get(struct store *s, const char *id, int want, store_job_cb cb, void *arg)
{
	int artifacts = want == WANT_ARTIFACTS;
	struct op *op =
	    op_new(s, artifacts ? S_GET_ARTIFACTS : S_GET, got, arg);

	op->cb.job = cb;
	op->want = want;
	strlcpy(op->id, id, sizeof(op->id));
	pg_text(&op->req, op->id);
	if (!artifacts) {
		pg_int(&op->req, want & WANT_PAYLOAD);
		pg_int(&op->req, want & (WANT_OUTPUT | WANT_ARTIFACTS));
	}
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
	bind_asked(r, j);
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
	pg_text(r, j->job_ref);
	pg_text(r, j->tenant);
	bind_bytes(op, j->code);
	bind_bytes(op, j->input);
	bind_bytes(op, j->requirements);
	bind_blob(op, j->out);
	bind_blob(op, j->err);
	bind_blob(op, j->output);
	bind_blob(op, j->extras);
	bind_blob(op, op->artifacts);
	pg_text(r, j->artifact_store);
	op_send(op);
}

static int
counted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct store_counts counts = { 0, 0, 0 };

	if (result == STORE_OK) {
		counts.queued = get_int(res, 0, 0);
		counts.running = get_int(res, 0, 1);
		counts.tenants = get_int(res, 0, 2);
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

/* The jobs of a heartbeat's answer; the rows without an id are figures. */
static void
get_beat(struct op *op, const PGresult *res, struct store_beat *b,
    struct store_lease *l)
{
	int row;

	b->jobs = l;
	for (row = 0; row < PQntuples(res); row++) {
		if (PQgetlength(res, row, 0) > 0) {
			get_text(res, row, 0, l->id, sizeof(l->id));
			l->fence = get_int(res, row, 1);
			l->status = (enum job_status)get_enum(
			    res, row, 2, job_status_byname);
			l->cancel = get_int(res, row, 3) != 0;
			if (l->status == JOB_QUEUED)
				wake_others(op->s, 'q', "");
			else if (l->status != JOB_RUNNING)
				wake_others(op->s, 'e', l->id);
			l++;
			b->n_jobs++;
		} else if (PQgetlength(res, row, 2) > 0) {
			b->queued = get_int(res, row, 1);
			b->now = get_int(res, row, 3);
		} else {
			op->s->others = (int)get_int(res, row, 1);
			b->nodes = op->s->others + 1;
			b->running = op->running + get_int(res, row, 3);
			b->max_workers = op->max_workers + get_int(res, row, 4);
		}
	}
}

static int
beaten(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct store_beat beat = { .jobs = NULL };
	struct store_lease *jobs = NULL;

	if (result == STORE_OK) {
		jobs = xcalloc((size_t)PQntuples(res) + 1, sizeof(*jobs));
		get_beat(op, res, &beat, jobs);
	}
	op->cb.beat(result, &beat, op->arg);
	free(jobs);
	op_free(op);
	return (0);
}

/* As an array of texts: ids have no character that would need quoting. */
static void
bind_ids(struct op *op, const store_id *ids, size_t n)
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

static void
pg_beat(
    struct store *s, const struct store_pulse *p, store_beat_cb cb, void *arg)
{
	struct op *op = op_new(s, S_BEAT, beaten, arg);
	struct pg_request *r = &op->req;

	op->cb.beat = cb;
	op->running = p->running;
	op->max_workers = p->max_workers;
	bind_ids(op, p->held, p->n_held);
	pg_text(r, s->life);
	pg_text(r, s->node);
	pg_text(r, s->instance);
	pg_text(r, TAKO_VERSION);
	pg_int(r, p->uptime_us);
	pg_int(r, p->running);
	pg_int(r, p->max_workers);
	pg_int(r, p->draining);
	pg_int(r, p->reap_until);
	op_send(op);
}

static int
nodes_found(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct store_node *nodes = NULL, *n;
	int i, rows = result == STORE_OK ? PQntuples(res) : 0;

	if (rows > 0)
		nodes = xcalloc((size_t)rows, sizeof(*nodes));
	for (i = 0; i < rows; i++) {
		n = &nodes[i];
		get_text(res, i, 0, n->name, sizeof(n->name));
		get_text(res, i, 1, n->instance, sizeof(n->instance));
		get_text(res, i, 2, n->version, sizeof(n->version));
		n->started_at = get_int(res, i, 3);
		n->seen_at = get_int(res, i, 4);
		n->silent_us = get_int(res, i, 5);
		n->running = (int)get_int(res, i, 6);
		n->max_workers = (int)get_int(res, i, 7);
		n->draining = (int)get_int(res, i, 8);
		n->alive = (int)get_int(res, i, 9);
	}
	op->cb.nodes(result, nodes, (size_t)rows, op->arg);
	free(nodes);
	op_free(op);
	return (0);
}

static void
pg_nodes(struct store *s, store_nodes_cb cb, void *arg)
{
	struct op *op = op_new(s, S_NODES, nodes_found, arg);

	op->cb.nodes = cb;
	op_send(op);
}

static int
expired(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct store_expired *gone = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		gone = xcalloc((size_t)n, sizeof(*gone));
	for (i = 0; i < n; i++) {
		get_text(res, i, 0, gone[i].id, sizeof(gone[i].id));
		get_text(res, i, 1, gone[i].artifact_store,
		    sizeof(gone[i].artifact_store));
	}
	op->cb.expired(result, gone, (size_t)n, op->arg);
	free(gone);
	op_free(op);
	return (0);
}

static void
pg_expire(
    struct store *s, int64_t age_us, int max, store_expired_cb cb, void *arg)
{
	struct op *op = op_new(s, S_EXPIRE, expired, arg);

	op->cb.expired = cb;
	pg_int(&op->req, age_us);
	pg_int(&op->req, max);
	op_send(op);
}

static int
ids_found(struct pg_request *r, enum store_result result, PGresult *res)
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
pg_ended(
    struct store *s, const store_id *ids, size_t n, store_ids_cb cb, void *arg)
{
	struct op *op = op_new(s, S_ENDED, ids_found, arg);

	op->cb.ids = cb;
	bind_ids(op, ids, n);
	op_send(op);
}

/* ---- artifacts --------------------------------------------------------------
 */

static int
is_there(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && PQntuples(res) == 0)
		result = STORE_NOT_FOUND;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

/* With the place as the first two parameters. */
static struct op *
op_place(struct store *s, enum pg_call statement,
    int (*answer)(struct pg_request *, enum store_result, PGresult *),
    const struct artifact_place *place, void *arg)
{
	struct op *op = op_new(s, statement, answer, arg);

	strlcpy(op->id, place->job_id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, place->fence);
	return (op);
}

static void
pg_artifact_known(struct store *s, const char *artifact_store,
    const struct artifact_place *place, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_ARTIFACT_KNOWN, is_there, place, arg);

	op->cb.plain = cb;
	strlcpy(op->artifact_store, artifact_store, sizeof(op->artifact_store));
	pg_text(&op->req, op->artifact_store);
	op_send(op);
}

static void
pg_chunk_put(struct store *s, const struct artifact_place *place, int number,
    int chunk, struct blob *blob, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_PUT, guarded, place, arg);

	op->cb.plain = cb;
	op->artifacts = blob_ref(blob);
	pg_int(&op->req, number);
	pg_int(&op->req, chunk);
	bind_bytes(op, blob);
	op_send(op);
}

static int
got_chunk(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct blob *blob = NULL;

	if (result == STORE_OK && PQntuples(res) == 0)
		result = STORE_NOT_FOUND;
	else if (result == STORE_OK && get_blob(res, 0, 0, &blob) == -1)
		result = STORE_FAILED; /* no memory */
	op->cb.blob(result, blob, op->arg);
	op_free(op);
	return (0);
}

static void
pg_chunk_get(struct store *s, const struct artifact_place *place, int number,
    int chunk, store_blob_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_GET, got_chunk, place, arg);

	op->cb.blob = cb;
	pg_int(&op->req, number);
	pg_int(&op->req, chunk);
	op_send(op);
}

static int
removed_chunks(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "0") == 0)
		result = STORE_NOT_FOUND;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

static void
pg_chunk_remove(
    struct store *s, const struct artifact_place *place, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_REMOVE, removed_chunks, place, arg);

	op->cb.plain = cb;
	op_send(op);
}

static int
got_places(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct artifact_found found[STORE_PLACES];
	struct op *op = op_of(r);
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	for (i = 0; i < n && i < STORE_PLACES; i++) {
		get_text(res, i, 0, found[i].place.job_id,
		    sizeof(found[i].place.job_id));
		found[i].place.fence = get_int(res, i, 1);
		found[i].written = get_int(res, i, 2);
	}
	op->cb.places(result, found, (size_t)i, op->arg);
	op_free(op);
	return (0);
}

static void
pg_chunk_places(struct store *s, const struct artifact_place *after,
    store_places_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_PLACES, got_places, after, arg);

	op->cb.places = cb;
	pg_int(&op->req, STORE_PLACES);
	op_send(op);
}

/* ---- dead letters -----------------------------------------------------------
 */

static void
get_letter(const PGresult *res, int row, struct dead_letter *l)
{
#define TEXT(col, field) get_text(res, row, col, l->field, sizeof(l->field))
#define INT(col, field)	 l->field = (__typeof__(l->field))get_int(res, row, col)
	INT(L_ID, id);
	TEXT(L_JOB_ID, job_id);
	TEXT(L_JOB_TYPE, job_type);
	l->error =
	    (enum job_error)get_enum(res, row, L_ERROR, job_error_byname);
	TEXT(L_ERROR_MESSAGE, error_message);
	INT(L_RETRY_COUNT, retry_count);
	INT(L_CREATED_AT, created_at);
	TEXT(L_CLIENT, client);
	TEXT(L_CORRELATION_ID, correlation_id);
	TEXT(L_PARENT_ID, parent_id);
	INT(L_KEYED, keyed);
	get_digest(res, row, L_CODE_HASH, l->code_hash);
	get_digest(res, row, L_INPUT_HASH, l->input_hash);
	INT(L_CODE_LEN, code_len);
	INT(L_INPUT_LEN, input_len);
	INT(L_TIMEOUT, timeout);
	INT(L_STARTUP_TIMEOUT, startup_timeout);
#undef TEXT
#undef INT
}

static int
letters_listed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct dead_letter *letters = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		letters = xcalloc((size_t)n, sizeof(*letters));
	for (i = 0; i < n; i++)
		get_letter(res, i, &letters[i]);
	op->cb.letters(result, letters, (size_t)n, op->arg);
	free(letters);
	op_free(op);
	return (0);
}

static void
pg_letters(struct store *s, const char *error, int64_t id, int64_t limit,
    int64_t offset, store_letters_cb cb, void *arg)
{
	struct op *op = op_new(s, S_LETTERS, letters_listed, arg);

	op->cb.letters = cb;
	strlcpy(op->error, error, sizeof(op->error));
	pg_text(&op->req, op->error);
	pg_int(&op->req, id);
	pg_int(&op->req, limit);
	pg_int(&op->req, offset);
	op_send(op);
}

static int
letters_counted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	int64_t counts[JERR_MAX] = { 0 };
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	for (i = 0; i < n; i++)
		counts[get_enum(res, i, 0, job_error_byname)] +=
		    get_int(res, i, 1);
	op->cb.errors(result, counts, op->arg);
	op_free(op);
	return (0);
}

static void
pg_letter_counts(struct store *s, store_errors_cb cb, void *arg)
{
	struct op *op = op_new(s, S_LETTER_COUNTS, letters_counted, arg);

	op->cb.errors = cb;
	op_send(op);
}

static int
letter_removed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "1") != 0)
		result = STORE_NOT_FOUND;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

static void
pg_letter_remove(struct store *s, int64_t id, store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_LETTER_REMOVE, letter_removed, arg);

	op->cb.plain = cb;
	pg_int(&op->req, id);
	op_send(op);
}

static int
letters_expired(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	op->cb.position(
	    result, result == STORE_OK ? atoll(PQcmdTuples(res)) : 0, op->arg);
	op_free(op);
	return (0);
}

static void
pg_letters_expire(
    struct store *s, int64_t age_us, int max, store_number_cb cb, void *arg)
{
	struct op *op = op_new(s, S_LETTERS_EXPIRE, letters_expired, arg);

	op->cb.position = cb;
	pg_int(&op->req, age_us);
	pg_int(&op->req, max);
	op_send(op);
}

/* ---- tenants ---------------------------------------------------------------
 */

static int
tenants_set(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);

	(void)res;
	op->cb.plain(result, op->arg);
	op_free(op);
	return (0);
}

static void
pg_set_tenants(struct store *s, const struct tenant_policies *policies,
    store_cb cb, void *arg)
{
	struct op *op = op_new(s, S_SET_TENANTS, tenants_set, arg);

	op->cb.plain = cb;
	op->text = tenant_policies_pack(policies);
	s->age_us = policies->age_us;
	pg_text(&op->req, op->text);
	op_send(op);
}

static int
tenants_listed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = op_of(r);
	struct tenant *list = NULL, *t;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		list = xcalloc((size_t)n, sizeof(*list));
	for (i = 0; i < n; i++) {
		t = &list[i];
		get_text(res, i, 0, t->policy.name, sizeof(t->policy.name));
		t->policy.weight = (int)get_int(res, i, 1);
		t->policy.priority = (int)get_int(res, i, 2);
		t->policy.max_queued = get_int(res, i, 3);
		t->policy.max_running = get_int(res, i, 4);
		t->policy.max_jobs = get_int(res, i, 5);
		t->policy.max_cpu_ms = get_int(res, i, 6);
		t->waiting = get_int(res, i, 8);
		t->running = get_int(res, i, 9);
		t->used_jobs = get_int(res, i, 10);
		t->used_cpu_ms = get_int(res, i, 11);
	}
	op->cb.tenants(result, list, (size_t)n, op->arg);
	free(list);
	op_free(op);
	return (0);
}

static void
pg_tenants(struct store *s, int max, store_tenants_cb cb, void *arg)
{
	struct op *op = op_new(s, S_TENANTS, tenants_listed, arg);

	op->cb.tenants = cb;
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

static const struct pg_hooks hooks = { up, down, notified };

static void
pg_close(struct store *s)
{
	struct pg_request *r;
	struct orphan *o;

	/* What is left is found by the first beat of takod's next life. */
	if (s->find != NULL)
		pg_find_close(s->find);
	if (s->conn != NULL)
		pg_conn_close(s->conn);
	while ((r = TAILQ_FIRST(&s->submits)) != NULL) {
		TAILQ_REMOVE(&s->submits, r, entry);
		op_done_job(op_of(r), STORE_AWAY, NULL);
	}
	while ((o = TAILQ_FIRST(&s->orphans)) != NULL) {
		TAILQ_REMOVE(&s->orphans, o, entry);
		free(o);
	}
	if (s->wake_ev != NULL)
		event_free(s->wake_ev);
	if (s->submit_ev != NULL)
		event_free(s->submit_ev);
	free(s);
}

static struct store *
pg_open(struct event_base *base, const char *url, const struct store_self *self,
    store_state_cb state_cb, store_wakeup_cb wakeup_cb, void *arg, char *detail,
    size_t len)
{
	static const char psycopg[] = "postgresql+psycopg://";
	struct store *s;
	char life[17], *plain;

	s = xcalloc(1, sizeof(*s));
	TAILQ_INIT(&s->orphans);
	TAILQ_INIT(&s->submits);
	s->state_cb = state_cb;
	s->wakeup_cb = wakeup_cb;
	s->arg = arg;
	arc4random_buf(&s->claims, sizeof(s->claims));
	strlcpy(s->node, self->node, sizeof(s->node));
	strlcpy(s->instance, self->instance, sizeof(s->instance));
	snprintf(life, sizeof(life), "%08x%08x", arc4random(), arc4random());
	snprintf(s->life, sizeof(s->life), "%s#%s", s->node, life);
	s->wake_ev = event_new(base, -1, 0, wake_send, s);
	s->submit_ev = event_new(base, -1, 0, submit_turn, s);
	if (s->wake_ev == NULL || s->submit_ev == NULL)
		fatal(NULL);
	plain = xasprintf("postgresql://%s",
	    strncmp(url, psycopg, sizeof(psycopg) - 1) == 0
		? url + sizeof(psycopg) - 1
		: url + (strncmp(url, "postgresql://", 13) == 0 ? 13 : 0));
	s->conn = pg_conn_open(base, plain, s->node, life,
	    self->lease_s * INT64_C(1000000), pg_statements, S_MAX, &hooks, s,
	    detail, len);
	if (s->conn != NULL)
		s->find = pg_find_open(
		    base, plain, s->node, life, find_state, s, detail, len);
	freezero(plain, strlen(plain));
	if (s->find == NULL) {
		pg_close(s);
		return (NULL);
	}
	return (s);
}

const struct store_ops store_pg = {
	.name = "postgresql",
	.shared = 1,
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
	.beat = pg_beat,
	.ended = pg_ended,
	.nodes = pg_nodes,
	.expire = pg_expire,
	.letters = pg_letters,
	.letter_counts = pg_letter_counts,
	.letter_remove = pg_letter_remove,
	.letters_expire = pg_letters_expire,
	.set_tenants = pg_set_tenants,
	.tenants = pg_tenants,
	.artifact_known = pg_artifact_known,
	.chunk_put = pg_chunk_put,
	.chunk_get = pg_chunk_get,
	.chunk_remove = pg_chunk_remove,
	.chunk_places = pg_chunk_places,
};
