/*
 * engine_state.c: is the container engine there, and may it be asked? Runs in
 * the parent: the probe at start, a ping every few seconds, and the circuit
 * breaker that keeps a failing engine from being asked over and over.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define PING_S 5

static struct event *ping_timer;
static void (*started)(void);

static void ping(int, short, void *);

static void
again_in(int seconds)
{
	struct timeval tv = { seconds, 0 };

	event_arm(ping_timer, &tv);
}

/* takod serves once it knows: jobs wait for an engine that is away. */
static void
first_answer(void)
{
	void (*done)(void) = started;

	started = NULL;
	if (done != NULL)
		done();
}

static void
reconciled(enum engine_error error, const char *detail, void *arg)
{
	(void)arg;
	if (error != ENGINE_OK)
		log_warnx(
		    "containers of a former life may be left: %s", detail);
	env.engine_up = 1;
	again_in(PING_S);
	first_answer();
	pool_fill();
	queue_kick();
}

static void
probed(const struct engine_probe *p, void *arg)
{
	(void)arg;
	if (p->error == ENGINE_OK) {
		env.probe = *p;
		env.runtime = p->runtime;
		env.gvisor = p->runtime == RUNTIME_RUNSC;
		log_info("engine %s: %s %s; a job sees kernel: %s",
		    env.engine_ops->name, runtime_name(p->runtime), p->version,
		    p->kernel);
		if (env.fallback)
			log_warnx("PERMISSIVE MODE: gVisor does not work here; "
				  "jobs run under runc, with the host's "
				  "kernel as their wall");
		/* Whatever a former life left goes before anything new. */
		env.engine_ops->reconcile(env.engine, reconciled, NULL);
		return;
	}
	if (p->error == ENGINE_AWAY || p->error == ENGINE_DEADLINE) {
		log_warnx("engine %s is away: %s; jobs wait",
		    env.engine_ops->name, p->detail);
		again_in(PING_S);
		first_answer();
		return;
	}
	if (p->error == ENGINE_NO_IMAGE)
		fatalx("%s", p->detail);
	if (env.conf->container_runtime == RUNTIME_RUNSC &&
	    env.conf->security_mode == SECURITY_STRICT)
		fatalx("RuntimeUnavailableError: security_mode is strict and "
		       "runsc does not run a container: %s; %s",
		    p->detail, engine_how_to_install);
	if (engine_falls_back(env.conf, p->runtime, p->error)) {
		log_warnx("runsc does not run a container: %s", p->detail);
		env.fallback = 1;
		env.engine_ops->probe(env.engine, RUNTIME_RUNC, probed, NULL);
		return;
	}
	fatalx("RuntimeUnavailableError: no container runtime works: %s",
	    p->detail);
}

static void
probe(void)
{
	env.fallback = 0;
	env.engine_ops->probe(
	    env.engine, env.conf->container_runtime, probed, NULL);
}

static void
pinged(enum engine_error error, const char *detail, void *arg)
{
	int up = error == ENGINE_OK;

	(void)arg;
	if (up != env.engine_up) {
		if (up)
			log_info(
			    "engine %s answers again", env.engine_ops->name);
		else
			log_warnx("engine %s is away: %s; jobs wait",
			    env.engine_ops->name, detail);
	}
	if (up && !env.engine_up) {
		/* It was away, and is back: worth a try, by one job. */
		env.breaker.opened_at = 0;
		/* What was left while it could not be reached goes first. */
		env.engine_ops->reconcile(env.engine, reconciled, NULL);
		return;
	}
	env.engine_up = up;
	again_in(up ? PING_S : 1);
	if (up)
		pool_fill();
}

static void
ping(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (env.stopping)
		return;
	if (env.runtime == RUNTIME_NONE)
		probe();
	else
		env.engine_ops->ping(env.engine, pinged, NULL);
}

void
engine_state_start(void (*done)(void))
{
	started = done;
	if ((ping_timer = evtimer_new(env.base, ping, NULL)) == NULL)
		fatal(NULL);
	probe();
}

int
engine_state_usable(void)
{
	struct breaker *b = &env.breaker;

	if (!env.engine_up || env.runtime == RUNTIME_NONE)
		return (0);
	if (b->state == BREAKER_OPEN &&
	    time_mono_us() - b->opened_at >= BREAKER_OPEN_US) {
		log_info("engine %s: trying again (breaker half open)",
		    env.engine_ops->name);
		b->state = BREAKER_HALF_OPEN;
		b->successes = 0;
	}
	return (b->state != BREAKER_OPEN);
}

void
engine_state_failed(enum engine_error error, const char *detail)
{
	struct breaker *b = &env.breaker;

	log_warnx("engine %s: %s", env.engine_ops->name, detail);
	b->failures++;
	b->successes = 0;
	b->last_failure = time_wall_us();
	if (error == ENGINE_AWAY && env.engine_up) {
		env.engine_up = 0;
		again_in(1);
	}
	if (b->state == BREAKER_HALF_OPEN ||
	    (b->state == BREAKER_CLOSED && b->failures >= BREAKER_FAILURES)) {
		b->state = BREAKER_OPEN;
		b->opened_at = time_mono_us();
		log_error("engine %s failed %u times in a row: not asked for "
			  "%lld s (breaker open)",
		    env.engine_ops->name, b->failures,
		    BREAKER_OPEN_US / 1000000);
	}
}

void
engine_state_worked(void)
{
	struct breaker *b = &env.breaker;

	b->failures = 0;
	b->successes++;
	if (b->state == BREAKER_HALF_OPEN && b->successes >= BREAKER_CLOSE) {
		b->state = BREAKER_CLOSED;
		log_info("engine %s works again (breaker closed)",
		    env.engine_ops->name);
	}
}
