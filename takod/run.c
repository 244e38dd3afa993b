/*
 * run.c: a job in a slot, from the claim of its row to the commit of its end.
 * Runs in the parent.
 *
 *	claimed		a row is ours (fenced); a slot is ready or on its way
 *	started		code_started is committed; only then is the code handed
 *			over, so a row without it can safely run again
 *	went		JOB_START was sent: the execution timer runs
 *	ended		the worker's last word, or the container's death, is
 *			here
 *	keeping		its artifacts are being put into their store
 *	finishing	the terminal row is being committed, or that the job
 *			waits for another attempt
 *
 * Both are repeated until the store says yes, or that somebody else ended it.
 *
 * The limits come from the timers here alone; what a job is charged with is
 * decided in judge.c.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "artifact_store.h"
#include "event_arm.h"
#include "failpoint.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* After a container's death its worker has so long for its last word. */
#define LAST_WORD_MS 10000
/* A container that was killed and is still there is killed once more. */
#define KILL_AGAIN_MS 3000
/* A stream that ended is a container that ended, seen so long before it is. */
#define STREAM_GRACE_MS 2000
/* Between attempts at a store that does not answer. */
#define FINISH_RETRY_MS 1000
/* Between attempts at a job: not longer, but for the chance in it. */
#define RETRY_MOST_US 30000000

/* Those that are a build's: no row has them. */
static struct run_list builds = TAILQ_HEAD_INITIALIZER(builds);
struct run_list runs = TAILQ_HEAD_INITIALIZER(runs);

static void run_try_end(struct run *);
static void run_finish(struct run *);
static void run_kept(enum artifact_result, void *);
static void run_drop_slot(struct run *);
static void run_free(struct run *);
static void fault_words(char *, size_t, const char *);

struct run *
run_find(const char *job_id)
{
	struct run *r;

	TAILQ_FOREACH (r, &runs, entry)
		if (strcmp(r->job->id, job_id) == 0)
			return (r);
	return (NULL);
}

unsigned
run_count(void)
{
	struct run *r;
	unsigned n = 0;

	TAILQ_FOREACH (r, &runs, entry)
		n++;
	return (n);
}

static void
arm(struct run *r, int64_t us)
{
	struct timeval tv;

	if (us < 0)
		us = 0;
	tv.tv_sec = us / 1000000;
	tv.tv_usec = us % 1000000;
	/* From now on, not from when this turn of the loop began. */
	event_base_update_cache_time(env.base);
	event_arm(r->timer, &tv);
}

static void
run_timer(int fd, short events, void *arg)
{
	struct run *r = arg;

	(void)fd;
	(void)events;
	if (r->finishing == 2) {
		run_finish(r);
	} else if (!r->dead && (r->done || r->reason != REASON_NONE)) {
		/* It has to go, and is there still: killed once more. */
		if (r->reason == REASON_NONE)
			r->reason = REASON_STREAM;
		if (r->slot != NULL)
			pool_kill(r->slot);
		arm(r, KILL_AGAIN_MS * 1000LL);
	} else if (r->ended != 0) {
		/* The container is dead and the worker has said nothing. */
		r->incomplete = 1;
		r->done = 1;
		if (r->slot != NULL && r->slot->worker != NULL)
			proc_violation(
			    r->slot->worker, "deadline", "no last word");
		run_try_end(r);
	} else
		run_end(r, r->went != 0 ? REASON_TIMEOUT : REASON_STARTUP);
}

/* ---- begin ------------------------------------------------------------------
 */

/* The code goes to the worker: from now on the job may have run. */
static void
run_go(struct run *r)
{
	struct msg_job_start m;
	struct blob *parts[2] = { r->job->code, r->job->input };
	struct blob *payload;
	int fd, ret = -1;

	/* It may have been a long time since the row said that it is ours. */
	if (lease_over(r)) {
		run_lost(
		    r, "the lease ran out before the code was handed over");
		return;
	}
	memset(&m, 0, sizeof(m));
	m.token = r->slot->token;
	m.code_len = blob_len(r->job->code);
	m.input_len = blob_len(r->job->input);
	if ((payload = blob_concat(parts, 2)) != NULL &&
	    (fd = blob_fd(payload)) != -1)
		ret = proc_send(r->slot->worker, MSG_T_JOB_START, 0, &m, fd);
	blob_unref(payload);
	r->went = time_mono_us();
	r->slot->state = SLOT_RUNNING;
	r->slot->worker->state = CHILD_RUNNING;
	arm(r, r->job->timeout * 1000000LL);
	log_debug("job %s: handed over to %s", r->job->id, r->slot->name);
	pool_fill_soon();
	FAILPOINT("takod.handed_over");
	if (ret == -1)
		proc_kill(r->slot->worker, "takes no frames");
}

