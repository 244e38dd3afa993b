/*
 * layer_build.c: makes layers of packages. Runs in the parent.
 *
 *	asked		which image it is for is found out
 *	queued		MAX_BUILDS others are being made
 *	installing	an installer runs: a job like any other (run.c), in a
 *			sandbox of its own with a network, but with code of ours
 *			(installer.py) and the packages for its input
 *	unpacking	a child unpacks what it left, under a name that nobody
 *			uses: tako-worker/unpack.c
 *	built, failed	and whoever waited is told
 *
 * Two who want the same have one build. What an installer left is hostile: the
 * parent hands it on as it came, and writes down of it what the child told in
 * checked fields.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "embed.h"
#include "failpoint.h"
#include "layer.h"
#include "util.h"

EMBED(installer, "takod/installer.py")

#define MAX_BUILDS	2 /* at a time */
#define KEPT_LINES	20
#define START_LIMIT_S	60
#define UNPACK_LIMIT_MS (300 * 1000)
/* What the installer leaves. */
#define FILE_TAR     "layer.tar"
#define FILE_LOCK    "layer.lock"
#define MIB	     1048576ULL
#define MAX_CERTS    (4 << 20)
#define MAX_NETRC    65536
#define PIP_WHEELS   "/usr/share/python-wheels/pip-*.whl"
#define PYPI_FILES   "files.pythonhosted.org:443"
#define MAX_HOSTS    64
#define CERTIFICATES "/etc/ssl/certs/ca-certificates.crt"

enum build_state {
	BUILD_QUEUED,
	BUILD_INSTALLING,
	BUILD_UNPACKING,
	BUILD_BUILT,
	BUILD_FAILED
};

struct waiter {
	TAILQ_ENTRY(waiter) entry;
	/* Until its build is known. */
	char type[MAX_JOB_TYPE_NAME + 1];
	json_t *requirements; /* NULL: not valid */
	int runtime, build;
	layer_cb cb; /* NULL: nobody waits any more */
	layer_line_cb line;
	void *arg;
};
TAILQ_HEAD(waiter_list, waiter);

struct build {
	TAILQ_ENTRY(build) entry;
	enum build_state state;
	char key[LAYER_KEY_LEN + 1];
	char type[MAX_JOB_TYPE_NAME + 1];
	int runtime; /* of a request's list, not of a type's */
	json_t *requirements, *packages;
	struct run *run;
	struct child *child;
	char tmp[64];
	int dir;	      /* where it is unpacked; -1 */
	int64_t began, ended; /* us since the epoch */
	char lines[KEPT_LINES][MAX_PROGRESS + 1];
	unsigned n_lines; /* all that came */
	struct layer_result result;
	char detail[MAX_ERROR_MESSAGE + 1];
	struct waiter_list waiters;
};
TAILQ_HEAD(build_list, build);

static struct waiter_list asking = TAILQ_HEAD_INITIALIZER(asking);
static struct build_list builds = TAILQ_HEAD_INITIALIZER(builds);
/* The last one of each job type, ended. */
static struct build_list ended = TAILQ_HEAD_INITIALIZER(ended);
static unsigned serial;

static void builds_next(void);
static void child_gone(struct child *, void *);

static void
waiter_free(struct waiter *w)
{
	json_decref(w->requirements);
	free(w);
}

static void
waiter_tell(struct waiter *w, const struct layer_result *result)
{
	if (w->cb != NULL)
		w->cb(result, w->arg);
	waiter_free(w);
}

/* ---- the end ---------------------------------------------------------------
 */

static void
build_free(struct build *b)
{
	json_decref(b->requirements);
	json_decref(b->packages);
	blob_unref(b->result.err);
	free(b);
}

/* The last one of its type is there to be looked at. */
static void
build_keep(struct build *b)
{
	struct build *old, *next;

	if (b->runtime) {
		build_free(b);
		return;
	}
	TAILQ_FOREACH_SAFE (old, &ended, entry, next)
		if (strcmp(old->type, b->type) == 0) {
			TAILQ_REMOVE(&ended, old, entry);
			build_free(old);
		}
	TAILQ_INSERT_TAIL(&ended, b, entry);
}

