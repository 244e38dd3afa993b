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
	PAGE_CB,
	PLAIN_CB,
	COUNTS_CB,
	POSITION_CB,
	IDS_CB
};

/* A call that is not done: once more, behind what waits. */
enum again {
	AGAIN_NOT,
	AGAIN_NOW,
	AGAIN_RESTED /* not before store.rested_at */
};

struct store_op {
	TAILQ_ENTRY(store_op) entry;
	enum store_result (*exec)(struct store *, struct store_op *);
	int writes;
	enum kind kind;
	union {
		store_job_cb job;
		store_page_cb page;
		store_cb plain;
		store_counts_cb counts;
		store_ids_cb ids;
		void (*position)(enum store_result, int64_t, void *);
	} cb;
	void *arg;
	/* arguments */
	char id[MAX_JOB_ID + 1];
	int64_t n1, n2;
	int flag;
	struct job *in; /* a copy that shares the blobs */
	/* results */
	enum store_result result;
	struct job *job;
	struct sqlite_list *list; /* a list's own */
	enum again again;
	store_id *ids;
	size_t n_ids;
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
	S_PAYLOAD,
	S_OUTPUT,
	S_POSITION,
	S_UNINDEXED,
	S_TO_INDEX,
	S_TO_FORGET,
	S_INDEX,
	S_INDEXED,
	S_FORGET,
	S_IMPORT,
	S_RUNNING,
	S_RECOVER_QUEUED,
	S_RECOVER_FAILED,
	S_EXPIRED,
	S_EXPIRE,
	S_MAX
};

struct store {
	struct event_base *base;
	sqlite3 *db;
	sqlite3_stmt *stmts[S_MAX];
	char owner[65];
	store_state_cb state_cb;
	void *arg;
	struct event *turn;  /* something waits */
	struct event *retry; /* a look whether the file can be written */
	struct event *idle;  /* the WAL is copied back */
	struct event *rest;  /* searches have rested */
	int64_t rested_at;   /* monotonic */
	int up, told;	     /* told: the first state was reported */
	int wal_pages;
	char fault[256]; /* what SQLite said last when it failed */
	TAILQ_HEAD(, store_op) queue;
	TAILQ_HEAD(, store_op) resting;
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
enum store_result call_import(struct store *, struct store_op *);
enum store_result call_counts(struct store *, struct store_op *);
enum store_result call_recover(struct store *, struct store_op *);
enum store_result call_expire(struct store *, struct store_op *);

/* ---- sqlite_find.c: lists, searches, and the words they go by ------------ */

struct sqlite_list;

enum store_result call_list(struct store *, struct store_op *);
enum store_result call_index(struct store *, struct store_op *);
/* The statement of a list, for its plan to be looked at. */
void sqlite_list_sql(char *, size_t, const struct store_filter *);
/* The job's words go, before its row does. */
enum store_result sqlite_forget(struct store *, const char *id);
struct sqlite_list *sqlite_list_new(const struct store_filter *);
void sqlite_list_free(struct sqlite_list *);
/* What is to be answered. */
void sqlite_list_page(const struct sqlite_list *, struct store_page *);

#endif
