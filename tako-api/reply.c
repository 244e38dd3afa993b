/*
 * reply.c: answers to clients. Runs in tako-api. Here alone an error becomes
 * an HTTP status and a text; what every answer carries is put in here too.
 * Each rep_ function ends the request that it is given.
 */
#include <inttypes.h>
#include <string.h>

#include "log.h"
#include "tako-api.h"
#include "util.h"

/*
 * Every error that a client can meet, validation lists excepted. common: any
 * request may, whatever its route; the others are those that a route names.
 */
static const struct {
	int status;
	const char *detail;
	int common;
} errors[API_ERROR_MAX] = {
	[API_BAD_PATH] = { 400, "Invalid path", 1 },
	[API_NO_ROUTE] = { 404, "Not Found", 1 },
	[API_METHOD] = { 405, "Method Not Allowed", 1 },
	[API_ORIGIN] = { 403, "Pages of this origin may not ask", 1 },
	[API_KEY] = { 401, "Missing or invalid API key.", 1 },
	[API_RATE] = { 429, "Rate limit exceeded. Try again later.", 1 },
	[API_TOO_LARGE] = { 413, NULL, 1 }, /* names the limit */
	[API_ENCODING] = { 415, "Content-Encoding is not supported", 1 },
	[API_NO_JOB] = { 404, "Job not found" },
	[API_NO_EXECUTION] = { 404, "Execution not found" },
	[API_NO_CANCEL] = { 404, "Job not found or already completed" },
	[API_NO_LETTER] = { 404, "DLQ entry not found" },
	[API_NO_JOB_TYPE] = { 404, NULL }, /* names it */
	[API_NOT_ENDED] = { 400, "Cannot rerun job that hasn't completed" },
	[API_FAILED] = { 500, NULL }, /* says why */
	[API_NO_ARTIFACT] = { 404, "Artifact not found" },
	[API_RANGE] = { 416, "Requested range not satisfiable" },
	[API_WAIT] = { 408, "Timeout waiting for job" },
	[API_CONFLICT] = { 409,
	    "Idempotency key reused with different payload" },
	[API_INVALID] = { 422, NULL }, /* says what to mend */
	[API_QUEUE_FULL] = { 503, "Job queue is full, try again later" },
	[API_FILLED] = { 429,
	    "Too many jobs of this client are waiting, try again later" },
	[API_SPENT] = { 429,
	    "Budget of this client is used up, try again later" },
	[API_UNAVAILABLE] = { 503, "Service temporarily unavailable", 1 },
	[API_STARTING] = { 503, "Server is not ready yet", 1 },
	[API_BUSY] = { 503, "Too many requests are under way", 1 },
	[API_INTERNAL] = { 500, "Internal server error", 1 },
};

/* The parent's word for it, and a client's. */
static const enum api_error refusals[REP_MAX] = {
	[REP_NONE] = API_INTERNAL,
	[REP_NOT_FOUND] = API_NO_JOB, /* or as the route says */
	[REP_NO_ARTIFACT] = API_NO_ARTIFACT,
	[REP_CONFLICT] = API_CONFLICT,
	[REP_QUEUE_FULL] = API_QUEUE_FULL,
	[REP_FILLED] = API_FILLED,
	[REP_SPENT] = API_SPENT,
	[REP_UNAVAILABLE] = API_UNAVAILABLE,
	[REP_STARTING] = API_STARTING,
	[REP_INVALID] = API_INVALID,
	[REP_NOT_ENDED] = API_NOT_ENDED,
	[REP_FAILED] = API_FAILED,
	[REP_DENIED] = API_KEY, /* its key was taken away meanwhile */
	[REP_INTERNAL] = API_INTERNAL,
};

int
rep_status(enum api_error error)
{
	return (errors[error].status);
}

const char *
rep_detail(enum api_error error)
{
	return (errors[error].detail);
}

int
rep_common(enum api_error error)
{
	return (errors[error].common);
}

/* Seconds after which a client may come again, where nobody knows better. */
#define RETRY_AFTER 1

static struct evbuffer *
body_new(void)
{
	struct evbuffer *body;

	if ((body = evbuffer_new()) == NULL)
		fatal(NULL);
	return (body);
}

void
rep_head(struct evbuffer *head, const char *correlation)
{
	render_printf(head,
	    "X-Correlation-ID: %s\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "X-Frame-Options: DENY\r\n"
	    "X-XSS-Protection: 1; mode=block\r\n",
	    correlation);
}

#define JSON_TYPE "Content-Type: application/json\r\n"

/*
 * Sends an answer: JSON unless body is NULL. more: further fields, each with
 * its line end, or "". Takes body over.
 */
