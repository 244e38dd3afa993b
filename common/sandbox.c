/*
 * sandbox.c: what takod's children give up. Runs in tako-api and tako-worker
 * (sandbox_check_start, sandbox_enter), and in the parent and its child just
 * before exec (sandbox_spawn, sandbox_drop_ids).
 *
 * The void: a child has a user namespace of its own, made by the parent, in
 * which there is no id but the child's; so a capability there is one over
 * what else is made there and over nothing of the host. With it the child
 * takes ipc, uts and mount namespaces and, once it is loaded, an empty root,
 * and gives the capability up. Its network is an empty one from its start. No
 * engine's parent needs more than to set ids for that, and no other process
 * gets anything.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "spawn.h"
#include "util.h"

#ifdef FAILPOINTS
/* The first of a pid namespace cannot end itself by a signal, as those do. */
#define VOID_CLONE CLONE_NEWUSER
#else
#define VOID_CLONE (CLONE_NEWUSER | CLONE_NEWPID)
#endif
#define VOID_UNSHARE (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
#define VOID_CAP     (UINT64_C(1) << CAP_SYS_ADMIN)
#define MAP_MS	     10000
#define VOID_ROOT    "/proc" /* a folder that every host has */

/*
 * Not by libcap-ng: it looks up a process in /proc by the number that it has
 * in its own namespace, or had before a fork.
 */
static int
caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
		0 };

	return ((int)syscall(SYS_capget, &head, data));
}

static int
caps_any(void)
{
	struct __user_cap_data_struct data[2];

	return (caps_get(data) == -1 ||
		(data[0].permitted | data[1].permitted | data[0].inheritable |
		    data[1].inheritable) != 0);
}

/* Of those that this process has it keeps these. */
static int
caps_set(uint64_t keep, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
		0 };
	struct __user_cap_data_struct data[2];
	int i;

	if (caps_get(data) == -1)
		return (-1);
	for (i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
	}
	return ((int)syscall(SYS_capset, &head, data));
}

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
	landlock_enter(sb->promises & PROMISE_ARTIFACT ? sb->artifact_fd : -1,
	    (sb->promises & PROMISE_UNPACK) != 0);
#endif
#ifndef SANDBOX_NULL
	promises_enter(sb);
#endif
}

/* ---- the void ----------------------------------------------------------- */

int sandbox_void = 1;

int
sandbox_map_ids(pid_t pid, const char *file, const char *map)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return (write_file(AT_FDCWD, path, 0, 0, map));
}

/*
 * A start. The child borrows the memory of the parent, which waits until it
 * has executed its program; so another one that borrows it gives the child its
 * ids. That one needs its number, which the child itself does not know: the
 * kernel tells it with the child's first word.
 */
struct start {
	uid_t uid;
	gid_t gid;
	int alone;
	void (*child)(void *);
	void *arg;
	int pair[2]; /* the mapper's end, and the child's */
};

/*
 * The network of the children that are not to be alone in theirs: an empty
 * one, made once, since to make and end one takes the kernel a millisecond, and
 * a worker is there for one job. They share nothing by it, for none of them
 * can make a socket. A child is born where its parent is, so takod is there
 * for that moment.
 */
static int net_own = -1, net_empty = -1;

static void
net_back(void)
{
	if (setns(net_own, CLONE_NEWNET) == -1)
		fatal("takod's own network");
}

