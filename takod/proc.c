/*
 * proc.c: takod's children: started, watched, ended, replaced. Runs in the
 * parent. It waits for each child by its own pidfd and reaps only what it
 * started itself; the engine's drivers do the same with theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "event_arm.h"
#include "log.h"
#include "sandbox.h"
#include "takod.h"
#include "util.h"

/*
 * A front that dies young is replaced at once the first time, then after 100
 * ms, and twice as long each time up to half a minute: chance costs less than
 * a second, a broken program no more than a start now and then.
 */
#define RESPAWN_YOUNG_US (10 * 1000000LL)
#define RESPAWN_FIRST_MS 100
#define RESPAWN_MOST_MS	 30000
#define SETUP_MS	 10000 /* from exec to SETUP_DONE */
/* Each child is asked so often whether it still turns, and has so long. */
#define PING_S	5
#define PONG_US (15 * 1000000LL)
/* How long tako-api is not read, where it asks for more than the store does. */
#define HEED_MS 5
/* The unit gives the parent -500; a job has 1000. */
#define OOM_SCORE "500"

struct child_list children = TAILQ_HEAD_INITIALIZER(children);

static struct child *api;
static struct event *heed; /* until tako-api is read again */
static struct event *api_respawn;

static void child_exited(int, short, void *);
static void child_late(int, short, void *);
static void child_channel_ended(struct imsgev *, const char *, void *);

/* What it is called; tako-worker has three roles. */
static const char *
name_of(enum msg_sender kind)
{
	return (kind == FROM_API      ? "tako-api"
		: kind == FROM_WORDS  ? "tako-words"
		: kind == FROM_UNPACK ? "tako-unpack"
				      : "tako-worker");
}

static const char *
program_of(enum msg_sender kind)
{
	return (kind == FROM_API ? "tako-api" : "tako-worker");
}

/* What is short of memory takes it from those that can be replaced. */
static void
killed_before_parent(void)
{
	if (write_file(AT_FDCWD, "/proc/self/oom_score_adj", 0, 0, OOM_SCORE) ==
	    -1)
		log_warn("oom_score_adj");
}

/*
 * In the child: nothing of the parent stays but stderr and the channel
 * on descriptor 3. The program was opened before the ids change, since its
 * folder need not be open to the child's user.
 */
struct start {
	enum msg_sender kind;
	int program, channel;
	uid_t uid;
	gid_t gid;
};

static void
child_exec(void *arg)
{
	const struct start *s = arg;
	int program = s->program, channel = s->channel;
	const struct conf *cf = env.conf;
	/* No job is longer, and a worker that waits for one does nothing. */
	const rlim_t most = (rlim_t)(cf->max_startup_timeout + cf->max_timeout);
	const struct rlimit cpu = { most, most };
	char *argv[] = { (char *)(uintptr_t)name_of(s->kind), NULL, NULL };
	char *envp[] = { NULL };
	sigset_t none;
	int null;

	setsid();
	if ((null = open("/dev/null", O_RDWR)) == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		_exit(126);
	/* The program moves out of the way of the channel's place. */
	if (program == MSG_FD && (program = dup(program)) == -1)
		_exit(126);
	if (channel == MSG_FD) {
		if (fcntl(channel, F_SETFD, 0) == -1)
			_exit(126);
	} else if (dup2(channel, MSG_FD) == -1)
		_exit(126);
	if (program != MSG_FD + 1) {
		if (dup2(program, MSG_FD + 1) == -1)
			_exit(126);
		program = MSG_FD + 1;
	}
	if (fcntl(program, F_SETFD, FD_CLOEXEC) == -1 ||
	    close_range(MSG_FD + 2, ~0u, 0) == -1)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	argv[1] = (char *)(uintptr_t)log_argument();
	if (s->kind == FROM_WORKER && setrlimit(RLIMIT_CPU, &cpu) == -1)
		_exit(125);
	killed_before_parent();
	if (chdir("/") == -1 || sandbox_drop_ids(s->uid, s->gid) == -1)
		_exit(125);
	/*
	 * After the ids: changing them takes the death signal away. A parent
	 * that died before that is the end of the channel.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		_exit(125);
	syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

struct child *
proc_spawn(
    enum msg_sender kind, uid_t uid, gid_t gid, child_gone_cb gone, void *arg)
{
	char path[4096];
	struct child *c;
	int pair[2] = { -1, -1 }, program = -1;
	struct start s = { .kind = kind, .uid = uid, .gid = gid };

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (NULL);
	c->name = name_of(kind);
	c->kind = kind;
	c->uid = uid;
	c->pidfd = -1;
	c->state = CHILD_STARTING;
	c->started = time_mono_us();
	c->gone = gone;
	c->arg = arg;
	if (program_path(path, sizeof(path), program_of(kind)) == -1) {
		log_error("%s is neither beside takod nor in %s",
		    program_of(kind), PATH_LIBEXEC);
		goto fail;
	}
	if ((program = open(path, O_PATH | O_CLOEXEC)) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) == -1) {
		log_warn("cannot start %s", c->name);
		goto fail;
	}
	/* The child reads its channel when it likes: blocking is its choice. */
	s.program = program;
	s.channel = pair[1];
	/* Who faces the clients shares no network with those who face jobs. */
	if ((c->pid = sandbox_spawn(
		 uid, gid, kind == FROM_API, child_exec, &s)) == -1) {
		log_warn("cannot start %s", c->name);
		goto fail;
	}
	close_fd(&program);
	close_fd(&pair[1]);
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd != -1)
		c->exit_ev =
		    event_new(env.base, c->pidfd, EV_READ, child_exited, c);
	c->deadline = evtimer_new(env.base, child_late, c);
	c->iev = imsgev_new(env.base, pair[0], kind, MSG_MAX_FRAME,
	    dispatch_child, child_channel_ended, c);
	pair[0] = -1; /* the channel's, also when that failed */
	if (c->exit_ev == NULL || c->deadline == NULL || c->iev == NULL ||
	    event_add(c->exit_ev, NULL) == -1) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		goto fail;
	}
	TAILQ_INSERT_TAIL(&children, c, entry);
	proc_deadline(c, SETUP_MS);
	log_debug(
	    "%s[%d] started as uid %u", c->name, (int)c->pid, (unsigned)uid);
	return (c);
