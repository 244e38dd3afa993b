/*
 * engine.c: fuzz target of what a Docker engine answers. The first byte says
 * whether it is asked to attach or for an answer of JSON; the rest is what the
 * engine says to whoever connects, before it closes. A stream is handed over
 * only after the one answer that makes it one, with all behind it unread; an
 * answer is JSON or an error in one line.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fuzz.h"
#include "takod/docker_api.h"
#include "takod/docker_attach.h"
#include "util.h"

#define UPGRADED "HTTP/1.1 101 UPGRADED\r\n"
#define MAX_HEAD 4096
#define MAX_SAID 65536
#define DEADLINE (5 * 1000000LL)
#define CALLS	 2 /* the first agrees on a version */

static struct event_base *base;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener = -1;
static const uint8_t *said;
static size_t said_len;
static int done;

static void
serve(evutil_socket_t fd, short events, void *arg)
{
	char request[4096];
	int client;

	(void)events;
	(void)arg;
	if ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) == -1)
		return;
	/* It is read, for what is not would turn the end into a reset. */
	(void)recv(client, request, sizeof(request), 0);
	(void)send(client, said, said_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(client, SHUT_WR);
	close(client);
}

static void
remove_socket(void)
{
	unlink(address.sun_path);
}

static void
open_engine(void)
{
	const char *folder = getenv("TMPDIR");
	struct event *ev;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/engine-%d",
	    folder == NULL ? "/tmp" : folder, (int)getpid());
	atexit(remove_socket);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	need(listen(listener, 16) == 0);
	need((base = event_base_new()) != NULL);
	ev = event_new(base, listener, EV_READ | EV_PERSIST, serve, NULL);
	need(ev != NULL && event_add(ev, NULL) == 0);
}

static int
printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return (0);
	return (1);
}

static void
attached(int fd, enum engine_error error, const char *detail, void *arg)
{
	static uint8_t rest[MAX_SAID];
	const uint8_t *end;
	size_t head;
	ssize_t n;
	size_t got = 0;

	(void)arg;
	need(!done && (fd != -1) == (error == ENGINE_OK));
	done = 1;
	if (fd == -1) {
		need(detail[0] != '\0' && printable(detail));
		return;
	}
	need(said_len >= strlen(UPGRADED) &&
	     memcmp(said, UPGRADED, strlen(UPGRADED)) == 0);
	end = memmem(said, said_len, "\r\n\r\n", 4);
	need(end != NULL);
	head = (size_t)(end - said) + 4;
	need(head <= MAX_HEAD);
	while ((n = recv(fd, rest + got, sizeof(rest) - got, MSG_DONTWAIT)) > 0)
		got += (size_t)n;
	need(got == said_len - head && memcmp(rest, said + head, got) == 0);
	close_fd(&fd);
}

static void
answered(const struct docker_answer *a, void *arg)
{
	(void)arg;
	need(!done);
	done = 1;
	need(strnlen(a->detail, sizeof(a->detail)) < sizeof(a->detail));
	need(printable(a->detail));
	need((a->error == ENGINE_OK) ==
	     (a->status >= 100 && a->status < 400 && a->detail[0] == '\0'));
}

static void
call(void)
{
	struct docker_api *api;
	char host[sizeof(address.sun_path) + 8], detail[256];
	int i;

	snprintf(host, sizeof(host), "unix://%s", address.sun_path);
	api = docker_api_open(base, host, detail, sizeof(detail));
	need(api != NULL);
	for (i = 0; i < CALLS; i++) {
		done = 0;
		need(docker_api_call(api, i == 0 ? "GET" : "POST",
			 "/containers/json", i == 0 ? NULL : json_object(),
			 time_mono_us() + DEADLINE, answered, NULL) != NULL);
		while (!done)
			event_base_loop(base, EVLOOP_ONCE);
	}
	docker_api_close(api);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0 || len > MAX_SAID)
		return (0);
	if (base == NULL)
		open_engine();
	said = data + 1;
	said_len = len - 1;
	if (data[0] & 1) {
		call();
		return (0);
	}
	done = 0;
	need(docker_attach_start(base, address.sun_path, "v1.40", "0123",
		 time_mono_us() + DEADLINE, attached, NULL) != NULL);
	while (!done)
		event_base_loop(base, EVLOOP_ONCE);
	return (0);
}
