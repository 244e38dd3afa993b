/*
 * find.c: lists and searches, and the plans of their statements.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "takod/pg_find.h"
#include "takod/sqlite_store.h"
#include "takod/store_schema.h"
#include "util.h"
#include "world.h"

static void
assert_list(int status, const char *job_type, int limit, int64_t offset,
    const char *const *ids, size_t n)
{
	struct store_filter f = any(limit);

	f.status = status;
	f.offset = offset;
	if (job_type != NULL)
		strlcpy(f.job_type, job_type, sizeof(f.job_type));
	assert_found(&f, ids, n);
}

static void
t_list(void **state)
{
	char id[5][MAX_JOB_ID + 1];
	struct answer a;
	struct job *j;

	(void)state;
	assert_list(-1, NULL, 10, 0, NULL, 0);
	submit_typed("a", id[0]);
	submit_typed("b", id[1]);
	submit_typed("a", id[2]);
	submit_typed("b", id[3]);
	submit_typed("a", id[4]);
	assert_list(-1, NULL, 10, 0,
	    (const char *[]){ id[4], id[3], id[2], id[1], id[0] }, 5);
	assert_list(-1, NULL, 2, 0, (const char *[]){ id[4], id[3] }, 2);
	assert_list(-1, NULL, 2, 3, (const char *[]){ id[1], id[0] }, 2);
	assert_list(-1, NULL, 2, 5, NULL, 0);
	assert_list(-1, NULL, 2, INT64_MAX, NULL, 0);
	assert_list(-1, NULL, 0, 0, NULL, 0);
	assert_list(-1, "a", 2, 1, (const char *[]){ id[2], id[0] }, 2);
	assert_list(-1, "c", 10, 0, NULL, 0);
	j = claim_one();
	assert_int_equal(do_cancel(id[1], &a), STORE_OK);
	job_free(a.job);
	assert_list(JOB_RUNNING, NULL, 10, 0, (const char *[]){ id[0] }, 1);
	assert_list(JOB_CANCELLED, "b", 10, 0, (const char *[]){ id[1] }, 1);
	assert_list(JOB_CANCELLED, "a", 10, 0, NULL, 0);
	assert_list(JOB_QUEUED, NULL, 10, 0,
	    (const char *[]){ id[4], id[3], id[2] }, 3);
	assert_list(JOB_QUEUED, "a", 10, 1, (const char *[]){ id[2] }, 1);
	assert_list(JOB_SUCCEEDED, NULL, 10, 0, NULL, 0);
	job_free(j);
}

/* An ended job by the fields that filters know. */
static void
add_ended(char id[MAX_JOB_ID + 1], int64_t created_at, enum job_error error,
    int exit_code, const char *code, const char *out, const char *err)
{
	struct job *j = sample("", code);

	strlcpy(id, j->id, MAX_JOB_ID + 1);
	j->created_at = created_at;
	j->started_at = created_at + 1;
	j->ended_at = created_at + 2;
	j->status = error == JERR_NONE ? JOB_SUCCEEDED : JOB_FAILED;
	j->error = error;
	j->exit_code = exit_code;
	if (error != JERR_NONE)
		strlcpy(j->error_message, "KeyError: 'Apfel'",
		    sizeof(j->error_message));
	j->out = blob_copy(out, strlen(out));
	j->err = blob_copy(err, strlen(err));
	{
		struct answer a;

		CALL(&a, import(w.store, j, on_plain, &a));
		assert_int_equal(a.result, STORE_OK);
		CALL(&a, import(w.store, j, on_plain, &a));
		assert_int_equal(a.result, STORE_EXISTS);
	}
	job_free(j);
}

