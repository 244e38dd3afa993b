/*
 * artifact_db.c: artifacts as rows of the store's database, in pieces, so that
 * every takod of the database has them. Runs in the parent, through store.h.
 *
 * A put sends one piece at a time, each durable when it is answered; a get
 * writes the pieces into a file without a name and hands out that. Neither
 * holds more than a piece in memory.
 */
#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact_store.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* Bytes of a piece: what one statement and one turn of the loop may take. */
#define PIECE (256 * 1024)

struct call {
	LIST_ENTRY(call) entry;
	struct artifact_store *s;
	struct artifact_place place;
	int chunk; /* the next, or the one that was asked for */
	void *arg;
	/* put */
	char folder[96];
	const struct artifact *list;
	int n, i;
	int fd; /* of file i, or -1 */
	uint64_t done;
	artifact_cb cb;
	/* get */
	struct artifact artifact;
	struct artifact_sink *sink;
	artifact_get_cb get_cb;
};

struct artifact_store {
	LIST_HEAD(, call) calls;
	struct artifact_place last; /* of the list under way */
	artifact_list_cb list_cb;
	void *list_arg;
};

static struct call *
call_new(
    struct artifact_store *s, const struct artifact_place *place, void *arg)
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->place = *place;
	c->arg = arg;
	c->fd = -1;
	LIST_INSERT_HEAD(&s->calls, c, entry);
	return (c);
}

static void
call_free(struct call *c)
{
	LIST_REMOVE(c, entry);
	close_fd(&c->fd);
	artifact_sink_free(c->sink);
	free(c);
}

static enum artifact_result
result_of(enum store_result result)
{
	switch (result) {
	case STORE_OK:
		return (ARTIFACT_OK);
	case STORE_NOT_FOUND:
		return (ARTIFACT_NOT_FOUND);
	case STORE_FAILED:
		return (ARTIFACT_FAILED);
	default:
		return (ARTIFACT_AWAY);
	}
}

/* ---- put --------------------------------------------------------------------
 */

static void put_next(struct call *);

static void
put_end(struct call *c, enum artifact_result result)
{
	artifact_cb cb = c->cb;
	void *arg = c->arg;

	if (result == ARTIFACT_OK)
		artifact_folder_remove(c->folder);
	call_free(c);
	artifact_answer(cb, result, arg);
}

static void
put_done(enum store_result result, void *arg)
{
	struct call *c = arg;

	if (result == STORE_OK)
		put_next(c);
	else
		put_end(c, result_of(result));
}

