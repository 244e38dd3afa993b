/*
 * http_verdicts.c: what the request parser says of many inputs, for the test
 * that compares it with others. On standard input each is a length (32 bits,
 * little endian) and its bytes, given to a new parser in one piece.
 *
 * On standard output, for each input, a line for each request whose head was
 * accepted, then one of how it ended:
 *
 *	head METHOD TARGET BODY whole|part	texts in hexadecimal, "-" for
 *none end more|close|fault STATUS REASON
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tako-api/http.h"
#include "util.h"

#define MAX_INPUT (1 << 24)
#define MAX_BODY  (1 << 20)

static void
put_hex(const void *data, size_t len)
{
	const uint8_t *p = data;

	putchar(' ');
	if (len == 0)
		putchar('-');
	for (; len > 0; len--)
		printf("%02x", *p++);
}

static void
put_head(const struct http_request *r)
{
	const char *method = http_method_name(r->method);

	printf("head");
	put_hex(method, strlen(method));
	put_hex(r->target, strlen(r->target));
}

/* One request; whether others may follow. */
static int
judge(struct http_parser *p, const uint8_t *data, size_t len, size_t *off)
{
	uint8_t *body = xmalloc(len + 1);
	size_t n = 0, used, piece;
	const char *reason, *end = NULL;
	const uint8_t *at;
	enum http_event ev;
	int status, keep = 0, head = 0;

	do {
		ev = http_parse(p, data + *off, len - *off, &used, MAX_BODY);
		if (ev == HTTP_HEADERS) {
			put_head(http_request(p));
			keep = http_request(p)->keep_alive;
			head = 1;
		} else if (ev == HTTP_BODY) {
			at = http_body(p, &piece);
			memcpy(body + n, at, piece);
			n += piece;
		}
		*off += used;
	} while (ev == HTTP_HEADERS || ev == HTTP_BODY);
	if (head) {
		put_hex(body, n);
		printf(" %s\n", ev == HTTP_DONE ? "whole" : "part");
	}
	free(body);
	if (ev == HTTP_FAULT) {
		status = http_error(p, &reason);
		printf("end fault %d %s\n", status, reason);
	} else if (ev == HTTP_MORE)
		end = "more";
	else if (!keep)
		end = "close";
	if (end != NULL)
		printf("end %s\n", end);
	return (ev == HTTP_DONE && keep);
}

int
main(void)
{
	struct http_parser *p = http_parser_new(NULL);
	uint8_t size[4], *data;
	size_t len, off;

	if (p == NULL)
		err(1, NULL);
	while (fread(size, sizeof(size), 1, stdin) == 1) {
		len = (size_t)size[0] | (size_t)size[1] << 8 |
		      (size_t)size[2] << 16 | (size_t)size[3] << 24;
		if (len > MAX_INPUT)
			errx(1, "an input of %zu bytes", len);
		data = xmalloc(len + 1);
		if (len > 0 && fread(data, len, 1, stdin) != 1)
			errx(1, "an input is cut off");
		off = 0;
		do
			http_parser_reset(p);
		while (judge(p, data, len, &off));
		free(data);
	}
	http_parser_free(p);
	return (0);
}
