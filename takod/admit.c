/*
 * admit.c: who may ask. Runs in the parent, which is the judge of identity:
 * tako-api only forwards what a client showed, to have the request let in, and
 * again with each job, so that the job is the client's own. Keys are
 * kept and compared as digests, in constant time; the rate is counted per
 * key, else per source address.
 *
 * Protected mode: bound to an address that others can reach, without keys and
 * without leave to serve everybody, takod serves loopback as on 127.0.0.1 and
 * asks everybody else for the key it made in data_dir/api_key. The Host rule
 * keeps a web page in a local browser from reaching it by a rebound name.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "log.h"
#include "takod.h"
#include "util.h"

#define KEY_FILE   "api_key" /* also the name of that key */
#define KEY_BYTES  32
#define RATE_SETS  1024 /* identities that are counted at a time: in all */
#define RATE_WAYS  4	/* sets, those whose numbers fall together */
#define FAILURES_S 60	/* that wrong keys are counted in */

static uint8_t own_key[TAKO_SHA256]; /* digest of the generated key */

/* ---- addresses and hosts ----------------------------------------------- */

static int
is_loopback(const char *address)
{
	struct in6_addr a6;
	struct in_addr a4;
	uint32_t host;

	/* Over a Unix socket: its mode says who may. */
	if (strcmp(address, PEER_UNIX) == 0)
		return (1);
	if (inet_pton(AF_INET, address, &a4) == 1)
		return ((ntohl(a4.s_addr) >> 24) == 127);
	if (inet_pton(AF_INET6, address, &a6) != 1)
		return (0);
	if (IN6_IS_ADDR_V4MAPPED(&a6)) {
		memcpy(&host, &a6.s6_addr[12], sizeof(host));
		return ((ntohl(host) >> 24) == 127);
	}
	return (IN6_IS_ADDR_LOOPBACK(&a6));
}

/* Of a Host field: an IP address, localhost, or a name in api_hostnames. */
static int
host_known(const char *field)
{
	struct in6_addr a6;
	struct in_addr a4;
	char host[256], *colon;
	size_t i;

	strlcpy(host, field, sizeof(host));
	if (host[0] == '[') {
		if ((colon = strchr(host, ']')) == NULL)
			return (0);
		*colon = '\0';
		return (inet_pton(AF_INET6, host + 1, &a6) == 1);
	}
	if ((colon = strrchr(host, ':')) != NULL)
		*colon = '\0';
	if (host[0] == '\0' || inet_pton(AF_INET, host, &a4) == 1 ||
	    strcasecmp(host, "localhost") == 0)
		return (1);
	for (i = 0; i < env.conf->api_hostnames.n; i++)
		if (strcasecmp(host, env.conf->api_hostnames.items[i]) == 0)
			return (1);
	return (0);
}

/* ---- keys -------------------------------------------------------------- */

static int
same_digest(const uint8_t *a, const uint8_t *b)
{
	unsigned i, diff = 0;

	for (i = 0; i < TAKO_SHA256; i++)
		diff |= (unsigned)(a[i] ^ b[i]);
	return (diff == 0);
}

/*
 * The name of a key, NULL when it is none of ours. Each one is compared, so
 * that time does not tell which was near.
 */
static const char *
key_name(const char *key)
{
	const struct conf *cf = env.conf;
	uint8_t shown[TAKO_SHA256];
	const char *name = NULL;
	size_t i;

	/* As tako-vm config prints a key: nobody's. */
	if (key[0] == '\0' || strncmp(key, "***", 3) == 0)
		return (NULL);
	sha256(shown, key, strlen(key));
	for (i = 0; i < cf->n_api_keys && cf->api_auth_enabled; i++)
		if (same_digest(shown, cf->api_keys[i].digest))
			name = cf->api_keys[i].name;
	if (env.protected_mode && same_digest(shown, own_key))
		name = KEY_FILE;
	return (name);
}

int
admit_tenant(const char *key, const char *client, char tenant[MAX_TENANT + 1])
{
	const char *name = key_name(key);

	if (name != NULL)
		tenant_of_key(tenant, name);
	else if (env.conf->api_auth_enabled ||
		 (env.protected_mode && !is_loopback(client)))
		return (-1);
	else
		tenant_of_address(tenant, client);
	return (0);
}

int
admit_open(char *detail, size_t len)
{
	const struct conf *cf = env.conf;
	char key[2 * KEY_BYTES + 2], *old;
	uint8_t random[KEY_BYTES];
	size_t i, n;

	env.protected_mode = 0;
	for (i = 0; i < listen_count(); i++)
		if (!listen_local(i))
			env.protected_mode = 1;
	if (cf->api_auth_enabled || cf->allow_unauthenticated_network_access)
		env.protected_mode = 0;
	if (!env.protected_mode)
		return (0);
	old = read_file(env.data_fd, KEY_FILE, 4096, &n);
	if (old == NULL && errno == ENOENT) {
		arc4random_buf(random, sizeof(random));
		hex_encode(key, random, sizeof(random));
		strlcat(key, "\n", sizeof(key));
		if (write_file(env.data_fd, KEY_FILE, O_CREAT | O_EXCL | O_SYNC,
			0600, key) == -1) {
			snprintf(detail, len, "%s/" KEY_FILE ": %s",
			    cf->data_dir, strerror(errno));
			return (-1);
		}
		old = xstrdup(key);
	} else if (old == NULL) {
		snprintf(detail, len, "%s/" KEY_FILE ": %s", cf->data_dir,
		    strerror(errno));
		return (-1);
	}
	old[strcspn(old, "\r\n")] = '\0';
	sha256(own_key, old, strlen(old));
	explicit_bzero(old, strlen(old));
	free(old);
	log_warnx("protected mode: others than this host need the key in "
		  "%s/" KEY_FILE "; set api_auth_enabled with api_keys, or "
		  "allow_unauthenticated_network_access",
	    cf->data_dir);
	return (0);
}

