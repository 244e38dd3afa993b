/*
 * ctl.c: fuzz target of takoctl: a command, and any frames of takod in any
 * order as its answer. However wrong they are, the command ends with an exit
 * status, and with 0 only behind the last frame of an answer; what it prints
 * cannot drive a terminal, or is JSON; files come into the folder it runs in,
 * and nothing is left open.
 *
 * The first byte says which command it is, and whether as JSON; then come
 * frames, each with its type, flags and fields, and a descriptor's bytes.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "msg_make.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
/* The daemon is here. */
static int reach(int);
#define connect(fd, address, len) reach(fd)
#include "takoctl/ctl.c"
#include "takoctl/artifacts.c"
#include "takoctl/show.c"
#define main  takoctl_main
#define usage usage_of_all
#include "takoctl/main.c"
#undef main
#undef usage
#undef connect
#pragma GCC diagnostic pop

#define JOB "11111111-2222-4333-8444-555555555555"

/* Flags of a frame. */
#define RAW	1 /* its body comes as it is */
#define STRANGE 2 /* its memory has another length */
#define BARE	4 /* no descriptor */
#define WHOLE	8 /* the digest is that of the bytes */

static const char *const lines[][6] = {
	{ "status" },
	{ "workers" },
	{ "nodes" },
	{ "tenants" },
	{ "show", JOB },
	{ "artifacts", "list", JOB },
	{ "artifacts", "get", JOB },
	{ "artifacts", "get", JOB, "a.txt" },
	{ "cancel", JOB },
	{ "rerun", JOB },
	{ "dlq list" },
	{ "dlq remove", "7" },
	{ "drain" },
	{ "stop", "-n" },
	{ "verbose", "debug" },
	{ "reload", "--dry-run" },
	{ "executions" },
};

static struct input answer_bytes;
static int theirs = -1, last_word;
static char folder[64];

/* ---- takod --------------------------------------------------------------- */

static int
companion(uint32_t type, union message *m, unsigned flags, struct input *in)
{
	struct input bytes = take_part(in, take_byte(in));
	uint64_t len = bytes.len;
	SHA2_CTX ctx;

	if (msg_fd(type) == FD_NONE)
		return (-1);
	if (type == MSG_T_REP_RECORD)
		len = record_lengths(&m->rep_record, in);
	else if (type == MSG_T_REP_JSON)
		m->rep_json.len = len += len == 0;
	else if (type == MSG_T_REP_ARTIFACT) {
		m->rep_artifact.size = len;
		SHA256Init(&ctx);
		SHA256Update(&ctx, bytes.p, bytes.len);
		if (flags & WHOLE)
			SHA256Final(m->rep_artifact.sha256, &ctx);
	}
	if (msg_fd(type) != FD_REQUIRED && (flags & BARE))
		return (-1);
	return (sealed(len + ((flags & STRANGE) != 0), bytes));
}

/* 0: the channel takes no more. */
static int
send_frame(const struct msg_frame *f, int fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)f, f->hdr.len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (fd != -1) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(int));
	}
	return (sendmsg(theirs, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != -1);
}

/* All of the answer at once, and the end of it. */
static void
answer_all(struct input *in)
{
	static struct msg_frame f;
	static union message m;
	uint32_t type, seq = 0;
	unsigned flags;
	int fd, more = 1;

	while (in->len > 0 && more) {
		type = msg_type_of(take_word(in));
		flags = take_byte(in);
		memset(&m, 0, sizeof(m));
		if (flags & RAW) {
			make_raw(in, type, &f);
			fd = companion(type, &m, flags, in);
		} else {
			make_message(in, type, &m);
			fd = companion(type, &m, flags, in);
			need(msg_pack(&f, type, 0, &m) == 0);
		}
		f.hdr.seq = ++seq;
		last_word |= type == MSG_T_CTL_END;
		more = send_frame(&f, fd);
		close_fd(&fd);
	}
	shutdown(theirs, SHUT_WR);
}

static int
reach(int fd)
{
	int pair[2];

	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	need(dup2(pair[0], fd) == fd);
	close_fd(&pair[0]);
	close_fd(&theirs);
	theirs = pair[1];
	answer_all(&answer_bytes);
	return (0);
}

/* ---- what it does -------------------------------------------------------- */

/* Text of one line and more, that no terminal does anything for. */
static void
check_text(const char *text, size_t len)
{
	size_t i;

	need(utf8_valid(text, len));
	for (i = 0; i < len; i++) {
		need((uint8_t)text[i] >= 0x20 || text[i] == '\n');
		need(text[i] != 0x7f);
		/* U+0080 to U+009F */
		need((uint8_t)text[i] != 0xc2 || (uint8_t)text[i + 1] >= 0xa0);
	}
}

static void
check_json(const char *text, size_t len)
{
	json_t *value = json_loadb(text, len, 0, NULL);

	need(value != NULL);
	json_decref(value);
}

static void
folder_empty(void)
{
	struct dirent *e;
	DIR *d = opendir(".");

	need(d != NULL);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			need(unlink(e->d_name) == 0);
	closedir(d);
}

static void
folder_gone(void)
{
	rmdir(folder);
}

static void
begin_once(void)
{
	snprintf(folder, sizeof(folder), "/tmp/ctl-XXXXXX");
	need(mkdtemp(folder) != NULL && chdir(folder) == 0);
	atexit(folder_gone);
}

static const struct command *
command_of(const char *name)
{
	const struct command *c;

	for (c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return (c);
	for (c = dlq_commands; strcmp(c->name, name) != 0; c++)
		;
	return (c);
}

static int
run(unsigned which, int as_json)
{
	const char *const *line = lines[which % nitems(lines)];
	const struct command *c = command_of(line[0]);
	char *argv[nitems(lines[0]) + 1];
	int argc, ret;

	for (argc = 0; argc < (int)nitems(lines[0]) && line[argc]; argc++)
		argv[argc] = xstrdup(line[argc]);
	argv[argc] = NULL;
	ret = c->run != NULL ? c->run("/", c, argc, argv, as_json)
			     : ctl_run("/", c, argc, argv, as_json);
	while (argc > 0)
		free(argv[--argc]);
	return (ret);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	FILE *real_out = stdout, *real_err = stderr;
	char *out = NULL, *err = NULL;
	size_t out_len, err_len;
	unsigned which;
	int ret, as_json;

	if (len == 0)
		return (0);
	if (folder[0] == '\0')
		begin_once();
	fds_begin();
	answer_bytes = (struct input){ data, len };
	which = take_byte(&answer_bytes);
	as_json = (which & 0x80) != 0;
	last_word = 0;
	stdout = open_memstream(&out, &out_len);
	stderr = open_memstream(&err, &err_len);
	ret = run(which & 0x7f, as_json);
	fclose(stdout);
	fclose(stderr);
	stdout = real_out;
	stderr = real_err;
	need(ret == EX_OK || (ret >= EX_USAGE && ret <= EX_CONFIG));
	need(ret != EX_OK || last_word);
	check_text(err, err_len);
	if (!as_json)
		check_text(out, out_len);
	else if (out_len > 0)
		check_json(out, out_len);
	free(out);
	free(err);
	free(wanted);
	wanted = NULL;
	n_wanted = next_wanted = failed = all = 0;
	output = NULL;
	json_decref(doc);
	doc = NULL;
	close_fd(&theirs);
	folder_empty();
	fds_end(0);
	return (0);
}
