/*
 * artifact_store.c: the artifact stores of this takod. Runs in the parent. The
 * one that is configured takes what is new; all that can be opened are, for
 * what was put into them before.
 */
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact_store.h"
#include "log.h"
#include "takod.h"
#include "util.h"

static struct {
	const struct artifact_ops *ops;
	struct artifact_store *store; /* NULL: cannot be opened */
} stores[] = {
	[ARTIFACTS_LOCAL] = { &artifact_local, NULL },
	[ARTIFACTS_DATABASE] = { &artifact_db, NULL },
	[ARTIFACTS_S3] = { &artifact_s3, NULL },
};

static size_t current; /* takes what is new */

int
artifact_store_open(char *detail, size_t len)
{
	size_t i;

	current = (size_t)env.conf->artifact_store;
	for (i = 0; i < nitems(stores); i++) {
		if (i == ARTIFACTS_S3 && env.conf->s3_bucket == NULL)
			continue;
		stores[i].store =
		    stores[i].ops->open(env.base, env.conf, detail, len);
		if (stores[i].store == NULL)
			return (-1);
	}
	return (0);
}

void
artifact_store_close(void)
{
	size_t i;

	for (i = 0; i < nitems(stores); i++)
		if (stores[i].store != NULL) {
			stores[i].ops->close(stores[i].store);
			stores[i].store = NULL;
		}
}

/* -1: no such store, or not one that is open here. "": before there were two */
static int
store_number(const char *name)
{
	size_t i;

	if (name[0] == '\0')
		name = artifact_local.name;
	for (i = 0; i < nitems(stores); i++)
		if (strcmp(stores[i].ops->name, name) == 0 &&
		    stores[i].store != NULL)
			return ((int)i);
	return (-1);
}

/* What comes from a row is no part of a path or a key before this. */
static int
place_good(const struct artifact_place *p)
{
	static const char chars[] = "0123456789abcdefghijklmnopqrstuvwxyz-";

	return (p->job_id[0] != '\0' && p->fence >= 0 &&
		p->job_id[strspn(p->job_id, chars)] == '\0');
}

static struct artifact_place
place_of(const struct job *job)
{
	struct artifact_place p = { .fence = job->fence };

	strlcpy(p.job_id, job->id, sizeof(p.job_id));
	return (p);
}

void
artifact_put(struct job *job, const char *folder, artifact_cb cb, void *arg)
{
	struct artifact_place place = place_of(job);

	strlcpy(job->artifact_store, stores[current].ops->name,
	    sizeof(job->artifact_store));
	stores[current].ops->put(stores[current].store, &place, folder,
	    job->artifacts, job->n_artifacts, cb, arg);
}

void
artifact_get(const struct job *job, const struct artifact *a,
    artifact_get_cb cb, void *arg)
{
	struct artifact_place place = place_of(job);
	int i = store_number(job->artifact_store);

	if (!place_good(&place))
		artifact_answer_get(cb, ARTIFACT_NOT_FOUND, -1, arg);
	else if (i == -1) {
		log_warnx("job %s: its artifacts lie in another store (%s) "
			  "than takod is configured for",
		    job->id, job->artifact_store);
		artifact_answer_get(cb, ARTIFACT_AWAY, -1, arg);
	} else
		stores[i].ops->get(stores[i].store, &place, a, cb, arg);
}

void
artifact_remove(const char *store, const struct artifact_place *place,
    artifact_cb cb, void *arg)
{
	int i = store_number(store);

	if (i == -1 || !place_good(place))
		artifact_answer(cb, ARTIFACT_NOT_FOUND, arg);
	else
		stores[i].ops->remove(stores[i].store, place, cb, arg);
}

const char *
artifact_store_name(int number)
{
	size_t i;

	for (i = 0; i < nitems(stores); i++)
		if (stores[i].store != NULL && number-- == 0)
			return (stores[i].ops->name);
	return (NULL);
}

void
artifact_list(int number, int first, artifact_list_cb cb, void *arg)
{
	int i = store_number(artifact_store_name(number));

	stores[i].ops->list(stores[i].store, first, cb, arg);
}

/* ---- answers ----------------------------------------------------------------
 */

struct answer {
	artifact_cb cb;
	artifact_get_cb get_cb;
	enum artifact_result result;
	int fd;
	void *arg;
};

static void
answer_now(int fd, short events, void *arg)
{
	struct answer *a = arg;

	(void)fd;
	(void)events;
	if (a->get_cb != NULL)
		a->get_cb(a->result, a->fd, a->arg);
	else
		a->cb(a->result, a->arg);
	free(a);
}

static void
answer(const struct answer *from)
{
	static const struct timeval at_once = { 0, 0 };
	struct answer *a = xmalloc(sizeof(*a));

	*a = *from;
	if (event_base_once(
		env.base, -1, EV_TIMEOUT, answer_now, a, &at_once) == -1)
		fatal(NULL);
}

void
artifact_answer(artifact_cb cb, enum artifact_result result, void *arg)
{
	struct answer a = { cb, NULL, result, -1, arg };

	answer(&a);
}

void
artifact_answer_get(
    artifact_get_cb cb, enum artifact_result result, int fd, void *arg)
{
	struct answer a = { NULL, cb, result, fd, arg };

	answer(&a);
}

/* ---- files ------------------------------------------------------------------
 */

void
artifact_folder_remove(const char *path)
{
	pool_folder_remove(path);
}

struct artifact_sink {
	int fd;
	uint64_t len;
	SHA2_CTX digest;
};

struct artifact_sink *
artifact_sink_new(void)
{
	struct artifact_sink *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	/* Without a name: it goes with its last descriptor. */
	s->fd = openat(env.data_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (s->fd == -1) {
		free(s);
		return (NULL);
	}
	SHA256Init(&s->digest);
	return (s);
}

int
artifact_sink_add(struct artifact_sink *s, const void *p, size_t len)
{
	s->len += len;
	SHA256Update(&s->digest, p, len);
	return (write_all(s->fd, p, len) == -1 ? -1 : 0);
}

int
artifact_sink_done(struct artifact_sink *s, const struct artifact *a)
{
	uint8_t digest[TAKO_SHA256];
	char path[64];
	int fd = -1;

	SHA256Final(digest, &s->digest);
	if (s->len == a->size && memcmp(digest, a->sha256, TAKO_SHA256) == 0) {
		/* Whoever gets it may not write. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	artifact_sink_free(s);
	return (fd);
}

void
artifact_sink_free(struct artifact_sink *s)
{
	if (s == NULL)
		return;
	close_fd(&s->fd);
	free(s);
}
