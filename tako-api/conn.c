/*
 * conn.c: the connections of tako-api. Runs in tako-api, faces anybody. Each
 * connection is a link (link.c), a state with at most one deadline, a parser
 * while a request comes or is answered, and one answer at a time.
 *
 *	[proxy ->] idle -> head -> held -> body -> waiting -> writing
 *	writing -> idle, or linger
 *
 * Bytes are read only where they are taken: in idle, head and body, and in
 * linger, where they are dropped. What a client sends ahead stays in the
 * kernel, which slows the client down, so one connection holds no more
 * than two reads of input. Where nothing is read (held, waiting) the descriptor
 * is watched, edge-triggered, for a client that goes away.
 *
 * A client that closed its connection and one that only closed its sending
 * half look alike: a FIN came. The second waits for its answer, the first is
 * gone, and a job may have to be cancelled. Nothing but sending tells them
 * apart: the kernel of the first answers with a reset. So the beginning that
 * every answer has in common is sent ahead when a FIN comes (probe); a client
 * that is there sees an answer whose first bytes come early, nothing else.
 * Under TLS a client that closes says so, and is gone.
 *
 * The end of an answer that closes: our half is closed, and what the client
 * still sends is dropped for a moment (linger). A reset by unread bytes would
 * destroy the answer on its way.
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
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#include <event2/util.h>

#include "conn.h"
#include "event_arm.h"
#include "link.h"
#include "log.h"
#include "util.h"

#define WRITES_MAX	8    /* of one answer, before others have a turn */
#define PROBE_MS	1000 /* from the first probe to the second */
#define LINGER_MS	5000
#define LINGER_DRAIN_MS 500   /* the process waits for it */
#define UNSENT_SMALL	65536 /* an answer below it does not matter */
/* Connections beyond the limit that are told so at one time. */
#define REFUSED_MAX 16
#define BUCKETS	    256

/* What every answer begins with: see probe(). */
static const char prefix[] = "HTTP/1.1 ";

enum conn_state {
	CONN_PROXY,   /* the PROXY protocol's header is coming */
	CONN_IDLE,    /* no byte of a request yet */
	CONN_HEAD,    /* a head is coming */
	CONN_HELD,    /* the head is there, its body is not accepted yet */
	CONN_BODY,    /* the body is coming */
	CONN_WAITING, /* the request is complete: the router's turn */
	CONN_WRITING, /* the answer is on its way */
	CONN_LINGER   /* answered for the last time */
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	LIST_ENTRY(conn) same; /* of those in one bucket of sources */
	struct link link;
	struct evbuffer *in, *out;
	struct http_parser *parser; /* NULL between requests */
	struct event *reader, *writer, *timer;
	struct event *watcher; /* for the client's end */
	enum conn_state state;
	void *data; /* the router's */
	char peer[MAX_CLIENT + 1];
	char client[MAX_CLIENT + 1]; /* the peer, or whom it asks for */
	uint8_t source[8];	     /* the client's */
	uint8_t note[CONN_NOTE];     /* the router's */
	unsigned run;		     /* requests that came without a pause */
	size_t mark;		     /* see pace() */
	size_t probed;		     /* bytes of prefix that are sent already */
	size_t filed;  /* bytes at the answer's end that lie in a file */
	int request;   /* under way: head was called, no answer yet */
	int complete;  /* all of the request is here */
	int closes;    /* the next answer is the last */
	int head_only; /* the request is a HEAD */
	int minor;
	int expects;  /* the client waits for 100 Continue */
	int reading;  /* the reader is on */
	int writing;  /* the writer is on */
	int watching; /* the watcher is on */
	int refused;  /* one too many */
	int proxy;    /* the peer is a trusted proxy */
	int named;    /* a PROXY header says that it asks for another */
	int tls;      /* it begins with a handshake */
	int busy;     /* somebody down the stack is at work on it */
	int dead;     /* to be ended when that is done */
};

