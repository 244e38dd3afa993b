/*
 * cgroup.c: reads counters of containers' control groups, kills what is in
 * them, removes them. Runs in takod, as root. The files are the kernel's own
 * and short; nothing a job writes is in them.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "util.h"

#define MAX_HIERARCHIES 32
#define MAX_CGROUP_FILE 4096
#define FIND_DEPTH	8

struct hierarchy {
	char *mount;
	char *options; /* v1: the controllers, among others */
	int v2;
	/* the controllers of interest in it; v2 has no freezer of its own */
	int memory, cpu, cpuacct, pids, freezer;
};

struct cgroups {
	struct hierarchy h[MAX_HIERARCHIES];
	size_t n;
	int swap;
};

/* Whether word is in a comma list. */
static int
in_list(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *p;

	for (p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ',') &&
		    (p[n] == '\0' || p[n] == ',' || p[n] == '\n'))
			return (1);
	return (0);
}

/* What v2 has and v1 has not taken. */
static void
find_controllers(struct hierarchy *h)
{
	char path[512], *list;
	size_t i, len;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", h->mount);
	list = read_file(AT_FDCWD, path, MAX_CGROUP_FILE, &len);
	for (i = 0; list != NULL && i < len; i++)
		if (list[i] == ' ')
			list[i] = ',';
	h->memory = list == NULL || in_list(list, "memory");
	h->cpu = list == NULL || in_list(list, "cpu");
	h->pids = list == NULL || in_list(list, "pids");
	free(list);
}

/*
 * A line: "36 35 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory".
 * A hierarchy may be mounted in more places than one; any of them will do.
 */
static void
add_mount(struct cgroups *cg, char *line)
{
	char *sep = strstr(line, " - "), *mount = NULL, *type, *options = NULL;
	char *p = line;
	struct hierarchy *h;
	int i;

	if (sep == NULL || cg->n == MAX_HIERARCHIES)
		return;
	*sep = '\0';
	for (i = 0; i < 5; i++)
		mount = strsep(&p, " ");
	p = sep + 3;
	type = strsep(&p, " ");
	(void)strsep(&p, " ");
	options = p;
	if (mount == NULL || options == NULL ||
	    (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0))
		return;
	h = &cg->h[cg->n++];
	h->mount = xstrdup(mount);
	h->options = xstrdup(options);
	h->v2 = strcmp(type, "cgroup2") == 0;
	h->freezer = !h->v2 && in_list(options, "freezer");
	if (h->v2) {
		find_controllers(h);
		return;
	}
	h->memory = in_list(options, "memory");
	h->cpu = in_list(options, "cpu");
	h->cpuacct = in_list(options, "cpuacct");
	h->pids = in_list(options, "pids");
}

/* v2: groups have memory.swap.max by default; v1: swap accounting is on. */
static int
find_swap(const struct cgroups *cg)
{
	char path[512];
	size_t i;

	for (i = 0; i < cg->n; i++) {
		if (cg->h[i].v2 || !cg->h[i].memory)
			continue;
		snprintf(path, sizeof(path), "%s/memory.memsw.limit_in_bytes",
		    cg->h[i].mount);
		return (access(path, F_OK) == 0);
	}
	return (1);
}

struct cgroups *
cgroups_open(const char *mountinfo, char *detail, size_t len)
{
	struct cgroups *cg = xcalloc(1, sizeof(*cg));
	char *line = NULL;
	size_t size = 0, i;
	int acct = 0;
	FILE *f;

	if (mountinfo == NULL)
		mountinfo = "/proc/self/mountinfo";
	if ((f = fopen(mountinfo, "re")) == NULL) {
		snprintf(detail, len, "%s: %s", mountinfo, strerror(errno));
		free(cg);
		return (NULL);
	}
	while (getline(&line, &size, f) != -1)
		add_mount(cg, line);
	free(line);
	fclose(f);
	if (cg->n == 0) {
		snprintf(detail, len,
		    "no control groups are mounted: mount cgroup2 on "
		    "/sys/fs/cgroup");
		free(cg);
		return (NULL);
	}
	/* v2 counts the processors' time without one. */
	for (i = 0; i < cg->n; i++)
		acct |= cg->h[i].cpuacct;
	for (i = 0; i < cg->n; i++)
		cg->h[i].cpuacct |= cg->h[i].v2 && !acct;
	cg->swap = find_swap(cg);
	return (cg);
}

