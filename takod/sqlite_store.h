/*
 * sqlite_store.h: what the files of the SQLite driver share: the queue of
 * calls (store_sqlite.c), statements (sqlite_statements.c), rows
 * (sqlite_rows.c), and what each call does within its transaction, a file for
 * each subject. All run in the parent's loop.
 */
#ifndef SQLITE_STORE_H
#define SQLITE_STORE_H

#include <sqlite3.h>
#include <sys/queue.h>

#include "store.h"

enum kind {
	JOB_CB,
	PAGE_CB,
	TEXTS_CB,
	PLAIN_CB,
	COUNTS_CB,
	POSITION_CB,
	LETTERS_CB,
	ERRORS_CB,
	TENANTS_CB,
	EXPIRED_CB,
	BLOB_CB,
	PLACES_CB,
	IDS_CB,
	BEAT_CB,
	NODES_CB
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
		store_texts_cb texts;
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
	/* arguments */
	char id[MAX_JOB_ID + 1];
	char error[65]; /* a type */
	int64_t n1, n2;
	int flag;
	char artifact_store[MAX_ARTIFACT_STORE + 1];
	struct artifact_place place;
	struct job *in; /* a copy that shares the blobs */
	struct store_pulse pulse;
	char *text;
	/* results */
	enum store_result result;
	struct job *job;
	struct sqlite_list *list; /* a list's own */
	enum again again;
	store_id *ids; /* also those that are asked about */
	size_t n_ids;
	struct store_lease *leases;
	struct store_beat beat;
	struct store_node *nodes;
	size_t n_nodes;
	struct dead_letter *letters;
	size_t n_letters;
	int64_t *errors; /* JERR_MAX of them */
	struct tenant *tenants;
	size_t n_tenants;
	struct store_expired *gone;
	size_t n_gone;
	struct blob *blob; /* put: what is written */
	struct store_texts *texts;
	struct store_words *words; /* that are written, from n1 on */
	size_t n_texts, n_words;
	struct artifact_found found[STORE_PLACES];
	size_t n_found;
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
	S_QUOTA,
	S_CLAIM_TURN,
	S_CLAIM_AGED,
	S_CLAIM,
	S_START,
	S_NOTE,
	S_RELEASE,
	S_FINISH,
	S_FINISH_OUTPUT,
	S_LETTER,
	S_ATTEMPTS,
	S_CANCEL,
	S_CANCEL_ASK,
	S_PAYLOAD,
	S_OUTPUT,
	S_POSITION,
	S_UNINDEXED,
	S_TO_INDEX,
	S_INDEXED,
	S_WORDS,
	S_INDEX,
	S_FORGET,
	S_IMPORT,
	S_RUNNING,
	S_HOLD,
	S_ABANDONED_NOTE,
	S_ABANDONED,
	S_NODE,
	S_NODES_OLD,
	S_NODES_ALIVE,
	S_NODES,
	S_ENDED,
	S_EXPIRED,
	S_EXPIRE,
	S_LETTERS,
	S_LETTER_COUNTS,
	S_LETTER_REMOVE,
	S_LETTERS_EXPIRE,
	S_WAITING,
	S_POLICY_NAMED,
	S_POLICY_REST,
	S_POLICY_GONE,
	S_TENANTS,
	S_ARTIFACTS,
	S_ARTIFACT_KNOWN,
	S_CHUNK_PUT,
	S_CHUNK_GET,
	S_CHUNK_REMOVE,
	S_CHUNK_PLACES,
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
	struct event *rest;  /* searches have rested */
	int64_t rested_at;   /* monotonic */
	int up, told;	     /* told: the first state was reported */
	int wal_pages;
	unsigned claims; /* every fourth looks at lower priorities */
	int64_t age_us;	 /* of such a turn */
	char fault[256]; /* what SQLite said last when it failed */
	TAILQ_HEAD(, store_op) queue;
	TAILQ_HEAD(, store_op) resting;
};

/* ---- sqlite_statements.c ------------------------------------------------- */

/* Prepares every statement; SQLITE_OK or the error. */
int sqlite_prepare(struct store *);
/* A statement, ready to be bound. */
sqlite3_stmt *sqlite_stmt(struct store *, enum statement);

/* ---- sqlite_rows.c: parameters from 1, columns from 0 ---------------------
 */

