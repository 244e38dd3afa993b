/*
 * network.c: the router of containers' networks, and which container has what
 * network. Runs in takod. Work on the router is done by children
 * (network_child.c), one after the other only where one needs the other.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_arm.h"
#include "log.h"
#include "network.h"
#include "util.h"

#define TASK_S	     15
#define TASK_OUTPUT  16384
#define AGAIN_US     5000000 /* after a router that could not be made */
#define UPLINK_FIRST 50	     /* ms until pasta is started again */
#define UPLINK_MOST  30000
#define UPLINK_YOUNG 10000000 /* us */
#define UPLINK_BORN  1000000  /* us, after which it works */

enum task_kind {
	TASK_ROUTER, /* makes one */
	TASK_RULES,
	TASK_LIST,
	TASK_JOIN /* connects a container; its arg is the slot */
};

/* A child at work on the router; what it says comes by a socket. */
struct task {
	TAILQ_ENTRY(task) entry;
	struct network *n;
	pid_t pid;
	int fd;
	struct event *ev;
	char text[TASK_OUTPUT];
	size_t len;
	struct network_place place; /* the router that it made */
	void (*cb)(struct task *, int done, void *arg);
	void *arg;
};

struct network_ask {
	TAILQ_ENTRY(network_ask) entry;
	struct network *n;
	enum network_kind kind;
	struct conf_list hosts; /* own copy */
	struct network_lookup *lookup;
	struct network_name *names; /* an entry for each that was looked up */
	size_t n_names;
	struct event *turn;
	network_slot_cb cb;
	void *arg;
};

struct network_slot {
	TAILQ_ENTRY(network_slot) entry;
	struct network *n;
	unsigned number;
	enum network_kind kind;
	char *rules, *hosts;
	json_t *addresses; /* by name, as they were looked up */
	int busy;	   /* a task is at work for it */
	int ended;
	int pidfd; /* whose namespace it is, while it is joined */
	network_join_cb join_cb;
	engine_network_cb cb;
	void *arg; /* of either */
};

struct network {
	struct event_base *base;
	const struct conf *conf;
	uid_t uid;
	struct network_place place; /* -1: no router */
	struct task *making;
	char fault[256];
	int64_t failed; /* when: monotonic us; 0: it works or was not tried */
	/* pasta */
	pid_t uplink;
	int uplink_fd; /* what it says; its end is pasta's */
	struct event *uplink_ev, *uplink_again;
	int uplink_pause; /* ms */
	char words[160];  /* what it said last */
	int64_t uplink_began;
	/* addresses of this host that come and go */
	int watch;
	struct event *watch_ev;
	int refreshing; /* 2: and once more after that */
	int stale;	/* the last time failed */
	unsigned number;
	TAILQ_HEAD(, task) tasks;
	TAILQ_HEAD(, network_ask) asks;
	TAILQ_HEAD(, network_slot) slots;
};

static void uplink_start(struct network *);

/* ---- tasks --------------------------------------------------------------- */

static void
task_free(struct task *t)
{
	TAILQ_REMOVE(&t->n->tasks, t, entry);
	kill(t->pid, SIGKILL);
	while (waitpid(t->pid, NULL, 0) == -1 && errno == EINTR)
		;
	event_free(t->ev);
	close_fd(&t->fd);
	close_fd(&t->place.user);
	close_fd(&t->place.net);
	free(t);
}

/* nft's answers and a NUL; or, without that, what failed. */
static void
task_ended(struct task *t)
{
	int done = t->len > 0 && t->text[t->len - 1] == '\0';

	t->text[t->len] = '\0';
	if (!done)
		t->text[strcspn(t->text, "\n")] = '\0';
	t->cb(t, done, t->arg);
	task_free(t);
}

static void
task_readable(evutil_socket_t fd, short events, void *arg)
{
	struct task *t = arg;
	ssize_t n = 0;

	if (events & EV_TIMEOUT) {
		t->len = 0;
		strlcpy(t->text, "it takes too long", sizeof(t->text));
		task_ended(t);
		return;
	}
	n = network_receive(
	    fd, t->text + t->len, TASK_OUTPUT - 1 - t->len, &t->place);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		t->len += (size_t)n;
		if (t->len < TASK_OUTPUT - 1)
			return;
	}
	task_ended(t);
}

