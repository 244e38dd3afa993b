/*
 * doctor_engine.c: does the container engine run a container as a job's is
 * run? takod's own drivers are asked, with the probe that takod makes at its
 * start, under a name and in a folder of doctor's own, so that a takod that
 * runs is not disturbed. Runs in a child of tako-vm doctor.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "doctor.h"
#include "image.h"
#include "scratch.h"
#include "takod/engine.h"
#include "util.h"

#define MEND_DOCKER                                                            \
	"start the Docker Engine (systemctl start docker), set docker_host "   \
	"to "                                                                  \
	"its socket, or use engine: oci"
#define MEND_IMAGE "make it with: tako-vm setup"
#define MEND_NETWORK                                                           \
	"install ip, nft and pasta (Debian: iproute2, nftables, passt), see "  \
	"that /dev/net/tun is there, under systemd use the drop-in "           \
	"takod-network.conf (with a Docker engine in place of "                \
	"takod-docker.conf); or leave network_enabled off"
#define MEND_RUNTIME                                                           \
	"change the Docker engine's daemon.json so; or leave network_enabled " \
	"off"
#define TRIAL_MEMORY (UINT64_C(256) << 20)
#define TRIAL_TMPFS  (UINT64_C(1) << 20)

struct trial {
	struct doctor *d;
	struct event_base *base;
	struct event *term;
	const struct engine_ops *ops;
	struct engine *e;
	struct conf conf; /* with another data_dir */
	char *folder, *rootfs;
	char instance[32];
	int ended; /* by SIGTERM */
	struct container *c;
	/* of the call that was waited for */
	int done;
	enum engine_error error;
	char detail[512];
	struct engine_probe probe;
};

/* ---- calls of the driver, waited for ------------------------------------ */

static void
answered(enum engine_error error, const char *detail, void *arg)
{
	struct trial *t = arg;

	t->error = error;
	strlcpy(t->detail, detail != NULL ? detail : "", sizeof(t->detail));
	t->done = 1;
	event_base_loopbreak(t->base);
}

static void
probed(const struct engine_probe *p, void *arg)
{
	struct trial *t = arg;

	t->probe = *p;
	t->done = 1;
	event_base_loopbreak(t->base);
}

static void
on_term(int sig, short events, void *arg)
{
	struct trial *t = arg;

	(void)sig;
	(void)events;
	t->ended = 1;
	event_base_loopbreak(t->base);
}

/* The driver keeps the time of each call itself. */
static int
wait_done(struct trial *t)
{
	t->done = 0;
	while (!t->done && !t->ended)
		if (event_base_loop(t->base, EVLOOP_ONCE) != 0)
			return (-1);
	return (t->done ? 0 : -1);
}

static int
try_probe(struct trial *t, enum runtime runtime)
{
	if (t->ended)
		return (-1);
	memset(&t->probe, 0, sizeof(t->probe));
	t->probe.error = ENGINE_DEADLINE;
	t->ops->probe(t->e, runtime, probed, t);
	return (wait_done(t) == 0 && t->probe.error == ENGINE_OK ? 0 : -1);
}

/* ---- image -------------------------------------------------------------- */

static int
image_docker(struct trial *t)
{
	char key[IMAGE_KEY_LEN + 1], detail[512];
	unsigned long long size;

	if (image_docker_key(&t->conf, key, &size, detail, sizeof(detail)) ==
	    -1) {
		doctor_found(
		    t->d, FOUND_FAIL, "image", MEND_DOCKER, "%s", detail);
		return (-1);
	}
	if (size == 0) {
		doctor_found(t->d, FOUND_FAIL, "image", MEND_IMAGE,
		    "%s is not in the Docker Engine", t->conf.docker_image);
		return (-1);
	}
	doctor_found(t->d, FOUND_OK, "image", NULL, "%s, %llu MB, %s",
	    t->conf.docker_image, size / 1000000,
	    key[0] != '\0' ? "made by takoctl" : "not made by takoctl");
	return (0);
}

static int
image_oci(struct trial *t)
{
	t->ops->ping(t->e, answered, t);
	if (wait_done(t) == -1)
		return (-1);
	if (t->error == ENGINE_OK) {
		doctor_found(t->d, FOUND_OK, "image", NULL,
		    "root file system %s", t->rootfs);
		return (0);
	}
	if (t->d->conf->rootfs != NULL)
		doctor_found(t->d, FOUND_FAIL, "image",
		    "mend what rootfs names, or leave the key out and run: "
		    "tako-vm setup",
		    "%s", t->detail);
	else
		doctor_found(t->d, FOUND_FAIL, "image", MEND_IMAGE,
		    "there is no usable %s", t->rootfs);
	return (-1);
}

/* ---- runtimes ----------------------------------------------------------- */

static const char *
on_off(int on)
{
	return (on ? "on" : "off");
}

