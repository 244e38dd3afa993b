/*
 * job_types.c: the job types of the configuration, for whoever asks, and
 * whether the engine has what jobs of them run in. Runs in the parent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "python.h"
#include "takod.h"
#include "util.h"

/* Types that are shown, while the engine is asked for the image of each. */
struct show {
	answer_cb answer;
	void *arg;
	int one; /* one is asked for, not a list */
	int pending;
	json_t *list;
};

struct look {
	struct show *show;
	json_t *type; /* in the list of show */
};

/* By its whole name: a version is not looked at here. */
static const struct conf_job_type *
type_named(const char *name)
{
	const struct conf_job_type *jt = conf_job_type(env.conf, name);

	return (jt != NULL && strcmp(jt->name, name) == 0 ? jt : NULL);
}

/* As it may be written in the configuration: 512m, 1g. */
static json_t *
size_text(uint64_t bytes)
{
	static const char units[] = "kmg";
	unsigned i;

	for (i = 0; i < 3 && bytes % 1024 == 0; i++)
		bytes /= 1024;
	return (i == 0 ? json_sprintf("%llu", (unsigned long long)bytes)
		       : json_sprintf("%llu%c", (unsigned long long)bytes,
			     units[i - 1]));
}

static json_t *
type_json(const struct conf_job_type *jt)
{
	static const char *const vendors[] = { "nvidia", "amd" };
	json_t *requirements = json_array();
	size_t i;

	for (i = 0; i < jt->requirements.n; i++)
		json_array_append_new(
		    requirements, json_string(jt->requirements.items[i]));
	return (json_pack("{s:s, s:o, s:s, s:o, s:f, s:i, s:b, s:b, s:s?, "
			  "s:b}",
	    "name", jt->name, "requirements", requirements, "python_version",
	    jt->python_version, "memory_limit", size_text(jt->memory_limit),
	    "cpu_limit", jt->cpu_limit, "timeout", jt->timeout,
	    "session_enabled", jt->session_enabled, "gpu_enabled",
	    jt->gpu.enabled, "gpu_vendor",
	    jt->gpu.vendor == GPU_NONE ? NULL : vendors[jt->gpu.vendor - 1],
	    "image_exists", 0));
}

static void
show_end(struct show *s)
{
	json_t *all = s->list, *answer = all;

	if (s->one)
		answer = json_array_get(all, 0);
	if (answer == NULL)
		s->answer(REP_UNAVAILABLE, "Out of memory", NULL, s->arg);
	else
		s->answer(REP_NONE, "", answer, s->arg);
	json_decref(all);
	free(s);
}

static void
looked(enum engine_error error, const char *detail, void *arg)
{
	struct look *l = arg;
	struct show *s = l->show;

	(void)detail;
	json_object_set_new(
	    l->type, "image_exists", json_boolean(error == ENGINE_OK));
	free(l);
	if (--s->pending == 0)
		show_end(s);
}

static void
show_add(struct show *s, const struct conf_job_type *jt)
{
	char key[LAYER_KEY_LEN + 1];
	json_t *type = type_json(jt);
	char image[PYTHON_IMAGE];
	struct look *l;

	if (json_array_append_new(s->list, type) == -1)
		return;
	/* Its packages are part of its image. */
	if (layer_find(jt, NULL, key) == LAYER_MISSING ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return;
	l->show = s;
	l->type = type;
	s->pending++;
	env.engine_ops->image(env.engine, layer_image(jt, image), looked, l);
}

/* REP_NOT_FOUND in the words of 0.3. */
static void
no_such_type(const char *name, answer_cb answer, void *arg)
{
	char detail[300];

	snprintf(detail, sizeof(detail), "Job type '%s' not found", name);
	answer(REP_NOT_FOUND, detail, NULL, arg);
}

void
job_types_show(const char *name, answer_cb answer, void *arg)
{
	const struct conf_job_type *jt = NULL;
	struct show *s;
	size_t i;

	if (name[0] != '\0' && (jt = type_named(name)) == NULL) {
		no_such_type(name, answer, arg);
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->list = json_array()) == NULL) {
		free(s);
		answer(REP_UNAVAILABLE, "Out of memory", NULL, arg);
		return;
	}
	s->answer = answer;
	s->arg = arg;
	s->one = jt != NULL;
	s->pending = 1; /* this call's own */
	if (jt != NULL)
		show_add(s, jt);
	else
		for (i = 0; i < env.conf->n_job_types; i++)
			show_add(s, &env.conf->job_types[i]);
	if (--s->pending == 0)
		show_end(s);
}

/* ---- building ------------------------------------------------------------ */

struct ask {
	char name[MAX_JOB_TYPE_NAME + 1];
	layer_line_cb line;
	answer_cb answer;
	void *arg;
};

static void
said(const char *text, void *arg)
{
	struct ask *a = arg;

	if (a->line != NULL)
		a->line(text, a->arg);
}

/* In the words of 0.3; id: of the image, or of the layer that goes with it. */
static void
ask_end(struct ask *a, const char *id, const char *why)
{
	json_t *o = NULL;
	char detail[512];

	if (why == NULL)
		o = json_pack("{s:s, s:s, s:o, s:s%, s:o}", "status", "built",
		    "job_type", a->name, "version",
		    json_sprintf("%s@sha256:%.12s", a->name, id), "digest", id,
		    (size_t)12, "image_ref",
		    json_sprintf("tako-vm-%s:latest", a->name));
	snprintf(detail, sizeof(detail), "Build failed: %s",
	    why != NULL ? why : "out of memory");
	a->answer(o == NULL ? REP_FAILED : REP_NONE, o == NULL ? detail : "", o,
	    a->arg);
	json_decref(o);
	free(a);
}

static void
built(const struct layer_result *result, void *arg)
{
	ask_end(arg, result->key[0] != '\0' ? result->key : result->detail,
	    result->error != JERR_NONE || result->engine != ENGINE_OK
		? result->detail
		: NULL);
}

/* There is nothing to build: it runs in the image as it is. */
static void
plain(enum engine_error error, const char *detail, void *arg)
{
	ask_end(arg, detail, error != ENGINE_OK ? detail : NULL);
}

void
job_types_build(
    const char *name, layer_line_cb line, answer_cb answer, void *arg)
{
	struct layer_wish wish = { .type = type_named(name), .build = 1 };
	char image[PYTHON_IMAGE];
	struct ask *a;

	if (wish.type == NULL) {
		no_such_type(name, answer, arg);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	strlcpy(a->name, wish.type->name, sizeof(a->name));
	a->line = line;
	a->answer = answer;
	a->arg = arg;
	if (wish.type->requirements.n > 0)
		layer_want(&wish, built, said, a);
	else
		env.engine_ops->image(
		    env.engine, layer_image(wish.type, image), plain, a);
}

void
job_types_build_show(const char *name, answer_cb answer, void *arg)
{
	const struct conf_job_type *jt = type_named(name);
	json_t *o;

	if (jt == NULL) {
		no_such_type(name, answer, arg);
		return;
	}
	o = layer_build_json(jt);
	answer(o == NULL ? REP_UNAVAILABLE : REP_NONE, "Out of memory", o, arg);
	json_decref(o);
}