static void
rep_send(
    struct request *req, int status, const char *more, struct evbuffer *body)
{
	struct evbuffer *head = body_new();

	rep_head(head, req->correlation);
	render_printf(head, "%s%s", body == NULL ? "" : JSON_TYPE, more);
	route_answer(req, status, head, body);
}

#define NO_STORE "Cache-Control: no-store\r\n"

static void
detail_put(struct evbuffer *body, const char *detail, const char *correlation)
{
	render_name(body, "{detail");
	render_string(body, detail, strlen(detail));
	render_name(body, "correlation_id");
	render_string(body, correlation, strlen(correlation));
}

void
rep_error(struct request *req, enum api_error error, const char *detail,
    unsigned retry_after, const char *job_id)
{
	struct evbuffer *body = body_new();
	char more[128] = "";

	if (detail == NULL)
		detail = errors[error].detail;
	detail_put(body, detail, req->correlation);
	if (job_id != NULL) {
		render_name(body, "existing_job_id");
		render_string(body, job_id, strlen(job_id));
	}
	render_text(body, "}");
	if (error == API_KEY)
		strlcpy(more, "WWW-Authenticate: Bearer\r\n", sizeof(more));
	else if (error == API_METHOD)
		snprintf(more, sizeof(more), "Allow: %s\r\n", req->allow);
	else if (retry_after > 0 || errors[error].status == 503)
		snprintf(more, sizeof(more), "Retry-After: %u\r\n",
		    retry_after > 0 ? retry_after : RETRY_AFTER);
	rep_send(req, errors[error].status, more, body);
}

void
rep_range(struct request *req, uint64_t size)
{
	struct evbuffer *body = body_new();
	char more[64];

	detail_put(body, errors[API_RANGE].detail, req->correlation);
	render_text(body, "}");
	snprintf(more, sizeof(more), "Content-Range: bytes */%llu\r\n",
	    (unsigned long long)size);
	rep_send(req, errors[API_RANGE].status, more, body);
}

void
rep_too_large(struct request *req)
{
	char detail[96];

	snprintf(detail, sizeof(detail),
	    "Payload too large. Maximum allowed size is %llu bytes.",
	    (unsigned long long)api_conf.max_payload);
	rep_error(req, API_TOO_LARGE, detail, 0, NULL);
}

/* 422 with a list; the list is freed. */
void
rep_errors(struct request *req, struct errors *e)
{
	struct evbuffer *body = body_new();

	render_text(body, "{\"detail\":[");
	if (evbuffer_add_buffer(body, e->list) == -1)
		fatal(NULL);
	render_text(body, "]");
	render_name(body, "correlation_id");
	render_string(body, req->correlation, strlen(req->correlation));
	render_text(body, "}");
	errors_free(e);
	rep_send(req, 422, "", body);
}

/* where: a path of ours, or a client's own target, which has no CR or LF. */
void
rep_redirect(struct request *req, const char *where)
{
	char more[HTTP_MAX_LINE + 32];

	snprintf(more, sizeof(more), "Location: %s\r\n", where);
	rep_send(req, 307, more, NULL);
}

void
rep_fault(const struct request *req, int status, const char *reason,
    struct evbuffer *head, struct evbuffer *body)
{
	char uuid[37];
	const char *correlation = uuid;

	if (req != NULL)
		correlation = req->correlation;
	else
		uuid4(uuid);
	rep_head(head, correlation);
	render_text(head, JSON_TYPE);
	if (status == 503)
		render_printf(head, "Retry-After: %d\r\n", RETRY_AFTER);
	detail_put(body, reason, correlation);
	render_text(body, "}");
}

/* OPTIONS *: what there is at all. */
void
rep_options(struct request *req)
{
	rep_send(req, 204, "Allow: GET, HEAD, POST, DELETE\r\n", NULL);
}

/* ---- answers of the parent ---------------------------------------------- */

void
rep_record(struct request *req, const struct record *rec)
{
	struct evbuffer *body;

	if (rec->m.timed_out) {
		rep_error(req, API_WAIT, NULL, 0, NULL);
		return;
	}
	if (route_form(req->route) == FORM_DIFF) {
		handle_diff_record(req, rec);
		return;
	}
	body = body_new();
	switch (route_form(req->route)) {
	case FORM_EXECUTE:
		render_execute(body, rec);
		break;
	case FORM_STATUS:
		render_status(body, &rec->m);
		break;
	default:
		render_record(body, rec, req->full);
		break;
	}
	rep_send(req, 200, NO_STORE, body);
}

