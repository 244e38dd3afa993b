/*
 * query.c: the parameters of a query, one table for each route that has any,
 * which its check and the document at /openapi.json go by. Runs in tako-api on
 * bytes from anybody. Errors are those of 0.3: told in the
 * order of the table, all at once.
 */
#include <ctype.h>
#include <inttypes.h>
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
check_wait(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	if ((q->wait = bool_of(value)) == -1)
		errors_field(e, "query", p->name, -1, "bool_parsing",
		    "Input should be a valid boolean, unable to interpret "
		    "input");
}

static void
check_timeout(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	if (float_of(value, &q->timeout) == -1)
		errors_field(e, "query", p->name, -1, "float_parsing",
		    "Input should be a valid number, unable to parse string "
		    "as a number");
	else if (q->timeout < (double)p->min)
		errors_field(e, "query", p->name, -1, "greater_than_equal",
		    "Input should be greater than or equal to %" PRId64,
		    p->min);
	else if (!(q->timeout <= (double)p->max)) /* and what is no number */
		errors_field(e, "query", p->name, -1, "less_than_equal",
		    "Input should be less than or equal to %" PRId64, p->max);
}

static void
check_view(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	q->full = strcmp(value, "full") == 0;
}

/* ---- lists -------------------------------------------------------------- */

static void
check_int(
    const struct param *p, const char *value, int64_t *v, struct errors *e)
{
	if (text_integer(value, v, e, "query", p->name) == -1)
		return;
	if (*v < p->min)
		errors_field(e, "query", p->name, -1, "greater_than_equal",
		    "Input should be greater than or equal to %" PRId64,
		    p->min);
	else if (*v > p->max)
		errors_field(e, "query", p->name, -1, "less_than_equal",
		    "Input should be less than or equal to %" PRId64, p->max);
}

/* A name of ours, or one that no record has. */
static void
check_name(
    struct query *q, const char *value, int64_t *v, int (*byname)(const char *))
{
	if (*value != '\0' && (*v = byname(value)) == -1)
		q->nothing = 1;
}

/* A text that is longer than any record has, or no text, is none's. */
static void
check_text(struct query *q, const char *value, char *dst, size_t size)
{
	if (strlen(value) >= size || !utf8_valid(value, strlen(value)))
		q->nothing = 1;
	else
		strlcpy(dst, value, size);
}

static void
check_status(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	check_name(q, value, &q->list.status, job_status_byname);
}

static void
check_type(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	check_text(q, value, q->list.job_type, sizeof(q->list.job_type));
}

static void
check_limit(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	int64_t v = 0;

	check_int(p, value, &v, e);
	q->list.limit = (uint64_t)v;
}

static void
check_offset(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	check_int(p, value, &q->list.offset, e);
}

static void
check_query(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	const char *why = NULL;

	if (!utf8_valid(value, strlen(value)))
		why = "it is no UTF-8";
	else
		why = words_query(q->list.query, value);
	if (why != NULL)
		errors_field(e, "query", p->name, -1, "value_error",
		    "Value error, q is no search: %s", why);
}

static void
check_time(
    const struct param *p, const char *value, int64_t *v, struct errors *e)
{
	if (time_parse(value, v) == -1)
		errors_field(e, "query", p->name, -1, "datetime_parsing",
		    "Input should be a time in ISO 8601, or seconds since "
		    "1970");
}

static void
check_since(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	check_time(p, value, &q->list.since, e);
}

static void
check_until(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	check_time(p, value, &q->list.until, e);
	if (q->list.until == 0)
		q->list.until = 1; /* 0 is no bound */
}

static void
check_exit(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	check_int(p, value, &q->list.exit_code, e);
}

static void
check_error(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	check_name(q, value, &q->list.error, job_error_byname);
}

static void
check_parent(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	check_text(q, value, q->list.parent_id, sizeof(q->list.parent_id));
}

static void
check_key(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	(void)p;
	(void)e;
	check_text(q, value, q->list.key, sizeof(q->list.key));
}

static void
check_after(
    struct query *q, const struct param *p, const char *value, struct errors *e)
{
	const char *error;

