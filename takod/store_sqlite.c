/*
 * store_sqlite.c: jobs in an SQLite file, the embedded default. Runs in the
 * parent's loop. The journal is a WAL and synchronous is FULL: what was
 * answered STORE_OK survives a power cut.
 *
 * Calls are put into a queue and done in the loop's next turn, all that came
 * meanwhile in one transaction: each is answered after its COMMIT, and several
 * share one. A commit takes a fraction of a millisecond (regress/tools/
 * store_bench prints what it takes here), which is why it needs no process of
 * its own. One takod has the file to itself: it is locked for as long as it is
 * open.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "sqlite_store.h"
#include "store_schema.h"
#include "util.h"

/* Calls go into one transaction for so long: bounds a turn of the loop. */
#define BATCH_US 2000
/* After a fault of the disk, the file is tried again so often. */
#define RETRY_S 1
/* Pages in the WAL after which they are copied back, and how soon. */
#define CHECKPOINT_PAGES   2000
#define CHECKPOINT_IDLE_MS 200
/* Artifacts make it grow without a pause: then it is not waited for one. */
#define CHECKPOINT_BUSY_PAGES (2 * CHECKPOINT_PAGES)

/* ---- the queue
 * ------------------------------------------------------------------- */

static void
op_answer(struct store_op *op)
{
	struct job *job = op->job;
	struct store_page page;
	size_t i;

	if (op->result == STORE_AWAY || op->result == STORE_FAILED) {
		job_free(job);
		job = NULL;
		op->n_ids = 0;
		op->n_nodes = 0;
		memset(&op->beat, 0, sizeof(op->beat));
		op->n_letters = op->n_tenants = 0;
		op->n_gone = op->n_found = 0;
	} else if (op->result == STORE_NOT_FOUND) {
		job_free(job);
		job = NULL;
	}
	switch (op->kind) {
	case JOB_CB:
		op->cb.job(op->result, job, op->arg);
		break;
	case PAGE_CB:
		memset(&page, 0, sizeof(page));
		if (op->result == STORE_OK)
			sqlite_list_page(op->list, &page);
		op->cb.page(op->result, &page, op->arg);
		break;
	case TEXTS_CB:
		op->cb.texts(op->result, op->texts, op->n_texts, op->arg);
		break;
	case PLAIN_CB:
		op->cb.plain(op->result, op->arg);
		break;
	case COUNTS_CB:
		op->cb.counts(op->result, &op->counts, op->arg);
		break;
	case POSITION_CB:
		op->cb.position(op->result, op->position, op->arg);
		break;
	case EXPIRED_CB:
		op->cb.expired(op->result, op->gone, op->n_gone, op->arg);
		break;
	case BLOB_CB:
		if (op->result != STORE_OK) {
			blob_unref(op->blob);
			op->blob = NULL;
		}
		op->cb.blob(op->result, op->blob, op->arg);
		op->blob = NULL;
		break;
	case PLACES_CB:
		op->cb.places(op->result, op->found, op->n_found, op->arg);
		break;
	case LETTERS_CB:
		op->cb.letters(op->result, op->letters, op->n_letters, op->arg);
		break;
	case ERRORS_CB:
		op->cb.errors(op->result, op->errors, op->arg);
		break;
	case TENANTS_CB:
		op->cb.tenants(op->result, op->tenants, op->n_tenants, op->arg);
		break;
	case IDS_CB:
		op->cb.ids(op->result, op->ids, op->n_ids, op->arg);
		break;
	case BEAT_CB:
		op->cb.beat(op->result, &op->beat, op->arg);
		break;
	case NODES_CB:
		op->cb.nodes(op->result, op->nodes, op->n_nodes, op->arg);
		break;
	}
	for (i = 0; i < op->n_texts; i++)
		blob_unref(op->texts[i].texts);
	for (i = 0; i < op->n_words; i++)
		blob_unref(op->words[i].words);
	free(op->texts);
	free(op->words);
	free(op->leases);
	free(op->nodes);
	sqlite_list_free(op->list);
	free(op->ids);
	free(op->letters);
	free(op->errors);
	free(op->tenants);
	free(op->text);
	free(op->gone);
	blob_unref(op->blob);
	job_free(op->in);
	free(op);
}

