/*
 * msg.c: the catalogue's table, and packing and reading by it. Runs in takod,
 * its children and takoctl.
 *
 * Packing is msgpack-c's. Reading is our own and takes only what the
 * catalogue can name: one array of exactly the expected length, of integers,
 * strings and byte strings in their bounds, and nothing behind it. msgpack-c
 * is not used for that because it allocates by the counts it is told: five
 * bytes of an array32 header make it reserve 8 GiB.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <msgpack.h>

#include "msg.h"
#include "util.h"

enum kind {
	KIND_U,
	KIND_I,
	KIND_S,
	KIND_B,
	KIND_D
};

struct field {
	enum kind kind;
	size_t offset;
	uint64_t min, max; /* U: bounds; S, B, D: max is bytes */
	int64_t imin, imax;
};

struct row {
	const char *name;
	enum msg_sender sender;
	enum msg_fd fd;
	/* The fields; a function, so that each has THIS for offsetof. */
	const struct field *(*fields)(unsigned *);
};

#define U_ROW(name, lo, hi) { KIND_U, offsetof(THIS, name), lo, hi, 0, 0 },
#define I_ROW(name, lo, hi) { KIND_I, offsetof(THIS, name), 0, 0, lo, hi },
#define S_ROW(name, maxlen) { KIND_S, offsetof(THIS, name), 0, maxlen, 0, 0 },
#define B_ROW(name, maxlen) { KIND_B, offsetof(THIS, name), 0, maxlen, 0, 0 },
#define D_ROW(name, fixlen) { KIND_D, offsetof(THIS, name), 0, fixlen, 0, 0 },

#define X(TYPE, name, sender, fd)                                              \
	static const struct field *fields_##name(unsigned *n)                  \
	{                                                                      \
		typedef struct msg_##name THIS;                                \
		static const struct field f[] = { MSG_##TYPE(                  \
		    U_ROW, I_ROW, S_ROW, B_ROW, D_ROW) };                      \
		_Static_assert(nitems(f) <= MSG_MAX_FIELDS, "too many");       \
		*n = nitems(f);                                                \
		return (f);                                                    \
	}
MSG_CATALOGUE(X)
#undef X

