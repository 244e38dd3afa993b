/*
 * conf_scalar.c: what a scalar of YAML 1.1 is, exactly as PyYAML's safe
 * loader resolves and constructs it, and the conversions that Tako VM 0.3
 * then does. Pure functions, free of the locale; used by takod and takoctl.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "util.h"

#define TAG "tag:yaml.org,2002:"

static const char *const words_true[] = { "yes", "true", "on", NULL };
static const char *const words_false[] = { "no", "false", "off", NULL };

/* Lower, Capital or UPPER, as YAML 1.1 wants words to be. */
static int
word_is(const char *text, const char *word)
{
	size_t i, n;
	int lower = 1, upper = 1;

	n = strlen(word);
	if (strlen(text) != n)
		return (0);
	for (i = 0; i < n; i++) {
		if (tolower((unsigned char)text[i]) != word[i])
			return (0);
		if (i > 0 && text[i] == word[i])
			upper = 0;
		if (i > 0 && text[i] != word[i])
			lower = 0;
	}
	/* after a small first letter only small ones */
	return (text[0] == word[0] ? lower : lower || upper);
}

static int
word_in(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (word_is(text, *words))
			return (1);
	return (0);
}

static const char *
skip(const char *s, const char *set)
{
	return (s + strspn(s, set));
}

static const char *
skip_sign(const char *s)
{
	return (*s == '+' || *s == '-' ? s + 1 : s);
}

/* (:[0-5]?[0-9])+ ; NULL when there is none. */
static const char *
skip_base60(const char *s)
{
	if (*s != ':')
		return (NULL);
	while (*s == ':' && isdigit((unsigned char)s[1])) {
		if (s[1] <= '5' && isdigit((unsigned char)s[2]))
			s += 3;
		else
			s += 2;
	}
	return (s);
}

static int
looks_int(const char *text)
{
	const char *s, *e;

	s = skip_sign(text);
	if (s[0] == '0' && s[1] == 'b')
		return (s[2] != '\0' && *skip(s + 2, "01_") == '\0');
	if (s[0] == '0' && s[1] == 'x')
		return (s[2] != '\0' &&
			*skip(s + 2, "0123456789abcdefABCDEF_") == '\0');
	if (s[0] == '0')
		return (*skip(s + 1, "01234567_") == '\0');
	if (!isdigit((unsigned char)*s))
		return (0);
	s = skip(s, "0123456789_");
	if (*s == '\0')
		return (1);
	e = skip_base60(s);
	return (e != NULL && *e == '\0');
}

/* ([eE][-+][0-9]+)? and the end */
static int
exponent_ends(const char *s)
{
	if (*s == '\0')
		return (1);
	if ((*s != 'e' && *s != 'E') || (s[1] != '+' && s[1] != '-') ||
	    !isdigit((unsigned char)s[2]))
		return (0);
	return (*skip(s + 2, "0123456789") == '\0');
}

static int
looks_float(const char *text)
{
	const char *s, *e;

	s = skip_sign(text);
	if (*s == '.') {
		if (word_is(s + 1, "inf"))
			return (1);
		if (s != text) /* .5 and .nan have no sign */
			return (0);
		if (strcmp(s, ".nan") == 0 || strcmp(s, ".NaN") == 0 ||
		    strcmp(s, ".NAN") == 0)
			return (1);
		return (isdigit((unsigned char)s[1]) &&
			exponent_ends(skip(s + 1, "0123456789_")));
	}
	if (!isdigit((unsigned char)*s))
		return (0);
	s = skip(s, "0123456789_");
	if (*s == '.')
		return (exponent_ends(skip(s + 1, "0123456789_")));
	e = skip_base60(s);
	return (e != NULL && *e == '.' && *skip(e + 1, "0123456789_") == '\0');
}

/* Up to max digits, at least min of them; NULL without. */
static const char *
digits(const char *s, int min, int max)
{
	int n;

	for (n = 0; n < max && isdigit((unsigned char)*s); n++)
		s++;
	return (n < min ? NULL : s);
}

/* "-1:30" and the like behind a time. */
static int
zone_ends(const char *s)
{
	s = skip(s, " \t");
	if (strcmp(s, "Z") == 0)
		return (1);
	if (*s != '+' && *s != '-')
		return (0);
	if ((s = digits(s + 1, 1, 2)) == NULL)
		return (0);
	if (*s == ':' && (s = digits(s + 1, 2, 2)) == NULL)
		return (0);
	return (*s == '\0');
}

