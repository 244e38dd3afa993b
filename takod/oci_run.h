/*
 * oci_run.h: one run of an OCI runtime's program: started, waited for by its
 * pidfd, ended with all that it started when it takes too long.
 */
#ifndef OCI_RUN_H
#define OCI_RUN_H

#include <event2/event.h>

#include "engine.h"
#include "network.h"

/* Where a root file system is shown to the runtime, in its own namespace. */
#define PATH_RUNTIME_ROOT "/run/takod-root"

/*
 * A user namespace for the container, made for the runtime to join. root, job:
 * ids on the host of 0 and of CONTAINER_UID in it. path: an empty file on
 * which the namespace is found, in a mount namespace of the runtime's own, as
 * rootfs is at PATH_RUNTIME_ROOT. limits: a runtime may set no limit of a
 * process in a namespace that is not its own, so they are inherited.
 */
struct oci_userns {
	const char *rootfs;
	const char *path;
	uid_t root, job;
	const struct conf_limits *limits;
};

/*
 * A network for the container: gVisor finds its namespace on the empty file
 * path, as a user namespace is found; the others are started in it. log: of
 * what fails.
 */
struct oci_network {
	struct network_slot *slot;
	const char *path, *log;
	int gvisor;
};

struct oci_run;
/* A descriptor of a runtime that was given one to hand on. */
#define OCI_RUN_KEPT 3
/* The exit status of a run whose network could not be made. */
#define OCI_RUN_NO_NETWORK 123
/* status: as wait(2) gives it; -1 when it is not known. */
typedef void (*oci_run_cb)(int status, void *arg);

/* All of it stays the caller's; a descriptor that is -1 is none. */
struct oci_run_how {
	char *const *argv; /* argv[0] is an absolute path */
	enum runtime runtime;
	int in, out;		       /* its stdin and stdout; -1: /dev/null */
	int kept;		       /* what it finds as OCI_RUN_KEPT */
	const struct oci_userns *u;    /* NULL: none */
	const struct oci_network *net; /* NULL: none */
	int group; /* directory of the v2 control group that it is born in */
};

/* NULL with errno. */
struct oci_run *oci_run_start(
    struct event_base *, const struct oci_run_how *, oci_run_cb, void *arg);
/* SIGKILL to its whole session; the callback follows. */
void oci_run_kill(struct oci_run *);
/* At the end of the engine: kills, waits, and tells nobody. */
void oci_run_drop(struct oci_run *);

#endif