static void __attribute__((noreturn)) task_child(struct network *n,
    enum task_kind kind, const char *rules, int out, const void *arg)
{
	const struct network_slot *s = arg;
	struct network_place place;
	char *all;
	int r = -1;

	signal(SIGPIPE, SIG_DFL);
	alarm(TASK_S);
	all = xasprintf("%s%s%s", kind == TASK_ROUTER ? network_rules_base : "",
	    rules == NULL ? network_rules_refresh(n->conf) : "",
	    rules != NULL ? rules : "");
	switch (kind) {
	case TASK_ROUTER:
		r = network_child_router(n->uid, all, out, &place);
		if (r == 0)
			r = network_send(out, &place);
		_exit(r == 0 ? 0 : 1);
	case TASK_RULES:
		r = network_child_rules(&n->place, all, out);
		break;
	case TASK_LIST:
		r = network_child_list(&n->place, all, out);
		break;
	case TASK_JOIN:
		r = network_child_join(
		    &n->place, s->number, all, out, s->pidfd);
		break;
	}
	if (r == 0)
		(void)!write(out, "", 1);
	_exit(r == 0 ? 0 : 1);
}

/*
 * rules NULL: the sets that change. NULL, and the log says why, when it could
 * not be started: cb is not called.
 */
static struct task *
task_start(struct network *n, enum task_kind kind, const char *rules,
    void (*cb)(struct task *, int, void *), void *arg)
{
	struct timeval limit = { TASK_S, 0 };
	struct task *t = xcalloc(1, sizeof(*t));
	pid_t parent = getpid();
	int pair[2] = { -1, -1 };

	t->n = n;
	t->place.user = t->place.net = -1;
	t->cb = cb;
	t->arg = arg;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1 ||
	    (t->pid = fork()) == -1)
		goto fail;
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			task_child(n, kind, rules, pair[1], arg);
		_exit(1);
	}
	close_fd(&pair[1]);
	t->fd = pair[0];
	fd_nonblock(t->fd);
	TAILQ_INSERT_TAIL(&n->tasks, t, entry);
	t->ev =
	    event_new(n->base, t->fd, EV_READ | EV_PERSIST, task_readable, t);
	if (t->ev == NULL || event_add(t->ev, &limit) == -1)
		fatal(NULL);
	return (t);
fail:
	log_warn("network");
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	free(t);
	return (NULL);
}

/* ---- the router ---------------------------------------------------------- */

/* All who wait are told, by the loop. */
static void
asks_wake(struct network *n)
{
	struct timeval now = { 0, 0 };
	struct network_ask *a;

	TAILQ_FOREACH (a, &n->asks, entry)
		event_arm(a->turn, &now);
}

static void
router_failed(struct network *n, const char *why)
{
	snprintf(n->fault, sizeof(n->fault),
	    "containers can have no network: %s", why);
	n->failed = time_mono_us();
	log_error("%s", n->fault);
	asks_wake(n);
}

static void
router_made(struct task *t, int done, void *arg)
{
	struct network *n = arg;
	char text[sizeof(n->fault)];

	n->making = NULL;
	if (!done || t->place.net == -1) {
		router_failed(n, log_escape(text, sizeof(text), t->text,
				     strnlen(t->text, sizeof(text) / 4)));
		return;
	}
	n->place = t->place;
	t->place.user = t->place.net = -1;
	n->failed = 0;
	n->fault[0] = '\0';
	n->uplink_pause = 0;
	/* What has changed since it was begun. */
	network_refresh(n);
	uplink_start(n);
	asks_wake(n);
}

/* What it says is read by a child, which asks for all of it anew. */
static void
addresses_changed(evutil_socket_t fd, short events, void *arg)
{
	struct network *n = arg;
	char buf[8192];

	(void)events;
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	if (n->place.net != -1)
		network_refresh(n);
}

