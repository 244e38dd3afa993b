/*
 * doctor_host.c: what the host gives takod: rights, programs, a clock, limits,
 * users, and room on the disk. Runs in a child of tako-vm doctor.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "takod/engine.h"
#include "util.h"

/* tako-api's descriptors that are no connections, and some to spare. */
#define API_OTHER_FDS 64
/* The parent: a worker's channel, a stream and a pidfd or two per slot. */
#define PARENT_FDS    (MAX_SLOTS * 6 + 128)
#define FREE_LITTLE   (UINT64_C(1) << 30)
#define INODES_LITTLE 10000
/* Further ahead of the program's own date a clock is hardly right. */
#define FAR_AHEAD_S (INT64_C(20) * 366 * 86400)
#define SLACK_S	    86400

/* ---- rights and programs ------------------------------------------------ */

static void
rights_capabilities(struct doctor *d)
{
	/* Whatever the engine is; what that needs is tried by running it. */
	static const unsigned needed[] = { CAP_CHOWN, CAP_SETUID, CAP_SETGID,
		CAP_KILL };
	char missing[128] = "";
	size_t i;

	capng_get_caps_process();
	for (i = 0; i < nitems(needed); i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i])) {
			strlcat(missing, " ", sizeof(missing));
			strlcat(missing, capng_capability_to_name(needed[i]),
			    sizeof(missing));
		}
	if (missing[0] != '\0')
		doctor_found(d, FOUND_FAIL, "privileges",
		    "give them to the container or unit that takod runs in",
		    "root, without the capabilities%s", missing);
	else
		doctor_found(d, FOUND_OK, "privileges", NULL,
		    "root, with the capabilities that takod needs");
}

void
doctor_rights(struct doctor *d)
{
	static const char *const programs[] = { "takod", "tako-api",
		"tako-worker", "tako-init" };
	char path[4096];
	size_t i, n = 0;

	if (geteuid() != 0)
		doctor_found(d, FOUND_FAIL, "privileges",
		    "run this, and takod, as root (sudo)",
		    "not root: takod gives its children users of their own "
		    "and starts container runtimes");
	else
		rights_capabilities(d);
	for (i = 0; i < nitems(programs); i++)
		if (program_path(path, sizeof(path), programs[i]) == 0)
			n++;
		else
			doctor_found(d, FOUND_FAIL, "programs",
			    "install takod anew (make install)",
			    "%s is neither beside tako-vm nor in its libexec "
			    "folder",
			    programs[i]);
	if (n == nitems(programs))
		doctor_found(d, FOUND_OK, "programs", NULL,
		    "takod and its three helpers are there");
}

/* ---- clock and limits --------------------------------------------------- */

void
doctor_clock(struct doctor *d)
{
	static const char mend[] =
	    "set the clock (timedatectl set-ntp true): records and their "
	    "retention go by it";
	char date[33];
	struct stat st;
	int64_t now = time_wall_us() / 1000000;

	time_iso(date, sizeof(date), now * 1000000);
	if (stat("/proc/self/exe", &st) == -1)
		st.st_mtime = 0;
	if (now + SLACK_S < st.st_mtime)
		doctor_found(d, FOUND_FAIL, "clock", mend,
		    "it is %s, which is before this program was made", date);
	else if (st.st_mtime > 0 && now > st.st_mtime + FAR_AHEAD_S)
		doctor_found(d, FOUND_WARN, "clock", mend,
		    "it is %s, which is far ahead", date);
	else
		doctor_found(d, FOUND_OK, "clock", NULL, "it is %s", date);
}

void
doctor_limits(struct doctor *d)
{
	rlim_t need = (rlim_t)d->conf->api_max_connections + API_OTHER_FDS;
	struct rlimit rl;
	char mend[256];

	need = need > PARENT_FDS ? need : PARENT_FDS;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		rl.rlim_max = 0;
	if (rl.rlim_max >= need) {
		doctor_found(d, FOUND_OK, "limits", NULL,
		    "%llu descriptors are allowed, %llu are enough for "
		    "api_max_connections %d",
		    (unsigned long long)rl.rlim_max, (unsigned long long)need,
		    d->conf->api_max_connections);
		return;
	}
	snprintf(mend, sizeof(mend),
	    "raise the hard limit (LimitNOFILE=%llu in the unit, or ulimit -Hn "
	    "%llu), or lower api_max_connections",
	    (unsigned long long)need, (unsigned long long)need);
	doctor_found(d, FOUND_FAIL, "limits", mend,
	    "%llu descriptors are allowed, api_max_connections %d needs %llu",
	    (unsigned long long)rl.rlim_max, d->conf->api_max_connections,
	    (unsigned long long)need);
}

/* ---- users -------------------------------------------------------------- */

/* "name:first:count" lines; 1 when one of them meets the range, in who. */
static int
subids_meet(const char *path, uid_t from, uid_t to, char *who, size_t len)
{
	unsigned long first, count;
	char name[64], line[512];
	int met = 0;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		return (0);
	while (!met && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%63[^:]:%lu:%lu", name, &first, &count) ==
			3 &&
		    first <= to && first + count > from) {
			snprintf(who, len, "%s has them in %s", name, path);
			met = 1;
		}
	fclose(f);
	return (met);
}

