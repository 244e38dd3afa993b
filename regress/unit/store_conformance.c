/*
 * store_conformance.c: what store.h promises, asked of both drivers by one
 * table of cases. SQLite works on a file of its own, PostgreSQL in a schema of
 * its own of the database that TAKOD_TEST_PG names (a URL): without it that
 * half fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <libpq-fe.h>

#include <event2/event.h>

#include "log.h"
#include "takod/job.h"
#include "takod/pg_find.h"
#include "takod/sqlite_calls.h"
#include "takod/store.h"
#include "takod/store_schema.h"
#include "util.h"

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

static struct world w;
static int in_call; /* an answer from within a call is a fault */

/* ---- the loop, one call at a time -------------------------------------------
 */

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
	struct blob *blob;
	struct artifact_found places[STORE_PLACES];
	size_t n_places;
};

static void
too_late(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	*(int *)arg = 1;
	event_base_loopbreak(w.base);
}

/* Runs the loop until *n is at least want. */
static void
run_until(const int *n, int want)
{
	struct timeval tv = { DEADLINE_S, 0 };
	int late = 0;
	struct event *ev = evtimer_new(w.base, too_late, &late);

	event_add(ev, &tv);
	while (*n < want && !late)
		event_base_loop(w.base, EVLOOP_ONCE);
	event_free(ev);
	if (late)
		fail_msg("no answer within %d s; store says: %s", DEADLINE_S,
		    w.detail);
}

static void
on_job(enum store_result result, struct job *job, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->job = job;
}

static void
on_page(enum store_result result, const struct store_page *page, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(page->n <= STORE_LIST_MAX);
	a->n++;
	a->result = result;
	a->n_found = page->n;
	a->next = page->next;
	a->unindexed = page->unindexed;
	if (page->n > 0)
		memcpy(a->found, page->items, page->n * sizeof(*page->items));
}

static void
on_plain(enum store_result result, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
}

static void
on_blob(enum store_result result, struct blob *blob, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->blob = blob;
}

static void
on_places(enum store_result result, const struct artifact_found *found,
    size_t n, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= STORE_PLACES);
	a->n++;
	a->result = result;
	a->n_places = n;
	if (n > 0)
		memcpy(a->places, found, n * sizeof(*found));
}

static void
on_counts(enum store_result result, const struct store_counts *c, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->counts = *c;
}

static void
on_position(enum store_result result, int64_t position, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->position = position;
}

static void
on_ids(enum store_result result, const struct store_expired *ids, size_t n,
    void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= STORE_EXPIRE_MAX);
	a->n++;
	a->result = result;
	a->n_ids = n;
	if (n > 0)
		memcpy(a->ids, ids, n * sizeof(*ids));
}

static void
on_ended(enum store_result result, const store_id *ids, size_t n, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= nitems(a->ended));
	a->n++;
	a->result = result;
	a->n_ids = n;
	if (n > 0)
		memcpy(a->ended, ids, n * sizeof(*ids));
}

static void
on_beat(enum store_result result, const struct store_beat *b, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(b->n_jobs <= nitems(a->leases));
	a->n++;
	a->result = result;
	a->beat = *b;
	if (b->n_jobs > 0)
		memcpy(a->leases, b->jobs, b->n_jobs * sizeof(*b->jobs));
}

static void
on_nodes(enum store_result result, const struct store_node *nodes, size_t n,
    void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= nitems(a->nodes));
	a->n++;
	a->result = result;
	a->n_ids = n;
	if (n > 0)
		memcpy(a->nodes, nodes, n * sizeof(*nodes));
}

static void
on_letters(enum store_result result, const struct dead_letter *letters,
    size_t n, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= nitems(a->letters));
	a->n++;
	a->result = result;
	a->n_letters = n;
	if (n > 0)
		memcpy(a->letters, letters, n * sizeof(*letters));
}

static void
on_errors(enum store_result result, const int64_t *counts, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	memcpy(a->errors, counts, sizeof(a->errors));
}

static void
on_tenants(
    enum store_result result, const struct tenant *list, size_t n, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	assert_true(n <= nitems(a->tenants));
	a->n++;
	a->result = result;
	a->n_tenants = n;
	if (n > 0)
		memcpy(a->tenants, list, n * sizeof(*list));
}

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

static enum store_result
do_submit(const struct job *j, int start, int64_t max, struct answer *a)
{
	CALL(a, submit(w.store, j, start, max, on_job, a));
	return (a->result);
}

static enum store_result
do_claim(int code_started, struct answer *a)
{
	CALL(a, claim(w.store, code_started, on_job, a));
	return (a->result);
}

static enum store_result
do_start(const char *id, int64_t fence)
{
	struct answer a;

	CALL(&a, start(w.store, id, fence, on_plain, &a));
	return (a.result);
}

static enum store_result
do_release(const char *id, int64_t fence, int64_t delay_us)
{
	struct answer a;
	struct job j = { .fence = fence };

	strlcpy(j.id, id, sizeof(j.id));
	CALL(&a, release(w.store, &j, delay_us, on_plain, &a));
	return (a.result);
}

static enum store_result
do_finish(const struct job *j)
{
	struct answer a;

	CALL(&a, finish(w.store, j, on_plain, &a));
	return (a.result);
}

static enum store_result
do_cancel(const char *id, struct answer *a)
{
	CALL(a, cancel(w.store, id, on_job, a));
	return (a->result);
}

/* The job, or NULL when there is none. */
static struct job *
do_get(const char *id, int want)
{
	struct answer a;

	CALL(&a, get(w.store, id, want, on_job, &a));
	assert_true(a.result == STORE_OK || a.result == STORE_NOT_FOUND);
	assert_true((a.job == NULL) == (a.result == STORE_NOT_FOUND));
	return (a.job);
}

static int64_t
do_position(const char *id)
{
	struct answer a;

	CALL(&a, queue_position(w.store, id, on_position, &a));
	assert_int_equal(a.result, STORE_OK);
	return (a.position);
}

static void
assert_counts(int64_t queued, int64_t running)
{
	struct answer a;

	CALL(&a, counts(w.store, on_counts, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.counts.queued, queued);
	assert_int_equal(a.counts.running, running);
}

/* A heartbeat of who holds one job, or none (NULL). */
static void
do_beat(const char *held, int64_t reap_until, struct answer *a)
{
	store_id ids[1];
	struct store_pulse p = { .held = ids,
		.n_held = held != NULL,
		.uptime_us = 1000000,
		.running = held != NULL,
		.max_workers = 4,
		.reap_until = reap_until };

	if (held != NULL)
		strlcpy(ids[0], held, sizeof(ids[0]));
	CALL(a, beat(w.store, &p, on_beat, a));
	assert_int_equal(a->result, STORE_OK);
}

/* What a heartbeat left of the jobs: how many wait again, how many ended. */
static void
assert_taken(const struct answer *a, int again, int ended)
{
	size_t i;

	for (i = 0; i < a->beat.n_jobs; i++)
		if (a->leases[i].status == JOB_QUEUED)
			again--;
		else if (a->leases[i].status != JOB_RUNNING)
			ended--;
	assert_int_equal(again, 0);
	assert_int_equal(ended, 0);
}

static void
do_expire(int64_t age_us, int max, struct answer *a)
{
	CALL(a, expire(w.store, age_us, max, on_ids, a));
	assert_int_equal(a->result, STORE_OK);
}

/* ---- jobs -------------------------------------------------------------------
 */

/* A job whose every field has a value of its own. */
static struct job *
sample(const char *key, const char *code)
{
	struct job *j = job_new();

	assert_non_null(j);
	uuid4(j->id);
	strlcpy(j->job_type, "default", sizeof(j->job_type));
	strlcpy(j->idempotency_key, key, sizeof(j->idempotency_key));
	sha256(j->fingerprint, code, strlen(code));
	strlcpy(j->correlation_id, "c-\xc3\xa9-'\"\\;--", 64);
	strlcpy(j->client, "192.0.2.7", sizeof(j->client));
	strlcpy(j->tenant, "addr:192.0.2.7", sizeof(j->tenant));
	uuid4(j->parent_id);
	j->relationship = REL_FORK;
	sha256(j->code_hash, "code", 4);
	sha256(j->input_hash, "input", 5);
	j->code = blob_copy(code, strlen(code));
	j->input = blob_copy("{}", 2);
	j->requirements = blob_copy("", 0);
	j->code_len = strlen(code);
	j->input_len = (uint64_t)1 << 40;
	j->timeout = 31;
	j->startup_timeout = 121;
	j->created_at = time_wall_us();
	return (j);
}

/* Submits one that waits; its id into id. */
static void
submit_waiting(char id[MAX_JOB_ID + 1], int64_t not_before)
{
	struct job *j = sample("", "print(1)");
	struct answer a;

	j->not_before = not_before;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_QUEUED);
	strlcpy(id, j->id, MAX_JOB_ID + 1);
	job_free(a.job);
	job_free(j);
}

static void
submit_typed(const char *job_type, char id[MAX_JOB_ID + 1])
{
	struct job *j = sample("", "pass");
	struct answer a;

	strlcpy(j->job_type, job_type, sizeof(j->job_type));
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	strlcpy(id, j->id, MAX_JOB_ID + 1);
	job_free(a.job);
	job_free(j);
}

/* Claims one that must be there; the caller's. */
static struct job *
claim_one(void)
{
	struct answer a;

	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_non_null(a.job);
	return (a.job);
}

static void
end_succeeded(struct job *j)
{
	j->status = JOB_SUCCEEDED;
	j->ended_at = j->started_at + 1000000;
	j->exit_code = 0;
	j->phase_at_exit = PHASE_COMPLETED;
}

static void
assert_blob(const struct blob *b, const void *bytes, size_t len)
{
	assert_non_null(b);
	assert_int_equal(blob_len(b), len);
	assert_memory_equal(blob_data(b), bytes, len);
}

/* What submit wrote, as it was asked. */
static void
assert_asked(const struct job *got, const struct job *asked)
{
	assert_string_equal(got->id, asked->id);
	assert_string_equal(got->job_type, asked->job_type);
	assert_string_equal(got->idempotency_key, asked->idempotency_key);
	assert_memory_equal(got->fingerprint, asked->fingerprint, TAKO_SHA256);
	assert_string_equal(got->correlation_id, asked->correlation_id);
	assert_string_equal(got->client, asked->client);
	assert_string_equal(got->tenant, asked->tenant);
	assert_string_equal(got->parent_id, asked->parent_id);
	assert_int_equal(got->relationship, asked->relationship);
	assert_memory_equal(got->code_hash, asked->code_hash, TAKO_SHA256);
	assert_memory_equal(got->input_hash, asked->input_hash, TAKO_SHA256);
	assert_int_equal(got->code_len, asked->code_len);
	assert_int_equal(got->input_len, asked->input_len);
	assert_int_equal(got->timeout, asked->timeout);
	assert_int_equal(got->startup_timeout, asked->startup_timeout);
	assert_int_equal(got->created_at, asked->created_at);
	assert_int_equal(got->not_before, asked->not_before);
}

/* Nothing is known yet of how it ends. */
static void
assert_not_ended(const struct job *j)
{
	assert_int_equal(j->ended_at, 0);
	assert_int_equal(j->exit_code, -1);
	assert_int_equal(j->error, JERR_NONE);
	assert_int_equal(j->error_phase, PHASE_NONE);
	assert_string_equal(j->error_message, "");
	assert_int_equal(j->startup_ms, -1);
	assert_int_equal(j->dependencies_ms, -1);
	assert_int_equal(j->execution_ms, -1);
	assert_int_equal(j->total_ms, -1);
	assert_int_equal(j->phase_at_exit, PHASE_NONE);
	assert_int_equal(j->runtime, RUNTIME_NONE);
	assert_int_equal(j->out_truncated, 0);
	assert_int_equal(j->err_truncated, 0);
	assert_int_equal(j->max_rss_kb, -1);
	assert_int_equal(j->cpu_ms, -1);
	assert_int_equal(j->wall_ms, -1);
	assert_int_equal(j->oom_kills, -1);
	assert_null(j->out);
	assert_null(j->output);
	assert_int_equal(j->n_artifacts, 0);
}

/* ---- a store to ask ---------------------------------------------------------
 */

static void
on_state(int up, const char *detail, void *arg)
{
	(void)arg;
	w.up = up;
	if (up)
		w.ups++;
	else
		w.downs++;
	strlcpy(w.detail, detail, sizeof(w.detail));
}

static void
on_wakeup(enum store_wake what, const char *id, void *arg)
{
	(void)arg;
	w.wakes[what]++;
	strlcpy(w.woken, id, sizeof(w.woken));
}

static struct store *
open_as(const char *node)
{
	struct store_self self = {
		.node = node, .instance = "0123abcd", .lease_s = w.lease_s
	};
	char detail[512] = "";
	struct store *s;
	int before = w.ups;

	s = w.ops->open(w.base, w.url, &self, on_state, on_wakeup, NULL, detail,
	    sizeof(detail));
	if (s == NULL)
		fail_msg("open: %s", detail);
	assert_int_equal(w.ups, before); /* told from the loop only */
	run_until(&w.ups, before + 1);
	assert_true(w.up);
	return (s);
}

static void
reopen(void)
{
	w.ops->close(w.store);
	w.store = open_as("tako1");
}

static PGconn *pg_direct;

