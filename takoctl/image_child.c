/*
 * image_child.c: the programs that an image is built with, and what the
 * operator sees of them. Runs in takoctl as root.
 */
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "util.h"

#define MAX_CAPTURE (4 << 20) /* bytes of a helper's output */
#define TAIL_LINES  12	      /* of a builder's, shown when it fails */

static int
on_tty(void)
{
	return (isatty(STDERR_FILENO));
}

void
image_say(const char *fmt, ...)
{
	va_list ap;

	fputs(on_tty() ? "\r\033[Kimage: " : "image: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/*
 * Forks and execs argv with its stdout, and its stderr too when both is set,
 * on a pipe whose reading end is returned in *out. The child does not outlive
 * this process, and its mounts are its own: none is left when it is killed.
 */
static pid_t
child_start(char *const argv[], int both, int *out)
{
	int p[2], null;
	pid_t pid, parent = getpid();

	if (pipe2(p, O_CLOEXEC) == -1)
		return (-1);
	if ((pid = fork()) == -1) {
		close_fd(&p[0]);
		close_fd(&p[1]);
		return (-1);
	}
	if (pid != 0) {
		close_fd(&p[1]);
		*out = p[0];
		return (pid);
	}
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 || getppid() != parent)
		_exit(127);
	if (geteuid() == 0 &&
	    (unshare(CLONE_NEWNS) == -1 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)) {
		perror("mount namespace");
		_exit(127);
	}
	if ((null = open("/dev/null", O_RDONLY)) == -1 || dup2(null, 0) == -1 ||
	    dup2(p[1], 1) == -1 || (both && dup2(p[1], 2) == -1))
		_exit(127);
	umask(022);
	setenv("LC_ALL", "C.UTF-8", 1);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int
child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return (-1);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

char *
image_capture(char *const argv[], size_t *len)
{
	char *buf;
	int fd;
	ssize_t n = 0;
	pid_t pid;

	if ((pid = child_start(argv, 0, &fd)) == -1)
		return (NULL);
	buf = xmalloc(MAX_CAPTURE + 1);
	for (*len = 0; *len < MAX_CAPTURE; *len += (size_t)n) {
		n = read(fd, buf + *len, MAX_CAPTURE - *len);
		if (n == -1 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			break;
	}
	close_fd(&fd);
	if (child_wait(pid) != 0 || *len == MAX_CAPTURE) {
		free(buf);
		return (NULL);
	}
	buf[*len] = '\0';
	return (buf);
}

static void
show_step(const char *line, time_t began)
{
	char clean[256];

	if (strncmp(line, "I: ", 3) != 0)
		return;
	strlcpy(clean, line + 3, sizeof(clean));
	clean[strcspn(clean, "\n")] = '\0';
	if (on_tty())
		fprintf(stderr, "\r\033[Kimage: %s (%llds)", clean,
		    (long long)(time(NULL) - began));
	else
		fprintf(stderr, "image: %s\n", clean);
}

int
image_show(char *const argv[])
{
	char *tail[TAIL_LINES] = { NULL }, *line = NULL;
	size_t cap = 0, n = 0, i;
	time_t began = time(NULL);
	FILE *f;
	int fd, status;
	pid_t pid;

	if ((pid = child_start(argv, 1, &fd)) == -1) {
		image_say("%s: %s", argv[0], strerror(errno));
		return (-1);
	}
	if ((f = fdopen(fd, "r")) == NULL) {
		close_fd(&fd);
		kill(pid, SIGTERM);
		child_wait(pid);
		return (-1);
	}
	while (getline(&line, &cap, f) != -1) {
		show_step(line, began);
		free(tail[n % TAIL_LINES]);
		tail[n++ % TAIL_LINES] = xstrdup(line);
	}
	fclose(f);
	free(line);
	if ((status = child_wait(pid)) != 0) {
		image_say(
		    "%s failed (status %d); it said last:", argv[0], status);
		for (i = n > TAIL_LINES ? n - TAIL_LINES : 0; i < n; i++)
			fprintf(stderr, "  %s", tail[i % TAIL_LINES]);
	}
	for (i = 0; i < TAIL_LINES; i++)
		free(tail[i]);
	return (status == 0 ? 0 : -1);
}
