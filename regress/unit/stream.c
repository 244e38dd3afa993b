/*
 * stream.c: the parser of the container's stream: what it lets through, in
 * any cut of the bytes, and that it stays broken once it is. (What a whole
 * worker makes of a lying container is in regress/stream.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tako-worker/tako-worker.h"
#include "util.h"

static const struct stream_caps caps = { .max_artifact = 100,
	.max_result = 200,
	.max_total = 250,
	.max_artifacts = 3 };

static uint8_t data[1 << 20];
static size_t data_len;
static char seen[4096]; /* types and lengths of the frames let through */

static void
put(const void *p, size_t len)
{
	assert_true(len <= sizeof(data) - data_len);
	memcpy(data + data_len, p, len);
	data_len += len;
}

static void
frame(unsigned type, const void *payload, size_t len)
{
	uint8_t head[STREAM_HEAD] = { (uint8_t)type, 0, 0, 0, (uint8_t)len,
		(uint8_t)(len >> 8), (uint8_t)(len >> 16), 0 };

	put(head, sizeof(head));
	put(payload, len);
}

static void
file(const char *name, uint8_t size)
{
	uint8_t begin[300] = { size }, body[256] = { 0 };

	memcpy(begin + 8, name, strlen(name));
	frame(STREAM_FILE_BEGIN, begin, 8 + strlen(name));
	if (size > 0)
		frame(STREAM_FILE_DATA, body, size);
	frame(STREAM_FILE_END, "\1", 1);
}

static void
up_to_run(void)
{
	data_len = 0;
	frame(STREAM_HELLO, "\1\0\0\0\1\0\0\0", 8);
	frame(STREAM_READY, "", 0);
	frame(STREAM_STARTED, "", 0);
}

static void
exited(void)
{
	frame(STREAM_EXIT, "\1\0\0\0\7\0\0\0\x10\0\0\0\0\0\0\0", 16);
}

static void
got(void *arg, enum stream_type type, const uint8_t *p, size_t len)
{
	struct stream **s = arg;
	size_t n = strlen(seen);
	struct stream_exit ex;

	snprintf(seen + n, sizeof(seen) - n, "%d:%zu ", (int)type, len);
	if (type == STREAM_READY)
		stream_went(*s);
	if (type == STREAM_EXIT) {
		ex = stream_exit_read(p);
		assert_int_equal(ex.end, END_EXITED);
		assert_int_equal(ex.code, 7);
		assert_int_equal(ex.execution_us, 16);
	}
}

/* Feeds all in pieces; the state it ends in. */
static enum stream_state
feed(int mux, size_t piece)
{
	struct stream *s;
	enum stream_state state;
	size_t i;
	int r = 0;

	seen[0] = '\0';
	s = stream_new(&caps, mux, got, &s);
	assert_non_null(s);
	for (i = 0; i < data_len && r == 0; i += piece)
		r = stream_feed(
		    s, data + i, data_len - i < piece ? data_len - i : piece);
	state = stream_state(s);
	assert_int_equal(r, state == STREAM_BROKEN ? -1 : 0);
	if (state == STREAM_BROKEN) {
		assert_non_null(stream_why(s));
		/* For good. */
		assert_int_equal(stream_feed(s, "\x08\0\0\0", 4), -1);
	}
	stream_free(s);
	return (state);
}

static void
test_cuts(void **state)
{
	static const char want[] = "1:8 3:0 7:0 8:5 9:65536 10:16 11:19 12:200 "
				   "13:1 11:9 13:1 14:2 15:0 ";
	static uint8_t block[STREAM_MAX];
	size_t piece;

	(void)state;
	up_to_run();
	frame(STREAM_STDOUT, "hello", 5);
	frame(STREAM_STDERR, block, sizeof(block));
	exited();
	file("result.json", 200);
	file("a", 0);
	frame(STREAM_SKIPPED, "\2x", 2);
	frame(STREAM_DONE, "", 0);
	for (piece = 1; piece < 40; piece++) {
		assert_int_equal(feed(0, piece), STREAM_AT_DONE);
		assert_string_equal(seen, want);
	}
	assert_int_equal(feed(0, sizeof(data)), STREAM_AT_DONE);
	assert_string_equal(seen, want);
	/* A zero length after DONE is a frame all the same. */
	frame(STREAM_DONE, "", 0);
	assert_int_equal(feed(0, 7), STREAM_BROKEN);
}

