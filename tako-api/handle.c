/*
 * handle.c: from a request that is complete to the question that it asks the
 * parent: a handler for each endpoint of the table in route.c. Runs in
 * tako-api; who asks may ask, and the path has the form of its route.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "route.h"
#include "util.h"

void
handle_root(struct request *req)
{
	rep_redirect(req, "/docs");
}

void
request_ask(struct request *req, uint32_t type, const void *m, int fd)
{
	if (parent_ask(req, type, m, fd) == -1)
		rep_error(req, API_BUSY, NULL, 0, NULL);
}

void
handle_stats(struct request *req)
{
	struct evbuffer *body;
	struct msg_req_stats m;

	if (req->route->form == FORM_HEALTH && (body = health_kept()) != NULL) {
		rep_health(req, body);
		return;
	}
	memset(&m, 0, sizeof(m));
	request_ask(req, MSG_T_REQ_STATS, &m, -1);
}

void
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
	request_ask(req, MSG_T_REQ_GET, &m, -1);
}

void
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
	request_ask(req, MSG_T_REQ_LIST, &q.list, -1);
}

static void
ask_payload(struct request *req, const char *job_id)
{
	struct msg_req_get m;

	memset(&m, 0, sizeof(m));
	m.view = VIEW_PAYLOAD;
	strlcpy(m.job_id, job_id, sizeof(m.job_id));
	request_ask(req, MSG_T_REQ_GET, &m, -1);
}

void
handle_diff(struct request *req)
{
	if (*req->job_id == '\0' || *req->other_id == '\0')
		rep_error(req, API_NO_EXECUTION, NULL, 0, NULL);
	else
		ask_payload(req, req->job_id);
}

void
handle_diff_record(struct request *req, const struct record *rec)
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

void
handle_cancel(struct request *req)
{
	struct msg_req_cancel m;

	if (*req->job_id == '\0') {
		rep_error(req, req->route->not_found, NULL, 0, NULL);
		return;
	}
	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, req->job_id, sizeof(m.job_id));
	request_ask(req, MSG_T_REQ_CANCEL, &m, -1);
}

/* Code, input and requirements one behind the other, sealed. */
static int
submit_memfd(const struct submit *s)
{
	size_t n = s->requirements == NULL ? 0 : strlen(s->requirements);
	struct iovec parts[] = {
		{ s->code, s->code_len },
		{ (void *)(uintptr_t)s->input.data, s->input.len },
		{ s->requirements, n },
	};
	int fd;

	if ((fd = memfd_new("submit")) == -1)
		return (-1);
	/* Memory takes all of it at once, or there is none. */
	if (writev(fd, parts, nitems(parts)) !=
		(ssize_t)(s->code_len + s->input.len + n) ||
	    memfd_seal(fd) == -1)
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
	request_ask(req, MSG_T_REQ_SUBMIT, &m, fd);
	explicit_bzero(m.key, sizeof(m.key));
}

void
request_body_drop(struct request *req)
{
	conn_hold(-(ssize_t)req->body_size);
	free(req->body);
	req->body = NULL;
	req->body_len = req->body_size = 0;
}

void
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
		request_body_drop(req);
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
		request_ask(req, MSG_T_REQ_RERUN, &m, fd);
	explicit_bzero(m.key, sizeof(m.key));
	close_fd(&fd);
	submit_free(&s);
}

void
handle_rerun(struct request *req)
{
	rerun_ask(req, REL_RERUN);
}

void
handle_fork(struct request *req)
{
	rerun_ask(req, REL_FORK);
}

/* The name in the path as text; -1 with what is wrong answered. */
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

void
handle_job_types(struct request *req)
{
	struct msg_req_job_types m;

	memset(&m, 0, sizeof(m));
	if (name_text(req, m.name, sizeof(m.name)) == 0)
		request_ask(req, MSG_T_REQ_JOB_TYPES, &m, -1);
}

static void
build_ask(struct request *req, int look)
{
	struct msg_req_build m;

	memset(&m, 0, sizeof(m));
	m.look = (uint64_t)look;
	if (name_text(req, m.name, sizeof(m.name)) == 0)
		request_ask(req, MSG_T_REQ_BUILD, &m, -1);
}

void
handle_build(struct request *req)
{
	build_ask(req, 0);
}

void
handle_build_show(struct request *req)
{
	build_ask(req, 1);
}

void
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
	request_ask(req, MSG_T_REQ_LETTERS, &m, -1);
}

void
handle_letter_stats(struct request *req)
{
	struct msg_req_letter_stats m;

	memset(&m, 0, sizeof(m));
	request_ask(req, MSG_T_REQ_LETTER_STATS, &m, -1);
}

void
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
		request_ask(req, MSG_T_REQ_LETTER_REMOVE, &m, -1);
	}
	errors_free(&e);
}
