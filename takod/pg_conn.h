/*
 * pg_conn.h: one connection to PostgreSQL, kept up: what store_pg.c sends its
 * statements through. Nothing in it blocks the loop.
 *
 * Requests are answered in the order they were sent, each exactly once, from
 * the loop. Whenever one is answered STORE_AWAY, the connection was dropped:
 * down is told, and up again once there is another.
 */
#ifndef PG_CONN_H
#define PG_CONN_H

#include <libpq-fe.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "store.h"

#define PG_PARAMS 50
/* What an answer returns to be sent once more (a few times, then it is AWAY) */
#define PG_AGAIN 1

struct pg_conn;

/*
 * types: one letter per parameter: t text, i integer, b bytes; T, I, B: arrays
 * of them.
 */
struct pg_statement {
	const char *types, *sql;
};

struct pg_request {
	TAILQ_ENTRY(pg_request) entry;
	int statement;
	/*
	 * Not NULL: sent as it is instead, and planned for its parameters. It
	 * must stay. A time limit of the server that it meets is its own
	 * fault: STORE_FAILED.
	 */
	const struct pg_statement *once;
	/* Set by pg_text, pg_int and pg_bytes, in the statement's order. */
	int n;
	const char *values[PG_PARAMS];
	int lengths[PG_PARAMS];
	uint8_t ints[PG_PARAMS][8];
	/*
	 * STORE_OK with the result, after its COMMIT; STORE_AWAY or
	 * STORE_FAILED with NULL. Unless it returns PG_AGAIN, the request is
	 * the callee's from then on.
	 */
	int (*answer)(struct pg_request *, enum store_result, PGresult *);
	/* With STORE_AWAY: it was sent, and may have been done all the same. */
	int unknown;

	/* pg_conn.c's own */
	int tries;
	size_t bytes;
	int64_t since;
	PGresult *res;
};

struct pg_hooks {
	/* A session is ready; requests made here go before all others. */
	void (*up)(void *arg);
	/* It was lost, or could not be had: at each change of the reason. */
	void (*down)(const char *detail, void *arg);
	/* Another session's NOTIFY. */
	void (*notified)(const char *words, void *arg);
};

/*
 * url: postgresql://. node names this takod among all that use the database,
 * life this process among those of that name; a session of another life is
 * waited for, then refused. lease_us: the session's setting takod.lease_us.
 * statements and hooks must stay. NULL with detail when the URL cannot work.
 */
struct pg_conn *pg_conn_open(struct event_base *, const char *url,
    const char *node, const char *life, int64_t lease_us,
    const struct pg_statement *, int n_statements, const struct pg_hooks *,
    void *arg, char *detail, size_t);
/* Answers all that waits with STORE_AWAY. */
void pg_conn_close(struct pg_conn *);
/* What the parameters point to must stay until the answer. */
void pg_send(struct pg_conn *, struct pg_request *);
/* Do more than n requests wait to be sent? */
int pg_conn_behind(const struct pg_conn *, int n);

void pg_text(struct pg_request *, const char *); /* NULL is NULL */
void pg_int(struct pg_request *, int64_t);
void pg_bytes(struct pg_request *, const void *, size_t);
/*
 * Sets the parameters, of types as t, i, b, to arrays of those of n others.
 * What they point to is returned, to be freed after the answer.
 */
void *pg_arrays(
    struct pg_request *, const char *types, struct pg_request *const *, int n);

/* ---- pg_params.c: how to connect ---------------------------------------- */

struct pg_params {
	/* what PQconnectStartParams is given, NULL at the end */
	char **names, **values;
	int64_t connect_us;  /* until a connection has to be there */
	char *hosts, *ports; /* hosts: NULL where none has to be looked up */
	int n;		     /* from there on: what was looked up */
};

/*
 * The URL's parameters with ours, for sessions called name. -1: libpq does not
 * take the URL, or it or the environment names a service of libpq; nothing is
 * to be freed.
 */
int pg_params_read(struct pg_params *, const char *url, const char *name);
void pg_params_free(struct pg_params *);
/* Sets host, hostaddr and port to lists that were looked up. */
void pg_params_resolved(struct pg_params *, char *const list[3]);
/* Not a name that somebody would have to be asked for. */
int pg_host_known(const char *host);

/* ---- pg_resolve.c: the addresses of hosts ------------------------------- */

#define PG_RESOLVED 8192
struct pg_resolve;
/* host, hostaddr and port for libpq; or NULL, and why. */
typedef void (*pg_resolve_cb)(
    char *const list[3], const char *error, void *arg);
/*
 * Looks hosts up (comma-separated, as are ports, which may be NULL). cb comes
 * once, unless it is dropped before; drop it after that, too. NULL: no process
 * or descriptor could be had.
 */
struct pg_resolve *pg_resolve_start(struct event_base *, const char *hosts,
    const char *ports, pg_resolve_cb, void *arg);
void pg_resolve_drop(struct pg_resolve *);

/* ---- pg_setup.c: from a bare connection to a session that can be used ---- */

struct pg_setup {
	const struct pg_statement *statements;
	int n_statements;
	char session[1536]; /* the first statements of each session */
	/* of the session under way */
	int step, version;
};

void pg_setup_init(struct pg_setup *, const char *node, const char *life,
    int64_t lease_us, const struct pg_statement *, int n_statements);
/* Begins anew. 0, or -1: nothing can be sent. */
int pg_setup_begin(struct pg_setup *, PGconn *);
/*
 * Takes a result of the step under way, or NULL at its end, and sends the
 * next. 1: the session is ready, in pipeline mode; 0: more comes; -1 with
 * detail.
 */
int pg_setup_take(
    struct pg_setup *, PGconn *, PGresult *, char *detail, size_t);
/* Is the schema brought up to date? That takes as long as it takes. */
int pg_setup_migrates(const struct pg_setup *);
/* The number in pg_type of t, i, b, T, I or B. */
uint32_t pg_type(char);
/* Prepares a statement as "s<number>": 0 when it cannot be sent. */
int pg_send_prepare(PGconn *, int number, const struct pg_statement *);
/* The types of its parameters, by letter; how many there are. */
int pg_types(Oid[PG_PARAMS], const struct pg_statement *);
/* libpq's or the server's words in one line. */
void pg_words(char *dst, size_t, const char *src);

#endif
