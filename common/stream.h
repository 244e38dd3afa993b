/*
 * stream.h: the frames between tako-worker and tako-init, over the container's
 * stdin and stdout. All that comes from tako-init is taken as hostile: the
 * job may have killed or replaced it. Little-endian, no alignment.
 *
 *	byte 0		type
 *	byte 1-3	tag, see stream_tag()
 *	byte 4-7	length of the payload, at most STREAM_MAX
 *
 * The shape of a job:
 *	init -> HELLO		tako-init runs
 *	worker -> LIMITS	caps for the collection, and the key
 *	init -> PRELOAD		if modules could not be imported ahead
 *	init -> READY		the interpreter waits for its code
 *	worker -> CODE* INPUT* GO	in any chunks and order, GO last
 *	init -> STARTED		the code was handed over
 *	init -> STDOUT* STDERR*	as the job writes
 *	init -> EXIT		the main process ended, all others are killed
 *	init -> FILE_BEGIN FILE_DATA* FILE_END	each regular file of /output
 *	init -> SKIPPED*	what was not sent, and why
 *	init -> DONE, end of stream
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdint.h>

#define STREAM_VERSION 1
#define STREAM_HEAD    8
#define STREAM_MAX     65536 /* of a payload */
#define STREAM_TAG     3
#define STREAM_KEY     16

enum stream_type {
	STREAM_HELLO = 1,  /* u32 version, u32 pid of init in the container */
	STREAM_LIMITS,	   /* struct stream_limits */
	STREAM_READY,	   /* - */
	STREAM_CODE,	   /* bytes */
	STREAM_INPUT,	   /* bytes */
	STREAM_GO,	   /* - */
	STREAM_STARTED,	   /* - */
	STREAM_STDOUT,	   /* bytes */
	STREAM_STDERR,	   /* bytes */
	STREAM_EXIT,	   /* struct stream_exit */
	STREAM_FILE_BEGIN, /* u64 size, then the name */
	STREAM_FILE_DATA,  /* bytes */
	STREAM_FILE_END,   /* u8: 1 when the file was read whole */
	STREAM_SKIPPED,	   /* u8 enum stream_skip, then the name */
	STREAM_DONE,	   /* - */
	STREAM_ERROR,	   /* text: the interpreter could not be started */
	STREAM_PRELOAD	   /* u32: a bit for each module not imported */
};

enum stream_skip {
	SKIP_NOT_REGULAR = 1, /* link, FIFO, socket, device, folder */
	SKIP_HIDDEN,
	SKIP_TOO_LARGE,
	SKIP_TOTAL, /* the caps of all together are reached */
	SKIP_COUNT,
	SKIP_BAD_NAME,
	SKIP_IO
};

struct stream_limits {
	uint64_t max_artifact;
	uint64_t max_total;
	uint32_t max_artifacts;
	uint32_t max_result;
	uint8_t key[STREAM_KEY]; /* zero: no tags */
};

struct stream_exit {
	uint32_t end; /* enum job_end */
	uint32_t code;
	uint64_t execution_us;
};

/*
 * Says that a frame is tako-init's. Where the stream is pipes (the Docker
 * Engine) a gVisor job can open them anew under /proc/1/fd and write there;
 * it does not know the key, which came before it, and one wrong guess breaks
 * the stream. A socket cannot be opened so: there the key is zero, and so is
 * every tag. Frames of tako-init after READY are tagged, count being how many
 * of them came before; all others have zeros.
 */
void stream_tag(uint8_t tag[STREAM_TAG], const uint8_t key[STREAM_KEY],
    uint64_t count, uint8_t type, uint32_t len);

#endif
