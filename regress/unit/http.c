/*
 * http.c: the request parser against the table of hostile input, and against
 * itself: each case is given whole, byte by byte and in odd pieces, and has to
 * give the same events. An answer is written as in the table: "ok" for each
 * complete request, then the status of the fault or "more" when it waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tako-api/http.h"
#include "util.h"

#define HOST	 "Host: a\r\n"
#define GET	 "GET / HTTP/1.1\r\n" HOST
#define POST	 "POST / HTTP/1.1\r\n" HOST
#define CHUNKED	 POST "Transfer-Encoding: chunked\r\n\r\n"
#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"
#define MAX_BODY 1000000

/* Everything that a parser said of some input, as text. */
struct heard {
	char *text;
	size_t len, size;
	char answer[64];
};

static void
hear(struct heard *h, const void *data, size_t len)
{
	while (h->len + len + 1 > h->size) {
		h->size = h->size == 0 ? 4096 : h->size * 2;
		h->text = realloc(h->text, h->size);
		assert_non_null(h->text);
	}
	memcpy(h->text + h->len, data, len);
	h->len += len;
	h->text[h->len] = '\0';
}

static void
hear_head(struct heard *h, const struct http_request *r)
{
	char line[256];
	unsigned i;

	snprintf(line, sizeof(line), "\n[%s 1.%d cl=%lld te=%d ka=%d ex=%d ",
	    http_method_name(r->method), r->minor, (long long)r->content_length,
	    r->chunked, r->keep_alive, r->expect_continue);
	hear(h, line, strlen(line));
	hear(h, r->target, strlen(r->target));
	hear(h, " host=", 6);
	hear(h, r->host, strlen(r->host));
	for (i = 0; i < r->n_fields; i++) {
		assert_int_equal(
		    strlen(r->fields[i].value), r->fields[i].value_len);
		hear(h, "|", 1);
		hear(h, r->fields[i].name, strlen(r->fields[i].name));
		hear(h, "=", 1);
		hear(h, r->fields[i].value, r->fields[i].value_len);
	}
	hear(h, "]", 1);
}

static void
answer(struct heard *h, const char *word)
{
	if (*h->answer != '\0')
		strlcat(h->answer, " ", sizeof(h->answer));
	if (strlen(h->answer) < 32)
		strlcat(h->answer, word, sizeof(h->answer));
}

/* One event; 0 when the parser is at its end. */
static int
hear_event(struct heard *h, struct http_parser *p, enum http_event ev)
{
	const uint8_t *body;
	const char *reason;
	char status[16];
	size_t len;

	switch (ev) {
	case HTTP_HEADERS:
		hear_head(h, http_request(p));
		break;
	case HTTP_BODY:
		body = http_body(p, &len);
		assert_true(len > 0);
		hear(h, body, len);
		break;
	case HTTP_DONE:
		answer(h, "ok");
		http_parser_reset(p);
		break;
	case HTTP_FAULT:
		snprintf(status, sizeof(status), "%d", http_error(p, &reason));
		hear(h, "\nfault: ", 8);
		hear(h, reason, strlen(reason));
		answer(h, status);
		return (0);
	case HTTP_MORE:
		break;
	}
	return (1);
}

/* Pieces of 1 to step bytes (0: all at once), each in memory of its own. */
static void
listen_to(struct heard *h, const char *data, size_t len, size_t step)
{
	struct http_parser *p = http_parser_new(NULL);
	enum http_event ev = HTTP_MORE;
	size_t off = 0, n, used, piece;
	uint8_t *copy;
	int begun = 0;

	assert_non_null(p);
	memset(h, 0, sizeof(*h));
	while (off < len) {
		piece = step == 0 ? len : 1 + off % step;
		if (piece > len - off)
			piece = len - off;
		copy = malloc(piece);
		assert_non_null(copy);
		memcpy(copy, data + off, piece);
		for (n = 0;; n += used) {
			ev =
			    http_parse(p, copy + n, piece - n, &used, MAX_BODY);
			assert_true(used <= piece - n);
			begun = ev != HTTP_DONE && (begun || used > 0);
			if (!hear_event(h, p, ev))
				goto end;
			if (ev == HTTP_MORE) {
				assert_int_equal(n + used, piece);
				break;
			}
			if (ev == HTTP_DONE && n + used == piece)
				break;
		}
		free(copy);
		off += piece;
	}
	if (begun)
		answer(h, "more");
	http_parser_free(p);
	return;
end:
	/* A fault stays, whatever comes. */
	assert_int_equal(
	    http_parse(p, copy, piece, &used, MAX_BODY), HTTP_FAULT);
	assert_int_equal(used, 0);
	free(copy);
	http_parser_free(p);
}

