/*
 * listen.c: the sockets that clients connect to. The parent binds them, so
 * that a replaced tako-api goes on accepting where the last one stopped, and
 * passes them on; it never accepts itself. Those that systemd made it keeps for
 * its life, since they cannot be had again.
 *
 * A reload to other addresses loses no client. A socket whose address stays
 * stays itself. So does one that a new wildcard covers: it is the more exact
 * one and would take the clients anyhow. Any other one leaves: it is deaf to
 * new clients at once, but is accepted from until whoever was in the middle of
 * connecting has been.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bind.h"
#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define LISTEN_MAX  24
#define LISTEN_KEPT 32 /* with those that a wildcard covers */
#define SYSTEMD_FD  3  /* the first that systemd passes */
#define SYSTEMD_MAX 16
#define LEAVE_US    500000 /* a handshake under way ends in that time */
#define LEAVE_TURNS 10	   /* and no longer for clients not accepted */
#define START_US    20000  /* between attempts to bind, at the start */
#define START_TRIES 250

struct listeners {
	struct bound list[LISTEN_KEPT];
	size_t n;
};

static struct listeners now, former /* while a reload is decided */, leaving;
static struct event *leave_timer;
static unsigned leave_turns;

/* What systemd passed, by the names that its units give. */
static struct {
	int fd;
	char name[108];
} passed[SYSTEMD_MAX];
static size_t n_passed;

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

static sa_family_t
address_of(int fd, union address *a)
{
	socklen_t len = sizeof(*a);

	memset(a, 0, sizeof(*a));
	if (getsockname(fd, &a->sa, &len) == -1)
		return (AF_UNSPEC);
	return (a->sa.sa_family);
}

static int
is_path(const struct bound *b)
{
	return (strncmp(b->name, "unix:", 5) == 0);
}

static void
drop_all(struct listeners *l)
{
	while (l->n > 0)
		close_fd(&l->list[--l->n].fd);
}

/* The one of that address, or NULL. */
static struct bound *
find(struct listeners *l, const char *name)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->list[i].name, name) == 0)
			return (&l->list[i]);
	return (NULL);
}

static void
add(struct listeners *l, const struct bound *b)
{
	if (l->n == LISTEN_KEPT)
		return;
	l->list[l->n] = *b;
	l->list[l->n].fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
	if (l->list[l->n].fd != -1)
		l->n++;
}

/* ---- those that leave ---------------------------------------------------- */

/*
 * Deaf: a client's first packet is dropped, so that it asks again, and finds
 * the new socket or none. A handshake that has begun ends as ever.
 */
static void
deaf(int fd, int on)
{
	struct sock_filter first[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),	   /* TCP's flags */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* SYN, ACK */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, (uint32_t)-1),
	};
	struct sock_fprog program = { nitems(first), first };

	if (on)
		(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		    sizeof(program));
	else
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on));
}

/* Clients that nobody has accepted yet. */
static unsigned
backlog(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return (0);
	return (info.tcpi_unacked);
}

static void
leave(int fd, short events, void *arg)
{
	struct timeval tv = { 0, LEAVE_US };
	unsigned waiting = 0;
	size_t i;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < leaving.n; i++)
		waiting += backlog(leaving.list[i].fd);
	if (waiting > 0 && leave_turns++ < LEAVE_TURNS) {
		event_arm(leave_timer, &tv);
		return;
	}
	drop_all(&leaving);
	/* A front that drains listens no more. */
	if (!takod_stopping())
		proc_api_setup();
}

/* ---- a reload ------------------------------------------------------------ */

/*
 * Does a wildcard of now take the clients of that socket, in the same way?
 */
static int
covered(const struct bound *b)
{
	union address mine, other;
	sa_family_t family = address_of(b->fd, &mine);
	size_t i;

	for (i = 0; i < now.n; i++) {
		if (address_of(now.list[i].fd, &other) != family ||
		    now.list[i].tls != b->tls || now.list[i].proxy != b->proxy)
			continue;
		if (family == AF_INET &&
		    other.v4.sin_port == mine.v4.sin_port &&
		    other.v4.sin_addr.s_addr == htonl(INADDR_ANY))
			return (1);
		if (family == AF_INET6 &&
		    other.v6.sin6_port == mine.v6.sin6_port &&
		    IN6_IS_ADDR_UNSPECIFIED(&other.v6.sin6_addr))
			return (1);
	}
	return (0);
}

/* ---- systemd ---------------------------------------------------------------
 */

/* It has to listen, and to be a stream. */
static int
is_listener(int fd)
{
	int listens = 0, type = 0;
	socklen_t len = sizeof(int);

	return (
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && listens &&
	    type == SOCK_STREAM);
}

