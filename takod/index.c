/*
 * index.c: the words of jobs that have ended are indexed, so that searches find
 * them. Runs in the parent, in the background of all else: the store gives the
 * texts of some jobs, a child takes them apart, the store is given the words.
 * The pauses between take PAUSE_TIMES as long as that, PAUSE_MOST at most; and
 * KICK_US at least where more did not wait, since some together cost less.
 *
 * Code and output are hostile, so nothing of them is looked at here. The child
 * is tako-worker in another role, with a sandbox and an id that no other has;
 * it is started when there is something to do and ended when there was nothing
 * for a while. It gets one job's texts in each frame, a few ahead, and answers
 * in order with bytes that words_valid must let pass. One that crashes, hangs
 * or lies was at the first job that is not answered: that one is tried once
 * more, by the next child, and is then known without words.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define SECOND	    1000000LL
#define KICK_US	    (SECOND / 4)  /* some end meanwhile */
#define POLL_US	    (60 * SECOND) /* other takods leave some */
#define AGAIN_US    (5 * SECOND)  /* no child could be had */
#define PAUSE_US    (SECOND / 100)
#define PAUSE_TIMES 4
#define PAUSE_MOST  SECOND /* however long one hung */
#define IDLE_US	    (10 * SECOND)
#define AHEAD	    8	 /* jobs that the child has at a time */
#define ANSWER_MS   5000 /* for each; milliseconds are usual */
#define TRIES	    2

enum phase {
	WAITING, /* for the timer */
	ASKING,	 /* the store for texts */
	READING, /* the child */
	WRITING	 /* the store */
};

static struct {
	struct event *timer, *idle;
	enum phase phase;
	int soon; /* the timer does not wait for POLL_US */
	int64_t began;
	struct child *child;
	struct store_texts texts[STORE_INDEX_MAX];
	struct store_words words[STORE_INDEX_MAX];
	size_t n, sent, answered;
	int tries; /* children that the first one not answered has ended */
	uint64_t number; /* of the first of these */
} x;

static void child_gone(struct child *, void *);

static void
timer_in(int64_t us)
{
	struct timeval tv = { us / SECOND, us % SECOND };

	event_arm(x.timer, &tv);
}

/* Forgets what is under way; the store still has what it did not write. */
static void
batch_end(int more, int64_t us)
{
	static const struct timeval idle = { IDLE_US / SECOND, 0 };
	size_t i;

	if (x.child != NULL && x.sent > x.answered)
		proc_kill(x.child, "its answer is not wanted any more");
	for (i = 0; i < x.n; i++) {
		blob_unref(x.texts[i].texts);
		blob_unref(x.words[i].words);
	}
	x.number += x.n;
	x.n = x.sent = x.answered = 0;
	x.tries = 0;
	x.phase = WAITING;
	x.soon = more;
	timer_in(us);
	if (x.child != NULL) {
		proc_deadline(x.child, 0);
		event_arm(x.idle, &idle);
	}
}

static void
written(enum store_result result, void *arg)
{
	int64_t pause = PAUSE_TIMES * (time_mono_us() - x.began);
	int64_t least = x.n == STORE_INDEX_MAX ? PAUSE_US : KICK_US;

	(void)arg;
	if (result != STORE_OK)
		batch_end(0, POLL_US);
	else
		batch_end(1, pause < least	  ? least
			     : pause > PAUSE_MOST ? PAUSE_MOST
						  : pause);
}

static void
batch_write(void)
{
	size_t i;

	x.phase = WRITING;
	for (i = 0; i < x.n; i++)
		x.words[i].seq = x.texts[i].seq;
	env.store_ops->indexed(env.store, x.words, x.n, written, NULL);
}

/* ---- the child -------------------------------------------------------------
 */

/* Sends what it may have. */
static void
child_feed(void)
{
	const struct store_texts *t;
	struct msg_words_text m;
	int fd;

	while (x.sent < x.n && x.sent - x.answered < AHEAD) {
		t = &x.texts[x.sent];
		m.number = x.number + x.sent;
		m.error_len = t->len[TEXT_ERROR];
		m.code_len = t->len[TEXT_CODE];
		m.stderr_len = t->len[TEXT_STDERR];
		m.stderr_end_len = t->len[TEXT_STDERR_END];
		m.stdout_len = t->len[TEXT_STDOUT];
		m.stdout_end_len = t->len[TEXT_STDOUT_END];
		if ((fd = blob_fd(t->texts)) == -1) {
			log_warn("texts of job %s", t->id);
			batch_end(0, AGAIN_US);
			return;
		}
		if (proc_send(x.child, MSG_T_WORDS_TEXT, 0, &m, fd) == -1)
			return; /* it ends */
		x.sent++;
	}
	proc_deadline(x.child, ANSWER_MS);
}

