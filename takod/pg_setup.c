/*
 * pg_setup.c: from a bare connection to a session that can be used: its
 * settings, the lock that says whose it is, the schema, the prepared
 * statements. Runs in the parent's loop; pg_conn.c feeds it results.
 *
 * All steps but the last use the simple protocol, one after the other. When
 * the schema is as it has to be, which is the rule, nothing of it is touched:
 * takod's role then needs no right to create.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "pg_conn.h"
#include "store_schema.h"
#include "util.h"

/* Two takods that find an old schema: the second one waits here. */
#define MIGRATION_LOCK "7162537412980233"

enum step {
	STEP_SESSION,
	STEP_VERSION,
	STEP_BEGIN,
	STEP_MIGRATE,
	STEP_COMMIT,
	STEP_PREPARE
};

/*
 * Limits so that neither a lock nor a statement holds the pipeline up; the
 * server is to notice soon when this host is gone. A server that was told to
 * lose commits is told otherwise. Then former sessions of this life are ended,
 * whose statements might still be under way after the connection broke, and
 * the owner's lock is waited for: whoever has it works for the same rows.
 */
static const char session_sql[] =
    "SET statement_timeout = 15000; SET lock_timeout = 5000;"
    "SET idle_in_transaction_session_timeout = 15000;"
    "SET default_transaction_isolation = 'read committed';"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;"
    "SET tcp_keepalives_count = 3;"
    "SELECT set_config(name, '20000', false) FROM pg_settings"
    " WHERE name = 'tcp_user_timeout';"
    "SET takod.lease_us = %" PRId64 ";"
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off';"
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'takod-%s' AND pid <> pg_backend_pid();"
    "SELECT pg_advisory_lock(%" PRId64 ")";

void
pg_setup_init(struct pg_setup *s, const char *node, const char *life,
    int64_t lease_us, const struct pg_statement *statements, int n_statements)
{
	uint8_t digest[TAKO_SHA256];
	char name[MAX_NODE + 32];
	int64_t key;

	snprintf(name, sizeof(name), "takod owner %s", node);
	sha256(digest, name, strlen(name));
	memcpy(&key, digest, sizeof(key));
	s->statements = statements;
	s->n_statements = n_statements;
	snprintf(
	    s->session, sizeof(s->session), session_sql, lease_us, life, key);
}

int
pg_setup_begin(struct pg_setup *s, PGconn *conn)
{
	s->step = STEP_SESSION;
	s->version = -1;
	return (PQsendQuery(conn, s->session) ? 0 : -1);
}

int
pg_setup_migrates(const struct pg_setup *s)
{
	return (s->step == STEP_MIGRATE || s->step == STEP_COMMIT);
}

void
pg_words(char *dst, size_t len, const char *src)
{
	size_t i;

	strlcpy(dst, src, len);
	for (i = strlen(dst); i > 0 && (dst[i - 1] == '\n'); i--)
		dst[i - 1] = '\0';
	for (i = 0; dst[i] != '\0'; i++)
		if (dst[i] == '\n' || dst[i] == '\t')
			dst[i] = ' ';
}

/* These never change. */
uint32_t
pg_type(char letter)
{
	switch (letter) {
	case 't':
		return (25);
	case 'i':
		return (20);
	case 'b':
		return (17);
	case 'T':
		return (1009);
	case 'I':
		return (1016);
	case 'B':
		return (1001);
	}
	fatalx("%s: %c", __func__, letter);
}

int
pg_types(Oid types[PG_PARAMS], const struct pg_statement *st)
{
	int n;

	for (n = 0; st->types[n] != '\0'; n++)
		types[n] = pg_type(st->types[n]);
	return (n);
}

int
pg_send_prepare(PGconn *conn, int number, const struct pg_statement *st)
{
	Oid types[PG_PARAMS];
	char name[16];
	int n = pg_types(types, st);

	snprintf(name, sizeof(name), "s%d", number);
	return (PQsendPrepare(conn, name, st->sql, n, types));
}

