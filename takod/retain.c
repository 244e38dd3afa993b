/*
 * retain.c: records that ended longer ago than execution_record_ttl_days are
 * removed, with their artifacts. Runs in the parent, in the background of all
 * else: the store removes some at a time, their folders go one a turn of the
 * loop, and the pauses between take nine times as long as the store's work.
 *
 * The row goes first, so nobody is shown a record without its files. A folder
 * whose row is gone, because takod was ended between the two or because another
 * takod of the database removed the row, is found at the end of each sweep.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
/* Folders that are looked at in a turn of the loop. */
#define LOOKS 32

static struct {
	struct event *timer; /* the next sweep, or the next call of this one */
	struct event *turn;  /* folders are left to do */
	int sweeping, again;
	store_id ids[STORE_EXPIRE_MAX];
	size_t n_ids;
	int empty; /* the store has no more */
	DIR *folders;
	store_id looked_up;
	int64_t asked, pause, began, removed;
} sweep;

static void
timer_in(int64_t us)
{
	struct timeval tv = { us / SECOND, us % SECOND };

	event_add(sweep.timer, &tv);
}

/* A timer: an event made active by its own callback would let none other in. */
static void
turn_again(void)
{
	static const struct timeval at_once = { 0, 0 };

	event_add(sweep.turn, &at_once);
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
	if (sweep.folders != NULL)
		closedir(sweep.folders);
	sweep.folders = NULL;
	sweep.sweeping = 0;
	sweep.removed = 0;
	timer_in(sweep.again ? 0
			     : SWEEP_US - SWEEP_US / 20 +
				   arc4random_uniform(SWEEP_US / 10));
	sweep.again = 0;
}

static void
folder_remove(const char *id)
{
	char path[64];

	snprintf(path, sizeof(path), "artifacts/%s", id);
	pool_folder_remove(path);
}

static void
looked_up(enum store_result result, struct job *job, void *arg)
{
	(void)arg;
	job_free(job);
	if (result == STORE_NOT_FOUND) {
		log_info("retention: artifacts of job %s, whose record is "
			 "gone, are removed",
		    sweep.looked_up);
		folder_remove(sweep.looked_up);
	}
	if (result == STORE_AWAY)
		sweep_end(); /* the next one begins when it is up again */
	else
		turn_again();
}

/* Looks at some folders. 1: the store was asked for the job of one. */
static int
folders_look(void)
{
	time_t before = (time_t)((time_wall_us() - age_us()) / SECOND);
	struct dirent *d;
	struct stat st;
	int i;

	for (i = 0; i < LOOKS; i++) {
		if ((d = readdir(sweep.folders)) == NULL) {
			sweep_end();
			return (1);
		}
		/* Not touched since before the record could have ended. */
		if (d->d_name[0] == '.' || strlen(d->d_name) > MAX_JOB_ID ||
		    fstatat(dirfd(sweep.folders), d->d_name, &st,
			AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISDIR(st.st_mode) || st.st_mtime >= before)
			continue;
		strlcpy(sweep.looked_up, d->d_name, sizeof(sweep.looked_up));
		env.store_ops->get(
		    env.store, sweep.looked_up, WANT_STATUS, looked_up, NULL);
		return (1);
	}
	return (0);
}

static void
folders_begin(void)
{
	int fd;

	fd = openat(
	    env.data_fd, "artifacts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || (sweep.folders = fdopendir(fd)) == NULL) {
		log_warn("retention: artifacts");
		close_fd(&fd);
		sweep_end();
		return;
	}
	turn_again();
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
	if (sweep.folders != NULL) {
		if (folders_look() == 0)
			turn_again();
		return;
	}
	if (sweep.n_ids > 0) {
		folder_remove(sweep.ids[--sweep.n_ids]);
		turn_again();
	} else if (sweep.empty)
		folders_begin();
	else
		timer_in(sweep.pause);
}

static void
expired(enum store_result result, const store_id *ids, size_t n, void *arg)
{
	(void)arg;
	if (result != STORE_OK) {
		sweep_end();
		return;
	}
	if (n > STORE_EXPIRE_MAX)
		fatalx("%s: %zu", __func__, n);
	if (n > 0)
		memcpy(sweep.ids, ids, n * sizeof(*ids));
	sweep.n_ids = n;
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
	if (!sweep.sweeping)
		sweep.began = sweep.asked;
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
	else
		timer_in(0);
}
