/*
 * engine_drive: drives one engine by hand or from a test, without the rest of
 * takod. A test program; it runs as root where the engine needs root.
 *
 *	engine_drive [-e oci|docker] [-d data_dir] [-i instance] [-u uid_base]
 *	    [-H docker_host] [-R rootfs] [-I image] [-s seccomp_profile]
 *	    [-p runtime=path] [-a runtime=argument]... [-v]
 *	engine_drive -S [-s seccomp_profile]	prints the job's profile
 *
 * Commands are lines on stdin (or datagrams, when stdin is a SOCK_SEQPACKET
 * socket), answers are lines of JSON on stdout (or datagrams on that socket,
 * then the stream of a created container comes along as a descriptor):
 *
 *	probe RUNTIME			ping		describe
 *	create TAG [key=value]...	cancel TAG
 *	kill TAG	facts TAG	remove TAG	send TAG HEX
 *	proof TAG	image NAME
 *	reconcile	close		quit
 *
 * Keys of create: runtime slot memory cpus pids network seccomp caps userns
 * code input output image deadline_ms nofile nproc fsize tmpfs env.NAME.
 * In line mode the tool reads the streams itself: it says when tako-init's
 * HELLO came, and shows what else comes as hex. "close" closes the engine in
 * order. End of stdin is "quit": it ends at once, as a killed takod does, and
 * removes nothing.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "conf.h"
#include "log.h"
#include "stream.h"
#include "takod/engine.h"
#include "takod/gpu.h"
#include "takod/seccomp_job.h"
#include "util.h"

#define MAX_LINE 8192
#define MAX_ENV	 32

/* A container of the test, from create to the end of remove. */
struct box {
	TAILQ_ENTRY(box) entry;
	char tag[64];
	struct container *c;
	int fd; /* line mode only */
	int mux;
	int hello;
	int64_t asked_us;
	struct event *ev;
	uint8_t buf[STREAM_HEAD + 16]; /* of the HELLO, as it comes */
	size_t len;
	uint8_t head[8]; /* of a mux frame, as it comes */
	size_t head_len;
	uint32_t frame_left;
};

static TAILQ_HEAD(, box) boxes = TAILQ_HEAD_INITIALIZER(boxes);
static const struct engine_ops *ops = &engine_oci;
static struct engine *engine;
static struct event_base *base;
static struct conf conf;
static const char *instance = "drive";
static const char *image;
static int by_socket;

static const char *const error_names[] = { "ok", "away", "transient",
	"no_image", "config", "deadline" };

static char *
json_text(char *dst, size_t len, const char *s)
{
	size_t n = 0;

	for (; *s != '\0' && n + 8 < len; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
			n += (size_t)snprintf(dst + n, len - n, "\\u%04x", c);
		else
			dst[n++] = (char)c;
	}
	dst[n] = '\0';
	return (dst);
}

static void
send_with_fd(const char *line, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)line,
		.iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	if (sendmsg(STDIN_FILENO, &msg, MSG_NOSIGNAL) == -1)
		err(1, "sendmsg");
}

/* fd: sent along in socket mode; -1 for none. */
static void __attribute__((format(printf, 2, 3)))
say(int fd, const char *fmt, ...)
{
	char line[MAX_LINE];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		errx(1, "an answer is too long");
	if (by_socket)
		send_with_fd(line, (size_t)n, fd);
	else {
		puts(line);
		fflush(stdout);
	}
}

static void
say_error(const char *event, const char *tag, enum engine_error error,
    const char *detail)
{
	char text[2048];

	say(-1,
	    "{\"event\": \"%s\", \"tag\": \"%s\", \"error\": \"%s\", "
	    "\"detail\": \"%s\"}",
	    event, tag, error_names[error],
	    json_text(text, sizeof(text), detail == NULL ? "" : detail));
}

static struct box *
box_find(const char *tag)
{
	struct box *b;

	TAILQ_FOREACH (b, &boxes, entry)
		if (strcmp(b->tag, tag) == 0)
			return (b);
	return (NULL);
}

static void
box_free(struct box *b)
{
	TAILQ_REMOVE(&boxes, b, entry);
	if (b->ev != NULL)
		event_free(b->ev);
	close_fd(&b->fd);
	free(b);
}

