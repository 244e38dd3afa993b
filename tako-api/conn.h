/*
 * conn.h: the connections of tako-api: clients accepted from listening
 * sockets, each a small state machine around one http_parser. A connection
 * has one request at a time; what a client pipelines behind it is not read
 * before its answer has left, so that answers keep the order of the requests.
 *
 * The calls that a request's life consists of, all from the one loop:
 *
 *	head    its head is complete. The router keeps what it needs (the
 *	        http_request is valid during the call) and sets conn_set_data.
 *	body    a piece of its body; only after conn_accept.
 *	done    it is complete. Without a body, this comes right after head.
 *	        With one, only after conn_accept.
 *
 * The router answers by conn_reply, once, inside of any of these calls or at
 * any later time; then none of them is called for that request any more. An
 * answer that is given while the body is not all there closes the connection.
 *
 *	fault   the request, or what was to be one, broke the rules of HTTP,
 *	        came too slowly or is one too many: fills the answer's fields
 *	        and body. When conn_data says that a request was under way,
 *	        gone is called after it.
 *	gone    the request under way ends without an answer of the router:
 *	        its client went away, or fault answered. No call for it
 *	        follows, and conn_reply must not be called for it.
 */
#ifndef CONN_H
#define CONN_H

#include <stdint.h>
#include <sys/types.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/util.h>

#include <openssl/ssl.h>

#include "http.h"
#include "tako.h"

#define CONN_NOTE TAKO_SHA256

struct conn;

struct conn_ops {
	void (*head)(struct conn *, const struct http_request *);
	void (*body)(struct conn *, const uint8_t *, size_t);
	void (*done)(struct conn *);
	void (*gone)(struct conn *);
	/*
	 * status and reason (a constant text) are those of the fault. head
	 * takes fields, each with its line end, body the text; both buffers
	 * are the caller's. The connection may be one that is not accepted:
	 * only conn_peer and conn_data (NULL) may be asked of it.
	 */
	void (*fault)(struct conn *, int status, const char *reason,
	    struct evbuffer *head, struct evbuffer *body);
};

struct conn_config {
	unsigned max;		   /* connections, all together */
	unsigned max_per_source;   /* of one IPv4 address or IPv6 /64 */
	unsigned header_ms;	   /* from its first byte to a head's end */
	unsigned body_ms, idle_ms; /* a body; between two requests */
	unsigned write_ms;	   /* an answer, see conn.c for the rate */
	/*
	 * Bytes a second at which bodies and answers go on beyond their time,
	 * measured over each such time.
	 */
	unsigned min_rate;
	/*
	 * Requests that a client may send without waiting for answers; the
	 * answer to the last of them closes the connection.
	 */
	unsigned pipeline;
	/* Bytes held for all clients together: see conn_room. */
	size_t max_memory;
	uint64_t max_body; /* bytes, of any request: 413 above */
	struct http_limits limits;
};

/* Before all others; ops stay the caller's. Ends the process on failure. */
void conn_init(struct event_base *, const struct conn_ops *);
/* From now on; connections that are over a new limit are kept. */
void conn_configure(const struct conn_config *);
/*
 * A client connected to a socket that is for TLS, for clients behind a PROXY
 * header, or for neither. The descriptor is taken over.
 */
void conn_accepted(
    evutil_socket_t, const struct sockaddr *, int tls, int proxy);
/*
 * From now on each answer closes its connection, and those that wait for a
 * next request are closed at once. Listeners are closed as well.
 */
void conn_drain(void);
unsigned conn_count(void);
/* For TLS listeners from now on; takes a reference over. */
void conn_set_tls(SSL_CTX *);

/*
 * The peer's address without port ("127.0.0.1"; v4-mapped ones as IPv4), or
 * PEER_UNIX.
 */
const char *conn_peer(const struct conn *);
/* Somebody in between says whom it is from: see trust.c. */
int conn_forwarded(const struct conn *);
/*
 * The request under way is for another client than the peer, a trusted proxy.
 * 0, or -1 when that client has as many connections as it may.
 */
int conn_set_client(struct conn *, const char *address);
/* The router's own pointer, of the request under way. */
void conn_set_data(struct conn *, void *);
void *conn_data(const struct conn *);
/* Room for what the router notes of a connection, zeros at first. */
uint8_t *conn_note(struct conn *);

/*
 * Lets the body of the request under way come, and asks for it (100 Continue)
 * where the client waits for that. Never calls body or done itself. Does
 * nothing when there is no body.
 */
void conn_accept(struct conn *);
/*
 * Is there room for so many more bytes, beside what the router holds and what
 * clients have not read yet? An answer for which there is none goes out as
 * 503. conn_hold: the router holds so many more, or less.
 */
int conn_room(size_t len);
void conn_hold(ssize_t len);
/*
 * Answers the request under way. head: fields, each with its line end, but
 * none of Date, Content-Length and Connection, which are added; body: may be
 * NULL; to a HEAD its length is told and its bytes are not sent. Takes both
 * buffers over; the body is moved, not copied. The connection may be freed
 * within: it is the caller's no more.
 */
void conn_reply(
    struct conn *, int status, struct evbuffer *head, struct evbuffer *body);
/*
 * The same with a body that lies in a regular file, from off on: it is sent
 * from there, as fast as the client reads, and never in memory. Takes fd over,
 * which may be -1 where the request is a HEAD.
 */
void conn_reply_file(struct conn *, int status, struct evbuffer *head, int fd,
    off_t off, size_t len);
/* Files that are being sent at one time; one more is answered with 503. */
#define CONN_FILES 512

/* ---- trust.c: whose word on a client's address is taken -------------------
 */

/* An IPv6 address as text; of one that is mapped, the IPv4 address. */
void trust_text(const uint8_t ip[16], char *text, size_t size);
/* Is that address (as conn_peer gives it) one of trusted_proxies? */
int trust_has(const char *address);
/*
 * Whom a request is from that came from peer, by its fields. 1 when that is
 * somebody else than peer.
 */
int trust_client(
    const struct http_request *, const char *peer, char client[MAX_CLIENT + 1]);
/*
 * The PROXY protocol's header: TRUST_PROXY_HEAD bytes, which say how many
 * follow (-1: it is none, or not of version 2), then those.
 */
#define TRUST_PROXY_HEAD 16
#define TRUST_PROXY_MAX	 1024
int trust_proxy_length(const uint8_t *head);
/*
 * Of all len bytes: 1 with the client ("": it is not said who), 0 when the
 * proxy asks for itself, -1.
 */
int trust_proxy_client(
    const uint8_t *head, size_t len, char client[MAX_CLIENT + 1]);

/* accept.c */
void accept_init(struct event_base *); /* by conn_init */
/*
 * Accepts from a listening socket, which it takes over: TLS, and after a PROXY
 * header, as it is told.
 */
void accept_on(int fd, int tls, int proxy);
/* Closes all listeners; connections go on. */
void accept_off(void);

#endif
