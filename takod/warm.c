/*
 * warm.c: what is made ahead of jobs. Runs in the parent.
 *
 * How many slots of a kind wait: what its job type's warm_pool_size says; else
 * what is asked for. While one slot is made, rate * time jobs come in the mean;
 * as many slots wait as by chance come with the last one of MISSED, so that
 * the others find one ready. At least one does as long as somebody asked
 * lately. The rate is a mean that fades within half a minute, of the jobs that
 * came before the last one: just behind a job it is not likelier that another
 * one comes. max_workers and the host's memory bound it.
 *
 * Preload: modules that the waiting interpreter has imported. A module that
 * cannot be imported costs nothing but that: jobs find out by themselves. What
 * ends the sandbox (it takes too long, or too much memory) is tried again after
 * a while, and not for ever; meanwhile slots are made without.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "layer.h"
#include "takod.h"
#include "util.h"

#define RATE_FADES_S  30
#define MISSED	      500  /* one job of so many may find none */
#define MEMORY_LOOK_S 1	   /* how long what was found of it holds */
#define MAX_KINDS     2048 /* that are remembered; the oldest is forgotten */
#define PRELOAD_TRIES 5
#define PRELOAD_PAUSE 30 /* s, doubled each time */
#define CONFIG_PAUSE  30 /* s, of a kind that cannot be made as it is */

struct warm {
	TAILQ_ENTRY(warm) entry; /* the last that was asked for is first */
	char job_type[MAX_JOB_TYPE_NAME + 1];
	char layer[LAYER_KEY_LEN + 1];
	int64_t asked;	      /* monotonic; 0: never */
	double rate;	      /* jobs a second, before the last one came */
	double making;	      /* seconds until a slot is ready */
	uint32_t unloaded;    /* modules, as it was logged */
	unsigned failed;      /* preloads that ended a sandbox, in a row */
	int64_t failed_until; /* monotonic */
	int64_t config_until; /* monotonic */
	unsigned fixed;	      /* the last fill that had a size for it */
};

static TAILQ_HEAD(warm_list, warm) list = TAILQ_HEAD_INITIALIZER(list);
static unsigned n_kinds;

static void
warm_free(struct warm *w)
{
	TAILQ_REMOVE(&list, w, entry);
	free(w);
	n_kinds--;
}

static struct warm *
warm_of(const char *job_type, const char *layer)
{
	struct warm *w;

	TAILQ_FOREACH (w, &list, entry)
		if (strcmp(w->job_type, job_type) == 0 &&
		    strcmp(w->layer, layer) == 0)
			return (w);
	if (n_kinds == MAX_KINDS)
		warm_free(TAILQ_LAST(&list, warm_list));
	w = xcalloc(1, sizeof(*w));
	strlcpy(w->job_type, job_type, sizeof(w->job_type));
	strlcpy(w->layer, layer, sizeof(w->layer));
	TAILQ_INSERT_TAIL(&list, w, entry);
	n_kinds++;
	return (w);
}

/* ---- demand -------------------------------------------------------------- */

/* What is left of a rate. */
static double
faded(const struct warm *w, double rate, int64_t now)
{
	return (rate * exp((double)(w->asked - now) / 1e6 / RATE_FADES_S));
}

void
warm_asked(const struct slot_kind *kind)
{
	struct warm *w = warm_of(kind->type->name, kind->layer);
	int64_t now = time_mono_us();

	if (w->asked != 0)
		w->rate = faded(w, w->rate + 1.0 / RATE_FADES_S, now);
	w->asked = now;
	TAILQ_REMOVE(&list, w, entry);
	TAILQ_INSERT_HEAD(&list, w, entry);
}

void
warm_made(const struct slot *s)
{
	struct warm *w = warm_of(s->job_type, s->layer);
	double took = (double)(time_mono_us() - s->began) / 1e6;

	w->config_until = 0;
	w->making = w->making == 0 ? took : (w->making * 3 + took) / 4;
}

void
warm_config_failed(const struct slot *s, const char *why)
{
	struct warm *w = warm_of(s->job_type, s->layer);

	w->config_until = time_mono_us() + CONFIG_PAUSE * 1000000LL;
	log_warnx("job type %s: %s (none is made ahead for %d s)", s->job_type,
	    why, CONFIG_PAUSE);
}

int
warm_demand(double rate, double making, int most)
{
	double busy = rate * making;
	double p = exp(-busy), more = 1 - p; /* none comes, n at least */
	int n = 1;

	/* Poisson's distribution; what is no number any more is a lot. */
	while (n < most && !(more <= 1.0 / MISSED)) {
		p *= busy / n++;
		more -= p;
	}
	return (n);
}

static int
is_default(const char *job_type)
{
	return (strcmp(job_type, "default") == 0);
}

static int
wanted(const struct warm *w, int64_t now)
{
	int least =
	    is_default(w->job_type) && w->layer[0] == '\0' ? WARM_DEFAULT : 0;
	int n;

	if (w->asked == 0 ||
	    now - w->asked > env.conf->warm_pool_idle_seconds * 1000000LL)
		return (least);
	n = warm_demand(
	    faded(w, w->rate, now), w->making, env.conf->max_workers);
	return (n > least ? n : least);
}

