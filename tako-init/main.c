/*
 * main.c: PID 1 of a container, from its start to its end. It runs with the
 * job's ids and the limits that the engine set, in an environment that the
 * engine made; its stdin and stdout are the stream to the worker (stream.h).
 *
 *	BOOT	the interpreter is started on a FIFO and comes to wait there
 *	READY	code and input arrive and are written to their files
 *	RUN	the code is fed into the FIFO; output goes out as it comes
 *	then	everything else is killed and reaped, /output is collected
 *
 * Nothing of the job runs before GO. From then on other processes of the same
 * uid are hostile: this one cannot be traced (not dumpable), takes no signal
 * (all are blocked, and the kernel keeps SIGKILL of its own namespace from
 * PID 1), and waits for nothing that they could withhold.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "tako.h"
#include "tako-init.h"

#define DIR_CODE   "/code"
#define PATH_CODE  "/code/main.py"
#define PATH_NEW   "/code/main.py.new"
#define DIR_INPUT  "/input"
#define PATH_INPUT "/input/data.json"
#define DIR_WORK   "/app"

#define POLL_FIRST_MS 6	 /* python is not up before */
#define POLL_KILL_MS  10 /* between attempts to kill what still forks */

static enum {
	BOOT,
	READY,
	RUN
} state;
static const char *modules; /* to be imported ahead; NULL: none */
static struct stream_limits limits;
static int have_limits;
static int signals_fd;
static pid_t python;
static int python_ended, python_status;
static int pipes[2] = { -1, -1 }; /* python's stdout and stderr */
static int fifo = -1;		  /* our end: python is at the other */
static int code_fd = -1, input_fd = -1;
static off_t fed;
static int64_t booted_us, began_us, ended_us;

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
fail(const char *what)
{
	wire_fail(what, strerror(errno));
}

/* ---- the interpreter ---------------------------------------------------- */

/* INT_MAX is the last there can be; gVisor refuses a number above it. */
static void
close_from(int fd)
{
	if (syscall(SYS_close_range, fd, INT_MAX, 0) == 0)
		return;
	for (; fd < 1024; fd++)
		close(fd);
}

/*
 * In the child: becomes python3, with nothing of ours but the two pipes. It
 * has the parent's memory until then.
 */
static void
python_exec(int out, int err)
{
	char name[] = "python3", flag[] = "-u", path[] = PATH_CODE;
	char *argv[] = { name, flag, path, NULL };
	sigset_t none;
	int null;

	if ((null = open("/dev/null", O_RDONLY)) == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(127);
	close_from(STDERR_FILENO + 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	umask(022);
	if (chdir(DIR_WORK) == 0)
		execvp(name, argv);
	dprintf(STDERR_FILENO, "%s: %s", name, strerror(errno));
	_exit(127);
}

static void
python_start(void)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) == -1 || pipe2(err, O_CLOEXEC) == -1)
		fail("pipe: ");
	/* Not fork: a copy of this memory costs gVisor a process of its own. */
	if ((python = vfork()) == -1)
		fail("vfork: ");
	if (python == 0)
		python_exec(out[1], err[1]);
	close(out[1]);
	close(err[1]);
	/* Only our ends: python's own are plain blocking pipes. */
	if (fcntl(out[0], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(err[0], F_SETFL, O_NONBLOCK) == -1)
		fail("fcntl: ");
	pipes[0] = out[0];
	pipes[1] = err[0];
}

/* It ended before it had any code: what it said is the reason. */
static void
python_failed(void)
{
	char text[512];
	ssize_t n = -1;

	if (pipes[1] != -1)
		n = read(pipes[1], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	wire_fail(modules != NULL && state == BOOT
		      ? "python3 ended while it imported its preload: "
		      : "python3 ended before it had any code: ",
	    text);
}

static void
reap(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != python)
			continue;
		python_ended = 1;
		python_status = status;
		ended_us = now_us();
	}
}

/* Python opens its script when it is up; then the FIFO can be opened here. */
static void
fifo_try(void)
{
	fifo = open(PATH_CODE, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fifo == -1 && errno != ENXIO && errno != EINTR)
		fail(PATH_CODE ": ");
}

