/*
 * render.c: JSON out of what the parent answers: records in their views, job
 * status, health, pool figures. Runs in tako-api. The texts of a job are
 * hostile: they are escaped here, whatever the worker made of them before,
 * and raw JSON of a job goes in only after it was scanned.
 *
 * Everything is appended to an evbuffer. No memory is fatal: the front holds
 * nothing that matters and is back at once.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "differ.h"
#include "json.h"
#include "artifact_name.h"
#include "log.h"
#include "tako-api.h"
#include "util.h"

static const char hex_digits[] = "0123456789abcdef";
static const char fffd[] = "\xef\xbf\xbd";

/* ---- writing ------------------------------------------------------------ */

void
render_bytes(struct evbuffer *out, const void *data, size_t len)
{
	if (evbuffer_add(out, data, len) == -1)
		fatal(NULL);
}

void
render_text(struct evbuffer *out, const char *s)
{
	render_bytes(out, s, strlen(s));
}

void
render_printf(struct evbuffer *out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = evbuffer_add_vprintf(out, fmt, ap);
	va_end(ap);
	if (n < 0)
		fatal(NULL);
}

/* What stands between the quotes is collected, so that the buffer gets it in
 * pieces of some size however often a byte has to be escaped. */
struct stage {
	struct evbuffer *out;
	size_t len;
	char buf[4096];
};

static void
stage_flush(struct stage *st)
{
	render_bytes(st->out, st->buf, st->len);
	st->len = 0;
}

static void
stage_put(struct stage *st, const void *data, size_t len)
{
	if (len > sizeof(st->buf) - st->len) {
		stage_flush(st);
		if (len > sizeof(st->buf)) {
			render_bytes(st->out, data, len);
			return;
		}
	}
	memcpy(st->buf + st->len, data, len);
	st->len += len;
}

static void
stage_escape(struct stage *st, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	char esc[6] = { '\\', 'u', '0', '0' };
	const char *p;

	if (c != '\0' && (p = strchr(from, c)) != NULL) {
		esc[1] = to[p - from];
		stage_put(st, esc, 2);
		return;
	}
	esc[4] = hex_digits[c >> 4];
	esc[5] = hex_digits[c & 15];
	stage_put(st, esc, 6);
}

/* Well-formed UTF-8 without NUL. */
static void
stage_utf8(struct stage *st, const uint8_t *s, size_t len)
{
	size_t i, start = 0;

	for (i = 0; i < len; i++) {
		if (s[i] >= 0x20 && s[i] != '"' && s[i] != '\\')
			continue;
		stage_put(st, s + start, i - start);
		stage_escape(st, s[i]);
		start = i + 1;
	}
	stage_put(st, s + start, len - start);
}

/* A JSON string of any bytes: what is no UTF-8, and NUL, becomes U+FFFD. */
void
render_string(struct evbuffer *out, const void *data, size_t len)
{
	const uint8_t *s = data;
	struct stage st;
	size_t n;

	st.out = out;
	st.len = 0;
	stage_put(&st, "\"", 1);
	while (len > 0) {
		n = utf8_span(s, len);
		stage_utf8(&st, s, n);
		s += n;
		len -= n;
		if (len > 0) {
			stage_put(&st, fffd, sizeof(fffd) - 1);
			s++;
			len--;
		}
	}
	stage_put(&st, "\"", 1);
	stage_flush(&st);
}

/* ,"name": -- without the comma for the first member of an object. */
void
render_name(struct evbuffer *out, const char *name)
{
	const char *sep = *name == '{' ? "{" : ",";

	render_printf(out, "%s\"%s\":", sep, *name == '{' ? name + 1 : name);
}

/* A member that is a string, or null when s is NULL. */
static void
put_str(struct evbuffer *out, const char *name, const char *s)
{
	render_name(out, name);
	if (s == NULL)
		render_text(out, "null");
	else
		render_string(out, s, strlen(s));
}

