/*
 * docker_facts.c: a container's counters, read past the engine. Runs in takod.
 * The engine itself tells only whether there was an oom kill, and later.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "docker_engine.h"
#include "util.h"

/* A line of /proc/<pid>/cgroup is hierarchy:controllers:path. */
static const char *
line_path(const char *line)
{
	const char *p;

	if ((p = strchr(line, ':')) == NULL || (p = strchr(p + 1, ':')) == NULL)
		return (NULL);
	return (p + 1);
}

int
docker_group(pid_t pid, const char *id, char *group, size_t len)
{
	char path[64], *text, *line, *save = NULL;
	const char *found = NULL;
	size_t n;

	group[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	if ((text = read_file(AT_FDCWD, path, 65536, &n)) == NULL)
		return (-1);
	for (line = strtok_r(text, "\n", &save); line != NULL && found == NULL;
	     line = strtok_r(NULL, "\n", &save))
		if (strstr(line, id) != NULL)
			found = line_path(line);
	if (found != NULL && strlcpy(group, found, len) >= len)
		group[0] = '\0';
	free(text);
	return (group[0] == '/' ? 0 : -1);
}

int
docker_facts_read(const struct cgroups *cgroups, const char *group,
    struct container_facts *facts)
{
	struct container_facts now;

	if (cgroups == NULL || group[0] == '\0')
		return (-1);
	cgroup_facts(cgroups, group, &now);
	if (now.oom_kills == -1)
		return (-1); /* gone: what was read before stands */
	*facts = now;
	return (0);
}
