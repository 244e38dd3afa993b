/*
 * shared_code.c: the operator's files that a job type shares with its jobs.
 * Runs in the parent, at the start and at a reload.
 *
 * Jobs see a copy, <data_dir>/shared_code/<number>/<job type>/shared_code,
 * mounted read-only: so what a job sees is of one moment, and nothing else of
 * the host is in reach. A copy is made when something has changed; it goes
 * when the last slot that has it is gone. Paths are resolved by the kernel
 * below the folder of the configuration (openat2), symbolic links included.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "log.h"
#include "oci_engine.h"
#include "takod.h"
#include "util.h"

#define FOLDER	   "shared_code" /* below data_dir, and what jobs see */
#define MAX_FILES  10000	 /* and folders, of all job types */
#define MAX_BYTES  (256 << 20)
#define MAX_DEPTH  32
#define OPEN_TRIES 10000 /* of a path that the kernel could not judge yet */

struct shared_copy {
	unsigned number; /* 0: no job type shares anything */
	unsigned users;
	uint8_t digest[TAKO_SHA256]; /* of names, sizes and times */
};

/* One look at all files, with a copy made of them or without. */
struct walk {
	int root; /* the configuration's folder */
	int copy; /* the folder to copy to; -1: only look */
	struct stat config, top;
	struct shared_copy *result;
	unsigned files;
	uint64_t bytes;
	char *detail;
	size_t len;
};

static struct shared_copy *current, *taken;
static unsigned last_number;

static int walk_entry(
    struct walk *, const char *from, int to, const char *name, int depth);

/* ---- looking ------------------------------------------------------------- */

