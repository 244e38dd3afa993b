/*
 * worker.c: fuzz target of tako-worker: frames of takod in any order, between
 * any bytes of a container's stream. takod is trusted: a wrong frame of it ends
 * the process, which ends the case; and a right one does not. The stream is
 * hostile: nothing that it says ends the process, breaks a cap, or has a
 * message sent that takod does not permit then.
 *
 * A step is a byte that says what happens, and what that takes: see step().
 */
#include <fcntl.h>
#include <sha2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "json.h"

/* The key of the tags is known here. */
#define KEY		     0x55
#define arc4random_buf(p, n) memset(p, KEY, n)
#define main		     worker_main
#include "tako-worker/main.c"
#undef main
#undef arc4random_buf

/* Flags of a frame. */
#define RAW	1 /* its body comes as it is */
#define OTHER	2 /* not with the token of this job */
#define SMALL	4 /* no bytes of code and input but those that come */
#define STRANGE 8 /* a descriptor that is something else */

/* The worker as takod knows it by what it said. */
static struct {
	enum {
		CHILD_STARTING,
		CHILD_SERVING,
		CHILD_IDLE,
		CHILD_READY,
		CHILD_RUNNING,
		CHILD_COLLECTING,
		CHILD_DONE
	} state;
	int streamed;	       /* it was given its stream */
	int started;	       /* and a job */
	unsigned pongs, texts; /* that are due */
	uint64_t number;       /* of the last text */
	int executed, ready;
	unsigned outputs; /* a bit for each that came */
	unsigned artifacts;
	uint64_t total;
} seen;
static int channel, container = -1, folder = -1;
static uint64_t tagged; /* frames of tako-init since READY */
static char folder_path[128];

/* ---- what it says -------------------------------------------------------- */

static void
output_came(const struct msg_job_output *m, int fd)
{
	const uint64_t caps[] = { w.setup.max_stdout, w.setup.max_stderr,
		w.setup.max_result };
	struct blob *b = blob_from_memfd(fd, m->len);
	struct json_doc doc;

	need(b != NULL && m->len <= caps[m->which]);
	need((seen.outputs & 1u << m->which) == 0);
	seen.outputs |= 1u << m->which;
	if (m->which == OUTPUT_RESULT) {
		need(json_scan(blob_data(b), m->len, JSON_FINITE, &doc) == 0);
		json_doc_free(&doc);
	} else
		need(utf8_valid(blob_data(b), m->len) &&
		     memchr(blob_data(b), '\0', m->len) == NULL);
	blob_unref(b);
}

static void
artifact_came(const struct msg_job_artifact *m)
{
	uint8_t digest[TAKO_SHA256];
	char number[16];
	uint8_t *data;
	SHA2_CTX ctx;
	size_t len;

	need(m->number == seen.artifacts++);
	need(seen.artifacts <= w.setup.max_artifacts);
	need(m->size <= w.setup.max_artifact);
	need((seen.total += m->size) <= w.setup.max_artifacts_total);
	need(m->name.len > 0 && m->name.data[0] != '.');
	need(memchr(m->name.data, '/', m->name.len) == NULL);
	need(memchr(m->name.data, '\0', m->name.len) == NULL);
	snprintf(number, sizeof(number), "%u", (unsigned)m->number);
	data = (uint8_t *)read_file(folder, number, 1 << 20, &len);
	need(data != NULL && len == m->size);
	SHA256Init(&ctx);
	SHA256Update(&ctx, data, len);
	SHA256Final(digest, &ctx);
	need(memcmp(digest, m->sha256, sizeof(digest)) == 0);
	free(data);
}

static void
done_came(const struct msg_job_done *m)
{
	need(m->artifacts == seen.artifacts);
	need(m->end != END_LOST || m->error == JERR_NONE);
	need(m->end == END_LOST || seen.executed);
	need(!(seen.outputs & 1 << OUTPUT_RESULT) || m->result == RESULT_OK);
	need(utf8_valid(m->message, strlen(m->message)));
}

