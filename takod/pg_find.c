/*
 * pg_find.c: lists and searches in PostgreSQL. Runs in the parent's loop.
 *
 * A list goes along an index from new to old, so many records a statement:
 * what is asked for beside the index is looked at there. A query first looks
 * among the newest records, one by one, which finds at once what many have;
 * if that does not fill the page, it is no word that most have, and the GIN
 * index gives all that there are. The planner has no say in which of them it
 * is: how rare a word is it only guesses, and it knows nothing of the page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "pg_store.h"
#include "store_list.h"
#include "util.h"

/* Records that one statement of a list looks at. */
#define LOOK_MIN 2000
#define LOOK_MAX 20000
/* Records a query looks at one by one, for each that is wanted. */
#define LOOK_TIMES 20
#define SKIP_MAX   (INT64_C(1) << 48)

struct pg_find {
	struct pg_conn *conn;
	void (*state_cb)(int up, void *arg);
	void *arg;
};

/* ---- lists -------------------------------------------------------------- */

struct list {
	struct pg_request req; /* first: each is the other's address */
	struct pg_find *find;
	struct store_filter f;
	enum pg_find_phase phase;
	struct pg_statement statement;
	char sql[3072];
	char query[WORDS_ASKED_MAX];
	int64_t from, below, skip, look, deadline;
	struct store_found *items;
	size_t n;
	store_page_cb cb;
	void *arg;
};

static int list_answered(struct pg_request *, enum store_result, PGresult *);

/*
 * look: the records looked at; hits: those of them that are meant. The last
 * row has no id: where looking ended (0: at the end), how many were meant, and
 * how many wait to be indexed.
 */
#define FOUND(unindexed)                                                       \
	" SELECT place, id, 0::bigint, 0::bigint FROM (SELECT place, id"       \
	" FROM hits ORDER BY place DESC OFFSET $11 LIMIT $12) AS found"        \
	" UNION ALL SELECT CASE WHEN count(*) < $10 THEN 0"                    \
	" ELSE min(place) END, NULL, (SELECT count(*) FROM hits), " unindexed  \
	" FROM look"
#define UNINDEXED                                                              \
	"(SELECT count(*) FROM (SELECT 1 FROM unindexed"                       \
	" LIMIT " STORE_UNINDEXED ") AS u)"

void
pg_find_sql(char *text, size_t len, const struct store_filter *f,
    enum pg_find_phase phase)
{
	struct list_sql sql;

	list_conditions(&sql, f, phase != PG_FIND_PLAIN);
	switch (phase) {
	case PG_FIND_PLAIN:
		snprintf(text, len,
		    "WITH look AS MATERIALIZED (SELECT place, id,"
		    " (%s) AS hit FROM jobs WHERE %splace < $1 AND place >= $2"
		    " ORDER BY place DESC LIMIT $10),"
		    " hits AS (SELECT place, id FROM look WHERE hit)" FOUND(
			"0::bigint"),
		    sql.rest, sql.by);
		break;
	case PG_FIND_NEWEST:
		snprintf(text, len,
		    "WITH look AS MATERIALIZED (SELECT place, seq,"
		    " words @@ $9::text::tsquery AS hit FROM search"
		    " WHERE place < $1 AND place >= $2"
		    " ORDER BY place DESC LIMIT $10),"
		    " hits AS MATERIALIZED (SELECT look.place, id FROM look"
		    " JOIN jobs ON jobs.seq = look.seq WHERE hit AND %s)" FOUND(
			UNINDEXED),
		    sql.rest);
		break;
	case PG_FIND_ALL:
		/* Sorted, then joined until there are enough. */
		snprintf(text, len,
		    "WITH hits AS MATERIALIZED (SELECT place, seq FROM search"
		    " WHERE words @@ $9::text::tsquery"
		    " AND place + 0 < $1 AND place + 0 >= $2)"
		    " SELECT hits.place, id, 0::bigint, 0::bigint"
		    " FROM (SELECT place, seq FROM hits"
		    " ORDER BY place DESC) AS hits"
		    " JOIN jobs ON jobs.seq = hits.seq WHERE %s"
		    " ORDER BY hits.place DESC OFFSET $11 LIMIT $12",
		    sql.rest);
		break;
	}
}