/* Each filter alone, some together, by time whatever order they came in. */
static void
t_filters(void **state)
{
	const int64_t day = 86400 * INT64_C(1000000), t = 20000 * day;
	char id[6][MAX_JOB_ID + 1];
	struct store_filter f;
	struct answer a;
	struct job *j;
	int i;

	(void)state;
	add_ended(id[2], t + 2 * day, JERR_KEY, 1, "c", "", "");
	add_ended(id[0], t, JERR_NONE, 0, "a", "", "");
	add_ended(id[1], t + day, JERR_SEGFAULT, 139, "b", "", "");
	add_ended(id[3], t + 3 * day, JERR_KEY, 3, "d", "", "");
	j = sample("a-key-of-it", "e");
	assert_int_equal(do_submit(j, 0, QUEUE, &a), STORE_OK);
	strlcpy(id[4], j->id, sizeof(id[4]));
	job_free(a.job);

	f = any(10);
	assert_found(
	    &f, (const char *[]){ id[4], id[3], id[2], id[1], id[0] }, 5);
	f.error = JERR_KEY;
	assert_found(&f, (const char *[]){ id[3], id[2] }, 2);
	f.exit_code = 3;
	assert_found(&f, (const char *[]){ id[3] }, 1);
	f.status = JOB_SUCCEEDED;
	assert_found(&f, NULL, 0);
	f = any(10);
	f.error = JERR_NONE;
	assert_found(&f, (const char *[]){ id[4], id[0] }, 2);
	f = any(10);
	f.exit_code = 0;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.exit_code = -1; /* of jobs that have ended */
	assert_found(&f, NULL, 0);
	f.exit_code = 139;
	assert_found(&f, (const char *[]){ id[1] }, 1);
	f = any(10);
	f.status = JOB_FAILED;
	assert_found(&f, (const char *[]){ id[3], id[2], id[1] }, 3);
	f.since = t + day;
	f.until = t + 3 * day;
	assert_found(&f, (const char *[]){ id[2], id[1] }, 2);
	f = any(10);
	f.since = t + 1;
	f.until = t + day;
	assert_found(&f, NULL, 0);
	f = any(10);
	strlcpy(f.parent_id, j->parent_id, sizeof(f.parent_id));
	assert_found(&f, (const char *[]){ id[4] }, 1);
	f = any(10);
	strlcpy(f.key, "a-key-of-it", sizeof(f.key));
	assert_found(&f, (const char *[]){ id[4] }, 1);
	strlcpy(f.key, "a-key-of-i", sizeof(f.key));
	assert_found(&f, NULL, 0);

	/* From page to page, whatever comes meanwhile. */
	f = any(2);
	for (i = 0; i < 3; i++) {
		do_list(&f, &a);
		assert_int_equal(a.n_found, i < 2 ? 2 : 1);
		assert_string_equal(a.found[0].id, id[4 - 2 * i]);
		f.after = a.found[a.n_found - 1].place;
		submit_waiting(id[5], 0);
	}
	do_list(&f, &a);
	assert_int_equal(a.n_found, 0);
	job_free(j);
}

