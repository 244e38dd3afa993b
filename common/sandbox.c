/*
 * sandbox.c: what takod's children give up. Runs in tako-api and tako-worker
 * (sandbox_enter, sandbox_check_start) and in the parent's forked child just
 * before exec (sandbox_drop_ids).
 *
 * The system calls are grouped by promise, each with its reason. Allow rules
 * add up and never narrow each other, so a call with a restricted argument
 * stands in exactly one group.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cap-ng.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "util.h"

/* ---- Landlock ----------------------------------------------------------- */

/* Rights by ABI, for headers older than the kernel (Debian 12 knows ABI 2). */
#define FS_REFER       (1ULL << 13) /* 2 */
#define FS_TRUNCATE    (1ULL << 14) /* 3 */
#define FS_IOCTL_DEV   (1ULL << 15) /* 5 */
#define NET_TCP_BOTH   3ULL	    /* 4: bind, connect */
#define SCOPE_BOTH     3ULL	    /* 6: abstract sockets, signals */
#define LANDLOCK_FLOOR 1	    /* file access: Linux 5.13 */

struct ruleset {
	uint64_t fs, net, scoped;
};

static void
landlock_enter(const struct sandbox *sb)
{
	struct landlock_path_beneath_attr beneath;
	struct ruleset rs;
	size_t size;
	long abi;
	int fd;

	abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < LANDLOCK_FLOOR) {
		/* The other walls stand; the kernel was chosen by somebody. */
		log_warnx("no Landlock in this kernel: file access is held "
			  "back by seccomp and ids alone");
		return;
	}
	memset(&rs, 0, sizeof(rs));
	rs.fs = FS_REFER - 1;
	if (abi >= 2)
		rs.fs |= FS_REFER;
	if (abi >= 3)
		rs.fs |= FS_TRUNCATE;
	if (abi >= 5)
		rs.fs |= FS_IOCTL_DEV;
	if (abi >= 4)
		rs.net = NET_TCP_BOTH;
	if (abi >= 6)
		rs.scoped = SCOPE_BOTH;
	size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
	if (fd == -1)
		fatal("landlock_create_ruleset");
	if (sb->promises & PROMISE_ARTIFACT) {
		memset(&beneath, 0, sizeof(beneath));
		beneath.allowed_access =
		    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE;
		beneath.parent_fd = sb->artifact_fd;
		if (syscall(SYS_landlock_add_rule, fd,
			LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == -1)
			fatal("landlock_add_rule");
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		fatal("landlock_restrict_self");
	close(fd);
}

/* ---- seccomp ------------------------------------------------------------ */

#ifndef SANDBOX_NULL

#define CALL(c) SCMP_SYS(c)
static const int stdio_calls[] = {
	/* what is open: the channel, the stream, the log */
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(close),
	CALL(lseek), CALL(fstat), CALL(pread64), CALL(pwrite64),
	/* libevent's loop */
	CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait),
	CALL(epoll_pwait), CALL(poll), CALL(ppoll), CALL(eventfd2),
	CALL(timerfd_create), CALL(timerfd_settime),
	/* memory, as malloc wants it; mmap and mprotect below */
	CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise), CALL(futex),
	/* clocks, where the vDSO does not serve */
	CALL(clock_gettime), CALL(gettimeofday), CALL(time),
	/* ids, for log lines and abort(3); randomness */
	CALL(getpid), CALL(gettid), CALL(getuid), CALL(getrandom),
	/* signals of one's own */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
	CALL(restart_syscall),
	/* the end */
	CALL(exit), CALL(exit_group)
};
static const int recvfd_calls[] = { CALL(recvmsg), CALL(sendmsg) };
static const int memfd_calls[] = { CALL(memfd_create), CALL(ftruncate) };
static const int accept_calls[] = { CALL(accept4), CALL(getpeername),
	CALL(getsockname), CALL(getsockopt), CALL(setsockopt), CALL(shutdown),
	CALL(recvfrom), CALL(sendto), CALL(sendfile) };
static const int artifact_calls[] = { CALL(fsync), CALL(fdatasync) };
/* What libc tries and can do without: an error, not the end. */
static const int refused_calls[] = { CALL(open), CALL(access), CALL(readlink),
	CALL(sysinfo), CALL(prlimit64), CALL(getrlimit), CALL(uname) };

static void
allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			fatalx("seccomp: a rule was refused");
}

