/*
 * json.c: the strict JSON scanner against texts that it must take and texts
 * that it must refuse, with the kind and the place of the error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "json.h"
#include "util.h"

static void
good(const char *text, enum json_type type)
{
	struct json_doc d;

	if (json_scan(text, strlen(text), 0, &d) == -1)
		fail_msg("%s: %s at %zu", text, json_error_text(d.error),
		    d.error_off);
	assert_int_equal(d.type, type);
	json_doc_free(&d);
}

static void
bad_flags(
    const char *text, size_t len, unsigned flags, enum json_error e, size_t off)
{
	struct json_doc d;

	if (json_scan(text, len, flags, &d) == 0)
		fail_msg("%s: taken", text);
	if (d.error != e || d.error_off != off)
		fail_msg("%s: %s at %zu", text, json_error_text(d.error),
		    d.error_off);
	assert_null(d.parts);
	json_doc_free(&d);
}

static void
bad(const char *text, enum json_error e, size_t off)
{
	bad_flags(text, strlen(text), 0, e, off);
}

static void
test_values(void **state)
{
	(void)state;
	good("null", JSON_NULL);
	good(" true\n", JSON_TRUE);
	good("false", JSON_FALSE);
	good("0", JSON_INTEGER);
	good("-0", JSON_INTEGER);
	good("1208925819614629174706176", JSON_INTEGER);
	good("-0.5e-7", JSON_REAL);
	good("1E400", JSON_REAL);
	good("\"\"", JSON_STRING);
	good(
	    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\\ude00\"", JSON_STRING);
	good("\"\\u0000\"", JSON_STRING);
	good("\"\x7f\xc3\xa4\xf0\x9f\x98\x80\"", JSON_STRING);
	good("[]", JSON_ARRAY);
	good("[ ]", JSON_ARRAY);
	good("[1,[2,{}], {\"a\":[]}]", JSON_ARRAY);
	good("{}", JSON_OBJECT);
	good("{\"a\":1,\"b\":{\"a\":1},\"A\":2}", JSON_OBJECT);
}

static void
test_syntax(void **state)
{
	(void)state;
	bad("", JSON_SYNTAX, 0);
	bad(" ", JSON_SYNTAX, 1);
	bad("nul", JSON_SYNTAX, 0);
	bad("nulll", JSON_TRAILING, 4);
	bad("NaN", JSON_SYNTAX, 0);
	bad("Infinity", JSON_SYNTAX, 0);
	bad("-Infinity", JSON_SYNTAX, 1);
	bad("+1", JSON_SYNTAX, 0);
	bad("01", JSON_TRAILING, 1);
	bad("1.", JSON_SYNTAX, 2);
	bad(".5", JSON_SYNTAX, 0);
	bad("1e", JSON_SYNTAX, 2);
	bad("1e+", JSON_SYNTAX, 3);
	bad("-", JSON_SYNTAX, 1);
	bad("0x10", JSON_TRAILING, 1);
	bad("\"abc", JSON_SYNTAX, 4);
	bad("\"a\nb\"", JSON_SYNTAX, 2);
	bad("\"\\x41\"", JSON_SYNTAX, 2);
	bad("\"\\u12g4\"", JSON_SYNTAX, 2);
	bad("\"\\u12", JSON_SYNTAX, 2);
	bad("\"\\", JSON_SYNTAX, 2);
	bad("'a'", JSON_SYNTAX, 0);
	bad("[", JSON_SYNTAX, 1);
	bad("[1", JSON_SYNTAX, 2);
	bad("[1,", JSON_SYNTAX, 3);
	bad("[1,]", JSON_SYNTAX, 3);
	bad("[,1]", JSON_SYNTAX, 1);
	bad("[1 2]", JSON_SYNTAX, 3);
	bad("[1}", JSON_SYNTAX, 2);
	bad("]", JSON_SYNTAX, 0);
	bad("{\"a\"}", JSON_SYNTAX, 4);
	bad("{\"a\":}", JSON_SYNTAX, 5);
	bad("{\"a\":1,}", JSON_SYNTAX, 7);
	bad("{a:1}", JSON_SYNTAX, 1);
	bad("{1:1}", JSON_SYNTAX, 1);
	bad("{\"a\":1", JSON_SYNTAX, 6);
	bad("{} {}", JSON_TRAILING, 3);
	bad("[1] // note", JSON_TRAILING, 4);
	bad_flags("1\0", 2, 0, JSON_TRAILING, 1);
	bad_flags("\"a\0\"", 4, 0, JSON_SYNTAX, 2);
	bad_flags("\"\\\0\"", 4, 0, JSON_SYNTAX, 2);
	bad("\xef\xbb\xbf{}", JSON_SYNTAX, 0);
}

static void
test_strings(void **state)
{
	(void)state;
	bad("\"\xff\"", JSON_UTF8, 1);
	bad("\"ab\xc3\"", JSON_UTF8, 3);
	bad("\"\xc3", JSON_UTF8, 1);
	bad("\"\xc0\x80\"", JSON_UTF8, 1);
	bad("\"\xed\xa0\x80\"", JSON_UTF8, 1);
	bad("\"\xf4\x90\x80\x80\"", JSON_UTF8, 1);
	bad("\"\x80\"", JSON_UTF8, 1);
	bad("\"\\ud800\"", JSON_SURROGATE, 2);
	bad("\"\\ud800x\\udc00\"", JSON_SURROGATE, 2);
	bad("\"\\udc00\"", JSON_SURROGATE, 2);
	bad("\"\\ud800\\ud800\"", JSON_SURROGATE, 2);
	bad("\"\\ud800\\u\"", JSON_SURROGATE, 2);
}

static void
test_duplicates(void **state)
{
	char text[4096];
	size_t o;
	int i, n;

	(void)state;
	bad("{\"a\":1,\"a\":1}", JSON_DUPLICATE, 7);
	bad("{\"a\":1,\"\\u0061\":1}", JSON_DUPLICATE, 7);
	bad("{\"\":1,\"\":1}", JSON_DUPLICATE, 6);
	bad("[[{\"b\":{},\"b\":[]}]]", JSON_DUPLICATE, 10);
	bad("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":1}", JSON_DUPLICATE,
	    10);
	good("{\"\\u0000\":1,\"\":2,\"\\u0000a\":3}", JSON_OBJECT);
	/* On both sides of where the table comes in. */
	for (n = 2; n < 80; n++) {
		o = (size_t)snprintf(text, sizeof(text), "{");
		for (i = 0; i < n; i++)
			o += (size_t)snprintf(text + o, sizeof(text) - o,
			    "\"k%d\":{\"k%d\":0},", i, i);
		snprintf(text + o - 1, sizeof(text) - o, "}");
		good(text, JSON_OBJECT);
		snprintf(text + o, sizeof(text) - o, "\"k\\u0030\":0}");
		text[o - 1] = ',';
		bad(text, JSON_DUPLICATE, o);
	}
}

