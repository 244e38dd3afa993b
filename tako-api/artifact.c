/*
 * artifact.c: downloads of artifacts, as RFC 9110 has them: conditions, one
 * range, and a body that is sent from the parent's descriptor. Runs in
 * tako-api. What a job chose, name and type, is data in fields that it cannot
 * break out of.
 *
 * A request with If-None-Match asks for what is known of the artifact first, so
 * that its bytes are fetched only where they are sent.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "artifact_name.h"
#include "log.h"
#include "tako-api.h"
#include "util.h"

#define ETAG_LEN (2 + 2 * TAKO_SHA256)

/* ---- the request ------------------------------------------------------------
 */

/* A field that is there twice counts as none. */
static char *
one_field(const struct http_request *h, const char *name)
{
	const char *value;
	unsigned n;

	value = http_field(h, name, &n);
	return (value == NULL || n != 1 ? NULL : xstrdup(value));
}

void
artifact_head(struct request *req, const struct http_request *h)
{
	req->range = one_field(h, "range");
	req->if_range = one_field(h, "if-range");
	req->none_match = one_field(h, "if-none-match");
}

/* A segment of the path: any bytes. -1: not well-formed, or too long. */
static int
name_decode(char *dst, size_t size, const char *src, size_t len, size_t *n)
{
	char hex[3] = "", *end;
	size_t i;

	for (*n = 0, i = 0; i < len; i++) {
		if (*n == size)
			return (-1);
		if (src[i] != '%') {
			dst[(*n)++] = src[i];
			continue;
		}
		if (len - i < 3 || !isxdigit((unsigned char)src[i + 1]) ||
		    !isxdigit((unsigned char)src[i + 2]))
			return (-1);
		memcpy(hex, src + i + 1, 2);
		dst[(*n)++] = (char)strtol(hex, &end, 16);
		i += 2;
	}
	return (0);
}

static void
ask(struct request *req, int body)
{
	char text[ARTIFACT_SHOWN_MAX];
	struct msg_req_artifact m;
	size_t len, name_len, other_len;

	if (*req->job_id == '\0') {
		rep_error(req, API_NO_JOB, NULL, 0, NULL);
		return;
	}
	if (name_decode(text, sizeof(text), req->name, req->name_len, &len) ==
	    -1) {
		rep_error(req, API_BAD_PATH, NULL, 0, NULL);
		return;
	}
	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, req->job_id, sizeof(m.job_id));
	artifact_name_read(
	    text, len, m.name.data, &name_len, m.other.data, &other_len);
	m.name.len = (uint32_t)name_len;
	m.other.len = (uint32_t)other_len;
	m.body = body != 0;
	if (parent_ask(req, MSG_T_REQ_ARTIFACT, &m, -1) == -1)
		rep_error(req, API_BUSY, NULL, 0, NULL);
}

void
artifact_handle(struct request *req)
{
	ask(req, req->method == HTTP_GET && req->none_match == NULL);
}

/* ---- conditions and ranges --------------------------------------------------
 */

/* Of the tags, each may be weak. */
int
artifact_none_match(const char *list, const char *etag)
{
	size_t len = strlen(etag);
	const char *end;

	if (strcmp(list, "*") == 0)
		return (1);
	for (;;) {
		list += strspn(list, " \t,");
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (*list != '"' || (end = strchr(list + 1, '"')) == NULL)
			return (0);
		if ((size_t)(end + 1 - list) == len &&
		    strncmp(list, etag, len) == 0)
			return (1);
		list = end + 1;
	}
}

/* Digits at p; *v is at most INT64_MAX. The end of them, or NULL: none. */
static const char *
digits(const char *p, uint64_t *v)
{
	if (!isdigit((unsigned char)*p))
		return (NULL);
	for (*v = 0; isdigit((unsigned char)*p); p++)
		*v = *v > INT64_MAX / 10 - 10 ? INT64_MAX
					      : *v * 10 + (uint64_t)(*p - '0');
	return (p);
}

enum range {
	RANGE_WHOLE, /* none, several, or no such thing: all of it */
	RANGE_PART,
	RANGE_BEYOND /* well-formed, and nothing of it is there */
};