static int
looks_time(const char *s)
{
	const char *date = s;

	if ((s = digits(s, 4, 4)) == NULL || *s != '-' ||
	    (s = digits(s + 1, 1, 2)) == NULL || *s != '-' ||
	    (s = digits(s + 1, 1, 2)) == NULL)
		return (0);
	if (*s == '\0')
		return (s - date == 10);
	if (*s == 'T' || *s == 't')
		s++;
	else if (*s == ' ' || *s == '\t')
		s = skip(s, " \t");
	else
		return (0);
	if ((s = digits(s, 1, 2)) == NULL || *s != ':' ||
	    (s = digits(s + 1, 2, 2)) == NULL || *s != ':' ||
	    (s = digits(s + 1, 2, 2)) == NULL)
		return (0);
	if (*s == '.')
		s = skip(s + 1, "0123456789");
	return (*s == '\0' || zone_ends(s));
}

/* A copy without the underscores; the caller's. */
static char *
without_underscores(const char *text)
{
	char *copy, *p;

	p = copy = xmalloc(strlen(text) + 1);
	for (; *text != '\0'; text++)
		if (*text != '_')
			*p++ = *text;
	*p = '\0';
	return (copy);
}

/* Adds a digit, held at INT64_MAX: no key has a bound up there. */
static int64_t
push_digit(int64_t n, int base, int digit)
{
	if (n > (INT64_MAX - digit) / base)
		return (INT64_MAX);
	return (n * base + digit);
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (c - 'A' + 10);
	return (99);
}

static int
parse_base(const char *s, int base, int64_t *n)
{
	if (*s == '\0')
		return (-1);
	for (*n = 0; *s != '\0'; s++) {
		if (digit_of(*s) >= base)
			return (-1);
		*n = push_digit(*n, base, digit_of(*s));
	}
	return (0);
}

static int
parse_base60(const char *s, int64_t *n)
{
	int64_t part;

	*n = 0;
	for (;;) {
		if (!isdigit((unsigned char)*s))
			return (-1);
		for (part = 0; isdigit((unsigned char)*s); s++)
			part = push_digit(part, 10, *s - '0');
		if (*n > (INT64_MAX - part) / 60)
			*n = INT64_MAX;
		else
			*n = *n * 60 + part;
		if (*s == '\0')
			return (0);
		if (*s++ != ':')
			return (-1);
	}
}

/* The loader's int: 0b, 0x, 0 for octal, base 60, underscores anywhere. */
static struct conf_value
make_int(const char *text)
{
	struct conf_value v = { .kind = VALUE_INT };
	char *copy;
	const char *s;
	int r;

	copy = without_underscores(text);
	s = skip_sign(copy);
	if (strcmp(s, "0") == 0)
		r = 0;
	else if (strncmp(s, "0b", 2) == 0)
		r = parse_base(s + 2, 2, &v.i);
	else if (strncmp(s, "0x", 2) == 0)
		r = parse_base(s + 2, 16, &v.i);
	else if (*s == '0')
		r = parse_base(s, 8, &v.i);
	else if (strchr(s, ':') != NULL)
		r = parse_base60(s, &v.i);
	else
		r = parse_base(s, 10, &v.i);
	if (r == -1)
		v.kind = VALUE_BAD;
	else if (copy[0] == '-')
		v.i = -v.i;
	free(copy);
	return (v);
}

/*
 * A decimal number, all of s, in the C locale. -1 when it is none: strtod
 * would take hexadecimal, names and leading space too.
 */
static int
parse_decimal(const char *s, double *f)
{
	static locale_t c_locale;
	const char *p;
	char *end;

	p = skip_sign(s);
	if (!isdigit((unsigned char)*p) &&
	    !(*p == '.' && isdigit((unsigned char)p[1])))
		return (-1);
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		return (-1);
	if (c_locale == NULL &&
	    (c_locale = newlocale(LC_ALL_MASK, "C", NULL)) == NULL)
		return (-1);
	*f = strtod_l(s, &end, c_locale);
	return (*end == '\0' ? 0 : -1);
}

/* 1:30.5, with the parts from the left worth 60 times the next. */
static int
parse_float60(char *s, double *f)
{
	double part;
	char *colon;

	for (*f = 0;; s = colon + 1) {
		if ((colon = strchr(s, ':')) != NULL)
			*colon = '\0';
		if (parse_decimal(s, &part) == -1)
			return (-1);
		*f = *f * 60 + part;
		if (colon == NULL)
			return (0);
	}
}

