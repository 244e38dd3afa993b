/*
 * conf_url.c: the two URLs of the configuration, database_url and
 * dependency_proxy_url: what forms are taken, and how they are shown without
 * their passwords. Nothing is connected to here. Used by takod and takoctl.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "util.h"

/* The parts of scheme://[user[:password]@]host[:port]/path?query#fragment */
struct url {
	const char *user, *host, *path, *query, *fragment;
	size_t user_len, host_len, path_len, query_len;
	int has_user;
};

/* In brackets: an IPv6 address, perhaps with a zone. */
static int
host6_ok(const char *host, size_t len)
{
	struct in6_addr in6;
	char copy[INET6_ADDRSTRLEN];
	const char *zone = memchr(host, '%', len);

	if (zone != NULL)
		len = (size_t)(zone - host);
	if (len >= sizeof(copy))
		return (0);
	memcpy(copy, host, len);
	copy[len] = '\0';
	return (inet_pton(AF_INET6, copy, &in6) == 1);
}

/* s is what stands behind "//"; -1: brackets that hold no IPv6 address. */
static int
url_split(const char *s, struct url *u)
{
	const char *end, *at, *p;

	memset(u, 0, sizeof(*u));
	end = s + strcspn(s, "/?#");
	u->user = s;
	for (at = NULL, p = s; p < end; p++)
		if (*p == '@')
			at = p;
	if (at != NULL) {
		u->has_user = 1;
		u->user_len = (size_t)(at - s);
		s = at + 1;
	}
	u->host = s;
	if (*s == '[') {
		if ((p = memchr(s, ']', (size_t)(end - s))) == NULL)
			return (-1);
		u->host++;
		u->host_len = (size_t)(p - s) - 1;
		if (!host6_ok(u->host, u->host_len))
			return (-1);
	} else {
		if (memchr(s, '[', (size_t)(end - s)) != NULL ||
		    memchr(s, ']', (size_t)(end - s)) != NULL)
			return (-1);
		p = memchr(s, ':', (size_t)(end - s));
		u->host_len = (size_t)((p != NULL ? p : end) - s);
	}
	u->path = end;
	u->path_len = strcspn(end, "?#");
	u->query = u->path + u->path_len;
	if (*u->query == '?') {
		u->query++;
		u->query_len = strcspn(u->query, "#");
	}
	u->fragment = u->query + u->query_len;
	if (*u->fragment == '#')
		u->fragment++;
	return (0);
}

/* Value of a query's parameter: its length, *value set; 0 when empty. */
static size_t
query_value(const struct url *u, const char *name, const char **value)
{
	const char *p = u->query, *end = u->query + u->query_len;
	size_t len, n = strlen(name), found = 0;

	while (p < end) {
		len = strcspn(p, "&#");
		if (len > n && strncmp(p, name, n) == 0 && p[n] == '=') {
			*value = p + n + 1;
			found = len - n - 1; /* the last one counts */
		}
		p += len + 1;
	}
	return (found);
}

static int
has_controls(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return (1);
	return (0);
}

/* Length of scheme and "://" when s begins so, in any case; else 0. */
static size_t
scheme_is(const char *s, const char *scheme)
{
	size_t n = strlen(scheme);

	if (strncasecmp(s, scheme, n) != 0 || strncmp(s + n, "://", 3) != 0)
		return (0);
	return (n + 3);
}

static const char *
check_postgres(char **text, const char *rest)
{
	struct url u;
	const char *value;
	char *normal;

	if (url_split(rest, &u) == -1)
		return ("must have brackets around an IPv6 address, and "
			"nowhere else");
	if (u.host_len == 0 && query_value(&u, "host", &value) == 0)
		return ("must name a host, or have a host= parameter");
	if (u.path_len <= 1)
		return ("must name a database, as in "
			"postgresql://host/database");
	normal = xasprintf("postgresql://%s", rest);
	freezero(*text, strlen(*text));
	*text = normal;
	return (NULL);
}

