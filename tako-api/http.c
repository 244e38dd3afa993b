/*
 * http.c: the HTTP/1.1 request parser: bytes in, events out, no I/O. Runs in
 * tako-api on bytes from anybody. Why it is ours: both C candidates were
 * measured against the table of hostile input and let requests be smuggled or
 * pass a third of what has to be refused.
 *
 * The head is collected line by line into one fixed buffer; a line is checked
 * as it comes, byte by byte, so that any split of the input gives the same
 * events. Where a grammar allows leniency (bare LF, folded lines, white space
 * before a colon, lists of lengths), it is refused: two parsers in a row that
 * are lenient in different ways are how requests are smuggled.
 */
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "util.h"

/* Digits of a Content-Length or chunk size that still fit 63 bits. */
#define MAX_LENGTH_DIGITS 18
#define MAX_CHUNK_DIGITS  8
/* Method names are short: past this a line is no request. */
#define MAX_METHOD 16
/*
 * Chunks may carry so much framing beside their data before it counts as an
 * attack on the parser: a factor, beyond a free allowance.
 */
#define CHUNK_OVERHEAD_FREE   4096
#define CHUNK_OVERHEAD_FACTOR 4

enum state {
	ST_START,      /* before the request line */
	ST_LINE,       /* in it */
	ST_FIELD,      /* in a line of the head */
	ST_BODY,       /* counted body */
	ST_CHUNK_LINE, /* size and extensions */
	ST_CHUNK_DATA,
	ST_CHUNK_END, /* CRLF after the data */
	ST_TRAILER,
	ST_DONE,
	ST_FAULT
};

struct http_parser {
	enum state state;
	struct http_request req;
	int error;
	const char *reason;
	const uint8_t *body;
	size_t body_len;
	uint64_t remaining; /* of the body, or of a chunk */
	uint64_t total;	    /* body bytes of a chunked request */
	uint64_t overhead;  /* framing bytes of it */
	size_t used;	    /* of head */
	size_t line;	    /* where the present line begins in head */
	size_t fields_len;  /* bytes of field lines so far */
	int cr;		    /* the last byte was a CR */
	int crlf_seen;	    /* an empty line was passed over before it */
	int announced;	    /* HTTP_HEADERS was given */
	char short_line[HTTP_MAX_CHUNK_LINE + 2];
	char head[HTTP_MAX_LINE + HTTP_MAX_HEAD + 16];
};

static const char *const method_names[HTTP_METHOD_MAX] = { "GET", "HEAD",
	"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT" };

const char *
http_method_name(enum http_method m)
{
	return ((unsigned)m < HTTP_METHOD_MAX ? method_names[m] : "?");
}

struct http_parser *
http_parser_new(void)
{
	struct http_parser *p;

	if ((p = malloc(sizeof(*p))) != NULL)
		http_parser_reset(p);
	return (p);
}

void
http_parser_free(struct http_parser *p)
{
	free(p);
}

void
http_parser_reset(struct http_parser *p)
{
	/* The buffers need no clearing: only what is used is read. */
	memset(p, 0, offsetof(struct http_parser, short_line));
	p->req.content_length = -1;
	p->req.host = p->req.target = "";
}

const struct http_request *
http_request(const struct http_parser *p)
{
	return (&p->req);
}

const uint8_t *
http_body(const struct http_parser *p, size_t *len)
{
	*len = p->body_len;
	return (p->body);
}

int
http_error(const struct http_parser *p, const char **reason)
{
	*reason = p->reason;
	return (p->error);
}

static enum http_event
fault(struct http_parser *p, int status, const char *reason)
{
	p->state = ST_FAULT;
	p->error = status;
	p->reason = reason;
	return (HTTP_FAULT);
}

/* ---- characters -----------------------------------------------------------
 */

/* tchar of RFC 9110: what names of methods, fields and codings are made of. */
static int
is_token(unsigned char c)
{
	return ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL));
}

static int
is_hex(unsigned char c)
{
	return ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		(c >= 'A' && c <= 'F'));
}

/* What a target may hold: RFC 3986's path and query, and nothing more. */
static int
is_target(unsigned char c)
{
	return (c > 0x20 && c < 0x7f && strchr("\"#<>\\^`{|}", c) == NULL);
}

/* In a field's value: no control but the tab. */
static int
is_value(unsigned char c)
{
	return (c == '\t' || (c >= 0x20 && c != 0x7f));
}

/* ---- the request line -------------------------------------------------------
 */

