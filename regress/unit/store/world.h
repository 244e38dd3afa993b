/*
 * world.h: the store under test, and one call of it at a time.
 */
#ifndef WORLD_H
#define WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>

#include "takod/job.h"
#include "takod/store.h"

/* An answer must be there by then. */
#define DEADLINE_S 20
#define QUEUE	   1000
#define MIB	   ((size_t)1 << 20)
#define TOGETHER   40

/* The driver under test and where its data are. */
struct world {
	const struct store_ops *ops;
	struct event_base *base;
	struct store *store;
	char url[1024];
	char name[64]; /* the file, or the schema */
	int up, ups, downs;
	int wakes[3]; /* by enum store_wake */
	char woken[MAX_JOB_ID + 1];
	int lease_s;
	char detail[512];
};

extern struct world w;
extern int in_call; /* an answer from within a call is a fault */

struct answer {
	int n; /* how often it was answered: once */
	enum store_result result;
	struct job *job;
	struct store_found found[STORE_LIST_MAX];
	size_t n_found;
	int64_t next, unindexed;
	struct store_counts counts;
	int64_t position;
	struct store_expired ids[STORE_EXPIRE_MAX];
	store_id ended[8];
	struct store_lease leases[8];
	struct store_beat beat;
	struct store_node nodes[4];
	size_t n_ids;
	struct dead_letter letters[10];
	size_t n_letters;
	int64_t errors[JERR_MAX];
	struct tenant tenants[20];
	size_t n_tenants;
	struct store_texts texts[8];
	size_t n_texts;
	struct blob *blob;
	struct artifact_found places[STORE_PLACES];
	size_t n_places;
};

/* Makes a call and waits for its one answer. */
#define CALL(a, call)                                                          \
	do {                                                                   \
		memset((a), 0, sizeof(*(a)));                                  \
		in_call = 1;                                                   \
		w.ops->call;                                                   \
		in_call = 0;                                                   \
		run_until(&(a)->n, 1);                                         \
		assert_int_equal((a)->n, 1);                                   \
	} while (0)

/* Runs the loop until *n is at least want. */
void run_until(const int *n, int want);

/* The answers' callbacks: arg is a struct answer. */
void on_job(enum store_result, struct job *, void *);
void on_page(enum store_result, const struct store_page *, void *);
void on_texts(enum store_result, const struct store_texts *, size_t n, void *);
void on_plain(enum store_result, void *);
void on_blob(enum store_result, struct blob *, void *);
void on_places(
    enum store_result, const struct artifact_found *, size_t n, void *);
void on_counts(enum store_result, const struct store_counts *, void *);
void on_position(enum store_result, int64_t, void *);
void on_ids(enum store_result, const struct store_expired *, size_t n, void *);
void on_ended(enum store_result, const store_id *, size_t n, void *);
void on_beat(enum store_result, const struct store_beat *, void *);
void on_nodes(enum store_result, const struct store_node *, size_t n, void *);
void on_letters(
    enum store_result, const struct dead_letter *, size_t n, void *);
void on_errors(enum store_result, const int64_t *, void *);
void on_tenants(enum store_result, const struct tenant *, size_t n, void *);
/* A store's own. */
void on_state(int up, const char *detail, void *);
void on_wakeup(enum store_wake, const char *id, void *);

enum store_result do_submit(
    const struct job *, int start, int64_t max, struct answer *);
enum store_result do_claim(int code_started, struct answer *);
enum store_result do_start(const char *id, int64_t fence);
enum store_result do_release(const char *id, int64_t fence, int64_t delay_us);
enum store_result do_finish(const struct job *);
enum store_result do_cancel(const char *id, struct answer *);
/* The job, or NULL when there is none. */
struct job *do_get(const char *id, int want);
int64_t do_position(const char *id);
/* A heartbeat of who holds one job, or none (NULL). */
void do_beat(const char *held, int64_t reap_until, struct answer *);
void do_expire(int64_t age_us, int max, struct answer *);
void assert_counts(int64_t queued, int64_t running);
/* What a heartbeat left of the jobs: how many wait again, how many ended. */
void assert_taken(const struct answer *, int again, int ended);

/* ---- jobs: each the caller's -----------------------------------------------
 */

/* One whose every field has a value of its own. */
struct job *sample(const char *key, const char *code);
/* Submits one; its id into id. */
void submit_waiting(char id[MAX_JOB_ID + 1], int64_t not_before);
void submit_typed(const char *job_type, char id[MAX_JOB_ID + 1]);
void submit_ended(const char *key, enum job_status, char id[MAX_JOB_ID + 1]);
/* Claims one that must be there. */
struct job *claim_one(void);
void end_succeeded(struct job *);
/* An end whose every field has a value of its own. */
void end_fully(struct job *);
void assert_blob(const struct blob *, const void *bytes, size_t len);
/* What submit wrote, as it was asked. */
void assert_asked(const struct job *got, const struct job *asked);
/* Nothing is known yet of how it ends. */
void assert_not_ended(const struct job *);
void assert_ended(const struct job *got, const struct job *);
/* A filter of everything; what one finds, and that it is these, newest first.
 */
struct store_filter any(int limit);
void do_list(const struct store_filter *, struct answer *);
void assert_found(
    const struct store_filter *, const char *const *ids, size_t n);
/* The words of such texts, the caller's. */
struct blob *words_of(const struct store_texts *);
/* Indexes all that has ended. */
void do_index(void);

/* ---- the store --------------------------------------------------------------
 */

/* Another takod's, which is up. */
struct store *open_as(const char *node);
void reopen(void);
int is_pg(void);
/* A statement that returns nothing, by a connection of the test's own. */
void direct(const char *format, ...);
void direct_text(const char *sql);
/* The plan of one, all lines in one text; with settings, for values. */
void pg_plan(char *plan, size_t, const char *settings, const char *types,
    const char *sql, const char *values);
int setup(void **state);
int teardown(void **state);

/* ---- cases -----------------------------------------------------------------
 */

/* A row of a table of cases: of both stores, or of PostgreSQL alone. */
#define CASE(test, driver, name)                                               \
	{                                                                      \
#test " (" name ")", test, setup, teardown,                    \
		    (void *)(uintptr_t)&driver                                 \
	}
#define PG(test)   CASE(test, store_pg, "postgresql")
#define BOTH(test) CASE(test, store_sqlite, "sqlite"), PG(test)

/* Each runs its file's cases: how many have failed. */
int submit_run(void);
int jobs_run(void);
int letters_run(void);
int find_run(void);
int nodes_run(void);
int artifacts_run(void);
int tenants_run(void);
int session_run(void);

#endif
