/*
 * sandbox.c: the children's sandbox refuses what it must. Each attempt is a
 * forked child that enters the sandbox as tako-api or tako-worker does and
 * then tries one thing: refused means killed by SIGSYS, or an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "blob.h"
#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "util.h"

#define API	  PROMISES_API
#define WORKER	  PROMISES_WORKER
#define SOME_UID  1999999000
#define SIGNALLED 100 /* and the signal: an exit status */

static int artifact_fd = -1;
static char artifact_dir[64];
static pid_t tester; /* not a number of a child, which has its own */

/* What a forked child answered. */
enum verdict {
	DID,
	ERRNO,
	KILLED
};

struct attempt {
	unsigned promises;
	int (*try)(void);
};

static void __attribute__((noreturn)) within(const struct attempt *a)
{
	struct sandbox sb = { .promises = a->promises,
		.nofile = 64,
		.fsize = 1 << 20,
		.as = 0,
		.artifact_fd = artifact_fd,
		.refused = MSG_T_WORKER_REFUSED };

	log_set_level(LOG_LEVEL_CRITICAL);
	if (sandbox_drop_ids(SOME_UID, SOME_UID) == -1)
		_exit(9);
	sandbox_enter(&sb);
	_exit(a->try() == -1 ? 1 : 0);
}

/* It executes nothing: what has memory of its own is a child of it. */
static void
in_the_void(void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		within(arg);
	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		_exit(8);
	_exit(WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status)
				  : WEXITSTATUS(status));
}

static enum verdict
attempt(unsigned promises, int (*try)(void))
{
	struct attempt a = { promises, try };
	int status;
	pid_t pid;

	tester = getpid();
	pid = sandbox_spawn(SOME_UID, SOME_UID, 0, in_the_void, &a);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) >= SIGNALLED) {
		assert_int_equal(WEXITSTATUS(status), SIGNALLED + SIGSYS);
		return (KILLED);
	}
	assert_in_range(WEXITSTATUS(status), 0, 1);
	return (WEXITSTATUS(status) == 0 ? DID : ERRNO);
}

/* ---- what must be refused ------------------------------------------------ */

