/*
 * listen.c: the sockets that clients connect to. The parent binds them, so
 * that a replaced tako-api goes on accepting where the last one stopped, and
 * passes them on; it never accepts itself.
 *
 * A reload to other addresses loses no client. A socket whose address stays
 * stays itself. So does one that a new wildcard covers: it is the more exact
 * one and would take the clients anyhow. Any other one leaves: it is deaf to
 * new clients at once, but is accepted from until whoever was in the middle of
 * connecting has been.
 */
#include <fcntl.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "bind.h"
#include "takod.h"
#include "util.h"

#define LISTEN_MAX  8
#define LISTEN_KEPT 16	   /* with those that a wildcard covers */
#define LEAVE_US    500000 /* a handshake under way ends in that time */
#define LEAVE_TURNS 10	   /* and no longer for clients not accepted */

struct listeners {
	struct bound list[LISTEN_KEPT];
	size_t n;
};

static struct listeners now, former /* while a reload is decided */, leaving;
static struct event *leave_timer;
static unsigned leave_turns;

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
		event_add(leave_timer, &tv);
		return;
	}
	drop_all(&leaving);
	/* A front that drains listens no more. */
	if (!takod_stopping())
		proc_api_setup();
}

/* ---- a reload ------------------------------------------------------------ */

/* Does a wildcard of now take the clients of that socket? */
static int
covered(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} mine, other;
	socklen_t len = sizeof(mine);
	size_t i;

	if (getsockname(fd, &mine.sa, &len) == -1)
		return (0);
	for (i = 0; i < now.n; i++) {
		len = sizeof(other);
		if (getsockname(now.list[i].fd, &other.sa, &len) == -1 ||
		    other.sa.sa_family != mine.sa.sa_family)
			continue;
		if (mine.sa.sa_family == AF_INET &&
		    other.v4.sin_port == mine.v4.sin_port &&
		    other.v4.sin_addr.s_addr == htonl(INADDR_ANY))
			return (1);
		if (mine.sa.sa_family == AF_INET6 &&
		    other.v6.sin6_port == mine.v6.sin6_port &&
		    IN6_IS_ADDR_UNSPECIFIED(&other.v6.sin6_addr))
			return (1);
	}
	return (0);
}

int
listen_open(char *detail, size_t len)
{
	struct bound own[2 * LISTEN_KEPT];
	int n;

	memcpy(own, former.list, former.n * sizeof(own[0]));
	memcpy(own + former.n, leaving.list, leaving.n * sizeof(own[0]));
	n = bind_all(env.conf->server_host, env.conf->server_port, own,
	    former.n + leaving.n, now.list, LISTEN_MAX, detail, len);
	if (n == -1)
		return (-1);
	now.n = (size_t)n;
	return (0);
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
		    covered(former.list[i].fd))
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
			deaf(former.list[i].fd, 1);
			add(&leaving, &former.list[i]);
		}
	drop_all(&former);
	if (leaving.n == 0)
		return;
	if (leave_timer == NULL &&
	    (leave_timer = evtimer_new(env.base, leave, NULL)) == NULL)
		fatal(NULL);
	leave_turns = 0;
	event_add(leave_timer, &tv);
}

void
listen_back(void)
{
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
listen_fd(size_t i, const char **name)
{
	const struct bound *b;

	if (i >= now.n + leaving.n)
		return (-1);
	b = i < now.n ? &now.list[i] : &leaving.list[i - now.n];
	*name = b->name;
	return (b->fd);
}
