/*
 * setup.c: tako-vm setup: from an installed takod to one that has run a job.
 * The executor image is made if it is missing; then packages are installed and
 * a job runs through the takod that serves this configuration, or through one
 * that is started for it and taken away again. Runs as root.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "doctor.h"
#include "http.h"
#include "image.h"
#include "log.h"
#include "setup.h"
#include "takoctl.h"
#include "util.h"

/* A cold start of a container, and a machine that is busy. */
#define JOB_S	120L
#define MAX_KEY 4096
#define SEE_WHY "tako-vm doctor says what is wrong with this host"

/* It has to reach the container, run, and come back in two ways. */
static const char probe_code[] =
    "import json\n"
    "data = json.load(open('/input/data.json'))\n"
    "print(data['a'] * data['b'])\n"
    "json.dump({'answer': 42}, open('/output/result.json', 'w'))\n";

volatile sig_atomic_t setup_ended;

struct setup {
	const struct conf *conf;
	const struct engine_ops *ops;
	int json;
	json_t *doc;
	char error[640], mend[256];
};

static void
on_signal(int sig)
{
	setup_ended = sig;
}

/* ---- what is said ------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
say(const struct setup *s, const char *what, const char *fmt, ...)
{
	char text[640], safe[1280];
	va_list ap;

	if (s->json)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%-7s %s\n", what,
	    log_escape(safe, sizeof(safe), text, strlen(text)));
	fflush(stdout);
}

/* Always -1: what failed, and what to do. */
static int __attribute__((format(printf, 3, 4)))
failed(struct setup *s, const char *mend, const char *fmt, ...)
{
	char text[sizeof(s->error)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (setup_ended) {
		strlcpy(text, "ended by a signal", sizeof(text));
		mend = "run it again";
	}
	log_escape(s->error, sizeof(s->error), text, strlen(text));
	strlcpy(s->mend, mend, sizeof(s->mend));
	return (-1);
}

static int
finish(struct setup *s, int ret)
{
	int ok = ret == 0;

	if (s->json) {
		json_object_set_new(s->doc, "ok", json_boolean(ok));
		json_object_set_new(
		    s->doc, "error", ok ? json_null() : json_string(s->error));
		json_object_set_new(
		    s->doc, "mend", ok ? json_null() : json_string(s->mend));
		json_dumpf(
		    s->doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else if (ok)
		printf("Setup is complete.\n");
	else
		fprintf(stderr, "Setup FAILED: %s; %s\n", s->error, s->mend);
	json_decref(s->doc);
	return (ok ? 0 : 1);
}

/* ---- the image ---------------------------------------------------------- */

/* 1: it is there. 0: it is not. -1: it cannot be told. */
static int
image_there(struct setup *s, const char *rootfs)
{
	char key[IMAGE_KEY_LEN + 1], detail[512];
	unsigned long long size;

	if (s->ops == &engine_oci)
		return (access(rootfs, F_OK) == 0);
	if (image_docker_key(s->conf, key, &size, detail, sizeof(detail)) == 0)
		return (size > 0);
	return (failed(s,
	    "start the Docker Engine, set docker_host to its socket, or use "
	    "engine: oci",
	    "%s", detail));
}

static int
image_ready(struct setup *s)
{
	char verb[] = "build", word[] = "image";
	char *argv[] = { word, verb, NULL };
	char *rootfs =
	    s->conf->rootfs != NULL
		? xstrdup(s->conf->rootfs)
		: xasprintf("%s/images/current/rootfs", s->conf->data_dir);
	const char *name =
	    s->ops == &engine_oci ? rootfs : s->conf->docker_image;
	int there = image_there(s, rootfs), ret = 0;

	if (there == 0 && s->ops == &engine_oci && s->conf->rootfs != NULL)
		ret = failed(s,
		    "correct rootfs, or leave the key out: setup then makes an "
		    "image",
		    "rootfs: there is no %s", rootfs);
	else if (there == 0 && image_main(2, argv, s->conf) != 0)
		ret = failed(s, "mend it and run tako-vm setup again",
		    "the executor image could not be made, as said above");
	else if (there == -1)
		ret = -1;
	else {
		say(s, "image", "%s %s", name, there ? "is there" : "was made");
		json_object_set_new(s->doc, "image",
		    json_pack("{s:s s:s}", "name", name, "state",
			there ? "present" : "built"));
	}
	free(rootfs);
	return (ret);
}

/* ---- the job ------------------------------------------------------------ */

/* The header that lets us in, or NULL; the caller's to free. */
static char *
key_header(const struct conf *conf)
{
	char *path, *key, *header = NULL;
	size_t len;

	if (conf->api_auth_enabled && conf->n_api_keys > 0)
		return (xasprintf(
		    "%s: %s", conf->api_auth_header, conf->api_keys[0].key));
	/* takod's own, of protected mode */
	path = xasprintf("%s/api_key", conf->data_dir);
	if ((key = read_file(AT_FDCWD, path, MAX_KEY, &len)) != NULL) {
		key[strcspn(key, "\r\n")] = '\0';
		header = xasprintf("%s: %s", conf->api_auth_header, key);
		freezero(key, len);
	}
	free(path);
	return (header);
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return (s != NULL ? s : "");
}

/* Did the job do what it was to do? */
static int
job_judge(struct setup *s, const struct http_answer *a, const json_t *o)
{
	const json_t *output = json_object_get(o, "output");
	const char *runtime = text_of(o, "runtime");
	double seconds =
	    json_number_value(json_object_get(o, "execution_time"));

	if (a->status == 0)
		return (
		    failed(s, SEE_WHY, "takod gives no answer: %s", a->error));
	if (a->status != 200)
		return (failed(s, SEE_WHY, "takod did not run the job: %s",
		    text_of(o, "detail")[0] != '\0' ? text_of(o, "detail")
						    : "it says nothing clear"));
	if (!json_is_true(json_object_get(o, "success")) ||
	    strcmp(text_of(o, "stdout"), "42\n") != 0 ||
	    json_integer_value(json_object_get(output, "answer")) != 42)
		return (failed(s, SEE_WHY, "the job failed: %s %.200s",
		    text_of(o, "error"), text_of(o, "stderr")));
	say(s, "job", "ran under %s in %.3f s, and its results came back",
	    runtime, seconds);
	json_object_set_new(s->doc, "job",
	    json_pack("{s:s s:s s:f}", "id", text_of(o, "execution_id"),
		"runtime", runtime, "seconds", seconds));
	return (0);
}

static int
job_run(struct setup *s, const char *base, const char *header)
{
	char *url = xasprintf("%s/execute", base), *body;
	struct http_request r = { .url = url,
		.header = header,
		.seconds = JOB_S,
		.stop = &setup_ended };
	struct http_answer *a = xcalloc(1, sizeof(*a));
	json_t *o, *job;
	int ret;

	job = json_pack("{s:s s:{s:i s:i}}", "code", probe_code, "input_data",
	    "a", 6, "b", 7);
	if (job == NULL || (body = json_dumps(job, JSON_COMPACT)) == NULL)
		fatal(NULL);
	r.body = body;
	http_call(&r, a);
	o = json_loadb(a->text, a->len, JSON_REJECT_DUPLICATES, NULL);
	ret = job_judge(s, a, o);
	json_decref(o);
	json_decref(job);
	free(body);
	free(a);
	free(url);
	return (ret);
}

/* ---- the packages ------------------------------------------------------- */

/* Those of the file; the built-in types' are installed when they are used. */
static int
to_build(const struct conf_job_type *jt)
{
	return (!jt->builtin && jt->requirements.n > 0);
}

static int
anything_to_build(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->n_job_types; i++)
		if (to_build(&conf->job_types[i]))
			return (1);
	return (0);
}

static int
build_frame(const struct msg_frame *f, int fd, void *arg)
{
	struct msg_ctl_line line;
	const char *why;

	close_fd(&fd);
	if (f->hdr.type == MSG_T_CTL_LINE) {
		if (msg_ctl_line_read(f, &line, &why) == -1)
			return (-1);
		say(arg, "", "%s", line.text);
	}
	return (0);
}

static int
build_one(struct setup *s, const char *path, const char *name)
{
	struct msg_ctl_build m = { 0 };
	struct msg_ctl_end end;
	struct ctl *ctl;
	int status;

	if ((ctl = ctl_open(path, &status)) == NULL)
		return (
		    failed(s, SEE_WHY, "takod does not listen at %s", path));
	ctl_stop(ctl, &setup_ended);
	strlcpy(m.name, name, sizeof(m.name));
	say(s, "build", "%s: its packages are installed, if they are not yet",
	    name);
	status = ctl_call(ctl, MSG_T_CTL_BUILD, &m, -1, build_frame, s, &end);
	ctl_close(ctl);
	if (status != 0)
		return (failed(s, "mend that and run tako-vm setup again",
		    "job type %s: %s", name,
		    end.detail[0] != '\0' ? end.detail : "no answer came"));
	json_array_append_new(
	    json_object_get(s->doc, "packages"), json_string(name));
	return (0);
}

static int
build_all(struct setup *s, const char *path)
{
	size_t i;
	int ret = 0;

	json_object_set_new(s->doc, "packages", json_array());
	for (i = 0; i < s->conf->n_job_types && ret == 0; i++)
		if (to_build(&s->conf->job_types[i]))
			ret = build_one(s, path, s->conf->job_types[i].name);
	return (ret);
}

/* ---- in which takod ----------------------------------------------------- */

static int
job_in_running(struct setup *s, pid_t pid)
{
	char *url = vm_url(s->conf), *header = key_header(s->conf);
	char path[256];
	int ret;

	say(s, "daemon", "takod runs already (process %d)", (int)pid);
	json_object_set_new(s->doc, "daemon", json_string("running"));
	ctl_path(s->conf, path, sizeof(path));
	if ((ret = build_all(s, path)) == 0)
		ret = job_run(s, url, header);
	if (header != NULL)
		freezero(header, strlen(header));
	free(url);
	return (ret);
}

static int
job_in_private(struct setup *s)
{
	struct setup_daemon *daemon;
	char detail[512], path[256];
	const char *url;
	int ret;

	json_object_set_new(s->doc, "daemon", json_string("private"));
	daemon = setup_daemon_start(s->conf, s->ops, anything_to_build(s->conf),
	    &url, detail, sizeof(detail));
	if (daemon == NULL)
		return (failed(s, SEE_WHY, "%s", detail));
	say(s, "daemon", "takod was started for a trial, at %s", url);
	setup_daemon_path(daemon, path, sizeof(path));
	if ((ret = build_all(s, path)) == 0)
		ret = job_run(s, url, NULL);
	if (setup_daemon_stop(daemon, detail, sizeof(detail)) == 0)
		say(s, "daemon", "it was stopped, and nothing of it is left");
	else if (ret == 0)
		ret = failed(s, "remove it by hand", "%s", detail);
	return (ret);
}

/* ---- all of it ---------------------------------------------------------- */

static int
setup_run(struct setup *s)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t pid;

	if (geteuid() != 0)
		return (failed(s, "run it as root (sudo)",
		    "the image and the containers need root"));
	s->ops = engine_choose(s->conf);
	json_object_set_new(s->doc, "engine", json_string(s->ops->name));
	if (image_ready(s) == -1)
		return (-1);
	/* A build ends with its own children; a trial is taken away here. */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	pid = doctor_daemon(s->conf);
	return (pid != 0 ? job_in_running(s, pid) : job_in_private(s));
}

int
vm_setup(const char *config, int json)
{
	struct setup s = { .json = json };
	struct conf_errors errors, warnings;
	struct conf *conf;
	size_t i;
	int ret;

	conf = conf_load(config, &errors, &warnings);
	for (i = 0; i < errors.n; i++)
		conf_error_print(stderr, &errors.items[i]);
	s.conf = conf;
	s.doc = json_pack("{s:s s:s? s:n s:n s:n s:n s:n}", "version",
	    TAKO_VERSION, "configuration", conf != NULL ? conf->path : NULL,
	    "engine", "image", "daemon", "packages", "job");
	if (s.doc == NULL)
		fatal(NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = conf != NULL
		  ? setup_run(&s)
		  : failed(&s, "tako-vm validate shows all that is wrong",
			"the configuration is not valid");
	ret = finish(&s, ret);
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (ret);
}
