/*
 * layer.c: the layers of packages that there are. Runs in the parent.
 *
 * data_dir/layers/
 *	<key>/tree	what jobs have mounted, read-only: never changed again
 *	<key>/lock.json	what is in it; its time is that of the last use
 *	.tmp-...	one being made, or what is left of one
 *
 * The key is a digest of all that decides what is in a layer: the image, the
 * requirements, where packages come from. A layer comes into being by one
 * rename and goes by another (to a name with a dot), so whatever moment takod
 * is killed at, what is under a key is whole. lock.json is written by
 * layer_build.c alone; a tree is never looked into.
 */
#include <sys/stat.h>
#include <sys/utsname.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_arm.h"
#include "layer.h"
#include "oci_run.h"
#include "requirement.h"
#include "util.h"

/* Grows by one with each change of what an installer does. */
#define LAYER_RECIPE 1
/* The image of a name is looked at anew so often. */
#define IMAGE_LOOK_S 5
/* Unless enable_runtime_dependency_cache is on, a request's layer stays so
 * long after its last use. */
#define RUNTIME_KEPT_US (600 * 1000000LL)
#define MAX_LOCK	1048576

struct image {
	TAILQ_ENTRY(image) entry;
	char *name;
	char id[LAYER_KEY_LEN + 1]; /* "": not known */
};

static struct layer_list layers = TAILQ_HEAD_INITIALIZER(layers);
static struct layer_list going = TAILQ_HEAD_INITIALIZER(going);
static TAILQ_HEAD(, image) images = TAILQ_HEAD_INITIALIZER(images);
static struct event *sweep_timer;
static unsigned removals; /* names of what goes must not meet */

static void layer_settle(struct layer *);

/* ---- keys ---------------------------------------------------------------- */

static struct image *
image_byname(const char *name)
{
	struct image *i;

	TAILQ_FOREACH (i, &images, entry)
		if (strcmp(i->name, name) == 0)
			return (i);
	return (NULL);
}

int
layer_prebuilt(const struct conf_job_type *jt, char name[LAYER_IMAGE_LEN])
{
	snprintf(name, LAYER_IMAGE_LEN, "tako-vm-%s:latest", jt->name);
	return (env.engine_ops == &engine_docker && jt->requirements.n > 0);
}

/* Its own image, if its packages are in one; NULL. */
static const struct image *
prebuilt(const struct conf_job_type *jt)
{
	char name[LAYER_IMAGE_LEN];
	const struct image *i;

	if (!layer_prebuilt(jt, name) || (i = image_byname(name)) == NULL)
		return (NULL);
	return (i->id[0] != '\0' ? i : NULL);
}

const char *
layer_image(const struct conf_job_type *jt, char buf[PYTHON_IMAGE])
{
	const struct image *own = prebuilt(jt);

	return (own != NULL ? own->name
			    : python_image(env.conf, jt->base_image,
				  jt->python_version, buf));
}

void
layer_image_is(const char *name, const char *id)
{
	struct image *i = image_byname(name);

	if (i == NULL) {
		i = xcalloc(1, sizeof(*i));
		i->name = xstrdup(name);
		TAILQ_INSERT_TAIL(&images, i, entry);
	}
	strlcpy(i->id, id, sizeof(i->id));
}

void
layer_key_of(const char *image_id, const json_t *requirements,
    char key[LAYER_KEY_LEN + 1])
{
	const struct conf *cf = env.conf;
	uint8_t digest[TAKO_SHA256];
	struct utsname host;
	json_t *all, *extra = json_array();
	char *text;
	size_t i;

	for (i = 0; i < cf->package_extra_index_urls.n; i++)
		json_array_append_new(
		    extra, json_string(cf->package_extra_index_urls.items[i]));
	if (uname(&host) == -1)
		fatal("uname");
	all = json_pack("[i, s, s, s, o, b, O]", LAYER_RECIPE, image_id,
	    host.machine, cf->package_index_url, extra,
	    cf->package_source_builds, requirements);
	if (all == NULL || (text = json_dumps(all, JSON_COMPACT)) == NULL)
		fatal(NULL);
	sha256(digest, text, strlen(text));
	hex_encode(key, digest, sizeof(digest));
	free(text);
	json_decref(all);
}

static int
compare(const void *a, const void *b)
{
	return (
	    strcmp(*(char *const *)(uintptr_t)a, *(char *const *)(uintptr_t)b));
}

