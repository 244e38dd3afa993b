/*
 * letters.c: attempts that failed, and dead letters.
 */
#include <string.h>

#include "util.h"
#include "world.h"

static int64_t
letter_total(void)
{
	struct answer a;
	int64_t n = 0;
	size_t i;

	CALL(&a, letter_counts(w.store, on_errors, &a));
	assert_int_equal(a.result, STORE_OK);
	for (i = 0; i < nitems(a.errors); i++)
		n += a.errors[i];
	return (n);
}

static enum store_result
fail_and_release(struct job *j, const char *message)
{
	struct answer a;

	assert_int_equal(
	    attempt_note(j, time_wall_us(), JERR_DOCKER, "slot", message), 0);
	CALL(&a, release(w.store, j, 0, on_plain, &a));
	return (a.result);
}

/* Ends a claimed job with a fault that was not its own. */
static void
fail_for_good(struct job *j, enum job_error error, const char *message)
{
	j->status = JOB_FAILED;
	j->ended_at = j->started_at; /* past, also for who asks at once */
	j->error = error;
	j->error_phase = PHASE_STARTUP;
	strlcpy(j->error_message, message, sizeof(j->error_message));
	assert_int_equal(
	    attempt_note(j, j->ended_at, error, "sandbox", message), 0);
	assert_int_equal(do_finish(j), STORE_OK);
}

static void
t_attempts(void **state)
{
	static const char odd[] = "it's \"odd\"\n\\ \xc3\xa9 $1 %s";
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;
	int64_t began;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	began = j->started_at;
	assert_int_equal(j->n_attempts, 0);
	assert_int_equal(fail_and_release(j, odd), STORE_OK);
	/* Said once more, since the answer was lost: kept once. */
	assert_int_equal(fail_and_release(j, odd), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->n_attempts, 0);
	job_free(j);

	j = claim_one();
	assert_int_equal(j->attempt, 2);
	assert_int_equal(j->n_attempts, 1);
	assert_int_equal(j->attempts[0].number, 1);
	assert_int_equal(j->attempts[0].started_at, began);
	assert_true(j->attempts[0].ended_at >= began);
	assert_int_equal(j->attempts[0].error, JERR_DOCKER);
	assert_string_equal(j->attempts[0].place, "slot");
	assert_string_equal(j->attempts[0].message, odd);
	assert_null(attempt_present(j));
	assert_int_equal(letter_total(), 0);

	fail_for_good(j, JERR_SERVICE_UNAVAILABLE, "gone");
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->n_attempts, 2);
	assert_int_equal(got->attempts[1].number, 2);
	assert_int_equal(got->attempts[1].error, JERR_SERVICE_UNAVAILABLE);
	assert_string_equal(got->attempts[1].message, "gone");
	assert_ptr_equal(attempt_present(got), &got->attempts[1]);
	job_free(got);
	/* The end, said once more, leaves no second letter either. */
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(letter_total(), 1);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, id);
	assert_int_equal(a.letters[0].retry_count, 1);
	assert_int_equal(a.letters[0].error, JERR_SERVICE_UNAVAILABLE);
	assert_string_equal(a.letters[0].error_message, "gone");
	assert_int_equal(a.letters[0].created_at, j->ended_at);
	assert_string_equal(a.letters[0].client, j->client);
	assert_string_equal(a.letters[0].correlation_id, j->correlation_id);
	assert_string_equal(a.letters[0].parent_id, j->parent_id);
	assert_string_equal(a.letters[0].job_type, "default");
	assert_memory_equal(a.letters[0].code_hash, j->code_hash, TAKO_SHA256);
	assert_memory_equal(
	    a.letters[0].input_hash, j->input_hash, TAKO_SHA256);
	assert_int_equal(a.letters[0].code_len, j->code_len);
	assert_int_equal(a.letters[0].input_len, j->input_len);
	assert_int_equal(a.letters[0].timeout, 31);
	assert_int_equal(a.letters[0].startup_timeout, 121);
	assert_int_equal(a.letters[0].keyed, 0);
	job_free(j);
}

/* A job's own failure leaves neither. */
static void
t_no_letter(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	j->status = JOB_FAILED;
	j->ended_at = j->started_at + 1;
	j->exit_code = 1;
	j->error = JERR_VALUE;
	strlcpy(j->job_type, "ran-as", sizeof(j->job_type));
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->n_attempts, 0);
	assert_string_equal(got->job_type, "ran-as");
	assert_string_equal(got->job_ref, "default");
	assert_int_equal(letter_total(), 0);
	job_free(got);
	job_free(j);
}

static void
t_letters(void **state)
{
	static const enum job_error errors[] = { JERR_DOCKER, JERR_CONFIG,
		JERR_DOCKER, JERR_INTERNAL };
	char ids[nitems(errors)][MAX_JOB_ID + 1];
	struct answer a, all;
	struct job *j;
	size_t i;

	(void)state;
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_letters, 0);
	for (i = 0; i < nitems(errors); i++) {
		submit_waiting(ids[i], 0);
		j = claim_one();
		fail_for_good(j, errors[i], "x");
		job_free(j);
	}
	CALL(&all, letters(w.store, "", 0, 10, 0, on_letters, &all));
	assert_int_equal(all.n_letters, 4);
	for (i = 0; i < 4; i++) /* newest first */
		assert_string_equal(all.letters[i].job_id, ids[3 - i]);
	CALL(&a, letters(w.store, "docker_error", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 2);
	assert_string_equal(a.letters[0].job_id, ids[2]);
	CALL(&a, letters(w.store, "no_such'type", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 0);
	CALL(&a, letters(w.store, "", 0, 2, 1, on_letters, &a));
	assert_int_equal(a.n_letters, 2);
	assert_string_equal(a.letters[0].job_id, ids[2]);
	CALL(
	    &a, letters(w.store, "", all.letters[3].id, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[0]);
	CALL(&a, letter_counts(w.store, on_errors, &a));
	assert_int_equal(a.errors[JERR_DOCKER], 2);
	assert_int_equal(a.errors[JERR_CONFIG], 1);
	assert_int_equal(a.errors[JERR_INTERNAL], 1);

	CALL(&a, letter_remove(w.store, all.letters[0].id, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
	CALL(&a, letter_remove(w.store, all.letters[0].id, on_plain, &a));
	assert_int_equal(a.result, STORE_NOT_FOUND);
	assert_int_equal(letter_total(), 3);

	/* They outlive their jobs, and then grow old themselves. */
	for (i = 0;; i += a.n_ids) { /* as many at a time as it has time for */
		do_expire(0, STORE_EXPIRE_MAX, &a);
		if (a.n_ids == 0)
			break;
	}
	assert_int_equal(i, 4);
	assert_int_equal(letter_total(), 3);
	CALL(&a, letters_expire(w.store, 3600000000LL, 10, on_position, &a));
	assert_int_equal(a.position, 0);
	CALL(&a, letters_expire(w.store, 0, 2, on_position, &a));
	assert_int_equal(a.position, 2);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[2]);
}

int
letters_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_attempts),
		BOTH(t_no_letter),
		BOTH(t_letters),
	};

	return (cmocka_run_group_tests_name("letters", tests, NULL, NULL));
}
