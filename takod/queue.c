/*
 * queue.c: from waiting rows to runs. The store is the queue; here is only
 * when it is looked at: after a submit, when a place or a slot becomes free,
 * at a wake-up of the store, and every queue_wait_timeout when none of these
 * came. Runs in the parent. At most one claim is under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failpoint.h"
#include "log.h"
#include "takod.h"
#include "util.h"

static struct event *poll_timer, *kick_event;
static int claiming;
static int again; /* something changed while a claim was under way */

int
queue_job_type(const char *asked, const struct conf_job_type **jt, char *detail,
    size_t len)
{
	*jt = conf_job_type(env.conf, asked);
	if (*jt == NULL && !env.conf->production_mode)
		*jt = conf_job_type(env.conf, "default");
	if (*jt == NULL) {
		snprintf(detail, len,
		    "Unknown job type; production_mode runs only those that "
		    "are configured");
		return (-1);
	}
	if ((*jt)->network_enabled || (*jt)->gpu.enabled ||
	    (*jt)->requirements.n > 0 || (*jt)->shared_code.n > 0) {
		snprintf(detail, len,
		    "Job type %s needs %s, which this takod cannot give",
		    (*jt)->name,
		    (*jt)->network_enabled	? "a network"
		    : (*jt)->gpu.enabled	? "a GPU"
		    : (*jt)->requirements.n > 0 ? "packages"
						: "shared_code");
		return (-1);
	}
	return (0);
}

static void
counted(enum store_result result, const struct store_counts *c, void *arg)
{
	(void)arg;
	if (result == STORE_OK)
		env.queued = c->queued;
}

static void
claimed(enum store_result result, struct job *job, void *arg)
{
	(void)arg;
	claiming = 0;
	if (result == STORE_OK) {
		FAILPOINT("takod.claimed");
		if (env.queued > 0)
			env.queued--;
		run_begin(job, NULL, 0);
		queue_kick();
		return;
	}
	job_free(job);
	if (result == STORE_NOT_FOUND)
		/* Rows that are not due yet wait too. */
		env.store_ops->counts(env.store, counted, NULL);
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
	event_add(poll_timer, &tv);
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
	env.store_ops->claim(env.store, 0, claimed, NULL);
}

static void
poll_late(int fd, short events, void *arg)
{
	pool_fill();
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
		env.queued++;
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
