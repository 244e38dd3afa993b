/*
 * http.h: one HTTP request to a takod, waited for.
 */
#ifndef HTTP_H
#define HTTP_H

#include <signal.h>
#include <stddef.h>

#define HTTP_MAX_ANSWER 65536

struct http_request {
	const char *url;
	const char *header; /* a further one, "Name: value", or NULL */
	const char *body;   /* JSON, sent by POST; NULL: GET */
	long seconds;	    /* for all of it */
	/* Not 0: give up, within a second; NULL: never. */
	volatile sig_atomic_t *stop;
};

struct http_answer {
	long status; /* 0: none came, error says why */
	char error[256];
	size_t len;
	char text[HTTP_MAX_ANSWER + 1]; /* NUL after it: hostile text */
};

void http_call(const struct http_request *, struct http_answer *);

#endif
