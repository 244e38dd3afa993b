/*
 * pg_statements.h: what store_pg.c asks PostgreSQL: one prepared statement for
 * each call, and what its rows hold behind a job's columns.
 */
#ifndef PG_STATEMENTS_H
#define PG_STATEMENTS_H

#include "pg_conn.h"
#include "store_schema.h"

enum pg_call {
	S_SUBMIT,
	S_SUBMIT_MANY,
	S_CLAIM,
	S_START,
	S_RELEASE,
	S_FINISH,
	S_CANCEL,
	S_GET,
	S_POSITION,
	S_IMPORT,
	S_COUNTS,
	S_BEAT,
	S_ENDED,
	S_NODES,
	S_NOTIFY,
	S_EXPIRE,
	S_LETTERS,
	S_LETTER_COUNTS,
	S_LETTER_REMOVE,
	S_LETTERS_EXPIRE,
	S_SET_TENANTS,
	S_TENANTS,
	S_GET_ARTIFACTS,
	S_ARTIFACT_KNOWN,
	S_CHUNK_PUT,
	S_CHUNK_GET,
	S_CHUNK_REMOVE,
	S_CHUNK_PLACES,
	S_UNDO,
	S_MAX
};

extern const struct pg_statement pg_statements[S_MAX];

/* What stands behind a job's columns. */
enum {
	SUBMIT_FRESH = C_MAX,
	SUBMIT_WAITING,
	SUBMIT_REFUSED,
	MANY_CREATED_AT = C_ID + 1,
	CANCEL_DONE = C_MAX, /* enum cancel_done */
	GET_CODE = C_MAX,
	GET_INPUT,
	GET_REQUIREMENTS,
	GET_STDOUT,
	GET_STDERR,
	GET_OUTPUT,
	GET_EXTRAS,
	GET_ARTIFACTS,
	GET_ARTIFACT_STORE,
	GET_ATTEMPTS,
	CLAIM_ATTEMPTS = GET_REQUIREMENTS + 1
};

enum cancel_done {
	CANCEL_NOTHING,
	CANCEL_ENDED, /* it waited */
	CANCEL_ASKED  /* it runs */
};

#endif
