/*
 * request.c: is the body of a request well-formed? One table of fields for
 * each kind of body drives the checks. Runs in tako-api on bytes from anybody.
 *
 * Types, texts and order of the errors are those of Tako VM 0.3 (pydantic):
 * every error of a body is reported at once, fields in their order, unknown
 * ones last. What a client sent is never echoed, names of unknown fields
 * excepted. input_data is not decoded: its bytes are passed on as they came.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "log.h"
#include "requirement.h"
#include "tako-api.h"
#include "util.h"

/* Listed at most; a body of ten thousand faults is told of the first ones. */
#define MAX_ERRORS	100
#define MAX_ERROR_FIELD 128  /* bytes of an unknown field's name shown */
#define MAX_INT_DIGITS	4300 /* as in 0.3: longer ones are no numbers */

#define JOB_TYPE_PATTERN "^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$"
#define JOB_TYPE_ABOUT	 "One of /job-types; null: default."
#define KEY_PATTERN	 "^[a-zA-Z0-9_-]+$"
/* For the document alone: what check_code() and requirement.c judge. */
#define CODE_PATTERN "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
#define NAME_PATTERN "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
#define CLAUSE_PATTERN                                                         \
	"((==|!=)" NAME_PATTERN "(\\.\\*)?|([<>~]=|<|>)" NAME_PATTERN ")"
#define REQUIREMENT_PATTERN                                                    \
	"^" NAME_PATTERN "(\\[" NAME_PATTERN "(," NAME_PATTERN ")*\\])?"       \
	"(" CLAUSE_PATTERN "(," CLAUSE_PATTERN ")*)?$"
#define MAX_CODE_CHARS	100000
#define MAX_INPUT_CHARS 1048576

/* ---- the list of errors ------------------------------------------------- */

void
errors_init(struct errors *e)
{
	memset(e, 0, sizeof(*e));
	if ((e->list = evbuffer_new()) == NULL)
		fatal(NULL);
}

void
errors_free(struct errors *e)
{
	if (e->list != NULL)
		evbuffer_free(e->list);
	e->list = NULL;
}

/* Begins an entry: {"type":..,"loc":[where; 0 when the list is full. */
static int
errors_begin(struct errors *e, const char *type, const char *where)
{
	if (e->n++ >= MAX_ERRORS)
		return (0);
	render_printf(e->list, "%s{\"type\":\"%s\",\"loc\":[\"%s\"",
	    e->n > 1 ? "," : "", type, where);
	return (1);
}

static void
errors_end(struct errors *e, const char *fmt, va_list ap)
{
	char msg[256];

	vsnprintf(msg, sizeof(msg), fmt, ap);
	render_text(e->list, "],\"msg\":");
	render_string(e->list, msg, strlen(msg));
	render_text(e->list, "}");
}

/* About the body or a query as a whole. */
static void errors_whole(struct errors *, const char *, const char *,
    const char *, ...) __attribute__((format(printf, 4, 5)));
static void
errors_whole(
    struct errors *e, const char *where, const char *type, const char *fmt, ...)
{
	va_list ap;

	if (!errors_begin(e, type, where))
		return;
	va_start(ap, fmt);
	errors_end(e, fmt, ap);
	va_end(ap);
}

/* About a field; index is that of a list's item, or -1. */
void
errors_field(struct errors *e, const char *where, const char *field, int index,
    const char *type, const char *fmt, ...)
{
	va_list ap;

	if (!errors_begin(e, type, where))
		return;
	render_text(e->list, ",");
	render_string(e->list, field, strlen(field));
	if (index >= 0)
		render_printf(e->list, ",%d", index);
	va_start(ap, fmt);
	errors_end(e, fmt, ap);
	va_end(ap);
}

static void
errors_unknown(struct errors *e, const char *name, size_t len)
{
	if (!errors_begin(e, "extra_forbidden", "body"))
		return;
	if (len > MAX_ERROR_FIELD)
		len = utf8_span(name, MAX_ERROR_FIELD);
	render_text(e->list, ",");
	render_string(e->list, name, len);
	render_text(e->list, "],\"msg\":\"Extra inputs are not permitted\"}");
}

static void
errors_json(struct errors *e, size_t offset, const char *why)
{
	if (!errors_begin(e, "json_invalid", "body"))
		return;
	render_printf(e->list,
	    ",%zu],\"msg\":\"JSON decode error\",\"input\":{},"
	    "\"ctx\":{\"error\":",
	    offset);
	render_string(e->list, why, strlen(why));
	render_text(e->list, "}}");
}

