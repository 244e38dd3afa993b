/*
 * route.c: from a request's head to the question that it asks the parent. Runs
 * in tako-api on what conn.c took apart. The table of routes is the one place
 * where an endpoint is named; to add one, add its row and its handler.
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
#include "tako-api.h"
#include "util.h"

#define ROUTE_OPEN (1 << 0) /* to everybody: neither key nor rate */
#define ROUTE_BODY (1 << 1) /* its body is kept, as JSON */
#define ROUTE_SYNC (1 << 2) /* /execute: the answer is the job's end */

struct route {
	enum http_method method;
	/* {id}: a job's; {name}: any; each a segment of its own */
	const char *pattern;
	void (*handler)(struct request *);
	enum form form;
	enum api_error not_found;
	const struct param *params;
	unsigned flags;
};

static void handle_root(struct request *);
static void handle_stats(struct request *);
static void handle_submit(struct request *);
static void handle_get(struct request *);
static void handle_list(struct request *);
static void handle_diff(struct request *);
static void handle_cancel(struct request *);
static void handle_rerun(struct request *);
static void handle_fork(struct request *);
static void handle_job_types(struct request *);
static void handle_build(struct request *);
static void handle_letters(struct request *);
static void handle_letter_stats(struct request *);
static void handle_letter_remove(struct request *);

static const struct route routes[] = {
	{ HTTP_GET, "/", handle_root, FORM_NONE, API_NO_ROUTE, NULL, 0 },
	{ HTTP_GET, "/health", handle_stats, FORM_HEALTH, API_NO_ROUTE, NULL,
	    ROUTE_OPEN },
	{ HTTP_GET, "/pool/stats", handle_stats, FORM_POOL, API_NO_ROUTE, NULL,
	    0 },
	{ HTTP_POST, "/execute", handle_submit, FORM_EXECUTE, API_NO_JOB, NULL,
	    ROUTE_BODY | ROUTE_SYNC },
	{ HTTP_POST, "/execute/async", handle_submit, FORM_NONE, API_NO_JOB,
	    NULL, ROUTE_BODY },
	{ HTTP_GET, "/jobs/{id}", handle_get, FORM_STATUS, API_NO_JOB, NULL,
	    0 },
	{ HTTP_GET, "/jobs/{id}/result", handle_get, FORM_RECORD, API_NO_JOB,
	    params_result, 0 },
	{ HTTP_POST, "/jobs/{id}/cancel", handle_cancel, FORM_NONE,
	    API_NO_CANCEL, NULL, 0 },
	{ HTTP_POST, "/jobs/{id}/rerun", handle_rerun, FORM_NONE, API_NO_JOB,
	    NULL, ROUTE_BODY },
	{ HTTP_POST, "/jobs/{id}/fork", handle_fork, FORM_NONE, API_NO_JOB,
	    NULL, ROUTE_BODY },
	{ HTTP_GET, "/jobs/{id}/artifacts/{name}", artifact_handle, FORM_NONE,
	    API_NO_JOB, NULL, 0 },
	{ HTTP_GET, "/executions", handle_list, FORM_LIST, API_NO_EXECUTION,
	    params_list, 0 },
	{ HTTP_GET, "/executions/{id}/diff/{id}", handle_diff, FORM_DIFF,
	    API_NO_EXECUTION, NULL, 0 },
	{ HTTP_GET, "/executions/{id}", handle_get, FORM_RECORD,
	    API_NO_EXECUTION, params_record, 0 },
	{ HTTP_GET, "/job-types", handle_job_types, FORM_NONE, API_NO_JOB_TYPE,
	    NULL, 0 },
	{ HTTP_GET, "/job-types/{name}", handle_job_types, FORM_NONE,
	    API_NO_JOB_TYPE, NULL, 0 },
	{ HTTP_POST, "/job-types/{name}/build", handle_build, FORM_NONE,
	    API_NO_JOB_TYPE, NULL, 0 },
	{ HTTP_GET, "/dlq/stats", handle_letter_stats, FORM_NONE, API_NO_LETTER,
	    NULL, 0 },
	{ HTTP_GET, "/dlq", handle_letters, FORM_NONE, API_NO_LETTER,
	    params_letters, 0 },
	{ HTTP_DELETE, "/dlq/{name}", handle_letter_remove, FORM_NONE,
	    API_NO_LETTER, NULL, 0 },
};

/* ---- handlers: the request is complete ---------------------------------- */

static void
handle_root(struct request *req)
{
	rep_redirect(req, "/docs");
}

