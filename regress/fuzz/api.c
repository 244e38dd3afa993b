/*
 * api.c: fuzz target of tako-api: frames of takod in any order, and clients
 * that come, ask, read and go between them. takod is trusted: a wrong frame of
 * it ends the process, which ends the case; a right one does not, and nothing
 * that a client does ends it. What it asks takod is what the catalogue lets
 * through, answers to clients are HTTP, their JSON is JSON whatever was in the
 * records, and a client that is gone leaves nothing behind.
 *
 * A step is a byte that says what happens, and what that takes: see step().
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "child.h"
#include "json.h"

/* It is done with its last client. */
static int served;
/* The memory of the frame at hand: what is left of it when that ends it. */
static struct blob *at_hand;

static struct blob *
hold(int fd, size_t len)
{
	return (at_hand = blob_from_memfd(fd, len));
}

static void
let_go(struct blob *b)
{
	at_hand = NULL;
	blob_unref(b);
}

#define main		api_main
#define _exit(status)	(served = 1)
#define blob_from_memfd hold
#define blob_unref	let_go
#include "tako-api/parent.c"
#undef blob_from_memfd
#undef blob_unref
#include "tako-api/accept.c"
#include "tako-api/conn.c"
#define base api_base
#include "tako-api/main.c"
#undef base
#undef main
#undef _exit

#define CLIENTS 4
#define JOB	"11111111-2222-4333-8444-555555555555"
#define MAX_ID	64 /* that are remembered */

/* Flags of a frame. */
#define RAW	1 /* its body comes as it is */
#define STRANGE 2 /* its memory has another length, or it is no such file */
#define BARE	4 /* no descriptor, where one need not come */
#define OTHER	8 /* it answers an id that was perhaps never given out */

/* What a client asks; %s is a job. */
static const char *const asks[] = {
	"GET /jobs/" JOB " HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /jobs/" JOB "/result?wait=true HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /executions?limit=3&q=a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /executions/" JOB "?view=full HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /executions/" JOB "/diff/" JOB " HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /execute HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
	"\r\nContent-Length: 16\r\n\r\n{\"code\":\"print\"}",
	"POST /execute/async HTTP/1.1\r\nHost: a\r\nContent-Type: application/"
	"json\r\nContent-Length: 16\r\n\r\n{\"code\":\"print\"}",
	"POST /jobs/" JOB "/cancel HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /jobs/" JOB "/rerun HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /jobs/" JOB "/fork HTTP/1.1\r\nHost: a\r\nContent-Type: "
	"application/json\r\nContent-Length: 16\r\n\r\n{\"code\":\"print\"}",
	"GET /jobs/" JOB "/artifacts/a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /jobs/" JOB "/artifacts/a.txt HTTP/1.1\r\nHost: a\r\n"
	"Range: bytes=1-2\r\nIf-None-Match: \"a\"\r\n\r\n",
	"GET /job-types HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /job-types/a/build HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /dlq HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /dlq/stats HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE /dlq/7 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /pool/stats HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /nothing HTTP/1.0\r\n\r\n",
	"GET /jobs/" JOB " HTTP/1.1\r\nHost: a\r\nX-API-Key: k\r\n"
	"Origin: http://b\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
};

static struct event_base *loop;
static int their_end; /* takod's end of the channel */
static int listening;
static struct sockaddr_un address;
static socklen_t address_len;
static struct client {
	int fd;
	int asked; /* nothing but what stands above */
	struct evbuffer *got;
} clients[CLIENTS];
/* The questions that takod was asked. */
static struct question {
	uint32_t id, type;
	int sync;
} asked[MAX_ID];
static unsigned n_asked, pings;

/* ---- what it asks -------------------------------------------------------- */

static void
question_came(const struct msg_frame *f, const union message *m, int fd)
{
	struct question *q = &asked[n_asked++ % MAX_ID];

	q->id = f->hdr.id;
	q->type = f->hdr.type;
	q->sync = 0;
	need(q->id != 0);
	if (q->type == MSG_T_REQ_SUBMIT) {
		q->sync = (int)m->req_submit.sync;
		need(
		    memfd_check(fd) ==
		    (int64_t)(m->req_submit.code_len + m->req_submit.input_len +
			      m->req_submit.requirements_len));
		need(m->req_submit.code_len <= api_conf.max_code);
		need(m->req_submit.input_len <= api_conf.max_input);
	}
	if (q->type == MSG_T_REQ_RERUN) {
		need((fd != -1) == (m->req_rerun.relationship == REL_FORK));
		need(fd == -1 ||
		     memfd_check(fd) == (int64_t)m->req_rerun.code_len);
	}
}

