/*
 * msg.h: the one catalogue of messages between takod and its children, and
 * between takod and takoctl.
 *
 * A message is a frame: struct msg_hdr, then one flat msgpack array with the
 * fields below in their order, at most MSG_MAX_FRAME bytes together, and at
 * most one descriptor. A row of MSG_CATALOGUE is a type, its sender, whether
 * a descriptor comes along, and its fields with their bounds; from it come
 * the C struct (struct msg_<name>), the checks, and the typed pair
 * msg_<name>_pack() and msg_<name>_read(). To add a message, add its field
 * list and its row here, and the receiver's rule (takod/dispatch.c,
 * tako-api/parent.c, tako-worker/main.c or takoctl).
 *
 * Which states permit a type is the receiver's business and stands in its
 * rule table. Field kinds:
 *	U(name, min, max)	unsigned integer	uint64_t name
 *	I(name, min, max)	signed integer		int64_t name
 *	S(name, max)		UTF-8 without NUL	char name[max + 1]
 *	B(name, max)		bytes			struct { uint32_t len;
 *						uint8_t data[max]; } name
 *	D(name, len)		exactly len bytes	uint8_t name[len]
 */
#ifndef MSG_H
#define MSG_H

#include <stddef.h>
#include <stdint.h>

#include "tako.h"
#include "words.h"

#define MSG_FD		3 /* every child finds its parent here */
#define MSG_MAX_FRAME	16384
#define MSG_MAX_FIELDS	64   /* the record has the most */
#define MSG_CTL_REQUEST 4096 /* the largest frame takod takes of takoctl */

/* Every frame begins so, in the host's byte order. */
struct msg_hdr {
	uint32_t type;
	uint32_t len; /* of the whole frame, header included */
	uint32_t id;  /* of the request that this asks or answers, else 0 */
	uint32_t seq; /* counts up from 1, per sender and channel */
};

enum msg_sender {
	FROM_PARENT,
	FROM_API,
	FROM_WORKER,
	FROM_WORDS,
	FROM_UNPACK,
	FROM_CTL
};

enum msg_fd {
	FD_NONE,
	FD_REQUIRED,
	FD_OPTIONAL
};

#define MS_MAX_TIME INT64_C(4102444800000000) /* the year 2100, us */
#define MSG_BLOB    UINT64_C(17179869184)     /* 16 GiB: no length is above */

/* ---- every child -------------------------------------------------------- */

/* The child's sandbox is on: the parent may trust it with its work. */
#define MSG_SETUP_DONE(U, I, S, B, D) U(pid, 1, 4194304)

/* Log level of a child changes. */
#define MSG_LOG_LEVEL(U, I, S, B, D) U(level, 0, 4)

/* Does it still turn? Answered at once, by the PONG of its kind. */
#define MSG_CHILD_PING(U, I, S, B, D)  U(reserved, 0, 0)
#define MSG_API_PONG(U, I, S, B, D)    U(reserved, 0, 0)
#define MSG_WORKER_PONG(U, I, S, B, D) U(reserved, 0, 0)

/*
 * The system call that its filter refused the child: its last word, with 0 for
 * a sequence number, since it can come between any two frames.
 */
#define MSG_API_REFUSED(U, I, S, B, D)	  U(call, 0, UINT32_MAX)
#define MSG_WORKER_REFUSED(U, I, S, B, D) U(call, 0, UINT32_MAX)
#define MSG_WORDS_REFUSED(U, I, S, B, D)  U(call, 0, UINT32_MAX)
#define MSG_UNPACK_REFUSED(U, I, S, B, D) U(call, 0, UINT32_MAX)

/* ---- parent to api ------------------------------------------------------ */

/* What the front needs of the configuration; sent again at a reload. */
#define MSG_API_SETUP(U, I, S, B, D)                                           \
	U(max_payload, 1024, 104857600)                                        \
	U(max_code, 1024, 10485760)                                            \
	U(max_input, 1024, 104857600)                                          \
	U(max_timeout, 1, 86400)                                               \
	U(max_startup_timeout, 10, 1800)                                       \
	U(default_timeout, 1, 86400)                                           \
	U(production_mode, 0, 1)                                               \
	U(admit, 0, 2) /* enum admit_when: for which REQ_ADMIT is asked */     \
	U(keys, 0, 1)  /* API keys are asked for; for the document alone */    \
	U(max_connections, 1, 65536)                                           \
	U(max_connections_per_source, 1, 65536)                                \
	U(header_timeout_ms, 100, 3600000)                                     \
	U(body_timeout_ms, 100, 3600000)                                       \
	U(idle_timeout_ms, 100, 3600000)                                       \
	U(write_timeout_ms, 100, 3600000)                                      \
	U(min_rate, 1, 1048576)                                                \
	U(pipeline_depth, 1, 1000)                                             \
	U(max_line, 256, 8192)                                                 \
	U(max_head, 256, 65536)                                                \
	U(max_fields, 8, 1000)                                                 \
	U(max_memory, 1048576, MSG_BLOB)                                       \
	S(auth_header, 64)                                                     \
	S(version, 32)

/* A listening socket comes along. */
#define MSG_API_LISTEN(U, I, S, B, D)                                          \
	S(name, 160)                                                           \
	U(tls, 0, 1)                                                           \
	U(proxy, 0, 1) /* its clients begin with a PROXY header */

/*
 * Behind API_SETUP, which forgets the former ones: whose word on a client's
 * address is taken (IPv4 as ::ffff:0:0/96), and which web pages may ask.
 */
#define MSG_API_TRUST(U, I, S, B, D)                                           \
	D(prefix, 16)                                                          \
	U(bits, 0, 128)                                                        \
	U(local, 0, 1) /* whoever comes over a Unix socket */
