/*
 * sqlite_nodes.c: what runs and waits in the SQLite file, heartbeats, and what
 * has become of a former life's jobs. Runs in the parent's loop, within a
 * transaction that store_sqlite.c opens and commits; a call that fails is
 * undone by it.
 */
#include <stdlib.h>
#include <string.h>

#include "sqlite_store.h"
#include "util.h"

/* Rows of takods that were not seen for so long are forgotten. */
#define NODES_OLD_US (7 * 86400 * INT64_C(1000000))

enum store_result
call_counts(struct store *s, struct store_op *op)
{
	enum store_result r;

	r = sqlite_number(s, sqlite_stmt(s, S_QUEUED), &op->counts.queued);
	if (r == STORE_OK)
		r = sqlite_number(
		    s, sqlite_stmt(s, S_RUNNING), &op->counts.running);
	if (r == STORE_OK)
		r = sqlite_number(
		    s, sqlite_stmt(s, S_WAITING), &op->counts.tenants);
	return (r);
}

static int
lease_add(struct store_op *op, const char *id, int64_t fence,
    enum job_status status, int cancel)
{
	struct store_lease *l;

	l = reallocarray(op->leases, op->beat.n_jobs + 1, sizeof(*l));
	if (l == NULL)
		return (-1);
	op->leases = l;
	op->beat.jobs = l;
	l += op->beat.n_jobs++;
	strlcpy(l->id, id, sizeof(l->id));
	l->fence = fence;
	l->status = status;
	l->cancel = cancel;
	return (0);
}

static enum store_result
beat_hold(struct store *s, struct store_op *op, int64_t now)
{
	sqlite3_stmt *st;
	size_t i;
	int rc, ok;

	for (i = 0; i < op->n_ids; i++) {
		st = sqlite_stmt(s, S_HOLD);
		sqlite_put_text(st, 1, op->ids[i]);
		sqlite3_bind_int64(st, 2, now + s->lease_us);
		sqlite_put_text(st, 3, s->life);
		ok = 0;
		while ((rc = sqlite3_step(st)) == SQLITE_ROW)
			ok = lease_add(op, op->ids[i],
			    sqlite3_column_int64(st, 0), JOB_RUNNING,
			    sqlite3_column_int(st, 1));
		sqlite3_reset(st);
		if (rc != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		if (ok == -1)
			return (STORE_FAILED);
	}
	return (STORE_OK);
}

static sqlite3_stmt *
abandoned_stmt(struct store *s, enum statement which, const struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);

	sqlite3_bind_int64(st, 1, op->beat.now);
	sqlite_put_text(st, 2, s->node);
	sqlite_put_text(st, 3, s->life);
	sqlite3_bind_int64(st, 4, op->pulse.reap_until);
	return (st);
}

/* What is held was extended before: it is not among these. */
static enum store_result
beat_abandoned(struct store *s, struct store_op *op)
{
	const struct store_lease *l;
	char id[MAX_JOB_ID + 1];
	sqlite3_stmt *st;
	size_t i, first = op->beat.n_jobs;
	int rc, ok = 0;

	if ((rc = sqlite_run(abandoned_stmt(s, S_ABANDONED_NOTE, op))) !=
	    SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = abandoned_stmt(s, S_ABANDONED, op);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		sqlite_get_text(st, 0, id, sizeof(id));
		ok |= lease_add(op, id, sqlite3_column_int64(st, 1),
		    (enum job_status)sqlite_get_enum(st, 2, job_status_byname),
		    0);
	}
	sqlite3_reset(st);
	for (i = first; i < op->beat.n_jobs && rc == SQLITE_DONE; i++) {
		l = &op->leases[i];
		if (l->status != JOB_FAILED)
			continue;
		st = sqlite_stmt(s, S_LETTER);
		sqlite_put_text(st, 1, l->id);
		sqlite3_bind_int64(st, 2, l->fence);
		rc = sqlite_run(st);
	}
	if (rc != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (ok == -1 ? STORE_FAILED : STORE_OK);
}

static enum store_result
beat_node(struct store *s, struct store_op *op, int64_t now)
{
	const struct store_pulse *p = &op->pulse;
	sqlite3_stmt *st = sqlite_stmt(s, S_NODE);
	int rc;

	sqlite_put_text(st, 1, s->node);
	sqlite_put_text(st, 2, s->instance);
	sqlite_put_text(st, 3, TAKO_VERSION);
	sqlite3_bind_int64(st, 4, now - p->uptime_us);
	sqlite3_bind_int64(st, 5, now);
	sqlite3_bind_int64(st, 6, now + s->lease_us);
	sqlite3_bind_int(st, 7, p->running);
	sqlite3_bind_int(st, 8, p->max_workers);
	sqlite3_bind_int(st, 9, p->draining);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = sqlite_stmt(s, S_NODES_OLD);
	sqlite_put_text(st, 1, s->node);
	sqlite3_bind_int64(st, 2, now - NODES_OLD_US);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	st = sqlite_stmt(s, S_NODES_ALIVE);
	sqlite3_bind_int64(st, 1, now);
	if ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		op->beat.nodes = sqlite3_column_int64(st, 0);
		op->beat.running = sqlite3_column_int64(st, 1);
		op->beat.max_workers = sqlite3_column_int64(st, 2);
	}
	sqlite3_reset(st);
	return (rc == SQLITE_ROW ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_beat(struct store *s, struct store_op *op)
{
	int64_t now = time_wall_us();
	enum store_result r;

	op->beat.n_jobs = 0;
	op->beat.now = now;
	if ((r = beat_hold(s, op, now)) != STORE_OK ||
	    (r = beat_abandoned(s, op)) != STORE_OK ||
	    (r = beat_node(s, op, now)) != STORE_OK)
		return (r);
	return (sqlite_number(s, sqlite_stmt(s, S_QUEUED), &op->beat.queued));
}

enum store_result
call_ended(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st;
	size_t i, n = 0;
	int rc;

	for (i = 0; i < op->n_ids; i++) {
		st = sqlite_stmt(s, S_ENDED);
		sqlite_put_text(st, 1, op->ids[i]);
		rc = sqlite3_step(st);
		sqlite3_reset(st);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		if (rc == SQLITE_DONE)
			memmove(op->ids[n++], op->ids[i], sizeof(*op->ids));
	}
	op->n_ids = n;
	return (STORE_OK);
}

enum store_result
call_nodes(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_NODES);
	int64_t now = time_wall_us();
	struct store_node *n;
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		n = reallocarray(op->nodes, op->n_nodes + 1, sizeof(*n));
		if (n == NULL)
			break;
		op->nodes = n;
		n += op->n_nodes++;
		sqlite_get_text(st, 0, n->name, sizeof(n->name));
		sqlite_get_text(st, 1, n->instance, sizeof(n->instance));
		sqlite_get_text(st, 2, n->version, sizeof(n->version));
		n->started_at = sqlite3_column_int64(st, 3);
		n->seen_at = sqlite3_column_int64(st, 4);
		n->silent_us = now - n->seen_at;
		n->running = sqlite3_column_int(st, 5);
		n->max_workers = sqlite3_column_int(st, 6);
		n->draining = sqlite3_column_int(st, 7);
		n->alive = sqlite3_column_int64(st, 8) >= now;
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}
