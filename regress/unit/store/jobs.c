/*
 * jobs.c: a job from its claim to its end, and its record until that expires.
 */
#include <stdlib.h>
#include <string.h>

#include "takod/pg_statements.h"
#include "util.h"
#include "world.h"

static void
t_claim(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_null(a.job);
	blob_unref(j->requirements);
	j->requirements = blob_copy("[\"six\"]", 7);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_asked(a.job, j);
	assert_not_ended(a.job);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, 1);
	assert_int_equal(a.job->attempt, 1);
	assert_int_equal(a.job->code_started, 0);
	assert_in_range(
	    a.job->started_at, before - 1000, time_wall_us() + 1000);
	assert_blob(a.job->code, "print(1)", 8);
	assert_blob(a.job->input, "{}", 2);
	assert_blob(a.job->requirements, "[\"six\"]", 7);
	job_free(a.job);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(0, 1);
	job_free(j);
	j = sample("", "print(2)");
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(do_claim(1, &a), STORE_OK);
	assert_int_equal(a.job->code_started, 1);
	job_free(a.job);
	job_free(j);
}

static void
t_claim_order(void **state)
{
	char ids[6][MAX_JOB_ID + 1];
	struct job *j;
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		submit_waiting(ids[i], 0);
	for (i = 0; i < 6; i++)
		assert_int_equal(do_position(ids[i]), i + 1);
	for (i = 0; i < 3; i++) {
		j = claim_one();
		assert_string_equal(j->id, ids[i]);
		assert_int_equal(do_position(j->id), 0);
		job_free(j);
	}
	for (; i < 6; i++)
		assert_int_equal(do_position(ids[i]), i - 2);
	assert_int_equal(do_position("api-no-such-job"), 0);
}