static void
run_started(enum store_result result, void *arg)
{
	struct run *r = arg;

	r->starting = 0;
	switch (result) {
	case STORE_OK:
		FAILPOINT("takod.started");
		r->started = 1;
		break;
	case STORE_STALE:
	case STORE_NOT_FOUND:
		/* Somebody else ended it, or has it now. */
		log_warnx("job %s: no longer ours", r->job->id);
		run_free(r);
		return;
	default:
		/* Unknown whether it was written: ask again when it is up. */
		if (r->reason == REASON_NONE) {
			r->restart = 1;
			return;
		}
		break;
	}
	/* Meanwhile its slot may have died: then nothing was handed over. */
	if (r->reason != REASON_NONE || r->done || r->slot == NULL)
		run_try_end(r);
	else
		run_go(r);
}

void
run_slot_ready(struct run *r)
{
	if (r->starting || r->went != 0 || r->reason != REASON_NONE)
		return;
	if (r->started) {
		run_go(r);
		return;
	}
	r->starting = 1;
	env.store_ops->start(
	    env.store, r->job->id, r->job->fence, run_started, r);
}

static struct run *
run_new(struct job *job)
{
	struct run *r;

	if ((r = calloc(1, sizeof(*r))) == NULL ||
	    (r->timer = evtimer_new(env.base, run_timer, r)) == NULL) {
		free(r);
		return (NULL);
	}
	r->job = job;
	r->claimed = time_mono_us();
	r->again = -1;
	r->facts.oom_kills = r->facts.memory_peak = r->facts.cpu_us = -1;
	return (r);
}

void
run_slot(struct run *r, const struct slot_kind *kind)
{
	if ((r->slot = pool_assign(kind, r)) == NULL)
		run_slot_failed(
		    r, ENGINE_TRANSIENT, "node", "no slot could be made");
	else if (r->slot->worker->state == CHILD_READY)
		run_slot_ready(r);
}

/* Its packages are there, or cannot be had. */
static void
run_layer(const struct layer_result *result, void *arg)
{
	struct slot_kind kind = { 0 };
	struct run *r = arg;

	r->layer = 0;
	r->no_layer = result->engine != ENGINE_OK || result->error != JERR_NONE;
	r->layer_us = time_mono_us() - r->claimed;
	log_set_correlation(r->job->correlation_id);
	if (result->engine != ENGINE_OK) {
		run_slot_failed(r, result->engine, "slot", result->detail);
	} else if (result->error != JERR_NONE) {
		r->job->error = result->error;
		fault_words(r->job->error_message,
		    sizeof(r->job->error_message), result->detail);
		r->job->err = blob_ref(result->err);
		r->dead = r->done = 1;
		run_try_end(r);
	} else {
		kind.type = conf_job_type(env.conf, r->job->job_type);
		strlcpy(kind.layer, result->key, sizeof(kind.layer));
		if (kind.type != NULL) {
			run_slot(r, &kind);
			warm_asked(&kind);
		} else
			run_slot_failed(r, ENGINE_CONFIG, "node",
			    "its job type is no longer configured");
	}
	log_set_correlation(NULL);
}

void
run_build(struct build *build, struct job *job, const struct slot_kind *kind,
    struct run **run)
{
	struct run *r;

	if ((r = run_new(job)) == NULL)
		fatal(NULL);
	r->build = build;
	r->started = 1;
	r->held_until = INT64_MAX;
	TAILQ_INSERT_TAIL(&builds, r, entry);
	*run = r;
	arm(r, job->startup_timeout * 1000000LL);
	run_slot(r, kind);
}