static TAILQ_HEAD(, conn) conns = TAILQ_HEAD_INITIALIZER(conns);
static LIST_HEAD(, conn) sources[BUCKETS];
static unsigned n_conns, n_refused, n_files;
static struct event_base *base;
static const struct conn_ops *ops;
static struct conn_config config;
static size_t held;	/* by the router */
static SSL_CTX *secure; /* for TLS listeners; NULL: none */
static int draining;

static void conn_process(struct conn *);

/* ---- life ---------------------------------------------------------------- */

/* 0: none. */
static void
deadline(struct conn *c, unsigned ms)
{
	struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	if (ms == 0)
		event_del(c->timer);
	else
		event_arm(c->timer, &tv);
}

/* What counts as one source: an IPv4 address, or an IPv6 /64. */
static void
source_of(const char *address, uint8_t source[8])
{
	struct in6_addr a6;

	memset(source, 0, 8);
	/* No client's prefix begins with ff (multicast), or fe and 0. */
	if (inet_pton(AF_INET, address, source + 4) == 1)
		source[0] = 0xff;
	else if (inet_pton(AF_INET6, address, &a6) == 1)
		memcpy(source, &a6, 8);
	else
		source[0] = 0xfe;
}

static unsigned
bucket_of(const uint8_t source[8])
{
	unsigned i, h = 0;

	for (i = 0; i < 8; i++)
		h = h * 31 + source[i];
	return (h % BUCKETS);
}

static unsigned
count_source(const uint8_t source[8])
{
	const struct conn *c;
	unsigned n = 0;

	LIST_FOREACH(c, &sources[bucket_of(source)], same)
	n += !c->refused && memcmp(c->source, source, 8) == 0 &&
	     (!c->proxy || c->request);
	return (n);
}

/* It counts for that address from now on. */
static void
set_source(struct conn *c, const char *address)
{
	strlcpy(c->client, address, sizeof(c->client));
	LIST_REMOVE(c, same);
	source_of(address, c->source);
	LIST_INSERT_HEAD(&sources[bucket_of(c->source)], c, same);
}

/* The answer's file is closed, or will be with the connection. */
static void
file_done(struct conn *c)
{
	if (c->filed > 0)
		n_files--;
	c->filed = 0;
}

static void
conn_free(struct conn *c)
{
	file_done(c);
	if (c->watcher != NULL)
		event_free(c->watcher);
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->reader != NULL)
		event_free(c->reader);
	if (c->writer != NULL)
		event_free(c->writer);
	if (c->in != NULL)
		evbuffer_free(c->in);
	if (c->out != NULL)
		evbuffer_free(c->out);
	http_parser_free(c->parser);
	link_close(&c->link);
	free(c);
}

static void
request_gone(struct conn *c)
{
	if (!c->request)
		return;
	c->request = 0;
	ops->gone(c);
	c->data = NULL;
}

/* The end, now or once nobody down the stack is at work on it. */
static void
conn_end(struct conn *c)
{
	if (c->busy) {
		c->dead = 1;
		return;
	}
	request_gone(c);
	TAILQ_REMOVE(&conns, c, entry);
	LIST_REMOVE(c, same);
	if (c->refused)
		n_refused--;
	else
		n_conns--;
	conn_free(c);
}

/* Takes fd over, also when there is no memory (NULL). */
static struct conn *
conn_new(evutil_socket_t fd)
{
	struct conn *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return (NULL);
	}
	c->minor = 1;
	link_open(&c->link, fd);
	if ((c->in = evbuffer_new()) != NULL &&
	    (c->out = evbuffer_new()) != NULL)
		return (c);
	conn_free(c);
	return (NULL);
}

/* ---- watching a client that is not read from ----------------------------- */

static size_t
unsent(const struct conn *c)
{
	return (evbuffer_get_length(c->out));
}

/* With what the kernel holds: what the client has not taken yet. */
static size_t
untaken(const struct conn *c)
{
	int n = 0;

	if (ioctl(c->link.fd, SIOCOUTQ, &n) == -1 || n < 0)
		n = 0;
	return (unsent(c) + (size_t)n);
}

/* What of it is in memory. */
static size_t
unsent_held(const struct conn *c)
{
	size_t n = unsent(c);

	return (n > c->filed ? n - c->filed : 0);
}

