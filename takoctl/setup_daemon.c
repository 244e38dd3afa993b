/*
 * setup_daemon.c: a takod that lives for one trial: the program and the
 * configuration of the real one, but for where it keeps its things and where
 * it listens. Runs in tako-vm setup, as root.
 */
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "scratch.h"
#include "setup.h"
#include "takod/data_dir.h"
#include "util.h"

#define START_S 60
#define STOP_S	40 /* takod itself gives up sooner */
#define TRIES	3  /* another may take the port that was free */
#define LOOK_MS 50
#define MAX_LOG (1 << 20)
#define DRAIN_S 5

struct setup_daemon {
	char *folder, url[64];
	pid_t pid;
	int pidfd;
};

/* ---- its configuration -------------------------------------------------- */

/* A port that was free a moment ago; 0: none. */
static int
free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		sin.sin_port = 0;
	close_fd(&fd);
	return (ntohs(sin.sin_port));
}

/*
 * What the real takod has for itself is left out: its database, its users of
 * the API, its sockets; and paths that go by the file's own folder.
 */
static int
write_configuration(struct setup_daemon *s, const struct conf *conf,
    const struct engine_ops *ops, int port)
{
	static char loopback[] = "127.0.0.1";
	char *path = xasprintf("%s/takod.yaml", s->folder);
	char *url = xasprintf("sqlite:///%s/takod.db", s->folder);
	char *rootfs = xasprintf("%s/images/current/rootfs", conf->data_dir);
	struct conf c = *conf;
	FILE *f;
	size_t i;
	int ret = -1;

	c.data_dir = s->folder;
	c.database_url = url;
	c.server_host = loopback;
	c.server_port = port;
	c.server_listen.n = c.api_key_files.n = 0;
	c.tls_certificate_file = c.tls_key_file = NULL;
	c.api_auth_enabled = 0;
	c.n_api_keys = 0;
	c.control_socket = c.control_group = NULL;
	c.drain_timeout = DRAIN_S;
	c.engine = ops == &engine_docker ? CONF_ENGINE_DOCKER : CONF_ENGINE_OCI;
	if (c.rootfs == NULL && ops == &engine_oci)
		c.rootfs = rootfs;
	c.job_types = xcalloc(conf->n_job_types + 1, sizeof(*c.job_types));
	for (i = 0; i < conf->n_job_types; i++) {
		c.job_types[i] = conf->job_types[i];
		c.job_types[i].shared_code.n = 0;
	}
	if ((f = fopen(path, "we")) != NULL) {
		ret = conf_print(f, &c, 0);
		if (fclose(f) != 0)
			ret = -1;
	}
	free(c.job_types);
	free(rootfs);
	free(url);
	free(path);
	return (ret);
}

/* A layer that is whole is one for every takod with that image. */
static int
share_layers(const struct setup_daemon *s, const struct conf *conf)
{
	char *layers = xasprintf("%s/layers", conf->data_dir);
	char *link = xasprintf("%s/layers", s->folder);
	int ret = -1;

	if (data_dir_make(conf->data_dir) == 0 &&
	    make_dir(AT_FDCWD, layers, 0711) == 0 && symlink(layers, link) == 0)
		ret = 0;
	free(link);
	free(layers);
	return (ret);
}

/* ---- its process -------------------------------------------------------- */

static void __attribute__((noreturn))
run_takod(const struct setup_daemon *s, pid_t parent)
{
	char program[PATH_MAX], *log = xasprintf("%s/log", s->folder);
	char name[] = "takod", flag[] = "-c";
	char *file = xasprintf("%s/takod.yaml", s->folder);
	char *const argv[] = { name, flag, file, NULL };
	static char path[] =
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	/* No variable of the caller's may overrule the file. */
	char *const environment[] = { path, NULL };
	int in = open("/dev/null", O_RDONLY);
	int out = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	/* A terminal's ^C is for setup, which then stops it in order. */
	setsid();
	signal(SIGPIPE, SIG_DFL);
	if (in == -1 || out == -1 || dup2(in, 0) == -1 || dup2(out, 1) == -1 ||
	    dup2(out, 2) == -1 || prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 ||
	    getppid() != parent)
		_exit(126);
	if (program_path(program, sizeof(program), "takod") == 0)
		execve(program, argv, environment);
	_exit(127);
}