#define MSG_API_ORIGIN(U, I, S, B, D) S(origin, MAX_ORIGIN)

/* Certificate and key, in PEM, one behind the other in the memfd. */
#define MSG_API_TLS(U, I, S, B, D)                                             \
	U(certificate_len, 1, 1048576)                                         \
	U(key_len, 1, 1048576)

/* Stop accepting; end when the last request is answered. */
#define MSG_API_DRAIN(U, I, S, B, D) U(deadline_ms, 0, 86400000)

/* ---- api to parent: requests, and their answers ------------------------- */

/*
 * May this request go on? Asked once its head is read, when API_SETUP says so
 * and its path is not open to everybody.
 * key is what the client showed, empty for none.
 */
#define MSG_REQ_ADMIT(U, I, S, B, D)                                           \
	S(peer, MAX_CLIENT)                                                    \
	S(host, 255)                                                           \
	S(key, 512)                                                            \
	U(forwarded, 0, 1) /* came with a forwarding header */

#define MSG_REP_ADMIT(U, I, S, B, D)                                           \
	U(verdict, 0, 2) /* enum admit */                                      \
	U(retry_after, 0, 86400)

/* Job identities have all a client may choose; the payload memfd has code,
 * input and requirements (a JSON array, or nothing) one behind the other. */
#define MSG_REQ_SUBMIT(U, I, S, B, D)                                          \
	U(sync, 0, 1) /* id is api-<uuid>, answer REP_RECORD */                \
	U(code_len, 1, 10485760)                                               \
	U(input_len, 1, 104857600)                                             \
	U(requirements_len, 0, 65536)                                          \
	U(timeout, 0, 86400) /* s; 0: none asked */                            \
	U(startup_timeout, 0, 1800)                                            \
	S(job_type, MAX_JOB_TYPE) /* empty: none asked */                      \
	S(idempotency_key, MAX_IDEMPOTENCY)                                    \
	S(correlation_id, MAX_CORRELATION)                                     \
	S(client, MAX_CLIENT)                                                  \
	S(key, 512) /* as in REQ_ADMIT: the parent judges it anew */

/* Answers REQ_SUBMIT that is not sync. */
#define MSG_REP_SUBMIT(U, I, S, B, D)                                          \
	S(job_id, MAX_JOB_ID)                                                  \
	U(status, 0, JOB_STATUS_MAX - 1)

/* What a job is, or was. wait_ms: until it is terminal, at the longest. */
#define MSG_REQ_GET(U, I, S, B, D)                                             \
	S(job_id, MAX_JOB_ID)                                                  \
	U(view, 0, VIEW_MAX - 1) /* enum view */                               \
	U(wait_ms, 0, 300000)

/* A job with the input of another one, and with its code (rerun) or with that
 * of the memfd (fork). */
#define MSG_REQ_RERUN(U, I, S, B, D)                                           \
	S(job_id, MAX_JOB_ID)                                                  \
	U(relationship, REL_RERUN, REL_FORK)                                   \
	U(code_len, 0, 10485760)                                               \
	U(timeout, 0, 86400)	  /* s; 0: the other one's */                  \
	S(job_type, MAX_JOB_TYPE) /* empty: the other one's */                 \
	S(correlation_id, MAX_CORRELATION)                                     \
	S(client, MAX_CLIENT)                                                  \
	S(key, 512) /* as in REQ_SUBMIT */

/* The job type of that name, or all of them. */
#define MSG_REQ_JOB_TYPES(U, I, S, B, D) S(name, 255)

/* Builds what a job type runs in, or says how the last build went. */
#define MSG_REQ_BUILD(U, I, S, B, D)                                           \
	S(name, 255)                                                           \
	U(look, 0, 1)

/* Dead letters: some of a type (empty: of any), how many, one less. */
#define MSG_REQ_LETTERS(U, I, S, B, D)                                         \
	S(error_type, 64)                                                      \
	U(limit, 1, 1000)                                                      \
	U(offset, 0, INT64_MAX)

#define MSG_REQ_LETTER_STATS(U, I, S, B, D) U(reserved, 0, 0)

#define MSG_REQ_LETTER_REMOVE(U, I, S, B, D) U(id, 1, INT64_MAX)

/* An answer of the parent's own facts: JSON in the memfd that comes along. */
#define MSG_REP_JSON(U, I, S, B, D) U(len, 1, MSG_BLOB)

/*
 * Which records a list is to have: struct store_filter of takod/store.h, field
 * by field. Answered by a REP_RECORD for each, then REP_LIST.
 */
#define MSG_REQ_LIST(U, I, S, B, D)                                            \
	U(view, 0, VIEW_MAX - 1)                                               \
	I(status, -1, JOB_STATUS_MAX - 1) /* -1: any */                        \
	I(error, -1, JERR_MAX - 1)	  /* -1: any */                        \
	I(exit_code, -2, 255)		  /* -2: any */                        \
	S(job_type, MAX_JOB_TYPE)	  /* empty: any, as below */           \
	S(parent_id, MAX_JOB_ID)                                               \
	S(key, MAX_IDEMPOTENCY)                                                \
	S(query, MAX_TERMS)                                                    \
	I(since, 0, MS_MAX_TIME)                                               \
	I(until, 0, MS_MAX_TIME) /* 0: no bound */                             \
	I(after, 0, INT64_MAX)	 /* a place; 0: from the newest on */          \
	I(offset, 0, INT64_MAX)                                                \
	U(limit, 1, 1000)

/* Ends a list. */
#define MSG_REP_LIST(U, I, S, B, D)                                            \
	I(next, 0, INT64_MAX) /* where to go on from; 0: there are no more */  \
	U(unindexed, 0, UINT32_MAX) /* jobs that a query does not find yet */