json_t *
layer_requirements(const struct conf_job_type *jt, const struct blob *requested)
{
	json_t *list = NULL, *item, *all = json_array();
	size_t i, n = 0, own = prebuilt(jt) != NULL ? 0 : jt->requirements.n;
	char **texts;

	if (blob_len(requested) > 0)
		list = json_loadb((const char *)blob_data(requested),
		    blob_len(requested), 0, NULL);
	texts = xcalloc(own + json_array_size(list) + 1, sizeof(*texts));
	for (i = 0; i < own; i++)
		texts[n++] = xstrdup(jt->requirements.items[i]);
	json_array_foreach (list, i, item) {
		if (!json_is_string(item) ||
		    !requirement_valid(json_string_value(item))) {
			json_decref(all);
			all = NULL;
			break;
		}
		texts[n++] = xstrdup(json_string_value(item));
	}
	for (i = 0; i < n; i++)
		if (requirement_valid(texts[i]))
			requirement_normalise(texts[i]);
	qsort(texts, n, sizeof(*texts), compare);
	for (i = 0; i < n; i++) {
		if (all != NULL &&
		    (i == 0 || strcmp(texts[i], texts[i - 1]) != 0))
			json_array_append_new(all, json_string(texts[i]));
	}
	for (i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
	json_decref(list);
	return (all);
}

/* ---- those that there are ------------------------------------------------ */

struct layer *
layer_byname(const char *key)
{
	struct layer *l;

	TAILQ_FOREACH (l, &layers, entry)
		if (strcmp(l->key, key) == 0)
			return (l);
	return (NULL);
}

enum layer_found
layer_find(const struct conf_job_type *jt, const struct blob *requested,
    char key[LAYER_KEY_LEN + 1])
{
	char name[PYTHON_IMAGE];
	struct image *image;
	json_t *list;

	key[0] = '\0';
	if ((jt->requirements.n == 0 || prebuilt(jt) != NULL) &&
	    blob_len(requested) == 0)
		return (LAYER_NONE);
	if ((list = layer_requirements(jt, requested)) == NULL)
		return (LAYER_MISSING);
	image = image_byname(layer_image(jt, name));
	if (image != NULL && image->id[0] != '\0')
		layer_key_of(image->id, list, key);
	json_decref(list);
	return (layer_byname(key) != NULL ? LAYER_THERE : LAYER_MISSING);
}

static int
layer_open(const char *key)
{
	char path[LAYER_KEY_LEN + 32];

	snprintf(path, sizeof(path), LAYERS "/%s", key);
	return (openat(env.data_fd, path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

static void
layer_used(struct layer *l)
{
	int fd = layer_open(l->key);

	l->used_at = time_wall_us();
	if (fd == -1 || utimensat(fd, "lock.json", NULL, 0) == -1)
		log_warn("layer %.12s", l->key);
	close_fd(&fd);
}

struct layer *
layer_hold(const char *key, char *path, size_t len)
{
	struct layer *l = layer_byname(key);

	if (l == NULL)
		fatalx("%s: no layer %s", __func__, key);
	l->users++;
	layer_used(l);
	snprintf(path, len, "%s/" LAYERS "/%s/tree", env.conf->data_dir, key);
	return (l);
}

void
layer_release(struct layer *l)
{
	l->users--;
	if (l->gone[0] != '\0')
		layer_settle(l);
	else
		layer_used(l);
}

/* ---- coming and going ---------------------------------------------------- */

static void
removed(int status, void *arg)
{
	if (status != 0)
		log_warnx("%s cannot be removed", (char *)arg);
	free(arg);
}

/* It has many files: a process of its own takes them away. */
static void
tree_remove(const char *name)
{
	char *path = xasprintf("%s/" LAYERS "/%s", env.conf->data_dir, name);
	char rm[] = "/bin/rm", flags[] = "-rf", end[] = "--";
	char *argv[] = { rm, flags, end, path, NULL };
	const struct oci_run_how how = {
		.argv = argv, .in = -1, .out = -1, .kept = -1, .group = -1
	};

	if (oci_run_start(env.base, &how, removed, path) == NULL) {
		log_warn("%s", path);
		free(path);
	}
}

void
layer_tmp_remove(const char *tmp)
{
	tree_remove(tmp);
}

/* One that goes is gone with the last slot that has it. */
static void
layer_settle(struct layer *l)
{
	if (l->gone[0] == '\0' || l->users > 0)
		return;
	tree_remove(l->gone);
	TAILQ_REMOVE(&going, l, entry);
	json_decref(l->lock);
	free(l);
}

/* Slots that have it mounted go on with it: its files stay until then. */
static void
layer_remove(struct layer *l, const char *why)
{
	int fd;

	snprintf(
	    l->gone, sizeof(l->gone), ".gone-%.12s-%u", l->key, removals++);
	fd = layer_open(".");
	if (fd == -1 || renameat(fd, l->key, fd, l->gone) == -1)
		log_warn("layer %.12s", l->key);
	else {
		log_info("layer %.12s is removed: %s", l->key, why);
		TAILQ_REMOVE(&layers, l, entry);
		TAILQ_INSERT_TAIL(&going, l, entry);
		layer_settle(l);
	}
	close_fd(&fd);
}

static void
layer_note(const char *key, json_t *lock, int64_t used_at)
{
	struct layer *l = xcalloc(1, sizeof(*l));

	strlcpy(l->key, key, sizeof(l->key));
	l->lock = lock;
	l->built_at = json_integer_value(json_object_get(lock, "built_at_us"));
	l->bytes = (uint64_t)json_integer_value(json_object_get(lock, "bytes"));
	l->files = (uint64_t)json_integer_value(json_object_get(lock, "files"));
	l->runtime = json_is_true(json_object_get(lock, "runtime"));
	l->used_at = used_at;
	TAILQ_INSERT_TAIL(&layers, l, entry);
}

static int
lock_write(int dir, const json_t *lock)
{
	char *text = json_dumps(lock, JSON_INDENT(2));
	int r = -1;

	if (text != NULL)
		r = write_file(
		    dir, "lock.json", O_CREAT | O_EXCL | O_SYNC, 0644, text);
	free(text);
	return (r);
}

int
layer_add(const char *tmp, const char *key, int runtime, json_t *lock)
{
	int dir = -1, parent = layer_open("."), r = -1;

	if (runtime)
		json_object_set_new(lock, "runtime", json_true());
	if (parent != -1)
		dir = openat(parent, tmp,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir != -1 && lock_write(dir, lock) == 0 && fsync(dir) == 0 &&
	    renameat(parent, tmp, parent, key) == 0 && fsync(parent) == 0)
		r = 0;
	close_fd(&dir);
	close_fd(&parent);
	if (r == 0) {
		layer_note(key, lock, time_wall_us());
		layers_sweep();
	} else
		json_decref(lock);
	return (r);
}

/* A layer that a former life made; what is no whole one goes. */
static void
layer_load(int parent, const char *name)
{
	char path[300], *text;
	struct stat st;
	json_t *lock = NULL;
	size_t len;

	snprintf(path, sizeof(path), "%s/lock.json", name);
	text = strlen(name) == LAYER_KEY_LEN &&
		       fstatat(parent, path, &st, AT_SYMLINK_NOFOLLOW) == 0
		   ? read_file(parent, path, MAX_LOCK, &len)
		   : NULL;
	if (text != NULL)
		lock = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (json_is_object(lock))
		layer_note(name, lock,
		    (int64_t)st.st_mtim.tv_sec * 1000000 +
			st.st_mtim.tv_nsec / 1000);
	else {
		json_decref(lock);
		tree_remove(name);
	}
}

/* ---- which are needed -----------------------------------------------------
 */

/* Does that job type run in it? */
static int
type_needs(const struct conf_job_type *jt, const struct layer *l)
{
	char key[LAYER_KEY_LEN + 1];

	return (layer_find(jt, NULL, key) == LAYER_THERE &&
		strcmp(key, l->key) == 0);
}

static int
needed(const struct layer *l)
{
	size_t i;

	for (i = 0; i < env.conf->n_job_types; i++)
		if (type_needs(&env.conf->job_types[i], l))
			return (1);
	return (0);
}

void
layers_sweep(void)
{
	struct layer *l, *next, *oldest;
	int64_t now = time_wall_us();
	uint64_t sum = 0;

	TAILQ_FOREACH_SAFE (l, &layers, entry, next) {
		if (l->runtime && l->users == 0 &&
		    !env.conf->enable_runtime_dependency_cache &&
		    now - l->used_at > RUNTIME_KEPT_US && !needed(l))
			layer_remove(l, "no request has asked for it lately");
		else
			sum += l->bytes;
	}
	while (sum > env.conf->layer_cache_bytes) {
		oldest = NULL;
		TAILQ_FOREACH (l, &layers, entry)
			if (!needed(l) && !pool_uses_layer(l->key) &&
			    (oldest == NULL || l->used_at < oldest->used_at))
				oldest = l;
		if (oldest == NULL)
			return;
		(void)pool_retire_layer(oldest->key);
		sum -= oldest->bytes;
		layer_remove(oldest, "layer_cache_bytes is used up");
	}
}

/* ---- the images that layers are for ---------------------------------------
 */

struct look {
	char *name;
};

static void
looked(enum engine_error error, const char *detail, void *arg)
{
	struct look *l = arg;

	if (error == ENGINE_OK || error == ENGINE_NO_IMAGE)
		layer_image_is(l->name, error == ENGINE_OK ? detail : "");
	free(l->name);
	free(l);
}

static void
image_look(const char *name)
{
	struct look *l = xcalloc(1, sizeof(*l));

	l->name = xstrdup(name);
	env.engine_ops->image(env.engine, name, looked, l);
}

/* One that was replaced makes layers for it anew. */
static void
sweep(int fd, short events, void *arg)
{
	static const struct timeval every = { IMAGE_LOOK_S, 0 };
	char name[LAYER_IMAGE_LEN];
	struct image *i;
	size_t n;

	(void)fd;
	(void)events;
	(void)arg;
	event_arm(sweep_timer, &every);
	if (!env.ready || env.stopping || !engine_state_usable())
		return;
	TAILQ_FOREACH (i, &images, entry)
		image_look(i->name);
	for (n = 0; n < env.conf->n_job_types; n++)
		if (layer_prebuilt(&env.conf->job_types[n], name) &&
		    image_byname(name) == NULL)
			image_look(name);
	layers_sweep();
}

/* ---- for takoctl ----------------------------------------------------------
 */

static json_t *
types_of(const struct layer *l)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < env.conf->n_job_types; i++)
		if (type_needs(&env.conf->job_types[i], l))
			json_array_append_new(
			    list, json_string(env.conf->job_types[i].name));
	return (list);
}

/* Does the key begin so? */
static int
begins(const struct layer *l, const char *key)
{
	return (strncmp(l->key, key, strlen(key)) == 0);
}

void
layers_list(const char *key, answer_cb answer, void *arg)
{
	json_t *list = json_array(), *all, *o;
	char date[40];
	struct layer *l;

	TAILQ_FOREACH (l, &layers, entry) {
		if (!begins(l, key))
			continue;
		/* The lock has the rest: what is in it. */
		o = json_copy(l->lock);
		json_object_set_new(o, "job_types", types_of(l));
		json_object_set_new(o, "used_at",
		    json_string(time_iso(date, sizeof(date), l->used_at)));
		json_object_set_new(o, "in_use", json_integer(l->users));
		json_object_set_new(o, "runtime", json_boolean(l->runtime));
		json_array_append_new(list, o);
	}
	all = json_pack("{s:s, s:o}", "key", key, "layers", list);
	answer(all == NULL ? REP_UNAVAILABLE : REP_NONE, "Out of memory", all,
	    arg);
	json_decref(all);
}

void
layers_remove(const char *key, answer_cb answer, void *arg)
{
	struct layer *l, *found = NULL;
	unsigned n = 0;

	TAILQ_FOREACH (l, &layers, entry)
		if (begins(l, key)) {
			found = l;
			n++;
		}
	if (n == 0)
		answer(REP_NOT_FOUND, "No such layer", NULL, arg);
	else if (n > 1)
		answer(REP_INVALID, "More than one layer begins so", NULL, arg);
	else if (pool_retire_layer(found->key) == -1)
		answer(REP_UNAVAILABLE, "The layer is in use", NULL, arg);
	else {
		layer_remove(found, "takoctl asked for that");
		answer(REP_NONE, "", NULL, arg);
	}
}

void
layers_init(void)
{
	static const struct timeval now = { 0, 0 };
	struct dirent *e;
	int fd, parent;
	DIR *d;

	/* To be searched by root and a runtime alone: jobs get a mount. */
	if (make_dir(env.data_fd, LAYERS, 0711) == -1)
		fatal("data_dir: " LAYERS);
	parent = layer_open(".");
	fd = layer_open(".");
	if (parent == -1 || fd == -1 || (d = fdopendir(fd)) == NULL)
		fatal("data_dir: " LAYERS);
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			layer_load(parent, e->d_name);
	closedir(d);
	close_fd(&parent);
	if ((sweep_timer = evtimer_new(env.base, sweep, NULL)) == NULL)
		fatal(NULL);
	event_arm(sweep_timer, &now);
}
