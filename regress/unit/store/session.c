/*
 * session.c: a store is opened and closed.
 */
#include <string.h>

#include "util.h"
#include "world.h"

static void
t_reopen(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;
	struct answer a;

	(void)state;
	submit_waiting(id, 0);
	j = claim_one();
	end_fully(j);
	assert_int_equal(do_finish(j), STORE_OK);
	submit_waiting(id, 0);
	reopen();
	got = do_get(j->id, WANT_OUTPUT | WANT_PAYLOAD);
	assert_ended(got, j);
	assert_blob(got->out, "out\0\xff\xfe", 6);
	job_free(got);
	job_free(j);
	assert_int_equal(do_claim(0, &a), STORE_OK);
	assert_string_equal(a.job->id, id);
	job_free(a.job);
}

/* Whatever is under way when the store is closed is answered, once. */
static void
t_close_answers(void **state)
{
	struct job *j = sample("", "print(1)");
	struct store_pulse pulse = { .n_held = 0 };
	struct tenant_policy everybody = { .name = "*", .weight = 1 };
	struct tenant_policies p = { &everybody, 1, 1, 1 };
	struct artifact_place place = { .job_id = "x", .fence = 1 };
	struct blob *piece = blob_copy("x", 1);
	struct store_filter f = any(1);
	struct store_words words = { .seq = 1 };
	struct answer a[27];
	int i;

	(void)state;
	memset(a, 0, sizeof(a));
	i = 0;
	w.ops->submit(w.store, j, 0, QUEUE, on_job, &a[i++]);
	w.ops->claim(w.store, 0, on_job, &a[i++]);
	w.ops->start(w.store, j->id, 1, on_plain, &a[i++]);
	w.ops->release(w.store, j, 0, on_plain, &a[i++]);
	w.ops->cancel(w.store, j->id, on_job, &a[i++]);
	w.ops->get(w.store, j->id, 0, on_job, &a[i++]);
	w.ops->queue_position(w.store, j->id, on_position, &a[i++]);
	w.ops->list(w.store, &f, on_page, &a[i++]);
	w.ops->to_index(w.store, 1, on_texts, &a[i++]);
	w.ops->indexed(w.store, &words, 1, on_plain, &a[i++]);
	w.ops->import(w.store, j, on_plain, &a[i++]);
	w.ops->counts(w.store, on_counts, &a[i++]);
	w.ops->beat(w.store, &pulse, on_beat, &a[i++]);
	w.ops->ended(w.store, &(store_id){ "x" }, 1, on_ended, &a[i++]);
	w.ops->nodes(w.store, on_nodes, &a[i++]);
	w.ops->expire(w.store, 0, 10, on_ids, &a[i++]);
	w.ops->letters(w.store, "", 0, 10, 0, on_letters, &a[i++]);
	w.ops->letter_counts(w.store, on_errors, &a[i++]);
	w.ops->letter_remove(w.store, 1, on_plain, &a[i++]);
	w.ops->letters_expire(w.store, 0, 10, on_position, &a[i++]);
	w.ops->set_tenants(w.store, &p, on_plain, &a[i++]);
	w.ops->tenants(w.store, 10, on_tenants, &a[i++]);
	w.ops->artifact_known(w.store, "local", &place, on_plain, &a[i++]);
	w.ops->chunk_put(w.store, &place, 0, 0, piece, on_plain, &a[i++]);
	w.ops->chunk_get(w.store, &place, 0, 0, on_blob, &a[i++]);
	w.ops->chunk_remove(w.store, &place, on_plain, &a[i++]);
	w.ops->chunk_places(w.store, &place, on_places, &a[i++]);
	blob_unref(piece);
	job_free(j);
	w.ops->close(w.store);
	w.store = NULL;
	for (i = 0; i < (int)nitems(a); i++) {
		assert_int_equal(a[i].n, 1);
		assert_int_equal(a[i].result, STORE_AWAY);
		assert_int_equal(a[i].n_ids, 0);
		assert_null(a[i].blob);
		assert_int_equal(a[i].n_places, 0);
		assert_null(a[i].job);
		assert_int_equal(a[i].n_found, 0);
	}
}

static void
t_bad_url(void **state)
{
	struct store_self self = { "tako1", "0", 30 };
	char detail[512] = "";

	(void)state;
	assert_null(w.ops->open(w.base,
	    is_pg() ? "postgresql://u:secret@[h/d" : "sqlite:///", &self,
	    on_state, on_wakeup, NULL, detail, sizeof(detail)));
	assert_true(detail[0] != '\0');
	assert_null(strstr(detail, "secret"));
}

int
session_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_reopen),
		BOTH(t_close_answers),
		BOTH(t_bad_url),
	};

	return (cmocka_run_group_tests_name("session", tests, NULL, NULL));
}
