/*
 * main.c: tako-worker, the process of one job. The parent starts it with its
 * channel as descriptor 3 and nothing else, and sends it the caps, an artifact
 * directory and the container's stream; then it shuts itself in. It shakes
 * hands with tako-init in the container, hands the job over when the parent
 * says so, and turns what comes back into output, files and an end.
 *
 *	SETUP	caps and stream are due; nothing hostile was read yet
 *	BOOT	the interpreter in the container is starting
 *	READY	it waits for its code, and this process for a job
 *	RUN	the job was handed over
 *	DONE	the last word was said; the parent closes the channel
 *
 * Told WORDS_SETUP instead, it is no job's: from then on it takes the texts of
 * records apart (words.c), in state WORDS; told UNPACK_SETUP, it unpacks a
 * layer (unpack.c), in state UNPACK.
 *
 * The parent is trusted: a wrong frame of its is a bug, and ends this process.
 * The stream is hostile: whatever is wrong there is the job's own fault, which
 * is reported as a sandbox that was lost, with what came until then.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_arm.h"
#include "imsgev.h"
#include "failpoint.h"
#include "log.h"
#include "sandbox.h"
#include "tako-worker.h"
#include "util.h"

#define MAX_LINES 1000 /* that the parent is told */
#define READ_SIZE 65536
#define READ_TURN 16 /* reads in one turn of the loop */
/* Address space beside output: programs, and the largest payload. */
#define MAX_MEMORY (512 * 1048576UL)
/*
 * After JOB_STOP the container is dead, but what it sent may still be on its
 * way through an engine: so long until the end of the stream is waited for.
 */
#define STOP_GRACE_MS 2000
/*
 * A parent that stands still ends no job whose time is up. It asks for a sign
 * every few seconds: after so many looks without a frame of its the job is
 * ended here. Looks are counted, for this process may have stood still itself.
 */
#define LOOK_S	 5
#define MAX_MUTE 4

enum worker_state {
	AT_SETUP,
	AT_BOOT,
	AT_READY,
	AT_RUN,
	AT_DONE,
	AT_WORDS,
	AT_UNPACK
};

static struct worker {
	enum worker_state state;
	struct event_base *base;
	struct imsgev *parent;
	struct msg_worker_setup setup;
	int dir, stream_fd;
	struct event *rd, *wr, *grace, *look;
	int mute; /* looks since the parent's last frame */
	struct stream *stream;
	struct handover *handover;
	struct output_text *out, *err;
	char line[MAX_PROGRESS + 1]; /* of stdout, if lines are told */
	size_t line_len;
	unsigned lines;
	struct result *result;
	struct artifacts *artifacts;
	int to_result, to_artifact; /* where the present file goes */
	uint32_t skipped;
	uint32_t unloaded; /* modules, a bit for each */
	int incomplete;
	int lost;		/* a file could not be written */
	struct stream_exit end; /* END_LOST until EXIT came */
	char error[MAX_JOB_MESSAGE + 1];
} w;

static void finish(const char *lost);

/* ---- to the parent --------------------------------------------------------
 */

static void
tell(uint32_t type, const void *m, int fd)
{
	if (imsgev_compose(w.parent, type, 0, m, fd) == -1 && errno != EPIPE)
		fatal("%s", msg_name(type));
}

static void
tell_phase(enum job_phase phase)
{
	struct msg_job_phase m = { .token = w.setup.token, .phase = phase };

	tell(MSG_T_JOB_PHASE, &m, -1);
}

static void
tell_text(enum output which, struct output_text *o)
{
	struct msg_job_output m = { .token = w.setup.token, .which = which };
	size_t len;
	int fd, truncated;

	if ((fd = output_memfd(o, &len, &truncated)) == -1)
		fatal("output");
	m.len = len;
	m.seen = output_seen(o);
	m.truncated = (uint64_t)truncated;
	tell(MSG_T_JOB_OUTPUT, &m, fd);
	close_fd(&fd);
}

/* Lines for people, who see no control character of theirs. */
static void
tell_lines(const uint8_t *p, size_t len)
{
	struct msg_job_line m = { .token = w.setup.token };

	for (; len > 0; p++, len--) {
		if (*p != '\n') {
			if (w.line_len < MAX_PROGRESS)
				w.line[w.line_len++] =
				    *p >= ' ' && *p < 0x7f ? (char)*p : '?';
			continue;
		}
		memcpy(m.text, w.line, w.line_len);
		m.text[w.line_len] = '\0';
		w.line_len = 0;
		if (w.lines++ < MAX_LINES)
			tell(MSG_T_JOB_LINE, &m, -1);
	}
}

