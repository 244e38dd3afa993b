/*
 * trust.c: whose word on a client's address is taken. Runs in tako-api. A
 * proxy of trusted_proxies names the client that it asks for in Forwarded (RFC
 * 7239) or X-Forwarded-For, or in the header of the PROXY protocol before all
 * else; nobody else's word changes anything.
 *
 * A chain is read from its end, the nearest proxy's word, towards the client,
 * and no further than the first address that is not trusted. Where a request
 * has both fields and they do not agree, one of them is the client's own
 * making: then it counts for the proxy.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "tako-api.h"
#include "util.h"

#define CHAIN_MAX 16 /* the last ones are looked at */

struct trusted {
	uint8_t prefix[16];
	unsigned bits;
	int local;
};

static struct trusted *list;
static size_t n_list;

void
trust_clear(void)
{
	free(list);
	list = NULL;
	n_list = 0;
}

void
trust_add(const struct msg_api_trust *m)
{
	struct trusted *t;

	if ((t = reallocarray(list, n_list + 1, sizeof(*t))) == NULL)
		fatal(NULL);
	list = t;
	t += n_list++;
	memcpy(t->prefix, m->prefix, sizeof(t->prefix));
	t->bits = (unsigned)m->bits;
	t->local = m->local != 0;
}

/* IPv4 as ::ffff:0:0/96. */
static int
parse(const char *text, uint8_t ip[16])
{
	struct in_addr a4;

	if (inet_pton(AF_INET, text, &a4) == 1) {
		memset(ip, 0, 10);
		ip[10] = ip[11] = 0xff;
		memcpy(ip + 12, &a4, 4);
		return (1);
	}
	return (inet_pton(AF_INET6, text, ip) == 1);
}

void
trust_text(const uint8_t ip[16], char *text, size_t size)
{
	struct in6_addr a;

	memcpy(&a, ip, sizeof(a));
	if (IN6_IS_ADDR_V4MAPPED(&a))
		inet_ntop(AF_INET, ip + 12, text, (socklen_t)size);
	else
		inet_ntop(AF_INET6, ip, text, (socklen_t)size);
}

static int
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	return (
	    memcmp(a, b, bits / 8) == 0 &&
	    (rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0));
}

int
trust_has(const char *address)
{
	int local = strcmp(address, PEER_UNIX) == 0;
	uint8_t ip[16];
	size_t i;

	if (n_list == 0 || (!local && !parse(address, ip)))
		return (0);
	for (i = 0; i < n_list; i++)
		if (local ? list[i].local
			  : !list[i].local &&
				same_bits(ip, list[i].prefix, list[i].bits))
			return (1);
	return (0);
}

/* ---- what the fields say ---------------------------------------------------
 */

struct chain {
	char nodes[CHAIN_MAX][INET6_ADDRSTRLEN]; /* "": no address */
	unsigned n;				 /* all that were there */
};

/* A node: an address, [address], or either with a port. */
static void
add_node(struct chain *c, const char *text, size_t len)
{
	char *node = c->nodes[c->n++ % CHAIN_MAX], copy[64], *p = copy, *end;
	uint8_t ip[16];

	*node = '\0';
	if (len >= sizeof(copy))
		return;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (*p == '[') {
		p++;
		if ((end = strchr(p, ']')) == NULL ||
		    (end[1] != '\0' && end[1] != ':'))
			return;
		*end = '\0';
	} else if ((end = strchr(p, ':')) != NULL &&
		   strchr(end + 1, ':') == NULL)
		*end = '\0';
	if (parse(p, ip))
		trust_text(ip, node, INET6_ADDRSTRLEN);
}

static const char *
blanks(const char *p)
{
	return (p + strspn(p, " \t"));
}

static void
add_plain(struct chain *c, const char *p)
{
	size_t len, used;

	for (;; p += len + 1) {
		p = blanks(p);
		len = used = strcspn(p, ",");
		while (used > 0 && (p[used - 1] == ' ' || p[used - 1] == '\t'))
			used--;
		add_node(c, p, used);
		if (p[len] == '\0')
			return;
	}
}