/* result.error and engine say whether it is built. */
static void
build_end(struct build *b)
{
	struct waiter *w;
	int failed;

	failed = b->result.error != JERR_NONE || b->result.engine != ENGINE_OK;
	b->state = failed ? BUILD_FAILED : BUILD_BUILT;
	b->ended = time_wall_us();
	b->result.key = b->key;
	b->result.detail = b->detail;
	TAILQ_REMOVE(&builds, b, entry);
	if (b->child != NULL) {
		b->child->arg = NULL;
		proc_kill(b->child, "its build ends");
		b->child = NULL;
	}
	close_fd(&b->dir);
	if (b->tmp[0] != '\0' && failed)
		layer_tmp_remove(b->tmp);
	if (b->run != NULL)
		run_build_free(b->run);
	b->run = NULL;
	if (failed)
		log_warnx("layer %.12s for job type %s: %s", b->key, b->type,
		    b->detail);
	else
		log_info("layer %.12s for job type %s: built in %lld s", b->key,
		    b->type, (long long)(b->ended - b->began) / 1000000);
	while ((w = TAILQ_FIRST(&b->waiters)) != NULL) {
		TAILQ_REMOVE(&b->waiters, w, entry);
		waiter_tell(w, &b->result);
	}
	build_keep(b);
	builds_next();
}

static void __attribute__((format(printf, 4, 5))) build_fail(struct build *b,
    enum job_error error, enum engine_error engine, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	vsnprintf(b->detail, sizeof(b->detail), fmt, ap);
	va_end(ap);
	/* pip has more than one line to say. */
	for (p = b->detail; (p = strchr(p, '\n')) != NULL; p++)
		*p = ' ';
	b->result.error = error;
	b->result.engine = engine;
	build_end(b);
}

/* ---- unpacking -------------------------------------------------------------
 */

/* The artifact of that name; NULL: the installer left none. */
static const struct artifact *
left(const struct build *b, const char *name)
{
	const struct job *job = b->run->job;
	int i;

	for (i = 0; i < job->n_artifacts; i++)
		if (job->artifacts[i].name_len == strlen(name) &&
		    memcmp(job->artifacts[i].name, name, strlen(name)) == 0)
			return (&job->artifacts[i]);
	return (NULL);
}

static int
unpack_send(struct build *b)
{
	const struct artifact *list = left(b, FILE_LOCK);
	const struct artifact *files = left(b, FILE_TAR);
	struct msg_unpack_lock lock = { .len = list->size };
	struct msg_unpack_tar tar = { .len = files->size };
	int fd, r;

	if ((fd = run_build_file(b->run, list->number)) == -1)
		return (-1);
	r = proc_send(b->child, MSG_T_UNPACK_LOCK, 0, &lock, fd);
	close_fd(&fd);
	if (r == -1 || (fd = run_build_file(b->run, files->number)) == -1)
		return (-1);
	r = proc_send(b->child, MSG_T_UNPACK_TAR, 0, &tar, fd);
	close_fd(&fd);
	return (r);
}

static void
unpack_begin(struct build *b)
{
	uid_t uid =
	    env.worker_uid != 0 ? env.worker_uid : ID_UNPACK(env.uid_base);
	gid_t gid = env.worker_uid != 0 ? env.worker_gid : uid;
	struct msg_unpack_setup setup = { .max_bytes =
					      env.conf->layer_max_bytes };
	char path[128];

	b->state = BUILD_UNPACKING;
	snprintf(path, sizeof(path), LAYERS "/%s/tree", b->tmp);
	b->dir = openat(
	    env.data_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->dir == -1 || fchown(b->dir, uid, gid) == -1 ||
	    (b->child = proc_spawn(FROM_UNPACK, uid, gid, child_gone, b)) ==
		NULL ||
	    proc_send(b->child, MSG_T_UNPACK_SETUP, 0, &setup, b->dir) == -1) {
		log_warn("layer %.12s", b->key);
		build_fail(b, JERR_NONE, ENGINE_TRANSIENT,
		    "The packages cannot be unpacked now");
	}
}

