/*
 * submit.c: jobs are put into a store.
 */
#include <string.h>

#include "util.h"
#include "world.h"

static void
t_submit_waits(void **state)
{
	struct job *j = sample("", "print(1)"), *got;
	struct answer a;

	(void)state;
	j->not_before = 12345;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_not_ended(a.job);
	assert_int_equal(a.job->status, JOB_QUEUED);
	assert_int_equal(a.job->fence, 0);
	assert_int_equal(a.job->attempt, 0);
	assert_int_equal(a.job->code_started, 0);
	assert_int_equal(a.job->started_at, 0);
	assert_null(a.job->code); /* without blobs */
	job_free(a.job);
	got = do_get(j->id, WANT_STATUS);
	assert_asked(got, j);
	assert_null(got->code);
	job_free(got);
	got = do_get(j->id, WANT_PAYLOAD);
	assert_blob(got->code, "print(1)", 8);
	assert_blob(got->input, "{}", 2);
	assert_int_equal(blob_len(got->requirements), 0);
	job_free(got);
	job_free(j);
	assert_counts(1, 0);
}

static void
t_submit_starts(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, 1);
	assert_int_equal(a.job->attempt, 1);
	assert_int_equal(a.job->code_started, 1);
	assert_in_range(
	    a.job->started_at, before - 1000, time_wall_us() + 1000);
	assert_not_ended(a.job);
	job_free(a.job);
	job_free(j);
	assert_counts(0, 1);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	/* A full queue does not keep it out: it does not wait. */
	j = sample("", "print(2)");
	assert_int_equal(do_submit(j, 1, 0, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	job_free(a.job);
	job_free(j);
}

/* Nobody overtakes one that waits. */
static void
t_submit_start_waits(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j = sample("", "print(2)");
	struct answer a;

	(void)state;
	submit_waiting(id, 0);
	assert_int_equal(do_submit(j, 1, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_QUEUED);
	assert_int_equal(a.job->fence, 0);
	assert_int_equal(a.job->code_started, 0);
	job_free(a.job);
	assert_int_equal(do_position(j->id), 2);
	job_free(j);
	assert_counts(2, 0);
}

static void
t_submit_again(void **state)
{
	struct job *j = sample("key", "print(1)"), *got;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	/* The same id: the call is repeated. */
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_int_equal(a.job->status, JOB_QUEUED);
	job_free(a.job);
	assert_counts(1, 0);
	/* Also when the queue is full of it, and when it runs since. */
	assert_int_equal(do_submit(j, 0, 1, &a), STORE_OK);
	job_free(a.job);
	got = claim_one();
	job_free(got);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_int_equal(a.job->status, JOB_RUNNING);
	job_free(a.job);
	job_free(j);
	assert_counts(0, 1);
}

static void
t_submit_full(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j = sample("", "print(3)"), *running;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(j, 0, 0, &a), STORE_FULL);
	submit_waiting(id, 0);
	submit_waiting(id, 0);
	assert_int_equal(do_submit(j, 0, 2, &a), STORE_FULL);
	assert_null(a.job);
	assert_int_equal(do_submit(j, 1, 2, &a), STORE_FULL);
	assert_null(do_get(j->id, WANT_STATUS));
	assert_counts(2, 0);
	/* One that runs waits no longer. */
	running = claim_one();
	assert_int_equal(do_submit(j, 0, 2, &a), STORE_OK);
	job_free(a.job);
	job_free(running);
	job_free(j);
	assert_counts(2, 1);
}

/* So many submits at once, of which some cannot be done with the others. */
static void
t_submit_together(void **state)
{
	struct job *jobs[TOGETHER], *j;
	struct answer a[TOGETHER];
	char first[MAX_JOB_ID + 1];
	int wave, i, ok = 0, full = 0;

	(void)state;
	submit_waiting(first, 0);
	for (wave = 0; wave < 3; wave++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < TOGETHER; i++) {
			j = jobs[i] = sample("", "print(4)");
			if (i == 5) /* known already */
				strlcpy(j->id, first, sizeof(j->id));
			if (i == 7 && wave == 0) /* no text of a database */
				strlcpy(j->client, "\xff", sizeof(j->client));
			w.ops->submit(w.store, j, 0,
			    wave < 2 ? QUEUE : 2 * TOGETHER, on_job, &a[i]);
		}
		for (i = 0; i < TOGETHER; i++) {
			run_until(&a[i].n, 1);
			if (i == 7 && wave == 0)
				assert_int_equal(a[i].result, STORE_FAILED);
			else if (a[i].result == STORE_FULL)
				full++;
			else {
				assert_int_equal(a[i].result, STORE_OK);
				assert_string_equal(a[i].job->id, jobs[i]->id);
				assert_int_equal(a[i].job->status, JOB_QUEUED);
				if (i != 5)
					assert_asked(a[i].job, jobs[i]);
				assert_null(a[i].job->code);
				ok += i != 5;
			}
			job_free(a[i].job);
			if (i != 5 && a[i].result == STORE_OK) {
				j = do_get(jobs[i]->id, WANT_PAYLOAD);
				assert_non_null(j);
				assert_int_equal(
				    blob_len(j->code), blob_len(jobs[i]->code));
				job_free(j);
			}
			job_free(jobs[i]);
		}
	}
	/* The third wave finds room for two: one was refused, one known. */
	assert_int_equal(ok, 2 * TOGETHER - 1);
	assert_int_equal(full, TOGETHER - 3);
	assert_counts(2 * TOGETHER, 0);
}

