/*
 * docker_ask.c: questions to the engine about no container of takod's. Runs in
 * takod.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "docker_engine.h"
#include "log.h"
#include "util.h"

#define PING_TIMEOUT 5 /* s */

struct question {
	struct ask ask;
	engine_done_cb cb;
	void *arg;
};

void
docker_ask_add(struct engine *e, struct ask *ask, void (*free_fn)(struct ask *))
{
	ask->e = e;
	ask->free = free_fn;
	TAILQ_INSERT_TAIL(&e->asks, ask, entry);
}

void
docker_ask_end(struct ask *ask)
{
	TAILQ_REMOVE(&ask->e->asks, ask, entry);
	ask->free(ask);
}

void
docker_ask_free(struct ask *ask)
{
	free(ask); /* the ask is the first member */
}

/* An id goes into paths: only what an id can be. */
int
docker_id_valid(const char *id)
{
	return (id != NULL && strlen(id) == DOCKER_ID &&
		strspn(id, "0123456789abcdef") == DOCKER_ID);
}

static void
question(struct engine *e, const char *path, docker_call_cb answered,
    engine_done_cb cb, void *arg)
{
	struct question *q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal(NULL);
	q->cb = cb;
	q->arg = arg;
	docker_ask_add(e, &q->ask, docker_ask_free);
	if (docker_api_call(e->api, "GET", path, NULL,
		docker_deadline(PING_TIMEOUT, 0), answered, q) == NULL)
		fatal(NULL);
}

static void
pinged(const struct docker_answer *a, void *arg)
{
	struct question *q = arg;
	struct engine *e = q->ask.e;
	engine_done_cb cb = q->cb;
	void *cb_arg = q->arg;

	docker_ask_end(&q->ask);
	if (a->error == ENGINE_OK && e->sweeps_due > 0 && e->sweeping == 0)
		docker_sweep(e, NULL, NULL);
	cb(a->error, a->detail, cb_arg);
}

void
docker_ping(struct engine *e, engine_done_cb cb, void *arg)
{
	question(e, "/_ping", pinged, cb, arg);
}

/* A name goes into a path: only what names of images are made of. */
static int
image_valid(const char *image)
{
	return (image[0] != '\0' && image[0] != '/' && strlen(image) < 256 &&
		strstr(image, "..") == NULL &&
		strspn(image, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "0123456789-_./:@") == strlen(image));
}

static void
image_answered(const struct docker_answer *a, void *arg)
{
	const char *id;
	struct question *q = arg;
	engine_done_cb cb = q->cb;
	void *cb_arg = q->arg;

	docker_ask_end(&q->ask);
	id = json_string_value(json_object_get(a->json, "Id"));
	if (id != NULL && strncmp(id, "sha256:", 7) == 0)
		id += 7;
	cb(a->status == 404 ? ENGINE_NO_IMAGE : a->error,
	    a->error == ENGINE_OK && docker_id_valid(id) ? id : a->detail,
	    cb_arg);
}

void
docker_image(struct engine *e, const char *image, engine_done_cb cb, void *arg)
{
	char path[320];

	/* No image has this name, and the engine says so. */
	snprintf(path, sizeof(path), "/images/%s/json",
	    image_valid(image) ? image : "none-of-these");
	question(e, path, image_answered, cb, arg);
}
