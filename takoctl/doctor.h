/*
 * doctor.h: what the checks of `tako-vm doctor` share. Each check runs in a
 * child process of its own (doctor.c), so that one which hangs or crashes is
 * a finding and no more, and leaves its findings in memory shared with the
 * parent.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "takod/ids.h"

#define DOCTOR_FINDINGS 64

enum found {
	FOUND_OK,
	FOUND_INFO, /* good to know, and takod does not need it */
	FOUND_WARN, /* takod works, but not as well as it could */
	FOUND_FAIL  /* takod would not start, or not run jobs */
};

struct finding {
	enum found status;
	char check[24]; /* a name that stays the same */
	char text[640];
	char mend[640]; /* "": nothing is to be done */
};

struct findings {
	volatile unsigned n;
	struct finding items[DOCTOR_FINDINGS];
};

struct doctor {
	const struct conf *conf; /* NULL: not valid */
	struct ids ids;
	pid_t daemon; /* the takod of this configuration; 0: none runs */
	struct findings *findings;
};

/*
 * Adds a finding: what was found (printf), and in mend, unless NULL, what to
 * do. Both may hold foreign text: control bytes are escaped.
 */
void doctor_found(struct doctor *, enum found, const char *check,
    const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/*
 * Calls fn in a process of its own, for what cannot be undone. 0, the errno
 * that fn returns, or ECANCELED when it was ended by a signal.
 */
int doctor_apart(int (*fn)(void));

/* ---- doctor_kernel.c ---------------------------------------------------- */
void doctor_kernel(struct doctor *);
void doctor_cgroups(struct doctor *);

/* ---- doctor_host.c ------------------------------------------------------ */
void doctor_rights(struct doctor *);
void doctor_clock(struct doctor *);
void doctor_limits(struct doctor *);
void doctor_users(struct doctor *);
void doctor_folders(struct doctor *);

/* ---- doctor_sockets.c --------------------------------------------------- */
/* The process that listens as takod on the control socket; 0: none. */
pid_t doctor_daemon(const struct conf *);
void doctor_control(struct doctor *);
void doctor_port(struct doctor *);

/* ---- doctor_sqlite.c, doctor_pg.c ---------------------------------------- */
#define SQLITE_SCHEME "sqlite:///"
void doctor_sqlite(struct doctor *);
void doctor_pg(struct doctor *);

/* ---- doctor_engine.c ---------------------------------------------------- */
void doctor_engine(struct doctor *);

#endif
