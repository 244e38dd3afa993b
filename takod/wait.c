/*
 * wait.c: requests that wait for a job's end: POST /execute, and GET with
 * wait. Runs in the parent. A waiter that gives up or goes away changes
 * nothing, but for the one that began the job synchronously and may want it
 * cancelled (job.c).
 *
 * A job may end on another takod, which wakes this one; a wake-up can get lost,
 * so the store is asked every queue_wait_timeout about what does not run here.
 */
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* More than tako-api may have connections at any configuration's default. */
#define WAIT_MAX 65536
/* A store that is away for longer is not waited for. */
#define STORE_PATIENCE_S 10

struct waiter {
	TAILQ_ENTRY(waiter) entry;
	uint64_t req;
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
	uint64_t req;
	enum view view;
};

/* The wait is over, the job is not: the record as it stands. */
static void
late_record(enum store_result result, struct job *job, void *arg)
{
	struct late *l = arg;

	if (result == STORE_OK)
		reply_record(
		    l->req, job, l->view, !job_status_terminal(job->status), 0);
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
wait_add(uint64_t req, const char *job_id, enum view view, int64_t wait_ms,
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
		event_arm(w->timer, &tv);
}

const char *
wait_gone(uint64_t req, int *cancel)
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

	index_kick();
	TAILQ_FOREACH_SAFE (w, &waiters, entry, next) {
		if (strcmp(w->job_id, job->id) != 0)
			continue;
		reply_record(w->req, job, w->view, 0, 0);
		waiter_free(w);
	}
}

/* ---- jobs that end elsewhere ------------------------------------------------
 */

static struct event *poll_timer;

static void
look_got(enum store_result result, struct job *job, void *arg)
{
	char *id = arg;
	struct waiter *w, *next;

	if (result == STORE_OK && job_status_terminal(job->status))
		wait_job_ended(job);
	else if (result == STORE_NOT_FOUND)
		TAILQ_FOREACH_SAFE (w, &waiters, entry, next) {
			if (strcmp(w->job_id, id) != 0)
				continue;
			reply_error(w->req, REP_NOT_FOUND, NULL, "");
			waiter_free(w);
		}
	job_free(job);
	free(id);
}

void
wait_look(const char *job_id)
{
	struct waiter *w;

	TAILQ_FOREACH (w, &waiters, entry)
		if (strcmp(w->job_id, job_id) == 0)
			break;
	if (w != NULL)
		env.store_ops->get(
		    env.store, job_id, WANT_OUTPUT, look_got, xstrdup(job_id));
}

static void
poll_answered(
    enum store_result result, const store_id *ids, size_t n, void *arg)
{
	size_t i;

	(void)result;
	(void)arg;
	for (i = 0; i < n; i++)
		wait_look(ids[i]);
}

static void
poll_store(int fd, short events, void *arg)
{
	static store_id ids[STORE_ENDED_MAX];
	struct timeval tv;
	struct waiter *w;
	size_t n = 0;

	(void)fd;
	(void)events;
	(void)arg;
	tv.tv_sec = (time_t)env.conf->queue_wait_timeout;
	tv.tv_usec =
	    (suseconds_t)((env.conf->queue_wait_timeout - (double)tv.tv_sec) *
			  1e6);
	event_arm(poll_timer, &tv);
	if (!env.store_up)
		return;
	TAILQ_FOREACH (w, &waiters, entry) {
		if (run_find(w->job_id) != NULL)
			continue;
		strlcpy(ids[n++], w->job_id, sizeof(*ids));
		if (n == nitems(ids)) {
			env.store_ops->ended(
			    env.store, ids, n, poll_answered, NULL);
			n = 0;
		}
	}
	if (n > 0)
		env.store_ops->ended(env.store, ids, n, poll_answered, NULL);
}

void
wait_init(void)
{
	if ((poll_timer = evtimer_new(env.base, poll_store, NULL)) == NULL)
		fatal(NULL);
	poll_store(-1, 0, NULL);
}

/* ---- a store that is away -------------------------------------------------
 */

static void
store_late(int fd, short events, void *arg)
{
	struct waiter *w;

	(void)fd;
	(void)events;
	(void)arg;
	while ((w = TAILQ_FIRST(&waiters)) != NULL) {
		reply_error(w->req, REP_UNAVAILABLE, w->job_id,
		    "The database is not available; the job goes on");
		waiter_free(w);
	}
}

void
wait_store_state(int up)
{
	static const struct timeval patience = { STORE_PATIENCE_S, 0 };
	static struct event *timer;

	if (timer == NULL &&
	    (timer = evtimer_new(env.base, store_late, NULL)) == NULL)
		return;
	if (up)
		event_del(timer);
	else if (!event_pending(timer, EV_TIMEOUT, NULL))
		event_arm(timer, &patience);
}

void
wait_drop_all(void)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&waiters)) != NULL)
		waiter_free(w);
}
