/*
 * engine.h: what makes, kills and removes containers. Two drivers, each a
 * table of functions: engine_oci.c runs an OCI runtime, engine_docker.c speaks
 * the Engine API. Nothing outside the drivers knows which is in use.
 *
 * All of it runs in takod's loop and never blocks it for longer than a fork
 * or a write to a cgroup file takes: longer work is a child process or a
 * transfer, and ends in a callback. A callback is never called from within the
 * call that starts the work. No call parses a byte that a job wrote.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "conf.h"
#include "tako.h"

/*
 * What takods of the host have there: the claims of their ids, which outlive
 * them, and the OCI engine's folders, which do not.
 */
#define PATH_RUN "/run/takod"

struct engine;
struct container; /* driver's own; handed back as it was given */

enum engine_kind {
	ENGINE_OCI,
	ENGINE_DOCKER
};

/* Why the engine could not do it. */
enum engine_error {
	ENGINE_OK,
	ENGINE_AWAY,	  /* not reachable or broken; worth another try */
	ENGINE_TRANSIENT, /* this one failed; worth another try */
	ENGINE_NO_IMAGE,  /* the text says the command that makes it */
	ENGINE_CONFIG,	  /* cannot work until somebody mends something */
	ENGINE_DEADLINE	  /* no answer in time */
};

enum network_kind {
	NETWORK_NONE,	/* lo alone */
	NETWORK_PUBLIC, /* addresses that are public, by TCP and UDP */
	NETWORK_HOSTS	/* the hosts alone, by TCP */
};

struct network_policy {
	enum network_kind kind;
	const struct conf_list *hosts; /* as allowed_hosts has them */
};

/*
 * What a container is to be: derived by pool.c from the configuration alone.
 * All of it is copied by create.
 */
struct container_spec {
	const char *name;  /* takod-<instance>-<serial>: unique */
	const char *image; /* Docker: name; OCI: rootfs path or NULL */
	enum runtime runtime;
	int slot;	 /* index: picks the uid range */
	uint64_t memory; /* bytes; swap is none */
	double cpus;
	int pids; /* the job's; the driver adds headroom */
	const struct conf_limits *limits;
	const struct conf_env *environment;
	const char *preload;  /* modules, with a comma between; NULL: none */
	const char *app;      /* host folder to mount at /app; NULL: none */
	const char *layer;    /* of packages, likewise; NULL: none */
	uint64_t code_size;   /* bytes of the /code tmpfs */
	uint64_t input_size;  /* of /input */
	uint64_t output_size; /* of /output */
	int ahead;	      /* nobody waits: it gives way until hurry */
	struct network_policy network;
	const struct conf_gpu *gpu; /* NULL: none */
	int seccomp, caps, userns;  /* the enable_ switches */
};

/*
 * Bytes of a core. A program that core_pattern names gets one whatever the
 * limit is, but for a limit of 1; and no file is that small.
 */
#define CORE_LIMIT 1
/* Where tako-init is mounted, read-only, in every container. */
#define PATH_CONTAINER_INIT "/.tako/init"
/* Where its packages are. */
#define PATH_CONTAINER_LAYER "/.tako/packages"
/* Where a job finds what its type shares: the module and its folder. */
#define PYTHONPATH	  "PYTHONPATH="
#define PYTHONPATH_SHARED "/app/shared_code:/app"
/*
 * What of /proc and /sys a job finds empty, for it tells about the host, and
 * what it finds read-only, for it sets the host. Without namespaces of their
 * own; what the kernel does not have is passed over.
 */
#define MASKED_PATHS                                                           \
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms",    \
	    "/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/latency_stats",  \
	    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",             \
	    "/proc/timer_stats", "/sys/devices/virtual/powercap",              \
	    "/sys/firmware"
#define READONLY_PATHS                                                         \
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
/* Inside a container a job has these ids (Docker with runc: see the driver). */
#define CONTAINER_UID 1000
#define CONTAINER_GID 1000

/*
 * Ids on the host: a takod owns IDS_PER_TAKOD from its base on (priv.c says
 * how the base is chosen): tako-api, then a worker per slot; the one that
 * takes records apart into words, the one of containers' networks, those that
 * unpack layers; then two per slot for containers (root of a user namespace,
 * and the job).
 */
#define IDS_PER_TAKOD		 1024
#define ID_API(base)		 (base)
#define ID_WORKER(base, s)	 ((base) + 1 + (uid_t)(s))
#define ID_UNPACK(base)		 ((base) + 253)
#define ID_NETWORK(base)	 ((base) + 254)
#define ID_WORDS(base)		 ((base) + 255)
#define ID_SANDBOX_ROOT(base, s) ((base) + 256 + 2 * (uid_t)(s))
#define ID_SANDBOX_JOB(base, s)	 ((base) + 257 + 2 * (uid_t)(s))

/* Facts that a job cannot forge; -1 where the counter is not to be had. */
struct container_facts {
	int64_t oom_kills;
	int64_t memory_peak; /* bytes */
	int64_t cpu_us;
	int outside; /* someone but takod or the job paused or ended it */
};

