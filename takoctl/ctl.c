/*
 * ctl.c: one request to takod over its control socket, and the answer. Runs in
 * takoctl. The daemon ends every answer with CTL_END.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "blob.h"
#include "event_arm.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

/* The daemon answers from memory or by one statement of its store. */
#define ANSWER_S 30
/* ... but artifacts may lie elsewhere, and packages too. */
#define ARTIFACTS_S 3600

struct ctl {
	struct event_base *base;
	struct imsgev *iev;
	struct event *late, *look;
	/* of the call under way */
	ctl_cb cb;
	void *arg;
	struct msg_ctl_end *end;
	struct timeval limit; /* for each frame */
	int status;	      /* exit status */
	volatile sig_atomic_t *stop;
	int ended;
	const char *why; /* the connection is closed */
};

static int
status_of(enum rep error)
{
	switch (error) {
	case REP_NONE:
		return (EX_OK);
	case REP_NOT_FOUND:
	case REP_NO_ARTIFACT:
	case REP_CONFLICT:
		return (EX_DATAERR);
	case REP_DENIED:
		return (EX_NOPERM);
	case REP_INVALID:
		return (EX_CONFIG);
	case REP_UNAVAILABLE:
	case REP_STARTING:
	case REP_QUEUE_FULL:
		return (EX_TEMPFAIL);
	default:
		return (EX_SOFTWARE);
	}
}

int
ctl_record_take(struct ctl_record *r, const struct msg_frame *f, int fd)
{
	const char *why;
	uint64_t lens[8], sum = 0;
	const uint8_t *p;
	size_t i;

	memset(r, 0, sizeof(*r));
	if (msg_rep_record_read(f, &r->m, &why) == -1) {
		close_fd(&fd);
		return (-1);
	}
	lens[0] = r->out.len = r->m.stdout_len;
	lens[1] = r->err.len = r->m.stderr_len;
	lens[2] = r->output.len = r->m.output_len;
	lens[3] = r->artifacts.len = r->m.artifacts_len;
	lens[4] = r->extras.len = r->m.extras_len;
	lens[5] = r->code.len = r->m.payload ? r->m.code_len : 0;
	lens[6] = r->input.len = r->m.payload ? r->m.input_len : 0;
	lens[7] = r->requirements.len = r->m.requirements_len;
	for (i = 0; i < nitems(lens); i++)
		sum += lens[i];
	if (sum == 0)
		close_fd(&fd);
	else if (fd == -1 || (r->all = blob_from_memfd(fd, sum)) == NULL)
		return (-1);
	p = blob_data(r->all);
	r->out.data = p;
	r->err.data = p += lens[0];
	r->output.data = p += lens[1];
	r->artifacts.data = p += lens[2];
	r->extras.data = p += lens[3];
	r->code.data = p += lens[4];
	r->input.data = p += lens[5];
	r->requirements.data = p += lens[6];
	return (0);
}

static int
show_json_fd(const struct msg_rep_json *m, int fd)
{
	struct blob *b = blob_from_memfd(fd, m->len);
	int ret;

	if (b == NULL)
		return (-1);
	ret = show_answer((const char *)blob_data(b), m->len);
	blob_unref(b);
	return (ret);
}

#define READ(name, m)                                                          \
	do {                                                                   \
		const char *why_;                                              \
		if (msg_##name##_read(f, &(m), &why_) == -1) {                 \
			close_fd(&fd);                                         \
			return (-1);                                           \
		}                                                              \
	} while (0)

