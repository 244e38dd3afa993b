/*
 * docker_spec.c: the body of POST /containers/create. Runs in takod. All that
 * a job's container may have stands here; nothing of it comes from a client.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "docker_spec.h"
#include "util.h"

/*
 * The sentry's own threads are counted with the job's processes under gVisor:
 * at a job's pids_limit alone honest jobs die there. Under runc tako-init and
 * the threads of runc's own start are counted.
 */
#define PIDS_HEADROOM_RUNSC 512
#define PIDS_HEADROOM_RUNC  16

/* Inodes of a tmpfs are memory too. */
#define INODES_SMALL 64 /* /code and /input: a file each */
#define INODES_LARGE 65536

/*
 * The uid of the job. Under runc it is one per slot: RLIMIT_NPROC, pending
 * signals and message queues are counted per uid over the whole host, so jobs
 * at the same time must not share one. gVisor counts all that by itself.
 */
static uid_t
spec_uid(const struct docker_spec *d)
{
	/* takod may look into it, also where it may trace nobody else's. */
	if (d->holder)
		return (0);
	if (d->spec->runtime == RUNTIME_RUNSC)
		return (CONTAINER_UID);
	return (ID_SANDBOX_JOB(d->uid_base, d->spec->slot));
}

static void
add_tmpfs(json_t *tmpfs, const struct docker_spec *d, const char *path,
    uint64_t size, int inodes, const char *mode, int noexec)
{
	char options[256];
	uid_t uid = spec_uid(d);

	snprintf(options, sizeof(options),
	    "rw,nosuid,nodev,%s,size=%" PRIu64
	    ",uid=%u,gid=%u,mode=%s,nr_inodes=%d",
	    noexec ? "noexec" : "exec", size, uid, uid, mode, inodes);
	json_object_set_new(tmpfs, path, json_string(options));
}

static json_t *
spec_tmpfs(const struct docker_spec *d)
{
	const struct container_spec *s = d->spec;
	json_t *tmpfs = json_object();

	if (d->holder)
		return (tmpfs);
	add_tmpfs(tmpfs, d, "/code", s->code_size, INODES_SMALL, "0755", 1);
	add_tmpfs(tmpfs, d, "/input", s->input_size, INODES_SMALL, "0755", 1);
	add_tmpfs(tmpfs, d, "/output", s->output_size, INODES_LARGE, "0755", 1);
	add_tmpfs(tmpfs, d, "/tmp", s->limits->tmpfs_size, INODES_LARGE, "1777",
	    s->layer == NULL);
	return (tmpfs);
}

static void
add_ulimit(json_t *list, const char *name, uint64_t soft, uint64_t hard)
{
	json_array_append_new(
	    list, json_pack("{s:s s:I s:I}", "Name", name, "Soft",
		      (json_int_t)soft, "Hard", (json_int_t)hard));
}

static json_t *
spec_ulimits(const struct conf_limits *l)
{
	json_t *list = json_array();

	add_ulimit(
	    list, "nofile", (uint64_t)l->nofile_soft, (uint64_t)l->nofile_hard);
	add_ulimit(
	    list, "nproc", (uint64_t)l->nproc_soft, (uint64_t)l->nproc_hard);
	add_ulimit(list, "fsize", l->fsize, l->fsize);
	add_ulimit(list, "core", CORE_LIMIT, CORE_LIMIT);
	return (list);
}

static json_t *
spec_security(const struct docker_spec *d)
{
	json_t *list = json_array();

	json_array_append_new(list, json_string("no-new-privileges"));
	/* gVisor does not hand a job's calls to the host's kernel. */
	if (d->spec->runtime == RUNTIME_RUNSC)
		return (list);
	if (!d->spec->seccomp)
		json_array_append_new(list, json_string("seccomp=unconfined"));
	else if (d->seccomp != NULL)
		json_array_append_new(
		    list, json_sprintf("seccomp=%s", d->seccomp));
	return (list);
}

/* Of two entries of a name a program finds the first: there is but one. */
static int
env_has(const struct conf_env *environment, const char *entry)
{
	size_t i, n = strcspn(entry, "=");

	for (i = 0; environment != NULL && i < environment->n; i++)
		if (strlen(environment->names[i]) == n &&
		    strncmp(environment->names[i], entry, n) == 0)
			return (1);
	return (0);
}

