/*
 * stream.c: fuzz target of the container's stream. The first byte says how the
 * rest is cut and whether it is multiplexed. What the parser lets through
 * must keep its promises: order, names, and the caps of files; and it must
 * let the same through however the bytes are cut.
 */
#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tako-worker/tako-worker.h"
#include "util.h"

static const struct stream_caps caps = { .max_artifact = 1000,
	.max_result = 2000,
	.max_total = 5000,
	.max_artifacts = 5 };

/* What came through, seen from outside of the parser. */
struct witness {
	struct stream *stream;
	unsigned exits, files, dones;
	uint64_t size, left, total;
	int open;
	SHA2_CTX digest;
};

static void
file_begin(struct witness *w, const uint8_t *p, size_t len)
{
	need(len > 8 && len <= 8 + MAX_ARTIFACT_NAME);
	need(memchr(p + 8, '/', len - 8) == NULL);
	need(memchr(p + 8, '\0', len - 8) == NULL && p[8] != '.');
	w->size = w->left = stream_size_read(p);
	w->total += w->size;
	w->open = 1;
	need(w->size <= caps.max_result && w->total <= caps.max_total);
	need(++w->files <= caps.max_artifacts);
}

static void
got(void *arg, enum stream_type type, const uint8_t *p, size_t len)
{
	struct witness *w = arg;
	struct stream_exit ex;
	uint8_t kind = (uint8_t)type;

	need(len <= STREAM_MAX && w->dones == 0);
	SHA256Update(&w->digest, &kind, 1);
	SHA256Update(&w->digest, p, len);
	switch (type) {
	case STREAM_READY:
		stream_went(w->stream);
		break;
	case STREAM_STDOUT:
	case STREAM_STDERR:
		need(w->exits == 0 && len > 0);
		break;
	case STREAM_EXIT:
		ex = stream_exit_read(p);
		need(len == sizeof(ex) && ++w->exits == 1);
		need(ex.end == END_EXITED || ex.end == END_SIGNALED);
		need(ex.code <= 255);
		break;
	case STREAM_FILE_BEGIN:
		need(w->exits == 1 && !w->open);
		file_begin(w, p, len);
		break;
	case STREAM_FILE_DATA:
		need(w->open && len <= w->left);
		w->left -= len;
		break;
	case STREAM_FILE_END:
		need(w->open && p[0] == (w->left == 0));
		w->open = 0;
		break;
	case STREAM_DONE:
		need(w->exits == 1 && !w->open);
		w->dones++;
		break;
	default:
		break;
	}
}

static enum stream_state
run(const uint8_t *p, size_t len, int mux, size_t piece,
    uint8_t digest[TAKO_SHA256])
{
	struct witness w;
	enum stream_state state;
	size_t n;

	memset(&w, 0, sizeof(w));
	SHA256Init(&w.digest);
	need((w.stream = stream_new(&caps, mux, got, &w)) != NULL);
	for (; len > 0; p += n, len -= n) {
		n = len < piece ? len : piece;
		if (stream_feed(w.stream, p, n) == -1)
			break;
	}
	state = stream_state(w.stream);
	need((state == STREAM_BROKEN) == (stream_why(w.stream) != NULL));
	need((state == STREAM_BROKEN) == (len > 0));
	SHA256Final(digest, &w.digest);
	stream_free(w.stream);
	return (state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint8_t one[TAKO_SHA256], other[TAKO_SHA256];
	int mux;

	if (len == 0)
		return (0);
	mux = p[0] & 1;
	need(run(p + 1, len - 1, mux, len, one) ==
	     run(p + 1, len - 1, mux, (size_t)(p[0] >> 1) + 1, other));
	need(memcmp(one, other, sizeof(one)) == 0);
	return (0);
}
