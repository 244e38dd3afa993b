/*
 * openapi.c: the OpenAPI 3.1 document at /openapi.json. Runs in tako-api, once
 * for each configuration. It is written from what serves: the tables of routes,
 * of fields, of parameters and of errors; shape.c has what answers look like.
 * Limits are those that are in force.
 */
#include <inttypes.h>
#include <string.h>

#include "log.h"
#include "route.h"
#include "shape.h"
#include "util.h"

/* JSON as it is written: where it goes, and whether a comma is due. */
struct writer {
	struct evbuffer *out;
	int comma;
};

/* What comes next is a member of this name, or with NULL a list's item. */
static void
next(struct writer *w, const char *name)
{
	if (w->comma)
		render_text(w->out, ",");
	w->comma = 1;
	if (name != NULL) {
		render_string(w->out, name, strlen(name));
		render_text(w->out, ":");
	}
}

/* '{' or '['. */
static void
begin(struct writer *w, const char *name, char bracket)
{
	next(w, name);
	render_bytes(w->out, &bracket, 1);
	w->comma = 0;
}

static void
end(struct writer *w, char bracket)
{
	render_bytes(w->out, &bracket, 1);
	w->comma = 1;
}

/* NULL is left out. */
static void
put(struct writer *w, const char *name, const char *text)
{
	if (text == NULL)
		return;
	next(w, name);
	render_string(w->out, text, strlen(text));
}

static void
put_int(struct writer *w, const char *name, int64_t n)
{
	next(w, name);
	render_printf(w->out, "%" PRId64, n);
}

/* JSON as it is: members, or with a name one value. */
static void
put_raw(struct writer *w, const char *name, const char *json)
{
	if (*json == '\0')
		return;
	next(w, name);
	render_text(w->out, json);
}

/* A member that is a reference to a component. */
static void
put_ref(struct writer *w, const char *name, const char *kind, const char *to)
{
	begin(w, name, '{');
	next(w, "$ref");
	render_printf(w->out, "\"#/components/%s/%s\"", kind, to);
	end(w, '}');
}

/* ---- schemas ------------------------------------------------------------ */

static const struct shape_word *
word_find(const char *name)
{
	const struct shape_word *sw;

	for (sw = shape_words; sw->name != NULL; sw++)
		if (strcmp(sw->name, name) == 0)
			return (sw);
	return (NULL);
}

/* What a type of shape.h is, about NULL or what is said of it. */
static void
put_type(
    struct writer *w, const char *name, const char *type, const char *about)
{
	const struct shape_word *sw;
	char bare[64];
	size_t len = strlen(type);
	int nullable = type[len - 1] == '?';

	strlcpy(bare, type, sizeof(bare));
	if (nullable)
		bare[len - 1] = '\0';
	begin(w, name, '{');
	put(w, "description", about);
	if (nullable) {
		begin(w, "anyOf", '[');
		put_type(w, NULL, bare, NULL);
		put_raw(w, NULL, "{\"type\":\"null\"}");
		end(w, ']');
	} else if (strncmp(type, "[]", 2) == 0) {
		put(w, "type", "array");
		put_type(w, "items", type + 2, NULL);
	} else if (strncmp(type, "{}", 2) == 0) {
		put(w, "type", "object");
		put_type(w, "additionalProperties", type + 2, NULL);
	} else if ((sw = word_find(type)) != NULL)
		put_raw(w, NULL, sw->schema);
	else {
		next(w, "$ref");
		render_printf(w->out, "\"#/components/schemas/%s\"", type);
	}
	end(w, '}');
}