	q->list.after = strtonum(value, 1, INT64_MAX, &error);
	if (error != NULL)
		errors_field(e, "query", p->name, -1, "value_error",
		    "Value error, after is not the next of a list");
}

/* ---- the tables --------------------------------------------------------- */

#define BOOL_PATTERN                                                           \
	"^([01]|[oO][nN]|[oO][fF][fF]|[tT]([rR][uU][eE])?|"                    \
	"[fF]([aA][lL][sS][eE])?|[yY]([eE][sS])?|[nN][oO]?)$"
#define TIME_PATTERN                                                           \
	"^([0-3]?[0-9]{1,9}(\\.[0-9]+)?|(19[7-9][0-9]|20[0-9]{2})-"            \
	"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([Tt ]([01][0-9]|2[0-3]):"    \
	"[0-5][0-9](:([0-5][0-9]|60)(\\.[0-9]+)?)?"                            \
	"([Zz]|[-+]([01][0-9]|2[0-3]):?[0-5][0-9])?)?)$"
#define VIEW                                                                   \
	{                                                                      \
		"view", check_view, "string", 0, 0, NULL, "\"slim\"",          \
		    "full: all of each record."                                \
	}
#define LIMIT                                                                  \
	{                                                                      \
		"limit", check_limit, "integer", 1, 1000, NULL, "100",         \
		    "How many at most."                                        \
	}
#define OFFSET                                                                 \
	{                                                                      \
		"offset", check_offset, "integer", 0, INT64_MAX - 1, NULL,     \
		    "0", "How many are passed over."                           \
	}
#define ERROR_TYPE                                                             \
	{                                                                      \
		"error_type", check_error, "string", 0, 0, NULL, NULL,         \
		    "Only those of this error; of a name that none has, none." \
	}
#define END                                                                    \
	{                                                                      \
		NULL, NULL, NULL, 0, 0, NULL, NULL, NULL                       \
	}

/* The parameters, in the order in which their errors are told. */
const struct param params_result[] = { { "wait", check_wait, "boolean", 0, 0,
					   BOOL_PATTERN, "false",
					   "Answer when it has ended." },
	{ "timeout", check_timeout, "number", 1, 300, NULL, "30",
	    "For so many seconds at most; 408 after that." },
	VIEW, END };
const struct param params_list[] = {
	{ "status", check_status, "string", 0, 0, NULL, NULL,
	    "Only those in this state; of a name that none has, none." },
	{ "job_type", check_type, "string", 0, 0, NULL, NULL,
	    "Only those of this type." },
	LIMIT, OFFSET, VIEW,
	{ "q", check_query, "string", 0, 0, NULL, NULL,
	    "Words that are in the code, the outputs or the error; \"words in "
	    "quotes\" that follow each other; -words that are not there." },
	{ "since", check_since, "string", 0, 0, TIME_PATTERN, NULL,
	    "Created then or later: ISO 8601, or seconds since 1970." },
	{ "until", check_until, "string", 0, 0, TIME_PATTERN, NULL,
	    "Created before." },
	{ "exit_code", check_exit, "integer", -1, 255, NULL, NULL,
	    "Only those that ended with it." },
	ERROR_TYPE,
	{ "parent", check_parent, "string", 0, 0, NULL, NULL,
	    "Reruns and forks of this job." },
	{ "key", check_key, "string", 0, 0, NULL, NULL,
	    "The job of this idempotency key." },
	{ "after", check_after, "string", 0, 0, "^[1-9][0-9]{0,17}$", NULL,
	    "Those behind this place: the next of another page." },
	END
};
const struct param params_record[] = { VIEW, END };
const struct param params_letters[] = { ERROR_TYPE, LIMIT, OFFSET, END };

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
	char buf[1024];

	memset(q, 0, sizeof(*q));
	q->list.status = q->list.error = -1;
	q->list.exit_code = -2;
	q->list.limit = 100;
	q->wait = 0;
	q->timeout = 30;
	q->full = 0;
	if (query == NULL)
		return;
	for (; params->name != NULL; params++)
		if ((value = query_value(
			 query + 1, params->name, buf, sizeof(buf))) != NULL)
			params->check(q, params, value, e);
}
