/*
 * artifact.c: the files of a job, written by number into a directory where
 * this process may create files and do nothing else. Runs in tako-worker. A
 * job's own names are data: they are told to the parent and never used.
 */
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "tako-worker.h"
#include "util.h"

#define HEAD 512 /* bytes that a file's type is read from */

struct file_name {
	uint8_t *data;
	size_t len;
};

struct artifacts {
	int dir;
	int fd; /* of the present file, or of a failed one to be used again */
	int failed;
	unsigned count;
	struct file_name *names; /* all that came, the present one last */
	size_t n_names;
	uint64_t size;
	SHA2_CTX digest;
	uint8_t head[HEAD];
	size_t head_len;
};

struct artifacts *
artifacts_new(int dirfd)
{
	struct artifacts *a = xcalloc(1, sizeof(*a));

	a->dir = dirfd;
	a->fd = -1;
	return (a);
}

void
artifacts_free(struct artifacts *a)
{
	size_t i;

	if (a == NULL)
		return;
	for (i = 0; i < a->n_names; i++)
		free(a->names[i].data);
	free(a->names);
	close_fd(&a->fd);
	close_fd(&a->dir);
	free(a);
}

static int
name_seen(const struct artifacts *a, const uint8_t *name, size_t len)
{
	size_t i;

	for (i = 0; i < a->n_names; i++)
		if (a->names[i].len == len &&
		    memcmp(a->names[i].data, name, len) == 0)
			return (1);
	return (0);
}

static void
name_add(struct artifacts *a, const uint8_t *name, size_t len)
{
	struct file_name *names;

	names = reallocarray(a->names, a->n_names + 1, sizeof(*names));
	if (names == NULL)
		fatal(NULL);
	a->names = names;
	a->names[a->n_names].data = xmalloc(len);
	memcpy(a->names[a->n_names].data, name, len);
	a->names[a->n_names++].len = len;
}

int
artifacts_begin(struct artifacts *a, const uint8_t *name, size_t len)
{
	char number[16];

	if (name_seen(a, name, len))
		return (-1);
	name_add(a, name, len);
	a->size = 0;
	a->head_len = 0;
	a->failed = 0;
	SHA256Init(&a->digest);
	if (a->fd == -1) {
		snprintf(number, sizeof(number), "%u", a->count);
		a->fd = openat(a->dir, number,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} else if (lseek(a->fd, 0, SEEK_SET) == -1)
		a->failed = 1;
	if (a->fd == -1 || a->failed) {
		log_warn("artifact %u", a->count);
		a->failed = 1;
	}
	return (0);
}

void
artifacts_add(struct artifacts *a, const uint8_t *p, size_t len)
{
	size_t n = HEAD - a->head_len;

	if (a->failed)
		return;
	if (n > len)
		n = len;
	memcpy(a->head + a->head_len, p, n);
	a->head_len += n;
	a->size += len;
	SHA256Update(&a->digest, p, len);
	if (write_all(a->fd, p, len) == -1) {
		log_warn("artifact %u", a->count);
		a->failed = 1;
	}
}

int
artifacts_end(struct artifacts *a, int whole, struct artifact_done *done)
{
	const struct file_name *name = &a->names[a->n_names - 1];

	if (whole && !a->failed && fsync(a->fd) == -1) {
		log_warn("artifact %u", a->count);
		a->failed = 1;
	}
	if (!whole || a->failed) {
		/* Nothing can be removed here: the next file gets its number.
		 */
		if (a->fd != -1 && ftruncate(a->fd, 0) == -1)
			log_warn("artifact %u", a->count);
		return (0);
	}
	close_fd(&a->fd);
	done->number = a->count++;
	done->size = a->size;
	done->name = name->data;
	done->name_len = name->len;
	SHA256Final(done->sha256, &a->digest);
	done->content_type =
	    artifact_type(name->data, name->len, a->head, a->head_len);
	return (1);
}

unsigned
artifacts_count(const struct artifacts *a)
{
	return (a->count);
}

/* ---- the type of a file -------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t off, len;
	const char *type;
} magics[] = {
	{ "\x89PNG\r\n\x1a\n", 0, 8, "image/png" },
	{ "\xff\xd8\xff", 0, 3, "image/jpeg" },
	{ "GIF87a", 0, 6, "image/gif" },
	{ "GIF89a", 0, 6, "image/gif" },
	{ "WEBP", 8, 4, "image/webp" },
	{ "%PDF-", 0, 5, "application/pdf" },
	{ "PK\x03\x04", 0, 4, "application/zip" },
	{ "\x1f\x8b", 0, 2, "application/gzip" },
	{ "SQLite format 3\0", 0, 16, "application/vnd.sqlite3" },
	{ "PAR1", 0, 4, "application/vnd.apache.parquet" },
	{ "WAVE", 8, 4, "audio/wav" },
};

/* Only of files whose first bytes are text. */
static const struct {
	const char *end, *type;
} text_names[] = {
	{ ".txt", "text/plain" },
	{ ".log", "text/plain" },
	{ ".md", "text/markdown" },
	{ ".csv", "text/csv" },
	{ ".tsv", "text/tab-separated-values" },
	{ ".json", "application/json" },
	{ ".html", "text/html" },
	{ ".xml", "application/xml" },
	{ ".svg", "image/svg+xml" },
	{ ".yaml", "application/yaml" },
	{ ".yml", "application/yaml" },
	{ ".py", "text/x-python" },
};

static int
is_text(const uint8_t *head, size_t len)
{
	size_t i, n = utf8_span(head, len);

	/* A character may be cut at the end of what was looked at. */
	if (n < len && (len < HEAD || len - n > 3))
		return (0);
	for (i = 0; i < n; i++)
		if (head[i] < 0x20 && strchr("\t\n\r\f\x1b", head[i]) == NULL)
			return (0);
	return (1);
}

const char *
artifact_type(
    const uint8_t *name, size_t name_len, const uint8_t *head, size_t len)
{
	size_t i, n;

	for (i = 0; i < nitems(magics); i++)
		if (len >= magics[i].off + magics[i].len &&
		    memcmp(head + magics[i].off, magics[i].bytes,
			magics[i].len) == 0)
			return (magics[i].type);
	if (!is_text(head, len))
		return ("application/octet-stream");
	for (i = 0; i < nitems(text_names); i++) {
		n = strlen(text_names[i].end);
		if (name_len > n &&
		    strncasecmp((const char *)name + name_len - n,
			text_names[i].end, n) == 0)
			return (text_names[i].type);
	}
	return (len > 0 ? "text/plain" : "application/octet-stream");
}
