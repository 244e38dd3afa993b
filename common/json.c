/*
 * json.c: the strict JSON scanner. Runs in tako-api on request bodies and in
 * tako-worker on what a job wrote; every byte is taken as hostile. It keeps
 * one small entry a level instead of recursing, and finds names that stand
 * twice with a keyed hash, so that no choice of names makes it slow.
 */
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "util.h"

#define FEW_NAMES 8 /* up to here names are compared one by one */
#define AHEAD	  16

/* Where a name stands in the text, between its quotes. */
struct name {
	uint32_t off;
	uint32_t len : 31;
	uint32_t escaped : 1;
};

struct slot {
	uint32_t tag; /* upper half of the hash */
	uint32_t at;  /* index of the name, plus one; 0: free */
};

struct level {
	int object;
	size_t names; /* of the outer objects */
	size_t off;   /* of the bracket */
};

struct scan {
	const unsigned char *text;
	size_t len, at;
	unsigned flags;
	struct json_doc *doc;
	struct level stack[JSON_MAX_DEPTH];
	int depth;
	struct name *names; /* of all open objects, outermost first */
	size_t n_names, names_size;
	struct slot *table;
	size_t table_size;
	struct name *part_names;
	size_t parts_size;
};

/* ---- a keyed hash: SipHash-1-3 ------------------------------------------ */

struct sip {
	uint64_t v[4], word;
	size_t len;
};

static uint64_t sip_key[2];

static uint64_t
rotate(uint64_t x, int n)
{
	return (x << n | x >> (64 - n));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void
sip_begin(struct sip *h)
{
	/* One key a process is enough: it answers nobody with a hash. */
	while (sip_key[0] == 0)
		arc4random_buf(sip_key, sizeof(sip_key));
	h->v[0] = sip_key[0] ^ UINT64_C(0x736f6d6570736575);
	h->v[1] = sip_key[1] ^ UINT64_C(0x646f72616e646f6d);
	h->v[2] = sip_key[0] ^ UINT64_C(0x6c7967656e657261);
	h->v[3] = sip_key[1] ^ UINT64_C(0x7465646279746573);
	h->word = 0;
	h->len = 0;
}

static void
sip_word(struct sip *h)
{
	h->v[3] ^= h->word;
	sip_round(h->v);
	h->v[0] ^= h->word;
	h->word = 0;
}

static void
sip_byte(struct sip *h, unsigned char c)
{
	h->word |= (uint64_t)c << (8 * (h->len & 7));
	if ((++h->len & 7) == 0)
		sip_word(h);
}

static uint64_t
sip_end(struct sip *h)
{
	h->word |= (uint64_t)h->len << 56;
	sip_word(h);
	h->v[2] ^= 0xff;
	sip_round(h->v);
	sip_round(h->v);
	sip_round(h->v);
	return (h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3]);
}

/* ---- strings ------------------------------------------------------------ */

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (-1);
}

/* Four hex digits, of which the caller knows that they are in the text. */
static int
hex4(const unsigned char *p)
{
	int i, d, v = 0;

	for (i = 0; i < 4; i++) {
		if ((d = hex_value(p[i])) == -1)
			return (-1);
		v = v << 4 | d;
	}
	return (v);
}

