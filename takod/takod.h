/*
 * takod.h: the parent's own interfaces, file by file. main.c has the theory of
 * operation. Everything here runs in one process and one event loop.
 */
#ifndef TAKOD_H
#define TAKOD_H

#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "bind.h"
#include "conf.h"
#include "engine.h"
#include "imsgev.h"
#include "log.h"
#include "job.h"
#include "msg.h"
#include "python.h"
#include "store.h"
#include "tako.h"

/* Circuit breaker of the engine: figures of api.md, "Others". */
#define BREAKER_FAILURES 5
#define BREAKER_OPEN_US	 (30 * 1000000LL)
#define BREAKER_CLOSE	 2

#define LAYER_KEY_LEN 64	    /* hex digits of a layer's name */
#define LAYER_MAX_TAR 1073741824ULL /* bytes, as it is unpacked */

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN
};

struct breaker {
	enum breaker_state state;
	unsigned failures, successes; /* in a row */
	int64_t opened_at;	      /* monotonic */
	int64_t last_failure;	      /* wall clock; 0: never */
};

/* The daemon: one of it. */
struct takod {
	struct event_base *base;
	struct conf *conf;
	char instance[17]; /* names this takod on the host */
	uid_t uid_base;
	uid_t api_uid;
	gid_t api_gid;
	uid_t worker_uid; /* 0: one id per slot */
	gid_t worker_gid;
	int data_fd;	 /* the data directory */
	int64_t started; /* monotonic */

	const struct engine_ops *engine_ops;
	struct engine *engine;
	int engine_up;
	struct breaker breaker;
	enum runtime runtime;	   /* what jobs run under */
	int gvisor;		   /* runsc was seen working */
	int fallback;		   /* permissive mode took runc */
	struct engine_probe probe; /* as it was found */

	const struct store_ops *store_ops;
	struct store *store;
	int store_up;
	char store_detail[256];

	int ready;    /* recovered, probed, reconciled */
	int draining; /* takes no new job */
	int stopping; /* ends when nothing runs */
	int protected_mode;

	char node[MAX_NODE + 1]; /* names it among those that share a store */
	/* Of all that share it, as the last heartbeat found: lease.c. */
	int64_t nodes, nodes_running, nodes_workers;
	int64_t queued;		 /* waiting rows, as far as this takod knows */
	int64_t tenants_waiting; /* who has some of them, when last counted */
	uint64_t jobs_done, violations, respawns;
	uint64_t jobs_warm, jobs_cold; /* began in a slot that waited; or not */
};

extern struct takod env;

/* ---- priv.c: ids, the instance's name, the parent's own privileges ------ */
void priv_check(void);
void priv_ids(void);

/* ---- shut.c: what the parent gives up ------------------------------------ */
enum shut_for {
	SHUT_FOR_ENGINE,   /* a Docker engine makes the containers */
	SHUT_FOR_NETWORKS, /* as well, and takod their networks */
	SHUT_FOR_RUNTIMES  /* takod starts runsc, runc or crun itself */
};
/*
 * Once the engine is chosen: gives up the capabilities that it leaves needless
 * and, by a filter that all below inherit, the calls.
 */
void shut_enter(enum shut_for);
void *shut_filter(enum shut_for); /* libseccomp's; the caller releases it */

/* ---- proc.c: children --------------------------------------------------- */
enum child_state {
	CHILD_STARTING = 1 << 0, /* exec'd; its sandbox is not on yet */
	CHILD_SERVING = 1 << 1,	 /* tako-api, or words: at work */
	CHILD_IDLE = 1 << 2,	 /* tako-worker: shakes hands with tako-init */
	CHILD_READY = 1 << 3,	 /* tako-worker: the interpreter waits */
	CHILD_RUNNING = 1 << 4,
	CHILD_COLLECTING = 1 << 5, /* the main process has ended */
	CHILD_DONE = 1 << 6	   /* said its last word */
};

struct child;
typedef void (*child_gone_cb)(struct child *, void *arg);

