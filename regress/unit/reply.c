/*
 * reply.c: what tako-api makes of the parent's answers: records in their
 * views, job status, health, and texts of a job that try to break out of
 * their string.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "log.h"
#include "tako-api/tako-api.h"
#include "util.h"

static struct evbuffer *out;

static int
set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_CRITICAL); /* what it says is not ours */
	out = evbuffer_new();
	return (out == NULL ? -1 : 0);
}

static int
tear_down(void **state)
{
	(void)state;
	evbuffer_free(out);
	return (0);
}

/* What was written so far, closed by a NUL; the buffer is empty then. */
static const char *
text(void)
{
	static char buf[65536];
	int n = evbuffer_remove(out, buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	assert_int_equal(evbuffer_get_length(out), 0);
	buf[n] = '\0';
	return (buf);
}

#define FFFD "\xef\xbf\xbd"

static void
test_strings(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *json;
	} rows[] = {
		{ "", 0, "\"\"" },
		{ "abc", 3, "\"abc\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1f\x7f", 3, "\"\\u0001\\u001f\x7f\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", 6,
		    "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "a\0b", 3, "\"a" FFFD "b\"" },
		{ "\xff", 1, "\"" FFFD "\"" },
		{ "\xc3", 1, "\"" FFFD "\"" },
		{ "\xc3\"", 2, "\"" FFFD "\\\"\"" },
		{ "x\xe2\x82y", 4, "\"x" FFFD FFFD "y\"" },
		{ "\xed\xa0\x80", 3, "\"" FFFD FFFD FFFD "\"" },
		{ "\xc0\xaf", 2, "\"" FFFD FFFD "\"" },
		{ "\xf4\x90\x80\x80", 4, "\"" FFFD FFFD FFFD FFFD "\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++) {
		render_string(out, rows[i].in, rows[i].len);
		assert_string_equal(text(), rows[i].json);
	}
}

/* Around the size of the writer's own buffer, and of what only escapes. */
static void
test_long_strings(void **state)
{
	const size_t n = 300000;
	char *in = malloc(n), *got = malloc(6 * n + 2);
	size_t i, len;

	(void)state;
	for (len = 4000; len < 4200; len++) {
		memset(in, 'x', len);
		in[len - 1] = '\n';
		render_string(out, in, len);
		assert_int_equal(evbuffer_get_length(out), len + 3);
		evbuffer_drain(out, len + 3);
	}
	memset(in, '\x01', n);
	render_string(out, in, n);
	assert_int_equal(evbuffer_get_length(out), 6 * n + 2);
	evbuffer_remove(out, got, 6 * n + 2);
	for (i = 0; i < n; i++)
		assert_memory_equal(got + 1 + 6 * i, "\\u0001", 6);
	memset(in, '\xff', n);
	render_string(out, in, n);
	assert_int_equal(evbuffer_get_length(out), 3 * n + 2);
	evbuffer_drain(out, 3 * n + 2);
	free(in);
	free(got);
}

/* A record of a job that ended well, and its memory. */
static struct record
record_of(const char *output)
{
	struct record rec;

	memset(&rec, 0, sizeof(rec));
	strcpy(rec.m.job_id, "api-1");
	rec.m.status = JOB_SUCCEEDED;
	strcpy(rec.m.job_type, "default");
	strcpy(rec.m.job_version, "default@latest");
	rec.m.created_at = 1700000000000001;
	rec.m.started_at = 1700000000100000;
	rec.m.ended_at = 1700000001350000;
	rec.m.startup_ms = 12;
	rec.m.dependencies_ms = -1;
	rec.m.execution_ms = 1230;
	rec.m.total_ms = 1242;
	rec.m.phase_at_exit = PHASE_COMPLETED;
	rec.m.runtime = RUNTIME_RUNSC;
	rec.m.max_rss_kb = rec.m.cpu_ms = rec.m.wall_ms = -1;
	rec.out.data = (const uint8_t *)"hi\n";
	rec.out.len = 3;
	rec.output.data = (const uint8_t *)output;
	rec.output.len = strlen(output);
	return (rec);
}

#define SLIM                                                                   \
	"{\"execution_id\":\"api-1\",\"status\":\"succeeded\","                \
	"\"job_type\":\"default\",\"job_version\":\"default@latest\","         \
	"\"created_at\":\"2023-11-14T22:13:20.000001+00:00\","                 \
	"\"started_at\":\"2023-11-14T22:13:20.100000+00:00\","                 \
	"\"ended_at\":\"2023-11-14T22:13:21.350000+00:00\","                   \
	"\"duration_ms\":1250,\"exit_code\":0,\"stdout\":\"hi\\n\","           \
	"\"stderr\":\"\",\"output\":{\"a\": 1e400},\"error\":null,"            \
	"\"timing\":{\"startup_ms\":12,\"dep_install_ms\":null,"               \
	"\"execution_ms\":1230,\"total_ms\":1242,"                             \
	"\"phase_at_exit\":\"completed\"},\"runtime\":\"runsc\""

static void
test_slim(void **state)
{
	struct record rec = record_of("{\"a\": 1e400}");

	(void)state;
	render_record(out, &rec, 0);
	assert_string_equal(text(), SLIM "}");
}

#define HASH8 "0101010101010101"
#define HASH  HASH8 HASH8 HASH8 HASH8

static void
test_full(void **state)
{
	/* size 258, digest of 1s, number 0, 2 bytes of name, 3 of type;
	 * then one without a type and with a name that is no text. */
	static const char list[] =
	    "\2\1\0\0\0\0\0\0"
	    "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
	    "\0\0\2\0\3"
	    "a\"t/x"
	    "\0\0\0\0\0\0\0\0"
	    "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
	    "\1\0\1\0\0"
	    "\xff";
	struct record rec = record_of("{\"a\": 1e400}");

	(void)state;
	rec.artifacts.data = (const uint8_t *)list;
	rec.artifacts.len = sizeof(list) - 1;
	rec.extras.data = (const uint8_t *)"{\"attempt\":1,\"x\":[ 2]}";
	rec.extras.len = 22;
	rec.m.max_rss_kb = 2049;
	rec.m.cpu_ms = 7;
	memset(rec.m.code_hash, 1, sizeof(rec.m.code_hash));
	memset(rec.m.input_hash, 1, sizeof(rec.m.input_hash));
	rec.m.code_len = 5;
	rec.m.input_len = 2;
	strlcpy(rec.m.key_name, "ci", sizeof(rec.m.key_name));
	rec.m.timeout = 30;
	rec.m.startup_timeout = 120;
	rec.m.attempt = 9;
	rec.m.stderr_truncated = 1;
	rec.m.relationship = REL_FORK;
	strcpy(rec.m.parent_id, "p");
	strcpy(rec.m.idempotency_key, "k");
	strcpy(rec.m.correlation_id, "c");
	render_record(out, &rec, 1);
	assert_string_equal(text(),
	    SLIM ",\"job_ref\":\"default@latest\",\"artifacts\":["
		 "{\"name\":\"a\\\"\",\"size_bytes\":258,\"sha256\":\"" HASH
		 "\",\"content_type\":\"t/x\"},"
		 "{\"name\":\"%FF\",\"size_bytes\":0,\"sha256\":\"" HASH
		 "\",\"content_type\":null}],\"input_artifacts\":["
		 "{\"name\":\"_code.py\",\"size_bytes\":5,\"sha256\":\"" HASH
		 "\",\"content_type\":\"text/x-python\"},"
		 "{\"name\":\"_input.json\",\"size_bytes\":2,\"sha256\":\"" HASH
		 "\",\"content_type\":\"application/json\"}],"
		 "\"resource_usage\":{\"max_rss_mb\":2.00,\"cpu_time_ms\":7,"
		 "\"wall_time_ms\":null},\"code_hash\":\"" HASH
		 "\",\"input_hash\":\"" HASH "\",\"parent_execution_id\":\"p\","
		 "\"relationship\":\"fork\",\"stdout_truncated\":false,"
		 "\"stderr_truncated\":true,\"idempotency_key\":\"k\","
		 "\"takod\":{\"correlation_id\":\"c\",\"key\":\"ci\","
		 "\"timeout\":30,"
		 "\"startup_timeout\":120,\"attempt\":1,\"x\":[ 2]}}");
}

/* A list that does not fit its lengths ends where it stops making sense. */
static void
test_short_artifacts(void **state)
{
	char list[45 + 1] = { 0 };
	struct record rec = record_of("");
	size_t len;

	(void)state;
	list[42] = 2; /* a name of two bytes, of which one is there */
	rec.artifacts.data = (const uint8_t *)list;
	for (len = 1; len <= sizeof(list); len++) {
		rec.artifacts.len = len;
		render_record(out, &rec, 1);
		assert_non_null(strstr(text(), "\"artifacts\":[],"));
	}
}

/* Output that is no JSON after all cannot add to the record. */
static void
test_output(void **state)
{
	static const struct {
		const char *output, *json;
	} rows[] = {
		{ "", "null" },
		{ "3.10", "3.10" },
		{ "[1, \"\\u0000\"]", "[1, \"\\u0000\"]" },
		{ "1,\"status\":\"failed\"", "null" },
		{ "{}}", "null" },
		{ "{\"a\":1,\"a\":2}", "null" },
		{ "NaN", "null" },
		{ "\"\xff\"", "null" },
	};
	struct record rec;
	char want[256];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++) {
		rec = record_of(rows[i].output);
		render_execute(out, &rec);
		snprintf(want, sizeof(want),
		    "{\"success\":true,\"output\":%s,\"execution_time\":1.25,"
		    "\"stdout\":\"hi\\n\",\"stderr\":\"\",\"exit_code\":0,"
		    "\"error\":null,\"job_type\":\"default\","
		    "\"execution_id\":\"api-1\",\"runtime\":\"runsc\"}",
		    rows[i].json);
		assert_string_equal(text(), want);
	}
}

