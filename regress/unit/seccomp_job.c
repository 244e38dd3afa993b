/*
 * seccomp_job.c: the job's profile as the kernel would judge by it, on x86_64
 * and on arm64, whatever this machine is. The JSON is put into libseccomp as
 * runc does it, for one architecture; the program that comes out is run here
 * on made-up calls. What runc adds (ENOSYS for calls newer than all that are
 * named) is not in it, but in the program that tako-init is given, which has to
 * judge as the other one else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "takod/seccomp_job.h"
#include "util.h"

#define MAX_PROGRAM 4096
#define LAST_CALL   600
#define KILLED	    (-1)

static const struct arch {
	const char *name;
	uint32_t token, audit;
} arches[] = {
	{ "x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
	{ "arm64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64 },
};

static json_t *profile;
static struct sock_filter program[nitems(arches)][MAX_PROGRAM];
static size_t lengths[nitems(arches)];

/* ---- from JSON to a program ---------------------------------------------- */

static uint32_t
action_of(json_t *rule)
{
	const char *action = json_string_value(json_object_get(rule, "action"));
	json_t *ret = json_object_get(rule, "errnoRet");

	if (strcmp(action, "SCMP_ACT_ALLOW") == 0)
		return (SCMP_ACT_ALLOW);
	assert_string_equal(action, "SCMP_ACT_ERRNO");
	assert_true(json_is_integer(ret));
	return (SCMP_ACT_ERRNO((uint32_t)json_integer_value(ret)));
}

static unsigned
args_of(json_t *rule, struct scmp_arg_cmp *cmp)
{
	json_t *arg;
	size_t i;

	json_array_foreach (json_object_get(rule, "args"), i, arg) {
		const char *op = json_string_value(json_object_get(arg, "op"));

		cmp[i].arg =
		    (unsigned)json_integer_value(json_object_get(arg, "index"));
		cmp[i].op = strcmp(op, "SCMP_CMP_NE") == 0 ? SCMP_CMP_NE
			    : strcmp(op, "SCMP_CMP_EQ") == 0
				? SCMP_CMP_EQ
				: SCMP_CMP_MASKED_EQ;
		cmp[i].datum_a = (scmp_datum_t)json_integer_value(
		    json_object_get(arg, "value"));
		cmp[i].datum_b = (scmp_datum_t)json_integer_value(
		    json_object_get(arg, "valueTwo"));
	}
	return ((unsigned)i);
}

static void
add_rule(scmp_filter_ctx ctx, json_t *rule)
{
	struct scmp_arg_cmp cmp[6];
	unsigned n = args_of(rule, cmp);
	json_t *name;
	size_t i;
	int nr;

	json_array_foreach (json_object_get(rule, "names"), i, name) {
		const char *text = json_string_value(name);

		/* A name that no architecture has is a slip of the pen. */
		assert_int_not_equal(
		    seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, text),
		    __NR_SCMP_ERROR);
		/*
		 * By the native number, which libseccomp makes the other's;
		 * a call that the other one lacks is passed over.
		 */
		nr = seccomp_syscall_resolve_name(text);
		assert_int_equal(
		    seccomp_rule_add_array(ctx, action_of(rule), nr, n, cmp),
		    0);
	}
}

static void
make_program(size_t which)
{
	const struct arch *a = &arches[which];
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	json_t *rule;
	ssize_t n;
	size_t i;
	int fd;

	assert_non_null(ctx);
	if (seccomp_arch_native() != a->token) {
		assert_int_equal(seccomp_arch_add(ctx, a->token), 0);
		assert_int_equal(
		    seccomp_arch_remove(ctx, seccomp_arch_native()), 0);
	}
	json_array_foreach (json_object_get(profile, "syscalls"), i, rule)
		add_rule(ctx, rule);
	fd = memfd_create("bpf", 0);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	n = pread(fd, program[which], sizeof(program[which]), 0);
	assert_in_range(n, 8, sizeof(program[which]) - 1);
	lengths[which] = (size_t)n / sizeof(program[which][0]);
	close(fd);
	seccomp_release(ctx);
}

/* ---- the kernel's part --------------------------------------------------- */

/* Classic BPF, of it what libseccomp writes; the verdict. */
static uint32_t
run(const struct sock_filter *p, size_t len, const struct seccomp_data *data)
{
	uint32_t a = 0;
	size_t pc;

	for (pc = 0; pc < len; pc++) {
		const struct sock_filter *f = &p[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_in_range(f->k, 0, sizeof(*data) - sizeof(a));
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return (f->k);
		default:
			fail_msg("instruction %#x", f->code);
		}
	}
	fail_msg("it ran off its end");
	return (0);
}

