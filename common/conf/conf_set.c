/*
 * conf_set.c: puts the values of a document into struct conf by the table:
 * types, bounds, nulls, unknown, double and missing keys. Everything wrong is
 * reported, and what is right is set all the same, so that one reading finds
 * all faults. Used by takod (the parent) and takoctl.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "log.h"
#include "util.h"

#define BAD_FORM "has a form or a tag that is not allowed"

static void set_fields(struct conf_loading *, const struct conf_key *,
    void *base, const struct conf_node *, const char *path);

static void *
field(void *base, const struct conf_key *key)
{
	return ((char *)base + key->offset);
}

void
conf_list_add(struct conf_list *list, char *item)
{
	char **grown;

	grown = reallocarray(list->items, list->n + 1, sizeof(*grown));
	if (grown == NULL)
		fatal(NULL);
	list->items = grown;
	list->items[list->n++] = item;
}

static void
pairs_add(struct conf_env *env, char *name, char *value)
{
	char **grown;

	grown = reallocarray(env->names, env->n + 1, sizeof(*grown));
	if (grown == NULL)
		fatal(NULL);
	env->names = grown;
	grown = reallocarray(env->values, env->n + 1, sizeof(*grown));
	if (grown == NULL)
		fatal(NULL);
	env->values = grown;
	env->names[env->n] = name;
	env->values[env->n++] = value;
}

static void
list_free(struct conf_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		freezero(list->items[i], strlen(list->items[i]));
	free(list->items);
	memset(list, 0, sizeof(*list));
}

static void
pairs_free(struct conf_env *env)
{
	size_t i;

	for (i = 0; i < env->n; i++) {
		free(env->names[i]);
		free(env->values[i]);
	}
	free(env->names);
	free(env->values);
	memset(env, 0, sizeof(*env));
}

static void
types_free(struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->n_job_types; i++)
		conf_set_free(conf_job_type_keys, &conf->job_types[i]);
	free(conf->job_types);
	conf->job_types = NULL;
	conf->n_job_types = 0;
}

static void
key_free(struct conf_api_key *k)
{
	conf_set_free(conf_api_key_keys, k);
	memset(k, 0, sizeof(*k));
}

void
conf_keys_free(struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->n_api_keys; i++)
		key_free(&conf->api_keys[i]);
	free(conf->api_keys);
	conf->api_keys = NULL;
	conf->n_api_keys = 0;
}

/* Another one, of which nothing is said yet. */
static struct conf_api_key *
key_new(struct conf *conf)
{
	struct conf_api_key *k;

	k = reallocarray(
	    conf->api_keys, conf->n_api_keys + 1, sizeof(*conf->api_keys));
	if (k == NULL)
		fatal(NULL);
	conf->api_keys = k;
	k += conf->n_api_keys++;
	memset(k, 0, sizeof(*k));
	conf_set_defaults(conf_api_key_keys, k);
	return (k);
}

/*
 * A key that stands alone is named after itself: whatever is changed beside
 * it, and in whichever order they stand, it means the same client.
 */
void
conf_keys_add(struct conf *conf, char *key)
{
	static const char salt[] = "name of an API key: ";
	struct conf_api_key *k = key_new(conf);
	size_t len = sizeof(salt) - 1, n = strlen(key);
	uint8_t digest[TAKO_SHA256];
	char hex[13], *text;

	k->key = key;
	sha256(k->digest, key, n);
	/* Not by printf(3), which leaves a copy of its own. */
	text = xmalloc(len + n);
	memcpy(text, salt, len);
	memcpy(text + len, key, n);
	sha256(digest, text, len + n);
	freezero(text, len + n);
	k->name = xasprintf("key-%s", hex_encode(hex, digest, 6));
}

void
conf_keys_add_file(struct conf *conf, char *key, char *name)
{
	struct conf_api_key *k;

	conf_keys_add(conf, key);
	k = &conf->api_keys[conf->n_api_keys - 1];
	free(k->name);
	k->name = name;
	k->from_file = 1;
}

