/*
 * seccomp_job.c: the job's seccomp profile. Runs in takod; reads the operator's
 * own profile, never anything of a job.
 *
 * All is refused with EPERM but what the table allows. The native architecture
 * alone is named. So 32-bit and x32 calls, which would get round the checks of
 * arguments, end the process. Calls that are newer than all in the table are
 * answered ENOSYS by runc itself (for architectures that are named), so that a
 * C library of tomorrow finds its fallback.
 */
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/utsname.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <jansson.h>
#include <seccomp.h>

#include "blob.h"
#include "seccomp_job.h"
#include "util.h"

#define MAX_PROFILE (1024 * 1024)
#define X32_CALLS   0x40000000 /* from this number on */

#if defined(__x86_64__)
#define NATIVE_SCMP "SCMP_ARCH_X86_64"
#define NATIVE_GO   "amd64"
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_SCMP "SCMP_ARCH_AARCH64"
#define NATIVE_GO   "arm64"
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture as libseccomp and Go do"
#endif

/*
 * Allowed whatever the arguments. Calls that need a capability stay out, as
 * the job has none; so does what has no use in a job and a past of holes:
 * ptrace and process_vm, bpf, perf_event_open, userfaultfd, io_uring, keyctl,
 * mount and its new kin, setns and unshare, modify_ldt, handles, kcmp,
 * pidfd_getfd, the old asynchronous I/O, ioprio_set, memory policies.
 */