static struct conf_value
make_float(const char *text)
{
	struct conf_value v = { .kind = VALUE_FLOAT };
	char *copy;
	const char *s;
	int negative, r = 0;

	copy = without_underscores(text);
	negative = copy[0] == '-';
	s = skip_sign(copy);
	if (strcasecmp(s, ".inf") == 0)
		v.f = INFINITY;
	else if (strcasecmp(s, ".nan") == 0)
		v.f = NAN;
	else if (strchr(s, ':') != NULL)
		r = parse_float60(copy + (s - copy), &v.f);
	else
		r = parse_decimal(s, &v.f);
	if (r == -1)
		v.kind = VALUE_BAD;
	else if (negative)
		v.f = -v.f;
	free(copy);
	return (v);
}

static struct conf_value
make_bool(const char *text)
{
	struct conf_value v = { .kind = VALUE_BOOL };
	const char *const *w;

	for (w = words_true; *w != NULL; w++)
		if (strcasecmp(text, *w) == 0) {
			v.i = 1;
			return (v);
		}
	for (w = words_false; *w != NULL; w++)
		if (strcasecmp(text, *w) == 0)
			return (v);
	v.kind = VALUE_BAD;
	return (v);
}

static struct conf_value
resolve_plain(const char *text)
{
	struct conf_value v = { .kind = VALUE_TEXT };

	if (word_in(text, words_true) || word_in(text, words_false))
		return (make_bool(text));
	if (looks_float(text))
		return (make_float(text));
	if (looks_int(text))
		return (make_int(text));
	if (strcmp(text, "<<") == 0)
		v.kind = VALUE_MERGE;
	else if (*text == '\0' || strcmp(text, "~") == 0 ||
		 word_is(text, "null"))
		v.kind = VALUE_NULL;
	else if (looks_time(text))
		v.kind = VALUE_TIME;
	else if (strcmp(text, "=") == 0)
		v.kind = VALUE_BAD; /* a tag that safe loading refuses */
	return (v);
}

struct conf_value
conf_resolve(const char *text, int plain, const char *tag)
{
	struct conf_value v = { .kind = VALUE_TEXT };

	if (plain)
		return (resolve_plain(text));
	if (tag == NULL || strcmp(tag, TAG "str") == 0)
		return (v);
	if (strcmp(tag, TAG "int") == 0)
		return (make_int(text));
	if (strcmp(tag, TAG "float") == 0)
		return (make_float(text));
	if (strcmp(tag, TAG "bool") == 0)
		return (make_bool(text));
	if (strcmp(tag, TAG "null") == 0)
		v.kind = VALUE_NULL;
	else if (strcmp(tag, TAG "merge") == 0)
		v.kind = VALUE_MERGE;
	else if (strcmp(tag, TAG "timestamp") == 0 && looks_time(text))
		v.kind = VALUE_TIME;
	else
		v.kind = VALUE_BAD;
	return (v);
}

/* Length of the white space that s begins with, Unicode's included. */
static size_t
space_at(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	if (*u == ' ' || (*u >= '\t' && *u <= '\r'))
		return (1);
	if (u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0))
		return (2);
	if (u[0] == 0xe1 && u[1] == 0x9a && u[2] == 0x80)
		return (3);
	if (u[0] == 0xe2 && u[1] == 0x80 &&
	    ((u[2] >= 0x80 && u[2] <= 0x8a) || u[2] == 0xa8 || u[2] == 0xa9 ||
		u[2] == 0xaf))
		return (3);
	if (u[0] == 0xe2 && u[1] == 0x81 && u[2] == 0x9f)
		return (3);
	if (u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80)
		return (3);
	return (0);
}

void
conf_trim(char *s)
{
	char *p, *end;
	size_t n;

	for (p = s; (n = space_at(p)) > 0;)
		p += n;
	memmove(s, p, strlen(p) + 1);
	for (p = end = s; *p != '\0';) {
		if ((n = space_at(p)) > 0)
			p += n;
		else
			end = ++p;
	}
	*end = '\0';
}

