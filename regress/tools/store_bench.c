/*
 * store_bench.c: how long a store's calls take, and for how long they hold the
 * loop. A program of its own, for whoever changes a driver:
 *
 *	store_bench URL [jobs [at_once [output_bytes]]]
 *	store_bench -w waiting [-t tenants] URL [jobs]
 *	store_bench -c URL [jobs]
 *
 * Each job is submitted, claimed and finished with output; at_once jobs are
 * under way together. Then all are removed as old ones are. An event that runs
 * in every turn of the loop sees how long the loop did nothing else: that is
 * what other work would have waited.
 *
 * With -w so many jobs of so many tenants (1) wait already, put there by SQL,
 * and jobs of them are claimed one after the other: what a claim takes is to
 * be the same however many wait. The database must be a new one; with -c it is
 * one that was filled so.
 */
#include <err.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "takod/store.h"
#include "takod/store_schema.h"
#include "util.h"

/* Turns that held the loop for less are not counted. */
#define HELD_LEAST_US 100
/* Rows that one statement puts in. */
#define FILL 500

enum measure {
	SUBMIT,
	CLAIM,
	FINISH,
	EXPIRE,
	HELD,
	MEASURES
};

static const char *const names[MEASURES] = { "submit", "claim", "finish",
	"expire", "loop held" };

struct samples {
	int64_t *us;
	size_t n, room;
};

static struct bench {
	const struct store_ops *ops;
	struct event_base *base;
	struct store *store;
	struct event *beat;
	int64_t last_beat;
	struct blob *code, *output;
	long left, under_way, removed;
	int64_t asked;
	struct samples samples[MEASURES];
} b;

/* A timer: made active by its own callback, it would let no other event in. */
static const struct timeval no_wait = { 0, 0 };

struct one {
	struct job *job;
	int64_t since;
};

static void next_job(struct one *);

static void
note(enum measure m, int64_t us)
{
	struct samples *s = &b.samples[m];

	if (s->n == s->room) {
		s->room = s->room == 0 ? 4096 : s->room * 2;
		s->us = reallocarray(s->us, s->room, sizeof(*s->us));
		if (s->us == NULL)
			err(1, NULL);
	}
	s->us[s->n++] = us;
}

static void
on_beat(int fd, short events, void *arg)
{
	int64_t now = time_mono_us();

	(void)fd;
	(void)events;
	(void)arg;
	if (now - b.last_beat >= HELD_LEAST_US)
		note(HELD, now - b.last_beat);
	b.last_beat = now;
	event_add(b.beat, &no_wait);
}

static void
must(enum store_result result, const char *what)
{
	if (result != STORE_OK)
		errx(1, "%s: result %d", what, result);
}

static void
finished(enum store_result result, void *arg)
{
	struct one *one = arg;

	must(result, "finish");
	note(FINISH, time_mono_us() - one->since);
	job_free(one->job);
	one->job = NULL;
	next_job(one);
}

static void
claimed(enum store_result result, struct job *job, void *arg)
{
	struct one *one = arg;

	must(result, "claim");
	note(CLAIM, time_mono_us() - one->since);
	one->job = job;
	job->status = JOB_SUCCEEDED;
	job->ended_at = time_wall_us();
	job->exit_code = 0;
	job->out = blob_ref(b.output);
	one->since = time_mono_us();
	b.ops->finish(b.store, job, finished, one);
}

static void
submitted(enum store_result result, struct job *job, void *arg)
{
	struct one *one = arg;

	must(result, "submit");
	note(SUBMIT, time_mono_us() - one->since);
	job_free(job);
	one->since = time_mono_us();
	b.ops->claim(b.store, 1, claimed, one);
}

static void
next_job(struct one *one)
{
	struct job *job;

	if (b.left == 0) {
		if (--b.under_way == 0)
			event_base_loopbreak(b.base);
		return;
	}
	b.left--;
	if ((job = job_new()) == NULL)
		err(1, NULL);
	uuid4(job->id);
	strlcpy(job->job_type, "default", sizeof(job->job_type));
	job->code = blob_ref(b.code);
	job->input = blob_ref(b.code);
	job->created_at = time_wall_us();
	one->since = time_mono_us();
	b.ops->submit(b.store, job, 0, 10000, submitted, one);
	job_free(job);
}

static void expire(int, short, void *);