void
conf_forget_keys(struct conf *conf)
{
	struct conf_api_key *k;

	for (k = conf->api_keys; k < conf->api_keys + conf->n_api_keys; k++)
		if (k->key != NULL) {
			freezero(k->key, strlen(k->key));
			k->key = NULL;
		}
}

void
conf_set_free(const struct conf_key *keys, void *base)
{
	char **text;

	for (; keys->name != NULL; keys++) {
		switch (keys->type) {
		case CONF_TEXT:
			text = field(base, keys);
			if (*text != NULL)
				freezero(*text, strlen(*text));
			*text = NULL;
			break;
		case CONF_TEXTS:
			list_free(field(base, keys));
			break;
		case CONF_PAIRS:
			pairs_free(field(base, keys));
			break;
		case CONF_FIELDS:
			conf_set_free(keys->fields, field(base, keys));
			break;
		case CONF_TYPES:
			types_free(base);
			break;
		case CONF_KEYS:
			conf_keys_free(base);
			break;
		default:
			break;
		}
	}
}

static void __attribute__((format(printf, 3, 4)))
say(char *msg, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, len, fmt, ap);
	va_end(ap);
}

/*
 * "must be a whole number between 10 and 1000", of which what is only may be
 * left out; for numbers that are whole or have one decimal.
 */
static const char *
bounds(const struct conf_key *key, const char *what, char *msg, size_t len)
{
	int places = key->min == (double)(int64_t)key->min ? 0 : 1;

	if (key->type == CONF_INT && key->max >= INT_MAX)
		say(msg, len, "must be %s%sat least %.*f", what,
		    *what != '\0' ? "of " : "", places, key->min);
	else
		say(msg, len, "must be %sbetween %.*f and %.0f", what, places,
		    key->min, key->max);
	return (msg);
}

static const char *
set_number(const struct conf_key *key, void *p, const struct conf_value *v,
    const char *text, char *msg, size_t len)
{
	int64_t n;

	if (conf_to_int(v, text, &n) == -1)
		return (bounds(key, "a whole number ", msg, len));
	/* Without a bound of its own: as much as an int holds. */
	if (key->type == CONF_INT && key->max >= INT_MAX && n > INT_MAX)
		n = INT_MAX;
	if ((double)n < key->min || (double)n > key->max)
		return (bounds(key, "", msg, len));
	if (key->type == CONF_SIZE)
		*(uint64_t *)p = (uint64_t)n;
	else
		*(int *)p = (int)n;
	return (NULL);
}

static const char *
set_float(const struct conf_key *key, void *p, const struct conf_value *v,
    const char *text, char *msg, size_t len)
{
	double f;

	if (conf_to_float(v, text, &f) == -1)
		return (bounds(key, "a number ", msg, len));
	if (!(f >= key->min && f <= key->max))
		return (bounds(key, "", msg, len));
	if (key->type == CONF_MS)
		*(int *)p = (int)(f * 1000 + 0.5);
	else
		*(double *)p = f;
	return (NULL);
}

static const char *
wrong_bytes(const struct conf_key *key)
{
	if (key->flags & CK_MEGA)
		return ("must be a whole number with m or g behind it, such "
			"as 512m");
	return ("must be a whole number with k, m or g behind it, such as "
		"100m, or a number of bytes in quotes");
}

static const char *
set_bytes(const struct conf_key *key, void *p, const char *text, char *msg,
    size_t len)
{
	int mega = (key->flags & CK_MEGA) != 0;
	uint64_t bytes;
	uint64_t whole;

	if (conf_text_bytes(text, mega, &bytes) == -1)
		return (wrong_bytes(key));
	/* 0.3 judges whole megabytes. */
	whole = bytes / (1024 * 1024);
	if ((double)whole < key->min || (double)whole > key->max) {
		say(msg, len, "must be between %.0fm and %.0fg", key->min,
		    key->max / 1024);
		return (msg);
	}
	*(uint64_t *)p = bytes;
	return (NULL);
}