static void
ask(struct request *req, uint32_t type, const void *m, int fd)
{
	if (parent_ask(req, type, m, fd) == -1)
		rep_error(req, API_BUSY, NULL, 0, NULL);
}

static void
handle_stats(struct request *req)
{
	struct evbuffer *body;
	struct msg_req_stats m;

	if (req->route->form == FORM_HEALTH && (body = health_kept()) != NULL) {
		rep_health(req, body);
		return;
	}
	memset(&m, 0, sizeof(m));
	ask(req, MSG_T_REQ_STATS, &m, -1);
}

static void
handle_get(struct request *req)
{
	struct msg_req_get m;
	struct errors e;
	struct query q;

	errors_init(&e);
	memset(&q, 0, sizeof(q));
	if (req->route->params != NULL)
		query_check(&q, req->route->params, req->target, &e);
	if (e.n > 0) {
		rep_errors(req, &e);
		return;
	}
	errors_free(&e);
	if (*req->job_id == '\0') {
		rep_error(req, req->route->not_found, NULL, 0, NULL);
		return;
	}
	memset(&m, 0, sizeof(m));
	req->full = q.full;
	m.view = req->route->form == FORM_STATUS ? VIEW_STATUS
		 : q.full			 ? VIEW_FULL
						 : VIEW_RECORD;
	if (q.wait)
		m.wait_ms = (uint64_t)(q.timeout * 1000);
	strlcpy(m.job_id, req->job_id, sizeof(m.job_id));
	ask(req, MSG_T_REQ_GET, &m, -1);
}

static void
handle_list(struct request *req)
{
	static const struct msg_rep_list none;
	struct errors e;
	struct query q;

	errors_init(&e);
	query_check(&q, req->route->params, req->target, &e);
	if (e.n > 0) {
		rep_errors(req, &e);
		return;
	}
	errors_free(&e);
	req->full = q.full;
	req->page = xcalloc(1, sizeof(*req->page));
	req->page->limit = (int64_t)q.list.limit;
	req->page->offset = q.list.offset;
	req->page->query = q.list.query[0] != '\0';
	if ((req->page->items = evbuffer_new()) == NULL)
		fatal(NULL);
	if (q.nothing) {
		rep_list(req, &none);
		return;
	}
	q.list.view = q.full ? VIEW_FULL : VIEW_RECORD;
	ask(req, MSG_T_REQ_LIST, &q.list, -1);
}

static void
ask_payload(struct request *req, const char *job_id)
{
	struct msg_req_get m;

	memset(&m, 0, sizeof(m));
	m.view = VIEW_PAYLOAD;
	strlcpy(m.job_id, job_id, sizeof(m.job_id));
	ask(req, MSG_T_REQ_GET, &m, -1);
}

static void
handle_diff(struct request *req)
{
	if (*req->job_id == '\0' || *req->other_id == '\0')
		rep_error(req, API_NO_EXECUTION, NULL, 0, NULL);
	else
		ask_payload(req, req->job_id);
}

void
route_diff(struct request *req, const struct record *rec)
{
	if (req->former != NULL) {
		rep_diff(req, req->former, rec);
		return;
	}
	req->former = xmalloc(sizeof(*req->former));
	*req->former = *rec;
	blob_ref(rec->all);
	ask_payload(req, req->other_id);
}

static void
handle_cancel(struct request *req)
{
	struct msg_req_cancel m;

	if (*req->job_id == '\0') {
		rep_error(req, req->route->not_found, NULL, 0, NULL);
		return;
	}
	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, req->job_id, sizeof(m.job_id));
	ask(req, MSG_T_REQ_CANCEL, &m, -1);
}

/* Code, input and requirements one behind the other, sealed. */
static int
submit_memfd(const struct submit *s)
{
	size_t n = s->requirements == NULL ? 0 : strlen(s->requirements);
	int fd;

	if ((fd = memfd_new("submit")) == -1)
		return (-1);
	if (write_all(fd, s->code, s->code_len) == -1 ||
	    write_all(fd, s->input.data, s->input.len) == -1 ||
	    write_all(fd, s->requirements, n) == -1 || memfd_seal(fd) == -1)
		close_fd(&fd);
	return (fd);
}

