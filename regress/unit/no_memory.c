/*
 * no_memory.c: what a container is asked to be, while one allocation after the
 * other fails: it is the whole of it, or the process ends. A field that is left
 * out is a wall that is not there. Row T27 of the fault catalogue.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "takod/docker_spec.h"
#include "takod/oci_bundle.h"
#include "takod/seccomp_job.h"
#include "json_memory.h"
#include "util.h"

#ifdef __SANITIZE_ADDRESS__
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif
void *REAL(malloc)(size_t);

/* Who ends in the middle of its work leaves what it has. */
const char *
__asan_default_options(void)
{
	return ("detect_leaks=0");
}

static long until_fails = -1;
static int dir = -1; /* where a bundle is written */

/* jansson has no other way to memory. */
void *
malloc(size_t size)
{
	if (until_fails >= 0 && until_fails-- == 0)
		return (NULL);
	return (REAL(malloc)(size));
}

static struct conf_limits limits = { .tmpfs_size = 1 << 20,
	.nofile_soft = 64,
	.nofile_hard = 64,
	.nproc_soft = 50,
	.nproc_hard = 50,
	.fsize = 1 << 20 };
static char *names[] = { "NAME" }, *values[] = { "value" };
static struct conf_env environment = {
	.names = names, .values = values, .n = 1
};
static char *cards[] = { "0" };
static const struct conf_gpu gpu = { .enabled = 1,
	.vendor = GPU_NVIDIA,
	.device_ids = { .items = cards, .n = 1 } };
static const struct gpu_nodes nodes = { .n = 1,
	.nodes = { { .path = "/dev/x" } } };
static struct container_spec spec = { .name = "takod-x-1",
	.image = "image",
	.runtime = RUNTIME_RUNC,
	.memory = 64 << 20,
	.cpus = 1,
	.pids = 50,
	.limits = &limits,
	.environment = &environment,
	.gpu = &gpu,
	.app = "/app",
	.code_size = 1 << 20,
	.input_size = 1 << 20,
	.output_size = 1 << 20,
	.seccomp = 1,
	.caps = 1,
	.userns = 1 };
static const char profile[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\"}";

static char *
docker(void)
{
	struct docker_spec d = { .spec = &spec,
		.instance = "x",
		.uid_base = 100000,
		.init = "/init",
		.seccomp = profile };
	json_t *body = docker_spec_json(&d);
	char *text;

	until_fails = -1;
	text = body != NULL ? json_dumps(body, JSON_SORT_KEYS) : NULL;
	json_decref(body);
	return (text);
}

static json_t *rules; /* the same, read */

static char *
oci(void)
{
	struct oci_bundle b = { .spec = &spec,
		.rootfs = "/rootfs",
		.init = "/init",
		.cgroup = "/takod-x/1",
		.seccomp = rules,
		.uid_base = 100000,
		.swap = 1,
		.userns = "/proc/self/ns/user",
		.gpu = &nodes };
	char *text = NULL;
	size_t len;
	int r;

	(void)unlinkat(dir, "config.json", 0);
	r = oci_bundle_write(dir, &b);
	until_fails = -1;
	if (r == 0)
		text = read_file(dir, "config.json", 1 << 20, &len);
	return (text);
}

static char *
seccomp(void)
{
	static struct conf conf;
	char detail[256];
	char *text = seccomp_job_json(&conf, detail, sizeof(detail));

	until_fails = -1;
	return (text);
}

/* In a process of its own: 0 all of it, 1 a clean end, else something else. */
static int
try_with(char *(*make)(void), const char *whole, long n)
{
	int status = -1;
	char *text;
	pid_t pid;

	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		close(STDERR_FILENO); /* it says so each time */
		until_fails = n;
		text = make();
		_exit(text == NULL ? 1 : strcmp(text, whole) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void
whole_or_nothing(char *(*make)(void))
{
	char *whole = make();
	int status;
	long n;

	assert_non_null(whole);
	for (n = 0; (status = try_with(make, whole, n)) == 1; n++)
		;
	if (status != 0)
		fail_msg("allocation %ld failed, and nobody saw it", n);
	assert_true(n > 50);
	free(whole);
}

static void
test_docker(void **state)
{
	(void)state;
	whole_or_nothing(docker);
}

static void
test_oci(void **state)
{
	(void)state;
	whole_or_nothing(oci);
}

static void
test_seccomp(void **state)
{
	(void)state;
	whole_or_nothing(seccomp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_docker),
		cmocka_unit_test(test_oci),
		cmocka_unit_test(test_seccomp),
	};

	const char *top = getenv("TMPDIR");
	char folder[256];
	int failed;

	json_memory_init();
	if ((rules = json_loads(profile, 0, NULL)) == NULL)
		return (1);
	snprintf(folder, sizeof(folder), "%s/no_memory.XXXXXX",
	    top != NULL ? top : "/tmp");
	if (mkdtemp(folder) == NULL ||
	    (dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return (1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlinkat(dir, "config.json", 0);
	(void)rmdir(folder);
	json_decref(rules);
	return (failed);
}