static void
said(const struct msg_frame *f, int fd)
{
	static union message m;
	const char *why;

	need(msg_sender(f->hdr.type) == FROM_WORKER ||
	     msg_sender(f->hdr.type) == FROM_WORDS);
	need(msg_read(f, f->hdr.type, &m, &why) == 0);
	switch (f->hdr.type) {
	case MSG_T_WORKER_SETUP_DONE:
	case MSG_T_WORDS_SETUP_DONE:
		need(seen.state == CHILD_STARTING);
		seen.state = f->hdr.type == MSG_T_WORDS_SETUP_DONE
				 ? CHILD_SERVING
				 : CHILD_IDLE;
		return;
	case MSG_T_WORKER_PONG:
		need(seen.state != CHILD_STARTING && seen.pongs-- > 0);
		return;
	case MSG_T_WORDS_PONG:
		need(seen.state == CHILD_SERVING && seen.pongs-- > 0);
		return;
	case MSG_T_WORDS_DONE:
		need(seen.state == CHILD_SERVING && seen.texts-- > 0);
		need(m.words_done.number == seen.number);
		need(memfd_check(fd) == (int64_t)m.words_done.len);
		close_fd(&fd);
		return;
	default:
		break;
	}
	need(m.token == w.setup.token && seen.state != CHILD_SERVING);
	switch (f->hdr.type) {
	case MSG_T_WORKER_READY:
		need(seen.state == CHILD_IDLE);
		seen.state = CHILD_READY;
		break;
	case MSG_T_JOB_PHASE:
		need(seen.state == CHILD_RUNNING);
		if (m.job_phase.phase == PHASE_COMPLETED)
			seen.state = CHILD_COLLECTING;
		else
			need(!seen.executed);
		seen.executed = 1;
		break;
	case MSG_T_JOB_LINE:
		need(w.setup.live && (seen.state == CHILD_RUNNING ||
					 seen.state == CHILD_COLLECTING));
		break;
	case MSG_T_JOB_OUTPUT:
		need(seen.state != CHILD_STARTING && seen.state != CHILD_DONE);
		output_came(&m.job_output, fd);
		break;
	case MSG_T_JOB_ARTIFACT:
		need(seen.state == CHILD_COLLECTING);
		artifact_came(&m.job_artifact);
		break;
	case MSG_T_JOB_DONE:
		need(seen.state != CHILD_STARTING && seen.state != CHILD_DONE);
		done_came(&m.job_done);
		seen.state = CHILD_DONE;
		break;
	default:
		need(0);
	}
}

static void
listen_to(void)
{
	static struct msg_frame f;
	int fd;

	while (child_said(channel, &f, &fd))
		said(&f, fd);
}

/* ---- what takod says ----------------------------------------------------- */

/* The descriptor that the message wants; -1 for one that takes none. */
static int
companion(uint32_t type, union message *m, unsigned flags, struct input *in)
{
	uint64_t len = 0;
	int pair[2];

	if (msg_fd(type) == FD_NONE)
		return (-1);
	if (flags & STRANGE)
		return (socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	switch (type) {
	case MSG_T_WORKER_SETUP:
		return (fcntl(folder, F_DUPFD_CLOEXEC, 0));
	case MSG_T_WORKER_STREAM:
		need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ==
		     0);
		close_fd(&container);
		container = pair[1];
		return (pair[0]);
	case MSG_T_JOB_START:
		if (flags & SMALL) {
			m->job_start.code_len = 1 + take_byte(in);
			m->job_start.input_len = 1 + take_byte(in);
		}
		len = m->job_start.code_len + m->job_start.input_len;
		break;
	case MSG_T_WORDS_TEXT:
		if (flags & SMALL) {
			memset(&m->words_text, 0, sizeof(m->words_text));
			m->words_text.number = 1 + take_byte(in);
			m->words_text.code_len = take_word(in);
			m->words_text.stdout_len = take_word(in);
		}
		len = m->words_text.error_len + m->words_text.code_len +
		      m->words_text.stderr_len + m->words_text.stderr_end_len +
		      m->words_text.stdout_len + m->words_text.stdout_end_len;
		break;
	}
	return (sealed(len, take_part(in, take_word(in))));
}

