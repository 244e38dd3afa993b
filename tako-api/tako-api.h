/*
 * tako-api.h: the HTTP front above its connections. One process, one loop, no
 * state that matters: a request lives from its head to its answer.
 *
 * A request goes through route.c (which route, may it go on), handle.c with
 * request.c (is its body well-formed), parent.c (a question to takod), and
 * reply.c with render.c (the answer). Configuration is in api_conf, as the
 * parent sent it.
 */
#ifndef TAKO_API_H
#define TAKO_API_H

#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "blob.h"
#include "conn.h"
#include "http.h"
#include "msg.h"
#include "tako.h"

struct route;

/* Counted bytes that somebody else owns. */
struct section {
	const uint8_t *data;
	size_t len;
};

enum api_error {
	API_NONE,
	API_BAD_PATH,
	API_NO_ROUTE,
	API_METHOD,
	API_ORIGIN,
	API_KEY,
	API_RATE,
	API_TOO_LARGE,
	API_ENCODING,
	API_NO_JOB,
	API_NO_EXECUTION,
	API_NO_CANCEL,
	API_NO_LETTER,
	API_NO_JOB_TYPE,
	API_NOT_ENDED,
	API_FAILED,
	API_NO_ARTIFACT,
	API_RANGE,
	API_WAIT,
	API_CONFLICT,
	API_INVALID,
	API_QUEUE_FULL,
	API_FILLED,
	API_SPENT,
	API_UNAVAILABLE,
	API_STARTING,
	API_BUSY,
	API_INTERNAL,
	API_ERROR_MAX
};

/* What an answer of the parent becomes, where a route has the choice. */
enum form {
	FORM_NONE,
	FORM_EXECUTE,
	FORM_STATUS,
	FORM_RECORD,
	FORM_LIST,
	FORM_DIFF,
	FORM_HEALTH,
	FORM_POOL,
	FORM_HTML,
	FORM_SCRIPT,
	FORM_STYLE,
	FORM_OPENAPI
};

/* One request, from its head to its answer or its client's end. */
struct request {
	struct conn *conn;
	const struct route *route; /* NULL where fault says why */
	enum api_error fault;	   /* of path or method */
	enum http_method method;
	char *target;	/* path and query as sent */
	char allow[32]; /* the methods that its path knows */
	char correlation[MAX_CORRELATION + 1];
	char client[MAX_CLIENT + 1];
	char job_id[MAX_JOB_ID + 1];   /* of the path; "" when it is none */
	char other_id[MAX_JOB_ID + 1]; /* the second one of the path */
	const char *name; /* {name} of the path: in target, not decoded */
	size_t name_len;
	char key[513]; /* what its client showed; for a job's sake */
	uint8_t shown[TAKO_SHA256]; /* ... when it asked to be let in */
	/* Fields of the head that an artifact's answer goes by, or NULL. */
	char *range, *if_range, *none_match;
	int open;	 /* the path asks for no key */
	char *origin;	 /* of the page that asks, where it is let in */
	int preflight;	 /* asks only whether another request may */
	int slash;	 /* the path has one at its end too many */
	int star;	 /* OPTIONS * */
	int json;	 /* Content-Type says so */
	int encoded;	 /* has a Content-Encoding */
	int64_t length;	 /* Content-Length, or -1 */
	int admitted;	 /* the parent lets it go on */
	int complete;	 /* the body is all there */
	int full;	 /* view=full */
	int sync;	 /* /execute */
	uint32_t id;	 /* of the question under way, or 0 */
	int64_t started; /* us, monotonic */
	uint8_t *body;	 /* as far as it came */
	size_t body_len, body_size;
	uint64_t body_seen;
	struct page *page;     /* of a list, as far as it came */
	struct record *former; /* of a diff: the first of the two */
};

/* What the parent said of a job: the message, and parts of its memory. */
struct record {
	struct msg_rep_record m;
	struct section out, err, output, artifacts, extras;
	struct section code, input, requirements; /* with VIEW_PAYLOAD */
	struct blob *all;			  /* what they are parts of */
};

/* A list's records, as they come one after the other. */
struct page {
	int64_t limit, offset;
	int query; /* it is a search */
	unsigned count;
	struct evbuffer *items; /* JSON, with commas between */
};

/* main.c */
void api_configure(void); /* api_conf is new */
void api_sandbox(void);
void api_drain(uint64_t deadline_ms);

