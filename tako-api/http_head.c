/*
 * http_head.c: what a request's head says. Runs in tako-api, for http.c, on
 * complete lines without control bytes; no I/O, no memory of its own.
 *
 * The form of a thing is judged before its meaning: what is no request line
 * at all is 400, whatever its method or its version.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "http_head.h"
#include "util.h"

#define MAX_HOST 255

#define ALNUM (C_TOKEN | C_LINE | C_FIELD | C_PATH | C_QUERY | C_HOST)
#define SEEN  (C_LINE | C_FIELD) /* visible, of no further use */
#define QUERY (SEEN | C_QUERY)
#define SUB   (QUERY | C_PATH)

/* clang-format off */
const uint8_t http_classes[256] = {
	['\t'] = C_FIELD, [' '] = SEEN,
	['0' ... '9'] = ALNUM, ['A' ... 'Z'] = ALNUM, ['a' ... 'z'] = ALNUM,
	['-'] = ALNUM, ['.'] = ALNUM, ['_'] = ALNUM,
	['!'] = SUB | C_TOKEN, ['$'] = SUB | C_TOKEN, ['%'] = SUB | C_TOKEN,
	['&'] = SUB | C_TOKEN, ['\''] = SUB | C_TOKEN, ['*'] = SUB | C_TOKEN,
	['+'] = SUB | C_TOKEN, ['~'] = SUB | C_TOKEN,
	['('] = SUB, [')'] = SUB, [','] = SUB, ['/'] = SUB, [':'] = SUB,
	[';'] = SUB, ['='] = SUB, ['@'] = SUB,
	['?'] = QUERY, ['['] = QUERY, [']'] = QUERY, ['{'] = QUERY,
	['}'] = QUERY,
	['^'] = QUERY | C_TOKEN, ['`'] = QUERY | C_TOKEN,
	['|'] = QUERY | C_TOKEN, ['#'] = SEEN | C_TOKEN,
	['"'] = SEEN, ['<'] = SEEN, ['>'] = SEEN, ['\\'] = SEEN,
	[0x80 ... 0xff] = C_FIELD,
};
/* clang-format on */

