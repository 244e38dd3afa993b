/*
 * docker_network.c: networks of a Docker engine's containers. Runs in takod.
 *
 * The engine gives a container that has one no network of its own. A second
 * container, the holder, has an empty namespace and does nothing; once it is
 * up, network.c connects that namespace, and only then the container is
 * created, as one that shares it: gVisor looks for interfaces when it starts.
 *
 *	network_ask ------+
 *	holder comes up --+--> network_slot_join --> docker_post
 *
 * The holder goes after the container. Both have the instance's label, so that
 * docker_sweep finds them after a takod that was killed.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "docker_engine.h"
#include "log.h"
#include "util.h"

#define DIR_FILES     "networks" /* below data_dir */
#define FILE_HOSTS    ".hosts"	 /* after a container's name */
#define FILE_RESOLV   ".resolv.conf"
#define HOLDER_SUFFIX "-net"
#define HOLDER_MEMORY (UINT64_C(64) << 20) /* runc's own start needs most */
#define HOLDER_PIDS   1

static const char holder_ended[] = "what holds a container's network ended";

/* ---- the files ----------------------------------------------------------- */

static int
files_open(const struct engine *e)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/" DIR_FILES, e->conf->data_dir);
	if (make_dir(AT_FDCWD, path, 0711) == -1)
		return (-1);
	return (open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

static int
file_write(int dir, const char *name, const char *end, const char *text)
{
	char file[256];

	snprintf(file, sizeof(file), "%s%s", name, end);
	return (
	    write_file(dir, file, O_CREAT | O_TRUNC | O_NOFOLLOW, 0444, text));
}

static int
files_make(const struct container *c)
{
	int dir = files_open(c->e), r = -1;

	if (dir != -1 &&
	    file_write(dir, c->name, FILE_HOSTS, network_slot_hosts(c->net)) ==
		0 &&
	    file_write(
		dir, c->name, FILE_RESOLV, network_slot_resolv(c->net)) == 0)
		r = 0;
	close_fd(&dir);
	return (r);
}

static void
file_remove(int dir, const char *name, const char *end)
{
	char file[256];

	snprintf(file, sizeof(file), "%s%s", name, end);
	(void)unlinkat(dir, file, 0);
}

static void
files_remove(const struct container *c)
{
	int dir = files_open(c->e);

	file_remove(dir, c->name, FILE_HOSTS);
	file_remove(dir, c->name, FILE_RESOLV);
	close_fd(&dir);
}

/* ---- one container's network --------------------------------------------- */

static void
joined(const char *detail, void *arg)
{
	struct container *c = arg;
	char text[256];

	if (detail == NULL) {
		docker_post(c);
		return;
	}
	snprintf(
	    text, sizeof(text), "no network could be made: %.200s", detail);
	docker_make_failed(c, ENGINE_TRANSIENT, text, 0);
}

/* Both the holder and the rules are there, or not yet. */
static void
join(struct container *c)
{
	if (c->net != NULL && c->holder->state == CONTAINER_UP)
		network_slot_join(c->net, c->holder->pidfd, joined, c);
}

static void
asked(struct network_slot *slot, const char *detail, void *arg)
{
	struct container *c = arg;
	char text[512];

	c->ask = NULL;
	c->net = slot;
	if (slot == NULL) {
		snprintf(text, sizeof(text), "network_enabled: %s", detail);
		docker_make_failed(c, ENGINE_CONFIG, text, 0);
	} else if (files_make(c) == -1) {
		snprintf(text, sizeof(text), "data_dir: " DIR_FILES ": %s",
		    strerror(errno));
		docker_make_failed(c, ENGINE_TRANSIENT, text, 0);
	} else
		join(c);
}

static void
holder_made(struct container *holder, int fd, int mux, enum engine_error error,
    const char *detail, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)mux;
	if (error != ENGINE_OK) {
		c->holder = NULL;
		docker_make_failed(c, error, detail, 0);
	} else if (holder->pid <= 0)
		docker_make_failed(c, ENGINE_TRANSIENT, holder_ended, 0);
	else if (holder->pidfd == -1)
		docker_make_failed(c, ENGINE_CONFIG,
		    "network_enabled: the processes of the Docker engine's "
		    "containers are not to be seen here: it has to be on this "
		    "host, with the same /proc",
		    0);
	else
		join(c);
}

