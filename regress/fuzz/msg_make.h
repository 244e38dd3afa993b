/*
 * msg_make.h: messages whose fields follow from the bytes of an input and keep
 * the bounds of the catalogue, and what a fuzz target else takes from them. An
 * input that is used up goes on with zeros.
 */
#ifndef MSG_MAKE_H
#define MSG_MAKE_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "blob.h"
#include "msg.h"
#include "msg_type.h"
#include "util.h"

struct input {
	const uint8_t *p;
	size_t len;
};

union message {
	uint64_t token; /* what all of a worker's begin with */
#define X(TYPE, name, sender, descriptor) struct msg_##name name;
	MSG_CATALOGUE(X)
#undef X
};

static inline uint8_t
take_byte(struct input *in)
{
	if (in->len == 0)
		return (0);
	in->len--;
	return (*in->p++);
}

static inline unsigned
take_word(struct input *in)
{
	unsigned high = take_byte(in);

	return (high << 8 | take_byte(in));
}

/* So many bytes, or what is left of them. */
static inline struct input
take_part(struct input *in, size_t len)
{
	struct input part = { in->p, len < in->len ? len : in->len };

	in->p += part.len;
	in->len -= part.len;
	return (part);
}

/* Small ones and both bounds by a byte, others by nine. */
static inline uint64_t
make_number(struct input *in, uint64_t range)
{
	uint64_t n = take_byte(in);
	unsigned i;

	if (n == 255)
		return (range);
	if (n >= 240)
		for (i = 0; i < sizeof(n); i++)
			n = n << 8 | take_byte(in);
	return (n <= range ? n : n % (range + 1));
}

/* Every byte is a character below U+0100, but for NUL. */
static inline void
make_text(struct input *in, char *dst, size_t max)
{
	size_t n = take_byte(in), at = 0;
	uint8_t c;

	for (; n > 0 && at + 2 <= max; n--) {
		c = take_byte(in);
		if (c >= 0x80)
			dst[at++] = (char)(0xc0 | c >> 6);
		dst[at++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f)
				   : c == 0  ? 'a'
					     : c);
	}
	dst[at] = '\0';
}

static inline uint32_t
make_bytes(struct input *in, uint8_t *dst, size_t max)
{
	struct input part = take_part(in, take_byte(in));

	if (part.len > max)
		part.len = max;
	if (part.len > 0)
		memcpy(dst, part.p, part.len);
	return ((uint32_t)part.len);
}

#define MAKE_U(field, min, max)                                                \
	m->field = (min) + make_number(in, (uint64_t)(max) - (min));
#define MAKE_I(field, min, max)                                                \
	m->field =                                                             \
	    (int64_t)((uint64_t)(min) +                                        \
		      make_number(in, (uint64_t)(max) - (uint64_t)(min)));
#define MAKE_S(field, max) make_text(in, m->field, max);
#define MAKE_B(field, max) m->field.len = make_bytes(in, m->field.data, max);
#define MAKE_D(field, len)                                                     \
	memset(m->field, 0, len);                                              \
	make_bytes(in, m->field, len);
#define X(TYPE, name, sender, fd)                                              \
	static inline void make_##name(struct input *in, struct msg_##name *m) \
	{                                                                      \
		MSG_##TYPE(MAKE_U, MAKE_I, MAKE_S, MAKE_B, MAKE_D)             \
	}
MSG_CATALOGUE(X)
#undef X

static inline void
make_message(struct input *in, uint32_t type, union message *m)
{
	switch (type) {
#define X(TYPE, name, sender, fd)                                              \
	case MSG_T_##TYPE:                                                     \
		make_##name(in, &m->name);                                     \
		break;
		MSG_CATALOGUE(X)
#undef X
	}
}

/* A body as it came, which may be wrong in any way. */
static inline void
make_raw(struct input *in, uint32_t type, struct msg_frame *f)
{
	struct input part = take_part(in, take_word(in));

	if (part.len > sizeof(f->body))
		part.len = sizeof(f->body);
	if (part.len > 0)
		memcpy(f->body, part.p, part.len);
	memset(&f->hdr, 0, sizeof(f->hdr));
	f->hdr.type = type;
	f->hdr.len = (uint32_t)(sizeof(f->hdr) + part.len);
}

/* ---- descriptors ----------------------------------------------------------
 */

/* Sealed memory of that length, with these bytes at its beginning. */
static inline int
sealed(uint64_t len, struct input bytes)
{
	int fd = memfd_new("fuzz");

	if (bytes.len > len)
		bytes.len = len;
	need(fd != -1 && write_all(fd, bytes.p, bytes.len) != -1);
	need(ftruncate(fd, (off_t)len) == 0 && memfd_seal(fd) == 0);
	return (fd);
}

#define FDS 64
static int fds_open[FDS];

/* What is open before a case is not its own. */
static inline void
fds_begin(void)
{
	int fd;

	for (fd = 0; fd < FDS; fd++)
		fds_open[fd] = fcntl(fd, F_GETFD) != -1;
}

/* Whatever a case had is closed, or it is of a child that ended. */
static inline void
fds_end(int ended)
{
	int fd;

	for (fd = 0; fd < FDS; fd++)
		need(fds_open[fd] || close(fd) == -1 || ended);
}

/* Lengths of a record are few, and those of its memory. */
static inline uint64_t
record_lengths(struct msg_rep_record *m, struct input *in)
{
	uint64_t *const lens[] = { &m->stdout_len, &m->stderr_len,
		&m->output_len, &m->artifacts_len, &m->extras_len, &m->code_len,
		&m->input_len, &m->requirements_len };
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < nitems(lens); i++) {
		*lens[i] = take_byte(in);
		if (m->payload || i < 5 || i == 7)
			sum += *lens[i];
	}
	return (sum);
}

#endif
