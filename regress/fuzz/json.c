/*
 * json.c: fuzz target of the JSON scanner. Beyond not failing: what it
 * reports lies within the text, scans again on its own, and unescapes into no
 * more bytes than it has.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "util.h"

static void
check_part(const uint8_t *text, size_t len, const struct json_part *p)
{
	struct json_doc sub;
	char *s;

	need(p->len > 0 && p->off < len && p->len <= len - p->off);
	need(json_scan(text + p->off, p->len, 0, &sub) == 0);
	need(sub.type == p->type && sub.off == 0 && sub.len == p->len);
	json_doc_free(&sub);
	if (p->name != NULL)
		need(p->name[p->name_len] == '\0');
	if (p->type == JSON_STRING) {
		s = xmalloc(p->len);
		need(json_unescape(s, text + p->off, p->len) <= p->len - 2);
		free(s);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t len)
{
	struct json_doc plain, d;
	size_t i;
	int r;

	r = json_scan(text, len, 0, &plain);
	need(json_scan(text, len, JSON_PARTS, &d) == r);
	need(d.error == plain.error && d.error_off <= len);
	need((r == 0) == (d.error == JSON_OK));
	for (i = 0; i < d.n_parts; i++)
		check_part(text, len, &d.parts[i]);
	json_doc_free(&plain);
	json_doc_free(&d);
	if (json_scan(text, len, JSON_FINITE, &d) == 0)
		need(r == 0);
	json_doc_free(&d);
	return (0);
}