/* One range of bytes (RFC 9110, 14.1.2). */
static enum range
range_read(const char *p, uint64_t size, uint64_t *off, uint64_t *len)
{
	uint64_t first, last = INT64_MAX;
	const char *q;

	if (p == NULL || strncasecmp(p, "bytes=", 6) != 0)
		return (RANGE_WHOLE);
	p += 6;
	p += strspn(p, " \t");
	if (*p == '-') {
		if ((q = digits(p + 1, &last)) == NULL || *q != '\0')
			return (RANGE_WHOLE);
		if (last == 0)
			return (RANGE_BEYOND);
		if (size == 0)
			return (RANGE_WHOLE);
		*len = last < size ? last : size;
		*off = size - *len;
		return (RANGE_PART);
	}
	if ((p = digits(p, &first)) == NULL || *p++ != '-')
		return (RANGE_WHOLE);
	if (*p != '\0' &&
	    ((p = digits(p, &last)) == NULL || *p != '\0' || last < first))
		return (RANGE_WHOLE);
	if (first >= size)
		return (RANGE_BEYOND);
	*off = first;
	*len = (last < size ? last + 1 : size) - first;
	return (RANGE_PART);
}

/* ---- the answer -------------------------------------------------------------
 */

static void
put_percent(struct evbuffer *out, const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (isalnum((unsigned char)s[i]) || strchr("-._~", s[i]))
			render_bytes(out, s + i, 1);
		else
			render_printf(out, "%%%02X", (unsigned char)s[i]);
}

/*
 * The name as RFC 8187 has it, unless it is plain; as 0.3 writes it. It is the
 * shown one, so that what is saved is called as it is listed.
 */
static void
put_disposition(struct evbuffer *out, const struct msg_rep_artifact *m)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	char name[ARTIFACT_SHOWN_MAX];
	size_t len = artifact_name_show(name, m->name.data, m->name.len);

	render_text(out, "Content-Disposition: attachment; filename");
	if (strspn(name, plain) == len)
		render_printf(out, "=\"%s\"\r\n", name);
	else {
		render_text(out, "*=utf-8''");
		put_percent(out, name, len);
		render_text(out, "\r\n");
	}
}

/* A worker says what type a file is: only what looks like one is passed on. */
static const char *
type_of(const struct msg_rep_artifact *m)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-.+_/";
	const char *t = m->content_type;

	return (*t != '\0' && t[strspn(t, chars)] == '\0'
		    ? t
		    : "application/octet-stream");
}

static void
put_fields(struct evbuffer *out, const struct msg_rep_artifact *m,
    const char *etag, const char *date)
{
	const char *type = type_of(m);

	render_printf(out,
	    "Content-Type: %s%s\r\n"
	    "ETag: %s\r\n"
	    "Last-Modified: %s\r\n"
	    "Accept-Ranges: bytes\r\n"
	    "Cache-Control: private, no-cache\r\n",
	    type, strncmp(type, "text/", 5) == 0 ? "; charset=utf-8" : "", etag,
	    date);
	put_disposition(out, m);
}

void
artifact_reply(struct request *req, const struct msg_rep_artifact *m, int fd)
{
	char etag[ETAG_LEN + 1], hex[2 * TAKO_SHA256 + 1], date[HTTP_DATE];
	uint64_t off = 0, len = m->size;
	enum range range = RANGE_WHOLE;
	struct evbuffer *head;
	int status = 200;

	snprintf(etag, sizeof(etag), "\"%s\"",
	    hex_encode(hex, m->sha256, TAKO_SHA256));
	http_date(date, (time_t)(m->ended_at / 1000000));
	if (req->none_match != NULL &&
	    artifact_none_match(req->none_match, etag))
		status = 304;
	else if (req->method == HTTP_GET && fd == -1) {
		/* Now its bytes: the condition does not hold. */
		free(req->none_match);
		req->none_match = NULL;
		ask(req, 1);
		return;
	} else if (req->method == HTTP_GET &&
		   (req->if_range == NULL || strcmp(req->if_range, etag) == 0 ||
		       strcmp(req->if_range, date) == 0))
		range = range_read(req->range, m->size, &off, &len);
	if (range == RANGE_BEYOND) {
		close_fd(&fd);
		rep_range(req, m->size);
		return;
	}
	if ((head = evbuffer_new()) == NULL)
		fatal(NULL);
	rep_head(head, req->correlation);
	put_fields(head, m, etag, date);
	if (range == RANGE_PART) {
		status = 206;
		render_printf(head, "Content-Range: bytes %llu-%llu/%llu\r\n",
		    (unsigned long long)off,
		    (unsigned long long)(off + len - 1),
		    (unsigned long long)m->size);
	}
	if (status == 304)
		close_fd(&fd);
	route_answer_file(
	    req, status, head, fd, (off_t)off, status == 304 ? 0 : len);
}
