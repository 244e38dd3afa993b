/*
 * diff.h: what differs between two texts, line by line, as diff -u shows it.
 * Used by tako-api and takoctl, on what a job or a client wrote: any bytes.
 */
#ifndef DIFF_H
#define DIFF_H

#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

enum diff_result {
	DIFF_SAME,    /* byte by byte; nothing was written */
	DIFF_DIFFERS, /* out has it */
	DIFF_TOO_MUCH /* more than is worth the time; nothing was written */
};

struct diff_text {
	const char *name; /* in the heading */
	const uint8_t *data;
	size_t len;
};

/* Lines that were added and removed; lines of each, when it was too much. */
struct diff_count {
	size_t added, removed;
	size_t lines[2];
};

/*
 * Appends a unified diff with three lines around each change. Gives up at
 * until (monotonic us), and beyond bounds of its own, which also bound what
 * is written to DIFF_MAX bytes. No memory is fatal.
 */
#define DIFF_MAX ((size_t)1 << 20)
enum diff_result diff_unified(struct evbuffer *out, const struct diff_text *a,
    const struct diff_text *b, int64_t until, struct diff_count *);

/*
 * JSON with a line for each value, so that it can be compared by lines; text
 * that is none comes back in some form. malloc'ed; NULL when it is too long.
 */
uint8_t *diff_json(const uint8_t *, size_t len, size_t *out_len);

#endif
