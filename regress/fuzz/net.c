/*
 * net.c: fuzz target of what a configuration says of addresses: listeners,
 * proxies, hosts, origins. What is taken keeps its bounds, and written anew it
 * means the same.
 */
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "fuzz.h"
#include "common/conf/conf_int.h"
#include "util.h"

static void
check_network(const char *text)
{
	struct conf_network n, again;
	char address[INET6_ADDRSTRLEN], *whole;

	if (conf_network_parse(text, &n) != NULL)
		return;
	need(n.bits <= 128 && (n.local == 0 || n.local == 1));
	if (n.local)
		return;
	inet_ntop(AF_INET6, n.prefix, address, sizeof(address));
	whole = xasprintf("%s/%u", address, n.bits);
	need(conf_network_parse(whole, &again) == NULL);
	need(memcmp(&n, &again, sizeof(n)) == 0);
	free(whole);
}

static void
check_host(const char *text)
{
	struct conf_host h, again;
	char address[INET6_ADDRSTRLEN], *whole;

	if (conf_host_parse(text, &h) != NULL)
		return;
	need(h.port >= 0 && h.port <= 65535 && h.to.bits <= 128);
	need(strlen(h.name) < sizeof(h.name) && !h.to.local);
	inet_ntop(AF_INET6, h.to.prefix, address, sizeof(address));
	if (h.name[0] != '\0')
		whole = h.port != 0 ? xasprintf("%s:%d", h.name, h.port)
				    : xstrdup(h.name);
	else
		whole = h.port != 0 ? xasprintf("[%s/%u]:%d", address,
					  h.to.bits, h.port)
				    : xasprintf("%s/%u", address, h.to.bits);
	need(conf_host_parse(whole, &again) == NULL);
	need(memcmp(&h, &again, sizeof(h)) == 0);
	free(whole);
}

static void
check_listen(const char *text)
{
	struct conf_listen l, again;
	const char *tls, *proxy;
	char *whole = NULL;

	if (conf_listen_parse(text, &l) != NULL)
		return;
	tls = l.tls ? " tls" : "";
	proxy = l.proxy ? " proxy" : "";
	switch (l.kind) {
	case LISTEN_TCP:
		need(l.port >= 1 && l.port <= 65535 && l.host[0] != '\0');
		whole =
		    xasprintf(strchr(l.host, ':') ? "[%s]:%d%s%s" : "%s:%d%s%s",
			l.host, l.port, tls, proxy);
		break;
	case LISTEN_UNIX:
		need(l.path[0] == '/' && l.mode <= 0777);
		whole = xasprintf("unix:%s mode=%o%s%s%s%s", l.path, l.mode,
		    l.group[0] != '\0' ? " group=" : "", l.group, tls, proxy);
		break;
	case LISTEN_SYSTEMD:
		whole = xasprintf("systemd%s%s%s%s",
		    l.path[0] != '\0' ? ":" : "", l.path, tls, proxy);
		break;
	}
	need(conf_listen_parse(whole, &again) == NULL);
	need(memcmp(&l, &again, sizeof(l)) == 0);
	free(whole);
}

/* What a check lets through, and may have trimmed, passes it once more. */
static void
check_again(const char *(*check)(char **), const char *text, size_t most)
{
	char *copy = xstrdup(text), *same;

	if (check(&copy) == NULL) {
		need(strlen(copy) <= most);
		same = xstrdup(copy);
		need(check(&copy) == NULL && strcmp(copy, same) == 0);
		free(same);
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *s = xmalloc(len + 1);

	memcpy(s, data, len);
	s[len] = '\0';
	check_network(s);
	check_host(s);
	check_listen(s);
	check_again(conf_check_listen, s, len);
	check_again(conf_check_network, s, len);
	check_again(conf_check_range, s, len);
	check_again(conf_check_allowed, s, len);
	check_again(conf_check_origin, s, MAX_ORIGIN);
	free(s);
	return (0);
}
