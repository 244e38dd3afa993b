/*
 * http_head.h: between http.c, which collects the lines of a head, and
 * http_head.c, which judges them. Nobody else includes it.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http.h"

/* Classes of bytes; a byte may be of several. */
#define C_TOKEN 1  /* a method's, a field name's (RFC 9110, 5.6.2) */
#define C_LINE	2  /* of a request line: visible ASCII and space */
#define C_FIELD 4  /* of a field's value: that, tab, and 0x80 up */
#define C_PATH	8  /* of a path: pchar, '/' and '%' (RFC 3986) */
#define C_QUERY 16 /* of a query: also what browsers leave as it is */
#define C_HOST	32 /* of a host's name */

extern const uint8_t http_classes[256];

static inline int
http_is(char c, uint8_t class)
{
	return ((http_classes[(uint8_t)c] & class) != 0);
}

/* How many of the n bytes at s are of a class, from the first on. */
size_t http_span(const char *s, size_t n, uint8_t class);

/* What is wrong with a head; status is 0 when nothing is. */
struct http_wrong {
	int status;
	const char *reason;
};

/*
 * Takes a request line (NUL-terminated, without its CRLF) apart in place, and
 * sets method, minor and target. The authority of an absolute target is left
 * in *authority, NUL-terminated; NULL when the target has none.
 */
struct http_wrong http_line_judge(
    struct http_request *, char *line, const char **authority);
/*
 * Takes the line of one field apart; line[len] may be overwritten. The
 * pointers of the field go into line.
 */
struct http_wrong http_field_judge(struct http_field *, char *line, size_t len);
/* All fields are there: sets the rest of the request by what they say. */
struct http_wrong http_head_judge(struct http_request *, const char *authority);

#endif
