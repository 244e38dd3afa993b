/*
 * stream.c: takes the container's bytes apart into frames and lets those
 * through that are in order and within the caps. Runs in tako-worker. All of
 * it is hostile input: tako-init may be dead and its place taken. No
 * allocation follows a length from outside: the one buffer holds the largest
 * frame there is.
 */
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "msg.h"
#include "tako-worker.h"
#include "util.h"

#define DOCKER_HEAD   8
#define DOCKER_STDOUT 1
#define DOCKER_STDERR 2
#define MAX_SIGNAL    64

struct stream {
	struct stream_caps caps;
	stream_frame_cb cb;
	void *arg;
	enum stream_state state;
	const char *why;

	int mux;
	uint8_t docker[DOCKER_HEAD];
	size_t docker_got;
	size_t docker_left; /* bytes until the next head */
	int docker_skip;    /* they are stderr */

	uint8_t head[STREAM_HEAD];
	size_t head_got;
	uint8_t payload[STREAM_MAX];
	size_t payload_got, payload_len;

	uint64_t tagged; /* frames after READY */
	uint32_t files;
	uint64_t total;	    /* bytes of files */
	uint64_t file_left; /* of the present one */
};

#define AT(s) (1U << STREAM_AT_##s)

/* Which frame may come when, and how long it may be. */
static const struct {
	unsigned states;
	size_t min, max;
} rules[] = {
	[STREAM_HELLO] = { AT(HELLO), 8, 8 },
	[STREAM_READY] = { AT(BOOT), 0, 0 },
	[STREAM_STARTED] = { AT(GO), 0, 0 },
	[STREAM_STDOUT] = { AT(RUN), 1, STREAM_MAX },
	[STREAM_STDERR] = { AT(RUN), 1, STREAM_MAX },
	[STREAM_EXIT] = { AT(RUN), sizeof(struct stream_exit),
	    sizeof(struct stream_exit) },
	[STREAM_FILE_BEGIN] = { AT(FILES), 9, 8 + MAX_ARTIFACT_NAME },
	[STREAM_FILE_DATA] = { AT(FILE), 1, STREAM_MAX },
	[STREAM_FILE_END] = { AT(FILE), 1, 1 },
	[STREAM_SKIPPED] = { AT(FILES), 2, 1 + MAX_ARTIFACT_NAME },
	[STREAM_DONE] = { AT(FILES), 0, 0 },
	[STREAM_ERROR] = { AT(HELLO) | AT(BOOT) | AT(READY) | AT(GO) | AT(RUN),
	    0, STREAM_MAX },
	[STREAM_PRELOAD] = { AT(BOOT), 4, 4 },
};

struct stream *
stream_new(
    const struct stream_caps *caps, int mux, stream_frame_cb cb, void *arg)
{
	struct stream *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	s->caps = *caps;
	s->mux = mux;
	s->cb = cb;
	s->arg = arg;
	return (s);
}

void
stream_free(struct stream *s)
{
	free(s);
}

static int
broken(struct stream *s, const char *why)
{
	s->state = STREAM_BROKEN;
	s->why = why;
	return (-1);
}

/* ---- fields -------------------------------------------------------------- */

static uint32_t
get32(const uint8_t *p)
{
	return ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24);
}

static uint64_t
get64(const uint8_t *p)
{
	return (get32(p) | (uint64_t)get32(p + 4) << 32);
}

struct stream_exit
stream_exit_read(const uint8_t *p)
{
	struct stream_exit ex = { get32(p), get32(p + 4), get64(p + 8) };

	return (ex);
}

uint64_t
stream_size_read(const uint8_t *p)
{
	return (get64(p));
}

uint32_t
stream_bits_read(const uint8_t *p)
{
	return (get32(p));
}

/* A name as readdir(3) gives it. It is never used as a path, all the same. */
static int
name_good(const uint8_t *name, size_t len)
{
	if (memchr(name, '/', len) != NULL || memchr(name, '\0', len) != NULL)
		return (0);
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return (0);
	return (1);
}

/* ---- frames -------------------------------------------------------------- */

static int
check_exit(struct stream *s)
{
	struct stream_exit ex = stream_exit_read(s->payload);

	if (ex.end == END_EXITED ? ex.code > 255
				 : ex.end != END_SIGNALED || ex.code == 0 ||
				       ex.code > MAX_SIGNAL)
		return (broken(s, "impossible end"));
	if (ex.execution_us > MS_MAX_TIME)
		return (broken(s, "impossible time"));
	s->state = STREAM_AT_FILES;
	return (0);
}

static int
check_file_begin(struct stream *s)
{
	const uint8_t *name = s->payload + 8;
	size_t len = s->payload_len - 8;
	uint64_t size = get64(s->payload), max = s->caps.max_artifact;

	if (!name_good(name, len) || name[0] == '.')
		return (broken(s, "impossible name"));
	if (len == strlen(RESULT_NAME) && memcmp(name, RESULT_NAME, len) == 0)
		max = s->caps.max_result;
	if (size > max)
		return (broken(s, "file above its cap"));
	if (s->files >= s->caps.max_artifacts)
		return (broken(s, "more files than their cap"));
	if (size > s->caps.max_total - s->total)
		return (broken(s, "files above their cap"));
	s->files++;
	s->total += size;
	s->file_left = size;
	s->state = STREAM_AT_FILE;
	return (0);
}