static void
tell_result(void)
{
	struct msg_job_output m = { .token = w.setup.token,
		.which = OUTPUT_RESULT };
	size_t len;
	int fd;

	if ((fd = result_memfd(w.result, &len)) == -1)
		return;
	m.len = m.seen = len;
	tell(MSG_T_JOB_OUTPUT, &m, fd);
}

static void
tell_artifact(const struct artifact_done *a)
{
	struct msg_job_artifact m = {
		.token = w.setup.token, .number = a->number, .size = a->size
	};

	m.name.len = (uint32_t)a->name_len;
	memcpy(m.name.data, a->name, a->name_len);
	memcpy(m.sha256, a->sha256, sizeof(m.sha256));
	strlcpy(m.content_type, a->content_type, sizeof(m.content_type));
	tell(MSG_T_JOB_ARTIFACT, &m, -1);
}

static void
tell_done(void)
{
	struct msg_job_done m = { .token = w.setup.token };
	const uint8_t *err;
	size_t len;
	int whole;

	err = output_last(w.err, &len, &whole);
	m.end = w.end.end;
	m.code = w.end.code;
	m.error = classify(
	    (enum job_end)w.end.end, w.end.code, err, len, whole, m.message);
	if (w.error[0] != '\0')
		strlcpy(m.message, w.error, sizeof(m.message));
	m.execution_us = w.end.execution_us;
	m.result = result_state(w.result);
	m.artifacts = artifacts_count(w.artifacts);
	m.artifacts_skipped = w.skipped;
	m.artifacts_lost = w.lost != 0;
	m.output_incomplete = w.incomplete != 0;
	tell(MSG_T_JOB_DONE, &m, -1);
	FAILPOINT("worker.done");
}

/*
 * The stream has ended, or is at its end: the last words. lost: what was wrong
 * with it, or NULL.
 */
static void
finish(const char *lost)
{
	if (w.state == AT_DONE)
		return;
	event_del(w.rd);
	event_del(w.wr);
	event_del(w.grace);
	/*
	 * A container that goes on writing shall not wait for a reader. One
	 * that said all stays until this process is ended: the parent reads
	 * its counters, which would go with it.
	 */
	if (stream_state(w.stream) != STREAM_AT_DONE) {
		close_fd(&w.stream_fd);
		w.incomplete = 1;
	}
	if (lost != NULL) {
		log_debug("container's stream: %s", lost);
		memset(&w.end, 0, sizeof(w.end));
	}
	if (w.state == AT_RUN) {
		tell_text(OUTPUT_STDOUT, w.out);
		tell_text(OUTPUT_STDERR, w.err);
		tell_result();
	}
	tell_done();
	w.state = AT_DONE;
}

/* ---- frames of tako-init ---------------------------------------------------
 */

static int
is_result(const uint8_t *name, size_t len)
{
	return (
	    len == strlen(RESULT_NAME) && memcmp(name, RESULT_NAME, len) == 0);
}

static void
file_begin(uint64_t size, const uint8_t *name, size_t len)
{
	/* result.json is an artifact too, if it is not too large for one. */
	w.to_artifact = size <= w.setup.max_artifact;
	w.to_result = is_result(name, len);
	if ((w.to_result && result_state(w.result) != RESULT_ABSENT) ||
	    (w.to_artifact && artifacts_begin(w.artifacts, name, len) == -1)) {
		finish("a file came twice");
		return;
	}
	if (w.to_result && result_begin(w.result) == -1)
		log_warn("result");
}

static void
file_data(const uint8_t *data, size_t len)
{
	if (w.to_artifact)
		artifacts_add(w.artifacts, data, len);
	if (w.to_result)
		result_add(w.result, data, len);
}

static void
file_end(int whole)
{
	struct artifact_done done;

	if (w.to_result)
		result_end(w.result, whole);
	if (w.to_artifact && artifacts_end(w.artifacts, whole, &done))
		tell_artifact(&done);
	else {
		w.skipped++;
		w.incomplete |= w.to_artifact && !whole;
		w.lost |= w.to_artifact && whole;
	}
}

static void
skipped(enum stream_skip why, const uint8_t *name, size_t len)
{
	if (is_result(name, len))
		result_skipped(w.result, why);
	if (why != SKIP_HIDDEN && w.skipped < UINT32_MAX)
		w.skipped++;
}

