/*
 * request.c: bodies and queries, and the exact errors that each must meet.
 * Types, texts and order are those of api.md; they were taken from a running
 * 0.3 where the page is silent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "requirement.h"
#include "tako-api/tako-api.h"
#include "util.h"

static const struct msg_api_setup conf = { .max_payload = 2097152,
	.max_code = 102400,
	.max_input = 1048576,
	.max_timeout = 300,
	.max_startup_timeout = 600,
	.default_timeout = 30 };

/* The errors of a body: one a line as type, loc, message. */
static char *
errors_text(struct errors *e)
{
	size_t n = evbuffer_get_length(e->list);
	char *s = malloc(n + 1);

	evbuffer_copyout(e->list, s, n);
	s[n] = '\0';
	return (s);
}

static char *
errors_of(const void *body, size_t len, int json)
{
	struct section sec = { body, len };
	struct submit out;
	struct errors e;
	char *text;

	errors_init(&e);
	submit_check(&out, &sec, json, &conf, &e);
	text = errors_text(&e);
	submit_free(&out);
	errors_free(&e);
	return (text);
}

#define E(type, loc, msg)                                                      \
	"{\"type\":\"" type "\",\"loc\":[\"body\"" loc "],"                    \
	"\"msg\":\"" msg "\"}"
#define CODE	",\"code\""
#define TIMEOUT ",\"timeout\""
#define STARTUP ",\"startup_timeout\""
#define INPUT	",\"input_data\""
#define TYPE	",\"job_type\""
#define KEY	",\"idempotency_key\""
#define REQS	",\"requirements\""
#define JSON_ERROR(off, why)                                                   \
	"{\"type\":\"json_invalid\",\"loc\":[\"body\"," off                    \
	"],\"msg\":\"JSON decode "                                             \
	"error\",\"input\":{},\"ctx\":{\"error\":\"" why "\"}}"
#define PARSE                                                                  \
	E("int_parsing", TIMEOUT,                                              \
	    "Input should be a valid integer, unable to parse string as an "   \
	    "integer")
#define TOO_BIG                                                                \
	E("less_than_equal", TIMEOUT,                                          \
	    "Input should be less than or equal to 86400")
#define TOO_SMALL                                                              \
	E("greater_than_equal", TIMEOUT,                                       \
	    "Input should be greater than or equal to 1")
#define SIZE                                                                   \
	E("int_parsing_size", TIMEOUT,                                         \
	    "Unable to parse input string as an integer, exceeded maximum "    \
	    "size")
#define BLANK E("value_error", CODE, "Value error, Code cannot be empty")
#define NO_OBJECT                                                              \
	E("model_attributes_type", "",                                         \
	    "Input should be a valid dictionary or object to extract fields "  \
	    "from")
#define BAD_REQ(i)                                                             \
	E("value_error", REQS "," #i,                                          \
	    "Value error, Invalid package requirement")

