/*
 * tako-worker.h: the process that serves one job: it takes the stream of its
 * container apart, which is hostile, and tells the parent what came, within
 * caps. No part of it but main.c knows of the parent.
 */
#ifndef TAKO_WORKER_H
#define TAKO_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "stream.h"
#include "tako.h"

#define RESULT_NAME "result.json"

/* ---- stream.c: frames of tako-init, checked ------------------------------ */

struct stream_caps {
	uint64_t max_artifact; /* bytes of a file */
	uint64_t max_result;   /* bytes of result.json */
	uint64_t max_total;    /* bytes of all files */
	uint32_t max_artifacts;
	uint8_t key[STREAM_KEY];
};

enum stream_state {
	STREAM_AT_HELLO,
	STREAM_AT_BOOT,	 /* HELLO came, READY is due */
	STREAM_AT_READY, /* nothing is due before our GO */
	STREAM_AT_GO,	 /* GO was sent, STARTED is due */
	STREAM_AT_RUN,
	STREAM_AT_FILES, /* EXIT came */
	STREAM_AT_FILE,	 /* between FILE_BEGIN and FILE_END */
	STREAM_AT_DONE,
	STREAM_BROKEN
};

/*
 * A frame that is in order and within the caps. Its payload is valid during
 * the call, which must not feed the stream.
 */
typedef void (*stream_frame_cb)(
    void *arg, enum stream_type, const uint8_t *payload, size_t len);

struct stream;

/* mux: bytes come under Docker's 8-byte heads. NULL: no memory. */
struct stream *stream_new(
    const struct stream_caps *, int mux, stream_frame_cb, void *arg);
void stream_free(struct stream *);
/* Bytes of the container. 0, or -1 when they are illegal: BROKEN for good. */
int stream_feed(struct stream *, const void *, size_t);
/* GO was sent. */
void stream_went(struct stream *);
enum stream_state stream_state(const struct stream *);
/* Why it is BROKEN: constant text. */
const char *stream_why(const struct stream *);
/* Fields of payloads that stream_feed let through. */
struct stream_exit stream_exit_read(const uint8_t *payload);
uint64_t stream_size_read(const uint8_t *payload);
uint32_t stream_bits_read(const uint8_t *payload);

/* ---- handover.c: what tako-init is sent ---------------------------------- */

struct handover;

/* fd: of the stream, non-blocking, not taken over. NULL: no memory. */
struct handover *handover_new(int fd);
void handover_free(struct handover *);
void handover_limits(struct handover *, const struct stream_limits *);
/*
 * The job: a sealed memfd with code, then input. Takes memfd over. -1 when it
 * cannot be mapped.
 */
int handover_job(struct handover *, int memfd, size_t code, size_t input);
/* Sends what the stream takes. 1: all is sent, 0: not yet, -1: broken. */
int handover_send(struct handover *);

/* ---- output.c: stdout and stderr ----------------------------------------- */

struct output_text;

/* Keeps what fits into max bytes; tail: and what came last. */
struct output_text *output_new(size_t max, int tail);
void output_free(struct output_text *);
void output_add(struct output_text *, const uint8_t *, size_t);
/*
 * The text as it is recorded: valid UTF-8 without NUL of at most max bytes,
 * in a sealed memfd that the caller owns; -1 with errno.
 */
int output_memfd(struct output_text *, size_t *len, int *truncated);
uint64_t output_seen(const struct output_text *);
/* All that came, or with *whole 0 its last part; for classify(). */
const uint8_t *output_last(const struct output_text *, size_t *len, int *whole);

/* ---- result.c: result.json ----------------------------------------------- */

struct result;

struct result *result_new(void);
void result_free(struct result *);
/* Bytes of the file as they come; 0, or -1 when they cannot be kept. */
int result_begin(struct result *);
int result_add(struct result *, const uint8_t *, size_t);
/* The file ended; whole: it was read to its end. */
void result_end(struct result *, int whole);
void result_skipped(struct result *, enum stream_skip);
enum result_state result_state(const struct result *);
/* The sealed memfd of a RESULT_OK, owned by the result; else -1. */
int result_memfd(const struct result *, size_t *len);

/* ---- artifact.c: files --------------------------------------------------- */

struct artifacts;

struct artifact_done {
	unsigned number;
	uint64_t size;
	const uint8_t *name;
	size_t name_len;
	uint8_t sha256[TAKO_SHA256];
	const char *content_type;
};

/* dirfd: where files are created by number; taken over. */
struct artifacts *artifacts_new(int dirfd);
void artifacts_free(struct artifacts *);
/* -1 when a file of that name came before: nobody but a forger does that. */
int artifacts_begin(struct artifacts *, const uint8_t *name, size_t len);
void artifacts_add(struct artifacts *, const uint8_t *, size_t);
/*
 * The file ended. 1: it is complete and synced, *done tells of it until the
 * next call; 0: it was not read whole, or could not be written.
 */
int artifacts_end(struct artifacts *, int whole, struct artifact_done *);
unsigned artifacts_count(const struct artifacts *);
/* By the name and the first bytes: constant text. */
const char *artifact_type(
    const uint8_t *name, size_t name_len, const uint8_t *head, size_t len);

/* ---- classify.c: why a job failed ---------------------------------------- */

/*
 * The class of a run that ended so, and its message (at most 200 characters
 * in MAX_JOB_MESSAGE + 1 bytes). err is its stderr; whole: all of it, from its
 * beginning. JERR_NONE and "" for success, and for END_LOST, of which the
 * parent knows more.
 */
enum job_error classify(enum job_end, unsigned code, const uint8_t *err,
    size_t len, int whole, char message[MAX_JOB_MESSAGE + 1]);
/* Masks what concerns nobody, and cuts at 200 characters. */
void classify_sanitise(
    char message[MAX_JOB_MESSAGE + 1], const char *text, size_t len);

/* ---- words.c: the other role ----------------------------------------------
 */

/* Shuts this process in for it. */
void words_begin(void);
/*
 * The words of n texts, which lie one behind the other in fd, in a sealed memfd
 * of *len bytes, the caller's; takes fd over. Ends the process when that cannot
 * be done.
 */
int words_take(int fd, const uint64_t *lens, size_t n, size_t *len);

/* ---- unpack.c: the third role ---------------------------------------------
 */

struct msg_unpack_package;
struct msg_unpack_done;
typedef void (*unpack_package_cb)(const struct msg_unpack_package *);

/* Shuts this process in for it. dir: where it all goes. */
void unpack_begin(int dir, uint64_t max_bytes);
/* Tells each package of the list; takes fd over. -1: it is no such list. */
int unpack_lock(int fd, size_t len, unpack_package_cb);
/* Unpacks, to the disk; takes tar over. */
void unpack_tar(int tar, struct msg_unpack_done *);

#endif
