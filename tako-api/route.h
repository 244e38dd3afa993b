/*
 * route.h: what the table of routes has of each: for route.c, which serves by
 * it, and for openapi.c, which tells of it; and who answers, in handle.c.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "tako-api.h"

#define ROUTE_OPEN (1 << 0) /* to everybody: neither key nor rate */
#define ROUTE_SYNC (1 << 1) /* /execute: the answer is the job's end */
#define ROUTE_FILE (1 << 2) /* an artifact: HEAD, conditions, ranges */
#define ROUTE_PAGE (1 << 3) /* of ours, with an ETag */

/* An answer that is no error. */
struct answer {
	int status; /* 0: there is no further one */
	/* As shape.h writes it; NULL: no JSON. */
	const char *type;
	const char *media; /* NULL with a type: JSON; NULL without: no body */
	const char *about;
};

struct route {
	enum http_method method;
	const char *pattern; /* {...}: a place, a segment of its own */
	void (*handler)(struct request *);
	enum form form;
	enum api_error not_found;
	const struct param *params;
	const struct body *body; /* it is kept, as JSON; NULL: passed over */
	unsigned flags;
	/* What is told of it. */
	const char *id, *tag, *summary, *about;
	const struct answer *answers;
	const enum api_error *errors; /* of its own, up to API_NONE; or NULL */
};

/* What may stand in a path in the place of a name in braces. */
struct place {
	const char *name;
	int id;		  /* a job's: one that is none finds nothing */
	const char *type; /* as JSON Schema calls it */
	const char *about;
};

extern const struct route routes[];
extern const size_t n_routes;
/* That of a pattern that begins with '{', and the length of it. */
const struct place *route_place(const char *, size_t *len);

/* handle.c */
void handle_root(struct request *);
void handle_stats(struct request *);
void handle_submit(struct request *);
void handle_get(struct request *);
void handle_list(struct request *);
void handle_diff(struct request *);
void handle_cancel(struct request *);
void handle_rerun(struct request *);
void handle_fork(struct request *);
void handle_job_types(struct request *);
void handle_build(struct request *);
void handle_build_show(struct request *);
void handle_letters(struct request *);
void handle_letter_stats(struct request *);
void handle_letter_remove(struct request *);
/* Asks the parent; where it cannot be asked, that is the answer. */
void request_ask(struct request *, uint32_t type, const void *, int fd);
/* What is kept of the body is not needed any more. */
void request_body_drop(struct request *);

#endif
