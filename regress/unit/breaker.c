/*
 * breaker.c: the circuit breaker of takod/engine_state.c, through all of its
 * states, without an engine: only what was told of it, and the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "takod/takod.h"
#include "util.h"

/* What main.c has. */
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

static struct breaker *const b = &env.breaker;

static int
setup(void **state)
{
	(void)state;
	memset(&env, 0, sizeof(env));
	env.engine_ops = &engine_oci;
	env.engine_up = 1;
	env.runtime = RUNTIME_RUNC;
	log_init("breaker", LOG_LEVEL_CRITICAL, 0);
	return (0);
}

static void
fail_times(int n)
{
	while (n-- > 0)
		engine_state_failed(ENGINE_TRANSIENT, "told to");
}

/* As if it had been opened so many us ago. */
static void
pass(int64_t us)
{
	b->opened_at -= us;
}

static void
opens_after_five_in_a_row(void **state)
{
	(void)state;
	fail_times(4);
	assert_int_equal(b->state, BREAKER_CLOSED);
	assert_int_equal(b->failures, 4);
	assert_true(b->last_failure > 0);
	assert_true(engine_state_usable());
	engine_state_worked();
	assert_int_equal(b->failures, 0);
	fail_times(4);
	assert_true(engine_state_usable());
	fail_times(1);
	assert_int_equal(b->state, BREAKER_OPEN);
	assert_int_equal(b->failures, 5);
	assert_int_equal(b->successes, 0);
	assert_false(engine_state_usable());
}

static void
half_opens_after_thirty_seconds(void **state)
{
	(void)state;
	fail_times(5);
	pass(29 * 1000000LL);
	assert_false(engine_state_usable());
	assert_int_equal(b->state, BREAKER_OPEN);
	pass(1000000);
	assert_true(engine_state_usable());
	assert_int_equal(b->state, BREAKER_HALF_OPEN);
	/* Asked again, it stays so. */
	assert_true(engine_state_usable());
	assert_int_equal(b->state, BREAKER_HALF_OPEN);
}

static void
closes_after_two_successes(void **state)
{
	(void)state;
	fail_times(5);
	pass(BREAKER_OPEN_US);
	assert_true(engine_state_usable());
	engine_state_worked();
	assert_int_equal(b->state, BREAKER_HALF_OPEN);
	assert_int_equal(b->successes, 1);
	engine_state_worked();
	assert_int_equal(b->state, BREAKER_CLOSED);
	assert_int_equal(b->failures, 0);
	/* From the beginning: it takes five again. */
	fail_times(4);
	assert_int_equal(b->state, BREAKER_CLOSED);
}

static void
one_failure_opens_a_half_open_one(void **state)
{
	int64_t first;

	(void)state;
	fail_times(5);
	first = b->opened_at;
	pass(BREAKER_OPEN_US);
	assert_true(engine_state_usable());
	engine_state_worked();
	fail_times(1);
	assert_int_equal(b->state, BREAKER_OPEN);
	assert_int_equal(b->successes, 0);
	assert_true(b->opened_at >= first); /* another half minute */
	assert_false(engine_state_usable());
	pass(BREAKER_OPEN_US);
	assert_true(engine_state_usable());
	engine_state_worked();
	engine_state_worked();
	assert_int_equal(b->state, BREAKER_CLOSED);
}

/* While it is open, what was begun before may still fail or work. */
static void
late_words_change_nothing(void **state)
{
	int64_t opened;

	(void)state;
	fail_times(5);
	opened = b->opened_at;
	engine_state_worked();
	engine_state_worked();
	engine_state_worked();
	assert_int_equal(b->state, BREAKER_OPEN);
	fail_times(3);
	assert_int_equal(b->state, BREAKER_OPEN);
	assert_int_equal(b->opened_at, opened);
}

static void
an_engine_that_is_away_is_not_used(void **state)
{
	(void)state;
	env.engine_up = 0;
	assert_false(engine_state_usable());
	env.engine_up = 1;
	env.runtime = RUNTIME_NONE;
	assert_false(engine_state_usable());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opens_after_five_in_a_row, setup),
		cmocka_unit_test_setup(half_opens_after_thirty_seconds, setup),
		cmocka_unit_test_setup(closes_after_two_successes, setup),
		cmocka_unit_test_setup(
		    one_failure_opens_a_half_open_one, setup),
		cmocka_unit_test_setup(late_words_change_nothing, setup),
		cmocka_unit_test_setup(
		    an_engine_that_is_away_is_not_used, setup),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
