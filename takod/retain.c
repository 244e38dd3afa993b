/*
 * retain.c: records that ended longer ago than execution_record_ttl_days are
 * removed, with their artifacts. Runs in the parent, in the background of all
 * else: the store removes some at a time, their artifacts go one job a turn of
 * the loop, and the pauses between take nine times as long as the store's work.
 *
 * The row goes first, so nobody is shown a record without its files. Artifacts
 * that no record names, because takod was ended between the two, between the
 * files and their row, or because another takod of the database removed the
 * row, are found by going through the artifact stores now and then. One that is
 * younger than an hour is left alone; of the others the store says whether a
 * record names them, or may still come to.
 */
#include <stdlib.h>
#include <string.h>

#include "artifact_store.h"
#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define SECOND 1000000LL
#define DAY    (24 * 3600 * SECOND)
/*
 * From one sweep to the next: a twenty-fourth of the shortest time to keep, so
 * a record stays for at most that part longer. A tenth is by chance: takods
 * of one database do not all ask at once.
 */
#define SWEEP_US (3600 * SECOND)
/* A pause between two calls: at least this, and so many times the call. */
#define PAUSE_US    (SECOND / 100)
#define PAUSE_TIMES 9
/* Artifacts without a record are looked for so often, and by retain_begin. */
#define STRAYS_US DAY

static struct {
	struct event *timer; /* the next sweep, or the next call of this one */
	struct event *turn;  /* artifacts are left to do */
	int sweeping, again;
	struct store_expired gone[STORE_EXPIRE_MAX];
	size_t n_gone;
	int empty; /* the store has no more */
	int64_t asked, pause, began, removed;

	int strays;		   /* are looked for in this sweep */
	int number, first, listed; /* the artifact store */
	struct artifact_found found[ARTIFACT_LIST_MAX];
	size_t n_found;
	int64_t strays_done; /* monotonic; 0: never */
} sweep;

static void
timer_in(int64_t us)
{
	struct timeval tv = { us / SECOND, us % SECOND };

	event_arm(sweep.timer, &tv);
}

/* A timer: an event made active by its own callback would let none other in. */
static void
turn_again(void)
{
	static const struct timeval at_once = { 0, 0 };

	event_arm(sweep.turn, &at_once);
}

static int64_t
age_us(void)
{
	return (env.conf->execution_record_ttl_days * DAY);
}

static void
sweep_end(void)
{
	if (sweep.removed > 0)
		log_info("retention: %lld records that ended more than %d "
			 "days ago were removed in %lld ms",
		    (long long)sweep.removed,
		    env.conf->execution_record_ttl_days,
		    (long long)(time_mono_us() - sweep.began) / 1000);
	sweep.sweeping = 0;
	sweep.n_gone = sweep.n_found = 0;
	sweep.removed = 0;
	timer_in(sweep.again ? 0
			     : SWEEP_US - SWEEP_US / 20 +
				   arc4random_uniform(SWEEP_US / 10));
	if (sweep.again)
		sweep.strays_done = 0;
	sweep.again = 0;
}

/* ---- the artifacts of those that went --------------------------------------
 */

static void
removed(enum artifact_result result, void *arg)
{
	(void)result; /* what is left has no record: the strays' turn */
	(void)arg;
	turn_again();
}

static void
remove_next(void)
{
	const struct store_expired *e = &sweep.gone[--sweep.n_gone];
	struct artifact_place place = { .fence = 0 };

	strlcpy(place.job_id, e->id, sizeof(place.job_id));
	artifact_remove(e->artifact_store, &place, removed, NULL);
}

/* ---- artifacts without a record -------------------------------------------
 */

static void
stray_removed(enum artifact_result result, void *arg)
{
	(void)result; /* what is left of it is found again */
	(void)arg;
	turn_again();
}

static void
looked_up(enum store_result result, void *arg)
{
	const struct artifact_place *place = &sweep.found[sweep.n_found].place;

	(void)arg;
	if (result == STORE_NOT_FOUND) {
		log_info("retention: artifacts of job %s (%s, %lld), which no "
			 "record names, are removed",
		    place->job_id, artifact_store_name(sweep.listed),
		    (long long)place->fence);
		artifact_remove(artifact_store_name(sweep.listed), place,
		    stray_removed, NULL);
	} else if (result == STORE_AWAY)
		sweep_end(); /* the next one begins when it is up again */
	else
		turn_again();
}

static void
listed(enum artifact_result result, const struct artifact_found *found,
    size_t n, void *arg)
{
	int64_t before = time_wall_us() - ARTIFACT_YOUNG_US;
	size_t i;

	(void)arg;
	for (i = 0; i < n && sweep.n_found < nitems(sweep.found); i++)
		if (found[i].written < before)
			sweep.found[sweep.n_found++] = found[i];
	/* The next store, or this one's next places. */
	sweep.first = result != ARTIFACT_OK;
	if (sweep.first)
		sweep.number++;
	turn_again();
}

/* Looks at what lies in the artifact stores, one place a turn. */
static void
strays_turn(void)
{
	if (sweep.n_found > 0)
		env.store_ops->artifact_known(env.store,
		    artifact_store_name(sweep.listed),
		    &sweep.found[--sweep.n_found].place, looked_up, NULL);
	else if (artifact_store_name(sweep.number) != NULL) {
		sweep.listed = sweep.number;
		artifact_list(sweep.number, sweep.first, listed, NULL);
	} else {
		sweep.strays_done = time_mono_us();
		sweep_end();
	}
}

static void
turn(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (env.stopping) {
		sweep_end();
		return;
	}
	if (sweep.n_gone > 0)
		remove_next();
	else if (!sweep.empty)
		timer_in(sweep.pause);
	else if (sweep.strays)
		strays_turn();
	else
		sweep_end();
}

static void
expired(enum store_result result, const struct store_expired *gone, size_t n,
    void *arg)
{
	(void)arg;
	if (result != STORE_OK) {
		sweep_end();
		return;
	}
	if (n > STORE_EXPIRE_MAX)
		fatalx("%s: %zu", __func__, n);
	if (n > 0)
		memcpy(sweep.gone, gone, n * sizeof(*gone));
	sweep.n_gone = n;
	sweep.removed += (int64_t)n;
	sweep.empty = n == 0;
	sweep.pause = PAUSE_TIMES * (time_mono_us() - sweep.asked);
	if (sweep.pause < PAUSE_US)
		sweep.pause = PAUSE_US;
	turn_again();
}

static void
ask(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (env.stopping || !env.store_up) {
		if (sweep.sweeping)
			sweep_end();
		return;
	}
	sweep.asked = time_mono_us();
	if (!sweep.sweeping) {
		sweep.began = sweep.asked;
		sweep.strays = sweep.strays_done == 0 ||
			       sweep.asked - sweep.strays_done >= STRAYS_US;
		sweep.number = 0;
		sweep.first = 1;
	}
	sweep.sweeping = 1;
	env.store_ops->expire(
	    env.store, age_us(), STORE_EXPIRE_MAX, expired, NULL);
}

void
retain_init(void)
{
	sweep.timer = evtimer_new(env.base, ask, NULL);
	sweep.turn = evtimer_new(env.base, turn, NULL);
	if (sweep.timer == NULL || sweep.turn == NULL)
		fatal(NULL);
}

void
retain_begin(void)
{
	letters_sweep();
	if (sweep.sweeping)
		sweep.again = 1;
	else {
		sweep.strays_done = 0;
		timer_in(0);
	}
}
