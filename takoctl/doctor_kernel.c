/*
 * doctor_kernel.c: does the kernel do what takod and its containers rely on?
 * Tried, since a version number says little about how a kernel was built or
 * what a container around us takes away. Runs in a child of tako-vm doctor.
 */
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "takod/cgroup.h"
#include "util.h"

/* ---- each feature, in a process that ends with it ----------------------- */

static int
try_namespaces(void)
{
	return (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
			CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) == -1
		    ? errno
		    : 0);
}

static int
try_user_namespace(void)
{
	return (unshare(CLONE_NEWUSER) == -1 ? errno : 0);
}

/* A filter that refuses one call, and that call. */
static int
try_seccomp(void)
{
	scmp_filter_ctx ctx;
	int error;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return (errno);
	if ((ctx = seccomp_init(SCMP_ACT_ALLOW)) == NULL)
		return (ENOMEM);
	if ((error = seccomp_rule_add(
		 ctx, SCMP_ACT_ERRNO(EXDEV), SCMP_SYS(getppid), 0)) < 0 ||
	    (error = seccomp_load(ctx)) < 0)
		return (-error);
	errno = 0;
	if (syscall(SYS_getppid) != -1 || errno != EXDEV)
		return (ENOSYS);
	return (0);
}

/* After it, no file can be opened. */
static int
try_landlock(void)
{
	uint64_t rights = LANDLOCK_ACCESS_FS_READ_FILE;
	int fd = (int)syscall(
	    SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);

	if (fd == -1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		return (errno);
	if (open("/proc/self/stat", O_RDONLY) != -1)
		return (ENOSYS);
	return (errno == EACCES ? 0 : errno);
}

static int
try_memfd(void)
{
	int fd = memfd_create("doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		return (errno);
	if (write(fd, "x", 1) != -1)
		return (ENOSYS);
	return (errno == EPERM ? 0 : errno);
}

static int
try_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd == -1 || pidfd_send_signal(fd, 0, NULL, 0) == -1)
		return (errno);
	return (0);
}

static int
try_close_range(void)
{
	return (close_range(1 << 20, ~0U, 0) == -1 ? errno : 0);
}

/* In a mount namespace with a tmpfs of its own: nothing of it stays. */
static int
try_overlay(void)
{
	static const char *const dirs[] = { "lower", "upper", "work", "all" };
	size_t i;

	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("doctor", "/tmp", "tmpfs", 0, "size=1m") == -1 ||
	    chdir("/tmp") == -1)
		return (errno);
	for (i = 0; i < nitems(dirs); i++)
		if (mkdir(dirs[i], 0700) == -1)
			return (errno);
	return (mount("doctor", "all", "overlay", 0,
		    "lowerdir=lower,upperdir=upper,workdir=work") == -1
		    ? errno
		    : 0);
}

static const struct {
	const char *check;
	int (*fn)(void);
	enum found without;
	const char *good, *mend;
} features[] = {
	{ "namespaces", try_namespaces, FOUND_FAIL,
	    "mount, pid, net, ipc, uts and cgroup namespaces",
	    "run takod where it may make namespaces: on the host, or in a "
	    "container that has CAP_SYS_ADMIN" },
	{ "userns", try_user_namespace, FOUND_WARN, "user namespaces",
	    "sysctl user.max_user_namespaces must not be 0, and no container "
	    "around takod may forbid them; or set enable_userns: false" },
	{ "memfd", try_memfd, FOUND_FAIL, "memfd with seals",
	    "use a kernel of at least Linux 5.10" },
	{ "pidfd", try_pidfd, FOUND_FAIL, "pidfd_open and pidfd_send_signal",
	    "use a kernel of at least Linux 5.10" },
	{ "close_range", try_close_range, FOUND_FAIL, "close_range",
	    "use a kernel of at least Linux 5.10" },
	{ "overlayfs", try_overlay, FOUND_INFO, "overlayfs",
	    "modprobe overlay: a Docker Engine is slow without" },
};

static void
kernel_version(struct doctor *d)
{
	struct utsname u;
	int major, minor;

	if (uname(&u) == -1 ||
	    sscanf(u.release, "%d.%d", &major, &minor) != 2) {
		doctor_found(d, FOUND_WARN, "kernel", NULL,
		    "uname does not tell a version");
		return;
	}
	if (major < 5 || (major == 5 && minor < 10))
		doctor_found(d, FOUND_WARN, "kernel",
		    "use a kernel of at least Linux 5.10", "%s %s, %s",
		    u.sysname, u.release, u.machine);
	else
		doctor_found(d, FOUND_OK, "kernel", NULL, "%s %s, %s",
		    u.sysname, u.release, u.machine);
}