fail:
	close_fd(&program);
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	if (c->exit_ev != NULL)
		event_free(c->exit_ev);
	if (c->deadline != NULL)
		event_free(c->deadline);
	imsgev_free(c->iev);
	close_fd(&c->pidfd);
	free(c);
	return (NULL);
}

void
proc_kill(struct child *c, const char *why)
{
	if (c->why == NULL)
		c->why = why;
	if (c->pid > 0 &&
	    syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0) == -1 &&
	    errno != ESRCH)
		log_warn("cannot kill %s[%d]", c->name, (int)c->pid);
}

void
proc_violation(struct child *c, const char *what, const char *why)
{
	static int64_t window;
	static unsigned lines, unsaid;
	int64_t now = time_mono_us();

	env.violations++;
	/* Ten lines in ten seconds: a child in a loop must not fill the log. */
	if (now - window > 10 * 1000000LL) {
		if (unsaid > 0)
			log_warnx("%u more violations", unsaid);
		window = now;
		lines = unsaid = 0;
	}
	if (lines < 10) {
		lines++;
		log_warnx("violation by %s[%d]: %s: %s; killed", c->name,
		    (int)c->pid, what, why);
	} else
		unsaid++;
	proc_kill(c, "violation");
}

static void
child_channel_ended(struct imsgev *iev, const char *why, void *arg)
{
	struct child *c = arg;

	imsgev_free(iev);
	c->iev = NULL;
	if (why != NULL)
		proc_violation(c, "frame", why);
	else
		/* Who closes the channel has nothing left to do here. */
		proc_kill(c, NULL);
}

/* A status in words. */
static void
log_exit(const struct child *c, const siginfo_t *info)
{
	if (c->why != NULL && info->si_code != CLD_EXITED) {
		log_debug("%s[%d] killed: %s", c->name, (int)c->pid, c->why);
		return;
	}
	switch (info->si_code) {
	case CLD_EXITED:
		if (info->si_status == 0)
			log_debug("%s[%d] ended", c->name, (int)c->pid);
		else
			log_warnx("%s[%d] ended with status %d", c->name,
			    (int)c->pid, info->si_status);
		break;
	default:
		if (info->si_status == SIGKILL && c->kind == FROM_WORKER &&
		    c->state == CHILD_DONE)
			log_debug("%s[%d] ended", c->name, (int)c->pid);
		else
			log_warnx("%s[%d] ended by %s%s", c->name, (int)c->pid,
			    sigdescr_np(info->si_status),
			    info->si_status == SIGSYS
				? " (a system call that its sandbox refuses)"
				: "");
	}
}