/* The fixed names, but for those that the job type sets itself. */
static json_t *
spec_env(const struct container_spec *s)
{
	const struct conf_env *environment = s->environment;
	static const char *const fixed[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
		":/sbin:/bin",
		"HOME=/tmp", "LANG=C.UTF-8", "XDG_CACHE_HOME=/tmp/.cache",
		"MPLCONFIGDIR=/tmp/.matplotlib",
		"HOSTNAME" /* without a value: the engine's own goes away */
	};
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < nitems(fixed); i++)
		if (!env_has(environment, fixed[i]))
			json_array_append_new(list, json_string(fixed[i]));
	if ((s->app != NULL || s->layer != NULL) &&
	    !env_has(environment, PYTHONPATH))
		json_array_append_new(
		    list, json_sprintf(PYTHONPATH "%s%s%s",
			      s->app != NULL ? PYTHONPATH_SHARED : "",
			      s->app != NULL && s->layer != NULL ? ":" : "",
			      s->layer != NULL ? PATH_CONTAINER_LAYER : ""));
	for (i = 0; environment != NULL && i < environment->n; i++)
		json_array_append_new(
		    list, json_sprintf("%s=%s", environment->names[i],
			      environment->values[i]));
	return (list);
}

static void
add_bind(json_t *mounts, const char *source, const char *target)
{
	json_array_append_new(
	    mounts, json_pack("{s:s s:s s:s s:b s:{s:s}}", "Type", "bind",
			"Source", source, "Target", target, "ReadOnly", 1,
			"BindOptions", "Propagation", "rprivate"));
}

static json_t *
spec_mounts(const struct docker_spec *d)
{
	json_t *mounts = json_array();

	add_bind(mounts, d->init, PATH_CONTAINER_INIT);
	if (d->spec->app != NULL)
		add_bind(mounts, d->spec->app, "/app");
	if (d->spec->layer != NULL)
		add_bind(mounts, d->spec->layer, PATH_CONTAINER_LAYER);
	if (d->network != NULL) {
		add_bind(mounts, d->hosts, "/etc/hosts");
		add_bind(mounts, d->resolv, "/etc/resolv.conf");
	}
	return (mounts);
}

static json_t *
words_json(const char *const *words, size_t n)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(list, json_string(words[i]));
	return (list);
}

/* The engine's driver for them finds the nodes, and the libraries. */
static json_t *
spec_device_requests(const struct conf_gpu *gpu)
{
	json_t *request, *ids = json_array();
	size_t i;

	for (i = 0; i < gpu->device_ids.n; i++)
		json_array_append_new(
		    ids, json_string(gpu->device_ids.items[i]));
	request = json_pack("{s:s s:[[s s s]]}", "Driver", "nvidia",
	    "Capabilities", "gpu", "compute", "utility");
	if (gpu->device_ids.n > 0)
		json_object_set_new(request, "DeviceIDs", ids);
	else {
		json_decref(ids);
		json_object_set_new(request, "Count",
		    json_integer(gpu->count == 0 ? -1 : gpu->count));
	}
	return (json_pack("[o]", request));
}

static void
add_devices(json_t *host, const struct gpu_nodes *gpu)
{
	json_t *devices = json_array(), *groups = json_array();
	size_t i;

	for (i = 0; i < gpu->n; i++) {
		const struct gpu_node *node = &gpu->nodes[i];

		json_array_append_new(
		    devices, json_pack("{s:s s:s s:s}", "PathOnHost",
				 node->path, "PathInContainer", node->path,
				 "CgroupPermissions", "rw"));
		/* The job belongs to whom they are for. */
		if ((node->mode & 06) != 06)
			json_array_append_new(
			    groups, json_sprintf("%u", (unsigned)node->gid));
	}
	json_object_set_new(host, "Devices", devices);
	json_object_set_new(host, "GroupAdd", groups);
}

