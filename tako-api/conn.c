/*
 * conn.c: connections of tako-api on libevent's bufferevents: a parser, a
 * state, one deadline, and an answer at a time each. Runs in tako-api.
 *
 * A connection's life: it waits for a head (deadline: idle before the first
 * byte, header after it), gives the head to the router, takes the body once
 * the router accepted it (deadline: body), waits for the router's answer
 * without a deadline of its own, writes it (deadline: write, without
 * progress), and begins again or lingers: after an answer that closes, what
 * the client still sends is read and dropped for a moment, since a reset by
 * unread bytes could destroy the answer on its way.
 *
 * A client that closes its half while it waits may still read its answer, and
 * gets it; but it cannot be told from one that closed both. Where the answer
 * costs a job (conn_client_needed), it is taken as gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "conn.h"
#include "log.h"
#include "tako.h"
#include "util.h"

#define READ_MAX	65536 /* bytes of a client that may wait unparsed */
#define LINGER_MS	2000
#define LINGER_BYTES	(1 << 20)
#define ACCEPT_PAUSE_MS 100 /* without a descriptor to accept with */
#define LISTENERS_MAX	16

enum conn_state {
	CONN_IDLE,    /* no byte of a request yet */
	CONN_HEAD,    /* a head is coming */
	CONN_HELD,    /* the head is there, the body not accepted yet */
	CONN_BODY,    /* the body is coming */
	CONN_WAITING, /* for the router's answer */
	CONN_WRITING, /* the answer is on its way */
	CONN_LINGER   /* answered for the last time */
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct bufferevent *bev;
	struct http_parser *parser;
	struct event *deadline;
	enum conn_state state;
	void *data;
	char peer[MAX_CLIENT + 1];
	uint8_t source[8]; /* what per-source caps count: see source_of */
	int run;	   /* requests pipelined without a pause */
	int close_after;   /* the next answer is the last */
	int head_only;	   /* HEAD */
	int minor;
	int done; /* the request is complete */
	int has_body;
	int continues; /* the client waits for 100 Continue */
	int needed;    /* a closed half means that it is gone */
	int under_way; /* head was called, no answer yet */
	int in_parse;  /* conn_parse is on the stack */
	int dead;      /* to be freed when it is not */
	size_t lingered;
};

TAILQ_HEAD(conn_list, conn);
static struct conn_list conns = TAILQ_HEAD_INITIALIZER(conns);
static unsigned n_conns;
static struct event_base *base;
static const struct conn_ops *ops;
static struct conn_config config;
static struct evconnlistener *listeners[LISTENERS_MAX];
static size_t n_listeners;
static struct event *accept_again;
static int draining;

static void conn_parse(struct conn *);
static void conn_free(struct conn *);

/* ---- deadlines
 * --------------------------------------------------------------- */

static void
deadline(struct conn *c, unsigned ms)
{
	struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	if (ms == 0)
		event_del(c->deadline);
	else
		event_add(c->deadline, &tv);
}

/* ---- answers
 * ------------------------------------------------------------------- */