/* How many records the next statement looks at. */
static int64_t
list_look(const struct list *l)
{
	int64_t wanted = l->skip + l->f.limit - (int64_t)l->n, look;
	struct list_sql sql;

	list_conditions(&sql, &l->f, l->phase != PG_FIND_PLAIN);
	look = l->phase == PG_FIND_NEWEST ? wanted * LOOK_TIMES : wanted;
	/* Where each is meant, none is looked at for nothing. */
	if (look < LOOK_MIN && sql.n_rest > 0)
		look = LOOK_MIN;
	return (look < LOOK_MAX ? look : LOOK_MAX);
}

static void
list_send(struct list *l)
{
	struct pg_request *r = &l->req;
	int p;

	memset(r, 0, sizeof(*r));
	r->answer = list_answered;
	r->once = &l->statement;
	l->statement.types = "iitttitttiii";
	l->statement.sql = l->sql;
	l->look = list_look(l);
	pg_find_sql(l->sql, sizeof(l->sql), &l->f, l->phase);
	for (p = P_BELOW; p < P_MAX; p++)
		switch ((enum list_param)p) {
		case P_BELOW:
			pg_int(r, l->below);
			break;
		case P_FROM:
			pg_int(r, l->from);
			break;
		case P_EXIT:
			pg_int(r, l->f.exit_code);
			break;
		case P_QUERY:
			pg_text(r, l->query);
			break;
		case P_LOOK:
			pg_int(r, l->look);
			break;
		case P_SKIP:
			pg_int(r, l->skip);
			break;
		case P_LIMIT:
			pg_int(r, l->f.limit - (int64_t)l->n);
			break;
		default:
			pg_text(r, list_text(&l->f, (enum list_param)p));
		}
	pg_send(l->find->conn, r);
}

static int
list_done(
    struct list *l, enum store_result result, int64_t next, int64_t unindexed)
{
	struct store_page page;

	memset(&page, 0, sizeof(page));
	if (result == STORE_OK) {
		page.items = l->items;
		page.n = l->n;
		page.next = next;
		page.unindexed = unindexed;
	}
	l->cb(result, &page, l->arg);
	free(l->items);
	free(l);
	return (0);
}

static int
list_answered(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct list *l = (struct list *)(void *)r;
	int64_t unindexed = 0, hits = 0;
	struct store_found *f;
	int row;

	if (result != STORE_OK)
		return (list_done(l, result, 0, 0));
	if (l->phase != PG_FIND_ALL)
		l->below = l->from;
	for (row = 0; row < PQntuples(res); row++) {
		if (PQgetisnull(res, row, 1)) {
			if (pg_get_int(res, row, 0) != 0)
				l->below = pg_get_int(res, row, 0);
			hits = pg_get_int(res, row, 2);
			unindexed = pg_get_int(res, row, 3);
			continue;
		}
		f = &l->items[l->n++];
		f->place = pg_get_int(res, row, 0);
		strlcpy(f->id, PQgetvalue(res, row, 1), sizeof(f->id));
	}
	if (l->n == (size_t)l->f.limit || l->phase == PG_FIND_ALL ||
	    l->below <= l->from)
		return (list_done(l, STORE_OK, 0, unindexed));
	if (time_mono_us() >= l->deadline)
		return (list_done(l, STORE_OK, l->below, unindexed));
	l->skip = l->skip > hits ? l->skip - hits : 0;
	if (l->phase == PG_FIND_NEWEST)
		l->phase = PG_FIND_ALL;
	list_send(l);
	return (0);
}

void
pg_find_list(struct pg_find *find, const struct store_filter *f,
    store_page_cb cb, void *arg)
{
	/* A call must be answered: without 8 KB there is no going on. */
	struct list *l = xcalloc(1, sizeof(*l));

	l->find = find;
	l->f = *f;
	l->cb = cb;
	l->arg = arg;
	l->items = xcalloc((size_t)f->limit + 1, sizeof(*l->items));
	/* So far there are never records; and sums stay in their bounds. */
	l->skip = f->offset < SKIP_MAX ? f->offset : SKIP_MAX;
	l->deadline = time_mono_us() + STORE_LIST_US;
	list_range(f, &l->from, &l->below);
	if (f->query[0] != '\0') {
		/* One that is none finds nothing: it was refused before. */
		if (words_asked(l->query, f->query, WORDS_TSQUERY) == -1)
			l->query[0] = '\0';
		l->phase = PG_FIND_NEWEST;
	}
	list_send(l);
}