/* ---- patterns ----------------------------------------------------------- */

static int
is_word(int c)
{
	return (isascii(c) && (isalnum(c) || c == '_' || c == '-'));
}

static int
match_key(const char *s)
{
	if (*s == '\0')
		return (0);
	for (; *s != '\0'; s++)
		if (!is_word((unsigned char)*s))
			return (0);
	return (1);
}

static int
match_job_type(const char *s)
{
	const char *p = s;

	while (is_word((unsigned char)*p))
		p++;
	if (p == s)
		return (0);
	if (*p == '\0')
		return (1);
	if (*p++ != '@' || *p == '\0')
		return (0);
	for (; *p != '\0'; p++)
		if (!is_word((unsigned char)*p) && strchr(".@:", *p) == NULL)
			return (0);
	return (1);
}

/* ---- values ------------------------------------------------------------- */

/* Characters of UTF-8. */
static size_t
count_chars(const uint8_t *s, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		n += (s[i] & 0xc0) != 0x80;
	return (n);
}

/* Characters that are left of valid JSON once its white space is gone. */
static size_t
count_compact(const uint8_t *s, size_t len)
{
	size_t i, n = 0;
	int in = 0;

	for (i = 0; i < len; i++) {
		if (in && s[i] == '\\') {
			n += 2; /* what is escaped is one ASCII byte */
			i++;
			continue;
		}
		if (s[i] == '"')
			in = !in;
		if (!in && strchr(" \t\r\n", s[i]) != NULL)
			continue;
		n += (s[i] & 0xc0) != 0x80;
	}
	return (n);
}

/* Elements of a valid JSON array: counted, since a table of them is large. */
static size_t
count_items(const uint8_t *s, size_t len)
{
	size_t i, n = 0, depth = 0;
	int in = 0, any = 0;

	for (i = 0; i < len; i++) {
		if (in && s[i] == '\\') {
			i++;
			continue;
		}
		if (s[i] == '"')
			in = !in;
		if (depth == 1 && strchr(" \t\r\n]", s[i]) == NULL)
			any = 1;
		if (in)
			continue;
		if (s[i] == '[' || s[i] == '{')
			depth++;
		else if (s[i] == ']' || s[i] == '}')
			depth--;
		else if (s[i] == ',' && depth == 1)
			n++;
	}
	return (n + (size_t)any);
}

/* White space as Python's str.strip() knows it: bytes of it at s, or 0. */
static size_t
span_blank(const uint8_t *s, size_t len)
{
	unsigned c;

	if (len >= 1 && (s[0] == ' ' || (s[0] >= 0x09 && s[0] <= 0x0d) ||
			    (s[0] >= 0x1c && s[0] <= 0x1f)))
		return (1);
	if (len >= 2 && s[0] == 0xc2 && (s[1] == 0x85 || s[1] == 0xa0))
		return (2);
	if (len < 3 || s[0] < 0xe1 || s[0] > 0xe3)
		return (0);
	c = (s[0] & 0x0fU) << 12 | (s[1] & 0x3fU) << 6 | (s[2] & 0x3fU);
	if (c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
	    c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000)
		return (3);
	return (0);
}

static int
is_blank(const uint8_t *s, size_t len)
{
	size_t n;

	for (; len > 0; s += n, len -= n)
		if ((n = span_blank(s, len)) == 0)
			return (0);
	return (1);
}

/* Digits (with single underscores when us is 1), saturating at 64 bits. */
static size_t
take_digits(const char *s, size_t len, int us, int64_t *v, size_t *digits)
{
	size_t i;

	for (*v = 0, *digits = i = 0; i < len; i++) {
		if (us && s[i] == '_' && i > 0 && s[i - 1] != '_')
			continue;
		if (!isdigit((unsigned char)s[i]))
			break;
		++*digits;
		*v = *v > (INT64_MAX - (s[i] - '0')) / 10
			 ? INT64_MAX
			 : *v * 10 + (s[i] - '0');
	}
	return (i > 0 && s[i - 1] == '_' ? i - 1 : i);
}

