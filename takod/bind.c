/*
 * bind.c: sockets that listen where the configuration says. Used by takod, and
 * by tako-vm to find out whether takod could.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bind.h"
#include "util.h"

#define LISTEN_BACKLOG 512

/* Whether sockets share their port with others that say so too. */
static void
port_shared(int fd, int on)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int
bind_one(const struct addrinfo *ai, int shared)
{
	int fd, on = 1;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (-1);
	if (shared)
		port_shared(fd, 1);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    (ai->ai_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ==
		    -1) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1) {
		close_fd(&fd);
		return (-1);
	}
	port_shared(fd, 0);
	return (fd);
}

/*
 * A socket of its own, or a copy of one of own that has this address. Only
 * while it is made do they share their port, lest another program does.
 */
static int
bind_beside(const struct addrinfo *ai, const char *name,
    const struct bound *own, size_t n_own)
{
	size_t i;
	int fd, error;

	for (i = 0; i < n_own; i++)
		if (strcmp(own[i].name, name) == 0)
			return (fcntl(own[i].fd, F_DUPFD_CLOEXEC, 0));
	for (i = 0; i < n_own; i++)
		port_shared(own[i].fd, 1);
	fd = bind_one(ai, n_own > 0);
	error = errno;
	for (i = 0; i < n_own; i++)
		port_shared(own[i].fd, 0);
	errno = error;
	return (fd);
}

int
bind_all(const char *name, int number, const struct bound *own, size_t n_own,
    struct bound *list, int max, char *detail, size_t len)
{
	struct addrinfo hints, *all, *ai;
	char port[16], host[NI_MAXHOST];
	int error, n = 0;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	snprintf(port, sizeof(port), "%d", number);
	if ((error = getaddrinfo(name, port, &hints, &all)) != 0) {
		snprintf(detail, len, "%s: %s", name, gai_strerror(error));
		errno = 0;
		return (-1);
	}
	for (ai = all; ai != NULL && n < max; ai = ai->ai_next) {
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host),
			NULL, 0, NI_NUMERICHOST) != 0)
			strlcpy(host, "?", sizeof(host));
		snprintf(list[n].name, sizeof(list[n].name),
		    ai->ai_family == AF_INET6 ? "[%.100s]:%s" : "%.100s:%s",
		    host, port);
		list[n].fd = bind_beside(ai, list[n].name, own, n_own);
		if (list[n].fd == -1)
			break;
		n++;
	}
	error = errno;
	freeaddrinfo(all);
	errno = error;
	if (n > 0)
		return (n);
	snprintf(
	    detail, len, "cannot listen on port %s: %s", port, strerror(errno));
	return (-1);
}

/* Is there a socket that nobody listens on? */
static int
is_stale(const struct sockaddr_un *sun)
{
	int fd, stale;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (0);
	stale = connect(fd, (const struct sockaddr *)(const void *)sun,
		    sizeof(*sun)) == -1 &&
		errno == ECONNREFUSED;
	close_fd(&fd);
	return (stale);
}

int
bind_path(const struct conf_listen *l, const struct bound *own, size_t n_own,
    struct bound *b, char *detail, size_t len)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct group *group = NULL;
	struct stat st;
	int there;
	size_t i;

	b->fd = -1;
	snprintf(b->name, sizeof(b->name), "unix:%s", l->path);
	strlcpy(sun.sun_path, l->path, sizeof(sun.sun_path));
	if (*l->group != '\0' && (group = getgrnam(l->group)) == NULL) {
		snprintf(
		    detail, len, "%s: there is no group %s", b->name, l->group);
		errno = EINVAL;
		return (-1);
	}
	there = lstat(l->path, &st) == 0 && S_ISSOCK(st.st_mode);
	for (i = 0; i < n_own && there; i++)
		if (strcmp(own[i].name, b->name) == 0)
			b->fd = fcntl(own[i].fd, F_DUPFD_CLOEXEC, 0);
	if (b->fd == -1) {
		if (there && is_stale(&sun))
			unlink(l->path);
		b->fd = socket(
		    AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (b->fd == -1 ||
		    bind(b->fd, (const struct sockaddr *)(const void *)&sun,
			sizeof(sun)) == -1 ||
		    listen(b->fd, LISTEN_BACKLOG) == -1)
			goto fail;
	}
	/* Until here it was its maker's alone, by the umask. */
	if ((group != NULL && chown(l->path, (uid_t)-1, group->gr_gid) == -1) ||
	    chmod(l->path, l->mode) == -1)
		goto fail;
	return (1);
fail:
	snprintf(detail, len, "%s: %s", b->name, strerror(errno));
	close_fd(&b->fd);
	return (-1);
}
