/*
 * find.c: takoctl executions, logs and diff. Runs in takoctl. What a job
 * wrote goes to a terminal only with its control characters escaped; to a
 * file or a pipe it goes as it is.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <jansson.h>

#include "blob.h"
#include "diff.h"
#include "differ.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

/* Nobody else waits for it: a diff may take a while. */
#define DIFF_US 5000000

enum {
	OPT_TYPE = 256,
	OPT_ERROR,
	OPT_EXIT,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_PARENT,
	OPT_KEY,
	OPT_AFTER
};

static const struct option options[] = { { "limit", required_argument, NULL,
					     'l' },
	{ "query", required_argument, NULL, 'q' },
	{ "status", required_argument, NULL, 't' },
	{ "output", required_argument, NULL, 'o' },
	{ "job-type", required_argument, NULL, OPT_TYPE },
	{ "error-type", required_argument, NULL, OPT_ERROR },
	{ "exit-code", required_argument, NULL, OPT_EXIT },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "parent", required_argument, NULL, OPT_PARENT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "after", required_argument, NULL, OPT_AFTER }, { NULL, 0, NULL, 0 } };

static const char *
take_text(char *dst, size_t size, const char *text, const char *what)
{
	if (!utf8_valid(text, strlen(text)) || strlcpy(dst, text, size) >= size)
		return (what);
	return (NULL);
}

static const char *
take_time(int64_t *us, const char *text)
{
	if (time_parse(text, us) == -1)
		return ("a time is as in 2026-11-26T07:30:00Z, or seconds "
			"since 1970");
	return (NULL);
}

static const char *
take_query(struct msg_ctl_list *m, const char *text)
{
	static char why[128];
	const char *wrong;

	if (!utf8_valid(text, strlen(text)))
		return ("the query is no UTF-8");
	if ((wrong = words_query(m->query, text)) != NULL) {
		snprintf(why, sizeof(why), "no query: %s", wrong);
		return (why);
	}
	return (NULL);
}

/* One flag. NULL, or what is wrong with it. */
static const char *
take_flag(struct msg_ctl_list *m, int ch, const char *arg)
{
	const char *why = NULL;

	switch (ch) {
	case 'l':
		m->limit = (uint64_t)strtonum(arg, 1, 1000, &why);
		return (why);
	case 'q':
		return (take_query(m, arg));
	case 't':
		if ((m->status = job_status_byname(arg)) == -1)
			return ("no such status");
		return (NULL);
	case OPT_TYPE:
		return (take_text(
		    m->job_type, sizeof(m->job_type), arg, "no such job type"));
	case OPT_ERROR:
		if ((m->error = job_error_byname(arg)) == -1)
			return ("no such error type");
		return (NULL);
	case OPT_EXIT:
		m->exit_code = strtonum(arg, -1, 255, &why);
		return (why);
	case OPT_SINCE:
		return (take_time(&m->since, arg));
	case OPT_UNTIL:
		why = take_time(&m->until, arg);
		m->until += m->until == 0; /* 0 is no bound */
		return (why);
	case OPT_PARENT:
		if (!job_id_valid(arg))
			return ("not a job id");
		return (
		    take_text(m->parent_id, sizeof(m->parent_id), arg, "id"));
	case OPT_KEY:
		return (take_text(
		    m->key, sizeof(m->key), arg, "no idempotency key"));
	default:
		m->after = strtonum(arg, 1, INT64_MAX, &why);
		return (why);
	}
}

int
find_filter(const struct command *c, int *argc, char ***argv,
    struct msg_ctl_list *m, const char **output)
{
	const char *why = NULL;
	int ch;

	memset(m, 0, sizeof(*m));
	m->status = m->error = -1;
	m->exit_code = -2;
	m->limit = 20;
	optind = 0;
	while (why == NULL && (ch = getopt_long(*argc, *argv,
				   "+l:q:t:o:", options, NULL)) != -1)
		if (ch == '?')
			return (EX_USAGE);
		else if (ch == 'o' && output == NULL)
			return (ctl_usage(c, NULL));
		else if (ch == 'o')
			*output = optarg;
		else
			why = take_flag(m, ch, optarg);
	*argc -= optind;
	*argv += optind;
	if (why != NULL)
		return (ctl_usage(c, why));
	if (*argc < c->min || *argc > c->max)
		return (ctl_usage(c, NULL));
	return (0);
}

/* ---- executions --------------------------------------------------------- */

static int
listed(const struct msg_frame *f, int fd, void *arg)
{
	struct ctl_record r;
	struct msg_rep_list m;
	const char *why;

	(void)arg;
	if (f->hdr.type == MSG_T_REP_RECORD) {
		if (ctl_record_take(&r, f, fd) == -1)
			return (-1);
		show_record(&r.m, (const char *)blob_data(r.all));
		blob_unref(r.all);
		return (0);
	}
	close_fd(&fd);
	if (f->hdr.type != MSG_T_REP_LIST ||
	    msg_rep_list_read(f, &m, &why) == -1)
		return (-1);
	show_next(&m);
	return (0);
}