static void
set_up(struct store *s, int up, const char *detail)
{
	struct timeval tv = { RETRY_S, 0 };

	if (up)
		event_del(s->retry);
	else
		event_arm(s->retry, &tv);
	if (s->told && up == s->up)
		return;
	s->told = 1;
	s->up = up;
	s->state_cb(up, detail, s->arg);
}

/* One of the statements that begin and end. */
static int
step(struct store *s, enum statement which)
{
	int rc = sqlite_run(sqlite_stmt(s, which));

	if (rc == SQLITE_DONE)
		return (0);
	sqlite_fault(s, rc);
	return (-1);
}

/* -1: the file's fault, and nothing of the transaction is written. */
static int
call_exec(struct store *s, struct store_op *op)
{
	if (op->writes && step(s, S_SAVEPOINT) == -1)
		return (-1);
	op->result = op->exec(s, op);
	if (op->result == STORE_AWAY)
		return (-1);
	if (!op->writes)
		return (0);
	if (op->result == STORE_FAILED && step(s, S_UNDO) == -1)
		return (-1);
	return (step(s, S_KEEP));
}

TAILQ_HEAD(op_list, store_op);

static void
rest(struct store *s, struct store_op *op)
{
	int64_t us = s->rested_at - time_mono_us();
	struct timeval tv = { 0, 0 };

	if (us > 0) {
		tv.tv_sec = us / 1000000;
		tv.tv_usec = us % 1000000;
	}
	TAILQ_INSERT_TAIL(&s->resting, op, entry);
	if (!event_pending(s->rest, EV_TIMEOUT, NULL))
		event_arm(s->rest, &tv);
}

static void
rested(int fd, short events, void *arg)
{
	static const struct timeval at_once = { 0, 0 };
	struct store *s = arg;

	(void)fd;
	(void)events;
	TAILQ_CONCAT(&s->queue, &s->resting, entry);
	event_arm(s->turn, &at_once);
}

/*
 * Moves what waits into batch, in one transaction, until it has taken long
 * enough. -1: nothing of it is written. 1: something was.
 */
static int
batch_exec(struct store *s, struct op_list *batch)
{
	int64_t until = time_mono_us() + BATCH_US;
	struct store_op *op;
	int writing = 0;

	while (
	    (op = TAILQ_FIRST(&s->queue)) != NULL && time_mono_us() < until) {
		TAILQ_REMOVE(&s->queue, op, entry);
		TAILQ_INSERT_TAIL(batch, op, entry);
		if (op->writes && !writing) {
			if (step(s, S_BEGIN) == -1)
				return (-1);
			writing = 1;
		}
		op->again = AGAIN_NOT;
		if (call_exec(s, op) == -1)
			return (-1);
		if (op->again == AGAIN_NOT)
			continue;
		TAILQ_REMOVE(batch, op, entry);
		if (op->again == AGAIN_NOW)
			TAILQ_INSERT_TAIL(&s->queue, op, entry);
		else
			rest(s, op);
	}
	if (writing && step(s, S_COMMIT) == -1)
		return (-1);
	return (writing);
}

/*
 * A timer: an event that is made active by what its own callback does would
 * let no other one in.
 */
static void
turn_soon(struct store *s)
{
	static const struct timeval at_once = { 0, 0 };

	event_arm(s->turn, &at_once);
}

static void
turn(int fd, short events, void *arg)
{
	static const struct timeval idle = { 0, CHECKPOINT_IDLE_MS * 1000 };
	static const struct timeval at_once = { 0, 0 };
	struct store *s = arg;
	struct op_list batch = TAILQ_HEAD_INITIALIZER(batch);
	struct store_op *op;

	(void)fd;
	(void)events;
	switch (batch_exec(s, &batch)) {
	case -1:
		if (!sqlite3_get_autocommit(s->db))
			sqlite_run(sqlite_stmt(s, S_ROLLBACK));
		TAILQ_FOREACH (op, &batch, entry)
			op->result = STORE_AWAY;
		set_up(s, 0, s->fault);
		break;
	case 1:
		set_up(s, 1, "");
		break;
	}
	if (!TAILQ_EMPTY(&s->queue))
		turn_soon(s);
	while ((op = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, op, entry);
		op_answer(op);
	}
	/* From when it grew too long, not put off by what goes on coming. */
	if (s->wal_pages > CHECKPOINT_BUSY_PAGES)
		event_arm(s->idle, &at_once);
	else if (s->wal_pages > CHECKPOINT_PAGES &&
		 !event_pending(s->idle, EV_TIMEOUT, NULL))
		event_arm(s->idle, &idle);
}

