/*
 * conf.c: the configuration's parts: scalars against the table that was made
 * with the libraries of 0.3, the loader's limits, what is loaded and what is
 * printed. regress/config tests the commands.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/conf/conf_int.h"
#include "log.h"
#include "regress/unit/conf_scalars.h"
#include "util.h"

static struct conf_errors errors, warnings;

/* A file with that content, by a path; *fd is to be closed. */
static const char *
file(const char *text, size_t len, int *fd)
{
	static char path[64];

	*fd = memfd_create("conf", MFD_CLOEXEC);
	assert_true(*fd >= 0);
	assert_int_equal(write_all(*fd, text, len), (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
	assert_int_equal(lseek(*fd, 0, SEEK_SET), 0);
	return (path);
}

static struct conf *
load_bytes(const char *text, size_t len)
{
	struct conf *conf;
	int fd;

	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	conf = conf_load(file(text, len, &fd), &errors, &warnings);
	close(fd);
	assert_true((conf != NULL) == (errors.n == 0));
	return (conf);
}

static struct conf *
load(const char *text)
{
	return (load_bytes(text, strlen(text)));
}

static int
has_error(unsigned line, const char *key, const char *text)
{
	size_t i;

	for (i = 0; i < errors.n; i++)
		if (errors.items[i].line == line &&
		    strcmp(key, errors.items[i].key != NULL
				    ? errors.items[i].key
				    : "") == 0 &&
		    strstr(errors.items[i].text, text) != NULL)
			return (1);
	for (i = 0; i < errors.n; i++)
		conf_error_print(stderr, &errors.items[i]);
	return (0);
}

/* ---- scalars --------------------------------------------------------------
 */

static void
check_scalar(const struct scalar *want, const struct conf_node *node)
{
	const struct conf_value *v = &node->value;
	int64_t n = 0;
	double f = 0;
	int b = -1;

	if (conf_to_bool(v, node->text, &b) == -1)
		b = -1;
	if (b != want->as_bool)
		fail_msg("%s: bool %d", want->text, b);
	if (fabs(want->as_float) < 0x1p62 &&
	    ((conf_to_int(v, node->text, &n) == 0) != want->is_int ||
		(want->is_int && n != want->as_int)))
		fail_msg("%s: int %lld", want->text, (long long)n);
	if (conf_to_float(v, node->text, &f) == -1)
		f = NONE;
	/* Beyond 2^62 and at infinity it only matters that it is refused. */
	if (!(isnan(f) && (isnan(want->as_float) || isinf(want->as_float))) &&
	    !(fabs(f) > 0x1p62 && fabs(want->as_float) > 0x1p62) &&
	    f != want->as_float)
		fail_msg("%s: float %.17g", want->text, f);
	if ((v->kind == VALUE_TEXT) != (want->as_text != NULL) ||
	    (want->as_text != NULL && strcmp(node->text, want->as_text) != 0))
		fail_msg("%s: text", want->text);
}

static void
scalar_table(void **state)
{
	struct conf conf = { 0 };
	struct conf_loading ld = { .conf = &conf, .errors = &errors };
	const struct conf_node *map, *node;
	char text[512];
	size_t i;
	int r;

	(void)state;
	assert_true(nitems(scalars) >= 400);
	for (i = 0; i < nitems(scalars); i++) {
		conf_errors_free(&errors);
		snprintf(text, sizeof(text), "v: %s\n", scalars[i].text);
		r = conf_doc_read(&ld, text, strlen(text));
		map = conf_doc_node(&ld.doc, 1);
		node =
		    r == 0 && map->n == 2
			? conf_doc_node(&ld.doc, ld.doc.nodes[map->first].next)
			: NULL;
		if (node == NULL || node->kind != NODE_SCALAR ||
		    node->value.kind == VALUE_BAD) {
			if (scalars[i].loads &&
			    (scalars[i].as_bool != -1 || scalars[i].is_int ||
				scalars[i].as_text != NULL))
				fail_msg("%s: refused", scalars[i].text);
		} else if (!scalars[i].loads) {
			/* no key takes what is left: a date, a merge */
			if (node->value.kind != VALUE_TIME &&
			    node->value.kind != VALUE_MERGE)
				fail_msg("%s: loaded", scalars[i].text);
		} else
			check_scalar(&scalars[i], node);
		conf_doc_free(&ld.doc);
	}
}

static void
byte_texts(void **state)
{
	static const struct {
		const char *text;
		int mega, result;
		uint64_t bytes;
	} rows[] = {
		{ "512m", 1, 0, 512 << 20 },
		{ "512M", 1, 0, 512 << 20 },
		{ " 1G ", 1, 0, 1 << 30 },
		{ "1 g", 1, 0, 1 << 30 },
		{ "1_024m", 1, 0, 1 << 30 },
		{ "+64m", 1, 0, 64 << 20 },
		{ "64k", 0, 0, 64 << 10 },
		{ "10485760", 0, 0, 10 << 20 },
		{ "64k", 1, -1, 0 },
		{ "10485760", 1, -1, 0 },
		{ "m", 1, -1, 0 },
		{ "", 0, -1, 0 },
		{ "1.5g", 0, -1, 0 },
		{ "1gb", 0, -1, 0 },
		{ "0x10m", 0, -1, 0 },
		{ "-1m", 0, 0, 0 },
	};
	uint64_t bytes;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(rows); i++) {
		bytes = 0;
		assert_int_equal(
		    conf_text_bytes(rows[i].text, rows[i].mega, &bytes),
		    rows[i].result);
		assert_true(bytes == rows[i].bytes);
	}
	assert_int_equal(
	    conf_text_bytes("99999999999999999999g", 0, &bytes), 0);
	assert_true(bytes > UINT64_C(1) << 60);
}

/* ---- what is loaded -------------------------------------------------------
 */

static void
defaults(void **state)
{
	const struct conf_job_type *jt;
	struct conf *conf;

	(void)state;
	conf = load("");
	assert_non_null(conf);
	assert_int_equal(conf->log_level, LOG_LEVEL_INFO);
	assert_string_equal(conf->server_host, "127.0.0.1");
	assert_int_equal(conf->server_port, 8000);
	assert_string_equal(conf->data_dir, "/tmp/conf-home/.tako_vm");
	assert_string_equal(
	    conf->database_url, "sqlite:////tmp/conf-home/.tako_vm/takod.db");
	assert_int_equal(conf->database_url_default, 1);
	assert_int_equal(conf->enable_userns, -1);
	assert_int_equal(conf->container_runtime, RUNTIME_RUNSC);
	assert_int_equal(conf->security_mode, SECURITY_STRICT);
	assert_true(conf->container_limits.tmpfs_size == 100 << 20);
	assert_int_equal(conf->api_header_timeout_ms, 10000);
	assert_int_equal(conf->warm_pool_size, -1);
	assert_int_equal(conf->n_job_types, 3);
	jt = conf_job_type(conf, "ml-inference@2");
	assert_non_null(jt);
	assert_int_equal(jt->timeout, 120);
	assert_true(jt->memory_limit == UINT64_C(2) << 30);
	assert_string_equal(jt->requirements.items[1], "scikit-learn");
	assert_int_equal(jt->warm_pool_size, -1);
	assert_null(conf_job_type(conf, "default2"));
	assert_null(conf_job_type(conf, "defaul"));
	conf_free(conf);
}

static void
job_types_replace(void **state)
{
	const struct conf_job_type *jt;
	struct conf *conf;

	(void)state;
	conf = load("max_timeout: 30\n"
		    "job_types:\n"
		    "  - name: data-processing\n"
		    "    memory_limit: 2g\n"
		    "    cpu_limit: 2.5\n"
		    "    environment: {A: \"1\", B: \"\"}\n"
		    "    gpu: {enabled: true, vendor: ' NVIDIA ', count: 2}\n");
	assert_non_null(conf);
	assert_int_equal(conf->n_job_types, 3);
	jt = conf_job_type(conf, "data-processing");
	assert_int_equal(jt->builtin, 0);
	assert_int_equal(jt->requirements.n, 0);
	assert_true(jt->memory_limit == UINT64_C(2) << 30);
	assert_true(jt->cpu_limit == 2.5);
	assert_int_equal(jt->environment.n, 2);
	assert_string_equal(jt->environment.names[1], "B");
	assert_string_equal(jt->environment.values[1], "");
	assert_int_equal(jt->gpu.vendor, GPU_NVIDIA);
	/* a built-in type may be above the ceiling, as in 0.3 */
	assert_int_equal(conf_job_type(conf, "ml-inference")->timeout, 120);
	conf_free(conf);
}

static void
merges(void **state)
{
	struct conf *conf;

	(void)state;
	conf = load("job_types:\n"
		    "  - &base {name: a, timeout: 7, memory_limit: 1g}\n"
		    "  - {<<: *base, name: b, timeout: 8}\n"
		    "  - {name: c, <<: [*base, {cpu_limit: 4, timeout: 9}]}\n");
	assert_non_null(conf);
	assert_int_equal(conf_job_type(conf, "b")->timeout, 8);
	assert_true(conf_job_type(conf, "b")->memory_limit == 1 << 30);
	assert_int_equal(conf_job_type(conf, "c")->timeout, 7);
	assert_true(conf_job_type(conf, "c")->cpu_limit == 4);
	conf_free(conf);
	assert_null(load("<<: {max_workers: 3}\n<<: {max_workers: 4}\n"));
	assert_true(has_error(2, "", "twice"));
	assert_null(load("<<: 5\n"));
	assert_true(has_error(1, "", "must name a mapping"));
	assert_null(load("\"<<\": {max_workers: 3}\n"));
	assert_true(has_error(1, "<<", "unknown key"));
}

/* Printed and loaded again, twice, it is the same but for what is masked. */
static void
prints_again(void **state)
{
	char *first = NULL, *second = NULL;
	size_t len1, len2;
	struct conf *conf;
	FILE *f;
	int json;

	(void)state;
	for (json = 0; json < 2; json++) {
		conf = load("api_auth_enabled: true\n"
			    "api_keys: [0123456789abcdef, fedcba9876543210]\n"
			    "database_url: postgresql://u:secret@h/d?password="
			    "secret&x=1\n"
			    "dependency_proxy_url: http://u:secret@proxy:1\n"
			    "retry_base_delay: 0.30000000000000004\n"
			    "api_idle_timeout: 1.25\n"
			    "server_host: \"h\\xf6st\"\n"
			    "job_types:\n"
			    "  - name: a\n"
			    "    environment: {\"x y\": \"a\\u2028\\x7f\\n"
			    "\\\"\\\\ \\U0001F600\\x85\"}\n"
			    "    shared_code: [\"a: b\"]\n");
		assert_non_null(conf);
		f = open_memstream(&first, &len1);
		assert_int_equal(
		    conf_print(f, conf, json ? CONF_PRINT_JSON : 0), 0);
		fclose(f);
		assert_null(strstr(first, "secret"));
		assert_null(strstr(first, "0123456789abcdef"));
		assert_non_null(strstr(first, "0.30000000000000004"));
		f = open_memstream(&second, &len2);
		assert_int_equal(
		    conf_print(f, conf,
			CONF_PRINT_SECRETS | (json ? CONF_PRINT_JSON : 0)),
		    0);
		fclose(f);
		assert_non_null(
		    strstr(second, "u:secret@h/d?password=secret&"));
		assert_non_null(strstr(second, "u:secret@proxy:1"));
		assert_non_null(strstr(
		    second, "[\"0123456789abcdef\", \"fedcba9876543210\"]"));
		free(second);
		conf_free(conf);
		conf = load(first);
		assert_non_null(conf);
		assert_int_equal(conf->api_idle_timeout_ms, 1250);
		assert_string_equal(conf->job_types[3].environment.values[0],
		    "a\xe2\x80\xa8\x7f\n\"\\ \xf0\x9f\x98\x80\xc2\x85");
		/* the masked keys are known to be no keys */
		assert_true(conf_key_masked(conf->api_keys[0].key));
		f = open_memstream(&second, &len2);
		assert_int_equal(conf_print(f, conf, CONF_PRINT_JSON), 0);
		fclose(f);
		if (json)
			assert_string_equal(first, second);
		conf_free(conf);
		free(first);
		free(second);
	}
}

/* ---- limits ---------------------------------------------------------------
 */

static void
repeat(FILE *f, const char *text, unsigned n)
{
	while (n-- > 0)
		fputs(text, f);
}

/* What a refused file may cost, in KiB; ASan keeps freed memory for a while. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_MEMORY (512 * 1024)
#else
#define MOST_MEMORY (64 * 1024)
#endif

static void
expect_refused(char **text, size_t *len, FILE *f, const char *why)
{
	struct rusage before, after;

	fclose(f);
	getrusage(RUSAGE_SELF, &before);
	assert_null(load_bytes(*text, *len));
	getrusage(RUSAGE_SELF, &after);
	assert_non_null(strstr(errors.items[0].text, why));
	assert_true(after.ru_utime.tv_sec - before.ru_utime.tv_sec < 5);
	assert_true(after.ru_maxrss - before.ru_maxrss < MOST_MEMORY);
	free(*text);
	*text = NULL;
}

static void
bombs(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f;
	int i;

	(void)state;
	/* ten times ten times ten ... */
	f = open_memstream(&text, &len);
	fputs("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", f);
	for (i = 1; i < 30; i++) {
		fprintf(f, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			fprintf(f, "%s*a%d", j > 0 ? ", " : "", i - 1);
		fputs("]\n", f);
	}
	expect_refused(&text, &len, f, "unknown key");
	/* where every alias is a legal list of its own */
	f = open_memstream(&text, &len);
	fputs("job_types:\n- {name: a, requirements: &r [", f);
	repeat(f, "x, ", 999);
	fputs("x]}\n", f);
	for (i = 0; i < 999; i++)
		fprintf(f, "- {name: a%d, requirements: *r}\n", i);
	expect_refused(&text, &len, f, "aliases make too much");
	f = open_memstream(&text, &len);
	fputs("job_types:\n- &a0 {name: a}\n", f);
	for (i = 1; i < 900; i++)
		fprintf(f, "- &a%d {<<: [*a%d, *a%d], name: b%d}\n", i, i - 1,
		    i - 1, i);
	expect_refused(&text, &len, f, "too deep");
	f = open_memstream(&text, &len);
	repeat(f, "[", 500000);
	expect_refused(&text, &len, f, "nested too deeply");
	f = open_memstream(&text, &len);
	fputs("api_keys: [", f);
	repeat(f, "a,", 500000);
	expect_refused(&text, &len, f, "too many values");
	f = open_memstream(&text, &len);
	for (i = 0; i < 40000; i++)
		fprintf(f, "%%TAG !%d! x\n", i);
	expect_refused(&text, &len, f, "begin with %");
	f = open_memstream(&text, &len);
	for (i = 0; i < 2000; i++)
		fprintf(f, "k%d: &k%d 1\n", i, i);
	expect_refused(&text, &len, f, "too many anchors");
	/* a mebibyte of aliases, and ten megabytes */
	f = open_memstream(&text, &len);
	fputs("api_keys: [&a x", f);
	repeat(f, ", *a", 250000);
	expect_refused(&text, &len, f, "too many values");
	f = open_memstream(&text, &len);
	fputs("api_keys: [&a x", f);
	repeat(f, ", *a", 2500000);
	expect_refused(&text, &len, f, "larger than 1 MiB");
	f = open_memstream(&text, &len);
	repeat(f, "# 4567890\n", CONF_MAX_FILE / 10 + 1);
	expect_refused(&text, &len, f, "larger than 1 MiB");
	f = open_memstream(&text, &len);
	repeat(f, "a: &a [*a]\n", 1);
	expect_refused(&text, &len, f, "contains itself");
}

/* A file of the largest size is read. */
static void
largest(void **state)
{
	struct conf *conf;
	char *text;

	(void)state;
	text = malloc(CONF_MAX_FILE);
	assert_non_null(text);
	memset(text, '#', CONF_MAX_FILE);
	memcpy(text, "max_workers: 7\n", 15);
	conf = load_bytes(text, CONF_MAX_FILE);
	assert_non_null(conf);
	assert_int_equal(conf->max_workers, 7);
	conf_free(conf);
	free(text);
}

static void
errors_bounded(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f;
	int i;

	(void)state;
	f = open_memstream(&text, &len);
	for (i = 0; i < 1000; i++)
		fprintf(f, "k%d: 1\n", i);
	fclose(f);
	assert_null(load_bytes(text, len));
	assert_int_equal(errors.n, CONF_MAX_ERRORS + 1);
	assert_non_null(strstr(errors.items[CONF_MAX_ERRORS].text, "more"));
	assert_int_equal(errors.items[99].line, 100);
	free(text);
}

static void
strange_bytes(void **state)
{
	struct conf *conf;

	(void)state;
	assert_null(load_bytes("max_workers: 3\na\x00: 1\n", 22));
	assert_int_equal(errors.items[0].line, 2);
	assert_null(load("server_host: \"a\\0b\"\n"));
	assert_true(has_error(1, "server_host", "NUL"));
	assert_null(load("max_workers: 3\n# \xff\n"));
	assert_int_equal(errors.items[0].line, 2);
	assert_int_equal(errors.items[0].column, 3);
	assert_null(load_bytes("\xff\xfem\0a\0x\0", 8));
	conf = load("\xef\xbb\xbfmax_workers: 3\n");
	assert_non_null(conf);
	assert_int_equal(conf->max_workers, 3);
	conf_free(conf);
	/* what is wrong comes back without its value, keys escaped and cut */
	assert_null(load("\"\\e[31msecret\\n\": hunter2\nmax_workers: hunter2\n"
			 "job_types: [{name: hunter2 hunter2}]\n"
			 "container_runtime: hunter2\n"));
	for (size_t i = 0; i < errors.n; i++) {
		assert_null(strstr(errors.items[i].text, "hunter2"));
		assert_null(strchr(errors.items[i].key, '\033'));
		assert_null(strchr(errors.items[i].key, '\n'));
	}
	assert_int_equal(errors.n, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalar_table),
		cmocka_unit_test(byte_texts),
		cmocka_unit_test(defaults),
		cmocka_unit_test(job_types_replace),
		cmocka_unit_test(merges),
		cmocka_unit_test(prints_again),
		cmocka_unit_test(bombs),
		cmocka_unit_test(largest),
		cmocka_unit_test(errors_bounded),
		cmocka_unit_test(strange_bytes),
	};
	const struct conf_key *key;

	for (key = conf_keys; key->name != NULL; key++)
		if (key->env != NULL)
			unsetenv(key->env);
	unsetenv("XDG_DATA_HOME");
	setenv("HOME", "/tmp/conf-home", 1);
	log_init("conf", LOG_LEVEL_ERROR, 0);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
