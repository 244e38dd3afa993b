/*
 * s3_client.h: signed requests (AWS Signature Version 4) to one bucket of an
 * S3 service, on the parent's loop. Used by artifact_s3.c alone.
 */
#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "artifact_store.h"
#include "conf.h"

struct s3_client;
struct s3_request;

struct s3_answer {
	/*
	 * AWAY: no connection, an answer of 5xx, refused credentials, and
	 * whatever else somebody may mend: it was tried a few times.
	 */
	enum artifact_result result;
	const char *text; /* of the answer, NUL-terminated; never NULL */
	const char *etag; /* "" for none */
	/* Filled from the answer where s3_ask.sink is 1; the callee's. */
	struct artifact_sink *sink;
};
typedef void (*s3_cb)(const struct s3_answer *, void *arg);

struct s3_ask {
	const char *method;
	const char *key;   /* "": the bucket's own; behind the prefix */
	const char *query; /* encoded and sorted, every name with a '=' */
	/* The body: len bytes of a file, which stays open, or a text. */
	int fd;
	uint64_t off, len;
	const uint8_t *sha256; /* of it; NULL: not signed along */
	const char *text;
	int sink;
};

struct s3_client *s3_client_open(
    struct event_base *, const struct conf *, char *detail, size_t);
/* Requests under way end without their callbacks. NULL is allowed. */
void s3_client_close(struct s3_client *);
void s3_client_ask(struct s3_client *, const struct s3_ask *, s3_cb, void *arg);
/* Percent-encodes for a query; dst holds 3 * strlen(src) + 1 bytes. */
char *s3_encode(char *dst, const char *src);

#endif
