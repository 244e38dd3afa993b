/*
 * ids.c: which ids takod's children and containers get. Runs in the parent at
 * start, and in tako-vm, which looks whether they are free.
 */
#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

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
 * A socket whose name has the claim and is no file: it ends with its process,
 * and /proc/self/net/unix lists it. Whoever is not root can have such a name
 * too, but is no takod, so who listens is asked of the kernel.
 */

#define CLAIM "takod-ids-"

static socklen_t
claim_address(struct sockaddr_un *sun, const char *name)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	strlcpy(sun->sun_path + 1, name, sizeof(sun->sun_path) - 1);
	return ((socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			    strlen(sun->sun_path + 1)));
}

static int
claim_of_root(const char *name)
{
	struct sockaddr_un sun;
	struct ucred cred = { .uid = 1 };
	socklen_t len = claim_address(&sun, name), size = sizeof(cred);
	int fd, ret;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (0);
	ret = connect(fd, (struct sockaddr *)&sun, len) == 0 &&
	      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 &&
	      cred.uid == 0;
	close_fd(&fd);
	return (ret);
}

/* Is this line of /proc/self/net/unix a claim that ours may not be beside? */
static int
claim_conflicts(const struct ids *ids, const char *own, const char *line)
{
	const char *name = strstr(line, "@" CLAIM);
	char instance[17];
	unsigned base;

	if (name == NULL || strcmp(++name, own) == 0 ||
	    sscanf(name, CLAIM "%u-%16[0-9a-f]-", &base, instance) != 2)
		return (0);
	if ((base >= ids->base ? base - ids->base : ids->base - base) >=
		IDS_PER_TAKOD &&
	    strcmp(instance, ids->instance) != 0)
		return (0);
	return (claim_of_root(name));
}

int
ids_claim(const struct ids *ids, char *detail, size_t len)
{
	struct sockaddr_un sun;
	socklen_t size;
	char own[96], line[512];
	FILE *f;
	int fd, ret = 0;

	snprintf(own, sizeof(own), CLAIM "%u-%s-%d", (unsigned)ids->base,
	    ids->instance, (int)getpid());
	size = claim_address(&sun, own);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, size) == -1 ||
	    listen(fd, 8) == -1 ||
	    (f = fopen("/proc/self/net/unix", "re")) == NULL) {
		snprintf(detail, len, "claiming the ids: %s", strerror(errno));
		close_fd(&fd);
		return (-1);
	}
	while (ret == 0 && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (claim_conflicts(ids, own, line))
			ret = -1;
	}
	fclose(f);
	if (ret == 0)
		return (0); /* held, and open, from now on */
	snprintf(detail, len,
	    "ids %u to %u, or the name %s, are another takod's on this host: "
	    "set uid_base, or another data_dir",
	    (unsigned)ids->base, (unsigned)ids->base + IDS_PER_TAKOD - 1,
	    ids->instance);
	close_fd(&fd);
	return (-1);
}