/* Bytes of the stream: HELLO once, all that follows as hex. */
static void
box_bytes(struct box *b, const uint8_t *p, size_t len)
{
	char hex[2 * 1024 + 1];
	uint32_t version;
	size_t n;

	while (len > 0 && !b->hello) {
		b->buf[b->len++] = *p++;
		len--;
		if (b->len < STREAM_HEAD + 8)
			continue;
		memcpy(&version, b->buf + STREAM_HEAD, sizeof(version));
		b->hello = 1;
		say(-1,
		    "{\"event\": \"hello\", \"tag\": \"%s\", \"type\": %d, "
		    "\"version\": %u, \"us\": %" PRId64 "}",
		    b->tag, b->buf[0], version, time_mono_us() - b->asked_us);
	}
	while (len > 0) {
		n = len < 1024 ? len : 1024;
		say(-1,
		    "{\"event\": \"data\", \"tag\": \"%s\", \"hex\": \"%s\"}",
		    b->tag, hex_encode(hex, p, n));
		p += n;
		len -= n;
	}
}

/* Takes Docker's heads off: {stream, 0, 0, 0, length big-endian}. */
static void
box_demux(struct box *b, const uint8_t *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (b->frame_left == 0) {
			b->head[b->head_len++] = *p++;
			len--;
			if (b->head_len < sizeof(b->head))
				continue;
			b->head_len = 0;
			b->frame_left = (uint32_t)b->head[4] << 24 |
					(uint32_t)b->head[5] << 16 |
					(uint32_t)b->head[6] << 8 | b->head[7];
			continue;
		}
		n = len < b->frame_left ? len : b->frame_left;
		box_bytes(b, p, n);
		b->frame_left -= (uint32_t)n;
		p += n;
		len -= n;
	}
}

static void
box_readable(evutil_socket_t fd, short what, void *arg)
{
	struct box *b = arg;
	uint8_t buf[4096];
	ssize_t n;

	(void)what;
	n = read(fd, buf, sizeof(buf));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		say(-1, "{\"event\": \"eof\", \"tag\": \"%s\"}", b->tag);
		event_free(b->ev);
		b->ev = NULL;
	} else if (b->mux)
		box_demux(b, buf, (size_t)n);
	else
		box_bytes(b, buf, (size_t)n);
}

static void
created(struct container *c, int fd, int mux, enum engine_error error,
    const char *detail, void *arg)
{
	struct box *b = arg;
	int64_t us = time_mono_us() - b->asked_us;

	if (c == NULL) {
		say_error("created", b->tag, error, detail);
		box_free(b);
		return;
	}
	b->c = c;
	b->mux = mux;
	say(fd,
	    "{\"event\": \"created\", \"tag\": \"%s\", \"error\": \"ok\", "
	    "\"mux\": %d, \"us\": %" PRId64 "}",
	    b->tag, mux, us);
	if (by_socket) {
		close(fd);
		return;
	}
	b->fd = fd;
	fd_nonblock(fd);
	b->ev = event_new(base, fd, EV_READ | EV_PERSIST, box_readable, b);
	if (b->ev == NULL || event_add(b->ev, NULL) == -1)
		errx(1, "event_new");
}

static void
exited(struct container *c, void *arg)
{
	struct box *b = arg;

	(void)c;
	say(-1,
	    "{\"event\": \"exit\", \"tag\": \"%s\", \"mono_us\": %" PRId64 "}",
	    b->tag, time_mono_us());
}

static void
removed(enum engine_error error, const char *detail, void *arg)
{
	struct box *b = arg;

	say_error("removed", b->tag, error, detail);
	box_free(b);
}

static void
cancelled(enum engine_error error, const char *detail, void *arg)
{
	struct box *b = arg;

	say_error("cancelled", b->tag, error, detail);
	box_free(b);
}

static void
done(enum engine_error error, const char *detail, void *arg)
{
	say_error(arg, "", error, detail);
}

static void
probed(const struct engine_probe *p, void *arg)
{
	char version[512], kernel[1024], detail[2048];

	(void)arg;
	say(-1,
	    "{\"event\": \"probe\", \"error\": \"%s\", \"runtime\": \"%s\", "
	    "\"version\": \"%s\", \"kernel\": \"%s\", \"detail\": \"%s\"}",
	    error_names[p->error], runtime_name(p->runtime),
	    json_text(version, sizeof(version), p->version),
	    json_text(kernel, sizeof(kernel), p->kernel),
	    json_text(detail, sizeof(detail), p->detail));
}

