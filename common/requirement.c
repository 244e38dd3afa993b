/*
 * requirement.c: what a request may say of a package: a name, extras, version
 * clauses, and nothing else. Runs in tako-api and takod. What is refused here
 * (options, paths, links, markers, white space) is what an installer would take
 * for something else than a name in its index; rows D01 to D05 of the hostile
 * input table say which.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "requirement.h"
#include "util.h"

static int
is_name_char(int c)
{
	return (isascii(c) && (isalnum(c) || c == '_' || c == '-' || c == '.'));
}

/* [A-Za-z0-9], or that at both ends of [A-Za-z0-9._-]; its length, or 0. */
static size_t
span_name(const char *s)
{
	size_t n = 0;

	while (is_name_char((unsigned char)s[n]))
		n++;
	if (n == 0 || !isalnum((unsigned char)s[0]) ||
	    !isalnum((unsigned char)s[n - 1]))
		return (0);
	return (n);
}

/* An installer takes such a name for a file, even without a slash in it. */
static int
is_archive(const char *s, size_t n)
{
	static const char *const ends[] = { ".whl", ".egg", ".zip", ".tar",
		".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz",
		".tar.lz", ".tlz", ".tar.lzma" };
	size_t i, len;

	for (i = 0; i < nitems(ends); i++) {
		len = strlen(ends[i]);
		if (n > len && strncasecmp(s + n - len, ends[i], len) == 0)
			return (1);
	}
	return (0);
}

static const char *
skip_extras(const char *s)
{
	size_t n;

	do {
		s++; /* the bracket, or a comma */
		if ((n = span_name(s)) == 0)
			return (NULL);
		s += n;
	} while (*s == ',');
	return (*s == ']' ? s + 1 : NULL);
}

/* One clause: operator and version, .* behind == and != only. */
static const char *
skip_clause(const char *s)
{
	static const char *const ops[] = { "==", "!=", "<=", ">=", "~=", "<",
		">" };
	size_t i, n;

	for (i = 0; i < nitems(ops); i++)
		if (strncmp(s, ops[i], strlen(ops[i])) == 0)
			break;
	if (i == nitems(ops))
		return (NULL);
	s += strlen(ops[i]);
	for (n = 0; is_name_char((unsigned char)s[n]); n++)
		;
	if (s[n] == '*' && n > 1 && s[n - 1] == '.' && i < 2 &&
	    isalnum((unsigned char)s[n - 2]) && isalnum((unsigned char)s[0]))
		return (s + n + 1);
	return ((n = span_name(s)) == 0 ? NULL : s + n);
}

int
requirement_valid(const char *s)
{
	size_t n;

	if ((n = span_name(s)) == 0 || is_archive(s, n))
		return (0);
	s += n;
	if (*s == '[' && (s = skip_extras(s)) == NULL)
		return (0);
	if (*s == '\0')
		return (1);
	do {
		if ((s = skip_clause(s)) == NULL)
			return (0);
	} while (*s++ == ',');
	return (s[-1] == '\0');
}

void
requirement_normalise(char *s)
{
	char *p = s;

	/* Runs of these three are one to an index; letters have no case. */
	for (; is_name_char((unsigned char)*s); s++) {
		if (isalnum((unsigned char)*s))
			*p++ = (char)tolower((unsigned char)*s);
		else if (p[-1] != '-')
			*p++ = '-';
	}
	memmove(p, s, strlen(s) + 1);
}
