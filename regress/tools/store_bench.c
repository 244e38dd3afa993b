/*
 * store_bench.c: how long a store's calls take, and for how long they hold the
 * loop. A program of its own, for whoever changes a driver:
 *
 *	store_bench URL [jobs [at_once [output_bytes]]]
 *	store_bench -w waiting [-t tenants] URL [jobs]
 *	store_bench -c URL [jobs]
 *	store_bench URL fill records
 *	store_bench URL find [calls]
 *
 * Each job is submitted, claimed and finished with output; at_once jobs are
 * under way together. Then their words are indexed, and all are removed as old
 * ones are. An event that runs in every turn of the loop sees how long the
 * loop did nothing else: that is what other work would have waited.
 *
 * With -w so many jobs of so many tenants (1) wait already, put there by SQL,
 * and jobs of them are claimed one after the other: what a claim takes is to
 * be the same however many wait. The database must be a new one; with -c it is
 * one that was filled so.
 *
 * fill adds records that have ended, with words that are common and rare, and
 * indexes them; find takes from such a store a record by its id, a page of the
 * list, and what is searched for.
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
	INDEX,
	EXPIRE,
	GET,
	LIST,
	LIST_DEEP,
	LIST_FILTER,
	LIST_WORST,
	SEARCH_COMMON,
	SEARCH_SOME,
	SEARCH_RARE,
	SEARCH_BOTH,
	SEARCH_NONE,
	SEARCH_PHRASE,
	HELD,
	MEASURES
};

static const char *const names[MEASURES] = { "submit", "claim", "finish",
	"index", "expire", "get", "list 100", "list, offset 10000",
	"list, failed", "list, none of all", "search, in all", "search, in 1 %",
	"search, in 1", "search, never both", "search, in none",
	"search, phrase", "loop held" };

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
	char *created = strstr(columns, ", created_at");
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
	*created = *tenant = '\0';
	/* Not at once: PostgreSQL keeps each version of a row till the end. */
	for (i = 1; i <= waiting; i += FILL) {
		sql = xasprintf("WITH RECURSIVE n (i) AS (SELECT %ld UNION ALL"
				" SELECT i + 1 FROM n WHERE i < %ld)"
				" INSERT INTO jobs (" JOB_COLUMNS ") SELECT"
				" 'job-' || i%s, created_at + i%s,"
				" 'key:t' || (i %% %ld)%s FROM n, jobs"
				" WHERE id = 'first';",
		    i, i + FILL - 1 < waiting ? i + FILL - 1 : waiting, rest,
		    created + strlen(", created_at"), tenants,
		    tenant + strlen(", tenant"));
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
	if (s->n == 0)
		return;
	printf("%-18s %8zu %9.3f %9.3f %9.3f %9.3f %9.3f\n", names[m], s->n,
	    (double)s->us[s->n / 2] / 1000,
	    (double)s->us[s->n * 95 / 100] / 1000,
	    (double)s->us[s->n * 99 / 100] / 1000,
	    (double)s->us[s->n * 999 / 1000] / 1000,
	    (double)s->us[s->n - 1] / 1000);
}

static void
heading(void)
{
	printf("%-18s %8s %9s %9s %9s %9s %9s\n", "ms", "n", "p50", "p95",
	    "p99", "p99.9", "max");
}

/* ---- words --------------------------------------------------------------- */

static void to_index(
    enum store_result, const struct store_texts *, size_t, void *);

static void
indexed(enum store_result result, void *arg)
{
	must(result, "indexed");
	note(INDEX, time_mono_us() - b.asked);
	b.asked = time_mono_us();
	b.ops->to_index(b.store, STORE_INDEX_MAX, to_index, arg);
}

/* What a child does in takod. */
static struct blob *
words_of(const struct store_texts *t)
{
	struct words *w = words_new();
	const char *text;
	size_t off = 0, len, i;

	for (i = 0; i < STORE_TEXTS; off += t->len[i++])
		if (w == NULL ||
		    words_add(w, blob_data(t->texts) + off, t->len[i]) == -1)
			err(1, NULL);
	text = words_text(w, &len);
	struct blob *words = blob_copy(text, len);

	words_free(w);
	return (words);
}

static void
to_index(enum store_result result, const struct store_texts *texts, size_t n,
    void *arg)
{
	struct store_words words[STORE_INDEX_MAX];
	size_t i;

	must(result, "to_index");
	if (n == 0) {
		event_base_loopbreak(b.base);
		return;
	}
	for (i = 0; i < n; i++) {
		words[i].seq = texts[i].seq;
		words[i].words = words_of(&texts[i]);
	}
	b.ops->indexed(b.store, words, n, indexed, arg);
	for (i = 0; i < n; i++)
		blob_unref(words[i].words);
}

static void
index_all(void)
{
	b.asked = time_mono_us();
	b.ops->to_index(b.store, STORE_INDEX_MAX, to_index, NULL);
	event_base_dispatch(b.base);
}

/* ---- many records ---------------------------------------------------------
 */