void
rep_item(struct request *req, const struct record *rec)
{
	struct evbuffer *items = req->page->items;
	size_t before = evbuffer_get_length(items), len;
	int room;

	if (req->page->count++ > 0)
		render_text(items, ",");
	render_record(items, rec, req->full);
	len = evbuffer_get_length(items);
	/* What may be too much is the page, not its last record. */
	conn_hold(-(ssize_t)before);
	room = conn_room(len);
	conn_hold((ssize_t)len);
	if (!room) {
		parent_forget(req);
		rep_error(req, API_BUSY, NULL, 0, NULL);
	}
}

/* What 0.3 has, then our own: where to go on, and how far a search sees. */
void
rep_list(struct request *req, const struct msg_rep_list *m)
{
	struct evbuffer *body = body_new();
	const struct page *p = req->page;

	render_text(body, "{\"items\":[");
	conn_hold(-(ssize_t)evbuffer_get_length(p->items));
	if (evbuffer_add_buffer(body, p->items) == -1)
		fatal(NULL);
	render_printf(body,
	    "],\"limit\":%" PRId64 ",\"offset\":%" PRId64
	    ",\"has_more\":%s,\"count\":%u,\"takod\":{\"next\":",
	    p->limit, p->offset, m->next != 0 ? "true" : "false", p->count);
	if (m->next != 0)
		render_printf(body, "\"%" PRId64 "\"", m->next);
	else
		render_text(body, "null");
	if (p->query)
		render_printf(body, ",\"unindexed\":%" PRIu64, m->unindexed);
	render_text(body, "}}");
	rep_send(req, 200, NO_STORE, body);
}

void
rep_diff(struct request *req, const struct record *a, const struct record *b)
{
	struct evbuffer *body = body_new();

	render_diff(body, a, b);
	rep_send(req, 200, NO_STORE, body);
}

void
rep_submit(struct request *req, const struct msg_rep_submit *m)
{
	struct evbuffer *body = body_new();
	const char *status = job_status_name((enum job_status)m->status);

	render_name(body, "{job_id");
	render_string(body, m->job_id, strlen(m->job_id));
	render_name(body, "status");
	render_string(body, status, strlen(status));
	render_text(body, "}");
	rep_send(req, 200, NO_STORE, body);
}

void
rep_cancel(struct request *req, const struct msg_rep_cancel *m)
{
	struct evbuffer *body = body_new();

	render_text(body, "{\"status\":\"cancelled\",\"job_id\":");
	render_string(body, m->job_id, strlen(m->job_id));
	render_text(body, "}");
	rep_send(req, 200, NO_STORE, body);
}

void
rep_stats(struct request *req, const struct msg_rep_stats *m)
{
	struct evbuffer *body = body_new();

	if (route_form(req->route) != FORM_HEALTH)
		render_pool(body, m);
	else if (m->ready)
		render_health(body, m, api_conf.version);
	else {
		render_text(body, "{\"status\":\"starting\","
				  "\"detail\":\"Server is not ready yet\"}");
		rep_send(req, 503, "Retry-After: 1\r\n", body);
		return;
	}
	if (route_form(req->route) == FORM_HEALTH && m->fresh_ms > 0)
		health_keep(body, (unsigned)m->fresh_ms);
	rep_send(req, 200, "", body);
}

void
rep_health(struct request *req, struct evbuffer *body)
{
	rep_send(req, 200, "", body);
}

/* JSON of the parent's, as it is. */
void
rep_json(struct request *req, const struct section *json)
{
	struct evbuffer *body = body_new();

	render_bytes(body, json->data, json->len);
	rep_send(req, 200, NO_STORE, body);
}

void
rep_page(struct request *req, const char *type, const char *more,
    const char *etag, const struct section *data)
{
	struct evbuffer *head = body_new(), *body;

	rep_head(head, req->correlation);
	/* It may be kept, and is asked for anew each time. */
	render_printf(head,
	    "Cache-Control: no-cache\r\n"
	    "ETag: %s\r\n%s",
	    etag, more);
	if (req->none_match != NULL &&
	    artifact_none_match(req->none_match, etag)) {
		route_answer(req, 304, head, NULL);
		return;
	}
	render_printf(head, "Content-Type: %s\r\n", type);
	body = body_new();
	render_bytes(body, data->data, data->len);
	route_answer(req, 200, head, body);
}

void
rep_refused(struct request *req, const struct msg_rep_error *m)
{
	enum api_error error = refusals[m->error];
	const char *detail = NULL;

	if (error == API_NO_JOB)
		error = route_not_found(req->route);
	if (errors[error].detail == NULL || error == API_UNAVAILABLE)
		detail = *m->detail != '\0' ? m->detail : NULL;
	if (detail == NULL && errors[error].detail == NULL)
		detail = "Invalid request";
	rep_error(req, error, detail, (unsigned)m->retry_after,
	    error == API_CONFLICT && *m->job_id != '\0' ? m->job_id : NULL);
}
