/*
 * sqlite_find.c: lists and searches in the SQLite file, and the words that
 * searches go by. Runs in the parent's loop.
 *
 * A list is looked for in pieces of a millisecond, each a turn in the queue
 * of calls, from new to old; between them nothing of the file is held. From
 * one record that a query finds to the next FTS5 goes on by itself: among a
 * million records that takes microseconds, or some tens of milliseconds where
 * words are common and never stand together. Beyond STEP_US of work the query
 * is given up; and searches, all together, rest REST_TIMES as long as one has
 * held the loop, so that nobody keeps all else waiting by asking again.
 *
 * Words are kept in an FTS5 table without content, by the place of the job.
 * What is to be removed from such a table must be told again, so they are kept
 * in a table of their own too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "failpoint.h"
#include "log.h"
#include "sqlite_store.h"
#include "store_list.h"
#include "util.h"

/* A piece of a list, and of indexing: one record may take longer. */
#define PIECE_US 1000
#define INDEX_US 3000
/* What FTS5 may take from one record to the next, of this process's time. */
#define STEP_US 150000
/* It is looked at whenever about so many pages of the index were read. */
#define STEP_OPS 50
/* After one that took this long. */
#define REST_LEAST_US 5000
#define REST_TIMES    2

struct sqlite_list {
	struct store_filter f;
	char query[WORDS_ASKED_MAX];
	int refused; /* the query is none */
	sqlite3_stmt *st;
	int64_t from, below; /* what is left to look at */
	int64_t skip;
	int64_t deadline;
	int64_t step; /* when this one began, by the time of the process */
	struct store_found *items;
	size_t n;
	int64_t next, unindexed;
};

struct sqlite_list *
sqlite_list_new(const struct store_filter *f)
{
	struct sqlite_list *l = xcalloc(1, sizeof(*l));

	l->f = *f;
	l->items = xcalloc((size_t)f->limit + 1, sizeof(*l->items));
	list_range(f, &l->from, &l->below);
	l->skip = f->offset;
	l->deadline = time_mono_us() + STORE_LIST_US;
	if (f->query[0] != '\0')
		l->refused = words_asked(l->query, f->query, WORDS_FTS5) == -1;
	return (l);
}

void
sqlite_list_free(struct sqlite_list *l)
{
	if (l == NULL)
		return;
	sqlite3_finalize(l->st);
	free(l->items);
	free(l);
}

void
sqlite_list_page(const struct sqlite_list *l, struct store_page *page)
{
	page->items = l->items;
	page->n = l->n;
	page->next = l->next;
	page->unindexed = l->unindexed;
}

/* The first columns: place, id, whether the rest of the filter is met. */
void
sqlite_list_sql(char *text, size_t len, const struct store_filter *f)
{
	struct list_sql sql;

	list_conditions(&sql, f, f->query[0] != '\0');
	if (f->query[0] != '\0')
		/* CROSS JOIN is SQLite's way to say which comes first. */
		snprintf(text, len,
		    "SELECT place, id, %s FROM search CROSS JOIN jobs"
		    " INDEXED BY jobs_place WHERE search MATCH $9"
		    " AND search.rowid < $1 AND search.rowid >= $2"
		    " AND place = search.rowid"
		    " ORDER BY search.rowid DESC",
		    sql.rest);
	else
		snprintf(text, len,
		    "SELECT place, id, %s FROM jobs INDEXED BY %s"
		    " WHERE %splace < $1 AND place >= $2"
		    " ORDER BY place DESC",
		    sql.rest, sql.index, sql.by);
}

static int
list_prepare(struct store *s, struct sqlite_list *l)
{
	char text[2048];

	sqlite_list_sql(text, sizeof(text), &l->f);
	return (sqlite3_prepare_v2(s->db, text, -1, &l->st, NULL));
}

static void
list_bind(struct sqlite_list *l)
{
	char name[8];
	const char *text;
	int p, i;

	sqlite3_reset(l->st);
	for (p = P_BELOW; p < P_MAX; p++) {
		snprintf(name, sizeof(name), "$%d", p);
		if ((i = sqlite3_bind_parameter_index(l->st, name)) == 0)
			continue;
		if (p == P_BELOW)
			sqlite3_bind_int64(l->st, i, l->below);
		else if (p == P_FROM)
			sqlite3_bind_int64(l->st, i, l->from);
		else if (p == P_EXIT)
			sqlite3_bind_int(l->st, i, l->f.exit_code);
		else if (p == P_QUERY)
			sqlite3_bind_text(
			    l->st, i, l->query, -1, SQLITE_STATIC);
		else if ((text = list_text(&l->f, (enum list_param)p)) != NULL)
			sqlite3_bind_text(l->st, i, text, -1, SQLITE_STATIC);
	}
}

static int64_t
time_cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

static int
step_too_long(void *arg)
{
	struct sqlite_list *l = arg;

	return (time_cpu_us() - l->step > STEP_US);
}

/* Steps until the page is full, until, or the end: then below is from. */
static enum store_result
list_steps(struct store *s, struct sqlite_list *l, int64_t until)
{
	struct store_found *f;
	int64_t place;
	int rc;

	list_bind(l);
	l->step = time_cpu_us();
	while ((rc = sqlite3_step(l->st)) == SQLITE_ROW) {
		FAILPOINT("takod.listing");
		place = sqlite3_column_int64(l->st, 0);
		if (sqlite3_column_int(l->st, 2) && l->skip-- <= 0) {
			f = &l->items[l->n++];
			f->place = place;
			strlcpy(f->id,
			    (const char *)sqlite3_column_text(l->st, 1),
			    sizeof(f->id));
		}
		l->below = place;
		if (l->n == (size_t)l->f.limit || time_mono_us() >= until)
			break;
		if (l->query[0] != '\0')
			l->step = time_cpu_us();
	}
	sqlite3_reset(l->st);
	if (rc == SQLITE_DONE)
		l->below = l->from;
	else if (rc == SQLITE_INTERRUPT)
		return (STORE_FAILED);
	else if (rc != SQLITE_ROW)
		return (sqlite_fault(s, rc));
	return (STORE_OK);
}

