/*
 * listen.c: the sockets that clients connect to. The parent binds them, so
 * that a replaced tako-api goes on accepting where the last one stopped, and
 * passes them on; it never accepts itself.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "takod.h"
#include "util.h"

#define LISTEN_MAX     8
#define LISTEN_BACKLOG 512

static struct {
	int fd;
	char name[128];
} listeners[LISTEN_MAX];
static size_t n_listeners;
static typeof(listeners) former; /* while a reload is decided */
static size_t n_former;

static int
listen_one(const struct addrinfo *ai)
{
	int fd, on = 1;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (-1);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    (ai->ai_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ==
		    -1) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1) {
		close_fd(&fd);
		return (-1);
	}
	return (fd);
}

int
listen_open(char *detail, size_t len)
{
	struct addrinfo hints, *list, *ai;
	char port[8], host[NI_MAXHOST];
	int error, fd = -1;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	snprintf(port, sizeof(port), "%d", env.conf->server_port);
	error = getaddrinfo(env.conf->server_host, port, &hints, &list);
	if (error != 0) {
		snprintf(detail, len, "server_host: %s", gai_strerror(error));
		return (-1);
	}
	for (ai = list; ai != NULL && n_listeners < LISTEN_MAX;
	     ai = ai->ai_next) {
		if ((fd = listen_one(ai)) == -1)
			break;
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host),
			NULL, 0, NI_NUMERICHOST) != 0)
			strlcpy(host, "?", sizeof(host));
		listeners[n_listeners].fd = fd;
		snprintf(listeners[n_listeners].name, sizeof(listeners[0].name),
		    ai->ai_family == AF_INET6 ? "[%.100s]:%s" : "%.100s:%s",
		    host, port);
		n_listeners++;
	}
	freeaddrinfo(list);
	if (n_listeners == 0) {
		snprintf(detail, len, "cannot listen on port %s: %s", port,
		    strerror(errno));
		return (-1);
	}
	return (0);
}

int
listen_again(char *detail, size_t len)
{
	memcpy(former, listeners, sizeof(former));
	n_former = n_listeners;
	n_listeners = 0;
	if (listen_open(detail, len) == 0)
		return (0);
	listen_back();
	return (-1);
}

void
listen_keep(void)
{
	while (n_former > 0)
		close_fd(&former[--n_former].fd);
}

void
listen_back(void)
{
	listen_close();
	memcpy(listeners, former, sizeof(former));
	n_listeners = n_former;
	n_former = 0;
}

void
listen_close(void)
{
	while (n_listeners > 0)
		close_fd(&listeners[--n_listeners].fd);
}

size_t
listen_count(void)
{
	return (n_listeners);
}

int
listen_fd(size_t i, const char **name)
{
	*name = listeners[i].name;
	return (listeners[i].fd);
}
