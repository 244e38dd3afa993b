/*
 * child.h: what stands around a child in its fuzz target: what it logs goes
 * nowhere, it shuts itself in nowhere, and where it ends itself the target goes
 * on behind ends_by(). Included once, instead of common/log.c and sandbox.c.
 */
#ifndef CHILD_H
#define CHILD_H

#include <setjmp.h>
#include <unistd.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "imsgev.h"
#include "log.h"
#include "msg_make.h"
#include "sandbox.h"
#include "util.h"

static jmp_buf the_end;
static int may_end; /* what is under way is trusted: a bug of it ends it */

/* Does it end itself by that frame? What it was at is not set free then. */
static inline int
ends_by(imsgev_frame_cb take, const struct msg_frame *f, int fd)
{
	int ended = 1;

	may_end = 1;
	if (setjmp(the_end) == 0) {
		need(take(NULL, f, fd, NULL) == 0);
		ended = 0;
	}
	may_end = 0;
	return (ended);
}

static void __attribute__((noreturn)) child_end(void)
{
	need(may_end);
	longjmp(the_end, 1);
}

void
fatal(const char *fmt, ...)
{
	(void)fmt;
	child_end();
}

void
fatalx(const char *fmt, ...)
{
	(void)fmt;
	child_end();
}

#define QUIET(name)                                                            \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		(void)fmt;                                                     \
	}
QUIET(log_debug)
QUIET(log_info)
QUIET(log_warn)
QUIET(log_warnx)
QUIET(log_error)

void
log_init_child(const char *name, int argc, char **argv)
{
	(void)name;
	(void)argc;
	(void)argv;
}

int
log_pid(void)
{
	return (getpid());
}

void
log_set_level(enum log_level level)
{
	(void)level;
}

void
log_set_correlation(const char *id)
{
	(void)id;
}

void
sandbox_enter(const struct sandbox *sb)
{
	(void)sb;
}

void
sandbox_check_start(const char *name)
{
	(void)name;
}

/* The next frame that a child sent, and its descriptor; 0: there is none. */
static inline int
child_said(int from, struct msg_frame *f, int *fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { f, sizeof(*f) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return (0);
	need((size_t)n >= sizeof(f->hdr) && f->hdr.len == (size_t)n);
	need(msg_known(f->hdr.type));
	*fd = -1;
	if (msg.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(&control.hdr), sizeof(int));
	need(msg_fd(f->hdr.type) != FD_REQUIRED || *fd != -1);
	need(msg_fd(f->hdr.type) != FD_NONE || *fd == -1);
	return (1);
}

#endif
