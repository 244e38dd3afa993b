/*
 * doctor_sockets.c: the places where takod listens: free, held by the takod
 * that this configuration already runs, or in somebody else's hands. Runs in
 * tako-vm doctor, for the most part in its children.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "takoctl.h"
#include "takod/bind.h"
#include "util.h"

#define MAX_BOUND 8
#define LISTENING 0x0a /* in /proc/net/tcp */

/* ---- the control socket ------------------------------------------------- */

static int
control_address(const struct conf *conf, struct sockaddr_un *sun)
{
	char path[4096];

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	ctl_path(conf, path, sizeof(path));
	return (strlcpy(sun->sun_path, path, sizeof(sun->sun_path)) <
			sizeof(sun->sun_path)
		    ? 0
		    : -1);
}

pid_t
doctor_daemon(const struct conf *conf)
{
	struct sockaddr_un sun;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	pid_t pid = 0;
	int fd;

	if (control_address(conf, &sun) == -1 ||
	    (fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		 0)) == -1)
		return (0);
	/* Who listens there, not who accepts: it need not be quick. */
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		pid = peer.pid;
	close_fd(&fd);
	return (pid);
}

static void
control_group(struct doctor *d)
{
	const char *name = d->conf->control_group;

	if (name != NULL && getgrnam(name) == NULL)
		doctor_found(d, FOUND_FAIL, "control_socket",
		    "make the group (groupadd --system), or leave the key out",
		    "control_group: there is no group %s", name);
}

void
doctor_control(struct doctor *d)
{
	struct sockaddr_un sun;
	struct stat st;
	char *slash;

	control_group(d);
	if (control_address(d->conf, &sun) == -1) {
		doctor_found(d, FOUND_FAIL, "control_socket",
		    "set control_socket to a short path, such as "
		    "/run/takod.sock",
		    "its path is longer than %zu bytes",
		    sizeof(sun.sun_path) - 1);
		return;
	}
	if (d->daemon != 0) {
		doctor_found(d, FOUND_OK, "control_socket", NULL,
		    "a takod of this configuration runs: process %d, on %s",
		    (int)d->daemon, sun.sun_path);
		return;
	}
	if (lstat(sun.sun_path, &st) == 0) {
		if (S_ISSOCK(st.st_mode))
			doctor_found(d, FOUND_OK, "control_socket", NULL,
			    "%s was left by a takod that is gone",
			    sun.sun_path);
		else
			doctor_found(d, FOUND_FAIL, "control_socket",
			    "move that away, or set control_socket to another "
			    "path",
			    "%s is not a socket", sun.sun_path);
		return;
	}
	/* In data_dir, which takod makes, it has a place in any case. */
	slash = strrchr(sun.sun_path, '/');
	if (d->conf->control_socket != NULL && slash != NULL) {
		*slash = '\0';
		if (access(slash == sun.sun_path ? "/" : sun.sun_path,
			W_OK | X_OK) == -1) {
			doctor_found(d, FOUND_FAIL, "control_socket",
			    "make that folder, or set control_socket to "
			    "another path",
			    "nothing can be made in %s: %s", sun.sun_path,
			    strerror(errno));
			return;
		}
		*slash = '/';
	}
	doctor_found(d, FOUND_OK, "control_socket", NULL,
	    "no takod of this configuration runs; it will listen on %s",
	    sun.sun_path);
}

/* ---- the port ----------------------------------------------------------- */

/* The inode of a socket that listens on the port, in one table; 0: none. */
static unsigned long
listener_in(const char *table, unsigned port)
{
	unsigned long inode = 0;
	unsigned p, state;
	char line[512];
	FILE *f;

	if ((f = fopen(table, "re")) == NULL)
		return (0);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line,
			" %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s "
			"%*d %*d %lu",
			&p, &state, &inode) == 3 &&
		    p == port && state == LISTENING) {
			fclose(f);
			return (inode);
		}
	fclose(f);
	return (0);
}

static int
has_socket(pid_t pid, unsigned long inode)
{
	char path[64], want[64], link[64];
	struct dirent *e;
	int found = 0;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	if ((dir = opendir(path)) == NULL)
		return (0);
	while (!found && (e = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, want) == 0;
	}
	closedir(dir);
	return (found);
}

/* Who has it open: the first process found; 0: it cannot be seen. */
static pid_t
socket_owner(unsigned long inode)
{
	struct dirent *e;
	pid_t found = 0;
	DIR *dir;

	if ((dir = opendir("/proc")) == NULL)
		return (0);
	while (found == 0 && (e = readdir(dir)) != NULL)
		if (isdigit((unsigned char)e->d_name[0]) &&
		    has_socket((pid_t)atoi(e->d_name), inode))
			found = (pid_t)atoi(e->d_name);
	closedir(dir);
	return (found);
}

static void
port_taken(struct doctor *d, unsigned port)
{
	unsigned long inode = listener_in("/proc/net/tcp", port);
	char path[64], mend[256], *name;
	size_t len;
	pid_t pid;

	if (inode == 0)
		inode = listener_in("/proc/net/tcp6", port);
	if (inode != 0 && d->daemon != 0 && has_socket(d->daemon, inode)) {
		doctor_found(d, FOUND_OK, "port", NULL,
		    "port %u is served by the takod that runs", port);
		return;
	}
	pid = inode != 0 ? socket_owner(inode) : 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	name = pid != 0 ? read_file(AT_FDCWD, path, 64, &len) : NULL;
	if (name != NULL)
		name[strcspn(name, "\n")] = '\0';
	snprintf(mend, sizeof(mend),
	    "end that program, or set server_port to another port");
	if (name != NULL)
		doctor_found(d, FOUND_FAIL, "port", mend,
		    "port %u is in use by process %d (%s)", port, (int)pid,
		    name);
	else
		doctor_found(d, FOUND_FAIL, "port", mend,
		    "port %u is in use by another program", port);
	free(name);
}

static void
doctor_one(struct doctor *d, const struct conf_listen *l)
{
	struct bound list[MAX_BOUND];
	char detail[256], names[512] = "";
	int i, n;

	n = bind_all(
	    l->host, l->port, NULL, 0, list, MAX_BOUND, detail, sizeof(detail));
	if (n == -1 && errno == EADDRINUSE) {
		port_taken(d, (unsigned)l->port);
		return;
	}
	if (n == -1) {
		doctor_found(d, FOUND_FAIL, "port",
		    "set server_host to an address of this host, such as "
		    "127.0.0.1, and server_port to a port that is allowed",
		    "%s", detail);
		return;
	}
	for (i = 0; i < n; i++) {
		if (i > 0)
			strlcat(names, ", ", sizeof(names));
		strlcat(names, list[i].name, sizeof(names));
		close_fd(&list[i].fd);
	}
	doctor_found(d, FOUND_OK, "port", NULL, "free to listen on: %s", names);
}

/* Sockets of paths and of systemd are no ports. */
void
doctor_port(struct doctor *d)
{
	struct conf_listen l;
	size_t i;

	for (i = 0; i < conf_listen_count(d->conf); i++) {
		conf_listen_get(d->conf, i, &l);
		if (l.kind == LISTEN_TCP)
			doctor_one(d, &l);
	}
}
