/*
 * pg_find.h: lists and searches in PostgreSQL, and the words that searches go
 * by. They have a connection of their own: a statement that takes its time
 * must not stand before a commit in the pipeline of the other one.
 */
#ifndef PG_FIND_H
#define PG_FIND_H

#include "pg_conn.h"

struct pg_find;

/* url, node and life as for pg_conn_open; state_cb is told of each change. */
struct pg_find *pg_find_open(struct event_base *, const char *url,
    const char *node, const char *life, void (*state_cb)(int up, void *arg),
    void *arg, char *detail, size_t);
void pg_find_close(struct pg_find *);

/* As store.h has them. */
void pg_find_list(
    struct pg_find *, const struct store_filter *, store_page_cb, void *);
void pg_find_to_index(struct pg_find *, int max, store_texts_cb, void *);
void pg_find_indexed(
    struct pg_find *, const struct store_words *, size_t n, store_cb, void *);

/*
 * The statements of a list, and the settings that they are made for, for
 * their plans to be looked at.
 */
enum pg_find_phase {
	PG_FIND_PLAIN,	/* along an index of jobs */
	PG_FIND_NEWEST, /* a query, one by one among the newest */
	PG_FIND_ALL	/* a query, by GIN */
};
void pg_find_sql(
    char *, size_t, const struct store_filter *, enum pg_find_phase);
#define PG_FIND_SETTINGS                                                       \
	"SELECT set_config('enable_seqscan', 'off', false),"                   \
	" set_config('enable_hashjoin', 'off', false),"                        \
	" set_config('enable_mergejoin', 'off', false),"                       \
	" set_config('enable_sort', 'off', false),"                            \
	" set_config('jit', 'off', false),"                                    \
	" set_config('work_mem', '16MB', false),"                              \
	" set_config('max_parallel_workers_per_gather', '0', false),"          \
	" set_config('statement_timeout', '4000', false)"

#endif
