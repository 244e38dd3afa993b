/*
 * landlock.c: no file and no network by name, whatever system call is used.
 * Runs in tako-api and tako-worker, once their descriptors are there.
 *
 * Landlock grows by ABI; each wall is used where the kernel has it, and none
 * of them is the only one: the system call filter stands before all of them.
 */
#include <string.h>
#include <unistd.h>
#include <linux/landlock.h>
#include <sys/syscall.h>

#include "log.h"
#include "sandbox.h"
#include "util.h"

/* Rights by ABI, for headers older than the kernel (Debian 12 knows ABI 2). */
#define FS_ABI_1     ((1ULL << 13) - 1)
#define FS_REFER     (1ULL << 13) /* 2 */
#define FS_TRUNCATE  (1ULL << 14) /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_TCP_BOTH 3ULL	  /* 4: bind, connect */
#define SCOPE_BOTH   3ULL	  /* 6: abstract sockets, signals */

struct ruleset {
	uint64_t fs, net, scoped;
};

int landlock_most = LANDLOCK_NEWEST;

static void
ruleset_of(int abi, struct ruleset *rs, size_t *size)
{
	memset(rs, 0, sizeof(*rs));
	*size = offsetof(struct ruleset, net);
	rs->fs = FS_ABI_1;
	if (abi >= 2)
		rs->fs |= FS_REFER;
	if (abi >= 3)
		rs->fs |= FS_TRUNCATE;
	if (abi >= 4) {
		rs->net = NET_TCP_BOTH;
		*size = offsetof(struct ruleset, scoped);
	}
	if (abi >= 5)
		rs->fs |= FS_IOCTL_DEV;
	if (abi >= 6) {
		rs->scoped = SCOPE_BOTH;
		*size = sizeof(*rs);
	}
}

int
landlock_abi(void)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	return (abi < 0 ? 0 : abi > landlock_most ? landlock_most : abi);
}

int
landlock_enter(int dir, int tree)
{
	struct landlock_path_beneath_attr beneath;
	struct ruleset rs;
	size_t size;
	int abi = landlock_abi(), fd;

	if (abi == 0)
		return (0); /* takod has warned, or has not started */
	ruleset_of(abi, &rs, &size);
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
	if (fd == -1)
		fatal("landlock_create_ruleset");
	if (dir != -1) {
		memset(&beneath, 0, sizeof(beneath));
		beneath.allowed_access =
		    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE;
		if (tree)
			beneath.allowed_access |= LANDLOCK_ACCESS_FS_MAKE_DIR;
		beneath.parent_fd = dir;
		if (syscall(SYS_landlock_add_rule, fd,
			LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == -1)
			fatal("landlock_add_rule");
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		fatal("landlock_restrict_self");
	close_fd(&fd);
	log_debug("Landlock by ABI %d", abi);
	return (abi);
}
