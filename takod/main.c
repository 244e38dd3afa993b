/*
 * takod: runs untrusted Python for other programs.
 *
 * Theory of operation. This process, the parent, is privileged and looks into
 * nothing that came from outside. tako-api (proc.c starts it) parses HTTP and
 * sends verbs and numbers over a socketpair; dispatch.c has the table of what
 * it may say. A job is a row in the store (store.h) before it is acknowledged
 * (job.c), and counts for the key that its client showed or for the address it
 * came from (tenant.c). queue.c claims rows; pool.c keeps slots, each a
 * tako-worker and a container of the engine (engine.h); run.c brings a job and
 * a slot together and holds the clocks; judge.c says how it ended; its
 * artifacts are put where they are kept (artifact_store.h), the terminal row is
 * committed, and whoever waits is answered (wait.c, reply.c). lease.c holds
 * what runs against other takods of the same store, and takes up what they or a
 * former life left. takoctl is served by control.c. Everything is one event
 * loop without threads.
 *
 * Start: configuration, ids, data directory (locked), listeners and control
 * socket, tako-api, store (migrations, then the first heartbeat, which takes up
 * rows of a former life), engine (runtime really run, containers of a former
 * life removed), warm pool, ready.
 * Stop (SIGTERM): no new jobs, drain to a deadline, then kill and record
 * `interrupted`; a second SIGTERM, or SIGQUIT, does that at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "artifact_store.h"
#include "data_dir.h"
#include "event_arm.h"
#include "json_memory.h"
#include "log.h"
#include "takod.h"
#include "util.h"
#include "versions.h"

/*
 * After the drain: for the ends of what was interrupted, and again for what is
 * removed. What does not go away, or that the store does not take, is left for
 * the next start.
 */
#define STOP_LIMIT_S 10
/* How long a start waits for the data directory. */
#define LOCK_US 2000000

struct takod env;

static int recovered, engine_known;
static int stop_requested;

int
takod_stopping(void)
{
	return (stop_requested);
}
static struct event *stop_timer;
static int interrupted; /* the drain is over */

/* ---- readiness --------------------------------------------------------------
 */