static void
listen_to(void)
{
	static struct msg_frame f;
	static union message m;
	const char *why;
	int fd;

	while (child_said(their_end, &f, &fd)) {
		need(msg_sender(f.hdr.type) == FROM_API);
		need(msg_read(&f, f.hdr.type, &m, &why) == 0);
		switch (f.hdr.type) {
		case MSG_T_API_PONG:
			need(pings-- > 0);
			break;
		case MSG_T_SETUP_DONE:
			need(n_asked == 0);
			break;
		case MSG_T_REQ_GONE:
			break;
		default:
			question_came(&f, &m, fd);
		}
		close_fd(&fd);
	}
}

/* ---- what takod says ----------------------------------------------------- */

static uint32_t
answer_of(const struct question *q)
{
	switch (q->type) {
	case MSG_T_REQ_ADMIT:
		return (MSG_T_REP_ADMIT);
	case MSG_T_REQ_SUBMIT:
		return (q->sync ? MSG_T_REP_RECORD : MSG_T_REP_SUBMIT);
	case MSG_T_REQ_GET:
	case MSG_T_REQ_LIST:
		return (MSG_T_REP_RECORD);
	case MSG_T_REQ_CANCEL:
		return (MSG_T_REP_CANCEL);
	case MSG_T_REQ_STATS:
		return (MSG_T_REP_STATS);
	case MSG_T_REQ_ARTIFACT:
		return (MSG_T_REP_ARTIFACT);
	default:
		return (MSG_T_REP_JSON);
	}
}

/* May it be said now, to that question? NULL: nobody waits for it. */
static int
due(uint32_t type, const struct pending *p)
{
	struct question q;

	switch (type) {
	case MSG_T_API_SETUP:
	case MSG_T_LOG_LEVEL:
		return (1);
	case MSG_T_API_TRUST:
	case MSG_T_API_ORIGIN:
		return (state != ST_START);
	case MSG_T_API_LISTEN:
		return (state == ST_SETUP || state == ST_SERVE);
	case MSG_T_API_DRAIN:
	case MSG_T_CHILD_PING:
		return ((state & ST_LATE) != 0);
	case MSG_T_REP_ERROR:
		return ((state & ST_LATE) != 0);
	default:
		if ((state & ST_LATE) == 0 || msg_sender(type) != FROM_PARENT)
			return (0);
		if (p == NULL || p->req == NULL)
			return (type >= MSG_T_REP_ADMIT &&
				strncmp(msg_name(type), "REP_", 4) == 0);
		q.type = p->type;
		q.sync = p->sync;
		return (type == answer_of(&q) ||
			(type == MSG_T_REP_LIST && q.type == MSG_T_REQ_LIST));
	}
}

/* Sealed memory that can be read alone, as a file in a store is. */
static int
readable_file(uint64_t len, struct input bytes)
{
	int fd = sealed(len, bytes), again;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	need(again != -1);
	close_fd(&fd);
	return (again);
}

/* The descriptor that comes along; *wrong: it is not as it has to be. */
static int
companion(uint32_t type, union message *m, unsigned flags, struct input *in,
    int *wrong)
{
	static const char json[] = "{\"a\": [1]}";
	static const struct input sound = { (const uint8_t *)json,
		sizeof(json) - 1 };
	struct input bytes = take_part(in, take_byte(in));
	struct json_doc doc;
	uint64_t more = (flags & STRANGE) != 0;

	*wrong = more != 0 && msg_fd(type) != FD_NONE;
	switch (type) {
	case MSG_T_API_LISTEN:
		*wrong = 0;
		return (fcntl(listening, F_DUPFD_CLOEXEC, 0));
	case MSG_T_REP_RECORD:
		more += record_lengths(&m->rep_record, in);
		if (more == 0)
			return (-1);
		return (sealed(more, bytes));
	case MSG_T_REP_JSON:
		if (bytes.len == 0)
			bytes = sound;
		m->rep_json.len = bytes.len;
		*wrong |= json_scan(bytes.p, bytes.len, 0, &doc) != 0;
		json_doc_free(&doc);
		return (sealed(bytes.len + more, bytes));
	case MSG_T_REP_ARTIFACT:
		m->rep_artifact.size %= 65536;
		if (flags & BARE) {
			*wrong = 0;
			return (-1);
		}
		if (flags & STRANGE)
			return (sealed(m->rep_artifact.size, bytes));
		return (readable_file(m->rep_artifact.size, bytes));
	case MSG_T_API_TLS:
		/* Of what openssl makes of it nothing is to be seen here. */
		m->api_tls.certificate_len = m->api_tls.key_len = 1;
		*wrong = 1;
		return (sealed(2, bytes));
	default:
		*wrong = 0;
		if (msg_fd(type) != FD_REQUIRED)
			return (-1);
		*wrong = 1;
		return (sealed(bytes.len, bytes));
	}
}