/* Pauses as those of takod/retain.c. */
static void
expired(enum store_result result, const struct store_expired *ids, size_t n,
    void *arg)
{
	int64_t took = time_mono_us() - b.asked;
	struct timeval tv = { 0, 0 };

	(void)ids;
	must(result, "expire");
	note(EXPIRE, took);
	b.removed += (long)n;
	if (n == 0) {
		event_base_loopbreak(b.base);
		return;
	}
	took = took * 9 > 10000 ? took * 9 : 10000;
	tv.tv_sec = took / 1000000;
	tv.tv_usec = took % 1000000;
	event_base_once(b.base, -1, EV_TIMEOUT, expire, arg, &tv);
}

static void
expire(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	b.asked = time_mono_us();
	b.ops->expire(b.store, 0, STORE_EXPIRE_MAX, expired, arg);
}

static void
on_state(int up, const char *detail, void *arg)
{
	int *is_up = arg;

	*is_up = up;
	if (!up)
		errx(1, "the store is away: %s", detail);
}

/* ---- many that wait already ------------------------------------------------
 */

static void
direct(const char *url, const char *sql)
{
	char *error = NULL;
	PGresult *res;
	PGconn *pg;
	sqlite3 *db;

	if (b.ops == &store_sqlite) {
		if (sqlite3_open(url + strlen("sqlite:///"), &db) !=
			SQLITE_OK ||
		    sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
			errx(1, "%s", error == NULL ? url : error);
		sqlite3_close(db);
		return;
	}
	pg = PQconnectdb(url);
	res = PQexec(pg, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		errx(1, "%s", PQerrorMessage(pg));
	PQclear(res);
	PQfinish(pg);
}

static void
answered(enum store_result result, struct job *job, void *arg)
{
	must(result, "submit or claim");
	job_free(job);
	*(int *)arg = 1;
}

static struct store *open_store(const char *);

/* One is submitted, and goes before the others; they are made like it. */
static void
fill(const char *url, long waiting, long tenants)
{
	struct job *job = job_new();
	char columns[] = JOB_COLUMNS;
	char *rest = strstr(columns, ", "), *sql;
	char *tenant = strstr(columns, ", tenant");
	long i;
	int done = 0;

	strlcpy(job->id, "first", sizeof(job->id));
	strlcpy(job->job_type, "default", sizeof(job->job_type));
	strlcpy(job->tenant, "key:t1", sizeof(job->tenant));
	job->code = blob_ref(b.code);
	job->input = blob_ref(b.code);
	job->created_at = time_wall_us();
	b.store = open_store(url);
	b.ops->submit(b.store, job, 0, 10000, answered, &done);
	while (!done)
		event_base_loop(b.base, EVLOOP_ONCE);
	b.ops->close(b.store);
	job_free(job);
	*tenant = '\0';
	/* Not at once: PostgreSQL keeps each version of a row till the end. */
	for (i = 1; i <= waiting; i += FILL) {
		sql = xasprintf(
		    "WITH RECURSIVE n (i) AS (SELECT %ld UNION ALL"
		    " SELECT i + 1 FROM n WHERE i < %ld)"
		    " INSERT INTO jobs (" JOB_COLUMNS ") SELECT"
		    " 'job-' || i%s, 'key:t' || (i %% %ld)%s FROM n, jobs"
		    " WHERE id = 'first';",
		    i, i + FILL - 1 < waiting ? i + FILL - 1 : waiting, rest,
		    tenants, tenant + strlen(", tenant"));
		direct(url, sql);
		free(sql);
	}
	direct(url,
	    "INSERT INTO payloads SELECT jobs.id, code, input, requirements"
	    " FROM jobs, payloads WHERE jobs.id <> 'first'");
}

static void
claims(const char *url, long jobs, long waiting, long tenants)
{
	int64_t since;
	int done;

	if (waiting > 0)
		fill(url, waiting, tenants);
	b.store = open_store(url);
	for (; jobs > 0; jobs--) {
		since = time_mono_us();
		b.ops->claim(b.store, 1, answered, &done);
		for (done = 0; !done;)
			event_base_loop(b.base, EVLOOP_ONCE);
		note(CLAIM, time_mono_us() - since);
	}
	b.ops->close(b.store);
}

static int
compare(const void *a, const void *c)
{
	const int64_t *x = a, *y = c;

	return ((*x > *y) - (*x < *y));
}

static void
report(enum measure m)
{
	struct samples *s = &b.samples[m];

	qsort(s->us, s->n, sizeof(*s->us), compare);
	printf("%-10s %8zu %9.2f %9.2f %9.2f %9.2f\n", names[m], s->n,
	    (double)s->us[s->n / 2] / 1000,
	    (double)s->us[s->n * 99 / 100] / 1000,
	    (double)s->us[s->n * 999 / 1000] / 1000,
	    (double)s->us[s->n - 1] / 1000);
}

static long
number(int argc, char **argv, int i, long fallback)
{
	const char *error;
	long n;

	if (i >= argc)
		return (fallback);
	n = (long)strtonum(argv[i], 0, 1L << 30, &error);
	if (error != NULL)
		errx(1, "%s: %s", argv[i], error);
	return (n);
}

static struct store *
open_store(const char *url)
{
	static const struct store_self self = { "store_bench", "0", 30 };
	char detail[512] = "";
	struct store *s;
	static int up;

	up = 0;
	s = b.ops->open(
	    b.base, url, &self, on_state, NULL, &up, detail, sizeof(detail));
	if (s == NULL)
		errx(1, "%s", detail);
	while (!up)
		event_base_loop(b.base, EVLOOP_ONCE);
	return (s);
}

int
main(int argc, char **argv)
{
	struct one *ones;
	void *output;
	long at_once, bytes, jobs, waiting = 0, tenants = 1;
	int64_t began;
	int ch, claim = 0;

	while ((ch = getopt(argc, argv, "cw:t:")) != -1)
		if (ch == 'c')
			claim = 1;
		else if (ch == 'w')
			waiting = atol(optarg);
		else if (ch == 't')
			tenants = atol(optarg);
	argv += optind - 1;
	argc -= optind - 1;
	if (argc < 2 || tenants < 1)
		errx(1, "usage: store_bench [-c | -w waiting [-t tenants]] URL"
			" [jobs [at_once [bytes]]]");
	log_init("store_bench", LOG_LEVEL_WARNING, 0);
	jobs = b.left = number(argc, argv, 2, 2000);
	at_once = number(argc, argv, 3, 1);
	bytes = number(argc, argv, 4, 65536);
	ones = xcalloc((size_t)at_once, sizeof(*ones));
	output = xmalloc((size_t)bytes + 1);
	arc4random_buf(output, (size_t)bytes);
	b.output = blob_take(output, (size_t)bytes);
	b.code = blob_copy("print(1)", 8);
	b.ops = strncmp(argv[1], "sqlite:", 7) == 0 ? &store_sqlite : &store_pg;
	if ((b.base = event_base_new()) == NULL ||
	    (b.beat = evtimer_new(b.base, on_beat, NULL)) == NULL)
		err(1, NULL);
	if (claim || waiting > 0) {
		claims(argv[1], jobs, waiting, tenants);
		if (waiting > 0)
			printf("%ld waiting, %ld tenants\n", waiting, tenants);
		printf("%-10s %8s %9s %9s %9s %9s\n", "ms", "n", "p50", "p99",
		    "p99.9", "max");
		if (jobs > 0)
			report(CLAIM);
		return (0);
	}
	b.store = open_store(argv[1]);
	began = b.last_beat = time_mono_us();
	event_add(b.beat, &no_wait);
	for (long i = 0; i < at_once; i++) {
		b.under_way++;
		next_job(&ones[i]);
	}
	event_base_dispatch(b.base);
	printf("%ld jobs, %ld at once, %ld bytes of output: %.0f jobs/s\n",
	    jobs, at_once, bytes,
	    (double)jobs * 1e6 / (double)(time_mono_us() - began));
	printf("%-10s %8s %9s %9s %9s %9s\n", "ms", "n", "p50", "p99", "p99.9",
	    "max");
	for (enum measure m = SUBMIT; m < MEASURES; m++)
		if (m != EXPIRE)
			report(m);
	b.samples[HELD].n = 0;
	began = b.last_beat = time_mono_us();
	expire(-1, 0, NULL);
	event_base_dispatch(b.base);
	printf("%ld removed: %.0f jobs/s\n", b.removed,
	    (double)b.removed * 1e6 / (double)(time_mono_us() - began));
	report(EXPIRE);
	report(HELD);
	b.ops->close(b.store);
	event_free(b.beat);
	event_base_free(b.base);
	blob_unref(b.code);
	blob_unref(b.output);
	for (enum measure m = SUBMIT; m < MEASURES; m++)
		free(b.samples[m].us);
	free(ones);
	return (0);
}
