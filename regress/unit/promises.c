/*
 * promises.c: what the filter of each child lets through, call by call. What
 * came of the groups is compared with regress/unit/promises.golden, so that a
 * change of them is seen; and each call is really made below the filter, in a
 * process of its own, which has to live, fail or die as the filter's program
 * says.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <linux/sockios.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "takod/takod.h"
#include "util.h"

#define GOLDEN	 "regress/unit/promises.golden"
#define SOME_UID 1999999001
#define SOME_FD	 5   /* the worker's folder, in the golden list */
#define CALLS	 512 /* more than there are */
#define MAX_PROG 4096
#define SMALL	 128
#define OPTIONS	 32 /* levels and options of sockets */

static const struct who {
	const char *name;
	unsigned promises; /* 0: the parent, whose list is of what it lacks */
	enum shut_for use; /* of it */
} whos[] = { { "tako-api", PROMISES_API, 0 },
	{ "tako-worker", PROMISES_WORKER, 0 },
	{ "tako-words", PROMISES_WORDS, 0 },
	{ "takod, engine oci", 0, SHUT_FOR_RUNTIMES },
	{ "takod, engine docker", 0, SHUT_FOR_ENGINE },
	{ "takod, engine docker with networks", 0, SHUT_FOR_NETWORKS } };

static struct sandbox
sandbox_of(const struct who *who)
{
	struct sandbox sb = { .promises = who->promises,
		.nofile = 64,
		.artifact_fd = SOME_FD,
		.refused = MSG_T_WORKER_REFUSED };

	return (sb);
}

/* ---- the filter's program ------------------------------------------------ */

static struct sock_filter prog[MAX_PROG];
static size_t prog_len;

static void
load(const struct who *who)
{
	struct sandbox sb = sandbox_of(who);
	scmp_filter_ctx ctx =
	    who->promises != 0 ? promises_filter(&sb) : shut_filter(who->use);
	int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;

	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	seccomp_release(ctx);
	n = pread(fd, prog, sizeof(prog), 0);
	assert_true(n > 0 && (size_t)n < sizeof(prog));
	prog_len = (size_t)n / sizeof(prog[0]);
	close(fd);
}

#ifndef __SANITIZE_ADDRESS__
/* A filter needs no memory of the kernel's but what was at hand before. */
static void
memory_at_hand(void **state)
{
	struct mallinfo2 all;
	const void *end;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(whos); i++) {
		while (mallinfo2().keepcost > 4096)
			assert_non_null(malloc(1024));
		filter_memory();
		all = mallinfo2();
		end = sbrk(0);
		load(&whos[i]);
		assert_ptr_equal(sbrk(0), end);
		assert_int_equal(mallinfo2().hblks, all.hblks);
	}
}
#endif

/* What the kernel would make of a call: classic BPF, as libseccomp uses it. */
static uint32_t
verdict(const struct seccomp_data *d)
{
	const struct sock_filter *i;
	uint32_t a = 0;
	size_t pc;
	int yes;

	for (pc = 0; pc < prog_len; pc++) {
		i = &prog[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + sizeof(a) <= sizeof(*d));
			memcpy(&a, (const uint8_t *)d + i->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return (i->k & SECCOMP_RET_ACTION_FULL);
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		default:
			fail_msg("instruction %x of the filter", i->code);
			return (0);
		}
		pc += yes ? i->jt : i->jf;
	}
	fail_msg("the filter has no end");
	return (0);
}

static struct seccomp_data
call_with(int nr, uint64_t all)
{
	struct seccomp_data d = { .nr = nr,
		.arch = seccomp_arch_native() == SCMP_ARCH_X86_64
			    ? AUDIT_ARCH_X86_64
			    : AUDIT_ARCH_AARCH64 };
	int i;

	for (i = 0; i < 6; i++)
		d.args[i] = all;
	return (d);
}

/* ---- the golden list ----------------------------------------------------- */

static const uint64_t more_values[] = { AT_EMPTY_PATH, FIONREAD, SIOCOUTQ,
	FIONBIO, TIOCSTI, TIOCGWINSZ, 1 << 14, 1 << 16, 1 << 20, UINT32_MAX };
#define F_LINUX_BASE 1024 /* of fcntl(2) */
#define VALUES	     (SMALL + 32 + nitems(more_values))

