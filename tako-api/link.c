/*
 * link.c: reading and writing a client's socket, plain or under TLS. Runs in
 * tako-api. OpenSSL is given the socket itself; with read-ahead off it takes
 * no byte of it but those of the record that it is at, and a read of a whole
 * record leaves nothing behind in it: a socket that has nothing to read has
 * nothing to say.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "link.h"
#include "util.h"

/* Of an answer, this much at a time: one record. */
#define RECORD 16384

static char buf[LINK_READ];

void
link_open(struct link *l, int fd)
{
	l->fd = fd;
	l->ssl = NULL;
	l->to_write = l->encrypted = 0;
}

int
link_secure(struct link *l, SSL_CTX *tls)
{
	ERR_clear_error();
	if ((l->ssl = SSL_new(tls)) == NULL || SSL_set_fd(l->ssl, l->fd) != 1)
		return (-1);
	SSL_set_accept_state(l->ssl);
	return (0);
}

void
link_close(struct link *l)
{
	SSL_free(l->ssl);
	l->ssl = NULL;
	close_fd(&l->fd);
}

int
link_plain(const struct link *l)
{
	return (l->ssl == NULL);
}

/* How a call of OpenSSL that moved nothing is told; 0 is the client's end. */
static ssize_t
outcome(struct link *l, int r, int reading)
{
	int error = errno;

	switch (SSL_get_error(l->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		errno = reading ? EAGAIN : EPROTO;
		return (-1);
	case SSL_ERROR_WANT_WRITE:
		l->to_write = reading;
		errno = EAGAIN;
		return (-1);
	case SSL_ERROR_ZERO_RETURN:
		return (0);
	case SSL_ERROR_SYSCALL:
		errno = error != 0 ? error : ECONNRESET;
		return (-1);
	default:
		/* A client that went without a word is one that went. */
		if (ERR_GET_REASON(ERR_peek_error()) ==
		    SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return (0);
		errno = EPROTO;
		return (-1);
	}
}

ssize_t
link_read(struct link *l, struct evbuffer *in)
{
	ssize_t n;

	l->to_write = 0;
	if (l->ssl == NULL)
		n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT);
	else {
		ERR_clear_error();
		errno = 0;
		n = SSL_read(l->ssl, buf, sizeof(buf));
		l->encrypted = SSL_is_init_finished(l->ssl);
		if (n <= 0)
			return (outcome(l, (int)n, 1));
	}
	if (n > 0 && evbuffer_add(in, buf, (size_t)n) == -1) {
		errno = ENOMEM;
		return (-1);
	}
	return (n);
}

ssize_t
link_write(struct link *l, struct evbuffer *out)
{
	static char record[RECORD];
	ev_ssize_t len;
	int n;

	if (l->ssl == NULL)
		return (evbuffer_write(out, l->fd));
	/* Head and body lie apart, and would be a record each. */
	if ((len = evbuffer_copyout(out, record, sizeof(record))) <= 0) {
		errno = EINVAL;
		return (-1);
	}
	ERR_clear_error();
	errno = 0;
	if ((n = SSL_write(l->ssl, record, (int)len)) <= 0)
		return (outcome(l, n, 0));
	evbuffer_drain(out, (size_t)n);
	return (n);
}

void
link_finish(struct link *l)
{
	ERR_clear_error();
	if (l->ssl != NULL && l->encrypted)
		SSL_shutdown(l->ssl);
	shutdown(l->fd, SHUT_WR);
}

ssize_t
link_drop(struct link *l)
{
	return (recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT));
}