void
conf_lower(char *s)
{
	for (; *s != '\0'; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* Underscores stand singly, between other characters. */
static int
underscores_ok(const char *s)
{
	return (*s != '_' && strstr(s, "__") == NULL &&
		(*s == '\0' || s[strlen(s) - 1] != '_'));
}

/* [+-]digits, single underscores between them. */
static int
parse_text_int(const char *s, int64_t *n)
{
	const char *p;
	char *copy;
	int r;

	p = skip_sign(s);
	if (!underscores_ok(p))
		return (-1);
	copy = without_underscores(p);
	r = parse_base(copy, 10, n);
	free(copy);
	if (r == 0 && *s == '-')
		*n = -*n;
	return (r);
}

int
conf_text_int(const char *text, int64_t *n)
{
	char *copy;
	int r;

	copy = xstrdup(text);
	conf_trim(copy);
	r = parse_text_int(copy, n);
	free(copy);
	return (r);
}

/* As conf_text_int, and "4.0" also. */
static int
text_whole(const char *text, int64_t *n)
{
	char *copy, *dot;
	int r = -1;

	copy = xstrdup(text);
	conf_trim(copy);
	dot = strchr(copy, '.');
	if (dot == NULL || (dot[1] != '\0' && *skip(dot + 1, "0") == '\0')) {
		if (dot != NULL)
			*dot = '\0';
		r = parse_text_int(copy, n);
	}
	free(copy);
	return (r);
}

static int
text_float(const char *text, double *f)
{
	char *copy, *bare;
	int r = -1;

	copy = xstrdup(text);
	conf_trim(copy);
	if (underscores_ok(copy)) {
		bare = without_underscores(copy);
		r = parse_decimal(bare, f);
		free(bare);
	}
	free(copy);
	return (r);
}

int
conf_to_bool(const struct conf_value *v, const char *text, int *b)
{
	static const char *const yes[] = { "1", "on", "t", "true", "y", "yes" };
	static const char *const no[] = { "0", "off", "f", "false", "n", "no" };
	size_t i;

	switch (v->kind) {
	case VALUE_BOOL:
	case VALUE_INT:
		*b = v->i == 1;
		return (v->i == 0 || v->i == 1 ? 0 : -1);
	case VALUE_FLOAT:
		*b = v->f == 1;
		return (v->f == 0 || v->f == 1 ? 0 : -1);
	case VALUE_TEXT:
		for (i = 0; i < nitems(yes); i++)
			if (strcasecmp(text, yes[i]) == 0) {
				*b = 1;
				return (0);
			}
		for (i = 0; i < nitems(no); i++)
			if (strcasecmp(text, no[i]) == 0) {
				*b = 0;
				return (0);
			}
		return (-1);
	default:
		return (-1);
	}
}

int
conf_to_int(const struct conf_value *v, const char *text, int64_t *n)
{
	switch (v->kind) {
	case VALUE_BOOL:
	case VALUE_INT:
		*n = v->i;
		return (0);
	case VALUE_FLOAT:
		/* 0.3 has no such integers either */
		if (!(fabs(v->f) < 0x1p63))
			return (-1);
		*n = (int64_t)v->f;
		return ((double)*n == v->f ? 0 : -1);
	case VALUE_TEXT:
		return (text_whole(text, n));
	default:
		return (-1);
	}
}

int
conf_to_float(const struct conf_value *v, const char *text, double *f)
{
	switch (v->kind) {
	case VALUE_BOOL:
	case VALUE_INT:
		*f = (double)v->i;
		return (0);
	case VALUE_FLOAT:
		*f = v->f;
		return (isnan(v->f) ? -1 : 0);
	case VALUE_TEXT:
		return (text_float(text, f));
	default:
		return (-1);
	}
}

/* "512m", "1g"; also "64k" and plain bytes unless mega. */
int
conf_text_bytes(const char *text, int mega, uint64_t *bytes)
{
	char *copy, last;
	int64_t n, unit = 1;
	size_t len;
	int r = -1;

	copy = xstrdup(text);
	conf_trim(copy);
	len = strlen(copy);
	last = len > 0 ? (char)tolower((unsigned char)copy[len - 1]) : '\0';
	if (last == 'g')
		unit = 1024 * 1024 * 1024;
	else if (last == 'm')
		unit = 1024 * 1024;
	else if (last == 'k' && !mega)
		unit = 1024;
	else if (mega)
		len = 0;
	if (unit != 1)
		copy[len - 1] = '\0';
	if (len > 0 && conf_text_int(copy, &n) == 0) {
		if (n < 0)
			n = 0; /* below any bound too */
		if (n > INT64_MAX / unit)
			n = INT64_MAX / unit;
		*bytes = (uint64_t)(n * unit);
		r = 0;
	}
	free(copy);
	return (r);
}