static void
put_shape(struct writer *w, const struct shape *s)
{
	const struct shape_member *m;
	char name[64];

	begin(w, s->name, '{');
	put(w, "type", "object");
	put(w, "description", s->about);
	begin(w, "properties", '{');
	for (m = s->members; m->name != NULL; m++) {
		strlcpy(name, m->name, sizeof(name));
		name[strcspn(name, "?")] = '\0';
		put_type(w, name, m->type, m->about);
	}
	end(w, '}');
	begin(w, "required", '[');
	for (m = s->members; m->name != NULL; m++)
		if (strchr(m->name, '?') == NULL)
			put(w, NULL, m->name);
	end(w, ']');
	end(w, '}');
}

static void
put_names(struct writer *w, const struct shape_names *n)
{
	int i;

	begin(w, n->name, '{');
	put(w, "type", "string");
	put(w, "description", n->about);
	begin(w, "enum", '[');
	for (i = n->first; i < n->last; i++)
		put(w, NULL, n->at(i));
	end(w, ']');
	end(w, '}');
}

static void
put_text_bounds(struct writer *w, const struct field *f)
{
	if (f->min > 0)
		put_int(w, "minLength", f->min);
	put_int(w, "maxLength", field_max(f, &api_conf));
	put(w, "pattern", f->pattern);
}

/* The keywords of a field's kind; a null may stand there by "type" alone. */
static void
put_kind(struct writer *w, const struct field *f)
{
	static const char *const types[] = {
		[FIELD_CODE] = "string",
		[FIELD_INPUT] = "object",
		[FIELD_INT] = "integer",
		[FIELD_STRING] = "string",
		[FIELD_REQUIREMENTS] = "array",
	};

	if (f->nullable) {
		begin(w, "type", '[');
		put(w, NULL, types[f->kind]);
		put(w, NULL, "null");
		end(w, ']');
	} else
		put(w, "type", types[f->kind]);
	switch (f->kind) {
	case FIELD_CODE:
	case FIELD_STRING:
		put_text_bounds(w, f);
		break;
	case FIELD_INT:
		put_int(w, "minimum", f->min);
		put_int(w, "maximum", field_max(f, &api_conf));
		break;
	case FIELD_REQUIREMENTS:
		put_int(w, "maxItems", f->max);
		begin(w, "items", '{');
		put(w, "type", "string");
		put_int(w, "maxLength", MAX_REQUIREMENT);
		put(w, "pattern", f->pattern);
		end(w, '}');
		break;
	case FIELD_INPUT:
		put_raw(w, "default", "{}");
		break;
	}
}

/* What no schema can say: a limit in bytes. */
static void
put_field_about(struct writer *w, const struct field *f)
{
	uint64_t bytes = f->kind == FIELD_CODE	  ? api_conf.max_code
			 : f->kind == FIELD_INPUT ? api_conf.max_input
						  : 0;
	char about[256];

	strlcpy(about, f->about, sizeof(about));
	if (bytes != 0)
		snprintf(about, sizeof(about),
		    "%s At most %" PRIu64 " bytes of UTF-8.", f->about, bytes);
	put(w, "description", about);
}

static void
put_body(struct writer *w, const struct body *b)
{
	const struct field *f;

	begin(w, b->name, '{');
	put(w, "type", "object");
	put(w, "description", b->about);
	begin(w, "properties", '{');
	for (f = b->fields; f < b->fields + b->n_fields; f++) {
		begin(w, f->name, '{');
		put_field_about(w, f);
		put_kind(w, f);
		end(w, '}');
	}
	end(w, '}');
	begin(w, "required", '[');
	for (f = b->fields; f < b->fields + b->n_fields; f++)
		if (f->required)
			put(w, NULL, f->name);
	end(w, ']');
	put_raw(w, "additionalProperties", "false");
	end(w, '}');
}

/* Each kind of body that a route takes, once. */
static void
put_bodies(struct writer *w)
{
	static const struct body *const bodies[] = { &body_submit, &body_rerun,
		&body_fork };
	size_t i;

	for (i = 0; i < nitems(bodies); i++)
		put_body(w, bodies[i]);
}

