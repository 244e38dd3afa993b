/*
 * worker.c: the parts of tako-worker that keep what a job wrote: text, its
 * result, its files. The stream parser is in stream.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "blob.h"
#include "tako-worker/tako-worker.h"
#include "util.h"

#define BAD "\xef\xbf\xbd"

/* ---- text ---------------------------------------------------------------- */

/* What the text becomes; in a buffer of its own, closed by a NUL. */
static const char *
text_of(struct output_text *o, size_t *len, int *truncated)
{
	static char buf[65536];
	int fd;

	fd = output_memfd(o, len, truncated);
	assert_true(fd >= 0);
	assert_int_equal(memfd_check(fd), *len);
	assert_true(*len < sizeof(buf));
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), *len);
	buf[*len] = '\0';
	close(fd);
	return (buf);
}

static void
check_text(
    const char *raw, size_t raw_len, size_t max, const char *want, int cut)
{
	struct output_text *o = output_new(max, 0);
	const char *got;
	size_t len, i;
	int truncated;

	/* However it comes in. */
	for (i = 0; i < raw_len; i += 7)
		output_add(o, (const uint8_t *)raw + i,
		    raw_len - i < 7 ? raw_len - i : 7);
	got = text_of(o, &len, &truncated);
	assert_string_equal(got, want);
	assert_int_equal(len, strlen(want));
	assert_int_equal(truncated, cut);
	assert_int_equal(output_seen(o), raw_len);
	output_free(o);
}

#define NOTICE "\n[TRUNCATED: output exceeded 60 bytes]"

static void
test_text(void **state)
{
	char raw[100], want[200];
	size_t n = 60 - strlen(NOTICE), i;

	(void)state;
	check_text("", 0, 60, "", 0);
	check_text("a\n", 2, 60, "a\n", 0);
	check_text("a\0b\xff\xc3", 5, 60, "a" BAD "b" BAD BAD, 0);
	/* A character in pieces is one. */
	check_text("123456\xe4\xb8\xad", 9, 60, "123456\xe4\xb8\xad", 0);

	memset(raw, 'x', sizeof(raw));
	snprintf(want, sizeof(want), "%.60s", raw);
	check_text(raw, 60, 60, want, 0);
	snprintf(want, sizeof(want), "%.*s" NOTICE, (int)n, raw);
	check_text(raw, 61, 60, want, 1);
	check_text(raw, 100, 60, want, 1);

	/* Cut before a character, never in it. */
	memset(raw, 'x', sizeof(raw));
	memcpy(raw + n - 2, "\xf0\x9f\x98\x80", 4);
	snprintf(want, sizeof(want), "%.*s" NOTICE, (int)n - 2, raw);
	check_text(raw, 61, 60, want, 1);

	/* Too long only once it is repaired. */
	memset(raw, 0, sizeof(raw));
	want[0] = '\0';
	for (i = 0; i < 20; i++)
		strlcat(want, BAD, sizeof(want));
	check_text(raw, 20, 60, want, 0);
	want[n / 3 * 3] = '\0';
	strlcat(want, NOTICE, sizeof(want));
	check_text(raw, 21, 60, want, 1);
}

static void
test_last_part(void **state)
{
	struct output_text *o = output_new(1000, 1);
	uint8_t block[1009];
	const uint8_t *p;
	size_t len, i, total = 0;
	int whole;

	(void)state;
	output_add(o, (const uint8_t *)"abc", 3);
	p = output_last(o, &len, &whole);
	assert_true(whole);
	assert_int_equal(len, 3);
	assert_memory_equal(p, "abc", 3);
	total = 3;
	for (i = 0; i < 700; i++, total += sizeof(block)) {
		memset(block, (int)(i % 251), sizeof(block));
		output_add(o, block, sizeof(block));
		p = output_last(o, &len, &whole);
		assert_false(whole);
		assert_true(len >= (total < 65536 ? total : 65536));
		assert_true(len <= 131072);
		assert_memory_equal(
		    p + len - sizeof(block), block, sizeof(block));
	}
	assert_int_equal(p[len - 1 - 64 * sizeof(block)], (699 - 64) % 251);
	assert_int_equal(output_seen(o), total);
	output_free(o);
}

/* ---- result.json --------------------------------------------------------- */

static enum result_state
result_of(const char *text, int whole)
{
	struct result *r = result_new();
	enum result_state state;
	char buf[64];
	size_t len;
	int fd;

	assert_int_equal(result_begin(r), 0);
	assert_int_equal(result_add(r, (const uint8_t *)text, strlen(text)), 0);
	result_end(r, whole);
	state = result_state(r);
	fd = result_memfd(r, &len);
	assert_int_equal(fd != -1, state == RESULT_OK);
	if (fd != -1) {
		assert_int_equal(memfd_check(fd), strlen(text));
		assert_int_equal(pread(fd, buf, sizeof(buf), 0), strlen(text));
		assert_memory_equal(buf, text, strlen(text));
	}
	result_free(r);
	return (state);
}