static const char *const allowed[] = {
	/* files */
	"access", "chdir", "chmod", "chown", "close", "close_range",
	"copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat",
	"faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat",
	"fchmodat2", "fchown", "fchownat", "fdatasync", "fgetxattr",
	"flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs",
	"fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64",
	"getxattr", "inotify_init", "inotify_init1", "inotify_rm_watch",
	"ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr",
	"llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir",
	"mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat",
	"openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
	"pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
	"removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile",
	"setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat",
	"sync_file_range", "tee", "truncate", "umask", "unlink", "unlinkat",
	"utime", "utimensat", "utimes", "vmsplice", "write", "writev",
	/* waiting */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "pipe", "pipe2",
	"poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4",
	/* memory */
	"brk", "madvise", "membarrier", "mincore", "mlock", "mlock2",
	"mlockall", "mprotect", "mremap", "msync", "munlock", "munlockall",
	"munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
	/* processes, threads, signals */
	"alarm", "arch_prctl", "capget", "capset", "execve", "execveat", "exit",
	"exit_group", "fork", "futex", "futex_waitv", "get_robust_list",
	"getcpu", "getegid", "geteuid", "getgid", "getgroups", "getitimer",
	"getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid",
	"getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid",
	"ioprio_get", "kill", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "pause", "pidfd_open", "pidfd_send_signal",
	"prctl", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending",
	"rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max",
	"sched_get_priority_min", "sched_getaffinity", "sched_getattr",
	"sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
	"sched_setaffinity", "sched_setparam", "sched_setscheduler",
	"sched_yield", "seccomp", "set_robust_list", "set_tid_address",
	"setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid",
	"setpriority", "setregid", "setresgid", "setresuid", "setreuid",
	"setsid", "setuid", "sigaltstack", "tgkill", "tkill", "vfork", "wait4",
	"waitid",
	/* time and the machine */
	"clock_getres", "clock_gettime", "clock_nanosleep", "getrandom",
	"gettimeofday", "nanosleep", "sysinfo", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "times",
	"uname",
	/* System V and POSIX queues, in an IPC namespace of its own */
	"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
	"mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
	"semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt",
	/* sockets; which ones can be made is below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown"
};

/* Answered as by a kernel that has them not: libraries then do without. */
static const char *const absent[] = { "cachestat", "clone3", "io_uring_enter",
	"io_uring_register", "io_uring_setup", "memfd_secret" };

/*
 * Answered as done, and not done: they flush whole file systems of the host,
 * as often as a job likes, and what a job writes lies in memory.
 */
static const char *const nothing[] = { "sync", "syncfs" };

#define MAX_ARGS 3
#define NEW_NAMESPACES                                                         \
	0x7e020000 /* CLONE_NEWNS CGROUP UTS IPC USER PID NET; TIME has no     \
		    * bit of its own in clone */

/*
 * Where all of the comparisons hold: allowed, or answered as done and not done.
 * mask 0: equal, NOT: not equal, else equal under the mask.
 */
#define NOT UINT64_MAX
static const struct conditional {
	const char *name;
	struct {
		unsigned index;
		uint64_t mask, value;
	} args[MAX_ARGS];
	unsigned n;
	int nothing;
} conditionals[] = {
	{ "clone", { { 0, NEW_NAMESPACES, 0 } }, 1, 0 },
	/* PER_LINUX, and the question which one is on. */
	{ "personality", { { 0, 0, 0 } }, 1, 0 },
	{ "personality", { { 0, 0, 0xffffffff } }, 1, 0 },
/*
 * Family, type without its flags, protocol. Naming the protocol keeps out
 * SCTP, MPTCP, L2TP, UDP-Lite, ping: modules that a socket call would load.
 */
#define SOCKET(family, type, protocol)                                         \
	{                                                                      \
		"socket",                                                      \
		    { { 0, 0, family }, { 1, 0xf, type },                      \
			    { 2, 0, protocol } },                              \
		    3, 0                                                       \
	}
	SOCKET(1, 1, 0),			 /* UNIX stream */
	SOCKET(1, 2, 0),			 /* UNIX datagram */
	SOCKET(2, 1, 0),			 /* IPv4 stream */
	SOCKET(2, 1, 6),			 /* ... as TCP */
	SOCKET(2, 2, 0),			 /* IPv4 datagram */
	SOCKET(2, 2, 17),			 /* ... as UDP */
	SOCKET(10, 1, 0),			 /* IPv6 likewise */
	SOCKET(10, 1, 6),			 /**/
	SOCKET(10, 2, 0),			 /**/
	SOCKET(10, 2, 17),			 /**/
	{ "socketpair", { { 0, 0, 1 } }, 1, 0 }, /* UNIX */
/*
 * An argument other than that, of which the kernel takes 32 bits: not by NOT,
 * which sees the upper ones too, and these are the job's to choose. The number
 * differs in one of the bits that tell it from all that there are.
 */
#define BIT(name, index, bit, value)                                           \
	{                                                                      \
		name, { { index, bit, ~(uint64_t)(value) & (bit) } }, 1, 0     \
	}
#define OTHER_LIMIT(name, index)                                               \
	BIT(name, index, 1, RLIMIT_CORE), BIT(name, index, 2, RLIMIT_CORE),    \
	    BIT(name, index, 4, RLIMIT_CORE), BIT(name, index, 8, RLIMIT_CORE)
	/*
	 * The limit of cores stays at one byte: that keeps them from a program
	 * that core_pattern names too, which 0 does not.
	 */
	OTHER_LIMIT("setrlimit", 0),
	{ "setrlimit", { { 0, UINT32_MAX, RLIMIT_CORE } }, 1, 1 },
	OTHER_LIMIT("prlimit64", 1),
	{ "prlimit64", { { 1, UINT32_MAX, RLIMIT_CORE }, { 2, 0, 0 } }, 2, 0 },
	{ "prlimit64", { { 1, UINT32_MAX, RLIMIT_CORE }, { 2, NOT, 0 } }, 2,
	    1 },
	/*
	 * A file of the image is the same one to all jobs: who opens and reads
	 * it is nobody else's to know, by inotify or by dnotify.
	 */
	{ "inotify_add_watch",
	    { { 2, IN_ACCESS | IN_OPEN | IN_CLOSE_NOWRITE, 0 } }, 1, 0 },
	BIT("fcntl", 1, 0x400, F_NOTIFY),
	BIT("fcntl", 1, 1, F_NOTIFY),
	BIT("fcntl", 1, 2, F_NOTIFY),
	BIT("fcntl", 1, 4, F_NOTIFY),
	BIT("fcntl", 1, 8, F_NOTIFY),
	{ "fcntl", { { 1, UINT32_MAX, F_NOTIFY }, { 2, DN_ACCESS, 0 } }, 2, 0 },
	/* Huge pages are the host's, and count for no limit of memory. */
	{ "mmap", { { 3, MAP_HUGETLB, 0 } }, 1, 0 },
	{ "memfd_create", { { 1, MFD_HUGETLB, 0 } }, 1, 0 },
	{ "shmget", { { 2, SHM_HUGETLB, 0 } }, 1, 0 },
};

static json_t *
names_json(const char *const *names, size_t n)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return (list);
}

