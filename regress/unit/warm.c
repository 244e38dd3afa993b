/*
 * warm.c: how many slots wait for what is asked for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "takod/takod.h"

struct takod env;

void
takod_check_stopped(void)
{
}

int
takod_stopping(void)
{
	return (0);
}

void
takod_stop(int now)
{
	(void)now;
}

static void
test_demand(void **state)
{
	(void)state;
	/* One now and then, whatever it takes. */
	assert_int_equal(warm_demand(0, 0, 4), 1);
	assert_int_equal(warm_demand(1.0 / 120, 0.2, 4), 1);
	assert_int_equal(warm_demand(0, 10, 4), 1);
	assert_int_equal(warm_demand(5, 0, 4), 1);
	/* As many as come meanwhile, and some. */
	assert_int_equal(warm_demand(1.0 / 60, 0.2, 4), 2);
	assert_int_equal(warm_demand(6, 0.06, 64), 4);
	assert_int_equal(warm_demand(5, 0.2, 64), 6);
	assert_int_equal(warm_demand(20, 0.2, 64), 12);
	assert_int_equal(warm_demand(2, 8, 64), 30);
	/* And not more than can be used. */
	assert_int_equal(warm_demand(20, 0.2, 4), 4);
	assert_int_equal(warm_demand(1e6, 1e6, 64), 64);
	assert_int_equal(warm_demand(1e300, 1e300, 64), 64);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demand),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