void
cgroups_free(struct cgroups *cg)
{
	size_t i;

	if (cg == NULL)
		return;
	for (i = 0; i < cg->n; i++) {
		free(cg->h[i].mount);
		free(cg->h[i].options);
	}
	free(cg);
}

int
cgroups_swap(const struct cgroups *cg)
{
	return (cg->swap);
}

const char *
cgroups_mount(const struct cgroups *cg, const char *controller, int *v2)
{
	char path[512], *list;
	size_t i, len;
	int found;

	for (i = 0; i < cg->n; i++) {
		const struct hierarchy *h = &cg->h[i];

		if ((*v2 = h->v2)) {
			snprintf(path, sizeof(path), "%s/cgroup.controllers",
			    h->mount);
			list = read_file(AT_FDCWD, path, MAX_CGROUP_FILE, &len);
			if (list == NULL)
				continue;
			while (len-- > 0)
				if (list[len] == ' ')
					list[len] = ',';
			found = in_list(list, controller);
			free(list);
		} else
			found = in_list(h->options, controller);
		if (found)
			return (h->mount);
	}
	return (NULL);
}

static int
open_group(const struct hierarchy *h, const char *path)
{
	char full[1024];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", h->mount, path) >=
	    sizeof(full)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	return (open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int
cgroup_make(const struct cgroups *cg, const char *path)
{
	char full[1024], *slash;
	size_t i;

	for (i = 0; i < cg->n; i++) {
		const char *mount = cg->h[i].mount;

		if (!cg->h[i].v2 || (size_t)snprintf(full, sizeof(full), "%s%s",
					mount, path) >= sizeof(full))
			continue;
		for (slash = full + strlen(mount) + 1;
		     (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
			*slash = '\0';
			(void)mkdir(full, 0755);
		}
		if (make_dir(AT_FDCWD, full, 0755) == -1)
			return (-1);
		return (open_group(&cg->h[i], path));
	}
	return (-1);
}

/* Kills each process of one group's list; returns how many there were. */
static unsigned
kill_listed(int dir)
{
	char buf[1024];
	unsigned n = 0;
	ssize_t got, i;
	int fd, pid = 0;

	if ((fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC)) == -1)
		return (0);
	while ((got = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < got; i++) {
			if (buf[i] != '\n') {
				pid = pid * 10 + buf[i] - '0';
				continue;
			}
			n++;
			/* 0: of a pid namespace that is not ours. */
			if (pid > 1)
				kill(pid, SIGKILL);
			pid = 0;
		}
	close(fd);
	return (n);
}

/*
 * Two passes: cgroup.kill of v2 first, which no fork can outrun, then the
 * lists. On v1 a fork may outrun one list; the caller comes back until it is
 * empty, pids_limit bounds what is there, and the death of the first process
 * ends a pid namespace at once.
 */
unsigned
cgroup_kill(const struct cgroups *cg, const char *path)
{
	unsigned most = 0, n;
	size_t i;
	int dir;

	for (i = 0; i < cg->n; i++) {
		if ((dir = open_group(&cg->h[i], path)) == -1)
			continue;
		if (cg->h[i].v2)
			(void)write_file(dir, "cgroup.kill", 0, 0, "1");
		n = kill_listed(dir);
		/* On v1 what is paused dies once it is not any more. */
		if (cg->h[i].freezer)
			(void)write_file(dir, "freezer.state", 0, 0, "THAWED");
		close(dir);
		most = n > most ? n : most;
	}
	return (most);
}

void
cgroup_hurry(const struct cgroups *cg, const char *path)
{
	size_t i;
	int dir;

	/* The kernel's defaults; where they are not, there is no such file. */
	for (i = 0; i < cg->n; i++) {
		if (!cg->h[i].cpu)
			continue;
		if ((dir = open_group(&cg->h[i], path)) == -1)
			continue;
		(void)write_file(dir, "cpu.weight", 0, 0, "100");
		(void)write_file(dir, "cpu.shares", 0, 0, "1024");
		close(dir);
	}
}

int
cgroup_frozen(const struct cgroups *cg, const char *path)
{
	char *state;
	int dir, frozen = 0;
	size_t i, len;

	for (i = 0; i < cg->n && !frozen; i++) {
		const struct hierarchy *h = &cg->h[i];

		if (!(h->v2 || h->freezer) || (dir = open_group(h, path)) == -1)
			continue;
		state =
		    read_file(dir, h->v2 ? "cgroup.freeze" : "freezer.state",
			MAX_CGROUP_FILE, &len);
		frozen = state != NULL &&
			 (state[0] == '1' || strncmp(state, "FR", 2) == 0);
		free(state);
		close(dir);
	}
	return (frozen);
}

/* Below the group that path names now, to which it appends what it finds. */
static int
find_below(const struct hierarchy *h, const char *word, char *path, size_t len,
    int depth)
{
	size_t n = strlen(path);
	int fd, ret = -1;
	struct dirent *d;
	DIR *dir;

	if (depth == 0 || (fd = open_group(h, path)) == -1)
		return (-1);
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return (-1);
	}
	while (ret == -1 && (d = readdir(dir)) != NULL) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.' ||
		    (size_t)snprintf(path + n, len - n, "/%s", d->d_name) >=
			len - n)
			continue;
		if (strstr(d->d_name, word) != NULL)
			ret = 0;
		else
			ret = find_below(h, word, path, len, depth - 1);
	}
	closedir(dir);
	if (ret == -1)
		path[n] = '\0';
	return (ret);
}

