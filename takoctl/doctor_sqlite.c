/*
 * doctor_sqlite.c: is the SQLite file whole, of a schema that this takod
 * knows, and may it be written? Runs in a child of tako-vm doctor.
 *
 * Nothing of it is changed. After an orderly stop the file is all there is: it
 * is read as one that never changes, without a lock and without the files that
 * SQLite lays beside it. After a crash the journal beside it counts too: then
 * it is opened as takod opens it, but the journal is not worked off.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "doctor.h"
#include "takod/sqlite_store.h"
#include "takod/store_schema.h"
#include "util.h"

#define CHECK "database"
/* Looking through a large file may take longer: then so far, so good. */
#define LOOK_US	   (INT64_C(20) * 1000000)
#define LOOK_STEPS 10000
#define MEND_OTHER "set database_url to a file of takod's own, or a new one"
#define MEND_BROKEN                                                            \
	"restore it from a backup, or move it away and its -wal file with "    \
	"it: takod then begins a new one"

static int64_t look_until;

static int
out_of_time(void *arg)
{
	(void)arg;
	return (time_mono_us() > look_until);
}

/* path as a URI, in which ?, # and % mean something else. */
static char *
uri_of(const char *path, const char *query)
{
	char *uri = xmalloc(strlen(path) * 3 + strlen(query) + 16), *p;

	p = uri + sprintf(uri, "file:");
	for (; *path != '\0'; path++)
		if (isalnum((unsigned char)*path) ||
		    strchr("/-_.", *path) != NULL)
			*p++ = *path;
		else
			p += sprintf(p, "%%%02x", (unsigned char)*path);
	strlcpy(p, query, strlen(query) + 1);
	return (uri);
}

static int
has_journal(const char *path)
{
	char *wal = xasprintf("%s-wal", path);
	struct stat st;
	int has = stat(wal, &st) == 0 && st.st_size > 0;

	free(wal);
	return (has);
}

/* NULL when it cannot be opened; db is to be closed in any case. */
static int
open_file(const char *path, sqlite3 **db)
{
	int journal = has_journal(path), rc;
	char *uri = uri_of(path, journal ? "" : "?immutable=1");

	rc = sqlite3_open_v2(uri, db,
	    SQLITE_OPEN_URI |
		(journal ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY),
	    NULL);
	free(uri);
	if (rc == SQLITE_OK && journal) {
		sqlite3_db_config(
		    *db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		/* With it, no index is laid beside the journal. */
		rc = sqlite3_exec(
		    *db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
	}
	return (rc);
}

/* The first value of the first row as text, in buf; the result code. */
static int
ask(sqlite3 *db, const char *sql, char *buf, size_t len)
{
	sqlite3_stmt *st;
	const char *text;
	int rc;

	buf[0] = '\0';
	if ((rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL)) != SQLITE_OK)
		return (rc);
	if ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		strlcpy(buf, text != NULL ? text : "", len);
	}
	sqlite3_finalize(st);
	return (rc);
}

/* Every statement of takod's has to be one of this schema. */
static int
statements_fit(sqlite3 *db)
{
	struct store s = { .db = db };
	int i, rc = sqlite_prepare(&s);

	for (i = 0; i < S_MAX; i++)
		sqlite3_finalize(s.stmts[i]);
	return (rc == SQLITE_OK ? 0 : -1);
}

static int
look_schema(struct doctor *d, sqlite3 *db, const char *path)
{
	char text[512];
	int rc = ask(db, "SELECT version FROM meta", text, sizeof(text));
	int version = atoi(text);

	if (rc == SQLITE_ROW && version > SCHEMA_VERSION)
		doctor_found(d, FOUND_FAIL, CHECK,
		    "install the newer takod again, or set database_url to "
		    "another file",
		    "%s has schema %d, this takod knows %d: a newer takod "
		    "wrote it",
		    path, version, SCHEMA_VERSION);
	else if (rc == SQLITE_ROW && version == SCHEMA_VERSION &&
		 statements_fit(db) == -1)
		doctor_found(d, FOUND_FAIL, CHECK, MEND_OTHER,
		    "%s has not takod's schema: %s", path, sqlite3_errmsg(db));
	else if (rc == SQLITE_ROW)
		return (version);
	else if (ask(db,
		     "SELECT name FROM sqlite_schema WHERE name IN "
		     "('meta', 'jobs', 'payloads', 'outputs')",
		     text, sizeof(text)) == SQLITE_DONE)
		return (0); /* takod makes its tables */
	else
		doctor_found(d, FOUND_FAIL, CHECK, MEND_OTHER,
		    "%s is not a database of takod: %s", path,
		    text[0] != '\0' ? "its tables are another program's"
				    : sqlite3_errmsg(db));
	return (-1);
}

