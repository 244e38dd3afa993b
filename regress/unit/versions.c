/*
 * versions.c: which versions takod warns of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "takod/versions.h"

/* The text of a program, and the version that mends it; NULL: none needed. */
static const struct {
	const char *name;
	const char *text;
	const char *fixed;
} rows[] = {
	{ "runc", "runc version 1.1.5+ds1", "1.2.8" },
	{ "runc", "runc version 1.2.7", "1.2.8" },
	{ "runc", "runc version 1.2.8", NULL },
	{ "runc", "runc version 1.2.10", NULL },
	{ "runc", "runc version 1.3.0", "1.3.3" },
	{ "runc", "runc version 1.3.2-rc.1", "1.3.3" },
	{ "runc", "runc version 1.3.3", NULL },
	{ "runc", "runc version 2.0", NULL },
	{ "runc", "runc version 1.2", "1.2.8" },
	{ "Docker Engine", "Docker Engine 20.10.24+dfsg1, API 1.41", "29.5.1" },
	{ "Docker Engine", "Docker Engine 29.5.0, API 1.52", "29.5.1" },
	{ "Docker Engine", "Docker Engine 29.5.1, API 1.52", NULL },
	{ "Docker Engine", "Docker Engine 30.0.0, API 1.60", NULL },
	/* What bears no number, or another name, is not judged. */
	{ "runc", "runc version ?", NULL },
	{ "runc", "", NULL },
	{ "runc", "runc 7", NULL },
	{ "runsc", "runsc version release-20221219.0", NULL },
	{ "crun", "crun version 1.1.5", NULL },
	/* A date in front of it is no version. */
	{ "runc", "build 20221219 runc version 1.2.8", NULL },
};

static void
test_rows(void **state)
{
	const char *fixed, *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fixed = NULL;
		why = versions_bad(rows[i].name, rows[i].text, &fixed);
		print_message("%s\n", rows[i].text);
		if (rows[i].fixed == NULL) {
			assert_null(why);
			continue;
		}
		assert_non_null(why);
		assert_string_equal(fixed, rows[i].fixed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