static const struct row rows[MSG_T_MAX] = {
#define X(TYPE, name, sender, fd)                                              \
	[MSG_T_##TYPE] = { #TYPE, sender, fd, fields_##name },
	MSG_CATALOGUE(X)
#undef X
};

int
msg_known(uint32_t type)
{
	return (type > MSG_NONE && type < MSG_T_MAX);
}

const char *
msg_name(uint32_t type)
{
	return (msg_known(type) ? rows[type].name : "?");
}

enum msg_sender
msg_sender(uint32_t type)
{
	return (rows[type].sender);
}

enum msg_fd
msg_fd(uint32_t type)
{
	return (rows[type].fd);
}

/* ---- packing ------------------------------------------------------------ */

/* msgpack-c writes here: into the frame, never beyond it. */
static int
frame_write(void *data, const char *buf, size_t len)
{
	struct msg_frame *f = data;

	if (len > sizeof(*f) - f->hdr.len)
		return (-1);
	memcpy((char *)f + f->hdr.len, buf, len);
	f->hdr.len += (uint32_t)len;
	return (0);
}

static int
pack_field(msgpack_packer *pk, const struct field *fd, const uint8_t *p)
{
	uint64_t u;
	int64_t i;
	uint32_t blen;
	size_t len;

	switch (fd->kind) {
	case KIND_U:
		memcpy(&u, p, sizeof(u));
		if (u < fd->min || u > fd->max)
			return (-1);
		return (msgpack_pack_uint64(pk, u));
	case KIND_I:
		memcpy(&i, p, sizeof(i));
		if (i < fd->imin || i > fd->imax)
			return (-1);
		return (msgpack_pack_int64(pk, i));
	case KIND_S:
		len = strnlen((const char *)p, fd->max + 1);
		if (len > fd->max || !utf8_valid(p, len))
			return (-1);
		return (msgpack_pack_str(pk, len) == 0
			    ? msgpack_pack_str_body(pk, p, len)
			    : -1);
	case KIND_B:
		memcpy(&blen, p, sizeof(blen));
		if (blen > fd->max)
			return (-1);
		return (msgpack_pack_bin(pk, blen) == 0
			    ? msgpack_pack_bin_body(pk, p + sizeof(blen), blen)
			    : -1);
	case KIND_D:
		return (msgpack_pack_bin(pk, fd->max) == 0
			    ? msgpack_pack_bin_body(pk, p, fd->max)
			    : -1);
	}
	return (-1);
}

int
msg_pack(struct msg_frame *f, uint32_t type, uint32_t id, const void *m)
{
	const struct field *fields;
	msgpack_packer pk;
	unsigned n, i;

	fields = rows[type].fields(&n);
	memset(&f->hdr, 0, sizeof(f->hdr));
	f->hdr.type = type;
	f->hdr.len = sizeof(f->hdr);
	f->hdr.id = id;
	msgpack_packer_init(&pk, f, frame_write);
	if (msgpack_pack_array(&pk, n) != 0)
		goto fail;
	for (i = 0; i < n; i++)
		if (pack_field(&pk, &fields[i],
			(const uint8_t *)m + fields[i].offset) != 0)
			goto fail;
	return (0);
fail:
	errno = EINVAL;
	return (-1);
}

/* ---- reading ------------------------------------------------------------ */

struct reader {
	const uint8_t *p, *end;
};

/* A big-endian number of n bytes. -1: they are not there. */
static int
read_be(struct reader *r, unsigned n, uint64_t *v)
{
	if ((size_t)(r->end - r->p) < n)
		return (-1);
	for (*v = 0; n > 0; n--)
		*v = *v << 8 | *r->p++;
	return (0);
}

/* An integer of any of msgpack's forms, as sign and magnitude. */
static int
read_int(struct reader *r, int *negative, uint64_t *v)
{
	static const uint64_t sign[] = { 0x80, 0x8000, 0x80000000,
		UINT64_C(0x8000000000000000) };
	uint64_t raw;
	uint8_t tag;
	unsigned log2;

	if (r->p == r->end)
		return (-1);
	tag = *r->p++;
	*negative = 0;
	if (tag < 0x80) {
		*v = tag;
		return (0);
	}
	if (tag >= 0xe0) {
		*negative = 1;
		*v = 256u - tag;
		return (0);
	}
	if (tag < 0xcc || tag > 0xd3)
		return (-1);
	log2 = (tag - 0xcc) & 3;
	if (read_be(r, 1u << log2, &raw) == -1)
		return (-1);
	*v = raw;
	if (tag >= 0xd0 && (raw & sign[log2]) != 0) {
		*negative = 1;
		/* Two's complement of that width. */
		*v = (sign[log2] - 1 - (raw & (sign[log2] - 1))) + 1;
	}
	return (0);
}

/* The head of a string (bin: of a byte string); the bytes are there. */
static int
read_bytes(
    struct reader *r, int bin, uint64_t max, const uint8_t **p, uint64_t *len)
{
	uint8_t tag, first = bin ? 0xc4 : 0xd9;

	if (r->p == r->end)
		return (-1);
	tag = *r->p++;
	if (!bin && (tag & 0xe0) == 0xa0)
		*len = tag & 0x1f;
	else if (tag < first || tag > first + 2 ||
		 read_be(r, 1u << (tag - first), len) == -1)
		return (-1);
	if (*len > max || *len > (size_t)(r->end - r->p))
		return (-1);
	*p = r->p;
	r->p += *len;
	return (0);
}

/* One field into the struct. NULL, or what is wrong. */
static const char *
read_field(struct reader *r, const struct field *fd, uint8_t *dst)
{
	const uint8_t *p;
	uint64_t v, len;
	uint32_t blen;
	int64_t i;
	int negative;

	switch (fd->kind) {
	case KIND_U:
		if (read_int(r, &negative, &v) == -1)
			return ("not an integer");
		if (negative || v < fd->min || v > fd->max)
			return ("integer out of bounds");
		memcpy(dst, &v, sizeof(v));
		return (NULL);
	case KIND_I:
		if (read_int(r, &negative, &v) == -1)
			return ("not an integer");
		if (negative ? v > (uint64_t)1 << 63 : v > INT64_MAX)
			return ("integer out of bounds");
		i = negative ? (int64_t)(0 - v) : (int64_t)v;
		if (i < fd->imin || i > fd->imax)
			return ("integer out of bounds");
		memcpy(dst, &i, sizeof(i));
		return (NULL);
	case KIND_S:
		if (read_bytes(r, 0, fd->max, &p, &len) == -1)
			return ("not a string in its bounds");
		if (!utf8_valid(p, len))
			return ("string is not UTF-8 without NUL");
		memcpy(dst, p, len);
		dst[len] = '\0';
		return (NULL);
	case KIND_B:
		if (read_bytes(r, 1, fd->max, &p, &len) == -1)
			return ("not a byte string in its bounds");
		blen = (uint32_t)len;
		memcpy(dst, &blen, sizeof(blen));
		memcpy(dst + sizeof(blen), p, len);
		return (NULL);
	case KIND_D:
		if (read_bytes(r, 1, fd->max, &p, &len) == -1 || len != fd->max)
			return ("not a byte string of its length");
		memcpy(dst, p, len);
		return (NULL);
	}
	return ("unknown kind");
}

int
msg_read(const struct msg_frame *f, uint32_t type, void *m, const char **why)
{
	const struct field *fields;
	struct reader r;
	uint64_t count;
	unsigned n, i;
	uint8_t tag;

	fields = rows[type].fields(&n);
	r.p = f->body;
	r.end = (const uint8_t *)f + f->hdr.len;
	*why = "not an array of the right length";
	if (r.p == r.end)
		return (-1);
	tag = *r.p++;
	if ((tag & 0xf0) == 0x90)
		count = tag & 0x0f;
	else if (tag != 0xdc || read_be(&r, 2, &count) == -1)
		return (-1);
	if (count != n)
		return (-1);
	for (i = 0; i < n; i++)
		if ((*why = read_field(&r, &fields[i],
			 (uint8_t *)m + fields[i].offset)) != NULL)
			return (-1);
	if (r.p != r.end) {
		*why = "trailing bytes";
		return (-1);
	}
	return (0);
}