static void
test_failed(void **state)
{
	struct record rec = record_of("");

	(void)state;
	rec.m.status = JOB_CANCELLED;
	rec.m.started_at = 0;
	rec.m.exit_code = -1;
	rec.m.error = JERR_CANCELLED;
	rec.m.error_phase = PHASE_NONE;
	strcpy(rec.m.error_message, "a \"b\"");
	rec.m.startup_ms = rec.m.execution_ms = rec.m.total_ms = -1;
	rec.m.phase_at_exit = PHASE_NONE;
	rec.m.runtime = RUNTIME_NONE;
	render_record(out, &rec, 0);
	assert_non_null(strstr(text(),
	    "\"started_at\":null,"
	    "\"ended_at\":\"2023-11-14T22:13:21.350000+00:00\","
	    "\"duration_ms\":null,\"exit_code\":-1,\"stdout\":\"hi\\n\","
	    "\"stderr\":\"\",\"output\":null,"
	    "\"error\":{\"type\":\"cancelled\",\"message\":\"a \\\"b\\\"\","
	    "\"phase\":null},\"timing\":null,\"runtime\":null}"));
	render_execute(out, &rec);
	assert_non_null(strstr(text(), "\"execution_time\":0.0,"));
}

static void
test_status(void **state)
{
	struct msg_rep_record m = record_of("").m;

	(void)state;
	render_status(out, &m);
	assert_string_equal(text(),
	    "{\"job_id\":\"api-1\",\"status\":\"succeeded\","
	    "\"created_at\":\"2023-11-14T22:13:20.000001+00:00\","
	    "\"started_at\":\"2023-11-14T22:13:20.100000+00:00\","
	    "\"duration_ms\":1250,\"queue_position\":null}");
	m.status = JOB_QUEUED;
	m.started_at = m.ended_at = 0;
	m.queue_position = 3;
	render_status(out, &m);
	assert_string_equal(text(),
	    "{\"job_id\":\"api-1\",\"status\":\"pending\","
	    "\"created_at\":\"2023-11-14T22:13:20.000001+00:00\","
	    "\"started_at\":null,\"duration_ms\":null,\"queue_position\":3}");
}

