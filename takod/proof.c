/*
 * proof.c: what a container is under, as the kernel shows it. Runs in the
 * parent, once a slot, when its worker has shaken hands: a job that meets a
 * slot that is ready waits for none of it. Read are files that the kernel makes
 * about the container's first process: under runc that is tako-init, under
 * runsc gVisor's sandbox, in which there is no job yet. What cannot be read is
 * null, never guessed.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "log.h"
#include "proof.h"
#include "util.h"

#define MAX_FILE 65536

static char *
proc_file(pid_t pid, const char *name)
{
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return (read_file(AT_FDCWD, path, MAX_FILE, &len));
}

/* What stands behind "Name:" in /proc/<pid>/status, without white space. */
static const char *
status_value(const char *status, const char *name, char *buf, size_t len)
{
	const char *p = status, *end;
	size_t n = strlen(name);

	for (; p != NULL; p = (p = strchr(p, '\n')) != NULL ? p + 1 : NULL) {
		if (strncmp(p, name, n) != 0 || p[n] != ':')
			continue;
		for (p += n + 1; isspace((unsigned char)*p); p++)
			;
		end = p + strcspn(p, "\n");
		if ((size_t)(end - p) >= len)
			return (NULL);
		memcpy(buf, p, (size_t)(end - p));
		buf[end - p] = '\0';
		return (buf);
	}
	return (NULL);
}

static json_t *
number_or_null(int64_t n)
{
	return (n < 0 ? json_null() : json_integer(n));
}

/* Seccomp, capabilities and no_new_privs of the process. */
static void
add_status(json_t *o, pid_t pid, const char *profile)
{
	char *status = proc_file(pid, "status"), buf[64];
	const char *mode, *filters, *v;

	if (status == NULL)
		status = xstrdup("");
	mode = status_value(status, "Seccomp", buf, sizeof(buf));
	json_object_set_new(o, "seccomp",
	    json_pack("{s:s?, s:o}", "profile", profile, "mode",
		number_or_null(mode != NULL ? atoi(mode) : -1)));
	filters = status_value(status, "Seccomp_filters", buf, sizeof(buf));
	json_object_set_new(json_object_get(o, "seccomp"), "filters",
	    number_or_null(filters != NULL ? atoi(filters) : -1));
	v = status_value(status, "NoNewPrivs", buf, sizeof(buf));
	json_object_set_new(o, "no_new_privileges",
	    v == NULL ? json_null() : json_boolean(*v == '1'));
	v = status_value(status, "CapEff", buf, sizeof(buf));
	json_object_set_new(
	    o, "capabilities", v == NULL ? json_null() : json_string(v));
	free(status);
}

static ino_t
namespace_number(const char *process, const char *name)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, name);
	return (stat(path, &st) == -1 ? 0 : st.st_ino);
}

/* By their numbers; "host" where it is takod's own. */
static void
add_namespaces(json_t *o, pid_t pid)
{
	static const char *const names[] = { "cgroup", "ipc", "mnt", "net",
		"pid", "user", "uts" };
	static ino_t own[nitems(names)]; /* takod's never change */
	json_t *all = json_object(), *number;
	char process[16];
	ino_t ino;
	size_t i;

	snprintf(process, sizeof(process), "%d", (int)pid);
	for (i = 0; i < nitems(names); i++) {
		if (own[i] == 0)
			own[i] = namespace_number("self", names[i]);
		ino = namespace_number(process, names[i]);
		number = ino == 0	 ? json_null()
			 : ino == own[i] ? json_string("host")
					 : json_integer((json_int_t)ino);
		json_object_set_new(all, names[i], number);
	}
	json_object_set_new(o, "namespaces", all);
}

/* The interfaces of its network namespace: "none" when there is but lo. */
static void
add_network(json_t *o, pid_t pid)
{
	char *text = proc_file(pid, "net/dev"), *line, *save = NULL, *colon;
	json_t *list = json_array();
	int others = 0;

	for (line = text == NULL ? NULL : strtok_r(text, "\n", &save);
	     line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if ((colon = strchr(line, ':')) == NULL)
			continue; /* the heads of the table */
		*colon = '\0';
		line += strspn(line, " ");
		others |= strcmp(line, "lo") != 0;
		json_array_append_new(list, json_string(line));
	}
	/* Of takod's own namespace that list would prove nothing. */
	if (text == NULL || json_is_string(json_object_get(
				json_object_get(o, "namespaces"), "net"))) {
		json_object_set_new(o, "network", json_null());
		json_decref(list);
	} else if (others)
		json_object_set_new(o, "network", list);
	else {
		json_object_set_new(o, "network", json_string("none"));
		json_decref(list);
	}
	free(text);
}

/* The hard limit of a line of /proc/<pid>/limits. */
static json_t *
rlimit_of(const char *limits, const char *name)
{
	const char *p = limits == NULL ? NULL : strstr(limits, name);
	char soft[32], hard[32];

	if (p == NULL ||
	    sscanf(p + strlen(name), "%31s %31s", soft, hard) != 2 ||
	    strcmp(hard, "unlimited") == 0)
		return (json_null());
	return (json_integer(atoll(hard)));
}

static void
add_limits(json_t *o, pid_t pid, int gvisor, const struct cgroups *cg,
    const char *group)
{
	struct cgroup_limits l = { -1, -1, -1, -1, -1 };
	char *limits = gvisor ? NULL : proc_file(pid, "limits");
	json_t *all;

	if (cg != NULL && group[0] != '\0')
		cgroup_limits(cg, group, &l);
	all = json_pack("{s:o, s:o, s:o, s:o}", "memory_bytes",
	    number_or_null(l.memory), "memory_and_swap_bytes",
	    number_or_null(l.memory_swap), "pids", number_or_null(l.pids),
	    "cpus",
	    l.quota_us > 0 && l.period_us > 0
		? json_real((double)l.quota_us / (double)l.period_us)
		: json_null());
	/* gVisor keeps the job's own; these would be those of its process. */
	json_object_set_new(
	    all, "open_files", rlimit_of(limits, "Max open files"));
	json_object_set_new(
	    all, "processes", rlimit_of(limits, "Max processes"));
	json_object_set_new(
	    all, "file_bytes", rlimit_of(limits, "Max file size"));
	json_object_set_new(o, "limits", all);
	free(limits);
}

/* What it runs, without where that is: runsc, or tako-init's name. */
static void
add_program(json_t *o, pid_t pid)
{
	char path[64], target[4096], name[64];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if ((n = readlink(path, target, sizeof(target) - 1)) <= 0) {
		json_object_set_new(o, "process", json_null());
		return;
	}
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base == NULL ? target : base + 1;
	log_escape(name, sizeof(name), base, strcspn(base, " "));
	json_object_set_new(o, "process", json_string(name));
}

json_t *
proof_read(pid_t pid, int gvisor, const struct cgroups *cg, const char *group,
    const char *profile)
{
	json_t *o;

	if (pid <= 0 || (o = json_object()) == NULL)
		return (NULL);
	add_program(o, pid);
	add_status(o, pid, profile);
	add_namespaces(o, pid);
	add_network(o, pid);
	add_limits(o, pid, gvisor, cg, group);
	return (o);
}

const char *
proof_digest(char hex[2 * TAKO_SHA256 + 1], const char *text)
{
	uint8_t digest[TAKO_SHA256];

	sha256(digest, text, strlen(text));
	return (hex_encode(hex, digest, TAKO_SHA256));
}
