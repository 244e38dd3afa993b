/*
 * oci_bundle.h: the config.json of a container, for the OCI engine.
 */
#ifndef OCI_BUNDLE_H
#define OCI_BUNDLE_H

#include <jansson.h>

#include "engine.h"
#include "gpu.h"

struct oci_bundle {
	const struct container_spec *spec;
	const char *rootfs; /* no symbolic link */
	const char *init;   /* tako-init on the host */
	const char *cgroup; /* "/takod-x/name" */
	json_t *seccomp;    /* the caller's; NULL: none */
	int filter;	    /* tako-init finds one at OCI_RUN_KEPT */
	uid_t uid_base;
	int swap;	    /* the kernel can limit swap */
	const char *userns; /* own user namespace: its file; or NULL */
	/* with a network: the file of its namespace, and the two texts */
	const char *netns, *hosts, *resolv;
	const struct gpu_nodes *gpu; /* NULL: none */
	const char *const *argv;     /* what runs; NULL: tako-init */
};

/* Writes dir/config.json. 0, or -1 with errno. */
int oci_bundle_write(int dir, const struct oci_bundle *);
/*
 * Whether there is a python3 in it, where the variable PATH of that environment
 * (NULL: the fixed one) has the job look. 0, or -1 with detail.
 */
int oci_python_check(
    const char *rootfs, const struct conf_env *, char *detail, size_t);
/*
 * Whether a root file system has what containers are mounted on. 0, or -1
 * with detail naming all that is missing.
 */
int oci_rootfs_check(const char *rootfs, int network, char *detail, size_t);

#endif