static const char *
set_enum(const struct conf_key *key, void *p, const char *text, char *msg,
    size_t len)
{
	const struct conf_name *name;
	char *copy;
	int found = 0;
	size_t used;

	copy = xstrdup(text);
	if (key->flags & CK_TRIM)
		conf_trim(copy);
	for (name = key->values; name->name != NULL && !found; name++) {
		found = key->flags & CK_ANYCASE
			    ? strcasecmp(copy, name->name) == 0
			    : strcmp(copy, name->name) == 0;
		if (found)
			*(int *)p = name->value;
	}
	free(copy);
	if (found)
		return (NULL);
	say(msg, len, "must be one of");
	for (name = key->values; name->name != NULL; name++) {
		used = strlen(msg);
		say(msg + used, len - used, "%s%s",
		    name == key->values ? " " : ", ", name->name);
	}
	return (msg);
}

static int
has_controls(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return (1);
	return (0);
}

/* What is wrong with a text of that key; it may be changed, and moved. */
static const char *
check_text(const struct conf_key *key, char **text)
{
	if (key->flags & CK_LINE) {
		conf_trim(*text); /* a folded text ends with a newline */
		if (**text == '\0')
			return ("must not be empty");
		if (has_controls(*text))
			return ("must not contain control characters");
	}
	return (key->check != NULL ? key->check(text) : NULL);
}

/* Keeps a copy in *p; NULL, or what is wrong with it. */
static const char *
set_text(const struct conf_key *key, char **p, const char *text)
{
	const char *wrong;
	char *copy;

	copy = xstrdup(text);
	if ((wrong = check_text(key, &copy)) != NULL) {
		free(copy);
		return (wrong);
	}
	/* A text that the check made empty stands for none. */
	if (*copy == '\0' && (key->flags & CK_NULL)) {
		free(copy);
		copy = NULL;
	}
	free(*p);
	*p = copy;
	return (NULL);
}

static void
set_null(const struct conf_key *key, void *p)
{
	char **text = p;

	if (key->type == CONF_TEXT) {
		free(*text);
		*text = NULL;
	} else
		*(int *)p = key->flags & CK_UNSET ? -1 : 0;
}

/* What a key that is given something of another form must be. */
static const char *
wrong_form(const struct conf_key *key, char *msg, size_t len)
{
	switch (key->type) {
	case CONF_TEXTS:
	case CONF_KEYS:
		return ("must be a list of texts, such as [a, b]");
	case CONF_TYPES:
		return ("must be a list of mappings, each of which begins "
			"with - name:");
	case CONF_PAIRS:
		return ("must be a mapping, such as {NAME: text}");
	case CONF_FIELDS:
		say(msg, len, "must be a mapping, with keys such as %s",
		    key->fields[0].name);
		return (msg);
	default:
		return ("must be a single value");
	}
}

const char *
conf_set_scalar(const struct conf_key *key, void *base,
    const struct conf_value *v, const char *text, char *msg, size_t len)
{
	void *p = field(base, key);
	int b;

	if (v->kind == VALUE_BAD)
		return (BAD_FORM);
	if (v->kind == VALUE_NULL) {
		if ((key->flags & CK_NULL) == 0)
			return (key->type == CONF_FIELDS
				    ? "must not be null or left out: its keys "
				      "are indented below it"
				    : "must not be null or left out");
		set_null(key, p);
		return (NULL);
	}
	switch (key->type) {
	case CONF_BOOL:
		if (conf_to_bool(v, text, &b) == -1)
			return ("must be true or false");
		*(int *)p = b;
		return (NULL);
	case CONF_INT:
	case CONF_SIZE:
		return (set_number(key, p, v, text, msg, len));
	case CONF_FLOAT:
	case CONF_MS:
		return (set_float(key, p, v, text, msg, len));
	case CONF_TEXTS:
	case CONF_TYPES:
	case CONF_KEYS:
	case CONF_PAIRS:
	case CONF_FIELDS:
		return (wrong_form(key, msg, len));
	default:
		break;
	}
	if (key->type == CONF_BYTES)
		return (v->kind == VALUE_TEXT
			    ? set_bytes(key, p, text, msg, len)
			    : wrong_bytes(key));
	/* no name of an enumeration is that of a number or a truth */
	if (key->type == CONF_ENUM)
		return (set_enum(key, p, text, msg, len));
	if (v->kind != VALUE_TEXT)
		return ("must be a text: put it in quotes");
	return (set_text(key, p, text));
}