static void
watch_start(struct network *n)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };

	n->watch = socket(
	    AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (n->watch == -1 ||
	    bind(n->watch, (struct sockaddr *)&nl, sizeof(nl)) == -1 ||
	    (n->watch_ev = event_new(n->base, n->watch, EV_READ | EV_PERSIST,
		 addresses_changed, n)) == NULL ||
	    event_add(n->watch_ev, NULL) == -1)
		log_warn("network: this host's addresses are not watched");
}

static void
router_start(struct network *n)
{
	if (n->making != NULL || n->place.net != -1 ||
	    (n->failed != 0 && time_mono_us() - n->failed < AGAIN_US))
		return;
	if (n->watch == -1)
		watch_start(n);
	n->making = task_start(n, TASK_ROUTER, NULL, router_made, n);
	if (n->making == NULL)
		router_failed(n, strerror(errno));
}

static void
refreshed(struct task *t, int done, void *arg)
{
	struct network *n = arg;
	int again = n->refreshing == 2;

	n->refreshing = 0;
	n->stale = !done;
	if (!done)
		log_warnx("network: rules: %.200s", t->text);
	if (again)
		network_refresh(n);
}

/*
 * One at a time, and nobody else writes these sets: of two, the one that read
 * the addresses first might be the last to write.
 */
void
network_refresh(struct network *n)
{
	if (n->place.net == -1)
		router_start(n);
	else if (n->refreshing)
		n->refreshing = 2;
	else if (task_start(n, TASK_RULES, NULL, refreshed, n) != NULL)
		n->refreshing = 1;
	else
		n->stale = 1;
}

const char *
network_fault(struct network *n)
{
	if (n->fault[0] == '\0')
		return (NULL);
	if (n->place.net == -1)
		router_start(n);
	else if (n->uplink > 0 &&
		 time_mono_us() - n->uplink_began > UPLINK_BORN) {
		log_info("containers can have a network again");
		n->fault[0] = n->words[0] = '\0';
		return (NULL);
	}
	return (n->fault);
}

/* ---- pasta --------------------------------------------------------------- */

static void
uplink_free(struct network *n)
{
	if (n->uplink <= 0)
		return;
	kill(n->uplink, SIGKILL);
	while (waitpid(n->uplink, NULL, 0) == -1 && errno == EINTR)
		;
	n->uplink = 0;
	event_free(n->uplink_ev);
	close_fd(&n->uplink_fd);
}

/* It says something, which is a reason to end; or it has ended. */
static void
uplink_readable(evutil_socket_t fd, short events, void *arg)
{
	struct network *n = arg;
	struct timeval tv;
	char buf[512], text[2048];
	ssize_t len = read(fd, buf, sizeof(buf));

	(void)events;
	if (len == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len > 0) {
		while (len > 0 && buf[len - 1] == '\n')
			len--;
		log_warnx("network: pasta: %s",
		    log_escape(text, sizeof(text), buf, (size_t)len));
		snprintf(n->words, sizeof(n->words), ": %.*s",
		    (int)sizeof(n->words) - 3, text);
		return;
	}
	uplink_free(n);
	/* Once more: jobs are told, rather than slots made in vain. */
	if (time_mono_us() - n->uplink_began < UPLINK_BORN &&
	    n->uplink_pause > 0)
		snprintf(n->fault, sizeof(n->fault),
		    "containers can have no network: pasta does not start%s",
		    n->words);
	if (time_mono_us() - n->uplink_began > UPLINK_YOUNG)
		n->uplink_pause = 0;
	n->uplink_pause = n->uplink_pause == 0 ? UPLINK_FIRST
			  : n->uplink_pause > UPLINK_MOST / 2
			      ? UPLINK_MOST
			      : 2 * n->uplink_pause;
	log_warnx("network: pasta has ended; again in %d ms", n->uplink_pause);
	tv.tv_sec = n->uplink_pause / 1000;
	tv.tv_usec = n->uplink_pause % 1000 * 1000;
	event_arm(n->uplink_again, &tv);
}

