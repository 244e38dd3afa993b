/*
 * route.c: which route a request takes, and whether it may. Runs in tako-api on
 * what conn.c took apart. The table of routes is the one place where an
 * endpoint is named; to add one, add its row, and its handler in handle.c. The
 * document at /openapi.json is made from it.
 *
 * The order is that of api.md: identity and rate first (the parent judges),
 * then path and method, then the body.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "log.h"
#include "route.h"
#include "util.h"

/* What may keep a job from being run, new or once more. */
#define RUN_ERRORS                                                             \
	API_INVALID, API_QUEUE_FULL, API_FILLED, API_SPENT, API_UNAVAILABLE
#define SUBMIT_ERRORS API_CONFLICT, RUN_ERRORS

#define ANSWER(...)                                                            \
	(const struct answer[])                                                \
	{                                                                      \
		__VA_ARGS__,                                                   \
		{                                                              \
			0                                                      \
		}                                                              \
	}
#define ERRORS(...)                                                            \
	(const enum api_error[])                                               \
	{                                                                      \
		__VA_ARGS__, API_NONE                                          \
	}

const struct route routes[] = {
	{ .method = HTTP_POST,
	    .pattern = "/execute",
	    .handler = handle_submit,
	    .form = FORM_EXECUTE,
	    .not_found = API_NO_JOB,
	    .body = &body_submit,
	    .flags = ROUTE_SYNC,
	    .id = "execute",
	    .tag = "Execution",
	    .summary = "Run code and wait for its end",
	    .about = "The job is cancelled when its client goes away, unless "
		     "it has an idempotency key.",
	    .answers = ANSWER(
		{ 200, "ExecuteResult", NULL, "It has ended, well or not." }),
	    .errors = ERRORS(SUBMIT_ERRORS) },
	{ .method = HTTP_POST,
	    .pattern = "/execute/async",
	    .handler = handle_submit,
	    .not_found = API_NO_JOB,
	    .body = &body_submit,
	    .id = "executeAsync",
	    .tag = "Execution",
	    .summary = "Queue code",
	    .answers = ANSWER({ 200, "Submitted", NULL,
		"It is stored, or is the job of its key." }),
	    .errors = ERRORS(SUBMIT_ERRORS) },
	{ .method = HTTP_GET,
	    .pattern = "/jobs/{job_id}",
	    .handler = handle_get,
	    .form = FORM_STATUS,
	    .not_found = API_NO_JOB,
	    .id = "getJob",
	    .tag = "Jobs",
	    .summary = "A job's state",
	    .answers = ANSWER({ 200, "JobState", NULL, "Its state." }) },
	{ .method = HTTP_GET,
	    .pattern = "/jobs/{job_id}/result",
	    .handler = handle_get,
	    .form = FORM_RECORD,
	    .not_found = API_NO_JOB,
	    .params = params_result,
	    .id = "getJobResult",
	    .tag = "Jobs",
	    .summary = "A job's record, at once or when it has ended",
	    .answers = ANSWER({ 200, "Record", NULL, "The record." }),
	    .errors = ERRORS(API_WAIT) },
	{ .method = HTTP_POST,
	    .pattern = "/jobs/{job_id}/cancel",
	    .handler = handle_cancel,
	    .not_found = API_NO_CANCEL,
	    .id = "cancelJob",
	    .tag = "Jobs",
	    .summary = "End a job",
	    .about = "A waiting one never runs; a running one is killed.",
	    .answers = ANSWER({ 200, "Cancelled", NULL, "It is ended." }) },
	{ .method = HTTP_POST,
	    .pattern = "/jobs/{job_id}/rerun",
	    .handler = handle_rerun,
	    .not_found = API_NO_JOB,
	    .body = &body_rerun,
	    .id = "rerunJob",
	    .tag = "Jobs",
	    .summary = "Run a job once more that has ended",
	    .about = "With its code, input, requirements and timeouts, unless "
		     "others are given.",
	    .answers = ANSWER({ 200, "Submitted", NULL, "The new job." }),
	    .errors = ERRORS(API_NOT_ENDED, RUN_ERRORS) },
	{ .method = HTTP_POST,
	    .pattern = "/jobs/{job_id}/fork",
	    .handler = handle_fork,
	    .not_found = API_NO_JOB,
	    .body = &body_fork,
	    .id = "forkJob",
	    .tag = "Jobs",
	    .summary = "Run other code with all else of a job",
	    .answers = ANSWER({ 200, "Submitted", NULL, "The new job." }),
	    .errors = ERRORS(RUN_ERRORS) },
	{ .method = HTTP_GET,
	    .pattern = "/jobs/{job_id}/artifacts/{artifact_name}",
	    .handler = artifact_handle,
	    .not_found = API_NO_JOB,
	    .flags = ROUTE_FILE,
	    .id = "getArtifact",
	    .tag = "Jobs",
	    .summary = "A file that a job left",
	    .about = "With conditions and one range (RFC 9110).",
	    .answers = ANSWER({ 200, NULL, "*/*", "All of it." },
		{ 206, NULL, "*/*", "The part that was asked for." }),
	    .errors = ERRORS(API_NO_ARTIFACT, API_RANGE, API_UNAVAILABLE) },
	{ .method = HTTP_GET,
	    .pattern = "/executions",
	    .handler = handle_list,
	    .form = FORM_LIST,
	    .not_found = API_NO_EXECUTION,
	    .params = params_list,
	    .id = "listExecutions",
	    .tag = "Records",
	    .summary = "Records, the newest first",
	    .about = "A page is 16 MiB of output at most: while has_more is "
		     "true there are others.",
	    .answers = ANSWER({ 200, "RecordPage", NULL, "A page of them." }),
	    .errors = ERRORS(API_INVALID) },
	{ .method = HTTP_GET,
	    .pattern = "/executions/{a}/diff/{b}",
	    .handler = handle_diff,
	    .form = FORM_DIFF,
	    .not_found = API_NO_EXECUTION,
	    .id = "diffExecutions",
	    .tag = "Records",
	    .summary = "In what two records differ",
	    .answers = ANSWER({ 200, "Diff", NULL, "Their differences." }) },
	{ .method = HTTP_GET,
	    .pattern = "/executions/{execution_id}",
	    .handler = handle_get,
	    .form = FORM_RECORD,
	    .not_found = API_NO_EXECUTION,
	    .params = params_record,
	    .id = "getExecution",
	    .tag = "Records",
	    .summary = "One record",
	    .answers = ANSWER({ 200, "Record", NULL, "The record." }) },
	{ .method = HTTP_GET,
	    .pattern = "/job-types",
	    .handler = handle_job_types,
	    .not_found = API_NO_JOB_TYPE,
	    .id = "listJobTypes",
	    .tag = "Job types",
	    .summary = "What jobs may be run as",
	    .answers = ANSWER({ 200, "[]JobType", NULL, "All of them." }) },
	{ .method = HTTP_GET,
	    .pattern = "/job-types/{name}",
	    .handler = handle_job_types,
	    .not_found = API_NO_JOB_TYPE,
	    .id = "getJobType",
	    .tag = "Job types",
	    .summary = "One of them",
	    .answers = ANSWER({ 200, "JobType", NULL, "The job type." }) },
	{ .method = HTTP_POST,
	    .pattern = "/job-types/{name}/build",
	    .handler = handle_build,
	    .not_found = API_NO_JOB_TYPE,
	    .id = "buildJobType",
	    .tag = "Job types",
	    .summary = "Install the packages of a job type",
	    .about = "It is answered once it is made, which may take minutes. "
		     "Who asks for the same meanwhile waits for the same.",
	    .answers = ANSWER({ 200, "Built", NULL, "It is made." }),
	    .errors = ERRORS(API_FAILED) },
	{ .method = HTTP_GET,
	    .pattern = "/job-types/{name}/build",
	    .handler = handle_build_show,
	    .not_found = API_NO_JOB_TYPE,
	    .id = "getBuild",
	    .tag = "Job types",
	    .summary = "How that goes on, or went",
	    .answers = ANSWER({ 200, "Build", NULL, "The last build." }) },
	{ .method = HTTP_GET,
	    .pattern = "/dlq/stats",
	    .handler = handle_letter_stats,
	    .not_found = API_NO_LETTER,
	    .id = "dlqStats",
	    .tag = "Dead letters",
	    .summary = "How many dead letters there are, of which errors",
	    .answers = ANSWER({ 200, "LetterStats", NULL, "Their counts." }) },
	{ .method = HTTP_GET,
	    .pattern = "/dlq",
	    .handler = handle_letters,
	    .not_found = API_NO_LETTER,
	    .params = params_letters,
	    .id = "listDlq",
	    .tag = "Dead letters",
	    .summary = "Dead letters, the newest first",
	    .answers = ANSWER({ 200, "LetterPage", NULL, "A page of them." }) },
	{ .method = HTTP_DELETE,
	    .pattern = "/dlq/{entry_id}",
	    .handler = handle_letter_remove,
	    .not_found = API_NO_LETTER,
	    .id = "removeDlqEntry",
	    .tag = "Dead letters",
	    .summary = "Remove a dead letter",
	    .answers = ANSWER({ 200, "Removed", NULL, "It is removed." }),
	    .errors = ERRORS(API_INVALID) },
	{ .method = HTTP_GET,
	    .pattern = "/health",
	    .handler = handle_stats,
	    .form = FORM_HEALTH,
	    .flags = ROUTE_OPEN,
	    .id = "health",
	    .tag = "Daemon",
	    .summary = "Whether takod is healthy",
	    .about = "Open to everybody. It is answered from what timers last "
		     "saw.",
	    .answers =
		ANSWER({ 200, "Health", NULL, "It serves, maybe degraded." },
		    { 503, "Starting", NULL, "It is not ready yet." }) },
	{ .method = HTTP_GET,
	    .pattern = "/pool/stats",
	    .handler = handle_stats,
	    .form = FORM_POOL,
	    .id = "poolStats",
	    .tag = "Daemon",
	    .summary = "The queue and the pool",
	    .answers = ANSWER({ 200, "PoolStats", NULL, "Their figures." }) },
	{ .method = HTTP_GET,
	    .pattern = "/",
	    .handler = handle_root,
	    .id = "root",
	    .tag = "Documentation",
	    .summary = "To /docs",
	    .answers = ANSWER({ 307, NULL, NULL, "Go to /docs." }) },
	{ .method = HTTP_GET,
	    .pattern = "/docs",
	    .handler = docs_handle,
	    .form = FORM_HTML,
	    .flags = ROUTE_OPEN | ROUTE_PAGE,
	    .id = "docs",
	    .tag = "Documentation",
	    .summary = "A page that shows all of this and tries it",
	    .answers = ANSWER({ 200, NULL, "text/html", "The page." }) },
	{ .method = HTTP_GET,
	    .pattern = "/redoc",
	    .handler = docs_handle,
	    .form = FORM_HTML,
	    .flags = ROUTE_OPEN | ROUTE_PAGE,
	    .id = "redoc",
	    .tag = "Documentation",
	    .summary = "The same page",
	    .answers = ANSWER({ 200, NULL, "text/html", "The page." }) },
	{ .method = HTTP_GET,
	    .pattern = "/docs/page.js",
	    .handler = docs_handle,
	    .form = FORM_SCRIPT,
	    .flags = ROUTE_OPEN | ROUTE_PAGE,
	    .id = "docsScript",
	    .tag = "Documentation",
	    .summary = "What the page does",
	    .answers = ANSWER({ 200, NULL, "text/javascript", "A script." }) },
	{ .method = HTTP_GET,
	    .pattern = "/docs/page.css",
	    .handler = docs_handle,
	    .form = FORM_STYLE,
	    .flags = ROUTE_OPEN | ROUTE_PAGE,
	    .id = "docsStyle",
	    .tag = "Documentation",
	    .summary = "How the page looks",
	    .answers = ANSWER({ 200, NULL, "text/css", "A style sheet." }) },
	{ .method = HTTP_GET,
	    .pattern = "/openapi.json",
	    .handler = docs_handle,
	    .form = FORM_OPENAPI,
	    .flags = ROUTE_OPEN | ROUTE_PAGE,
	    .id = "openapi",
	    .tag = "Documentation",
	    .summary = "This document",
	    .about = "OpenAPI 3.1, with the limits of the configuration that "
		     "is in force.",
	    .answers = ANSWER({ 200, "object", NULL, "The document." }) },
};
const size_t n_routes = nitems(routes);