static void
net_make(void)
{
	static const char path[] = "/proc/self/ns/net";

	if (net_own != -1 || (net_own = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	if (unshare(CLONE_NEWNET) == -1)
		return;
	net_empty = open(path, O_RDONLY | O_CLOEXEC);
	net_back();
}

static pid_t
net_spawn(struct spawn *s, int alone)
{
	pid_t pid;
	int error;

	if (!alone)
		net_make();
	/* Not without a capability that takod gives up with a Docker engine. */
	if (alone || net_empty == -1 || setns(net_empty, CLONE_NEWNET) == -1) {
		s->flags |= CLONE_NEWNET;
		return (spawn(s));
	}
	pid = spawn(s);
	error = errno;
	net_back();
	errno = error;
	return (pid);
}

/* The number of who wrote the word that came; -1 when none came. */
static pid_t
sender_of(int sock)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char word;
	struct iovec iov = { &word, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct ucred cred;

	if (recvmsg(sock, &m, 0) != 1 || CMSG_FIRSTHDR(&m) == NULL)
		return (-1);
	memcpy(&cred, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(cred));
	return (cred.pid);
}

/* One id of the child's namespace: the host's of that number. */
static int
map_id(pid_t pid, const char *file, unsigned id)
{
	char map[64];

	snprintf(map, sizeof(map), "%u %u 1\n", id, id);
	return (sandbox_map_ids(pid, file, map));
}

static void
void_map(void *arg)
{
	const struct start *s = arg;
	pid_t pid;
	char mapped;

	close(s->pair[1]);
	pid = sender_of(s->pair[0]);
	mapped = pid > 0 && map_id(pid, "uid_map", s->uid) == 0 &&
		 map_id(pid, "gid_map", s->gid) == 0;
	_exit(write(s->pair[0], &mapped, 1) == 1 && mapped ? 0 : 1);
}

static void
void_child(void *arg)
{
	const struct start *s = arg;
	struct pollfd p = { .fd = s->pair[1], .events = POLLIN };
	char mapped = 0;

	if (write(s->pair[1], "", 1) != 1 || poll(&p, 1, MAP_MS) != 1 ||
	    read(s->pair[1], &mapped, 1) != 1 || !mapped)
		_exit(124);
	s->child(s->arg);
}

/* A child with the namespaces; -1 when there is none, and why. */
static pid_t
void_spawn(struct start *s)
{
	char one[SPAWN_STACK] SPAWN_ALIGN, other[SPAWN_STACK] SPAWN_ALIGN;
	const struct spawn map = { .flags = CLONE_VM,
		.group = -1,
		.stack = one,
		.size = sizeof(one),
		.child = void_map,
		.arg = s };
	struct spawn child = { .flags = VOID_CLONE | CLONE_VM | CLONE_VFORK,
		.group = -1,
		.stack = other,
		.size = sizeof(other),
		.child = void_child,
		.arg = s };
	int status = 0, error, on = 1;
	pid_t mapper = -1, pid = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->pair) ==
	    -1)
		return (-1);
	if (setsockopt(s->pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ==
		0 &&
	    (mapper = spawn(&map)) != -1)
		pid = net_spawn(&child, s->alone);
	error = errno;
	/* A mapper that no child wrote to ends with that. */
	close_fd(&s->pair[0]);
	close_fd(&s->pair[1]);
	if (mapper != -1)
		waitpid(mapper, &status, 0);
	if (pid != -1 && status != 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	errno = error;
	return (pid);
}

pid_t
sandbox_spawn(uid_t uid, gid_t gid, int alone, void (*child)(void *), void *arg)
{
	char stack[SPAWN_STACK] SPAWN_ALIGN;
	const struct spawn plain = { .flags = CLONE_VM | CLONE_VFORK,
		.group = -1,
		.stack = stack,
		.size = sizeof(stack),
		.child = child,
		.arg = arg };
	struct start s = { .uid = uid,
		.gid = gid,
		.alone = alone,
		.child = child,
		.arg = arg };
	pid_t pid;

	if (sandbox_void) {
		/* Else the child's ids in /proc may be hidden. */
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		pid = void_spawn(&s);
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (pid != -1)
			return (pid);
		log_warn("children get no namespaces of their own; their "
			 "other walls stand");
		sandbox_void = 0;
	}
	return (spawn(&plain));
}

/* Everything that was there is out of sight, and there is nothing else. */
static int
void_root(void)
{
	return (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
			mount("void", VOID_ROOT, "tmpfs",
			    MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
			    "size=4k,nr_inodes=1,mode=555") == -1 ||
			chdir(VOID_ROOT) == -1 ||
			syscall(SYS_pivot_root, ".", ".") == -1 ||
			umount2(".", MNT_DETACH) == -1 || chdir("/") == -1
		    ? -1
		    : 0);
}

static void
void_enter(void)
{
	if (unshare(VOID_UNSHARE) == -1 || void_root() == -1)
		log_warn("no empty namespaces; the other walls stand");
	/* With what is permitted goes what is ambient. */
	if (caps_set(0, 0) == -1)
		fatalx("the capability over its namespaces stays");
}

/* ---- start --------------------------------------------------------------- */

/* Is this the user namespace of the host: do all ids mean themselves? */
static int
own_is_host(void)
{
	unsigned first = 0, outer = 0, n = UINT32_MAX;
	size_t len;
	char *map = read_file(AT_FDCWD, "/proc/self/uid_map", 4096, &len);

	if (map != NULL)
		(void)sscanf(map, "%u %u %u", &first, &outer, &n);
	free(map);
	return (n != 1);
}

void
sandbox_check_start(const char *name)
{
	socklen_t len = sizeof(int);
	struct dirent *e;
	int type = 0, within, fd;
	DIR *d;

	if (getsockopt(MSG_FD, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_SEQPACKET)
		fatalx("%s is started by takod, not by hand", name);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("prctl");
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		fatalx("%s must not run as root", name);
	/* One, over a user namespace of its own (the void), is no privilege. */
	within = !own_is_host() && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET,
				       CAP_SYS_ADMIN, 0, 0) == 1;
	if (!within && caps_any())
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
	if (within)
		void_enter();
}

int
sandbox_drop_ids(uid_t uid, gid_t gid)
{
	uint64_t keep = sandbox_void ? VOID_CAP : 0;
	uid_t r, e, s;
	int cap;

	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == -1)
		return (-1);
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1)
		return (-1);
	/* What is to pass the exec has to be inheritable before. */
	if (caps_set(UINT64_MAX, keep) == -1)
		return (-1);
	/* The bounding set goes while the capability to empty it is there. */
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != -1; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return (-1);
	if (setresuid(uid, uid, uid) == -1 || caps_set(keep, keep) == -1)
		return (-1);
	if (keep != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
			     CAP_SYS_ADMIN, 0, 0) == -1)
		return (-1);
	if (getresuid(&r, &e, &s) == -1 || r != uid || e != uid || s != uid ||
	    setuid(0) != -1) {
		errno = EPERM;
		return (-1);
	}
	return (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}
