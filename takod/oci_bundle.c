/*
 * oci_bundle.c: what a job's container is, as an OCI configuration. Runs in
 * takod. All that a container may have stands here; nothing of it comes from
 * a client.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "oci_bundle.h"
#include "oci_run.h"
#include "util.h"

/*
 * gVisor's own threads, and the host's tasks behind each task of the job, are
 * counted in the container's pids group; with the job's limit alone honest
 * jobs die there. Under runc tako-init and runc's start are counted.
 */
#define PIDS_HEADROOM_RUNSC 512
#define PIDS_HEADROOM_RUNC  16

/* Inodes of a tmpfs are memory too. */
#define INODES_SMALL 64 /* /code and /input: a file each */
#define INODES_LARGE 65536
#define SHM_SIZE     (64 << 20)

#define CPU_PERIOD_US 100000

#define PATH_IN_THERE                                                          \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const mount_points[] = { "code", "input", "output", "app",
	"tmp", "proc", "dev", ".tako/init" };
/* and where they have a network, as files */
static const char *const network_points[] = { "etc/hosts", "etc/resolv.conf" };

static int
is_gvisor(const struct oci_bundle *b)
{
	return (b->spec->runtime == RUNTIME_RUNSC);
}

/* The job's uid as the configuration says it: inside a user namespace 1000. */
static unsigned
inner_uid(const struct oci_bundle *b)
{
	if (b->userns != NULL || is_gvisor(b))
		return (CONTAINER_UID);
	return (ID_SANDBOX_JOB(b->uid_base, b->spec->slot));
}

/* flags: a list that ends with NULL. */
static json_t *
options(const char *first, ...)
{
	json_t *list = json_array();
	const char *s;
	va_list ap;

	va_start(ap, first);
	for (s = first; s != NULL; s = va_arg(ap, const char *))
		json_array_append_new(list, json_string(s));
	va_end(ap);
	return (list);
}

static void
add_mount(json_t *mounts, const char *where, const char *type,
    const char *source, json_t *opts)
{
	json_array_append_new(
	    mounts, json_pack("{s:s s:s s:s s:o}", "destination", where, "type",
			type, "source", source, "options", opts));
}

/*
 * Size, owner and mode are named: runc would take those of the folder below.
 * gVisor knows no cap of inodes; its tmpfs is the sandbox's memory anyway.
 */
static void
add_tmpfs(json_t *mounts, const struct oci_bundle *b, const char *where,
    uint64_t size, int inodes, const char *mode, int noexec)
{
	json_t *opts = options("nosuid", "nodev", mode, NULL);

	json_array_append_new(opts, json_sprintf("size=%" PRIu64, size));
	json_array_append_new(opts, json_sprintf("uid=%u", inner_uid(b)));
	json_array_append_new(opts, json_sprintf("gid=%u", inner_uid(b)));
	if (noexec)
		json_array_append_new(opts, json_string("noexec"));
	if (!is_gvisor(b))
		json_array_append_new(
		    opts, json_sprintf("nr_inodes=%d", inodes));
	add_mount(mounts, where, "tmpfs", "tmpfs", opts);
}

static json_t *
bundle_mounts(const struct oci_bundle *b)
{
	const struct container_spec *s = b->spec;
	json_t *mounts = json_array();

	add_mount(mounts, "/proc", "proc", "proc",
	    options("nosuid", "noexec", "nodev", NULL));
	add_mount(mounts, "/dev", "tmpfs", "tmpfs",
	    options("nosuid", "noexec", "strictatime", "mode=755", "size=65536",
		NULL));
	/* Terminals that a job makes for itself: none of the host's. */
	add_mount(mounts, "/dev/pts", "devpts", "devpts",
	    options("nosuid", "noexec", "newinstance", "ptmxmode=0666",
		"mode=0620", NULL));
	add_tmpfs(
	    mounts, b, "/dev/shm", SHM_SIZE, INODES_LARGE, "mode=1777", 1);
	add_tmpfs(
	    mounts, b, "/code", s->code_size, INODES_SMALL, "mode=755", 1);
	add_tmpfs(
	    mounts, b, "/input", s->input_size, INODES_SMALL, "mode=755", 1);
	add_tmpfs(
	    mounts, b, "/output", s->output_size, INODES_LARGE, "mode=755", 1);
	add_tmpfs(mounts, b, "/tmp", s->limits->tmpfs_size, INODES_LARGE,
	    "mode=1777", s->layer == NULL);
	add_mount(mounts, PATH_CONTAINER_INIT, "bind", b->init,
	    options("bind", "ro", "nosuid", "nodev", NULL));
	if (s->app != NULL)
		add_mount(mounts, "/app", "bind", s->app,
		    options("bind", "ro", "nosuid", "nodev", NULL));
	if (s->layer != NULL)
		add_mount(mounts, PATH_CONTAINER_LAYER, "bind", s->layer,
		    options("bind", "ro", "nosuid", "nodev", NULL));
	if (b->netns != NULL) {
		add_mount(mounts, "/etc/hosts", "bind", b->hosts,
		    options("bind", "ro", "nosuid", "nodev", NULL));
		add_mount(mounts, "/etc/resolv.conf", "bind", b->resolv,
		    options("bind", "ro", "nosuid", "nodev", NULL));
	}
	return (mounts);
}