static json_t *
spec_host(const struct docker_spec *d)
{
	static const char *const masked[] = { MASKED_PATHS };
	static const char *const readonly[] = { READONLY_PATHS };
	const struct container_spec *s = d->spec;
	int headroom = s->runtime == RUNTIME_RUNSC ? PIDS_HEADROOM_RUNSC
						   : PIDS_HEADROOM_RUNC;
	json_t *host;

	host = json_pack("{s:I s:I s:I s:I s:o s:b s:o s:o s:s s:s s:o s:i"
			 " s:{s:s} s:{s:s} s:b s:s s:o s:o s:o}",
	    "Memory", (json_int_t)s->memory, "MemorySwap",
	    (json_int_t)s->memory, "PidsLimit", (json_int_t)s->pids + headroom,
	    "NanoCpus", (json_int_t)(s->cpus * 1e9), "Ulimits",
	    spec_ulimits(s->limits), "ReadonlyRootfs", 1, "Tmpfs",
	    spec_tmpfs(d), "NetworkMode",
	    d->network != NULL ? json_sprintf("container:%s", d->network)
			       : json_string("none"),
	    "IpcMode", "private", "CgroupnsMode", "private", "SecurityOpt",
	    spec_security(d), "OomScoreAdj", 1000, "LogConfig", "Type", "none",
	    "RestartPolicy", "Name", "no", "AutoRemove", 0, "Runtime",
	    runtime_name(s->runtime), "Mounts", spec_mounts(d), "MaskedPaths",
	    words_json(masked, nitems(masked)), "ReadonlyPaths",
	    words_json(readonly, nitems(readonly)));
	/* The job has no root in there: caps off only widens the bound. */
	if (host != NULL && s->caps)
		json_object_set_new(host, "CapDrop", json_pack("[s]", "ALL"));
	/* Else it would tell of the host's name servers. */
	if (host != NULL && d->loopback && d->network == NULL) {
		json_object_set_new(host, "Dns", json_pack("[s]", "127.0.0.1"));
		json_object_set_new(host, "DnsSearch", json_pack("[s]", "."));
	}
	/* As the kernel has it, and not the engine. */
	if (host != NULL && d->holder)
		json_object_set_new(host, "Sysctls",
		    json_pack("{s:s s:s}", "net.ipv4.ping_group_range", "1 0",
			"net.ipv4.ip_unprivileged_port_start", "1024"));
	if (host != NULL && d->gpu != NULL)
		add_devices(host, d->gpu);
	else if (host != NULL && s->gpu != NULL)
		json_object_set_new(
		    host, "DeviceRequests", spec_device_requests(s->gpu));
	return (host);
}

static json_t *
spec_command(const struct docker_spec *d)
{
	json_t *list = json_array();
	size_t i;

	if (d->probe[0] == NULL)
		json_array_append_new(list, json_string(PATH_CONTAINER_INIT));
	if (d->holder)
		json_array_append_new(list, json_string("-w"));
	if (d->probe[0] == NULL && d->spec->preload != NULL)
		json_array_append_new(
		    list, json_sprintf("-p%s", d->spec->preload));
	for (i = 0; i < nitems(d->probe) && d->probe[i] != NULL; i++)
		json_array_append_new(list, json_string(d->probe[i]));
	return (list);
}

/*
 * NetworkDisabled: the container gets a network namespace with a loopback all
 * the same, but the engine's own bookkeeping for it, over 100 ms of a start
 * (tried, Engine 20.10), is left out, and so are /etc/hosts and resolv.conf.
 * gVisor with a network stack of its own has a loopback only where somebody
 * has brought that one up, which runc does and runsc does not. Another's
 * namespace is shared only without it: that one's books are kept, or not, and
 * the host name is that one's too.
 *
 * StdinOnce: should the worker die, the container's stdin ends with it, and
 * nobody can attach to it again. User namespaces are the engine's own setting
 * (userns-remap), so spec->userns is without effect here.
 */
json_t *
docker_spec_json(const struct docker_spec *d)
{
	uid_t uid = spec_uid(d);
	char user[32];

	snprintf(user, sizeof(user), "%u:%u", uid, uid);
	return (json_pack("{s:s s:s* s:s s:s s:o s:[] s:o s:{s:[s]}"
			  " s:{s:s s:s} s:b s:b s:b s:b s:b s:b s:b s:o}",
	    "Image", d->spec->image, "Hostname",
	    d->network == NULL ? "tako" : NULL, "User", user, "WorkingDir",
	    "/app", "Entrypoint", spec_command(d), "Cmd", "Env",
	    spec_env(d->spec), "Healthcheck", "Test", "NONE", "Labels",
	    LABEL_INSTANCE, d->instance, LABEL_NAME, d->spec->name,
	    "NetworkDisabled", d->network == NULL && !d->loopback, "OpenStdin",
	    1, "StdinOnce", 1, "Tty", 0, "AttachStdin", 1, "AttachStdout", 1,
	    "AttachStderr", 0, "HostConfig", spec_host(d)));
}