/* Its last words, without the time and who says them. */
static void
last_words(const struct setup_daemon *s, char *buf, size_t len)
{
	char *path = xasprintf("%s/log", s->folder), *text, *p;
	size_t n;

	strlcpy(buf, "it said nothing", len);
	if ((text = read_file(AT_FDCWD, path, MAX_LOG, &n)) != NULL) {
		while (n > 0 && text[n - 1] == '\n')
			text[--n] = '\0';
		p = strrchr(text, '\n') != NULL ? strrchr(text, '\n') + 1
						: text;
		if (strstr(p, "]: ") != NULL)
			p = strstr(p, "]: ") + 3;
		if (*p != '\0')
			strlcpy(buf, p, len);
	}
	free(text);
	free(path);
}

static int
ended_within(const struct setup_daemon *s, int ms)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };

	return (poll(&p, 1, ms) == 1);
}

/* Until GET /health is 200. */
static int
wait_ready(struct setup_daemon *s, char *detail, size_t len)
{
	int64_t until = time_mono_us() + START_S * INT64_C(1000000);
	char *url = xasprintf("%s/health", s->url);
	struct http_request r = {
		.url = url, .seconds = 5, .stop = &setup_ended
	};
	struct http_answer *a = xcalloc(1, sizeof(*a));
	int ret = -1;

	snprintf(detail, len, "takod does not serve within %d s", START_S);
	while (ret == -1 && !setup_ended && time_mono_us() < until) {
		if (ended_within(s, LOOK_MS)) {
			snprintf(detail, len, "takod does not start: ");
			last_words(
			    s, detail + strlen(detail), len - strlen(detail));
			break;
		}
		http_call(&r, a);
		if (a->status == 200)
			ret = 0;
	}
	free(a);
	free(url);
	return (ret);
}

static int
daemon_run(struct setup_daemon *s, char *detail, size_t len)
{
	pid_t parent = getpid();

	if ((s->pid = fork()) == 0)
		run_takod(s, parent);
	if (s->pid == -1 || (s->pidfd = pidfd_open(s->pid, 0)) == -1) {
		snprintf(detail, len, "takod: %s", strerror(errno));
		return (-1);
	}
	return (wait_ready(s, detail, len));
}

/* 0; 1: the port was taken meanwhile; -1: it cannot be. */
static int
daemon_try(struct setup_daemon *s, const struct conf *conf,
    const struct engine_ops *ops, int layers, char *detail, size_t len)
{
	int port = free_port();

	s->pid = s->pidfd = -1;
	if (port == 0 || (s->folder = scratch_make("tako-setup")) == NULL) {
		snprintf(detail, len, "a port and a folder for a trial: %s",
		    strerror(errno));
		return (-1);
	}
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", port);
	if (write_configuration(s, conf, ops, port) == -1) {
		snprintf(detail, len, "%s: %s", s->folder, strerror(errno));
		return (-1);
	}
	if (layers && share_layers(s, conf) == -1) {
		snprintf(detail, len, "data_dir: %s: %s", conf->data_dir,
		    strerror(errno));
		return (-1);
	}
	if (daemon_run(s, detail, len) == 0)
		return (0);
	return (strstr(detail, strerror(EADDRINUSE)) != NULL ? 1 : -1);
}

struct setup_daemon *
setup_daemon_start(const struct conf *conf, const struct engine_ops *ops,
    int layers, const char **url, char *detail, size_t len)
{
	struct setup_daemon *s;
	char left[256];
	int i, ret = 1;

	for (i = 0; i < TRIES && ret == 1; i++) {
		s = xcalloc(1, sizeof(*s));
		if ((ret = daemon_try(s, conf, ops, layers, detail, len)) ==
		    0) {
			*url = s->url;
			return (s);
		}
		(void)setup_daemon_stop(s, left, sizeof(left));
	}
	return (NULL);
}

void
setup_daemon_path(const struct setup_daemon *s, char *path, size_t len)
{
	snprintf(path, len, "%s/takod.sock", s->folder);
}

int
setup_daemon_stop(struct setup_daemon *s, char *detail, size_t len)
{
	int ret = 0;

	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		if (s->pidfd != -1 && !ended_within(s, STOP_S * 1000)) {
			snprintf(detail, len,
			    "takod had to be killed: its containers may be "
			    "left");
			kill(s->pid, SIGKILL);
			ret = -1;
		}
		waitpid(s->pid, NULL, 0);
	}
	close_fd(&s->pidfd);
	if (s->folder != NULL && scratch_remove(s->folder) == -1) {
		snprintf(detail, len, "its folder cannot be removed: %s",
		    strerror(errno));
		ret = -1;
	}
	free(s);
	return (ret);
}