static void
add_rlimit(json_t *list, const char *type, uint64_t soft, uint64_t hard)
{
	json_array_append_new(
	    list, json_pack("{s:s s:I s:I}", "type", type, "soft",
		      (json_int_t)soft, "hard", (json_int_t)hard));
}

/* In a user namespace they are inherited: oci_run.h says why. */
static json_t *
bundle_rlimits(const struct oci_bundle *b)
{
	const struct conf_limits *l = b->spec->limits;
	json_t *list = json_array();

	if (b->userns != NULL)
		return (list);
	add_rlimit(list, "RLIMIT_NOFILE", (uint64_t)l->nofile_soft,
	    (uint64_t)l->nofile_hard);
	add_rlimit(list, "RLIMIT_NPROC", (uint64_t)l->nproc_soft,
	    (uint64_t)l->nproc_hard);
	add_rlimit(list, "RLIMIT_FSIZE", l->fsize, l->fsize);
	add_rlimit(
	    list, "RLIMIT_CORE", engine_core_limit(), engine_core_limit());
	return (list);
}

/* The fixed names, then the job type's: a later one of a name wins. */
static json_t *
bundle_environment(const struct container_spec *s)
{
	const struct conf_env *environment = s->environment;
	json_t *list = options("PATH=" PATH_IN_THERE, "HOME=/tmp",
	    "LANG=C.UTF-8", "XDG_CACHE_HOME=/tmp/.cache",
	    "MPLCONFIGDIR=/tmp/.matplotlib", NULL);
	size_t i, j;

	if (s->app != NULL || s->layer != NULL)
		json_array_append_new(
		    list, json_sprintf(PYTHONPATH "%s%s%s",
			      s->app != NULL ? PYTHONPATH_SHARED : "",
			      s->app != NULL && s->layer != NULL ? ":" : "",
			      s->layer != NULL ? PATH_CONTAINER_LAYER : ""));
	for (i = 0; environment != NULL && i < environment->n; i++) {
		size_t n = strlen(environment->names[i]);

		for (j = json_array_size(list); j-- > 0;) {
			const char *old =
			    json_string_value(json_array_get(list, j));

			if (strncmp(old, environment->names[i], n) == 0 &&
			    old[n] == '=')
				json_array_remove(list, j);
		}
		json_array_append_new(
		    list, json_sprintf("%s=%s", environment->names[i],
			      environment->values[i]));
	}
	return (list);
}

/*
 * What a set-user-ID program could get. Nothing; without the restriction what
 * Docker's containers have. The job itself has no capability either way.
 */
