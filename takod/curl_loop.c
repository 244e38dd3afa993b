/*
 * curl_loop.c: libcurl's multi interface on libevent. Runs in takod. Where a
 * host is a name, libcurl resolves it in a thread of its own: the loop does not
 * wait for a name server.
 */
#include <stdlib.h>

#include "curl_loop.h"

struct curl_loop {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
};

static void on_event(evutil_socket_t, short, void *);

static void
check(struct curl_loop *l)
{
	struct curl_transfer *t;
	CURLMsg *msg;
	CURLcode code;
	char *private;
	int left;

	while ((msg = curl_multi_info_read(l->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		t = (struct curl_transfer *)(void *)private;
		t->done(t, code);
	}
}

static int
set_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct curl_loop *l = arg;
	struct event *ev = sock;
	short events = EV_PERSIST;

	(void)curl;
	if (ev != NULL)
		event_free(ev);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(l->multi, fd, NULL);
		return (0);
	}
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	ev = event_new(l->base, fd, events, on_event, l);
	curl_multi_assign(l->multi, fd, ev);
	return (ev == NULL || event_add(ev, NULL) == -1 ? -1 : 0);
}

static int
set_timer(CURLM *multi, long ms, void *arg)
{
	struct curl_loop *l = arg;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		return (event_del(l->timer));
	return (event_add(l->timer, &tv));
}

static void
on_event(evutil_socket_t fd, short events, void *arg)
{
	struct curl_loop *l = arg;
	int running, mask = 0;

	if (events & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (events & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	curl_multi_socket_action(l->multi,
	    events & EV_TIMEOUT ? CURL_SOCKET_TIMEOUT : fd, mask, &running);
	check(l);
}

void
curl_loop_add(struct curl_loop *l, CURL *curl, struct curl_transfer *t)
{
	curl_easy_setopt(curl, CURLOPT_PRIVATE, t);
	curl_multi_add_handle(l->multi, curl);
}

void
curl_loop_remove(struct curl_loop *l, CURL *curl)
{
	curl_multi_remove_handle(l->multi, curl);
}

struct curl_loop *
curl_loop_new(struct event_base *base, long connections)
{
	struct curl_loop *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return (NULL);
	l->base = base;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (l->multi = curl_multi_init()) == NULL ||
	    (l->timer = event_new(base, -1, 0, on_event, l)) == NULL) {
		curl_loop_free(l);
		return (NULL);
	}
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, connections);
	return (l);
}

void
curl_loop_free(struct curl_loop *l)
{
	if (l == NULL)
		return;
	if (l->multi != NULL)
		curl_multi_cleanup(l->multi);
	if (l->timer != NULL)
		event_free(l->timer);
	free(l);
}
