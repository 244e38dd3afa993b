/*
 * network_child.c: what makes and changes the networks of containers. Runs in
 * short-lived forked children of takod, which may wait; and, for as long as
 * the router runs, in the one above pasta. They run iproute2's ip and nft with
 * texts of takod's own making.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "network.h"
#include "util.h"

#define UPLINK_WAIT_MS 5000
#define PATH_TUN       "/dev/net/tun"
#define PATH_RESOLV    "/etc/resolv.conf"
#define PATH_RESOLVED  "/run/systemd/resolve/resolv.conf"

static char path_variable[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char *const environment[] = { path_variable, NULL };

static int __attribute__((format(printf, 2, 3)))
failed(int out, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n, error = errno;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(text) - 64)
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s\n",
		    strerror(error));
	(void)write_all(out, text, strlen(text));
	return (-1);
}

/* A program with text as its standard input; what it says goes to out. */
static int
tool(const char *const argv[], const char *text, int out)
{
	int in, status = -1;
	pid_t pid;

	in = memfd_create("text", MFD_CLOEXEC);
	if (in == -1 ||
	    write_all(in, text, strlen(text)) != (ssize_t)strlen(text) ||
	    lseek(in, 0, SEEK_SET) == -1 || (pid = fork()) == -1)
		return (failed(out, "%s", argv[0]));
	if (pid == 0) {
		if (dup2(in, 0) == -1 || dup2(out, 1) == -1 ||
		    dup2(out, 2) == -1)
			_exit(126);
		execvpe(argv[0], (char *const *)(uintptr_t)argv, environment);
		(void)failed(2, "%s", argv[0]);
		_exit(127);
	}
	close(in);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return (status == 0 ? 0 : -1);
}

static int
ip(const char *text, int out)
{
	static const char *const argv[] = { "ip", "-batch", "-", NULL };

	return (tool(argv, text, out));
}

/* What it is given is below 128 KiB. */
static int
nft(const char *text, int out)
{
	const char *const argv[] = { "nft", "-j", text, NULL };

	return (tool(argv, "", out));
}

/* A byte that is the end, and the two descriptors with it. */
int
network_send(int sock, const struct network_place *place)
{
	union {
		char buf[CMSG_SPACE(sizeof(*place))];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	char end = '\0';
	struct iovec iov = { &end, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(*place));
	memcpy(CMSG_DATA(c), place, sizeof(*place));
	return (sendmsg(sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -1);
}

ssize_t
network_receive(int sock, char *buf, size_t len, struct network_place *place)
{
	union {
		char buf[CMSG_SPACE(sizeof(*place))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (n > 0 && (c = CMSG_FIRSTHDR(&msg)) != NULL &&
	    c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(*place)))
		memcpy(place, CMSG_DATA(c), sizeof(*place));
	return (n);
}

/* Into the router, as its root, whom nobody else is on the host. */
static int
enter(const struct network_place *place)
{
	return (setgroups(0, NULL) == -1 ||
			setns(place->user, CLONE_NEWUSER) == -1 ||
			setresgid(0, 0, 0) == -1 || setresuid(0, 0, 0) == -1 ||
			setns(place->net, CLONE_NEWNET) == -1
		    ? -1
		    : 0);
}

/* ---- the router ---------------------------------------------------------- */

/*
 * The namespaces are made by the id that is to be their root: what makes them
 * owns them, and pasta, which has that id, may join them without any right
 * over the host.
 */
static void __attribute__((noreturn)) make_place(uid_t uid, int sock, int out)
{
	struct network_place place;
	char map[32];

	snprintf(map, sizeof(map), "0 %u 1\n", (unsigned)uid);
	if (setgroups(0, NULL) == -1 ||
	    setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) == -1 ||
	    setresuid(uid, uid, uid) == -1 ||
	    /* Else its files in /proc are root's, and it could not map. */
	    prctl(PR_SET_DUMPABLE, 1) == -1 ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1 ||
	    write_file(AT_FDCWD, "/proc/self/setgroups", 0, 0, "deny") == -1 ||
	    write_file(AT_FDCWD, "/proc/self/uid_map", 0, 0, map) == -1 ||
	    write_file(AT_FDCWD, "/proc/self/gid_map", 0, 0, map) == -1 ||
	    (place.user = open("/proc/self/ns/user", O_RDONLY)) == -1 ||
	    (place.net = open("/proc/self/ns/net", O_RDONLY)) == -1 ||
	    network_send(sock, &place) == -1) {
		(void)failed(out, "namespaces of the router");
		_exit(1);
	}
	_exit(0);
}

/* Where /proc/sys may not be written to (systemd), that of another /proc may.
 */
static int
proc_again(void)
{
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		NULL) == -1)
		return (-1);
	return (0);
}

