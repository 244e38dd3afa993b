/*
 * tenants.c: tenants' turns, limits and budgets.
 */
#include <stdio.h>
#include <string.h>

#include "util.h"
#include "world.h"

/* No boundary between two windows of so many us comes in a test. */
#define WINDOW INT64_C(1000000000000000)

static struct tenant_policy policies[16];
static struct tenant_policies all_policies;

static void
policies_begin(void)
{
	memset(policies, 0, sizeof(policies));
	memset(&all_policies, 0, sizeof(all_policies));
	all_policies.list = policies;
	all_policies.window_us = WINDOW;
	all_policies.age_us = WINDOW;
	strlcpy(policies[0].name, "*", sizeof(policies[0].name));
	policies[0].weight = 1;
	all_policies.n = 1;
}

static struct tenant_policy *
policy_add(const char *name, int weight, int priority)
{
	struct tenant_policy *p = &policies[all_policies.n++];

	strlcpy(p->name, name, sizeof(p->name));
	p->weight = weight;
	p->priority = priority;
	return (p);
}

static void
policies_set(void)
{
	struct answer a;

	CALL(&a, set_tenants(w.store, &all_policies, on_plain, &a));
	assert_int_equal(a.result, STORE_OK);
}

static enum store_result
submit_of(const char *tenant, const char *key, int start, char *id)
{
	struct job *j = sample(key, "print(1)");
	struct answer a;
	enum store_result result;

	strlcpy(j->tenant, tenant, sizeof(j->tenant));
	result = do_submit(j, start, QUEUE, &a);
	if (a.job != NULL) {
		assert_string_equal(a.job->tenant, tenant);
		if (id != NULL)
			strlcpy(id, a.job->id, MAX_JOB_ID + 1);
	}
	job_free(a.job);
	job_free(j);
	return (result);
}

static void
submit_many(const char *tenant, int n)
{
	while (n-- > 0)
		assert_int_equal(submit_of(tenant, "", 0, NULL), STORE_OK);
}

/* The last letters of the tenants of the next n claims. */
static const char *
claim_tenants(int n)
{
	static char seen[512];
	struct job *j;
	int i;

	for (i = 0; i < n; i++) {
		j = claim_one();
		seen[i] = j->tenant[strlen(j->tenant) - 1];
		job_free(j);
	}
	seen[n] = '\0';
	return (seen);
}

static size_t
do_tenants(int max, struct answer *a)
{
	CALL(a, tenants(w.store, max, on_tenants, a));
	assert_int_equal(a->result, STORE_OK);
	return (a->n_tenants);
}

/* Who waits much takes turns with who waits little. */
static void
t_turns(void **state)
{
	char last[MAX_JOB_ID + 1];

	(void)state;
	submit_many("key:a", 7);
	submit_many("key:b", 2);
	assert_string_equal(claim_tenants(3), "aba");
	/* One who comes late waits for no more than a turn of each. */
	assert_int_equal(submit_of("addr:c", "", 0, last), STORE_OK);
	assert_in_range(do_position(last), 1, 3);
	assert_in_range(
	    (uintptr_t)(strchr(claim_tenants(3), 'c') != NULL), 1, 1);
	assert_string_equal(claim_tenants(4), "aaaa");
	assert_counts(0, 10);
}

/* A flood does not double another one's wait: by places, hence exactly. */
static void
t_turns_flood(void **state)
{
	char ids[20][MAX_JOB_ID + 1];
	struct job *j;
	int i, n;

	(void)state;
	submit_many("key:flood", 300);
	for (i = 0; i < 50; i++)
		job_free(claim_one());
	for (i = 0; i < 20; i++)
		assert_int_equal(
		    submit_of("key:other", "", 0, ids[i]), STORE_OK);
	for (i = 0; i < 20; i++)
		assert_in_range(do_position(ids[i]), 1, 2 * (i + 1));
	for (i = 0, n = 1; i < 20; n++) {
		j = claim_one();
		if (strcmp(j->tenant, "key:other") == 0) {
			assert_string_equal(j->id, ids[i++]);
			assert_true(n <= 2 * i);
		}
		job_free(j);
	}
}