/* A statement that returns nothing, by a connection of the test's own. */
static void
direct(const char *format, ...)
{
	char sql[2048];
	PGresult *res;
	va_list ap;

	va_start(ap, format);
	vsnprintf(sql, sizeof(sql), format, ap);
	va_end(ap);
	res = PQexec(pg_direct, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK &&
	    PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(pg_direct));
	PQclear(res);
}

static int
is_pg(void)
{
	return (w.ops == &store_pg);
}

static int
setup(void **state)
{
	static int serial;
	const struct store_ops *ops = *state;
	const char *url = getenv("TAKOD_TEST_PG");

	memset(&w, 0, sizeof(w));
	in_call = 0;
	w.ops = ops;
	w.lease_s = 30;
	w.base = event_base_new();
	assert_non_null(w.base);
	snprintf(w.name, sizeof(w.name), "store_%d_%d", getpid(), serial++);
	if (!is_pg()) {
		snprintf(w.url, sizeof(w.url), "sqlite:////tmp/%s.db", w.name);
	} else {
		if (url == NULL)
			fail_msg("TAKOD_TEST_PG does not name a database");
		pg_direct = PQconnectdb(url);
		if (PQstatus(pg_direct) != CONNECTION_OK)
			fail_msg("%s", PQerrorMessage(pg_direct));
		direct("CREATE SCHEMA %s", w.name);
		direct("SET search_path = %s", w.name);
		snprintf(w.url, sizeof(w.url),
		    "%s%coptions=-csearch_path%%3D%s", url,
		    strchr(url, '?') == NULL ? '?' : '&', w.name);
	}
	w.store = open_as("tako1");
	return (0);
}

static int
teardown(void **state)
{
	char path[128];
	size_t i;

	(void)state;
	if (w.store != NULL)
		w.ops->close(w.store);
	event_base_free(w.base);
	if (is_pg()) {
		PQfinish(pg_direct);
		pg_direct = PQconnectdb(getenv("TAKOD_TEST_PG"));
		direct("SET client_min_messages = warning");
		direct("DROP SCHEMA %s CASCADE", w.name);
		PQfinish(pg_direct);
		return (0);
	}
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/tmp/%s.db%s", w.name,
		    i == 0   ? ""
		    : i == 1 ? "-wal"
			     : "-shm");
		unlink(path);
	}
	return (0);
}

/* ---- cases ------------------------------------------------------------------
 */

static void
t_submit_waits(void **state)
{
	struct job *j = sample("", "print(1)"), *got;
	struct answer a;

	(void)state;
	j->not_before = 12345;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_not_ended(a.job);
	assert_int_equal(a.job->status, JOB_QUEUED);
	assert_int_equal(a.job->fence, 0);
	assert_int_equal(a.job->attempt, 0);
	assert_int_equal(a.job->code_started, 0);
	assert_int_equal(a.job->started_at, 0);
	assert_null(a.job->code); /* without blobs */
	job_free(a.job);
	got = do_get(j->id, WANT_STATUS);
	assert_asked(got, j);
	assert_null(got->code);
	job_free(got);
	got = do_get(j->id, WANT_PAYLOAD);
	assert_blob(got->code, "print(1)", 8);
	assert_blob(got->input, "{}", 2);
	assert_int_equal(blob_len(got->requirements), 0);
	job_free(got);
	job_free(j);
	assert_counts(1, 0);
}

static void
t_submit_starts(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, 1);
	assert_int_equal(a.job->attempt, 1);
	assert_int_equal(a.job->code_started, 1);
	assert_in_range(
	    a.job->started_at, before - 1000, time_wall_us() + 1000);
	assert_not_ended(a.job);
	job_free(a.job);
	job_free(j);
	assert_counts(0, 1);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	/* A full queue does not keep it out: it does not wait. */
	j = sample("", "print(2)");
	assert_int_equal(do_submit(j, 1, 0, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	job_free(a.job);
	job_free(j);
}

/* Nobody overtakes one that waits. */
static void
t_submit_start_waits(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j = sample("", "print(2)");
	struct answer a;

	(void)state;
	submit_waiting(id, 0);
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_QUEUED);
	assert_int_equal(a.job->fence, 0);
	assert_int_equal(a.job->code_started, 0);
	job_free(a.job);
	assert_int_equal(do_position(j->id), 2);
	job_free(j);
	assert_counts(2, 0);
}

static void
t_submit_again(void **state)
{
	struct job *j = sample("key", "print(1)"), *got;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	/* The same id: the call is repeated. */
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_int_equal(a.job->status, JOB_QUEUED);
	job_free(a.job);
	assert_counts(1, 0);
	/* Also when the queue is full of it, and when it runs since. */
	assert_int_equal(do_submit(j, 0, 1, &a), STORE_OK);
	job_free(a.job);
	got = claim_one();
	job_free(got);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	job_free(a.job);
	job_free(j);
	assert_counts(0, 1);
}

static void
t_submit_full(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j = sample("", "print(3)"), *running;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 0, 0, &a), STORE_FULL);
	submit_waiting(id, 0);
	submit_waiting(id, 0);
	assert_int_equal(do_submit(j, 0, 2, &a), STORE_FULL);
	assert_null(a.job);
	assert_int_equal(do_submit(j, 1, 2, &a), STORE_FULL);
	assert_null(do_get(j->id, WANT_STATUS));
	assert_counts(2, 0);
	/* One that runs waits no longer. */
	running = claim_one();
	assert_int_equal(do_submit(j, 0, 2, &a), STORE_OK);
	job_free(a.job);
	job_free(running);
	job_free(j);
	assert_counts(2, 1);
}

/* So many submits at once, of which some cannot be done with the others. */
static void
t_submit_together(void **state)
{
	struct job *jobs[TOGETHER], *j;
	struct answer a[TOGETHER];
	char first[MAX_JOB_ID + 1];
	int wave, i, ok = 0, full = 0;

	(void)state;
	submit_waiting(first, 0);
	for (wave = 0; wave < 3; wave++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < TOGETHER; i++) {
			j = jobs[i] = sample("", "print(4)");
			if (i == 5) /* known already */
				strlcpy(j->id, first, sizeof(j->id));
			if (i == 7 && wave == 0) /* no text of a database */
				strlcpy(j->client, "\xff", sizeof(j->client));
			w.ops->submit(w.store, j, 0,
			    wave < 2 ? QUEUE : 2 * TOGETHER, on_job, &a[i]);
		}
		for (i = 0; i < TOGETHER; i++) {
			run_until(&a[i].n, 1);
			if (i == 7 && wave == 0)
				assert_int_equal(a[i].result, STORE_FAILED);
			else if (a[i].result == STORE_FULL)
				full++;
			else {
				assert_int_equal(a[i].result, STORE_OK);
				assert_string_equal(a[i].job->id, jobs[i]->id);
				assert_int_equal(a[i].job->status, JOB_QUEUED);
				ok += i != 5;
			}
			job_free(a[i].job);
			if (i != 5 && a[i].result == STORE_OK) {
				j = do_get(jobs[i]->id, WANT_PAYLOAD);
				assert_non_null(j);
				assert_int_equal(
				    blob_len(j->code), blob_len(jobs[i]->code));
				job_free(j);
			}
			job_free(jobs[i]);
		}
	}
	/* The third wave finds room for two: one was refused, one known. */
	assert_int_equal(ok, 2 * TOGETHER - 1);
	assert_int_equal(full, TOGETHER - 3);
	assert_counts(2 * TOGETHER, 0);
}

static void
t_idempotency(void **state)
{
	struct job *first = sample("key-\xe2\x82\xac", "print(1)");
	struct job *same = sample("key-\xe2\x82\xac", "print(1)");
	struct job *other = sample("key-\xe2\x82\xac", "print(2)");
	struct job *running;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(first, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, first->id);
	job_free(a.job);
	assert_int_equal(do_submit(same, 1, QUEUE, &a), STORE_EXISTS);
	job_free(a.job);
	assert_int_equal(do_submit(other, 0, QUEUE, &a), STORE_CONFLICT);
	assert_string_equal(a.job->id, first->id);
	job_free(a.job);
	/* Known before full. */
	assert_int_equal(do_submit(same, 0, 1, &a), STORE_EXISTS);
	job_free(a.job);
	/* Also once it has ended. */
	running = claim_one();
	end_succeeded(running);
	assert_int_equal(do_finish(running), STORE_OK);
	job_free(running);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_EXISTS);
	assert_int_equal(a.job->status, JOB_SUCCEEDED);
	job_free(a.job);
	assert_null(do_get(same->id, WANT_STATUS));
	/* No key is no key. */
	first->idempotency_key[0] = same->idempotency_key[0] = '\0';
	uuid4(first->id);
	assert_int_equal(do_submit(first, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_counts(2, 0);
	job_free(first);
	job_free(same);
	job_free(other);
}

#define PARALLEL 40

/* Many at once with one key: one job, and all get to know it. */
static void
t_idempotency_parallel(void **state)
{
	struct answer a[PARALLEL];
	struct job *j;
	int i, ok = 0, n = 0;

	(void)state;
	memset(a, 0, sizeof(a));
	for (i = 0; i < PARALLEL; i++) {
		j = sample("key", "print(1)");
		w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[i]);
		job_free(j); /* it was copied */
	}
	for (i = 0; i < PARALLEL; i++) {
		run_until(&a[i].n, 1);
		ok += a[i].result == STORE_OK;
		n += a[i].result == STORE_EXISTS;
		assert_string_equal(a[i].job->id, a[0].job->id);
	}
	assert_int_equal(ok, 1);
	assert_int_equal(n, PARALLEL - 1);
	for (i = 0; i < PARALLEL; i++) {
		assert_int_equal(a[i].n, 1);
		job_free(a[i].job);
	}
	assert_counts(1, 0);
}

static void
t_claim(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_null(a.job);
	blob_unref(j->requirements);
	j->requirements = blob_copy("[\"six\"]", 7);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_not_ended(a.job);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, 1);
	assert_int_equal(a.job->attempt, 1);
	assert_int_equal(a.job->code_started, 0);
	assert_in_range(
	    a.job->started_at, before - 1000, time_wall_us() + 1000);
	assert_blob(a.job->code, "print(1)", 8);
	assert_blob(a.job->input, "{}", 2);
	assert_blob(a.job->requirements, "[\"six\"]", 7);
	job_free(a.job);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(0, 1);
	job_free(j);
	j = sample("", "print(2)");
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_claim(1, &a), STORE_OK);
	assert_int_equal(a.job->code_started, 1);
	job_free(a.job);
	job_free(j);
}

static void
t_claim_order(void **state)
{
	char ids[6][MAX_JOB_ID + 1];
	struct job *j;
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		submit_waiting(ids[i], 0);
	for (i = 0; i < 6; i++)
		assert_int_equal(do_position(ids[i]), i + 1);
	for (i = 0; i < 3; i++) {
		j = claim_one();
		assert_string_equal(j->id, ids[i]);
		assert_int_equal(do_position(j->id), 0);
		job_free(j);
	}
	for (; i < 6; i++)
		assert_int_equal(do_position(ids[i]), i - 2);
	assert_int_equal(do_position("api-no-such-job"), 0);
}

