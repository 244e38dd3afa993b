/*
 * http.c: the request parser: bytes in, events out. Runs in tako-api on bytes
 * from anybody and does no I/O. Every check depends on a byte's place in the
 * stream alone, never on how the stream was cut into pieces, so that any
 * split gives the same events.
 *
 * The head lies in two buffers of its limits' size, each line as it came with
 * its CRLF overwritten by NULs: what http_request points to is the bytes
 * themselves. Nothing else is kept of a request. What the lines say is judged
 * in http_head.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http_head.h"
#include "util.h"

#define MAX_METHOD	 32 /* bytes; a longer one is unknown: 501 */
#define MAX_CHUNK_DIGITS 16
/*
 * Framing of a chunked body may be twice as long as its data, and this on
 * top. Chunks of one byte end after some 5,000.
 */
#define CHUNK_OVERHEAD 16384

enum state {
	S_START,    /* before a request */
	S_START_LF, /* a blank line before it */
	S_METHOD,   /* up to the first space */
	S_LINE,	    /* target and version */
	S_LINE_LF,
	S_FIELD, /* a field's line, or the empty one */
	S_FIELD_LF,
	S_BODY, /* left bytes of Content-Length */
	S_SIZE, /* digits of a chunk's size */
	S_EXT,	/* its extensions */
	S_SIZE_LF,
	S_CHUNK, /* left bytes of a chunk */
	S_CHUNK_CR,
	S_CHUNK_LF,
	S_TRAILER, /* at the start of a trailer's line */
	S_TRAILER_NAME,
	S_TRAILER_VALUE,
	S_TRAILER_LF,
	S_END_LF, /* of the empty line behind the trailers */
	S_DONE,
	S_FAULT
};

struct http_parser {
	enum state state;
	int blank; /* blank lines before the request */
	size_t line_len;
	size_t head_len;       /* bytes of all field lines, CRLFs included */
	size_t field_start;    /* of the line that is being read, in head */
	const char *authority; /* of an absolute target, or NULL */
	uint64_t left;	       /* of the body, or of this chunk */
	uint64_t data;	       /* of all chunks so far */
	uint64_t overhead;     /* framing between them */
	unsigned digits;
	size_t ext_len;
	size_t trailer_len;
	const uint8_t *body;
	size_t body_len;
	int status;
	const char *reason;
	struct http_request req;
	char ext[HTTP_MAX_CHUNK_LINE];
	struct http_limits limits;
	char *line, *head; /* behind the fields, each with room for a NUL */
	struct http_field fields[];
};

const struct http_limits http_limits_default = { 8192, 16384, 100 };

/* What is left of the bytes that http_parse was given. */
struct input {
	const uint8_t *p, *end;
};

/* A step that has no event yet. */
#define STEP_ON ((enum http_event) - 1)

static enum http_event
fault(struct http_parser *p, int status, const char *reason)
{
	p->state = S_FAULT;
	p->status = status;
	p->reason = reason;
	return (HTTP_FAULT);
}

/* The next byte into *c; 0 when there is none now. */
static int
next(struct input *in, uint8_t *c)
{
	if (in->p == in->end)
		return (0);
	*c = *in->p++;
	return (1);
}

/* The LF that has to follow a CR; then the state is next_state. */
static enum http_event
take_lf(struct http_parser *p, struct input *in, enum state next_state)
{
	uint8_t c;

	if (!next(in, &c))
		return (HTTP_MORE);
	if (c != '\n')
		return (fault(p, 400, "Carriage return without line feed"));
	p->state = next_state;
	return (STEP_ON);
}

static const char *
bad_byte(uint8_t c)
{
	return (c == '\n' ? "Line feed without carriage return"
			  : "Forbidden byte in the head");
}

/* ---- the request line --------------------------------------------------- */

static enum http_event
step_start(struct http_parser *p, struct input *in)
{
	if (in->p == in->end)
		return (HTTP_MORE);
	if (*in->p != '\r') {
		p->state = S_METHOD;
		return (STEP_ON);
	}
	in->p++;
	p->state = S_START_LF;
	return (STEP_ON);
}

static enum http_event
step_start_lf(struct http_parser *p, struct input *in)
{
	enum http_event ev;

	/* One blank line is old clients' habit, more are not. */
	ev = take_lf(p, in, S_START);
	if (ev == STEP_ON && p->blank++ > 0)
		return (fault(p, 400, "Blank lines before the request"));
	return (ev);
}

