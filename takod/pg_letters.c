/*
 * pg_letters.c: dead letters in PostgreSQL. Runs in the parent's loop.
 */
#include <stdlib.h>
#include <string.h>

#include "pg_store.h"
#include "util.h"

static void
get_letter(const PGresult *res, int row, struct dead_letter *l)
{
#define TEXT(col, field) pg_get_text(res, row, col, l->field, sizeof(l->field))
#define INT(col, field)                                                        \
	l->field = (__typeof__(l->field))pg_get_int(res, row, col)
	INT(L_ID, id);
	TEXT(L_JOB_ID, job_id);
	TEXT(L_JOB_TYPE, job_type);
	l->error =
	    (enum job_error)pg_get_enum(res, row, L_ERROR, job_error_byname);
	TEXT(L_ERROR_MESSAGE, error_message);
	INT(L_RETRY_COUNT, retry_count);
	INT(L_CREATED_AT, created_at);
	TEXT(L_CLIENT, client);
	TEXT(L_CORRELATION_ID, correlation_id);
	TEXT(L_PARENT_ID, parent_id);
	INT(L_KEYED, keyed);
	pg_get_digest(res, row, L_CODE_HASH, l->code_hash);
	pg_get_digest(res, row, L_INPUT_HASH, l->input_hash);
	INT(L_CODE_LEN, code_len);
	INT(L_INPUT_LEN, input_len);
	INT(L_TIMEOUT, timeout);
	INT(L_STARTUP_TIMEOUT, startup_timeout);
#undef TEXT
#undef INT
}

static int
letters_listed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	struct dead_letter *letters = NULL;
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	if (n > 0)
		letters = xcalloc((size_t)n, sizeof(*letters));
	for (i = 0; i < n; i++)
		get_letter(res, i, &letters[i]);
	op->cb.letters(result, letters, (size_t)n, op->arg);
	free(letters);
	pg_op_free(op);
	return (0);
}

void
pg_letters(struct store *s, const char *error, int64_t id, int64_t limit,
    int64_t offset, store_letters_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_LETTERS, letters_listed, arg);

	op->cb.letters = cb;
	strlcpy(op->error, error, sizeof(op->error));
	pg_text(&op->req, op->error);
	pg_int(&op->req, id);
	pg_int(&op->req, limit);
	pg_int(&op->req, offset);
	pg_op_send(op);
}

static int
letters_counted(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);
	int64_t counts[JERR_MAX] = { 0 };
	int i, n = result == STORE_OK ? PQntuples(res) : 0;

	for (i = 0; i < n; i++)
		counts[pg_get_enum(res, i, 0, job_error_byname)] +=
		    pg_get_int(res, i, 1);
	op->cb.errors(result, counts, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_letter_counts(struct store *s, store_errors_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_LETTER_COUNTS, letters_counted, arg);

	op->cb.errors = cb;
	pg_op_send(op);
}

static int
letter_removed(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	if (result == STORE_OK && strcmp(PQcmdTuples(res), "1") != 0)
		result = STORE_NOT_FOUND;
	return (pg_op_done(op, result));
}

void
pg_letter_remove(struct store *s, int64_t id, store_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_LETTER_REMOVE, letter_removed, arg);

	op->cb.plain = cb;
	pg_int(&op->req, id);
	pg_op_send(op);
}

static int
letters_expired(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct op *op = pg_op_of(r);

	op->cb.position(
	    result, result == STORE_OK ? atoll(PQcmdTuples(res)) : 0, op->arg);
	pg_op_free(op);
	return (0);
}

void
pg_letters_expire(
    struct store *s, int64_t age_us, int max, store_number_cb cb, void *arg)
{
	struct op *op = pg_op_new(s, S_LETTERS_EXPIRE, letters_expired, arg);

	op->cb.position = cb;
	pg_int(&op->req, age_us);
	pg_int(&op->req, max);
	pg_op_send(op);
}