int
cgroup_find(const struct cgroups *cg, const char *word, char *path, size_t len)
{
	size_t i;

	for (i = 0; i < cg->n; i++) {
		path[0] = '\0';
		if (find_below(&cg->h[i], word, path, len, FIND_DEPTH) == 0)
			return (0);
	}
	return (-1);
}

int
cgroup_has(const char *path, pid_t pid)
{
	char file[64], *text, *p;
	size_t len, n = strlen(path);
	int found = 0;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	if ((text = read_file(AT_FDCWD, file, 65536, &len)) == NULL)
		return (0);
	for (p = text; !found && (p = strstr(p, path)) != NULL; p += n)
		found = p[n] == '\n' || p[n] == '\0';
	free(text);
	return (found);
}

/*
 * The number of a file: of the whole, or after a key at a line's start.
 * -1 when it is not to be had.
 */
static int64_t
read_number(int dir, const char *name, const char *key)
{
	char buf[MAX_CGROUP_FILE], *p = buf;
	long long value;
	ssize_t n;
	int fd;

	if ((fd = openat(dir, name, O_RDONLY | O_CLOEXEC)) == -1)
		return (-1);
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return (-1);
	buf[n] = '\0';
	while (key != NULL && p != NULL) {
		if (strncmp(p, key, strlen(key)) == 0 && p[strlen(key)] == ' ')
			break;
		if ((p = strchr(p, '\n')) != NULL)
			p++;
	}
	if (p == NULL ||
	    sscanf(p + (key != NULL ? strlen(key) : 0), "%lld", &value) != 1)
		return (-1);
	return (value);
}

static void
take(int64_t *fact, int64_t value, int64_t divisor)
{
	if (value >= 0)
		*fact = value / divisor;
}

void
cgroup_facts(
    const struct cgroups *cg, const char *path, struct container_facts *f)
{
	size_t i;
	int dir;

	f->oom_kills = f->memory_peak = f->cpu_us = -1;
	for (i = 0; i < cg->n; i++) {
		const struct hierarchy *h = &cg->h[i];

		if (!(h->memory || h->cpuacct) ||
		    (dir = open_group(h, path)) == -1)
			continue;
		if (h->v2) {
			/* Without the controller a file is not there. */
			take(&f->oom_kills,
			    read_number(dir, "memory.events", "oom_kill"), 1);
			take(&f->memory_peak,
			    read_number(dir, "memory.peak", NULL), 1);
			if (h->cpuacct)
				take(&f->cpu_us,
				    read_number(dir, "cpu.stat", "usage_usec"),
				    1);
		} else if (h->memory) {
			take(&f->oom_kills,
			    read_number(dir, "memory.oom_control", "oom_kill"),
			    1);
			take(&f->memory_peak,
			    read_number(dir, "memory.max_usage_in_bytes", NULL),
			    1);
		}
		if (!h->v2 && h->cpuacct)
			take(&f->cpu_us,
			    read_number(dir, "cpuacct.usage", NULL), 1000);
		close(dir);
	}
}