#define MSG_REQ_CANCEL(U, I, S, B, D) S(job_id, MAX_JOB_ID)

#define MSG_REP_CANCEL(U, I, S, B, D) S(job_id, MAX_JOB_ID)

/* The client of request id went away: no answer is wanted any more. */
#define MSG_REQ_GONE(U, I, S, B, D) U(reserved, 0, 0)

/* Health and queue figures together. */
#define MSG_REQ_STATS(U, I, S, B, D) U(reserved, 0, 0)

#define MSG_REP_STATS(U, I, S, B, D)                                           \
	U(fresh_ms, 0, 1000) /* a health check need not ask again */           \
	U(ready, 0, 1)                                                         \
	U(engine_up, 0, 1)                                                     \
	U(store_up, 0, 1)                                                      \
	U(gvisor, 0, 1)                                                        \
	U(fallback, 0, 1) /* permissive mode runs runc */                      \
	U(production_mode, 0, 1)                                               \
	U(breaker, 0, 2) /* closed, open, half open */                         \
	U(failures, 0, UINT32_MAX)                                             \
	U(successes, 0, UINT32_MAX)                                            \
	I(last_failure, 0, MS_MAX_TIME)                                        \
	U(pending, 0, UINT32_MAX)                                              \
	U(tenants_waiting, 0, UINT32_MAX)                                      \
	U(running, 0, UINT32_MAX)                                              \
	U(max_workers, 0, MAX_WORKERS)                                         \
	U(max_queue, 0, 10000)                                                 \
	U(slots_ready, 0, MAX_SLOTS)                                           \
	U(slots_starting, 0, MAX_SLOTS)                                        \
	U(slots_wanted, 0, UINT32_MAX)                                         \
	U(warm_pool_size, 0, MAX_SLOTS)                                        \
	U(jobs_warm, 0, UINT64_MAX) /* began in a slot that waited */          \
	U(jobs_cold, 0, UINT64_MAX) /* waited for their slot */                \
	U(nodes, 0, UINT32_MAX)	    /* all that share the store */             \
	U(nodes_running, 0, UINT32_MAX)                                        \
	U(nodes_workers, 0, UINT32_MAX)                                        \
	S(node, MAX_NODE)                                                      \
	S(engine, 16)                                                          \
	S(store, 16)                                                           \
	S(runtime, MAX_RUNTIME_NAME)                                           \
	S(detail, 512)

/*
 * The whole record of a job. With REQ_GET of VIEW_STATUS the lengths are 0
 * and no descriptor comes; else the memfd has stdout, stderr, output, the
 * artifact list (rows as in blob_artifacts of takod/job.c: see job.h) and
 * the takod extras (JSON object) one behind the other; with VIEW_PAYLOAD code,
 * input and requirements follow.
 */
#define MSG_REP_RECORD(U, I, S, B, D)                                          \
	S(job_id, MAX_JOB_ID)                                                  \
	U(status, 0, JOB_STATUS_MAX - 1)                                       \
	U(timed_out, 0, 1)		 /* the wait ended before the job */   \
	U(queue_position, 0, UINT32_MAX) /* 0: not waiting */                  \
	S(job_type, MAX_JOB_TYPE)                                              \
	S(job_version, MAX_JOB_TYPE + 16)                                      \
	I(created_at, 0, MS_MAX_TIME)                                          \
	I(started_at, 0, MS_MAX_TIME) /* 0: not yet */                         \
	I(ended_at, 0, MS_MAX_TIME)                                            \
	I(exit_code, -1, 255)                                                  \
	U(error, 0, JERR_MAX - 1)                                              \
	U(error_phase, 0, PHASE_MAX - 1)                                       \
	S(error_message, MAX_ERROR_MESSAGE)                                    \
	I(startup_ms, -1, INT32_MAX) /* -1: not known */                       \
	I(dependencies_ms, -1, INT32_MAX)                                      \
	I(execution_ms, -1, INT32_MAX)                                         \
	I(total_ms, -1, INT32_MAX)                                             \
	U(phase_at_exit, 0, PHASE_MAX - 1)                                     \
	U(runtime, 0, RUNTIME_MAX - 1)                                         \
	U(stdout_len, 0, MSG_BLOB)                                             \
	U(stderr_len, 0, MSG_BLOB)                                             \
	U(output_len, 0, MSG_BLOB)                                             \
	U(artifacts_len, 0, MSG_BLOB)                                          \
	U(extras_len, 0, MSG_BLOB)                                             \
	U(stdout_truncated, 0, 1)                                              \
	U(stderr_truncated, 0, 1)                                              \
	I(max_rss_kb, -1, INT64_MAX)                                           \
	I(cpu_ms, -1, INT64_MAX)                                               \
	I(wall_ms, -1, INT64_MAX)                                              \
	D(code_hash, TAKO_SHA256)                                              \
	D(input_hash, TAKO_SHA256)                                             \
	U(code_len, 0, MSG_BLOB)                                               \
	U(input_len, 0, MSG_BLOB)                                              \
	S(parent_id, MAX_JOB_ID)                                               \
	U(relationship, 0, REL_MAX - 1)                                        \
	S(idempotency_key, MAX_IDEMPOTENCY)                                    \
	S(correlation_id, MAX_CORRELATION)                                     \
	S(key_name, MAX_KEY_NAME) /* of the API key; empty: none was shown */  \
	U(attempt, 0, 1000)                                                    \
	U(timeout, 0, 86400)                                                   \
	U(startup_timeout, 0, 1800)                                            \
	U(payload, 0, 1) /* code and input come too */                         \
	U(requirements_len, 0, MSG_BLOB)                                       \
	D(fingerprint, TAKO_SHA256)                                            \
	S(client, MAX_CLIENT)                                                  \
	S(tenant, MAX_TENANT)                                                  \
	I(oom_kills, -1, INT64_MAX)

