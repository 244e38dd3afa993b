/*
 * engine_oci.c: containers by running an OCI runtime's program, no daemon
 * between. Runs in takod, as root.
 *
 * A container is a folder /run/takod/<instance>/<name> (config.json, the
 * runtime's state, its log) and a control group /takod-<instance>/<name> in
 * every hierarchy, and nothing else on the host: its mounts are in namespaces
 * that end with it. No container outlives the host's memory, so its folder is
 * there too: on a disk, a tenth of what takod does for a job was for ext4 to
 * find numbers of files that were not removed a moment ago. Where cgroup v2 is
 * mounted the runtime's own processes are in a group beside it, <name>.run: so
 * those too can be found after takod was killed, and killed at one stroke. So
 * removing one is the same whatever the runtime and however far it came: kill
 * all in the group until it is empty, remove the group, remove the folder. The
 * runtime's own "delete" is not needed for it (runsc's takes over a second).
 *
 * The runtime's "run --detach" ends once tako-init was started. The stream is
 * a socketpair that is the container's stdin and stdout. Its stderr is
 * /dev/null: tako-init says all by frames.
 */
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_arm.h"
#include "log.h"
#include "oci_bundle.h"
#include "oci_engine.h"
#include "proof.h"
#include "python.h"
#include "seccomp_job.h"
#include "util.h"

#define PAUSE_FIRST_US 1000
#define PAUSE_MOST_US  100000
#define PAUSE_STUCK_US 1000000
#define MAX_ARGV       96
#define RUN_GROUP      ".run"
/* in a bundle: where its namespaces are bound, and what a network needs */
#define FILE_USERNS "userns"
#define FILE_NETNS  "netns"
#define FILE_HOSTS  "hosts"
#define FILE_RESOLV "resolv.conf"

static void container_step(evutil_socket_t, short, void *);

/* ---- the pieces that a container is made of ------------------------------ */

int
oci_program(const struct engine *e, enum runtime runtime, char *path,
    char *detail, size_t len)
{
	static const char search[] =
	    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	const char *name = runtime == RUNTIME_RUNSC  ? e->conf->runsc_path
			   : runtime == RUNTIME_CRUN ? "crun"
						     : e->conf->runc_path;
	char dirs[sizeof(search)], *p = dirs, *dir;

	if (name == NULL)
		name = runtime_name(runtime);
	if (strchr(name, '/') != NULL) {
		strlcpy(path, name, PATH_MAX);
		if (access(path, X_OK) == 0)
			return (0);
	} else {
		strlcpy(dirs, search, sizeof(dirs));
		while ((dir = strsep(&p, ":")) != NULL) {
			snprintf(path, PATH_MAX, "%s/%s", dir, name);
			if (access(path, X_OK) == 0)
				return (0);
		}
	}
	snprintf(detail, len, "%s is not installed (looked for %s)",
	    runtime_name(runtime), name);
	return (-1);
}

/* The error lists what is there, and how to make more. */
static void
no_python(const struct conf *conf, const char *python, char *detail, size_t len)
{
	char there[64] = "", path[PATH_MAX];
	const char *version;
	size_t i;

	for (i = 0; (version = python_version(i)) != NULL; i++) {
		snprintf(path, sizeof(path), "%s/images/%s%s/rootfs",
		    conf->data_dir,
		    strcmp(version, PYTHON_DEFAULT) == 0 ? "current" : "python",
		    strcmp(version, PYTHON_DEFAULT) == 0 ? "" : version);
		if (access(path, F_OK) == -1 &&
		    (conf->rootfs == NULL ||
			strcmp(version, PYTHON_DEFAULT) != 0))
			continue;
		strlcat(there, there[0] != '\0' ? ", " : "", sizeof(there));
		strlcat(there, version, sizeof(there));
	}
	snprintf(detail, len,
	    "no image has python_version %s; there are: %s; make others "
	    "(" PYTHON_MADE ") with: takoctl image build --python X.Y",
	    python, there[0] != '\0' ? there : "none");
}