/* 0: allowed; an errno, -2 for one that is 0; KILLED. */
static int
judged(size_t which, uint32_t audit, int nr, const uint64_t *args)
{
	struct seccomp_data data = { .nr = nr, .arch = audit };
	uint32_t verdict;

	if (args != NULL)
		memcpy(data.args, args, sizeof(data.args));
	verdict = run(program[which], lengths[which], &data);
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return (0);
	case SECCOMP_RET_ERRNO:
		return ((verdict & SECCOMP_RET_DATA) != 0
			    ? (int)(verdict & SECCOMP_RET_DATA)
			    : -2);
	default:
		return (KILLED);
	}
}

static int
call4(size_t which, const char *name, uint64_t a0, uint64_t a1, uint64_t a2,
    uint64_t a3)
{
	const uint64_t args[6] = { a0, a1, a2, a3, 0, 0 };
	int nr = seccomp_syscall_resolve_name_arch(arches[which].token, name);

	assert_true(nr >= 0);
	return (judged(which, arches[which].audit, nr, args));
}

static int
call(size_t which, const char *name, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return (call4(which, name, a0, a1, a2, 0));
}

static size_t
native(void)
{
	size_t i;

	for (i = 0; arches[i].token != seccomp_arch_native(); i++)
		assert_in_range(i, 0, nitems(arches) - 2);
	return (i);
}

/* ---- tests --------------------------------------------------------------- */

static int
setup(void **state)
{
	struct conf conf = { .seccomp_profile_path = NULL };
	char detail[256], *text;
	size_t i;

	(void)state;
	text = seccomp_job_json(&conf, detail, sizeof(detail));
	profile = text != NULL ? json_loads(text, 0, NULL) : NULL;
	free(text);
	if (profile == NULL)
		return (-1);
	for (i = 0; i < nitems(arches); i++)
		make_program(i);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	json_decref(profile);
	return (0);
}

static void
test_default(void **state)
{
	json_t *list = json_object_get(profile, "architectures");

	(void)state;
	assert_string_equal(
	    json_string_value(json_object_get(profile, "defaultAction")),
	    "SCMP_ACT_ERRNO");
	assert_int_equal(
	    json_integer_value(json_object_get(profile, "defaultErrnoRet")),
	    EPERM);
	/* Its own alone: no 32-bit one beside it. */
	assert_int_equal(json_array_size(list), 1);
}

/* What CPython and a C library cannot do without, in each one's own names. */
static void
test_needed(void **state)
{
	static const char *const both[] = { "openat", "close", "read", "write",
		"newfstatat", "statx", "mmap", "mprotect", "munmap", "brk",
		"futex", "rt_sigaction", "rt_sigreturn", "execve", "wait4",
		"exit_group", "getdents64", "pipe2", "dup3", "ppoll",
		"pselect6", "epoll_pwait", "epoll_create1", "eventfd2",
		"clock_gettime", "getrandom", "prlimit64", "rseq",
		"set_robust_list", "set_tid_address", "sched_getaffinity",
		"unlinkat", "mkdirat", "renameat2", "readlinkat", "faccessat",
		"faccessat2", "fchmodat", "fcntl", "ioctl", "socketpair",
		"connect", "accept4", "sendmsg", "recvmsg", "memfd_create",
		"kill", "tgkill", "timer_create", "timerfd_create",
		"inotify_init1", "copy_file_range", "close_range",
		"pidfd_open" };
	size_t i, j;

	(void)state;
	for (i = 0; i < nitems(arches); i++)
		for (j = 0; j < nitems(both); j++)
			/* 1 as its first word: a family, where one is asked. */
			if (call(i, both[j], 1, 0, 0) != 0)
				fail_msg("%s on %s", both[j], arches[i].name);
}

static void
test_refused(void **state)
{
	static const char *const both[] = { "ptrace", "process_vm_readv",
		"process_vm_writev", "kcmp", "pidfd_getfd", "unshare", "setns",
		"mount", "umount2", "pivot_root", "chroot", "open_tree",
		"move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
		"mount_setattr", "keyctl", "add_key", "request_key", "bpf",
		"perf_event_open", "userfaultfd", "fanotify_init",
		"init_module", "finit_module", "delete_module", "kexec_load",
		"kexec_file_load", "reboot", "swapon", "swapoff", "acct",
		"quotactl", "quotactl_fd", "name_to_handle_at",
		"open_by_handle_at", "settimeofday", "clock_settime",
		"adjtimex", "clock_adjtime", "ioprio_set", "syslog", "vhangup",
		"io_setup", "io_submit", "mbind", "set_mempolicy", "move_pages",
		"migrate_pages", "sethostname", "setdomainname",
		"lookup_dcookie", "remap_file_pages", "process_madvise" };
	size_t i, j;

	(void)state;
	for (i = 0; i < nitems(arches); i++)
		for (j = 0; j < nitems(both); j++)
			if (call(i, both[j], 0, 0, 0) != EPERM)
				fail_msg("%s on %s", both[j], arches[i].name);
	assert_int_equal(call(0, "modify_ldt", 1, 0, 0), EPERM);
	assert_int_equal(call(0, "iopl", 3, 0, 0), EPERM);
	assert_int_equal(call(0, "ioperm", 0, 0, 0), EPERM);
	assert_int_equal(call(0, "uselib", 0, 0, 0), EPERM);
}

