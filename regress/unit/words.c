/*
 * words.c: what is a word, what a query becomes, and what a diff shows. That
 * both stores find the same is for store_conformance.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "diff.h"
#include "util.h"
#include "words.h"

static void
assert_words(const char *text, size_t text_len, const char *want)
{
	struct words *w = words_new();
	const char *got;
	char *copy;
	size_t len;

	assert_int_equal(words_add(w, text, text_len), 0);
	got = words_text(w, &len);
	copy = xcalloc(len + 1, 1);
	memcpy(copy, got, len);
	assert_string_equal(copy, want);
	free(copy);
	words_free(w);
}

static void
t_words(void **state)
{
	char big[200];

	(void)state;
#define WORDS(text, want) assert_words(text, sizeof(text) - 1, want)
	WORDS("", "");
	WORDS(" \t\r\n\0.,;()", "");
	WORDS("a", "a");
	WORDS("Read_File(x1)", "read_file x1");
	WORDS("os.path", "os path");
	WORDS("a\0b", "a b");
	WORDS("\xc3\xa4pfel \xc3\x84pfel", "\xc3\xa4pfel \xc3\x84pfel");
	WORDS("a\xff"
	      "b\xc3(c",
	    "a b c");
	WORDS("a\xe2\x80\xa6"
	      "b\xc2\xa0"
	      "c\xe3\x80\x81"
	      "d\xef\xbf\xbd"
	      "e",
	    "a b c d e");
	WORDS("\xf0\x9f\x98\x80x", "\xf0\x9f\x98\x80x");
	WORDS("x\xf0\x9f\x98", "x"); /* cut within a character */
#undef WORDS
	/* MAX_WORD bytes count, and no part of a character does. */
	memset(big, 'a', sizeof(big));
	memcpy(big + 63, "\xc3\xa4", 2);
	big[100] = ' ';
	big[101] = 'b';
	big[102] = '\0';
	{
		char want[80];

		memset(want, 'a', 63);
		strlcpy(want + 63, " b", sizeof(want) - 63);
		assert_words(big, 102, want);
	}
}

/* Parts stay apart; what is too much is passed over. */
static void
t_document(void **state)
{
	struct words *w = words_new();
	char *v, text[64];
	const char *p;
	size_t len, n = 0;
	int i;

	(void)state;
	assert_int_equal(words_add(w, "a b", 3), 0);
	assert_int_equal(words_add(w, "", 0), 0);
	assert_int_equal(words_add(w, "b'\\ c", 5), 0);
	p = words_text(w, &len);
	assert_int_equal(len, 9);
	assert_memory_equal(p, "a b \xff b c", 9);
	assert_true(words_valid(p, len));
	v = words_vector(p, len);
	assert_string_equal(v, "'a':1 'b':2 'b':4 'c':5 ");
	free(v);
	words_free(w);

	w = words_new();
	for (i = 0; i < 3 * MAX_TIMES; i++)
		assert_int_equal(words_add(w, "x", 1), 0);
	p = words_text(w, &len);
	for (; len > 0; len--, p++)
		n += *p == 'x';
	assert_int_equal(n, MAX_TIMES);
	words_free(w);

	w = words_new();
	for (i = 0; i < 2 * MAX_WORDS; i++) {
		snprintf(text, sizeof(text), "w%d", i);
		assert_int_equal(words_add(w, text, strlen(text)), 0);
	}
	p = words_text(w, &len);
	for (n = 1; len > 0; len--, p++)
		n += *p == ' ';
	assert_int_equal(n, MAX_WORDS);
	words_free(w);
}

/* What a child that lies might send for words. */
static void
t_valid(void **state)
{
	static const char *const good[] = { "", "a", "a_1 z9", "\xff",
		"a \xff b", "\xc3\xa9t\xc3\xa9" };
	static const char *const bad[] = { " ", "a ", " a", "a  b", "A", "a'b",
		"a\\", "a\xff", "\xff\xff", "\xc3", "\x80", "a\nb", "a:1" };
	char text[MAX_WORDS * 2 + 32];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(good); i++)
		if (!words_valid(good[i], strlen(good[i])))
			fail_msg("refused: %s", good[i]);
	for (i = 0; i < nitems(bad); i++)
		if (words_valid(bad[i], strlen(bad[i])))
			fail_msg("let pass: %s", bad[i]);
	assert_false(words_valid("a\0b", 3));
	memset(text, 'a', sizeof(text));
	assert_true(words_valid(text, MAX_WORD));
	assert_false(words_valid(text, MAX_WORD + 1));
	for (i = 1; i < sizeof(text); i += 2)
		text[i] = ' ';
	assert_true(words_valid(text, 2 * MAX_WORDS - 1));
	assert_false(words_valid(text, sizeof(text) - 1));
}