static void
child_gone(struct child *c, void *arg)
{
	struct build *b = arg;

	if (c->arg == NULL)
		return; /* its build ended before */
	b->child = NULL;
	build_fail(
	    b, JERR_NONE, ENGINE_TRANSIENT, "What unpacks the packages ended");
}

void
layer_unpack_ready(struct child *c)
{
	struct build *b = c->arg;

	FAILPOINT("takod.unpacking");
	proc_deadline(c, UNPACK_LIMIT_MS);
	if (b != NULL && unpack_send(b) == -1) {
		log_warn("layer %.12s", b->key);
		proc_kill(c, "what it is to unpack cannot be given to it");
	}
}

const char *
layer_unpack_package(struct child *c, const struct msg_unpack_package *m)
{
	struct build *b = c->arg;
	json_t *o;

	if (b == NULL)
		return (NULL);
	o = json_pack("{s:s, s:s, s:o}", "name", m->name, "version", m->version,
	    "sha256",
	    m->sha256[0] == '\0' ? json_null() : json_string(m->sha256));
	if (o == NULL || json_array_append_new(b->packages, o) == -1)
		return ("no memory for its packages");
	return (NULL);
}

void
layer_unpack_done(struct child *c, const struct msg_unpack_done *m)
{
	struct build *b = c->arg;
	char date[40];
	json_t *lock;

	if (b == NULL)
		return;
	if (m->why[0] != '\0') {
		build_fail(b, JERR_DEPENDENCY, ENGINE_OK,
		    "The packages cannot be unpacked: %s", m->why);
		return;
	}
	/* What is in it is nobody's but root's from now on. */
	lock = json_pack("{s:s, s:s, s:I, s:I, s:I, s:O, s:O}", "key", b->key,
	    "built_at", time_iso(date, sizeof(date), time_wall_us()),
	    "built_at_us", (json_int_t)time_wall_us(), "files",
	    (json_int_t)m->files, "bytes", (json_int_t)m->bytes, "requirements",
	    b->requirements, "packages", b->packages);
	FAILPOINT("takod.unpacked");
	if (lock == NULL || fchown(b->dir, 0, 0) == -1 ||
	    layer_add(b->tmp, b->key, b->runtime, lock) == -1) {
		log_warn("layer %.12s", b->key);
		build_fail(b, JERR_NONE, ENGINE_TRANSIENT,
		    "The packages cannot be kept");
		return;
	}
	build_end(b);
}

/* ---- installing ------------------------------------------------------------
 */

void
layer_line(struct build *b, const char *text)
{
	struct waiter *w, *next;

	strlcpy(b->lines[b->n_lines++ % KEPT_LINES], text, MAX_PROGRESS + 1);
	TAILQ_FOREACH_SAFE (w, &b->waiters, entry, next)
		if (w->line != NULL)
			w->line(text, w->arg);
}

void
layer_run_ended(struct build *b)
{
	const struct job *job = b->run->job;

	b->result.err = blob_ref(job->err);
	switch (job->error) {
	case JERR_NONE:
		if (left(b, FILE_TAR) != NULL && left(b, FILE_LOCK) != NULL &&
		    run_build_take(b->run) == 0)
			unpack_begin(b);
		else
			build_fail(b, JERR_DEPENDENCY, ENGINE_OK,
			    "The packages are larger than layer_max_bytes "
			    "(%llu bytes)",
			    (unsigned long long)env.conf->layer_max_bytes);
		break;
	case JERR_CONFIG:
		build_fail(b, JERR_CONFIG, ENGINE_OK, "%s", job->error_message);
		break;
	case JERR_DOCKER:
	case JERR_SERVICE_UNAVAILABLE:
	case JERR_INTERNAL:
	case JERR_INTERRUPTED:
	case JERR_STARTUP_TIMEOUT:
	case JERR_SANDBOX_DIED:
		build_fail(b, JERR_NONE, ENGINE_TRANSIENT,
		    "The installer did not run: %s", job->error_message);
		break;
	case JERR_EXECUTION_TIMEOUT:
		build_fail(b, JERR_DEPENDENCY, ENGINE_OK,
		    "Installing took longer than layer_timeout (%d s)",
		    job->timeout);
		break;
	case JERR_OOM:
		build_fail(b, JERR_DEPENDENCY, ENGINE_OK,
		    "Installing needed more memory than layer_max_bytes "
		    "gives it");
		break;
	default:
		build_fail(b, JERR_DEPENDENCY, ENGINE_OK, "%s",
		    job->error_message[0] != '\0' ? job->error_message
						  : "Installing failed");
	}
}

