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
	S_CLAIM,
	S_START,
	S_RELEASE,
	S_FINISH,
	S_CANCEL,
	S_GET,
	S_POSITION,
	S_IMPORT,
	S_COUNTS,
	S_RECOVER,
	S_EXPIRE,
	S_UNDO,
	S_MAX
};

extern const struct pg_statement pg_statements[S_MAX];

/* What stands behind a job's columns. */
enum {
	SUBMIT_FRESH = C_MAX,
	SUBMIT_WAITING = C_MAX + 2,
	CANCEL_DONE = C_MAX,
	GET_CODE = C_MAX,
	GET_INPUT,
	GET_REQUIREMENTS,
	GET_STDOUT,
	GET_STDERR,
	GET_OUTPUT,
	GET_EXTRAS,
	GET_ARTIFACTS
};

#endif