/* ---- words -------------------------------------------------------------- */

struct texts {
	struct pg_request req; /* first */
	store_texts_cb cb;
	void *arg;
};

static const struct pg_statement to_index = { "i",
	"SELECT u.seq, jobs.id, " INDEX_COLUMNS(
	    "octet_length") " FROM (SELECT seq"
			    " FROM unindexed ORDER BY seq LIMIT $1) AS u"
			    " JOIN jobs ON jobs.seq = u.seq"
			    " LEFT JOIN payloads ON payloads.id = jobs.id"
			    " LEFT JOIN outputs ON outputs.id = jobs.id" };

/* -1: no memory. */
static int
texts_read(const PGresult *res, int row, struct store_texts *t)
{
	struct index_text text[STORE_TEXTS];
	int i;

	t->seq = pg_get_int(res, row, 0);
	pg_get_text(res, row, 1, t->id, sizeof(t->id));
	for (i = 0; i < STORE_TEXTS; i++) {
		text[i].data = PQgetvalue(res, row, 2 + i);
		text[i].len = (size_t)PQgetlength(res, row, 2 + i);
	}
	return (store_texts_fill(t, text));
}

static int
texts_answered(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct texts *x = (struct texts *)(void *)r;
	struct store_texts texts[STORE_INDEX_MAX];
	int i, n = 0, rows = result == STORE_OK ? PQntuples(res) : 0;

	memset(texts, 0, sizeof(texts));
	while (n < rows && n < STORE_INDEX_MAX &&
	       texts_read(res, n, &texts[n]) == 0)
		n++;
	if (rows > 0 && n == 0)
		result = STORE_FAILED; /* no memory */
	x->cb(result, texts, (size_t)n, x->arg);
	for (i = 0; i < n; i++)
		blob_unref(texts[i].texts);
	free(x);
	return (0);
}

void
pg_find_to_index(struct pg_find *find, int max, store_texts_cb cb, void *arg)
{
	struct texts *x = xcalloc(1, sizeof(*x));

	x->cb = cb;
	x->arg = arg;
	x->req.once = &to_index;
	x->req.answer = texts_answered;
	pg_int(&x->req, max);
	pg_send(find->conn, &x->req);
}

/* Words on their way: all at once or, if that was refused, one by one. */
struct indexing {
	struct pg_request req; /* first */
	struct pg_find *find;
	store_cb cb;
	void *arg;
	struct pg_request one[STORE_INDEX_MAX]; /* the parameters of each */
	int64_t seq[STORE_INDEX_MAX];
	char *vector[STORE_INDEX_MAX];
	void *arrays;
	int n, at, many; /* many of them from at on are under way */
};

/* Somebody else may be at some, and some may be gone. */
static const struct pg_statement index_some = { "IT",
	"WITH given AS (SELECT * FROM unnest($1, $2) AS g (g_seq, vector)),"
	" mine AS (DELETE FROM unindexed WHERE seq IN (SELECT seq FROM given"
	" JOIN unindexed ON seq = g_seq FOR UPDATE OF unindexed SKIP LOCKED)"
	" RETURNING seq)"
	" INSERT INTO search (seq, place, words)"
	" SELECT seq, place, vector::tsvector FROM mine JOIN jobs USING (seq)"
	" JOIN given ON g_seq = seq WHERE vector <> ''"
	" ON CONFLICT DO NOTHING" };

static int indexing_answered(
    struct pg_request *, enum store_result, PGresult *);