/* As long as a client that waits is of use, and no list is too long. */
static void
moderate(uint32_t type, union message *m)
{
	if (type == MSG_T_API_SETUP) {
		if (m->api_setup.max_connections < 4)
			m->api_setup.max_connections = 4;
		if (m->api_setup.max_code > 65536)
			m->api_setup.max_code = 65536;
	} else if (type == MSG_T_API_LISTEN)
		m->api_listen.tls = m->api_listen.proxy = 0;
}

/* -1: the case is at its end. */
static int
frame_comes(struct input *in)
{
	static struct msg_frame f;
	static union message m;
	struct pending *p;
	uint32_t type = msg_type_of(take_word(in)), id;
	unsigned flags = take_byte(in), which = take_byte(in);
	const char *why;
	int fd, wrong, right;

	if (msg_sender(type) != FROM_PARENT ||
	    (type == MSG_T_API_LISTEN && n_listeners == LISTENERS_MAX))
		return (0);
	id = flags & OTHER ? which
	     : n_asked > 0 ? asked[which % n_asked % MAX_ID].id
			   : 0;
	memset(&m, 0, sizeof(m));
	if ((flags & RAW) == 0) {
		make_message(in, type, &m);
		moderate(type, &m);
		fd = companion(type, &m, flags, in, &wrong);
		need(msg_pack(&f, type, id, &m) == 0);
	} else {
		make_raw(in, type, &f);
		f.hdr.id = id;
		fd = companion(type, &m, flags, in, &wrong);
		wrong = 1;
	}
	p = pending_find(id);
	right = msg_read(&f, type, &m, &why) == 0 && due(type, p) && !wrong &&
		(strncmp(msg_name(type), "REP_", 4) != 0 || pending_known(id));
	pings += right && type == MSG_T_CHILD_PING;
	if (ends_by(parent_frame, &f, fd)) {
		need(!right);
		let_go(at_hand);
		return (-1);
	}
	return (right || p == NULL || p->req == NULL ? 0 : -1);
}

/* The first frames as takod sends them. */
static void
serve(uint8_t admit)
{
	struct msg_api_setup m = { .max_payload = 65536,
		.max_code = 65536,
		.max_input = 65536,
		.max_timeout = 300,
		.max_startup_timeout = 60,
		.default_timeout = 30,
		.admit = admit & 1,
		.max_connections = 8,
		.max_connections_per_source = 8,
		.header_timeout_ms = 3600000,
		.body_timeout_ms = 3600000,
		.idle_timeout_ms = 3600000,
		.write_timeout_ms = 3600000,
		.min_rate = 1,
		.pipeline_depth = 10,
		.max_line = 8192,
		.max_head = 65536,
		.max_fields = 100,
		.max_memory = 1 << 20,
		.auth_header = "X-API-Key",
		.version = "1" };
	struct msg_api_listen l = { .name = "fuzz" };
	struct msg_frame f;

	if (state != ST_START)
		return;
	need(msg_api_setup_pack(&f, 0, &m) == 0);
	need(!ends_by(parent_frame, &f, -1));
	need(msg_api_listen_pack(&f, 0, &l) == 0);
	need(!ends_by(parent_frame, &f, fcntl(listening, F_DUPFD_CLOEXEC, 0)));
}

/* ---- clients ------------------------------------------------------------- */

/* A whole answer at the beginning of what came is looked at and taken. */
static int
answer_take(struct evbuffer *got)
{
	static const char length[] = "\r\nContent-Length: ";
	size_t all = evbuffer_get_length(got), head, body = 0;
	struct evbuffer_ptr end = evbuffer_search(got, "\r\n\r\n", 4, NULL);
	char *text, *at;
	struct json_doc doc;

	if (end.pos == -1)
		return (0);
	head = (size_t)end.pos + 4;
	text = xmalloc(head + 1);
	evbuffer_copyout(got, text, head);
	text[head] = '\0';
	need(strncmp(text, "HTTP/1.1 ", 9) == 0);
	if ((at = strcasestr(text, length)) != NULL)
		body = strtoul(at + strlen(length), NULL, 10);
	if (strncmp(text + 9, "304", 3) == 0)
		body = 0;
	if (body > all - head) {
		free(text);
		return (0);
	}
	if (body > 0 &&
	    strcasestr(text, "Content-Type: application/json\r\n") != NULL &&
	    strstr(text, "Content-Disposition") == NULL) {
		need(json_scan(
			 evbuffer_pullup(got, (ssize_t)(head + body)) + head,
			 body, 0, &doc) == 0);
		json_doc_free(&doc);
	}
	free(text);
	evbuffer_drain(got, head + body);
	return (1);
}