/* Hears some input in every way; all of it has to be the same. */
static void
hear_all(struct heard *first, const char *data, size_t len)
{
	static const size_t steps[] = { 1, 2, 3, 7, 64 };
	struct heard other;
	size_t i;

	listen_to(first, data, len, 0);
	/* A large body byte by byte shows nothing more than its head. */
	for (i = len > 200000 ? 4 : 0; i < nitems(steps); i++) {
		listen_to(&other, data, len, steps[i]);
		assert_string_equal(other.answer, first->answer);
		assert_int_equal(other.len, first->len);
		if (first->len > 0)
			assert_memory_equal(
			    other.text, first->text, first->len);
		free(other.text);
	}
}

static void
expect(const char *id, const char *data, size_t len, const char *wanted)
{
	struct heard h;

	hear_all(&h, data, len);
	if (strcmp(h.answer, wanted) != 0)
		fail_msg("%s: \"%s\" and not \"%s\" for %.200s%s", id, h.answer,
		    wanted, data, h.text == NULL ? "" : h.text);
	free(h.text);
}

/* ---- the table ---------------------------------------------------------- */

struct row {
	const char *id, *data;
	size_t len;
	const char *wanted;
};
#define ROW(id, data, wanted)                                                  \
	{                                                                      \
		id, data, sizeof(data) - 1, wanted                             \
	}