static const struct {
	const char *body, *errors;
} bodies[] = {
	{ "{\"code\":\"x\"}", "" },
	{ "\xef\xbb\xbf{\"code\":\"x\"}", "" },
	{ "{}", E("missing", CODE, "Field required") },
	{ "", E("missing", "", "Field required") },
	{ "null", NO_OBJECT },
	{ "[]", NO_OBJECT },
	{ "\"s\"", NO_OBJECT },
	{ "5", NO_OBJECT },
	/* code */
	{ "{\"code\":\"\"}", E("string_too_short", CODE,
				 "String should have at least 1 character") },
	{ "{\"code\":\" \\n\\t\"}", BLANK },
	{ "{\"code\":\"\\u2003\\u0085\\u001c\\u3000\"}", BLANK },
	{ "{\"code\":\"\\u200b\"}", "" },
	{ "{\"code\":5}",
	    E("string_type", CODE, "Input should be a valid string") },
	{ "{\"code\":null}",
	    E("string_type", CODE, "Input should be a valid string") },
	{ "{\"code\":\"a\\u0000b\"}",
	    E("value_error", CODE,
		"Value error, Code cannot contain null characters") },
	/* input_data */
	{ "{\"code\":\"x\",\"input_data\":null}",
	    E("dict_type", INPUT, "Input should be a valid dictionary") },
	{ "{\"code\":\"x\",\"input_data\":[1]}",
	    E("dict_type", INPUT, "Input should be a valid dictionary") },
	{ "{\"code\":\"x\",\"input_data\":{\"a\":1e999}}", "" },
	/* integers */
	{ "{\"code\":\"x\",\"timeout\":null}", "" },
	{ "{\"code\":\"x\",\"timeout\":5.0}", "" },
	{ "{\"code\":\"x\",\"timeout\":1e2}", "" },
	{ "{\"code\":\"x\",\"timeout\":\"5\"}", "" },
	{ "{\"code\":\"x\",\"timeout\":\" +05.00 \"}", "" },
	{ "{\"code\":\"x\",\"timeout\":\"1_0\"}", "" },
	{ "{\"code\":\"x\",\"timeout\":86400}", "" },
	{ "{\"code\":\"x\",\"timeout\":0}", TOO_SMALL },
	{ "{\"code\":\"x\",\"timeout\":-0}", TOO_SMALL },
	{ "{\"code\":\"x\",\"timeout\":-0.0}", TOO_SMALL },
	{ "{\"code\":\"x\",\"timeout\":1e-400}", TOO_SMALL },
	{ "{\"code\":\"x\",\"timeout\":\"-5\"}", TOO_SMALL },
	{ "{\"code\":\"x\",\"timeout\":86401}", TOO_BIG },
	{ "{\"code\":\"x\",\"timeout\":18446744073709551617}", TOO_BIG },
	{ "{\"code\":\"x\",\"timeout\":9.2e18}", TOO_BIG },
	{ "{\"code\":\"x\",\"timeout\":9.3e18}", SIZE },
	{ "{\"code\":\"x\",\"timeout\":-1e300}", SIZE },
	{ "{\"code\":\"x\",\"timeout\":1e999}",
	    E("finite_number", TIMEOUT, "Input should be a finite number") },
	{ "{\"code\":\"x\",\"timeout\":5.5}",
	    E("int_from_float", TIMEOUT,
		"Input should be a valid integer, got a number with a "
		"fractional part") },
	{ "{\"code\":\"x\",\"timeout\":true}",
	    E("int_type", TIMEOUT, "Input should be a valid integer") },
	{ "{\"code\":\"x\",\"timeout\":[]}",
	    E("int_type", TIMEOUT, "Input should be a valid integer") },
	{ "{\"code\":\"x\",\"timeout\":\"abc\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"5.5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"5.\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\".5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"1e2\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"0x5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"5_\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"_5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"1__0\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"+ 5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"--5\"}", PARSE },
	{ "{\"code\":\"x\",\"timeout\":\"5\\u0000\"}", PARSE },
	{ "{\"code\":\"x\",\"startup_timeout\":9}",
	    E("greater_than_equal", STARTUP,
		"Input should be greater than or equal to 10") },
	{ "{\"code\":\"x\",\"startup_timeout\":601}",
	    E("less_than_equal", STARTUP,
		"Input should be less than or equal to 600") },
	/* strings */
	{ "{\"code\":\"x\",\"job_type\":\"a-b_1@v1.0:@x\"}", "" },
	{ "{\"code\":\"x\",\"job_type\":\"\"}",
	    E("string_pattern_mismatch", TYPE,
		"String should match pattern "
		"'^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$'") },
	{ "{\"code\":\"x\",\"job_type\":\"a\\n\"}",
	    E("string_pattern_mismatch", TYPE,
		"String should match pattern "
		"'^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$'") },
	{ "{\"code\":\"x\",\"job_type\":\"a@\"}",
	    E("string_pattern_mismatch", TYPE,
		"String should match pattern "
		"'^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$'") },
	{ "{\"code\":\"x\",\"job_type\":\"a\\u0000\"}",
	    E("string_pattern_mismatch", TYPE,
		"String should match pattern "
		"'^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$'") },
	{ "{\"code\":\"x\",\"job_type\":{}}",
	    E("string_type", TYPE, "Input should be a valid string") },
	{ "{\"code\":\"x\",\"idempotency_key\":\"abc\"}",
	    E("string_too_short", KEY,
		"String should have at least 8 characters") },
	{ "{\"code\":\"x\",\"idempotency_key\":\"aaaaaaa!\"}",
	    E("string_pattern_mismatch", KEY,
		"String should match pattern '^[a-zA-Z0-9_-]+$'") },
	/* requirements */
	{ "{\"code\":\"x\",\"requirements\":null}", "" },
	{ "{\"code\":\"x\",\"requirements\":[ ]}", "" },
	{ "{\"code\":\"x\",\"requirements\":[ \"a\" , \"b\" ] }", "" },
	{ "{\"code\":\"x\",\"requirements\":[[1,2],{\"a\":[3,4]},\"],\\\"\"]}",
	    E("string_type", REQS ",0", "Input should be a valid string") "," E(
		"string_type", REQS ",1",
		"Input should be a valid string") "," BAD_REQ(2) },
	{ "{\"code\":\"x\",\"requirements\":\"x\"}",
	    E("list_type", REQS, "Input should be a valid list") },
	{ "{\"code\":\"x\",\"requirements\":[1,\"a\",null,\"-e\"]}",
	    E("string_type", REQS ",0", "Input should be a valid string") "," E(
		"string_type", REQS ",2",
		"Input should be a valid string") "," BAD_REQ(3) },
	/* every error at once, fields in their order, unknown ones last */
	{ "{\"zz\":1,\"requirements\":7,\"code\":5,\"timeout\":\"x\","
	  "\"input_data\":3,\"a\\nb\":{}}",
	    E("string_type", CODE, "Input should be a valid string") "," E(
		"dict_type", INPUT,
		"Input should be a valid dictionary") "," PARSE "," E("list_"
								      "type",
		REQS, "Input should be a valid list") "," E("extra_forbidden",
		",\"zz\"",
		"Extra inputs are not permitted") "," E("extra_forbidden",
		",\"a\\nb\"", "Extra inputs are not permitted") },
	{ "{\"code\\u0000\":\"x\"}",
	    E("missing", CODE, "Field required") "," E("extra_forbidden",
		",\"code\xef\xbf\xbd\"", "Extra inputs are not permitted") },
};

