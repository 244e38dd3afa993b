/*
 * store.h: where jobs are kept. Two drivers with one schema and one meaning:
 * store_sqlite.c and store_pg.c. regress/store_conformance runs both.
 *
 * Every call is asynchronous: it copies or references what it needs, returns
 * at once, and its callback comes later from the loop (never from within the
 * call), exactly once, also when the store is away (STORE_AWAY) or closed
 * (then before close returns). Jobs that a callback is given belong to the
 * callee. A write that was answered STORE_OK is durable.
 *
 * A job's states move forward only: queued -> running -> one of the terminal
 * ones; back to queued only while code_started is 0. Each move is one UPDATE
 * guarded by id, state and fence: who holds an old fence changes nothing
 * (STORE_STALE).
 */
#ifndef STORE_H
#define STORE_H

#include <event2/event.h>

#include "job.h"
#include "words.h"

struct store;

enum store_result {
	STORE_OK,
	STORE_EXISTS,	/* idempotency key and fingerprint known: that job */
	STORE_CONFLICT, /* key known with another fingerprint: that job */
	STORE_FULL,	/* max_queue jobs wait already */
	STORE_NOT_FOUND,
	STORE_STALE, /* the guard did not hold: nothing was changed */
	STORE_AWAY,  /* no connection, or it broke: outcome as in text */
	STORE_FAILED /* refused for good (disk full, bad data ...) */
};

/* job: the one asked for, or NULL; the callee's. */
typedef void (*store_job_cb)(enum store_result, struct job *job, void *arg);
typedef void (*store_cb)(enum store_result, void *arg);

struct store_counts {
	int64_t queued, running;
};
typedef void (*store_counts_cb)(
    enum store_result, const struct store_counts *, void *arg);
/* ids: n of them, the store's, for as long as the call takes. */
typedef char store_id[MAX_JOB_ID + 1];
typedef void (*store_ids_cb)(
    enum store_result, const store_id *ids, size_t n, void *arg);

/*
 * Which jobs a list is to find; all conditions must hold. Newest first: by
 * created_at, those of one microsecond in the order they came. A job's place
 * is one number that grows in that order.
 */
struct store_filter {
	int status;    /* enum job_status, or -1 */
	int error;     /* enum job_error, or -1 */
	int exit_code; /* of jobs that have ended, or STORE_ANY_EXIT */
	char job_type[MAX_JOB_TYPE + 1]; /* "": any */
	char parent_id[MAX_JOB_ID + 1];	 /* "": any */
	char key[MAX_IDEMPOTENCY + 1];	 /* "": any */
	char query[MAX_QUERY + 1];	 /* of words.h, well-formed; "": none */
	int64_t since,
	    until;	/* since <= created_at < until, us; until 0: now */
	int64_t after;	/* only what is listed behind that place; 0: all */
	int64_t offset; /* so many are passed over */
	int limit;	/* 0..STORE_LIST_MAX */
};
#define STORE_ANY_EXIT (-2)
#define STORE_LIST_MAX 1001

struct store_found {
	int64_t place;
	store_id id;
};
struct store_page {
	const struct store_found *items; /* the store's, as long as it takes */
	size_t n;
	/*
	 * Where looking was given up because it took too long, to be gone on
	 * from by after; 0: the page is full, or there are no more.
	 */
	int64_t next;
	int64_t unindexed; /* jobs that ended and no query finds yet */
};
typedef void (*store_page_cb)(
    enum store_result, const struct store_page *, void *arg);

/* What a get is to bring. */
enum store_want {
	WANT_STATUS = 0, /* no blobs, no artifacts */
	WANT_OUTPUT = 1, /* out, err, output, extras, artifacts */
	WANT_PAYLOAD = 2 /* code, input, requirements */
};

/* The store came up, or went away: told whenever that changes. */
typedef void (*store_state_cb)(int up, const char *detail, void *arg);
/* Something may be waiting (another node's submit): a hint, no more. */
typedef void (*store_wakeup_cb)(void *arg);