static void
put_schemas(struct writer *w)
{
	const struct shape *s;
	const struct shape_names *n;

	begin(w, "schemas", '{');
	put_bodies(w);
	for (s = shapes; s->name != NULL; s++)
		put_shape(w, s);
	for (n = shape_names; n->name != NULL; n++)
		put_names(w, n);
	end(w, '}');
}

/* ---- answers ------------------------------------------------------------ */

/*
 * What http.c and conn.c answer by themselves, before there is a route, and
 * what else has no text of its own among the errors.
 */
static const struct {
	int status;
	const char *about;
} faults[] = {
	{ 400, "What was sent is no HTTP/1.1." },
	{ 408, "The request did not come in time." },
	{ 413, "The body is larger than is allowed." },
	{ 414, "The request line is too long." },
	{ 417, "The expectation is unknown." },
	{ 431, "The header fields are too large or too many." },
	{ 501, "The method or the transfer coding is unknown." },
	{ 503, "There are too many connections." },
	{ 505, "The version of HTTP is not supported." },
};

/* A set of statuses: 100 to 599. */
struct statuses {
	uint8_t has[600];
};

static void
put_text(struct evbuffer *out, const char *text)
{
	if (evbuffer_get_length(out) > 0)
		render_text(out, " ");
	render_text(out, text);
	if (text[strlen(text) - 1] != '.')
		render_text(out, ".");
}

static int
has_places(const struct route *r)
{
	return (strchr(r->pattern, '{') != NULL);
}

/* May a request of this route meet an error? NULL: any request. */
static int
may_meet(const struct route *r, enum api_error error)
{
	const enum api_error *own;

	if (error == API_KEY || error == API_RATE)
		return (api_conf.admit != ADMIT_NEVER &&
			(r == NULL || (r->flags & ROUTE_OPEN) == 0));
	if (rep_common(error))
		return (1);
	if (r == NULL)
		return (0);
	if (error == r->not_found && has_places(r))
		return (1);
	for (own = r->errors; own != NULL && *own != API_NONE; own++)
		if (*own == error)
			return (1);
	return (0);
}

/* Is it of the route alone, so that what is common does not tell of it? */
static int
is_own(const struct route *r, enum api_error error)
{
	return (may_meet(r, error) && !may_meet(NULL, error));
}

static void
put_about(struct writer *w, const struct route *r, int status)
{
	struct evbuffer *about;
	enum api_error e;
	size_t i;

	if ((about = evbuffer_new()) == NULL)
		fatal(NULL);
	for (i = 0; i < nitems(faults); i++)
		if (faults[i].status == status)
			put_text(about, faults[i].about);
	for (e = API_NONE + 1; e < API_ERROR_MAX; e++)
		if (rep_status(e) == status && may_meet(r, e) &&
		    rep_detail(e) != NULL)
			put_text(about, rep_detail(e));
	if (evbuffer_get_length(about) == 0)
		put_text(about, "The answer says what is wrong");
	render_bytes(about, "", 1);
	put(w, "description", (char *)evbuffer_pullup(about, -1));
	evbuffer_free(about);
}

static void
put_headers(struct writer *w, int status)
{
	begin(w, "headers", '{');
	put_ref(w, "X-Correlation-ID", "headers", "CorrelationId");
	if (status == 401)
		put_ref(w, "WWW-Authenticate", "headers", "Challenge");
	if (status == 405)
		put_ref(w, "Allow", "headers", "Allow");
	if (status == 429 || status == 503)
		put_ref(w, "Retry-After", "headers", "RetryAfter");
	end(w, '}');
}

static void
begin_content(struct writer *w, const char *media)
{
	begin(w, "content", '{');
	begin(w, media, '{');
}

static void
end_content(struct writer *w)
{
	end(w, '}');
	end(w, '}');
}