static void
assert_query(const char *query, const char *fts5, const char *tsquery)
{
	char terms[MAX_TERMS + 1], dst[WORDS_ASKED_MAX];

	assert_null(words_query(terms, query));
	assert_int_equal(words_asked(dst, terms, WORDS_FTS5), 0);
	assert_string_equal(dst, fts5);
	assert_int_equal(words_asked(dst, terms, WORDS_TSQUERY), 0);
	assert_string_equal(dst, tsquery);
}

static void
t_query(void **state)
{
	(void)state;
	assert_query("a", "(\"a\")", "(('a'))");
	assert_query(" A  b ", "(\"a\" AND \"b\")", "(('a') & ('b'))");
	assert_query("\"a B\"", "(\"a b\")", "(('a' <-> 'b'))");
	assert_query("os.path", "(\"os path\")", "(('os' <-> 'path'))");
	assert_query("-b a -\"c d\"", "(\"a\") NOT \"b\" NOT \"c d\"",
	    "(('a')) & !('b') & !('c' <-> 'd')");
	assert_query("a + *", "(\"a\")", "(('a'))");
	assert_query("a\"b\"c", "(\"a\" AND \"b\" AND \"c\")",
	    "(('a') & ('b') & ('c'))");
	assert_query("a-b", "(\"a b\")", "(('a' <-> 'b'))");
	assert_query("NOT OR", "(\"not\" AND \"or\")", "(('not') & ('or'))");
}

static void
t_query_refused(void **state)
{
	static const char *const wrong[] = { "", " ", "-a", "\"", "a \"b",
		"\"\"", "--", "-\"a b\"", "* + -", "'" };
	char dst[MAX_TERMS + 1], big[MAX_QUERY + 2];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(wrong); i++)
		assert_non_null(words_query(dst, wrong[i]));
	memset(big, 'a', sizeof(big));
	big[MAX_QUERY + 1] = '\0';
	assert_non_null(words_query(dst, big));
	big[MAX_QUERY] = '\0';
	assert_null(words_query(dst, big));
	for (i = 1; i < MAX_QUERY; i += 2)
		big[i] = ' ';
	assert_non_null(words_query(dst, big));
	big[2 * MAX_QUERY_WORD - 1] = '\0';
	assert_null(words_query(dst, big));
}

/* What a child that lies might send for terms. */
static void
t_terms_refused(void **state)
{
	static const char *const wrong[] = { "", "a", "-a", "+", "+ a", "+a ",
		"+a  b", "++a", "+a+", "+a-b+c", "+A", "+a'", "+a\"", "+a\\",
		"+a)", "+\xff", "+a\tb", "+a*" };
	char dst[WORDS_ASKED_MAX], big[2 * MAX_TERMS];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(wrong); i++)
		if (words_asked(dst, wrong[i], WORDS_TSQUERY) != -1)
			fail_msg("let pass: %s", wrong[i]);
	for (i = 0; i < sizeof(big); i++)
		big[i] = i % 2 == 0 ? '+' : 'a';
	big[2 * MAX_QUERY_WORD] = '\0';
	assert_int_equal(words_asked(dst, big, WORDS_TSQUERY), 0);
	big[2 * MAX_QUERY_WORD] = '+';
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(words_asked(dst, big, WORDS_TSQUERY), -1);
}

/* ---- diffs -------------------------------------------------------------- */

static enum diff_result
diff(const char *a, size_t a_len, const char *b, size_t b_len, char **text,
    struct diff_count *count)
{
	struct diff_text ta = { "a", (const uint8_t *)a, a_len },
			 tb = { "b", (const uint8_t *)b, b_len };
	struct evbuffer *out = evbuffer_new();
	enum diff_result r;
	size_t len;

	r = diff_unified(out, &ta, &tb, time_mono_us() + 5000000, count);
	len = evbuffer_get_length(out);
	*text = xcalloc(len + 1, 1);
	evbuffer_remove(out, *text, len);
	evbuffer_free(out);
	return (r);
}

