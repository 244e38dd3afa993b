/*
 * gpu.h: graphics processors of this host, for the engines' drivers.
 */
#ifndef GPU_H
#define GPU_H

#include <sys/types.h>

#include "conf.h"
#include "tako.h"

#define MAX_GPU_NODES 32

struct gpu_nodes {
	size_t n;
	struct gpu_node {
		char path[64]; /* on the host, and in the container */
		dev_t dev;
		mode_t mode;
		gid_t gid;
	} nodes[MAX_GPU_NODES];
};

/* Where device nodes are: a test has some of its own. */
extern const char *gpu_folder;

/*
 * The device nodes that a container needs for it under that runtime. 0, or -1
 * with detail naming what is missing.
 */
int gpu_find(const struct conf_gpu *, enum runtime, struct gpu_nodes *,
    char *detail, size_t);
/* The same, where the engine has nvidia's toolkit see to the nodes. */
int gpu_toolkit(enum runtime, char *detail, size_t);

#endif
