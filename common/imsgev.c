/*
 * imsgev.c: frames over a SOCK_SEQPACKET socket. Runs in takod, its children
 * and takoctl. One recvmsg is one frame; what is not a frame of the catalogue,
 * from the sender this channel has, with the next sequence number and the
 * descriptor that its row names, ends the channel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "event_arm.h"
#include "imsgev.h"
#include "log.h"
#include "util.h"

/*
 * Frames of a child taken in one turn of the loop, so that it cannot hold it;
 * no fewer, since what it said last is lost when its end is seen first. The
 * parent's one by one: between its answers to one client tako-api serves
 * another.
 */
#define IMSGEV_BURST 32

struct waiting {
	TAILQ_ENTRY(waiting) entry;
	int fd; /* ours, or -1 */
	uint32_t len;
	uint8_t data[];
};

struct imsgev {
	int fd;
	enum msg_sender from;
	uint32_t max;
	uint32_t seq_in, seq_out;
	struct event *rd, *wr;
	imsgev_frame_cb frame_cb;
	imsgev_end_cb end_cb;
	void *arg;
	const char *why;
	unsigned queued;
	int busy; /* in a callback: free is put off */
	int dead; /* freed from within a callback */
	TAILQ_HEAD(, waiting) queue;
};

static void imsgev_destroy(struct imsgev *);

/* The next number; a last word has none, for it waits for nothing. */
static int
in_turn(const struct imsgev *iev, const struct msg_hdr *h)
{
	if (h->type == MSG_T_API_REFUSED || h->type == MSG_T_WORKER_REFUSED ||
	    h->type == MSG_T_WORDS_REFUSED)
		return (h->seq == 0);
	return (h->seq == iev->seq_in + 1);
}

/*
 * Receives one frame. 1: there it is; 0: none now; -1: channel ended, why is
 * set or NULL at end of file.
 */
static int
receive(struct imsgev *iev, struct msg_frame *f, int *fd)
{
	union {
		struct cmsghdr hdr;
		/* Room for two, so that a second one is seen and closed. */
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = { f, sizeof(*f) };
	struct msghdr msg;
	struct cmsghdr *c;
	int fds[2], nfds = 0, none_left;
	size_t got;
	ssize_t n;

	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	*fd = -1;
	n = recvmsg(iev->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return (0);
		iev->why = errno == ECONNRESET ? NULL : "cannot receive";
		return (-1);
	}
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (got > 2 - (size_t)nfds)
			got = 2 - (size_t)nfds;
		memcpy(fds + nfds, CMSG_DATA(c), got * sizeof(int));
		nfds += (int)got;
	}
	if (nfds > 0)
		*fd = fds[0];
	if (nfds > 1)
		close(fds[1]);
	if (n == 0 && nfds == 0) {
		iev->why = NULL;
		return (-1);
	}
	/* None of those that were sent: this process may have no more. */
	none_left = (msg.msg_flags & MSG_CTRUNC) != 0 && nfds == 0 &&
		    iev->from != FROM_PARENT;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 && !none_left)
		iev->why = "frame too long, or too many descriptors";
	else if (nfds > 1)
		iev->why = "more than one descriptor";
	else if ((size_t)n < sizeof(f->hdr))
		iev->why = "frame shorter than its head";
	else if (f->hdr.len != (size_t)n)
		iev->why = "length in the head is not the frame's";
	else if (f->hdr.len > iev->max)
		iev->why = "frame too long";
	else if (!msg_known(f->hdr.type))
		iev->why = "unknown type";
	else if (msg_sender(f->hdr.type) != iev->from)
		iev->why = "type of another sender";
	else if (!in_turn(iev, &f->hdr))
		iev->why = "sequence number out of order";
	else if (nfds == 0 && !none_left ? msg_fd(f->hdr.type) == FD_REQUIRED
					 : msg_fd(f->hdr.type) == FD_NONE)
		iev->why = "descriptor missing or not wanted";
	else {
		iev->seq_in += f->hdr.seq != 0;
		return (1);
	}
	close_fd(fd);
	return (-1);
}

static void
end(struct imsgev *iev, const char *why)
{
	imsgev_end_cb cb = iev->end_cb;

	event_del(iev->rd);
	event_del(iev->wr);
	iev->end_cb = NULL;
	if (cb != NULL)
		cb(iev, why, iev->arg);
}

static void
readable(int fd, short events, void *arg)
{
	struct imsgev *iev = arg;
	struct msg_frame f;
	int most = iev->from == FROM_PARENT ? 1 : IMSGEV_BURST;
	int i, r, got;

	(void)fd;
	(void)events;
	iev->busy = 1;
	for (i = 0; i < most && !iev->dead; i++) {
		if ((r = receive(iev, &f, &got)) == 0)
			break;
		if (r == -1) {
			end(iev, iev->why);
			break;
		}
		iev->why = "violation";
		if (iev->frame_cb(iev, &f, got, iev->arg) == -1) {
			if (!iev->dead)
				end(iev, iev->why);
			break;
		}
		if (iev->dead || !event_pending(iev->rd, EV_READ, NULL))
			break;
	}
	iev->busy = 0;
	if (iev->dead)
		imsgev_destroy(iev);
}