static void
uplink_child(struct network *n, int out)
{
	struct pollfd p = { .fd = out };

	signal(SIGPIPE, SIG_DFL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Its parent is of another pid namespace: was it in time? */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
		_exit(1);
	network_child_uplink(&n->place, n->uid, out);
}

static void
uplink_start(struct network *n)
{
	struct timeval later = { 1, 0 };
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) == -1 ||
	    (n->uplink = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL,
		 NULL, NULL, 0)) == -1) {
		log_warn("network: pasta");
		n->uplink = 0;
		event_arm(n->uplink_again, &later);
		return;
	}
	if (n->uplink == 0)
		uplink_child(n, pipes[1]);
	close(pipes[1]);
	n->uplink_fd = pipes[0];
	fd_nonblock(n->uplink_fd);
	n->uplink_began = time_mono_us();
	n->uplink_ev = event_new(
	    n->base, n->uplink_fd, EV_READ | EV_PERSIST, uplink_readable, n);
	if (n->uplink_ev == NULL || event_add(n->uplink_ev, NULL) == -1)
		fatal(NULL);
}

static void
uplink_late(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	uplink_start(arg);
}

/* ---- what a container asks for ------------------------------------------- */

static void
ask_free(struct network_ask *a)
{
	size_t i;

	TAILQ_REMOVE(&a->n->asks, a, entry);
	network_lookup_drop(a->lookup);
	for (i = 0; i < a->hosts.n; i++)
		free(a->hosts.items[i]);
	free(a->hosts.items);
	for (i = 0; i < a->n_names; i++) {
		free(a->names[i].name);
		free(a->names[i].addresses);
	}
	free(a->names);
	event_free(a->turn);
	free(a);
}

void
network_ask_drop(struct network_ask *a)
{
	if (a != NULL)
		ask_free(a);
}

static unsigned
number_take(struct network *n)
{
	struct network_slot *s;

	do {
		n->number = (n->number + 1) % NETWORK_NUMBERS;
		TAILQ_FOREACH (s, &n->slots, entry)
			if (s->number == n->number)
				break;
		/* 0 is the name of the network. */
	} while (s != NULL || (n->number & 255) == 0);
	return (n->number);
}

static char *
ask_hosts(const struct network_ask *a, json_t *addresses)
{
	char text[INET6_ADDRSTRLEN], *buf;
	const struct network_name *name;
	size_t i, j, len;
	json_t *list;
	FILE *f;

	if ((f = open_memstream(&buf, &len)) == NULL)
		fatal(NULL);
	fputs("127.0.0.1 localhost\n::1 localhost\n", f);
	for (i = 0; i < a->n_names; i++) {
		name = &a->names[i];
		if (name->name == NULL)
			continue;
		list = json_array();
		for (j = 0; j < name->n; j++) {
			network_address_text(
			    name->addresses[j], text, sizeof(text));
			fprintf(f, "%s %s\n", text, name->name);
			json_array_append_new(list, json_string(text));
		}
		json_object_set_new(addresses, name->name, list);
	}
	if (fclose(f) == EOF)
		fatal(NULL);
	return (buf);
}

/* The router works, and the names are looked up. */
static void
ask_answer(struct network_ask *a)
{
	struct network_policy policy = { .kind = a->kind, .hosts = &a->hosts };
	struct network *n = a->n;
	struct network_slot *s = xcalloc(1, sizeof(*s));
	network_slot_cb cb = a->cb;
	void *arg = a->arg;

	s->n = n;
	s->kind = a->kind;
	s->number = number_take(n);
	s->addresses = json_object();
	s->hosts = ask_hosts(a, s->addresses);
	s->rules = network_rules_slot(s->number, &policy, a->names, a->n_names);
	TAILQ_INSERT_TAIL(&n->slots, s, entry);
	ask_free(a);
	cb(s, NULL, arg);
}

static void
ask_turn(evutil_socket_t fd, short events, void *arg)
{
	struct network_ask *a = arg;
	struct network *n = a->n;
	network_slot_cb cb = a->cb;
	void *cb_arg = a->arg;

	(void)fd;
	(void)events;
	if (n->place.net == -1 && n->making == NULL) {
		ask_free(a);
		cb(NULL, n->fault, cb_arg);
		return;
	}
	if (n->place.net != -1 && a->lookup == NULL)
		ask_answer(a);
}