static void
assert_diff(const char *a, const char *b, const char *want)
{
	struct diff_count count;
	char *text;

	assert_int_equal(diff(a, strlen(a), b, strlen(b), &text, &count),
	    *want == '\0' ? DIFF_SAME : DIFF_DIFFERS);
	assert_string_equal(text, want);
	free(text);
}

static void
t_diff(void **state)
{
	(void)state;
	assert_diff("", "", "");
	assert_diff("a\nb\n", "a\nb\n", "");
	assert_diff("a\n", "", "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-a\n");
	assert_diff("", "a\n", "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+a\n");
	assert_diff("a\nb\nc\n", "a\nx\nc\n",
	    "--- a\n+++ b\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	assert_diff("a", "a\n",
	    "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-a\n"
	    "\\ No newline at end of file\n+a\n");
	/* Changes that are near have one hunk, others their own. */
	assert_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n",
	    "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
	    "--- a\n+++ b\n@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n"
	    "@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n");
	assert_diff("1\n2\n3\n4\n5\n6\n7\n8\n", "x\n2\n3\n4\n5\n6\n7\ny\n",
	    "--- a\n+++ b\n@@ -1,8 +1,8 @@\n-1\n+x\n 2\n 3\n 4\n 5\n 6\n 7\n"
	    "-8\n+y\n");
}

/*
 * Any two texts of a few lines: applied to the one, the diff gives the other,
 * and it is not longer than it has to be.
 */
static void
apply(const char *a, const char *text, char *out, size_t size)
{
	const char *p = strstr(text, "\n@@");
	size_t line = 1, from;

	out[0] = '\0';
	for (p = p == NULL ? "" : p + 1; *p != '\0';) {
		if (*p == '@') {
			from = strtoul(p + 4, NULL, 10);
			if (p[4] == '0' || strstr(p, ",0 +") == strchr(p, ','))
				from++;
			for (; line < from; line++, a += 2)
				strlcat(out, (char[]){ a[0], '\n', 0 }, size);
		} else if (*p == ' ' || *p == '-') {
			assert_int_equal(*a, p[1]);
			if (*p == ' ')
				strlcat(out, (char[]){ a[0], '\n', 0 }, size);
			a += 2;
			line++;
		} else
			strlcat(out, (char[]){ p[1], '\n', 0 }, size);
		p = strchr(p, '\n') + 1;
	}
	strlcat(out, a, size);
}

static void
t_diff_any(void **state)
{
	struct diff_count count;
	uint32_t seed = 4711;
	char a[64], b[64], got[128], *text;
	int round, i, n, k;
	char *sides[2] = { a, b };

	(void)state;
	for (round = 0; round < 20000; round++) {
		for (k = 0; k < 2; k++) {
			n = (int)((seed = seed * 1664525 + 1013904223) >> 28);
			for (i = 0; i < n; i++) {
				seed = seed * 1664525 + 1013904223;
				sides[k][2 * i] = (char)('a' + (seed >> 30));
				sides[k][2 * i + 1] = '\n';
			}
			sides[k][2 * n] = '\0';
		}
		diff(a, strlen(a), b, strlen(b), &text, &count);
		apply(a, text, got, sizeof(got));
		assert_string_equal(got, b);
		assert_true(count.added <= strlen(b) / 2 &&
			    count.removed <= strlen(a) / 2);
		free(text);
	}
}

/* What is too much is said to be, in a bounded time. */
static void
t_diff_bounds(void **state)
{
	const size_t len = 4 << 20;
	struct diff_count count;
	int64_t since = time_mono_us();
	char *a = xmalloc(len), *b = xmalloc(len), *text;
	size_t i;

	(void)state;
	for (i = 0; i < len; i++) {
		a[i] = i % 40 == 39 ? '\n' : (char)('a' + i * 7 % 23);
		b[i] = i % 40 == 39 ? '\n' : (char)('A' + i * 5 % 21);
	}
	assert_int_equal(diff(a, len, b, len, &text, &count), DIFF_TOO_MUCH);
	assert_string_equal(text, "");
	assert_int_equal(count.lines[0], (len + 39) / 40);
	assert_true(time_mono_us() - since < 60 * INT64_C(1000000));
	free(text);
	/* More than is written. */
	memset(a, 'a', len);
	memset(b, 'b', len);
	assert_int_equal(diff(a, len, b, len, &text, &count), DIFF_TOO_MUCH);
	free(text);
	/* Large, and all but the same. */
	memcpy(b, a, len);
	for (i = 39; i < len; i += 40)
		a[i] = b[i] = '\n';
	b[len / 2] = 'x';
	assert_int_equal(diff(a, len, b, len, &text, &count), DIFF_DIFFERS);
	assert_int_equal(count.added, 1);
	free(text);
	free(a);
	free(b);
}

