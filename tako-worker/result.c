/*
 * result.c: what becomes of a job's result.json. Runs in tako-worker. The
 * bytes are kept in a memfd and judged once all are there and can change no
 * more; what is passed on is exactly what the job wrote.
 */
#include <stdlib.h>
#include <unistd.h>
#include <sys/mman.h>

#include "blob.h"
#include "json.h"
#include "tako-worker.h"
#include "util.h"

struct result {
	enum result_state state;
	int fd;
	size_t len;
};

struct result *
result_new(void)
{
	struct result *r = xcalloc(1, sizeof(*r));

	r->state = RESULT_ABSENT;
	r->fd = -1;
	return (r);
}

void
result_free(struct result *r)
{
	if (r == NULL)
		return;
	close_fd(&r->fd);
	free(r);
}

int
result_begin(struct result *r)
{
	r->fd = memfd_new("result");
	return (r->fd == -1 ? -1 : 0);
}

int
result_add(struct result *r, const uint8_t *p, size_t len)
{
	if (r->fd == -1)
		return (-1);
	if (write_all(r->fd, p, len) != (ssize_t)len) {
		close_fd(&r->fd);
		return (-1);
	}
	r->len += len;
	return (0);
}

static enum result_state
judge(const void *text, size_t len)
{
	struct json_doc doc;
	enum result_state state;

	json_scan(text, len, JSON_FINITE, &doc);
	switch (doc.error) {
	case JSON_OK:
		state = RESULT_OK;
		break;
	case JSON_DEPTH:
		state = RESULT_TOO_DEEP;
		break;
	case JSON_TOO_MUCH:
	case JSON_MEMORY:
		state = RESULT_TOO_LARGE;
		break;
	default:
		state = RESULT_INVALID_JSON;
	}
	json_doc_free(&doc);
	return (state);
}

void
result_end(struct result *r, int whole)
{
	void *map;

	/* Cut short, or empty, is no JSON; not kept is our own failure. */
	r->state = RESULT_INVALID_JSON;
	if (r->fd != -1 && whole && r->len > 0 && memfd_seal(r->fd) == 0) {
		map = mmap(NULL, r->len, PROT_READ, MAP_SHARED, r->fd, 0);
		if (map != MAP_FAILED) {
			r->state = judge(map, r->len);
			munmap(map, r->len);
		}
	}
	if (r->state != RESULT_OK)
		close_fd(&r->fd);
}

void
result_skipped(struct result *r, enum stream_skip why)
{
	if (r->state != RESULT_ABSENT)
		return;
	if (why == SKIP_TOO_LARGE || why == SKIP_TOTAL || why == SKIP_COUNT)
		r->state = RESULT_TOO_LARGE;
	else
		r->state = RESULT_NOT_REGULAR;
}

enum result_state
result_state(const struct result *r)
{
	return (r->state);
}

int
result_memfd(const struct result *r, size_t *len)
{
	*len = r->len;
	return (r->state == RESULT_OK ? r->fd : -1);
}