/* Neither having been idle nor having been served is saved up. */
static void
t_turns_idle(void **state)
{
	(void)state;
	submit_many("key:a", 40);
	for (int i = 0; i < 30; i++)
		job_free(claim_one());
	submit_many("key:b", 3); /* was idle meanwhile */
	assert_string_equal(claim_tenants(6), "ababab");
	/* It comes back at once: no turn more, and its own turn no later. */
	submit_many("key:b", 2);
	assert_string_equal(claim_tenants(4), "abab");
	/* One that had much when it was alone owes nothing for that. */
	submit_many("key:a", 20);
	assert_string_equal(claim_tenants(4), "aaaa");
	submit_many("key:c", 4);
	assert_string_equal(claim_tenants(8), "acacacac");
}

static void
t_weights(void **state)
{
	const char *seen;
	int i, n[3] = { 0 };

	(void)state;
	policies_begin();
	policy_add("key:a", 3, 0);
	policy_add("key:b", 1, 0);
	policy_add("key:c", 2, 0);
	policies_set();
	submit_many("key:a", 60);
	submit_many("key:b", 60);
	submit_many("key:c", 60);
	seen = claim_tenants(60);
	for (i = 0; i < 60; i++)
		n[seen[i] - 'a']++;
	assert_in_range(n[0], 29, 31);
	assert_in_range(n[1], 9, 11);
	assert_in_range(n[2], 19, 21);
	/* Never long without a turn. */
	assert_null(strstr(seen, "aaaa"));
	assert_true(strchr(seen, 'b') - seen < 6);
	/* New weights hold for what waits already. */
	policies_begin();
	policy_add("key:b", 4, 0);
	policies_set(); /* a and c are as any other now */
	seen = claim_tenants(60);
	for (memset(n, 0, sizeof(n)), i = 0; i < 60; i++)
		n[seen[i] - 'a']++;
	assert_in_range(n[1], 38, 42);
	assert_in_range(n[0], 8, 12);
}

static void
t_priority(void **state)
{
	const char *seen;
	int i, low = 0;

	(void)state;
	policies_begin();
	policy_add("key:h", 1, 9);
	policy_add("key:m", 1, 5);
	policies_set();
	submit_many("key:l", 20);
	submit_many("key:m", 4);
	submit_many("key:h", 4);
	assert_string_equal(claim_tenants(8), "hhhhmmmm");
	/* Who waits for long gets one claim in four all the same. */
	submit_many("key:h", 30);
	all_policies.age_us = 0;
	policies_set();
	seen = claim_tenants(24);
	for (i = 0; i < 24; i++)
		low += seen[i] == 'l';
	assert_int_equal(low, 24 / STORE_AGED_CLAIM);
	/* The one that waits longest, of whichever lower priority. */
	submit_many("key:m", 5);
	seen = claim_tenants(4);
	assert_true(strchr(seen, 'l') != NULL && strchr(seen, 'm') == NULL);
	seen = claim_tenants(4);
	assert_true(strchr(seen, 'm') != NULL && strchr(seen, 'l') == NULL);
	/* Not before its time. */
	all_policies.age_us = 3600000000LL;
	policies_set();
	assert_string_equal(claim_tenants(4), "hhhh");
}

static void
t_max_running(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct answer a;
	struct job *one, *two;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 9)->max_running = 2;
	policies_set();
	submit_many("key:a", 4);
	submit_many("key:b", 2);
	one = claim_one();
	two = claim_one();
	assert_string_equal(one->tenant, "key:a");
	assert_string_equal(two->tenant, "key:a");
	assert_string_equal(claim_tenants(1), "b");
	/* A place is free again when one ends, or goes back. */
	end_succeeded(one);
	assert_int_equal(do_finish(one), STORE_OK);
	assert_string_equal(claim_tenants(2), "ab");
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	assert_int_equal(do_release(two->id, two->fence, 0), STORE_OK);
	assert_string_equal(claim_tenants(1), "a");
	assert_int_equal(do_claim(0, &a), STORE_NOT_FOUND);
	/* Nor is there a way past it. */
	assert_int_equal(submit_of("key:a", "", 1, id), STORE_OK);
	job_free(one);
	one = do_get(id, WANT_STATUS);
	assert_int_equal(one->status, JOB_QUEUED);
	/* A reload lifts it. */
	policies_begin();
	policies_set();
	assert_string_equal(claim_tenants(2), "aa");
	job_free(one);
	job_free(two);
}

