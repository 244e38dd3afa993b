/*
 * pg_conn.c: one connection to PostgreSQL, kept up: connecting, the pipeline
 * of requests, their deadlines, and coming back. Runs in the parent's loop.
 *
 * Each request is a prepared statement and a sync of its own, so a transaction
 * of its own; its answer is held until the sync has come, for only that tells
 * of the COMMIT. A fault that may pass (a lock, a conflict) is tried again
 * here. Any other that is not the request's own fault drops the connection:
 * what was under way is answered STORE_AWAY, and a new session is set up.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "pg_conn.h"
#include "util.h"

#define SECOND 1000000LL
/* A server that is asked and says nothing for so long is taken for gone. */
#define SILENCE_US (20 * SECOND)
/* No request is older than this. */
#define REQUEST_US (60 * SECOND)
/* Requests under way: how many, and up to which size together. */
#define DEPTH	    64
#define DEPTH_BYTES ((size_t)32 << 20)
/*
 * How often a request is sent when locks or conflicts are in its way; before
 * the n-th time it waits for n times as long at the most, by chance.
 */
#define TRIES	 6
#define AGAIN_US (SECOND / 50)
/* From one attempt to the next; a session that lasted begins anew. */
#define BACK_OFF_MIN_US	 (SECOND / 10)
#define BACK_OFF_MAX_US	 (5 * SECOND)
#define BACK_OFF_LAST_US (10 * SECOND)

enum state {
	WAITING, /* for the next attempt */
	RESOLVING,
	CONNECTING,
	SETTING_UP,
	UP
};

TAILQ_HEAD(pg_requests, pg_request);

struct pg_conn {
	struct event_base *base;
	const struct pg_hooks *hooks;
	void *arg;
	struct pg_params params;
	enum state state;
	PGconn *pg;
	struct pg_setup setup;
	struct event *in, *out; /* of the socket */
	struct event *timer;	/* the next attempt, or a look at deadlines */
	struct event *turn;	/* something is to be sent */
	struct event *again;	/* ... once more, of what stands in its way */
	struct pg_resolve *resolve;
	struct pg_requests waiting, sent, later;
	unsigned n_sent;
	size_t sent_bytes;
	int64_t heard;	  /* when the server last gave a sign */
	int64_t began;	  /* this attempt */
	int64_t back_off; /* before the next one */
	char told[256];	  /* detail that down was last told; "" while up */
};

static void drop(struct pg_conn *, const char *);

static void
in_us(struct event *ev, int64_t us)
{
	struct timeval tv = { us / SECOND, us % SECOND };

	event_arm(ev, &tv);
}

/* ---- parameters -------------------------------------------------------------
 */

void
pg_bytes(struct pg_request *r, const void *p, size_t len)
{
	if (r->n == PG_PARAMS)
		fatalx("%s: more than %d parameters", __func__, PG_PARAMS);
	r->values[r->n] = p;
	r->lengths[r->n] = (int)len;
	r->bytes += len;
	r->n++;
}

void
pg_text(struct pg_request *r, const char *text)
{
	pg_bytes(r, text, text == NULL ? 0 : strlen(text));
}

void
pg_int(struct pg_request *r, int64_t value)
{
	uint64_t be = htobe64((uint64_t)value);

	memcpy(r->ints[r->n < PG_PARAMS ? r->n : 0], &be, sizeof(be));
	pg_bytes(r, r->ints[r->n < PG_PARAMS ? r->n : 0], sizeof(be));
}

/* ---- requests ---------------------------------------------------------------
 */

enum verdict {
	DONE,
	AGAIN,	/* may pass: once more, after a moment */
	LOST,	/* the database's fault: AWAY, and another session, later */
	REFUSED /* the request's own: FAILED */
};

/*
 * What an error leads to, by its SQLSTATE or the class that it begins with;
 * the first row that fits counts, and what is in none is REFUSED. Where it
 * leads to AWAY, submits are answered 503 and all else is held. Whatever will
 * not pass by itself is an alarm: logged as an error.
 */