static int
check_file_data(struct stream *s)
{
	if (s->payload_len > s->file_left)
		return (broken(s, "file longer than it said"));
	s->file_left -= s->payload_len;
	return (0);
}

static int
check_file_end(struct stream *s)
{
	if (s->payload[0] != (s->file_left == 0))
		return (broken(s, "file shorter than it said"));
	s->state = STREAM_AT_FILES;
	return (0);
}

static int
check_skipped(struct stream *s)
{
	if (s->payload[0] < SKIP_NOT_REGULAR || s->payload[0] > SKIP_IO)
		return (broken(s, "unknown reason"));
	if (!name_good(s->payload + 1, s->payload_len - 1))
		return (broken(s, "impossible name"));
	return (0);
}

static int
frame_check(struct stream *s, unsigned type)
{
	switch (type) {
	case STREAM_HELLO:
		if (get32(s->payload) != STREAM_VERSION)
			return (broken(s, "another version"));
		s->state = STREAM_AT_BOOT;
		return (0);
	case STREAM_READY:
		s->state = STREAM_AT_READY;
		return (0);
	case STREAM_STARTED:
		s->state = STREAM_AT_RUN;
		return (0);
	case STREAM_EXIT:
		return (check_exit(s));
	case STREAM_FILE_BEGIN:
		return (check_file_begin(s));
	case STREAM_FILE_DATA:
		return (check_file_data(s));
	case STREAM_FILE_END:
		return (check_file_end(s));
	case STREAM_SKIPPED:
		return (check_skipped(s));
	case STREAM_DONE:
		s->state = STREAM_AT_DONE;
		return (0);
	default:
		return (0);
	}
}

static int
head_check(struct stream *s)
{
	unsigned type = s->head[0];
	size_t len = get32(s->head + 4);
	uint8_t tag[STREAM_TAG] = { 0 };

	if (s->state >= STREAM_AT_READY)
		stream_tag(tag, s->caps.key, s->tagged++, (uint8_t)type,
		    (uint32_t)len);
	if (memcmp(tag, s->head + 1, sizeof(tag)) != 0)
		return (broken(s, "not the tag of tako-init"));
	if (type >= nitems(rules) || rules[type].states == 0)
		return (broken(s, "unknown frame"));
	if ((rules[type].states & (1U << s->state)) == 0)
		return (broken(s, "frame out of order"));
	if (len < rules[type].min || len > rules[type].max)
		return (broken(s, "frame of a wrong length"));
	s->payload_len = len;
	s->payload_got = 0;
	return (0);
}

/* Takes bytes towards want; returns how many. */
static size_t
gather(uint8_t *dst, size_t *got, size_t want, const uint8_t *p, size_t len)
{
	size_t n = want - *got < len ? want - *got : len;

	memcpy(dst + *got, p, n);
	*got += n;
	return (n);
}

static int
feed_plain(struct stream *s, const uint8_t *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (s->head_got < STREAM_HEAD) {
			n = gather(s->head, &s->head_got, STREAM_HEAD, p, len);
			p += n;
			len -= n;
			if (s->head_got < STREAM_HEAD)
				return (0);
			if (head_check(s) == -1)
				return (-1);
		}
		n = gather(s->payload, &s->payload_got, s->payload_len, p, len);
		p += n;
		len -= n;
		if (s->payload_got < s->payload_len)
			return (0);
		s->head_got = 0;
		if (frame_check(s, s->head[0]) == -1)
			return (-1);
		s->cb(s->arg, (enum stream_type)s->head[0], s->payload,
		    s->payload_len);
	}
	return (0);
}

static int
docker_head_check(struct stream *s)
{
	uint32_t n;

	if ((s->docker[1] | s->docker[2] | s->docker[3]) != 0 ||
	    (s->docker[0] != DOCKER_STDOUT && s->docker[0] != DOCKER_STDERR))
		return (broken(s, "no head of a multiplexed stream"));
	memcpy(&n, s->docker + 4, sizeof(n));
	s->docker_left = ntohl(n);
	s->docker_skip = s->docker[0] == DOCKER_STDERR;
	s->docker_got = 0;
	return (0);
}

static int
feed_mux(struct stream *s, const uint8_t *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (s->docker_left == 0) {
			n = gather(
			    s->docker, &s->docker_got, DOCKER_HEAD, p, len);
			p += n;
			len -= n;
			if (s->docker_got < DOCKER_HEAD)
				return (0);
			if (docker_head_check(s) == -1)
				return (-1);
			continue;
		}
		n = s->docker_left < len ? s->docker_left : len;
		if (!s->docker_skip && feed_plain(s, p, n) == -1)
			return (-1);
		s->docker_left -= n;
		p += n;
		len -= n;
	}
	return (0);
}

int
stream_feed(struct stream *s, const void *p, size_t len)
{
	if (s->state == STREAM_BROKEN)
		return (-1);
	return (s->mux ? feed_mux(s, p, len) : feed_plain(s, p, len));
}

void
stream_went(struct stream *s)
{
	if (s->state == STREAM_AT_READY)
		s->state = STREAM_AT_GO;
}

enum stream_state
stream_state(const struct stream *s)
{
	return (s->state);
}

const char *
stream_why(const struct stream *s)
{
	return (s->why);
}