static const struct place places[] = {
	{ "job_id", 1, "string", "The id of a job." },
	{ "execution_id", 1, "string",
	    "The id of a record, which is its job's." },
	{ "a", 1, "string", "The id of the first record." },
	{ "b", 1, "string", "The id of the second record." },
	{ "artifact_name", 0, "string",
	    "The name of the file, as its record lists it." },
	{ "name", 0, "string", "The name of a job type." },
	{ "entry_id", 0, "integer", "The id of a dead letter, a number." },
};

/* ---- which route -------------------------------------------------------- */

/* What stands in the path in the places of a pattern's names. */
struct found {
	char id[MAX_JOB_ID + 1];       /* "" when it is no job's */
	char other_id[MAX_JOB_ID + 1]; /* of a second such place */
	const char *name;	       /* not decoded: it may be any bytes */
	size_t name_len;
};

const struct place *
route_place(const char *pattern, size_t *len)
{
	size_t i, n = strcspn(pattern, "}") - 1;

	*len = n + 2;
	for (i = 0; i < nitems(places); i++)
		if (strlen(places[i].name) == n &&
		    strncmp(places[i].name, pattern + 1, n) == 0)
			return (&places[i]);
	fatalx("%s: no such place", pattern);
}

/*
 * Does a path (not decoded, len bytes) have the form of a pattern? -1 when a
 * segment cannot be decoded.
 */
