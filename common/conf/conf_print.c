/*
 * conf_print.c: the configuration in effect, as YAML with comments or as
 * JSON; both load again with the same meaning. Lists and inner mappings are
 * written in the form that the two languages share. Secrets are masked, unless
 * it is asked for them. Used by takoctl, and by takod for its log.
 */
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "log.h"
#include "util.h"

struct printer {
	FILE *f;
	const struct conf *conf;
	unsigned flags;
};

static int
masked(const struct printer *p, const struct conf_key *key)
{
	return ((key->flags & CK_SECRET) && !(p->flags & CONF_PRINT_SECRETS));
}

static void print_value(
    struct printer *, const struct conf_key *, const void *);

/* Code point at s (well-formed UTF-8), its length in *n. */
static unsigned
code_point(const unsigned char *s, size_t *n)
{
	if (s[0] < 0x80) {
		*n = 1;
		return (s[0]);
	}
	if (s[0] < 0xe0) {
		*n = 2;
		return ((s[0] & 0x1fU) << 6 | (s[1] & 0x3fU));
	}
	if (s[0] < 0xf0) {
		*n = 3;
		return ((s[0] & 0x0fU) << 12 | (s[1] & 0x3fU) << 6 |
			(s[2] & 0x3fU));
	}
	*n = 4;
	return (0x10000); /* above all that is looked at here */
}

/* What YAML or a terminal would not take as it is. */
static int
must_escape(unsigned c)
{
	return (c < ' ' || (c >= 0x7f && c <= 0x9f) || c == 0x2028 ||
		c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff);
}

void
conf_print_string(FILE *f, const char *s)
{
	size_t n, left = strlen(s);
	unsigned c;

	putc('"', f);
	for (; left > 0; s += n, left -= n) {
		if (utf8_span(s, left < 4 ? left : 4) == 0) {
			/* a variable may hold any bytes */
			fputs("\\ufffd", f);
			n = 1;
			continue;
		}
		c = code_point((const unsigned char *)s, &n);
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", (int)c);
		else if (must_escape(c))
			fprintf(f, "\\u%04x", c);
		else
			fwrite(s, 1, n, f);
	}
	putc('"', f);
}

/* As short as it can be for the same number, in no locale. */
static void
print_float(FILE *f, double value)
{
	char buf[32];
	locale_t c_locale, old;
	int precision;

	c_locale = newlocale(LC_ALL_MASK, "C", NULL);
	old = uselocale(c_locale);
	for (precision = 6; precision <= 17; precision++) {
		snprintf(buf, sizeof(buf), "%.*g", precision, value);
		if (strtod(buf, NULL) == value)
			break;
	}
	uselocale(old);
	freelocale(c_locale);
	/* no bound is so high or low that %g takes an exponent */
	fprintf(f, "%s%s", buf, strchr(buf, '.') == NULL ? ".0" : "");
}

static void
print_bytes(FILE *f, uint64_t bytes)
{
	static const char units[] = "gmk";
	uint64_t unit = UINT64_C(1) << 30;
	size_t i;

	for (i = 0; units[i] != '\0'; i++, unit >>= 10)
		if (bytes % unit == 0) {
			fprintf(f, "\"%llu%c\"",
			    (unsigned long long)(bytes / unit), units[i]);
			return;
		}
	fprintf(f, "\"%llu\"", (unsigned long long)bytes);
}

static void
print_list(FILE *f, const struct conf_list *list)
{
	size_t i;

	putc('[', f);
	for (i = 0; i < list->n; i++) {
		fputs(i > 0 ? ", " : "", f);
		conf_print_string(f, list->items[i]);
	}
	putc(']', f);
}

static void
print_pairs(FILE *f, const struct conf_env *env)
{
	size_t i;

	putc('{', f);
	for (i = 0; i < env->n; i++) {
		fputs(i > 0 ? ", " : "", f);
		conf_print_string(f, env->names[i]);
		fputs(": ", f);
		conf_print_string(f, env->values[i]);
	}
	putc('}', f);
}

static void
print_text(FILE *f, const char *text, int mask)
{
	char *shown;

	if (text == NULL) {
		fputs("null", f);
		return;
	}
	if (!mask) {
		conf_print_string(f, text);
		return;
	}
	shown = conf_url_mask(text);
	conf_print_string(f, shown);
	free(shown);
}