struct child {
	TAILQ_ENTRY(child) entry;
	const char *name;
	enum msg_sender kind;
	pid_t pid;
	int pidfd;
	uid_t uid;
	enum child_state state;
	uint8_t seen[MSG_T_MAX]; /* types that came: dispatch.c */
	int executed;		 /* a worker said that the code runs */
	int64_t started;
	int64_t asked;	    /* CHILD_PING, not answered yet; 0: it was */
	struct imsgev *iev; /* NULL once the channel ended */
	struct event *exit_ev;
	struct event *deadline;
	const char *why; /* it is being killed for this, or NULL */
	child_gone_cb gone;
	void *arg; /* worker: its slot */
};
TAILQ_HEAD(child_list, child);
extern struct child_list children;

/*
 * Starts tako-api, or tako-worker in one of its roles. gone is called once when
 * the process is reaped; the child is freed after it. NULL when it cannot be
 * started.
 */
struct child *proc_spawn(enum msg_sender, uid_t, gid_t, child_gone_cb, void *);
/* SIGKILL; why (constant) is logged. gone follows from the loop. */
void proc_kill(struct child *, const char *why);
/* A child's frame broke a rule: one line, SIGKILL. */
void proc_violation(struct child *, const char *what, const char *why);
/* The child must reach another state within ms; 0 takes the limit away. */
void proc_deadline(struct child *, int ms);
int proc_send(struct child *, uint32_t type, uint32_t id, const void *, int fd);
void proc_api_start(void);
struct child *proc_api(void); /* NULL while it is being replaced */
/* From now on they log from that level on, and this process too. */
void proc_log_level(enum log_level);
void proc_api_setup(void); /* configuration and listeners, again */
/* tako-api asked for something: not more than the store can follow. */
void proc_heed(struct child *);
void proc_watch(void); /* from now on: what hangs is replaced */
void proc_stop(void);  /* ends every child */

/* ---- listen.c: the sockets that tako-api accepts from ------------------- */
/* First of all: takes over what systemd passed, if it did. */
void listen_inherit(void);
/*
 * Opens what the configuration says. takod may have been killed and started
 * again while its former tako-api still ends: that one is waited for, for 5 s.
 */
int listen_start(char *detail, size_t);
void listen_close(void); /* takod ends */
/*
 * Opens what the configuration says now, beside what is open; then either
 * keep, which lets the former ones go, or back, which returns to them. -1:
 * nothing has changed.
 */
int listen_again(char *detail, size_t);
void listen_keep(void);
void listen_back(void);
size_t listen_count(void);
/* Is it one that this host alone reaches? */
int listen_local(size_t i);
/* Those that leave come after the listen_count() others; NULL at the end. */
const struct bound *listen_at(size_t i);

/* ---- tls.c: certificate and key of the front ----------------------------- */
/*
 * Reads the files that a configuration names; then either keep, which makes
 * them the front's, or drop. 1 when they are others than those that hold, 0;
 * -1 with detail: they cannot be used.
 */
int tls_take(const struct conf *, char *detail, size_t);
void tls_keep(void);
void tls_drop(void);
/* What the front is sent; lent. -1: no TLS. */
int tls_fd(struct msg_api_tls *);

/* ---- dispatch.c: what children may say, and who hears it ----------------- */
int dispatch_child(
    struct imsgev *, const struct msg_frame *, int fd, void *child);

/* ---- admit.c: who may ask ------------------------------------------------ */
enum admit_when admit_needed(void);
void admit_request(const struct msg_req_admit *, struct msg_rep_admit *);
int admit_open(char *detail, size_t); /* protected mode's key */
/*
 * Who a job is for that a client of that address asks for, who showed that key
 * ("": none). -1: it needs a key that is valid.
 */
int admit_tenant(
    const char *key, const char *client, char tenant[MAX_TENANT + 1]);

/* ---- tenant.c: who a job counts for -------------------------------------- */
void tenant_init(void);
void tenant_of_key(char tenant[MAX_TENANT + 1], const char *name);
void tenant_of_address(char tenant[MAX_TENANT + 1], const char *address);
const char *tenant_key_name(const char *tenant); /* "": shows no key */
void tenants_apply(void);	   /* tells the store what holds */
unsigned tenant_window_left(void); /* s, until budgets begin anew */