static void
test_bodies(void **state)
{
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(bodies); i++) {
		text = errors_of(bodies[i].body, strlen(bodies[i].body), 1);
		if (strcmp(text, bodies[i].errors) != 0)
			print_message("body: %s\n", bodies[i].body);
		assert_string_equal(text, bodies[i].errors);
		free(text);
	}
}

/* What is no JSON: the type and the offset; the reason is the scanner's. */
static void
test_no_json(void **state)
{
	static const struct {
		const char *body;
		size_t offset;
	} rows[] = {
		{ " ", 1 },
		{ "{", 1 },
		{ "{\"a\":1,}", 7 },
		{ "{\"code\":\"x\"} x", 13 },
		{ "{\"code\":\"x\",\"code\":\"y\"}", 12 },
		{ "{\"code\":\"x\",\"c\\u006fde\":\"y\"}", 12 },
		{ "{\"code\":\"x\",\"input_data\":{\"a\":1,\"a\":2}}", 32 },
		{ "{\"code\":\"x\",\"timeout\":NaN}", 22 },
		{ "{\"code\":\"x\",\"timeout\":Infinity}", 22 },
		{ "{\"code\":\"\xff\"}", 9 },
		{ "{\"code\":\"\xed\xa0\x80\"}", 9 },
		{ "{\"code\":\"\\ud800\"}", 10 },
		{ "\xef\xbb\xbf{", 4 },
		{ "\xef\xbb\xbf\xef\xbb\xbf{\"code\":\"x\"}", 3 },
	};
	char want[96], *text;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++) {
		text = errors_of(rows[i].body, strlen(rows[i].body), 1);
		snprintf(want, sizeof(want),
		    "{\"type\":\"json_invalid\",\"loc\":[\"body\",%zu],"
		    "\"msg\":\"JSON decode error\",",
		    rows[i].offset);
		if (strncmp(text, want, strlen(want)) != 0)
			print_message("body: %s\n", rows[i].body);
		assert_memory_equal(text, want, strlen(want));
		free(text);
	}
}

static void
test_other_type(void **state)
{
	char *text = errors_of("{\"code\":\"x\"}", 12, 0);

	(void)state;
	assert_string_equal(text, NO_OBJECT);
	free(text);
	text = errors_of("", 0, 0);
	assert_string_equal(text, E("missing", "", "Field required"));
	free(text);
	/* A NUL ends nothing. */
	text = errors_of("{\"code\":\"x\"}\0", 13, 1);
	assert_non_null(strstr(text, "json_invalid"));
	free(text);
}

/* {"code":"<unit n times>"<tail> */
static char *
long_body(const char *head, const char *unit, size_t n, const char *tail)
{
	size_t len = strlen(unit);
	char *s, *p;

	p = s = malloc(strlen(head) + n * len + strlen(tail) + 1);
	p = stpcpy(p, head);
	for (; n > 0; n--)
		p = stpcpy(p, unit);
	strcpy(p, tail);
	return (s);
}

