/*
 * show.c: what takod answered, as aligned text with units, or as one JSON
 * object. Runs in takoctl. Text that a job or a client chose is escaped
 * (log_escape), so that it cannot drive the terminal.
 */
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "log.h"
#include "takoctl.h"
#include "util.h"

static const struct command *shown;
static int json;
static json_t *doc, *rows;
static unsigned n_rows;
static int n_layers = -1; /* of an answer */

void
show_begin(const struct command *c, int as_json)
{
	shown = c;
	json = as_json;
	n_rows = 0;
	doc = json_object();
	rows = NULL;
	if (json && c->type == MSG_T_CTL_RELOAD) {
		json_object_set_new(doc, "changes", json_array());
		json_object_set_new(doc, "errors", json_array());
	}
	/* What is a list is named as the command is. */
	if (json &&
	    (c->type == MSG_T_CTL_WORKERS || c->type == MSG_T_CTL_NODES ||
		c->type == MSG_T_CTL_LIST || c->type == MSG_T_CTL_TENANTS)) {
		rows = json_array();
		json_object_set_new(
		    doc, c->type == MSG_T_CTL_LIST ? "jobs" : c->name, rows);
	}
}

static const char *
duration(char *buf, size_t len, uint64_t ms)
{
	if (ms < 10000)
		snprintf(buf, len, "%llu ms", (unsigned long long)ms);
	else if (ms < 600000)
		snprintf(buf, len, "%.1f s", (double)ms / 1e3);
	else if (ms < 100 * 3600000ULL)
		snprintf(buf, len, "%llu h %llu min",
		    (unsigned long long)ms / 3600000,
		    (unsigned long long)ms / 60000 % 60);
	else
		snprintf(buf, len, "%llu d", (unsigned long long)ms / 86400000);
	return (buf);
}

static void row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void line(const char *name, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One line, whatever is in it. */
static void
row(const char *fmt, ...)
{
	char text[2304], safe[4608];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	puts(log_escape(safe, sizeof(safe), text, strlen(text)));
}

static void
line(const char *name, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	row("%-14s %s", name, text);
}

static const char *const breakers[] = { "closed", "open", "half_open" };

void
show_stats(const struct msg_rep_stats *m)
{
	if (json) {
		json_object_set_new(doc, "ready", json_boolean(m->ready));
		json_object_set_new(doc, "detail", json_string(m->detail));
		json_object_set_new(doc, "engine",
		    json_pack("{s:s, s:b, s:s, s:b, s:s, s:I}", "name",
			m->engine, "up", (int)m->engine_up, "runtime",
			m->runtime, "fallback", (int)m->fallback, "breaker",
			breakers[m->breaker], "failures",
			(json_int_t)m->failures));
		json_object_set_new(doc, "store",
		    json_pack("{s:s, s:b}", "name", m->store, "up",
			(int)m->store_up));
		json_object_set_new(doc, "queue",
		    json_pack("{s:I, s:I, s:I, s:I, s:I}", "pending",
			(json_int_t)m->pending, "tenants_waiting",
			(json_int_t)m->tenants_waiting, "running",
			(json_int_t)m->running, "max_workers",
			(json_int_t)m->max_workers, "max_queue_size",
			(json_int_t)m->max_queue));
		json_object_set_new(doc, "pool",
		    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "ready",
			(json_int_t)m->slots_ready, "starting",
			(json_int_t)m->slots_starting, "wanted",
			(json_int_t)m->slots_wanted, "warm_pool_size",
			(json_int_t)m->warm_pool_size, "jobs_warm",
			(json_int_t)m->jobs_warm, "jobs_cold",
			(json_int_t)m->jobs_cold));
		return;
	}
	line("state", "%s%s%s", m->ready ? "ready" : "not ready",
	    m->detail[0] ? ": " : "", m->detail);
	line("engine", "%s, %s, breaker %s", m->engine,
	    m->engine_up ? "up" : "away", breakers[m->breaker]);
	line("runtime", "%s%s", m->runtime[0] ? m->runtime : "unknown",
	    m->fallback ? " (PERMISSIVE: gVisor does not work here)" : "");
	line("store", "%s, %s", m->store, m->store_up ? "up" : "away");
	line("jobs", "%llu running of %llu, %llu waiting of %llu",
	    (unsigned long long)m->running, (unsigned long long)m->max_workers,
	    (unsigned long long)m->pending, (unsigned long long)m->max_queue);
	line("slots",
	    "%llu ready, %llu starting, %llu wanted; %llu jobs found one "
	    "ready, %llu waited",
	    (unsigned long long)m->slots_ready,
	    (unsigned long long)m->slots_starting,
	    (unsigned long long)m->slots_wanted,
	    (unsigned long long)m->jobs_warm, (unsigned long long)m->jobs_cold);
}