/*
 * Is it what takod may say now? READY is what takod knows: the container may
 * have died meanwhile.
 */
static int
due(uint32_t type, const union message *m)
{
	switch (type) {
	case MSG_T_WORKER_SETUP:
	case MSG_T_WORDS_SETUP:
		return (w.state == AT_SETUP && w.dir == -1);
	case MSG_T_WORKER_STREAM:
		return (
		    w.dir != -1 && !seen.streamed && m->token == w.setup.token);
	case MSG_T_JOB_START:
		return (seen.state == CHILD_READY && !seen.started &&
			m->token == w.setup.token);
	case MSG_T_JOB_STOP:
		return (seen.streamed && m->token == w.setup.token);
	case MSG_T_WORDS_TEXT:
		return (seen.state == CHILD_SERVING && seen.texts == 0);
	case MSG_T_CHILD_PING:
		return (seen.state != CHILD_STARTING);
	default:
		return (type == MSG_T_LOG_LEVEL);
	}
}

/* -1: the case is at its end. */
static int
frame_comes(struct input *in)
{
	static struct msg_frame f;
	static union message m;
	uint32_t type = msg_type_of(take_word(in));
	unsigned flags = take_byte(in);
	const char *why;
	int fd, right;

	/* The channel lets nothing else through. */
	if (msg_sender(type) != FROM_PARENT)
		return (0);
	memset(&m, 0, sizeof(m));
	if (flags & RAW) {
		flags &= ~(unsigned)SMALL;
		make_raw(in, type, &f);
		if (msg_read(&f, type, &m, &why) == -1)
			memset(&m, 0, sizeof(m));
	} else {
		make_message(in, type, &m);
		if ((flags & OTHER) == 0 &&
		    (type == MSG_T_WORKER_STREAM || type == MSG_T_JOB_START ||
			type == MSG_T_JOB_STOP))
			m.token = w.setup.token;
	}
	fd = companion(type, &m, flags, in);
	/* There is no token yet, then. */
	if ((flags & RAW) == 0 && msg_pack(&f, type, 0, &m) == -1) {
		need(w.setup.token == 0);
		close_fd(&fd);
		return (0);
	}
	right = msg_read(&f, type, &m, &why) == 0 && due(type, &m) &&
		(flags & (RAW | STRANGE)) == 0;
	if (right && type == MSG_T_JOB_START)
		seen.started = 1, seen.state = CHILD_RUNNING;
	seen.streamed |= right && type == MSG_T_WORKER_STREAM;
	if (right && type == MSG_T_WORDS_TEXT) {
		seen.texts++;
		seen.number = m.words_text.number;
	}
	seen.pongs += right && type == MSG_T_CHILD_PING;
	if (ends_by(parent_frame, &f, fd)) {
		need(!right);
		return (-1);
	}
	/* It may live on, but nothing holds for it any more. */
	return (right ? 0 : -1);
}

/* ---- the container ------------------------------------------------------- */