/* Copies the WAL back, a moment after it grew too long. */
static void
checkpoint(int fd, short events, void *arg)
{
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
		NULL, NULL) == SQLITE_OK)
		s->wal_pages = 0;
}

static int
wal_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct store *)arg)->wal_pages = pages;
	return (SQLITE_OK);
}

/* Can it be written to? At the start, and again after each fault. */
static void
probe(int fd, short events, void *arg)
{
	struct store *s = arg;

	(void)fd;
	(void)events;
	if (step(s, S_BEGIN) == 0 && step(s, S_PROBE) == 0 &&
	    step(s, S_COMMIT) == 0) {
		set_up(s, 1, "");
		return;
	}
	if (!sqlite3_get_autocommit(s->db))
		sqlite_run(sqlite_stmt(s, S_ROLLBACK));
	set_up(s, 0, s->fault);
}

static struct store_op *
op_new(struct store *s, enum kind kind, int writes,
    enum store_result (*exec)(struct store *, struct store_op *), void *arg)
{
	struct store_op *op;

	/* A call must be answered: without 500 bytes there is no going on. */
	op = xcalloc(1, sizeof(*op));
	op->kind = kind;
	op->writes = writes;
	op->exec = exec;
	op->arg = arg;
	TAILQ_INSERT_TAIL(&s->queue, op, entry);
	turn_soon(s);
	return (op);
}

static void
sqlite_submit(struct store *s, const struct job *j, int start,
    int64_t max_queue, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, call_submit, arg);

	op->cb.job = cb;
	op->in = job_lend(j);
	op->flag = start != 0;
	op->n1 = max_queue;
}

static void
sqlite_claim(struct store *s, int code_started, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, call_claim, arg);

	op->cb.job = cb;
	op->flag = code_started != 0;
}

static void
sqlite_start(
    struct store *s, const char *id, int64_t fence, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_start, arg);

	op->cb.plain = cb;
	strlcpy(op->id, id, sizeof(op->id));
	op->n1 = fence;
}

static void
sqlite_release(struct store *s, const struct job *j, int64_t delay_us,
    store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_release, arg);

	op->cb.plain = cb;
	op->in = job_lend(j);
	op->n1 = delay_us;
}

static void
sqlite_finish(struct store *s, const struct job *j, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_finish, arg);

	op->cb.plain = cb;
	op->in = job_lend(j);
}

static void
sqlite_cancel(struct store *s, const char *id, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 1, call_cancel, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
}

static void
sqlite_get(
    struct store *s, const char *id, int want, store_job_cb cb, void *arg)
{
	struct store_op *op = op_new(s, JOB_CB, 0, call_get, arg);

	op->cb.job = cb;
	strlcpy(op->id, id, sizeof(op->id));
	op->flag = want;
}

static void
sqlite_queue_position(struct store *s, const char *id,
    void (*cb)(enum store_result, int64_t, void *), void *arg)
{
	struct store_op *op = op_new(s, POSITION_CB, 0, call_position, arg);

	op->cb.position = cb;
	strlcpy(op->id, id, sizeof(op->id));
}

static void
sqlite_list(
    struct store *s, const struct store_filter *f, store_page_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PAGE_CB, 0, call_list, arg);

	op->cb.page = cb;
	op->list = sqlite_list_new(f);
}

static void
sqlite_to_index(struct store *s, int max, store_texts_cb cb, void *arg)
{
	struct store_op *op = op_new(s, TEXTS_CB, 0, call_to_index, arg);

	op->cb.texts = cb;
	op->flag = max;
	op->texts = xcalloc((size_t)max, sizeof(*op->texts));
}