static struct conf_gpu gpu = { .enabled = 1 };
static char *gpu_id;

/* One key=value of create. Returns -1 when the key is unknown. */
static int
spec_set(struct container_spec *s, struct conf_limits *l, struct conf_env *e,
    int64_t *deadline_ms, const char *key, char *value)
{
	const struct {
		const char *key;
		uint64_t *u64;
		int *i;
	} keys[] = {
		{ "slot", NULL, &s->slot },
		{ "memory", &s->memory, NULL },
		{ "pids", NULL, &s->pids },
		{ "seccomp", NULL, &s->seccomp },
		{ "caps", NULL, &s->caps },
		{ "userns", NULL, &s->userns },
		{ "gpu_count", NULL, &gpu.count },
		{ "code", &s->code_size, NULL },
		{ "input", &s->input_size, NULL },
		{ "output", &s->output_size, NULL },
		{ "fsize", &l->fsize, NULL },
		{ "tmpfs", &l->tmpfs_size, NULL },
	};
	size_t i;

	for (i = 0; i < nitems(keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (keys[i].u64 != NULL)
			*keys[i].u64 = strtoull(value, NULL, 10);
		else
			*keys[i].i = atoi(value);
		return (0);
	}
	if (strcmp(key, "runtime") == 0)
		s->runtime = (enum runtime)runtime_byname(value);
	else if (strcmp(key, "cpus") == 0)
		s->cpus = strtod(value, NULL);
	else if (strcmp(key, "image") == 0)
		s->image = value;
	else if (strcmp(key, "network") == 0)
		s->network.kind = NETWORK_PUBLIC;
	else if (strcmp(key, "gpu") == 0) {
		/* of that vendor, in another folder than /dev */
		gpu.vendor = *value == 'a' ? GPU_AMD : GPU_NVIDIA;
		s->gpu = &gpu;
		if ((value = strchr(value, ':')) != NULL)
			gpu_folder = value + 1;
	} else if (strcmp(key, "gpu_id") == 0) {
		gpu_id = value;
		gpu.device_ids.items = &gpu_id;
		gpu.device_ids.n = 1;
	} else if (strcmp(key, "deadline_ms") == 0)
		*deadline_ms = atoll(value);
	else if (strcmp(key, "nofile") == 0)
		l->nofile_soft = l->nofile_hard = atoi(value);
	else if (strcmp(key, "nproc") == 0)
		l->nproc_soft = l->nproc_hard = atoi(value);
	else if (strncmp(key, "env.", 4) == 0 && e->n < MAX_ENV) {
		e->names[e->n] = (char *)(uintptr_t)key + 4;
		e->values[e->n++] = value;
	} else
		return (-1);
	return (0);
}

static void
cmd_create(const char *tag, char *rest)
{
	struct conf_limits limits = conf.container_limits;
	char *names[MAX_ENV], *values[MAX_ENV];
	struct conf_env env = { .names = names, .values = values };
	struct container_spec spec = { .runtime = RUNTIME_RUNSC,
		.memory = 512 << 20,
		.cpus = 1.0,
		.pids = limits.pids_limit,
		.limits = &limits,
		.environment = &env,
		.code_size = 1 << 20,
		.input_size = 4 << 20,
		.output_size = 128 << 20,
		.seccomp = 1,
		.caps = 1,
		.userns = 1,
		.image = image };
	int64_t deadline_ms = 20000;
	char name[128], *word, *value;
	struct box *b;

	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		value = strchr(word, '=');
		if (value != NULL)
			*value++ = '\0';
		if (value == NULL || spec_set(&spec, &limits, &env,
					 &deadline_ms, word, value) == -1) {
			say_error("bad", tag, ENGINE_CONFIG, word);
			return;
		}
	}
	snprintf(name, sizeof(name), "takod-%s-%s", instance, tag);
	spec.name = name;
	b = xcalloc(1, sizeof(*b));
	strlcpy(b->tag, tag, sizeof(b->tag));
	b->fd = -1;
	b->asked_us = time_mono_us();
	TAILQ_INSERT_TAIL(&boxes, b, entry);
	ops->create(engine, &spec, b->asked_us + deadline_ms * 1000, created,
	    exited, b);
}

