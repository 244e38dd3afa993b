/*
 * record.c: a job's record in memory, and the list of its artifacts as it is
 * stored and sent. Runs in the parent. Allocation failures are returned: the
 * parent refuses a job rather than end.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "job.h"
#include "util.h"

/* An artifact without its name and type: size, digest, number, two lengths. */
#define ARTIFACT_FIXED (8 + TAKO_SHA256 + 2 + 2 + 1)

struct job *
job_new(void)
{
	struct job *job;

	if ((job = calloc(1, sizeof(*job))) == NULL)
		return (NULL);
	job->exit_code = -1;
	job->startup_ms = job->dependencies_ms = job->execution_ms = -1;
	job->total_ms = job->max_rss_kb = job->cpu_ms = job->wall_ms = -1;
	job->oom_kills = -1;
	return (job);
}

void
job_free(struct job *job)
{
	if (job == NULL)
		return;
	job_drop_payload(job);
	blob_unref(job->out);
	blob_unref(job->err);
	blob_unref(job->output);
	blob_unref(job->extras);
	free(job->artifacts);
	free(job->attempts);
	free(job);
}

struct job *
job_lend(const struct job *j)
{
	struct job *copy = xmalloc(sizeof(*copy));

	*copy = *j;
	blob_ref(copy->code);
	blob_ref(copy->input);
	blob_ref(copy->requirements);
	blob_ref(copy->out);
	blob_ref(copy->err);
	blob_ref(copy->output);
	blob_ref(copy->extras);
	copy->artifacts = NULL;
	if (j->n_artifacts > 0) {
		copy->artifacts =
		    xcalloc((size_t)j->n_artifacts, sizeof(*j->artifacts));
		memcpy(copy->artifacts, j->artifacts,
		    (size_t)j->n_artifacts * sizeof(*j->artifacts));
	}
	copy->attempts = NULL;
	if (j->n_attempts > 0) {
		copy->attempts =
		    xcalloc((size_t)j->n_attempts, sizeof(*j->attempts));
		memcpy(copy->attempts, j->attempts,
		    (size_t)j->n_attempts * sizeof(*j->attempts));
	}
	return (copy);
}

void
job_drop_payload(struct job *job)
{
	blob_unref(job->code);
	blob_unref(job->input);
	blob_unref(job->requirements);
	job->code = job->input = job->requirements = NULL;
}

/* ---- attempts ------------------------------------------------------------ */

/* One more, zeroed, at the end; NULL: no memory. */
static struct attempt *
attempt_add(struct job *job)
{
	struct attempt *all;

	all = reallocarray(
	    job->attempts, (size_t)job->n_attempts + 1, sizeof(*all));
	if (all == NULL)
		return (NULL);
	job->attempts = all;
	all += job->n_attempts++;
	memset(all, 0, sizeof(*all));
	return (all);
}

int
attempt_note(struct job *job, int64_t ended_at, enum job_error error,
    const char *place, const char *message)
{
	struct attempt *a;

	if ((a = attempt_add(job)) == NULL)
		return (-1);
	a->number = job->attempt;
	a->started_at = job->started_at;
	a->ended_at = ended_at < a->started_at ? a->started_at : ended_at;
	a->error = error;
	strlcpy(a->place, place, sizeof(a->place));
	strlcpy(a->message, message, sizeof(a->message));
	a->message[utf8_span(a->message, strlen(a->message))] = '\0';
	return (0);
}

const struct attempt *
attempt_present(const struct job *job)
{
	const struct attempt *last;

	if (job->n_attempts == 0)
		return (NULL);
	last = &job->attempts[job->n_attempts - 1];
	return (last->number == job->attempt ? last : NULL);
}

int
attempts_parse(struct job *job, const char *text, size_t len)
{
	json_t *all, *item;
	json_int_t started_at, ended_at;
	const char *error, *place, *message;
	struct attempt *a;
	int number, kind, ret = 0;
	size_t i;

	if (len == 0)
		return (0);
	if ((all = json_loadb(text, len, 0, NULL)) == NULL)
		return (-1);
	json_array_foreach (all, i, item) {
		if (json_unpack(item, "[i, I, I, s, s, s]", &number,
			&started_at, &ended_at, &error, &place,
			&message) == -1 ||
		    (kind = job_error_byname(error)) == -1 ||
		    (a = attempt_add(job)) == NULL) {
			ret = -1;
			break;
		}
		a->number = number;
		a->started_at = started_at;
		a->ended_at = ended_at;
		a->error = (enum job_error)kind;
		strlcpy(a->place, place, sizeof(a->place));
		strlcpy(a->message, message, sizeof(a->message));
	}
	json_decref(all);
	return (ret);
}

/* ---- artifacts ----------------------------------------------------------- */

static uint8_t *
put_le(uint8_t *p, uint64_t v, unsigned n)
{
	for (; n > 0; n--, v >>= 8)
		*p++ = (uint8_t)v;
	return (p);
}

static uint64_t
get_le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return (v);
}

struct blob *
artifacts_pack(const struct artifact *list, int n)
{
	const struct artifact *a;
	uint8_t *buf, *p;
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += ARTIFACT_FIXED + list[i].name_len +
		       strlen(list[i].content_type);
	if ((buf = malloc(len == 0 ? 1 : len)) == NULL)
		return (NULL);
	for (i = 0, p = buf; i < n; i++) {
		a = &list[i];
		p = put_le(p, a->size, 8);
		memcpy(p, a->sha256, TAKO_SHA256);
		p = put_le(p + TAKO_SHA256, (uint64_t)a->number, 2);
		p = put_le(p, a->name_len, 2);
		p = put_le(p, strlen(a->content_type), 1);
		memcpy(p, a->name, a->name_len);
		p += a->name_len;
		memcpy(p, a->content_type, strlen(a->content_type));
		p += strlen(a->content_type);
	}
	return (blob_take(buf, len));
}

int
artifacts_unpack(const void *data, size_t len, struct artifact **list, int *n)
{
	const uint8_t *p = data;
	struct artifact *all = NULL, *more, *a;
	size_t name_len, type_len;
	int count = 0;

	while (len > 0) {
		if (len < ARTIFACT_FIXED || count == MAX_ARTIFACTS)
			goto fail;
		more = reallocarray(all, (size_t)count + 1, sizeof(*all));
		if (more == NULL)
			goto fail;
		all = more;
		a = &all[count];
		memset(a, 0, sizeof(*a));
		a->size = get_le(p, 8);
		memcpy(a->sha256, p + 8, TAKO_SHA256);
		a->number = (int)get_le(p + 8 + TAKO_SHA256, 2);
		name_len = get_le(p + 10 + TAKO_SHA256, 2);
		type_len = p[12 + TAKO_SHA256];
		p += ARTIFACT_FIXED;
		len -= ARTIFACT_FIXED;
		if (name_len > MAX_ARTIFACT_NAME ||
		    type_len > MAX_CONTENT_TYPE || name_len + type_len > len)
			goto fail;
		a->name_len = (uint32_t)name_len;
		memcpy(a->name, p, name_len);
		memcpy(a->content_type, p + name_len, type_len);
		p += name_len + type_len;
		len -= name_len + type_len;
		count++;
	}
	*list = all;
	*n = count;
	return (0);
fail:
	free(all);
	return (-1);
}