static void
child_exited(int fd, short events, void *arg)
{
	struct child *c = arg;
	siginfo_t info;

	(void)events;
	memset(&info, 0, sizeof(info));
	if (waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) ==
		-1 ||
	    info.si_pid == 0) {
		if (errno != ECHILD)
			event_arm(c->exit_ev, NULL);
		return;
	}
	log_exit(c, &info);
	TAILQ_REMOVE(&children, c, entry);
	if (c->gone != NULL)
		c->gone(c, c->arg);
	event_free(c->exit_ev);
	event_free(c->deadline);
	imsgev_free(c->iev);
	close_fd(&c->pidfd);
	free(c);
	takod_check_stopped();
}

static void
child_late(int fd, short events, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)events;
	proc_violation(c, "deadline", "silent for too long");
}

void
proc_deadline(struct child *c, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (ms == 0)
		event_del(c->deadline);
	else
		event_arm(c->deadline, &tv);
}

int
proc_send(struct child *c, uint32_t type, uint32_t id, const void *m, int fd)
{
	/* What is killed reads nothing, and has violated nothing by that. */
	if (c->iev == NULL || c->why != NULL) {
		errno = EPIPE;
		return (-1);
	}
	if (imsgev_compose(c->iev, type, id, m, fd) == 0)
		return (0);
	if (errno == ENOBUFS)
		proc_violation(c, msg_name(type), "does not read its channel");
	return (-1);
}

/* ---- the watchdog ---------------------------------------------------------
 */

static void
watch_children(int fd, short events, void *arg)
{
	static const struct msg_child_ping ping;
	static int64_t last;
	int64_t now = time_mono_us();
	/* Late itself: what they said meanwhile is not read yet. */
	int late = now - last > 2 * PING_S * 1000000LL;
	struct child *c;

	(void)fd;
	(void)events;
	(void)arg;
	last = now;
	TAILQ_FOREACH (c, &children, entry) {
		/* What unpacks a layer does nothing else meanwhile. */
		if (c->state == CHILD_STARTING || c->why != NULL ||
		    c->kind == FROM_UNPACK)
			continue;
		if (c->asked == 0) {
			if (proc_send(c, MSG_T_CHILD_PING, 0, &ping, -1) == 0)
				c->asked = now;
		} else if (late)
			c->asked = now;
		else if (now - c->asked > PONG_US)
			proc_violation(c, "ping", "is not answered");
	}
}

void
proc_watch(void)
{
	static const struct timeval every = { PING_S, 0 };
	struct event *ev;

	ev = event_new(env.base, -1, EV_PERSIST, watch_children, NULL);
	if (ev == NULL || event_add(ev, &every) == -1)
		fatal(NULL);
}

/* ---- a child that asks for much ------------------------------------------ */

static void
heed_again(int fd, short events, void *arg)
{
	static const struct timeval soon = { 0, HEED_MS * 1000 };

	(void)fd;
	(void)events;
	(void)arg;
	if (api == NULL || api->iev == NULL)
		return;
	if (!env.store_ops->behind(env.store)) {
		imsgev_resume(api->iev);
		return;
	}
	/* What it answered is not read yet. */
	if (api->asked != 0)
		api->asked = time_mono_us();
	event_arm(heed, &soon);
}

void
proc_heed(struct child *c)
{
	if (c != api || c->iev == NULL || !env.store_up ||
	    !env.store_ops->behind(env.store))
		return;
	if (heed == NULL &&
	    (heed = evtimer_new(env.base, heed_again, NULL)) == NULL)
		fatal(NULL);
	imsgev_pause(c->iev);
	heed_again(-1, 0, NULL);
}

/* ---- tako-api ------------------------------------------------------------ */

static void
api_again(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (!env.stopping)
		proc_api_start();
}

static void
api_gone(struct child *c, void *arg)
{
	static unsigned pause_ms; /* before the next replacement */
	struct timeval tv;
	int64_t age = time_mono_us() - c->started;

	(void)arg;
	api = NULL;
	job_api_died();
	if (env.stopping)
		return;
	env.respawns++;
	if (age >= RESPAWN_YOUNG_US)
		pause_ms = 0;
	tv.tv_sec = pause_ms / 1000;
	tv.tv_usec = pause_ms % 1000 * 1000;
	if (pause_ms >= 1000)
		log_error("tako-api dies again and again: next try in %u ms",
		    pause_ms);
	pause_ms = pause_ms == 0		    ? RESPAWN_FIRST_MS
		   : pause_ms * 2 > RESPAWN_MOST_MS ? RESPAWN_MOST_MS
						    : pause_ms * 2;
	event_arm(api_respawn, &tv);
}