static void
watch_off(struct conn *c)
{
	if (c->watching)
		event_del(c->watcher);
	c->watching = 0;
}

static void
turn(struct event *ev, int *is, int on)
{
	if (on && !*is)
		event_arm(ev, NULL);
	else if (!on && *is)
		event_del(ev);
	*is = on;
}

/*
 * Reading, writing and watching as the state has it. Watching is alone:
 * libevent takes edge-triggered and other events of one descriptor only apart.
 */
static void
settle(struct conn *c)
{
	int reading = c->state == CONN_PROXY || c->state == CONN_IDLE ||
		      c->state == CONN_HEAD || c->state == CONN_BODY ||
		      c->state == CONN_LINGER;
	int writing = unsent(c) > 0 || (reading && c->link.to_write);

	if (reading || writing)
		watch_off(c);
	/* TLS that has to write reads nothing before that. */
	turn(c->reader, &c->reading, reading && !c->link.to_write);
	turn(c->writer, &c->writing, writing);
	if (!reading && !writing && c->state != CONN_WRITING && !c->watching)
		c->watching = event_add(c->watcher, NULL) == 0;
}

/*
 * Sends ahead one byte of what the answer begins with anyhow. The next bytes
 * go after 1, 2, 4 ... seconds, for one that closes the other half later,
 * which no packet tells.
 */
static void
probe(struct conn *c)
{
	ssize_t n;

	if (prefix[c->probed] == '\0')
		return;
	n = send(
	    c->link.fd, prefix + c->probed, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		conn_end(c);
		return;
	}
	deadline(c, PROBE_MS << c->probed);
	if (n == 1)
		c->probed++;
}

/* A FIN may be stuck behind so much: the kernel takes no more of it. */
static int
is_full(evutil_socket_t fd)
{
	int n;

	return (ioctl(fd, FIONREAD, &n) == 0 && n > LINK_READ / 2);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1 ||
	    error != 0)
		conn_end(c);
	else if (!link_plain(&c->link)) {
		if (what & EV_CLOSED)
			conn_end(c);
	} else if (!evtimer_pending(c->timer, NULL) &&
		   ((what & EV_CLOSED) || is_full(fd)))
		probe(c);
}

/* ---- answers ------------------------------------------------------------- */

/* Now, written once a second. */
static const char *
date(void)
{
	static char text[HTTP_DATE];
	static time_t then;
	time_t now = time(NULL);

	if (now != then)
		http_date(text, now);
	then = now;
	return (text);
}

/* The first line of what goes out, but for what is sent of it already. */
static void
put_status(struct conn *c, int status, const char *reason)
{
	char line[128];

	snprintf(line, sizeof(line), "%s%d %s\r\n", prefix, status, reason);
	evbuffer_add(c->out, line + c->probed, strlen(line) - c->probed);
	c->probed = 0;
}

/*
 * What the kernel takes goes at once, the rest as it can be sent. -1: the
 * client is gone.
 */
static int
put_out(struct conn *c)
{
	unsigned i;

	watch_off(c);
	for (i = 0; i < WRITES_MAX && unsent(c) > 0; i++)
		if (link_write(&c->link, c->out) == -1)
			return (errno == EAGAIN || errno == EINTR ? 0 : -1);
	return (0);
}

static void
parser_drop(struct conn *c)
{
	http_parser_free(c->parser);
	c->parser = NULL;
}

static void
linger(struct conn *c)
{
	parser_drop(c);
	c->state = CONN_LINGER;
	link_finish(&c->link);
	evbuffer_drain(c->in, evbuffer_get_length(c->in));
	deadline(c, draining ? LINGER_DRAIN_MS : LINGER_MS);
}

/* All of the answer is with the kernel. */
static void
answer_sent(struct conn *c)
{
	file_done(c);
	if (c->closes) {
		linger(c);
		return;
	}
	/* One that waited for this answer has not sent ahead. */
	if (evbuffer_get_length(c->in) == 0)
		c->run = 0;
	parser_drop(c);
	if (c->proxy)
		set_source(c, c->peer);
	c->head_only = 0;
	c->state = CONN_IDLE;
	deadline(c, config.idle_ms);
}