static void
ask_looked_up(const struct network_address *list, size_t n_list, void *arg)
{
	struct timeval now = { 0, 0 };
	struct network_ask *a = arg;
	struct network_name *name;
	struct conf_host h;
	size_t i;

	a->n_names = a->hosts.n;
	a->names = xcalloc(a->n_names, sizeof(*a->names));
	for (i = 0; i < n_list; i++) {
		if (list[i].item >= a->n_names)
			continue;
		name = &a->names[list[i].item];
		if (name->addresses == NULL)
			name->addresses = xcalloc(
			    NETWORK_LOOKUP_ADDRESSES, sizeof(*name->addresses));
		if (name->n < NETWORK_LOOKUP_ADDRESSES)
			memcpy(name->addresses[name->n++], list[i].address, 16);
	}
	for (i = 0; i < a->n_names; i++) {
		(void)conf_host_parse(a->hosts.items[i], &h);
		if (h.name[0] == '\0')
			continue;
		a->names[i].name = xstrdup(h.name);
		a->names[i].port = h.port;
		if (a->names[i].n == 0)
			log_warnx("network: %s of allowed_hosts has no address",
			    h.name);
	}
	network_lookup_drop(a->lookup);
	a->lookup = NULL;
	event_arm(a->turn, &now);
}

struct network_ask *
network_ask(struct network *n, const struct network_policy *policy,
    network_slot_cb cb, void *arg)
{
	struct timeval now = { 0, 0 };
	struct network_ask *a = xcalloc(1, sizeof(*a));
	size_t i;

	a->n = n;
	a->kind = policy->kind;
	a->cb = cb;
	a->arg = arg;
	if ((a->turn = evtimer_new(n->base, ask_turn, a)) == NULL)
		fatal(NULL);
	TAILQ_INSERT_TAIL(&n->asks, a, entry);
	if (n->place.net == -1 || n->stale || n->watch_ev == NULL)
		network_refresh(n);
	if (a->kind == NETWORK_HOSTS) {
		a->hosts.n = policy->hosts->n;
		a->hosts.items = xcalloc(a->hosts.n + 1, sizeof(char *));
		for (i = 0; i < a->hosts.n; i++)
			a->hosts.items[i] = xstrdup(policy->hosts->items[i]);
		a->lookup =
		    network_lookup_start(n->base, &a->hosts, ask_looked_up, a);
		if (a->lookup != NULL)
			return (a);
		log_warn("network: names are not looked up");
	}
	event_arm(a->turn, &now);
	return (a);
}

/* ---- the network of one container ---------------------------------------- */

const char *
network_slot_hosts(const struct network_slot *s)
{
	return (s->hosts);
}

const char *
network_slot_resolv(const struct network_slot *s)
{
	return (s->kind == NETWORK_PUBLIC ? "nameserver " NETWORK_RESOLVER
					    "\noptions edns0\n"
					  : "");
}

int
network_slot_make(struct network_slot *s, const char *log)
{
	struct network_place place;
	int pair[2], out;
	pid_t pid;
	char end;

	place.net = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1 ||
	    (pid = fork()) == -1)
		return (-1);
	if (pid == 0) {
		out =
		    open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		place.user = place.net =
		    network_child_slot(&s->n->place, s->number, s->rules, out);
		if (place.net == -1 || network_send(pair[1], &place) == -1)
			_exit(1);
		_exit(0);
	}
	close(pair[1]);
	(void)network_receive(pair[0], &end, 1, &place);
	close(pair[0]);
	waitpid(pid, NULL, 0);
	return (place.net);
}

static void
slot_free(struct network_slot *s)
{
	TAILQ_REMOVE(&s->n->slots, s, entry);
	json_decref(s->addresses);
	free(s->rules);
	free(s->hosts);
	free(s);
}

static void
slot_gone(struct task *t, int done, void *arg)
{
	/* It may never have come to its rules. */
	(void)t;
	(void)done;
	slot_free(arg);
}

static void
slot_remove(struct network_slot *s)
{
	char *rules = network_rules_gone(s->number);

	if (task_start(s->n, TASK_RULES, rules, slot_gone, s) == NULL)
		slot_free(s);
	free(rules);
}

