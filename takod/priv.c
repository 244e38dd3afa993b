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

#include "ids.h"
#include "log.h"
#include "sandbox.h"
#include "takod.h"
#include "util.h"

void
priv_check(void)
{
	if (geteuid() != 0)
		fatalx("takod must be started as root: it gives its children "
		       "users of their own and starts container runtimes. "
		       "Nothing is started without that");
	if (landlock_abi() > 0)
		return;
	if (env.conf->require_landlock)
		fatalx("no Landlock in this kernel: use Linux 5.13 or later "
		       "with \"landlock\" in its lsm= parameter, or set "
		       "require_landlock: false");
	log_warnx("no Landlock in this kernel: takod's children are held back "
		  "from files by the empty root, the system call filter and "
		  "ids");
}

void
priv_ids(void)
{
	struct ids ids;
	char detail[256], host[65];

	if (ids_choose(env.conf, &ids, detail, sizeof(detail)) == -1 ||
	    ids_claim(&ids, detail, sizeof(detail)) == -1)
		fatalx("%s", detail);
	strlcpy(env.instance, ids.instance, sizeof(env.instance));
	if (gethostname(host, sizeof(host)) == -1)
		fatal("gethostname");
	host[sizeof(host) - 1] = '\0';
	snprintf(env.node, sizeof(env.node), "%s@%s", env.instance, host);
	if (env.conf->node_name != NULL)
		strlcpy(env.node, env.conf->node_name, sizeof(env.node));
	env.uid_base = ids.base;
	env.api_uid = ids.api_uid;
	env.api_gid = ids.api_gid;
	env.worker_uid = ids.worker_uid;
	env.worker_gid = ids.worker_gid;
	log_info("instance %s: tako-api is uid %u, workers are uid %u%s",
	    env.instance, (unsigned)env.api_uid,
	    (unsigned)(env.worker_uid != 0 ? env.worker_uid
					   : ID_WORKER(env.uid_base, 0)),
	    env.worker_uid != 0 ? "" : " and following");
	log_info("ids %u to %u are this instance's", (unsigned)env.uid_base,
	    (unsigned)(env.uid_base + IDS_PER_TAKOD - 1));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* What a container may get of it is no core either: engine.h. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, engine_core_limit() });
}