/* Values of an argument that are tried: the small ones, and some known. */
static uint64_t
value_of(unsigned i)
{
	if (i < SMALL)
		return (i);
	return (i < SMALL + 32 ? F_LINUX_BASE + i - SMALL
			       : more_values[i - SMALL - 32]);
}

/* In words which values of one argument let a call through; 1: there are. */
static int
words_of(FILE *out, int nr, int arg)
{
	struct seccomp_data d = call_with(nr, 0);
	static char good[VALUES];
	unsigned i, n = 0, bit, with, without;

	for (i = 0; i < VALUES; i++) {
		d.args[arg] = value_of(i);
		good[i] = verdict(&d) == SECCOMP_RET_ALLOW;
		n += (unsigned)good[i];
	}
	if (n == 0 || n == VALUES)
		return (0);
	for (bit = 1; bit <= 0x1000; bit <<= 1) {
		with = without = 1;
		for (i = 0; i < VALUES; i++) {
			with &= good[i] == ((value_of(i) & bit) != 0);
			without &= good[i] == ((value_of(i) & bit) == 0);
		}
		if (with || without) {
			fprintf(out, " a%d %s 0x%x", arg,
			    with ? "with" : "without", bit);
			return (1);
		}
	}
	fprintf(out, " a%d is", arg);
	for (i = 0; i < VALUES; i++)
		if (good[i])
			fprintf(out, " %llu", (unsigned long long)value_of(i));
	return (1);
}

/* Two arguments at a time: socket options. */
static int
pairs_of(FILE *out, int nr)
{
	struct seccomp_data d = call_with(nr, 0);
	int found = 0;

	for (d.args[1] = 0; d.args[1] < OPTIONS; d.args[1]++)
		for (d.args[2] = 0; d.args[2] < OPTIONS; d.args[2]++)
			if (verdict(&d) == SECCOMP_RET_ALLOW) {
				fprintf(out, " a1,a2 is %llu,%llu",
				    (unsigned long long)d.args[1],
				    (unsigned long long)d.args[2]);
				found = 1;
			}
	return (found);
}

static void
describe(FILE *out, const struct who *who, int nr)
{
	struct seccomp_data none = call_with(nr, 0),
			    every = call_with(nr, UINT64_MAX), own = none;
	uint32_t r = verdict(&every);
	char *name;
	char words[4096] = "";
	FILE *w;
	int arg;

	if (who->promises == 0) {
		if (r == SECCOMP_RET_ALLOW)
			return;
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		fprintf(out, "%s: fails\n", name != NULL ? name : "?");
		free(name);
		return;
	}
	w = fmemopen(words, sizeof(words) - 1, "w");
	own.args[0] = (uint64_t)(unsigned)getpid();
	if (r == SECCOMP_RET_ALLOW && verdict(&none) == SECCOMP_RET_ALLOW)
		fputs(" allowed", w);
	else if (verdict(&own) == SECCOMP_RET_ALLOW &&
		 verdict(&none) != SECCOMP_RET_ALLOW)
		fputs(" a0 is its pid", w);
	else {
		int found = 0;

		for (arg = 0; arg < 6; arg++)
			found |= words_of(w, nr, arg);
		if (!found)
			pairs_of(w, nr);
	}
	if (r == SECCOMP_RET_ERRNO)
		fputs(" else fails", w);
	fclose(w);
	if (words[0] == '\0')
		return;
	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
	fprintf(out, "%s:%s\n", name != NULL ? name : "?", words);
	free(name);
}

static int
by_text(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

static char *
list_of(const struct who *who)
{
	char *text = NULL, *lines[CALLS], *sorted = NULL, *p;
	size_t size, n = 0, i;
	FILE *out;
	int nr;

	load(who);
	for (nr = 0; nr < CALLS; nr++) {
		out = open_memstream(&text, &size);
		describe(out, who, nr);
		fclose(out);
		if (size > 0)
			lines[n++] = text;
		else
			free(text);
	}
	qsort(lines, n, sizeof(lines[0]), by_text);
	out = open_memstream(&sorted, &size);
	fprintf(out, "[%s]\n", who->name);
	for (i = 0; i < n; i++) {
		p = lines[i];
		fputs(p, out);
		free(p);
	}
	fclose(out);
	return (sorted);
}

static void
golden(void **state)
{
	char *want, *part, *got = xstrdup(""), *both, path[256];
	const char *folder = getenv("TMPDIR");
	FILE *out;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(whos); i++) {
		part = list_of(&whos[i]);
		both = xasprintf("%s%s%s", got, i > 0 ? "\n" : "", part);
		free(part);
		free(got);
		got = both;
	}
	want = read_file(AT_FDCWD, GOLDEN, 1 << 20, NULL);
	if (seccomp_arch_native() == SCMP_ARCH_X86_64 &&
	    (want == NULL || strcmp(want, got) != 0)) {
		snprintf(path, sizeof(path), "%s/promises.golden",
		    folder != NULL ? folder : "/tmp");
		if ((out = fopen(path, "w")) != NULL) {
			fputs(got, out);
			fclose(out);
		}
		print_error("%s", got);
		fail_msg("is not what stands in " GOLDEN);
	}
	free(want);
	free(got);
}

