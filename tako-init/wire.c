/*
 * wire.c: the frames between tako-init and the worker (stream.h), in both
 * directions without blocking. Runs as PID 1 of a container. The worker is
 * trusted; when it is gone, there is nobody to run a job for, and this process
 * ends, and with it all of the container.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "tako-init.h"

#define FRAME	 (STREAM_HEAD + STREAM_MAX)
#define OUT_SIZE (4 * FRAME)

static uint8_t in[FRAME];
static size_t in_len;
static uint8_t out[OUT_SIZE];
static size_t out_off, out_len; /* what waits: out_off .. out_len */
static const uint8_t *key;	/* NULL: frames bear no tag yet */
static uint64_t tagged;

static void
gone(void)
{
	_exit(1);
}

void
wire_init(void)
{
	int fd, flags;

	for (fd = WIRE_IN; fd <= WIRE_OUT; fd++)
		if ((flags = fcntl(fd, F_GETFL)) == -1 ||
		    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
			gone();
}

/* ---- in ----------------------------------------------------------------- */

static size_t
payload_length(const uint8_t *head)
{
	uint32_t n;

	memcpy(&n, head + 4, sizeof(n));
	return (n);
}

void
wire_read(wire_frame_cb cb)
{
	size_t want, n;
	ssize_t got;

	for (;;) {
		want = STREAM_HEAD;
		if (in_len >= STREAM_HEAD) {
			if ((n = payload_length(in)) > STREAM_MAX)
				wire_fail("frame too long", NULL);
			want += n;
		}
		if (in_len >= STREAM_HEAD && in_len == want) {
			in_len = 0;
			cb(in[0], in + STREAM_HEAD, want - STREAM_HEAD);
			continue;
		}
		got = read(WIRE_IN, in + in_len, want - in_len);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1 && errno == EAGAIN)
			return;
		if (got <= 0)
			gone();
		in_len += (size_t)got;
	}
}

/* ---- out ---------------------------------------------------------------- */

static void
head_put(uint8_t *head, unsigned type, size_t len)
{
	uint32_t n = (uint32_t)len;

	memset(head, 0, STREAM_HEAD);
	head[0] = (uint8_t)type;
	if (key != NULL)
		stream_tag(head + 1, key, tagged++, (uint8_t)type, n);
	memcpy(head + 4, &n, sizeof(n));
}

int
wire_room(void)
{
	return (OUT_SIZE - out_len >= FRAME || out_off >= FRAME);
}

void
wire_tag(const uint8_t stream_key[STREAM_KEY])
{
	key = stream_key;
}

static void
compact(void)
{
	memmove(out, out + out_off, out_len - out_off);
	out_len -= out_off;
	out_off = 0;
}

int
wire_flush(void)
{
	ssize_t n;

	while (out_off < out_len) {
		n = write(WIRE_OUT, out + out_off, out_len - out_off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return (0);
		if (n <= 0)
			gone();
		out_off += (size_t)n;
	}
	out_off = out_len = 0;
	return (1);
}

static void
wait_writable(void)
{
	struct pollfd p = { WIRE_OUT, POLLOUT, 0 };

	poll(&p, 1, -1);
}

void
wire_wait_room(void)
{
	while (!wire_room())
		if (!wire_flush())
			wait_writable();
	if (OUT_SIZE - out_len < FRAME)
		compact();
}

void
wire_wait_empty(void)
{
	while (!wire_flush())
		wait_writable();
}

void
wire_wait_gone(void)
{
	struct pollfd p = { WIRE_IN, POLLIN, 0 };
	ssize_t got;

	for (;;) {
		poll(&p, 1, -1);
		got = read(WIRE_IN, in, sizeof(in));
		if (got == 0 ||
		    (got == -1 && errno != EAGAIN && errno != EINTR))
			return;
	}
}

void
wire_send(unsigned type, const void *head, size_t head_len, const void *data,
    size_t len)
{
	wire_wait_room();
	head_put(out + out_len, type, head_len + len);
	out_len += STREAM_HEAD;
	if (head_len > 0)
		memcpy(out + out_len, head, head_len);
	if (len > 0)
		memcpy(out + out_len + head_len, data, len);
	out_len += head_len + len;
}

long
wire_send_from(unsigned type, int fd, size_t max)
{
	ssize_t n;

	if (!wire_room()) {
		errno = ENOBUFS;
		return (-1);
	}
	if (OUT_SIZE - out_len < FRAME)
		compact();
	if (max > STREAM_MAX)
		max = STREAM_MAX;
	do
		n = read(fd, out + out_len + STREAM_HEAD, max);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		head_put(out + out_len, type, (size_t)n);
		out_len += STREAM_HEAD + (size_t)n;
	}
	return (n);
}

void
wire_fail(const char *what, const char *detail)
{
	wire_send(STREAM_ERROR, what, strlen(what), detail,
	    detail != NULL ? strlen(detail) : 0);
	wire_wait_empty();
	_exit(1);
}
