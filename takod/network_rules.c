/*
 * network_rules.c: what passes the router of containers' networks, as text for
 * nft(8). Runs in takod, and in its children just before nft.
 *
 * Every packet of a container is judged by where it goes to, not by a
 * connection that it seems to belong to; only what comes back is let in for
 * its connection. What is not allowed is refused, counted, and its first
 * destinations are kept for the job's record.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "network.h"
#include "util.h"

#define DESTINATIONS "16"
/* Of one container at a time: they all share pasta's table. */
#define CONNECTIONS "256"
#define PORTS	    "{ 80, 443 }" /* of an item without one */

/*
 * Not public: IANA's special-purpose registries, multicast, and of IPv6 all
 * but 2000::/3, so that what translates to IPv4 is out too.
 */
const char network_rules_base[] =
    "table inet takod {\n"
    " set special4 { type ipv4_addr; flags interval; elements = {"
    " 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16,"
    " 172.16.0.0/12, 192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24,"
    " 192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24,"
    " 224.0.0.0/3 } }\n"
    " set special6 { type ipv6_addr; flags interval; elements = {"
    " ::/3, 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20, 4000::/2,"
    " 8000::/1 } }\n"
    " set host4 { type ipv4_addr; }\n"
    " set host6 { type ipv6_addr; }\n"
    " set allow4 { type ipv4_addr; flags interval; auto-merge; }\n"
    " set allow6 { type ipv6_addr; flags interval; auto-merge; }\n"
    " set deny4 { type ipv4_addr; flags interval; auto-merge; }\n"
    " set deny6 { type ipv6_addr; flags interval; auto-merge; }\n"
    /* by the interface of each container: its address, and its chains */
    " set from4 { type ifname . ipv4_addr; }\n"
    " set from6 { type ifname . ipv6_addr; }\n"
    " map slots { type ifname : verdict; }\n"
    " map refused { type ifname : verdict; }\n"
    " chain public {\n"
    "  ip daddr @host4 return\n"
    "  ip6 daddr @host6 return\n"
    "  ip daddr @deny4 return\n"
    "  ip6 daddr @deny6 return\n"
    "  ip daddr @allow4 accept\n"
    "  ip6 daddr @allow6 accept\n"
    "  ip daddr @special4 return\n"
    "  ip6 daddr @special6 return\n"
    "  accept\n"
    " }\n"
    " chain forward {\n"
    "  type filter hook forward priority filter; policy drop;\n"
    "  iifname \"" NETWORK_UPLINK "\" ct state established,related accept\n"
    "  iifname . ip saddr @from4 iifname vmap @slots\n"
    "  iifname . ip6 saddr @from6 iifname vmap @slots\n"
    " }\n"
    " chain input {\n"
    "  type filter hook input priority filter; policy drop;\n"
    "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
    "  iifname vmap @refused\n"
    " }\n"
    " chain nat {\n"
    "  type nat hook postrouting priority srcnat; policy accept;\n"
    "  oifname \"" NETWORK_UPLINK "\" masquerade\n"
    " }\n"
    "}\n";

/* ---- text ---------------------------------------------------------------- */

struct text {
	FILE *f;
	char *buf;
	size_t len;
};

static void
text_open(struct text *t)
{
	if ((t->f = open_memstream(&t->buf, &t->len)) == NULL)
		fatal(NULL);
}

static char *
text_close(struct text *t)
{
	if (fclose(t->f) == EOF)
		fatal(NULL);
	return (t->buf);
}

static int
is_ipv4(const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return (memcmp(address, mapped, sizeof(mapped)) == 0);
}

/* Whether it is of IPv4. */
int
network_address_text(const uint8_t address[16], char *text, size_t len)
{
	int four = is_ipv4(address);

	inet_ntop(four ? AF_INET : AF_INET6, address + (four ? 12 : 0), text,
	    (socklen_t)len);
	return (four);
}

/* ---- what changes -------------------------------------------------------- */

static void
add_element(FILE *f, const char *set, const uint8_t address[16], unsigned bits)
{
	char text[INET6_ADDRSTRLEN];
	int four = network_address_text(address, text, sizeof(text));

	fprintf(f, "add element inet takod %s%d { %s", set, four ? 4 : 6, text);
	if (bits < 128)
		fprintf(f, "/%u", four ? bits - 96 : bits);
	fprintf(f, " }\n");
}

