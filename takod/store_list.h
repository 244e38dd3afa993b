/*
 * store_list.h: what both drivers' lists and searches have in common: their
 * conditions in SQL, and the texts whose words are kept.
 */
#ifndef STORE_LIST_H
#define STORE_LIST_H

#include "store.h"

/* Parameters of a list, by number: $1, $2 ... in both dialects. */
enum list_param {
	P_BELOW = 1, /* places below this */
	P_FROM,	     /* and not below that */
	P_STATUS,
	P_TYPE,
	P_ERROR,
	P_EXIT,
	P_PARENT,
	P_KEY,
	P_QUERY,
	P_LOOK, /* PostgreSQL's: how many are looked at */
	P_SKIP,
	P_LIMIT,
	P_MAX
};

struct list_sql {
	const char *index; /* the one to go by */
	char by[128];	   /* its condition, with " AND " behind it, or "" */
	char rest[512];	   /* the others, "1 = 1" at the least */
	int n_rest;
};
/* With by_place, all conditions go into rest. */
void list_conditions(
    struct list_sql *, const struct store_filter *, int by_place);

/* The text of a text parameter, or NULL when it is none of this filter's. */
const char *list_text(const struct store_filter *, enum list_param);

/*
 * The range of places that a filter leaves: *from <= place < *below.
 */
void list_range(const struct store_filter *, int64_t *from, int64_t *below);

/*
 * The columns that a job is searched by, in the order of enum store_text, and
 * length and substr of the dialect. Of a long text the middle is left out.
 */
#define INDEX_TEXT(col, LENGTH)                                                \
	"CASE WHEN " LENGTH "(" col ") <= 16384 THEN " col " ELSE substr(" col \
	", 1, 8192) END,"                                                      \
	" CASE WHEN " LENGTH "(" col ") > 16384 THEN"                          \
	" substr(" col ", " LENGTH "(" col ") - 8191) END"
#define INDEX_COLUMNS(LENGTH)                                                  \
	"error_message, substr(code, 1, 32768), " INDEX_TEXT(                  \
	    "stderr", LENGTH) ", " INDEX_TEXT("stdout", LENGTH)

/* Jobs that no query finds yet are counted no further. */
#define STORE_UNINDEXED "10000"

struct index_text {
	const void *data;
	size_t len;
};
/* Makes them one blob, the caller's. -1: no memory. */
int store_texts_fill(
    struct store_texts *, const struct index_text[STORE_TEXTS]);

#endif
