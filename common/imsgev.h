/*
 * imsgev.h: a channel of frames over a SOCK_SEQPACKET socket on libevent.
 * It sends and receives struct msg_frame, checks head, sender, sequence and
 * descriptor against the catalogue, and bounds what may wait to be sent.
 * The fields of a frame are checked by msg_read() in the handler.
 */
#ifndef IMSGEV_H
#define IMSGEV_H

#include <stdint.h>

#include <event2/event.h>

#include "msg.h"

struct imsgev;

/*
 * A frame came. fd is the descriptor that came along (-1 for none, or for want
 * of one here: takod's children are not ended for that) and is
 * the handler's: it must close or keep it. Returns 0, or -1 for a violation
 * (the handler said why by imsgev_violation).
 */
typedef int (*imsgev_frame_cb)(
    struct imsgev *, const struct msg_frame *, int fd, void *arg);
/*
 * The channel ended: why is NULL when the peer closed it, else what the peer
 * did wrong or what failed. Called once; the callee calls imsgev_free.
 */
typedef void (*imsgev_end_cb)(struct imsgev *, const char *why, void *arg);

/* Bounds of what waits to be sent to a peer that does not read. */
#define IMSGEV_MAX_QUEUED 1024

/*
 * Takes fd over. from: the sender whose types are taken. max: longest frame
 * taken, at most MSG_MAX_FRAME. NULL when there is no memory.
 */
struct imsgev *imsgev_new(struct event_base *, int fd, enum msg_sender from,
    uint32_t max, imsgev_frame_cb, imsgev_end_cb, void *arg);
void imsgev_free(struct imsgev *); /* closes; what waits is dropped */

/*
 * Sends a packed frame, now or when the peer reads. sendfd is not taken over;
 * it is duplicated when the frame has to wait. -1 with errno: ENOBUFS when the
 * queue is full (a slow peer; the caller decides), EPIPE when it is gone.
 */
int imsgev_send(struct imsgev *, struct msg_frame *, int sendfd);
/* Packs and sends; a pack failure is a bug and fatal in children. */
int imsgev_compose(
    struct imsgev *, uint32_t type, uint32_t id, const void *, int sendfd);
/* Records why a handler returns -1; constant or static text. */
void imsgev_violation(struct imsgev *, const char *why);
/* Frames waiting to be sent. */
unsigned imsgev_queued(const struct imsgev *);
/* Stop and go on taking frames (the parent paces a busy child). */
void imsgev_pause(struct imsgev *);
void imsgev_resume(struct imsgev *);

#endif