/*
 * Empties head and body, which stay the caller's. len: of the whole body, which
 * for a HEAD need not be there.
 */
static void
answer_put(struct conn *c, int status, struct evbuffer *head,
    struct evbuffer *body, size_t len)
{
	put_status(c, status, http_reason(status));
	evbuffer_add_printf(c->out, "Date: %s\r\n", date());
	if (status != 204 && status != 304)
		evbuffer_add_printf(c->out, "Content-Length: %zu\r\n", len);
	if (c->closes)
		evbuffer_add_printf(c->out, "Connection: close\r\n");
	else if (c->minor == 0)
		evbuffer_add_printf(c->out, "Connection: keep-alive\r\n");
	if (head != NULL)
		evbuffer_add_buffer(c->out, head);
	evbuffer_add(c->out, "\r\n", 2);
	if (body != NULL && !c->head_only && status != 204 && status != 304)
		evbuffer_add_buffer(c->out, body);
	c->state = CONN_WRITING;
	if (put_out(c) == -1) {
		conn_end(c);
		return;
	}
	c->mark = untaken(c);
	if (unsent(c) == 0)
		answer_sent(c);
	else
		deadline(c, config.write_ms);
}

/* An answer of the router's fault text. */
static void
answer_fault(struct conn *c, int status, const char *reason)
{
	struct evbuffer *head = evbuffer_new(), *body = evbuffer_new();

	if (head == NULL || body == NULL)
		fatal(NULL);
	ops->fault(c, status, reason, head, body);
	request_gone(c);
	answer_put(c, status, head, body, evbuffer_get_length(body));
	evbuffer_free(head);
	evbuffer_free(body);
}

/* A fault: one answer, and the end of the connection. */
static void
conn_fault(struct conn *c, int status, const char *reason)
{
	int busy = c->busy;

	c->busy = 1;
	c->closes = 1;
	c->head_only =
	    c->parser != NULL && http_request(c->parser)->method == HTTP_HEAD;
	answer_fault(c, status, reason);
	c->busy = busy;
	conn_process(c);
}

int
conn_room(size_t len)
{
	const struct conn *c;
	size_t all = len + held;

	if (len < UNSENT_SMALL)
		return (1);
	TAILQ_FOREACH (c, &conns, entry)
		all += unsent_held(c);
	return (all <= config.max_memory);
}

static void
reply(struct conn *c, int status, struct evbuffer *head, struct evbuffer *body,
    size_t len, int fits)
{
	int busy = c->busy;

	c->busy = 1;
	c->request = 0;
	c->data = NULL;
	/* What is left of its body cannot be told from a next request. */
	if (!c->complete || draining)
		c->closes = 1;
	if (fits)
		answer_put(c, status, head, body, len);
	else
		answer_fault(c, 503, "Too many answers are not read");
	if (head != NULL)
		evbuffer_free(head);
	if (body != NULL)
		evbuffer_free(body);
	c->busy = busy;
	conn_process(c);
}

void
conn_reply(
    struct conn *c, int status, struct evbuffer *head, struct evbuffer *body)
{
	size_t len = body == NULL ? 0 : evbuffer_get_length(body);

	reply(c, status, head, body, len, conn_room(len));
}

void
conn_reply_file(struct conn *c, int status, struct evbuffer *head, int fd,
    off_t off, size_t len)
{
	struct evbuffer *body = NULL;
	int fits = 1;

	if (c->head_only || len == 0 || fd == -1)
		close_fd(&fd);
	else if (n_files >= CONN_FILES) {
		fits = 0;
		close_fd(&fd);
	} else {
		/* The descriptor goes with the buffer's last byte. */
		if ((body = evbuffer_new()) == NULL ||
		    (link_plain(&c->link) &&
			evbuffer_set_flags(body, EVBUFFER_FLAG_DRAINS_TO_FD) ==
			    -1) ||
		    evbuffer_add_file(body, fd, off, (ev_off_t)len) == -1)
			fatal(NULL);
		c->filed = len;
		n_files++;
	}
	reply(c, status, head, body, len, fits);
}