/* Which of ids a query finds, as "031": the newest first. */
static void
assert_query(const char *query, const char *want, char id[][MAX_JOB_ID + 1])
{
	struct store_filter f = any(100);
	char got[16] = "";
	struct answer a;
	size_t i;
	int k;

	assert_null(words_query(f.query, query));
	do_list(&f, &a);
	assert_int_equal(a.unindexed, 0);
	for (i = 0; i < a.n_found; i++) {
		for (k = 0; strcmp(id[k], a.found[i].id) != 0; k++)
			;
		got[i] = (char)('0' + k);
		got[i + 1] = '\0';
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s: found '%s', not '%s'", query, got, want);
}

/* Words, phrases, not: the same in both stores. */
static void
t_search(void **state)
{
	const int64_t t = 20000 * 86400 * INT64_C(1000000);
	char id[8][MAX_JOB_ID + 1], *big;
	struct answer a;
	struct store_filter f;
	size_t i;

	(void)state;
	/* A word of each kind stands at the ends of a text that is cut. */
	big = xmalloc(400001);
	memset(big, 'x', 400000);
	for (i = 0; i < 400000; i += 5)
		big[i] = ' ';
	memcpy(big, "anfang ", 7);
	memcpy(big + 399990, "  schluss ", 10);
	memcpy(big + 200000, " mitte ", 7);
	big[400000] = '\0';
	add_ended(id[0], t, JERR_NONE, 0, "import os.path\nread_file(\"a b\")",
	    "alpha beta", "gamma");
	add_ended(id[1], t + 1, JERR_KEY, 1, "import sys", "beta ALPHA",
	    "Traceback (most recent call last):");
	add_ended(id[2], t + 2, JERR_NONE, 0, "x = 1", big, "");
	add_ended(id[3], t + 3, JERR_NONE, 0, "x = 2",
	    "\xff\xfe\xc3\xa4pfel\xe2\x80\xa6zwei\xc3(drei", "a'b\\c:d");
	free(big);
	f = any(10);
	strlcpy(f.query, "+import", sizeof(f.query));
	do_list(&f, &a);
	assert_int_equal(a.n_found, 0);
	assert_int_equal(a.unindexed, 4);
	do_index();

	assert_query("import", "10", id);
	assert_query("IMPORT alpha", "10", id);
	assert_query("alpha beta", "10", id);
	assert_query("\"alpha beta\"", "0", id);
	assert_query("\"beta alpha\"", "1", id);
	assert_query("alpha -gamma", "1", id);
	assert_query("-gamma alpha", "1", id);
	assert_query("alpha -\"alpha beta\"", "1", id);
	assert_query("os.path", "0", id);
	assert_query("path.os", "", id);
	assert_query("read_file", "0", id);
	assert_query("read", "", id);
	assert_query("\"a b\"", "30", id);
	assert_query("keyerror apfel", "1", id);
	assert_query("KeyError: 'Apfel'", "1", id);
	assert_query("\"beta gamma\"", "", id); /* of two texts */
	assert_query("anfang schluss", "2", id);
	assert_query("mitte", "", id); /* of a text that is cut */
	assert_query("\xc3\xa4pfel zwei drei", "3", id);
	assert_query("\"\xc3\xa4pfel zwei drei\"", "3", id);
	assert_query("\"a b c d\"", "3", id);
	assert_query("alpha -import", "", id);
	assert_query("nowhere", "", id);
	/* What a store's own language would take for more. */
	assert_query("alpha OR xyzzy", "", id);
	assert_query("alph*", "", id);
	assert_query("alpha NEAR beta", "", id);
	assert_query("words:alpha", "", id);
	assert_query("alpha)", "10", id);
	assert_query("'alpha' & !", "10", id);

	/* With other filters, and a page at a time. */
	f = any(1);
	strlcpy(f.query, "+import", sizeof(f.query));
	do_list(&f, &a);
	assert_int_equal(a.n_found, 1);
	assert_string_equal(a.found[0].id, id[1]);
	f.after = a.found[0].place;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.after = 0;
	f.offset = 1;
	assert_found(&f, (const char *[]){ id[0] }, 1);
	f.offset = 2;
	assert_found(&f, NULL, 0);
	f = any(10);
	strlcpy(f.query, "+import", sizeof(f.query));
	f.error = JERR_KEY;
	assert_found(&f, (const char *[]){ id[1] }, 1);
	f.since = t + 2;
	assert_found(&f, NULL, 0);

	/* A record that goes takes its words with it; nothing else does. */
	do_expire(0, 1, &a);
	assert_string_equal(a.ids[0].id, id[0]);
	assert_query("import", "1", id);
	add_ended(id[0], t, JERR_NONE, 0, "other", "", "");
	do_index();
	assert_query("import", "1", id);
	assert_query("other", "0", id);
	do_expire(0, STORE_EXPIRE_MAX, &a);
	assert_query("alpha", "", id);
}

/* No query is a fault, whatever it has; found is what has its words. */
static void
t_search_hostile(void **state)
{
	static const char *const queries[] = { "\"", "a\"", "a \"b", "-\"",
		"' OR 1=1 --", "a & | ! <-> ()", "\\", "'\\'", "a:*", "a'':b",
		"\x01 b", "\xff", "\xff a", "NOT", "AND OR", "^a", "{a}", "a+b",
		"col:", "NEAR(a b)", "%s%n", "$9", "?1", "- a", "--", "-", "",
		" ", "*", "\"\"", "\"\" a", "-a" };
	struct store_filter f;
	struct answer a;
	char big[MAX_QUERY + 1];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(queries); i++) {
		f = any(10);
		/* As terms, which it is not; and as what it is. */
		strlcpy(f.query, queries[i], sizeof(f.query));
		CALL(&a, list(w.store, &f, on_page, &a));
		assert_int_equal(a.n_found, 0);
		assert_true(a.result == STORE_OK || a.result == STORE_FAILED);
		if (words_query(f.query, queries[i]) != NULL)
			continue;
		CALL(&a, list(w.store, &f, on_page, &a));
		assert_int_equal(a.n_found, 0);
		assert_int_equal(a.result, STORE_OK);
	}
	/* The longest of each kind. */
	for (i = 0; i < 3; i++) {
		memset(big, i == 0 ? 'a' : i == 1 ? '\'' : 'b', MAX_QUERY);
		for (size_t k = 7; i == 2 && k < MAX_QUERY; k += 8)
			big[k] = ' ';
		big[MAX_QUERY] = '\0';
		f = any(10);
		if (words_query(f.query, big) != NULL)
			strlcpy(f.query, big, sizeof(f.query));
		CALL(&a, list(w.store, &f, on_page, &a));
		assert_int_equal(a.n_found, 0);
	}
	assert_int_equal(w.downs, 0);
}