void
run_begin(struct job *job, struct slot *slot, int started, int64_t held_until)
{
	struct layer_wish wish = { 0 };
	struct slot_kind kind;
	char detail[256];
	struct run *r;

	if ((r = run_new(job)) == NULL) {
		log_error("job %s: no memory to run it", job->id);
		if (slot != NULL)
			pool_end(slot, "no memory");
		if (!started)
			env.store_ops->release(
			    env.store, job, 1000000, queue_released, NULL);
		job_free(job);
		return;
	}
	r->held_until = held_until;
	r->started = started;
	r->slot = slot;
	TAILQ_INSERT_TAIL(&runs, r, entry);
	log_set_correlation(job->correlation_id);
	arm(r, job->startup_timeout * 1000000LL);
	r->job->error = queue_refusal(job, &kind, detail, sizeof(detail));
	if (r->job->error != JERR_NONE) {
		/* What its code printed, so to say: as 0.3 has it. */
		if (r->job->error == JERR_DEPENDENCY)
			r->job->err = blob_copy(detail, strlen(detail));
		strlcpy(r->job->error_message, detail,
		    sizeof(r->job->error_message));
		r->dead = r->done = 1;
		run_try_end(r);
		log_set_correlation(NULL);
		return;
	}
	strlcpy(r->job->job_type, kind.type->name, sizeof(r->job->job_type));
	if (slot != NULL) {
		slot->run = r;
		run_slot_ready(r);
	} else if (kind.found == LAYER_MISSING) {
		wish.type = kind.type;
		wish.requested = job->requirements;
		r->layer = 1;
		layer_want(&wish, run_layer, NULL, r);
	} else
		run_slot(r, &kind);
	/* Of which kind it is, is known once its layer is. */
	if (!r->layer)
		warm_asked(&kind);
	if (r->slot != NULL && r->slot->state == SLOT_RUNNING)
		env.jobs_warm++;
	else
		env.jobs_cold++;
	log_set_correlation(NULL);
}

/* ---- what happens to it
 * ------------------------------------------------------- */

void
run_end(struct run *r, enum run_reason reason)
{
	if (r->finishing && !r->kept && reason == REASON_STOP) {
		/* There is no more time to wait for the artifacts' store. */
		r->hurry = 1;
		if (r->finishing == 2)
			run_kept(ARTIFACT_AWAY, r);
		return;
	}
	if (r->reason != REASON_NONE)
		return;
	if (r->finishing) {
		/* It is to wait for another attempt, and will not. */
		if (r->again >= 0)
			r->reason = reason;
		return;
	}
	r->reason = reason;
	log_debug("job %s: ended by takod (%d)", r->job->id, (int)reason);
	if (r->went == 0) {
		/* Nothing ran: the slot is given up, there is no last word. */
		r->done = r->dead = 1;
		if (r->layer)
			layer_unwant(r);
		if (r->slot != NULL) {
			r->slot->run = NULL;
			if (reason != REASON_STARTUP ||
			    !pool_preload_failed(r->slot, "it takes too long"))
				pool_end(
				    r->slot, "its job ended before it began");
			r->slot = NULL;
		}
		if (!r->starting)
			run_try_end(r);
		return;
	}
	pool_kill(r->slot);
	arm(r, KILL_AGAIN_MS * 1000LL);
}

void
run_cancel(const char *job_id)
{
	struct run *r, *next;

	/* One that was lost may be here beside the one that came after. */
	TAILQ_FOREACH_SAFE (r, &runs, entry, next)
		if (strcmp(r->job->id, job_id) == 0)
			run_end(r, REASON_CANCEL);
}

void
run_lost(struct run *r, const char *why)
{
	if (r->finishing || r->reason != REASON_NONE)
		return;
	log_warnx("job %s: no longer surely ours: %s", r->job->id, why);
	if (r->started || r->starting)
		run_end(r, REASON_LEASE);
	else
		run_free(r); /* whoever takes it up puts it back */
}

/* By the store's clock, which this host's may differ from. */
static int64_t
run_store_now(const struct run *r)
{
	return (r->job->started_at + time_mono_us() - r->claimed);
}

/* Until the next attempt: the base, doubled each time, 30 s at the most. */
static int64_t
retry_delay(int attempt)
{
	int64_t delay = (int64_t)(env.conf->retry_base_delay * 1e6);
	int i;

	for (i = 1; i < attempt && delay < RETRY_MOST_US; i++)
		delay *= 2;
	if (delay > RETRY_MOST_US)
		delay = RETRY_MOST_US;
	/* Ten per cent either way: no herd. */
	return (delay + (int64_t)arc4random_uniform((uint32_t)(delay / 5 + 1)) -
		delay / 10);
}