/* Everything in one round trip, and the pipeline stays on. */
static int
send_prepares(struct pg_setup *s, PGconn *conn)
{
	int i;

	if (!PQenterPipelineMode(conn))
		return (0);
	for (i = 0; i < s->n_statements; i++)
		if (!pg_send_prepare(conn, i, &s->statements[i]))
			return (0);
	return (PQsendQueryParams(
		    conn, "LISTEN takod_jobs", 0, NULL, NULL, NULL, NULL, 0) &&
		PQpipelineSync(conn));
}

static int
send_migration(struct pg_setup *s, PGconn *conn)
{
	char sql[8192];

	if (snprintf(sql, sizeof(sql), "%sUPDATE meta SET version = %d",
		schema_pg[s->version], s->version + 1) >= (int)sizeof(sql))
		return (0);
	s->version++;
	return (PQsendQuery(conn, sql));
}

/* Sends what comes after the step that has ended. */
static int
next_step(struct pg_setup *s, PGconn *conn)
{
	switch ((enum step)s->step) {
	case STEP_SESSION:
		s->step = STEP_VERSION;
		return (PQsendQuery(conn, "SELECT version FROM meta"));
	case STEP_VERSION:
		if (s->version == SCHEMA_VERSION) {
			s->step = STEP_PREPARE;
			return (send_prepares(s, conn));
		}
		s->step = STEP_BEGIN;
		/* Many rows take their time: no limit but for the locks. */
		return (PQsendQuery(conn,
		    "BEGIN; SET LOCAL statement_timeout = 0;"
		    "SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ");"
		    "CREATE TABLE IF NOT EXISTS meta"
		    " (version INTEGER NOT NULL);"
		    "INSERT INTO meta SELECT 0"
		    " WHERE NOT EXISTS (SELECT 1 FROM meta);"
		    "SELECT version FROM meta"));
	case STEP_BEGIN:
	case STEP_MIGRATE:
		if (s->version < SCHEMA_VERSION) {
			s->step = STEP_MIGRATE;
			return (send_migration(s, conn));
		}
		s->step = STEP_COMMIT;
		return (PQsendQuery(conn, "COMMIT"));
	case STEP_COMMIT:
		s->step = STEP_PREPARE;
		return (send_prepares(s, conn));
	case STEP_PREPARE:
		break;
	}
	return (0);
}

static int
failed(struct pg_setup *s, PGresult *res, char *detail, size_t len)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (state != NULL && s->step == STEP_VERSION &&
	    strcmp(state, "42P01") == 0) {
		s->version = 0; /* no table meta: a new database */
		return (0);
	}
	if (state != NULL && s->step == STEP_SESSION &&
	    strcmp(state, "55P03") == 0) {
		strlcpy(detail,
		    "another takod of this node_name uses the database", len);
		return (-1);
	}
	pg_words(detail, len, PQresultErrorMessage(res));
	return (-1);
}

/* The version as the schema has it. */
static int
known_version(struct pg_setup *s, PGresult *res, char *detail, size_t len)
{
	const char *error;

	if (PQntuples(res) != 1) {
		strlcpy(detail, "table meta has no version", len);
		return (-1);
	}
	s->version =
	    (int)strtonum(PQgetvalue(res, 0, 0), 0, SCHEMA_VERSION, &error);
	if (error == NULL)
		return (0);
	snprintf(detail, len,
	    "the schema has version %s, this takod knows %d: it was written "
	    "by a newer takod",
	    PQgetvalue(res, 0, 0), SCHEMA_VERSION);
	return (-1);
}

int
pg_setup_take(
    struct pg_setup *s, PGconn *conn, PGresult *res, char *detail, size_t len)
{
	if (res == NULL) {
		if (s->step == STEP_PREPARE)
			return (0); /* of one statement; the sync comes */
		if (next_step(s, conn))
			return (0);
		pg_words(detail, len, PQerrorMessage(conn));
		return (-1);
	}
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		return (1);
	case PGRES_TUPLES_OK:
		if ((s->step == STEP_VERSION || s->step == STEP_BEGIN) &&
		    strcmp(PQfname(res, 0), "version") == 0)
			return (known_version(s, res, detail, len));
		return (0);
	case PGRES_COMMAND_OK:
		return (0);
	default:
		return (failed(s, res, detail, len));
	}
}
