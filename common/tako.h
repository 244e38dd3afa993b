/*
 * tako.h: the nouns of the product, shared by every process: states,
 * error types, phases, runtimes, and the bounds that hold everywhere.
 * Names are those of the HTTP API; the tables are in tako.c.
 */
#ifndef TAKO_H
#define TAKO_H

#include <stddef.h>
#include <stdint.h>

#define TAKO_VERSION "0.1.0"

/* Bounds of identifiers, in bytes without the closing NUL (api.md). */
#define MAX_JOB_ID	   40  /* "api-" and a UUID */
#define MAX_JOB_TYPE	   128 /* as asked, with an @version */
#define MAX_JOB_TYPE_NAME  64
#define MAX_IDEMPOTENCY	   255
#define MAX_CORRELATION	   128
#define MAX_CLIENT	   64	  /* a source address, printed */
#define PEER_UNIX	   "unix" /* the address of who comes over one */
#define MAX_ORIGIN	   300	  /* of a web page: scheme, host, port */
#define MAX_KEY_NAME	   64
#define MAX_TENANT	   72	/* a key's name or a network, with its kind */
#define MAX_ERROR_MESSAGE  1024 /* a job's own message is cut at 200 */
#define MAX_JOB_MESSAGE	   800	/* 200 characters of UTF-8 */
#define MAX_PROGRESS	   200	/* of an installer's progress */
#define MAX_RUNTIME_NAME   16
#define MAX_ARTIFACT_NAME  255 /* NAME_MAX: any bytes but '/' and NUL */
#define MAX_CONTENT_TYPE   64
#define MAX_ARTIFACT_STORE 16	/* a driver's name */
#define MAX_ARTIFACTS	   1000 /* of one job; more are counted, not kept */
#define MAX_WORKERS	   64
#define MAX_NODE	   128 /* a takod's name among those that share a store */
#define MAX_SLOTS	   128 /* running and ready together */
#define TAKO_SHA256	   32  /* bytes of a raw digest */

enum job_status {
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_TIMEOUT,
	JOB_OOM,
	JOB_CANCELLED,
	JOB_STATUS_MAX
};

/* Why a job did not succeed: the error types of the API, in its order. */
enum job_error {
	JERR_NONE,
	JERR_TIMEOUT,
	JERR_STARTUP_TIMEOUT,
	JERR_EXECUTION_TIMEOUT,
	JERR_OOM,
	JERR_CANCELLED,
	JERR_INTERRUPTED,
	JERR_SEGFAULT,
	JERR_ABORT,
	JERR_ARITHMETIC,
	JERR_BUS,
	JERR_PIPE,
	JERR_KILLED,
	JERR_PERMISSION,
	JERR_SYNTAX,
	JERR_IMPORT,
	JERR_TYPE,
	JERR_VALUE,
	JERR_KEY,
	JERR_INDEX,
	JERR_ATTRIBUTE,
	JERR_NAME,
	JERR_FILE_NOT_FOUND,
	JERR_FILE,
	JERR_OS,
	JERR_RECURSION,
	JERR_ASSERTION,
	JERR_DIVISION,
	JERR_OVERFLOW,
	JERR_ENCODING,
	JERR_JSON,
	JERR_DEPENDENCY,
	JERR_NETWORK,
	JERR_NETWORK_TIMEOUT,
	JERR_DOCKER,
	JERR_SERVICE_UNAVAILABLE,
	JERR_CONFIG,
	JERR_INTERNAL,
	JERR_RUNTIME,
	JERR_UNKNOWN,
	JERR_SANDBOX_DIED,
	JERR_MAX
};

/* Where a job is, or was when it ended. */
enum job_phase {
	PHASE_NONE,
	PHASE_STARTUP,
	PHASE_DEPENDENCIES,
	PHASE_EXECUTION,
	PHASE_COMPLETED,
	PHASE_MAX
};

/* How the main process of a job ended, as tako-init saw it. */
enum job_end {
	END_LOST,     /* no word came: the sandbox is gone */
	END_EXITED,   /* code is the exit status */
	END_SIGNALED, /* code is the signal's number */
	END_MAX
};

/* What became of /output/result.json. */
enum result_state {
	RESULT_ABSENT,
	RESULT_OK,
	RESULT_TOO_LARGE,
	RESULT_INVALID_JSON,
	RESULT_TOO_DEEP,
	RESULT_NOT_REGULAR,
	RESULT_MAX
};

enum relationship {
	REL_NONE,
	REL_RERUN,
	REL_FORK,
	REL_MAX
};

enum runtime {
	RUNTIME_NONE,
	RUNTIME_RUNSC,
	RUNTIME_RUNC,
	RUNTIME_CRUN,
	RUNTIME_MAX
};

const char *job_status_name(enum job_status);
int job_status_byname(const char *); /* -1: none of that name */
int job_status_terminal(enum job_status);
const char *job_error_name(enum job_error); /* NULL for JERR_NONE */
int job_error_byname(const char *);
const char *job_phase_name(enum job_phase); /* NULL for PHASE_NONE */
int job_phase_byname(const char *);
const char *result_state_name(enum result_state);
int result_state_byname(const char *);
const char *relationship_name(enum relationship);
int relationship_byname(const char *);
const char *runtime_name(enum runtime);
int runtime_byname(const char *);

#endif
