/*
 * reload.c: the configuration taken anew while takod runs (SIGHUP, takoctl
 * reload). A file that is not valid, or cannot be acted upon, changes nothing.
 * What runs goes on with what it began with; the slots that wait for a job are
 * made anew. Memory for the parsing is bounded as at the start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "takod.h"
#include "util.h"

static const char *named; /* by -c; NULL: searched */

void
reload_init(const char *path)
{
	named = path;
}

static void
report_log(const struct reload *r)
{
	const struct conf_error *e;
	size_t i;

	for (i = 0; i < r->errors.n; i++) {
		e = &r->errors.items[i];
		log_warnx("reload: %s:%u:%u: %s%s%s",
		    e->file != NULL ? e->file : "", e->line, e->column,
		    e->key != NULL ? e->key : "", e->key != NULL ? ": " : "",
		    e->text);
	}
	for (i = 0; i < r->n_changes && r->detail[0] == '\0'; i++)
		log_info("reload: %s: %s%s%s%s", r->changes[i].key,
		    r->changes[i].restart ? "needs a restart"
					  : r->changes[i].before,
		    r->changes[i].restart ? "" : " -> ",
		    r->changes[i].restart ? "" : r->changes[i].after, "");
	if (r->detail[0] != '\0')
		log_warnx("reload: %s", r->detail);
	else if (r->n_changes == 0)
		log_info("reload: nothing has changed");
}

static int
changed(const struct reload *r, const char *key)
{
	size_t i;

	for (i = 0; i < r->n_changes; i++)
		if (strcmp(r->changes[i].key, key) == 0)
			return (1);
	return (0);
}

/* Exchanges all of it: whoever holds env.conf goes on holding it. */
static void
conf_swap(struct conf *a, struct conf *b)
{
	struct conf copy = *a;

	*a = *b;
	*b = copy;
}

/* Files that have changed stand among the changes of keys. */
static void
change_of_files(struct reload *r, const char *key)
{
	struct conf_change *c;

	c = reallocarray(r->changes, r->n_changes + 1, sizeof(*c));
	if (c == NULL)
		fatal(NULL);
	r->changes = c;
	c += r->n_changes++;
	c->key = key;
	c->before = xstrdup("\"files as they were\"");
	c->after = xstrdup("\"files as they are\"");
	c->restart = 0;
}

/* fresh becomes the running one, which is left in it. */
static int
apply(struct reload *r, struct conf *fresh)
{
	char again[512];
	int listen = changed(r, "server_host") || changed(r, "server_port") ||
		     changed(r, "server_listen") ||
		     changed(r, "tls_certificate_file");

	if (changed(r, "shared_code") &&
	    shared_code_take(fresh, r->detail, sizeof(r->detail)) == -1)
		return (-1);
	conf_keep_fixed(fresh, env.conf);
	conf_swap(env.conf, fresh);
	if (listen && listen_again(r->detail, sizeof(r->detail)) == -1)
		goto back;
	if (admit_open(r->detail, sizeof(r->detail)) == -1) {
		if (listen)
			listen_back();
		goto back;
	}
	if (listen)
		listen_keep();
	tls_keep();
	if (changed(r, "log_level"))
		proc_log_level((enum log_level)env.conf->log_level);
	if (changed(r, "shared_code"))
		shared_code_keep();
	proc_api_setup();
	tenants_apply();
	(void)env.engine_ops->no_network(env.engine, 1);
	warm_forget();
	pool_retire();
	pool_fill();
	queue_kick();
	if (changed(r, "execution_record_ttl_days"))
		retain_begin();
	if (changed(r, "dlq_ttl_days"))
		letters_sweep();
	return (0);
back:
	if (changed(r, "shared_code"))
		shared_code_drop();
	conf_swap(env.conf, fresh);
	conf_keep_fixed(fresh, env.conf);
	/* Of the old configuration it succeeded before. */
	(void)admit_open(again, sizeof(again));
	return (-1);
}

int
reload_run(struct reload *r, int dry)
{
	struct conf_errors warnings;
	struct conf *fresh;
	size_t i, live = 0;
	int files = 0, pair = 0;

	memset(r, 0, sizeof(*r));
	if (env.stopping || takod_stopping()) {
		snprintf(r->detail, sizeof(r->detail), "takod is stopping");
		report_log(r);
		return (-1);
	}
	fresh = conf_load(named, &r->errors, &warnings);
	conf_errors_free(&warnings);
	if (fresh != NULL)
		conf_forget_keys(fresh);
	if (fresh == NULL)
		snprintf(r->detail, sizeof(r->detail),
		    "the configuration is not valid, nothing has changed");
	else
		r->n_changes = conf_changes(env.conf, fresh, &r->changes);
	if (fresh != NULL && (files = shared_code_changed(
				  fresh, r->detail, sizeof(r->detail))) == 1)
		change_of_files(r, "shared_code");
	if (fresh != NULL && files != -1 &&
	    (pair = tls_take(fresh, r->detail, sizeof(r->detail))) == 1)
		change_of_files(r, "tls_certificate_file");
	for (i = 0; i < r->n_changes; i++)
		live += !r->changes[i].restart;
	if (live > 0 && !dry && files != -1 && pair != -1)
		apply(r, fresh);
	tls_drop();
	conf_free(fresh);
	if (!dry)
		report_log(r);
	return (r->detail[0] != '\0' ? -1 : 0);
}

void
reload_free(struct reload *r)
{
	conf_errors_free(&r->errors);
	conf_changes_free(r->changes, r->n_changes);
}