/*
 * How a question of tako-api or takoctl is answered: REP_NONE with an answer
 * of our own facts (lent), or why not, in words. Called once, also from within
 * the call that asks.
 */
typedef void (*answer_cb)(
    enum rep, const char *detail, json_t *answer, void *arg);

/* ---- pool.c: slots, each a worker and a container ----------------------- */
enum slot_state {
	SLOT_FREE,
	SLOT_STARTING,
	SLOT_READY,
	SLOT_RUNNING, /* the job was handed over */
	SLOT_ENDING   /* being taken down */
};

struct run; /* job.c: a job that this takod runs */
struct shared_copy;

enum layer_found {
	LAYER_NONE,   /* needs no packages */
	LAYER_THERE,  /* it has one */
	LAYER_MISSING /* it has to be made first */
};

/* What slots are made of: a job takes only one of its own kind. */
struct slot_kind {
	const struct conf_job_type *type;
	char layer[LAYER_KEY_LEN + 1]; /* of packages; "": none */
	enum layer_found found;
};

struct slot {
	int index;
	enum slot_state state;
	uint64_t serial;
	char name[64]; /* of the container and the spool folder */
	char job_type[MAX_JOB_TYPE_NAME + 1];
	char layer[LAYER_KEY_LEN + 1];
	struct layer *held; /* that layer; NULL: none */
	struct child *worker;
	struct container *container;
	int creating, removing; /* the engine works on it */
	int dead;		/* the container's first process is gone */
	int ahead;		/* it gives way to what jobs wait for */
	int stream;		/* until the worker has it; -1 */
	int mux;
	uint64_t token;
	int64_t began; /* monotonic */
	json_t *proof; /* what it is under; for its job's record */
	int network;   /* its container has one */
	/* For the same, modules and failed; NULL: nothing is imported ahead. */
	json_t *preload;
	/* Bytes, as its worker was told: a reload may change them. */
	uint64_t max_stdout, max_stderr, max_artifact, max_artifacts_total;
	struct run *run;
	struct shared_copy *shared; /* what its container may have mounted */
	struct event *deadline;
};
extern struct slot slots[MAX_SLOTS];

void pool_init(void);
/* A ready slot of that kind, reserved for the caller; NULL: none. */
struct slot *pool_take(const struct slot_kind *);
void pool_give_back(struct slot *);
/* A slot for a run: ready, on its way, or begun now. NULL: none can be. */
struct slot *pool_assign(const struct slot_kind *, struct run *);
void pool_fill(void);
/* When the job that took a slot has begun, however long it is. */
void pool_fill_soon(void);
/*
 * Makes slots of a kind until so many wait, if make says so, or ends some that
 * are more than needed: for warm.c.
 */
void pool_fill_kind(const struct slot_kind *, int want, int make);
/* Ends the slots that no job has: what they were made of has changed. */
void pool_retire(void);
/* Has a job a slot with that layer? */
int pool_uses_layer(const char *key);
/* The same of those with that layer; -1: a job has it. */
int pool_retire_layer(const char *key);
/* Takes a slot down: kills what lives, removes what was made. */
void pool_end(struct slot *, const char *why);
void pool_kill(struct slot *); /* the container only: its job is over */
void pool_counts(unsigned *ready, unsigned *starting, unsigned *wanted);
int pool_empty(void);
/* Messages of the slot's worker. */
void pool_setup_done(struct slot *);
void pool_worker_ready(struct slot *, uint32_t unloaded);
/*
 * What it imports ahead may be why a slot is not ready: then it is ended, and
 * the run that waits for it has another one; else 0.
 */
int pool_preload_failed(struct slot *, const char *why);
int pool_spool_fd(const struct slot *); /* -1; the caller closes */
/* Removes a folder below data_dir and the files in it; logs if it cannot. */
void pool_folder_remove(const char *path);

