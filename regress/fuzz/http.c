/*
 * http.c: fuzz target of the request parser. Beyond not failing: the same
 * bytes in other pieces give the same events, a fault is final, and what a
 * head says keeps its promises.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tako-api/http.h"
#include "util.h"

#define MAX_BODY 65536

/* What was heard so far, as one number (FNV-1a). */
static uint64_t
hash(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len > 0; len--)
		h = (h ^ *p++) * UINT64_C(1099511628211);
	return (h);
}

static uint64_t
check_head(uint64_t h, const struct http_request *r)
{
	const struct http_field *f;
	unsigned hosts, n;

	need(r->method < HTTP_CONNECT && (r->minor == 0 || r->minor == 1));
	need(*r->target == '/' || strcmp(r->target, "*") == 0);
	http_field(r, "host", &hosts);
	need(hosts <= 1 && (hosts == 1 || r->minor == 0));
	need((hosts == 1) == (*r->host != '\0'));
	http_field(r, "transfer-encoding", &n);
	need(n == (unsigned)r->chunked);
	http_field(r, "content-length", &n);
	need(n == (r->content_length >= 0));
	need(!r->chunked || r->content_length == -1);
	need(r->n_fields <= http_limits_default.fields);
	h = hash(h, r->target, strlen(r->target) + 1);
	for (f = r->fields; f < r->fields + r->n_fields; f++) {
		need(*f->name != '\0' && strlen(f->value) == f->value_len);
		need(strpbrk(f->name, "\r\n :") == NULL);
		need(strpbrk(f->value, "\r\n") == NULL);
		h = hash(h, f->name, strlen(f->name) + 1);
		h = hash(h, f->value, f->value_len + 1);
	}
	return (h);
}

/* All events of some bytes, given in pieces of at most step bytes. */
static uint64_t
run(struct http_parser *p, const uint8_t *data, size_t len, size_t step)
{
	uint64_t h = UINT64_C(14695981039346656037), body = 0;
	enum http_event ev;
	size_t off = 0, n, used, body_len;
	const uint8_t *piece;
	const char *reason;
	int status;

	http_parser_reset(p);
	while (off < len) {
		n = len - off < step ? len - off : step;
		ev = http_parse(p, data + off, n, &used, MAX_BODY);
		need(used <= n);
		need(ev != HTTP_MORE || used == n);
		switch (ev) {
		case HTTP_HEADERS:
			h = check_head(h, http_request(p));
			body = 0;
			break;
		case HTTP_BODY:
			piece = http_body(p, &body_len);
			need(piece >= data + off && body_len > 0);
			need(piece + body_len <= data + off + used);
			body += body_len;
			need(body <= MAX_BODY);
			h = hash(h, piece, body_len);
			break;
		case HTTP_DONE:
			h = hash(h, "done", 4);
			http_parser_reset(p);
			break;
		case HTTP_FAULT:
			status = http_error(p, &reason);
			need(status >= 400 && status <= 505 && reason != NULL);
			need(http_parse(p, data, len, &used, MAX_BODY) ==
			     HTTP_FAULT);
			need(used == 0);
			return (hash(h, reason, strlen(reason)));
		case HTTP_MORE:
			break;
		}
		off += used;
	}
	return (h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_parser *p = http_parser_new(NULL);
	uint64_t whole;

	need(p != NULL);
	whole = run(p, data, len, SIZE_MAX);
	need(run(p, data, len, 1) == whole);
	need(run(p, data, len, 5) == whole);
	http_parser_free(p);
	return (0);
}
