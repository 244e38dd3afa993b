/*
 * wait.c: requests that wait for a job's end: POST /execute, and GET with
 * wait. Runs in the parent. A waiter that gives up or goes away changes
 * nothing, but for the one that began the job synchronously and may want it
 * cancelled (job.c).
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "takod.h"
#include "util.h"

/* More than tako-api may have connections at any configuration's default. */
#define WAIT_MAX 65536

struct waiter {
	TAILQ_ENTRY(waiter) entry;
	uint32_t req;
	char job_id[MAX_JOB_ID + 1];
	enum view view;
	int sync;	     /* began the job */
	int keep;	     /* ... and it has an idempotency key */
	struct event *timer; /* NULL: waits as long as it takes */
};
static TAILQ_HEAD(, waiter) waiters = TAILQ_HEAD_INITIALIZER(waiters);
static unsigned n_waiters;

static void
waiter_free(struct waiter *w)
{
	TAILQ_REMOVE(&waiters, w, entry);
	n_waiters--;
	if (w->timer != NULL)
		event_free(w->timer);
	free(w);
}

struct late {
	uint32_t req;
	enum view view;
};

/* The wait is over, the job is not: the record as it stands. */
static void
late_record(enum store_result result, struct job *job, void *arg)
{
	struct late *l = arg;

	if (result == STORE_OK)
		reply_record(proc_api(), l->req, job, l->view,
		    !job_status_terminal(job->status), 0);
	else
		reply_error(l->req,
		    result == STORE_NOT_FOUND ? REP_NOT_FOUND : REP_UNAVAILABLE,
		    NULL, "");
	job_free(job);
	free(l);
}

static void
waited(int fd, short events, void *arg)
{
	struct waiter *w = arg;
	struct late *l;

	(void)fd;
	(void)events;
	if ((l = malloc(sizeof(*l))) == NULL)
		reply_error(w->req, REP_INTERNAL, w->job_id, "");
	else {
		l->req = w->req;
		l->view = w->view;
		env.store_ops->get(
		    env.store, w->job_id, WANT_STATUS, late_record, l);
	}
	waiter_free(w);
}

void
wait_add(uint32_t req, const char *job_id, enum view view, int64_t wait_ms,
    int sync, int keep)
{
	struct timeval tv = { wait_ms / 1000, wait_ms % 1000 * 1000 };
	struct waiter *w;

	if (n_waiters >= WAIT_MAX || (w = calloc(1, sizeof(*w))) == NULL) {
		reply_error(req, REP_UNAVAILABLE, job_id, "Too many waiters");
		return;
	}
	w->req = req;
	strlcpy(w->job_id, job_id, sizeof(w->job_id));
	w->view = view;
	w->sync = sync;
	w->keep = keep;
	TAILQ_INSERT_TAIL(&waiters, w, entry);
	n_waiters++;
	if (wait_ms > 0 &&
	    (w->timer = evtimer_new(env.base, waited, w)) != NULL)
		event_add(w->timer, &tv);
}

const char *
wait_gone(uint32_t req, int *cancel)
{
	static char job_id[MAX_JOB_ID + 1];
	struct waiter *w;

	TAILQ_FOREACH (w, &waiters, entry)
		if (w->req == req)
			break;
	if (w == NULL)
		return (NULL);
	*cancel = w->sync && !w->keep;
	strlcpy(job_id, w->job_id, sizeof(job_id));
	waiter_free(w);
	return (job_id);
}

void
wait_job_ended(const struct job *job)
{
	struct waiter *w, *next;

	find_kick();
	TAILQ_FOREACH_SAFE (w, &waiters, entry, next) {
		if (strcmp(w->job_id, job->id) != 0)
			continue;
		reply_record(proc_api(), w->req, job, w->view, 0, 0);
		waiter_free(w);
	}
}

void
wait_drop_all(void)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&waiters)) != NULL)
		waiter_free(w);
}