/* Tells the service manager, if there is one (sd_notify(3)'s protocol). */
static void
notify(const char *state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	int fd;

	if (path == NULL || (len = strlen(path)) >= sizeof(sun.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		(struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) ==
	    -1)
		log_warn("service manager");
	close_fd(&fd);
}

static void
check_ready(void)
{
	size_t i;

	if (env.ready || !recovered || !engine_known)
		return;
	env.ready = 1;
	for (i = 0; i < listen_count(); i++)
		log_info("ready: serving on %s%s", listen_at(i)->name,
		    listen_at(i)->tls ? " with TLS" : "");
	notify("READY=1");
	pool_fill();
	queue_kick();
	retain_begin();
	index_kick();
}

static void
engine_answered(void)
{
	engine_known = 1;
	check_ready();
}

/* ---- the store --------------------------------------------------------------
 */

static void
store_counted(enum store_result result, const struct store_counts *c, void *arg)
{
	(void)arg;
	if (result == STORE_OK) {
		env.queued = c->queued;
		env.tenants_waiting = c->tenants;
		queue_kick();
	}
}

static void
store_recovered(void)
{
	recovered = 1;
	check_ready();
}

static void
store_state(int up, const char *detail, void *arg)
{
	(void)arg;
	if (up != env.store_up)
		log_info("store %s is %s%s%s", env.store_ops->name,
		    up ? "up" : "away", detail[0] ? ": " : "", detail);
	env.store_up = up;
	wait_store_state(up);
	strlcpy(env.store_detail, detail, sizeof(env.store_detail));
	if (up)
		tenants_apply();
	lease_store(up);
	if (!up || !recovered)
		return;
	run_store_up();
	env.store_ops->counts(env.store, store_counted, NULL);
	if (env.ready) {
		retain_begin();
		index_kick();
	}
}

static void
store_wakeup(enum store_wake what, const char *id, void *arg)
{
	(void)arg;
	switch (what) {
	case WAKE_QUEUE:
		/* At least: counted at the next claim. */
		if (env.queued == 0)
			env.queued = 1;
		queue_kick();
		break;
	case WAKE_ENDED:
		wait_look(id);
		break;
	case WAKE_CANCEL:
		/* The heartbeat's answer says whether that is so. */
		if (run_find(id) != NULL)
			lease_beat();
		break;
	}
}

static void
store_start(void)
{
	struct store_self self = { .node = env.node,
		.instance = env.instance,
		.lease_s = env.conf->lease_seconds };
	char detail[512];

	env.store_ops = strncmp(env.conf->database_url, "sqlite:", 7) == 0
			    ? &store_sqlite
			    : &store_pg;
	env.store = env.store_ops->open(env.base, env.conf->database_url, &self,
	    store_state, store_wakeup, NULL, detail, sizeof(detail));
	if (env.store == NULL)
		fatalx("database_url: %s", detail);
}

/* ---- the engine -------------------------------------------------------------
 */

static void
engine_start(void)
{
	char detail[512];

	env.engine_ops = engine_choose(env.conf);
	shut_enter(env.engine_ops == &engine_oci ? SHUT_FOR_RUNTIMES
		   : conf_may_network(env.conf)	 ? SHUT_FOR_NETWORKS
						 : SHUT_FOR_ENGINE);
	env.engine = env.engine_ops->open(env.base, env.conf, env.instance,
	    env.uid_base, detail, sizeof(detail));
	if (env.engine == NULL)
		fatalx("engine %s: %s", env.engine_ops->name, detail);
	engine_state_start(engine_answered);
}

/* ---- stopping
 * ---------------------------------------------------------------- */

static void
stop_children(void)
{
	struct timeval tv = { STOP_LIMIT_S, 0 };
	int i;

	env.stopping = 1;
	layers_stop();
	notify("STOPPING=1");
	for (i = 0; i < MAX_SLOTS; i++)
		pool_end(&slots[i], "takod stops");
	index_stop();
	event_arm(stop_timer, &tv);
	takod_check_stopped();
}

void
takod_check_stopped(void)
{
	if (!stop_requested)
		return;
	if (!env.stopping) {
		if (run_count() == 0)
			stop_children();
		return;
	}
	if (run_count() > 0 || !pool_empty())
		return;
	/* The last answers were sent when the last run ended. */
	if (proc_api() != NULL)
		proc_kill(proc_api(), "takod stops");
	else
		event_base_loopexit(env.base, NULL);
}

static void
stop_late(int fd, short events, void *arg)
{
	static const struct timeval limit = { STOP_LIMIT_S, 0 };
	struct run *r, *next;

	(void)fd;
	(void)events;
	(void)arg;
	if (!env.stopping && !interrupted) {
		log_warnx("drain_timeout: %u running jobs are interrupted",
		    run_count());
		interrupted = 1;
		event_arm(stop_timer, &limit);
		TAILQ_FOREACH_SAFE (r, &runs, entry, next)
			run_end(r, REASON_STOP);
		takod_check_stopped();
		return;
	}
	if (!env.stopping) {
		log_warnx(
		    "the ends of %u jobs could not be recorded", run_count());
		stop_children();
		return;
	}
	log_warnx("not everything went away; the next start removes it");
	event_base_loopbreak(env.base);
}

void
takod_stop(int now)
{
	struct timeval tv = { now ? 0 : env.conf->drain_timeout, 0 };
	struct msg_api_drain m;

	if (env.stopping || interrupted)
		return;
	if (!stop_requested) {
		log_info("stopping: %u jobs run", run_count());
		memset(&m, 0, sizeof(m));
		m.deadline_ms = (uint64_t)env.conf->drain_timeout * 1000;
		if (proc_api() != NULL)
			proc_send(proc_api(), MSG_T_API_DRAIN, 0, &m, -1);
	}
	stop_requested = 1;
	env.draining = 1;
	lease_beat();
	event_arm(stop_timer, &tv);
	takod_check_stopped();
}

static void
on_term(int sig, short events, void *arg)
{
	(void)sig;
	(void)events;
	(void)arg;
	takod_stop(stop_requested);
}

static void
on_quit(int sig, short events, void *arg)
{
	(void)sig;
	(void)events;
	(void)arg;
	takod_stop(1);
}

static void
on_hup(int sig, short events, void *arg)
{
	struct reload r;

	(void)sig;
	(void)events;
	(void)arg;
	reload_run(&r, 0);
	reload_free(&r);
}

/* ---- start
 * --------------------------------------------------------------------- */

/* The data directory: made if missing, ours alone, locked against another. */
static void
data_open(void)
{
	static const struct timespec pause = { 0, 20000000 };
	const char *dir = env.conf->data_dir;
	int64_t until = time_mono_us() + LOCK_US;
	int lock;

	if (data_dir_make(dir) == -1)
		fatal("data_dir: %s", dir);
	env.data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (env.data_fd == -1)
		fatal("data_dir: %s", dir);
	lock = openat(env.data_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock == -1)
		fatal("data_dir: lock");
	/* A child that a killed takod was about to start has it for a moment.
	 */
	while (flock(lock, LOCK_EX | LOCK_NB) == -1) {
		if (time_mono_us() > until)
			fatalx("data_dir: %s: another takod works there", dir);
		nanosleep(&pause, NULL);
	}
	/* Held, and open, for as long as this process lives. */
}

static void
limits_raise(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr, "usage: takod [-nv] [-c file]\n");
	exit(EX_USAGE);
}