#define DAY_US (86400 * INT64_C(1000000))
#define FIRST  (19000 * DAY_US)
/* Words that a record has of so many, the first ones far more often. */
#define WORDS_EACH 30
#define VOCABULARY 20000

static long filled;

/* The id of record n: found again without asking. */
static void
id_of(char id[MAX_JOB_ID + 1], long n)
{
	snprintf(id, MAX_JOB_ID + 1, "00000000-0000-4000-8000-%012lx", n);
}

static uint64_t
scatter(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return (x ^ x >> 33);
}

static struct job *
record(long n)
{
	struct job *j = job_new();
	char text[2048];
	size_t len = 0;
	uint64_t r;
	int i;

	if (j == NULL)
		err(1, NULL);
	id_of(j->id, n);
	snprintf(j->job_type, sizeof(j->job_type), "type-%ld", n % 7);
	j->created_at = FIRST + n * 1000000;
	j->started_at = j->created_at + 1000;
	j->ended_at = j->started_at + 1000;
	j->attempt = 1;
	j->status = n % 10 == 0 ? JOB_FAILED : JOB_SUCCEEDED;
	j->exit_code = n % 10 == 0;
	j->error = n % 10 == 0 ? JERR_KEY : JERR_NONE;
	/* even and odd have a word each, and never both of them */
	len += (size_t)snprintf(text + len, sizeof(text) - len,
	    "import os\nnumber_%ld = %ld  # %s%s\n", n, n,
	    n % 2 ? "odd" : "even", n % 100 == 0 ? " hundredth" : "");
	for (i = 0; i < WORDS_EACH; i++) {
		r = scatter((uint64_t)n * WORDS_EACH + (uint64_t)i);
		r = (r & 0xffff) * ((r >> 16) & 0xffff) % VOCABULARY;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "w%llx ", (unsigned long long)r);
	}
	j->code = blob_copy(text, len);
	j->code_len = len;
	j->input = blob_copy("{}", 2);
	j->input_len = 2;
	j->requirements = blob_copy("", 0);
	j->out = blob_copy("done\nall is well\n", 17);
	return (j);
}

static void imported(enum store_result, void *);

static void
import_next(void)
{
	struct job *j;

	if (b.left == 0) {
		if (b.under_way == 0)
			event_base_loopbreak(b.base);
		return;
	}
	b.left--;
	b.under_way++;
	j = record(filled++);
	b.ops->import(b.store, j, imported, NULL);
	job_free(j);
}

static void
imported(enum store_result result, void *arg)
{
	(void)arg;
	if (result != STORE_EXISTS)
		must(result, "import");
	b.under_way--;
	import_next();
}

static void
fill_records(long n)
{
	long i;

	b.left = n;
	for (i = 0; i < 256; i++)
		import_next();
	event_base_dispatch(b.base);
	index_all();
	report(INDEX);
}

/* ---- finding them again
 * ------------------------------------------------------
 */

static void
on_got(enum store_result result, struct job *job, void *arg)
{
	(void)arg;
	must(result, "get");
	job_free(job);
	event_base_loopbreak(b.base);
}

static size_t n_found;
static int64_t gave_up, refused;

static void
on_found(enum store_result result, const struct store_page *page, void *arg)
{
	(void)arg;
	if (result == STORE_FAILED)
		refused++;
	else
		must(result, "list");
	n_found = page->n;
	gave_up += page->next != 0;
	event_base_loopbreak(b.base);
}

static void
find_one(enum measure m, const struct store_filter *f)
{
	int64_t since = time_mono_us();

	b.ops->list(b.store, f, on_found, NULL);
	event_base_dispatch(b.base);
	note(m, time_mono_us() - since);
}

static void
pause_s(void)
{
	static const struct timeval tv = { 1, 0 };

	event_base_loopexit(b.base, &tv);
	event_base_dispatch(b.base);
}

static struct store_filter
any(const char *query)
{
	struct store_filter f;

	memset(&f, 0, sizeof(f));
	f.status = f.error = -1;
	f.exit_code = STORE_ANY_EXIT;
	f.limit = 101;
	if (query[0] != '\0' && words_query(f.query, query) != NULL)
		errx(1, "%s", query);
	return (f);
}