#define HEX "0123456789abcdef"

/*
 * How much of p is not for records: a path of this host, a container's name or
 * an id. before is the character in front of it.
 */
static size_t
private_span(const char *p, char before, const char **word)
{
	size_t n = strspn(p, HEX);

	*word = "<container-id>";
	if (isalnum((unsigned char)before))
		return (0);
	if ((n == 12 || n == 64) && !isalnum((unsigned char)p[n]))
		return (n);
	if (strncmp(p, "takod-", 6) == 0)
		return (strspn(p, "-" HEX "takodprbe"));
	*word = "<path>";
	return (*p == '/' ? strcspn(p, " \t:,;)\"'") : 0);
}

/* An engine's words, as they may leave; the log has them as they are. */
static void
fault_words(char *dst, size_t len, const char *src)
{
	const char *word;
	char before = ' ';
	size_t n, at = 0;

	while (*src != '\0' && at + 1 < len) {
		if ((n = private_span(src, before, &word)) == 0) {
			dst[at++] = before = *src++;
			continue;
		}
		dst[at] = '\0';
		at = strlcat(dst, word, len);
		src += n;
		before = src[-1];
		if (at >= len)
			at = len - 1;
	}
	dst[at] = '\0';
}

static enum job_error
fault_of(enum engine_error error)
{
	switch (error) {
	case ENGINE_NO_IMAGE:
	case ENGINE_CONFIG:
		return (JERR_CONFIG);
	case ENGINE_AWAY:
		return (JERR_SERVICE_UNAVAILABLE);
	default:
		return (JERR_DOCKER);
	}
}

/* The slot could not be made: another try, or the end. */
void
run_slot_failed(struct run *r, enum engine_error error, const char *place,
    const char *detail)
{
	enum job_error fault = fault_of(error);
	char words[MAX_ERROR_MESSAGE + 1];

	r->slot = NULL;
	if (r->finishing || r->reason != REASON_NONE) {
		r->dead = r->done = 1;
		run_try_end(r);
		return;
	}
	fault_words(words, sizeof(words), detail);
	attempt_note(r->job, run_store_now(r), fault, place, words);
	r->dead = r->done = 1;
	if (r->build == NULL && fault != JERR_CONFIG && !r->started &&
	    !r->starting && r->job->attempt < env.conf->max_retry_attempts) {
		r->again = retry_delay(r->job->attempt);
		log_warnx("job %s: attempt %d failed (%s); again in %lld ms",
		    r->job->id, r->job->attempt, detail,
		    (long long)r->again / 1000);
		event_del(r->timer);
		run_finish(r);
		return;
	}
	log_warnx("job %s: attempt %d failed (%s), the last one", r->job->id,
	    r->job->attempt, detail);
	r->job->error = fault;
	strlcpy(r->job->error_message, words, sizeof(r->job->error_message));
	run_try_end(r);
}

/* The container is gone: the worker reports what it has. */
void
run_slot_dead(struct run *r)
{
	struct msg_job_stop m;

	r->dead = 1;
	if (r->ended == 0)
		r->ended = time_mono_us();
	if (r->went == 0) {
		/* Between ready and the hand-over: nothing ran. */
		r->slot->run = NULL;
		pool_end(r->slot, "its sandbox ended");
		if (!r->starting && !r->started)
			run_slot_failed(r, ENGINE_TRANSIENT, "sandbox",
			    "the sandbox ended before the job began");
		else {
			r->slot = NULL;
			r->done = 1;
			if (!r->starting)
				run_try_end(r);
		}
		return;
	}
	if (!r->done && r->slot->worker != NULL) {
		memset(&m, 0, sizeof(m));
		m.token = r->slot->token;
		proc_send(r->slot->worker, MSG_T_JOB_STOP, 0, &m, -1);
		arm(r, LAST_WORD_MS * 1000LL);
	}
	run_try_end(r);
}