/* ---- layer.c: layers of packages ------------------------------------------
 */
void layers_init(void);
/* What a job of that type needs that asks for these packages too. */
enum layer_found layer_find(const struct conf_job_type *,
    const struct blob *requested, char key[LAYER_KEY_LEN + 1]);
/* The image that jobs of that type run in, by name; buf is for that. */
const char *layer_image(const struct conf_job_type *, char buf[PYTHON_IMAGE]);
/* A slot has it from now on: its folder on the host. */
struct layer;
struct layer *layer_hold(const char *key, char *path, size_t);
void layer_release(struct layer *);
void layers_sweep(void); /* removes what nobody needs */
/* By what their keys begin with. */
void layers_list(const char *key, answer_cb, void *);
void layers_remove(const char *key, answer_cb, void *);

/* ---- layer_build.c: what makes them ----------------------------------------
 */
struct layer_wish {
	const struct conf_job_type *type;
	const struct blob *requested; /* a request's; NULL, or of length 0 */
	int build;		      /* asked for as such, not for a job */
};

struct layer_result {
	const char *key;
	enum job_error error;	  /* the packages' fault, or a setting's */
	enum engine_error engine; /* takod's or the engine's */
	const char *detail;	  /* of both: not both are set */
	struct blob *err;	  /* what the installer said last; or NULL */
};

typedef void (*layer_cb)(const struct layer_result *, void *arg);
typedef void (*layer_line_cb)(const char *text, void *arg);

/*
 * Called back once, when it is there or cannot be; never from within. line
 * (may be NULL) hears meanwhile what the installer says, printable.
 */
void layer_want(
    const struct layer_wish *, layer_cb, layer_line_cb line, void *arg);
void layer_unwant(void *arg); /* nobody is called back with arg any more */
void layers_stop(void);	      /* takod stops */
/* The build under way of a type, else its last one, or that there was none. */
json_t *layer_build_json(const struct conf_job_type *);
/* What its installer, and the child that unpacks it, come to. */
struct build;
void layer_build_spec(
    struct container_spec *, const struct blob *code, const struct blob *input);
void layer_line(struct build *, const char *text);
void layer_run_ended(struct build *);
void layer_unpack_ready(struct child *);
const char *layer_unpack_package(
    struct child *, const struct msg_unpack_package *);
void layer_unpack_done(struct child *, const struct msg_unpack_done *);

/* ---- warm.c: what is made ahead of jobs ---------------------------------- */
#define WARM_DEFAULT 2 /* slots of the default type, where no size is set */
void warm_asked(const struct slot_kind *); /* a job of it begins */
void warm_made(const struct slot *);	   /* it is ready */
/* It cannot be made until something is mended: for a while none is ahead. */
void warm_config_failed(const struct slot *, const char *why);
/*
 * Slots that should wait, for jobs a second and seconds that one takes to be
 * made: 1 to most.
 */
int warm_demand(double rate, double making, int most);
/* Has the pool filled, and returns how many slots should wait. */
unsigned warm_fill(void);
/* Shall a slot of that kind import ahead what its type says? */
int warm_preload(const struct slot_kind *);
void warm_preload_failed(const struct slot *, const char *why);
/* Names those modules that have a bit in its preload. */
void warm_preloaded(const struct slot *, uint32_t unloaded);
void warm_forget(void); /* the configuration has changed */

/* ---- shared_code.c: the operator's files that jobs import ---------------- */
/* At the start. -1 with detail, which names what to mend. */
int shared_code_open(char *detail, size_t);
/* 1: the files are not those of the copy any more; -1 as above. */
int shared_code_changed(const struct conf *, char *detail, size_t);
/*
 * Takes a copy of what the job types of a configuration share; then either
 * keep, which makes it the running one, or drop. -1 with detail.
 */
int shared_code_take(const struct conf *, char *detail, size_t);
void shared_code_keep(void);
void shared_code_drop(void);
/* The running copy, which stays until it is released. */
struct shared_copy *shared_code_hold(void);
void shared_code_release(struct shared_copy *); /* NULL is allowed */
/* What is mounted for a job type that shares something. */
void shared_code_path(
    const struct shared_copy *, const char *job_type, char *path, size_t);