void
proc_api_start(void)
{
	struct timeval tv = { 1, 0 };

	if (api_respawn == NULL &&
	    (api_respawn = evtimer_new(env.base, api_again, NULL)) == NULL)
		fatal(NULL);
	api = proc_spawn(FROM_API, env.api_uid, env.api_gid, api_gone, NULL);
	if (api == NULL) {
		event_arm(api_respawn, &tv);
		return;
	}
	proc_api_setup();
}

struct child *
proc_api(void)
{
	return (api);
}

void
proc_log_level(enum log_level level)
{
	struct msg_log_level m = { .level = level };
	struct child *c;

	log_set_level(level);
	TAILQ_FOREACH (c, &children, entry)
		proc_send(c, MSG_T_LOG_LEVEL, 0, &m, -1);
}

void
proc_api_setup(void)
{
	const struct conf *cf = env.conf;
	struct msg_api_setup setup;
	struct msg_api_listen l;
	struct msg_api_trust trust;
	struct msg_api_origin origin;
	struct msg_api_tls tls;
	struct conf_network n;
	const struct bound *b;
	size_t i;
	int fd;

	if (api == NULL)
		return;
	memset(&setup, 0, sizeof(setup));
	setup.max_payload = cf->api_max_payload_bytes;
	setup.max_code = cf->max_code_bytes;
	setup.max_input = cf->max_input_bytes;
	setup.max_timeout = (uint64_t)cf->max_timeout;
	setup.max_startup_timeout = (uint64_t)cf->max_startup_timeout;
	setup.default_timeout = (uint64_t)cf->default_timeout;
	setup.production_mode = cf->production_mode != 0;
	setup.admit = (uint64_t)admit_needed();
	setup.keys = cf->api_auth_enabled != 0;
	setup.max_connections = (uint64_t)cf->api_max_connections;
	setup.max_connections_per_source =
	    (uint64_t)cf->api_max_connections_per_source;
	setup.header_timeout_ms = (uint64_t)cf->api_header_timeout_ms;
	setup.body_timeout_ms = (uint64_t)cf->api_body_timeout_ms;
	setup.idle_timeout_ms = (uint64_t)cf->api_idle_timeout_ms;
	setup.write_timeout_ms = (uint64_t)cf->api_write_timeout_ms;
	setup.min_rate = (uint64_t)cf->api_min_rate_bytes;
	setup.pipeline_depth = (uint64_t)cf->api_pipeline_depth;
	setup.max_line = (uint64_t)cf->api_max_request_line_bytes;
	setup.max_head = (uint64_t)cf->api_max_header_bytes;
	setup.max_fields = (uint64_t)cf->api_max_header_fields;
	setup.max_memory = cf->api_max_memory_bytes;
	strlcpy(
	    setup.auth_header, cf->api_auth_header, sizeof(setup.auth_header));
	strlcpy(setup.version, TAKO_VERSION, sizeof(setup.version));
	if (proc_send(api, MSG_T_API_SETUP, 0, &setup, -1) == -1)
		return;
	memset(&trust, 0, sizeof(trust));
	for (i = 0; i < cf->trusted_proxies.n; i++) {
		(void)conf_network_parse(cf->trusted_proxies.items[i], &n);
		memcpy(trust.prefix, n.prefix, sizeof(trust.prefix));
		trust.bits = n.bits;
		trust.local = n.local != 0;
		proc_send(api, MSG_T_API_TRUST, 0, &trust, -1);
	}
	memset(&origin, 0, sizeof(origin));
	for (i = 0; i < cf->cors_origins.n; i++) {
		strlcpy(origin.origin, cf->cors_origins.items[i],
		    sizeof(origin.origin));
		proc_send(api, MSG_T_API_ORIGIN, 0, &origin, -1);
	}
	if ((fd = tls_fd(&tls)) != -1)
		proc_send(api, MSG_T_API_TLS, 0, &tls, fd);
	for (i = 0; (b = listen_at(i)) != NULL; i++) {
		memset(&l, 0, sizeof(l));
		strlcpy(l.name, b->name, sizeof(l.name));
		l.tls = b->tls != 0;
		l.proxy = b->proxy != 0;
		proc_send(api, MSG_T_API_LISTEN, 0, &l, b->fd);
	}
}

void
proc_stop(void)
{
	struct child *c;

	TAILQ_FOREACH (c, &children, entry)
		proc_kill(c, "takod stops");
}