static void
add_networks(FILE *f, const char *set, const struct conf_list *list)
{
	struct conf_network n;
	size_t i;

	for (i = 0; i < list->n; i++) {
		(void)conf_network_parse(list->items[i], &n);
		add_element(f, set, n.prefix, n.bits);
	}
}

static void
add_own(FILE *f, const struct sockaddr *sa)
{
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(address + 12, &in.sin_addr, 4);
	} else {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(address, &in6.sin6_addr, 16);
	}
	add_element(f, "host", address, 128);
}

char *
network_rules_refresh(const struct conf *conf)
{
	static const char *const sets[] = { "host4", "host6", "allow4",
		"allow6", "deny4", "deny6" };
	struct ifaddrs *all, *a;
	struct text t;
	size_t i;

	if (getifaddrs(&all) == -1)
		return (xstrdup(""));
	text_open(&t);
	for (i = 0; i < nitems(sets); i++)
		fprintf(t.f, "flush set inet takod %s\n", sets[i]);
	for (a = all; a != NULL; a = a->ifa_next)
		if (a->ifa_addr != NULL &&
		    (a->ifa_addr->sa_family == AF_INET ||
			a->ifa_addr->sa_family == AF_INET6))
			add_own(t.f, a->ifa_addr);
	freeifaddrs(all);
	add_networks(t.f, "allow", &conf->network_allow);
	add_networks(t.f, "deny", &conf->network_deny);
	return (text_close(&t));
}

/* ---- one container ------------------------------------------------------- */

#define RULE(f, chain, n, ...)                                                 \
	(fprintf(f, "add rule inet takod " chain "%u ", n),                    \
	    fprintf(f, __VA_ARGS__), fputc('\n', f))

/* What is refused comes here, and ends here. */
static void
add_refusal(FILE *f, unsigned n)
{
	fprintf(f,
	    "add counter inet takod c%u\n"
	    "add set inet takod d4_%u { typeof ip daddr . meta l4proto ."
	    " th dport; flags dynamic; size " DESTINATIONS "; }\n"
	    "add set inet takod d6_%u { typeof ip6 daddr . meta l4proto ."
	    " th dport; flags dynamic; size " DESTINATIONS "; }\n"
	    "add chain inet takod r%u\n",
	    n, n, n, n);
	RULE(f, "r", n, "counter name c%u", n);
	RULE(f, "r", n,
	    "meta l4proto { tcp, udp } update @d4_%u"
	    " { ip daddr . meta l4proto . th dport }",
	    n);
	RULE(f, "r", n,
	    "meta l4proto { tcp, udp } update @d6_%u"
	    " { ip6 daddr . meta l4proto . th dport }",
	    n);
	/* What any network stack understands at once. */
	RULE(f, "r", n, "meta l4proto tcp reject with tcp reset");
	RULE(f, "r", n, "reject with icmpx port-unreachable");
}

static void
add_item(FILE *f, unsigned n, const uint8_t address[16], unsigned bits,
    int port, const char *verdict)
{
	char text[INET6_ADDRSTRLEN];
	int four = network_address_text(address, text, sizeof(text));

	fprintf(f, "add rule inet takod s%u ip%s daddr %s/%u tcp dport ", n,
	    four ? "" : "6", text, four ? bits - 96 : bits);
	if (port == 0)
		fprintf(f, PORTS " %s\n", verdict);
	else
		fprintf(f, "%d %s\n", port, verdict);
}

/* Items that are one address, or those that are a network. */
static void
add_addresses(FILE *f, unsigned n, const struct conf_list *hosts, int networks)
{
	struct conf_host h;
	size_t i;

	for (i = 0; i < hosts->n; i++) {
		(void)conf_host_parse(hosts->items[i], &h);
		if (h.name[0] == '\0' && (h.to.bits < 128) == networks)
			add_item(
			    f, n, h.to.prefix, h.to.bits, h.port, "accept");
	}
}