/* ---- engine_state.c: is the engine there, may it be asked ---------------- */
void engine_state_start(void (*done)(void));
int engine_state_usable(void);
void engine_state_failed(enum engine_error, const char *detail);
void engine_state_worked(void);

/* ---- job.c: from submit to the terminal row ------------------------------ */
void job_submit(uint64_t req, const struct msg_req_submit *, struct blob *);
void job_get(uint64_t req, const struct msg_req_get *);
void job_cancel(uint64_t req, const struct msg_req_cancel *);

/* A job with another one's input, requirements and timeouts. */
struct rerun {
	char job_id[MAX_JOB_ID + 1]; /* the other one */
	enum relationship relationship;
	int timeout;			 /* s; 0: the other one's */
	char job_type[MAX_JOB_TYPE + 1]; /* "": the other one's */
	char correlation_id[MAX_CORRELATION + 1];
	char client[MAX_CLIENT + 1];
	char tenant[MAX_TENANT + 1]; /* "": the other one's */
};
/* code: of a fork, given away; else NULL. Answers with job_id and status. */
void job_rerun(const struct rerun *, struct blob *code, answer_cb, void *);
/* Ends a job that waits, if it still does. */
void job_cancel_waiting(const char *id);
void job_gone(uint64_t req); /* the client of that request went away */
void job_api_died(void);
void job_unwanted(const char *job_id); /* whoever asked for it is gone */

/* ---- run.c: a job in a slot ---------------------------------------------- */
enum run_reason { /* why the parent ended it; the first one counts */
	REASON_NONE,
	REASON_TIMEOUT,
	REASON_STARTUP,
	REASON_CANCEL,
	REASON_STOP,   /* takod stops */
	REASON_WORKER, /* its worker broke a rule or died */
	REASON_LEASE,  /* it is no longer surely this takod's */
	REASON_STREAM  /* its stream broke, the container lived on */
};

struct run {
	TAILQ_ENTRY(run) entry;
	struct job *job;
	struct build *build; /* it is an installer: no row has it */
	struct slot *slot;   /* NULL once that is being taken down */
	enum run_reason reason;
	struct event *timer;
	int64_t claimed, went, ended; /* monotonic; 0: not yet */
	int64_t held_until;	      /* time_boot_us: lease.c */
	uint64_t beat;		      /* the last heartbeat it was in */
	int started;		      /* code_started is durable */
	int starting;		      /* is being written */
	int layer;		      /* it waits for its packages */
	int no_layer;		      /* they cannot be had */
	int64_t layer_us;	      /* it did so long */
	int restart;  /* could not be: again when the store is up */
	int done;     /* the worker's last word is here */
	int dead;     /* the container is gone */
	int inquired; /* 1: its engine is asked who ended it; 2: answered */
	int listed;   /* the same, of what its network refused */
	json_t *network;
	int finishing; /* 1: being written, 2: held */
	int64_t again; /* us until the next attempt; -1: it is the end */
	struct msg_job_done last;
	struct container_facts facts;
	int incomplete;	 /* output was lost */
	int lost;	 /* an artifact was, and it was not the job's fault */
	char folder[96]; /* of artifacts that are not kept yet; or "" */
	int kept;	 /* they are, or it was given up */
	int waits;	 /* that they wait was logged */
	int hurry;	 /* takod stops: they wait no longer */
};
TAILQ_HEAD(run_list, run);
extern struct run_list runs;

/* held_until: as lease_until gave it before the row was asked for. */
void run_begin(struct job *, struct slot *, int started, int64_t held_until);
/*
 * Runs an installer in a slot of that kind; *run, which layer_run_ended finds
 * it by, may have ended before this returns. Takes job over.
 */
void run_build(
    struct build *, struct job *, const struct slot_kind *, struct run **run);