void
conf_set_defaults(const struct conf_key *keys, void *base)
{
	struct conf_value v;
	char msg[128];

	for (; keys->name != NULL; keys++) {
		if (keys->flags & CK_UNSET)
			*(int *)field(base, keys) = -1;
		if (keys->type == CONF_FIELDS)
			conf_set_defaults(keys->fields, field(base, keys));
		if (keys->def == NULL)
			continue;
		v = conf_resolve(keys->def,
		    keys->type != CONF_TEXT && keys->type != CONF_BYTES &&
			keys->type != CONF_ENUM,
		    NULL);
		if (conf_set_scalar(
			keys, base, &v, keys->def, msg, sizeof(msg)) != NULL)
			fatalx("the default of %s is wrong", keys->name);
	}
}

/* path.name in buf, what cannot be shown escaped, cut where too long. */
static const char *
join(char buf[CONF_MAX_PATH], const char *path, const char *name)
{
	char shown[80];

	log_escape(shown, sizeof(shown), name, strnlen(name, 64));
	snprintf(buf, CONF_MAX_PATH, "%s%s%s", path, *path != '\0' ? "." : "",
	    shown);
	return (buf);
}

static const char *
join_number(char buf[CONF_MAX_PATH], const char *path, size_t number)
{
	snprintf(buf, CONF_MAX_PATH, "%.200s.%zu", path, number);
	return (buf);
}

/* Counts a look at a node; aliases must not multiply the work. */
static int
visit(struct conf_loading *ld, const struct conf_node *node)
{
	if (++ld->visits < CONF_MAX_NODES)
		return (0);
	if (ld->visits == CONF_MAX_NODES)
		conf_error_at(
		    ld, node, NULL, "aliases make too much of this file");
	return (-1);
}

/* at: where it stands, for the message. */
static int
text_sound(struct conf_loading *ld, const struct conf_node *at,
    const struct conf_node *node, const char *path)
{
	if (strlen(node->text) == node->len)
		return (1);
	conf_error_at(ld, at, path, "must not contain a NUL");
	return (0);
}

/* A text of a list or a mapping; NULL with an error. */
static const char *
inner_text(struct conf_loading *ld, unsigned number, const char *path)
{
	const struct conf_node *at = &ld->doc.nodes[number];
	const struct conf_node *node = conf_doc_node(&ld->doc, number);

	if (node->kind == NODE_BAD_TAG ||
	    (node->kind == NODE_SCALAR && node->value.kind == VALUE_BAD))
		conf_error_at(ld, at, path, BAD_FORM);
	else if (node->kind != NODE_SCALAR)
		conf_error_at(ld, at, path, "must be a text");
	else if (node->value.kind == VALUE_NULL)
		conf_error_at(ld, at, path, "must be a text, if only \"\"");
	else if (node->value.kind != VALUE_TEXT)
		conf_error_at(ld, at, path, "must be a text: put it in quotes");
	else if (text_sound(ld, at, node, path))
		return (node->text);
	return (NULL);
}

static size_t
pair_find(const struct conf_doc *doc, const struct conf_pair *pairs, size_t n,
    const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(doc->nodes[pairs[i].key].text, name) == 0)
			break;
	return (i);
}

static void merge(struct conf_loading *, const struct conf_node *,
    struct conf_pair *, size_t *, const char *, unsigned);

