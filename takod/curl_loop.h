/*
 * curl_loop.h: transfers of libcurl on the parent's loop: what the Docker
 * engine's and the S3 store's clients share.
 */
#ifndef CURL_LOOP_H
#define CURL_LOOP_H

#include <curl/curl.h>

#include <event2/event.h>

struct curl_loop;

/* One handle's owner; it lives as long as the handle is added. */
struct curl_transfer {
	/* It ended, one way or the other, and is still added. */
	void (*done)(struct curl_transfer *, CURLcode);
};

/* connections: kept open for later. NULL: libcurl cannot be started. */
struct curl_loop *curl_loop_new(struct event_base *, long connections);
/* All handles must have been removed. NULL is allowed. */
void curl_loop_free(struct curl_loop *);
/*
 * Starts a transfer; its CURLOPT_PRIVATE is taken. An error found here comes
 * out as a finished transfer, from the loop.
 */
void curl_loop_add(struct curl_loop *, CURL *, struct curl_transfer *);
void curl_loop_remove(struct curl_loop *, CURL *);

#endif