void
show_daemon(const struct msg_ctl_daemon *m)
{
	static const char *const levels[] = { "debug", "info", "warning",
		"error", "critical" };
	char up[32];

	if (json) {
		json_object_set_new(doc, "daemon",
		    json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s, "
			      "s:I, s:I, s:I}",
			"pid", (json_int_t)m->pid, "version", m->version,
			"instance", m->instance, "config", m->config,
			"data_dir", m->data_dir, "listen", m->listen,
			"uptime_ms", (json_int_t)m->uptime_ms, "draining",
			(int)m->draining, "log_level", levels[m->log_level],
			"jobs_done", (json_int_t)m->jobs_done, "violations",
			(json_int_t)m->violations, "respawns",
			(json_int_t)m->respawns));
		return;
	}
	line("daemon", "takod %s, pid %llu, up %s%s", m->version,
	    (unsigned long long)m->pid, duration(up, sizeof(up), m->uptime_ms),
	    m->draining ? ", draining" : "");
	line("listening", "%s", m->listen);
	line("configuration", "%s", m->config[0] ? m->config : "(defaults)");
	line("data", "%s (instance %s)", m->data_dir, m->instance);
	line("log level", "%s", levels[m->log_level]);
	line("since start", "%llu jobs done, %llu violations, %llu respawns",
	    (unsigned long long)m->jobs_done, (unsigned long long)m->violations,
	    (unsigned long long)m->respawns);
}

void
show_child(const struct msg_ctl_child *m)
{
	char age[32], slot[24];

	if (json) {
		json_array_append_new(rows,
		    json_pack("{s:s, s:I, s:I, s:s, s:I, s:s, s:s, s:s, s:I}",
			"name", m->name, "pid", (json_int_t)m->pid, "uid",
			(json_int_t)m->uid, "state", m->state, "slot",
			(json_int_t)m->slot, "container", m->container,
			"job_type", m->job_type, "job_id", m->job_id, "age_ms",
			(json_int_t)m->age_ms));
		return;
	}
	if (n_rows++ == 0)
		printf("%-12s %8s %10s %-10s %4s %-14s %8s  %s\n", "PROCESS",
		    "PID", "UID", "STATE", "SLOT", "JOB TYPE", "AGE", "JOB");
	snprintf(slot, sizeof(slot), "%lld", (long long)m->slot);
	row("%-12s %8llu %10llu %-10s %4s %-14s %8s  %s", m->name,
	    (unsigned long long)m->pid, (unsigned long long)m->uid, m->state,
	    m->slot >= 0 ? slot : "-", m->job_type[0] ? m->job_type : "-",
	    duration(age, sizeof(age), m->age_ms),
	    m->job_id[0] ? m->job_id : "-");
}

void
show_node(const struct msg_ctl_node *m)
{
	char up[32], seen[32], when[2][33];

	if (json) {
		json_array_append_new(rows,
		    json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:I, "
			      "s:I}",
			"name", m->name, "instance", m->instance, "version",
			m->version, "state", m->state, "self", (int)m->self,
			"started_at",
			time_iso(when[0], sizeof(when[0]), m->started_at),
			"seen_at",
			time_iso(when[1], sizeof(when[1]), m->seen_at),
			"silent_ms", (json_int_t)m->silent_ms, "running",
			(json_int_t)m->running, "max_workers",
			(json_int_t)m->max_workers));
		return;
	}
	if (n_rows++ == 0)
		printf("%-32s %-8s %-8s %14s %14s %7s %7s\n", "NODE", "VERSION",
		    "STATE", "UP", "SEEN BEFORE", "RUNNING", "WORKERS");
	row("%-32s %-8s %-8s %14s %14s %7llu %7llu%s", m->name, m->version,
	    m->state,
	    duration(up, sizeof(up),
		m->seen_at > m->started_at
		    ? (uint64_t)(m->seen_at - m->started_at) / 1000
		    : 0),
	    duration(seen, sizeof(seen), m->silent_ms),
	    (unsigned long long)m->running, (unsigned long long)m->max_workers,
	    m->self ? "  (this one)" : "");
}

