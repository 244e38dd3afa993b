/*
 * request.c: fuzz target of the check of a body, of a query and of a package
 * requirement. Beyond not failing: a body is either told of errors, which are
 * then JSON, or gives values that keep their bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "requirement.h"
#include "tako-api/tako-api.h"
#include "util.h"

static const struct msg_api_setup conf = { .max_payload = 2097152,
	.max_code = 102400,
	.max_input = 1048576,
	.max_timeout = 300,
	.max_startup_timeout = 600,
	.default_timeout = 30 };

static void
need_json(const void *text, size_t len, enum json_type type)
{
	struct json_doc doc;

	need(json_scan(text, len, 0, &doc) == 0 && doc.type == type);
	json_doc_free(&doc);
}

/* The entries of the list, as they stand in an answer. */
static void
need_errors(struct errors *e)
{
	size_t len;

	need(evbuffer_prepend(e->list, "[", 1) == 0);
	need(evbuffer_add(e->list, "]", 1) == 0);
	len = evbuffer_get_length(e->list);
	need_json(evbuffer_pullup(e->list, -1), len, JSON_ARRAY);
}

static void
need_values(const struct submit *s)
{
	need(s->code != NULL && s->code_len >= 1 &&
	     s->code_len <= conf.max_code && strlen(s->code) == s->code_len &&
	     utf8_valid(s->code, s->code_len));
	need(s->input.len >= 2 && s->input.len <= conf.max_input);
	need_json(s->input.data, s->input.len, JSON_OBJECT);
	need(s->timeout >= 0 && s->timeout <= 86400);
	need(s->startup_timeout == 0 ||
	     (s->startup_timeout >= 10 && s->startup_timeout <= 600));
	if (s->requirements != NULL) {
		need(strlen(s->requirements) <= 65536);
		need_json(s->requirements, strlen(s->requirements), JSON_ARRAY);
	}
}

static void
check_body(const uint8_t *data, size_t len, int json)
{
	struct section body = { data, len };
	struct submit s;
	struct errors e;

	errors_init(&e);
	submit_check(&s, &body, json, &conf, &e);
	if (e.n > 0)
		need_errors(&e);
	else
		need_values(&s);
	submit_free(&s);
	errors_free(&e);
}

/* Of a rerun (0) or a fork (1): what it may say, and nothing else. */
static void
check_rerun(const uint8_t *data, size_t len, int fork)
{
	struct section body = { data, len };
	struct submit s;
	struct errors e;

	errors_init(&e);
	rerun_check(&s, fork, &body, 1, &conf, &e);
	if (e.n > 0)
		need_errors(&e);
	else
		need((s.code != NULL) == fork && s.requirements == NULL &&
		     s.idempotency_key[0] == '\0' && s.startup_timeout == 0 &&
		     s.timeout >= 0 && s.timeout <= 86400);
	submit_free(&s);
	errors_free(&e);
}

/* Written as an index compares it, it is valid yet, and stays. */
static void
check_requirement(const char *text)
{
	char *once, *twice;

	if (!requirement_valid(text))
		return;
	once = xstrdup(text);
	requirement_normalise(once);
	need(requirement_valid(once));
	twice = xstrdup(once);
	requirement_normalise(twice);
	need(strcmp(once, twice) == 0);
	free(twice);
	free(once);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct param *const pages[] = { params_letters, params_list };
	struct errors e;
	struct query q;
	size_t i;
	char *s;

	check_body(data, len, 1);
	check_body(data, len, 0);
	check_rerun(data, len, 0);
	check_rerun(data, len, 1);
	s = xmalloc(len + 1);
	memcpy(s, data, len);
	s[len] = '\0';
	check_requirement(s);
	errors_init(&e);
	query_check(&q, params_result, s, &e);
	if (e.n > 0)
		need_errors(&e);
	else
		need(q.timeout >= 1 && q.timeout <= 300 &&
		     (q.wait == 0 || q.wait == 1));
	errors_free(&e);
	for (i = 0; i < nitems(pages); i++) {
		errors_init(&e);
		query_check(&q, pages[i], s, &e);
		if (e.n > 0)
			need_errors(&e);
		else
			need(q.list.limit >= 1 && q.list.limit <= 1000 &&
			     q.list.offset >= 0);
		errors_free(&e);
	}
	free(s);
	return (0);
}