/* ---- the kernel ---------------------------------------------------------- */

#ifndef SANDBOX_NULL
/* Calls by which uprobes work: the kernel shows them to no filter. */
#define UPROBE_FIRST 335
#define UPROBE_LAST  336

/* The call, below the filter; how that ended. */
static int
really(const struct seccomp_data *d)
{
	struct sock_fprog p = { (unsigned short)prog_len, prog };
	const __u64 *a = d->args;
	int status;
	long r;
	pid_t pid;

	/* Without a handler, which cmocka has, SIGSYS is the end. */
	if ((pid = fork()) == 0) {
		signal(SIGSYS, SIG_DFL);
		alarm(20);
		if (setresuid(SOME_UID, SOME_UID, SOME_UID) == -1 ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == -1)
			_exit(9);
		r = syscall(d->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		_exit(r == -1 && (errno == EACCES || errno == EPERM) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (status);
}

static void
compare(const struct who *who, int nr, uint64_t all)
{
	struct seccomp_data d = call_with(nr, all);
	uint32_t v = verdict(&d);
	int status = 0, good;

	/* The parent may do all the rest, and does not do it here. */
	if (v == SECCOMP_RET_ALLOW && who->promises == 0)
		return;
	/* Without arguments some of what is allowed waits for ever. */
	if ((v == SECCOMP_RET_ALLOW && all == 0) ||
	    (nr >= UPROBE_FIRST && nr <= UPROBE_LAST))
		return;
	status = really(&d);
	if (v == SECCOMP_RET_TRAP || v == SECCOMP_RET_KILL_PROCESS)
		good = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	else if (v == SECCOMP_RET_ERRNO)
		good = WIFEXITED(status) && WEXITSTATUS(status) == 1;
	else
		good = !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) &&
		       !(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
	if (!good)
		fail_msg("call %d of %s: status %x where the filter says %x",
		    nr, who->name, (unsigned)status, v);
}

static void
kernel(void **state)
{
	size_t i;
	int nr;

	(void)state;
	for (i = 0; i < nitems(whos); i++) {
		load(&whos[i]);
		for (nr = 0; nr < CALLS; nr++) {
			compare(&whos[i], nr, 0);
			compare(&whos[i], nr, UINT64_MAX);
		}
		/* The 32-bit and x32 numbers are not even looked at. */
		if (whos[i].promises != 0)
			compare(&whos[i], 0x40000000 + SYS_socket, 0);
	}
}

/* ---- the last word ------------------------------------------------------- */

static void
last_word(void **state)
{
	struct sandbox sb = sandbox_of(&whos[1]);
	struct msg_worker_refused m;
	struct msg_frame f;
	const char *why;
	int pair[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	if ((pid = fork()) == 0) {
		dup2(pair[1], MSG_FD);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
			_exit(9);
		promises_enter(&sb);
		/* Neither of them brings it round. */
		signal(SIGSYS, SIG_IGN);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	if ((pid = fork()) == 0) {
		dup2(pair[1], MSG_FD);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
			_exit(9);
		promises_enter(&sb);
		(void)syscall(SYS_ptrace, 0, 0, 0, 0);
		_exit(0);
	}
	assert_true(recv(pair[0], &f, sizeof(f), 0) == (ssize_t)f.hdr.len);
	assert_int_equal(f.hdr.type, MSG_T_WORKER_REFUSED);
	assert_int_equal(f.hdr.seq, 0);
	assert_int_equal(msg_worker_refused_read(&f, &m, &why), 0);
	assert_int_equal(m.call, SYS_ptrace);
	/* Now the parent would. */
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pair[0]);
	close(pair[1]);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(memory_at_hand),
#endif
#ifndef SANDBOX_NULL
		cmocka_unit_test(kernel),
		cmocka_unit_test(last_word),
#endif
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