static void
look_through(struct doctor *d, sqlite3 *db, const char *path, int version)
{
	char text[512];
	int rc;

	look_until = time_mono_us() + LOOK_US;
	sqlite3_progress_handler(db, LOOK_STEPS, out_of_time, NULL);
	rc = ask(db, "PRAGMA quick_check(1)", text, sizeof(text));
	if (rc == SQLITE_INTERRUPT)
		doctor_found(d, FOUND_OK, CHECK, NULL,
		    "SQLite %s, schema %d; as far as 20 s let it be looked "
		    "through, it is whole",
		    path, version);
	else if (rc != SQLITE_ROW || strcmp(text, "ok") != 0)
		doctor_found(d, FOUND_FAIL, CHECK, MEND_BROKEN,
		    "%s is damaged: %s", path,
		    text[0] != '\0' ? text : sqlite3_errmsg(db));
	else
		doctor_found(d, FOUND_OK, CHECK, NULL,
		    "SQLite %s, schema %d of %d, whole%s", path, version,
		    SCHEMA_VERSION,
		    version < SCHEMA_VERSION ? "; takod brings it up to date"
					     : "");
}

static void
look_file(struct doctor *d, const char *path)
{
	sqlite3 *db = NULL;
	struct stat st;
	int version, fd;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		doctor_found(d, FOUND_FAIL, CHECK, MEND_OTHER,
		    "%s is not a regular file", path);
		return;
	}
	if ((fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) ==
	    -1) {
		doctor_found(d, FOUND_FAIL, CHECK,
		    "make it a file that root may write, on a disk that is "
		    "mounted writable",
		    "%s: %s", path, strerror(errno));
		return;
	}
	close_fd(&fd);
	if (open_file(path, &db) != SQLITE_OK)
		doctor_found(d, FOUND_FAIL, CHECK, MEND_OTHER, "%s: %s", path,
		    sqlite3_errmsg(db));
	else if ((version = look_schema(d, db, path)) != -1)
		look_through(d, db, path, version);
	sqlite3_close(db);
}

/* The folder of a file that is not there yet. */
static void
look_folder(struct doctor *d, const char *path)
{
	char *folder = xstrdup(path), *slash = strrchr(folder, '/');
	size_t n = strlen(d->conf->data_dir);

	if (slash != NULL)
		*(slash == folder ? slash + 1 : slash) = '\0';
	/* data_dir is made by takod, what is below it is not. */
	if (access(slash != NULL ? folder : ".", W_OK | X_OK) == 0 ||
	    (errno == ENOENT && strncmp(folder, d->conf->data_dir, n) == 0 &&
		folder[n] == '\0'))
		doctor_found(
		    d, FOUND_OK, CHECK, NULL, "SQLite %s will be made", path);
	else
		doctor_found(d, FOUND_FAIL, CHECK,
		    "make that folder, or set database_url to another path",
		    "SQLite %s cannot be made: %s", path, strerror(errno));
	free(folder);
}

void
doctor_sqlite(struct doctor *d)
{
	const char *path = d->conf->database_url + strlen(SQLITE_SCHEME);

	if (access(path, F_OK) == -1)
		look_folder(d, path);
	else if (d->daemon != 0)
		doctor_found(d, FOUND_OK, CHECK, NULL,
		    "SQLite %s: the takod that runs has it to itself", path);
	else
		look_file(d, path);
}