/* The size that the configuration gives a type; -1: none. */
static int
fixed_size(const struct conf_job_type *jt)
{
	if (jt->warm_pool_size >= 0)
		return (jt->warm_pool_size);
	return (is_default(jt->name) ? env.conf->warm_pool_size : -1);
}

/* Has the host memory for slots that nobody waits for: a quarter of it? */
static int
memory_left(int64_t now)
{
	static int64_t looked;
	static int left = 1;
	unsigned long long all, available;
	char *text, *p;
	size_t len;

	if (looked != 0 && now - looked < MEMORY_LOOK_S * 1000000LL)
		return (left);
	looked = now;
	text = read_file(AT_FDCWD, "/proc/meminfo", 65536, &len);
	if (text != NULL && sscanf(text, "MemTotal: %llu", &all) == 1 &&
	    (p = strstr(text, "MemAvailable:")) != NULL &&
	    sscanf(p, "MemAvailable: %llu", &available) == 1)
		left = available > all / 4;
	free(text);
	return (left);
}

/* Can a slot of that kind be made now? Packages are installed by a job. */
static int
possible(const struct slot_kind *kind, const struct warm *w, int64_t now)
{
	char key[LAYER_KEY_LEN + 1];

	if (now < w->config_until || queue_type_refused(kind->type, NULL, 0))
		return (0);
	return (kind->layer[0] != '\0'
		    ? layer_byname(kind->layer) != NULL
		    : layer_find(kind->type, NULL, key) == LAYER_NONE);
}

unsigned
warm_fill(void)
{
	const struct conf *cf = env.conf;
	struct slot_kind kind = { 0 };
	static unsigned fill;
	struct warm *w;
	int64_t now = time_mono_us();
	int n, left = cf->max_workers;
	unsigned sum = 0;
	size_t i;

	fill++;
	for (i = 0; i < cf->n_job_types; i++) {
		kind.type = &cf->job_types[i];
		if ((n = fixed_size(kind.type)) < 0)
			continue;
		(void)layer_find(kind.type, NULL, kind.layer);
		w = warm_of(kind.type->name, kind.layer);
		w->fixed = fill;
		if (!possible(&kind, w, now))
			continue;
		pool_fill_kind(&kind, n, 1);
		sum += (unsigned)n;
	}
	(void)warm_of("default", "");
	/*
	 * Those with packages that requests bring are none of a type's own: by
	 * demand beside them, but where it is to have none.
	 */
	TAILQ_FOREACH (w, &list, entry) {
		kind.type = conf_job_type(cf, w->job_type);
		if (kind.type == NULL || w->fixed == fill ||
		    fixed_size(kind.type) == 0)
			continue;
		strlcpy(kind.layer, w->layer, sizeof(kind.layer));
		if (!possible(&kind, w, now))
			continue;
		if ((n = wanted(w, now)) > left)
			n = left;
		left -= n;
		pool_fill_kind(&kind, n, memory_left(now));
		sum += (unsigned)n;
	}
	return (sum);
}

/* ---- preload ------------------------------------------------------------- */

void
warm_forget(void)
{
	struct warm *w;

	/* What was found out of the modules; the rates still hold. */
	TAILQ_FOREACH (w, &list, entry) {
		w->unloaded = 0;
		w->failed = 0;
		w->failed_until = 0;
		w->config_until = 0;
	}
}

int
warm_preload(const struct slot_kind *kind)
{
	const struct warm *w;

	if (kind->type->preload.n == 0)
		return (0);
	w = warm_of(kind->type->name, kind->layer);
	return (w->failed < PRELOAD_TRIES && time_mono_us() >= w->failed_until);
}

void
warm_preload_failed(const struct slot *s, const char *why)
{
	struct warm *w = warm_of(s->job_type, s->layer);
	int pause = PRELOAD_PAUSE << w->failed;

	/* Of several slots that fared alike the first one counts. */
	if (time_mono_us() < w->failed_until)
		return;
	w->failed_until = time_mono_us() + pause * 1000000LL;
	if (++w->failed < PRELOAD_TRIES)
		log_warnx("job type %s: preload ended a sandbox: %s; its "
			  "sandboxes do without for %d s",
		    s->job_type, why, pause);
	else
		log_error(
		    "job type %s: preload ended %u sandboxes: %s; its "
		    "sandboxes do without until the configuration changes",
		    s->job_type, w->failed, why);
}

void
warm_preloaded(const struct slot *s, uint32_t unloaded)
{
	const json_t *modules = json_object_get(s->preload, "modules");
	json_t *failed = json_object_get(s->preload, "failed"), *name;
	struct warm *w = warm_of(s->job_type, s->layer);
	size_t i;

	w->failed = 0;
	json_array_foreach (modules, i, name)
		if ((unloaded >> i & 1) != 0)
			json_array_append(failed, name);
	json_array_foreach (failed, i, name)
		if (unloaded != w->unloaded)
			log_warnx("job type %s: preload: %s cannot be imported "
				  "(its jobs find out why)",
			    s->job_type, json_string_value(name));
	w->unloaded = unloaded;
}