/* ---- reading ------------------------------------------------------------- */

static void
head_complete(struct conn *c)
{
	const struct http_request *r = http_request(c->parser);
	int has_body = r->chunked || r->content_length > 0;

	c->request = 1;
	c->complete = !has_body;
	c->head_only = r->method == HTTP_HEAD;
	c->minor = r->minor;
	c->expects = r->expect_continue;
	if (!r->keep_alive || ++c->run >= config.pipeline)
		c->closes = 1;
	c->state = has_body ? CONN_HELD : CONN_WAITING;
	/* The router has no deadline here: takod has its own. */
	deadline(c, 0);
	ops->head(c, r);
	if (c->request && c->complete)
		ops->done(c);
}

void
conn_accept(struct conn *c)
{
	if (!c->request || c->state != CONN_HELD)
		return;
	c->state = CONN_BODY;
	c->mark = 0;
	deadline(c, config.body_ms);
	/* One that sends already waits for nothing. */
	if (c->expects && evbuffer_get_length(c->in) == 0) {
		put_status(c, 100, "Continue");
		evbuffer_add(c->out, "\r\n", 2);
		/* That it failed is seen when reading. */
		put_out(c);
	}
	if (!c->busy) {
		settle(c);
		/* What came with the head is taken in the loop's next turn. */
		event_active(c->reader, EV_READ, 0);
	}
}

static void
take_event(struct conn *c, enum http_event ev)
{
	const char *reason;
	const uint8_t *body;
	size_t len;
	int status;

	switch (ev) {
	case HTTP_HEADERS:
		head_complete(c);
		break;
	case HTTP_BODY:
		body = http_body(c->parser, &len);
		c->mark += len;
		ops->body(c, body, len);
		break;
	case HTTP_DONE:
		c->complete = 1;
		c->state = CONN_WAITING;
		deadline(c, 0);
		ops->done(c);
		break;
	case HTTP_FAULT:
		status = http_error(c->parser, &reason);
		conn_fault(c, status, reason);
		break;
	case HTTP_MORE:
		break;
	}
}

/* One event of the parser out of the input; 0 when more bytes are needed. */
static int
take_bytes(struct conn *c)
{
	struct evbuffer *in = c->in;
	struct evbuffer_iovec v = { NULL, 0 };
	enum http_event ev;
	size_t used;

	evbuffer_peek(in, -1, NULL, &v, 1);
	if (c->state == CONN_IDLE) {
		if (v.iov_len == 0)
			return (0);
		c->state = CONN_HEAD;
		deadline(c, config.header_ms);
		if ((c->parser = http_parser_new(&config.limits)) == NULL) {
			c->dead = 1;
			return (0);
		}
	}
	ev = http_parse(
	    c->parser, v.iov_base, v.iov_len, &used, config.max_body);
	/* A piece of the body lies in the input: it is let go behind it. */
	if (ev != HTTP_BODY)
		evbuffer_drain(in, used);
	take_event(c, ev);
	if (ev == HTTP_BODY)
		evbuffer_drain(in, used);
	return (ev != HTTP_MORE || evbuffer_get_length(in) > 0);
}

/*
 * Takes what can be taken, and leaves reading, watching, or the end as it has
 * to be. Unless somebody down the stack will do so, c may be freed by it.
 */
static void
conn_process(struct conn *c)
{
	if (c->busy)
		return;
	c->busy = 1;
	while (!c->dead &&
	       (c->state == CONN_IDLE || c->state == CONN_HEAD ||
		   c->state == CONN_BODY) &&
	       take_bytes(c))
		;
	c->busy = 0;
	if (c->dead)
		conn_end(c);
	else
		settle(c);
}

/* From here on it is the client that speaks. */
static void
conn_start(struct conn *c)
{
	if (c->state == CONN_IDLE && c->tls &&
	    link_secure(&c->link, secure) == -1) {
		conn_end(c);
		return;
	}
	conn_process(c);
}

/*
 * The header of the PROXY protocol: no byte behind it is taken. -1: it is
 * none.
 */
