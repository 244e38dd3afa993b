/*
 * job.h: a job's record, as it is in memory, in the store and on its way to
 * whoever asks. Owned by job.c; the store's drivers fill and read it.
 */
#ifndef JOB_H
#define JOB_H

#include <stdint.h>

#include "blob.h"
#include "tako.h"

/* An artifact as a job left it; artifact_store.h says where it lies. */
struct artifact {
	int number;
	uint64_t size;
	uint32_t name_len;
	uint8_t name[MAX_ARTIFACT_NAME]; /* any bytes: never a path */
	uint8_t sha256[TAKO_SHA256];
	char content_type[MAX_CONTENT_TYPE + 1];
};

/*
 * A claim of a job that came to nothing by a fault of ours or of the engine.
 * The present one is kept so too when its job ends with it. place: slot (it
 * could not be made), sandbox, worker, node (takod itself) or store.
 */
#define MAX_PLACE 16
struct attempt {
	int number; /* job.attempt of that claim */
	int64_t started_at, ended_at;
	enum job_error error;
	char place[MAX_PLACE + 1];
	char message[MAX_ERROR_MESSAGE + 1];
};

/* All of a record. Texts are UTF-8, times are us since the epoch, 0: none. */
struct job {
	/* what was asked: written once, by submit */
	char id[MAX_JOB_ID + 1];
	char job_type[MAX_JOB_TYPE + 1]; /* as asked; once ended: as run */
	char job_ref[MAX_JOB_TYPE + 1];	 /* as asked, or "default" */
	char idempotency_key[MAX_IDEMPOTENCY + 1]; /* "" for none */
	uint8_t fingerprint[TAKO_SHA256];
	char correlation_id[MAX_CORRELATION + 1];
	char client[MAX_CLIENT + 1];
	char tenant[MAX_TENANT + 1]; /* who it counts for: tenant.c */
	char parent_id[MAX_JOB_ID + 1];
	enum relationship relationship;
	uint8_t code_hash[TAKO_SHA256];
	uint8_t input_hash[TAKO_SHA256];
	struct blob *code; /* NULL where the caller did not want them */
	struct blob *input;
	struct blob *requirements; /* JSON array, or empty */
	uint64_t code_len, input_len;
	int timeout; /* s, effective */
	int startup_timeout;
	int64_t created_at;

	/* where it is */
	enum job_status status;
	int64_t fence;	    /* grows by one with each claim */
	int attempt;	    /* claims so far, the present one included */
	int64_t not_before; /* a retry waits until then */
	int code_started;   /* the code may have begun to run */
	int64_t started_at;

	/* how it ended: written once, by finish */
	int64_t ended_at;
	int exit_code; /* -1: nothing ran */
	enum job_error error;
	enum job_phase error_phase;
	char error_message[MAX_ERROR_MESSAGE + 1];
	int64_t startup_ms, dependencies_ms, execution_ms, total_ms; /* -1 */
	enum job_phase phase_at_exit;
	enum runtime runtime;
	struct blob *out, *err, *output;
	int out_truncated, err_truncated;
	int64_t max_rss_kb, cpu_ms, wall_ms; /* -1: not known */
	int64_t oom_kills;
	struct artifact *artifacts;
	int n_artifacts;
	/* Which store they are in; "": local, or there are none. */
	char artifact_store[MAX_ARTIFACT_STORE + 1];
	struct blob *extras;	  /* the record's takod object, JSON; or NULL */
	struct attempt *attempts; /* the first one first */
	int n_attempts;
};

struct job *job_new(void); /* zeroed; unknowns -1. NULL: no memory */
void job_free(struct job *);
/* A copy of what is only lent: texts by value, blobs by reference. */
struct job *job_lend(const struct job *);
/* What was asked goes, as a submit answers. */
void job_drop_payload(struct job *);
/* Notes that the present attempt failed. -1: no memory. */
int attempt_note(struct job *, int64_t ended_at, enum job_error,
    const char *place, const char *message);
/* The present attempt if it failed, else NULL. */
const struct attempt *attempt_present(const struct job *);
/*
 * Attempts as both stores give them, a JSON array of arrays of the members in
 * their order; len 0: none. -1 when it is nothing of that kind.
 */
int attempts_parse(struct job *, const char *json, size_t len);
/*
 * A dead letter: a job that a fault of ours or of the engine ended for good.
 * It has neither code nor input, and stays when the job's record is gone.
 */
struct dead_letter {
	int64_t id;
	char job_id[MAX_JOB_ID + 1];
	char job_type[MAX_JOB_TYPE + 1];
	enum job_error error;
	char error_message[MAX_ERROR_MESSAGE + 1];
	int retry_count;
	int64_t created_at;
	char client[MAX_CLIENT + 1];
	char correlation_id[MAX_CORRELATION + 1];
	char parent_id[MAX_JOB_ID + 1];
	int keyed; /* it had an idempotency key */
	uint8_t code_hash[TAKO_SHA256];
	uint8_t input_hash[TAKO_SHA256];
	int64_t code_len, input_len;
	int timeout, startup_timeout;
};

/*
 * The artifact list as it is stored and sent: for each, u64 size, 32 bytes
 * digest, u16 number, u16 name length, u8 type length, name, type;
 * little-endian. unpack refuses what does not fit, with -1.
 */
struct blob *artifacts_pack(const struct artifact *, int n);
int artifacts_unpack(const void *, size_t, struct artifact **, int *n);

#endif
