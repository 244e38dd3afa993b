/*
 * sqlite_letters.c: dead letters in the SQLite file. Runs in the parent's loop,
 * within a transaction that store_sqlite.c opens and commits; a call that fails
 * is undone by it.
 */
#include <stdlib.h>
#include <string.h>

#include "sqlite_store.h"
#include "store_schema.h"
#include "util.h"

static void
get_letter(sqlite3_stmt *st, struct dead_letter *l)
{
	memset(l, 0, sizeof(*l));
	l->id = sqlite3_column_int64(st, L_ID);
	sqlite_get_text(st, L_JOB_ID, l->job_id, sizeof(l->job_id));
	sqlite_get_text(st, L_JOB_TYPE, l->job_type, sizeof(l->job_type));
	l->error =
	    (enum job_error)sqlite_get_enum(st, L_ERROR, job_error_byname);
	sqlite_get_text(
	    st, L_ERROR_MESSAGE, l->error_message, sizeof(l->error_message));
	l->retry_count = sqlite3_column_int(st, L_RETRY_COUNT);
	l->created_at = sqlite3_column_int64(st, L_CREATED_AT);
	sqlite_get_text(st, L_CLIENT, l->client, sizeof(l->client));
	sqlite_get_text(
	    st, L_CORRELATION_ID, l->correlation_id, sizeof(l->correlation_id));
	sqlite_get_text(st, L_PARENT_ID, l->parent_id, sizeof(l->parent_id));
	l->keyed = sqlite3_column_int(st, L_KEYED);
	sqlite_get_digest(st, L_CODE_HASH, l->code_hash);
	sqlite_get_digest(st, L_INPUT_HASH, l->input_hash);
	l->code_len = sqlite3_column_int64(st, L_CODE_LEN);
	l->input_len = sqlite3_column_int64(st, L_INPUT_LEN);
	l->timeout = sqlite3_column_int(st, L_TIMEOUT);
	l->startup_timeout = sqlite3_column_int(st, L_STARTUP_TIMEOUT);
}

enum store_result
call_letters(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTERS);
	struct dead_letter *more;
	int rc;

	sqlite_put_text(st, 1, op->error);
	sqlite3_bind_int64(st, 2, op->position);
	sqlite3_bind_int64(st, 3, op->n1);
	sqlite3_bind_int64(st, 4, op->n2);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		more = reallocarray(
		    op->letters, op->n_letters + 1, sizeof(*op->letters));
		if (more == NULL)
			break;
		op->letters = more;
		get_letter(st, &op->letters[op->n_letters++]);
	}
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_letter_counts(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTER_COUNTS);
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		op->errors[sqlite_get_enum(st, 0, job_error_byname)] +=
		    sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_letter_remove(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTER_REMOVE);
	enum store_result r;

	sqlite3_bind_int64(st, 1, op->n1);
	r = sqlite_guarded(s, st);
	return (r == STORE_STALE ? STORE_NOT_FOUND : r);
}

enum store_result
call_letters_expire(struct store *s, struct store_op *op)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_LETTERS_EXPIRE);
	int rc;

	sqlite3_bind_int64(st, 1, time_wall_us() - op->n1);
	sqlite3_bind_int64(st, 2, op->n2);
	if ((rc = sqlite_run(st)) != SQLITE_DONE)
		return (sqlite_fault(s, rc));
	op->position = sqlite3_changes(s->db);
	return (STORE_OK);
}
