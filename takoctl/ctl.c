/*
 * ctl.c: one request to takod over its control socket, and the answer. Runs in
 * takoctl. The daemon ends every answer with CTL_END.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "blob.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

/* The daemon answers from memory or by one statement of its store. */
#define ANSWER_S 30
/* ... but an artifact may lie elsewhere, and there may be many. */
#define ARTIFACTS_S 3600

struct call {
	struct event_base *base;
	int status; /* exit status */
	int ended;
};

static int
status_of(enum rep error)
{
	switch (error) {
	case REP_NONE:
		return (EX_OK);
	case REP_NOT_FOUND:
	case REP_NO_ARTIFACT:
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

/* The record's sections come in a memfd. */
static int
show_record_fd(const struct msg_rep_record *m, int fd)
{
	size_t len = m->stdout_len + m->stderr_len + m->output_len +
		     m->artifacts_len + m->extras_len;
	struct blob *b = NULL;

	if (len > 0 && (fd == -1 || (b = blob_from_memfd(fd, len)) == NULL)) {
		close_fd(&fd);
		return (-1);
	}
	if (len == 0)
		close_fd(&fd);
	show_record(m, (const char *)blob_data(b));
	blob_unref(b);
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
		if (msg_##name##_read(f, &(m), &why) == -1) {                  \
			close_fd(&fd);                                         \
			imsgev_violation(iev, why);                            \
			return (-1);                                           \
		}                                                              \
	} while (0)

static int
answer(struct imsgev *iev, const struct msg_frame *f, int fd, void *arg)
{
	static struct msg_rep_record record;
	struct call *call = arg;
	struct msg_rep_stats stats;
	struct msg_ctl_daemon daemon;
	struct msg_ctl_child child;
	struct msg_ctl_node node;
	struct msg_ctl_tenant tenant;
	struct msg_ctl_change change;
	struct msg_ctl_problem problem;
	struct msg_rep_json json;
	struct msg_ctl_end end;
	struct msg_rep_artifact artifact;
	struct msg_ctl_artifact more;
	const char *why;

	switch (f->hdr.type) {
	case MSG_T_REP_RECORD:
		READ(rep_record, record);
		return (show_record_fd(&record, fd));
	case MSG_T_REP_JSON:
		READ(rep_json, json);
		return (show_json_fd(&json, fd));
	case MSG_T_REP_ARTIFACT:
		READ(rep_artifact, artifact);
		artifacts_save(&artifact, fd);
		return (0);
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
	case MSG_T_CTL_CHANGE:
		READ(ctl_change, change);
		show_change(&change);
		return (0);
	case MSG_T_CTL_PROBLEM:
		READ(ctl_problem, problem);
		show_problem(&problem);
		return (0);
	case MSG_T_CTL_END:
		READ(ctl_end, end);
		if (end.error == REP_NONE && artifacts_next(&more))
			return (imsgev_compose(
			    iev, MSG_T_CTL_ARTIFACT, 0, &more, -1));
		show_end(&end);
		call->ended = 1;
		call->status = status_of((enum rep)end.error);
		if (artifacts_failed())
			call->status = EX_IOERR;
		event_base_loopbreak(call->base);
		return (0);
	}
	close_fd(&fd);
	imsgev_violation(iev, "not an answer");
	return (-1);
}

static void
closed(struct imsgev *iev, const char *why, void *arg)
{
	struct call *call = arg;

	(void)iev;
	/* It may end as soon as it has answered. */
	if (call->ended)
		return;
	fprintf(stderr, "takoctl: takod closed the connection%s%s\n",
	    why != NULL ? ": " : "", why != NULL ? why : "");
	call->status = EX_PROTOCOL;
	event_base_loopbreak(call->base);
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

/* -t: a status, an error's or a job's type. NULL, or what is wrong. */
static const char *
typed(const struct command *c, const char *word, void *buf)
{
	struct msg_ctl_letters *letters = buf;
	struct msg_ctl_rerun *rerun = buf;
	struct msg_ctl_jobs *jobs = buf;

	if (c->type == MSG_T_CTL_JOBS) {
		jobs->status = job_status_byname(word);
		return (jobs->status == -1 ? "no such status" : NULL);
	}
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
	struct msg_ctl_letters *letters = buf;
	struct msg_ctl_rerun *rerun = buf;
	struct msg_ctl_jobs *jobs = buf;
	struct msg_ctl_tenants *tenants = buf;
	struct msg_ctl_job *job = buf;
	struct msg_ctl_stop *stop = buf;
	struct msg_ctl_verbose *verbose = buf;
	const char *errstr = NULL;
	uint64_t limit;
	int ch, level;

	*type = c->type;
	if (c->type == MSG_T_CTL_ARTIFACT)
		return (artifacts_request(argc, argv, buf, type));
	if (c->type == MSG_T_CTL_JOBS) {
		jobs->limit = 20;
		jobs->status = -1;
	} else if (c->type == MSG_T_CTL_LETTERS)
		letters->limit = 20;
	else if (c->type == MSG_T_CTL_TENANTS)
		tenants->limit = 100;
	optind = 0;
	while ((ch = getopt_long(argc, argv,
		    c->type == MSG_T_CTL_JOBS	   ? "+l:t:"
		    : c == &dlq_commands[0]	   ? "+l:t:"
		    : c->type == MSG_T_CTL_RERUN   ? "+t:T:"
		    : c->type == MSG_T_CTL_TENANTS ? "+l:"
		    : c->type == MSG_T_CTL_STOP || c->type == MSG_T_CTL_RELOAD
			? "+n"
			: "+",
		    c->type == MSG_T_CTL_RELOAD ? dry_run : none, NULL)) != -1)
		switch (ch) {
		case 'l':
			limit = (uint64_t)strtonum(optarg, 1, 1000, &errstr);
			if (c->type == MSG_T_CTL_JOBS)
				jobs->limit = limit;
			else if (c->type == MSG_T_CTL_TENANTS)
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
		case 'n':
			/* Both requests have that alone. */
			stop->now = 1;
			break;
		default:
			return (EX_USAGE);
		}
	argc -= optind;
	argv += optind;
	if (errstr != NULL) {
		fprintf(stderr, "takoctl: %s: %s\n", c->name, errstr);
		return (EX_USAGE);
	}
	if (argc < c->min || argc > c->max) {
		fprintf(stderr, "usage: takoctl %s %s\n", c->name, c->args);
		return (EX_USAGE);
	}
	if (argc > 0 && (c->type == MSG_T_CTL_LETTERS ||
			    c->type == MSG_T_CTL_LETTER_REMOVE ||
			    c->type == MSG_T_CTL_LETTER_RETRY)) {
		/* All three begin with the number. */
		letters->id =
		    (uint64_t)strtonum(argv[0], 1, INT64_MAX, &errstr);
		if (errstr != NULL) {
			fprintf(stderr,
			    "takoctl: %s: not the number of a dead letter\n",
			    c->name);
			return (EX_USAGE);
		}
	}
	if (c->type == MSG_T_CTL_JOB || c->type == MSG_T_CTL_CANCEL ||
	    c->type == MSG_T_CTL_RERUN) {
		if (!job_id_valid(argv[0])) {
			fprintf(stderr, "takoctl: %s: not a job id\n", c->name);
			return (EX_USAGE);
		}
		/* All three requests begin with the id. */
		strlcpy(job->job_id, argv[0], sizeof(job->job_id));
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
	struct timeval limit = {
		c->type == MSG_T_CTL_ARTIFACT ? ARTIFACTS_S : ANSWER_S, 0
	};
	struct call call = { NULL, EX_TEMPFAIL, 0 };
	uint32_t type;
	struct msg_ctl_hello hello;
	struct imsgev *iev;
	union {
		struct msg_ctl_jobs jobs;
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
	} m;
	int fd, ret;

	memset(&m, 0, sizeof(m));
	if ((ret = request(c, argc, argv, &m, &type)) != 0)
		return (ret);
	if ((fd = ctl_connect(path)) < 0)
		return (-fd);
	if ((call.base = event_base_new()) == NULL)
		fatal(NULL);
	iev = imsgev_new(
	    call.base, fd, FROM_PARENT, MSG_MAX_FRAME, answer, closed, &call);
	if (iev == NULL)
		fatal(NULL);
	memset(&hello, 0, sizeof(hello));
	strlcpy(hello.version, TAKO_VERSION, sizeof(hello.version));
	show_begin(c, json);
	if (imsgev_compose(iev, MSG_T_CTL_HELLO, 0, &hello, -1) == -1 ||
	    imsgev_compose(iev, type, 0, &m, -1) == -1)
		/* It may hang up, for one, when it has too many clients. */
		closed(iev, strerror(errno), &call);
	else {
		event_base_loopexit(call.base, &limit);
		event_base_dispatch(call.base);
	}
	if (!call.ended && call.status == EX_TEMPFAIL)
		fprintf(stderr, "takoctl: no answer within %d s\n",
		    (int)limit.tv_sec);
	imsgev_free(iev);
	event_base_free(call.base);
	return (call.status);
}