/* What shares its namespace by now keeps that. */
static void
holder_exited(struct container *holder, void *arg)
{
	struct container *c = arg;

	(void)holder;
	if (c->state == CONTAINER_MAKING && c->body != NULL)
		docker_make_failed(c, ENGINE_TRANSIENT, holder_ended, 0);
}

static void
holder_gone(enum engine_error error, const char *detail, void *arg)
{
	struct container *c = arg;

	c->holder = NULL;
	docker_remove_end(c, error, detail);
}

void
docker_network_end(struct container *c)
{
	if (c->holder->create_cb != NULL)
		docker_create_cancel(c->e, holder_gone, c);
	else
		docker_remove(c->e, c->holder, holder_gone, c);
}

void
docker_network_free(struct container *c)
{
	if (c->net != NULL)
		files_remove(c);
	network_slot_end(c->net);
}

void
docker_network_make(struct container *c, const struct container_spec *spec,
    struct docker_network_paths *paths)
{
	const char *dir = c->e->conf->data_dir;
	struct container_spec hold = {
		.name = paths->holder,
		.image = spec->image,
		.runtime = RUNTIME_RUNC,
		.memory = HOLDER_MEMORY,
		.cpus = spec->cpus,
		.pids = HOLDER_PIDS,
		.limits = spec->limits,
		.seccomp = 1,
		.caps = 1,
	};

	snprintf(
	    paths->holder, sizeof(paths->holder), "%s" HOLDER_SUFFIX, c->name);
	snprintf(paths->hosts, sizeof(paths->hosts),
	    "%s/" DIR_FILES "/%s" FILE_HOSTS, dir, c->name);
	snprintf(paths->resolv, sizeof(paths->resolv),
	    "%s/" DIR_FILES "/%s" FILE_RESOLV, dir, c->name);
	c->holder = docker_hold(
	    c->e, &hold, c->deadline, holder_made, holder_exited, c);
	c->ask = network_ask(c->e->net, &spec->network, asked, c);
}

/* ---- what can be had ----------------------------------------------------- */

void
docker_network_runtime(struct engine *e, enum runtime runtime, json_t *runtimes)
{
	const char *name = runtime_name(runtime), *arg, *value = NULL;
	json_t *args, *item;
	size_t i;

	e->runtime_without[0] = '\0';
	e->runtime_loopback = 0;
	if (runtime != RUNTIME_RUNSC)
		return;
	args = json_object_get(json_object_get(runtimes, name), "runtimeArgs");
	json_array_foreach (args, i, item) {
		arg = json_string_value(item);
		arg = arg == NULL ? "" : arg + strspn(arg, "-");
		if (strncmp(arg, "network=", 8) == 0)
			value = arg + 8;
		else if (strcmp(arg, "network") == 0)
			value = json_string_value(json_array_get(args, i + 1));
	}
	e->runtime_loopback = value == NULL || strcmp(value, "none") != 0;
	if (value != NULL &&
	    (strcmp(value, "none") == 0 || strcmp(value, "host") == 0))
		snprintf(e->runtime_without, sizeof(e->runtime_without),
		    "the Docker engine starts runsc with --network=%s: take "
		    "that out of its runtimeArgs in the engine's daemon.json "
		    "and reload the engine",
		    value);
}

const char *
docker_no_network(struct engine *e, int fresh)
{
	if (!e->may_network)
		return ("takod gave up what a network takes when it started, "
			"for no job type had network_enabled or requirements: "
			"restart it");
	if (fresh && conf_networks(e->conf))
		network_refresh(e->net);
	return (e->runtime_without[0] != '\0' ? e->runtime_without
					      : network_fault(e->net));
}

void
docker_network_facts(
    struct engine *e, struct container *c, engine_network_cb cb, void *arg)
{
	(void)e;
	network_slot_facts(c->net, cb, arg);
}

void
docker_network_reconcile(struct engine *e)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (!TAILQ_EMPTY(&e->containers) || (fd = files_open(e)) == -1)
		return;
	if ((dir = fdopendir(fd)) == NULL) {
		close_fd(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			file_remove(fd, entry->d_name, "");
	closedir(dir);
}