static const char *
text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return (s == NULL ? "-" : s);
}

static long long
number_of(const json_t *o, const char *name)
{
	return ((long long)json_integer_value(json_object_get(o, name)));
}

/* "3/10", or without a limit "3". */
static const char *
of(char *buf, size_t len, uint64_t n, uint64_t most)
{
	if (most == 0)
		snprintf(buf, len, "%llu", (unsigned long long)n);
	else
		snprintf(buf, len, "%llu/%llu", (unsigned long long)n,
		    (unsigned long long)most);
	return (buf);
}

void
show_tenant(const struct msg_ctl_tenant *m)
{
	char waiting[48], running[48], jobs[48], cpu[48];

	if (json) {
		json_array_append_new(rows,
		    json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			      "s:I, s:f}",
			"name", m->name, "weight", (json_int_t)m->weight,
			"priority", (json_int_t)m->priority, "waiting",
			(json_int_t)m->waiting, "max_queued",
			(json_int_t)m->max_queued, "running",
			(json_int_t)m->running, "max_running",
			(json_int_t)m->max_running, "used_jobs",
			(json_int_t)m->used_jobs, "jobs_per_window",
			(json_int_t)m->jobs_per_window,
			"cpu_seconds_per_window",
			(json_int_t)m->cpu_seconds_per_window,
			"used_cpu_seconds", (double)m->used_cpu_ms / 1000));
		return;
	}
	if (n_rows++ == 0)
		printf("%-40s %6s %8s %12s %12s %14s %14s\n", "TENANT",
		    "WEIGHT", "PRIORITY", "WAITING", "RUNNING", "JOBS",
		    "CPU SECONDS");
	row("%-40s %6llu %8llu %12s %12s %14s %14s", m->name,
	    (unsigned long long)m->weight, (unsigned long long)m->priority,
	    of(waiting, sizeof(waiting), m->waiting, m->max_queued),
	    of(running, sizeof(running), m->running, m->max_running),
	    of(jobs, sizeof(jobs), m->used_jobs, m->jobs_per_window),
	    of(cpu, sizeof(cpu), m->used_cpu_ms / 1000,
		m->cpu_seconds_per_window));
}

/* ---- records
 * ------------------------------------------------------------------ */

static json_t *
time_json(int64_t us)
{
	char buf[33];

	return (us == 0 ? json_null()
			: json_string(time_iso(buf, sizeof(buf), us)));
}

/* takod's own object of the record: the last of its sections. */
static json_t *
extras_of(const struct msg_rep_record *m, const char *sections)
{
	return (m->extras_len == 0
		    ? NULL
		    : json_loadb(sections + m->stdout_len + m->stderr_len +
				     m->output_len + m->artifacts_len,
			  m->extras_len, 0, NULL));
}

static json_t *
record_json(const struct msg_rep_record *m, const char *sections)
{
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:s?, s:I}",
	    "job_id", m->job_id, "status",
	    job_status_name((enum job_status)m->status), "job_type",
	    m->job_type, "created_at", time_json(m->created_at), "started_at",
	    time_json(m->started_at), "ended_at", time_json(m->ended_at),
	    "exit_code", (json_int_t)m->exit_code, "error_type",
	    job_error_name((enum job_error)m->error), "attempt",
	    (json_int_t)m->attempt);
	if (shown->type != MSG_T_CTL_JOB)
		return (o);
	json_object_set_new(o, "error_message", json_string(m->error_message));
	json_object_set_new(o, "runtime",
	    json_string(
		m->runtime ? runtime_name((enum runtime)m->runtime) : ""));
	json_object_set_new(o, "execution_ms", json_integer(m->execution_ms));
	json_object_set_new(o, "startup_ms", json_integer(m->startup_ms));
	json_object_set_new(o, "max_rss_kb", json_integer(m->max_rss_kb));
	json_object_set_new(o, "cpu_ms", json_integer(m->cpu_ms));
	json_object_set_new(o, "stdout", json_stringn(sections, m->stdout_len));
	json_object_set_new(
	    o, "stderr", json_stringn(sections + m->stdout_len, m->stderr_len));
	json_object_set_new(o, "output",
	    m->output_len == 0
		? json_null()
		: json_stringn(
		      sections + m->stdout_len + m->stderr_len, m->output_len));
	json_object_set_new(o, "takod", extras_of(m, sections));
	return (o);
}

