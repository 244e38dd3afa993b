/*
 * gpu.c: which device nodes of this host are graphics processors. Runs in
 * takod, which looks at their names and numbers and opens none.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu.h"
#include "util.h"

#define RENDER	     "dri/renderD"
#define RENDER_FIRST 128 /* the number of the first one's node */
#define TOOLKIT	     "nvidia-container-runtime-hook"

const char *gpu_folder = "/dev";

static int
add(struct gpu_nodes *found, const char *name)
{
	struct gpu_node *node;
	struct stat st;

	if (found->n == MAX_GPU_NODES) {
		errno = E2BIG;
		return (-1);
	}
	node = &found->nodes[found->n];
	if ((size_t)snprintf(node->path, sizeof(node->path), "%s/%s",
		gpu_folder, name) >= sizeof(node->path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	if (stat(node->path, &st) == -1)
		return (-1);
	if (!S_ISCHR(st.st_mode)) {
		errno = ENOTTY;
		return (-1);
	}
	node->dev = st.st_rdev;
	node->mode = st.st_mode;
	node->gid = st.st_gid;
	found->n++;
	return (0);
}

static int
need(struct gpu_nodes *found, const char *name, char *detail, size_t len)
{
	if (add(found, name) == 0)
		return (0);
	snprintf(detail, len, "%s/%s: %s", gpu_folder, name, strerror(errno));
	return (-1);
}

/* Cards by their numbers, which begin at first: those asked for, or all. */
static int
cards(const struct conf_gpu *gpu, const char *name, int first,
    struct gpu_nodes *found, char *detail, size_t len)
{
	const struct conf_list *ids = &gpu->device_ids;
	char card[64];
	size_t i, before = found->n;
	int n, want = gpu->count;

	for (i = 0; i < ids->n; i++) {
		const char *id = ids->items[i];

		if (strspn(id, "0123456789") != strlen(id) || strlen(id) > 3) {
			snprintf(detail, len,
			    "device_ids: %s: cards are known here by their "
			    "numbers, from 0 on",
			    id);
			return (-1);
		}
		snprintf(card, sizeof(card), "%s%d", name, first + atoi(id));
		if (need(found, card, detail, len) == -1)
			return (-1);
	}
	if (ids->n > 0)
		return (0);
	for (n = 0; n < MAX_GPU_NODES &&
		    (want == 0 || want > (int)(found->n - before));
	     n++) {
		snprintf(card, sizeof(card), "%s%d", name, first + n);
		(void)add(found, card);
	}
	if (found->n > before && (int)(found->n - before) >= want)
		return (0);
	snprintf(detail, len, "of %s/%s%d and so on there are %zu, not %d",
	    gpu_folder, name, first, found->n - before, want == 0 ? 1 : want);
	return (-1);
}

static int
refused(enum runtime runtime, char *detail, size_t len)
{
	if (runtime != RUNTIME_RUNSC)
		return (0);
	strlcpy(detail,
	    "gVisor (runsc), in which its jobs run, passes none on; "
	    "container_runtime: runc does, with security_mode: permissive",
	    len);
	return (1);
}

int
gpu_find(const struct conf_gpu *gpu, enum runtime runtime,
    struct gpu_nodes *found, char *detail, size_t len)
{
	found->n = 0;
	if (refused(runtime, detail, len))
		return (-1);
	if (gpu->vendor == GPU_AMD)
		return (
		    need(found, "kfd", detail, len) == -1
			? -1
			: cards(gpu, RENDER, RENDER_FIRST, found, detail, len));
	return (need(found, "nvidiactl", detail, len) == -1 ||
			need(found, "nvidia-uvm", detail, len) == -1
		    ? -1
		    : cards(gpu, "nvidia", 0, found, detail, len));
}

int
gpu_toolkit(enum runtime runtime, char *detail, size_t len)
{
	static const char *const folders[] = { "/usr/bin", "/usr/local/bin",
		"/usr/sbin", "/usr/local/sbin" };
	struct gpu_nodes found = { 0 };
	char path[128];
	size_t i;

	if (refused(runtime, detail, len) ||
	    need(&found, "nvidiactl", detail, len) == -1)
		return (-1);
	for (i = 0; i < nitems(folders); i++) {
		snprintf(path, sizeof(path), "%s/" TOOLKIT, folders[i]);
		if (access(path, X_OK) == 0)
			return (0);
	}
	strlcpy(detail,
	    TOOLKIT " is not installed, by which a Docker engine passes them "
		    "on: see to NVIDIA's container toolkit, then restart it",
	    len);
	return (-1);
}