/* Says whether a container runs once one of the switches is off. */
static const char *
which_switch(struct trial *t, enum runtime runtime)
{
	const struct {
		int *on;
		const char *name;
	} switches[] = { { &t->conf.enable_userns, "enable_userns" },
		{ &t->conf.enable_seccomp, "enable_seccomp" },
		{ &t->conf.enable_cap_restrictions,
		    "enable_cap_restrictions" } };
	struct engine_probe kept = t->probe;
	const char *name = NULL;
	size_t i;
	int was;

	for (i = 0; i < nitems(switches) && name == NULL; i++) {
		if ((was = *switches[i].on) == 0)
			continue;
		*switches[i].on = 0;
		if (try_probe(t, runtime) == 0)
			name = switches[i].name;
		*switches[i].on = was;
	}
	t->probe = kept;
	return (name);
}

/* What held the container, as far as the switches have a say in it. */
static void
walls(const struct trial *t, char *buf, size_t len)
{
	const struct conf *cf = &t->conf;
	const char *caps =
	    cf->enable_cap_restrictions ? "no capabilities" : "capabilities";

	if (t->ops == &engine_oci && t->probe.runtime == RUNTIME_RUNSC)
		snprintf(buf, len, "gVisor's kernel, %s, limits", caps);
	else
		snprintf(buf, len, "seccomp %s, %s, user namespace %s, limits",
		    on_off(cf->enable_seccomp), caps,
		    t->ops == &engine_docker ? "as the daemon has it"
					     : on_off(cf->enable_userns != 0));
}

static void
runtime_works(struct trial *t)
{
	char how[128];

	walls(t, how, sizeof(how));
	doctor_found(t->d, FOUND_OK, "runtime", NULL,
	    "%s runs a container (%s; %s); a job sees kernel: %s",
	    runtime_name(t->probe.runtime), t->probe.version, how,
	    t->probe.kernel);
}

static void
runtime_fails(struct trial *t, enum runtime runtime)
{
	const struct conf *cf = t->d->conf;
	const char *name;
	char mend[640];

	if (t->probe.error == ENGINE_DEADLINE)
		snprintf(mend, sizeof(mend),
		    "see what it waits for: %s_args, or a host under load; "
		    "takod starts, and its jobs wait",
		    runtime_name(runtime));
	else if (cf->container_runtime == RUNTIME_RUNSC &&
		 cf->security_mode == SECURITY_STRICT)
		strlcpy(mend, engine_how_to_install, sizeof(mend));
	else
		snprintf(mend, sizeof(mend),
		    "mend or install it (Debian: apt-get install %s), and see "
		    "%s_path and %s_args",
		    runtime_name(runtime), runtime_name(runtime),
		    runtime_name(runtime));
	if (t->probe.error == ENGINE_CONFIG && runtime != RUNTIME_RUNSC &&
	    (name = which_switch(t, runtime)) != NULL)
		snprintf(mend, sizeof(mend),
		    "it runs with %s: false, so mend what that needs, or leave "
		    "it off",
		    name);
	doctor_found(t->d, FOUND_FAIL, "runtime", mend,
	    "%s does not run a container: %s", runtime_name(runtime),
	    t->probe.detail);
}

/* As takod does at its start: in permissive mode runc is the second choice. */
static enum runtime
try_runtime(struct trial *t)
{
	enum runtime runtime = t->conf.container_runtime;

	if (try_probe(t, runtime) == -1 && !t->ended &&
	    engine_falls_back(&t->conf, runtime, t->probe.error)) {
		doctor_found(t->d, FOUND_WARN, "runtime",
		    "install gVisor (Debian: apt-get install runsc)",
		    "runsc does not run a container, jobs run under runc with "
		    "the host's kernel as their wall: %s",
		    t->probe.detail);
		runtime = RUNTIME_RUNC;
		(void)try_probe(t, runtime);
	}
	if (t->ended)
		return (RUNTIME_NONE);
	if (t->probe.error == ENGINE_OK)
		runtime_works(t);
	else
		runtime_fails(t, runtime);
	return (runtime);
}

static void
try_other(struct trial *t, enum runtime used)
{
	enum runtime other =
	    used == RUNTIME_RUNSC ? RUNTIME_RUNC : RUNTIME_RUNSC;

	if (used == RUNTIME_NONE || used != t->conf.container_runtime)
		return; /* both were tried */
	if (try_probe(t, other) == 0)
		doctor_found(t->d, FOUND_INFO, "other_runtime", NULL,
		    "%s runs a container too; it is not in use",
		    runtime_name(other));
	else if (!t->ended)
		doctor_found(t->d, FOUND_INFO, "other_runtime", NULL,
		    "%s, which is not in use, does not run a container: %s",
		    runtime_name(other), t->probe.detail);
}

/* ---- networks ------------------------------------------------------------ */

static void
network_created(struct container *c, int fd, int mux, enum engine_error error,
    const char *detail, void *arg)
{
	struct trial *t = arg;

	(void)mux;
	t->c = c;
	close_fd(&fd);
	answered(error, detail, t);
}

static void
network_exited(struct container *c, void *arg)
{
	(void)c;
	(void)arg;
}