static void
test_result(void **state)
{
	struct result *r;
	char deep[131];

	(void)state;
	assert_int_equal(result_of(" {\"a\":[1.50]}\n", 1), RESULT_OK);
	assert_int_equal(result_of("null", 1), RESULT_OK);
	assert_int_equal(result_of("null", 0), RESULT_INVALID_JSON);
	assert_int_equal(result_of("", 1), RESULT_INVALID_JSON);
	assert_int_equal(result_of("[NaN]", 1), RESULT_INVALID_JSON);
	assert_int_equal(result_of("1e400", 1), RESULT_INVALID_JSON);
	assert_int_equal(
	    result_of("{\"a\":1,\"\\u0061\":1}", 1), RESULT_INVALID_JSON);
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	deep[130] = '\0';
	assert_int_equal(result_of(deep, 1), RESULT_TOO_DEEP);

	r = result_new();
	assert_int_equal(result_state(r), RESULT_ABSENT);
	result_skipped(r, SKIP_NOT_REGULAR);
	assert_int_equal(result_state(r), RESULT_NOT_REGULAR);
	result_skipped(r, SKIP_TOO_LARGE);
	assert_int_equal(result_state(r), RESULT_NOT_REGULAR);
	result_free(r);
}

/* ---- files --------------------------------------------------------------- */

static char dir[64];

static int
make_artifact_dir(void **state)
{
	(void)state;
	strlcpy(dir, "/tmp/takod-unit-worker-XXXXXX", sizeof(dir));
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
remove_dir(void **state)
{
	char path[128];
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "%s/%d", dir, i);
		unlink(path);
	}
	return (rmdir(dir));
}

static void
test_artifacts(void **state)
{
	struct artifacts *a;
	struct artifact_done done;
	uint8_t want[TAKO_SHA256];
	char *text;
	size_t len;
	int fd;

	(void)state;
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	a = artifacts_new(dup(fd));
	assert_int_equal(artifacts_begin(a, (const uint8_t *)"a/../b", 6), 0);
	artifacts_add(a, (const uint8_t *)"one", 3);
	artifacts_add(a, (const uint8_t *)"two", 3);
	assert_int_equal(artifacts_end(a, 1, &done), 1);
	sha256(want, "onetwo", 6);
	assert_memory_equal(done.sha256, want, sizeof(want));
	assert_int_equal(done.size, 6);
	assert_int_equal(done.number, 0);
	assert_memory_equal(done.name, "a/../b", 6);

	/* A half file leaves its number to the next. */
	assert_int_equal(artifacts_begin(a, (const uint8_t *)"half", 4), 0);
	artifacts_add(a, (const uint8_t *)"a long half", 11);
	assert_int_equal(artifacts_end(a, 0, &done), 0);
	assert_int_equal(artifacts_begin(a, (const uint8_t *)"x", 1), 0);
	artifacts_add(a, (const uint8_t *)"x", 1);
	assert_int_equal(artifacts_end(a, 1, &done), 1);
	assert_int_equal(done.number, 1);
	assert_int_equal(artifacts_begin(a, (const uint8_t *)"half", 4), -1);
	assert_int_equal(artifacts_count(a), 2);
	text = read_file(fd, "1", 100, &len);
	assert_non_null(text);
	assert_int_equal(len, 1);
	free(text);
	artifacts_free(a);

	/* What is there already is never written to. */
	a = artifacts_new(dup(fd));
	assert_int_equal(artifacts_begin(a, (const uint8_t *)"y", 1), 0);
	artifacts_add(a, (const uint8_t *)"y", 1);
	assert_int_equal(artifacts_end(a, 1, &done), 0);
	assert_int_equal(artifacts_count(a), 0);
	artifacts_free(a);
	text = read_file(fd, "0", 100, &len);
	assert_non_null(text);
	assert_int_equal(len, 6);
	free(text);
	close(fd);
}

static const char *
type_of(const char *name, const void *head, size_t len)
{
	return (artifact_type((const uint8_t *)name, strlen(name), head, len));
}

static void
test_types(void **state)
{
	uint8_t text[512];

	(void)state;
	assert_string_equal(type_of("a.txt", "x", 1), "text/plain");
	assert_string_equal(type_of("a.CSV", "a,b\n", 4), "text/csv");
	assert_string_equal(type_of("a.json", "{", 1), "application/json");
	assert_string_equal(
	    type_of("a.json", "\0", 1), "application/octet-stream");
	assert_string_equal(
	    type_of("a.txt", "\x89PNG\r\n\x1a\n.", 9), "image/png");
	assert_string_equal(type_of("a.png", "<html>", 6), "text/plain");
	assert_string_equal(type_of("noname", "text", 4), "text/plain");
	assert_string_equal(
	    type_of("noname", "", 0), "application/octet-stream");
	assert_string_equal(
	    type_of(".csv", "\xff", 1), "application/octet-stream");
	/* A character that is cut where the look at it ends. */
	memset(text, 'x', sizeof(text));
	memcpy(text + 510, "\xe4\xb8", 2);
	assert_string_equal(type_of("t", text, sizeof(text)), "text/plain");
	assert_string_equal(
	    type_of("t", text + 1, 511), "application/octet-stream");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_last_part),
		cmocka_unit_test(test_result),
		cmocka_unit_test_setup_teardown(
		    test_artifacts, make_artifact_dir, remove_dir),
		cmocka_unit_test(test_types),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