static enum http_event
step_method(struct http_parser *p, struct input *in)
{
	uint8_t c;

	while (next(in, &c)) {
		if (c == ' ' && p->line_len > 0) {
			p->line[p->line_len++] = (char)c;
			p->state = S_LINE;
			return (STEP_ON);
		}
		if (!http_is((char)c, C_TOKEN))
			return (fault(p, 400, "Malformed request line"));
		if (p->line_len == MAX_METHOD)
			return (fault(p, 501, "Unknown method"));
		p->line[p->line_len++] = (char)c;
	}
	return (HTTP_MORE);
}

static enum http_event
step_line(struct http_parser *p, struct input *in)
{
	uint8_t c;

	while (next(in, &c)) {
		if (c == '\r') {
			p->line[p->line_len] = '\0';
			p->state = S_LINE_LF;
			return (STEP_ON);
		}
		if (!http_is((char)c, C_LINE))
			return (fault(p, 400, bad_byte(c)));
		if (p->line_len == p->limits.line)
			return (fault(p, 414, "Request line too long"));
		p->line[p->line_len++] = (char)c;
	}
	return (HTTP_MORE);
}

static enum http_event
step_line_lf(struct http_parser *p, struct input *in)
{
	struct http_wrong w;
	enum http_event ev;

	if ((ev = take_lf(p, in, S_FIELD)) != STEP_ON)
		return (ev);
	w = http_line_judge(&p->req, p->line, &p->authority);
	return (w.status == 0 ? STEP_ON : fault(p, w.status, w.reason));
}

/* ---- fields ------------------------------------------------------------- */

static enum http_event
step_field(struct http_parser *p, struct input *in)
{
	uint8_t c;

	while (next(in, &c)) {
		if (c == '\r') {
			p->state = S_FIELD_LF;
			return (STEP_ON);
		}
		if (!http_is((char)c, C_FIELD))
			return (fault(p, 400, bad_byte(c)));
		/* Its CRLF has to have room too. */
		if (p->head_len >= p->limits.head - 2)
			return (fault(p, 431, "Header fields too large"));
		p->head[p->head_len++] = (char)c;
	}
	return (HTTP_MORE);
}

static enum http_event
field_end(struct http_parser *p)
{
	struct http_wrong w;

	if (p->req.n_fields == p->limits.fields)
		return (fault(p, 431, "Too many header fields"));
	w = http_field_judge(&p->req.fields[p->req.n_fields],
	    p->head + p->field_start, p->head_len - p->field_start);
	if (w.status != 0)
		return (fault(p, w.status, w.reason));
	p->req.n_fields++;
	p->head_len += 2;
	p->field_start = p->head_len;
	return (STEP_ON);
}

static enum http_event
head_end(struct http_parser *p)
{
	const struct http_request *r = &p->req;
	struct http_wrong w;

	w = http_head_judge(&p->req, p->authority);
	if (w.status != 0)
		return (fault(p, w.status, w.reason));
	if (r->chunked)
		p->state = S_SIZE;
	else if (r->content_length > 0) {
		p->left = (uint64_t)r->content_length;
		p->state = S_BODY;
	} else
		p->state = S_DONE;
	return (HTTP_HEADERS);
}

static enum http_event
step_field_lf(struct http_parser *p, struct input *in)
{
	enum http_event ev;

	if ((ev = take_lf(p, in, S_FIELD)) != STEP_ON)
		return (ev);
	if (p->head_len == p->field_start)
		return (head_end(p));
	return (field_end(p));
}

/* ---- the body ----------------------------------------------------------- */

/* A piece of the body, as long as what is there and what is left. */
static enum http_event
body_piece(struct http_parser *p, struct input *in)
{
	size_t n = (size_t)(in->end - in->p);

	if (n == 0)
		return (HTTP_MORE);
	if (n > p->left)
		n = (size_t)p->left;
	p->body = in->p;
	p->body_len = n;
	in->p += n;
	p->left -= n;
	return (HTTP_BODY);
}

static enum http_event
step_body(struct http_parser *p, struct input *in, uint64_t max_body)
{
	if ((uint64_t)p->req.content_length > max_body)
		return (fault(p, 413, "Payload too large"));
	if (p->left > 0)
		return (body_piece(p, in));
	p->state = S_DONE;
	return (STEP_ON);
}

