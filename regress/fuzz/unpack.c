/*
 * unpack.c: fuzz target of what an installer's container leaves: the archive of
 * a layer, or its list of packages, by the first byte. What becomes of an
 * archive is files and folders below the one folder, no more of them and no
 * larger than it says, and than may be; what a list names is words.
 */
#include <fts.h>
#include <stdlib.h>

#include "fuzz.h"
#include "blob.h"
#include "tako-worker/unpack.c"

#define LIST   1 /* it is a list, not an archive */
#define MENDED 2 /* the checksums of an archive are put right */
#define MOST   65536

static char top[] = "/dev/shm/unpack-XXXXXX";

static void
top_gone(void)
{
	rmdir(top);
}

/* Removes all that is there, and counts it. */
static void
check_tree(const struct msg_unpack_done *done)
{
	char *const roots[] = { top, NULL };
	uint64_t files = 0, bytes = 0;
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	need(fts != NULL);
	while ((e = fts_read(fts)) != NULL) {
		need(e->fts_info == FTS_D || e->fts_info == FTS_DP ||
		     e->fts_info == FTS_F);
		if (e->fts_level == 0 || e->fts_info == FTS_D)
			continue;
		files++;
		if (e->fts_info == FTS_F)
			bytes += (uint64_t)e->fts_statp->st_size;
		need((e->fts_statp->st_mode & 07022) == 0);
		need(remove(e->fts_accpath) == 0);
	}
	fts_close(fts);
	need(bytes <= MOST && files <= done->files);
	if (done->why[0] == '\0')
		need(files == done->files && bytes == done->bytes);
}

static void
check_package(const struct msg_unpack_package *m)
{
	need(m->name[0] != '\0' && m->version[0] != '\0');
	need(m->sha256[0] == '\0' || strlen(m->sha256) == 64);
	need(strpbrk(m->name, " \n\033") == NULL);
}

static void
mend(uint8_t *p, size_t len)
{
	struct ustar h;
	unsigned sum;
	size_t i;

	for (; len >= BLOCK; p += BLOCK, len -= BLOCK) {
		memcpy(&h, p, sizeof(h));
		if (memcmp(h.magic, "ustar", 6) != 0)
			continue;
		memset(h.checksum, ' ', sizeof(h.checksum));
		for (sum = 0, i = 0; i < BLOCK; i++)
			sum += ((const uint8_t *)&h)[i];
		snprintf(h.checksum, sizeof(h.checksum), "%06o", sum & 0777777);
		memcpy(p, &h, sizeof(h));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct msg_unpack_done done;
	uint8_t *copy;
	int fd;

	if (len == 0)
		return (0);
	if (dir == -1) {
		need(mkdtemp(top) != NULL);
		atexit(top_gone);
		dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		max_bytes = MOST;
		umask(022);
	}
	copy = xmalloc(len);
	memcpy(copy, data + 1, --len);
	if (data[0] & MENDED)
		mend(copy, len);
	fd = memfd_new("left");
	need(fd != -1 && write_all(fd, copy, len) == (ssize_t)len);
	need(lseek(fd, 0, SEEK_SET) == 0);
	if (data[0] & LIST)
		unpack_lock(fd, len, check_package);
	else {
		unpack_tar(fd, &done);
		check_tree(&done);
	}
	free(copy);
	return (0);
}