static void
cmd_facts(struct box *b)
{
	struct container_facts f;

	if (ops->facts(engine, b->c, &f) == -1) {
		say_error("facts", b->tag, ENGINE_TRANSIENT, strerror(errno));
		return;
	}
	say(-1,
	    "{\"event\": \"facts\", \"tag\": \"%s\", \"error\": \"ok\", "
	    "\"oom_kills\": %" PRId64 ", \"memory_peak\": %" PRId64
	    ", \"cpu_us\": %" PRId64 "}",
	    b->tag, f.oom_kills, f.memory_peak, f.cpu_us);
}

static void
cmd_proof(struct box *b)
{
	json_t *o = ops->proof(engine, b->c);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	say(-1,
	    "{\"event\": \"proof\", \"tag\": \"%s\", \"error\": \"ok\", "
	    "\"proof\": %s}",
	    b->tag, text == NULL ? "null" : text);
	free(text);
	json_decref(o);
}

static void
cmd_send(struct box *b, const char *hex)
{
	uint8_t buf[MAX_LINE / 2];
	size_t n = strlen(hex) / 2;

	if (b->fd == -1 || hex_decode(buf, n, hex) == -1 ||
	    write(b->fd, buf, n) != (ssize_t)n)
		say_error("send", b->tag, ENGINE_TRANSIENT, "not sent");
}

/* Commands on a container that create has made. */
static void
cmd_box(const char *cmd, const char *tag, const char *rest)
{
	struct box *b = box_find(tag);

	/* Once it was made there is nothing to cancel, and only then the rest.
	 */
	if (b == NULL || (b->c == NULL) != (strcmp(cmd, "cancel") == 0)) {
		say_error("bad", tag, ENGINE_CONFIG, "not at this time");
		return;
	}
	if (strcmp(cmd, "cancel") == 0)
		ops->create_cancel(engine, cancelled, b);
	else if (strcmp(cmd, "kill") == 0)
		ops->kill(engine, b->c);
	else if (strcmp(cmd, "facts") == 0)
		cmd_facts(b);
	else if (strcmp(cmd, "proof") == 0)
		cmd_proof(b);
	else if (strcmp(cmd, "send") == 0)
		cmd_send(b, rest == NULL ? "" : rest);
	else if (strcmp(cmd, "remove") == 0)
		ops->remove(engine, b->c, removed, b);
	else
		say_error("bad", tag, ENGINE_CONFIG, "no such command");
}

static void
command(char *line)
{
	static char reconciled[] = "reconciled", pinged[] = "ping",
		    imaged[] = "image";
	char *cmd = strsep(&line, " ");
	char *tag;

	if (strcmp(cmd, "quit") == 0)
		_exit(0);
	if (strcmp(cmd, "close") == 0) {
		ops->close(engine);
		_exit(0);
	}
	if (strcmp(cmd, "ping") == 0)
		ops->ping(engine, done, pinged);
	else if (strcmp(cmd, "describe") == 0)
		say_error("describe", "", ENGINE_OK, ops->describe(engine));
	else if (strcmp(cmd, "reconcile") == 0)
		ops->reconcile(engine, done, reconciled);
	else if ((tag = strsep(&line, " ")) == NULL)
		say_error("bad", "", ENGINE_CONFIG, "no such command");
	else if (strcmp(cmd, "image") == 0)
		ops->image(engine, tag, done, imaged);
	else if (strcmp(cmd, "probe") == 0)
		ops->probe(
		    engine, (enum runtime)runtime_byname(tag), probed, NULL);
	else if (strcmp(cmd, "create") == 0)
		cmd_create(tag, line);
	else
		cmd_box(cmd, tag, line);
}