/* The batch goes to the child, which is started if there is none. */
static void
child_work(void)
{
	static const struct msg_words_setup setup;
	uid_t uid =
	    env.worker_uid != 0 ? env.worker_uid : ID_WORDS(env.uid_base);
	gid_t gid = env.worker_uid != 0 ? env.worker_gid : uid;

	event_del(x.idle);
	if (x.child == NULL) {
		x.child = proc_spawn(FROM_WORDS, uid, gid, child_gone, NULL);
		if (x.child == NULL)
			batch_end(0, AGAIN_US);
		else
			proc_send(x.child, MSG_T_WORDS_SETUP, 0, &setup, -1);
	} else if (x.child->state == CHILD_SERVING && x.child->why == NULL)
		child_feed();
}

void
index_child_ready(struct child *c)
{
	(void)c;
	if (x.phase == READING)
		child_feed();
}

/* The first one that is not answered has these words; blob is taken over. */
static void
answered(struct blob *words)
{
	x.words[x.answered++].words = words;
	x.tries = 0;
}

static void
child_gone(struct child *c, void *arg)
{
	(void)arg;
	event_del(x.idle);
	x.child = NULL;
	if (x.phase != READING)
		return;
	if (env.stopping || c->state != CHILD_SERVING) {
		batch_end(0, AGAIN_US); /* it never began: no job's fault */
		return;
	}
	if (x.sent > x.answered && ++x.tries == TRIES) {
		log_warnx("job %s cannot be searched for: what takes its texts "
			  "apart ends each time",
		    x.texts[x.answered].id);
		answered(NULL);
	}
	x.sent = x.answered;
	if (x.answered == x.n)
		batch_write();
	else
		child_work();
}

const char *
index_words(struct child *c, const struct msg_words_done *m, int fd)
{
	struct blob *words;

	if (x.phase != READING || x.answered == x.sent ||
	    m->number != x.number + x.answered) {
		close_fd(&fd);
		return ("was not asked");
	}
	if ((words = blob_from_memfd(fd, m->len)) == NULL && errno == EPROTO)
		return ("words are no sealed memfd of their length");
	if (words == NULL) {
		/* No memory or descriptor: takod's own want. */
		batch_end(0, AGAIN_US);
		return (NULL);
	}
	if (!words_valid(blob_data(words), blob_len(words))) {
		blob_unref(words);
		return ("words are none");
	}
	answered(words);
	if (x.answered == x.n) {
		proc_deadline(c, 0);
		batch_write();
	} else
		child_feed();
	return (NULL);
}

static void
child_idle(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (x.child != NULL)
		proc_kill(x.child, "nothing to do");
}

/* ---- the store -------------------------------------------------------------
 */

static void
to_index(enum store_result result, const struct store_texts *texts, size_t n,
    void *arg)
{
	(void)arg;
	if (result != STORE_OK || n == 0 || env.stopping) {
		batch_end(0, POLL_US);
		return;
	}
	if (n > STORE_INDEX_MAX)
		fatalx("%s: %zu", __func__, n);
	memcpy(x.texts, texts, n * sizeof(*texts));
	memset(x.words, 0, sizeof(x.words));
	for (x.n = 0; x.n < n; x.n++)
		blob_ref(x.texts[x.n].texts);
	x.phase = READING;
	child_work();
}

static void
ask(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	x.soon = 0;
	if (env.stopping || !env.store_up || x.phase != WAITING)
		return;
	x.phase = ASKING;
	x.began = time_mono_us();
	env.store_ops->to_index(env.store, STORE_INDEX_MAX, to_index, NULL);
}

void
index_kick(void)
{
	/* Sooner than planned, never later: jobs may end all the time. */
	if (x.phase != WAITING || x.soon)
		return;
	x.soon = 1;
	timer_in(KICK_US);
}

void
index_stop(void)
{
	if (x.child != NULL)
		proc_kill(x.child, "takod stops");
}

void
index_init(void)
{
	x.number = 1;
	x.timer = evtimer_new(env.base, ask, NULL);
	x.idle = evtimer_new(env.base, child_idle, NULL);
	if (x.timer == NULL || x.idle == NULL)
		fatal(NULL);
}