static void
put_error_schema(struct writer *w, int status)
{
	if (status != 422) {
		put_type(
		    w, "schema", status == 409 ? "Conflict" : "Error", NULL);
		return;
	}
	begin(w, "schema", '{');
	begin(w, "anyOf", '[');
	put_type(w, NULL, "ValidationError", NULL);
	put_type(w, NULL, "Error", NULL);
	end(w, ']');
	end(w, '}');
}

static void
put_error(struct writer *w, const char *name, const struct route *r, int status)
{
	begin(w, name, '{');
	put_about(w, r, status);
	put_headers(w, status);
	begin_content(w, "application/json");
	put_error_schema(w, status);
	end_content(w);
	end(w, '}');
}

/* Statuses that any request may meet. */
static void
statuses_common(struct statuses *st)
{
	enum api_error e;
	size_t i;

	memset(st, 0, sizeof(*st));
	for (i = 0; i < nitems(faults); i++)
		st->has[faults[i].status] = 1;
	for (e = API_NONE + 1; e < API_ERROR_MAX; e++)
		if (may_meet(NULL, e))
			st->has[rep_status(e)] = 1;
}

static void
put_responses(struct writer *w)
{
	struct statuses st;
	char name[16];
	int i;

	statuses_common(&st);
	begin(w, "responses", '{');
	for (i = 0; i < (int)nitems(st.has); i++)
		if (st.has[i]) {
			snprintf(name, sizeof(name), "Status%d", i);
			put_error(w, name, NULL, i);
		}
	end(w, '}');
}

static void
put_answer(struct writer *w, const struct route *r, const struct answer *a)
{
	char status[16];

	snprintf(status, sizeof(status), "%d", a->status);
	begin(w, status, '{');
	put(w, "description", a->about);
	begin(w, "headers", '{');
	put_ref(w, "X-Correlation-ID", "headers", "CorrelationId");
	if (a->status == 307)
		put_ref(w, "Location", "headers", "Location");
	if (a->status == 206)
		put_ref(w, "Content-Range", "headers", "ContentRange");
	if (a->status == 503)
		put_ref(w, "Retry-After", "headers", "RetryAfter");
	if (r->flags & (ROUTE_FILE | ROUTE_PAGE))
		put_ref(w, "ETag", "headers", "ETag");
	end(w, '}');
	if (a->type != NULL) {
		begin_content(w, "application/json");
		put_type(w, "schema", a->type, NULL);
		end_content(w);
	} else if (a->media != NULL) {
		begin_content(w, a->media);
		end_content(w);
	}
	end(w, '}');
}

/* What says more of an error than the common answers, or what they lack. */
static int
tells(const struct route *r, int status)
{
	enum api_error e;

	/* Of what is checked there is a list of errors. */
	if (status == 422 && (r->body != NULL || r->params != NULL))
		return (1);
	for (e = API_NONE + 1; e < API_ERROR_MAX; e++)
		if (rep_status(e) == status && is_own(r, e))
			return (1);
	return (0);
}

static void
put_route_responses(struct writer *w, const struct route *r)
{
	static const struct answer unchanged = { 304, NULL, NULL,
		"The condition says that it is known." };
	const struct answer *a;
	struct statuses common;
	char status[16], name[16];
	int i;

	statuses_common(&common);
	begin(w, "responses", '{');
	for (a = r->answers; a->status != 0; a++) {
		put_answer(w, r, a);
		common.has[a->status] = 0;
	}
	if (r->flags & (ROUTE_FILE | ROUTE_PAGE))
		put_answer(w, r, &unchanged);
	/* A path without names is found, and its method is. */
	common.has[405] = 0;
	if (!has_places(r))
		common.has[404] = 0;
	if (!may_meet(r, API_KEY))
		common.has[401] = common.has[429] = 0;
	for (i = 400; i < (int)nitems(common.has); i++) {
		snprintf(status, sizeof(status), "%d", i);
		snprintf(name, sizeof(name), "Status%d", i);
		if (tells(r, i))
			put_error(w, status, r, i);
		else if (common.has[i])
			put_ref(w, status, "responses", name);
	}
	end(w, '}');
}