static void
test_depth(void **state)
{
	char text[2 * JSON_MAX_DEPTH + 3];

	(void)state;
	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	text[2 * JSON_MAX_DEPTH] = '\0';
	good(text, JSON_ARRAY);
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	text[2 * JSON_MAX_DEPTH + 2] = '\0';
	bad(text, JSON_DEPTH, JSON_MAX_DEPTH);
}

/* 2^1024 - 2^970: the least number that a double rounds to infinity. */
static const char bound[] =
    "179769313486231580793728971405303415079934132710037826936173778980444"
    "968292764750946649017977587207096330286416692887910946555547851940402"
    "630657488671505820681908902000708383676273854845817711531764475730270"
    "069855571366959622842914819860834936475292719074168444365510704342711"
    "559699508093042880177904174497792";

static void
range(const char *text, int taken)
{
	if (taken) {
		struct json_doc d;

		if (json_scan(text, strlen(text), JSON_FINITE, &d) == -1)
			fail_msg("%s refused", text);
		json_doc_free(&d);
	} else
		bad_flags(text, strlen(text), JSON_FINITE, JSON_RANGE, 0);
}

static void
test_range(void **state)
{
	char text[8192];
	size_t n = strlen(bound);

	(void)state;
	range("1e308", 1);
	range("1.7976931348623157e308", 1);
	range("1e309", 0);
	range("-1e400", 0);
	range("1.8e308", 0);
	range("0.00018e312", 0);
	range("18000e304", 0);
	range("0e999999999999999999999", 1);
	range("0.0e5000", 1);
	range("1e-99999999999999999999", 1);
	range("1e99999999999999999999", 0);
	snprintf(text, sizeof(text), "%s.0", bound);
	range(text, 0);
	snprintf(text, sizeof(text), "%s.0000000000000000001", bound);
	range(text, 0);
	memcpy(text, bound, n);
	memcpy(text + n - 3, "791.9999999999999999999", 24);
	range(text, 1);
	memset(text, '9', JSON_MAX_DIGITS);
	text[JSON_MAX_DIGITS] = '\0';
	range(text, 1);
	memset(text, '9', JSON_MAX_DIGITS + 1);
	text[JSON_MAX_DIGITS + 1] = '\0';
	range(text, 0);
	good(text, JSON_INTEGER);
}

