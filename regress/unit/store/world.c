/*
 * world.c: the store under test, one call at a time; jobs, and what is
 * expected of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libpq-fe.h>

#include "util.h"
#include "world.h"

struct world w;
int in_call;

static void
too_late(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	*(int *)arg = 1;
	event_base_loopbreak(w.base);
}

/* Runs the loop until *n is at least want. */
void
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

void
on_job(enum store_result result, struct job *job, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->job = job;
}

void
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

void
on_plain(enum store_result result, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
}

void
on_blob(enum store_result result, struct blob *blob, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->blob = blob;
}

void
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

void
on_counts(enum store_result result, const struct store_counts *c, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->counts = *c;
}

void
on_position(enum store_result result, int64_t position, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	a->position = position;
}

void
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

void
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

void
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

void
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

void
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

void
on_errors(enum store_result result, const int64_t *counts, void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	memcpy(a->errors, counts, sizeof(a->errors));
}

void
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

enum store_result
do_submit(const struct job *j, int start, int64_t max, struct answer *a)
{
	CALL(a, submit(w.store, j, start, max, on_job, a));
	return (a->result);
}

enum store_result
do_claim(int code_started, struct answer *a)
{
	CALL(a, claim(w.store, code_started, on_job, a));
	return (a->result);
}

enum store_result
do_start(const char *id, int64_t fence)
{
	struct answer a;

	CALL(&a, start(w.store, id, fence, on_plain, &a));
	return (a.result);
}

enum store_result
do_release(const char *id, int64_t fence, int64_t delay_us)
{
	struct answer a;
	struct job j = { .fence = fence };

	strlcpy(j.id, id, sizeof(j.id));
	CALL(&a, release(w.store, &j, delay_us, on_plain, &a));
	return (a.result);
}

enum store_result
do_finish(const struct job *j)
{
	struct answer a;

	CALL(&a, finish(w.store, j, on_plain, &a));
	return (a.result);
}

enum store_result
do_cancel(const char *id, struct answer *a)
{
	CALL(a, cancel(w.store, id, on_job, a));
	return (a->result);
}

/* The job, or NULL when there is none. */
struct job *
do_get(const char *id, int want)
{
	struct answer a;

	CALL(&a, get(w.store, id, want, on_job, &a));
	assert_true(a.result == STORE_OK || a.result == STORE_NOT_FOUND);
	assert_true((a.job == NULL) == (a.result == STORE_NOT_FOUND));
	return (a.job);
}

int64_t
do_position(const char *id)
{
	struct answer a;

	CALL(&a, queue_position(w.store, id, on_position, &a));
	assert_int_equal(a.result, STORE_OK);
	return (a.position);
}

void
assert_counts(int64_t queued, int64_t running)
{
	struct answer a;

	CALL(&a, counts(w.store, on_counts, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.counts.queued, queued);
	assert_int_equal(a.counts.running, running);
}

/* A heartbeat of who holds one job, or none (NULL). */
void
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
void
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

void
do_expire(int64_t age_us, int max, struct answer *a)
{
	CALL(a, expire(w.store, age_us, max, on_ids, a));
	assert_int_equal(a->result, STORE_OK);
}

/* A job whose every field has a value of its own. */
struct job *
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
void
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

void
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
struct job *
claim_one(void)
{
	struct answer a;

	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_non_null(a.job);
	return (a.job);
}

void
end_succeeded(struct job *j)
{
	j->status = JOB_SUCCEEDED;
	j->ended_at = j->started_at + 1000000;
	j->exit_code = 0;
	j->phase_at_exit = PHASE_COMPLETED;
}

void
assert_blob(const struct blob *b, const void *bytes, size_t len)
{
	assert_non_null(b);
	assert_int_equal(blob_len(b), len);
	assert_memory_equal(blob_data(b), bytes, len);
}

/* What submit wrote, as it was asked. */
void
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
void
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

/* One that has just ended, with a key. Its id into id. */
void
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

/* An end whose every field has a value of its own. */
void
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

void
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

struct store_filter
any(int limit)
{
	struct store_filter f;

	memset(&f, 0, sizeof(f));
	f.status = f.error = -1;
	f.exit_code = STORE_ANY_EXIT;
	f.limit = limit;
	return (f);
}

void
do_list(const struct store_filter *f, struct answer *a)
{
	CALL(a, list(w.store, f, on_page, a));
	assert_int_equal(a->result, STORE_OK);
	assert_int_equal(a->next, 0);
}

/* What a filter finds, newest first, against what is expected. */
void
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

void
on_texts(enum store_result result, const struct store_texts *texts, size_t n,
    void *arg)
{
	struct answer *a = arg;

	assert_false(in_call);
	a->n++;
	a->result = result;
	assert_in_range(n, 0, nitems(a->texts));
	for (a->n_texts = 0; a->n_texts < n; a->n_texts++) {
		a->texts[a->n_texts] = texts[a->n_texts];
		blob_ref(texts[a->n_texts].texts);
	}
}

struct blob *
words_of(const struct store_texts *t)
{
	struct words *words = words_new();
	struct blob *b;
	const char *text;
	size_t off = 0, len, i;

	for (i = 0; i < STORE_TEXTS; off += t->len[i++])
		assert_int_equal(
		    words_add(words, blob_data(t->texts) + off, t->len[i]), 0);
	assert_int_equal(off, blob_len(t->texts));
	text = words_text(words, &len);
	b = blob_copy(text, len);
	words_free(words);
	return (b);
}

void
do_index(void)
{
	struct store_words words[3];
	struct answer a, done;
	size_t i;

	for (;;) {
		CALL(&a, to_index(w.store, 3, on_texts, &a));
		assert_int_equal(a.result, STORE_OK);
		if (a.n_texts == 0)
			return;
		for (i = 0; i < a.n_texts; i++) {
			words[i].seq = a.texts[i].seq;
			words[i].words = words_of(&a.texts[i]);
			blob_unref(a.texts[i].texts);
		}
		CALL(
		    &done, indexed(w.store, words, a.n_texts, on_plain, &done));
		assert_int_equal(done.result, STORE_OK);
		for (i = 0; i < a.n_texts; i++)
			blob_unref(words[i].words);
	}
}

void
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

void
on_wakeup(enum store_wake what, const char *id, void *arg)
{
	(void)arg;
	w.wakes[what]++;
	strlcpy(w.woken, id, sizeof(w.woken));
}

struct store *
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

void
reopen(void)
{
	w.ops->close(w.store);
	w.store = open_as("tako1");
}

static PGconn *pg_direct;

void
direct_text(const char *sql)
{
	PGresult *res = PQexec(pg_direct, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK &&
	    PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(pg_direct));
	PQclear(res);
}

void
direct(const char *format, ...)
{
	char sql[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sql, sizeof(sql), format, ap);
	va_end(ap);
	direct_text(sql);
}

int
is_pg(void)
{
	return (w.ops == &store_pg);
}

int
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

int
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

/* The plan of a statement of PostgreSQL, all lines in one text. */
void
pg_plan(char *plan, size_t len, const char *settings, const char *types,
    const char *sql, const char *values)
{
	PGconn *conn = PQconnectdb(w.url);
	PGresult *res;
	char text[8192];
	int i;

	snprintf(text, sizeof(text), "PREPARE p (%s) AS %s", types, sql);
	PQclear(PQexec(conn, settings));
	res = PQexec(conn, text);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s", PQresultErrorMessage(res));
	PQclear(res);
	snprintf(text, sizeof(text), "EXPLAIN EXECUTE p (%s)", values);
	res = PQexec(conn, text);
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