void
listen_inherit(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	size_t len;
	int fd, n = 0;

	if (pid != NULL && count != NULL && atoi(pid) == getpid())
		n = atoi(count);
	for (fd = SYSTEMD_FD; fd < SYSTEMD_FD + n; fd++) {
		len = names != NULL ? strcspn(names, ":") : 0;
		if (!is_listener(fd) || n_passed == SYSTEMD_MAX) {
			log_warnx("systemd passed a descriptor that is no "
				  "listening stream socket, or one too many");
			close(fd);
		} else {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
			passed[n_passed].fd = fd;
			snprintf(passed[n_passed++].name,
			    sizeof(passed[0].name), "%.*s", (int)len,
			    names != NULL ? names : "");
		}
		if (names != NULL)
			names += len + (names[len] == ':');
	}
	/* What takod starts is not meant by it. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* Copies of those of that name ("": of all). How many; -1 with detail. */
static int
passed_copy(const struct conf_listen *l, struct bound *list, size_t max,
    char *detail, size_t len)
{
	char host[INET6_ADDRSTRLEN];
	union address a;
	size_t i, n = 0;

	for (i = 0; i < n_passed && n < max; i++) {
		if (*l->path != '\0' && strcmp(l->path, passed[i].name) != 0)
			continue;
		list[n].fd = fcntl(passed[i].fd, F_DUPFD_CLOEXEC, 0);
		if (list[n].fd == -1)
			fatal("systemd's socket");
		switch (address_of(passed[i].fd, &a)) {
		case AF_INET:
			inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
			snprintf(list[n].name, sizeof(list[n].name),
			    "systemd:%s:%u", host, ntohs(a.v4.sin_port));
			break;
		case AF_INET6:
			inet_ntop(
			    AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
			snprintf(list[n].name, sizeof(list[n].name),
			    "systemd:[%s]:%u", host, ntohs(a.v6.sin6_port));
			break;
		default:
			snprintf(list[n].name, sizeof(list[n].name),
			    "systemd:%.107s", a.un.sun_path);
		}
		n++;
	}
	if (n > 0)
		return ((int)n);
	snprintf(detail, len, "server_listen: systemd passed no socket%s%s",
	    *l->path != '\0' ? " named " : "", l->path);
	return (-1);
}

/* ---- opening ---------------------------------------------------------------
 */

static int
open_one(const struct conf_listen *l, const struct bound *own, size_t n_own,
    char *detail, size_t len)
{
	struct bound *list = now.list + now.n;
	size_t max = LISTEN_MAX - now.n;
	int i, n;

	if (max == 0) {
		snprintf(detail, len, "more than %d sockets to listen on",
		    LISTEN_MAX);
		return (-1);
	}
	if (l->kind == LISTEN_TCP)
		n = bind_all(
		    l->host, l->port, own, n_own, list, (int)max, detail, len);
	else if (l->kind == LISTEN_UNIX)
		n = bind_path(l, own, n_own, list, detail, len);
	else
		n = passed_copy(l, list, max, detail, len);
	for (i = 0; i < n; i++) {
		list[i].tls = l->tls;
		list[i].proxy = l->proxy;
	}
	now.n += n > 0 ? (size_t)n : 0;
	return (n);
}

/* The paths of those that other does not have go from the file system. */
static void
unlink_all(const struct listeners *l, struct listeners *other)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (is_path(&l->list[i]) &&
		    find(other, l->list[i].name) == NULL)
			unlink(l->list[i].name + 5);
}

static int
listen_open(char *detail, size_t len)
{
	struct bound own[2 * LISTEN_KEPT];
	struct conf_listen l;
	size_t i;

	memcpy(own, former.list, former.n * sizeof(own[0]));
	memcpy(own + former.n, leaving.list, leaving.n * sizeof(own[0]));
	for (i = 0; i < conf_listen_count(env.conf); i++) {
		conf_listen_get(env.conf, i, &l);
		if (open_one(&l, own, former.n + leaving.n, detail, len) == -1)
			return (-1);
	}
	return (0);
}

int
listen_start(char *detail, size_t len)
{
	int i;

	for (i = 0;; i++) {
		errno = 0;
		if (listen_open(detail, len) == 0)
			return (0);
		if (errno != EADDRINUSE || i == START_TRIES)
			return (-1);
		drop_all(&now);
		if (i == 0)
			log_info("%s: waiting for its end", detail);
		usleep(START_US);
	}
}

void
listen_close(void)
{
	static struct listeners none;

	unlink_all(&now, &none);
	drop_all(&now);
	drop_all(&leaving);
}

int
listen_again(char *detail, size_t len)
{
	size_t i;

	former = now;
	now.n = 0;
	if (listen_open(detail, len) == -1) {
		listen_back();
		return (-1);
	}
	for (i = 0; i < former.n; i++)
		if (find(&now, former.list[i].name) == NULL &&
		    covered(&former.list[i]))
			add(&now, &former.list[i]);
	return (0);
}

void
listen_keep(void)
{
	struct timeval tv = { 0, LEAVE_US };
	struct listeners were = leaving;
	size_t i;

	/* One that left and is wanted again is now's: it hears again. */
	leaving.n = 0;
	for (i = 0; i < were.n; i++)
		if (find(&now, were.list[i].name) != NULL)
			deaf(were.list[i].fd, 0);
		else
			add(&leaving, &were.list[i]);
	drop_all(&were);
	for (i = 0; i < former.n; i++)
		if (find(&now, former.list[i].name) == NULL) {
			if (!is_path(&former.list[i]))
				deaf(former.list[i].fd, 1);
			add(&leaving, &former.list[i]);
		}
	unlink_all(&former, &now);
	drop_all(&former);
	if (leaving.n == 0)
		return;
	if (leave_timer == NULL &&
	    (leave_timer = evtimer_new(env.base, leave, NULL)) == NULL)
		fatal(NULL);
	leave_turns = 0;
	event_arm(leave_timer, &tv);
}

void
listen_back(void)
{
	unlink_all(&now, &former);
	drop_all(&now);
	now = former;
	former.n = 0;
}

size_t
listen_count(void)
{
	return (now.n);
}

int
listen_local(size_t i)
{
	union address a;

	switch (address_of(now.list[i].fd, &a)) {
	case AF_UNIX:
		return (1);
	case AF_INET:
		return (ntohl(a.v4.sin_addr.s_addr) >> 24 == 127);
	case AF_INET6:
		return (IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr));
	default:
		return (0);
	}
}

const struct bound *
listen_at(size_t i)
{
	if (i < now.n)
		return (&now.list[i]);
	return (i < now.n + leaving.n ? &leaving.list[i - now.n] : NULL);
}
