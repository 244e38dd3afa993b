/*
 * ids.c: which ids takod's children and containers get. Runs in the parent at
 * start, and in tako-vm, which looks whether they are free.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "engine.h"
#include "ids.h"
#include "util.h"

/*
 * Numeric ids for children lie above those of users, of systemd's dynamic
 * users and of its containers (which end at 1879048191), below 2^31.
 */
#define UID_RANGE_FIRST	 1880000000u
#define UID_RANGE_BLOCKS 200000u /* of IDS_PER_TAKOD each */

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

/* The configured one has to be there, the conventional one may be. */
static int
child_ids(const char *configured, const char *conventional, const char *key,
    uid_t *uid, gid_t *gid, char *detail, size_t len)
{
	*uid = user_named(configured != NULL ? configured : conventional, gid);
	if (configured == NULL || *uid != 0)
		return (0);
	snprintf(detail, len, "%s: no such user, or it is root", key);
	return (-1);
}

int
ids_choose(const struct conf *cf, struct ids *ids, char *detail, size_t len)
{
	uint8_t digest[TAKO_SHA256];
	uint32_t n;

	memset(ids, 0, sizeof(*ids));
	/* Two takod never share a data directory: its path names this one. */
	sha256(digest, cf->data_dir, strlen(cf->data_dir));
	hex_encode(ids->instance, digest, 4);
	memcpy(&n, digest + 4, sizeof(n));
	ids->base = cf->uid_base != 0 ? (uid_t)cf->uid_base
				      : UID_RANGE_FIRST + n % UID_RANGE_BLOCKS *
							      IDS_PER_TAKOD;
	if (child_ids(cf->api_user, "_takod_api", "api_user", &ids->api_uid,
		&ids->api_gid, detail, len) == -1 ||
	    child_ids(cf->worker_user, "_takod_worker", "worker_user",
		&ids->worker_uid, &ids->worker_gid, detail, len) == -1)
		return (-1);
	if (ids->api_uid == 0)
		ids->api_uid = ids->api_gid = ID_API(ids->base);
	return (0);
}

/* ---- a claim that others see ------------------------------------------------
 *
 * A lock of the bytes that have the ids' numbers, in a file that all takods of
 * the host share: the kernel finds what overlaps, the lock is this process's
 * alone (no child inherits it) and ends with it, and nothing but root can open
 * the file. Network namespaces have no part in it.
 */

#define CLAIM_NAMES ((off_t)1 << 32) /* a byte for each, behind the ids */

static int
claim(int fd, off_t first, off_t n)
{
	struct flock fl = { .l_type = F_WRLCK, .l_start = first, .l_len = n };

	return (fcntl(fd, F_SETLK, &fl));
}

int
ids_claim(const struct ids *ids, char *detail, size_t len)
{
	static const char path[] = PATH_RUN "/ids";
	off_t name = (off_t)strtoul(ids->instance, NULL, 16);
	int fd = -1;

	if (make_dir(AT_FDCWD, PATH_RUN, 0755) == -1 ||
	    (fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		 0600)) == -1) {
		snprintf(detail, len,
		    "%s: %s: takods of a host claim their ids there: let root "
		    "write in /run (in a container, a tmpfs)",
		    path, strerror(errno));
		return (-1);
	}
	if (claim(fd, (off_t)ids->base, IDS_PER_TAKOD) == 0 &&
	    claim(fd, CLAIM_NAMES + name, 1) == 0)
		return (0); /* held, and open, from now on */
	if (errno != EAGAIN && errno != EACCES)
		snprintf(detail, len, "%s: %s", path, strerror(errno));
	else
		snprintf(detail, len,
		    "ids %u to %u, or the name %s, are another takod's on this "
		    "host: set uid_base, or another data_dir",
		    (unsigned)ids->base,
		    (unsigned)ids->base + IDS_PER_TAKOD - 1, ids->instance);
	close_fd(&fd);
	return (-1);
}
