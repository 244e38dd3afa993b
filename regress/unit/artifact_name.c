/*
 * artifact_name.c: names of artifacts as text: without loss, one text for one
 * name, and always well-formed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "artifact_name.h"
#include "util.h"

static void
test_shown(void **state)
{
	static const struct {
		const char *name, *shown;
	} rows[] = {
		{ "a.txt", "a.txt" },
		{ "100%", "100%" },
		{ "100%.txt", "100%.txt" },
		{ "a%20b", "a%2520b" },
		{ "%4", "%4" },
		{ "%zz%fF", "%zz%25fF" },
		{ "\xff", "%FF" },
		{ "%\xff", "%%FF" },
		{ "%4\xff", "%4%FF" },
		{ "half\xc3", "half%C3" },
		{ "\xed\xa0\x80", "%ED%A0%80" }, /* a lone surrogate */
		{ "\xc3\xbc\n", "\xc3\xbc\n" },
	};
	char shown[ARTIFACT_SHOWN_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++) {
		artifact_name_show(
		    shown, (const uint8_t *)rows[i].name, strlen(rows[i].name));
		assert_string_equal(shown, rows[i].shown);
	}
}

/* Bytes that make trouble, in any order. */
static size_t
random_name(uint8_t *name)
{
	static const uint8_t bytes[] = "%%%0aFf4cC\xff\xc3\xbc\xe2\x80z";
	size_t i, len = 1 + arc4random_uniform(12);

	if (arc4random_uniform(50) == 0)
		len = MAX_ARTIFACT_NAME;
	for (i = 0; i < len; i++)
		name[i] = bytes[arc4random_uniform(sizeof(bytes) - 1)];
	return (len);
}

static void
test_back(void **state)
{
	uint8_t name[MAX_ARTIFACT_NAME], back[MAX_ARTIFACT_NAME];
	uint8_t other[MAX_ARTIFACT_NAME];
	char shown[ARTIFACT_SHOWN_MAX];
	size_t len, n, back_len, other_len;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		len = random_name(name);
		n = artifact_name_show(shown, name, len);
		assert_true(n < sizeof(shown) && utf8_valid(shown, n));
		artifact_name_read(
		    shown, n, back, &back_len, other, &other_len);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, name, len);
		/* And by its own bytes. */
		artifact_name_read((const char *)name, len, back, &back_len,
		    other, &other_len);
		assert_int_equal(other_len, len);
		assert_memory_equal(other, name, len);
	}
}

static void
test_read_long(void **state)
{
	uint8_t name[MAX_ARTIFACT_NAME], other[MAX_ARTIFACT_NAME];
	char text[4 * MAX_ARTIFACT_NAME];
	size_t name_len, other_len;

	(void)state;
	memset(text, 'a', sizeof(text));
	artifact_name_read(
	    text, MAX_ARTIFACT_NAME, name, &name_len, other, &other_len);
	assert_int_equal(name_len, MAX_ARTIFACT_NAME);
	assert_int_equal(other_len, MAX_ARTIFACT_NAME);
	artifact_name_read(
	    text, MAX_ARTIFACT_NAME + 1, name, &name_len, other, &other_len);
	assert_int_equal(name_len, 0);
	assert_int_equal(other_len, 0);
	artifact_name_read("", 0, name, &name_len, other, &other_len);
	assert_int_equal(name_len + other_len, 0);
	/* Nobody is shown so: small digits, what needs none. */
	artifact_name_read("%ff", 3, name, &name_len, other, &other_len);
	assert_int_equal(name_len, 0);
	assert_int_equal(other_len, 3);
	artifact_name_read("%41", 3, name, &name_len, other, &other_len);
	assert_int_equal(name_len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_read_long),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
