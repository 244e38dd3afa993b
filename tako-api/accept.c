/*
 * accept.c: the sockets that tako-api listens on. Runs in tako-api, which was
 * given them; who connects is conn.c's.
 */
#include <event2/listener.h>
#include <event2/util.h>

#include "conn.h"
#include "event_arm.h"
#include "log.h"
#include "util.h"

#define PAUSE_MS      100 /* without a descriptor to accept with */
#define LOG_US	      10000000
#define LISTENERS_MAX 64
#define BURST	      8 /* in one turn of the loop: others are served between */

static struct listener {
	struct evconnlistener *l;
	int tls, proxy;
} listeners[LISTENERS_MAX];
static size_t n_listeners;
static struct event_base *accept_base;
static struct event *accept_again;
static unsigned burst; /* accepted since accept_resume() */

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	static const struct timeval now = { 0, 0 };
	const struct listener *from = arg;

	(void)len;
	/* libevent goes on for as long as there are more. */
	if (++burst >= BURST) {
		evconnlistener_disable(l);
		event_arm(accept_again, &now);
	}
	conn_accepted(fd, sa, from->tls, from->proxy);
}

static void
accept_resume(evutil_socket_t fd, short what, void *arg)
{
	size_t i;

	(void)fd;
	(void)what;
	(void)arg;
	burst = 0;
	for (i = 0; i < n_listeners; i++)
		evconnlistener_enable(listeners[i].l);
}

/* No descriptor or memory: the client stays in the backlog for a while. */
static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	const struct timeval pause = { 0, PAUSE_MS * 1000 };
	static int64_t logged;
	int64_t now = time_mono_us();

	(void)arg;
	if (logged == 0 || now - logged >= LOG_US) {
		log_warn("accept");
		logged = now;
	}
	evconnlistener_disable(l);
	event_arm(accept_again, &pause);
}

void
accept_init(struct event_base *b)
{
	accept_base = b;
	if ((accept_again = evtimer_new(accept_base, accept_resume, NULL)) ==
	    NULL)
		fatal(NULL);
}

void
accept_on(int fd, int tls, int proxy)
{
	struct listener *to = &listeners[n_listeners];
	struct evconnlistener *l;

	if (n_listeners == LISTENERS_MAX)
		fatalx("more than %d listeners", LISTENERS_MAX);
	if (evutil_make_socket_nonblocking(fd) == -1)
		fatal("listener");
	/* It listens already: a backlog of 0 leaves that as it is. */
	l = evconnlistener_new(accept_base, on_accept, to,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l == NULL)
		fatal("listener");
	evconnlistener_set_error_cb(l, on_accept_error);
	to->l = l;
	to->tls = tls;
	to->proxy = proxy;
	n_listeners++;
}

void
accept_off(void)
{
	while (n_listeners > 0)
		evconnlistener_free(listeners[--n_listeners].l);
	event_del(accept_again);
}