static int
path_match(const char *pattern, const char *path, size_t len, struct found *f)
{
	const char *end = path + len;
	const struct place *place;
	char segment[256];
	size_t n, k;
	int first = 1;

	memset(f, 0, sizeof(*f));
	while (*pattern == '/' && path < end && *path == '/') {
		pattern++;
		path++;
		k = strcspn(pattern, "/");
		place = *pattern == '{' ? route_place(pattern, &k) : NULL;
		for (n = 0; path + n < end && path[n] != '/'; n++)
			;
		if (place != NULL && !place->id && n > 0) {
			f->name = path;
			f->name_len = n;
			pattern += k;
			path += n;
			continue;
		}
		/* One too long to be decoded here is none of ours. */
		if (n >= sizeof(segment))
			return (0);
		if (http_decode(segment, sizeof(segment), path, n, 0) == -1)
			return (-1);
		if (place != NULL) {
			if (*segment == '\0')
				return (0);
			if (job_id_valid(segment))
				strlcpy(first ? f->id : f->other_id, segment,
				    sizeof(f->id));
			first = 0;
		} else if (strlen(segment) != k ||
			   strncmp(segment, pattern, k) != 0)
			return (0);
		pattern += k;
		path += n;
	}
	return (*pattern == '\0' && path == end);
}