/* A number, or null when it is negative (unknown). */
static void
put_num(struct evbuffer *out, const char *name, int64_t v)
{
	render_name(out, name);
	if (v < 0)
		render_text(out, "null");
	else
		render_printf(out, "%" PRId64, v);
}

static void
put_bool(struct evbuffer *out, const char *name, uint64_t v)
{
	render_name(out, name);
	render_text(out, v ? "true" : "false");
}

/* Microseconds as seconds: at least one decimal, no trailing zeros. */
static void
put_seconds(struct evbuffer *out, const char *name, int64_t us)
{
	char buf[32];
	size_t n;

	n = (size_t)snprintf(buf, sizeof(buf), "%" PRId64 ".%06d", us / 1000000,
	    (int)(us % 1000000));
	while (buf[n - 1] == '0' && buf[n - 2] != '.')
		n--;
	render_name(out, name);
	render_bytes(out, buf, n);
}

static void
put_time(struct evbuffer *out, const char *name, int64_t us)
{
	char buf[40];

	put_str(out, name, us <= 0 ? NULL : time_iso(buf, sizeof(buf), us));
}

static void
put_hash(struct evbuffer *out, const char *name, const uint8_t *hash)
{
	char hex[2 * TAKO_SHA256 + 1];

	put_str(out, name, hex_encode(hex, hash, TAKO_SHA256));
}

/* ---- the sections that come with a record ------------------------------- */

/*
 * Cuts the memfd of a record into its sections. -1 when the lengths are not
 * those of the descriptor.
 */
int
record_split(struct record *rec, struct blob *all)
{
	const struct msg_rep_record *m = &rec->m;
	const uint64_t lens[] = { m->stdout_len, m->stderr_len, m->output_len,
		m->artifacts_len, m->extras_len, m->payload ? m->code_len : 0,
		m->payload ? m->input_len : 0, m->requirements_len };
	struct section *const parts[] = { &rec->out, &rec->err, &rec->output,
		&rec->artifacts, &rec->extras, &rec->code, &rec->input,
		&rec->requirements };
	const uint8_t *p = blob_data(all);
	uint64_t left = blob_len(all);
	size_t i;

	for (i = 0; i < nitems(lens); i++) {
		if (lens[i] > left)
			return (-1);
		parts[i]->data = p;
		parts[i]->len = lens[i];
		p += lens[i];
		left -= lens[i];
	}
	return (left == 0 ? 0 : -1);
}

int
json_valid(const struct section *s)
{
	struct json_doc doc;
	int ok = json_scan(s->data, s->len, 0, &doc) == 0;

	json_doc_free(&doc);
	return (ok);
}

/* Raw JSON, or null when there is none or it is not valid after all. */
static void
put_json(struct evbuffer *out, const char *name, const struct section *s)
{
	render_name(out, name);
	if (s->len == 0 || !json_valid(s))
		render_text(out, "null");
	else
		render_bytes(out, s->data, s->len);
}

static uint64_t
get_le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return (v);
}

/*
 * The artifact list as takod/job.h lays it out: for each u64 size, digest,
 * u16 number, u16 name length, u8 type length, name, type. What does not fit
 * ends it: the parent made it, so that would be a bug, not an attack.
 */
#define ARTIFACT_HEAD (8 + TAKO_SHA256 + 2 + 2 + 1)
static void
put_artifacts(struct evbuffer *out, const struct section *list)
{
	const uint8_t *p = list->data;
	size_t left = list->len, name_len, type_len, n;
	char shown[ARTIFACT_SHOWN_MAX];
	const char *open = "{name";

	render_text(out, ",\"artifacts\":[");
	while (left >= ARTIFACT_HEAD) {
		name_len = (size_t)get_le(p + 10 + TAKO_SHA256, 2);
		type_len = p[12 + TAKO_SHA256];
		if (name_len + type_len > left - ARTIFACT_HEAD)
			break;
		if (p != list->data)
			render_text(out, ",");
		render_name(out, open);
		n = artifact_name_show(shown, p + ARTIFACT_HEAD, name_len);
		render_string(out, shown, n);
		put_num(out, "size_bytes", (int64_t)get_le(p, 8));
		put_hash(out, "sha256", p + 8);
		render_name(out, "content_type");
		if (type_len == 0)
			render_text(out, "null");
		else
			render_string(
			    out, p + ARTIFACT_HEAD + name_len, type_len);
		render_text(out, "}");
		p += ARTIFACT_HEAD + name_len + type_len;
		left -= ARTIFACT_HEAD + name_len + type_len;
	}
	render_text(out, "]");
	if (left != 0)
		log_warnx("record: the artifact list ends early");
}