static struct conf *
configure(const char *path, int verbose)
{
	struct conf_errors errors = { 0 }, warnings = { 0 };
	struct conf *cf;
	size_t i;

	cf = conf_load(path, &errors, &warnings);
	for (i = 0; i < errors.n; i++)
		conf_error_print(stderr, &errors.items[i]);
	if (cf != NULL) {
		conf_forget_keys(cf);
		log_init("takod",
		    verbose ? LOG_LEVEL_DEBUG : (enum log_level)cf->log_level,
		    cf->log_format == LOG_FORMAT_JSON);
	}
	for (i = 0; i < warnings.n && cf != NULL; i++)
		log_warnx("%s%s%s",
		    warnings.items[i].key != NULL ? warnings.items[i].key : "",
		    warnings.items[i].key != NULL ? ": " : "",
		    warnings.items[i].text);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (cf);
}

static void
watch_signal(int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(env.base, sig, fn, NULL);

	if (ev == NULL || event_add(ev, NULL) == -1)
		fatal("signal %d", sig);
}

int
main(int argc, char **argv)
{
	struct event_config *cfg;
	const char *path = NULL;
	char detail[512];
	int ch, check = 0, verbose = 0;

	while ((ch = getopt(argc, argv, "c:nv")) != -1) {
		switch (ch) {
		case 'c':
			path = optarg;
			break;
		case 'n':
			check = 1;
			break;
		case 'v':
			verbose = 1;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
	log_init("takod", LOG_LEVEL_INFO, 0);
	json_memory_init();
	listen_inherit();
	if ((env.conf = configure(path, verbose)) == NULL)
		exit(EX_CONFIG);
	reload_init(path);
	if (check) {
		printf("Configuration is valid!\n");
		exit(0);
	}
	priv_check();
	umask(077);
	log_nonblock();
	env.started = time_mono_us();
	data_open();
	priv_ids();
	limits_raise();
	signal(SIGPIPE, SIG_IGN);
	/* The coarse clock would end a job up to 4 ms before its time. */
	if ((cfg = event_config_new()) == NULL ||
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER) == -1 ||
	    (env.base = event_base_new_with_config(cfg)) == NULL ||
	    (stop_timer = evtimer_new(env.base, stop_late, NULL)) == NULL)
		fatal(NULL);
	event_config_free(cfg);
	watch_signal(SIGTERM, on_term);
	watch_signal(SIGINT, on_term);
	watch_signal(SIGQUIT, on_quit);
	watch_signal(SIGHUP, on_hup);
	log_info("takod %s, configuration %s", TAKO_VERSION,
	    env.conf->path != NULL ? env.conf->path : "(defaults)");
	versions_log();
	if (tls_take(env.conf, detail, sizeof(detail)) == -1)
		fatalx("%s", detail);
	tls_keep();
	if (listen_start(detail, sizeof(detail)) == -1 ||
	    admit_open(detail, sizeof(detail)) == -1 ||
	    control_open(detail, sizeof(detail)) == -1 ||
	    shared_code_open(detail, sizeof(detail)) == -1)
		fatalx("%s", detail);
	if (artifact_store_open(detail, sizeof(detail)) == -1)
		fatalx("%s", detail);
	layers_init();
	pool_init();
	queue_init();
	wait_init();
	lease_init(store_recovered);
	tenant_init();
	retain_init();
	index_init();
	proc_api_start();
	proc_watch();
	store_start();
	engine_start();
	event_base_dispatch(env.base);
	control_close();
	listen_close();
	proc_stop();
	/* It answers what the artifact stores have asked of it. */
	env.store_ops->close(env.store);
	artifact_store_close();
	env.engine_ops->close(env.engine);
	log_info("stopped");
	return (0);
}