static void
t_idempotency(void **state)
{
	struct job *first = sample("key-\xe2\x82\xac", "print(1)");
	struct job *same = sample("key-\xe2\x82\xac", "print(1)");
	struct job *other = sample("key-\xe2\x82\xac", "print(2)");
	struct job *running;
	struct answer a;

	(void)state;
	assert_int_equal(do_submit(first, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, first->id);
	job_free(a.job);
	assert_int_equal(do_submit(same, 1, QUEUE, &a), STORE_EXISTS);
	job_free(a.job);
	assert_int_equal(do_submit(other, 0, QUEUE, &a), STORE_CONFLICT);
	assert_string_equal(a.job->id, first->id);
	job_free(a.job);
	/* Known before full. */
	assert_int_equal(do_submit(same, 0, 1, &a), STORE_EXISTS);
	job_free(a.job);
	/* Also once it has ended. */
	running = claim_one();
	end_succeeded(running);
	assert_int_equal(do_finish(running), STORE_OK);
	job_free(running);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_EXISTS);
	assert_int_equal(a.job->status, JOB_SUCCEEDED);
	job_free(a.job);
	assert_null(do_get(same->id, WANT_STATUS));
	/* No key is no key. */
	first->idempotency_key[0] = same->idempotency_key[0] = '\0';
	uuid4(first->id);
	assert_int_equal(do_submit(first, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_submit(same, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_counts(2, 0);
	job_free(first);
	job_free(same);
	job_free(other);
}

#define PARALLEL 40

/* Many at once with one key: one job, and all get to know it. */
static void
t_idempotency_parallel(void **state)
{
	struct answer a[PARALLEL];
	struct job *j;
	int i, ok = 0, n = 0;

	(void)state;
	memset(a, 0, sizeof(a));
	for (i = 0; i < PARALLEL; i++) {
		j = sample("key", "print(1)");
		w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[i]);
		job_free(j); /* it was copied */
	}
	for (i = 0; i < PARALLEL; i++) {
		run_until(&a[i].n, 1);
		ok += a[i].result == STORE_OK;
		n += a[i].result == STORE_EXISTS;
		assert_string_equal(a[i].job->id, a[0].job->id);
	}
	assert_int_equal(ok, 1);
	assert_int_equal(n, PARALLEL - 1);
	for (i = 0; i < PARALLEL; i++) {
		assert_int_equal(a[i].n, 1);
		job_free(a[i].job);
	}
	assert_counts(1, 0);
}

int
submit_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_submit_waits),
		BOTH(t_submit_starts),
		BOTH(t_submit_start_waits),
		BOTH(t_submit_again),
		BOTH(t_submit_full),
		BOTH(t_submit_together),
		BOTH(t_idempotency),
		BOTH(t_idempotency_parallel),
	};

	return (cmocka_run_group_tests_name("submit", tests, NULL, NULL));
}
