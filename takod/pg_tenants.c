/*
 * pg_tenants.c: tenants' policies in PostgreSQL, and what each has waiting and
 * running. Runs in the parent's loop. Their turns are kept by the triggers of
 * store_schema.c.
 */
#include <stdlib.h>

#include "pg_store.h"
#include "util.h"

static int
tenants_set(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	(void)res;
	return (pg_op_done(op, result));
}

void
pg_set_tenants(struct store *s, const struct tenant_policies *policies,
    store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_SET_TENANTS, tenants_set, arg);

	op->cb.plain = cb;
	op->text = tenant_policies_pack(policies);
	s->age_us = policies->age_us;
	pg_text(&op->req, op->text);
	pg_op_send(op);
}

static int
tenants_listed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct tenant *list = NULL, *t;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		list = xcalloc((size_t)n, sizeof(*list));
	for (i = 0; i < n; i++) {
		t = &list[i];
		pg_get_text(res, i, 0, t->policy.name, sizeof(t->policy.name));
		t->policy.weight = (int)pg_get_int(res, i, 1);
		t->policy.priority = (int)pg_get_int(res, i, 2);
		t->policy.max_queued = pg_get_int(res, i, 3);
		t->policy.max_running = pg_get_int(res, i, 4);
		t->policy.max_jobs = pg_get_int(res, i, 5);
		t->policy.max_cpu_ms = pg_get_int(res, i, 6);
		t->waiting = pg_get_int(res, i, 8);
		t->running = pg_get_int(res, i, 9);
		t->used_jobs = pg_get_int(res, i, 10);
		t->used_cpu_ms = pg_get_int(res, i, 11);
	}
	op->cb.tenants(result, list, (size_t)n, op->arg);
	free(list);
	pg_op_free(op);
	return (0);
}

void
pg_tenants(struct store *s, int max, store_tenants_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_TENANTS, tenants_listed, arg);

	op->cb.tenants = cb;
	pg_int(&op->req, max);
	pg_op_send(op);
}
