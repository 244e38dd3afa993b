/*
 * warm.c: what of a job type is made ahead of its jobs. Runs in the parent.
 *
 * Preload: modules that the waiting interpreter has imported. A module that
 * cannot be imported costs nothing but that: jobs find out by themselves. What
 * ends the sandbox (it takes too long, or too much memory) is tried again after
 * a while, and not for ever; meanwhile slots are made without.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "takod.h"
#include "util.h"

#define PRELOAD_TRIES 5
#define PRELOAD_PAUSE 30 /* s, doubled each time */

struct warm {
	TAILQ_ENTRY(warm) entry;
	char job_type[MAX_JOB_TYPE_NAME + 1];
	uint32_t unloaded;    /* as it was logged */
	unsigned failed;      /* preloads that ended a sandbox, in a row */
	int64_t failed_until; /* monotonic */
};

static TAILQ_HEAD(, warm) list = TAILQ_HEAD_INITIALIZER(list);

static struct warm *
warm_of(const char *job_type)
{
	struct warm *w;

	TAILQ_FOREACH (w, &list, entry)
		if (strcmp(w->job_type, job_type) == 0)
			return (w);
	w = xcalloc(1, sizeof(*w));
	strlcpy(w->job_type, job_type, sizeof(w->job_type));
	TAILQ_INSERT_TAIL(&list, w, entry);
	return (w);
}

void
warm_forget(void)
{
	struct warm *w;

	while ((w = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, w, entry);
		free(w);
	}
}

int
warm_preload(const struct conf_job_type *jt)
{
	const struct warm *w;

	if (jt->preload.n == 0)
		return (0);
	w = warm_of(jt->name);
	return (w->failed < PRELOAD_TRIES && time_mono_us() >= w->failed_until);
}

void
warm_preload_failed(const char *job_type, const char *why)
{
	struct warm *w = warm_of(job_type);
	int pause = PRELOAD_PAUSE << w->failed;

	/* Of several slots that fared alike the first one counts. */
	if (time_mono_us() < w->failed_until)
		return;
	w->failed_until = time_mono_us() + pause * 1000000LL;
	if (++w->failed < PRELOAD_TRIES)
		log_warnx("job type %s: preload ended a sandbox: %s; its "
			  "sandboxes do without for %d s",
		    job_type, why, pause);
	else
		log_error(
		    "job type %s: preload ended %u sandboxes: %s; its "
		    "sandboxes do without until the configuration changes",
		    job_type, w->failed, why);
}

void
warm_preloaded(const char *job_type, const json_t *modules, uint32_t unloaded,
    json_t *failed)
{
	struct warm *w = warm_of(job_type);
	json_t *name;
	size_t i;

	w->failed = 0;
	json_array_foreach (modules, i, name)
		if ((unloaded >> i & 1) != 0)
			json_array_append(failed, name);
	json_array_foreach (failed, i, name)
		if (unloaded != w->unloaded)
			log_warnx("job type %s: preload: %s cannot be imported "
				  "(its jobs find out why)",
			    job_type, json_string_value(name));
	w->unloaded = unloaded;
}