static void
print_enum(FILE *f, const struct conf_key *key, int value)
{
	const struct conf_name *name;

	for (name = key->values; name->name != NULL; name++)
		if (name->value == value)
			break;
	if (name->name == NULL)
		fputs("null", f);
	else
		conf_print_string(f, name->name);
}

/* The keys of an inner mapping in one line. */
static void
print_inline(struct printer *p, const struct conf_key *keys, const void *base)
{
	const struct conf_key *key;

	putc('{', p->f);
	for (key = keys; key->name != NULL; key++) {
		fprintf(p->f, "%s\"%s\": ", key == keys ? "" : ", ", key->name);
		print_value(p, key, (const char *)base + key->offset);
	}
	putc('}', p->f);
}

/* Masked keys differ, so that they load again. */
static void
print_key(struct printer *p, const struct conf_api_key *k, size_t i)
{
	if (k->key != NULL && (p->flags & CONF_PRINT_SECRETS))
		conf_print_string(p->f, k->key);
	else
		fprintf(p->f, "\"*** masked key %zu ***\"", i + 1);
}

/* Masked keys differ, so that they load again; what has no name needs none. */
static void
print_keys(struct printer *p, const struct conf_key *fields)
{
	const struct conf_api_key *k;
	const struct conf_key *field;
	size_t i;

	putc('[', p->f);
	for (i = 0; i < p->conf->n_api_keys; i++) {
		k = &p->conf->api_keys[i];
		/* They stand in files, behind all others. */
		if (k->from_file)
			break;
		fputs(i > 0 ? ", " : "", p->f);
		if (!k->named) {
			print_key(p, k, i);
			continue;
		}
		putc('{', p->f);
		for (field = fields; field->name != NULL; field++) {
			fprintf(p->f, "%s\"%s\": ", field == fields ? "" : ", ",
			    field->name);
			if (field->flags & CK_SECRET)
				print_key(p, k, i);
			else
				print_value(
				    p, field, (const char *)k + field->offset);
		}
		putc('}', p->f);
	}
	putc(']', p->f);
}

static void
print_int(FILE *f, const struct conf_key *key, int value)
{
	if (key->type == CONF_BOOL)
		fputs(value > 0 ? "true" : "false", f);
	else if ((key->flags & CK_NULL) &&
		 value == (key->flags & CK_UNSET ? -1 : 0))
		fputs("null", f);
	else
		fprintf(f, "%d", value);
}

static void
print_value(struct printer *p, const struct conf_key *key, const void *field)
{
	FILE *f = p->f;

	switch (key->type) {
	case CONF_BOOL:
	case CONF_INT:
		print_int(f, key, *(const int *)field);
		break;
	case CONF_SIZE:
		fprintf(
		    f, "%llu", (unsigned long long)*(const uint64_t *)field);
		break;
	case CONF_FLOAT:
		print_float(f, *(const double *)field);
		break;
	case CONF_MS:
		print_float(f, *(const int *)field / 1000.0);
		break;
	case CONF_BYTES:
		print_bytes(f, *(const uint64_t *)field);
		break;
	case CONF_TEXT:
		print_text(f, *(char *const *)field, masked(p, key));
		break;
	case CONF_ENUM:
		print_enum(f, key, *(const int *)field);
		break;
	case CONF_TEXTS:
		print_list(f, field);
		break;
	case CONF_PAIRS:
		print_pairs(f, field);
		break;
	case CONF_FIELDS:
		print_inline(p, key->fields, field);
		break;
	case CONF_KEYS:
		print_keys(p, key->fields);
		break;
	case CONF_TYPES:
		break;
	}
}

/* "  # file, line 3; default 30; needs a restart" */
static void
print_comment(struct printer *p, const struct conf_key *key)
{
	const struct conf_origin *o = &p->conf->origins[conf_key_number(key)];

	switch (o->from) {
	case CONF_FROM_FILE:
		fprintf(p->f, "  # file, line %u", o->line);
		break;
	case CONF_FROM_VARIABLE:
		fprintf(p->f, "  # %s", key->env);
		break;
	default:
		fputs("  # default", p->f);
		break;
	}
	if ((p->flags & CONF_PRINT_DEFAULTS) == 0) {
		putc('\n', p->f);
		return;
	}
	if (o->from != CONF_FROM_DEFAULT && key->def != NULL)
		fprintf(p->f, "; default %s", key->def);
	if (key->reload == RELOAD_RESTART)
		fputs("; a change needs a restart", p->f);
	putc('\n', p->f);
}

