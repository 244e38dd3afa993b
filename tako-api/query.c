/*
 * query.c: the parameters of a query, one table for each route that has any.
 * Runs in tako-api on bytes from anybody. Errors are those of 0.3: told in the
 * order of the table, all at once.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tako-api.h"
#include "util.h"

/* As 0.3 reads a boolean out of a query: -1 when it is none. */
static int
bool_of(const char *s)
{
	static const char *const words[] = { "0", "off", "f", "false", "n",
		"no", "1", "on", "t", "true", "y", "yes" };
	size_t i;

	for (i = 0; i < nitems(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return (i >= nitems(words) / 2);
	return (-1);
}

/* A decimal number, white space around it, single underscores within. */
static int
float_of(const char *s, double *v)
{
	char buf[128], *end;
	size_t n = 0;

	while (isspace((unsigned char)*s))
		s++;
	for (; *s != '\0' && n < sizeof(buf) - 1; s++) {
		if (*s == '_' && n > 0 && isdigit((unsigned char)s[-1]) &&
		    isdigit((unsigned char)s[1]))
			continue;
		if (*s == 'x' || *s == 'X' || *s == '(')
			return (-1); /* of strtod's forms, not of 0.3's */
		buf[n++] = *s;
	}
	while (n > 0 && isspace((unsigned char)buf[n - 1]))
		n--;
	buf[n] = '\0';
	*v = strtod(buf, &end);
	return (*s == '\0' && n > 0 && *end == '\0' ? 0 : -1);
}

static void
check_wait(struct query *q, const char *value, struct errors *e)
{
	if ((q->wait = bool_of(value)) == -1)
		errors_field(e, "query", "wait", -1, "bool_parsing",
		    "Input should be a valid boolean, unable to interpret "
		    "input");
}

static void
check_timeout(struct query *q, const char *value, struct errors *e)
{
	if (float_of(value, &q->timeout) == -1)
		errors_field(e, "query", "timeout", -1, "float_parsing",
		    "Input should be a valid number, unable to parse string "
		    "as a number");
	else if (q->timeout < 1)
		errors_field(e, "query", "timeout", -1, "greater_than_equal",
		    "Input should be greater than or equal to 1");
	else if (!(q->timeout <= 300)) /* and what is no number */
		errors_field(e, "query", "timeout", -1, "less_than_equal",
		    "Input should be less than or equal to 300");
}

static void
check_view(struct query *q, const char *value, struct errors *e)
{
	(void)e;
	q->full = strcmp(value, "full") == 0;
}

static void
check_error_type(struct query *q, const char *value, struct errors *e)
{
	(void)e;
	/* What no error is called is on no page. */
	if (strlcpy(q->error_type, value, sizeof(q->error_type)) >=
	    sizeof(q->error_type))
		strlcpy(q->error_type, "?", sizeof(q->error_type));
}

static void
check_limit(struct query *q, const char *value, struct errors *e)
{
	if (text_integer(value, &q->limit, e, "query", "limit") == -1)
		return;
	if (q->limit < 1)
		errors_field(e, "query", "limit", -1, "greater_than_equal",
		    "Input should be greater than or equal to 1");
	else if (q->limit > 1000)
		errors_field(e, "query", "limit", -1, "less_than_equal",
		    "Input should be less than or equal to 1000");
}

/* One that is beyond 64 bits is told like one that is too long to read. */
static void
check_offset(struct query *q, const char *value, struct errors *e)
{
	if (text_integer(value, &q->offset, e, "query", "offset") == -1)
		return;
	if (q->offset < 0)
		errors_field(e, "query", "offset", -1, "greater_than_equal",
		    "Input should be greater than or equal to 0");
	else if (q->offset == INT64_MAX)
		errors_field(e, "query", "offset", -1, "int_parsing_size",
		    "Unable to parse input string as an integer, exceeded "
		    "maximum size");
}

/* The parameters, in the order in which their errors are told. */
const struct param params_result[] = { { "wait", check_wait },
	{ "timeout", check_timeout }, { "view", check_view }, { NULL, NULL } };
const struct param params_record[] = { { "view", check_view }, { NULL, NULL } };
const struct param params_letters[] = { { "error_type", check_error_type },
	{ "limit", check_limit }, { "offset", check_offset }, { NULL, NULL } };

/*
 * Value of a parameter in a query, decoded into buf; NULL: not there. The
 * last one counts. One that cannot be decoded reads as "?".
 */
static const char *
query_value(const char *query, const char *name, char *buf, size_t size)
{
	const char *found = NULL, *eq;
	char key[64];
	size_t len;

	for (; *query != '\0'; query += len + (query[len] == '&')) {
		len = strcspn(query, "&");
		eq = memchr(query, '=', len);
		if (http_decode(key, sizeof(key), query,
			eq == NULL ? len : (size_t)(eq - query), 1) == -1 ||
		    strcmp(key, name) != 0)
			continue;
		if (eq == NULL)
			eq = query + len - 1; /* no value is an empty one */
		if (http_decode(buf, size, eq + 1,
			(size_t)(query + len - eq - 1), 1) == -1)
			strlcpy(buf, "?", size);
		found = buf;
	}
	return (found);
}

/* Checks the query of a target; names that are not known are passed over. */
void
query_check(struct query *q, const struct param *params, const char *target,
    struct errors *e)
{
	const char *query = strchr(target, '?'), *value;
	char buf[256];

	q->wait = 0;
	q->timeout = 30;
	q->full = 0;
	q->error_type[0] = '\0';
	q->limit = 100;
	q->offset = 0;
	if (query == NULL)
		return;
	for (; params->name != NULL; params++)
		if ((value = query_value(
			 query + 1, params->name, buf, sizeof(buf))) != NULL)
			params->check(q, value, e);
}