void
run_worker_gone(struct run *r, const char *why)
{
	if (r->done && r->finishing) {
		run_drop_slot(r);
		return;
	}
	if (r->went == 0 && !r->started && !r->starting) {
		r->slot->run = NULL;
		pool_end(r->slot, why);
		run_slot_failed(r, ENGINE_TRANSIENT, "worker", why);
		return;
	}
	if (!r->done) {
		r->incomplete = 1;
		/* A sandbox ends with its worker, and may be seen to first. */
		if (r->reason == REASON_NONE)
			r->reason = REASON_WORKER;
	}
	r->done = 1;
	if (!r->dead)
		pool_kill(r->slot);
	run_try_end(r);
}

void
run_phase(struct run *r, enum job_phase phase)
{
	if (phase == PHASE_COMPLETED && r->ended == 0) {
		/*
		 * The main process has ended and all else in the container was
		 * killed. What is left is collecting, which has a bound too.
		 */
		r->ended = time_mono_us();
		arm(r, (int64_t)r->slot->max_artifacts_total / 1000 +
			   30 * 1000000LL);
	}
}

int
run_output(struct run *r, const struct msg_job_output *m, struct blob *b)
{
	const struct slot *s = r->slot;
	static const char *const names[] = { "stdout", "stderr", "result" };
	struct blob **dst[] = { &r->job->out, &r->job->err, &r->job->output };
	uint64_t caps[] = { s->max_stdout, s->max_stderr, s->max_artifact };

	if (*dst[m->which] != NULL || m->len > caps[m->which]) {
		log_debug("job %s: %s of %llu bytes refused", r->job->id,
		    names[m->which], (unsigned long long)m->len);
		blob_unref(b);
		return (-1);
	}
	*dst[m->which] = b;
	if (m->which == OUTPUT_STDOUT)
		r->job->out_truncated = (int)m->truncated;
	else if (m->which == OUTPUT_STDERR)
		r->job->err_truncated = (int)m->truncated;
	return (0);
}

int
run_artifact(struct run *r, const struct msg_job_artifact *m)
{
	struct job *job = r->job;
	struct artifact *a;
	uint64_t total = m->size;
	int i;

	if (m->number != (uint64_t)job->n_artifacts ||
	    m->size > r->slot->max_artifact || m->name.len == 0 ||
	    memchr(m->name.data, '/', m->name.len) != NULL ||
	    memchr(m->name.data, '\0', m->name.len) != NULL)
		return (-1);
	for (i = 0; i < job->n_artifacts; i++)
		total += job->artifacts[i].size;
	if (total > r->slot->max_artifacts_total + r->slot->max_artifact)
		return (-1);
	a = reallocarray(
	    job->artifacts, (size_t)job->n_artifacts + 1, sizeof(*a));
	if (a == NULL) {
		r->lost = 1;
		return (0);
	}
	job->artifacts = a;
	a += job->n_artifacts++;
	memset(a, 0, sizeof(*a));
	a->number = (int)m->number;
	a->size = m->size;
	a->name_len = m->name.len;
	memcpy(a->name, m->name.data, m->name.len);
	memcpy(a->sha256, m->sha256, sizeof(a->sha256));
	strlcpy(a->content_type, m->content_type, sizeof(a->content_type));
	return (0);
}

void
run_done(struct run *r, const struct msg_job_done *m)
{
	r->last = *m;
	r->done = 1;
	if (r->ended == 0)
		r->ended = time_mono_us();
	if (m->output_incomplete)
		r->incomplete = 1;
	if (m->artifacts_lost)
		r->lost = 1;
	run_try_end(r);
}

/* ---- the end
 * ------------------------------------------------------------------ */

static void
run_inquired(enum engine_error error, const char *detail, void *arg)
{
	struct run *r = arg;

	(void)error;
	(void)detail;
	r->inquired = 2;
	run_try_end(r);
}

/*
 * A container that ended without a word, and not by takod: its engine may know
 * that it was somebody else. Whether its answer is waited for.
 */
static int
run_inquire(struct run *r)
{
	if (r->reason != REASON_NONE || r->went == 0 || r->slot == NULL ||
	    r->slot->container == NULL || r->last.end != END_LOST ||
	    env.engine_ops->inquire == NULL || r->inquired == 2)
		return (0);
	if (r->inquired == 0) {
		r->inquired = 1;
		env.engine_ops->inquire(
		    env.engine, r->slot->container, run_inquired, r);
	}
	return (1);
}