static const char *const methods[HTTP_METHOD_MAX] = {
	[HTTP_GET] = "GET",
	[HTTP_HEAD] = "HEAD",
	[HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE",
	[HTTP_PATCH] = "PATCH",
	[HTTP_OPTIONS] = "OPTIONS",
	[HTTP_TRACE] = "TRACE",
	[HTTP_QUERY] = "QUERY",
	[HTTP_CONNECT] = "CONNECT",
};

static const struct http_wrong right = { 0, NULL };

static struct http_wrong
wrong(int status, const char *reason)
{
	struct http_wrong w = { status, reason };

	return (w);
}

size_t
http_span(const char *s, size_t n, uint8_t class)
{
	size_t i;

	for (i = 0; i < n && http_is(s[i], class); i++)
		;
	return (i);
}

static int
digit(char c)
{
	return (c >= '0' && c <= '9');
}

/* ---- the request line --------------------------------------------------- */

/* Path and query, with every '%' before two hex digits that are no NUL. */
static int
origin_valid(const char *s)
{
	size_t len = strlen(s), i;

	i = http_span(s, len, C_PATH);
	if (*s != '/' || (s[i] != '\0' && s[i] != '?') ||
	    i + http_span(s + i, len - i, C_QUERY) != len)
		return (0);
	for (i = 0; i < len; i++)
		if (s[i] == '%' &&
		    (hex_digit(s[i + 1]) == -1 || hex_digit(s[i + 2]) == -1 ||
			strncmp(s + i + 1, "00", 2) == 0))
			return (0);
	return (1);
}

/*
 * http://authority/path. The authority is moved to the left, over "//", which
 * makes room for its NUL and for the '/' that may lack.
 */
static int
target_absolute(struct http_request *r, char *s, const char **authority)
{
	size_t len;
	char *path;

	if (strncasecmp(s, "http://", 7) == 0)
		s += 7;
	else if (strncasecmp(s, "https://", 8) == 0)
		s += 8;
	else
		return (0);
	len = strcspn(s, "/?");
	path = s + len;
	*authority = memmove(s - 2, s, len);
	(s - 2)[len] = '\0';
	if (*path != '/')
		*--path = '/';
	r->target = path;
	return (origin_valid(path));
}

static int
target_valid(struct http_request *r, char *target, const char **authority)
{
	r->target = target;
	if (strcmp(target, "*") == 0)
		return (r->method == HTTP_OPTIONS);
	if (*target == '/')
		return (origin_valid(target));
	return (target_absolute(r, target, authority));
}

/* HTTP_METHOD_MAX: none of ours. */
static enum http_method
method_find(const char *name)
{
	unsigned i;

	for (i = 0; i < HTTP_METHOD_MAX; i++)
		if (strcmp(name, methods[i]) == 0)
			break;
	return ((enum http_method)i);
}

struct http_wrong
http_line_judge(struct http_request *r, char *line, const char **authority)
{
	char *target, *version;

	*authority = NULL;
	if ((target = strchr(line, ' ')) == NULL ||
	    (version = strchr(target + 1, ' ')) == NULL)
		return (wrong(400, "Malformed request line"));
	*target++ = '\0';
	*version++ = '\0';
	if (strlen(version) != 8 || memcmp(version, "HTTP/", 5) != 0 ||
	    !digit(version[5]) || version[6] != '.' || !digit(version[7]))
		return (wrong(400, "Malformed HTTP version"));
	r->method = method_find(line);
	/* There is no tunnel, so there is no need of its target's form. */
	if (r->method != HTTP_CONNECT && !target_valid(r, target, authority))
		return (wrong(400, "Malformed request target"));
	if (version[5] >= '2')
		return (wrong(505, "HTTP version not supported"));
	if (version[5] != '1' || version[7] > '1')
		return (wrong(400, "Unknown HTTP version"));
	if (r->method == HTTP_METHOD_MAX || r->method == HTTP_CONNECT)
		return (wrong(501, "Unknown method"));
	r->minor = version[7] - '0';
	return (right);
}

/* ---- fields ------------------------------------------------------------- */

struct http_wrong
http_field_judge(struct http_field *f, char *line, size_t len)
{
	char *value, *end = line + len;
	size_t n, i;

	*end = '\0';
	if (*line == ' ' || *line == '\t')
		return (wrong(400, "Folded header field"));
	n = http_span(line, len, C_TOKEN);
	if (n == 0 || line[n] != ':')
		return (wrong(400, "Malformed header field"));
	for (i = 0; i < n; i++)
		if (line[i] >= 'A' && line[i] <= 'Z')
			line[i] = (char)(line[i] + ('a' - 'A'));
	line[n] = '\0';
	value = line + n + 1;
	while (*value == ' ' || *value == '\t')
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	f->name = line;
	f->value = value;
	f->value_len = (size_t)(end - value);
	return (right);
}

/* A name or address with an optional port; no user, no list, not empty. */
static int
host_valid(const char *s)
{
	size_t len = strlen(s), n;
	char address[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	unsigned port = 0;

	if (len > MAX_HOST)
		return (0);
	if (*s == '[') {
		n = strcspn(++s, "]");
		if (s[n] != ']' || n >= sizeof(address))
			return (0);
		memcpy(address, s, n);
		address[n++] = '\0';
		if (inet_pton(AF_INET6, address, &in6) != 1)
			return (0);
	} else if ((n = http_span(s, len, C_HOST)) == 0)
		return (0);
	s += n;
	if (*s == '\0')
		return (1);
	if (*s++ != ':')
		return (0);
	for (; digit(*s) && port <= 65535; s++)
		port = port * 10 + (unsigned)(*s - '0');
	return (*s == '\0' && port <= 65535);
}

static struct http_wrong
take_host(struct http_request *r, const char *value)
{
	if (*r->host != '\0')
		return (wrong(400, "More than one Host"));
	if (!host_valid(value))
		return (wrong(400, "Malformed Host"));
	r->host = value;
	return (right);
}

/* Digits alone. */
static struct http_wrong
take_length(struct http_request *r, const char *value)
{
	int64_t n = 0;

	if (r->content_length != -1)
		return (wrong(400, "More than one Content-Length"));
	if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
		return (wrong(400, "Malformed Content-Length"));
	for (; *value != '\0'; value++) {
		if (n > (INT64_MAX - 9) / 10)
			return (wrong(400, "Content-Length out of range"));
		n = n * 10 + (*value - '0');
	}
	r->content_length = n;
	return (right);
}

static int
item_is(const char *item, size_t len, const char *word)
{
	return (len == strlen(word) && strncasecmp(item, word, len) == 0);
}

/* The next item of a comma list, trimmed; *list goes behind it, then NULL. */
static const char *
list_item(const char **list, size_t *len)
{
	const char *s = *list;
	size_t n;

	s += strspn(s, " \t");
	n = strcspn(s, ",");
	*list = s[n] == ',' ? s + n + 1 : NULL;
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	*len = n;
	return (s);
}

/*
 * Only "chunked" is implemented; 501 for what else is well-formed. A body has
 * no end that could be known unless chunked is the last (RFC 9112, 6.3).
 */
static struct http_wrong
take_coding(struct http_request *r, const char *value)
{
	const char *item;
	int chunked = 0, last = 0, others = 0;
	size_t len;

	if (r->minor == 0)
		return (wrong(400, "Transfer-Encoding in HTTP/1.0"));
	if (r->chunked)
		return (wrong(400, "More than one Transfer-Encoding"));
	while (value != NULL) {
		item = list_item(&value, &len);
		if (len == 0)
			return (wrong(400, "Malformed Transfer-Encoding"));
		last = item_is(item, len, "chunked");
		if (!last)
			others = 1;
		else if (chunked++)
			return (wrong(400, "Transfer-Encoding chunked twice"));
	}
	if (!last)
		return (wrong(400, "Transfer-Encoding without chunked last"));
	if (others)
		return (wrong(501, "Unknown Transfer-Encoding"));
	r->chunked = 1;
	return (right);
}

/* "close" anywhere wins over "keep-alive". */
static void
take_connection(struct http_request *r, const char *value, int *closes)
{
	const char *item;
	size_t len;

	while (value != NULL) {
		item = list_item(&value, &len);
		if (item_is(item, len, "close"))
			*closes = 1;
		else if (item_is(item, len, "keep-alive"))
			r->keep_alive = 1;
	}
}

static struct http_wrong
take_expect(struct http_request *r, const char *value)
{
	if (strcasecmp(value, "100-continue") != 0)
		return (wrong(417, "Unknown expectation"));
	r->expect_continue = r->minor == 1;
	return (right);
}

/* The fields that frame the message, or say how it is to be answered. */
static struct http_wrong
fields_judge(struct http_request *r)
{
	const struct http_field *f;
	struct http_wrong w = right;
	int closes = 0;

	r->keep_alive = r->minor == 1;
	for (f = r->fields; f < r->fields + r->n_fields; f++) {
		if (strcmp(f->name, "host") == 0)
			w = take_host(r, f->value);
		else if (strcmp(f->name, "content-length") == 0)
			w = take_length(r, f->value);
		else if (strcmp(f->name, "transfer-encoding") == 0)
			w = take_coding(r, f->value);
		else if (strcmp(f->name, "connection") == 0)
			take_connection(r, f->value, &closes);
		else if (strcmp(f->name, "expect") == 0)
			w = take_expect(r, f->value);
		if (w.status != 0)
			return (w);
	}
	if (closes)
		r->keep_alive = 0;
	return (right);
}

struct http_wrong
http_head_judge(struct http_request *r, const char *authority)
{
	struct http_wrong w;
	int has_body;

	w = fields_judge(r);
	if (w.status != 0)
		return (w);
	if (*r->host == '\0' && r->minor == 1)
		return (wrong(400, "No Host"));
	/* Without a Host it is what the target says: rules for it hold. */
	if (authority != NULL && *r->host == '\0') {
		w = take_host(r, authority);
		if (w.status != 0)
			return (w);
	}
	if (authority != NULL && strcasecmp(authority, r->host) != 0)
		return (wrong(400, "Host differs from the request target"));
	if (r->chunked && r->content_length != -1)
		return (
		    wrong(400, "Both Content-Length and Transfer-Encoding"));
	has_body = r->chunked || r->content_length > 0;
	/* Some reader between may take such a body for the next request. */
	if (has_body &&
	    (r->method == HTTP_GET || r->method == HTTP_HEAD ||
		r->method == HTTP_DELETE || r->method == HTTP_TRACE))
		return (wrong(400, "No body is allowed for this method"));
	if (!has_body)
		r->expect_continue = 0;
	return (right);
}

const char *
http_field(const struct http_request *r, const char *name, unsigned *count)
{
	const char *value = NULL;
	unsigned i, n = 0;

	for (i = 0; i < r->n_fields; i++)
		if (strcmp(r->fields[i].name, name) == 0 && n++ == 0)
			value = r->fields[i].value;
	if (count != NULL)
		*count = n;
	return (value);
}

const char *
http_method_name(enum http_method method)
{
	return (method < HTTP_METHOD_MAX ? methods[method] : "?");
}
