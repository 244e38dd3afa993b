/*
 * oci_run.h: one run of an OCI runtime's program: started, waited for by its
 * pidfd, ended with all that it started when it takes too long.
 */
#ifndef OCI_RUN_H
#define OCI_RUN_H

#include <event2/event.h>

/* Where a root file system is shown to the runtime, in its own namespace. */
#define PATH_RUNTIME_ROOT "/run/takod-root"

struct oci_run;
/* status: as wait(2) gives it; -1 when it is not known. */
typedef void (*oci_run_cb)(int status, void *arg);

/*
 * argv[0] is an absolute path. in, out: its stdin and stdout, -1 for
 * /dev/null; stay the caller's. rootfs: bound to PATH_RUNTIME_ROOT in a mount
 * namespace of the runtime's own, or NULL for neither. group: the directory of
 * a v2 control group that it is born in, -1 for takod's own. NULL with errno.
 */
struct oci_run *oci_run_start(struct event_base *, char *const argv[], int in,
    int out, const char *rootfs, int group, oci_run_cb, void *arg);
/* SIGKILL to its whole session; the callback follows. */
void oci_run_kill(struct oci_run *);
/* At the end of the engine: kills, waits, and tells nobody. */
void oci_run_drop(struct oci_run *);

#endif