char *
network_rules_slot(unsigned n, const struct network_policy *policy,
    const struct network_name *names, size_t n_names)
{
	struct text t;
	size_t i, j;

	text_open(&t);
	add_refusal(t.f, n);
	fprintf(t.f, "add chain inet takod s%u\n", n);
	RULE(t.f, "s", n, "oifname != \"" NETWORK_UPLINK "\" goto r%u", n);
	RULE(t.f, "s", n, "ct state new ct count over " CONNECTIONS " goto r%u",
	    n);
	if (policy->kind == NETWORK_PUBLIC) {
		RULE(t.f, "s", n,
		    "ip daddr " NETWORK_RESOLVER " udp dport 53 accept");
		RULE(t.f, "s", n, "meta l4proto { tcp, udp } jump public");
	} else {
		/* Whoever names an address of this host means it. */
		add_addresses(t.f, n, policy->hosts, 0);
		RULE(t.f, "s", n, "ip daddr @host4 goto r%u", n);
		RULE(t.f, "s", n, "ip6 daddr @host6 goto r%u", n);
		add_addresses(t.f, n, policy->hosts, 1);
		for (i = 0; i < n_names; i++)
			for (j = 0; j < names[i].n; j++)
				add_item(t.f, n, names[i].addresses[j], 128,
				    names[i].port, "jump public");
	}
	RULE(t.f, "s", n, "goto r%u", n);
	fprintf(t.f,
	    "add element inet takod from4 { \"tk%u\" . 198.18.%u.%u }\n"
	    "add element inet takod from6 { \"tk%u\" . fd54:616b:6f::%x }\n"
	    "add element inet takod refused { \"tk%u\" : goto r%u }\n"
	    "add element inet takod slots { \"tk%u\" : goto s%u }\n",
	    n, n >> 8, n & 255, n, n, n, n, n, n);
	return (text_close(&t));
}

char *
network_rules_gone(unsigned n)
{
	return (xasprintf(
	    "delete element inet takod slots { \"tk%u\" }\n"
	    "delete element inet takod refused { \"tk%u\" }\n"
	    "delete element inet takod from4 { \"tk%u\" . 198.18.%u.%u }\n"
	    "delete element inet takod from6 { \"tk%u\" . fd54:616b:6f::%x }\n"
	    "delete chain inet takod s%u\n"
	    "delete chain inet takod r%u\n"
	    "delete set inet takod d4_%u\n"
	    "delete set inet takod d6_%u\n"
	    "delete counter inet takod c%u\n",
	    n, n, n, n >> 8, n & 255, n, n, n, n, n, n, n));
}

/* ---- what was refused ---------------------------------------------------- */

char *
network_rules_list(unsigned n)
{
	return (xasprintf("list counter inet takod c%u\n"
			  "list set inet takod d4_%u\n"
			  "list set inet takod d6_%u\n",
	    n, n, n));
}

/* {"concat": [address, protocol, port]} as "tcp 192.0.2.1 80". */
static void
add_destinations(json_t *list, const json_t *set)
{
	const json_t *elem, *concat;
	const char *address, *protocol;
	size_t i;

	json_array_foreach (json_object_get(set, "elem"), i, elem) {
		concat = json_object_get(elem, "concat");
		if (concat == NULL)
			continue;
		address = json_string_value(json_array_get(concat, 0));
		protocol = json_string_value(json_array_get(concat, 1));
		if (address == NULL || protocol == NULL)
			continue;
		json_array_append_new(
		    list, json_sprintf("%s %s %lld", protocol, address,
			      (long long)json_integer_value(
				  json_array_get(concat, 2))));
	}
}

/* A line of JSON for each of what was listed; others are nft's remarks. */
json_t *
network_rules_listed(const char *text, size_t len)
{
	json_t *o = NULL, *all, *list = json_array(), *item, *part;
	const char *end;
	size_t i;

	for (; len > 0; len -= (size_t)(end - text), text = end) {
		end = memchr(text, '\n', len);
		end = end == NULL ? text + len : end + 1;
		all = *text != '{'
			  ? NULL
			  : json_loadb(text, (size_t)(end - text), 0, NULL);
		json_array_foreach (json_object_get(all, "nftables"), i, item) {
			if ((part = json_object_get(item, "counter")) != NULL)
				o = json_pack("{s:O s:O}", "refused_packets",
				    json_object_get(part, "packets"), "refused",
				    list);
			if ((part = json_object_get(item, "set")) != NULL)
				add_destinations(list, part);
		}
		json_decref(all);
	}
	json_decref(list);
	return (o);
}