static void
put_component_headers(struct writer *w)
{
	static const struct {
		const char *name, *about;
	} headers[] = {
		{ "CorrelationId", "The request's, or one that was made." },
		{ "Challenge", "Bearer." },
		{ "Allow", "The methods that the path knows." },
		{ "RetryAfter", "Seconds after which to come again." },
		{ "Location", "Where to go." },
		{ "ContentRange", "Which part it is." },
		{ "ETag", "For If-None-Match." },
	};
	size_t i;

	begin(w, "headers", '{');
	for (i = 0; i < nitems(headers); i++) {
		begin(w, headers[i].name, '{');
		put(w, "description", headers[i].about);
		put_raw(w, "schema", "{\"type\":\"string\"}");
		end(w, '}');
	}
	end(w, '}');
}

/* ---- requests ----------------------------------------------------------- */

#define NO_NUL "\"^[^\\\\u0000]*$\""

static void
put_place(struct writer *w, const char *pattern)
{
	const struct place *p;
	size_t len;

	p = route_place(pattern, &len);
	begin(w, NULL, '{');
	put(w, "name", p->name);
	put(w, "in", "path");
	put_raw(w, "required", "true");
	put(w, "description", p->about);
	begin(w, "schema", '{');
	put(w, "type", p->type);
	if (strcmp(p->type, "string") == 0) {
		put_int(w, "minLength", 1);
		put_raw(w, "pattern", NO_NUL);
	}
	end(w, '}');
	end(w, '}');
}

static void
put_param(struct writer *w, const struct param *p)
{
	begin(w, NULL, '{');
	put(w, "name", p->name);
	put(w, "in", "query");
	put(w, "description", p->about);
	begin(w, "schema", '{');
	/* A word for a boolean is a string to a schema. */
	if (strcmp(p->type, "boolean") == 0)
		put_raw(w, "type", "[\"boolean\",\"string\"]");
	else
		put(w, "type", p->type);
	if (p->min != 0 || p->max != 0) {
		put_int(w, "minimum", p->min);
		put_int(w, "maximum", p->max);
	}
	/* http.c refuses a NUL in any target. */
	if (p->pattern == NULL && strcmp(p->type, "string") == 0)
		put_raw(w, "pattern", NO_NUL);
	else
		put(w, "pattern", p->pattern);
	if (p->initial != NULL)
		put_raw(w, "default", p->initial);
	end(w, '}');
	end(w, '}');
}

static void
put_field_param(struct writer *w, const char *name, const char *about)
{
	begin(w, NULL, '{');
	put(w, "name", name);
	put(w, "in", "header");
	put(w, "description", about);
	put_raw(w, "schema", "{\"type\":\"string\"}");
	end(w, '}');
}

static void
put_parameters(struct writer *w, const struct route *r)
{
	const struct param *p;
	const char *s;

	begin(w, "parameters", '[');
	put_ref(w, NULL, "parameters", "CorrelationId");
	for (s = r->pattern; (s = strchr(s, '{')) != NULL; s++)
		put_place(w, s);
	for (p = r->params; p != NULL && p->name != NULL; p++)
		put_param(w, p);
	if (r->flags & (ROUTE_FILE | ROUTE_PAGE))
		put_field_param(w, "If-None-Match",
		    "304 where one of these tags is the ETag.");
	if (r->flags & ROUTE_FILE) {
		put_field_param(w, "Range", "One range of bytes.");
		put_field_param(w, "If-Range",
		    "All of it where this is neither the ETag nor the time.");
	}
	end(w, ']');
}

static void
put_request(struct writer *w, const struct body *b)
{
	begin(w, "requestBody", '{');
	put_raw(w, "required", "true");
	begin_content(w, "application/json");
	put_type(w, "schema", b->name, NULL);
	begin(w, "example", '{');
	if (b->fields->kind == FIELD_CODE)
		put(w, b->fields->name, "print(6 * 7)");
	end(w, '}');
	end_content(w);
	end(w, '}');
}

