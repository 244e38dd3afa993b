/*
 * conf_reload.c: two configurations compared, for a reload: what differs, and
 * which of it a running takod can take. The table says so of each key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "log.h"
#include "util.h"

/* Sizes of the fields that keys have which need a restart. */
static size_t
field_size(const struct conf_key *key)
{
	switch (key->type) {
	case CONF_BOOL:
	case CONF_INT:
	case CONF_MS:
	case CONF_ENUM:
		return (sizeof(int));
	case CONF_SIZE:
	case CONF_BYTES:
		return (sizeof(uint64_t));
	case CONF_FLOAT:
		return (sizeof(double));
	case CONF_TEXT:
		return (sizeof(char *));
	case CONF_TEXTS:
		return (sizeof(struct conf_list));
	case CONF_PAIRS:
	case CONF_FIELDS:
	case CONF_TYPES:
	case CONF_KEYS:
		break;
	}
	fatalx("%s: a key of this kind cannot need a restart", key->name);
}

/* Those of files are not printed, so that they may be more or fewer. */
static int
keys_differ(const struct conf *a, const struct conf *b)
{
	size_t i;

	if (a->n_api_keys != b->n_api_keys)
		return (1);
	for (i = 0; i < a->n_api_keys; i++)
		if (strcmp(a->api_keys[i].name, b->api_keys[i].name) != 0 ||
		    memcmp(a->api_keys[i].digest, b->api_keys[i].digest,
			TAKO_SHA256) != 0)
			return (1);
	return (0);
}

static int
texts_differ(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != b);
	return (strcmp(a, b) != 0);
}

/* Printed forms are masked where they are secret: those are compared. */
static int
key_differs(const struct conf_key *key, const struct conf *a,
    const struct conf *b, const char *before, const char *after)
{
	const char *pa = (const char *)a + key->offset;
	const char *pb = (const char *)b + key->offset;

	if (strcmp(before, after) != 0)
		return (1);
	if ((key->flags & CK_SECRET) == 0)
		return (0);
	if (key->type == CONF_KEYS)
		return (keys_differ(a, b));
	return (texts_differ(*(char *const *)(const void *)pa,
	    *(char *const *)(const void *)pb));
}

static char *
type_names(const struct conf *conf)
{
	char *text = NULL;
	size_t i, len;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		fatal(NULL);
	for (i = 0; i < conf->n_job_types; i++)
		if (!conf->job_types[i].builtin)
			fprintf(f, "%s%s", ftell(f) > 0 ? " " : "",
			    conf->job_types[i].name);
	if (fclose(f) != 0)
		fatal(NULL);
	return (text);
}

size_t
conf_changes(const struct conf *running, const struct conf *fresh,
    struct conf_change **list)
{
	const struct conf_key *key;
	struct conf_change *c;
	char *before, *after;
	size_t n = 0;

	*list = xcalloc(conf_key_count(), sizeof(**list));
	for (key = conf_keys; key->name != NULL; key++) {
		before = conf_print_key(running, key);
		after = conf_print_key(fresh, key);
		if (!key_differs(key, running, fresh, before, after)) {
			free(before);
			free(after);
			continue;
		}
		c = &(*list)[n++];
		if (key->type == CONF_TYPES) {
			/* Their environments may hold secrets. */
			free(before);
			free(after);
			before = type_names(running);
			after = type_names(fresh);
		}
		c->key = key->name;
		c->before = before;
		c->after = after;
		c->restart = key->reload == RELOAD_RESTART;
	}
	return (n);
}

void
conf_changes_free(struct conf_change *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(list[i].before);
		free(list[i].after);
	}
	free(list);
}

void
conf_keep_fixed(struct conf *fresh, struct conf *running)
{
	const struct conf_key *key;
	char copy[sizeof(struct conf_list) + sizeof(uint64_t)];
	char *a, *b;
	size_t len;

	for (key = conf_keys; key->name != NULL; key++) {
		if (key->reload != RELOAD_RESTART)
			continue;
		len = field_size(key);
		a = (char *)fresh + key->offset;
		b = (char *)running + key->offset;
		memcpy(copy, a, len);
		memcpy(a, b, len);
		memcpy(b, copy, len);
	}
}