static void
stdin_readable(evutil_socket_t fd, short what, void *arg)
{
	static char buf[MAX_LINE];
	static size_t have;
	char *end;
	ssize_t n;

	(void)what;
	(void)arg;
	n = read(fd, buf + have, sizeof(buf) - 1 - have);
	if (n <= 0)
		_exit(n == 0 ? 0 : 1);
	have += (size_t)n;
	buf[have] = '\0';
	if (by_socket) {
		have = 0;
		command(buf);
		return;
	}
	while ((end = strchr(buf, '\n')) != NULL) {
		*end++ = '\0';
		if (*buf != '\0')
			command(buf);
		have -= (size_t)(end - buf);
		memmove(buf, end, have + 1);
	}
}

static void
list_add(struct conf_list *l, char *item)
{
	l->items = realloc(l->items, (l->n + 1) * sizeof(char *));
	if (l->items == NULL)
		err(1, NULL);
	l->items[l->n++] = item;
}

/* -p and -a: "runsc=..." or "runc=...". */
static void
runtime_option(int opt, char *arg)
{
	char *value = strchr(arg, '=');
	int runsc;

	if (value == NULL)
		errx(1, "-%c: runtime=value", opt);
	*value++ = '\0';
	runsc = strcmp(arg, "runsc") == 0;
	if (opt == 'a')
		list_add(runsc ? &conf.runsc_args : &conf.runc_args, value);
	else if (runsc)
		conf.runsc_path = value;
	else
		conf.runc_path = value;
}

/* The values of configuration.md that an engine looks at. */
static void
conf_defaults(void)
{
	static char runsc[] = "runsc", runc[] = "runc", dir[] = "/tmp/drive";

	conf.runsc_path = runsc;
	conf.runc_path = runc;
	conf.data_dir = dir;
	conf.enable_seccomp = conf.enable_cap_restrictions = 1;
	conf.enable_userns = -1;
	conf.container_runtime = RUNTIME_RUNSC;
	conf.container_limits = (struct conf_limits){ .nofile_soft = 256,
		.nofile_hard = 256,
		.nproc_soft = 50,
		.nproc_hard = 50,
		.fsize = 104857600,
		.tmpfs_size = 100 << 20,
		.pids_limit = 100 };
}

/* The job's seccomp profile: what etc/seccomp.json is. */
static int
print_profile(void)
{
	char detail[512];
	char *text = seccomp_job_json(&conf, detail, sizeof(detail));

	if (text == NULL)
		errx(1, "%s", detail);
	puts(text);
	free(text);
	return (0);
}

int
main(int argc, char **argv)
{
	enum log_level level = LOG_LEVEL_WARNING;
	uid_t uid_base = 700000;
	char detail[1024];
	struct event *ev;
	socklen_t len;
	int opt, type, profile = 0;

	conf_defaults();
	while ((opt = getopt(argc, argv, "a:d:e:H:I:i:p:R:Ss:u:v")) != -1) {
		switch (opt) {
		case 'a':
		case 'p':
			runtime_option(opt, optarg);
			break;
		case 'd':
			conf.data_dir = optarg;
			break;
		case 'e':
			ops = strcmp(optarg, "docker") == 0 ? &engine_docker
							    : &engine_oci;
			break;
		case 'H':
			conf.docker_host = optarg;
			break;
		case 'I':
			image = conf.docker_image = optarg;
			break;
		case 'i':
			instance = optarg;
			break;
		case 'R':
			conf.rootfs = optarg;
			break;
		case 'S':
			profile = 1;
			break;
		case 's':
			conf.seccomp_profile_path = optarg;
			break;
		case 'u':
			uid_base = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			level = LOG_LEVEL_DEBUG;
			break;
		default:
			errx(1, "see the head of engine_drive.c");
		}
	}
	log_init("engine_drive", level, 0);
	if (profile)
		return (print_profile());
	len = sizeof(type);
	by_socket =
	    getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_SEQPACKET;
	base = event_base_new();
	if (base == NULL)
		errx(1, "event_base_new");
	engine =
	    ops->open(base, &conf, instance, uid_base, detail, sizeof(detail));
	if (engine == NULL) {
		say_error("open", "", ENGINE_CONFIG, detail);
		return (1);
	}
	say_error("open", "", ENGINE_OK, "");
	ev = event_new(
	    base, STDIN_FILENO, EV_READ | EV_PERSIST, stdin_readable, NULL);
	if (ev == NULL || event_add(ev, NULL) == -1)
		errx(1, "stdin: cannot be waited for");
	event_base_dispatch(base);
	return (0);
}