static enum http_event
step_size(struct http_parser *p, struct input *in)
{
	uint8_t c;
	int v;

	while (next(in, &c)) {
		p->overhead++;
		if ((v = hex_digit((char)c)) != -1) {
			if (p->digits++ == MAX_CHUNK_DIGITS)
				return (fault(p, 400, "Chunk size too long"));
			p->left = p->left << 4 | (uint64_t)v;
		} else if (p->digits == 0 || (c != '\r' && c != ';'))
			return (fault(p, 400, "Malformed chunk size"));
		else if (c == '\r') {
			p->state = S_SIZE_LF;
			return (STEP_ON);
		} else {
			p->ext[p->ext_len++] = (char)c;
			p->state = S_EXT;
			return (STEP_ON);
		}
	}
	return (HTTP_MORE);
}

/* Length of the quoted string that s begins with, 0 when it has no end. */
static size_t
quoted_span(const char *s, size_t len)
{
	size_t i;

	for (i = 1; i < len && s[i] != '"'; i++)
		if (s[i] == '\\')
			i++;
	return (i < len ? i + 1 : 0);
}

/* ;name or ;name=token or ;name="text", any number of them. */
static int
ext_valid(const char *s, size_t len)
{
	size_t i = 0, n;

	while (i < len) {
		if (s[i++] != ';' ||
		    (n = http_span(s + i, len - i, C_TOKEN)) == 0)
			return (0);
		i += n;
		if (i == len || s[i] != '=')
			continue;
		i++;
		n = i < len && s[i] == '"' ? quoted_span(s + i, len - i)
					   : http_span(s + i, len - i, C_TOKEN);
		if (n == 0)
			return (0);
		i += n;
	}
	return (1);
}

static enum http_event
step_ext(struct http_parser *p, struct input *in)
{
	uint8_t c;

	while (next(in, &c)) {
		p->overhead++;
		if (c == '\r') {
			if (!ext_valid(p->ext, p->ext_len))
				return (
				    fault(p, 400, "Malformed chunk extension"));
			p->state = S_SIZE_LF;
			return (STEP_ON);
		}
		if (!http_is((char)c, C_FIELD))
			return (fault(p, 400, "Malformed chunk extension"));
		if (p->ext_len + p->digits == HTTP_MAX_CHUNK_LINE)
			return (fault(p, 400, "Chunk extension too long"));
		p->ext[p->ext_len++] = (char)c;
	}
	return (HTTP_MORE);
}

static enum http_event
step_size_lf(struct http_parser *p, struct input *in, uint64_t max_body)
{
	enum http_event ev;

	if ((ev = take_lf(p, in, S_CHUNK)) != STEP_ON)
		return (ev);
	p->overhead++;
	p->digits = 0;
	p->ext_len = 0;
	if (p->left == 0) {
		p->state = S_TRAILER;
		return (STEP_ON);
	}
	if (p->data > max_body || p->left > max_body - p->data)
		return (fault(p, 413, "Payload too large"));
	if (p->overhead > CHUNK_OVERHEAD &&
	    (p->overhead - CHUNK_OVERHEAD) / 2 > p->data)
		return (fault(p, 400, "Chunks too small"));
	p->data += p->left;
	return (STEP_ON);
}

static enum http_event
step_chunk(struct http_parser *p, struct input *in)
{
	if (p->left > 0)
		return (body_piece(p, in));
	p->state = S_CHUNK_CR;
	return (STEP_ON);
}

static enum http_event
step_chunk_cr(struct http_parser *p, struct input *in)
{
	uint8_t c;

	if (!next(in, &c))
		return (HTTP_MORE);
	if (c != '\r')
		return (fault(p, 400, "Chunk longer than its size"));
	p->overhead += 2;
	p->state = S_CHUNK_LF;
	return (STEP_ON);
}

/* Trailers have to be well-formed; what they say is dropped. */
static enum http_event
step_trailer(struct http_parser *p, struct input *in)
{
	uint8_t c;

	while (next(in, &c)) {
		if (p->trailer_len++ == HTTP_MAX_TRAILER)
			return (fault(p, 431, "Trailers too large"));
		if (c == '\r' && p->state != S_TRAILER_NAME) {
			p->state =
			    p->state == S_TRAILER ? S_END_LF : S_TRAILER_LF;
			return (STEP_ON);
		}
		if (p->state == S_TRAILER_VALUE) {
			if (!http_is((char)c, C_FIELD))
				return (fault(p, 400, bad_byte(c)));
		} else if (c == ':' && p->state == S_TRAILER_NAME)
			p->state = S_TRAILER_VALUE;
		else if (http_is((char)c, C_TOKEN))
			p->state = S_TRAILER_NAME;
		else
			return (fault(p, 400, "Malformed trailer"));
	}
	return (HTTP_MORE);
}