/*
 * Sets route, or allow where a path is known but not with this method. Returns
 * 1 when the path is known, -1 when it is none. One that is a route by its own
 * letters is none by what a place takes: they stand before those in the table.
 */
static int
route_find(struct request *req, size_t len)
{
	enum http_method method =
	    req->method == HTTP_HEAD ? HTTP_GET : req->method;
	struct found f;
	int found = 0, literal = 0, m;
	size_t i;

	for (i = 0; i < n_routes; i++) {
		if (literal && strchr(routes[i].pattern, '{') != NULL)
			continue;
		m = path_match(routes[i].pattern, req->target, len, &f);
		if (m == -1)
			return (-1);
		if (m == 0)
			continue;
		found = 1;
		literal |= strchr(routes[i].pattern, '{') == NULL;
		if (routes[i].flags & ROUTE_OPEN)
			req->open = 1;
		if (routes[i].method == method) {
			req->route = &routes[i];
			strlcpy(req->job_id, f.id, sizeof(req->job_id));
			strlcpy(
			    req->other_id, f.other_id, sizeof(req->other_id));
			req->name = f.name;
			req->name_len = f.name_len;
		}
		if (*req->allow != '\0')
			strlcat(req->allow, ", ", sizeof(req->allow));
		strlcat(req->allow,
		    routes[i].method == HTTP_GET
			? "GET, HEAD"
			: http_method_name(routes[i].method),
		    sizeof(req->allow));
	}
	return (found);
}