/* One that waits for its time holds nobody up, and comes first when due. */
static void
t_not_before(void **state)
{
	char later[MAX_JOB_ID + 1], now[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(later, time_wall_us() + 3600000000LL);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	submit_waiting(now, 0);
	j = claim_one();
	assert_string_equal(j->id, now);
	assert_int_equal(do_release(j->id, j->fence, 3600000000LL), STORE_OK);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(2, 0);
	assert_int_equal(do_position(later), 1);
	assert_int_equal(do_position(now), 2);
}

static void
t_release(void **state)
{
	char id[MAX_JOB_ID + 1], second[MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	submit_waiting(second, 0);
	assert_int_equal(do_release(id, 0, 0), STORE_STALE); /* it waits */
	j = claim_one();
	assert_int_equal(do_release(id, j->fence + 1, 0), STORE_STALE);
	assert_int_equal(do_release("api-none", 1, 0), STORE_STALE);
	assert_int_equal(do_release(id, j->fence, -1000000), STORE_OK);
	assert_int_equal(do_release(id, j->fence, -1000000), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_QUEUED);
	assert_true(j->not_before > time_wall_us() - 60000000);
	assert_true(j->not_before < time_wall_us());
	assert_int_equal(j->started_at, 0);
	assert_int_equal(j->fence, 1);
	job_free(j);
	/* It keeps its place; the old holder's fence opens nothing. */
	j = claim_one();
	assert_string_equal(j->id, id);
	assert_int_equal(j->fence, 2);
	assert_int_equal(j->attempt, 2);
	assert_int_equal(do_start(id, 1), STORE_STALE);
	assert_int_equal(do_release(id, 1, 0), STORE_STALE);
	/* Once the code has started there is no way back. */
	assert_int_equal(do_start(id, 2), STORE_OK);
	assert_int_equal(do_release(id, 2, 0), STORE_STALE);
	job_free(j);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_RUNNING);
	assert_int_equal(j->code_started, 1);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_string_equal(a.job->id, second);
	job_free(a.job);
}

static void
t_start(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j;

	(void)state;
	submit_waiting(id, 0);
	assert_int_equal(do_start(id, 0), STORE_STALE);
	j = claim_one();
	assert_int_equal(do_start(id, j->fence - 1), STORE_STALE);
	assert_int_equal(do_start("api-none", j->fence), STORE_STALE);
	assert_int_equal(do_start(id, j->fence), STORE_OK);
	/* Asked again, for the first answer may have been lost. */
	assert_int_equal(do_start(id, j->fence), STORE_OK);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(do_start(id, j->fence), STORE_STALE);
	job_free(j);
}

static void
t_finish(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	end_fully(j);
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(id, WANT_OUTPUT);
	assert_ended(got, j);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	assert_blob(got->err, "", 0);
	assert_blob(got->output, "{\"a\": 1}", 8);
	assert_null(got->extras);
	assert_null(got->code);
	assert_int_equal(got->n_artifacts, 2);
	assert_string_equal(got->artifact_store, j->artifact_store);
	assert_memory_equal(
	    got->artifacts, j->artifacts, 2 * sizeof(*j->artifacts));
	job_free(got);
	got = do_get(id, WANT_STATUS);
	assert_ended(got, j);
	assert_null(got->out);
	assert_int_equal(got->n_artifacts, 0);
	job_free(got);
	got = do_get(id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	assert_blob(got->code, "print(1)", 8);
	job_free(got);
	job_free(j);
	assert_counts(0, 0);
}

static void
t_finish_guards(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *old, *j, *got;

	(void)state;
	submit_waiting(id, 0);
	old = claim_one();
	end_succeeded(old);
	old->out = blob_copy("old", 3);
	assert_int_equal(do_release(id, old->fence, 0), STORE_OK);
	assert_int_equal(do_finish(old), STORE_STALE); /* it waits */
	j = claim_one();
	assert_int_equal(do_finish(old), STORE_STALE); /* another's now */
	got = do_get(id, WANT_OUTPUT);
	assert_int_equal(got->status, JOB_RUNNING);
	assert_null(got->out);
	job_free(got);
	end_succeeded(j);
	j->out = blob_copy("new", 3);
	assert_int_equal(do_finish(j), STORE_OK);
	/* Told again by the same holder: it is written. */
	assert_int_equal(do_finish(j), STORE_OK);
	/* Another end comes too late. */
	old->fence = j->fence;
	old->status = JOB_TIMEOUT;
	assert_int_equal(do_finish(old), STORE_STALE);
	old->status = j->status;
	old->ended_at = j->ended_at + 1;
	assert_int_equal(do_finish(old), STORE_STALE);
	got = do_get(id, WANT_OUTPUT);
	assert_ended(got, j);
	assert_blob(got->out, "new", 3);
	job_free(got);
	strlcpy(old->id, "api-none", sizeof(old->id));
	assert_int_equal(do_finish(old), STORE_STALE);
	job_free(old);
	job_free(j);
}

static void
t_cancel(void **state)
{
	char id[MAX_JOB_ID + 1];
	int64_t before = time_wall_us();
	struct answer a;
	struct job *j;

	(void)state;
	assert_int_equal(do_cancel("api-none", &a), STORE_NOT_FOUND);
	assert_null(a.job);
	submit_waiting(id, 0);
	assert_int_equal(do_cancel(id, &a), STORE_OK);
	assert_string_equal(a.job->id, id);
	assert_int_equal(a.job->status, JOB_CANCELLED);
	assert_int_equal(a.job->error, JERR_CANCELLED);
	assert_int_equal(a.job->error_phase, PHASE_STARTUP);
	assert_true(a.job->error_message[0] != '\0');
	assert_in_range(a.job->ended_at, before - 1000, time_wall_us() + 1000);
	job_free(a.job);
	assert_int_equal(do_cancel(id, &a), STORE_NOT_FOUND);
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_counts(0, 0);
	submit_waiting(id, 0);
	j = claim_one();
	assert_int_equal(do_cancel(id, &a), STORE_STALE);
	assert_string_equal(a.job->id, id);
	assert_int_equal(a.job->status, JOB_RUNNING);
	assert_int_equal(a.job->fence, j->fence);
	job_free(a.job);
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_int_equal(do_cancel(id, &a), STORE_NOT_FOUND);
	assert_null(a.job);
	job_free(j);
}

static void
t_get(void **state)
{
	struct job *j;
	char id[MAX_JOB_ID + 1];

	(void)state;
	assert_null(do_get("api-none", WANT_OUTPUT | WANT_PAYLOAD));
	assert_null(do_get("", WANT_STATUS));
	assert_null(do_get("' OR 1=1 --", WANT_STATUS));
	/* Output of one that has not ended is nothing, not a failure. */
	submit_waiting(id, 0);
	j = do_get(id, WANT_OUTPUT);
	assert_null(j->out);
	assert_null(j->output);
	assert_int_equal(j->n_artifacts, 0);
	job_free(j);
}

/* A record as it was, from one store to the next: t_finish has the fields. */
static void
t_import(void **state)
{
	struct job *j = sample("import-key", "print(1)"), *got, *other;
	struct store_filter f;
	struct answer a;

	(void)state;
	j->fence = j->attempt = 3;
	strlcpy(j->tenant, "key:of-another-host", sizeof(j->tenant));
	strlcpy(j->job_ref, "a-type", sizeof(j->job_ref));
	j->code_started = 1;
	j->started_at = j->created_at + 5;
	end_fully(j);
	CALL(&a, import(w.store, j, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_ended(got, j);
	assert_int_equal(got->created_at, j->created_at);
	assert_int_equal(got->attempt, 3);
	assert_string_equal(got->idempotency_key, "import-key");
	assert_memory_equal(got->fingerprint, j->fingerprint, TAKO_SHA256);
	assert_string_equal(got->client, j->client);
	assert_string_equal(got->tenant, j->tenant);
	assert_string_equal(got->job_ref, "a-type");
	assert_string_equal(got->artifact_store, "s3");
	assert_blob(got->code, "print(1)", 8);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	job_free(got);
	/* It takes no part of its tenant's share. */
	assert_counts(0, 0);
	CALL(&a, tenants(w.store, 10, on_tenants, &a));
	assert_int_equal(a.n_tenants, 0);
	/* The key counts as if it had been given here. */
	other = sample("import-key", "print(2)");
	strlcpy(other->tenant, j->tenant, sizeof(other->tenant));
	other->started_at = j->started_at;
	end_fully(other);
	CALL(&a, import(w.store, other, on_plain, &a));
	assert_int_equal(a.result, STORE_CONFLICT);
	assert_null(do_get(other->id, 0));
	/* What has not ended is not taken. */
	if (!is_pg()) {
		uuid4(other->id);
		other->status = JOB_QUEUED;
		CALL(&a, import(w.store, other, on_plain, &a));
		assert_int_equal(a.result, STORE_FAILED);
	}
	do_index();
	f = any(10);
	strlcpy(f.query, "+print", sizeof(f.query));
	assert_found(&f, (const char *[]){ j->id }, 1);
	job_free(other);
	job_free(j);
}

/* Two at once of one id, as of two takods that share a store: one record. */
static void
t_import_twice(void **state)
{
	struct store *other = is_pg() ? open_as("tako2") : w.store;
	struct job *j = sample("", "pass");
	struct answer a[2];
	int i;

	(void)state;
	memset(a, 0, sizeof(a));
	end_fully(j);
	w.ops->import(w.store, j, on_plain, &a[0]);
	w.ops->import(other, j, on_plain, &a[1]);
	for (i = 0; i < 2; i++)
		run_until(&a[i].n, 1);
	assert_int_equal(
	    (a[0].result == STORE_OK) + (a[1].result == STORE_OK), 1);
	assert_int_equal(
	    (a[0].result == STORE_EXISTS) + (a[1].result == STORE_EXISTS), 1);
	assert_counts(0, 0);
	job_free(do_get(j->id, WANT_PAYLOAD | WANT_OUTPUT));
	job_free(j);
	if (is_pg())
		w.ops->close(other);
}

/* Every byte of a payload and of an output comes back, 10 MiB of each. */
static void
t_blobs(void **state)
{
	struct job *j = sample("", "x"), *got;
	struct answer a;
	uint8_t *bytes;
	size_t i, len = 10 * MIB;

	(void)state;
	assert_non_null(bytes = malloc(len));
	arc4random_buf(bytes, len);
	for (i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	blob_unref(j->code);
	blob_unref(j->input);
	j->code = blob_copy(bytes, len);
	j->input = blob_copy("\0", 1);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	job_free(j);
	j = claim_one();
	assert_blob(j->code, bytes, len);
	assert_blob(j->input, "\0", 1);
	end_succeeded(j);
	j->out = blob_copy(bytes, len);
	j->err = blob_copy("\0\0", 2);
	j->output = blob_copy(bytes, 256);
	j->extras = blob_copy("{}", 2);
	assert_int_equal(do_finish(j), STORE_OK);
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_blob(got->code, bytes, len);
	assert_blob(got->out, bytes, len);
	assert_blob(got->err, "\0\0", 2);
	assert_blob(got->output, bytes, 256);
	assert_blob(got->extras, "{}", 2);
	job_free(got);
	job_free(j);
	free(bytes);
}

/* created_at 0 is now; an end is never before the start. */
static void
t_clock(void **state)
{
	struct job *j = sample("", "print(1)");
	int64_t before = time_wall_us();
	struct answer a;

	(void)state;
	j->created_at = 0;
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	assert_in_range(
	    a.job->created_at, before - 1000, time_wall_us() + 1000);
	job_free(a.job);
	job_free(j);
}

/* Calls are done in the order they were made. */
static void
t_order(void **state)
{
	struct job *j = sample("", "print(1)"), *end;
	struct answer a[6];

	(void)state;
	memset(a, 0, sizeof(a));
	end = job_lend(j);
	end->fence = 1;
	end->status = JOB_SUCCEEDED;
	end->ended_at = time_wall_us() + 10000000;
	w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[0]);
	w.ops->claim(w.store, 0, on_job, &a[1]);
	w.ops->start(w.store, j->id, 1, on_plain, &a[2]);
	w.ops->get(w.store, j->id, 0, on_job, &a[3]);
	w.ops->finish(w.store, end, on_plain, &a[4]);
	w.ops->get(w.store, j->id, 0, on_job, &a[5]);
	run_until(&a[5].n, 1);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(a[i].n, 1);
		assert_int_equal(a[i].result, STORE_OK);
	}
	assert_int_equal(a[1].job->status, JOB_RUNNING);
	assert_int_equal(a[3].job->code_started, 1);
	assert_int_equal(a[5].job->status, JOB_SUCCEEDED);
	job_free(a[0].job);
	job_free(a[1].job);
	job_free(a[3].job);
	job_free(a[5].job);
	job_free(j);
	job_free(end);
}

/* What has ended long enough ago goes with all of it, and nothing else does. */
static void
t_expire(void **state)
{
	static const enum job_status ends[] = { JOB_SUCCEEDED, JOB_FAILED,
		JOB_TIMEOUT, JOB_OOM, JOB_CANCELLED };
	char ended[nitems(ends)][MAX_JOB_ID + 1];
	char waiting[MAX_JOB_ID + 1], id[MAX_JOB_ID + 1];
	struct job *running, *young, *again;
	struct store_filter f;
	struct answer a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(ends); i++)
		submit_ended("", ends[i], ended[i]);
	submit_waiting(waiting, 0);
	young = claim_one();
	end_succeeded(young);
	young->ended_at = time_wall_us() + 3600 * 1000000LL;
	assert_int_equal(do_finish(young), STORE_OK);
	submit_waiting(waiting, 0);
	running = claim_one();
	submit_waiting(waiting, 0);

	do_expire(3600 * 1000000LL, STORE_EXPIRE_MAX, &a);
	assert_int_equal(a.n_ids, 0);
	for (i = 0; i < nitems(ends); i++) { /* the oldest first */
		do_expire(0, 1, &a);
		assert_int_equal(a.n_ids, 1);
		assert_string_equal(a.ids[0].id, ended[i]);
		assert_string_equal(a.ids[0].artifact_store,
		    ends[i] == JOB_CANCELLED ? "" : "s3");
		assert_null(do_get(ended[i], WANT_PAYLOAD | WANT_OUTPUT));
	}
	do_expire(0, STORE_EXPIRE_MAX, &a);
	assert_int_equal(a.n_ids, 0);
	assert_counts(1, 1);
	f = any(100);
	do_list(&f, &a);
	assert_int_equal(a.n_found, 3);

	/* The running one can still be ended, and a key is free again. */
	end_fully(running);
	assert_int_equal(do_finish(running), STORE_OK);
	again = claim_one();
	assert_string_equal(again->id, waiting);
	assert_int_equal(
	    do_release(waiting, again->fence, 3600000000LL), STORE_OK);
	job_free(again);
	again = sample("the-key", "print(1)");
	submit_ended("the-key", JOB_SUCCEEDED, id);
	assert_int_equal(do_submit(again, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
	do_expire(0, 1, &a);
	assert_string_equal(a.ids[0].id, id);
	assert_int_equal(do_submit(again, 0, QUEUE, &a), STORE_OK);
	assert_string_equal(a.job->id, again->id);
	job_free(a.job);
	job_free(again);
	job_free(running);
	job_free(young);
}

/* Nothing is left of an id: payloads and outputs would be in its way. */
static void
t_expire_all(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;

	(void)state;
	submit_ended("", JOB_SUCCEEDED, id);
	do_expire(0, 1, &a);
	assert_int_equal(a.n_ids, 1);
	j = sample("", "another");
	strlcpy(j->id, id, sizeof(j->id));
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	job_free(a.job);
	got = do_get(id, WANT_PAYLOAD | WANT_OUTPUT);
	assert_blob(got->code, "another", 7);
	assert_null(got->out);
	assert_int_equal(got->n_artifacts, 0);
	job_free(got);
	job_free(j);
}

/*
 * Old records, though nothing is known of a table that has just grown: they are
 * not sorted anew for each few that go.
 */
static void
t_plan_expire(void **state)
{
	char plan[8192];

	(void)state;
	direct("INSERT INTO jobs (id, job_type, idempotency_key, fingerprint,"
	       " correlation_id, client, parent_id, code_hash, input_hash,"
	       " code_len, input_len, timeout, startup_timeout, created_at,"
	       " status, fence, attempt, not_before, code_started, started_at,"
	       " ended_at, exit_code, error_message, startup_ms,"
	       " dependencies_ms, execution_ms, total_ms, out_truncated,"
	       " err_truncated, max_rss_kb, cpu_ms, wall_ms, oom_kills)"
	       " SELECT n::text, 'a', '', '', '', '', '', '', '', 0, 0, 1, 1,"
	       " n, 'failed', 1, 1, 0, 1, n, n, 0, '', 0, 0, 0, 0, 0, 0, 0, 0,"
	       " 0, 0 FROM generate_series(1, 10000) AS n");
	pg_plan(plan, sizeof(plan), "", "bigint, bigint",
	    pg_statements[S_EXPIRE].sql, "1, 50");
	if (strstr(plan, "Index Scan using jobs_ended") == NULL ||
	    strstr(plan, "Sort") != NULL || strstr(plan, "Seq Scan") != NULL)
		fail_msg("%s", plan);
}

int
jobs_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_claim),
		BOTH(t_claim_order),
		BOTH(t_not_before),
		BOTH(t_release),
		BOTH(t_start),
		BOTH(t_finish),
		BOTH(t_finish_guards),
		BOTH(t_cancel),
		BOTH(t_get),
		BOTH(t_import),
		BOTH(t_import_twice),
		BOTH(t_blobs),
		BOTH(t_clock),
		BOTH(t_order),
		BOTH(t_expire),
		BOTH(t_expire_all),
		PG(t_plan_expire),
	};

	return (cmocka_run_group_tests_name("jobs", tests, NULL, NULL));
}