static void
sqlite_indexed(struct store *s, const struct store_words *words, size_t n,
    store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_indexed, arg);

	op->cb.plain = cb;
	op->words = xcalloc(n, sizeof(*words));
	for (; op->n_words < n; op->n_words++) {
		op->words[op->n_words].seq = words[op->n_words].seq;
		op->words[op->n_words].words =
		    blob_ref(words[op->n_words].words);
	}
}

static void
sqlite_import(struct store *s, const struct job *j, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_import, arg);

	op->cb.plain = cb;
	op->in = job_lend(j);
}

static void
sqlite_counts(struct store *s, store_counts_cb cb, void *arg)
{
	op_new(s, COUNTS_CB, 0, call_counts, arg)->cb.counts = cb;
}

/* The ids that a call is about. */
static void
op_ids(struct store_op *op, const store_id *ids, size_t n)
{
	op->n_ids = n;
	if (n == 0)
		return;
	op->ids = xcalloc(n, sizeof(*ids));
	memcpy(op->ids, ids, n * sizeof(*ids));
}

static void
sqlite_beat(struct store *s, const struct store_pulse *pulse, store_beat_cb cb,
    void *arg)
{
	struct store_op *op = op_new(s, BEAT_CB, 1, call_beat, arg);

	op->cb.beat = cb;
	op->pulse = *pulse;
	op_ids(op, pulse->held, pulse->n_held);
}

static void
sqlite_ended(
    struct store *s, const store_id *ids, size_t n, store_ids_cb cb, void *arg)
{
	struct store_op *op = op_new(s, IDS_CB, 0, call_ended, arg);

	op->cb.ids = cb;
	op_ids(op, ids, n);
}

static void
sqlite_nodes(struct store *s, store_nodes_cb cb, void *arg)
{
	op_new(s, NODES_CB, 0, call_nodes, arg)->cb.nodes = cb;
}

static void
sqlite_expire(
    struct store *s, int64_t age_us, int max, store_expired_cb cb, void *arg)
{
	struct store_op *op = op_new(s, EXPIRED_CB, 1, call_expire, arg);

	op->cb.expired = cb;
	op->n1 = age_us;
	op->flag = max;
	op->gone = xcalloc((size_t)max, sizeof(*op->gone));
}

static void
sqlite_artifact_known(struct store *s, const char *artifact_store,
    const struct artifact_place *place, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 0, call_artifact_known, arg);

	op->cb.plain = cb;
	op->place = *place;
	strlcpy(op->artifact_store, artifact_store, sizeof(op->artifact_store));
}

static void
sqlite_chunk_put(struct store *s, const struct artifact_place *place,
    int number, int chunk, struct blob *blob, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_chunk_put, arg);

	op->cb.plain = cb;
	op->place = *place;
	op->n1 = number;
	op->n2 = chunk;
	op->blob = blob_ref(blob);
}

static void
sqlite_chunk_get(struct store *s, const struct artifact_place *place,
    int number, int chunk, store_blob_cb cb, void *arg)
{
	struct store_op *op = op_new(s, BLOB_CB, 0, call_chunk_get, arg);

	op->cb.blob = cb;
	op->place = *place;
	op->n1 = number;
	op->n2 = chunk;
}

static void
sqlite_chunk_remove(
    struct store *s, const struct artifact_place *place, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_chunk_remove, arg);

	op->cb.plain = cb;
	op->place = *place;
}

static void
sqlite_chunk_places(struct store *s, const struct artifact_place *after,
    store_places_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLACES_CB, 0, call_chunk_places, arg);

	op->cb.places = cb;
	op->place = *after;
}

static void
sqlite_letters(struct store *s, const char *error, int64_t id, int64_t limit,
    int64_t offset, store_letters_cb cb, void *arg)
{
	struct store_op *op = op_new(s, LETTERS_CB, 0, call_letters, arg);

	op->cb.letters = cb;
	strlcpy(op->error, error, sizeof(op->error));
	op->n1 = limit;
	op->n2 = offset;
	op->position = id;
}