/* ---- records ------------------------------------------------------------ */

static int64_t
duration_us(const struct msg_rep_record *m)
{
	if (m->started_at == 0 || m->ended_at < m->started_at)
		return (-1);
	return (m->ended_at - m->started_at);
}

static int64_t
duration_ms(const struct msg_rep_record *m)
{
	int64_t us = duration_us(m);

	return (us < 0 ? -1 : us / 1000);
}

/* -1 is a code of its own (nothing ran); before the end there is none. */
static void
put_exit_code(struct evbuffer *out, const struct msg_rep_record *m)
{
	render_name(out, "exit_code");
	if (job_status_terminal((enum job_status)m->status))
		render_printf(out, "%" PRId64, m->exit_code);
	else
		render_text(out, "null");
}

static void
put_error(struct evbuffer *out, const struct msg_rep_record *m)
{
	render_name(out, "error");
	if (m->error == JERR_NONE) {
		render_text(out, "null");
		return;
	}
	put_str(out, "{type", job_error_name((enum job_error)m->error));
	put_str(out, "message", m->error_message);
	put_str(out, "phase", job_phase_name((enum job_phase)m->error_phase));
	render_text(out, "}");
}

static void
put_timing(struct evbuffer *out, const struct msg_rep_record *m)
{
	render_name(out, "timing");
	if (m->startup_ms < 0 && m->dependencies_ms < 0 &&
	    m->execution_ms < 0 && m->total_ms < 0 &&
	    m->phase_at_exit == PHASE_NONE) {
		render_text(out, "null");
		return;
	}
	put_num(out, "{startup_ms", m->startup_ms);
	put_num(out, "dep_install_ms", m->dependencies_ms);
	put_num(out, "execution_ms", m->execution_ms);
	put_num(out, "total_ms", m->total_ms);
	put_str(out, "phase_at_exit",
	    job_phase_name((enum job_phase)m->phase_at_exit));
	render_text(out, "}");
}

static void
put_usage(struct evbuffer *out, const struct msg_rep_record *m)
{
	render_name(out, "resource_usage");
	if (m->max_rss_kb < 0 && m->cpu_ms < 0 && m->wall_ms < 0) {
		render_text(out, "null");
		return;
	}
	render_name(out, "{max_rss_mb");
	if (m->max_rss_kb < 0)
		render_text(out, "null");
	else
		render_printf(out, "%" PRId64 ".%02d", m->max_rss_kb / 1024,
		    (int)(m->max_rss_kb % 1024 * 100 / 1024));
	put_num(out, "cpu_time_ms", m->cpu_ms);
	put_num(out, "wall_time_ms", m->wall_ms);
	render_text(out, "}");
}

static void
put_input(struct evbuffer *out, const char *name, uint64_t size,
    const uint8_t *hash, const char *type)
{
	put_str(out, "{name", name);
	put_num(out, "size_bytes", (int64_t)size);
	put_hash(out, "sha256", hash);
	put_str(out, "content_type", type);
	render_text(out, "}");
}