/* A container as that of a job with a network, and its end. */
static void
try_network(struct trial *t, enum runtime runtime)
{
	const char *no = t->ops->no_network(t->e, 0);
	const char *mend = no != NULL ? MEND_RUNTIME : MEND_NETWORK;
	char name[64];
	struct container_spec spec = { .name = name,
		.image = t->conf.docker_image,
		.runtime = runtime,
		.memory = TRIAL_MEMORY,
		.cpus = 1,
		.pids = t->conf.container_limits.pids_limit,
		.limits = &t->conf.container_limits,
		.code_size = TRIAL_TMPFS,
		.input_size = TRIAL_TMPFS,
		.output_size = TRIAL_TMPFS,
		.network = { .kind = NETWORK_PUBLIC },
		.seccomp = t->conf.enable_seccomp,
		.caps = t->conf.enable_cap_restrictions,
		.userns = t->conf.enable_userns };

	if (!conf_networks(&t->conf) || t->probe.error != ENGINE_OK)
		return;
	if (no == NULL) {
		snprintf(name, sizeof(name), "takod-%s-net", t->instance);
		t->ops->create(t->e, &spec,
		    time_mono_us() + ENGINE_CALL_TIMEOUT * 1000000LL,
		    network_created, network_exited, t);
		if (wait_done(t) == -1)
			return;
		no = t->error != ENGINE_OK ? t->detail : NULL;
	}
	if (no != NULL)
		doctor_found(t->d, FOUND_FAIL, "network", mend,
		    "a job type has network_enabled: %s", no);
	else
		doctor_found(t->d, FOUND_OK, "network", NULL,
		    "a container gets a network of its own");
	if (t->c != NULL) {
		t->ops->remove(t->e, t->c, answered, t);
		(void)wait_done(t);
	}
}

/* ---- the engine --------------------------------------------------------- */

static int
engine_answers(struct trial *t)
{
	const char *why = t->d->conf->engine == CONF_ENGINE_AUTO
			      ? " (chosen by engine: auto)"
			      : "";
	char version[16], detail[512];

	if (t->ops == &engine_oci) {
		doctor_found(t->d, FOUND_OK, "engine", NULL,
		    "oci: runtimes are run directly%s", why);
		return (0);
	}
	t->ops->ping(t->e, answered, t);
	if (wait_done(t) == -1)
		return (-1);
	if (t->error != ENGINE_OK) {
		doctor_found(t->d, FOUND_FAIL, "engine", MEND_DOCKER,
		    "docker%s: %s: %s", why, t->conf.docker_host, t->detail);
		return (-1);
	}
	if (image_docker_version(&t->conf, version, detail, sizeof(detail)) ==
	    -1)
		strlcpy(version, "?", sizeof(version));
	doctor_found(t->d, FOUND_OK, "engine", NULL,
	    "docker%s: %s answers, API %s", why, t->conf.docker_host, version);
	return (0);
}

static int
trial_open(struct trial *t)
{
	char detail[512];

	t->e = t->ops->open(t->base, &t->conf, t->instance, t->d->ids.base,
	    detail, sizeof(detail));
	if (t->e != NULL)
		return (0);
	doctor_found(t->d, FOUND_FAIL, "engine",
	    "mend that: takod's start ends with the same words", "%s: %s",
	    t->ops->name, detail);
	return (-1);
}

/*
 * What a probe was stopped in the middle of is removed as takod removes what
 * a former life left: by the name that is doctor's own.
 */
static void
trial_close(struct trial *t)
{
	if (t->e != NULL)
		t->ops->close(t->e);
	if (t->ended && trial_open(t) == 0) {
		t->ended = 0;
		t->ops->reconcile(t->e, answered, t);
		(void)wait_done(t);
		t->ops->close(t->e);
	}
	(void)scratch_remove(t->folder);
	free(t->rootfs);
	event_free(t->term);
	event_base_free(t->base);
}

static int
trial_init(struct trial *t, struct doctor *d)
{
	t->d = d;
	t->conf = *d->conf;
	t->ops = engine_choose(&t->conf);
	if ((t->base = event_base_new()) == NULL ||
	    (t->term = evsignal_new(t->base, SIGTERM, on_term, t)) == NULL ||
	    event_add(t->term, NULL) == -1 ||
	    (t->folder = scratch_make("tako-doctor")) == NULL) {
		doctor_found(d, FOUND_FAIL, "engine",
		    "doctor needs some memory and room in TMPDIR or /tmp", "%s",
		    strerror(errno));
		return (-1);
	}
	snprintf(t->instance, sizeof(t->instance), "doctor%s",
	    strrchr(t->folder, '-'));
	t->rootfs =
	    t->conf.rootfs != NULL
		? xstrdup(t->conf.rootfs)
		: xasprintf("%s/images/current/rootfs", t->conf.data_dir);
	t->conf.rootfs = t->rootfs;
	t->conf.data_dir = t->folder;
	return (0);
}

void
doctor_engine(struct doctor *d)
{
	struct trial t = { 0 };
	enum runtime used;

	if (trial_init(&t, d) == -1)
		return;
	if (trial_open(&t) == 0 && engine_answers(&t) == 0 &&
	    (t.ops == &engine_docker ? image_docker(&t) : image_oci(&t)) == 0) {
		used = try_runtime(&t);
		try_network(&t, used);
		try_other(&t, used);
	}
	trial_close(&t);
}
