/*
 * promises.c: the system calls that a child keeps, by promise group, each with
 * its reason. Runs in tako-api and tako-worker. What stands in no group of a
 * child ends it; what libc tries and can do without fails instead.
 *
 * The end comes in two steps, so that the parent can name the call: SIGSYS is
 * caught, and its handler tells the parent (who kills it) and then makes the
 * one call that the kernel ends a process for at once. The call itself is not
 * made, and the handler cannot be got rid of: no signal's action can be changed
 * but SIGABRT's, the kernel ends a process that blocks SIGSYS, and no
 * memory can be moved over the handler's or be run that was not.
 *
 * Allow rules add up and never narrow each other: a call with a restricted
 * argument stands nowhere else without. man/tako-sandbox.7 has the groups too,
 * and regress/unit/promises.golden what came of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "failpoint.h"
#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "util.h"

enum check {
	ANY,
	EQUAL,	 /* the argument is value */
	WITHOUT, /* it has none of value's bits */
	WITH	 /* it has all of value's bits */
};
/* Values that are known late. */
#define OWN_PID	      (UINT64_MAX - 1)
#define FOLDER	      (UINT64_MAX - 2)
#define FILTER_MEMORY 122880
#define TOLD_MS	      1000 /* in the handler: until the channel takes it ... */
#define KILLED_MS     5000 /* ... and until the parent has read it */

struct rule {
	unsigned promise;
	int call;
	struct {
		enum check check;
		unsigned arg;
		uint64_t value;
	} only[2];
};

