/*
 * docker_api.h: calls of the Docker Engine API over its unix socket, on the
 * parent's loop. Each call has one deadline over all of it and a bound on its
 * answer. The version of the API is agreed on with the engine at the first
 * call, and again when the engine turns out to be another one.
 */
#ifndef DOCKER_API_H
#define DOCKER_API_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "engine.h"

/* What takod speaks: 1.40 is Engine 19.03. */
#define DOCKER_API_MIN 40
#define DOCKER_API_MAX 47

#define DOCKER_MAX_ANSWER (8 << 20) /* a list of thousands of containers */
#define DOCKER_MAX_HEAD	  65536

struct docker_api;
struct docker_call;

/* How a call ended. error is ENGINE_OK for a status below 400. */
struct docker_answer {
	enum engine_error error;
	long status;	  /* 0: no whole answer came */
	json_t *json;	  /* NULL: there was none; the callee borrows it */
	char detail[512]; /* what went wrong, one printable line */
};

typedef void (*docker_call_cb)(const struct docker_answer *, void *arg);

/*
 * host is unix:///path. NULL with detail filled when it is something else.
 * Close ends all calls without their callbacks.
 */
struct docker_api *docker_api_open(
    struct event_base *, const char *host, char *detail, size_t len);
void docker_api_close(struct docker_api *);

/*
 * Starts a call. path begins with '/' and has no version. body is taken over,
 * NULL for none. deadline_us is monotonic; 0: none, for a call that waits for
 * an event. The callback comes exactly once, from the loop, unless the call
 * is cancelled; the call is gone with it. NULL when there is no memory.
 */
struct docker_call *docker_api_call(struct docker_api *, const char *method,
    const char *path, json_t *body, int64_t deadline_us, docker_call_cb,
    void *arg);
void docker_api_cancel(struct docker_call *);

/* The socket's path, and "v1.NN": "" until a call was answered. */
const char *docker_api_socket(const struct docker_api *);
const char *docker_api_version(const struct docker_api *);

/* Now and seconds later, but not after limit_us (0: no limit). */
int64_t docker_deadline(int seconds, int64_t limit_us);

#endif