/*
 * An artifact of a job: the one called name, else the one called other (no
 * name: none is). body 0: what is known of it alone, without its bytes.
 */
#define MSG_REQ_ARTIFACT(U, I, S, B, D)                                        \
	S(job_id, MAX_JOB_ID)                                                  \
	B(name, MAX_ARTIFACT_NAME)                                             \
	B(other, MAX_ARTIFACT_NAME)                                            \
	U(body, 0, 1)

/* A descriptor of a regular file comes along, for reading alone. */
#define MSG_REP_ARTIFACT(U, I, S, B, D)                                        \
	B(name, MAX_ARTIFACT_NAME)                                             \
	U(size, 0, 10737418240)                                                \
	D(sha256, TAKO_SHA256)                                                 \
	S(content_type, MAX_CONTENT_TYPE)                                      \
	I(ended_at, 0, MS_MAX_TIME) /* of its job */

/* The request cannot be done; error is enum rep. */
#define MSG_REP_ERROR(U, I, S, B, D)                                           \
	U(error, 1, REP_MAX - 1)                                               \
	U(retry_after, 0, 86400)                                               \
	S(job_id, MAX_JOB_ID) /* of the job it is about, if any */             \
	S(detail, 512)

/* ---- parent to worker --------------------------------------------------- */

/* Caps of the one job to come, and the token that its messages must carry.
 * The artifact directory comes along. */
#define MSG_WORKER_SETUP(U, I, S, B, D)                                        \
	U(token, 1, UINT64_MAX)                                                \
	U(mux, 0, 1) /* stream has Docker's 8-byte heads */                    \
	U(max_stdout, 1024, 104857600)                                         \
	U(max_stderr, 1024, 104857600)                                         \
	U(max_result, 1024, 1073741824)                                        \
	U(max_artifact, 1024, 1073741824)                                      \
	U(max_artifacts_total, 1024, 10737418240)                              \
	U(max_artifacts, 0, MAX_ARTIFACTS)                                     \
	U(live, 0, 1) /* tell each line of stdout as it comes */

/* The container's stream comes along: one socket, both ways. */
#define MSG_WORKER_STREAM(U, I, S, B, D) U(token, 1, UINT64_MAX)

/* Hand the job over now: code and input lie in the memfd that comes along. */
#define MSG_JOB_START(U, I, S, B, D)                                           \
	U(token, 1, UINT64_MAX)                                                \
	U(code_len, 1, 10485760)                                               \
	U(input_len, 1, 104857600)

/* The container is dead, or will be at once: report what came. */
#define MSG_JOB_STOP(U, I, S, B, D) U(token, 1, UINT64_MAX)

/* ---- worker to parent --------------------------------------------------- */

/* tako-init answered, the interpreter waits for its code. */
#define MSG_WORKER_READY(U, I, S, B, D)                                        \
	U(token, 1, UINT64_MAX)                                                \
	U(unloaded, 0, UINT32_MAX) /* a bit for each module of preload */

/* A phase began: execution, then completed (the main process has ended). */
#define MSG_JOB_PHASE(U, I, S, B, D)                                           \
	U(token, 1, UINT64_MAX)                                                \
	U(phase, PHASE_EXECUTION, PHASE_COMPLETED)

/* One of stdout, stderr, result; the memfd that comes along is sealed. */
#define MSG_JOB_OUTPUT(U, I, S, B, D)                                          \
	U(token, 1, UINT64_MAX)                                                \
	U(which, 0, 2) /* enum output */                                       \
	U(len, 0, MSG_BLOB)                                                    \
	U(seen, 0, UINT64_MAX) /* bytes before the cap */                      \
	U(truncated, 0, 1)

/* A line of stdout, printable and cut. */
#define MSG_JOB_LINE(U, I, S, B, D)                                            \
	U(token, 1, UINT64_MAX)                                                \
	S(text, MAX_PROGRESS)

/* File <number> of the artifact directory is complete and synced. */
#define MSG_JOB_ARTIFACT(U, I, S, B, D)                                        \
	U(token, 1, UINT64_MAX)                                                \
	U(number, 0, MAX_ARTIFACTS - 1)                                        \
	U(size, 0, 10737418240)                                                \
	B(name, MAX_ARTIFACT_NAME)                                             \
	D(sha256, TAKO_SHA256)                                                 \
	S(content_type, MAX_CONTENT_TYPE)

/* Last word of a worker. */
#define MSG_JOB_DONE(U, I, S, B, D)                                            \
	U(token, 1, UINT64_MAX)                                                \
	U(end, 0, END_MAX - 1)                                                 \
	U(code, 0, 255)                                                        \
	U(error, 0, JERR_MAX - 1) /* class of a failed run */                  \
	S(message, MAX_JOB_MESSAGE)                                            \
	U(execution_us, 0, MS_MAX_TIME) /* as tako-init saw it */              \
	U(result, 0, RESULT_MAX - 1)                                           \
	U(artifacts, 0, MAX_ARTIFACTS)                                         \
	U(artifacts_skipped, 0, UINT32_MAX)                                    \
	U(artifacts_lost, 0, 1)	   /* one could not be written */              \
	U(output_incomplete, 0, 1) /* the stream broke early */

/* ---- the words of records: tako-worker in its other role ---------------- */