static json_t *
conditional_json(const struct conditional *c)
{
	json_t *args = json_array();
	unsigned i;

	for (i = 0; i < c->n; i++) {
		uint64_t mask = c->args[i].mask, value = c->args[i].value;
		int masked = mask != 0 && mask != NOT;

		json_array_append_new(
		    args, json_pack("{s:I s:I s:I s:s}", "index",
			      (json_int_t)c->args[i].index, "value",
			      (json_int_t)(masked ? mask : value), "valueTwo",
			      (json_int_t)(masked ? value : 0), "op",
			      mask == NOT ? "SCMP_CMP_NE"
			      : masked	  ? "SCMP_CMP_MASKED_EQ"
					  : "SCMP_CMP_EQ"));
	}
	if (c->nothing)
		return (json_pack("{s:[s] s:s s:i s:o}", "names", c->name,
		    "action", "SCMP_ACT_ERRNO", "errnoRet", 0, "args", args));
	return (json_pack("{s:[s] s:s s:o}", "names", c->name, "action",
	    "SCMP_ACT_ALLOW", "args", args));
}

static json_t *
own_profile(void)
{
	json_t *calls = json_array();
	size_t i;

	json_array_append_new(calls, json_pack("{s:o s:s}", "names",
					 names_json(allowed, nitems(allowed)),
					 "action", "SCMP_ACT_ALLOW"));
	for (i = 0; i < nitems(conditionals); i++)
		json_array_append_new(
		    calls, conditional_json(&conditionals[i]));
	json_array_append_new(
	    calls, json_pack("{s:o s:s s:i}", "names",
		       names_json(absent, nitems(absent)), "action",
		       "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
	json_array_append_new(
	    calls, json_pack("{s:o s:s s:i}", "names",
		       names_json(nothing, nitems(nothing)), "action",
		       "SCMP_ACT_ERRNO", "errnoRet", 0));
	return (json_pack("{s:s s:i s:[s] s:o}", "defaultAction",
	    "SCMP_ACT_ERRNO", "defaultErrnoRet", EPERM, "architectures",
	    NATIVE_SCMP, "syscalls", calls));
}

static int
list_has(json_t *list, const char *word)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (json_is_string(item) &&
		    strcmp(json_string_value(item), word) == 0)
			return (1);
	return (0);
}

/* "4.8" against the kernel that runs. */
static int
kernel_at_least(const char *version)
{
	unsigned want[2] = { 0, 0 }, have[2] = { 0, 0 };
	struct utsname u;

	if (uname(&u) == -1 ||
	    sscanf(version, "%u.%u", &want[0], &want[1]) < 1 ||
	    sscanf(u.release, "%u.%u", &have[0], &have[1]) < 1)
		return (0);
	return (
	    have[0] > want[0] || (have[0] == want[0] && have[1] >= want[1]));
}

/*
 * moby's profiles say for a rule under which capabilities, architectures and
 * kernels it counts. An OCI runtime does not know these words and would let
 * all of it through, mount included: so they are decided here, for a
 * container without any capability.
 */
static int
rule_counts(json_t *rule)
{
	json_t *in = json_object_get(rule, "includes");
	json_t *ex = json_object_get(rule, "excludes");
	json_t *arches = json_object_get(in, "arches");
	const char *kernel =
	    json_string_value(json_object_get(in, "minKernel"));

	if (json_array_size(json_object_get(in, "caps")) > 0 ||
	    (json_array_size(arches) > 0 && !list_has(arches, NATIVE_GO)) ||
	    (kernel != NULL && !kernel_at_least(kernel)))
		return (0);
	kernel = json_string_value(json_object_get(ex, "minKernel"));
	return (!list_has(json_object_get(ex, "arches"), NATIVE_GO) &&
		(kernel == NULL || !kernel_at_least(kernel)));
}

/* NULL: the rule is not of the form. */
static json_t *
rule_convert(json_t *rule)
{
	static const char *const keep[] = { "errnoRet", "args" };
	json_t *names = json_object_get(rule, "names");
	json_t *name = json_object_get(rule, "name");
	json_t *action = json_object_get(rule, "action"), *out, *value;
	size_t i;

	if (!json_is_string(action) ||
	    (!json_is_array(names) && !json_is_string(name)))
		return (NULL);
	out = json_pack("{s:O}", "action", action);
	if (json_is_array(names))
		json_object_set(out, "names", names);
	else
		json_object_set_new(out, "names", json_pack("[O]", name));
	for (i = 0; i < nitems(keep); i++)
		if ((value = json_object_get(rule, keep[i])) != NULL &&
		    !json_is_null(value))
			json_object_set(out, keep[i], value);
	return (out);
}

/* The native architecture's row of moby's archMap, or the list as it is. */
static void
convert_architectures(json_t *in, json_t *out)
{
	json_t *map = json_object_get(in, "archMap"), *row, *list;
	size_t i;

	list = json_object_get(in, "architectures");
	if (json_array_size(list) > 0)
		json_object_set(out, "architectures", list);
	json_array_foreach (map, i, row) {
		const char *name =
		    json_string_value(json_object_get(row, "architecture"));

		if (name == NULL || strcmp(name, NATIVE_SCMP) != 0)
			continue;
		list = json_pack("[s]", NATIVE_SCMP);
		json_array_extend(
		    list, json_object_get(row, "subArchitectures"));
		json_object_set_new(out, "architectures", list);
	}
}

/* NULL with *why: not a profile. */
static json_t *
convert(json_t *in, const char **why)
{
	json_t *action = json_object_get(in, "defaultAction");
	json_t *rules = json_object_get(in, "syscalls");
	json_t *out, *calls, *rule, *converted, *ret;
	size_t i;

	*why = "no seccomp profile: it needs defaultAction and syscalls";
	if (!json_is_string(action) || !json_is_array(rules))
		return (NULL);
	calls = json_array();
	out =
	    json_pack("{s:O s:o}", "defaultAction", action, "syscalls", calls);
	ret = json_object_get(in, "defaultErrnoRet");
	if (json_is_integer(ret))
		json_object_set(out, "defaultErrnoRet", ret);
	convert_architectures(in, out);
	json_array_foreach (rules, i, rule) {
		if (!rule_counts(rule))
			continue;
		if ((converted = rule_convert(rule)) == NULL) {
			*why = "a rule of it lacks its names or its action";
			json_decref(out);
			return (NULL);
		}
		json_array_append_new(calls, converted);
	}
	return (out);
}

static json_t *
named_profile(const char *path, char *detail, size_t len)
{
	json_t *in, *out = NULL;
	json_error_t error;
	const char *why;
	char *text;
	size_t n;

	if ((text = read_file(AT_FDCWD, path, MAX_PROFILE, &n)) == NULL) {
		snprintf(detail, len, "seccomp_profile_path: %s: %s", path,
		    strerror(errno));
		return (NULL);
	}
	in = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (in == NULL)
		snprintf(detail, len, "seccomp_profile_path: %s:%d: %s", path,
		    error.line, error.text);
	else if ((out = convert(in, &why)) == NULL)
		snprintf(
		    detail, len, "seccomp_profile_path: %s: %s", path, why);
	json_decref(in);
	return (out);
}

char *
seccomp_job_json(const struct conf *conf, char *detail, size_t len)
{
	json_t *profile;
	char *text;

	if (conf->seccomp_profile_path != NULL)
		profile =
		    named_profile(conf->seccomp_profile_path, detail, len);
	else if ((profile = own_profile()) == NULL)
		snprintf(detail, len, "seccomp: no memory");
	if (profile == NULL)
		return (NULL);
	text = json_dumps(profile, JSON_INDENT(2));
	if (text == NULL)
		snprintf(detail, len, "seccomp: no memory");
	json_decref(profile);
	return (text);
}

/* ---- the table as a program ---------------------------------------------- */

/*
 * The highest number so far of calls that are named; -1 with errno. One that
 * this architecture or libseccomp does not know is passed over, as by runc.
 */
static int
program_rule(scmp_filter_ctx ctx, int last, uint32_t action, const char *name,
    unsigned n, const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name), r;

	if (nr < 0)
		return (last);
	if ((r = seccomp_rule_add_array(ctx, action, nr, n, args)) < 0) {
		errno = -r;
		return (-1);
	}
	return (nr > last ? nr : last);
}