/* "5", " +5 ", "5.0", "1_000": as 0.3 reads an integer out of a string. */
enum number
number_of_text(const char *s, size_t len, int64_t *v)
{
	size_t n, digits;
	int minus;

	while (len > 0 && (n = span_blank((const uint8_t *)s, len)) > 0)
		s += n, len -= n;
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		len--;
	if (len > MAX_INT_DIGITS)
		return (NUM_SIZE);
	minus = len > 0 && *s == '-';
	if (len > 0 && (*s == '-' || *s == '+'))
		s++, len--;
	n = take_digits(s, len, 1, v, &digits);
	if (digits == 0)
		return (NUM_PARSE);
	if (n < len && s[n] == '.') {
		size_t zeros = strspn(s + n + 1, "0");

		if (zeros == 0)
			return (NUM_PARSE);
		n += 1 + zeros;
	}
	if (n != len)
		return (NUM_PARSE);
	if (minus)
		*v = -*v;
	return (NUM_OK);
}

/* A number of JSON; s is NUL-terminated. */
static enum number
number_of_json(const char *s, int64_t *v)
{
	size_t n, digits;
	double d;

	n = take_digits(s + (*s == '-'), strlen(s), 0, v, &digits);
	if (s[n + (*s == '-')] == '\0') {
		if (*s == '-')
			*v = -*v;
		return (NUM_OK);
	}
	/* strtod takes minutes for a million digits: nobody needs them. */
	if (strlen(s) > MAX_INT_DIGITS)
		return (NUM_SIZE);
	d = strtod(s, NULL);
	if (isinf(d))
		return (NUM_INFINITE);
	if (d >= 0x1p63 || d < -0x1p63)
		return (NUM_SIZE);
	*v = (int64_t)d;
	return ((double)*v == d ? NUM_OK : NUM_FRACTION);
}

/* ---- bodies ------------------------------------------------------------- */

/* A value as it stands in the body. */
struct value {
	enum json_type type;
	struct section raw;
};

#define AT(m) offsetof(struct submit, m)
static const struct field submit_fields[] = {
	{ "code", FIELD_CODE, 1, 0, 1, MAX_CODE_CHARS, NULL, CODE_PATTERN,
	    AT(code), "The Python code; not blank, and without NUL." },
	{ "input_data", FIELD_INPUT, 0, 0, 0, MAX_INPUT_CHARS, NULL, NULL,
	    AT(input), "What the code finds in /input/data.json." },
	{ "timeout", FIELD_INT, 0, 1, 1, 86400, NULL, NULL, AT(timeout),
	    "Seconds that the code may run; null: those of its job type." },
	{ "startup_timeout", FIELD_INT, 0, 1, 10, 600, NULL, NULL,
	    AT(startup_timeout),
	    "Seconds that the start and packages may take before." },
	{ "job_type", FIELD_STRING, 0, 1, 0, MAX_JOB_TYPE, match_job_type,
	    JOB_TYPE_PATTERN, AT(job_type), JOB_TYPE_ABOUT },
	{ "idempotency_key", FIELD_STRING, 0, 1, 8, MAX_IDEMPOTENCY, match_key,
	    KEY_PATTERN, AT(idempotency_key),
	    "The same key and the same job is the same job, run once." },
	{ "requirements", FIELD_REQUIREMENTS, 0, 1, 0, 50, NULL,
	    REQUIREMENT_PATTERN, AT(requirements),
	    "Packages that it needs: names with extras and versions, no "
	    "options, paths or links." },
};
static const struct field fork_fields[] = {
	{ "code", FIELD_CODE, 1, 0, 1, MAX_CODE_CHARS, NULL, CODE_PATTERN,
	    AT(code), "The code in the place of the other one's." },
	{ "job_type", FIELD_STRING, 0, 1, 0, MAX_JOB_TYPE, match_job_type,
	    JOB_TYPE_PATTERN, AT(job_type), JOB_TYPE_ABOUT },
	{ "timeout", FIELD_INT, 0, 1, 1, 86400, NULL, NULL, AT(timeout),
	    "Seconds that the code may run; null: those of the other one." },
};
/* A rerun says what a fork does, but for the code. */
const struct body body_submit = { "Submit", "A job to be run.", submit_fields,
	nitems(submit_fields) };
const struct body body_fork = { "Fork", "What is to be another than before.",
	fork_fields, nitems(fork_fields) };
const struct body body_rerun = { "Rerun", "What is to be another than before.",
	fork_fields + 1, nitems(fork_fields) - 1 };
#undef AT

/* One body being checked. */
struct check {
	struct submit *out;
	struct errors *e;
	const struct msg_api_setup *conf;
	const struct body *body;
};