/* What is wrong with the path is kept for after the parent's word. */
static void
route_choose(struct request *req)
{
	size_t len = strcspn(req->target, "?");
	int found;

	req->star =
	    req->method == HTTP_OPTIONS && strcmp(req->target, "*") == 0;
	found = route_find(req, len);
	if (found == -1)
		req->fault = API_BAD_PATH;
	else if (found && req->route == NULL)
		req->fault = API_METHOD;
	else if (!found)
		req->fault = API_NO_ROUTE;
	if (found == 0 && len > 1 && req->target[len - 1] == '/' &&
	    route_find(req, len - 1) == 1)
		req->slash = 1; /* as 0.3 does: it is sent on */
}

static void
redirect_slash(struct request *req)
{
	size_t len = strcspn(req->target, "?");
	char *where;

	where =
	    xasprintf("%.*s%s", (int)len - 1, req->target, req->target + len);
	rep_redirect(req, where);
	free(where);
}

/* ---- may it go on ------------------------------------------------------- */

/* The key that a client shows: the configured field, else a bearer token. */
static const char *
shown_key(const struct http_request *h)
{
	char name[sizeof(api_conf.auth_header)];
	const char *value;
	unsigned n, i;

	for (i = 0; api_conf.auth_header[i] != '\0'; i++)
		name[i] = (char)tolower((unsigned char)api_conf.auth_header[i]);
	name[i] = '\0';
	/* Two keys are none: nobody is to guess which one counts. */
	if ((value = http_field(h, name, &n)) != NULL)
		return (n == 1 ? value : "");
	value = http_field(h, "authorization", &n);
	if (n != 1 || strncasecmp(value, "bearer ", 7) != 0)
		return ("");
	value += 7;
	return (value + strspn(value, " "));
}

/* A text that is longer than its field, or no text, stands for nobody. */
static void
put_text(char *dst, size_t size, const char *src, const char *other)
{
	if (strlen(src) >= size || !utf8_valid(src, strlen(src)))
		src = other;
	strlcpy(dst, src, size);
}

/* Grows with each configuration, so that no digest of a former one fits. */
static uint64_t admit_epoch;

void
route_forget(void)
{
	admit_epoch++;
}

/*
 * Of all that the parent's word depends on. The connection keeps it, which is
 * no key that could be read there.
 */
static void
admit_digest(uint8_t digest[TAKO_SHA256], const struct msg_req_admit *m)
{
	char text[sizeof(*m) + 64];
	int len;

	/* The lengths say where one ends. */
	len = snprintf(text, sizeof(text), "%llu %d %zu %zu %s %s %s",
	    (unsigned long long)admit_epoch, (int)m->forwarded, strlen(m->peer),
	    strlen(m->host), m->peer, m->host, m->key);
	sha256(digest, text, (size_t)len);
	explicit_bzero(text, sizeof(text));
}

/* 1: it shows what another request of its connection was let in with. */
static int
route_admit(struct request *req, const struct http_request *h)
{
	struct msg_req_admit m;
	int known;

	memset(&m, 0, sizeof(m));
	strlcpy(m.peer, req->client, sizeof(m.peer));
	put_text(m.host, sizeof(m.host), h->host, "?");
	strlcpy(m.key, req->key, sizeof(m.key));
	m.forwarded = conn_forwarded(req->conn) ||
		      http_field(h, "forwarded", NULL) != NULL ||
		      http_field(h, "x-forwarded-for", NULL) != NULL;
	admit_digest(req->shown, &m);
	known = api_conf.admit == ADMIT_OTHERS &&
		memcmp(req->shown, conn_note(req->conn), CONN_NOTE) == 0;
	if (!known)
		request_ask(req, MSG_T_REQ_ADMIT, &m, -1);
	explicit_bzero(m.key, sizeof(m.key));
	return (known);
}

