/*
 * url.c: fuzz target of what a target says: escapes, the parameters of every
 * table, times, and the names of artifacts. Beyond not failing: what is decoded
 * is text that means the same when it is escaped again, a query is told of
 * errors or gives values that keep their bounds, and a name can be shown and
 * read back.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "artifact_name.h"
#include "json.h"
#include "tako-api/tako-api.h"
#include "util.h"

/* Escaped, every byte of it: dst holds three times as much, and a NUL. */
static void
escape(char *dst, const char *src, size_t len)
{
	for (*dst = '\0'; len > 0; len--, dst += 3)
		snprintf(dst, 4, "%%%02x", (uint8_t)*src++);
}

static void
check_decode(const char *s, size_t len, int plus)
{
	char *once = xmalloc(len + 1), *again = xmalloc(len + 1);
	char *text = xmalloc(3 * len + 1);
	size_t n;

	if (http_decode(once, len + 1, s, len, plus) == 0) {
		n = strlen(once);
		need(n <= len && utf8_valid(once, n));
		escape(text, once, n);
		need(http_decode(again, len + 1, text, 3 * n, plus) == 0);
		need(strcmp(again, once) == 0);
		/* Not one byte more than there is room for. */
		need(http_decode(again, n, s, len, plus) == -1);
	}
	free(once);
	free(again);
	free(text);
}

static void
check_values(const struct query *q)
{
	need(q->wait == 0 || q->wait == 1);
	need(q->full == 0 || q->full == 1);
	need(q->timeout >= 1 && q->timeout <= 300);
	need(q->list.limit >= 1 && q->list.limit <= 1000);
	need(q->list.offset >= 0 && q->list.offset < INT64_MAX);
	need(q->list.exit_code >= -2 && q->list.exit_code <= 255);
	need(q->list.since >= 0 && q->list.until >= 0 && q->list.after >= 0);
	need(q->list.status >= -1 && q->list.status < JOB_STATUS_MAX);
	need(q->list.error >= -1 && q->list.error < JERR_MAX);
	need(utf8_valid(q->list.query, strlen(q->list.query)));
}

static void
check_query(const struct param *params, const char *target)
{
	struct json_doc doc;
	struct errors e;
	struct query q;
	size_t len;

	errors_init(&e);
	query_check(&q, params, target, &e);
	if (e.n == 0)
		check_values(&q);
	else {
		need(evbuffer_prepend(e.list, "[", 1) == 0);
		need(evbuffer_add(e.list, "]", 1) == 0);
		len = evbuffer_get_length(e.list);
		need(json_scan(evbuffer_pullup(e.list, -1), len, JSON_PARTS,
			 &doc) == 0 &&
		     doc.n_parts == e.n);
		json_doc_free(&doc);
	}
	errors_free(&e);
}

static void
check_time(const char *s)
{
	int64_t us;

	if (time_parse(s, &us) == 0)
		need(us >= 0 && us < INT64_C(4102444800000000));
}

/* Either reading of a name is shown so that it reads as itself again. */
static void
check_name(const char *s, size_t len)
{
	uint8_t name[MAX_ARTIFACT_NAME], other[MAX_ARTIFACT_NAME];
	uint8_t again[MAX_ARTIFACT_NAME], second[MAX_ARTIFACT_NAME];
	char shown[ARTIFACT_SHOWN_MAX];
	size_t name_len, other_len, again_len, second_len, n;

	artifact_name_read(s, len, name, &name_len, other, &other_len);
	need(name_len <= sizeof(name) && other_len <= sizeof(other));
	if (name_len == 0)
		return;
	n = artifact_name_show(shown, name, name_len);
	artifact_name_read(shown, n, again, &again_len, second, &second_len);
	need(again_len == name_len && memcmp(again, name, name_len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct param *const tables[] = { params_result,
		params_list, params_record, params_letters };
	char *s = xmalloc(len + 1);
	size_t i;

	memcpy(s, data, len);
	s[len] = '\0';
	check_decode(s, len, 0);
	check_decode(s, len, 1);
	for (i = 0; i < nitems(tables); i++)
		check_query(tables[i], s);
	check_time(s);
	check_name(s, len);
	free(s);
	return (0);
}
