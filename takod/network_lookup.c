/*
 * network_lookup.c: the addresses of the names in allowed_hosts. A name server
 * may be slow, and its answers come from outside: a short-lived child with
 * nobody's rights asks it, and tells addresses in a fixed form. Runs in takod,
 * but for lookup() and child(), which are the child's.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lookup_child.h"
#include "network.h"
#include "util.h"

#define LOOKUP_S  10
#define ADDRESSES 1024 /* of all names */

struct network_lookup {
	pid_t pid;
	int fd;
	struct event *ev;
	struct network_address answer[ADDRESSES];
	size_t len; /* bytes */
	network_lookup_cb cb;
	void *arg;
};

/* ---- the child ----------------------------------------------------------- */

static void
lookup(int fd, size_t item, const char *name)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all, *a;
	int n = 0;

	if (getaddrinfo(name, NULL, &hints, &all) != 0)
		return;
	for (a = all; a != NULL && n < NETWORK_LOOKUP_ADDRESSES;
	     a = a->ai_next) {
		struct network_address out = { .item = (uint16_t)item,
			.address = { [10] = 0xff, [11] = 0xff } };
		struct sockaddr_in in;
		struct sockaddr_in6 in6;

		if (a->ai_family == AF_INET) {
			memcpy(&in, a->ai_addr, sizeof(in));
			memcpy(out.address + 12, &in.sin_addr, 4);
		} else if (a->ai_family == AF_INET6) {
			memcpy(&in6, a->ai_addr, sizeof(in6));
			memcpy(out.address, &in6.sin6_addr, 16);
		} else
			continue;
		(void)write_all(fd, &out, sizeof(out));
		n++;
	}
	freeaddrinfo(all);
}

static void __attribute__((noreturn))
child(pid_t parent, int fd, const struct conf_list *hosts)
{
	struct conf_host h;
	size_t i;

	fd = lookup_child(parent, fd);
	alarm(LOOKUP_S);
	for (i = 0; i < hosts->n; i++) {
		(void)conf_host_parse(hosts->items[i], &h);
		if (h.name[0] != '\0')
			lookup(fd, i, h.name);
	}
	_exit(0);
}

/* ---- takod --------------------------------------------------------------- */

void
network_lookup_drop(struct network_lookup *l)
{
	if (l == NULL)
		return;
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, NULL, 0) == -1 && errno == EINTR)
		;
	if (l->ev != NULL)
		event_free(l->ev);
	close_fd(&l->fd);
	free(l);
}

/* The end of what it writes is the end of its work, or of its time. */
static void
readable(int fd, short events, void *arg)
{
	struct network_lookup *l = arg;
	ssize_t n;

	(void)events;
	n = read(fd, (char *)l->answer + l->len, sizeof(l->answer) - l->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		l->len += (size_t)n;
		if (l->len < sizeof(l->answer))
			return;
	}
	event_del(l->ev);
	l->cb(l->answer, l->len / sizeof(l->answer[0]), l->arg);
}

struct network_lookup *
network_lookup_start(struct event_base *base, const struct conf_list *hosts,
    network_lookup_cb cb, void *arg)
{
	struct network_lookup *l = xcalloc(1, sizeof(*l));
	pid_t parent = getpid();
	int fd[2];

	l->cb = cb;
	l->arg = arg;
	if (pipe2(fd, O_CLOEXEC) == -1) {
		free(l);
		return (NULL);
	}
	l->fd = fd[0];
	if ((l->pid = fork()) == 0)
		child(parent, fd[1], hosts);
	close_fd(&fd[1]);
	if (l->pid == -1) {
		close_fd(&l->fd);
		free(l);
		return (NULL);
	}
	fd_nonblock(l->fd);
	l->ev = event_new(base, l->fd, EV_READ | EV_PERSIST, readable, l);
	if (l->ev == NULL || event_add(l->ev, NULL) == -1) {
		network_lookup_drop(l);
		return (NULL);
	}
	return (l);
}