static const struct {
	const char *state;
	enum verdict verdict;
	int alarm;
} classes[] = {
	{ "40001", AGAIN, 0 }, /* serialization failure */
	{ "40P01", AGAIN, 0 }, /* deadlock */
	{ "55P03", AGAIN, 0 }, /* a lock was not to be had in time */
	{ "57014", LOST, 0 },  /* statement_timeout: the server is too slow */
	{ "57P01", LOST, 0 },  /* it stops, */
	{ "57P02", LOST, 0 },  /* has crashed, */
	{ "57P03", LOST, 0 },  /* or starts */
	{ "25006", LOST, 0 },  /* read-only: another server is the primary */
	{ "53100", LOST, 1 },  /* disk full */
	{ "53200", LOST, 1 },  /* out of memory */
	{ "53300", LOST, 1 },  /* too many connections */
	{ "08", LOST, 0 },     /* the connection */
	{ "53", LOST, 1 },     /* resources */
	{ "57", LOST, 0 },     /* the operator */
	{ "25", LOST, 0 },     /* the transaction's state */
	{ "40", LOST, 0 },     /* whether it committed is not known */
	{ "26", LOST, 0 },     /* a statement that the server has forgotten, */
	{ "0A", LOST, 0 },     /* or whose tables were changed */
	{ "28", LOST, 1 },     /* not let in */
	{ "3D", LOST, 1 },     /* no such database */
	{ "42", LOST, 1 },     /* rights, or a schema that is not as it was */
	{ "58", LOST, 1 },     /* system error: input, output */
};

/* What a result means; *alarm: it needs somebody. */
static enum verdict
judge(const struct pg_request *r, const PGresult *res, int *alarm)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	size_t i;

	*alarm = 0;
	switch (PQresultStatus(res)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		return (DONE);
	default:
		break;
	}
	if (state == NULL)
		return (LOST); /* libpq's own: no connection, no memory */
	if (r->once != NULL && strcmp(state, "57014") == 0)
		return (REFUSED); /* statement_timeout */
	for (i = 0; i < nitems(classes); i++)
		if (strncmp(state, classes[i].state,
			strlen(classes[i].state)) == 0) {
			*alarm = classes[i].alarm;
			return (classes[i].verdict);
		}
	return (REFUSED);
}

static void
send_again(struct pg_conn *c, struct pg_request *r)
{
	TAILQ_INSERT_TAIL(&c->later, r, entry);
	if (!event_pending(c->again, EV_TIMEOUT, NULL))
		in_us(c->again,
		    arc4random_uniform((uint32_t)(AGAIN_US * r->tries)));
}

/* Before what came meanwhile, in the order that they had. */
static void
again(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;

	(void)fd;
	(void)events;
	TAILQ_CONCAT(&c->later, &c->waiting, entry);
	TAILQ_CONCAT(&c->waiting, &c->later, entry);
	event_active(c->turn, 0, 0);
}

/* The first of the sent ones has its result and its sync. */
static void
settle(struct pg_conn *c)
{
	struct pg_request *r = TAILQ_FIRST(&c->sent);
	PGresult *res = r->res;
	enum verdict verdict;
	char detail[256];
	int alarm = 0;

	verdict = res == NULL ? LOST : judge(r, res, &alarm);
	TAILQ_REMOVE(&c->sent, r, entry);
	c->n_sent--;
	c->sent_bytes -= r->bytes;
	r->res = NULL;
	pg_words(detail, sizeof(detail), PQresultErrorMessage(res));
	if (verdict == DONE && r->answer(r, STORE_OK, res) == PG_AGAIN) {
		strlcpy(detail, "too many conflicts", sizeof(detail));
		verdict = AGAIN;
	}
	PQclear(res);
	switch (verdict) {
	case DONE:
		break;
	case AGAIN:
		if (r->tries < TRIES) {
			send_again(c, r);
			break;
		}
		/* FALLTHROUGH */
	case LOST:
		TAILQ_INSERT_HEAD(&c->waiting, r, entry);
		if (alarm)
			log_error(
			    "postgresql: %s: this needs somebody", detail);
		drop(c, detail);
		break;
	case REFUSED:
		log_warnx("postgresql: %s", detail);
		r->answer(r, STORE_FAILED, NULL);
		break;
	}
}

/* Takes what has come for the requests, as far as it is whole. */
static void
take_results(struct pg_conn *c)
{
	struct pg_request *r;
	PGresult *res;
	int nothing = 0;

	while (c->state == UP && (r = TAILQ_FIRST(&c->sent)) != NULL &&
	       !PQisBusy(c->pg)) {
		if ((res = PQgetResult(c->pg)) == NULL) {
			/* Between result and sync there is one, never two. */
			if (++nothing > 1)
				return;
			continue;
		}
		nothing = 0;
		if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			settle(c);
			continue;
		}
		PQclear(r->res);
		r->res = res;
	}
}