static json_t *
bundle_bounding(const struct container_spec *s)
{
	if (s->caps)
		return (json_array());
	return (options("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID",
	    "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
	    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", NULL));
}

static json_t *
bundle_process(const struct oci_bundle *b)
{
	json_t *argv = json_array();
	size_t i;

	for (i = 0; b->argv != NULL && b->argv[i] != NULL; i++)
		json_array_append_new(argv, json_string(b->argv[i]));
	if (b->argv == NULL) {
		json_array_append_new(argv, json_string(PATH_CONTAINER_INIT));
		/* runc, being Go, has raised the one that it inherited. */
		if (b->userns != NULL)
			json_array_append_new(argv,
			    json_sprintf("-n%d", b->spec->limits->nofile_soft));
		if (b->filter)
			json_array_append_new(
			    argv, json_sprintf("-f%d", OCI_RUN_KEPT));
		if (b->spec->preload != NULL)
			json_array_append_new(
			    argv, json_sprintf("-p%s", b->spec->preload));
	}
	return (json_pack("{s:b s:{s:i s:i} s:o s:s s:o s:b s:o s:i"
			  " s:{s:o s:[] s:[] s:[] s:[]}}",
	    "terminal", 0, "user", "uid", (int)inner_uid(b), "gid",
	    (int)inner_uid(b), "args", argv, "cwd", "/app", "env",
	    bundle_environment(b->spec), "noNewPrivileges", 1, "rlimits",
	    bundle_rlimits(b), "oomScoreAdj", 1000, "capabilities", "bounding",
	    bundle_bounding(b->spec), "effective", "permitted", "inheritable",
	    "ambient"));
}

/* Of 1024, the kernel's default, which hurry gives it. */
#define SHARES_AHEAD 102

static json_t *
allowed_devices(const struct oci_bundle *b)
{
	json_t *list = json_pack("[{s:b s:s}]", "allow", 0, "access", "rwm");
	size_t i;

	for (i = 0; b->gpu != NULL && i < b->gpu->n; i++)
		json_array_append_new(list,
		    json_pack("{s:b s:s s:I s:I s:s}", "allow", 1, "type", "c",
			"major", (json_int_t)major(b->gpu->nodes[i].dev),
			"minor", (json_int_t)minor(b->gpu->nodes[i].dev),
			"access", "rw"));
	return (list);
}

static json_t *
bundle_resources(const struct oci_bundle *b)
{
	const struct container_spec *s = b->spec;
	int headroom = is_gvisor(b) ? PIDS_HEADROOM_RUNSC : PIDS_HEADROOM_RUNC;
	json_t *memory = json_pack("{s:I}", "limit", (json_int_t)s->memory);

	json_t *cpu = json_pack("{s:I s:I}", "quota",
	    (json_int_t)(s->cpus * CPU_PERIOD_US), "period",
	    (json_int_t)CPU_PERIOD_US);

	if (s->ahead)
		json_object_set_new(cpu, "shares", json_integer(SHARES_AHEAD));
	/* Both together: of memory and swap, so there is no swap. */
	if (b->swap)
		json_object_set_new(
		    memory, "swap", json_integer((json_int_t)s->memory));
	return (json_pack("{s:o s:{s:I} s:o s:o}", "memory", memory, "pids",
	    "limit", (json_int_t)s->pids + headroom, "cpu", cpu, "devices",
	    allowed_devices(b)));
}

/* For everybody in there to open, as they are on the host. */
static json_t *
bundle_devices(const struct gpu_nodes *gpu)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < gpu->n; i++)
		json_array_append_new(
		    list, json_pack("{s:s s:s s:I s:I s:i s:i s:i}", "type",
			      "c", "path", gpu->nodes[i].path, "major",
			      (json_int_t)major(gpu->nodes[i].dev), "minor",
			      (json_int_t)minor(gpu->nodes[i].dev), "fileMode",
			      0666, "uid", 0, "gid", 0));
	return (list);
}

/* Two ids exist in there: its root, who owns nothing, and the job. */
static json_t *
id_mappings(const struct oci_bundle *b)
{
	return (json_pack("[{s:i s:I s:i} {s:i s:I s:i}]", "containerID", 0,
	    "hostID", (json_int_t)ID_SANDBOX_ROOT(b->uid_base, b->spec->slot),
	    "size", 1, "containerID", CONTAINER_UID, "hostID",
	    (json_int_t)ID_SANDBOX_JOB(b->uid_base, b->spec->slot), "size", 1));
}

static json_t *
bundle_namespaces(const struct oci_bundle *b)
{
	static const char *const types[] = { "pid", "ipc", "uts", "mount",
		"cgroup" };
	json_t *list = json_array();
	size_t i;

	/* One that is not gVisor is in the network that it is started in. */
	if (b->netns == NULL || is_gvisor(b))
		json_array_append_new(list, json_pack("{s:s s:s*}", "type",
						"network", "path", b->netns));
	for (i = 0; i < nitems(types); i++)
		json_array_append_new(
		    list, json_pack("{s:s}", "type", types[i]));
	if (b->userns != NULL)
		json_array_append_new(list,
		    json_pack("{s:s s:s}", "type", "user", "path", b->userns));
	return (list);
}