/* What was found out about the runtime by running it. */
struct engine_probe {
	enum engine_error error;
	enum runtime runtime;
	char version[64]; /* of the runtime, as it says */
	char kernel[128]; /* as a job sees it: proof of gVisor */
	char detail[512]; /* what failed and the mend */
};

typedef void (*engine_probe_cb)(const struct engine_probe *, void *arg);
/*
 * A container runs and its stream is open (a socket, both ways, now the
 * callee's); mux says whether it has Docker's 8-byte heads. On error c is
 * NULL, fd -1, and nothing is left to remove.
 */
typedef void (*engine_create_cb)(struct container *c, int fd, int mux,
    enum engine_error, const char *detail, void *arg);
/* The container's first process is gone (told once, before remove). */
typedef void (*engine_exit_cb)(struct container *, void *arg);
typedef void (*engine_done_cb)(
    enum engine_error, const char *detail, void *arg);

typedef void (*engine_network_cb)(json_t *, void *arg);

struct engine_ops {
	const char *name;
	/*
	 * Opens the driver: no work yet. instance names this takod among
	 * others on the host (labels, cgroups, container names). NULL with
	 * detail filled when the configuration cannot work.
	 */
	struct engine *(*open)(struct event_base *, const struct conf *,
	    const char *instance, uid_t uid_base, char *detail, size_t);
	void (*close)(struct engine *);
	/* Is the engine there, and does the runtime really run a container? */
	void (*probe)(struct engine *, enum runtime, engine_probe_cb, void *);
	/* Cheap: does the engine answer? Called every few seconds. */
	void (*ping)(struct engine *, engine_done_cb, void *);
	/* Makes and starts; gives up at deadline_us (monotonic). */
	void (*create)(struct engine *, const struct container_spec *,
	    int64_t deadline_us, engine_create_cb, engine_exit_cb, void *arg);
	/*
	 * Gives up a create under way, the one that arg was given to: its
	 * callback is not called, and what was made is removed, of which
	 * engine_done_cb tells as it does for remove, with the same arg.
	 */
	void (*create_cancel)(struct engine *, engine_done_cb, void *arg);
	/* One that was made ahead gives way no more. NULL: none ever does. */
	void (*hurry)(struct engine *, struct container *);
	/* SIGKILL to all of it; may be called again. exit_cb follows. */
	void (*kill)(struct engine *, struct container *);
	/* Counters of the container now: dead or alive, before remove. */
	int (*facts)(
	    struct engine *, struct container *, struct container_facts *);
	/*
	 * Finds out who ended a container whose first process is gone: then
	 * facts says so. Not called back once it is removed. NULL: no such
	 * engine could know.
	 */
	void (*inquire)(
	    struct engine *, struct container *, engine_done_cb, void *);
	/*
	 * Why containers can have no network now; NULL: they can, as far as is
	 * known. fresh: the configuration has changed.
	 */
	const char *(*no_network)(struct engine *, int fresh);
	/*
	 * Can containers have those graphics processors? Looks at this host:
	 * 0, or -1 with detail naming what is missing.
	 */
	int (*gpu)(struct engine *, const struct conf_gpu *, enum runtime,
	    char *detail, size_t);
	/*
	 * Tells what a container's network was and what it refused, once; not
	 * called back after remove. The object is the callee's; NULL: it is
	 * not known.
	 */
	void (*network)(
	    struct engine *, struct container *, engine_network_cb, void *);
	/*
	 * What a container is under, as the engine and the kernel show it now:
	 * a new object, the caller's, in which null is what cannot be read;
	 * NULL: nothing can. Asked once, before a job comes.
	 */
	json_t *(*proof)(struct engine *, struct container *);
	/*
	 * Kills if need be and removes all that was made. The callback comes
	 * when nothing of it is left: until then the driver goes on trying,
	 * and the log says what is in the way. c is gone from now on.
	 */
	void (*remove)(
	    struct engine *, struct container *, engine_done_cb, void *);
	/*
	 * Removes every container of this instance that this life did not
	 * make: left over from one that was killed.
	 */
	void (*reconcile)(struct engine *, engine_done_cb, void *);
	/*
	 * Is that image there to make containers of? As ping, never dear; if
	 * so, detail is what tells it from another one, 64 hex digits.
	 */
	void (*image)(
	    struct engine *, const char *image, engine_done_cb, void *);
	/* For the log, takoctl and records: kept current by probe. */
	const char *(*describe)(struct engine *);
};

extern const struct engine_ops engine_oci, engine_docker;

/* ---- engine_choose.c ------------------------------------------------------
 */
/* The configured one; auto: Docker if its socket answers, else OCI. */
const struct engine_ops *engine_choose(const struct conf *);
/* Whether a probe of runtime that ended so is followed by one of runc. */
int engine_falls_back(const struct conf *, enum runtime, enum engine_error);
/* CORE_LIMIT; 0 where this process may not give as much. */
uint64_t engine_core_limit(void);
/* What to do when strict mode finds no gVisor. */
extern const char engine_how_to_install[];

/* Seconds a call of the engine may take before it counts as hung. */
#define ENGINE_CALL_TIMEOUT 20

#endif
