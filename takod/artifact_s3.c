/*
 * artifact_s3.c: artifacts as objects of an S3 service. Runs in the parent,
 * through s3_client.c.
 *
 *	<s3_prefix><job id>/<fence>/<number>
 *
 * A file above a part's size is uploaded in parts, of which nothing is to be
 * seen before the last step. An upload that is given up is aborted; one that
 * a former life left is found by list. A get is written into a file without a
 * name, which is handed out once its digest is the recorded one.
 */
#include <sys/queue.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include "artifact_store.h"
#include "log.h"
#include "s3_client.h"
#include "takod.h"
#include "util.h"

/* S3 takes parts of 5 MiB to 5 GiB, and 10000 of them. */
#define PART (UINT64_C(8) << 20)
#define ETAG 80
/* Objects of a page of a list. */
#define PAGE	ARTIFACT_LIST_MAX
#define MAX_KEY 1024

struct call {
	LIST_ENTRY(call) entry;
	struct artifact_store *s;
	struct artifact_place place;
	void *arg;
	artifact_cb cb;
	/* put */
	char folder[96];
	const struct artifact *list;
	int n, i;
	int fd;	      /* of file i, or -1 */
	char *upload; /* its id, encoded; NULL: none is under way */
	char (*etags)[ETAG];
	uint64_t parts, part;	  /* how many, and how many are there */
	enum artifact_result why; /* it is being aborted */
	/* get */
	struct artifact artifact;
	artifact_get_cb get_cb;
	/* remove, and the aborts of list */
	char *page;	  /* the list, as it came */
	const char *next; /* in it */
};

struct artifact_store {
	struct s3_client *client;
	char *prefix;
	LIST_HEAD(, call) calls;
	char last[MAX_KEY]; /* key; of the list under way */
	artifact_list_cb list_cb;
	void *list_arg;
	struct artifact_found found[PAGE];
};

static struct call *
call_new(
    struct artifact_store *s, const struct artifact_place *place, void *arg)
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->s = s;
	if (place != NULL)
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
	free(c->upload);
	free(c->etags);
	free(c->page);
	free(c);
}

static void
key_of(char key[128], const struct artifact_place *p, int number)
{
	snprintf(
	    key, 128, "%s/%lld/%d", p->job_id, (long long)p->fence, number);
}

static void
ask(struct call *c, const char *method, const char *key, const char *query,
    s3_cb cb)
{
	struct s3_ask a = {
		.method = method, .key = key, .query = query, .fd = -1
	};

	s3_client_ask(c->s->client, &a, cb, c);
}

/* ---- put --------------------------------------------------------------------
 */

static void put_next(struct call *);
static void part_next(struct call *);

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
aborted(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;

	(void)a; /* what is left of it is found by list */
	put_end(c, c->why);
}

static void
upload_query(const struct call *c, char *query, size_t len)
{
	snprintf(query, len, "uploadId=%s", c->upload);
}

/* Gives the upload up, if one is under way, and the put with it. */
static void
put_fail(struct call *c, enum artifact_result why)
{
	char key[128], query[MAX_KEY];

	/* A bucket or an upload that is gone is for somebody to mend. */
	c->why = why == ARTIFACT_NOT_FOUND ? ARTIFACT_AWAY : why;
	if (c->upload == NULL) {
		put_end(c, c->why);
		return;
	}
	key_of(key, &c->place, c->list[c->i].number);
	upload_query(c, query, sizeof(query));
	ask(c, "DELETE", key, query, aborted);
}

static void
file_end(struct call *c)
{
	close_fd(&c->fd);
	free(c->upload);
	c->upload = NULL;
	c->i++;
	put_next(c);
}

static void
put_done(const struct s3_answer *a, void *arg)
{
	if (a->result == ARTIFACT_OK)
		file_end(arg);
	else
		put_fail(arg, a->result);
}

static void
upload_finish(struct call *c)
{
	struct s3_ask a = { .method = "POST", .fd = -1 };
	char key[128], query[MAX_KEY], *text = NULL;
	size_t len;
	uint64_t i;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		fatal(NULL);
	fprintf(f, "<CompleteMultipartUpload>");
	for (i = 0; i < c->parts; i++)
		fprintf(f,
		    "<Part><PartNumber>%" PRIu64 "</PartNumber>"
		    "<ETag>%s</ETag></Part>",
		    i + 1, c->etags[i]);
	fprintf(f, "</CompleteMultipartUpload>");
	if (fclose(f) != 0)
		fatal(NULL);
	key_of(key, &c->place, c->list[c->i].number);
	upload_query(c, query, sizeof(query));
	a.key = key;
	a.query = query;
	a.text = text;
	s3_client_ask(c->s->client, &a, put_done, c);
	free(text);
}

