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
 *
 * Who claims a job holds it by a lease, which the heartbeat (beat) extends.
 * All times that are compared are by the store's clock: PostgreSQL's own, or
 * with SQLite this host's, which is then the only one.
 */
#ifndef STORE_H
#define STORE_H

#include <event2/event.h>

#include "artifact_store.h"
#include "job.h"
#include "words.h"

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
typedef void (*store_number_cb)(enum store_result, int64_t n, void *arg);
/* letters: n of them, the store's, for as long as the call takes. */
typedef void (*store_letters_cb)(
    enum store_result, const struct dead_letter *, size_t n, void *arg);
/* counts: how many of each error, the store's. */
typedef void (*store_errors_cb)(
    enum store_result, const int64_t counts[JERR_MAX], void *arg);

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

/* A record that was removed, and which store its artifacts are in, if any. */
struct store_expired {
	char id[MAX_JOB_ID + 1];
	char artifact_store[MAX_ARTIFACT_STORE + 1];
};
/* gone: n of them, the store's, for as long as the call takes. */
typedef void (*store_expired_cb)(
    enum store_result, const struct store_expired *gone, size_t n, void *arg);
/* blob: a piece of an artifact, the callee's. */
typedef void (*store_blob_cb)(enum store_result, struct blob *, void *arg);
/* found: n of them, the store's, for as long as the call takes. */
typedef void (*store_places_cb)(
    enum store_result, const struct artifact_found *found, size_t n, void *arg);

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
	char query[MAX_TERMS + 1]; /* terms of words.h, well-formed; "": none */
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
/* The texts that a job is searched by, one behind the other. */
enum store_text {
	TEXT_ERROR,
	TEXT_CODE,
	TEXT_STDERR,
	TEXT_STDERR_END, /* of one that is too long for all of it */
	TEXT_STDOUT,
	TEXT_STDOUT_END,
	STORE_TEXTS
};
struct store_texts {
	int64_t seq; /* the store's own number of the job */
	char id[MAX_JOB_ID + 1];
	struct blob *texts;
	size_t len[STORE_TEXTS];
};
typedef void (*store_texts_cb)(
    enum store_result, const struct store_texts *, size_t n, void *arg);
struct store_words {
	int64_t seq;
	struct blob *words; /* of words.h; empty: it has none */
};

/* What a get is to bring. */
enum store_want {
	WANT_STATUS = 0,   /* no blobs, no artifacts */
	WANT_OUTPUT = 1,   /* out, err, output, extras, artifacts, attempts */
	WANT_PAYLOAD = 2,  /* code, input, requirements */
	WANT_ARTIFACTS = 4 /* the artifacts alone, of the output */
};

/* How this takod is known to all that share the store; copied by open. */
struct store_self {
	const char *node; /* its former lives' jobs are its own to take up */
	const char *instance; /* names it on its host */
	int lease_s;
};

/* What a heartbeat tells of this takod. */
struct store_pulse {
	const store_id *held; /* the jobs it runs; copied */
	size_t n_held;
	int64_t uptime_us;
	int running, max_workers, draining;
	/*
	 * Jobs of others too, whose lease has run out, if the store's clock is
	 * not later than this: one that was put forward ends no lease. 0: none.
	 */
	int64_t reap_until;
};

/*
 * A job as the heartbeat has left it: JOB_RUNNING: held by this takod, and its
 * lease is extended. Else nobody held it any more, and it was taken up: it
 * waits again, or it ended.
 */
struct store_lease {
	store_id id;
	int64_t fence;
	enum job_status status;
	int cancel; /* held: somebody asks for its end */
};

struct store_beat {
	const struct store_lease *jobs;
	size_t n_jobs;
	/* Of all takods that are alive, this one included. */
	int64_t nodes, running, max_workers;
	int64_t queued;
	int64_t now; /* the store's clock */
};
/* beat: the store's, for as long as the call takes. */
typedef void (*store_beat_cb)(
    enum store_result, const struct store_beat *, void *arg);