/* Takes a pair of a mapping itself; a merge key waits for the second turn. */
static int
own_pair(struct conf_loading *ld, unsigned number, struct conf_pair *pairs,
    size_t *n, const char *path)
{
	char buf[CONF_MAX_PATH];
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *key = conf_doc_node(doc, number);
	const struct conf_node *at = &doc->nodes[number];

	if (key->kind != NODE_SCALAR || key->value.kind != VALUE_TEXT) {
		conf_error_at(ld, at, path, "a key must be a text");
		return (0);
	}
	if (!text_sound(ld, at, key, path))
		return (0);
	if (pair_find(doc, pairs, *n, key->text) < *n) {
		conf_error_at(
		    ld, at, join(buf, path, key->text), "stands here twice");
		return (0);
	}
	if (*n == CONF_MAX_PAIRS) {
		conf_error_at(
		    ld, at, path, "has more than %d keys", CONF_MAX_PAIRS);
		return (-1);
	}
	pairs[*n].key = (unsigned)(key - doc->nodes);
	pairs[(*n)++].value = at->next;
	return (0);
}

static int
is_merge(const struct conf_node *key)
{
	return (key->kind == NODE_SCALAR && key->value.kind == VALUE_MERGE);
}

/*
 * The pairs of a mapping: its own first, then those that "<<" brings in and
 * that are not there yet.
 */
static void
collect(struct conf_loading *ld, const struct conf_node *map,
    struct conf_pair *pairs, size_t *n, const char *path, unsigned depth)
{
	const struct conf_doc *doc = &ld->doc;
	unsigned number, merged = 0;

	for (number = map->first; number != 0;
	     number = doc->nodes[doc->nodes[number].next].next) {
		if (visit(ld, &doc->nodes[number]) == -1)
			return;
		if (is_merge(conf_doc_node(doc, number))) {
			if (merged != 0)
				conf_error_at(ld, &doc->nodes[number], path,
				    "<< stands here twice");
			merged = doc->nodes[number].next;
		} else if (own_pair(ld, number, pairs, n, path) == -1)
			return;
	}
	if (merged != 0)
		merge(ld, &doc->nodes[merged], pairs, n, path, depth);
}

static void
merge_one(struct conf_loading *ld, unsigned number, struct conf_pair *pairs,
    size_t *n, const char *path, unsigned depth)
{
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *map = conf_doc_node(doc, number);
	struct conf_pair *theirs;
	size_t i, n_theirs = 0;

	if (visit(ld, &doc->nodes[number]) == -1)
		return;
	if (map->kind != NODE_MAP || depth == 8) {
		conf_error_at(ld, &doc->nodes[number], path,
		    map->kind == NODE_MAP ? "<< goes too deep"
					  : "<< must name a mapping");
		return;
	}
	theirs = xcalloc(CONF_MAX_PAIRS, sizeof(*theirs));
	collect(ld, map, theirs, &n_theirs, path, depth + 1);
	for (i = 0; i < n_theirs; i++) {
		if (pair_find(doc, pairs, *n, doc->nodes[theirs[i].key].text) <
		    *n)
			continue;
		if (*n == CONF_MAX_PAIRS) {
			conf_error_at(ld, &doc->nodes[number], path,
			    "has more than %d keys", CONF_MAX_PAIRS);
			break;
		}
		pairs[(*n)++] = theirs[i];
	}
	free(theirs);
}

static void
merge(struct conf_loading *ld, const struct conf_node *value,
    struct conf_pair *pairs, size_t *n, const char *path, unsigned depth)
{
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *list;
	unsigned number;

	number = (unsigned)(value - doc->nodes);
	list = conf_doc_node(doc, number);
	if (list->kind != NODE_LIST) {
		merge_one(ld, number, pairs, n, path, depth);
		return;
	}
	for (number = list->first; number != 0;
	     number = doc->nodes[number].next)
		merge_one(ld, number, pairs, n, path, depth);
}

static void
set_texts(struct conf_loading *ld, const struct conf_key *key,
    struct conf_list *list, const struct conf_node *node, const char *path)
{
	char buf[CONF_MAX_PATH];
	const struct conf_doc *doc = &ld->doc;
	struct conf_key single = *key;
	const char *item, *wrong;
	char *text;
	unsigned number;
	size_t i = 0;