static void
container_frame(void *arg, enum stream_type type, const uint8_t *p, size_t len)
{
	struct msg_worker_ready ready = { .token = w.setup.token,
		.unloaded = w.unloaded };

	(void)arg;
	if (w.state == AT_DONE)
		return;
	switch (type) {
	case STREAM_PRELOAD:
		w.unloaded = stream_bits_read(p);
		break;
	case STREAM_READY:
		FAILPOINT("worker.ready");
		w.state = AT_READY;
		tell(MSG_T_WORKER_READY, &ready, -1);
		break;
	case STREAM_STARTED:
		FAILPOINT("worker.running");
		tell_phase(PHASE_EXECUTION);
		break;
	case STREAM_STDOUT:
		output_add(w.out, p, len);
		if (w.setup.live)
			tell_lines(p, len);
		break;
	case STREAM_STDERR:
		output_add(w.err, p, len);
		break;
	case STREAM_EXIT:
		FAILPOINT("worker.collecting");
		w.end = stream_exit_read(p);
		tell_phase(PHASE_COMPLETED);
		break;
	case STREAM_FILE_BEGIN:
		file_begin(stream_size_read(p), p + 8, len - 8);
		break;
	case STREAM_FILE_DATA:
		file_data(p, len);
		break;
	case STREAM_FILE_END:
		file_end(p[0]);
		break;
	case STREAM_SKIPPED:
		skipped((enum stream_skip)p[0], p + 1, len - 1);
		break;
	case STREAM_ERROR:
		/* No job ran yet, unless this is forged: then it is its own. */
		classify_sanitise(w.error, (const char *)p, len);
		if (w.state != AT_RUN)
			log_warnx("sandbox: %s", w.error);
		finish("it could not run");
		break;
	case STREAM_DONE:
		finish(NULL);
		break;
	default:
		break;
	}
}

/* ---- the stream ------------------------------------------------------------
 */

static void
stream_readable(int fd, short events, void *arg)
{
	static uint8_t buf[READ_SIZE];
	ssize_t n;
	int i;

	(void)events;
	(void)arg;
	for (i = 0; i < READ_TURN && w.state != AT_DONE; i++) {
		if ((n = read(fd, buf, sizeof(buf))) == -1) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			n = 0;
		}
		if (n == 0) {
			/* After EXIT the end is known, whatever was to come. */
			finish(NULL);
			return;
		}
		if (stream_feed(w.stream, buf, (size_t)n) == -1) {
			finish(stream_why(w.stream));
			return;
		}
	}
}

static void
stream_writable(int fd, short events, void *arg)
{
	int r;

	(void)fd;
	(void)events;
	(void)arg;
	if ((r = handover_send(w.handover)) == 0)
		return;
	event_del(w.wr);
	/* Broken: the reading side sees it too, after what was sent before. */
	if (r == 1 && w.state == AT_RUN)
		stream_went(w.stream);
}

static void
grace_over(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	finish(NULL);
}

/* The sandbox ends with its stream, which ends with this process. */
static void
look(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (w.state == AT_RUN && ++w.mute > MAX_MUTE)
		fatalx("takod says nothing any more: its job ends");
}

/* Everything is there: shut in from now on, before a byte is read. */
static void
stream_begin(void)
{
	static const struct timeval every = { LOOK_S, 0 };
	const struct msg_worker_setup *m = &w.setup;
	struct stream_caps caps = { .max_artifact = m->max_artifact,
		.max_result = m->max_result,
		.max_total = m->max_artifacts_total,
		.max_artifacts = (uint32_t)m->max_artifacts };
	struct stream_limits limits = { .max_artifact = m->max_artifact,
		.max_total = m->max_artifacts_total,
		.max_artifacts = (uint32_t)m->max_artifacts,
		.max_result = (uint32_t)m->max_result };
	struct sandbox sb = { .promises = PROMISES_WORKER,
		.nofile = 32,
		.as = MAX_MEMORY,
		.artifact_fd = w.dir,
		.refused = MSG_T_WORKER_REFUSED };
	struct msg_worker_setup_done done = { .pid = (uint64_t)log_pid() };

	/* Each as it comes, and as it goes out. */
	sb.as += 2 * (m->max_stdout + m->max_stderr + m->max_result);
	sb.fsize = m->max_stdout;
	if (sb.fsize < m->max_stderr)
		sb.fsize = m->max_stderr;
	if (sb.fsize < m->max_result)
		sb.fsize = m->max_result;
	if (sb.fsize < m->max_artifact)
		sb.fsize = m->max_artifact;
	if (m->mux)
		arc4random_buf(limits.key, sizeof(limits.key));
	memcpy(caps.key, limits.key, sizeof(caps.key));
	if (fd_nonblock(w.stream_fd) == -1)
		fatal("stream");
	sandbox_enter(&sb);
	w.stream = stream_new(&caps, (int)m->mux, container_frame, NULL);
	w.handover = handover_new(w.stream_fd);
	w.rd = event_new(
	    w.base, w.stream_fd, EV_READ | EV_PERSIST, stream_readable, NULL);
	w.wr = event_new(
	    w.base, w.stream_fd, EV_WRITE | EV_PERSIST, stream_writable, NULL);
	w.grace = evtimer_new(w.base, grace_over, NULL);
	w.look = event_new(w.base, -1, EV_PERSIST, look, NULL);
	if (w.stream == NULL || w.handover == NULL || w.rd == NULL ||
	    w.wr == NULL || w.grace == NULL || w.look == NULL ||
	    event_add(w.look, &every) == -1)
		fatal(NULL);
	w.out = output_new(m->max_stdout, 0);
	w.err = output_new(m->max_stderr, 1);
	w.result = result_new();
	w.artifacts = artifacts_new(w.dir);
	handover_limits(w.handover, &limits);
	event_arm(w.rd, NULL);
	event_arm(w.wr, NULL);
	w.state = AT_BOOT;
	tell(MSG_T_WORKER_SETUP_DONE, &done, -1);
}