/* takod's own object: what the parent added, and what else there is. */
static void
put_extras(struct evbuffer *out, const struct record *rec)
{
	const struct msg_rep_record *m = &rec->m;
	const struct section *e = &rec->extras;
	struct json_doc doc;
	size_t i;

	memset(&doc, 0, sizeof(doc));
	if (e->len > 0)
		json_scan(e->data, e->len, JSON_PARTS, &doc);
	render_name(out, "takod");
	put_str(out, "{correlation_id",
	    *m->correlation_id == '\0' ? NULL : m->correlation_id);
	put_str(out, "key", *m->key_name == '\0' ? NULL : m->key_name);
	put_num(out, "timeout", (int64_t)m->timeout);
	put_num(out, "startup_timeout", (int64_t)m->startup_timeout);
	if (doc.type != JSON_OBJECT || doc.error != JSON_OK ||
	    json_find(&doc, "attempt") == NULL)
		put_num(out, "attempt", (int64_t)m->attempt);
	if (doc.type == JSON_OBJECT && doc.error == JSON_OK)
		for (i = 0; i < doc.n_parts; i++) {
			render_text(out, ",");
			render_string(
			    out, doc.parts[i].name, doc.parts[i].name_len);
			render_text(out, ":");
			render_bytes(
			    out, e->data + doc.parts[i].off, doc.parts[i].len);
		}
	render_text(out, "}");
	json_doc_free(&doc);
}

static void
put_full(struct evbuffer *out, const struct record *rec)
{
	const struct msg_rep_record *m = &rec->m;

	put_str(out, "job_ref", m->job_version);
	put_artifacts(out, &rec->artifacts);
	render_text(out, ",\"input_artifacts\":[");
	put_input(out, "_code.py", m->code_len, m->code_hash, "text/x-python");
	render_text(out, ",");
	put_input(out, "_input.json", m->input_len, m->input_hash,
	    "application/json");
	render_text(out, "]");
	put_usage(out, m);
	put_hash(out, "code_hash", m->code_hash);
	put_hash(out, "input_hash", m->input_hash);
	put_str(out, "parent_execution_id",
	    *m->parent_id == '\0' ? NULL : m->parent_id);
	put_str(out, "relationship",
	    relationship_name((enum relationship)m->relationship));
	put_bool(out, "stdout_truncated", m->stdout_truncated);
	put_bool(out, "stderr_truncated", m->stderr_truncated);
	put_str(out, "idempotency_key",
	    *m->idempotency_key == '\0' ? NULL : m->idempotency_key);
	put_extras(out, rec);
}

/* The record, slim or full. */
void
render_record(struct evbuffer *out, const struct record *rec, int full)
{
	const struct msg_rep_record *m = &rec->m;

	put_str(out, "{execution_id", m->job_id);
	put_str(out, "status", job_status_name((enum job_status)m->status));
	put_str(out, "job_type", m->job_type);
	put_str(out, "job_version", m->job_version);
	put_time(out, "created_at", m->created_at);
	put_time(out, "started_at", m->started_at);
	put_time(out, "ended_at", m->ended_at);
	put_num(out, "duration_ms", duration_ms(m));
	put_exit_code(out, m);
	render_name(out, "stdout");
	render_string(out, rec->out.data, rec->out.len);
	render_name(out, "stderr");
	render_string(out, rec->err.data, rec->err.len);
	put_json(out, "output", &rec->output);
	put_error(out, m);
	put_timing(out, m);
	put_str(out, "runtime", runtime_name((enum runtime)m->runtime));
	if (full)
		put_full(out, rec);
	render_text(out, "}");
}

/* The answer of /execute. */
void
render_execute(struct evbuffer *out, const struct record *rec)
{
	const struct msg_rep_record *m = &rec->m;
	int64_t us = duration_us(m);

	put_bool(out, "{success", m->status == JOB_SUCCEEDED);
	put_json(out, "output", &rec->output);
	put_seconds(out, "execution_time", us < 0 ? 0 : us);
	render_name(out, "stdout");
	render_string(out, rec->out.data, rec->out.len);
	render_name(out, "stderr");
	render_string(out, rec->err.data, rec->err.len);
	put_exit_code(out, m);
	put_str(out, "error", m->error == JERR_NONE ? NULL : m->error_message);
	put_str(out, "job_type", m->job_type);
	put_str(out, "execution_id", m->job_id);
	put_str(out, "runtime", runtime_name((enum runtime)m->runtime));
	render_text(out, "}");
}