/* parent.c */
extern struct msg_api_setup api_conf;
void parent_open(struct event_base *);
int parent_ask(struct request *, uint32_t type, const void *, int fd);
void parent_forget(struct request *);

/* pending.c */
struct pending {
	struct pending *next;
	struct request *req; /* NULL: gone, and the parent is still to hear */
	uint32_t id;
	uint32_t type; /* of the question */
	int sync;
};
uint32_t pending_add(struct request *, uint32_t type, unsigned max);
struct pending *pending_find(uint32_t id);
void pending_remove(uint32_t id);
int pending_known(uint32_t id);
struct pending *pending_gone(void);

/* request.c: checks. Errors are members of a JSON array. */
struct errors {
	struct evbuffer *list;
	unsigned n;
};
void errors_init(struct errors *);
void errors_free(struct errors *);
/* About a field of where ("body"); index is that of a list's item, or -1. */
void errors_field(struct errors *, const char *where, const char *field,
    int index, const char *type, const char *msg, ...)
    __attribute__((format(printf, 6, 7)));

/* What an integer came to. */
enum number {
	NUM_OK,
	NUM_PARSE, /* no integer */
	NUM_SIZE,  /* too long to look at */
	NUM_FRACTION,
	NUM_INFINITE
};
/* An integer out of a string as 0.3 reads it, saturating at 64 bits. */
enum number number_of_text(const char *, size_t len, int64_t *);

/* A checked body of POST /execute. Its input is a part of the body. */
struct submit {
	char *code; /* UTF-8, NUL-terminated */
	size_t code_len;
	struct section input;
	char *requirements; /* JSON array, or NULL for none */
	int64_t timeout;    /* 0: none asked */
	int64_t startup_timeout;
	char job_type[MAX_JOB_TYPE + 1];
	char idempotency_key[MAX_IDEMPOTENCY + 1];
};

/*
 * What kinds of fields there are; request.c has the rule of each. min and max
 * bound an integer's value, a string's characters or a list's items.
 */
enum field_kind {
	FIELD_CODE,
	FIELD_INPUT,
	FIELD_INT,
	FIELD_STRING,
	FIELD_REQUIREMENTS
};

#define MAX_REQUIREMENT 256 /* characters of one */

struct field {
	const char *name;
	enum field_kind kind;
	int required;
	int nullable;
	int64_t min, max;
	int (*match)(const char *);
	const char *pattern; /* of a list: of its items */
	size_t offset;	     /* of its member of struct submit */
	const char *about;   /* for the document at /openapi.json */
};

/* A kind of body: what it is called, and its fields. */
struct body {
	const char *name, *about;
	const struct field *fields;
	size_t n_fields;
};
extern const struct body body_submit, body_rerun, body_fork;

void submit_check(struct submit *, const struct section *body, int json,
    const struct msg_api_setup *, struct errors *);
/* The same of POST /jobs/{id}/rerun, or of fork with 1. */
void rerun_check(struct submit *, int fork, const struct section *body,
    int json, const struct msg_api_setup *, struct errors *);
void submit_free(struct submit *);
/* The most that a field may be by what is configured too. */
int64_t field_max(const struct field *, const struct msg_api_setup *);
/* A ceiling that a well-formed body is above: its text, or NULL. */
const char *submit_ceiling(
    const struct submit *, const struct msg_api_setup *, char *, size_t);

/* An integer as 0.3 takes it out of a text. -1: the error is told. */
int text_integer(const char *text, int64_t *, struct errors *,
    const char *where, const char *field);

/* query.c */
/* What a query says; a route's table names the parameters it knows. */
struct query {
	int wait;
	double timeout; /* s */
	int full;
	struct msg_req_list list;
	int nothing; /* a name that none has: the list is empty */
};
struct param {
	const char *name;
	void (*check)(struct query *, const struct param *, const char *value,
	    struct errors *);
	const char *type; /* as JSON Schema calls it */
	int64_t min, max; /* of a number; of both being 0, none */
	const char *pattern;
	const char *initial; /* what holds without it, as JSON; or NULL */
	const char *about;
};
extern const struct param params_result[], params_record[], params_list[],
    params_letters[];
void query_check(
    struct query *, const struct param *, const char *target, struct errors *);

/* trust.c */
void trust_clear(void);
void trust_add(const struct msg_api_trust *);