/* What is written for people, and a problem for whoever builds. */
static char *
file_text(
    const char *path, size_t max, const char *key, char *detail, size_t len)
{
	char *text;
	size_t n;

	if ((text = read_file(AT_FDCWD, path, max, &n)) == NULL)
		snprintf(detail, len, "%s: %s", key, strerror(errno));
	return (text);
}

/* The newest of the host's wheels of pip, whole. */
static struct blob *
pip_wheel(char *detail, size_t len)
{
	const char *path = env.conf->package_pip_wheel;
	glob_t found = { 0 };
	char *text = NULL;
	size_t n = 0;

	if (path == NULL && glob(PIP_WHEELS, 0, NULL, &found) == 0)
		path = found.gl_pathv[found.gl_pathc - 1];
	if (path == NULL)
		snprintf(detail, len,
		    "no wheel of pip (%s): install python3-pip-whl, or name "
		    "one by package_pip_wheel",
		    PIP_WHEELS);
	else if ((text = read_file(AT_FDCWD, path, 32 * MIB, &n)) == NULL)
		snprintf(detail, len, "package_pip_wheel: %s", strerror(errno));
	globfree(&found);
	return (text == NULL ? NULL : blob_take(text, n));
}

/* Settings of the installer's main(); NULL with detail. */
static json_t *
settings(const struct build *b, char *detail, size_t len)
{
	const struct conf *cf = env.conf;
	char *certs = NULL, *netrc = NULL;
	json_t *o, *extra = json_array();
	size_t i;

	if (cf->package_certificates_file != NULL ||
	    access(CERTIFICATES, R_OK) == 0) {
		certs = file_text(cf->package_certificates_file != NULL
				      ? cf->package_certificates_file
				      : CERTIFICATES,
		    MAX_CERTS, "package_certificates_file", detail, len);
		if (certs == NULL)
			return (NULL);
	}
	if (cf->package_netrc_file != NULL &&
	    (netrc = file_text(cf->package_netrc_file, MAX_NETRC,
		 "package_netrc_file", detail, len)) == NULL) {
		free(certs);
		return (NULL);
	}
	for (i = 0; i < cf->package_extra_index_urls.n; i++)
		json_array_append_new(
		    extra, json_string(cf->package_extra_index_urls.items[i]));
	o = json_pack("{s:O, s:s, s:o, s:s?, s:s?, s:s?, s:b, s:I, s:s}",
	    "requirements", b->requirements, "index", cf->package_index_url,
	    "extra", extra, "proxy", cf->dependency_proxy_url, "certificates",
	    certs, "netrc", netrc, "source", cf->package_source_builds,
	    "max_bytes", (json_int_t)cf->layer_max_bytes, "place",
	    PATH_CONTAINER_LAYER);
	if (o == NULL)
		snprintf(detail, len, "a setting is no text");
	free(certs);
	if (netrc != NULL)
		explicit_bzero(netrc, strlen(netrc));
	free(netrc);
	return (o);
}

/* The installer, and the call of it with its settings as a text in JSON. */
static struct blob *
installer_code(json_t *s)
{
	char *text = json_dumps(s, JSON_COMPACT), *quoted, *code;
	json_t *string = text == NULL ? NULL : json_string(text);

	quoted = json_dumps(string, JSON_ENCODE_ANY);
	if (quoted == NULL)
		fatal(NULL);
	code = xasprintf("%.*s\n\nmain(json.loads(%s))\n",
	    (int)(installer_end - installer), (const char *)installer, quoted);
	json_decref(string);
	free(text);
	free(quoted);
	return (blob_take(code, strlen(code)));
}

