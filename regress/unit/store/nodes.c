/*
 * nodes.c: leases, heartbeats, and what takods tell each other.
 */

#include "util.h"
#include "world.h"

static void
t_recover(void **state)
{
	char ids[4][MAX_JOB_ID + 1];
	struct job *j[3], *got;
	struct answer a;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		submit_waiting(ids[i], 0);
	for (i = 0; i < 3; i++)
		j[i] = claim_one();
	assert_int_equal(do_start(ids[1], 1), STORE_OK);
	end_succeeded(j[2]);
	assert_int_equal(do_finish(j[2]), STORE_OK);
	reopen();
	assert_counts(1, 2);
	do_beat(NULL, 0, &a);
	assert_taken(&a, 1, 1);
	assert_counts(2, 0);
	got = do_get(ids[0], WANT_OUTPUT);
	assert_int_equal(got->status, JOB_QUEUED);
	assert_int_equal(got->started_at, 0);
	assert_int_equal(got->n_attempts, 1);
	assert_int_equal(got->attempts[0].started_at, j[0]->started_at);
	assert_int_equal(got->attempts[0].error, JERR_INTERRUPTED);
	assert_string_equal(got->attempts[0].place, "node");
	job_free(got);
	CALL(&a, letters(w.store, "", 0, 10, 0, on_letters, &a));
	assert_int_equal(a.n_letters, 1);
	assert_string_equal(a.letters[0].job_id, ids[1]);
	assert_int_equal(a.letters[0].error, JERR_INTERRUPTED);
	got = do_get(ids[1], WANT_OUTPUT);
	assert_non_null(attempt_present(got));
	job_free(got);
	got = do_get(ids[1], WANT_STATUS);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	assert_int_equal(got->error_phase, PHASE_EXECUTION);
	assert_true(got->ended_at >= got->started_at);
	assert_true(got->error_message[0] != '\0');
	job_free(got);
	got = do_get(ids[2], WANT_STATUS);
	assert_int_equal(got->status, JOB_SUCCEEDED);
	job_free(got);
	/* Who held them before holds nothing now. */
	assert_int_equal(do_start(ids[0], 1), STORE_STALE);
	end_succeeded(j[1]);
	assert_int_equal(do_finish(j[1]), STORE_STALE);
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	got = claim_one();
	assert_string_equal(got->id, ids[0]);
	assert_int_equal(got->fence, 2);
	job_free(got);
	for (i = 0; i < 3; i++)
		job_free(j[i]);
}

/* A job that was put in as running is interrupted too. */
static void
t_recover_started(void **state)
{
	struct job *j = sample("", "print(1)"), *got;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	job_free(a.job);
	reopen();
	do_beat(NULL, 0, &a);
	assert_taken(&a, 0, 1);
	got = do_get(j->id, WANT_STATUS);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	job_free(got);
	job_free(j);
}