/* Take texts apart from now on, and nothing else. */
#define MSG_WORDS_SETUP(U, I, S, B, D)	    U(reserved, 0, 0)
#define MSG_WORDS_SETUP_DONE(U, I, S, B, D) U(pid, 1, 4194304)
#define MSG_WORDS_PONG(U, I, S, B, D)	    U(reserved, 0, 0)

/* The texts of a record, one behind the other in the memfd; number counts. */
#define MSG_WORDS_TEXT(U, I, S, B, D)                                          \
	U(number, 1, UINT64_MAX)                                               \
	U(error_len, 0, 65536)                                                 \
	U(code_len, 0, 65536)                                                  \
	U(stderr_len, 0, 65536)                                                \
	U(stderr_end_len, 0, 65536)                                            \
	U(stdout_len, 0, 65536)                                                \
	U(stdout_end_len, 0, 65536)

/* Their words, as words.h writes them; the memfd that comes along is sealed. */
#define MSG_WORDS_DONE(U, I, S, B, D)                                          \
	U(number, 1, UINT64_MAX)                                               \
	U(len, 0, MAX_WORDS_LEN)

/* ---- layers: tako-worker in its third role ------------------------------- */

/*
 * Unpack one layer into the folder that comes along, and nothing else: at most
 * so many bytes in its files.
 */
#define MSG_UNPACK_SETUP(U, I, S, B, D)	     U(max_bytes, 1, MSG_BLOB)
#define MSG_UNPACK_SETUP_DONE(U, I, S, B, D) U(pid, 1, 4194304)

/* The list of its packages, and its files (tar), as the installer left them. */
#define MSG_UNPACK_LOCK(U, I, S, B, D) U(len, 0, 1048576)
#define MSG_UNPACK_TAR(U, I, S, B, D)  U(len, 0, MSG_BLOB)

/* A package of the list, one frame each. */
#define MSG_UNPACK_PACKAGE(U, I, S, B, D)                                      \
	S(name, 128)                                                           \
	S(version, 64)                                                         \
	S(sha256, 64) /* of what was fetched, in hex; empty: not known */

/* All of it is on the disk, or why it cannot be. */
#define MSG_UNPACK_DONE(U, I, S, B, D)                                         \
	U(files, 0, UINT32_MAX)                                                \
	U(bytes, 0, MSG_BLOB)                                                  \
	S(why, 128)

/* ---- takoctl to takod, and the answers ---------------------------------- */

#define MSG_CTL_HELLO(U, I, S, B, D)   S(version, 32)
#define MSG_CTL_STATUS(U, I, S, B, D)  U(reserved, 0, 0)
#define MSG_CTL_WORKERS(U, I, S, B, D) U(reserved, 0, 0)
#define MSG_CTL_NODES(U, I, S, B, D)   U(reserved, 0, 0)
#define MSG_CTL_LIST(U, I, S, B, D)    MSG_REQ_LIST(U, I, S, B, D)
#define MSG_CTL_JOB(U, I, S, B, D)                                             \
	S(job_id, MAX_JOB_ID)                                                  \
	U(view, 0, VIEW_MAX - 1)
/* The answer is REP_ARTIFACT: name and other as in REQ_ARTIFACT. */
#define MSG_CTL_ARTIFACT(U, I, S, B, D)                                        \
	S(job_id, MAX_JOB_ID)                                                  \
	B(name, MAX_ARTIFACT_NAME)                                             \
	B(other, MAX_ARTIFACT_NAME)
#define MSG_CTL_CANCEL(U, I, S, B, D) S(job_id, MAX_JOB_ID)
#define MSG_CTL_RERUN(U, I, S, B, D)                                           \
	S(job_id, MAX_JOB_ID)                                                  \
	U(timeout, 0, 86400) /* as in REQ_RERUN */                             \
	S(job_type, MAX_JOB_TYPE)
/* Dead letters: the newest, or that one alone; to remove one; to run its job
 * again and remove it. */
#define MSG_CTL_LETTERS(U, I, S, B, D)                                         \
	U(id, 0, INT64_MAX)                                                    \
	U(limit, 1, 1000)                                                      \
	S(error_type, 64)
#define MSG_CTL_LETTER_REMOVE(U, I, S, B, D) U(id, 1, INT64_MAX)
#define MSG_CTL_LETTER_RETRY(U, I, S, B, D)  U(id, 1, INT64_MAX)
#define MSG_CTL_DRAIN(U, I, S, B, D)	     U(reserved, 0, 0)
#define MSG_CTL_RESUME(U, I, S, B, D)	     U(reserved, 0, 0)
#define MSG_CTL_STOP(U, I, S, B, D)	     U(now, 0, 1)
#define MSG_CTL_VERBOSE(U, I, S, B, D)	     U(level, 0, 4)

/* Builds what a job type runs in: CTL_LINE as it goes on, then REP_JSON. */
#define MSG_CTL_BUILD(U, I, S, B, D) S(name, MAX_JOB_TYPE_NAME)
#define MSG_CTL_LINE(U, I, S, B, D)  S(text, MAX_PROGRESS)
/* Layers of packages, by what their keys begin with. */
#define MSG_CTL_LAYERS(U, I, S, B, D)	    S(key, 64)
#define MSG_CTL_LAYER_REMOVE(U, I, S, B, D) S(key, 64)

#define MSG_CTL_TENANTS(U, I, S, B, D) U(limit, 1, 1000)

/* A tenant, one frame each: what it may have (0: no limit), and has. */
#define MSG_CTL_TENANT(U, I, S, B, D)                                          \
	S(name, MAX_TENANT)                                                    \
	U(weight, 1, 1000)                                                     \
	U(priority, 0, 9)                                                      \
	U(max_queued, 0, 10000)                                                \
	U(max_running, 0, 10000)                                               \
	U(jobs_per_window, 0, INT32_MAX)                                       \
	U(cpu_seconds_per_window, 0, INT32_MAX)                                \
	U(waiting, 0, INT64_MAX)                                               \
	U(running, 0, INT64_MAX)                                               \
	U(used_jobs, 0, INT64_MAX)                                             \
	U(used_cpu_ms, 0, INT64_MAX)