/* clang-format off */
/* A call as it is; with one argument checked; a socket option. */
#define ALL(group, call)						\
	{ PROMISE_##group, SCMP_SYS(call), { { ANY, 0, 0 } } }
#define ONE(group, call, arg, check, value)				\
	{ PROMISE_##group, SCMP_SYS(call), { { check, arg, value } } }
#define TWO(group, call, level, option)					\
	{ PROMISE_##group, SCMP_SYS(call),				\
	    { { EQUAL, 1, level }, { EQUAL, 2, option } } }

static const struct rule rules[] = {
	/* --- stdio --- */
	ALL(STDIO, read),			/* clients, stream, eventfd */
	ALL(STDIO, write),			/* the log; a file, a memfd */
	ALL(STDIO, readv),			/* evbuffer_read */
	ALL(STDIO, writev),			/* evbuffer_write, hand-over */
	ALL(STDIO, close),			/* what is done with */
	ALL(STDIO, lseek),			/* the size of a memfd */
	ALL(STDIO, fstat),			/* kind and size of a file */
	/* fstat(3) of glibc: no path */
	ONE(STDIO, newfstatat, 3, WITH, AT_EMPTY_PATH),
	ALL(STDIO, pread64),			/* parts of a payload */
	ALL(STDIO, pwrite64),			/* parts of a memfd */
	ALL(STDIO, epoll_ctl),			/* libevent's loop */
	ALL(STDIO, epoll_wait),
	ALL(STDIO, epoll_pwait),		/* the same on arm64 */
	ALL(STDIO, poll),			/* the last word, below */
	ALL(STDIO, ppoll),			/* the same on arm64 */
	ALL(STDIO, timerfd_settime),		/* precise timers */
	ALL(STDIO, brk),			/* malloc(3) */
	/* and memfds; nothing to run */
	ONE(STDIO, mmap, 2, WITHOUT, PROT_EXEC),
	/* malloc(3) grows a heap */
	ONE(STDIO, mprotect, 2, WITHOUT, PROT_EXEC),
	/* realloc(3); not to a place */
	ONE(STDIO, mremap, 3, WITHOUT, MREMAP_FIXED),
	ALL(STDIO, munmap),			/* free(3) */
	ALL(STDIO, madvise),			/* malloc(3) gives back */
	ALL(STDIO, futex),			/* locks of libc */
	ALL(STDIO, clock_gettime),		/* without a vDSO */
	ALL(STDIO, gettimeofday),		/* the same */
	ALL(STDIO, time),			/* the same */
	ALL(STDIO, getrandom),			/* keys of hash tables */
	ALL(STDIO, getpid),			/* abort(3) */
	ALL(STDIO, gettid),			/* abort(3) */
	ONE(STDIO, tgkill, 0, EQUAL, OWN_PID),	/* abort(3), at itself */
	/* abort(3), a second time */
	ONE(STDIO, rt_sigaction, 0, EQUAL, SIGABRT),
	ALL(STDIO, rt_sigprocmask),		/* abort(3) */
	ALL(STDIO, rt_sigreturn),		/* out of a handler */
	ALL(STDIO, restart_syscall),		/* after a stop */
	ONE(STDIO, fcntl, 1, EQUAL, F_GETFD),
	ONE(STDIO, fcntl, 1, EQUAL, F_SETFD),	/* cloexec */
	ONE(STDIO, fcntl, 1, EQUAL, F_GETFL),
	ONE(STDIO, fcntl, 1, EQUAL, F_SETFL),	/* nonblock */
	ONE(STDIO, ioctl, 1, EQUAL, FIONREAD),	/* evbuffer */
	ALL(STDIO, exit),			/* the end */
	ALL(STDIO, exit_group),
	/* --- recvfd --- */
	ALL(RECVFD, recvmsg),			/* a frame of the channel */
	ALL(RECVFD, sendmsg),			/* the same */
	/* waits */
	ONE(RECVFD, fcntl, 1, EQUAL, F_DUPFD_CLOEXEC),
	/* --- memfd --- */
	/* what goes to the parent */
	ONE(MEMFD, memfd_create, 1, EQUAL, MFD_CLOEXEC | MFD_ALLOW_SEALING),
	ALL(MEMFD, ftruncate),			/* its size */
	ONE(MEMFD, fcntl, 1, EQUAL, F_ADD_SEALS),
	ONE(MEMFD, fcntl, 1, EQUAL, F_GET_SEALS),
	/* --- accept --- */
	ALL(ACCEPT, accept4),			/* a client */
	ALL(ACCEPT, getpeername),		/* who that is */
	ALL(ACCEPT, getsockname),		/* where it came in */
	/* is it broken? */
	TWO(ACCEPT, getsockopt, SOL_SOCKET, SO_ERROR),
	/* what of an answer its client has not taken */
	ONE(ACCEPT, ioctl, 1, EQUAL, SIOCOUTQ),
	/* answers at once */
	TWO(ACCEPT, setsockopt, IPPROTO_TCP, TCP_NODELAY),
	ALL(ACCEPT, shutdown),			/* a graceful close */
	ONE(ACCEPT, recvfrom, 4, EQUAL, 0),	/* recv(3) */
	ONE(ACCEPT, sendto, 4, EQUAL, 0),	/* send(3): nowhere */
	ALL(ACCEPT, sendfile),			/* an artifact's bytes */
	/* --- artifact --- */
	ONE(ARTIFACT, openat, 0, EQUAL, FOLDER),
	ALL(ARTIFACT, fsync),			/* kept before it is told */
	ALL(ARTIFACT, fdatasync),		/* the same */
	/* --- unpack --- */
	ONE(UNPACK, mkdirat, 0, EQUAL, FOLDER),	/* a layer's folders */
	ONE(UNPACK, syncfs, 0, EQUAL, FOLDER),	/* all of it, once */
};
/* clang-format on */

/* What libc tries and can do without: an error, not the end. */
static const int refused_calls[] = { SCMP_SYS(open), SCMP_SYS(access),
	SCMP_SYS(readlink), SCMP_SYS(sysinfo), SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit), SCMP_SYS(uname) };

static void
add(scmp_filter_ctx ctx, uint32_t action, int call, unsigned n,
    const struct scmp_arg_cmp *args)
{
	/* One that this architecture lacks needs no rule. */
	if (seccomp_rule_add_array(ctx, action, call, n, args) < 0 && call >= 0)
		fatalx("seccomp: the rule for call %d was refused", call);
}

static scmp_datum_t
late(const struct sandbox *sb, uint64_t value)
{
	switch (value) {
	case OWN_PID:
		return ((scmp_datum_t)getpid());
	case FOLDER:
		return ((scmp_datum_t)(unsigned)sb->artifact_fd);
	default:
		return (value);
	}
}

static void
allow(scmp_filter_ctx ctx, const struct sandbox *sb, const struct rule *r)
{
	struct scmp_arg_cmp args[2], *a;
	scmp_datum_t value;
	unsigned i, n = 0;

	for (i = 0; i < 2 && r->only[i].check != ANY; i++) {
		a = &args[n++];
		value = late(sb, r->only[i].value);
		if (r->only[i].check == EQUAL)
			*a = SCMP_CMP32(
			    r->only[i].arg, SCMP_CMP_EQ, (uint32_t)value);
		else
			*a = SCMP_CMP64(r->only[i].arg, SCMP_CMP_MASKED_EQ,
			    value, r->only[i].check == WITH ? value : 0);
	}
	add(ctx, SCMP_ACT_ALLOW, r->call, n, args);
}

/*
 * libseccomp 2.5 does not see where its program's end is missing for want of
 * memory, or never comes back. So there is enough of it before it begins, in
 * one piece that malloc(3) keeps: no larger than what it would map.
 */
void
filter_memory(void)
{
	free(xmalloc(FILTER_MEMORY));
	FAILPOINT_AT_HAND(1);
}

void
filter_load(scmp_filter_ctx ctx)
{
	if (seccomp_load(ctx) < 0)
		fatalx("seccomp_load");
	seccomp_release(ctx);
	FAILPOINT_AT_HAND(0);
}

scmp_filter_ctx
promises_filter(const struct sandbox *sb)
{
	const struct scmp_arg_cmp sigsys =
	    SCMP_CMP32(0, SCMP_CMP_EQ, (uint32_t)SIGSYS);
	struct scmp_arg_cmp other =
	    SCMP_CMP32(0, SCMP_CMP_NE, (uint32_t)sb->artifact_fd);
	scmp_filter_ctx ctx;
	size_t i;

	filter_memory();
	if ((ctx = seccomp_init(SCMP_ACT_TRAP)) == NULL ||
	    seccomp_attr_set(
		ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
		fatalx("seccomp_init");
	for (i = 0; i < nitems(rules); i++)
		if (sb->promises & rules[i].promise)
			allow(ctx, sb, &rules[i]);
	for (i = 0; i < nitems(refused_calls); i++)
		add(ctx, SCMP_ACT_ERRNO(EACCES), refused_calls[i], 0, NULL);
	/* libc looks for a time zone, a locale. */
	add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat),
	    (sb->promises & PROMISE_ARTIFACT) != 0, &other);
	/* The handler stays, and this is how it ends the process. */
	add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(rt_sigaction), 1, &sigsys);
	return (ctx);
}