/* An eighth of what it has taken is soon enough, and costs gVisor little. */
static int
fifo_wait(void)
{
	int64_t ms = (now_us() - booted_us) / 8000;

	return (ms < 1 ? POLL_FIRST_MS : (int)ms + 1);
}

static void
ready_check(void)
{
	uint32_t failed;

	if (fifo == -1)
		fifo_try();
	if (fifo == -1 || !have_limits)
		return;
	if (modules != NULL && (failed = preload_end(modules)) != 0)
		wire_send(STREAM_PRELOAD, &failed, sizeof(failed), NULL, 0);
	state = READY;
	wire_send(STREAM_READY, NULL, 0, NULL, 0);
	wire_tag(limits.key);
}

/* ---- code and input ----------------------------------------------------- */

static int
file_new(const char *path)
{
	int fd;

	fd = open(
	    path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		fail("code or input: ");
	return (fd);
}

static void
file_add(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		if ((n = write(fd, data, len)) == -1) {
			if (errno == EINTR)
				continue;
			fail("code or input: ");
		}
		data += n;
		len -= (size_t)n;
	}
}

/* Does a line, a comment, name an encoding that is not plainly utf-8? */
static int
line_names_encoding(const char *p)
{
	size_t n;

	p += strspn(p, " \t\f");
	if (*p != '#')
		return (0);
	while ((p = strstr(p, "coding")) != NULL) {
		p += strlen("coding");
		if (*p != ':' && *p != '=')
			continue;
		p++;
		p += strspn(p, " \t");
		n = strspn(p, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
		if (n > 0 && (n != 5 || strncasecmp(p, "utf-8", n) != 0))
			return (1);
	}
	return (0);
}

/*
 * The tokenizer seeks in its file when the source names an encoding other
 * than utf-8, which a FIFO cannot. Says whether one of the first two lines
 * may do so; a needless yes costs a start of the interpreter, no more.
 */
static int
names_encoding(void)
{
	char head[1024], *p, *end;
	ssize_t n;
	int i;

	if ((n = pread(code_fd, head, sizeof(head) - 1, 0)) <= 0)
		return (0);
	head[n] = '\0';
	p = strncmp(head, "\xef\xbb\xbf", 3) == 0 ? head + 3 : head;
	for (i = 0; i < 2; i++) {
		end = p + strcspn(p, "\r\n");
		if (*end == '\0')
			/* A line longer than that may say anything. */
			return (
			    n == sizeof(head) - 1 || line_names_encoding(p));
		if (*end == '\r' && end[1] == '\n')
			*end++ = '\0';
		*end = '\0';
		if (line_names_encoding(p))
			return (1);
		p = end + 1;
	}
	return (0);
}

/* Puts the files in place and hands the code to the waiting interpreter. */
static void
go(void)
{
	int plain;

	if (code_fd == -1)
		code_fd = file_new(PATH_NEW);
	if (input_fd == -1)
		input_fd = file_new(PATH_INPUT);
	plain = names_encoding();
	if (fchmod(code_fd, 0444) == -1 || fchmod(input_fd, 0444) == -1 ||
	    rename(PATH_NEW, PATH_CODE) == -1 || chmod(DIR_CODE, 0555) == -1 ||
	    chmod(DIR_INPUT, 0555) == -1)
		fail("code or input: ");
	close_fd(&input_fd);
	if (plain) {
		/* Another interpreter, which finds a file from the start. */
		kill(python, SIGKILL);
		while (waitpid(python, NULL, 0) == -1 && errno == EINTR)
			;
		close_fd(&fifo);
		close_fd(&code_fd);
		close_fd(&pipes[0]);
		close_fd(&pipes[1]);
		python_start();
	}
	state = RUN;
	began_us = now_us();
	wire_send(STREAM_STARTED, NULL, 0, NULL, 0);
}

/* Feeds the FIFO as far as it takes. Python reads all before it runs any. */
static void
feed(void)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = pread(code_fd, buf, sizeof(buf), fed)) > 0) {
		n = write(fifo, buf, (size_t)n);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			break; /* it is gone, or closed its script */
		fed += n;
	}
	close_fd(&fifo);
	close_fd(&code_fd);
}