static void *
field_at(const struct check *c, const struct field *f)
{
	return ((char *)c->out + f->offset);
}

#define FIELD_ERROR(c, f, ...)                                                 \
	errors_field((c)->e, "body", (f)->name, -1, __VA_ARGS__)

static struct value
value_of(const uint8_t *text, const struct json_part *part)
{
	return ((struct value){ part->type, { text + part->off, part->len } });
}

/* A string unescaped, closed by a NUL; the caller's. */
static char *
text_of(const struct section *raw, size_t *len)
{
	char *s = xmalloc(raw->len + 1);

	*len = json_unescape(s, raw->data, raw->len);
	s[*len] = '\0';
	return (s);
}

/*
 * A string's length in characters against the bounds of its field; index is
 * that of a list's item, or -1.
 */
static int
check_length(struct check *c, const struct field *f, int index, size_t chars,
    int64_t min, int64_t max)
{
	if ((int64_t)chars < min)
		errors_field(c->e, "body", f->name, index, "string_too_short",
		    "String should have at least %" PRId64 " character%s", min,
		    min == 1 ? "" : "s");
	else if ((int64_t)chars > max)
		errors_field(c->e, "body", f->name, index, "string_too_long",
		    "String should have at most %" PRId64 " character%s", max,
		    max == 1 ? "" : "s");
	else
		return (0);
	return (-1);
}

static void
check_code(struct check *c, const struct field *f, const struct value *v)
{
	char *code;
	size_t len;

	if (v->type != JSON_STRING) {
		FIELD_ERROR(
		    c, f, "string_type", "Input should be a valid string");
		return;
	}
	code = text_of(&v->raw, &len);
	if (check_length(c, f, -1, count_chars((uint8_t *)code, len), f->min,
		f->max) == -1)
		;
	else if (is_blank((uint8_t *)code, len))
		FIELD_ERROR(
		    c, f, "value_error", "Value error, Code cannot be empty");
	else if (memchr(code, '\0', len) != NULL)
		/* No interpreter takes it: better said now than by a job. */
		FIELD_ERROR(c, f, "value_error",
		    "Value error, Code cannot contain null characters");
	else if (len > c->conf->max_code)
		FIELD_ERROR(c, f, "value_error",
		    "Value error, Code exceeds the configured max_code_bytes "
		    "(%" PRIu64 " bytes)",
		    c->conf->max_code);
	c->out->code = code;
	c->out->code_len = len;
}

static void
check_input(struct check *c, const struct field *f, const struct value *v)
{
	if (v->type != JSON_OBJECT) {
		FIELD_ERROR(
		    c, f, "dict_type", "Input should be a valid dictionary");
		return;
	}
	if (count_compact(v->raw.data, v->raw.len) > (size_t)f->max)
		FIELD_ERROR(c, f, "value_error",
		    "Value error, input_data exceeds 1MB limit when "
		    "serialized");
	else if (v->raw.len > c->conf->max_input)
		FIELD_ERROR(c, f, "value_error",
		    "Value error, input_data exceeds the configured "
		    "max_input_bytes (%" PRIu64 " bytes)",
		    c->conf->max_input);
	c->out->input = v->raw;
}

static enum number
number_of(const struct value *v, int64_t *n)
{
	enum number ret;
	char *s;
	size_t len;

	if (v->type == JSON_STRING) {
		s = text_of(&v->raw, &len);
		ret = number_of_text(s, len, n);
	} else {
		s = xmalloc(v->raw.len + 1);
		memcpy(s, v->raw.data, v->raw.len);
		s[v->raw.len] = '\0';
		ret = number_of_json(s, n);
	}
	free(s);
	return (ret);
}

static void
check_int(struct check *c, const struct field *f, const struct value *v)
{
	int64_t *n = field_at(c, f);

	if (v->type != JSON_STRING && v->type != JSON_INTEGER &&
	    v->type != JSON_REAL) {
		FIELD_ERROR(
		    c, f, "int_type", "Input should be a valid integer");
		return;
	}
	switch (number_of(v, n)) {
	case NUM_PARSE:
		FIELD_ERROR(c, f, "int_parsing",
		    "Input should be a valid integer, unable to parse string "
		    "as an integer");
		return;
	case NUM_SIZE:
		FIELD_ERROR(c, f, "int_parsing_size",
		    "Unable to parse input string as an integer, exceeded "
		    "maximum size");
		return;
	case NUM_FRACTION:
		FIELD_ERROR(c, f, "int_from_float",
		    "Input should be a valid integer, got a number with a "
		    "fractional part");
		return;
	case NUM_INFINITE:
		FIELD_ERROR(
		    c, f, "finite_number", "Input should be a finite number");
		return;
	case NUM_OK:
		break;
	}
	if (*n < f->min)
		FIELD_ERROR(c, f, "greater_than_equal",
		    "Input should be greater than or equal to %" PRId64,
		    f->min);
	else if (*n > f->max)
		FIELD_ERROR(c, f, "less_than_equal",
		    "Input should be less than or equal to %" PRId64, f->max);
}

