/*
 * main.c: tako-api, the HTTP front of takod. Runs under an id of its own with
 * no file, no new socket and no other process within reach: it has the
 * channel to its parent, the listening sockets that came over it, and its
 * clients. Everything that it reads from those is hostile; what the parent
 * says is trusted, and checked for bugs.
 *
 * Order: it looks at how it was started, takes the configuration and the
 * first listener from the parent, shuts itself in, says so, and serves.
 */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event_arm.h"
#include "json_memory.h"
#include "log.h"
#include "sandbox.h"
#include "tako-api.h"
#include "util.h"

/*
 * What a memfd for the parent may grow to: the largest body that a
 * configuration can allow. A limit cannot be raised at a reload.
 */
#define MAX_FILE (104857600 + 65536)
/* Address space: records are mapped while they are sent. */
#define MAX_MEMORY (64UL << 30)
/* Descriptors beside the connections: 0-3, loop, listeners, memfds. */
#define OTHER_FDS (64 + CONN_FILES)

/* While draining, how often it is looked whether the last client has left. */
#define DRAIN_LOOK_US 20000

static struct event *drain_timer;
static int64_t drain_until;
/* Set with the sandbox: descriptors cannot become more after that. */
static unsigned max_connections;

void
api_sandbox(void)
{
	struct sandbox sb;

	max_connections = (unsigned)api_conf.max_connections;
	memset(&sb, 0, sizeof(sb));
	sb.promises = PROMISES_API;
	sb.refused = MSG_T_API_REFUSED;
	sb.as = MAX_MEMORY;
	sb.nofile = (rlim_t)max_connections + OTHER_FDS;
	sb.fsize = MAX_FILE;
	sb.artifact_fd = -1;
	sandbox_enter(&sb);
}

/*
 * A new configuration; the listeners that hold from now on come behind it.
 * The size of a body is route.c's to judge, since who asks comes first.
 */
void
api_configure(void)
{
	struct conn_config conf;

	memset(&conf, 0, sizeof(conf));
	conf.max = (unsigned)api_conf.max_connections;
	if (max_connections != 0 && conf.max > max_connections) {
		log_warnx(
		    "more than %u connections need a restart", max_connections);
		conf.max = max_connections;
	}
	conf.max_per_source = (unsigned)api_conf.max_connections_per_source;
	conf.header_ms = (unsigned)api_conf.header_timeout_ms;
	conf.body_ms = (unsigned)api_conf.body_timeout_ms;
	conf.idle_ms = (unsigned)api_conf.idle_timeout_ms;
	conf.write_ms = (unsigned)api_conf.write_timeout_ms;
	conf.min_rate = (unsigned)api_conf.min_rate;
	conf.pipeline = (unsigned)api_conf.pipeline_depth;
	conf.max_memory = api_conf.max_memory;
	conf.limits.line = api_conf.max_line;
	conf.limits.head = api_conf.max_head;
	conf.limits.fields = (unsigned)api_conf.max_fields;
	conf.max_body = INT64_MAX;
	conn_configure(&conf);
	accept_off();
	route_forget();
	docs_configure();
}

/* Ends the process once the last client has its answer, or at the deadline. */
static void
drain_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (conn_count() == 0 || time_mono_us() >= drain_until)
		_exit(0);
}

void
api_drain(uint64_t deadline_ms)
{
	const struct timeval often = { 0, DRAIN_LOOK_US };

	drain_until = time_mono_us() + (int64_t)deadline_ms * 1000;
	conn_drain();
	if (evtimer_pending(drain_timer, NULL) == 0)
		event_arm(drain_timer, &often);
	drain_look(-1, 0, NULL);
}

int
main(int argc, char **argv)
{
	struct event_base *base;

	log_init_child("tako-api", argc, argv);
	json_memory_init();
	/* libc reads the time zone's file once: now, while it can. */
	tzset();
	sandbox_check_start("tako-api");
	signal(SIGPIPE, SIG_IGN);
	if ((base = event_base_new()) == NULL)
		fatal("event_base_new");
	drain_timer = event_new(base, -1, EV_PERSIST, drain_look, NULL);
	if (drain_timer == NULL)
		fatal("event_new");
	conn_init(base, &route_ops);
	parent_open(base);
	event_base_dispatch(base);
	fatalx("the loop ended");
}