	single.flags &= ~(unsigned)CK_NULL;
	if (node->n > key->max) {
		conf_error_at(
		    ld, node, path, "has more than %.0f items", key->max);
		return;
	}
	for (number = node->first; number != 0;
	     number = doc->nodes[number].next, i++) {
		if (visit(ld, &doc->nodes[number]) == -1)
			return;
		join_number(buf, path, i);
		if ((item = inner_text(ld, number, buf)) == NULL)
			continue;
		text = NULL;
		if ((wrong = set_text(&single, &text, item)) != NULL)
			conf_error_at(
			    ld, &doc->nodes[number], buf, "%s", wrong);
		else
			conf_list_add(list, text);
	}
}

/* Texts, or mappings that have a name and limits beside the key. */
static void
set_keys(struct conf_loading *ld, const struct conf_key *key,
    const struct conf_node *node, const char *path)
{
	char buf[CONF_MAX_PATH];
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *item;
	struct conf_api_key *k;
	const char *wrong, *value;
	char *text;
	unsigned number;
	size_t i = 0;

	if (node->n > key->max) {
		conf_error_at(
		    ld, node, path, "has more than %.0f items", key->max);
		return;
	}
	for (number = node->first; number != 0;
	     number = doc->nodes[number].next, i++) {
		if (visit(ld, &doc->nodes[number]) == -1)
			return;
		item = conf_doc_node(doc, number);
		join_number(buf, path, i);
		text = NULL;
		if (item->kind == NODE_MAP) {
			k = key_new(ld->conf);
			k->named = 1;
			set_fields(ld, conf_api_key_keys, k, item, buf);
			if (k->key != NULL)
				sha256(k->digest, k->key, strlen(k->key));
		} else if (item->kind != NODE_SCALAR &&
			   item->kind != NODE_BAD_TAG)
			conf_error_at(ld, &doc->nodes[number], buf,
			    "must be a text, or a mapping of name and key");
		else if ((value = inner_text(ld, number, buf)) == NULL)
			continue;
		else if ((wrong = set_text(key, &text, value)) != NULL)
			conf_error_at(
			    ld, &doc->nodes[number], buf, "%s", wrong);
		else
			conf_keys_add(ld->conf, text);
	}
}

static void
set_pairs(struct conf_loading *ld, struct conf_env *env,
    const struct conf_node *node, const char *path)
{
	char buf[CONF_MAX_PATH];
	const struct conf_doc *doc = &ld->doc;
	struct conf_pair *pairs;
	const char *name, *value;
	size_t i, n = 0;

	pairs = xcalloc(CONF_MAX_PAIRS, sizeof(*pairs));
	collect(ld, node, pairs, &n, path, 0);
	for (i = 0; i < n; i++) {
		name = doc->nodes[pairs[i].key].text;
		join(buf, path, name);
		if (*name == '\0' || strchr(name, '=') != NULL)
			conf_error_at(ld, &doc->nodes[pairs[i].key], path,
			    "the name of a variable must not be empty or "
			    "contain =");
		else if ((value = inner_text(ld, pairs[i].value, buf)) != NULL)
			pairs_add(env, xstrdup(name), xstrdup(value));
	}
	free(pairs);
}

static void
set_types(struct conf_loading *ld, const struct conf_key *key,
    const struct conf_node *node, const char *path)
{
	char buf[CONF_MAX_PATH];
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *item;
	struct conf *conf = ld->conf;
	struct conf_job_type *jt;
	unsigned number;
	size_t i = 0;

	if (node->n > key->max) {
		conf_error_at(
		    ld, node, path, "has more than %.0f items", key->max);
		return;
	}
	conf->job_types = xcalloc(node->n + 1, sizeof(*conf->job_types));
	for (number = node->first; number != 0;
	     number = doc->nodes[number].next, i++) {
		if (visit(ld, &doc->nodes[number]) == -1)
			return;
		item = conf_doc_node(doc, number);
		join_number(buf, path, i);
		jt = &conf->job_types[conf->n_job_types++];
		conf_set_defaults(conf_job_type_keys, jt);
		if (item->kind != NODE_MAP)
			conf_error_at(ld, &doc->nodes[number], buf,
			    "must be a mapping, such as {name: a}");
		else
			set_fields(ld, conf_job_type_keys, jt, item, buf);
	}
}