static void
flush(struct pg_conn *c)
{
	switch (PQflush(c->pg)) {
	case 0:
		break;
	case 1:
		event_arm(c->out, NULL);
		break;
	default:
		drop(c, PQerrorMessage(c->pg));
	}
}

static int
send_request(struct pg_conn *c, struct pg_request *r)
{
	int formats[PG_PARAMS], i;
	Oid types[PG_PARAMS];
	char name[16];

	for (i = 0; i < r->n; i++)
		formats[i] = 1;
	if (r->once != NULL) {
		pg_types(types, r->once);
		return (PQsendQueryParams(c->pg, r->once->sql, r->n, types,
			    r->values, r->lengths, formats, 1) &&
			PQpipelineSync(c->pg));
	}
	snprintf(name, sizeof(name), "s%d", r->statement);
	return (PQsendQueryPrepared(
		    c->pg, name, r->n, r->values, r->lengths, formats, 1) &&
		PQpipelineSync(c->pg));
}

static void
fail_all(struct pg_requests *list, int unknown)
{
	struct pg_request *r;

	while ((r = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, r, entry);
		PQclear(r->res);
		r->res = NULL;
		r->unknown = unknown;
		r->answer(r, STORE_AWAY, NULL);
	}
}

static void
turn(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;
	struct pg_requests list = TAILQ_HEAD_INITIALIZER(list);
	struct pg_request *r;

	(void)fd;
	(void)events;
	if (c->state != UP) {
		/* What the answers ask for waits for the next turn. */
		TAILQ_CONCAT(&list, &c->later, entry);
		TAILQ_CONCAT(&list, &c->waiting, entry);
		fail_all(&list, 0);
		return;
	}
	while ((r = TAILQ_FIRST(&c->waiting)) != NULL && c->n_sent < DEPTH &&
	       (c->n_sent == 0 || c->sent_bytes + r->bytes <= DEPTH_BYTES)) {
		TAILQ_REMOVE(&c->waiting, r, entry);
		/* Silence counts from when there was something to say. */
		if (c->n_sent == 0)
			c->heard = time_mono_us();
		TAILQ_INSERT_TAIL(&c->sent, r, entry);
		c->n_sent++;
		c->sent_bytes += r->bytes;
		r->tries++;
		if (!send_request(c, r)) {
			drop(c, PQerrorMessage(c->pg));
			return;
		}
	}
	if (!event_pending(c->timer, EV_TIMEOUT, NULL))
		in_us(c->timer, SECOND);
	flush(c);
}

void
pg_send(struct pg_conn *c, struct pg_request *r)
{
	r->since = time_mono_us();
	TAILQ_INSERT_TAIL(&c->waiting, r, entry);
	event_active(c->turn, 0, 0);
}

int
pg_conn_behind(const struct pg_conn *c, int n)
{
	const struct pg_request *r;

	TAILQ_FOREACH (r, &c->waiting, entry)
		if (n-- == 0)
			return (1);
	return (0);
}

/* ---- the socket -------------------------------------------------------------
 */

/* Takes what has come for the steps of the set-up. */
static void
set_up(struct pg_conn *c)
{
	char detail[512];
	PGresult *res;
	int done = 0;

	while (done == 0 && !PQisBusy(c->pg)) {
		res = PQgetResult(c->pg);
		done = pg_setup_take(
		    &c->setup, c->pg, res, detail, sizeof(detail));
		PQclear(res);
	}
	if (done == -1)
		drop(c, detail);
	if (done != 1)
		return;
	c->state = UP;
	c->told[0] = '\0';
	event_del(c->timer);
	c->hooks->up(c->arg);
}

static void
take_notifies(struct pg_conn *c)
{
	PGnotify *n;

	while (c->state == UP && (n = PQnotifies(c->pg)) != NULL) {
		if (n->be_pid != PQbackendPID(c->pg))
			c->hooks->notified(n->extra, c->arg);
		PQfreemem(n);
	}
}

