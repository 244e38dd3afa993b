/*
 * docker_attach.c: one POST /containers/{id}/attach, whose connection turns
 * from HTTP into the container's stream. Runs in takod.
 *
 * As long as a connection speaks HTTP it is an entrance to the engine, which
 * is root. So the descriptor leaves this file only after the engine said, to
 * the letter, that the connection is no longer HTTP; whatever else it says
 * closes it. And the head is taken off the socket to its last byte, but no
 * further: what follows belongs to the worker.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "docker_attach.h"
#include "util.h"

#define MAX_HEAD    4096
#define RETRY_US    20000 /* a full backlog empties as fast */
#define STATUS_LINE "HTTP/1.1 101 UPGRADED\r\n"
#define END_OF_HEAD "\r\n\r\n"

struct docker_attach {
	int fd;
	struct sockaddr_un addr;
	struct event_base *base;
	struct event *ev;
	int64_t deadline;
	enum {
		CONNECTING,
		SENDING,
		READING
	} state;
	char out[512];
	size_t out_len, out_off;
	char head[MAX_HEAD + 1];
	size_t head_len;
	docker_attach_cb cb;
	void *arg;
};

static void attach_event(evutil_socket_t, short, void *);

void
docker_attach_cancel(struct docker_attach *a)
{
	if (a == NULL)
		return;
	if (a->ev != NULL)
		event_free(a->ev);
	close_fd(&a->fd);
	free(a);
}

static void
attach_done(struct docker_attach *a, enum engine_error error, const char *why)
{
	docker_attach_cb cb = a->cb;
	void *arg = a->arg;
	char detail[256] = "";
	int fd = -1;

	if (error == ENGINE_OK) {
		fd = a->fd;
		a->fd = -1;
	} else
		snprintf(detail, sizeof(detail),
		    "Docker Engine at %s: attach: %s", a->addr.sun_path, why);
	docker_attach_cancel(a);
	cb(fd, error, detail, arg);
}

/* Waits for events, or for wait_us; never beyond the deadline. */
static int
attach_wait(struct docker_attach *a, short events, int64_t wait_us)
{
	int64_t left = a->deadline - time_mono_us();
	struct timeval tv;

	if (left < 0)
		left = 0;
	if (wait_us >= 0 && wait_us < left)
		left = wait_us;
	tv.tv_sec = left / 1000000;
	tv.tv_usec = left % 1000000;
	if (a->ev != NULL)
		event_free(a->ev);
	a->ev = event_new(a->base, a->fd, events, attach_event, a);
	return (a->ev == NULL ? -1 : event_add(a->ev, &tv));
}

static void
attach_next(struct docker_attach *a, short events, int64_t wait_us)
{
	if (attach_wait(a, events, wait_us) == -1)
		attach_done(a, ENGINE_TRANSIENT, strerror(errno));
}

/* A whole head is there: is the connection a stream now? */
static void
attach_judge(struct docker_attach *a)
{
	char why[64];

	if (strncmp(a->head, STATUS_LINE, strlen(STATUS_LINE)) == 0) {
		attach_done(a, ENGINE_OK, NULL);
		return;
	}
	a->head[strcspn(a->head, "\r\n")] = '\0';
	/* The status' three digits alone: the rest may hold anything. */
	if (strncmp(a->head, "HTTP/1.1 ", 9) == 0 &&
	    strspn(a->head + 9, "0123456789") == 3) {
		snprintf(why, sizeof(why), "status %.3s", a->head + 9);
		attach_done(a, ENGINE_TRANSIENT, why);
	} else
		attach_done(a, ENGINE_AWAY, "the answer is not HTTP");
}

/*
 * Looks at what is there, and takes as much of it as is head. Returns 1 when
 * the head is whole, 0 when more has to come, -1 when it cannot become one.
 */
static int
attach_read(struct docker_attach *a, const char **why)
{
	char *from, *end;
	ssize_t n;
	size_t take;

	*why = "the connection was closed";
	n = recv(
	    a->fd, a->head + a->head_len, MAX_HEAD - a->head_len, MSG_PEEK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return (0);
	if (n <= 0)
		return (-1);
	/* The end may lie across the last piece and this one. */
	from = a->head + (a->head_len > 3 ? a->head_len - 3 : 0);
	take = (size_t)n;
	end = memmem(from, (size_t)(a->head + a->head_len + take - from),
	    END_OF_HEAD, strlen(END_OF_HEAD));
	if (end != NULL)
		take = (size_t)(end + strlen(END_OF_HEAD) -
				(a->head + a->head_len));
	if (recv(a->fd, a->head + a->head_len, take, 0) != (ssize_t)take)
		return (-1);
	a->head_len += take;
	a->head[a->head_len] = '\0';
	if (end != NULL)
		return (1);
	*why = "the head of its answer is too long";
	return (a->head_len == MAX_HEAD ? -1 : 0);
}

static void
attach_send(struct docker_attach *a)
{
	ssize_t n;

	n = send(
	    a->fd, a->out + a->out_off, a->out_len - a->out_off, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		attach_done(a, ENGINE_AWAY, strerror(errno));
		return;
	}
	if (n > 0)
		a->out_off += (size_t)n;
	if (a->out_off == a->out_len)
		a->state = READING;
	attach_next(a, a->state == READING ? EV_READ : EV_WRITE, -1);
}

static void
attach_connect(struct docker_attach *a)
{
	if (connect(a->fd, (struct sockaddr *)&a->addr, sizeof(a->addr)) == 0) {
		a->state = SENDING;
		attach_send(a);
	} else if (errno == EAGAIN || errno == EINTR)
		attach_next(a, 0, RETRY_US);
	else
		attach_done(a, ENGINE_AWAY, strerror(errno));
}

static void
attach_event(evutil_socket_t fd, short events, void *arg)
{
	struct docker_attach *a = arg;
	const char *why;

	(void)fd;
	(void)events;
	if (time_mono_us() >= a->deadline) {
		attach_done(a, ENGINE_DEADLINE, "no answer in time");
		return;
	}
	if (a->state == CONNECTING)
		attach_connect(a);
	else if (a->state == SENDING)
		attach_send(a);
	else
		switch (attach_read(a, &why)) {
		case 1:
			attach_judge(a);
			break;
		case 0:
			attach_next(a, EV_READ, -1);
			break;
		default:
			attach_done(a, ENGINE_AWAY, why);
		}
}

struct docker_attach *
docker_attach_start(struct event_base *base, const char *socket_path,
    const char *version, const char *id, int64_t deadline_us,
    docker_attach_cb cb, void *arg)
{
	struct docker_attach *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return (NULL);
	a->base = base;
	a->deadline = deadline_us;
	a->cb = cb;
	a->arg = arg;
	a->addr.sun_family = AF_UNIX;
	strlcpy(a->addr.sun_path, socket_path, sizeof(a->addr.sun_path));
	a->out_len = (size_t)snprintf(a->out, sizeof(a->out),
	    "POST /%s/containers/%s/attach?stream=1&stdin=1&stdout=1 "
	    "HTTP/1.1\r\n"
	    "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
	    "Content-Length: 0\r\n\r\n",
	    version, id);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd == -1 || a->out_len >= sizeof(a->out) ||
	    attach_wait(a, 0, 0) == -1) {
		docker_attach_cancel(a);
		return (NULL);
	}
	return (a);
}
