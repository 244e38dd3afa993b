/*
 * http_load.c: clients of a server on this host, for figures in which the
 * clients must cost next to nothing:
 *
 *	http_load PORT clients jobs [get=PATH] [key=KEY] [from=ADDRESS] [tls]
 *
 * Each client has a connection that it keeps, posts a job to /execute/async (or
 * gets PATH), and posts the next one when the answer is there, until all of
 * them together have posted so many. Any answer but a 200 ends it with an
 * error. It prints jobs a second, and the milliseconds of one call: median and
 * 99th percentile.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "util.h"

#define BODY	    "{\"code\":\"print(1)\"}"
#define MAX_CLIENTS 1024

struct client {
	int fd;
	SSL *ssl; /* NULL: plain */
	int64_t since;
	char answer[4096];
	size_t len;
};

static long left; /* jobs that nobody has posted yet */
static const char *path, *key, *from = "127.0.0.1";
static SSL_CTX *tls;

static int
connect_to(const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(port)) };
	struct sockaddr_in own = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	inet_pton(AF_INET, from, &own.sin_addr);
	if (fd == -1 || bind(fd, (struct sockaddr *)&own, sizeof(own)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		err(1, "port %s", port);
	return (fd);
}

static void
post(struct client *c)
{
	static char request[1024];
	static int len;
	ssize_t n;

	if (left == 0)
		return;
	left--;
	if (len == 0 && path != NULL)
		len = snprintf(request, sizeof(request),
		    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s\r\n", path,
		    key != NULL ? "X-API-Key: " : "", key != NULL ? key : "",
		    key != NULL ? "\r\n" : "");
	else if (len == 0)
		len = snprintf(request, sizeof(request),
		    "POST /execute/async HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n\r\n" BODY,
		    strlen(BODY));
	c->len = 0;
	c->since = time_mono_us();
	/* Less than any socket takes at once. */
	n = c->ssl != NULL ? SSL_write(c->ssl, request, len)
			   : write(c->fd, request, (size_t)len);
	if (n != len)
		err(1, "write");
}

/* Is a whole answer there? */
static int
answered(struct client *c)
{
	size_t room = sizeof(c->answer) - 1 - c->len;
	const char *body, *field;
	ssize_t n;

	n = c->ssl != NULL ? SSL_read(c->ssl, c->answer + c->len, (int)room)
			   : read(c->fd, c->answer + c->len, room);
	if (n <= 0)
		err(1, "read: %s", n == 0 ? "closed" : "failed");
	c->len += (size_t)n;
	c->answer[c->len] = '\0';
	if ((body = strstr(c->answer, "\r\n\r\n")) == NULL)
		return (0);
	body += 4;
	if ((field = strcasestr(c->answer, "\r\ncontent-length:")) == NULL ||
	    strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
		errx(1, "answered %s", c->answer);
	return (c->len - (size_t)(body - c->answer) >=
		strtoul(field + 17, NULL, 10));
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return ((*x > *y) - (*x < *y));
}

int
main(int argc, char **argv)
{
	struct client *clients, *c;
	struct epoll_event events[64];
	int64_t *took, began, whole;
	long clients_n, jobs, done = 0;
	int ep, i, n;

	for (i = 4; i < argc; i++)
		if (strncmp(argv[i], "get=", 4) == 0)
			path = argv[i] + 4;
		else if (strncmp(argv[i], "key=", 4) == 0)
			key = argv[i] + 4;
		else if (strncmp(argv[i], "from=", 5) == 0)
			from = argv[i] + 5;
		else if (strcmp(argv[i], "tls") == 0)
			tls = SSL_CTX_new(TLS_client_method());
	if (argc < 4 || (clients_n = atol(argv[2])) < 1 ||
	    clients_n > MAX_CLIENTS || (jobs = atol(argv[3])) < clients_n)
		errx(1, "usage: http_load PORT clients jobs [...]");
	left = jobs;
	clients = xcalloc((size_t)clients_n, sizeof(*clients));
	took = xcalloc((size_t)jobs, sizeof(*took));
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll");
	for (c = clients; c < clients + clients_n; c++) {
		struct epoll_event e = { EPOLLIN, { .ptr = c } };

		c->fd = connect_to(argv[1]);
		if (tls != NULL && ((c->ssl = SSL_new(tls)) == NULL ||
				       SSL_set_fd(c->ssl, c->fd) != 1 ||
				       SSL_connect(c->ssl) != 1))
			errx(1, "TLS");
		if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) == -1)
			err(1, "epoll");
	}
	began = time_mono_us();
	for (c = clients; c < clients + clients_n; c++)
		post(c);
	while (done < jobs) {
		if ((n = epoll_wait(ep, events, nitems(events), 30000)) <= 0)
			errx(1, "no answer within 30 s");
		for (i = 0; i < n; i++) {
			c = events[i].data.ptr;
			if (!answered(c))
				continue;
			took[done++] = time_mono_us() - c->since;
			post(c);
		}
	}
	whole = time_mono_us() - began;
	qsort(took, (size_t)jobs, sizeof(*took), compare);
	printf("%.1f jobs/s, %.3f ms, %.3f ms\n",
	    (double)jobs * 1e6 / (double)whole, (double)took[jobs / 2] / 1000,
	    (double)took[jobs * 99 / 100] / 1000);
	return (0);
}
