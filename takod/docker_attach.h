/*
 * docker_attach.h: the connection that becomes a container's stdin and stdout.
 * It is a plain socket, because its descriptor is passed on to the worker.
 */
#ifndef DOCKER_ATTACH_H
#define DOCKER_ATTACH_H

#include <stdint.h>

#include <event2/event.h>

#include "engine.h"

struct docker_attach;

/*
 * fd is the stream, now the callee's, not a byte of it read; -1 on error. The
 * attach is gone when this is called.
 */
typedef void (*docker_attach_cb)(
    int fd, enum engine_error, const char *detail, void *arg);

/*
 * Attaches to the container of that id. version is "v1.NN". The callback
 * comes once, from the loop, at the latest at deadline_us (monotonic), unless
 * it is cancelled. NULL when there is no memory.
 */
struct docker_attach *docker_attach_start(struct event_base *,
    const char *socket_path, const char *version, const char *id,
    int64_t deadline_us, docker_attach_cb, void *arg);
void docker_attach_cancel(struct docker_attach *);

#endif