static int
program_names(scmp_filter_ctx ctx, int last, uint32_t action,
    const char *const *names, size_t n)
{
	size_t i;

	for (i = 0; i < n && last != -1; i++)
		last = program_rule(ctx, last, action, names[i], 0, NULL);
	return (last);
}

static int
program_conditional(scmp_filter_ctx ctx, int last, const struct conditional *c)
{
	struct scmp_arg_cmp args[MAX_ARGS];
	unsigned i;

	for (i = 0; i < c->n; i++) {
		uint64_t mask = c->args[i].mask, value = c->args[i].value;
		int masked = mask != 0 && mask != NOT;

		args[i].arg = c->args[i].index;
		args[i].op = mask == NOT ? SCMP_CMP_NE
			     : masked	 ? SCMP_CMP_MASKED_EQ
					 : SCMP_CMP_EQ;
		args[i].datum_a = masked ? mask : value;
		args[i].datum_b = masked ? value : 0;
	}
	return (program_rule(ctx, last,
	    c->nothing ? SCMP_ACT_ERRNO(0) : SCMP_ACT_ALLOW, c->name, c->n,
	    args));
}

/* What runc puts before it: calls above last are answered ENOSYS. */
static int
program_newer(int fd, int last)
{
	const struct sock_filter newer[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		/* x32 calls have the table of their own, which is none. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (unsigned)last, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	return (write_all(fd, newer, sizeof(newer)) == sizeof(newer) ? 0 : -1);
}

int
seccomp_job_program(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int fd = memfd_new("seccomp"), last = 0, r = -1;
	size_t i;

	if (ctx == NULL || fd == -1)
		goto fail;
	/* A tree: each call's verdict is found sooner. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	last =
	    program_names(ctx, last, SCMP_ACT_ALLOW, allowed, nitems(allowed));
	for (i = 0; i < nitems(conditionals) && last != -1; i++)
		last = program_conditional(ctx, last, &conditionals[i]);
	if (last != -1)
		last = program_names(
		    ctx, last, SCMP_ACT_ERRNO(ENOSYS), absent, nitems(absent));
	if (last != -1)
		last = program_names(
		    ctx, last, SCMP_ACT_ERRNO(0), nothing, nitems(nothing));
	if (last == -1 || program_newer(fd, last) == -1 ||
	    seccomp_export_bpf(ctx, fd) < 0)
		goto fail;
	r = memfd_seal(fd);
fail:
	if (ctx != NULL)
		seccomp_release(ctx);
	if (r == -1)
		close_fd(&fd);
	return (fd);
}