/* at: where the value stands, for messages; node: what it is. */
static void
set_key(struct conf_loading *ld, const struct conf_key *key, void *base,
    const struct conf_node *at, const struct conf_node *node, const char *path)
{
	char msg[128];
	const char *wrong = NULL;

	if (node->kind == NODE_SCALAR) {
		if (text_sound(ld, at, node, path))
			wrong = conf_set_scalar(key, base, &node->value,
			    node->text, msg, sizeof(msg));
	} else if (node->kind == NODE_BAD_TAG)
		wrong = BAD_FORM;
	else if (key->type == CONF_TEXTS && node->kind == NODE_LIST)
		set_texts(ld, key, field(base, key), node, path);
	else if (key->type == CONF_TYPES && node->kind == NODE_LIST)
		set_types(ld, key, node, path);
	else if (key->type == CONF_KEYS && node->kind == NODE_LIST)
		set_keys(ld, key, node, path);
	else if (key->type == CONF_PAIRS && node->kind == NODE_MAP)
		set_pairs(ld, field(base, key), node, path);
	else if (key->type == CONF_FIELDS && node->kind == NODE_MAP)
		set_fields(ld, key->fields, field(base, key), node, path);
	else
		wrong = wrong_form(key, msg, sizeof(msg));
	if (wrong != NULL)
		conf_error_at(ld, at, path, "%s", wrong);
}

static void
unknown_key(struct conf_loading *ld, const struct conf_key *keys,
    const struct conf_node *at, const char *path, const char *name)
{
	static const struct {
		const struct conf_key *keys;
		const char *path;
	} places[] = { { conf_keys, "" },
		{ conf_limit_keys, "container_limits" },
		{ conf_job_type_keys, "job_types.0" },
		{ conf_gpu_keys, "job_types.0.gpu" } };
	char buf[CONF_MAX_PATH], meant[CONF_MAX_PATH];
	const struct conf_key *near = NULL;
	size_t i;

	join(buf, path, name);
	/* A key of another place, where it is not indented as it must be. */
	for (i = 0; i < nitems(places) && near == NULL; i++)
		if ((near = conf_key_find(places[i].keys, name)) != NULL)
			join(meant, places[i].path, near->name);
	if (near == NULL && (near = conf_key_near(keys, name)) != NULL)
		join(meant, path, near->name);
	if (near != NULL)
		conf_error_at(
		    ld, at, buf, "unknown key; did you mean %s?", meant);
	else
		conf_error_at(ld, at, buf, "unknown key");
}

static void
note_origin(struct conf_loading *ld, const struct conf_key *keys,
    const struct conf_key *key, unsigned line)
{
	struct conf_origin *origin;

	if (!conf_key_counted(keys))
		return;
	origin = &ld->conf->origins[conf_key_number(key)];
	origin->from = CONF_FROM_FILE;
	origin->line = line;
}

/* A variable counts instead of any value that the loader takes. */
static int
overridden(const struct conf_key *key, const struct conf_node *value)
{
	return (key->env != NULL && getenv(key->env) != NULL &&
		(value->kind != NODE_SCALAR || value->value.kind != VALUE_BAD));
}