static void
text_section(const char *name, const char *p, size_t len)
{
	const char *nl;
	char safe[8192];
	size_t n;

	if (len == 0)
		return;
	printf("\n%s:\n", name);
	while (len > 0) {
		nl = memchr(p, '\n', len);
		n = nl != NULL ? (size_t)(nl - p) : len;
		if (n > 2000)
			n = 2000;
		printf("    %s\n", log_escape(safe, sizeof(safe), p, n));
		if (nl != NULL && p + n == nl)
			n++;
		p += n;
		len -= n;
	}
}

/* The attempts that failed by a fault that was not the job's. */
static void
show_attempts(const struct msg_rep_record *m, const char *sections)
{
	json_t *extras = extras_of(m, sections), *a;
	size_t i;

	json_array_foreach (json_object_get(extras, "attempts"), i, a)
		if (json_is_string(json_object_get(a, "where")))
			line("failed attempt", "%lld, %.19s, %s: %s: %s",
			    number_of(a, "attempt"), text_of(a, "started_at"),
			    text_of(a, "where"), text_of(a, "error_type"),
			    text_of(a, "message"));
	json_decref(extras);
}

static void
record_text(const struct msg_rep_record *m, const char *sections)
{
	char buf[40];

	line("job", "%s", m->job_id);
	line("status", "%s", job_status_name((enum job_status)m->status));
	line("type", "%s", m->job_type);
	line("created", "%s", time_iso(buf, sizeof(buf), m->created_at));
	if (m->started_at != 0)
		line(
		    "started", "%s", time_iso(buf, sizeof(buf), m->started_at));
	if (m->ended_at != 0) {
		line("ended", "%s", time_iso(buf, sizeof(buf), m->ended_at));
		line("exit code", "%lld", (long long)m->exit_code);
	}
	if (m->error != JERR_NONE)
		line("error", "%s: %s",
		    job_error_name((enum job_error)m->error), m->error_message);
	if (m->runtime != RUNTIME_NONE)
		line("runtime", "%s", runtime_name((enum runtime)m->runtime));
	if (m->execution_ms >= 0)
		line("time", "startup %lld ms, execution %lld ms, cpu %lld ms",
		    (long long)m->startup_ms, (long long)m->execution_ms,
		    (long long)m->cpu_ms);
	if (m->max_rss_kb >= 0)
		line(
		    "memory", "%.1f MiB at most", (double)m->max_rss_kb / 1024);
	line("attempt", "%llu", (unsigned long long)m->attempt);
	show_attempts(m, sections);
	text_section("stdout", sections, m->stdout_len);
	text_section("stderr", sections + m->stdout_len, m->stderr_len);
	text_section(
	    "output", sections + m->stdout_len + m->stderr_len, m->output_len);
}

void
show_record(const struct msg_rep_record *m, const char *sections)
{
	char when[40], took[32], code[24];
	json_t *o;

	if (shown->type == MSG_T_CTL_ARTIFACT) {
		o = artifacts_record(
		    sections + m->stdout_len + m->stderr_len + m->output_len,
		    m->artifacts_len, json);
		if (o != NULL)
			json_object_set_new(doc, "artifacts", o);
		return;
	}
	if (json) {
		o = record_json(m, sections);
		if (rows != NULL)
			json_array_append_new(rows, o);
		else {
			json_object_update(doc, o);
			json_decref(o);
		}
		return;
	}
	if (shown->type == MSG_T_CTL_JOB) {
		record_text(m, sections);
		return;
	}
	if (n_rows++ == 0)
		printf("%-40s %-10s %-20s %-19s %9s %4s\n", "JOB", "STATUS",
		    "TYPE", "CREATED (UTC)", "TOOK", "EXIT");
	time_iso(when, sizeof(when), m->created_at);
	when[19] = '\0';
	if (m->ended_at != 0 && m->started_at != 0)
		duration(took, sizeof(took),
		    (uint64_t)(m->ended_at - m->started_at) / 1000);
	else
		strlcpy(took, "-", sizeof(took));
	snprintf(code, sizeof(code), "%lld", (long long)m->exit_code);
	row("%-40s %-10s %-20.20s %-19s %9s %4s", m->job_id,
	    job_status_name((enum job_status)m->status), m->job_type, when,
	    took, m->ended_at != 0 ? code : "-");
}