/* What is shown as it comes. */
static int
answer(const struct msg_frame *f, int fd, void *arg)
{
	static struct ctl_record record;
	struct msg_rep_stats stats;
	struct msg_ctl_daemon daemon;
	struct msg_ctl_child child;
	struct msg_ctl_node node;
	struct msg_ctl_tenant tenant;
	struct msg_ctl_change change;
	struct msg_ctl_problem problem;
	struct msg_rep_json json;
	struct msg_rep_artifact artifact;
	struct msg_ctl_line text;
	char safe[4 * MAX_PROGRESS + 1];

	(void)arg;
	if (f->hdr.type == MSG_T_REP_RECORD) {
		if (ctl_record_take(&record, f, fd) == -1)
			return (-1);
		show_record(&record.m, (const char *)blob_data(record.all));
		blob_unref(record.all);
		return (0);
	}
	if (f->hdr.type == MSG_T_REP_JSON) {
		READ(rep_json, json);
		return (show_json_fd(&json, fd));
	}
	if (f->hdr.type == MSG_T_REP_ARTIFACT) {
		READ(rep_artifact, artifact);
		artifacts_save(&artifact, fd);
		return (0);
	}
	close_fd(&fd);
	switch (f->hdr.type) {
	case MSG_T_REP_STATS:
		READ(rep_stats, stats);
		show_stats(&stats);
		return (0);
	case MSG_T_CTL_DAEMON:
		READ(ctl_daemon, daemon);
		show_daemon(&daemon);
		return (0);
	case MSG_T_CTL_CHILD:
		READ(ctl_child, child);
		show_child(&child);
		return (0);
	case MSG_T_CTL_NODE:
		READ(ctl_node, node);
		show_node(&node);
		return (0);
	case MSG_T_CTL_TENANT:
		READ(ctl_tenant, tenant);
		show_tenant(&tenant);
		return (0);
	case MSG_T_CTL_LINE:
		READ(ctl_line, text);
		/* As it comes; the answer alone goes to stdout. */
		fprintf(stderr, "%s\n",
		    log_escape(
			safe, sizeof(safe), text.text, strlen(text.text)));
		return (0);
	case MSG_T_CTL_CHANGE:
		READ(ctl_change, change);
		show_change(&change);
		return (0);
	case MSG_T_CTL_PROBLEM:
		READ(ctl_problem, problem);
		show_problem(&problem);
		return (0);
	}
	return (-1);
}

static int
frame(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	struct ctl *c = arg;
	const char *why = "not an answer";

	event_arm(c->late, &c->limit);
	if (f->hdr.type == MSG_T_CTL_END && c->end != NULL) {
		close_fd(&fd);
		if (msg_ctl_end_read(f, c->end, &why) == -1)
			goto fail;
		c->ended = 1;
		c->status = status_of((enum rep)c->end->error);
		event_base_loopbreak(c->base);
		return (0);
	}
	if (c->cb != NULL && c->cb(f, fd, c->arg) == 0) {
		/* What was done with it is no time that takod took. */
		event_arm(c->late, &c->limit);
		return (0);
	}
fail:
	imsgev_violation(iev, why);
	return (-1);
}

static void
closed(struct imsgev *iev, const char *why, void *arg)
{
	struct ctl *c = arg;

	(void)iev;
	c->why = why != NULL ? why : "";
	event_base_loopbreak(c->base);
}

static void
late(int fd, short events, void *arg)
{
	struct ctl *c = arg;

	(void)fd;
	(void)events;
	event_base_loopbreak(c->base);
}

static void
look(int fd, short events, void *arg)
{
	struct ctl *c = arg;

	(void)fd;
	(void)events;
	if (*c->stop) {
		c->why = "a signal";
		event_base_loopbreak(c->base);
	}
}

void
ctl_stop(struct ctl *c, volatile sig_atomic_t *stop)
{
	static const struct timeval second = { 1, 0 };

	c->stop = stop;
	c->look = event_new(c->base, -1, EV_PERSIST, look, c);
	if (c->look == NULL || event_add(c->look, &second) == -1)
		fatal(NULL);
}

void
ctl_path(const struct conf *cf, char *path, size_t len)
{
	if (cf->control_socket != NULL)
		strlcpy(path, cf->control_socket, len);
	else
		snprintf(path, len, "%s/takod.sock", cf->data_dir);
}

static int
ctl_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		fprintf(stderr, "takoctl: socket path is too long\n");
		return (-EX_USAGE);
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd != -1 &&
	    connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0) {
		fd_nonblock(fd);
		return (fd);
	}
	if (errno == EACCES) {
		fprintf(stderr, "takoctl: %s: permission denied\n", path);
		close_fd(&fd);
		return (-EX_NOPERM);
	}
	fprintf(stderr, "takoctl: no takod is running at %s\n", path);
	close_fd(&fd);
	return (-EX_UNAVAILABLE);
}

struct ctl *
ctl_open(const char *path, int *status)
{
	struct msg_ctl_hello hello;
	struct ctl *c;
	int fd;

	if ((fd = ctl_connect(path)) < 0) {
		*status = -fd;
		return (NULL);
	}
	c = xcalloc(1, sizeof(*c));
	if ((c->base = event_base_new()) == NULL ||
	    (c->late = evtimer_new(c->base, late, c)) == NULL ||
	    (c->iev = imsgev_new(c->base, fd, FROM_PARENT, MSG_MAX_FRAME, frame,
		 closed, c)) == NULL)
		fatal(NULL);
	memset(&hello, 0, sizeof(hello));
	strlcpy(hello.version, TAKO_VERSION, sizeof(hello.version));
	/* It may hang up, for one, when it has too many clients. */
	if (imsgev_compose(c->iev, MSG_T_CTL_HELLO, 0, &hello, -1) == -1)
		c->why = strerror(errno);
	return (c);
}

