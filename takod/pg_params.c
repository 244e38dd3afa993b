/*
 * pg_params.c: how PostgreSQL is connected to: what the URL says, and what
 * takod adds to it. Used by the parent, and by tako-vm doctor, which connects
 * in the same way.
 */
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
pg_params_read(struct pg_params *p, const char *url, const char *name)
{
	PQconninfoOption *all, *o;
	const char *value;
	char *error = NULL;
	int n = 0, hosts = 1, seconds = 0;

	/* libpq's own words would show the password. */
	all = PQconninfoParse(url, &error);
	PQfreemem(error);
	if (all == NULL)
		return (-1);
	for (o = all; o->keyword != NULL; o++)
		n++;
	p->names = xcalloc((size_t)n + 1, sizeof(*p->names));
	p->values = xcalloc((size_t)n + 1, sizeof(*p->values));
	for (o = all, n = 0; o->keyword != NULL; o++) {
		value = o->val != NULL ? o->val : default_of(o->keyword);
		if (strcmp(o->keyword, "application_name") == 0)
			value = name;
		else if (strcmp(o->keyword, "client_encoding") == 0)
			value = "UTF8";
		if (value == NULL)
			continue;
		if (strcmp(o->keyword, "connect_timeout") == 0)
			seconds = atoi(value);
		else if (strcmp(o->keyword, "host") == 0)
			for (const char *s = value; *s != '\0'; s++)
				hosts += *s == ',';
		p->names[n] = xstrdup(o->keyword);
		p->values[n++] = xstrdup(value);
	}
	PQconninfoFree(all);
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
	p->names = p->values = NULL;
}