static void
sqlite_letter_counts(struct store *s, store_errors_cb cb, void *arg)
{
	struct store_op *op = op_new(s, ERRORS_CB, 0, call_letter_counts, arg);

	op->cb.errors = cb;
	op->errors = xcalloc(JERR_MAX, sizeof(*op->errors));
}

static void
sqlite_letter_remove(struct store *s, int64_t id, store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_letter_remove, arg);

	op->cb.plain = cb;
	op->n1 = id;
}

static void
sqlite_letters_expire(
    struct store *s, int64_t age_us, int max, store_number_cb cb, void *arg)
{
	struct store_op *op =
	    op_new(s, POSITION_CB, 1, call_letters_expire, arg);

	op->cb.position = cb;
	op->n1 = age_us;
	op->n2 = max;
}

static void
sqlite_set_tenants(struct store *s, const struct tenant_policies *policies,
    store_cb cb, void *arg)
{
	struct store_op *op = op_new(s, PLAIN_CB, 1, call_set_tenants, arg);

	op->cb.plain = cb;
	op->text = tenant_policies_pack(policies);
	op->n1 = policies->age_us;
}

static void
sqlite_tenants(struct store *s, int max, store_tenants_cb cb, void *arg)
{
	struct store_op *op = op_new(s, TENANTS_CB, 0, call_tenants, arg);

	op->cb.tenants = cb;
	op->flag = max;
	op->tenants = xcalloc((size_t)max, sizeof(*op->tenants));
}

/* ---- open and close
 * ---------------------------------------------------------------- */

static int
exec(struct store *s, const char *sql, char *detail, size_t len)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return (0);
	snprintf(detail, len, "%s%s", sqlite3_errmsg(s->db),
	    sqlite3_errcode(s->db) == SQLITE_BUSY
		? " (another takod has the file open)"
		: "");
	return (-1);
}