int
find_run(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	struct msg_ctl_list m;
	struct msg_ctl_end end;
	struct ctl *ctl;
	int ret;

	if ((ret = find_filter(c, &argc, &argv, &m, NULL)) != 0)
		return (ret);
	if ((ctl = ctl_open(path, &ret)) == NULL)
		return (ret);
	m.view = VIEW_STATUS;
	show_begin(c, json);
	ret = ctl_call(ctl, MSG_T_CTL_LIST, &m, -1, listed, NULL, &end);
	if (ret == EX_OK || end.error != REP_NONE)
		show_end(&end);
	ctl_close(ctl);
	return (ret);
}

/* ---- one record --------------------------------------------------------- */

static int
one_record(const struct msg_frame *f, int fd, void *arg)
{
	struct ctl_record *r = arg;

	if (f->hdr.type != MSG_T_REP_RECORD || r->all != NULL) {
		close_fd(&fd);
		return (-1);
	}
	return (ctl_record_take(r, f, fd));
}

/* Fetches one, all of it; an exit status. */
static int
fetch(struct ctl *ctl, const struct command *c, const char *id,
    struct ctl_record *r)
{
	struct msg_ctl_job m;
	struct msg_ctl_end end;
	int ret;

	memset(&m, 0, sizeof(m));
	memset(r, 0, sizeof(*r));
	m.view = VIEW_PAYLOAD;
	strlcpy(m.job_id, id, sizeof(m.job_id));
	ret = ctl_call(ctl, MSG_T_CTL_JOB, &m, -1, one_record, r, &end);
	if (end.error != REP_NONE)
		fprintf(
		    stderr, "takoctl: %s: %s: %s\n", c->name, id, end.detail);
	return (ret);
}

/* Lines go out one by one, where a terminal is to be spared. */
static void
print_text(FILE *out, const uint8_t *p, size_t len)
{
	char safe[4 * 1024 + 8];
	const uint8_t *nl, *tab;
	size_t n;

	if (!isatty(fileno(out))) {
		fwrite(p, 1, len, out);
		return;
	}
	for (; len > 0; p += n, len -= n) {
		nl = memchr(p, '\n', len);
		n = nl != NULL ? (size_t)(nl - p) : len;
		tab = memchr(p, '\t', n);
		n = tab != NULL ? (size_t)(tab - p) : n;
		n = n > 1000 ? 1000 : n;
		fputs(log_escape(safe, sizeof(safe), p, n), out);
		if (n < len && (p + n == nl || p + n == tab))
			fputc(p[n++], out);
	}
}

/* JSON has no other bytes than UTF-8. */
static json_t *
json_text(const uint8_t *p, size_t len)
{
	char *text = xmalloc(3 * len + 1);
	json_t *o = json_stringn(text, utf8_repair(text, p, len));

	free(text);
	return (o);
}

int
find_logs(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	static const struct option which[] = { { "stdout", no_argument, NULL,
						   'o' },
		{ "stderr", no_argument, NULL, 'e' }, { NULL, 0, NULL, 0 } };
	struct ctl_record r;
	struct ctl *ctl;
	int ch, ret, out = 0, err = 0;
	json_t *o;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "+", which, NULL)) != -1)
		if (ch == 'o')
			out = 1;
		else if (ch == 'e')
			err = 1;
		else
			return (EX_USAGE);
	argc -= optind;
	argv += optind;
	if (argc != 1)
		return (ctl_usage(c, NULL));
	if (!job_id_valid(argv[0]))
		return (ctl_usage(c, "not a job id"));
	if (!out && !err)
		out = err = 1;
	if ((ctl = ctl_open(path, &ret)) == NULL)
		return (ret);
	ret = fetch(ctl, c, argv[0], &r);
	ctl_close(ctl);
	if (ret != EX_OK)
		return (ret);
	if (json) {
		o = json_object();
		if (out)
			json_object_set_new(
			    o, "stdout", json_text(r.out.data, r.out.len));
		if (err)
			json_object_set_new(
			    o, "stderr", json_text(r.err.data, r.err.len));
		json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(o);
	} else {
		if (out)
			print_text(stdout, r.out.data, r.out.len);
		fflush(stdout);
		/* As they were: each where it was printed. */
		if (err)
			print_text(stderr, r.err.data, r.err.len);
	}
	blob_unref(r.all);
	return (EX_OK);
}

/* ---- diff --------------------------------------------------------------- */