/* One that may not run is told so by its status though nobody waits. */
static void
t_max_running_start(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j;

	(void)state;
	policies_begin();
	policies[0].max_running = 1; /* everybody's */
	policies_set();
	assert_int_equal(submit_of("addr:a", "", 1, id), STORE_OK);
	assert_int_equal(submit_of("addr:b", "", 1, id), STORE_OK);
	assert_counts(0, 2);
	assert_int_equal(submit_of("addr:a", "", 1, id), STORE_OK);
	j = do_get(id, WANT_STATUS);
	assert_int_equal(j->status, JOB_QUEUED);
	assert_int_equal(j->code_started, 0);
	job_free(j);
}

static void
t_max_queued(void **state)
{
	char id[MAX_JOB_ID + 1], again[MAX_JOB_ID + 1];
	struct answer a;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 0)->max_queued = 2;
	policies_set();
	assert_int_equal(submit_of("key:a", "k1", 0, id), STORE_OK);
	submit_many("key:a", 1);
	assert_int_equal(submit_of("key:a", "k2", 0, NULL), STORE_FILLED);
	assert_int_equal(submit_of("key:a", "", 1, NULL), STORE_FILLED);
	submit_many("key:b", 3);
	/* What is known is known, what was refused is not. */
	assert_int_equal(submit_of("key:a", "k1", 0, again), STORE_EXISTS);
	assert_string_equal(again, id);
	assert_int_equal(do_cancel(id, &a), STORE_OK);
	job_free(a.job);
	assert_int_equal(submit_of("key:a", "k2", 0, id), STORE_OK);
	assert_int_equal(submit_of("key:a", "", 0, NULL), STORE_FILLED);
	assert_counts(5, 0);
}

static void
t_budget(void **state)
{
	struct answer a;
	struct job *j;

	(void)state;
	policies_begin();
	policy_add("key:a", 1, 0)->max_jobs = 3;
	policy_add("key:b", 1, 0)->max_cpu_ms = 40;
	policies_set();
	submit_many("key:a", 2);
	assert_int_equal(submit_of("key:a", "k", 0, NULL), STORE_OK);
	assert_int_equal(submit_of("key:a", "k2", 0, NULL), STORE_SPENT);
	assert_int_equal(submit_of("key:a", "", 1, NULL), STORE_SPENT);
	assert_int_equal(submit_of("key:a", "k", 0, NULL), STORE_EXISTS);
	for (int i = 0; i < 3; i++)
		job_free(claim_one());
	/* 22 ms each, whatever waits meanwhile. */
	submit_many("key:b", 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_OK);
		j = claim_one();
		end_fully(j);
		assert_int_equal(j->cpu_ms, 22);
		assert_int_equal(do_finish(j), STORE_OK);
		assert_int_equal(do_finish(j), STORE_OK); /* counts once */
		job_free(j);
	}
	assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_SPENT);
	assert_int_equal(do_tenants(10, &a), 2);
	assert_string_equal(a.tenants[0].policy.name, "key:b");
	assert_int_equal(a.tenants[0].used_cpu_ms, 44);
	assert_int_equal(a.tenants[0].used_jobs, 4);
	assert_int_equal(a.tenants[1].used_jobs, 3);
	assert_int_equal(a.tenants[1].policy.max_jobs, 3);
	/* Another window begins at nothing. */
	all_policies.window_us = WINDOW / 10;
	policies_set();
	assert_int_equal(submit_of("key:b", "", 0, NULL), STORE_OK);
	do_tenants(10, &a);
	assert_int_equal(a.tenants[0].used_jobs, 1);
	assert_int_equal(a.tenants[0].used_cpu_ms, 0);
}