/* ---- dead letters, and other answers in JSON
 * ------------------------------------------------------------------ */

static void
letter_row(const json_t *l)
{
	if (n_rows++ == 0)
		printf("%6s %-40s %-20s %7s %-19s %s\n", "ID", "JOB", "ERROR",
		    "RETRIES", "CREATED (UTC)", "MESSAGE");
	row("%6lld %-40s %-20s %7lld %-19.19s %.100s", number_of(l, "id"),
	    text_of(l, "job_id"), text_of(l, "error_type"),
	    number_of(l, "retry_count"), text_of(l, "created_at"),
	    text_of(l, "error_message"));
}

static void
letter_text(const json_t *l)
{
	const json_t *data = json_object_get(l, "job_data");

	line("dead letter", "%lld", number_of(l, "id"));
	line("job", "%s", text_of(l, "job_id"));
	line("type", "%s", text_of(data, "job_type"));
	line("error", "%s: %s", text_of(l, "error_type"),
	    text_of(l, "error_message"));
	line("retries", "%lld", number_of(l, "retry_count"));
	line("created", "%s", text_of(l, "created_at"));
	line("client", "%s", text_of(l, "client_ip"));
	line("correlation", "%s", text_of(l, "correlation_id"));
	line("code", "%lld bytes, sha256 %s",
	    number_of(data, "code_size_bytes"), text_of(data, "code_hash"));
	line("input", "%lld bytes, sha256 %s",
	    number_of(data, "input_size_bytes"), text_of(data, "input_hash"));
	line("timeouts", "start %lld s, execution %lld s",
	    number_of(data, "startup_timeout"), number_of(data, "timeout"));
}

static void
show_letters(json_t *items)
{
	int one = shown->max > 0; /* dlq show */
	json_t *l;
	size_t i;

	if (json && one)
		json_object_update(doc, json_array_get(items, 0));
	else if (json)
		json_object_set(doc, "dead_letters", items);
	else
		json_array_foreach (items, i, l)
			(one ? letter_text : letter_row)(l);
}

static void
package_text(const json_t *p)
{
	printf("  %-32s %-20s %s\n", text_of(p, "name"), text_of(p, "version"),
	    text_of(p, "sha256"));
}

/* One that was asked for, with all that is in it. */
static void
layer_text(const json_t *l)
{
	const json_t *packages = json_object_get(l, "packages"), *p;
	size_t i;

	n_rows++;
	line("layer", "%s", text_of(l, "key"));
	line("built", "%s", text_of(l, "built_at"));
	line("last use", "%s", text_of(l, "used_at"));
	line("size", "%lld bytes in %lld files", number_of(l, "bytes"),
	    number_of(l, "files"));
	json_array_foreach (packages, i, p)
		package_text(p);
}

static void
layer_row(const json_t *l)
{
	const json_t *types = json_object_get(l, "job_types");
	const json_t *wanted = json_object_get(l, "requirements"), *item;
	char text[512] = "", safe[512];
	size_t i;

	if (n_rows++ == 0)
		printf("%-12s %8s %8s %-19s %-24s %s\n", "LAYER", "MIB",
		    "PACKAGES", "LAST USE (UTC)", "JOB TYPES", "REQUIREMENTS");
	json_array_foreach (types, i, item) {
		strlcat(text, i > 0 ? "," : "", sizeof(text));
		strlcat(text, json_string_value(item), sizeof(text));
	}
	printf("%-12.12s %8lld %8zu %-19.19s %-24s", text_of(l, "key"),
	    number_of(l, "bytes") / 1048576,
	    json_array_size(json_object_get(l, "packages")),
	    text_of(l, "used_at"), text[0] != '\0' ? text : "-");
	json_array_foreach (wanted, i, item)
		printf(" %s",
		    log_escape(safe, sizeof(safe), json_string_value(item),
			strlen(json_string_value(item))));
	putchar('\n');
}

static void
show_layers(const json_t *answer)
{
	json_t *l, *layers = json_object_get(answer, "layers");
	size_t i;

	n_layers = (int)json_array_size(layers);
	if (json)
		json_object_set(doc, "layers", layers);
	else
		json_array_foreach (layers, i, l)
			(*text_of(answer, "key") ? layer_text : layer_row)(l);
}