static void
indexing_send(struct indexing *x)
{
	struct pg_request *of[STORE_INDEX_MAX];
	int i;

	free(x->arrays);
	for (i = 0; i < x->many; i++) {
		of[i] = &x->one[x->at + i];
		of[i]->n = 0;
		of[i]->bytes = 0;
		pg_int(of[i], x->seq[x->at + i]);
		pg_text(of[i], x->vector[x->at + i]);
	}
	memset(&x->req, 0, sizeof(x->req));
	x->req.once = &index_some;
	x->req.answer = indexing_answered;
	x->arrays = pg_arrays(&x->req, "it", of, x->many);
	pg_send(x->find->conn, &x->req);
}

static void
indexing_done(struct indexing *x, enum store_result result)
{
	x->cb(result, x->arg);
	while (x->n > 0)
		free(x->vector[--x->n]);
	free(x->arrays);
	free(x);
}

static int
indexing_answered(struct pg_request *r, enum store_result result, PGresult *res)
{
	struct indexing *x = (struct indexing *)(void *)r;

	(void)res;
	if (result == STORE_OK) {
		x->at += x->many;
		x->many = 1;
	} else if (result == STORE_FAILED && x->many > 1)
		x->many = 1;
	else if (result == STORE_FAILED && x->vector[x->at][0] != '\0') {
		/* It is done with all the same, or it would come for ever. */
		log_warnx("record %lld cannot be searched for",
		    (long long)x->seq[x->at]);
		x->vector[x->at][0] = '\0';
	} else {
		indexing_done(x, result);
		return (0);
	}
	if (x->at < x->n)
		indexing_send(x);
	else
		indexing_done(x, STORE_OK);
	return (0);
}

void
pg_find_indexed(struct pg_find *find, const struct store_words *words, size_t n,
    store_cb cb, void *arg)
{
	struct indexing *x = xcalloc(1, sizeof(*x));
	const struct blob *b;

	x->find = find;
	x->cb = cb;
	x->arg = arg;
	for (; x->n < (int)n; x->n++) {
		b = words[x->n].words;
		x->seq[x->n] = words[x->n].seq;
		x->vector[x->n] =
		    words_vector((const char *)blob_data(b), blob_len(b));
		if (x->vector[x->n] == NULL) {
			log_warn("record %lld cannot be searched for",
			    (long long)x->seq[x->n]);
			x->vector[x->n] = xstrdup("");
		}
	}
	x->many = x->n;
	indexing_send(x);
}

/* ---- the session -------------------------------------------------------- */

static int
settled(struct pg_request *r, enum store_result result, PGresult *res)
{
	(void)result;
	(void)res;
	free(r);
	return (0);
}

/*
 * The statements above say in which order things are to be done: by an index,
 * and joined row by row. Bitmaps are made no larger than they are anyway, but
 * must stay exact.
 */
static void
up(void *arg)
{
	static const struct pg_statement settings = { "", PG_FIND_SETTINGS };
	struct pg_find *find = arg;
	struct pg_request *r = xcalloc(1, sizeof(*r));

	r->once = &settings;
	r->answer = settled;
	pg_send(find->conn, r);
	find->state_cb(1, find->arg);
}

/* Why is logged; the other connection has the same reason, if it matters. */
static void
down(const char *detail, void *arg)
{
	struct pg_find *find = arg;

	(void)detail;
	find->state_cb(0, find->arg);
}

static void
notified(const char *words, void *arg)
{
	(void)words;
	(void)arg;
}

static const struct pg_hooks hooks = { up, down, notified };

struct pg_find *
pg_find_open(struct event_base *base, const char *url, const char *node,
    const char *life, void (*state_cb)(int, void *), void *arg, char *detail,
    size_t len)
{
	struct pg_find *find = xcalloc(1, sizeof(*find));
	char name[MAX_NODE + 8], session[32];

	find->state_cb = state_cb;
	find->arg = arg;
	snprintf(name, sizeof(name), "%s/find", node);
	snprintf(session, sizeof(session), "%s/find", life);
	/* It takes no jobs: its sessions need no lease. */
	find->conn = pg_conn_open(
	    base, url, name, session, 0, NULL, 0, &hooks, find, detail, len);
	if (find->conn == NULL) {
		free(find);
		return (NULL);
	}
	return (find);
}

void
pg_find_close(struct pg_find *find)
{
	pg_conn_close(find->conn);
	free(find);
}