/* Of all jobs, since a job may refuse to learn. */
#define REFUSED_LINES 10
#define REFUSED_US    (60 * 1000000LL)

static void
log_refused(const struct run *r)
{
	static int64_t window;
	static int lines;
	int64_t packets =
	    json_integer_value(json_object_get(r->network, "refused_packets"));
	const char *first = json_string_value(
	    json_array_get(json_object_get(r->network, "refused"), 0));

	if (packets == 0)
		return;
	if (time_mono_us() - window > REFUSED_US) {
		window = time_mono_us();
		lines = 0;
	}
	if (lines++ < REFUSED_LINES)
		log_warnx("job %s (%s): its network refused %lld packets%s%s",
		    r->job->id, r->slot->job_type, (long long)packets,
		    first != NULL ? ", among them to " : "",
		    first != NULL ? first : "");
}

static void
run_listed(json_t *network, void *arg)
{
	struct run *r = arg;

	r->network = network;
	log_refused(r);
	r->listed = 2;
	run_try_end(r);
}

/* Whether what its network refused is still to be told. */
static int
run_list(struct run *r)
{
	if (r->slot == NULL || r->slot->container == NULL ||
	    !r->slot->network || r->listed == 2)
		return (0);
	if (r->listed == 0) {
		r->listed = 1;
		env.engine_ops->network(
		    env.engine, r->slot->container, run_listed, r);
	}
	return (1);
}

/*
 * The row may be written when the worker has said its last word and all of the
 * container is dead: by tako-init's word that it killed and reaped everything,
 * or because its first process is gone.
 */
static void
run_try_end(struct run *r)
{
	if (r->finishing || !r->done)
		return;
	if (!r->dead && r->last.end == END_LOST) {
		/*
		 * The slot stays taken until the container is proven gone,
		 * which is perhaps on its way.
		 */
		if (r->reason == REASON_NONE) {
			arm(r, STREAM_GRACE_MS * 1000LL);
			return;
		}
		pool_kill(r->slot);
		arm(r, KILL_AGAIN_MS * 1000LL);
		return;
	}
	if (run_inquire(r) || run_list(r))
		return;
	FAILPOINT("takod.ended");
	event_del(r->timer);
	if (r->ended == 0)
		r->ended = time_mono_us();
	if (r->slot != NULL && r->slot->container != NULL)
		env.engine_ops->facts(
		    env.engine, r->slot->container, &r->facts);
	judge(r);
	run_finish(r);
}

/*
 * The folder that the worker wrote into is taken away from it: its id is
 * another job's next. It keeps what the store has not taken yet, also when the
 * slot is gone.
 */
static int
spool_take(struct run *r)
{
	char from[128];
	int fd, ret = -1;

	if (r->slot == NULL) {
		errno = ENOENT;
		return (-1);
	}
	snprintf(from, sizeof(from), "spool/%s", r->slot->name);
	snprintf(r->folder, sizeof(r->folder), "spool/%s.%lld", r->job->id,
	    (long long)r->job->fence);
	if ((fd = pool_spool_fd(r->slot)) == -1)
		goto fail;
	if (fchown(fd, 0, 0) == -1 || fchmod(fd, 0700) == -1 ||
	    renameat(env.data_fd, from, env.data_fd, r->folder) == -1)
		goto fail;
	ret = 0;
fail:
	if (ret == -1)
		r->folder[0] = '\0';
	close_fd(&fd);
	return (ret);
}

/* What its record was to name is not there: it did not succeed. */
static void
run_lost_artifacts(struct run *r)
{
	log_error("job %s: its artifacts are lost", r->job->id);
	r->job->n_artifacts = 0;
	r->job->artifact_store[0] = '\0';
	r->lost = 1;
	judge_lost(r);
	if (r->job->error == JERR_INTERNAL)
		attempt_note(r->job, r->job->ended_at, JERR_INTERNAL, "store",
		    r->job->error_message);
}

/* The container goes once whoever waits has an answer. */
static void
run_drop_slot(struct run *r)
{
	if (r->slot == NULL)
		return;
	r->slot->run = NULL;
	pool_end(r->slot, NULL);
	r->slot = NULL;
}

/* It waits again, unless somebody wanted its end meanwhile. */
static void
run_released(struct run *r)
{
	queue_released(STORE_OK, NULL);
	if (r->reason == REASON_CANCEL)
		job_cancel_waiting(r->job->id);
}