static void
slot_listed(struct task *t, int done, void *arg)
{
	struct network_slot *s = arg;
	json_t *o = NULL;

	s->busy = 0;
	if (s->ended) {
		slot_remove(s);
		return;
	}
	if (s->cb == NULL)
		return;
	if (done)
		o = network_rules_listed(t->text, t->len - 1);
	if (o == NULL)
		log_warnx("network: what was refused: %zu %d %s", t->len, done,
		    t->text);
	if (o != NULL && s->kind == NETWORK_HOSTS)
		json_object_set(o, "addresses", s->addresses);
	s->cb(o, s->arg);
}

static void
slot_joined(struct task *t, int done, void *arg)
{
	struct network_slot *s = arg;
	network_join_cb cb = s->join_cb;

	s->busy = 0;
	s->join_cb = NULL;
	if (s->ended)
		slot_remove(s);
	else if (cb != NULL)
		cb(done ? NULL : t->text, s->arg);
}

/* What it asked for could not be begun. */
static void
slot_not_begun(evutil_socket_t fd, short events, void *arg)
{
	struct network_slot *s = arg;
	network_join_cb join_cb = s->join_cb;

	(void)fd;
	(void)events;
	s->busy = 0;
	s->join_cb = NULL;
	if (s->ended)
		slot_remove(s);
	else if (join_cb != NULL)
		join_cb("it cannot be begun", s->arg);
	else if (s->cb != NULL)
		s->cb(NULL, s->arg);
}

static void
slot_begin(struct network_slot *s, enum task_kind kind, const char *rules,
    void (*cb)(struct task *, int, void *))
{
	struct timeval now = { 0, 0 };

	s->busy = 1;
	if (task_start(s->n, kind, rules, cb, s) == NULL &&
	    event_base_once(
		s->n->base, -1, EV_TIMEOUT, slot_not_begun, s, &now) == -1)
		fatal(NULL);
}

void
network_slot_join(
    struct network_slot *s, int pidfd, network_join_cb cb, void *arg)
{
	s->pidfd = pidfd;
	s->join_cb = cb;
	s->arg = arg;
	slot_begin(s, TASK_JOIN, s->rules, slot_joined);
}

void
network_slot_quiet(struct network_slot *s)
{
	if (s == NULL)
		return;
	s->cb = NULL;
	s->join_cb = NULL;
}

void
network_slot_facts(struct network_slot *s, engine_network_cb cb, void *arg)
{
	char *rules = network_rules_list(s->number);

	s->cb = cb;
	s->arg = arg;
	slot_begin(s, TASK_LIST, rules, slot_listed);
	free(rules);
}

void
network_slot_end(struct network_slot *s)
{
	if (s == NULL)
		return;
	s->ended = 1;
	if (!s->busy)
		slot_remove(s);
}

/* ---- all of it ------------------------------------------------------------
 */

struct network *
network_open(struct event_base *base, const struct conf *conf, uid_t uid)
{
	struct network *n = xcalloc(1, sizeof(*n));

	TAILQ_INIT(&n->tasks);
	TAILQ_INIT(&n->asks);
	TAILQ_INIT(&n->slots);
	n->base = base;
	n->conf = conf;
	n->uid = uid;
	n->place.user = n->place.net = n->uplink_fd = n->watch = -1;
	/* So that numbers of a former life are not met. */
	n->number = arc4random_uniform(NETWORK_NUMBERS);
	if ((n->uplink_again = evtimer_new(base, uplink_late, n)) == NULL)
		fatal(NULL);
	return (n);
}

void
network_close(struct network *n)
{
	struct network_ask *a;
	struct network_slot *s;
	struct task *t;

	if (n == NULL)
		return;
	while ((a = TAILQ_FIRST(&n->asks)) != NULL)
		ask_free(a);
	while ((t = TAILQ_FIRST(&n->tasks)) != NULL)
		task_free(t);
	while ((s = TAILQ_FIRST(&n->slots)) != NULL)
		slot_free(s);
	uplink_free(n);
	event_free(n->uplink_again);
	if (n->watch_ev != NULL)
		event_free(n->watch_ev);
	close_fd(&n->watch);
	close_fd(&n->place.user);
	close_fd(&n->place.net);
	free(n);
}
