/*
 * pg_submit.c: jobs are put into PostgreSQL, several of them by one statement
 * where they come together. Runs in the parent's loop.
 */
#include <stdlib.h>
#include <string.h>

#include "pg_store.h"
#include "util.h"

/* Submits that share a statement. */
#define MANY	   64
#define MANY_BYTES ((size_t)4 << 20)

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

	if ((j = pg_get_job(res, row)) == NULL)
		return (pg_op_done_job(op, STORE_FAILED, NULL));
	if (j->status == JOB_QUEUED)
		pg_wake_others(op->s, 'q', "");
	if (strcmp(j->id, op->in->id) != 0)
		result = memcmp(j->fingerprint, op->in->fingerprint,
			     TAKO_SHA256) == 0
			     ? STORE_EXISTS
			     : STORE_CONFLICT;
	return (pg_op_done_job(op, result, j));
}

static int
submitted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	int row;

	if (result != STORE_OK)
		return (pg_op_done_job(op, result, NULL));
	/* That of the id, else the one that has the key. */
	if ((row = row_of(res, op->in->id)) == -1)
		row = 0;
	if (PQgetisnull(res, row, C_ID)) {
		switch (pg_get_int(res, row, SUBMIT_REFUSED)) {
		case 1:
			return (pg_op_done_job(op, STORE_FILLED, NULL));
		case 2:
			return (pg_op_done_job(op, STORE_SPENT, NULL));
		}
		/* Full; or somebody's insert was faster, and is seen now. */
		if (pg_get_int(res, row, SUBMIT_WAITING) < op->max_queue)
			return (PG_AGAIN);
		return (pg_op_done_job(op, STORE_FULL, NULL));
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
	struct store *s = pg_op_of(r)->s;
	int again = submitted(r, result, res);

	if (!again)
		submit_next(s);
	return (again);
}

/* The job is what was asked, and what the row says that nobody asked for. */
static void
submitted_fresh(struct op *op, const PGresult *res, int row)
{
	struct job *j = op->in;

	op->in = NULL;
	job_drop_payload(j);
	strlcpy(j->job_ref, j->job_type, sizeof(j->job_ref));
	j->created_at = pg_get_int(res, row, MANY_CREATED_AT);
	pg_wake_others(op->s, 'q', "");
	pg_op_done_job(op, STORE_OK, j);
}

/* What has not been inserted goes alone, and is told why. */
static int
submitted_many(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct many *m = (struct many *)(void *)r;
	struct op *op;
	int i, row;

	for (i = 0; i < m->n; i++) {
		op = pg_op_of(m->of[i]);
		row = result == STORE_OK ? row_of(res, op->in->id) : -1;
		if (result == STORE_AWAY) {
			op->req.unknown = r->unknown;
			pg_op_done_job(op, result, NULL);
		} else if (row == -1)
			pg_op_send(op);
		else
			submitted_fresh(op, res, row);
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

void
pg_submit_gathered(struct store *s)
{
	while (!TAILQ_EMPTY(&s->submits))
		submit_some(s);
}

void
pg_submit_turn(int fd, short events, void *arg)
{
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (s->submitting == 0 && !TAILQ_EMPTY(&s->submits))
		submit_some(s);
}

void
pg_submit(struct store *s, const struct job *job, int start, int64_t max_queue,
    store_job_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_SUBMIT, submitted, arg);
	struct pg_request *r = &op->req;
	const struct job *j;

	op->cb.job = cb;
	op->max_queue = max_queue;
	j = op->in = job_lend(job);
	if (start)
		pg_op_number_claim(op);
	pg_bind_asked(r, j);
	pg_int(r, j->not_before);
	pg_int(r, start != 0);
	pg_int(r, max_queue);
	pg_text(r, op->owner);
	pg_bind_bytes(op, j->code);
	pg_bind_bytes(op, j->input);
	pg_bind_bytes(op, j->requirements);
	pg_text(r, j->tenant);
	if (start || j->idempotency_key[0] != '\0') {
		pg_op_send(op);
		return;
	}
	TAILQ_INSERT_TAIL(&s->submits, r, entry);
	event_active(s->submit_ev, 0, 0);
}