static void
part_done(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;

	if (a->result == ARTIFACT_OK &&
	    strlcpy(c->etags[c->part], a->etag, ETAG) < ETAG &&
	    a->etag[strcspn(a->etag, "<>&")] == '\0') {
		c->part++;
		part_next(c);
	} else
		put_fail(
		    c, a->result == ARTIFACT_OK ? ARTIFACT_AWAY : a->result);
}

static void
part_next(struct call *c)
{
	struct s3_ask a = { .method = "PUT", .fd = c->fd };
	char key[128], query[MAX_KEY];
	uint64_t left;

	if (c->part == c->parts) {
		upload_finish(c);
		return;
	}
	key_of(key, &c->place, c->list[c->i].number);
	snprintf(query, sizeof(query), "partNumber=%" PRIu64 "&uploadId=%s",
	    c->part + 1, c->upload);
	a.key = key;
	a.query = query;
	a.off = c->part * PART;
	left = c->list[c->i].size - a.off;
	a.len = left < PART ? left : PART;
	s3_client_ask(c->s->client, &a, part_done, c);
}

/*
 * What is between the next <tag> and </tag> from *p on, which moves behind it.
 * 0: there is none. One that does not fit is cut.
 */
static int
element_next(const char **p, const char *tag, char *dst, size_t size)
{
	char open[32], close[32];
	const char *at, *end;

	snprintf(open, sizeof(open), "<%s>", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	if ((at = strstr(*p, open)) == NULL ||
	    (end = strstr(at += strlen(open), close)) == NULL)
		return (0);
	*p = end + strlen(close);
	if ((size_t)(end - at) >= size)
		end = at + size - 1;
	memcpy(dst, at, (size_t)(end - at));
	dst[end - at] = '\0';
	return (1);
}

/* The text of an element within another, in which order they may be. */
static int
element_in(const char *text, const char *tag, char *dst, size_t size)
{
	return (element_next(&text, tag, dst, size));
}

static void
upload_begun(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;
	char id[MAX_KEY / 4];

	if (a->result != ARTIFACT_OK ||
	    !element_in(a->text, "UploadId", id, sizeof(id))) {
		put_fail(
		    c, a->result == ARTIFACT_OK ? ARTIFACT_AWAY : a->result);
		return;
	}
	c->upload = s3_encode(xmalloc(3 * strlen(id) + 1), id);
	part_next(c);
}

/* The next file, at one go or in parts. */
static void
put_next(struct call *c)
{
	const struct artifact *f = &c->list[c->i];
	struct s3_ask a = { .method = "PUT", .query = "" };
	char path[128], key[128];
	struct stat st;

	if (c->i == c->n) {
		put_end(c, ARTIFACT_OK);
		return;
	}
	snprintf(path, sizeof(path), "%s/%d", c->folder, f->number);
	c->fd = openat(env.data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (c->fd == -1 || fstat(c->fd, &st) == -1 ||
	    (uint64_t)st.st_size != f->size) {
		log_warnx("job %s: artifact %d is not as it was reported",
		    c->place.job_id, f->number);
		put_end(c, ARTIFACT_FAILED);
		return;
	}
	key_of(key, &c->place, f->number);
	if (f->size > PART) {
		c->part = 0;
		c->parts = (f->size + PART - 1) / PART;
		free(c->etags);
		c->etags = xcalloc(c->parts, sizeof(*c->etags));
		ask(c, "POST", key, "uploads=", upload_begun);
		return;
	}
	a.key = key;
	a.fd = c->fd;
	a.len = f->size;
	a.sha256 = f->sha256;
	s3_client_ask(c->s->client, &a, put_done, c);
}

static void
s3_put(struct artifact_store *s, const struct artifact_place *place,
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
got(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;
	enum artifact_result result = a->result;
	artifact_get_cb cb = c->get_cb;
	int fd = -1;

	if (result == ARTIFACT_OK) {
		fd = artifact_sink_done(a->sink, &c->artifact);
		if (fd == -1)
			result = ARTIFACT_FAILED;
	}
	if (result == ARTIFACT_NOT_FOUND || result == ARTIFACT_FAILED)
		log_warnx("job %s: artifact %d is not whole in S3",
		    c->place.job_id, c->artifact.number);
	arg = c->arg;
	call_free(c);
	cb(result, fd, arg);
}

static void
s3_get(struct artifact_store *s, const struct artifact_place *place,
    const struct artifact *artifact, artifact_get_cb cb, void *arg)
{
	struct call *c = call_new(s, place, arg);
	struct s3_ask a = { .method = "GET", .query = "", .fd = -1, .sink = 1 };
	char key[128];

	c->artifact = *artifact;
	c->get_cb = cb;
	key_of(key, place, artifact->number);
	a.key = key;
	s3_client_ask(s->client, &a, got, c);
}

/* ---- lists ------------------------------------------------------------------
 */

#define PREFIX 300
/* The prefix of all keys and more, for a query. */
static char *
prefix_encode(
    const struct artifact_store *s, const char *more, char dst[3 * PREFIX])
{
	char prefix[PREFIX];

	snprintf(prefix, sizeof(prefix), "%s%s", s->prefix, more);
	return (s3_encode(dst, prefix));
}

/* Is it a key of ours? Then its place. */
static int
key_place(
    const struct artifact_store *s, const char *key, struct artifact_place *p)
{
	size_t len = strlen(s->prefix);
	const char *slash;
	char *end;

	if (strncmp(key, s->prefix, len) != 0 ||
	    (slash = strchr(key += len, '/')) == NULL ||
	    (size_t)(slash - key) > MAX_JOB_ID)
		return (0);
	memset(p, 0, sizeof(*p));
	memcpy(p->job_id, key, (size_t)(slash - key));
	p->fence = strtoll(slash + 1, &end, 10);
	return (job_id_valid(p->job_id) && p->fence > 0 && *end == '/' &&
		strspn(end + 1, "0123456789") == strlen(end + 1));
}

/* 2026-01-02T03:04:05.678Z; what is none such is not old. */
static int64_t
time_read(const char *s)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	if (strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
		return (time_wall_us());
	return ((int64_t)timegm(&tm) * 1000000);
}

/* ---- remove -----------------------------------------------------------------
 */

static void remove_list(struct call *);

static void
remove_end(struct call *c, enum artifact_result result)
{
	artifact_cb cb = c->cb;
	void *arg = c->arg;

	call_free(c);
	cb(result, arg);
}

static void
remove_next(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;
	struct artifact_place place;
	char key[MAX_KEY];

	if (a->result == ARTIFACT_AWAY || a->result == ARTIFACT_FAILED) {
		remove_end(c, a->result);
		return;
	}
	while (element_next(&c->next, "Key", key, sizeof(key)))
		if (key_place(c->s, key, &place)) {
			ask(c, "DELETE", key + strlen(c->s->prefix), "",
			    remove_next);
			return;
		}
	/* Perhaps that was a page of several. */
	if (strstr(c->page, "<IsTruncated>true<") != NULL)
		remove_list(c);
	else
		remove_end(c, ARTIFACT_OK);
}

static void
remove_listed(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;

	free(c->page);
	c->page = xstrdup(a->text);
	c->next = c->page;
	remove_next(a, c);
}

static void
remove_list(struct call *c)
{
	char query[2048], more[96], prefix[3 * PREFIX];

	snprintf(more, sizeof(more), "%s/", c->place.job_id);
	if (c->place.fence != 0)
		snprintf(more, sizeof(more), "%s/%lld/", c->place.job_id,
		    (long long)c->place.fence);
	snprintf(query, sizeof(query), "list-type=2&max-keys=%d&prefix=%s",
	    PAGE, prefix_encode(c->s, more, prefix));
	ask(c, "GET", "", query, remove_listed);
}

static void
s3_remove(struct artifact_store *s, const struct artifact_place *place,
    artifact_cb cb, void *arg)
{
	struct call *c = call_new(s, place, arg);

	c->cb = cb;
	remove_list(c);
}

/* ---- list -------------------------------------------------------------------
 */

static void
listed(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;
	struct artifact_store *s = c->s;
	struct artifact_found f;
	const char *p = a->text;
	char object[4 * MAX_KEY], key[MAX_KEY], when[64];
	size_t n = 0;
	int keys = 0;

	while (
	    n < PAGE && element_next(&p, "Contents", object, sizeof(object))) {
		if (!element_in(object, "Key", key, sizeof(key)) ||
		    !element_in(object, "LastModified", when, sizeof(when)))
			continue;
		keys++;
		strlcpy(s->last, key, sizeof(s->last));
		f.written = time_read(when);
		if (!key_place(s, key, &f.place))
			continue;
		/* The files of a place follow each other; the last one counts.
		 */
		if (n > 0 && memcmp(&s->found[n - 1].place, &f.place,
				 sizeof(f.place)) == 0)
			n--;
		s->found[n++] = f;
	}
	call_free(c);
	s->list_cb(a->result != ARTIFACT_OK ? a->result
		   : keys == 0		    ? ARTIFACT_NOT_FOUND
					    : ARTIFACT_OK,
	    s->found, n, s->list_arg);
}

static void
list_page(struct call *c)
{
	char query[5 * MAX_KEY], last[3 * MAX_KEY], prefix[3 * PREFIX];
	int n;

	n = snprintf(query, sizeof(query), "list-type=2&max-keys=%d&prefix=%s",
	    PAGE, prefix_encode(c->s, "", prefix));
	if (c->s->last[0] != '\0')
		snprintf(query + n, sizeof(query) - (size_t)n,
		    "&start-after=%s", s3_encode(last, c->s->last));
	ask(c, "GET", "", query, listed);
}

/* Uploads that nobody goes on with, one after the other, then the list. */
static void
uploads_next(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;
	struct artifact_place place;
	char upload[4 * MAX_KEY], key[MAX_KEY], id[MAX_KEY / 4], when[64];
	char query[MAX_KEY];

	(void)a;
	while (element_next(&c->next, "Upload", upload, sizeof(upload))) {
		if (!element_in(upload, "Key", key, sizeof(key)) ||
		    !element_in(upload, "UploadId", id, sizeof(id)) ||
		    !element_in(upload, "Initiated", when, sizeof(when)))
			continue;
		if (!key_place(c->s, key, &place) ||
		    time_read(when) > time_wall_us() - ARTIFACT_YOUNG_US)
			continue;
		log_info("retention: an upload of job %s that was given up is "
			 "aborted",
		    place.job_id);
		c->upload = s3_encode(xmalloc(3 * strlen(id) + 1), id);
		upload_query(c, query, sizeof(query));
		free(c->upload);
		c->upload = NULL;
		ask(c, "DELETE", key + strlen(c->s->prefix), query,
		    uploads_next);
		return;
	}
	list_page(c);
}

static void
uploads_listed(const struct s3_answer *a, void *arg)
{
	struct call *c = arg;

	c->page = xstrdup(a->text);
	c->next = c->page;
	uploads_next(a, c);
}

static void
s3_list(struct artifact_store *s, int first, artifact_list_cb cb, void *arg)
{
	struct call *c = call_new(s, NULL, NULL);
	char query[2048], prefix[3 * PREFIX];

	s->list_cb = cb;
	s->list_arg = arg;
	if (!first) {
		list_page(c);
		return;
	}
	s->last[0] = '\0';
	snprintf(query, sizeof(query),
	    "max-uploads=%d&prefix=%s&uploads=", PAGE,
	    prefix_encode(s, "", prefix));
	ask(c, "GET", "", query, uploads_listed);
}

/* ---- life -------------------------------------------------------------------
 */

static void
s3_close(struct artifact_store *s)
{
	struct call *c;

	s3_client_close(s->client);
	while ((c = LIST_FIRST(&s->calls)) != NULL)
		call_free(c);
	free(s->prefix);
	free(s);
}

static struct artifact_store *
s3_open(
    struct event_base *base, const struct conf *conf, char *detail, size_t len)
{
	struct artifact_store *s = xcalloc(1, sizeof(*s));

	LIST_INIT(&s->calls);
	s->prefix = xstrdup(conf->s3_prefix);
	if ((s->client = s3_client_open(base, conf, detail, len)) == NULL) {
		s3_close(s);
		return (NULL);
	}
	return (s);
}

const struct artifact_ops artifact_s3 = {
	.name = "s3",
	.open = s3_open,
	.close = s3_close,
	.put = s3_put,
	.get = s3_get,
	.remove = s3_remove,
	.list = s3_list,
};
