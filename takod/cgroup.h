/*
 * cgroup.h: the control groups of containers, as the OCI engine needs them:
 * who is in one, kill them, read counters, remove it. Works with cgroup v1,
 * v2 and the hybrid of both; the runtime makes the groups and sets limits.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "engine.h"

struct cgroups;

/*
 * Finds the hierarchies that are mounted. mountinfo: the file to look into,
 * NULL for the real one. NULL with detail when there is none to be used.
 */
struct cgroups *cgroups_open(const char *mountinfo, char *detail, size_t);
void cgroups_free(struct cgroups *);
/* Whether memory and swap together can be limited. */
int cgroups_swap(const struct cgroups *);
/* Where a controller can be used, and how; NULL: nowhere. */
const char *cgroups_mount(
    const struct cgroups *, const char *controller, int *v2);

/*
 * Makes a group in the v2 hierarchy alone, for a process to be born in, and
 * returns its directory; -1 where v2 is not mounted or the group not to be
 * made.
 */
int cgroup_make(const struct cgroups *, const char *path);
/* Removes such a one, as cgroup_remove does. */
int cgroup_unmake(const struct cgroups *, const char *path);

/*
 * path is one below the hierarchies' roots: "/takod-x/name". SIGKILL to all
 * that is in it, paused or not; returns how many processes were there: 0 says
 * it is empty.
 */
unsigned cgroup_kill(const struct cgroups *, const char *path);
/* Whether all that is in it is paused. */
int cgroup_frozen(const struct cgroups *, const char *path);
/*
 * The path of a group whose own name contains word, wherever it is; -1: there
 * is none. It goes through all groups: for what happens seldom.
 */
int cgroup_find(
    const struct cgroups *, const char *word, char *path, size_t len);
/* Whether a process is in it (a hierarchy is enough). */
int cgroup_has(const char *path, pid_t);
/* Limits in force; -1: there is none, or it cannot be read. */
struct cgroup_limits {
	int64_t memory, memory_swap; /* bytes; the latter: both together */
	int64_t pids;
	int64_t quota_us, period_us; /* of all processors together */
};
void cgroup_limits(
    const struct cgroups *, const char *path, struct cgroup_limits *);
/* Fills what can be had. */
void cgroup_facts(
    const struct cgroups *, const char *path, struct container_facts *);
/* From a part of a group's share of the processors to the whole of it. */
void cgroup_hurry(const struct cgroups *, const char *path);
/* 0 when nothing of it is left; -1 with errno (EBUSY: not empty yet). */
int cgroup_remove(const struct cgroups *, const char *path);
/* Calls back for each group right below path; a name may come many times. */
void cgroup_children(const struct cgroups *, const char *path,
    void (*cb)(const char *name, void *arg), void *arg);

#endif