/* The plan of a statement of SQLite, whose file is locked: in one of the same
 * schema. */
static void
sqlite_plan(char *plan, size_t len, const char *sql)
{
	char text[8192];
	sqlite3_stmt *st;
	sqlite3 *db;
	int i;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (i = 0; i < SCHEMA_VERSION; i++)
		assert_int_equal(
		    sqlite3_exec(db, schema_sqlite[i], NULL, NULL, NULL),
		    SQLITE_OK);
	snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql);
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	plan[0] = '\0';
	while (sqlite3_step(st) == SQLITE_ROW) {
		strlcat(plan, (const char *)sqlite3_column_text(st, 3), len);
		strlcat(plan, "\n", len);
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void
assert_plan(
    const struct store_filter *f, enum pg_find_phase phase, const char *index)
{
	char sql[4096], plan[8192], want[64];

	if (is_pg()) {
		pg_find_sql(sql, sizeof(sql), f, phase);
		pg_plan(plan, sizeof(plan), PG_FIND_SETTINGS,
		    "bigint, bigint, text, text, text, bigint, text, text,"
		    " text, bigint, bigint, bigint",
		    sql,
		    "9000000000000000000, 0, 'failed', 'a', 'key_error', 139,"
		    " 'p', 'k', '(''a'')', 2000, 0, 101");
		snprintf(want, sizeof(want), "%s%s",
		    phase == PG_FIND_ALL ? "Bitmap Index Scan on "
					 : "Scan Backward using ",
		    index);
	} else {
		sqlite_list_sql(sql, sizeof(sql), f);
		sqlite_plan(plan, sizeof(plan), sql);
		snprintf(want, sizeof(want), "USING %s", index);
		if (strstr(plan, "TEMP B-TREE") != NULL)
			fail_msg("%s", plan);
	}
	if (strstr(plan, want) == NULL || strstr(plan, "Seq Scan") != NULL)
		fail_msg("no %s in: %s", want, plan);
}

/*
 * What keeps the cost of a page the same however many records there are: an
 * index in the order of the list, no sort and no look at all of the rows.
 */
static void
t_plans(void **state)
{
	const char *prefix = is_pg() ? "" : "INDEX ";
	struct store_filter f;
	char index[64];
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		static const char *const names[] = { "jobs_place",
			"jobs_status", "jobs_type", "jobs_error", "jobs_exit",
			"jobs_parent", "jobs_status", "jobs_place" };

		f = any(101);
		if (i == 1 || i == 6)
			f.status = i == 1 ? JOB_FAILED : JOB_RUNNING;
		if (i == 2 || i == 6)
			strlcpy(f.job_type, "a", sizeof(f.job_type));
		if (i == 3)
			f.error = JERR_KEY;
		if (i == 4)
			f.exit_code = 139;
		if (i == 5)
			strlcpy(f.parent_id, "p", sizeof(f.parent_id));
		if (i == 7)
			f.exit_code = 1;
		f.since = i;
		snprintf(index, sizeof(index), "%s%s", prefix, names[i]);
		assert_plan(&f, PG_FIND_PLAIN, index);
	}
	f = any(101);
	strlcpy(f.query, "+a", sizeof(f.query));
	if (is_pg()) {
		assert_plan(&f, PG_FIND_NEWEST, "search_place");
		assert_plan(&f, PG_FIND_ALL, "search_words");
	} else
		assert_plan(&f, PG_FIND_ALL, "INDEX jobs_place");
}

int
find_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_list),
		BOTH(t_filters),
		BOTH(t_search),
		BOTH(t_search_hostile),
		BOTH(t_plans),
	};

	return (cmocka_run_group_tests_name("find", tests, NULL, NULL));
}