/* ---- rate -------------------------------------------------------------- */

/*
 * A window begins with the first request in it. What the one before had, spread
 * evenly from its first request to its last, counts as far as a window that
 * slides along still covers it.
 */
struct bucket {
	uint64_t id;   /* 0: free */
	int64_t began; /* of the current window, us */
	unsigned now, before;
	int64_t span, span_before; /* us from the first one to the last */
};
static struct bucket buckets[RATE_SETS][RATE_WAYS];
static uint64_t rate_seed;

static uint64_t
rate_id(const char *what, const char *who)
{
	uint8_t digest[TAKO_SHA256];
	char text[128];
	uint64_t id;

	if (rate_seed == 0)
		arc4random_buf(&rate_seed, sizeof(rate_seed));
	snprintf(text, sizeof(text), "%llx %s %s",
	    (unsigned long long)rate_seed, what, who);
	sha256(digest, text, strlen(text));
	memcpy(&id, digest, sizeof(id));
	return (id | 1);
}

/* Its bucket, as it is now; the one that rested longest makes room. */
static struct bucket *
rate_bucket(uint64_t id, int64_t length, int64_t now)
{
	struct bucket *set = buckets[(id >> 1) % RATE_SETS], *b = set;
	int64_t windows;
	unsigned i;

	for (i = 0; i < RATE_WAYS && b->id != id; i++)
		if (set[i].id == id || (b->id != 0 && set[i].began < b->began))
			b = &set[i];
	windows = (now - b->began) / length;
	if (b->id != id || windows > 1) {
		memset(b, 0, sizeof(*b));
		b->id = id;
		b->began = now;
	} else if (windows == 1) {
		b->before = b->now;
		b->span_before = b->span;
		b->now = 0;
		b->span = 0;
		b->began += length;
	}
	return (b);
}

/*
 * us of a window after which of count in the former one, spread over span, no
 * more than rest are covered: where (span - it) * count / span = rest.
 */
static int64_t
rate_from(int64_t count, int64_t span, int64_t rest)
{
	return (count <= rest ? 0 : span - rest * span / count);
}

/* us until one more would be within limit; 0: it is now. */
static int64_t
rate_wait(const struct bucket *b, int64_t limit, int64_t length, int64_t now)
{
	int64_t gone = now - b->began, from;

	if (b->now < limit) {
		from = rate_from(b->before, b->span_before, limit - b->now - 1);
		return (from > gone ? from - gone : 0);
	}
	/* Not in this window; in the next one, these are the former. */
	return (length - gone + rate_from(b->now, b->span, limit - 1));
}

/* Counts one more, if it may be: 0, else the seconds to wait. */
static unsigned
rate_over(const char *what, const char *who, int64_t limit, int64_t seconds)
{
	int64_t now = time_mono_us(), length = seconds * 1000000, wait;
	struct bucket *b = rate_bucket(rate_id(what, who), length, now);

	if ((wait = rate_wait(b, limit, length, now)) > 0)
		return ((unsigned)((wait + 999999) / 1000000));
	b->now++;
	b->span = now - b->began;
	return (0);
}

/* ---- the verdict ------------------------------------------------------- */

enum admit_when
admit_needed(void)
{
	const struct conf *cf = env.conf;

	/* A rate counts them all. */
	if (cf->api_rate_limit_enabled)
		return (ADMIT_EACH);
	/* Without keys the Host rule holds, on loopback too. */
	return (cf->api_auth_enabled || env.protected_mode ||
			!cf->allow_unauthenticated_network_access
		    ? ADMIT_OTHERS
		    : ADMIT_NEVER);
}

/* By a key, else by the network that it comes from. */
static unsigned
too_often(const char *name, const char *peer)
{
	char who[MAX_TENANT + 1];

	if (name != NULL)
		tenant_of_key(who, name);
	else
		tenant_of_address(who, peer);
	return (rate_over("rate", who, env.conf->api_rate_limit_requests,
	    env.conf->api_rate_limit_window_seconds));
}

/*
 * A key that is none of ours. Whoever goes on with others is told to wait, as
 * with any that are wrong after it: a right one is served all the time, so that
 * nobody is locked out by who shares his address. Guesses are not many then,
 * and of 16 characters at least.
 */
static unsigned
wrong_key(const char *peer)
{
	char who[MAX_TENANT + 1];

	tenant_of_address(who, peer);
	return (
	    rate_over("failure", who, env.conf->api_auth_failures, FAILURES_S));
}

void
admit_request(const struct msg_req_admit *m, struct msg_rep_admit *rep)
{
	const struct conf *cf = env.conf;
	const char *name = key_name(m->key);
	unsigned wait = 0;

	memset(rep, 0, sizeof(*rep));
	rep->verdict = ADMIT_OK;
	if (name == NULL && m->key[0] != '\0' &&
	    (cf->api_auth_enabled || env.protected_mode))
		wait = wrong_key(m->peer);
	if (wait == 0 && cf->api_rate_limit_enabled)
		wait = too_often(name, m->peer);
	if (wait > 0) {
		rep->verdict = ADMIT_RATE;
		rep->retry_after = wait;
		return;
	}
	if (name != NULL ||
	    (!cf->api_auth_enabled && cf->allow_unauthenticated_network_access))
		return;
	if (cf->api_auth_enabled || !is_loopback(m->peer) || m->forwarded ||
	    !host_known(m->host))
		rep->verdict = ADMIT_KEY;
}
