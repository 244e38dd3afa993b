/*
 * policy.c: what the configuration says of tenants, as both stores give it to
 * their SQL: one JSON text, so one statement whatever their number. Runs in
 * the parent.
 */
#include <jansson.h>

#include "store.h"
#include "util.h"

char *
tenant_policies_pack(const struct tenant_policies *p)
{
	const struct tenant_policy *t;
	json_t *list = json_array();
	char *text;

	for (t = p->list; t < p->list + p->n; t++)
		json_array_append_new(list,
		    json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I}",
			"name", t->name, "weight", t->weight, "priority",
			t->priority, "max_queued", (json_int_t)t->max_queued,
			"max_running", (json_int_t)t->max_running, "max_jobs",
			(json_int_t)t->max_jobs, "max_cpu_ms",
			(json_int_t)t->max_cpu_ms, "window_us",
			(json_int_t)p->window_us));
	/* Without some kilobytes there is no going on. */
	if ((text = json_dumps(list, JSON_COMPACT)) == NULL)
		text = xstrdup("[]");
	json_decref(list);
	return (text);
}