static int
proxy_take(struct conn *c)
{
	uint8_t buf[TRUST_PROXY_MAX], *head;
	size_t have = evbuffer_get_length(c->in), need = TRUST_PROXY_HEAD;
	char client[MAX_CLIENT + 1];
	ssize_t n;
	int len;

	if (have >= TRUST_PROXY_HEAD)
		need += (size_t)trust_proxy_length(evbuffer_pullup(c->in, -1));
	if (have < need) {
		n = recv(c->link.fd, buf, need - have, MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return (0);
		if (n <= 0 || evbuffer_add(c->in, buf, (size_t)n) == -1)
			return (-1);
		have += (size_t)n;
	}
	if (have < TRUST_PROXY_HEAD)
		return (0);
	head = evbuffer_pullup(c->in, -1);
	if ((len = trust_proxy_length(head)) == -1)
		return (-1);
	if (have < TRUST_PROXY_HEAD + (size_t)len)
		return (0);
	switch (trust_proxy_client(head, have, client)) {
	case -1:
		return (-1);
	case 1:
		c->named = 1;
		if (*client == '\0')
			break;
		strlcpy(c->peer, client, sizeof(c->peer));
		c->proxy = trust_has(c->peer);
		set_source(c, c->peer);
		break;
	default:
		break;
	}
	evbuffer_drain(c->in, have);
	c->state = CONN_IDLE;
	return (1);
}

static void
proxy_read(struct conn *c)
{
	int r = proxy_take(c);

	if (r == -1) {
		log_info("%s sent no PROXY header of version 2", c->peer);
		conn_end(c);
	} else if (r == 1 && !c->proxy &&
		   count_source(c->source) > config.max_per_source) {
		if (c->tls)
			conn_end(c);
		else
			conn_fault(c, 503, "Too many connections");
	} else if (r == 1)
		conn_start(c);
}

/* The client's end, or something that is no TLS. */
static void
link_ended(struct conn *c, int error)
{
	/* One that closed its half in the middle may read why it fails. */
	if (error == 0 && (c->state == CONN_HEAD || c->state == CONN_BODY))
		conn_fault(c, 400, "The request is incomplete");
	else if (error == EPROTO && !c->link.encrypted) {
		linger(c);
		settle(c);
	} else
		conn_end(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	if (c->state == CONN_PROXY) {
		proxy_read(c);
		return;
	}
	if (c->state != CONN_LINGER && evbuffer_get_length(c->in) > 0) {
		/* What came ahead goes first: there may be no more. */
		conn_process(c);
		return;
	}
	n = c->state == CONN_LINGER ? link_drop(&c->link)
				    : link_read(&c->link, c->in);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		link_ended(c, n == 0 ? 0 : errno);
	else
		conn_process(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (c->link.to_write) {
		on_readable(fd, what, arg);
		return;
	}
	if (put_out(c) == -1) {
		conn_end(c);
		return;
	}
	if (unsent(c) > 0)
		return;
	if (c->state == CONN_WRITING)
		answer_sent(c);
	conn_process(c);
}

/* ---- deadlines ----------------------------------------------------------- */

/*
 * Is this fast enough for another such time? moved: the bytes of this one.
 */
static int
pace(struct conn *c, size_t moved, unsigned ms, size_t mark)
{
	if (moved < (uint64_t)config.min_rate * ms / 1000)
		return (0);
	c->mark = mark;
	deadline(c, ms);
	return (1);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	size_t left;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_BODY:
		if (pace(c, c->mark, config.body_ms, 0))
			return;
		/* FALLTHROUGH */
	case CONN_HEAD:
		conn_fault(c, 408, "The request came too slowly");
		return;
	case CONN_WRITING:
		left = untaken(c);
		if (left <= c->mark &&
		    pace(c, c->mark - left, config.write_ms, left))
			return;
		log_debug("%s does not read its answer", c->peer);
		break;
	case CONN_HELD:
	case CONN_WAITING:
		probe(c);
		return;
	case CONN_PROXY:
	case CONN_IDLE:
	case CONN_LINGER:
		break;
	}
	conn_end(c);
}

/* ---- a new one ----------------------------------------------------------- */

static void
take_peer(struct conn *c, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *s6;
	const struct sockaddr_in *s4;

	strlcpy(c->peer, "unknown", sizeof(c->peer));
	if (sa->sa_family == AF_UNIX)
		strlcpy(c->peer, PEER_UNIX, sizeof(c->peer));
	else if (sa->sa_family == AF_INET) {
		s4 = (const struct sockaddr_in *)(const void *)sa;
		inet_ntop(AF_INET, &s4->sin_addr, c->peer, sizeof(c->peer));
	} else if (sa->sa_family == AF_INET6) {
		s6 = (const struct sockaddr_in6 *)(const void *)sa;
		trust_text(s6->sin6_addr.s6_addr, c->peer, sizeof(c->peer));
	}
}

static void
conn_begin(struct conn *c, evutil_socket_t fd)
{
	int on = 1;

	/* An answer is written at one go: nothing is gained by waiting. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->timer = evtimer_new(base, on_deadline, c);
	c->reader = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writer = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	c->watcher = event_new(
	    base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_watch, c);
	if (c->timer == NULL || c->reader == NULL || c->writer == NULL ||
	    c->watcher == NULL)
		fatal(NULL);
	TAILQ_INSERT_TAIL(&conns, c, entry);
	LIST_INSERT_HEAD(&sources[bucket_of(c->source)], c, same);
	if (c->refused)
		n_refused++;
	else
		n_conns++;
	deadline(c, config.header_ms);
}

/* Has it as many connections as it may? A proxy's are for others. */
static int
is_full_up(const struct conn *c)
{
	return (
	    n_conns >= config.max ||
	    (!c->proxy && count_source(c->source) >= config.max_per_source));
}

void
conn_accepted(evutil_socket_t fd, const struct sockaddr *sa, int tls, int proxy)
{
	struct conn *c;

	if ((c = conn_new(fd)) == NULL)
		return;
	take_peer(c, sa);
	strlcpy(c->client, c->peer, sizeof(c->client));
	source_of(c->peer, c->source);
	c->proxy = trust_has(c->peer);
	c->tls = tls;
	c->state = proxy ? CONN_PROXY : CONN_IDLE;
	c->refused = is_full_up(c);
	if (proxy && !c->proxy) {
		log_info("%s is no trusted proxy", c->peer);
		conn_free(c);
		return;
	}
	if ((c->refused && n_refused >= REFUSED_MAX) ||
	    (c->tls && secure == NULL)) {
		conn_free(c);
		return;
	}
	conn_begin(c, fd);
	if (c->refused && !c->tls) {
		c->state = CONN_IDLE;
		conn_fault(c, 503, "Too many connections");
	} else if (c->refused)
		conn_end(c);
	else
		conn_start(c);
}

/* ---- what others call ---------------------------------------------------- */

void
conn_init(struct event_base *b, const struct conn_ops *o)
{
	base = b;
	ops = o;
	accept_init(base);
}

void
conn_configure(const struct conn_config *c)
{
	config = *c;
}

void
conn_drain(void)
{
	struct conn *c, *next;

	draining = 1;
	accept_off();
	TAILQ_FOREACH_SAFE (c, &conns, entry, next) {
		if (c->state == CONN_IDLE)
			conn_end(c);
		else if (c->state == CONN_LINGER)
			deadline(c, LINGER_DRAIN_MS);
	}
}

unsigned
conn_count(void)
{
	return (n_conns + n_refused);
}

void
conn_hold(ssize_t len)
{
	held += (size_t)len;
}

const char *
conn_peer(const struct conn *c)
{
	return (c->client);
}

int
conn_forwarded(const struct conn *c)
{
	return (c->named || strcmp(c->client, c->peer) != 0);
}

int
conn_set_client(struct conn *c, const char *address)
{
	set_source(c, address);
	return (count_source(c->source) > config.max_per_source ? -1 : 0);
}

void
conn_set_tls(SSL_CTX *ctx)
{
	SSL_CTX_free(secure);
	secure = ctx;
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

uint8_t *
conn_note(struct conn *c)
{
	return (c->note);
}