/* ---- frames of the parent ---------------------------------------------------
 */

static void
bug(const char *why)
{
	fatalx("takod's frame: %s", why);
}

static void
token_check(uint64_t token)
{
	if (token != w.setup.token)
		bug("token of another job");
}

static void
parent_setup(const struct msg_frame *f, int fd)
{
	const char *why;

	if (w.state != AT_SETUP || w.dir != -1)
		bug("WORKER_SETUP is not due");
	if (msg_worker_setup_read(f, &w.setup, &why) == -1)
		bug(why);
	w.dir = fd;
}

static void
parent_stream(const struct msg_frame *f, int fd)
{
	struct msg_worker_stream m;
	const char *why;

	if (w.state != AT_SETUP || w.dir == -1)
		bug("WORKER_STREAM is not due");
	if (msg_worker_stream_read(f, &m, &why) == -1)
		bug(why);
	token_check(m.token);
	w.stream_fd = fd;
	stream_begin();
}

static void
parent_job_start(const struct msg_frame *f, int fd)
{
	struct msg_job_start m;
	const char *why;

	if (msg_job_start_read(f, &m, &why) == -1)
		bug(why);
	token_check(m.token);
	if (w.state == AT_DONE) {
		/* The sandbox died while this was on its way. */
		close_fd(&fd);
		return;
	}
	if (w.state != AT_READY)
		bug("JOB_START is not due");
	if (handover_job(w.handover, fd, m.code_len, m.input_len) == -1)
		bug("JOB_START with no sealed memfd of its length");
	FAILPOINT("worker.given");
	w.state = AT_RUN;
	event_arm(w.wr, NULL);
	stream_writable(w.stream_fd, EV_WRITE, NULL);
}

static void
parent_job_stop(const struct msg_frame *f)
{
	struct timeval tv = { STOP_GRACE_MS / 1000,
		STOP_GRACE_MS % 1000 * 1000 };
	struct msg_job_stop m;
	const char *why;

	if (msg_job_stop_read(f, &m, &why) == -1)
		bug(why);
	token_check(m.token);
	if (w.state == AT_SETUP || w.state == AT_WORDS)
		bug("JOB_STOP is not due");
	if (w.state != AT_DONE)
		event_arm(w.grace, &tv);
}

static void
parent_log_level(const struct msg_frame *f)
{
	struct msg_log_level m;
	const char *why;

	if (msg_log_level_read(f, &m, &why) == -1)
		bug(why);
	log_set_level((enum log_level)m.level);
}

static void
parent_ping(const struct msg_frame *f)
{
	struct msg_worker_pong pong = { 0 };
	struct msg_words_pong words_pong = { 0 };
	struct msg_child_ping m;
	const char *why;

	if (msg_child_ping_read(f, &m, &why) == -1)
		bug(why);
	if (w.state == AT_WORDS)
		tell(MSG_T_WORDS_PONG, &words_pong, -1);
	else
		tell(MSG_T_WORKER_PONG, &pong, -1);
}

static void
parent_words_setup(const struct msg_frame *f)
{
	struct msg_words_setup_done done = { .pid = (uint64_t)log_pid() };
	struct msg_words_setup m;
	const char *why;

	if (w.state != AT_SETUP || w.dir != -1)
		bug("WORDS_SETUP is not due");
	if (msg_words_setup_read(f, &m, &why) == -1)
		bug(why);
	words_begin();
	w.state = AT_WORDS;
	tell(MSG_T_WORDS_SETUP_DONE, &done, -1);
}

