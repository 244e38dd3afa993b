/*
 * conf_net.c: the forms of what the HTTP front listens on, whom it believes,
 * and whom it lets in from web pages. Used by takod (the parent) and takoctl.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "util.h"

#define UNIX_MODE 0660

/* ---- server_listen --------------------------------------------------------
 */

/* address:port, name:port or [address]:port; the last colon is the port's. */
static const char *
take_address(struct conf_listen *l, char *text)
{
	static const char form[] = "must begin with address:port, "
				   "[address]:port, unix:/path or systemd";
	char *colon = strrchr(text, ':'), *end, *host = text;
	const char *wrong;
	long port;

	if (colon == NULL)
		return (form);
	*colon = '\0';
	port = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port < 1 ||
	    port > 65535)
		return ("must have a port from 1 to 65535");
	if (*host == '[') {
		if (colon[-1] != ']')
			return (form);
		colon[-1] = '\0';
		host++;
	} else if (strchr(host, ':') != NULL)
		return ("an IPv6 address must stand in brackets");
	if ((wrong = conf_check_host(&host)) != NULL)
		return (wrong);
	if (strlcpy(l->host, host, sizeof(l->host)) >= sizeof(l->host))
		return (form);
	l->kind = LISTEN_TCP;
	l->port = (int)port;
	return (NULL);
}

static const char *
take_place(struct conf_listen *l, char *text)
{
	if (strncmp(text, "unix:", 5) == 0) {
		if (text[5] != '/' || strlcpy(l->path, text + 5,
					  sizeof(l->path)) >= sizeof(l->path))
			return ("unix: must be followed by a whole path of at "
				"most 107 bytes");
		l->kind = LISTEN_UNIX;
		return (NULL);
	}
	if (strcmp(text, "systemd") == 0 || strncmp(text, "systemd:", 8) == 0) {
		l->kind = LISTEN_SYSTEMD;
		if (text[7] == ':' && strlcpy(l->path, text + 8,
					  sizeof(l->path)) >= sizeof(l->path))
			return ("systemd: must be followed by the name of a "
				"socket");
		return (NULL);
	}
	return (take_address(l, text));
}

static const char *
take_option(struct conf_listen *l, const char *word)
{
	char *end;
	unsigned long mode;

	if (strcmp(word, "tls") == 0)
		l->tls = 1;
	else if (strcmp(word, "proxy") == 0)
		l->proxy = 1;
	else if (strncmp(word, "mode=", 5) == 0 && l->kind == LISTEN_UNIX) {
		mode = strtoul(word + 5, &end, 8);
		if (word[5] < '0' || word[5] > '7' || *end != '\0' ||
		    mode > 0777)
			return ("mode must be three octal digits");
		l->mode = (unsigned)mode;
	} else if (strncmp(word, "group=", 6) == 0 && l->kind == LISTEN_UNIX) {
		if (word[6] == '\0' ||
		    strlcpy(l->group, word + 6, sizeof(l->group)) >=
			sizeof(l->group))
			return ("group must name a group");
	} else
		return (l->kind == LISTEN_UNIX
			    ? "may be followed by tls, proxy, mode= and group="
			    : "may be followed by tls and proxy");
	return (NULL);
}

