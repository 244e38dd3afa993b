/*
 * differ.c: two records side by side. Runs in tako-api and takoctl; pointers
 * go into the records.
 */
#include <string.h>

#include "differ.h"

static size_t
fill(struct differ *d, const struct msg_rep_record *m, int side)
{
	size_t n = 0;

#define TEXT(label, value)                                                     \
	d[n].name = label;                                                     \
	d[n].kind = DIFFER_TEXT;                                               \
	d[n].timing = 0;                                                       \
	d[n++].text[side] = value
#define NUMBER(label, what, is_timing, value)                                  \
	d[n].name = label;                                                     \
	d[n].kind = what;                                                      \
	d[n].timing = is_timing;                                               \
	d[n++].number[side] = (int64_t)(value)
	TEXT("status", job_status_name((enum job_status)m->status));
	NUMBER("exit_code", DIFFER_NUMBER, 0, m->exit_code);
	TEXT("error_type", job_error_name((enum job_error)m->error));
	TEXT("error_message", m->error == JERR_NONE ? NULL : m->error_message);
	TEXT("phase_at_exit", job_phase_name((enum job_phase)m->phase_at_exit));
	TEXT("job_type", m->job_type);
	TEXT("runtime", runtime_name((enum runtime)m->runtime));
	NUMBER("timeout", DIFFER_NUMBER, 0, m->timeout);
	NUMBER("startup_timeout", DIFFER_NUMBER, 0, m->startup_timeout);
	NUMBER("startup_ms", DIFFER_KNOWN, 1, m->startup_ms);
	NUMBER("dep_install_ms", DIFFER_KNOWN, 1, m->dependencies_ms);
	NUMBER("execution_ms", DIFFER_KNOWN, 1, m->execution_ms);
	NUMBER("total_ms", DIFFER_KNOWN, 1, m->total_ms);
	NUMBER("cpu_time_ms", DIFFER_KNOWN, 1, m->cpu_ms);
	NUMBER("wall_time_ms", DIFFER_KNOWN, 1, m->wall_ms);
	NUMBER("max_rss_kb", DIFFER_KNOWN, 1, m->max_rss_kb);
#undef TEXT
#undef NUMBER
	return (n);
}

static int
equal(const struct differ *d)
{
	if (d->kind != DIFFER_TEXT)
		return (d->number[0] == d->number[1]);
	return (d->text[0] == d->text[1] ||
		(d->text[0] != NULL && d->text[1] != NULL &&
		    strcmp(d->text[0], d->text[1]) == 0));
}

size_t
differ_list(struct differ out[DIFFER_MAX], const struct msg_rep_record *a,
    const struct msg_rep_record *b)
{
	size_t n, i, kept = 0;

	memset(out, 0, DIFFER_MAX * sizeof(*out));
	n = fill(out, a, 0);
	fill(out, b, 1);
	for (i = 0; i < n; i++)
		if (!equal(&out[i]))
			out[kept++] = out[i];
	return (kept);
}