static void
submit_ask(struct request *req, const struct submit *s, int fd)
{
	struct msg_req_submit m;

	memset(&m, 0, sizeof(m));
	m.sync = (uint64_t)req->sync;
	m.code_len = s->code_len;
	m.input_len = s->input.len;
	if (s->requirements != NULL)
		m.requirements_len = strlen(s->requirements);
	m.timeout = (uint64_t)s->timeout;
	m.startup_timeout = (uint64_t)s->startup_timeout;
	strlcpy(m.job_type, s->job_type, sizeof(m.job_type));
	strlcpy(
	    m.idempotency_key, s->idempotency_key, sizeof(m.idempotency_key));
	strlcpy(m.correlation_id, req->correlation, sizeof(m.correlation_id));
	strlcpy(m.client, req->client, sizeof(m.client));
	strlcpy(m.key, req->key, sizeof(m.key));
	ask(req, MSG_T_REQ_SUBMIT, &m, fd);
	explicit_bzero(m.key, sizeof(m.key));
}

static void
body_drop(struct request *req)
{
	conn_hold(-(ssize_t)req->body_size);
	free(req->body);
	req->body = NULL;
	req->body_len = req->body_size = 0;
}

static void
handle_submit(struct request *req)
{
	struct section body = { req->body, req->body_len };
	struct submit s;
	struct errors e;
	char text[128];
	int fd = -1;

	errors_init(&e);
	submit_check(&s, &body, req->json, &api_conf, &e);
	if (e.n > 0)
		rep_errors(req, &e);
	else if (submit_ceiling(&s, &api_conf, text, sizeof(text)) != NULL)
		rep_error(req, API_INVALID, text, 0, NULL);
	else if ((fd = submit_memfd(&s)) == -1) {
		log_warn("submit");
		rep_error(req, API_BUSY, NULL, 0, NULL);
	} else {
		/* The parent has it from now on: a job may take its time. */
		body_drop(req);
		submit_ask(req, &s, fd);
	}
	close_fd(&fd);
	errors_free(&e);
	submit_free(&s);
}

/* -1 with what is wrong answered; a fork's code is left in s. */
static int
rerun_body(struct request *req, int fork, struct submit *s)
{
	struct section body = { req->body, req->body_len };
	struct errors e;
	char text[128];
	int ret = -1;

	errors_init(&e);
	rerun_check(s, fork, &body, req->json, &api_conf, &e);
	/* Before the other job is looked for, as in 0.3. */
	if (e.n > 0)
		rep_errors(req, &e);
	else if (submit_ceiling(s, &api_conf, text, sizeof(text)) != NULL)
		rep_error(req, API_INVALID, text, 0, NULL);
	else if (*req->job_id == '\0')
		rep_error(req, req->route->not_found, NULL, 0, NULL);
	else
		ret = 0;
	errors_free(&e);
	return (ret);
}

static void
rerun_ask(struct request *req, enum relationship relationship)
{
	struct msg_req_rerun m;
	struct submit s;
	int fd = -1;

	if (rerun_body(req, relationship == REL_FORK, &s) == -1) {
		submit_free(&s);
		return;
	}
	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, req->job_id, sizeof(m.job_id));
	m.relationship = relationship;
	m.code_len = s.code_len;
	m.timeout = (uint64_t)s.timeout;
	strlcpy(m.job_type, s.job_type, sizeof(m.job_type));
	strlcpy(m.correlation_id, req->correlation, sizeof(m.correlation_id));
	strlcpy(m.client, req->client, sizeof(m.client));
	strlcpy(m.key, req->key, sizeof(m.key));
	s.input.len = 0; /* the other one's */
	if (s.code != NULL && (fd = submit_memfd(&s)) == -1) {
		log_warn("fork");
		rep_error(req, API_BUSY, NULL, 0, NULL);
	} else
		ask(req, MSG_T_REQ_RERUN, &m, fd);
	explicit_bzero(m.key, sizeof(m.key));
	close_fd(&fd);
	submit_free(&s);
}

static void
handle_rerun(struct request *req)
{
	rerun_ask(req, REL_RERUN);
}

static void
handle_fork(struct request *req)
{
	rerun_ask(req, REL_FORK);
}

/* {name} of the path as text; -1 with what is wrong answered. */
static int
name_text(struct request *req, char *text, size_t size)
{
	*text = '\0';
	if (req->name == NULL)
		return (0);
	if (req->name_len < size &&
	    http_decode(text, size, req->name, req->name_len, 0) != -1)
		return (0);
	rep_error(req, API_BAD_PATH, NULL, 0, NULL);
	return (-1);
}

static void
handle_job_types(struct request *req)
{
	struct msg_req_job_types m;

	memset(&m, 0, sizeof(m));
	if (name_text(req, m.name, sizeof(m.name)) == 0)
		ask(req, MSG_T_REQ_JOB_TYPES, &m, -1);
}

