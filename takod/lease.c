/*
 * lease.c: what this takod holds, and for how long. Runs in the parent.
 *
 * Every third of lease_seconds a heartbeat extends the leases of all jobs that
 * run here, and takes up jobs that nobody holds any more: those of this node's
 * own former life, at once, and those of a takod whose lease has run out. What
 * had not begun waits again; the others end as interrupted.
 *
 * Correctness is the fence's: whoever lost a job changes nothing in its row,
 * and hands no code over before the row says so. The lease is so that a job
 * does not wait for ever for a takod that is gone, and so that nothing runs on
 * that its record says is over: who cannot extend a lease kills what runs
 * before anybody may take it up. It counts that by its own clock, which goes
 * on while the host is suspended, from before the heartbeat was sent.
 *
 * Nothing is killed for want of a lease where nobody is known who could take
 * it: with SQLite, and while no other takod was alive at the last heartbeat.
 * One that comes to the same database during the outage may take it up all the
 * same; then the next heartbeat says so, and it is killed late.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* Parts of lease_seconds. */
#define TICKS	  12	    /* from one look at the clock to the next */
#define BEATS	  3	    /* from one heartbeat to the next */
#define MARGIN(l) ((l) / 6) /* for a tick, and for killing */

static struct {
	struct event *timer;
	void (*recovered)(void);
	int beating, again, first_done;
	uint64_t serial;  /* of the heartbeat under way */
	int64_t sent;	  /* this and the next: time_boot_us */
	int64_t up_since; /* 0: the store is away */
	int64_t next;
	int64_t clock; /* the store's, less time_boot_us; 0: not known */
} lease;

static int64_t
lease_us(void)
{
	return (env.conf->lease_seconds * INT64_C(1000000));
}

int64_t
lease_until(int64_t asked)
{
	return (asked + lease_us() - MARGIN(lease_us()));
}

int
lease_over(const struct run *r)
{
	return (env.store_ops->shared && env.nodes > 1 &&
		time_boot_us() >= r->held_until);
}

/* ---- the heartbeat ----------------------------------------------------------
 */

static const struct store_lease *
find(const struct store_beat *b, const struct run *r)
{
	size_t i;

	for (i = 0; i < b->n_jobs; i++)
		if (b->jobs[i].status == JOB_RUNNING &&
		    b->jobs[i].fence == r->job->fence &&
		    strcmp(b->jobs[i].id, r->job->id) == 0)
			return (&b->jobs[i]);
	return (NULL);
}

/* What the heartbeat asked for: it is still ours, or somebody took it. */
static void
held(const struct store_beat *b)
{
	const struct store_lease *l;
	struct run *r, *next;

	TAILQ_FOREACH_SAFE (r, &runs, entry, next) {
		if (r->beat != lease.serial)
			continue;
		if ((l = find(b, r)) == NULL) {
			run_lost(r, "somebody else has taken it up");
			continue;
		}
		r->held_until = lease_until(lease.sent);
		if (l->cancel)
			run_end(r, REASON_CANCEL);
	}
}

static void
taken_up(const struct store_beat *b)
{
	int64_t again = 0, ended = 0;
	size_t i;

	for (i = 0; i < b->n_jobs; i++) {
		if (b->jobs[i].status == JOB_RUNNING)
			continue;
		log_info("job %s: nobody held it any more, it is %s",
		    b->jobs[i].id, job_status_name(b->jobs[i].status));
		if (b->jobs[i].status == JOB_QUEUED)
			again++;
		else {
			ended++;
			wait_look(b->jobs[i].id);
		}
	}
	if (again + ended == 0)
		return;
	log_info("%s: %lld run again, %lld were interrupted",
	    lease.first_done ? "jobs of takods that are gone"
			     : "rows of a former life",
	    (long long)again, (long long)ended);
	if (again > 0)
		queue_kick();
}

/*
 * The store's clock against this host's, which nobody sets. Where it was put
 * forward, every lease has run out, and everybody lives: nobody takes anything
 * up for as long as it takes all to extend theirs.
 */
static void
look_at_clock(int64_t now)
{
	int64_t was = lease.clock;

	lease.clock = now - lease.sent;
	if (was == 0 || lease.clock <= was + lease_us() / 2)
		return;
	log_warnx("the store's clock was put forward by %lld s",
	    (long long)(lease.clock - was) / 1000000);
	lease.up_since = lease.sent;
}

static void
beaten(enum store_result result, const struct store_beat *b, void *arg)
{
	(void)arg;
	lease.beating = 0;
	if (result != STORE_OK) {
		lease.next = time_boot_us() + lease_us() / TICKS;
		return;
	}
	env.nodes = b->nodes;
	env.nodes_running = b->running;
	env.nodes_workers = b->max_workers;
	env.queued = b->queued;
	look_at_clock(b->now);
	held(b);
	taken_up(b);
	if (!lease.first_done) {
		lease.first_done = 1;
		lease.recovered();
	}
	if (lease.again)
		lease_beat();
}

void
lease_beat(void)
{
	struct store_pulse p = { .running = (int)run_count() };
	store_id *ids;
	struct run *r;

	lease.again = lease.beating;
	if (lease.beating || lease.up_since == 0)
		return;
	ids = xcalloc((size_t)p.running + 1, sizeof(*ids));
	lease.serial++;
	TAILQ_FOREACH (r, &runs, entry) {
		r->beat = lease.serial;
		strlcpy(ids[p.n_held++], r->job->id, sizeof(*ids));
	}
	p.held = ids;
	p.max_workers = env.conf->max_workers;
	p.draining = env.draining != 0;
	p.uptime_us = time_mono_us() - env.started;
	lease.beating = 1;
	lease.sent = time_boot_us();
	lease.next = lease.sent + lease_us() / BEATS;
	/*
	 * Where the database was away, the leases of all have run out: who
	 * comes back first leaves the others the time to come back too.
	 */
	if (lease.first_done && lease.sent - lease.up_since > lease_us())
		p.reap_until = lease.clock + lease.sent + lease_us() / 2;
	env.store_ops->beat(env.store, &p, beaten, NULL);
	free(ids);
}

/* ---- the clock --------------------------------------------------------------
 */

static void
tick(int fd, short events, void *arg)
{
	struct timeval tv = { 0, 0 };
	struct run *r, *next;
	int64_t us = lease_us() / TICKS;

	(void)fd;
	(void)events;
	(void)arg;
	tv.tv_sec = us / 1000000;
	tv.tv_usec = us % 1000000;
	event_arm(lease.timer, &tv);
	TAILQ_FOREACH_SAFE (r, &runs, entry, next)
		if (lease_over(r))
			run_lost(r, "the lease could not be extended in time");
	if (time_boot_us() >= lease.next)
		lease_beat();
}

void
lease_store(int up)
{
	if (up == (lease.up_since != 0))
		return;
	lease.up_since = up ? time_boot_us() : 0;
	if (up)
		lease_beat();
}

void
lease_init(void (*recovered)(void))
{
	lease.recovered = recovered;
	if ((lease.timer = evtimer_new(env.base, tick, NULL)) == NULL)
		fatal(NULL);
	tick(-1, 0, NULL);
}
