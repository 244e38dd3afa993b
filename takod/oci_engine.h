/*
 * oci_engine.h: what the files of the OCI engine share.
 */
#ifndef OCI_ENGINE_H
#define OCI_ENGINE_H

#include <sys/queue.h>

#include <limits.h>

#include <jansson.h>

#include "cgroup.h"
#include "engine.h"
#include "oci_run.h"

enum oci_state {
	OCI_MAKING,
	OCI_RUNNING,
	OCI_EXITED,
	OCI_UNMAKING
};

struct container {
	TAILQ_ENTRY(container) entry;
	struct engine *e;
	enum oci_state state;
	enum runtime runtime;
	char name[128];
	char cgroup[256];
	char run_group[264]; /* of the runtime's own processes */
	int fd;		     /* our end of the stream, until it is handed on */
	struct oci_run *run; /* while the runtime's program runs */
	struct network_ask *ask;  /* while its network is asked for */
	struct network_slot *net; /* NULL: none */
	struct oci_start *start;  /* while its network is asked for */
	int pidfd;		  /* the first process; -1: not known */
	pid_t pid;		  /* its number, while pidfd is open */
	char image[65]; /* the key of its image; "": not one of ours */
	int filtered;	/* the system call filter was handed on */
	struct event *exit_ev;
	struct event *timer; /* deadline of making, or the next step */
	engine_create_cb create_cb;
	engine_exit_cb exit_cb;
	void *arg;

	/* unmaking */
	int64_t since; /* monotonic us */
	int64_t pause; /* us until the next step */
	int of_probe;  /* no slot waits for its end */
	int stuck;     /* something of it stays, and that was said */
	int told;
	int outside; /* somebody else had paused it when it was killed */
	enum engine_error error; /* why it was not made */
	char detail[512];
	void (*unmade)(struct container *, enum engine_error, const char *);
	engine_done_cb done_cb;
	void *done_arg;
};
TAILQ_HEAD(container_list, container);

struct engine {
	struct event_base *base;
	const struct conf *conf;
	uid_t uid_base;
	char instance[64];
	char group[96]; /* "/takod-<instance>" */
	char dir[96];	/* of the bundles */
	char init[PATH_MAX];
	json_t *seccomp; /* the profile, read once for all bundles */
	int filter;	 /* the same, as a program; -1: only as it is above */
	char profile[2 * TAKO_SHA256 + 1];
	struct cgroups *cg;
	struct network *net;
	struct container_list containers;
	struct oci_probe *probe;
	char about[256];
	char version[64]; /* of the runtime, as it said when it was probed */
	/* reconcile under way */
	unsigned left;
	engine_done_cb reconcile_cb;
	void *reconcile_arg;
};

/* ---- engine_oci.c -------------------------------------------------------- */
/* create, with another program than tako-init if argv is not NULL. */
void oci_make(struct engine *, const struct container_spec *,
    const char *const *argv, int64_t deadline_us, engine_create_cb,
    engine_exit_cb, void *arg);
void oci_remove(struct engine *, struct container *, engine_done_cb, void *);
/*
 * The runtime's program, as configured; path holds PATH_MAX bytes. -1 with
 * detail when it is not installed.
 */
int oci_program(
    const struct engine *, enum runtime, char *path, char *detail, size_t);
/* The root file system for spec (NULL: the default one), without links. */
enum engine_error oci_rootfs(const struct engine *,
    const struct container_spec *, char path[PATH_MAX], char *detail, size_t);

/* ---- oci_probe.c --------------------------------------------------------- */
void oci_probe(struct engine *, enum runtime, engine_probe_cb, void *);
void oci_probe_drop(struct engine *);

/* ---- oci_tree.c ---------------------------------------------------------- */
/* Removes a bundle and all below it. 0, or -1 with errno. */
int oci_tree_remove(int parent, const char *name);
/* The last line of a runtime's log, as far as it fits; "" if there is none. */
void oci_log_tail(const char *dir, char *buf, size_t);

#endif
