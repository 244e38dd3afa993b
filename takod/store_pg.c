/*
 * store_pg.c: jobs in PostgreSQL; several takods may share one database. Runs
 * in the parent's loop; pg_conn.c keeps the connection and says when a
 * statement is to be tried again.
 *
 * Each call is one statement, so one round trip and one transaction; submits
 * that come while one is under way share theirs. Where two takods may meet, a
 * row's lock decides: the loser's statement changes nothing and, where it has
 * seen what is no longer so, is sent once more. Times that are compared among
 * takods are by the database's clock. What each call asks and makes of the
 * answer is in a file for each subject (pg_store.h).
 *
 * When the connection breaks, a claim may have been done that nobody was told
 * of. So a claimed row's owner carries a number of its own claim: the next
 * session first puts back what such claims took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "pg_store.h"
#include "util.h"

/* A claim whose outcome is not known, until it is put back. */
struct orphan {
	TAILQ_ENTRY(orphan) entry;
	char owner[MAX_OWNER];
};

struct op *
pg_op_new(struct store *s, enum pg_call statement,
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

/* After the submits that came before. */
void
pg_op_send(struct op *op)
{
	pg_submit_gathered(op->s);
	pg_send(op->s->conn, &op->req);
}

void
pg_op_free(struct op *op)
{
	job_free(op->in);
	blob_unref(op->artifacts);
	free(op->text);
	free(op);
}

void
pg_op_refuse(struct op *op)
{
	TAILQ_INSERT_TAIL(&op->s->refused, &op->req, entry);
	event_active(op->s->refuse_ev, 0, 0);
}

static void
refuse_all(struct store *s, enum store_result result)
{
	struct pg_request *r;

	while ((r = TAILQ_FIRST(&s->refused)) != NULL) {
		TAILQ_REMOVE(&s->refused, r, entry);
		r->answer(r, result, NULL);
	}
}

static void
refuse_turn(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	refuse_all(arg, STORE_FAILED);
}

struct op *
pg_op_of(struct pg_request *r)
{
	return ((struct op *)(void *)r);
}

void
pg_op_number_claim(struct op *op)
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

void
pg_wake_others(struct store *s, char what, const char *id)
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
	pg_op_free(pg_op_of(r));
	return (0);
}

static void
wake_send(int fd, short events, void *arg)
{
	struct store *s = arg;
	struct op *op = pg_op_new(s, S_NOTIFY, woken, NULL);

	(void)fd;
	(void)events;
	op->text = xstrdup(s->wake);
	s->wake[0] = '\0';
	pg_text(&op->req, op->text);
	pg_op_send(op);
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

int
pg_op_done(struct op *op, enum store_result result)
{
	op->cb.plain(result, op->arg);
	pg_op_free(op);
	return (0);
}

/* Answers with a job, which is given away, where the result goes with one. */
int
pg_op_done_job(struct op *op, enum store_result result, struct job *job)
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
	pg_op_free(op);
	return (0);
}

static void
pg_list(
    struct store *s, const struct store_filter *f, store_page_cb cb, void *arg)
{
	pg_find_list(s->find, f, cb, arg);
}

static void
pg_to_index(struct store *s, int max, store_texts_cb cb, void *arg)
{
	pg_find_to_index(s->find, max, cb, arg);
}

static void
pg_indexed(struct store *s, const struct store_words *words, size_t n,
    store_cb cb, void *arg)
{
	pg_find_indexed(s->find, words, n, cb, arg);
}

/* ---- the session ------------------------------------------------------------
 */

static int
undone(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	(void)res;
	if (result == STORE_AWAY)
		remember(op->s, op->owner);
	pg_op_free(op);
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
		op = pg_op_new(s, S_UNDO, undone, NULL);
		strlcpy(op->owner, o->owner, sizeof(op->owner));
		pg_text(&op->req, op->owner);
		pg_op_send(op);
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
		pg_op_done_job(pg_op_of(r), STORE_AWAY, NULL);
	}
	refuse_all(s, STORE_AWAY);
	while ((o = TAILQ_FIRST(&s->orphans)) != NULL) {
		TAILQ_REMOVE(&s->orphans, o, entry);
		free(o);
	}
	if (s->wake_ev != NULL)
		event_free(s->wake_ev);
	if (s->submit_ev != NULL)
		event_free(s->submit_ev);
	if (s->refuse_ev != NULL)
		event_free(s->refuse_ev);
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
	TAILQ_INIT(&s->refused);
	s->state_cb = state_cb;
	s->wakeup_cb = wakeup_cb;
	s->arg = arg;
	arc4random_buf(&s->claims, sizeof(s->claims));
	strlcpy(s->node, self->node, sizeof(s->node));
	strlcpy(s->instance, self->instance, sizeof(s->instance));
	snprintf(life, sizeof(life), "%08x%08x", arc4random(), arc4random());
	snprintf(s->life, sizeof(s->life), "%s#%s", s->node, life);
	s->wake_ev = event_new(base, -1, 0, wake_send, s);
	s->submit_ev = event_new(base, -1, 0, pg_submit_turn, s);
	s->refuse_ev = event_new(base, -1, 0, refuse_turn, s);
	if (s->wake_ev == NULL || s->submit_ev == NULL || s->refuse_ev == NULL)
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

static int
pg_behind(struct store *s)
{
	const struct pg_request *r;
	int n = 0;

	TAILQ_FOREACH (r, &s->submits, entry)
		if (++n > STORE_BACKLOG)
			return (1);
	return (pg_conn_behind(s->conn, STORE_BACKLOG - n));
}

const struct store_ops store_pg = {
	.name = "postgresql",
	.shared = 1,
	.open = pg_open,
	.close = pg_close,
	.behind = pg_behind,
	.submit = pg_submit,
	.claim = pg_claim,
	.start = pg_start,
	.release = pg_release,
	.finish = pg_finish,
	.cancel = pg_cancel,
	.get = pg_get,
	.queue_position = pg_queue_position,
	.list = pg_list,
	.to_index = pg_to_index,
	.indexed = pg_indexed,
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