static void
t_diff_json(void **state)
{
	static const char *const hostile[] = { "", "]]]]", "[[[[", "\"", "\"\\",
		"{\"a\":\"b\\\"}\"}", "\\", ",,,,", "\xff\0" };
	static const char want[] = "{\n  \"a\": [\n    1,\n    2\n  ],\n"
				   "  \"b\": \"x, {\"\n}\n";
	uint8_t *p;
	size_t len, i;

	(void)state;
	p = diff_json(
	    (const uint8_t *)"{\"a\":[1, 2],\"b\":\"x, {\"}", 23, &len);
	assert_int_equal(len, sizeof(want) - 1);
	assert_memory_equal(p, want, len);
	free(p);
	for (i = 0; i < nitems(hostile); i++) {
		p = diff_json(
		    (const uint8_t *)hostile[i], strlen(hostile[i]), &len);
		assert_non_null(p);
		assert_true(len > 0 && p[len - 1] == '\n');
		free(p);
	}
}

static void
t_time(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} times[] = { { "0", 0 }, { "1", 1000000 }, { "1.5", 1500000 },
		{ "1795680000.000001", INT64_C(1795680000000001) },
		{ "1970-01-01", 0 }, { "1970-01-02", INT64_C(86400000000) },
		{ "1970-01-01T00:00:01Z", 1000000 },
		{ "1970-01-01 00:01", 60000000 },
		{ "1970-01-01T01:00:00.25+01:00", 250000 },
		{ "1970-01-01T01:00:00 01:00", 0 },
		{ "1969-12-31T23:00:00-01:00", -1 },
		{ "1970-01-01T00:00:00-0030", INT64_C(1800000000) },
		{ "2026-11-26T07:30:00.123456+00:00",
		    INT64_C(1795678200123456) },
		{ "", -1 }, { "x", -1 }, { "-1", -1 }, { "1e9", -1 },
		{ "2026", 2026000000 }, { "2026-13-01", -1 },
		{ "2026-1-1", -1 }, { "2026-01-01T", -1 },
		{ "2026-01-01T25:00", -1 }, { "2026-01-01T00:00:00+1", -1 },
		{ "2026-01-01x", -1 }, { "9999-01-01", -1 },
		{ "99999999999999999999", -1 }, { "1.", -1 } };
	int64_t us;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(times); i++) {
		if (time_parse(times[i].text, &us) == -1)
			us = -1;
		if (us != times[i].us)
			fail_msg("%s: %lld", times[i].text, (long long)us);
	}
}

/* Words that were chosen to fall into one place of the table cost no more. */
static void
t_chosen(void **state)
{
	struct words *w = words_new();
	char text[16384], word[16];
	size_t len = 0, kept = 1, i;
	unsigned number, n = 0;
	const char *p;
	uint32_t h;

	(void)state;
	assert_non_null(w);
	for (number = 0; n < 1000; number++) {
		snprintf(word, sizeof(word), "w%u ", number);
		for (h = 2166136261u, p = word; *p != ' '; p++)
			h = (h ^ (uint8_t)*p) * 16777619u;
		if (h % 32768 != 7)
			continue;
		n++;
		len += strlcpy(text + len, word, sizeof(text) - len);
	}
	assert_true(len < sizeof(text));
	assert_int_equal(words_add(w, text, len), 0);
	p = words_text(w, &len);
	for (i = 0; i < len; i++)
		kept += p[i] == ' ';
	assert_in_range(kept, 100, 200);
	words_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_words),
		cmocka_unit_test(t_document),
		cmocka_unit_test(t_valid),
		cmocka_unit_test(t_chosen),
		cmocka_unit_test(t_query),
		cmocka_unit_test(t_query_refused),
		cmocka_unit_test(t_terms_refused),
		cmocka_unit_test(t_diff),
		cmocka_unit_test(t_diff_any),
		cmocka_unit_test(t_diff_bounds),
		cmocka_unit_test(t_diff_json),
		cmocka_unit_test(t_time),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
