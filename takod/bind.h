/*
 * bind.h: listening sockets for a host name and a port.
 */
#ifndef BIND_H
#define BIND_H

#include <stddef.h>

#include "conf.h"

struct bound {
	int fd;
	char name[160]; /* address:port, unix:path ...; for people */
	int tls, proxy; /* as in struct conf_listen */
};

/*
 * A socket on each address that host has, at most max of them: the caller's to
 * close. Of own, the caller's n_own listening sockets, one that has the address
 * already is taken (a copy of its descriptor), and the others may share the
 * port, as 127.0.0.1 does with 0.0.0.0; another program's may not. Returns how
 * many; -1 with detail when there is none, and then errno says why (0: host has
 * no address).
 */
int bind_all(const char *host, int port, const struct bound *own, size_t n_own,
    struct bound *, int max, char *detail, size_t);
/*
 * The socket of a path, with its mode and group, as above: one of own where
 * that is still in its place. One that nobody listens on any more is replaced.
 * 1, or -1 with detail and errno.
 */
int bind_path(const struct conf_listen *, const struct bound *own, size_t n_own,
    struct bound *, char *detail, size_t);

#endif