static void
readable(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;
	PGconn *pg = c->pg;
	int lost;

	(void)fd;
	(void)events;
	c->heard = time_mono_us();
	lost = !PQconsumeInput(pg);
	/* The server's last words come before the end of its stream. */
	if (c->state == SETTING_UP)
		set_up(c);
	else
		take_results(c);
	if (c->pg != pg)
		return;
	if (lost || PQstatus(pg) == CONNECTION_BAD) {
		drop(c, PQerrorMessage(pg));
		return;
	}
	take_notifies(c);
	if (!TAILQ_EMPTY(&c->waiting))
		event_active(c->turn, 0, 0);
	flush(c);
}

static void
writable(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;

	(void)fd;
	(void)events;
	c->heard = time_mono_us();
	flush(c);
}

static void
quiet(void *arg, const char *message)
{
	char words[256];

	(void)arg;
	pg_words(words, sizeof(words), message);
	log_debug("postgresql: %s", words);
}

/* ---- connecting -------------------------------------------------------------
 */

static void
unwatch(struct pg_conn *c)
{
	if (c->in != NULL)
		event_free(c->in);
	if (c->out != NULL)
		event_free(c->out);
	c->in = c->out = NULL;
}

static void
connected(struct pg_conn *c)
{
	int fd = PQsocket(c->pg);

	c->in = event_new(c->base, fd, EV_READ | EV_PERSIST, readable, c);
	c->out = event_new(c->base, fd, EV_WRITE, writable, c);
	if (c->in == NULL || c->out == NULL)
		fatal(NULL);
	event_arm(c->in, NULL);
	PQsetnonblocking(c->pg, 1);
	c->state = SETTING_UP;
	c->heard = time_mono_us();
	in_us(c->timer, SECOND);
	if (pg_setup_begin(&c->setup, c->pg) == -1)
		drop(c, PQerrorMessage(c->pg));
	else
		flush(c);
}

static void poll_connect(int, short, void *);

/* libpq may have gone on to another address: another socket each time. */
static void
watch(struct pg_conn *c, short what)
{
	c->in = event_new(c->base, PQsocket(c->pg), what, poll_connect, c);
	if (c->in == NULL)
		fatal(NULL);
	event_arm(c->in, NULL);
}