void
ctl_close(struct ctl *c)
{
	if (c == NULL)
		return;
	imsgev_free(c->iev);
	event_free(c->late);
	if (c->look != NULL)
		event_free(c->look);
	event_base_free(c->base);
	free(c);
}

int
ctl_call(struct ctl *c, uint32_t type, const void *m, int fd, ctl_cb cb,
    void *arg, struct msg_ctl_end *end)
{
	memset(end, 0, sizeof(*end));
	c->cb = cb;
	c->arg = arg;
	c->end = end;
	c->ended = 0;
	c->limit.tv_sec = type == MSG_T_CTL_ARTIFACT ||
				  type == MSG_T_CTL_IMPORT ||
				  type == MSG_T_CTL_BUILD
			      ? ARTIFACTS_S
			      : ANSWER_S;
	if (c->why == NULL && imsgev_compose(c->iev, type, 0, m, fd) == -1)
		c->why = strerror(errno);
	if (c->why == NULL) {
		event_arm(c->late, &c->limit);
		event_base_dispatch(c->base);
		event_del(c->late);
	}
	c->cb = NULL;
	c->end = NULL;
	if (c->ended)
		return (c->status);
	if (c->why == NULL) {
		fprintf(stderr, "takoctl: no answer within %d s\n",
		    (int)c->limit.tv_sec);
		return (EX_TEMPFAIL);
	}
	if (c->stop == NULL || !*c->stop)
		fprintf(stderr, "takoctl: takod closed the connection%s%s\n",
		    *c->why != '\0' ? ": " : "", c->why);
	return (EX_PROTOCOL);
}

int
ctl_usage(const struct command *c, const char *why)
{
	if (why != NULL)
		fprintf(stderr, "takoctl: %s: %s\n", c->name, why);
	else
		fprintf(stderr, "usage: takoctl %s %s\n", c->name, c->args);
	return (EX_USAGE);
}

