/*
 * session.c: a store is opened and closed.
 */
#include <string.h>

#include "takod/store_schema.h"
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

/* A row of the first schema; what came later has its defaults. */
static void
insert_old(const char *id, const char *status, const char *key, int started)
{
	direct("INSERT INTO jobs (id, job_type, idempotency_key, fingerprint,"
	       " correlation_id, client, parent_id, code_hash, input_hash,"
	       " code_len, input_len, timeout, startup_timeout, created_at,"
	       " status, owner, fence, attempt, not_before, code_started,"
	       " started_at, ended_at, exit_code, error_message, startup_ms,"
	       " dependencies_ms, execution_ms, total_ms, out_truncated,"
	       " err_truncated, max_rss_kb, cpu_ms, wall_ms, oom_kills)"
	       " VALUES ('%s', 'a', '%s', '', '', '', '', '', '', 5, 2, 30,"
	       " 120, 1, '%s', NULL, %d, %d, 0, %d, %d, %d, -1, '', -1, -1,"
	       " -1, -1, 0, 0, -1, -1, -1, -1)",
	    id, key, status, started, started, started, started,
	    strcmp(status, "succeeded") == 0);
	direct("INSERT INTO payloads (id, code, input, requirements)"
	       " VALUES ('%s', 'print', '{}', '')",
	    id);
}

/*
 * Of former schemas, the first one among them: what waits is claimed, what ran
 * is taken up, what ended is found. However many rows there are, no time limit
 * of a statement holds for it, or they would never be brought up to date.
 */
static void
t_migrate(void **state)
{
	static const int versions[] = { 1, 4, SCHEMA_VERSION - 1 };
	struct store_filter f = any(10);
	struct answer a;
	struct job *j;
	size_t k;
	int i;

	(void)state;
	for (k = 0; k < nitems(versions); k++) {
		w.ops->close(w.store);
		direct("SET client_min_messages = warning");
		direct("DROP SCHEMA %s CASCADE", w.name);
		direct("CREATE SCHEMA %s", w.name);
		direct("CREATE TABLE meta (version INTEGER NOT NULL)");
		direct("INSERT INTO meta VALUES (%d)", versions[k]);
		direct("CREATE FUNCTION limits() RETURNS trigger"
		       " LANGUAGE plpgsql AS $$ BEGIN"
		       " IF current_setting('statement_timeout') <> '0' THEN"
		       " RAISE EXCEPTION 'limited'; END IF; RETURN NULL;"
		       " END $$");
		direct("CREATE TRIGGER limits AFTER UPDATE ON meta"
		       " EXECUTE FUNCTION limits()");
		for (i = 0; i < versions[k]; i++)
			direct_text(schema_pg[i]);
		insert_old("waits", "queued", "key", 0);
		insert_old("ran", "running", "", 1);
		insert_old("ended", "succeeded", "", 1);
		w.store = open_as("tako1");
		assert_counts(1, 1);
		j = claim_one();
		assert_string_equal(j->id, "waits");
		assert_blob(j->code, "print", 5);
		end_succeeded(j);
		assert_int_equal(do_finish(j), STORE_OK);
		job_free(j);
		do_beat(NULL, INT64_MAX, &a);
		assert_taken(&a, 0, 1);
		do_index();
		assert_null(words_query(f.query, "print"));
		do_list(&f, &a);
		assert_int_equal(a.n_found, 3);
	}
}

/*
 * The connection of lists is lost: a list is told so, or is asked once there is
 * another one; jobs go on meanwhile.
 */
static void
t_find_lost(void **state)
{
	struct store_filter f = any(10);
	struct answer list;
	char id[MAX_JOB_ID + 1];
	int i, lost = 0;

	(void)state;
	submit_waiting(id, 0);
	for (i = 0; i < 5; i++) {
		memset(&list, 0, sizeof(list));
		direct("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		       " WHERE datname = current_database() AND pid IN"
		       " (SELECT pid FROM pg_stat_activity"
		       " WHERE application_name LIKE 'takod-%%/find')");
		w.ops->list(w.store, &f, on_page, &list);
		submit_waiting(id, 0);
		run_until(&list.n, 1);
		assert_true(
		    list.result == STORE_OK || list.result == STORE_AWAY);
		lost += list.result == STORE_AWAY;
	}
	assert_int_equal(w.downs, 0);
	assert_counts(6, 0);
	do {
		CALL(&list, list(w.store, &f, on_page, &list));
	} while (list.result == STORE_AWAY);
	assert_int_equal(list.n_found, 6);
	assert_true(lost > 0);
}

int
session_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_reopen),
		BOTH(t_close_answers),
		PG(t_find_lost),
		PG(t_migrate),
		BOTH(t_bad_url),
	};

	return (cmocka_run_group_tests_name("session", tests, NULL, NULL));
}