/* All that can be said before the body came; 0: go on with the body. */
static int
route_refuse(struct request *req)
{
	if (req->preflight)
		cors_preflight(req);
	else if (req->slash)
		redirect_slash(req);
	else if (req->star)
		rep_options(req);
	else if (req->fault != API_NONE)
		rep_error(req, req->fault, NULL, 0, NULL);
	else if (req->encoded)
		rep_error(req, API_ENCODING, NULL, 0, NULL);
	else if (req->length > (int64_t)api_conf.max_payload)
		rep_too_large(req);
	else
		return (0);
	return (1);
}

/* The parent has nothing against it. */
static void
route_go(struct request *req)
{
	req->admitted = 1;
	if (route_refuse(req))
		return;
	if (req->complete)
		req->route->handler(req);
	else
		conn_accept(req->conn);
}

void
route_admitted(struct request *req, const struct msg_rep_admit *m)
{
	if (m->verdict == ADMIT_KEY)
		rep_error(req, API_KEY, NULL, 0, NULL);
	else if (m->verdict == ADMIT_RATE)
		rep_error(req, API_RATE, NULL,
		    m->retry_after == 0 ? 1 : (unsigned)m->retry_after, NULL);
	else {
		memcpy(conn_note(req->conn), req->shown, CONN_NOTE);
		route_go(req);
	}
}

/* ---- a request's life: what conn.c calls -------------------------------- */

/* 1..128 visible ASCII characters are taken over, else there is a new one. */
static void
take_correlation(struct request *req, const char *value)
{
	char uuid[37];
	size_t i;

	for (i = 0; value != NULL && value[i] > ' ' && value[i] < 0x7f; i++)
		;
	if (value == NULL || i == 0 || value[i] != '\0' ||
	    i > MAX_CORRELATION) {
		uuid4(uuid);
		value = uuid;
	}
	strlcpy(req->correlation, value, sizeof(req->correlation));
}

/* application/json, or application/<something>+json. */
static int
is_json(const char *type)
{
	size_t len;

	if (type == NULL)
		return (0);
	len = strcspn(type, "; \t");
	if (len <= 12 || strncasecmp(type, "application/", 12) != 0)
		return (0);
	return ((len == 16 && strncasecmp(type + 12, "json", 4) == 0) ||
		(len > 17 && strncasecmp(type + len - 5, "+json", 5) == 0));
}

static void
take_head(struct request *req, const struct http_request *h)
{
	const char *encoding = http_field(h, "content-encoding", NULL);

	req->method = h->method;
	req->target = xstrdup(h->target);
	req->length = h->content_length;
	req->json = is_json(http_field(h, "content-type", NULL));
	req->encoded =
	    encoding != NULL && strcasecmp(encoding, "identity") != 0;
	take_correlation(req, http_field(h, "x-correlation-id", NULL));
	artifact_head(req, h);
}

static void
request_free(struct request *req)
{
	request_body_drop(req);
	explicit_bzero(req->key, sizeof(req->key));
	if (req->page != NULL) {
		conn_hold(-(ssize_t)evbuffer_get_length(req->page->items));
		evbuffer_free(req->page->items);
	}
	free(req->page);
	if (req->former != NULL)
		blob_unref(req->former->all);
	free(req->former);
	free(req->target);
	free(req->origin);
	free(req->range);
	free(req->if_range);
	free(req->none_match);
	free(req);
}

