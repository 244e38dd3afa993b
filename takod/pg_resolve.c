/*
 * pg_resolve.c: the addresses of the hosts that database_url names. libpq would
 * look them up itself, and takod's loop would wait for the name server: so a
 * short-lived child does it, which holds nothing of takod's and has nobody's
 * rights. Runs in the parent, but for lookup(), which is the child's.
 *
 * The child answers with three lines, host, hostaddr and port as libpq takes
 * them, an entry for each address; or with one that begins with an
 * exclamation mark and says what failed.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "lookup_child.h"
#include "pg_conn.h"
#include "util.h"

#define MAX_ADDRESSES 32

struct pg_resolve {
	pid_t pid;
	int fd;
	struct event *ev;
	char answer[PG_RESOLVED];
	size_t len;
	pg_resolve_cb cb;
	void *arg;
};

/* ---- the child --------------------------------------------------------------
 */

struct lists {
	char host[PG_RESOLVED / 3], addr[PG_RESOLVED / 3];
	char port[PG_RESOLVED / 3];
	int n;
};

static void
list_add(char *list, size_t size, const char *entry, int first)
{
	if (!first)
		strlcat(list, ",", size);
	strlcat(list, entry, size);
}

static void
lists_add(struct lists *l, const char *host, const char *addr, const char *port)
{
	if (l->n == MAX_ADDRESSES)
		return;
	list_add(l->host, sizeof(l->host), host, l->n == 0);
	list_add(l->addr, sizeof(l->addr), addr, l->n == 0);
	list_add(l->port, sizeof(l->port), port, l->n == 0);
	l->n++;
}

/* 0, or getaddrinfo's error. */
static int
lookup_one(struct lists *l, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all, *a;
	char addr[128];
	int error;

	if ((error = getaddrinfo(host, NULL, &hints, &all)) != 0)
		return (error);
	for (a = all; a != NULL; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, addr, sizeof(addr),
			NULL, 0, NI_NUMERICHOST) == 0)
			lists_add(l, host, addr, port);
	return (0);
}

static void
lookup(int fd, char *hosts, char *ports)
{
	struct lists l = { .n = 0 };
	char answer[PG_RESOLVED], *host, *port = NULL;
	const char *why = "no host";
	int error;

	while ((host = strsep(&hosts, ",")) != NULL) {
		/* One port is for all hosts. */
		if (ports != NULL)
			port = strsep(&ports, ",");
		if (pg_host_known(host))
			lists_add(&l, host, "", port != NULL ? port : "");
		else if ((error = lookup_one(
			      &l, host, port != NULL ? port : "")) != 0)
			why = gai_strerror(error);
	}
	if (l.n == 0)
		snprintf(answer, sizeof(answer), "!%s", why);
	else
		snprintf(answer, sizeof(answer), "%s\n%s\n%s\n", l.host, l.addr,
		    l.port);
	(void)write_all(fd, answer, strlen(answer));
}

static void __attribute__((noreturn))
child(pid_t parent, int fd, char *hosts, char *ports)
{
	lookup(lookup_child(parent, fd), hosts, ports);
	_exit(0);
}

/* ---- the parent -------------------------------------------------------------
 */

void
pg_resolve_drop(struct pg_resolve *r)
{
	if (r == NULL)
		return;
	kill(r->pid, SIGKILL);
	while (waitpid(r->pid, NULL, 0) == -1 && errno == EINTR)
		;
	if (r->ev != NULL)
		event_free(r->ev);
	close_fd(&r->fd);
	free(r);
}

/* Its words are addresses and names: shown or given to libpq, no more. */
static void
answered(struct pg_resolve *r)
{
	char *rest = r->answer, *list[3];
	pg_resolve_cb cb = r->cb;
	void *arg = r->arg;
	char error[256];
	int i;

	r->answer[r->len] = '\0';
	for (i = 0; i < 3; i++)
		list[i] = strsep(&rest, "\n");
	if (r->answer[0] == '!' || rest == NULL) {
		snprintf(error, sizeof(error), "looking up the server: %s",
		    r->answer[0] == '!' ? r->answer + 1 : "no answer");
		cb(NULL, error, arg);
		return;
	}
	cb(list, "", arg);
}

static void
readable(int fd, short events, void *arg)
{
	struct pg_resolve *r = arg;
	ssize_t n;

	(void)events;
	n = read(fd, r->answer + r->len, sizeof(r->answer) - 1 - r->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		r->len += (size_t)n;
		if (r->len < sizeof(r->answer) - 1)
			return;
	}
	event_del(r->ev);
	answered(r);
}

struct pg_resolve *
pg_resolve_start(struct event_base *base, const char *hosts, const char *ports,
    pg_resolve_cb cb, void *arg)
{
	struct pg_resolve *r = xcalloc(1, sizeof(*r));
	pid_t parent = getpid();
	char *h, *p = NULL;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) == -1) {
		free(r);
		return (NULL);
	}
	r->fd = fd[0];
	r->cb = cb;
	r->arg = arg;
	h = xstrdup(hosts);
	if (ports != NULL && ports[0] != '\0')
		p = xstrdup(ports);
	if ((r->pid = fork()) == 0)
		child(parent, fd[1], h, p);
	free(h);
	free(p);
	close_fd(&fd[1]);
	if (r->pid == -1) {
		close_fd(&r->fd);
		free(r);
		return (NULL);
	}
	fd_nonblock(r->fd);
	r->ev = event_new(base, r->fd, EV_READ | EV_PERSIST, readable, r);
	if (r->ev == NULL || event_add(r->ev, NULL) == -1) {
		pg_resolve_drop(r);
		return (NULL);
	}
	return (r);
}
