/*
 * parent.c: the channel to takod. Runs in tako-api. What the parent sends is
 * a bug when it is malformed, of a type that the state does not permit, or
 * the answer to a question of another kind: then this process ends, and the
 * parent makes another. The end of the channel is the end of this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "blob.h"
#include "event_arm.h"
#include "imsgev.h"
#include "failpoint.h"
#include "log.h"
#include "sandbox.h"
#include "tako-api.h"
#include "tls.h"
#include "util.h"

/* Where this process is in its life; each is a bit of the rule table. */
enum {
	ST_START = 1, /* nothing is known yet */
	ST_SETUP = 2, /* the configuration is there, no listener yet */
	ST_SERVE = 4, /* sandboxed, serving */
	ST_DRAIN = 8  /* serving what is under way */
};
#define ST_LATE (ST_SERVE | ST_DRAIN)

typedef void (*parent_handler)(const struct msg_frame *, int fd);

static void parent_setup(const struct msg_frame *, int);
static void parent_listen(const struct msg_frame *, int);
static void parent_trust(const struct msg_frame *, int);
static void parent_origin(const struct msg_frame *, int);
static void parent_tls(const struct msg_frame *, int);
static void parent_drain(const struct msg_frame *, int);
static void parent_level(const struct msg_frame *, int);
static void parent_ping(const struct msg_frame *, int);
static void parent_answer(const struct msg_frame *, int);

/* What the parent may send, and when. */
static const struct rule {
	uint32_t type;
	unsigned states;
	parent_handler handler;
} rules[] = {
	{ MSG_T_LOG_LEVEL, ST_START | ST_SETUP | ST_LATE, parent_level },
	{ MSG_T_CHILD_PING, ST_LATE, parent_ping },
	{ MSG_T_API_SETUP, ST_START | ST_SETUP | ST_LATE, parent_setup },
	{ MSG_T_API_LISTEN, ST_SETUP | ST_SERVE, parent_listen },
	{ MSG_T_API_TRUST, ST_SETUP | ST_LATE, parent_trust },
	{ MSG_T_API_ORIGIN, ST_SETUP | ST_LATE, parent_origin },
	{ MSG_T_API_TLS, ST_SETUP | ST_LATE, parent_tls },
	{ MSG_T_API_DRAIN, ST_LATE, parent_drain },
	{ MSG_T_REP_ADMIT, ST_LATE, parent_answer },
	{ MSG_T_REP_SUBMIT, ST_LATE, parent_answer },
	{ MSG_T_REP_CANCEL, ST_LATE, parent_answer },
	{ MSG_T_REP_STATS, ST_LATE, parent_answer },
	{ MSG_T_REP_JSON, ST_LATE, parent_answer },
	{ MSG_T_REP_RECORD, ST_LATE, parent_answer },
	{ MSG_T_REP_ARTIFACT, ST_LATE, parent_answer },
	{ MSG_T_REP_LIST, ST_LATE, parent_answer },
	{ MSG_T_REP_ERROR, ST_LATE, parent_answer },
};

static struct imsgev *channel;
static struct event *gone_timer;
static void tell_later(evutil_socket_t, short, void *);
static unsigned state = ST_START;
struct msg_api_setup api_conf;

