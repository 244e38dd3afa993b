/*
 * hostile_child.c: takes the place of tako-api or of tako-worker beside a copy
 * of takod, behaves until the attack's stage is reached, and then does what no
 * child may. Which attack: the number in the file `attack` beside the program;
 * the file `stage` is written when it was made. Run by regress/hostile, as the
 * unprivileged user that takod gives it. "hostile_child -l" lists the attacks.
 * Where tako-worker is attacked in its role for words, jobs have the real one:
 * tako-worker.real, beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "blob.h"
#include "msg.h"
#include "sandbox.h"
#include "util.h"

enum stage {
	AT_START,
	AT_SERVING,
	AT_IDLE,
	AT_READY,
	AT_RUNNING,
	AT_COLLECTING,
	AT_DONE
};
enum who {
	API,
	WORKER,
	WORDS
};

static enum who me;
static uint32_t seq;
static uint64_t token, number, own_pid;
static char folder[4096];

/* ---- sending whatever
 * --------------------------------------------------------- */

static void
send_raw(const void *data, size_t len, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg;
	struct cmsghdr *c;

	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (nfds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	while (sendmsg(MSG_FD, &msg, MSG_NOSIGNAL) == -1)
		if (errno != EINTR)
			_exit(0); /* takod has had enough */
}

static void
send_body(uint32_t type, uint32_t id, const void *body, size_t len,
    const int *fds, unsigned nfds)
{
	struct msg_frame f;

	memset(&f.hdr, 0, sizeof(f.hdr));
	f.hdr.type = type;
	f.hdr.len = (uint32_t)(sizeof(f.hdr) + len);
	f.hdr.id = id;
	f.hdr.seq = ++seq;
	memcpy(f.body, body, len);
	send_raw(&f, f.hdr.len, fds, nfds);
}

static void
send_msg(uint32_t type, const void *m, int fd)
{
	struct msg_frame f;

	if (msg_pack(&f, type, 1, m) == -1)
		_exit(3);
	f.hdr.seq = ++seq;
	send_raw(&f, f.hdr.len, &fd, fd == -1 ? 0 : 1);
}

/* Takes the next frame of takod; -1 at its end. */
static int
receive(struct msg_frame *f)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { f, sizeof(*f) };
	struct msghdr msg;
	struct pollfd p = { MSG_FD, POLLIN, 0 };
	ssize_t n;

	do {
		memset(&msg, 0, sizeof(msg));
		msg.msg_iov = &iov;
		msg.msg_iovlen = 1;
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		poll(&p, 1, -1);
		n = recvmsg(MSG_FD, &msg, 0);
	} while (n == -1 && (errno == EINTR || errno == EAGAIN));
	return (n <= 0 ? -1 : 0);
}

static void
await(uint32_t type, struct msg_frame *f)
{
	do {
		if (receive(f) == -1)
			_exit(0);
	} while (f->hdr.type != type);
}