static void
on_head(struct conn *c, const struct http_request *h)
{
	struct request *req = xcalloc(1, sizeof(*req));
	int over = 0;

	req->conn = c;
	req->started = time_mono_us();
	strlcpy(req->client, conn_peer(c), sizeof(req->client));
	if (trust_has(req->client) &&
	    trust_client(h, conn_peer(c), req->client))
		over = conn_set_client(c, req->client) == -1;
	take_head(req, h);
	put_text(req->key, sizeof(req->key), shown_key(h), "");
	conn_set_data(c, req);
	log_set_correlation(req->correlation);
	route_choose(req);
	if (req->route != NULL)
		req->sync = (req->route->flags & ROUTE_SYNC) != 0;
	if (over)
		rep_error(req, API_BUSY, NULL, 0, NULL);
	else if (cors_head(req, h) == -1)
		rep_error(req, API_ORIGIN, NULL, 0, NULL);
	else if (api_conf.admit == ADMIT_NEVER || req->open ||
		 route_admit(req, h))
		route_go(req);
	log_set_correlation(NULL);
}

/* Keeps a piece of the body. */
static int
body_add(struct request *req, const uint8_t *data, size_t len)
{
	size_t size = req->body_size;
	uint8_t *p;

	if (len > size - req->body_len) {
		size = size == 0 ? 65536 : size;
		while (len > size - req->body_len)
			size *= 2;
		/* No more than was declared, if it was. */
		if (req->length > 0 && size > (size_t)req->length)
			size = (size_t)req->length;
		if (!conn_room(size - req->body_size) ||
		    (p = realloc(req->body, size)) == NULL)
			return (-1);
		conn_hold((ssize_t)(size - req->body_size));
		req->body = p;
		req->body_size = size;
	}
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
	return (0);
}

static void
on_body(struct conn *c, const uint8_t *data, size_t len)
{
	struct request *req = conn_data(c);

	/* One that was declared too long does not come so far. */
	if (req->body_seen + len > api_conf.max_payload) {
		log_set_correlation(req->correlation);
		rep_too_large(req);
		log_set_correlation(NULL);
		return;
	}
	req->body_seen += len;
	/* Where no body is wanted, nobody reads it. */
	if (req->route->body != NULL && body_add(req, data, len) == -1)
		rep_error(req, API_BUSY, NULL, 0, NULL);
}

static void
on_done(struct conn *c)
{
	struct request *req = conn_data(c);

	req->complete = 1;
	if (!req->admitted)
		return;
	log_set_correlation(req->correlation);
	req->route->handler(req);
	log_set_correlation(NULL);
}

static void
on_gone(struct conn *c)
{
	struct request *req = conn_data(c);

	log_set_correlation(req->correlation);
	log_debug("%s went away", req->client);
	log_set_correlation(NULL);
	parent_forget(req);
	request_free(req);
}

static void
on_fault(struct conn *c, int status, const char *reason, struct evbuffer *head,
    struct evbuffer *body)
{
	log_info("%s %d %s", conn_peer(c), status, reason);
	rep_fault(conn_data(c), status, reason, head, body);
}

const struct conn_ops route_ops = {
	.head = on_head,
	.body = on_body,
	.done = on_done,
	.gone = on_gone,
	.fault = on_fault,
};

/* The request is answered: what is left is its connection. */
static struct conn *
request_end(struct request *req, int status)
{
	struct conn *c = req->conn;
	double ms = (double)(time_mono_us() - req->started) / 1000;

	log_set_correlation(req->correlation);
	log_info("%s %s %s %d %.1f ms", req->client,
	    http_method_name(req->method), req->target, status, ms);
	conn_set_data(c, NULL);
	request_free(req);
	return (c);
}

void
route_answer(struct request *req, int status, struct evbuffer *head,
    struct evbuffer *body)
{
	cors_fields(req, head);
	conn_reply(request_end(req, status), status, head, body);
}

void
route_answer_file(struct request *req, int status, struct evbuffer *head,
    int fd, off_t off, size_t len)
{
	cors_fields(req, head);
	conn_reply_file(request_end(req, status), status, head, fd, off, len);
}

enum form
route_form(const struct route *r)
{
	return (r->form);
}

enum api_error
route_not_found(const struct route *r)
{
	return (r->not_found);
}