static void
frame(unsigned type, const uint8_t *data, size_t len)
{
	if (type == STREAM_LIMITS && state == BOOT && !have_limits &&
	    len == sizeof(limits)) {
		memcpy(&limits, data, sizeof(limits));
		have_limits = 1;
	} else if (type == STREAM_CODE && state == READY) {
		if (code_fd == -1)
			code_fd = file_new(PATH_NEW);
		file_add(code_fd, data, len);
	} else if (type == STREAM_INPUT && state == READY) {
		if (input_fd == -1)
			input_fd = file_new(PATH_INPUT);
		file_add(input_fd, data, len);
	} else if (type == STREAM_GO && state == READY)
		go();
	else
		wire_fail("frame out of order", NULL);
}

/* ---- while it runs ------------------------------------------------------ */

/* One read of each stream, in turn, so that neither starves the other. */
static void
pump(int i)
{
	long n;

	n = wire_send_from(
	    i == 0 ? STREAM_STDOUT : STREAM_STDERR, pipes[i], STREAM_MAX);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != ENOBUFS))
		close_fd(&pipes[i]); /* the job closed it everywhere */
}

static void
signals_drain(void)
{
	struct signalfd_siginfo si;

	while (read(signals_fd, &si, sizeof(si)) > 0)
		;
}

static void
turn(void)
{
	enum {
		IN,
		OUT,
		SIGNAL,
		FIFO,
		PIPE0,
		PIPE1,
		N
	};
	struct pollfd p[N];
	int i, room;

	for (i = 0; i < N; i++)
		p[i] = (struct pollfd){ -1, POLLIN, 0 };
	p[IN].fd = WIRE_IN;
	if (!wire_flush()) {
		p[OUT].fd = WIRE_OUT;
		p[OUT].events = POLLOUT;
	}
	p[SIGNAL].fd = signals_fd;
	room = wire_room();
	if (state == RUN) {
		p[FIFO].fd = fifo;
		p[FIFO].events = POLLOUT;
		for (i = 0; i < 2 && room; i++)
			p[PIPE0 + i].fd = pipes[i];
	}
	if (poll(p, N, state == BOOT && fifo == -1 ? fifo_wait() : -1) == -1)
		return;
	if (p[SIGNAL].revents) {
		signals_drain();
		reap();
		if (python_ended)
			return;
	}
	if (p[IN].revents)
		wire_read(frame);
	if (state == BOOT)
		ready_check();
	if (state == RUN && fifo != -1)
		feed();
	for (i = 0; i < 2; i++)
		if (p[PIPE0 + i].revents && pipes[i] != -1)
			pump(i);
}

/* ---- the end ------------------------------------------------------------ */

/*
 * Nothing else is left in the container afterwards. What is killed while it
 * forks cannot escape: the signal is seen before the fork is done, or the
 * child is met by the next turn.
 */
static void
kill_all(void)
{
	struct pollfd p = { signals_fd, POLLIN, 0 };

	for (;;) {
		kill(-1, SIGKILL);
		do
			errno = 0;
		while (waitpid(-1, NULL, WNOHANG) > 0);
		if (errno == ECHILD)
			return;
		poll(&p, 1, POLL_KILL_MS);
		signals_drain();
	}
}

/* What the dead left in the pipes; nobody can add to it any more. */
static void
drain(int i)
{
	while (pipes[i] != -1) {
		wire_wait_room();
		if (wire_send_from(i == 0 ? STREAM_STDOUT : STREAM_STDERR,
			pipes[i], STREAM_MAX) <= 0)
			close_fd(&pipes[i]);
	}
}