/* Another takod's jobs are not this one's while their lease runs. */
static void
t_recover_others(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	job_free(j);
	w.ops->close(w.store);
	w.store = open_as("tako");
	do_beat(NULL, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	assert_counts(0, 1);
	w.ops->close(w.store);
	w.store = open_as("tako1#");
	do_beat(NULL, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
}

/* Who comes after another one's lease has run out takes up what it held. */
static void
t_lease_ends(void **state)
{
	char ids[3][MAX_JOB_ID + 1];
	struct job *j[3], *got;
	struct answer a;
	int i;

	(void)state;
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("gone");
	for (i = 0; i < 3; i++) {
		submit_waiting(ids[i], 0);
		j[i] = claim_one();
	}
	assert_int_equal(do_start(ids[1], 1), STORE_OK);
	assert_int_equal(do_start(ids[2], 1), STORE_OK);
	assert_int_equal(do_cancel(ids[2], &a), STORE_STALE);
	job_free(a.job);
	w.ops->close(w.store);
	w.store = open_as("here");
	do_beat(NULL, 0, &a); /* it was not told to */
	assert_int_equal(a.beat.n_jobs, 0);
	assert_counts(0, 3);
	/* Its clock was put forward, as far as who asks can tell. */
	do_beat(NULL, time_wall_us() - 3600000000LL, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	assert_in_range(a.beat.now, time_wall_us() - DEADLINE_S * 1000000LL,
	    time_wall_us() + 1000);
	do_beat(NULL, INT64_MAX, &a);
	assert_taken(&a, 1, 2);
	assert_int_equal(a.beat.queued, 1);
	got = do_get(ids[0], WANT_STATUS);
	assert_int_equal(got->status, JOB_QUEUED);
	assert_int_equal(got->error, JERR_NONE);
	assert_int_equal(got->ended_at, 0);
	job_free(got);
	got = do_get(ids[1], WANT_STATUS);
	assert_int_equal(got->status, JOB_FAILED);
	assert_int_equal(got->error, JERR_INTERRUPTED);
	job_free(got);
	got = do_get(ids[2], WANT_STATUS);
	assert_int_equal(got->status, JOB_CANCELLED);
	assert_int_equal(got->error, JERR_CANCELLED);
	assert_true(got->ended_at >= got->started_at);
	job_free(got);
	/* A paused owner that comes back changes nothing. */
	for (i = 0; i < 3; i++) {
		assert_int_equal(do_start(ids[i], 1), STORE_STALE);
		assert_int_equal(do_release(ids[i], 1, 0), STORE_STALE);
		end_succeeded(j[i]);
		assert_int_equal(do_finish(j[i]), STORE_STALE);
		job_free(j[i]);
	}
	got = claim_one();
	assert_string_equal(got->id, ids[0]);
	assert_int_equal(got->fence, 2);
	job_free(got);
}

/* What is named is held, its own or not, and what is not named is let go. */
static void
t_beat(void **state)
{
	char id[MAX_JOB_ID + 1], second[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	do_beat(id, INT64_MAX, &a); /* it waits: nobody holds it */
	assert_int_equal(a.beat.n_jobs, 0);
	assert_int_equal(a.beat.queued, 1);
	assert_int_equal(a.beat.nodes, 1);
	assert_int_equal(a.beat.running, 1);
	assert_int_equal(a.beat.max_workers, 4);
	job_free(claim_one());
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 1);
	assert_string_equal(a.leases[0].id, id);
	assert_int_equal(a.leases[0].fence, 1);
	assert_int_equal(a.leases[0].status, JOB_RUNNING);
	assert_int_equal(a.leases[0].cancel, 0);
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	job_free(a.job);
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.leases[0].cancel, 1);
	/* Asked to end, it does not wait again. */
	assert_int_equal(do_release(id, 1, 0), STORE_OK);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_CANCELLED);
	assert_int_equal(j->error, JERR_CANCELLED);
	assert_true(j->ended_at != 0);
	job_free(j);
	do_beat(id, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	/* Its own that it has forgotten, and whose lease has run out. */
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("tako1");
	submit_waiting(id, 0);
	submit_waiting(second, 0);
	job_free(claim_one());
	job_free(claim_one());
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.n_jobs, 0);
	do_beat(second, INT64_MAX, &a);
	assert_int_equal(a.beat.n_jobs, 2);
	assert_taken(&a, 1, 0);
}

static void
t_nodes(void **state)
{
	struct answer a;

	(void)state;
	CALL(&a, nodes(w.store, on_nodes, &a));
	assert_int_equal(a.n_ids, 0);
	do_beat(NULL, 0, &a);
	w.ops->close(w.store);
	w.lease_s = 0;
	w.store = open_as("a-node");
	do_beat(NULL, 0, &a);
	do_beat(NULL, 0, &a);
	CALL(&a, nodes(w.store, on_nodes, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_ids, 2);
	assert_string_equal(a.nodes[0].name, "a-node");
	assert_string_equal(a.nodes[0].instance, "0123abcd");
	assert_string_equal(a.nodes[0].version, TAKO_VERSION);
	assert_int_equal(
	    a.nodes[0].seen_at - a.nodes[0].started_at < 1000000, 0);
	assert_in_range(a.nodes[0].silent_us, 0, DEADLINE_S * 1000000);
	assert_int_equal(a.nodes[0].max_workers, 4);
	assert_int_equal(a.nodes[0].draining, 0);
	assert_int_equal(a.nodes[0].alive, 0); /* its lease was none */
	assert_string_equal(a.nodes[1].name, "tako1");
	assert_int_equal(a.nodes[1].alive, 1);
}

static void
t_ended(void **state)
{
	store_id ids[4];
	struct answer a;

	(void)state;
	submit_waiting(ids[0], 0);
	job_free(claim_one());
	submit_waiting(ids[1], 0);
	submit_waiting(ids[2], 0);
	assert_int_equal(do_cancel(ids[2], &a), STORE_OK);
	job_free(a.job);
	uuid4(ids[3]); /* no such job */
	CALL(&a, ended(w.store, ids, 4, on_ended, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_ids, 2);
	assert_string_equal(a.ended[0], ids[2]);
	assert_string_equal(a.ended[1], ids[3]);
	CALL(&a, ended(w.store, ids, 2, on_ended, &a));
	assert_int_equal(a.n_ids, 0);
}

/* Another takod hears of what one does; it does not hear itself. */
static void
t_wake(void **state)
{
	struct store *mine = w.store, *other;
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	do_beat(NULL, 0, &a);
	w.store = other = open_as("tako2");
	do_beat(NULL, 0, &a);
	assert_int_equal(a.beat.nodes, 2);
	assert_int_equal(a.beat.max_workers, 8);
	submit_waiting(id, 0);
	run_until(&w.wakes[WAKE_QUEUE], 1);
	j = claim_one();
	w.store = mine;
	do_beat(NULL, 0, &a); /* from now on it knows of the other */
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	job_free(a.job);
	run_until(&w.wakes[WAKE_CANCEL], 1);
	assert_string_equal(w.woken, id);
	w.store = other;
	do_beat(id, 0, &a);
	assert_int_equal(a.leases[0].cancel, 1);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	run_until(&w.wakes[WAKE_ENDED], 1);
	assert_string_equal(w.woken, id);
	job_free(j);
	assert_int_equal(w.wakes[WAKE_QUEUE], 1);
	assert_int_equal(w.wakes[WAKE_CANCEL], 1);
	assert_int_equal(w.wakes[WAKE_ENDED], 1);
	w.ops->close(other);
	w.store = mine;
}

int
nodes_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_recover),
		BOTH(t_recover_started),
		BOTH(t_recover_others),
		BOTH(t_lease_ends),
		BOTH(t_beat),
		BOTH(t_nodes),
		BOTH(t_ended),
		PG(t_wake),
	};

	return (cmocka_run_group_tests_name("nodes", tests, NULL, NULL));
}