#define READ(name, f, m)                                                       \
	do {                                                                   \
		const char *why_;                                              \
		if (msg_##name##_read(f, m, &why_) == -1)                      \
			fatalx("parent: " #name ": %s", why_);                 \
	} while (0)

/* ---- what is not an answer ---------------------------------------------- */

static void
parent_level(const struct msg_frame *f, int fd)
{
	struct msg_log_level m;

	(void)fd;
	READ(log_level, f, &m);
	log_set_level((enum log_level)m.level);
}

static void
parent_ping(const struct msg_frame *f, int fd)
{
	struct msg_child_ping m;
	struct msg_api_pong pong = { 0 };

	(void)fd;
	READ(child_ping, f, &m);
	if (imsgev_compose(channel, MSG_T_API_PONG, 0, &pong, -1) == -1)
		log_warn("parent: api_pong");
}

static void
parent_setup(const struct msg_frame *f, int fd)
{
	(void)fd;
	READ(api_setup, f, &api_conf);
	trust_clear();
	health_forget();
	cors_clear();
	if (state == ST_START)
		state = ST_SETUP;
	/* A reload: the listeners come anew; the sockets stay the parent's. */
	if (state == ST_SERVE)
		accept_off();
	api_configure();
}

/* The first listener is what was still missing: from then on it serves. */
static void
parent_listen(const struct msg_frame *f, int fd)
{
	struct msg_api_listen m;
	struct msg_setup_done done;

	READ(api_listen, f, &m);
	if (state == ST_SETUP) {
		api_sandbox();
		state = ST_SERVE;
		memset(&done, 0, sizeof(done));
		done.pid = (uint64_t)log_pid();
		if (imsgev_compose(channel, MSG_T_SETUP_DONE, 0, &done, -1) ==
		    -1)
			fatal("parent: setup_done");
	}
	log_debug("listening on %s", m.name);
	accept_on(fd, m.tls != 0, m.proxy != 0);
}

static void
parent_trust(const struct msg_frame *f, int fd)
{
	struct msg_api_trust m;

	(void)fd;
	READ(api_trust, f, &m);
	trust_add(&m);
}

static void
parent_origin(const struct msg_frame *f, int fd)
{
	struct msg_api_origin m;

	(void)fd;
	READ(api_origin, f, &m);
	cors_add(m.origin);
}

/* The parent has looked whether the two fit: else they would not come. */
static void
parent_tls(const struct msg_frame *f, int fd)
{
	struct msg_api_tls m;
	struct blob *b;
	SSL_CTX *ctx;
	char detail[128];

	READ(api_tls, f, &m);
	b = blob_from_memfd(fd, m.certificate_len + m.key_len);
	if (b == NULL)
		fatalx("parent: api_tls: no sealed memory of its length");
	ctx = tls_context(blob_data(b), m.certificate_len,
	    blob_data(b) + m.certificate_len, m.key_len, detail,
	    sizeof(detail));
	if (ctx == NULL)
		fatalx("parent: api_tls: %s", detail);
	conn_set_tls(ctx);
	blob_unref(b);
}

static void
parent_drain(const struct msg_frame *f, int fd)
{
	struct msg_api_drain m;

	(void)fd;
	READ(api_drain, f, &m);
	state = ST_DRAIN;
	api_drain(m.deadline_ms);
}

/* ---- answers ------------------------------------------------------------ */

/* May an answer of this type follow that question? */
static int
answers(uint32_t answer, uint32_t question, int sync)
{
	switch (question) {
	case MSG_T_REQ_ADMIT:
		return (answer == MSG_T_REP_ADMIT);
	case MSG_T_REQ_SUBMIT:
		return (answer == (sync ? MSG_T_REP_RECORD : MSG_T_REP_SUBMIT));
	case MSG_T_REQ_GET:
		return (answer == MSG_T_REP_RECORD);
	case MSG_T_REQ_LIST:
		return (answer == MSG_T_REP_RECORD || answer == MSG_T_REP_LIST);
	case MSG_T_REQ_CANCEL:
		return (answer == MSG_T_REP_CANCEL);
	case MSG_T_REQ_STATS:
		return (answer == MSG_T_REP_STATS);
	case MSG_T_REQ_RERUN:
	case MSG_T_REQ_JOB_TYPES:
	case MSG_T_REQ_BUILD:
	case MSG_T_REQ_LETTERS:
	case MSG_T_REQ_LETTER_STATS:
	case MSG_T_REQ_LETTER_REMOVE:
		return (answer == MSG_T_REP_JSON);
	case MSG_T_REQ_ARTIFACT:
		return (answer == MSG_T_REP_ARTIFACT);
	default:
		return (0);
	}
}

static void
parent_record(const struct msg_frame *f, int fd, struct request *req, int list)
{
	struct record rec;
	struct blob *all = NULL;
	int64_t size;

	memset(&rec, 0, sizeof(rec));
	READ(rep_record, f, &rec.m);
	if (fd != -1 && ((size = memfd_check(fd)) == -1 ||
			    (all = blob_from_memfd(fd, (size_t)size)) == NULL))
		fatalx("parent: rep_record: a descriptor that is no sealed "
		       "memory");
	if (record_split(&rec, all) == -1)
		fatalx("parent: rep_record: lengths and memory differ");
	rec.all = all;
	if (list)
		rep_item(req, &rec);
	else
		rep_record(req, &rec);
	blob_unref(all);
}

/* What comes along is to be sent from: a file, all there, not to be written. */
static void
parent_artifact(const struct msg_frame *f, int fd, struct request *req)
{
	struct msg_rep_artifact m;
	struct stat st;

	READ(rep_artifact, f, &m);
	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
			    (uint64_t)st.st_size < m.size ||
			    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY))
		fatalx("parent: rep_artifact: a descriptor that is no such "
		       "file");
	artifact_reply(req, &m, fd);
}

static void
parent_json(const struct msg_frame *f, int fd, struct request *req)
{
	struct msg_rep_json m;
	struct section json;
	struct blob *b;

	READ(rep_json, f, &m);
	if ((b = blob_from_memfd(fd, m.len)) == NULL)
		fatalx("parent: rep_json: no sealed memory of its length");
	json.data = blob_data(b);
	json.len = blob_len(b);
	if (!json_valid(&json))
		fatalx("parent: rep_json: no JSON");
	rep_json(req, &json);
	blob_unref(b);
}