/*
 * A folder for the artifacts of a record that is to be imported, named by
 * their numbers, is asked for; CTL_FOLDER has it.
 */
#define MSG_CTL_FILES(U, I, S, B, D)  U(reserved, 0, 0)
#define MSG_CTL_FOLDER(U, I, S, B, D) U(reserved, 0, 0)

/* A record to be imported, its sections in the memfd, payload included. */
#define MSG_CTL_IMPORT(U, I, S, B, D) MSG_REP_RECORD(U, I, S, B, D)

#define MSG_CTL_RELOAD(U, I, S, B, D) U(dry, 0, 1)

/* What a reload changes, a frame for each key; values as JSON, cut. */
#define MSG_CTL_CHANGE(U, I, S, B, D)                                          \
	S(key, 128)                                                            \
	S(before, 512)                                                         \
	S(after, 512)                                                          \
	U(restart, 0, 1) /* it needs a restart: not done */

/* An error of the configuration. */
#define MSG_CTL_PROBLEM(U, I, S, B, D)                                         \
	S(file, 1024)                                                          \
	U(line, 0, UINT32_MAX)                                                 \
	U(column, 0, UINT32_MAX)                                               \
	S(key, 256)                                                            \
	S(text, 512)

/* Done, or not: error is 0 or enum rep. Ends every answer. */
#define MSG_CTL_END(U, I, S, B, D)                                             \
	U(error, 0, REP_MAX - 1)                                               \
	S(detail, 512)

/* The daemon, beside what REP_STATS says of it (which comes first). */
#define MSG_CTL_DAEMON(U, I, S, B, D)                                          \
	U(pid, 1, 4194304)                                                     \
	S(version, 32)                                                         \
	S(instance, 64)                                                        \
	S(config, 1024) /* empty: defaults */                                  \
	S(data_dir, 1024)                                                      \
	S(listen, 256)                                                         \
	U(uptime_ms, 0, MS_MAX_TIME)                                           \
	U(draining, 0, 1)                                                      \
	U(log_level, 0, 4)                                                     \
	U(jobs_done, 0, UINT64_MAX)                                            \
	U(violations, 0, UINT64_MAX)                                           \
	U(respawns, 0, UINT64_MAX)

/* A child, one frame each. */
#define MSG_CTL_CHILD(U, I, S, B, D)                                           \
	S(name, 32)	   /* tako-api, tako-worker, tako-words */             \
	U(pid, 0, 4194304) /* 0: being replaced */                             \
	U(uid, 0, UINT32_MAX)                                                  \
	S(state, 16)                                                           \
	I(slot, -1, MAX_SLOTS)                                                 \
	S(container, 128)                                                      \
	S(job_type, MAX_JOB_TYPE_NAME)                                         \
	S(job_id, MAX_JOB_ID)                                                  \
	U(age_ms, 0, MS_MAX_TIME)

/* A takod that shares the store, one frame each. */
#define MSG_CTL_NODE(U, I, S, B, D)                                            \
	S(name, MAX_NODE)                                                      \
	S(instance, 16)                                                        \
	S(version, 32)                                                         \
	S(state, 16) /* up, draining, stopped, lost */                         \
	U(self, 0, 1)                                                          \
	I(started_at, 0, MS_MAX_TIME)                                          \
	I(seen_at, 0, MS_MAX_TIME)                                             \
	U(silent_ms, 0, MS_MAX_TIME)                                           \
	U(running, 0, UINT32_MAX)                                              \
	U(max_workers, 0, UINT32_MAX)

/*
 * The catalogue: X(TYPE, name, sender, descriptor). A type's number is its
 * place here plus one; both ends are always of one build, so numbers may move.
 */
