/*
 * pg_nodes.c: the takods of one PostgreSQL database: what runs and waits,
 * heartbeats, and what has become of a life's jobs. Runs in the parent's loop.
 */
#include <stdlib.h>
#include <string.h>

#include "pg_store.h"
#include "util.h"

static int
counted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct store_counts counts = { 0, 0, 0 };

	if (result == STORE_OK) {
		counts.queued = pg_get_int(res, 0, 0);
		counts.running = pg_get_int(res, 0, 1);
		counts.tenants = pg_get_int(res, 0, 2);
	}
	op->cb.counts(result, &counts, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_counts(struct store *s, store_counts_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_COUNTS, counted, arg);

	op->cb.counts = cb;
	pg_op_send(op);
}

/* The jobs of a heartbeat's answer; the rows without an id are figures. */
static void
get_beat(struct op *op, const PGresult *res, struct store_beat *b,
    struct store_lease *l)
{
	int row;

	b->jobs = l;
	for (row = 0; row < PQntuples(res); row++) {
		if (PQgetlength(res, row, 0) > 0) {
			pg_get_text(res, row, 0, l->id, sizeof(l->id));
			l->fence = pg_get_int(res, row, 1);
			l->status = (enum job_status)pg_get_enum(
			    res, row, 2, job_status_byname);
			l->cancel = pg_get_int(res, row, 3) != 0;
			if (l->status == JOB_QUEUED)
				pg_wake_others(op->s, 'q', "");
			else if (l->status != JOB_RUNNING)
				pg_wake_others(op->s, 'e', l->id);
			l++;
			b->n_jobs++;
		} else if (PQgetlength(res, row, 2) > 0) {
			b->queued = pg_get_int(res, row, 1);
			b->now = pg_get_int(res, row, 3);
		} else {
			op->s->others = (int)pg_get_int(res, row, 1);
			b->nodes = op->s->others + 1;
			b->running = op->running + pg_get_int(res, row, 3);
			b->max_workers =
			    op->max_workers + pg_get_int(res, row, 4);
		}
	}
}

static int
beaten(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct store_beat beat = { .jobs = NULL };
	struct store_lease *jobs = NULL;

	if (result == STORE_OK) {
		jobs = xcalloc((size_t)PQntuples(res) + 1, sizeof(*jobs));
		get_beat(op, res, &beat, jobs);
	}
	op->cb.beat(result, &beat, op->arg);
	free(jobs);
	pg_op_free(op);
	return (0);
}

void
pg_beat(
    struct store *s, const struct store_pulse *p, store_beat_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_BEAT, beaten, arg);
	struct pg_request *r = &op->req;

	op->cb.beat = cb;
	op->running = p->running;
	op->max_workers = p->max_workers;
	pg_bind_ids(op, p->held, p->n_held);
	pg_text(r, s->life);
	pg_text(r, s->node);
	pg_text(r, s->instance);
	pg_text(r, TAKO_VERSION);
	pg_int(r, p->uptime_us);
	pg_int(r, p->running);
	pg_int(r, p->max_workers);
	pg_int(r, p->draining);
	pg_int(r, p->reap_until);
	pg_op_send(op);
}

static int
nodes_found(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct store_node *nodes = NULL, *n;
	int i, rows = result == STORE_OK ? PQntuples(res) : 0;

	if (rows > 0)
		nodes = xcalloc((size_t)rows, sizeof(*nodes));
	for (i = 0; i < rows; i++) {
		n = &nodes[i];
		pg_get_text(res, i, 0, n->name, sizeof(n->name));
		pg_get_text(res, i, 1, n->instance, sizeof(n->instance));
		pg_get_text(res, i, 2, n->version, sizeof(n->version));
		n->started_at = pg_get_int(res, i, 3);
		n->seen_at = pg_get_int(res, i, 4);
		n->silent_us = pg_get_int(res, i, 5);
		n->running = (int)pg_get_int(res, i, 6);
		n->max_workers = (int)pg_get_int(res, i, 7);
		n->draining = (int)pg_get_int(res, i, 8);
		n->alive = (int)pg_get_int(res, i, 9);
	}
	op->cb.nodes(result, nodes, (size_t)rows, op->arg);
	free(nodes);
	pg_op_free(op);
	return (0);
}

void
pg_nodes(struct store *s, store_nodes_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_NODES, nodes_found, arg);

	op->cb.nodes = cb;
	pg_op_send(op);
}

static int
ids_found(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	store_id *ids = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		ids = xcalloc((size_t)n, sizeof(*ids));
	for (i = 0; i < n; i++)
		pg_get_text(res, i, 0, ids[i], sizeof(ids[i]));
	op->cb.ids(result, ids, (size_t)n, op->arg);
	free(ids);
	pg_op_free(op);
	return (0);
}

void
pg_ended(
    struct store *s, const store_id *ids, size_t n, store_ids_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_ENDED, ids_found, arg);

	op->cb.ids = cb;
	pg_bind_ids(op, ids, n);
	pg_op_send(op);
}
