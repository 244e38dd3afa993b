/*
 * sandbox.c: what takod's children give up. Runs in tako-api and tako-worker
 * (sandbox_check_start, sandbox_enter), and in the parent and its forked child
 * just before exec (sandbox_fork, sandbox_drop_ids).
 *
 * The void: a child has a user namespace of its own, made by the parent, in
 * which there is no id but the child's; so a capability there is one over
 * what else is made there and over nothing of the host. With it the child
 * takes network, ipc, uts and mount namespaces and, once it is loaded, an
 * empty root, and gives the capability up. No engine's parent needs more than
 * to set ids for that, and no other process gets anything.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
#include "util.h"

#ifdef FAILPOINTS
/* The first of a pid namespace cannot end itself by a signal, as those do. */
#define VOID_CLONE CLONE_NEWUSER
#else
#define VOID_CLONE (CLONE_NEWUSER | CLONE_NEWPID)
#endif
#define VOID_UNSHARE (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define VOID_CAP     (UINT64_C(1) << CAP_SYS_ADMIN)
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

/* One id of the child's namespace: the host's of that number. */
static int
map_id(pid_t pid, const char *file, unsigned id)
{
	char map[64];

	snprintf(map, sizeof(map), "%u %u 1\n", id, id);
	return (sandbox_map_ids(pid, file, map));
}

pid_t
sandbox_fork(uid_t uid, gid_t gid)
{
	int done[2], mapped;
	char none;
	pid_t pid;

	if (!sandbox_void)
		return (fork());
	if (pipe2(done, O_CLOEXEC) == -1)
		return (-1);
	/* Else its files in /proc, where the ids are set, may be hidden. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pid = (pid_t)syscall(
	    SYS_clone, VOID_CLONE | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0) {
		/* There is no id to be had until the parent has set them. */
		close(done[1]);
		while (read(done[0], &none, 1) == -1 && errno == EINTR)
			;
		close(done[0]);
		return (0);
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	mapped = pid > 0 && map_id(pid, "uid_map", uid) == 0 &&
		 map_id(pid, "gid_map", gid) == 0;
	close_fd(&done[0]);
	close_fd(&done[1]);
	if (mapped)
		return (pid);
	log_warn("children get no namespaces of their own; their other walls "
		 "stand");
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	sandbox_void = 0;
	return (fork());
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
