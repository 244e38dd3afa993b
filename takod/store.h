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

struct store;

enum store_result {
	STORE_OK,
	STORE_EXISTS,	/* idempotency key and fingerprint known: that job */
	STORE_CONFLICT, /* key known with another fingerprint: that job */
	STORE_FULL,	/* max_queue jobs wait already */
	STORE_FILLED,	/* as many of its tenant's as may */
	STORE_SPENT,	/* its tenant's budget is used up */
	STORE_NOT_FOUND,
	STORE_STALE, /* the guard did not hold: nothing was changed */
	STORE_AWAY,  /* no connection, or it broke: outcome as in text */
	STORE_FAILED /* refused for good (disk full, bad data ...) */
};

/* job: the one asked for, or NULL; the callee's. */
typedef void (*store_job_cb)(enum store_result, struct job *job, void *arg);
/* jobs: an array of n, the callee's (free each, then the array). */
typedef void (*store_jobs_cb)(
    enum store_result, struct job **jobs, size_t n, void *arg);
typedef void (*store_cb)(enum store_result, void *arg);

struct store_counts {
	int64_t queued, running;
	int64_t tenants; /* that have jobs waiting */
};
typedef void (*store_counts_cb)(
    enum store_result, const struct store_counts *, void *arg);
/* ids: n of them, the store's, for as long as the call takes. */
typedef char store_id[MAX_JOB_ID + 1];
typedef void (*store_ids_cb)(
    enum store_result, const store_id *ids, size_t n, void *arg);

/*
 * What the configuration says of a tenant (job.tenant). 0: no such limit. The
 * cpu time of a job counts when it ends, so a budget may be overdrawn by what
 * was taken before.
 */
struct tenant_policy {
	char name[MAX_TENANT + 1]; /* "*": of all that have none of their own */
	int weight;		   /* 1 or more: its part of the turns */
	int priority;		   /* 0 or more: the highest go first */
	int64_t max_queued, max_running;
	int64_t max_jobs, max_cpu_ms; /* in a window */
};
struct tenant_policies {
	struct tenant_policy *list; /* the one of "*" among them */
	size_t n;
	int64_t window_us; /* of a budget; begins at multiples of itself */
	int64_t age_us;	   /* of the turn of a lower priority: claim */
};
struct tenant {
	struct tenant_policy policy;
	int64_t waiting, running;
	int64_t used_jobs, used_cpu_ms; /* in this window */
};
/* list: n of them, the store's, for as long as the call takes. */
typedef void (*store_tenants_cb)(
    enum store_result, const struct tenant *list, size_t n, void *arg);

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
	 * wait all the same, or its tenant may have no more running, it goes
	 * in as queued. job is only read. Answer: the row as it stands without
	 * blobs; where it is refused nothing is written, no key either.
	 */
	void (*submit)(struct store *, const struct job *, int start,
	    int64_t max_queue, store_job_cb, void *);
	/*
	 * Takes a waiting job that is due: the oldest of the tenant whose turn
	 * it is. That is one of the highest priority; among those whoever had
	 * least for its weight. Every fourth claim goes to a tenant of a lower
	 * priority that has not been served for age_us, if there is one: the
	 * one that waits longest. running, fence + 1,
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
	/*
	 * want: WANT_ bits. queue_position: the number of claims until it is
	 * taken if nothing else comes or goes, else 0.
	 */
	void (*get)(
	    struct store *, const char *id, int want, store_job_cb, void *);
	void (*queue_position)(struct store *, const char *id,
	    void (*cb)(enum store_result, int64_t position, void *), void *);
	/* Newest first, without blobs. status -1: any; job_type NULL: any. */
	void (*list)(struct store *, int status, const char *job_type,
	    int64_t limit, int64_t offset, store_jobs_cb, void *);
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
	/*
	 * From now on these policies hold, for waiting jobs too. Among takods
	 * of one database those of the last one. Tenants of which nothing is
	 * left to know are forgotten.
	 */
	void (*set_tenants)(
	    struct store *, const struct tenant_policies *, store_cb, void *);
	/* Those that have most waiting first, max (1..STORE_TENANTS_MAX). */
	void (*tenants)(struct store *, int max, store_tenants_cb, void *);
};

#define STORE_EXPIRE_MAX  50
#define STORE_TENANTS_MAX 1000
#define STORE_AGED_CLAIM  4 /* one in so many may go to those who aged */

/* Policies as JSON, as both drivers give them to their SQL; the caller's. */
char *tenant_policies_pack(const struct tenant_policies *);

extern const struct store_ops store_sqlite, store_pg;

#endif
