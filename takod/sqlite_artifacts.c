/*
 * sqlite_artifacts.c: pieces of artifacts in the SQLite file, and which places
 * of artifacts a record names. Runs in the parent's loop, within a transaction
 * that store_sqlite.c opens and commits; a call that fails is undone by it.
 */
#include "sqlite_store.h"
#include "util.h"

/* An answer of one row or none. */
static enum store_result
is_there(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_OK);
	return (rc == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_fault(s, rc));
}

enum store_result
call_artifact_known(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_ARTIFACT_KNOWN);

	sqlite_put_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	sqlite_put_text(st, 3, op->artifact_store);
	return (is_there(s, st));
}

static sqlite3_stmt *
chunk_stmt(struct store *s, enum statement which, const struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);

	sqlite_put_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	sqlite3_bind_int64(st, 3, op->n1);
	sqlite3_bind_int64(st, 4, op->n2);
	return (st);
}

enum store_result
call_chunk_put(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = chunk_stmt(s, S_CHUNK_PUT, op);
	int rc;

	sqlite3_bind_int64(st, 5, time_wall_us());
	sqlite_put_bytes(st, 6, blob_data(op->blob), blob_len(op->blob));
	rc = sqlite_run(st);
	sqlite3_clear_bindings(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_chunk_get(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = chunk_stmt(s, S_CHUNK_GET, op);
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		op->blob = sqlite_get_blob(st, 0);
	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return (STORE_NOT_FOUND);
	if (rc != SQLITE_ROW)
		return (sqlite_fault(s, rc));
	return (op->blob == NULL ? STORE_FAILED : STORE_OK);
}

enum store_result
call_chunk_remove(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_CHUNK_REMOVE);
	int rc;

	sqlite_put_text(st, 1, op->place.job_id);
	sqlite3_bind_int64(st, 2, op->place.fence);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	return (sqlite3_changes(s->db) > 0 ? STORE_OK : STORE_NOT_FOUND);
}

enum store_result
call_chunk_places(struct store *s, struct store_op *op)
{
	struct artifact_place *at = &op->place;
	struct artifact_found *f;
	sqlite3_stmt *st;
	int rc;

	for (op->n_found = 0; op->n_found < STORE_PLACES; op->n_found++) {
		f = &op->found[op->n_found];
		st = sqlite_stmt(s, S_CHUNK_PLACES);
		sqlite_put_text(st, 1, at->job_id);
		sqlite3_bind_int64(st, 2, at->fence);
		if ((rc = sqlite3_step(st)) == SQLITE_ROW) {
			sqlite_get_text(
			    st, 0, f->place.job_id, sizeof(f->place.job_id));
			f->place.fence = sqlite3_column_int64(st, 1);
			f->written = sqlite3_column_int64(st, 2);
			at = &f->place;
		}
		sqlite3_reset(st);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW)
			return (sqlite_fault(s, rc));
	}
	return (STORE_OK);
}