static void
t_idempotency_tenants(void **state)
{
	char id[4][MAX_JOB_ID + 1];

	(void)state;
	assert_int_equal(submit_of("key:a", "same", 0, id[0]), STORE_OK);
	assert_int_equal(submit_of("key:b", "same", 0, id[1]), STORE_OK);
	assert_int_equal(submit_of("addr:1", "same", 0, id[2]), STORE_OK);
	assert_int_equal(submit_of("key:a", "same", 0, id[3]), STORE_EXISTS);
	assert_string_equal(id[3], id[0]);
	assert_string_not_equal(id[0], id[1]);
	assert_string_not_equal(id[0], id[2]);
}

/* Who shows no key shares one name space with all who show none. */
static void
t_idempotency_shared(void **state)
{
	struct job *j = sample("same", "print(1)");
	char id[MAX_JOB_ID + 1];
	struct answer a;

	(void)state;
	assert_int_equal(submit_of("addr:1", "same", 0, id), STORE_OK);
	strlcpy(j->tenant, "addr:2", sizeof(j->tenant));
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_EXISTS);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
	sha256(j->fingerprint, "other", 5);
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_CONFLICT);
	job_free(a.job);
	job_free(j);
}

static unsigned random_state;

static int
pick(int n)
{
	random_state = random_state * 1103515245 + 12345;
	return ((int)(random_state >> 16) % n);
}

/*
 * Many patterns: tenants of any weight and priority, jobs that come, run, end,
 * go back and are cancelled; then the place that each has been told is the
 * one at which it is claimed, and the counts are those of the rows.
 */
static void
turns_random(unsigned seed)
{
	static char ids[400][MAX_JOB_ID + 1], places[400][MAX_JOB_ID + 1];
	char name[8], id[MAX_JOB_ID + 1];
	struct job *running[64], *j;
	struct answer a;
	int n_ids = 0, n_running = 0, n_waiting = 0, i;
	int64_t place;

	random_state = seed;
	policies_begin();
	for (i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "key:%c", 'a' + i);
		policy_add(name, 1 + pick(5), pick(3))->max_running =
		    pick(3) == 0 ? 1 + pick(3) : 0;
	}
	policies_set();
	for (i = 0; i < 150; i++)
		switch (pick(6)) {
		case 0:
		case 1:
		case 2:
			snprintf(name, sizeof(name), "key:%c", 'a' + pick(8));
			assert_int_equal(
			    submit_of(name, "", 0, ids[n_ids++]), STORE_OK);
			break;
		case 3:
			if (n_running < (int)nitems(running) &&
			    do_claim(0, &a) == STORE_OK)
				running[n_running++] = a.job;
			break;
		case 4:
			if (n_running == 0)
				break;
			j = running[--n_running];
			if (pick(2) == 0)
				assert_int_equal(
				    do_release(j->id, j->fence, 0), STORE_OK);
			else {
				end_succeeded(j);
				assert_int_equal(do_finish(j), STORE_OK);
			}
			job_free(j);
			break;
		case 5:
			if (n_ids > 0 && pick(3) == 0) {
				do_cancel(ids[pick(n_ids)], &a);
				job_free(a.job);
			}
			break;
		}
	/* Without a limit, so that nobody's end makes another one's place. */
	while (n_running > 0) {
		j = running[--n_running];
		assert_int_equal(do_release(j->id, j->fence, 0), STORE_OK);
		job_free(j);
	}
	for (i = 1; i < (int)all_policies.n; i++)
		policies[i].max_running = 0;
	policies_set();
	for (i = 0; i < n_ids; i++) {
		if ((place = do_position(ids[i])) == 0)
			continue;
		n_waiting++;
		assert_in_range(place, 1, n_ids);
		strlcpy(places[place - 1], ids[i], MAX_JOB_ID + 1);
	}
	assert_counts(n_waiting, 0);
	for (i = 0; i < n_waiting; i++) {
		j = claim_one();
		strlcpy(id, j->id, sizeof(id));
		job_free(j);
		if (strcmp(id, places[i]) != 0)
			fail_msg(
			    "seed %u: place %d is another one's", seed, i + 1);
	}
	do_tenants(20, &a);
	for (i = 0, place = 0; i < (int)a.n_tenants; i++) {
		assert_int_equal(a.tenants[i].waiting, 0);
		place += a.tenants[i].running;
	}
	assert_int_equal(place, n_waiting);
	for (i = 0; i < n_ids; i++) {
		j = do_get(ids[i], WANT_STATUS);
		if (j->status == JOB_RUNNING) {
			end_succeeded(j);
			assert_int_equal(do_finish(j), STORE_OK);
		}
		job_free(j);
	}
}