static void
test_absent_and_nothing(void **state)
{
	static const char *const absent[] = { "clone3", "io_uring_setup",
		"io_uring_enter", "io_uring_register", "memfd_secret",
		"cachestat" };
	size_t i, j;

	(void)state;
	for (i = 0; i < nitems(arches); i++) {
		for (j = 0; j < nitems(absent); j++)
			assert_int_equal(call(i, absent[j], 0, 0, 0), ENOSYS);
		assert_int_equal(call(i, "sync", 0, 0, 0), -2);
		assert_int_equal(call(i, "syncfs", 3, 0, 0), -2);
		assert_int_equal(call(i, "fsync", 3, 0, 0), 0);
	}
}

static void
test_arguments(void **state)
{
	static const uint64_t spaces[] = { 0x20000, 0x2000000, 0x4000000,
		0x8000000, 0x10000000, 0x20000000, 0x40000000 };
	uint64_t family, type, protocol;
	size_t i, j;
	int good;

	(void)state;
	for (i = 0; i < nitems(arches); i++) {
		/* As a thread, as a child; each with a namespace of its own. */
		assert_int_equal(call(i, "clone", 0x3d0f00, 0, 0), 0);
		assert_int_equal(call(i, "clone", 0x1200011, 0, 0), 0);
		for (j = 0; j < nitems(spaces); j++)
			assert_int_equal(
			    call(i, "clone", 17 | spaces[j], 0, 0), EPERM);
		assert_int_equal(call(i, "personality", 0, 0, 0), 0);
		assert_int_equal(call(i, "personality", 0xffffffff, 0, 0), 0);
		assert_int_equal(call(i, "personality", 0x40000, 0, 0), EPERM);
		assert_int_equal(call(i, "personality", 0x400000, 0, 0), EPERM);
		assert_int_equal(call(i, "socketpair", 16, 3, 0), EPERM);
		/* Of cores (4) the limit is read, and not changed. */
		assert_int_equal(call(i, "prlimit64", 0, 7, 4096), 0);
		assert_int_equal(call(i, "prlimit64", 0, 4, 0), 0);
		assert_int_equal(call(i, "prlimit64", 0, 4, 4096), -2);
		assert_int_equal(call(i, "prlimit64", 0, 4, 0x100000000), -2);
		assert_int_equal(call(i, "setrlimit", 7, 4096, 0), 0);
		assert_int_equal(call(i, "setrlimit", 4, 4096, 0), -2);
		/* Of the number the kernel takes 32 bits. */
		assert_int_equal(
		    call(i, "prlimit64", 0, 0x100000004, 4096), -2);
		assert_int_equal(call(i, "setrlimit", 0x100000004, 9, 0), -2);
		for (j = 0; j < 16; j++) {
			assert_int_equal(
			    call(i, "setrlimit", j, 9, 0), j == 4 ? -2 : 0);
			assert_int_equal(
			    call(i, "prlimit64", 0, j, 4096), j == 4 ? -2 : 0);
		}
		/* Who opens and reads (1, 0x10, 0x20) is not to be watched. */
		assert_int_equal(call(i, "inotify_add_watch", 3, 9, 0x3ce), 0);
		for (j = 0; j < 12; j++)
			assert_int_equal(
			    call(i, "inotify_add_watch", 3, 9, 1U << j),
			    (0x31U >> j & 1) != 0 ? EPERM : 0);
		for (j = 0; j < 1040; j++)
			assert_int_equal(
			    call(i, "fcntl", 3, j, 1), j == 1026 ? EPERM : 0);
		assert_int_equal(call(i, "fcntl", 3, 1026, 0x8000003e), 0);
		assert_int_equal(
		    call(i, "fcntl", 3, 0x100000402, 0x80000001), EPERM);
		/* Huge pages. */
		assert_int_equal(call4(i, "mmap", 0, 9, 3, 0x22), 0);
		assert_int_equal(call4(i, "mmap", 0, 9, 3, 0x40022), EPERM);
		assert_int_equal(call(i, "memfd_create", 9, 3, 0), 0);
		assert_int_equal(call(i, "memfd_create", 9, 4, 0), EPERM);
		assert_int_equal(call(i, "shmget", 0, 9, 01600), 0);
		assert_int_equal(call(i, "shmget", 0, 9, 05600), EPERM);
		for (family = 0; family < 48; family++)
			for (type = 0; type < 16; type++)
				for (protocol = 0; protocol < 300; protocol++) {
					good =
					    (family == 1 && protocol == 0 &&
						(type == 1 || type == 2)) ||
					    ((family == 2 || family == 10) &&
						((type == 1 &&
						     (protocol == 0 ||
							 protocol == 6)) ||
						    (type == 2 &&
							(protocol == 0 ||
							    protocol == 17))));
					assert_int_equal(
					    call(i, "socket", family,
						type | 0x80000, protocol),
					    good ? 0 : EPERM);
				}
	}
}

