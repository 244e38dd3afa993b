/*
 * json.h: a strict scanner of JSON (RFC 8259) over bytes, for text that came
 * from outside: a request's body in tako-api, a job's result in tako-worker.
 * It checks all of the text and reports where the parts of its top value lie,
 * so that they can be passed on as they were written; it builds no tree.
 *
 * Beyond the grammar it refuses invalid UTF-8, lone surrogates, a name that
 * stands twice in one object (at any level, compared after unescaping),
 * nesting beyond JSON_MAX_DEPTH and trailing bytes. It does not recurse.
 *
 * What it allocates: 8 bytes for each name of the objects that are open at one
 * time, of which JSON_MAX_NAMES are allowed, and a table of at most 32 bytes
 * for each name of the object being closed (none up to 8 names); with
 * JSON_PARTS 48 bytes for each part of the top value, and its names. Time is
 * linear in the text, whatever the names are.
 */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH	64
#define JSON_MAX_NAMES	(1 << 22)
#define JSON_MAX_LENGTH 0x7fffffff /* of a text */
#define JSON_MAX_DIGITS 4300	   /* of an integer, with JSON_FINITE */

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_INTEGER, /* neither fraction nor exponent */
	JSON_REAL,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

enum json_error {
	JSON_OK,
	JSON_SYNTAX,
	JSON_UTF8,
	JSON_SURROGATE, /* half a pair as \u escape */
	JSON_DUPLICATE,
	JSON_DEPTH,
	JSON_TRAILING,
	JSON_RANGE,    /* only with JSON_FINITE */
	JSON_TOO_MUCH, /* longer or more names than the bounds above */
	JSON_MEMORY
};

/* Flags of json_scan. */
#define JSON_PARTS (1 << 0) /* report the parts of the top value */
/*
 * Refuse numbers that others cannot read back: reals beyond the range of a
 * double, integers of more than JSON_MAX_DIGITS digits.
 */
#define JSON_FINITE (1 << 1)

/* A member of the top object, or an element of the top array. */
struct json_part {
	const char *name; /* unescaped, closed by a NUL; NULL in an array */
	size_t name_len;  /* it may hold NULs */
	size_t off, len;  /* of the value in the text, as written */
	enum json_type type;
};

struct json_doc {
	enum json_type type; /* of the top value */
	size_t off, len;     /* of the top value in the text */
	enum json_error error;
	size_t error_off; /* byte at which the error was seen */
	struct json_part *parts;
	size_t n_parts;
	char *names; /* holds what the parts' names point to */
};

/*
 * Scans all of a text. 0, or -1 with error and error_off filled. The doc is
 * filled in either case and never points into the text; it is freed by
 * json_doc_free in either case too.
 */
int json_scan(const void *text, size_t len, unsigned flags, struct json_doc *);
void json_doc_free(struct json_doc *);
/* The member of that name, or NULL. */
const struct json_part *json_find(const struct json_doc *, const char *name);
/*
 * Unescapes a JSON_STRING as it stands in a text that was scanned, both
 * quotes included. dst holds len bytes; returns the length written; no NUL is
 * put behind it.
 */
size_t json_unescape(char *dst, const void *raw, size_t len);
/* What is wrong, in a few words: constant text. */
const char *json_error_text(enum json_error);

#endif
