/*
 * docker_engine.h: what the files of the Docker driver share. Nobody else
 * includes this: the rest of takod knows engine.h.
 */
#ifndef DOCKER_ENGINE_H
#define DOCKER_ENGINE_H

#include <sys/queue.h>

#include "docker_api.h"
#include "docker_attach.h"
#include "engine.h"
#include "network.h"

#define DOCKER_ID 64 /* hex digits */

struct cgroups;
struct engine;
struct sweep;

enum container_state {
	CONTAINER_MAKING,
	CONTAINER_UP,
	CONTAINER_ENDED,
	CONTAINER_REMOVING
};

struct container {
	TAILQ_ENTRY(container) entry;
	struct engine *e;
	enum container_state state;
	char name[128];
	char id[DOCKER_ID + 1];	  /* "" until the engine said it */
	struct docker_call *call; /* the next step of its life */
	struct docker_call *kill_call;
	struct docker_attach *attach;
	int fd;		      /* the stream, until it is handed over */
	int pidfd;	      /* its first process; -1: not on this host */
	struct event *exited; /* on pidfd */
	struct event *later;  /* a step to try again */
	int64_t deadline;     /* of making, then of removing it */
	engine_create_cb create_cb; /* NULL once told, or given up */
	enum engine_error error;    /* why it was not made */
	char detail[512];
	engine_exit_cb exit_cb;
	void *arg;
	engine_done_cb done_cb;
	void *done_arg;
	char group[512];      /* its control group; "": not seen */
	pid_t pid;	      /* its first process, while pidfd is open */
	char image[80];	      /* the image's id; "": not said */
	char profile[65];     /* digest of its system call filter, or "" */
	enum runtime runtime; /* as the engine says */
	struct sweep *sweep;  /* that removes it */
	/* With a network (docker_network.c); NULL: none, or not yet. */
	json_t *body; /* to create it with, once that is there */
	struct network_ask *ask;
	struct network_slot *net;
	struct container *holder; /* whose namespace it shares */
	int holds;		  /* it is such a one */
	int of_probe;		  /* no slot waits for its end */
	int killed;		  /* takod wants its end, in whatever way */
	int stuck;		  /* its removal failed, and that was said */
	int outside;		  /* somebody else paused or ended it */
	engine_done_cb inquired;
	void *inquired_arg;
	struct container_facts facts;
};

/* A question to the engine that is under way: ping, sweep, probe. */
struct ask {
	TAILQ_ENTRY(ask) entry;
	struct engine *e;
	void (*free)(struct ask *);
};

struct engine {
	struct event_base *base;
	const struct conf *conf;
	char instance[64];
	uid_t uid_base;
	struct docker_api *api;
	struct cgroups *cgroups; /* NULL: there are none to be read */
	char init[4096];	 /* tako-init's path */
	char *seccomp;		 /* JSON text; NULL: the engine's own */
	char about[192];
	char version[64]; /* of the engine, as it said when it was probed */
	struct network *net;
	int may_network;	   /* takod has what that takes */
	char runtime_without[256]; /* why its runtime has no network; "" */
	int runtime_loopback;	   /* it brings none up */
	int remapped; /* containers are in a user namespace (userns-remap) */
	/*
	 * How many more times to look for containers that nobody knows: set
	 * when the outcome of a call is not known, or a removal failed.
	 */
	int sweeps_due;
	int sweeping;
	unsigned probes;
	TAILQ_HEAD(, container) containers;
	TAILQ_HEAD(, ask) asks;
};

/* engine_docker.c */
void docker_make(struct engine *, const struct container_spec *,
    const char *const probe[4], int64_t deadline_us, engine_create_cb,
    engine_exit_cb, void *arg);
/* One that only has a network namespace. */
struct container *docker_hold(struct engine *, const struct container_spec *,
    int64_t deadline_us, engine_create_cb, engine_exit_cb, void *arg);
/* Its network is there: it is created. */
void docker_post(struct container *);
/* made: it may be there, and has to go. */
void docker_make_failed(
    struct container *, enum engine_error, const char *detail, int made);
void docker_create_cancel(struct engine *, engine_done_cb, void *arg);
void docker_remove(struct engine *, struct container *, engine_done_cb, void *);
/* The engine has it no more, or cannot be brought to that. */
void docker_remove_end(
    struct container *, enum engine_error, const char *detail);
void docker_sweep(struct engine *, engine_done_cb, void *);

/* docker_ask.c */
void docker_ask_add(
    struct engine *, struct ask *, void (*free_fn)(struct ask *));
void docker_ask_end(struct ask *);
void docker_ask_free(struct ask *); /* of one that is free(3)'s */
int docker_id_valid(const char *);
void docker_ping(struct engine *, engine_done_cb, void *);
void docker_image(struct engine *, const char *, engine_done_cb, void *);

/* docker_network.c */
struct docker_network_paths {
	char holder[160], hosts[4096], resolv[4096];
};
/* Begins to make it; docker_post follows. Fills in where it will be. */
void docker_network_make(struct container *, const struct container_spec *,
    struct docker_network_paths *);
/* Has the holder removed, then calls docker_remove_end again. */
void docker_network_end(struct container *);
void docker_network_free(struct container *);
/* What the engine says of a runtime that was asked for. */
void docker_network_runtime(struct engine *, enum runtime, json_t *runtimes);
const char *docker_no_network(struct engine *, int fresh);
void docker_network_facts(
    struct engine *, struct container *, engine_network_cb, void *);
/* Of a former life nothing is needed. */
void docker_network_reconcile(struct engine *);

/* docker_probe.c */
void docker_probe(struct engine *, enum runtime, engine_probe_cb, void *arg);

/* docker_facts.c */
/*
 * The control group that pid is in, if it is the container's own: its id is in
 * the name. -1: it is not, or control groups cannot be seen from here.
 */
int docker_group(pid_t pid, const char *id, char *group, size_t len);
/* Reads the counters; -1, and no change, when the group is not there. */
int docker_facts_read(
    const struct cgroups *, const char *group, struct container_facts *);

#endif