static int
range_taken(uid_t from, uid_t to, char *who, size_t len)
{
	struct passwd *pw;

	setpwent();
	while ((pw = getpwent()) != NULL)
		if (pw->pw_uid >= from && pw->pw_uid <= to) {
			snprintf(who, len, "user %s is %u", pw->pw_name,
			    (unsigned)pw->pw_uid);
			endpwent();
			return (1);
		}
	endpwent();
	return (subids_meet("/etc/subuid", from, to, who, len) ||
		subids_meet("/etc/subgid", from, to, who, len));
}

void
doctor_users(struct doctor *d)
{
	uid_t from, to;
	struct ids ids;
	char detail[256];

	if (ids_choose(d->conf, &ids, detail, sizeof(detail)) == -1) {
		doctor_found(d, FOUND_FAIL, "users",
		    "make that user (useradd --system), or leave the key out",
		    "%s", detail);
		return;
	}
	from = ids.base;
	to = ids.base + IDS_PER_TAKOD - 1;
	if (range_taken(from, to, detail, sizeof(detail)))
		doctor_found(d, FOUND_WARN, "users",
		    "set uid_base to the first of 1024 ids that nobody has",
		    "ids %u to %u are to be takod's, but %s", (unsigned)from,
		    (unsigned)to, detail);
	else
		doctor_found(d, FOUND_OK, "users", NULL,
		    "ids %u to %u are nobody's; tako-api is uid %u",
		    (unsigned)from, (unsigned)to, (unsigned)ids.api_uid);
}

/* ---- the data directory ------------------------------------------------- */

/* A folder is made in it and removed. 0, or an errno. */
static int
try_folder(const char *path)
{
	char *name = xasprintf("%s/.doctor-XXXXXX", path);
	int error = 0;

	if (mkdtemp(name) == NULL || rmdir(name) == -1)
		error = errno;
	free(name);
	return (error);
}

/* The nearest folder that is there, in path itself. */
static void
nearest(char *path)
{
	struct stat st;
	char *slash;

	while (stat(path, &st) == -1 && errno == ENOENT &&
	       (slash = strrchr(path, '/')) != NULL) {
		*slash = '\0';
		if (slash == path)
			strlcpy(path, "/", 2);
	}
}

static void
disk(struct doctor *d, const char *path)
{
	static const char mend[] =
	    "free some space there, or set data_dir to a larger disk";
	uint64_t left, need = d->conf->max_total_artifacts_bytes;
	struct statvfs v;
	enum found status = FOUND_OK;

	if (statvfs(path, &v) == -1) {
		doctor_found(d, FOUND_FAIL, "disk", mend, "%s: %s", path,
		    strerror(errno));
		return;
	}
	left = (uint64_t)v.f_bavail * v.f_frsize;
	/* Some file systems have no table of inodes: they say 0 of 0. */
	if (left < FREE_LITTLE || (v.f_files > 0 && v.f_favail < INODES_LITTLE))
		status = FOUND_WARN;
	if (left < need || (v.f_files > 0 && v.f_favail < 100))
		status = FOUND_FAIL;
	doctor_found(d, status, "disk", status == FOUND_OK ? NULL : mend,
	    "%llu MiB and %llu inodes are free; one job may leave %llu MiB",
	    (unsigned long long)left >> 20, (unsigned long long)v.f_favail,
	    (unsigned long long)need >> 20);
}

/* near can be written; is it data_dir itself, and whose is it? */
static void
folder_good(struct doctor *d, const char *near, const struct stat *st)
{
	const char *dir = d->conf->data_dir;

	if (strcmp(near, dir) != 0)
		doctor_found(d, FOUND_OK, "data_dir", NULL,
		    "%s will be made in %s", dir, near);
	/* As it is installed others may pass, and see nothing. */
	else if (st->st_mode & 066 || st->st_uid != 0)
		doctor_found(d, FOUND_WARN, "data_dir",
		    "chown root it, and chmod 700: what jobs left is in it",
		    "%s is open to others (mode %03o, uid %u)", dir,
		    st->st_mode & 0777, (unsigned)st->st_uid);
	else
		doctor_found(
		    d, FOUND_OK, "data_dir", NULL, "%s can be written", dir);
}

void
doctor_folders(struct doctor *d)
{
	char *near = xstrdup(d->conf->data_dir);
	struct stat st;
	int error;

	signal(SIGTERM, SIG_IGN); /* quick, and nothing must stay */
	nearest(near);
	if (stat(near, &st) == -1)
		doctor_found(d, FOUND_FAIL, "data_dir",
		    "set data_dir to a folder on a disk of this host", "%s: %s",
		    near, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		doctor_found(d, FOUND_FAIL, "data_dir",
		    "move that file away, or set data_dir to another path",
		    "%s is a file", near);
	else if ((error = try_folder(near)) != 0)
		doctor_found(d, FOUND_FAIL, "data_dir",
		    "set data_dir to a folder that root can write to, or "
		    "mount it writable",
		    "nothing can be made in %s: %s", near, strerror(error));
	else {
		folder_good(d, near, &st);
		disk(d, near);
	}
	free(near);
}