/* One that waits for its time holds nobody up, and comes first when due. */
static void
t_not_before(void **state)
{
	char later[MAX_JOB_ID + 1], now[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(later, time_wall_us() + 3600000000LL);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	submit_waiting(now, 0);
	j = claim_one();
	assert_string_equal(j->id, now);
	assert_int_equal(do_release(j->id, j->fence, 3600000000LL), STORE_OK);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(2, 0);
	assert_int_equal(do_position(later), 1);
	assert_int_equal(do_position(now), 2);
}

static void
t_release(void **state)
{
	char id[MAX_JOB_ID + 1], second[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	submit_waiting(second, 0);
	assert_int_equal(do_release(id, 0, 0), STORE_STALE); /* it waits */
	j = claim_one();
	assert_int_equal(do_release(id, j->fence + 1, 0), STORE_STALE);
	assert_int_equal(do_release("api-none", 1, 0), STORE_STALE);
	assert_int_equal(do_release(id, j->fence, -1000000), STORE_OK);
	assert_int_equal(do_release(id, j->fence, -1000000), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_QUEUED);
	assert_true(j->not_before > time_wall_us() - 60000000);
	assert_true(j->not_before < time_wall_us());
	assert_int_equal(j->started_at, 0);
	assert_int_equal(j->fence, 1);
	job_free(j);
	/* It keeps its place; the old holder's fence opens nothing. */
	j = claim_one();
	assert_string_equal(j->id, id);
	assert_int_equal(j->fence, 2);
	assert_int_equal(j->attempt, 2);
	assert_int_equal(do_start(id, 1), STORE_STALE);
	assert_int_equal(do_release(id, 1, 0), STORE_STALE);
	/* Once the code has started there is no way back. */
	assert_int_equal(do_start(id, 2), STORE_OK);
	assert_int_equal(do_release(id, 2, 0), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_RUNNING);
	assert_int_equal(j->code_started, 1);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_string_equal(a.job->id, second);
	job_free(a.job);
}

/* ---- attempts and dead letters ---------------------------------------------
 */

static int64_t
letter_total(void)
{
	struct answer a;
	int64_t n = 0;
	size_t i;

	CALL(&a, letter_counts(w.store, on_errors, &a));
	assert_int_equal(a.result, STORE_OK);
	for (i = 0; i < nitems(a.errors); i++)
		n += a.errors[i];
	return (n);
}

static enum store_result
fail_and_release(struct job *j, const char *message)
{
	struct answer a;

	assert_int_equal(
	    attempt_note(j, time_wall_us(), JERR_DOCKER, "slot", message), 0);
	CALL(&a, release(w.store, j, 0, on_plain, &a));
	return (a.result);
}

/* Ends a claimed job with a fault that was not its own. */
static void
fail_for_good(struct job *j, enum job_error error, const char *message)
{
	j->status = JOB_FAILED;
	j->ended_at = j->started_at; /* past, also for who asks at once */
	j->error = error;
	j->error_phase = PHASE_STARTUP;
	strlcpy(j->error_message, message, sizeof(j->error_message));
	assert_int_equal(
	    attempt_note(j, j->ended_at, error, "sandbox", message), 0);
	assert_int_equal(do_finish(j), STORE_OK);
}

static void
t_attempts(void **state)
{
	static const char odd[] = "it's \"odd\"\n\\ \xc3\xa9 $1 %s";
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;
	int64_t began;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	began = j->started_at;
	assert_int_equal(j->n_attempts, 0);
	assert_int_equal(fail_and_release(j, odd), STORE_OK);
	/* Said once more, since the answer was lost: kept once. */
	assert_int_equal(fail_and_release(j, odd), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->n_attempts, 0);
	job_free(j);

	j = claim_one();
	assert_int_equal(j->attempt, 2);
	assert_int_equal(j->n_attempts, 1);
	assert_int_equal(j->attempts[0].number, 1);
	assert_int_equal(j->attempts[0].started_at, began);
	assert_true(j->attempts[0].ended_at >= began);
	assert_int_equal(j->attempts[0].error, JERR_DOCKER);
	assert_string_equal(j->attempts[0].place, "slot");
	assert_string_equal(j->attempts[0].message, odd);
	assert_null(attempt_present(j));
	assert_int_equal(letter_total(), 0);

	fail_for_good(j, JERR_SERVICE_UNAVAILABLE, "gone");
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->n_attempts, 2);
	assert_int_equal(got->attempts[1].number, 2);
	assert_int_equal(got->attempts[1].error, JERR_SERVICE_UNAVAILABLE);
	assert_string_equal(got->attempts[1].message, "gone");
	assert_ptr_equal(attempt_present(got), &got->attempts[1]);
	job_free(got);
	/* The end, said once more, leaves no second letter either. */
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(letter_total(), 1);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, id);
	assert_int_equal(a.letters[0].retry_count, 1);
	assert_int_equal(a.letters[0].error, JERR_SERVICE_UNAVAILABLE);
	assert_string_equal(a.letters[0].error_message, "gone");
	assert_int_equal(a.letters[0].created_at, j->ended_at);
	assert_string_equal(a.letters[0].client, j->client);
	assert_string_equal(a.letters[0].correlation_id, j->correlation_id);
	assert_string_equal(a.letters[0].parent_id, j->parent_id);
	assert_string_equal(a.letters[0].job_type, "default");
	assert_memory_equal(a.letters[0].code_hash, j->code_hash, TAKO_SHA256);
	assert_memory_equal(
	    a.letters[0].input_hash, j->input_hash, TAKO_SHA256);
	assert_int_equal(a.letters[0].code_len, j->code_len);
	assert_int_equal(a.letters[0].input_len, j->input_len);
	assert_int_equal(a.letters[0].timeout, 31);
	assert_int_equal(a.letters[0].startup_timeout, 121);
	assert_int_equal(a.letters[0].keyed, 0);
	job_free(j);
}

/* A job's own failure leaves neither. */
static void
t_no_letter(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	j->status = JOB_FAILED;
	j->ended_at = j->started_at + 1;
	j->exit_code = 1;
	j->error = JERR_VALUE;
	strlcpy(j->job_type, "ran-as", sizeof(j->job_type));
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->n_attempts, 0);
	assert_string_equal(got->job_type, "ran-as");
	assert_string_equal(got->job_ref, "default");
	assert_int_equal(letter_total(), 0);
	job_free(got);
	job_free(j);
}

