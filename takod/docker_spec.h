/*
 * docker_spec.h: what a container is asked to be, in the words of the Docker
 * Engine API. No side effects: a test compares it with what it should be.
 */
#ifndef DOCKER_SPEC_H
#define DOCKER_SPEC_H

#include <sys/types.h>

#include <jansson.h>

#include "engine.h"
#include "gpu.h"

#define LABEL_INSTANCE "takod.instance"
#define LABEL_NAME     "takod.name"

struct docker_spec {
	const struct container_spec *spec;
	const char *instance;
	uid_t uid_base;
	const char *init;    /* tako-init's path on the engine's host */
	const char *seccomp; /* profile as JSON text; NULL: the engine's */
	const struct gpu_nodes *gpu; /* to hand in by name; NULL: none */
	const char *probe[4];	     /* this command in place of tako-init */
	int loopback;		     /* the engine has to bring that up */
	int holder; /* it only has a network namespace, for another one */
	/*
	 * The name of the one whose network it has, and the files that it finds
	 * as /etc/hosts and /etc/resolv.conf; NULL: no network.
	 */
	const char *network, *hosts, *resolv;
};

/* The body of POST /containers/create; NULL when there is no memory. */
json_t *docker_spec_json(const struct docker_spec *);

#endif