struct store_ops {
	const char *name;
	/*
	 * Opens and brings the schema up to date, then reports by state_cb;
	 * reconnects by itself with a capped, jittered back-off. owner names
	 * this takod in the rows. NULL with detail when the URL or the schema
	 * cannot work (a newer schema is refused).
	 */
	struct store *(*open)(struct event_base *, const char *url,
	    const char *owner, store_state_cb, store_wakeup_cb, void *arg,
	    char *detail, size_t);
	void (*close)(struct store *);
	/*
	 * Inserts a job. Where start is 1, it goes in as running (fence 1,
	 * attempt 1, code_started 1) instead of queued, which the caller asks
	 * only when a ready slot is in its hand and nothing waits; if rows
	 * wait all the same it goes in as queued. job is only read. Answer:
	 * the row as it stands without blobs.
	 */
	void (*submit)(struct store *, const struct job *, int start,
	    int64_t max_queue, store_job_cb, void *);
	/*
	 * Takes the oldest waiting job that is due: running, fence + 1,
	 * attempt + 1, started_at now, code_started as given. Brings the
	 * payload. STORE_NOT_FOUND: none is due.
	 */
	void (*claim)(struct store *, int code_started, store_job_cb, void *);
	/* The code is about to be handed over: code_started becomes 1. */
	void (*start)(
	    struct store *, const char *id, int64_t fence, store_cb, void *);
	/* Back to queued; refused (STALE) once code_started is 1. */
	void (*release)(struct store *, const char *id, int64_t fence,
	    int64_t not_before, store_cb, void *);
	/*
	 * Writes the end of a running job with all fields of "how it ended".
	 * STALE: somebody else ended it. AWAY: nothing is known; ask again.
	 */
	void (*finish)(struct store *, const struct job *, store_cb, void *);
	/*
	 * Cancels a waiting job: cancelled at once, job is the ended row.
	 * A running one: STORE_STALE with the row. Terminal: NOT_FOUND.
	 */
	void (*cancel)(struct store *, const char *id, store_job_cb, void *);
	/* want: WANT_ bits. queue_position: 1-based among waiting, else 0. */
	void (*get)(
	    struct store *, const char *id, int want, store_job_cb, void *);
	void (*queue_position)(struct store *, const char *id,
	    void (*cb)(enum store_result, int64_t position, void *), void *);
	/*
	 * The jobs that a filter names. However many records there are, and
	 * however few of them are meant, other calls go on meanwhile; after
	 * STORE_LIST_US it is answered with what was found so far. FAILED: the
	 * database gave the query up.
	 */
	void (*list)(
	    struct store *, const struct store_filter *, store_page_cb, void *);
	/*
	 * Makes words of jobs that have ended known to list's queries: at most
	 * max jobs, or as many as can be done in a few milliseconds. Answer:
	 * how many there were to do, of max; 0: all is done.
	 */
	void (*index)(struct store *, int max, store_counts_cb, void *);
	/*
	 * Inserts the whole record of a job that has ended, as it is. EXISTS:
	 * the id is known, and nothing was changed. CONFLICT: another job has
	 * its idempotency key.
	 */
	void (*import)(struct store *, const struct job *, store_cb, void *);
	void (*counts)(struct store *, store_counts_cb, void *);
	/*
	 * At start, before any claim: rows this owner left running. Those with
	 * code_started 0 go back to queued; the others end as failed,
	 * interrupted. n of each by the counts callback (queued, running).
	 */
	void (*recover)(struct store *, store_counts_cb, void *);
	/*
	 * Removes jobs that ended more than age_us ago, the oldest first, with
	 * all that the store has of them: payload, output, idempotency key.
	 * At most max (1..STORE_EXPIRE_MAX) of them, or as many as can be done
	 * in a few milliseconds. Answer: their ids; none: nothing is left.
	 */
	void (*expire)(
	    struct store *, int64_t age_us, int max, store_ids_cb, void *);
};

#define STORE_EXPIRE_MAX 50
/* A list that takes longer ends early. */
#define STORE_LIST_US INT64_C(4000000)

extern const struct store_ops store_sqlite, store_pg;

#endif