/* A takod that shares the store, or did. */
struct store_node {
	char name[MAX_NODE + 1];
	char instance[17];
	char version[33];
	int64_t started_at, seen_at;
	int64_t silent_us; /* since it was seen */
	int running, max_workers, draining;
	int alive; /* its last heartbeat is no older than its lease */
};
/* nodes: n of them, the store's, for as long as the call takes. */
typedef void (*store_nodes_cb)(
    enum store_result, const struct store_node *nodes, size_t n, void *arg);

/* The store came up, or went away: told whenever that changes. */
typedef void (*store_state_cb)(int up, const char *detail, void *arg);
/* Another takod did something: hints, no more; some are lost. */
enum store_wake {
	WAKE_QUEUE,  /* something may be waiting */
	WAKE_ENDED,  /* the job may have ended */
	WAKE_CANCEL, /* somebody may ask for the end of the job */
};
/* id: of the job; the store's. */
typedef void (*store_wakeup_cb)(enum store_wake, const char *id, void *arg);

/* More than tako-api has clients, by default. */
#define STORE_BACKLOG 1024

struct store_ops {
	const char *name;
	int shared; /* other takods may take what this one holds */
	/*
	 * Opens and brings the schema up to date, then reports by state_cb;
	 * reconnects by itself with a capped, jittered back-off. NULL with
	 * detail when the URL or the schema cannot work (a newer schema is
	 * refused).
	 */
	struct store *(*open)(struct event_base *, const char *url,
	    const struct store_self *, store_state_cb, store_wakeup_cb,
	    void *arg, char *detail, size_t);
	void (*close)(struct store *);
	/*
	 * Do more than STORE_BACKLOG calls wait to be begun? Then who asks for
	 * more is not listened to for a while.
	 */
	int (*behind)(struct store *);
	/*
	 * Inserts a job; created_at 0 is now, by the store's clock. Where
	 * start is 1, it goes in as running (fence 1,
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
	 * payload and former attempts. STORE_NOT_FOUND: none is due.
	 */
	void (*claim)(struct store *, int code_started, store_job_cb, void *);
	/* The code is about to be handed over: code_started becomes 1. */
	void (*start)(
	    struct store *, const char *id, int64_t fence, store_cb, void *);
	/*
	 * Back to queued, to be claimed again in delay_us, and how the present
	 * attempt failed where job says so (attempt_present). Refused (STALE)
	 * once code_started is 1. Cancelled instead, where somebody has asked
	 * for its end. AWAY: nothing is known; ask again.
	 */
	void (*release)(struct store *, const struct job *, int64_t delay_us,
	    store_cb, void *);
	/*
	 * Writes the end of a running job with all fields of "how it ended",
	 * and its job_type. Where its present attempt failed, that is kept
	 * with a dead letter of it. STALE: somebody else ended it. AWAY:
	 * nothing is known; ask again.
	 */
	void (*finish)(struct store *, const struct job *, store_cb, void *);
	/*
	 * Cancels a waiting job: cancelled at once, job is the ended row.
	 * A running one: STORE_STALE with the row; who holds it is asked to
	 * end it, and it does not wait again. Terminal: NOT_FOUND.
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
	/*
	 * The jobs that a filter names. However many records there are, and
	 * however few of them are meant, other calls go on meanwhile; after
	 * STORE_LIST_US it is answered with what was found so far. FAILED: the
	 * database gave the query up.
	 */
	void (*list)(
	    struct store *, const struct store_filter *, store_page_cb, void *);
	/*
	 * Texts of jobs that have ended and whose words no query finds yet: of
	 * at most max (1..STORE_INDEX_MAX) of them, or as many as can be read
	 * in a few milliseconds; none: all is done.
	 */
	void (*to_index)(struct store *, int max, store_texts_cb, void *);
	/*
	 * Makes the words of such jobs (STORE_INDEX_MAX at most) known to
	 * list's queries; one that is gone meanwhile is passed over. One whose
	 * words the database refuses is done with too, and logged.
	 */
	void (*indexed)(struct store *, const struct store_words *, size_t n,
	    store_cb, void *);
	/*
	 * Inserts the whole record of a job that has ended, as it is. EXISTS:
	 * the id is known, and nothing was changed. CONFLICT: another job has
	 * its idempotency key.
	 */
	void (*import)(struct store *, const struct job *, store_cb, void *);
	void (*counts)(struct store *, store_counts_cb, void *);
	/*
	 * The heartbeat: extends the leases of the jobs that are named and
	 * still this takod's, writes down that it is alive, and takes up jobs
	 * that nobody holds any more: those of its own former lives and, when
	 * it is told to, all whose lease has run out. Of these, who had
	 * code_started 0 waits again; the others end as failed, interrupted,
	 * with a dead letter, or as cancelled where that was asked. Both the
	 * first are failed attempts.
	 */
	void (*beat)(
	    struct store *, const struct store_pulse *, store_beat_cb, void *);
	/* Which of those (at most STORE_ENDED_MAX) neither wait nor run? */
	void (*ended)(struct store *, const store_id *ids, size_t n,
	    store_ids_cb, void *);
	/* The takods of this store, by name. */
	void (*nodes)(struct store *, store_nodes_cb, void *);
	/*
	 * Removes jobs that ended more than age_us ago, the oldest first, with
	 * all that the store has of them: payload, output, idempotency key.
	 * At most max (1..STORE_EXPIRE_MAX) of them, or as many as can be done
	 * in a few milliseconds. Answer: which; none: nothing is left. Their
	 * artifacts are the caller's to remove.
	 */
	void (*expire)(
	    struct store *, int64_t age_us, int max, store_expired_cb, void *);
	/*
	 * Does a record name, or may one come to name, what lies in that place
	 * of that artifact store? STORE_NOT_FOUND: none ever will.
	 */
	void (*artifact_known)(struct store *, const char *artifact_store,
	    const struct artifact_place *, store_cb, void *);
	/*
	 * Artifacts in the database, for artifact_db.c: rows of their own,
	 * which no record's end takes along. number is the file's, chunk counts
	 * its pieces from 0. A put that is repeated replaces.
	 */
	void (*chunk_put)(struct store *, const struct artifact_place *,
	    int number, int chunk, struct blob *, store_cb, void *);
	void (*chunk_get)(struct store *, const struct artifact_place *,
	    int number, int chunk, store_blob_cb, void *);
	/* Some of a place; NOT_FOUND: nothing of it is left. */
	void (*chunk_remove)(
	    struct store *, const struct artifact_place *, store_cb, void *);
	/* The next places behind one, STORE_PLACES at most; none: the end. */
	void (*chunk_places)(struct store *, const struct artifact_place *,
	    store_places_cb, void *);
	/*
	 * Dead letters, newest first. error: of that type alone, "" for all;
	 * id: that one alone, 0 for all.
	 */
	void (*letters)(struct store *, const char *error, int64_t id,
	    int64_t limit, int64_t offset, store_letters_cb, void *);
	void (*letter_counts)(struct store *, store_errors_cb, void *);
	void (*letter_remove)(struct store *, int64_t id, store_cb, void *);
	/* As expire does jobs; answer: how many. */
	void (*letters_expire)(
	    struct store *, int64_t age_us, int max, store_number_cb, void *);
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

#define STORE_INDEX_MAX	  32
#define STORE_EXPIRE_MAX  50
#define STORE_ENDED_MAX	  256
#define STORE_PLACES	  16
#define STORE_TENANTS_MAX 1000
#define STORE_AGED_CLAIM  4 /* one in so many may go to those who aged */
/* A list that takes longer ends early. */
#define STORE_LIST_US INT64_C(4000000)

/* Policies as JSON, as both drivers give them to their SQL; the caller's. */
char *tenant_policies_pack(const struct tenant_policies *);

extern const struct store_ops store_sqlite, store_pg;

#endif