static void
parent_words_text(const struct msg_frame *f, int fd)
{
	struct msg_words_done done;
	struct msg_words_text m;
	const char *why;
	size_t len;

	if (w.state != AT_WORDS)
		bug("WORDS_TEXT is not due");
	if (msg_words_text_read(f, &m, &why) == -1)
		bug(why);
	const uint64_t lens[] = { m.error_len, m.code_len, m.stderr_len,
		m.stderr_end_len, m.stdout_len, m.stdout_end_len };

	fd = words_take(fd, lens, nitems(lens), &len);
	done.number = m.number;
	done.len = len;
	tell(MSG_T_WORDS_DONE, &done, fd);
	close_fd(&fd);
}

static void
parent_unpack_setup(const struct msg_frame *f, int fd)
{
	struct msg_unpack_setup_done done = { .pid = (uint64_t)log_pid() };
	struct msg_unpack_setup m;
	const char *why;

	if (w.state != AT_SETUP || w.dir != -1)
		bug("UNPACK_SETUP is not due");
	if (msg_unpack_setup_read(f, &m, &why) == -1)
		bug(why);
	unpack_begin(fd, m.max_bytes);
	w.state = AT_UNPACK;
	tell(MSG_T_UNPACK_SETUP_DONE, &done, -1);
}

static void
tell_package(const struct msg_unpack_package *m)
{
	tell(MSG_T_UNPACK_PACKAGE, m, -1);
}

static void
parent_unpack_lock(const struct msg_frame *f, int fd)
{
	struct msg_unpack_done done = { .why = "its list of packages is none" };
	struct msg_unpack_lock m;
	const char *why;

	if (w.state != AT_UNPACK)
		bug("UNPACK_LOCK is not due");
	if (msg_unpack_lock_read(f, &m, &why) == -1)
		bug(why);
	if (unpack_lock(fd, m.len, tell_package) == 0)
		return;
	tell(MSG_T_UNPACK_DONE, &done, -1);
	w.state = AT_DONE;
}

static void
parent_unpack_tar(const struct msg_frame *f, int fd)
{
	struct msg_unpack_done done;
	struct msg_unpack_tar m;
	const char *why;

	if (msg_unpack_tar_read(f, &m, &why) == -1)
		bug(why);
	if (w.state == AT_DONE) {
		close_fd(&fd);
		return;
	}
	if (w.state != AT_UNPACK)
		bug("UNPACK_TAR is not due");
	unpack_tar(fd, &done);
	tell(MSG_T_UNPACK_DONE, &done, -1);
	w.state = AT_DONE;
}

static int
parent_frame(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	(void)iev;
	(void)arg;
	w.mute = 0;
	switch (f->hdr.type) {
	case MSG_T_WORKER_SETUP:
		parent_setup(f, fd);
		break;
	case MSG_T_WORKER_STREAM:
		parent_stream(f, fd);
		break;
	case MSG_T_JOB_START:
		parent_job_start(f, fd);
		break;
	case MSG_T_JOB_STOP:
		parent_job_stop(f);
		break;
	case MSG_T_CHILD_PING:
		parent_ping(f);
		break;
	case MSG_T_WORDS_SETUP:
		parent_words_setup(f);
		break;
	case MSG_T_WORDS_TEXT:
		parent_words_text(f, fd);
		break;
	case MSG_T_UNPACK_SETUP:
		parent_unpack_setup(f, fd);
		break;
	case MSG_T_UNPACK_LOCK:
		parent_unpack_lock(f, fd);
		break;
	case MSG_T_UNPACK_TAR:
		parent_unpack_tar(f, fd);
		break;
	case MSG_T_LOG_LEVEL:
		parent_log_level(f);
		break;
	default:
		bug("not for a worker");
	}
	return (0);
}

static void
parent_end(struct imsgev *iev, const char *why, void *arg)
{
	(void)iev;
	(void)arg;
	if (why != NULL)
		bug(why);
	_exit(0);
}

int
main(int argc, char **argv)
{
	log_init_child("tako-worker", argc, argv);
	sandbox_check_start("tako-worker");
	/* A stream that broke is an error of write(2), no signal. */
	signal(SIGPIPE, SIG_IGN);
	w.dir = w.stream_fd = -1;
	w.end.end = END_LOST;
	if ((w.base = event_base_new()) == NULL)
		fatal(NULL);
	w.parent = imsgev_new(w.base, MSG_FD, FROM_PARENT, MSG_MAX_FRAME,
	    parent_frame, parent_end, NULL);
	if (w.parent == NULL)
		fatal(NULL);
	event_base_dispatch(w.base);
	return (1);
}