/* A text of both records. Where json is, the result goes there. */
static int
diff_text(json_t *json, const char *name, const uint8_t *a, size_t a_len,
    const uint8_t *b, size_t b_len, int is_json)
{
	struct evbuffer *out = evbuffer_new();
	char heading[2][32];
	struct diff_text ta = { heading[0], a, a_len },
			 tb = { heading[1], b, b_len };
	uint8_t *ja = NULL, *jb = NULL;
	struct diff_count count;
	enum diff_result r;
	size_t na, nb;
	json_t *o;

	if (out == NULL)
		fatal(NULL);
	snprintf(heading[0], sizeof(heading[0]), "a/%s", name);
	snprintf(heading[1], sizeof(heading[1]), "b/%s", name);
	if (is_json && a_len > 0 && b_len > 0 &&
	    (ja = diff_json(a, a_len, &na)) != NULL &&
	    (jb = diff_json(b, b_len, &nb)) != NULL) {
		ta.data = ja;
		ta.len = na;
		tb.data = jb;
		tb.len = nb;
	}
	r = diff_unified(out, &ta, &tb, time_mono_us() + DIFF_US, &count);
	a = evbuffer_pullup(out, -1);
	a_len = evbuffer_get_length(out);
	if (json != NULL) {
		o = json_pack("{s:b, s:o, s:I, s:I, s:b}", "identical",
		    r == DIFF_SAME, "diff",
		    r == DIFF_DIFFERS ? json_text(a, a_len) : json_null(),
		    "added", (json_int_t)count.added, "removed",
		    (json_int_t)count.removed, "too_different",
		    r == DIFF_TOO_MUCH);
		json_object_set_new(json, name, o);
	} else if (r == DIFF_DIFFERS)
		print_text(stdout, a, a_len);
	else if (r == DIFF_TOO_MUCH)
		printf("%s: too different, %zu and %zu lines\n", name,
		    count.lines[0], count.lines[1]);
	free(ja);
	free(jb);
	evbuffer_free(out);
	return (r != DIFF_SAME);
}

static json_t *
side_json(const struct differ *d, int i)
{
	if (d->kind == DIFFER_TEXT)
		return (
		    d->text[i] == NULL ? json_null() : json_string(d->text[i]));
	if (d->kind == DIFFER_KNOWN && d->number[i] < 0)
		return (json_null());
	return (json_integer(d->number[i]));
}

static const char *
side_text(char *buf, size_t len, const struct differ *d, int i)
{
	if (d->kind == DIFFER_TEXT)
		return (
		    log_escape(buf, len, d->text[i] == NULL ? "-" : d->text[i],
			d->text[i] == NULL ? 1 : strlen(d->text[i])));
	if (d->kind == DIFFER_KNOWN && d->number[i] < 0)
		return ("-");
	snprintf(buf, len, "%lld", (long long)d->number[i]);
	return (buf);
}

static int
diff_facts(
    json_t *doc, const struct msg_rep_record *a, const struct msg_rep_record *b)
{
	struct differ list[DIFFER_MAX], *d;
	json_t *parts[2] = { json_object(), json_object() };
	char sides[2][4200];
	size_t n, i;
	int outcome = 0;

	n = differ_list(list, a, b);
	for (i = 0; i < n; i++) {
		d = &list[i];
		outcome |= !d->timing;
		json_object_set_new(parts[d->timing], d->name,
		    json_pack("{s:o, s:o}", "a", side_json(d, 0), "b",
			side_json(d, 1)));
		if (doc == NULL)
			printf("%-16s %s -> %s\n", d->name,
			    side_text(sides[0], sizeof(sides[0]), d, 0),
			    side_text(sides[1], sizeof(sides[1]), d, 1));
	}
	if (doc != NULL) {
		json_object_set(doc, "outcome", parts[0]);
		json_object_set(doc, "timing", parts[1]);
	}
	json_decref(parts[0]);
	json_decref(parts[1]);
	return (outcome);
}

int
find_diff(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	struct ctl_record a, b;
	struct ctl *ctl;
	json_t *doc = NULL;
	int ret, n = 0;

	if (argc != 3)
		return (ctl_usage(c, NULL));
	if (!job_id_valid(argv[1]) || !job_id_valid(argv[2]))
		return (ctl_usage(c, "not a job id"));
	if ((ctl = ctl_open(path, &ret)) == NULL)
		return (ret);
	memset(&b, 0, sizeof(b));
	if ((ret = fetch(ctl, c, argv[1], &a)) == EX_OK)
		ret = fetch(ctl, c, argv[2], &b);
	ctl_close(ctl);
	if (ret != EX_OK)
		goto done;
	if (json)
		doc = json_pack("{s:s, s:s}", "a", argv[1], "b", argv[2]);
	n += diff_facts(doc, &a.m, &b.m);
#define DIFF(name, field, is_json)                                             \
	n += diff_text(doc, name, a.field.data, a.field.len, b.field.data,     \
	    b.field.len, is_json)
	DIFF("code", code, 0);
	DIFF("input", input, 1);
	DIFF("output", output, 1);
	DIFF("stdout", out, 0);
	DIFF("stderr", err, 0);
#undef DIFF
	if (json) {
		json_object_set_new(doc, "identical", json_boolean(n == 0));
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(doc);
	}
	ret = n > 0; /* as diff(1) */
done:
	blob_unref(a.all);
	blob_unref(b.all);
	return (ret);
}