/* Brings the file to SCHEMA_VERSION, each step in a transaction of its own. */
static int
migrate(struct store *s, char *detail, size_t len)
{
	sqlite3_stmt *st;
	char sql[80];
	int version = -1;

	if (exec(s,
		"CREATE TABLE IF NOT EXISTS meta (version INTEGER NOT NULL,"
		" probe INTEGER NOT NULL);"
		"INSERT INTO meta SELECT 0, 0 WHERE NOT EXISTS"
		" (SELECT 1 FROM meta)",
		detail, len) == -1)
		return (-1);
	if (sqlite3_prepare_v2(s->db, "SELECT version FROM meta", -1, &st,
		NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	if (version < 0 || version > SCHEMA_VERSION) {
		snprintf(detail, len,
		    "the schema has version %d, this takod knows %d: it was "
		    "written by a newer takod",
		    version, SCHEMA_VERSION);
		return (-1);
	}
	for (; version < SCHEMA_VERSION; version++) {
		snprintf(sql, sizeof(sql), "UPDATE meta SET version = %d",
		    version + 1);
		if (exec(s, "BEGIN EXCLUSIVE", detail, len) == -1 ||
		    exec(s, schema_sqlite[version], detail, len) == -1 ||
		    exec(s, sql, detail, len) == -1 ||
		    exec(s, "COMMIT", detail, len) == -1)
			return (-1);
	}
	return (0);
}

static void
sqlite_close(struct store *s)
{
	struct store_op *op;
	int i;

	TAILQ_CONCAT(&s->queue, &s->resting, entry);
	while ((op = TAILQ_FIRST(&s->queue)) != NULL) {
		TAILQ_REMOVE(&s->queue, op, entry);
		op->result = STORE_AWAY;
		op_answer(op);
	}
	for (i = 0; i < S_MAX; i++)
		sqlite3_finalize(s->stmts[i]);
	if (s->db != NULL && sqlite3_close(s->db) != SQLITE_OK)
		log_warnx("sqlite: not closed cleanly");
	if (s->turn != NULL)
		event_free(s->turn);
	if (s->retry != NULL)
		event_free(s->retry);
	if (s->idle != NULL)
		event_free(s->idle);
	if (s->rest != NULL)
		event_free(s->rest);
	free(s);
}

static struct store *
sqlite_open(struct event_base *base, const char *url,
    const struct store_self *self, store_state_cb state_cb,
    store_wakeup_cb wakeup_cb, void *arg, char *detail, size_t len)
{
	static const struct timeval at_once = { 0, 0 };
	struct store *s;
	const char *path = url;

	(void)wakeup_cb; /* nobody else writes here */
	/* sqlite:///relative, sqlite:////absolute */
	if (strncmp(path, "sqlite:///", 10) != 0 || path[10] == '\0') {
		snprintf(detail, len,
		    "must be sqlite:///relative or sqlite:////absolute");
		return (NULL);
	}
	path += 10;
	s = xcalloc(1, sizeof(*s));
	TAILQ_INIT(&s->queue);
	TAILQ_INIT(&s->resting);
	s->base = base;
	s->state_cb = state_cb;
	s->arg = arg;
	strlcpy(s->node, self->node, sizeof(s->node));
	strlcpy(s->instance, self->instance, sizeof(s->instance));
	snprintf(s->life, sizeof(s->life), "%s#%08x%08x", s->node, arc4random(),
	    arc4random());
	/* One claim is under way at a time, and none gets lost. */
	snprintf(s->owner, sizeof(s->owner), "%s.0", s->life);
	s->lease_us = self->lease_s * INT64_C(1000000);
	s->turn = evtimer_new(base, turn, s);
	s->retry = evtimer_new(base, probe, s);
	s->idle = evtimer_new(base, checkpoint, s);
	s->rest = evtimer_new(base, rested, s);
	if (s->turn == NULL || s->retry == NULL || s->idle == NULL ||
	    s->rest == NULL)
		fatal(NULL);
	if (sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		NULL) != SQLITE_OK) {
		snprintf(detail, len, "%s", sqlite3_errmsg(s->db));
		goto fail;
	}
	/* Exclusive before WAL: the index stays in memory, out of a file. */
	if (exec(s,
		"PRAGMA locking_mode = EXCLUSIVE;"
		"PRAGMA journal_mode = WAL;"
		"PRAGMA temp_store = MEMORY;"
		"PRAGMA synchronous = FULL;"
		"PRAGMA foreign_keys = ON;"
		"PRAGMA trusted_schema = OFF;",
		detail, len) == -1 ||
	    migrate(s, detail, len) == -1)
		goto fail;
	/* A checkpoint in a commit is what would hold the loop longest. */
	sqlite3_wal_autocheckpoint(s->db, 0);
	sqlite3_wal_hook(s->db, wal_grew, s);
	if (sqlite_prepare(s) != SQLITE_OK) {
		snprintf(detail, len, "%s", sqlite3_errmsg(s->db));
		goto fail;
	}
	event_arm(s->retry, &at_once);
	return (s);
fail:
	sqlite_close(s);
	return (NULL);
}

static int
sqlite_behind(struct store *s)
{
	const struct store_op *op;
	int n = 0;

	TAILQ_FOREACH (op, &s->queue, entry)
		if (++n > STORE_BACKLOG)
			return (1);
	return (0);
}

const struct store_ops store_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.behind = sqlite_behind,
	.submit = sqlite_submit,
	.claim = sqlite_claim,
	.start = sqlite_start,
	.release = sqlite_release,
	.finish = sqlite_finish,
	.cancel = sqlite_cancel,
	.get = sqlite_get,
	.queue_position = sqlite_queue_position,
	.list = sqlite_list,
	.to_index = sqlite_to_index,
	.indexed = sqlite_indexed,
	.import = sqlite_import,
	.counts = sqlite_counts,
	.beat = sqlite_beat,
	.ended = sqlite_ended,
	.nodes = sqlite_nodes,
	.expire = sqlite_expire,
	.letters = sqlite_letters,
	.letter_counts = sqlite_letter_counts,
	.letter_remove = sqlite_letter_remove,
	.letters_expire = sqlite_letters_expire,
	.set_tenants = sqlite_set_tenants,
	.tenants = sqlite_tenants,
	.artifact_known = sqlite_artifact_known,
	.chunk_put = sqlite_chunk_put,
	.chunk_get = sqlite_chunk_get,
	.chunk_remove = sqlite_chunk_remove,
	.chunk_places = sqlite_chunk_places,
};