/* clang-format off */
static const struct row rows[] = {
	ROW("good", GET "\r\n", "ok"),
	ROW("good", GET "\r\n" GET "\r\n" GET "\r\n", "ok ok ok"),
	ROW("good", POST "Content-Length: 5\r\n\r\nhello" GET "\r\n", "ok ok"),
	ROW("good", POST "Content-Length: 5\r\n\r\nhell", "more"),
	ROW("good", POST "Content-Length: 0\r\n\r\n" GET "\r\n", "ok ok"),
	ROW("good", POST "\r\n" GET "\r\n", "ok ok"),
	ROW("good", CHUNKED "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n" GET
	    "\r\n", "ok ok"),
	ROW("good", "GET / HTTP/1.0\r\n\r\n", "ok"),
	ROW("H01", "GET / HTTP/1.1\r\n\r\n", "400"),
	ROW("H02", GET HOST "\r\n", "400"),
	ROW("H02", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", "400"),
	ROW("H02", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
	ROW("H02", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"),
	ROW("H02", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
	ROW("H02", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
	ROW("H03", "GET / HTTP/1.1\nHost: a\n\n", "400"),
	ROW("H03", "GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
	ROW("H03", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
	ROW("H04", GET "X: a\rb\r\n\r\n", "400"),
	ROW("H04", "GET / HTTP/1.1\rHost: a\r\r", "400"),
	ROW("H04", GET "\rX", "400"),
	ROW("H05", GET "X: a\r\n b\r\n\r\n", "400"),
	ROW("H05", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
	ROW("H06", POST "Transfer-Encoding:\r\n chunked\r\n"
	    "Content-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED, "400"),
	ROW("H06", POST "Transfer-Encoding:\r\n chunked\r\n\r\n"
	    "0\r\n\r\n" SMUGGLED, "400"),
	ROW("H07", POST "Transfer-Encoding:\tchunked\r\n\r\n"
	    "4a\r\nxGET /smuggled HTTP/1.1\r\n", "more"),
	ROW("H07", POST "Transfer-Encoding:\tchunked\r\nContent-Length: 80"
	    "\r\n\r\n0\r\n\r\n" SMUGGLED, "400"),
	ROW("H08", POST "Content-Length : 5\r\n\r\nhello", "400"),
	ROW("H08", POST "Content-Length\t: 5\r\n\r\nhello", "400"),
	ROW("H09", GET "X: a\0b\r\n\r\n", "400"),
	ROW("H10", GET "\0X: a\r\n\r\n" SMUGGLED, "400"),
	ROW("H11", "GET /\0 HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H11", "G\0T / HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H12", GET "X: \1\r\n\r\n", "400"),
	ROW("H12", GET "X: \177\r\n\r\n", "400"),
	ROW("H12", GET "X: \v\r\n\r\n", "400"),
	ROW("H12", GET "X: \033[0m\r\n\r\n", "400"),
	ROW("H13", GET ": a\r\n\r\n", "400"),
	ROW("H13", GET "X Y: a\r\n\r\n", "400"),
	ROW("H13", GET "X\303\244: a\r\n\r\n", "400"),
	ROW("good", GET "X!#$%&'*+-.^_`|~9: a\r\n\r\n", "ok"),
	ROW("good", GET "X: \303\244\377\t\"(),/:;<=>?@[\\]{}\r\n\r\n", "ok"),
	ROW("H14", GET "X\r\n\r\n", "400"),
	ROW("H15", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
	    "\r\n0\r\n\r\n", "400"),
	ROW("H15", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
	    "\r\n0\r\n\r\n", "400"),
	ROW("H15", POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"
	    "\r\n0\r\n\r\n", "400"),
	ROW("H16", POST "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"),
	ROW("H16", POST "Content-Length: 5\r\n"
	    "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"),
	ROW("H16", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: xchunked\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding:\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: identity\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: \vchunked\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: chunked,\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: ,chunked\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: chunked;a=b\r\n\r\n", "400"),
	ROW("H17", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", "400"),
	ROW("good", POST "Transfer-Encoding: ChUnKeD \t\r\n\r\n0\r\n\r\n",
	    "ok"),
	ROW("H18", POST "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
	ROW("H18", POST "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400"),
	ROW("H19", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "400"),
	ROW("H20", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
	    "400"),
	ROW("H20", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	    "400"),
	ROW("H20", POST "Content-Length: 5, 5\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length: +5\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length: -0\r\n\r\n", "400"),
	ROW("H21", POST "Content-Length: 0x5\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length: 5_0\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length: 5 5\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length:\r\n\r\n", "400"),
	ROW("H21", POST "Content-Length: -1\r\n\r\n", "400"),
	ROW("H21", POST "Content-Length: 5.0\r\n\r\nhello", "400"),
	ROW("H21", POST "Content-Length: 1e1\r\n\r\nhello", "400"),
	ROW("H22", POST "Content-Length: 9223372036854775807\r\n\r\n", "400"),
	ROW("H22", POST "Content-Length: 9223372036854775807\r\n\r\nx", "400"),
	ROW("H22", POST "Content-Length: 10000000000000000000000\r\n\r\nx",
	    "400"),
	ROW("H22", POST "Content-Length: 18446744073709551621\r\n\r\nx",
	    "400"),
	ROW("H23", POST "Content-Length: 1000001\r\n\r\nx", "413"),
	ROW("H25", "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 35\r\n\r\n"
	    SMUGGLED, "400"),
	ROW("H25", "HEAD / HTTP/1.1\r\n" HOST
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, "400"),
	ROW("H26", GET "Content-Length: 5\r\n\r\nhello", "400"),
	ROW("H26", "DELETE / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n"
	    "hello", "400"),
	ROW("good", GET "Content-Length: 0\r\n\r\n" GET "\r\n", "ok ok"),
	ROW("H27", "TRACE / HTTP/1.1\r\n" HOST "\r\n", "ok"),
	ROW("H27", "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", "501"),
	ROW("H27", "BREW / HTTP/1.1\r\n" HOST "\r\n", "501"),
	ROW("H27", "get / HTTP/1.1\r\n" HOST "\r\n", "501"),
	ROW("H27", "GETT / HTTP/1.1\r\n" HOST "\r\n", "501"),
	ROW("H27", "GE T / HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H27", " GET / HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H27", "\tGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H27", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H28", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "ok"),
	ROW("H28", "OPTIONS /x HTTP/1.1\r\n" HOST "Content-Length: 35\r\n\r\n"
	    SMUGGLED GET "\r\n", "ok ok"),
	ROW("H28", "GET * HTTP/1.1\r\n" HOST "\r\n", "400"),
	ROW("H29", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "-0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "5 junk\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "5_0\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "5\t\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H29", CHUNKED "\0005\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H30", CHUNKED "-5\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H30", CHUNKED "00000000000000005\r\nhello\r\n", "400"),
	ROW("H30", CHUNKED "10000000000000005\r\nhello\r\n", "400"),
	ROW("H30", CHUNKED "fffffffffffffffe\r\nhello\r\n", "413"),
	ROW("good", CHUNKED "0000000000000005\r\nhello\r\n0000\r\n\r\n", "ok"),
	ROW("H31", CHUNKED "5\r\nhello!\r\n0\r\n\r\n", "400"),
	ROW("H31", CHUNKED "5\r\nhello0\r\n\r\n", "400"),
	ROW("H31", CHUNKED "5\r\nhell\r\n0\r\n\r\n", "400"),
	ROW("H32", CHUNKED "5\nhello\r\n0\r\n\r\n", "400"),
	ROW("H32", CHUNKED "5\r\nhello\n0\r\n\r\n", "400"),
	ROW("H32", CHUNKED "5\r\nhello\r\n0\n\r\n", "400"),
	ROW("H32", CHUNKED "5\r\nhello\r\n0\r\n\n", "400"),
	ROW("H32", CHUNKED "5\r\nhello\r\n\r\n\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a\r\nhello\r\n0;b=c;d=\"e\\\"; f\"\r\n\r\n",
	    "ok"),
	ROW("H33", CHUNKED "5;\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a=\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a=\"b\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a=\"b\\\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a b\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a\1\r\nhello\r\n0\r\n\r\n", "400"),
	ROW("H33", CHUNKED "5;a\nhello\r\n0\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\nHost: b\r\nContent-Length: 9\r\n"
	    "Transfer-Encoding: chunked\r\nAuthorization: c\r\n\r\n"
	    GET "\r\n", "ok ok"),
	ROW("H36", CHUNKED "0\r\n folded: b\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\nno colon\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\n: x\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\nX\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\nX: a\1\r\n\r\n", "400"),
	ROW("H36", CHUNKED "0\r\nX: a\n\r\n", "400"),
	ROW("H45", "\r\n" GET "\r\n", "ok"),
	ROW("H45", "\r\n\r\n" GET "\r\n", "400"),
	ROW("H45", "\n" GET "\r\n", "400"),
	ROW("H45", GET "\r\n\r\n" GET "\r\n\r\n", "ok ok more"),
	ROW("H47", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
	ROW("H47", "\026\003\001\002\000\001", "400"),
	ROW("H47", "\377\376\375", "400"),
	ROW("H47", "SSH-2.0-x\r\n", "400"),
	ROW("H48", GET "Connection: Upgrade, HTTP2-Settings\r\n"
	    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "ok"),
	ROW("H52", POST "Expect: 200-ok\r\nContent-Length: 5\r\n\r\n", "417"),
	ROW("H52", POST "Expect: 100-continue, x\r\nContent-Length: 5\r\n"
	    "\r\n", "417"),
	ROW("good", POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
	    "hello", "ok"),
};
/* clang-format on */

static void
test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++)
		expect(rows[i].id, rows[i].data, rows[i].len, rows[i].wanted);
}

/* H13: no separator, and no byte beyond ASCII, in a name. */
static void
test_names(void **state)
{
	char data[] = GET "Xa: b\r\n\r\n";
	char *where = strstr(data, "Xa:") + 1;
	unsigned c;

	(void)state;
	for (c = 0; c < 256; c++) {
		*where = (char)c;
		if (c == ':')
			continue; /* the rest is its value */
		expect("name", data, sizeof(data) - 1,
		    c > ' ' && c < 127 &&
			    strchr("(),/;<=>?@[\\]{}\"", (int)c) == NULL
			? "ok"
			: "400");
	}
}

/* Every byte in a value: all but controls, the tab excepted. */
static void
test_values(void **state)
{
	char data[] = GET "X: a.b\r\n\r\n";
	char *where = strstr(data, "a.b") + 1;
	unsigned c;

	(void)state;
	for (c = 0; c < 256; c++) {
		*where = (char)c;
		expect("value", data, sizeof(data) - 1,
		    c == '\t' || (c >= ' ' && c != 127) ? "ok" : "400");
	}
}

/* ---- forms of the request line ------------------------------------------ */

static void
test_versions(void **state)
{
	static const struct {
		const char *version, *wanted;
	} cases[] = {
		{ "HTTP/1.1", "ok" },
		{ "HTTP/1.0", "ok" },
		{ "HTTP/1.9", "400" },
		{ "HTTP/1.2", "400" },
		{ "HTTP/2.0", "505" },
		{ "HTTP/3.0", "505" },
		{ "HTTP/9.9", "505" },
		{ "HTTP/0.9", "400" },
		{ "HTTP/+1.-1", "400" },
		{ "HTTP/1.01", "400" },
		{ "HTTP/01.1", "400" },
		{ "HTTP/1.1 ", "400" },
		{ "HTTP/1", "400" },
		{ "HTTP/1.", "400" },
		{ "HTTP/.1", "400" },
		{ "HTTP/2", "400" },
		{ "http/1.1", "400" },
		{ "Http/1.1", "400" },
		{ "HTTPS/1.1", "400" },
		{ "HTTP/1,1", "400" },
		{ "HTTP 1.1", "400" },
		{ "HTTP/1.1\t", "400" },
		{ "", "400" },
	};
	char data[256];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		snprintf(data, sizeof(data), "GET / %s\r\n" HOST "\r\n",
		    cases[i].version);
		expect("H46", data, strlen(data), cases[i].wanted);
	}
	expect("H46", "GET /\r\n\r\n", 9, "400");
	expect("H46", "GET\r\n\r\n", 7, "400");
	expect("H46", "GET  / HTTP/1.1\r\n", 17, "400");
	expect("H46", "GET /  HTTP/1.1\r\n", 17, "400");
	expect("H46", "GET / a HTTP/1.1\r\n", 18, "400");
}

static void
test_targets(void **state)
{
	static const struct {
		const char *target, *wanted; /* the target, or a status */
	} cases[] = {
		{ "/", "/" },
		{ "/a/b?c=d&e=f+g", "/a/b?c=d&e=f+g" },
		{ "/-._~!$&'()*+,;=:@%41", "/-._~!$&'()*+,;=:@%41" },
		{ "/?a=[b]{c}|^`/?", "/?a=[b]{c}|^`/?" },
		{ "//", "//" },
		{ "/../etc/passwd", "/../etc/passwd" },
		{ "/%2e%2e%2f", "/%2e%2e%2f" },
		{ "/%252e", "/%252e" },
		{ "/%0d%0aX:y", "/%0d%0aX:y" },
		{ "/%c0%ae", "/%c0%ae" },
		{ "/%00", "400" },
		{ "/?%00", "400" },
		{ "/%zz", "400" },
		{ "/%4", "400" },
		{ "/%", "400" },
		{ "/?%4", "400" },
		{ "/?a=%zz", "400" },
		{ "/a#b", "400" },
		{ "/?a#b", "400" },
		{ "/a\\b", "400" },
		{ "/?a\\b", "400" },
		{ "/\303\244", "400" },
		{ "/?\303\244", "400" },
		{ "/a\"b", "400" },
		{ "/<b>", "400" },
		{ "/a{b}", "400" },
		{ "/a|b", "400" },
		{ "/[a]", "400" },
		{ "a", "400" },
		{ "?a", "400" },
		{ "*", "400" },
		{ "*a", "400" },
		{ "a:80", "400" },
		{ "http://a", "/" },
		{ "http://a/", "/" },
		{ "http://a?b", "/?b" },
		{ "HTTPS://A/b?c", "/b?c" },
		{ "http://a/%zz", "400" },
		{ "http://b/", "400" },
		{ "http://a:80/", "400" },
		{ "http://u@a/", "400" },
		{ "http://", "400" },
		{ "http:///a", "400" },
		{ "http:/a", "400" },
		{ "ftp://a/", "400" },
		{ "file:///etc/passwd", "400" },
	};
	char data[512];
	struct heard h;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		snprintf(data, sizeof(data), "GET %s HTTP/1.1\r\n" HOST "\r\n",
		    cases[i].target);
		if (*cases[i].wanted != '/') {
			expect("target", data, strlen(data), cases[i].wanted);
			continue;
		}
		expect("target", data, strlen(data), "ok");
		hear_all(&h, data, strlen(data));
		snprintf(data, sizeof(data), " ex=0 %s host=", cases[i].wanted);
		if (strstr(h.text, data) == NULL)
			fail_msg("%s: %s", cases[i].target, h.text);
		free(h.text);
	}
}

static void
test_hosts(void **state)
{
	static const struct {
		const char *host;
		int good;
	} cases[] = {
		{ "a", 1 },
		{ "localhost:8000", 1 },
		{ "a.example.com.", 1 },
		{ "127.0.0.1:65535", 1 },
		{ "a:", 1 },
		{ "[::1]", 1 },
		{ "[::1]:80", 1 },
		{ "[::ffff:127.0.0.1]", 1 },
		{ "x_y-z", 1 },
		{ "a:65536", 0 },
		{ "a:99999999999", 0 },
		{ "a:b", 0 },
		{ "a:-1", 0 },
		{ "a:80:80", 0 },
		{ ":80", 0 },
		{ "a b", 0 },
		{ "a,b", 0 },
		{ "a@b", 0 },
		{ "a/b", 0 },
		{ "a?b", 0 },
		{ "a#b", 0 },
		{ "http://a", 0 },
		{ "a%00", 0 },
		{ "\"a\"", 0 },
		{ "\303\244", 0 },
		{ "[::1", 0 },
		{ "::1", 0 },
		{ "[]", 0 },
		{ "[1]", 0 },
		{ "[::1%eth0]", 0 },
		{ "[::1]a", 0 },
		{ "[[::1]]", 0 },
		{ "[127.0.0.1]", 0 },
	};
	char data[1024], name[300];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		snprintf(data, sizeof(data),
		    "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
		expect("H02", data, strlen(data), cases[i].good ? "ok" : "400");
	}
	for (i = 255; i <= 256; i++) {
		memset(name, 'a', i);
		name[i] = '\0';
		snprintf(data, sizeof(data),
		    "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name);
		expect("H02", data, strlen(data), i == 255 ? "ok" : "400");
	}
}

/* ---- limits ------------------------------------------------------------- */

/* A buffer that text is appended to. */
struct text {
	char *s;
	size_t len, size;
};

static void
put(struct text *t, const char *s, size_t times)
{
	size_t n = strlen(s);

	while (times-- > 0) {
		if (t->len + n + 1 > t->size) {
			t->size = (t->len + n + 1) * 2;
			t->s = realloc(t->s, t->size);
			assert_non_null(t->s);
		}
		memcpy(t->s + t->len, s, n + 1);
		t->len += n;
	}
}

static void
expect_text(const char *id, struct text *t, const char *wanted)
{
	expect(id, t->s, t->len, wanted);
	free(t->s);
	memset(t, 0, sizeof(*t));
}

static void
test_line_limits(void **state)
{
	struct text t = { NULL, 0, 0 };
	size_t n;

	(void)state;
	/* "GET " and " HTTP/1.1" take 13 bytes. */
	for (n = 8192 - 13; n <= 8192 - 12; n++) {
		put(&t, "GET /", 1);
		put(&t, "a", n - 1);
		put(&t, " HTTP/1.1\r\n" HOST "\r\n", 1);
		expect_text("H38", &t, n == 8192 - 13 ? "ok" : "414");
	}
	put(&t, "GET /", 1);
	put(&t, "a", 20000);
	expect_text("H38", &t, "414");
	put(&t, "A", 65536);
	expect_text("H27", &t, "501");
	put(&t, "A", 33);
	put(&t, " / HTTP/1.1\r\n", 1);
	expect_text("H27", &t, "501");
	put(&t, "A", 32);
	expect_text("H27", &t, "more");
}

static void
test_head_limits(void **state)
{
	struct text t = { NULL, 0, 0 };
	size_t n;

	(void)state;
	/* All lines with their ends: Host's 9 bytes, "X: " and CRLF 5. */
	for (n = 16384 - 14; n <= 16384 - 13; n++) {
		put(&t, GET "X: ", 1);
		put(&t, "a", n);
		put(&t, "\r\n\r\n", 1);
		expect_text("H38", &t, n == 16384 - 14 ? "ok" : "431");
	}
	put(&t, GET, 1);
	put(&t,
	    "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "\r\n",
	    99);
	put(&t, "\r\n", 1);
	expect_text("H38", &t, "431");
	for (n = 99; n <= 100; n++) {
		put(&t, GET, 1);
		put(&t, "X: a\r\n", n);
		put(&t, "\r\n", 1);
		expect_text("H39", &t, n == 99 ? "ok" : "431");
	}
	put(&t, GET, 1);
	put(&t, "X:\r\n", 10000);
	expect_text("H39", &t, "431");
}

static void
test_chunk_limits(void **state)
{
	struct text t = { NULL, 0, 0 };
	size_t n;

	(void)state;
	put(&t, CHUNKED, 1);
	put(&t, "0", 17);
	expect_text("H34", &t, "400");
	put(&t, CHUNKED, 1);
	put(&t, "f", 20);
	expect_text("H34", &t, "400");
	/* "5;" and the rest: 256 bytes. */
	for (n = 254; n <= 255; n++) {
		put(&t, CHUNKED "5;", 1);
		put(&t, "a", n);
		put(&t, "\r\nhello\r\n0\r\n\r\n", 1);
		expect_text("H33", &t, n == 254 ? "ok" : "400");
	}
	put(&t, CHUNKED "5;", 1);
	put(&t, "a", 65536);
	expect_text("H33", &t, "400");
	put(&t, CHUNKED, 1);
	put(&t, "1\r\nx\r\n", 1000000);
	expect_text("H35", &t, "400");
	/* What a client that writes line by line sends is no attack. */
	put(&t, CHUNKED, 1);
	put(&t, "6\r\nhello\n\r\n", 20000);
	put(&t, "0\r\n\r\n", 1);
	expect_text("good", &t, "ok");
	put(&t, CHUNKED, 1);
	put(&t, "1\r\nx\r\n", 4000);
	put(&t, "0\r\n\r\n", 1);
	expect_text("good", &t, "ok");
	put(&t, CHUNKED "0\r\n", 1);
	put(&t, "X: aaaaaaaaaaaaa\r\n", 1000000);
	expect_text("H37", &t, "431");
	put(&t, CHUNKED "0\r\nX: ", 1);
	put(&t, "a", 5000);
	expect_text("H37", &t, "431");
}

/* A body at the limit, one byte above it, and far above it. */
static void
test_body_limits(void **state)
{
	struct text t = { NULL, 0, 0 };

	(void)state;
	put(&t, CHUNKED "f4240\r\n", 1);
	put(&t, "0123456789", MAX_BODY / 10);
	put(&t, "\r\n0\r\n\r\n", 1);
	expect_text("H60", &t, "ok");
	put(&t, CHUNKED "f4241\r\n", 1);
	expect_text("H60", &t, "413");
	put(&t, CHUNKED "f423f\r\n", 1);
	put(&t, "0123456789", MAX_BODY / 10 - 1);
	put(&t, "012345678\r\n2\r\nab\r\n", 1);
	expect_text("H60", &t, "413");
	put(&t, POST "Content-Length: 1000000\r\n\r\n", 1);
	put(&t, "0123456789", MAX_BODY / 10);
	expect_text("H60", &t, "ok");
}

/* ---- what a head says --------------------------------------------------- */

static void
heard_is(const char *data, const char *wanted)
{
	struct heard h;

	hear_all(&h, data, strlen(data));
	assert_string_equal(h.text, wanted);
	free(h.text);
}

static void
test_heads(void **state)
{
	(void)state;
	heard_is("POST /a?b HTTP/1.1\r\nHost: A:80\r\nX-Y:  v w \t\r\n"
		 "EMPTY:\r\nContent-Length: 007\r\n\r\n0123456",
	    "\n[POST 1.1 cl=7 te=0 ka=1 ex=0 /a?b host=A:80|host=A:80|x-y=v w"
	    "|empty=|content-length=007]0123456");
	heard_is("PUT / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n"
		 "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
		 "3;x\r\nabc\r\n2\r\nde\r\n0\r\nHost: b\r\n\r\n",
	    "\n[PUT 1.1 cl=-1 te=1 ka=0 ex=1 / host=a|host=a|connection=x, "
	    "Close|transfer-encoding=chunked|expect=100-continue]abcde");
	heard_is("PATCH / HTTP/1.0\r\nExpect: 100-continue\r\n"
		 "Content-Length: 1\r\nConnection: Keep-Alive\r\n\r\nx",
	    "\n[PATCH 1.0 cl=1 te=0 ka=1 ex=0 / host=|expect=100-continue"
	    "|content-length=1|connection=Keep-Alive]x");
	/* Nobody waits for leave to send nothing; "close" wins. */
	heard_is("GET / HTTP/1.0\r\n\r\n",
	    "\n[GET 1.0 cl=-1 te=0 ka=0 ex=0 / host=]");
	heard_is(GET "Expect: 100-continue\r\nConnection: close\r\n"
		     "Connection: keep-alive\r\n\r\n",
	    "\n[GET 1.1 cl=-1 te=0 ka=0 ex=0 / host=a|host=a"
	    "|expect=100-continue|connection=close|connection=keep-alive]");
	heard_is("OPTIONS http://[::1]:1?x HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
	    "\n[OPTIONS 1.1 cl=-1 te=0 ka=1 ex=0 /?x host=[::1]:1"
	    "|host=[::1]:1]");
}

static void
test_fields(void **state)
{
	static const char data[] = GET "X-A: 1\r\nx-a: 2\r\n\r\n";
	struct http_parser *p = http_parser_new(NULL);
	unsigned n;
	size_t used;

	(void)state;
	assert_non_null(p);
	assert_int_equal(
	    http_parse(p, (const uint8_t *)data, sizeof(data) - 1, &used, 0),
	    HTTP_HEADERS);
	assert_int_equal(used, sizeof(data) - 1);
	assert_string_equal(http_field(http_request(p), "x-a", &n), "1");
	assert_int_equal(n, 2);
	assert_null(http_field(http_request(p), "x-b", &n));
	assert_int_equal(n, 0);
	assert_string_equal(http_field(http_request(p), "host", NULL), "a");
	assert_int_equal(http_parse(p, NULL, 0, &used, 0), HTTP_DONE);
	http_parser_free(p);
}

static void
test_decode(void **state)
{
	static const struct {
		const char *src;
		int plus;
		const char *wanted; /* NULL: refused */
	} cases[] = {
		{ "", 0, "" },
		{ "abc", 0, "abc" },
		{ "a+b", 0, "a+b" },
		{ "a+b%2B", 1, "a b+" },
		{ "%41%4a%4A", 0, "AJJ" },
		{ "%252e", 0, "%2e" },
		{ "%c3%a4", 0, "\303\244" },
		{ "%e2%82%ac", 0, "\342\202\254" },
		{ "%00", 0, NULL },
		{ "a%00b", 0, NULL },
		{ "%", 0, NULL },
		{ "%4", 0, NULL },
		{ "%zz", 0, NULL },
		{ "%4g", 0, NULL },
		{ "%-1", 0, NULL },
		{ "% 1", 0, NULL },
		{ "%c0%ae", 0, NULL },
		{ "%ed%a0%80", 0, NULL },
		{ "%ff", 0, NULL },
		{ "%c3", 0, NULL },
		{ "0123456789abcde", 0, "0123456789abcde" },
		{ "0123456789abcdef", 0, NULL },
		{ "0123456789abcd%65", 0, "0123456789abcde" },
	};
	char dst[16];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		if (http_decode(dst, sizeof(dst), cases[i].src,
			strlen(cases[i].src), cases[i].plus) == -1)
			assert_null(cases[i].wanted);
		else {
			assert_non_null(cases[i].wanted);
			assert_string_equal(dst, cases[i].wanted);
		}
	}
	/* Only len bytes of src are looked at. */
	assert_int_equal(http_decode(dst, sizeof(dst), "%41", 2, 0), -1);
	assert_int_equal(http_decode(dst, 0, "", 0, 0), -1);
	assert_int_equal(http_decode(dst, 1, "", 0, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_line_limits),
		cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_chunk_limits),
		cmocka_unit_test(test_body_limits),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_decode),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
