/*
 * artifact_local.c: artifacts in a folder of data_dir, on this host alone. Runs
 * in the parent.
 *
 *	artifacts/<job id>/<fence>/<number>
 *
 * The worker has written and synced each file into its spool folder; the
 * folder is renamed, and the folders above it are synced: what is there is
 * whole. Takods before the fence was part of the path kept the numbers in the
 * folder of the job.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "artifact_store.h"
#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* Folders that are looked at in a turn of the loop. */
#define LOOKS 16

struct artifact_store {
	int dir; /* artifacts/ */
	struct event *turn;
	DIR *jobs; /* of the list under way */
	artifact_list_cb list_cb;
	void *list_arg;
};

static int
folder_open(int dir, const char *path)
{
	return (
	    openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* ---- put and get ------------------------------------------------------------
 */

/* Are they all there, as long as the worker said? */
static int
files_whole(const char *folder, const struct artifact *list, int n)
{
	char path[128];
	struct stat st;
	int i;

	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%d", folder, list[i].number);
		if (fstatat(env.data_fd, path, &st, AT_SYMLINK_NOFOLLOW) ==
			-1 ||
		    !S_ISREG(st.st_mode) ||
		    (uint64_t)st.st_size != list[i].size)
			return (0);
	}
	return (1);
}

static int
sync_folder(int dir, const char *path)
{
	int fd = folder_open(dir, path), ret;

	if (fd == -1)
		return (-1);
	ret = fsync(fd);
	close_fd(&fd);
	return (ret);
}

static void
local_put(struct artifact_store *s, const struct artifact_place *place,
    const char *folder, const struct artifact *list, int n, artifact_cb cb,
    void *arg)
{
	enum artifact_result result = ARTIFACT_FAILED;
	char to[96];

	snprintf(
	    to, sizeof(to), "%s/%lld", place->job_id, (long long)place->fence);
	if (!files_whole(folder, list, n))
		log_warnx("job %s: artifacts are not as they were reported",
		    place->job_id);
	else if (sync_folder(env.data_fd, folder) == -1 ||
		 make_dir(s->dir, place->job_id, 0700) == -1 ||
		 renameat(env.data_fd, folder, s->dir, to) == -1 ||
		 sync_folder(s->dir, place->job_id) == -1 ||
		 fsync(s->dir) == -1)
		log_warn("job %s: artifacts cannot be kept", place->job_id);
	else
		result = ARTIFACT_OK;
	artifact_answer(cb, result, arg);
}

static int
file_open(struct artifact_store *s, const struct artifact_place *place,
    const struct artifact *a)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/%lld/%d", place->job_id,
	    (long long)place->fence, a->number);
	if ((fd = openat(s->dir, path, flags)) != -1 || errno != ENOENT)
		return (fd);
	snprintf(path, sizeof(path), "%s/%d", place->job_id, a->number);
	return (openat(s->dir, path, flags));
}

static void
local_get(struct artifact_store *s, const struct artifact_place *place,
    const struct artifact *a, artifact_get_cb cb, void *arg)
{
	enum artifact_result result = ARTIFACT_OK;
	struct stat st;
	int fd = file_open(s, place, a);

	if (fd == -1)
		result = errno == ENOENT ? ARTIFACT_NOT_FOUND
			 : errno == EMFILE || errno == ENFILE ? ARTIFACT_AWAY
							      : ARTIFACT_FAILED;
	else if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
		 (uint64_t)st.st_size != a->size) {
		result = ARTIFACT_FAILED;
		close_fd(&fd);
	}
	if (result != ARTIFACT_OK)
		log_warnx("job %s: artifact %d is not in the local store",
		    place->job_id, a->number);
	artifact_answer_get(cb, result, fd, arg);
}

/* ---- remove -----------------------------------------------------------------
 */

static void
remove_fence(const char *job_id, const char *fence)
{
	char path[96 + NAME_MAX];

	snprintf(path, sizeof(path), "artifacts/%s/%s", job_id, fence);
	artifact_folder_remove(path);
}