const char *
conf_listen_parse(const char *text, struct conf_listen *l)
{
	char *copy = xstrdup(text), *rest = copy, *word;
	const char *wrong = NULL;
	int first = 1;

	memset(l, 0, sizeof(*l));
	l->mode = UNIX_MODE;
	while (wrong == NULL && (word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		wrong = first ? take_place(l, word) : take_option(l, word);
		first = 0;
	}
	if (wrong == NULL && first)
		wrong = "must not be empty";
	free(copy);
	return (wrong);
}

const char *
conf_check_listen(char **text)
{
	struct conf_listen l;

	conf_trim(*text);
	return (conf_listen_parse(*text, &l));
}

size_t
conf_listen_count(const struct conf *conf)
{
	return (conf->server_listen.n > 0 ? conf->server_listen.n : 1);
}

void
conf_listen_get(const struct conf *conf, size_t i, struct conf_listen *l)
{
	if (conf->server_listen.n > 0) {
		(void)conf_listen_parse(conf->server_listen.items[i], l);
		return;
	}
	memset(l, 0, sizeof(*l));
	l->kind = LISTEN_TCP;
	strlcpy(l->host, conf->server_host, sizeof(l->host));
	l->port = conf->server_port;
	l->tls = conf->tls_certificate_file != NULL;
}

/* ---- trusted_proxies ------------------------------------------------------
 */

const char *
conf_network_parse(const char *text, struct conf_network *n)
{
	static const char form[] = "must be an address, address/bits, or unix";
	char copy[64], *slash, *end;
	struct in_addr a4;
	unsigned long bits, most = 128;

	memset(n, 0, sizeof(*n));
	if (strcmp(text, "unix") == 0) {
		n->local = 1;
		return (NULL);
	}
	if (strlcpy(copy, text, sizeof(copy)) >= sizeof(copy))
		return (form);
	if ((slash = strchr(copy, '/')) != NULL)
		*slash = '\0';
	if (inet_pton(AF_INET, copy, &a4) == 1) {
		most = 32;
		n->prefix[10] = n->prefix[11] = 0xff;
		memcpy(n->prefix + 12, &a4, 4);
	} else if (inet_pton(AF_INET6, copy, n->prefix) != 1)
		return (form);
	bits = most;
	if (slash != NULL) {
		bits = strtoul(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end != '\0' ||
		    bits > most)
			return (form);
	}
	n->bits = (unsigned)(bits + 128 - most);
	for (bits = n->bits; bits < 128; bits++)
		if (n->prefix[bits / 8] & (0x80 >> bits % 8))
			return ("has bits behind its length");
	return (NULL);
}

const char *
conf_check_network(char **text)
{
	struct conf_network n;

	conf_trim(*text);
	return (conf_network_parse(*text, &n));
}

/* ---- allowed_hosts, network_allow, network_deny ---------------------------
 */

const char *
conf_check_range(char **text)
{
	struct conf_network n;
	const char *wrong = conf_check_network(text);

	if (wrong != NULL)
		return (wrong);
	(void)conf_network_parse(*text, &n);
	return (n.local ? "must be an address or address/bits" : NULL);
}

/* Old forms of an IPv4 address (0x7f.1, 2130706433) pass for names. */
static int
is_number(const char *name)
{
	const char *label = strrchr(name, '.');

	label = label == NULL ? name : label + 1;
	if (strncasecmp(label, "0x", 2) == 0)
		return (1);
	return (label[strspn(label, "0123456789")] == '\0');
}

/* name, address or address/bits; with a port: in brackets if it is IPv6. */
const char *
conf_host_parse(const char *text, struct conf_host *h)
{
	static const char form[] =
	    "must be a name, an address, or address/bits with no bits behind "
	    "its length; before :port an IPv6 address stands in brackets";
	char copy[sizeof(h->name) + 8], *host = copy, *colon, *end;
	long port;

	memset(h, 0, sizeof(*h));
	if (strstr(text, "://") != NULL)
		return ("must be the host of that URL, with :port if only that "
			"one is meant");
	if (strlcpy(copy, text, sizeof(copy)) >= sizeof(copy))
		return (form);
	colon = strrchr(copy, ':');
	if (*copy == '[' || (colon != NULL && strchr(copy, ':') == colon)) {
		if (colon == NULL)
			return (form);
		port = strtol(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' ||
		    port < 1 || port > 65535)
			return ("must have a port from 1 to 65535");
		h->port = (int)port;
		*colon = '\0';
		if (*copy == '[') {
			if (colon[-1] != ']')
				return (form);
			colon[-1] = '\0';
			host++;
		}
	}
	if (conf_network_parse(host, &h->to) == NULL && !h->to.local)
		return (NULL);
	memset(&h->to, 0, sizeof(h->to));
	if (conf_check_hostname(&host) != NULL || is_number(host) ||
	    strlcpy(h->name, host, sizeof(h->name)) >= sizeof(h->name))
		return (strchr(host, '*') != NULL
			    ? "must name one host: addresses of a pattern "
			      "cannot be looked up"
			    : form);
	return (NULL);
}

int
conf_networks(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->n_job_types; i++)
		if (conf->job_types[i].network_enabled)
			return (1);
	return (0);
}

int
conf_may_network(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->n_job_types; i++)
		if (conf->job_types[i].requirements.n > 0)
			return (1);
	return (conf_networks(conf) || conf->allow_runtime_requirements);
}

const char *
conf_check_allowed(char **text)
{
	struct conf_host h;

	conf_trim(*text);
	conf_lower(*text);
	return (conf_host_parse(*text, &h));
}

/* ---- cors_origins ---------------------------------------------------------
 */

/* As a browser writes it: no path, no capitals, no port that is the usual. */
const char *
conf_check_origin(char **text)
{
	const char *p, *port;

	conf_trim(*text);
	p = *text;
	if (strcmp(p, "*") == 0)
		return (NULL);
	if (strncmp(p, "https://", 8) == 0)
		p += 8;
	else if (strncmp(p, "http://", 7) == 0)
		p += 7;
	else
		return ("must be * or http[s]://host[:port]");
	if (*p == '\0' || strlen(*text) > MAX_ORIGIN ||
	    p[strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-_.:[]")] != '\0')
		return ("must be * or http[s]://host[:port], in small letters "
			"and without a path");
	port = strrchr(p, ':');
	if (port != NULL &&
	    strcmp(port, strncmp(*text, "https", 5) == 0 ? ":443" : ":80") == 0)
		return ("must leave out the port that its scheme has anyway");
	return (NULL);
}