static void
finish(void)
{
	struct stream_exit ex;

	kill_all();
	close_fd(&fifo);
	close_fd(&code_fd);
	drain(0);
	drain(1);
	memset(&ex, 0, sizeof(ex));
	if (WIFSIGNALED(python_status)) {
		ex.end = END_SIGNALED;
		ex.code = (uint32_t)WTERMSIG(python_status);
	} else {
		ex.end = END_EXITED;
		ex.code = (uint32_t)WEXITSTATUS(python_status);
	}
	ex.execution_us = (uint64_t)(ended_us - began_us);
	wire_send(STREAM_EXIT, &ex, sizeof(ex), NULL, 0);
	wire_flush();
	collect(&limits);
	wire_send(STREAM_DONE, NULL, 0, NULL, 0);
	wire_wait_empty();
	/* With this process goes the container, and what was counted of it. */
	wire_wait_gone();
	_exit(0);
}

/*
 * The first process of a container that only has a network namespace, for
 * another one to share. There is no job here, and no stream: who connects the
 * namespace has to be able to look into this process.
 */
static void
hold(void)
{
	for (;;)
		pause();
}

/* The soft limit of open files, where the engine could not set it. */
static void
limit_files(const char *soft)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		_exit(1);
	r.rlim_cur = strtoul(soft, NULL, 10);
	if (setrlimit(RLIMIT_NOFILE, &r) == -1)
		_exit(1);
}

/* The job's filter of system calls, which is ours too from here on. */
static void
filter_enter(int fd)
{
	static struct sock_filter code[BPF_MAXINSNS];
	struct sock_fprog program = { 0, code };
	ssize_t n = pread(fd, code, sizeof(code), 0);

	if (n <= 0)
		_exit(1);
	program.len = (unsigned short)((size_t)n / sizeof(code[0]));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		_exit(1);
}

/*
 * No signal stays ignored, for us and what we start. gVisor's first process
 * ignores none and does not say so; to set all 64 there takes 2 ms.
 */
static void
signals_default(void)
{
	static const char name[] = "\nSigIgn:\t";
	/* The kernel's call: libc refuses 32 and 33. */
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} by_default = { NULL, 0, NULL, 0 };
	char text[4096], *p;
	uint64_t ignored;
	ssize_t n;
	int fd, sig;

	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (fd == -1 || (n = read(fd, text, sizeof(text) - 1)) == -1)
		fail("/proc/self/status: ");
	close(fd);
	text[n] = '\0';
	if ((p = strstr(text, name)) == NULL)
		return;
	ignored = strtoull(p + sizeof(name) - 1, NULL, 16);
	for (sig = 1; sig < NSIG; sig++)
		if (ignored >> (sig - 1) & 1)
			syscall(SYS_rt_sigaction, sig, &by_default, NULL,
			    sizeof(by_default.mask));
}

int
main(int argc, char *argv[])
{
	struct {
		uint32_t version, pid;
	} hello = { STREAM_VERSION, (uint32_t)getpid() };
	sigset_t all;
	int c, null;

	if (argc == 2 && strcmp(argv[1], "-w") == 0)
		hold();
	/* Before anything: nobody shall look into this process or trace it. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		_exit(1);
	while ((c = getopt(argc, argv, "f:n:p:")) != -1)
		if (c == 'f')
			filter_enter(atoi(optarg));
		else if (c == 'n')
			limit_files(optarg);
		else if (c == 'p')
			modules = optarg;
		else
			_exit(1);
	/*
	 * What the engine gave as stderr goes: gVisor lets a job open the
	 * descriptors of this process anew, if they are no sockets.
	 */
	close_from(STDERR_FILENO);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null != STDERR_FILENO)
		_exit(1);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	umask(077);
	wire_init();
	wire_send(STREAM_HELLO, &hello, sizeof(hello), NULL, 0);
	signals_default();
	signals_fd = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals_fd == -1)
		fail("signalfd: ");
	if (mkfifo(PATH_CODE, 0600) == -1)
		fail(PATH_CODE ": ");
	if (modules != NULL)
		preload_begin(modules);
	booted_us = now_us();
	python_start();
	while (!python_ended)
		turn();
	if (state != RUN)
		python_failed();
	finish();
}
