/*
 * sqlite_tenants.c: tenants' policies in the SQLite file, and what each has
 * waiting and running. Their turns are kept by the triggers of store_schema.c.
 * Runs in the parent's loop, within a transaction that
 * store_sqlite.c opens and commits; a call that fails is undone by it.
 */
#include "sqlite_store.h"
#include "util.h"

enum store_result
call_set_tenants(struct store *s, struct store_op *op)
{
	static const enum statement all[] = { S_POLICY_NAMED, S_POLICY_REST,
		S_POLICY_GONE };
	sqlite3_stmt *st;
	size_t i;
	int rc;

	for (i = 0; i < nitems(all); i++) {
		st = sqlite_stmt(s, all[i]);
		sqlite_put_text(st, 1, op->text);
		if (all[i] == S_POLICY_GONE)
			sqlite3_bind_int64(st, 2, time_wall_us());
		if ((rc = sqlite_run(st)) != SQLITE_DONE)
			return (sqlite_fault(s, rc));
	}
	s->age_us = op->n1;
	return (STORE_OK);
}

enum store_result
call_tenants(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_TENANTS);
	struct tenant *t = op->tenants;
	int rc;

	sqlite3_bind_int(st, 1, op->flag);
	sqlite3_bind_int64(st, 2, time_wall_us());
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		sqlite_get_text(st, 0, t->policy.name, sizeof(t->policy.name));
		t->policy.weight = sqlite3_column_int(st, 1);
		t->policy.priority = sqlite3_column_int(st, 2);
		t->policy.max_queued = sqlite3_column_int64(st, 3);
		t->policy.max_running = sqlite3_column_int64(st, 4);
		t->policy.max_jobs = sqlite3_column_int64(st, 5);
		t->policy.max_cpu_ms = sqlite3_column_int64(st, 6);
		t->waiting = sqlite3_column_int64(st, 8);
		t->running = sqlite3_column_int64(st, 9);
		if (sqlite3_column_int(st, 10)) {
			t->used_jobs = sqlite3_column_int64(st, 11);
			t->used_cpu_ms = sqlite3_column_int64(st, 12);
		}
		t++;
	}
	sqlite3_reset(st);
	op->n_tenants = (size_t)(t - op->tenants);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}