/* cors.c: which web pages may ask */
void cors_clear(void);
void cors_add(const char *origin);
/* Takes what the head says; 0, or -1 when such a page may not ask this. */
int cors_head(struct request *, const struct http_request *);
/* Adds to an answer's head what its page has to be told. */
void cors_fields(const struct request *, struct evbuffer *head);
/* Ends a request that only asks whether another one would be let in. */
void cors_preflight(struct request *);

/* health.c: an answer that is fresh for some time */
void health_keep(struct evbuffer *body, unsigned fresh_ms);
struct evbuffer *health_kept(void); /* the caller's, or NULL */
void health_forget(void);

/* route.c */
extern const struct conn_ops route_ops;
void route_admitted(struct request *, const struct msg_rep_admit *);
/* What was admitted has to be asked again: the configuration is another. */
void route_forget(void);
enum form route_form(const struct route *);
enum api_error route_not_found(const struct route *);
/* Sends an answer and ends the request; takes the buffers over. */
void route_answer(
    struct request *, int status, struct evbuffer *head, struct evbuffer *body);

void route_answer_file(struct request *, int status, struct evbuffer *head,
    int fd, off_t off, size_t len);

/* handle.c: the first record of a diff is here, the second one is asked for */
void handle_diff_record(struct request *, const struct record *);

/* openapi.c: the document that tells of all this, by api_conf. */
void openapi_write(struct evbuffer *);

/* docs.c: that document and the page that shows it. */
void docs_configure(void); /* api_conf is new */
void docs_handle(struct request *);

/* artifact.c: downloads */
/* If-None-Match: "*", or a list of tags of which one is etag. */
int artifact_none_match(const char *list, const char *etag);
void artifact_head(struct request *, const struct http_request *);
void artifact_handle(struct request *);
/* Ends the request, or asks the parent once more. Takes fd over. */
void artifact_reply(struct request *, const struct msg_rep_artifact *, int fd);

/* reply.c: each ends the request. */
/* An error's status, and its text or NULL where that is made each time. */
int rep_status(enum api_error);
const char *rep_detail(enum api_error);
/* May any request meet it, whatever its route? */
int rep_common(enum api_error);
/* What every answer carries. */
void rep_head(struct evbuffer *head, const char *correlation);
void rep_range(struct request *, uint64_t size); /* 416 */
/* detail NULL: the error's own text. retry_after in seconds, 0 for none. */
void rep_error(struct request *, enum api_error, const char *detail,
    unsigned retry_after, const char *job_id);
void rep_errors(struct request *, struct errors *); /* 422; frees */
void rep_too_large(struct request *);
void rep_redirect(struct request *, const char *where);
void rep_options(struct request *);
/* What conn.c answers by itself, req being NULL or the one under way. */
void rep_fault(const struct request *, int status, const char *reason,
    struct evbuffer *head, struct evbuffer *body);
void rep_record(struct request *, const struct record *);
void rep_diff(struct request *, const struct record *, const struct record *);
/* One record of a list has come: ends it only where there is no room. */
void rep_item(struct request *, const struct record *);
void rep_list(struct request *, const struct msg_rep_list *);
void rep_submit(struct request *, const struct msg_rep_submit *);
void rep_cancel(struct request *, const struct msg_rep_cancel *);
void rep_stats(struct request *, const struct msg_rep_stats *);
void rep_health(struct request *, struct evbuffer *body); /* takes body */
void rep_json(struct request *, const struct section *);
/*
 * What is ours and seldom changes; more: further fields, each with its line
 * end. The data stays the caller's and has to last.
 */
void rep_page(struct request *, const char *type, const char *more,
    const char *etag, const struct section *);
void rep_refused(struct request *, const struct msg_rep_error *);

/* render.c: JSON, appended. A name with '{' before it opens its object. */
void render_bytes(struct evbuffer *, const void *, size_t);
void render_text(struct evbuffer *, const char *);
void render_printf(struct evbuffer *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
void render_string(struct evbuffer *, const void *, size_t);
void render_name(struct evbuffer *, const char *);
int json_valid(const struct section *);
int record_split(struct record *, struct blob *);
void render_diff(
    struct evbuffer *, const struct record *, const struct record *);
void render_record(struct evbuffer *, const struct record *, int full);
void render_execute(struct evbuffer *, const struct record *);
void render_status(struct evbuffer *, const struct msg_rep_record *);
void render_pool(struct evbuffer *, const struct msg_rep_stats *);
void render_health(
    struct evbuffer *, const struct msg_rep_stats *, const char *version);

#endif