/* GET /jobs/{id}. */
void
render_status(struct evbuffer *out, const struct msg_rep_record *m)
{
	put_str(out, "{job_id", m->job_id);
	/* A waiting job is pending here and queued in its record, as in 0.3. */
	put_str(out, "status",
	    m->status == JOB_QUEUED
		? "pending"
		: job_status_name((enum job_status)m->status));
	put_time(out, "created_at", m->created_at);
	put_time(out, "started_at", m->started_at);
	put_num(out, "duration_ms", duration_ms(m));
	put_num(out, "queue_position",
	    m->queue_position == 0 ? -1 : (int64_t)m->queue_position);
	render_text(out, "}");
}

/* ---- the daemon --------------------------------------------------------- */

static void
put_queue(struct evbuffer *out, const struct msg_rep_stats *m)
{
	put_num(out, "{pending", (int64_t)m->pending);
	put_num(out, "running", (int64_t)m->running);
	put_num(out, "max_workers", (int64_t)m->max_workers);
	put_num(out, "max_queue_size", (int64_t)m->max_queue);
}

void
render_pool(struct evbuffer *out, const struct msg_rep_stats *m)
{
	put_queue(out, m);
	render_name(out, "takod");
	put_num(out, "{slots_ready", (int64_t)m->slots_ready);
	put_num(out, "slots_starting", (int64_t)m->slots_starting);
	put_num(out, "slots_wanted", (int64_t)m->slots_wanted);
	put_num(out, "warm_pool_size", (int64_t)m->warm_pool_size);
	put_num(out, "jobs_warm", (int64_t)m->jobs_warm);
	put_num(out, "jobs_cold", (int64_t)m->jobs_cold);
	put_num(out, "tenants_waiting", (int64_t)m->tenants_waiting);
	put_str(out, "node", m->node);
	put_num(out, "nodes", (int64_t)m->nodes);
	put_num(out, "nodes_running", (int64_t)m->nodes_running);
	put_num(out, "nodes_max_workers", (int64_t)m->nodes_workers);
	render_text(out, "}}");
}

void
render_health(
    struct evbuffer *out, const struct msg_rep_stats *m, const char *version)
{
	static const char *const breaker[] = { "closed", "open", "half_open" };
	int healthy = m->engine_up && m->store_up && m->breaker != 1;

	put_str(out, "{status", healthy ? "healthy" : "degraded");
	put_bool(out, "docker_available", m->engine_up);
	put_bool(out, "gvisor_available", m->gvisor);
	render_name(out, "circuit_breaker");
	put_str(out, "{state", breaker[m->breaker]);
	put_num(out, "failure_count", (int64_t)m->failures);
	put_num(out, "success_count", (int64_t)m->successes);
	if (m->last_failure == 0)
		put_str(out, "last_failure", NULL);
	else
		put_seconds(out, "last_failure", m->last_failure);
	render_text(out, "}");
	put_str(out, "version", version);
	put_bool(out, "production_mode", m->production_mode);
	render_name(out, "queue_stats");
	put_queue(out, m);
	render_text(out, "}");
	render_name(out, "takod");
	put_str(out, "{engine", m->engine);
	put_str(out, "store", m->store);
	put_bool(out, "store_available", m->store_up);
	put_str(out, "runtime", *m->runtime == '\0' ? NULL : m->runtime);
	put_bool(out, "fallback", m->fallback);
	render_text(out, "}}");
}

/* ---- two records --------------------------------------------------------- */

/* A diff must not hold the loop: all texts of one together take so long. */
#define DIFF_US 80000