static void
yaml_fields(struct printer *p, const struct conf_key *keys, const void *base)
{
	for (; keys->name != NULL; keys++) {
		fprintf(p->f, "  %s: ", keys->name);
		print_value(p, keys, (const char *)base + keys->offset);
		print_comment(p, keys);
	}
}

static void
yaml_types(struct printer *p, const struct conf_key *key)
{
	const struct conf *conf = p->conf;
	const struct conf_key *k;
	const char *lead;
	size_t i, n = 0;

	for (i = 0; i < conf->n_job_types; i++)
		n += !conf->job_types[i].builtin;
	fprintf(p->f, "%s:%s", key->name, n == 0 ? " []" : "");
	print_comment(p, key);
	for (i = 0; i < conf->n_job_types; i++) {
		if (conf->job_types[i].builtin) {
			fprintf(p->f, "  # %s is built in\n",
			    conf->job_types[i].name);
			continue;
		}
		lead = "  - ";
		for (k = key->fields; k->name != NULL; k++) {
			fprintf(p->f, "%s%s: ", lead, k->name);
			print_value(p, k,
			    (const char *)&conf->job_types[i] + k->offset);
			putc('\n', p->f);
			lead = "    ";
		}
	}
}

static void
yaml_print(struct printer *p)
{
	const struct conf_key *key;
	const char *field;

	fputs("# Tako VM Configuration\n", p->f);
	if (p->conf->path != NULL) {
		fputs("# Config file: ", p->f);
		conf_print_string(p->f, p->conf->path);
		putc('\n', p->f);
	} else
		fputs("# Config file: (using defaults)\n", p->f);
	for (key = conf_keys; key->name != NULL; key++) {
		field = (const char *)p->conf + key->offset;
		if (key->type == CONF_TYPES) {
			yaml_types(p, key);
			continue;
		}
		if (key->type == CONF_FIELDS) {
			fprintf(p->f, "%s:\n", key->name);
			yaml_fields(p, key->fields, field);
			continue;
		}
		/* What nobody said stays unsaid. */
		if ((key->flags & CK_UNSET) && (key->flags & CK_NULL) == 0 &&
		    *(const int *)(const void *)field == -1)
			fputs("# ", p->f);
		fprintf(p->f, "%s: ", key->name);
		print_value(p, key, field);
		print_comment(p, key);
	}
}

static void
json_types(struct printer *p)
{
	const struct conf *conf = p->conf;
	size_t i;
	const char *lead = "";

	putc('[', p->f);
	for (i = 0; i < conf->n_job_types; i++) {
		if (conf->job_types[i].builtin)
			continue;
		fprintf(p->f, "%s\n    ", lead);
		print_inline(p, conf_job_type_keys, &conf->job_types[i]);
		lead = ",";
	}
	fputs(*lead != '\0' ? "\n  ]" : "]", p->f);
}

static void
json_print(struct printer *p)
{
	const struct conf_key *key;

	putc('{', p->f);
	for (key = conf_keys; key->name != NULL; key++) {
		fprintf(p->f, "%s\n  \"%s\": ", key == conf_keys ? "" : ",",
		    key->name);
		if (key->type == CONF_TYPES)
			json_types(p);
		else
			print_value(
			    p, key, (const char *)p->conf + key->offset);
	}
	fputs("\n}\n", p->f);
}

char *
conf_print_key(const struct conf *conf, const struct conf_key *key)
{
	struct printer p = { .conf = conf };
	char *text = NULL;
	size_t len;

	if ((p.f = open_memstream(&text, &len)) == NULL)
		fatal(NULL);
	if (key->type == CONF_TYPES)
		json_types(&p);
	else
		print_value(&p, key, (const char *)conf + key->offset);
	if (fclose(p.f) != 0)
		fatal(NULL);
	return (text);
}

int
conf_print(FILE *f, const struct conf *conf, unsigned flags)
{
	struct printer p = { .f = f, .conf = conf, .flags = flags };

	if (flags & CONF_PRINT_JSON)
		json_print(&p);
	else
		yaml_print(&p);
	return (fflush(f) == 0 && !ferror(f) ? 0 : -1);
}