int run_build_take(struct run *); /* its files, from its worker. -1, errno */
int run_build_file(struct run *, int number); /* -1; the caller closes */
void run_build_free(struct run *);
struct run *run_find(const char *job_id);
unsigned run_count(void);
void run_end(struct run *, enum run_reason); /* kills its container */
void run_cancel(const char *job_id);	     /* that job, where it runs here */
/* It is not surely ours any more: what runs is killed, if it began. */
void run_lost(struct run *, const char *why);
void run_slot_ready(struct run *);
/* place: as in struct attempt. */
void run_slot_failed(
    struct run *, enum engine_error, const char *place, const char *detail);
void run_slot_dead(struct run *);
/* A slot for it: also when its former one is to be made otherwise. */
void run_slot(struct run *, const struct slot_kind *);
void run_worker_gone(struct run *, const char *why);
void run_phase(struct run *, enum job_phase);
int run_output(struct run *, const struct msg_job_output *, struct blob *);
int run_artifact(struct run *, const struct msg_job_artifact *);
void run_done(struct run *, const struct msg_job_done *);
void run_store_up(void); /* commits what waited for the store */

/* ---- lease.c: what this takod holds, and for how long -------------------- */
void lease_init(void (*recovered)(void)); /* once: after the first heartbeat */
void lease_store(int up);
/* A heartbeat now, or another one after that which is under way. */
void lease_beat(void);
/* Until when a job is surely held that was asked for then (time_boot_us). */
int64_t lease_until(int64_t asked);
int lease_over(const struct run *);

/* ---- judge.c: how a job ended, from facts it cannot forge ---------------- */
void judge(struct run *);
void judge_lost(struct run *); /* after judge: an artifact was lost */

/* ---- queue.c: from waiting rows to runs ---------------------------------- */
void queue_init(void);
void queue_kick(void);
void queue_released(enum store_result, void *);
void queue_came(void); /* a row waits more than before */
/* s, after which so many jobs will have left it, at the rate of late */
unsigned queue_retry_after(int64_t jobs);
/* The type that a job of that name is run as, or NULL. */
const struct conf_job_type *queue_job_type(const char *asked);
/* Is there something without which no job of that type runs? With detail. */
int queue_type_refused(const struct conf_job_type *, char *detail, size_t);
/* Why a job cannot run at all, with detail; JERR_NONE: it can, in that kind. */
enum job_error queue_refusal(
    const struct job *, struct slot_kind *, char *detail, size_t);

/* ---- retain.c: records that are kept long enough ------------------------- */
void retain_init(void);
/* A sweep at once, or another one after that which is under way. */
void retain_begin(void);

/* ---- letters.c: dead letters --------------------------------------------- */
void letters_list(const char *error, int64_t id, int64_t limit, int64_t offset,
    answer_cb, void *);
void letters_stats(answer_cb, void *);
void letters_remove(int64_t id, answer_cb, void *);
/* Runs its job again, and removes it. */
void letters_retry(int64_t id, answer_cb, void *);
/* Begins to remove old ones, now and then every hour. */
void letters_sweep(void);

/* ---- job_types.c ----------------------------------------------------------
 */
/* One type by its name, or "": all of them. */
void job_types_show(const char *name, answer_cb, void *);
/* line: as in layer_want. */
void job_types_build(const char *name, layer_line_cb line, answer_cb, void *);
void job_types_build_show(const char *name, answer_cb, void *);
/* ---- artifact.c: artifacts for who asks -----------------------------------
 */
struct artifact_ask {
	char job_id[MAX_JOB_ID + 1];
	/* Its name; where none has it, another. 0 bytes: no name. */
	uint8_t name[MAX_ARTIFACT_NAME], other[MAX_ARTIFACT_NAME];
	size_t name_len, other_len;
	int body; /* its bytes are wanted too */
};
/* fd: -1 where no bytes are wanted, or with an error; the caller's. */
typedef void (*artifact_answer_cb)(
    enum rep, const struct msg_rep_artifact *, int fd, uint64_t arg);
void artifact_ask(
    const struct artifact_ask *, artifact_answer_cb, uint64_t arg);