/* What they point to must stay until the statement was run. NULL is NULL. */
void sqlite_put_text(sqlite3_stmt *, int, const char *);
void sqlite_put_bytes(sqlite3_stmt *, int, const void *, size_t);
void sqlite_put_blob(sqlite3_stmt *, int, const struct blob *);
void sqlite_get_text(sqlite3_stmt *, int, char *dst, size_t);
/* Of any other length it leaves dst as it is. */
void sqlite_get_digest(sqlite3_stmt *, int, uint8_t dst[TAKO_SHA256]);
/* 0 for what is no name. */
int sqlite_get_enum(sqlite3_stmt *, int, int (*byname)(const char *));
/* The caller's. NULL: no memory, or NULL. */
struct blob *sqlite_get_blob(sqlite3_stmt *, int);

/* Runs one that gives no row. SQLITE_DONE, or the error. */
int sqlite_run(sqlite3_stmt *);
/* Notes and logs a fault; the STORE_ result that it is. */
enum store_result sqlite_fault(struct store *, int rc);
/* The number that a statement of one row gives. */
enum store_result sqlite_number(struct store *, sqlite3_stmt *, int64_t *);
/* OK when it changed a row, STALE when it did not. */
enum store_result sqlite_guarded(struct store *, sqlite3_stmt *);

/* The caller's job, by a statement that is bound already, or by its id. */
enum store_result sqlite_select_job(
    struct store *, sqlite3_stmt *, struct job **);
enum store_result sqlite_by_id(struct store *, const char *id, struct job **);
/* What else of a job there is; S_OUTPUT, or S_ARTIFACTS for no more. */
enum store_result sqlite_get_payload(struct store *, struct job *);
enum store_result sqlite_get_output(
    struct store *, enum statement, struct job *);
enum store_result sqlite_get_attempts(struct store *, struct job *);

/* What submit and import write alike. */
int sqlite_texts_valid(const struct job *);
void sqlite_bind_asked(sqlite3_stmt *, const struct job *);
enum store_result sqlite_put_payload(struct store *, const struct job *);

/* ---- the calls of store.h -------------------------------------------------
 */

/* sqlite_submit.c */
enum store_result call_submit(struct store *, struct store_op *);

/* sqlite_jobs.c */
enum store_result call_claim(struct store *, struct store_op *);
enum store_result call_start(struct store *, struct store_op *);
enum store_result call_release(struct store *, struct store_op *);
enum store_result call_finish(struct store *, struct store_op *);
enum store_result call_cancel(struct store *, struct store_op *);
enum store_result call_get(struct store *, struct store_op *);
enum store_result call_position(struct store *, struct store_op *);
enum store_result call_import(struct store *, struct store_op *);
enum store_result call_expire(struct store *, struct store_op *);

/* sqlite_nodes.c */
enum store_result call_counts(struct store *, struct store_op *);
enum store_result call_beat(struct store *, struct store_op *);
enum store_result call_ended(struct store *, struct store_op *);
enum store_result call_nodes(struct store *, struct store_op *);

/* sqlite_letters.c */
enum store_result call_letters(struct store *, struct store_op *);
enum store_result call_letter_counts(struct store *, struct store_op *);
enum store_result call_letter_remove(struct store *, struct store_op *);
enum store_result call_letters_expire(struct store *, struct store_op *);

/* sqlite_tenants.c */
enum store_result call_set_tenants(struct store *, struct store_op *);
enum store_result call_tenants(struct store *, struct store_op *);

/* sqlite_artifacts.c */
enum store_result call_artifact_known(struct store *, struct store_op *);
enum store_result call_chunk_put(struct store *, struct store_op *);
enum store_result call_chunk_get(struct store *, struct store_op *);
enum store_result call_chunk_remove(struct store *, struct store_op *);
enum store_result call_chunk_places(struct store *, struct store_op *);

/* ---- sqlite_find.c: lists, searches, and the words they go by ------------ */

struct sqlite_list;

enum store_result call_list(struct store *, struct store_op *);
enum store_result call_to_index(struct store *, struct store_op *);
enum store_result call_indexed(struct store *, struct store_op *);
/* The statement of a list, for its plan to be looked at. */
void sqlite_list_sql(char *, size_t, const struct store_filter *);
/* The job's words go, before its row does. */
enum store_result sqlite_forget(struct store *, const char *id);
struct sqlite_list *sqlite_list_new(const struct store_filter *);
void sqlite_list_free(struct sqlite_list *);
/* What is to be answered. */
void sqlite_list_page(const struct sqlite_list *, struct store_page *);

#endif
