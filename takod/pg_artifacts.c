/*
 * pg_artifacts.c: pieces of artifacts in PostgreSQL, and which places of
 * artifacts a record names. Runs in the parent's loop.
 */
#include <string.h>

#include "pg_store.h"
#include "util.h"

static int
is_there(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	if (result == STORE_OK && PQntuples(res) == 0)
		result = STORE_NOT_FOUND;
	return (pg_op_done(op, result));
}

/* With the place as the first two parameters. */
static struct op *
op_place(struct store *s, enum pg_call statement,
    int (*answer)(struct pg_request *, enum store_result, PGresult *),
    const struct artifact_place *place, void *arg)
{
	struct op *op = pg_op_new(s, statement, answer, arg);

	strlcpy(op->id, place->job_id, sizeof(op->id));
	pg_text(&op->req, op->id);
	pg_int(&op->req, place->fence);
	return (op);
}

void
pg_artifact_known(struct store *s, const char *artifact_store,
    const struct artifact_place *place, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_ARTIFACT_KNOWN, is_there, place, arg);

	op->cb.plain = cb;
	strlcpy(op->artifact_store, artifact_store, sizeof(op->artifact_store));
	pg_text(&op->req, op->artifact_store);
	pg_op_send(op);
}

void
pg_chunk_put(struct store *s, const struct artifact_place *place, int number,
    int chunk, struct blob *blob, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_PUT, pg_guarded, place, arg);

	op->cb.plain = cb;
	op->artifacts = blob_ref(blob);
	pg_int(&op->req, number);
	pg_int(&op->req, chunk);
	pg_bind_bytes(op, blob);
	pg_op_send(op);
}

static int
got_chunk(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct blob *blob = NULL;

	if (result == STORE_OK && PQntuples(res) == 0)
		result = STORE_NOT_FOUND;
	else if (result == STORE_OK && pg_get_blob(res, 0, 0, &blob) == -1)
		result = STORE_FAILED; /* no memory */
	op->cb.blob(result, blob, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_chunk_get(struct store *s, const struct artifact_place *place, int number,
    int chunk, store_blob_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_GET, got_chunk, place, arg);

	op->cb.blob = cb;
	pg_int(&op->req, number);
	pg_int(&op->req, chunk);
	pg_op_send(op);
}

static int
removed_chunks(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "0") == 0)
		result = STORE_NOT_FOUND;
	return (pg_op_done(op, result));
}

void
pg_chunk_remove(
    struct store *s, const struct artifact_place *place, store_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_REMOVE, removed_chunks, place, arg);

	op->cb.plain = cb;
	pg_op_send(op);
}

static int
got_places(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct artifact_found found[STORE_PLACES];
	struct op *op = pg_op_of(r);
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	for (i = 0; i < n && i < STORE_PLACES; i++) {
		pg_get_text(res, i, 0, found[i].place.job_id,
		    sizeof(found[i].place.job_id));
		found[i].place.fence = pg_get_int(res, i, 1);
		found[i].written = pg_get_int(res, i, 2);
	}
	op->cb.places(result, found, (size_t)i, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_chunk_places(struct store *s, const struct artifact_place *after,
    store_places_cb cb, void *arg)
{
	struct op *op = op_place(s, S_CHUNK_PLACES, got_places, after, arg);

	op->cb.places = cb;
	pg_int(&op->req, STORE_PLACES);
	pg_op_send(op);
}
