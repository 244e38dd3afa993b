/*
 * listen.c: the sockets that clients connect to. The parent binds them, so
 * that a replaced tako-api goes on accepting where the last one stopped, and
 * passes them on; it never accepts itself.
 */
#include <string.h>

#include "bind.h"
#include "takod.h"
#include "util.h"

#define LISTEN_MAX 8

static struct bound listeners[LISTEN_MAX];
static size_t n_listeners;
static struct bound former[LISTEN_MAX]; /* while a reload is decided */
static size_t n_former;

int
listen_open(char *detail, size_t len)
{
	int n = bind_all(env.conf->server_host, env.conf->server_port,
	    listeners, LISTEN_MAX, detail, len);

	if (n == -1)
		return (-1);
	n_listeners = (size_t)n;
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