static int
tmp_make(struct build *b)
{
	char path[128];

	snprintf(
	    b->tmp, sizeof(b->tmp), LAYER_TMP "%.12s-%u", b->key, serial++);
	snprintf(path, sizeof(path), LAYERS "/%s", b->tmp);
	if (mkdirat(env.data_fd, path, 0711) == -1)
		return (-1);
	strlcat(path, "/tree", sizeof(path));
	return (mkdirat(env.data_fd, path, 0755) == -1 ||
			fchmodat(env.data_fd, path, 0755, 0) == -1
		    ? -1
		    : 0);
}

static void
build_start(struct build *b)
{
	struct slot_kind kind = { .type = conf_job_type(env.conf, b->type) };
	struct job *job;
	json_t *s = NULL;
	char detail[256] = "no memory";
	const char *no;

	b->state = BUILD_INSTALLING;
	if (kind.type == NULL) {
		build_fail(b, JERR_CONFIG, ENGINE_OK,
		    "The job type is no longer configured");
		return;
	}
	if ((no = env.engine_ops->no_network(env.engine, 0)) != NULL) {
		build_fail(b, JERR_CONFIG, ENGINE_OK,
		    "Packages need a network: %s", no);
		return;
	}
	if ((job = job_new()) == NULL)
		fatal(NULL);
	uuid4(job->id);
	job->timeout = env.conf->layer_timeout;
	job->startup_timeout = START_LIMIT_S;
	strlcpy(job->job_type, b->type, sizeof(job->job_type));
	if ((job->input = pip_wheel(detail, sizeof(detail))) == NULL ||
	    (s = settings(b, detail, sizeof(detail))) == NULL) {
		job_free(job);
		build_fail(b, JERR_CONFIG, ENGINE_OK, "%s", detail);
		return;
	}
	job->code = installer_code(s);
	json_decref(s);
	if (job->code == NULL)
		fatal(NULL);
	if (tmp_make(b) == -1) {
		log_warn("data_dir: " LAYERS);
		job_free(job);
		build_fail(b, JERR_NONE, ENGINE_TRANSIENT,
		    "No folder can be made for the packages");
		return;
	}
	log_info("layer %.12s for job type %s: installing", b->key, b->type);
	run_build(b, job, &kind, &b->run);
}

static void
host_add(struct conf_list *hosts, char *host)
{
	if (hosts->n < MAX_HOSTS)
		hosts->items[hosts->n++] = host;
}

/* Whom an installer may talk to: as allowed_hosts of a job type. */
static void
build_hosts(struct conf_list *hosts)
{
	const struct conf *cf = env.conf;
	size_t i;

	while (hosts->n > 0)
		free(hosts->items[--hosts->n]);
	if (cf->dependency_proxy_url != NULL) {
		host_add(hosts, conf_url_host(cf->dependency_proxy_url));
		return;
	}
	host_add(hosts, conf_url_host(cf->package_index_url));
	if (strcmp(hosts->items[0], "pypi.org:443") == 0)
		host_add(hosts, xstrdup(PYPI_FILES));
	for (i = 0; i < cf->package_extra_index_urls.n; i++)
		host_add(hosts,
		    conf_url_host(cf->package_extra_index_urls.items[i]));
	for (i = 0; i < cf->package_hosts.n; i++)
		host_add(hosts, xstrdup(cf->package_hosts.items[i]));
}

/* What the sandbox of an installer may have: much, for a short time. */
void
layer_build_spec(struct container_spec *spec, const struct blob *code,
    const struct blob *input)
{
	static struct conf_limits limits = { .nofile_soft = 1024,
		.nofile_hard = 1024,
		.nproc_soft = 256,
		.nproc_hard = 256,
		.tmpfs_size = 64 * MIB,
		.pids_limit = 256 };
	static const struct conf_env none;
	static char *items[MAX_HOSTS];
	static struct conf_list hosts = { .items = items };

	build_hosts(&hosts);
	limits.fsize = LAYER_MAX_TAR;
	spec->output_size = 2 * env.conf->layer_max_bytes + 64 * MIB;
	spec->memory = spec->output_size + 512 * MIB;
	spec->cpus = 2;
	spec->pids = limits.pids_limit;
	spec->limits = &limits;
	spec->environment = &none;
	spec->app = NULL;
	spec->layer = NULL;
	spec->code_size = blob_len(code) + 65536;
	spec->input_size = blob_len(input) + 65536;
	spec->gpu = NULL;
	spec->network.kind = NETWORK_HOSTS;
	spec->network.hosts = &hosts;
}

