/*
 * conf_env.c: environment variables that override the file. Each belongs to
 * a key of the table and keeps its bounds; only the spelling of booleans is
 * its own. Used by takod (the parent) and takoctl.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "util.h"

static const char *
env_bool(const char *text, struct conf_value *v)
{
	static const char *const words[] = { "false", "true", "0", "1", "no",
		"yes" };
	size_t i;

	for (i = 0; i < nitems(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			v->kind = VALUE_BOOL;
			v->i = (int64_t)(i & 1);
			return (NULL);
		}
	return ("must be true, false, 1, 0, yes or no");
}

/* A list with commas between; empty parts do not count. */
static const char *
env_list(const struct conf_key *key, struct conf_list *list, const char *text)
{
	const char *wrong = NULL;
	char *copy, *rest, *part;

	conf_set_free((struct conf_key[]){ *key, { .name = NULL } },
	    (char *)list - key->offset);
	rest = copy = xstrdup(text);
	while (wrong == NULL && (part = strsep(&rest, ",")) != NULL) {
		conf_trim(part);
		if (*part == '\0')
			continue;
		part = xstrdup(part);
		if (key->check != NULL)
			wrong = key->check(&part);
		if (wrong == NULL)
			conf_list_add(list, part);
		else
			free(part);
	}
	if (wrong == NULL && (double)list->n > key->max)
		wrong = "has too many items";
	freezero(copy, strlen(text));
	return (wrong);
}

/* API keys alone; they replace those of the file. */
static const char *
env_keys(const struct conf_key *key, struct conf *conf, const char *text)
{
	struct conf_key texts = *key;
	struct conf_list list = { 0 };
	const char *wrong;
	size_t i;

	texts.type = CONF_TEXTS;
	texts.offset = 0;
	wrong = env_list(&texts, &list, text);
	if (wrong == NULL)
		conf_keys_free(conf);
	for (i = 0; i < list.n && wrong == NULL; i++) {
		conf_keys_add(conf, list.items[i]);
		list.items[i] = xstrdup("");
	}
	conf_set_free((struct conf_key[]){ texts, { .name = NULL } }, &list);
	return (wrong);
}

static const char *
env_set(const struct conf_key *key, struct conf *conf, const char *text,
    char *msg, size_t len)
{
	struct conf_value v = { .kind = VALUE_TEXT };
	const char *wrong = NULL;
	char *copy;

	if (!utf8_valid(text, strlen(text)))
		return ("must be UTF-8");
	if (key->type == CONF_KEYS)
		return (env_keys(key, conf, text));
	if (key->type == CONF_TEXTS)
		return (env_list(key,
		    (struct conf_list *)(void *)((char *)conf + key->offset),
		    text));
	copy = xstrdup(text);
	if (key->type == CONF_BOOL)
		wrong = env_bool(text, &v);
	else if (key->type == CONF_INT || key->type == CONF_SIZE) {
		v.kind = VALUE_INT;
		if (conf_text_int(text, &v.i) == -1)
			wrong = "must be a whole number";
	} else if (key->type == CONF_ENUM)
		conf_lower(copy);
	if (wrong == NULL)
		wrong = conf_set_scalar(key, conf, &v, copy, msg, len);
	freezero(copy, strlen(copy));
	return (wrong);
}

void
conf_env_read(struct conf_loading *ld)
{
	const struct conf_key *key;
	const char *text, *wrong;
	char msg[128];

	for (key = conf_keys; key->name != NULL; key++) {
		if (key->env == NULL || (text = getenv(key->env)) == NULL)
			continue;
		wrong = env_set(key, ld->conf, text, msg, sizeof(msg));
		if (wrong != NULL) {
			conf_error_add(
			    ld->errors, NULL, 0, 0, key->env, "%s", wrong);
			continue;
		}
		ld->conf->origins[conf_key_number(key)].from =
		    CONF_FROM_VARIABLE;
	}
}