static void
check_string(struct check *c, const struct field *f, const struct value *v)
{
	char *s;
	size_t len;

	if (v->type != JSON_STRING) {
		FIELD_ERROR(
		    c, f, "string_type", "Input should be a valid string");
		return;
	}
	s = text_of(&v->raw, &len);
	if (check_length(
		c, f, -1, count_chars((uint8_t *)s, len), f->min, f->max) == -1)
		;
	else if (memchr(s, '\0', len) != NULL || !f->match(s))
		FIELD_ERROR(c, f, "string_pattern_mismatch",
		    "String should match pattern '%s'", f->pattern);
	else /* ASCII by its pattern: characters are bytes */
		memcpy(field_at(c, f), s, len + 1);
	free(s);
}

static void
check_requirement(struct check *c, const struct field *f, int index,
    const struct value *v, struct evbuffer *list)
{
	char *s;
	size_t len;

	if (v->type != JSON_STRING) {
		errors_field(c->e, "body", f->name, index, "string_type",
		    "Input should be a valid string");
		return;
	}
	s = text_of(&v->raw, &len);
	if (check_length(c, f, index, count_chars((uint8_t *)s, len), 0,
		MAX_REQUIREMENT) == -1)
		;
	else if (memchr(s, '\0', len) != NULL || !requirement_valid(s))
		errors_field(c->e, "body", f->name, index, "value_error",
		    "Value error, Invalid package requirement");
	else
		render_string(list, s, len);
	free(s);
}

static void
check_requirements(
    struct check *c, const struct field *f, const struct value *v)
{
	struct json_doc doc;
	struct evbuffer *list;
	struct value item;
	size_t i, n;

	if (v->type != JSON_ARRAY) {
		FIELD_ERROR(c, f, "list_type", "Input should be a valid list");
		return;
	}
	n = count_items(v->raw.data, v->raw.len);
	if (n > (size_t)f->max) {
		FIELD_ERROR(c, f, "too_long",
		    "List should have at most %" PRId64
		    " items after validation, not %zu",
		    f->max, n);
		return;
	}
	/* Scanned once already, so that only memory can fail. */
	if (json_scan(v->raw.data, v->raw.len, JSON_PARTS, &doc) == -1)
		fatal(NULL);
	if (doc.n_parts > 0) {
		if ((list = evbuffer_new()) == NULL)
			fatal(NULL);
		for (i = 0; i < doc.n_parts; i++) {
			item = value_of(v->raw.data, &doc.parts[i]);
			render_text(list, i == 0 ? "[" : ",");
			check_requirement(c, f, (int)i, &item, list);
		}
		render_bytes(list, "]", 2); /* with its NUL */
		c->out->requirements =
		    xstrdup((char *)evbuffer_pullup(list, -1));
		evbuffer_free(list);
	}
	json_doc_free(&doc);
}

static void
check_field(struct check *c, const struct field *f, const struct value *v)
{
	if (f->nullable && v->type == JSON_NULL)
		return;
	switch (f->kind) {
	case FIELD_CODE:
		check_code(c, f, v);
		break;
	case FIELD_INPUT:
		check_input(c, f, v);
		break;
	case FIELD_INT:
		check_int(c, f, v);
		break;
	case FIELD_STRING:
		check_string(c, f, v);
		break;
	case FIELD_REQUIREMENTS:
		check_requirements(c, f, v);
		break;
	}
}