static void
builds_next(void)
{
	struct build *b, *next;
	unsigned n = 0;

	TAILQ_FOREACH (b, &builds, entry)
		n += b->state != BUILD_QUEUED;
	TAILQ_FOREACH_SAFE (b, &builds, entry, next)
		if (n < MAX_BUILDS && b->state == BUILD_QUEUED) {
			/* It may end at once, and start the next one. */
			build_start(b);
			return;
		}
}

/* ---- who wants one ---------------------------------------------------------
 */

static struct build *
build_of(const char *key)
{
	struct build *b;

	TAILQ_FOREACH (b, &builds, entry)
		if (strcmp(b->key, key) == 0)
			return (b);
	return (NULL);
}

static struct build *
build_new(const char *key, const struct waiter *w)
{
	struct build *b = xcalloc(1, sizeof(*b));

	TAILQ_INIT(&b->waiters);
	strlcpy(b->key, key, sizeof(b->key));
	strlcpy(b->type, w->type, sizeof(b->type));
	b->runtime = w->runtime;
	b->requirements = json_incref(w->requirements);
	b->packages = json_array();
	b->began = time_wall_us();
	b->dir = -1;
	TAILQ_INSERT_TAIL(&builds, b, entry);
	return (b);
}

static void __attribute__((format(printf, 4, 5))) waiter_fail(struct waiter *w,
    enum job_error error, enum engine_error engine, const char *fmt, ...)
{
	struct layer_result result = {
		.key = "", .error = error, .engine = engine
	};
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	result.detail = detail;
	waiter_tell(w, &result);
}

static void imaged(enum engine_error, const char *, void *);

/* Its own packages are in an image of its own, or they are not. */
static void
own_imaged(enum engine_error error, const char *detail, void *arg)
{
	struct layer_result there = { .key = "", .detail = detail };
	struct waiter *w = arg;
	const struct conf_job_type *jt = conf_job_type(env.conf, w->type);
	char name[LAYER_IMAGE_LEN], buf[PYTHON_IMAGE];

	if (error == ENGINE_NO_IMAGE && jt != NULL) {
		(void)layer_prebuilt(jt, name);
		layer_image_is(name, "");
		/* Those that would have been in it. */
		json_decref(w->requirements);
		w->requirements = layer_requirements(jt, NULL);
	}
	if (error != ENGINE_OK || jt == NULL || w->cb == NULL) {
		env.engine_ops->image(env.engine,
		    jt == NULL ? env.conf->docker_image : layer_image(jt, buf),
		    imaged, w);
		return;
	}
	(void)layer_prebuilt(jt, name);
	layer_image_is(name, detail);
	TAILQ_REMOVE(&asking, w, entry);
	waiter_tell(w, &there);
}

/* The image is known, and so the key. */
static void
imaged(enum engine_error error, const char *detail, void *arg)
{
	struct layer_result there = { 0 };
	struct waiter *w = arg;
	const struct conf_job_type *jt = conf_job_type(env.conf, w->type);
	char key[LAYER_KEY_LEN + 1], buf[PYTHON_IMAGE];
	struct build *b;

	TAILQ_REMOVE(&asking, w, entry);
	if (w->cb == NULL || env.stopping) {
		waiter_free(w);
		return;
	}
	if (error != ENGINE_OK) {
		waiter_fail(w, JERR_NONE, error, "%s", detail);
		return;
	}
	if (jt == NULL || w->requirements == NULL) {
		waiter_fail(w, JERR_DEPENDENCY, ENGINE_OK,
		    "The packages asked for are none");
		return;
	}
	layer_image_is(layer_image(jt, buf), detail);
	layer_key_of(detail, w->requirements, key);
	if (layer_byname(key) != NULL) {
		there.key = key;
		there.detail = "";
		waiter_tell(w, &there);
		return;
	}
	if (env.conf->production_mode && !w->runtime && !w->build) {
		waiter_fail(w, JERR_CONFIG, ENGINE_OK,
		    "Job type %s is not built, and production_mode runs only "
		    "what is; build it with: takoctl build %s",
		    w->type, w->type);
		return;
	}
	if ((b = build_of(key)) == NULL)
		b = build_new(key, w);
	TAILQ_INSERT_TAIL(&b->waiters, w, entry);
	builds_next();
}

