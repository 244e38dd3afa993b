/*
 * trust.c: fuzz target of whose word on a client's address is taken. The first
 * byte says which proxies are trusted and what follows: lines of Forwarded (f)
 * and X-Forwarded-For (x), or a header of the PROXY protocol. Beyond not
 * failing: a client is an address, and without a trusted proxy it is the peer.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tako-api/conn.h"
#include "tako-api/tako-api.h"
#include "util.h"

#define MAX_LINES 32
#define PEER	  "192.0.2.1"

static void
trust(const char *address, unsigned bits, int local)
{
	struct msg_api_trust m = { .prefix = { [10] = 0xff, [11] = 0xff },
		.bits = bits,
		.local = (uint64_t)local };

	if (strchr(address, ':') != NULL)
		need(inet_pton(AF_INET6, address, m.prefix) == 1);
	else
		need(inet_pton(AF_INET, address, m.prefix + 12) == 1);
	trust_add(&m);
}

static int
is_address(const char *s)
{
	struct in6_addr a;

	return (inet_pton(AF_INET, s, &a) == 1 ||
		inet_pton(AF_INET6, s, &a) == 1 || strcmp(s, PEER_UNIX) == 0);
}

static void
check_fields(char *text)
{
	struct http_field fields[MAX_LINES];
	struct http_request h;
	char client[MAX_CLIENT + 1], *line, *save = NULL;
	int other;

	memset(&h, 0, sizeof(h));
	h.fields = fields;
	for (line = strtok_r(text, "\n", &save);
	     line != NULL && h.n_fields < MAX_LINES;
	     line = strtok_r(NULL, "\n", &save)) {
		fields[h.n_fields].name =
		    *line == 'f' ? "forwarded" : "x-forwarded-for";
		fields[h.n_fields++].value = line + 1;
	}
	other = trust_client(&h, PEER, client);
	need(is_address(client));
	need(other == (strcmp(client, PEER) != 0));
	if (!trust_has(PEER))
		need(!other);
}

static void
check_proxy(const uint8_t *head, size_t len)
{
	char client[MAX_CLIENT + 1];
	uint8_t *whole;
	int more, r;

	if (len < TRUST_PROXY_HEAD || (more = trust_proxy_length(head)) == -1 ||
	    len < TRUST_PROXY_HEAD + (size_t)more)
		return;
	/* No byte more than it says there is. */
	len = TRUST_PROXY_HEAD + (size_t)more;
	need(len <= TRUST_PROXY_MAX);
	whole = xmalloc(len);
	memcpy(whole, head, len);
	r = trust_proxy_client(whole, len, client);
	need(r >= -1 && r <= 1);
	if (r == 1)
		need(*client == '\0' || is_address(client));
	free(whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;

	if (len == 0)
		return (0);
	if (data[0] & 1)
		trust("192.0.2.0", 96 + 24, 0);
	if (data[0] & 2)
		trust("2001:db8::", 32, 0);
	if (data[0] & 4)
		trust("0.0.0.0", 128, 1);
	if (data[0] & 8)
		trust("10.0.0.0", 96 + 9, 0);
	if (data[0] & 16)
		check_proxy(data + 1, len - 1);
	else {
		text = xmalloc(len);
		memcpy(text, data + 1, len - 1);
		text[len - 1] = '\0';
		check_fields(text);
		free(text);
	}
	trust_clear();
	return (0);
}
