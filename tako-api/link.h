/*
 * link.h: bytes between a client's socket and a connection of conn.c, plain or
 * under TLS. Never blocks, and keeps nothing but what TLS needs of a record
 * that is half there.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <sys/types.h>

#include <event2/buffer.h>
#include <openssl/ssl.h>

struct link {
	int fd;
	SSL *ssl;      /* NULL: plain */
	int to_write;  /* reading waits until the socket takes bytes */
	int encrypted; /* the handshake is over */
};

/* Takes fd over; plain. */
void link_open(struct link *, int fd);
/* From the next byte on it is TLS. 0, or -1 without memory. */
int link_secure(struct link *, SSL_CTX *);
void link_close(struct link *);
/*
 * Adds what came to in, at most LINK_READ bytes of it. Returns how many, 0 at
 * the client's end, -1 with errno: EAGAIN when there are none now, EPROTO when
 * it is no TLS.
 */
#define LINK_READ 65536
ssize_t link_read(struct link *, struct evbuffer *in);
/* Sends from the beginning of out and removes it there; as link_read. */
ssize_t link_write(struct link *, struct evbuffer *out);
/* Whether bytes may be sent that go past link_write. */
int link_plain(const struct link *);
/* No more is sent from here on. */
void link_finish(struct link *);
/* Drops what comes, whatever it is; as link_read. */
ssize_t link_drop(struct link *);

#endif