/* The file says that the attack began. */
static void
mark(const char *word)
{
	char path[sizeof(folder) + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/stage", folder);
	if ((fd = open(path, O_WRONLY | O_APPEND)) != -1) {
		if (write(fd, word, strlen(word)) == -1)
			_exit(4);
		close(fd);
	}
}

/* A message that this child may send at this stage, to be spoiled. */
static uint32_t
usual(void)
{
	return (me == API     ? MSG_T_REQ_STATS
		: me == WORDS ? MSG_T_WORDS_PONG
			      : MSG_T_JOB_PHASE);
}

static void
phase(enum job_phase p)
{
	struct msg_job_phase m = { .token = token, .phase = p };

	send_msg(MSG_T_JOB_PHASE, &m, -1);
}

static int
memfd(size_t len, int sealed)
{
	int fd = memfd_new("hostile");

	if (ftruncate(fd, (off_t)len) == -1)
		_exit(5);
	if (sealed)
		memfd_seal(fd);
	return (fd);
}

/* ---- the attacks
 * ---------------------------------------------------------------- */

static void
short_frame(void)
{
	send_raw("abc", 3, NULL, 0);
}

static void
head_only(void)
{
	send_body(usual(), 0, "", 0, NULL, 0);
}

static void
length_lies(void)
{
	struct msg_hdr h = { usual(), 5000, 0, ++seq };

	send_raw(&h, sizeof(h), NULL, 0);
}

static void
oversize(void)
{
	static char big[MSG_MAX_FRAME + 4096];
	struct msg_hdr h = { usual(), sizeof(big), 0, ++seq };

	memcpy(big, &h, sizeof(h));
	send_raw(big, sizeof(big), NULL, 0);
}

static void
type_zero(void)
{
	send_body(0, 0, "\x90", 1, NULL, 0);
}

static void
type_huge(void)
{
	send_body(UINT32_MAX, 0, "\x90", 1, NULL, 0);
}

static void
type_of_parent(void)
{
	struct msg_log_level m = { 0 };

	send_msg(MSG_T_LOG_LEVEL, &m, -1);
}

static void
type_of_sibling(void)
{
	struct msg_job_done d;
	struct msg_req_stats s = { 0 };

	memset(&d, 0, sizeof(d));
	d.token = 1;
	if (me == API)
		send_msg(MSG_T_JOB_DONE, &d, -1);
	else
		send_msg(MSG_T_REQ_STATS, &s, -1);
}

static void
type_of_takoctl(void)
{
	struct msg_ctl_stop m = { .now = 1 };

	send_msg(MSG_T_CTL_STOP, &m, -1);
}

static void
sequence_replayed(void)
{
	seq--;
	head_only();
}

static void
sequence_skips(void)
{
	seq += 7;
	head_only();
}

static void
descriptor_unwanted(void)
{
	int fd = memfd(1, 1);

	send_body(usual(), 0, "\x91\x00", 2, &fd, 1);
}

static void
descriptors_many(void)
{
	int fds[60];
	unsigned i;

	for (i = 0; i < nitems(fds); i++)
		fds[i] = memfd(1, 1);
	send_body(usual(), 0, "\x91\x00", 2, fds, nitems(fds));
}

/* A message that needs a descriptor: submit, or output. */
static void
with_fd(int fd, size_t len)
{
	struct msg_req_submit s;
	struct msg_job_output o;

	memset(&s, 0, sizeof(s));
	memset(&o, 0, sizeof(o));
	s.code_len = len;
	s.input_len = 1;
	o.token = token;
	o.len = len;
	if (me == API)
		send_msg(MSG_T_REQ_SUBMIT, &s, fd);
	else
		send_msg(MSG_T_JOB_OUTPUT, &o, fd);
}

static void
descriptor_missing(void)
{
	with_fd(-1, 10);
}

static void
descriptor_pipe(void)
{
	int p[2];

	if (pipe(p) == 0)
		with_fd(p[0], 10);
}

static void
descriptor_file(void)
{
	with_fd(open("/proc/self/status", O_RDONLY), 10);
}

static void
memfd_unsealed(void)
{
	with_fd(memfd(11, 0), 10);
}

static void
memfd_short(void)
{
	with_fd(memfd(5, 1), 10);
}

static void
memfd_long(void)
{
	with_fd(memfd(1 << 20, 1), 10);
}

static void
array32_bomb(void)
{
	send_body(usual(), 0, "\xdd\xff\xff\xff\xff", 5, NULL, 0);
}

static void
array16_bomb(void)
{
	send_body(usual(), 0, "\xdc\xff\xff", 3, NULL, 0);
}

static void
map_instead(void)
{
	send_body(usual(), 0, "\x81\x01\x01", 3, NULL, 0);
}

static void
nested_array(void)
{
	send_body(usual(), 0, "\x91\xdd\xff\xff\xff\xff", 6, NULL, 0);
}

static void
arity_more(void)
{
	send_body(usual(), 0, "\x93\x01\x01\x01", 4, NULL, 0);
}

static void
arity_none(void)
{
	send_body(usual(), 0, "\x90", 1, NULL, 0);
}

static void
float_field(void)
{
	send_body(usual(), 0,
	    me == API ? "\x91\xca\0\0\0\0" : "\x92\xca\0\0\0\0\x03",
	    me == API ? 6 : 7, NULL, 0);
}

static void
ext_field(void)
{
	send_body(usual(), 0,
	    me == API ? "\x91\xd4\x01\x00" : "\x92\xd4\x01\x00\x03",
	    me == API ? 4 : 5, NULL, 0);
}

static void
string_cut(void)
{
	/* A string of 65535 bytes that are not there. */
	send_body(me == API ? MSG_T_REQ_CANCEL : usual(), 0,
	    "\x91\xda\xff\xff"
	    "a",
	    5, NULL, 0);
}

static void
string_with_nul(void)
{
	send_body(me == API ? MSG_T_REQ_CANCEL : usual(), 0,
	    "\x91\xa3"
	    "a\0b",
	    5, NULL, 0);
}

static void
string_not_utf8(void)
{
	send_body(me == API ? MSG_T_REQ_CANCEL : usual(), 0, "\x91\xa2\xc0\x80",
	    4, NULL, 0);
}

static void
string_too_long(void)
{
	static char body[300];

	memset(body, 'a', sizeof(body));
	memcpy(body, "\x91\xda\x01\x20", 4);
	send_body(me == API ? MSG_T_REQ_CANCEL : usual(), 0, body, 4 + 0x120,
	    NULL, 0);
}

static void
integer_negative(void)
{
	send_body(usual(), 0, me == API ? "\x91\xff" : "\x92\xff\x03",
	    me == API ? 2 : 3, NULL, 0);
}

static void
integer_huge(void)
{
	send_body(usual(), 0,
	    me == API ? "\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
		      : "\x92\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
	    me == API ? 10 : 11, NULL, 0);
}

static void
trailing_bytes(void)
{
	send_body(usual(), 0, "\x91\x00\x00", 3, NULL, 0);
}

/* The real sandbox, and then what it refuses. */
static void
refused_call(void)
{
	struct sandbox sb = { .promises = PROMISE_STDIO | PROMISE_RECVFD,
		.nofile = 64,
		.artifact_fd = -1,
		.refused =
		    me == API ? MSG_T_API_REFUSED : MSG_T_WORKER_REFUSED };
	struct msg_api_refused m = { .call = SYS_socket };

	/* A build without a filter says so, as one does that lies. */
	sandbox_enter(&sb);
	(void)socket(AF_INET, SOCK_STREAM, 0);
	seq = UINT32_MAX;
	send_msg(sb.refused, &m, -1);
}

static void
refused_in_turn(void)
{
	struct msg_api_refused m = { .call = SYS_socket };

	send_msg(me == API ? MSG_T_API_REFUSED : MSG_T_WORKER_REFUSED, &m, -1);
}

static void
setup_twice(void)
{
	struct msg_setup_done m = { .pid = own_pid };
	struct msg_worker_setup_done w = { .pid = own_pid };

	if (me == API)
		send_msg(MSG_T_SETUP_DONE, &m, -1);
	else
		send_msg(MSG_T_WORKER_SETUP_DONE, &w, -1);
}

static void
setup_foreign_pid(void)
{
	struct msg_setup_done m = { .pid = own_pid + 1 };
	struct msg_worker_setup_done w = { .pid = own_pid + 1 };

	if (me == API)
		send_msg(MSG_T_SETUP_DONE, &m, -1);
	else
		send_msg(MSG_T_WORKER_SETUP_DONE, &w, -1);
}

static void
early_request(void)
{
	struct msg_req_stats m = { 0 };

	send_msg(MSG_T_REQ_STATS, &m, -1);
}

static void
early_done(void)
{
	struct msg_job_done m;

	memset(&m, 0, sizeof(m));
	m.token = token | 1;
	send_msg(MSG_T_JOB_DONE, &m, -1);
}

static void
token_foreign(void)
{
	token++;
	phase(PHASE_EXECUTION);
}

static void
ready_again(void)
{
	struct msg_worker_ready m = { .token = token };

	send_msg(MSG_T_WORKER_READY, &m, -1);
}

static void
phase_before_job(void)
{
	phase(PHASE_EXECUTION);
}

static void
artifact_before_end(void)
{
	struct msg_job_artifact m;

	memset(&m, 0, sizeof(m));
	m.token = token;
	m.name.len = 1;
	m.name.data[0] = 'a';
	send_msg(MSG_T_JOB_ARTIFACT, &m, -1);
}

static void
artifact_number_skips(void)
{
	struct msg_job_artifact m;

	memset(&m, 0, sizeof(m));
	m.token = token;
	m.number = 3;
	m.name.len = 1;
	m.name.data[0] = 'a';
	send_msg(MSG_T_JOB_ARTIFACT, &m, -1);
}

static void
artifact_with_slash(void)
{
	struct msg_job_artifact m;

	memset(&m, 0, sizeof(m));
	m.token = token;
	m.name.len = 6;
	memcpy(m.name.data, "../etc", 6);
	send_msg(MSG_T_JOB_ARTIFACT, &m, -1);
}

static void
output_twice(void)
{
	struct msg_job_output m;

	memset(&m, 0, sizeof(m));
	m.token = token;
	m.len = 4;
	send_msg(MSG_T_JOB_OUTPUT, &m, memfd(4, 1));
	send_msg(MSG_T_JOB_OUTPUT, &m, memfd(4, 1));
}

static void
output_above_cap(void)
{
	struct msg_job_output m;

	memset(&m, 0, sizeof(m));
	m.token = token;
	m.len = 50 << 20;
	send_msg(MSG_T_JOB_OUTPUT, &m, memfd(50 << 20, 1));
}

static void
done_twice(void)
{
	early_done();
	early_done();
}

static void
flood_valid(void)
{
	struct msg_req_stats m = { 0 };
	int i;

	/* Answers are never read: the queue to us fills. */
	for (i = 0; i < 200000; i++)
		if (me == API)
			send_msg(MSG_T_REQ_STATS, &m, -1);
		else
			phase(PHASE_EXECUTION);
}

static void
flood_cancel(void)
{
	struct msg_req_cancel m;
	int i;

	memset(&m, 0, sizeof(m));
	strlcpy(
	    m.job_id, "00000000-0000-4000-8000-000000000000", sizeof(m.job_id));
	for (i = 0; i < 200000; i++)
		send_msg(MSG_T_REQ_CANCEL, &m, -1);
}

static void
closes(void)
{
	close(MSG_FD);
	pause();
}

static void
dies(void)
{
	/* A signal that it sends itself ends no first of a namespace. */
	__builtin_trap();
}

/* A job for nobody: where keys are needed it is answered, and not taken. */
static void
job_without_key(void)
{
	struct msg_req_submit s;
	struct msg_rep_error e;
	struct msg_frame f;
	const char *why;

	memset(&s, 0, sizeof(s));
	s.code_len = 10;
	s.input_len = 2;
	strlcpy(s.client, "127.0.0.1", sizeof(s.client));
	strlcpy(s.key, "guessed-key-0123456789", sizeof(s.key));
	send_msg(MSG_T_REQ_SUBMIT, &s, memfd(12, 1));
	await(MSG_T_REP_ERROR, &f);
	if (msg_rep_error_read(&f, &e, &why) == 0 && e.error == REP_DENIED)
		mark("d");
	_exit(0);
}

static void
silent(void)
{
	struct msg_frame f;

	/* Reads on, says nothing, until takod has enough of it. */
	while (receive(&f) == 0)
		;
	pause();
}

/* ---- words for the texts of one record ------------------------------------
 */

static void
words_send(uint64_t n, const void *bytes, size_t len, size_t said)
{
	struct msg_words_done m = { .number = n, .len = said };
	int fd = memfd_new("words");

	if (write_all(fd, bytes, len) == -1 || memfd_seal(fd) == -1)
		_exit(5);
	send_msg(MSG_T_WORDS_DONE, &m, fd);
}

static void
words_none(void)
{
	words_send(number, "it's", 4, 4);
}

static void
words_cut(void)
{
	words_send(number, "\xc3", 1, 1);
}

static void
words_short(void)
{
	words_send(number, "a b", 3, 4);
}

static void
words_unsealed(void)
{
	struct msg_words_done m = { .number = number, .len = 8 };

	send_msg(MSG_T_WORDS_DONE, &m, memfd(8, 0));
}

static void
words_of_another(void)
{
	words_send(number + 1, "a", 1, 1);
}

static void
words_too_long(void)
{
	static char much[MAX_WORDS_LEN];

	memset(much, 'a', sizeof(much));
	words_send(number, much, sizeof(much), sizeof(much));
}

static void
words_setup_again(void)
{
	struct msg_words_setup_done m = { .pid = own_pid };

	send_msg(MSG_T_WORDS_SETUP_DONE, &m, -1);
}

static void
words_as_worker(void)
{
	struct msg_worker_ready m = { .token = number };

	send_msg(MSG_T_WORKER_READY, &m, -1);
}

#define A 1
#define W 2
#define T 3
static const struct {
	const char *name;
	int who;
	enum stage at;
	void (*make)(void);
} attacks[] = {
#define EVERY(f) { #f, A, AT_SERVING, f }, { #f, W, AT_RUNNING, f },
	EVERY(short_frame) EVERY(head_only) EVERY(length_lies) EVERY(oversize)
	    EVERY(type_zero) EVERY(type_huge) EVERY(type_of_parent) EVERY(
		type_of_sibling) EVERY(type_of_takoctl) EVERY(sequence_replayed)
		EVERY(sequence_skips) EVERY(descriptor_unwanted) EVERY(
		    descriptors_many) EVERY(descriptor_missing)
		    EVERY(descriptor_pipe) EVERY(descriptor_file) EVERY(
			memfd_unsealed) EVERY(memfd_short) EVERY(memfd_long)
			EVERY(array32_bomb) EVERY(array16_bomb) EVERY(
			    map_instead) EVERY(nested_array) EVERY(arity_more)
			    EVERY(arity_none) EVERY(float_field)
				EVERY(ext_field) EVERY(string_cut) EVERY(
				    string_with_nul) EVERY(string_not_utf8)
				    EVERY(string_too_long) EVERY(
					integer_negative) EVERY(integer_huge)
					EVERY(trailing_bytes) EVERY(setup_twice)
					    EVERY(closes) EVERY(dies){
						"setup_foreign_pid", A,
						AT_START, setup_foreign_pid },
	{ "setup_foreign_pid", W, AT_START, setup_foreign_pid },
	{ "refused_call", A, AT_START, refused_call },
	{ "refused_call", W, AT_START, refused_call },
	{ "refused_call_later", A, AT_SERVING, refused_call },
	{ "refused_call_later", W, AT_RUNNING, refused_call },
	{ "refused_in_turn", A, AT_SERVING, refused_in_turn },
	{ "refused_in_turn", W, AT_RUNNING, refused_in_turn },
	{ "early_request", A, AT_START, early_request },
	{ "early_done", W, AT_START, early_done },
	{ "silent", A, AT_START, silent },
	{ "silent", W, AT_START, silent },
	{ "job_without_key", A, AT_SERVING, job_without_key },
	{ "flood_valid", A, AT_SERVING, flood_valid },
	{ "flood_cancel", A, AT_SERVING, flood_cancel },
	{ "flood_valid", W, AT_RUNNING, flood_valid },
	{ "token_foreign", W, AT_RUNNING, token_foreign },
	{ "ready_again", W, AT_READY, ready_again },
	{ "phase_before_job", W, AT_READY, phase_before_job },
	{ "phase_before_ready", W, AT_IDLE, phase_before_job },
	{ "artifact_before_end", W, AT_RUNNING, artifact_before_end },
	{ "artifact_number_skips", W, AT_COLLECTING, artifact_number_skips },
	{ "artifact_with_slash", W, AT_COLLECTING, artifact_with_slash },
	{ "phase_again", W, AT_COLLECTING, phase_before_job },
	{ "output_twice", W, AT_RUNNING, output_twice },
	{ "output_above_cap", W, AT_RUNNING, output_above_cap },
	{ "done_twice", W, AT_RUNNING, done_twice },
	{ "silent_running", W, AT_RUNNING, silent },
	{ "words_none", T, AT_RUNNING, words_none },
	{ "words_cut", T, AT_RUNNING, words_cut },
	{ "words_short", T, AT_RUNNING, words_short },
	{ "words_unsealed", T, AT_RUNNING, words_unsealed },
	{ "words_of_another", T, AT_RUNNING, words_of_another },
	{ "words_too_long", T, AT_RUNNING, words_too_long },
	{ "words_setup_again", T, AT_RUNNING, words_setup_again },
	{ "words_as_worker", T, AT_RUNNING, words_as_worker },
	{ "words_crash", T, AT_RUNNING, dies },
	{ "short_frame", T, AT_RUNNING, short_frame },
	{ "oversize", T, AT_RUNNING, oversize },
	{ "type_of_parent", T, AT_RUNNING, type_of_parent },
	{ "closes", T, AT_RUNNING, closes },
	{ "silent", T, AT_RUNNING, silent },
};

static void
attack(unsigned n, enum stage now)
{
	if (attacks[n].at != now)
		return;
	mark("x");
	attacks[n].make();
	/* Nothing more: takod ends us, and only takod. */
	for (;;)
		pause();
}

static void
play_api(unsigned n)
{
	struct msg_setup_done m = { .pid = own_pid };
	struct msg_frame f;

	await(MSG_T_API_LISTEN, &f);
	attack(n, AT_START);
	send_msg(MSG_T_SETUP_DONE, &m, -1);
	attack(n, AT_SERVING);
}

static void
play_worker(unsigned n)
{
	struct msg_worker_setup_done m = { .pid = own_pid };
	struct msg_worker_setup setup;
	struct msg_worker_ready ready;
	struct msg_frame f;
	const char *why;

	await(MSG_T_WORKER_SETUP, &f);
	if (msg_worker_setup_read(&f, &setup, &why) == -1)
		_exit(6);
	token = setup.token;
	await(MSG_T_WORKER_STREAM, &f);
	attack(n, AT_START);
	send_msg(MSG_T_WORKER_SETUP_DONE, &m, -1);
	attack(n, AT_IDLE);
	ready.token = token;
	send_msg(MSG_T_WORKER_READY, &ready, -1);
	attack(n, AT_READY);
	await(MSG_T_JOB_START, &f);
	attack(n, AT_RUNNING);
	phase(PHASE_EXECUTION);
	phase(PHASE_COMPLETED);
	attack(n, AT_COLLECTING);
}

static void
play_words(unsigned n)
{
	struct msg_words_setup_done m = { .pid = own_pid };
	struct msg_words_text text;
	struct msg_frame f;
	const char *why;

	await(MSG_T_WORDS_SETUP, &f);
	attack(n, AT_START);
	send_msg(MSG_T_WORDS_SETUP_DONE, &m, -1);
	await(MSG_T_WORDS_TEXT, &f);
	if (msg_words_text_read(&f, &text, &why) == -1)
		_exit(6);
	number = text.number;
	attack(n, AT_RUNNING);
}

/* Jobs are the real program's, which has not been sent anything yet. */
static void
real_worker(char **argv)
{
	char path[sizeof(folder) + 32];
	struct pollfd p = { MSG_FD, POLLIN, 0 };
	struct msg_hdr h;

	poll(&p, 1, -1);
	if (recv(MSG_FD, &h, sizeof(h), MSG_PEEK) == sizeof(h) &&
	    h.type == MSG_T_WORDS_SETUP)
		return;
	snprintf(path, sizeof(path), "%s/tako-worker.real", folder);
	execv(path, argv);
	_exit(7);
}

int
main(int argc, char **argv)
{
	char path[sizeof(folder) + 16], *text, *slash;
	unsigned n, i;
	ssize_t len;

	if (argc > 1 && strcmp(argv[1], "-l") == 0) {
		for (i = 0; i < nitems(attacks); i++)
			printf("%u %s %d %s\n", i,
			    attacks[i].who == A	  ? "api"
			    : attacks[i].who == W ? "worker"
						  : "words",
			    (int)attacks[i].at, attacks[i].name);
		return (0);
	}
	/* As takod knows it; its namespace has another. */
	own_pid = argc > 1 ? (uint64_t)atoi(argv[1] + 2) : 0;
	len = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	if (len <= 0)
		return (1);
	folder[len] = '\0';
	slash = strrchr(folder, '/');
	me = strcmp(slash + 1, "tako-api") == 0 ? API : WORKER;
	*slash = '\0';
	snprintf(path, sizeof(path), "%s/attack", folder);
	if ((text = read_file(AT_FDCWD, path, 64, NULL)) == NULL)
		return (1);
	n = (unsigned)atoi(text);
	if (n >= nitems(attacks))
		return (1);
	if (attacks[n].who == T) {
		me = WORDS;
		real_worker(argv);
	}
	signal(SIGPIPE, SIG_IGN);
	/* A flood waits for its turn rather than give up. */
	if (fcntl(MSG_FD, F_SETFL, 0) == -1)
		return (1);
	if (me == API)
		play_api(n);
	else if (me == WORDS)
		play_words(n);
	else
		play_worker(n);
	pause();
	return (0);
}