/* 0: sent; 1: would block; -1: broken. */
static int
send_now(struct imsgev *iev, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr msg;
	struct cmsghdr *c;

	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = (void *)(uintptr_t)data;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (fd != -1) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	while (sendmsg(iev->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1) {
		if (errno == EINTR)
			continue;
		return (errno == EAGAIN || errno == ENOBUFS ? 1 : -1);
	}
	return (0);
}

static void
waiting_free(struct imsgev *iev, struct waiting *w)
{
	TAILQ_REMOVE(&iev->queue, w, entry);
	iev->queued--;
	close_fd(&w->fd);
	free(w);
}

static void
writable(int fd, short events, void *arg)
{
	struct imsgev *iev = arg;
	struct waiting *w;
	int r;

	(void)fd;
	(void)events;
	while ((w = TAILQ_FIRST(&iev->queue)) != NULL) {
		r = send_now(iev, w->data, w->len, w->fd);
		if (r == 1)
			return;
		/* A broken channel is reported by its reading side. */
		waiting_free(iev, w);
	}
	event_del(iev->wr);
}

struct imsgev *
imsgev_new(struct event_base *base, int fd, enum msg_sender from, uint32_t max,
    imsgev_frame_cb frame_cb, imsgev_end_cb end_cb, void *arg)
{
	struct imsgev *iev;

	if ((iev = calloc(1, sizeof(*iev))) == NULL) {
		close_fd(&fd);
		return (NULL);
	}
	iev->fd = fd;
	iev->from = from;
	iev->max = max;
	iev->frame_cb = frame_cb;
	iev->end_cb = end_cb;
	iev->arg = arg;
	TAILQ_INIT(&iev->queue);
	iev->rd = event_new(base, fd, EV_READ | EV_PERSIST, readable, iev);
	iev->wr = event_new(base, fd, EV_WRITE | EV_PERSIST, writable, iev);
	if (iev->rd == NULL || iev->wr == NULL ||
	    event_add(iev->rd, NULL) == -1) {
		imsgev_destroy(iev);
		return (NULL);
	}
	return (iev);
}

static void
imsgev_destroy(struct imsgev *iev)
{
	struct waiting *w;

	if (iev->rd != NULL)
		event_free(iev->rd);
	if (iev->wr != NULL)
		event_free(iev->wr);
	while ((w = TAILQ_FIRST(&iev->queue)) != NULL)
		waiting_free(iev, w);
	close_fd(&iev->fd);
	free(iev);
}

void
imsgev_free(struct imsgev *iev)
{
	if (iev == NULL)
		return;
	if (iev->busy) {
		event_del(iev->rd);
		event_del(iev->wr);
		iev->dead = 1;
	} else
		imsgev_destroy(iev);
}

int
imsgev_send(struct imsgev *iev, struct msg_frame *f, int sendfd)
{
	struct waiting *w;
	int r;

	f->hdr.seq = iev->seq_out + 1;
	if (TAILQ_EMPTY(&iev->queue)) {
		if ((r = send_now(iev, f, f->hdr.len, sendfd)) == -1) {
			errno = EPIPE;
			return (-1);
		}
		if (r == 0) {
			iev->seq_out++;
			return (0);
		}
	}
	if (iev->queued >= IMSGEV_MAX_QUEUED ||
	    (w = malloc(sizeof(*w) + f->hdr.len)) == NULL) {
		errno = ENOBUFS;
		return (-1);
	}
	w->fd = -1;
	if (sendfd != -1 && (w->fd = fcntl(sendfd, F_DUPFD_CLOEXEC, 0)) == -1) {
		free(w);
		return (-1);
	}
	w->len = f->hdr.len;
	memcpy(w->data, f, w->len);
	if (TAILQ_EMPTY(&iev->queue))
		event_arm(iev->wr, NULL);
	TAILQ_INSERT_TAIL(&iev->queue, w, entry);
	iev->queued++;
	iev->seq_out++;
	return (0);
}

int
imsgev_compose(
    struct imsgev *iev, uint32_t type, uint32_t id, const void *m, int sendfd)
{
	struct msg_frame f;

	if (msg_pack(&f, type, id, m) == -1) {
		log_error("%s: a field is out of its bounds", msg_name(type));
		errno = EINVAL;
		return (-1);
	}
	return (imsgev_send(iev, &f, sendfd));
}

void
imsgev_violation(struct imsgev *iev, const char *why)
{
	iev->why = why;
}

unsigned
imsgev_queued(const struct imsgev *iev)
{
	return (iev->queued);
}

void
imsgev_pause(struct imsgev *iev)
{
	event_del(iev->rd);
}

void
imsgev_resume(struct imsgev *iev)
{
	event_arm(iev->rd, NULL);
}
