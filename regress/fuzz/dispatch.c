/*
 * dispatch.c: fuzz target of the parent's rules: a child that sends whole
 * messages in any order, and a parent that goes on with its job meanwhile. The
 * first byte says which child it is; a step is a byte that says what happens,
 * and for a message its type (two bytes, msg_type.h), flags, two bytes of
 * length and the body. Beside takod's table there is another one here, written
 * from tako-imsg(7): what it does not permit has to end the child, and to do
 * nothing else; and a child that is being ended does nothing more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "blob.h"
#include "msg_type.h"
#include "takod/takod.h"
#include "util.h"

#define PID   4711
#define TOKEN 7 /* that of the slot's job */
/* Flags of a message. */
#define PAYLOAD 1 /* a sealed memfd comes along, of the length it needs ... */
#define LOOSE	2 /* ... or one that is not sealed */

/* What the parent was made to do, and how often the child was ended. */
static unsigned effects, ends;
static struct child child;
static struct slot slot;
static struct run run;

/* ---- the rest of takod --------------------------------------------------- */

void
proc_violation(struct child *c, const char *what, const char *why)
{
	need(c == &child && what != NULL && why != NULL && c->why == NULL);
	c->why = "violation";
	ends++;
}

int
proc_send(struct child *c, uint32_t type, uint32_t id, const void *m, int fd)
{
	struct msg_frame f;

	need(c == &child && fd == -1 && msg_sender(type) == FROM_PARENT);
	need(msg_pack(&f, type, id, m) == 0);
	effects++;
	return (0);
}

void
proc_deadline(struct child *c, int ms)
{
	need(c == &child && ms == 0);
}

void
proc_heed(struct child *c)
{
	need(c == &child);
}

struct child *
proc_api(void)
{
	return (&child);
}

void
admit_request(const struct msg_req_admit *m, struct msg_rep_admit *rep)
{
	(void)m;
	memset(rep, 0, sizeof(*rep));
}

int
admit_tenant(const char *key, const char *client, char tenant[MAX_TENANT + 1])
{
	(void)client;
	tenant[0] = '\0';
	return (key[0] == '!' ? -1 : 0);
}

void
job_submit(uint64_t req, const struct msg_req_submit *m, struct blob *payload)
{
	(void)req;
	need(blob_len(payload) ==
	     m->code_len + m->input_len + m->requirements_len);
	blob_unref(payload);
	effects++;
}

void
job_rerun(const struct rerun *r, struct blob *code, answer_cb cb, void *arg)
{
	(void)cb;
	(void)arg;
	need((r->relationship == REL_FORK) == (code != NULL));
	blob_unref(code);
	effects++;
}

int
run_output(struct run *r, const struct msg_job_output *m, struct blob *b)
{
	need(r == &run && m->token == TOKEN && blob_len(b) == m->len);
	effects++;
	blob_unref(b);
	return (m->which == OUTPUT_RESULT && m->truncated ? -1 : 0);
}

const char *
index_words(struct child *c, const struct msg_words_done *m, int fd)
{
	(void)c;
	(void)m;
	close_fd(&fd);
	return (NULL);
}

const char *
layer_unpack_package(struct child *c, const struct msg_unpack_package *m)
{
	(void)m;
	need(c == &child);
	effects++;
	return (NULL);
}

int
run_artifact(struct run *r, const struct msg_job_artifact *m)
{
	need(r == &run && m->token == TOKEN);
	effects++;
	return (m->number == 0 ? 0 : -1);
}

uint64_t
reply_number(const struct child *c, uint32_t id)
{
	need(c == &child);
	return (id);
}

void *
reply_asker(const struct child *c, uint32_t id)
{
	(void)id;
	need(c == &child);
	return (NULL);
}

void
reply_stats_fill(struct msg_rep_stats *m)
{
	memset(m, 0, sizeof(*m));
}

void
reply_answer(enum rep error, const char *detail, json_t *answer, void *asker)
{
	(void)error;
	(void)detail;
	(void)answer;
	(void)asker;
	abort(); /* nothing here answers */
}

/* The others only have to be reached, and not by what is refused. */
/* clang-format off */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define EFFECT(name, ...)						\
	void name(__VA_ARGS__)						\
	{								\
		effects++;						\
	}
