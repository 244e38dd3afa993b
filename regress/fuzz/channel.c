/*
 * channel.c: fuzz target of a channel of frames: a peer that sends anything, in
 * any order, with any descriptors. The first byte says who the peer is; then
 * come packets: a byte of flags, two of length, the bytes. A flag mends the
 * head, so that what is behind it is met too. Whatever is let through is as
 * tako-imsg(7) says; no descriptor is left; the first wrong frame is the last.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "imsgev.h"
#include "msg_type.h"
#include "util.h"

/* Flags of a packet. */
#define DESCRIPTORS 3  /* how many come along */
#define MENDED	    4  /* length and number are what they have to be */
#define REFUSED	    8  /* the handler takes it for a violation */
#define LEFT	    16 /* the handler frees the channel */
#define TURN	    32 /* all that was sent is read before the next */
#define ANSWERED    64 /* the handler answers, more than fits */
#define ANSWERS	    600

static struct event_base *base;
static struct imsgev *iev;
static enum msg_sender from;
static unsigned taken, ended, flags;

static void
answer(void)
{
	static const struct msg_child_ping ping;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), i, full = 0;

	for (i = 0; i < ANSWERS; i++)
		full |= imsgev_compose(iev, MSG_T_CHILD_PING, 0, &ping,
			    i % 2 ? fd : -1) == -1;
	need(full == (imsgev_queued(iev) >= IMSGEV_MAX_QUEUED) ||
	     imsgev_queued(iev) <= IMSGEV_MAX_QUEUED);
	close(fd);
}

static int
got(struct imsgev *channel, const struct msg_frame *f, int fd, void *arg)
{
	static union {
#define X(TYPE, name, sender, descriptor) struct msg_##name name;
		MSG_CATALOGUE(X)
#undef X
	} m;
	uint32_t type = f->hdr.type;
	const char *why;

	need(channel == iev && arg == &base && !ended);
	need(msg_known(type) && msg_sender(type) == from);
	need(f->hdr.len >= sizeof(f->hdr) && f->hdr.len <= MSG_MAX_FRAME);
	need(f->hdr.seq == taken + 1 || f->hdr.seq == 0);
	taken += f->hdr.seq != 0;
	need(msg_fd(type) != FD_REQUIRED || fd != -1);
	need(msg_fd(type) != FD_NONE || fd == -1);
	close_fd(&fd);
	if (flags & ANSWERED)
		answer();
	if (flags & LEFT) {
		imsgev_free(iev);
		iev = NULL;
		return (0);
	}
	if ((flags & REFUSED) || msg_read(f, type, &m, &why) == -1) {
		imsgev_violation(channel, "wrong");
		return (-1);
	}
	return (0);
}

static void
end(struct imsgev *channel, const char *why, void *arg)
{
	(void)why;
	need(channel == iev && arg == &base && !ended);
	ended = 1;
}

static void
packet(int fd, uint8_t *p, size_t len, unsigned number)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(3 * sizeof(int))];
	} control;
	struct msghdr msg = { 0 };
	struct iovec iov = { p, len };
	struct msg_hdr h;
	int fds[3];
	unsigned n = flags & DESCRIPTORS, i;

	if ((flags & MENDED) && len >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		h.len = (uint32_t)len;
		h.seq = number;
		h.type = h.type == 0 ? 0 : msg_type_of(h.type);
		memcpy(p, &h, sizeof(h));
	}
	for (i = 0; i < n; i++)
		fds[i] = STDERR_FILENO;
	memset(&control, 0, sizeof(control));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (n > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, n * sizeof(int));
	}
	(void)sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t bytes[65536];
	int pair[2], spare;
	unsigned number = 0;
	size_t n;

	if (base == NULL)
		need((base = event_base_new()) != NULL);
	spare = dup(STDERR_FILENO);
	close(spare);
	if (len == 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return (0);
	from = data[0] & 3;
	taken = ended = 0;
	iev = imsgev_new(base, pair[0], from,
	    data[0] & 4 ? MSG_CTL_REQUEST : MSG_MAX_FRAME, got, end, &base);
	need(iev != NULL);
	for (data++, len--; len >= 3 && iev != NULL && !ended;) {
		flags = data[0];
		n = (size_t)data[1] << 8 | data[2];
		data += 3;
		len -= 3;
		if (n > len)
			n = len;
		memcpy(bytes, data, n);
		packet(pair[1], bytes, n, ++number);
		data += n;
		len -= n;
		if (flags & TURN) {
			imsgev_pause(iev);
			imsgev_resume(iev);
		}
		event_base_loop(base, EVLOOP_NONBLOCK);
		/* What was answered makes room as it is read. */
		while (recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
	close_fd(&pair[1]);
	if (iev != NULL)
		event_base_loop(base, EVLOOP_NONBLOCK);
	need(iev == NULL || ended);
	imsgev_free(iev);
	iev = NULL;
	/* Whatever came along is closed again. */
	need(dup(STDERR_FILENO) == spare && close(spare) == 0);
	return (0);
}