static enum http_event
check_target(struct http_parser *p, const char *target)
{
	const char *s;

	for (s = target; *s != '\0'; s++) {
		if (!is_target((unsigned char)*s))
			return (fault(p, 400, "Bad character in the target"));
		if (*s == '%' && (!is_hex((unsigned char)s[1]) ||
				     !is_hex((unsigned char)s[2]) ||
				     (s[1] == '0' && s[2] == '0')))
			return (fault(p, 400, "Bad escape in the target"));
	}
	return (HTTP_MORE);
}

/* HTTP/1.0 or HTTP/1.1, to the letter. */
static enum http_event
check_version(struct http_parser *p, const char *v)
{
	if (strcmp(v, "HTTP/1.1") == 0)
		p->req.minor = 1;
	else if (strcmp(v, "HTTP/1.0") == 0)
		p->req.minor = 0;
	else if (strlen(v) == 8 && strncmp(v, "HTTP/", 5) == 0 && v[5] >= '2' &&
		 v[5] <= '9' && v[6] == '.' && v[7] >= '0' && v[7] <= '9')
		return (fault(p, 505, "HTTP Version Not Supported"));
	else
		return (fault(p, 400, "Bad protocol version"));
	return (HTTP_MORE);
}

static enum http_event
request_line(struct http_parser *p)
{
	char *line = p->head + p->line, *target, *version;
	int m;

	if ((target = strchr(line, ' ')) == NULL ||
	    (version = strchr(target + 1, ' ')) == NULL)
		return (fault(p, 400, "Bad request line"));
	*target++ = '\0';
	*version++ = '\0';
	if (line[0] == '\0' || target[0] == '\0' ||
	    strchr(version, ' ') != NULL)
		return (fault(p, 400, "Bad request line"));
	if (check_target(p, target) != HTTP_MORE)
		return (HTTP_FAULT);
	for (m = 0; m < HTTP_METHOD_MAX; m++)
		if (strcmp(line, method_names[m]) == 0)
			break;
	/* "*" is for OPTIONS; else a path, or a whole address (checked later
	 * against Host). An authority alone is CONNECT's, which is not ours. */
	if (strcmp(target, "*") == 0
		? m != HTTP_OPTIONS
		: target[0] != '/' && strncasecmp(target, "http://", 7) != 0 &&
		      m != HTTP_CONNECT)
		return (fault(p, 400, "Bad form of target"));
	if (check_version(p, version) != HTTP_MORE)
		return (HTTP_FAULT);
	if (m == HTTP_METHOD_MAX || m == HTTP_CONNECT)
		return (fault(p, 501, "Method not implemented"));
	p->req.method = (enum http_method)m;
	p->req.target = target;
	return (HTTP_MORE);
}

/* ---- fields
 * ------------------------------------------------------------------ */

