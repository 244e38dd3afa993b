/*
 * ids.c: which ids takod's children and containers get. Runs in the parent at
 * start, and in tako-vm, which looks whether they are free.
 */
#include <pwd.h>
#include <stdio.h>
#include <string.h>

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