static void
t_letters(void **state)
{
	static const enum job_error errors[] = { JERR_DOCKER, JERR_CONFIG,
		JERR_DOCKER, JERR_INTERNAL };
	char ids[nitems(errors)][MAX_JOB_ID + 1];
	struct answer a, all;
	struct job *j;
	size_t i;

	(void)state;
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_letters, 0);
	for (i = 0; i < nitems(errors); i++) {
		submit_waiting(ids[i], 0);
		j = claim_one();
		fail_for_good(j, errors[i], "x");
		job_free(j);
	}
	CALL(&all, letters(w.store, "", 0, 10, 0, on_letters, &all));
	assert_int_equal(all.n_letters, 4);
	for (i = 0; i < 4; i++) /* newest first */
		assert_string_equal(all.letters[i].job_id, ids[3 - i]);
	CALL(&a, letters(w.store, "docker_error", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 2);
	assert_string_equal(a.letters[0].job_id, ids[2]);
	CALL(&a, letters(w.store, "no_such'type", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 0);
	CALL(&a, letters(w.store, "", 0, 2, 1, on_letters, &a));
	assert_int_equal(a.n_letters, 2);
	assert_string_equal(a.letters[0].job_id, ids[2]);
	CALL(
	    &a, letters(w.store, "", all.letters[3].id, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[0]);
	CALL(&a, letter_counts(w.store, on_errors, &a));
	assert_int_equal(a.errors[JERR_DOCKER], 2);
	assert_int_equal(a.errors[JERR_CONFIG], 1);
	assert_int_equal(a.errors[JERR_INTERNAL], 1);

	CALL(&a, letter_remove(w.store, all.letters[0].id, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
	CALL(&a, letter_remove(w.store, all.letters[0].id, on_plain, &a));
	assert_int_equal(a.result, STORE_NOT_FOUND);
	assert_int_equal(letter_total(), 3);

	/* They outlive their jobs, and then grow old themselves. */
	for (i = 0;; i += a.n_ids) { /* as many at a time as it has time for */
		do_expire(0, STORE_EXPIRE_MAX, &a);
		if (a.n_ids == 0)
			break;
	}
	assert_int_equal(i, 4);
	assert_int_equal(letter_total(), 3);
	CALL(&a, letters_expire(w.store, 3600000000LL, 10, on_position, &a));
	assert_int_equal(a.position, 0);
	CALL(&a, letters_expire(w.store, 0, 2, on_position, &a));
	assert_int_equal(a.position, 2);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[2]);
}

static void
t_start(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	assert_int_equal(do_start(id, 0), STORE_STALE);
	j = claim_one();
	assert_int_equal(do_start(id, j->fence - 1), STORE_STALE);
	assert_int_equal(do_start("api-none", j->fence), STORE_STALE);
	assert_int_equal(do_start(id, j->fence), STORE_OK);
	/* Asked again, for the first answer may have been lost. */
	assert_int_equal(do_start(id, j->fence), STORE_OK);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(do_start(id, j->fence), STORE_STALE);
	job_free(j);
}

/* An end whose every field has a value of its own. */
static void
end_fully(struct job *j)
{
	static struct artifact list[2];

	j->status = JOB_FAILED;
	j->ended_at = j->started_at + 1234567;
	j->exit_code = 139;
	j->error = JERR_SEGFAULT;
	j->error_phase = PHASE_EXECUTION;
	strlcpy(j->error_message, "d\xc3\xa9j\xc3\xa0 '; DROP TABLE jobs; --",
	    sizeof(j->error_message));
	j->startup_ms = 11;
	j->dependencies_ms = 12;
	j->execution_ms = (int64_t)1 << 33;
	j->total_ms = 14;
	j->phase_at_exit = PHASE_DEPENDENCIES;
	j->runtime = RUNTIME_RUNSC;
	j->out = blob_copy("out\0\xff\xfe", 6);
	j->err = blob_copy("", 0);
	j->output = blob_copy("{\"a\": 1}", 8);
	j->extras = NULL;
	j->out_truncated = 1;
	j->err_truncated = 0;
	j->max_rss_kb = 21;
	j->cpu_ms = 22;
	j->wall_ms = 23;
	j->oom_kills = 24;
	memset(list, 0, sizeof(list));
	list[0].number = 0;
	list[0].size = (uint64_t)1 << 35;
	list[0].name_len = 3;
	memcpy(list[0].name, "\xff.x", 3);
	sha256(list[0].sha256, "x", 1);
	strlcpy(list[0].content_type, "text/plain", MAX_CONTENT_TYPE);
	list[1].number = 7;
	list[1].name_len = 1;
	list[1].name[0] = 'y';
	j->artifacts = calloc(2, sizeof(*list));
	assert_non_null(j->artifacts);
	memcpy(j->artifacts, list, sizeof(list));
	j->n_artifacts = 2;
	strlcpy(j->artifact_store, "s3", sizeof(j->artifact_store));
}

static void
assert_ended(const struct job *got, const struct job *j)
{
	assert_int_equal(got->status, j->status);
	assert_int_equal(got->started_at, j->started_at);
	assert_int_equal(got->ended_at, j->ended_at);
	assert_int_equal(got->exit_code, j->exit_code);
	assert_int_equal(got->error, j->error);
	assert_int_equal(got->error_phase, j->error_phase);
	assert_string_equal(got->error_message, j->error_message);
	assert_int_equal(got->startup_ms, j->startup_ms);
	assert_int_equal(got->dependencies_ms, j->dependencies_ms);
	assert_int_equal(got->execution_ms, j->execution_ms);
	assert_int_equal(got->total_ms, j->total_ms);
	assert_int_equal(got->phase_at_exit, j->phase_at_exit);
	assert_int_equal(got->runtime, j->runtime);
	assert_int_equal(got->out_truncated, j->out_truncated);
	assert_int_equal(got->err_truncated, j->err_truncated);
	assert_int_equal(got->max_rss_kb, j->max_rss_kb);
	assert_int_equal(got->cpu_ms, j->cpu_ms);
	assert_int_equal(got->wall_ms, j->wall_ms);
	assert_int_equal(got->oom_kills, j->oom_kills);
}

static void
t_finish(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	end_fully(j);
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(id, WANT_OUTPUT);
	assert_ended(got, j);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	assert_blob(got->err, "", 0);
	assert_blob(got->output, "{\"a\": 1}", 8);
	assert_null(got->extras);
	assert_null(got->code);
	assert_int_equal(got->n_artifacts, 2);
	assert_string_equal(got->artifact_store, j->artifact_store);
	assert_memory_equal(
	    got->artifacts, j->artifacts, 2 * sizeof(*j->artifacts));
	job_free(got);
	got = do_get(id, WANT_STATUS);
	assert_ended(got, j);
	assert_null(got->out);
	assert_int_equal(got->n_artifacts, 0);
	job_free(got);
	got = do_get(id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	assert_blob(got->code, "print(1)", 8);
	job_free(got);
	job_free(j);
	assert_counts(0, 0);
}

static void
t_finish_guards(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *old, *j, *got;

	(void)state;
	submit_waiting(id, 0);
	old = claim_one();
	end_succeeded(old);
	old->out = blob_copy("old", 3);
	assert_int_equal(do_release(id, old->fence, 0), STORE_OK);
	assert_int_equal(do_finish(old), STORE_STALE); /* it waits */
	j = claim_one();
	assert_int_equal(do_finish(old), STORE_STALE); /* another's now */
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->status, JOB_RUNNING);
	assert_null(got->out);
	job_free(got);
	end_succeeded(j);
	j->out = blob_copy("new", 3);
	assert_int_equal(do_finish(j), STORE_OK);
	/* Told again by the same holder: it is written. */
	assert_int_equal(do_finish(j), STORE_OK);
	/* Another end comes too late. */
	old->fence = j->fence;
	old->status = JOB_TIMEOUT;
	assert_int_equal(do_finish(old), STORE_STALE);
	old->status = j->status;
	old->ended_at = j->ended_at + 1;
	assert_int_equal(do_finish(old), STORE_STALE);
	got = do_get(id, WANT_OUTPUT);
	assert_ended(got, j);
	assert_blob(got->out, "new", 3);
	job_free(got);
	strlcpy(old->id, "api-none", sizeof(old->id));
	assert_int_equal(do_finish(old), STORE_STALE);
	job_free(old);
	job_free(j);
}

static void
t_cancel(void **state)
{
	char id[MAX_JOB_ID + 1];
	int64_t before = time_wall_us();
	struct answer a;
	struct job *j;

	(void)state;
	assert_int_equal(do_cancel("api-none", &a), STORE_NOT_FOUND);
	assert_null(a.job);
	submit_waiting(id, 0);
	assert_int_equal(do_cancel(id, &a), STORE_OK);
	assert_string_equal(a.job->id, id);
	assert_int_equal(a.job->status, JOB_CANCELLED);
	assert_int_equal(a.job->error, JERR_CANCELLED);
	assert_int_equal(a.job->error_phase, PHASE_STARTUP);
	assert_true(a.job->error_message[0] != '\0');
	assert_in_range(a.job->ended_at, before - 1000, time_wall_us() + 1000);
	job_free(a.job);
	assert_int_equal(do_cancel(id, &a), STORE_NOT_FOUND);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(0, 0);
	submit_waiting(id, 0);
	j = claim_one();
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	assert_string_equal(a.job->id, id);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, j->fence);
	job_free(a.job);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(do_cancel(id, &a), STORE_NOT_FOUND);
	assert_null(a.job);
	job_free(j);
}

static void
t_get(void **state)
{
	struct job *j;
	char id[MAX_JOB_ID + 1];

	(void)state;
	assert_null(do_get("api-none", WANT_OUTPUT | WANT_PAYLOAD));
	assert_null(do_get("", WANT_STATUS));
	assert_null(do_get("' OR 1=1 --", WANT_STATUS));
	/* Output of one that has not ended is nothing, not a failure. */
	submit_waiting(id, 0);
	j = do_get(id, WANT_OUTPUT);
	assert_null(j->out);
	assert_null(j->output);
	assert_int_equal(j->n_artifacts, 0);
	job_free(j);
}

static struct store_filter
any(int limit)
{
	struct store_filter f;

	memset(&f, 0, sizeof(f));
	f.status = f.error = -1;
	f.exit_code = STORE_ANY_EXIT;
	f.limit = limit;
	return (f);
}

static void
do_list(const struct store_filter *f, struct answer *a)
{
	CALL(a, list(w.store, f, on_page, a));
	assert_int_equal(a->result, STORE_OK);
	assert_int_equal(a->next, 0);
}

/* What a filter finds, newest first, against what is expected. */
static void
assert_found(const struct store_filter *f, const char *const *ids, size_t n)
{
	struct answer a;
	size_t i;

	do_list(f, &a);
	assert_int_equal(a.n_found, n);
	for (i = 0; i < n; i++) {
		assert_string_equal(a.found[i].id, ids[i]);
		if (i > 0)
			assert_true(a.found[i].place < a.found[i - 1].place);
	}
}

static void
assert_list(int status, const char *job_type, int limit, int64_t offset,
    const char *const *ids, size_t n)
{
	struct store_filter f = any(limit);

	f.status = status;
	f.offset = offset;
	if (job_type != NULL)
		strlcpy(f.job_type, job_type, sizeof(f.job_type));
	assert_found(&f, ids, n);
}

static void
t_list(void **state)
{
	char id[5][MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	assert_list(-1, NULL, 10, 0, NULL, 0);
	submit_typed("a", id[0]);
	submit_typed("b", id[1]);
	submit_typed("a", id[2]);
	submit_typed("b", id[3]);
	submit_typed("a", id[4]);
	assert_list(-1, NULL, 10, 0,
	    (const char *[]){ id[4], id[3], id[2], id[1], id[0] }, 5);
	assert_list(-1, NULL, 2, 0, (const char *[]){ id[4], id[3] }, 2);
	assert_list(-1, NULL, 2, 3, (const char *[]){ id[1], id[0] }, 2);
	assert_list(-1, NULL, 2, 5, NULL, 0);
	assert_list(-1, NULL, 2, INT64_MAX, NULL, 0);
	assert_list(-1, NULL, 0, 0, NULL, 0);
	assert_list(-1, "a", 2, 1, (const char *[]){ id[2], id[0] }, 2);
	assert_list(-1, "c", 10, 0, NULL, 0);
	j = claim_one();
	assert_int_equal(do_cancel(id[1], &a), STORE_OK);
	job_free(a.job);
	assert_list(JOB_RUNNING, NULL, 10, 0, (const char *[]){ id[0] }, 1);
	assert_list(JOB_CANCELLED, "b", 10, 0, (const char *[]){ id[1] }, 1);
	assert_list(JOB_CANCELLED, "a", 10, 0, NULL, 0);
	assert_list(JOB_QUEUED, NULL, 10, 0,
	    (const char *[]){ id[4], id[3], id[2] }, 3);
	assert_list(JOB_QUEUED, "a", 10, 1, (const char *[]){ id[2] }, 1);
	assert_list(JOB_SUCCEEDED, NULL, 10, 0, NULL, 0);
	job_free(j);
}

/* An ended job by the fields that filters know. */
static void
add_ended(char id[MAX_JOB_ID + 1], int64_t created_at, enum job_error error,
    int exit_code, const char *code, const char *out, const char *err)
{
	struct job *j = sample("", code);

	strlcpy(id, j->id, MAX_JOB_ID + 1);
	j->created_at = created_at;
	j->started_at = created_at + 1;
	j->ended_at = created_at + 2;
	j->status = error == JERR_NONE ? JOB_SUCCEEDED : JOB_FAILED;
	j->error = error;
	j->exit_code = exit_code;
	if (error != JERR_NONE)
		strlcpy(j->error_message, "KeyError: 'Apfel'",
		    sizeof(j->error_message));
	j->out = blob_copy(out, strlen(out));
	j->err = blob_copy(err, strlen(err));
	{
		struct answer a;

		CALL(&a, import(w.store, j, on_plain, &a));
		assert_int_equal(a.result, STORE_OK);
		CALL(&a, import(w.store, j, on_plain, &a));
		assert_int_equal(a.result, STORE_EXISTS);
	}
	job_free(j);
}

/* Each filter alone, some together, by time whatever order they came in. */
static void
t_filters(void **state)
{
	const int64_t day = 86400 * INT64_C(1000000), t = 20000 * day;
	char id[6][MAX_JOB_ID + 1];
	struct store_filter f;
	struct answer a;
	struct job *j;
	int i;

	(void)state;
	add_ended(id[2], t + 2 * day, JERR_KEY, 1, "c", "", "");
	add_ended(id[0], t, JERR_NONE, 0, "a", "", "");
	add_ended(id[1], t + day, JERR_SEGFAULT, 139, "b", "", "");
	add_ended(id[3], t + 3 * day, JERR_KEY, 3, "d", "", "");
	j = sample("a-key-of-it", "e");
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	strlcpy(id[4], j->id, sizeof(id[4]));
	job_free(a.job);

	f = any(10);
	assert_found(
	    &f, (const char *[]){ id[4], id[3], id[2], id[1], id[0] }, 5);
	f.error = JERR_KEY;
	assert_found(&f, (const char *[]){ id[3], id[2] }, 2);
	f.exit_code = 3;
	assert_found(&f, (const char *[]){ id[3] }, 1);
	f.status = JOB_SUCCEEDED;
	assert_found(&f, NULL, 0);
	f = any(10);
	f.error = JERR_NONE;
	assert_found(&f, (const char *[]){ id[4], id[0] }, 2);
	f = any(10);
	f.exit_code = 0;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.exit_code = -1; /* of jobs that have ended */
	assert_found(&f, NULL, 0);
	f.exit_code = 139;
	assert_found(&f, (const char *[]){ id[1] }, 1);
	f = any(10);
	f.status = JOB_FAILED;
	assert_found(&f, (const char *[]){ id[3], id[2], id[1] }, 3);
	f.since = t + day;
	f.until = t + 3 * day;
	assert_found(&f, (const char *[]){ id[2], id[1] }, 2);
	f = any(10);
	f.since = t + 1;
	f.until = t + day;
	assert_found(&f, NULL, 0);
	f = any(10);
	strlcpy(f.parent_id, j->parent_id, sizeof(f.parent_id));
	assert_found(&f, (const char *[]){ id[4] }, 1);
	f = any(10);
	strlcpy(f.key, "a-key-of-it", sizeof(f.key));
	assert_found(&f, (const char *[]){ id[4] }, 1);
	strlcpy(f.key, "a-key-of-i", sizeof(f.key));
	assert_found(&f, NULL, 0);

	/* From page to page, whatever comes meanwhile. */
	f = any(2);
	for (i = 0; i < 3; i++) {
		do_list(&f, &a);
		assert_int_equal(a.n_found, i < 2 ? 2 : 1);
		assert_string_equal(a.found[0].id, id[4 - 2 * i]);
		f.after = a.found[a.n_found - 1].place;
		submit_waiting(id[5], 0);
	}
	do_list(&f, &a);
	assert_int_equal(a.n_found, 0);
	job_free(j);
}

/* Indexes all that has ended. */
static void
do_index(void)
{
	struct answer a;

	do {
		CALL(&a, index(w.store, 3, on_counts, &a));
		assert_int_equal(a.result, STORE_OK);
		assert_true(a.counts.queued <= 3);
	} while (a.counts.queued > 0);
}

/* Which of ids a query finds, as "031": the newest first. */
static void
assert_query(const char *query, const char *want, char id[][MAX_JOB_ID + 1])
{
	struct store_filter f = any(100);
	char got[16] = "";
	struct answer a;
	size_t i;
	int k;

	strlcpy(f.query, query, sizeof(f.query));
	do_list(&f, &a);
	assert_int_equal(a.unindexed, 0);
	for (i = 0; i < a.n_found; i++) {
		for (k = 0; strcmp(id[k], a.found[i].id) != 0; k++)
			;
		got[i] = (char)('0' + k);
		got[i + 1] = '\0';
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s: found '%s', not '%s'", query, got, want);
}

/* Words, phrases, not: the same in both stores. */
static void
t_search(void **state)
{
	const int64_t t = 20000 * 86400 * INT64_C(1000000);
	char id[8][MAX_JOB_ID + 1], *big;
	struct answer a;
	struct store_filter f;
	size_t i;

	(void)state;
	/* A word of each kind stands at the ends of a text that is cut. */
	big = xmalloc(400001);
	memset(big, 'x', 400000);
	for (i = 0; i < 400000; i += 5)
		big[i] = ' ';
	memcpy(big, "anfang ", 7);
	memcpy(big + 399990, "  schluss ", 10);
	memcpy(big + 200000, " mitte ", 7);
	big[400000] = '\0';
	add_ended(id[0], t, JERR_NONE, 0, "import os.path\nread_file(\"a b\")",
	    "alpha beta", "gamma");
	add_ended(id[1], t + 1, JERR_KEY, 1, "import sys", "beta ALPHA",
	    "Traceback (most recent call last):");
	add_ended(id[2], t + 2, JERR_NONE, 0, "x = 1", big, "");
	add_ended(id[3], t + 3, JERR_NONE, 0, "x = 2",
	    "\xff\xfe\xc3\xa4pfel\xe2\x80\xa6zwei\xc3(drei", "a'b\\c:d");
	free(big);
	f = any(10);
	strlcpy(f.query, "import", sizeof(f.query));
	do_list(&f, &a);
	assert_int_equal(a.n_found, 0);
	assert_int_equal(a.unindexed, 4);
	do_index();

	assert_query("import", "10", id);
	assert_query("IMPORT alpha", "10", id);
	assert_query("alpha beta", "10", id);
	assert_query("\"alpha beta\"", "0", id);
	assert_query("\"beta alpha\"", "1", id);
	assert_query("alpha -gamma", "1", id);
	assert_query("-gamma alpha", "1", id);
	assert_query("alpha -\"alpha beta\"", "1", id);
	assert_query("os.path", "0", id);
	assert_query("path.os", "", id);
	assert_query("read_file", "0", id);
	assert_query("read", "", id);
	assert_query("\"a b\"", "30", id);
	assert_query("keyerror apfel", "1", id);
	assert_query("KeyError: 'Apfel'", "1", id);
	assert_query("\"beta gamma\"", "", id); /* of two texts */
	assert_query("anfang schluss", "2", id);
	assert_query("mitte", "", id); /* of a text that is cut */
	assert_query("\xc3\xa4pfel zwei drei", "3", id);
	assert_query("\"\xc3\xa4pfel zwei drei\"", "3", id);
	assert_query("\"a b c d\"", "3", id);
	assert_query("alpha -import", "", id);
	assert_query("nowhere", "", id);
	/* What a store's own language would take for more. */
	assert_query("alpha OR xyzzy", "", id);
	assert_query("alph*", "", id);
	assert_query("alpha NEAR beta", "", id);
	assert_query("words:alpha", "", id);
	assert_query("alpha)", "10", id);
	assert_query("'alpha' & !", "10", id);

	/* With other filters, and a page at a time. */
	f = any(1);
	strlcpy(f.query, "import", sizeof(f.query));
	do_list(&f, &a);
	assert_int_equal(a.n_found, 1);
	assert_string_equal(a.found[0].id, id[1]);
	f.after = a.found[0].place;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.after = 0;
	f.offset = 1;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.offset = 2;
	assert_found(&f, NULL, 0);
	f = any(10);
	strlcpy(f.query, "import", sizeof(f.query));
	f.error = JERR_KEY;
	assert_found(&f, (const char *[]){ id[1] }, 1);
	f.since = t + 2;
	assert_found(&f, NULL, 0);

	/* A record that goes takes its words with it; nothing else does. */
	do_expire(0, 1, &a);
	assert_string_equal(a.ids[0].id, id[0]);
	assert_query("import", "1", id);
	add_ended(id[0], t, JERR_NONE, 0, "other", "", "");
	do_index();
	assert_query("import", "1", id);
	assert_query("other", "0", id);
	do_expire(0, STORE_EXPIRE_MAX, &a);
	assert_query("alpha", "", id);
}

/* No query is a fault, whatever it has; found is what has its words. */
static void
t_search_hostile(void **state)
{
	static const char *const queries[] = { "\"", "a\"", "a \"b", "-\"",
		"' OR 1=1 --", "a & | ! <-> ()", "\\", "'\\'", "a:*", "a'':b",
		"\x01 b", "\xff", "\xff a", "NOT", "AND OR", "^a", "{a}", "a+b",
		"col:", "NEAR(a b)", "%s%n", "$9", "?1", "- a", "--", "-", "",
		" ", "*", "\"\"", "\"\" a", "-a" };
	struct store_filter f;
	struct answer a;
	char big[MAX_QUERY + 1], dst[WORDS_QUERY_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(queries); i++) {
		f = any(10);
		strlcpy(f.query, queries[i], sizeof(f.query));
		CALL(&a, list(w.store, &f, on_page, &a));
		assert_int_equal(a.n_found, 0);
		if (words_query(dst, queries[i], WORDS_FTS5) == NULL)
			assert_int_equal(a.result, STORE_OK);
		else
			assert_true(
			    a.result == STORE_OK || a.result == STORE_FAILED);
	}
	/* The longest of each kind. */
	for (i = 0; i < 3; i++) {
		memset(big, i == 0 ? 'a' : i == 1 ? '\'' : 'b', MAX_QUERY);
		for (size_t k = 7; i == 2 && k < MAX_QUERY; k += 8)
			big[k] = ' ';
		big[MAX_QUERY] = '\0';
		f = any(10);
		strlcpy(f.query, big, sizeof(f.query));
		CALL(&a, list(w.store, &f, on_page, &a));
		assert_int_equal(a.n_found, 0);
	}
	assert_int_equal(w.downs, 0);
}

/* ---- plans ------------------------------------------------------------------
 */

/* The plan of a statement of PostgreSQL, all lines in one text. */
static void
pg_plan(char *plan, size_t len, const char *sql)
{
	static const char types[] = "bigint, bigint, text, text, text, bigint,"
				    " text, text, text, bigint, bigint, bigint";
	PGconn *conn = PQconnectdb(w.url);
	PGresult *res;
	char text[8192];
	int i;

	snprintf(text, sizeof(text), "PREPARE p (%s) AS %s", types, sql);
	PQclear(PQexec(conn, PG_FIND_SETTINGS));
	res = PQexec(conn, text);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s", PQresultErrorMessage(res));
	PQclear(res);
	res = PQexec(conn,
	    "EXPLAIN EXECUTE p (9000000000000000000, 0, 'failed', 'a',"
	    " 'key_error', 139, 'p', 'k', '(''a'')', 2000, 0, 101)");
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s", PQresultErrorMessage(res));
	plan[0] = '\0';
	for (i = 0; i < PQntuples(res); i++) {
		strlcat(plan, PQgetvalue(res, i, 0), len);
		strlcat(plan, "\n", len);
	}
	PQclear(res);
	PQfinish(conn);
}

/* The same of SQLite, whose file is locked: in one of the same schema. */
static void
sqlite_plan(char *plan, size_t len, const char *sql)
{
	char text[8192];
	sqlite3_stmt *st;
	sqlite3 *db;
	int i;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (i = 0; i < SCHEMA_VERSION; i++)
		assert_int_equal(
		    sqlite3_exec(db, schema_sqlite[i], NULL, NULL, NULL),
		    SQLITE_OK);
	snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql);
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	plan[0] = '\0';
	while (sqlite3_step(st) == SQLITE_ROW) {
		strlcat(plan, (const char *)sqlite3_column_text(st, 3), len);
		strlcat(plan, "\n", len);
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void
assert_plan(
    const struct store_filter *f, enum pg_find_phase phase, const char *index)
{
	char sql[4096], plan[8192], want[64];

	if (is_pg()) {
		pg_find_sql(sql, sizeof(sql), f, phase);
		pg_plan(plan, sizeof(plan), sql);
		snprintf(want, sizeof(want), "%s%s",
		    phase == PG_FIND_ALL ? "Bitmap Index Scan on "
					 : "Scan Backward using ",
		    index);
	} else {
		sqlite_list_sql(sql, sizeof(sql), f);
		sqlite_plan(plan, sizeof(plan), sql);
		snprintf(want, sizeof(want), "USING %s", index);
		if (strstr(plan, "TEMP B-TREE") != NULL)
			fail_msg("%s", plan);
	}
	if (strstr(plan, want) == NULL || strstr(plan, "Seq Scan") != NULL)
		fail_msg("no %s in: %s", want, plan);
}

/*
 * What keeps the cost of a page the same however many records there are: an
 * index in the order of the list, no sort and no look at all of the rows.
 */
static void
t_plans(void **state)
{
	const char *prefix = is_pg() ? "" : "INDEX ";
	struct store_filter f;
	char index[64];
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		static const char *const names[] = { "jobs_place",
			"jobs_status", "jobs_type", "jobs_error", "jobs_exit",
			"jobs_parent", "jobs_status", "jobs_place" };

		f = any(101);
		if (i == 1 || i == 6)
			f.status = i == 1 ? JOB_FAILED : JOB_RUNNING;
		if (i == 2 || i == 6)
			strlcpy(f.job_type, "a", sizeof(f.job_type));
		if (i == 3)
			f.error = JERR_KEY;
		if (i == 4)
			f.exit_code = 139;
		if (i == 5)
			strlcpy(f.parent_id, "p", sizeof(f.parent_id));
		if (i == 7)
			f.exit_code = 1;
		f.since = i;
		snprintf(index, sizeof(index), "%s%s", prefix, names[i]);
		assert_plan(&f, PG_FIND_PLAIN, index);
	}
	f = any(101);
	strlcpy(f.query, "a", sizeof(f.query));
	if (is_pg()) {
		assert_plan(&f, PG_FIND_NEWEST, "search_place");
		assert_plan(&f, PG_FIND_ALL, "search_words");
	} else
		assert_plan(&f, PG_FIND_ALL, "INDEX jobs_place");
}

/* A record as it was, from one store to the next: t_finish has the fields. */
static void
t_import(void **state)
{
	struct job *j = sample("import-key", "print(1)"), *got, *other;
	struct store_filter f;
	struct answer a;

	(void)state;
	j->fence = j->attempt = 3;
	strlcpy(j->tenant, "key:of-another-host", sizeof(j->tenant));
	strlcpy(j->job_ref, "a-type", sizeof(j->job_ref));
	j->code_started = 1;
	j->started_at = j->created_at + 5;
	end_fully(j);
	CALL(&a, import(w.store, j, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_ended(got, j);
	assert_int_equal(got->created_at, j->created_at);
	assert_int_equal(got->attempt, 3);
	assert_string_equal(got->idempotency_key, "import-key");
	assert_memory_equal(got->fingerprint, j->fingerprint, TAKO_SHA256);
	assert_string_equal(got->client, j->client);
	assert_string_equal(got->tenant, j->tenant);
	assert_string_equal(got->job_ref, "a-type");
	assert_string_equal(got->artifact_store, "s3");
	assert_blob(got->code, "print(1)", 8);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	job_free(got);
	/* It takes no part of its tenant's share. */
	assert_counts(0, 0);
	CALL(&a, tenants(w.store, 10, on_tenants, &a));
	assert_int_equal(a.n_tenants, 0);
	/* The key counts as if it had been given here. */
	other = sample("import-key", "print(2)");
	strlcpy(other->tenant, j->tenant, sizeof(other->tenant));
	other->started_at = j->started_at;
	end_fully(other);
	CALL(&a, import(w.store, other, on_plain, &a));
	assert_int_equal(a.result, STORE_CONFLICT);
	assert_null(do_get(other->id, 0));
	/* What has not ended is not taken. */
	if (!is_pg()) {
		uuid4(other->id);
		other->status = JOB_QUEUED;
		CALL(&a, import(w.store, other, on_plain, &a));
		assert_int_equal(a.result, STORE_FAILED);
	}
	do_index();
	f = any(10);
	strlcpy(f.query, "print", sizeof(f.query));
	assert_found(&f, (const char *[]){ j->id }, 1);
	job_free(other);
	job_free(j);
}

/* Every byte of a payload and of an output comes back, 10 MiB of each. */
static void
t_blobs(void **state)
{
	struct job *j = sample("", "x"), *got;
	struct answer a;
	uint8_t *bytes;
	size_t i, len = 10 * MIB;

	(void)state;
	assert_non_null(bytes = malloc(len));
	arc4random_buf(bytes, len);
	for (i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	blob_unref(j->code);
	blob_unref(j->input);
	j->code = blob_copy(bytes, len);
	j->input = blob_copy("\0", 1);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	job_free(j);
	j = claim_one();
	assert_blob(j->code, bytes, len);
	assert_blob(j->input, "\0", 1);
	end_succeeded(j);
	j->out = blob_copy(bytes, len);
	j->err = blob_copy("\0\0", 2);
	j->output = blob_copy(bytes, 256);
	j->extras = blob_copy("{}", 2);
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_blob(got->code, bytes, len);
	assert_blob(got->out, bytes, len);
	assert_blob(got->err, "\0\0", 2);
	assert_blob(got->output, bytes, 256);
	assert_blob(got->extras, "{}", 2);
	job_free(got);
	job_free(j);
	free(bytes);
}

static void
t_recover(void **state)
{
	char ids[4][MAX_JOB_ID + 1];
	struct job *j[3], *got;
	struct answer a;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		submit_waiting(ids[i], 0);
	for (i = 0; i < 3; i++)
		j[i] = claim_one();
	assert_int_equal(do_start(ids[1], 1), STORE_OK);
	end_succeeded(j[2]);
	assert_int_equal(do_finish(j[2]), STORE_OK);
	reopen();
	assert_counts(1, 2);
	do_beat(NULL, 0, &a);
	assert_taken(&a, 1, 1);
	assert_counts(2, 0);
	got = do_get(ids[0], WANT_OUTPUT);
	assert_int_equal(got->status, JOB_QUEUED);
	assert_int_equal(got->started_at, 0);
	assert_int_equal(got->n_attempts, 1);
	assert_int_equal(got->attempts[0].started_at, j[0]->started_at);
	assert_int_equal(got->attempts[0].error, JERR_INTERRUPTED);
	assert_string_equal(got->attempts[0].place, "node");
	job_free(got);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[1]);
	assert_int_equal(a.letters[0].error, JERR_INTERRUPTED);
	got = do_get(ids[1], WANT_OUTPUT);
	assert_non_null(attempt_present(got));
	job_free(got);
	got = do_get(ids[1], WANT_STATUS);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	assert_int_equal(got->error_phase, PHASE_EXECUTION);
	assert_true(got->ended_at >= got->started_at);
	assert_true(got->error_message[0] != '\0');
	job_free(got);
	got = do_get(ids[2], WANT_STATUS);
	assert_int_equal(got->status, JOB_SUCCEEDED);
	job_free(got);
	/* Who held them before holds nothing now. */
	assert_int_equal(do_start(ids[0], 1), STORE_STALE);
	end_succeeded(j[1]);
	assert_int_equal(do_finish(j[1]), STORE_STALE);
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	got = claim_one();
	assert_string_equal(got->id, ids[0]);
	assert_int_equal(got->fence, 2);
	job_free(got);
	for (i = 0; i < 3; i++)
		job_free(j[i]);
}

/* A job that was put in as running is interrupted too. */
static void
t_recover_started(void **state)
{
	struct job *j = sample("", "print(1)"), *got;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	job_free(a.job);
	reopen();
	do_beat(NULL, 0, &a);
	assert_taken(&a, 0, 1);
	got = do_get(j->id, WANT_STATUS);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	job_free(got);
	job_free(j);
}

/* Another takod's jobs are not this one's while their lease runs. */
static void
t_recover_others(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	job_free(j);
	w.ops->close(w.store);
	w.store = open_as("tako");
	do_beat(NULL, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	assert_counts(0, 1);
	w.ops->close(w.store);
	w.store = open_as("tako1#");
	do_beat(NULL, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
}

/* Who comes after another one's lease has run out takes up what it held. */
static void
t_lease_ends(void **state)
{
	char ids[3][MAX_JOB_ID + 1];
	struct job *j[3], *got;
	struct answer a;
	int i;

	(void)state;
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("gone");
	for (i = 0; i < 3; i++) {
		submit_waiting(ids[i], 0);
		j[i] = claim_one();
	}
	assert_int_equal(do_start(ids[1], 1), STORE_OK);
	assert_int_equal(do_start(ids[2], 1), STORE_OK);
	assert_int_equal(do_cancel(ids[2], &a), STORE_STALE);
	job_free(a.job);
	w.ops->close(w.store);
	w.store = open_as("here");
	do_beat(NULL, 0, &a); /* it was not told to */
	assert_int_equal(a.beat.n_jobs, 0);
	assert_counts(0, 3);
	/* Its clock was put forward, as far as who asks can tell. */
	do_beat(NULL, time_wall_us() - 3600000000LL, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	assert_in_range(a.beat.now, time_wall_us() - DEADLINE_S * 1000000LL,
	    time_wall_us() + 1000);
	do_beat(NULL, INT64_MAX, &a);
	assert_taken(&a, 1, 2);
	assert_int_equal(a.beat.queued, 1);
	got = do_get(ids[0], WANT_STATUS);
	assert_int_equal(got->status, JOB_QUEUED);
	assert_int_equal(got->error, JERR_NONE);
	assert_int_equal(got->ended_at, 0);
	job_free(got);
	got = do_get(ids[1], WANT_STATUS);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	job_free(got);
	got = do_get(ids[2], WANT_STATUS);
	assert_int_equal(got->status, JOB_CANCELLED);
	assert_int_equal(got->error, JERR_CANCELLED);
	assert_true(got->ended_at >= got->started_at);
	job_free(got);
	/* A paused owner that comes back changes nothing. */
	for (i = 0; i < 3; i++) {
		assert_int_equal(do_start(ids[i], 1), STORE_STALE);
		assert_int_equal(do_release(ids[i], 1, 0), STORE_STALE);
		end_succeeded(j[i]);
		assert_int_equal(do_finish(j[i]), STORE_STALE);
		job_free(j[i]);
	}
	got = claim_one();
	assert_string_equal(got->id, ids[0]);
	assert_int_equal(got->fence, 2);
	job_free(got);
}

/* What is named is held, its own or not, and what is not named is let go. */
static void
t_beat(void **state)
{
	char id[MAX_JOB_ID + 1], second[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	do_beat(id, INT64_MAX, &a); /* it waits: nobody holds it */
	assert_int_equal(a.beat.n_jobs, 0);
	assert_int_equal(a.beat.queued, 1);
	assert_int_equal(a.beat.nodes, 1);
	assert_int_equal(a.beat.running, 1);
	assert_int_equal(a.beat.max_workers, 4);
	job_free(claim_one());
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 1);
	assert_string_equal(a.leases[0].id, id);
	assert_int_equal(a.leases[0].fence, 1);
	assert_int_equal(a.leases[0].status, JOB_RUNNING);
	assert_int_equal(a.leases[0].cancel, 0);
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	job_free(a.job);
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.leases[0].cancel, 1);
	/* Asked to end, it does not wait again. */
	assert_int_equal(do_release(id, 1, 0), STORE_OK);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_CANCELLED);
	assert_int_equal(j->error, JERR_CANCELLED);
	assert_true(j->ended_at != 0);
	job_free(j);
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	/* Its own that it has forgotten, and whose lease has run out. */
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("tako1");
	submit_waiting(id, 0);
	submit_waiting(second, 0);
	job_free(claim_one());
	job_free(claim_one());
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	do_beat(second, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 2);
	assert_taken(&a, 1, 0);
}

static void
t_nodes(void **state)
{
	struct answer a;

	(void)state;
	CALL(&a, nodes(w.store, on_nodes, &a));
	assert_int_equal(a.n_ids, 0);
	do_beat(NULL, 0, &a);
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("a-node");
	do_beat(NULL, 0, &a);
	do_beat(NULL, 0, &a);
	CALL(&a, nodes(w.store, on_nodes, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_ids, 2);
	assert_string_equal(a.nodes[0].name, "a-node");
	assert_string_equal(a.nodes[0].instance, "0123abcd");
	assert_string_equal(a.nodes[0].version, TAKO_VERSION);
	assert_int_equal(
	    a.nodes[0].seen_at - a.nodes[0].started_at < 1000000, 0);
	assert_in_range(a.nodes[0].silent_us, 0, DEADLINE_S * 1000000);
	assert_int_equal(a.nodes[0].max_workers, 4);
	assert_int_equal(a.nodes[0].draining, 0);
	assert_int_equal(a.nodes[0].alive, 0); /* its lease was none */
	assert_string_equal(a.nodes[1].name, "tako1");
	assert_int_equal(a.nodes[1].alive, 1);
}

static void
t_ended(void **state)
{
	store_id ids[4];
	struct answer a;

	(void)state;
	submit_waiting(ids[0], 0);
	job_free(claim_one());
	submit_waiting(ids[1], 0);
	submit_waiting(ids[2], 0);
	assert_int_equal(do_cancel(ids[2], &a), STORE_OK);
	job_free(a.job);
	uuid4(ids[3]); /* no such job */
	CALL(&a, ended(w.store, ids, 4, on_ended, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_ids, 2);
	assert_string_equal(a.ended[0], ids[2]);
	assert_string_equal(a.ended[1], ids[3]);
	CALL(&a, ended(w.store, ids, 2, on_ended, &a));
	assert_int_equal(a.n_ids, 0);
}

/* created_at 0 is now; an end is never before the start. */
static void
t_clock(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	j->created_at = 0;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_in_range(
	    a.job->created_at, before - 1000, time_wall_us() + 1000);
	job_free(a.job);
	job_free(j);
}

/* Another takod hears of what one does; it does not hear itself. */
static void
t_wake(void **state)
{
	struct store *mine = w.store, *other;
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	do_beat(NULL, 0, &a);
	w.store = other = open_as("tako2");
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.nodes, 2);
	assert_int_equal(a.beat.max_workers, 8);
	submit_waiting(id, 0);
	run_until(&w.wakes[WAKE_QUEUE], 1);
	j = claim_one();
	w.store = mine;
	do_beat(NULL, 0, &a); /* from now on it knows of the other */
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	job_free(a.job);
	run_until(&w.wakes[WAKE_CANCEL], 1);
	assert_string_equal(w.woken, id);
	w.store = other;
	do_beat(id, 0, &a);
	assert_int_equal(a.leases[0].cancel, 1);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	run_until(&w.wakes[WAKE_ENDED], 1);
	assert_string_equal(w.woken, id);
	job_free(j);
	assert_int_equal(w.wakes[WAKE_QUEUE], 1);
	assert_int_equal(w.wakes[WAKE_CANCEL], 1);
	assert_int_equal(w.wakes[WAKE_ENDED], 1);
	w.ops->close(other);
	w.store = mine;
}

/* One that has just ended, with a key. Its id into id. */
static void
submit_ended(const char *key, enum job_status status, char id[MAX_JOB_ID + 1])
{
	struct job *asked = sample(key, "print(1)"), *j;
	struct answer a;

	assert_int_equal(do_submit(asked, 0, QUEUE, &a), STORE_OK);
	strlcpy(id, asked->id, MAX_JOB_ID + 1);
	job_free(a.job);
	job_free(asked);
	if (status == JOB_CANCELLED) {
		assert_int_equal(do_cancel(id, &a), STORE_OK);
		job_free(a.job);
		return;
	}
	j = claim_one();
	end_fully(j);
	j->status = status;
	j->ended_at = j->started_at;
	assert_int_equal(do_finish(j), STORE_OK);
	job_free(j);
}

/* What has ended long enough ago goes with all of it, and nothing else does. */
static void
t_expire(void **state)
{
	static const enum job_status ends[] = { JOB_SUCCEEDED, JOB_FAILED,
		JOB_TIMEOUT, JOB_OOM, JOB_CANCELLED };
	char ended[nitems(ends)][MAX_JOB_ID + 1];
	char waiting[MAX_JOB_ID + 1], id[MAX_JOB_ID + 1];
	struct job *running, *young, *again;
	struct store_filter f;
	struct answer a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(ends); i++)
		submit_ended("", ends[i], ended[i]);
	submit_waiting(waiting, 0);
	young = claim_one();
	end_succeeded(young);
	young->ended_at = time_wall_us() + 3600 * 1000000LL;
	assert_int_equal(do_finish(young), STORE_OK);
	submit_waiting(waiting, 0);
	running = claim_one();
	submit_waiting(waiting, 0);

	do_expire(3600 * 1000000LL, STORE_EXPIRE_MAX, &a);
	assert_int_equal(a.n_ids, 0);
	for (i = 0; i < nitems(ends); i++) { /* the oldest first */
		do_expire(0, 1, &a);
		assert_int_equal(a.n_ids, 1);
		assert_string_equal(a.ids[0].id, ended[i]);
		assert_string_equal(a.ids[0].artifact_store,
		    ends[i] == JOB_CANCELLED ? "" : "s3");
		assert_null(do_get(ended[i], WANT_PAYLOAD | WANT_OUTPUT));
	}
	do_expire(0, STORE_EXPIRE_MAX, &a);
	assert_int_equal(a.n_ids, 0);
	assert_counts(1, 1);
	f = any(100);
	do_list(&f, &a);
	assert_int_equal(a.n_found, 3);

	/* The running one can still be ended, and a key is free again. */
	end_fully(running);
	assert_int_equal(do_finish(running), STORE_OK);
	again = claim_one();
	assert_string_equal(again->id, waiting);
	assert_int_equal(
	    do_release(waiting, again->fence, 3600000000LL), STORE_OK);
	job_free(again);
	again = sample("the-key", "print(1)");
	submit_ended("the-key", JOB_SUCCEEDED, id);
	assert_int_equal(do_submit(again, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
	do_expire(0, 1, &a);
	assert_string_equal(a.ids[0].id, id);
	assert_int_equal(do_submit(again, 0, QUEUE, &a), STORE_OK);
	assert_string_equal(a.job->id, again->id);
	job_free(a.job);
	job_free(again);
	job_free(running);
	job_free(young);
}

/* Nothing is left of an id: payloads and outputs would be in its way. */
static void
t_expire_all(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;

	(void)state;
	submit_ended("", JOB_SUCCEEDED, id);
	do_expire(0, 1, &a);
	assert_int_equal(a.n_ids, 1);
	j = sample("", "another");
	strlcpy(j->id, id, sizeof(j->id));
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	got = do_get(id, WANT_PAYLOAD | WANT_OUTPUT);
	assert_blob(got->code, "another", 7);
	assert_null(got->out);
	assert_int_equal(got->n_artifacts, 0);
	job_free(got);
	job_free(j);
}

static void
t_reopen(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	end_fully(j);
	assert_int_equal(do_finish(j), STORE_OK);
	submit_waiting(id, 0);
	reopen();
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_ended(got, j);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	job_free(got);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
}

/* Whatever is under way when the store is closed is answered, once. */
static void
t_close_answers(void **state)
{
	struct job *j = sample("", "print(1)");
	struct store_pulse pulse = { .n_held = 0 };
	struct tenant_policy everybody = { .name = "*", .weight = 1 };
	struct tenant_policies p = { &everybody, 1, 1, 1 };
	struct artifact_place place = { .job_id = "x", .fence = 1 };
	struct blob *piece = blob_copy("x", 1);
	struct store_filter f = any(1);
	struct answer a[26];
	int i;

	(void)state;
	memset(a, 0, sizeof(a));
	i = 0;
	w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[i++]);
	w.ops->claim(w.store, 0, on_job, &a[i++]);
	w.ops->start(w.store, j->id, 1, on_plain, &a[i++]);
	w.ops->release(w.store, j, 0, on_plain, &a[i++]);
	w.ops->cancel(w.store, j->id, on_job, &a[i++]);
	w.ops->get(w.store, j->id, 0, on_job, &a[i++]);
	w.ops->queue_position(w.store, j->id, on_position, &a[i++]);
	w.ops->list(w.store, &f, on_page, &a[i++]);
	w.ops->index(w.store, 1, on_counts, &a[i++]);
	w.ops->import(w.store, j, on_plain, &a[i++]);
	w.ops->counts(w.store, on_counts, &a[i++]);
	w.ops->beat(w.store, &pulse, on_beat, &a[i++]);
	w.ops->ended(w.store, &(store_id){ "x" }, 1, on_ended, &a[i++]);
	w.ops->nodes(w.store, on_nodes, &a[i++]);
	w.ops->expire(w.store, 0, 10, on_ids, &a[i++]);
	w.ops->letters(w.store, "", 0, 10, 0, on_letters, &a[i++]);
	w.ops->letter_counts(w.store, on_errors, &a[i++]);
	w.ops->letter_remove(w.store, 1, on_plain, &a[i++]);
	w.ops->letters_expire(w.store, 0, 10, on_position, &a[i++]);
	w.ops->set_tenants(w.store, &p, on_plain, &a[i++]);
	w.ops->tenants(w.store, 10, on_tenants, &a[i++]);
	w.ops->artifact_known(w.store, "local", &place, on_plain, &a[i++]);
	w.ops->chunk_put(w.store, &place, 0, 0, piece, on_plain, &a[i++]);
	w.ops->chunk_get(w.store, &place, 0, 0, on_blob, &a[i++]);
	w.ops->chunk_remove(w.store, &place, on_plain, &a[i++]);
	w.ops->chunk_places(w.store, &place, on_places, &a[i++]);
	blob_unref(piece);
	job_free(j);
	w.ops->close(w.store);
	w.store = NULL;
	for (i = 0; i < (int)nitems(a); i++) {
		assert_int_equal(a[i].n, 1);
		assert_int_equal(a[i].result, STORE_AWAY);
		assert_int_equal(a[i].n_ids, 0);
		assert_null(a[i].blob);
		assert_int_equal(a[i].n_places, 0);
		assert_null(a[i].job);
		assert_int_equal(a[i].n_found, 0);
	}
}

/* ---- artifacts --------------------------------------------------------------
 */

static struct artifact_place
place_of(const char *id, int64_t fence)
{
	struct artifact_place p = { .fence = fence };

	strlcpy(p.job_id, id, sizeof(p.job_id));
	return (p);
}

static int
known(const char *artifact_store, const char *id, int64_t fence)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	CALL(&a, artifact_known(w.store, artifact_store, &p, on_plain, &a));
	assert_true(a.result == STORE_OK || a.result == STORE_NOT_FOUND);
	return (a.result == STORE_OK);
}

/* Which places a record names, or may still come to. */
static void
t_artifact_known(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	assert_false(known("local", "nobody", 1));
	submit_waiting(id, 0);
	j = claim_one();
	assert_true(known("local", id, 1) && known("s3", id, 1));
	assert_false(known("local", id, 2));
	assert_true(known("local", id, 0));
	end_fully(j); /* they are in s3 */
	assert_int_equal(do_finish(j), STORE_OK);
	assert_true(known("s3", id, 1) && known("s3", id, 0));
	assert_false(known("local", id, 1) || known("s3", id, 2));
	got = do_get(id, WANT_ARTIFACTS);
	assert_non_null(got);
	assert_int_equal(got->n_artifacts, 2);
	assert_string_equal(got->artifact_store, "s3");
	assert_null(got->out);
	job_free(got);
	job_free(j);
	/* What ended without any names no place. */
	submit_waiting(id, 0);
	j = claim_one();
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_false(known("local", id, 1) || known("local", id, 0));
	job_free(j);
}

static enum store_result
put_chunk(const char *id, int64_t fence, int number, int chunk,
    const char *data, size_t len)
{
	struct artifact_place p = place_of(id, fence);
	struct blob *b = blob_copy(data, len);
	struct answer a;

	CALL(&a, chunk_put(w.store, &p, number, chunk, b, on_plain, &a));
	blob_unref(b);
	return (a.result);
}

static void
assert_chunk(const char *id, int64_t fence, int number, int chunk,
    const char *data, size_t len)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	CALL(&a, chunk_get(w.store, &p, number, chunk, on_blob, &a));
	if (data == NULL) {
		assert_int_equal(a.result, STORE_NOT_FOUND);
		assert_null(a.blob);
		return;
	}
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(blob_len(a.blob), len);
	assert_memory_equal(blob_data(a.blob), data, len);
	blob_unref(a.blob);
}

static void
remove_chunks(const char *id, int64_t fence)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	do {
		CALL(&a, chunk_remove(w.store, &p, on_plain, &a));
	} while (a.result == STORE_OK);
	assert_int_equal(a.result, STORE_NOT_FOUND);
}

static void
t_chunks(void **state)
{
	char *large = malloc(MIB);
	int i;

	(void)state;
	assert_non_null(large);
	memset(large, 0xa5, MIB);
	for (i = 0; i < 10; i++)
		assert_int_equal(
		    put_chunk("job-a", 1, 0, i, "\0\xff\n", 3), STORE_OK);
	assert_int_equal(put_chunk("job-a", 1, 1, 0, large, MIB), STORE_OK);
	assert_int_equal(put_chunk("job-a", 2, 0, 0, "two", 3), STORE_OK);
	assert_int_equal(put_chunk("job-b", 1, 0, 0, "b", 1), STORE_OK);
	assert_chunk("job-a", 1, 0, 9, "\0\xff\n", 3);
	assert_chunk("job-a", 1, 1, 0, large, MIB);
	assert_chunk("job-a", 2, 0, 0, "two", 3);
	assert_chunk("job-a", 1, 0, 10, NULL, 0);
	assert_chunk("job-a", 3, 0, 0, NULL, 0);
	assert_chunk("job", 1, 0, 0, NULL, 0);
	/* Again: the later one counts. */
	assert_int_equal(put_chunk("job-a", 1, 0, 9, "again", 5), STORE_OK);
	assert_chunk("job-a", 1, 0, 9, "again", 5);
	remove_chunks("job-a", 1);
	assert_chunk("job-a", 1, 0, 0, NULL, 0);
	assert_chunk("job-a", 1, 1, 0, NULL, 0);
	assert_chunk("job-a", 2, 0, 0, "two", 3);
	remove_chunks("job-a", 0);
	assert_chunk("job-a", 2, 0, 0, NULL, 0);
	assert_chunk("job-b", 1, 0, 0, "b", 1);
	free(large);
}

/* Each place once, in order, however much lies in it. */
static void
t_chunk_places(void **state)
{
	struct artifact_place last;
	struct answer a;
	char id[MAX_JOB_ID + 1];
	int i, seen = 0;

	(void)state;
	memset(&last, 0, sizeof(last));
	CALL(&a, chunk_places(w.store, &last, on_places, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_places, 0);
	for (i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "job-%02d", i);
		put_chunk(id, 1, 0, 0, "x", 1);
		put_chunk(id, 1, 0, 1, "x", 1);
		put_chunk(id, 12, 3, 0, "x", 1);
	}
	for (;;) {
		CALL(&a, chunk_places(w.store, &last, on_places, &a));
		if (a.n_places == 0)
			break;
		for (i = 0; i < (int)a.n_places; i++, seen++) {
			snprintf(id, sizeof(id), "job-%02d", seen / 2);
			last = a.places[i].place;
			assert_string_equal(last.job_id, id);
			assert_int_equal(last.fence, seen % 2 == 0 ? 1 : 12);
			assert_true(llabs(a.places[i].written -
					  time_wall_us()) < 600 * 1000000LL);
		}
	}
	assert_int_equal(seen, 40);
}

/* Calls are done in the order they were made. */
static void
t_order(void **state)
{
	struct job *j = sample("", "print(1)"), *end;
	struct answer a[6];

	(void)state;
	memset(a, 0, sizeof(a));
	end = job_lend(j);
	end->fence = 1;
	end->status = JOB_SUCCEEDED;
	end->ended_at = time_wall_us() + 10000000;
	w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[0]);
	w.ops->claim(w.store, 0, on_job, &a[1]);
	w.ops->start(w.store, j->id, 1, on_plain, &a[2]);
	w.ops->get(w.store, j->id, 0, on_job, &a[3]);
	w.ops->finish(w.store, end, on_plain, &a[4]);
	w.ops->get(w.store, j->id, 0, on_job, &a[5]);
	run_until(&a[5].n, 1);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(a[i].n, 1);
		assert_int_equal(a[i].result, STORE_OK);
	}
	assert_int_equal(a[1].job->status, JOB_RUNNING);
	assert_int_equal(a[3].job->code_started, 1);
	assert_int_equal(a[5].job->status, JOB_SUCCEEDED);
	job_free(a[0].job);
	job_free(a[1].job);
	job_free(a[3].job);
	job_free(a[5].job);
	job_free(j);
	job_free(end);
}

/* ---- tenants ----------------------------------------------------------------
 */

/* No boundary between two windows of so many us comes in a test. */
#define WINDOW INT64_C(1000000000000000)

static struct tenant_policy policies[16];
static struct tenant_policies all_policies;

static void
policies_begin(void)
{
	memset(policies, 0, sizeof(policies));
	memset(&all_policies, 0, sizeof(all_policies));
	all_policies.list = policies;
	all_policies.window_us = WINDOW;
	all_policies.age_us = WINDOW;
	strlcpy(policies[0].name, "*", sizeof(policies[0].name));
	policies[0].weight = 1;
	all_policies.n = 1;
}

static struct tenant_policy *
policy_add(const char *name, int weight, int priority)
{
	struct tenant_policy *p = &policies[all_policies.n++];

	strlcpy(p->name, name, sizeof(p->name));
	p->weight = weight;
	p->priority = priority;
	return (p);
}

static void
policies_set(void)
{
	struct answer a;

	CALL(&a, set_tenants(w.store, &all_policies, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
}

static enum store_result
submit_of(const char *tenant, const char *key, int start, char *id)
{
	struct job *j = sample(key, "print(1)");
	struct answer a;
	enum store_result result;

	strlcpy(j->tenant, tenant, sizeof(j->tenant));
	result = do_submit(j, start, QUEUE, &a);
	if (a.job != NULL) {
		assert_string_equal(a.job->tenant, tenant);
		if (id != NULL)
			strlcpy(id, a.job->id, MAX_JOB_ID + 1);
	}
	job_free(a.job);
	job_free(j);
	return (result);
}

static void
submit_many(const char *tenant, int n)
{
	while (n-- > 0)
		assert_int_equal(submit_of(tenant, "", 0, NULL), STORE_OK);
}

/* The last letters of the tenants of the next n claims. */
static const char *
claim_tenants(int n)
{
	static char seen[512];
	struct job *j;
	int i;

	for (i = 0; i < n; i++) {
		j = claim_one();
		seen[i] = j->tenant[strlen(j->tenant) - 1];
		job_free(j);
	}
	seen[n] = '\0';
	return (seen);
}

static size_t
do_tenants(int max, struct answer *a)
{
	CALL(a, tenants(w.store, max, on_tenants, a));
	assert_int_equal(a->result, STORE_OK);
	return (a->n_tenants);
}

/* Who waits much takes turns with who waits little. */
static void
t_turns(void **state)
{
	char last[MAX_JOB_ID + 1];

	(void)state;
	submit_many("key:a", 7);
	submit_many("key:b", 2);
	assert_string_equal(claim_tenants(3), "aba");
	/* One who comes late waits for no more than a turn of each. */
	assert_int_equal(submit_of("addr:c", "", 0, last), STORE_OK);
	assert_in_range(do_position(last), 1, 3);
	assert_in_range(
	    (uintptr_t)(strchr(claim_tenants(3), 'c') != NULL), 1, 1);
	assert_string_equal(claim_tenants(4), "aaaa");
	assert_counts(0, 10);
}

/* A flood does not double another one's wait: by places, hence exactly. */
static void
t_turns_flood(void **state)
{
	char ids[20][MAX_JOB_ID + 1];
	struct job *j;
	int i, n;

	(void)state;
	submit_many("key:flood", 300);
	for (i = 0; i < 50; i++)
		job_free(claim_one());
	for (i = 0; i < 20; i++)
		assert_int_equal(
		    submit_of("key:other", "", 0, ids[i]), STORE_OK);
	for (i = 0; i < 20; i++)
		assert_in_range(do_position(ids[i]), 1, 2 * (i + 1));
	for (i = 0, n = 1; i < 20; n++) {
		j = claim_one();
		if (strcmp(j->tenant, "key:other") == 0) {
			assert_string_equal(j->id, ids[i++]);
			assert_true(n <= 2 * i);
		}
		job_free(j);
	}
}

/* Neither having been idle nor having been served is saved up. */
static void
t_turns_idle(void **state)
{
	(void)state;
	submit_many("key:a", 40);
	for (int i = 0; i < 30; i++)
		job_free(claim_one());
	submit_many("key:b", 3); /* was idle meanwhile */
	assert_string_equal(claim_tenants(6), "ababab");
	/* It comes back at once: no turn more, and its own turn no later. */
	submit_many("key:b", 2);
	assert_string_equal(claim_tenants(4), "abab");
	/* One that had much when it was alone owes nothing for that. */
	submit_many("key:a", 20);
	assert_string_equal(claim_tenants(4), "aaaa");
	submit_many("key:c", 4);
	assert_string_equal(claim_tenants(8), "acacacac");
}

static void
t_weights(void **state)
{
	const char *seen;
	int i, n[3] = { 0 };

	(void)state;
	policies_begin();
	policy_add("key:a", 3, 0);
	policy_add("key:b", 1, 0);
	policy_add("key:c", 2, 0);
	policies_set();
	submit_many("key:a", 60);
	submit_many("key:b", 60);
	submit_many("key:c", 60);
	seen = claim_tenants(60);
	for (i = 0; i < 60; i++)
		n[seen[i] - 'a']++;
	assert_in_range(n[0], 29, 31);
	assert_in_range(n[1], 9, 11);
	assert_in_range(n[2], 19, 21);
	/* Never long without a turn. */
	assert_null(strstr(seen, "aaaa"));
	assert_true(strchr(seen, 'b') - seen < 6);
	/* New weights hold for what waits already. */
	policies_begin();
	policy_add("key:b", 4, 0);
	policies_set(); /* a and c are as any other now */
	seen = claim_tenants(60);
	for (memset(n, 0, sizeof(n)), i = 0; i < 60; i++)
		n[seen[i] - 'a']++;
	assert_in_range(n[1], 38, 42);
	assert_in_range(n[0], 8, 12);
}

static void
t_priority(void **state)
{
	const char *seen;
	int i, low = 0;

	(void)state;
	policies_begin();
	policy_add("key:h", 1, 9);
	policy_add("key:m", 1, 5);
	policies_set();
	submit_many("key:l", 20);
	submit_many("key:m", 4);
	submit_many("key:h", 4);
	assert_string_equal(claim_tenants(8), "hhhhmmmm");
	/* Who waits for long gets one claim in four all the same. */
	submit_many("key:h", 30);
	all_policies.age_us = 0;
	policies_set();
	seen = claim_tenants(24);
	for (i = 0; i < 24; i++)
		low += seen[i] == 'l';
	assert_int_equal(low, 24 / STORE_AGED_CLAIM);
	/* The one that waits longest, of whichever lower priority. */
	submit_many("key:m", 5);
	seen = claim_tenants(4);
	assert_true(strchr(seen, 'l') != NULL && strchr(seen, 'm') == NULL);
	seen = claim_tenants(4);
	assert_true(strchr(seen, 'm') != NULL && strchr(seen, 'l') == NULL);
	/* Not before its time. */
	all_policies.age_us = 3600000000LL;
	policies_set();
	assert_string_equal(claim_tenants(4), "hhhh");
}

static void
t_max_running(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *one, *two;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 9)->max_running = 2;
	policies_set();
	submit_many("key:a", 4);
	submit_many("key:b", 2);
	one = claim_one();
	two = claim_one();
	assert_string_equal(one->tenant, "key:a");
	assert_string_equal(two->tenant, "key:a");
	assert_string_equal(claim_tenants(1), "b");
	/* A place is free again when one ends, or goes back. */
	end_succeeded(one);
	assert_int_equal(do_finish(one), STORE_OK);
	assert_string_equal(claim_tenants(2), "ab");
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_int_equal(do_release(two->id, two->fence, 0), STORE_OK);
	assert_string_equal(claim_tenants(1), "a");
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	/* Nor is there a way past it. */
	assert_int_equal(submit_of("key:a", "", 1, id), STORE_OK);
	job_free(one);
	one = do_get(id, WANT_STATUS);
	assert_int_equal(one->status, JOB_QUEUED);
	/* A reload lifts it. */
	policies_begin();
	policies_set();
	assert_string_equal(claim_tenants(2), "aa");
	job_free(one);
	job_free(two);
}

/* One that may not run is told so by its status though nobody waits. */
static void
t_max_running_start(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j;

	(void)state;
	policies_begin();
	policies[0].max_running = 1; /* everybody's */
	policies_set();
	assert_int_equal(submit_of("addr:a", "", 1, id), STORE_OK);
	assert_int_equal(submit_of("addr:b", "", 1, id), STORE_OK);
	assert_counts(0, 2);
	assert_int_equal(submit_of("addr:a", "", 1, id), STORE_OK);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_QUEUED);
	assert_int_equal(j->code_started, 0);
	job_free(j);
}

static void
t_max_queued(void **state)
{
	char id[MAX_JOB_ID + 1], again[MAX_JOB_ID + 1];
	struct answer a;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 0)->max_queued = 2;
	policies_set();
	assert_int_equal(submit_of("key:a", "k1", 0, id), STORE_OK);
	submit_many("key:a", 1);
	assert_int_equal(submit_of("key:a", "k2", 0, NULL), STORE_FILLED);
	assert_int_equal(submit_of("key:a", "", 1, NULL), STORE_FILLED);
	submit_many("key:b", 3);
	/* What is known is known, what was refused is not. */
	assert_int_equal(submit_of("key:a", "k1", 0, again), STORE_EXISTS);
	assert_string_equal(again, id);
	assert_int_equal(do_cancel(id, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(submit_of("key:a", "k2", 0, id), STORE_OK);
	assert_int_equal(submit_of("key:a", "", 0, NULL), STORE_FILLED);
	assert_counts(5, 0);
}

static void
t_budget(void **state)
{
	struct answer a;
	struct job *j;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 0)->max_jobs = 3;
	policy_add("key:b", 1, 0)->max_cpu_ms = 40;
	policies_set();
	submit_many("key:a", 2);
	assert_int_equal(submit_of("key:a", "k", 0, NULL), STORE_OK);
	assert_int_equal(submit_of("key:a", "k2", 0, NULL), STORE_SPENT);
	assert_int_equal(submit_of("key:a", "", 1, NULL), STORE_SPENT);
	assert_int_equal(submit_of("key:a", "k", 0, NULL), STORE_EXISTS);
	for (int i = 0; i < 3; i++)
		job_free(claim_one());
	/* 22 ms each, whatever waits meanwhile. */
	submit_many("key:b", 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_OK);
		j = claim_one();
		end_fully(j);
		assert_int_equal(j->cpu_ms, 22);
		assert_int_equal(do_finish(j), STORE_OK);
		assert_int_equal(do_finish(j), STORE_OK); /* counts once */
		job_free(j);
	}
	assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_SPENT);
	assert_int_equal(do_tenants(10, &a), 2);
	assert_string_equal(a.tenants[0].policy.name, "key:b");
	assert_int_equal(a.tenants[0].used_cpu_ms, 44);
	assert_int_equal(a.tenants[0].used_jobs, 4);
	assert_int_equal(a.tenants[1].used_jobs, 3);
	assert_int_equal(a.tenants[1].policy.max_jobs, 3);
	/* Another window begins at nothing. */
	all_policies.window_us = WINDOW / 10;
	policies_set();
	assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_OK);
	do_tenants(10, &a);
	assert_int_equal(a.tenants[0].used_jobs, 1);
	assert_int_equal(a.tenants[0].used_cpu_ms, 0);
}

