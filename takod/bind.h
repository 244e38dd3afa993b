/*
 * bind.h: listening sockets for a host name and a port.
 */
#ifndef BIND_H
#define BIND_H

#include <stddef.h>

struct bound {
	int fd;
	char name[128]; /* address:port, for people */
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

#endif
