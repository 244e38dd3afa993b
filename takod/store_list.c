/*
 * store_list.c: lists and searches, as far as both stores do them alike. Runs
 * in the parent. Only the SQL of the table below is ever sent; what a client
 * chose is a parameter.
 *
 * A list goes along one index, from new to old: that of the filter that can
 * be expected to leave the least. What else is asked for is checked row by
 * row, a bounded number of rows at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_list.h"
#include "util.h"

static int
has_few(const struct store_filter *f)
{
	return (f->status == JOB_QUEUED || f->status == JOB_RUNNING);
}

static int
has_status(const struct store_filter *f)
{
	return (f->status >= 0 && !has_few(f));
}

static int
has_type(const struct store_filter *f)
{
	return (f->job_type[0] != '\0');
}

static int
has_error(const struct store_filter *f)
{
	return (f->error > JERR_NONE);
}

static int
has_no_error(const struct store_filter *f)
{
	return (f->error == JERR_NONE);
}

static int
has_exit(const struct store_filter *f)
{
	return (f->exit_code > 1);
}

static int
has_common_exit(const struct store_filter *f)
{
	return (f->exit_code != STORE_ANY_EXIT && f->exit_code <= 1);
}

static int
has_parent(const struct store_filter *f)
{
	return (f->parent_id[0] != '\0');
}

static int
has_key(const struct store_filter *f)
{
	return (f->key[0] != '\0');
}

/*
 * The best index first. What a partial index leaves out is said again: SQLite
 * takes it for nothing else.
 */
static const struct {
	int (*asked)(const struct store_filter *);
	const char *sql;
	const char *index; /* NULL: there is none */
} conditions[] = {
	{ has_key, "idempotency_key = $8 AND idempotency_key <> ''",
	    "jobs_idempotency" },
	{ has_parent, "parent_id = $7 AND parent_id <> ''", "jobs_parent" },
	{ has_few, "status = $3", "jobs_status" },
	{ has_exit, "exit_code = $6 AND exit_code > 1", "jobs_exit" },
	{ has_error, "error = $5 AND error IS NOT NULL", "jobs_error" },
	{ has_type, "job_type = $4", "jobs_type" },
	{ has_status, "status = $3", "jobs_status" },
	{ has_common_exit, "exit_code = $6 AND ended_at > 0", NULL },
	{ has_no_error, "error IS NULL", NULL },
};

void
list_conditions(struct list_sql *l, const struct store_filter *f, int by_place)
{
	size_t i;

	memset(l, 0, sizeof(*l));
	l->index = "jobs_place";
	strlcpy(l->rest, "1 = 1", sizeof(l->rest));
	for (i = 0; i < nitems(conditions); i++) {
		if (!conditions[i].asked(f))
			continue;
		if (!by_place && l->by[0] == '\0' &&
		    conditions[i].index != NULL) {
			l->index = conditions[i].index;
			snprintf(
			    l->by, sizeof(l->by), "%s AND ", conditions[i].sql);
			continue;
		}
		strlcat(l->rest, " AND ", sizeof(l->rest));
		strlcat(l->rest, conditions[i].sql, sizeof(l->rest));
		l->n_rest++;
	}
}

const char *
list_text(const struct store_filter *f, enum list_param p)
{
	switch (p) {
	case P_STATUS:
		return (f->status >= 0
			    ? job_status_name((enum job_status)f->status)
			    : NULL);
	case P_TYPE:
		return (has_type(f) ? f->job_type : NULL);
	case P_ERROR:
		return (has_error(f) ? job_error_name((enum job_error)f->error)
				     : NULL);
	case P_PARENT:
		return (has_parent(f) ? f->parent_id : NULL);
	case P_KEY:
		return (has_key(f) ? f->key : NULL);
	default:
		return (NULL);
	}
}

void
list_range(const struct store_filter *f, int64_t *from, int64_t *below)
{
	*from = f->since * 1024;
	*below = f->until == 0 ? INT64_MAX : f->until * 1024;
	if (f->after > 0 && f->after < *below)
		*below = f->after;
}

int
store_texts_fill(
    struct store_texts *t, const struct index_text text[STORE_TEXTS])
{
	size_t len = 0, off = 0;
	uint8_t *all;
	int i;

	for (i = 0; i < STORE_TEXTS; i++)
		len += t->len[i] = text[i].len;
	if ((all = malloc(len + 1)) == NULL)
		return (-1);
	for (i = 0; i < STORE_TEXTS; i++) {
		if (text[i].len > 0)
			memcpy(all + off, text[i].data, text[i].len);
		off += text[i].len;
	}
	return ((t->texts = blob_take(all, len)) == NULL ? -1 : 0);
}
