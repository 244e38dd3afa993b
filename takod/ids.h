/*
 * ids.h: the names and numbers that a takod has on its host. They follow from
 * its configuration alone, so that tako-vm finds the same.
 */
#ifndef IDS_H
#define IDS_H

#include <stddef.h>
#include <sys/types.h>

#include "conf.h"

struct ids {
	char instance[17]; /* names this takod on the host */
	uid_t base;	   /* the first of IDS_PER_TAKOD (engine.h) */
	uid_t api_uid;
	gid_t api_gid;
	uid_t worker_uid; /* 0: one id per slot */
	gid_t worker_gid;
};

/* -1 with detail when a user that is named is not there. */
int ids_choose(const struct conf *, struct ids *, char *detail, size_t);
/*
 * Claims them on this host for as long as the process lives, which calls it
 * once. -1 with detail when another takod has any of them, or the same name.
 */
int ids_claim(const struct ids *, char *detail, size_t);

#endif