static void
find(long calls)
{
	struct store_filter f = any("");
	char id[MAX_JOB_ID + 1];
	int64_t since;
	uint64_t r;
	long i, n, low = 0, high = 1L << 26;

	f.limit = 1;
	find_one(LIST, &f);
	b.samples[LIST].n = 0;
	if (n_found == 0)
		errx(1, "fill it first");
	/* How many there are: the ids count up. */
	while (high - low > 1) {
		n = (low + high) / 2;
		f.since = FIRST + n * 1000000;
		find_one(LIST, &f);
		if (n_found > 0)
			low = n;
		else
			high = n;
	}
	n = low + 1;
	b.samples[LIST].n = 0;
	b.samples[HELD].n = 0;
	printf("%ld records\n", n);
	for (i = 0; i < calls; i++) {
		r = scatter((uint64_t)i);
		id_of(id, (long)(r % (uint64_t)n));
		since = time_mono_us();
		b.ops->get(
		    b.store, id, WANT_OUTPUT | WANT_PAYLOAD, on_got, NULL);
		event_base_dispatch(b.base);
		note(GET, time_mono_us() - since);
		f = any("");
		find_one(LIST, &f);
		f.status = JOB_FAILED;
		find_one(LIST_FILTER, &f);
		f = any("odd");
		find_one(SEARCH_COMMON, &f);
		f = any("hundredth");
		find_one(SEARCH_SOME, &f);
		f = any("");
		snprintf(f.query, sizeof(f.query), "+number_%ld",
		    (long)(r % (uint64_t)n));
		find_one(SEARCH_RARE, &f);
		f = any("nowhere");
		find_one(SEARCH_NONE, &f);
	}
	/* What holds the loop lets searches rest after it. */
	for (i = 0; i < calls; i += 10) {
		f = any("");
		f.offset = 10000;
		find_one(LIST_DEEP, &f);
		f = any("");
		f.status = JOB_SUCCEEDED;
		f.error = JERR_KEY;
		find_one(LIST_WORST, &f);
		pause_s();
		f = any("odd even");
		find_one(SEARCH_BOTH, &f);
		pause_s();
		f = any("\"all is well\" hundredth -even os");
		find_one(SEARCH_PHRASE, &f);
	}
	heading();
	for (enum measure m = GET; m < MEASURES; m++)
		report(m);
	printf("%lld were answered in part, %lld were given up\n",
	    (long long)gave_up, (long long)refused);
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

/* Words of random letters. */
static void
fill_text(char *text, size_t len)
{
	size_t i;

	arc4random_buf(text, len);
	for (i = 0; i < len; i++)
		text[i] =
		    (text[i] & 7) == 0 ? ' ' : (char)('a' + (text[i] & 15));
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

static void
begin(const char *url)
{
	b.store = open_store(url);
	b.last_beat = time_mono_us();
	event_add(b.beat, &no_wait);
}

static void
close_store(void)
{
	b.ops->close(b.store);
	event_free(b.beat);
	event_base_free(b.base);
	for (enum measure m = SUBMIT; m < MEASURES; m++)
		free(b.samples[m].us);
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
			" [jobs [at_once [bytes]]]"
			" | URL fill records | URL find [calls]");
	b.ops = strncmp(argv[1], "sqlite:", 7) == 0 ? &store_sqlite : &store_pg;
	if ((b.base = event_base_new()) == NULL ||
	    (b.beat = evtimer_new(b.base, on_beat, NULL)) == NULL)
		err(1, NULL);
	log_init("store_bench", LOG_LEVEL_WARNING, 0);
	if (argc > 2 &&
	    (strcmp(argv[2], "fill") == 0 || strcmp(argv[2], "find") == 0)) {
		begin(argv[1]);
		/* A server works elsewhere: it would only be in its way. */
		if (b.ops != &store_sqlite)
			event_del(b.beat);
		if (strcmp(argv[2], "fill") == 0)
			fill_records(number(argc, argv, 3, 1000));
		else
			find(number(argc, argv, 3, 200));
		close_store();
		return (0);
	}
	jobs = b.left = number(argc, argv, 2, 2000);
	at_once = number(argc, argv, 3, 1);
	bytes = number(argc, argv, 4, 65536);
	ones = xcalloc((size_t)at_once, sizeof(*ones));
	output = xmalloc((size_t)bytes + 1);
	fill_text(output, (size_t)bytes);
	b.output = blob_take(output, (size_t)bytes);
	b.code = blob_copy("print(1)", 8);
	if (claim || waiting > 0) {
		claims(argv[1], jobs, waiting, tenants);
		if (waiting > 0)
			printf("%ld waiting, %ld tenants\n", waiting, tenants);
		heading();
		report(CLAIM);
		return (0);
	}
	begin(argv[1]);
	began = time_mono_us();
	for (long i = 0; i < at_once; i++) {
		b.under_way++;
		next_job(&ones[i]);
	}
	event_base_dispatch(b.base);
	printf("%ld jobs, %ld at once, %ld bytes of output: %.0f jobs/s\n",
	    jobs, at_once, bytes,
	    (double)jobs * 1e6 / (double)(time_mono_us() - began));
	heading();
	for (enum measure m = SUBMIT; m <= FINISH; m++)
		report(m);
	report(HELD);
	b.samples[HELD].n = 0;
	began = b.last_beat = time_mono_us();
	index_all();
	printf("indexed: %.0f jobs/s\n",
	    (double)jobs * 1e6 / (double)(time_mono_us() - began));
	report(INDEX);
	report(HELD);
	b.samples[HELD].n = 0;
	began = b.last_beat = time_mono_us();
	expire(-1, 0, NULL);
	event_base_dispatch(b.base);
	printf("%ld removed: %.0f jobs/s\n", b.removed,
	    (double)b.removed * 1e6 / (double)(time_mono_us() - began));
	report(EXPIRE);
	report(HELD);
	close_store();
	blob_unref(b.code);
	blob_unref(b.output);
	free(ones);
	return (0);
}