/* ---- the whole ---------------------------------------------------------- */

static void
put_method(struct writer *w, const struct route *r, enum http_method method)
{
	char name[16], id[64];
	size_t i;

	strlcpy(name, http_method_name(method), sizeof(name));
	for (i = 0; name[i] != '\0'; i++)
		name[i] = (char)(name[i] | 0x20);
	begin(w, name, '{');
	snprintf(
	    id, sizeof(id), "%s%s", r->id, method == HTTP_HEAD ? "Head" : "");
	put(w, "operationId", id);
	begin(w, "tags", '[');
	put(w, NULL, r->tag);
	end(w, ']');
	put(w, "summary", r->summary);
	put(w, "description", r->about);
	if (api_conf.keys && (r->flags & ROUTE_OPEN))
		put_raw(w, "security", "[]");
	put_parameters(w, r);
	if (r->body != NULL)
		put_request(w, r->body);
	put_route_responses(w, r);
	end(w, '}');
}

/* A path has its methods together, wherever they are in the table. */
static void
put_paths(struct writer *w)
{
	const struct route *r, *o;

	begin(w, "paths", '{');
	for (r = routes; r < routes + n_routes; r++) {
		for (o = routes; strcmp(o->pattern, r->pattern) != 0; o++)
			;
		if (o < r)
			continue;
		begin(w, r->pattern, '{');
		for (; o < routes + n_routes; o++) {
			if (strcmp(o->pattern, r->pattern) != 0)
				continue;
			put_method(w, o, o->method);
			if (o->flags & ROUTE_FILE)
				put_method(w, o, HTTP_HEAD);
		}
		end(w, '}');
	}
	end(w, '}');
}

static void
put_security(struct writer *w)
{
	begin(w, "securitySchemes", '{');
	begin(w, "ApiKey", '{');
	put(w, "type", "apiKey");
	put(w, "in", "header");
	put(w, "name", api_conf.auth_header);
	end(w, '}');
	put_raw(w, "Bearer", "{\"type\":\"http\",\"scheme\":\"bearer\"}");
	end(w, '}');
}

static void
put_info(struct writer *w)
{
	begin(w, "info", '{');
	put(w, "title", "takod");
	put(w, "version", api_conf.version);
	put(w, "description",
	    "Runs Python code of others in sandboxes. JSON in and out. Numbers "
	    "of bodies may stand in strings, as in Tako VM 0.3. Unknown fields "
	    "of a body are refused, unknown parameters of a query are not "
	    "looked at. Each GET may be a HEAD. A path with a slash too many "
	    "at its end is answered with 307, one that is none of these with "
	    "404, and another method with 405.");
	end(w, '}');
}

void
openapi_write(struct evbuffer *out)
{
	struct writer w = { out, 0 };

	begin(&w, NULL, '{');
	put(&w, "openapi", "3.1.0");
	put_info(&w);
	put_raw(&w, "servers", "[{\"url\":\"/\"}]");
	if (api_conf.keys)
		put_raw(&w, "security", "[{\"ApiKey\":[]},{\"Bearer\":[]}]");
	put_paths(&w);
	begin(&w, "components", '{');
	put_schemas(&w);
	put_responses(&w);
	begin(&w, "parameters", '{');
	put_raw(&w, "CorrelationId",
	    "{\"name\":\"X-Correlation-ID\",\"in\":\"header\","
	    "\"description\":\"Stands in the answer, the record and the log, "
	    "if it is 1 to 128 visible ASCII characters.\","
	    "\"schema\":{\"type\":\"string\"}}");
	end(&w, '}');
	put_component_headers(&w);
	if (api_conf.keys)
		put_security(&w);
	end(&w, '}');
	end(&w, '}');
}