static void
t_idempotency_tenants(void **state)
{
	char id[4][MAX_JOB_ID + 1];

	(void)state;
	assert_int_equal(submit_of("key:a", "same", 0, id[0]), STORE_OK);
	assert_int_equal(submit_of("key:b", "same", 0, id[1]), STORE_OK);
	assert_int_equal(submit_of("addr:1", "same", 0, id[2]), STORE_OK);
	assert_int_equal(submit_of("key:a", "same", 0, id[3]), STORE_EXISTS);
	assert_string_equal(id[3], id[0]);
	assert_string_not_equal(id[0], id[1]);
	assert_string_not_equal(id[0], id[2]);
}

/* Who shows no key shares one name space with all who show none. */
static void
t_idempotency_shared(void **state)
{
	struct job *j = sample("same", "print(1)");
	char id[MAX_JOB_ID + 1];
	struct answer a;

	(void)state;
	assert_int_equal(submit_of("addr:1", "same", 0, id), STORE_OK);
	strlcpy(j->tenant, "addr:2", sizeof(j->tenant));
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
	sha256(j->fingerprint, "other", 5);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_CONFLICT);
	job_free(a.job);
	job_free(j);
}

static unsigned random_state;

static int
pick(int n)
{
	random_state = random_state * 1103515245 + 12345;
	return ((int)(random_state >> 16) % n);
}