#define MSG_CATALOGUE(X)                                                       \
	X(SETUP_DONE, setup_done, FROM_API, FD_NONE)                           \
	X(WORKER_SETUP_DONE, worker_setup_done, FROM_WORKER, FD_NONE)          \
	X(LOG_LEVEL, log_level, FROM_PARENT, FD_NONE)                          \
	X(CHILD_PING, child_ping, FROM_PARENT, FD_NONE)                        \
	X(API_PONG, api_pong, FROM_API, FD_NONE)                               \
	X(WORKER_PONG, worker_pong, FROM_WORKER, FD_NONE)                      \
	X(API_REFUSED, api_refused, FROM_API, FD_NONE)                         \
	X(WORKER_REFUSED, worker_refused, FROM_WORKER, FD_NONE)                \
	X(API_SETUP, api_setup, FROM_PARENT, FD_NONE)                          \
	X(API_LISTEN, api_listen, FROM_PARENT, FD_REQUIRED)                    \
	X(API_TRUST, api_trust, FROM_PARENT, FD_NONE)                          \
	X(API_ORIGIN, api_origin, FROM_PARENT, FD_NONE)                        \
	X(API_TLS, api_tls, FROM_PARENT, FD_REQUIRED)                          \
	X(API_DRAIN, api_drain, FROM_PARENT, FD_NONE)                          \
	X(REQ_ADMIT, req_admit, FROM_API, FD_NONE)                             \
	X(REP_ADMIT, rep_admit, FROM_PARENT, FD_NONE)                          \
	X(REQ_SUBMIT, req_submit, FROM_API, FD_REQUIRED)                       \
	X(REP_SUBMIT, rep_submit, FROM_PARENT, FD_NONE)                        \
	X(REQ_GET, req_get, FROM_API, FD_NONE)                                 \
	X(REQ_CANCEL, req_cancel, FROM_API, FD_NONE)                           \
	X(REQ_RERUN, req_rerun, FROM_API, FD_OPTIONAL)                         \
	X(REQ_JOB_TYPES, req_job_types, FROM_API, FD_NONE)                     \
	X(REQ_BUILD, req_build, FROM_API, FD_NONE)                             \
	X(REQ_LETTERS, req_letters, FROM_API, FD_NONE)                         \
	X(REQ_LETTER_STATS, req_letter_stats, FROM_API, FD_NONE)               \
	X(REQ_LETTER_REMOVE, req_letter_remove, FROM_API, FD_NONE)             \
	X(REP_JSON, rep_json, FROM_PARENT, FD_REQUIRED)                        \
	X(REP_CANCEL, rep_cancel, FROM_PARENT, FD_NONE)                        \
	X(REQ_GONE, req_gone, FROM_API, FD_NONE)                               \
	X(REQ_LIST, req_list, FROM_API, FD_NONE)                               \
	X(REP_LIST, rep_list, FROM_PARENT, FD_NONE)                            \
	X(REQ_STATS, req_stats, FROM_API, FD_NONE)                             \
	X(REP_STATS, rep_stats, FROM_PARENT, FD_NONE)                          \
	X(REP_RECORD, rep_record, FROM_PARENT, FD_OPTIONAL)                    \
	X(REQ_ARTIFACT, req_artifact, FROM_API, FD_NONE)                       \
	X(REP_ARTIFACT, rep_artifact, FROM_PARENT, FD_OPTIONAL)                \
	X(REP_ERROR, rep_error, FROM_PARENT, FD_NONE)                          \
	X(WORKER_SETUP, worker_setup, FROM_PARENT, FD_REQUIRED)                \
	X(WORKER_STREAM, worker_stream, FROM_PARENT, FD_REQUIRED)              \
	X(JOB_START, job_start, FROM_PARENT, FD_REQUIRED)                      \
	X(JOB_STOP, job_stop, FROM_PARENT, FD_NONE)                            \
	X(WORKER_READY, worker_ready, FROM_WORKER, FD_NONE)                    \
	X(JOB_PHASE, job_phase, FROM_WORKER, FD_NONE)                          \
	X(JOB_OUTPUT, job_output, FROM_WORKER, FD_REQUIRED)                    \
	X(JOB_LINE, job_line, FROM_WORKER, FD_NONE)                            \
	X(JOB_ARTIFACT, job_artifact, FROM_WORKER, FD_NONE)                    \
	X(JOB_DONE, job_done, FROM_WORKER, FD_NONE)                            \
	X(WORDS_SETUP, words_setup, FROM_PARENT, FD_NONE)                      \
	X(WORDS_SETUP_DONE, words_setup_done, FROM_WORDS, FD_NONE)             \
	X(WORDS_PONG, words_pong, FROM_WORDS, FD_NONE)                         \
	X(WORDS_REFUSED, words_refused, FROM_WORDS, FD_NONE)                   \
	X(WORDS_TEXT, words_text, FROM_PARENT, FD_REQUIRED)                    \
	X(WORDS_DONE, words_done, FROM_WORDS, FD_REQUIRED)                     \
	X(UNPACK_SETUP, unpack_setup, FROM_PARENT, FD_REQUIRED)                \
	X(UNPACK_SETUP_DONE, unpack_setup_done, FROM_UNPACK, FD_NONE)          \
	X(UNPACK_REFUSED, unpack_refused, FROM_UNPACK, FD_NONE)                \
	X(UNPACK_LOCK, unpack_lock, FROM_PARENT, FD_REQUIRED)                  \
	X(UNPACK_TAR, unpack_tar, FROM_PARENT, FD_REQUIRED)                    \
	X(UNPACK_PACKAGE, unpack_package, FROM_UNPACK, FD_NONE)                \
	X(UNPACK_DONE, unpack_done, FROM_UNPACK, FD_NONE)                      \
	X(CTL_HELLO, ctl_hello, FROM_CTL, FD_NONE)                             \
	X(CTL_STATUS, ctl_status, FROM_CTL, FD_NONE)                           \
	X(CTL_WORKERS, ctl_workers, FROM_CTL, FD_NONE)                         \
	X(CTL_NODES, ctl_nodes, FROM_CTL, FD_NONE)                             \
	X(CTL_LIST, ctl_list, FROM_CTL, FD_NONE)                               \
	X(CTL_JOB, ctl_job, FROM_CTL, FD_NONE)                                 \
	X(CTL_ARTIFACT, ctl_artifact, FROM_CTL, FD_NONE)                       \
	X(CTL_CANCEL, ctl_cancel, FROM_CTL, FD_NONE)                           \
	X(CTL_RERUN, ctl_rerun, FROM_CTL, FD_NONE)                             \
	X(CTL_LETTERS, ctl_letters, FROM_CTL, FD_NONE)                         \
	X(CTL_LETTER_REMOVE, ctl_letter_remove, FROM_CTL, FD_NONE)             \
	X(CTL_LETTER_RETRY, ctl_letter_retry, FROM_CTL, FD_NONE)               \
	X(CTL_DRAIN, ctl_drain, FROM_CTL, FD_NONE)                             \
	X(CTL_RESUME, ctl_resume, FROM_CTL, FD_NONE)                           \
	X(CTL_STOP, ctl_stop, FROM_CTL, FD_NONE)                               \
	X(CTL_VERBOSE, ctl_verbose, FROM_CTL, FD_NONE)                         \
	X(CTL_BUILD, ctl_build, FROM_CTL, FD_NONE)                             \
	X(CTL_LINE, ctl_line, FROM_PARENT, FD_NONE)                            \
	X(CTL_LAYERS, ctl_layers, FROM_CTL, FD_NONE)                           \
	X(CTL_LAYER_REMOVE, ctl_layer_remove, FROM_CTL, FD_NONE)               \
	X(CTL_TENANTS, ctl_tenants, FROM_CTL, FD_NONE)                         \
	X(CTL_TENANT, ctl_tenant, FROM_PARENT, FD_NONE)                        \
	X(CTL_RELOAD, ctl_reload, FROM_CTL, FD_NONE)                           \
	X(CTL_FILES, ctl_files, FROM_CTL, FD_NONE)                             \
	X(CTL_FOLDER, ctl_folder, FROM_PARENT, FD_REQUIRED)                    \
	X(CTL_IMPORT, ctl_import, FROM_CTL, FD_REQUIRED)                       \
	X(CTL_CHANGE, ctl_change, FROM_PARENT, FD_NONE)                        \
	X(CTL_PROBLEM, ctl_problem, FROM_PARENT, FD_NONE)                      \
	X(CTL_END, ctl_end, FROM_PARENT, FD_NONE)                              \
	X(CTL_DAEMON, ctl_daemon, FROM_PARENT, FD_NONE)                        \
	X(CTL_CHILD, ctl_child, FROM_PARENT, FD_NONE)                          \
	X(CTL_NODE, ctl_node, FROM_PARENT, FD_NONE)