/* Held until the store takes it: it fills a worker's place meanwhile. */
static void
run_hold(struct run *r)
{
	r->finishing = 2;
	run_drop_slot(r);
	arm(r, FINISH_RETRY_MS * 1000LL);
}

static void
unkept(enum artifact_result result, void *arg)
{
	(void)result; /* what is left of them is swept up: retain.c */
	(void)arg;
}

/* No record will name them. */
static void
run_unkeep(struct run *r)
{
	struct artifact_place place = { .fence = r->job->fence };

	if (r->job->n_artifacts == 0)
		return;
	strlcpy(place.job_id, r->job->id, sizeof(place.job_id));
	artifact_remove(r->job->artifact_store, &place, unkept, NULL);
}

static void
run_finished(enum store_result result, void *arg)
{
	struct run *r = arg;

	switch (result) {
	case STORE_OK:
		FAILPOINT("takod.finished");
		if (r->again >= 0) {
			run_released(r);
			break;
		}
		env.jobs_done++;
		log_set_correlation(r->job->correlation_id);
		log_info("job %s: %s%s%s after %lld ms", r->job->id,
		    job_status_name(r->job->status),
		    r->job->error != JERR_NONE ? ", " : "",
		    r->job->error != JERR_NONE ? job_error_name(r->job->error)
					       : "",
		    (long long)(r->job->ended_at - r->job->started_at) / 1000);
		log_set_correlation(NULL);
		wait_job_ended(r->job);
		break;
	case STORE_STALE:
	case STORE_NOT_FOUND:
		log_warnx("job %s: somebody else ended it; our end is dropped",
		    r->job->id);
		run_unkeep(r);
		break;
	case STORE_FAILED:
		log_error("job %s: its end cannot be stored; trying again",
		    r->job->id);
		/* FALLTHROUGH */
	default:
		run_hold(r);
		return;
	}
	run_free(r);
}

static void
run_kept(enum artifact_result result, void *arg)
{
	struct run *r = arg;

	if (result == ARTIFACT_AWAY && !r->hurry) {
		if (!r->waits)
			log_warnx("job %s: its artifacts wait for their store",
			    r->job->id);
		r->waits = 1;
		run_hold(r);
		return;
	}
	r->kept = 1;
	if (result != ARTIFACT_OK)
		run_lost_artifacts(r);
	run_finish(r);
}

static void
run_finish(struct run *r)
{
	int first = !r->finishing;

	FAILPOINT("takod.finishing");
	event_del(r->timer);
	r->finishing = 1;
	if (r->build != NULL)
		layer_run_ended(r->build);
	else if (r->again >= 0)
		env.store_ops->release(
		    env.store, r->job, r->again, run_finished, r);
	else if (r->kept || r->job->n_artifacts == 0)
		env.store_ops->finish(env.store, r->job, run_finished, r);
	else if (first && spool_take(r) == -1) {
		log_warn("job %s: spool folder", r->job->id);
		run_kept(ARTIFACT_FAILED, r);
	} else
		artifact_put(r->job, r->folder, run_kept, r);
}

static void
run_free(struct run *r)
{
	if (r->build != NULL)
		TAILQ_REMOVE(&builds, r, entry);
	else
		TAILQ_REMOVE(&runs, r, entry);
	if (r->layer)
		layer_unwant(r);
	run_drop_slot(r);
	if (r->folder[0] != '\0')
		artifact_folder_remove(r->folder);
	event_free(r->timer);
	job_free(r->job);
	json_decref(r->network);
	free(r);
	pool_fill();
	queue_kick();
	takod_check_stopped();
}

int
run_build_take(struct run *r)
{
	return (spool_take(r));
}

int
run_build_file(struct run *r, int number)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%d", r->folder, number);
	return (openat(env.data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
}

void
run_build_free(struct run *r)
{
	run_free(r);
}

void
run_store_up(void)
{
	struct run *r, *next;

	TAILQ_FOREACH_SAFE (r, &runs, entry, next) {
		if (r->finishing == 2)
			run_finish(r);
		else if (r->restart) {
			r->restart = 0;
			if (r->slot != NULL)
				run_slot_ready(r);
		}
	}
}