static int
level_of(const char *name)
{
	static const char *const names[] = { "debug", "info", "warning",
		"error", "critical" };
	int i;

	for (i = 0; i < (int)nitems(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return (i);
	return (-1);
}

/* -t: an error's or a job's type. NULL, or what is wrong. */
static const char *
typed(const struct command *c, const char *word, void *buf)
{
	struct msg_ctl_letters *letters = buf;
	struct msg_ctl_rerun *rerun = buf;

	if (c->type == MSG_T_CTL_LETTERS) {
		strlcpy(letters->error_type, word, sizeof(letters->error_type));
		return (
		    job_error_byname(word) == -1 ? "no such error type" : NULL);
	}
	return (strlcpy(rerun->job_type, word, sizeof(rerun->job_type)) >=
			sizeof(rerun->job_type)
		    ? "too long for a job type"
		    : NULL);
}

/* Fills the request from the operands. Not 0: an exit status. */
static int
request(
    const struct command *c, int argc, char **argv, void *buf, uint32_t *type)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	static const struct option dry_run[] = {
		{ "dry-run", no_argument, NULL, 'n' }, { NULL, 0, NULL, 0 }
	};
	static const struct option removing[] = {
		{ "remove", no_argument, NULL, 'r' }, { NULL, 0, NULL, 0 }
	};
	struct msg_ctl_letters *letters = buf;
	struct msg_ctl_rerun *rerun = buf;
	struct msg_ctl_tenants *tenants = buf;
	struct msg_ctl_job *job = buf;
	struct msg_ctl_build *build = buf;
	struct msg_ctl_stop *stop = buf;
	struct msg_ctl_verbose *verbose = buf;
	const char *errstr = NULL;
	uint64_t limit;
	int ch, level;

	*type = c->type;
	if (c->type == MSG_T_CTL_ARTIFACT)
		return (artifacts_request(argc, argv, buf, type));
	if (c->type == MSG_T_CTL_LETTERS)
		letters->limit = 20;
	else if (c->type == MSG_T_CTL_TENANTS)
		tenants->limit = 100;
	optind = 0;
	while ((ch = getopt_long(argc, argv,
		    c == &dlq_commands[0]	   ? "+l:t:"
		    : c->type == MSG_T_CTL_RERUN   ? "+t:T:"
		    : c->type == MSG_T_CTL_TENANTS ? "+l:"
		    : c->type == MSG_T_CTL_STOP || c->type == MSG_T_CTL_RELOAD
			? "+n"
			: "+",
		    c->type == MSG_T_CTL_RELOAD	  ? dry_run
		    : c->type == MSG_T_CTL_LAYERS ? removing
						  : none,
		    NULL)) != -1)
		switch (ch) {
		case 'l':
			limit = (uint64_t)strtonum(optarg, 1, 1000, &errstr);
			if (c->type == MSG_T_CTL_TENANTS)
				tenants->limit = limit;
			else
				letters->limit = limit;
			break;
		case 't':
			errstr = typed(c, optarg, buf);
			break;
		case 'T':
			rerun->timeout =
			    (uint64_t)strtonum(optarg, 1, 86400, &errstr);
			break;
		case 'r':
			*type = MSG_T_CTL_LAYER_REMOVE;
			break;
		case 'n':
			/* Both requests have that alone. */
			stop->now = 1;
			break;
		default:
			return (EX_USAGE);
		}
	argc -= optind;
	argv += optind;
	if (errstr != NULL)
		return (ctl_usage(c, errstr));
	if (argc < c->min || argc > c->max)
		return (ctl_usage(c, NULL));
	if (*type == MSG_T_CTL_LAYER_REMOVE && argc == 0)
		return (ctl_usage(c, NULL));
	if (argc > 0 &&
	    (c->type == MSG_T_CTL_BUILD || c->type == MSG_T_CTL_LAYERS)) {
		/* All three are a name or a key alone. */
		if (strlcpy(build->name, argv[0], sizeof(build->name)) >=
		    sizeof(build->name))
			return (ctl_usage(c, "too long"));
	} else if (argc > 0 && (c->type == MSG_T_CTL_LETTERS ||
				   c->type == MSG_T_CTL_LETTER_REMOVE ||
				   c->type == MSG_T_CTL_LETTER_RETRY)) {
		/* All three begin with the number. */
		letters->id =
		    (uint64_t)strtonum(argv[0], 1, INT64_MAX, &errstr);
		if (errstr != NULL)
			return (
			    ctl_usage(c, "not the number of a dead letter"));
	}
	if (c->type == MSG_T_CTL_JOB || c->type == MSG_T_CTL_CANCEL ||
	    c->type == MSG_T_CTL_RERUN) {
		if (!job_id_valid(argv[0]))
			return (ctl_usage(c, "not a job id"));
		/* All three requests begin with the id. */
		strlcpy(job->job_id, argv[0], sizeof(job->job_id));
		if (c->type == MSG_T_CTL_JOB)
			job->view = VIEW_FULL;
	} else if (c->type == MSG_T_CTL_VERBOSE) {
		if ((level = level_of(argv[0])) == -1) {
			fprintf(stderr, "takoctl: verbose: debug, info, "
					"warning, error or critical\n");
			return (EX_USAGE);
		}
		verbose->level = (uint64_t)level;
	}
	return (0);
}

int
ctl_run(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	struct msg_ctl_end end;
	struct ctl *ctl;
	uint32_t type;
	union {
		struct msg_ctl_tenants tenants;
		struct msg_ctl_job job;
		struct msg_ctl_artifact artifact;
		struct msg_ctl_cancel cancel;
		struct msg_ctl_rerun rerun;
		struct msg_ctl_letters letters;
		struct msg_ctl_letter_remove remove;
		struct msg_ctl_letter_retry retry;
		struct msg_ctl_stop stop;
		struct msg_ctl_verbose verbose;
		struct msg_ctl_reload reload;
		struct msg_ctl_status status;
		struct msg_ctl_build build;
		struct msg_ctl_layers layers;
		struct msg_ctl_layer_remove layer;
	} m;
	int ret;

	memset(&m, 0, sizeof(m));
	if ((ret = request(c, argc, argv, &m, &type)) != 0)
		return (ret);
	if ((ctl = ctl_open(path, &ret)) == NULL)
		return (ret);
	show_begin(c, json);
	do {
		ret = ctl_call(ctl, type, &m, -1, answer, NULL, &end);
		type = MSG_T_CTL_ARTIFACT;
	} while (ret == EX_OK && artifacts_next(&m.artifact));
	if (ctl->ended) {
		show_end(&end);
		if (artifacts_failed())
			ret = EX_IOERR;
	}
	ctl_close(ctl);
	return (ret);
}