#define RULE(action, call, ...)                                                \
	do {                                                                   \
		if (seccomp_rule_add(                                          \
			ctx, action, SCMP_SYS(call), __VA_ARGS__) < 0)         \
			fatalx("seccomp: the rule for " #call " was refused"); \
	} while (0)

static void
seccomp_enter(const struct sandbox *sb)
{
	static const unsigned fcntls[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL,
		F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS };
	scmp_filter_ctx ctx;
	size_t i;

	if ((ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL)
		fatalx("seccomp_init");
	allow(ctx, stdio_calls, nitems(stdio_calls));
	/* No memory that can be run. */
	RULE(
	    SCMP_ACT_ALLOW, mmap, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	RULE(SCMP_ACT_ALLOW, mprotect, 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	for (i = 0; i < nitems(fcntls); i++)
		RULE(SCMP_ACT_ALLOW, fcntl, 1, SCMP_A1(SCMP_CMP_EQ, fcntls[i]));
	/* How much waits on a socket: evbuffer_read asks. */
	RULE(SCMP_ACT_ALLOW, ioctl, 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
	/* And how much of an answer its client has not taken. */
	if (sb->promises & PROMISE_ACCEPT)
		RULE(SCMP_ACT_ALLOW, ioctl, 1, SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ));
	/* abort(3) signals itself. */
	RULE(SCMP_ACT_ALLOW, tgkill, 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* fstat(3) of glibc: a descriptor with an empty path. */
	RULE(SCMP_ACT_ALLOW, newfstatat, 1,
	    SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	if (sb->promises & PROMISE_RECVFD)
		allow(ctx, recvfd_calls, nitems(recvfd_calls));
	if (sb->promises & PROMISE_MEMFD)
		allow(ctx, memfd_calls, nitems(memfd_calls));
	if (sb->promises & PROMISE_ACCEPT)
		allow(ctx, accept_calls, nitems(accept_calls));
	if (sb->promises & PROMISE_ARTIFACT) {
		allow(ctx, artifact_calls, nitems(artifact_calls));
		RULE(SCMP_ACT_ALLOW, openat, 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)sb->artifact_fd));
		/* libc looks for a time zone: an error, not the end. */
		RULE(SCMP_ACT_ERRNO(EACCES), openat, 1,
		    SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)sb->artifact_fd));
	} else
		RULE(SCMP_ACT_ERRNO(EACCES), openat, 0);
	for (i = 0; i < nitems(refused_calls); i++)
		if (seccomp_rule_add(
			ctx, SCMP_ACT_ERRNO(EACCES), refused_calls[i], 0) < 0)
			fatalx("seccomp: a rule was refused");
	if (seccomp_load(ctx) < 0)
		fatalx("seccomp_load");
	seccomp_release(ctx);
}
#endif

/* ---- the whole ---------------------------------------------------------- */

static void
limit(int resource, rlim_t value)
{
	struct rlimit rl = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &rl) == -1)
		fatal("setrlimit");
}

void
sandbox_enter(const struct sandbox *sb)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_NOFILE, sb->nofile);
	/*
	 * A regular file may not grow above this, and memfds count as such.
	 * The log on stderr does too when it is a file: the write fails then,
	 * and the signal is not to end the child.
	 */
	signal(SIGXFSZ, SIG_IGN);
	if (sb->fsize != 0)
		limit(RLIMIT_FSIZE, sb->fsize);
#ifndef SANDBOX_NULL
	/* The sanitizers reserve terabytes, and call what they like. */
	if (sb->as != 0)
		limit(RLIMIT_AS, sb->as);
#endif
#ifndef LANDLOCK_NULL
	landlock_enter(sb);
#endif
#ifndef SANDBOX_NULL
	seccomp_enter(sb);
#endif
}

void
sandbox_check_start(const char *name)
{
	socklen_t len = sizeof(int);
	struct dirent *e;
	int type = 0, fd;
	DIR *d;

	if (getsockopt(MSG_FD, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_SEQPACKET)
		fatalx("%s is started by takod, not by hand", name);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("prctl");
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		fatalx("%s must not run as root", name);
	capng_get_caps_process();
	if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		fatalx("%s was started with capabilities", name);
	if ((d = opendir("/proc/self/fd")) == NULL)
		fatal("/proc/self/fd");
	while ((e = readdir(d)) != NULL) {
		fd = atoi(e->d_name);
		if (fd > MSG_FD && fd != dirfd(d))
			fatalx(
			    "%s was started with descriptor %d open", name, fd);
	}
	closedir(d);
}

int
sandbox_drop_ids(uid_t uid, gid_t gid)
{
	uid_t r, e, s;

	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == -1)
		return (-1);
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1)
		return (-1);
	/* The bounding set goes while the capability to empty it is there. */
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return (-1);
	if (setresuid(uid, uid, uid) == -1)
		return (-1);
	if (getresuid(&r, &e, &s) == -1 || r != uid || e != uid || s != uid ||
	    setuid(0) != -1) {
		errno = EPERM;
		return (-1);
	}
	return (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}