/* Every field in its order, then what no field is. */
static void
check_fields(struct check *c, const uint8_t *text, const struct json_doc *doc)
{
	const struct json_part *part;
	struct value v;
	size_t i, k;

	for (i = 0; i < c->body->n_fields; i++) {
		if ((part = json_find(doc, c->body->fields[i].name)) != NULL) {
			v = value_of(text, part);
			check_field(c, &c->body->fields[i], &v);
		} else if (c->body->fields[i].required)
			FIELD_ERROR(c, &c->body->fields[i], "missing",
			    "Field required");
	}
	for (k = 0; k < doc->n_parts; k++) {
		part = &doc->parts[k];
		for (i = 0; i < c->body->n_fields; i++)
			if (strlen(c->body->fields[i].name) == part->name_len &&
			    memcmp(c->body->fields[i].name, part->name,
				part->name_len) == 0)
				break;
		if (i == c->body->n_fields)
			errors_unknown(c->e, part->name, part->name_len);
	}
}

#define BOM "\xef\xbb\xbf"

static void
check_body(struct check *c, const struct section *body, int json)
{
	static const char none[] = "{}";
	struct errors *e = c->e;
	struct json_doc doc;
	size_t skip = 0;

	memset(c->out, 0, sizeof(*c->out));
	c->out->input.data = (const uint8_t *)none;
	c->out->input.len = sizeof(none) - 1;
	if (body->len == 0) {
		errors_whole(e, "body", "missing", "Field required");
		return;
	}
	if (body->len >= 3 && memcmp(body->data, BOM, 3) == 0)
		skip = 3;
	memset(&doc, 0, sizeof(doc));
	if (json && json_scan(body->data + skip, body->len - skip, JSON_PARTS,
			&doc) == -1) {
		if (doc.error == JSON_MEMORY)
			fatal(NULL);
		errors_json(
		    e, skip + doc.error_off, json_error_text(doc.error));
	} else if (!json || doc.type != JSON_OBJECT)
		errors_whole(e, "body", "model_attributes_type",
		    "Input should be a valid dictionary or object to extract "
		    "fields from");
	else
		check_fields(c, body->data + skip, &doc);
	json_doc_free(&doc);
}

/*
 * Checks a body of POST /execute. json: its Content-Type says so. out is for
 * submit_free in any case, and complete when no error was added; its input
 * points into the body.
 */
void
submit_check(struct submit *out, const struct section *body, int json,
    const struct msg_api_setup *conf, struct errors *e)
{
	struct check c = { out, e, conf, &body_submit };

	check_body(&c, body, json);
}

void
rerun_check(struct submit *out, int fork, const struct section *body, int json,
    const struct msg_api_setup *conf, struct errors *e)
{
	struct check c = { out, e, conf, fork ? &body_fork : &body_rerun };

	check_body(&c, body, json);
}

int
text_integer(const char *text, int64_t *v, struct errors *e, const char *where,
    const char *field)
{
	switch (number_of_text(text, strlen(text), v)) {
	case NUM_OK:
		return (0);
	case NUM_SIZE:
		errors_field(e, where, field, -1, "int_parsing_size",
		    "Unable to parse input string as an integer, exceeded "
		    "maximum size");
		break;
	default:
		errors_field(e, where, field, -1, "int_parsing",
		    "Input should be a valid integer, unable to parse string "
		    "as an integer");
		break;
	}
	return (-1);
}

void
submit_free(struct submit *s)
{
	free(s->code);
	free(s->requirements);
	s->code = s->requirements = NULL;
}

int64_t
field_max(const struct field *f, const struct msg_api_setup *conf)
{
	uint64_t max = (uint64_t)f->max;

	if (f->kind == FIELD_CODE) /* characters are at most its bytes */
		max = conf->max_code;
	else if (f->kind == FIELD_INPUT)
		max = conf->max_input;
	else if (f->offset == offsetof(struct submit, timeout))
		max = conf->max_timeout;
	else if (f->offset == offsetof(struct submit, startup_timeout))
		max = conf->max_startup_timeout;
	return (max < (uint64_t)f->max ? (int64_t)max : f->max);
}

/*
 * A well-formed body may still ask for more than this takod gives: the text
 * that says so (in buf), or NULL.
 */
const char *
submit_ceiling(const struct submit *s, const struct msg_api_setup *conf,
    char *buf, size_t len)
{
	const char *what = NULL;
	uint64_t max = 0;

	if (s->timeout > (int64_t)conf->max_timeout) {
		what = "timeout";
		max = conf->max_timeout;
	} else if (s->startup_timeout > (int64_t)conf->max_startup_timeout) {
		what = "startup_timeout";
		max = conf->max_startup_timeout;
	} else
		return (NULL);
	snprintf(buf, len,
	    "%s must be less than or equal to the configured max_%s "
	    "(%" PRIu64 " seconds)",
	    what, what, max);
	return (buf);
}