static int
try_open_read(void)
{
	return (open("/etc/passwd", O_RDONLY));
}
static int
try_open_proc(void)
{
	return (open("/proc/self/mem", O_RDWR));
}
static int
try_open_write(void)
{
	return (open("/tmp/takod-hostile", O_WRONLY | O_CREAT, 0600));
}
static int
try_socket(void)
{
	return (socket(AF_INET, SOCK_STREAM, 0));
}
static int
try_unix(void)
{
	return (socket(AF_UNIX, SOCK_STREAM, 0));
}
static int
try_connect(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr = { htonl(0x7f000001) } };

	return (connect(0, (struct sockaddr *)&sin, sizeof(sin)));
}
static int
try_exec(void)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/true", NULL };

	return (execve("/bin/true", argv, NULL));
}
static int
try_fork(void)
{
	return ((int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}
static int
try_clone3(void)
{
	return ((int)syscall(SYS_clone3, NULL, 0));
}
static int
try_kill(void)
{
	return (kill(tester, 0));
}
static int
try_ptrace(void)
{
	return ((int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
static int
try_mount(void)
{
	return (mount("x", "/", "tmpfs", 0, NULL));
}
static int
try_setuid(void)
{
	return (setuid(0));
}
static int
try_unshare(void)
{
	return ((int)syscall(SYS_unshare, 0x10000000));
}
static int
try_exec_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (p == MAP_FAILED ? -1 : 0);
}
static int
try_mprotect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int
try_prctl(void)
{
	return (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
static int
try_bpf(void)
{
	return ((int)syscall(SYS_bpf, 0, NULL, 0));
}
static int
try_io_uring(void)
{
	return ((int)syscall(SYS_io_uring_setup, 1, NULL));
}
static int
try_tioc(void)
{
	return ((int)syscall(SYS_ioctl, 0, 0x5412, "a"));
}
static int
try_dup(void)
{
	return (fcntl(0, F_SETOWN, getppid()));
}
static int
try_unlink(void)
{
	return (unlink("/etc/hostname"));
}
static int
try_chmod(void)
{
	return (chmod("/tmp", 0777));
}
static int
try_accept(void)
{
	return (accept4(0, NULL, NULL, 0) == -1 ? 0 : 0);
}
static int
try_memfd(void)
{
	return (memfd_new("x"));
}
static int
try_artifact(void)
{
	int fd = openat(artifact_fd, "0", O_WRONLY | O_CREAT | O_EXCL, 0600);

	return (fd == -1 || write(fd, "a", 1) != 1 || fsync(fd) == -1 ? -1 : 0);
}
static int
try_artifact_read(void)
{
	return (openat(artifact_fd, "secret", O_RDONLY));
}
static int
try_artifact_up(void)
{
	return (openat(artifact_fd, "../etc-passwd", O_WRONLY | O_CREAT, 0600));
}
static int
try_openat_cwd(void)
{
	return (openat(AT_FDCWD, "x", O_RDONLY));
}
static int
try_big_file(void)
{
	static char block[65536];
	int fd = memfd_new("big"), i;

	for (i = 0; i < 32; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return (-1);
	return (0);
}
static int
try_many_fds(void)
{
	int i;

	for (i = 0; i < 100; i++)
		if (fcntl(0, F_DUPFD_CLOEXEC, 0) == -1)
			return (-1);
	return (0);
}

static const struct {
	const char *name;
	int (*try)(void);
	int killed; /* by seccomp alone: the sanitizer build has none */
} refused[] = {
	{ "open for reading", try_open_read, 0 },
	{ "open /proc/self/mem", try_open_proc, 0 },
	{ "open for writing", try_open_write, 0 },
	{ "openat here", try_openat_cwd, 0 },
	{ "socket", try_socket, 1 },
	{ "unix socket", try_unix, 1 },
	{ "connect", try_connect, 1 },
	{ "exec", try_exec, 0 },
	{ "fork", try_fork, 0 },
	{ "clone3", try_clone3, 0 },
	{ "kill", try_kill, 0 },
	{ "ptrace", try_ptrace, 0 },
	{ "mount", try_mount, 0 },
	{ "setuid", try_setuid, 0 },
	{ "unshare", try_unshare, 1 },
	{ "memory to run", try_exec_memory, 1 },
	{ "mprotect to run", try_mprotect, 1 },
	{ "prctl", try_prctl, 1 },
	{ "bpf", try_bpf, 0 },
	{ "io_uring", try_io_uring, 0 },
	{ "TIOCSTI", try_tioc, 0 },
	{ "F_SETOWN", try_dup, 1 },
	{ "unlink", try_unlink, 0 },
	{ "chmod", try_chmod, 0 },
	{ "file above its limit", try_big_file, 0 },
	{ "descriptors above the limit", try_many_fds, 0 },
};

static void
refuses(void **state)
{
	static const unsigned who[] = { API, WORKER };
	size_t i, w;

	(void)state;
	for (w = 0; w < nitems(who); w++)
		for (i = 0; i < nitems(refused); i++) {
#ifdef SANDBOX_NULL
			if (refused[i].killed)
				continue;
#endif
			if (attempt(who[w], refused[i].try) == DID)
				fail_msg("%s was not refused to %s",
				    refused[i].name,
				    who[w] == API ? "tako-api" : "tako-worker");
		}
}

static void
each_has_its_own(void **state)
{
	(void)state;
	assert_int_equal(attempt(API, try_accept), DID);
	assert_int_equal(attempt(API, try_memfd), DID);
	assert_int_equal(attempt(WORKER, try_memfd), DID);
	assert_int_equal(attempt(WORKER, try_artifact), DID);
	assert_int_not_equal(attempt(API, try_artifact), DID);
	assert_int_not_equal(attempt(WORKER, try_artifact_read), DID);
	assert_int_not_equal(attempt(WORKER, try_artifact_up), DID);
#ifndef SANDBOX_NULL
	assert_int_equal(attempt(WORKER, try_accept), KILLED);
	assert_int_equal(attempt(PROMISE_STDIO, try_memfd), KILLED);
#endif
}

/* ---- Landlock, by ABI ---------------------------------------------------- */

static int
try_truncate(void)
{
	char path[sizeof(artifact_dir) + 16];

	snprintf(path, sizeof(path), "%s/made", artifact_dir);
	return (truncate(path, 0));
}
static int
try_bind(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return (bind(fd, (struct sockaddr *)&sin, sizeof(sin)));
}
static int abstract_fd = -1;
static int
try_abstract(void)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);

	if (getsockname(abstract_fd, (struct sockaddr *)&sun, &len) == -1)
		return (0);
	return (connect(
	    socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&sun, len));
}

/* From which ABI on Landlock by itself refuses what. */
static const struct {
	int from;
	int (*try)(void);
} walls[] = {
	{ 1, try_open_read },
	{ 1, try_open_write },
	{ 1, try_artifact_read },
	{ 3, try_truncate },
	{ 4, try_bind },
	{ 6, try_abstract },
	{ 6, try_kill },
};

/* The same user as the rest, so that it is Landlock that refuses. */
static int
landlock_refuses(int abi, int (*try)(void))
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		log_set_level(LOG_LEVEL_CRITICAL);
		landlock_most = abi;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    landlock_enter(artifact_fd, 0) != abi)
			_exit(9);
		_exit(try() == -1 && (errno == EACCES || errno == EPERM));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return (WEXITSTATUS(status));
}

static void
landlock_by_abi(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int abi, newest, fd;
	size_t i;

	(void)state;
	newest = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	if (newest > LANDLOCK_NEWEST)
		newest = LANDLOCK_NEWEST;
	abstract_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(
	    bind(abstract_fd, (struct sockaddr *)&sun, sizeof(sun.sun_family)),
	    0);
	assert_int_equal(listen(abstract_fd, 100), 0);
	fd = openat(artifact_fd, "made", O_WRONLY | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	for (abi = 0; abi <= newest; abi++) {
		for (i = 0; i < nitems(walls); i++)
			if (landlock_refuses(abi, walls[i].try) !=
			    (abi >= walls[i].from))
				fail_msg("wall %zu at ABI %d", i, abi);
		/* What the worker is there for goes at each. */
		if (landlock_refuses(abi, try_artifact))
			fail_msg("no artifact at ABI %d", abi);
		unlinkat(artifact_fd, "0", 0);
	}
	unlinkat(artifact_fd, "made", 0);
	close(abstract_fd);
	/* With none of it the filter still stands. */
	landlock_most = 0;
	assert_int_not_equal(attempt(API, try_kill), DID);
	assert_int_not_equal(attempt(WORKER, try_unlink), DID);
#ifndef SANDBOX_NULL
	assert_int_not_equal(attempt(WORKER, try_open_read), DID);
	assert_int_equal(attempt(API, try_socket), KILLED);
#endif
	landlock_most = LANDLOCK_NEWEST;
}

static int
make_artifact_dir(void **state)
{
	int fd;

	(void)state;
	strlcpy(
	    artifact_dir, "/tmp/takod-sandbox-XXXXXX", sizeof(artifact_dir));
	if (mkdtemp(artifact_dir) == NULL)
		return (-1);
	artifact_fd = open(artifact_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(artifact_fd, "secret", O_WRONLY | O_CREAT, 0644);
	close(fd);
	return (artifact_fd == -1 ||
			fchown(artifact_fd, SOME_UID, SOME_UID) == -1 ||
			fchmod(artifact_fd, 0300) == -1
		    ? -1
		    : 0);
}

static int
remove_dir(void **state)
{
	(void)state;
	unlinkat(artifact_fd, "secret", 0);
	unlinkat(artifact_fd, "0", 0);
	close(artifact_fd);
	return (rmdir(artifact_dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(refuses),
		cmocka_unit_test(each_has_its_own),
		cmocka_unit_test(landlock_by_abi) };

	return (cmocka_run_group_tests(tests, make_artifact_dir, remove_dir));
}