/* ---- the last word ------------------------------------------------------ */

static uint32_t refused_type;

/*
 * SIGSYS: nothing is certain any more, and only system calls of the filter are
 * made. The number of the frame is 0, for it is out of turn.
 */
static void
call_refused(int sig, siginfo_t *info, void *context)
{
	static struct msg_frame f;
	union {
		struct msg_api_refused api;
		struct msg_worker_refused worker;
	} m = { .api = { .call = (uint64_t)(unsigned)info->si_syscall } };
	struct pollfd p = { MSG_FD, POLLOUT, 0 };

	(void)sig;
	(void)context;
	if (msg_pack(&f, refused_type, 0, &m) == 0) {
		(void)poll(&p, 1, TOLD_MS);
		if (write(MSG_FD, &f, f.hdr.len) == (ssize_t)f.hdr.len)
			(void)poll(NULL, 0, KILLED_MS);
	}
	syscall(SYS_rt_sigaction, SIGSYS, NULL, NULL, 8);
}

void
promises_enter(const struct sandbox *sb)
{
	struct sigaction sa;

	refused_type = sb->refused;
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = call_refused;
	sa.sa_flags = SA_SIGINFO;
	sigfillset(&sa.sa_mask);
	if (sigaction(SIGSYS, &sa, NULL) == -1)
		fatal("sigaction");
	filter_load(promises_filter(sb));
}
