/*
 * takoctl.h: the operator's client, and under the name tako-vm the file-side
 * commands. It has the caller's privileges and one connected socket.
 */
#ifndef TAKOCTL_H
#define TAKOCTL_H

#include <signal.h>
#include <stdio.h>

#include "conf.h"
#include "imsgev.h"
#include "msg.h"

/* A command of takoctl: one row of the table in main.c. */
struct command {
	const char *name;
	const char *args; /* as in the usage text */
	const char *help;
	uint32_t type; /* what is sent; MSG_NONE: served without takod */
	int min, max;  /* operands */
	/* Not NULL: what it does, instead of one request and its answer. */
	int (*run)(const char *path, const struct command *, int argc,
	    char **argv, int json);
};
extern const struct command commands[];
/* What stands behind "takoctl dlq"; the first one when nothing does. */
extern const struct command dlq_commands[];

/* ---- ctl.c: one request to takod, and its answer ------------------------- */
/*
 * Connects to path, sends the request and prints the answer. Returns an exit
 * status of sysexits(3): EX_UNAVAILABLE when no daemon answers, EX_NOPERM when
 * it may not be asked, EX_DATAERR when there is no such job.
 */
int ctl_run(
    const char *path, const struct command *, int argc, char **argv, int json);

/*
 * A connection to takod, for a call at a time. NULL with an exit status, and
 * it was said why.
 */
struct ctl;
struct ctl *ctl_open(const char *path, int *status);
void ctl_close(struct ctl *);
/* Its calls end within a second of *stop being set. */
void ctl_stop(struct ctl *, volatile sig_atomic_t *stop);
/* A frame of the answer; fd is the callee's. -1: it is no answer. */
typedef int (*ctl_cb)(const struct msg_frame *, int fd, void *arg);
/*
 * Sends a request (fd is not taken over), and waits for all of its answer: cb
 * is given each frame but the last, which is put into end. An exit status;
 * what is no fault of the request is said here.
 */
int ctl_call(struct ctl *, uint32_t type, const void *, int fd, ctl_cb,
    void *arg, struct msg_ctl_end *end);
/* Prints what is wrong with a command's operands; EX_USAGE. */
int ctl_usage(const struct command *, const char *why);

/* Where takod listens for it. */
void ctl_path(const struct conf *, char *path, size_t len);

/* ---- find.c: records --------------------------------------------------- */
int find_run(const char *, const struct command *, int, char **, int);
int find_diff(const char *, const struct command *, int, char **, int);
int find_logs(const char *, const struct command *, int, char **, int);
/* The filter that flags name, and others: *output is -o's. Not 0: a status. */
int find_filter(const struct command *, int *argc, char ***argv,
    struct msg_ctl_list *, const char **output);

/* A record with its sections, of one memfd. */
struct ctl_record {
	struct msg_rep_record m;
	struct blob *all;
	struct {
		const uint8_t *data;
		size_t len;
	} out, err, output, artifacts, extras, code, input, requirements;
};
/* Takes fd over. -1: the lengths are not those of the descriptor. */
int ctl_record_take(struct ctl_record *, const struct msg_frame *, int fd);

/* ---- export.c, import.c: records as a tar ------------------------------- */
int export_run(const char *, const struct command *, int, char **, int);
int import_run(const char *, const struct command *, int, char **, int);

/* ---- show.c: answers for people and for programs ------------------------- */
void show_begin(const struct command *, int json);
void show_stats(const struct msg_rep_stats *);
void show_daemon(const struct msg_ctl_daemon *);
void show_child(const struct msg_ctl_child *);
void show_node(const struct msg_ctl_node *);
void show_record(const struct msg_rep_record *, const char *sections);
/* 0, or -1: it is not what was asked for. */
int show_answer(const char *text, size_t len);
void show_tenant(const struct msg_ctl_tenant *);
void show_change(const struct msg_ctl_change *);
void show_problem(const struct msg_ctl_problem *);
void show_end(const struct msg_ctl_end *);
/* There are more records than were asked for: from next on. */
void show_next(const struct msg_rep_list *);

/* ---- artifacts.c: what a job left --------------------------------------- */
/* Fills a CTL_ARTIFACT, or a CTL_JOB and sets *type. Not 0: an exit status. */
int artifacts_request(int argc, char **argv, void *buf, uint32_t *type);
/* The list of a record: printed, or as JSON, or kept to be asked for. */
struct json_t *artifacts_record(const void *list, size_t len, int json);
/* Is there another to be asked for? Then it is filled. */
int artifacts_next(struct msg_ctl_artifact *);
void artifacts_save(const struct msg_rep_artifact *, int fd);
int artifacts_failed(void); /* one could not be saved */

/* ---- vm.c: tako-vm ----------------------------------------------------------
 */
int vm_main(int argc, char **argv);

/* ---- complete.c: what shells offer while a command is typed ----------------
 */

struct complete_item {
	const char *name, *args, *help;
};
/* items end with a NULL name. -1: no such shell, or it was not written. */
int complete_print(
    const char *program, const char *shell, const struct complete_item *items);

/* ---- vm_daemon.c: tako-vm, with a daemon; exit statuses --------------------
 */

/* Becomes takod; host and port, if not NULL, instead of the configured. */
int vm_server(const char *config, const char *host, const char *port);
/* Asks url, or where the configuration says; 1 unless it is healthy. */
int vm_status(const char *config, const char *url, int json);

/* The URL where it says that takod listens; the caller's to free. */
char *vm_url(const struct conf *);

/* ---- setup.c: tako-vm setup -------------------------------------------------
 */
/* Makes the image if it is missing and runs a job; 1 unless that ran. */
int vm_setup(const char *config, int json);

/* ---- doctor.c: tako-vm doctor -----------------------------------------------
 */
/* Tries what takod needs, and prints it; 1 when takod would not work. */
int vm_doctor(const char *config, int json);

#endif