static enum http_event
field_line(struct http_parser *p)
{
	char *line = p->head + p->line, *colon, *end, *value, *s;
	struct http_field *f;

	if (line[0] == ' ' || line[0] == '\t')
		return (fault(p, 400, "Folded header field"));
	if ((colon = strchr(line, ':')) == NULL)
		return (fault(p, 400, "Header field without a colon"));
	if (colon == line)
		return (fault(p, 400, "Header field without a name"));
	for (s = line; s < colon; s++) {
		if (!is_token((unsigned char)*s))
			return (fault(p, 400, "Bad name of a header field"));
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	}
	if (p->req.n_fields == HTTP_MAX_FIELDS)
		return (fault(p, 431, "Too many header fields"));
	*colon = '\0';
	value = colon + 1;
	value += strspn(value, " \t");
	for (end = p->head + p->used - 1;
	     end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	f = &p->req.fields[p->req.n_fields++];
	f->name = line;
	f->value = value;
	f->value_len = (size_t)(end - value);
	return (HTTP_MORE);
}

const char *
http_field(const struct http_request *r, const char *name, unsigned *count)
{
	const char *value = NULL;
	unsigned i, n = 0;

	for (i = 0; i < r->n_fields; i++)
		if (strcmp(r->fields[i].name, name) == 0) {
			if (value == NULL)
				value = r->fields[i].value;
			n++;
		}
	if (count != NULL)
		*count = n;
	return (value);
}

/* host[:port]: a name, an IPv4 address or one in brackets. */
static int
host_valid(const char *h)
{
	size_t n;

	if (h[0] == '[') {
		n = strspn(h + 1, "0123456789abcdefABCDEF:.");
		if (n == 0 || h[n + 1] != ']')
			return (0);
		h += n + 2;
	} else {
		n = strspn(h, "0123456789abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._~!$&'()*+;=%");
		if (n == 0)
			return (0);
		h += n;
	}
	if (h[0] == ':') {
		n = strspn(h + 1, "0123456789");
		if (n > 5)
			return (0);
		h += n + 1;
	}
	return (h[0] == '\0');
}

static enum http_event
check_host(struct http_parser *p)
{
	const char *host, *target = p->req.target, *rest;
	size_t len;
	unsigned n;

	host = http_field(&p->req, "host", &n);
	if (n > 1)
		return (fault(p, 400, "More than one Host"));
	if (n == 0) {
		if (p->req.minor == 1)
			return (fault(p, 400, "Host is missing"));
		host = "";
	} else if (!host_valid(host))
		return (fault(p, 400, "Bad Host"));
	p->req.host = host;
	if (strncasecmp(target, "http://", 7) != 0)
		return (HTTP_MORE);
	/* The whole address: for this host, or for nobody here. */
	rest = target + 7 + strcspn(target + 7, "/?");
	len = (size_t)(rest - target - 7);
	if (len != strlen(host) || strncasecmp(target + 7, host, len) != 0)
		return (fault(p, 421, "Target is of another host"));
	p->req.target = *rest == '/' ? rest : "/";
	return (HTTP_MORE);
}

/* One coding, chunked, and nothing that another parser could read otherwise. */
static enum http_event
check_transfer(struct http_parser *p, const char *te, unsigned n)
{
	const char *s;
	int chunked;

	if (p->req.minor == 0)
		return (fault(p, 400, "Transfer-Encoding in HTTP/1.0"));
	if (n > 1)
		return (fault(p, 400, "More than one Transfer-Encoding"));
	if (http_field(&p->req, "content-length", NULL) != NULL &&
	    strchr(te, ',') == NULL)
		return (
		    fault(p, 400, "Both Transfer-Encoding and Content-Length"));
	if (strcasecmp(te, "chunked") == 0) {
		p->req.chunked = 1;
		return (HTTP_MORE);
	}
	/* A list of well-formed codings that ends in one chunked is legal. */
	for (s = te, chunked = 0; *s != '\0';) {
		size_t len = 0;

		while (is_token((unsigned char)s[len]))
			len++;
		if (len == 0 || chunked)
			return (fault(p, 400, "Bad Transfer-Encoding"));
		chunked = len == 7 && strncasecmp(s, "chunked", 7) == 0;
		s += len;
		s += strspn(s, " \t");
		if (*s == ',') {
			s++;
			s += strspn(s, " \t");
			if (*s == '\0')
				return (fault(p, 400, "Bad Transfer-Encoding"));
		} else if (*s != '\0')
			return (fault(p, 400, "Bad Transfer-Encoding"));
	}
	if (!chunked)
		return (fault(p, 400, "Bad Transfer-Encoding"));
	return (fault(p, 501, "Transfer-Encoding not implemented"));
}

static enum http_event
check_length(struct http_parser *p)
{
	const char *value;
	int64_t v = 0;
	unsigned n;
	size_t i;

	if ((value = http_field(&p->req, "content-length", &n)) == NULL)
		return (HTTP_MORE);
	if (n > 1 || value[0] == '\0')
		return (fault(p, 400, "Bad Content-Length"));
	for (i = 0; value[i] != '\0'; i++) {
		if (value[i] < '0' || value[i] > '9')
			return (fault(p, 400, "Bad Content-Length"));
		if (i >= MAX_LENGTH_DIGITS)
			return (fault(p, 413, "Payload too large"));
		v = v * 10 + (value[i] - '0');
	}
	p->req.content_length = v;
	return (HTTP_MORE);
}

/* Does a list of tokens hold this one? */
static int
has_token(const char *list, const char *token)
{
	size_t len, n = strlen(token);

	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		len = strcspn(list, " \t,");
		if (len == n && strncasecmp(list, token, n) == 0)
			return (1);
		list += len;
	}
	return (0);
}

static enum http_event
check_expect(struct http_parser *p)
{
	const char *value = http_field(&p->req, "expect", NULL);

	if (value == NULL || p->req.minor == 0)
		return (HTTP_MORE);
	if (strcasecmp(value, "100-continue") != 0)
		return (fault(p, 417, "Expectation failed"));
	p->req.expect_continue = 1;
	return (HTTP_MORE);
}

