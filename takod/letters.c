/*
 * letters.c: dead letters, for whoever asks for them, and their end: those
 * that are older than dlq_ttl_days are removed, some at a time. Runs in the
 * parent. They are written by the store, with the end of their jobs.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define SECOND 1000000LL
#define DAY    (24 * 3600 * SECOND)
/* From one sweep to the next, and between two calls of one. */
#define SWEEP_S	 3600
#define PAUSE_US (SECOND / 20)
#define SOME	 50

/* A question to the store that somebody waits for. */
struct question {
	answer_cb answer;
	void *arg;
	int64_t id, limit, offset;
};

static struct event *sweep_timer;
static int sweeping; /* the store is asked */
static int64_t swept;

/* ---- answers --------------------------------------------------------------
 */

/* NULL: answered already. */
static struct question *
question_new(answer_cb answer, void *arg)
{
	struct question *q = NULL;

	if (!env.store_up)
		answer(env.ready ? REP_UNAVAILABLE : REP_STARTING,
		    "The database is not available", NULL, arg);
	else if ((q = calloc(1, sizeof(*q))) == NULL)
		answer(REP_UNAVAILABLE, "Out of memory", NULL, arg);
	else {
		q->answer = answer;
		q->arg = arg;
	}
	return (q);
}

static void
question_answer(struct question *q, enum store_result result, json_t *json)
{
	if (result == STORE_OK && json != NULL)
		q->answer(REP_NONE, "", json, q->arg);
	else if (result == STORE_NOT_FOUND)
		q->answer(REP_NOT_FOUND, "No such dead letter", NULL, q->arg);
	else
		q->answer(REP_UNAVAILABLE,
		    result == STORE_OK ? "Out of memory"
				       : "The database is not available",
		    NULL, q->arg);
	json_decref(json);
	free(q);
}

static json_t *
text_or_null(const char *s)
{
	return (s[0] == '\0' ? json_null() : json_string(s));
}

/* As 0.3 writes such times: with a Z. */
static json_t *
letter_time(int64_t us)
{
	char buf[40], *zone;

	time_iso(buf, sizeof(buf), us);
	if ((zone = strchr(buf, '+')) != NULL)
		strlcpy(zone, "Z", sizeof(buf) - (size_t)(zone - buf));
	return (json_string(buf));
}

/* What the job was, without its code, its input and its key. */
static json_t *
letter_summary(const struct dead_letter *l)
{
	char code[2 * TAKO_SHA256 + 1], input[2 * TAKO_SHA256 + 1];
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:i, s:i}", "job_type",
	    l->job_type, "code_hash",
	    hex_encode(code, l->code_hash, TAKO_SHA256), "input_hash",
	    hex_encode(input, l->input_hash, TAKO_SHA256), "code_size_bytes",
	    (json_int_t)l->code_len, "input_size_bytes",
	    (json_int_t)l->input_len, "has_idempotency_key", l->keyed,
	    "timeout", l->timeout, "startup_timeout", l->startup_timeout);
	if (l->parent_id[0] != '\0')
		json_object_set_new(
		    o, "parent_execution_id", json_string(l->parent_id));
	return (o);
}

static json_t *
letter_json(const struct dead_letter *l)
{
	return (json_pack("{s:I, s:s, s:o, s:s, s:s, s:i, s:o, s:o, s:o}", "id",
	    (json_int_t)l->id, "job_id", l->job_id, "job_data",
	    letter_summary(l), "error_type", job_error_name(l->error),
	    "error_message", l->error_message, "retry_count", l->retry_count,
	    "created_at", letter_time(l->created_at), "client_ip",
	    text_or_null(l->client), "correlation_id",
	    text_or_null(l->correlation_id)));
}

/* ---- questions ------------------------------------------------------------
 */

static void
listed(enum store_result result, const struct dead_letter *letters, size_t n,
    void *arg)
{
	struct question *q = arg;
	size_t i, shown = n > (size_t)q->limit ? (size_t)q->limit : n;
	json_t *items;

	if (result == STORE_OK && q->id != 0 && n == 0)
		result = STORE_NOT_FOUND;
	if (result != STORE_OK) {
		question_answer(q, result, NULL);
		return;
	}
	items = json_array();
	for (i = 0; i < shown; i++)
		json_array_append_new(items, letter_json(&letters[i]));
	question_answer(q, result,
	    json_pack("{s:o, s:I, s:I, s:b, s:I}", "items", items, "limit",
		(json_int_t)q->limit, "offset", (json_int_t)q->offset,
		"has_more", n > shown, "count", (json_int_t)shown));
}

