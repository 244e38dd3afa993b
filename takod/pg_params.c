/*
 * pg_params.c: how PostgreSQL is connected to: what the URL says, and what
 * takod adds to it. Used by the parent, and by tako-vm doctor, which connects
 * in the same way.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "pg_conn.h"
#include "util.h"

#define SECOND INT64_C(1000000)
/* Until a connection is there, when the URL says nothing: per host. */
#define CONNECT_S 10

/* Where the URL says nothing; and what it has no say in. */
static const struct {
	const char *name, *value;
} defaults[] = {
	{ "keepalives", "1" },
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "5" },
	{ "keepalives_count", "3" },
	{ "tcp_user_timeout", "15000" },
	{ "target_session_attrs", "read-write" },
	/* Asking for a ticket could block. */
	{ "gssencmode", "disable" },
};

static const char *
default_of(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(defaults); i++)
		if (strcmp(defaults[i].name, name) == 0)
			return (defaults[i].value);
	return (NULL);
}

int
pg_host_known(const char *host)
{
	struct in6_addr any;

	/* Nothing and paths are for sockets of this host. */
	return (host[0] == '\0' || host[0] == '/' || host[0] == '@' ||
		inet_pton(AF_INET, host, &any) == 1 ||
		inet_pton(AF_INET6, host, &any) == 1);
}

static int
all_known(const char *hosts)
{
	char *copy = xstrdup(hosts), *rest = copy, *host;
	int known = 1;

	while ((host = strsep(&rest, ",")) != NULL)
		known &= pg_host_known(host);
	free(copy);
	return (known);
}

int
pg_params_read(struct pg_params *p, const char *url, const char *name)
{
	PQconninfoOption *all, *o;
	const char *value;
	char *error = NULL;
	int n = 0, hosts = 1, seconds = 0, addressed = 0, service = 0;

	/* libpq's own words would show the password. */
	all = PQconninfoParse(url, &error);
	PQfreemem(error);
	if (all == NULL)
		return (-1);
	for (o = all; o->keyword != NULL; o++)
		n++;
	p->names = xcalloc((size_t)n + 4, sizeof(*p->names));
	p->values = xcalloc((size_t)n + 4, sizeof(*p->values));
	p->hosts = p->ports = NULL;
	for (o = all, n = 0; o->keyword != NULL; o++) {
		value = o->val != NULL ? o->val : default_of(o->keyword);
		/* libpq would, later: a name in it is to be looked up here. */
		if (value == NULL && o->envvar != NULL)
			value = getenv(o->envvar);
		if (strcmp(o->keyword, "application_name") == 0)
			value = name;
		else if (strcmp(o->keyword, "client_encoding") == 0)
			value = "UTF8";
		if (value == NULL)
			continue;
		if (strcmp(o->keyword, "service") == 0)
			service = 1;
		if (strcmp(o->keyword, "connect_timeout") == 0)
			seconds = atoi(value);
		else if (strcmp(o->keyword, "port") == 0)
			p->ports = xstrdup(value);
		else if (strcmp(o->keyword, "hostaddr") == 0)
			addressed = 1;
		else if (strcmp(o->keyword, "host") == 0) {
			for (const char *s = value; *s != '\0'; s++)
				hosts += *s == ',';
			p->hosts = xstrdup(value);
		}
		p->names[n] = xstrdup(o->keyword);
		p->values[n++] = xstrdup(value);
	}
	PQconninfoFree(all);
	p->n = n;
	if (service) {
		/* Its file would be read, and its names looked up, in the loop.
		 */
		pg_params_free(p);
		return (-1);
	}
	if (p->hosts != NULL && (addressed || all_known(p->hosts))) {
		free(p->hosts);
		p->hosts = NULL;
	}
	if (seconds < 1 || seconds > 600)
		seconds = CONNECT_S;
	p->connect_us = (seconds < 2 ? 2 : seconds) * SECOND * hosts;
	return (0);
}

void
pg_params_free(struct pg_params *p)
{
	int i;

	for (i = 0; p->names != NULL && p->names[i] != NULL; i++) {
		free(p->names[i]);
		freezero(p->values[i], strlen(p->values[i]));
	}
	free(p->names);
	free(p->values);
	free(p->hosts);
	free(p->ports);
	p->names = p->values = NULL;
	p->hosts = p->ports = NULL;
}

/* Of a parameter that comes twice libpq takes the second. */
void
pg_params_resolved(struct pg_params *p, char *const list[3])
{
	static const char *const names[] = { "host", "hostaddr", "port" };
	int i;

	for (i = 0; i < 3; i++) {
		free(p->names[p->n + i]);
		free(p->values[p->n + i]);
		p->names[p->n + i] = xstrdup(names[i]);
		p->values[p->n + i] = xstrdup(list[i]);
	}
}
