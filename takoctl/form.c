/*
 * form.c: records as JSON, as they stand in an archive. Runs in takoctl. The
 * fields are those of REP_RECORD, by the message catalogue: what is added to
 * a record is exported and imported without a word here. Enums go by name.
 */
#include <string.h>

#include "form.h"
#include "util.h"

const struct section_form sections[SECTIONS] = {
	[SEC_STDOUT] = { "stdout", UINT64_C(1) << 30 },
	[SEC_STDERR] = { "stderr", UINT64_C(1) << 30 },
	[SEC_OUTPUT] = { "output.json", UINT64_C(1) << 31 },
	[SEC_ARTIFACTS] = { NULL, 0 },
	[SEC_EXTRAS] = { "takod.json", UINT64_C(1) << 24 },
	[SEC_CODE] = { "code.py", 10485760 },
	[SEC_INPUT] = { "input.json", 104857600 },
	[SEC_REQUIREMENTS] = { "requirements.json", 65536 },
};

/* Fields that are no part of the record: of an answer, or of its memfd. */
static const char *const left_out[] = { "timed_out", "queue_position",
	"key_name", "payload", "stdout_len", "stderr_len", "output_len",
	"artifacts_len", "extras_len", "requirements_len" };

static const char *
status_name(uint64_t v)
{
	return (job_status_name((enum job_status)v));
}

static const char *
error_name(uint64_t v)
{
	return (job_error_name((enum job_error)v));
}

static const char *
phase_name(uint64_t v)
{
	return (job_phase_name((enum job_phase)v));
}

static const char *
kin_name(uint64_t v)
{
	return (relationship_name((enum relationship)v));
}

static const char *
run_name(uint64_t v)
{
	return (runtime_name((enum runtime)v));
}

static const struct {
	const char *field;
	const char *(*name)(uint64_t);
	int (*byname)(const char *);
} enums[] = {
	{ "status", status_name, job_status_byname },
	{ "error", error_name, job_error_byname },
	{ "error_phase", phase_name, job_phase_byname },
	{ "phase_at_exit", phase_name, job_phase_byname },
	{ "relationship", kin_name, relationship_byname },
	{ "runtime", run_name, runtime_byname },
};

static int
is_left_out(const char *field)
{
	size_t i;

	for (i = 0; i < nitems(left_out); i++)
		if (strcmp(left_out[i], field) == 0)
			return (1);
	return (0);
}

json_t *
form_digest(const uint8_t digest[TAKO_SHA256])
{
	char hex[2 * TAKO_SHA256 + 1];

	return (json_string(hex_encode(hex, digest, TAKO_SHA256)));
}

int
form_digest_read(uint8_t digest[TAKO_SHA256], json_t *v)
{
	const char *hex = json_string_value(v);

	return (hex != NULL && strlen(hex) == 2 * TAKO_SHA256
		    ? hex_decode(digest, TAKO_SHA256, hex)
		    : -1);
}

static void
put_number(json_t *o, const char *field, int64_t v)
{
	const char *name;
	size_t i;

	for (i = 0; i < nitems(enums); i++)
		if (strcmp(enums[i].field, field) == 0) {
			name = enums[i].name((uint64_t)v);
			json_object_set_new(o, field,
			    name == NULL ? json_null() : json_string(name));
			return;
		}
	json_object_set_new(o, field, json_integer(v));
}

