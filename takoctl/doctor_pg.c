/*
 * doctor_pg.c: is the PostgreSQL database there, of a schema that this takod
 * knows, and may it be used? Runs in a child of tako-vm doctor, which ends it
 * when an answer does not come. Nothing in the database is changed. What libpq
 * and the server say does not hold the password.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "takod/pg_statements.h"
#include "util.h"

#define CHECK "database"
/* Leases go by the database's clock, the rest by this host's. */
#define SKEW_S 5
/* The oldest version that has what the schema is made of. */
#define PG_OLDEST 100000
#define MEND_REACH                                                             \
	"start PostgreSQL, see that it listens there and takes this user and " \
	"password, and set database_url; or use sqlite:////absolute/path"
#define MEND_OTHER                                                             \
	"set database_url to a database of takod's own, or an empty one"

static void
fail(struct doctor *d, const char *mend, const char *what, const char *words)
{
	char line[512];

	pg_words(line, sizeof(line), words);
	doctor_found(d, FOUND_FAIL, CHECK, mend, "PostgreSQL %s%s%s", what,
	    line[0] != '\0' ? ": " : "", line);
}

/* ---- connecting --------------------------------------------------------- */

/* Goes on with it until it is done; -1: the time is up. */
static int
connect_poll(PGconn *pg, int64_t until)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	struct pollfd p;
	int64_t left;

	while (
	    state == PGRES_POLLING_WRITING || state == PGRES_POLLING_READING) {
		p.fd = PQsocket(pg);
		p.events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		left = until - time_mono_us();
		if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) == 0)
			return (-1);
		state = PQconnectPoll(pg);
	}
	return (0);
}

static void
quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* NULL, and it was told why. */
static PGconn *
pg_connect(struct doctor *d)
{
	struct pg_params params;
	PGconn *pg;
	int late = 0;

	if (pg_params_read(&params, d->conf->database_url, "tako-vm doctor") ==
	    -1) {
		fail(d, MEND_REACH, "does not take this database_url", "");
		return (NULL);
	}
	pg = PQconnectStartParams((const char *const *)params.names,
	    (const char *const *)params.values, 0);
	if (PQstatus(pg) != CONNECTION_BAD)
		late = connect_poll(pg, time_mono_us() + params.connect_us);
	pg_params_free(&params);
	if (!late && PQstatus(pg) == CONNECTION_OK) {
		PQsetNoticeProcessor(pg, quiet, NULL);
		return (pg);
	}
	fail(d, MEND_REACH, "cannot be reached",
	    late ? "no answer in time" : PQerrorMessage(pg));
	PQfinish(pg);
	return (NULL);
}

/* ---- questions ---------------------------------------------------------- */

/*
 * The first value of the answer, in buf. 0, or -1 with the words of the
 * error in buf and its SQLSTATE in state.
 */
static int
ask(PGconn *pg, const char *sql, char *buf, size_t len, char state[6])
{
	PGresult *res = PQexec(pg, sql);
	const char *code;
	int ret = 0;

	buf[0] = state[0] = '\0';
	if (PQresultStatus(res) == PGRES_TUPLES_OK) {
		if (PQntuples(res) > 0)
			strlcpy(buf, PQgetvalue(res, 0, 0), len);
	} else if (PQresultStatus(res) != PGRES_COMMAND_OK) {
		code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
		strlcpy(state, code != NULL ? code : "", 6);
		strlcpy(buf, PQerrorMessage(pg), len);
		ret = -1;
	}
	PQclear(res);
	return (ret);
}

/* Every statement of takod's has to be one of this schema. */
static int
statements_fit(PGconn *pg, char *words, size_t len)
{
	PGresult *res;
	int i, ret = 0;

	for (i = 0; i < S_MAX && ret == 0; i++) {
		if (!pg_send_prepare(pg, i, &pg_statements[i])) {
			strlcpy(words, PQerrorMessage(pg), len);
			return (-1);
		}
		while ((res = PQgetResult(pg)) != NULL) {
			if (PQresultStatus(res) != PGRES_COMMAND_OK) {
				strlcpy(words, PQresultErrorMessage(res), len);
				ret = -1;
			}
			PQclear(res);
		}
	}
	return (ret);
}

