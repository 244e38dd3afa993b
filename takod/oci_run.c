/*
 * oci_run.c: runs the runtime's program. In takod, and in its child up to the
 * exec; that one borrows takod's memory (spawn.h), unless it makes a network.
 *
 * Children are waited for one by one, by pidfd: takod has other children that
 * are waited for elsewhere. What a runtime leaves running in the background is
 * known by its control group, not as a child.
 */
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "oci_run.h"
#include "sandbox.h"
#include "spawn.h"
#include "util.h"

/* gVisor's sandbox has descriptors of the host from 256 on. */
#define GVISOR_TABLE 511

struct oci_run {
	pid_t pid;
	int pidfd;
	struct event *ev;
	oci_run_cb cb;
	void *arg;
};

/*
 * A user namespace's root is nobody to the folders above the image (a data
 * directory is 0700), so the image is shown at a path that all may search.
 * Only the runtime and the container see that mount; it ends with them.
 */
static int
child_mount(const char *rootfs)
{
	return (mount(rootfs, PATH_RUNTIME_ROOT, NULL, MS_BIND | MS_REC, NULL));
}

static int
child_own_mounts(void)
{
	return (unshare(CLONE_NEWNS) == -1
		    ? -1
		    : mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/*
 * runsc joins a namespace that it finds bound; that of 2022 takes
 * /proc/sys/net/core/rmem_default, which kernels of today have in every
 * namespace, for a sign of the host's. The others are in it from their start:
 * the root of a container's user namespace could not join it.
 */
static int
child_network(const struct oci_network *n)
{
	char path[64];
	int fd = network_slot_make(n->slot, n->log);

	if (fd == -1)
		return (-1);
	if (!n->gvisor)
		return (setns(fd, CLONE_NEWNET));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (mount(path, n->path, NULL, MS_BIND, NULL) == -1 ||
			mount("none", "/proc/sys/net", "tmpfs",
			    MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
			    "size=4k,mode=555") == -1
		    ? -1
		    : 0);
}

/*
 * What makes the namespace. The kernel counts some of what a user has (inotify
 * instances, message queues, pending signals) once more at whoever made their
 * namespace: at root, all jobs and the host's own services would share one
 * account. So the maker is the namespace's own root, whom nobody else is.
 */
struct maker {
	const struct oci_userns *u;
	int pipe[2];
};

static void
userns_make(void *arg)
{
	const struct maker *m = arg;
	gid_t gid = (gid_t)m->u->root;

	/* When nobody who reads is left the write of it ends it. */
	close(m->pipe[0]);
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(m->u->root, m->u->root, m->u->root) == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 ||
	    unshare(CLONE_NEWUSER) == -1 || write(m->pipe[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static int
userns_map(pid_t pid, const char *file, const struct oci_userns *u)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1\n%u %u 1\n", (unsigned)u->root,
	    (unsigned)CONTAINER_UID, (unsigned)u->job);
	return (sandbox_map_ids(pid, file, map));
}

/* The maker is needed until the namespace has its ids and a place. */
static int
child_userns(const struct oci_userns *u)
{
	char path[64], made, stack[SPAWN_STACK] SPAWN_ALIGN;
	struct maker m = { .u = u };
	const struct spawn s = { .flags = CLONE_VM,
		.group = -1,
		.stack = stack,
		.size = sizeof(stack),
		.child = userns_make,
		.arg = &m };
	int ret = -1;
	pid_t pid;

	if (pipe2(m.pipe, O_CLOEXEC) == -1 || (pid = spawn(&s)) == -1)
		return (-1);
	close(m.pipe[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (read(m.pipe[0], &made, 1) == 1 &&
	    userns_map(pid, "uid_map", u) == 0 &&
	    userns_map(pid, "gid_map", u) == 0 &&
	    mount(path, u->path, NULL, MS_BIND, NULL) == 0)
		ret = 0;
	close(m.pipe[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return (ret);
}

static int
child_limit(int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit r = { .rlim_cur = soft, .rlim_max = hard };

	return (setrlimit(resource, &r));
}

static int
child_limits(const struct conf_limits *l)
{
	if (child_limit(RLIMIT_NOFILE, (uint64_t)l->nofile_soft,
		(uint64_t)l->nofile_hard) == -1 ||
	    child_limit(RLIMIT_NPROC, (uint64_t)l->nproc_soft,
		(uint64_t)l->nproc_hard) == -1 ||
	    child_limit(RLIMIT_FSIZE, l->fsize, l->fsize) == -1)
		return (-1);
	return (
	    child_limit(RLIMIT_CORE, engine_core_limit(), engine_core_limit()));
}

/* None of what is handed on is below OCI_RUN_KEPT: takod has its own there. */
static int
child_descriptors(const struct oci_run_how *how)
{
	int null = open("/dev/null", O_RDWR);

	if (null == -1 || dup2(how->in != -1 ? how->in : null, 0) == -1 ||
	    dup2(how->out != -1 ? how->out : null, 1) == -1 ||
	    dup2(null, 2) == -1)
		return (-1);
	if (how->kept == -1)
		return (close_range(OCI_RUN_KEPT, ~0U, 0));
	return (dup2(dup(how->kept), OCI_RUN_KEPT) == -1
		    ? -1
		    : close_range(OCI_RUN_KEPT + 1, ~0U, 0));
}

/*
 * Five processes of gVisor, one after the other, register for membarrier(2)
 * when they begin, and its sandbox enlarges its table of descriptors. Where
 * there are threads already, as in all of Go, the kernel waits for all
 * processors at each of these: 10 to 20 ms. So they find that the host has no
 * membarrier(2), and jobs that gVisor has none; and a table that is large
 * enough, since a child's has room for the highest of its parent's. Who may
 * not set a filter does without.
 */
static void
child_no_waits(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { nitems(code), code };

	(void)dup2(STDERR_FILENO, GVISOR_TABLE);
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

struct child {
	pid_t parent;
	const struct oci_run_how *how;
};

static void
child_exec(void *arg)
{
	const struct child *c = arg;
	const struct oci_run_how *how = c->how;
	const struct oci_userns *u = how->u;
	const struct oci_network *n = how->net;
	static char path[] =
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	/*
	 * runc is gone before threads or a collection of Go's could pay.
	 * gVisor's sandbox has the same environment, and stays.
	 */
	static char one[] = "GOMAXPROCS=1", never[] = "GOGC=off";
	int brief = how->runtime != RUNTIME_RUNSC;
	char *const environment[] = { path, brief ? one : NULL, never, NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	setsid();
	/* What is half made without takod is removed by the next one. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent)
		_exit(124);
	/* gVisor forks before it looks at oomScoreAdj. */
	(void)write_file(AT_FDCWD, "/proc/self/oom_score_adj", 0, 0, "1000");
	if ((u != NULL || n != NULL) && child_own_mounts() == -1)
		_exit(125);
	/* While takod's descriptors are there. */
	if (n != NULL && child_network(n) == -1)
		_exit(OCI_RUN_NO_NETWORK);
	if (child_descriptors(how) == -1)
		_exit(126);
	if (u != NULL &&
	    (child_mount(u->rootfs) == -1 || child_userns(u) == -1 ||
		child_limits(u->limits) == -1))
		_exit(125);
	if (how->runtime == RUNTIME_RUNSC)
		child_no_waits();
	execve(how->argv[0], how->argv, environment);
	_exit(127);
}

static void
run_ended(evutil_socket_t fd, short what, void *arg)
{
	struct oci_run *r = arg;
	oci_run_cb cb = r->cb;
	void *cb_arg = r->arg;
	int status = -1;

	(void)fd;
	(void)what;
	if (waitpid(r->pid, &status, WNOHANG) != r->pid)
		status = -1;
	event_free(r->ev);
	close(r->pidfd);
	free(r);
	cb(status, cb_arg);
}

struct oci_run *
oci_run_start(struct event_base *base, const struct oci_run_how *how,
    oci_run_cb cb, void *arg)
{
	struct oci_run *r = calloc(1, sizeof(*r));
	char stack[4 * SPAWN_STACK] SPAWN_ALIGN; /* a maker's, mounts */
	struct child c = { .parent = getpid(), .how = how };
	/* Who makes a network takes long: takod does not wait for that. */
	const struct spawn s = {
		.flags = how->net != NULL ? 0 : CLONE_VM | CLONE_VFORK,
		/* To move a process later takes a wait for all processors. */
		.group = how->group,
		.stack = stack,
		.size = sizeof(stack),
		.child = child_exec,
		.arg = &c
	};

	if (r == NULL)
		return (NULL);
	r->cb = cb;
	r->arg = arg;
	r->pid = spawn(&s);
	if (r->pid == -1) {
		free(r);
		return (NULL);
	}
	r->pidfd = pidfd_open(r->pid, 0);
	if (r->pidfd != -1)
		r->ev = event_new(base, r->pidfd, EV_READ, run_ended, r);
	if (r->ev == NULL || event_add(r->ev, NULL) == -1) {
		oci_run_drop(r);
		errno = ENOMEM;
		return (NULL);
	}
	return (r);
}

void
oci_run_kill(struct oci_run *r)
{
	kill(r->pid, SIGKILL);
	kill(-r->pid, SIGKILL);
}

void
oci_run_drop(struct oci_run *r)
{
	oci_run_kill(r);
	waitpid(r->pid, NULL, 0);
	if (r->ev != NULL)
		event_free(r->ev);
	close_fd(&r->pidfd);
	free(r);
}