static void
poll_connect(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;

	(void)fd;
	(void)events;
	unwatch(c);
	switch (PQconnectPoll(c->pg)) {
	case PGRES_POLLING_READING:
		watch(c, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch(c, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		connected(c);
		break;
	default:
		drop(c, PQerrorMessage(c->pg));
	}
}

static void
connect_to(struct pg_conn *c)
{
	c->state = CONNECTING;
	in_us(c->timer, c->params.connect_us);
	c->pg = PQconnectStartParams((const char *const *)c->params.names,
	    (const char *const *)c->params.values, 0);
	if (c->pg == NULL)
		drop(c, "no memory");
	else if (PQstatus(c->pg) == CONNECTION_BAD)
		drop(c, PQerrorMessage(c->pg));
	else {
		PQsetNoticeProcessor(c->pg, quiet, NULL);
		watch(c, EV_WRITE);
	}
}

static void
resolved(char *const list[3], const char *error, void *arg)
{
	struct pg_conn *c = arg;

	if (list == NULL) {
		drop(c, error);
		return;
	}
	pg_params_resolved(&c->params, list);
	pg_resolve_drop(c->resolve);
	c->resolve = NULL;
	connect_to(c);
}

/* Names are looked up each time: a failover may have changed what they mean. */
static void
attempt(struct pg_conn *c)
{
	c->began = time_mono_us();
	if (c->params.hosts == NULL) {
		connect_to(c);
		return;
	}
	c->state = RESOLVING;
	in_us(c->timer, c->params.connect_us);
	c->resolve = pg_resolve_start(
	    c->base, c->params.hosts, c->params.ports, resolved, c);
	if (c->resolve == NULL)
		drop(c, "no process to look up the server");
}

/* Half of the wait is by chance: takods do not come back all at once. */
static void
attempt_later(struct pg_conn *c)
{
	if (time_mono_us() - c->began > BACK_OFF_LAST_US)
		c->back_off = BACK_OFF_MIN_US;
	in_us(c->timer,
	    c->back_off / 2 + arc4random_uniform((uint32_t)(c->back_off / 2)));
	c->back_off *= 2;
	if (c->back_off > BACK_OFF_MAX_US)
		c->back_off = BACK_OFF_MAX_US;
}

/* Ends the session or the attempt; the next one is made after a while. */
static void
drop(struct pg_conn *c, const char *why)
{
	struct pg_requests sent = TAILQ_HEAD_INITIALIZER(sent);
	struct pg_requests waiting = TAILQ_HEAD_INITIALIZER(waiting);
	char detail[256];

	pg_words(detail, sizeof(detail), why);
	if (detail[0] == '\0')
		strlcpy(detail, "the connection broke", sizeof(detail));
	unwatch(c);
	pg_resolve_drop(c->resolve);
	c->resolve = NULL;
	PQfinish(c->pg); /* does not wait: the connection is non-blocking */
	c->pg = NULL;
	c->state = WAITING;
	event_del(c->again);
	TAILQ_CONCAT(&sent, &c->sent, entry);
	TAILQ_CONCAT(&waiting, &c->later, entry);
	TAILQ_CONCAT(&waiting, &c->waiting, entry);
	c->n_sent = 0;
	c->sent_bytes = 0;
	attempt_later(c);
	if (strcmp(detail, c->told) != 0) {
		strlcpy(c->told, detail, sizeof(c->told));
		log_warnx("postgresql: %s", detail);
		c->hooks->down(detail, c->arg);
	}
	fail_all(&sent, 1);
	fail_all(&waiting, 0);
}

/* Why the session cannot go on waiting, or NULL. */
static const char *
overdue(struct pg_conn *c)
{
	int64_t now = time_mono_us();
	struct pg_request *r = TAILQ_FIRST(&c->sent);

	if (c->state == RESOLVING)
		return ("the name server does not answer");
	if (c->state == CONNECTING)
		return ("no connection in time");
	if (((c->state == SETTING_UP && !pg_setup_migrates(&c->setup)) ||
		r != NULL) &&
	    now - c->heard > SILENCE_US)
		return ("the server does not answer");
	if (r != NULL && now - r->since > REQUEST_US)
		return ("the server is too slow");
	r = TAILQ_FIRST(&c->waiting);
	if (r != NULL && now - r->since > REQUEST_US)
		return ("the server is too slow");
	return (NULL);
}

static void
tick(int fd, short events, void *arg)
{
	struct pg_conn *c = arg;
	const char *why;

	(void)fd;
	(void)events;
	if (c->state == WAITING)
		attempt(c);
	else if ((why = overdue(c)) != NULL)
		drop(c, why);
	else if (c->state == SETTING_UP || !TAILQ_EMPTY(&c->sent) ||
		 !TAILQ_EMPTY(&c->waiting))
		in_us(c->timer, SECOND);
}

/* ---- open and close ---------------------------------------------------------
 */

void
pg_conn_close(struct pg_conn *c)
{
	unwatch(c);
	pg_resolve_drop(c->resolve);
	PQfinish(c->pg);
	c->pg = NULL;
	c->state = WAITING;
	fail_all(&c->sent, 1);
	fail_all(&c->later, 0);
	fail_all(&c->waiting, 0);
	event_free(c->again);
	event_free(c->timer);
	event_free(c->turn);
	pg_params_free(&c->params);
	free(c);
}

struct pg_conn *
pg_conn_open(struct event_base *base, const char *url, const char *node,
    const char *life, int64_t lease_us, const struct pg_statement *statements,
    int n_statements, const struct pg_hooks *hooks, void *arg, char *detail,
    size_t len)
{
	struct pg_conn *c = xcalloc(1, sizeof(*c));
	char name[32];

	/* All sessions of this process have one name, no other's. */
	snprintf(name, sizeof(name), "takod-%s", life);
	if (pg_params_read(&c->params, url, name) == -1) {
		strlcpy(detail,
		    "is not a URL of PostgreSQL, or it or PGSERVICE names a "
		    "service of libpq: name the host instead",
		    len);
		free(c);
		return (NULL);
	}
	c->base = base;
	c->hooks = hooks;
	c->arg = arg;
	c->back_off = BACK_OFF_MIN_US;
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->sent);
	TAILQ_INIT(&c->later);
	pg_setup_init(
	    &c->setup, node, life, lease_us, statements, n_statements);
	c->timer = evtimer_new(base, tick, c);
	c->turn = event_new(base, -1, 0, turn, c);
	c->again = evtimer_new(base, again, c);
	if (c->again == NULL || c->timer == NULL || c->turn == NULL)
		fatal(NULL);
	in_us(c->timer, 0);
	return (c);
}
