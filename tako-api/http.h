/*
 * http.h: an HTTP/1.1 request parser without I/O: bytes in, events out. Runs
 * in tako-api on bytes from anybody. It allocates nothing by a number that a
 * client wrote: head and chunk lines are collected in fixed bounds, the body
 * is handed out in the pieces in which it came.
 *
 * RFC 9112, strict: what it does not accept ends the connection, with one
 * answer of the status in http_error. Rows H01 to H52 of the hostile input
 * table say how each deviation is answered.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define HTTP_MAX_LINE	    8192 /* what http_limits.line may be */
#define HTTP_MAX_CHUNK_LINE 256	 /* size and extensions: 400 above */
#define HTTP_MAX_TRAILER    4096 /* 431 above; trailers are dropped */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_PATCH,
	HTTP_OPTIONS,
	HTTP_TRACE,
	HTTP_QUERY,
	HTTP_CONNECT,
	HTTP_METHOD_MAX
};

enum http_event {
	HTTP_MORE,    /* all bytes taken, none of the below yet */
	HTTP_HEADERS, /* the head is complete: http_request is filled */
	HTTP_BODY,    /* body/body_len: a piece of the body */
	HTTP_DONE,    /* the request is complete; the next byte is another's */
	HTTP_FAULT    /* status/reason: answer once, close; takes no more */
};

struct http_limits {
	size_t line;	 /* bytes of the request line: 414 above */
	size_t head;	 /* bytes of all fields: 431 above */
	unsigned fields; /* their number: 431 above */
};
extern const struct http_limits http_limits_default; /* 8192, 16384, 100 */

struct http_field {	   /* into the parser's own buffer, NUL-terminated */
	const char *name;  /* lower case */
	const char *value; /* without white space around it */
	size_t value_len;
};

struct http_request {
	enum http_method method;
	int minor;	    /* HTTP/1.minor: 0 or 1 */
	const char *target; /* as sent, origin form: path[?query] */
	const char *host;   /* value of Host ("" only in HTTP/1.0) */
	struct http_field *fields;
	unsigned n_fields;
	int64_t content_length; /* -1: none given or chunked */
	int chunked;
	int keep_alive;	     /* what the client allows */
	int expect_continue; /* Expect: 100-continue */
};

struct http_parser; /* opaque, of a size that its limits say */

/* NULL: no memory. limits: NULL for the default ones. */
struct http_parser *http_parser_new(const struct http_limits *);
void http_parser_free(struct http_parser *);
void http_parser_reset(struct http_parser *); /* for the next request */

/*
 * Takes bytes from data, at most len; *used says how many. Returns the next
 * event; after HTTP_DONE, reset before the next call. A request without a body
 * is done with the call after HTTP_HEADERS, which needs no bytes. max_body:
 * a body that is longer, or grows above it, is a fault (413) once its first
 * byte is asked for; until then a declared length is the caller's to judge,
 * who knows what has to be said before it.
 */
enum http_event http_parse(struct http_parser *, const uint8_t *data,
    size_t len, size_t *used, uint64_t max_body);

const struct http_request *http_request(const struct http_parser *);
/* Of HTTP_BODY: points into the data given to http_parse. */
const uint8_t *http_body(const struct http_parser *, size_t *len);
/* Of HTTP_FAULT: the status and a constant text. */
int http_error(const struct http_parser *, const char **reason);
/* Value of a field, or NULL; *count (may be NULL): how many there are. */
const char *http_field(
    const struct http_request *, const char *name, unsigned *count);
const char *http_method_name(enum http_method);
const char *http_reason(int status); /* its phrase; "" when not known */

/* A time as HTTP writes it (RFC 9110, 5.6.7), whatever the locale. */
#define HTTP_DATE 64
void http_date(char dst[HTTP_DATE], time_t);

/*
 * Decodes one path segment or query value of a checked target: %XX once. NUL,
 * bad escapes and invalid UTF-8 are refused with -1. plus: '+' is a space.
 */
int http_decode(
    char *dst, size_t dstlen, const char *src, size_t len, int plus);

#endif