/*
 * Many patterns: tenants of any weight and priority, jobs that come, run, end,
 * go back and are cancelled; then the place that each has been told is the
 * one at which it is claimed, and the counts are those of the rows.
 */
static void
turns_random(unsigned seed)
{
	static char ids[400][MAX_JOB_ID + 1], places[400][MAX_JOB_ID + 1];
	char name[8], id[MAX_JOB_ID + 1];
	struct job *running[64], *j;
	struct answer a;
	int n_ids = 0, n_running = 0, n_waiting = 0, i;
	int64_t place;

	random_state = seed;
	policies_begin();
	for (i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "key:%c", 'a' + i);
		policy_add(name, 1 + pick(5), pick(3))->max_running =
		    pick(3) == 0 ? 1 + pick(3) : 0;
	}
	policies_set();
	for (i = 0; i < 150; i++)
		switch (pick(6)) {
		case 0:
		case 1:
		case 2:
			snprintf(name, sizeof(name), "key:%c", 'a' + pick(8));
			assert_int_equal(
			    submit_of(name, "", 0, ids[n_ids++]), STORE_OK);
			break;
		case 3:
			if (n_running < (int)nitems(running) &&
			    do_claim(0, &a) == STORE_OK)
				running[n_running++] = a.job;
			break;
		case 4:
			if (n_running == 0)
				break;
			j = running[--n_running];
			if (pick(2) == 0)
				assert_int_equal(
				    do_release(j->id, j->fence, 0), STORE_OK);
			else {
				end_succeeded(j);
				assert_int_equal(do_finish(j), STORE_OK);
			}
			job_free(j);
			break;
		case 5:
			if (n_ids > 0 && pick(3) == 0) {
				do_cancel(ids[pick(n_ids)], &a);
				job_free(a.job);
			}
			break;
		}
	/* Without a limit, so that nobody's end makes another one's place. */
	while (n_running > 0) {
		j = running[--n_running];
		assert_int_equal(do_release(j->id, j->fence, 0), STORE_OK);
		job_free(j);
	}
	for (i = 1; i < (int)all_policies.n; i++)
		policies[i].max_running = 0;
	policies_set();
	for (i = 0; i < n_ids; i++) {
		if ((place = do_position(ids[i])) == 0)
			continue;
		n_waiting++;
		assert_in_range(place, 1, n_ids);
		strlcpy(places[place - 1], ids[i], MAX_JOB_ID + 1);
	}
	assert_counts(n_waiting, 0);
	for (i = 0; i < n_waiting; i++) {
		j = claim_one();
		strlcpy(id, j->id, sizeof(id));
		job_free(j);
		if (strcmp(id, places[i]) != 0)
			fail_msg(
			    "seed %u: place %d is another one's", seed, i + 1);
	}
	do_tenants(20, &a);
	for (i = 0, place = 0; i < (int)a.n_tenants; i++) {
		assert_int_equal(a.tenants[i].waiting, 0);
		place += a.tenants[i].running;
	}
	assert_int_equal(place, n_waiting);
	for (i = 0; i < n_ids; i++) {
		j = do_get(ids[i], WANT_STATUS);
		if (j->status == JOB_RUNNING) {
			end_succeeded(j);
			assert_int_equal(do_finish(j), STORE_OK);
		}
		job_free(j);
	}
}

