/*
 * queue.c: from waiting rows to runs. The store is the queue; here is only
 * when it is looked at: after a submit, when a place or a slot becomes free,
 * at a wake-up of the store, and every queue_wait_timeout when none of these
 * came. Runs in the parent. At most one claim is under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "failpoint.h"
#include "log.h"
#include "takod.h"
#include "util.h"

static struct event *poll_timer, *kick_event;
static int claiming, counting;
static int64_t held_until; /* what is being claimed */
static int again;	   /* something changed while a claim was under way */

/* Whoever is refused is told to come again within this. */
#define RETRY_MOST_S 300

/*
 * How fast the queue is worked off: the time from one job that leaves it to
 * the next while others wait for a place, by a mean in which the last eight
 * count most.
 */
static struct {
	int64_t gap;   /* us; 0: none was seen yet */
	int64_t since; /* a place is waited for; 0: there is one, or no job */
} pace;

/* more: jobs that run, but are not counted yet. */
static void
pace_wait(unsigned more)
{
	unsigned places = (unsigned)env.conf->max_workers;

	if (env.queued <= 0 || run_count() + more < places)
		pace.since = 0;
	else if (pace.since == 0)
		pace.since = time_mono_us();
}

void
queue_came(void)
{
	env.queued++;
	pace_wait(0);
}

static void
queue_left(void)
{
	int64_t gap = time_mono_us() - pace.since;

	if (pace.since != 0)
		pace.gap = pace.gap == 0 ? gap : (pace.gap * 7 + gap) / 8;
	pace.since = 0;
	if (env.queued > 0)
		env.queued--;
	pace_wait(1);
}

unsigned
queue_retry_after(int64_t jobs)
{
	int64_t gap = pace.gap, s;

	/* It takes longer than it used to. */
	if (pace.since != 0 && time_mono_us() - pace.since > gap)
		gap = time_mono_us() - pace.since;
	s = (gap * (jobs < 1 ? 1 : jobs) + 999999) / 1000000;
	return ((unsigned)(s < 1 ? 1 : s > RETRY_MOST_S ? RETRY_MOST_S : s));
}

const struct conf_job_type *
queue_job_type(const char *asked)
{
	const struct conf_job_type *jt = conf_job_type(env.conf, asked);

	if (jt == NULL && !env.conf->production_mode)
		jt = conf_job_type(env.conf, "default");
	return (jt);
}

int
queue_type_refused(const struct conf_job_type *jt, char *detail, size_t len)
{
	char missing[256];
	const char *no;

	if (jt->gpu.enabled &&
	    env.engine_ops->gpu(env.engine, &jt->gpu, env.runtime, missing,
		sizeof(missing)) == -1) {
		snprintf(detail, len, "Job type %s needs a GPU: %s", jt->name,
		    missing);
		return (1);
	}
	if (jt->network_enabled &&
	    (no = env.engine_ops->no_network(env.engine, 0)) != NULL) {
		snprintf(detail, len, "Job type %s needs a network: %s",
		    jt->name, no);
		return (1);
	}
	return (0);
}

enum job_error
queue_refusal(
    const struct job *job, struct slot_kind *kind, char *detail, size_t len)
{
	const struct conf_job_type *jt = queue_job_type(job->job_type);

	memset(kind, 0, sizeof(*kind));
	kind->type = jt;
	if (jt == NULL) {
		strlcpy(detail,
		    "Unknown job type; production_mode runs only those that "
		    "are configured",
		    len);
		return (JERR_CONFIG);
	}
	if (queue_type_refused(jt, detail, len))
		return (JERR_CONFIG);
	kind->found = layer_find(jt, job->requirements, kind->layer);
	if (blob_len(job->requirements) == 0 ||
	    env.conf->allow_runtime_requirements)
		return (JERR_NONE);
	strlcpy(detail,
	    "Runtime dependency installation is disabled. Use pre-built images "
	    "or set allow_runtime_requirements=True.",
	    len);
	return (JERR_DEPENDENCY);
}

static void
counted(enum store_result result, const struct store_counts *c, void *arg)
{
	(void)arg;
	counting = 0;
	if (result != STORE_OK)
		return;
	env.queued = c->queued;
	env.tenants_waiting = c->tenants;
	if (env.queued == 0)
		pace.since = 0;
}

/* Other takods move rows too, and who has them is known to the store alone. */
static void
count(void)
{
	if (counting || !env.store_up)
		return;
	counting = 1;
	env.store_ops->counts(env.store, counted, NULL);
}

static void
claimed(enum store_result result, struct job *job, void *arg)
{
	(void)arg;
	claiming = 0;
	if (result == STORE_OK) {
		FAILPOINT("takod.claimed");
		queue_left();
		run_begin(job, NULL, 0, held_until);
		queue_kick();
		return;
	}
	job_free(job);
	if (result == STORE_NOT_FOUND)
		/* Rows that are not due yet wait too. */
		count();
	if (again)
		queue_kick();
}

static void
look(int fd, short events, void *arg)
{
	struct timeval tv;
	double wait = env.conf->queue_wait_timeout;

	(void)fd;
	(void)events;
	(void)arg;
	tv.tv_sec = (time_t)wait;
	tv.tv_usec = (suseconds_t)((wait - (double)tv.tv_sec) * 1e6);
	event_arm(poll_timer, &tv);
	again = 0;
	if (!env.ready || !env.store_up || env.draining || env.stopping ||
	    !engine_state_usable() ||
	    run_count() >= (unsigned)env.conf->max_workers)
		return;
	/* A half-open breaker is tried with one job at a time. */
	if (env.breaker.state == BREAKER_HALF_OPEN && run_count() > 0)
		return;
	if (claiming) {
		again = 1;
		return;
	}
	claiming = 1;
	held_until = lease_until(time_boot_us());
	env.store_ops->claim(env.store, 0, claimed, NULL);
}

static void
poll_late(int fd, short events, void *arg)
{
	pool_fill();
	if (env.queued > 0)
		count();
	look(fd, events, arg);
}

void
queue_kick(void)
{
	/* Not from within a caller's own work: the loop's next turn. */
	if (kick_event != NULL)
		event_active(kick_event, 0, 0);
}

void
queue_released(enum store_result result, void *arg)
{
	(void)arg;
	if (result == STORE_OK)
		queue_came();
}

void
queue_init(void)
{
	poll_timer = evtimer_new(env.base, poll_late, NULL);
	kick_event = event_new(env.base, -1, 0, look, NULL);
	if (poll_timer == NULL || kick_event == NULL)
		fatal(NULL);
	queue_kick();
}
