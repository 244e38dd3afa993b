/*
 * handover.c: what tako-init is sent: the caps, then the job. Runs in
 * tako-worker. The job lies in a sealed memfd and goes from there to the
 * stream as the stream takes it; it is never copied. Bytes of the job mean
 * nothing here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "blob.h"
#include "tako-worker.h"
#include "util.h"

/* A row of frames of one type. */
struct part {
	enum stream_type type;
	const uint8_t *data;
	size_t len;
	int empty; /* one frame even if there are no bytes */
};

struct handover {
	int fd;
	struct stream_limits limits;
	struct part parts[4];
	int at, n;
	uint8_t head[STREAM_HEAD]; /* of the frame under way */
	size_t head_len, head_off, data_left;
	uint8_t *map;
	size_t map_len;
};

struct handover *
handover_new(int fd)
{
	struct handover *h;

	if ((h = calloc(1, sizeof(*h))) != NULL)
		h->fd = fd;
	return (h);
}

void
handover_free(struct handover *h)
{
	if (h == NULL)
		return;
	if (h->map != NULL)
		munmap(h->map, h->map_len);
	free(h);
}

static void
part_add(struct handover *h, enum stream_type type, const void *data,
    size_t len, int empty)
{
	struct part *p = &h->parts[h->n++];

	p->type = type;
	p->data = data;
	p->len = len;
	p->empty = empty;
}

void
handover_limits(struct handover *h, const struct stream_limits *limits)
{
	h->limits = *limits;
	part_add(h, STREAM_LIMITS, &h->limits, sizeof(h->limits), 0);
}

int
handover_job(struct handover *h, int memfd, size_t code, size_t input)
{
	void *map = MAP_FAILED;

	if (memfd_check(memfd) == (int64_t)(code + input))
		map = mmap(NULL, code + input, PROT_READ, MAP_SHARED, memfd, 0);
	close_fd(&memfd);
	if (map == MAP_FAILED)
		return (-1);
	h->map = map;
	h->map_len = code + input;
	part_add(h, STREAM_INPUT, h->map + code, input, 0);
	part_add(h, STREAM_CODE, h->map, code, 0);
	part_add(h, STREAM_GO, NULL, 0, 1);
	return (0);
}

/* Makes the head of the next frame; 0 when there is none. */
static int
frame_begin(struct handover *h)
{
	struct part *p;
	uint32_t n;

	while (
	    h->at < h->n && h->parts[h->at].len == 0 && !h->parts[h->at].empty)
		h->at++;
	if (h->at == h->n)
		return (0);
	p = &h->parts[h->at];
	h->data_left = p->len < STREAM_MAX ? p->len : STREAM_MAX;
	n = (uint32_t)h->data_left;
	memset(h->head, 0, sizeof(h->head));
	h->head[0] = (uint8_t)p->type;
	memcpy(h->head + 4, &n, sizeof(n));
	h->head_len = STREAM_HEAD;
	h->head_off = 0;
	p->empty = 0;
	return (1);
}

int
handover_send(struct handover *h)
{
	struct iovec iov[2];
	struct part *p;
	size_t n;
	ssize_t sent;

	for (;;) {
		if (h->head_off == h->head_len && h->data_left == 0 &&
		    !frame_begin(h))
			return (1);
		p = &h->parts[h->at];
		iov[0].iov_base = h->head + h->head_off;
		iov[0].iov_len = h->head_len - h->head_off;
		iov[1].iov_base = (void *)(uintptr_t)p->data;
		iov[1].iov_len = h->data_left;
		if ((sent = writev(h->fd, iov, 2)) == -1) {
			if (errno == EINTR)
				continue;
			return (errno == EAGAIN ? 0 : -1);
		}
		n = (size_t)sent < iov[0].iov_len ? (size_t)sent
						  : iov[0].iov_len;
		h->head_off += n;
		n = (size_t)sent - n;
		p->data += n;
		p->len -= n;
		h->data_left -= n;
	}
}