static const char *
reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = { { 200, "OK" }, { 204, "No Content" },
		{ 206, "Partial Content" }, { 304, "Not Modified" },
		{ 307, "Temporary Redirect" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" },
		{ 409, "Conflict" }, { 413, "Content Too Large" },
		{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" } };
	size_t i;

	for (i = 0; i < nitems(reasons); i++)
		if (reasons[i].status == status)
			return (reasons[i].reason);
	return ("Status");
}

static void
put_date(struct evbuffer *out)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	evbuffer_add_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Writes an answer; the connection goes on by wrote(). */
static void
put_answer(
    struct conn *c, int status, struct evbuffer *head, struct evbuffer *body)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t len = body == NULL ? 0 : evbuffer_get_length(body);

	evbuffer_add_printf(
	    out, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
	put_date(out);
	if (status != 204 && status != 304)
		evbuffer_add_printf(out, "Content-Length: %zu\r\n", len);
	if (c->close_after)
		evbuffer_add_printf(out, "Connection: close\r\n");
	else if (c->minor == 0)
		evbuffer_add_printf(out, "Connection: keep-alive\r\n");
	if (head != NULL)
		evbuffer_add_buffer(out, head);
	evbuffer_add(out, "\r\n", 2);
	if (body != NULL && !c->head_only)
		evbuffer_add_buffer(out, body);
	c->state = CONN_WRITING;
	deadline(c, config.write_ms);
}

/* A fault: one answer, and the end of the connection. */
static void
conn_fault(struct conn *c, int status, const char *reason)
{
	struct evbuffer *head = evbuffer_new(), *body = evbuffer_new();

	if (head == NULL || body == NULL)
		fatal(NULL);
	c->close_after = 1;
	ops->fault(c, status, reason, head, body);
	put_answer(c, status, head, body);
	evbuffer_free(head);
	evbuffer_free(body);
	if (c->under_way) {
		c->under_way = 0;
		ops->gone(c);
		c->data = NULL;
	}
}

void
conn_reply(
    struct conn *c, int status, struct evbuffer *head, struct evbuffer *body)
{
	c->under_way = 0;
	c->data = NULL;
	/* What is left of a body nobody wants cannot be told from a request. */
	if (!c->done || draining)
		c->close_after = 1;
	put_answer(c, status, head, body);
	if (head != NULL)
		evbuffer_free(head);
	if (body != NULL)
		evbuffer_free(body);
}

/* ---- reading
 * --------------------------------------------------------------------- */

static void
head_complete(struct conn *c)
{
	const struct http_request *r = http_request(c->parser);

	c->head_only = r->method == HTTP_HEAD;
	c->minor = r->minor;
	c->has_body = r->chunked || r->content_length > 0;
	c->continues = r->expect_continue && c->has_body;
	c->done = !c->has_body;
	if (!r->keep_alive || ++c->run >= CONN_PIPELINE)
		c->close_after = 1;
	c->under_way = 1;
	c->needed = 0;
	c->state = c->has_body ? CONN_HELD : CONN_WAITING;
	deadline(c, c->has_body ? config.body_ms : 0);
	ops->head(c, r);
	if (!c->has_body && c->under_way)
		ops->done(c);
}

void
conn_accept(struct conn *c)
{
	if (!c->under_way || c->state != CONN_HELD)
		return;
	c->state = CONN_BODY;
	if (c->continues)
		evbuffer_add_printf(bufferevent_get_output(c->bev),
		    "HTTP/1.1 100 Continue\r\n\r\n");
	/* What came already is taken in the loop's next turn. */
	bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

/* One event of the parser. 0: no more for now. */
static int
parse_event(struct conn *c, struct evbuffer *in)
{
	struct evbuffer_iovec v = { NULL, 0 };
	const char *reason;
	const uint8_t *body;
	enum http_event e;
	size_t used, len;
	int status;

	evbuffer_peek(in, -1, NULL, &v, 1);
	if (v.iov_len > 0 && c->state == CONN_IDLE) {
		c->state = CONN_HEAD;
		deadline(c, config.header_ms);
	}
	e = http_parse(
	    c->parser, v.iov_base, v.iov_len, &used, config.max_body);
	switch (e) {
	case HTTP_MORE:
		evbuffer_drain(in, used);
		return (used > 0 && evbuffer_get_length(in) > 0);
	case HTTP_HEADERS:
		evbuffer_drain(in, used);
		head_complete(c);
		return (1);
	case HTTP_BODY:
		body = http_body(c->parser, &len);
		ops->body(c, body, len);
		evbuffer_drain(in, used);
		return (1);
	case HTTP_DONE:
		evbuffer_drain(in, used);
		c->done = 1;
		if (c->under_way) {
			c->state = CONN_WAITING;
			deadline(c, 0);
			ops->done(c);
		}
		return (0);
	case HTTP_FAULT:
		evbuffer_drain(in, used);
		status = http_error(c->parser, &reason);
		conn_fault(c, status, reason);
		return (0);
	}
	return (0);
}

static void
conn_parse(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (c->in_parse)
		return;
	c->in_parse = 1;
	/* Bytes are taken while a head or an accepted body is awaited. */
	while (!c->dead &&
	       (c->state == CONN_IDLE || c->state == CONN_HEAD ||
		   c->state == CONN_BODY) &&
	       parse_event(c, in))
		;
	c->in_parse = 0;
	if (c->dead)
		conn_free(c);
}

/* ---- the end of an answer, and of a connection
 * ----------------------------------- */

static void
conn_free(struct conn *c)
{
	if (c->in_parse) {
		c->dead = 1;
		return;
	}
	if (c->under_way) {
		c->under_way = 0;
		ops->gone(c);
	}
	TAILQ_REMOVE(&conns, c, entry);
	n_conns--;
	event_free(c->deadline);
	bufferevent_free(c->bev);
	http_parser_free(c->parser);
	free(c);
}

/* The client may still send: read and drop it, for a moment. */
static void
linger(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->state = CONN_LINGER;
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	evbuffer_drain(in, evbuffer_get_length(in));
	bufferevent_enable(c->bev, EV_READ);
	deadline(c, LINGER_MS);
}

/* All of an answer is with the kernel. */
static void
on_write(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	if (c->state != CONN_WRITING ||
	    evbuffer_get_length(bufferevent_get_output(bev)) > 0)
		return;
	if (c->close_after) {
		linger(c);
		return;
	}
	if (evbuffer_get_length(bufferevent_get_input(bev)) == 0)
		c->run = 0; /* it waits for its answers */
	http_parser_reset(c->parser);
	c->state = CONN_IDLE;
	deadline(c, config.idle_ms);
	conn_parse(c);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (c->state == CONN_LINGER) {
		c->lingered += evbuffer_get_length(in);
		evbuffer_drain(in, evbuffer_get_length(in));
		if (c->lingered > LINGER_BYTES)
			conn_free(c);
		return;
	}
	conn_parse(c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	/* What a closed half still has to be given is given first. */
	if ((what & BEV_EVENT_EOF) &&
	    (c->state == CONN_WRITING ||
		(c->state == CONN_WAITING && !c->needed))) {
		c->close_after = 1;
		return;
	}
	conn_free(c);
}

/* An answer that is read, however slowly, is not cut off. */
static void
on_progress(
    struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;

	(void)out;
	if (info->n_deleted > 0 && c->state == CONN_WRITING)
		deadline(c, config.write_ms);
}

static void
on_deadline(int fd, short events, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)events;
	switch (c->state) {
	case CONN_HEAD:
	case CONN_HELD:
	case CONN_BODY:
		conn_fault(c, 408, "Request timed out");
		return;
	case CONN_IDLE:
	case CONN_WAITING:
	case CONN_WRITING:
	case CONN_LINGER:
		conn_free(c);
	}
}

/* ---- accepting
 * ------------------------------------------------------------------- */

/* What counts as one source: an IPv4 address, or an IPv6 /64. */
static void
source_of(const struct sockaddr *sa, uint8_t source[8], char *peer, size_t len)
{
	const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *s4 = (const struct sockaddr_in *)sa;
	const void *v4 = NULL;

	memset(source, 0, 8);
	strlcpy(peer, "unknown", len);
	if (sa->sa_family == AF_INET)
		v4 = &s4->sin_addr;
	else if (sa->sa_family == AF_INET6 &&
		 IN6_IS_ADDR_V4MAPPED(&s6->sin6_addr))
		v4 = &s6->sin6_addr.s6_addr[12];
	else if (sa->sa_family == AF_INET6) {
		memcpy(source, &s6->sin6_addr, 8);
		inet_ntop(AF_INET6, &s6->sin6_addr, peer, (socklen_t)len);
	}
	if (v4 != NULL) {
		/* 255 is no first byte of a routed IPv6 prefix. */
		source[0] = 255;
		memcpy(source + 4, v4, 4);
		inet_ntop(AF_INET, v4, peer, (socklen_t)len);
	}
}

static unsigned
from_source(const uint8_t source[8])
{
	struct conn *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &conns, entry)
		n += memcmp(c->source, source, 8) == 0;
	return (n);
}

static void
accepted(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct conn *c;
	int on = 1;

	(void)l;
	(void)len;
	(void)arg;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		goto fail;
	source_of(sa, c->source, c->peer, sizeof(c->peer));
	if (n_conns >= config.max ||
	    from_source(c->source) >= config.max_per_source)
		goto fail;
	/* Answers are whole when written: nothing is gained by waiting. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->parser = http_parser_new();
	c->deadline = evtimer_new(base, on_deadline, c);
	if (c->parser == NULL || c->deadline == NULL ||
	    (c->bev = bufferevent_socket_new(base, fd,
		 BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)) == NULL)
		goto fail;
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, READ_MAX);
	evbuffer_add_cb(bufferevent_get_output(c->bev), on_progress, c);
	TAILQ_INSERT_TAIL(&conns, c, entry);
	n_conns++;
	c->minor = 1;
	deadline(c, config.header_ms);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return;
fail:
	if (c != NULL) {
		if (c->deadline != NULL)
			event_free(c->deadline);
		http_parser_free(c->parser);
		free(c);
	}
	close(fd);
}

static void
accept_resume(int fd, short events, void *arg)
{
	size_t i;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < n_listeners; i++)
		evconnlistener_enable(listeners[i]);
}

/* No descriptor to accept with: pause, or the loop would spin. */
static void
accept_failed(struct evconnlistener *l, void *arg)
{
	struct timeval tv = { 0, ACCEPT_PAUSE_MS * 1000 };

	(void)arg;
	log_warn("accept");
	evconnlistener_disable(l);
	event_add(accept_again, &tv);
}

void
conn_init(struct event_base *b, const struct conn_ops *o)
{
	base = b;
	ops = o;
	if ((accept_again = evtimer_new(base, accept_resume, NULL)) == NULL)
		fatal(NULL);
}

void
conn_configure(const struct conn_config *c)
{
	config = *c;
}

void
conn_listen(int fd)
{
	if (n_listeners == LISTENERS_MAX) {
		log_warnx("too many listeners");
		close(fd);
		return;
	}
	/* The parent listens already: a backlog of 0 leaves that as it is. */
	listeners[n_listeners] = evconnlistener_new(base, accepted, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listeners[n_listeners] == NULL)
		fatal(NULL);
	evconnlistener_set_error_cb(listeners[n_listeners], accept_failed);
	n_listeners++;
}

void
conn_unlisten(void)
{
	while (n_listeners > 0)
		evconnlistener_free(listeners[--n_listeners]);
	event_del(accept_again);
}

void
conn_drain(void)
{
	struct conn *c, *next;

	draining = 1;
	conn_unlisten();
	TAILQ_FOREACH_SAFE (c, &conns, entry, next)
		if (c->state == CONN_IDLE)
			conn_free(c);
}

unsigned
conn_count(void)
{
	return (n_conns);
}

void
conn_client_needed(struct conn *c)
{
	c->needed = 1;
}

const char *
conn_peer(const struct conn *c)
{
	return (c->peer);
}

void
conn_set_data(struct conn *c, void *data)
{
	c->data = data;
}

void *
conn_data(const struct conn *c)
{
	return (c->data);
}