static void
put_side(struct evbuffer *out, const char *name, const struct differ *d, int i)
{
	if (d->kind == DIFFER_TEXT)
		put_str(out, name, d->text[i]);
	else if (d->kind == DIFFER_KNOWN)
		put_num(out, name, d->number[i]);
	else {
		render_name(out, name);
		render_printf(out, "%" PRId64, d->number[i]);
	}
}

/* "outcome" or "timing": each member in which they differ. */
static void
put_differ(struct evbuffer *out, const char *name, const struct differ *d,
    size_t n, int timing)
{
	const char *sep = "{";
	size_t i;

	render_name(out, name);
	for (i = 0; i < n; i++) {
		if (d[i].timing != timing)
			continue;
		render_printf(out, "%s\"%s\":", sep, d[i].name);
		sep = ",";
		put_side(out, "{a", &d[i], 0);
		put_side(out, "b", &d[i], 1);
		if (timing && d[i].number[0] >= 0 && d[i].number[1] >= 0)
			render_printf(out, ",\"change\":%" PRId64,
			    d[i].number[1] - d[i].number[0]);
		render_text(out, "}");
	}
	render_text(out, *sep == '{' ? "{}" : "}");
}

/* JSON is compared with a line for each value, if it can be. */
static int
put_diff(struct evbuffer *out, const char *name, const struct section *a,
    const struct section *b, int json, int64_t until)
{
	struct evbuffer *diff = evbuffer_new();
	struct diff_text ta = { "a", a->data, a->len },
			 tb = { "b", b->data, b->len };
	uint8_t *ja = NULL, *jb = NULL;
	struct diff_count count;
	enum diff_result result;
	size_t na, nb;

	if (diff == NULL)
		fatal(NULL);
	if (json && a->len > 0 && b->len > 0 && json_valid(a) &&
	    json_valid(b) && (ja = diff_json(a->data, a->len, &na)) != NULL &&
	    (jb = diff_json(b->data, b->len, &nb)) != NULL) {
		ta.data = ja;
		ta.len = na;
		tb.data = jb;
		tb.len = nb;
	}
	result = diff_unified(diff, &ta, &tb, until, &count);
	free(ja);
	free(jb);
	render_name(out, name);
	put_bool(out, "{identical", result == DIFF_SAME);
	render_name(out, "diff");
	if (result == DIFF_DIFFERS)
		render_string(
		    out, evbuffer_pullup(diff, -1), evbuffer_get_length(diff));
	else
		render_text(out, "null");
	evbuffer_free(diff);
	put_num(out, "added", (int64_t)count.added);
	put_num(out, "removed", (int64_t)count.removed);
	put_bool(out, "too_different", result == DIFF_TOO_MUCH);
	put_num(out, "bytes_a", (int64_t)a->len);
	put_num(out, "bytes_b", (int64_t)b->len);
	render_text(out, "}");
	return (result != DIFF_SAME);
}

void
render_diff(
    struct evbuffer *out, const struct record *a, const struct record *b)
{
	int64_t until = time_mono_us() + DIFF_US;
	struct differ list[DIFFER_MAX];
	size_t n_list, i;
	int n = 0;

	put_str(out, "{a", a->m.job_id);
	put_str(out, "b", b->m.job_id);
	n += put_diff(out, "code", &a->code, &b->code, 0, until);
	n += put_diff(out, "input", &a->input, &b->input, 1, until);
	n += put_diff(out, "output", &a->output, &b->output, 1, until);
	n += put_diff(out, "stdout", &a->out, &b->out, 0, until);
	n += put_diff(out, "stderr", &a->err, &b->err, 0, until);
	n_list = differ_list(list, &a->m, &b->m);
	for (i = 0; i < n_list; i++)
		n += !list[i].timing;
	put_differ(out, "outcome", list, n_list, 0);
	put_differ(out, "timing", list, n_list, 1);
	put_bool(out, "identical", n == 0);
	render_text(out, "}");
}