static void
parent_answer(const struct msg_frame *f, int fd)
{
	union {
		struct msg_rep_admit admit;
		struct msg_rep_submit submit;
		struct msg_rep_cancel cancel;
		struct msg_rep_stats stats;
		struct msg_rep_list list;
		struct msg_rep_error error;
	} m;
	const struct pending *p = pending_find(f->hdr.id);
	struct request *req;

	if (p == NULL || p->req == NULL) {
		if (!pending_known(f->hdr.id))
			fatalx("parent: an answer to what was never asked");
		/* Its client went away, and the two messages crossed. */
		pending_remove(f->hdr.id);
		close_fd(&fd);
		return;
	}
	req = p->req;
	if (p->type == MSG_T_REQ_SUBMIT)
		FAILPOINT("api.answered");
	if (f->hdr.type != MSG_T_REP_ERROR &&
	    !answers(f->hdr.type, p->type, p->sync))
		fatalx("parent: %s answers %s", msg_name(f->hdr.type),
		    msg_name(p->type));
	log_set_correlation(req->correlation);
	if (p->type == MSG_T_REQ_LIST && f->hdr.type == MSG_T_REP_RECORD) {
		/* More come, until the last word. */
		parent_record(f, fd, req, 1);
		log_set_correlation(NULL);
		return;
	}
	pending_remove(f->hdr.id);
	req->id = 0;
	switch (f->hdr.type) {
	case MSG_T_REP_ADMIT:
		READ(rep_admit, f, &m.admit);
		route_admitted(req, &m.admit);
		break;
	case MSG_T_REP_SUBMIT:
		READ(rep_submit, f, &m.submit);
		rep_submit(req, &m.submit);
		break;
	case MSG_T_REP_CANCEL:
		READ(rep_cancel, f, &m.cancel);
		rep_cancel(req, &m.cancel);
		break;
	case MSG_T_REP_STATS:
		READ(rep_stats, f, &m.stats);
		rep_stats(req, &m.stats);
		break;
	case MSG_T_REP_RECORD:
		parent_record(f, fd, req, 0);
		break;
	case MSG_T_REP_LIST:
		READ(rep_list, f, &m.list);
		rep_list(req, &m.list);
		break;
	case MSG_T_REP_JSON:
		parent_json(f, fd, req);
		break;
	case MSG_T_REP_ARTIFACT:
		parent_artifact(f, fd, req);
		break;
	case MSG_T_REP_ERROR:
		READ(rep_error, f, &m.error);
		rep_refused(req, &m.error);
		break;
	}
	log_set_correlation(NULL);
}

/* ---- the channel -------------------------------------------------------- */

static int
parent_frame(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	size_t i;

	(void)iev;
	(void)arg;
	for (i = 0; i < nitems(rules); i++)
		if (rules[i].type == f->hdr.type)
			break;
	if (i == nitems(rules) || (rules[i].states & state) == 0)
		fatalx(
		    "parent: %s is not permitted now", msg_name(f->hdr.type));
	rules[i].handler(f, fd);
	return (0);
}

static void
parent_end(struct imsgev *iev, const char *why, void *arg)
{
	(void)iev;
	(void)arg;
	if (why != NULL)
		fatalx("parent: %s", why);
	_exit(0);
}

void
parent_open(struct event_base *base)
{
	channel = imsgev_new(base, MSG_FD, FROM_PARENT, MSG_MAX_FRAME,
	    parent_frame, parent_end, NULL);
	gone_timer = evtimer_new(base, tell_later, NULL);
	if (channel == NULL || gone_timer == NULL)
		fatal("parent: channel");
}

/*
 * Asks the parent for a request; its answer goes to the rep_ function of
 * its type. -1 when the parent has too much to do: the client is to come
 * again later.
 */
int
parent_ask(struct request *req, uint32_t type, const void *m, int fd)
{
	uint32_t id;

	if ((id = pending_add(req, type, (unsigned)api_conf.max_connections)) ==
	    0)
		return (-1);
	if (imsgev_compose(channel, type, id, m, fd) == -1) {
		log_warn("parent: %s", msg_name(type));
		pending_remove(id);
		return (-1);
	}
	req->id = id;
	return (0);
}

/* -1 when the parent does not read just now. */
static int
tell_gone(uint32_t id)
{
	struct msg_req_gone m;

	memset(&m, 0, sizeof(m));
	if (imsgev_compose(channel, MSG_T_REQ_GONE, id, &m, -1) == 0) {
		pending_remove(id);
		return (0);
	}
	if (errno != ENOBUFS)
		fatal("parent: req_gone");
	return (-1);
}

static void
tell_later(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = { 0, 50000 };
	const struct pending *p;

	(void)fd;
	(void)what;
	(void)arg;
	while ((p = pending_gone()) != NULL)
		if (tell_gone(p->id) == -1) {
			event_arm(gone_timer, &soon);
			return;
		}
}

/*
 * The client of a request went away. The parent is told where it would go
 * on working for the answer; what it did already is done.
 */
void
parent_forget(struct request *req)
{
	struct pending *p;

	if (req->id == 0 || (p = pending_find(req->id)) == NULL)
		return;
	req->id = 0;
	if (p->type != MSG_T_REQ_GET && p->type != MSG_T_REQ_LIST &&
	    p->type != MSG_T_REQ_SUBMIT) {
		pending_remove(p->id);
		return;
	}
	p->req = NULL;
	if (!evtimer_pending(gone_timer, NULL))
		tell_later(-1, 0, NULL);
}