enum engine_error
oci_rootfs(const struct engine *e, const struct container_spec *spec,
    char path[PATH_MAX], char *detail, size_t len)
{
	const struct conf *conf = e->conf;
	const char *image = spec != NULL ? spec->image : NULL;
	const char *python = NULL;
	char link[PATH_MAX];

	if (image != NULL && image[0] == '/')
		strlcpy(link, image, sizeof(link));
	else if (image != NULL &&
		 (python = python_of_image(conf, image)) != NULL)
		snprintf(link, sizeof(link), "%s/images/python%s/rootfs",
		    conf->data_dir, python);
	else if (image != NULL && (conf->docker_image == NULL ||
				      strcmp(image, conf->docker_image) != 0)) {
		snprintf(detail, len,
		    "base_image %s: the OCI engine takes the path of a root "
		    "file system; images by name need engine: docker",
		    image);
		return (ENGINE_CONFIG);
	} else if (conf->rootfs != NULL)
		strlcpy(link, conf->rootfs, sizeof(link));
	else
		snprintf(link, sizeof(link), "%s/images/current/rootfs",
		    conf->data_dir);
	/* runc takes no root that is a link. */
	if (realpath(link, path) == NULL && python != NULL) {
		no_python(conf, python, detail, len);
		return (ENGINE_NO_IMAGE);
	}
	if (realpath(link, path) == NULL) {
		snprintf(detail, len,
		    "no executor image (%s: %s); make it with: takoctl image "
		    "build",
		    link, strerror(errno));
		return (ENGINE_NO_IMAGE);
	}
	if (oci_rootfs_check(path,
		spec != NULL && spec->network.kind != NETWORK_NONE, detail,
		len) == -1 ||
	    oci_python_check(path, spec != NULL ? spec->environment : NULL,
		detail, len) == -1)
		return (ENGINE_CONFIG);
	return (ENGINE_OK);
}

static int
bundle_path(const struct container *c, char *buf, size_t len, const char *file)
{
	if ((size_t)snprintf(buf, len, "%s/%s%s", c->e->dir, c->name, file) >=
	    len) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	return (0);
}

