/*
 * pg_params.c: which hosts of a database_url have to be looked up, and that
 * what was looked up is what libpq connects to, an entry for each address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "takod/pg_conn.h"
#include "util.h"

static struct pg_params params;

static void
read_url(const char *url)
{
	assert_int_equal(pg_params_read(&params, url, "takod-test"), 0);
}

/* The value that libpq takes: the last one of that name. */
static const char *
value(const char *name)
{
	const char *found = NULL;
	int i;

	for (i = 0; params.names[i] != NULL; i++)
		if (strcmp(params.names[i], name) == 0)
			found = params.values[i];
	return (found);
}

static void
t_known(void **state)
{
	static const char *const urls[] = { "postgresql://u@127.0.0.1/d",
		"postgresql://u@[::1]:5433/d", "postgresql:///d",
		"postgresql://u@%2Fvar%2Frun/d",
		"postgresql://u@127.0.0.1,[::1]/d",
		"postgresql://u@name/d?hostaddr=127.0.0.1" };
	size_t i;

	(void)state;
	for (i = 0; i < nitems(urls); i++) {
		read_url(urls[i]);
		assert_null(params.hosts);
		assert_string_equal(value("application_name"), "takod-test");
		pg_params_free(&params);
	}
	read_url("postgresql://u@127.0.0.1,a.name/d");
	assert_string_equal(params.hosts, "127.0.0.1,a.name");
	pg_params_free(&params);
	assert_int_equal(pg_params_read(&params, "postgresql://[x", "n"), -1);
}

/* libpq would look up what stands in the environment, in the loop. */
static void
t_environment(void **state)
{
	(void)state;
	setenv("PGHOST", "a.name", 1);
	setenv("PGPORT", "7004", 1);
	read_url("postgresql:///d");
	assert_string_equal(params.hosts, "a.name");
	assert_string_equal(params.ports, "7004");
	pg_params_free(&params);
	read_url("postgresql://u@127.0.0.1/d");
	assert_null(params.hosts);
	pg_params_free(&params);
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	assert_int_equal(
	    pg_params_read(&params, "postgresql:///d?service=x", "n"), -1);
	setenv("PGSERVICE", "x", 1);
	assert_int_equal(pg_params_read(&params, "postgresql:///d", "n"), -1);
	unsetenv("PGSERVICE");
}

struct found {
	struct event_base *base;
	int answers, ok;
	char error[256];
};

static void
on_found(char *const list[3], const char *error, void *arg)
{
	struct found *f = arg;

	f->answers++;
	f->ok = list != NULL;
	if (f->ok)
		pg_params_resolved(&params, list);
	strlcpy(f->error, error, sizeof(f->error));
	event_base_loopbreak(f->base);
}

static void
look_up(struct found *f)
{
	struct pg_resolve *r;

	memset(f, 0, sizeof(*f));
	f->base = event_base_new();
	r = pg_resolve_start(f->base, params.hosts, params.ports, on_found, f);
	assert_non_null(r);
	event_base_dispatch(f->base);
	assert_int_equal(f->answers, 1);
	pg_resolve_drop(r);
	event_base_free(f->base);
}

static unsigned
entries(const char *list)
{
	unsigned n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return (n);
}

static void
t_found(void **state)
{
	struct found f;
	const char *addr;

	(void)state;
	read_url("postgresql://u@localhost:7001,10.1.2.3:7002/d");
	look_up(&f);
	assert_true(f.ok);
	addr = value("hostaddr");
	assert_true(entries(addr) >= 2);
	assert_int_equal(entries(value("host")), entries(addr));
	assert_int_equal(entries(value("port")), entries(addr));
	assert_non_null(strstr(addr, "127.0.0.1"));
	/* The one that was known stays as it was, behind. */
	assert_int_equal(addr[strlen(addr) - 1], ',');
	assert_string_equal(strrchr(value("host"), ','), ",10.1.2.3");
	assert_string_equal(strrchr(value("port"), ','), ",7002");
	assert_memory_equal(value("port"), "7001,", 5);
	/* Once more: what it was before is replaced. */
	look_up(&f);
	assert_int_equal(entries(value("host")), entries(value("hostaddr")));
	pg_params_free(&params);
	/* One port is for all. */
	read_url("postgresql://u@localhost/d?port=7003");
	look_up(&f);
	assert_true(f.ok);
	assert_memory_equal(value("port"), "7003", 4);
	pg_params_free(&params);
}

static void
t_not_found(void **state)
{
	struct found f;

	(void)state;
	/* Longer than a name may be: nobody is asked. */
	read_url("postgresql://u@"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaa/d");
	look_up(&f);
	assert_false(f.ok);
	assert_non_null(strstr(f.error, "looking up the server: "));
	pg_params_free(&params);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_known),
		cmocka_unit_test(t_environment),
		cmocka_unit_test(t_found),
		cmocka_unit_test(t_not_found),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