/* The others say so themselves; this one is missed only later. */
static int
have_pasta(void)
{
	char dirs[sizeof(path_variable)], path[64], *rest, *dir;

	strlcpy(dirs, path_variable, sizeof(dirs));
	rest = strchr(dirs, '=') + 1;
	while ((dir = strsep(&rest, ":")) != NULL) {
		snprintf(path, sizeof(path), "%s/pasta", dir);
		if (access(path, X_OK) == 0)
			return (1);
	}
	return (0);
}

int
network_child_router(
    uid_t uid, const char *rules, int out, struct network_place *place)
{
	int pair[2];
	pid_t pid;
	char end;

	if (!have_pasta())
		return (failed(out, "pasta"));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1 ||
	    (pid = fork()) == -1)
		return (failed(out, "router"));
	if (pid == 0)
		make_place(uid, pair[1], out);
	close(pair[1]);
	place->net = -1;
	(void)network_receive(pair[0], &end, 1, place);
	close(pair[0]);
	waitpid(pid, NULL, 0);
	if (place->net == -1)
		return (-1);
	if (proc_again() == -1 || enter(place) == -1 ||
	    write_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 0, 0, "1") ==
		-1)
		return (failed(out, "router"));
	/* Not there where the host's kernel has no IPv6. */
	(void)write_file(
	    AT_FDCWD, "/proc/sys/net/ipv6/conf/all/forwarding", 0, 0, "1");
	(void)write_file(
	    AT_FDCWD, "/proc/sys/net/ipv6/conf/default/forwarding", 0, 0, "1");
	if (ip("link set lo up\n", out) == -1)
		return (-1);
	return (nft(rules, out));
}

int
network_child_rules(
    const struct network_place *place, const char *rules, int out)
{
	if (enter(place) == -1)
		return (failed(out, "router"));
	return (nft(rules, out));
}