/* Whatever number: a call by another table than the native one. */
static void
test_other_tables(void **state)
{
	static const uint32_t others[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM,
		AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_RISCV64 };
	size_t i, j;
	int nr;

	(void)state;
	for (i = 0; i < nitems(arches); i++)
		for (j = 0; j < nitems(others); j++)
			for (nr = 0;
			     others[j] != arches[i].audit && nr < LAST_CALL;
			     nr++)
				assert_int_equal(
				    judged(i, others[j], nr, NULL), KILLED);
	for (nr = 0; nr < LAST_CALL; nr++)
		assert_int_equal(
		    judged(0, AUDIT_ARCH_X86_64, 0x40000000 | nr, NULL),
		    KILLED);
}

/* No number is allowed that libseccomp has no name for. */
static void
test_no_more(void **state)
{
	const uint64_t none[6] = { 0 };
	size_t i;
	char *name;
	int nr;

	(void)state;
	for (i = 0; i < nitems(arches); i++)
		for (nr = 0; nr < LAST_CALL; nr++) {
			name = seccomp_syscall_resolve_num_arch(
			    arches[i].token, nr);
			if (name == NULL)
				assert_int_equal(
				    judged(i, arches[i].audit, nr, none),
				    EPERM);
			free(name);
		}
}

/* The highest number that the profile names, by its name here. */
static int
last_named(void)
{
	json_t *rule, *name;
	size_t i, j;
	int nr, last = 0;

	json_array_foreach (json_object_get(profile, "syscalls"), i, rule)
		json_array_foreach (json_object_get(rule, "names"), j, name) {
			nr = seccomp_syscall_resolve_name(
			    json_string_value(name));
			last = nr > last ? nr : last;
		}
	return (last);
}

/* Each call with arguments that some rule asks for, or just not. */
static void
test_made_once(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 4, 6, 10, 17, 0x20000,
		0xffffffff, 0x100000000 };
	static struct sock_filter made[MAX_PROGRAM];
	const size_t which = native();
	const int last = last_named();
	struct seccomp_data data = { .nr = 0 };
	size_t len, i, j, k, n = nitems(values);
	uint32_t want, got;
	ssize_t size;
	int fd = seccomp_job_program(), nr;

	(void)state;
	assert_int_not_equal(fd, -1);
	size = pread(fd, made, sizeof(made), 0);
	assert_in_range(size, 8, sizeof(made) - 1);
	assert_int_equal(write(fd, made, 8), -1); /* nobody changes it */
	close(fd);
	len = (size_t)size / sizeof(made[0]);
	for (nr = -1; nr < LAST_CALL; nr++)
		for (i = 0; i < n * n * n * nitems(arches) * 2; i++) {
			j = i / (n * n * n);
			k = i % (n * n * n);
			data.nr = nr | (j / nitems(arches) ? 0x40000000 : 0);
			data.arch = arches[j % nitems(arches)].audit;
			data.args[0] = values[k / n / n];
			data.args[1] = values[k / n % n];
			data.args[2] = values[k % n];
			want = run(program[which], lengths[which], &data);
			if (data.arch == arches[which].audit &&
			    data.nr > last && data.nr < 0x40000000)
				want = SECCOMP_RET_ERRNO | ENOSYS;
			got = run(made, len, &data);
			if (got != want)
				fail_msg(
				    "call %d: %#x, not %#x", nr, got, want);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_absent_and_nothing),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_other_tables),
		cmocka_unit_test(test_no_more),
		cmocka_unit_test(test_made_once),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