EFFECT(job_get, uint64_t a, const struct msg_req_get *b)
EFFECT(job_cancel, uint64_t a, const struct msg_req_cancel *b)
EFFECT(job_gone, uint64_t a)
EFFECT(find_list, uint64_t a, uint64_t b, const struct msg_req_list *c)
EFFECT(find_gone, uint64_t a)
EFFECT(artifact_ask, const struct artifact_ask *a, artifact_answer_cb b,
    uint64_t c)
EFFECT(reply_send, uint64_t a, uint32_t b, const void *c, int d)
EFFECT(reply_error, uint64_t a, enum rep b, const char *c, const char *d)
EFFECT(job_types_show, const char *a, answer_cb b, void *c)
EFFECT(job_types_build, const char *a, layer_line_cb b, answer_cb c, void *d)
EFFECT(job_types_build_show, const char *a, answer_cb b, void *c)
EFFECT(layer_line, struct build *a, const char *b)
EFFECT(layer_unpack_ready, struct child *a)
EFFECT(layer_unpack_done, struct child *a, const struct msg_unpack_done *b)
EFFECT(letters_list, const char *a, int64_t b, int64_t c, int64_t d,
    answer_cb e, void *f)
EFFECT(letters_stats, answer_cb a, void *b)
EFFECT(letters_remove, int64_t a, answer_cb b, void *c)
EFFECT(pool_worker_ready, struct slot *a, uint32_t b)
EFFECT(run_phase, struct run *a, enum job_phase b)
EFFECT(run_done, struct run *a, const struct msg_job_done *b)
EFFECT(index_child_ready, struct child *a)
EFFECT(pool_end, struct slot *a, const char *b)
int
pool_preload_failed(struct slot *a, const char *b)
{
	(void)a;
	(void)b;
	return (0);
}
#pragma GCC diagnostic pop
/* clang-format on */

/* ---- the model ----------------------------------------------------------- */

#define BOOTED	(CHILD_IDLE | CHILD_READY)
#define AT_WORK (CHILD_RUNNING | CHILD_COLLECTING)
#define ALWAYS	(CHILD_STARTING | CHILD_SERVING | BOOTED | AT_WORK | CHILD_DONE)

/* When a type may come, and whether only once. */
static unsigned
permitted(uint32_t type, int *once)
{
	*once = 0;
	switch (type) {
	case MSG_T_SETUP_DONE:
	case MSG_T_WORKER_SETUP_DONE:
	case MSG_T_WORDS_SETUP_DONE:
	case MSG_T_UNPACK_SETUP_DONE:
		*once = 1;
		return (CHILD_STARTING);
	case MSG_T_WORKER_READY:
		*once = 1;
		return (CHILD_IDLE);
	case MSG_T_JOB_DONE:
		*once = 1;
		return (BOOTED | AT_WORK);
	case MSG_T_UNPACK_DONE:
		*once = 1;
		return (CHILD_SERVING);
	case MSG_T_JOB_LINE:
		return (AT_WORK);
	case MSG_T_JOB_OUTPUT:
		return (BOOTED | AT_WORK);
	case MSG_T_JOB_PHASE:
		return (CHILD_RUNNING);
	case MSG_T_JOB_ARTIFACT:
		return (CHILD_COLLECTING);
	case MSG_T_WORKER_PONG:
		return (BOOTED | AT_WORK | CHILD_DONE);
	case MSG_T_API_REFUSED:
	case MSG_T_WORKER_REFUSED:
	case MSG_T_WORDS_REFUSED:
	case MSG_T_UNPACK_REFUSED:
		return (ALWAYS);
	default:
		return (msg_sender(type) != FROM_WORKER ? CHILD_SERVING : 0);
	}
}

/* Where a child may be next: where it is, or further. */
static int
goes_forward(enum child_state from, enum child_state to, uint32_t type)
{
	switch (type) {
	case MSG_T_SETUP_DONE:
	case MSG_T_WORDS_SETUP_DONE:
	case MSG_T_UNPACK_SETUP_DONE:
		return (to == CHILD_SERVING);
	case MSG_T_WORKER_SETUP_DONE:
		return (to == CHILD_IDLE);
	case MSG_T_WORKER_READY:
		return (to == CHILD_READY);
	case MSG_T_JOB_PHASE:
		return (to == from || to == CHILD_COLLECTING);
	case MSG_T_JOB_DONE:
	case MSG_T_UNPACK_DONE:
		return (to == CHILD_DONE);
	default:
		return (to == from);
	}
}