static void
test_mux(void **state)
{
	static uint8_t plain[4096], out[8192];
	size_t len, i, o, n, piece;

	(void)state;
	up_to_run();
	frame(STREAM_STDOUT, "hello", 5);
	exited();
	frame(STREAM_DONE, "", 0);
	len = data_len;
	memcpy(plain, data, len);
	for (piece = 1; piece < 30; piece++) {
		/* Heads where they like, noise of stderr between. */
		for (i = o = 0; i < len; i += n) {
			n = len - i < piece ? len - i : piece;
			memcpy(out + o, "\1\0\0\0\0\0\0", 7);
			out[o + 7] = (uint8_t)n;
			memcpy(out + o + 8, plain + i, n);
			o += 8 + n;
			if (i % 3 == 0) {
				memcpy(out + o, "\2\0\0\0\0\0\0\3xyz", 11);
				o += 11;
			}
		}
		data_len = 0;
		put(out, o);
		assert_int_equal(feed(1, 5), STREAM_AT_DONE);
		assert_string_equal(seen, "1:8 3:0 7:0 8:5 10:16 15:0 ");
	}
	data_len = 0;
	put("\1\0\0\0\xff\xff\xff\xff\1\0\0\0", 12);
	assert_int_equal(feed(1, 1), STREAM_AT_HELLO);
	data_len = 0;
	put("\0\0\0\0\0\0\0\1x", 9);
	assert_int_equal(feed(1, 1), STREAM_BROKEN);
}

/* With a key, what comes after READY needs the tag that only init knows. */
static void
test_tags(void **state)
{
	struct stream_caps keyed = caps;
	struct stream *s;
	uint8_t tag[STREAM_TAG], other[STREAM_TAG];
	size_t started;

	(void)state;
	memcpy(keyed.key, "0123456789abcdef", STREAM_KEY);
	stream_tag(tag, keyed.key, 0, STREAM_STARTED, 0);
	stream_tag(other, keyed.key, 1, STREAM_STARTED, 0);
	assert_memory_not_equal(tag, other, STREAM_TAG);
	stream_tag(other, caps.key, 0, STREAM_STARTED, 0);
	assert_memory_equal(other, "\0\0\0", STREAM_TAG);

	up_to_run();
	started = data_len - STREAM_HEAD;
	seen[0] = '\0';
	s = stream_new(&keyed, 0, got, &s);
	assert_int_equal(stream_feed(s, data, data_len), -1);
	assert_string_equal(seen, "1:8 3:0 ");
	stream_free(s);

	memcpy(data + started + 1, tag, STREAM_TAG);
	seen[0] = '\0';
	s = stream_new(&keyed, 0, got, &s);
	assert_int_equal(stream_feed(s, data, data_len), 0);
	assert_int_equal(stream_state(s), STREAM_AT_RUN);
	/* The same bytes once more are not the next frame. */
	assert_int_equal(stream_feed(s, data + started, STREAM_HEAD), -1);
	stream_free(s);
}

static void
test_caps_of_files(void **state)
{
	(void)state;
	up_to_run();
	exited();
	file("a", 100);
	file("b", 100);
	file("c", 50);
	assert_int_equal(feed(0, 9), STREAM_AT_FILES);
	file("d", 0); /* a fourth */
	assert_int_equal(feed(0, 9), STREAM_BROKEN);

	up_to_run();
	exited();
	file("a", 101);
	assert_int_equal(feed(0, 9), STREAM_BROKEN);
	assert_string_equal(seen, "1:8 3:0 7:0 10:16 ");

	up_to_run();
	exited();
	file("result.json", 200);
	file("a", 51); /* 251 together */
	assert_int_equal(feed(0, 9), STREAM_BROKEN);

	up_to_run();
	exited();
	file("result.json", 201);
	assert_int_equal(feed(0, 9), STREAM_BROKEN);
}

/* Nothing may come before our own GO but an error. */
static void
test_go(void **state)
{
	struct stream *s, *none = NULL;

	(void)state;
	up_to_run();
	s = stream_new(&caps, 0, got, &none);
	seen[0] = '\0';
	assert_int_equal(stream_feed(s, data, 16), 0);
	stream_went(s); /* not due yet: no effect */
	assert_int_equal(stream_state(s), STREAM_AT_BOOT);
	stream_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_mux),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_caps_of_files),
		cmocka_unit_test(test_go),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