/*
 * Elements with commas between, each of name=value with semicolons between;
 * a value may be quoted. Malformed is an element that names nobody.
 */
static void
add_forwarded(struct chain *c, const char *p)
{
	const char *node, *name;
	size_t len, name_len, node_len;

	while (*(p = blanks(p)) != '\0') {
		node = "";
		node_len = 0;
		for (;;) {
			name = p = blanks(p);
			name_len = strcspn(p, "=,;");
			p += name_len;
			if (*p == '=' && p[1] == '"') {
				len = strcspn(p += 2, "\"\\");
				if (p[len] != '"') {
					add_node(c, "", 0);
					return;
				}
			} else if (*p == '=')
				len = strcspn(++p, ",; \t");
			else
				len = 0;
			if (name_len == 3 && strncasecmp(name, "for", 3) == 0) {
				node = p;
				node_len = len;
			}
			p += len;
			p = blanks(p + (*p == '"'));
			if (*p != ';')
				break;
			p++;
		}
		add_node(c, node, node_len);
		if (*p == '\0')
			return;
		if (*p++ != ',') {
			add_node(c, "", 0);
			return;
		}
	}
}

/* The nearest address of a chain that is not trusted, or the first. */
static const char *
walk(const struct chain *c, const char *peer)
{
	unsigned left = c->n < CHAIN_MAX ? c->n : CHAIN_MAX, at = c->n;
	const char *node;

	for (; left > 0 && trust_has(peer); left--) {
		node = c->nodes[--at % CHAIN_MAX];
		if (*node == '\0')
			break;
		peer = node;
	}
	return (peer);
}

int
trust_client(
    const struct http_request *h, const char *peer, char client[MAX_CLIENT + 1])
{
	struct chain forwarded = { .n = 0 }, plain = { .n = 0 };
	const char *one, *two;
	unsigned i;

	for (i = 0; i < h->n_fields; i++)
		if (strcmp(h->fields[i].name, "forwarded") == 0)
			add_forwarded(&forwarded, h->fields[i].value);
		else if (strcmp(h->fields[i].name, "x-forwarded-for") == 0)
			add_plain(&plain, h->fields[i].value);
	one = walk(&forwarded, peer);
	two = walk(&plain, peer);
	if (forwarded.n == 0)
		one = two;
	else if (plain.n > 0 && strcmp(one, two) != 0)
		one = peer;
	strlcpy(client, one, MAX_CLIENT + 1);
	return (strcmp(one, peer) != 0);
}

/* ---- PROXY protocol, version 2 ---------------------------------------------
 */

int
trust_proxy_length(const uint8_t *head)
{
	static const uint8_t signature[12] = { '\r', '\n', '\r', '\n', 0, '\r',
		'\n', 'Q', 'U', 'I', 'T', '\n' };
	int len = head[14] << 8 | head[15];

	if (memcmp(head, signature, sizeof(signature)) != 0 ||
	    head[12] >> 4 != 2 || (head[12] & 0xf) > 1 ||
	    len > TRUST_PROXY_MAX - TRUST_PROXY_HEAD)
		return (-1);
	return (len);
}

int
trust_proxy_client(const uint8_t *head, size_t len, char client[MAX_CLIENT + 1])
{
	const uint8_t *from = head + TRUST_PROXY_HEAD;

	/* LOCAL: the proxy asks for itself. */
	*client = '\0';
	if ((head[12] & 0xf) == 0)
		return (0);
	len -= TRUST_PROXY_HEAD;
	switch (head[13]) {
	case 0x11: /* TCP over IPv4 */
		if (len < 12)
			return (-1);
		inet_ntop(AF_INET, from, client, MAX_CLIENT + 1);
		return (1);
	case 0x21: /* over IPv6 */
		if (len < 36)
			return (-1);
		trust_text(from, client, MAX_CLIENT + 1);
		return (1);
	case 0x31: /* a Unix socket */
		strlcpy(client, PEER_UNIX, MAX_CLIENT + 1);
		return (1);
	default:
		return (1); /* for somebody that it does not name */
	}
}