static void
expect(char *body, const char *errors)
{
	char *text = errors_of(body, strlen(body), 1);

	assert_string_equal(text, errors);
	free(text);
	free(body);
}

static void
test_lengths(void **state)
{
	(void)state;
	expect(long_body("{\"code\":\"", "x", 100000, "\"}"), "");
	expect(long_body("{\"code\":\"", "x", 100001, "\"}"),
	    E("string_too_long", CODE,
		"String should have at most 100000 characters"));
	/* Characters are counted, then bytes against max_code_bytes. */
	expect(long_body("{\"code\":\"", "\xc3\xa9", 51200, "\"}"), "");
	expect(long_body("{\"code\":\"", "\xc3\xa9", 51201, "\"}"),
	    E("value_error", CODE,
		"Value error, Code exceeds the configured max_code_bytes "
		"(102400 bytes)"));
	expect(long_body("{\"code\":\"", "\\ud83d\\ude00", 25601, "\"}"),
	    E("value_error", CODE,
		"Value error, Code exceeds the configured max_code_bytes "
		"(102400 bytes)"));
	/* {"a":""} is 8 characters. */
	expect(long_body("{\"code\":\"x\",\"input_data\":{\"a\":\"", "y",
		   1048568, "\"}}"),
	    "");
	expect(long_body("{\"code\":\"x\",\"input_data\":{\"a\":\"", "y",
		   1048569, "\"}}"),
	    E("value_error", INPUT,
		"Value error, input_data exceeds 1MB limit when serialized"));
	/* White space counts as bytes only. */
	expect(
	    long_body("{\"code\":\"x\",\"input_data\":{", " ", 1048576, "}}"),
	    E("value_error", INPUT,
		"Value error, input_data exceeds the configured "
		"max_input_bytes (1048576 bytes)"));
	expect(
	    long_body("{\"code\":\"x\",\"job_type\":\"", "a", 128, "\"}"), "");
	expect(long_body("{\"code\":\"x\",\"job_type\":\"", "!", 129, "\"}"),
	    E("string_too_long", TYPE,
		"String should have at most 128 characters"));
	expect(long_body(
		   "{\"code\":\"x\",\"idempotency_key\":\"", "a", 255, "\"}"),
	    "");
	expect(long_body(
		   "{\"code\":\"x\",\"idempotency_key\":\"", "a", 256, "\"}"),
	    E("string_too_long", KEY,
		"String should have at most 255 characters"));
	expect(long_body("{\"code\":\"x\",\"requirements\":[\"a\"", ",\"a\"",
		   49, "]}"),
	    "");
	expect(long_body(
		   "{\"code\":\"x\",\"requirements\":[\"a\"", ",1", 59, "]}"),
	    E("too_long", REQS,
		"List should have at most 50 items after validation, not "
		"60"));
	expect(
	    long_body("{\"code\":\"x\",\"requirements\":[\"", "a", 256, "\"]}"),
	    "");
	expect(
	    long_body("{\"code\":\"x\",\"requirements\":[\"", "a", 257, "\"]}"),
	    E("string_too_long", REQS ",0",
		"String should have at most 256 characters"));
	expect(long_body("{\"code\":\"x\",\"timeout\":\"", "9", 4300, "\"}"),
	    TOO_BIG);
	expect(long_body("{\"code\":\"x\",\"timeout\":\"", "9", 4301, "\"}"),
	    SIZE);
	expect(long_body("{\"code\":\"x\",\"timeout\":", "9", 100000, "}"),
	    TOO_BIG);
	/* Reals are not converted at any length: that would take minutes. */
	expect(long_body("{\"code\":\"x\",\"timeout\":5.", "0", 4000, "}"), "");
	expect(long_body("{\"code\":\"x\",\"timeout\":5.", "0", 2000000, "}"),
	    SIZE);
}

/* A body of many faults meets a bounded list. */
static void
test_bounded(void **state)
{
	char *body, *p, *text;
	size_t i, n = 0;

	(void)state;
	p = body = malloc(20000 * 16);
	p = stpcpy(p, "{\"code\":\"x\"");
	for (i = 0; i < 20000; i++)
		p += sprintf(p, ",\"f%zu\":1", i);
	strcpy(p, "}");
	text = errors_of(body, strlen(body), 1);
	for (p = text; (p = strstr(p, "extra_forbidden")) != NULL; p++)
		n++;
	assert_int_equal(n, 100);
	free(text);
	free(body);
	body = long_body("{\"code\":\"x\",\"", "n", 100000, "\":1}");
	text = errors_of(body, strlen(body), 1);
	assert_true(strlen(text) < 300);
	free(text);
	free(body);
}