static void
local_remove(struct artifact_store *s, const struct artifact_place *place,
    artifact_cb cb, void *arg)
{
	struct dirent *e;
	char fence[24];
	DIR *d = NULL;
	int fd;

	if (place->fence != 0) {
		snprintf(fence, sizeof(fence), "%lld", (long long)place->fence);
		remove_fence(place->job_id, fence);
	} else if ((fd = folder_open(s->dir, place->job_id)) != -1 &&
		   (d = fdopendir(fd)) != NULL) {
		while ((e = readdir(d)) != NULL)
			if (e->d_name[0] != '.' &&
			    unlinkat(fd, e->d_name, 0) == -1 && errno == EISDIR)
				remove_fence(place->job_id, e->d_name);
		closedir(d);
	}
	if (unlinkat(s->dir, place->job_id, AT_REMOVEDIR) == -1 &&
	    errno != ENOENT && errno != ENOTEMPTY)
		log_warn("cannot remove artifacts/%s", place->job_id);
	artifact_answer(cb, ARTIFACT_OK, arg);
}

/* ---- list -------------------------------------------------------------------
 */

/* The claims' folders of one job, and the job's own when it has files. */
static size_t
job_places(struct artifact_store *s, const char *job_id,
    struct artifact_found *found, size_t max)
{
	struct artifact_found f = { .written = 0 };
	struct dirent *e;
	struct stat st;
	size_t n = 0;
	DIR *d;
	int fd, here = 0;

	if (strlcpy(f.place.job_id, job_id, sizeof(f.place.job_id)) >=
		sizeof(f.place.job_id) ||
	    (fd = folder_open(s->dir, job_id)) == -1)
		return (0);
	if ((d = fdopendir(fd)) == NULL) {
		close_fd(&fd);
		return (0);
	}
	if (fstat(fd, &st) == 0)
		f.written = st.st_mtime * INT64_C(1000000);
	while ((e = readdir(d)) != NULL && n < max) {
		if (e->d_name[0] == '.' ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			here = 1;
			continue;
		}
		f.place.fence = strtoll(e->d_name, NULL, 10);
		found[n++] = f;
	}
	closedir(d);
	f.place.fence = 0;
	/* An empty one was left between two steps. */
	if ((here || n == 0) && n < max)
		found[n++] = f;
	return (n);
}

static void
list_turn(int fd, short events, void *arg)
{
	struct artifact_found found[4 * LOOKS];
	struct artifact_store *s = arg;
	struct dirent *e = NULL;
	size_t n = 0;
	int i;

	(void)fd;
	(void)events;
	for (i = 0; i < LOOKS && s->jobs != NULL; i++) {
		if ((e = readdir(s->jobs)) == NULL) {
			closedir(s->jobs);
			s->jobs = NULL;
		} else if (e->d_name[0] != '.')
			n += job_places(
			    s, e->d_name, found + n, nitems(found) - n);
	}
	s->list_cb(n > 0 || s->jobs != NULL ? ARTIFACT_OK : ARTIFACT_NOT_FOUND,
	    found, n, s->list_arg);
}

static void
local_list(struct artifact_store *s, int first, artifact_list_cb cb, void *arg)
{
	static const struct timeval at_once = { 0, 0 };
	int fd;

	if (first) {
		if (s->jobs != NULL)
			closedir(s->jobs);
		if ((fd = folder_open(s->dir, ".")) == -1 ||
		    (s->jobs = fdopendir(fd)) == NULL) {
			log_warn("artifacts");
			close_fd(&fd);
			s->jobs = NULL;
		}
	}
	s->list_cb = cb;
	s->list_arg = arg;
	event_arm(s->turn, &at_once);
}

/* ---- life -------------------------------------------------------------------
 */

static void
local_close(struct artifact_store *s)
{
	if (s->jobs != NULL)
		closedir(s->jobs);
	if (s->turn != NULL)
		event_free(s->turn);
	close_fd(&s->dir);
	free(s);
}

static struct artifact_store *
local_open(
    struct event_base *base, const struct conf *conf, char *detail, size_t len)
{
	struct artifact_store *s = xcalloc(1, sizeof(*s));

	(void)conf;
	s->turn = evtimer_new(base, list_turn, s);
	if (make_dir(env.data_fd, "artifacts", 0700) == -1)
		s->dir = -1;
	else
		s->dir = folder_open(env.data_fd, "artifacts");
	if (s->dir == -1 || s->turn == NULL) {
		snprintf(
		    detail, len, "data_dir: artifacts: %s", strerror(errno));
		local_close(s);
		return (NULL);
	}
	return (s);
}

const struct artifact_ops artifact_local = {
	.name = "local",
	.open = local_open,
	.close = local_close,
	.put = local_put,
	.get = local_get,
	.remove = local_remove,
	.list = local_list,
};