static void
set_fields(struct conf_loading *ld, const struct conf_key *keys, void *base,
    const struct conf_node *map, const char *path)
{
	char buf[CONF_MAX_PATH];
	unsigned char seen[CONF_MAX_PAIRS] = { 0 };
	const struct conf_doc *doc = &ld->doc;
	const struct conf_node *at, *value;
	const struct conf_key *key;
	struct conf_pair *pairs;
	size_t i, n = 0;

	pairs = xcalloc(CONF_MAX_PAIRS, sizeof(*pairs));
	collect(ld, map, pairs, &n, path, 0);
	for (i = 0; i < n && ld->visits < CONF_MAX_NODES; i++) {
		at = &doc->nodes[pairs[i].key];
		if ((key = conf_key_find(keys, at->text)) == NULL) {
			unknown_key(ld, keys, at, path, at->text);
			continue;
		}
		join(buf, path, key->name);
		if (seen[key - keys]++) {
			conf_error_at(ld, at, buf, "stands here twice");
			continue;
		}
		value = conf_doc_node(doc, pairs[i].value);
		if (keys == conf_keys && overridden(key, value))
			continue;
		note_origin(ld, keys, key, at->line);
		set_key(ld, key, base, &doc->nodes[pairs[i].value], value, buf);
	}
	for (key = keys; key->name != NULL; key++)
		if ((key->flags & CK_REQUIRED) && !seen[key - keys])
			conf_error_at(
			    ld, map, join(buf, path, key->name), "is missing");
	free(pairs);
}

/* What 0.3 takes for an empty file: null, and all that is false in Python. */
static int
root_empty(const struct conf_node *root)
{
	if (root->kind == NODE_LIST || root->kind == NODE_MAP)
		return (root->n == 0);
	if (root->kind != NODE_SCALAR)
		return (0);
	switch (root->value.kind) {
	case VALUE_NULL:
		return (1);
	case VALUE_BOOL:
	case VALUE_INT:
		return (root->value.i == 0);
	case VALUE_FLOAT:
		return (root->value.f == 0);
	case VALUE_TEXT:
		return (root->len == 0);
	default:
		return (0);
	}
}

void
conf_set_document(struct conf_loading *ld)
{
	const struct conf_node *root;

	if (ld->doc.n == 0)
		return;
	root = &ld->doc.nodes[1];
	if (root_empty(root))
		return;
	if (root->kind != NODE_MAP) {
		conf_error_at(ld, root, NULL,
		    "must be a mapping of keys to values, "
		    "such as max_workers: 4 with a space "
		    "behind the colon");
		return;
	}
	set_fields(ld, conf_keys, ld->conf, root, "");
}

/* Job types that are there without a file, unless it names them too. */
void
conf_set_builtin(struct conf *conf)
{
	static const struct {
		const char *name, *packages[3];
		uint64_t memory;
		double cpus;
		int timeout, startup;
	} builtin[] = {
		{ "default", { NULL }, 512, 1, 30, 60 },
		{ "data-processing", { "pandas", "numpy", NULL }, 1024, 2, 60,
		    180 },
		{ "ml-inference", { "numpy", "scikit-learn", NULL }, 2048, 2,
		    120, 180 },
	};
	struct conf_job_type *all, *jt;
	const char *const *package;
	size_t i, j, n = 0;

	all = xcalloc(conf->n_job_types + nitems(builtin), sizeof(*all));
	for (i = 0; i < nitems(builtin); i++) {
		for (j = 0; j < conf->n_job_types; j++)
			if (strcmp(conf->job_types[j].name, builtin[i].name) ==
			    0)
				break;
		if (j < conf->n_job_types)
			continue;
		jt = &all[n++];
		conf_set_defaults(conf_job_type_keys, jt);
		jt->builtin = 1;
		jt->name = xstrdup(builtin[i].name);
		for (package = builtin[i].packages; *package != NULL; package++)
			conf_list_add(&jt->requirements, xstrdup(*package));
		jt->memory_limit = builtin[i].memory * 1024 * 1024;
		jt->cpu_limit = builtin[i].cpus;
		jt->timeout = builtin[i].timeout;
		jt->startup_timeout = builtin[i].startup;
	}
	if (conf->n_job_types > 0)
		memcpy(
		    all + n, conf->job_types, conf->n_job_types * sizeof(*all));
	free(conf->job_types);
	conf->job_types = all;
	conf->n_job_types += n;
}