static void
t_turns_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 6; seed++)
		turns_random(seed * 7919);
}

static void
t_tenants(void **state)
{
	struct answer a;
	struct job *j;

	(void)state;
	policies_begin();
	policy_add("key:a", 2, 3);
	policies_set();
	submit_many("addr:2001:db8::/64", 3);
	submit_many("key:a", 1);
	CALL(&a, counts(w.store, on_counts, &a));
	assert_int_equal(a.counts.tenants, 2);
	assert_int_equal(do_tenants(10, &a), 2);
	assert_string_equal(a.tenants[0].policy.name, "addr:2001:db8::/64");
	assert_int_equal(a.tenants[0].waiting, 3);
	assert_int_equal(a.tenants[0].policy.weight, 1);
	assert_int_equal(a.tenants[1].policy.weight, 2);
	assert_int_equal(a.tenants[1].policy.priority, 3);
	assert_int_equal(do_tenants(1, &a), 1);
	for (int i = 0; i < 4; i++) {
		j = claim_one();
		end_succeeded(j);
		assert_int_equal(do_finish(j), STORE_OK);
		job_free(j);
	}
	/* An address is kept for as long as its budget counts. */
	policies_set();
	assert_int_equal(do_tenants(10, &a), 2);
	all_policies.window_us = 1;
	policies_set();
	policies_set();
	assert_int_equal(do_tenants(10, &a), 1);
	assert_string_equal(a.tenants[0].policy.name, "key:a");
	/* What was known of it before is not needed to know it again. */
	submit_many("addr:2001:db8::/64", 1);
	assert_string_equal(claim_tenants(1), "4");
}