static void
t_turns_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 6; seed++)
		turns_random(seed * 7919);
}

static void
t_tenants(void **state)
{
	struct answer a;
	struct job *j;

	(void)state;
	policies_begin();
	policy_add("key:a", 2, 3);
	policies_set();
	submit_many("addr:2001:db8::/64", 3);
	submit_many("key:a", 1);
	CALL(&a, counts(w.store, on_counts, &a));
	assert_int_equal(a.counts.tenants, 2);
	assert_int_equal(do_tenants(10, &a), 2);
	assert_string_equal(a.tenants[0].policy.name, "addr:2001:db8::/64");
	assert_int_equal(a.tenants[0].waiting, 3);
	assert_int_equal(a.tenants[0].policy.weight, 1);
	assert_int_equal(a.tenants[1].policy.weight, 2);
	assert_int_equal(a.tenants[1].policy.priority, 3);
	assert_int_equal(do_tenants(1, &a), 1);
	for (int i = 0; i < 4; i++) {
		j = claim_one();
		end_succeeded(j);
		assert_int_equal(do_finish(j), STORE_OK);
		job_free(j);
	}
	/* An address is kept for as long as its budget counts. */
	policies_set();
	assert_int_equal(do_tenants(10, &a), 2);
	all_policies.window_us = 1;
	policies_set();
	policies_set();
	assert_int_equal(do_tenants(10, &a), 1);
	assert_string_equal(a.tenants[0].policy.name, "key:a");
	/* What was known of it before is not needed to know it again. */
	submit_many("addr:2001:db8::/64", 1);
	assert_string_equal(claim_tenants(1), "4");
}

/* Two takods of one database, at the same time: never more than allowed. */
static void
t_max_running_two(void **state)
{
	struct store *stores[2];
	struct answer a[8];
	struct tenant_policy *p;
	int i, round, ok, running = 0;

	(void)state;
	if (!is_pg())
		return;
	stores[0] = w.store;
	stores[1] = open_as("tako2");
	policies_begin();
	p = policy_add("key:a", 1, 0);
	p->max_running = 5;
	p->max_queued = 21;
	policies_set();
	/* As many of them come in as may wait ... */
	for (round = 0, ok = 0; round < 5; round++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < 8; i++) {
			struct job *j = sample("", "pass");

			strlcpy(j->tenant, "key:a", sizeof(j->tenant));
			w.ops->submit(
			    stores[i % 2], j, 0, QUEUE, on_job, &a[i]);
			job_free(j);
		}
		for (i = 0; i < 8; i++) {
			run_until(&a[i].n, 1);
			ok += a[i].result == STORE_OK;
			job_free(a[i].job);
		}
	}
	assert_int_equal(ok, 21);
	/* ... and run as may run. */
	for (round = 0; round < 4; round++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < 8; i++)
			w.ops->claim(stores[i % 2], 0, on_job, &a[i]);
		for (i = 0; i < 8; i++) {
			run_until(&a[i].n, 1);
			assert_true(a[i].result == STORE_OK ||
				    a[i].result == STORE_NOT_FOUND);
			running += a[i].result == STORE_OK;
			job_free(a[i].job);
		}
	}
	assert_int_equal(running, 5);
	assert_counts(16, 5);
	w.ops->close(stores[1]);
}

int
tenants_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_turns),
		BOTH(t_turns_flood),
		BOTH(t_turns_idle),
		BOTH(t_weights),
		BOTH(t_priority),
		BOTH(t_max_running),
		BOTH(t_max_running_start),
		BOTH(t_max_queued),
		BOTH(t_budget),
		BOTH(t_idempotency_tenants),
		BOTH(t_idempotency_shared),
		BOTH(t_turns_random),
		BOTH(t_tenants),
		BOTH(t_max_running_two),
	};

	return (cmocka_run_group_tests_name("tenants", tests, NULL, NULL));
}