void
layer_want(
    const struct layer_wish *wish, layer_cb cb, layer_line_cb line, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));
	char name[LAYER_IMAGE_LEN], buf[PYTHON_IMAGE];
	int own;

	strlcpy(w->type, wish->type->name, sizeof(w->type));
	w->requirements = layer_requirements(wish->type, wish->requested);
	w->runtime = blob_len(wish->requested) > 0;
	w->build = wish->build;
	w->cb = cb;
	w->line = line;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&asking, w, entry);
	/* Whoever brought its image along has built it. */
	own = layer_prebuilt(wish->type, name) && !w->runtime;
	env.engine_ops->image(env.engine,
	    own ? name : layer_image(wish->type, buf),
	    own ? own_imaged : imaged, w);
}

void
layer_unwant(void *arg)
{
	struct waiter *w, *next;
	struct build *b;

	TAILQ_FOREACH (w, &asking, entry)
		if (w->arg == arg)
			w->cb = NULL;
	TAILQ_FOREACH (b, &builds, entry)
		TAILQ_FOREACH_SAFE (w, &b->waiters, entry, next)
			if (w->arg == arg) {
				TAILQ_REMOVE(&b->waiters, w, entry);
				waiter_free(w);
			}
}

void
layers_stop(void)
{
	struct build *b, *next;

	TAILQ_FOREACH_SAFE (b, &builds, entry, next)
		if (b->state == BUILD_INSTALLING && b->run != NULL)
			run_end(b->run, REASON_STOP);
}

/* ---- for whoever looks ------------------------------------------------------
 */

static json_t *
time_json(int64_t us)
{
	char text[40];

	return (us == 0 ? json_null()
			: json_string(time_iso(text, sizeof(text), us)));
}

static json_t *
build_json(const struct build *b, const struct conf_job_type *jt)
{
	static const char *const names[] = { "queued", "installing",
		"unpacking", "built", "failed" };
	json_t *lines = json_array();
	unsigned i;

	i = b->n_lines > KEPT_LINES ? b->n_lines - KEPT_LINES : 0;
	for (; i < b->n_lines; i++)
		json_array_append_new(
		    lines, json_string(b->lines[i % KEPT_LINES]));
	return (json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:o}", "job_type",
	    jt->name, "status", names[b->state], "layer", b->key, "started_at",
	    time_json(b->began), "ended_at", time_json(b->ended), "error",
	    b->state == BUILD_FAILED ? b->detail : NULL, "lines", lines));
}

json_t *
layer_build_json(const struct conf_job_type *jt)
{
	char key[LAYER_KEY_LEN + 1];
	enum layer_found found = layer_find(jt, NULL, key);
	const struct build *b;

	/* Of what it needs now: its list may be another one since. */
	if ((b = build_of(key)) != NULL)
		return (build_json(b, jt));
	TAILQ_FOREACH (b, &ended, entry)
		if (strcmp(b->key, key) == 0 &&
		    (b->state == BUILD_FAILED) == (found == LAYER_MISSING))
			return (build_json(b, jt));
	return (json_pack("{s:s, s:s, s:s?, s:n, s:n, s:n, s:[]}", "job_type",
	    jt->name, "status", found == LAYER_MISSING ? "missing" : "built",
	    "layer", found == LAYER_THERE ? key : NULL, "started_at",
	    "ended_at", "error", "lines"));
}