/* What comes out of a good body. */
static void
test_values(void **state)
{
	static const char body[] =
	    "{\"code\":\"print(\\\"\\u00e9\\ud83d\\ude00\\\")\\n\","
	    "\"input_data\": {\"n\": 1e400, \"d\": 0.10} ,"
	    "\"timeout\":\"7.0\",\"startup_timeout\":2e1,"
	    "\"job_type\":\"a@1\",\"idempotency_key\":\"key_-678\","
	    "\"requirements\":[ \"numpy\" ,\"flask[async]>=2,<3\"]}";
	struct section sec = { (const uint8_t *)body, sizeof(body) - 1 };
	struct submit s;
	struct errors e;

	(void)state;
	errors_init(&e);
	submit_check(&s, &sec, 1, &conf, &e);
	assert_int_equal(e.n, 0);
	assert_string_equal(s.code, "print(\"\xc3\xa9\xf0\x9f\x98\x80\")\n");
	assert_int_equal(s.code_len, strlen(s.code));
	assert_int_equal(s.input.len, strlen("{\"n\": 1e400, \"d\": 0.10}"));
	assert_memory_equal(
	    s.input.data, "{\"n\": 1e400, \"d\": 0.10}", s.input.len);
	assert_int_equal(s.timeout, 7);
	assert_int_equal(s.startup_timeout, 20);
	assert_string_equal(s.job_type, "a@1");
	assert_string_equal(s.idempotency_key, "key_-678");
	assert_string_equal(
	    s.requirements, "[\"numpy\",\"flask[async]>=2,<3\"]");
	submit_free(&s);

	sec.data = (const uint8_t *)"{\"code\":\"x\"}";
	sec.len = 12;
	submit_check(&s, &sec, 1, &conf, &e);
	assert_int_equal(e.n, 0);
	assert_int_equal(s.input.len, 2);
	assert_memory_equal(s.input.data, "{}", 2);
	assert_int_equal(s.timeout, 0);
	assert_int_equal(s.startup_timeout, 0);
	assert_string_equal(s.job_type, "");
	assert_string_equal(s.idempotency_key, "");
	assert_null(s.requirements);
	submit_free(&s);
	errors_free(&e);
}

static void
test_ceiling(void **state)
{
	struct submit s;
	char buf[128];

	(void)state;
	memset(&s, 0, sizeof(s));
	s.timeout = 300;
	s.startup_timeout = 600;
	assert_null(submit_ceiling(&s, &conf, buf, sizeof(buf)));
	s.timeout = 301;
	assert_string_equal(submit_ceiling(&s, &conf, buf, sizeof(buf)),
	    "timeout must be less than or equal to the configured max_timeout "
	    "(300 seconds)");
	s.timeout = 0;
	s.startup_timeout = 601;
	assert_string_equal(submit_ceiling(&s, &conf, buf, sizeof(buf)),
	    "startup_timeout must be less than or equal to the configured "
	    "max_startup_timeout (600 seconds)");
}