static size_t
utf8_put(unsigned char *dst, unsigned c)
{
	if (c < 0x80) {
		dst[0] = (unsigned char)c;
		return (1);
	}
	if (c < 0x800) {
		dst[0] = (unsigned char)(0xc0 | c >> 6);
		dst[1] = (unsigned char)(0x80 | (c & 0x3f));
		return (2);
	}
	if (c < 0x10000) {
		dst[0] = (unsigned char)(0xe0 | c >> 12);
		dst[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		dst[2] = (unsigned char)(0x80 | (c & 0x3f));
		return (3);
	}
	dst[0] = (unsigned char)(0xf0 | c >> 18);
	dst[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
	dst[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
	dst[3] = (unsigned char)(0x80 | (c & 0x3f));
	return (4);
}

/*
 * One step of unescaping a string that was checked: takes from p (moved on)
 * and fills dst, at most 4 bytes. Returns the bytes filled.
 */
static size_t
unescape_step(const unsigned char **pp, unsigned char dst[4])
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const unsigned char *p = *pp;
	unsigned c;

	if (*p != '\\') {
		dst[0] = *p;
		*pp = p + 1;
		return (1);
	}
	if (p[1] != 'u') {
		dst[0] = (unsigned char)to[strchr(from, p[1]) - from];
		*pp = p + 2;
		return (1);
	}
	c = (unsigned)hex4(p + 2);
	p += 6;
	if (c >= 0xd800 && c <= 0xdbff) {
		c = 0x10000 + ((c - 0xd800) << 10) +
		    ((unsigned)hex4(p + 2) - 0xdc00);
		p += 6;
	}
	*pp = p;
	return (utf8_put(dst, c));
}

static size_t
unescape(char *dst, const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	unsigned char c[4];
	size_t n, o = 0;

	while (p < end) {
		n = unescape_step(&p, c);
		memcpy(dst + o, c, n);
		o += n;
	}
	return (o);
}

size_t
json_unescape(char *dst, const void *raw, size_t len)
{
	return (unescape(dst, (const unsigned char *)raw + 1, len - 2));
}

/* Escaped or not, equal names have equal hashes. */
static uint64_t
name_hash(const struct scan *s, const struct name *n)
{
	const unsigned char *p = s->text + n->off, *end = p + n->len;
	unsigned char c[4];
	struct sip h;
	size_t i, k;

	sip_begin(&h);
	if (!n->escaped)
		for (; end - p >= 8; p += 8) {
			memcpy(&h.word, p, 8);
			h.word = le64toh(h.word);
			h.len += 8;
			sip_word(&h);
		}
	while (p < end) {
		k = n->escaped ? unescape_step(&p, c) : (c[0] = *p++, 1u);
		for (i = 0; i < k; i++)
			sip_byte(&h, c[i]);
	}
	return (sip_end(&h));
}

static int
name_equal(const struct scan *s, const struct name *a, const struct name *b)
{
	const unsigned char *p = s->text + a->off, *p_end = p + a->len;
	const unsigned char *q = s->text + b->off, *q_end = q + b->len;
	unsigned char c[4], d[4];
	size_t i = 0, j = 0, n = 0, m = 0;

	if (!a->escaped && !b->escaped)
		return (a->len == b->len && memcmp(p, q, a->len) == 0);
	for (;;) {
		if (i == n) {
			i = 0;
			n = p < p_end ? unescape_step(&p, c) : 0;
		}
		if (j == m) {
			j = 0;
			m = q < q_end ? unescape_step(&q, d) : 0;
		}
		if (n == 0 || m == 0)
			return (n == m);
		if (c[i++] != d[j++])
			return (0);
	}
}

/* ---- duplicate names ---------------------------------------------------- */

static int
fail_at(struct scan *s, enum json_error error, size_t at)
{
	s->doc->error = error;
	s->doc->error_off = at;
	return (-1);
}

static int
fail(struct scan *s, enum json_error error)
{
	return (fail_at(s, error, s->at));
}

static int
duplicate_few(struct scan *s, size_t first)
{
	size_t i, j;

	for (i = first + 1; i < s->n_names; i++)
		for (j = first; j < i; j++)
			if (name_equal(s, &s->names[i], &s->names[j]))
				return (fail_at(
				    s, JSON_DUPLICATE, s->names[i].off - 1));
	return (0);
}

/* The table of the object being closed, empty: at least half stays free. */
static int
table_clear(struct scan *s, size_t count, size_t *size)
{
	struct slot *t;

	for (*size = 32; *size < 2 * count; *size *= 2)
		;
	if (*size > s->table_size) {
		if ((t = reallocarray(s->table, *size, sizeof(*t))) == NULL)
			return (-1);
		s->table = t;
		s->table_size = *size;
	}
	memset(s->table, 0, *size * sizeof(*s->table));
	return (0);
}

/* The free slot of a name; NULL when an equal name is there. */
static struct slot *
slot_find(const struct scan *s, size_t i, uint64_t h, size_t size)
{
	struct slot *t;
	size_t k;

	for (k = h & (size - 1);; k = (k + 1) & (size - 1)) {
		t = &s->table[k];
		if (t->at == 0)
			return (t);
		if (t->tag == (uint32_t)(h >> 32) &&
		    name_equal(s, &s->names[i], &s->names[t->at - 1]))
			return (NULL);
	}
}

/*
 * The table of a large object is larger than the caches, so its slots are
 * fetched AHEAD names before they are looked at.
 */
static int
duplicate_many(struct scan *s, size_t first)
{
	uint64_t hashes[AHEAD] = { 0 }, h;
	struct slot *t;
	size_t i, k, size;

	if (table_clear(s, s->n_names - first, &size) == -1)
		return (fail(s, JSON_MEMORY));
	for (i = first; i < s->n_names + AHEAD; i++) {
		h = hashes[i % AHEAD];
		if (i < s->n_names) {
			hashes[i % AHEAD] = name_hash(s, &s->names[i]);
			k = hashes[i % AHEAD] & (size - 1);
			__builtin_prefetch(&s->table[k], 1);
		}
		if (i < first + AHEAD)
			continue;
		if ((t = slot_find(s, i - AHEAD, h, size)) == NULL)
			return (fail_at(
			    s, JSON_DUPLICATE, s->names[i - AHEAD].off - 1));
		t->tag = (uint32_t)(h >> 32);
		t->at = (uint32_t)(i - AHEAD) + 1;
	}
	return (0);
}

/* The innermost object ends: its names are judged and forgotten. */
static int
names_close(struct scan *s, size_t first)
{
	int r;

	if (s->n_names - first <= FEW_NAMES)
		r = duplicate_few(s, first);
	else
		r = duplicate_many(s, first);
	s->n_names = first;
	return (r);
}

static int
name_add(struct scan *s, const struct name *name)
{
	struct name *n;
	size_t size;

	if (s->n_names == s->names_size) {
		if (s->n_names >= JSON_MAX_NAMES)
			return (fail(s, JSON_TOO_MUCH));
		size = s->names_size == 0 ? 64 : 2 * s->names_size;
		if ((n = reallocarray(s->names, size, sizeof(*n))) == NULL)
			return (fail(s, JSON_MEMORY));
		s->names = n;
		s->names_size = size;
	}
	s->names[s->n_names++] = *name;
	return (0);
}

/* ---- the parts of the top value ----------------------------------------- */

static int
part_begin(struct scan *s, const struct name *name)
{
	struct json_doc *doc = s->doc;
	struct json_part *p;
	struct name *n;
	size_t size;

	if (!(s->flags & JSON_PARTS) || s->depth != 1)
		return (0);
	if (doc->n_parts == s->parts_size) {
		size = s->parts_size == 0 ? 16 : 2 * s->parts_size;
		if ((p = reallocarray(doc->parts, size, sizeof(*p))) == NULL)
			return (fail(s, JSON_MEMORY));
		doc->parts = p;
		if ((n = reallocarray(s->part_names, size, sizeof(*n))) == NULL)
			return (fail(s, JSON_MEMORY));
		s->part_names = n;
		s->parts_size = size;
	}
	memset(&doc->parts[doc->n_parts], 0, sizeof(*doc->parts));
	s->part_names[doc->n_parts++] = *name;
	return (0);
}

/* A value that began at off has ended: is it the top one, or a part of it? */
static void
value_end(struct scan *s, enum json_type type, size_t off)
{
	struct json_part *p;

	if (s->depth == 0) {
		s->doc->type = type;
		s->doc->off = off;
		s->doc->len = s->at - off;
	} else if (s->depth == 1 && s->doc->n_parts > 0) {
		p = &s->doc->parts[s->doc->n_parts - 1];
		p->type = type;
		p->off = off;
		p->len = s->at - off;
	}
}

static int
parts_name(struct scan *s)
{
	struct json_doc *doc = s->doc;
	size_t i, size = 0, o = 0;

	if (doc->type != JSON_OBJECT || doc->n_parts == 0)
		return (0);
	for (i = 0; i < doc->n_parts; i++)
		size += (size_t)s->part_names[i].len + 1;
	if ((doc->names = malloc(size)) == NULL)
		return (fail(s, JSON_MEMORY));
	for (i = 0; i < doc->n_parts; i++) {
		doc->parts[i].name = doc->names + o;
		doc->parts[i].name_len = unescape(doc->names + o,
		    s->text + s->part_names[i].off, s->part_names[i].len);
		o += doc->parts[i].name_len;
		doc->names[o++] = '\0';
	}
	return (0);
}

/* ---- the grammar -------------------------------------------------------- */

/* The byte at hand; -1 at the end. */
static int
peek(const struct scan *s)
{
	return (s->at < s->len ? s->text[s->at] : -1);
}

static void
space(struct scan *s)
{
	int c;

	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
}

/* A \u escape, at its 'u'; halves of a pair must stand together. */
static int
escape_unicode(struct scan *s)
{
	const unsigned char *p = s->text + s->at;
	size_t left = s->len - s->at;
	int c, d;

	if (left < 5 || (c = hex4(p + 1)) == -1)
		return (fail(s, JSON_SYNTAX));
	if (c >= 0xdc00 && c <= 0xdfff)
		return (fail(s, JSON_SURROGATE));
	if (c < 0xd800 || c > 0xdbff) {
		s->at += 5;
		return (0);
	}
	if (left < 11 || p[5] != '\\' || p[6] != 'u' ||
	    (d = hex4(p + 7)) == -1 || d < 0xdc00 || d > 0xdfff)
		return (fail(s, JSON_SURROGATE));
	s->at += 11;
	return (0);
}

static int
escape(struct scan *s)
{
	int c;

	s->at++;
	if ((c = peek(s)) == 'u')
		return (escape_unicode(s));
	if (c <= 0 || strchr("\"\\/bfnrt", c) == NULL)
		return (fail(s, JSON_SYNTAX));
	s->at++;
	return (0);
}

/* A character outside ASCII. */
static int
wide(struct scan *s)
{
	unsigned char c = s->text[s->at];
	size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (s->len - s->at < n || utf8_span(s->text + s->at, n) != n)
		return (fail(s, JSON_UTF8));
	s->at += n;
	return (0);
}

static int
string(struct scan *s, struct name *name)
{
	size_t first = ++s->at;
	unsigned int escaped = 0;
	int c;

	while ((c = peek(s)) != '"') {
		if (c < 0x20) /* the end, too */
			return (fail(s, JSON_SYNTAX));
		if (c == '\\') {
			escaped = 1;
			if (escape(s) == -1)
				return (-1);
		} else if (c < 0x80) {
			s->at++;
		} else if (wide(s) == -1)
			return (-1);
	}
	name->off = (uint32_t)first;
	name->len = (s->at - first) & JSON_MAX_LENGTH;
	name->escaped = escaped & 1;
	s->at++;
	return (0);
}

static size_t
digits(struct scan *s)
{
	size_t first = s->at;

	while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9')
		s->at++;
	return (s->at - first);
}

/*
 * Is a real beyond the largest double? Its first digit that is not 0 stands
 * for 10^place; only at 10^308 do the digits decide, and of those no more
 * than the 309 of the bound itself.
 */
static int
real_overflows(const unsigned char *p, const unsigned char *end)
{
	char buf[336];
	size_t n = 0;
	long place = -1, exponent = 0;
	int point = 0, negative;

	for (; p < end && (*p | 0x20) != 'e'; p++) {
		if (*p == '.')
			point = 1;
		if (*p < '0' || *p > '9')
			continue;
		if (n > 0 || *p != '0') {
			if (n == 1)
				buf[n++] = '.';
			if (n < 320)
				buf[n++] = (char)*p;
			place += !point;
		} else if (point)
			place--;
	}
	if (n == 0)
		return (0);
	if (p < end) {
		negative = *++p == '-';
		if (*p == '+' || *p == '-')
			p++;
		for (; p < end; p++)
			if (exponent < JSON_MAX_LENGTH)
				exponent = exponent * 10 + (*p - '0');
		place += negative ? -exponent : exponent;
	}
	if (place != 308)
		return (place > 308);
	memcpy(buf + n, "e308", 5);
	return (isinf(strtod(buf, NULL)) != 0);
}

static int
number(struct scan *s, enum json_type *type)
{
	size_t first = s->at, whole;
	int c;

	*type = JSON_INTEGER;
	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0') {
		s->at++;
		whole = 1;
	} else
		whole = digits(s);
	if (whole == 0)
		return (fail(s, JSON_SYNTAX));
	if (peek(s) == '.') {
		*type = JSON_REAL;
		s->at++;
		if (digits(s) == 0)
			return (fail(s, JSON_SYNTAX));
	}
	if ((c = peek(s)) == 'e' || c == 'E') {
		*type = JSON_REAL;
		s->at++;
		if ((c = peek(s)) == '+' || c == '-')
			s->at++;
		if (digits(s) == 0)
			return (fail(s, JSON_SYNTAX));
	}
	if (!(s->flags & JSON_FINITE))
		return (0);
	if (*type == JSON_INTEGER
		? whole > JSON_MAX_DIGITS
		: real_overflows(s->text + first, s->text + s->at))
		return (fail_at(s, JSON_RANGE, first));
	return (0);
}

static int
word(struct scan *s, const char *w)
{
	size_t n = strlen(w);

	if (s->len - s->at < n || memcmp(s->text + s->at, w, n) != 0)
		return (fail(s, JSON_SYNTAX));
	s->at += n;
	return (0);
}

/* A name, the colon, and the space before the value. */
static int
member_begin(struct scan *s)
{
	struct name name;

	if (peek(s) != '"')
		return (fail(s, JSON_SYNTAX));
	if (string(s, &name) == -1 || name_add(s, &name) == -1)
		return (-1);
	space(s);
	if (peek(s) != ':')
		return (fail(s, JSON_SYNTAX));
	s->at++;
	space(s);
	return (part_begin(s, &name));
}

/* What precedes a value within the innermost array or object. */
static int
item_begin(struct scan *s)
{
	static const struct name none;

	if (s->stack[s->depth - 1].object)
		return (member_begin(s));
	return (part_begin(s, &none));
}

static int
closer(const struct scan *s)
{
	return (s->stack[s->depth - 1].object ? '}' : ']');
}

static int
container_end(struct scan *s)
{
	const struct level *l = &s->stack[s->depth - 1];

	if (l->object && names_close(s, l->names) == -1)
		return (-1);
	s->at++;
	s->depth--;
	value_end(s, l->object ? JSON_OBJECT : JSON_ARRAY, l->off);
	return (0);
}

/* Returns 1 when it is open and a value is due, 0 when it was empty. */
static int
container_begin(struct scan *s, int object)
{
	if (s->depth == JSON_MAX_DEPTH)
		return (fail(s, JSON_DEPTH));
	s->stack[s->depth].object = object;
	s->stack[s->depth].names = s->n_names;
	s->stack[s->depth].off = s->at;
	s->depth++;
	s->at++;
	space(s);
	if (peek(s) == closer(s))
		return (container_end(s));
	return (item_begin(s) == -1 ? -1 : 1);
}

static int
scalar(struct scan *s, int c)
{
	struct name name;
	enum json_type type;
	size_t off = s->at;
	int r;

	switch (c) {
	case '"':
		type = JSON_STRING;
		r = string(s, &name);
		break;
	case 't':
		type = JSON_TRUE;
		r = word(s, "true");
		break;
	case 'f':
		type = JSON_FALSE;
		r = word(s, "false");
		break;
	case 'n':
		type = JSON_NULL;
		r = word(s, "null");
		break;
	default:
		r = number(s, &type);
	}
	if (r == -1)
		return (-1);
	value_end(s, type, off);
	return (0);
}

/* A value ended: what follows it, up to where the next is due. */
static int
item_end(struct scan *s)
{
	while (s->depth > 0) {
		space(s);
		if (peek(s) == ',') {
			s->at++;
			space(s);
			return (item_begin(s));
		}
		if (peek(s) != closer(s))
			return (fail(s, JSON_SYNTAX));
		if (container_end(s) == -1)
			return (-1);
	}
	return (0);
}

static int
document(struct scan *s)
{
	int c, r;

	space(s);
	do {
		c = peek(s);
		if (c == '{' || c == '[')
			r = container_begin(s, c == '{');
		else
			r = scalar(s, c);
		if (r == 0)
			r = item_end(s);
		if (r == -1)
			return (-1);
	} while (s->depth > 0);
	space(s);
	if (s->at != s->len)
		return (fail(s, JSON_TRAILING));
	return (parts_name(s));
}

int
json_scan(const void *text, size_t len, unsigned flags, struct json_doc *doc)
{
	struct scan s;
	int r;

	memset(doc, 0, sizeof(*doc));
	memset(&s, 0, sizeof(s));
	s.text = text;
	s.len = len;
	s.flags = flags;
	s.doc = doc;
	r = len > JSON_MAX_LENGTH ? fail(&s, JSON_TOO_MUCH) : document(&s);
	free(s.names);
	free(s.table);
	free(s.part_names);
	if (r == -1) {
		free(doc->parts);
		doc->parts = NULL;
		doc->n_parts = 0;
	}
	return (r);
}

void
json_doc_free(struct json_doc *doc)
{
	free(doc->parts);
	free(doc->names);
	doc->parts = NULL;
	doc->names = NULL;
	doc->n_parts = 0;
}

const struct json_part *
json_find(const struct json_doc *doc, const char *name)
{
	size_t i, n = strlen(name);

	for (i = 0; i < doc->n_parts; i++)
		if (doc->parts[i].name != NULL && doc->parts[i].name_len == n &&
		    memcmp(doc->parts[i].name, name, n) == 0)
			return (&doc->parts[i]);
	return (NULL);
}

const char *
json_error_text(enum json_error error)
{
	switch (error) {
	case JSON_OK:
		return ("no error");
	case JSON_UTF8:
		return ("invalid UTF-8");
	case JSON_SURROGATE:
		return ("lone surrogate");
	case JSON_DUPLICATE:
		return ("duplicate name in an object");
	case JSON_DEPTH:
		return ("nested too deeply");
	case JSON_TRAILING:
		return ("trailing bytes");
	case JSON_RANGE:
		return ("number out of range");
	case JSON_TOO_MUCH:
		return ("too large");
	case JSON_MEMORY:
		return ("out of memory");
	case JSON_SYNTAX:
		break;
	}
	return ("syntax error");
}