/* ---- find.c: pages of records ------------------------------------------- */
/*
 * Answers tako-api's request req, or takoctl's of client (its serial), which
 * is then 0 or else.
 */
void find_list(uint64_t req, uint64_t client, const struct msg_req_list *);
void find_gone(uint64_t req);	  /* of tako-api; 0: all of them */
int find_serves(uint64_t client); /* a list for it is under way */

/* ---- index.c: the words that records are searched by --------------------- */
void index_init(void);
void index_stop(void); /* its child is ended */
void index_kick(void); /* a job ended: its words are to be indexed */
/* What its child says. The latter: NULL, or what is wrong; takes fd over. */
void index_child_ready(struct child *);
const char *index_words(struct child *, const struct msg_words_done *, int fd);

/* ---- wait.c: requests that wait for a job's end -------------------------- */
void wait_add(uint64_t req, const char *job_id, enum view, int64_t wait_ms,
    int sync, int keep);
/* What was asked by that request, or NULL; *keep: it has an own key. */
const char *wait_gone(uint64_t req, int *cancel);
void wait_job_ended(const struct job *);
/* That job may have ended elsewhere: who waits for it is answered then. */
void wait_look(const char *job_id);
void wait_init(void);
void wait_drop_all(void);
/* Nobody waits long for a store that is away: they are told so. */
void wait_store_state(int up);

/*
 * ---- reply.c: answers to tako-api ----------------------------------------
 *
 * A request of tako-api is known by its number there, and above that the pid
 * of who asked: the numbers of another tako-api begin anew, and what is
 * answered meanwhile must not meet one of its own.
 */
uint64_t reply_number(const struct child *, uint32_t id);
int reply_wanted(uint64_t req); /* is who asked still there? */
void reply_send(uint64_t req, uint32_t type, const void *m, int fd);
void reply_error(
    uint64_t req, enum rep, const char *job_id, const char *detail);
void reply_record(uint64_t req, const struct job *, enum view, int timed_out,
    int64_t queue_position);
void reply_submit(uint64_t req, const struct job *, enum job_status);
/* An answer_cb for a request of tako-api, and what it is to be given. */
void reply_answer(enum rep, const char *detail, json_t *answer, void *asker);
void *reply_asker(const struct child *, uint32_t id);
int reply_json_to(struct imsgev *, uint32_t req, const json_t *);
void reply_stats_fill(struct msg_rep_stats *);
int reply_record_to(struct imsgev *, uint32_t req, const struct job *,
    enum view, int timed_out, int64_t queue_position);

/* ---- control.c: takoctl ---------------------------------------------------
 */
int control_open(char *detail, size_t);
void control_close(void);
/* A client by its serial: its channel (NULL: it is gone), its last word. */
struct imsgev *control_channel(uint64_t client);
void control_end(uint64_t client, enum rep, const char *detail);

/* ---- import.c: records that takoctl brings -------------------------------
 */
/* A folder for artifacts that the client of uid may fill; -1, errno. */
int import_folder(uint64_t client, uid_t uid);
/* Takes a record over, and what is in that folder; answers the client. */
void import_record(
    uint64_t client, const struct msg_ctl_import *, struct blob *sections);
void import_gone(uint64_t client);

/* ---- main.c ----------------------------------------------------------------
 */
void takod_ready(void);
void takod_stop(int now);
void takod_check_stopped(void);
int takod_stopping(void); /* a stop was asked for */

/* ---- reload.c ------------------------------------------------------------ */

struct reload {
	struct conf_errors errors;   /* of a file that is not valid */
	struct conf_change *changes; /* those that need a restart, too */
	size_t n_changes;
	char detail[512]; /* why nothing has changed; "": all is well */
};

/* path: as -c named it, NULL: it was searched; kept. */
void reload_init(const char *path);
/*
 * Reads the configuration and takes over what can change, or only says what
 * would (dry). 0, or -1 and nothing has changed. *r is set, for reload_free.
 */
int reload_run(struct reload *r, int dry);
void reload_free(struct reload *r);

#endif