static int
bundle_open(const struct container *c)
{
	char path[PATH_MAX];

	if (bundle_path(c, path, sizeof(path), "") == -1)
		return (-1);
	return (open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* The bundle's folder with all that is in it. -1 with errno. */
static int
bundle_make(struct container *c, const struct oci_bundle *b)
{
	char path[PATH_MAX];
	int dir, r;

	if (bundle_path(c, path, sizeof(path), "") == -1 ||
	    mkdir(path, 0700) == -1)
		return (-1);
	if ((dir = bundle_open(c)) == -1)
		return (-1);
	r = oci_bundle_write(dir, b);
	if (r == 0 && b->userns != NULL)
		r = write_file(dir, FILE_USERNS, O_CREAT | O_EXCL, 0600, "");
	close_fd(&dir);
	return (r);
}

/* What a network needs in it besides. */
static int
bundle_network(const struct container *c)
{
	int dir = bundle_open(c), r;

	if (dir == -1)
		return (-1);
	r = write_file(dir, FILE_NETNS, O_CREAT | O_EXCL, 0600, "");
	if (r == 0)
		r = write_file(dir, FILE_HOSTS, O_CREAT | O_EXCL, 0444,
		    network_slot_hosts(c->net));
	if (r == 0)
		r = write_file(dir, FILE_RESOLV, O_CREAT | O_EXCL, 0444,
		    network_slot_resolv(c->net));
	close_fd(&dir);
	return (r);
}

/* ---- one container's life ------------------------------------------------ */

static struct container *
container_new(struct engine *e, const char *name)
{
	struct container *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal(NULL);
	c->e = e;
	c->fd = c->pidfd = -1;
	strlcpy(c->name, name, sizeof(c->name));
	snprintf(c->cgroup, sizeof(c->cgroup), "%s/%s", e->group, c->name);
	snprintf(c->run_group, sizeof(c->run_group), "%s" RUN_GROUP, c->cgroup);
	if ((c->timer = evtimer_new(e->base, container_step, c)) == NULL)
		fatal(NULL);
	TAILQ_INSERT_TAIL(&e->containers, c, entry);
	return (c);
}

static void
container_free(struct container *c)
{
	TAILQ_REMOVE(&c->e->containers, c, entry);
	event_free(c->timer);
	if (c->exit_ev != NULL)
		event_free(c->exit_ev);
	close_fd(&c->pidfd);
	close_fd(&c->fd);
	network_ask_drop(c->ask);
	network_slot_end(c->net);
	free(c->start);
	free(c);
}

static void
container_wake(struct container *c, int64_t us)
{
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	event_arm(c->timer, &tv);
}

/* How many processes were still there. */
static unsigned
container_kill(struct container *c)
{
	if (c->pidfd != -1)
		(void)pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	return (cgroup_kill(c->e->cg, c->cgroup) +
		cgroup_kill(c->e->cg, c->run_group));
}

/*
 * From here on there is one way only: all of it goes, then unmade is called.
 * Never from within this call.
 */
static void
container_unmake(struct container *c,
    void (*unmade)(struct container *, enum engine_error, const char *))
{
	int alive = c->state == OCI_RUNNING;

	c->state = OCI_UNMAKING;
	c->unmade = unmade;
	c->since = time_mono_us();
	c->pause = PAUSE_FIRST_US;
	close_fd(&c->fd);
	network_ask_drop(c->ask);
	c->ask = NULL;
	network_slot_quiet(c->net);
	/*
	 * Its first process takes the others along, and is seen to end: there
	 * is no need to look for them, unless its groups are not empty then.
	 */
	if (alive && c->pidfd != -1 &&
	    pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0) == 0) {
		container_wake(c, PAUSE_MOST_US);
		return;
	}
	if (c->exit_ev != NULL)
		event_del(c->exit_ev);
	container_kill(c);
	container_wake(c, 0);
}

static void unmade_removed(
    struct container *, enum engine_error, const char *detail);

/* 0 when nothing is left; -1 with what still is. */
static int
container_clear(struct container *c, const char **what)
{
	int dir, r;

	*what = "the runtime still runs";
	if (c->run != NULL) {
		oci_run_kill(c->run);
		return (-1);
	}
	/* A group that can be removed was empty. */
	if (cgroup_remove(c->e->cg, c->cgroup) == -1 ||
	    cgroup_unmake(c->e->cg, c->run_group) == -1) {
		*what = container_kill(c) != 0
			    ? "processes in its control group do not die"
			    : "its control group cannot be removed";
		return (-1);
	}
	*what = "its bundle cannot be removed";
	dir = open(c->e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return (errno == ENOENT ? 0 : -1);
	r = oci_tree_remove(dir, c->name);
	close_fd(&dir);
	return (r);
}

/* A step of unmaking; or, while it is being made: the deadline is past. */
static void
container_step(evutil_socket_t fd, short ev, void *arg)
{
	struct container *c = arg;
	const char *what;

	(void)fd;
	(void)ev;
	if (c->state == OCI_MAKING) {
		c->error = ENGINE_DEADLINE;
		snprintf(c->detail, sizeof(c->detail),
		    "%s did not start the container in time",
		    runtime_name(c->runtime));
		container_unmake(c, c->unmade);
		return;
	}
	if (container_clear(c, &what) == 0) {
		if (c->stuck)
			log_info("container %s: gone at last", c->name);
		if (!c->told)
			c->unmade(c, ENGINE_OK, NULL);
		container_free(c);
		return;
	}
	if (!c->stuck &&
	    time_mono_us() - c->since > ENGINE_CALL_TIMEOUT * 1000000LL) {
		log_error("container %s is not removed: %s; tried until it is",
		    c->name, what);
		c->stuck = 1;
		/* Its slot is not another's before this one is gone. */
		if (c->unmade != unmade_removed || c->of_probe) {
			c->told = 1;
			c->unmade(c, ENGINE_TRANSIENT, what);
		}
	}
	container_wake(c, c->pause);
	c->pause *= 2;
	if (c->stuck)
		c->pause = PAUSE_STUCK_US;
	else if (c->pause > PAUSE_MOST_US)
		c->pause = PAUSE_MOST_US;
}

/* ---- making -------------------------------------------------------------- */

static void
unmade_failed(struct container *c, enum engine_error left, const char *detail)
{
	engine_create_cb cb = c->create_cb;

	(void)left;
	(void)detail;
	c->create_cb = NULL;
	cb(NULL, -1, 0, c->error, c->detail, c->arg);
}

static void __attribute__((format(printf, 3, 4)))
make_failed(struct container *c, enum engine_error error, const char *fmt, ...)
{
	va_list ap;

	c->error = error;
	va_start(ap, fmt);
	vsnprintf(c->detail, sizeof(c->detail), fmt, ap);
	va_end(ap);
	container_unmake(c, unmade_failed);
}

static void
container_exited(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	if (c->state == OCI_UNMAKING) {
		container_wake(c, 0);
		return;
	}
	c->state = OCI_EXITED;
	c->exit_cb(c, c->arg);
}

/* What the runtime said when it failed, for people. */
static void
make_failed_by_runtime(struct container *c, int status)
{
	char path[PATH_MAX], line[400], text[1200];

	line[0] = '\0';
	if (bundle_path(c, path, sizeof(path), "") == 0)
		oci_log_tail(path, line, sizeof(line));
	if (line[0] != '\0')
		make_failed(c, ENGINE_TRANSIENT, "%s: %s",
		    runtime_name(c->runtime),
		    log_escape(text, sizeof(text), line, strlen(line)));
	else if (status != -1 && WIFSIGNALED(status))
		make_failed(c, ENGINE_TRANSIENT, "%s was ended by signal %d",
		    runtime_name(c->runtime), WTERMSIG(status));
	else if (status != -1 && WEXITSTATUS(status) == OCI_RUN_NO_NETWORK)
		make_failed(c, ENGINE_TRANSIENT, "no network could be made");
	else
		make_failed(c, ENGINE_TRANSIENT, "%s ended with status %d",
		    runtime_name(c->runtime),
		    status == -1 ? -1 : WEXITSTATUS(status));
}

/*
 * The descriptor of the container's first process. By then that process may
 * have ended, and its number may name another one: its control group tells.
 * Such a container has run, and its exit is told at once.
 */
static int
first_process(struct container *c)
{
	char path[PATH_MAX], *text;
	size_t len;
	pid_t pid;

	if (bundle_path(c, path, sizeof(path), "/pid") == -1 ||
	    (text = read_file(AT_FDCWD, path, 32, &len)) == NULL)
		return (-1);
	pid = (pid_t)atoi(text);
	free(text);
	if (pid <= 1) {
		errno = EINVAL;
		return (-1);
	}
	c->pidfd = pidfd_open(pid, 0);
	c->pid = pid;
	if (c->pidfd != -1 && !cgroup_has(c->cgroup, pid))
		close_fd(&c->pidfd);
	c->exit_ev = event_new(c->e->base, c->pidfd,
	    c->pidfd == -1 ? 0 : EV_READ, container_exited, c);
	return (c->exit_ev == NULL ? -1 : 0);
}

static void
make_ended(int status, void *arg)
{
	struct container *c = arg;
	struct timeval now = { 0, 0 };
	engine_create_cb cb;
	int fd;

	c->run = NULL;
	if (c->state == OCI_UNMAKING) {
		container_wake(c, 0);
		return;
	}
	event_del(c->timer);
	if (status != 0) {
		make_failed_by_runtime(c, status);
		return;
	}
	if (first_process(c) == -1) {
		make_failed(c, ENGINE_TRANSIENT, "the pid file of %s: %s",
		    runtime_name(c->runtime), strerror(errno));
		return;
	}
	event_arm(c->exit_ev, c->pidfd == -1 ? &now : NULL);
	c->state = OCI_RUNNING;
	fd = c->fd;
	c->fd = -1;
	cb = c->create_cb;
	c->create_cb = NULL;
	cb(c, fd, 0, ENGINE_OK, NULL, c->arg);
}

/* The command line of the runtime; -1 when there is no room for it. */
static int
make_argv(struct container *c, char **argv, char *program, char *bundle,
    char *state, char *log, char *pid, int kept)
{
	const struct conf_list *args = c->runtime == RUNTIME_RUNSC
					   ? &c->e->conf->runsc_args
					   : &c->e->conf->runc_args;
	static char none[] = "--network=none", sandbox[] = "--network=sandbox",
		    root[] = "--root", run[] = "run", detach[] = "--detach",
		    bundle_flag[] = "--bundle", pid_flag[] = "--pid-file",
		    log_flag[] = "--log", text[] = "--log-format=text",
		    preserve[] = "--preserve-fds=1";
	char *const own[] = { text, log_flag, log, root, state, run, detach,
		bundle_flag, bundle, pid_flag, pid, c->name, NULL };
	size_t i, n = 0;

	if (args->n + nitems(own) + 3 > MAX_ARGV)
		return (-1);
	argv[n++] = program;
	for (i = 0; i < args->n; i++)
		argv[n++] = args->items[i];
	/* The last word: what a job may reach is no setting of arguments. */
	if (c->runtime == RUNTIME_RUNSC)
		argv[n++] = c->net != NULL ? sandbox : none;
	for (i = 0; i < nitems(own); i++) {
		if (own[i] == c->name && kept)
			argv[n++] = preserve;
		argv[n++] = own[i];
	}
	return (0);
}

/* What starting the runtime takes, once there is a network. */
struct oci_start {
	char program[PATH_MAX], rootfs[PATH_MAX], userns[PATH_MAX];
	struct conf_limits limits;
	struct oci_userns u; /* path NULL: none */
	int filter;	     /* what tako-init is given; -1: nothing */
};

/* Starts the runtime with the far end of the stream. -1 with errno. */
static int
make_start(struct container *c, struct oci_start *s)
{
	char bundle[PATH_MAX], state[PATH_MAX], log[PATH_MAX], pid[PATH_MAX];
	char netns[PATH_MAX];
	struct oci_network net = { .slot = c->net,
		.path = netns,
		.log = log,
		.gvisor = c->runtime == RUNTIME_RUNSC };
	char *argv[MAX_ARGV];
	struct oci_run_how how = { .argv = argv,
		.runtime = c->runtime,
		.kept = s->filter,
		.u = s->u.path != NULL ? &s->u : NULL,
		.net = c->net != NULL ? &net : NULL };
	int pair[2];

	if (bundle_path(c, bundle, sizeof(bundle), "") == -1 ||
	    bundle_path(c, state, sizeof(state), "/state") == -1 ||
	    bundle_path(c, log, sizeof(log), "/log") == -1 ||
	    bundle_path(c, netns, sizeof(netns), "/" FILE_NETNS) == -1 ||
	    bundle_path(c, pid, sizeof(pid), "/pid") == -1)
		return (-1);
	if (make_argv(c, argv, s->program, bundle, state, log, pid,
		s->filter != -1) == -1) {
		errno = E2BIG;
		return (-1);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return (-1);
	c->fd = pair[0];
	fd_nonblock(c->fd);
	how.in = how.out = pair[1];
	how.group = cgroup_make(c->e->cg, c->run_group);
	c->run = oci_run_start(c->e->base, &how, make_ended, c);
	close(pair[1]);
	close_fd(&how.group);
	return (c->run == NULL ? -1 : 0);
}

static void
start_free(struct container *c)
{
	free(c->start);
	c->start = NULL;
}

static void
make_asked(struct network_slot *slot, const char *detail, void *arg)
{
	struct container *c = arg;

	c->ask = NULL;
	c->net = slot;
	if (slot == NULL)
		make_failed(c, ENGINE_CONFIG, "network_enabled: %s", detail);
	else if (bundle_network(c) == -1 || make_start(c, c->start) == -1)
		make_failed(c, ENGINE_TRANSIENT, "bundle of %s: %s", c->name,
		    strerror(errno));
	start_free(c);
}

/*
 * The key of an image that takoctl built, which is a digest of what went in:
 * the name of its folder, which is never changed once it has a manifest.
 */
static void
image_key(const char *rootfs, char key[65])
{
	char path[PATH_MAX], *name, *slash;

	key[0] = '\0';
	strlcpy(path, rootfs, sizeof(path));
	if ((slash = strrchr(path, '/')) == NULL)
		return;
	*slash = '\0';
	if ((name = strrchr(path, '/')) == NULL || strlen(++name) != 64 ||
	    strspn(name, "0123456789abcdef") != 64)
		return;
	strlcpy(key, name, 65);
	strlcat(path, "/manifest.json", sizeof(path));
	if (access(path, F_OK) == -1)
		key[0] = '\0';
}

static int
layer_place(const char *rootfs)
{
	char *path = xasprintf("%s" PATH_CONTAINER_LAYER, rootfs);
	int r = access(path, F_OK);

	free(path);
	return (r);
}

/*
 * The nodes are those of the host, which a job opens as somebody else. Of amd's
 * the libraries read /sys, which no container of this engine has.
 */
static int
gpu_nodes(const struct conf_gpu *gpu, enum runtime runtime,
    struct gpu_nodes *found, char *detail, size_t len)
{
	size_t i;

	if (gpu->vendor == GPU_AMD) {
		strlcpy(detail, "those of amd need engine: docker", len);
		return (-1);
	}
	if (gpu_find(gpu, runtime, found, detail, len) == -1)
		return (-1);
	for (i = 0; i < found->n; i++)
		if ((found->nodes[i].mode & 06) != 06) {
			snprintf(detail, len,
			    "%s is not for everybody to read and write (its "
			    "mode must be 0666)",
			    found->nodes[i].path);
			return (-1);
		}
	return (0);
}

static int
oci_gpu(struct engine *e, const struct conf_gpu *gpu, enum runtime runtime,
    char *detail, size_t len)
{
	struct gpu_nodes found;

	(void)e;
	return (gpu_nodes(gpu, runtime, &found, detail, len));
}

void
oci_make(struct engine *e, const struct container_spec *spec,
    const char *const *argv, int64_t deadline_us, engine_create_cb cb,
    engine_exit_cb exit_cb, void *arg)
{
	struct container *c = container_new(e, spec->name);
	struct oci_start *s = c->start = xcalloc(1, sizeof(*s));
	struct gpu_nodes gpu;
	struct oci_bundle b = { .spec = spec,
		.init = e->init,
		.cgroup = c->cgroup,
		.uid_base = e->uid_base,
		.swap = cgroups_swap(e->cg),
		.argv = argv };
	char detail[512], netns[PATH_MAX], hosts[PATH_MAX], resolv[PATH_MAX];
	int host_kernel = spec->runtime != RUNTIME_RUNSC;
	int network = spec->network.kind != NETWORK_NONE;
	enum engine_error error;

	c->runtime = spec->runtime;
	c->create_cb = cb;
	c->exit_cb = exit_cb;
	c->arg = arg;
	c->unmade = unmade_failed;
	c->of_probe = argv != NULL;
	if (oci_program(e, spec->runtime, s->program, detail, sizeof(detail)) ==
	    -1) {
		make_failed(c, ENGINE_CONFIG, "%s", detail);
		return;
	}
	error = oci_rootfs(e, spec, s->rootfs, detail, sizeof(detail));
	if (error != ENGINE_OK) {
		make_failed(c, error, "%s", detail);
		return;
	}
	if (bundle_path(c, s->userns, sizeof(s->userns), "/" FILE_USERNS) ==
		-1 ||
	    bundle_path(c, netns, sizeof(netns), "/" FILE_NETNS) == -1 ||
	    bundle_path(c, hosts, sizeof(hosts), "/" FILE_HOSTS) == -1 ||
	    bundle_path(c, resolv, sizeof(resolv), "/" FILE_RESOLV) == -1) {
		make_failed(c, ENGINE_CONFIG, "data_dir: %s", strerror(errno));
		return;
	}
	if (host_kernel && spec->userns != 0) {
		s->limits = *spec->limits;
		s->u = (struct oci_userns){ .rootfs = s->rootfs,
			.path = s->userns,
			.root = ID_SANDBOX_ROOT(e->uid_base, spec->slot),
			.job = ID_SANDBOX_JOB(e->uid_base, spec->slot),
			.limits = &s->limits };
		b.userns = s->userns;
	}
	if (spec->layer != NULL && layer_place(s->rootfs) == -1) {
		make_failed(c, ENGINE_CONFIG,
		    "root file system %s lacks the folder " PATH_CONTAINER_LAYER
		    "; takoctl image build makes one that has it",
		    s->rootfs);
		return;
	}
	if (spec->gpu != NULL) {
		if (gpu_nodes(spec->gpu, spec->runtime, &gpu, detail,
			sizeof(detail)) == -1) {
			make_failed(c, ENGINE_CONFIG, "gpu: %s", detail);
			return;
		}
		b.gpu = &gpu;
	}
	if (network) {
		b.netns = netns;
		b.hosts = hosts;
		b.resolv = resolv;
	}
	b.rootfs = b.userns != NULL ? PATH_RUNTIME_ROOT : s->rootfs;
	s->filter = -1;
	c->filtered = host_kernel && spec->seccomp;
	/* Made once, for tako-init to put on: it takes runc a tenth of all. */
	if (c->filtered && argv == NULL && e->filter != -1) {
		b.filter = 1;
		s->filter = e->filter;
	} else if (c->filtered)
		b.seccomp = e->seccomp;
	image_key(s->rootfs, c->image);
	if (bundle_make(c, &b) == -1 || (!network && make_start(c, s) == -1)) {
		make_failed(c, ENGINE_TRANSIENT, "bundle of %s: %s", c->name,
		    strerror(errno));
		return;
	}
	if (network)
		c->ask = network_ask(e->net, &spec->network, make_asked, c);
	else
		start_free(c);
	container_wake(c, deadline_us - time_mono_us());
}

static void
oci_create(struct engine *e, const struct container_spec *spec,
    int64_t deadline_us, engine_create_cb cb, engine_exit_cb exit_cb, void *arg)
{
	oci_make(e, spec, NULL, deadline_us, cb, exit_cb, arg);
}

/* ---- the rest of the table ----------------------------------------------- */

static void
oci_hurry(struct engine *e, struct container *c)
{
	cgroup_hurry(e->cg, c->cgroup);
}

static void
oci_kill(struct engine *e, struct container *c)
{
	if (cgroup_frozen(e->cg, c->cgroup))
		c->outside = 1;
	container_kill(c);
}

static int
oci_facts(struct engine *e, struct container *c, struct container_facts *facts)
{
	cgroup_facts(e->cg, c->cgroup, facts);
	facts->outside = c->outside;
	return (0);
}

static json_t *
oci_proof(struct engine *e, struct container *c)
{
	json_t *o;

	/* Its number is that of another process once it has ended. */
	if (c->state != OCI_RUNNING || c->pidfd == -1)
		return (NULL);
	o = proof_read(c->pid, c->runtime == RUNTIME_RUNSC, e->cg, c->cgroup,
	    c->filtered ? e->profile : NULL);
	if (o == NULL)
		return (NULL);
	json_object_set_new(o, "image",
	    c->image[0] == '\0' ? json_null() : json_string(c->image));
	json_object_set_new(
	    o, "runtime", json_string(runtime_name(c->runtime)));
	json_object_set_new(o, "runtime_version",
	    e->version[0] == '\0' ? json_null() : json_string(e->version));
	return (o);
}

static const char *
oci_no_network(struct engine *e, int fresh)
{
	if (fresh && conf_networks(e->conf))
		network_refresh(e->net);
	return (network_fault(e->net));
}

static void
oci_network(
    struct engine *e, struct container *c, engine_network_cb cb, void *arg)
{
	(void)e;
	network_slot_facts(c->net, cb, arg);
}

static void
unmade_removed(struct container *c, enum engine_error error, const char *detail)
{
	c->done_cb(error, detail, c->done_arg);
}

void
oci_remove(struct engine *e, struct container *c, engine_done_cb cb, void *arg)
{
	(void)e;
	c->done_cb = cb;
	c->done_arg = arg;
	c->create_cb = NULL;
	container_unmake(c, unmade_removed);
}

static void
oci_create_cancel(struct engine *e, engine_done_cb cb, void *arg)
{
	struct container *c;

	TAILQ_FOREACH (c, &e->containers, entry)
		if (c->arg == arg && c->create_cb != NULL)
			break;
	if (c == NULL)
		return;
	c->create_cb = NULL;
	c->done_cb = cb;
	c->done_arg = arg;
	if (c->state == OCI_MAKING)
		container_unmake(c, unmade_removed);
	else
		c->unmade = unmade_removed;
}

static void
reconcile_one_less(struct engine *e)
{
	engine_done_cb cb = e->reconcile_cb;

	if (--e->left > 0 || cb == NULL)
		return;
	e->reconcile_cb = NULL;
	cb(ENGINE_OK, NULL, e->reconcile_arg);
}

static void
unmade_leftover(
    struct container *c, enum engine_error error, const char *detail)
{
	(void)error;
	(void)detail;
	reconcile_one_less(c->e);
}

/* A name that a folder or a control group has, and no container of ours. */
static void
reconcile_name(const char *found, void *arg)
{
	struct engine *e = arg;
	struct container *c;
	char name[sizeof(c->name)], *suffix;

	strlcpy(name, found, sizeof(name));
	suffix = strstr(name, RUN_GROUP);
	if (suffix != NULL && suffix[strlen(RUN_GROUP)] == '\0')
		*suffix = '\0';

	TAILQ_FOREACH (c, &e->containers, entry)
		if (strcmp(c->name, name) == 0)
			return;
	log_info("container %s was left by a former life: removed", name);
	c = container_new(e, name);
	e->left++;
	container_unmake(c, unmade_leftover);
}

static void
reconcile_ends(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reconcile_one_less(arg);
}

static void
oci_reconcile(struct engine *e, engine_done_cb cb, void *arg)
{
	struct timeval now = { 0, 0 };
	struct dirent *d;
	DIR *dir;

	e->reconcile_cb = cb;
	e->reconcile_arg = arg;
	e->left++;
	if ((dir = opendir(e->dir)) != NULL) {
		while ((d = readdir(dir)) != NULL)
			if (d->d_name[0] != '.')
				reconcile_name(d->d_name, e);
		closedir(dir);
	}
	cgroup_children(e->cg, e->group, reconcile_name, e);
	if (event_base_once(e->base, -1, EV_TIMEOUT, reconcile_ends, e, &now) ==
	    -1)
		fatal(NULL);
}

/* Of an image that takoctl did not build: what tells its python from others. */
static void
image_id(const char *rootfs, char id[65])
{
	char *text;
	uint8_t digest[TAKO_SHA256];
	struct stat st = { 0 };

	image_key(rootfs, id);
	if (id[0] != '\0')
		return;
	text = xasprintf("%s/usr/bin/python3", rootfs);
	if (stat(text, &st) == -1)
		(void)stat(rootfs, &st);
	free(text);
	text = xasprintf("%s %llu %llu %lld %ld", rootfs,
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
	    (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	sha256(digest, text, strlen(text));
	hex_encode(id, digest, sizeof(digest));
	free(text);
}

struct ping {
	struct engine *e;
	char *image; /* NULL: the default one */
	engine_done_cb cb;
	void *arg;
};

static void
ping_answer(evutil_socket_t fd, short what, void *arg)
{
	char path[PATH_MAX], detail[512];
	struct ping p = *(struct ping *)arg;
	struct container_spec spec = { .image = p.image };
	enum engine_error error;

	(void)fd;
	(void)what;
	free(arg);
	error = oci_rootfs(p.e, &spec, path, detail, sizeof(detail));
	free(p.image);
	if (error == ENGINE_OK)
		image_id(path, detail);
	p.cb(error, detail, p.arg);
}

static void
oci_image(struct engine *e, const char *image, engine_done_cb cb, void *arg)
{
	struct timeval now = { 0, 0 };
	struct ping *p = malloc(sizeof(*p));

	if (p == NULL)
		fatal(NULL);
	*p = (struct ping){ e, image == NULL ? NULL : xstrdup(image), cb, arg };
	if (event_base_once(e->base, -1, EV_TIMEOUT, ping_answer, p, &now) ==
	    -1)
		fatal(NULL);
}

/* There is no daemon that could be away; the image could. */
static void
oci_ping(struct engine *e, engine_done_cb cb, void *arg)
{
	oci_image(e, NULL, cb, arg);
}

static const char *
oci_describe(struct engine *e)
{
	return (e->about);
}

/*
 * Containers that are left are killed, not waited for: the next start's
 * reconcile finds their folders.
 */
static void
oci_close(struct engine *e)
{
	struct container *c;

	oci_probe_drop(e);
	while ((c = TAILQ_FIRST(&e->containers)) != NULL) {
		if (c->run != NULL)
			oci_run_drop(c->run);
		container_kill(c);
		container_free(c);
	}
	network_close(e->net);
	if (e->cg != NULL)
		(void)cgroup_remove(e->cg, e->group);
	cgroups_free(e->cg);
	if (e->dir[0] != '\0')
		(void)rmdir(e->dir);
	json_decref(e->seccomp);
	close_fd(&e->filter);
	free(e);
}

static int
read_seccomp(struct engine *e, char *detail, size_t len)
{
	char *text = seccomp_job_json(e->conf, detail, len);

	if (text == NULL)
		return (-1);
	proof_digest(e->profile, text);
	if ((e->seccomp = json_loads(text, 0, NULL)) == NULL)
		snprintf(detail, len, "seccomp: no memory");
	free(text);
	if (e->seccomp != NULL && e->conf->seccomp_profile_path == NULL &&
	    (e->filter = seccomp_job_program()) == -1)
		log_warn("seccomp: the runtime makes each container's filter");
	return (e->seccomp == NULL ? -1 : 0);
}

static int
folder_make(const char *path, mode_t mode)
{
	return (make_dir(AT_FDCWD, path, mode) == -1 ? -1 : chmod(path, mode));
}

/* The folders that bundles live in, and the one that images are shown at. */
static int
open_folders(struct engine *e, char *detail, size_t len)
{
	snprintf(e->dir, sizeof(e->dir), PATH_RUN "/%s", e->instance);
	if (folder_make(PATH_RUN, 0755) == -1 ||
	    folder_make(e->dir, 0700) == -1) {
		snprintf(detail, len, "%s: %s", e->dir, strerror(errno));
		return (-1);
	}
	if (folder_make(PATH_RUNTIME_ROOT, 0755) == -1) {
		snprintf(
		    detail, len, "%s: %s", PATH_RUNTIME_ROOT, strerror(errno));
		return (-1);
	}
	return (0);
}

static struct engine *
oci_open(struct event_base *base, const struct conf *conf, const char *instance,
    uid_t uid_base, char *detail, size_t len)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
		fatal(NULL);
	TAILQ_INIT(&e->containers);
	e->base = base;
	e->conf = conf;
	e->uid_base = uid_base;
	e->filter = -1;
	strlcpy(e->instance, instance, sizeof(e->instance));
	snprintf(e->group, sizeof(e->group), "/takod-%s", e->instance);
	snprintf(e->about, sizeof(e->about), "OCI, runtime not asked yet");
	if (program_path(e->init, sizeof(e->init), "tako-init") == -1)
		snprintf(detail, len, "tako-init: %s", strerror(errno));
	else if (open_folders(e, detail, len) == 0 &&
		 read_seccomp(e, detail, len) == 0 &&
		 (e->cg = cgroups_open(NULL, detail, len)) != NULL) {
		e->net = network_open(base, conf, ID_NETWORK(uid_base));
		(void)oci_no_network(e, 1);
		return (e);
	}
	oci_close(e);
	return (NULL);
}

const struct engine_ops engine_oci = {
	.name = "oci",
	.open = oci_open,
	.close = oci_close,
	.probe = oci_probe,
	.ping = oci_ping,
	.create = oci_create,
	.create_cancel = oci_create_cancel,
	.hurry = oci_hurry,
	.kill = oci_kill,
	.facts = oci_facts,
	.no_network = oci_no_network,
	.gpu = oci_gpu,
	.network = oci_network,
	.proof = oci_proof,
	.remove = oci_remove,
	.reconcile = oci_reconcile,
	.image = oci_image,
	.describe = oci_describe,
};