/* The head is there: what does it say of the body and of the connection? */
static enum http_event
end_of_head(struct http_parser *p)
{
	const char *te, *connection;
	unsigned n;

	if (check_host(p) != HTTP_MORE)
		return (HTTP_FAULT);
	te = http_field(&p->req, "transfer-encoding", &n);
	if (te != NULL && check_transfer(p, te, n) != HTTP_MORE)
		return (HTTP_FAULT);
	if (check_length(p) != HTTP_MORE || check_expect(p) != HTTP_MORE)
		return (HTTP_FAULT);
	if ((p->req.method == HTTP_HEAD || p->req.method == HTTP_TRACE) &&
	    (p->req.chunked || p->req.content_length > 0))
		return (fault(p, 400, "This method has no body"));
	connection = http_field(&p->req, "connection", NULL);
	p->req.keep_alive = p->req.minor == 1
				? !has_token(connection, "close")
				: has_token(connection, "keep-alive");
	if (p->req.chunked)
		p->state = ST_CHUNK_LINE;
	else if (p->req.content_length > 0) {
		p->remaining = (uint64_t)p->req.content_length;
		p->state = ST_BODY;
	} else
		p->state = ST_DONE;
	p->used = 0;
	p->line = 0;
	p->announced = 1;
	return (HTTP_HEADERS);
}

/* ---- lines of the head
 * ---------------------------------------------------------- */

/* A byte of the request line that is wrong wherever it stands. */
static enum http_event
line_byte(struct http_parser *p, unsigned char c)
{
	size_t len = p->used - p->line;

	if (c < 0x20 || c == 0x7f)
		return (fault(p, 400, "Control character in the request line"));
	if (memchr(p->head + p->line, ' ', len) == NULL && c != ' ') {
		if (!is_token(c))
			return (fault(p, 400, "Bad method"));
		if (len >= MAX_METHOD)
			return (fault(p, 501, "Method not implemented"));
	}
	if (len >= HTTP_MAX_LINE)
		return (fault(p, 414, "Request line too long"));
	return (HTTP_MORE);
}

/* One byte of the head. HTTP_MORE, HTTP_HEADERS or HTTP_FAULT. */
static enum http_event
head_byte(struct http_parser *p, unsigned char c)
{
	enum http_event e;

	if (p->cr) {
		p->cr = 0;
		if (c != '\n')
			return (fault(p, 400, "CR without LF"));
		if (p->state == ST_START) {
			if (p->crlf_seen)
				return (fault(p, 400, "Empty request"));
			p->crlf_seen = 1;
			return (HTTP_MORE);
		}
		p->head[p->used++] = '\0';
		if (p->state == ST_LINE) {
			e = request_line(p);
			p->state = e == HTTP_FAULT ? ST_FAULT : ST_FIELD;
		} else if (p->used - p->line == 1)
			return (end_of_head(p));
		else
			e = field_line(p);
		p->line = p->used;
		return (e);
	}
	if (c == '\r') {
		p->cr = 1;
		return (HTTP_MORE);
	}
	if (c == '\n')
		return (fault(p, 400, "LF without CR"));
	if (p->state == ST_START)
		p->state = ST_LINE;
	if (p->state == ST_LINE) {
		if (line_byte(p, c) == HTTP_FAULT)
			return (HTTP_FAULT);
	} else {
		if (!is_value(c))
			return (fault(p, 400, "Control character in the head"));
		if (++p->fields_len > HTTP_MAX_HEAD)
			return (fault(p, 431, "Header fields too large"));
		/* Said at its first byte: nobody waits for what is refused. */
		if (p->used == p->line && p->req.n_fields == HTTP_MAX_FIELDS)
			return (fault(p, 431, "Too many header fields"));
	}
	p->head[p->used++] = (char)c;
	return (HTTP_MORE);
}

/* ---- chunks
 * ---------------------------------------------------------------------- */

static enum http_event
chunk_line(struct http_parser *p)
{
	const char *s = p->short_line;
	uint64_t size = 0;
	unsigned n;

	p->short_line[p->used] = '\0';
	for (n = 0; is_hex((unsigned char)s[n]); n++) {
		if (n >= MAX_CHUNK_DIGITS)
			return (fault(p, 400, "Chunk size too long"));
		size = size * 16 + (uint64_t)(s[n] <= '9'
						  ? s[n] - '0'
						  : (s[n] | 0x20) - 'a' + 10);
	}
	/* An extension may follow at once; white space before it may not. */
	if (n == 0 || (s[n] != '\0' && s[n] != ';'))
		return (fault(p, 400, "Bad chunk size"));
	p->overhead += p->used + 4;
	p->used = 0;
	p->remaining = size;
	if (size == 0) {
		p->state = ST_TRAILER;
		p->fields_len = 0;
	} else
		p->state = ST_CHUNK_DATA;
	return (HTTP_MORE);
}