/* The tables that rights lack on; "" when none. -1: it cannot be asked. */
static int
rights(PGconn *pg, int version, char *words, size_t len)
{
	char state[6];

	if (version == 0) /* the tables are to be made */
		return (ask(pg,
		    "SELECT CASE WHEN has_schema_privilege(current_schema(),"
		    " 'CREATE') THEN '' ELSE 'CREATE on the schema' END",
		    words, len, state));
	return (ask(pg,
	    "SELECT string_agg(p || ' on ' || t, ', ') FROM"
	    " (VALUES ('jobs'), ('payloads'), ('outputs'), ('nodes'))"
	    " AS a (t), (VALUES ('SELECT'), ('INSERT'), ('UPDATE'),"
	    " ('DELETE')) AS b (p) WHERE to_regclass(t) IS NOT NULL"
	    " AND NOT has_table_privilege(t, p)",
	    words, len, state));
}

/* The schema's version, 0: none yet; -1, and it was told. */
static int
look_schema(struct doctor *d, PGconn *pg)
{
	char text[512], state[6];
	int version;

	if (ask(pg, "SELECT version FROM meta", text, sizeof(text), state) ==
	    -1) {
		if (strcmp(state, "42P01") == 0)
			return (0);
		fail(d,
		    strcmp(state, "42501") == 0
			? "GRANT SELECT ON meta, and SELECT, INSERT, UPDATE, "
			  "DELETE ON jobs, payloads, outputs, nodes, TO that "
			  "user"
			: MEND_OTHER,
		    "does not tell the schema's version", text);
		return (-1);
	}
	version = text[0] != '\0' ? atoi(text) : -1;
	if (version > SCHEMA_VERSION) {
		doctor_found(d, FOUND_FAIL, CHECK,
		    "install the newer takod again, or set database_url to "
		    "another database",
		    "PostgreSQL: schema %d, this takod knows %d: a newer "
		    "takod wrote it",
		    version, SCHEMA_VERSION);
		return (-1);
	}
	if (version == -1 ||
	    (version == SCHEMA_VERSION &&
		statements_fit(pg, text, sizeof(text)) == -1)) {
		fail(d, MEND_OTHER, "has not takod's schema",
		    version == -1 ? "table meta is empty" : text);
		return (-1);
	}
	return (version);
}

static void
look_clock(struct doctor *d, PGconn *pg)
{
	char text[512], state[6];
	double skew;

	if (ask(pg, "SELECT extract(epoch FROM clock_timestamp())", text,
		sizeof(text), state) == -1)
		return;
	skew = strtod(text, NULL) - (double)time_wall_us() / 1e6;
	if (fabs(skew) > SKEW_S)
		doctor_found(d, FOUND_WARN, CHECK,
		    "set both clocks (timedatectl set-ntp true)",
		    "PostgreSQL's clock differs from this host's by %.0f s",
		    skew);
}

static void
look(struct doctor *d, PGconn *pg)
{
	int server = PQserverVersion(pg), version;
	char text[512], state[6], mend[640];

	if (server < PG_OLDEST) {
		doctor_found(d, FOUND_FAIL, CHECK, "use PostgreSQL 10 or later",
		    "PostgreSQL %d is too old", server / 10000);
		return;
	}
	if (ask(pg, "SET statement_timeout = 10000", text, sizeof(text),
		state) == -1 ||
	    (version = look_schema(d, pg)) == -1)
		return;
	if (rights(pg, version, text, sizeof(text)) == -1) {
		fail(d, MEND_OTHER, "does not tell about rights", text);
		return;
	}
	if (text[0] != '\0') {
		snprintf(mend, sizeof(mend), "GRANT them TO %s", PQuser(pg));
		doctor_found(d, FOUND_FAIL, CHECK, mend,
		    "PostgreSQL: user %s lacks rights: %s", PQuser(pg), text);
		return;
	}
	look_clock(d, pg);
	doctor_found(d, FOUND_OK, CHECK, NULL,
	    "PostgreSQL %d.%d, database %s as user %s; %s", server / 10000,
	    server % 10000, PQdb(pg), PQuser(pg),
	    version == SCHEMA_VERSION
		? "the schema is this takod's"
		: "takod makes the tables, or brings them up to date");
}

void
doctor_pg(struct doctor *d)
{
	PGconn *pg = pg_connect(d);

	if (pg == NULL)
		return;
	look(d, pg);
	PQfinish(pg);
}
