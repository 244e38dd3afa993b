/*
 * sqlite_calls.h: what the two halves of the SQLite driver share: the queue of
 * calls (store_sqlite.c) and what each does within its transaction
 * (sqlite_calls.c).
 */
#ifndef SQLITE_CALLS_H
#define SQLITE_CALLS_H

#include <sqlite3.h>
#include <sys/queue.h>

#include "store.h"

enum kind {
	JOB_CB,
	JOBS_CB,
	PLAIN_CB,
	COUNTS_CB,
	POSITION_CB,
	IDS_CB,
	BEAT_CB,
	NODES_CB
};

struct store_op {
	TAILQ_ENTRY(store_op) entry;
	enum store_result (*exec)(struct store *, struct store_op *);
	int writes;
	enum kind kind;
	union {
		store_job_cb job;
		store_jobs_cb jobs;
		store_cb plain;
		store_counts_cb counts;
		store_ids_cb ids;
		store_beat_cb beat;
		store_nodes_cb nodes;
		void (*position)(enum store_result, int64_t, void *);
	} cb;
	void *arg;
	/* arguments */
	char id[MAX_JOB_ID + 1];
	char job_type[MAX_JOB_TYPE + 1];
	int64_t n1, n2;
	int flag;
	struct job *in; /* a copy that shares the blobs */
	struct store_pulse pulse;
	/* results */
	enum store_result result;
	struct job *job;
	struct job **jobs;
	size_t n_jobs;
	store_id *ids; /* also those that are asked about */
	size_t n_ids;
	struct store_lease *leases;
	struct store_beat beat;
	struct store_node *nodes;
	size_t n_nodes;
	struct store_counts counts;
	int64_t position;
};

enum statement {
	S_BEGIN,
	S_COMMIT,
	S_ROLLBACK,
	S_SAVEPOINT,
	S_UNDO,
	S_KEEP,
	S_PROBE,
	S_INSERT,
	S_INSERT_PAYLOAD,
	S_BY_ID,
	S_BY_KEY,
	S_QUEUED,
	S_CLAIM_FIND,
	S_CLAIM,
	S_START,
	S_RELEASE,
	S_FINISH,
	S_FINISH_OUTPUT,
	S_CANCEL,
	S_CANCEL_ASK,
	S_PAYLOAD,
	S_OUTPUT,
	S_POSITION,
	S_LIST,
	S_LIST_STATUS,
	S_LIST_TYPE,
	S_LIST_BOTH,
	S_RUNNING,
	S_HOLD,
	S_ABANDONED,
	S_NODE,
	S_NODES_OLD,
	S_NODES_ALIVE,
	S_NODES,
	S_ENDED,
	S_EXPIRED,
	S_EXPIRE,
	S_MAX
};

struct store {
	struct event_base *base;
	sqlite3 *db;
	sqlite3_stmt *stmts[S_MAX];
	char node[MAX_NODE + 1];
	char instance[17];
	char life[MAX_NODE + 18];  /* <node>#<of this opening> */
	char owner[MAX_NODE + 20]; /* of what it claims */
	int64_t lease_us;
	store_state_cb state_cb;
	void *arg;
	struct event *turn;  /* something waits */
	struct event *retry; /* a look whether the file can be written */
	struct event *idle;  /* the WAL is copied back */
	int up, told;	     /* told: the first state was reported */
	int wal_pages;
	char fault[256]; /* what SQLite said last when it failed */
	TAILQ_HEAD(, store_op) queue;
};

/* Prepares every statement; SQLITE_OK or the error. */
int sqlite_prepare(struct store *);
/* A statement, ready to be bound. */
sqlite3_stmt *sqlite_stmt(struct store *, enum statement);
/* Runs one that gives no row. SQLITE_DONE, or the error. */
int sqlite_run(sqlite3_stmt *);
/* Notes and logs a fault; the STORE_ result that it is. */
enum store_result sqlite_fault(struct store *, int rc);

enum store_result call_submit(struct store *, struct store_op *);
enum store_result call_claim(struct store *, struct store_op *);
enum store_result call_start(struct store *, struct store_op *);
enum store_result call_release(struct store *, struct store_op *);
enum store_result call_finish(struct store *, struct store_op *);
enum store_result call_cancel(struct store *, struct store_op *);
enum store_result call_get(struct store *, struct store_op *);
enum store_result call_position(struct store *, struct store_op *);
enum store_result call_list(struct store *, struct store_op *);
enum store_result call_counts(struct store *, struct store_op *);
enum store_result call_beat(struct store *, struct store_op *);
enum store_result call_ended(struct store *, struct store_op *);
enum store_result call_nodes(struct store *, struct store_op *);
enum store_result call_expire(struct store *, struct store_op *);

#endif