static enum http_event
chunk_line_byte(struct http_parser *p, unsigned char c)
{
	if (p->cr) {
		p->cr = 0;
		if (c != '\n')
			return (fault(p, 400, "CR without LF"));
		return (chunk_line(p));
	}
	if (c == '\r') {
		p->cr = 1;
		return (HTTP_MORE);
	}
	if (!is_value(c))
		return (fault(p, 400, "Control character in a chunk line"));
	if (p->used >= HTTP_MAX_CHUNK_LINE)
		return (fault(p, 400, "Chunk line too long"));
	if (p->used >= MAX_CHUNK_DIGITS * 2 &&
	    memchr(p->short_line, ';', p->used) == NULL && c != ';')
		return (fault(p, 400, "Chunk size too long"));
	p->short_line[p->used++] = (char)c;
	return (HTTP_MORE);
}

/* CRLF behind a chunk's data. used: 0 before the CR, 1 before the LF. */
static enum http_event
chunk_end_byte(struct http_parser *p, unsigned char c)
{
	if (c != (p->used == 0 ? '\r' : '\n'))
		return (fault(p, 400, "Chunk longer than its size"));
	if (p->used++ == 1) {
		p->used = 0;
		p->state = ST_CHUNK_LINE;
	}
	return (HTTP_MORE);
}

/* Trailers are looked at for their end alone, and dropped. */
static enum http_event
trailer_byte(struct http_parser *p, unsigned char c)
{
	if (++p->fields_len > HTTP_MAX_TRAILER)
		return (fault(p, 431, "Trailer too large"));
	if (p->cr) {
		p->cr = 0;
		if (c != '\n')
			return (fault(p, 400, "CR without LF"));
		if (p->used == 0)
			p->state = ST_DONE;
		p->used = 0;
		return (HTTP_MORE);
	}
	if (c == '\r') {
		p->cr = 1;
		return (HTTP_MORE);
	}
	if (!is_value(c))
		return (fault(p, 400, "Control character in the trailer"));
	p->used++;
	return (HTTP_MORE);
}

/* ---- the whole
 * ------------------------------------------------------------------- */

static enum http_event
body_piece(struct http_parser *p, const uint8_t *data, size_t len, size_t *used,
    uint64_t max_body)
{
	size_t n = len < p->remaining ? len : (size_t)p->remaining;

	if (p->req.chunked) {
		p->total += n;
		if (p->total > max_body)
			return (fault(p, 413, "Payload too large"));
		if (p->overhead >
		    CHUNK_OVERHEAD_FREE + p->total * CHUNK_OVERHEAD_FACTOR)
			return (fault(p, 400, "Chunks too small"));
	}
	p->body = data;
	p->body_len = n;
	p->remaining -= n;
	*used += n;
	if (p->remaining == 0)
		p->state = p->req.chunked ? ST_CHUNK_END : ST_DONE;
	return (HTTP_BODY);
}

enum http_event
http_parse(struct http_parser *p, const uint8_t *data, size_t len, size_t *used,
    uint64_t max_body)
{
	enum http_event e = HTTP_MORE;

	*used = 0;
	while (e == HTTP_MORE) {
		if (p->state == ST_DONE)
			return (HTTP_DONE);
		if (p->state == ST_FAULT)
			return (HTTP_FAULT);
		if (*used == len)
			return (HTTP_MORE);
		switch (p->state) {
		case ST_START:
		case ST_LINE:
		case ST_FIELD:
			e = head_byte(p, data[(*used)++]);
			break;
		case ST_BODY:
		case ST_CHUNK_DATA:
			return (body_piece(
			    p, data + *used, len - *used, used, max_body));
		case ST_CHUNK_LINE:
			e = chunk_line_byte(p, data[(*used)++]);
			break;
		case ST_CHUNK_END:
			e = chunk_end_byte(p, data[(*used)++]);
			break;
		case ST_TRAILER:
			e = trailer_byte(p, data[(*used)++]);
			break;
		case ST_DONE:
		case ST_FAULT:
			break;
		}
	}
	return (e);
}

int
http_decode(char *dst, size_t dstlen, const char *src, size_t len, int plus)
{
	size_t i, o = 0;
	uint8_t byte;
	char hex[3];

	for (i = 0; i < len; i++) {
		byte = (uint8_t)src[i];
		if (byte == '+' && plus)
			byte = ' ';
		else if (byte == '%') {
			if (len - i < 3)
				return (-1);
			memcpy(hex, src + i + 1, 2);
			hex[2] = '\0';
			if (hex_decode(&byte, 1, hex) == -1 || byte == 0)
				return (-1);
			i += 2;
		}
		if (o + 1 >= dstlen)
			return (-1);
		dst[o++] = (char)byte;
	}
	dst[o] = '\0';
	return (utf8_valid(dst, o) ? 0 : -1);
}