static void
kernel_seccomp(struct doctor *d)
{
	int error = doctor_apart(try_seccomp);

	if (error == 0)
		doctor_found(d, FOUND_OK, "seccomp", NULL,
		    "seccomp filters, API level %u", seccomp_api_get());
	else
		doctor_found(d, FOUND_FAIL, "seccomp",
		    "use a kernel built with CONFIG_SECCOMP_FILTER, and run "
		    "takod where filters may be set",
		    "no seccomp filters: %s", strerror(error));
}

static void
kernel_landlock(struct doctor *d)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	int error = abi < 1 ? errno : doctor_apart(try_landlock);

	if (abi >= 1 && error == 0)
		doctor_found(
		    d, FOUND_OK, "landlock", NULL, "Landlock, ABI %ld", abi);
	else
		doctor_found(d,
		    d->conf != NULL && !d->conf->require_landlock ? FOUND_WARN
								  : FOUND_FAIL,
		    "landlock",
		    "use Linux 5.13 or later with \"landlock\" in its lsm= "
		    "parameter, or set require_landlock: false",
		    "no Landlock (%s): takod's children are held back from "
		    "files by seccomp and ids alone",
		    strerror(error));
}

void
doctor_kernel(struct doctor *d)
{
	size_t i;
	int error;

	kernel_version(d);
	kernel_seccomp(d);
	kernel_landlock(d);
	for (i = 0; i < nitems(features); i++) {
		if ((error = doctor_apart(features[i].fn)) == 0)
			doctor_found(d, FOUND_OK, features[i].check, NULL, "%s",
			    features[i].good);
		else
			doctor_found(d, features[i].without, features[i].check,
			    features[i].mend, "no %s: %s", features[i].good,
			    strerror(error));
	}
}

/* ---- control groups ----------------------------------------------------- */

static const struct {
	const char *name, *v1, *v2, *value;
} controllers[] = {
	{ "memory", "memory.limit_in_bytes", "memory.max", "67108864" },
	{ "pids", "pids.max", "pids.max", "100" },
	{ "cpu", "cpu.cfs_quota_us", "cpu.max", "100000" },
};

/* Sets a limit in a group that is made for it. 0, or an errno. */
static int
limit_group(const char *group, const char *file, const char *value)
{
	char *path = xasprintf("%s/%s", group, file);
	int error = write_file(AT_FDCWD, path, 0, 0, value) == -1 ? errno : 0;

	free(path);
	return (error);
}

/*
 * v2: a group has the files of those controllers only that its parent hands
 * down, which a runtime has it do; to ask for that would be a change.
 */
static int
try_controller(const char *mount, size_t i, int v2)
{
	char *group = xasprintf("%s/takod-doctor-%d", mount, (int)getpid());
	int error;

	if (mkdir(group, 0755) == -1) {
		error = errno;
		free(group);
		return (error);
	}
	error = limit_group(group, v2 ? controllers[i].v2 : controllers[i].v1,
	    controllers[i].value);
	if (v2 && error == ENOENT)
		error = 0;
	if (rmdir(group) == -1 && error == 0)
		error = errno;
	free(group);
	return (error);
}

void
doctor_cgroups(struct doctor *d)
{
	static const char mend[] =
	    "mount cgroup2 on /sys/fs/cgroup, or the v1 controllers below it, "
	    "writable for takod";
	char detail[256], list[256] = "";
	struct cgroups *cg;
	const char *mount;
	int v2, error;
	size_t i, bad = 0;

	signal(SIGTERM, SIG_IGN); /* quick, and a group must not stay */
	if ((cg = cgroups_open(NULL, detail, sizeof(detail))) == NULL) {
		doctor_found(d, FOUND_FAIL, "cgroups", NULL, "%s", detail);
		return;
	}
	for (i = 0; i < nitems(controllers); i++) {
		mount = cgroups_mount(cg, controllers[i].name, &v2);
		error = mount == NULL ? ENOENT : try_controller(mount, i, v2);
		if (error != 0) {
			doctor_found(d, FOUND_FAIL, "cgroups", mend,
			    "controller %s: %s", controllers[i].name,
			    mount == NULL ? "not mounted" : strerror(error));
			bad++;
			continue;
		}
		snprintf(detail, sizeof(detail), "%s%s (v%d)",
		    list[0] != '\0' ? ", " : "", controllers[i].name,
		    v2 ? 2 : 1);
		strlcat(list, detail, sizeof(list));
	}
	if (bad == 0)
		doctor_found(d, FOUND_OK, "cgroups", NULL,
		    "controllers %s take limits", list);
	if (!cgroups_swap(cg))
		doctor_found(d, FOUND_WARN, "cgroups",
		    "boot with swapaccount=1, or turn swap off",
		    "swap cannot be limited: a job may use it above its "
		    "memory_limit");
	cgroups_free(cg);
}