/* The next file, with something in it. 0: there is none. */
static int
file_next(struct call *c)
{
	char path[128];

	while (c->fd == -1 && c->i < c->n) {
		snprintf(path, sizeof(path), "%s/%d", c->folder,
		    c->list[c->i].number);
		c->fd = openat(
		    env.data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (c->fd == -1)
			return (-1);
		c->chunk = 0;
		c->done = 0;
		if (c->list[c->i].size == 0) {
			close_fd(&c->fd);
			c->i++;
		}
	}
	return (c->fd != -1);
}

static struct blob *
piece_read(struct call *c)
{
	uint64_t left = c->list[c->i].size - c->done;
	size_t len = left < PIECE ? (size_t)left : PIECE;
	uint8_t *p;

	if ((p = malloc(len)) == NULL)
		return (NULL);
	if (pread(c->fd, p, len, (off_t)c->done) != (ssize_t)len) {
		log_warnx("job %s: artifact %d is not as it was reported",
		    c->place.job_id, c->list[c->i].number);
		free(p);
		return (NULL);
	}
	return (blob_take(p, len));
}

static void
put_next(struct call *c)
{
	struct blob *piece;
	int more = file_next(c), number;

	if (more != 1) {
		put_end(c, more == 0 ? ARTIFACT_OK : ARTIFACT_FAILED);
		return;
	}
	if ((piece = piece_read(c)) == NULL) {
		put_end(c, ARTIFACT_FAILED);
		return;
	}
	number = c->list[c->i].number;
	c->done += blob_len(piece);
	if (c->done == c->list[c->i].size) {
		close_fd(&c->fd);
		c->i++;
	}
	env.store_ops->chunk_put(
	    env.store, &c->place, number, c->chunk++, piece, put_done, c);
	blob_unref(piece);
}

static void
db_put(struct artifact_store *s, const struct artifact_place *place,
    const char *folder, const struct artifact *list, int n, artifact_cb cb,
    void *arg)
{
	struct call *c = call_new(s, place, arg);

	strlcpy(c->folder, folder, sizeof(c->folder));
	c->list = list;
	c->n = n;
	c->cb = cb;
	put_next(c);
}

/* ---- get --------------------------------------------------------------------
 */

static void
get_end(struct call *c, enum artifact_result result)
{
	artifact_get_cb cb = c->get_cb;
	void *arg = c->arg;
	int fd = -1;

	if (result == ARTIFACT_OK) {
		fd = artifact_sink_done(c->sink, &c->artifact);
		c->sink = NULL;
		if (fd == -1)
			result = ARTIFACT_FAILED;
	}
	if (result == ARTIFACT_NOT_FOUND || result == ARTIFACT_FAILED)
		log_warnx("job %s: artifact %d is not whole in the database",
		    c->place.job_id, c->artifact.number);
	call_free(c);
	artifact_answer_get(cb, result, fd, arg);
}

static void get_next(struct call *);

static void
got_piece(enum store_result result, struct blob *piece, void *arg)
{
	struct call *c = arg;

	if (result != STORE_OK)
		get_end(c, result_of(result));
	else if (artifact_sink_add(
		     c->sink, blob_data(piece), blob_len(piece)) == -1) {
		log_warn("artifact spool");
		get_end(c, ARTIFACT_AWAY);
	} else {
		c->done += blob_len(piece);
		c->chunk++;
		get_next(c);
	}
	blob_unref(piece);
}

static void
get_next(struct call *c)
{
	if (c->done >= c->artifact.size)
		get_end(c, ARTIFACT_OK);
	else
		env.store_ops->chunk_get(env.store, &c->place,
		    c->artifact.number, c->chunk, got_piece, c);
}

static void
db_get(struct artifact_store *s, const struct artifact_place *place,
    const struct artifact *a, artifact_get_cb cb, void *arg)
{
	struct call *c = call_new(s, place, arg);

	c->artifact = *a;
	c->get_cb = cb;
	if ((c->sink = artifact_sink_new()) == NULL) {
		log_warn("artifact spool");
		get_end(c, ARTIFACT_AWAY);
	} else
		get_next(c);
}

/* ---- remove and list --------------------------------------------------------
 */

static void
removed(enum store_result result, void *arg)
{
	struct call *c = arg;
	artifact_cb cb = c->cb;

	if (result == STORE_OK) {
		env.store_ops->chunk_remove(env.store, &c->place, removed, c);
		return;
	}
	arg = c->arg;
	call_free(c);
	cb(result == STORE_NOT_FOUND ? ARTIFACT_OK : result_of(result), arg);
}

static void
db_remove(struct artifact_store *s, const struct artifact_place *place,
    artifact_cb cb, void *arg)
{
	struct call *c = call_new(s, place, arg);

	c->cb = cb;
	env.store_ops->chunk_remove(env.store, &c->place, removed, c);
}

static void
listed(enum store_result result, const struct artifact_found *found, size_t n,
    void *arg)
{
	struct artifact_store *s = arg;

	if (n > 0)
		s->last = found[n - 1].place;
	s->list_cb(result != STORE_OK ? result_of(result)
		   : n == 0	      ? ARTIFACT_NOT_FOUND
				      : ARTIFACT_OK,
	    found, n, s->list_arg);
}

static void
db_list(struct artifact_store *s, int first, artifact_list_cb cb, void *arg)
{
	if (first)
		memset(&s->last, 0, sizeof(s->last));
	s->list_cb = cb;
	s->list_arg = arg;
	env.store_ops->chunk_places(env.store, &s->last, listed, s);
}

/* ---- life -------------------------------------------------------------------
 */

static struct artifact_store *
db_open(
    struct event_base *base, const struct conf *conf, char *detail, size_t len)
{
	struct artifact_store *s = xcalloc(1, sizeof(*s));

	(void)base;
	(void)conf;
	(void)detail;
	(void)len;
	LIST_INIT(&s->calls);
	return (s);
}

/* After the store: what it still answers has come. */
static void
db_close(struct artifact_store *s)
{
	struct call *c;

	while ((c = LIST_FIRST(&s->calls)) != NULL)
		call_free(c);
	free(s);
}

const struct artifact_ops artifact_db = {
	.name = "database",
	.open = db_open,
	.close = db_close,
	.put = db_put,
	.get = db_get,
	.remove = db_remove,
	.list = db_list,
};
