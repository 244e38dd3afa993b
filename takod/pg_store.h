/*
 * pg_store.h: what the files of the PostgreSQL driver share: the call under
 * way (store_pg.c), rows (pg_rows.c), and the calls of store.h, a file for each
 * subject. All run in the parent's loop.
 */
#ifndef PG_STORE_H
#define PG_STORE_H

#include "pg_find.h"
#include "pg_statements.h"
#include "store.h"

#define MAX_OWNER (MAX_NODE + 1 + 16 + 1 + 16 + 1)
/* Words of a NOTIFY: it may have 8000 bytes. */
#define MAX_WAKE 4000

/* A call under way. */
struct op {
	struct pg_request req; /* first: each is the other's address */
	struct store *s;
	union {
		store_job_cb job;
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
	/* what the parameters point to */
	char id[MAX_JOB_ID + 1];
	char error[65]; /* a type */
	char owner[MAX_OWNER];
	struct job *in;		/* a copy that shares the blobs */
	struct blob *artifacts; /* or a piece of one */
	char artifact_store[MAX_ARTIFACT_STORE + 1];
	char *text;
	int64_t max_queue;
	int want;
	int running, max_workers; /* of a heartbeat */
};

struct store {
	struct pg_conn *conn;
	char node[MAX_NODE + 1];
	char instance[17];
	char life[MAX_NODE + 18]; /* <node>#<a number of this life's> */
	uint64_t claims;	  /* the number of the next claim */
	struct pg_find *find;	  /* a connection for lists and searches */
	int conn_up, find_up, up; /* up: what was told last */
	/* For the other takods, which are told in the loop's next turn. */
	int others;
	char wake[MAX_WAKE];
	struct event *wake_ev;
	int64_t age_us; /* of a turn of a lower priority */
	TAILQ_HEAD(, orphan) orphans;
	/* Those that wait while others are under way, in so many statements. */
	TAILQ_HEAD(, pg_request) submits;
	unsigned submitting;
	struct event *submit_ev;
	TAILQ_HEAD(, pg_request) refused;
	struct event *refuse_ev;
	store_state_cb state_cb;
	store_wakeup_cb wakeup_cb;
	void *arg;
};

/* ---- store_pg.c: calls, and what other takods are told ------------------- */

struct op *pg_op_new(struct store *, enum pg_call,
    int (*answer)(struct pg_request *, enum store_result, PGresult *),
    void *arg);
/* After the submits that came before. */
void pg_op_send(struct op *);
void pg_op_free(struct op *);
struct op *pg_op_of(struct pg_request *);
/* Answers FAILED, from the loop: there was no memory to ask. */
void pg_op_refuse(struct op *);
/* Gives it an owner of its own number, by which it can be put back. */
void pg_op_number_claim(struct op *);
/* Answers with the result; the op is gone then. Returns 0, as an answer does.
 */
int pg_op_done(struct op *, enum store_result);
/* The same with a job, which is given away, where the result goes with one. */
int pg_op_done_job(struct op *, enum store_result, struct job *);
/* what, id: a word of a NOTIFY. */
void pg_wake_others(struct store *, char what, const char *id);

/* ---- pg_rows.c: rows and columns from 0 -----------------------------------
 */

int64_t pg_get_int(const PGresult *, int row, int col);
void pg_get_text(const PGresult *, int row, int col, char *dst, size_t);
/* Of any other length it leaves dst as it is. */
void pg_get_digest(
    const PGresult *, int row, int col, uint8_t dst[TAKO_SHA256]);
/* 0 for what is no name. */
int pg_get_enum(
    const PGresult *, int row, int col, int (*byname)(const char *));
/* -1: no memory. NULL stays NULL. */
int pg_get_blob(const PGresult *, int row, int col, struct blob **);
/* The caller's; NULL: no memory. */
struct job *pg_get_job(const PGresult *, int row);
/* What else of a job the first row has. -1: not there, or no memory. */
int pg_get_attempts(const PGresult *, int col, struct job *);
int pg_get_payload(const PGresult *, struct job *);
int pg_get_output(const PGresult *, struct job *);

/* What is not there is NULL. */
void pg_bind_blob(struct op *, const struct blob *);
void pg_bind_bytes(struct op *, const struct blob *);
/* What was asked, with which submit and import begin alike. */
void pg_bind_asked(struct pg_request *, const struct job *);
/* As an array of texts. */
void pg_bind_ids(struct op *, const store_id *, size_t n);

/* ---- the calls of store.h -------------------------------------------------
 */

/* pg_submit.c */
void pg_submit(struct store *, const struct job *, int start, int64_t max_queue,
    store_job_cb, void *);
/* Sends those that wait: all, or in a turn of the loop some. */
void pg_submit_gathered(struct store *);
void pg_submit_turn(int, short, void *);

/* pg_jobs.c */
void pg_claim(struct store *, int code_started, store_job_cb, void *);
void pg_start(struct store *, const char *id, int64_t fence, store_cb, void *);
void pg_release(
    struct store *, const struct job *, int64_t delay_us, store_cb, void *);
void pg_finish(struct store *, const struct job *, store_cb, void *);
void pg_cancel(struct store *, const char *id, store_job_cb, void *);
void pg_get(struct store *, const char *id, int want, store_job_cb, void *);
void pg_queue_position(struct store *, const char *id, store_number_cb, void *);
void pg_import(struct store *, const struct job *, store_cb, void *);
void pg_expire(
    struct store *, int64_t age_us, int max, store_expired_cb, void *);
/* An answer: OK when a row was changed, STALE when none was. */
int pg_guarded(struct pg_request *, enum store_result, PGresult *);

/* pg_nodes.c */
void pg_counts(struct store *, store_counts_cb, void *);
void pg_beat(struct store *, const struct store_pulse *, store_beat_cb, void *);
void pg_nodes(struct store *, store_nodes_cb, void *);
void pg_ended(struct store *, const store_id *, size_t n, store_ids_cb, void *);

/* pg_artifacts.c */
void pg_artifact_known(struct store *, const char *artifact_store,
    const struct artifact_place *, store_cb, void *);
void pg_chunk_put(struct store *, const struct artifact_place *, int number,
    int chunk, struct blob *, store_cb, void *);
void pg_chunk_get(struct store *, const struct artifact_place *, int number,
    int chunk, store_blob_cb, void *);
void pg_chunk_remove(
    struct store *, const struct artifact_place *, store_cb, void *);
void pg_chunk_places(struct store *, const struct artifact_place *after,
    store_places_cb, void *);

/* pg_letters.c */
void pg_letters(struct store *, const char *error, int64_t id, int64_t limit,
    int64_t offset, store_letters_cb, void *);
void pg_letter_counts(struct store *, store_errors_cb, void *);
void pg_letter_remove(struct store *, int64_t id, store_cb, void *);
void pg_letters_expire(
    struct store *, int64_t age_us, int max, store_number_cb, void *);

/* pg_tenants.c */
void pg_set_tenants(
    struct store *, const struct tenant_policies *, store_cb, void *);
void pg_tenants(struct store *, int max, store_tenants_cb, void *);

#endif