static void
test_health(void **state)
{
	struct msg_rep_stats m = { .ready = 1,
		.engine_up = 1,
		.store_up = 1,
		.gvisor = 1,
		.pending = 1,
		.tenants_waiting = 1,
		.running = 2,
		.max_workers = 4,
		.max_queue = 100,
		.slots_ready = 2,
		.slots_wanted = 3,
		.warm_pool_size = 2,
		.jobs_warm = 7,
		.jobs_cold = 1,
		.nodes = 3,
		.nodes_running = 5,
		.nodes_workers = 12,
		.node = "a",
		.engine = "oci",
		.store = "sqlite",
		.runtime = "runsc" };

	(void)state;
	render_health(out, &m, "0.1.0");
	assert_string_equal(text(),
	    "{\"status\":\"healthy\",\"docker_available\":true,"
	    "\"gvisor_available\":true,\"circuit_breaker\":{"
	    "\"state\":\"closed\",\"failure_count\":0,\"success_count\":0,"
	    "\"last_failure\":null},\"version\":\"0.1.0\","
	    "\"production_mode\":false,\"queue_stats\":{\"pending\":1,"
	    "\"running\":2,\"max_workers\":4,\"max_queue_size\":100},"
	    "\"takod\":{\"engine\":\"oci\",\"store\":\"sqlite\","
	    "\"store_available\":true,\"runtime\":\"runsc\","
	    "\"fallback\":false}}");
	m.breaker = 1;
	m.last_failure = 1700000000500000;
	render_health(out, &m, "0.1.0");
	assert_non_null(strstr(text(), "\"status\":\"degraded\""));
	render_pool(out, &m);
	assert_string_equal(text(),
	    "{\"pending\":1,\"running\":2,\"max_workers\":4,"
	    "\"max_queue_size\":100,\"takod\":{\"slots_ready\":2,"
	    "\"slots_starting\":0,\"slots_wanted\":3,\"warm_pool_size\":2,"
	    "\"jobs_warm\":7,\"jobs_cold\":1,"
	    "\"tenants_waiting\":1,\"node\":\"a\",\"nodes\":3,"
	    "\"nodes_running\":5,\"nodes_max_workers\":12}}");
}

/* The lengths of a record must be those of its memory, whatever they are. */
static void
test_split(void **state)
{
	struct blob *all = blob_copy("ooeeerr", 7);
	struct record rec;

	(void)state;
	memset(&rec, 0, sizeof(rec));
	rec.m.stdout_len = 2;
	rec.m.stderr_len = 3;
	rec.m.extras_len = 2;
	assert_int_equal(record_split(&rec, all), 0);
	assert_memory_equal(rec.err.data, "eee", rec.err.len);
	assert_memory_equal(rec.extras.data, "rr", rec.extras.len);
	rec.m.extras_len = 1;
	assert_int_equal(record_split(&rec, all), -1);
	rec.m.extras_len = 3;
	assert_int_equal(record_split(&rec, all), -1);
	rec.m.stderr_len = MSG_BLOB;
	assert_int_equal(record_split(&rec, all), -1);
	assert_int_equal(record_split(&rec, NULL), -1);
	blob_unref(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_long_strings),
		cmocka_unit_test(test_slim),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_short_artifacts),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_split),
	};

	return (cmocka_run_group_tests_name("reply", tests, set_up, tear_down));
}