static void
container_sends(const void *p, size_t len)
{
	(void)send(container, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A frame as tako-init sends it. */
static void
init_sends(struct input *in)
{
	static const uint8_t plain[STREAM_KEY];
	uint8_t head[8 + STREAM_HEAD] = { 1 }, key[STREAM_KEY], *at = head;
	uint8_t type = take_byte(in);
	struct input bytes = take_part(in, take_word(in));
	uint32_t len = (uint32_t)bytes.len;

	memset(key, KEY, sizeof(key));
	if (w.setup.mux) {
		head[5] = (uint8_t)((len + STREAM_HEAD) >> 16);
		head[6] = (uint8_t)((len + STREAM_HEAD) >> 8);
		head[7] = (uint8_t)(len + STREAM_HEAD);
		at += 8;
	}
	at[0] = type;
	at[4] = (uint8_t)len;
	at[5] = (uint8_t)(len >> 8);
	if (seen.ready)
		stream_tag(
		    at + 1, w.setup.mux ? key : plain, tagged++, type, len);
	seen.ready |= type == STREAM_READY;
	container_sends(head, (size_t)(at - head) + STREAM_HEAD);
	container_sends(bytes.p, bytes.len);
}

static void
container_reads(void)
{
	static uint8_t buf[65536];

	while (recv(container, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* ---- steps --------------------------------------------------------------- */

/* What the loop would call; only a time that is over comes by a step. */
static void
turn(void)
{
	if (w.rd != NULL && event_pending(w.rd, EV_READ, NULL))
		stream_readable(w.stream_fd, EV_READ, NULL);
	if (w.wr != NULL && event_pending(w.wr, EV_WRITE, NULL))
		stream_writable(w.stream_fd, EV_WRITE, NULL);
}

static int
step(struct input *in)
{
	unsigned what = take_byte(in);
	struct input bytes;

	switch (what & 7) {
	case 0:
	case 1:
		if (frame_comes(in) == -1)
			return (-1);
		break;
	case 2:
		bytes = take_part(in, take_word(in));
		container_sends(bytes.p, bytes.len);
		break;
	case 3:
	case 4:
		init_sends(in);
		break;
	case 5:
		container_reads();
		break;
	case 6:
		if (w.grace != NULL && evtimer_pending(w.grace, NULL))
			grace_over(-1, EV_TIMEOUT, NULL);
		break;
	default:
		shutdown(container, what & 8 ? SHUT_RDWR : SHUT_WR);
	}
	/* Else more of it comes before it is looked at. */
	if ((what & 16) == 0) {
		turn();
		listen_to();
	}
	return (0);
}

static void
event_gone(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

static void
end(void)
{
	struct event_base *base = w.base;

	event_gone(&w.rd);
	event_gone(&w.wr);
	event_gone(&w.grace);
	event_gone(&w.look);
	imsgev_free(w.parent);
	stream_free(w.stream);
	handover_free(w.handover);
	output_free(w.out);
	output_free(w.err);
	result_free(w.result);
	if (w.artifacts == NULL)
		close_fd(&w.dir);
	artifacts_free(w.artifacts);
	close_fd(&w.stream_fd);
	memset(&w, 0, sizeof(w));
	w.base = base;
}

static void
folder_empty(unsigned files)
{
	char number[16];

	for (; files + 1 > 0; files--) {
		snprintf(number, sizeof(number), "%u", files);
		unlinkat(folder, number, 0);
	}
}

static void
folder_gone(void)
{
	rmdir(folder_path);
}

static void
begin_once(void)
{
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	signal(SIGPIPE, SIG_IGN);
	need((w.base = event_base_new()) != NULL);
	snprintf(folder_path, sizeof(folder_path), "%s/worker-XXXXXX", tmp);
	need(mkdtemp(folder_path) != NULL);
	folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(folder != -1);
	atexit(folder_gone);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	int pair[2], ended = 0;

	if (folder == -1)
		begin_once();
	fds_begin();
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	channel = pair[1];
	memset(&seen, 0, sizeof(seen));
	seen.state = CHILD_STARTING;
	tagged = 0;
	w.dir = w.stream_fd = -1;
	w.end.end = END_LOST;
	w.parent = imsgev_new(w.base, pair[0], FROM_PARENT, MSG_MAX_FRAME,
	    parent_frame, parent_end, NULL);
	need(w.parent != NULL);
	while (in.len > 0 && !ended)
		ended = step(&in) == -1;
	if (!ended) {
		turn();
		listen_to();
		need(imsgev_queued(w.parent) == 0);
		need((w.state == AT_DONE) == (seen.state == CHILD_DONE));
	}
	folder_empty(w.artifacts == NULL ? 0 : artifacts_count(w.artifacts));
	end();
	close_fd(&channel);
	close_fd(&container);
	fds_end(ended);
	return (0);
}