static int __attribute__((format(printf, 3, 4)))
walk_fail(struct walk *w, const char *path, const char *fmt, ...)
{
	char why[200], name[4 * 100 + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	snprintf(w->detail + strlen(w->detail), w->len - strlen(w->detail),
	    "%s: %s", log_escape(name, sizeof(name), path, strnlen(path, 100)),
	    why);
	return (-1);
}

/* What is new goes into the digest after what was. */
static void
walk_digest(struct walk *w, const char *text)
{
	size_t len = strlen(text);
	char *all = xmalloc(TAKO_SHA256 + len);

	memcpy(all, w->result->digest, TAKO_SHA256);
	memcpy(all + TAKO_SHA256, text, len);
	sha256(w->result->digest, all, TAKO_SHA256 + len);
	free(all);
}

static void
walk_digest_file(struct walk *w, const char *path, const struct stat *st)
{
	char *text;

	text = xasprintf("%s/%llu/%llu/%o/%lld/%lld.%ld/%lld.%ld", path,
	    (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
	    st->st_mode, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
	    st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
	    st->st_ctim.tv_nsec);
	walk_digest(w, text);
	free(text);
}

/* Opens a path of the operator's, links and all below the root. */
static int
walk_open(const struct walk *w, const char *path, int flags)
{
	struct open_how how = { .flags = (__u64)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	long fd;
	int tries = 0;

	/* While anything anywhere is renamed, it cannot tell where .. leads. */
	do
		fd = syscall(SYS_openat2, w->root, path, &how, sizeof(how));
	while (fd == -1 && errno == EAGAIN && ++tries < OPEN_TRIES);
	return ((int)fd);
}

static const char *
why_not(int error)
{
	return (error == EXDEV ? "leads out of the folder of the configuration"
			       : strerror(error));
}

/* ---- copying ------------------------------------------------------------- */

/* A file that becomes shorter meanwhile is noticed by the look after it. */
static int
copy_bytes(int in, int out, uint64_t size)
{
	char buf[65536];
	ssize_t n;

	while (size > 0) {
		n = copy_file_range(in, NULL, out, NULL, size, 0);
		if (n <= 0)
			break;
		size -= (uint64_t)n;
	}
	/* Not between any two file systems: then by hand. */
	while (size > 0) {
		n = read(in, buf, size < sizeof(buf) ? size : sizeof(buf));
		if (n == 0)
			break;
		if (n == -1 || write_all(out, buf, (size_t)n) != n)
			return (-1);
		size -= (uint64_t)n;
	}
	return (0);
}

static int
walk_file(struct walk *w, const char *from, const struct stat *st, int to,
    const char *name)
{
	mode_t mode = st->st_mode & 0111 ? 0555 : 0444;
	struct stat now;
	int in, out = -1, r = -1;

	w->bytes += (uint64_t)st->st_size;
	if (w->bytes > MAX_BYTES)
		return (walk_fail(w, from,
		    "all shared_code is more than %d MiB", MAX_BYTES >> 20));
	if (w->copy == -1)
		return (0);
	if ((in = walk_open(w, from, O_RDONLY | O_NONBLOCK)) != -1 &&
	    fstat(in, &now) == 0 && S_ISREG(now.st_mode) &&
	    (out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		 0600)) != -1 &&
	    copy_bytes(in, out, (uint64_t)st->st_size) == 0 &&
	    fchmod(out, mode) == 0)
		r = 0;
	close_fd(&in);
	close_fd(&out);
	return (r == 0 ? 0 : walk_fail(w, from, "%s", strerror(errno)));
}

static int
walk_folder(
    struct walk *w, const char *from, int to, const char *name, int depth)
{
	struct dirent **list = NULL;
	int fd, below = -1, i, n, r = -1;
	char *path;

	if (depth == MAX_DEPTH)
		return (walk_fail(w, from, "too deep"));
	fd = walk_open(w, from, O_RDONLY | O_DIRECTORY);
	if (fd == -1 || (n = scandirat(fd, ".", &list, NULL, alphasort)) < 0) {
		close_fd(&fd);
		return (walk_fail(w, from, "%s", strerror(errno)));
	}
	close_fd(&fd);
	if (w->copy != -1 &&
	    (mkdirat(to, name, 0755) == -1 ||
		(below = openat(to, name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1))
		(void)walk_fail(w, from, "%s", strerror(errno));
	else
		r = 0;
	for (i = 0; i < n; i++) {
		if (r == 0 && strcmp(list[i]->d_name, ".") != 0 &&
		    strcmp(list[i]->d_name, "..") != 0) {
			path = xasprintf("%s/%s", from, list[i]->d_name);
			r = walk_entry(
			    w, path, below, list[i]->d_name, depth + 1);
			free(path);
		}
		free(list[i]);
	}
	free(list);
	/* Whatever umask(2) made of it. */
	if (r == 0 && below != -1 && fchmod(below, 0555) == -1)
		r = walk_fail(w, from, "%s", strerror(errno));
	close_fd(&below);
	return (r);
}

/* A file or a folder; to: the folder that its copy belongs in. */
static int
walk_entry(
    struct walk *w, const char *from, int to, const char *name, int depth)
{
	struct stat st, data;
	int fd, r;

	if (++w->files > MAX_FILES)
		return (walk_fail(w, from,
		    "all shared_code is more than %d files", MAX_FILES));
	fd = walk_open(w, from, O_PATH);
	if (fd == -1)
		return (walk_fail(w, from, "%s", why_not(errno)));
	r = fstat(fd, &st);
	close_fd(&fd);
	if (r == -1 || fstat(env.data_fd, &data) == -1)
		return (walk_fail(w, from, "%s", strerror(errno)));
	/* They may hold secrets, and the copy itself. */
	if (st.st_dev == w->top.st_dev && st.st_ino == w->top.st_ino)
		return (walk_fail(
		    w, from, "is the folder of the configuration itself"));
	if (st.st_dev == w->config.st_dev && st.st_ino == w->config.st_ino)
		return (walk_fail(w, from, "is the configuration itself"));
	if (st.st_dev == data.st_dev && st.st_ino == data.st_ino)
		return (walk_fail(w, from, "is data_dir"));
	walk_digest_file(w, from, &st);
	if (S_ISREG(st.st_mode))
		return (walk_file(w, from, &st, to, name));
	if (S_ISDIR(st.st_mode))
		return (walk_folder(w, from, to, name, depth));
	return (walk_fail(w, from, "is neither a file nor a folder"));
}

/* ---- the lists of the job types ------------------------------------------ */

/* The last name of what a path leads to, links resolved. */
static int
real_name(const struct walk *w, const char *path, char *name, size_t len)
{
	char link[64], target[PATH_MAX];
	ssize_t n;
	int fd;

	if ((fd = walk_open(w, path, O_PATH)) == -1)
		return (-1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	close_fd(&fd);
	if (n == -1)
		return (-1);
	target[n] = '\0';
	strlcpy(name, strrchr(target, '/') + 1, len);
	return (0);
}

/* A path as it stands in the file, from its folder on; conf checked it. */
static const char *
from_folder(const char *folder, const char *path)
{
	size_t len = strlen(folder);

	if (path[0] != '/')
		return (path);
	path += strcmp(folder, "/") == 0 ? 1 : len;
	while (*path == '/')
		path++;
	return (*path != '\0' ? path : ".");
}

static int
walk_items(
    struct walk *w, const char *folder, const struct conf_job_type *jt, int to)
{
	char name[NAME_MAX + 1], **names;
	const char *path;
	size_t i, j;
	int r = 0;

	names = xcalloc(jt->shared_code.n, sizeof(*names));
	for (i = 0; i < jt->shared_code.n && r == 0; i++) {
		path = from_folder(folder, jt->shared_code.items[i]);
		snprintf(w->detail, w->len,
		    "job type %s: shared_code.%zu: ", jt->name, i);
		if (real_name(w, path, name, sizeof(name)) == -1) {
			r = walk_fail(w, path, "%s", why_not(errno));
			break;
		}
		names[i] = xstrdup(name);
		for (j = 0; j < i; j++)
			if (strcmp(names[j], name) == 0)
				r = walk_fail(w, path,
				    "another one has the same last name");
		if (r == 0)
			r = walk_entry(w, path, to, name, 0);
	}
	for (i = 0; i < jt->shared_code.n; i++)
		free(names[i]);
	free(names);
	return (r);
}

/* The folder of one job type: what is mounted, and in it what jobs import. */
static int
walk_type(struct walk *w, const char *folder, const struct conf_job_type *jt)
{
	int type = -1, to = -1, r = -1;

	walk_digest(w, jt->name);
	if (w->copy == -1)
		return (walk_items(w, folder, jt, -1));
	if (mkdirat(w->copy, jt->name, 0755) == 0 &&
	    (type = openat(w->copy, jt->name,
		 O_RDONLY | O_DIRECTORY | O_CLOEXEC)) != -1 &&
	    mkdirat(type, FOLDER, 0755) == 0 &&
	    (to = openat(type, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) !=
		-1)
		r = walk_items(w, folder, jt, to);
	else
		r = walk_fail(w, FOLDER, "%s", strerror(errno));
	if (r == 0 && (fchmod(type, 0555) == -1 || fchmod(to, 0555) == -1))
		r = walk_fail(w, FOLDER, "%s", strerror(errno));
	close_fd(&to);
	close_fd(&type);
	return (r);
}

/* The folder of the configuration, which all paths stay below. */
static int
walk_root(struct walk *w, const struct conf *cf, char folder[PATH_MAX])
{
	char *slash;

	if (realpath(cf->path, folder) == NULL ||
	    stat(folder, &w->config) == -1)
		return (walk_fail(w, cf->path, "%s", strerror(errno)));
	slash = strrchr(folder, '/');
	slash[slash == folder] = '\0';
	w->root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->root == -1 || fstat(w->root, &w->top) == -1)
		return (walk_fail(w, folder, "%s", strerror(errno)));
	return (0);
}

/* copy: the folder to copy to; -1: only look. */
static int
walk_all(const struct conf *cf, int copy, struct shared_copy *result,
    char *detail, size_t len)
{
	struct walk w = { .root = -1,
		.copy = copy,
		.result = result,
		.detail = detail,
		.len = len };
	char folder[PATH_MAX];
	size_t i;
	int r = 0;

	detail[0] = '\0';
	memset(result->digest, 0, sizeof(result->digest));
	for (i = 0; i < cf->n_job_types && r == 0; i++) {
		if (cf->job_types[i].shared_code.n == 0)
			continue;
		if (w.root == -1)
			r = walk_root(&w, cf, folder);
		if (r == 0)
			r = walk_type(&w, folder, &cf->job_types[i]);
	}
	close_fd(&w.root);
	if (r == 0)
		detail[0] = '\0';
	return (r);
}

/* ---- copies -------------------------------------------------------------- */

static void
copy_remove(unsigned number)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%u", number);
	fd = openat(env.data_fd, FOLDER,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd != -1 && oci_tree_remove(fd, name) == -1)
		log_warn("cannot remove " FOLDER "/%s", name);
	close_fd(&fd);
}

void
shared_code_release(struct shared_copy *c)
{
	if (c == NULL || --c->users > 0)
		return;
	if (c->number != 0)
		copy_remove(c->number);
	free(c);
}

int
shared_code_changed(const struct conf *cf, char *detail, size_t len)
{
	struct shared_copy found;

	if (walk_all(cf, -1, &found, detail, len) == -1)
		return (-1);
	return (
	    memcmp(found.digest, current->digest, sizeof(found.digest)) != 0);
}

int
shared_code_take(const struct conf *cf, char *detail, size_t len)
{
	struct shared_copy seen;
	char name[32];
	size_t i;
	int fd = -1;

	taken = xcalloc(1, sizeof(*taken));
	taken->users = 1;
	for (i = 0; i < cf->n_job_types; i++)
		if (cf->job_types[i].shared_code.n > 0)
			taken->number = last_number + 1;
	if (taken->number == 0)
		return (0);
	last_number = taken->number;
	snprintf(name, sizeof(name), FOLDER "/%u", taken->number);
	detail[0] = '\0';
	if (mkdirat(env.data_fd, name, 0700) == -1 ||
	    (fd = openat(
		 env.data_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		snprintf(detail, len, "%s: %s", name, strerror(errno));
	else if (walk_all(cf, fd, taken, detail, len) == 0 &&
		 walk_all(cf, -1, &seen, detail, len) == 0 &&
		 memcmp(taken->digest, seen.digest, sizeof(seen.digest)) != 0)
		snprintf(detail, len,
		    "shared_code: files change while they are copied");
	close_fd(&fd);
	if (detail[0] == '\0')
		return (0);
	shared_code_drop();
	return (-1);
}

void
shared_code_drop(void)
{
	shared_code_release(taken);
	taken = NULL;
}

void
shared_code_keep(void)
{
	shared_code_release(current);
	current = taken;
	taken = NULL;
}

struct shared_copy *
shared_code_hold(void)
{
	current->users++;
	return (current);
}

void
shared_code_path(
    const struct shared_copy *c, const char *job_type, char *path, size_t len)
{
	snprintf(path, len, "%s/" FOLDER "/%u/%s", env.conf->data_dir,
	    c->number, job_type);
}

/* Its jobs are gone or will be: what a former life copied goes. */
int
shared_code_open(char *detail, size_t len)
{
	if (oci_tree_remove(env.data_fd, FOLDER) == -1 ||
	    mkdirat(env.data_fd, FOLDER, 0700) == -1) {
		snprintf(
		    detail, len, "data_dir: " FOLDER ": %s", strerror(errno));
		return (-1);
	}
	if (shared_code_take(env.conf, detail, len) == -1)
		return (-1);
	shared_code_keep();
	return (0);
}