json_t *
form_record(const struct msg_rep_record *m)
{
	json_t *o = json_object();

#define U(f, min, max)                                                         \
	if (!is_left_out(#f))                                                  \
		put_number(o, #f, (int64_t)m->f);
#define I(f, min, max) put_number(o, #f, m->f);
#define S(f, max)                                                              \
	if (!is_left_out(#f))                                                  \
		json_object_set_new(o, #f, json_string(m->f));
#define B(f, max)
#define D(f, len) json_object_set_new(o, #f, form_digest(m->f));
	MSG_REP_RECORD(U, I, S, B, D)
#undef U
#undef I
#undef S
#undef B
#undef D
	return (o);
}

/* A number in its bounds; a field that is not there is as it is. */
static int
get_number(json_t *o, const char *field, int64_t min, int64_t max, int64_t *v)
{
	json_t *j = json_object_get(o, field);
	size_t i;

	if (j == NULL)
		return (0);
	for (i = 0; i < nitems(enums); i++)
		if (strcmp(enums[i].field, field) == 0) {
			if (json_is_null(j))
				*v = 0;
			else if (!json_is_string(j) ||
				 (*v = enums[i].byname(json_string_value(j))) ==
				     -1)
				return (-1);
			return (0);
		}
	if (!json_is_integer(j))
		return (-1);
	*v = json_integer_value(j);
	return (*v < min || *v > max ? -1 : 0);
}

static int
get_text(json_t *o, const char *field, char *dst, size_t size)
{
	json_t *j = json_object_get(o, field);

	if (j == NULL)
		return (0);
	return (!json_is_string(j) ||
			strlen(json_string_value(j)) != json_string_length(j) ||
			strlcpy(dst, json_string_value(j), size) >= size
		    ? -1
		    : 0);
}

const char *
form_record_read(struct msg_rep_record *m, json_t *o)
{
	int64_t v;

	memset(m, 0, sizeof(*m));
	/* The largest bound of the catalogue is above what JSON has. */
#define BOUND(max) ((uint64_t)(max) > INT64_MAX ? INT64_MAX : (int64_t)(max))
#define U(f, min, max)                                                         \
	v = (int64_t)m->f;                                                     \
	if (!is_left_out(#f) &&                                                \
	    get_number(o, #f, (int64_t)(min), BOUND(max), &v) == -1)           \
		return (#f);                                                   \
	m->f = (uint64_t)v;
#define I(f, min, max)                                                         \
	v = m->f;                                                              \
	if (get_number(o, #f, (int64_t)(min), (int64_t)(max), &v) == -1)       \
		return (#f);                                                   \
	m->f = v;
#define S(f, max)                                                              \
	if (!is_left_out(#f) && get_text(o, #f, m->f, sizeof(m->f)) == -1)     \
		return (#f);
#define B(f, max)
#define D(f, len)                                                              \
	if (json_object_get(o, #f) != NULL &&                                  \
	    form_digest_read(m->f, json_object_get(o, #f)) == -1)              \
		return (#f);
	MSG_REP_RECORD(U, I, S, B, D)
#undef U
#undef I
#undef S
#undef B
#undef D
#undef BOUND
	m->payload = 1;
	return (job_id_valid(m->job_id) ? NULL : "job_id");
}

/* A name is any bytes: as text where it is one, else as hex. */
json_t *
form_artifact(const struct artifact *a)
{
	char hex[2 * MAX_ARTIFACT_NAME + 1];
	int text = utf8_valid(a->name, a->name_len);
	json_t *o;

	o = json_pack("{s:i, s:I, s:o, s:s}", "number", a->number, "size",
	    (json_int_t)a->size, "sha256", form_digest(a->sha256),
	    "content_type", a->content_type);
	if (text)
		json_object_set_new(o, "name",
		    json_stringn((const char *)a->name, a->name_len));
	else
		json_object_set_new(o, "name_hex",
		    json_string(hex_encode(hex, a->name, a->name_len)));
	return (o);
}

int
form_artifact_read(struct artifact *a, json_t *o)
{
	json_t *name = json_object_get(o, "name");
	const char *hex = json_string_value(json_object_get(o, "name_hex"));
	int64_t number = -1, size = -1;

	memset(a, 0, sizeof(*a));
	if (get_number(o, "number", 0, MAX_ARTIFACTS - 1, &number) == -1 ||
	    get_number(o, "size", 0, INT64_C(10737418240), &size) == -1 ||
	    number < 0 || size < 0 ||
	    form_digest_read(a->sha256, json_object_get(o, "sha256")) == -1 ||
	    get_text(o, "content_type", a->content_type,
		sizeof(a->content_type)) == -1)
		return (-1);
	a->number = (int)number;
	a->size = (uint64_t)size;
	if (json_is_string(name) &&
	    json_string_length(name) <= sizeof(a->name)) {
		a->name_len = (uint32_t)json_string_length(name);
		memcpy(a->name, json_string_value(name), a->name_len);
	} else if (name == NULL && hex != NULL && strlen(hex) % 2 == 0 &&
		   strlen(hex) / 2 <= sizeof(a->name)) {
		a->name_len = (uint32_t)strlen(hex) / 2;
		if (hex_decode(a->name, a->name_len, hex) == -1)
			return (-1);
	} else
		return (-1);
	return (a->name_len > 0 && memchr(a->name, '/', a->name_len) == NULL &&
			memchr(a->name, '\0', a->name_len) == NULL
		    ? 0
		    : -1);
}