int
show_answer(const char *text, size_t len)
{
	json_t *answer = json_loadb(text, len, 0, NULL);

	if (answer == NULL)
		return (-1);
	if (shown->type == MSG_T_CTL_LETTERS)
		show_letters(json_object_get(answer, "items"));
	else if (shown->type == MSG_T_CTL_LAYERS)
		show_layers(answer);
	else if (json)
		json_object_update(doc, answer);
	else if (shown->type == MSG_T_CTL_RERUN ||
		 shown->type == MSG_T_CTL_LETTER_RETRY)
		row("%s", text_of(answer, "job_id"));
	else if (shown->type == MSG_T_CTL_BUILD)
		row("%s", text_of(answer, "version"));
	json_decref(answer);
	return (0);
}

static json_t *
json_or_text(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	/* It is cut when it is long, and job types come by name. */
	return (value != NULL ? value : json_string(text));
}

void
show_change(const struct msg_ctl_change *m)
{
	json_t *o;

	n_rows++;
	if (!json) {
		if (m->restart)
			line(m->key, "needs a restart (%s -> %s)", m->before,
			    m->after);
		else
			line(m->key, "%s -> %s", m->before, m->after);
		return;
	}
	o = json_object();
	json_object_set_new(o, "key", json_string(m->key));
	json_object_set_new(o, "before", json_or_text(m->before));
	json_object_set_new(o, "after", json_or_text(m->after));
	json_object_set_new(o, "restart", json_boolean(m->restart));
	json_array_append_new(json_object_get(doc, "changes"), o);
}

void
show_problem(const struct msg_ctl_problem *m)
{
	char safe[4096], key[4 * sizeof(m->key)];
	json_t *o;

	n_rows++;
	if (!json) {
		fprintf(stderr, "%s:",
		    log_escape(safe, sizeof(safe), m->file, strlen(m->file)));
		if (m->line > 0)
			fprintf(stderr,
			    "%llu:%llu:", (unsigned long long)m->line,
			    (unsigned long long)m->column);
		log_escape(key, sizeof(key), m->key, strlen(m->key));
		fprintf(stderr, " %s%s", key, key[0] ? ": " : "");
		fprintf(stderr, "%s\n",
		    log_escape(safe, sizeof(safe), m->text, strlen(m->text)));
		return;
	}
	o = json_object();
	json_object_set_new(o, "file", json_string(m->file));
	json_object_set_new(o, "line", json_integer((json_int_t)m->line));
	json_object_set_new(o, "column", json_integer((json_int_t)m->column));
	json_object_set_new(o, "key", json_string(m->key));
	json_object_set_new(o, "message", json_string(m->text));
	json_array_append_new(json_object_get(doc, "errors"), o);
}

void
show_next(const struct msg_rep_list *m)
{
	char place[32];

	snprintf(place, sizeof(place), "%lld", (long long)m->next);
	if (json && m->next != 0)
		json_object_set_new(doc, "next", json_string(place));
	if (json && m->unindexed > 0)
		json_object_set_new(
		    doc, "unindexed", json_integer((json_int_t)m->unindexed));
	if (!json && m->unindexed > 0)
		fprintf(stderr,
		    "takoctl: the words of %llu jobs are not known yet\n",
		    (unsigned long long)m->unindexed);
}

void
show_end(const struct msg_ctl_end *m)
{
	char safe[2048];

	if (m->error == REP_NONE && !json && n_rows == 0 &&
	    shown->type == MSG_T_CTL_RELOAD)
		printf("nothing has changed\n");
	if (json && shown->type == MSG_T_CTL_RELOAD && m->error != REP_NONE)
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (m->error != REP_NONE)
		fprintf(stderr, "takoctl: %s: %s\n", shown->name,
		    log_escape(
			safe, sizeof(safe), m->detail, strlen(m->detail)));
	else if (json && (shown->type != MSG_T_CTL_ARTIFACT ||
			     json_object_size(doc) > 0)) {
		if (json_object_size(doc) == 0)
			json_object_set_new(doc, "ok", json_true());
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
	} else if (n_rows == 0 &&
		   (shown->type == MSG_T_CTL_LIST ||
		       shown->type == MSG_T_CTL_WORKERS ||
		       shown->type == MSG_T_CTL_NODES ||
		       shown->type == MSG_T_CTL_TENANTS || n_layers == 0 ||
		       shown == &dlq_commands[0]))
		printf("none\n");
	json_decref(doc);
	doc = NULL;
}