/* cgroup v2: "100000 100000", or "max 100000". */
static void
read_cpu_max(int dir, struct cgroup_limits *l)
{
	long long quota, period;
	char *text;
	size_t len;

	if ((text = read_file(dir, "cpu.max", MAX_CGROUP_FILE, &len)) == NULL)
		return;
	if (sscanf(text, "%lld %lld", &quota, &period) == 2) {
		l->quota_us = quota;
		l->period_us = period;
	}
	free(text);
}

static void
limits_v1(const struct hierarchy *h, int dir, struct cgroup_limits *l)
{
	if (h->memory) {
		l->memory = read_number(dir, "memory.limit_in_bytes", NULL);
		l->memory_swap =
		    read_number(dir, "memory.memsw.limit_in_bytes", NULL);
	}
	if (h->pids)
		l->pids = read_number(dir, "pids.max", NULL);
	if (h->cpu) {
		l->quota_us = read_number(dir, "cpu.cfs_quota_us", NULL);
		l->period_us = read_number(dir, "cpu.cfs_period_us", NULL);
	}
}

void
cgroup_limits(
    const struct cgroups *cg, const char *path, struct cgroup_limits *l)
{
	int64_t swap;
	size_t i;
	int dir;

	l->memory = l->memory_swap = l->pids = l->quota_us = l->period_us = -1;
	for (i = 0; i < cg->n; i++) {
		if (!(cg->h[i].memory || cg->h[i].pids || cg->h[i].cpu) ||
		    (dir = open_group(&cg->h[i], path)) == -1)
			continue;
		if (!cg->h[i].v2)
			limits_v1(&cg->h[i], dir, l);
		else {
			/* Without the controller a file is not there. */
			take(&l->memory, read_number(dir, "memory.max", NULL),
			    1);
			swap = read_number(dir, "memory.swap.max", NULL);
			if (l->memory >= 0 && swap >= 0)
				l->memory_swap = l->memory + swap;
			take(&l->pids, read_number(dir, "pids.max", NULL), 1);
			read_cpu_max(dir, l);
		}
		close(dir);
	}
}

/* Directories below a group, deepest first; files go with their group. */
static int
remove_tree(int parent, const char *name, int depth)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return (0);
	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return (errno == ENOENT ? 0 : -1);
	if (depth == 0 || (dir = fdopendir(fd)) == NULL) {
		close(fd);
		errno = EBUSY;
		return (-1);
	}
	while ((d = readdir(dir)) != NULL)
		if (d->d_type == DT_DIR && strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0)
			(void)remove_tree(dirfd(dir), d->d_name, depth - 1);
	closedir(dir);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return (0);
	return (-1);
}

static int
remove_group(const struct hierarchy *h, const char *path)
{
	char full[1024];
	int root, r;

	/* Most have none below them. */
	snprintf(full, sizeof(full), "%s%s", h->mount, path);
	if (rmdir(full) == 0 || errno == ENOENT ||
	    (root = open_group(h, "")) == -1)
		return (0);
	r = remove_tree(root, path + 1, 8) == -1 ? errno : 0;
	close(root);
	errno = r;
	return (r == 0 ? 0 : -1);
}

int
cgroup_remove(const struct cgroups *cg, const char *path)
{
	int left = 0;
	size_t i;

	for (i = 0; i < cg->n; i++)
		if (remove_group(&cg->h[i], path) == -1)
			left = errno;
	errno = left;
	return (left == 0 ? 0 : -1);
}

int
cgroup_unmake(const struct cgroups *cg, const char *path)
{
	size_t i;

	for (i = 0; i < cg->n; i++)
		if (cg->h[i].v2)
			return (remove_group(&cg->h[i], path));
	return (0);
}

void
cgroup_children(const struct cgroups *cg, const char *path,
    void (*cb)(const char *, void *), void *arg)
{
	struct dirent *d;
	DIR *dir;
	size_t i;
	int fd;

	for (i = 0; i < cg->n; i++) {
		if ((fd = open_group(&cg->h[i], path)) == -1)
			continue;
		if ((dir = fdopendir(fd)) == NULL) {
			close(fd);
			continue;
		}
		while ((d = readdir(dir)) != NULL)
			if (d->d_type == DT_DIR && d->d_name[0] != '.')
				cb(d->d_name, arg);
		closedir(dir);
	}
}
