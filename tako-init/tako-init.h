/*
 * tako-init.h: PID 1 of a container. It is static and keeps to system calls
 * and the plainest parts of libc, so that it runs in any image.
 */
#ifndef TAKO_INIT_H
#define TAKO_INIT_H

#include <stddef.h>
#include <stdint.h>

#include "stream.h"

#define WIRE_IN	 0 /* the worker's frames come here, ours go out there; */
#define WIRE_OUT 1 /* both may be one socket */

/* wire.c: frames to and from the worker */

/* A frame came: its payload stays valid during the call. */
typedef void (*wire_frame_cb)(unsigned type, const uint8_t *, size_t len);

/* Makes both descriptors non-blocking. */
void wire_init(void);
/* Takes what can be read now; ends the process when the worker is gone. */
void wire_read(wire_frame_cb);
/* From now on frames bear tags of that key, which stays where it is. */
void wire_tag(const uint8_t key[STREAM_KEY]);
/* Queues a frame, waiting for room if need be. */
void wire_send(unsigned type, const void *head, size_t head_len,
    const void *data, size_t len);
/*
 * Queues a frame of what can be read from fd now, at most max bytes and one
 * frame. Returns the bytes read, 0 at the end of file, -1 with errno (EAGAIN,
 * or ENOBUFS: there is no room in the queue).
 */
long wire_send_from(unsigned type, int fd, size_t max);
/* Is there room for another wire_send_from? */
int wire_room(void);
/* Writes what is queued as far as the worker takes it. Is all written? */
int wire_flush(void);
/* Waits until the queue has room for wire_send_from, or is empty. */
void wire_wait_room(void);
void wire_wait_empty(void);
/* Waits until the worker is gone. */
void wire_wait_gone(void);
/* Says why nothing can be run, and ends the process. */
void wire_fail(const char *what, const char *detail) __attribute__((noreturn));

/* preload.c: what the interpreter imports before it has any code */

/* names: modules, with a comma between them. Before the interpreter starts. */
void preload_begin(const char *names);
/* Removes all of it; a bit for each module that could not be imported. */
uint32_t preload_end(const char *names);

/* collect.c: what the job left in /output */

void collect(const struct stream_limits *);

#endif