#define MSG_WORKER_SETUP_DONE(U, I, S, B, D) U(pid, 1, 4194304)

enum msg_type {
	MSG_NONE,
#define X(TYPE, name, sender, fd) MSG_T_##TYPE,
	MSG_CATALOGUE(X)
#undef X
	MSG_T_MAX
};

/* Why a request cannot be done; the HTTP status is chosen by tako-api. */
enum rep {
	REP_NONE,
	REP_NOT_FOUND, /* no such job, or nothing to cancel */
	REP_CONFLICT,  /* idempotency key of another payload */
	REP_QUEUE_FULL,
	REP_UNAVAILABLE, /* store or engine is away, or takod is draining */
	REP_STARTING,	 /* takod is not ready yet */
	REP_INVALID,	 /* detail says what to mend */
	REP_DENIED,	 /* takoctl's caller may not; or no valid key */
	REP_INTERNAL,
	REP_FILLED,	 /* as many of this client wait as may */
	REP_SPENT,	 /* this client's budget is used up */
	REP_NOT_ENDED,	 /* a rerun is of a job that has ended */
	REP_FAILED,	 /* takod could not do it: detail says why */
	REP_NO_ARTIFACT, /* the job is there, and has none of that name */
	REP_MAX
};

enum admit {
	ADMIT_OK,
	ADMIT_KEY,
	ADMIT_RATE
};
/* Each request, or of a connection those that show something else. */
enum admit_when {
	ADMIT_NEVER,
	ADMIT_OTHERS,
	ADMIT_EACH
};
enum view {
	VIEW_STATUS,
	VIEW_RECORD,
	VIEW_FULL,
	VIEW_PAYLOAD, /* full, with code, input and requirements */
	VIEW_MAX
};
enum output {
	OUTPUT_STDOUT,
	OUTPUT_STDERR,
	OUTPUT_RESULT
};

/* The structs. */
#define MSG_U_MEMBER(name, min, max) uint64_t name;
#define MSG_I_MEMBER(name, min, max) int64_t name;
#define MSG_S_MEMBER(name, max)	     char name[(max) + 1];
#define MSG_B_MEMBER(name, max)                                                \
	struct {                                                               \
		uint32_t len;                                                  \
		uint8_t data[max];                                             \
	} name;
#define MSG_D_MEMBER(name, len) uint8_t name[len];

#define X(TYPE, name, sender, fd)                                              \
	struct msg_##name {                                                    \
		MSG_##TYPE(MSG_U_MEMBER, MSG_I_MEMBER, MSG_S_MEMBER,           \
		    MSG_B_MEMBER, MSG_D_MEMBER)                                \
	};
MSG_CATALOGUE(X)
#undef X

/* A frame being made or taken apart: the header, then the array. */
struct msg_frame {
	struct msg_hdr hdr;
	uint8_t body[MSG_MAX_FRAME - sizeof(struct msg_hdr)];
};

const char *msg_name(uint32_t type); /* "?" when unknown */
enum msg_sender msg_sender(uint32_t type);
enum msg_fd msg_fd(uint32_t type);
int msg_known(uint32_t type);

/*
 * Generic halves of the typed pairs. pack: 0, or -1 when a value is out of
 * its bounds (EINVAL): a bug of the sender. read: 0, or -1 with *why set to
 * what is wrong, a constant text fit for a log line.
 */
int msg_pack(struct msg_frame *, uint32_t type, uint32_t id, const void *);
int msg_read(const struct msg_frame *, uint32_t type, void *, const char **why);

#define X(TYPE, name, sender, fd)                                              \
	static inline int msg_##name##_pack(                                   \
	    struct msg_frame *f, uint32_t id, const struct msg_##name *m)      \
	{                                                                      \
		return (msg_pack(f, MSG_T_##TYPE, id, m));                     \
	}                                                                      \
	static inline int msg_##name##_read(                                   \
	    const struct msg_frame *f, struct msg_##name *m, const char **why) \
	{                                                                      \
		return (msg_read(f, MSG_T_##TYPE, m, why));                    \
	}
MSG_CATALOGUE(X)
#undef X

#endif
