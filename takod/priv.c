/*
 * priv.c: who takod is and who its children are. Runs in the parent, at start.
 *
 * takod needs root for three things: to give its children other ids than its
 * own, to start an OCI runtime (namespaces, mounts, cgroups), and to keep its
 * files from them. Being able to start a runtime, or being in the docker
 * group, is root-equivalent: the parent's own privileges are no boundary. The
 * boundary is that it never looks into what children and jobs send.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "log.h"
#include "takod.h"
#include "util.h"

/*
 * Numeric ids for children lie above those of users, of systemd's dynamic
 * users and of its containers (which end at 1879048191), below 2^31.
 */
#define UID_RANGE_FIRST	 1880000000u
#define UID_RANGE_BLOCKS 200000u /* of IDS_PER_TAKOD each */

void
priv_check(void)
{
	if (geteuid() != 0)
		fatalx("takod must be started as root: it gives its children "
		       "users of their own and starts container runtimes. "
		       "Nothing is started without that");
}

/* A user by name; 0 when there is none. */
static uid_t
user_named(const char *name, gid_t *gid)
{
	struct passwd *pw;

	if ((pw = getpwnam(name)) == NULL)
		return (0);
	*gid = pw->pw_gid;
	return (pw->pw_uid);
}

static void
child_ids(const char *configured, const char *conventional, const char *key,
    uid_t *uid, gid_t *gid)
{
	*uid = 0;
	if (configured != NULL) {
		*uid = user_named(configured, gid);
		if (*uid == 0)
			fatalx("%s: no such user, or it is root", key);
	} else
		*uid = user_named(conventional, gid);
}

void
priv_ids(void)
{
	uint8_t digest[TAKO_SHA256];
	uint32_t n;

	/* Two takod never share a data directory: its path names this one. */
	sha256(digest, env.conf->data_dir, strlen(env.conf->data_dir));
	hex_encode(env.instance, digest, 4);
	memcpy(&n, digest + 4, sizeof(n));
	env.uid_base =
	    env.conf->uid_base != 0
		? (uid_t)env.conf->uid_base
		: UID_RANGE_FIRST + n % UID_RANGE_BLOCKS * IDS_PER_TAKOD;
	child_ids(env.conf->api_user, "_takod_api", "api_user", &env.api_uid,
	    &env.api_gid);
	child_ids(env.conf->worker_user, "_takod_worker", "worker_user",
	    &env.worker_uid, &env.worker_gid);
	if (env.api_uid == 0)
		env.api_uid = env.api_gid = ID_API(env.uid_base);
	log_info("instance %s: tako-api is uid %u, workers are uid %u%s",
	    env.instance, (unsigned)env.api_uid,
	    (unsigned)(env.worker_uid != 0 ? env.worker_uid
					   : ID_WORKER(env.uid_base, 0)),
	    env.worker_uid != 0 ? "" : " and following");
	log_info("ids %u to %u are this instance's", (unsigned)env.uid_base,
	    (unsigned)(env.uid_base + IDS_PER_TAKOD - 1));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}
