/*
 * main.c: tako-api, the HTTP front of takod. Runs under an id of its own with
 * no file, no new socket and no other process within reach: it has the
 * channel to its parent, the listening sockets that came over it, and its
 * clients. Everything that it reads from those is hostile; what the parent
 * says is trusted, and checked for bugs.
 *
 * Order: it looks at how it was started, takes the configuration and the
 * first listener from the parent, shuts itself in, says so, and serves.
 */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"
#include "tako-api.h"
#include "util.h"

/*
 * What a memfd for the parent may grow to: the largest body that a
 * configuration can allow. A limit cannot be raised at a reload.
 */
#define MAX_FILE (104857600 + 65536)
/* Descriptors beside the connections: 0-3, loop, listeners, memfds. */
#define OTHER_FDS 64

struct event_base *api_base;

void
api_sandbox(void)
{
	struct sandbox sb;

	memset(&sb, 0, sizeof(sb));
	sb.promises =
	    PROMISE_STDIO | PROMISE_RECVFD | PROMISE_MEMFD | PROMISE_ACCEPT;
	sb.nofile = (rlim_t)api_conf.max_connections + OTHER_FDS;
	sb.fsize = MAX_FILE;
	sb.artifact_fd = -1;
	sandbox_enter(&sb);
}

/* A new configuration comes with the listeners that hold from now on. */
void
api_configure(void)
{
	conn_unlisten();
}

void
api_listen(int fd)
{
	conn_listen(fd);
}

static void
drain_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (route_requests() == 0)
		_exit(0);
}

void
api_drain(uint64_t ms)
{
	(void)ms;
	conn_unlisten();
	drain_look(-1, 0, NULL);
}

int
main(void)
{
	log_init("tako-api", LOG_LEVEL_INFO, 0);
	sandbox_check_start("tako-api");
	/* libc reads the time zone's file once: now, while it can. */
	tzset();
	signal(SIGPIPE, SIG_IGN);
	if ((api_base = event_base_new()) == NULL)
		fatal("event_base_new");
	conn_init(api_base, &route_ops);
	parent_open(api_base);
	event_base_dispatch(api_base);
	fatalx("the loop ended");
}