void
letters_list(const char *error, int64_t id, int64_t limit, int64_t offset,
    answer_cb answer, void *arg)
{
	struct question *q;

	if ((q = question_new(answer, arg)) == NULL)
		return;
	q->id = id;
	q->limit = limit;
	q->offset = offset;
	/* One more than is shown: is there another page? */
	env.store_ops->letters(
	    env.store, error, id, limit + 1, offset, listed, q);
}

static void
counted(enum store_result result, const int64_t *counts, void *arg)
{
	json_t *by = json_object();
	int64_t total = 0;
	int i;

	for (i = JERR_NONE + 1; i < JERR_MAX && result == STORE_OK; i++) {
		if (counts[i] == 0)
			continue;
		json_object_set_new(by, job_error_name((enum job_error)i),
		    json_integer(counts[i]));
		total += counts[i];
	}
	question_answer(arg, result,
	    json_pack(
		"{s:I, s:o}", "total", (json_int_t)total, "by_error_type", by));
}

void
letters_stats(answer_cb answer, void *arg)
{
	struct question *q;

	if ((q = question_new(answer, arg)) != NULL)
		env.store_ops->letter_counts(env.store, counted, q);
}

static void
letter_removed(enum store_result result, void *arg)
{
	struct question *q = arg;

	question_answer(q, result,
	    json_pack("{s:s, s:I}", "status", "removed", "entry_id",
		(json_int_t)q->id));
}

void
letters_remove(int64_t id, answer_cb answer, void *arg)
{
	struct question *q;

	if ((q = question_new(answer, arg)) == NULL)
		return;
	q->id = id;
	env.store_ops->letter_remove(env.store, id, letter_removed, q);
}

/* ---- a job once more, and its letter is dealt with ------------------------
 */

/* One that is left may be seen and removed by hand. */
static void
letter_dealt_with(enum store_result result, void *arg)
{
	(void)result;
	(void)arg;
}

static void
retried(enum rep error, const char *detail, json_t *answer, void *arg)
{
	struct question *q = arg;

	if (error == REP_NONE)
		env.store_ops->letter_remove(
		    env.store, q->id, letter_dealt_with, NULL);
	q->answer(error,
	    error == REP_NOT_FOUND ? "The record of its job is gone" : detail,
	    answer, q->arg);
	free(q);
}

static void
retry_found(enum store_result result, const struct dead_letter *letters,
    size_t n, void *arg)
{
	struct question *q = arg;
	struct rerun r;

	if (result == STORE_OK && n == 0)
		result = STORE_NOT_FOUND;
	if (result != STORE_OK) {
		question_answer(q, result, NULL);
		return;
	}
	memset(&r, 0, sizeof(r));
	strlcpy(r.job_id, letters[0].job_id, sizeof(r.job_id));
	r.relationship = REL_RERUN;
	strlcpy(r.correlation_id, letters[0].correlation_id,
	    sizeof(r.correlation_id));
	strlcpy(r.client, letters[0].client, sizeof(r.client));
	job_rerun(&r, NULL, retried, q);
}

void
letters_retry(int64_t id, answer_cb answer, void *arg)
{
	struct question *q;

	if ((q = question_new(answer, arg)) == NULL)
		return;
	q->id = id;
	env.store_ops->letters(env.store, "", id, 1, 0, retry_found, q);
}

/* ---- old ones -------------------------------------------------------------
 */

static void
sweep_in(int64_t us)
{
	struct timeval tv = { us / SECOND, us % SECOND };

	event_arm(sweep_timer, &tv);
}

static void
expired(enum store_result result, int64_t n, void *arg)
{
	(void)arg;
	sweeping = 0;
	swept += n;
	if (result == STORE_OK && n > 0) {
		sweep_in(PAUSE_US);
		return;
	}
	if (swept > 0)
		log_info("retention: %lld dead letters older than %d days "
			 "were removed",
		    (long long)swept, env.conf->dlq_ttl_days);
	swept = 0;
	/* Several takods of a database do not all ask at once. */
	sweep_in((SWEEP_S + arc4random_uniform(SWEEP_S / 10)) * SECOND);
}

static void
sweep(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	/* When the store is up again, a sweep begins anew. */
	if (env.stopping || !env.store_up || sweeping)
		return;
	sweeping = 1;
	env.store_ops->letters_expire(
	    env.store, env.conf->dlq_ttl_days * DAY, SOME, expired, NULL);
}

void
letters_sweep(void)
{
	if (sweep_timer == NULL &&
	    (sweep_timer = evtimer_new(env.base, sweep, NULL)) == NULL)
		fatal(NULL);
	sweep_in(0);
}