/* Two takods of one database, at the same time: never more than allowed. */
static void
t_max_running_two(void **state)
{
	struct store *stores[2];
	struct answer a[8];
	struct tenant_policy *p;
	int i, round, ok, running = 0;

	(void)state;
	if (!is_pg())
		return;
	stores[0] = w.store;
	stores[1] = open_as("tako2");
	policies_begin();
	p = policy_add("key:a", 1, 0);
	p->max_running = 5;
	p->max_queued = 21;
	policies_set();
	/* As many of them come in as may wait ... */
	for (round = 0, ok = 0; round < 5; round++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < 8; i++) {
			struct job *j = sample("", "pass");

			strlcpy(j->tenant, "key:a", sizeof(j->tenant));
			w.ops->submit(
			    stores[i % 2], j, 0, QUEUE, on_job, &a[i]);
			job_free(j);
		}
		for (i = 0; i < 8; i++) {
			run_until(&a[i].n, 1);
			ok += a[i].result == STORE_OK;
			job_free(a[i].job);
		}
	}
	assert_int_equal(ok, 21);
	/* ... and run as may run. */
	for (round = 0; round < 4; round++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < 8; i++)
			w.ops->claim(stores[i % 2], 0, on_job, &a[i]);
		for (i = 0; i < 8; i++) {
			run_until(&a[i].n, 1);
			assert_true(a[i].result == STORE_OK ||
				    a[i].result == STORE_NOT_FOUND);
			running += a[i].result == STORE_OK;
			job_free(a[i].job);
		}
	}
	assert_int_equal(running, 5);
	assert_counts(16, 5);
	w.ops->close(stores[1]);
}

static void
t_bad_url(void **state)
{
	struct store_self self = { "tako1", "0", 30 };
	char detail[512] = "";

	(void)state;
	assert_null(w.ops->open(w.base,
	    is_pg() ? "postgresql://u:secret@[h/d" : "sqlite:///", &self,
	    on_state, on_wakeup, NULL, detail, sizeof(detail)));
	assert_true(detail[0] != '\0');
	assert_null(strstr(detail, "secret"));
}

#define BOTH(test)                                                             \
	{ #test " (sqlite)", test, setup, teardown,                            \
		(void *)(uintptr_t)&store_sqlite },                            \
	{                                                                      \
#test " (postgresql)", test, setup, teardown,                  \
		    (void *)(uintptr_t)&store_pg                               \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_submit_waits),
		BOTH(t_submit_starts),
		BOTH(t_submit_start_waits),
		BOTH(t_submit_again),
		BOTH(t_submit_full),
		BOTH(t_submit_together),
		BOTH(t_idempotency),
		BOTH(t_idempotency_parallel),
		BOTH(t_claim),
		BOTH(t_claim_order),
		BOTH(t_not_before),
		BOTH(t_release),
		BOTH(t_attempts),
		BOTH(t_no_letter),
		BOTH(t_letters),
		BOTH(t_start),
		BOTH(t_finish),
		BOTH(t_finish_guards),
		BOTH(t_cancel),
		BOTH(t_get),
		BOTH(t_list),
		BOTH(t_filters),
		BOTH(t_search),
		BOTH(t_search_hostile),
		BOTH(t_plans),
		BOTH(t_import),
		BOTH(t_blobs),
		BOTH(t_recover),
		BOTH(t_recover_started),
		BOTH(t_recover_others),
		BOTH(t_lease_ends),
		BOTH(t_beat),
		BOTH(t_nodes),
		BOTH(t_ended),
		BOTH(t_clock),
		{ "t_wake (postgresql)", t_wake, setup, teardown,
		    (void *)(uintptr_t)&store_pg },
		BOTH(t_expire),
		BOTH(t_expire_all),
		BOTH(t_reopen),
		BOTH(t_close_answers),
		BOTH(t_artifact_known),
		BOTH(t_chunks),
		BOTH(t_chunk_places),
		BOTH(t_order),
		BOTH(t_turns),
		BOTH(t_turns_flood),
		BOTH(t_turns_idle),
		BOTH(t_turns_random),
		BOTH(t_weights),
		BOTH(t_priority),
		BOTH(t_max_running),
		BOTH(t_max_running_start),
		BOTH(t_max_running_two),
		BOTH(t_max_queued),
		BOTH(t_budget),
		BOTH(t_idempotency_tenants),
		BOTH(t_idempotency_shared),
		BOTH(t_tenants),
		BOTH(t_bad_url),
	};

	log_init("store_conformance", LOG_LEVEL_ERROR, 0);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
