/*
 * network.h: the network of containers that have one.
 *
 *	container's namespace   eth0 --veth-- tkN   router   up0 --- pasta
 *
 * The router is a network namespace of takod's own, in a user namespace of an
 * id that nobody else has: all rules are there, nothing of the host's network
 * is changed, and all of it is gone with its processes. pasta, which runs as
 * that id in the host's network, brings out what the rules let pass as
 * connections of its own. A job has no rights over any of these namespaces.
 *
 * Nothing here blocks takod's loop: what waits is a child process.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "engine.h"

struct network;
struct network_slot; /* the network of one container */

/* uid: of the router and of pasta. Starts nothing yet. */
struct network *network_open(struct event_base *, const struct conf *, uid_t);
void network_close(struct network *);
/*
 * Starts the router unless it runs: what is missing is logged. Makes known to
 * its rules what of the configuration and of the host's addresses is new.
 */
void network_refresh(struct network *);
/*
 * What keeps it from working, as far as is known; NULL: nothing. Then another
 * start is tried, now and then.
 */
const char *network_fault(struct network *);

/*
 * Looks up the policy's names and sees that the router runs. slot is NULL, with
 * detail, when there can be no network; the caller's else.
 */
typedef void (*network_slot_cb)(
    struct network_slot *, const char *detail, void *arg);
struct network_ask;
struct network_ask *network_ask(struct network *, const struct network_policy *,
    network_slot_cb, void *arg);
void network_ask_drop(struct network_ask *); /* no callback */

/* The texts of /etc/hosts and /etc/resolv.conf for the container. */
const char *network_slot_hosts(const struct network_slot *);
const char *network_slot_resolv(const struct network_slot *);
/*
 * In a forked child of takod, while its descriptors are open: makes the
 * namespace of the container and connects it. Returns its descriptor; -1 with
 * a line in the file log.
 */
int network_slot_make(struct network_slot *, const char *log);
/*
 * Instead, where somebody else has made the namespace: connects that of the
 * process of pidfd. detail is NULL when that is done; not after
 * network_slot_quiet.
 */
typedef void (*network_join_cb)(const char *detail, void *arg);
void network_slot_join(
    struct network_slot *, int pidfd, network_join_cb, void *arg);
/* As engine.h has it; once for each slot, and not after network_slot_quiet. */
void network_slot_facts(struct network_slot *, engine_network_cb, void *arg);
void network_slot_quiet(struct network_slot *); /* NULL is allowed */
/* Takes its rules away. NULL is allowed. */
void network_slot_end(struct network_slot *);

/* ---- network_child.c: in forked children of takod ------------------------ */
struct network_place { /* the router's namespaces, as descriptors */
	int user, net;
};
/*
 * Each returns or ends with 0 when all is done; what failed is a line on
 * descriptor out.
 */
int network_child_router(
    uid_t, const char *rules, int out, struct network_place *);
int network_child_rules(
    const struct network_place *, const char *rules, int out);
int network_child_list(
    const struct network_place *, const char *lists, int out);
int network_child_slot(
    const struct network_place *, unsigned number, const char *rules, int out);
int network_child_join(const struct network_place *, unsigned number,
    const char *rules, int out, int pidfd);
void network_child_uplink(const struct network_place *, uid_t, int out)
    __attribute__((noreturn));
/* Says over a socket that all is done: a NUL, with the descriptors. */
int network_send(int sock, const struct network_place *);
/* recv(2), which fills in the descriptors when they come. */
ssize_t network_receive(
    int sock, char *buf, size_t len, struct network_place *);

/* ---- network_rules.c: the rules, as nft(8) reads them. ------------------- */
/* The far end of the router, and what pasta answers as a name server. */
#define NETWORK_UPLINK	 "up0"
#define NETWORK_ADDRESS	 "192.0.0.2"
#define NETWORK_GATEWAY	 "192.0.0.1"
#define NETWORK_RESOLVER "192.0.0.3"
/* Every container's way out. */
#define NETWORK_ROUTER4 "198.19.255.254"
#define NETWORK_ROUTER6 "fe80::1"
/* Of a container's number, which is below. */
#define NETWORK_NUMBERS 16384

/* A name that was looked up. */
struct network_name {
	char *name; /* NULL: none */
	int port;   /* as conf_host's */
	uint8_t (*addresses)[16];
	size_t n;
};

/* IPv4 as such; returns whether it is. text: INET6_ADDRSTRLEN bytes. */
int network_address_text(const uint8_t address[16], char *text, size_t);
extern const char network_rules_base[];
/* This host's addresses and the configuration's; "" if those cannot be read. */
char *network_rules_refresh(const struct conf *);
char *network_rules_slot(unsigned number, const struct network_policy *,
    const struct network_name *, size_t n_names);
char *network_rules_gone(unsigned number);
/* What lists a container's refusals, and what of it is for its record. */
char *network_rules_list(unsigned number);
json_t *network_rules_listed(const char *text, size_t len);

/* ---- network_lookup.c ---------------------------------------------------- */
#define NETWORK_LOOKUP_ADDRESSES 16 /* of one name */
struct network_lookup;
/* One address of the list's item of that number; IPv4 as ::ffff:0:0/96. */
struct network_address {
	uint16_t item;
	uint8_t address[16];
};
typedef void (*network_lookup_cb)(
    const struct network_address *, size_t n, void *arg);
/* Names of hosts; those without an answer in time have no address. */
struct network_lookup *network_lookup_start(
    struct event_base *, const struct conf_list *, network_lookup_cb, void *);
void network_lookup_drop(struct network_lookup *);

#endif