static void
part(const char *text, const struct json_part *p, enum json_type type,
    const char *raw)
{
	assert_non_null(p);
	assert_int_equal(p->type, type);
	assert_int_equal(p->len, strlen(raw));
	assert_memory_equal(text + p->off, raw, p->len);
}

static void
test_parts(void **state)
{
	static const char text[] =
	    " { \"code\" : \"print(\\\"\\u00e4\\\")\" ,"
	    "\"input_data\": {\"n\": [1.50, {\"code\": 1}], \"z\": {}},"
	    "\"t\\u0069meout\":5.0, \"\\u0000\":null,\"e\":[], \"r\":[1,[2]] }";
	struct json_doc d;
	const struct json_part *p;
	char dst[64];
	size_t n;

	(void)state;
	assert_int_equal(json_scan(text, strlen(text), JSON_PARTS, &d), 0);
	assert_int_equal(d.type, JSON_OBJECT);
	assert_int_equal(d.off, 1);
	assert_int_equal(d.len, strlen(text) - 1);
	assert_int_equal(d.n_parts, 6);
	p = json_find(&d, "code");
	part(text, p, JSON_STRING, "\"print(\\\"\\u00e4\\\")\"");
	n = json_unescape(dst, text + p->off, p->len);
	assert_int_equal(n, strlen("print(\"\xc3\xa4\")"));
	assert_memory_equal(dst, "print(\"\xc3\xa4\")", n);
	part(text, json_find(&d, "input_data"), JSON_OBJECT,
	    "{\"n\": [1.50, {\"code\": 1}], \"z\": {}}");
	part(text, json_find(&d, "timeout"), JSON_REAL, "5.0");
	part(text, json_find(&d, "e"), JSON_ARRAY, "[]");
	part(text, json_find(&d, "r"), JSON_ARRAY, "[1,[2]]");
	assert_null(json_find(&d, "n"));
	assert_null(json_find(&d, ""));
	assert_int_equal(d.parts[3].name_len, 1);
	assert_int_equal(d.parts[3].type, JSON_NULL);
	json_doc_free(&d);
}

static void
test_elements(void **state)
{
	static const char text[] = "[\"requests\", 1, [\"x\"], {\"a\":[1,2]}]";
	struct json_doc d;

	(void)state;
	assert_int_equal(json_scan(text, strlen(text), JSON_PARTS, &d), 0);
	assert_int_equal(d.n_parts, 4);
	part(text, &d.parts[0], JSON_STRING, "\"requests\"");
	part(text, &d.parts[1], JSON_INTEGER, "1");
	part(text, &d.parts[2], JSON_ARRAY, "[\"x\"]");
	part(text, &d.parts[3], JSON_OBJECT, "{\"a\":[1,2]}");
	assert_null(d.parts[0].name);
	assert_null(json_find(&d, "a"));
	json_doc_free(&d);
}

/* Many names, many brackets, a long number: never slow, never refused late. */
static void
test_large(void **state)
{
	enum {
		NAMES = 1000000
	};
	struct json_doc d;
	char *text;
	size_t i, o = 0;
	int64_t begin;

	(void)state;
	text = malloc(NAMES * 12 + 2);
	assert_non_null(text);
	text[o++] = '{';
	for (i = 0; i < NAMES; i++)
		o += (size_t)sprintf(text + o, "\"%zu\":0,", i);
	text[o - 1] = '}';
	begin = time_mono_us();
	assert_int_equal(json_scan(text, o, JSON_FINITE, &d), 0);
	assert_in_range(time_mono_us() - begin, 0, 60000000);
	json_doc_free(&d);

	memset(text, '[', 1000000);
	bad_flags(text, 1000000, 0, JSON_DEPTH, JSON_MAX_DEPTH);
	memset(text, '1', 100000);
	assert_int_equal(json_scan(text, 100000, 0, &d), 0);
	json_doc_free(&d);
	bad_flags(text, 100000, JSON_FINITE, JSON_RANGE, 0);
	bad_flags(text, (size_t)JSON_MAX_LENGTH + 1, 0, JSON_TOO_MUCH, 0);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_large),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