/* ---- steps --------------------------------------------------------------- */

/* A memfd as the message's lengths want it; -1 for none. */
static int
payload(const struct msg_frame *f, unsigned flags)
{
	struct msg_req_submit s;
	struct msg_req_rerun r;
	struct msg_job_output o;
	uint64_t len = 5;
	const char *why;
	int fd;

	if ((flags & (PAYLOAD | LOOSE)) == 0 || msg_fd(f->hdr.type) == FD_NONE)
		return (-1);
	if (f->hdr.type == MSG_T_REQ_SUBMIT &&
	    msg_req_submit_read(f, &s, &why) == 0)
		len = s.code_len + s.input_len + s.requirements_len;
	else if (f->hdr.type == MSG_T_REQ_RERUN &&
		 msg_req_rerun_read(f, &r, &why) == 0)
		len = r.code_len;
	else if (f->hdr.type == MSG_T_JOB_OUTPUT &&
		 msg_job_output_read(f, &o, &why) == 0)
		len = o.len;
	fd = memfd_new("fuzz");
	/* Sparse: a length costs nothing. */
	need(fd != -1 && ftruncate(fd, (off_t)len) == 0);
	if ((flags & LOOSE) == 0)
		need(memfd_seal(fd) == 0);
	return (fd);
}

static void
message(struct msg_frame *f, unsigned flags)
{
	static union {
#define X(TYPE, name, sender, descriptor) struct msg_##name name;
		MSG_CATALOGUE(X)
#undef X
	} m;
	enum child_state before = child.state;
	int once, late = child.why != NULL, seen = child.seen[f->hdr.type];
	unsigned may = permitted(f->hdr.type, &once);
	const char *why;
	int fd = payload(f, flags);

	/* The channel lets nothing else through. */
	if (msg_fd(f->hdr.type) == FD_REQUIRED && fd == -1)
		return;
	effects = ends = 0;
	need(dispatch_child(NULL, f, fd, &child) == 0);
	need(fd == -1 || !late || close(fd) == -1);
	need(ends <= 1 && (ends == 0 || !late));
	if (late || (may & before) == 0 || (once && seen) ||
	    msg_read(f, f->hdr.type, &m, &why) == -1) {
		need(effects == 0 && child.state == before);
		need(late || ends == 1);
		return;
	}
	if (ends == 0)
		need(goes_forward(before, child.state, f->hdr.type));
}

/* What the parent does meanwhile, as run.c and proc.c do. */
static void
meanwhile(unsigned what)
{
	switch (what & 3) {
	case 0:
		if (child.state == CHILD_READY) {
			child.state = CHILD_RUNNING;
			slot.run = &run;
			/* An installer's, or a job's. */
			run.build = what & 4 ? (struct build *)&run : NULL;
		}
		break;
	case 1:
		child.asked = 1;
		break;
	case 2:
		slot.run = NULL;
		break;
	default:
		slot.token = what & 4 ? TOKEN + 1 : TOKEN;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct msg_frame f;
	unsigned flags;
	size_t n;

	if (len == 0)
		return (0);
	memset(&child, 0, sizeof(child));
	memset(&slot, 0, sizeof(slot));
	child.kind = data[0] == 2   ? FROM_WORDS
		     : data[0] == 4 ? FROM_UNPACK
		     : data[0] & 1  ? FROM_WORKER
				    : FROM_API;
	child.state = CHILD_STARTING;
	child.pid = PID;
	child.arg = &slot;
	slot.token = TOKEN;
	for (data++, len--; len >= 6;) {
		if (data[0] & 1) {
			meanwhile(data[0] >> 1);
			data++;
			len--;
			continue;
		}
		f.hdr.type = msg_type_of((uint32_t)data[1] << 8 | data[2]);
		flags = data[3];
		n = (size_t)data[4] << 8 | data[5];
		data += 6;
		len -= 6;
		if (n > len)
			n = len;
		if (n > sizeof(f.body))
			n = sizeof(f.body);
		memcpy(f.body, data, n);
		f.hdr.len = (uint32_t)(sizeof(f.hdr) + n);
		data += n;
		len -= n;
		if (msg_sender(f.hdr.type) == child.kind)
			message(&f, flags);
	}
	return (0);
}