static enum store_result
list_unindexed(struct store *s, struct sqlite_list *l)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_UNINDEXED);
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		l->unindexed = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return (rc == SQLITE_ROW ? STORE_OK : sqlite_fault(s, rc));
}

enum store_result
call_list(struct store *s, struct store_op *op)
{
	struct sqlite_list *l = op->list;
	int64_t began = time_mono_us(), took;
	enum store_result r;
	int rc;

	if (l->refused)
		return (STORE_FAILED);
	if (l->st == NULL) {
		if (l->query[0] != '\0' &&
		    (r = list_unindexed(s, l)) != STORE_OK)
			return (r);
		if ((rc = list_prepare(s, l)) != SQLITE_OK)
			return (sqlite_fault(s, rc));
	}
	if (l->n == (size_t)l->f.limit || l->below <= l->from)
		return (STORE_OK);
	if (l->query[0] != '\0' && began < s->rested_at) {
		op->again = AGAIN_RESTED;
		return (STORE_OK);
	}
	if (l->query[0] != '\0')
		sqlite3_progress_handler(s->db, STEP_OPS, step_too_long, l);
	r = list_steps(s, l, began + PIECE_US);
	sqlite3_progress_handler(s->db, 0, NULL, NULL);
	took = time_mono_us() - began;
	if (l->query[0] != '\0' && took > REST_LEAST_US)
		s->rested_at = began + took * (1 + REST_TIMES);
	if (r != STORE_OK)
		return (r);
	if (l->n == (size_t)l->f.limit || l->below <= l->from)
		return (STORE_OK);
	if (time_mono_us() >= l->deadline)
		l->next = l->below;
	else
		op->again = AGAIN_NOW;
	return (STORE_OK);
}

/* ---- words --------------------------------------------------------------- */

/* A row of texts. -1: no memory. */
static int
texts_read(sqlite3_stmt *st, struct store_texts *t)
{
	struct index_text text[STORE_TEXTS];
	int i;

	t->seq = sqlite3_column_int64(st, 0);
	sqlite_get_text(st, 1, t->id, sizeof(t->id));
	for (i = 0; i < STORE_TEXTS; i++) {
		/* The bytes first, then their count. */
		text[i].data = sqlite3_column_blob(st, 2 + i);
		text[i].len = (size_t)sqlite3_column_bytes(st, 2 + i);
	}
	return (store_texts_fill(t, text));
}

enum store_result
call_to_index(struct store *s, struct store_op *op)
{
	int64_t until = time_mono_us() + INDEX_US;
	sqlite3_stmt *st = sqlite_stmt(s, S_TO_INDEX);
	int rc;

	sqlite3_bind_int(st, 1, op->flag);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW &&
	       texts_read(st, &op->texts[op->n_texts]) == 0)
		if (++op->n_texts == (size_t)op->flag || time_mono_us() > until)
			break;
	sqlite3_reset(st);
	if (rc == SQLITE_ROW && op->n_texts == 0)
		return (STORE_FAILED); /* no memory */
	return (rc == SQLITE_ROW || rc == SQLITE_DONE ? STORE_OK
						      : sqlite_fault(s, rc));
}

/* Runs one that has a job's seq, and its words. */
static int
words_run(struct store *s, enum statement which, const struct store_words *w)
{
	sqlite3_stmt *st = sqlite_stmt(s, which);
	int rc;

	sqlite3_bind_int64(st, 1, w->seq);
	if (which != S_INDEXED)
		sqlite3_bind_text64(st, 2, (const char *)blob_data(w->words),
		    blob_len(w->words), SQLITE_STATIC, SQLITE_UTF8);
	rc = sqlite_run(st);
	sqlite3_clear_bindings(st);
	return (rc);
}

/* Some of them: the others in a later turn, so that the loop goes on. */
enum store_result
call_indexed(struct store *s, struct store_op *op)
{
	int64_t until = time_mono_us() + INDEX_US;
	const struct store_words *w;
	int rc;

	while ((size_t)op->n1 < op->n_words) {
		w = &op->words[op->n1];
		if ((rc = words_run(s, S_INDEXED, w)) == SQLITE_DONE &&
		    sqlite3_changes(s->db) == 1 && blob_len(w->words) > 0 &&
		    (rc = words_run(s, S_WORDS, w)) == SQLITE_DONE)
			rc = words_run(s, S_INDEX, w);
		if (rc != SQLITE_DONE)
			return (sqlite_fault(s, rc));
		if ((size_t)++op->n1 < op->n_words && time_mono_us() > until) {
			op->again = AGAIN_NOW;
			break;
		}
	}
	return (STORE_OK);
}

enum store_result
sqlite_forget(struct store *s, const char *id)
{
	sqlite3_stmt *st = sqlite_stmt(s, S_FORGET);
	int rc;

	sqlite_put_text(st, 1, id);
	rc = sqlite_run(st);
	return (rc == SQLITE_DONE ? STORE_OK : sqlite_fault(s, rc));
}
