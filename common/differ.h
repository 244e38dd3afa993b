/*
 * differ.h: in what two records differ, beside their texts. Used by tako-api
 * and takoctl.
 */
#ifndef DIFFER_H
#define DIFFER_H

#include "msg.h"

enum differ_kind {
	DIFFER_TEXT,   /* NULL: none */
	DIFFER_NUMBER, /* any */
	DIFFER_KNOWN   /* negative: not known */
};

struct differ {
	const char *name;
	enum differ_kind kind;
	int timing;	     /* what it took; else how it ended */
	const char *text[2]; /* of the records, or constants */
	int64_t number[2];
};

#define DIFFER_MAX 24
/* Those in which they differ; returns how many. */
size_t differ_list(struct differ[DIFFER_MAX], const struct msg_rep_record *a,
    const struct msg_rep_record *b);

#endif