const char *
conf_check_database(char **text)
{
	size_t n;

	conf_trim(*text);
	if (has_controls(*text))
		return ("must not contain control characters");
	if ((n = scheme_is(*text, "postgresql")) > 0 ||
	    (n = scheme_is(*text, "postgresql+psycopg")) > 0)
		return (check_postgres(text, *text + n));
	/* Behind sqlite:/// is a path, as it is. */
	if (strncmp(*text, "sqlite:///", 10) == 0) {
		if ((*text)[10] == '\0' || (*text)[strlen(*text) - 1] == '/')
			return ("must name a file");
		return (NULL);
	}
	return ("must begin with postgresql://, postgresql+psycopg:// or "
		"sqlite:///, with one / more for an absolute path");
}

const char *
conf_check_proxy(char **text)
{
	static const char safe[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "._:/=,+-[]{}@%?#";
	struct url u;
	char *s = *text;
	size_t n;

	conf_trim(s);
	if (*s == '\0')
		return (NULL);
	if ((n = scheme_is(s, "http")) == 0 &&
	    (n = scheme_is(s, "https")) == 0 &&
	    (n = scheme_is(s, "socks5")) == 0)
		return ("must begin with http://, https:// or socks5://");
	if (s[strspn(s, safe)] != '\0')
		return ("contains characters that are not allowed");
	if (url_split(s + n, &u) == -1 || u.host_len == 0)
		return ("must name a host");
	if (u.path_len > 1 || u.query_len > 0 || *u.fragment != '\0')
		return ("must not have a path, query or fragment");
	if (strpbrk(s, "?#") != NULL)
		return ("contains characters that are not allowed");
	return (NULL);
}

const char *
conf_check_index(char **text)
{
	struct url u;
	size_t n;

	conf_trim(*text);
	if ((n = scheme_is(*text, "http")) == 0 &&
	    (n = scheme_is(*text, "https")) == 0)
		return ("must begin with http:// or https://");
	if (has_controls(*text) || strpbrk(*text, " ?#") != NULL)
		return ("contains characters that are not allowed");
	if (url_split(*text + n, &u) == -1 || u.host_len == 0)
		return ("must name a host");
	/* It is shown, and part of what layers are known by. */
	if (u.user_len > 0)
		return ("must not have credentials: package_netrc_file has "
			"them");
	return (NULL);
}

char *
conf_url_host(const char *text)
{
	const char *rest = strstr(text, "://") + 3, *end;
	int v6, port = strncasecmp(text, "https:", 6) == 0 ? 443 : 80;
	struct url u;

	if (url_split(rest, &u) == -1)
		return (xstrdup(""));
	end = u.host + u.host_len;
	if ((v6 = *end == ']'))
		end++;
	if (*end == ':' && end[1] >= '0' && end[1] <= '9')
		port = atoi(end + 1);
	return (xasprintf("%s%.*s%s:%d", v6 ? "[" : "", (int)u.host_len, u.host,
	    v6 ? "]" : "", port));
}

char *
conf_url_mask(const char *text)
{
	struct url u;
	const char *rest, *colon, *tail, *value, *mask;
	char *copy;
	size_t head, len;

	if ((rest = strstr(text, "://")) == NULL)
		return (xstrdup(text));
	rest += 3;
	/* A proxy's URL must not have an asterisk. */
	mask = strncmp(text, "postgresql", 10) == 0 ? "***" : "xxxxx";
	if (url_split(rest, &u) == -1)
		return (xstrdup(mask));
	colon = memchr(u.user, ':', u.user_len);
	head = (size_t)((colon != NULL ? colon + 1 : rest) - text);
	tail = colon != NULL ? u.user + u.user_len : rest;
	/* libpq takes a password in the query too. */
	if ((len = query_value(&u, "password", &value)) == 0)
		value = tail + strlen(tail);
	copy = xasprintf("%.*s%s%.*s%s%s", (int)head, text,
	    colon != NULL ? mask : "", (int)(value - tail), tail,
	    len > 0 ? mask : "", value + len);
	return (copy);
}