static void
handle_build(struct request *req)
{
	struct msg_req_build m;

	memset(&m, 0, sizeof(m));
	if (name_text(req, m.name, sizeof(m.name)) == 0)
		ask(req, MSG_T_REQ_BUILD, &m, -1);
}

static void
handle_letters(struct request *req)
{
	struct msg_req_letters m;
	struct errors e;
	struct query q;

	errors_init(&e);
	query_check(&q, req->route->params, req->target, &e);
	if (e.n > 0) {
		rep_errors(req, &e);
		return;
	}
	errors_free(&e);
	memset(&m, 0, sizeof(m));
	/* What no error is called is on no page. */
	if (q.nothing)
		strlcpy(m.error_type, "?", sizeof(m.error_type));
	else if (q.list.error != -1)
		strlcpy(m.error_type,
		    job_error_name((enum job_error)q.list.error),
		    sizeof(m.error_type));
	m.limit = q.list.limit;
	m.offset = (uint64_t)q.list.offset;
	ask(req, MSG_T_REQ_LETTERS, &m, -1);
}

static void
handle_letter_stats(struct request *req)
{
	struct msg_req_letter_stats m;

	memset(&m, 0, sizeof(m));
	ask(req, MSG_T_REQ_LETTER_STATS, &m, -1);
}

static void
handle_letter_remove(struct request *req)
{
	struct msg_req_letter_remove m;
	struct errors e;
	char name[256];
	int64_t id = 0;

	if (name_text(req, name, sizeof(name)) == -1)
		return;
	errors_init(&e);
	text_integer(name, &id, &e, "path", "entry_id");
	if (e.n > 0)
		rep_errors(req, &e);
	else if (id < 1)
		rep_error(req, req->route->not_found, NULL, 0, NULL);
	else {
		memset(&m, 0, sizeof(m));
		m.id = (uint64_t)id;
		ask(req, MSG_T_REQ_LETTER_REMOVE, &m, -1);
	}
	errors_free(&e);
}

/* ---- which route -------------------------------------------------------- */

/* What stands in the path in the places of a pattern's names. */
struct found {
	char id[MAX_JOB_ID + 1];       /* "" when it is no job's */
	char other_id[MAX_JOB_ID + 1]; /* of a second {id} */
	const char *name;	       /* not decoded: it may be any bytes */
	size_t name_len;
};

/*
 * Does a path (not decoded, len bytes) have the form of a pattern? -1 when a
 * segment cannot be decoded.
 */
static int
path_match(const char *pattern, const char *path, size_t len, struct found *f)
{
	const char *end = path + len;
	char segment[256];
	size_t n, k;
	int first = 1;

	memset(f, 0, sizeof(*f));
	while (*pattern == '/' && path < end && *path == '/') {
		pattern++;
		path++;
		k = strcspn(pattern, "/");
		for (n = 0; path + n < end && path[n] != '/'; n++)
			;
		if (k == 6 && strncmp(pattern, "{name}", 6) == 0 && n > 0) {
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
		if (k == 4 && strncmp(pattern, "{id}", 4) == 0) {
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
 * 1 when the path is known, -1 when it is none.
 */
static int
route_find(struct request *req, size_t len)
{
	enum http_method method =
	    req->method == HTTP_HEAD ? HTTP_GET : req->method;
	struct found f;
	int found = 0, m;
	size_t i;

	for (i = 0; i < nitems(routes); i++) {
		m = path_match(routes[i].pattern, req->target, len, &f);
		if (m == -1)
			return (-1);
		if (m == 0)
			continue;
		found = 1;
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

static void
route_admit(struct request *req, const struct http_request *h)
{
	struct msg_req_admit m;

	memset(&m, 0, sizeof(m));
	strlcpy(m.peer, req->client, sizeof(m.peer));
	put_text(m.host, sizeof(m.host), h->host, "?");
	strlcpy(m.key, req->key, sizeof(m.key));
	m.forwarded = conn_forwarded(req->conn) ||
		      http_field(h, "forwarded", NULL) != NULL ||
		      http_field(h, "x-forwarded-for", NULL) != NULL;
	ask(req, MSG_T_REQ_ADMIT, &m, -1);
	explicit_bzero(m.key, sizeof(m.key));
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
	else
		route_go(req);
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
	body_drop(req);
	explicit_bzero(req->key, sizeof(req->key));
	if (req->page != NULL)
		evbuffer_free(req->page->items);
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
	else if (api_conf.admit && !req->open)
		route_admit(req, h);
	else
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
		size = size == 0 ? 4096 : size;
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
	if ((req->route->flags & ROUTE_BODY) != 0 &&
	    body_add(req, data, len) == -1)
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
