/*
 * docker_facts.c: counters of a container's control group, read past the
 * engine. Runs in takod. They are opened while the container lives, and read
 * the moment it is gone, before its group is taken away: the engine itself
 * tells only one of them, and later.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "docker_engine.h"
#include "util.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* In the order of fds: what was killed, the most memory, processor time. */
enum {
	FACT_OOM,
	FACT_PEAK,
	FACT_CPU
};

static const struct {
	const char *v1_controller, *v1_file, *v2_file;
} files[] = {
	[FACT_OOM] = { "memory", "memory.oom_control", "memory.events" },
	[FACT_PEAK] = { "memory", "memory.max_usage_in_bytes", "memory.peak" },
	[FACT_CPU] = { "cpuacct", "cpuacct.usage", "cpu.stat" },
};

/* Is name one of the controllers in list ("cpu,cpuacct")? */
static int
in_list(const char *list, size_t len, const char *name)
{
	size_t n = strlen(name), i, word;

	for (i = 0; i <= len; i += word + 1) {
		word = strcspn(list + i, ",:");
		if (word == n && strncmp(list + i, name, n) == 0)
			return (1);
	}
	return (0);
}

/*
 * One line of /proc/<pid>/cgroup: hierarchy:controllers:path. Opens the file
 * of fact i there, when the line is that of its controller.
 */
static int
open_fact(const char *line, size_t i)
{
	char path[4096];
	const char *list, *group;
	int v2;

	if ((list = strchr(line, ':')) == NULL ||
	    (group = strchr(++list, ':')) == NULL || group[1] != '/')
		return (-1);
	v2 = group == list;
	if (!v2 &&
	    !in_list(list, (size_t)(group - list), files[i].v1_controller))
		return (-1);
	if ((size_t)snprintf(path, sizeof(path), "%s%s%s%s/%s", CGROUP_ROOT,
		v2 ? "" : "/", v2 ? "" : files[i].v1_controller, group + 1,
		v2 ? files[i].v2_file : files[i].v1_file) >= sizeof(path))
		return (-1);
	return (open(path, O_RDONLY | O_CLOEXEC));
}

int
docker_facts_open(pid_t pid, const char *id, int fds[3])
{
	char path[64], *text, *line, *save = NULL;
	size_t len, i;

	for (i = 0; i < nitems(files); i++)
		fds[i] = -1;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	if ((text = read_file(AT_FDCWD, path, 65536, &len)) == NULL)
		return (-1);
	if (strstr(text, id) == NULL) {
		free(text);
		return (-1);
	}
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		for (i = 0; i < nitems(files); i++)
			if (fds[i] == -1 && strstr(line, id) != NULL)
				fds[i] = open_fact(line, i);
	free(text);
	return (0);
}

void
docker_facts_close(int fds[3])
{
	size_t i;

	for (i = 0; i < nitems(files); i++)
		close_fd(&fds[i]);
}

/* The number behind key in a file of "key number" lines; -1: none. */
static int64_t
number_of(const char *text, const char *key)
{
	const char *p = text;
	size_t n = strlen(key);

	for (; p != NULL; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return (strtoll(p + n, NULL, 10));
	}
	return (-1);
}

static int64_t
read_fact(int fd, size_t i)
{
	char text[1024];
	int64_t value;
	ssize_t n;

	if (fd == -1 || (n = pread(fd, text, sizeof(text) - 1, 0)) <= 0)
		return (-1);
	text[n] = '\0';
	switch (i) {
	case FACT_OOM:
		return (number_of(text, "oom_kill"));
	case FACT_PEAK:
		return (strtoll(text, NULL, 10));
	default: /* v1 has nanoseconds alone in its file */
		value = number_of(text, "usage_usec");
		return (value != -1 ? value : strtoll(text, NULL, 10) / 1000);
	}
}

int
docker_facts_read(const int fds[3], struct container_facts *facts)
{
	facts->oom_kills = read_fact(fds[FACT_OOM], FACT_OOM);
	facts->memory_peak = read_fact(fds[FACT_PEAK], FACT_PEAK);
	facts->cpu_us = read_fact(fds[FACT_CPU], FACT_CPU);
	return (facts->oom_kills == -1 ? -1 : 0);
}