static json_t *
bundle_linux(const struct oci_bundle *b)
{
	json_t *linux_part;

	linux_part = json_pack("{s:s s:o s:o s:o s:o}", "cgroupsPath",
	    b->cgroup, "namespaces", bundle_namespaces(b), "resources",
	    bundle_resources(b), "maskedPaths", options(MASKED_PATHS, NULL),
	    "readonlyPaths", options(READONLY_PATHS, NULL));
	if (b->userns != NULL) {
		json_object_set_new(linux_part, "uidMappings", id_mappings(b));
		json_object_set_new(linux_part, "gidMappings", id_mappings(b));
	}
	if (b->gpu != NULL)
		json_object_set_new(
		    linux_part, "devices", bundle_devices(b->gpu));
	/* Without the profile there is none. */
	if (b->seccomp != NULL &&
	    json_object_set(linux_part, "seccomp", b->seccomp) == -1) {
		json_decref(linux_part);
		return (NULL);
	}
	return (linux_part);
}

int
oci_bundle_write(int dir, const struct oci_bundle *b)
{
	json_t *config;
	char *text;
	int r;

	/* A field of which no memory could be had makes the whole NULL. */
	config = json_pack("{s:s s:s s:{s:s s:b} s:o s:o s:o}", "ociVersion",
	    "1.0.2", "hostname", "tako", "root", "path", b->rootfs, "readonly",
	    1, "process", bundle_process(b), "mounts", bundle_mounts(b),
	    "linux", bundle_linux(b));
	if (config == NULL) {
		errno = ENOMEM;
		return (-1);
	}
	/* In one piece: json_dumpfd() writes each token by itself. */
	text = json_dumps(config, JSON_COMPACT);
	json_decref(config);
	if (text == NULL) {
		errno = ENOMEM;
		return (-1);
	}
	r = write_file(dir, "config.json", O_CREAT | O_EXCL, 0600, text);
	free(text);
	return (r);
}

int
oci_python_check(const char *rootfs, const struct conf_env *environment,
    char *detail, size_t len)
{
	const char *path = PATH_IN_THERE;
	char *dirs, *p, *dir, *file;
	struct stat st;
	size_t i;
	int found = 0;

	for (i = 0; environment != NULL && i < environment->n; i++)
		if (strcmp(environment->names[i], "PATH") == 0)
			path = environment->values[i];
	p = dirs = xstrdup(path);
	while (!found && (dir = strsep(&p, ":")) != NULL) {
		file = xasprintf("%s/%s/python3", rootfs, dir);
		/* Where a link leads is known in there alone. */
		found = lstat(file, &st) == 0;
		free(file);
	}
	free(dirs);
	if (found)
		return (0);
	snprintf(detail, len, "root file system %s has no python3 in %s",
	    rootfs, path);
	return (-1);
}

int
oci_rootfs_check(const char *rootfs, int network, char *detail, size_t len)
{
	char missing[256] = "";
	struct stat st;
	size_t i;
	int dir;

	dir = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		snprintf(detail, len, "root file system %s: %s", rootfs,
		    strerror(errno));
		return (-1);
	}
	for (i = 0; i < nitems(mount_points); i++) {
		if (fstatat(dir, mount_points[i], &st, AT_SYMLINK_NOFOLLOW) ==
		    0)
			continue;
		strlcat(missing, " /", sizeof(missing));
		strlcat(missing, mount_points[i], sizeof(missing));
	}
	for (i = 0; network && i < nitems(network_points); i++) {
		if (fstatat(dir, network_points[i], &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    S_ISREG(st.st_mode))
			continue;
		strlcat(missing, " /", sizeof(missing));
		strlcat(missing, network_points[i], sizeof(missing));
	}
	close(dir);
	if (missing[0] == '\0')
		return (0);
	snprintf(detail, len,
	    "root file system %s lacks what a container is mounted on:%s "
	    "(/.tako/init, /etc/hosts and /etc/resolv.conf are files, the "
	    "others folders)",
	    rootfs, missing);
	return (-1);
}
