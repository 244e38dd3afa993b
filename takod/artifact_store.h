/*
 * artifact_store.h: where the files lie that jobs left. Three drivers, each a
 * table of functions: artifact_local.c (a folder of data_dir), artifact_db.c
 * (rows of the store's database), artifact_s3.c (an S3 service). Nothing
 * outside them and artifact_store.c knows which is in use.
 *
 * New artifacts go to the configured one (artifact_store), whose name is kept
 * with the list of a job's artifacts (job.artifact_store): they are looked for
 * where they were put, whatever is configured since.
 *
 * Files are named by number in a place: a job's id and the fence of the claim
 * that wrote them. Who lost a job to another claim, and does not know yet,
 * writes into a place that no record will ever name. Names that a job chose
 * are data in the record and never part of a path, a key or a statement.
 *
 * A put is durable before its callback says so, and the row that names the
 * files is committed after that: no row points at what is not there. Places
 * that no row names (takod ended between the two) are found by a sweep:
 * retain.c. Everything is asynchronous: callbacks come from the loop, exactly
 * once, never from within the call.
 */
#ifndef ARTIFACT_STORE_H
#define ARTIFACT_STORE_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "conf.h"
#include "job.h"

struct artifact_store;

enum artifact_result {
	ARTIFACT_OK,
	ARTIFACT_AWAY,	    /* no answer, or a fault that passes: ask again */
	ARTIFACT_NOT_FOUND, /* no such file; of a list: its end */
	ARTIFACT_FAILED	    /* for good: no space, other bytes than recorded */
};

struct artifact_place {
	char job_id[MAX_JOB_ID + 1];
	int64_t fence; /* 0: all of the job's */
};

/* A place that something lies in, and when it was written (wall clock). */
struct artifact_found {
	struct artifact_place place;
	int64_t written;
};

typedef void (*artifact_cb)(enum artifact_result, void *arg);
/* fd: of a regular file, for reading alone, at its start; the callee's. */
typedef void (*artifact_get_cb)(enum artifact_result, int fd, void *arg);
/* found: n of them, the store's, for as long as the call takes. */
typedef void (*artifact_list_cb)(enum artifact_result,
    const struct artifact_found *found, size_t n, void *arg);

struct artifact_ops {
	const char *name; /* as the configuration and the rows say */
	/* NULL with detail when the configuration cannot work. */
	struct artifact_store *(*open)(
	    struct event_base *, const struct conf *, char *detail, size_t);
	/* Calls that are under way are not answered. */
	void (*close)(struct artifact_store *);
	/*
	 * Takes the files 0 to n - 1 of a folder below data_dir, and the folder
	 * with them when the answer is OK. Done again after AWAY, it begins
	 * anew. list must stay until the answer.
	 */
	void (*put)(struct artifact_store *, const struct artifact_place *,
	    const char *folder, const struct artifact *list, int n, artifact_cb,
	    void *);
	/* Only what has the recorded size is OK. */
	void (*get)(struct artifact_store *, const struct artifact_place *,
	    const struct artifact *, artifact_get_cb, void *);
	/* All of a place; OK also when there was nothing. */
	void (*remove)(struct artifact_store *, const struct artifact_place *,
	    artifact_cb, void *);
	/*
	 * The next places, a few at a time; from the start where first is 1.
	 * What is half written and will not be gone on with is removed by it.
	 */
	void (*list)(
	    struct artifact_store *, int first, artifact_list_cb, void *);
};

extern const struct artifact_ops artifact_local, artifact_db, artifact_s3;

/* Places that one list's answer may have. */
#define ARTIFACT_LIST_MAX 500

/* What is younger may be being written; nothing so young is swept up. */
#define ARTIFACT_YOUNG_US (3600 * INT64_C(1000000))

/* ---- artifact_store.c: the drivers in use ----------------------------------
 */

int artifact_store_open(char *detail, size_t);
void artifact_store_close(void);
/* Puts a job's files where they belong now, and notes where in the job. */
void artifact_put(struct job *, const char *folder, artifact_cb, void *);
/* One of the files that a job's record names. */
void artifact_get(
    const struct job *, const struct artifact *, artifact_get_cb, void *);
/* By the name that a record has of a store; fence 0: all of the job's. */
void artifact_remove(
    const char *store, const struct artifact_place *, artifact_cb, void *);
/* The stores in use, by number from 0; NULL behind the last. */
const char *artifact_store_name(int number);
void artifact_list(int number, int first, artifact_list_cb, void *);

/* ---- for the drivers -------------------------------------------------------
 */

/* Answers from the loop's next turn. */
void artifact_answer(artifact_cb, enum artifact_result, void *);
void artifact_answer_get(artifact_get_cb, enum artifact_result, int fd, void *);
/* Removes a folder below data_dir with the files in it. */
void artifact_folder_remove(const char *path);

/* A file being filled with an artifact that is not one on this host. */
struct artifact_sink;
struct artifact_sink *artifact_sink_new(void); /* NULL: errno */
int artifact_sink_add(struct artifact_sink *, const void *, size_t);
/*
 * Frees it. The descriptor for get's callback; -1 when the bytes are not those
 * of the record.
 */
int artifact_sink_done(struct artifact_sink *, const struct artifact *);
void artifact_sink_free(struct artifact_sink *); /* NULL is allowed */

#endif