int
network_child_list(
    const struct network_place *place, const char *lists, int out)
{
	char *copy = xstrdup(lists), *rest = copy, *line;

	if (enter(place) == -1)
		return (failed(out, "router"));
	/* nft 1.0.6 does not find what it is to list second. */
	while ((line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0' && nft(line, out) == -1)
			return (-1);
	return (0);
}

/* ---- one container ------------------------------------------------------- */

/*
 * pasta takes a moment to come, and comes back when it ended. 1: and it has
 * an address of IPv6 that is not of the link alone; -1: it did not come.
 */
static int
uplink_wait(void)
{
	static const struct timespec pause = { 0, 2000000 };
	struct ifaddrs *all, *a;
	struct sockaddr_in6 in6;
	int tries, four = 0, six = 0;

	for (tries = 0; tries < UPLINK_WAIT_MS / 2 && !four; tries++) {
		if (getifaddrs(&all) == -1)
			return (-1);
		for (a = all; a != NULL; a = a->ifa_next) {
			if (a->ifa_addr == NULL ||
			    strcmp(a->ifa_name, NETWORK_UPLINK) != 0)
				continue;
			four |= a->ifa_addr->sa_family == AF_INET;
			if (a->ifa_addr->sa_family != AF_INET6)
				continue;
			memcpy(&in6, a->ifa_addr, sizeof(in6));
			six |= !IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr);
		}
		freeifaddrs(all);
		if (!four)
			nanosleep(&pause, NULL);
	}
	if (!four)
		errno = ENETDOWN;
	return (four ? six : -1);
}

/* From within the router to the namespace slot, and then within that. */
static int
connect_slot(unsigned n, const char *rules, int out, int slot, int six)
{
	char text[1024];

	/* ip finds the namespace by the descriptor that it inherits. */
	snprintf(text, sizeof(text),
	    "link add tk%u type veth peer name eth0 netns /proc/self/fd/%d\n"
	    "link set tk%u addrgenmode none\n"
	    "addr add " NETWORK_ROUTER4 "/32 dev tk%u\n"
	    "link set tk%u up\n"
	    "route add 198.18.%u.%u/32 dev tk%u\n",
	    n, slot, n, n, n, n >> 8, n & 255, n);
	if (ip(text, out) == -1)
		return (-1);
	if (six) {
		snprintf(text, sizeof(text),
		    "addr add " NETWORK_ROUTER6 "/64 dev tk%u nodad\n"
		    "route add fd54:616b:6f::%x/128 dev tk%u\n",
		    n, n, n);
		if (ip(text, out) == -1)
			return (-1);
	}
	if (nft(rules, out) == -1)
		return (-1);
	if (setns(slot, CLONE_NEWNET) == -1)
		return (failed(out, "namespace"));
	snprintf(text, sizeof(text),
	    "link set lo up\n"
	    "link set eth0 addrgenmode none\n"
	    "addr add 198.18.%u.%u/32 dev eth0\n"
	    "link set eth0 up\n"
	    "route add " NETWORK_ROUTER4 "/32 dev eth0 scope link\n"
	    "route add default via " NETWORK_ROUTER4 " dev eth0\n",
	    n >> 8, n & 255);
	if (ip(text, out) == -1)
		return (-1);
	if (six) {
		snprintf(text, sizeof(text),
		    "addr add fd54:616b:6f::%x/128 dev eth0 nodad\n"
		    "route add default via " NETWORK_ROUTER6 " dev eth0\n",
		    n);
		if (ip(text, out) == -1)
			return (-1);
	}
	return (0);
}

int
network_child_slot(
    const struct network_place *place, unsigned n, const char *rules, int out)
{
	int slot, six;

	if (enter(place) == -1 || (six = uplink_wait()) == -1 ||
	    unshare(CLONE_NEWNET) == -1 ||
	    (slot = open("/proc/self/ns/net", O_RDONLY)) == -1 ||
	    setns(place->net, CLONE_NEWNET) == -1)
		return (failed(out, "router"));
	return (connect_slot(n, rules, out, slot, six) == -1 ? -1 : slot);
}

/*
 * A namespace that is not of the router's making belongs to the host's root,
 * who is root over the router as well.
 */
int
network_child_join(const struct network_place *place, unsigned n,
    const char *rules, int out, int pidfd)
{
	int slot, six;

	if (setns(pidfd, CLONE_NEWNET) == -1 ||
	    (slot = open("/proc/self/ns/net", O_RDONLY)) == -1)
		return (failed(out, "namespace"));
	if (setns(place->net, CLONE_NEWNET) == -1 ||
	    (six = uplink_wait()) == -1)
		return (failed(out, "router"));
	return (connect_slot(n, rules, out, slot, six));
}

/* ---- the uplink ---------------------------------------------------------- */

/* Whether a file names a name server that is not on a loopback. */
static int
has_server(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[256], address[64];
	struct in_addr in;
	int r = 0;

	while (f != NULL && !r && fgets(line, sizeof(line), f) != NULL)
		r = sscanf(line, "nameserver %63s", address) == 1 &&
		    inet_pton(AF_INET, address, &in) == 1 &&
		    ntohl(in.s_addr) >> 24 != 127;
	if (f != NULL)
		fclose(f);
	return (r);
}

/*
 * What pasta finds: a device that it may open, having no rights over the
 * host's; and a name server that it can ask, which systemd-resolved on a
 * loopback is not, and names.
 */
static void
show_pasta(void)
{
	struct stat st;

	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		return;
	if ((stat(PATH_TUN, &st) == -1 || (st.st_mode & 0006) != 0006) &&
	    mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID | MS_NOEXEC,
		"size=4k,mode=755") == 0 &&
	    mknod(PATH_TUN, S_IFCHR | 0666, makedev(10, 200)) == 0)
		(void)chmod(PATH_TUN, 0666);
	if (!has_server(PATH_RESOLV) && has_server(PATH_RESOLVED))
		(void)mount(PATH_RESOLVED, PATH_RESOLV, NULL, MS_BIND, NULL);
}

static void __attribute__((noreturn))
exec_pasta(const struct network_place *place, uid_t uid, int out)
{
	static char user[] = "/proc/self/fd/3", net[] = "/proc/self/fd/4";
	static const char *const argv[] = { "pasta", "--foreground", "--quiet",
		"--stderr", "--no-map-gw", "--no-dhcp", "--no-dhcpv6",
		"--no-ra", "--no-netns-quit", "--tcp-ports", "none",
		"--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
		"--mtu", "1500", "--ns-ifname", NETWORK_UPLINK, "--address",
		NETWORK_ADDRESS, "--netmask", "29", "--gateway",
		NETWORK_GATEWAY, "--dns-forward", NETWORK_RESOLVER,
		"--config-net", "--userns", user, "--netns", net, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1 ||
	    dup2(out, 2) == -1)
		_exit(126);
	/* The two may stand where they are to go. */
	if ((out = fcntl(place->net, F_DUPFD, 5)) == -1 ||
	    dup2(place->user, 3) == -1 || dup2(out, 4) == -1 ||
	    close_range(5, ~0U, 0) == -1)
		_exit(126);
	if (setgroups(0, NULL) == -1 ||
	    setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		_exit(125);
	execvpe(argv[0], (char *const *)(uintptr_t)argv, environment);
	(void)failed(2, "pasta");
	_exit(127);
}

/* The first process of a pid namespace: with it goes pasta. */
void
network_child_uplink(const struct network_place *place, uid_t uid, int out)
{
	int status = -1;
	pid_t pid;

	show_pasta();
	if ((pid = fork()) == -1)
		_exit(126);
	if (pid == 0)
		exec_pasta(place, uid, out);
	(void)close_range(2, ~0U, 0);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	_exit(1);
}