static void
client_reads(struct client *c)
{
	static uint8_t buf[65536];
	ssize_t n;

	if (c->fd == -1)
		return;
	while ((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		evbuffer_add(c->got, buf, (size_t)n);
	while (c->asked && answer_take(c->got))
		;
	if (n == 0)
		close_fd(&c->fd);
}

static void
client_goes(struct client *c)
{
	close_fd(&c->fd);
	evbuffer_drain(c->got, evbuffer_get_length(c->got));
}

static void
client_comes(struct client *c)
{
	client_goes(c);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	need(c->fd != -1);
	c->asked = 1;
	if (connect(c->fd, (struct sockaddr *)&address, address_len) == -1)
		close_fd(&c->fd);
}

static void
client_sends(struct client *c, const void *p, size_t len)
{
	if (c->fd != -1)
		(void)send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- steps --------------------------------------------------------------- */

static void
turn_loop(void)
{
	int i;

	for (i = 0; i < 3; i++)
		event_base_loop(loop, EVLOOP_NONBLOCK);
	listen_to();
}

static int
step(struct input *in)
{
	unsigned what = take_byte(in);
	struct client *c = &clients[what >> 3 & 3];
	struct input bytes;
	const char *ask;

	switch (what & 7) {
	case 0:
	case 1:
		if (frame_comes(in) == -1)
			return (-1);
		break;
	case 2:
		client_comes(c);
		break;
	case 3:
		ask = asks[take_byte(in) % nitems(asks)];
		client_sends(c, ask, strlen(ask));
		break;
	case 4:
		bytes = take_part(in, take_byte(in));
		c->asked = 0;
		client_sends(c, bytes.p, bytes.len);
		break;
	case 5:
		client_reads(c);
		break;
	case 6:
		if (what & 0x40)
			shutdown(c->fd, SHUT_WR);
		else
			client_goes(c);
		break;
	default:
		serve((uint8_t)what >> 3);
	}
	/* Else more happens before it is looked at. */
	if ((what & 0x80) == 0)
		turn_loop();
	return (0);
}

/* Every client goes, and with them what was there for them. */
static void
end(int ended)
{
	struct pending *p;
	uint32_t i;
	int n;

	for (n = 0; n < CLIENTS; n++) {
		client_reads(&clients[n]);
		client_goes(&clients[n]);
	}
	accept_off();
	for (n = 0; n < 100 && conn_count() > 0; n++)
		turn_loop();
	/* What lingers waits for nothing but its time. */
	while (!TAILQ_EMPTY(&conns))
		conn_end(TAILQ_FIRST(&conns));
	tell_later(-1, 0, NULL);
	need(conn_count() == 0 && n_files == 0 && held == 0);
	for (i = 0; i < n_asked && i < MAX_ID; i++) {
		p = pending_find(asked[i].id);
		need(p == NULL || ended || n_asked > MAX_ID);
		pending_remove(asked[i].id);
	}
	imsgev_free(channel);
	event_free(gone_timer);
	event_free(accept_again);
	event_free(drain_timer);
	trust_clear();
	cors_clear();
	health_forget();
	state = ST_START;
	draining = served = 0;
	max_connections = 0;
	close_fd(&their_end);
	close_fd(&listening);
}

static void
begin_once(void)
{
	int i;

	signal(SIGPIPE, SIG_IGN);
	json_memory_init();
	need((loop = event_base_new()) != NULL);
	for (i = 0; i < CLIENTS; i++) {
		clients[i].fd = -1;
		need((clients[i].got = evbuffer_new()) != NULL);
	}
}

static void
begin(void)
{
	int pair[2];

	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	their_end = pair[1];
	n_asked = pings = 0;
	drain_timer = event_new(loop, -1, EV_PERSIST, drain_look, NULL);
	conn_init(loop, &route_ops);
	channel = imsgev_new(loop, pair[0], FROM_PARENT, MSG_MAX_FRAME,
	    parent_frame, parent_end, NULL);
	gone_timer = evtimer_new(loop, tell_later, NULL);
	listening =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	need(channel != NULL && gone_timer != NULL && listening != -1);
	/* The kernel finds a name for it. */
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	need(bind(listening, (struct sockaddr *)&address,
		 sizeof(sa_family_t)) == 0);
	address_len = sizeof(address);
	need(getsockname(
		 listening, (struct sockaddr *)&address, &address_len) == 0);
	need(listen(listening, 16) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	int ended = 0;

	if (loop == NULL)
		begin_once();
	fds_begin();
	begin();
	while (in.len > 0 && !ended && !served)
		ended = step(&in) == -1;
	end(ended);
	fds_end(ended);
	return (0);
}
