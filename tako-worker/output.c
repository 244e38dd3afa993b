/*
 * output.c: keeps a job's stdout or stderr within its cap and makes text of
 * it. Runs in tako-worker. What is kept are the first bytes, raw; of stderr
 * also the last, since the traceback stands at its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "blob.h"
#include "log.h"
#include "tako-worker.h"
#include "util.h"

#define TAIL 65536

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

struct output_text {
	size_t max;
	uint64_t seen;
	uint8_t *data;
	size_t len, size;
	uint8_t *tail; /* the last bytes, twice TAIL long, or NULL */
	size_t tail_len;
};

struct output_text *
output_new(size_t max, int tail)
{
	struct output_text *o = xcalloc(1, sizeof(*o));

	o->max = max;
	if (tail)
		o->tail = xmalloc(2 * TAIL);
	return (o);
}

void
output_free(struct output_text *o)
{
	if (o == NULL)
		return;
	free(o->data);
	free(o->tail);
	free(o);
}

static void
keep(struct output_text *o, const uint8_t *p, size_t len)
{
	uint8_t *data;
	size_t size;

	if (len > o->max - o->len)
		len = o->max - o->len;
	if (o->len + len > o->size) {
		size = o->size == 0 ? 4096 : 2 * o->size;
		while (size < o->len + len)
			size *= 2;
		if (size > o->max)
			size = o->max;
		if ((data = realloc(o->data, size)) == NULL)
			fatal(NULL);
		o->data = data;
		o->size = size;
	}
	if (len > 0)
		memcpy(o->data + o->len, p, len);
	o->len += len;
}

/* The buffer is twice as long as what must be there, so it moves seldom. */
static void
keep_tail(struct output_text *o, const uint8_t *p, size_t len)
{
	size_t old;

	if (len >= TAIL) {
		p += len - TAIL;
		len = TAIL;
		o->tail_len = 0;
	}
	if (o->tail_len + len > 2 * TAIL) {
		old = TAIL - len;
		memmove(o->tail, o->tail + o->tail_len - old, old);
		o->tail_len = old;
	}
	memcpy(o->tail + o->tail_len, p, len);
	o->tail_len += len;
}

void
output_add(struct output_text *o, const uint8_t *p, size_t len)
{
	o->seen += len;
	keep(o, p, len);
	if (o->tail != NULL)
		keep_tail(o, p, len);
}

uint64_t
output_seen(const struct output_text *o)
{
	return (o->seen);
}

const uint8_t *
output_last(const struct output_text *o, size_t *len, int *whole)
{
	*whole = o->seen == o->len;
	if (*whole || o->tail == NULL) {
		*len = o->len;
		return (o->data);
	}
	*len = o->tail_len;
	return (o->tail);
}

/*
 * Writes the text to dst, with U+FFFD for each byte that is none, up to max
 * bytes and never a part of a character. dst NULL: only counts. Returns the
 * length.
 */
static size_t
repair(const struct output_text *o, char *dst, size_t max)
{
	const uint8_t *p = o->data;
	size_t i = 0, n, at = 0;

	while (i < o->len) {
		n = utf8_span(p + i, o->len - i);
		if (n > max - at) {
			n = max - at;
			while (n > 0 && (p[i + n] & 0xc0) == 0x80)
				n--;
			if (dst != NULL)
				memcpy(dst + at, p + i, n);
			return (at + n);
		}
		if (dst != NULL)
			memcpy(dst + at, p + i, n);
		at += n;
		i += n;
		if (i == o->len)
			break;
		if (max - at < strlen(replacement))
			break;
		if (dst != NULL)
			memcpy(dst + at, replacement, strlen(replacement));
		at += strlen(replacement);
		i++;
	}
	return (at);
}

int
output_memfd(struct output_text *o, size_t *len, int *truncated)
{
	char notice[64];
	char *map = NULL;
	size_t room = 3 * o->len, note = 0;
	int fd;

	*len = repair(o, NULL, room);
	*truncated = o->seen > o->len || *len > o->max;
	if (*truncated) {
		note = (size_t)snprintf(notice, sizeof(notice),
		    "\n[TRUNCATED: output exceeded %zu bytes]", o->max);
		room = o->max - note;
		*len = repair(o, NULL, room) + note;
	}
	if ((fd = memfd_new("output")) == -1)
		return (-1);
	if (*len > 0) {
		if (ftruncate(fd, (off_t)*len) == -1)
			goto fail;
		map =
		    mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			goto fail;
		repair(o, map, room);
		memcpy(map + *len - note, notice, note);
		munmap(map, *len);
	}
	if (memfd_seal(fd) == 0)
		return (fd);
fail:
	close_fd(&fd);
	return (-1);
}
