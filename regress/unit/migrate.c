/*
 * migrate.c: row T32 of the fault catalogue: a database of each former schema,
 * with a job that waits, one that ran and one that has a key, is brought up to
 * date, and its rows are as good as new ones; a newer schema is refused and
 * left alone. SQLite; the migrations of PostgreSQL are the same texts.
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
#include <event2/event.h>
#include <sqlite3.h>

#include "log.h"
#include "util.h"

#include "takod/store.h"
#include "takod/store_schema.h"

#define WAITS "11111111-1111-4111-8111-111111111111"
#define RAN   "22222222-2222-4222-8222-222222222222"

static char path[256], url[300];
static const struct store_self self = { "me", "0", 30 };
static struct event_base *base;
static int answered, up;
static enum store_result last;
static struct job *row;

static void
run_sql(const char *sql)
{
	char *error = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	sqlite3_close(db);
}

/* A job as the first schema has it; later columns have their defaults. */
static void
insert(const char *id, const char *status, const char *key, int started)
{
	char *sql;

	sql = sqlite3_mprintf(
	    "INSERT INTO jobs (id, job_type, idempotency_key, fingerprint,"
	    " correlation_id, client, parent_id, code_hash, input_hash,"
	    " code_len, input_len, timeout, startup_timeout, created_at,"
	    " status, owner, fence, attempt, not_before, code_started,"
	    " started_at, ended_at, exit_code, error_message, startup_ms,"
	    " dependencies_ms, execution_ms, total_ms, out_truncated,"
	    " err_truncated, max_rss_kb, cpu_ms, wall_ms, oom_kills)"
	    " VALUES (%Q, 'default', %Q, zeroblob(32), '', '', '',"
	    " zeroblob(32), zeroblob(32), 5, 2, 30, 120, 1, %Q,"
	    " CASE %d WHEN 1 THEN 'me' END, %d, %d, 0, %d, %d, 0, -1, '',"
	    " -1, -1, -1, -1, 0, 0, -1, -1, -1, -1);"
	    "INSERT INTO payloads (id, code, input, requirements)"
	    " VALUES (%Q, X'7061737373', X'7B7D', X'5B5D')",
	    id, key, status, started, started, started, started, started, id);
	run_sql(sql);
	sqlite3_free(sql);
}

/* The file as a takod of that version left it. */
static void
make(int version)
{
	char sql[100];
	int i;

	unlink(path);
	run_sql("CREATE TABLE meta (version INTEGER NOT NULL,"
		" probe INTEGER NOT NULL); INSERT INTO meta VALUES (0, 0)");
	for (i = 0; i < version; i++)
		run_sql(schema_sqlite[i]);
	snprintf(sql, sizeof(sql), "UPDATE meta SET version = %d", version);
	run_sql(sql);
	insert(WAITS, "queued", "a-key-of-then", 0);
	insert(RAN, "running", "", 1);
}

static void
on_state(int now_up, const char *detail, void *arg)
{
	(void)detail;
	(void)arg;
	up = now_up;
}

static void
on_job(enum store_result result, struct job *job, void *arg)
{
	(void)arg;
	answered++;
	last = result;
	row = job;
}

static void
on_beat(enum store_result result, const struct store_beat *b, void *arg)
{
	(void)arg;
	answered++;
	last = result;
	assert_int_equal(result, STORE_OK);
	assert_int_equal(b->n_jobs, 1); /* was interrupted */
	assert_int_equal(b->jobs[0].status, JOB_FAILED);
}

static void
until(int n)
{
	while (answered < n)
		event_base_loop(base, EVLOOP_ONCE);
}

static void
test_upgrade(void **state)
{
	/* Nobody else is there: what older takods ran has no lease. */
	const struct store_pulse pulse = { .reap_until = INT64_MAX };
	struct store *s;
	struct job *job;
	char detail[512];
	int version;

	(void)state;
	for (version = 1; version <= SCHEMA_VERSION; version++) {
		make(version);
		answered = up = 0;
		s = store_sqlite.open(base, url, &self, on_state, NULL, NULL,
		    detail, sizeof(detail));
		if (s == NULL)
			fail_msg("from version %d: %s", version, detail);
		while (!up)
			event_base_loop(base, EVLOOP_ONCE);
		store_sqlite.beat(s, &pulse, on_beat, NULL);
		until(1);
		assert_int_equal(last, STORE_OK);
		store_sqlite.get(
		    s, RAN, WANT_OUTPUT | WANT_PAYLOAD, on_job, NULL);
		until(2);
		assert_int_equal(last, STORE_OK);
		assert_int_equal(row->status, JOB_FAILED);
		assert_int_equal(row->error, JERR_INTERRUPTED);
		job_free(row);
		/* The key is known still: the same payload, the same job. */
		job = job_new();
		assert_non_null(job);
		strlcpy(job->id, RAN, sizeof(job->id));
		job->id[0] = '3';
		strlcpy(job->job_type, "default", sizeof(job->job_type));
		strlcpy(job->idempotency_key, "a-key-of-then",
		    sizeof(job->idempotency_key));
		job->code = blob_copy("passs", 5);
		job->input = blob_copy("{}", 2);
		job->requirements = blob_copy("[]", 2);
		store_sqlite.submit(s, job, 0, 100, on_job, NULL);
		until(3);
		assert_int_equal(last, STORE_EXISTS);
		assert_string_equal(row->id, WAITS);
		job_free(row);
		job_free(job);
		store_sqlite.claim(s, 0, on_job, NULL);
		until(4);
		assert_int_equal(last, STORE_OK);
		assert_string_equal(row->id, WAITS);
		assert_int_equal(row->fence, 1);
		assert_int_equal(blob_len(row->code), 5);
		job_free(row);
		store_sqlite.close(s);
	}
}

static void
test_newer_is_refused(void **state)
{
	char detail[512] = "", sql[80];

	(void)state;
	make(SCHEMA_VERSION);
	snprintf(sql, sizeof(sql), "UPDATE meta SET version = %d",
	    SCHEMA_VERSION + 1);
	run_sql(sql);
	assert_null(store_sqlite.open(
	    base, url, &self, on_state, NULL, NULL, detail, sizeof(detail)));
	assert_non_null(strstr(detail, "newer takod"));
}

/* A migration that was cut off is not half there. */
static void
test_cut_off(void **state)
{
	struct store *s;
	char detail[512], sql[8300];

	(void)state;
	if (SCHEMA_VERSION < 2)
		return;
	make(1);
	/* As far as it came, and then the power went. */
	snprintf(sql, sizeof(sql), "BEGIN EXCLUSIVE; %s", schema_sqlite[1]);
	run_sql(sql);
	up = 0;
	s = store_sqlite.open(
	    base, url, &self, on_state, NULL, NULL, detail, sizeof(detail));
	if (s == NULL)
		fail_msg("%s", detail);
	while (!up)
		event_base_loop(base, EVLOOP_ONCE);
	store_sqlite.close(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_newer_is_refused),
		cmocka_unit_test(test_cut_off),
	};
	const char *tmp = getenv("TMPDIR");
	int failed;

	log_init("migrate", LOG_LEVEL_ERROR, 0);
	snprintf(path, sizeof(path), "%s/migrate-%d.db",
	    tmp != NULL ? tmp : "/tmp", (int)getpid());
	snprintf(url, sizeof(url), "sqlite:///%s", path);
	base = event_base_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(base);
	unlink(path);
	return (failed);
}