static void
test_requirements(void **state)
{
	static const char *const good[] = { "numpy", "a", "Foo_Bar", "foo.bar",
		"pandas==2.1.0", "pandas>=1,<2,!=1.5", "x~=1.4", "x==1.*",
		"x!=1.4.*", "flask[async]", "flask[a,b-c]>=1", "x==1.0rc1",
		"x==1.0.post1", "x>1", "zope.interface", "4suite" };
	static const char *const bad[] = { "", "-e", "--index-url", "-r",
		"--config-settings=x", "a b", "a>= 1", " a", "a ", "a\n", "a\r",
		"a\\b", "a#b", "a;b", "a'b", "a\"b", "a`b", "$x", "${X}", "a@b",
		"a @ https://x", "git+https://x", "file:x", "./x", "../x",
		"/x.whl", "x.whl", "X.WHL", "x.tar.gz", "x.zip", "C:\\x", "a[",
		"a[]", "a[b", "a[b,]", "a[,b]", "a[b]c", "a>=,1",
		"a>=", "a===1", "a==1+local", "a==1!2", "a==1;x", "a=1", "a=>1",
		"a==1,", "a,b", "a==1 ", "_a", "a_", ".a", "a.", "a>=1.*",
		"a==*", "a==.*", "a==1.**", "a==1*", "(a)", "n\xc3\xbcmpy",
		"\xd0\xb0", "a==1..*", "a==-1" };
	size_t i;

	(void)state;
	for (i = 0; i < nitems(good); i++)
		if (!requirement_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (i = 0; i < nitems(bad); i++)
		if (requirement_valid(bad[i]))
			fail_msg("accepted: %s", bad[i]);
}

static const struct {
	const char *query;
	int wait, full, ms; /* of a good one */
	const char *errors; /* types, in their order */
} queries[] = {
	{ "", 0, 0, 30000, "" },
	{ "?", 0, 0, 30000, "" },
	{ "?wait=true&timeout=5&view=full", 1, 1, 5000, "" },
	{ "?wait=1", 1, 0, 30000, "" },
	{ "?wait=Yes", 1, 0, 30000, "" },
	{ "?wait=ON", 1, 0, 30000, "" },
	{ "?wait=t", 1, 0, 30000, "" },
	{ "?wait=0&wait=y", 1, 0, 30000, "" },
	{ "?wait=no", 0, 0, 30000, "" },
	{ "?w%61it=%74rue", 1, 0, 30000, "" },
	{ "?timeout=400&timeout=1.5", 0, 0, 1500, "" },
	{ "?timeout=+5", 0, 0, 5000, "" },
	{ "?timeout=%205%0a", 0, 0, 5000, "" },
	{ "?timeout=1_0", 0, 0, 10000, "" },
	{ "?timeout=1e2", 0, 0, 100000, "" },
	{ "?timeout=300", 0, 0, 300000, "" },
	{ "?view=FULL&other=1&&=&%zz=1", 0, 0, 30000, "" },
	{ "?wait=2", 0, 0, 0, "bool_parsing" },
	{ "?wait", 0, 0, 0, "bool_parsing" },
	{ "?wait=", 0, 0, 0, "bool_parsing" },
	{ "?wait=%zz", 0, 0, 0, "bool_parsing" },
	{ "?timeout=0.99", 0, 0, 0, "greater_than_equal" },
	{ "?timeout=-inf", 0, 0, 0, "greater_than_equal" },
	{ "?timeout=300.001", 0, 0, 0, "less_than_equal" },
	{ "?timeout=inf", 0, 0, 0, "less_than_equal" },
	{ "?timeout=nan", 0, 0, 0, "less_than_equal" },
	{ "?timeout=", 0, 0, 0, "float_parsing" },
	{ "?timeout=abc", 0, 0, 0, "float_parsing" },
	{ "?timeout=0x10", 0, 0, 0, "float_parsing" },
	{ "?timeout=nan(1)", 0, 0, 0, "float_parsing" },
	{ "?timeout=1__0", 0, 0, 0, "float_parsing" },
	{ "?timeout=_5", 0, 0, 0, "float_parsing" },
	{ "?timeout=5%00", 0, 0, 0, "float_parsing" },
	{ "?timeout=x&wait=x", 0, 0, 0, "bool_parsing float_parsing" },
};

static void
test_queries(void **state)
{
	char target[256], *text;
	struct errors e;
	struct query q;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(queries); i++) {
		snprintf(target, sizeof(target), "/jobs/x/result%s",
		    queries[i].query);
		errors_init(&e);
		query_check(&q, params_result, target, &e);
		text = errors_text(&e);
		if ((e.n > 0) != (*queries[i].errors != '\0'))
			fail_msg("%s: %s", target, text);
		if (e.n == 0) {
			assert_int_equal(q.wait, queries[i].wait);
			assert_int_equal(q.full, queries[i].full);
			assert_int_equal(q.timeout * 1000, queries[i].ms);
		} else if (e.n == 1) {
			snprintf(target, sizeof(target), "{\"type\":\"%s\"",
			    queries[i].errors);
			assert_memory_equal(text, target, strlen(target));
		} else
			assert_true(strstr(text, "bool_parsing") <
				    strstr(text, "float_parsing"));
		free(text);
		errors_free(&e);
	}
	/* A record's query knows view alone. */
	errors_init(&e);
	query_check(&q, params_record, "/executions/x?wait=z&view=full", &e);
	assert_int_equal(e.n, 0);
	assert_int_equal(q.full, 1);
	errors_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_no_json),
		cmocka_unit_test(test_other_type),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_requirements),
		cmocka_unit_test(test_queries),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