/* ---- all of it ---------------------------------------------------------- */

static enum http_event
step(struct http_parser *p, struct input *in, uint64_t max_body)
{
	switch (p->state) {
	case S_START:
		return (step_start(p, in));
	case S_START_LF:
		return (step_start_lf(p, in));
	case S_METHOD:
		return (step_method(p, in));
	case S_LINE:
		return (step_line(p, in));
	case S_LINE_LF:
		return (step_line_lf(p, in));
	case S_FIELD:
		return (step_field(p, in));
	case S_FIELD_LF:
		return (step_field_lf(p, in));
	case S_BODY:
		return (step_body(p, in, max_body));
	case S_SIZE:
		return (step_size(p, in));
	case S_EXT:
		return (step_ext(p, in));
	case S_SIZE_LF:
		return (step_size_lf(p, in, max_body));
	case S_CHUNK:
		return (step_chunk(p, in));
	case S_CHUNK_CR:
		return (step_chunk_cr(p, in));
	case S_CHUNK_LF:
		return (take_lf(p, in, S_SIZE));
	case S_TRAILER:
	case S_TRAILER_NAME:
	case S_TRAILER_VALUE:
		return (step_trailer(p, in));
	case S_TRAILER_LF:
		return (take_lf(p, in, S_TRAILER));
	case S_END_LF:
		return (take_lf(p, in, S_DONE));
	case S_DONE:
		return (HTTP_DONE);
	case S_FAULT:
		break;
	}
	return (HTTP_FAULT);
}

enum http_event
http_parse(struct http_parser *p, const uint8_t *data, size_t len, size_t *used,
    uint64_t max_body)
{
	struct input in = { data, data + len };
	enum http_event ev;

	do
		ev = step(p, &in, max_body);
	while (ev == STEP_ON);
	*used = (size_t)(in.p - data);
	return (ev);
}

struct http_parser *
http_parser_new(const struct http_limits *l)
{
	struct http_parser *p;
	size_t fields;

	if (l == NULL)
		l = &http_limits_default;
	fields = l->fields * sizeof(struct http_field);
	p = malloc(sizeof(*p) + fields + l->line + 1 + l->head + 1);
	if (p == NULL)
		return (NULL);
	p->limits = *l;
	p->line = (char *)p->fields + fields;
	p->head = p->line + l->line + 1;
	p->req.fields = p->fields;
	http_parser_reset(p);
	return (p);
}

void
http_parser_free(struct http_parser *p)
{
	free(p);
}

/* The buffers need no clearing: every byte of them is written before use. */
void
http_parser_reset(struct http_parser *p)
{
	memset(p, 0, offsetof(struct http_parser, req));
	p->state = S_START;
	p->req.method = HTTP_METHOD_MAX;
	p->req.minor = 0;
	p->req.target = "";
	p->req.host = "";
	p->req.n_fields = 0;
	p->req.content_length = -1;
	p->req.chunked = 0;
	p->req.keep_alive = 0;
	p->req.expect_continue = 0;
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
	return (p->status);
}

const char *
http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};
	size_t i;

	for (i = 0; i < nitems(reasons); i++)
		if (reasons[i].status == status)
			return (reasons[i].reason);
	return (""); /* the phrase may be empty */
}

void
http_date(char dst[HTTP_DATE], time_t at)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm;

	gmtime_r(&at, &tm);
	snprintf(dst, HTTP_DATE, "%s, %02d %s %d %02d:%02d:%02d GMT",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
}

int
http_decode(char *dst, size_t dstlen, const char *src, size_t len, int plus)
{
	size_t i, o = 0;
	int hi, lo;
	char c;

	for (i = 0; i < len; i++) {
		c = src[i];
		if (c == '+' && plus)
			c = ' ';
		else if (c == '%') {
			if (len - i < 3 || (hi = hex_digit(src[i + 1])) == -1 ||
			    (lo = hex_digit(src[i + 2])) == -1)
				return (-1);
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (o + 1 >= dstlen)
			return (-1);
		dst[o++] = c;
	}
	if (dstlen == 0 || !utf8_valid(dst, o))
		return (-1);
	dst[o] = '\0';
	return (0);
}
