/*
 * layer.h: layers of packages: layer.c keeps those that there are,
 * layer_build.c makes those that are wanted.
 */
#ifndef LAYER_H
#define LAYER_H

#include "takod.h"

#define LAYERS		"layers" /* below data_dir */
#define LAYER_IMAGE_LEN (MAX_JOB_TYPE_NAME + 32)
#define LAYER_TMP	".tmp-" /* begins the name of one being made */

struct layer {
	TAILQ_ENTRY(layer) entry;
	char key[LAYER_KEY_LEN + 1];
	int64_t built_at, used_at; /* us since the epoch */
	uint64_t bytes, files;
	unsigned users; /* slots that have it */
	int runtime;	/* made for a request */
	json_t *lock;	/* lock.json: what is in it */
	char gone[64];	/* its name while it goes; or "" */
};
TAILQ_HEAD(layer_list, layer);

/* ---- layer.c ------------------------------------------------------------- */
struct layer *layer_byname(const char *key);
/* What all has to be the same for two layers to be one. */
void layer_key_of(const char *image_id, const json_t *requirements,
    char key[LAYER_KEY_LEN + 1]);
/*
 * The requirements of a job of that type: an array of strings, sorted, each
 * once; empty: it needs no packages. NULL: those of the request are not valid.
 */
json_t *layer_requirements(
    const struct conf_job_type *, const struct blob *requested);
/*
 * The image that a type's own packages may be in, with the Docker engine; 0:
 * there is no such thing.
 */
int layer_prebuilt(const struct conf_job_type *, char name[LAYER_IMAGE_LEN]);
/* The image was found to be that one now; "": there is none. */
void layer_image_is(const char *image, const char *id);
/*
 * The folder LAYER_TMP... became a layer: gives it its name and takes lock
 * over. -1 with errno.
 */
int layer_add(const char *tmp, const char *key, int runtime, json_t *lock);
void layer_tmp_remove(const char *tmp);

#endif
